//! `chavion doctor`: what is on this server, and what stands in the way of Chavion there, in one screen.
//! Refuses to change anything, to show a secret, and to spend money on finding out.

mod ask;
mod docker;
mod door;
mod firewall;
mod machine;
mod ports;
mod reach;
mod stack;

use crate::{
    UNREACHABLE,
    args::{Doctor, Place},
    client::{Done, done},
    output,
};
use serde_json::{Value, json};
use stack::Stack;
use unicode_width::UnicodeWidthChar as _;

/// How wide a line may be, in columns of a terminal.
const WIDTH: usize = 100;
/// Where what was found begins, in columns.
const INDENT: usize = 15;

/// How a finding is to be taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// As it should be, or not our matter.
    Good,
    /// Works, and an operator should know.
    Note,
    /// Something needed is missing: Chavion will not run, or not for long.
    Bad,
}

/// One thing that was looked at.
struct Finding {
    about: String,
    mark: Mark,
    said: String,
    /// What to do about it, in one sentence.
    cure: Option<String>,
}

impl Finding {
    fn new(about: &str, mark: Mark, said: &str, cure: Option<String>) -> Self {
        let cure = cure.map(|cure| output::one_line(&cure));
        Self { about: output::one_line(about), mark, said: output::one_line(said.trim()), cure }
    }

    fn good(about: &str, said: impl AsRef<str>) -> Self {
        Self::new(about, Mark::Good, said.as_ref(), None)
    }

    fn note(about: &str, said: impl AsRef<str>, cure: impl Into<String>) -> Self {
        Self::new(about, Mark::Note, said.as_ref(), Some(cure.into()))
    }

    fn bad(about: &str, said: impl AsRef<str>, cure: impl Into<String>) -> Self {
        Self::new(about, Mark::Bad, said.as_ref(), Some(cure.into()))
    }

    fn document(&self) -> Value {
        let mark = match self.mark {
            Mark::Good => "good",
            Mark::Note => "note",
            Mark::Bad => "bad",
        };
        json!({ "about": self.about, "good": self.mark != Mark::Bad, "mark": mark, "said": self.said, "do": self.cure })
    }

    fn text(&self) -> String {
        let mark = match self.mark {
            Mark::Good => "✓",
            Mark::Note => "·",
            Mark::Bad => "✗",
        };
        let head = format!("{mark} {:<width$}", self.about, width = INDENT - 3);
        let cure = self.cure.as_ref().map(|cure| format!("→ {cure}"));
        let lines = wrapped(&self.said).into_iter().chain(cure.iter().flat_map(|cure| wrapped(cure)));
        let mut text = String::new();
        for (number, line) in lines.enumerate() {
            let start = if number == 0 { &*head } else { "" };
            text.push_str(format!("{start:<INDENT$}{line}").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Cuts a text at its spaces, and what is too long anywhere, so that it fits beside the indent.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let width = |word: &str| word.trim_end().chars().filter_map(char::width).sum::<usize>();
        if used > 0 && used + width(word) > WIDTH - INDENT {
            lines.push(String::new());
            used = 0;
        }
        for letter in word.chars() {
            let wide = letter.width().unwrap_or_default();
            if used + wide > WIDTH - INDENT && letter != ' ' {
                lines.push(String::new());
                used = 0;
            }
            used += wide;
            if let Some(line) = lines.last_mut() {
                line.push(letter);
            }
        }
    }
    lines
}

/// Looks at everything; exit code 3 when a thing that is needed is missing.
pub(crate) async fn run(args: &Doctor, place: &Place, as_json: bool) -> Done {
    let folder = place.folder()?;
    let (stack, told) = Stack::find(args.folder.as_deref());
    let (docker, programs, sandbox, clock, firewall, door, servers, providers) = tokio::join!(
        docker::look(stack.is_some()),
        machine::programs(stack.is_some()),
        machine::sandbox(),
        machine::clock(),
        firewall::look(stack.is_some()),
        door::look(stack.as_ref()),
        reach::servers(place, stack.is_some()),
        reach::providers(stack.as_ref()),
    );
    let mut findings = vec![machine::system(), machine::memory(stack.is_some())];
    findings.extend(machine::disks(&folder, stack.as_ref(), docker.root.as_deref()));
    findings.extend([clock, sandbox, programs]);
    findings.extend(docker.findings);
    findings.extend(ports::look(stack.as_ref()));
    findings.push(firewall);
    findings.extend(told);
    findings.extend(door);
    findings.extend(servers);
    findings.extend(providers);
    let all_good = findings.iter().all(|finding| finding.mark != Mark::Bad);
    if as_json {
        let list: Vec<Value> = findings.iter().map(Finding::document).collect();
        output::json(&json!({ "good": all_good, "findings": list }));
    } else {
        output::say(&findings.iter().map(Finding::text).collect::<String>());
    }
    if all_good { done() } else { Ok(UNREACHABLE) }
}

#[cfg(test)]
mod tests {
    use super::{Finding, WIDTH, wrapped};
    use unicode_width::UnicodeWidthStr as _;

    #[test]
    fn no_line_is_too_wide_and_no_word_is_lost() {
        let long = "가".repeat(150) + &" word".repeat(40) + &"x".repeat(200);
        let text = Finding::bad("about", &long, "do this").text();
        assert!(text.lines().all(|line| line.width() <= WIDTH), "{text}");
        assert_eq!(wrapped(&long).concat(), long);
        assert_eq!(Finding::good("system", "fine").text(), "✓ system       fine\n");
        assert!(text.ends_with("               → do this\n"), "{text}");
    }
}
