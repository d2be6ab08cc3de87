//! Shows batches, has what waits for one go at once, and notes that one is to be cancelled. Refuses to speak to a
//! provider: the batch-poller does what is noted here.

use crate::{
    body,
    error::{Code, Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
    page::{cursor, of_page, read_limit},
    request::Facts,
    shown::{
        BatchDetailShown, BatchOrderShown, BatchShown, BatchWaitShown, BatchesShown, CancelBatchShown, FlushShown,
        Latencies, WaitingShown,
    },
    tasks::{id_of, words},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use domain::batch::{BatchState, CancelThen};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeSet, HashMap};
use store::{BatchFilter, CancelWish};
use time::OffsetDateTime;
use utoipa::ToSchema;
use uuid::Uuid;

/// The longest name of a provider, in characters.
pub(crate) const MAX_PROVIDER: usize = 64;
/// How many of the orders that share a batch are named.
const ORDERS: u16 = 20;

/// What no longer waits.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Flushed)]
pub(crate) struct FlushedShown {
    /// The groups that go at once.
    groups: Vec<FlushedGroupShown>,
    /// How many asks that is.
    items: i64,
}

/// A group of asks that goes at once.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FlushedGroup)]
pub(crate) struct FlushedGroupShown {
    /// The provider, or `provider/model`.
    group: String,
    /// How many asks.
    items: i64,
}

/// Lists batches, newest first, and the groups of asks that wait for one.
#[utoipa::path(get, path = "/api/batches", tag = "batches",
    params(
        ("provider" = Option<String>, Query, description = "At whom they are."),
        ("state" = Option<String>, Query, description = "Where they stand."),
        ("live" = Option<bool>, Query, description = "Whether those that are over are left out."),
        ("limit" = Option<u16>, Query, description = "How many, 1 to 200; 50 when not given.", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = BatchesShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
    ))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_query(request.query_string());
    let provider = fields.text("provider", MAX_PROVIDER);
    let state = fields.parsed::<BatchState>("state", &words(BatchState::ALL, BatchState::as_str));
    let live = fields.parsed::<bool>("live", "true or false").unwrap_or_default();
    let limit = read_limit(&mut fields);
    let filter = BatchFilter { provider, state, live };
    let mark = format!("{filter:?}");
    let after = of_page(&mut fields, &mark);
    fields.finish()?;
    let is_head = after.is_none() && filter.state.is_none();
    let (page, waiting) = tokio::try_join!(gateway.store.batch_list(&filter, after, limit), async {
        if is_head { gateway.store.batch_waiting(filter.provider.as_deref()).await } else { Ok(Vec::new()) }
    })?;
    let latencies = latencies(&gateway, page.batches.iter().map(|batch| batch.provider.as_str())).await?;
    let now = OffsetDateTime::now_utc();
    Ok(HttpResponse::Ok().json(BatchesShown {
        batches: page.batches.into_iter().map(|batch| BatchShown::of(batch, &latencies, now)).collect(),
        waiting: waiting.into_iter().map(WaitingShown::from).collect(),
        next: page.next.map(|last| cursor(last, &mark)),
    }))
}

/// Shows one batch with the orders that it has asks of.
#[utoipa::path(get, path = "/api/batches/{id}", tag = "batches",
    params(("id" = Uuid, Path, description = "The batch.")),
    responses(
        (status = 200, description = "The batch.", body = BatchDetailShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such batch.", body = ProblemBody),
    ))]
pub(crate) async fn show(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let id = id_of(&request)?;
    Ok(HttpResponse::Ok().json(look(&gateway, id).await?))
}

async fn look(gateway: &Gateway, id: Uuid) -> Result<BatchDetailShown, Problem> {
    let batch = gateway.store.batch_views(&[id]).await?.pop().ok_or_else(|| unknown(id))?;
    let ((orders, orders_total), latencies) = tokio::try_join!(
        async { Ok::<_, Problem>(gateway.store.batch_orders(id, ORDERS).await?) },
        latencies(gateway, [batch.provider.as_str()].into_iter()),
    )?;
    Ok(BatchDetailShown {
        batch: BatchShown::of(batch, &latencies, OffsetDateTime::now_utc()),
        orders: orders.into_iter().map(BatchOrderShown::from).collect(),
        orders_total,
    })
}

