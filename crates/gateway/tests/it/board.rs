//! The board, cancelling and retrying: one wins, and whoever comes second hears who was first.

use crate::server::Server;
use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_claim_wins_and_the_others_hear_who_has_it() {
    let server = Server::start().await;
    let id = server.order("누가 할래요?", None).await;
    let path = format!("/api/tasks/{id}/claim");
    let mut keys = Vec::new();
    for number in 0..8 {
        let name = format!("agent-{number}");
        keys.push((server.key("agent", Some(&name)).await.1, name));
    }
    // Without a body the agent's own name counts.
    let calls = keys.iter().enumerate().map(|(number, (key, name))| {
        let body = if number % 2 == 0 { json!({}) } else { json!({"agent_name": name}) };
        let path = &path;
        let server = &server;
        async move { server.post_as(key, path, &body).await }
    });
    let answers = join_all(calls).await;
    let winners: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == StatusCode::OK).map(|(_, body)| &body["agent"]).collect();
    assert_eq!(winners.len(), 1, "{answers:?}");
    for (status, body) in answers.iter().filter(|(status, _)| *status != StatusCode::OK) {
        assert_eq!((status.as_u16(), &body["code"], &body["by"]), (409, &json!("already_claimed"), winners[0]));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_acts_under_its_own_name_alone() {
    let server = Server::start().await;
    let id = server.order("게시판 일", None).await;
    let (_, claude) = server.key("agent", Some("claude")).await;
    let (_, gemini) = server.key("agent", Some("gemini")).await;
    for verb in ["claim", "complete", "fail", "report"] {
        let body = json!({"agent_name": "claude", "result": "내가 했다"});
        let body = if verb == "claim" { json!({"agent_name": "claude"}) } else { body };
        let (status, problem) = server.post_as(&gemini, &format!("/api/tasks/{id}/{verb}"), &body).await;
        assert_eq!(
            (status.as_u16(), &problem["code"], &problem["agent"]),
            (403, &json!("forbidden"), &json!("gemini"))
        );
    }
    let path = |verb: &str| format!("/api/tasks/{id}/{verb}");
    let (status, problem) = server.post_as(&claude, &path("complete"), &json!({"result": "먼저"})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("not_claimed")));
    assert_eq!(server.post_as(&claude, &path("claim"), &json!({})).await.0, StatusCode::OK);
    let (status, problem) = server.post_as(&gemini, &path("complete"), &json!({"result": "가로채기"})).await;
    assert_eq!((status.as_u16(), &problem["code"], &problem["by"]), (409, &json!("already_claimed"), &json!("claude")));
    let (status, body) = server.post_as(&claude, &path("report"), &json!({"result": "절반쯤 했습니다"})).await;
    assert_eq!((status, &body["progress"]), (StatusCode::OK, &json!("절반쯤 했습니다")));
    assert_eq!(server.get(&path("status")).await["progress"], "절반쯤 했습니다");
    let (status, body) = server.post_as(&claude, &path("complete"), &json!({"result": "# 결과\n\n끝."})).await;
    assert_eq!((status, &body["state"], &body["agent"]), (StatusCode::OK, &json!("completed"), &json!("claude")));
    let again = json!({"agent_name": "claude", "result": "또"});
    for (key, verb) in [(&claude, "complete"), (&server.master, "fail"), (&claude, "report"), (&claude, "claim")] {
        let body = if verb == "claim" { json!({}) } else { again.clone() };
        let (status, problem) = server.post_as(key, &path(verb), &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("already_ended")), "{verb}: {problem}");
        assert_eq!((&problem["by"], &problem["state"]), (&json!("claude"), &json!("completed")), "{verb}");
        assert!(problem["ended_at"].is_string(), "{problem}");
    }
    let markdown =
        server.request(Method::GET, &path("results")).header("accept", "text/markdown").send().await.unwrap();
    assert_eq!(markdown.headers()["content-type"], "text/markdown; charset=utf-8");
    assert_eq!(markdown.text().await.unwrap(), "# 결과\n\n끝.");
    let results = server.get(&path("results")).await;
    assert_eq!((&results["report"], &results["result"]["text"]), (&json!("# 결과\n\n끝."), &json!("# 결과\n\n끝.")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_may_be_any_json_and_has_a_text_always() {
    let server = Server::start().await;
    for (result, text) in [
        (json!("글"), "글".to_owned()),
        (json!({"text": "글", "data": {"수": 1}}), "글".to_owned()),
        (json!({"수": [1, 2]}), "```json\n{\n  \"수\": [\n    1,\n    2\n  ]\n}\n```".to_owned()),
        (json!(42), "```json\n42\n```".to_owned()),
        (json!(false), "```json\nfalse\n```".to_owned()),
    ] {
        let id = server.order("일", None).await;
        server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "a"})).await;
        let body = json!({"agent_name": "a", "result": result});
        assert_eq!(server.post(&format!("/api/tasks/{id}/complete"), &body).await.0, StatusCode::OK, "{result}");
        assert_eq!(server.get(&format!("/api/tasks/{id}/results")).await["report"], json!(text));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_ends_one_counts() {
    let server = Server::start().await;
    let id = server.order("한 번만 끝난다", None).await;
    server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "a"})).await;
    let ends = (0..12).map(|number| {
        let (verb, body) = match number % 3 {
            0 => ("complete", json!({"agent_name": "a", "result": "끝"})),
            1 => ("fail", json!({"agent_name": "a", "reason": "실패"})),
            _ => ("cancel", json!({})),
        };
        let path = format!("/api/tasks/{id}/{verb}");
        let server = &server;
        async move { server.post(&path, &body).await }
    });
    let answers = join_all(ends).await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == StatusCode::OK).count(), 1, "{answers:?}");
    let state = server.get(&format!("/api/tasks/{id}")).await["state"].clone();
    for (status, body) in answers.iter().filter(|(status, _)| *status != StatusCode::OK) {
        assert_eq!((status.as_u16(), &body["code"], &body["state"]), (409, &json!("already_ended"), &state));
    }
    let (all, this) = ("", state.as_str().unwrap());
    let counted = [all, this].map(|state| server.number("chavion_orders_ended_total", state));
    assert!(counted.iter().all(|count| (count - 1.0).abs() < 0.1), "one end is counted: {counted:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_and_retry_move_an_order_there_and_back() {
    let server = Server::start().await;
    let id = server.order("되돌리기", Some("report")).await;
    let path = |verb: &str| format!("/api/tasks/{id}/{verb}");
    let (status, problem) = server.post(&path("retry"), &json!({})).await;
    assert_eq!((status.as_u16(), &problem["code"], &problem["state"]), (409, &json!("not_ended"), &json!("pending")));
    let (status, problem) = server.post(&path("claim"), &json!({"agent_name": "a"})).await;
    assert_eq!((status.as_u16(), &problem["code"], &problem["kind"]), (409, &json!("not_open"), &json!("plan")));
    // No body at all is fine.
    let cancelled = server.request(Method::POST, &path("cancel")).send().await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::OK);
    assert_eq!(cancelled.json::<Value>().await.unwrap()["cancelled"], json!([id]));
    let task = server.get(&format!("/api/tasks/{id}")).await;
    assert_eq!(
        (&task["state"], &task["cause"], &task["reason"]),
        (&json!("cancelled"), &json!("cancelled"), &json!("cancelled by first"))
    );
    let (status, problem) = server.post(&path("cancel"), &json!({})).await;
    assert_eq!((status.as_u16(), &problem["code"]), (409, &json!("already_ended")));
    let retries = join_all((0..6).map(|_| {
        let (server, path) = (&server, path("retry"));
        async move { server.post(&path, &json!({})).await }
    }));
    let answers = retries.await;
    assert_eq!(answers.iter().filter(|(status, _)| *status == StatusCode::OK).count(), 1, "{answers:?}");
    assert!((server.number("chavion_orders_ended_total", "cancelled") - 1.0).abs() < 0.1, "who cancels it counts it");
    assert_eq!(server.get(&path("status")).await["state"], "pending");
    let bus = server.servers.bus();
    bus.declare(&[bus::Topic::new("tasks.plan", "orchestrator")]);
    testkit::until("both beginnings are announced", async || bus.depths().await.unwrap()[0].waiting == 2).await;
    server.stop().await;
}
