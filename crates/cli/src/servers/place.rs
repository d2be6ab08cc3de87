//! A data folder: where the servers keep their files, as whom they run, and how they are started. Refuses to
//! know what each server is told.

use super::{Reach, password, programs::find};
use anyhow::{Context as _, bail};
use rustix::process::geteuid;
use secrecy::SecretString;
use std::{
    fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{ErrorKind, Write as _},
    net::{TcpListener, UdpSocket},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown, fchown},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
};
use tokio::process::Command;

/// The longest path of a unix socket that Linux takes, less the longest name that is put into the folder.
const LONGEST_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.65535".len();

/// With less room on its disk than this, in MiB, a server may not start.
const ROOM: u64 = 64;

/// Where the servers keep their files, and as whom they run.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    /// The folder of their sockets, in letters that a URL takes as they are.
    pub(super) sockets: PathBuf,
    /// The ports of Postgres and Redis, when they are to have any.
    pub(super) ports: Option<(u16, u16)>,
    /// What opens them; none when whoever reaches them may enter.
    pub(super) guard: Option<Guard>,
    /// Set when we are root: Postgres refuses to run as root.
    user: Option<User>,
}

/// The password, and whether the folder keeps it already.
pub(super) struct Guard {
    pub(super) password: SecretString,
    pub(super) is_kept: bool,
}

struct User {
    name: String,
    uid: u32,
    gid: u32,
}

impl Place {
    /// Makes the data folder and checks that the servers can live in it.
    ///
    /// # Errors
    /// When it cannot be made, or is out of the servers' reach.
    pub(super) fn prepare(folder: &Path) -> anyhow::Result<Self> {
        check_reachable(folder)?;
        make_open(folder).with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
        let user = User::of_servers()?;
        let mut sockets = folder.join("run");
        if sockets.as_os_str().len() > LONGEST_SOCKET_FOLDER || !is_plain(&sockets) {
            let meta = std::fs::metadata(&folder)?;
            sockets = PathBuf::from(format!("/tmp/chavion-{:x}-{:x}", meta.dev(), meta.ino()));
        }
        Ok(Self { folder, sockets, ports: None, guard: None, user })
    }

    /// Takes the folder for this process alone, as long as the file lives.
    ///
    /// # Errors
    /// When another process has it.
    pub(super) fn lock(&self) -> anyhow::Result<File> {
        let path = self.folder.join("lock");
        // Whoever can open it could keep it locked.
        let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.with_context(|| format!("{} cannot be written", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => bail!(
                "the data folder {} is in use by another chavion; stop that one or name another folder with --data",
                self.folder.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{} cannot be locked", path.display()))
            }
        }
    }

    /// Makes what the servers need in the folder. Only after [`Place::lock`].
    ///
    /// # Errors
    /// When a folder cannot be made or is another's, or no port is free.
    pub(super) fn furnish(mut self, reach: Reach, guarded: bool) -> anyhow::Result<Self> {
        for made in [self.sockets.clone(), self.folder.join("redis")] {
            self.make_private(&made)?;
        }
        self.ports = match reach {
            Reach::Sockets => None,
            Reach::Loopback => Some(free_ports().context("no port is free")?),
        };
        if guarded {
            let kept = password::kept(&self.folder)?;
            let is_kept = kept.is_some();
            self.guard = Some(Guard { password: kept.unwrap_or_else(password::fresh), is_kept });
        }
        Ok(self)
    }

    /// Makes a folder that only the servers' user and root may enter; one that is there must be theirs or ours,
    /// for in `/tmp` anyone can make one first.
    ///
    /// # Errors
    /// When it cannot be made or is another's.
    pub(super) fn make_private(&self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("{shown} cannot be made"));
            }
            _ => {}
        }
        let found = std::fs::symlink_metadata(path)?;
        let of_server = self.user.as_ref().is_some_and(|user| user.uid == found.uid());
        if !found.is_dir() || !(of_server || found.uid() == geteuid().as_raw()) {
            bail!("{shown} is no folder, or another user's; remove it, or name another data folder with --data");
        }
        std::fs::set_permissions(path, Permissions::from_mode(0o700))?;
        let Some(user) = &self.user else { return Ok(()) };
        chown(path, Some(user.uid), Some(user.gid))
            .with_context(|| format!("{shown} cannot be given to the user {}", user.name))
    }

    /// Writes a new file that the servers' user alone can read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write_private(&self, path: &Path, text: &str) -> anyhow::Result<()> {
        let write = || -> std::io::Result<()> {
            let mut file = new_private(path)?;
            file.write_all(text.as_bytes())?;
            self.user.as_ref().map_or(Ok(()), |user| fchown(&file, Some(user.uid), Some(user.gid)))
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Tells that the disk is nearly full, when it is: a server that cannot write cannot say so in its log either.
    pub(super) fn scant_room(&self) -> Option<String> {
        let disk = rustix::fs::statvfs(&self.folder).ok()?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize) >> 20;
        (free < ROOM).then(|| format!("the disk of {} has only {free} MiB left", self.folder.display()))
    }

    /// A command that runs as the servers' user and dies with this process, however that ends.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = match find("setpriv") {
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                if let Some(user) = &self.user {
                    command.arg(format!("--reuid={}", user.uid)).arg(format!("--regid={}", user.gid));
                    command.arg("--clear-groups");
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
        command.current_dir(&self.folder).env_clear().env("LC_ALL", "C.UTF-8").env("PATH", "/usr/bin:/bin");
        command.process_group(0).stdin(Stdio::null());
        command
    }

    /// Opens a server's log, kept beside its data.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn log(&self, name: &str) -> anyhow::Result<(PathBuf, Stdio)> {
        let path = self.folder.join(name);
        let file = File::create(&path).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok((path, Stdio::from(file)))
    }
}

