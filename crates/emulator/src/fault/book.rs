//! Decides which fault an ask gets: the header's, then its prompt's markers, then the rules. Refuses to know a
//! wire format and to draw at random.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::effect::Fault;
use super::point::Point;
use super::spec::{self, Spec, SpecError};
use crate::seed;

const OPEN: &str = "[[emulate:";
const CLOSE: &str = "]]";

/// A fault for all asks that it matches, as `POST /emulator/faults` takes it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The fault as it is written in a marker, for example `429; retry-after=1`.
    pub fault: String,
    /// A part of the prompt, of the model's name, or the provider's name; none matches every ask.
    #[serde(default, rename = "match")]
    pub matching: Option<String>,
    /// How many asks get it, none = all.
    #[serde(default)]
    pub times: Option<u32>,
    /// How many of a hundred asks get it, by the emulator's seed.
    #[serde(default)]
    pub percent: Option<u64>,
}

/// What a fault's conditions look at.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) provider: &'static str,
    pub(crate) model: &'a str,
    /// The texts of the ask, system prompt first.
    pub(crate) texts: Vec<&'a str>,
}

#[derive(Debug)]
struct Kept {
    id: u64,
    any: Option<String>,
    spec: Spec,
    seen: u64,
    played: u32,
}

#[derive(Debug, Default)]
struct Pages {
    next: u64,
    rules: Vec<Kept>,
    played: HashMap<u64, u32>,
    seen: HashMap<u64, u64>,
}

/// All rules of an emulator, and how often each fault was played.
#[derive(Debug)]
pub(crate) struct Book {
    seed: u64,
    armed: AtomicBool,
    pages: Mutex<Pages>,
}

impl Book {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, armed: AtomicBool::new(false), pages: Mutex::default() }
    }

    /// Adds a rule and returns its id.
    pub(crate) fn add(&self, rule: &Rule) -> Result<u64, SpecError> {
        let specs = spec::read(&rule.fault)?;
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = 0;
        for mut spec in specs {
            spec.times = rule.times.or(spec.times);
            spec.percent = rule.percent.or(spec.percent);
            last = pages.next;
            pages.next += 1;
            pages.rules.push(Kept { id: last, any: rule.matching.clone(), spec, seen: 0, played: 0 });
        }
        self.armed.store(true, Ordering::Release);
        Ok(last)
    }

    /// Removes all rules and counts.
    pub(crate) fn clear(&self) {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        *pages = Pages { next: pages.next, ..Pages::default() };
        self.armed.store(false, Ordering::Release);
    }

    /// Rule id, and how often it was played.
    pub(crate) fn played(&self) -> Vec<(u64, u32)> {
        let pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        pages.rules.iter().map(|rule| (rule.id, rule.played)).collect()
    }

    /// The fault that is played here; fails when the header or a marker cannot be read.
    pub(crate) fn choose(
        &self,
        header: Option<&str>,
        point: Point,
        subject: &Subject<'_>,
    ) -> Result<Option<Fault>, SpecError> {
        Ok(self.draw(header, point, subject, 1)?.pop())
    }

    /// All faults that together are a new batch's fate; fails when the header cannot be read.
    pub(crate) fn fates(&self, header: Option<&str>, subject: &Subject<'_>) -> Result<Vec<Fault>, SpecError> {
        self.draw(header, Point::Fate, subject, usize::MAX)
    }

    fn draw(
        &self,
        header: Option<&str>,
        point: Point,
        subject: &Subject<'_>,
        most: usize,
    ) -> Result<Vec<Fault>, SpecError> {
        let mut specs = Vec::new();
        if let Some(header) = header {
            specs.extend(spec::read(header)?);
        }
        if point.has_prompt() {
            for text in &subject.texts {
                for marker in markers(text) {
                    specs.extend(spec::read(marker)?);
                }
            }
        }
        if specs.is_empty() && !self.armed.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let mut drawn = Vec::new();
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, spec) in specs.iter().enumerate() {
            let here = spec.at.is_none_or(|at| at == point) && point.takes(spec.fault.effect);
            if !here || !subject.fits(spec) {
                continue;
            }
            let mut key = subject.key(spec);
            if spec.key.is_none() {
                key ^= seed::mix(u64::try_from(place).unwrap_or(u64::MAX));
            }
            if pages.plays(spec, key, self.seed) {
                drawn.push(spec.fault.clone());
            }
            if drawn.len() >= most {
                return Ok(drawn);
            }
        }
        pages.ruled(point, subject, self.seed, most, &mut drawn);
        Ok(drawn)
    }
}

