//! One ask, made ready once and sent as often as needed.
//! Refuses to decide whether it is sent again.

use crate::{
    catalogue::Wire,
    chat::{Answer, Request},
    endpoint::Endpoint,
    error::{Class, Error},
    finish::{self, Asked, Paid},
    http, span,
    wire::{self, Fault, Prompt},
};
use bytes::Bytes;
use domain::money::PriceList;
use reqwest::{
    Client, Response,
    header::{HeaderMap, HeaderValue},
};
use std::{sync::Arc, time::Duration};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout_at};
use tracing::{Instrument as _, Span, field::Empty};
use url::Url;

/// An ask on its way.
pub(crate) struct Call {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) wire: Wire,
    /// The model's name as it is sent.
    pub(crate) model: String,
    pub(crate) flex: bool,
    pub(crate) wants_data: bool,
    pub(crate) timeout: Duration,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// What an answer's headers tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Head {
    pub(crate) emulated: bool,
    pub(crate) request_id: Option<String>,
}

impl Head {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            emulated: text("x-chavion-emulated") == Some("1"),
            request_id: text("request-id").or_else(|| text("x-request-id")).map(str::to_owned),
        }
    }
}

/// A request as one wire writes it.
pub(crate) struct Written {
    pub(crate) wire: Wire,
    /// The model's name as it is sent.
    pub(crate) model: String,
    pub(crate) flex: bool,
    pub(crate) body: Vec<u8>,
}

impl Written {
    /// Writes a request's body for the model that it names, or for the one model of a server elsewhere.
    pub(crate) fn new(endpoint: &Endpoint, request: &Request, stream: bool, flex: bool) -> Result<Self, Error> {
        let provider = &endpoint.provider;
        let refuse = |reason: String| Error::new(Class::Fail, &provider.name, reason);
        let model = endpoint.sent_model(&request.model);
        if model.is_empty() || model.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(refuse(format!("{:?} is not provider/model", request.model)));
        }
        if request.messages.is_empty() {
            return Err(refuse("the request has no message".to_owned()));
        }
        if request.max_tokens == 0 {
            return Err(refuse("max_tokens is 0: the answer would have no room".to_owned()));
        }
        let known = provider.model(model).map(|(_, model)| model);
        let wire = endpoint.wire(model);
        let mut prompt = Prompt::new(request, wire, &endpoint.dialect, model);
        prompt.stream = stream;
        if known.is_some() {
            // A known model keeps its own field behind a gateway, too.
            prompt.limit = provider.dialect.max_tokens;
        }
        prompt.flex = flex && endpoint.has_flex();
        prompt.max_tokens =
            known.and_then(|model| model.max_output).map_or(request.max_tokens, |most| most.min(request.max_tokens));
        let body = prompt.body(wire).map_err(|_| refuse("the request cannot be written as JSON".to_owned()))?;
        Ok(Self { wire, model: model.to_owned(), flex: prompt.flex, body })
    }
}

impl Call {
    /// Writes the request's body and headers.
    pub(crate) fn new(endpoint: &Arc<Endpoint>, request: &Request, stream: bool) -> Result<Self, Error> {
        let written = Written::new(endpoint, request, stream, request.flex)?;
        let mut headers = endpoint.headers.clone();
        for (name, value) in
            [("x-client-request-id", Some(&request.request_id)), ("traceparent", request.traceparent.as_ref())]
        {
            // An id that no header can hold is of no use to anyone: it stays here.
            if let Some(value) =
                value.filter(|value| !value.is_empty()).and_then(|value| HeaderValue::from_str(value).ok())
            {
                headers.insert(name, value);
            }
        }
        Ok(Self {
            wire: written.wire,
            flex: written.flex,
            wants_data: request.schema.is_some(),
            timeout: request.timeout,
            url: endpoint.url(written.wire, &written.model, stream),
            model: written.model,
            headers,
            body: written.body.into(),
            endpoint: Arc::clone(endpoint),
        })
    }

