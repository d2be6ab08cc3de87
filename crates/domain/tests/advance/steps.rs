//! When steps start, and with what work.

use crate::desk::Desk;
use domain::{
    advance::{CommandWork, Work},
    pace::Pace,
    task::{Cause, State},
};
use serde_json::{Value, json};

const CHAIN: &str = r#"
[[step]]
id = "one"
agent = "a"
prompt = "{{ order.text }}"
[[step]]
id = "two"
title = "{{ agent.title }}:\n 둘째   걸음"
needs = ["one"]
agent = "{{ steps.one.data.who }}"
prompt = "{{ agent.name }}/{{ agent.department }}: {{ steps.one.text }}"
pace = "flex"
schema = { type = "object" }
retry = 3
timeout = "90s"
[[step]]
id = "three"
needs = ["two"]
kind = "command"
script = "echo {{ steps.two.data.n }}"
repeatable = true
timeout = 5
"#;

#[test]
fn a_chain_starts_one_by_one() {
    let mut desk = Desk::new(CHAIN);
    desk.order.pace = Pace::Batch;
    desk.go();
    assert_eq!(desk.shown(), "one queued, two pending, three pending");
    assert_eq!(desk.ask("one").prompt, "겨울 예약\n\n우리 애견호텔의 겨울 예약을 늘릴 방법");
    assert_eq!((desk.title("one"), desk.title("two"), desk.pace("one")), ("one", "two", Pace::Batch));
    desk.done("one", "답\"<&>", json!({ "who": " c " }));
    assert_eq!(desk.shown(), "one completed, two queued, three pending");
    let ask = desk.ask("two");
    // No escaping for HTML: a prompt is text.
    assert_eq!(ask.prompt, "c/marketing: 답\"<&>");
    assert_eq!((ask.system.as_str(), ask.max_tokens, ask.retry, ask.timeout_ms), ("You are c.", 77, 3, 90_000));
    assert_eq!(ask.models, ["openai/one", "gemini/two"]);
    assert_eq!(ask.schema, Some(json!({ "type": "object" })));
    assert_eq!((desk.title("two"), desk.pace("two"), desk.pace("three")), ("다: 둘째 걸음", Pace::Flex, Pace::Now));
    desk.done("two", "", json!({ "n": 7 }));
    let command = CommandWork { script: "echo 7".to_owned(), timeout_ms: 5_000, repeatable: true };
    assert_eq!(desk.work("three"), &Work::Command(command));
    desk.result("three", json!({ "exit_code": 0, "text": "7\n" }));
    assert_eq!(desk.report(), "7\n");
}

#[test]
fn only_what_is_read_is_wanted() {
    let mut desk = Desk::new(
        r#"
report = "{{ steps.b.text }}"
[[step]]
id = "a"
agent = "a"
prompt = "p"
[[step]]
id = "b"
needs = ["a"]
agent = "a"
prompt = "{{ steps.a.state }}"
[[step]]
id = "c"
needs = ["b"]
agent = "a"
prompt = "{{ steps.a.text }}"
[[step]]
id = "d"
needs = ["c"]
agent = "a"
prompt = "no names"
[[step]]
id = "e"
needs = ["d"]
agent = "a"
prompt = "{{ steps['a'].text }}"
"#,
    );
    assert_eq!(desk.wanted(), [""; 0]);
    desk.go();
    assert_eq!(desk.wanted(), [""; 0], "nothing becomes ready");
    let mut ended = Vec::new();
    for (task, wanted) in
        [("a", vec!["a"]), ("b", vec!["a"]), ("c", vec![]), ("d", vec!["a", "b", "c", "d"]), ("e", vec!["b"])]
    {
        let id = desk.tasks.iter().position(|view| view.step == task).unwrap();
        let before = desk.tasks[id].state;
        desk.tasks[id].state = State::Completed;
        assert_eq!(desk.wanted(), wanted, "after {task}");
        desk.tasks[id].state = before;
        desk.done(task, task, Value::Null);
        ended.push(task);
    }
    assert_eq!(desk.report(), "b");
}

