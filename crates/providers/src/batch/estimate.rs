//! What an ask will cost at most, before it is sent.
//! Refuses to be exact: the tokens are known when the provider has counted them.
//!
//! The ratios of letters to tokens are an estimate of our own, on the safe side of what tokenizers of
//! 2024 to 2026 make of ordinary texts: 3.5 Latin letters or spaces to a token, 2 digits or signs, and for
//! Hangul, Han, kana and everything else beyond ASCII 3 tokens to 2 letters. They are no provider's figures.

use crate::{
    catalogue::{Provider, Wire},
    chat::Request,
    endpoint::Endpoint,
    finish::discounted,
    providers::Providers,
};
use domain::{
    money::{Factor, Nanos, Usage, cost},
    pace::Pace,
};
use time::OffsetDateTime;

/// Parts of a token: 42 can be divided by all the ratios above.
const TOKEN: u64 = 42;
/// Tokens that a wire adds to every turn, and to every request.
const PER_TURN: u64 = 8;
const PER_REQUEST: u64 = 32;

impl Providers {
    /// Estimates what one try of a request costs at most: its prompt by its letters, with system and
    /// schema, all of `max_tokens` of output, at the price of its pace today. `Auto` counts as `Now`. 0 when
    /// the model has no price or the provider is off.
    #[must_use]
    pub fn estimate(&self, request: &Request, pace: Pace) -> Nanos {
        let name = request.model.split_once('/').map_or("", |(provider, _)| provider);
        let Some(endpoint) = self.inner.endpoints.get(name) else { return Nanos::default() };
        let provider = &endpoint.provider;
        let (model, known) = match provider.model(endpoint.sent_model(&request.model)) {
            Some((model, known)) => (model, known),
            None => return Nanos::default(),
        };
        let output = known.max_output.map_or(request.max_tokens, |most| most.min(request.max_tokens));
        let prompt = prompt_tokens(request);
        let usage = Usage { output: i64::from(output), ..input(endpoint, prompt) };
        let today = OffsetDateTime::now_utc().date();
        let Some(price) = self.inner.catalogue.prices.price(&format!("{name}/{model}"), today, prompt) else {
            return Nanos::default();
        };
        let factor = self.factor(provider, request, pace);
        discounted(&usage, price, factor, !known.discounts_cache_read)
            .unwrap_or_else(|| cost(&usage, price, Factor::FULL))
    }

    /// A pace that the model does not have is asked at pace now, at its price.
    fn factor(&self, provider: &Provider, request: &Request, pace: Pace) -> Factor {
        let offer = self.offer(&request.model);
        let factor = match pace {
            Pace::Flex => provider.flex.filter(|_| offer.is_some_and(|offer| offer.flex)),
            Pace::Batch => provider.batch_price.filter(|_| offer.is_some_and(|offer| offer.batch.is_some())),
            Pace::Now | Pace::Auto => None,
        };
        factor.unwrap_or(Factor::FULL)
    }
}

/// OpenAI's models write what they read to a cache unasked, which costs more than input.
fn input(endpoint: &Endpoint, prompt: i64) -> Usage {
    match endpoint.dialect.wire {
        Wire::ChatCompletions | Wire::Responses => Usage { cache_write: prompt, ..Usage::default() },
        Wire::Messages | Wire::GenerateContent => Usage { input: prompt, ..Usage::default() },
    }
}

/// Estimates the tokens of a prompt.
fn prompt_tokens(request: &Request) -> i64 {
    let texts = request.messages.iter().map(|message| message.text.as_str()).chain(request.system.as_deref());
    let schema = request.schema.as_ref().map(|schema| parts(&schema.to_string())).unwrap_or_default();
    let letters = texts.map(parts).fold(schema, u64::saturating_add);
    let turns = u64::try_from(request.messages.len()).unwrap_or(u64::MAX).saturating_mul(PER_TURN);
    let tokens = letters.div_ceil(TOKEN).saturating_add(turns).saturating_add(PER_REQUEST);
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

fn parts(text: &str) -> u64 {
    let part = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | ' ' => 12,
        letter if letter.is_ascii() => 21,
        _ => 63,
    };
    text.chars().map(part).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests;
