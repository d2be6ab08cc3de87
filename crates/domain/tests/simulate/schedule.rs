//! One random schedule: performers that die, repeat themselves and come late, streams that lose and repeat
//! entries, a master who cancels and retries. Then calm, in which everything has to end.

use crate::{
    book::Setting,
    choices::Choices,
    world::{Checked, Entry, Outcome, Tally, World},
};
use domain::{
    pace::Pace,
    task::{Cause, Failure, Kind, State},
};
use serde_json::json;

/// Rounds of calm after which an order that still lives is stuck.
const MAX_CALM: usize = 200;

/// A performer at work on a row.
#[derive(Debug, Clone)]
struct Job {
    row: usize,
    attempt: i32,
}

/// Runs one schedule; the error says what was untrue, after what happened if that was recorded.
pub(crate) fn run(setting: &Setting, choices: &mut Choices, traced: bool) -> Result<Tally, (String, Vec<String>)> {
    let mut world = World::new(setting, traced);
    let mut jobs = Vec::new();
    let checked = storm(&mut world, &mut jobs, choices).and_then(|()| calm(&mut world, &mut jobs, choices));
    match checked {
        Ok(()) => Ok(world.tally),
        Err(reason) => Err((reason, world.trace.unwrap_or_default())),
    }
}

fn storm(world: &mut World<'_>, jobs: &mut Vec<Job>, choices: &mut Choices) -> Checked {
    for _ in 0..choices.pick(60) {
        match choices.pick(24) {
            0..=9 => receive(world, jobs, choices, true)?,
            10..=17 => work(world, jobs, choices, true)?,
            18 | 19 => {
                // Time passes: a lease runs out, whether its holder is dead or only slow.
                let held: Vec<usize> =
                    (0..world.rows.len()).filter(|row| world.rows[*row].state == State::InProgress).collect();
                if !held.is_empty() {
                    world.rows[held[choices.pick(held.len())]].lease_lost = true;
                }
            }
            20 => world.sweep()?,
            // There is money again, or a provider.
            21 if choices.chance(50) => {
                for row in 0..world.rows.len() {
                    world.unhold(row, !choices.chance(15))?;
                }
            }
            21 if !world.rows.is_empty() && choices.chance(30) => {
                let row = choices.pick(world.rows.len());
                world.note(|| format!("cancel row {row}"));
                world.cancel_task(row)?;
            }
            22 if choices.chance(20) => world.cancel_root()?,
            23 => world.retry()?,
            // Redis is emptied.
            _ if choices.chance(10) => {
                world.count("Redis was emptied");
                world.entries.clear();
            }
            _ => {}
        }
    }
    Ok(())
}

fn calm(world: &mut World<'_>, jobs: &mut Vec<Job>, choices: &mut Choices) -> Checked {
    world.note(|| "calm".to_owned());
    for _ in 0..MAX_CALM {
        while !world.entries.is_empty() {
            receive(world, jobs, choices, false)?;
        }
        while !jobs.is_empty() {
            work(world, jobs, choices, false)?;
        }
        let quiet = world.root.is_terminal() && world.rows.iter().all(|row| row.state.is_terminal());
        if quiet && world.entries.is_empty() {
            return world.check_books();
        }
        for row in &mut world.rows {
            row.lease_lost |= row.state == State::InProgress;
        }
        world.sweep()?;
    }
    Err("the order never ends".to_owned())
}

/// One entry of a stream reaches its reader.
fn receive(world: &mut World<'_>, jobs: &mut Vec<Job>, choices: &mut Choices, storm: bool) -> Checked {
    if world.entries.is_empty() {
        return Ok(());
    }
    let place = choices.pick(world.entries.len());
    let entry = world.entries[place];
    world.note(|| format!("receive {entry:?}"));
    // Delivered and not acknowledged comes again; lost does not come at all.
    if !(storm && choices.chance(15)) {
        world.entries.swap_remove(place);
    }
    if storm && choices.chance(10) {
        return Ok(());
    }
    match entry {
        Entry::Plan | Entry::Settled(_) => world.orchestrate(None, storm && choices.chance(10)),
        Entry::Perform(row) => {
            if let Some(attempt) = world.claim(row)? {
                // The performer may die between its claim and its work.
                if !(storm && choices.chance(10)) {
                    jobs.push(Job { row, attempt });
                }
            }
            Ok(())
        }
    }
}

/// One performer ends what it does, well or badly, dies, or says twice that it has ended.
fn work(world: &mut World<'_>, jobs: &mut Vec<Job>, choices: &mut Choices, storm: bool) -> Checked {
    if jobs.is_empty() {
        return Ok(());
    }
    let place = choices.pick(jobs.len());
    let job = jobs[place].clone();
    let twice = storm && choices.chance(15);
    if !twice {
        jobs.swap_remove(place);
    }
    if storm && choices.chance(10) {
        world.note(|| format!("the performer of row {} dies", job.row));
        return Ok(());
    }
    if world.rows[job.row].kind == Kind::Ask && choices.chance(8) && !twice {
        world.note(|| format!("row {} is held", job.row));
        return world.hold(job.row, job.attempt);
    }
    if world.rows[job.row].pace == Pace::Batch && choices.chance(15) && !twice {
        world.note(|| format!("batches fail row {}", job.row));
        return world.fall_back(job.row, job.attempt, !(storm && choices.chance(15)));
    }
    let end = if choices.chance(25) {
        Err(Failure::new(Cause::Exhausted, "no model answered"))
    } else {
        let list: Vec<usize> = (0..choices.pick(5)).collect();
        Ok(json!({ "text": "답", "data": { "flag": choices.chance(60), "list": list } }))
    };
    let outcome = Outcome { row: job.row, attempt: job.attempt, end };
    world.note(|| format!("{outcome:?}"));
    if choices.chance(50) {
        // The orchestrator's own performers settle in the transaction that ends the task.
        return world.orchestrate(Some(&outcome), storm && choices.chance(10));
    }
    world.finish(&outcome, false)?;
    if !(storm && choices.chance(15)) {
        world.entries.push(Entry::Settled(job.row));
    }
    Ok(())
}
