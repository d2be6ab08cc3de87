//! Every verb, for people and for programs, and what each says of bad input.

use crate::world::{World, until};
use serde_json::Value;
use std::{fs::File, process::Stdio};

#[test]
fn every_verb_answers_people_and_programs_with_its_exit_code() {
    let mut world = World::new();
    world.up();

    let made = world.json(&["task", "new", "열린 일", "--description", "누구나\n맡으세요", "--priority", "high"]);
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["kind"], &made["state"]), (&"open".into(), &"queued".into()));
    world.run(&["task", "show", id]).expect(0, &["○ 열린 일", "priority    high", "누구나\n맡으세요"]);
    assert_eq!(world.json(&["task", "show", id])["children"], Value::Array(Vec::new()));
    world.run(&["task", "new", "둘째"]).expect(0, &["-"]);
    let page = world.json(&["task", "ls", "--limit", "1", "--kind", "open"]);
    assert_eq!(page["tasks"][0]["title"], "둘째");
    world.run(&["task", "ls", "--limit", "1", "--kind", "open"]).expect(0, &["○ 둘째", "--cursor"]);
    let next = page["next"].as_str().unwrap();
    let page = world.json(&["task", "ls", "--limit", "1", "--kind", "open", "--cursor", next]);
    assert_eq!(page["tasks"][0]["title"], "열린 일");
    assert_eq!(world.json(&["task", "cancel", id])["state"], "cancelled");
    assert_eq!(world.json(&["task", "retry", id])["id"], id);

    let detached = world.json(&["order", "겨울", "--playbook", "answer", "--agent", "assistant", "--detach"]);
    assert_eq!(detached["agents"][0], "assistant");
    let watched = world.json(&["task", "watch", detached["id"].as_str().unwrap()]);
    assert_eq!((&watched["task"]["state"], &watched["emulated"]), (&"completed".into(), &true.into()));
    let part = watched["task"]["children"][0]["id"].as_str().unwrap();
    world.run(&["task", "watch", part]).expect(0, &["에뮬레이터 응답"]);
    let parts = world.json(&["task", "ls", "--parts", "--agent", "assistant", "--state", "completed"]);
    assert_eq!(parts["tasks"][0]["id"], part);

    let doctor = world.run(&["doctor"]);
    doctor.expect(0, &["✓ sandbox", "and your key opens it", "no key is set"]);
    assert!(doctor.out.lines().count() < 24 && doctor.err.is_empty(), "{doctor:?}");
    let doctor = world.json(&["doctor"]);
    assert!(doctor["findings"].as_array().unwrap().iter().all(|finding| finding["good"] == true), "{doctor}");

    refusals(&world, id);
    keys(&mut world);
}

/// What is refused is refused with code 2 and every field, and as problem+json to programs.
fn refusals(world: &World, id: &str) {
    let words = ["order", "겨울", "--pace", "빨리", "--deadline", "어제", "--agent", "누구 나"];
    world.run(&words).expect(2, &["pace: \"빨리\"", "deadline: \"어제\"", "agents[0]", "; expected "]);
    let problem = world.run(&[&words[..], &["--json"]].concat()).expect(2, &[]).json();
    assert_eq!((&problem["code"], problem["errors"].as_array().unwrap().len()), (&"invalid".into(), 3));
    world.run(&["order", ""]).expect(2, &["title"]);
    world.run(&["order", "x", "--playbook", "nope"]).expect(2, &["nope", "report"]);
    world.run(&["task", "ls", "--limit", "0"]).expect(2, &["limit", "1 to 200"]);
    world.run(&["task", "show", "../keys"]).expect(2, &["is no id"]);
    let unknown = id.replace(|letter: char| letter.is_ascii_hexdigit(), "1");
    for verb in ["show", "watch", "cancel", "retry"] {
        world.run(&["task", verb, &unknown]).expect(2, &["no task"]);
        assert_eq!(world.run(&["task", verb, &unknown, "--json"]).expect(2, &[]).json()["code"], "not_found");
    }
    // What clap refuses, and whom nobody answers.
    world.run(&["task", "ls", "--limit", "many"]).expect(2, &["--limit"]);
    assert_eq!(world.run(&["task", "levitate", "--json"]).expect(2, &[]).json()["code"], "refused");
    let away = ["--url", "http://127.0.0.1:9"];
    let ended = world.run(&[&["task", "ls"], &away[..]].concat());
    ended.expect(3, &["http://127.0.0.1:9 cannot be reached", "chavion up"]);
    assert_eq!(ended.err.lines().count(), 1);
    let ended = world.run(&[&["order", "x", "--json"], &away[..]].concat());
    assert_eq!(ended.expect(3, &[]).json()["code"], "unreachable");
    world.run(&["task", "ls", "--url", "서버"]).expect(2, &["no server's address"]);
    world.run(&["--help"]).expect(0, &["130", "64", "Exit codes"]);
}

