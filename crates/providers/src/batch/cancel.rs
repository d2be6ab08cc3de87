//! Cancels a batch.
//! Refuses to see a failure in a batch that has ended meanwhile.

use super::{Batches, JobState, Kind};
use crate::{
    error::{Class, Error},
    metrics::Verb,
};
use reqwest::Method;

impl Batches {
    /// Asks the provider to cancel a batch; what has ended already is left as it is. What runs may
    /// still end, and is billed then.
    ///
    /// # Errors
    /// As [`Batches::status`].
    pub async fn cancel(&self, id: &str) -> Result<(), Error> {
        let url = match self.kind {
            Kind::Gemini => self.batch_url(id, &[], ":cancel"),
            Kind::Anthropic | Kind::OpenAi => self.batch_url(id, &["cancel"], ""),
        };
        let Err(error) = self.call(Verb::Cancel, Method::POST, url).await else { return Ok(()) };
        // "Too late" is a 400 with one and a 409 with another: the batch itself tells.
        let refused = matches!(error.status, Some(400 | 409 | 422)) && error.class != Class::Hold;
        if refused
            && self.status(id).await.is_ok_and(|job| job.state == JobState::Cancelling || job.state.is_terminal())
        {
            return Ok(());
        }
        Err(error)
    }
}
