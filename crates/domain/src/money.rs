//! Money and tokens, in integers: nano-dollars booked, pico-dollars per token while counting.
//! Refuses floating point and today's date: both the prices and the day are handed in.

mod price_list;

pub use price_list::{Dated, Factor, Price, PriceError, PriceList, Tier, cost};

use serde::{Deserialize, Serialize};
use std::{
    fmt,
    iter::Sum,
    ops::{Add, AddAssign},
};

/// An amount of money in nano-dollars (10⁻⁹ USD).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nanos(pub i64);

/// What [`dollars`] reads, for people.
pub const DOLLARS: &str = "dollars above zero as a decimal number in a string, such as \"0.50\"";

/// Reads an amount of dollars as people write it: `0.50`, `12`.
///
/// # Errors
/// Says what is wrong: it is no plain decimal number above zero, is finer than a nano-dollar, or is more than a
/// million dollars.
pub fn dollars(text: &str) -> Result<Nanos, String> {
    const MOST_DOLLARS: i64 = 1_000_000;
    let refuse = |problem: &str| Err(problem.to_owned());
    if text.strip_prefix('-').is_some_and(|positive| dollars(positive).is_ok()) {
        return refuse("is less than nothing");
    }
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return refuse("is not an amount");
    }
    let part = part.trim_end_matches('0');
    if part.len() > 9 {
        return refuse("is finer than a nano-dollar");
    }
    let whole = whole.parse::<i64>().ok().filter(|whole| *whole < MOST_DOLLARS);
    let (Some(whole), Ok(part)) = (whole, format!("{part:0<9}").parse::<i64>()) else {
        return refuse("is too much: less than a million dollars is right");
    };
    match whole.saturating_mul(1_000_000_000).saturating_add(part) {
        0 => refuse("is zero"),
        nanos => Ok(Nanos(nanos)),
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Nanos {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), Add::add)
    }
}

impl fmt::Display for Nanos {
    /// Writes dollars exactly, with at least two decimals: `$0.001234`, `$12.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DOLLAR: u64 = 1_000_000_000;
        let amount = self.0.unsigned_abs();
        let decimals = format!("{:09}", amount % DOLLAR);
        let cents = decimals.get(..2).unwrap_or_default();
        let rest = decimals.get(2..).unwrap_or_default().trim_end_matches('0');
        let sign = if self.0 < 0 { "-" } else { "" };
        f.pad(&format!("{sign}${}.{cents}{rest}", amount / DOLLAR))
    }
}

/// What one model call consumed, in tokens. Input classes do not overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens billed at the full input price.
    pub input: i64,
    /// Input tokens read from a cache.
    pub cache_read: i64,
    /// Input tokens written to a cache that lives five minutes (or the provider's default).
    pub cache_write: i64,
    /// Input tokens written to a cache that lives an hour.
    pub cache_write_hour: i64,
    /// Output tokens, thinking included.
    pub output: i64,
}

impl Usage {
    /// Returns the size of the whole prompt, in tokens: it picks the price tier.
    #[must_use]
    pub fn prompt(&self) -> i64 {
        [self.input, self.cache_read, self.cache_write, self.cache_write_hour]
            .into_iter()
            .fold(0, |sum: i64, tokens| sum.saturating_add(tokens.max(0)))
    }

    /// Returns all tokens, in and out.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.prompt().saturating_add(self.output.max(0))
    }
}

impl Add for Usage {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            cache_write_hour: self.cache_write_hour.saturating_add(other.cache_write_hour),
            output: self.output.saturating_add(other.output),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    fn sum<I: Iterator<Item = Self>>(usages: I) -> Self {
        usages.fold(Self::default(), Add::add)
    }
}
