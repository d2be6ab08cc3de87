//! Watches a task: a live tree on a terminal, a line for each change elsewhere.

use crate::{
    UNREACHABLE, batch,
    client::{Client, Trouble},
    held, output, tree,
};
use futures_util::{Stream, StreamExt as _};
use serde_json::Value;
use std::{
    collections::HashMap,
    pin::Pin,
    time::{Duration, Instant},
};

/// How often the tree is looked at when no event comes: events can be lost, rows cannot.
const LOOK: Duration = Duration::from_secs(5);
/// Events that come together are drawn together.
const SETTLE: Duration = Duration::from_millis(40);
/// The pause before a server is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// How long a server may be away before the watching ends; the order goes on without it.
const PATIENCE: Duration = Duration::from_secs(60);

type Events = Pin<Box<dyn Stream<Item = bool> + Send>>;

/// What is shown while a task is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Show {
    /// Nothing: the answer is for a program.
    Nothing,
    /// Every change.
    Changes,
    /// Every change, and that the emulator answers as soon as it does: nobody has said so before.
    ChangesAndEmulator,
}

/// Waits until the task has ended and returns its tree. A server that goes away and comes back is waited for.
pub(crate) async fn until_ended(client: &Client, id: &str, show: Show) -> Result<Value, Trouble> {
    let mut events: Option<Events> = None;
    let mut screen = Screen::default();
    let mut away: Option<Instant> = None;
    loop {
        let task = match client.get(&format!("/api/tasks/{id}/tree")).await {
            Ok(task) => task,
            Err(trouble) if trouble.code == UNREACHABLE && screen.has_shown => {
                let since = *away.get_or_insert_with(|| {
                    output::note("The server does not answer; waiting for it. The order is kept.");
                    Instant::now()
                });
                if since.elapsed() > PATIENCE {
                    return Err(trouble);
                }
                events = None;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(trouble) => return Err(trouble),
        };
        away = None;
        let advice =
            if show != Show::Nothing && held::is_any(&task) { held::advice(client, &task).await } else { Vec::new() };
        screen.show(&task, &advice, show);
        if tree::has_ended(&task) {
            screen.close();
            return Ok(task);
        }
        if let Some(stream) = &mut events {
            if !changed(stream).await {
                events = None;
                tokio::time::sleep(AGAIN).await;
            }
        } else {
            // What happens from here on is told; what happened before is seen by the next look.
            match client.events(tree::word(&task, "root_id")).await {
                Ok(answer) => events = Some(Box::pin(answer.bytes_stream().map(|part| part.is_ok()))),
                Err(_) => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// Waits until something may have changed; false when the stream has ended.
async fn changed(events: &mut Events) -> bool {
    match tokio::time::timeout(LOOK, events.next()).await {
        Ok(Some(true)) => {
            while let Ok(Some(true)) = tokio::time::timeout(SETTLE, events.next()).await {}
            true
        }
        Ok(_) => false,
        Err(_) => true,
    }
}

#[derive(Default)]
struct Screen {
    has_shown: bool,
    has_warned: bool,
    drawn: usize,
    told: HashMap<String, String>,
}

impl Screen {
    fn show(&mut self, task: &Value, advice: &[String], show: Show) {
        self.has_shown = true;
        if show == Show::Nothing {
            return;
        }
        if show == Show::ChangesAndEmulator && !self.has_warned && tree::is_emulated(task) {
            self.has_warned = true;
            self.wipe();
            output::note(output::EMULATED);
        }
        // A command to be typed stays above the drawing, whole however long it is.
        for line in advice {
            if self.told.insert(line.clone(), String::new()).is_none() {
                self.wipe();
                output::note(line);
            }
        }
        match output::screen() {
            Some(size) => self.redraw(task, size),
            None => self.tell(task),
        }
    }

    /// Draws the tree over the last one.
    fn redraw(&mut self, task: &Value, (columns, rows): (usize, usize)) {
        let (ended, all) = tree::progress(task);
        let mut lines = tree::fit(tree::lines(task), columns, rows.saturating_sub(2));
        lines.push(if all == 0 { "not divided yet".to_owned() } else { format!("{ended} of {all} parts have ended") });
        self.wipe();
        self.drawn = lines.len();
        // A line that the terminal takes for longer than we do must not wrap: the next drawing would miss it.
        output::draw(&format!("\x1b[?7l{}\n\x1b[?7h", lines.join("\n")));
    }

    fn wipe(&mut self) {
        if self.drawn > 0 {
            output::draw(&format!("\x1b[{}A\x1b[J", self.drawn));
            self.drawn = 0;
        }
    }

    /// Takes the drawing away where the answer, which has the same tree, comes to the same terminal.
    fn close(&mut self) {
        if output::is_read_by_a_person() {
            self.wipe();
        }
    }

    /// Writes a line for each task whose state is new.
    fn tell(&mut self, task: &Value) {
        let state = tree::word(task, "state");
        // A task that waits for a batch tells where that stands, too.
        let batches = batch::list_of(task, "batches").iter().map(|wait| tree::word(wait, "state"));
        let batches = if tree::children(task).is_empty() { batches.collect() } else { String::new() };
        let stands = format!("{state} {batches}");
        if state != "pending" && self.told.insert(tree::word(task, "id").to_owned(), stands.clone()) != Some(stands) {
            output::note(&tree::line(task));
        }
        for child in tree::children(task) {
            self.tell(child);
        }
    }
}
