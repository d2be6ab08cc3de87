//! A private Redis and Postgres from the machine's packages, in a data folder, reachable by unix sockets
//! alone. Refuses to touch servers that it did not start.

mod postgres;
mod redis;

use crate::{
    FAILED, REFUSED, UNREACHABLE,
    client::{Done, Trouble, done},
};
use anyhow::{Context as _, bail};
use std::{
    fs::{File, TryLockError},
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::process::{Child, Command};

/// How long a server may take to answer: a first start of Postgres after a crash replays its log.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest path of a unix socket that Linux takes, less the longest name that is put into the folder.
const LONGEST_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.5432".len();

/// The two servers, running; they end with [`Servers::stop`], or with this process.
pub struct Servers {
    /// What `DATABASE_URL` would say.
    pub database_url: String,
    /// What `REDIS_URL` would say.
    pub redis_url: String,
    postgres: Child,
    redis: Child,
    /// Held while the folder is in use: two masters of one folder would ruin it.
    _lock: File,
}

impl Servers {
    /// Starts both servers on a data folder, which is made when it is missing.
    ///
    /// # Errors
    /// When a program is not installed, the folder is in use or cannot be used, or a server does not start:
    /// each says what to do.
    pub async fn start(folder: &Path, reach: Reach) -> anyhow::Result<Self> {
        let place = Place::prepare(folder, reach)?;
        let lock = place.lock()?;
        let (postgres, redis) = tokio::try_join!(postgres::start(&place), redis::start(&place))?;
        Ok(Self {
            database_url: postgres::url(&place),
            redis_url: redis::url(&place),
            postgres,
            redis,
            _lock: lock,
        })
    }

    /// Ends both, Postgres with a clean checkpoint.
    pub async fn stop(mut self) {
        for (child, name) in [(&mut self.redis, "redis-server"), (&mut self.postgres, "postgres")] {
            signal(child, rustix::process::Signal::INT);
            if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
                tracing::warn!(name, "the server did not end in time and is killed");
                let _ = child.kill().await;
            }
        }
    }
}

/// Runs a command with `DATABASE_URL` and `REDIS_URL` of private servers that end with it; returns its code.
pub(crate) async fn with(place: &crate::args::Place, command: &[String]) -> Done {
    let trouble = |error: anyhow::Error| Trouble::new(UNREACHABLE, format!("{error:#}"));
    let servers = Servers::start(&place.folder(), Reach::Loopback).await.map_err(trouble)?;
    let [program, arguments @ ..] = command else { return done() };
    let ran = Command::new(program)
        .args(arguments)
        .env("DATABASE_URL", &servers.database_url)
        .env("REDIS_URL", &servers.redis_url)
        .status()
        .await;
    servers.stop().await;
    let status = ran.map_err(|error| Trouble::new(REFUSED, format!("{program} cannot be started: {error}")))?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(FAILED))
}

/// How the servers can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// By unix sockets in a folder that only their user and root may enter.
    Sockets,
    /// Also by free ports of the loopback address, with no password: for tests, which put proxies before them.
    Loopback,
}

/// Where the servers keep their files, and as whom they run.
struct Place {
    folder: PathBuf,
    sockets: PathBuf,
    /// The ports of Postgres and Redis, when they are to have any.
    ports: Option<(u16, u16)>,
    /// Set when we are root: Postgres refuses to run as root.
    user: Option<User>,
}

struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl Place {
    fn prepare(folder: &Path, reach: Reach) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
        let user = if rustix::process::geteuid().is_root() { Some(User::unprivileged()?) } else { None };
        let mut sockets = folder.join("run");
        if sockets.as_os_str().len() > LONGEST_SOCKET_FOLDER {
            let inode = std::fs::metadata(&folder)?.ino();
            sockets = std::env::temp_dir().join(format!("chavion-{inode:x}"));
        }
        for made in [&sockets, &folder.join("postgres"), &folder.join("redis")] {
            std::fs::create_dir_all(made).with_context(|| format!("{} cannot be made", made.display()))?;
            std::fs::set_permissions(made, std::fs::Permissions::from_mode(0o700))?;
            if let Some(user) = &user {
                std::os::unix::fs::chown(made, Some(user.uid), Some(user.gid))?;
            }
        }
        let ports = match reach {
            Reach::Sockets => None,
            Reach::Loopback => Some(free_ports().context("no port is free")?),
        };
        let place = Self { folder, sockets, ports, user };
        place.check_reachable()?;
        Ok(place)
    }

    /// Refuses a folder below one that the servers' user cannot enter, such as `/root`.
    fn check_reachable(&self) -> anyhow::Result<()> {
        let Some(user) = &self.user else { return Ok(()) };
        for above in self.folder.ancestors() {
            let meta = std::fs::metadata(above)?;
            let needed = match (meta.uid() == user.uid, meta.gid() == user.gid) {
                (true, _) => 0o100,
                (false, true) => 0o010,
                (false, false) => 0o001,
            };
            if meta.mode() & needed == 0 {
                bail!(
                    "the data folder is below {}, which the user {} (the servers' own, as Postgres refuses to run as root) \
                     cannot enter; name another folder with --data, such as /var/lib/chavion",
                    above.display(),
                    user.name
                );
            }
        }
        Ok(())
    }

    fn lock(&self) -> anyhow::Result<File> {
        let path = self.folder.join("lock");
        let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => {
                bail!("the data folder {} is in use by another chavion; stop that one or name another folder with --data", self.folder.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
        }
    }

    /// A command that runs as the servers' user and dies with this process, however that ends.
    fn command(&self, program: &Path) -> Command {
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                if let Some(user) = &self.user {
                    command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid)).arg("--clear-groups");
                }
                command.arg("--pdeathsig=INT").arg("--").arg(program);
                command
            }
            None => {
                let mut command = Command::new(program);
                if let Some(user) = &self.user {
                    command.uid(user.uid).gid(user.gid);
                }
                command
            }
        };
        // A terminal's Ctrl-C reaches the whole group: the servers must outlive the services that drain.
        command.current_dir(&self.folder).env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin").process_group(0);
        command.stdin(Stdio::null());
        command
    }

    /// Opens a server's log, kept beside its data.
    fn log(&self, name: &str) -> anyhow::Result<(PathBuf, Stdio)> {
        let path = self.folder.join(name);
        let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok((path, Stdio::from(file)))
    }
}

impl User {
    /// The user that Debian's packages made for a server, or `nobody`.
    fn unprivileged() -> anyhow::Result<Self> {
        let table = std::fs::read_to_string("/etc/passwd").context("/etc/passwd cannot be read")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|wanted| table.lines().find_map(|line| Self::parse(line, wanted)))
            .context("this is root, and neither the user postgres nor nobody exists to run Postgres as")
    }

    fn parse(line: &str, wanted: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?;
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self { name: name.to_owned(), uid, gid })
    }
}

/// Finds a program where Debian puts programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let mut places: Vec<PathBuf> = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        .iter()
        .map(PathBuf::from)
        .collect();
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|listing| listing.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort_by_key(|path| {
        std::cmp::Reverse(path.parent().and_then(|p| p.file_name()).and_then(|n| n.to_str()).and_then(|n| n.parse::<u32>().ok()))
    });
    versions.append(&mut places);
    versions.into_iter().map(|place| place.join(program)).find(|path| path.is_file())
}

/// Finds two ports that are free now; held until both are known, so that they differ.
fn free_ports() -> std::io::Result<(u16, u16)> {
    let first = TcpListener::bind(("127.0.0.1", 0))?;
    let second = TcpListener::bind(("127.0.0.1", 0))?;
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn need(program: &str, package: &str) -> anyhow::Result<PathBuf> {
    find(program).with_context(|| {
        format!("{program} is not installed; install it with `apt-get install {package}`, or set DATABASE_URL and REDIS_URL")
    })
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
        // An error means that it has ended already.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Waits until a started server answers; its log explains when it does not.
async fn until_ready<F, Fut>(child: &mut Child, log: &Path, name: &str, answers: F) -> anyhow::Result<()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = bool>,
{
    let start = Instant::now();
    loop {
        if answers().await {
            return Ok(());
        }
        if let Some(status) = child.try_wait()? {
            bail!("{name} ended with {status}: {}", last_words(log));
        }
        if start.elapsed() > PATIENCE {
            bail!("{name} did not answer within {} s: {}", PATIENCE.as_secs(), last_words(log));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let last: Vec<&str> = lines.into_iter().rev().collect();
    format!("{} (all of it in {})", last.join(" | "), log.display())
}
