//! The words of the command line. Refuses to act on them.

mod spend;

pub(crate) use spend::{BatchFilter, BatchVerb, BlackoutVerb, BudgetVerb};

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the order failed or was cancelled; `up` could not start or broke down
  2    refused: the arguments, the key, or what was asked for
  3    no server answered, or it could not; `doctor` found something missing
  64   bad configuration
  130  interrupted (Ctrl-C) before the order had ended; the order is kept
`with-servers` ends with the code of its command.";

/// A command centre for a team of AI agents: one order in, one report out.
#[derive(Debug, Parser)]
#[command(name = "chavion", version, max_term_width = 100)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print one JSON document on standard output instead of text, also when something goes wrong.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Where the server and its data are.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Place {
    /// The data folder of `up` [default: /var/lib/chavion for root, else ~/.local/share/chavion; CHAVION_DATA]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,
    /// The server [default: http://127.0.0.1:5002; CHAVION_URL]; the key is CHAVION_KEY or the data folder's.
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    /// The folder of compose.yml and .env [default: this one, if they are here; else `chavion up` is looked after]
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start everything in one process; without DATABASE_URL and REDIS_URL also a private Postgres and Redis.
    Up(Up),
    /// Give an order, watch it and print its report.
    Order(Order),
    /// New, list, show, watch, cancel or retry tasks.
    Task {
        #[command(subcommand)]
        verb: TaskVerb,
    },
    /// List, show, flush or cancel batches: asks at half the price.
    Batch {
        #[command(subcommand)]
        verb: BatchVerb,
    },
    /// List, set or remove budgets: the most that may be spent.
    Budget {
        #[command(subcommand)]
        verb: BudgetVerb,
    },
    /// List the providers that cannot serve, or say that one can again.
    Blackout {
        #[command(subcommand)]
        verb: BlackoutVerb,
    },
    /// New, list or revoke API keys.
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Show what is on this server, and what stands in Chavion's way there; in a folder with compose.yml, for containers.
    Doctor(Doctor),
    /// Run a command with DATABASE_URL and REDIS_URL of private servers that end with it.
    WithServers(WithServers),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Up {
    /// Give this order when all is ready, print its report, and stop.
    #[arg(long, value_name = "TEXT")]
    pub(crate) order: Option<String>,
    /// With --order: go on serving after the report.
    #[arg(long, requires = "order")]
    pub(crate) stay: bool,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Order {
    /// The order, in any language; `-` reads it from standard input.
    pub(crate) text: String,
    /// How it is done.
    #[arg(long, default_value = "report")]
    pub(crate) playbook: String,
    /// How fast the answers must come: now; flex or batch, at half the price; or auto, the cheapest that meets the
    /// deadline.
    #[arg(long)]
    pub(crate) pace: Option<String>,
    /// low, normal, high or urgent.
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// When the report must be there: 2h, 1d12h, 2026-11-22T09:00 (local time), or with a zone (RFC 3339).
    #[arg(long, value_name = "TIME")]
    pub(crate) deadline: Option<String>,
    /// The most that it may cost, in dollars; at the limit it is held and asks for more.
    #[arg(long, value_name = "DOLLARS", allow_negative_numbers = true)]
    pub(crate) budget: Option<String>,
    /// An agent for playbooks that take them; may be repeated.
    #[arg(long = "agent", value_name = "NAME")]
    pub(crate) agents: Vec<String>,
    /// A webhook that gets the report; may be repeated.
    #[arg(long = "webhook", value_name = "URL")]
    pub(crate) webhooks: Vec<String>,
    /// Print the task's id and do not wait.
    #[arg(long)]
    pub(crate) detach: bool,
}

impl Order {
    /// The plain order of `up --order`.
    pub(crate) fn report(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            playbook: "report".to_owned(),
            pace: None,
            priority: None,
            deadline: None,
            budget: None,
            agents: Vec::new(),
            webhooks: Vec::new(),
            detach: false,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskVerb {
    /// Put an open task on the board, or run a playbook without waiting for it.
    New {
        /// What people read in lists.
        title: String,
        /// The whole text.
        #[arg(long)]
        description: Option<String>,
        /// How it is done; without one the task is open on the board.
        #[arg(long)]
        playbook: Option<String>,
        /// low, normal, high or urgent.
        #[arg(long)]
        priority: Option<String>,
    },
    /// List orders and open tasks, newest first.
    Ls(TaskFilter),
    /// Show a task and its tree.
    Show {
        /// The task's id.
        id: String,
    },
    /// Watch a task until it ends and print its report.
    Watch {
        /// The task's id.
        id: String,
    },
    /// Cancel a task and all below it.
    Cancel {
        /// The task's id.
        id: String,
        /// A sentence for those who look at it later.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Run a failed or cancelled order again from its failed step.
    Retry {
        /// The task's id.
        id: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TaskFilter {
    /// Only tasks in this state.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// Only tasks of this kind.
    #[arg(long)]
    pub(crate) kind: Option<String>,
    /// Only tasks of this agent.
    #[arg(long)]
    pub(crate) agent: Option<String>,
    /// Only tasks whose title or description holds this text.
    #[arg(long)]
    pub(crate) search: Option<String>,
    /// Also the parts of orders.
    #[arg(long)]
    pub(crate) parts: bool,
    /// The most tasks to list, 1 to 200.
    #[arg(long, default_value_t = 20)]
    pub(crate) limit: u32,
    /// Where the page before this one ended.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key and show it once.
    New {
        /// Whose key it is.
        name: String,
        /// master, agent or viewer.
        #[arg(long, default_value = "viewer")]
        role: String,
        /// The agent that the key speaks for; needed for the role agent.
        #[arg(long)]
        agent: Option<String>,
    },
    /// List keys, never the keys themselves.
    Ls,
    /// Revoke a key.
    Revoke {
        /// The key's id.
        id: String,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct WithServers {
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
}
