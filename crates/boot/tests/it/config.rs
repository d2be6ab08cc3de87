//! Config tables: what is read, what is refused, and that no secret is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use boot::{Common, ConfigError, LogFormat, Reader};
use secrecy::ExposeSecret as _;

fn vars(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Runs one getter and returns the one problem that it noted.
fn problem(pairs: &[(&str, &str)], get: impl FnOnce(&mut Reader<'_>)) -> Option<String> {
    let vars = vars(pairs);
    let mut reader = Reader::new(&vars);
    get(&mut reader);
    let error = reader.finish().err()?;
    assert_eq!(error.problems.len(), 1, "{error}");
    Some(error.to_string())
}

#[test]
fn common_has_defaults_for_everything() {
    let none = vars(&[]);
    let mut reader = Reader::new(&none);
    let common = Common::read(&mut reader, "127.0.0.1:5006");
    let shown = reader.finish().unwrap();
    assert_eq!(common.log, "info");
    assert_eq!(common.log_format, LogFormat::Json);
    assert_eq!(common.otlp, None);
    assert_eq!(common.admin_addr.to_string(), "127.0.0.1:5006");
    assert_eq!(common.drain, Duration::from_secs(25));
    assert_eq!(common.worker_threads, 2);
    assert!(common.replica.ends_with(&format!("-{}", std::process::id())), "{}", common.replica);
    assert!(shown.iter().all(|it| !it.about.is_empty()));
}

#[test]
fn common_reads_what_is_set() {
    let set = vars(&[
        ("LOG", "warn,bus=debug"),
        ("LOG_FORMAT", "pretty"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318"),
        ("ADMIN_ADDR", "[::]:0"),
        ("DRAIN_SECONDS", "0.5"),
        ("REPLICA", " 서울-1 "),
        ("WORKER_THREADS", ""),
    ]);
    let mut reader = Reader::new(&set);
    let common = Common::read(&mut reader, "127.0.0.1:5006");
    reader.finish().unwrap();
    assert_eq!(common.log, "warn,bus=debug");
    assert_eq!(common.log_format, LogFormat::Pretty);
    assert_eq!(common.otlp.unwrap().host_str(), Some("collector"));
    assert_eq!(common.admin_addr.to_string(), "[::]:0");
    assert_eq!(common.drain, Duration::from_millis(500));
    assert_eq!(common.replica, "서울-1");
    assert_eq!(common.worker_threads, 2, "an empty variable counts as not set");
}

/// Reads one variable of each kind, all of which have a default or are set to a good text here.
fn read_each_kind(reader: &mut Reader<'_>) {
    reader.count("COUNT", "a", 8, 1..=64);
    reader.duration_seconds("SECONDS", "a", 3, 1..=9);
    reader.millis("MILLIS", "a", 3, 1..=9);
    reader.address("ADDRESS", "a", "127.0.0.1:1");
    reader.flag("FLAG", "a", true);
    reader.choice("CHOICE", "a", "json", &["json", "pretty"]);
    reader.url("URL", "a", None);
    reader.secret_url("SERVER", "a", &["postgres", "postgresql"]);
}

#[test]
fn each_getter_says_what_would_be_right() {
    let good = ("SERVER", "postgres://db/x");
    assert_eq!(problem(&[good], read_each_kind), None);
    let seconds = "expected a number of seconds from 1 to 9 (default 3)";
    let count = "expected a whole number from 1 to 64 (default 8)";
    let server = "expected a URL that begins with postgres:// or postgresql://";
    for (name, text, told, expected) in [
        ("COUNT", "많이", "is \"많이\"", count),
        ("COUNT", "65", "is \"65\"", count),
        ("SECONDS", "-1", "is \"-1\"", seconds),
        ("SECONDS", "NaN", "is \"NaN\"", seconds),
        ("SECONDS", "1e300", "is \"1e300\"", seconds),
        ("MILLIS", "1.5", "is \"1.5\"", "expected a whole number of milliseconds from 1 to 9 (default 3)"),
        (
            "ADDRESS",
            "5002",
            "is \"5002\"",
            "expected an IP address and a port such as 127.0.0.1:5002 or [::]:5002 (default 127.0.0.1:1)",
        ),
        ("FLAG", "maybe", "is \"maybe\"", "expected true or false (default true)"),
        ("CHOICE", "빨강", "is \"빨강\"", "expected one of json, pretty (default json)"),
        ("URL", "localhost:4318", "is not a web address", "expected a URL such as http://127.0.0.1:4318"),
        ("SERVER", "mysql://db", "has the scheme \"mysql\"", server),
        ("SERVER", "hunter2", "is not a URL", server),
    ] {
        let mut vars = vec![(name, text)];
        vars.extend((name != "SERVER").then_some(good));
        assert_eq!(problem(&vars, read_each_kind), Some(format!("{name}: {told}; {expected}")));
    }
}

#[test]
fn log_refuses_a_word_that_is_no_level() {
    for bad in ["informational", "info,,", "bus=loud", "=info"] {
        let problem = problem(&[("LOG", bad)], |it| {
            Common::read(it, "127.0.0.1:0");
        });
        assert!(problem.is_some_and(|it| it.starts_with("LOG: ")), "{bad}");
    }
}

#[test]
fn all_problems_come_at_once() {
    let wrong = vars(&[("A", "x"), ("B", "y")]);
    let mut reader = Reader::new(&wrong);
    reader.count("A", "a", 1, 0..=9);
    reader.flag("B", "b", false);
    reader.secret("C", "c");
    reader.refuse("D", "is shorter than A", "a longer one");
    let ConfigError { problems, variables } = reader.finish().unwrap_err();
    let names: Vec<_> = problems.iter().map(|it| it.variable.as_str()).collect();
    assert_eq!(names, ["A", "B", "C", "D"]);
    assert_eq!(variables.len(), 3);
}

#[test]
fn a_secret_is_read_and_never_shown() {
    let set = vars(&[("KEY", "열쇠-hunter2"), ("DATABASE_URL", "postgres://a:hunter2@db/x")]);
    let mut reader = Reader::new(&set);
    assert_eq!(reader.secret("KEY", "a key").expose_secret(), "열쇠-hunter2");
    let url = reader.secret_url("DATABASE_URL", "the database", &["postgres"]);
    assert_eq!(url.expose_secret(), "postgres://a:hunter2@db/x");
    assert!(reader.secret_optional("OTHER", "not there").is_none());
    let mut shown = format!("{reader:?}");
    shown += &format!("{:?}", reader.finish().unwrap());
    assert!(shown.contains("postgres://a:***@db/x"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_secret_comes_from_a_file_too() {
    let folder = std::env::temp_dir().join(format!("chavion-boot-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (good, empty) = (folder.join("열쇠"), folder.join("empty"));
    std::fs::write(&good, "hunter2\n").unwrap();
    std::fs::write(&empty, "\n").unwrap();

    let set = vars(&[("KEY_FILE", good.to_str().unwrap())]);
    let mut reader = Reader::new(&set);
    assert_eq!(reader.secret("KEY", "a key").expose_secret(), "hunter2");
    reader.finish().unwrap();

    let get = |it: &mut Reader<'_>| {
        it.secret("KEY", "a key");
    };
    let both = problem(&[("KEY", "hunter2"), ("KEY_FILE", good.to_str().unwrap())], get).unwrap();
    assert_eq!(both, "KEY: is set, and so is KEY_FILE; expected only one of the two");
    let nothing = problem(&[("KEY_FILE", empty.to_str().unwrap())], get).unwrap();
    assert!(nothing.contains("which is empty"), "{nothing}");
    let missing = problem(&[("KEY_FILE", "/없다")], get).unwrap();
    assert!(missing.starts_with("KEY_FILE: names \"/없다\", which cannot be read"), "{missing}");
    std::fs::remove_dir_all(&folder).unwrap();
}
