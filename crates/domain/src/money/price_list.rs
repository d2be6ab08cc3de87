//! Prices by model, day and prompt size, and the cost of one call.

use super::{Nanos, Usage};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use time::Date;

/// Prices of one tier. In files each is a decimal string in USD per million tokens (`"0.25"`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input at full price, in pico-dollars (10⁻¹² USD) per token.
    #[serde(with = "usd")]
    pub input: i64,
    /// Input read from a cache, in pico-dollars per token.
    #[serde(with = "usd")]
    pub cache_read: i64,
    /// Input written to the provider's default cache, in pico-dollars per token.
    #[serde(with = "usd")]
    pub cache_write: i64,
    /// Input written to a cache that lives an hour, in pico-dollars per token.
    #[serde(with = "usd")]
    pub cache_write_hour: i64,
    /// Output, in pico-dollars per token.
    #[serde(with = "usd")]
    pub output: i64,
}

/// Prices that hold for prompts of more than `above` tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The prompt has more tokens than this; 0 for the first tier, which holds for every prompt.
    pub above: i64,
    /// What it costs then.
    pub price: Price,
}

/// Prices of a model from a day on, until a later entry takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dated {
    /// The first day (UTC) on which they hold.
    pub from: Date,
    /// The tiers, the smallest `above` first; the first one's is 0.
    pub tiers: Vec<Tier>,
}

/// A discount as a fraction: half price is 1/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Factor {
    /// The numerator.
    pub num: u32,
    /// The denominator, not 0.
    pub den: u32,
}

impl Factor {
    /// Full price.
    pub const FULL: Self = Self { num: 1, den: 1 };
    /// Half price: batch and flex with most providers.
    pub const HALF: Self = Self { num: 1, den: 2 };
}

/// A price that was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PriceError {
    /// Not a decimal number of dollars per million tokens.
    #[error("{0:?} is not USD per million tokens, such as \"0.25\" (at most 6 decimals, at most 1000000)")]
    NotADecimal(String),
    /// Tiers that leave a prompt size without a price, or give it two.
    #[error("the price tiers of {model} from {from} must begin at 0 and rise")]
    Tiers {
        /// The model.
        model: String,
        /// The entry's first day.
        from: Date,
    },
    /// Two entries of one model begin on one day.
    #[error("{model} has two prices from {from}")]
    Twice {
        /// The model.
        model: String,
        /// The day.
        from: Date,
    },
}

impl Price {
    /// Reads a decimal string of USD per million tokens as pico-dollars per token.
    ///
    /// # Errors
    /// Not a decimal number, more than 6 decimals, negative, or over 1,000,000.
    pub fn picos(text: &str) -> Result<i64, PriceError> {
        let refuse = || PriceError::NotADecimal(text.to_owned());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || whole.len() > 7 || decimals.len() > 6 {
            return Err(refuse());
        }
        let picos: i64 = format!("{whole}{decimals:0<6}").parse().map_err(|_| refuse())?;
        if picos > 1_000_000_000_000 { Err(refuse()) } else { Ok(picos) }
    }
}

/// Returns what a call cost, rounded half up to nano-dollars, once. Negative token counts count as 0; a
/// denominator of 0 as 1; a sum beyond 9.2 billion dollars as that.
#[must_use]
pub fn cost(usage: &Usage, price: &Price, factor: Factor) -> Nanos {
    let parts = [
        (usage.input, price.input),
        (usage.cache_read, price.cache_read),
        (usage.cache_write, price.cache_write),
        (usage.cache_write_hour, price.cache_write_hour),
        (usage.output, price.output),
    ];
    // Two factors below 2⁶³ and five summands stay below 2¹²⁹; saturation keeps the last bits harmless.
    let picos = parts.into_iter().fold(0_i128, |sum, (tokens, price)| {
        sum.saturating_add(i128::from(tokens.max(0)).saturating_mul(i128::from(price.max(0))))
    });
    let divisor = i128::from(factor.den.max(1)).saturating_mul(1_000);
    let scaled = picos.saturating_mul(i128::from(factor.num)).saturating_add(divisor / 2);
    Nanos(i64::try_from(scaled / divisor).unwrap_or(i64::MAX))
}

/// The prices of all models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceList {
    models: BTreeMap<String, Vec<Dated>>,
}

impl PriceList {
    /// Adds the prices of a model from a day on.
    ///
    /// # Errors
    /// The tiers do not begin at 0 and rise, or the model has prices from that very day already.
    pub fn insert(&mut self, model: &str, dated: Dated) -> Result<(), PriceError> {
        let rising = dated.tiers.iter().zip(dated.tiers.iter().skip(1)).all(|(one, next)| one.above < next.above);
        if !rising || dated.tiers.first().is_none_or(|first| first.above != 0) {
            return Err(PriceError::Tiers { model: model.to_owned(), from: dated.from });
        }
        let entries = self.models.entry(model.to_owned()).or_default();
        match entries.binary_search_by_key(&dated.from, |entry| entry.from) {
            Ok(_) => Err(PriceError::Twice { model: model.to_owned(), from: dated.from }),
            Err(place) => {
                entries.insert(place, dated);
                Ok(())
            }
        }
    }

    /// Returns the price of a model on a day for a prompt of so many tokens; `None` when none is known.
    #[must_use]
    pub fn price(&self, model: &str, on: Date, prompt: i64) -> Option<&Price> {
        let dated = self.models.get(model)?.iter().rev().find(|entry| entry.from <= on)?;
        let tier = dated.tiers.iter().rev().find(|tier| prompt > tier.above || tier.above == 0)?;
        Some(&tier.price)
    }

    /// Returns what a call cost; `None` when the model has no price on that day.
    #[must_use]
    pub fn cost(&self, usage: &Usage, model: &str, on: Date, factor: Factor) -> Option<Nanos> {
        self.price(model, on, usage.prompt()).map(|price| cost(usage, price, factor))
    }
}

mod usd {
    use super::{Deserialize, Deserializer, Price, Serializer};
    use std::borrow::Cow;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    pub(super) fn serialize<S: Serializer>(picos: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        let text = format!("{}.{:06}", picos / 1_000_000, picos % 1_000_000);
        serializer.serialize_str(text.trim_end_matches('0').trim_end_matches('.'))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Price::picos(&text).map_err(serde::de::Error::custom)
    }
}
