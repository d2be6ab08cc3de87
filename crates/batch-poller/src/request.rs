//! From an ask to the request that goes into a batch. Refuses to send anything.

use domain::advance::AskWork;
use providers::{Message, Request, Role};
use std::time::Duration;

/// Writes the request that asks this model. What only a single call has is left empty: batches have no use for it.
pub(crate) fn request(work: &AskWork, model: &str) -> Request {
    Request {
        model: model.to_owned(),
        system: Some(work.system.clone()).filter(|system| !system.is_empty()),
        messages: vec![Message { role: Role::User, text: work.prompt.clone() }],
        schema: work.schema.clone(),
        max_tokens: work.max_tokens,
        flex: false,
        timeout: Duration::from_millis(work.timeout_ms),
        request_id: String::new(),
        traceparent: None,
    }
}

/// Writes the request that asks again for an answer that could not be used. It tells the last answer alone: earlier
/// ones were worse, and a conversation would grow with every round.
pub(crate) fn corrected(work: &AskWork, model: &str, answer: &str, misfit: &str) -> Request {
    let mut request = request(work, model);
    // No provider takes a turn without text.
    let said = if answer.trim().is_empty() { "(no answer)" } else { answer };
    request.messages.push(Message { role: Role::Assistant, text: said.to_owned() });
    request.messages.push(Message { role: Role::User, text: domain::schema::correction(misfit) });
    request
}
