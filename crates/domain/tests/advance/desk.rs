//! One order on a desk: decisions are carried out at once, and tasks end as a test says.

use domain::{
    advance::{Action, AskWork, Plan, View, Work, advance, restart, wants},
    order::{Deliver, Order},
    pace::{Facts, Pace, Route},
    playbook::Playbook,
    roster::{Agent, Department, Roster},
    task::{Cause, Failure, Priority, State},
};
use serde_json::{Value, json};
use std::collections::HashMap;
use time::macros::datetime;
use uuid::Uuid;

pub(crate) struct Desk {
    pub(crate) playbook: Playbook,
    pub(crate) order: Order,
    pub(crate) roster: Roster,
    pub(crate) tasks: Vec<View>,
    pub(crate) results: HashMap<Uuid, Value>,
    works: HashMap<Uuid, Work>,
    titles: HashMap<Uuid, String>,
    pub(crate) paces: HashMap<Uuid, Pace>,
    pub(crate) facts: Facts,
    /// How the order ended.
    pub(crate) end: Option<Result<String, Failure>>,
}

impl Desk {
    /// Puts an order on the desk; the playbook's name is added.
    pub(crate) fn new(playbook: &str) -> Self {
        let playbook = Playbook::parse("test.toml", &format!("name = \"test\"\n{playbook}")).unwrap();
        let order = Order {
            title: "겨울 예약".to_owned(),
            description: "우리 애견호텔의 겨울 예약을 늘릴 방법".to_owned(),
            priority: Priority::Normal,
            playbook: Some("test".to_owned()),
            pace: Pace::Now,
            deadline: None,
            deliver: Vec::new(),
            agents: Vec::new(),
            budget: None,
        };
        Self {
            playbook,
            order,
            roster: roster(),
            tasks: Vec::new(),
            results: HashMap::new(),
            works: HashMap::new(),
            titles: HashMap::new(),
            paces: HashMap::new(),
            facts: facts(&roster()),
            end: None,
        }
    }

