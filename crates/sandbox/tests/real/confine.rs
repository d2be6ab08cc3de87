//! What a confined command reaches and what it does not, on real processes.

use crate::world::{LAUNCHER, World, is_root, lacks, landlock, open_to};
use sandbox::{End, Error, Layer, Spec};
use std::{
    collections::BTreeSet,
    fs,
    process::{Command, Stdio},
};

#[tokio::test]
async fn reads_outside_are_denied() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let other = world.folder("other");
    fs::write(other.join("비밀"), "다른 명령의 비밀").unwrap();
    open_to(&other.join("비밀"), 0o644);
    let other = other.display();
    let ended = world
        .sh(&format!(
            "for path in / /root /home /tmp /var /run /sys /proc /proc/1/environ /proc/self/environ \
               /proc/$PPID/environ /proc/$PPID/maps /proc/self/status /etc /etc/shadow /etc/hostname \
               /dev /dev/shm /dev/tty {other} {other}/비밀 \"$HOME/..\"; do
               cat \"$path\" >/dev/null 2>&1 && echo \"read $path\"
               ls \"$path\"/ >/dev/null 2>&1 && echo \"listed $path\"
             done
             ln -s {other}/비밀 link && cat link 2>/dev/null && echo 'read by link'
             ln {other}/비밀 hard 2>/dev/null && echo 'hard link'
             cat /etc/passwd >/dev/null && ls /usr/bin >/dev/null && echo system"
        ))
        .await;
    assert_eq!(ended.stdout.text(), "system\n", "{}", ended.stderr.text());
}

#[tokio::test]
async fn writes_outside_are_denied() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let other = world.folder("other");
    fs::write(other.join("open"), "stays").unwrap();
    open_to(&other.join("open"), 0o666);
    let other = other.display();
    let ended = world
        .sh(&format!(
            "for path in {other}/new {other}/open /tmp/chavion-new /dev/shm/chavion-new /usr/new /var/tmp/new; do
               (echo x >\"$path\") 2>/dev/null && echo \"wrote $path\"
             done
             mkdir {other}/folder 2>/dev/null && echo mkdir
             rm -f {other}/open 2>/dev/null; mv {other}/open here 2>/dev/null && echo mv
             touch mine; mv mine {other}/mine 2>/dev/null && echo 'mv out'
             perl -e 'truncate q({other}/open), 0 and print qq(truncated\\n)'
             echo done"
        ))
        .await;
    assert_eq!(ended.stdout.text(), "done\n");
    assert_eq!(fs::read_to_string(world.root.join("other/open")).unwrap(), "stays");
    assert_eq!(fs::read_dir(world.root.join("other")).unwrap().count(), 1);
}

#[tokio::test]
async fn the_work_folder_is_all_its_own() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let ended = world
        .sh("set -e
             test \"$PWD\" = \"$HOME\"
             mkdir -p 보고서/하나 둘; echo '겨울 예약' >보고서/하나/글.txt; mv 보고서/하나/글.txt 둘/
             printf '#!/bin/sh\\necho 실행 $1\\n' >run; chmod +x run; ./run 됨
             file=$(mktemp); case $file in $HOME/.tmp/*) echo private;; esac; rm $file
             cat 둘/글.txt; rm -r 보고서; ls; echo x >/dev/null; head -c 4 /dev/urandom | wc -c")
        .await;
    assert_eq!(ended.end, End::Code(0), "{}", ended.stderr.text());
    assert_eq!(ended.stdout.text(), "실행 됨\nprivate\n겨울 예약\nrun\n둘\n4\n");
    assert_eq!(fs::read_to_string(world.root.join("work/둘/글.txt")).unwrap(), "겨울 예약\n");
}

#[tokio::test]
async fn the_environment_is_scrubbed() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut spec = world.spec("env; cat /proc/*/environ 2>/dev/null; true");
    spec.env.insert("GREETING".to_owned(), "안녕".to_owned());
    let ended = world.run(&spec).await.unwrap();
    let text = ended.stdout.text();
    let names: BTreeSet<&str> = text.lines().filter_map(|line| line.split('=').next()).collect();
    assert_eq!(names, BTreeSet::from(["GREETING", "HOME", "LANG", "PATH", "PWD", "TMPDIR"]));
    assert!(text.contains("GREETING=안녕") && text.contains("LANG=C.UTF-8"));

    let told = Command::new(LAUNCHER)
        .args([world.spec("").workdir.to_str().unwrap(), "env; cat /proc/$PPID/environ /proc/[0-9]*/environ"])
        .env("ANTHROPIC_API_KEY", "sk-비밀-0451")
        .output()
        .unwrap();
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("LANG=C.UTF-8") && !told.contains("0451"), "{told}");
}

