//! OpenAI's files: those that clients upload, and the output and error files of batches, which are made when they are
//! read. Refuses to look into a file when it is uploaded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use actix_web::http::header;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use time::OffsetDateTime;

use super::multipart::{self, Form};
use super::openai::page_of;
use super::{Answer, json, limit, query};
use crate::batch::{Batch, Results, Stored, Which, Words, size};
use crate::body;
use crate::fault::Point;
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::state::State;
use crate::wire::openai::{self, batch::FileObject};
use crate::wire::{Provider, unix};

/// Most bytes of a batch's input, and of any other file.
const MOST_BATCH: u64 = 200 * 1024 * 1024;
const MOST: u64 = 512 * 1024 * 1024;
const MONTH: i64 = 30 * 24 * 60 * 60;

pub(super) async fn upload(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    call.end(store(&call, payload).await)
}

async fn store(call: &Call<'_>, payload: Payload) -> Answer {
    openai::admit(call.request.headers())?;
    let form = receive(call, payload).await?;
    let filename = form.filename.clone().ok_or_else(|| Problem::field("file", "'file' is a required property"))?;
    let words = Words { model: "", texts: vec![&filename] };
    let fault = call.gate(Point::Upload, &words).await?;
    let purpose = match form.field("purpose") {
        None | Some("") => return Err(Problem::field("purpose", "'purpose' is a required property").into()),
        Some(purpose) => purpose.to_owned(),
    };
    if purpose == "batch" && !filename.ends_with(".jsonl") {
        return Err(Problem::field("file", "Invalid file format for Batch API. Must be .jsonl").into());
    }
    let expires_after = expiry(&form)?;
    let most = if purpose == "batch" { MOST_BATCH } else { MOST };
    if form.file.len() > most {
        let words = format!("The file is larger than {} MB.", most / 1024 / 1024);
        return Err(Problem::new(413, words).into());
    }
    let number = call.state.batches.number();
    let file = call.state.batches.store(Stored {
        number,
        id: format!("file-{}", call.state.batches.letters(number)),
        provider: Provider::OpenAi,
        filename,
        purpose,
        mime_type: String::new(),
        created: OffsetDateTime::now_utc(),
        expires_after,
        blob: Arc::new(form.file),
    });
    Ok(call.close(fault.as_ref(), json(call, uploaded(&file))).await)
}

/// Reads the form; what is beyond all limits is read and dropped.
async fn receive(call: &Call<'_>, mut payload: Payload) -> Result<Form, Halt> {
    let refuse = |words: &str| Halt::from(Problem::new(400, words));
    let content_type = call.request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut form = content_type
        .and_then(Form::new)
        .ok_or_else(|| refuse("Emulated: the body must be multipart/form-data with a boundary."))?;
    let mut too_large = false;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| refuse("Emulated: the body was cut off."))?;
        too_large |= form.file.len() > MOST;
        if too_large {
            continue;
        }
        form.feed(&chunk).map_err(|fault| match fault {
            multipart::Fault::Form => refuse("Emulated: the body is not the form that it says it is."),
            multipart::Fault::Kept => std::io::Error::other("the file").into(),
        })?;
    }
    if !too_large && !form.is_whole() {
        return Err(refuse("Emulated: the form has no end."));
    }
    Ok(form)
}

/// The seconds of `expires_after`, which a batch's input has unless it is told otherwise.
fn expiry(form: &Form) -> Result<Option<i64>, Problem> {
    let default = (form.field("purpose") == Some("batch")).then_some(MONTH);
    let Some(seconds) = form.field("expires_after[seconds]") else { return Ok(default) };
    let refuse = |words: &str| Err(Problem::field("expires_after", words));
    if form.field("expires_after[anchor]") != Some("created_at") {
        return refuse("Invalid 'expires_after.anchor': must be 'created_at'.");
    }
    match seconds.parse() {
        Ok(seconds @ 3_600..=2_592_000) => Ok(Some(seconds)),
        _ => refuse("Invalid 'expires_after.seconds': must be from 3600 to 2592000."),
    }
}

fn uploaded(file: &Stored) -> String {
    let created_at = file.created.unix_timestamp();
    crate::wire::json(&FileObject {
        id: &file.id,
        object: "file",
        bytes: file.blob.len(),
        created_at,
        expires_at: file.expires_after.map(|seconds| created_at + seconds),
        filename: &file.filename,
        purpose: &file.purpose,
        status: "processed",
        status_details: None,
    })
}

/// A file: one that was uploaded, or one that a batch left.
enum Found {
    Uploaded(Arc<Stored>),
    Left(Arc<Batch>, Which),
}

impl Found {
    fn id(&self) -> String {
        match self {
            Self::Uploaded(file) => file.id.clone(),
            Self::Left(batch, Which::Errors) => batch.errors_id(),
            Self::Left(batch, _) => batch.output_id(),
        }
    }

    fn purpose(&self) -> &str {
        match self {
            Self::Uploaded(file) => &file.purpose,
            Self::Left(..) => "batch_output",
        }
    }

    fn created(&self) -> OffsetDateTime {
        match self {
            Self::Uploaded(file) => file.created,
            Self::Left(batch, _) => batch.created + batch.view().ended.unwrap_or_default(),
        }
    }

