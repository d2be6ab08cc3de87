//! What stands behind the services when the environment names nothing else: private servers, the emulator.

use crate::{
    BAD_CONFIG, FAILED,
    client::Trouble,
    servers::{Reach, Servers, check_reachable, make_open},
    vars::{Filled, given, is_given},
};
use anyhow::Context as _;
use boot::Vars as _;
use emulator::{Emulator, Running};
use providers::Catalogue;
use std::{
    fs::Permissions,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

/// Stands for servers that are not started yet, so that the rest of the settings can be checked before.
const NOT_YET: [(&str, &str); 2] = [("DATABASE_URL", "postgresql://localhost"), ("REDIS_URL", "redis://localhost")];

/// What makes asks of pace batch come back while somebody looks on. The emulator answers for nothing, so a window that
/// gathers many asks saves nobody a cent.
const EMULATED_BATCHES: [(&str, &str); 2] = [("BATCH_WINDOW_SECONDS", "1"), ("BATCH_POLL_SECONDS", "12")];
/// How long a batch of the emulator takes.
const EMULATED_BATCH_TIME: Duration = Duration::from_secs(1);

/// What has to be behind the services, and the variables that lead there.
pub(super) struct Backing {
    /// The environment, filled in.
    pub(super) vars: Filled,
    folder: PathBuf,
    is_private: bool,
    is_emulated: bool,
}

impl Backing {
    /// Finds out what is needed; starts nothing.
    ///
    /// # Errors
    /// When the environment contradicts itself, or the folder cannot be used.
    pub(super) fn plan(folder: &Path) -> Result<Self, Trouble> {
        let is_private = match (is_given("DATABASE_URL"), is_given("REDIS_URL")) {
            (true, true) => false,
            (false, false) => true,
            _ => {
                let words = "only one of DATABASE_URL and REDIS_URL is set; set both, or neither for private servers";
                return Err(Trouble::new(BAD_CONFIG, words));
            }
        };
        let failed = |error: anyhow::Error| Trouble::new(FAILED, format!("{error:#}"));
        let mut vars = Filled::default();
        if is_private {
            check_reachable(folder).map_err(failed)?;
            NOT_YET.iter().for_each(|(name, url)| vars.set(name, *url));
        }
        let folder = prepared(folder).map_err(failed)?;
        vars.set("FIRST_KEY_FILE", folder.join("key").display().to_string());
        vars.set("WORK_DIR", folder.join("work").display().to_string());
        vars.set("GATEWAY_ADDR", "127.0.0.1:5002");
        vars.set("LOG_FORMAT", "pretty");
        vars.set("LOG", "warn");
        let is_emulated = !any_provider()?;
        if is_emulated {
            EMULATED_BATCHES.iter().for_each(|(name, value)| vars.set(name, *value));
        }
        Ok(Self { vars, folder, is_private, is_emulated })
    }

    /// Starts what is needed and fills in the variables that lead to it.
    ///
    /// # Errors
    /// What does not start, and why; nothing is left running then.
    pub(super) async fn start(&mut self) -> anyhow::Result<Behind> {
        let emulator = if self.is_emulated {
            let options = emulator::Options { batch_time: EMULATED_BATCH_TIME, ..emulator::Options::default() };
            let running = Emulator::start(options).await;
            Some(running.context("the emulator cannot be started")?)
        } else {
            None
        };
        // Dropping the emulator ends it.
        let servers =
            if self.is_private { Some(Servers::start_guarded(&self.folder, Reach::Sockets).await?) } else { None };
        if let Some(servers) = &servers {
            self.vars.set("DATABASE_URL", &servers.database_url);
            self.vars.set("REDIS_URL", &servers.redis_url);
        }
        if let Some(running) = &emulator {
            self.emulate(running);
        }
        Ok(Behind { servers, emulator })
    }

    /// Tells whether the emulator answers instead of models.
    pub(super) const fn is_emulated(&self) -> bool {
        self.is_emulated
    }

    /// Returns where the first master key is kept.
    pub(super) fn key_file(&self) -> PathBuf {
        PathBuf::from(self.vars.get("FIRST_KEY_FILE").unwrap_or_default())
    }

    fn emulate(&mut self, running: &Running) {
        for (provider, base) in [
            ("ANTHROPIC", running.anthropic_base()),
            ("OPENAI", running.openai_base()),
            ("GEMINI", running.gemini_base()),
        ] {
            self.vars.set(&format!("{provider}_BASE_URL"), base);
            self.vars.set(&format!("{provider}_API_KEY"), "emulated");
        }
    }
}

/// What runs behind the services because nothing else was named.
pub(super) struct Behind {
    servers: Option<Servers>,
    emulator: Option<Running>,
}

impl Behind {
    /// Waits until one of the private servers ends unasked, and returns why; for ever when there are none.
    pub(super) async fn until_broken(&mut self) -> anyhow::Error {
        match &mut self.servers {
            Some(servers) => servers.until_broken().await,
            None => std::future::pending().await,
        }
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

/// Makes the data folder and, for the commands' folders, a place that their own uids can pass through.
fn prepared(folder: &Path) -> anyhow::Result<PathBuf> {
    make_open(folder).with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    let folder = folder.canonicalize().with_context(|| format!("{} cannot be opened", folder.display()))?;
    let work = folder.join("work");
    if given("WORK_DIR").is_none() && !work.exists() {
        std::fs::create_dir(&work)
            .and_then(|()| std::fs::set_permissions(&work, Permissions::from_mode(0o711)))
            .with_context(|| format!("{} cannot be made", work.display()))?;
    }
    Ok(folder)
}

/// Tells whether a key, or a server of one's own, switches a provider on.
fn any_provider() -> Result<bool, Trouble> {
    let refused = |words: String| Trouble::new(BAD_CONFIG, words);
    let catalogue = match given("PROVIDERS_FILE") {
        Some(file) => {
            let text = std::fs::read_to_string(&file)
                .map_err(|error| refused(format!("PROVIDERS_FILE {file} cannot be read: {error}")))?;
            Catalogue::parse(&file, &text)
        }
        None => Catalogue::built_in(),
    };
    let catalogue = catalogue.map_err(|error| refused(format!("PROVIDERS_FILE is refused: {error}")))?;
    let mut providers = catalogue.providers.iter();
    Ok(providers.any(|provider| is_given(&provider.key_variable) || given(&provider.base_url_variable).is_some()))
}