impl Pages {
    /// Counts one more ask for a marker's or header's key and tells whether it gets the fault.
    fn plays(&mut self, spec: &Spec, key: u64, seed: u64) -> bool {
        if let Some(percent) = spec.percent {
            let seen = self.seen.entry(key).or_default();
            *seen += 1;
            if seed::mix(seed ^ key ^ *seen) % 100 >= percent {
                return false;
            }
        }
        let Some(times) = spec.times else { return true };
        let played = self.played.entry(key).or_default();
        if *played >= times {
            return false;
        }
        *played += 1;
        true
    }

    /// Draws the rules' faults until there are `most`.
    fn ruled(&mut self, point: Point, subject: &Subject<'_>, seed: u64, most: usize, drawn: &mut Vec<Fault>) {
        let mut rules = std::mem::take(&mut self.rules);
        for rule in &mut rules {
            if drawn.len() >= most {
                break;
            }
            let here = rule.spec.at.map_or_else(|| point.is_home(), |at| at == point);
            let fits = rule.any.as_deref().is_none_or(|part| subject.has(part)) && subject.fits(&rule.spec);
            if !here || !point.takes(rule.spec.fault.effect) || !fits {
                continue;
            }
            rule.seen += 1;
            let plays = match rule.spec.key.as_deref() {
                Some("prompt") => self.plays(&rule.spec, subject.prompt() ^ seed::mix(rule.id), seed),
                Some(_) => {
                    let key = subject.key(&rule.spec);
                    self.plays(&rule.spec, key, seed)
                }
                None => {
                    let lot = seed::mix(seed ^ seed::mix(rule.id) ^ rule.seen) % 100;
                    rule.spec.percent.is_none_or(|percent| lot < percent)
                        && rule.spec.times.is_none_or(|times| rule.played < times)
                }
            };
            if plays {
                rule.played += 1;
                drawn.push(rule.spec.fault.clone());
            }
        }
        self.rules = rules;
    }
}

impl Subject<'_> {
    fn fits(&self, spec: &Spec) -> bool {
        spec.provider.as_deref().is_none_or(|provider| provider == self.provider)
            && spec.model.as_deref().is_none_or(|part| self.model.contains(part))
            && spec.matching.as_deref().is_none_or(|part| self.mentions(part))
    }

    fn has(&self, part: &str) -> bool {
        self.provider == part || self.model.contains(part) || self.mentions(part)
    }

    /// Whether the prompt contains the part; its markers do not count, or each would match itself.
    fn mentions(&self, part: &str) -> bool {
        self.texts.iter().any(|text| unmarked(text).contains(part))
    }

    /// What `times` counts by: the key when there is one, else the prompt.
    fn key(&self, spec: &Spec) -> u64 {
        match spec.key.as_deref() {
            Some(key) => seed::key(1, [key]),
            None => self.prompt(),
        }
    }

    fn prompt(&self) -> u64 {
        seed::key(2, [self.provider, self.model].into_iter().chain(self.texts.iter().copied()))
    }
}

/// The insides of a text's markers.
fn markers(text: &str) -> impl Iterator<Item = &str> {
    text.split(OPEN).skip(1).filter_map(|rest| rest.split_once(CLOSE).map(|(inside, _)| inside))
}

