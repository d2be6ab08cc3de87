//! Watches a task: a live tree on a terminal, a line for each change elsewhere.

use crate::{
    client::{Client, Trouble},
    output, tree,
};
use futures_util::StreamExt as _;
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// How often the tree is looked at when no event comes: events can be lost, rows cannot.
const LOOK: Duration = Duration::from_secs(5);
/// Events that come together are drawn together.
const SETTLE: Duration = Duration::from_millis(40);

/// Waits until the task has ended and returns its tree.
pub(crate) async fn until_ended(client: &Client, id: &str, quiet: bool) -> Result<Value, Trouble> {
    let mut events = client.events(id).await?.bytes_stream();
    let mut screen = Screen::default();
    loop {
        let task = client.get(&format!("/api/tasks/{id}/tree")).await?;
        if !quiet {
            screen.show(&task);
        }
        if matches!(tree::word(&task, "state"), "completed" | "failed" | "cancelled") {
            return Ok(task);
        }
        match tokio::time::timeout(LOOK, events.next()).await {
            Ok(Some(Ok(_))) => while let Ok(Some(Ok(_))) = tokio::time::timeout(SETTLE, events.next()).await {},
            // The stream has ended; rows still tell.
            Ok(Some(Err(_)) | None) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                events = client.events(id).await?.bytes_stream();
            }
            Err(_) => {}
        }
    }
}

#[derive(Default)]
struct Screen {
    lines: usize,
    told: HashMap<String, String>,
}

impl Screen {
    fn show(&mut self, task: &Value) {
        if output::is_live() { self.redraw(task) } else { self.tell(task) }
    }

    /// Draws the tree over the last one.
    fn redraw(&mut self, task: &Value) {
        let text = tree::draw(task);
        let up = if self.lines > 0 { format!("\x1b[{}A\x1b[J", self.lines) } else { String::new() };
        self.lines = text.lines().count();
        output::draw(&format!("{up}{text}"));
    }

    /// Writes a line for each task whose state is new.
    fn tell(&mut self, task: &Value) {
        let state = tree::word(task, "state").to_owned();
        if state != "pending" && self.told.insert(tree::word(task, "id").to_owned(), state.clone()) != Some(state) {
            output::note(&tree::line(task));
        }
        for child in task.get("children").and_then(Value::as_array).into_iter().flatten() {
            self.tell(child);
        }
    }
}
