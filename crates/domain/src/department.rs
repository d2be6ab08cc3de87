//! Which department takes an order: the classifier's word, or keywords counted in the order's text.
//! Refuses to know templates and tasks.

/// How a department was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The classifier named one that exists.
    Classifier,
    /// Its keywords were found most often.
    Keywords,
    /// Nothing pointed anywhere: the first.
    Default,
}

impl How {
    /// Returns the word that templates compare with.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Classifier => "classifier",
            Self::Keywords => "keywords",
            Self::Default => "default",
        }
    }
}

/// What the choice reads of one department.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) title: &'a str,
    pub(crate) keywords: Vec<&'a str>,
}

/// Chooses one of the candidates; `None` only when there is none.
pub(crate) fn choose(candidates: &[Candidate<'_>], named: Option<&str>, text: &str) -> Option<(usize, How)> {
    if let Some(named) = named {
        let wanted = fold(named.trim());
        let found = candidates.iter().position(|one| fold(one.name) == wanted || fold(one.title) == wanted);
        if let Some(index) = found.filter(|_| !wanted.is_empty()) {
            return Some((index, How::Classifier));
        }
    }
    let text = fold(text);
    let mut best = (0, 0);
    for (index, one) in candidates.iter().enumerate() {
        let hits = one.keywords.iter().map(|keyword| hits(&text, &fold(keyword.trim()))).sum();
        // On a tie the earlier department keeps it: the roster's order is the owner's.
        if hits > best.1 {
            best = (index, hits);
        }
    }
    let how = if best.1 > 0 { How::Keywords } else { How::Default };
    candidates.get(best.0).map(|_| (best.0, how))
}

/// Counts a folded keyword in a folded text. A Latin keyword has to stand alone (a plural `s` aside, and a
/// Korean particle may follow it); a Korean one is found inside words, because particles are glued to it.
fn hits(text: &str, keyword: &str) -> usize {
    if keyword.is_empty() {
        return 0;
    }
    let latin = |letter: char| letter.is_ascii_alphanumeric();
    let starts_latin = keyword.starts_with(latin);
    let ends_latin = keyword.ends_with(latin);
    text.match_indices(keyword)
        .filter(|(at, _)| {
            let before = text.get(..*at).unwrap_or_default();
            let after = text.get(at + keyword.len()..).unwrap_or_default();
            let plural = after.strip_prefix("es").or_else(|| after.strip_prefix('s'));
            let glued_before = starts_latin && before.ends_with(latin);
            let glued_after =
                ends_latin && after.starts_with(latin) && plural.is_none_or(|rest| rest.starts_with(latin));
            !glued_before && !glued_after
        })
        .count()
}

/// Folds case and joins decomposed Hangul (as macOS writes it) into syllables.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars().flat_map(char::to_lowercase) {
        match folded.chars().next_back().and_then(|last| join(last, letter)) {
            Some(syllable) => {
                folded.pop();
                folded.push(syllable);
            }
            None => folded.push(letter),
        }
    }
    folded
}

/// Joins two jamo, or a syllable without a final and a final, after Unicode chapter 3.12.
fn join(first: char, second: char) -> Option<char> {
    const SYLLABLES: u32 = 0xac00;
    const FINALS: u32 = 28;
    let (first, second) = (u32::from(first), u32::from(second));
    match (first, second) {
        (0x1100..=0x1112, 0x1161..=0x1175) => {
            char::from_u32(SYLLABLES + ((first - 0x1100) * 21 + (second - 0x1161)) * FINALS)
        }
        (0xac00..=0xd7a3, 0x11a8..=0x11c2) if (first - SYLLABLES).is_multiple_of(FINALS) => {
            char::from_u32(first + (second - 0x11a7))
        }
        _ => None,
    }
}
