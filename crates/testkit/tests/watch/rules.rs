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
