//! The health check of a container: asks the admin port of the service that runs beside it whether it is ready,
//! so that no image needs curl. Refuses to know what readiness means.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::Variable;

/// How long each step of the asking may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// More than any answer of `/ready`, in bytes.
const MOST: u64 = 16 << 10;

/// Asks `/ready` at the `ADMIN_ADDR` among `variables`.
///
/// # Errors
/// Why the service cannot be called ready, in one line.
pub(crate) fn probe(variables: &[Variable]) -> Result<(), String> {
    let address = variables.iter().find(|it| it.name == "ADMIN_ADDR").map(|it| it.value.as_str());
    let address: SocketAddr = address.and_then(|text| text.parse().ok()).ok_or("ADMIN_ADDR is not known")?;
    let address = SocketAddr::new(near(address.ip()), address.port());
    let answer = ask(address).map_err(|error| format!("{address} does not answer: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split_whitespace().nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(());
    }
    Err(format!("not ready: {}", if body.trim().is_empty() { head } else { body.trim() }))
}

/// Who listens everywhere listens on this machine too.
fn near(listening: IpAddr) -> IpAddr {
    match listening {
        IpAddr::V4(it) if it.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(it) if it.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        it => it,
    }
}

fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
