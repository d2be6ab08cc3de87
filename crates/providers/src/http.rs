//! The HTTP client and what it refuses: proxies, redirects, retries of its own, endless bodies.
//! Refuses to know wires.

use crate::{
    endpoint::Endpoint,
    error::{Class, Error, SetupError},
    redact,
};
use reqwest::{Client, Response, redirect};
use secrecy::ExposeSecret;
use std::{error::Error as _, time::Duration};

/// The most bytes of an answer.
pub(crate) const ANSWER_CAP: usize = 64 << 20;
/// The most bytes of an error that are read.
const ERROR_CAP: usize = 64 << 10;

/// Builds the client. Without `https` no certificates are loaded, so that a machine without any can
/// still speak to a server of its own.
pub(crate) fn client(https: bool) -> Result<Client, SetupError> {
    // Whoever installed a provider before us has chosen; there is one per process.
    let _chosen = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder()
        .user_agent(concat!("chavion/", env!("CARGO_PKG_VERSION")))
        .retry(reqwest::retry::never())
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(Duration::from_secs(10))
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .http2_keep_alive_interval(Duration::from_secs(30))
        .http2_keep_alive_timeout(Duration::from_secs(20))
        .pool_idle_timeout(Duration::from_secs(60))
        .pool_max_idle_per_host(512);
    let builder = if https { builder } else { builder.tls_certs_only([]) };
    builder.build().map_err(|error| SetupError::Client(deepest(&error)))
}

/// Why a body could not be had.
pub(crate) enum Broken {
    /// It grew past the cap.
    TooLarge,
    /// The connection broke.
    Cut(reqwest::Error),
}

/// Reads an answer whole.
pub(crate) async fn read(mut response: Response) -> Result<Vec<u8>, Broken> {
    let announced = response.content_length().unwrap_or(0);
    let announced = usize::try_from(announced).unwrap_or(usize::MAX);
    if announced > ANSWER_CAP {
        return Err(Broken::TooLarge);
    }
    let mut body = Vec::with_capacity(announced.min(1 << 20));
    while let Some(bytes) = response.chunk().await.map_err(Broken::Cut)? {
        if body.len() + bytes.len() > ANSWER_CAP {
            return Err(Broken::TooLarge);
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// Reads the beginning of an error's body; what cannot be read is not missed.
pub(crate) async fn read_error(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(bytes)) = response.chunk().await {
        let room = ERROR_CAP - body.len();
        body.extend_from_slice(bytes.get(..room).unwrap_or(&bytes));
        if body.len() >= ERROR_CAP {
            break;
        }
    }
    body
}

/// Classifies a connection that failed: what was not refused by anyone may be tried again.
pub(crate) fn transport(endpoint: &Endpoint, error: &reqwest::Error) -> Error {
    let name = &endpoint.provider.name;
    let what = if error.is_connect() {
        format!("{name} could not be reached at {}", endpoint.host())
    } else {
        format!("the connection to {name} broke before the answer was whole")
    };
    let key = endpoint.key.as_ref().map(ExposeSecret::expose_secret);
    let cause = redact::clean(&deepest(error), key, b"");
    Error::new(Class::Retry { after: None }, name, format!("{what}: {cause}"))
}

pub(crate) fn broken(endpoint: &Endpoint, broken: &Broken) -> Error {
    match broken {
        Broken::Cut(error) => transport(endpoint, error),
        Broken::TooLarge => too_large(endpoint),
    }
}

pub(crate) fn too_large(endpoint: &Endpoint) -> Error {
    let name = &endpoint.provider.name;
    Error::new(Class::FailOver, name, format!("{name} answered with more than {} MiB", ANSWER_CAP >> 20))
}

/// Returns the text of the innermost cause: the outer ones repeat the URL.
fn deepest(error: &reqwest::Error) -> String {
    let mut deepest = error.source();
    while let Some(inner) = deepest.and_then(std::error::Error::source) {
        deepest = Some(inner);
    }
    deepest.map_or_else(|| "no cause was given".to_owned(), ToString::to_string)
}
