//! The choice of a pace: never later than asked for when it can be helped, never dearer than needed.

use domain::pace::{BATCH_UNKNOWN, FLEX_ROUND, Facts, HURRY, NOW_ROUND, Pace, Route, choose};
use std::{collections::HashMap, time::Duration};
use time::{OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-21 09:00 UTC);
const HOUR: Duration = Duration::from_hours(1);

fn facts(models: &[(&str, Route)]) -> Facts {
    Facts { now: NOW, models: models.iter().map(|(model, route)| ((*model).to_owned(), *route)).collect() }
}

fn models(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

const ALL: Route = Route { flex: true, batch: true, blackout: false, batch_took: None };
const NONE: Route = Route { flex: false, batch: false, blackout: false, batch_took: None };

#[test]
fn what_is_ordered_is_done_where_it_can_be_and_said_where_it_cannot() {
    let table = [
        (Pace::Now, NONE, Pace::Now, None),
        (Pace::Flex, ALL, Pace::Flex, None),
        (Pace::Batch, ALL, Pace::Batch, None),
        (Pace::Flex, NONE, Pace::Now, Some("flex: a/m has no slower tier, so it is asked at now")),
        (
            Pace::Batch,
            Route { batch: false, ..ALL },
            Pace::Flex,
            Some("batch: a/m cannot be asked in batches, so it is asked at flex"),
        ),
        (Pace::Batch, NONE, Pace::Now, Some("batch: a/m cannot be asked in batches, so it is asked at now")),
        (Pace::Auto, ALL, Pace::Batch, Some("auto: there is no deadline, and batch costs half")),
        (Pace::Auto, NONE, Pace::Now, Some("auto: a/m has neither batches nor a slower tier")),
    ];
    for (wanted, route, pace, reason) in table {
        let choice = choose(wanted, None, 3, &models(&["off/x", "a/m"]), &facts(&[("a/m", route)]));
        assert_eq!((choice.pace, choice.reason.as_deref()), (pace, reason), "{wanted} {route:?}");
    }
    let nobody = choose(Pace::Batch, None, 1, &models(&["off/x"]), &facts(&[]));
    assert_eq!(nobody.pace, Pace::Now);
    assert!(nobody.reason.unwrap().contains("no provider"));
}

#[test]
fn a_deadline_that_nothing_can_meet_is_not_made_worse() {
    for left in [-3600, 0, 30, 59] {
        for wanted in [Pace::Batch, Pace::Flex, Pace::Auto] {
            let deadline = Some(NOW + time::Duration::seconds(left));
            let choice = choose(wanted, deadline, 2, &models(&["a/m"]), &facts(&[("a/m", ALL)]));
            assert_eq!(choice.pace, Pace::Now, "{wanted} with {left} s left");
            assert!(choice.reason.unwrap().contains("before the deadline"));
        }
    }
}

#[test]
fn a_batch_that_is_ordered_is_not_second_guessed() {
    let deadline = Some(NOW + Duration::from_mins(5));
    assert_eq!(choose(Pace::Batch, deadline, 4, &models(&["a/m"]), &facts(&[("a/m", ALL)])).pace, Pace::Batch);
}

#[test]
fn auto_goes_by_what_batches_lately_took() {
    let known = Route { batch_took: Some(Duration::from_mins(20)), ..ALL };
    // 20 min and half of it, and 2 min around: 32 min for this round, 3 min for each later one.
    let table =
        [(31, 1, Pace::Flex), (32, 1, Pace::Batch), (34, 2, Pace::Flex), (35, 2, Pace::Batch), (14, 1, Pace::Now)];
    for (minutes, rounds, pace) in table {
        let deadline = Some(NOW + Duration::from_mins(minutes));
        let choice = choose(Pace::Auto, deadline, rounds, &models(&["a/m"]), &facts(&[("a/m", known)]));
        assert_eq!(choice.pace, pace, "{minutes} min, {rounds} rounds: {:?}", choice.reason);
    }
    let tomorrow = Some(NOW + 23 * HOUR);
    let choice = choose(Pace::Auto, tomorrow, 4, &models(&["a/m"]), &facts(&[("a/m", ALL)]));
    assert_eq!(choice.pace, Pace::Batch, "by tomorrow morning");
    let reason = choice.reason.unwrap();
    assert_eq!(
        reason,
        "auto: 23 h are left for 4 rounds, and nothing is known yet of a's batches, so 4 h are reckoned"
    );
}

#[test]
fn a_provider_in_blackout_decides_only_when_there_is_no_other() {
    let dark = Route { blackout: true, ..ALL };
    let both = facts(&[("a/m", dark), ("b/m", NONE)]);
    assert_eq!(choose(Pace::Batch, None, 1, &models(&["a/m", "b/m"]), &both).pace, Pace::Now);
    assert_eq!(choose(Pace::Batch, None, 1, &models(&["a/m"]), &both).pace, Pace::Batch);
}

/// A cheap source of numbers: the same every time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn route(&mut self) -> Route {
        Route {
            flex: self.below(2) == 0,
            batch: self.below(4) > 0,
            blackout: self.below(5) == 0,
            batch_took: (self.below(2) == 0).then(|| Duration::from_secs(self.below(40_000))),
        }
    }
}

