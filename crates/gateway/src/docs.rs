//! What machines and people read about the API: OpenAPI and its page, served without any other server.
//! Refuses to describe what is not served: a test compares it with the table of routes.

use crate::error::{Code, Problem};
use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, LOCATION},
};
use std::sync::{Arc, LazyLock};
use utoipa::{
    Modify, OpenApi,
    openapi::security::{Http, HttpAuthScheme, SecurityScheme},
};

/// The API as OpenAPI.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Chavion",
        description = "One order in, one report out. Every call but the open ones needs `Authorization: Bearer chv_…`; \
                       every refusal is a problem document (RFC 9457). See /help.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        crate::tasks::list, crate::order::create, crate::tasks::show, crate::wait::status, crate::tasks::results,
        crate::tasks::tree, crate::moves::cancel, crate::moves::retry, crate::board::claim, crate::board::complete,
        crate::board::fail, crate::board::report, crate::batches::list, crate::batches::flush, crate::batches::show,
        crate::batches::cancel, crate::budgets::list, crate::budgets::put, crate::budgets::show, crate::budgets::delete,
        crate::blackouts::list, crate::blackouts::end, crate::agents::list, crate::playbooks::list, crate::playbooks::put,
        crate::status::show, crate::keys::list, crate::keys::create, crate::keys::revoke, crate::sse::events,
        crate::ws::connect, crate::health::show, crate::help::show, openapi, entrance, file,
    ),
    components(schemas(crate::error::ProblemBody)),
    modifiers(&Bearer),
    security(("bearer" = [])),
)]
pub struct Api;

struct Bearer;

impl Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme =
            Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("A key that starts with chv_.")).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

static DESCRIPTION: LazyLock<String> = LazyLock::new(|| Api::openapi().to_json().unwrap_or_default());

/// The page's settings: our description, and nobody else's server asked for anything.
static PAGE: LazyLock<Arc<utoipa_swagger_ui::Config<'static>>> = LazyLock::new(|| {
    let config = utoipa_swagger_ui::Config::new(["/api/openapi.json"]);
    Arc::new(config.validator_url("none").persist_authorization(false).display_request_duration(true))
});

/// Describes the API. No key is needed.
#[utoipa::path(get, path = "/api/openapi.json", tag = "service", security(()),
    responses((status = 200, description = "This description.", body = serde_json::Value)))]
pub(crate) async fn openapi() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DESCRIPTION.as_str())
}

/// Leads to the browsable page.
#[utoipa::path(get, path = "/api/docs", tag = "service", security(()),
    responses((status = 308, description = "The page is at /api/docs/index.html.")))]
pub(crate) async fn entrance() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/api/docs/index.html")).finish()
}

/// Serves the browsable page and its parts. No key is needed.
#[utoipa::path(get, path = "/api/docs/{file}", tag = "service", security(()),
    params(("file" = String, Path, description = "index.html and what it loads")),
    responses((status = 200, description = "A part of the page.", body = String, content_type = "text/html"),
              (status = 404, description = "No such part.", body = crate::error::ProblemBody)))]
pub(crate) async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let name = request.match_info().query("file");
    let found = utoipa_swagger_ui::serve(name, Arc::clone(&PAGE))
        .map_err(|error| Problem::internal(anyhow::anyhow!("the page cannot be read: {error}")))?;
    let file = found.ok_or_else(|| Problem::new(Code::NotFound, "The page has no such part."))?;
    let mut response = HttpResponse::Ok();
    response.insert_header((
        CONTENT_SECURITY_POLICY,
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
    ));
    response.insert_header((CACHE_CONTROL, "max-age=3600"));
    if file.gzpipped {
        response.insert_header((CONTENT_ENCODING, "gzip"));
    }
    Ok(response.content_type(file.content_type).body(file.bytes.into_owned()))
}
