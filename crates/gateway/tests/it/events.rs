//! Events over server-sent events and WebSocket, and waiting by events.

use crate::server::{Server, told};
use bus::{EVENTS, Entry};
use futures_util::{SinkExt, StreamExt};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use testkit::PATIENCE;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Message, client::IntoClientRequest, protocol::frame::coding::CloseCode},
};
use uuid::Uuid;

/// One message of the stream.
#[derive(Debug, Clone, PartialEq)]
struct Told {
    id: Option<String>,
    event: String,
    data: Value,
}

/// A client of server-sent events.
struct Sse {
    response: Response,
    bytes: Vec<u8>,
}

impl Sse {
    async fn open(server: &Server, query: &str, after: Option<&str>) -> Self {
        let mut request = server.request(Method::GET, &format!("/api/events{query}"));
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        let mut sse = Self { response, bytes: Vec::new() };
        assert_eq!(sse.next().await.unwrap().event, "ready");
        sse
    }

    /// Returns the next message; `None` at the end of the stream.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\n\n") {
                let message = String::from_utf8(self.bytes.drain(..end + 2).collect()).unwrap();
                let field = |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                if let Some(event) = field("event: ") {
                    let data = serde_json::from_str(&field("data: ").unwrap()).unwrap();
                    return Some(Told { id: field("id: "), event, data });
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.expect("a message in time").unwrap()?;
            self.bytes.extend_from_slice(&chunk);
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn socket(server: &Server, query: &str) -> Socket {
    let mut request = format!("ws://{}/ws{query}", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", server.master).parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(heard(&mut socket).await["event"], "ready");
    socket
}

/// Returns the next message that is no ping: the server sends these by the clock.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match timeout(PATIENCE, socket.next()).await.expect("a message in time").unwrap().unwrap() {
            Message::Ping(_) => {}
            other => return other,
        }
    }
}

