//! What clients hand in, described for OpenAPI; others read and check it.

use serde_json::Value;
use utoipa::ToSchema;

/// An order as it is given. Unknown fields are refused.
#[derive(Debug, ToSchema)]
#[schema(as = NewOrder)]
#[expect(dead_code, reason = "describes for OpenAPI what `domain::order` reads and checks")]
pub(crate) struct NewOrderShown {
    /// One line, 1 to 300 characters.
    #[schema(example = "겨울 예약을 늘릴 방법을 보고서로 써줘")]
    title: String,
    /// The whole text, at most 100,000 characters.
    description: Option<String>,
    /// `low`, `normal`, `high` or `urgent`.
    #[schema(default = "normal")]
    priority: Option<String>,
    /// The recipe; without one the order is an open task on the board.
    #[schema(example = "report")]
    playbook: Option<String>,
    /// `now`; `flex` (slower, where a provider has it) and `batch` (within a day) at half the price; or `auto`, the
    /// cheapest that meets the deadline.
    #[schema(default = "now")]
    pace: Option<String>,
    /// When the report must be there (RFC 3339, in the future).
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline: Option<String>,
    /// The most that it may cost, in dollars, as a decimal number in a string. At the limit its asks are held.
    #[schema(example = "0.50")]
    budget: Option<String>,
    /// Where the report goes besides the archive: `{"kind": "webhook", "url": "https://…"}`.
    deliver: Option<Vec<Value>>,
    /// Agents for playbooks that take them, such as `answer`.
    agents: Option<Vec<String>>,
}

/// What becomes of a batch that is cancelled. The body may be left out.
#[derive(Debug, ToSchema)]
#[schema(as = CancelBatch)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct CancelBatchShown {
    /// Its asks are asked `now` at the full price, go into another `batch`, or are cancelled (`cancel`).
    #[schema(default = "now")]
    then: Option<String>,
}

/// Whose asks wait no longer. The body may be left out.
#[derive(Debug, ToSchema)]
#[schema(as = Flush)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct FlushShown {
    /// Only this provider's; all when left out.
    #[schema(example = "openai")]
    provider: Option<String>,
}

/// A budget that is made, or whose limit is changed.
#[derive(Debug, ToSchema)]
#[schema(as = NewBudget)]
#[expect(dead_code, reason = "describes for OpenAPI what `Fields` reads")]
pub(crate) struct NewBudgetShown {
    /// `order`, `agent`, `provider` or `all`.
    #[schema(example = "provider")]
    scope: String,
    /// The order's id, or the agent's or the provider's name; left out for `all`.
    #[schema(example = "openai")]
    name: Option<String>,
    /// `total`, or `day`: one day (UTC), then from nothing again.
    #[schema(default = "total")]
    period: Option<String>,
    /// Dollars, as a decimal number in a string.
    #[schema(example = "12.50")]
    limit: String,
}
