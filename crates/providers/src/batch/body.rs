//! One ask as a line of a batch.
//! Refuses what only a single call has: flex, streaming, ids and a timeout.

use super::{BatchSpec, Batches, Kind, open_api, openai, write};
use crate::{
    call::Written,
    chat::Request,
    error::{Class, Error},
};
use bytes::Bytes;
use write::Frame;

impl Batches {
    /// Returns the ask as one line of JSON, ready to become a line of a batch: the line, without its
    /// id. The same request always gives the same bytes. What only a single call has (`flex`, `timeout`,
    /// ids) is left out.
    ///
    /// # Errors
    /// [`Class::Fail`]: the request has no message, no room for an answer, or names no model of this provider.
    pub fn body(&self, request: &Request) -> Result<String, Error> {
        let provider = self.provider();
        if request.model.split_once('/').is_none_or(|(name, _)| name != provider) {
            return Err(self.refusal(format!("{:?} is no model of {provider}", request.model)));
        }
        let Written { wire, body, .. } = Written::new(&self.endpoint, request, false, false)?;
        let before = match self.kind {
            Kind::Anthropic => "{\"params\":".to_owned(),
            Kind::OpenAi => format!("{{\"method\":\"POST\",\"url\":\"{}\",\"body\":", openai::endpoint(wire)),
            Kind::Gemini => "{\"request\":".to_owned(),
        };
        let body = match self.kind {
            Kind::Gemini if request.schema.is_some() => kept_to(body),
            _ => body,
        };
        let body =
            String::from_utf8(body).map_err(|_| self.refusal("the request cannot be written as JSON".to_owned()))?;
        Ok(before + &body + "}")
    }

    /// Returns how many bytes one line adds to the file or to the request, from the length in bytes of
    /// its `custom_id` and its `body`.
    #[must_use]
    pub fn line_bytes(&self, custom_id: usize, body: usize) -> u64 {
        u64::try_from(self.frame().line(custom_id, body)).unwrap_or(u64::MAX)
    }

    /// What surrounds the lines: nothing in a file, an array in a request.
    pub(super) fn frame(&self) -> Frame {
        match self.kind {
            Kind::Anthropic => Frame {
                id: "custom_id",
                end: b',',
                ends_last: false,
                before: Bytes::from_static(b"{\"requests\":["),
                after: Bytes::from_static(b"]}"),
            },
            Kind::OpenAi => Frame::file("custom_id"),
            Kind::Gemini => Frame::file("key"),
        }
    }

    /// Checks what is known before the lines are read.
    pub(super) fn check(&self, spec: &BatchSpec) -> Result<(), Error> {
        let (items, bytes) = self.limits();
        if !write::is_name(&spec.token) {
            return Err(self.refusal(format!("{:?} is no token of a batch", spec.token)));
        }
        if spec.items == 0 {
            return Err(self.refusal("a batch without asks".to_owned()));
        }
        if spec.items > items || spec.bytes > bytes {
            let reason =
                format!("{} asks of {} bytes: {} takes {items} of {bytes}", spec.items, spec.bytes, self.provider());
            return Err(self.refusal(reason));
        }
        Ok(())
    }

    /// Returns the one model of the batch as it is sent.
    pub(super) fn model<'a>(&'a self, spec: &'a BatchSpec) -> Result<&'a str, Error> {
        let model = spec.model.as_deref().map_or("", |model| self.endpoint.sent_model(model));
        if model.is_empty() { Err(self.refusal("the batch names no model".to_owned())) } else { Ok(model) }
    }

    /// An error of ours that nothing mends.
    pub(super) fn refusal(&self, reason: String) -> Error {
        Error::new(Class::Fail, self.provider(), reason)
    }
}

/// Puts the schema where batches of Gemini keep to it.
fn kept_to(body: Vec<u8>) -> Vec<u8> {
    let written = serde_json::from_slice(&body).ok().and_then(|mut request| {
        open_api::put(&mut request)?;
        serde_json::to_vec(&request).ok()
    });
    written.unwrap_or(body)
}
