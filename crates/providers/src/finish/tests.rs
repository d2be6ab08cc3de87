//! What an answer costs, worked out by hand, and what becomes of it.

use super::*;
use crate::{
    call::Call,
    catalogue::Catalogue,
    chat::{Message, Request, Role},
    endpoint::Endpoint,
    metrics::Metrics,
};
use prometheus::Registry;
use secrecy::SecretString;
use std::{sync::Arc, time::Duration};
use time::macros::date;

const TODAY: Date = date!(2026 - 11 - 20);

fn call(model: &str, flex: bool) -> Call {
    let catalogue = Catalogue::built_in().unwrap();
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let provider = catalogue.provider(model.split_once('/').unwrap().0).unwrap();
    let key = |name: &str| name.ends_with("_API_KEY").then(|| SecretString::from("k"));
    let endpoint = Endpoint::new(provider, &key, |name| metrics.of(name)).unwrap().unwrap();
    let request = Request {
        model: model.to_owned(),
        system: None,
        messages: vec![Message { role: Role::User, text: "얼마인가?".to_owned() }],
        schema: Some(serde_json::json!({"type": "object"})),
        max_tokens: 100,
        flex,
        timeout: Duration::from_secs(1),
        request_id: String::new(),
        traceparent: None,
    };
    Call::new(&Arc::new(endpoint), &request, false).unwrap()
}

const fn usage(input: i64, cache_read: i64, cache_write: i64, cache_write_hour: i64, output: i64) -> Usage {
    Usage { input, cache_read, cache_write, cache_write_hour, output }
}

/// What is paid, and what it would have been at pace now.
fn costs(model: &str, paid: Paid, usage: Usage, tier: Option<&str>, day: Date) -> (i64, i64) {
    let draft = Draft { usage, tier: tier.map(str::to_owned), ..Draft::default() };
    let call = call(model, paid == Paid::Flex);
    let cost = price(&Asked { day, paid, ..call.asked() }, &draft, &Catalogue::built_in().unwrap().prices);
    (cost.paid.0, cost.list.0)
}

fn nanos(model: &str, flex: bool, usage: Usage, tier: Option<&str>, day: Date) -> i64 {
    let call = call(model, flex);
    let (paid, list) = costs(model, call.asked().paid, usage, tier, day);
    assert!(paid == list || flex, "only flex and batch save");
    paid
}

#[test]
fn costs_by_hand() {
    // A price of $1 per million tokens is 1,000 nano-dollars per token.
    let cases = [
        // 1,000 × 4,000 + 2,000 × 200 + 300 × 5,000 + 400 × 8,000 + 500 × 20,000
        //   = 4,000,000 + 400,000 + 1,500,000 + 3,200,000 + 10,000,000
        ("anthropic/claude-opus-5-5", usage(1000, 2000, 300, 400, 500), TODAY, 19_100_000),
        // The snapshot costs what its model costs: 10 × 1,000 + 10 × 5,000.
        ("anthropic/claude-haiku-4-5-20251001", usage(10, 0, 0, 0, 10), TODAY, 60_000),
        // 100,000 tokens of prompt are still the first tier: 100,000 × 100 + 1 × 500.
        ("anthropic/claude-haiku-5-5", usage(100_000, 0, 0, 0, 1), TODAY, 10_000_500),
        // One more, cached, moves everything to the second: 100,000 × 500 + 1 × 50 + 1 × 2,500.
        ("anthropic/claude-haiku-5-5", usage(100_000, 1, 0, 0, 1), TODAY, 50_002_550),
        // Cache reads of Sonnet 5.5 were cut from $0.20 to $0.10 on 7 October: 1,000 × 200, then 1,000 × 100.
        ("anthropic/claude-sonnet-5-5", usage(0, 1000, 0, 0, 0), date!(2026 - 10 - 06), 200_000),
        ("anthropic/claude-sonnet-5-5", usage(0, 1000, 0, 0, 0), date!(2026 - 10 - 07), 100_000),
        // 1,000 × 2,000 + 500 × 100 + 200 × 2,500 + 100 × 10,000
        ("openai/gpt-6.1-sol", usage(1000, 500, 200, 0, 100), TODAY, 3_550_000),
        // Above 272,000: 272,001 × 4,000 + 10 × 15,000
        ("openai/gpt-6.1-sol", usage(272_001, 0, 0, 0, 10), TODAY, 1_088_154_000),
        // 0.075 dollars per million: 3 × 75 nano-dollars.
        ("openai/gpt-5.4-mini", usage(0, 3, 0, 0, 0), TODAY, 225),
        // 1,000 × 750 + 1,000 × 75 + 200 × 3,750; the promotion ends with the year, then all doubles.
        ("gemini/gemini-3.8-flash", usage(1000, 1000, 0, 0, 200), date!(2026 - 12 - 31), 1_575_000),
        ("gemini/gemini-3.8-flash", usage(1000, 1000, 0, 0, 200), date!(2027 - 01 - 01), 3_150_000),
        // Above 200,000: 200,001 × 2,500 + 10 × 15,000
        ("gemini/gemini-2.5-pro", usage(200_001, 0, 0, 0, 10), TODAY, 500_152_500),
        // 100 × 150 + 10 × 600
        ("mistral/mistral-small-latest", usage(100, 0, 0, 0, 10), TODAY, 21_000),
        // 100 × 300 + 10 × 1,200; cached input without a price of its own costs what input costs: 100 × 300.
        ("deepseek/deepseek-flash", usage(100, 100, 0, 0, 10), TODAY, 72_000),
        // 100 × 150 + 10 × 600
        ("groq/openai/gpt-oss-120b", usage(100, 0, 0, 0, 10), TODAY, 21_000),
        ("together/some/model", usage(1000, 0, 0, 0, 1000), TODAY, 0),
    ];
    for (model, usage, day, expected) in cases {
        assert_eq!(nanos(model, false, usage, None, day), expected, "{model} {usage:?} {day}");
    }
}

