//! Answers one ask: reads it, lets the scripted fault have its way, drafts, books, writes. Refuses to know the
//! formats: those are in `wire`.

use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};
use time::OffsetDateTime;

use crate::batch::Words;
use crate::body::{self, Pace};
use crate::draft::{self, Draft};
use crate::fault::{Effect, Fault, Point, Subject};
use crate::ledger::Entry;
use crate::problem::Problem;
use crate::seed;
use crate::server::Socket;
use crate::state::State;
use crate::wire::{Ask, Meta, Provider, Wire};

/// The headers under which clients send an id of their own, in the order of preference.
const CLIENT_IDS: [&str; 3] = ["x-client-request-id", "idempotency-key", "x-request-id"];
const ANTHROPIC_LIMITS: [(&str, &str); 4] = [
    ("anthropic-ratelimit-requests-limit", "4000"),
    ("anthropic-ratelimit-requests-remaining", "3999"),
    ("anthropic-ratelimit-tokens-limit", "2000000"),
    ("anthropic-ratelimit-tokens-remaining", "1999000"),
];
const OPENAI_LIMITS: [(&str, &str); 8] = [
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-tokens", "1999000"),
    ("x-ratelimit-reset-tokens", "30ms"),
    ("openai-processing-ms", "1"),
    ("openai-version", "2020-10-01"),
];

/// Why a call is not answered as it was asked.
#[derive(Debug)]
pub(crate) enum Halt {
    /// Something is wrong with it.
    Problem(Problem),
    /// A scripted fault is played instead.
    Fault(Box<Fault>),
}

impl From<Problem> for Halt {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<std::io::Error> for Halt {
    fn from(error: std::io::Error) -> Self {
        Self::Problem(Problem::new(500, format!("Emulated: what was kept cannot be read: {error}")))
    }
}

/// One request on its way to an answer.
pub(crate) struct Call<'a> {
    pub(crate) state: &'a State,
    pub(crate) request: &'a HttpRequest,
    pub(crate) number: u64,
    pub(crate) provider: Provider,
}

impl<'a> Call<'a> {
    pub(crate) fn new(state: &'a State, request: &'a HttpRequest, provider: Provider) -> Self {
        Self { state, request, number: state.number(), provider }
    }

    /// Answers what was read, or says what was wrong with it.
    pub(crate) async fn answer(&self, wire: Wire, read: Result<Ask<'_>, Problem>) -> HttpResponse {
        let ask = match read {
            Ok(ask) => ask,
            Err(problem) => {
                self.state.ledger.refuse(None);
                return self.refuse(&problem);
            }
        };
        let fault = match self.fault(&ask) {
            Ok(fault) => fault,
            Err(problem) => return self.refuse(&problem),
        };
        let fault = fault.as_ref();
        self.wait(fault).await;
        if let Some(fault) = fault {
            let name = Some(fault.effect.name());
            if let Some(problem) = fault.problem(self.provider, ask.stream) {
                self.state.ledger.refuse(name);
                return self.refuse(&problem);
            }
            if fault.effect == Effect::Reset {
                self.state.ledger.refuse(name);
                return self.reset();
            }
        }
        let draft = draft::compose(&ask, &self.state.options, fault);
        self.book(wire, &ask, &draft, fault);
        self.write(wire, &ask, &draft, fault)
    }

    fn fault(&self, ask: &Ask<'_>) -> Result<Option<Fault>, Problem> {
        let header = text(self.request.headers(), "x-emulate");
        let subject = Subject { provider: self.provider.name(), model: &ask.model, texts: ask.texts() };
        self.state
            .faults
            .choose(header, Point::Ask, &subject)
            .map_err(|error| Problem::new(400, format!("emulated fault: {error}")))
    }

