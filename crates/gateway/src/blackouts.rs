//! Providers that cannot serve, and their master's word that one can again. Refuses to try one: an ask does that.

use crate::{
    batches::MAX_PROVIDER,
    body,
    error::{Code, Problem, ProblemBody},
    fields::Fields,
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
    request::Facts,
    shown::{BlackoutShown, BlackoutsShown, EndedBlackoutShown},
};
use actix_web::{
    HttpRequest, HttpResponse,
    web::{Data, Payload},
};
use serde_json::json;

/// Lists the providers that cannot serve.
#[utoipa::path(get, path = "/api/blackouts", tag = "budgets", responses(
    (status = 200, description = "The blackouts.", body = BlackoutsShown),
    (status = 401, description = "No known key.", body = ProblemBody),
))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let blackouts = gateway.store.blackouts().await?.into_iter().map(BlackoutShown::from).collect();
    Ok(HttpResponse::Ok().json(BlackoutsShown { blackouts }))
}

/// Takes its master's word that a provider serves again. What was held for it goes on.
#[utoipa::path(post, path = "/api/blackouts/{provider}/end", tag = "budgets",
    params(
        ("provider" = String, Path, description = "The provider."),
        ("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat."),
    ),
    responses(
        (status = 200, description = "It is over.", body = EndedBlackoutShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "That provider has no blackout.", body = ProblemBody),
    ))]
pub(crate) async fn end(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    facts: Facts,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, fields) = body::object_or_nothing(&request, payload).await?;
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    let provider = request.match_info().query("provider").to_owned();
    let none = || Problem::new(Code::NotFound, "There is no blackout of such a provider.");
    if provider.contains('\0') || provider.chars().nth(MAX_PROVIDER).is_some() {
        return Err(none());
    }
    once(&gateway, &caller, asked, async || {
        let names = gateway.store.blackout_end(&provider).await?.ok_or_else(none)?;
        gateway.announcer.blackout("blackout.ended", Some(&*facts.traceparent));
        gateway.announcer.asks(&names);
        tracing::info!(provider, by = &*caller.name, "a blackout is over by its master's word");
        let released = names.into_iter().map(|name| name.id).collect();
        Ok(Done::ok(json!(EndedBlackoutShown { provider: provider.clone(), released }), None))
    })
    .await
}
