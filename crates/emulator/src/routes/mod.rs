//! The batch and file endpoints. Refuses to know how a batch is kept or what its results say.

mod anthropic;
mod gemini;
mod gemini_files;
mod multipart;
mod openai;
mod openai_files;

pub(crate) use gemini::create as create_gemini;

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};

use crate::batch::{Batch, Start};
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::server::client;
use crate::state::State;
use crate::wire::Provider;

/// What a request comes to.
type Answer = Result<HttpResponse, Halt>;
type Body = Result<Bytes, actix_web::Error>;

/// All routes; where OpenAI and Gemini share a path, their headers tell them apart.
pub(crate) fn routes(config: &mut ServiceConfig) {
    config
        .route("/v1/messages/batches", web::post().to(anthropic::create))
        .route("/v1/messages/batches", web::get().to(anthropic::list))
        .route("/v1/messages/batches/{id}", web::get().to(anthropic::retrieve))
        .route("/v1/messages/batches/{id}", web::delete().to(anthropic::delete))
        .route("/v1/messages/batches/{id}/cancel", web::post().to(anthropic::cancel))
        .route("/v1/messages/batches/{id}/results", web::get().to(anthropic::results))
        .route("/upload/{version:v1|v1beta}/files", web::post().to(gemini_files::upload))
        .route("/upload/{version:v1|v1beta}/files", web::put().to(gemini_files::upload))
        .route("/download/{version:v1|v1beta}/files/{call}", web::get().to(gemini_files::retrieve));
    for prefix in ["/v1", "/v1beta", ""] {
        config
            .route(&format!("{prefix}/batches"), web::get().to(list_batches))
            .route(&format!("{prefix}/batches"), web::post().to(openai::create))
            .route(&format!("{prefix}/batches/{{id}}"), web::get().to(retrieve_batch))
            .route(&format!("{prefix}/batches/{{id}}"), web::post().to(gemini::act))
            .route(&format!("{prefix}/batches/{{id}}"), web::delete().to(gemini::delete))
            .route(&format!("{prefix}/batches/{{id}}/cancel"), web::post().to(openai::cancel))
            .route(&format!("{prefix}/files"), web::post().to(openai_files::upload))
            .route(&format!("{prefix}/files"), web::get().to(list_files))
            .route(&format!("{prefix}/files/{{call}}"), web::get().to(retrieve_file))
            .route(&format!("{prefix}/files/{{call}}"), web::delete().to(delete_file))
            .route(&format!("{prefix}/files/{{call}}/content"), web::get().to(openai_files::content));
    }
}

fn is_gemini(request: &HttpRequest) -> bool {
    request.path().starts_with("/v1beta") || client(request) == Provider::Gemini
}

async fn list_batches(state: Data<State>, request: HttpRequest) -> HttpResponse {
    if is_gemini(&request) { gemini::list(&state, &request).await } else { openai::list(&state, &request).await }
}

async fn retrieve_batch(state: Data<State>, request: HttpRequest) -> HttpResponse {
    if is_gemini(&request) {
        gemini::retrieve(&state, &request).await
    } else {
        openai::retrieve(&state, &request).await
    }
}

async fn list_files(state: Data<State>, request: HttpRequest) -> HttpResponse {
    if is_gemini(&request) {
        gemini_files::list(&state, &request).await
    } else {
        openai_files::list(&state, &request).await
    }
}

async fn retrieve_file(state: Data<State>, request: HttpRequest) -> HttpResponse {
    if is_gemini(&request) {
        gemini_files::retrieve(state, request).await
    } else {
        openai_files::retrieve(&state, &request).await
    }
}

async fn delete_file(state: Data<State>, request: HttpRequest) -> HttpResponse {
    if is_gemini(&request) {
        gemini_files::delete(&state, &request).await
    } else {
        openai_files::delete(&state, &request).await
    }
}

/// The query's parameters.
fn query(request: &HttpRequest) -> HashMap<String, String> {
    web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .unwrap_or_default()
}

/// A whole number of the query within bounds.
fn limit(query: &HashMap<String, String>, name: &str, default: usize, most: usize) -> Result<usize, Problem> {
    match query.get(name).map(|value| value.parse()) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::field(name, format!("{name}: must be a number from 1 to {most}"))),
    }
}

/// Where the emulator is reached, as the client wrote it.
fn base(request: &HttpRequest) -> String {
    let info = request.connection_info();
    format!("{}://{}", info.scheme(), info.host())
}

/// The body of a request, which is none when it could not be read.
fn read(body: &Body) -> Result<&[u8], Problem> {
    body.as_deref().map_err(|_| Problem::new(413, "Emulated: the body is larger than 32 MB or was cut off."))
}

/// Judges items slice by slice, so that others are served meanwhile.
async fn breathe(start: &Start<'_>) {
    if start.len().is_multiple_of(512) {
        tokio::task::yield_now().await;
    }
}

/// An answer with a body of JSON.
fn json(call: &Call<'_>, body: String) -> HttpResponse {
    call.respond(200, "application/json", body)
}

/// A batch that a path names.
fn find(call: &Call<'_>, id: &str) -> Result<Arc<Batch>, Problem> {
    let found = call.state.batches.batch(call.provider, id);
    let missing = || Problem::new(404, format!("Emulated: no batch found with id '{id}'."));
    found.filter(|batch| batch.is_seen()).ok_or_else(missing)
}
