//! What an ask carries along: its rounds, its way back, and what tells whether it is made again and again.

use crate::desk::Desk;
use domain::{
    advance::{AskWork, MOST_SAME_ASKS, Work, looped},
    pace::Pace,
    task::{Cause, State},
};
use serde_json::json;

const CHAIN: &str = r#"
[[step]]
id = "one"
agent = "a"
prompt = "하나"
fallback = "none"

[[step]]
id = "run"
kind = "command"
needs = ["one"]
script = "true"

[[step]]
id = "side"
agent = "a"
needs = ["one"]
prompt = "옆"

[[step]]
id = "two"
agent = "a"
needs = ["run", "side"]
prompt = "둘"
"#;

#[test]
fn an_ask_knows_the_rounds_to_come_and_whether_it_may_be_asked_at_once() {
    let mut desk = Desk::new(CHAIN);
    desk.go();
    assert_eq!((desk.ask("one").rounds, desk.ask("one").fallback), (3, false), "a command is no round");
    desk.done("one", "끝", json!(null));
    assert_eq!((desk.ask("side").rounds, desk.ask("side").fallback), (2, true));
}

fn work() -> AskWork {
    let Work::Ask(ask) = serde_json::from_value(json!({
        "kind": "ask", "system": "너는 분석가다", "prompt": "물음", "models": ["a/m", "b/m"], "max_tokens": 10,
        "retry": 1, "timeout_ms": 1000,
    }))
    .unwrap() else {
        panic!("not an ask");
    };
    ask
}

#[test]
fn work_of_the_version_before_is_read() {
    let ask = work();
    assert_eq!((ask.fallback, ask.rounds, ask.twins), (true, 1, 0));
}

#[test]
fn the_same_words_to_the_same_models_have_the_same_print_for_ever() {
    let ask = work();
    assert_eq!(ask.fingerprint(), 6_388_948_365_455_315_961, "it is kept in rows: later versions must agree");
    let others = [
        AskWork { prompt: "물음 ".to_owned(), ..ask.clone() },
        AskWork { system: "너는 분석가다물음".to_owned(), prompt: String::new(), ..ask.clone() },
        AskWork { models: vec!["b/m".to_owned(), "a/m".to_owned()], ..ask.clone() },
        AskWork { schema: Some(json!({})), ..ask.clone() },
    ];
    assert!(others.iter().all(|other| other.fingerprint() != ask.fingerprint()));
    assert_eq!(AskWork { retry: 9, timeout_ms: 1, twins: 3, ..ask.clone() }.fingerprint(), ask.fingerprint());
}

#[test]
fn the_same_ask_is_made_so_often_and_no_more() {
    assert!(looped(MOST_SAME_ASKS).is_none());
    assert_eq!(looped(MOST_SAME_ASKS + 1).unwrap().cause, Cause::Looped);
    let mut desk = Desk::new("[[step]]\nid = \"s\"\nagent = \"a\"\nfor_each = \"range(25)\"\nprompt = \"또\"\n");
    desk.go();
    let states = |state| desk.tasks.iter().filter(|task| task.state == state).count();
    assert_eq!((states(State::Queued), states(State::Failed)), (20, 5));
    assert_eq!((desk.ask("s[0]").twins, desk.ask("s[19]").twins), (0, 19));
    let failure = desk.tasks.iter().find_map(|task| task.failure.as_ref()).unwrap();
    assert_eq!(failure.cause, Cause::Looped);
}

#[test]
fn attempts_made_before_count_for_the_others_too() {
    let two = "[[step]]\nid = \"one\"\nagent = \"a\"\nprompt = \"또\"\n\n[[step]]\nid = \"two\"\nneeds = [\"one\"]\nagent = \"a\"\nprompt = \"또\"\n";
    let mut desk = Desk::new(two);
    desk.go();
    desk.tasks[0].attempts = 20;
    desk.done("one", "끝", json!(null));
    let second = desk.tasks.iter().find(|task| task.step == "two").unwrap();
    assert_eq!((second.state, second.failure.as_ref().unwrap().cause), (State::Failed, Cause::Looped));
}

#[test]
fn what_is_queued_has_a_pace_and_what_waits_keeps_what_was_ordered() {
    let mut desk = Desk::new(CHAIN);
    desk.order.pace = Pace::Auto;
    desk.go();
    let paces: Vec<Pace> = desk.tasks.iter().map(|task| desk.paces[&task.id]).collect();
    assert_eq!(paces, [Pace::Batch, Pace::Now, Pace::Auto, Pace::Auto]);
}