impl User {
    /// Whom the servers run as, when they cannot run as we do.
    fn of_servers() -> anyhow::Result<Option<Self>> {
        if geteuid().is_root() { Self::unprivileged().map(Some) } else { Ok(None) }
    }

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

/// Refuses a data folder below one that the servers' user cannot enter, such as `/root`. Makes nothing.
///
/// # Errors
/// Which folder is closed, and what to do.
pub(crate) fn check_reachable(folder: &Path) -> anyhow::Result<()> {
    let Some(user) = User::of_servers()? else { return Ok(()) };
    let folder = std::path::absolute(folder)?;
    // What is not there yet is made with the modes that it needs.
    let there = folder.ancestors().find_map(|path| path.canonicalize().ok()).unwrap_or_default();
    for above in there.ancestors() {
        let meta = std::fs::metadata(above).with_context(|| format!("{} cannot be looked at", above.display()))?;
        let needed = match (meta.uid() == user.uid, meta.gid() == user.gid) {
            (true, _) => 0o100,
            (false, true) => 0o010,
            (false, false) => 0o001,
        };
        if meta.is_dir() && meta.mode() & needed == 0 {
            bail!(
                "the data folder is in {}, which the user {} (the servers' own, as Postgres refuses to run as root) \
                 cannot enter; name another folder with --data, such as /var/lib/chavion",
                above.display(),
                user.name
            );
        }
    }
    Ok(())
}

/// Makes a folder and those above it. Root's are open to pass through whatever root's umask says: Postgres and
/// the sandbox's commands have uids of their own.
pub(crate) fn make_open(folder: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    std::fs::create_dir_all(folder)?;
    if geteuid().is_root() {
        for made in missing {
            std::fs::set_permissions(made, Permissions::from_mode(0o755))?;
        }
    }
    Ok(())
}

/// Makes a file that its owner alone can read. One of that name, or a link that a server's user has put there, is
/// removed and never written to.
pub(super) fn new_private(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => OpenOptions::new().write(true).create_new(true).mode(0o600).open(path),
    }
}

/// Tells whether a path means the same in every URL without being escaped.
fn is_plain(path: &Path) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-".contains(byte);
    path.as_os_str().as_encoded_bytes().iter().all(plain)
}

/// Finds two ports that are free now, below those that Linux gives to outgoing connections (32,768 and up): none of
/// these takes one before the servers do. Against others who look at the same time each is held over UDP, which no
/// server speaks, until this process ends.
fn free_ports() -> Option<(u16, u16)> {
    static HELD: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let places = 10_000..12_000_u32;
    let begin = std::process::id().wrapping_mul(61);
    let mut free = places.clone().filter_map(|place| {
        let place = places.start + begin.wrapping_add(place) % (places.end - places.start);
        let port = u16::try_from(place).ok()?;
        let hold = UdpSocket::bind(("127.0.0.1", port)).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| (port, hold))
    });
    let ((postgres, first), (redis, second)) = (free.next()?, free.next()?);
    HELD.lock().unwrap_or_else(PoisonError::into_inner).extend([first, second]);
    Some((postgres, redis))
}

#[cfg(test)]
mod tests {
    use super::{User, free_ports, is_plain};
    use std::{collections::HashSet, path::Path};

    #[test]
    fn only_paths_that_need_no_escape_are_plain() {
        assert!(is_plain(Path::new("/var/lib/chavion-2/run_1.d")));
        for odd in ["/home/마스터/run", "/a b", "/a,b", "/a?b", "/a&b", "/a%20b"] {
            assert!(!is_plain(Path::new(odd)), "{odd}");
        }
    }

    #[test]
    fn ports_that_were_given_are_not_given_again_before_their_servers_listen() {
        let given = [free_ports(), free_ports(), free_ports()].map(Option::unwrap);
        let ports: HashSet<u16> = given.into_iter().flat_map(|(postgres, redis)| [postgres, redis]).collect();
        assert_eq!(ports.len(), 6, "{given:?}");
    }

    #[test]
    fn a_user_is_found_by_the_whole_name() {
        let found = User::parse("postgres:x:105:108:PostgreSQL:/var/lib/postgresql:/bin/bash", "postgres").unwrap();
        assert_eq!((found.uid, found.gid), (105, 108));
        assert!(User::parse("postgres2:x:1:1::/:/bin/sh", "postgres").is_none());
        assert!(User::parse("postgres", "postgres").is_none());
    }
}