fn keys(world: &mut World) {
    let made = world.run(&["key", "new", "거실 태블릿"]);
    let viewer = made.expect(0, &["shown once"]).out.trim().to_owned();
    assert!(viewer.starts_with("chv_") && made.out.lines().count() == 1, "{made:?}");
    let agent = world.json(&["key", "new", "봇", "--role", "agent", "--agent", "bot-1"]);
    world.run(&["key", "new", "봇", "--role", "agent"]).expect(2, &["agent_name"]);
    world.run(&["key", "new", "x", "--role", "왕"]).expect(2, &["role", "master"]);
    world.run(&["key", "ls"]).expect(0, &["거실 태블릿", "(agent bot-1)", "active"]);
    let list = world.json(&["key", "ls"]);
    let first = list["keys"][0]["id"].as_str().unwrap();
    assert!(!list.to_string().contains("chv_"));
    world.run(&["key", "revoke", first]).expect(2, &["another master"]);

    // A key may do what its role may, and nothing once it is revoked.
    world.set("CHAVION_KEY", &viewer);
    world.run(&["task", "ls"]).expect(0, &[]);
    world.run(&["order", "x"]).expect(2, &["role master", "viewer"]);
    world.set("CHAVION_KEY", agent["key"].as_str().unwrap());
    world.run(&["task", "ls"]).expect(0, &[]);
    world.vars.retain(|(name, _)| name != "CHAVION_KEY");
    assert_eq!(world.json(&["key", "revoke", agent["id"].as_str().unwrap()])["revoked"], true);
    world.run(&["key", "ls"]).expect(0, &["revoked"]);
    world.set("CHAVION_KEY", agent["key"].as_str().unwrap());
    world.run(&["task", "ls"]).expect(2, &["revoked", "CHAVION_KEY"]);
    let wrong = format!("chv_{}", "0".repeat(64));
    world.set("CHAVION_KEY", &wrong);
    let ended = world.run(&["task", "ls"]);
    ended.expect(2, &["not known"]);
    assert!(!ended.err.contains(&wrong));
    world.run(&["doctor"]).expect(3, &["✗ server", "not known"]);
    world.vars.retain(|(name, _)| name != "CHAVION_KEY");
    world.set("CHAVION_DATA", &world.folder.join("nothing").display().to_string());
    world.run(&["task", "ls"]).expect(2, &["no key", "CHAVION_KEY", "--data"]);
}

