//! A collector that keeps what it is sent, and takes reports by webhook at any other path. Refuses to forget a span.

use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// One span, in words.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty for the first span of a trace.
    pub(crate) parent: String,
    /// The traces and spans that it links to.
    pub(crate) links: Vec<(String, String)>,
    /// Its attributes and those of its events.
    pub(crate) values: BTreeMap<String, String>,
    pub(crate) nanos: u64,
}

impl Seen {
    pub(crate) fn value(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }
}

/// What was sent so far.
#[derive(Debug, Default)]
struct Kept {
    spans: Vec<Seen>,
    /// The `traceparent` of each report.
    reports: Vec<String>,
}

/// A collector; it ends with its handle.
pub(crate) struct Collector {
    pub(crate) address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
    _listener: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept::default()));
        let mut tasks = JoinSet::new();
        let keeper = Arc::clone(&kept);
        tasks.spawn(async move {
            let mut callers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                callers.spawn(serve(stream, Arc::clone(&keeper)));
            }
        });
        Self { address, kept, _listener: tasks }
    }

    pub(crate) fn spans(&self) -> Vec<Seen> {
        self.kept.lock().unwrap().spans.clone()
    }

    pub(crate) fn reports(&self) -> Vec<String> {
        self.kept.lock().unwrap().reports.clone()
    }
}

/// Serves one connection until its caller hangs up.
async fn serve(stream: TcpStream, kept: Arc<Mutex<Kept>>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await.unwrap_or(0) == 0 {
            return;
        }
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            match line.trim_end().split_once(": ") {
                Some((name, value)) => headers.insert(name.to_ascii_lowercase(), value.to_owned()),
                None => break,
            };
        }
        let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        if first.starts_with("POST /v1/traces ") {
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            kept.lock().unwrap().spans.extend(read(request));
        } else {
            kept.lock().unwrap().reports.push(headers.remove("traceparent").unwrap_or_default());
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut all = Vec::new();
    for of_service in request.resource_spans {
        let resource = values(of_service.resource.iter().flat_map(|resource| &resource.attributes));
        let service = resource.get("service.name").cloned().unwrap();
        let spans = of_service.scope_spans.iter().flat_map(|scope| &scope.spans);
        all.extend(spans.map(|span| seen(&service, span)));
    }
    all
}

fn seen(service: &str, span: &Span) -> Seen {
    let told = span.attributes.iter().chain(span.events.iter().flat_map(|event| &event.attributes));
    Seen {
        service: service.to_owned(),
        name: span.name.clone(),
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        values: values(told),
        nanos: span.end_time_unix_nano.checked_sub(span.start_time_unix_nano).unwrap(),
    }
}

fn values<'a>(pairs: impl Iterator<Item = &'a KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(yes)) => yes.to_string(),
        other => format!("{other:?}"),
    };
    pairs.map(|pair| (pair.key.clone(), text(pair))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
