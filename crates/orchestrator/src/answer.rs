//! One ask along the agent's models until one answers. A provider in blackout is passed over, unless this ask may try
//! whether it is over; with nobody left the ask is held, not failed.

use crate::{Parts, blackout, routes::provider, spend};
use boot::trace;
use domain::{
    advance::AskWork,
    money::{Nanos, Usage},
    pace::Pace,
    schema,
    task::{Cause, Failure, HeldFor},
};
use providers::{Answer, Class, Message, Request, Role};
use rand::RngExt as _;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};
use store::{Blackout, Claimed, End, Hold};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

/// The longest pause that a provider may ask for and be waited for; the ask is queued meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// How often one ask is put off because providers ask for a pause.
const MOST_PAUSES: i32 = 8;
/// How long an ask waits, in ms, when too many wait for its provider already.
const CROWDED_MS: std::ops::Range<i64> = 4_000..12_000;

/// What the tries of one ask have cost so far.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) usage: Usage,
    pub(crate) nanos: Nanos,
    pub(crate) list_nanos: Nanos,
    pub(crate) model: Option<String>,
    pub(crate) emulated: bool,
}

impl Spent {
    /// Adds what was billed for an answer, used or not.
    fn add(&mut self, answer: Option<&Answer>) {
        if let Some(answer) = answer {
            self.usage += answer.usage;
            self.nanos += answer.nanos;
            self.list_nanos += answer.list_nanos;
            self.model = Some(answer.model.clone());
            self.emulated |= answer.emulated;
        }
    }
}

/// One ask on its way.
struct Asking<'a> {
    parts: &'a Parts,
    task: &'a Claimed,
    work: &'a AskWork,
    spent: &'a mut Spent,
    lost: &'a CancellationToken,
    /// Set when the first call is made: the time in line does not count.
    deadline: Option<Instant>,
    /// Whom it waits for, how long and why, should nobody answer: the one whose time comes first.
    waits: Option<(Duration, String, String)>,
    /// How long a provider asked to be left alone, the least of them.
    pause: Option<Duration>,
    last: Failure,
}

/// What one model brought.
enum Try {
    Answered(Answer),
    /// Another model may do better.
    Next,
    Ended(End),
}

/// Asks along the agent's models until one answers; a misfit is asked again with what was wrong.
///
/// A call that is under way is not broken off when the task is lost or cancelled: its provider bills it, and only its
/// answer says how much. It is not followed by another.
pub(crate) async fn answer(
    parts: &Parts,
    task: &Claimed,
    work: &AskWork,
    (spent, lost): (&mut Spent, &CancellationToken),
) -> Result<Answer, End> {
    let models: Vec<&String> = work.models.iter().filter(|model| parts.providers.serves(model)).collect();
    let Some(first) = models.first() else {
        return Err(End::Failed(Failure::new(Cause::Unavailable, unavailable(work))));
    };
    let blackouts: Arc<HashMap<String, Blackout>> =
        if task.blackouts { parts.blackouts.now(&parts.store).await } else { Arc::default() };
    let mut reserved = provider(first);
    let last = Failure::new(Cause::Exhausted, "no model answered");
    let mut asking = Asking { parts, task, work, spent, lost, deadline: None, waits: None, pause: None, last };
    for model in models {
        let dark = blackouts.get(provider(model));
        if let Some(dark) = dark
            && !asking.may_try(dark).await
        {
            continue;
        }
        if provider(model) != reserved {
            spend::again(parts, task, work, model).await.map_err(End::Held)?;
            reserved = provider(model);
        }
        match asking.model(model, dark.is_some()).await {
            Try::Answered(answer) => return Ok(answer),
            Try::Next => {}
            Try::Ended(end) => return Err(end),
        }
    }
    Err(asking.nobody())
}

