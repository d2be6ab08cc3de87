//! Merges earlier emulated answers that a prompt carries into one report. Refuses to add anything of its own.

use std::fmt::Write;

use super::MARK;
use super::question::{Question, shorten};

/// One earlier answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part<'a> {
    /// The line above it: a heading, or `Answer of …:`.
    pub(super) title: &'a str,
    /// Its bold words, in order.
    points: Vec<&'a str>,
    conclusion: Option<&'a str>,
    doubt: Option<&'a str>,
}

/// The earlier answers of a prompt, in order.
pub(super) fn parts(prompt: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut pieces = prompt.split(MARK);
    let mut before = pieces.next().unwrap_or_default();
    for piece in pieces {
        let title = before.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
        let title = title.trim_start_matches('#').trim().trim_end_matches(':').trim_start_matches("Answer of ").trim();
        parts.push(read(title, piece));
        before = piece;
    }
    parts
}

fn read<'a>(title: &'a str, text: &'a str) -> Part<'a> {
    let mut part = Part { title, points: Vec::new(), conclusion: None, doubt: None };
    for line in text.lines().map(str::trim) {
        let after = |starts: [&str; 2]| starts.into_iter().find_map(|start| line.strip_prefix(start));
        if let Some(rest) = after(["**결론** — ", "**Conclusion** — "]) {
            part.conclusion = Some(rest);
        } else if let Some(rest) = after(["*가장 자신 없는 점: ", "*Least sure of: "]) {
            part.doubt = Some(rest.trim_end_matches('*'));
        } else if line.starts_with(|letter: char| letter.is_ascii_digit())
            && let Some((_, rest)) = line.split_once("**")
            && let Some((bold, _)) = rest.split_once("**")
        {
            part.points.push(bold);
        }
    }
    part
}

/// The lines that name who could not answer.
pub(super) fn missing(prompt: &str) -> Vec<&str> {
    let mut lines = prompt.lines().map(str::trim);
    let mut named = Vec::new();
    while let Some(line) = lines.next() {
        if line.contains("could not answer; ") {
            named.extend(
                lines.by_ref().take_while(|line| line.starts_with("- ")).map(|line| line.trim_start_matches("- ")),
            );
        } else if line.contains(" could not answer: ") {
            named.push(line);
        }
    }
    named
}

/// One report from the parts: the answer, the plan, the doubts, who is missing.
pub(super) fn report(parts: &[Part<'_>], missing: &[&str], question: &Question<'_>) -> String {
    let words = if question.korean { &KOREAN } else { &ENGLISH };
    let quote = &question.quote;
    let mut text = format!("{MARK}\n\n## {}\n\n", words.answer);
    let first: Vec<&str> = parts.iter().filter_map(|part| part.points.first().copied()).take(2).collect();
    let _ = writeln!(text, "“{quote}” — {}: {}.", words.begin, first.join(" → "));
    let _ = write!(text, "\n## {}\n\n", words.plan);
    for (number, part) in parts.iter().enumerate() {
        let points = part.points.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        let points = if points.is_empty() { shorten(part.conclusion.unwrap_or_default(), 120) } else { points };
        let _ = writeln!(text, "{}. **{}** — {points}", number + 1, part.title);
    }
    let doubts: Vec<_> = parts.iter().filter_map(|part| Some((part.title, part.doubt?))).collect();
    if !doubts.is_empty() {
        let _ = write!(text, "\n## {}\n\n", words.doubts);
        for (title, doubt) in doubts {
            let _ = writeln!(text, "- {title}: {doubt}");
        }
    }
    if !missing.is_empty() {
        let _ = write!(text, "\n## {}\n\n", words.missing);
        for line in missing {
            let _ = writeln!(text, "- {line}");
        }
    }
    let last = parts.first().and_then(|part| part.points.first()).copied().unwrap_or_default();
    let _ = write!(text, "\n**{}** — {}: {last}.", words.conclusion, words.step);
    text
}

struct Words {
    answer: &'static str,
    begin: &'static str,
    plan: &'static str,
    doubts: &'static str,
    missing: &'static str,
    conclusion: &'static str,
    step: &'static str,
}

const KOREAN: Words = Words {
    answer: "답",
    begin: "모인 의견에서 먼저 할 일",
    plan: "계획: 누가 무엇을 권했나",
    doubts: "갈리거나 확실하지 않은 점",
    missing: "빠진 의견",
    conclusion: "결론",
    step: "첫 걸음",
};
const ENGLISH: Words = Words {
    answer: "Answer",
    begin: "what the answers put first",
    plan: "Plan: who advised what",
    doubts: "What is disputed or unsure",
    missing: "Views that are missing",
    conclusion: "Conclusion",
    step: "the first step",
};

#[cfg(test)]
mod tests {
    use super::super::compose;
    use super::*;
    use crate::seed::Draw;

    #[test]
    fn a_synthesis_names_every_answer_and_who_is_missing() {
        let order = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";
        let ask = |system: &str| {
            let prompt = format!("Order:\n{order}\n");
            compose(system, &prompt, &Question::find(&prompt), Draw::new(3))
        };
        let prompt = format!(
            "These specialists could not answer; say in the report that their view is missing:\n- 영업 분석가: timeout\n\n\
             Order:\n{order}\n\n## 고객 조사원\n\n{}\n\n## 캠페인 기획자\n\n{}\n",
            ask("You speak for the customer."),
            ask("You plan campaigns."),
        );
        let text = compose("You lead marketing.", &prompt, &Question::find(&prompt), Draw::new(1));
        assert!(text.starts_with(MARK) && text.matches(MARK).count() == 1, "{text}");
        for part in ["1. **고객 조사원**", "2. **캠페인 기획자**", "- 영업 분석가: timeout", order, "**결론**"]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
