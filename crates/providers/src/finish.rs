//! Judges what came off the wire: an answer, or a failure that was billed all the same; and prices it.
//! Refuses to check an answer against its schema: the caller does.

use crate::{
    call::{Call, Head},
    chat::{Answer, Stop},
    error::{Class, Error},
    wire::Draft,
};
use domain::money::{Factor, Nanos, PriceList, Usage};
use serde_json::Value;
use time::{Date, OffsetDateTime};

/// Reasons that mean: cut short by the provider, whatever text there is.
const INTERRUPTED: &[&str] = &["error", "insufficient_system_resource"];

/// Turns a draft into an answer, or into the error that it amounts to.
pub(crate) fn judge(call: &Call, draft: Draft, head: &Head, prices: &PriceList) -> Result<Answer, Error> {
    let nanos = price(call, &draft, prices, OffsetDateTime::now_utc().date());
    call.endpoint.meters.billed(&draft.usage, nanos);
    let provider = &call.endpoint.provider.name;
    let stop = draft.stop.unwrap_or_else(|| Stop::Other("none".to_owned()));
    let usable = !matches!(stop, Stop::Refused | Stop::Filtered);
    let answer = Answer {
        data: if call.wants_data && usable { json(&draft.text) } else { None },
        model: format!("{provider}/{}", draft.model.as_deref().unwrap_or(&call.model)),
        text: draft.text,
        stop,
        usage: draft.usage,
        nanos,
        emulated: head.emulated,
        request_id: head.request_id.clone(),
    };
    match complaint(call, &answer) {
        None => Ok(answer),
        Some((class, reason)) => Err(Error { billed: Some(Box::new(answer)), ..Error::new(class, provider, reason) }),
    }
}

fn complaint(call: &Call, answer: &Answer) -> Option<(Class, String)> {
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
        Stop::Complete | Stop::Other(_) if empty => {
            Some((retry, format!("{} answered with no text", call.endpoint.provider.name)))
        }
        Stop::Complete | Stop::MaxTokens | Stop::Other(_) => None,
    }
}

/// Prices an answer. The provider's own figure wins where the catalogue says to believe it.
fn price(call: &Call, draft: &Draft, prices: &PriceList, today: Date) -> Nanos {
    let endpoint = &call.endpoint;
    if let Some(nanos) = draft.dollars.filter(|_| endpoint.dialect.reports_cost).and_then(nanos_of_dollars) {
        return nanos;
    }
    let provider = &endpoint.provider;
    let (name, keeps_cache_price) = match provider.model(&call.model) {
        Some((name, model)) => (name, !model.discounts_cache_read),
        None => (call.model.as_str(), false),
    };
    let at_flex = call.flex && draft.tier.as_deref().is_none_or(|tier| tier == "flex");
    let factor = provider.flex.filter(|_| at_flex).unwrap_or(Factor::FULL);
    let key = format!("{}/{name}", provider.name);
    let Some(price) = prices.price(&key, today, draft.usage.prompt()) else {
        endpoint.meters.unpriced();
        if endpoint.first_warning(name) {
            tracing::warn!(model = key, "the catalogue has no price for this model: its answers are booked at 0");
        }
        return Nanos::default();
    };
    if keeps_cache_price && factor != Factor::FULL {
        let cached = Usage { cache_read: draft.usage.cache_read, ..Usage::default() };
        let rest = Usage { cache_read: 0, ..draft.usage };
        return domain::money::cost(&rest, price, factor) + domain::money::cost(&cached, price, Factor::FULL);
    }
    domain::money::cost(&draft.usage, price, factor)
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