/// Orders at half the price, their batches, and the money that they may cost.
#[test]
fn batches_and_budgets_are_ordered_watched_and_changed() {
    let mut world = World::new();
    world.up();
    assert!(world.said().contains("Its batches take a second"), "said loudly: {}", world.said());
    world.run(&["batch", "ls"]).expect(0, &["no batches"]);
    world.run(&["budget", "ls"]).expect(0, &["no budgets"]);
    world.run(&["blackout", "ls"]).expect(0, &["every provider serves"]);
    world.run(&["batch", "flush"]).expect(0, &["nothing waits for a batch"]);

    // The emulator's batches are back in a second: a whole report takes a few of them.
    let words = ["order", "겨울 예약을 늘릴 방법을 써줘", "--pace", "batch", "--deadline", "2d", "--budget", "5.00"];
    let ended = world.run(&words);
    ended.expect(0, &["waiting for a batch (", "(batch · ", "\ncost $0.", ", saved $0."]);
    let list = world.json(&["batch", "ls"]);
    let batches = list["batches"].as_array().unwrap();
    assert!(batches.len() >= 3 && batches.iter().all(|batch| batch["state"] == "settled"), "{list}");
    let id = batches[0]["id"].as_str().unwrap();
    world.run(&["batch", "ls", "--state", "settled", "--limit", "1"]).expect(0, &[id, "1/1", "saved $0.", "--cursor"]);
    world
        .run(&["batch", "show", id])
        .expect(0, &["1 succeeded", "Orders (1):", "겨울 예약을 늘릴 방법을 써줘", "at pace now $0."]);
    assert_eq!(world.json(&["batch", "show", id])["counts"]["succeeded"], 1);
    world.run(&["batch", "cancel", id]).expect(2, &["settled"]);
    let task = world.json(&["task", "ls"])["tasks"][0].clone();
    let (root, saved) = (task["id"].as_str().unwrap(), &task["saved"]["nanos"]);
    assert!(saved.as_i64() > Some(0) && saved == &task["cost"]["nanos"], "half the price: {task}");
    world.run(&["task", "show", root]).expect(0, &["pace        batch", "budget      $5.00", "money       cost $0."]);
    let budgets = world.json(&["budget", "ls", "--all"]);
    assert_eq!(budgets["budgets"][0]["spent"], task["cost"], "{budgets}");
    world.run(&["budget", "ls"]).expect(0, &["no budgets"]);

    // An order that would cost more than it may waits, and says how it goes on.
    let mut watching =
        world.command(&["order", "여름", "--playbook", "answer", "--agent", "assistant", "--budget", "0.000001"]);
    let said = world.folder.join("watching.err");
    let watching = watching.stdout(Stdio::piped()).stderr(File::create(&said).unwrap()).spawn().unwrap();
    let said = || std::fs::read_to_string(&said).unwrap();
    let held = || world.json(&["task", "ls", "--parts", "--state", "held"])["tasks"][0].clone();
    until("it is held", || held().is_object());
    let held = held();
    assert_eq!((&held["held_for"], held["held"]["nanos"].as_i64() > Some(1_000)), (&"budget".into(), true), "{held}");
    let root = held["root_id"].as_str().unwrap();
    world.run(&["budget", "ls"]).expect(0, &["$0.00 of $0.000001 spent", "여름"]);
    // Whoever watches reads the rows a moment later: it must have seen the hold before that is over.
    let advice = format!("budget set order {root} 0.");
    until("the watcher says how it goes on", || said().contains("held, asks for $0.") && said().contains(&advice));
    world.run(&["budget", "set", "order", root, "$5.00"]).expect(0, &["$5.00 is left; one task that was held goes on"]);
    let watched = watching.wait_with_output().unwrap();
    assert_eq!(watched.status.code(), Some(0), "{}", said());

    world
        .run(&["budget", "set", "provider", "openai", "--day", "20"])
        .expect(0, &["for each day (UTC) of the provider openai", "$20.00"]);
    world.run(&["budget", "set", "all", "100"]).expect(0, &["for everything", "of $100.00"]);
    let budgets = world.json(&["budget", "ls"]);
    assert_eq!(budgets["budgets"].as_array().unwrap().len(), 2, "{budgets}");
    world.run(&["budget", "rm", "provider", "openai", "--day"]).expect(0, &["is removed"]);
    assert_eq!(world.json(&["budget", "rm", "all"])["scope"], "all");
    world.run(&["budget", "rm", "all"]).expect(2, &["no such budget"]);
    for (words, said) in [
        (&["budget", "set", "agent", "nobody", "1"][..], "one of "),
        (&["budget", "set", "order", "여름", "1"], "is no id"),
        (&["budget", "set", "all", "0"], "is zero"),
        (&["budget", "set", "all", "백원"], "not an amount"),
        (&["budget", "set", "me", "x", "1"], "one of agent, all, order, provider"),
        (&["budget", "set", "agent"], "which agent"),
        (&["batch", "ls", "--state", "asleep"], "submitting, running"),
        (&["batch", "show", "1"], "is no id"),
        (&["batch", "cancel", root, "--then", "later"], "now, batch, cancel"),
        (&["batch", "cancel", root], "no batch"),
        (&["batch", "flush", "nobody"], "no provider"),
        (&["blackout", "end", "openai"], "no blackout"),
        (&["order", "x", "--budget", "-1"], "less than nothing"),
        (&["order", "x", "--pace", "soon"], "now, flex, batch, auto"),
        (&["order", "x", "--deadline", "2020-01-01T00:00"], "in the past"),
        (&["order", "x", "--deadline", "언젠가"], "not a time"),
    ] {
        world.run(words).expect(2, &[said]);
        assert!(world.run(&[words, &["--json"][..]].concat()).expect(2, &[]).json()["code"].is_string());
    }
}
