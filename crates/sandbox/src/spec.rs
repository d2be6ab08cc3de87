//! What is to be run and under which limits, and how it may end.

use crate::Error;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
    time::Duration,
};

/// The search path of every command that does not set its own.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The private folder for temporary files, inside the work folder.
pub(crate) const TEMPORARY: &str = ".tmp";

/// The longest time limit.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// One process to run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The program's path, or its name to be found in `PATH`.
    pub program: String,
    /// Its arguments, without its own name.
    pub args: Vec<String>,
    /// The only folder it may write to; absolute, existing, and given to the command's uid.
    pub workdir: PathBuf,
    /// Variables besides (or instead of) `PATH`, `HOME`, `TMPDIR` and `LANG`. Nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// What it reads on its standard input.
    pub stdin: Vec<u8>,
    /// What it may use up.
    pub limits: Limits,
    /// Further files and folders that it may read and execute.
    pub read: Vec<PathBuf>,
    /// Layers without which it must not run, besides those that are never optional
    /// ([`Layer::ALWAYS`]).
    pub require: Vec<Layer>,
}

impl Spec {
    /// Describes `sh -c script` in a folder, with the default limits.
    #[must_use]
    pub fn script(workdir: impl Into<PathBuf>, script: impl Into<String>) -> Self {
        Self::program(workdir, "/bin/sh", vec!["-c".to_owned(), script.into()])
    }

    /// Describes a program in a folder, with the default limits.
    #[must_use]
    pub fn program(workdir: impl Into<PathBuf>, program: impl Into<String>, args: Vec<String>) -> Self {
        Self {
            program: program.into(),
            args,
            workdir: workdir.into(),
            env: BTreeMap::new(),
            stdin: Vec::new(),
            limits: Limits::default(),
            read: Vec::new(),
            require: Vec::new(),
        }
    }

    /// Returns the whole environment of the process.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let home = self.workdir.to_string_lossy().into_owned();
        let mut all = BTreeMap::from([
            ("PATH".to_owned(), SEARCH_PATH.to_owned()),
            ("TMPDIR".to_owned(), format!("{home}/{TEMPORARY}")),
            ("HOME".to_owned(), home),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
        ]);
        all.extend(self.env.clone());
        all
    }

    /// Refuses what can never be run: a folder that is not the caller's to give away, a NUL in a word.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut words = [&self.program].into_iter().chain(&self.args).chain(self.env.keys()).chain(self.env.values());
        if words.any(|word| word.contains('\0')) {
            return Err(Error::Spec("a program, argument or variable contains a NUL".to_owned()));
        }
        if self.env.keys().any(|name| name.is_empty() || name.contains('=')) {
            return Err(Error::Spec("a variable's name is empty or contains '='".to_owned()));
        }
        if self.limits.wall > LONGEST {
            return Err(Error::Spec("a time limit of more than a year is none".to_owned()));
        }
        check_folder(&self.workdir)
    }
}

/// The folder is handed to another uid, so a slip here must not give away a part of the system.
fn check_folder(folder: &Path) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::Spec(format!("the work folder {} {why}", folder.display())));
    if folder.to_str().is_none() {
        return refuse("is not UTF-8");
    }
    if !folder.is_absolute() || folder.components().any(|part| matches!(part, Component::ParentDir)) {
        return refuse("must be an absolute path without '..'");
    }
    if folder.components().count() < 3 || crate::files::SYSTEM.iter().any(|system| folder.starts_with(system)) {
        return refuse("belongs to the system");
    }
    match std::fs::symlink_metadata(folder) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => refuse("is not a folder"),
        Err(error) => refuse(&format!("cannot be used: {error}")),
    }
}

/// What a command may use up. Each is enforced by the kernel or by the keeper, never by good will.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// How long it may take.
    pub wall: Duration,
    /// Processor time of the whole tree, in seconds.
    pub cpu_seconds: u64,
    /// Memory: of each process by the kernel, of the whole tree by the keeper a few times a second.
    pub memory_bytes: u64,
    /// Processes and threads at once.
    pub processes: u64,
    /// The size of each file that it writes.
    pub file_bytes: u64,
    /// Open files of each process.
    pub open_files: u64,
    /// What is kept of each of its two output streams.
    pub output_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(600),
            cpu_seconds: 600,
            memory_bytes: 1 << 30,
            processes: 256,
            file_bytes: 512 << 20,
            open_files: 1024,
            output_bytes: 1 << 20,
        }
    }
}

/// One kind of confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// Landlock: the work folder read-write, the system read-only, nothing else.
    Files,
    /// No new privileges, no capabilities.
    Privileges,
    /// Hard limits on time, memory, processes, file size and open files.
    Limits,
    /// The whole tree is found and killed at the end, daemons included.
    Tree,
    /// A uid of its own, for this one run.
    Identity,
    /// Landlock: no TCP, neither to listen nor to connect (Linux 6.7).
    Network,
    /// Landlock: no signals and no abstract sockets to processes outside (Linux 6.12).
    Scope,
}

impl Layer {
    /// Every layer.
    pub const ALL: &'static [Self] =
        &[Self::Files, Self::Privileges, Self::Limits, Self::Tree, Self::Identity, Self::Network, Self::Scope];
    /// The layers without which nothing is ever run. Besides them, one of [`Layer::Identity`] and
    /// [`Layer::Scope`] must be there, or a command could kill its executor.
    pub const ALWAYS: &'static [Self] = &[Self::Files, Self::Privileges, Self::Limits, Self::Tree];

    /// Returns the one spelling used in metrics and settings.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Privileges => "privileges",
            Self::Limits => "limits",
            Self::Tree => "tree",
            Self::Identity => "identity",
            Self::Network => "network",
            Self::Scope => "scope",
        }
    }
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// By itself, with an exit code.
    Code(i32),
    /// By a signal that was not ours.
    Signal(i32),
    /// Killed: its time was up.
    TimedOut,
    /// Killed: the caller asked for it, or is gone.
    Cancelled,
    /// Killed: the tree held more memory than allowed.
    OverMemory,
    /// Killed: the tree used more processor time than allowed.
    OverCpu,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_are_not_ours_to_give_are_refused() {
        for folder in
            ["/", "/usr", "/usr/share/x", "/etc", "/tmp", "relative", "/tmp/../etc/x", "/tmp/없는-폴더", "/dev/null"]
        {
            let told = Spec::script(folder, "true").check();
            assert!(matches!(told, Err(Error::Spec(_))), "{folder}: {told:?}");
        }
    }

    #[test]
    fn words_with_nul_and_bad_names_are_refused() {
        let mut spec = Spec::script(std::env::temp_dir().join("x"), "echo \0");
        assert!(spec.check().is_err());
        spec.args = vec![];
        spec.env.insert("A=B".to_owned(), String::new());
        assert!(spec.check().unwrap_err().to_string().contains("variable"));
        spec.env.clear();
        spec.limits.wall = Duration::MAX;
        assert!(spec.check().unwrap_err().to_string().contains("time limit"));
    }
}
