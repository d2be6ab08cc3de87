//! The stack's way in, as seen from this machine: does nginx answer, does a gateway, and until when is its
//! certificate good? Looks at any certificate, for what is wrong with one is the question.

use super::{Finding, stack::Stack};
use reqwest::tls::TlsInfo;
use std::{net::SocketAddr, time::Duration};
use x509_parser::{parse_x509_certificate, prelude::X509Certificate};

/// How long nginx may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Renewals begin 30 days before the end: with fewer left than this, in days, they have failed for a while.
const SOON: i64 = 21;

/// Asks the stack's own HTTPS port.
pub(super) async fn look(stack: Option<&Stack>) -> Vec<Finding> {
    let Some(stack) = stack else { return Vec::new() };
    let [_, port] = stack.ports();
    let domain = stack.given("DOMAIN").unwrap_or("localhost");
    // Whoever was first has chosen; there is one per process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .tls_info(true)
        .timeout(PATIENCE)
        .no_proxy()
        .resolve(domain, SocketAddr::from(([127, 0, 0, 1], port)))
        .build();
    let url = format!("https://{domain}:{port}/health");
    let answer = match client {
        Ok(client) => client.get(&url).send().await,
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) if error.is_connect() => {
            let said = format!("nothing speaks HTTPS at port {port} of this machine yet");
            return vec![Finding::note("stack", said, "start it: docker compose up -d")];
        }
        Err(_) => {
            let said = format!("port {port} takes calls, and does not answer within {} s", PATIENCE.as_secs());
            return vec![Finding::bad("stack", said, "docker compose ps -a; docker compose logs nginx")];
        }
    };
    let shown = answer.extensions().get::<TlsInfo>().and_then(TlsInfo::peer_certificate).map(<[u8]>::to_vec);
    let status = answer.status();
    let mut findings = vec![if status.is_success() {
        Finding::good("stack", format!("{url} answers"))
    } else {
        let said = format!("{url} answers with {}: no gateway is behind it", status.as_u16());
        Finding::bad("stack", said, "docker compose ps -a; docker compose logs gateway migrate prepare")
    }];
    match shown.as_deref().map(parse_x509_certificate) {
        Some(Ok((_, shown))) => findings.push(certificate(&shown, stack)),
        _ => findings.push(Finding::note("certificate", "cannot be read", "docker compose logs nginx")),
    }
    findings
}

fn certificate(shown: &X509Certificate<'_>, stack: &Stack) -> Finding {
    let end = shown.validity().not_after.to_datetime();
    let days = (end - time::OffsetDateTime::now_utc()).whole_days();
    let is_self_signed = shown.issuer() == shown.subject();
    let domain = stack.given("DOMAIN");
    let who = if is_self_signed { "self-signed" } else { "from an authority" };
    let renew = match domain {
        Some(_) if stack.has_profile("acme") => "docker compose logs acme says why it is not renewed",
        Some(_) => "renew it: COMPOSE_PROFILES=acme docker compose up -d",
        None => "docker compose up -d makes a new one",
    };
    if end <= time::OffsetDateTime::now_utc() {
        return Finding::bad("certificate", format!("{who}, EXPIRED on {}", end.date()), renew);
    }
    let said = format!("{who}, until {} ({days} days)", end.date());
    if days < SOON {
        return Finding::note("certificate", said, renew);
    }
    if is_self_signed && let Some(domain) = domain {
        let said = format!("{said}, though DOMAIN is {domain}");
        return Finding::note("certificate", said, "for one that browsers trust add acme to COMPOSE_PROFILES");
    }
    Finding::good("certificate", said)
}
