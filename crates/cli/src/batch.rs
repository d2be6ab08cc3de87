//! `chavion batch`: ls, show, flush, cancel.

use crate::{
    args::{BatchFilter, BatchVerb},
    client::{Client, Done, done},
    moment::{span, to_come},
    output, table,
    task::uuid,
    tree::{self, word},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// Does what the verb says.
pub(crate) async fn run(client: &Client, verb: &BatchVerb, json: bool) -> Done {
    match verb {
        BatchVerb::Ls(filter) => list(client, filter, json).await,
        BatchVerb::Show { id } => {
            let batch = client.get(&format!("/api/batches/{}", uuid(id)?)).await?;
            output::answer(json, &batch, &described(&batch));
            done()
        }
        BatchVerb::Flush { provider } => {
            let body = provider.as_ref().map_or_else(|| json!({}), |provider| json!({ "provider": provider }));
            let answer = client.post("/api/batches/flush", &body).await?;
            let groups = list_of(&answer, "groups").iter();
            let groups: Vec<String> =
                groups.map(|it| format!("{} of {}", number(it, "items"), word(it, "group"))).collect();
            let said = if groups.is_empty() {
                "nothing waits for a batch".to_owned()
            } else {
                format!("{} asks go at once: {}", number(&answer, "items"), groups.join(", "))
            };
            output::answer(json, &answer, &said);
            done()
        }
        BatchVerb::Cancel { id, then } => {
            let answer = client.post(&format!("/api/batches/{}/cancel", uuid(id)?), &json!({ "then": then })).await?;
            let becomes = match then.as_str() {
                "batch" => "its asks go into another batch",
                "cancel" => "its asks are cancelled",
                _ => "its asks are asked at once, at the full price",
            };
            output::answer(json, &answer, &format!("{id} is being cancelled; {becomes}"));
            done()
        }
    }
}

async fn list(client: &Client, filter: &BatchFilter, json: bool) -> Done {
    let page = client.get(&format!("/api/batches?{}", query(filter))).await?;
    if json {
        output::json(&page);
        return done();
    }
    let now = OffsetDateTime::now_utc();
    let waiting = list_of(&page, "waiting");
    for group in waiting {
        let flush = if group.get("flush") == Some(&true.into()) { ", told not to wait" } else { "" };
        let (items, name) = (number(group, "items"), output::one_line(word(group, "group")));
        output::say(&format!("{items} asks wait to share a batch of {name}{flush}"));
    }
    let batches = list_of(&page, "batches");
    if batches.is_empty() && waiting.is_empty() {
        output::note("no batches");
    }
    let rows: Vec<Vec<String>> = batches.iter().map(|batch| row(batch, now)).collect();
    if !rows.is_empty() {
        output::say(&table::lay_out(&rows));
    }
    let next = word(&page, "next");
    if !next.is_empty() {
        output::note(&format!("more with: {} batch ls --cursor {next}", output::typed()));
    }
    done()
}

fn row(batch: &Value, now: OffsetDateTime) -> Vec<String> {
    let place = if word(batch, "model").is_empty() { word(batch, "provider") } else { word(batch, "model") };
    let mut when = span(number(batch, "age_ms"));
    if let Some(expected) = to_come(batch, "expected_at", now) {
        when = format!("{when}, expected {expected}");
    }
    vec![
        word(batch, "id").to_owned(),
        place.to_owned(),
        word(batch, "state").to_owned(),
        format!("{}/{}", number(batch, "done"), number(batch, "items")),
        when,
        money(batch),
        said(batch),
    ]
}

/// What a batch, a task or an order cost and saved.
pub(crate) fn money(answer: &Value) -> String {
    let usd = |field: &str| answer.pointer(&format!("/{field}/usd")).and_then(Value::as_str).unwrap_or("$0.00");
    format!("cost {}, saved {}", usd("cost"), usd("saved"))
}

/// What people should know of a batch besides.
fn said(batch: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(cancel) = batch.get("cancel").filter(|cancel| cancel.is_object()) {
        parts.push(format!("to be cancelled, then {}", word(cancel, "then")));
    }
    if number(batch, "submission") > 1 {
        parts.push(format!("submitted {} times", number(batch, "submission")));
    }
    let note = word(batch, "note");
    if !note.is_empty() {
        parts.push(note.to_owned());
    }
    parts.join("; ")
}

fn described(batch: &Value) -> String {
    let now = OffsetDateTime::now_utc();
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut fact = |name: &str, value: String| {
        if !value.is_empty() {
            rows.push(vec![name.to_owned(), value]);
        }
    };
    for (name, field) in
        [("id", "id"), ("provider", "provider"), ("model", "model"), ("state", "state"), ("its id there", "remote_id")]
    {
        fact(name, word(batch, field).to_owned());
    }
    fact("there", word(batch, "remote_state").to_owned());
    let counts = batch.get("counts").and_then(Value::as_object).into_iter().flatten();
    let counts: Vec<String> = counts
        .filter(|(_, count)| **count != 0)
        .map(|(state, count)| format!("{count} {}", state.replace('_', " ")))
        .collect();
    fact("asks", format!("{} ({})", number(batch, "items"), counts.join(", ")));
    if number(batch, "abandoned") > 0 {
        fact("not wanted", format!("{} any more: asked faster, or their order has ended", number(batch, "abandoned")));
    }
    fact("age", span(number(batch, "age_ms")));
    fact("expected", to_come(batch, "expected_at", now).unwrap_or_default());
    for (name, field) in
        [("made at", "created_at"), ("submitted", "submitted_at"), ("expires", "expires_at"), ("ended at", "ended_at")]
    {
        fact(name, word(batch, field).to_owned());
    }
    fact(
        "money",
        format!(
            "{} (at pace now {})",
            money(batch),
            batch.pointer("/list_cost/usd").and_then(Value::as_str).unwrap_or_default()
        ),
    );
    fact("note", said(batch));
    let mut text = table::lay_out(&rows);
    let orders = list_of(batch, "orders");
    if !orders.is_empty() {
        let rows: Vec<Vec<String>> = orders
            .iter()
            .map(|order| {
                let asks = format!("{} asks", number(order, "items"));
                vec![
                    word(order, "id").to_owned(),
                    word(order, "state").to_owned(),
                    asks,
                    word(order, "title").to_owned(),
                ]
            })
            .collect();
        text.push_str(&format!("\nOrders ({}):\n{}", number(batch, "orders_total"), table::lay_out(&rows)));
    }
    text
}

/// Says for what a task waits that waits for batches.
pub(crate) fn waits(task: &Value) -> Option<String> {
    let now = OffsetDateTime::now_utc();
    let waits = list_of(task, "batches");
    if waits.is_empty() || !tree::children(task).is_empty() {
        return None;
    }
    let each = waits.iter().map(|wait| {
        let state = if word(wait, "state") == "queued" { "collecting" } else { word(wait, "state") };
        let expected = to_come(wait, "expected_at", now).map(|when| format!(", expected {when}")).unwrap_or_default();
        format!("{}: {state}{expected}", word(wait, "provider"))
    });
    Some(format!("waiting for a batch ({})", each.collect::<Vec<_>>().join("; ")))
}

fn query(filter: &BatchFilter) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &filter.limit.to_string());
    for (name, value) in [("provider", &filter.provider), ("state", &filter.state), ("cursor", &filter.cursor)] {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    if filter.live {
        query.append_pair("live", "true");
    }
    query.finish()
}

