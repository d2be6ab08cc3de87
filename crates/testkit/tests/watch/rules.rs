//! Prometheus' and Alertmanager's files by themselves: valid to their own tools, every alert with a runbook line, and
//! shown to fire and to keep silent.

use crate::{files, name, read, top};
use std::{collections::BTreeMap, process::Command};

/// Installs what this test needs besides Rust.
const INSTALL: &str = "apt-get install --no-install-recommends prometheus prometheus-alertmanager \
                       prometheus-node-exporter prometheus-postgres-exporter prometheus-redis-exporter";

/// Says how to install what is not there.
pub(crate) fn missing(program: &str) -> ! {
    panic!("{program} is not installed; run: {INSTALL}")
}

fn passes(program: &str, arguments: &[&str], paths: &[std::path::PathBuf]) {
    let output = Command::new(program).args(arguments).args(paths).output();
    let output = output.unwrap_or_else(|_| missing(program));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
fn the_files_are_valid() {
    let folder = top().join("prometheus");
    passes("promtool", &["check", "config"], &[folder.join("prometheus.yml")]);
    passes("promtool", &["check", "rules", "--lint-fatal"], &files("prometheus/rules", ".yml"));
    passes("amtool", &["check-config"], &[folder.join("alertmanager.yml")]);
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    passes("promtool", &["test", "rules"], &files("prometheus/tests", ".yml"));
}

/// The alerts of one file: each with its lines.
fn alerts(text: &str) -> BTreeMap<String, String> {
    let blocks = text.split("- alert: ").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once('\n').unwrap();
            (name.trim().to_owned(), rest.to_owned())
        })
        .collect()
}

#[test]
fn every_alert_has_a_severity_a_runbook_line_and_its_tests() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in files("prometheus/rules", ".yml") {
        let found = alerts(&read(&path));
        if found.is_empty() {
            continue;
        }
        let tests = read(&top().join("prometheus/tests").join(name(&path)));
        for (alert, lines) in found {
            seen += 1;
            let mut need = |holds: bool, what: &str| {
                if !holds {
                    wrong.push(format!("{}: {alert} {what}", name(&path)));
                }
            };
            need(
                ["{ severity: critical }", "{ severity: warning }"].iter().any(|severity| lines.contains(severity)),
                "has no severity",
            );
            let line = |key: &str| lines.lines().find_map(|line| line.trim().strip_prefix(key).map(str::to_owned));
            need(line("summary: ").is_some_and(|text| text.len() > 20), "has no summary");
            need(line("runbook: ").is_some_and(|text| text.len() > 60), "does not say what to do");
            let fires = format!("labels: 'ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"");
            need(tests.contains(&fires), "is not shown to fire");
            // What a text names of the alert must be there when it fires.
            let firing = tests.lines().find(|line| line.contains(&fires)).unwrap_or_default();
            for rest in lines.split("$labels.").skip(1) {
                let label = rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap();
                need(
                    firing.contains(&format!("{label}=\"")),
                    &format!("speaks of its label {label}, which it has not"),
                );
            }
            let own = format!("alertname=\"{alert}\"");
            let silent = tests.lines().any(|line| line.contains(&own) && line.contains("exp_samples: []"));
            need(silent, "is not shown to keep silent");
        }
        assert!(tests.contains("all is well"), "{} does not show a day without an alert", name(&path));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen > 30, "{seen} alerts");
}

