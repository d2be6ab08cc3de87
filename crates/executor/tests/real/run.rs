//! Commands from row to row, with an executor in this process.

use crate::world::{World, runs};
use serde_json::json;
use std::{fs, os::unix::fs::PermissionsExt, time::Duration};
use store::Cancelled;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_completes_and_is_told() {
    let mut world = World::new().await;
    let life = world.start();
    let id = world.order("cat <<'EOF' | tee 보고.txt\n겨울 예약 12건\nEOF\necho 경고 >&2; pwd >&2").await;
    let row = world.until(id, "completed").await;
    assert_eq!(row.result["stdout"], "겨울 예약 12건\n");
    assert_eq!(row.result["text"], "겨울 예약 12건");
    assert_eq!((&row.result["exit_code"], &row.result["signal"]), (&json!(0), &json!(null)));
    assert_eq!((&row.result["stdout_cut_bytes"], &row.result["stderr_cut_bytes"]), (&json!(0), &json!(0)));
    let stderr = row.result["stderr"].as_str().unwrap();
    assert!(stderr.starts_with("경고\n") && stderr.contains(&format!("{id}-1")), "{stderr}");
    assert!(row.result["wall_ms"].is_u64() && row.result["cpu_ms"].is_u64());
    assert_eq!((row.attempt, row.cause), (1, None));
    assert_eq!(world.until_acked().await, 1);
    assert_eq!(events(&world).await, ["task.in_progress", "task.completed"]);
    assert!(world.folders().is_empty(), "its folder is gone");
    assert!(life.ready.report().ready);
    life.stop.cancel();
}

/// What a counter has counted under a label's value.
fn counted(life: &boot::Life, name: &str, value: &str) -> u64 {
    let families = life.registry.gather();
    let family = families.iter().find(|family| family.name() == name).unwrap();
    let fits = |metric: &&prometheus::proto::Metric| metric.get_label().iter().any(|pair| pair.value() == value);
    let sum: f64 = family.get_metric().iter().filter(fits).map(|metric| metric.get_counter().get_value()).sum();
    format!("{sum:.0}").parse().unwrap()
}

