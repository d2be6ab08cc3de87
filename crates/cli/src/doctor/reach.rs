//! Who answers: the gateway, the servers that the environment names, the providers that are on.

use super::{Finding, stack::Stack};
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
/// The stack's gateway is behind nginx: unless somebody has named a server, there is none to ask here.
pub(super) async fn servers(place: &Place, is_stack: bool) -> Vec<Finding> {
    let is_named = place.url.is_some() || is_given("CHAVION_URL");
    let asked = async { if is_stack && !is_named { None } else { Some(gateway(place).await) } };
    let (gateway, postgres, redis) = tokio::join!(asked, postgres(), redis());
    [gateway, postgres, redis].into_iter().flatten().collect()
}

/// A gateway that is not there is no fault; one that does not take our key is.
async fn gateway(place: &Place) -> Finding {
    let base = place.server();
    let anonymous = match Client::with(base.clone(), "") {
        Ok(client) => client,
        Err(trouble) => return Finding::bad("server", trouble.words, "correct --url or CHAVION_URL"),
    };
    let asked = tokio::time::timeout(PATIENCE, anonymous.get("/health")).await;
    if !matches!(asked, Ok(Ok(_))) {
        return Finding::good("server", format!("{base} does not answer (start it with `chavion up`)"));
    }
    let told = match Client::new(place) {
        Ok(client) => client.get("/api/status").await,
        Err(trouble) => Err(trouble),
    };
    match told {
        Ok(_) => Finding::good("server", format!("{base} answers, and your key opens it")),
        Err(trouble) if trouble.code == REFUSED => {
            let cure = "set CHAVION_KEY, or name the data folder that has the key with --data";
            Finding::bad("server", format!("{base} answers, but: {}", trouble.words), cure)
        }
        Err(trouble) => Finding::bad("server", trouble.words, "look at the gateway's log"),
    }
}

async fn postgres() -> Option<Finding> {
    let url = match secret("DATABASE_URL", &["postgres", "postgresql"])? {
        Ok(url) => url,
        Err(words) => return Some(unusable("DATABASE_URL", &words)),
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
        Err(words) => return Some(unusable("REDIS_URL", &words)),
    };
    let options = bus::Options { url, prefix: String::new(), replica: "doctor".to_owned() };
    let asked = async {
        let bus = bus::Bus::connect(&options, &prometheus::Registry::new()).map_err(|error| error.to_string())?;
        bus.ping().await.map_err(|error| error.to_string())
    };
    Some(answered("REDIS_URL", tokio::time::timeout(PATIENCE, asked).await))
}

fn unusable(name: &str, words: &str) -> Finding {
    Finding::bad(name, words, format!("correct {name}, or unset it: `chavion up` then starts its own server"))
}

fn answered(name: &str, asked: Result<Result<(), String>, tokio::time::error::Elapsed>) -> Finding {
    let cure = format!("start that server, or correct user, password, host and port in {name}");
    match asked {
        Ok(Ok(())) => Finding::good(name, "answers"),
        Ok(Err(words)) => Finding::bad(name, words, cure),
        Err(_) => Finding::bad(name, format!("does not answer within {} s", PATIENCE.as_secs()), cure),
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

/// Asks every provider that is on, by the environment or by the stack's .env.
pub(super) async fn providers(stack: Option<&Stack>) -> Vec<Finding> {
    let bad =
        |words: String| vec![Finding::bad("providers", words, "correct PROVIDERS_FILE and the providers' variables")];
    let catalogue = match given("PROVIDERS_FILE") {
        Some(file) => match std::fs::read_to_string(&file) {
            Ok(text) => Catalogue::parse(&file, &text),
            Err(error) => return bad(format!("PROVIDERS_FILE {file} cannot be read: {error}")),
        },
        None => Catalogue::built_in(),
    };
    let vars = Filled::default();
    let in_file = |name: &str| stack.and_then(|stack| stack.given(name)).map(str::to_owned);
    let keys = |name: &str| vars.get(name).filter(|text| !text.is_empty()).or_else(|| in_file(name)).map(Into::into);
    let known = catalogue.map_err(|error| error.to_string()).and_then(|catalogue| {
        Providers::new(catalogue, &keys, &prometheus::Registry::new()).map_err(|error| error.to_string())
    });
    let known = match known {
        Ok(known) => known,
        Err(words) => return bad(words),
    };
    let on: Vec<_> = known.status().into_iter().filter(|status| status.on).collect();
    if on.is_empty() {
        // Whether that is meant is said of .env.
        let none = || Finding::good("providers", "no key is set: `chavion up` starts the emulator and says so");
        return if stack.is_some() { Vec::new() } else { vec![none()] };
    }
    join_all(on.into_iter().map(|status| provider(&known, status))).await
}

async fn provider(known: &Providers, status: Status) -> Finding {
    let paces = paces(known, &status);
    let (good, said) = reach(&status.base_url.unwrap_or_default()).await;
    let said = format!("{said}; {paces}");
    if good {
        return Finding::good(&status.provider, said);
    }
    Finding::bad(&status.provider, said, "look at this machine's way out (DNS, proxy, firewall), and at the base URL")
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
