//! How steps and orders end: what is tolerated, what is cancelled, what is delivered.

use crate::desk::Desk;
use domain::{
    advance::Work,
    pace::Pace,
    task::{Cause, State},
};
use serde_json::Value;

fn crew(tolerate: &str) -> String {
    format!(
        "[[step]]\nid = \"crew\"\nagents = [\"a\", \"b\", \"c\"]\nprompt = \"p\"\ntolerate = \"{tolerate}\"\n\
         [[step]]\nid = \"next\"\nneeds = [\"crew\"]\nagent = \"a\"\nprompt = \"{{{{ steps.crew.state }}}}\"\n"
    )
}

#[test]
fn failures_within_tolerance_do_not_stop_the_order() {
    let cases = [
        ("none", 0, Some("completed")),
        ("none", 1, None),
        ("some", 2, Some("completed")),
        ("some", 3, None),
        ("all", 3, Some("failed")),
    ];
    for (tolerate, failures, state) in cases {
        let mut desk = Desk::new(&crew(tolerate));
        desk.go();
        for (place, task) in ["crew[2]", "crew[0]", "crew[1]"].into_iter().enumerate() {
            assert!(desk.end.is_none(), "an order does not end before its tasks have");
            if place < failures {
                desk.fail(task, "529");
            } else {
                desk.done(task, "", Value::Null);
            }
        }
        match state {
            Some(state) => assert_eq!(desk.ask("next").prompt, state, "{tolerate} {failures}"),
            None => assert_eq!(desk.failure("next").cause, Cause::NeedFailed, "{tolerate} {failures}"),
        }
        assert_eq!(desk.end.is_some(), state.is_none());
    }
}

#[test]
fn a_single_task_that_fails_is_tolerated_by_all_alone() {
    for (tolerate, well) in [("none", false), ("some", false), ("all", true)] {
        let mut desk = Desk::new(&format!(
            "report = \"{{{{ steps.x.reason }}}}\"\n[[step]]\nid = \"x\"\nagent = \"a\"\nprompt = \"p\"\ntolerate = \"{tolerate}\"\n"
        ));
        desk.go().fail("x", "거절");
        assert_eq!(desk.end.as_ref().unwrap().is_ok(), well, "{tolerate}");
        if well {
            assert_eq!(desk.report(), "거절");
        }
    }
}

const FORK: &str = r#"
[[step]]
id = "left"
title = "{{ agent.title }}"
agent = "a"
prompt = "p"
[[step]]
id = "right"
agent = "b"
prompt = "p"
[[step]]
id = "far"
needs = ["right"]
agent = "c"
prompt = "p"
[[step]]
id = "each"
needs = ["left"]
agents = ["a", "b"]
prompt = "p"
tolerate = "all"
[[step]]
id = "join"
needs = ["each", "far"]
agent = "a"
prompt = "p"
tolerate = "all"
"#;

#[test]
fn a_failure_cancels_what_needs_it_and_lets_the_rest_finish() {
    let mut desk = Desk::new(FORK);
    desk.go();
    assert_eq!(desk.shown(), "left queued, right queued, far pending, join pending");
    desk.fail("left", "HTTP 529 여러 번");
    // What needs it is cancelled at once, through steps that tolerate all; its siblings go on, and so does
    // what needs only them.
    assert_eq!(desk.shown(), "left failed, right queued, far pending, join cancelled, each[0] cancelled");
    assert_eq!(desk.failure("each[0]").reason, "the step `left`, which it needs, did not end well");
    assert_eq!(desk.failure("join").reason, "the step `each`, which it needs, did not end well");
    assert!(desk.end.is_none());
    desk.done("right", "", Value::Null);
    assert_eq!(desk.state("far"), State::Queued);
    assert!(desk.end.is_none());
    desk.done("far", "", Value::Null);
    assert_eq!(desk.failed().cause, Cause::Exhausted);
    assert_eq!(desk.failed().reason, "step `left` (agent `a`) failed: HTTP 529 여러 번");
}

