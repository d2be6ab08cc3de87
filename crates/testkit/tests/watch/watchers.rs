//! Prometheus, Alertmanager and the exporters of Debian as processes, with the repository's own files. Each ends with
//! its handle.

use crate::{read, rules::missing, stack::Stack, top};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use testkit::process::free_address;
use tokio::process::{Child, Command};

/// All that watches.
pub(crate) struct Watchers {
    prometheus: SocketAddr,
    http: reqwest::Client,
    folder: PathBuf,
    processes: Vec<(&'static str, Child)>,
}

impl Watchers {
    /// Starts everything beside a running stack.
    pub(crate) fn start(stack: &Stack, folder: PathBuf, operator: SocketAddr) -> Self {
        fs::create_dir_all(folder.join("textfile")).unwrap();
        let mut watchers = Self { prometheus: free_address(), http: stack.http.clone(), folder, processes: Vec::new() };
        let mut targets: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
        for (name, admin) in &stack.admins {
            targets.entry((*name).to_owned()).or_default().push(*admin);
        }
        for (name, address) in [
            ("node-exporter", watchers.node()),
            ("postgres-exporter", watchers.postgres(&stack.database_url)),
            ("redis-exporter", watchers.redis(stack.redis)),
            ("alertmanager", watchers.alertmanager(operator)),
        ] {
            targets.insert(name.to_owned(), vec![address]);
        }
        watchers.prometheus(&targets);
        watchers
    }

    /// Writes what the node exporter reads from files, as nginx and scripts/backup do; the latest backup is so old.
    pub(crate) fn write_facts(&self, backup: Duration) {
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        let facts = format!(
            "chavion_certificate_expires_timestamp_seconds{{name=\"chavion.example\"}} {}\n\
             chavion_backup_last_success_timestamp_seconds {}\nchavion_backup_last_bytes 1048576\n",
            now + 60 * 86_400,
            now - i64::try_from(backup.as_secs()).unwrap()
        );
        let (new, file) = (self.folder.join("facts.new"), self.folder.join("textfile/chavion.prom"));
        fs::write(&new, facts).unwrap();
        fs::rename(&new, &file).unwrap();
    }

    fn node(&mut self) -> SocketAddr {
        self.write_facts(Duration::from_secs(3_600));
        let textfile = self.folder.join("textfile");
        let address = free_address();
        let arguments = [
            format!("--web.listen-address={address}"),
            format!("--collector.textfile.directory={}", textfile.display()),
        ];
        self.run("prometheus-node-exporter", &arguments, &[]);
        address
    }

    fn postgres(&mut self, url: &str) -> SocketAddr {
        let address = free_address();
        let separator = if url.contains('?') { '&' } else { '?' };
        let variables = [("DATA_SOURCE_NAME", format!("{url}{separator}sslmode=disable"))];
        self.run("prometheus-postgres-exporter", &[format!("--web.listen-address={address}")], &variables);
        address
    }

    fn redis(&mut self, redis: SocketAddr) -> SocketAddr {
        let address = free_address();
        let arguments = [format!("-redis.addr=redis://{redis}"), format!("-web.listen-address={address}")];
        self.run("prometheus-redis-exporter", &arguments, &[]);
        address
    }

    /// The repository's configuration, but for where the operator's URL stands and how long alerts are gathered.
    fn alertmanager(&mut self, operator: SocketAddr) -> SocketAddr {
        let address = free_address();
        let (secret, file) = (self.folder.join("alerts_url"), self.folder.join("alertmanager.yml"));
        fs::write(&secret, format!("http://{operator}/alerts")).unwrap();
        let config = read(&top().join("prometheus/alertmanager.yml"));
        let mine = config.replace("/run/secrets/alerts_url", &secret.display().to_string());
        let mine = mine.replace("group_wait: 10s", "group_wait: 1s");
        assert!(mine.contains("group_wait: 1s") && mine.contains(&*secret.to_string_lossy()));
        fs::write(&file, mine).unwrap();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.path={}", self.folder.join("alertmanager").display()),
            format!("--web.listen-address={address}"),
            "--cluster.listen-address=".to_owned(),
        ];
        self.run("prometheus-alertmanager", &arguments, &[]);
        address
    }

