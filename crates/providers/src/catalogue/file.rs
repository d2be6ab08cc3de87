//! Reads `providers.toml` and says where and why it is not right.
//! Refuses to guess: an unknown field, wire or day is an error, not a default.

use super::{
    Batch, Catalogue, Dialect, Model, Provider, Wire,
    source::{CatalogueError, Source},
};
use domain::money::{Dated, Factor, Price, PriceError, PriceList, Tier};
use serde::{Deserialize, Deserializer, de};
use std::{borrow::Cow, collections::BTreeMap};
use time::{Date, Month};
use toml::{Spanned, value::Datetime};
use url::Url;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dated: Day,
    #[serde(default)]
    provider: Vec<RawProvider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProvider {
    name: Spanned<String>,
    base_url: Option<Spanned<String>>,
    base_url_variable: String,
    key_variable: String,
    model_variable: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    dialect: Dialect,
    elsewhere: Option<Dialect>,
    flex: Option<Spanned<Factor>>,
    batch_price: Option<Spanned<Factor>>,
    #[serde(default)]
    batch: Batch,
    #[serde(default)]
    model: Vec<RawModel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: Spanned<String>,
    wire: Option<Wire>,
    max_output: Option<u32>,
    #[serde(default = "yes")]
    discounts_cache_read: bool,
    #[serde(default = "yes")]
    batch: bool,
    #[serde(default)]
    prices: Vec<Spanned<RawPrice>>,
}

const fn yes() -> bool {
    true
}

/// One tier from one day on. What is left out costs what its neighbour costs.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrice {
    from: Option<Day>,
    #[serde(default)]
    above: u32,
    input: Usd,
    output: Usd,
    cache_read: Option<Usd>,
    cache_write: Option<Usd>,
    cache_write_hour: Option<Usd>,
}

/// Pico-dollars per token, written as a decimal string of dollars per million tokens.
#[derive(Clone, Copy)]
struct Usd(i64);

impl<'de> Deserialize<'de> for Usd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Price::picos(&text).map(Self).map_err(de::Error::custom)
    }
}

/// A TOML date without a time.
#[derive(Clone, Copy)]
struct Day(Date);

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let given = Datetime::deserialize(deserializer)?;
        let refuse = || de::Error::custom(format!("{given} is not a day"));
        if given.time.is_some() || given.offset.is_some() {
            return Err(refuse());
        }
        let day = given.date.ok_or_else(refuse)?;
        let month = Month::try_from(day.month).map_err(|_| refuse())?;
        Date::from_calendar_date(i32::from(day.year), month, day.day).map(Self).map_err(|_| refuse())
    }
}

impl RawPrice {
    fn price(&self) -> Price {
        let or = |price: Option<Usd>, other: i64| price.map_or(other, |price| price.0);
        let cache_write = or(self.cache_write, self.input.0);
        Price {
            input: self.input.0,
            cache_read: or(self.cache_read, self.input.0),
            cache_write,
            cache_write_hour: or(self.cache_write_hour, cache_write),
            output: self.output.0,
        }
    }
}

pub(super) fn parse(file: &str, text: &str) -> Result<Catalogue, CatalogueError> {
    let source = Source::new(file, text);
    let raw: File = toml::from_str(text).map_err(|error| source.syntax(&error))?;
    let mut catalogue = Catalogue { dated: raw.dated.0, providers: Vec::new(), prices: PriceList::default() };
    for raw in raw.provider {
        let span = raw.name.span();
        if catalogue.provider(raw.name.get_ref()).is_some() {
            return Err(source.error(&span, "name", "this provider is there already", "one entry per provider"));
        }
        let provider = provider(source, raw, &mut catalogue.prices)?;
        catalogue.providers.push(provider);
    }
    Ok(catalogue)
}

