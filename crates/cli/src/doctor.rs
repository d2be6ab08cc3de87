//! `chavion doctor`: what is installed, which ports are taken, which servers and providers answer, in one screen.
//! Refuses to change anything, and to spend money on finding out.

mod machine;
mod reach;

use crate::{
    UNREACHABLE,
    args::Place,
    client::{Done, done},
    output,
};
use serde_json::{Value, json};

/// One thing that was looked at.
struct Finding {
    about: String,
    good: bool,
    said: String,
}

fn finding(about: impl Into<String>, good: bool, said: impl Into<String>) -> Finding {
    Finding { about: about.into(), good, said: output::one_line(&said.into()) }
}

/// Looks at everything; exit code 3 when a thing that is needed is missing.
pub(crate) async fn run(place: &Place, as_json: bool) -> Done {
    let folder = place.folder()?;
    let (programs, sandbox, servers, providers) =
        tokio::join!(machine::programs(), machine::sandbox(&folder), reach::servers(place), reach::providers());
    let mut findings = vec![machine::system()];
    findings.extend(programs);
    findings.push(sandbox);
    findings.push(machine::folder(&folder));
    findings.push(machine::ports());
    findings.extend(servers);
    findings.extend(providers);
    let all_good = findings.iter().all(|finding| finding.good);
    if as_json {
        let list: Vec<Value> =
            findings.iter().map(|it| json!({ "about": it.about, "good": it.good, "said": it.said })).collect();
        output::json(&json!({ "good": all_good, "findings": list }));
    } else {
        for finding in &findings {
            let mark = if finding.good { "✓" } else { "✗" };
            output::say(&format!("{mark} {:<20} {}", finding.about, finding.said));
        }
    }
    if all_good { done() } else { Ok(UNREACHABLE) }
}