    fn prometheus(&mut self, targets: &BTreeMap<String, Vec<SocketAddr>>) {
        let config = here(&read(&top().join("prometheus/prometheus.yml")), targets, self.prometheus);
        let file = self.folder.join("prometheus.yml");
        fs::write(&file, config).unwrap();
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", self.folder.join("data").display()),
            format!("--web.listen-address={}", self.prometheus),
        ];
        self.run("prometheus", &arguments, &[]);
    }

    fn run(&mut self, program: &'static str, arguments: &[String], variables: &[(&str, String)]) {
        let log = fs::File::create(self.log(program)).unwrap();
        let mut command = Command::new(program);
        command.args(arguments).envs(variables.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap_or_else(|_| missing(program));
        self.processes.push((program, child));
    }

    fn log(&self, program: &str) -> PathBuf {
        self.folder.join(format!("{program}.log"))
    }

    /// Asks Prometheus' API; `None` while it does not answer. Ends the test when a process has ended.
    pub(crate) async fn ask(&mut self, path: &str, parameters: &[(&str, &str)]) -> Option<Result<Value, String>> {
        for (program, child) in &mut self.processes {
            if let Some(status) = child.try_wait().unwrap() {
                let said = fs::read_to_string(self.folder.join(format!("{program}.log"))).unwrap_or_default();
                panic!("{program} ended with {status}: {said}");
            }
        }
        let url = format!("http://{}/api/v1/{path}", self.prometheus);
        let url = reqwest::Url::parse_with_params(&url, parameters).unwrap();
        let answer: Value = self.http.get(url).send().await.ok()?.json().await.ok()?;
        if answer["status"] == "success" { Some(Ok(answer["data"].clone())) } else { Some(Err(answer.to_string())) }
    }
}

impl Drop for Watchers {
    fn drop(&mut self) {
        self.processes.clear();
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The repository's configuration with every name resolved: addresses of this machine instead of DNS, a look every
/// other second instead of every fifteen, and rules where they are. All else stays as it is.
fn here(config: &str, targets: &BTreeMap<String, Vec<SocketAddr>>, itself: SocketAddr) -> String {
    let mut lines = Vec::new();
    for line in config.lines() {
        let (start, rest) = line.split_at(line.len() - line.trim_start().len());
        let (dash, rest) = rest.strip_prefix("- ").map_or(("", rest), |rest| ("- ", rest));
        lines.push(if let Some(lookup) = rest.strip_prefix("dns_sd_configs: ") {
            let name = lookup.split(['[', ']']).nth(2).unwrap();
            let found: Vec<String> =
                targets.get(name).into_iter().flatten().map(|address| format!("\"{address}\"")).collect();
            format!("{start}{dash}static_configs: [{{ targets: [{}] }}]", found.join(", "))
        } else if rest.starts_with("scrape_interval:") || rest.starts_with("scrape_timeout:") {
            // A busy machine takes its time, and a target that is late is one that is down.
            format!("{start}{}: 2s", rest.split(':').next().unwrap())
        } else if rest.starts_with("evaluation_interval:") {
            format!("{start}evaluation_interval: 1s")
        } else if rest == "rules/*.yml" {
            format!("{start}- {}", rules().display())
        } else {
            line.replace("localhost:9090", &itself.to_string())
        });
    }
    lines.join("\n")
}

fn rules() -> PathBuf {
    Path::new(&top()).join("prometheus/rules/*.yml")
}

#[test]
fn every_name_is_resolved() {
    let config = read(&top().join("prometheus/prometheus.yml"));
    let one: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let names = ["gateway", "orchestrator", "executor", "batch-poller", "alertmanager"];
    let targets = names.iter().map(|name| ((*name).to_owned(), vec![one, one])).collect();
    let mine = here(&config, &targets, one);
    assert!(!mine.contains("dns_sd_configs") && !mine.contains("9090") && !mine.contains(": 15s"), "{mine}");
    let job = "- job_name: executor\n    static_configs: [{ targets: [\"127.0.0.1:1\", \"127.0.0.1:1\"] }]";
    assert!(mine.contains(job), "{mine}");
    assert!(mine.contains("- job_name: containers\n    static_configs: [{ targets: [] }]"), "{mine}");
}