/// The commands between backquotes of a text.
fn commands(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// What a runbook line says to run can be run: the verb and its options are there, the service, the script.
#[test]
fn every_runbook_names_a_command_that_exists() {
    let compose = read(&top().join("compose.yml"));
    let mut wrong = Vec::new();
    let mut helps: BTreeMap<String, String> = BTreeMap::new();
    for path in files("prometheus/rules", ".yml") {
        for (alert, lines) in alerts(&read(&path)) {
            let runbook = lines.lines().find_map(|line| line.trim().strip_prefix("runbook: ")).unwrap_or_default();
            let named = commands(runbook);
            let mut runs = 0;
            for command in &named {
                let words: Vec<&str> = command.split_whitespace().take_while(|word| *word != "|").collect();
                let problem = match words.as_slice() {
                    ["chavion", rest @ ..] => of_chavion(rest, &mut helps),
                    ["docker", "compose", rest @ ..] => of_compose(rest, &compose),
                    ["docker", "system" | "image" | "stats", ..] | ["journalctl", ..] => None,
                    ["promtool", "check", "rules"] => None,
                    [script, ..] if script.starts_with("scripts/") => {
                        (!top().join(script).exists()).then(|| "is no script".to_owned())
                    }
                    // A word of a log or of a chart.
                    _ => continue,
                };
                runs += 1;
                if let Some(problem) = problem {
                    wrong.push(format!("{alert}: `{command}` {problem}"));
                }
            }
            if runs == 0 {
                wrong.push(format!("{alert} names nothing to run: {runbook}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Says what is wrong with the words after `chavion`, by the help of this build's.
fn of_chavion(words: &[&str], helps: &mut BTreeMap<String, String>) -> Option<String> {
    let verbs: Vec<&str> =
        words.iter().copied().take_while(|word| word.chars().all(|letter| letter.is_ascii_lowercase())).collect();
    let help = helps.entry(verbs.join(" ")).or_insert_with(|| {
        let output = Command::new(testkit::process::binary("chavion")).args(&verbs).arg("--help").output().unwrap();
        if output.status.success() { String::from_utf8_lossy(&output.stdout).into_owned() } else { String::new() }
    });
    if help.is_empty() {
        return Some(format!("is no verb: {}", verbs.join(" ")));
    }
    let options = words.iter().filter(|word| word.starts_with("--"));
    options.clone().find(|option| !help.contains(**option)).map(|option| format!("has no {option}"))
}

/// Says what is wrong with the words after `docker compose`.
fn of_compose(words: &[&str], compose: &str) -> Option<String> {
    let verbs = ["ps", "logs", "up", "restart", "exec"];
    if !verbs.contains(words.first()?) {
        return Some("is no verb that is expected".to_owned());
    }
    let mut skip = false;
    for word in &words[1..] {
        let is_value = std::mem::replace(&mut skip, *word == "--tail");
        let name = word.split('=').next().unwrap_or(word);
        if is_value || *word == "-d" || *word == "--tail" || *word == "--scale" || word.starts_with("{{") {
            continue;
        }
        // `{{ $labels.job }}` is cut into words.
        if word.starts_with("$labels") || *word == "}}" {
            continue;
        }
        if !compose.contains(&format!("\n  {name}:\n")) {
            return Some(format!("names {name}, which is no service of compose.yml"));
        }
    }
    None
}

/// Figures of the host come from scripts: each must be written by one.
#[test]
fn what_scripts_are_to_tell_is_told() {
    let rules: String = files("prometheus/rules", ".yml").iter().map(|path| read(path)).collect();
    for (metric, script) in [
        ("chavion_certificate_expires_timestamp_seconds", "nginx/start"),
        ("chavion_certificate_expires_timestamp_seconds", "docker/certificate"),
        ("chavion_backup_last_success_timestamp_seconds", "scripts/backup"),
        ("chavion_backup_last_bytes", "scripts/backup"),
    ] {
        let path = top().join(script);
        assert!(rules.contains(metric) || metric.ends_with("_bytes"), "{metric} is watched");
        // An installation may make its backups in another way.
        assert!(!path.exists() || read(&path).contains(metric), "{script} writes {metric}");
    }
}

#[test]
fn what_silences_others_exists() {
    let text = read(&top().join("prometheus/alertmanager.yml"));
    let known: Vec<String> =
        files("prometheus/rules", ".yml").iter().flat_map(|path| alerts(&read(path)).into_keys()).collect();
    let matchers = text.split("alertname=").skip(1);
    let named = matchers.filter_map(|rest| rest.trim_start_matches('~').strip_prefix('"')?.split('"').next());
    for alert in named.flat_map(|names| names.split('|')) {
        assert!(known.iter().any(|known| known == alert), "alertmanager.yml names {alert}, which is no alert");
    }
}
