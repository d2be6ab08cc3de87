//! The container engine and compose: which, and whether this user reaches them.

use super::{
    Finding,
    ask::{Answer, ask, find, is_older, version},
};
use std::path::PathBuf;

/// The oldest engine and compose that know what compose.yml says.
const OLDEST_ENGINE: (u32, u32) = (20, 10);
const OLDEST_COMPOSE: (u32, u32) = (1, 29);
/// Debian 13 names them so; Docker's own packages are as good.
const INSTALL: &str =
    "apt-get install docker.io docker-compose (Ubuntu: docker-compose-v2), or follow docs.docker.com/engine/install";

/// What was found out about Docker.
#[derive(Default)]
pub(super) struct Docker {
    pub(super) findings: Vec<Finding>,
    /// Where the engine keeps images, volumes and logs.
    pub(super) root: Option<PathBuf>,
}

/// Asks the engine and compose; `needed` is whether this machine is to run the stack.
pub(super) async fn look(needed: bool) -> Docker {
    if find("docker").is_none() {
        return Docker { findings: vec![trouble(needed, "docker", "not installed", INSTALL)], root: None };
    }
    let info =
        ["info", "--format", "{{.ServerVersion}}\t{{.DockerRootDir}}\t{{.Driver}}\t{{.OSType}}/{{.Architecture}}"];
    let (client, server, compose) = tokio::join!(ask("docker", &["--version"]), ask("docker", &info), compose());
    let client = client.unwrap_or_default();
    let client = version(&client.out).unwrap_or("?");
    let (engine, root) = engine(needed, client, &server.unwrap_or_default());
    let compose = match compose {
        Some((program, version)) if is_older(&version, OLDEST_COMPOSE) => {
            let said = format!("{program} {version}, older than {}.{}", OLDEST_COMPOSE.0, OLDEST_COMPOSE.1);
            trouble(needed, "compose", &said, INSTALL)
        }
        Some(("docker-compose", version)) if needed => {
            let said = format!("docker-compose {version}: a program of its own");
            Finding::note("compose", said, "write docker-compose, or scripts/stack compose, for docker compose")
        }
        Some((program, version)) => Finding::good("compose", format!("{program} {version}")),
        None => trouble(needed, "compose", "not installed", INSTALL),
    };
    Docker { findings: vec![engine, compose], root }
}

/// What is wrong with containers is bad where there are to be some.
fn trouble(needed: bool, about: &str, said: &str, cure: &str) -> Finding {
    if needed {
        Finding::bad(about, said, cure)
    } else {
        Finding::good(about, format!("{said}; needed for containers only"))
    }
}

fn engine(needed: bool, client: &str, server: &Answer) -> (Finding, Option<PathBuf>) {
    let mut fields = server.out.lines().next().unwrap_or_default().split('\t');
    let found = fields.next().filter(|version| version.starts_with(|letter: char| letter.is_ascii_digit()));
    let Some(found) = found else {
        // What docker says is long; which of the two it is is enough.
        let (said, cure) = if server.err.contains("permission denied") {
            ("and this user may not ask it", "run this as root, or: usermod -aG docker $USER, and log in again")
        } else {
            ("and no engine answers it", "systemctl enable --now docker; its reason: journalctl -u docker -n 20")
        };
        return (trouble(needed, "docker", &format!("client {client}, {said}"), cure), None);
    };
    let root = fields.next().filter(|root| root.starts_with('/')).map(PathBuf::from);
    let rest: Vec<&str> = fields.filter(|field| !field.is_empty() && *field != "/").collect();
    let said = format!("engine {found}, client {client}, {}", rest.join(", "));
    if is_older(found, OLDEST_ENGINE) {
        let said = format!("{said}; older than {}.{}", OLDEST_ENGINE.0, OLDEST_ENGINE.1);
        return (trouble(needed, "docker", &said, INSTALL), root);
    }
    (Finding::good("docker", said), root)
}

/// Compose is a part of docker, or on older machines a program of its own.
async fn compose() -> Option<(&'static str, String)> {
    let asked = ask("docker", &["compose", "version", "--short"]).await?;
    if asked.ok
        && let Some(found) = version(&asked.out)
    {
        return Some(("docker compose", found.to_owned()));
    }
    let asked = ask("docker-compose", &["version", "--short"]).await?;
    Some(("docker-compose", version(&asked.out)?.to_owned()))
}
