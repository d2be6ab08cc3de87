//! Which series a query of PromQL names. Refuses to understand it: Prometheus does that.

/// Words that stand where a metric could.
const WORDS: [&str; 15] = [
    "by",
    "without",
    "on",
    "ignoring",
    "group_left",
    "group_right",
    "and",
    "or",
    "unless",
    "bool",
    "offset",
    "inf",
    "nan",
    "start",
    "end",
];
/// Words after which a list of labels comes.
const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Lists the series that a query selects, each as it is written: `name` or `name{label="value"}`.
pub(crate) fn selectors(query: &str) -> Vec<String> {
    let text: Vec<char> = query.chars().collect();
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            '"' | '\'' => at = past_string(&text, at),
            '[' => at = past(&text, at, ']'),
            first if first.is_ascii_digit() => {
                while at < text.len() && (text[at].is_ascii_alphanumeric() || text[at] == '.') {
                    at += 1;
                }
            }
            first if is_name(first) => {
                let from = at;
                while at < text.len() && is_name(text[at]) {
                    at += 1;
                }
                let word: String = text[from..at].iter().collect();
                let next = (at..text.len()).find(|place| !text[*place].is_whitespace());
                match next.map(|place| (place, text[place])) {
                    Some((place, '(')) if LISTS.contains(&word.as_str()) => at = past(&text, place, ')'),
                    Some((_, '(')) => {}
                    Some((place, '{')) => {
                        at = past(&text, place, '}');
                        found.push(text[from..at].iter().collect());
                    }
                    _ if WORDS.contains(&word.as_str()) => {}
                    // `sum by (…) (…)`: no metric, though no bracket follows.
                    Some((place, _)) if LISTS.contains(&word_at(&text, place).as_str()) && is_aggregate(&word) => {}
                    _ => found.push(word),
                }
            }
            _ => at += 1,
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The metric that a selector names.
pub(crate) fn metric(selector: &str) -> &str {
    selector.split('{').next().unwrap_or(selector).trim()
}

fn word_at(text: &[char], at: usize) -> String {
    text[at..].iter().take_while(|letter| is_name(**letter)).collect()
}

fn is_aggregate(word: &str) -> bool {
    ["sum", "min", "max", "avg", "count", "topk", "bottomk", "quantile", "stddev", "group"].contains(&word)
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

fn past_string(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != text[from] {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn past(text: &[char], from: usize, end: char) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != end {
        at = if matches!(text[at], '"' | '\'') { past_string(text, at) } else { at + 1 };
    }
    at + 1
}

#[test]
fn a_query_names_its_series() {
    let query = r#"histogram_quantile(0.95, sum by (topic, le) (rate(age_bucket{job="a", topic=~"x[.]y{2}"}[5m])))
        / on (topic) group_left (job) kind:live:max > 3 * 86400 and time() - max(expires) < 1e9 or up{job="b"} offset 5m"#;
    assert_eq!(
        selectors(query),
        ["age_bucket{job=\"a\", topic=~\"x[.]y{2}\"}", "expires", "kind:live:max", "up{job=\"b\"}"]
    );
    assert_eq!(metric("age_bucket{job=\"a\"}"), "age_bucket");
    assert_eq!(selectors("sum(rate(a_total[1m])) - 5m > bool 0"), ["a_total"]);
}
