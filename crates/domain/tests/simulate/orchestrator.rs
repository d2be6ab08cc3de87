//! The orchestrator's side of the simulation: it hands rows to the real decisions and carries out what they
//! say, and checks each action against what must never be untrue.

use crate::world::{Checked, Entry, Outcome, Row, World};
use domain::{
    advance::{Action, Child, Plan, View, Work, advance, restart, wants},
    pace::Pace,
    playbook::DELIVER_STEP,
    task::{Cause, Failure, State},
};
use serde_json::Value;
use std::collections::HashMap;
use uuid::Uuid;

impl<'a> World<'a> {
    /// The orchestrator's one transaction: apply what ended, decide, write.
    pub(crate) fn orchestrate(&mut self, outcome: Option<&Outcome>, shuffle: bool) -> Checked {
        if let Some(outcome) = outcome {
            self.finish(outcome, true)?;
        }
        for row in &mut self.rows {
            row.settled |= row.state.is_terminal();
        }
        if self.root.is_terminal() {
            return Ok(());
        }
        if self.root == State::Pending {
            self.go_root(State::InProgress)?;
            self.restart()?;
        }
        let plan = self.plan();
        let views = self.views();
        let wanted = wants(&plan, &views);
        let results = self.results(&wanted)?;
        let actions = advance(&plan, &views, &results);
        if actions.is_empty() && !wanted.is_empty() {
            return Err("results were wanted for nothing".to_owned());
        }
        if shuffle {
            let turned: Vec<View> = views.iter().rev().cloned().collect();
            if advance(&plan, &turned, &results) != actions {
                return Err("the order of the rows changes the decision".to_owned());
            }
        }
        for action in actions {
            self.carry_out(action)?;
        }
        if !self.root.is_terminal() {
            let (plan, views) = (self.plan(), self.views());
            let wanted = wants(&plan, &views);
            let again = advance(&plan, &views, &self.results(&wanted)?);
            if !again.is_empty() || !wanted.is_empty() {
                return Err(format!("asked again, it decides again: {again:?}"));
            }
            if !self.rows.iter().any(|row| !row.state.is_terminal()) {
                return Err("the order goes on with nothing live".to_owned());
            }
        }
        Ok(())
    }

    fn restart(&mut self) -> Checked {
        let again: Vec<usize> = restart(&self.plan(), &self.views()).iter().map(|id| place(*id)).collect();
        for row in &again {
            self.go(*row, State::Pending)?;
            let own = &mut self.rows[*row];
            (own.failure, own.result, own.settled, own.claims) = (None, None, false, 0);
        }
        if !again.is_empty() {
            self.count("an order was retried");
        }
        if self.rows.iter().any(|row| row.state == State::Completed) && !again.is_empty() {
            self.count("a retry kept what was paid for");
        }
        // What is kept was not made before something that it needs and that now runs again.
        for kept in self.rows.iter().filter(|row| row.state.is_terminal()) {
            let fresh = |row: &&Row| row.state == State::Pending && self.is_needed(&row.step, &kept.step);
            if let Some(fresh) = self.rows.iter().find(fresh) {
                return Err(format!("{} is kept although {} runs again", kept.step, fresh.step));
            }
        }
        Ok(())
    }

    fn is_needed(&self, need: &str, by: &str) -> bool {
        by == DELIVER_STEP && need != DELIVER_STEP
            || self
                .setting
                .playbook
                .steps
                .iter()
                .any(|step| step.id == by && step.needs.iter().any(|own| own == need || self.is_needed(need, own)))
    }

    fn carry_out(&mut self, action: Action) -> Checked {
        self.note(|| format!("  {action:?}"));
        if self.root != State::InProgress {
            return Err(format!("an order that has ended is acted on: {action:?}"));
        }
        match action {
            Action::Create(child) => self.create(child),
            Action::Queue { id, agent, work, pace, .. } => {
                let row = place(id);
                self.paced(&work, pace)?;
                self.go(row, State::Queued)?;
                self.rows[row].agent = agent;
                self.rows[row].repeatable = repeatable(Some(&work));
                (self.rows[row].pace, self.rows[row].fingerprint) = (pace, fingerprint(Some(&work)));
                self.entries.push(Entry::Perform(row));
                Ok(())
            }
            Action::Cancel { id, failure } => self.end_waiting(place(id), State::Cancelled, failure),
            Action::FailTask { id, failure } => self.end_waiting(place(id), State::Failed, failure),
            Action::Complete { .. } => {
                self.all_ended()?;
                self.needs_ended(DELIVER_STEP)?;
                self.count("an order was completed");
                if self.rows.iter().any(|row| row.step == DELIVER_STEP && row.state == State::Completed) {
                    self.count("a report was delivered");
                }
                if self.rows.iter().any(|row| row.state == State::Failed) {
                    self.count("failures were tolerated");
                }
                self.go_root(State::Completed)
            }
            Action::Fail { failure } => {
                self.all_ended()?;
                if self.needs_ended(DELIVER_STEP).is_ok() && failure.cause != Cause::BadTemplate {
                    return Err(format!("the order fails although all went well: {failure:?}"));
                }
                self.count("an order failed");
                self.go_root(State::Failed)
            }
        }
    }

