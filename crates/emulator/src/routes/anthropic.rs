//! Anthropic's Message Batches. Refuses to hold a list of requests as a whole: it is cut up as it comes.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Answer, base, breathe, find, json, limit, query};
use crate::batch::{Batch, Blob, Form, Results, Splitter, Start, Which};
use crate::body;
use crate::fault::Point;
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::state::State;
use crate::wire::anthropic::{self, batch};
use crate::wire::{Provider, Wire};

const MOST_REQUESTS: usize = 100_000;
const MOST_BYTES: u64 = 256 * 1024 * 1024;

#[derive(Deserialize)]
struct Around {
    requests: Option<Vec<IgnoredAny>>,
}

pub(super) async fn create(state: Data<State>, request: HttpRequest, payload: Payload) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(make(&call, payload).await)
}

async fn make(call: &Call<'_>, payload: Payload) -> Answer {
    let newer = anthropic::admit(call.request.headers())?;
    let (blob, splitter) = receive(payload).await?;
    check(&splitter)?;
    let mut start = Start::new(call.state, Wire::Messages);
    start.form = Form { newer, ..start.form };
    let mut bytes = Vec::new();
    if let Some(first) = splitter.found.first() {
        blob.fill(first.at, first.length, &mut bytes)?;
        let line = batch::item(&bytes, 0)?;
        start.peek(&anthropic::read_item(line.body.get().as_bytes(), newer));
    }
    let fault = call.gate(Point::Create, &start.words()).await?;
    let fates = call.fates(&start.words())?;
    for (place, range) in splitter.found.iter().enumerate() {
        blob.fill(range.at, range.length, &mut bytes)?;
        let line = batch::item(&bytes, place)?;
        let field = format!("requests.{place}.custom_id");
        if !batch::is_id(&line.id) {
            let words = format!("{field}: String should match pattern '^[a-zA-Z0-9_-]{{1,64}}$'");
            return Err(Problem::field(&field, words).into());
        }
        if !start.is_new(&line.id) {
            return Err(Problem::field(&field, format!("{field}: '{}' is used more than once", line.id)).into());
        }
        start.add(range.at, bytes.len(), anthropic::read_item(line.body.get().as_bytes(), newer));
        breathe(&start).await;
    }
    let batch = call.state.batches.keep(start.finish(Arc::new(blob), &fates));
    let response = json(call, batch::object(&batch, &base(call.request)));
    Ok(call.close(fault.as_ref(), response).await)
}

/// Keeps a body and finds its requests.
async fn receive(mut payload: Payload) -> Result<(Blob, Splitter), Halt> {
    let (mut blob, mut splitter) = (Blob::default(), Splitter::default());
    let mut is_json = true;
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| Problem::new(400, "Emulated: the body was cut off."))?;
        // What is too much is read and dropped: a client that still sends would not see the answer.
        if blob.len() <= MOST_BYTES {
            blob.push(&chunk)?;
            is_json &= splitter.feed(&chunk);
        }
    }
    if blob.len() > MOST_BYTES {
        return Err(Problem::new(413, "The request is larger than 256 MB.").into());
    }
    if !is_json {
        return Err(Problem::new(400, "The body is not valid JSON.").into());
    }
    Ok((blob, splitter))
}

/// Checks what is around the requests, and how many there are.
fn check(splitter: &Splitter) -> Result<(), Problem> {
    let around: Around = serde_json::from_slice(&splitter.around)
        .map_err(|error| Problem::new(400, format!("The body is not valid JSON: {error}")))?;
    match around.requests.map(|requests| requests.len()) {
        None => Err(Problem::field("requests", "requests: Field required")),
        Some(0) => Err(Problem::field("requests", "requests: List should have at least 1 item")),
        Some(count) if count > MOST_REQUESTS => {
            Err(Problem::field("requests", format!("requests: List should have at most {MOST_REQUESTS} items")))
        }
        Some(_) => Ok(()),
    }
}

/// Admits a call on one batch.
async fn one(call: &Call<'_>, point: Point) -> Result<(Arc<Batch>, Option<crate::fault::Fault>), Halt> {
    anthropic::admit(call.request.headers())?;
    let batch = find(call, call.request.match_info().query("id"))?;
    let fault = call.gate(point, &batch.words()).await?;
    Ok((batch, fault))
}

pub(super) async fn retrieve(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(one(&call, Point::Status).await.map(|(batch, _)| json(&call, batch::object(&batch, &base(&request)))))
}

pub(super) async fn list(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(page(&call).await)
}

async fn page(call: &Call<'_>) -> Answer {
    anthropic::admit(call.request.headers())?;
    call.gate(Point::List, &crate::batch::Words::default()).await?;
    let query = query(call.request);
    let most = limit(&query, "limit", 20, 1_000)?;
    let number = |name| query.get(name).map(|id| Ok::<_, Problem>(find(call, id)?.number)).transpose();
    // The newest come first, so that what comes after one is older.
    let (after, before) = (number("after_id")?, number("before_id")?);
    let mut found = call.state.batches.list(Provider::Anthropic, after, before);
    let has_more = found.len() > most;
    if before.is_some() && after.is_none() {
        // The page that ends just before.
        found.drain(..found.len().saturating_sub(most));
    }
    found.truncate(most);
    let base = base(call.request);
    let objects: Vec<String> = found.iter().map(|batch| batch::object(batch, &base)).collect();
    let id = |batch: Option<&Arc<Batch>>| crate::wire::json(&batch.map(|batch| batch.id.as_ref()));
    let body = format!(
        r#"{{"data":[{}],"has_more":{has_more},"first_id":{},"last_id":{}}}"#,
        objects.join(","),
        id(found.first()),
        id(found.last())
    );
    Ok(json(call, body))
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(stop(&call).await)
}

async fn stop(call: &Call<'_>) -> Answer {
    let (batch, fault) = one(call, Point::Cancel).await?;
    if !batch.cancel() {
        return Err(Problem::new(400, format!("Batch {} cannot be canceled: it has ended.", batch.id)).into());
    }
    let response = json(call, batch::object(&batch, &base(call.request)));
    Ok(call.close(fault.as_ref(), response).await)
}

pub(super) async fn delete(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(remove(&call).await)
}

async fn remove(call: &Call<'_>) -> Answer {
    let (batch, fault) = one(call, Point::Delete).await?;
    if !batch.view().phase.is_over() {
        let words = format!("Batch {} cannot be deleted while it is processed; cancel it first.", batch.id);
        return Err(Problem::new(400, words).into());
    }
    batch.settle(call.state, usize::MAX)?;
    call.state.batches.forget(&batch);
    let body = format!(r#"{{"id":"{}","type":"message_batch_deleted"}}"#, batch.id);
    Ok(call.close(fault.as_ref(), json(call, body)).await)
}

pub(super) async fn results(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::Anthropic);
    call.end(read(&call, &state).await)
}

async fn read(call: &Call<'_>, state: &Data<State>) -> Answer {
    let (batch, fault) = one(call, Point::Results).await?;
    if !batch.view().phase.is_over() {
        let words = format!("Batch {} has no results before its processing has ended.", batch.id);
        return Err(Problem::new(404, words).into());
    }
    let lines = body::lines(Results::new(batch, Which::All), state.clone().into_inner(), fault);
    Ok(call.with_body(200, "application/x-jsonl", lines))
}
