//! A service that does nothing but live: the process tests start it and see how it is born, drains and dies.
//! Its main is the one that every service has.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use boot::trace::{Past, Traceparent, Traces};
use boot::{Common, ConfigError, Life, Program, Reader, Variable, Vars};
use secrecy::ExposeSecret as _;

const PROGRAM: Program = Program { name: "specimen", about: "Lives, so that tests can watch it.", verbs: &[] };

fn main() -> ExitCode {
    match boot::command_line(&PROGRAM, Config::read, Config::shown) {
        Ok((config, _)) => boot::block_on(config.common.worker_threads, live(config)),
        Err(exit) => exit,
    }
}

async fn live(config: Config) -> ExitCode {
    let life = match Life::start(PROGRAM.name, &config.common).await {
        Ok(life) => life,
        Err(error) => return boot::failed(&error),
    };
    let ended = life.run(async { Service::build(config, &life)?.run().await }).await;
    life.end(ended).await
}

struct Config {
    common: Common,
    /// HABIT: what the service does with its life.
    habit: String,
    /// WORK_MILLIS: how long it works on after it was asked to stop.
    work: Duration,
    /// TOKEN: a secret that must not be seen.
    token: secrecy::SecretString,
    shown: Vec<Variable>,
}

impl Config {
    fn read(vars: &dyn Vars) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(vars);
        let common = Common::read(&mut reader, "127.0.0.1:0");
        let habits = ["obedient", "stubborn", "late", "fragile", "broken", "idle", "talkative"];
        let habit = reader.choice("HABIT", "what the service does with its life", "obedient", &habits);
        let work = reader.millis("WORK_MILLIS", "milliseconds of work after the stop", 0, 0..=60_000);
        let token = reader.secret("TOKEN", "a secret");
        if common.drain < work && habit == "obedient" {
            reader.refuse("WORK_MILLIS", "is longer than DRAIN_SECONDS", "a shorter time");
        }
        Ok(Self { common, habit, work, token, shown: reader.finish()? })
    }

    fn shown(&self) -> &[Variable] {
        &self.shown
    }
}

struct Service {
    config: Config,
    stop: tokio_util::sync::CancellationToken,
    traces: Traces,
}

/// Where another trace begins.
const ELSEWHERE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

impl Service {
    fn build(config: Config, life: &Life) -> anyhow::Result<Self> {
        anyhow::ensure!(config.habit != "broken", "the 데이터 is not there");
        let (early, late) = (life.ready.part("early"), life.ready.part("늦은 부품"));
        early.up();
        if config.habit != "late" {
            late.up();
        }
        tracing::info!(token = ?config.token, length = config.token.expose_secret().len(), "built");
        let stop = life.stop.clone();
        match config.habit.as_str() {
            "stubborn" => life.tasks.spawn("stubborn", std::future::pending()),
            "fragile" => life.tasks.spawn("fragile", break_down()),
            "obedient" => {
                let (stop, work) = (stop.clone(), config.work);
                life.tasks.spawn("worker", async move {
                    stop.cancelled().await;
                    tokio::time::sleep(work).await;
                    tracing::info!("finished what was under way");
                });
            }
            _ => {}
        }
        Ok(Self { config, stop, traces: life.traces.clone() })
    }

    async fn run(self) -> anyhow::Result<()> {
        match self.config.habit.as_str() {
            "idle" => return Ok(()),
            "talkative" => return self.talk().await,
            _ => self.stop.cancelled().await,
        }
        Ok(())
    }

    /// Passes one trace over two hops, as an entry on a stream would, and prints what it passed on.
    async fn talk(self) -> anyhow::Result<()> {
        let incoming = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let first = tracing::info_span!("first_hop", order = "겨울 예약");
        let passed_on = boot::trace::scope(first, Some(incoming), async {
            tracing::info!("first hop");
            boot::trace::current().to_string()
        })
        .await;
        let second = tracing::info_span!("second_hop");
        let seen = boot::trace::follow(&second, Some(&passed_on));
        second.in_scope(|| tracing::info!(%passed_on, %seen, "second hop"));
        drop(second);
        // Known to the collector alone: without one it is not even made.
        let third = tracing::info_span!(target: boot::trace::TARGET, "third_hop");
        boot::trace::follow(&third, Some(&passed_on));
        boot::trace::link(&third, Some(ELSEWHERE));
        boot::trace::link(&third, Some("어긋난 글"));
        third.in_scope(|| tracing::info!(made = !third.is_disabled(), "third hop"));
        let elsewhere: Traceparent = ELSEWHERE.parse()?;
        let began = SystemTime::now() - Duration::from_secs(7200);
        let unseen = Past::first(elsewhere.unsampled(), "unseen", began);
        let whole = Past::first(elsewhere, "whole", began).with("items", 3).linked([seen; 500]).failed(true);
        [Past::below(&elsewhere, "part", began), unseen, whole].into_iter().for_each(|past| self.traces.tell(past));
        self.stop.cancelled().await;
        Ok(())
    }
}

#[expect(clippy::panic, reason = "the tests watch what a panic does to the process")]
async fn break_down() {
    panic!("깨졌다");
}
