//! Chooses among options: an enum's, or a list's in the prompt. Refuses to understand: it compares words.

use serde_json::{Map, Value};

use super::maker::Maker;
use crate::text::{Question, lenses};

const GOOD: [&str; 16] = [
    "sound",
    "ok",
    "pass",
    "passed",
    "approve",
    "approved",
    "accept",
    "accepted",
    "yes",
    "agree",
    "valid",
    "correct",
    "supported",
    "통과",
    "승인",
    "찬성",
];
const BAD: [&str; 16] = [
    "flawed",
    "fail",
    "failed",
    "reject",
    "rejected",
    "no",
    "disagree",
    "invalid",
    "incorrect",
    "unsupported",
    "deny",
    "refuse",
    "unsound",
    "탈락",
    "거절",
    "반대",
];

/// The option of an enum that fits the question best.
pub(super) fn of_enum(maker: &mut Maker<'_>, options: &[Value], schema: &Map<String, Value>, name: &str) -> Value {
    let is = |option: &Value, words: &[&str]| {
        option.as_str().is_some_and(|text| words.contains(&text.to_lowercase().as_str()))
    };
    let good = options.iter().find(|option| is(option, &GOOD));
    if let Some(good) = good.filter(|_| options.iter().any(|option| is(option, &BAD))) {
        return good.clone();
    }
    let subject = maker.subject;
    let told: Vec<(String, &str)> = listed(subject.prompt).map(|(_, name, text)| (name.to_lowercase(), text)).collect();
    let described = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut best: (usize, Option<&Value>) = (0, None);
    for option in options {
        let Some(text) = option.as_str() else { continue };
        let lower = text.to_lowercase();
        let more = told.iter().find(|(name, _)| *name == lower).map_or("", |(_, text)| text);
        let weight = weight(subject.question, &lower, &format!("{lower} {more}").to_lowercase());
        if weight > best.0 {
            best = (weight, Some(option));
        }
    }
    let sure = options.iter().find(|option| is(option, &["unsure", "none", "other"]));
    if let (None, Some(option), false) = (best.1, sure, described.is_empty() && name.is_empty()) {
        return option.clone();
    }
    let wanted = options.iter().filter(|option| !option.is_null()).collect::<Vec<_>>();
    best.1.or_else(|| maker.draw.pick(&wanted).copied()).or(options.first()).cloned().unwrap_or_default()
}

/// The listed option that fits the question best, when the prompt lists options for this property.
pub(super) fn of_list(maker: &mut Maker<'_>, name: &str, description: &str) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    let told = ["listed", "one of", "목록", "중 하나"].iter().any(|word| description.contains(word));
    let lower_name = name.to_lowercase();
    let subject = maker.subject;
    let options: Vec<(&str, &str)> = listed(subject.prompt)
        .filter(|(heading, ..)| told || heading.to_lowercase().contains(&lower_name))
        .map(|(_, name, text)| (name, text))
        .collect();
    let mut best: (usize, Option<&str>) = (0, None);
    for (option, text) in &options {
        let lower = option.to_lowercase();
        let weight = weight(subject.question, &lower, &format!("{lower} {text}").to_lowercase());
        if weight > best.0 {
            best = (weight, Some(*option));
        }
    }
    let unsure = description.contains("unsure") || subject.prompt.contains("\"unsure\"");
    match best.1 {
        Some(option) => Some(option.to_owned()),
        None if options.is_empty() => None,
        None if unsure => Some("unsure".to_owned()),
        None => maker.draw.pick(&options).map(|(option, _)| (*option).to_owned()),
    }
}

/// How well an option of `anyOf` fits the question, by its title, description and constants.
pub(super) fn option_weight(question: &Question<'_>, option: &Map<String, Value>) -> usize {
    let mut words = String::new();
    for name in ["title", "description", "const"] {
        words.push_str(option.get(name).and_then(Value::as_str).unwrap_or_default());
        words.push(' ');
    }
    let constants = option.get("properties").and_then(Value::as_object).into_iter().flatten();
    for (_, property) in constants {
        words.push_str(property.get("const").and_then(Value::as_str).unwrap_or_default());
        words.push(' ');
    }
    if words.trim().is_empty() { 0 } else { weight(question, "", &words.to_lowercase()) }
}

/// Words that the question and an option share, directly or as words of one point of view in either language.
fn weight(question: &Question<'_>, name: &str, option: &str) -> usize {
    let asked = question.whole.to_lowercase();
    let mut weight = 0;
    if !name.is_empty() && asked.split(|letter: char| !letter.is_alphanumeric()).any(|word| word == name) {
        weight += 8;
    }
    weight += 3 * question.nouns.iter().filter(|noun| option.contains(&noun.to_lowercase())).count();
    for lens in lenses() {
        let here = lens.weight(&asked);
        if here > 0 {
            weight += here * lens.weight(option);
        }
    }
    weight
}

/// Lines such as `- name: description`, each with the line above its list.
fn listed(prompt: &str) -> impl Iterator<Item = (&str, &str, &str)> {
    let mut heading = "";
    prompt.lines().map(str::trim).filter_map(move |line| {
        let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) else {
            heading = if line.is_empty() { heading } else { line };
            return None;
        };
        let (name, text) = item.split_once(':').or_else(|| item.split_once(" — ")).unwrap_or((item, ""));
        let name = name.trim().trim_matches(['`', '*', '"']);
        let one_word = !name.is_empty() && name.len() <= 64 && !name.contains(char::is_whitespace);
        one_word.then_some((heading, name, text.trim()))
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Subject, fit};
    use super::*;

    const PROMPT: &str = "Name the one department that should take it, or \"unsure\" when none fits.\n\nDepartments:\n\
        - strategy: Strategy · 전략. Direction, competitors, markets, partnerships.\n\
        - marketing: Marketing and sales · 마케팅·영업. Customers, campaigns, bookings, sales, brand.\n\
        - finance: Finance · 재무. Money: costs, prices, margins, budgets, tax.\n\
        - engineering: Engineering · 기술. Software, servers, data, automation, security.\n\n\
        Order:\n";

    fn department(order: &str, schema: &Value) -> Value {
        let prompt = format!("{PROMPT}{order}");
        let question = Question::find(&prompt);
        fit(schema, &Subject { question: &question, prompt: &prompt, system: "" }, 1)["department"].clone()
    }

    #[test]
    fn a_plain_string_is_chosen_from_the_list_in_the_prompt() {
        let schema =
            json!({"type": "object", "properties": {"department": {"type": "string"}, "reason": {"type": "string"}}});
        let listed = |order| department(order, &schema);
        assert_eq!(listed("우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘"), "marketing");
        assert_eq!(listed("서버 배포를 자동화해줘"), "engineering");
        assert_eq!(listed("다음 분기 예산과 비용을 검토해줘"), "finance");
        assert_eq!(listed("How should we set prices and margins?"), "finance");
        assert_eq!(listed("ㅎㅎ"), "unsure");
    }

    #[test]
    fn an_enum_is_chosen_by_the_lists_words_and_a_verdict_is_good() {
        let schema = json!({"type": "object", "properties": {
            "department": {"enum": ["strategy", "finance", "marketing"]}}});
        assert_eq!(department("겨울 예약을 늘릴 방법", &schema), "marketing");
        let schema = json!({"properties": {"department": {"enum": ["flawed", "sound"]}}});
        assert_eq!(department("겨울 예약", &schema), "sound");
    }
}