#[test]
fn for_each_makes_one_task_of_each_element() {
    let mut desk = Desk::new(
        r#"
[[step]]
id = "list"
agent = "a"
prompt = "p"
[[step]]
id = "each"
needs = ["list"]
for_each = "steps.list.data.parts"
agent = "{{ item.who }}"
title = "{{ index }} {{ item.what }}"
prompt = "{{ index }}: {{ item.what }}"
[[step]]
id = "crew"
agents = ["c", "b"]
prompt = "{{ item }} {{ agent.title }}"
"#,
    );
    desk.go();
    assert_eq!(desk.shown(), "list queued, crew[0] queued, crew[1] queued");
    assert_eq!((desk.ask("crew[0]").prompt.as_str(), desk.ask("crew[1]").prompt.as_str()), ("c 다", "b 나"));
    desk.done("list", "", json!({ "parts": [{ "who": "b", "what": "가격" }, { "who": "a", "what": "예약" }] }));
    assert_eq!(desk.ask("each[0]").prompt, "0: 가격");
    assert_eq!((desk.ask("each[1]").system.as_str(), desk.title("each[1]")), ("You are a.", "1 예약"));
    desk.done("each[1]", "둘", Value::Null).done("crew[0]", "x", Value::Null).done("crew[1]", "y", Value::Null);
    assert!(desk.end.is_none());
    desk.done("each[0]", "하나", Value::Null);
    assert_eq!(desk.report().trim_end(), "## 다\n\nx\n\n## 나\n\ny");
}

#[test]
fn a_list_that_is_none_says_so() {
    let each = |list: &str| {
        format!(
            "[[step]]\nid = \"l\"\nagent = \"a\"\nprompt = \"p\"\n[[step]]\nid = \"e\"\nneeds = [\"l\"]\nfor_each = \"{list}\"\nagent = \"a\"\nprompt = \"p\"\n"
        )
    };
    for (list, data, state, cause, reason) in [
        ("steps.l.data", json!([]), State::Cancelled, Cause::Skipped, "gave an empty list"),
        ("steps.l.data.parts", json!({}), State::Failed, Cause::BadTemplate, "is undefined"),
        ("steps.l.data", json!(null), State::Failed, Cause::BadTemplate, "`for_each` gave none, not a list"),
        ("steps.l.data", json!({ "a": 1 }), State::Failed, Cause::BadTemplate, "gave map, not a list"),
        ("steps.l.data", json!("가나다"), State::Failed, Cause::BadTemplate, "gave string, not a list"),
        ("steps.l.data[0].x.y", json!([1]), State::Failed, Cause::BadTemplate, "undefined"),
        ("range(1001)", json!(null), State::Failed, Cause::BadTemplate, "more than 1000 elements"),
    ] {
        let mut desk = Desk::new(&each(list));
        desk.go().done("l", "", data);
        assert_eq!((desk.state("e[0]"), desk.failure("e[0]").cause), (state, cause), "{list}");
        assert!(desk.failure("e[0]").reason.contains(reason), "{:?}", desk.failure("e[0]"));
        assert_eq!(desk.end.as_ref().unwrap().is_ok(), state == State::Cancelled);
    }
}

