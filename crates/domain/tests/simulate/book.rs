//! Random playbooks: any graph, every kind of step, templates that sometimes fail.

use crate::choices::Choices;
use domain::{
    order::{Deliver, Order},
    pace::{Facts, Pace, Route},
    playbook::Playbook,
    roster::{Agent, Roster},
    task::Priority,
};
use std::{collections::HashMap, fmt::Write, time::Duration};
use time::{OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-21 09:00 UTC);

/// One order to be carried out, and by what.
pub(crate) struct Setting {
    pub(crate) source: String,
    pub(crate) playbook: Playbook,
    pub(crate) order: Order,
    pub(crate) roster: Roster,
    pub(crate) facts: Facts,
}

impl Setting {
    /// Makes a playbook up and reads it as any playbook is read.
    pub(crate) fn random(choices: &mut Choices) -> Self {
        let source = source(choices);
        let playbook = Playbook::parse("random.toml", &source).unwrap_or_else(|error| panic!("{error}\n{source}"));
        let webhook = |n: usize| Deliver::Webhook { url: format!("https://example.com/{n}") };
        let order = Order {
            title: "주문".to_owned(),
            description: "do it".to_owned(),
            priority: Priority::Normal,
            playbook: Some("random".to_owned()),
            pace: Pace::ALL[choices.pick(Pace::ALL.len())],
            deadline: choices.chance(40).then(|| NOW + Duration::from_mins(u64::try_from(choices.pick(900)).unwrap())),
            deliver: (0..choices.pick(3)).map(webhook).collect(),
            budget: None,
            agents: ["a", "b"].iter().take(choices.pick(3)).map(|&name| name.to_owned()).collect(),
        };
        let agent = |name: &str| Agent {
            name: name.to_owned(),
            title: name.to_uppercase(),
            system: "s".to_owned(),
            models: vec!["emulator/one".to_owned()],
            max_tokens: 10,
        };
        let roster = Roster { departments: Vec::new(), agents: vec![agent("a"), agent("b"), agent("c")] };
        let route = Route {
            flex: choices.chance(50),
            batch: choices.chance(70),
            blackout: choices.chance(10),
            batch_took: choices.chance(50).then(|| Duration::from_mins(10)),
        };
        let facts = Facts { now: NOW, models: HashMap::from([("emulator/one".to_owned(), route)]) };
        Self { source, playbook, order, roster, facts }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    SingleAsk,
    Command,
    Many,
}

fn source(choices: &mut Choices) -> String {
    let count = 1 + choices.pick(6);
    let mut shapes = Vec::new();
    let mut blocks = Vec::new();
    for place in 0..count {
        let mut needs: Vec<usize> = (0..place).filter(|_| choices.chance(40)).collect();
        if needs.is_empty() && place > 0 && choices.chance(70) {
            needs.push(place - 1);
        }
        let (shape, block) = step(choices, place, &needs, &shapes);
        shapes.push(shape);
        blocks.push(block);
    }
    let mut toml = "name = \"random\"\n".to_owned();
    match choices.pick(8) {
        0 => toml.push_str("report = \"{{ steps.s0.state }}\"\n"),
        // Well formed, and wrong when it is rendered.
        1 if choices.chance(30) => toml.push_str("report = \"{{ order.title[0].missing.deep }}\"\n"),
        2 => toml.push_str("report = \"plain\"\n"),
        _ => {}
    }
    // The file's order is not the order of needs.
    while !blocks.is_empty() {
        toml.push_str(&blocks.remove(choices.pick(blocks.len())));
    }
    toml
}

fn step(choices: &mut Choices, place: usize, needs: &[usize], shapes: &[Shape]) -> (Shape, String) {
    let mut block = format!("[[step]]\nid = \"s{place}\"\n");
    let names: Vec<String> = needs.iter().map(|need| format!("\"s{need}\"")).collect();
    writeln!(block, "needs = [{}]", names.join(", ")).unwrap();
    let tolerate = ["none", "none", "some", "all"][choices.pick(4)];
    writeln!(block, "tolerate = \"{tolerate}\"").unwrap();
    let need = (!needs.is_empty()).then(|| needs[choices.pick(needs.len())]);
    let list = for_each(choices, need, shapes);
    if let Some(list) = &list {
        writeln!(block, "for_each = \"{list}\"").unwrap();
    }
    if let Some(when) = when(choices, need, shapes, list.is_some()) {
        writeln!(block, "when = \"{when}\"").unwrap();
    }
    let command = choices.chance(25);
    let text = match need {
        Some(need) if choices.chance(40) && shapes[need] == Shape::Many => {
            format!("{{{{ steps.s{need}.answers[0].text }}}}")
        }
        Some(need) if choices.chance(40) && shapes[need] != Shape::Many => format!("p {{{{ steps.s{need}.text }}}}"),
        _ => "p".to_owned(),
    };
    if command {
        writeln!(block, "kind = \"command\"\nscript = \"{text}\"\nrepeatable = {}", choices.chance(50)).unwrap();
    } else {
        let agent = if choices.chance(3) { "ghost" } else { ["a", "b", "c"][choices.pick(3)] };
        writeln!(block, "agent = \"{agent}\"\nprompt = \"{text}\"").unwrap();
    }
    let shape = match (list.is_some(), command) {
        (true, _) => Shape::Many,
        (false, true) => Shape::Command,
        (false, false) => Shape::SingleAsk,
    };
    (shape, block)
}

fn for_each(choices: &mut Choices, need: Option<usize>, shapes: &[Shape]) -> Option<String> {
    if !choices.chance(40) {
        return None;
    }
    Some(match (choices.pick(5), need) {
        (0, _) => "order.agents".to_owned(),
        (1, Some(need)) if shapes[need] == Shape::SingleAsk => format!("steps.s{need}.data.list"),
        (2, Some(need)) if shapes[need] == Shape::SingleAsk => format!("(steps.s{need}.data or {{}}).list or []"),
        (3, _) => "[]".to_owned(),
        // More of the same than an order may ask.
        (4, _) if choices.chance(10) => "range(24)".to_owned(),
        _ => "[0, 1, 2]".to_owned(),
    })
}

fn when(choices: &mut Choices, need: Option<usize>, shapes: &[Shape], many: bool) -> Option<String> {
    if !choices.chance(35) {
        return None;
    }
    Some(match (choices.pick(6), need) {
        (0, Some(need)) if shapes[need] == Shape::SingleAsk => format!("steps.s{need}.data.flag"),
        (1, Some(need)) if shapes[need] == Shape::Many => format!("steps.s{need}.answers"),
        (2, Some(need)) => format!("steps.s{need}.state == 'completed'"),
        (3, _) if many => "index != 1".to_owned(),
        (4, _) => "false".to_owned(),
        _ => "true".to_owned(),
    })
}