/// Reads a list; a missing one is empty.
pub(crate) fn list_of<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    answer.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Reads a number; a missing one is nothing.
pub(crate) fn number(answer: &Value, field: &str) -> i64 {
    answer.get(field).and_then(Value::as_i64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_says_where_it_stands_and_what_it_saves() {
        let batch = json!({
            "id": "b1", "provider": "openai", "model": "openai/gpt", "state": "running", "items": 24, "done": 7,
            "age_ms": 61_000, "submission": 2, "abandoned": 1, "note": "느림",
            "counts": { "submitted": 23, "succeeded": 1, "missing": 0 }, "cancel": { "then": "batch" },
            "cost": { "usd": "$0.01" }, "list_cost": { "usd": "$0.02" }, "saved": { "usd": "$0.01" },
            "orders": [{ "id": "o1", "state": "in_progress", "items": 3, "title": "애견호텔\n겨울" }], "orders_total": 40,
        });
        let now = OffsetDateTime::UNIX_EPOCH;
        let row = row(&batch, now);
        assert_eq!(&row[1..6], ["openai/gpt", "running", "7/24", "1 min 1 s", "cost $0.01, saved $0.01"]);
        let all = described(&batch);
        for part in [
            "24 (23 submitted, 1 succeeded)",
            "to be cancelled, then batch; submitted 2 times; 느림",
            "Orders (40):",
            "애견호텔 겨울",
            "at pace now $0.02",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
    }

    #[test]
    fn a_task_says_for_which_batch_it_waits() {
        let wait = json!([{ "provider": "openai", "state": "queued" }, { "provider": "gemini", "state": "running" }]);
        let task = json!({ "batches": wait });
        assert_eq!(waits(&task).unwrap(), "waiting for a batch (openai: collecting; gemini: running)");
        assert_eq!(waits(&json!({ "batches": wait, "children": [{}] })), None, "its parts say it");
        assert_eq!(waits(&json!({})), None);
    }
}
