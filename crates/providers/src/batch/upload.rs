//! Uploads the lines of a batch as a file.
//! Refuses to hold the file: its size is known before its first line is read.

use super::{
    BatchLines, BatchSpec, Batches, Kind, openai,
    remote::{Asked, time_for},
    write::{Frame, Writing},
};
use crate::{error::Error, metrics::Verb, tries::Tries};
use bytes::Bytes;
use reqwest::{
    Body,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue},
};
use tokio::time::sleep;

/// How long OpenAI keeps a file that we could not delete: three days, of which a batch needs one.
const KEPT_SECONDS: u32 = 3 * 24 * 3600;

impl Batches {
    /// Uploads the lines as a file and returns the file's id; `None` at a provider that takes them with
    /// [`Batches::create`], and then the lines are not touched. An orphaned file does no harm.
    ///
    /// # Errors
    /// [`crate::Class::Retry`]: call again with fresh lines. [`crate::Class::Fail`]: the lines are not
    /// what the spec says.
    pub async fn upload(&self, spec: &BatchSpec, lines: BatchLines) -> Result<Option<String>, Error> {
        self.check(spec)?;
        match self.kind {
            Kind::Anthropic => Ok(None),
            Kind::OpenAi => self.upload_form(spec, lines).await.map(Some),
            Kind::Gemini => self.upload_chunks(spec, lines).await.map(Some),
        }
    }

    /// Sends the file as a form, in one go. Once a line was read it cannot be sent again from here.
    async fn upload_form(&self, spec: &BatchSpec, lines: BatchLines) -> Result<String, Error> {
        let boundary = format!("chavion-{}", spec.token);
        let writing = Writing::new(form(&boundary, &spec.token), spec, lines);
        let limit = time_for(writing.length());
        let mut headers = self.endpoint.headers.clone();
        insert(&mut headers, CONTENT_TYPE.as_str(), &format!("multipart/form-data; boundary={boundary}"));
        insert(&mut headers, CONTENT_LENGTH.as_str(), &writing.length().to_string());
        insert(&mut headers, "x-client-request-id", &spec.token);
        let mut tries = Tries::within(limit);
        loop {
            let request = self.inner.client.post(self.endpoint.path(&["files"])).headers(headers.clone());
            let request = request.body(Body::wrap_stream(writing.pieces()));
            let error = match self.whole(Verb::Upload, request, Asked::Lines(&writing), limit).await {
                Ok((_, body)) => {
                    let file: openai::File = self.parsed(&body, Asked::Lines(&writing))?;
                    return file.id.ok_or_else(|| self.nonsense(&body, Asked::Lines(&writing)));
                }
                Err(miss) => writing.trouble(self.provider()).unwrap_or(miss.error),
            };
            match tries.next(error.class).filter(|_| writing.is_untouched()) {
                Some(wait) => sleep(wait).await,
                None => return Err(error),
            }
        }
    }
}

/// The parts of the form, in the order of OpenAI's own client. A line feed inside a line is escaped, so
/// that no line can hold the boundary, which stands after CR LF.
fn form(boundary: &str, token: &str) -> Frame {
    let field = |name: &str, value: &str| {
        format!("--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
    };
    let fields = field("purpose", "batch")
        + &field("expires_after[anchor]", "created_at")
        + &field("expires_after[seconds]", &KEPT_SECONDS.to_string());
    // Without the ending `.jsonl` the file is refused.
    let file = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"{token}.jsonl\"\r\n\
         content-type: application/octet-stream\r\n\r\n"
    );
    Frame {
        before: Bytes::from(fields + &file),
        after: Bytes::from(format!("\r\n--{boundary}--\r\n")),
        ..Frame::file("custom_id")
    }
}

/// Sets a header whose value we made ourselves, of letters that every header may have.
pub(super) fn insert(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