#[test]
fn flex_is_half_where_it_was_granted() {
    // 1,000 × 2,000 + 100 × 10,000 = 3,000,000, and half of it.
    let sol = |flex, tier| nanos("openai/gpt-6.1-sol", flex, usage(1000, 0, 0, 0, 100), tier, TODAY);
    assert_eq!(sol(false, None), 3_000_000);
    assert_eq!(sol(true, Some("flex")), 1_500_000);
    assert_eq!(sol(true, Some("default")), 3_000_000, "the provider says that it used the full-price tier");
    // Anthropic has no such tier: 1,000 × 4,000.
    assert_eq!(nanos("anthropic/claude-opus-5-5", true, usage(1000, 0, 0, 0, 0), None, TODAY), 4_000_000);
    // Gemini 2.5 does not halve cached input: 1,000 × 300 / 2 + 1,000 × 30.
    assert_eq!(nanos("gemini/gemini-2.5-flash", true, usage(1000, 1000, 0, 0, 0), None, TODAY), 180_000);
    // 3.5 does: (1,000 × 1,500 + 1,000 × 150) / 2
    assert_eq!(nanos("gemini/gemini-3.5-flash", true, usage(1000, 1000, 0, 0, 0), None, TODAY), 825_000);
}

#[test]
fn a_batch_is_half_and_says_what_it_saved() {
    let batch = |model, usage| costs(model, Paid::Batch, usage, Some("standard"), TODAY);
    // 1,000 × 4,000 + 2,000 × 200 + 300 × 5,000 + 400 × 8,000 + 500 × 20,000 = 19,100,000, and half of it.
    assert_eq!(batch("anthropic/claude-opus-5-5", usage(1000, 2000, 300, 400, 500)), (9_550_000, 19_100_000));
    // 1,000 × 2,000 + 500 × 100 + 200 × 2,500 + 100 × 10,000 = 3,550,000.
    assert_eq!(batch("openai/gpt-6.1-sol", usage(1000, 500, 200, 0, 100)), (1_775_000, 3_550_000));
    // 3 × 75 = 225; half is 112.5, rounded up.
    assert_eq!(batch("openai/gpt-5.4-mini", usage(0, 3, 0, 0, 0)), (113, 225));
    // Gemini 2.5 charges cached input in full: (1,000 × 300 + 100 × 2,500) / 2 + 1,000 × 30; at now 580,000.
    assert_eq!(batch("gemini/gemini-2.5-flash", usage(1000, 1000, 0, 0, 100)), (305_000, 580_000));
    // 3.8 halves it as well: (1,000 × 750 + 1,000 × 75 + 200 × 3,750) / 2.
    assert_eq!(batch("gemini/gemini-3.8-flash", usage(1000, 1000, 0, 0, 200)), (787_500, 1_575_000));
    // A model without a price.
    assert_eq!(batch("openai/gpt-next", usage(1000, 0, 0, 0, 0)), (0, 0));
    // Flex saves as much: 3,000,000 at pace now; what was not granted saves nothing.
    let flex = |tier| costs("openai/gpt-6.1-sol", Paid::Flex, usage(1000, 0, 0, 0, 100), tier, TODAY);
    assert_eq!((flex(Some("flex")), flex(Some("default"))), ((1_500_000, 3_000_000), (3_000_000, 3_000_000)));
}

