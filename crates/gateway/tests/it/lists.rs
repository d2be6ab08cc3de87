//! Lists, filters and pages.

use crate::server::{Server, fields, told};
use reqwest::Method;
use serde_json::{Value, json};

fn titles(page: &Value) -> Vec<&str> {
    page["tasks"].as_array().unwrap().iter().map(|task| task["title"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_follow_each_other_while_new_orders_come_in() {
    let server = Server::start().await;
    for number in 0..25 {
        server.order(&format!("주문 {number}"), (number % 2 == 0).then_some("report")).await;
    }
    let mut seen = Vec::new();
    let mut path = "/api/tasks?limit=10".to_owned();
    let mut pages = 0;
    loop {
        let page = server.get(&path).await;
        seen.extend(titles(&page).into_iter().map(str::to_owned));
        pages += 1;
        // What arrives meanwhile is newer and moves nothing.
        server.order("끼어든 주문", None).await;
        match page["next"].as_str() {
            Some(next) => path = format!("/api/tasks?limit=10&cursor={next}"),
            None => break,
        }
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("주문 {number}")).collect();
    assert_eq!((seen, pages), (expected, 3));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_hold_together_and_a_cursor_belongs_to_its_list() {
    let server = Server::start().await;
    for title in ["겨울 예약", "여름 예약", "Winter ROOMS", "겨울 청소"] {
        server.order(title, None).await;
    }
    let planned = server.order("겨울 보고서", Some("report")).await;
    let claimed = server.order("겨울 산책", None).await;
    server.post(&format!("/api/tasks/{claimed}/claim"), &json!({"agent_name": "claude"})).await;
    for (query, expected) in [
        ("q=%EA%B2%A8%EC%9A%B8", vec!["겨울 산책", "겨울 보고서", "겨울 청소", "겨울 예약"]),
        ("q=winter%20rooms", vec!["Winter ROOMS"]),
        ("kind=open&state=queued&q=%EA%B2%A8%EC%9A%B8", vec!["겨울 청소", "겨울 예약"]),
        ("kind=plan", vec!["겨울 보고서"]),
        ("agent=claude", vec!["겨울 산책"]),
        ("state=completed", vec![]),
        ("q=100%25", vec![]),
        ("kind=ask", vec![]),
        ("roots=false&kind=plan", vec!["겨울 보고서"]),
    ] {
        assert_eq!(titles(&server.get(&format!("/api/tasks?{query}")).await), expected, "{query}");
    }
    let page = server.get("/api/tasks?limit=1&kind=open").await;
    let next = page["next"].as_str().unwrap();
    let other = server.request(Method::GET, &format!("/api/tasks?limit=1&cursor={next}")).send().await.unwrap();
    let (status, body) = told(other).await;
    assert_eq!((status.as_u16(), fields(&body)), (422, vec!["cursor"]));
    assert_eq!(titles(&server.get(&format!("/api/tasks?limit=5&kind=open&cursor={next}")).await).len(), 4);
    assert_eq!(server.get(&format!("/api/tasks/{planned}")).await["kind"], "plan");
    server.stop().await;
}
