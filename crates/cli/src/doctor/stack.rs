//! The folder of compose.yml and its .env: which variables are set. Refuses to show or keep a value that is a secret
//! longer than it takes to see that it is there.

use super::Finding;
use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Who may read .env besides its owner: nobody.
const OTHERS: u32 = 0o077;

/// A folder from which containers are started.
pub(super) struct Stack {
    pub(super) folder: PathBuf,
    set: BTreeMap<String, String>,
}

impl Stack {
    /// Looks for compose.yml in the folder that was named, or here. Without it this machine is taken to run
    /// `chavion up`, and nothing is asked of containers.
    pub(super) fn find(named: Option<&Path>) -> (Option<Self>, Vec<Finding>) {
        let folder = named.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
        let folder = folder.canonicalize().unwrap_or(folder);
        if !folder.join("compose.yml").is_file() {
            let told = named.map(|_| {
                let said = format!("there is no compose.yml in {}", folder.display());
                Finding::bad("stack", said, "name the checkout of Chavion: chavion doctor FOLDER")
            });
            return (None, told.into_iter().collect());
        }
        let file = folder.join(".env");
        let (set, told) = match std::fs::read_to_string(&file) {
            Ok(text) => {
                let set = assignments(&text);
                let told = judge(&set, &folder);
                (set, told)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let cure = "cp .env.example .env, and fill in what you have";
                (BTreeMap::new(), vec![Finding::bad(".env", format!("there is none in {}", folder.display()), cure)])
            }
            Err(error) => {
                let said = format!("{} cannot be read: {error}", file.display());
                (BTreeMap::new(), vec![Finding::bad(".env", said, "run this as root, or as the owner of .env")])
            }
        };
        (Some(Self { folder, set }), told)
    }

    /// Returns what .env sets a variable to.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.set.get(name).map(String::as_str)
    }

    /// Returns the two ports that are published: HTTP, HTTPS.
    pub(super) fn ports(&self) -> [u16; 2] {
        let port = |name, usual| self.given(name).and_then(|text| text.parse().ok()).unwrap_or(usual);
        [port("HTTP_PORT", 80), port("HTTPS_PORT", 443)]
    }

    /// Tells whether one of compose's profiles is on.
    pub(super) fn has_profile(&self, name: &str) -> bool {
        has_profile(&self.set, name)
    }
}

fn has_profile(set: &BTreeMap<String, String>, name: &str) -> bool {
    set.get("COMPOSE_PROFILES").is_some_and(|profiles| profiles.split(',').any(|profile| profile.trim() == name))
}

/// Reads lines as compose does: the last that sets a variable counts, quotes are not part of it, and what is empty is
/// not set.
fn assignments(text: &str) -> BTreeMap<String, String> {
    let mut set = BTreeMap::new();
    for line in text.lines() {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        let Some((name, value)) = line.split_once('=') else { continue };
        let (name, value) = (name.trim(), value.trim());
        if name.is_empty() || name.starts_with('#') {
            continue;
        }
        let quoted = |quote| value.strip_prefix(quote)?.split_once(quote).map(|(inside, _)| inside);
        let bare = || {
            if value.starts_with('#') { "" } else { value.split_once(" #").map_or(value, |(bare, _)| bare.trim_end()) }
        };
        let value = quoted('"').or_else(|| quoted('\'')).unwrap_or_else(bare);
        if value.is_empty() {
            set.remove(name);
        } else {
            set.insert(name.to_owned(), value.to_owned());
        }
    }
    set
}

/// Says which variables are set, never to what, and refuses what `docker/prepare` would refuse.
fn judge(set: &BTreeMap<String, String>, folder: &Path) -> Vec<Finding> {
    let mut told = Vec::new();
    let names: Vec<&str> = set.keys().map(String::as_str).collect();
    let is_provider = |name: &&str| name.ends_with("_API_KEY") || name.ends_with("_BASE_URL");
    let of_providers: Vec<&str> = names.iter().copied().filter(is_provider).collect();
    // The usual ports and sizes are in .env.example with a value each: only what differs from it is worth a word.
    let usual = std::fs::read_to_string(folder.join(".env.example")).unwrap_or_default();
    let usual_set = assignments(&usual);
    let own: Vec<&str> = names.iter().copied().filter(|name| usual_set.get(*name) != set.get(*name)).collect();
    let said = match own.as_slice() {
        [] => "found; nothing is filled in".to_owned(),
        own => format!("found; set: {}", own.join(", ")),
    };
    let demo = has_profile(set, "demo");
    told.push(match (of_providers.is_empty(), demo) {
        (true, false) => Finding::bad(
            ".env",
            format!("{said}; no provider is given"),
            "fill in a key such as ANTHROPIC_API_KEY, or set COMPOSE_PROFILES=demo for emulated answers",
        ),
        (false, true) => Finding::bad(
            ".env",
            format!("{said}; it has demo in COMPOSE_PROFILES, and a provider too"),
            "keep one of the two: the emulator's answers must not be taken for a model's",
        ),
        (true, true) => Finding::note(
            ".env",
            format!("{said}; demo: every answer will be EMULATED"),
            "for real answers fill in a provider's key and take demo out of COMPOSE_PROFILES",
        ),
        (false, false) => Finding::good(".env", said),
    });
    if has_profile(set, "acme") && !(set.contains_key("DOMAIN") && set.contains_key("ACME_EMAIL")) {
        let said = "the profile acme is on, but DOMAIN or ACME_EMAIL is empty";
        told.push(Finding::bad(".env", said, "fill in both, and let DOMAIN's DNS lead to this server"));
    }
    let misspelt = |name: &&str| {
        let provider = ["_API_KEY", "_BASE_URL", "_MODEL"].iter().any(|end| name.ends_with(end));
        let others = ["COMPOSE_", "DOCKER_"].iter().any(|start| name.starts_with(start));
        let known = usual.lines().any(|line| line.split_once('=').is_some_and(|(known, _)| known == *name));
        !(provider || others || known)
    };
    let misspelt: Vec<&str> = names.iter().copied().filter(misspelt).collect();
    if !misspelt.is_empty() && !usual.is_empty() {
        let said = format!("nobody reads: {}", misspelt.join(", "));
        told.push(Finding::note(".env", said, "compare the spelling with .env.example"));
    }
    let mode = std::fs::metadata(folder.join(".env")).map_or(0, |meta| meta.permissions().mode());
    if mode & OTHERS != 0 && !of_providers.is_empty() {
        let said = "it holds keys, and others on this machine may read it";
        told.push(Finding::note(".env", said, "chmod 600 .env"));
    }
    told
}

#[cfg(test)]
mod tests {
    use super::assignments;

    #[test]
    fn lines_are_read_as_compose_reads_them() {
        let text = "# A=no\nA=1\nexport B='a b' # why\nC=\"x#y\"\nD=x # y\nE=\nA=2\nF=a b\nG=# nothing\nnothing\n = x\nH=한글\r\nI=1\nI=\n";
        let set = assignments(text);
        let found: Vec<(&str, &str)> = set.iter().map(|(name, value)| (&**name, &**value)).collect();
        let wanted = [("A", "2"), ("B", "a b"), ("C", "x#y"), ("D", "x"), ("F", "a b"), ("H", "한글")];
        assert_eq!(found, wanted);
    }
}
