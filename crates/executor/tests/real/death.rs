//! Executors as real processes, killed and stopped in the middle of a command.

use crate::world::{EXECUTOR, World, runs};
use std::{
    fs::{self, File},
    process::{Child, Command, Stdio},
    time::Duration,
};

fn start(world: &World, replica: &str) -> Child {
    let log = File::create(world.work_dir.join(format!("{replica}.log"))).unwrap();
    Command::new(EXECUTOR)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(&world.vars)
        .env("REPLICA", replica)
        .env("SOME_SECRET", "sk-비밀-0451")
        .stdin(Stdio::null())
        .stderr(log.try_clone().unwrap())
        .stdout(log)
        .spawn()
        .unwrap()
}

fn log(world: &World, replica: &str) -> String {
    fs::read_to_string(world.work_dir.join(format!("{replica}.log"))).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_loses_the_command_and_never_repeats_it() {
    let world = World::new().await;
    let mut first = start(&world, "first");
    let id = world.order("perl -MPOSIX -e 'exit if fork; setsid; exit if fork; open F, \">daemon\"; print F \"$$\\n\"; close F; sleep 600'; echo $$ >pid; sleep 600").await;
    let (pid, daemon) = (world.written("pid").await, world.written("daemon").await);
    let seen = world.folders();
    assert_eq!(seen.len(), 1);
    first.kill().unwrap();
    first.wait().unwrap();
    testkit::until("command and daemon are gone", || async { !runs(&pid) && !runs(&daemon) }).await;

    // Another one gets the entry of the dead one, and does nothing with it but to take it off.
    let mut second = start(&world, "second");
    assert_eq!(world.until_acked().await, 0, "{}", log(&world, "second"));
    assert_eq!(world.row(id).await.attempt, 1);
    testkit::until("the lease has run out and the sweep says so", || async {
        let swept = world.store.sweep(Duration::from_secs(60), 100, true).await.unwrap();
        swept.lost.iter().any(|name| name.id == id)
    })
    .await;
    let row = world.row(id).await;
    assert_eq!((row.state.as_str(), row.cause.as_deref(), row.attempt), ("failed", Some("lost"), 1));
    world.announce(id).await;
    world.until_acked().await;
    assert_eq!(world.row(id).await.attempt, 1);
    assert!(world.folders().is_empty(), "the dead one's folder was removed and no other made");
    second.kill().unwrap();
    second.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_commands_end_and_then_ends_them() {
    let mut world = World::new().await;
    world.set("DRAIN_SECONDS", "6");
    let mut executor = start(&world, "drained");
    let brief = world
        .order("echo x >started; while ! test -e go; do sleep 0.02; done; echo 끝; env; cat /proc/$PPID/environ 2>/dev/null; true")
        .await;
    world.written("started").await;
    let folder = world.folders().into_iter().next().unwrap();
    let endless = world.order("echo $$ >pid; sleep 600").await;
    let pid = world.written("pid").await;
    let stop = Command::new("kill").arg(executor.id().to_string()).status().unwrap();
    assert!(stop.success());
    testkit::until("it drains", || async { log(&world, "drained").contains("asked to stop") }).await;
    fs::write(folder.join("go"), "").unwrap();
    let row = world.until(brief, "completed").await;
    let text = row.result["text"].as_str().unwrap();
    assert!(text.starts_with("끝\n"), "{text}");
    assert!(!text.contains("postgres") && !text.contains("0451"), "{text}");
    let row = world.until(endless, "failed").await;
    assert_eq!(row.cause.as_deref(), Some("lost"));
    assert!(row.reason.contains("stopped"), "{}", row.reason);
    assert!(!runs(&pid));
    assert!(executor.wait().unwrap().success(), "{}", log(&world, "drained"));
    assert_eq!(world.until_acked().await, 2);
    assert!(world.folders().is_empty());
    // What comes later is left for others.
    assert!(!log(&world, "drained").contains("sk-"));
}
