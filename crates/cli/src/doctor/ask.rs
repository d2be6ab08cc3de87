//! Asks another program something, and does not wait for it long.

use crate::vars::given;
use std::{path::PathBuf, process::Stdio, time::Duration};
use tokio::process::Command;

/// How long a program may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Where an administrator's programs are, which are not on everybody's search path.
const ADMIN: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// What a program answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) ok: bool,
    pub(super) out: String,
    pub(super) err: String,
}

/// Finds a program on the search path, or where an administrator's are.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = given("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = std::env::split_paths(&path).filter(|place| place.is_absolute()).collect();
    places.extend(ADMIN.map(PathBuf::from));
    places.into_iter().map(|place| place.join(program)).find(|file| file.is_file())
}

/// Asks a program; none when it is not installed. In the language of programs, whatever the operator's is.
pub(super) async fn ask(program: &str, words: &[&str]) -> Option<Answer> {
    let path = find(program)?;
    let mut command = Command::new(path);
    command.args(words).env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
    let answer = match tokio::time::timeout(PATIENCE, command.output()).await {
        Ok(Ok(told)) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
            Answer { ok: told.status.success(), out: text(&told.stdout), err: text(&told.stderr) }
        }
        Ok(Err(error)) => Answer { err: error.to_string(), ..Answer::default() },
        Err(_) => Answer { err: format!("no answer within {} s", PATIENCE.as_secs()), ..Answer::default() },
    };
    Some(answer)
}

/// Returns the first word that looks like a version, such as 15.18.
pub(super) fn version(text: &str) -> Option<&str> {
    let words = text.split(|letter: char| letter.is_whitespace() || matches!(letter, ',' | '=' | '(' | ')'));
    let mut words = words.map(|word| word.strip_prefix('v').unwrap_or(word));
    words.find(|word| word.starts_with(|letter: char| letter.is_ascii_digit()) && word.contains('.'))
}

/// Compares the first two numbers of a version.
pub(super) fn is_older(version: &str, than: (u32, u32)) -> bool {
    let mut numbers = version.split(|letter: char| !letter.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < than
}

#[cfg(test)]
mod tests {
    use super::{is_older, version};

    #[test]
    fn versions_are_found_and_compared() {
        assert_eq!(version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some("15.18"));
        assert_eq!(version("Redis server v=7.0.15 sha=00000000:0"), Some("7.0.15"));
        assert_eq!(version("Docker version 28.2.2, build e6534b4"), Some("28.2.2"));
        assert_eq!(version("no number"), None);
        assert!(is_older("1.25.0", (1, 29)) && !is_older("2.1.1", (1, 29)) && !is_older("1.29.2", (1, 29)));
    }
}
