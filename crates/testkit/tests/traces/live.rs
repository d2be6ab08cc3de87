//! Three orders through the real services: one at pace now, two at pace batch that share a batch.

use crate::{
    collector::{Collector, Seen},
    stack::{Shape, Stack, order},
};
use emulator::Options;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// An ask, a command, and an ask about its output.
const NOW: &str = r#"
name = "traced"
description = "One of everything."

[[step]]
id = "look"
agent = "assistant"
prompt = "{{ order.text }}"

[[step]]
id = "measure"
kind = "command"
needs = ["look"]
script = "echo 겨울 예약 비밀의문장"
timeout = "30s"

[[step]]
id = "last"
needs = ["measure"]
agent = "chief"
prompt = "{{ steps.measure.text }} {{ order.text }}"
"#;
/// Two asks that go into a batch.
const HALF: &str = r#"
name = "halved"
description = "Two at once."

[[step]]
id = "facts"
for_each = "['market-analyst', 'competitor-analyst']"
agent = "{{ item }}"
prompt = "{{ order.text }}"
"#;
/// What no span may hold: a text of the orders.
const SECRET: &str = "비밀의문장";
/// The keys that are at work here: the providers' and the couriers'.
const KEYS: [&str; 2] = ["emulated", "whsec_Y2hhdmlvbi1jaGF2aW9uLWNoYXZpb24="];
/// Whoever gives the orders has a trace, and a span in it.
const TRACES: [&str; 3] =
    ["4bf92f3577b34da6a3ce929d0e0e4736", "1af7651916cd43dd8448eb211c80319c", "2b4c7e9a5d3f41c8b6a09d8e7f605142"];
const CALLER: &str = "00f067aa0ba902b7";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_order_is_one_trace_and_a_batch_is_linked_with_those_of_its_asks() {
    let collector = Collector::open().await;
    let endpoint: &'static str = format!("http://{}", collector.address).leak();
    let variables = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("WEBHOOK_SECRET", KEYS[1]),
        // Nothing goes before the word is given: then all goes together.
        ("BATCH_WINDOW_SECONDS", "3600"),
        ("BATCH_POLL_SECONDS", "0.5"),
    ];
    let shape = Shape {
        emulator: Options { brief: true, batch_time: Duration::from_millis(700), ..Options::default() },
        providers: &["OPENAI"],
        orchestrators: 1,
        pollers: 1,
        variables: variables.leak(),
    };
    let stack = Stack::start(shape, &[("traced.toml", NOW), ("halved.toml", HALF)]).await;
    let mut orders = Vec::new();
    for (trace, playbook, pace) in
        [(TRACES[0], "traced", "now"), (TRACES[1], "halved", "batch"), (TRACES[2], "halved", "batch")]
    {
        orders.push(give(&stack, &collector, (trace, playbook, pace)).await);
    }
    until(&stack, "select count(*) from batch_items where state = 'queued'", 4).await;
    let flush = stack.http.post(format!("http://{}/api/batches/flush", stack.gateway)).bearer_auth(&stack.key);
    assert!(flush.send().await.unwrap().status().is_success());
    until(&stack, "select count(*) from tasks where parent_id is null and state = 'completed'", 3).await;
    until(&stack, "select count(*) from batches where cleaned_at is not null", 1).await;
    let tasks = stack.sql("select root_id, id, kind, pace from tasks where parent_id is not null").await;
    let batches = stack.sql("select id from batches").await;
    let key = stack.key.clone();
    // Whoever stops sends his last spans.
    stack.stop().await;

    let spans = collector.spans();
    let text = spans.iter().map(|span| format!("{span:?}\n")).collect::<String>();
    let tasks: Vec<Task> = tasks.iter().map(|row| Task::of(row)).collect();
    now(&orders[0], &tasks, &spans, &collector.reports());
    for (order, trace) in orders.iter().zip(TRACES) {
        tree(trace, &spans);
        let of_order = tasks.iter().filter(|task| task.root == *order);
        let ids: BTreeSet<&str> = of_order.map(|task| task.id.as_str()).chain([order.as_str()]).collect();
        for span in spans.iter().filter(|span| ids.contains(span.value("task"))) {
            assert_eq!(span.trace, trace, "a span of an order is in the order's trace: {span:?}");
        }
        let whole = only(&spans, |span| span.name == "order" && span.value("task") == order);
        assert_eq!(whole.value("outcome"), "completed");
        let parts = spans.iter().filter(|span| span.trace == trace && span.name != "order" && span.id != CALLER);
        let longest = parts.map(|span| span.nanos);
        assert!(whole.nanos >= longest.max().unwrap(), "nothing takes longer than its order");
    }
    let edge: Vec<&Seen> = spans.iter().filter(|span| span.id == CALLER).collect();
    let [edge] = edge.as_slice() else { panic!("nginx begins one trace: {edge:?}") };
    assert_eq!(
        (edge.trace.as_str(), edge.parent.as_str(), edge.name.as_str()),
        (TRACES[2], "", "nginx POST /api/tasks")
    );
    assert!(edge.nanos >= Duration::from_millis(1500).as_nanos().try_into().unwrap());
    assert_eq!(batches.len(), 1, "they share a batch");
    batch(&batches[0][0].replace('-', ""), &tasks, &orders[1..], &spans);
    for secret in KEYS.iter().copied().chain([SECRET, &key]) {
        let shown = spans.iter().find(|span| span.values.values().any(|value| value.contains(secret)));
        assert!(shown.is_none(), "{secret} is in {shown:?}");
    }
    assert!(!text.contains(SECRET), "nor is it in a name");
}

