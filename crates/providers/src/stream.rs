//! An answer as it is written: reads events off a connection, and begins again as long as nothing
//! of the answer has been handed on. Refuses to buffer more than one event.

use crate::{
    call::{Call, Head},
    chat::Chunk,
    error::Error,
    finish, http,
    providers::{Inner, Spent},
    sse::{Event, Parser},
    tries::Tries,
    wire::{self, Fault, Fold, Step},
};
use futures_util::stream::{self, BoxStream, StreamExt};
use reqwest::{
    Response,
    header::{CONTENT_TYPE, HeaderMap},
};
use std::{collections::VecDeque, sync::Arc};
use tokio::time::{Instant, sleep, timeout_at};

/// The pieces of an answer: texts, then one [`Chunk::End`], or an error that ends it.
pub type Chunks = BoxStream<'static, Result<Chunk, Error>>;

/// Sends the ask and waits for the first piece.
pub(crate) async fn open(inner: Arc<Inner>, call: Call) -> Result<Chunks, Error> {
    let tries = Tries::within(call.timeout);
    let mut reading = Reading { inner, call, tries, spent: Spent::default(), source: None, ready: None, begun: false };
    let first = reading.next().await?;
    let over = matches!(first, Chunk::End(_));
    let rest = stream::unfold((reading, over), |(mut reading, over)| async move {
        if over {
            return None;
        }
        let next = reading.next().await;
        let over = !matches!(next, Ok(Chunk::Text(_)));
        Some((next, (reading, over)))
    });
    Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
}

struct Reading {
    inner: Arc<Inner>,
    call: Call,
    tries: Tries,
    spent: Spent,
    source: Option<Source>,
    /// The end of an answer that came whole.
    ready: Option<Chunk>,
    /// Some text has been handed on: beginning again would repeat it.
    begun: bool,
}

/// An open connection.
struct Source {
    response: Response,
    headers: HeaderMap,
    parser: Option<Parser>,
    events: VecDeque<Event>,
    stray: Vec<u8>,
    fold: Box<dyn Fold>,
    taken: usize,
    began: Instant,
}

impl Reading {
    async fn next(&mut self) -> Result<Chunk, Error> {
        if let Some(chunk) = self.ready.take() {
            return Ok(chunk);
        }
        loop {
            let began = self.source.as_ref().map_or_else(Instant::now, |source| source.began);
            let deadline = self.tries.deadline();
            let result = timeout_at(deadline, self.advance()).await.unwrap_or_else(|_| Err(self.call.timed_out()));
            match result {
                Ok(Chunk::Text(text)) => {
                    self.begun = true;
                    return Ok(Chunk::Text(text));
                }
                Ok(Chunk::End(answer)) => {
                    self.call.endpoint.note(None, began);
                    return Ok(Chunk::End(self.spent.onto(answer)));
                }
                Err(mut error) => {
                    self.source = None;
                    self.call.endpoint.note(Some(&error), began);
                    let wait = if self.begun { None } else { self.tries.next(error.class) };
                    let Some(wait) = wait else { return Err(std::mem::take(&mut self.spent).onto_error(error)) };
                    self.spent.add(error.billed.take());
                    sleep(wait).await;
                }
            }
        }
    }

    async fn advance(&mut self) -> Result<Chunk, Error> {
        loop {
            let Some(source) = &mut self.source else {
                if let Some(chunk) = self.connect().await? {
                    return Ok(chunk);
                }
                continue;
            };
            match source.step().await {
                Ok(Step::Nothing) => {}
                Ok(Step::Text(text)) => return Ok(Chunk::Text(text)),
                Ok(Step::Done) => return self.end(),
                Err(Trouble::Fault(fault)) => return Err(self.call.fault(fault, &source.headers)),
                Err(Trouble::Broken(broken)) => return Err(http::broken(&self.call.endpoint, &broken)),
            }
        }
    }

    /// Opens the connection. A server that answers whole in spite of having been asked to stream is
    /// taken at its word: its text is the one piece.
    async fn connect(&mut self) -> Result<Option<Chunk>, Error> {
        let began = Instant::now();
        let response = self.call.send(&self.inner.client).await?;
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("application/json") {
            let answer = self.call.read(response, &self.inner.catalogue.prices).await?;
            let text = answer.text.clone();
            self.ready = Some(Chunk::End(self.spent.onto(answer)));
            self.call.endpoint.note(None, began);
            return Ok(Some(Chunk::Text(text)));
        }
        self.source = Some(Source {
            headers: response.headers().clone(),
            response,
            parser: Some(Parser::default()),
            events: VecDeque::new(),
            stray: Vec::new(),
            fold: wire::fold(self.call.wire),
            taken: 0,
            began,
        });
        Ok(None)
    }

    fn end(&mut self) -> Result<Chunk, Error> {
        let Some(Source { fold, headers, stray, .. }) = self.source.take() else {
            return Err(self.call.fault(Fault::Truncated, &HeaderMap::new()));
        };
        let draft = fold.end().map_err(|fault| match fault {
            // A stream that breaks off into a bare JSON error says why.
            Fault::Truncated if stray.contains(&b'{') => self.call.fault(Fault::Said(stray), &headers),
            fault => self.call.fault(fault, &headers),
        })?;
        let answer = finish::judge(&self.call.asked(), draft, Head::of(&headers), &self.inner.catalogue.prices)?;
        Ok(Chunk::End(answer))
    }
}

enum Trouble {
    Fault(Fault),
    Broken(http::Broken),
}

impl Source {
    /// Takes the next event, reading on when there is none; [`Step::Done`] at the end of the stream.
    async fn step(&mut self) -> Result<Step, Trouble> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return self.fold.event(&event).map_err(Trouble::Fault);
            }
            let Some(parser) = &mut self.parser else { return Ok(Step::Done) };
            let mut events = Vec::new();
            match self.response.chunk().await {
                Ok(Some(bytes)) => {
                    self.taken += bytes.len();
                    if self.taken > http::ANSWER_CAP || parser.feed(&bytes, &mut events).is_err() {
                        return Err(Trouble::Broken(http::Broken::TooLarge));
                    }
                }
                Ok(None) => {
                    if let Some(parser) = self.parser.take() {
                        self.stray = parser.end(&mut events);
                    }
                }
                // A connection that breaks after the last word has cost nothing.
                Err(_) if self.fold.is_whole() => self.parser = None,
                Err(error) => return Err(Trouble::Broken(http::Broken::Cut(error))),
            }
            self.events.extend(events);
        }
    }
}
