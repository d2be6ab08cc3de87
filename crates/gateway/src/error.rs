//! The one place that knows status codes: what a refused request is told, as problem+json (RFC 9457).
//! Refuses to tell a client the cause of our own failures: those get a request id and go to the log.

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, CONNECTION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde::Serialize;
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt};
use utoipa::ToSchema;

/// The media type of every refusal.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$meta:meta])* $variant:ident = $word:literal, $status:ident, $title:literal;)+) => {
        /// Why a request was refused: a closed list, fit for a metric's label and for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Code { $($(#[$meta])* $variant),+ }

        impl Code {
            /// Every code, in the order of the help page.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the stable spelling.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// Returns the HTTP status.
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status),+ }
            }

            /// Returns the sentence that is the same for every occurrence.
            pub(crate) const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title),+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    InvalidJson = "invalid_json", BAD_REQUEST, "The body is not valid JSON";
    /// A header is malformed.
    InvalidHeader = "invalid_header", BAD_REQUEST, "A header is malformed";
    /// The request is malformed in another way.
    BadRequest = "bad_request", BAD_REQUEST, "The request is malformed";
    /// No key, or one that is not known.
    Unauthorized = "unauthorized", UNAUTHORIZED, "A valid key is needed";
    /// The key's role does not allow the call.
    Forbidden = "forbidden", FORBIDDEN, "The key's role does not allow this";
    /// The thing addressed does not exist.
    NotFound = "not_found", NOT_FOUND, "There is no such thing";
    /// The address is none of ours.
    UnknownRoute = "unknown_route", NOT_FOUND, "There is no such address";
    /// The address does not take the method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "The address does not take this method";
    /// The body came too slowly.
    BodyTimeout = "body_timeout", REQUEST_TIMEOUT, "The body did not arrive in time";
    /// Somebody else has claimed the task.
    AlreadyClaimed = "already_claimed", CONFLICT, "The task is claimed by another agent";
    /// The task, or the batch, has ended.
    AlreadyEnded = "already_ended", CONFLICT, "It has already ended";
    /// The task has not been claimed by the one who acts on it.
    NotClaimed = "not_claimed", CONFLICT, "The task is not claimed";
    /// The task is not one that agents claim on the board.
    NotOpen = "not_open", CONFLICT, "The task is not an open one";
    /// Only a failed or cancelled order can be retried.
    NotEnded = "not_ended", CONFLICT, "Only a failed or cancelled order can be retried";
    /// The name is taken.
    NameTaken = "name_taken", CONFLICT, "The name is taken";
    /// Nobody could make keys any more.
    LastMaster = "last_master", CONFLICT, "The last master key cannot be revoked";
    /// A request with the same idempotency key has not been answered yet.
    InFlight = "in_flight", CONFLICT, "The same request is still being answered";
    /// The body is larger than is read.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE, "The body is too large";
    /// The body's type is not the one that is read.
    WrongContentType = "wrong_content_type", UNSUPPORTED_MEDIA_TYPE, "The body's content type is not taken here";
    /// Fields or parameters are wrong; `errors` names each.
    Invalid = "invalid", UNPROCESSABLE_ENTITY, "Some fields are wrong";
    /// No playbook has that name.
    UnknownPlaybook = "unknown_playbook", UNPROCESSABLE_ENTITY, "There is no such playbook";
    /// The playbook's source is refused.
    InvalidPlaybook = "invalid_playbook", UNPROCESSABLE_ENTITY, "The playbook is refused";
    /// The idempotency key was used for another request.
    KeyReused = "idempotency_key_reused", UNPROCESSABLE_ENTITY, "The idempotency key belongs to another request";
    /// As many streams are open as are allowed.
    TooManyClients = "too_many_clients", TOO_MANY_REQUESTS, "Too many streams are open";
    /// A defect of ours.
    Internal = "internal", INTERNAL_SERVER_ERROR, "Something failed on our side";
    /// A server we need is away.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The service cannot answer now";
}

/// One thing that was wrong, and what would have been right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Wrong {
    /// The field's name, dotted for nested ones; empty for the whole body.
    #[schema(example = "deadline")]
    pub(crate) field: String,
    /// What was wrong with it.
    pub(crate) problem: String,
    /// What would have been right.
    pub(crate) expected: String,
}

impl Wrong {
    /// Names a field, what is wrong with it and what would be right.
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into(), expected: expected.into() }
    }
}

impl From<domain::order::FieldError> for Wrong {
    fn from(error: domain::order::FieldError) -> Self {
        Self::new(error.field, error.problem, error.expected)
    }
}

/// A refusal, before it is known to which request it belongs.
#[derive(Debug)]
pub(crate) struct Problem(Box<Said>);

#[derive(Debug)]
struct Said {
    code: Code,
    detail: Cow<'static, str>,
    errors: Vec<Wrong>,
    facts: Map<String, Value>,
    retry_after: Option<u32>,
    allow: Option<String>,
    cause: Option<anyhow::Error>,
}

