//! Every bad input gets its status, its code and the fields that were wrong.

use crate::server::{Server, fields, told};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

struct Case {
    what: &'static str,
    body: Value,
    status: u16,
    code: &'static str,
    fields: &'static [&'static str],
}

fn case(what: &'static str, body: Value, fields: &'static [&'static str]) -> Case {
    Case { what, body, status: 422, code: "invalid", fields }
}

fn orders() -> Vec<Case> {
    vec![
        case("no title", json!({}), &["title"]),
        case("empty title", json!({"title": "  "}), &["title"]),
        case("a title that is no text", json!({"title": 7}), &["title"]),
        case("a long Korean title", json!({"title": "가".repeat(301)}), &["title"]),
        case("an unknown field", json!({"title": "주문", "colour": "red"}), &["colour"]),
        case("an unknown priority", json!({"title": "주문", "priority": "asap"}), &["priority"]),
        case("a wrong type", json!({"title": "주문", "agents": "writer"}), &["agents"]),
        case("a deadline in the past", json!({"title": "주문", "deadline": "2001-01-01T00:00:00Z"}), &["deadline"]),
        case("a deadline that is no time", json!({"title": "주문", "deadline": "내일"}), &["deadline"]),
        case("an unknown pace", json!({"title": "주문", "pace": "빨리"}), &["pace"]),
        case("a pace that is no word", json!({"title": "주문", "pace": ["batch"]}), &["pace"]),
        case("a budget that is a number", json!({"title": "주문", "budget": 0.5}), &["budget"]),
        case("a budget of zero", json!({"title": "주문", "budget": "0.00"}), &["budget"]),
        case("a budget below zero", json!({"title": "주문", "budget": "-1"}), &["budget"]),
        case("a budget with an exponent", json!({"title": "주문", "budget": "1e3"}), &["budget"]),
        case("a budget that is no number", json!({"title": "주문", "budget": "백 달러"}), &["budget"]),
        case("a budget finer than a nano-dollar", json!({"title": "주문", "budget": "0.0000000001"}), &["budget"]),
        case("a budget beyond all counting", json!({"title": "주문", "budget": "9".repeat(200)}), &["budget"]),
        case("a budget with NUL", json!({"title": "주문", "budget": "1\u{0}"}), &["budget"]),
        case(
            "a bad webhook",
            json!({"title": "주문", "deliver": [{"kind": "webhook", "url": "ftp://x"}]}),
            &["deliver[0].url"],
        ),
        case("NUL", json!({"title": "주\u{0}문", "description": "\u{0}"}), &["title", "description"]),
        case(
            "everything at once",
            json!({"title": "", "priority": 1, "deadline": "x", "pace": "y", "extra": null}),
            &["extra", "title", "priority", "pace", "deadline"],
        ),
        case("a list", json!([]), &[""]),
        case("a text", json!("주문"), &[""]),
        Case {
            what: "an unknown playbook",
            body: json!({"title": "주문", "playbook": "reprot"}),
            status: 422,
            code: "unknown_playbook",
            fields: &["playbook"],
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_orders_are_told_everything_at_once() {
    let server = Server::start().await;
    for case in orders() {
        let (status, body) = server.post("/api/tasks", &case.body).await;
        assert_eq!((status.as_u16(), &body["code"]), (case.status, &json!(case.code)), "{}: {body}", case.what);
        assert_eq!(fields(&body), case.fields, "{}", case.what);
        for wrong in body["errors"].as_array().unwrap() {
            assert!(!wrong["problem"].as_str().unwrap().is_empty() && !wrong["expected"].as_str().unwrap().is_empty());
        }
    }
    let (_, body) = server.post("/api/tasks", &json!({"title": "주문", "playbook": "reprot"})).await;
    assert_eq!(body["known"], json!(["report"]));
    assert!(server.get("/api/tasks").await["tasks"].as_array().unwrap().is_empty(), "nothing was kept");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_bodies_are_told_where() {
    let server = Server::start().await;
    let json_type = "application/json";
    let big = format!(r#"{{"title": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let deep = "[".repeat(200_000);
    let cases: [(&str, &str, Vec<u8>, u16, &str); 12] = [
        ("not JSON", json_type, b"{".to_vec(), 400, "invalid_json"),
        ("two documents", json_type, br#"{"title":"a"} {}"#.to_vec(), 400, "invalid_json"),
        ("empty", json_type, Vec::new(), 400, "invalid_json"),
        ("not UTF-8", json_type, b"{\"title\": \"\xff\"}".to_vec(), 400, "invalid_json"),
        ("half a surrogate", json_type, br#"{"title": "\ud800"}"#.to_vec(), 400, "invalid_json"),
        ("a raw control character", json_type, b"{\"title\": \"a\x01\"}".to_vec(), 400, "invalid_json"),
        ("a huge number", json_type, br#"{"title": "a", "x": 1e999}"#.to_vec(), 400, "invalid_json"),
        ("too deep", json_type, deep.into_bytes(), 400, "invalid_json"),
        ("a 2 MB title", json_type, big.into_bytes(), 413, "too_large"),
        ("a form", "application/x-www-form-urlencoded", b"title=a".to_vec(), 415, "wrong_content_type"),
        ("no type", "", br#"{"title": "a"}"#.to_vec(), 415, "wrong_content_type"),
        (
            "another charset",
            "application/json; charset=euc-kr",
            br#"{"title": "a"}"#.to_vec(),
            415,
            "wrong_content_type",
        ),
    ];
    for (what, kind, body, status, code) in cases {
        let mut request = server.request(Method::POST, "/api/tasks").body(body);
        if !kind.is_empty() {
            request = request.header("content-type", kind);
        }
        let (got, body) = told(request.send().await.unwrap()).await;
        assert_eq!((got.as_u16(), &body["code"]), (status, &json!(code)), "{what}: {body}");
    }
    let request = server.request(Method::POST, "/api/tasks").header("content-type", json_type);
    let (_, body) = told(request.body("{\n  \"제목\" 7\n}").send().await.unwrap()).await;
    assert_eq!((&body["line"], body["detail"].as_str().unwrap().contains("line 2")), (&json!(2), true), "{body}");
    let gzip =
        server.request(Method::POST, "/api/tasks").header("content-type", json_type).header("content-encoding", "gzip");
    assert_eq!(told(gzip.body("x").send().await.unwrap()).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    // The largest that is taken, and JSON by another name.
    let largest = json!({"title": "주문", "description": "가".repeat(100_000)});
    let request =
        server.request(Method::POST, "/api/tasks").header("content-type", "application/vnd.api+json; charset=UTF-8");
    assert_eq!(request.body(largest.to_string()).send().await.unwrap().status(), StatusCode::CREATED);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_length_is_bounded_as_well() {
    let server = Server::start().await;
    let chunks = futures_util::stream::iter((0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 32 * 1024])));
    let request = server.request(Method::POST, "/api/tasks").header("content-type", "application/json");
    let (status, body) = told(request.body(reqwest::Body::wrap_stream(chunks)).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), &body["code"], &body["max_bytes"]), (413, &json!("too_large"), &json!(1_048_576)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses_methods_and_parameters() {
    let server = Server::start().await;
    let id = Uuid::now_v7();
    let cases = [
        ("GET", "/nowhere".to_owned(), 404, "unknown_route", vec![]),
        ("GET", "/api/tasks/".to_owned(), 404, "unknown_route", vec![]),
        ("GET", "/api/%ff%00/<script>".to_owned(), 404, "unknown_route", vec![]),
        ("PUT", "/api/tasks".to_owned(), 405, "method_not_allowed", vec![]),
        ("BREW", "/health".to_owned(), 405, "method_not_allowed", vec![]),
        ("GET", "/api/tasks/7".to_owned(), 404, "not_found", vec![]),
        ("GET", "/api/tasks/%ff".to_owned(), 404, "not_found", vec![]),
        ("GET", format!("/api/tasks/{id}"), 404, "not_found", vec![]),
        ("GET", format!("/api/tasks/{id}/status"), 404, "not_found", vec![]),
        ("GET", format!("/api/tasks/{id}/tree"), 404, "not_found", vec![]),
        ("GET", format!("/api/tasks/{id}/results"), 404, "not_found", vec![]),
        ("POST", format!("/api/tasks/{id}/cancel"), 404, "not_found", vec![]),
        ("POST", format!("/api/tasks/{id}/retry"), 404, "not_found", vec![]),
        ("DELETE", format!("/api/keys/{id}"), 404, "not_found", vec![]),
        ("GET", "/api/tasks?limit=0".to_owned(), 422, "invalid", vec!["limit"]),
        (
            "GET",
            "/api/tasks?limit=x&state=done&kind=job&cursor=abc&q=".to_owned(),
            422,
            "invalid",
            vec!["state", "kind", "q", "limit", "cursor"],
        ),
        ("GET", "/api/tasks?q=%00".to_owned(), 422, "invalid", vec!["q"]),
        ("GET", "/api/tasks?wat=1&q=a&q=b".to_owned(), 422, "invalid", vec!["q", "wat"]),
        ("GET", format!("/api/tasks/{id}/status?wait=61"), 422, "invalid", vec!["wait"]),
        ("GET", format!("/api/tasks/{id}/status?wait=-1"), 422, "invalid", vec!["wait"]),
        (
            "GET",
            "/api/events?after=yesterday&root=1&roots=maybe".to_owned(),
            422,
            "invalid",
            vec!["after", "root", "roots"],
        ),
        ("GET", "/ws?after=x".to_owned(), 422, "invalid", vec!["after"]),
        ("GET", "/ws".to_owned(), 400, "bad_request", vec![]),
        ("GET", format!("/api/batches/{id}"), 404, "not_found", vec![]),
        ("GET", "/api/batches/7".to_owned(), 404, "not_found", vec![]),
        ("GET", "/api/batches/flush".to_owned(), 405, "method_not_allowed", vec![]),
        (
            "GET",
            "/api/batches?state=queued&live=maybe&limit=201&cursor=AAAA&provider=%00&x=1".to_owned(),
            422,
            "invalid",
            vec!["provider", "state", "live", "limit", "cursor", "x"],
        ),
        ("POST", format!("/api/batches/{id}/cancel"), 404, "not_found", vec![]),
        (
            "GET",
            "/api/budgets?scope=me&live=1&limit=0&cursor=%20".to_owned(),
            422,
            "invalid",
            vec!["scope", "live", "limit", "cursor"],
        ),
        ("GET", "/api/budgets/order/x/total".to_owned(), 404, "not_found", vec![]),
        ("GET", "/api/budgets/all/all/week".to_owned(), 404, "not_found", vec![]),
        ("DELETE", "/api/budgets/all/all/day".to_owned(), 404, "not_found", vec![]),
        ("DELETE", "/api/budgets/agent/%00/day".to_owned(), 404, "not_found", vec![]),
        ("DELETE", "/api/budgets/%ff/%ff/%ff".to_owned(), 404, "not_found", vec![]),
        ("POST", "/api/blackouts/openai/end".to_owned(), 404, "not_found", vec![]),
        ("POST", "/api/blackouts/%00/end".to_owned(), 404, "not_found", vec![]),
        ("GET", "/api/blackouts?provider=x".to_owned(), 422, "invalid", vec!["provider"]),
    ];
    for (method, path, status, code, named) in cases {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let response = server.request(method.clone(), &path).send().await.unwrap();
        let allow = response.headers().get("allow").cloned();
        let (got, body) = told(response).await;
        assert_eq!((got.as_u16(), &body["code"]), (status, &json!(code)), "{method} {path}: {body}");
        assert_eq!(fields(&body), named, "{method} {path}");
        assert_eq!(allow.is_some(), status == 405, "{method} {path}");
    }
    let response = server.request(Method::DELETE, "/api/tasks").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, HEAD, POST");
    let late = server.request(Method::GET, "/api/events").header("last-event-id", "gestern").send().await.unwrap();
    assert_eq!(told(late).await.1["code"], "invalid_header");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_words_of_agents_and_about_keys() {
    let server = Server::start().await;
    let id = server.order("게시판 일", None).await;
    let text = "x".repeat(2001);
    let cases = [
        ("claim", json!({}), vec!["agent_name"]),
        ("claim", json!({"agent_name": "Not A Name"}), vec!["agent_name"]),
        ("claim", json!({"agent_name": 5, "more": true}), vec!["agent_name", "more"]),
        ("complete", json!({"agent_name": "a"}), vec!["result"]),
        ("complete", json!({"agent_name": "a", "result": null}), vec!["result"]),
        ("complete", json!({"agent_name": "a", "result": {"깊이": ["\u{0}"]}}), vec!["result.깊이.0"]),
        ("fail", json!({"agent_name": "a", "result": {}}), vec!["result"]),
        ("fail", json!({"agent_name": "a", "reason": text}), vec!["reason"]),
        ("report", json!({"agent_name": "a", "progress": 5}), vec!["progress"]),
        ("cancel", json!({"reason": ""}), vec!["reason"]),
        ("cancel", json!({"why": "x"}), vec!["why"]),
        ("retry", json!({"from": "step"}), vec!["from"]),
    ];
    for (verb, body, named) in cases {
        let (status, problem) = server.post(&format!("/api/tasks/{id}/{verb}"), &body).await;
        assert_eq!((status.as_u16(), &problem["code"]), (422, &json!("invalid")), "{verb} {body}: {problem}");
        assert_eq!(fields(&problem), named, "{verb} {body}");
    }
    for (body, named) in [
        (json!({}), vec!["name", "role"]),
        (json!({"name": "x", "role": "god"}), vec!["role"]),
        (json!({"name": "x", "role": "agent"}), vec!["agent_name"]),
        (json!({"name": "x", "role": "viewer", "agent_name": "a"}), vec!["agent_name"]),
    ] {
        let (status, problem) = server.post("/api/keys", &body).await;
        assert_eq!((status.as_u16(), fields(&problem)), (422, named), "{body}: {problem}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_playbooks_are_told_the_line() {
    let server = Server::start().await;
    let cases = [
        ("name = 7", 1, "invalid_playbook"),
        ("name = \"a\"\ndescription = \"b\"\nunknown = 1\n", 3, "invalid_playbook"),
        ("이것은 TOML이 아니다", 1, "invalid_playbook"),
    ];
    for (source, line, code) in cases {
        let request = server.request(Method::POST, "/api/playbooks").header("content-type", "application/toml");
        let (status, body) = told(request.body(source).send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &body["code"], &body["line"]), (422, &json!(code), &json!(line)), "{body}");
    }
    let source = crate::server::PLAYBOOK.replace("\"report\"", "\"mine\"");
    let request = server.request(Method::POST, "/api/playbooks").header("content-type", "application/toml");
    let (status, body) = told(request.body(source).send().await.unwrap()).await;
    assert_eq!((status.as_u16(), fields(&body)), (422, vec!["step.write"]), "nobody is called writer: {body}");
    let request = server.request(Method::POST, "/api/playbooks").json(&json!({}));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_headers() {
    let server = Server::start().await;
    let body = json!({"title": "주문"});
    let long = "k".repeat(256);
    for key in ["", "with space", long.as_str()] {
        let request = server.request(Method::POST, "/api/tasks").header("idempotency-key", key).json(&body);
        let (status, problem) = told(request.send().await.unwrap()).await;
        assert_eq!((status.as_u16(), &problem["code"]), (400, &json!("invalid_header")), "{key:?}");
        assert_eq!(fields(&problem), ["Idempotency-Key"]);
    }
    let huge = server.request(Method::GET, "/api/tasks").header("x-huge", "x".repeat(300_000)).send().await;
    assert!(huge.is_err() || huge.unwrap().status().is_client_error());
    server.stop().await;
}
