//! Gemini's files: resumable uploads in pieces, downloads, and the files in which batches leave their results. Refuses
//! to ask for a key where an upload goes on: its id is the right to it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use time::OffsetDateTime;

use super::gemini::{page_of, paging};
use super::{Answer, base, json, query};
use crate::batch::{Batch, Results, Stored, Upload, Which, Words, size};
use crate::body;
use crate::fault::{Fault, Point};
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::state::State;
use crate::wire::gemini::{self, batch::FileObject};
use crate::wire::{Provider, instant};

const MOST: u64 = 2 * 1024 * 1024 * 1024;
const TWO_DAYS: Duration = Duration::from_secs(48 * 60 * 60);
const SIX_WEEKS: Duration = Duration::from_secs(42 * 24 * 60 * 60);

pub(super) async fn upload(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Gemini);
    call.end(match query(&request).get("upload_id") {
        Some(id) => go_on(&call, id, payload).await,
        None => begin(&call, payload).await,
    })
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> &'a str {
    request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Starts an upload.
async fn begin(call: &Call<'_>, mut payload: Payload) -> Answer {
    let mut bytes = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(400, "Emulated: the body was cut off."))?;
        bytes.extend(chunk.iter().take(64 * 1024_usize.saturating_sub(bytes.len())));
    }
    let request = call.request;
    gemini::admit(request.headers(), request.query_string())?;
    let resumable = header(request, "x-goog-upload-protocol").eq_ignore_ascii_case("resumable");
    if !resumable || !header(request, "x-goog-upload-command").eq_ignore_ascii_case("start") {
        return Err(Problem::new(400, "Emulated: only resumable uploads are emulated, in the two steps.").into());
    }
    let (name, display_name, mime_type) = gemini::batch::start(&bytes)?;
    let length = header(request, "x-goog-upload-header-content-length").parse::<u64>().unwrap_or(0);
    if length > MOST {
        return Err(Problem::new(400, "The file is larger than 2 GB.").into());
    }
    let fault = call.gate(Point::Upload, &Words { model: "", texts: vec![&display_name] }).await?;
    let given = header(request, "x-goog-upload-header-content-type");
    let mime_type = if mime_type.is_empty() { given.to_owned() } else { mime_type };
    let id = call.state.batches.begin(Upload { name, display_name, mime_type, ..Upload::default() });
    let url = format!("{}{}?upload_id={id}&upload_protocol=resumable", base(request), request.path());
    let mut response = json(call, "{}".to_owned());
    tell(&mut response, "x-goog-upload-status", "active");
    tell(&mut response, "x-goog-upload-url", &url);
    tell(&mut response, "x-goog-upload-chunk-granularity", "262144");
    Ok(call.close(fault.as_ref(), response).await)
}

fn tell(response: &mut HttpResponse, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// Takes a piece of an upload at its offset; one that comes again is written over what it was.
async fn go_on(call: &Call<'_>, id: &str, mut payload: Payload) -> Answer {
    let upload = call.state.batches.upload(id).ok_or_else(|| Problem::new(404, "Emulated: no upload has this id."))?;
    let command = header(call.request, "x-goog-upload-command").to_ascii_lowercase();
    let has = |word: &str| command.split(',').any(|part| part.trim() == word);
    let received = || lock(&upload).blob.len();
    let is_open = lock(&upload).file.is_none();
    if !is_open {
        // A last piece that comes again after its answer was lost.
        while let Some(Ok(_)) = payload.next().await {}
    } else if has("upload") {
        let offset = header(call.request, "x-goog-upload-offset").parse().unwrap_or_else(|_| received());
        if offset > received() {
            let words = format!("Emulated: the offset must be at most {}.", received());
            return Err(Problem::new(400, words).into());
        }
        lock(&upload).blob.truncate(offset);
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Problem::new(400, "Emulated: the body was cut off."))?;
            if received() <= MOST {
                lock(&upload).blob.push(&chunk)?;
            }
        }
        if received() > MOST {
            return Err(Problem::new(400, "The file is larger than 2 GB.").into());
        }
    }
    if is_open && !has("finalize") {
        let mut response = json(call, String::new());
        tell(&mut response, "x-goog-upload-status", "active");
        tell(&mut response, "x-goog-upload-size-received", &received().to_string());
        return Ok(response);
    }
    let file = finalize(call.state, &upload);
    let body = format!(r#"{{"file":{}}}"#, uploaded(call, &file));
    let mut response = json(call, body);
    tell(&mut response, "x-goog-upload-status", "final");
    Ok(response)
}

fn lock(upload: &Mutex<Upload>) -> std::sync::MutexGuard<'_, Upload> {
    upload.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a file of an upload, once.
fn finalize(state: &State, upload: &Mutex<Upload>) -> Arc<Stored> {
    let mut upload = lock(upload);
    if let Some(file) = &upload.file {
        return Arc::clone(file);
    }
    let number = state.batches.number();
    let id = match upload.name.as_str() {
        "" => format!("files/{}", state.batches.letters(number).to_lowercase()),
        name if name.starts_with("files/") => name.to_owned(),
        name => format!("files/{name}"),
    };
    let file = state.batches.store(Stored {
        number,
        id,
        provider: Provider::Gemini,
        filename: upload.display_name.clone(),
        purpose: String::new(),
        mime_type: upload.mime_type.clone(),
        created: OffsetDateTime::now_utc(),
        expires_after: None,
        blob: Arc::new(std::mem::take(&mut upload.blob)),
    });
    upload.file = Some(Arc::clone(&file));
    file
}