async fn events(world: &World) -> Vec<String> {
    let range = world.bus.range(&bus::EVENTS, bus::EventId::START, 100).await.unwrap();
    range.events.into_iter().map(|(_, entry)| entry.kind).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ends_have_their_cause() {
    let mut world = World::new().await;
    world.set("COMMAND_LIMITS", "memory_mib=64,cpu_seconds=1");
    let life = world.start();
    let failed = world.order("echo 하나 >&2; echo '파일이 없습니다' >&2; exit 3").await;
    let signal = world.order("kill -SEGV $$").await;
    // Long enough for a shell to have begun on a busy machine.
    let late = world.order_within("echo 시작 >&2; sleep 60", Duration::from_secs(3)).await;
    let hog = world.order("h() { perl -e '$x = \"a\" x (20 << 20); sleep 60'; }; h & h & h & wait").await;
    let spin = world.order("while :; do :; done").await;
    let long = world.order(&format!(": {}", "가".repeat(60_000))).await;
    for (id, cause, words) in [
        (failed, "command_failed", "code 3: 파일이 없습니다"),
        (signal, "command_failed", "signal 11"),
        (late, "timed_out", "3 s were over: 시작"),
        (hog, "command_failed", "64 MiB"),
        (spin, "command_failed", "1 s of processor time"),
        (long, "command_failed", "cannot start"),
    ] {
        let row = world.until(id, "failed").await;
        assert_eq!(row.cause.as_deref(), Some(cause), "{row:?}");
        assert!(row.reason.contains(words), "{row:?}");
        assert!(row.result.is_null());
    }
    assert_eq!(world.until_acked().await, 6);
    for (reason, most) in [("time", 1), ("memory", 1), ("processor", 1), ("unrunnable", 1), ("sandbox", 0)] {
        assert_eq!(counted(&life, "chavion_executor_denials_total", reason), most, "{reason}");
    }
    assert_eq!(counted(&life, "chavion_executor_commands_total", "high"), 6, "a script is of level high");
    life.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_delivery_does_nothing() {
    let mut world = World::new().await;
    let (first, second) = (world.start(), {
        world.set("REPLICA", "another");
        world.start()
    });
    let id = world.order("echo x >>marker; while ! test -e go; do sleep 0.02; done; wc -l <marker").await;
    world.written("marker").await;
    for _ in 0..5 {
        world.announce(id).await;
    }
    // Only the first delivery, which the running command holds, is left.
    testkit::until("the others are taken off", || async {
        world
            .bus
            .depths()
            .await
            .unwrap()
            .iter()
            .any(|depth| depth.topic == crate::world::COMMAND && depth.waiting == 0 && depth.pending == 1)
    })
    .await;
    assert_eq!(world.folders().len(), 1);
    let folder = world.folders().into_iter().next().unwrap();
    fs::write(folder.join("go"), "").unwrap();
    let row = world.until(id, "completed").await;
    assert_eq!((row.attempt, &row.result["text"]), (1, &json!("1")));
    world.announce(id).await;
    assert_eq!(world.until_acked().await, 1);
    assert_eq!(world.row(id).await.attempt, 1);
    first.stop.cancel();
    second.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_has_its_command_killed() {
    let mut world = World::new().await;
    let life = world.start();
    let id = world.order("sleep 600 & echo $! >pid; wait").await;
    let pid = world.written("pid").await;
    assert!(runs(&pid));
    assert!(matches!(world.store.cancel(id, "주인이 취소함").await.unwrap(), Cancelled::Done { .. }));
    testkit::until("the process is gone", || async { !runs(&pid) }).await;
    world.until_acked().await;
    let row = world.row(id).await;
    assert_eq!((row.state.as_str(), row.attempt), ("cancelled", 1));
    assert!(world.folders().is_empty());
    life.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_at_once_keep_to_the_limit() {
    let mut world = World::new().await;
    world.set("COMMAND_CONCURRENCY", "3");
    let life = world.start();
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(world.order(&format!("while ! test -e go; do sleep 0.02; done; echo {number}번")).await);
    }
    for ended in 0..20 {
        // As many as may, and the others wait until one of these has ended.
        testkit::until("as many run as may", || async {
            let running = world.folders().len();
            assert!(running <= 3, "{running} at once");
            running == (20 - ended).min(3)
        })
        .await;
        let folder = world.folders().into_iter().next().unwrap();
        fs::write(folder.join("go"), "").unwrap();
        testkit::until("it has ended", || async { !folder.exists() }).await;
    }
    for (number, id) in ids.into_iter().enumerate() {
        assert_eq!(world.until(id, "completed").await.result["text"], format!("{number}번"));
    }
    assert_eq!(world.until_acked().await, 20);
    life.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn long_output_is_cut_and_says_so() {
    let mut world = World::new().await;
    world.set("COMMAND_LIMITS", "output_kib=4");
    let life = world.start();
    let id = world.order("echo 처음; yes 가나다라 | head -n 100000; printf '끝\\000'").await;
    let row = world.until(id, "completed").await;
    let text = row.result["text"].as_str().unwrap();
    let cut = row.result["stdout_cut_bytes"].as_u64().unwrap();
    assert!(cut > 1_200_000 && text.len() < 5_000);
    assert!(
        text.starts_with("처음\n가나다라\n")
            && text.contains(&format!("[… {cut} bytes cut …]"))
            && text.ends_with("끝\u{fffd}")
    );
    let families = life.registry.gather();
    let counted = families.iter().find(|family| family.name() == "chavion_executor_output_cut_bytes_total").unwrap();
    assert!(counted.get_metric().iter().any(|metric| metric.get_counter().get_value() > 1_000_000.0));
    life.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kernel_without_landlock_runs_nothing_and_says_so() {
    let mut world = World::new().await;
    let launcher = world.work_dir.join("launcher");
    let (prctl, seccomp) = if cfg!(target_arch = "x86_64") { (157, 317) } else { (167, 277) };
    // Fails landlock_create_ruleset (444) as a kernel without it does, then becomes the real launcher.
    let perl = format!(
        "#!/usr/bin/perl
         my $filter = pack('SCCL', 0x20, 0, 0, 0) . pack('SCCL', 0x15, 0, 1, 444)
             . pack('SCCL', 0x06, 0, 0, 0x00050000 | 38) . pack('SCCL', 0x06, 0, 0, 0x7fff0000);
         my $program = pack('S x6 P', length($filter) / 8, $filter);
         syscall({prctl}, 38, 1, 0, 0, 0) == 0 or die $!;
         syscall({seccomp}, 1, 0, $program) == 0 or die $!;
         exec {{ '{EXECUTOR}' }} '{EXECUTOR}', @ARGV;\n",
        EXECUTOR = crate::world::EXECUTOR
    );
    fs::write(&launcher, perl).unwrap();
    fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755)).unwrap();
    let life = world.start_with(launcher);
    let id = world.order("echo 실행됨").await;
    let row = world.until(id, "failed").await;
    assert_eq!(row.cause.as_deref(), Some("unconfined"));
    assert!(row.reason.contains("files") && row.reason.contains("Landlock"), "{}", row.reason);
    assert_eq!(life.ready.report().missing, ["sandbox"]);
    // The try at the start is no command.
    assert_eq!(counted(&life, "chavion_executor_denials_total", "sandbox"), 1);
    life.stop.cancel();
}
