//! The README's table of troubles is true: what stands in its left column is what the programs really say, in their
//! first lines, when they are given what is wrong. Real processes on private servers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use cli::servers::{Reach, Servers};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
};
use testkit::process::Process;

/// How many lines of a log somebody reads before giving up.
const FIRST_LINES: usize = 12;
/// The schema of before, as an old database has it.
const OLD: &str = include_str!("../../store/migrations/0001_spine.sql");
/// Where it says which schema it has.
const MIGRATIONS: &str = include_str!("../../store/sql/schema_create.sql");

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The quoted words of each row's left column.
fn rows() -> BTreeSet<String> {
    let readme = fs::read_to_string(top().join("README.md")).unwrap();
    let (_, table) = readme.split_once("| first line in the log |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let words = rows.map(|row| row.split('|').nth(1).unwrap().split('`').nth(1).unwrap().to_lowercase());
    words.collect()
}

/// The table, and which of its rows somebody has said.
struct Table {
    rows: BTreeSet<String>,
    met: BTreeSet<String>,
}

impl Table {
    /// Something that went wrong was said so: a row of the table must have its words.
    fn hears(&mut self, what: &str, said: &str) {
        let first: String = said.lines().take(FIRST_LINES).collect::<Vec<_>>().join("\n").to_lowercase();
        let met: Vec<String> = self.rows.iter().filter(|row| first.contains(row.as_str())).cloned().collect();
        assert!(!met.is_empty(), "{what}: no row of the README's table has the words of: {said}");
        self.met.extend(met);
    }
}

/// Runs a script to its end, which is a failure, and returns what it said.
fn refused(script: &str, variables: &[(&str, String)]) -> String {
    let mut command = Command::new(top().join(script));
    command.env("PATH", path()).envs(variables.iter().map(|(name, value)| (name, value)));
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert_eq!(ended.status.code(), Some(64), "{script}: {said}");
    said
}

/// Where programs are; Debian keeps those of Postgres apart.
fn path() -> String {
    let mut places = vec!["/usr/local/bin".to_owned(), "/usr/bin".to_owned(), "/bin".to_owned()];
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    places.extend(versions.map(|version| version.path().join("bin").display().to_string()));
    places.join(":")
}

#[test]
fn scripts_say_what_the_readme_quotes_and_every_row_is_somebodys() {
    let folder = std::env::temp_dir().join(format!("chavion-troubles-{}", uuid::Uuid::now_v7().simple()));
    for name in ["secrets/owner", "state/work", "data"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    let place = |name: &str| folder.join(name).display().to_string();
    let mut table = Table { rows: rows(), met: BTreeSet::new() };

    let prepare = |env: &str, least: &str| {
        fs::write(folder.join("env"), env).unwrap();
        let places = [("ENV_FILE", place("env")), ("SECRETS", place("secrets")), ("STATE", place("state"))];
        refused("docker/prepare", &[&places[..], &[("LEAST_FREE_KIB", least.to_owned())]].concat())
    };
    table.hears("no provider", &prepare("DOMAIN=\n", "1"));
    table.hears("demo and a provider", &prepare("COMPOSE_PROFILES=demo\nGROQ_API_KEY=x\n", "1"));
    table.hears("a full disk", &prepare("COMPOSE_PROFILES=demo\n", "999999999999"));
    fs::write(folder.join("data/PG_VERSION"), "12\n").unwrap();
    fs::write(folder.join("roles"), "").unwrap();
    let old = refused("docker/postgres/start", &[("PGDATA", place("data")), ("ROLES", place("roles"))]);
    table.hears("a database of an old Postgres", &old);
    let none = refused("nginx/start", &[("CERTIFICATES", place("state")), ("WORK", place("nginx"))]);
    table.hears("no certificate", &none);
    // Compose itself says this one, before anything runs; nginx's are said in nginx/tests/run.py; and the system's words
    // are the same from whomever they come.
    for (file, words) in
        [("compose.yml", "there is no .env here"), ("nginx/start", "EXPIRED"), ("docker/certificate", "EXPIRED")]
    {
        assert!(fs::read_to_string(top().join(file)).unwrap().contains(words), "{file}: {words}");
        table.hears(file, words);
    }
    table.hears("a full disk", &std::io::Error::from_raw_os_error(28).to_string());
    fs::remove_dir_all(&folder).unwrap();

    // What the services say is heard below.
    table.met.extend(SERVICES.map(str::to_lowercase));
    assert_eq!(table.rows, table.met, "rows that nobody says, or words that are no row's");
}

/// The rows whose words come from the services.
const SERVICES: [&str; 5] = [
    "address already in use",
    "password authentication failed",
    "migrate it first",
    "run a newer program",
    "is not set",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_say_what_the_readme_quotes() {
    let folder = std::env::temp_dir().join(format!("chavion-troubles-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir(&folder).unwrap();
    let servers = Servers::start_guarded(&folder.join("servers"), Reach::Loopback).await.unwrap();
    let mut table = Table { rows: rows(), met: BTreeSet::new() };
    let usual = |variables: &[(&str, &str)]| -> BTreeMap<String, String> {
        let work = folder.join("work").display().to_string();
        let base = [
            ("DATABASE_URL", &*servers.database_url),
            ("REDIS_URL", &*servers.redis_url),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("GATEWAY_ADDR", "127.0.0.1:0"),
            ("WORK_DIR", &work),
        ];
        base.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let services = ["gateway", "orchestrator", "executor", "batch-poller"];
    let mut number = 0;
    // Starts a service that must say its trouble, and whose end is not waited for where it waits itself.
    let mut says = async |service: &str, words: &str, variables: &[(&str, &str)]| {
        number += 1;
        let mut process = Process::start(service, &usual(variables), &folder.join(format!("{number}.log")));
        testkit::until(&format!("{service} says: {words}"), async || process.said().contains(words)).await;
        process.kill();
        process.said()
    };
    let (wrong, wrong_redis) = (replaced_password(&servers.database_url), replaced_password(&servers.redis_url));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for service in services {
        let said = says(service, "password authentication failed", &[("DATABASE_URL", &wrong)]).await;
        assert!(said.contains("the password in DATABASE_URL") && !said.contains("falsch"), "{said}");
        table.hears(service, &said);
        let said = says(service, "Address already in use", &[("ADMIN_ADDR", &address)]).await;
        assert!(said.contains("set ADMIN_ADDR to another"), "{said}");
        table.hears(service, &said);
        let said = says(service, "DATABASE_URL: is not set", &[("DATABASE_URL", "")]).await;
        table.hears(service, &said);
    }
    let said = says("gateway", "Address already in use", &[("GATEWAY_ADDR", &address)]).await;
    assert!(said.contains("set GATEWAY_ADDR to another"), "{said}");
    table.hears("gateway", &said);

    // A database that nobody has migrated, one of before, and one of a later day.
    for service in services {
        table.hears(service, &says(service, "migrate it first", &[]).await);
    }
    let (client, connection) = tokio_postgres::connect(&servers.database_url, tokio_postgres::NoTls).await.unwrap();
    let driver = tokio::task::spawn(connection);
    client.batch_execute(&format!("{OLD};{MIGRATIONS}")).await.unwrap();
    let put =
        "insert into schema_migrations (version, name, checksum) values (1, '0001_spine', encode(sha256($1), 'hex'))";
    client.execute(put, &[&OLD.as_bytes()]).await.unwrap();
    for service in services {
        let said = says(service, "migrate it first", &[]).await;
        assert!(said.contains("has schema version 1, ") && said.contains("`orchestrator migrate`"), "{said}");
    }
    let migrate = || {
        let mut command = Command::new(testkit::process::binary("orchestrator"));
        let ended = command.arg("migrate").env_clear().envs(usual(&[])).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    };
    let (code, said) = migrate();
    assert!(code == Some(0) && !said.contains("NOTICE"), "{said}");
    for service in services {
        let said = says(service, "Password authentication failed", &[("REDIS_URL", &wrong_redis)]).await;
        assert!(!said.contains("falsch"), "{said}");
        table.hears(service, &said);
    }
    client
        .batch_execute("insert into schema_migrations (version, name, checksum) values (999, '0999_later', 'x')")
        .await
        .unwrap();
    for service in services {
        table.hears(service, &says(service, "run a newer program", &[]).await);
    }
    let (code, said) = migrate();
    assert!(code == Some(1) && said.contains("run a newer program"), "{said}");
    drop(client);
    let _ = driver.await;
    servers.stop().await;
    fs::remove_dir_all(&folder).unwrap();
    let unsaid: Vec<&str> = SERVICES.into_iter().filter(|words| !table.met.contains(&words.to_lowercase())).collect();
    assert!(unsaid.is_empty(), "no service says: {unsaid:?}");
}

fn replaced_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (who, rest) = rest.split_once('@').unwrap_or_else(|| panic!("a URL of private servers names its user"));
    let user = who.split(':').next().unwrap();
    format!("{scheme}://{user}:falsch@{rest}")
}
