//! The folders in which commands run: made fresh, removed after, and those of dead executors removed at the
//! start. Git-tracked workspaces have their place here. Refuses to know what is run in them.

use anyhow::{Context as _, bail};
use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// This executor's part of the work folder. Its lock is held as long as the executor lives, so another one can
/// tell a dead one's part.
#[derive(Debug)]
pub(crate) struct Folders {
    own: PathBuf,
    _lock: File,
}

const LOCK: &str = "lock";
const PREFIX: &str = "executor-";

impl Folders {
    /// Makes this executor's part and removes those of dead ones.
    ///
    /// # Errors
    /// When the folder cannot be made, or commands with a uid of their own could not reach it.
    pub(crate) fn open(work_dir: &Path) -> anyhow::Result<Self> {
        let shown = work_dir.display();
        fs::create_dir_all(work_dir).with_context(|| format!("WORK_DIR {shown} cannot be made"))?;
        let work_dir = work_dir.canonicalize().with_context(|| format!("WORK_DIR {shown} cannot be resolved"))?;
        let (own, lock) = make(&work_dir).with_context(|| format!("WORK_DIR {shown} cannot be written to"))?;
        let folders = Self { own, _lock: lock };
        if fs::metadata(&folders.own)?.uid() == 0 {
            check_passable(&work_dir)?;
        }
        for left in left_behind(&work_dir) {
            match remove(&left) {
                Ok(()) => tracing::info!(folder = %left.display(), "removed what a dead executor had left"),
                Err(error) => tracing::warn!(folder = %left.display(), %error, "a dead executor's folder stays"),
            }
        }
        Ok(folders)
    }

    /// Makes a fresh folder for one run.
    pub(crate) fn fresh(&self, task: Uuid, attempt: i32) -> io::Result<PathBuf> {
        let folder = self.own.join(format!("{task}-{attempt}"));
        fs::create_dir(&folder)?;
        Ok(folder)
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.own) {
            tracing::warn!(folder = %self.own.display(), %error, "the executor's folder stays until the next start");
        }
    }
}

/// Makes and locks a part under another name first: under its own it is never seen unlocked.
fn make(work_dir: &Path) -> io::Result<(PathBuf, File)> {
    let id = Uuid::now_v7().simple();
    let (hidden, own) = (work_dir.join(format!(".{PREFIX}{id}")), work_dir.join(format!("{PREFIX}{id}")));
    fs::create_dir(&hidden)?;
    // Others pass through it to the folder that is theirs, and list nothing.
    fs::set_permissions(&hidden, Permissions::from_mode(0o711))?;
    let lock = File::create_new(hidden.join(LOCK))?;
    lock.lock()?;
    fs::rename(&hidden, &own)?;
    Ok((own, lock))
}

fn check_passable(work_dir: &Path) -> anyhow::Result<()> {
    for above in work_dir.ancestors() {
        let mode = fs::metadata(above)?.permissions().mode() & 0o777;
        if mode & 0o001 == 0 {
            let (work_dir, above) = (work_dir.display(), above.display());
            bail!(
                "WORK_DIR {work_dir} is out of reach for commands, which run with a uid of their own: {above} has mode \
                 {mode:o} and needs o+x; or choose a WORK_DIR elsewhere"
            );
        }
    }
    Ok(())
}

/// Lists the parts whose executors are dead: nobody holds their lock.
fn left_behind(work_dir: &Path) -> Vec<PathBuf> {
    let parts = fs::read_dir(work_dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let dead = |part: &PathBuf| {
        part.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX))
            && File::open(part.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
    };
    parts.filter(dead).collect()
}

/// Removes a folder whatever a command has made of it: however deep, whatever its modes, links never followed.
/// Folders found inside are moved up first, so neither stack nor descriptors nor paths grow with the depth.
/// Nothing may run in it any more.
pub(crate) fn remove(top: &Path) -> io::Result<()> {
    let mut waiting = vec![top.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        fs::set_permissions(&folder, Permissions::from_mode(0o700))?;
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                fs::remove_file(entry.path())?;
                continue;
            }
            // Another parent is only given to a folder that may be written to.
            fs::set_permissions(entry.path(), Permissions::from_mode(0o700))?;
            let moved = top.join(format!(".gone-{}", Uuid::now_v7().simple()));
            fs::rename(entry.path(), &moved)?;
            waiting.push(moved);
        }
        if folder != top {
            fs::remove_dir(&folder)?;
        }
    }
    fs::remove_dir(top)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn room() -> PathBuf {
        let room = std::env::temp_dir().join(format!("chavion-executor-{}", Uuid::now_v7().simple()));
        fs::create_dir(&room).unwrap();
        fs::set_permissions(&room, Permissions::from_mode(0o755)).unwrap();
        room
    }

    #[test]
    fn removes_what_is_deep_closed_or_a_link() {
        let room = room();
        let outside = room.join("밖");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("보물"), "stays").unwrap();
        let top = room.join("top");
        let mut deep = top.clone();
        for _ in 0..60 {
            deep = deep.join("깊은-폴더");
        }
        fs::create_dir_all(&deep).unwrap();
        // Far deeper than a path can tell: built from below.
        for _ in 0..600 {
            let parent = top.join("다음");
            fs::rename(top.join("깊은-폴더"), top.join("tmp")).unwrap();
            fs::create_dir(&parent).unwrap();
            fs::rename(top.join("tmp"), parent.join("속")).unwrap();
            fs::rename(parent, top.join("깊은-폴더")).unwrap();
        }
        symlink(&outside, top.join("link")).unwrap();
        fs::create_dir(top.join("closed")).unwrap();
        fs::write(top.join("closed/file"), "x").unwrap();
        fs::set_permissions(top.join("closed"), Permissions::from_mode(0o000)).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists());
        assert_eq!(fs::read_to_string(outside.join("보물")).unwrap(), "stays");
        remove(&room).unwrap();
    }

    #[test]
    fn a_dead_executor_is_told_from_a_living_one() {
        let room = room();
        let living = Folders::open(&room).unwrap();
        let kept = living.fresh(Uuid::nil(), 1).unwrap();
        let (dead, lock) = make(&room).unwrap();
        fs::create_dir(dead.join("left")).unwrap();
        drop(lock);
        let second = Folders::open(&room).unwrap();
        assert!(kept.is_dir() && !dead.exists());
        drop((living, second));
        assert_eq!(fs::read_dir(&room).unwrap().count(), 0);
        remove(&room).unwrap();
    }

    #[test]
    fn a_folder_that_commands_cannot_reach_is_refused() {
        let room = room();
        let closed = room.join("closed");
        fs::create_dir(&closed).unwrap();
        if fs::metadata(&closed).unwrap().uid() == 0 {
            fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
            let error = Folders::open(&closed.join("work")).unwrap_err().to_string();
            assert!(error.contains("o+x") && error.contains("closed"), "{error}");
        }
        remove(&room).unwrap();
    }
}