impl Problem {
    /// Builds a refusal from its code and what is particular to this occurrence.
    pub(crate) fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Said {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            facts: Map::new(),
            retry_after: None,
            allow: None,
            cause: None,
        }))
    }

    /// Builds the refusal of wrong fields, all at once.
    pub(crate) fn invalid(errors: Vec<Wrong>) -> Self {
        let fields: Vec<&str> =
            errors.iter().map(|wrong| if wrong.field.is_empty() { "the body" } else { wrong.field.as_str() }).collect();
        let detail = format!("Wrong: {}.", fields.join(", "));
        let mut problem = Self::new(Code::Invalid, detail);
        problem.0.errors = errors;
        problem
    }

    /// Builds the refusal of a task id that no row has.
    pub(crate) fn unknown_task(id: uuid::Uuid) -> Self {
        Self::new(Code::NotFound, format!("There is no task {id}."))
    }

    /// Builds the answer to a failure of ours; the cause goes to the log alone.
    pub(crate) fn internal(cause: anyhow::Error) -> Self {
        let detail = "The request id helps its operator to find the reason in the log.";
        let mut problem = Self::new(Code::Internal, detail);
        problem.0.cause = Some(cause);
        problem
    }

    /// Builds the answer while a server that we need is away; the cause goes to the log alone.
    pub(crate) fn unavailable(cause: anyhow::Error) -> Self {
        let detail = "Nothing was lost; ask again in a moment, with the same Idempotency-Key if you sent one.";
        let mut problem = Self::new(Code::Unavailable, detail).with_retry_after(2);
        problem.0.cause = Some(cause);
        problem
    }

    /// Adds a wrong field.
    pub(crate) fn with_error(mut self, wrong: Wrong) -> Self {
        self.0.errors.push(wrong);
        self
    }

    /// Adds a fact for programs, as a member beside the standard ones.
    pub(crate) fn with_fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.facts.insert(name.to_owned(), value.into());
        self
    }

    /// Says after how many seconds to ask again.
    pub(crate) fn with_retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }

    /// Says which methods the address takes.
    pub(crate) fn with_allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }

    /// Returns the code.
    pub(crate) const fn code(&self) -> Code {
        self.0.code
    }

    /// Returns what only the log may say.
    pub(crate) const fn cause(&self) -> Option<&anyhow::Error> {
        self.0.cause.as_ref()
    }

    /// Builds a refusal from a status that was chosen outside our handlers.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let code = match status {
            StatusCode::NOT_FOUND => Code::UnknownRoute,
            StatusCode::METHOD_NOT_ALLOWED => Code::MethodNotAllowed,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::WrongContentType,
            status if status.is_client_error() => Code::BadRequest,
            _ => Code::Internal,
        };
        Self::new(code, status.canonical_reason().unwrap_or("Refused"))
    }

    /// Returns the JSON body as it is sent for one request.
    pub(crate) fn body(&self, request_id: &str) -> Value {
        let mut body = Map::new();
        body.insert("type".to_owned(), format!("/help#{}", self.0.code.as_str()).into());
        body.insert("title".to_owned(), self.0.code.title().into());
        body.insert("status".to_owned(), self.0.code.status().as_u16().into());
        body.insert("detail".to_owned(), self.0.detail.as_ref().into());
        body.insert("code".to_owned(), self.0.code.as_str().into());
        if !self.0.errors.is_empty() {
            let errors = self.0.errors.iter().map(
                |wrong| serde_json::json!({"field": wrong.field, "problem": wrong.problem, "expected": wrong.expected}),
            );
            body.insert("errors".to_owned(), errors.collect());
        }
        body.insert("request_id".to_owned(), request_id.into());
        for (name, value) in &self.0.facts {
            body.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        Value::Object(body)
    }

    /// Returns the response for one request.
    pub(crate) fn response(&self, request_id: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.0.code.status());
        response.content_type(PROBLEM_JSON);
        if self.0.code == Code::Unauthorized {
            response.insert_header((WWW_AUTHENTICATE, r#"Bearer realm="chavion""#));
        }
        if let Some(seconds) = self.0.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        if let Some(allow) = self.0.allow.as_deref().and_then(|allow| HeaderValue::from_str(allow).ok()) {
            response.insert_header((ALLOW, allow));
        }
        if matches!(self.0.code, Code::TooLarge | Code::BodyTimeout) {
            response.insert_header((CONNECTION, "close"));
            response.force_close();
        }
        response.body(self.body(request_id).to_string())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code.as_str(), self.0.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.code.status()
    }

    /// Left empty: `request::around` writes the body, because it knows the request id.
    fn error_response(&self) -> HttpResponse {
        HttpResponse::new(self.0.code.status())
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        if error.is_transient() { Self::unavailable(error.into()) } else { Self::internal(error.into()) }
    }
}

impl From<bus::Error> for Problem {
    fn from(error: bus::Error) -> Self {
        if error.is_transient() { Self::unavailable(error.into()) } else { Self::internal(error.into()) }
    }
}

/// A refusal as clients read it (RFC 9457). Members that depend on the code follow the standard ones.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// The address of the code's explanation.
    #[serde(rename = "type")]
    #[schema(example = "/help#invalid")]
    kind: String,
    /// The code's sentence.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is particular to this occurrence.
    detail: String,
    /// The stable code.
    #[schema(example = "invalid")]
    code: String,
    /// Everything that was wrong, when fields were.
    errors: Option<Vec<Wrong>>,
    /// The id under which the log knows this request.
    request_id: String,
}
