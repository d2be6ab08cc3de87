//! Couriers: the report goes to a webhook, signed, and again with growing pauses until it is taken or the
//! tries are used up. The task's id travels as `webhook-id`, so that a receiver can drop a repetition.

use crate::{
    Parts,
    advance::{Advancer, Job},
    ask, traced, webhook,
};
use boot::{Tasks, trace};
use bus::Delivery;
use domain::{
    advance::{DeliverWork, Work},
    order::Deliver,
    task::{Cause, Failure, Kind},
};
use secrecy::ExposeSecret as _;
use std::{sync::Arc, time::Duration};
use store::{Claimed, End, Outcome};
use tracing::{Instrument as _, Span, field::Empty};

/// How often a delivery is tried; with the pauses below the last try comes some five minutes after the first.
/// The order is completed only then, so that its tree tells whether the report arrived.
const TRIES: i32 = 6;
/// The pause after the first failure; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(10);

/// How long a webhook's receiver may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Builds the couriers' HTTP client; without certificates on the machine it still reaches plain webhooks.
pub(crate) fn courier() -> Result<reqwest::Client, reqwest::Error> {
    // A signed report goes where the order says and nowhere else.
    let builder = || {
        let none = reqwest::redirect::Policy::none();
        reqwest::Client::builder().timeout(PATIENCE).redirect(none).no_proxy().tcp_nodelay(true)
    };
    builder().build().or_else(|_| builder().tls_certs_only([]).build())
}

/// Claims a slice of deliveries and makes each on its own.
pub(crate) async fn handle(parts: Arc<Parts>, advancer: Advancer, tasks: Tasks, slice: Vec<Delivery>) {
    let Some(mut claimed) = ask::claim(&parts, Kind::Deliver, &slice).await else {
        slice.into_iter().for_each(|delivery| delivery.fail("the claim failed"));
        return;
    };
    for delivery in slice {
        let Some(task) = claimed.remove(&delivery.entry.id) else {
            delivery.ack();
            continue;
        };
        let (parts, advancer) = (Arc::clone(&parts), advancer.clone());
        tasks.spawn("deliver", async move {
            let lost = parts.leases.hold(task.id, task.attempt);
            let span = tracing::info_span!(
                "deliver",
                otel.kind = "consumer",
                otel.status_code = Empty,
                task = %task.id,
                attempt = task.attempt,
                outcome = Empty,
                cause = Empty,
            );
            let end = tokio::select! {
                end = trace::scope(span, task.traceparent.as_deref(), deliver(&parts, &task)) => end,
                // Cancelled, taken over, or the drain ends: whether it arrived is not known, so it is tried again.
                () = lost.cancelled() => End::Again { not_before_ms: 0, reason: "its courier was stopped".to_owned() },
            };
            parts.metrics.delivered(&end);
            let outcome = Outcome::plain(task.id, task.root_id, Some(task.attempt), end);
            let held = Some((task.id, task.attempt));
            advancer.submit(Job { root: task.root_id, outcome: Some(outcome), delivery, held }).await;
        });
    }
}

async fn deliver(parts: &Parts, task: &Claimed) -> End {
    let Work::Deliver(work) = &task.work else {
        return End::Failed(Failure::new(Cause::Internal, "the row's work does not belong to a courier"));
    };
    let Deliver::Webhook { url } = &work.target;
    // Its address may hold a capability: it is in no span.
    let span = tracing::info_span!(
        target: trace::TARGET,
        "webhook",
        otel.name = "POST webhook",
        otel.kind = "client",
        otel.status_code = Empty,
        http.request.method = "POST",
        http.response.status_code = Empty,
    );
    let end = match post(parts, task, work, url).instrument(span).await {
        Ok(()) => End::Completed { result: serde_json::json!({ "text": "delivered" }) },
        Err(Miss::Final(reason)) => End::Failed(Failure::new(Cause::Undelivered, reason)),
        Err(Miss::Passing(reason)) if task.attempt >= TRIES => {
            End::Failed(Failure::new(Cause::Undelivered, format!("{reason}; tried {TRIES} times")))
        }
        Err(Miss::Passing(reason)) => {
            let doublings = u32::try_from(task.attempt.saturating_sub(1)).unwrap_or(0);
            let pause = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings));
            End::Again { not_before_ms: i64::try_from(pause.as_millis()).unwrap_or(i64::MAX), reason }
        }
    };
    traced::ended(&end);
    end
}

/// Why a delivery did not arrive. Reasons name no URL: it may hold a capability.
enum Miss {
    Passing(String),
    Final(String),
}

async fn post(parts: &Parts, task: &Claimed, work: &DeliverWork, url: &str) -> Result<(), Miss> {
    let Some(secret) = &parts.config.webhook_secret else {
        return Err(Miss::Final("WEBHOOK_SECRET is not set, and an unsigned report is not sent".to_owned()));
    };
    let timestamp = time::OffsetDateTime::now_utc().unix_timestamp();
    let body = serde_json::json!({
        "type": "report", "task_id": task.root_id, "title": task.title, "markdown": work.report, "timestamp": timestamp,
    })
    .to_string();
    let id = task.id.to_string();
    let signature = webhook::signature(secret.expose_secret().as_bytes(), &id, timestamp, &body);
    let request = parts
        .courier
        .post(url)
        .header("content-type", "application/json")
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature)
        .header("traceparent", trace::current().to_string());
    let answer = request.body(body).send().await.map_err(|error| {
        Span::current().record("otel.status_code", "error");
        Miss::Passing(describe(&error))
    })?;
    let status = answer.status();
    Span::current().record("http.response.status_code", status.as_u16());
    if !status.is_success() {
        Span::current().record("otel.status_code", "error");
    }
    match status.as_u16() {
        200..=299 => Ok(()),
        // Gone: the receiver asks not to be sent more. Other refusals may be a passing mistake of theirs.
        410 => Err(Miss::Final("the receiver answered 410 Gone".to_owned())),
        code => Err(Miss::Passing(format!("the receiver answered {code}"))),
    }
}

fn describe(error: &reqwest::Error) -> String {
    let what = if error.is_timeout() {
        "did not answer in time"
    } else if error.is_connect() {
        "could not be reached"
    } else {
        "broke the connection"
    };
    format!("the receiver {what}")
}
