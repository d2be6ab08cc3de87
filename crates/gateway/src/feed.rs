//! One client's view of the events: what it missed, then what happens, filtered, bounded.
//! Refuses to know how the client is reached.

use crate::{
    error::{Code, Problem, Wrong},
    fields::Fields,
    gateway::Gateway,
    hub::{Event, Subscription},
};
use actix_web::{HttpRequest, web::Data};
use bus::EventId;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// How long a quiet connection goes without a sign of life.
pub(crate) const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How many missed events are read at once.
const PAGE: usize = 256;

/// Which events a client wants, and since when.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// The last event that the client has seen.
    after: Option<EventId>,
    /// Only this order and what belongs to it.
    root: Option<Uuid>,
    /// Only orders, not their parts.
    roots: bool,
}

impl Asked {
    /// Reads `after`, `root` and `roots`; the header `Last-Event-ID` goes before `after`.
    ///
    /// # Errors
    /// 422 naming the parameters that are wrong, 400 for the header.
    pub(crate) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let mut fields = Fields::of_query(request.query_string());
        let after = fields.parsed::<EventId>("after", "the id of an event, such as 1764000000000-0");
        let root = fields.parsed::<Uuid>("root", "the id of an order");
        let roots = fields.parsed::<bool>("roots", "true or false").unwrap_or_default();
        fields.finish()?;
        let after = match request.headers().get("last-event-id").filter(|value| !value.is_empty()) {
            None => after,
            Some(value) => {
                let id = value.to_str().ok().and_then(|text| text.parse().ok());
                Some(id.ok_or_else(|| {
                    Problem::new(Code::InvalidHeader, "Last-Event-ID is not the id of an event.").with_error(
                        Wrong::new("Last-Event-ID", "is not the id of an event", "an id that was sent, or no header"),
                    )
                })?)
            }
        };
        Ok(Self { after, root, roots })
    }

    fn wants(&self, event: &Event) -> bool {
        self.root.is_none_or(|root| root == event.root_id) && (!self.roots || event.is_root)
    }
}

/// What a client is to be told next.
#[derive(Debug)]
pub(crate) enum Told {
    /// From here on nothing is missed.
    Ready,
    /// Something happened.
    Event(Arc<Event>),
    /// Events were lost: what the client shows must be read again.
    Reset,
    /// Nothing happened for a while.
    KeepAlive,
    /// The client read too slowly; it may come back with the id of the last event it saw.
    TooSlow,
    /// Redis or Postgres is away; the client may come back with the id of the last event it saw.
    Away,
    /// The service stops.
    Stopping,
}

/// One client's view of the events.
#[derive(Debug)]
pub(crate) struct Feed {
    gateway: Data<Gateway>,
    subscription: Subscription,
    asked: Asked,
    /// Missed events that were read and not yet told.
    missed: VecDeque<Arc<Event>>,
    /// The last event that was told or passed over.
    last: EventId,
    phase: Phase,
    /// Whether nothing was received live since the client caught up.
    just_caught_up: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Starting,
    CatchingUp,
    Live,
}

impl Feed {
    /// Subscribes; nothing that happens after this is missed.
    ///
    /// # Errors
    /// 429 when too many streams are open, 503 while Redis is away.
    pub(crate) async fn open(gateway: Data<Gateway>, asked: Asked, transport: &'static str) -> Result<Self, Problem> {
        let subscription = gateway.hub.subscribe(transport)?;
        subscription.live().await?;
        let (missed, last) = (VecDeque::new(), asked.after.unwrap_or(EventId::START));
        Ok(Self { gateway, subscription, asked, missed, last, phase: Phase::Starting, just_caught_up: false })
    }

    /// Waits for what the client is to be told next.
    pub(crate) async fn next(&mut self) -> Told {
        let quiet = tokio::time::sleep(KEEP_ALIVE);
        tokio::pin!(quiet);
        loop {
            if self.gateway.stop.is_cancelled() {
                return Told::Stopping;
            }
            if let Some(event) = self.missed.pop_front() {
                return Told::Event(event);
            }
            match self.phase {
                Phase::Starting => return self.start(),
                Phase::CatchingUp => {
                    if let Some(told) = self.catch_up().await {
                        return told;
                    }
                }
                Phase::Live => {
                    let stop = self.gateway.stop.clone();
                    let received = tokio::select! {
                        received = self.subscription.receiver.recv() => received,
                        () = &mut quiet => return Told::KeepAlive,
                        () = stop.cancelled() => return Told::Stopping,
                    };
                    let just_caught_up = std::mem::take(&mut self.just_caught_up);
                    match received {
                        Ok(event) if event.is_reset => return Told::Reset,
                        Ok(event) if event.id > self.last => {
                            self.last = event.id;
                            if self.asked.wants(&event) {
                                return Told::Event(event);
                            }
                        }
                        Ok(_) => {}
                        // It was busy reading what it had missed: there is more of that now.
                        Err(RecvError::Lagged(_)) if just_caught_up => self.phase = Phase::CatchingUp,
                        Err(RecvError::Lagged(_)) => return Told::TooSlow,
                        Err(RecvError::Closed) => return Told::Stopping,
                    }
                }
            }
        }
    }

    /// Notes that the client was dropped because it read too slowly.
    pub(crate) fn dropped(&self) {
        self.subscription.dropped();
    }

    fn start(&mut self) -> Told {
        self.phase = if self.asked.after.is_some() { Phase::CatchingUp } else { Phase::Live };
        Told::Ready
    }

    /// Reads one page of what was missed; tells when there was a gap or it could not be read.
    async fn catch_up(&mut self) -> Option<Told> {
        match self.gateway.hub.missed(self.last, PAGE).await {
            Err(problem) => {
                tracing::warn!(
                    cause = problem.cause().map(|cause| format!("{cause:#}")),
                    "missed events cannot be read"
                );
                Some(Told::Away)
            }
            Ok(page) => {
                if page.count < PAGE {
                    self.phase = Phase::Live;
                    self.just_caught_up = true;
                }
                if let Some(last) = page.last {
                    self.last = last;
                }
                let asked = &self.asked;
                self.missed.extend(page.events.into_iter().filter(|event| asked.wants(event)));
                page.gap.then_some(Told::Reset)
            }
        }
    }
}
