//! Routes and the listening server. Refuses to know what an answer says.

use std::any::Any;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{Extensions, Server};
use actix_web::http::header::HeaderValue;
use actix_web::rt::net::TcpStream;
use actix_web::web::{self, Bytes, Data, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::control;
use crate::problem::Problem;
use crate::routes;
use crate::serve::Call;
use crate::state::State;
use crate::wire::{Provider, Wire, anthropic, gemini, openai};

/// Anthropic's limit for a body, the largest of the three for chat.
const BODY_LIMIT: usize = 32 * 1024 * 1024;

type Body = Result<Bytes, actix_web::Error>;

/// A second handle on a connection's socket, with which it can be reset.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// Sends a reset to the client at once.
    pub(crate) fn reset(&self) {
        // Dissolving the association of a TCP socket resets it; when even that fails, nobody listens any more.
        let _ = rustix::net::connect_unspec(&self.0);
    }
}

/// A server that answers on the listener until it is stopped.
pub(crate) fn run(listener: TcpListener, state: Arc<State>) -> io::Result<Server> {
    let workers = state.options.workers.max(1);
    let data = Data::from(state);
    let server = HttpServer::new(move || {
        App::new().app_data(data.clone()).app_data(PayloadConfig::new(BODY_LIMIT)).configure(all)
    })
    .workers(workers)
    .tcp_nodelay(true)
    .keep_alive(Duration::from_secs(90))
    .client_request_timeout(Duration::ZERO)
    .shutdown_timeout(2)
    .disable_signals()
    .on_connect(keep_socket)
    .listen(listener)?;
    Ok(server.run())
}

fn keep_socket(connection: &dyn Any, data: &mut Extensions) {
    let stream = connection.downcast_ref::<TcpStream>();
    if let Some(Ok(socket)) = stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
        data.insert(Socket(socket));
    }
}

/// All routes.
fn all(config: &mut ServiceConfig) {
    config
        // Anthropic
        .route("/v1/messages", web::post().to(messages))
        .route("/v1/messages/count_tokens", web::post().to(count_messages))
        // OpenAI, also at the paths of servers without /v1
        .route("/v1/chat/completions", web::post().to(chat))
        .route("/chat/completions", web::post().to(chat))
        .route("/v1/responses", web::post().to(responses))
        .route("/responses", web::post().to(responses))
        // All three: told apart by their headers
        .route("/v1/models", web::get().to(models))
        .route("/v1/models/{model}", web::get().to(model))
        .route("/models", web::get().to(models))
        .route("/models/{model}", web::get().to(model))
        // Gemini
        .route("/v1beta/models", web::get().to(gemini_models))
        .route("/v1beta/models/{model}", web::get().to(gemini_model))
        .route("/{version:v1|v1beta}/{kind:models|tunedModels}/{call}", web::post().to(generate))
        .configure(routes::routes)
        .configure(control::routes)
        .default_service(web::to(nothing));
}

fn read(body: &Body) -> Result<&[u8], Problem> {
    body.as_deref().map_err(|_| Problem::new(413, "Emulated: the body is larger than 32 MB or was cut off."))
}

async fn messages(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    let ask =
        anthropic::admit(request.headers()).and_then(|newer| read(&body).and_then(|body| anthropic::read(body, newer)));
    call.answer(Wire::Messages, ask).await
}

