//! The points of view that an answer can take, as data. Refuses to know any roster: it goes by the words of the
//! system prompt.

use std::sync::LazyLock;

use serde::Deserialize;

/// One point of view.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lens {
    /// Words of system prompts and of questions that belong to it, in lower case, both languages.
    pub(crate) keys: Vec<String>,
    pub(crate) ko: Wording,
    pub(crate) en: Wording,
}

/// What is said from it, in one language; `{n}` is a noun of the question, `{t}` its topic.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wording {
    /// Names the point of view in the heading.
    pub(crate) title: String,
    /// Points, each `bold part — rest`.
    pub(crate) points: Vec<String>,
    /// What an honest specialist would doubt.
    pub(crate) doubt: String,
}

static LENSES: LazyLock<Vec<Lens>> =
    LazyLock::new(|| serde_json::from_str(include_str!("lenses.json")).unwrap_or_default());

/// All points of view.
pub(crate) fn lenses() -> &'static [Lens] {
    &LENSES
}

impl Lens {
    /// How many of its words a text in lower case has; the first word of the list weighs double.
    pub(crate) fn weight(&self, lower: &str) -> usize {
        let has = |key: &String| usize::from(lower.contains(key.as_str()));
        self.keys.iter().map(has).sum::<usize>() + self.keys.first().map_or(0, has)
    }

    /// The point of view that a system prompt asks for; the last one, which is general, when none fits.
    pub(crate) fn of(system: &str) -> Option<&'static Lens> {
        let lower = system.to_lowercase();
        // The role stands in the first sentence; what follows is mostly manners.
        let first = lower.split(['.', '\n']).next().unwrap_or_default();
        heaviest(first).or_else(|| heaviest(&lower)).or(lenses().last())
    }

    pub(crate) fn wording(&self, korean: bool) -> &Wording {
        if korean { &self.ko } else { &self.en }
    }
}

fn heaviest(lower: &str) -> Option<&'static Lens> {
    let mut best = (0, None);
    for lens in lenses() {
        let weight = lens.weight(lower);
        if weight > best.0 {
            best = (weight, Some(lens));
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_is_whole() {
        assert!(serde_json::from_str::<Vec<Lens>>(include_str!("lenses.json")).is_ok());
        for lens in lenses() {
            for wording in [&lens.ko, &lens.en] {
                assert!(wording.points.len() >= 4, "{}", wording.title);
                assert!(wording.points.iter().all(|point| point.contains(" — ")), "{}", wording.title);
            }
        }
    }

    #[test]
    fn roles_get_their_own_view() {
        let title = |system: &str| Lens::of(system).unwrap().en.title.clone();
        let cost = title("You break costs down, fixed and variable, and find what drives them.");
        let campaign = title("You plan campaigns: message, offer, channel, calendar.");
        let customer = title("You speak for the customer: who they are, what they worry about.");
        assert!(cost != campaign && campaign != customer && cost != customer);
        assert_eq!(title("zzz"), lenses().last().unwrap().en.title);
    }
}
