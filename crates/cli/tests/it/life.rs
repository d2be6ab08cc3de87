//! One process with four services: they come up together and go down together, and say why.

use crate::world::{World, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;

#[test]
fn one_process_shows_four_services_and_ends_with_a_private_server_that_dies() {
    let mut world = World::new();
    world.set("DRAIN_SECONDS", "2");
    let told = world.up();
    let admin = told["admin"].as_str().unwrap().trim_start_matches("http://").parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ask = |path: &str| runtime.block_on(testkit::process::ask(admin, path)).unwrap();
    assert_eq!(ask("/ready").0, 200);
    let metrics = ask("/metrics").1;
    for service in ["gateway", "orchestrator", "executor", "batch-poller"] {
        assert!(metrics.contains(&format!("service=\"{service}\"")), "{service}");
    }
    assert!(!metrics.contains("chv_") && !world.said().contains("chv_"));

    let pid: i32 = fs::read_to_string(world.data().join("redis/redis.pid")).unwrap().trim().parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    until("up has noticed", || world.said().contains("the private redis-server ended with signal: 9"));
    assert_eq!(world.ended().code(), Some(1), "{}", world.said());
    assert!(!world.said().contains("panicked"), "{}", world.said());
    world.up();
    assert!(world.end(Signal::TERM).success());
}