    /// Lets a fault of this call have its way: `Err` is what is answered instead. A fault that lets the call be done
    /// first, or that concerns the body, comes back and is played by `close`.
    pub(crate) async fn gate(&self, point: Point, words: &Words<'_>) -> Result<Option<Fault>, Halt> {
        let header = text(self.request.headers(), "x-emulate");
        let subject = Subject { provider: self.provider.name(), model: words.model, texts: words.texts.clone() };
        let fault = self
            .state
            .faults
            .choose(header, point, &subject)
            .map_err(|error| Problem::new(400, format!("emulated fault: {error}")))?;
        let Some(fault) = fault else {
            self.wait(None).await;
            return Ok(None);
        };
        self.state.ledger.played(fault.effect.name());
        if fault.committed {
            return Ok(Some(fault));
        }
        self.wait(Some(&fault)).await;
        if self.is_instead(&fault) { Err(Halt::Fault(Box::new(fault))) } else { Ok(Some(fault)) }
    }

    /// The future of a batch that is about to be made.
    pub(crate) fn fates(&self, words: &Words<'_>) -> Result<Vec<Fault>, Halt> {
        let header = text(self.request.headers(), "x-emulate");
        let subject = Subject { provider: self.provider.name(), model: words.model, texts: words.texts.clone() };
        let fates = self.state.faults.fates(header, &subject);
        fates.map_err(|error| Problem::new(400, format!("emulated fault: {error}")).into())
    }

    /// The answer of a call that was done, or what the fault makes of it.
    pub(crate) async fn close(&self, fault: Option<&Fault>, response: HttpResponse) -> HttpResponse {
        let Some(fault) = fault else { return response };
        if fault.committed {
            self.wait(Some(fault)).await;
        }
        if self.is_instead(fault) { self.instead(fault) } else { response }
    }

    /// Answers a call, or says why not.
    pub(crate) fn end(&self, answer: Result<HttpResponse, Halt>) -> HttpResponse {
        match answer {
            Ok(response) => response,
            Err(Halt::Problem(problem)) => self.refuse(&problem),
            Err(Halt::Fault(fault)) => self.instead(&fault),
        }
    }

    /// Whether a fault is answered instead of the answer.
    fn is_instead(&self, fault: &Fault) -> bool {
        let is_other = matches!(fault.effect, Effect::Reset | Effect::Malformed | Effect::WrongType);
        is_other || fault.problem(self.provider, false).is_some()
    }

    /// What a fault answers instead of the answer.
    fn instead(&self, fault: &Fault) -> HttpResponse {
        match (fault.effect, fault.problem(self.provider, false)) {
            (_, Some(problem)) => self.refuse(&problem),
            (Effect::Malformed, None) => self.malformed(),
            (Effect::WrongType, None) => self.wrong_type(),
            _ => self.reset(),
        }
    }

    fn malformed(&self) -> HttpResponse {
        self.respond(200, "application/json", "{\"emulated\": \"malformed".to_owned())
    }

    fn wrong_type(&self) -> HttpResponse {
        let page = "<!doctype html><title>emulated</title><p>에뮬레이터가 만든 잘못된 형식".to_owned();
        self.respond(200, "text/html; charset=utf-8", page)
    }

    async fn wait(&self, fault: Option<&Fault>) {
        let held = fault.filter(|fault| fault.effect != Effect::SlowBody).map(|fault| fault.wait).unwrap_or_default();
        let wait = self.state.delay(self.number) + held;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
    }

    fn book(&self, wire: Wire, ask: &Ask<'_>, draft: &Draft, fault: Option<&Fault>) {
        let headers = self.request.headers();
        self.state.ledger.book(Entry {
            number: self.number,
            provider: self.provider.name(),
            endpoint: wire.name(),
            model: ask.model.as_ref().into(),
            stream: ask.stream,
            flex: ask.tier.as_deref() == Some("flex"),
            pace: if ask.tier.as_deref() == Some("flex") { "flex" } else { "now" },
            batch_id: None,
            custom_id: None,
            input: draft.usage.input,
            cache_read: draft.usage.cache_read,
            cache_write: draft.usage.cache_write,
            output: draft.usage.output,
            reasoning: draft.usage.reasoning,
            request_id: self.request_id(),
            client_request_id: CLIENT_IDS.iter().find_map(|name| text(headers, name)).map(str::to_owned),
            fault: fault.map(|fault| fault.effect.name()),
            damaged: fault.is_some_and(|fault| fault.damages(ask.stream)),
        });
    }

