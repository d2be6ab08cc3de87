//! Who is calling: bearer keys, looked up by their SHA-256 and remembered for a few seconds.
//! Refuses to keep a key itself anywhere, and to take one from a URL.

use crate::{
    error::{Code, Problem},
    metrics::Metrics,
};
use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::header::{AUTHORIZATION, HeaderMap},
};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    future::{Ready, ready},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use store::{Role, Store};
use uuid::Uuid;

/// How every key starts, so that scanners for leaked secrets know one.
const PREFIX: &str = "chv_";
/// How long a looked-up key is taken as it was, without a second look.
const FRESH: Duration = Duration::from_secs(5);
/// How long at most, while another request is already looking again: a revoked key works no longer.
const STALE: Duration = Duration::from_secs(10);
/// The most keys remembered; wrong ones count too, so that guessing does not reach the database twice.
const MOST: usize = 10_000;

/// What a call asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Anyone, without a key.
    Nobody,
    /// Any key.
    Viewer,
    /// An agent's or a master's key.
    Agent,
    /// A master's key.
    Master,
}

impl Need {
    /// Names what is needed, as the help page and refusals do.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "none",
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Master => "master",
        }
    }

    const fn met_by(self, role: Role) -> bool {
        match self {
            Self::Nobody | Self::Viewer => true,
            Self::Agent => matches!(role, Role::Agent | Role::Master),
            Self::Master => matches!(role, Role::Master),
        }
    }
}

/// The key that a request came with.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The key's id.
    pub(crate) key_id: Uuid,
    /// What the key is called.
    pub(crate) name: Arc<str>,
    /// What the key may do.
    pub(crate) role: Role,
    /// The agent that an agent's key is bound to.
    pub(crate) agent: Option<Arc<str>>,
}

impl Caller {
    /// Checks that the caller may act as `agent`: a master as anyone, an agent as itself.
    ///
    /// # Errors
    /// 403 naming the agent that the key is bound to.
    pub(crate) fn act_as(&self, agent: &str) -> Result<(), Problem> {
        match (&self.role, self.agent.as_deref()) {
            (Role::Master, _) => Ok(()),
            (_, Some(own)) if own == agent => Ok(()),
            (_, own) => {
                let own = own.unwrap_or_default();
                let detail = format!("This key belongs to the agent {own:?} and cannot act as {agent:?}.");
                Err(Problem::new(Code::Forbidden, detail).with_fact("agent", own))
            }
        }
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    /// Gives what `request::around` found out; a route whose need is [`Need::Nobody`] has no caller.
    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let caller = request.extensions().get::<Self>().cloned();
        ready(caller.ok_or_else(|| Problem::new(Code::Unauthorized, "Send `Authorization: Bearer chv_…`.")))
    }
}

/// Makes the text of a new key: 32 random bytes.
pub(crate) fn fresh_key() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    let mut text = String::with_capacity(PREFIX.len() + 64);
    text.push_str(PREFIX);
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    SecretString::from(text)
}

/// Returns what is kept of a key.
pub(crate) fn hash_of(key: &str) -> [u8; 32] {
    Sha256::digest(key.as_bytes()).into()
}

#[derive(Debug)]
struct Remembered {
    caller: Option<Caller>,
    looked_up: Instant,
    being_renewed: bool,
}

/// The keys of the last few seconds.
#[derive(Debug, Clone)]
pub(crate) struct Keyring {
    store: Store,
    metrics: Metrics,
    remembered: Arc<Mutex<HashMap<[u8; 32], Remembered>>>,
}

impl Keyring {
    /// Starts with no key remembered.
    pub(crate) fn new(store: Store, metrics: Metrics) -> Self {
        Self { store, metrics, remembered: Arc::default() }
    }

