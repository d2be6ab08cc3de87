//! Orders from the command line: reports, failures, retries, and a watcher who goes away.

use crate::world::{World, send, until};
use rustix::process::Signal;
use std::process::Stdio;

const ORDER: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";

#[test]
fn an_order_becomes_a_report_that_outlives_restarts_and_a_kill() {
    let mut world = World::new();
    let told = world.up();
    assert_eq!(told["emulated"], true);
    assert!(world.said().contains("EMULATED"), "said before");
    let ended = world.run(&["order", ORDER]);
    // The report, how it was made, the tree with time, tokens and cost, who answered, and where it can be read again.
    let words = [&format!("# {ORDER}"), "담당 부서", "예약", "● Choose the department", " ms · ", " tokens · $0."];
    ended.expect(0, &words).expect(0, &["EMULATED", "task watch", "/results"]);
    assert!(ended.out.starts_with("*** EMULATED") && ended.err.contains("EMULATED"), "{ended:?}");
    let list = world.json(&["task", "ls"]);
    let id = list["tasks"][0]["id"].as_str().unwrap().to_owned();
    let report = world.json(&["task", "watch", &id])["results"]["report"].clone();
    assert!(report.as_str().unwrap().contains("## "), "{report}");

    // A second one on the same folder is refused in one sentence.
    let second = world.run(&["up"]);
    second.expect(1, &["in use by another chavion"]);
    assert_eq!(second.err.lines().count(), 1, "{second:?}");

    for signal in [Signal::KILL, Signal::TERM, Signal::INT] {
        let status = world.end(signal);
        assert_eq!(status.success(), signal != Signal::KILL, "{status}: {}", world.said());
        world.run(&["task", "show", &id]).expect(3, &["cannot be reached", "chavion up"]);
        world.up();
        assert_eq!(world.json(&["task", "watch", &id])["results"]["report"], report);
    }
}

#[test]
fn what_fails_is_told_and_runs_again_from_what_failed() {
    let mut world = World::new();
    // A call that is under way is not broken off when its order is cancelled, but by the end of the drain.
    world.set("DRAIN_SECONDS", "4");
    world.up();
    let ended = world.run(&["order", "겨울 [[emulate: 400;times=1]]", "--playbook", "answer", "--json"]);
    ended.expect(1, &[]);
    let failed = ended.json();
    let id = failed["task"]["id"].as_str().unwrap();
    assert_eq!((&failed["task"]["state"], &failed["results"]["report"]), (&"failed".into(), &serde_json::Value::Null));
    world.run(&["task", "watch", id]).expect(1, &["No report", "task retry", "✗", "400"]);
    assert_eq!(world.json(&["task", "retry", id])["id"], id);
    let again = world.json(&["task", "watch", id]);
    assert_eq!((&again["emulated"], &again["task"]["state"]), (&true.into(), &"completed".into()));
    world.run(&["task", "retry", id]).expect(2, &["completed"]);

    // Ctrl-C ends the watching; the order goes on and can be watched again.
    // Slow enough for the command below to find it under way and to be interrupted, also on a busy machine.
    let slow = "봄 [[emulate: slow;ms=6000]]";
    let mut watching = world.command(&["order", slow, "--playbook", "answer"]);
    let mut watching = watching.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("it is under way", || world.json(&["task", "ls", "--state", "in_progress"])["tasks"][0].is_object());
    send(&watching, Signal::INT);
    assert_eq!(watching.wait().unwrap().code(), Some(130));
    let said = std::io::read_to_string(watching.stderr.take().unwrap()).unwrap();
    let id = said.split("task watch ").nth(1).unwrap().trim().to_owned();
    world.run(&["task", "watch", &id]).expect(0, &["봄", "〔에뮬레이터 응답"]);

    // What is cancelled ends as failed, and a second time it cannot be.
    let slow = world.run(&["order", "여름 [[emulate: slow;ms=60000]]", "--playbook", "answer", "--detach"]);
    let id = slow.expect(0, &[]).out.trim();
    let watched = world.command(&["task", "watch", id]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    world.run(&["task", "cancel", id, "--reason", "더 이상 필요 없음"]).expect(0, &["is cancelled"]);
    let watched = watched.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(1));
    assert!(String::from_utf8(watched.stdout).unwrap().contains("더 이상 필요 없음"));
    world.run(&["task", "cancel", id]).expect(2, &["cancelled"]);
}

#[test]
fn up_with_an_order_prints_its_report_and_leaves_nothing_behind() {
    let mut world = World::new();
    // What was announced to a Redis that is gone is announced again when it has become stale.
    world.set("STALE_SECONDS", "1");
    world.set("SWEEP_SECONDS", "1");
    let ended = world.run(&["up", "--order", ORDER, "--json"]);
    ended.expect(0, &["Chavion is ready at", "EMULATED"]);
    let told = ended.json();
    assert_eq!((&told["emulated"], &told["task"]["title"]), (&true.into(), &ORDER.into()));
    assert!(told["results"]["report"].as_str().unwrap().contains("담당 부서"));
    world.until_alone();
    world.run(&["up", "--order", "[[emulate: 400]]"]).expect(1, &["No report", "✗"]);
    world.until_alone();

    // A signal in the middle drains; the order is kept and ended by the next start.
    let mut command = world.command(&["up", "--order", "봄 [[emulate: slow;ms=4000]]"]);
    let mut up = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(up.stderr.take().unwrap()));
    while !said.contains('◐') {
        said.push_str(&lines.next().unwrap().unwrap());
    }
    send(&up, Signal::INT);
    said.extend(lines.map_while(Result::ok));
    assert_eq!(up.wait().unwrap().code(), Some(130), "{said}");
    assert!(said.contains("The order is kept"), "{said}");
    world.until_alone();
    world.up();
    until("the order is completed", || {
        let list = world.json(&["task", "ls", "--search", "봄"]);
        list["tasks"][0]["state"] == "completed"
    });
}