fn cost(pace: Pace) -> u8 {
    match pace {
        Pace::Batch => 0,
        Pace::Flex => 1,
        Pace::Now | Pace::Auto => 2,
    }
}

/// What a round is reckoned to take at a pace, told once more from the design.
fn reckoned(pace: Pace, route: Route) -> Duration {
    match pace {
        Pace::Batch => route.batch_took.map_or(BATCH_UNKNOWN, |took| took * 3 / 2 + Duration::from_mins(2)),
        Pace::Flex => FLEX_ROUND,
        Pace::Now | Pace::Auto => Duration::ZERO,
    }
}

#[test]
fn the_choice_holds_over_random_facts() {
    let mut numbers = Numbers(20_261_121);
    for _ in 0..100_000 {
        let known = HashMap::from([("a/m".to_owned(), numbers.route()), ("b/m".to_owned(), numbers.route())]);
        let facts = Facts { now: NOW, models: known };
        let models = models(&["a/m", "b/m"]);
        let rounds = u32::try_from(numbers.below(7)).unwrap();
        let left = Duration::from_secs(numbers.below(60_000));
        let wanted = Pace::ALL[usize::try_from(numbers.below(4)).unwrap()];
        let at = |left: Duration| choose(wanted, Some(NOW + left), rounds, &models, &facts);
        let choice = at(left);
        let told = format!("{wanted}, {left:?}, {rounds} rounds, {facts:?}: {choice:?}");
        assert_ne!(choice.pace, Pace::Auto, "{told}");
        assert_eq!(choice.reason.is_none(), choice.pace == wanted, "{told}");
        let route = facts.models["a/m"];
        let route = if route.blackout && !facts.models["b/m"].blackout { facts.models["b/m"] } else { route };
        assert!(choice.pace != Pace::Batch || route.batch, "{told}");
        assert!(choice.pace != Pace::Flex || route.flex, "{told}");
        assert!(left >= HURRY || choice.pace == Pace::Now, "{told}");
        if wanted == Pace::Auto {
            let later = NOW_ROUND * rounds.saturating_sub(1);
            assert!(reckoned(choice.pace, route) + later <= left || choice.pace == Pace::Now, "it misses: {told}");
            for (cheaper, offered) in [(Pace::Batch, route.batch), (Pace::Flex, route.flex)] {
                let fits = offered && left >= HURRY && reckoned(cheaper, route) + later <= left;
                assert!(!fits || cost(choice.pace) <= cost(cheaper), "{cheaper} would do: {told}");
            }
        }
        let more = at(left + Duration::from_secs(numbers.below(20_000)));
        assert!(cost(more.pace) <= cost(choice.pace), "more time costs more: {told}, then {more:?}");
        let fewer = choose(wanted, Some(NOW + left), rounds.saturating_sub(1), &models, &facts);
        assert!(cost(fewer.pace) <= cost(choice.pace), "fewer rounds cost more: {told}, then {fewer:?}");
    }
}
