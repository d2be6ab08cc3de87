//! From what was ordered to how it is asked. Refuses to look at a clock or a provider: both are handed in.
//!
//! The first model of the list whose provider is on and can serve decides, for it is the one that will be asked.
//! A round is a stage of the playbook: its asks wait for those of the round before. This round may take what the
//! later ones leave of the time when they are asked at pace now; each of them chooses anew when its turn comes, so
//! that a batch that came early makes the next one possible.

use super::Pace;
use std::{collections::HashMap, time::Duration};
use time::OffsetDateTime;

/// What one round at pace now is taken to need, its repeats included.
pub const NOW_ROUND: Duration = Duration::from_mins(3);
/// What one round at pace flex is taken to need: providers let such asks wait up to a quarter of an hour.
pub const FLEX_ROUND: Duration = Duration::from_mins(15);
/// What one round of batches is taken to need while nothing is known of the provider's: most end within an hour, few
/// take longer than this, and the batch-poller gives up on those that would miss the deadline.
pub const BATCH_UNKNOWN: Duration = Duration::from_hours(4);
/// With less time than this left, nobody waits for a batch or a slower tier, whatever was ordered.
pub const HURRY: Duration = Duration::from_mins(1);
/// What a round of batches takes besides the provider's time: gathering, submitting, polling.
const AROUND: Duration = Duration::from_mins(2);

/// What is known when a pace is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The time.
    pub now: OffsetDateTime,
    /// How each model may be asked, by `provider/model`; a model whose provider is off is not there.
    pub models: HashMap<String, Route>,
}

impl Facts {
    /// Returns facts that know of no model: enough when all is asked at pace now.
    #[must_use]
    pub fn none(now: OffsetDateTime) -> Self {
        Self { now, models: HashMap::new() }
    }
}

/// How a model may be asked, besides at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Route {
    /// The provider has the slower tier for it.
    pub flex: bool,
    /// It may be asked in a batch.
    pub batch: bool,
    /// The provider cannot serve at the moment.
    pub blackout: bool,
    /// What nine of ten of the provider's batches lately took, from the closing of the group to the last result.
    pub batch_took: Option<Duration>,
}

/// How an ask is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Never [`Pace::Auto`].
    pub pace: Pace,
    /// One plain sentence when the pace is not what was ordered.
    pub reason: Option<String>,
}

impl Choice {
    fn because(pace: Pace, reason: impl Into<String>) -> Self {
        Self { pace, reason: Some(reason.into()) }
    }
}

/// Chooses how an ask of these models is asked. `rounds_left` counts the rounds from this one to the order's end, this
/// one included.
#[must_use]
pub fn choose(
    wanted: Pace,
    deadline: Option<OffsetDateTime>,
    rounds_left: u32,
    models: &[String],
    facts: &Facts,
) -> Choice {
    if wanted == Pace::Now {
        return Choice { pace: Pace::Now, reason: None };
    }
    let Some((model, route)) = first(models, facts) else {
        return Choice::because(Pace::Now, format!("{wanted}: no provider of the agent's models is switched on"));
    };
    let left = deadline.map(|deadline| Duration::try_from(deadline - facts.now).unwrap_or_default());
    if let Some(left) = left.filter(|left| *left < HURRY) {
        let reason = format!("{wanted}: only {} are left before the deadline, so it is asked at once", span(left));
        return Choice::because(Pace::Now, reason);
    }
    match (wanted, left) {
        (Pace::Auto, Some(left)) => in_time(left, rounds_left, (model, route)),
        (Pace::Auto, None) => match cheapest(route) {
            Pace::Now => Choice::because(Pace::Now, format!("auto: {model} has neither batches nor a slower tier")),
            pace => Choice::because(pace, format!("auto: there is no deadline, and {pace} costs half")),
        },
        (Pace::Batch, _) if !route.batch => {
            let instead = cheapest(route);
            Choice::because(instead, format!("batch: {model} cannot be asked in batches, so it is asked at {instead}"))
        }
        (Pace::Flex, _) if !route.flex => {
            Choice::because(Pace::Now, format!("flex: {model} has no slower tier, so it is asked at now"))
        }
        (pace, _) => Choice { pace, reason: None },
    }
}

/// Returns the model that decides: the first that is on and can serve, else the first that is on.
fn first<'a>(models: &'a [String], facts: &Facts) -> Option<(&'a str, Route)> {
    let known = || models.iter().filter_map(|model| facts.models.get(model).map(|route| (model.as_str(), *route)));
    known().find(|(_, route)| !route.blackout).or_else(|| known().next())
}

fn cheapest(route: Route) -> Pace {
    match route {
        Route { batch: true, .. } => Pace::Batch,
        Route { flex: true, .. } => Pace::Flex,
        _ => Pace::Now,
    }
}

/// Chooses the cheapest way that leaves the later rounds the time they need at pace now.
fn in_time(left: Duration, rounds_left: u32, (model, route): (&str, Route)) -> Choice {
    let later = NOW_ROUND.saturating_mul(rounds_left.saturating_sub(1));
    let left_of = format!("{} are left for {}", span(left), rounds(rounds_left));
    let took = route.batch_took.map(with_margin);
    let batch = took.unwrap_or(BATCH_UNKNOWN);
    let provider = model.split_once('/').map_or(model, |(provider, _)| provider);
    let known = match took {
        Some(took) => format!("{provider}'s batches lately take up to {}", span(took)),
        None => format!("nothing is known yet of {provider}'s batches, so {} are reckoned", span(BATCH_UNKNOWN)),
    };
    if route.batch && batch.saturating_add(later) <= left {
        return Choice::because(Pace::Batch, format!("auto: {left_of}, and {known}"));
    }
    let why = if route.batch { known } else { format!("{model} cannot be asked in batches") };
    if route.flex && FLEX_ROUND.saturating_add(later) <= left {
        return Choice::because(Pace::Flex, format!("auto: {left_of}, {why}, and flex costs half"));
    }
    Choice::because(Pace::Now, format!("auto: {left_of}, and {why}"))
}

/// Adds half to what batches lately took, and what is ours around them.
fn with_margin(took: Duration) -> Duration {
    took.saturating_add(took / 2).saturating_add(AROUND)
}

fn rounds(count: u32) -> String {
    if count <= 1 { "the last round".to_owned() } else { format!("{count} rounds") }
}

/// Writes a span of time for people: `45 s`, `12 min`, `3 h 20 min`.
fn span(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    match (hours, minutes) {
        (0, _) if seconds < 120 => format!("{seconds} s"),
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
