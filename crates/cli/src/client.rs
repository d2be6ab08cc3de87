//! HTTP to a gateway: one request, one JSON answer, and troubles as one plain sentence.

use crate::{BAD_CONFIG, DONE, FAILED, INTERRUPTED, REFUSED, UNREACHABLE, args::Place, vars};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::time::Duration;
use url::{Host, Url};

/// How often a call is made again whose answer was lost, or that came at a bad moment.
const TRIES: u32 = 3;
/// The pause before the first of them; each further one is longer by as much.
const PAUSE: Duration = Duration::from_millis(500);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What went wrong, for people and as an exit code.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) code: u8,
    pub(crate) words: String,
    /// The server's problem+json, when it sent one.
    pub(crate) problem: Option<Value>,
    /// Whether the same call may succeed in a moment.
    passing: bool,
}

impl Trouble {
    pub(crate) fn new(code: u8, words: impl Into<String>) -> Self {
        Self { code, words: words.into(), problem: None, passing: false }
    }

    /// Names the kind of trouble for programs.
    pub(crate) const fn word(&self) -> &'static str {
        match self.code {
            FAILED => "failed",
            REFUSED => "refused",
            BAD_CONFIG => "bad_configuration",
            INTERRUPTED => "interrupted",
            _ => "unreachable",
        }
    }
}

pub(crate) type Done = Result<u8, Trouble>;

/// A gateway and the key that opens it.
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    key: SecretString,
}

impl Client {
    /// Finds the server and the key. The key of a data folder that nobody has named goes to this machine alone.
    pub(crate) fn new(place: &Place) -> Result<Self, Trouble> {
        let server = place.server();
        if let Some(key) = vars::given("CHAVION_KEY") {
            return Self::with(server, &key);
        }
        if !place.names_folder() && !is_here(&server) {
            let words = format!("no key for {server}: set CHAVION_KEY, or name a data folder that has it with --data");
            return Err(Trouble::new(REFUSED, words));
        }
        let file = place.folder()?.join("key");
        let key = std::fs::read_to_string(&file).map_err(|error| {
            let file = file.display();
            let words = format!("no key: set CHAVION_KEY, or name the data folder with --data ({file}: {error})");
            Trouble::new(REFUSED, words)
        })?;
        Self::with(server, &key)
    }

    /// Speaks to a server whose key is known.
    pub(crate) fn with(base: String, key: &str) -> Result<Self, Trouble> {
        if !Url::parse(&base).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
            let words = format!("{base:?} is no server's address; expected one such as http://127.0.0.1:5002");
            return Err(Trouble::new(REFUSED, words));
        }
        let key = key.trim();
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Trouble::new(REFUSED, "the key holds letters that no key has; keys look like chv_0123abcd…"));
        }
        Ok(Self { http: http()?, base, key: SecretString::from(key) })
    }

    /// Returns the address of a path, for people.
    pub(crate) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Reads.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.call(Method::GET, path, None).await
    }

    /// Writes; every call has its own idempotency key, so that a lost answer is asked for again without harm.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Removes.
    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Trouble> {
        self.once(self.request(Method::DELETE, path)).await
    }

    /// Opens the stream of an order's events.
    pub(crate) async fn events(&self, root: &str) -> Result<reqwest::Response, Trouble> {
        let request = self.request(Method::GET, &format!("/api/events?root={root}"));
        let answer = request.send().await.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer).await) }
    }

    async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let mark = uuid::Uuid::now_v7().to_string();
        let mut tries = 0;
        loop {
            let mut request = self.request(method.clone(), path);
            if let Some(body) = body {
                request = request.header("idempotency-key", &mark).json(body);
            }
            match self.once(request).await {
                Err(trouble) if trouble.passing && tries < TRIES => {
                    tries += 1;
                    tokio::time::sleep(PAUSE * tries).await;
                }
                answered => return answered,
            }
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.address(path)).bearer_auth(self.key.expose_secret())
    }

    async fn once(&self, request: reqwest::RequestBuilder) -> Result<Value, Trouble> {
        let answer = request.timeout(PATIENCE).send().await.map_err(|error| self.unreachable(&error))?;
        if !answer.status().is_success() {
            return Err(refused(answer).await);
        }
        let text = answer.text().await.map_err(|error| self.unreachable(&error))?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).map_err(|_| {
            Trouble::new(UNREACHABLE, format!("{} answers, but it is no Chavion: its answer is not JSON", self.base))
        })
    }

    fn unreachable(&self, error: &reqwest::Error) -> Trouble {
        let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
        let words = format!("{} {what}; start it with `chavion up`, or name another with --url", self.base);
        let passing = !(error.is_connect() || error.is_timeout() || error.is_builder());
        Trouble { passing, ..Trouble::new(UNREACHABLE, words) }
    }
}

