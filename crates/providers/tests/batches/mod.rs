//! What the tests of batches share: asks as lines, and results read to their end.

use crate::server;
use futures_util::{StreamExt, stream};
use providers::{BatchJob, BatchLine, BatchLines, BatchOutcome, BatchResult, BatchSpec, Batches, Error, Request};
use std::collections::HashMap;
use time::{Date, macros::date};

pub const TOKEN: &str = "01980af7651976cd93dd8448eb211c80-001";
pub const DAY: Date = date!(2026 - 11 - 20);

/// The asks of a batch, in the order of their numbers.
pub fn asks(batches: &Batches, requests: &[Request]) -> (BatchSpec, Vec<BatchLine>) {
    let line = |(at, request): (usize, &Request)| BatchLine {
        custom_id: format!("{TOKEN}-{at:06}"),
        body: batches.body(request).unwrap(),
    };
    let lines: Vec<BatchLine> = requests.iter().enumerate().map(line).collect();
    let bytes = lines.iter().map(|line| batches.line_bytes(line.custom_id.len(), line.body.len())).sum();
    let items = u32::try_from(lines.len()).unwrap();
    (BatchSpec { token: TOKEN.to_owned(), model: Some(requests.first().unwrap().model.clone()), items, bytes }, lines)
}

/// Two asks in Korean, one of them by a schema.
pub fn two(batches: &Batches, model: &str) -> (BatchSpec, Vec<BatchLine>) {
    let schema = serde_json::json!({"type": "object", "properties": {"부서": {"type": "string"}},
        "required": ["부서"], "additionalProperties": false});
    let second = Request { schema: Some(schema), ..server::request(model) };
    asks(batches, &[server::request(model), second])
}

pub fn lines(lines: &[BatchLine]) -> BatchLines {
    Box::pin(stream::iter(lines.iter().cloned().map(Ok).collect::<Vec<_>>()))
}

pub fn none() -> BatchLines {
    Box::pin(stream::empty())
}

/// A job as it is remembered: its id and its files.
pub fn job(id: &str, output: Option<&str>, error: Option<&str>) -> BatchJob {
    BatchJob {
        id: id.to_owned(),
        output_file: output.map(str::to_owned),
        error_file: error.map(str::to_owned),
        ..BatchJob::default()
    }
}

/// Reads results to their end, or to the error that ends them.
pub async fn read(batches: &Batches, job: &BatchJob) -> (Vec<BatchResult>, Option<Error>) {
    let mut results = batches.results(job, DAY).await.unwrap();
    let mut read = Vec::new();
    while let Some(result) = results.next().await {
        match result {
            Ok(result) => read.push(result),
            Err(error) => {
                assert!(results.next().await.is_none(), "an error ends the results");
                return (read, Some(error));
            }
        }
    }
    (read, None)
}

/// The outcomes by the last part of their ids.
pub fn by_id(results: Vec<BatchResult>) -> HashMap<String, BatchOutcome> {
    let short = |id: String| id.strip_prefix(&format!("{TOKEN}-")).map_or(id.clone(), str::to_owned);
    results.into_iter().map(|result| (short(result.custom_id), result.outcome)).collect()
}