    fn object(&self, state: &State) -> std::io::Result<String> {
        let (batch, which) = match self {
            Self::Uploaded(file) => return Ok(uploaded(file)),
            Self::Left(batch, which) => (batch, *which),
        };
        let kind = if which == Which::Errors { "error" } else { "output" };
        let created_at = unix(batch.created, batch.view().ended.unwrap_or_default());
        Ok(crate::wire::json(&FileObject {
            id: &self.id(),
            object: "file",
            bytes: size(Results::new(Arc::clone(batch), which), state)?,
            created_at,
            expires_at: Some(created_at + MONTH),
            filename: &format!("{}_{kind}.jsonl", batch.id),
            purpose: "batch_output",
            status: "processed",
            status_details: None,
        }))
    }
}

/// The files that a batch left and nobody deleted.
fn left(batch: &Arc<Batch>) -> impl Iterator<Item = Found> {
    let view = batch.view();
    let output = batch.has_output(&view) && !batch.output_gone.load(Ordering::Acquire);
    let errors = batch.has_errors(&view) && !batch.errors_gone.load(Ordering::Acquire);
    let found = |is: bool, which| is.then(|| Found::Left(Arc::clone(batch), which));
    [found(output, Which::Answers), found(errors, Which::Errors)].into_iter().flatten()
}

fn find(call: &Call<'_>, id: &str) -> Result<Found, Halt> {
    if let Some(file) = call.state.batches.file(Provider::OpenAi, id) {
        return Ok(Found::Uploaded(file));
    }
    let letters = id.strip_prefix("file-out").or_else(|| id.strip_prefix("file-err")).unwrap_or_default();
    call.state
        .batches
        .batch(Provider::OpenAi, &format!("batch_{letters}"))
        .and_then(|batch| left(&batch).find(|found| found.id() == id))
        .ok_or_else(|| {
            let words = format!("No such File object: {id}");
            Problem { param: Some("id".into()), ..Problem::new(404, words) }.into()
        })
}

async fn one(call: &Call<'_>, point: Point) -> Result<(Found, Option<crate::fault::Fault>), Halt> {
    openai::admit(call.request.headers())?;
    let found = find(call, call.request.match_info().query("call"))?;
    let id = found.id();
    let fault = match &found {
        Found::Uploaded(file) => call.gate(point, &Words { model: "", texts: vec![&id, &file.filename] }).await?,
        Found::Left(batch, _) => {
            let mut words = batch.words();
            words.texts.push(&id);
            call.gate(point, &words).await?
        }
    };
    Ok((found, fault))
}

pub(super) async fn retrieve(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::OpenAi);
    call.end(show(&call).await)
}

async fn show(call: &Call<'_>) -> Answer {
    let (found, _) = one(call, Point::Files).await?;
    Ok(json(call, found.object(call.state)?))
}

pub(super) async fn content(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    call.end(one(&call, Point::Results).await.map(|(found, fault)| {
        let body = match found {
            Found::Uploaded(file) => body::raw(Arc::clone(&file.blob)),
            Found::Left(batch, which) => body::lines(Results::new(batch, which), state.clone().into_inner(), fault),
        };
        call.with_body(200, "application/octet-stream", body)
    }))
}

pub(super) async fn delete(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::OpenAi);
    call.end(remove(&call).await)
}

async fn remove(call: &Call<'_>) -> Answer {
    let (found, fault) = one(call, Point::Files).await?;
    match &found {
        Found::Uploaded(file) => call.state.batches.delete(file),
        Found::Left(batch, Which::Errors) => batch.errors_gone.store(true, Ordering::Release),
        Found::Left(batch, _) => batch.output_gone.store(true, Ordering::Release),
    }
    let body = format!(r#"{{"id":"{}","object":"file","deleted":true}}"#, found.id());
    Ok(call.close(fault.as_ref(), json(call, body)).await)
}

pub(super) async fn list(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::OpenAi);
    call.end(page(&call).await)
}

async fn page(call: &Call<'_>) -> Answer {
    openai::admit(call.request.headers())?;
    call.gate(Point::Files, &Words::default()).await?;
    let query = query(call.request);
    let most = limit(&query, "limit", 10_000, 10_000)?;
    let batches = call.state.batches.list(Provider::OpenAi, None, None);
    let uploaded = call.state.batches.files(Provider::OpenAi).into_iter().map(Found::Uploaded);
    let mut found: Vec<Found> = uploaded.chain(batches.iter().flat_map(left)).collect();
    found.retain(|file| query.get("purpose").is_none_or(|purpose| purpose == file.purpose()));
    found.sort_by_key(|file| (file.created(), file.id()));
    if query.get("order").is_none_or(|order| order != "asc") {
        found.reverse();
    }
    if let Some(after) = query.get("after") {
        let at = found.iter().position(|file| file.id() == *after);
        found.drain(..at.map_or(0, |at| at + 1));
    }
    let has_more = found.len() > most;
    found.truncate(most);
    let objects: std::io::Result<Vec<String>> = found.iter().map(|file| file.object(call.state)).collect();
    let objects = objects?;
    let ids: Vec<String> = found.iter().map(Found::id).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(json(call, page_of(&objects, &ids, has_more)))
}
