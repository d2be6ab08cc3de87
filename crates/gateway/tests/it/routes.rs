//! Every route works, answers as OpenAPI says, and nothing else is served.

use crate::server::{PLAYBOOK, Server, told};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use utoipa::OpenApi;

#[test]
fn openapi_lists_exactly_what_is_served() {
    let api: Value = serde_json::from_str(&gateway::Api::openapi().to_json().unwrap()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let served: BTreeSet<_> =
        gateway::served().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned())).collect();
    assert_eq!(described, served);
    // Whoever needs no key is described so, and every refusal is a problem.
    for (method, path, need) in gateway::needs() {
        let operation = &api["paths"][path][method.to_lowercase()];
        assert_eq!(operation["security"] == json!([{}]), need == "none", "{method} {path}");
        assert_eq!(operation["responses"]["401"].is_object(), need != "none", "{method} {path}");
        assert_eq!(operation["responses"]["403"].is_object(), ["agent", "master"].contains(&need), "{method} {path}");
        assert!(operation["summary"].is_string(), "{method} {path}");
    }
    assert_eq!(api["components"]["securitySchemes"]["bearer"]["scheme"], "bearer");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_served_takes_its_methods_and_no_other() {
    let server = Server::start().await;
    let mut paths: Vec<&str> = gateway::served().into_iter().map(|(_, path)| path).collect();
    paths.dedup();
    for path in paths {
        let taken: Vec<&str> =
            gateway::served().into_iter().filter(|(_, served)| *served == path).map(|(method, _)| method).collect();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let address = path.replace("{id}", "0").replace("{file}", "none");
            let request = server.client.request(Method::from_bytes(method.as_bytes()).unwrap(), server.url(&address));
            let status = request.send().await.unwrap().status();
            assert_eq!(status == StatusCode::METHOD_NOT_ALLOWED, !taken.contains(&method), "{method} {path}: {status}");
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_is_taken_shown_and_announced() {
    let server = Server::start().await;
    let body = json!({
        "title": "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘",
        "description": "두 쪽이면 됩니다.\n",
        "priority": "high", "playbook": "report", "pace": "auto",
        "deadline": "2099-01-02T03:04:05+09:00",
        "deliver": [{"kind": "webhook", "url": "https://example.org/비밀/경로"}],
        "agents": ["writer"],
    });
    let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = server.request(Method::POST, "/api/tasks").json(&body).header("traceparent", traceparent);
    let response = request.header("x-request-id", "req-1.a:b_c").send().await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "req-1.a:b_c");
    let location = response.headers()["location"].to_str().unwrap().to_owned();
    let (status, told_at_once) = told(response).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = told_at_once["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/tasks/{id}"));
    assert_eq!(told_at_once["deliver"], json!([{"kind": "webhook", "host": "example.org"}]));

    // What was told without reading the row is what the row says, but for the clock.
    let mut read = server.get(&location).await;
    let mut expected = told_at_once.clone();
    for clock in ["created_at", "queued_at"] {
        read.as_object_mut().unwrap().remove(clock);
        expected.as_object_mut().unwrap().remove(clock);
    }
    assert_eq!(read, expected);
    assert_eq!(read["cost"], json!({"nanos": 0, "usd": "$0.00"}));

    let status = server.get(&format!("{location}/status")).await;
    assert_eq!((&status["state"], &status["ended"], &status["total"]), (&json!("pending"), &json!(false), &json!(0)));
    let tree = server.get(&format!("{location}/tree")).await;
    assert_eq!((&tree["id"], &tree["children"]), (&json!(id), &json!([])));
    let results = server.get(&format!("{location}/results")).await;
    assert_eq!((&results["report"], &results["parts"]), (&Value::Null, &json!([])));

    let bus = server.servers.bus();
    bus.declare(&[bus::Topic::new("tasks.plan", "orchestrator")]);
    testkit::until("the order is announced", async || bus.depths().await.unwrap()[0].waiting == 1).await;
    let told = async || bus.range(&bus::EVENTS, bus::EventId::START, 10).await.unwrap().events;
    // The announcement and the event go out side by side, neither waits for the other.
    testkit::until("its event is told", async || !told().await.is_empty()).await;
    let events = told().await;
    assert_eq!(events.len(), 1);
    assert_eq!((events[0].1.kind.as_str(), events[0].1.id.to_string().as_str()), ("task.pending", id));
    assert_eq!(events[0].1.traceparent.as_deref(), Some(traceparent));
    let row = server.store.task(id.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(row.traceparent.as_deref(), Some(traceparent));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_picture_the_agents_and_the_playbooks_are_shown() {
    let server = Server::start().await;
    server.order("게시판의 일", None).await;
    let status = server.get("/api/status").await;
    assert_eq!(status["tasks"], json!([{"kind": "open", "state": "queued", "count": 1}]));
    assert_eq!(status["services"], json!([{"name": "postgres", "up": true}, {"name": "redis", "up": true}]));
    assert_eq!(status["topics"].as_array().unwrap().len(), 6);
    assert_eq!(status["money_today"]["cost"]["usd"], "$0.00");
    assert_eq!(status["emulated"], false);

    let roster = domain::roster::Roster::parse(
        "agents.toml",
        r#"
[[departments]]
name = "marketing"
title = "마케팅"
purpose = "손님을 부른다"
head = "lead"
specialists = ["writer"]
keywords = ["광고"]

[[agents]]
name = "lead"
title = "팀장"
system = "비밀 지시"
models = ["emulator/a"]

[[agents]]
name = "writer"
title = "작가"
system = "비밀 지시"
models = ["emulator/a"]
"#,
    )
    .unwrap();
    server.store.roster_put(&roster).await.unwrap();
    let agents = server.get("/api/agents").await;
    assert_eq!(agents["agents"][0]["name"], "lead");
    assert_eq!(
        agents["agents"][1],
        json!({
            "name": "writer", "title": "작가", "department": "marketing", "role": "specialist", "models": ["emulator/a"],
            "resident": true, "state": "online", "working": 0, "last_seen_at": null,
        })
    );
    assert_eq!(agents["departments"][0]["title"], "마케팅");
    assert!(!agents.to_string().contains("비밀 지시"));

    let put = |source: String| {
        let request = server.request(Method::POST, "/api/playbooks").header("content-type", "application/toml");
        async { told(request.body(source).send().await.unwrap()).await }
    };
    let mine = PLAYBOOK.replace("\"report\"", "\"mine\"");
    for _ in 0..2 {
        let (status, body) = put(mine.clone()).await;
        assert_eq!((status.as_u16(), &body["name"], &body["origin"]), (201, &json!("mine"), &json!("api")), "{body}");
    }
    let (status, body) = put(mine.replace("씁니다", "다시 씁니다")).await;
    assert_eq!(status.as_u16(), 201, "the next version takes the place of the last: {body}");
    let (status, body) = put(PLAYBOOK.replace("씁니다", "다시 씁니다")).await;
    assert_eq!((status.as_u16(), &body["code"]), (409, &json!("name_taken")), "{body}");
    let listed = server.get("/api/playbooks").await;
    let names: Vec<_> = listed["playbooks"].as_array().unwrap().iter().map(|book| &book["name"]).collect();
    assert_eq!(names, ["mine", "report"]);
    server.order("내 방식대로", Some("mine")).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_pages_need_no_key_and_carry_their_headers() {
    let server = Server::start().await;
    let get = |path: &str, accept: &str| server.client.get(server.url(path)).header("accept", accept).send();
    let health = get("/health", "*/*").await.unwrap();
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ] {
        assert_eq!(health.headers()[name], value);
    }
    assert_eq!(health.json::<Value>().await.unwrap()["status"], "ok");
    let head = server.client.head(server.url("/health")).send().await.unwrap();
    assert_eq!((head.status(), head.bytes().await.unwrap().len()), (StatusCode::OK, 0));

    let stream = server.request(Method::HEAD, "/api/events").send().await.unwrap();
    assert_eq!(
        (stream.status(), &stream.headers()["content-type"]),
        (StatusCode::OK, &"text/event-stream; charset=utf-8".parse().unwrap())
    );

    let page = get("/help", "text/markdown").await.unwrap().text().await.unwrap();
    assert!(page.starts_with("# Chavion") && page.contains("한국어 요약"));
    for (method, path) in gateway::served() {
        assert!(page.contains(&format!("`{method} {path}`")), "{method} {path} is on the help page");
    }
    let html = get("/help", "text/html,*/*").await.unwrap();
    assert_eq!(html.headers()["content-type"], "text/html; charset=utf-8");
    assert!(html.text().await.unwrap().contains("<h1>Chavion"));

    let api: Value = get("/api/openapi.json", "*/*").await.unwrap().json().await.unwrap();
    assert_eq!(api["info"]["title"], "Chavion");
    let docs = get("/api/docs", "*/*").await.unwrap();
    assert_eq!((docs.status().as_u16(), &docs.headers()["location"]), (308, &"/api/docs/index.html".parse().unwrap()));
    let index = get("/api/docs/index.html", "*/*").await.unwrap().text().await.unwrap();
    assert!(index.contains("swagger-ui") && !index.contains("https://"), "the page loads nothing from elsewhere");
    let script = get("/api/docs/swagger-initializer.js", "*/*").await.unwrap().text().await.unwrap();
    assert!(script.contains("/api/openapi.json") && !script.contains("petstore"), "{script}");
    for part in ["swagger-ui.css", "swagger-ui-bundle.js", "swagger-ui-standalone-preset.js"] {
        assert_eq!(get(&format!("/api/docs/{part}"), "*/*").await.unwrap().status(), StatusCode::OK, "{part}");
    }
    assert_eq!(get("/api/docs/..%2f..%2fCargo.toml", "*/*").await.unwrap().status(), StatusCode::NOT_FOUND);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_counted_by_route_not_by_address() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.client.get(server.url("/api/tasks/1")).send().await.unwrap();
        server.client.get(server.url("/any/thing")).send().await.unwrap();
    }
    assert!((server.number("chavion_gateway_requests_total", "/api/tasks/{id}") - 3.0).abs() < 0.5);
    assert!((server.number("chavion_gateway_requests_total", "unknown") - 3.0).abs() < 0.5);
    assert!((server.number("chavion_gateway_refused_total", "unauthorized") - 3.0).abs() < 0.5);
    server.stop().await;
}
