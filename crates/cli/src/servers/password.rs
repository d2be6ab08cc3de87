//! The password of a data folder's servers: made once, kept for the folder's owner alone. Refuses to print it.
//!
//! Postgres is given a verifier of it (RFC 5803) with one round of hashing instead of thousands: rounds slow down
//! who guesses a person's password, and this one is 256 random bits, while every connection pays for them.

use super::place::new_private;
use anyhow::Context as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

/// Returns where a data folder keeps its password.
pub(super) fn file(folder: &Path) -> PathBuf {
    folder.join("password")
}

/// Reads the password that a data folder keeps; `None` when it keeps none.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn kept(folder: &Path) -> anyhow::Result<Option<SecretString>> {
    let path = file(folder);
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned().into())),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

/// Makes a password of 32 random bytes, in letters that need no quoting anywhere.
pub(super) fn fresh() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0')).collect::<String>().into()
}

/// Keeps a password: whole or not at all, whatever happens meanwhile.
///
/// # Errors
/// When the folder cannot be written to.
pub(super) fn keep(folder: &Path, password: &SecretString) -> anyhow::Result<()> {
    let (path, draft) = (file(folder), folder.join("password.new"));
    let write = || -> std::io::Result<()> {
        let mut file = new_private(&draft)?;
        writeln!(file, "{}", password.expose_secret())?;
        file.sync_all()?;
        std::fs::rename(&draft, &path)
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}

/// Makes what Postgres keeps of a password (SCRAM-SHA-256, RFC 5802): who reads it cannot log in with it.
pub(super) fn verifier(password: &SecretString) -> String {
    let salt: [u8; 16] = rand::random();
    verifier_with(password.expose_secret(), &salt)
}

fn verifier_with(password: &str, salt: &[u8]) -> String {
    let salted = keyed(password.as_bytes(), &[salt, &1_u32.to_be_bytes()]);
    let stored = Sha256::digest(keyed(&salted, &[b"Client Key"]));
    let server = keyed(&salted, &[b"Server Key"]);
    let text = |bytes: &[u8]| STANDARD.encode(bytes);
    format!("SCRAM-SHA-256$1:{}${}:{}", text(salt), text(&stored), text(&server))
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // HMAC takes a key of any length; without one the verifier is of no use and nobody gets in.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::{fresh, verifier_with};
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_verifier_is_what_postgres_itself_would_make() {
        // Made by Python's hashlib and hmac from the definition in RFC 5802.
        let expected = "SCRAM-SHA-256$1:BwcHBwcHBwcHBwcHBwcHBw==$q0/YmaDWVM8WmUHkgkX9k+eL+52AnRzPjLzuyiAvZ6g=:Ur3kSrJZVXWbcTZvqUIRZehuegFy0AZc9t/ydRqpzuU=";
        assert_eq!(verifier_with("0123abcd", &[7; 16]), expected);
    }

    #[test]
    fn passwords_are_long_and_never_the_same() {
        let (one, two) = (fresh(), fresh());
        assert_eq!(one.expose_secret().len(), 64);
        assert_ne!(one.expose_secret(), two.expose_secret());
    }
}
