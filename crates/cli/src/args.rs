//! The words of the command line. Refuses to act on them.

use clap::{Args as ClapArgs, Parser, Subcommand};
use std::path::PathBuf;

/// A command centre for a team of AI agents: one order in, one report out.
#[derive(Debug, Parser)]
#[command(name = "chavion", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done · 1 the order failed · 2 refused · 3 no server answered · 64 bad configuration")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) place: Place,
    /// Print JSON instead of text.
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
    /// New, list or revoke API keys.
    Key {
        #[command(subcommand)]
        verb: KeyVerb,
    },
    /// Show what is installed, which ports are taken and which providers answer.
    Doctor,
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
    /// How fast the answers must come: now, flex, batch or auto.
    #[arg(long)]
    pub(crate) pace: Option<String>,
    /// low, normal, high or urgent.
    #[arg(long)]
    pub(crate) priority: Option<String>,
    /// When the report must be there (RFC 3339).
    #[arg(long)]
    pub(crate) deadline: Option<String>,
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
        #[arg(long, default_value = "")]
        description: String,
        /// How it is done; without one the task is open on the board.
        #[arg(long)]
        playbook: Option<String>,
        /// low, normal, high or urgent.
        #[arg(long)]
        priority: Option<String>,
    },
    /// List tasks, newest first.
    Ls {
        /// Only tasks in this state.
        #[arg(long)]
        state: Option<String>,
        /// The most tasks to list, 1 to 200.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
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
    },
    /// Run a failed order again from its failed step.
    Retry {
        /// The task's id.
        id: String,
    },
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
