//! A batch whose creation was not answered, found again or not.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part")]
mod batches;
#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use batches::{TOKEN, two};
use providers::{Found, JobState};
use serde_json::{Value, json};
use server::{Server, ok, whole};
use std::collections::HashSet;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339, macros::datetime};

const SINCE: OffsetDateTime = datetime!(2026-11-20 12:00:00 UTC);

/// What was found, in a word, and how often the server was asked.
async fn find(
    provider: &str,
    file: Option<&str>,
    except: &[&str],
    script: Vec<Vec<server::Step>>,
) -> (String, Vec<String>) {
    let server = Server::start(script).await;
    let batches = server.providers().batches(provider).unwrap();
    let model = format!("{provider}/m");
    let (spec, _) = two(&batches, &model);
    let except: HashSet<String> = except.iter().map(|id| (*id).to_owned()).collect();
    let found = match batches.find(&spec, file, SINCE, &except).await {
        Ok(Found::Job(job)) => job.id,
        Ok(Found::Perhaps(job)) => format!("perhaps {}", job.id),
        Ok(Found::Absent) => "absent".to_owned(),
        Err(error) => format!("{:?}", error.class),
    };
    let asked = server.seen().iter().map(|seen| seen.head.lines().next().unwrap().to_owned()).collect();
    (found, asked)
}

fn openai(id: &str, minutes: i64, rest: &Value) -> Value {
    let mut batch =
        json!({"id": id, "status": "in_progress", "created_at": (SINCE + Duration::minutes(minutes)).unix_timestamp()});
    batch.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    batch
}

fn page(batches: &[Value], more: bool) -> Vec<server::Step> {
    let last = batches.last().map(|batch| batch["id"].clone());
    ok(&json!({"object": "list", "data": batches, "has_more": more, "last_id": last}))
}

#[tokio::test]
async fn at_openai_by_file_then_by_token() {
    let other = |id: &str, minutes| {
        openai(id, minutes, &json!({"input_file_id": "file-other", "metadata": {"chavion_batch": "other"}}))
    };
    let by_file = openai("batch_f", 1, &json!({"input_file_id": "file-1", "metadata": null}));
    let by_token =
        openai("batch_t", 1, &json!({"input_file_id": "file-2", "metadata": {"chavion_batch": TOKEN, "n": 1}}));
    let first = page(&[other("batch_1", 3), other("batch_2", 2)], true);
    let (found, asked) =
        find("openai", Some("file-1"), &[], vec![first.clone(), page(std::slice::from_ref(&by_file), true)]).await;
    assert_eq!(found, "batch_f");
    assert_eq!(asked, ["GET /v1/batches?limit=100 HTTP/1.1", "GET /v1/batches?limit=100&after=batch_2 HTTP/1.1"]);
    let (found, _) =
        find("openai", None, &[], vec![first.clone(), page(&[by_file.clone(), by_token.clone()], true)]).await;
    assert_eq!(found, "batch_t");
    let script = vec![page(&[by_token], false)];
    assert_eq!(find("openai", Some("file-1"), &["batch_t"], script).await.0, "absent");
    // The list is read until a whole page is too old, skew included: an order is not promised.
    let mixed = page(&[other("batch_3", -60), other("batch_4", -4)], true);
    let old = page(&[other("batch_5", -6), other("batch_6", -60)], true);
    let script = vec![first.clone(), mixed, old, page(&[by_file], false)];
    let (found, asked) = find("openai", Some("file-1"), &[], script).await;
    assert_eq!((found.as_str(), asked.len()), ("absent", 3));
    assert_eq!(find("openai", None, &[], vec![page(&[], false)]).await.0, "absent");
    // A list that does not go on is not read for ever, and one that breaks off says nothing.
    assert_eq!(find("openai", None, &[], vec![first.clone(), first.clone()]).await.0, "absent");
    assert_eq!(find("openai", None, &[], vec![first, whole(401, "", "{}")]).await.0, "Hold");
}

