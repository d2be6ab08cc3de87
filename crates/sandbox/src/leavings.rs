//! What the processes of a uid leave in the kernel when they are gone: System V shared memory, queues and
//! semaphores. Refuses to touch those of another uid.

use crate::sys::{Ipc, remove_ipc};

/// Removes all of it. The calling thread has the uid as its effective one.
pub(crate) fn remove(uid: u32) {
    for (kind, table) in [(Ipc::Shm, "shm"), (Ipc::Msg, "msg"), (Ipc::Sem, "sem")] {
        // A kernel without System V has no table and nothing to remove.
        let text = std::fs::read_to_string(format!("/proc/sysvipc/{table}")).unwrap_or_default();
        for id in ids(&text, uid) {
            let _ = remove_ipc(kind, id);
        }
    }
}

/// Reads the ids of a table that belong to a uid. The columns differ; the names of the first line do not.
fn ids(table: &str, uid: u32) -> Vec<i32> {
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let Some(owner) = lines.next().and_then(|names| names.iter().position(|name| *name == "uid")) else {
        return Vec::new();
    };
    let ours = |line: &Vec<&str>| line.get(owner).and_then(|word| word.parse().ok()) == Some(uid);
    lines.filter(ours).filter_map(|line| line.get(1)?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_belongs_to_the_uid_is_found() {
        let shm = "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime\n\
                   \x20        0         5   600               4096   100   100      0  1900000007  7  1900000007  7  0\n\
                   \x20        0         6   600               4096   100   100      0  0  1900000007  0  7  0\n";
        assert_eq!(ids(shm, 1_900_000_007), [5]);
        assert_eq!(ids("key semid perms nsems uid gid\n0 9 600 1 42 42", 42), [9]);
        assert!(ids("", 42).is_empty() && ids("nothing of use\n1 2 3", 3).is_empty());
    }
}
