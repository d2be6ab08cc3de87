//! Budgets: what they are, and their master's words about them. Refuses one for what nobody knows, and to let a task
//! wait on for money that is there.

use crate::{
    body,
    error::{Code, Problem, ProblemBody, Wrong},
    fields::{Fields, kind_of},
    gateway::Gateway,
    idempotency::{self, Done, once},
    keyring::Caller,
    page::{cursor_of, read_cursor_of, read_limit},
    shown::{BudgetShown, BudgetsShown, ChangedBudgetShown, CostShown, DeletedBudgetShown, NewBudgetShown},
    tasks::words,
};
use actix_web::{
    HttpRequest, HttpResponse,
    http::StatusCode,
    web::{Data, Payload},
};
use domain::money::{DOLLARS, Nanos, dollars};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use store::{BudgetFilter, BudgetKey, Period, Release, Scope};
use uuid::Uuid;

/// The longest name that a budget is for, in characters.
const MAX_NAME: usize = 64;
/// What a budget over everybody is called.
const ALL: &str = "all";
/// How many known names a refusal repeats.
const MOST_NAMES: usize = 50;

/// Lists budgets by scope, name and period.
#[utoipa::path(get, path = "/api/budgets", tag = "budgets",
    params(
        ("scope" = Option<String>, Query, description = "Whose spending they limit."),
        ("live" = Option<bool>, Query, description = "Whether those of ended orders are left out."),
        ("limit" = Option<u16>, Query, description = "How many, 1 to 200; 50 when not given.", minimum = 1, maximum = 200),
        ("cursor" = Option<String>, Query, description = "The `next` of the page before."),
    ),
    responses(
        (status = 200, description = "A page.", body = BudgetsShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 422, description = "Wrong parameters.", body = ProblemBody),
    ))]
pub(crate) async fn list(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    let mut fields = Fields::of_query(request.query_string());
    let scope = fields.parsed::<Scope>("scope", &words(Scope::ALL, Scope::as_str));
    let live = fields.parsed::<bool>("live", "true or false").unwrap_or_default();
    let limit = read_limit(&mut fields);
    let filter = BudgetFilter { scope, live, used: None };
    let mark = format!("{filter:?}");
    let after = fields.text("cursor", 300).and_then(|cursor| match read_cursor_of(&cursor, &mark) {
        Ok(last) => {
            let key = key_of(&last);
            if key.is_none() {
                fields.say("cursor", "is not a cursor", "the `next` of an earlier page, or none to start");
            }
            key
        }
        Err(wrong) => {
            fields.say(wrong.field, wrong.problem, wrong.expected);
            None
        }
    });
    fields.finish()?;
    let page = gateway.store.budget_list(&filter, after.as_ref(), limit).await?;
    let next = page
        .next
        .map(|BudgetKey { scope, name, period }| cursor_of(format!("{scope}/{period}/{name}").as_bytes(), &mark));
    Ok(HttpResponse::Ok()
        .json(BudgetsShown { budgets: page.budgets.into_iter().map(BudgetShown::from).collect(), next }))
}

fn key_of(last: &[u8]) -> Option<BudgetKey> {
    let mut parts = std::str::from_utf8(last).ok()?.splitn(3, '/');
    let (scope, period) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let name = parts.next()?.to_owned();
    (!name.contains('\0')).then_some(BudgetKey { scope, name, period })
}

/// Makes a budget, or changes the limit of one. What was held for money and fits now goes on.
///
/// A new one starts with what its scope was charged before: an order with its tree, a day with today (UTC).
#[utoipa::path(post, path = "/api/budgets", tag = "budgets",
    request_body = NewBudgetShown,
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the call safe to repeat.")),
    responses(
        (status = 200, description = "Its limit is changed.", body = ChangedBudgetShown),
        (status = 201, description = "It is made.", body = ChangedBudgetShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 422, description = "Wrong fields, or a name that nobody knows.", body = ProblemBody),
    ))]
