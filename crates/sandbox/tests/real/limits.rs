//! What a confined command may use up, and what becomes of what it leaves behind.

use crate::world::{DAEMON, LAUNCHER, World, is_root, lacks, landlock, pids, runs};
use sandbox::{Chunk, End, Sandbox, Stream};
use std::{fs, time::Duration};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn the_time_limit_kills_the_whole_tree() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec =
        world.spec(&format!("{DAEMON}; echo $$ >>pids; sleep 300 & echo $! >>pids; trap '' TERM; sleep 300"));
    // Time enough for all three to begin on a busy machine.
    spec.limits.wall = Duration::from_secs(4);
    let ended = world.run(&spec).await.unwrap();
    assert_eq!(ended.end, End::TimedOut);
    let left = pids(&spec.workdir.join("pids"), 3).await;
    assert_eq!(left.iter().filter(|pid| runs(**pid)).count(), 0);
}

#[tokio::test]
async fn a_daemon_does_not_outlive_its_command() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let ended = world.sh(&format!("{DAEMON}; while ! test -s pids; do sleep 0.01; done; echo left")).await;
    assert_eq!((ended.end, ended.stdout.text().as_str()), (End::Code(0), "left\n"));
    let left = pids(&world.root.join("work/pids"), 1).await;
    assert!(!runs(left[0]));
}

#[tokio::test]
async fn a_fork_bomb_is_bounded_and_cleared() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec = world.spec("perl -e 'while (1) { my $p = fork; syswrite STDOUT, \"x\" if defined $p and !$p; select undef, undef, undef, 0.001 unless defined $p }'");
    spec.limits.wall = Duration::from_secs(2);
    spec.limits.processes = 24;
    let ended = world.run(&spec).await.unwrap();
    assert_eq!(ended.end, End::TimedOut);
    assert!(ended.stdout.bytes.len() < 24, "{} processes", ended.stdout.bytes.len());
}

/// Each process leaves its session, forks and dies, so that no list of the tree stays true.
const CHAIN: &str = "perl -e 'use POSIX; while (1) { setsid(); my $p = fork; exit 0 if $p; }' &";

/// Counts the Perls that run with one of these uids.
fn perls(of: impl Fn(u32) -> bool) -> usize {
    let status = |entry: fs::DirEntry| fs::read_to_string(entry.path().join("status")).unwrap_or_default();
    let uid = |status: &str| status.split("Uid:").nth(1)?.split_whitespace().next()?.parse().ok();
    let all = fs::read_dir("/proc").unwrap().flatten().map(status);
    all.filter(|status| status.contains("Name:\tperl") && uid(status).is_some_and(&of)).count()
}

#[tokio::test]
async fn a_tree_that_runs_away_is_caught() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec = world.spec(&format!("id -u; {CHAIN} {CHAIN} {DAEMON}; sleep 300"));
    // Time enough for `id` on a busy machine.
    spec.limits.wall = Duration::from_secs(3);
    let ended = Sandbox::with_launcher(LAUNCHER).run(&spec, &CancellationToken::new()).await.unwrap();
    assert_eq!(ended.end, End::TimedOut);
    let own: u32 = ended.stdout.text().trim().parse().unwrap();
    assert_eq!(perls(|uid| uid == own), 0);

    let world = World::new();
    let (sandbox, mut spec) = world.as_someone(&spec.args[1]);
    spec.limits.wall = Duration::from_secs(3);
    let ended = sandbox.run(&spec, &CancellationToken::new()).await.unwrap();
    assert_eq!(ended.end, End::TimedOut);
    assert_eq!(perls(|uid| uid == crate::world::someone()), 0);
}

#[tokio::test]
async fn processes_that_have_ended_do_not_count() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    // Three hundred orphans, each the keeper's to bury. One that finds no room waits until one is buried.
    let mut spec = world.spec(
        "perl -e 'for my $i (1 .. 300) {
             my $child;
             select undef, undef, undef, 0.01 until defined($child = fork);
             if (!$child) { fork; exit 0 }
             waitpid $child, 0;
         }
         print qq(모두\\n)'",
    );
    spec.limits.processes = 12;
    let ended = world.run(&spec).await.unwrap();
    assert_eq!(ended.stdout.text(), "모두\n", "{}", ended.stderr.text());
}

#[tokio::test]
async fn nothing_stays_in_the_kernel() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let make = "defined shmget(IPC_PRIVATE, 4096, 0600) and defined semget(IPC_PRIVATE, 1, 0600) and defined msgget(IPC_PRIVATE, 0600) or die $!";
    let ended = world.sh(&format!("id -u; perl -MIPC::SysV=IPC_PRIVATE -e '{make}; print \"made\\n\"'")).await;
    let text = ended.stdout.text();
    let (uid, rest) = text.split_once('\n').unwrap();
    if lacks("Perl with IPC::SysV", !ended.stderr.text().contains("Can't locate")) {
        return;
    }
    assert_eq!(rest, "made\n", "{}", ended.stderr.text());
    for kind in ["shm", "sem", "msg"] {
        let table = fs::read_to_string(format!("/proc/sysvipc/{kind}")).unwrap_or_default();
        assert!(!table.split_whitespace().any(|word| word == uid), "{kind}: {table}");
    }
}