    /// What was asked, as far as it decides what an answer is worth.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            endpoint: &self.endpoint,
            model: Some(&self.model),
            wants_data: self.wants_data,
            paid: if self.flex { Paid::Flex } else { Paid::Now },
            day: OffsetDateTime::now_utc().date(),
        }
    }

    /// Sends the ask and returns the response if its status is a good one.
    pub(crate) async fn send(&self, client: &Client) -> Result<Response, Error> {
        let request = client.post(self.url.clone()).headers(self.headers.clone()).body(self.body.clone());
        let sent = span::passed_on(request).send().await;
        let response = sent.map_err(|error| http::transport(&self.endpoint, &error))?;
        span::answered(response.status().as_u16());
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let said = http::read_error(response).await;
        let mut error = self.classified(Some(status), &headers, &said);
        if let Some(variable) = &self.endpoint.provider.model_variable
            && self.endpoint.is_compatible()
            && self.endpoint.only_model.is_none()
            && error.class == Class::FailOver
        {
            error.reason.push_str(&format!(" (set {variable} to a model that this server has)"));
        }
        Err(error)
    }

    /// Sends the ask once and reads the whole answer, if it is there in time.
    pub(crate) async fn once(&self, client: &Client, prices: &PriceList, deadline: Instant) -> Result<Answer, Error> {
        let whole = async {
            let answer = async { self.read(self.send(client).await?, prices).await };
            let result = timeout_at(deadline, answer).await.unwrap_or_else(|_| Err(self.timed_out()));
            span::asked(&result);
            result
        };
        whole.instrument(self.span()).await
    }

    /// The span of one try, as OpenTelemetry names what asks a model.
    fn span(&self) -> Span {
        tracing::info_span!(
            target: span::TARGET,
            "chat",
            otel.name = %format_args!("chat {}", self.model),
            otel.kind = "client",
            otel.status_code = Empty,
            error.r#type = Empty,
            gen_ai.operation.name = "chat",
            gen_ai.provider.name = self.endpoint.provider.name,
            gen_ai.request.model = self.model,
            gen_ai.response.model = Empty,
            gen_ai.usage.input_tokens = Empty,
            gen_ai.usage.output_tokens = Empty,
            http.request.method = "POST",
            http.response.status_code = Empty,
            server.address = self.endpoint.host(),
        )
    }

    /// Reads a whole answer off a good response.
    pub(crate) async fn read(&self, response: Response, prices: &PriceList) -> Result<Answer, Error> {
        let head = Head::of(response.headers());
        let headers = response.headers().clone();
        let body = http::read(response).await.map_err(|broken| http::broken(&self.endpoint, &broken))?;
        let draft = wire::answer(self.wire, &body).map_err(|fault| self.fault(fault, &headers))?;
        finish::judge(&self.asked(), draft, head, prices)
    }

    /// Turns a fault of the wire into an error.
    pub(crate) fn fault(&self, fault: Fault, headers: &HeaderMap) -> Error {
        let name = &self.endpoint.provider.name;
        let retry = |reason| Error::new(Class::Retry { after: None }, name, reason);
        match fault {
            Fault::Said(said) => self.classified(None, headers, &said),
            Fault::Truncated => retry(format!("the stream of {name} ended before the answer did")),
            Fault::Malformed => retry(format!("{name} answered with something that is no answer of its API")),
        }
    }

    /// The whole timeout has passed.
    pub(crate) fn timed_out(&self) -> Error {
        let name = &self.endpoint.provider.name;
        let reason = format!("{name} did not answer within {:?}", self.timeout);
        Error::new(Class::Retry { after: None }, name, reason)
    }

    fn classified(&self, status: Option<u16>, headers: &HeaderMap, said: &[u8]) -> Error {
        self.endpoint.classified(status, headers, said, &self.body)
    }
}