fn uploaded(call: &Call<'_>, file: &Stored) -> String {
    crate::wire::json(&FileObject {
        name: &file.id,
        display_name: &file.filename,
        mime_type: &file.mime_type,
        size_bytes: file.blob.len().to_string(),
        create_time: instant(file.created, Duration::ZERO),
        update_time: instant(file.created, Duration::ZERO),
        expiration_time: instant(file.created, TWO_DAYS),
        uri: format!("{}/v1beta/{}", base(call.request), file.id),
        state: "ACTIVE",
        source: "UPLOADED",
    })
}

/// A file: one that was uploaded, or one that a batch left.
enum Found {
    Uploaded(Arc<Stored>),
    Left(Arc<Batch>),
}

impl Found {
    fn object(&self, call: &Call<'_>) -> std::io::Result<String> {
        let batch = match self {
            Self::Uploaded(file) => return Ok(uploaded(call, file)),
            Self::Left(batch) => batch,
        };
        let name = batch.responses_name();
        let ended = batch.view().ended.unwrap_or_default();
        Ok(crate::wire::json(&FileObject {
            name: &name,
            display_name: &batch.label,
            mime_type: "application/jsonl",
            size_bytes: size(Results::new(Arc::clone(batch), Which::All), call.state)?.to_string(),
            create_time: instant(batch.created, ended),
            update_time: instant(batch.created, ended),
            expiration_time: instant(batch.created, ended + SIX_WEEKS),
            uri: format!("{}/v1beta/{name}", base(call.request)),
            state: "ACTIVE",
            source: "GENERATED",
        }))
    }
}

/// Whether a batch left a file that nobody deleted.
fn has_left(batch: &Batch) -> bool {
    let view = batch.view();
    let left = view.phase.is_over() && batch.fruits(&view) > 0 && !batch.form.inline;
    left && !batch.output_gone.load(Ordering::Acquire)
}

/// Admits a call on one file; `id` is without its `files/`.
async fn one(call: &Call<'_>, point: Point, id: &str) -> Result<(Found, Option<Fault>), Halt> {
    gemini::admit(call.request.headers(), call.request.query_string())?;
    let shelf = &call.state.batches;
    let name = format!("files/{id}");
    if let Some(file) = shelf.file(Provider::Gemini, &name) {
        let fault = call.gate(point, &Words { model: "", texts: vec![&name, &file.filename] }).await?;
        return Ok((Found::Uploaded(file), fault));
    }
    let batch = id.strip_prefix("batch-").and_then(|id| shelf.batch(Provider::Gemini, &format!("batches/{id}")));
    let Some(batch) = batch.filter(|batch| has_left(batch)) else {
        let words = format!("File {name} is not found, or the key has no right to it.");
        return Err(Problem::new(404, words).into());
    };
    let fault = call.gate(point, &batch.words()).await?;
    Ok((Found::Left(batch), fault))
}

/// Answers `files/{id}` and `files/{id}:download`.
pub(super) async fn retrieve(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Gemini);
    call.end(show(&call, &state).await)
}

async fn show(call: &Call<'_>, state: &Data<State>) -> Answer {
    let target = call.request.match_info().query("call");
    let Some(id) = target.strip_suffix(":download") else {
        let (found, _) = one(call, Point::Files, target).await?;
        return Ok(json(call, found.object(call)?));
    };
    let body = match one(call, Point::Results, id).await? {
        (Found::Uploaded(file), _) => body::raw(Arc::clone(&file.blob)),
        (Found::Left(batch), fault) => body::lines(Results::new(batch, Which::All), state.clone().into_inner(), fault),
    };
    Ok(call.with_body(200, "application/octet-stream", body))
}

pub(super) async fn delete(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::Gemini);
    call.end(remove(&call).await)
}

async fn remove(call: &Call<'_>) -> Answer {
    let (found, fault) = one(call, Point::Files, call.request.match_info().query("call")).await?;
    match &found {
        Found::Uploaded(file) => call.state.batches.delete(file),
        Found::Left(batch) => batch.output_gone.store(true, Ordering::Release),
    }
    Ok(call.close(fault.as_ref(), json(call, "{}".to_owned())).await)
}

pub(super) async fn list(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::Gemini);
    call.end(page(&call).await)
}

async fn page(call: &Call<'_>) -> Answer {
    gemini::admit(call.request.headers(), call.request.query_string())?;
    call.gate(Point::Files, &Words::default()).await?;
    let (most, token) = paging(call, 100)?;
    let shelf = &call.state.batches;
    let uploaded = shelf.files(Provider::Gemini).into_iter().map(|file| (file.number, Found::Uploaded(file)));
    let left = shelf.list(Provider::Gemini, None, None).into_iter().filter(|batch| has_left(batch));
    let mut found: Vec<(u64, Found)> = uploaded.chain(left.map(|batch| (batch.number, Found::Left(batch)))).collect();
    found.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    found.retain(|(number, _)| token.is_none_or(|token| *number < token));
    let next = (found.len() > most).then(|| found.get(most - 1).map(|(number, _)| *number)).flatten();
    found.truncate(most);
    let objects: std::io::Result<Vec<String>> = found.iter().map(|(_, file)| file.object(call)).collect();
    Ok(json(call, page_of("files", &objects?, next)))
}