/// A row of `tasks`.
struct Task {
    root: String,
    id: String,
    kind: String,
    pace: String,
}

impl Task {
    fn of(row: &[String]) -> Self {
        let [root, id, kind, pace] = row else { panic!("{row:?}") };
        Self { root: root.clone(), id: id.clone(), kind: kind.clone(), pace: pace.clone() }
    }
}

/// Gives an order in the name of somebody's trace and returns its id.
async fn give(stack: &Stack, collector: &Collector, (trace, playbook, pace): (&str, &str, &str)) -> String {
    let mut body = order(&format!("겨울 예약을 늘릴 방법 {SECRET}"), playbook);
    body["description"] = format!("경쟁사의 가격과 견주어 주세요. {SECRET}").into();
    body["pace"] = pace.into();
    body["deliver"] = json!([{ "kind": "webhook", "url": format!("http://{}/reports/{SECRET}", collector.address) }]);
    let request = stack.http.post(format!("http://{}/api/tasks", stack.gateway)).bearer_auth(&stack.key);
    let mut request = request.header("traceparent", format!("00-{trace}-{CALLER}-01"));
    if trace == TRACES[2] {
        // As nginx does whose own this trace is.
        let now = time::OffsetDateTime::now_utc().unix_timestamp();
        request = request.header("x-trace-began", format!("{now}.000-1.500"));
    }
    let answer = request.json(&body).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 201);
    let task: Value = answer.json().await.unwrap();
    task["id"].as_str().unwrap().to_owned()
}

async fn until(stack: &Stack, statement: &str, count: i64) {
    testkit::until(statement, || async { stack.count(statement).await == count }).await;
}

/// The spans of the order at pace now, from the gateway down to the provider, the executor and the webhook.
fn now(order: &str, tasks: &[Task], spans: &[Seen], reports: &[String]) {
    let trace = TRACES[0];
    let own: Vec<&Seen> = spans.iter().filter(|span| span.trace == trace).collect();
    let request = only(spans, |span| span.trace == trace && span.parent == CALLER);
    assert_eq!((request.service.as_str(), request.name.as_str()), ("gateway", "POST /api/tasks"));
    assert_eq!((request.value("http.route"), request.value("http.response.status_code")), ("/api/tasks", "201"));
    let services: BTreeSet<&str> = own.iter().map(|span| span.service.as_str()).collect();
    assert_eq!(services, BTreeSet::from(["executor", "gateway", "orchestrator"]));
    let mut kinds = BTreeMap::new();
    for task in tasks.iter().filter(|task| task.root == order) {
        let span = only(spans, |span| span.name == task.kind && span.value("task") == task.id);
        assert_eq!(span.parent, request.id, "a task belongs to the order: {span:?}");
        assert_eq!(span.value("outcome"), "completed", "{span:?}");
        let calls = own.iter().filter(|call| call.parent == span.id).count();
        assert_eq!(calls, usize::from(task.kind != "command"), "asks call a provider, couriers a webhook: {span:?}");
        *kinds.entry(task.kind.as_str()).or_insert(0) += 1;
    }
    assert_eq!(kinds, BTreeMap::from([("ask", 2), ("command", 1), ("deliver", 1)]));
    for call in own.iter().filter(|span| span.name.starts_with("chat ")) {
        assert_eq!((call.value("gen_ai.provider.name"), call.value("http.response.status_code")), ("openai", "200"));
        assert_ne!(call.value("gen_ai.usage.output_tokens"), "", "{call:?}");
    }
    let advances = own.iter().filter(|span| span.name == "advance" && span.parent == request.id).count();
    assert!(advances >= 4, "it is planned, and carried forward after each step: {advances}");
    let webhook = only(spans, |span| span.trace == trace && span.name == "POST webhook");
    let header = format!("00-{trace}-{}-01", webhook.id);
    assert_eq!(reports.iter().filter(|report| **report == header).count(), 1, "{header} of {reports:?}");
}