#[test]
fn an_order_says_for_whom_it_failed() {
    let mut desk = Desk::new(&crew("some"));
    desk.go().fail("crew[1]", "둘").fail("crew[0]", "하나").fail("crew[2]", "셋");
    assert_eq!(desk.failed().reason, "step `crew` (agent `a`) failed: 하나; so did 2 other tasks of it");
    let mut desk = Desk::new(&crew("none"));
    desk.go().done("crew[0]", "", Value::Null).cancel("crew[1]").done("crew[2]", "", Value::Null);
    assert_eq!(desk.failed().cause, Cause::Cancelled);
    assert_eq!(desk.failed().reason, "step `crew` (agent `b`) was cancelled: by its master");
    let mut desk = Desk::new("[[step]]\nid = \"run\"\nkind = \"command\"\nscript = \"false\"\n");
    desk.go().fail("run", "exit code 1");
    assert_eq!(desk.failed().reason, "step `run` failed: exit code 1");
}

#[test]
fn a_step_cancelled_before_its_needs_end_has_not_ended_before_them() {
    let mut desk = Desk::new(
        r#"
[[step]]
id = "a"
agent = "a"
prompt = "p"
[[step]]
id = "b"
needs = ["a"]
agent = "a"
prompt = "p"
tolerate = "all"
[[step]]
id = "c"
needs = ["b"]
agent = "a"
prompt = "{{ steps.a.text }}"
"#,
    );
    desk.go().cancel("b");
    assert_eq!(desk.shown(), "a queued, b cancelled, c pending");
    desk.done("a", "text of a", Value::Null);
    assert_eq!(desk.ask("c").prompt, "text of a");
}

const REPORT: &str =
    "report = \"# {{ order.title }}\\n\\n{{ steps.x.text }}\"\n[[step]]\nid = \"x\"\nagent = \"a\"\nprompt = \"p\"\n";

#[test]
fn the_report_is_delivered_before_the_order_is_completed() {
    let mut desk = Desk::new(REPORT);
    desk.deliver_to(&["https://hooks.example.com/T0/SECRET", "http://127.0.0.1:9/x"]);
    desk.order.pace = Pace::Batch;
    desk.go();
    assert_eq!(desk.shown(), "x queued", "nothing is delivered before there is a report");
    desk.done("x", "본문", Value::Null);
    assert_eq!(desk.shown(), "x completed, deliver[0] queued, deliver[1] queued");
    assert_eq!((desk.title("deliver[0]"), desk.pace("deliver[0]")), ("Deliver to hooks.example.com", Pace::Now));
    let Work::Deliver(work) = desk.work("deliver[1]") else { panic!("a delivery") };
    assert_eq!(work.report, "# 겨울 예약\n\n본문");
    assert_eq!(work.target, desk.order.deliver[1]);
    assert_eq!(serde_json::to_value(desk.work("deliver[1]")).unwrap()["kind"], "deliver");
    // A target that cannot be reached does not spoil an order whose report is in the archive.
    desk.fail("deliver[0]", "HTTP 410");
    assert!(desk.end.is_none());
    desk.result("deliver[1]", Value::Null);
    assert_eq!(desk.report(), "# 겨울 예약\n\n본문");
}

#[test]
fn a_report_that_cannot_be_rendered_fails_the_order() {
    let mut desk = Desk::new(&REPORT.replace("steps.x.text", "steps.x.data.verdict.x"));
    desk.deliver_to(&["https://example.com"]);
    desk.go().done("x", "", Value::Null);
    assert_eq!(desk.failed().cause, Cause::BadTemplate);
    assert!(desk.failed().reason.starts_with("`report`: undefined value"), "{:?}", desk.failed());
    assert_eq!(desk.shown(), "x completed");
}

#[test]
fn an_order_that_fails_leaves_no_delivery_waiting() {
    let mut desk = Desk::new(REPORT);
    desk.deliver_to(&["https://example.com"]);
    desk.go().done("x", "", Value::Null);
    // As after a retry whose step, run again, gave less than before.
    for task in &mut desk.tasks {
        task.state = if task.step == "x" { State::Failed } else { State::Pending };
    }
    desk.go();
    assert_eq!(desk.shown(), "x failed, deliver[0] cancelled");
    assert_eq!(desk.failure("deliver[0]").cause, Cause::NeedFailed);
    assert_eq!(desk.failed().reason, "step `x` (agent `a`) failed: no reason was given");
}