async fn count_messages(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    let ask = anthropic::admit(request.headers())
        .and_then(|newer| read(&body).and_then(|body| anthropic::count(body, newer)));
    match ask {
        Ok(ask) => call.respond(200, "application/json", format!(r#"{{"input_tokens":{}}}"#, ask.input_tokens())),
        Err(problem) => call.refuse(&problem),
    }
}

async fn chat(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    let ask = openai::admit(request.headers()).and_then(|()| read(&body).and_then(openai::read_chat));
    call.answer(Wire::Chat, ask).await
}

async fn responses(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    let ask = openai::admit(request.headers()).and_then(|()| read(&body).and_then(openai::read_responses));
    call.answer(Wire::Responses, ask).await
}

async fn generate(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Gemini);
    let target = request.match_info().query("call");
    let (model, method) = target.split_once(':').unwrap_or((target, ""));
    let admitted = gemini::admit(request.headers(), request.query_string());
    let body = admitted.and_then(|()| read(&body));
    match method {
        "generateContent" | "streamGenerateContent" => {
            let stream = method == "streamGenerateContent";
            call.answer(Wire::Generate, body.and_then(|body| gemini::read(body, model, stream))).await
        }
        "batchGenerateContent" => routes::create_gemini(&call, body, model).await,
        "countTokens" => match body.and_then(|body| gemini::count(body, model)) {
            Ok(ask) => {
                let tokens = ask.input_tokens();
                let details = format!(r#"[{{"modality":"TEXT","tokenCount":{tokens}}}]"#);
                let body = format!(r#"{{"totalTokens":{tokens},"promptTokensDetails":{details}}}"#);
                call.respond(200, "application/json", body)
            }
            Err(problem) => call.refuse(&problem),
        },
        _ => call.refuse(&Problem::new(404, format!("Emulated: no method '{method}' here."))),
    }
}

/// Whose client it is, where the path does not tell: each of the three sends a header of its own.
pub(crate) fn client(request: &HttpRequest) -> Provider {
    let has = |name: &str| request.headers().contains_key(name);
    if has("x-goog-api-key") || request.query_string().split('&').any(|pair| pair.starts_with("key=")) {
        Provider::Gemini
    } else if has("anthropic-version") || has("x-api-key") {
        Provider::Anthropic
    } else {
        Provider::OpenAi
    }
}

async fn models(state: Data<State>, request: HttpRequest) -> HttpResponse {
    list(&state, &request, client(&request), None)
}

async fn model(state: Data<State>, request: HttpRequest) -> HttpResponse {
    list(&state, &request, client(&request), Some(request.match_info().query("model")))
}

async fn gemini_models(state: Data<State>, request: HttpRequest) -> HttpResponse {
    list(&state, &request, Provider::Gemini, None)
}

async fn gemini_model(state: Data<State>, request: HttpRequest) -> HttpResponse {
    list(&state, &request, Provider::Gemini, Some(request.match_info().query("model")))
}

fn list(state: &State, request: &HttpRequest, provider: Provider, id: Option<&str>) -> HttpResponse {
    let call = Call::new(state, request, provider);
    let headers = request.headers();
    let admitted = match provider {
        Provider::Anthropic => anthropic::admit(headers).map(|_| ()),
        Provider::OpenAi => openai::admit(headers),
        Provider::Gemini => gemini::admit(headers, request.query_string()),
    };
    if let Err(problem) = admitted {
        return call.refuse(&problem);
    }
    let body = match (provider, id) {
        (Provider::Anthropic, None) => Some(anthropic::models()),
        (Provider::Anthropic, Some(id)) => anthropic::model(id),
        (Provider::OpenAi, None) => Some(openai::models()),
        (Provider::OpenAi, Some(id)) => openai::model(id),
        (Provider::Gemini, None) => Some(gemini::models()),
        (Provider::Gemini, Some(id)) => gemini::model(id),
    };
    match body {
        Some(body) => call.respond(200, "application/json", body),
        None => call.refuse(&Problem::new(404, "Emulated: no such model.").code("model_not_found")),
    }
}

async fn nothing(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let provider = if request.path().starts_with("/v1beta") { Provider::Gemini } else { client(&request) };
    let message = format!("Emulated: nothing at {} {}.", request.method(), request.path());
    Call::new(&state, &request, provider).refuse(&Problem::new(404, message))
}

/// The current second as the rate limit headers want it.
pub(crate) fn rfc3339_now() -> HeaderValue {
    let now = OffsetDateTime::now_utc();
    let second = now.replace_nanosecond(0).unwrap_or(now);
    let text = second.format(&Rfc3339).unwrap_or_default();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}