#[test]
fn a_reported_cost_is_believed_where_the_catalogue_says_so() {
    let cost = |model: &str, dollars| {
        let draft = Draft { dollars: Some(dollars), usage: usage(1000, 0, 0, 0, 0), ..Draft::default() };
        let call = call(model, false);
        let cost = price(&Asked { day: TODAY, ..call.asked() }, &draft, &Catalogue::built_in().unwrap().prices);
        assert_eq!(cost.paid, cost.list);
        cost.paid.0
    };
    assert_eq!(cost("openrouter/meta/llama", 0.000_014), 14_000);
    assert_eq!(cost("openrouter/meta/llama", 1.6e-9), 2, "rounded to nano-dollars");
    assert_eq!(cost("openrouter/meta/llama", 12.25), 12_250_000_000);
    // Nonsense is not believed; Sonar's input is $1 per million: 1,000 × 1,000.
    assert_eq!(cost("perplexity/sonar", -1.0), 1_000_000);
    assert_eq!(cost("perplexity/sonar", f64::NAN), 1_000_000);
    // OpenAI reports none, and would not be asked: 1,000 × 2,000.
    assert_eq!(cost("openai/gpt-6.1-sol", 5.0), 2_000_000);
}

fn judged(text: &str, stop: Option<Stop>) -> Result<Answer, Error> {
    let draft = Draft { text: text.to_owned(), stop, usage: usage(10, 0, 0, 0, 1), ..Draft::default() };
    let call = call("anthropic/claude-opus-5-5", false);
    judge(&call.asked(), draft, Head::default(), &Catalogue::built_in().unwrap().prices)
}

#[test]
fn what_may_be_used_and_what_may_not() {
    let other = |word: &str| Some(Stop::Other(word.to_owned()));
    for (text, stop) in [
        ("전부", Some(Stop::Complete)),
        ("반쪽", Some(Stop::MaxTokens)),
        ("text", other("pause_turn")),
        ("text", other("a reason of next year")),
    ] {
        let answer = judged(text, stop.clone()).unwrap();
        assert_eq!((answer.text.as_str(), Some(answer.stop)), (text, stop));
        assert_eq!(answer.model, "anthropic/claude-opus-5-5");
    }
    let retry = Class::Retry { after: None };
    for (text, stop, class) in [
        ("", Some(Stop::Refused), Class::Fail),
        ("할 수 없습니다", Some(Stop::Refused), Class::Fail),
        ("half", Some(Stop::Filtered), Class::FailOver),
        (" \n", Some(Stop::MaxTokens), Class::FailOver),
        ("", Some(Stop::Complete), retry),
        ("", other("MALFORMED_RESPONSE"), retry),
        ("", None, retry),
        ("half", other("insufficient_system_resource"), retry),
    ] {
        let error = judged(text, stop).unwrap_err();
        assert_eq!(error.class, class, "{error}");
        // 10 × 4,000 + 1 × 20,000: it was billed, whatever it is worth.
        let billed = error.billed.unwrap();
        assert_eq!((billed.nanos.0, billed.text.as_str()), (60_000, text));
    }
}

#[test]
fn data_is_the_json_of_the_text() {
    let data = |text: &str| judged(text, Some(Stop::Complete)).unwrap().data;
    let expected = serde_json::json!({"답": [1, 2]});
    for text in ["{\"답\":[1,2]}", " {\"답\": [1, 2]}\n", "```json\n{\"답\":[1,2]}\n```", "```\n{\"답\":[1,2]}\n```"]
    {
        assert_eq!(data(text).as_ref(), Some(&expected), "{text}");
    }
    assert_eq!(data("답은 {\"답\":[1,2]} 입니다"), None, "the caller asks again");
    assert_eq!(data("{\"답\":[1,"), None);
}
