//! What a master may order, and how every bad field is named.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests stop at the first surprise")]

use domain::{
    order::{Deliver, FieldError, NewOrder, Order, check},
    pace::Pace,
    task::Priority,
};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2026-11-07 12:00 UTC);

#[test]
fn a_sound_order_is_taken_as_it_is() {
    let order = NewOrder(json!({
        "title": "  겨울 예약을 늘릴 방법  ",
        "description": "우리 애견호텔의\n사정을 보고",
        "priority": "urgent",
        "playbook": "report",
        "pace": "auto",
        "deadline": "2026-11-08T08:00:00+09:00",
        "deliver": [{ "kind": "webhook", "url": "https://example.com/hook?x=1" }],
        "agents": ["a", "b-1"],
    }));
    let order = order.check(NOW).unwrap();
    assert_eq!(order.title, "겨울 예약을 늘릴 방법");
    assert_eq!((order.priority, order.pace, order.playbook.as_deref()), (Priority::Urgent, Pace::Auto, Some("report")));
    assert_eq!(order.deadline, Some(datetime!(2026-11-07 23:00 UTC)));
    assert_eq!(order.deliver, [Deliver::Webhook { url: "https://example.com/hook?x=1".to_owned() }]);
    assert_eq!(order.text(), "겨울 예약을 늘릴 방법\n\n우리 애견호텔의\n사정을 보고");

    let plain = check(&json!({ "title": "t", "playbook": null, "deliver": null, "deadline": null }), NOW).unwrap();
    let default = Order {
        title: "t".to_owned(),
        description: String::new(),
        priority: Priority::Normal,
        playbook: None,
        pace: Pace::Now,
        deadline: None,
        deliver: Vec::new(),
        agents: Vec::new(),
        budget: None,
    };
    assert_eq!(plain, default);
}

#[test]
fn the_text_of_an_order_says_nothing_twice() {
    for (title, description, text) in [
        ("제목", "", "제목"),
        ("제목", " 제목 ", "제목"),
        ("제목", "제목과 그 나머지", "제목과 그 나머지"),
        ("제목", "내용", "제목\n\n내용"),
    ] {
        let order = Order { description: description.to_owned(), ..check(&json!({ "title": title }), NOW).unwrap() };
        assert_eq!(order.text(), text);
    }
}

fn one(field: &str, value: &Value) -> FieldError {
    let mut fields = json!({ "title": "t" });
    fields.as_object_mut().unwrap().insert(field.to_owned(), value.clone());
    let mut errors = check(&fields, NOW).err().unwrap_or_else(|| panic!("accepted: {fields}"));
    assert_eq!(errors.len(), 1, "{errors:?}");
    errors.remove(0)
}

