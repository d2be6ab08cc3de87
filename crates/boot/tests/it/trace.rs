//! One trace across two hops, as a collector sees it.

use crate::specimen::Specimen;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// Takes one export and returns its path and its spans.
async fn collect(listener: &TcpListener) -> (String, Vec<Span>) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if path.is_empty() {
            line.clone_into(&mut path);
        } else if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let spans = request.resource_spans.into_iter().flat_map(|it| it.scope_spans).flat_map(|it| it.spans);
    (path, spans.collect())
}

#[tokio::test]
async fn two_hops_are_one_trace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let vars = [("HABIT", "talkative"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()), ("LOG", "debug")];
    let mut specimen = Specimen::start(&vars).await;
    let line = specimen.until_log("second hop").await;
    assert!(line.contains("\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\""), "{line}");
    specimen.signal("TERM");
    let ((path, spans), (code, log)) = tokio::join!(collect(&listener), specimen.end());
    assert_eq!(code, Some(0), "{log}");
    assert!(path.starts_with("post /v1/traces "), "{path}");
    assert!(log.contains("\"made\":true"), "{log}");
    let find = |name: &str| spans.iter().find(|span| span.name == name).expect("the span was exported");
    let (first, second) = (find("first_hop"), find("second_hop"));
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes();
    assert_eq!((first.trace_id.as_slice(), second.trace_id.as_slice()), (trace.as_slice(), trace.as_slice()));
    assert_eq!(first.parent_span_id, 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes());
    assert_eq!(second.parent_span_id, first.span_id);
    let third = find("third_hop");
    assert_eq!(third.parent_span_id, first.span_id);
    let elsewhere =
        (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c_u128.to_be_bytes(), 0xb7ad_6b71_6920_3331_u64.to_be_bytes());
    let links: Vec<_> = third.links.iter().map(|link| (link.trace_id.clone(), link.span_id.clone())).collect();
    assert_eq!(links, [(elsewhere.0.to_vec(), elsewhere.1.to_vec())]);
    let (whole, part) = (find("whole"), find("part"));
    assert_eq!((whole.trace_id.as_slice(), whole.span_id.as_slice()), (elsewhere.0.as_slice(), elsewhere.1.as_slice()));
    assert_eq!((whole.parent_span_id.len(), whole.links.len()), (0, boot::trace::MOST_LINKS));
    assert!(whole.links.iter().all(|link| link.trace_id == trace && link.span_id == second.span_id));
    assert_eq!((whole.attributes[0].key.as_str(), whole.status.as_ref().unwrap().code), ("items", 2));
    assert!(whole.end_time_unix_nano - whole.start_time_unix_nano >= 7_200_000_000_000, "it began in the past");
    assert_eq!((&part.trace_id, &part.parent_span_id), (&whole.trace_id, &whole.span_id));
    assert!(spans.iter().all(|span| span.name != "unseen"), "what is not sampled is not sent");
}

#[tokio::test]
async fn a_collector_that_is_away_costs_one_line_and_no_wait() {
    let (closed, _held) = testkit::process::closed_address();
    let endpoint = format!("http://{closed}");
    let vars = [("HABIT", "talkative"), ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let mut specimen = Specimen::start(&vars).await;
    specimen.until_log("second hop").await;
    specimen.signal("TERM");
    let (code, log) = specimen.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(log.matches("takes no spans").count(), 1, "{log}");
}

#[tokio::test]
async fn without_a_collector_the_trace_is_passed_on() {
    let mut specimen = Specimen::start(&[("HABIT", "talkative")]).await;
    let line = specimen.until_log("second hop").await;
    assert!(line.contains("\"seen\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\""), "{line}");
    let line = specimen.until_log("third hop").await;
    assert!(line.contains("\"made\":false"), "what only a collector would see is not made: {line}");
    specimen.signal("TERM");
    assert_eq!(specimen.end().await.0, Some(0));
}
