//! The key, the prompt and a URL's query are in no error and in no debug output.

#![expect(clippy::unwrap_used, reason = "tests stop at the first surprise")]

#[expect(unreachable_pub, dead_code, reason = "each test binary uses its part of the server")]
mod server;

use futures_util::future::join_all;
use providers::{Catalogue, Providers};
use secrecy::SecretString;
use server::{KEY, Server, Step, request, whole};

const PROMPT: &str = "겨울 예약을 늘릴 방법을 보고서로 써줘";

/// Shows everything that can be shown of a failed ask and of who was asked.
async fn shown(server: &Server, model: &str) -> String {
    let providers = server.providers();
    let error = providers.ask(&request(model)).await.unwrap_err();
    let streamed = providers.stream(&request(model)).await.err();
    format!("{error} {error:?} {error:#?} {streamed:?} {providers:?} {:?}", providers.status())
}

#[tokio::test]
async fn nothing_secret_is_shown() {
    let echo = format!(
        r#"{{"error":{{"type":"invalid_request_error","message":"key {KEY} (Bearer {KEY}) at https://x.example/v1?key={KEY} sent: 당신은 애견호텔의 영업 전문가입니다. 겨울; {PROMPT}"}}}}"#
    );
    let replies = [
        whole(400, "", &echo),
        whole(401, "", &echo),
        whole(429, "retry-after: 4000\r\n", &echo),
        whole(200, "content-type: application/json\r\n", &echo),
        whole(302, &format!("location: http://127.0.0.1:9/?key={KEY}\r\n"), &echo),
        vec![Step::Bytes(format!("HTTP/1.1 200 OK\r\nbad header {KEY}\r\n\r\n").into_bytes()), Step::Close],
        vec![Step::Close],
    ];
    let models = ["anthropic/claude-opus-5-5", "openai/gpt-6.1-sol", "gemini/gemini-3.8-flash"];
    let check = async |reply: &Vec<Step>, model: &str| {
        let server = Server::start(std::iter::repeat_n(reply.clone(), 8).collect()).await;
        let shown = shown(&server, model).await;
        assert!(!shown.contains(KEY) && !shown.contains("s3cret"), "{shown}");
        assert!(!shown.contains(PROMPT) && !shown.contains("alt=sse"), "{shown}");
    };
    join_all(replies.iter().flat_map(|reply| models.map(|model| check(reply, model)))).await;
}

#[tokio::test]
async fn an_unreachable_provider_shows_its_host_alone() {
    let vars = |name: &str| match name {
        "GEMINI_API_KEY" => Some(SecretString::from(KEY)),
        "GEMINI_BASE_URL" => Some(SecretString::from("http://127.0.0.1:9/path")),
        _ => None,
    };
    let providers = Providers::new(Catalogue::built_in().unwrap(), &vars, &prometheus::Registry::new()).unwrap();
    let mut request = request("gemini/gemini-3.8-flash");
    request.timeout = std::time::Duration::from_millis(100);
    let error = providers.stream(&request).await.err().unwrap();
    let shown = format!("{error} {error:?} {providers:?}");
    assert!(error.to_string().starts_with("gemini could not be reached at 127.0.0.1:9: "), "{shown}");
    assert!(!shown.contains(KEY) && !shown.contains("alt=sse") && !shown.contains("streamGenerate"), "{shown}");
}
