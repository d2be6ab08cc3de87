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
const NAMES: [&str; 4] = ["gateway", "orchestrator", "executor", "batch-poller"];

/// Private servers behind passwords, and services that are started on them and end with a trouble.
struct Rig {
    folder: PathBuf,
    servers: Servers,
    table: Table,
    starts: usize,
}

impl Rig {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("chavion-troubles-{}", uuid::Uuid::now_v7().simple()));
        fs::create_dir(&folder).unwrap();
        let servers = Servers::start_guarded(&folder.join("servers"), Reach::Loopback).await.unwrap();
        Self { folder, servers, table: Table { rows: rows(), met: BTreeSet::new() }, starts: 0 }
    }

    /// What a service is told, and these besides.
    fn variables(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let work = self.folder.join("work").display().to_string();
        let usual = [
            ("DATABASE_URL", &*self.servers.database_url),
            ("REDIS_URL", &*self.servers.redis_url),
            ("ADMIN_ADDR", "127.0.0.1:0"),
            ("GATEWAY_ADDR", "127.0.0.1:0"),
            ("WORK_DIR", &work),
        ];
        usual.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// Starts a service, which must say its trouble as the table has it, with these words beside it and no secret. Its
    /// end is not waited for: some troubles pass, and are waited out.
    async fn says(&mut self, service: &str, words: &[&str], more: &[(&str, &str)]) {
        self.starts += 1;
        let log = self.folder.join(format!("{}.log", self.starts));
        let mut process = Process::start(service, &self.variables(more), &log);
        let what = format!("{service} says {words:?}");
        testkit::until(&what, async || words.iter().all(|words| process.said().contains(words))).await;
        process.kill();
        let said = process.said();
        assert!(!said.contains("falsch"), "{said}");
        self.table.hears(service, &said);
    }

    /// Runs `orchestrator migrate` to its end.
    fn migrate(&self) -> (Option<i32>, String) {
        let mut command = Command::new(testkit::process::binary("orchestrator"));
        let ended = command.arg("migrate").env_clear().envs(self.variables(&[])).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned())
    }

    /// Ends the servers; these rows have been met.
    async fn end(self, rows: &[&str]) {
        self.servers.stop().await;
        fs::remove_dir_all(&self.folder).unwrap();
        let unsaid: Vec<_> = rows.iter().filter(|words| !self.table.met.contains(**words)).collect();
        assert!(unsaid.is_empty(), "no service says: {unsaid:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_say_what_is_wrong_with_their_surroundings() {
    let mut rig = Rig::new().await;
    let (code, said) = rig.migrate();
    assert_eq!(code, Some(0), "{said}");
    let (postgres, redis) = (replaced_password(&rig.servers.database_url), replaced_password(&rig.servers.redis_url));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for service in NAMES {
        let words = ["password authentication failed", "the password in DATABASE_URL must be"];
        rig.says(service, &words, &[("DATABASE_URL", &postgres)]).await;
        rig.says(service, &["Password authentication failed"], &[("REDIS_URL", &redis)]).await;
        let words = ["Address already in use", "or set ADMIN_ADDR to another"];
        rig.says(service, &words, &[("ADMIN_ADDR", &address)]).await;
        rig.says(service, &["DATABASE_URL: is not set; expected"], &[("DATABASE_URL", "")]).await;
    }
    let words = ["Address already in use", "or set GATEWAY_ADDR to another"];
    rig.says("gateway", &words, &[("GATEWAY_ADDR", &address)]).await;
    rig.end(&[SERVICES[0], SERVICES[1], SERVICES[4]]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_say_what_is_wrong_with_the_database() {
    let mut rig = Rig::new().await;
    // One that nobody has migrated, one of before, and one of a later day.
    for service in NAMES {
        rig.says(service, &["has schema version 0, ", "migrate it first, with `orchestrator migrate`"], &[]).await;
    }
    let (client, connection) = tokio_postgres::connect(&rig.servers.database_url, tokio_postgres::NoTls).await.unwrap();
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(connection);
    client.batch_execute(&format!("{OLD};{MIGRATIONS}")).await.unwrap();
    let put =
        "insert into schema_migrations (version, name, checksum) values (1, '0001_spine', encode(sha256($1), 'hex'))";
    client.execute(put, &[&OLD.as_bytes()]).await.unwrap();
    for service in NAMES {
        rig.says(service, &["has schema version 1, ", "migrate it first"], &[]).await;
    }
    let (code, said) = rig.migrate();
    assert!(code == Some(0) && !said.contains("NOTICE"), "{said}");
    let later = "insert into schema_migrations (version, name, checksum) values (999, '0999_later', 'x')";
    client.batch_execute(later).await.unwrap();
    for service in NAMES {
        rig.says(service, &["has schema version 999, ", "run a newer program, or restore the backup"], &[]).await;
    }
    let (code, said) = rig.migrate();
    assert!(code == Some(1) && said.contains("run a newer program"), "{said}");
    drop(client);
    driver.join_all().await;
    rig.end(&[SERVICES[2], SERVICES[3]]).await;
}

fn replaced_password(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (who, rest) = rest.split_once('@').unwrap_or_else(|| panic!("a URL of private servers names its user"));
    let user = who.split(':').next().unwrap();
    format!("{scheme}://{user}:falsch@{rest}")
}
