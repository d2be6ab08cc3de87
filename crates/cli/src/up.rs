//! `chavion up`: the four services in one process, on private servers and the emulator where nothing else is
//! named. Refuses to pass the emulator off as a provider: it says so before, during and after.

mod backing;
mod merged;
mod ports;
mod services;

use crate::{
    BAD_CONFIG, DONE, FAILED, INTERRUPTED, REFUSED,
    args::{Order, Place, Up},
    client::{Client, Done, Trouble},
    order, output, tree,
    vars::given,
    watch::Show,
};
use anyhow::anyhow;
use backing::{Backing, Behind};
use boot::{ConfigError, Life};
use serde_json::json;
use services::{Configs, Services};
use std::{path::Path, process::ExitCode, time::Duration};
use tokio_util::sync::CancellationToken;

/// How long the services may take to be ready once their servers answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts everything, serves until a signal (or until the given order's report), and ends everything.
///
/// The way down is the reverse of the way up: all four services stop taking work at once and finish what they
/// hold (none waits for another: what one hands over is a row, which the next start finds), then the emulator
/// ends, then Redis, then Postgres.
pub(crate) async fn run(args: &Up, place: &Place, json: bool) -> Done {
    let failed = |error: anyhow::Error| Trouble::new(FAILED, format!("{error:#}"));
    let mut backing = Backing::plan(&place.folder()?)?;
    // Read before anything is started, for what is wrong to be told at once.
    let first = Configs::read(&backing.vars).map_err(|error| refused(&error))?;
    ports::check_free(&first).map_err(failed)?;
    let mut behind = backing.start().await.map_err(failed)?;
    let done = match Configs::read(&backing.vars) {
        Ok(configs) => serve(args, configs, (&backing, &mut behind), json).await,
        Err(error) => Err(refused(&error)),
    };
    behind.stop().await;
    if args.order.is_some() && !args.stay {
        output::note(&format!(
            "Stopped, with all orders kept; to read or give more, start again: {} up",
            output::typed()
        ));
    }
    done
}

async fn serve(args: &Up, configs: Configs, (backing, behind): (&Backing, &mut Behind), json: bool) -> Done {
    let common = configs.gateway.common.clone();
    let life = Life::start("chavion", &common).await.map_err(|error| Trouble::new(FAILED, error.to_string()))?;
    let ready = life.ready.part("services");
    let mut told = Told::Nothing;
    let ended = life
        .run(async {
            orchestrator::migrate(&configs.orchestrator).await?;
            let services = Services::build(configs, &life).await?;
            let (address, lives) = (services.address(), services.lives());
            let front = async {
                services::until_ready(&lives, PATIENCE).await?;
                ready.up();
                greet(&address, backing, &life);
                told = match &args.order {
                    Some(text) => Told::Order(give(&address, &backing.key_file(), text, json).await),
                    None if json => Told::document(&address, backing, &life),
                    None => Told::Nothing,
                };
                match &told {
                    Told::Order(done) if done.is_err() || !args.stay => life.stop.cancel(),
                    _ => output::note("Serving until Ctrl-C or SIGTERM."),
                }
                anyhow::Ok(())
            };
            let watch = async { Err(behind.until_broken().await) };
            let (ran, fronted, watched) =
                tokio::join!(services.run(), until(front, &life.stop), until(watch, &life.stop));
            // What has brought the others down is the reason; what it made of them is not.
            watched.and(fronted).and(ran)
        })
        .await;
    // What went wrong is told once, by our caller, and not by the log as well.
    let drained = life.end(Ok(())).await;
    let in_time = if drained == ExitCode::SUCCESS { Ok(()) } else { Err(anyhow!("not everything ended in time")) };
    told.end(ended.and(in_time), args, json)
}

/// What was answered while the services ran.
enum Told {
    Nothing,
    /// Where everything is, for a program.
    Document,
    /// The report of the order of the command line, or why there is none.
    Order(Done),
}

impl Told {
    fn document(address: &str, backing: &Backing, life: &Life) -> Self {
        output::json(&json!({
            "url": address,
            "admin": life.admin.map(|admin| format!("http://{admin}")),
            "key_file": backing.key_file(),
            "emulated": backing.is_emulated(),
        }));
        Self::Document
    }

    /// Says how it all ended. A program was promised one document: what comes after it is for people.
    fn end(self, ended: anyhow::Result<()>, args: &Up, json: bool) -> Done {
        let is_answered = matches!(self, Self::Document | Self::Order(Ok(_)));
        match (ended, self) {
            (Ok(()), Self::Order(done)) => done,
            (Ok(()), _) if args.order.is_some() => Err(Trouble::new(
                INTERRUPTED,
                "stopped before the report was there. The order is kept: the next `chavion up` goes on with it",
            )),
            (Ok(()), _) => Ok(DONE),
            (Err(error), _) => {
                let trouble = Trouble::new(FAILED, format!("{error:#}"));
                if json && is_answered {
                    output::trouble(&trouble, false);
                    return Ok(trouble.code);
                }
                Err(trouble)
            }
        }
    }
}

/// Does a part beside the services until the stop; its failure is a stop.
async fn until(part: impl Future<Output = anyhow::Result<()>>, stop: &CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        done = part => done.inspect_err(|_| stop.cancel()),
        () = stop.cancelled() => Ok(()),
    }
}

/// Gives the order of the command line, as its master would.
async fn give(address: &str, key_file: &Path, text: &str, json: bool) -> Done {
    let key = match given("CHAVION_KEY") {
        Some(key) => key,
        None => std::fs::read_to_string(key_file).map_err(|error| {
            let file = key_file.display();
            Trouble::new(
                REFUSED,
                format!("no key: set CHAVION_KEY, as this database's first key is elsewhere ({file}: {error})"),
            )
        })?,
    };
    let client = Client::with(address.to_owned(), &key)?;
    let task = order::give(&client, &Order::report(text)).await?;
    let show = if json { Show::Nothing } else { Show::Changes };
    order::follow(&client, tree::word(&task, "id"), show).await
}

fn greet(address: &str, backing: &Backing, life: &Life) {
    output::note(&format!("Chavion is ready at {address} (API {address}/api/docs, help {address}/help)"));
    if let Some(admin) = life.admin {
        output::note(&format!("Health and metrics: http://{admin}/health, /ready, /metrics"));
    }
    let key_file = backing.key_file();
    if key_file.is_file() {
        output::note(&format!(
            "The master's key is in {}; give orders with: {} order \"…\"",
            key_file.display(),
            output::typed()
        ));
    }
    if backing.is_emulated() {
        output::note(&format!("\n{}\n{}\n", output::EMULATED, output::EMULATED_BATCHES));
    }
}

/// Tells what is wrong with the configuration: a sentence for each variable.
fn refused(error: &ConfigError) -> Trouble {
    let problems = error.problems.iter();
    let errors: Vec<_> =
        problems.map(|it| json!({ "field": it.variable, "problem": it.problem, "expected": it.expected })).collect();
    let mut trouble = Trouble::new(BAD_CONFIG, error.to_string());
    trouble.problem = Some(json!({ "code": trouble.word(), "detail": "Some variables are wrong.", "errors": errors }));
    trouble
}
