//! What a retry runs again and what it keeps.

use crate::desk::Desk;
use domain::task::{Cause, State};
use serde_json::{Value, json};

const BOOK: &str = r#"
[[step]]
id = "list"
agent = "a"
prompt = "p"
[[step]]
id = "each"
needs = ["list"]
for_each = "steps.list.data"
agent = "{{ item }}"
prompt = "{{ index }}{{ item }}"
tolerate = "some"
[[step]]
id = "last"
needs = ["each"]
agent = "c"
prompt = "all: {{ steps.each.answers | map(attribute='text') | join(',') }} {{ steps.each.failed | map(attribute='agent') | join(',') }}"
"#;

#[test]
fn only_the_failed_step_runs_again() {
    let mut desk = Desk::new(BOOK);
    desk.go().done("list", "", json!(["a", "b"])).done("each[0]", "A", Value::Null).fail("each[1]", "x");
    assert_eq!(desk.ask("last").prompt, "all: A b");
    desk.fail("last", "y");
    assert_eq!(desk.failed().reason, "step `last` (agent `c`) failed: y");
    // The tolerated failure stays: its step ended well, and asking again would cost.
    assert_eq!(desk.retry(), ["last"]);
    assert_eq!(desk.shown(), "list completed, last queued, each[0] completed, each[1] failed");
    desk.done("last", "끝", Value::Null);
    assert_eq!(desk.report(), "끝");
}

#[test]
fn a_list_that_was_never_made_is_made_by_the_retry() {
    let mut desk = Desk::new(BOOK);
    desk.go().fail("list", "x");
    assert_eq!(desk.shown(), "list failed, last cancelled, each[0] cancelled");
    assert_eq!(desk.retry(), ["list", "last", "each[0]"]);
    assert_eq!(desk.shown(), "list queued, last pending, each[0] pending");
    desk.done("list", "", json!(["c", "b", "a"]));
    assert_eq!(desk.shown(), "list completed, last pending, each[0] queued, each[1] queued, each[2] queued");
    assert_eq!(desk.ask("each[0]").prompt, "0c");
    assert_eq!(desk.title("each[0]"), "each");
}

#[test]
fn a_list_may_be_empty_after_the_retry() {
    let mut desk = Desk::new(BOOK);
    desk.go().fail("list", "x");
    desk.retry();
    desk.done("list", "", json!([]));
    assert_eq!((desk.state("each[0]"), desk.failure("each[0]").cause), (State::Cancelled, Cause::Skipped));
    assert_eq!(desk.ask("last").prompt, "all:  ", "an empty list ends well");
}

#[test]
fn when_all_have_failed_all_run_again() {
    let mut desk = Desk::new(BOOK);
    desk.go().done("list", "", json!(["a", "b"])).fail("each[0]", "x").fail("each[1]", "y");
    assert_eq!(desk.retry(), ["last", "each[0]", "each[1]"]);
    assert_eq!(desk.shown(), "list completed, last pending, each[0] queued, each[1] queued");
}

#[test]
fn a_cancelled_order_goes_on_where_it_was() {
    let mut desk = Desk::new(BOOK);
    desk.go().done("list", "", json!(["a", "b", "c"])).done("each[1]", "B", Value::Null).fail("each[2]", "x");
    desk.cancel_all();
    // Paid for and tolerated stay; what was under way runs again, although one answer would be enough.
    assert_eq!(desk.retry(), ["last", "each[0]"]);
    desk.done("each[0]", "A", Value::Null);
    assert_eq!(desk.ask("last").prompt, "all: A,B c");
}

#[test]
fn what_others_were_made_without_stays_out() {
    let mut desk =
        Desk::new(&format!("{BOOK}\n[[step]]\nid = \"end\"\nneeds = [\"last\"]\nagent = \"a\"\nprompt = \"p\"\n"));
    desk.go().done("list", "", json!(["a", "b"])).cancel("each[0]").done("each[1]", "B", Value::Null);
    desk.done("last", "made of B", Value::Null).fail("end", "x");
    // `last` is paid for and was made without each[0]: to run each[0] now would be for nothing.
    assert_eq!(desk.retry(), ["end"]);
}

#[test]
fn skipped_steps_stay_skipped_and_unknown_agents_may_have_come() {
    let mut desk = Desk::new(
        "[[step]]\nid = \"no\"\nwhen = \"false\"\nagent = \"a\"\nprompt = \"p\"\n\
         [[step]]\nid = \"x\"\nagent = \"newcomer\"\nprompt = \"p\"\n",
    );
    desk.go();
    assert_eq!(desk.failed().cause, Cause::Unsupported);
    desk.roster.agents[0].name = "newcomer".to_owned();
    assert_eq!(desk.retry(), ["x"]);
    assert_eq!(desk.shown(), "no cancelled, x queued");
}

#[test]
fn deliveries_under_way_are_made_again() {
    let mut desk = Desk::new("[[step]]\nid = \"x\"\nagent = \"a\"\nprompt = \"p\"\n");
    desk.deliver_to(&["https://one.example", "https://two.example"]);
    desk.go().done("x", "본문", Value::Null).result("deliver[0]", Value::Null);
    desk.cancel_all();
    assert_eq!(desk.retry(), ["deliver[1]"]);
    assert_eq!((desk.state("deliver[0]"), desk.state("deliver[1]")), (State::Completed, State::Queued));
    desk.result("deliver[1]", Value::Null);
    assert_eq!(desk.report(), "본문");
}

#[test]
fn a_retry_of_what_ended_well_runs_nothing() {
    let mut desk =
        Desk::new("report = \"{{ order.title[0].x.y }}\"\n[[step]]\nid = \"x\"\nagent = \"a\"\nprompt = \"p\"\n");
    desk.go().done("x", "", Value::Null);
    assert_eq!(desk.failed().cause, Cause::BadTemplate);
    assert_eq!(desk.retry(), [""; 0]);
    assert_eq!(desk.failed().cause, Cause::BadTemplate);
}

#[test]
fn tasks_whose_element_is_gone_are_skipped() {
    let mut desk = Desk::new(
        "[[step]]\nid = \"x\"\nfor_each = \"specialists\"\nagent = \"{{ item }}\"\nprompt = \"{{ item }}\"\n",
    );
    desk.go().done("x[0]", "A", Value::Null);
    assert_eq!(desk.shown(), "x[0] completed, x[1] queued, x[2] queued");
    desk.cancel_all();
    // Meanwhile the roster has lost a department.
    desk.roster.departments.pop();
    assert_eq!(desk.retry(), ["x[1]", "x[2]"]);
    assert_eq!(desk.shown(), "x[0] completed, x[1] queued, x[2] cancelled");
    assert_eq!(desk.failure("x[2]").cause, Cause::Skipped);
    desk.done("x[1]", "B", Value::Null);
    assert_eq!(desk.report().trim_end(), "## 가\n\nA\n\n## 나\n\nB");
}