pub(crate) async fn put(
    request: HttpRequest,
    payload: Payload,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    let (bytes, mut fields) = body::object(&request, payload).await?;
    let scope = fields.needed_word::<Scope>("scope", &words(Scope::ALL, Scope::as_str));
    let name = match scope {
        Some(Scope::All) => all(&mut fields),
        _ => fields.needed_text("name", MAX_NAME),
    };
    let period = fields.parsed::<Period>("period", &words(Period::ALL, Period::as_str)).unwrap_or(Period::Total);
    let limit = amount(&mut fields, "limit");
    fields.finish()?;
    let asked = idempotency::of(&request, &bytes)?;
    let key = BudgetKey { scope: scope.unwrap_or(Scope::All), name, period };
    once(&gateway, &caller, asked, async || {
        let key = known(&gateway, &key).await?;
        let before = gateway.store.budget_put(&key, limit).await?;
        let (scope, name) = (key.scope.as_str(), key.name.as_str());
        tracing::info!(scope, name, %period, %limit, by = &*caller.name, "a budget is set");
        let released = release(&gateway).await?;
        let gone = || Problem::new(Code::NotFound, "The budget was deleted at the same moment.");
        let budget = gateway.store.budget_find(&key).await?.ok_or_else(gone)?.into();
        let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
        let shown = ChangedBudgetShown { budget, before: before.map(CostShown::from), released };
        Ok(Done { status, body: json!(shown), kept: None, task_id: None })
    })
    .await
}

/// Shows one budget.
#[utoipa::path(get, path = "/api/budgets/{scope}/{name}/{period}", tag = "budgets",
    params(
        ("scope" = String, Path, description = "`order`, `agent`, `provider` or `all`."),
        ("name" = String, Path, description = "The order's id, or the agent's or the provider's name; `all`."),
        ("period" = String, Path, description = "`total` or `day`."),
    ),
    responses(
        (status = 200, description = "The budget.", body = BudgetShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 404, description = "No such budget.", body = ProblemBody),
    ))]
pub(crate) async fn show(request: HttpRequest, gateway: Data<Gateway>) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let key = addressed(&request).ok_or_else(unknown)?;
    let budget = gateway.store.budget_find(&key).await?.ok_or_else(unknown)?;
    Ok(HttpResponse::Ok().json(BudgetShown::from(budget)))
}

/// Deletes a budget. What was held for money and fits now goes on.
#[utoipa::path(delete, path = "/api/budgets/{scope}/{name}/{period}", tag = "budgets",
    params(
        ("scope" = String, Path, description = "`order`, `agent`, `provider` or `all`."),
        ("name" = String, Path, description = "The order's id, or the agent's or the provider's name; `all`."),
        ("period" = String, Path, description = "`total` or `day`."),
    ),
    responses(
        (status = 200, description = "It is gone.", body = DeletedBudgetShown),
        (status = 401, description = "No known key.", body = ProblemBody),
        (status = 403, description = "Not a master's key.", body = ProblemBody),
        (status = 404, description = "No such budget.", body = ProblemBody),
    ))]
pub(crate) async fn delete(
    request: HttpRequest,
    caller: Caller,
    gateway: Data<Gateway>,
) -> Result<HttpResponse, Problem> {
    Fields::of_query(request.query_string()).finish()?;
    let key = addressed(&request).ok_or_else(unknown)?;
    let before = gateway.store.budget_delete(&key).await?.ok_or_else(unknown)?.into();
    let BudgetKey { scope, name, period } = key;
    tracing::info!(%scope, name, %period, by = &*caller.name, "a budget is deleted");
    let released = release(&gateway).await?;
    let (scope, period) = (scope.as_str(), period.as_str());
    Ok(HttpResponse::Ok().json(DeletedBudgetShown { scope, name, period, before, released }))
}

