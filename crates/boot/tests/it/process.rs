//! Real processes: how a service is born, drains and dies, seen from outside.

use crate::specimen::{Specimen, ended};

#[tokio::test]
async fn sigterm_drains_what_is_under_way_and_exits_0() {
    let drained = async |signal: &str| {
        // Longer than two questions take on a busy machine.
        let mut specimen = Specimen::start(&[("WORK_MILLIS", "4000")]).await;
        specimen.until_ready().await;
        specimen.signal(signal);
        specimen.until_log("asked to stop").await;
        let (status, body) = specimen.get("/ready").await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains("\"stopping\":true"), "{body}");
        assert_eq!(specimen.get("/health").await.0, 200, "the admin port answers through the drain");
        let (code, log) = specimen.end().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("finished what was under way"), "{log}");
    };
    tokio::join!(drained("TERM"), drained("INT"));
}

#[tokio::test]
async fn a_task_that_does_not_drain_is_named_and_cut() {
    let specimen = Specimen::start(&[("HABIT", "stubborn"), ("DRAIN_SECONDS", "0.2")]).await;
    specimen.until_ready().await;
    specimen.signal("TERM");
    let (code, log) = specimen.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("these tasks did not end within 200ms: stubborn"), "{log}");
}

#[tokio::test]
async fn a_second_signal_leaves_at_once() {
    let mut specimen = Specimen::start(&[("HABIT", "stubborn"), ("DRAIN_SECONDS", "3600")]).await;
    specimen.until_ready().await;
    specimen.signal("TERM");
    specimen.until_log("asked to stop").await;
    specimen.signal("TERM");
    let (code, log) = specimen.end().await;
    assert_eq!(code, Some(128 + 15), "{log}");
    assert!(log.contains("leaving without a drain"), "{log}");
}

#[tokio::test]
async fn a_panicking_task_ends_the_process_with_1() {
    let (code, log) = Specimen::start(&[("HABIT", "fragile")]).await.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the task fragile panicked") && log.contains("깨졌다"), "{log}");
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("even a panic is a JSON line");
        assert_eq!((line["service"].as_str(), line["replica"].as_str()), (Some("specimen"), Some("시험-1")));
    }
}

#[tokio::test]
async fn a_failed_start_and_an_unasked_end_exit_1() {
    let (code, log) = Specimen::start(&[("HABIT", "broken")]).await.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("the 데이터 is not there"), "{log}");
    let (code, log) = Specimen::start(&[("HABIT", "idle")]).await.end().await;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("nobody asked it to"), "{log}");
}

#[tokio::test]
async fn a_taken_admin_port_is_a_failed_start() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let output = ended(&[], &[("ADMIN_ADDR", &addr), ("TOKEN", "x")]).await;
    assert_eq!(output.code, Some(1));
    for words in
        [&*format!("cannot listen on ADMIN_ADDR {addr}: Address already in use"), "or set ADMIN_ADDR to another"]
    {
        assert!(output.stderr.contains(words), "{}", output.stderr);
    }
}

#[tokio::test]
async fn ready_flips_part_by_part() {
    let mut specimen = Specimen::start(&[("HABIT", "late")]).await;
    specimen.until_log("built").await;
    let (status, body) = specimen.get("/ready").await;
    let report: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 503);
    assert_eq!(report, serde_json::json!({"ready": false, "missing": ["늦은 부품"], "stopping": false}));
    specimen.signal("TERM");
    assert_eq!(specimen.end().await.0, Some(0));
}

