//! The rows of one order and the moves that the database would allow, each checked against what must never
//! be untrue. It is written from the design, not from the code under test.

use crate::book::Setting;
use domain::{
    pace::Pace,
    playbook::{DELIVER_STEP, Tolerate},
    task::{Cause, Failure, Kind, State},
};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};

/// How often each thing happened that the simulation is there for.
pub(crate) type Tally = BTreeMap<&'static str, u64>;
pub(crate) type Checked<T = ()> = Result<T, String>;

/// One child task's row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) step: String,
    pub(crate) item: Option<i32>,
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) agent: Option<String>,
    pub(crate) failure: Option<Failure>,
    pub(crate) result: Option<Value>,
    pub(crate) attempt: i32,
    /// Attempts that were put off.
    pub(crate) holds: i32,
    pub(crate) pace: Pace,
    pub(crate) fingerprint: Option<i64>,
    pub(crate) lease_lost: bool,
    pub(crate) settled: bool,
    pub(crate) repeatable: bool,
    /// Claims since it last became pending.
    pub(super) claims: u32,
}

/// An entry of a stream: a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Entry {
    Plan,
    Perform(usize),
    Settled(usize),
}

/// How a performer ended a task.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) row: usize,
    pub(crate) attempt: i32,
    pub(crate) end: Result<Value, Failure>,
}

/// One order's rows, its streams and its books.
pub(crate) struct World<'a> {
    pub(super) setting: &'a Setting,
    pub(crate) root: State,
    pub(crate) rows: Vec<Row>,
    pub(crate) entries: Vec<Entry>,
    /// Charges by row and attempt, as the primary key has them.
    booked: HashSet<(usize, i32)>,
    completions: HashSet<(usize, i32)>,
    pub(crate) trace: Option<Vec<String>>,
    pub(crate) tally: Tally,
}

