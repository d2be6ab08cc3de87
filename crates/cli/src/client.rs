//! HTTP to a gateway: one request, one JSON answer, and troubles as one plain sentence.

use crate::{DONE, REFUSED, UNREACHABLE, args::Place, vars};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// What went wrong, for people and as an exit code.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) code: u8,
    pub(crate) words: String,
    /// The server's problem+json, when it sent one.
    pub(crate) problem: Option<Value>,
}

impl Trouble {
    pub(crate) fn new(code: u8, words: impl Into<String>) -> Self {
        Self { code, words: words.into(), problem: None }
    }
}

pub(crate) type Done = Result<u8, Trouble>;

/// A gateway and the key that opens it.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl Client {
    /// Finds the server and the key.
    pub(crate) fn new(place: &Place) -> Result<Self, Trouble> {
        let file = place.folder().join("key");
        let key = match vars::given("CHAVION_KEY") {
            Some(key) => key,
            None => std::fs::read_to_string(&file).map_err(|error| {
                let words = format!("no key: set CHAVION_KEY, or name the data folder with --data ({}: {error})", file.display());
                Trouble::new(REFUSED, words)
            })?,
        };
        Self::with(place.server(), key.trim().to_owned())
    }

    /// Speaks to a server whose key is known.
    pub(crate) fn with(base: String, key: String) -> Result<Self, Trouble> {
        let http = http()?;
        Ok(Self { http, base, key })
    }

    /// Returns the address of a path, for people.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::GET, path, None).await
    }

    /// Writes; every call has its own idempotency key, so that a lost answer can be asked for again.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Removes.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::DELETE, path, None).await
    }

    /// Opens the stream of an order's events.
    pub(crate) async fn events(&self, root: &str) -> Result<reqwest::Response, Trouble> {
        let request = self.http.get(self.address(&format!("/api/events?root={root}"))).bearer_auth(&self.key);
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let mut request = self.http.request(method, self.address(path)).bearer_auth(&self.key).timeout(Duration::from_secs(90));
        if let Some(body) = body {
            request = request.header("idempotency-key", uuid::Uuid::now_v7().to_string()).json(body);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|error| Trouble::new(UNREACHABLE, format!("{} answered no JSON: {error}", self.base)))
    }

    fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let what = if error.is_timeout() { "did not answer in time" } else { "cannot be reached" };
        Trouble::new(UNREACHABLE, format!("{} {what}; start it with `chavion up`, or name another with --url", self.base))
    }
}

/// Turns a problem+json into a sentence that names every field.
async fn refused(answer: reqwest::Response) -> Trouble {
    let status = answer.status();
    let code = if status.is_server_error() { UNREACHABLE } else { REFUSED };
    let problem: Option<Value> = answer.json().await.ok();
    let word = |name: &str| problem.as_ref().and_then(|problem| problem.get(name)).and_then(Value::as_str);
    let mut words = word("detail").or_else(|| word("title")).map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let fields = problem.as_ref().and_then(|problem| problem.get("errors")).and_then(Value::as_array);
    for field in fields.into_iter().flatten() {
        let part = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        words.push_str(&format!("\n  {}: {}; expected {}", part("field"), part("problem"), part("expected")));
    }
    if code == UNREACHABLE
        && let Some(id) = word("request_id")
    {
        words.push_str(&format!(" (request {id})"));
    }
    Trouble { code, words, problem }
}

/// The code of a verb that went well.
pub(crate) const fn done() -> Done {
    Ok(DONE)
}

/// Builds an HTTP client; without certificates on the machine it still speaks to servers of one's own.
pub(crate) fn http() -> Result<reqwest::Client, Trouble> {
    // Whoever was first has chosen; there is one per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = || reqwest::Client::builder().connect_timeout(Duration::from_secs(5)).tcp_nodelay(true).no_proxy();
    let client = builder().build().or_else(|_| builder().tls_certs_only([]).build());
    client.map_err(|error| Trouble::new(UNREACHABLE, format!("no HTTP client can be made: {error}")))
}
