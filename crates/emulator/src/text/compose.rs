//! Composes one answer. Refuses to draw outside its hash: the same ask gives the same text.

use std::fmt::Write;

use super::korean::with_particle;
use super::lens::Lens;
use super::question::{Question, shorten};
use super::{MARK, merge};
use crate::seed::Draw;

/// One short line that quotes the prompt.
pub(crate) fn brief(prompt: &str) -> String {
    let line = prompt.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    format!("{MARK} {}", shorten(line, 48))
}

/// One or two sentences for a JSON string that wants prose.
pub(crate) fn prose(question: &Question<'_>) -> String {
    let quote = &question.quote;
    if question.korean {
        format!("{MARK} “{quote}”에 대해 형식에 맞춰 만든 답이며, 내용을 판단한 것은 아닙니다.")
    } else {
        format!("{MARK} Made to fit the form for “{quote}”; nothing was judged.")
    }
}

/// A Markdown answer: merges earlier answers when the prompt has some, else speaks from the role's side.
pub(crate) fn compose(system: &str, prompt: &str, question: &Question<'_>, mut draw: Draw) -> String {
    let parts = merge::parts(prompt);
    if parts.is_empty() {
        view(Lens::of(system), question, &mut draw)
    } else {
        merge::report(&parts, &merge::missing(prompt), question)
    }
}

fn view(lens: Option<&Lens>, question: &Question<'_>, draw: &mut Draw) -> String {
    let Some(lens) = lens else { return prose(question) };
    let wording = lens.wording(question.korean);
    let topic = question.topic();
    let mut points: Vec<&str> = wording.points.iter().map(String::as_str).collect();
    let wanted = 3 + draw.below(points.len().saturating_sub(2));
    while points.len() > wanted {
        points.remove(draw.below(points.len()));
    }
    let mut text = format!("{MARK}\n\n");
    let heading = fill(&wording.title, &topic, question, draw);
    let _ = write!(text, "## {heading}\n\n");
    for (number, point) in points.iter().enumerate() {
        let point = fill(point, &topic, question, draw);
        let (bold, rest) = point.split_once(" — ").unwrap_or((point.as_str(), ""));
        let _ = writeln!(text, "{}. **{bold}** — {rest}", number + 1);
    }
    let first = points.first().map(|point| fill(point, &topic, question, draw)).unwrap_or_default();
    let first = first.split(" — ").next().unwrap_or_default();
    let doubt = fill(&wording.doubt, &topic, question, draw);
    let quote = &question.quote;
    let _ = if question.korean {
        write!(
            text,
            "\n**결론** — “{quote}”에는 ‘{first}’부터 시작하는 것이 좋겠습니다.\n\n*가장 자신 없는 점: {doubt}*"
        )
    } else {
        write!(text, "\n**Conclusion** — for “{quote}”, start with: {first}.\n\n*Least sure of: {doubt}*")
    };
    text
}

/// Puts the question's words into a template: `{t}` topic, `{n}` a noun, `{n:을}` a noun with its particle.
fn fill(template: &str, topic: &str, question: &Question<'_>, draw: &mut Draw) -> String {
    let mut text = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let (slot, after) = after.split_once('}').unwrap_or((after, ""));
        rest = after;
        let (name, particle) = slot.split_once(':').unwrap_or((slot, ""));
        let word = match name {
            // Mostly the head noun; now and then what it belongs to, so that points differ.
            "n" if draw.below(3) > 0 => question.head().unwrap_or(topic),
            "n" if question.korean => question.nouns.first().map_or(topic, String::as_str),
            _ => topic,
        };
        if question.korean {
            text.push_str(&with_particle(word, particle));
        } else {
            let _ = write!(text, "“{word}”");
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";

    fn answer(system: &str, prompt: &str) -> String {
        compose(system, prompt, &Question::find(prompt), Draw::new(7))
    }

    #[test]
    fn two_roles_answer_the_same_order_differently_and_quote_it() {
        let campaign = answer("You plan campaigns: message, offer, channel, calendar.", ORDER);
        let cost = answer("You break costs down, fixed and variable.", ORDER);
        assert_ne!(campaign, cost);
        for text in [&campaign, &cost] {
            assert!(text.starts_with(MARK));
            assert!(text.contains(ORDER), "{text}");
            assert!(text.contains("애견호텔") && text.contains("**결론**"), "{text}");
            assert!(!text.contains('{'), "{text}");
        }
    }

    #[test]
    fn an_english_order_is_answered_in_english() {
        let text = answer("You set and test prices.", "How should our pet hotel price the winter season?");
        assert!(text.contains("**Conclusion**") && text.contains("pet hotel"), "{text}");
        assert!(!text.trim_start_matches(MARK).chars().any(super::super::korean::is_hangul), "{text}");
    }

    #[test]
    fn a_brief_answer_is_one_line() {
        assert_eq!(brief("첫 줄\n겨울 예약?\n"), format!("{MARK} 겨울 예약?"));
    }
}