    /// Finds the caller of a request and checks the role.
    ///
    /// # Errors
    /// 401 without a known key, 403 when its role is too low, 503 while the store is away.
    pub(crate) async fn admit(&self, headers: &HeaderMap, need: Need) -> Result<Option<Caller>, Problem> {
        if need == Need::Nobody {
            return Ok(None);
        }
        let hash = hash_of(bearer(headers)?);
        let caller = self
            .find(hash)
            .await?
            .ok_or_else(|| Problem::new(Code::Unauthorized, "The key is not known, or it was revoked."))?;
        if need.met_by(caller.role) {
            return Ok(Some(caller));
        }
        let detail = format!("This needs a key of role {}; yours is {}.", need.as_str(), caller.role.as_str());
        Err(Problem::new(Code::Forbidden, detail)
            .with_fact("role", caller.role.as_str())
            .with_fact("needed", need.as_str()))
    }

    /// Forgets all keys, so that a revocation made through this process works at once.
    pub(crate) fn forget(&self) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    async fn find(&self, hash: [u8; 32]) -> Result<Option<Caller>, Problem> {
        if let Some(caller) = self.recall(&hash) {
            self.metrics.key_lookups.with_label_values(&["cache"]).inc();
            return Ok(caller);
        }
        self.metrics.key_lookups.with_label_values(&["store"]).inc();
        let found = self.store.key_find(&hash).await;
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match found {
            Ok(key) => key,
            Err(error) => {
                remembered.remove(&hash);
                return Err(error.into());
            }
        };
        let caller = key.map(|key| Caller {
            key_id: key.id,
            name: key.name.into(),
            role: key.role,
            agent: key.agent_name.map(Into::into),
        });
        if remembered.len() >= MOST {
            remembered.retain(|_, entry| entry.looked_up.elapsed() < FRESH);
        }
        if remembered.len() >= MOST {
            remembered.clear();
        }
        let entry = Remembered { caller: caller.clone(), looked_up: Instant::now(), being_renewed: false };
        remembered.insert(hash, entry);
        Ok(caller)
    }

    /// Returns a remembered answer. The first who finds it old looks again; the others take it meanwhile.
    fn recall(&self, hash: &[u8; 32]) -> Option<Option<Caller>> {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = remembered.get_mut(hash)?;
        let age = entry.looked_up.elapsed();
        if age < FRESH || (age < STALE && entry.being_renewed) {
            return Some(entry.caller.clone());
        }
        entry.being_renewed = true;
        None
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = |detail: &'static str| Problem::new(Code::Unauthorized, detail);
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next().ok_or_else(|| missing("Send `Authorization: Bearer chv_…`."))?;
    if values.next().is_some() {
        return Err(missing("There is more than one Authorization header."));
    }
    let text = value.to_str().map_err(|_| missing("The Authorization header is not plain text."))?;
    let (scheme, key) = text.split_once(' ').unwrap_or((text, ""));
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || key.is_empty() {
        return Err(missing("The Authorization header is not of the form `Bearer chv_…`."));
    }
    if !key.starts_with(PREFIX) || key.len() > 200 {
        return Err(missing("That is not one of our keys: they start with chv_."));
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::http::header::HeaderValue;
    use secrecy::ExposeSecret;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, two) = (fresh_key(), fresh_key());
        assert_eq!(one.expose_secret().len(), 68);
        assert_ne!(one.expose_secret(), two.expose_secret());
    }

    #[test]
    fn only_one_well_formed_bearer_is_taken() {
        let mut headers = HeaderMap::new();
        assert!(bearer(&headers).is_err());
        for bad in ["Basic abc", "Bearer", "Bearer ", "Bearer sk-other", "chv_1"] {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(bad));
            assert!(bearer(&headers).is_err(), "{bad}");
        }
        headers.insert(AUTHORIZATION, HeaderValue::from_static("bearer chv_1"));
        assert_eq!(bearer(&headers).expect("taken"), "chv_1");
        headers.append(AUTHORIZATION, HeaderValue::from_static("Bearer chv_2"));
        assert!(bearer(&headers).is_err());
    }

    #[test]
    fn roles_include_the_lower_ones() {
        assert!(Need::Viewer.met_by(Role::Viewer) && Need::Viewer.met_by(Role::Agent));
        assert!(Need::Agent.met_by(Role::Master) && !Need::Agent.met_by(Role::Viewer));
        assert!(!Need::Master.met_by(Role::Agent));
    }
}