#[test]
fn every_bad_field_is_named_with_what_would_be_right() {
    let webhook = |url: &str| json!([{ "kind": "webhook", "url": url }]);
    let url = "an http or https URL";
    for (field, value, named, problem, expected) in [
        ("title", json!(""), "title", "is empty", "one line of 1 to 300 characters"),
        ("title", json!(" \u{200b}\u{3164} "), "title", "is empty", "one line"),
        ("title", json!(null), "title", "is missing", "one line"),
        ("title", json!(7), "title", "is a number", "a string"),
        ("title", json!("가".repeat(301)), "title", "has 301 characters", "at most 300"),
        ("title", json!("x".repeat(2 << 20)), "title", "has 2097152 characters", "at most 300"),
        ("title", json!("a\nb"), "title", "line break", "one line"),
        ("title", json!("a\u{0}b"), "title", "NUL", "without NUL"),
        ("description", json!("a\u{0}b"), "description", "NUL", "without NUL"),
        ("description", json!("가".repeat(100_001)), "description", "100001", "at most 100000"),
        ("description", json!(["x"]), "description", "is a list", "a string"),
        ("titel", json!("x"), "titel", "unknown field", "one of title, description, priority"),
        ("priority", json!("asap"), "priority", "\"asap\" is unknown", "low, normal, high, urgent"),
        ("priority", json!(3), "priority", "is a number", "a string"),
        ("pace", json!("slow"), "pace", "\"slow\" is unknown", "now, flex, batch, auto"),
        ("playbook", json!(""), "playbook", "is not a name", "a-z"),
        ("playbook", json!("../etc"), "playbook", "is not a name", "a-z"),
        ("deadline", json!("tomorrow"), "deadline", "is not a time", "RFC 3339"),
        ("deadline", json!("2026-13-01T00:00:00Z"), "deadline", "is not a time", "RFC 3339"),
        ("deadline", json!("2026-11-07T12:00:00Z"), "deadline", "is in the past", "in the future"),
        ("deadline", json!("2026-11-07T20:59:59+09:00"), "deadline", "is in the past", "in the future"),
        ("deadline", json!(1_800_000_000), "deadline", "is a number", "a string"),
        ("deliver", json!("https://x.org"), "deliver", "is a string", "a list of targets"),
        ("deliver", json!(vec![json!({}); 9]), "deliver", "has 9 elements", "at most 8"),
        ("deliver", json!([{ "kind": "mail", "to": "x" }]), "deliver[0]", "unknown variant `mail`", "webhook"),
        ("deliver", json!([{ "kind": "webhook" }]), "deliver[0]", "missing field `url`", "webhook"),
        (
            "deliver",
            json!([{ "kind": "webhook", "url": "http://x", "secret": "s" }]),
            "deliver[0]",
            "unknown field `secret`",
            "webhook",
        ),
        ("deliver", json!([3]), "deliver[0]", "invalid type", "webhook"),
        ("deliver", webhook("ftp://example.com"), "deliver[0].url", "has the scheme \"ftp\"", url),
        ("deliver", webhook("file:///etc/passwd"), "deliver[0].url", "has the scheme \"file\"", url),
        ("deliver", webhook("https://me:secret@example.com"), "deliver[0].url", "contains user info", url),
        ("deliver", webhook("example.com/hook"), "deliver[0].url", "is not a URL", url),
        ("deliver", webhook("https://"), "deliver[0].url", "is not a URL", url),
        ("deliver", webhook("https://x.org/\u{0}"), "deliver[0].url", "control character", url),
        ("deliver", webhook(&format!("https://x.org/{}", "a".repeat(2_000))), "deliver[0].url", "is longer", url),
        ("agents", json!("a"), "agents", "is a string", "a list of agents' names"),
        ("agents", json!(["a", 3]), "agents[1]", "is a number", "a name made of"),
        ("agents", json!(["비서"]), "agents[0]", "is not an agent's name", "a name made of"),
        ("agents", json!(["a", "a"]), "agents[1]", "is named twice", "each agent once"),
        ("agents", json!(vec!["a"; 65]), "agents", "has 65 elements", "at most 64"),
    ] {
        let error = one(field, &value);
        assert_eq!(error.field, named, "{error:?}");
        assert!(error.problem.contains(problem), "{error:?}, wanted {problem}");
        assert!(error.expected.contains(expected), "{error:?}, wanted {expected}");
        assert!(!error.problem.contains("secret@") && !format!("{error:?}").contains("\\0"), "{error:?}");
    }
    for whole in [json!(null), json!([]), json!("title")] {
        let errors = check(&whole, NOW).unwrap_err();
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, ""));
    }
}

#[test]
fn all_bad_fields_are_named_at_once() {
    let errors = check(
        &json!({ "pace": "x", "priority": 1, "deadline": "x", "deliver": [1, 2], "agents": [1], "foo": 1, "bar": 2 }),
        NOW,
    )
    .unwrap_err();
    let mut fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(
        fields,
        ["agents[0]", "bar", "deadline", "deliver[0]", "deliver[1]", "foo", "pace", "priority", "title"]
    );
}

#[test]
fn a_budget_is_dollars_above_zero_in_a_string() {
    let budget = |value: serde_json::Value| check(&json!({ "title": "t", "budget": value }), NOW);
    for (text, nanos) in
        [("0.50", 500_000_000), ("12", 12_000_000_000), ("0.000000001", 1), ("1.5000000000000", 1_500_000_000)]
    {
        assert_eq!(budget(json!(text)).unwrap().budget, Some(domain::money::Nanos(nanos)), "{text}");
    }
    assert_eq!(budget(json!(null)).unwrap().budget, None);
    let refused = [
        (json!("0"), "\"0\" is zero"),
        (json!("0.00"), "is zero"),
        (json!("-3"), "is less than nothing"),
        (json!("3 USD"), "is not an amount"),
        (json!("1e3"), "is not an amount"),
        (json!(".5"), "is not an amount"),
        (json!("오천 원"), "is not an amount"),
        (json!(""), "is not an amount"),
        (json!("0.0000000001"), "is finer than a nano-dollar"),
        (json!("99999999999999999999"), "is too much"),
        (json!(0.5), "is a number"),
        (json!(["1"]), "is a list"),
    ];
    for (value, problem) in refused {
        let errors = budget(value.clone()).unwrap_err();
        assert_eq!((errors.len(), errors[0].field.as_str()), (1, "budget"));
        assert!(errors[0].problem.contains(problem), "{value}: {}", errors[0].problem);
        assert!(errors[0].expected.contains("such as \"0.50\""), "{}", errors[0].expected);
    }
}
