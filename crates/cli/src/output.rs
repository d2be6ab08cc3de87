//! What goes to standard output (answers) and standard error (progress and troubles).
//! A reader that has gone away ends nothing: writes to a closed pipe are dropped.

use crate::client::Trouble;
use serde_json::{Value, json};
use std::io::{IsTerminal as _, Write as _};

/// How wide and high a terminal is that does not say so.
const USUAL: (u16, u16) = (80, 24);

/// What is said of every answer of the emulator: it is never passed off as a model's.
pub(crate) const EMULATED: &str = "\
*** EMULATED: the emulator answers here, not a model. For real answers start Chavion with a provider's key
*** (ANTHROPIC_API_KEY, OPENAI_API_KEY, GEMINI_API_KEY, …). · 모델이 아니라 에뮬레이터의 답입니다.";

/// What is said of its batches, whose haste is no model's either.
pub(crate) const EMULATED_BATCHES: &str = "\
*** Its batches take a second (a provider's take minutes to hours) and its prices are those of the models it plays:
*** nothing is charged and nothing is saved. · 배치도 흉내이며 실제 비용은 들지 않습니다.";

/// Writes an answer, as it is; on a terminal without what would steer it, for parts of it are the words of others.
pub(crate) fn say(text: &str) {
    let text = if is_read_by_a_person() { harmless(text) } else { text.to_owned() };
    let mut out = std::io::stdout().lock();
    let end: &[u8] = if text.ends_with('\n') { b"" } else { b"\n" };
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.write_all(end)).and_then(|()| out.flush());
}

/// Writes JSON for programs.
pub(crate) fn json(value: &Value) {
    say(&serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Writes an answer: JSON for programs, else a text for people.
pub(crate) fn answer(as_json: bool, value: &Value, text: &str) {
    if as_json {
        json(value);
    } else {
        say(text);
    }
}

/// Writes a line of progress.
pub(crate) fn note(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes to standard error without a line's end, for redrawing.
pub(crate) fn draw(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

/// Returns columns and rows of the terminal that progress can be redrawn on; none when it is no terminal.
pub(crate) fn screen() -> Option<(usize, usize)> {
    let error = std::io::stderr();
    if !error.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(&error).map(|size| (size.ws_col, size.ws_row));
    let (columns, rows) = size.ok().filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL);
    Some((columns.into(), rows.into()))
}

/// Tells whether answers go to a person's terminal.
pub(crate) fn is_read_by_a_person() -> bool {
    std::io::stdout().is_terminal()
}

/// Writes what went wrong: a sentence for people, or problem+json on standard output for programs.
pub(crate) fn trouble(trouble: &Trouble, as_json: bool) {
    if as_json {
        let own = || json!({ "code": trouble.word(), "detail": trouble.words });
        json(&trouble.problem.clone().unwrap_or_else(own));
    } else {
        note(&format!("chavion: {}", harmless(&trouble.words)));
    }
}

/// Returns this command as it was typed, for people to type it again.
pub(crate) fn typed() -> String {
    std::env::args_os().next().map_or_else(|| "chavion".to_owned(), |word| word.to_string_lossy().into_owned())
}

/// Makes one line of a text of others.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

fn harmless(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || matches!(letter, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::{harmless, one_line};

    #[test]
    fn texts_of_others_do_not_steer_the_terminal() {
        assert_eq!(harmless("가\x1b[2J나\n다\t라\r"), "가[2J나\n다\t라");
        assert_eq!(one_line("겨울\n예약\x1b[A"), "겨울 예약 [A");
    }
}
