//! The statements: each a file of `sql/`, included once, known by the file's name. Refuses to build SQL.

/// One statement.
pub(crate) struct Statement {
    /// The file's name, and the metric's label.
    pub(crate) name: &'static str,
    /// The file's text.
    pub(crate) sql: &'static str,
}

/// The first half of an advance.
pub(crate) const ADVANCE_BEGIN: &str = "advance_begin";
/// The second half of an advance.
pub(crate) const ADVANCE_COMMIT: &str = "advance_commit";
/// What one replica does at a time.
pub(crate) const EXCLUSIVE: &str = "exclusive";
/// The migrations.
pub(crate) const MIGRATE: &str = "migrate";

macro_rules! statements {
    ($($constant:ident = $name:literal,)+) => {
        $(pub(crate) const $constant: Statement =
            Statement { name: $name, sql: include_str!(concat!("../sql/", $name, ".sql")) };)+

        /// Every name that a duration is measured under: the statements, and the pipelines that go out as one.
        pub(crate) const NAMES: &[&str] = &[$($name,)+ ADVANCE_BEGIN, ADVANCE_COMMIT, EXCLUSIVE, MIGRATE];
    };
}

statements! {
    AGENT_LIST = "agent_list",
    AGENT_PUT = "agent_put",
    CHARGE_DAYS = "charge_days",
    CHILD_LOCK = "child_lock",
    DEPARTMENT_LIST = "department_list",
    DEPARTMENT_PUT = "department_put",
    IDEMPOTENCY_FIND = "idempotency_find",
    IDEMPOTENCY_PUT = "idempotency_put",
    KEY_COUNT_MASTERS = "key_count_masters",
    KEY_FIND = "key_find",
    KEY_FIRST = "key_first",
    KEY_LIST = "key_list",
    KEY_NEW = "key_new",
    KEY_REVOKE = "key_revoke",
    OPEN_CLAIM = "open_claim",
    OPEN_COMPLETE = "open_complete",
    OPEN_FAIL = "open_fail",
    OPEN_REPORT = "open_report",
    PLAYBOOK_FIND = "playbook_find",
    PLAYBOOK_LIST = "playbook_list",
    PLAYBOOK_NAMES = "playbook_names",
    PLAYBOOK_PUT = "playbook_put",
    PLAYBOOK_REPLACE = "playbook_replace",
    PLAYBOOK_RETIRE = "playbook_retire",
    REPORT_FIND = "report_find",
    ROOT_END = "root_end",
    ROOT_GIVE_UP = "root_give_up",
    ROOT_LOCK = "root_lock",
    ROOT_RETRY = "root_retry",
    ROOT_START = "root_start",
    SCHEMA_CREATE = "schema_create",
    SCHEMA_PUT = "schema_put",
    SCHEMA_VERSION = "schema_version",
    TASK_ACCEPT = "task_accept",
    TASK_CANCEL = "task_cancel",
    TASK_CLAIM = "task_claim",
    TASK_COUNTS = "task_counts",
    TASK_CREATE = "task_create",
    TASK_END = "task_end",
    TASK_FIND = "task_find",
    TASK_FINISH = "task_finish",
    TASK_LIST = "task_list",
    TASK_LIST_ALL = "task_list_all",
    TASK_LIST_LIVE = "task_list_live",
    TASK_NAMES = "task_names",
    TASK_QUEUE = "task_queue",
    TASK_RENEW = "task_renew",
    TASK_RESET = "task_reset",
    TASK_RESULTS = "task_results",
    TASK_ROOTS = "task_roots",
    TASK_SETTLE = "task_settle",
    TASK_STATUS = "task_status",
    TASK_SWEEP = "task_sweep",
    TASK_TREE = "task_tree",
    TREE_LOCK = "tree_lock",
    TREE_RESULTS = "tree_results",
    TREE_VIEWS = "tree_views",
}
