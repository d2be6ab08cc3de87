//! Estimates worked out by hand.

use crate::{
    catalogue::Catalogue,
    chat::{Message, Request, Role},
    providers::Providers,
};
use domain::pace::Pace;
use prometheus::Registry;
use secrecy::SecretString;
use std::time::Duration;

fn providers() -> Providers {
    let vars = |name: &str| name.ends_with("_API_KEY").then(|| SecretString::from("k"));
    Providers::new(Catalogue::built_in().unwrap(), &vars, &Registry::new()).unwrap()
}

fn request(model: &str, text: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: None,
        messages: vec![Message { role: Role::User, text: text.to_owned() }],
        schema: None,
        max_tokens: 100,
        flex: false,
        timeout: Duration::from_secs(1),
        request_id: String::new(),
        traceparent: None,
    }
}

fn nanos(model: &str, text: &str, pace: Pace) -> i64 {
    providers().estimate(&request(model, text), pace).0
}

#[test]
fn estimates_by_hand() {
    // 40 tokens go with every request of one turn. Opus 5.5: $4 in, $20 out: 40 × 4,000 + 100 × 20,000.
    assert_eq!(nanos("anthropic/claude-opus-5-5", "", Pace::Now), 2_160_000);
    // 10 Hangul letters are 15 tokens, 7 Latin ones 2, 2 digits 1: 58 × 4,000 + 100 × 20,000.
    let text = "겨울예약을늘릴방법이abcdefg12";
    assert_eq!(nanos("anthropic/claude-opus-5-5", text, Pace::Now), 2_232_000);
    assert_eq!(nanos("anthropic/claude-opus-5-5", text, Pace::Auto), 2_232_000);
    assert_eq!(nanos("anthropic/claude-opus-5-5", text, Pace::Batch), 1_116_000);
    // Anthropic has no flex tier: it would be asked at full price.
    assert_eq!(nanos("anthropic/claude-opus-5-5", text, Pace::Flex), 2_232_000);
    // Sol 6.1 may write all it reads to its cache, at $2.50: 58 × 2,500 + 100 × 10,000, and half of it.
    assert_eq!(nanos("openai/gpt-6.1-sol", text, Pace::Now), 1_145_000);
    assert_eq!(nanos("openai/gpt-6.1-sol", text, Pace::Flex), 572_500);
    assert_eq!(nanos("openai/gpt-6.1-sol", text, Pace::Batch), 572_500);
    // Above 272,000 tokens it costs more: 300,040 × 5,000 + 100 × 15,000.
    assert_eq!(nanos("openai/gpt-6.1-sol", &"가".repeat(200_000), Pace::Now), 1_501_700_000);
    // Nothing is known of these.
    assert_eq!(nanos("openai/gpt-next", text, Pace::Now), 0);
    assert_eq!(nanos("nobody/model", text, Pace::Now), 0);
    assert_eq!(nanos("", text, Pace::Now), 0);
}

#[test]
fn system_schema_and_limit_count() {
    let mut request = request("anthropic/claude-haiku-4-5", "");
    // $1 in, $5 out; it writes 64,000 tokens at most: 40 × 1,000 + 64,000 × 5,000.
    request.max_tokens = 1_000_000;
    assert_eq!(providers().estimate(&request, Pace::Now).0, 320_040_000);
    request.system = Some("가나".to_owned());
    assert_eq!(providers().estimate(&request, Pace::Now).0, 320_043_000, "three tokens more");
    // {"type":"object"}: 10 letters and 7 signs are 267 / 42 of a token, with the three before 393 / 42.
    request.schema = Some(serde_json::json!({"type": "object"}));
    assert_eq!(providers().estimate(&request, Pace::Now).0, 320_050_000, "ten tokens more, rounded up");
}