    fn end_waiting(&mut self, row: usize, to: State, failure: Failure) -> Checked {
        if self.rows[row].state != State::Pending {
            return Err(format!("row {row} does not wait, yet is ended by a decision"));
        }
        not_ours(&failure)?;
        self.count(failure.cause.as_str());
        self.end(row, to, failure)?;
        self.rows[row].settled = true;
        Ok(())
    }

    fn create(&mut self, child: Child) -> Checked {
        if self.rows.iter().any(|row| row.step == child.step && row.item == child.item) {
            return Err(format!("{} {:?} is created twice", child.step, child.item));
        }
        if (child.state == State::Queued) != child.work.is_some()
            || matches!(child.state, State::Cancelled | State::Failed) != child.failure.is_some()
        {
            return Err(format!("a child that contradicts itself: {child:?}"));
        }
        if child.item == Some(3) {
            self.count("for each of a list that a task gave");
        }
        if let Some(work) = &child.work {
            self.paced(work, child.pace)?;
        }
        if child.state == State::Queued {
            self.needs_ended(&child.step)?;
            self.entries.push(Entry::Perform(self.rows.len()));
        }
        if let Some(failure) = &child.failure {
            not_ours(failure)?;
            self.count(failure.cause.as_str());
        }
        self.rows.push(Row {
            repeatable: repeatable(child.work.as_ref()),
            step: child.step,
            item: child.item,
            kind: child.kind,
            state: child.state,
            agent: child.agent,
            settled: child.failure.is_some(),
            failure: child.failure,
            result: None,
            attempt: 0,
            holds: 0,
            pace: child.pace,
            fingerprint: fingerprint(child.work.as_ref()),
            lease_lost: false,
            claims: 0,
        });
        Ok(())
    }

    /// What is queued knows how it is asked.
    fn paced(&mut self, work: &Work, pace: Pace) -> Checked {
        if pace == Pace::Auto || (pace != Pace::Now && !matches!(work, Work::Ask(_))) {
            return Err(format!("queued at pace {pace}: {work:?}"));
        }
        if pace == Pace::Batch {
            self.count("an ask went into a batch");
        }
        Ok(())
    }

    /// An order that ends leaves nothing live, and every step has said what became of it.
    fn all_ended(&self) -> Checked {
        if let Some(row) = self.rows.iter().position(|row| !row.state.is_terminal()) {
            return Err(format!("the order ends while row {row} is {}", self.rows[row].state));
        }
        match self.setting.playbook.steps.iter().find(|step| !self.rows.iter().any(|row| row.step == step.id)) {
            None => Ok(()),
            Some(step) => Err(format!("the order ends without a word on {}", step.id)),
        }
    }

    fn plan(&self) -> Plan<'a> {
        let setting = self.setting;
        Plan { order: &setting.order, playbook: &setting.playbook, roster: &setting.roster, facts: &setting.facts }
    }

    fn views(&self) -> Vec<View> {
        let view = |(place, row): (usize, &Row)| View {
            id: id(place),
            step: row.step.clone(),
            item: row.item,
            state: row.state,
            agent: row.agent.clone(),
            failure: row.failure.clone(),
            fingerprint: row.fingerprint,
            attempts: row.attempt - row.holds,
        };
        self.rows.iter().enumerate().map(view).collect()
    }

    /// Hands out what was asked for, and nothing else: a decision must name all that it reads.
    fn results(&self, wanted: &[Uuid]) -> Checked<HashMap<Uuid, Value>> {
        let mut results = HashMap::new();
        for id in wanted {
            let row = &self.rows[place(*id)];
            let Some(result) = row.result.as_ref().filter(|_| row.state == State::Completed) else {
                return Err(format!("the result of a task that is {} was wanted", row.state));
            };
            results.insert(*id, result.clone());
        }
        Ok(results)
    }
}

fn not_ours(failure: &Failure) -> Checked {
    if failure.cause == Cause::Internal { Err(format!("a defect of ours: {failure:?}")) } else { Ok(()) }
}

fn fingerprint(work: Option<&Work>) -> Option<i64> {
    match work {
        Some(Work::Ask(ask)) => Some(ask.fingerprint()),
        _ => None,
    }
}

fn repeatable(work: Option<&Work>) -> bool {
    matches!(work, Some(Work::Command(command)) if command.repeatable)
}

fn id(place: usize) -> Uuid {
    Uuid::from_u128(u128::try_from(place).unwrap() + 1)
}

fn place(id: Uuid) -> usize {
    usize::try_from(id.as_u128()).unwrap() - 1
}
