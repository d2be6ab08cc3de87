//! How a task stands, at once or as soon as it has ended. Refuses to ask the database again and again: an event
//! says when to look.

use crate::{
    error::{Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    shown::StatusShown,
    tasks::id_of,
};
use actix_web::{HttpRequest, HttpResponse, web::Data};
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use uuid::Uuid;

/// The longest wait, in seconds.
const MAX_WAIT: u64 = 60;

/// Tells how a task stands; with `wait`, as soon as it has ended or the time is up, whichever is first.
#[utoipa::path(get, path = "/api/tasks/{id}/status", tag = "tasks",
    params(
        ("id" = Uuid, Path, description = "The task."),
        ("wait" = Option<u64>, Query, description = "How many seconds to wait for its end, 0 to 60.", maximum = 60),
    ),
    responses(
        (status = 200, description = "How it stands.", body = StatusShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such task.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
        (status = 429, description = "Too many long polls are open.", body = ProblemBody),
    ))]
pub(crate) async fn status(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_query(request.query_string());
    let wait = fields.parsed::<u64>("wait", "a whole number of seconds from 0 to 60");
    if wait.is_some_and(|wait| wait > MAX_WAIT) {
        fields.say("wait", "is too long", "a whole number of seconds from 0 to 60");
    }
    fields.finish()?;
    let id = id_of(&request)?;
    let mut status = look(&gateway, id).await?;
    if let Some(wait) = wait.filter(|wait| *wait > 0 && !status.has_ended()) {
        if let Ok(Err(problem)) = tokio::time::timeout(Duration::from_secs(wait), until_ended(&gateway, id)).await {
            return Err(problem);
        }
        status = look(&gateway, id).await?;
    }
    Ok(HttpResponse::Ok().json(status))
}

async fn look(gateway: &Gateway, id: Uuid) -> Result<StatusShown, Problem> {
    let status = gateway.store.status(id).await?;
    status.map(StatusShown::from).ok_or_else(|| Problem::unknown_task(id))
}

/// Returns when the task has ended, or when the service stops.
async fn until_ended(gateway: &Gateway, id: Uuid) -> Result<(), Problem> {
    let mut subscription = gateway.hub.subscribe("wait")?;
    if let Err(problem) = subscription.live().await {
        tracing::debug!(%problem, "waiting without events");
        gateway.stop.cancelled().await;
        return Ok(());
    }
    // The events are followed from here on: what happened before shows in the row.
    while !look(gateway, id).await?.has_ended() {
        loop {
            let received = tokio::select! {
                received = subscription.receiver.recv() => received,
                () = gateway.stop.cancelled() => return Ok(()),
            };
            match received {
                Ok(event) if event.is_reset || event.task_id == id => break,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => break,
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    }
    Ok(())
}
