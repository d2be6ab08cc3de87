//! Gemini's batches, inline and by file. Refuses to hand out results of a batch that did not succeed.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::value::RawValue;

use super::{Answer, breathe, find, json, limit, query};
use crate::batch::{Batch, Blob, Form, Lines, Results, Start, Which, Words};
use crate::fault::{Fault, Point};
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::state::State;
use crate::wire::gemini::{self, batch};
use crate::wire::{Provider, Wire};

/// Answers `:batchGenerateContent`.
pub(crate) async fn create(call: &Call<'_>, body: Result<&[u8], Problem>, model: &str) -> HttpResponse {
    call.end(make(call, body, model).await)
}

async fn make(call: &Call<'_>, body: Result<&[u8], Problem>, model: &str) -> Answer {
    let wanted = batch::wanted(body?)?;
    if model == "missing-model" {
        return Err(Problem::new(404, format!("models/{model} is not found for this API version.")).into());
    }
    let mut start = Start::new(call.state, Wire::Generate);
    model.clone_into(&mut start.model);
    start.label = wanted.name;
    match wanted.input {
        batch::Source::Inline(requests) => inline(call, start, &requests).await,
        batch::Source::File(name) => by_file(call, start, name).await,
    }
}

async fn inline(call: &Call<'_>, mut start: Start<'_>, requests: &[&RawValue]) -> Answer {
    start.form = Form { inline: true, ..start.form };
    for (place, item) in requests.iter().enumerate() {
        let field = format!("batch.input_config.requests.requests[{place}].request");
        let line = batch::line(item.get().as_bytes())
            .ok_or_else(|| Problem::field(&field, format!("{field}: is not specified")))?;
        gemini::is_well_formed(line.body.get().as_bytes())?;
        if place == 0 {
            let read = gemini::read(line.body.get().as_bytes(), &start.model, false);
            start.peek(&read);
        }
    }
    let fault = call.gate(Point::Create, &start.words()).await?;
    let fates = call.fates(&start.words())?;
    let mut blob = Blob::default();
    for item in requests {
        let bytes = item.get().as_bytes();
        let at = blob.len();
        blob.push(bytes)?;
        if let Some(line) = batch::line(bytes) {
            let read = gemini::read(line.body.get().as_bytes(), &start.model, false);
            start.add(at, bytes.len(), read);
        }
        breathe(&start).await;
    }
    finish(call, start, Arc::new(blob), fault.as_ref(), &fates).await
}

async fn by_file(call: &Call<'_>, mut start: Start<'_>, name: String) -> Answer {
    let file = call.state.batches.file(Provider::Gemini, &name).ok_or_else(|| {
        let words = format!("File {name} is not found, or the key has no right to it.");
        Problem::new(404, words)
    })?;
    start.input_file = Some(name);
    let blob = Arc::clone(&file.blob);
    let mut lines = Lines::new(&blob);
    if let Some((_, bytes)) = lines.next()?
        && let Some(line) = batch::line(bytes)
    {
        let read = gemini::read(line.body.get().as_bytes(), &start.model, false);
        start.peek(&read);
    }
    let fault = call.gate(Point::Create, &start.words()).await?;
    let fates = call.fates(&start.words())?;
    let mut lines = Lines::new(&blob);
    let mut number = 0;
    while let Some((at, bytes)) = lines.next()? {
        number += 1;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        match batch::line(bytes) {
            Some(line) => {
                let read = gemini::read(line.body.get().as_bytes(), &start.model, false);
                start.add(at, bytes.len(), read);
            }
            None => {
                let words = format!("Line {number} of the input file is no request with a key.");
                start.blame("INVALID_ARGUMENT", Some(number), None, words);
            }
        }
        breathe(&start).await;
    }
    if start.len() == 0 {
        start.blame("INVALID_ARGUMENT", None, None, "The input file has no requests.".to_owned());
    }
    finish(call, start, blob, fault.as_ref(), &fates).await
}

async fn finish(call: &Call<'_>, start: Start<'_>, blob: Arc<Blob>, fault: Option<&Fault>, fates: &[Fault]) -> Answer {
    let batch = call.state.batches.keep(start.finish(blob, fates));
    let response = json(call, batch::operation(&batch, None));
    Ok(call.close(fault, response).await)
}

/// Admits a call on one batch.
async fn one(call: &Call<'_>, point: Point, id: &str) -> Result<(Arc<Batch>, Option<Fault>), Halt> {
    gemini::admit(call.request.headers(), call.request.query_string())?;
    let batch = find(call, &format!("batches/{id}"))?;
    let fault = call.gate(point, &batch.words()).await?;
    Ok((batch, fault))
}

pub(super) async fn retrieve(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::Gemini);
    call.end(shown(&call).await)
}