fn provider(source: Source<'_>, raw: RawProvider, prices: &mut PriceList) -> Result<Provider, CatalogueError> {
    let name = name(source, &raw.name)?;
    if name.contains('/') {
        return Err(source.error(&raw.name.span(), "name", "a provider's name has no slash", "such as \"anthropic\""));
    }
    let mut models = BTreeMap::new();
    for model in raw.model {
        let span = model.name.span();
        let model_name = self::name(source, &model.name)?;
        add_prices(source, &format!("{name}/{model_name}"), &model.prices, prices)?;
        let known = Model {
            wire: model.wire,
            max_output: model.max_output,
            discounts_cache_read: model.discounts_cache_read,
            batch: model.batch,
        };
        if models.insert(model_name, known).is_some() {
            return Err(source.error(&span, "name", "this model is there already", "one entry per model"));
        }
    }
    Ok(Provider {
        base_url: raw.base_url.map(|url| base_url(source, &url)).transpose()?,
        name,
        base_url_variable: raw.base_url_variable,
        key_variable: raw.key_variable,
        model_variable: raw.model_variable,
        headers: headers(source, raw.headers)?,
        dialect: raw.dialect,
        elsewhere: raw.elsewhere,
        flex: raw.flex.map(|factor| discount(source, "flex", &factor)).transpose()?,
        batch_price: raw.batch_price.map(|factor| discount(source, "batch_price", &factor)).transpose()?,
        batch: raw.batch,
        models,
    })
}

fn name(source: Source<'_>, name: &Spanned<String>) -> Result<String, CatalogueError> {
    let text = name.get_ref();
    if text.is_empty() || text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(source.error(&name.span(), "name", "a name is empty or has spaces", "a name without spaces"));
    }
    Ok(text.clone())
}

fn base_url(source: Source<'_>, url: &Spanned<String>) -> Result<Url, CatalogueError> {
    crate::endpoint::base_url(url.get_ref())
        .map_err(|problem| source.error(&url.span(), "base_url", &problem, crate::endpoint::RIGHT_BASE_URL))
}

fn headers(
    source: Source<'_>,
    headers: BTreeMap<String, Spanned<String>>,
) -> Result<Vec<(String, String)>, CatalogueError> {
    let check = |(name, value): (String, Spanned<String>)| {
        let fine = reqwest::header::HeaderName::try_from(&name).is_ok()
            && reqwest::header::HeaderValue::from_str(value.get_ref()).is_ok();
        if fine {
            return Ok((name, value.into_inner()));
        }
        let problem = "this is no HTTP header";
        Err(source.error(&value.span(), &name, problem, "a token as name and printable ASCII as value"))
    };
    headers.into_iter().map(check).collect()
}

fn discount(source: Source<'_>, field: &str, factor: &Spanned<Factor>) -> Result<Factor, CatalogueError> {
    let Factor { num, den } = *factor.get_ref();
    if den == 0 || num > den {
        let expected = "a fraction of at most 1, such as { num = 1, den = 2 }";
        return Err(source.error(&factor.span(), field, &format!("{num}/{den} is no discount"), expected));
    }
    Ok(*factor.get_ref())
}

/// Groups the rows of a model by their day and adds them to the list.
fn add_prices(
    source: Source<'_>,
    model: &str,
    rows: &[Spanned<RawPrice>],
    prices: &mut PriceList,
) -> Result<(), CatalogueError> {
    let mut rows = rows.iter().peekable();
    while let Some(first) = rows.next() {
        let from = day(first);
        let mut tiers = vec![tier(first)];
        while let Some(next) = rows.next_if(|next| day(next) == from) {
            tiers.push(tier(next));
        }
        prices.insert(model, Dated { from, tiers }).map_err(|error| {
            let expected = match &error {
                PriceError::Tiers { .. } => "a first row without `above`, then rows whose `above` rises",
                PriceError::Twice { .. } | PriceError::NotADecimal(_) => "rows of one day side by side, days rising",
            };
            source.error(&first.span(), "prices", &error.to_string(), expected)
        })?;
    }
    Ok(())
}

fn day(row: &Spanned<RawPrice>) -> Date {
    // Without a day a price has always been so.
    row.get_ref().from.map_or(Date::MIN, |day| day.0)
}

fn tier(row: &Spanned<RawPrice>) -> Tier {
    Tier { above: i64::from(row.get_ref().above), price: row.get_ref().price() }
}