/// A text without its markers.
pub(crate) fn unmarked(text: &str) -> Cow<'_, str> {
    if !text.contains(OPEN) {
        return Cow::Borrowed(text);
    }
    let mut parts = text.split(OPEN);
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.split_once(CLOSE) {
            Some((_, rest)) => plain.push_str(rest),
            None => {
                plain.push_str(OPEN);
                plain.push_str(part);
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::super::effect::Effect;
    use super::*;

    fn choose(book: &Book, text: &str) -> Option<Effect> {
        let subject = Subject { provider: "openai", model: "gpt-6-luna", texts: vec![text] };
        book.choose(None, Point::Ask, &subject).unwrap().map(|fault| fault.effect)
    }

    #[test]
    fn markers_follow_one_another_and_count_per_prompt() {
        let book = Book::new(0);
        let text = "겨울 예약 [[emulate: 429; times=1]] 늘리기 [[emulate: 529; times=1]]";
        assert_eq!(choose(&book, text), Some(Effect::Status(429)));
        assert_eq!(choose(&book, text), Some(Effect::Status(529)));
        assert_eq!(choose(&book, text), None);
        assert_eq!(choose(&book, &format!("{text} 다른")), Some(Effect::Status(429)));
        assert_eq!(unmarked(text), "겨울 예약  늘리기 ");
    }

    #[test]
    fn a_key_is_counted_across_prompts_and_a_match_does_not_see_markers() {
        let book = Book::new(0);
        assert_eq!(choose(&book, "a [[emulate: 500; times=1; key=k]]"), Some(Effect::Status(500)));
        assert_eq!(choose(&book, "b [[emulate: 500; times=1; key=k]]"), None);
        assert_eq!(choose(&book, "재무 [[emulate: 500; match=마케팅]]"), None);
        assert_eq!(choose(&book, "마케팅 [[emulate: 500; match=마케팅]]"), Some(Effect::Status(500)));
    }

    #[test]
    fn a_rule_counts_all_asks_unless_told_per_prompt() {
        let book = Book::new(0);
        let rule = |fault: &str| Rule { fault: fault.to_owned(), times: Some(1), ..Rule::default() };
        book.add(&rule("500")).unwrap();
        assert_eq!(choose(&book, "a"), Some(Effect::Status(500)));
        assert_eq!(choose(&book, "b"), None);
        book.clear();
        book.add(&rule("500; key=prompt")).unwrap();
        assert_eq!(choose(&book, "a"), Some(Effect::Status(500)));
        assert_eq!(choose(&book, "b"), Some(Effect::Status(500)));
        assert_eq!(choose(&book, "a"), None);
    }

    #[test]
    fn a_rule_is_played_where_it_belongs() {
        let book = Book::new(0);
        let subject = Subject { provider: "openai", model: "gpt-6-luna", texts: vec!["겨울 예약"] };
        let at = |point| book.choose(None, point, &subject).unwrap().map(|fault| fault.effect);
        for fault in ["500; at=create; times=1", "item-missing; times=1", "429; times=2", "batch-stuck | batch-inline"]
        {
            book.add(&Rule { fault: fault.to_owned(), ..Rule::default() }).unwrap();
        }
        assert_eq!(at(Point::Status), None);
        assert_eq!(at(Point::Create), Some(Effect::Status(500)));
        assert_eq!(at(Point::Item), Some(Effect::ItemMissing));
        assert_eq!(at(Point::Item), Some(Effect::Status(429)), "what has no place is for asks and items alike");
        assert_eq!(at(Point::Ask), Some(Effect::Status(429)));
        assert_eq!(at(Point::Ask), None);
        let fates: Vec<_> = book.fates(None, &subject).unwrap().into_iter().map(|fault| fault.effect).collect();
        assert_eq!(fates, [Effect::BatchStuck, Effect::BatchInline]);
    }

    #[test]
    fn a_percentage_is_kept_and_repeats_with_the_seed() {
        let run = |seed| {
            let book = Book::new(seed);
            book.add(&Rule { fault: "500".to_owned(), percent: Some(10), ..Rule::default() }).unwrap();
            (0..2_000).map(|n| choose(&book, &n.to_string()).is_some()).collect::<Vec<_>>()
        };
        assert_eq!(run(7), run(7));
        assert_ne!(run(7), run(8));
        let hits = run(7).into_iter().filter(|hit| *hit).count();
        assert!((120..280).contains(&hits), "{hits}");
    }
}