#[tokio::test]
async fn a_folder_of_files_stands_behind_the_environment() {
    let folder = std::env::temp_dir().join(format!("chavion-boot-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("TOKEN", "열려라\n"), ("DRAIN_SECONDS", "7\n"), ("LOG", "debug\n"), ("SECRETS_DIR", "/없다")]
    {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let folder_name = folder.to_str().unwrap();
    // A blank variable counts as not set, here too; one that is set wins.
    let vars = [("SECRETS_DIR", folder_name), ("DRAIN_SECONDS", " "), ("LOG", "warn")];
    let output = ended(&["--check-config"], &vars).await;
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    for line in ["TOKEN=***\n", "DRAIN_SECONDS=7\n", "LOG=warn\n"] {
        assert!(output.stdout.contains(line), "{}", output.stdout);
    }
    let output = ended(&["--check-config"], &[("SECRETS_DIR", "tests")]).await;
    assert!(output.stderr.contains("TOKEN: is not set"), "{}", output.stderr);
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_probe_tells_ready_from_late_and_from_nobody() {
    for (habit, code, said) in [("obedient", 0, "ready\n"), ("late", 1, "늦은 부품")] {
        let mut specimen = Specimen::start(&[("HABIT", habit)]).await;
        if code == 0 {
            specimen.until_ready().await;
        } else {
            specimen.until_log("built").await;
        }
        let port = specimen.admin.as_deref().unwrap().rsplit_once(':').unwrap().1.to_owned();
        let everywhere = format!("0.0.0.0:{port}");
        let probe = ended(&["--probe"], &[("TOKEN", "x"), ("ADMIN_ADDR", &everywhere)]).await;
        let told = format!("{}{}", probe.stdout, probe.stderr);
        assert_eq!(probe.code, Some(code), "{told}");
        assert!(told.contains(said), "{told}");
        specimen.signal("TERM");
        assert_eq!(specimen.end().await.0, Some(0));
        let probe = ended(&["--probe"], &[("TOKEN", "x"), ("ADMIN_ADDR", &everywhere)]).await;
        assert_eq!(probe.code, Some(1));
        assert!(probe.stderr.contains("does not answer"), "{}", probe.stderr);
    }
    let probe = ended(&["--probe"], &[("ADMIN_ADDR", "here")]).await;
    assert_eq!(probe.code, Some(64), "{}", probe.stderr);
}

#[tokio::test]
async fn metrics_are_valid_and_complete() {
    let specimen = Specimen::start(&[]).await;
    specimen.until_ready().await;
    let (status, text) = specimen.get("/metrics").await;
    assert_eq!(status, 200);
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "chavion_boot_ready 1",
        "chavion_boot_spans_lost_total 0",
        "chavion_boot_build_info{service=\"specimen\",version=\"",
    ] {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (_, value) = line.rsplit_once(' ').expect("a name and a value");
        value.parse::<f64>().expect("the value is a number");
    }
    let (status, _) = specimen.get("/없다").await;
    assert_eq!(status, 404);
    specimen.signal("TERM");
    assert_eq!(specimen.end().await.0, Some(0));
}

#[tokio::test]
async fn a_bad_config_exits_64_with_every_problem_and_no_secret() {
    let wrong = [("DRAIN_SECONDS", "곧"), ("HABIT", "lazy"), ("ADMIN_ADDR", "here"), ("TOKEN_FILE", "/없다")];
    for arguments in [&[][..], &["--check-config"][..]] {
        let output = ended(arguments, &wrong).await;
        assert_eq!(output.code, Some(64));
        let named: Vec<_> = output.stderr.lines().filter_map(|line| line.split(": ").next()).collect();
        assert_eq!(named, ["ADMIN_ADDR", "DRAIN_SECONDS", "HABIT", "TOKEN_FILE"], "{}", output.stderr);
    }
    let output = ended(&[], &[("TOKEN", "hunter2"), ("WORK_MILLIS", "60000")]).await;
    assert_eq!((output.code, output.stderr.contains("hunter2")), (Some(64), false), "{}", output.stderr);
    assert!(output.stderr.contains("WORK_MILLIS: is longer than DRAIN_SECONDS"), "{}", output.stderr);
}

#[tokio::test]
async fn no_secret_reaches_the_shown_config_or_the_log() {
    let output = ended(&["--check-config"], &[("TOKEN", "hunter2")]).await;
    assert_eq!(output.code, Some(0));
    assert!(output.stdout.contains("TOKEN=***\n") && !output.stdout.contains("hunter2"), "{}", output.stdout);
    let specimen = Specimen::start(&[("TOKEN", "hunter2"), ("LOG", "trace")]).await;
    specimen.until_ready().await;
    specimen.signal("TERM");
    let (code, log) = specimen.end().await;
    assert_eq!(code, Some(0));
    assert!(log.contains("\"length\":7") && !log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn answers_for_its_version_and_its_variables() {
    let output = ended(&["--version"], &[]).await;
    assert_eq!((output.code, output.stdout.starts_with("specimen ")), (Some(0), true));
    let output = ended(&["--help"], &[("DRAIN_SECONDS", "wrong, but help must still help")]).await;
    assert_eq!(output.code, Some(0));
    assert!(output.stdout.contains("DRAIN_SECONDS [default: 25]"), "{}", output.stdout);
    assert!(output.stdout.contains("TOKEN [required]"), "{}", output.stdout);
}