#[tokio::test]
async fn memory_is_bounded() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec = world.spec("perl -e '$x = \"a\" x (1 << 30); print \"got it\"'");
    spec.limits.memory_bytes = 128 << 20;
    let alone = world.run(&spec).await.unwrap();
    assert_ne!(alone.end, End::Code(0));
    assert_eq!(alone.stdout.text(), "");
    assert!(alone.peak_bytes < 200 << 20);

    let hog = "perl -e '$x = \"a\" x (40 << 20); sleep 300' &";
    spec.args = vec!["-c".to_owned(), format!("{hog} {hog} {hog} {hog} wait")];
    let together = world.run(&spec).await.unwrap();
    assert_eq!(together.end, End::OverMemory);
    assert!(together.peak_bytes > 128 << 20);
}

#[tokio::test]
async fn a_gigabyte_of_output_is_cut_in_constant_memory() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec =
        world.spec("echo 처음; yes 가나다라 | head -c 1000000000; echo; echo 끝; yes 오류 | head -c 500000 >&2");
    spec.limits.output_bytes = 64 << 10;
    let before = peak_kibibytes();
    let ended = world.run(&spec).await.unwrap();
    let grown = peak_kibibytes() - before;
    let total = u64::try_from("처음\n".len() + 1_000_000_000 + 1 + "끝\n".len()).unwrap();
    assert_eq!(ended.end, End::Code(0));
    assert_eq!(ended.stdout.cut + u64::try_from(ended.stdout.bytes.len()).unwrap(), total);
    assert!(ended.stdout.bytes.len() <= 64 << 10 && ended.stderr.bytes.len() <= 64 << 10);
    let (out, err) = (ended.stdout.text(), ended.stderr.text());
    assert!(out.starts_with("처음\n가나다라\n") && out.ends_with("\n끝\n"), "beginning and end are kept");
    assert!(out.contains(&format!("[… {} bytes cut …]", ended.stdout.cut)));
    assert!(!out.contains('\u{fffd}'), "no character was cut");
    assert!(err.contains(&format!("[… {} bytes cut …]", ended.stderr.cut)) && ended.stderr.cut > 430_000);
    assert!(grown < 64 << 10, "grew by {grown} KiB");
}

fn peak_kibibytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn output_that_is_not_text_is_kept() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let ended = world.sh("printf '\\377\\376\\000가'").await;
    assert_eq!(ended.stdout.bytes, b"\xff\xfe\0\xea\xb0\x80");
    assert_eq!(ended.stdout.text(), "\u{fffd}\u{fffd}\u{fffd}가");
}

#[tokio::test]
async fn output_streams_as_it_comes() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let spec = world.spec("echo 하나; while ! test -e go; do sleep 0.01; done; echo 둘 >&2");
    let (to, mut from) = tokio::sync::mpsc::channel(4);
    let (sandbox, cancel) = (Sandbox::with_launcher(LAUNCHER), CancellationToken::new());
    let listen = async {
        let first = from.recv().await.unwrap();
        assert_eq!(first, Chunk { from: Stream::Out, bytes: "하나\n".into() });
        fs::write(world.root.join("work/go"), "").unwrap();
        assert_eq!(from.recv().await.unwrap(), Chunk { from: Stream::Err, bytes: "둘\n".into() });
        assert_eq!(from.recv().await, None);
    };
    let (ended, ()) = tokio::join!(sandbox.stream(&spec, &cancel, to), listen);
    assert_eq!(ended.unwrap().end, End::Code(0));
}

#[tokio::test]
async fn processor_time_is_bounded() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec = world.spec("while :; do :; done");
    spec.limits.cpu_seconds = 1;
    let one = world.run(&spec).await.unwrap();
    assert_eq!(one.end, End::OverCpu);
    assert!(one.cpu > Duration::ZERO);
    // Many that stay below the limit one by one are over it together.
    spec.args =
        vec!["-c".to_owned(), "while :; do (i=0; while test $i -lt 50000; do i=$((i+1)); done); done".to_owned()];
    assert_eq!(world.run(&spec).await.unwrap().end, End::OverCpu);
}

#[tokio::test]
async fn files_and_descriptors_are_bounded() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec =
        world.spec("head -c 10000000 /dev/zero >big 2>/dev/null; ulimit -n; ulimit -c; ulimit -u 2>/dev/null; true");
    spec.limits.file_bytes = 1 << 20;
    spec.limits.open_files = 33;
    let ended = world.run(&spec).await.unwrap();
    assert!(ended.stdout.text().starts_with("33\n0\n"), "{}", ended.stdout.text());
    assert_eq!(fs::metadata(spec.workdir.join("big")).unwrap().len(), 1 << 20);
}

#[tokio::test]
async fn a_cancelled_run_ends_with_its_tree() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let spec = world.spec(&format!("{DAEMON}; echo $$ >>pids; echo 시작; sleep 300"));
    let (sandbox, cancel) = (Sandbox::with_launcher(LAUNCHER), CancellationToken::new());
    let watch = async {
        let started = pids(&spec.workdir.join("pids"), 2).await;
        cancel.cancel();
        started
    };
    let (ended, started) = tokio::join!(sandbox.run(&spec, &cancel), watch);
    let ended = ended.unwrap();
    assert_eq!((ended.end, ended.stdout.text().as_str()), (End::Cancelled, "시작\n"));
    assert!(!started.into_iter().any(runs));
}

#[tokio::test]
async fn a_dropped_run_ends_with_its_tree() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let spec = world.spec(&format!("{DAEMON}; echo $$ >>pids; sleep 300"));
    let (sandbox, cancel) = (Sandbox::with_launcher(LAUNCHER), CancellationToken::new());
    let file = spec.workdir.join("pids");
    let started = tokio::select! {
        _ = sandbox.run(&spec, &cancel) => panic!("it must not end"),
        started = pids(&file, 2) => started,
    };
    crate::world::until("the tree is gone", || !started.iter().any(|pid| runs(*pid))).await;
}
