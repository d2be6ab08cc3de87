//! One step of many orders: lock the roots, take outcomes in, hand out what a decision needs, carry out what was
//! decided. Two round trips for a slice of any size, three when results are read. Decides nothing.

use crate::{
    connect::Store,
    error::Error,
    finish::{self, Finished, Outcome, Outcomes},
    row::Columns,
    run::Parameters,
    statement::{self, CHILD_LOCK, ROOT_LOCK, TASK_FINISH, TASK_RESULTS, TREE_VIEWS},
    transaction::{Call, Durability, Transaction},
    write::{Write, Writes},
};
use domain::{
    advance::View,
    order::{Deliver, Order},
    pace::Pace,
    task::{Priority, State},
};
use futures_util::future::join;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

/// A root task, as far as a decision needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct RootRow {
    /// The root task.
    pub id: Uuid,
    /// Where it stands; an ended root is to be left alone.
    pub state: State,
    /// What people read in lists.
    pub title: String,
    /// The whole order.
    pub description: String,
    /// The recipe's name.
    pub playbook: Option<String>,
    /// The recipe's text, by its hash.
    pub playbook_hash: Option<String>,
    /// For steps that name none.
    pub pace: Pace,
    /// When the report must be there.
    pub deadline: Option<OffsetDateTime>,
    /// Where the report goes besides the archive.
    pub deliver: Vec<Deliver>,
    /// Agents named for playbooks that take them.
    pub agents: Vec<String>,
    /// The trace it belongs to.
    pub traceparent: Option<String>,
    /// Among other orders.
    pub priority: Priority,
    /// The name of the key it came with.
    pub created_by: Option<String>,
    /// Whether any of its tasks was answered by the emulator.
    pub emulated_any: bool,
}

impl RootRow {
    /// Returns the order as its master gave it.
    #[must_use]
    pub fn order(&self) -> Order {
        Order {
            title: self.title.clone(),
            description: self.description.clone(),
            priority: self.priority,
            playbook: self.playbook.clone(),
            pace: self.pace,
            deadline: self.deadline,
            deliver: self.deliver.clone(),
            agents: self.agents.clone(),
            // Kept as a row of its own, which nobody who plans has to see.
            budget: None,
        }
    }
}

/// A root and its children.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The root.
    pub root: RootRow,
    /// The children, in id order.
    pub children: Vec<View>,
}

/// An open transaction over locked roots. Dropped without [`Advance::commit`] it rolls back.
pub struct Advance {
    /// The roots that were found, in id order, with the outcomes taken in.
    pub trees: Vec<Tree>,
    /// The tasks that outcomes moved.
    pub finished: Vec<Finished>,
    unsettled: Vec<Uuid>,
    store: Store,
    transaction: Transaction,
}

impl std::fmt::Debug for Advance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Advance").field("trees", &self.trees).field("finished", &self.finished).finish_non_exhaustive()
    }
}

impl Store {
    /// Locks the roots, and those of the outcomes, in id order; applies the outcomes; reads the trees. One round trip.
    ///
    /// # Errors
    /// When the database cannot be asked; then nothing was applied.
    pub async fn begin(&self, roots: &[Uuid], outcomes: &[Outcome]) -> Result<Advance, Error> {
        let mut roots: Vec<Uuid> =
            roots.iter().copied().chain(outcomes.iter().map(|outcome| outcome.root_id)).collect();
        roots.sort_unstable();
        roots.dedup();
        let columns = Outcomes::of(outcomes, true)?;
        let parameters = columns.parameters();
        let ids: Parameters<'_> = &[&roots];
        let calls: Vec<Call<'_>> = if outcomes.is_empty() {
            vec![(&ROOT_LOCK, ids), (&TREE_VIEWS, ids)]
        } else {
            vec![(&ROOT_LOCK, ids), (&CHILD_LOCK, ids), (&TASK_FINISH, &parameters), (&TREE_VIEWS, ids)]
        };

        let transaction = Transaction::on(self.client().await?);
        let started = Instant::now();
        let answers = async {
            let prepared = transaction.prepare(&calls).await?;
            let (begun, answers) = join(transaction.begin("begin"), transaction.all(&prepared)).await;
            begun.and(answers)
        }
        .await;
        let answers = self.metrics().observe(statement::ADVANCE_BEGIN, started, answers)?;