/// Every span of a trace has a way up to the gateway's request, and from there to whoever called.
fn tree(trace: &str, spans: &[Seen]) {
    let own: HashMap<&str, &Seen> =
        spans.iter().filter(|span| span.trace == trace).map(|span| (&*span.id, span)).collect();
    let roots = own.values().filter(|span| span.parent == CALLER).count();
    assert_eq!(roots, 1, "one span of {trace} comes from outside");
    for span in own.values() {
        assert!(
            span.id == CALLER || span.parent == CALLER || own.contains_key(span.parent.as_str()),
            "its parent is missing: {span:?}"
        );
    }
}

/// The spans of a batch, and those of its asks.
fn batch(trace: &str, tasks: &[Task], orders: &[String], spans: &[Seen]) {
    let own: Vec<&Seen> = spans.iter().filter(|span| span.trace == trace).collect();
    let names: BTreeSet<&str> = own.iter().map(|span| span.name.as_str()).collect();
    let whole = only(spans, |span| span.trace == trace && span.name == "batch");
    assert_eq!((whole.parent.as_str(), whole.value("outcome"), whole.value("batch.items")), ("", "settled", "4"));
    for span in own.iter().filter(|span| span.id != whole.id) {
        assert!(own.iter().any(|parent| parent.id == span.parent), "its parent is missing: {span:?}");
        assert_eq!(span.service, "batch-poller", "{span:?}");
    }
    for name in ["submit", "batch upload", "batch create", "poll", "settle", "batch results", "slice", "clean"] {
        assert!(names.contains(name), "no {name} in {names:?}");
    }
    assert!(!names.contains("batch status"), "a look that saw nothing is not shown");
    let joined = BTreeSet::from([TRACES[1], TRACES[2]]);
    for span in own.iter().filter(|span| ["batch", "submit", "poll", "settle", "slice"].contains(&&*span.name)) {
        let linked: BTreeSet<&str> = span.links.iter().map(|(trace, _)| trace.as_str()).collect();
        assert_eq!(linked, joined, "{span:?}");
    }
    let asks: Vec<&Task> = tasks.iter().filter(|task| orders.contains(&task.root) && task.kind == "ask").collect();
    assert_eq!(asks.len(), 4);
    for task in asks {
        assert_eq!(task.pace, "batch");
        let ask = only(spans, |span| span.name == "batched ask" && span.value("task") == task.id);
        assert_eq!(ask.links, [(trace.to_owned(), whole.id.clone())], "it leads to its batch");
        assert_eq!(ask.value("outcome"), "completed");
        assert_eq!(ask.trace, TRACES[1 + orders.iter().position(|order| *order == task.root).unwrap()]);
        assert!(ask.nanos >= Duration::from_millis(700).as_nanos().try_into().unwrap(), "it was there all that time");
    }
}

fn only(spans: &[Seen], is: impl Fn(&Seen) -> bool) -> &Seen {
    let found: Vec<&Seen> = spans.iter().filter(|span| is(span)).collect();
    let [one] = found.as_slice() else { panic!("one is looked for and these are found: {found:#?} among {spans:#?}") };
    one
}
