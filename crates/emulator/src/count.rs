//! Estimates tokens from text alone. Refuses to be exact: about four Latin letters or 1.4 Hangul syllables a token.

/// Thousandths of a token that a UTF-8 byte starts; the bytes that continue a character start none.
fn thousandths(byte: u8) -> u64 {
    match byte {
        0x00..=0x7f => 250,
        0x80..=0xbf => 0,
        0xea..=0xed => 700,
        0xe3..=0xe9 => 1_000,
        0xf0..=0xff => 1_500,
        _ => 500,
    }
}

/// Estimated tokens of a text; zero only for an empty one.
pub(crate) fn tokens(text: &str) -> u64 {
    text.bytes().map(thousandths).sum::<u64>().div_ceil(1_000)
}

/// The longest beginning of a text that stays within a number of tokens.
pub(crate) fn cut(text: &str, limit: u64) -> &str {
    let room = limit.saturating_mul(1_000);
    let mut used = 0;
    for (at, byte) in text.bytes().enumerate() {
        used += thousandths(byte);
        if used > room {
            return text.get(..at).unwrap_or_default();
        }
    }
    text
}

/// Cuts a text into the pieces that a stream sends: a few words each, never inside a character.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    const ROOM: usize = 24;
    let mut pieces = Vec::with_capacity(text.len() / ROOM + 1);
    let mut start = 0;
    for (at, letter) in text.char_indices() {
        let end = at + letter.len_utf8();
        if end - start >= ROOM || (letter == ' ' && end - start >= ROOM / 2) {
            pieces.extend(text.get(start..end));
            start = end;
        }
    }
    pieces.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latin_is_a_quarter_and_hangul_seven_tenths() {
        assert_eq!(tokens(""), 0);
        assert_eq!(tokens("abcd"), 1);
        assert_eq!(tokens("abcde"), 2);
        assert_eq!(tokens("겨울예약을늘리자요네"), 7);
    }

    #[test]
    fn a_cut_keeps_whole_characters_and_the_limit() {
        let text = "애견호텔의 겨울 예약을 늘릴 방법";
        for limit in 0..20 {
            assert!(tokens(cut(text, limit)) <= limit);
            assert!(text.starts_with(cut(text, limit)));
        }
    }

    #[test]
    fn pieces_join_to_the_whole() {
        let text = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘 and then a few Latin words 🐶";
        assert_eq!(pieces(text).concat(), text);
        assert!(pieces(text).len() > 3);
    }
}