async fn shown(call: &Call<'_>) -> Answer {
    let (batch, _) = one(call, Point::Status, call.request.match_info().query("id")).await?;
    let view = batch.view();
    if !view.phase.is_over() || batch.fruits(&view) == 0 {
        return Ok(json(call, batch::operation(&batch, None)));
    }
    if !batch.form.inline {
        let name = batch.responses_name();
        let output = batch::Output::File { responses_file: &name };
        return Ok(json(call, batch::operation(&batch, Some(output))));
    }
    let responses = responses(call, &batch).await?;
    let inlined_responses = batch::Inlined { inlined_responses: &responses };
    Ok(json(call, batch::operation(&batch, Some(batch::Output::Inline { inlined_responses }))))
}

/// All responses of a batch as one list.
async fn responses(call: &Call<'_>, batch: &Arc<Batch>) -> Result<Box<RawValue>, Halt> {
    let mut results = Results::new(Arc::clone(batch), Which::All);
    let mut list = "[".to_owned();
    let mut count = 0_u64;
    while let Some(line) = results.next(call.state)? {
        if count > 0 {
            list.push(',');
        }
        list.push_str(&line);
        count += 1;
        if count.is_multiple_of(256) {
            tokio::task::yield_now().await;
        }
    }
    list.push(']');
    Ok(RawValue::from_string(list).map_err(std::io::Error::from)?)
}

pub(super) async fn list(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::Gemini);
    call.end(page(&call).await)
}

async fn page(call: &Call<'_>) -> Answer {
    gemini::admit(call.request.headers(), call.request.query_string())?;
    call.gate(Point::List, &Words::default()).await?;
    let (most, token) = paging(call, 100)?;
    let mut found = call.state.batches.list(Provider::Gemini, token, None);
    let next = (found.len() > most).then(|| found.get(most - 1).map(|batch| batch.number)).flatten();
    found.truncate(most);
    // Lists tell where results are in a file; what is inline is told of each batch by itself.
    let show = |batch: &Arc<Batch>| {
        let view = batch.view();
        let name = batch.responses_name();
        let has_file = view.phase.is_over() && batch.fruits(&view) > 0 && !batch.form.inline;
        batch::operation(batch, has_file.then_some(batch::Output::File { responses_file: &name }))
    };
    let operations: Vec<String> = found.iter().map(show).collect();
    Ok(json(call, page_of("operations", &operations, next)))
}

/// Page size and the place that the token of the page stands for.
pub(super) fn paging(call: &Call<'_>, most: usize) -> Result<(usize, Option<u64>), Problem> {
    let mut query = query(call.request);
    for (camel, snake) in [("pageSize", "page_size"), ("pageToken", "page_token")] {
        if let Some(value) = query.remove(snake) {
            query.insert(camel.to_owned(), value);
        }
    }
    query.retain(|name, value| !value.is_empty() && (name != "pageSize" || value != "0"));
    let size = limit(&query, "pageSize", 50.min(most), 1_000)?.min(most);
    let token = query.get("pageToken").map(|token| token.parse());
    let wrong = |_| Problem::field("pageToken", "pageToken: is not one of this list");
    Ok((size, token.transpose().map_err(wrong)?))
}

/// A page of a list; `next` is the place where the next page starts.
pub(super) fn page_of(name: &str, objects: &[String], next: Option<u64>) -> String {
    let token = next.map(|next| format!(r#""nextPageToken":"{next}""#));
    match (objects, token) {
        ([], None) => "{}".to_owned(),
        (objects, token) => {
            let token = token.map(|token| format!(",{token}")).unwrap_or_default();
            format!(r#"{{"{name}":[{}]{token}}}"#, objects.join(","))
        }
    }
}

/// Answers `POST batches/{id}:cancel`.
pub(super) async fn act(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Gemini);
    call.end(stop(&call).await)
}

async fn stop(call: &Call<'_>) -> Answer {
    let target = call.request.match_info().query("id");
    let Some(id) = target.strip_suffix(":cancel") else {
        return Err(Problem::new(404, format!("Emulated: no method '{target}' here.")).into());
    };
    let (batch, fault) = one(call, Point::Cancel, id).await?;
    // Best effort: one that is over stays as it is, and nobody is told.
    batch.cancel();
    Ok(call.close(fault.as_ref(), json(call, "{}".to_owned())).await)
}

pub(super) async fn delete(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Gemini);
    call.end(remove(&call).await)
}

async fn remove(call: &Call<'_>) -> Answer {
    let (batch, fault) = one(call, Point::Delete, call.request.match_info().query("id")).await?;
    batch.settle(call.state, usize::MAX)?;
    call.state.batches.forget(&batch);
    Ok(call.close(fault.as_ref(), json(call, "{}".to_owned())).await)
}