impl<'a> World<'a> {
    pub(crate) fn new(setting: &'a Setting, traced: bool) -> Self {
        Self {
            setting,
            root: State::Pending,
            rows: Vec::new(),
            entries: vec![Entry::Plan],
            booked: HashSet::new(),
            completions: HashSet::new(),
            trace: traced.then(Vec::new),
            tally: Tally::new(),
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    pub(crate) fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    /// Moves a row by the table of allowed moves.
    pub(super) fn go(&mut self, row: usize, to: State) -> Checked {
        let from = self.rows[row].state;
        self.note(|| format!("  row {row}: {from} -> {to}"));
        if !from.may_move_to(to) {
            return Err(format!("row {row} may not move from {from} to {to}"));
        }
        if from.is_terminal() && to.is_terminal() {
            return Err(format!("row {row} ended twice"));
        }
        if matches!(to, State::Queued | State::InProgress) {
            let step = self.rows[row].step.clone();
            self.needs_ended(&step)?;
        }
        self.rows[row].state = to;
        Ok(())
    }

    pub(super) fn go_root(&mut self, to: State) -> Checked {
        let from = self.root;
        self.note(|| format!("  root: {from} -> {to}"));
        if !from.may_move_to(to) {
            return Err(format!("the root may not move from {from} to {to}"));
        }
        self.root = to;
        Ok(())
    }

    /// No dependent starts before its needs ended, and ended well.
    pub(super) fn needs_ended(&self, step: &str) -> Checked {
        let steps = &self.setting.playbook.steps;
        let needs: Vec<&str> = if step == DELIVER_STEP {
            steps.iter().map(|step| step.id.as_str()).collect()
        } else {
            steps.iter().find(|known| known.id == step).unwrap().needs.iter().map(String::as_str).collect()
        };
        match needs.iter().find(|need| !self.ended_well(need)) {
            None => Ok(()),
            Some(need) => Err(format!("{step} starts although {need} has not ended well")),
        }
    }

    fn ended_well(&self, step: &str) -> bool {
        let own: Vec<&Row> = self.rows.iter().filter(|row| row.step == step).collect();
        let known = self.setting.playbook.steps.iter().find(|known| known.id == step).unwrap();
        let tolerate = known.tolerate;
        let fine = |row: &&&Row| {
            row.state == State::Completed || row.failure.as_ref().is_some_and(|failure| failure.cause == Cause::Skipped)
        };
        let ended = !own.is_empty() && own.iter().all(|row| row.state.is_terminal());
        let starved = own.iter().any(|row| cause(row) == Some(Cause::NeedFailed));
        let fine_ones = own.iter().filter(fine).count();
        ended
            && !starved
            && known.needs.iter().all(|need| self.ended_well(need))
            && match tolerate {
                Tolerate::None => fine_ones == own.len(),
                Tolerate::Some => fine_ones == own.len() || own.iter().any(|row| row.state == State::Completed),
                Tolerate::All => true,
            }
    }

    /// `update … where state = 'queued' returning`: one wins.
    pub(crate) fn claim(&mut self, row: usize) -> Checked<Option<i32>> {
        if self.rows[row].state != State::Queued {
            return Ok(None);
        }
        self.go(row, State::InProgress)?;
        let own = &mut self.rows[row];
        own.attempt += 1;
        own.claims += 1;
        own.lease_lost = false;
        if own.kind == Kind::Command && !own.repeatable && own.claims > 1 {
            return Err(format!("row {row}: a command that may not be repeated is run again"));
        }
        Ok(Some(own.attempt))
    }

    /// `update … where state = 'in_progress' and attempt = … returning`, booked in the same transaction.
    pub(crate) fn finish(&mut self, outcome: &Outcome, settled: bool) -> Checked {
        let row = outcome.row;
        let own = &self.rows[row];
        let (ours, kind) = (own.attempt == outcome.attempt, own.kind);
        let moved = ours && own.state == State::InProgress;
        if kind == Kind::Ask && ours && (moved || own.state == State::Cancelled) {
            self.booked.insert((row, outcome.attempt));
        }
        if !moved {
            self.note(|| format!("  row {row}: attempt {} came too late", outcome.attempt));
            self.count("a performer came too late");
            return Ok(());
        }
        let to = if outcome.end.is_ok() { State::Completed } else { State::Failed };
        self.go(row, to)?;
        if to == State::Completed && kind == Kind::Ask && !self.completions.insert((row, outcome.attempt)) {
            return Err(format!("row {row} completed twice in attempt {}", outcome.attempt));
        }
        let own = &mut self.rows[row];
        own.settled = settled;
        match &outcome.end {
            Ok(result) => own.result = Some(result.clone()),
            Err(failure) => own.failure = Some(failure.clone()),
        }
        Ok(())
    }

    /// A performer puts its attempt aside: there is no money, or no provider.
    pub(crate) fn hold(&mut self, row: usize, attempt: i32) -> Checked {
        let own = &self.rows[row];
        if own.state == State::InProgress && own.attempt == attempt {
            self.count("a task was held");
            self.go(row, State::Held)?;
            self.rows[row].holds += 1;
        }
        Ok(())
    }

    /// Batches have failed an ask: it is queued to be asked at once.
    pub(crate) fn fall_back(&mut self, row: usize, attempt: i32, told: bool) -> Checked {
        let own = &self.rows[row];
        if own.state == State::InProgress && own.attempt == attempt {
            self.count("an ask fell back to now");
            self.go(row, State::Queued)?;
            self.rows[row].pace = Pace::Now;
            if told {
                self.entries.push(Entry::Perform(row));
            }
        }
        Ok(())
    }

    /// Queues what is held, told or not.
    pub(crate) fn unhold(&mut self, row: usize, told: bool) -> Checked {
        if self.rows[row].state == State::Held {
            self.go(row, State::Queued)?;
            if told {
                self.entries.push(Entry::Perform(row));
            }
        }
        Ok(())
    }

    /// Announces again what may have been lost, and takes back what a dead performer held.
    pub(crate) fn sweep(&mut self) -> Checked {
        self.note(|| "sweep".to_owned());
        if self.root == State::Pending {
            self.entries.push(Entry::Plan);
        }
        for row in 0..self.rows.len() {
            let own = &self.rows[row];
            match own.state {
                State::InProgress if own.lease_lost => {
                    if own.kind == Kind::Command && !own.repeatable {
                        self.count("a command was lost");
                        self.end(row, State::Failed, Failure::new(Cause::Lost, "the executor died under it"))?;
                        self.entries.push(Entry::Settled(row));
                    } else {
                        self.count("a task was queued again");
                        self.go(row, State::Queued)?;
                        self.entries.push(Entry::Perform(row));
                    }
                }
                State::Held => self.unhold(row, true)?,
                State::Queued => self.entries.push(Entry::Perform(row)),
                state if state.is_terminal() && !own.settled => self.entries.push(Entry::Settled(row)),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn end(&mut self, row: usize, to: State, failure: Failure) -> Checked {
        self.go(row, to)?;
        self.rows[row].failure = Some(failure);
        self.rows[row].settled = false;
        Ok(())
    }

    /// Cancels one live task.
    pub(crate) fn cancel_task(&mut self, row: usize) -> Checked {
        if !self.rows[row].state.is_terminal() {
            self.end(row, State::Cancelled, Failure::new(Cause::Cancelled, "cancelled by the master"))?;
            self.entries.push(Entry::Settled(row));
        }
        Ok(())
    }

    /// Cancels the order with all that lives.
    pub(crate) fn cancel_root(&mut self) -> Checked {
        self.note(|| "cancel the order".to_owned());
        if !self.root.is_terminal() {
            self.count("an order was cancelled");
            self.go_root(State::Cancelled)?;
            for row in 0..self.rows.len() {
                self.cancel_task(row)?;
            }
        }
        Ok(())
    }

    /// Retries a failed or cancelled order.
    pub(crate) fn retry(&mut self) -> Checked {
        self.note(|| "retry the order".to_owned());
        if matches!(self.root, State::Failed | State::Cancelled) {
            self.go_root(State::Pending)?;
            self.entries.push(Entry::Plan);
        }
        Ok(())
    }

    /// What holds when all is quiet.
    pub(crate) fn check_books(&self) -> Checked {
        for (place, row) in self.rows.iter().enumerate() {
            let completed = row.kind == Kind::Ask && row.state == State::Completed;
            if completed && !self.completions.contains(&(place, row.attempt)) {
                return Err(format!("row {place} is completed by nobody"));
            }
        }
        match self.completions.iter().find(|completion| !self.booked.contains(completion)) {
            None => Ok(()),
            Some((row, attempt)) => Err(format!("row {row}, attempt {attempt} is not booked")),
        }
    }
}

fn cause(row: &Row) -> Option<Cause> {
    row.failure.as_ref().map(|failure| failure.cause)
}
