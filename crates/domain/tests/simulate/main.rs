//! Random schedules over random playbooks: claims, completions, failures, duplicates, lost announcements and
//! crashes. Every order ends, no task ends twice, no dependent starts early, every answer is booked once.
//!
//! A longer run by one command: `SCHEDULES=10000000 cargo nextest run -p domain --test simulate`; other
//! schedules than the suite's with `SEED=…`. A failure is shortened and printed with its playbook.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a simulation stops at the first surprise"
)]

mod book;
mod choices;
mod orchestrator;
mod schedule;
mod world;

use book::Setting;
use choices::{Choices, shrink};
use world::Tally;

const SCHEDULES: u64 = 100_000;
const SEED: u64 = 20_261_107;
/// Schedules that one playbook is put through: reading one costs as much as many of them.
const PER_PLAYBOOK: u64 = 25;

#[expect(clippy::disallowed_methods, reason = "a test's own knob: there is no service and no config here")]
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// What has to have happened, or the simulation proves nothing about it.
const WITNESSES: [&str; 20] = [
    "an order was completed",
    "an order failed",
    "an order was cancelled",
    "an order was retried",
    "a retry kept what was paid for",
    "failures were tolerated",
    "a performer came too late",
    "a command was lost",
    "a task was queued again",
    "Redis was emptied",
    "a report was delivered",
    "for each of a list that a task gave",
    "skipped",
    "need_failed",
    "bad_template",
    "unsupported",
    "an ask went into a batch",
    "a task was held",
    "an ask fell back to now",
    "looped",
];

#[test]
fn every_order_ends_once_whatever_happens() {
    let schedules = number("SCHEDULES", SCHEDULES);
    let seed = number("SEED", SEED);
    let threads = u64::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
    let books = schedules.div_ceil(PER_PLAYBOOK);
    let tallies: Vec<Tally> = std::thread::scope(|scope| {
        let step = usize::try_from(threads).unwrap();
        let one = |thread: u64| {
            move || (thread..books).step_by(step).map(|book| try_book(seed, book)).fold(Tally::new(), add)
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(one(thread))).collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let tally = tallies.into_iter().fold(Tally::new(), add);
    for (what, times) in &tally {
        println!("{times:>9} {what}");
    }
    for witness in WITNESSES {
        assert!(tally.contains_key(witness) || schedules < 10_000, "it never happened: {witness}");
    }
}

fn add(mut sum: Tally, other: Tally) -> Tally {
    other.into_iter().for_each(|(what, times)| *sum.entry(what).or_default() += times);
    sum
}

fn try_book(seed: u64, book: u64) -> Tally {
    let book_seed = seed.wrapping_mul(0x0001_0000_0001).wrapping_add(book);
    let setting = Setting::random(&mut Choices::seeded(book_seed));
    let mut tally = Tally::new();
    for schedule in 0..PER_PLAYBOOK {
        let mut choices = Choices::seeded(book_seed ^ (schedule + 1).wrapping_mul(0xd6e8_feb8_6659_fd93));
        match schedule::run(&setting, &mut choices, false) {
            Ok(own) => tally = add(tally, own),
            Err((reason, _)) => {
                let what = format!("SEED={seed}, playbook {book}, schedule {schedule}");
                panic!("{what}\n{}", shorten(&setting, choices.taken, &reason));
            }
        }
    }
    tally
}

/// Shortens a failing schedule and tells it.
fn shorten(setting: &Setting, taken: Vec<u32>, reason: &str) -> String {
    let fails = |choices: &[u32]| {
        let mut choices = Choices::replayed(choices.to_vec());
        schedule::run(setting, &mut choices, false).is_err_and(|(other, _)| kind(&other) == kind(reason))
    };
    let short = shrink(taken, fails);
    let (reason, trace) = schedule::run(setting, &mut Choices::replayed(short), true).unwrap_err();
    format!("{reason}\n{}\n{}\n", setting.source, trace.join("\n"))
}

/// The words of a reason without its numbers: shortening must not wander off to another failure.
fn kind(reason: &str) -> String {
    reason.chars().filter(|letter| !letter.is_ascii_digit()).take(30).collect()
}
