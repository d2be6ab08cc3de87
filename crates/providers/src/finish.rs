//! Judges what came off the wire: an answer, or a failure that was billed all the same; and prices it.
//! Refuses to check an answer against its schema: the caller does.

use crate::{
    call::Head,
    chat::{Answer, Stop},
    endpoint::Endpoint,
    error::{Class, Error},
    wire::Draft,
};
use domain::money::{Factor, Nanos, Price, PriceList, Usage};
use serde_json::Value;
use time::Date;

/// Reasons that mean: cut short by the provider, whatever text there is.
const INTERRUPTED: &[&str] = &["error", "insufficient_system_resource"];

/// What was asked, as far as it decides what an answer is worth.
pub(crate) struct Asked<'a> {
    pub(crate) endpoint: &'a Endpoint,
    /// The model's name as it was sent; `None` in a batch that does not tell.
    pub(crate) model: Option<&'a str>,
    /// The text is to be read as JSON.
    pub(crate) wants_data: bool,
    pub(crate) paid: Paid,
    /// The day whose prices hold.
    pub(crate) day: Date,
}

/// At which of a provider's prices an ask was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paid {
    Now,
    Flex,
    Batch,
}

/// What an answer costs, and what it would have cost at pace now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cost {
    paid: Nanos,
    list: Nanos,
}

/// Turns a draft into an answer, or into the error that it amounts to.
pub(crate) fn judge(asked: &Asked<'_>, mut draft: Draft, head: Head, prices: &PriceList) -> Result<Answer, Error> {
    let cost = price(asked, &draft, prices);
    asked.endpoint.meters.billed(&draft.usage, cost.paid);
    let provider = &asked.endpoint.provider.name;
    let stop = draft.stop.take().unwrap_or_else(|| Stop::Other("none".to_owned()));
    let usable = !matches!(stop, Stop::Refused | Stop::Filtered);
    let answer = Answer {
        data: if asked.wants_data && usable { json(&draft.text) } else { None },
        model: format!("{provider}/{}", draft.model.as_deref().or(asked.model).unwrap_or("unknown")),
        text: draft.text,
        stop,
        usage: draft.usage,
        nanos: cost.paid,
        list_nanos: cost.list,
        emulated: head.emulated,
        request_id: head.request_id,
    };
    match complaint(provider, &answer) {
        None => Ok(answer),
        Some((class, reason)) => Err(Error { billed: Some(Box::new(answer)), ..Error::new(class, provider, reason) }),
    }
}

fn complaint(provider: &str, answer: &Answer) -> Option<(Class, String)> {
    let model = &answer.model;
    let empty = answer.text.trim().is_empty();
    let retry = Class::Retry { after: None };
    match &answer.stop {
        Stop::Refused if empty => Some((Class::Fail, format!("{model} refused to answer"))),
        Stop::Refused => {
            let said = crate::redact::clean(&answer.text, None, b"");
            Some((Class::Fail, format!("{model} refused to answer: {said}")))
        }
        Stop::Filtered => Some((Class::FailOver, format!("the provider's filter cut the answer of {model}"))),
        Stop::Other(word) if INTERRUPTED.contains(&word.as_str()) => {
            Some((retry, format!("{model} was interrupted ({word})")))
        }
        Stop::MaxTokens if empty => {
            // Thinking counts: the same request would end the same way.
            let reason = format!("{model} used up max_tokens before it wrote anything; a higher limit is needed");
            Some((Class::FailOver, reason))
        }
        Stop::Complete | Stop::Other(_) if empty => Some((retry, format!("{provider} answered with no text"))),
        Stop::Complete | Stop::MaxTokens | Stop::Other(_) => None,
    }
}

/// Prices an answer. The provider's own figure wins where the catalogue says to believe it.
fn price(asked: &Asked<'_>, draft: &Draft, prices: &PriceList) -> Cost {
    let endpoint = asked.endpoint;
    if let Some(nanos) = draft.dollars.filter(|_| endpoint.dialect.reports_cost).and_then(nanos_of_dollars) {
        return Cost { paid: nanos, list: nanos };
    }
    let provider = &endpoint.provider;
    let sent = asked.model.or(draft.model.as_deref()).unwrap_or("unknown");
    let (name, keeps_cache_price) = match provider.model(sent) {
        Some((name, model)) => (name, !model.discounts_cache_read),
        None => (sent, false),
    };
    let factor = match asked.paid {
        Paid::Flex if draft.tier.as_deref().is_none_or(|tier| tier == "flex") => provider.flex,
        // Whatever tier an answer names, what comes in a batch is billed as one.
        Paid::Batch => provider.batch_price,
        Paid::Now | Paid::Flex => None,
    };
    let factor = factor.unwrap_or(Factor::FULL);
    let key = format!("{}/{name}", provider.name);
    let Some(price) = prices.price(&key, asked.day, draft.usage.prompt()) else {
        endpoint.meters.unpriced();
        if endpoint.first_warning(name) {
            tracing::warn!(model = key, "the catalogue has no price for this model: its answers are booked at 0");
        }
        return Cost::default();
    };
    let list = domain::money::cost(&draft.usage, price, Factor::FULL);
    Cost { paid: discounted(&draft.usage, price, factor, keeps_cache_price).unwrap_or(list), list }
}

/// What a discount makes of a price, cached input apart where it keeps its own; `None` without one.
pub(crate) fn discounted(usage: &Usage, price: &Price, factor: Factor, keeps_cache_price: bool) -> Option<Nanos> {
    if factor == Factor::FULL {
        return None;
    }
    if !keeps_cache_price {
        return Some(domain::money::cost(usage, price, factor));
    }
    let cached = Usage { cache_read: usage.cache_read, ..Usage::default() };
    let rest = Usage { cache_read: 0, ..*usage };
    Some(domain::money::cost(&rest, price, factor) + domain::money::cost(&cached, price, Factor::FULL))
}

/// Reads a figure in dollars as nano-dollars, by its decimals.
fn nanos_of_dollars(dollars: f64) -> Option<Nanos> {
    if !(0.0..1e6).contains(&dollars) {
        return None;
    }
    format!("{dollars:.9}").replace('.', "").parse().ok().map(Nanos)
}

/// Reads an answer's text as JSON, in spite of a Markdown fence around it.
fn json(text: &str) -> Option<Value> {
    let text = text.trim();
    serde_json::from_str(text).ok().or_else(|| {
        let inner = text.strip_prefix("```")?.strip_suffix("```")?;
        let inner = inner.strip_prefix("json").unwrap_or(inner);
        serde_json::from_str(inner.trim()).ok()
    })
}

#[cfg(test)]
mod tests;
