//! The words about batches, budgets and providers that cannot serve. Refuses to act on them.

use clap::{Args as ClapArgs, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum BatchVerb {
    /// List batches, newest first, and what waits for one.
    Ls(BatchFilter),
    /// Show a batch and the orders that it has asks of.
    Show {
        /// The batch's id.
        id: String,
    },
    /// Have the asks that wait for others to share a batch with go at once.
    Flush {
        /// Only this provider's.
        provider: Option<String>,
    },
    /// Cancel a batch at its provider. What was answered before is kept and paid for.
    Cancel {
        /// The batch's id.
        id: String,
        /// What becomes of the other asks: asked `now` at the full price, put into another `batch`, or `cancel`.
        #[arg(long, default_value = "now")]
        then: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct BatchFilter {
    /// Only batches at this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// Only batches in this state: submitting, running, ended, settled or failed.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only batches that are not over.
    #[arg(long)]
    pub(crate) live: bool,
    /// The most batches to list, 1 to 200.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Where the page before this one ended.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetVerb {
    /// List budgets; those of ended orders only with --all.
    Ls {
        /// Only budgets of this scope: order, agent, provider or all.
        #[arg(long)]
        scope: Option<String>,
        /// Also those of ended orders.
        #[arg(long)]
        all: bool,
        /// The most budgets to list, 1 to 200.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Where the page before this one ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Make a budget or change its limit; what was held for money and fits now goes on.
    #[command(after_help = "\
Examples:
  chavion budget set order 01a1fc69-b056-7590-9c14-32d11501f95d 5.00
  chavion budget set provider openai --day 20
  chavion budget set all 100")]
    Set {
        /// Whose spending it limits: order, agent, provider or all.
        scope: String,
        /// The order's id, or the agent's or the provider's name; none for `all`.
        #[arg(allow_negative_numbers = true)]
        name: Option<String>,
        /// The most that may be spent in all, in dollars.
        #[arg(allow_negative_numbers = true)]
        limit: Option<String>,
        /// The most that may be spent on one day (UTC), in dollars.
        #[arg(long, value_name = "DOLLARS", allow_negative_numbers = true)]
        day: Option<String>,
    },
    /// Remove a budget; what was held for money and fits now goes on.
    Rm {
        /// Whose spending it limits: order, agent, provider or all.
        scope: String,
        /// The order's id, or the agent's or the provider's name; none for `all`.
        name: Option<String>,
        /// The budget for one day, not that for all time.
        #[arg(long)]
        day: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BlackoutVerb {
    /// List the providers that cannot serve, and why.
    Ls,
    /// Say that a provider serves again: its key or its money is mended.
    End {
        /// The provider.
        provider: String,
    },
}
