//! Deaths and refusals: a killed caller, a killed keeper, a kernel that says no.

use crate::world::{DAEMON, LAUNCHER, World, is_root, lacks, landlock, open_to, pids, runs, until};
use sandbox::{Error, Layer, Sandbox};
use std::{
    fs,
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn kill_9_of_the_caller_leaves_nothing_behind() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let spec = world.spec("");
    let script = format!("{DAEMON}; echo $$ >>pids; echo $PPID >>pids; sleep 300");
    let mut caller = Command::new(LAUNCHER).arg(&spec.workdir).arg(script).stdout(Stdio::null()).spawn().unwrap();
    let started = pids(&spec.workdir.join("pids"), 3).await;
    assert!(started.iter().all(|pid| runs(*pid)), "daemon, command and keeper run");
    caller.kill().unwrap();
    assert_eq!(caller.wait().unwrap().signal(), Some(9));
    until("daemon, command and keeper are gone", || !started.iter().any(|pid| runs(*pid))).await;
}

#[tokio::test]
async fn kill_9_of_the_keeper_is_told_and_leaves_nothing_behind() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let spec = world.spec(&format!("{DAEMON}; echo $$ >>pids; echo $PPID >keeper; sleep 300"));
    let kill = async {
        let started = pids(&spec.workdir.join("pids"), 2).await;
        let keeper = pids(&spec.workdir.join("keeper"), 1).await[0];
        let keeper = rustix::process::Pid::from_raw(i32::try_from(keeper).unwrap()).unwrap();
        rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
        started
    };
    let (told, started) = tokio::join!(world.run(&spec), kill);
    assert!(matches!(told, Err(Error::Lost(_))), "{told:?}");
    until("daemon and command are gone", || !started.iter().any(|pid| runs(*pid))).await;
}

/// A launcher under a seccomp filter that fails the system calls given, as an older or stricter
/// kernel would.
fn without(world: &World, calls: &[u32]) -> Sandbox {
    let (prctl, seccomp) = if cfg!(target_arch = "x86_64") { (157, 317) } else { (167, 277) };
    let list = calls.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let prelude = format!(
        "my @calls = ({list});
         my $filter = pack('SCCL', 0x20, 0, 0, 0);
         $filter .= pack('SCCL', 0x15, 0, 1, $_) . pack('SCCL', 0x06, 0, 0, 0x00050000 | 38) for @calls;
         $filter .= pack('SCCL', 0x06, 0, 0, 0x7fff0000);
         my $program = pack('S x6 P', length($filter) / 8, $filter);
         syscall({prctl}, 38, 1, 0, 0, 0) == 0 or die $!;
         syscall({seccomp}, 1, 0, $program) == 0 or die $!;"
    );
    world.launcher("/usr/bin/perl", &prelude, "exec { 'REAL' } 'REAL', @ARGV;")
}

#[tokio::test]
async fn a_kernel_that_refuses_a_layer_runs_nothing() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    // setrlimit goes by prlimit64; capset, setresuid, setgroups, close_range, landlock_*.
    let x86 = cfg!(target_arch = "x86_64");
    let calls: &[(&str, u32, Layer)] = &[
        ("landlock_create_ruleset", 444, Layer::Files),
        ("landlock_restrict_self", 446, Layer::Files),
        ("close_range", 436, Layer::Files),
        ("setresuid", if x86 { 117 } else { 147 }, Layer::Identity),
        ("setgroups", if x86 { 116 } else { 159 }, Layer::Identity),
        ("capset", if x86 { 126 } else { 91 }, Layer::Privileges),
        ("prlimit64", if x86 { 302 } else { 261 }, Layer::Limits),
    ];
    for (name, number, layer) in calls {
        let sandbox = without(&world, &[*number]);
        let spec = world.spec("touch ran; echo ran");
        let told = sandbox.run(&spec, &CancellationToken::new()).await;
        match told {
            Err(Error::Refused { layer: refused, .. }) => assert_eq!(refused, *layer, "{name}"),
            // Without close_range the keeper itself does not begin.
            Err(Error::Lost(_)) if *name == "close_range" => {}
            other => panic!("without {name}: {other:?}"),
        }
        assert!(!spec.workdir.join("ran").exists(), "{name}");
    }
    // The filter alone changes nothing.
    let spec = world.spec("echo 됨");
    let ended = without(&world, &[]).run(&spec, &CancellationToken::new()).await.unwrap();
    assert_eq!(ended.stdout.text(), "됨\n");
}

#[tokio::test]
async fn a_required_layer_that_is_missing_is_a_refusal() {
    let world = World::new();
    if lacks("root, to become someone else", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let (sandbox, mut spec) = world.as_someone("touch ran");
    spec.require.push(Layer::Identity);
    let told = sandbox.run(&spec, &CancellationToken::new()).await;
    assert!(matches!(told, Err(Error::Refused { layer: Layer::Identity | Layer::Scope, .. })), "{told:?}");
    assert!(!spec.workdir.join("ran").exists());
}

#[tokio::test]
async fn a_launcher_that_is_none_is_told() {
    let world = World::new();
    let spec = world.spec("true");
    let cancel = CancellationToken::new();
    let told = Sandbox::with_launcher("/bin/true").run(&spec, &cancel).await;
    assert!(matches!(told, Err(Error::Lost(_))), "{told:?}");
    let told = Sandbox::with_launcher("/없음").run(&spec, &cancel).await;
    assert!(matches!(told, Err(Error::Launch(_))), "{told:?}");
    let telling = world.launcher("/bin/sh", "echo 'unknown verb: sandbox-init' >&2", "exit 2");
    let told = telling.run(&spec, &cancel).await.unwrap_err();
    assert!(told.to_string().contains("unknown verb"), "{told}");
}

#[tokio::test]
async fn a_work_folder_out_of_reach_is_told() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let closed = world.folder("closed");
    fs::create_dir(closed.join("work")).unwrap();
    open_to(&closed, 0o700);
    let mut spec = world.spec("touch ran");
    spec.workdir = closed.join("work");
    let told = world.run(&spec).await.unwrap_err().to_string();
    assert!(told.contains("o+x"), "{told}");
    std::os::unix::fs::symlink(world.folder("target"), world.root.join("link")).unwrap();
    spec.workdir = world.root.join("link");
    assert!(matches!(world.run(&spec).await, Err(Error::Spec(_))));
}