async fn heard(socket: &mut Socket) -> Value {
    match next(socket).await {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("unexpected {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_transports_tell_the_same() {
    let server = Server::start().await;
    let mut sse = Sse::open(&server, "", None).await;
    let mut socket = socket(&server, "").await;
    let id = server.order("겨울 산책", None).await;
    server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "claude"})).await;
    server.post(&format!("/api/tasks/{id}/report"), &json!({"agent_name": "claude", "result": "반쯤"})).await;
    server.post(&format!("/api/tasks/{id}/complete"), &json!({"agent_name": "claude", "result": "끝"})).await;
    for event in ["task.queued", "task.in_progress", "task.progress", "task.completed"] {
        let told = sse.next().await.unwrap();
        assert_eq!(told.event, event);
        assert_eq!(
            (&told.data["task"], &told.data["root"], &told.data["title"]),
            (&json!(id), &json!(id), &json!("겨울 산책"))
        );
        assert_eq!(heard(&mut socket).await, json!({"id": told.id, "event": event, "data": told.data}));
    }
    assert!((server.number("chavion_gateway_event_clients", "") - 2.0).abs() < 0.5);
    socket.send(Message::Ping("안녕".into())).await.unwrap();
    assert_eq!(next(&mut socket).await, Message::Pong("안녕".into()));
    socket.close(None).await.unwrap();
    drop(sse);
    testkit::until("both have left", async || server.number("chavion_gateway_event_clients", "") < 0.5).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_misses_nothing() {
    let server = Server::start().await;
    let mut sse = Sse::open(&server, "", None).await;
    let first = server.order("첫째", None).await;
    let seen = sse.next().await.unwrap();
    assert_eq!(seen.data["task"], json!(first));
    drop(sse);
    // More than one page is missed.
    let bus = server.servers.bus();
    let missed: Vec<Entry> =
        (0..600).map(|number| Entry::new(first, format!("task.n{}", "abc".repeat(number % 3)), None)).collect();
    bus.publish(&EVENTS, &missed).await.unwrap();
    let last_id = seen.id.as_deref();
    let mut sse = Sse::open(&server, "", last_id).await;
    let mut socket = socket(&server, &format!("?after={}", last_id.unwrap())).await;
    let mut before = seen.id.clone().unwrap().parse::<bus::EventId>().unwrap();
    for entry in &missed {
        let told = sse.next().await.unwrap();
        assert_eq!(told.event, entry.kind);
        assert_eq!(heard(&mut socket).await["event"], told.event.as_str());
        let id = told.id.unwrap().parse().unwrap();
        assert!(id > before, "in order and once");
        before = id;
    }
    let second = server.order("둘째", None).await;
    assert_eq!(sse.next().await.unwrap().data["task"], json!(second));
    assert_eq!(heard(&mut socket).await["data"]["task"], json!(second));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hole_is_told() {
    let server = Server::start().await;
    // An id that the feed does not have any more.
    let mut sse = Sse::open(&server, "", Some("1-1")).await;
    assert_eq!(sse.next().await.unwrap().event, "reset");
    let mut socket = socket(&server, "?after=1-1").await;
    assert_eq!(heard(&mut socket).await["event"], "reset");
    let id = server.order("구멍 다음", None).await;
    assert_eq!(sse.next().await.unwrap().data["task"], json!(id));
    assert_eq!(heard(&mut socket).await["data"]["task"], json!(id));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_keep_to_one_order_or_to_orders() {
    let server = Server::start().await;
    let mut all = Sse::open(&server, "", None).await;
    let other = server.order("다른 일", None).await;
    let wanted = server.order("이 일", None).await;
    // An order is answered before its event is told: a stream that opens in between would still hear of it.
    for id in [other, wanted] {
        assert_eq!(all.next().await.unwrap().data["task"], json!(id));
    }
    let mut one = Sse::open(&server, &format!("?root={wanted}"), None).await;
    let mut roots = Sse::open(&server, "?roots=true", None).await;
    server.post(&format!("/api/tasks/{other}/cancel"), &json!({})).await;
    server.post(&format!("/api/tasks/{wanted}/cancel"), &json!({})).await;
    assert_eq!(roots.next().await.unwrap().data["task"], json!(other));
    for sse in [&mut one, &mut roots] {
        let told = sse.next().await.unwrap();
        assert_eq!((told.event.as_str(), &told.data["task"]), ("task.cancelled", &json!(wanted)));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_ends_with_its_task() {
    let server = Server::start().await;
    let id = server.order("기다림", None).await;
    server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "a"})).await;
    let path = format!("/api/tasks/{id}/status?wait=60");
    let started = Instant::now();
    let waiting = async { futures_util::future::join_all((0..5).map(|_| server.get(&path))).await };
    let ending = async {
        testkit::until("all wait", async || server.number("chavion_gateway_event_clients", "wait") > 4.5).await;
        let body = json!({"agent_name": "a", "result": "끝"});
        assert_eq!(server.post(&format!("/api/tasks/{id}/complete"), &body).await.0, StatusCode::OK);
    };
    let (statuses, ()) = tokio::join!(waiting, ending);
    assert!(statuses.iter().all(|status| status["state"] == "completed"), "{statuses:?}");
    assert!(started.elapsed() < Duration::from_secs(60), "woken, not timed out");
    // What has ended is told at once; what has not, when the time is up.
    assert_eq!(server.get(&path).await["ended"], true);
    let open = server.order("안 끝남", None).await;
    assert_eq!(server.get(&format!("/api/tasks/{open}/status?wait=1")).await["ended"], false);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_with_the_service() {
    let server = Server::start().await;
    let mut sse = Sse::open(&server, "", None).await;
    let mut socket = socket(&server, "").await;
    let id = server.order("안 끝남", None).await;
    let path = format!("/api/tasks/{id}/status?wait=60");
    let request = server.request(Method::GET, &path);
    let mut waiting = Box::pin(async { request.send().await.unwrap().status() });
    tokio::select! {
        _ = &mut waiting => panic!("too early"),
        () = testkit::until("it waits", async || server.number("chavion_gateway_event_clients", "wait") > 0.5) => {}
    }
    assert_eq!(sse.next().await.unwrap().event, "task.queued");
    assert_eq!(heard(&mut socket).await["event"], "task.queued");
    server.ask_to_stop();
    assert_eq!((&mut waiting).await, StatusCode::OK);
    assert_eq!(sse.next().await.unwrap().event, "stopping");
    assert_eq!(sse.next().await, None);
    let last = next(&mut socket).await;
    let Message::Close(Some(frame)) = last else { panic!("{last:?}") };
    assert_eq!(frame.code, CloseCode::Restart);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_bounded_in_number() {
    let server = Server::start_with(&[("EVENT_CLIENTS", "2")]).await;
    let first = Sse::open(&server, "", None).await;
    let _second = Sse::open(&server, "", None).await;
    let response = server.request(Method::GET, "/api/events").send().await.unwrap();
    let (status, body) = told(response).await;
    assert_eq!((status.as_u16(), &body["code"]), (429, &json!("too_many_clients")));
    drop(first);
    testkit::until("there is room again", async || {
        server.request(Method::GET, "/api/events").send().await.unwrap().status() == StatusCode::OK
    })
    .await;
    server.stop().await;
}

/// A task whose events are some 6 kB long.
async fn big_task(server: &Server) -> Uuid {
    let id = server.order("느린 손님", None).await;
    server.post(&format!("/api/tasks/{id}/claim"), &json!({"agent_name": "a"})).await;
    let body = json!({"agent_name": "a", "result": "천".repeat(2000)});
    assert_eq!(server.post(&format!("/api/tasks/{id}/report"), &body).await.0, StatusCode::OK);
    id
}

/// A connection with a small window.
async fn narrow(server: &Server) -> TcpStream {
    let tcp = TcpSocket::new_v4().unwrap();
    tcp.set_recv_buffer_size(65_536).unwrap();
    tcp.connect(server.addr).await.unwrap()
}

/// A WebSocket whose client has a small window and does not read.
async fn lazy_socket(server: &Server) -> WebSocketStream<TcpStream> {
    let stream = narrow(server).await;
    let mut request = format!("ws://{}/ws", server.addr).into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {}", server.master).parse().unwrap());
    tokio_tungstenite::client_async(request, stream).await.unwrap().0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_too_slowly_is_dropped_with_a_reason() {
    let server = Server::start().await;
    let id = big_task(&server).await;
    let mut lazy = lazy_socket(&server).await;
    let mut eager = socket(&server, "").await;
    let bus = server.servers.bus();
    let entries: Vec<Entry> = (0..500).map(|_| Entry::new(id, "task.progress", None)).collect();
    let dropped = async || server.number("chavion_gateway_dropped_clients_total", "websocket") > 0.5;
    let mut sent = 0;
    while !dropped().await {
        assert!(sent < 200_000, "a client that does not read must be dropped");
        bus.publish(&EVENTS, &entries).await.unwrap();
        sent += entries.len();
        for _ in 0..entries.len() {
            assert_eq!(heard(&mut eager).await["data"]["task"], json!(id), "others go on");
        }
    }
    let reason = loop {
        match timeout(PATIENCE, lazy.next()).await.expect("an end in time") {
            Some(Ok(Message::Close(frame))) => break frame.expect("a reason"),
            Some(Ok(_)) => {}
            other => panic!("ended without a reason: {other:?}"),
        }
    };
    assert_eq!(reason.code, CloseCode::Again);
    assert!(reason.reason.contains("too slow"), "{reason:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_read_too_slowly_says_so_and_ends() {
    let server = Server::start().await;
    let id = big_task(&server).await;
    let mut lazy = narrow(&server).await;
    let head = format!("GET /api/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", server.master);
    lazy.write_all(head.as_bytes()).await.unwrap();
    let mut eager = socket(&server, "").await;
    testkit::until("both listen", async || server.number("chavion_gateway_event_clients", "") > 1.5).await;
    let bus = server.servers.bus();
    let entries: Vec<Entry> = (0..500).map(|_| Entry::new(id, "task.progress", None)).collect();
    for _ in 0..8 {
        bus.publish(&EVENTS, &entries).await.unwrap();
        for _ in 0..entries.len() {
            heard(&mut eager).await;
        }
    }
    let mut all = Vec::new();
    while !all.ends_with(b"0\r\n\r\n") {
        let count = timeout(PATIENCE, lazy.read_buf(&mut all)).await.expect("an end in time").unwrap();
        assert!(count > 0, "the stream ends as it should");
    }
    let text = String::from_utf8(all).unwrap();
    let (before, last) = text.split_once("event: too_slow").expect("a last word");
    assert!(!last.contains("\nid: "), "so that the client comes back with the last event it saw");
    let last_id = before.rsplit_once("\nid: ").unwrap().1.split_once('\n').unwrap().0;
    let mut again = Sse::open(&server, "", Some(last_id)).await;
    let next = again.next().await.unwrap();
    assert_eq!(next.event, "task.progress");
    assert!(next.id.unwrap().parse::<bus::EventId>().unwrap() > last_id.parse().unwrap());
    // A client that does not read would hold the stop up for as long as requests may take.
    drop(again);
    server.stop().await;
}
