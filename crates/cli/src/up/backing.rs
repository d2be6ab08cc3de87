//! What stands behind the services when the environment names nothing else: private servers, the emulator.

use crate::{
    servers::{Reach, Servers},
    vars::{Filled, given},
};
use anyhow::{Context as _, bail};
use emulator::{Emulator, Running};
use providers::Catalogue;
use std::path::Path;

/// Servers and emulator, as far as they were needed.
pub(super) struct Backing {
    servers: Option<Servers>,
    emulator: Option<Running>,
}

impl Backing {
    /// Starts what is needed and fills in the variables that lead to it.
    pub(super) async fn start(folder: &Path, vars: &mut Filled) -> anyhow::Result<Self> {
        let emulated = !any_provider()?;
        let servers = match (given("DATABASE_URL"), given("REDIS_URL")) {
            (Some(_), Some(_)) => None,
            (None, None) => Some(Servers::start(folder, Reach::Sockets).await?),
            _ => bail!("only one of DATABASE_URL and REDIS_URL is set; set both, or neither for private servers"),
        };
        std::fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
        if let Some(servers) = &servers {
            vars.set("DATABASE_URL", &servers.database_url);
            vars.set("REDIS_URL", &servers.redis_url);
        }
        vars.set("FIRST_KEY_FILE", folder.join("key").display().to_string());
        vars.set("WORK_DIR", folder.join("work").display().to_string());
        vars.set("GATEWAY_ADDR", "127.0.0.1:5002");
        vars.set("LOG_FORMAT", "pretty");
        vars.set("LOG", "warn");
        let emulator = if emulated { Some(emulate(vars).await?) } else { None };
        Ok(Self { servers, emulator })
    }

    /// Tells whether the emulator answers instead of models.
    pub(super) const fn is_emulated(&self) -> bool {
        self.emulator.is_some()
    }

    /// Ends what was started.
    pub(super) async fn stop(self) {
        if let Some(emulator) = self.emulator {
            emulator.stop().await;
        }
        if let Some(servers) = self.servers {
            servers.stop().await;
        }
    }
}

/// Tells whether a key, or a server of one's own, switches a provider on.
fn any_provider() -> anyhow::Result<bool> {
    let catalogue = match given("PROVIDERS_FILE") {
        Some(file) => {
            let text = std::fs::read_to_string(&file).with_context(|| format!("PROVIDERS_FILE {file} cannot be read"))?;
            Catalogue::parse(&file, &text)?
        }
        None => Catalogue::built_in()?,
    };
    Ok(catalogue.providers.iter().any(|provider| {
        let key = &provider.key_variable;
        [key, &format!("{key}_FILE"), &provider.base_url_variable].iter().any(|name| given(name).is_some())
    }))
}

async fn emulate(vars: &mut Filled) -> anyhow::Result<Running> {
    let running = Emulator::start(emulator::Options::default()).await.context("the emulator cannot be started")?;
    for (provider, base) in [
        ("ANTHROPIC", running.anthropic_base()),
        ("OPENAI", running.openai_base()),
        ("GEMINI", running.gemini_base()),
    ] {
        vars.set(&format!("{provider}_BASE_URL"), base);
        vars.set(&format!("{provider}_API_KEY"), "emulated");
    }
    Ok(running)
}