#[test]
fn a_step_is_skipped_when_its_condition_is_false() {
    let mut desk = Desk::new(
        r#"
report = "{{ steps.no.state }} {{ steps.no.reason }} {{ steps.some.answers | length }}{{ steps.some.failed | length }} {{ steps.none.state }} {{ steps.after.text }}"
[[step]]
id = "first"
agent = "a"
prompt = "p"
[[step]]
id = "no"
needs = ["first"]
when = "steps.first.data.go"
agent = "a"
prompt = "p"
[[step]]
id = "some"
needs = ["first"]
for_each = "['x', 'y', 'z']"
when = "item != 'y'"
agent = "a"
prompt = "{{ item }}"
[[step]]
id = "none"
needs = ["first"]
for_each = "steps.first.data.missing"
when = "steps.first.data.go"
agent = "a"
prompt = "p"
[[step]]
id = "after"
needs = ["no", "none"]
agent = "a"
prompt = "{{ steps.no.text }}{{ steps.none.answers | length }}{{ steps.first.text }}"
"#,
    );
    desk.go().done("first", "t", json!({ "go": false }));
    assert_eq!(
        desk.shown(),
        "first completed, no cancelled, after queued, some[0] queued, some[1] cancelled, some[2] queued, none[0] cancelled"
    );
    for task in ["no", "some[1]", "none[0]"] {
        assert_eq!((desk.failure(task).cause, desk.failure(task).reason.as_str()), (Cause::Skipped, "`when` is false"));
    }
    assert_eq!(desk.ask("after").prompt, "0t");
    desk.done("some[0]", "", Value::Null).done("some[2]", "", Value::Null).done("after", "끝", Value::Null);
    assert_eq!(desk.report(), "cancelled `when` is false 20 cancelled 끝");
}

#[test]
fn work_that_cannot_be_made_fails_its_task() {
    let huge = "{% for i in range(9999) %}{{ order.text }}{{ order.text }}{{ order.text }}{% endfor %}";
    let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}";
    for (agent, prompt, cause, reason) in [
        ("nobody", "p", Cause::Unsupported, "there is no agent \"nobody\" in the roster"),
        ("{{ order.agents[0] }}", "p", Cause::BadTemplate, "`agent`: undefined value"),
        ("a", "{{ order.agents[0] }}", Cause::BadTemplate, "`prompt`: undefined value"),
        ("a", "{{ order.title.x.y }}", Cause::BadTemplate, "`prompt`: undefined value"),
        ("a", "{{ 1 // 0 }}", Cause::BadTemplate, "`prompt`: "),
        ("a", "{% if not order.title %}x{% endif %}", Cause::BadTemplate, "nothing is left of it"),
        ("a", huge, Cause::BadTemplate, "longer than 4194304 bytes"),
        ("a", endless, Cause::BadTemplate, "`prompt`: engine ran out of fuel"),
    ] {
        let mut desk = Desk::new(&format!("[[step]]\nid = \"x\"\nagent = \"{agent}\"\nprompt = \"{prompt}\"\n"));
        desk.order.description = "한글".repeat(100);
        desk.go();
        let failure = desk.failure("x").clone();
        assert_eq!((desk.state("x"), failure.cause), (State::Failed, cause), "{failure:?}");
        assert!(failure.reason.contains(reason), "{failure:?}");
        assert_eq!(desk.failed().cause, cause);
        assert!(desk.failed().reason.contains(&failure.reason), "{:?}", desk.failed());
    }
}

#[test]
fn a_missing_result_is_a_defect_and_never_an_empty_answer() {
    let mut desk = Desk::new(CHAIN);
    desk.go();
    desk.tasks[0].state = State::Completed;
    let actions = domain::advance::advance(&desk.plan(), &desk.tasks, &std::collections::HashMap::new());
    assert!(
        matches!(&actions[0], domain::advance::Action::FailTask { failure, .. } if failure.cause == Cause::Internal),
        "{actions:?}"
    );
}

#[test]
fn what_a_skipped_step_lets_start_is_rendered_in_the_same_decision() {
    // The step that is skipped mentions nothing, the one behind it does: its result is wanted all the same.
    let mut desk = Desk::new(
        r#"
[[step]]
id = "a"
agent = "a"
prompt = "p"
[[step]]
id = "b"
needs = ["a"]
when = "false"
agent = "a"
prompt = "p"
[[step]]
id = "c"
needs = ["b"]
agent = "a"
prompt = "{{ steps.a.text }}"
"#,
    );
    desk.go().done("a", "from a", Value::Null);
    assert_eq!(desk.ask("c").prompt, "from a");
}
