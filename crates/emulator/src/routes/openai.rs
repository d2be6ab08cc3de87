//! OpenAI's batches. Refuses to tell at once what is wrong with a file: that is found out afterwards, as it really is.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};

use super::{Answer, Body, breathe, find, json, limit, query, read};
use crate::batch::{Batch, Blob, Lines, Start, Words};
use crate::fault::{Fault, Point};
use crate::problem::Problem;
use crate::serve::{Call, Halt};
use crate::state::State;
use crate::wire::openai::{self, batch};
use crate::wire::{Provider, Wire};

const MOST_REQUESTS: usize = 50_000;

pub(super) async fn create(state: Data<State>, request: HttpRequest, body: Body) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    call.end(make(&call, &body).await)
}

async fn make(call: &Call<'_>, body: &Body) -> Answer {
    openai::admit(call.request.headers())?;
    let wanted = batch::wanted(read(body)?)?;
    let file = call.state.batches.file(Provider::OpenAi, &wanted.input_file).ok_or_else(|| {
        let words = format!("No such File object: {}", wanted.input_file);
        Problem { param: Some("input_file_id".into()), ..Problem::new(404, words) }
    })?;
    if file.purpose != "batch" {
        let words = format!("File '{}' has the purpose '{}', not 'batch'.", file.id, file.purpose);
        return Err(Problem::field("input_file_id", words).into());
    }
    let mut start = Start::new(call.state, wanted.wire);
    start.label = format!("{} {}", wanted.label, file.filename);
    start.metadata = wanted.metadata;
    start.input_file = Some(wanted.input_file);
    peek(&mut start, &file.blob)?;
    let fault = call.gate(Point::Create, &start.words()).await?;
    let fates = call.fates(&start.words())?;
    validate(&mut start, &file.blob).await?;
    let batch = call.state.batches.keep(start.finish(Arc::clone(&file.blob), &fates));
    let response = json(call, batch::object(&batch));
    Ok(call.close(fault.as_ref(), response).await)
}

/// Reads a request for an endpoint.
fn request(wire: Wire, body: &[u8]) -> Result<crate::wire::Ask<'_>, Problem> {
    if wire == Wire::Responses { openai::read_responses(body) } else { openai::read_chat(body) }
}

fn peek(start: &mut Start<'_>, blob: &Blob) -> std::io::Result<()> {
    let mut lines = Lines::new(blob);
    if let Some((_, bytes)) = lines.next()?
        && let Some(line) = batch::line(bytes)
    {
        let wire = start.wire;
        start.peek(&request(wire, line.body.get().as_bytes()));
    }
    Ok(())
}

/// Adds all lines, or finds out why the batch will fail.
async fn validate(start: &mut Start<'_>, blob: &Blob) -> std::io::Result<()> {
    let endpoint = batch::endpoint(start.wire);
    let mut lines = Lines::new(blob);
    let mut number = 0;
    while let Some((at, bytes)) = lines.next()? {
        number += 1;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        if start.len() == MOST_REQUESTS {
            let words = format!("A batch has at most {MOST_REQUESTS} requests.");
            start.blame("too_many_tasks", None, None, words);
            return Ok(());
        }
        match batch::item(bytes, endpoint) {
            Err((code, param, message)) => start.blame(code, Some(number), param, message),
            Ok((line, _)) if !start.is_new(&line.id) => {
                let words = format!("The custom_id '{}' for this line is used before.", line.id);
                start.blame("duplicate_custom_id", Some(number), Some("custom_id"), words);
            }
            Ok((_, model)) if !start.model.is_empty() && model != start.model => {
                let words = format!("The model '{model}' is not the batch's model '{}'.", start.model);
                start.blame("mismatched_model", Some(number), Some("body.model"), words);
            }
            Ok((line, model)) => {
                if start.model.is_empty() {
                    start.model = model.into_owned();
                }
                start.add(at, bytes.len(), request(start.wire, line.body.get().as_bytes()));
            }
        }
        breathe(start).await;
    }
    if number == 0 || (start.len() == 0 && !start.is_blamed()) {
        start.blame("empty_file", None, None, "The input file is empty.".to_owned());
    }
    Ok(())
}

async fn one(call: &Call<'_>, point: Point) -> Result<(Arc<Batch>, Option<Fault>), Halt> {
    openai::admit(call.request.headers())?;
    let batch = find(call, call.request.match_info().query("id"))?;
    let fault = call.gate(point, &batch.words()).await?;
    Ok((batch, fault))
}

pub(super) async fn retrieve(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::OpenAi);
    call.end(one(&call, Point::Status).await.map(|(batch, _)| json(&call, batch::object(&batch))))
}

pub(super) async fn cancel(state: Data<State>, request: HttpRequest) -> HttpResponse {
    let call = Call::new(&state, &request, Provider::OpenAi);
    call.end(stop(&call).await)
}

async fn stop(call: &Call<'_>) -> Answer {
    let (batch, fault) = one(call, Point::Cancel).await?;
    if !batch.cancel() {
        return Err(Problem::new(409, format!("Cannot cancel batch '{}': it is over.", batch.id)).into());
    }
    Ok(call.close(fault.as_ref(), json(call, batch::object(&batch))).await)
}

pub(super) async fn list(state: &State, request: &HttpRequest) -> HttpResponse {
    let call = Call::new(state, request, Provider::OpenAi);
    call.end(page(&call).await)
}

async fn page(call: &Call<'_>) -> Answer {
    openai::admit(call.request.headers())?;
    call.gate(Point::List, &Words::default()).await?;
    let query = query(call.request);
    let most = limit(&query, "limit", 20, 100)?;
    let after = query.get("after").map(|id| find(call, id)).transpose()?.map(|batch| batch.number);
    let mut found = call.state.batches.list(Provider::OpenAi, after, None);
    let has_more = found.len() > most;
    found.truncate(most);
    let objects: Vec<String> = found.iter().map(|batch| batch::object(batch)).collect();
    let ids: Vec<&str> = found.iter().map(|batch| batch.id.as_ref()).collect();
    Ok(json(call, page_of(&objects, &ids, has_more)))
}

/// A page of a list.
pub(super) fn page_of(objects: &[String], ids: &[&str], has_more: bool) -> String {
    format!(
        r#"{{"object":"list","data":[{}],"first_id":{},"last_id":{},"has_more":{has_more}}}"#,
        objects.join(","),
        crate::wire::json(&ids.first()),
        crate::wire::json(&ids.last())
    )
}