#[tokio::test]
async fn at_gemini_by_name_or_file_through_all_pages() {
    let batch = |id: &str, name: &str, file: &str| {
        json!({"name": format!("batches/{id}"), "metadata": {"displayName": name, "state": "BATCH_STATE_RUNNING", "createTime": "2020-01-01T00:00:00Z",
            "inputConfig": {"fileName": file}}})
    };
    let page = |batches: Vec<Value>, next: &str| ok(&json!({"operations": batches, "nextPageToken": next}));
    let first = page(vec![batch("1", "other", "files/x"), json!({"name": "operations/odd"})], "p 2");
    let (found, asked) =
        find("gemini", Some("files/1"), &[], vec![first.clone(), page(vec![batch("2", "x", "files/1")], "")]).await;
    assert_eq!(found, "batches/2");
    assert_eq!(
        asked,
        ["GET /v1beta/batches?pageSize=100 HTTP/1.1", "GET /v1beta/batches?pageSize=100&pageToken=p+2 HTTP/1.1"]
    );
    let named = vec![first.clone(), page(vec![batch("3", TOKEN, "files/9")], "")];
    assert_eq!(find("gemini", None, &[], named.clone()).await.0, "batches/3");
    assert_eq!(find("gemini", None, &["batches/3"], named).await.0, "absent");
    assert_eq!(find("gemini", None, &[], vec![ok(&json!({}))]).await.0, "absent");
}

fn anthropic(id: &str, seconds: i64, state: &str, items: u32) -> Value {
    let created = (SINCE + Duration::seconds(seconds)).format(&Rfc3339).unwrap();
    let (waiting, done) = if state == "ended" { (0, items) } else { (items, 0) };
    json!({"id": id, "processing_status": state, "created_at": created,
        "request_counts": {"processing": waiting, "succeeded": done, "errored": 0, "canceled": 0, "expired": 0}})
}

#[tokio::test]
async fn at_anthropic_by_time_and_number() {
    let running = |id: &str, seconds| anthropic(id, seconds, "in_progress", 2);
    let one = |batches: &[Value]| vec![page(batches, false)];
    assert_eq!(find("anthropic", None, &[], one(&[running("b1", 1)])).await.0, "perhaps b1");
    assert_eq!(find("anthropic", None, &["b1"], one(&[running("b1", 1)])).await.0, "absent");
    assert_eq!(find("anthropic", None, &[], one(&[anthropic("b1", 1, "in_progress", 3)])).await.0, "absent");
    // The nearest in time, whatever stands first.
    let three = [running("b3", 100), running("b2", 2), running("b1", -30)];
    assert_eq!(find("anthropic", None, &[], one(&three)).await.0, "perhaps b2");
    assert_eq!(find("anthropic", None, &["b2"], one(&three)).await.0, "perhaps b1");
    // Too early, and too late for a request that small.
    let far = [running("b2", 3600), running("b1", -301)];
    let (found, asked) = find("anthropic", None, &[], vec![page(&far, true)]).await;
    assert_eq!((found.as_str(), asked.len()), ("absent", 1), "older ones are not asked for");
    let (found, asked) =
        find("anthropic", None, &[], vec![page(&[running("b9", 4000)], true), page(&[running("b1", 0)], false)]).await;
    assert_eq!(found, "perhaps b1");
    assert_eq!(asked[1], "GET /v1/messages/batches?limit=100&after_id=b9 HTTP/1.1");
}

#[tokio::test]
async fn an_ended_batch_of_anthropic_says_itself_whose_it_is() {
    let line = |token: &str| {
        let line = json!({"custom_id": format!("{token}-000001"), "result": {"type": "canceled"}}).to_string();
        whole(200, "", &format!("{line}\n{line}\n"))
    };
    let list = || {
        page(
            &[anthropic("b3", 1, "ended", 2), anthropic("b2", 2, "ended", 2), anthropic("b1", 3, "canceling", 2)],
            false,
        )
    };
    let (found, asked) = find("anthropic", None, &[], vec![list(), line("somebody-001"), line(TOKEN)]).await;
    assert_eq!(found, "b2");
    assert_eq!(
        asked[1..],
        ["GET /v1/messages/batches/b3/results HTTP/1.1", "GET /v1/messages/batches/b2/results HTTP/1.1"]
    );
    // Another submission of the same batch is another batch.
    let script = vec![list(), line(&format!("{TOKEN}0")), whole(200, "", "")];
    assert_eq!(find("anthropic", None, &[], script).await.0, "perhaps b1");
    // A damaged line says nothing; the next one does.
    let damaged = json!({"custom_id": format!("{TOKEN}-000000"), "result": {"type": "canceled"}}).to_string();
    let script = vec![list(), whole(200, "", &format!("{{\"emulated\": \"mal\n{damaged}\n"))];
    assert_eq!(find("anthropic", None, &[], script).await.0, "b3");
    let found = find("anthropic", None, &[], vec![list(), whole(403, "", "{}")]).await.0;
    assert_eq!(found, "Hold", "what cannot be looked into is not called absent");
    assert!(JobState::Completed.is_terminal());
}