#[tokio::test]
async fn nothing_open_is_inherited() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let script = "for fd in 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo open $fd; (: >&$fd) 2>/dev/null && echo open $fd; done; echo none";
    let told = Command::new("/bin/sh")
        .args(["-c", "exec 3</etc/passwd 7>/dev/null 9</etc/hostname; exec \"$@\"", "sh", LAUNCHER])
        .args([world.spec("").workdir.to_str().unwrap(), script])
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(told["stdout"], "none\n", "{told}");
}

#[tokio::test]
async fn tcp_is_denied() {
    let world = World::new();
    let layers = match landlock(&world).await {
        true => world.sh("true").await.layers,
        false => vec![],
    };
    if lacks("Landlock network rules (Linux 6.7)", layers.contains(&Layer::Network)) {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let script = format!(
        "perl -MSocket -e 'socket(S, PF_INET, SOCK_STREAM, 0) or die;
           print connect(S, sockaddr_in({port}, inet_aton(\"127.0.0.1\"))) ? \"in\" : $!, \"\\n\";
           socket(B, PF_INET, SOCK_STREAM, 0) or die;
           print bind(B, sockaddr_in(0, INADDR_ANY)) ? \"bound\" : $!, \"\\n\"'"
    );
    let ended = world.sh(&script).await;
    assert_eq!(ended.stdout.text(), "Permission denied\nPermission denied\n", "{}", ended.stderr.text());
    // The same words outside do connect, so it is the sandbox that said no.
    let outside = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    assert!(String::from_utf8_lossy(&outside.stdout).starts_with("in\nbound"));
}

#[tokio::test]
async fn root_gives_the_command_a_uid_of_its_own() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let pid = std::process::id();
    let ended = world
        .sh(&format!("id -u; id -G; chown 0 . 2>/dev/null && echo chown; kill -0 {pid} 2>/dev/null && echo signal; kill -0 $PPID 2>/dev/null && echo keeper; true"))
        .await;
    let text = ended.stdout.text();
    let ids: Vec<u32> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
    assert_eq!(ids.len(), 2, "a uid and a single group: {text}");
    assert!(ids.iter().all(|id| *id >= 1_000));
    assert!(ended.layers.contains(&Layer::Identity));
    assert!(Layer::ALWAYS.iter().all(|layer| ended.layers.contains(layer)));
}

#[tokio::test]
async fn two_runs_never_share_a_uid() {
    let world = World::new();
    if lacks("root", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    let mut runs = tokio::task::JoinSet::new();
    for count in 0..8 {
        let spec = Spec::script(world.folder(&format!("w{count}")), "id -u; sleep 0.3");
        runs.spawn(async move {
            let sandbox = sandbox::Sandbox::with_launcher(LAUNCHER);
            sandbox.run(&spec, &tokio_util::sync::CancellationToken::new()).await.unwrap().stdout.text()
        });
    }
    let uids = runs.join_all().await;
    assert_eq!(uids.iter().collect::<BTreeSet<_>>().len(), 8, "{uids:?}");
}

#[tokio::test]
async fn without_root_it_can_still_not_reach_its_executor() {
    let world = World::new();
    if lacks("root, to become someone else", is_root()) || lacks("Landlock", landlock(&world).await) {
        return;
    }
    // A process of the very same uid, outside.
    let mut bystander = Command::new("setpriv")
        .args([&format!("--reuid={}", crate::world::someone()), "--clear-groups", "sleep", "60"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = bystander.id();
    let script = format!(
        "id -u; kill -9 {pid} $PPID 2>/dev/null && echo killed; kill -9 -1 2>/dev/null; cat /proc/{pid}/environ 2>/dev/null; echo alive"
    );
    let (sandbox, spec) = world.as_someone(&script);
    let told = sandbox.run(&spec, &tokio_util::sync::CancellationToken::new()).await;
    let survived = bystander.try_wait().unwrap().is_none();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    match told {
        Ok(ended) => {
            assert!(ended.layers.contains(&Layer::Scope) && !ended.layers.contains(&Layer::Identity));
            assert_eq!(ended.stdout.text(), format!("{}\nalive\n", crate::world::someone()));
            assert!(survived);
        }
        Err(Error::Refused { layer, .. }) => assert_eq!(layer, Layer::Scope),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_granted_folder_is_read_only() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    let tools = world.folder("tools");
    fs::write(tools.join("tool"), "#!/bin/sh\necho 도구\n").unwrap();
    open_to(&tools.join("tool"), 0o755);
    let tools_path = tools.display();
    let mut spec = world.spec(&format!("{tools_path}/tool; echo x 2>/dev/null >{tools_path}/new || echo denied"));
    spec.read.push(tools.clone());
    let ended = world.run(&spec).await.unwrap();
    assert!(ended.stdout.text().starts_with("도구\n"));
    assert!(!tools.join("new").exists());
    spec.read.push(world.root.join("없음"));
    assert!(matches!(world.run(&spec).await, Err(Error::Refused { layer: Layer::Files, .. })));
}

#[tokio::test]
async fn ends_are_told_apart() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    assert_eq!(world.sh("exit 7").await.end, End::Code(7));
    assert_eq!(world.sh("kill -TERM $$").await.end, End::Signal(15));
    assert_eq!(world.sh("kill -KILL $$").await.end, End::Signal(9));
    assert_eq!(world.sh("nonesuch-command 2>/dev/null").await.end, End::Code(127));
    let ended = world.sh("echo 밖으로; echo 오류 >&2; exit 3").await;
    assert_eq!((ended.stdout.text().as_str(), ended.stderr.text().as_str()), ("밖으로\n", "오류\n"));

    let missing = Spec::program(world.spec("").workdir, "없는-프로그램", vec![]);
    let error = world.run(&missing).await.unwrap_err();
    assert!(
        matches!(&error, Error::Start { program, why } if program == "없는-프로그램" && why.contains("No such file")),
        "{error}"
    );
    assert!(!error.is_transient());
    let whole = Spec::program(world.spec("").workdir, "printf", vec!["%s|".into(), "한 글".into(), "'\"$(id)".into()]);
    assert_eq!(world.run(&whole).await.unwrap().stdout.text(), "한 글|'\"$(id)|");
    let long = world.spec(&format!(": {}", "가".repeat(100_000)));
    assert!(matches!(world.run(&long).await, Err(Error::Start { .. })));
}

#[tokio::test]
async fn stdin_is_what_was_given() {
    let world = World::new();
    if lacks("Landlock", landlock(&world).await) {
        return;
    }
    assert_eq!(world.sh("cat; echo end").await.stdout.text(), "end\n");
    let mut spec = world.spec("cat | wc -c; cat");
    spec.stdin = "한".as_bytes().repeat(100_000);
    assert_eq!(world.run(&spec).await.unwrap().stdout.text(), "300000\n");
    // What is never read does not block.
    spec.args = vec!["-c".to_owned(), "echo unread".to_owned()];
    assert_eq!(world.run(&spec).await.unwrap().stdout.text(), "unread\n");
}
