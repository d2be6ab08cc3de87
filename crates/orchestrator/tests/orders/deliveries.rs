//! Webhooks: signed, tried again, given up, and never in the way of the report.

use crate::fixture::{Fixture, delivered, step};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use domain::task::{Cause, State};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// One request as it came.
struct Received {
    headers: HashMap<String, String>,
    body: String,
}

/// A receiver that answers every request with one status.
async fn receive(listener: &TcpListener, status: &str) -> Received {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.unwrap();
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers: HashMap<String, String> = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        if body.len() == headers["content-length"].parse::<usize>().unwrap() {
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            return Received { headers, body: body.to_owned() };
        }
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_report_is_delivered_with_a_signature_that_its_receiver_can_check() {
    let fixture = Fixture::start(&[], &[]).await;
    let (listener, url) = listener().await;
    let root = fixture.give(delivered("배달해 줘", "answer", &url)).await;
    let received = receive(&listener, "204 No Content").await;
    let header = |name: &str| received.headers[name].as_str();
    let mut mac = Hmac::<Sha256>::new_from_slice("겨울-비밀".as_bytes()).unwrap();
    mac.update(format!("{}.{}.{}", header("webhook-id"), header("webhook-timestamp"), received.body).as_bytes());
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    assert_eq!(header("webhook-signature"), expected);
    assert!(header("traceparent").contains("0af7651916cd43dd8448eb211c80319c"), "one order is one trace");
    let body: serde_json::Value = serde_json::from_str(&received.body).unwrap();
    assert_eq!(body["task_id"], root.to_string());
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed);
    assert_eq!(body["markdown"], fixture.report(root).await);
    let deliver = step(&tree, "deliver")[0];
    assert_eq!((deliver.state, deliver.id.to_string().as_str()), (State::Completed, header("webhook-id")));
    fixture.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_for_good_does_not_fail_the_order() {
    let fixture = Fixture::start(&[], &[]).await;
    let (listener, url) = listener().await;
    let root = fixture.give(delivered("배달해 줘", "answer", &url)).await;
    receive(&listener, "410 Gone").await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed);
    assert_eq!(step(&tree, "deliver")[0].failure.as_ref().unwrap().cause, Cause::Undelivered);
    fixture.stop().await;
}

#[tokio::test]
async fn a_receiver_that_stumbles_is_tried_again_later() {
    let fixture = Fixture::start(&[], &[]).await;
    let (listener, url) = listener().await;
    let root = fixture.give(delivered("배달해 줘", "answer", &url)).await;
    receive(&listener, "503 Service Unavailable").await;
    testkit::until("the delivery is postponed", || async {
        step(&fixture.tree(root).await, "deliver")[0].state == State::Queued
    })
    .await;
    let status = fixture.store.status(step(&fixture.tree(root).await, "deliver")[0].id).await.unwrap().unwrap();
    assert_eq!(status.progress.as_deref(), Some("the receiver answered 503"));
    assert!(status.not_before.is_some());
    fixture.stop().await;
}

#[tokio::test]
async fn without_a_secret_nothing_is_sent() {
    let fixture = Fixture::start(&[], &[("WEBHOOK_SECRET", "")]).await;
    let (_listener, url) = listener().await;
    let root = fixture.give(delivered("배달해 줘", "answer", &url)).await;
    let tree = fixture.ended(root).await;
    let failure = step(&tree, "deliver")[0].failure.clone().unwrap();
    assert!(failure.reason.contains("WEBHOOK_SECRET"), "{}", failure.reason);
    assert!(!failure.reason.contains(&url), "an address may hold a secret");
    fixture.stop().await;
}