impl Asking<'_> {
    /// Tells whether this ask may try whether a blackout is over; if not, it may have to wait for its end.
    async fn may_try(&mut self, dark: &Blackout) -> bool {
        let now = OffsetDateTime::now_utc();
        if dark.may_be_probed(now) {
            match self.parts.store.blackout_probe(&dark.provider).await {
                Ok(true) => return true,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "a blackout could not be tried"),
            }
        }
        self.wait(dark.wait(now), &dark.provider, &dark.reason);
        false
    }

    fn wait(&mut self, time: Duration, provider: &str, reason: &str) {
        if self.waits.as_ref().is_none_or(|(known, ..)| time < *known) {
            self.waits = Some((time, provider.to_owned(), reason.to_owned()));
        }
    }

    /// Asks one model, again when its answer does not fit. `probing`: whether it tries if a blackout is over.
    async fn model(&mut self, model: &str, probing: bool) -> Try {
        let mut request = request(self.task, self.work, model);
        for round in 0..=self.work.retry {
            let got = match self.once(&mut request).await {
                Ok(got) => got,
                Err(end) => return Try::Ended(end),
            };
            if probing && round == 0 {
                self.probed(&got, model).await;
            }
            let got = match got {
                Ok(got) => got,
                Err(error) => return self.failed(&error, probing).await,
            };
            self.spent.add(Some(&got));
            match schema::fits(self.work.schema.as_ref(), got.data.clone(), &got.text) {
                Ok(data) => return Try::Answered(Answer { data, ..got }),
                Err(misfit) => {
                    self.last = Failure::new(Cause::Misfit, format!("{model} was asked {} times: {misfit}", round + 1));
                    request.messages.push(Message { role: Role::Assistant, text: got.text });
                    request.messages.push(Message { role: Role::User, text: schema::correction(&misfit) });
                }
            }
        }
        Try::Ended(End::Failed(self.last.clone()))
    }

    /// Makes one call when its turn comes.
    async fn once(&mut self, request: &mut Request) -> Result<Result<Answer, providers::Error>, End> {
        let Some(_call) = self.parts.share.call(provider(&request.model)).await else {
            let reason = format!("many asks wait for {} already; this one waits its turn", provider(&request.model));
            return Err(End::Again { not_before_ms: rand::rng().random_range(CROWDED_MS), reason });
        };
        if self.lost.is_cancelled() {
            let reason = "it was cancelled or taken over while it ran";
            return Err(End::Failed(Failure::new(Cause::Cancelled, reason)));
        }
        let now = Instant::now();
        let deadline = *self.deadline.get_or_insert_with(|| now + Duration::from_millis(self.work.timeout_ms));
        request.timeout = deadline.saturating_duration_since(now);
        if request.timeout.is_zero() {
            let reason = format!("no answer within {} s", self.work.timeout_ms / 1000);
            return Err(End::Failed(Failure::new(Cause::TimedOut, reason)));
        }
        Ok(self.parts.providers.ask(request).await)
    }

    /// Takes in what a try in a blackout showed: anything but a failure that may pass is an answer of the provider's.
    async fn probed(&self, got: &Result<Answer, providers::Error>, model: &str) {
        let still = got.as_ref().is_err_and(|error| matches!(error.class, Class::Hold | Class::Retry { .. }));
        if !still {
            blackout::end(self.parts, provider(model)).await;
        }
    }

    /// Takes a failed call in and says whether the next model is asked.
    async fn failed(&mut self, error: &providers::Error, probing: bool) -> Try {
        self.spent.add(error.billed.as_deref());
        self.last = failure(error);
        match error.class {
            Class::Fail => return Try::Ended(End::Failed(self.last.clone())),
            Class::Hold => {
                let time = blackout::begin(self.parts, error).await;
                self.wait(time, &error.provider, &error.reason);
            }
            Class::Retry { .. } if probing => {
                let time = blackout::begin(self.parts, error).await;
                self.wait(time, &error.provider, &error.reason);
            }
            Class::Retry { after: Some(after) } if after <= LONGEST_PAUSE => {
                self.pause = Some(self.pause.map_or(after, |known| known.min(after)));
            }
            // Retries are used up, or the provider cannot serve this now: the next model stands in.
            Class::Retry { .. } | Class::FailOver => {}
        }
        Try::Next
    }

    /// Says how the ask ends when nobody has answered.
    fn nobody(self) -> End {
        if let Some((time, provider, why)) = self.waits {
            self.parts.metrics.held(HeldFor::Blackout);
            return End::Held(Hold {
                held_for: HeldFor::Blackout,
                reason: format!("It waits for {provider}, which cannot serve: {why}. It is tried again by itself."),
                provider: Some(provider),
                nanos: Nanos(0),
                until: Some(self.pause.map_or(time, |pause| pause.min(time))),
            });
        }
        match self.pause.filter(|_| self.task.attempt < MOST_PAUSES) {
            Some(pause) => End::Again {
                not_before_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX),
                reason: format!("put off for {} s, as its provider asks: {}", pause.as_secs(), self.last.reason),
            },
            None => End::Failed(self.last),
        }
    }
}

/// Builds the request of an ask to a model.
pub(crate) fn request(task: &Claimed, work: &AskWork, model: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: Some(work.system.clone()).filter(|system| !system.is_empty()),
        messages: vec![Message { role: Role::User, text: work.prompt.clone() }],
        schema: work.schema.clone(),
        max_tokens: work.max_tokens,
        flex: task.pace == Pace::Flex,
        timeout: Duration::from_millis(work.timeout_ms),
        request_id: format!("{}-{}", task.id, task.attempt),
        traceparent: Some(trace::current().to_string()),
    }
}

fn failure(error: &providers::Error) -> Failure {
    let cause = match error.class {
        Class::Fail => Cause::Refused,
        Class::Hold | Class::FailOver => Cause::Unavailable,
        Class::Retry { .. } => Cause::Exhausted,
    };
    Failure::new(cause, error.to_string())
}

fn unavailable(work: &AskWork) -> String {
    format!(
        "none of the agent's models ({}) belongs to a provider that is switched on; set its key",
        work.models.join(", ")
    )
}