    fn write(&self, wire: Wire, ask: &Ask<'_>, draft: &Draft, fault: Option<&Fault>) -> HttpResponse {
        let meta = Meta { id: self.answer_id(), created: OffsetDateTime::now_utc().unix_timestamp() };
        let effect = fault.map(|fault| fault.effect);
        match effect {
            Some(Effect::Malformed) => return self.malformed(),
            Some(Effect::WrongType) => return self.wrong_type(),
            _ => {}
        }
        if !ask.stream {
            let body = body::plain(wire.plain(ask, draft, &meta), fault);
            return self.with_body(200, "application/json", body);
        }
        let mut events = wire.events(ask, draft, &meta);
        if let (Some(Effect::ErrorEvent), Some(fault)) = (effect, fault) {
            events.truncate(fault.after);
            events.push(wire.error_event(fault.kind.as_deref()));
        }
        if effect == Some(Effect::UnknownEvent) {
            events.insert(events.len().min(1), wire.unknown_event());
        }
        if wire == Wire::Generate && !self.request.query_string().split('&').any(|pair| pair == "alt=sse") {
            let chunks: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
            return self.respond(200, "application/json", format!("[{}]", chunks.join(",\r\n")));
        }
        let end = match effect {
            Some(Effect::Crlf) => "\r\n",
            Some(Effect::Lf) => "\n",
            _ => wire.line_end(),
        };
        let pace = Pace {
            tokens_per_second: self.state.options.tokens_per_second,
            seed: self.state.options.seed ^ self.number,
        };
        let body = BoxBody::new(body::streamed(&events, end, fault, pace));
        let mut response = self.with_body(200, "text/event-stream; charset=utf-8", body);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    /// The id that the provider's header carries, or Gemini's body.
    fn request_id(&self) -> String {
        match self.provider {
            Provider::Gemini => self.answer_id(),
            _ => format!("req_{}", seed::letters(seed::mix(!self.number), 24)),
        }
    }

    /// The letters in the ids of the answer and its parts.
    fn answer_id(&self) -> String {
        seed::letters(seed::mix(self.state.options.seed ^ self.number), 24)
    }

    /// An error in the provider's own shape.
    pub(crate) fn refuse(&self, problem: &Problem) -> HttpResponse {
        let body = self.provider.error_body(problem, &self.request_id());
        let mut response = self.respond(problem.status, "application/json", body);
        for (name, value) in &problem.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(HeaderName::from_static(name), value);
            }
        }
        response
    }

    /// Resets the connection; what is returned reaches nobody.
    fn reset(&self) -> HttpResponse {
        if let Some(socket) = self.request.conn_data::<Socket>() {
            socket.reset();
        }
        HttpResponse::InternalServerError().finish()
    }

    /// A whole body.
    pub(crate) fn respond(&self, status: u16, content_type: &'static str, body: String) -> HttpResponse {
        self.with_body(status, content_type, BoxBody::new(body))
    }

    pub(crate) fn with_body(&self, status: u16, content_type: &'static str, body: BoxBody) -> HttpResponse {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponse::with_body(status, body);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(HeaderName::from_static("x-chavion-emulated"), HeaderValue::from_static("1"));
        // Gemini names its answers in the body alone.
        let (id, limits): (_, &[(&'static str, &'static str)]) = match self.provider {
            Provider::Anthropic => (Some("request-id"), &ANTHROPIC_LIMITS),
            Provider::OpenAi => (Some("x-request-id"), &OPENAI_LIMITS),
            Provider::Gemini => (None, &[]),
        };
        if let (Some(name), Ok(value)) = (id, HeaderValue::from_str(&self.request_id())) {
            headers.insert(HeaderName::from_static(name), value);
        }
        for (name, value) in limits {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        if self.provider == Provider::Anthropic {
            let reset = crate::server::rfc3339_now();
            for name in ["anthropic-ratelimit-requests-reset", "anthropic-ratelimit-tokens-reset"] {
                headers.insert(HeaderName::from_static(name), reset.clone());
            }
        }
        response
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}
