//! Hashes and draws that depend on their input alone. Refuses to know a clock or a random source.

use std::hash::{DefaultHasher, Hasher as _};

/// Mixes strings into one 64-bit number that varies answers; the same strings and seed always give the same number.
/// It must not serve to tell texts apart: see `key`.
pub(crate) fn hash<'a>(seed: u64, parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut state = mix(seed ^ 0x9e37_79b9_7f4a_7c15);
    for part in parts {
        let mut chunks = part.as_bytes().chunks_exact(8);
        for chunk in chunks.by_ref() {
            let word = chunk.try_into().map_or(0, u64::from_le_bytes);
            state = (state.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        for byte in chunks.remainder() {
            state = (state.rotate_left(5) ^ u64::from(*byte)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
        state = state.rotate_left(5) ^ u64::try_from(part.len()).unwrap_or(u64::MAX);
    }
    mix(state)
}

/// Tells texts apart: slower than `hash`, under which texts that differ in a digit or two may well be the same.
pub(crate) fn key<'a>(kind: u8, parts: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u8(kind);
    for part in parts {
        hasher.write(part.as_bytes());
        hasher.write_usize(part.len());
    }
    hasher.finish()
}

/// Spreads the bits of a number over all of its 64 bits.
pub(crate) fn mix(number: u64) -> u64 {
    let mut state = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

/// A sequence of numbers that follows from its start.
#[derive(Debug, Clone)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(start: u64) -> Self {
        Self(start)
    }

    /// The next number of the sequence.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// The next number below `limit`; zero when the limit is zero.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        usize::try_from(self.next().checked_rem(limit).unwrap_or(0)).unwrap_or(0)
    }

    /// One element of a slice, or `None` when it is empty.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len()))
    }
}

/// Writes a number as `length` letters and digits, for ids.
pub(crate) fn letters(number: u64, length: usize) -> String {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut draw = Draw::new(number);
    let mut text = String::with_capacity(length);
    let mut bits = 0;
    for place in 0..length {
        if place % 10 == 0 {
            bits = draw.next();
        }
        let at = usize::try_from(bits % 62).unwrap_or(0);
        bits /= 62;
        text.push(ALPHABET.get(at).copied().map_or('0', char::from));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_texts_that_differ_in_digits_are_all_different() {
        let texts: Vec<String> = (0..100_000).map(|at| format!("0123456789abcdef-001-{at:06}번")).collect();
        let keys: std::collections::HashSet<u64> = texts.iter().map(|text| key(2, [text.as_str()])).collect();
        assert_eq!(keys.len(), texts.len());
        assert_ne!(key(1, ["a", "b"]), key(1, ["ab"]));
    }
}