fn unknown(id: Uuid) -> Problem {
    Problem::new(Code::NotFound, format!("There is no batch {id}."))
}

/// Has the asks that wait for others to share a batch with go at once.
#[utoipa::path(post, path = "/api/batches/flush", tag = "batches",
    request_body = Option<FlushShown>,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat.")),
    responses(
        (status = 200, description = "They go.", body = FlushedShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 422, description = "Wrong fields, or nobody knows the provider.", body = ProblemBody),
    ))]
pub(crate) async fn flush(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object_or_nothing(&request, payload).await?;
    let provider = fields.text("provider", MAX_PROVIDER);
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    once(&gateway, &caller, asked, async || {
        if let Some(provider) = &provider {
            crate::budgets::check_provider(&gateway, "provider", provider).await?;
        }
        let groups = gateway.store.batch_flush(provider.as_deref()).await?;
        let items = groups.iter().fold(0_i64, |sum, (_, items)| sum.saturating_add(*items));
        if items > 0 {
            gateway.announcer.wake_poller("flush", Uuid::nil(), Some(&*facts.traceparent));
        }
        let groups = groups.into_iter().map(|(group, items)| FlushedGroupShown { group, items }).collect();
        Ok(Done::ok(json!(FlushedShown { groups, items }), None))
    })
    .await
}

/// Notes that a batch is to be cancelled at its provider. What was answered before is kept and paid for; the other asks
/// are asked `now`, go into another `batch`, or are cancelled.
#[utoipa::path(post, path = "/api/batches/{id}/cancel", tag = "batches",
    request_body = Option<CancelBatchShown>,
    params(
        ("id" = Uuid, Path, description = "The batch."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is noted.", body = BatchDetailShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "No such batch.", body = ProblemBody),
        (status = 409, description = "It has ended, or is about to be settled: `state`.", body = ProblemBody),
        (status = 422, description = "Wrong fields.", body = ProblemBody),
    ))]
pub(crate) async fn cancel(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object_or_nothing(&request, payload).await?;
    let then = fields.parsed::<CancelThen>("then", &words(CancelThen::ALL, CancelThen::as_str));
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    let id = id_of(&request)?;
    let then = then.unwrap_or(CancelThen::Now);
    once(&gateway, &caller, asked, async || match gateway.store.batch_cancel_wish(id, then).await? {
        CancelWish::Noted(_) => {
            gateway.announcer.wake_poller("batch", id, Some(&*facts.traceparent));
            tracing::info!(batch = %id, %then, by = &*caller.name, "a batch is to be cancelled");
            Ok(Done::ok(json!(look(&gateway, id).await?), None))
        }
        CancelWish::TooLate(state) => {
            let detail = format!("The batch is {state}: there is nothing to cancel any more.");
            Err(Problem::new(Code::AlreadyEnded, detail).with_fact("state", state.as_str()))
        }
        CancelWish::Unknown => Err(unknown(id)),
    })
    .await
}

/// Reads what the batches of these providers took lately.
async fn latencies(gateway: &Gateway, providers: impl Iterator<Item = &str>) -> Result<Latencies, Problem> {
    let providers: BTreeSet<&str> = providers.collect();
    let providers: Vec<String> = providers.into_iter().map(str::to_owned).collect();
    Ok(gateway.store.batch_latency(&providers).await?)
}

/// Finds the batches that a task waits for, or, without one, every part of an order.
///
/// # Errors
/// While Postgres is away.
pub(crate) async fn waits(
    gateway: &Gateway,
    root: Uuid,
    task: Option<Uuid>,
) -> Result<HashMap<Uuid, BatchWaitShown>, Problem> {
    let waits = gateway.store.batch_waits(root, task).await?;
    let latencies = latencies(gateway, waits.iter().map(|wait| wait.provider.as_str())).await?;
    let now = OffsetDateTime::now_utc();
    Ok(waits.into_iter().map(|wait| (wait.task, BatchWaitShown::of(wait, &latencies, now))).collect())
}
