//! Who serves which models, in which dialect, at which price: the contents of `providers.toml`.
//! Refuses to know keys and where an endpoint was moved to.

mod dialect;
mod file;
mod source;

pub use dialect::{Batch, Dialect, MaxTokens, SchemaDialect, Wire};
pub use source::CatalogueError;

use domain::money::{Factor, PriceList};
use std::collections::BTreeMap;
use time::Date;
use url::Url;

const BUILT_IN: &str = include_str!("../providers.toml");

/// All providers, with their models and prices.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalogue {
    /// The day on which its facts were gathered.
    pub dated: Date,
    /// The providers, in the order of the file.
    pub providers: Vec<Provider>,
    /// The prices, by `provider/model`.
    pub prices: PriceList,
}

/// One provider.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// What stands before the slash in `provider/model`.
    pub name: String,
    /// Where it is served; `None` when only its variable can tell.
    pub base_url: Option<Url>,
    /// The variable that moves it elsewhere.
    pub base_url_variable: String,
    /// The variable that holds its key and switches it on.
    pub key_variable: String,
    /// The variable that, at a server elsewhere, names the one model for every ask.
    pub model_variable: Option<String>,
    /// Headers that every request carries.
    pub headers: Vec<(String, String)>,
    /// How it is spoken to.
    pub dialect: Dialect,
    /// How a server is spoken to to which the variable moved it.
    pub elsewhere: Option<Dialect>,
    /// What the flex tier costs; `None` when there is none.
    pub flex: Option<Factor>,
    /// What the batch API costs; `None` when there is none.
    pub batch_price: Option<Factor>,
    /// Which batch API it has.
    pub batch: Batch,
    /// Its models, by name.
    pub models: BTreeMap<String, Model>,
}

/// One model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The wire it asks for, when that is not the provider's.
    pub wire: Option<Wire>,
    /// The most tokens it can write.
    pub max_output: Option<u32>,
    /// Flex and batch make cached input cheaper, too.
    pub discounts_cache_read: bool,
    /// It may be asked in a batch, where its provider has them.
    pub batch: bool,
}

impl Catalogue {
    /// Returns the catalogue that is built in.
    ///
    /// # Errors
    /// None in a build whose tests passed.
    pub fn built_in() -> Result<Self, CatalogueError> {
        Self::parse("providers.toml", BUILT_IN)
    }

    /// Reads a catalogue; `file` names it in errors.
    ///
    /// # Errors
    /// The first thing that is not right: its line, its field, what is wrong and what would be right.
    pub fn parse(file: &str, toml: &str) -> Result<Self, CatalogueError> {
        file::parse(file, toml)
    }

    /// Returns the variables that switch its providers on or move them elsewhere: each one's name, what it is for,
    /// and whether it is a secret.
    #[must_use]
    pub fn variables(&self) -> Vec<(String, String, bool)> {
        let mut all = Vec::new();
        for provider in &self.providers {
            let plain = [Some(&provider.base_url_variable), provider.model_variable.as_ref()];
            let about = |what: &str| format!("{}: {what}", provider.name);
            all.extend(
                plain.into_iter().flatten().map(|name| (name.clone(), about("its address or its model"), false)),
            );
            all.push((provider.key_variable.clone(), about("its key"), true));
        }
        all
    }

    /// Returns a provider by its name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| provider.name == name)
    }
}

impl Provider {
    /// Returns what is known of a model and the name it is known by: a dated snapshot
    /// (`…-20251001`, `…-2026-10-07`) is its model.
    #[must_use]
    pub fn model(&self, name: &str) -> Option<(&str, &Model)> {
        let known = |name: &str| self.models.get_key_value(name).map(|(name, model)| (name.as_str(), model));
        known(name).or_else(|| known(undated(name)?))
    }
}

fn undated(name: &str) -> Option<&str> {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let (rest, last) = name.rsplit_once('-')?;
    if digits(last, 8) {
        return Some(rest);
    }
    let (rest, month) = rest.rsplit_once('-')?;
    let (rest, year) = rest.rsplit_once('-')?;
    (digits(last, 2) && digits(month, 2) && digits(year, 4)).then_some(rest)
}

#[cfg(test)]
mod tests;