    pub(crate) fn plan(&self) -> Plan<'_> {
        Plan { order: &self.order, playbook: &self.playbook, roster: &self.roster, facts: &self.facts }
    }

    /// Returns the tasks whose results the next decision reads, by name.
    pub(crate) fn wanted(&self) -> Vec<String> {
        let wanted = wants(&self.plan(), &self.tasks);
        wanted.iter().map(|id| name(self.tasks.iter().find(|task| task.id == *id).unwrap())).collect()
    }

    /// Decides and carries out; the decision sees no more results than it wanted, and decides but once.
    pub(crate) fn go(&mut self) -> &mut Self {
        let actions = self.decide();
        for action in actions {
            self.carry_out(action);
        }
        if self.end.is_none() {
            assert_eq!(self.decide(), [], "asked again, it decides again");
        }
        self
    }

    pub(crate) fn decide(&self) -> Vec<Action> {
        let wanted = wants(&self.plan(), &self.tasks);
        let results = wanted.iter().map(|id| (*id, self.results[id].clone())).collect();
        advance(&self.plan(), &self.tasks, &results)
    }

    fn carry_out(&mut self, action: Action) {
        assert!(self.end.is_none(), "nothing follows an end: {action:?}");
        match action {
            Action::Create(child) => {
                let id = Uuid::from_u128(u128::try_from(self.tasks.len()).unwrap() + 1);
                let (step, item, state) = (child.step, child.item, child.state);
                let fingerprint = fingerprint(child.work.as_ref());
                let (agent, failure) = (child.agent, child.failure);
                self.tasks.push(View { id, step, item, state, agent, failure, fingerprint, attempts: 0 });
                self.titles.insert(id, child.title);
                self.paces.insert(id, child.pace);
                self.works.extend(child.work.map(|work| (id, work)));
            }
            Action::Queue { id, agent, title, work, pace, .. } => {
                let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
                (task.state, task.agent, task.fingerprint) = (State::Queued, agent, fingerprint(Some(&work)));
                self.paces.insert(id, pace);
                self.titles.insert(id, title);
                self.works.insert(id, work);
            }
            Action::Cancel { id, failure } => self.set(id, State::Cancelled, Some(failure)),
            Action::FailTask { id, failure } => self.set(id, State::Failed, Some(failure)),
            Action::Complete { report } => self.end = Some(Ok(report)),
            Action::Fail { failure } => self.end = Some(Err(failure)),
        }
    }

    fn set(&mut self, id: Uuid, state: State, failure: Option<Failure>) {
        let task = self.tasks.iter_mut().find(|task| task.id == id).unwrap();
        (task.state, task.failure) = (state, failure);
    }

    fn id(&self, task: &str) -> Uuid {
        self.tasks.iter().find(|known| name(known) == task).unwrap_or_else(|| panic!("no {task}: {}", self.shown())).id
    }

    /// Completes a queued task (`step` or `step[item]`) with a text and data, then decides.
    pub(crate) fn done(&mut self, task: &str, text: &str, data: Value) -> &mut Self {
        let mut result = json!({ "text": text });
        result["data"] = data;
        self.result(task, result)
    }

    /// Completes a queued task with its whole result, then decides.
    pub(crate) fn result(&mut self, task: &str, result: Value) -> &mut Self {
        let id = self.id(task);
        assert_eq!(self.state(task), State::Queued, "{task}");
        self.set(id, State::Completed, None);
        self.results.insert(id, result);
        self.go()
    }

    /// Fails a queued task, then decides.
    pub(crate) fn fail(&mut self, task: &str, reason: &str) -> &mut Self {
        let id = self.id(task);
        assert_eq!(self.state(task), State::Queued, "{task}");
        self.set(id, State::Failed, Some(Failure::new(Cause::Exhausted, reason)));
        self.go()
    }

    /// Cancels a live task by hand, then decides.
    pub(crate) fn cancel(&mut self, task: &str) -> &mut Self {
        let id = self.id(task);
        assert!(!self.state(task).is_terminal(), "{task}");
        self.set(id, State::Cancelled, Some(Failure::new(Cause::Cancelled, "by its master")));
        self.go()
    }

    /// Cancels the order with all that lives, as the database does.
    pub(crate) fn cancel_all(&mut self) -> &mut Self {
        for task in self.tasks.iter_mut().filter(|task| !task.state.is_terminal()) {
            task.state = State::Cancelled;
            task.failure = Some(Failure::new(Cause::Cancelled, "with its order"));
        }
        self
    }

    /// Retries the order: returns what runs again, then decides.
    pub(crate) fn retry(&mut self) -> Vec<String> {
        let again = restart(&self.plan(), &self.tasks);
        self.end = None;
        let mut names = Vec::new();
        for task in self.tasks.iter_mut().filter(|task| again.contains(&task.id)) {
            (task.state, task.failure) = (State::Pending, None);
            names.push(name(task));
        }
        self.go();
        names
    }

    pub(crate) fn state(&self, task: &str) -> State {
        let id = self.id(task);
        self.tasks.iter().find(|known| known.id == id).unwrap().state
    }

    pub(crate) fn failure(&self, task: &str) -> &Failure {
        let id = self.id(task);
        self.tasks.iter().find(|known| known.id == id).unwrap().failure.as_ref().unwrap()
    }

    pub(crate) fn work(&self, task: &str) -> &Work {
        &self.works[&self.id(task)]
    }

    pub(crate) fn ask(&self, task: &str) -> &AskWork {
        match self.work(task) {
            Work::Ask(ask) => ask,
            other => panic!("{task} is no ask: {other:?}"),
        }
    }

    pub(crate) fn title(&self, task: &str) -> &str {
        &self.titles[&self.id(task)]
    }

    pub(crate) fn pace(&self, task: &str) -> Pace {
        self.paces[&self.id(task)]
    }

    /// Shows all tasks in one line: `a completed, b[0] queued`.
    pub(crate) fn shown(&self) -> String {
        let all: Vec<String> = self.tasks.iter().map(|task| format!("{} {}", name(task), task.state)).collect();
        all.join(", ")
    }

    pub(crate) fn report(&self) -> &str {
        self.end.as_ref().expect("the order goes on").as_ref().expect("the order failed")
    }

    pub(crate) fn failed(&self) -> &Failure {
        self.end.as_ref().expect("the order goes on").as_ref().expect_err("the order was completed")
    }

    pub(crate) fn deliver_to(&mut self, urls: &[&str]) {
        self.order.deliver = urls.iter().map(|url| Deliver::Webhook { url: (*url).to_owned() }).collect();
    }
}

fn name(task: &View) -> String {
    match task.item {
        None => task.step.clone(),
        Some(item) => format!("{}[{item}]", task.step),
    }
}

fn roster() -> Roster {
    let agent = |name: &str, title: &str| Agent {
        name: name.to_owned(),
        title: title.to_owned(),
        system: format!("You are {name}."),
        models: vec!["openai/one".to_owned(), "gemini/two".to_owned()],
        max_tokens: 77,
    };
    let department = |name: &str, title: &str, head: &str, specialists: [&str; 2], keywords: &[&str]| Department {
        name: name.to_owned(),
        title: title.to_owned(),
        purpose: format!("{name} things"),
        head: head.to_owned(),
        specialists: specialists.map(str::to_owned).to_vec(),
        keywords: keywords.iter().map(|&word| word.to_owned()).collect(),
    };
    Roster {
        departments: vec![
            department("finance", "재무", "fin", ["a", "b"], &["price", "가격", "비용"]),
            department("marketing", "마케팅", "mar", ["b", "c"], &["booking", "예약", "SEO"]),
        ],
        agents: vec![
            agent("a", "가"),
            agent("b", "나"),
            agent("c", "다"),
            agent("fin", "재무장"),
            agent("mar", "마케팅장"),
        ],
    }
}

/// All of the roster's models may be asked in batches, and in the slower tier.
fn facts(roster: &Roster) -> Facts {
    let models = roster.agents.iter().flat_map(|agent| &agent.models);
    let route = Route { batch: true, flex: true, ..Route::default() };
    Facts { now: datetime!(2026-11-21 09:00 UTC), models: models.map(|model| (model.clone(), route)).collect() }
}

fn fingerprint(work: Option<&Work>) -> Option<i64> {
    match work {
        Some(Work::Ask(ask)) => Some(ask.fingerprint()),
        _ => None,
    }
}
