//! Uploads a file to Gemini in chunks, each sent again at its place when its answer was lost.
//! Refuses to follow the upload's address to another host than our own.

use super::{
    BatchLines, BatchSpec, Batches, gemini,
    remote::{Asked, time_for},
    upload::insert,
    write::Writing,
};
use crate::{error::Error, metrics::Verb, tries::Tries};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use reqwest::header::HeaderMap;
use serde_json::json;
use std::{io, pin::pin};
use tokio::time::sleep;
use url::Url;

/// The bytes of a chunk: a multiple of the 256 KiB that Google asks for.
const CHUNK: usize = 8 << 20;
const TYPE: &str = "application/jsonl";
const STATUS: &str = "x-goog-upload-status";

impl Batches {
    pub(super) async fn upload_chunks(&self, spec: &BatchSpec, lines: BatchLines) -> Result<String, Error> {
        let url = self.begin_upload(spec).await?;
        let writing = Writing::new(self.frame(), spec, lines);
        let mut pieces = pin!(writing.pieces());
        let mut rest = BytesMut::new();
        let mut offset = 0;
        loop {
            let chunk = gather(&mut pieces, &mut rest)
                .await
                .map_err(|_| writing.trouble(self.provider()).unwrap_or_else(|| self.unfinished()))?;
            let end = offset + u64::try_from(chunk.len()).unwrap_or(u64::MAX);
            let last = end >= writing.length();
            let body = self.send_chunk(&url, chunk, offset, last).await?;
            if last {
                let uploaded: gemini::Uploaded = self.parsed(&body, Asked::Lines(&writing))?;
                return uploaded.file.name.ok_or_else(|| self.nonsense(&body, Asked::Lines(&writing)));
            }
            offset = end;
        }
    }

    /// Announces the file and returns where its bytes go.
    async fn begin_upload(&self, spec: &BatchSpec) -> Result<Url, Error> {
        let size = spec.bytes.to_string();
        let mut headers = self.endpoint.headers.clone();
        insert(&mut headers, "x-goog-upload-protocol", "resumable");
        insert(&mut headers, "x-goog-upload-command", "start");
        insert(&mut headers, "x-goog-upload-header-content-length", &size);
        insert(&mut headers, "x-goog-upload-header-content-type", TYPE);
        let file = json!({"file": {"display_name": spec.token, "mime_type": TYPE, "size_bytes": size}}).to_string();
        let url = self.endpoint.path(&["upload", "v1beta", "files"]);
        let (answer, _) = self.post(&url, &headers, Bytes::from(file)).await?;
        let told = answer.get("x-goog-upload-url").and_then(|url| url.to_str().ok());
        told.and_then(|told| self.at_home(told))
            .ok_or_else(|| self.error(format!("{} did not say where to upload to", self.provider())))
    }

    /// Keeps the path and the query of an address, at our own scheme and host.
    fn at_home(&self, told: &str) -> Option<Url> {
        let told = self.endpoint.base.join(told).ok()?;
        let mut url = self.endpoint.base.clone();
        url.set_path(told.path());
        url.set_query(told.query());
        Some(url)
    }

    /// Sends one chunk, again at the same offset while its answer is lost.
    async fn send_chunk(&self, url: &Url, chunk: Bytes, offset: u64, last: bool) -> Result<Vec<u8>, Error> {
        let mut headers = self.endpoint.headers.clone();
        insert(&mut headers, "content-type", TYPE);
        insert(&mut headers, "x-goog-upload-offset", &offset.to_string());
        insert(&mut headers, "x-goog-upload-command", if last { "upload, finalize" } else { "upload" });
        let mut tries = Tries::within(time_for(u64::try_from(chunk.len()).unwrap_or(u64::MAX)) * 4);
        loop {
            let (answer, body) = self.post(url, &headers, chunk.clone()).await?;
            let status = answer.get(STATUS).and_then(|status| status.to_str().ok()).unwrap_or_default();
            match (status, last) {
                ("final", true) | ("active", false) => return Ok(body),
                // Without a status nobody knows whether the bytes were taken.
                ("", _) => {}
                _ => return Err(self.unfinished()),
            }
            let error = self.unfinished();
            match tries.next(error.class) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    async fn post(&self, url: &Url, headers: &HeaderMap, body: Bytes) -> Result<(HeaderMap, Vec<u8>), Error> {
        let limit = time_for(u64::try_from(body.len()).unwrap_or(u64::MAX));
        let mut tries = Tries::within(limit * 4);
        loop {
            let request = self.inner.client.post(url.clone()).headers(headers.clone()).body(body.clone());
            let error = match self.whole(Verb::Upload, request, Asked::Body(&body), limit).await {
                Ok(answer) => return Ok(answer),
                Err(miss) => miss.error,
            };
            match tries.next(error.class) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }

    fn unfinished(&self) -> Error {
        self.error(format!("{} did not take the whole file", self.provider()))
    }
}

/// Gathers the next chunk; what is too much for it stays in `rest`.
async fn gather(
    pieces: &mut (impl Stream<Item = io::Result<Bytes>> + Unpin),
    rest: &mut BytesMut,
) -> io::Result<Bytes> {
    while rest.len() < CHUNK {
        match pieces.next().await {
            Some(piece) => rest.extend_from_slice(&piece?),
            None => break,
        }
    }
    Ok(rest.split_to(rest.len().min(CHUNK)).freeze())
}
