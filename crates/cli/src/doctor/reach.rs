//! Who answers: the gateway, the servers that the environment names, the providers that are on.

use super::{Finding, finding};
use crate::{
    REFUSED,
    args::Place,
    client::{self, Client},
    vars::{Filled, given, is_given},
};
use boot::{Reader, Vars as _};
use futures_util::future::join_all;
use providers::{Catalogue, Providers, Status};
use secrecy::SecretString;
use std::time::Duration;

/// How long anyone may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks the gateway, and the Postgres and Redis that the environment names.
pub(super) async fn servers(place: &Place) -> Vec<Finding> {
    let (gateway, postgres, redis) = tokio::join!(gateway(place), postgres(), redis());
    [Some(gateway), postgres, redis].into_iter().flatten().collect()
}

/// A gateway that is not there is no fault; one that does not take our key is.
async fn gateway(place: &Place) -> Finding {
    let base = place.server();
    let anonymous = match Client::with(base.clone(), "") {
        Ok(client) => client,
        Err(trouble) => return finding("server", false, trouble.words),
    };
    let asked = tokio::time::timeout(PATIENCE, anonymous.get("/health")).await;
    if !matches!(asked, Ok(Ok(_))) {
        return finding("server", true, format!("{base} does not answer (start it with `chavion up`)"));
    }
    let told = match Client::new(place) {
        Ok(client) => client.get("/api/status").await,
        Err(trouble) => Err(trouble),
    };
    match told {
        Ok(_) => finding("server", true, format!("{base} answers, and your key opens it")),
        Err(trouble) if trouble.code == REFUSED => {
            finding("server", false, format!("{base} answers, but: {}", trouble.words))
        }
        Err(trouble) => finding("server", false, trouble.words),
    }
}

async fn postgres() -> Option<Finding> {
    let url = match secret("DATABASE_URL", &["postgres", "postgresql"])? {
        Ok(url) => url,
        Err(words) => return Some(finding("DATABASE_URL", false, words)),
    };
    let options = store::Options { url, max_connections: 1, application_name: "chavion-doctor".to_owned() };
    let asked = async {
        let store = store::Store::connect(&options, &prometheus::Registry::new()).map_err(|error| error.to_string())?;
        store.ping().await.map_err(|error| error.to_string())
    };
    Some(answered("DATABASE_URL", tokio::time::timeout(PATIENCE, asked).await))
}

async fn redis() -> Option<Finding> {
    let url = match secret("REDIS_URL", &["redis", "unix", "redis+unix"])? {
        Ok(url) => url,
        Err(words) => return Some(finding("REDIS_URL", false, words)),
    };
    let options = bus::Options { url, prefix: String::new(), replica: "doctor".to_owned() };
    let asked = async {
        let bus = bus::Bus::connect(&options, &prometheus::Registry::new()).map_err(|error| error.to_string())?;
        bus.ping().await.map_err(|error| error.to_string())
    };
    Some(answered("REDIS_URL", tokio::time::timeout(PATIENCE, asked).await))
}

fn answered(name: &str, asked: Result<Result<(), String>, tokio::time::error::Elapsed>) -> Finding {
    match asked {
        Ok(Ok(())) => finding(name, true, "answers"),
        Ok(Err(words)) => finding(name, false, words),
        Err(_) => finding(name, false, format!("does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// Reads a server's URL as the services do; none when the environment names none.
fn secret(name: &str, schemes: &[&str]) -> Option<Result<SecretString, String>> {
    if !is_given(name) {
        return None;
    }
    let mut reader = Reader::new(&boot::Environment);
    let url = reader.secret_url(name, "a server", schemes);
    Some(reader.finish().map(|_| url).map_err(|error| error.to_string()))
}

/// Asks every provider that is on.
pub(super) async fn providers() -> Vec<Finding> {
    let bad = |words: String| vec![finding("providers", false, words)];
    let catalogue = match given("PROVIDERS_FILE") {
        Some(file) => match std::fs::read_to_string(&file) {
            Ok(text) => Catalogue::parse(&file, &text),
            Err(error) => return bad(format!("PROVIDERS_FILE {file} cannot be read: {error}")),
        },
        None => Catalogue::built_in(),
    };
    let vars = Filled::default();
    let keys = |name: &str| vars.get(name).map(Into::into);
    let known = catalogue.map_err(|error| error.to_string()).and_then(|catalogue| {
        Providers::new(catalogue, &keys, &prometheus::Registry::new()).map_err(|error| error.to_string())
    });
    let known = match known {
        Ok(known) => known,
        Err(words) => return bad(words),
    };
    let on: Vec<_> = known.status().into_iter().filter(|status| status.on).collect();
    if on.is_empty() {
        return vec![finding("providers", true, "no key is set: `chavion up` starts the emulator and says so")];
    }
    join_all(on.into_iter().map(|status| provider(&known, status))).await
}

async fn provider(known: &Providers, status: Status) -> Finding {
    let paces = paces(known, &status);
    let (good, said) = reach(&status.base_url.unwrap_or_default()).await;
    finding(format!("provider {}", status.provider), good, format!("{said}; {paces}"))
}

/// Says at which paces a provider can be asked besides now.
fn paces(known: &Providers, status: &Status) -> String {
    let batch = known.batches(&status.provider).is_some();
    // Which tiers there are is the provider's matter, whatever its models are called.
    let flex = known.offer(&format!("{}/any", status.provider)).is_some_and(|offer| offer.flex);
    match (flex, batch) {
        (true, true) => "takes flex and batches",
        (false, true) => "takes batches",
        (true, false) => "takes flex, no batches: asks of pace batch go as flex",
        (false, false) => "takes no batches: asks of pace batch are asked now",
    }
    .to_owned()
}

/// Asks a provider's host for anything: any answer shows that it can be reached. Costs nothing and sends no key.
async fn reach(base: &str) -> (bool, String) {
    let client = match client::http() {
        Ok(client) => client,
        Err(trouble) => return (false, trouble.words),
    };
    match client.get(base).timeout(PATIENCE).send().await {
        Ok(answer) => {
            (true, format!("{base} answers (HTTP {}); its key is checked by the first ask", answer.status().as_u16()))
        }
        Err(error) if error.is_timeout() => (false, format!("{base} did not answer within {} s", PATIENCE.as_secs())),
        Err(_) => (false, format!("{base} cannot be reached")),
    }
}