/// Reads which budget an address means.
fn addressed(request: &HttpRequest) -> Option<BudgetKey> {
    let part = |name| request.match_info().query(name);
    let (scope, period) = (part("scope").parse().ok()?, part("period").parse().ok()?);
    let name = part("name");
    let name = if scope == Scope::Order { name.parse::<Uuid>().ok()?.to_string() } else { name.to_owned() };
    (!name.contains('\0')).then_some(BudgetKey { scope, name, period })
}

fn unknown() -> Problem {
    Problem::new(Code::NotFound, "There is no such budget.")
}

/// Takes dollars.
fn amount(fields: &mut Fields, name: &'static str) -> Nanos {
    let read = match fields.any(name) {
        Some(Value::String(text)) => dollars(text.trim()),
        Some(other) => Err(format!("is {}", kind_of(&other))),
        None => Err("is missing".to_owned()),
    };
    read.unwrap_or_else(|problem| {
        fields.say(name, problem, DOLLARS);
        Nanos(0)
    })
}

/// Takes the name of the budget over everybody, which may be left out.
fn all(fields: &mut Fields) -> String {
    if fields.text("name", MAX_NAME).is_some_and(|name| name != ALL) {
        fields.say("name", "does not go with the scope all", "nothing, or all");
    }
    ALL.to_owned()
}

/// Checks that there is what a budget is for, and returns its key as it is kept.
async fn known(gateway: &Gateway, key: &BudgetKey) -> Result<BudgetKey, Problem> {
    match key.scope {
        Scope::All => {}
        Scope::Agent => {
            let agents: Vec<String> = gateway.store.agents_list().await?.into_iter().map(|agent| agent.name).collect();
            check("name", "agent", &key.name, agents)?;
        }
        Scope::Provider => check_provider(gateway, "name", &key.name).await?,
        Scope::Order => {
            let expected = "the id of an order, as GET /api/tasks lists them";
            let wrong =
                |problem: String, expected: String| Problem::invalid(vec![Wrong::new("name", problem, expected)]);
            let id = key.name.trim().parse::<Uuid>();
            let id = id.map_err(|_| wrong(format!("{:?} is no id", key.name), expected.to_owned()))?;
            let task = gateway.store.status(id).await?;
            let task = task.ok_or_else(|| wrong(format!("there is no order {id}"), expected.to_owned()))?;
            if task.root_id != id {
                return Err(wrong("is a part of an order".to_owned(), format!("its order, {}", task.root_id)));
            }
            return Ok(BudgetKey { name: id.to_string(), ..key.clone() });
        }
    }
    Ok(key.clone())
}

/// Checks that some agent has a model of that provider.
///
/// # Errors
/// 422 naming those that are known.
pub(crate) async fn check_provider(gateway: &Gateway, field: &'static str, name: &str) -> Result<(), Problem> {
    let agents = gateway.store.agents_list().await?;
    let models = agents.iter().flat_map(|agent| &agent.models);
    let providers: BTreeSet<&str> = models.filter_map(|model| Some(model.split_once('/')?.0)).collect();
    check(field, "provider", name, providers.into_iter().map(str::to_owned).collect())
}

fn check(field: &'static str, what: &str, name: &str, mut known: Vec<String>) -> Result<(), Problem> {
    if known.iter().any(|one| one == name) {
        return Ok(());
    }
    let more = known.len().saturating_sub(MOST_NAMES);
    known.truncate(MOST_NAMES);
    let expected = match (known.as_slice(), more) {
        ([], _) => format!("none: there is no {what} yet"),
        (known, 0) => format!("one of {}", known.join(", ")),
        (known, more) => format!("one of {} and {more} more", known.join(", ")),
    };
    Err(Problem::invalid(vec![Wrong::new(field, format!("there is no {what} {name:?}"), expected)])
        .with_fact("known", known))
}

/// Has what was held for money and fits now go on.
async fn release(gateway: &Gateway) -> Result<Vec<Uuid>, Problem> {
    let names = gateway.store.unhold(&Release::Budgets).await?;
    gateway.announcer.asks(&names);
    Ok(names.into_iter().map(|name| name.id).collect())
}