        let mut answers = answers.into_iter();
        let roots = answers.next().unwrap_or_default();
        let mut finished = Vec::new();
        if !outcomes.is_empty() {
            answers.next();
            finished = answers.next().unwrap_or_default();
        }
        let finished = finished.iter().map(finish::read).collect::<Result<_, _>>()?;
        let mut advance = Advance {
            trees: roots.iter().map(root).collect::<Result<_, _>>()?,
            finished,
            unsettled: Vec::new(),
            store: self.clone(),
            transaction,
        };
        advance.add(&answers.next().unwrap_or_default())?;
        Ok(advance)
    }
}

impl Advance {
    /// Reads what tasks of the locked trees brought. One round trip, none for no ids.
    ///
    /// # Errors
    /// When the database cannot be asked; then the whole advance is lost.
    pub async fn results(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Value>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let started = Instant::now();
        let rows = self.transaction.rows((&TASK_RESULTS, &[&ids])).await;
        let rows = self.store.metrics().observe(TASK_RESULTS.name, started, rows)?;
        rows.iter()
            .map(|row| {
                let mut columns = Columns::of(row, TASK_RESULTS.name);
                Ok((columns.next()?, columns.next()?))
            })
            .collect()
    }

    /// Carries out what was decided, all of it or nothing, and settles the ended children that were handed out.
    /// Each kind of write is one statement for the whole slice. One round trip.
    ///
    /// Waits for the disk when an order ends. Otherwise a crash of Postgres itself may undo the last moments: the
    /// order is then found where it stood, by the sweep, and its asks are asked again (DESIGN §4.5).
    ///
    /// A write whose task has moved meanwhile does nothing: a child may be cancelled or claimed without the root's lock.
    ///
    /// # Errors
    /// When the database cannot be asked; then nothing was applied, or (when the connection broke) all of it may have been.
    pub async fn commit(self, writes: &[Write]) -> Result<(), Error> {
        let Self { trees, unsettled, store, transaction, .. } = self;
        let emulated: HashSet<Uuid> =
            trees.iter().filter(|tree| tree.root.emulated_any).map(|tree| tree.root.id).collect();
        let durability = durability(writes);
        let writes = Writes::of(writes, &emulated, unsettled)?;
        let parameters = writes.parameters();
        let calls: Vec<Call<'_>> =
            parameters.iter().map(|(statement, parameters)| (*statement, parameters.as_slice())).collect();
        let started = Instant::now();
        let committed = async {
            let prepared = transaction.prepare(&calls).await?;
            let (answers, ended) = join(transaction.all(&prepared), transaction.end(durability)).await;
            answers.and(ended)
        }
        .await;
        store.metrics().observe(statement::ADVANCE_COMMIT, started, committed)
    }

    /// Adds the children to their roots.
    fn add(&mut self, rows: &[Row]) -> Result<(), Error> {
        let places: HashMap<Uuid, usize> =
            self.trees.iter().enumerate().map(|(place, tree)| (tree.root.id, place)).collect();
        for row in rows {
            let mut columns = Columns::of(row, TREE_VIEWS.name);
            let root: Uuid = columns.next()?;
            let mut view = View {
                id: columns.next()?,
                step: columns.next::<Option<String>>()?.unwrap_or_default(),
                item: columns.next()?,
                state: columns.word()?,
                agent: columns.next()?,
                failure: columns.failure()?,
                ..View::default()
            };
            let (emulated, settled): (bool, bool) = (columns.next()?, columns.next()?);
            (view.fingerprint, view.attempts) = (columns.next()?, columns.next()?);
            if view.state.is_terminal() && !settled {
                self.unsettled.push(view.id);
            }
            if let Some(tree) = places.get(&root).and_then(|place| self.trees.get_mut(*place)) {
                tree.root.emulated_any |= emulated;
                tree.children.push(view);
            }
        }
        Ok(())
    }
}

/// An end is told to people, so it must stay; what comes before it can be done again.
fn durability(writes: &[Write]) -> Durability {
    let ends = writes.iter().any(|write| matches!(write, Write::Complete { .. } | Write::Fail { .. }));
    if ends { Durability::Full } else { Durability::Repeatable }
}

fn root(row: &Row) -> Result<Tree, Error> {
    let mut columns = Columns::of(row, ROOT_LOCK.name);
    let root = RootRow {
        id: columns.next()?,
        state: columns.word()?,
        title: columns.next()?,
        description: columns.next()?,
        playbook: columns.next()?,
        playbook_hash: columns.next()?,
        pace: columns.word()?,
        deadline: columns.next()?,
        deliver: columns.document()?.unwrap_or_default(),
        agents: columns.next::<Option<Vec<String>>>()?.unwrap_or_default(),
        traceparent: columns.next()?,
        priority: columns.priority()?,
        created_by: columns.next()?,
        emulated_any: false,
    };
    Ok(Tree { root, children: Vec::new() })
}
