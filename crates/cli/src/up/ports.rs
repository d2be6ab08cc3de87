//! Looks for ports that are taken before anything is started, so that the answer is one sentence.

use super::services::Configs;
use anyhow::{Context as _, bail};
use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener},
};

/// Refuses to begin when an address of ours cannot be listened on.
///
/// # Errors
/// Which one, why, and which variable names another.
pub(super) fn check_free(configs: &Configs) -> anyhow::Result<()> {
    check("GATEWAY_ADDR", configs.gateway.addr)?;
    check("ADMIN_ADDR", configs.gateway.common.admin_addr)
}

fn check(variable: &str, address: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let other = SocketAddr::new(address.ip(), address.port().wrapping_add(10));
            bail!(
                "port {} is taken by another program: stop it (is a chavion already up?), or set {variable} to \
                 another address, such as {variable}={other}",
                address.port()
            )
        }
        Err(error) => Err(error).with_context(|| format!("{variable} {address} cannot be listened on")),
    }
}
