//! As much Korean as a plausible sentence needs: particles after a noun, nouns before a particle. Refuses grammar.

const PARTICLES: [&str; 24] = [
    "에서는",
    "으로는",
    "에게서",
    "이라는",
    "에서",
    "에게",
    "으로",
    "까지",
    "부터",
    "처럼",
    "보다",
    "이나",
    "라는",
    "의",
    "을",
    "를",
    "은",
    "는",
    "이",
    "가",
    "에",
    "로",
    "와",
    "과",
];
const IDLE: [&str; 44] = [
    "우리",
    "저희",
    "내",
    "나",
    "제",
    "이",
    "그",
    "저",
    "방법",
    "방안",
    "보고서",
    "리포트",
    "것",
    "수",
    "좀",
    "더",
    "및",
    "그리고",
    "또는",
    "위해",
    "위한",
    "대해",
    "대한",
    "관해",
    "내일",
    "오늘",
    "아침",
    "지금",
    "빨리",
    "어떻게",
    "무엇",
    "뭐",
    "왜",
    "언제",
    "어디",
    "누가",
    "하나",
    "한",
    "두",
    "세",
    "모든",
    "각",
    "메일",
    "결과",
];
/// Ends of verbs and adjectives; a word that ends so is no noun.
const VERBAL: [&str; 24] = [
    "줘",
    "주세요",
    "세요",
    "십시오",
    "니다",
    "니까",
    "까요",
    "어요",
    "아요",
    "해라",
    "하라",
    "하고",
    "하는",
    "되는",
    "있는",
    "없는",
    "늘릴",
    "줄일",
    "높일",
    "낮출",
    "만들",
    "써",
    "할",
    "될",
];

/// Whether a character is a Hangul syllable.
pub(crate) fn is_hangul(letter: char) -> bool {
    ('가'..='힣').contains(&letter)
}

/// The nouns of a text, in order, each once, as far as endings tell.
pub(super) fn nouns(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|letter: char| !letter.is_alphanumeric()) {
        let verbal = VERBAL.iter().any(|end| word.ends_with(end));
        if word.is_empty() || verbal {
            continue;
        }
        let noun = strip(word);
        let long_enough = noun.chars().count() > 1 || noun.chars().all(|letter| letter.is_ascii_uppercase());
        if long_enough && !IDLE.contains(&noun) && !found.iter().any(|other| other == noun) {
            found.push(noun.to_owned());
        }
    }
    found
}

/// A word without the particle at its end; a noun of one syllable is never left.
fn strip(word: &str) -> &str {
    let particle = PARTICLES.iter().find_map(|particle| word.strip_suffix(particle));
    particle
        .filter(|noun| {
            noun.chars().count() > 1 || noun.chars().all(|letter| letter.is_ascii_alphanumeric() && !noun.is_empty())
        })
        .unwrap_or(word)
}

/// A word with the particle that its last sound wants; `pair` is the form after a consonant.
pub(super) fn with_particle(word: &str, pair: &str) -> String {
    let last = word.chars().rev().find(|letter| letter.is_alphanumeric());
    let tail = last.filter(|letter| is_hangul(*letter)).map(|letter| (u32::from(letter) - u32::from('가')) % 28);
    let after_vowel = tail.is_none_or(|tail| tail == 0);
    let particle = match (pair, after_vowel) {
        ("은", true) => "는",
        ("이", true) => "가",
        ("을", true) => "를",
        ("과", true) => "와",
        ("으로", true) => "로",
        // After ㄹ it is 로 as well.
        ("으로", false) if tail == Some(8) => "로",
        (pair, _) => pair,
    };
    format!("‘{word}’{particle}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn particles_follow_the_last_sound() {
        assert_eq!(with_particle("예약", "을"), "‘예약’을");
        assert_eq!(with_particle("가격 비교", "을"), "‘가격 비교’를");
        assert_eq!(with_particle("겨울", "으로"), "‘겨울’로");
        assert_eq!(with_particle("애견호텔", "은"), "‘애견호텔’은");
    }

    #[test]
    fn nouns_lose_their_particles_and_verbs_are_left_out() {
        assert_eq!(
            nouns("A사의 실적과 B의 가격을 비교해서 내일 아침까지 보고서로 보내줘"),
            ["A사", "실적", "B", "가격", "비교해서"]
        );
        assert_eq!(nouns("서버 비용을 줄일 방법"), ["서버", "비용"]);
    }
}