/// Tells whether a server is on this machine.
fn is_here(base: &str) -> bool {
    match Url::parse(base).ok().as_ref().and_then(Url::host) {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

/// Turns a problem+json into a sentence that names every field.
async fn refused(answer: reqwest::Response) -> Trouble {
    let status = answer.status();
    let problem: Option<Value> = answer.json().await.ok().filter(Value::is_object);
    told(status, problem)
}

fn told(status: StatusCode, problem: Option<Value>) -> Trouble {
    let code = if status.is_server_error() { UNREACHABLE } else { REFUSED };
    let word = |name: &str| problem.as_ref().and_then(|problem| problem.get(name)).and_then(Value::as_str);
    let mut words =
        word("detail").or_else(|| word("title")).map_or_else(|| format!("the server answered {status}"), str::to_owned);
    let fields = problem.as_ref().and_then(|problem| problem.get("errors")).and_then(Value::as_array);
    for field in fields.into_iter().flatten() {
        let part = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
        let name = Some(part("field")).filter(|name| !name.is_empty()).unwrap_or("the whole");
        words.push_str(&format!("\n  {name}: {}; expected {}", part("problem"), part("expected")));
    }
    if code == UNREACHABLE
        && let Some(id) = word("request_id")
    {
        words.push_str(&format!(" (request {id})"));
    }
    if status == StatusCode::UNAUTHORIZED {
        words.push_str(" The key is CHAVION_KEY's, or that of the data folder (--data).");
    }
    let passing = status == StatusCode::SERVICE_UNAVAILABLE || word("code") == Some("in_flight");
    Trouble { code, words, problem, passing }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_refusal_names_every_field() {
        let problem = json!({ "title": "Some fields are wrong", "detail": "Wrong: pace, title.", "code": "invalid", "errors": [
            { "field": "pace", "problem": "is \"빨리\"", "expected": "one of now, flex, batch, auto" },
            { "field": "", "problem": "is a list", "expected": "an object" },
        ] });
        let trouble = told(StatusCode::UNPROCESSABLE_ENTITY, Some(problem));
        assert_eq!(trouble.code, REFUSED);
        assert_eq!(
            trouble.words,
            "Wrong: pace, title.\n  pace: is \"빨리\"; expected one of now, flex, batch, auto\n  the whole: is a list; expected an object"
        );
    }

    #[test]
    fn a_failure_of_the_server_is_another_code_and_names_the_request() {
        let trouble = told(StatusCode::SERVICE_UNAVAILABLE, Some(json!({ "detail": "Later.", "request_id": "r-1" })));
        assert_eq!(
            (trouble.code, trouble.words.as_str(), trouble.passing),
            (UNREACHABLE, "Later. (request r-1)", true)
        );
        let trouble = told(StatusCode::BAD_GATEWAY, None);
        assert_eq!((trouble.code, trouble.words.as_str()), (UNREACHABLE, "the server answered 502 Bad Gateway"));
    }

    #[test]
    fn only_this_machine_is_here() {
        for here in ["http://127.0.0.1:5002", "http://localhost", "http://[::1]:1", "http://127.9.9.9"] {
            assert!(is_here(here), "{here}");
        }
        for away in ["http://10.0.0.1:5002", "https://localhost.example.com", "http://127.0.0.1.example.com", "서버"]
        {
            assert!(!is_here(away), "{away}");
        }
    }

    #[test]
    fn what_is_no_address_or_no_key_is_refused_before_it_is_sent() {
        for base in ["서버", "127.0.0.1:5002", "ftp://host", "http://"] {
            assert_eq!(Client::with(base.to_owned(), "chv_1").err().unwrap().code, REFUSED, "{base}");
        }
        let trouble = Client::with("http://127.0.0.1:1".to_owned(), "열쇠").err().unwrap();
        assert!(!trouble.words.contains("열쇠"));
    }
}
