//! Nothing that a stranger or a master sends makes the gateway fail.

use crate::server::Server;
use proptest::{prelude::*, test_runner::TestRunner};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const CASES: u32 = 300;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        ".{0,20}".prop_map(Value::from),
        Just(json!("겨울\u{0}예약")),
        Just(json!("\u{feff}\u{202e}")),
        Just(json!("9999-12-31T23:59:59.999999999+23:59")),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..5).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// An object with the names that are known, and anything as their values.
fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let member = (prop::sample::select(names), any_json()).prop_map(|(name, value)| (name.to_owned(), value));
    prop::collection::vec(member, 0..5).prop_map(|members| members.into_iter().collect::<Value>())
}

fn any_amount() -> impl Strategy<Value = String> {
    prop_oneof!["[-+$]?[0-9]{0,24}(\\.[0-9]{0,12})?(e[0-9])?", "\\PC{0,12}"]
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    const NAMES: &[&str] = &[
        "title",
        "description",
        "priority",
        "playbook",
        "pace",
        "deadline",
        "deliver",
        "agents",
        "agent_name",
        "result",
        "reason",
        "progress",
        "name",
        "role",
        "budget",
        "scope",
        "period",
        "limit",
        "provider",
        "then",
    ];
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        any_json().prop_map(|value| value.to_string().into_bytes()),
        any_fields(NAMES).prop_map(|value| value.to_string().into_bytes()),
        any_json()
            .prop_map(|value| json!({"title": "주문", "agent_name": "a", "result": value}).to_string().into_bytes()),
        (any_json(), any_amount(), prop::sample::select(&["order", "agent", "provider", "all"][..])).prop_map(
            |(name, limit, scope)| json!({"scope": scope, "name": name, "limit": limit}).to_string().into_bytes()
        ),
        any_amount()
            .prop_map(|budget| json!({"title": "주문", "pace": "batch", "budget": budget}).to_string().into_bytes()),
        any_json().prop_map(|value| json!({"title": "주문", "deliver": [value.clone()], "deadline": value})
            .to_string()
            .into_bytes()),
    ]
}

fn any_path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-z]{0,6}",
        "%[0-9a-f]{2}",
        "[!-~]{0,8}",
        Just("..".to_owned()),
        Just("api".to_owned()),
        Just("tasks".to_owned()),
        Just("batches".to_owned()),
        Just("budgets".to_owned()),
        Just("order".to_owned()),
        Just("total".to_owned()),
        Just("blackouts".to_owned()),
    ];
    let query = prop_oneof![
        Just(String::new()),
        "\\?(state|kind|agent|q|limit|cursor|wait|after|root|provider|live|scope)=[!-~]{0,20}",
        "\\?q=(%[0-9a-f]{2}){0,6}",
    ];
    (prop::collection::vec(part, 0..6), query)
        .prop_map(|(parts, query)| format!("/{}{query}", parts.join("/").replace(['?', '#'], "")))
}

#[test]
fn no_input_makes_the_gateway_fail() {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start());
    let id = runtime.block_on(server.order("게시판", None));
    runtime.block_on(server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "a"})));
    let addresses: Vec<String> = gateway::served()
        .into_iter()
        .filter(|(method, _)| *method == "POST")
        .map(|(_, path)| path.replace("{id}", &id.to_string()))
        .collect();
    let types = vec!["application/json", "application/toml", "text/plain", ""];
    let inputs = (prop::sample::select(addresses), any_body(), prop::sample::select(types), "[!-~]{0,30}");
    let mut runner = TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) });
    runner
        .run(&inputs, |(path, body, kind, key)| {
            let mut request = server.request(Method::POST, &path).header("content-type", kind).body(body);
            if !key.is_empty() {
                request = request.header("idempotency-key", key);
            }
            let status = runtime.block_on(request.send()).unwrap().status();
            prop_assert!(!status.is_server_error(), "POST {} gave {}", path, status);
            Ok(())
        })
        .unwrap();
    let paths = (any_path(), prop::sample::select(&["GET", "HEAD", "DELETE", "POST", "PUT"][..]));
    runner
        .run(&paths, |(path, method)| {
            let Ok(url) = reqwest::Url::parse(&server.url(&path)) else { return Ok(()) };
            let request =
                server.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url).bearer_auth(&server.master);
            let status = runtime.block_on(request.send()).unwrap().status();
            prop_assert!(!status.is_server_error(), "{} {} gave {}", method, path, status);
            Ok(())
        })
        .unwrap();
    runtime.block_on(server.stop());
}
