//! The house's rules that no compiler knows: sizes, names, and that the README tells the truth about paths.

#![expect(clippy::expect_used, reason = "tests stop at the first surprise")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// STYLE: no file above this, in lines.
const LONGEST_FILE: usize = 500;
/// STYLE: a `main.rs` fits on one screen, in lines.
const LONGEST_MAIN: usize = 30;
/// STYLE: no crate holds more than this share of all lines, in percent.
const LARGEST_SHARE: usize = 30;
/// The README is read to its end only when it is short, in lines.
const LONGEST_README: usize = 250;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// Lists the files below a folder with one of these endings, build products left out.
fn files(folder: &Path, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("folders can be read").flatten() {
        let path = entry.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                found.extend(files(&path, endings));
            }
        } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
            found.push(path);
        }
    }
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("sources are text")
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut wrong = Vec::new();
    for path in files(&top().join("crates"), &[".rs"]) {
        let text = read(&path);
        let lines = text.lines().count();
        let limit = if path.ends_with("src/main.rs") { LONGEST_MAIN } else { LONGEST_FILE };
        if lines > limit {
            wrong.push(format!("{} has {lines} lines, more than {limit}", path.display()));
        }
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not begin by saying what it is (//!)", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_unfinished_is_left() {
    // Written in two parts, so that this file does not find itself.
    let marks = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("FIX", "ME"),
        concat!("TO", "DO"),
        concat!("#[al", "low("),
    ];
    let mut wrong = Vec::new();
    for path in files(&top().join("crates"), &[".rs", ".toml", ".sql", ".py"]) {
        for (number, line) in read(&path).lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                wrong.push(format!("{}:{}: {}", path.display(), number + 1, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_crate_is_a_god_or_a_sink() {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(top().join("crates")).expect("there are crates").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(
            !["common", "core", "types", "util", "utils", "shared", "helpers"].contains(&name.as_str()),
            "{name} says nothing"
        );
        let count = files(&entry.path(), &[".rs"]).iter().map(|path| read(path).lines().count()).sum();
        lines.insert(name, count);
    }
    let all: usize = lines.values().sum();
    for (name, count) in &lines {
        assert!(count * 100 <= all * LARGEST_SHARE, "{name} holds {count} of {all} lines, more than {LARGEST_SHARE} %");
    }
}

#[test]
fn every_path_in_the_readme_exists() {
    let readme = read(&top().join("README.md"));
    assert!(readme.lines().count() <= LONGEST_README, "the README has more than {LONGEST_README} lines");
    let mut wrong = Vec::new();
    for (number, line) in readme.lines().enumerate() {
        for quoted in line.split('`').skip(1).step_by(2) {
            for word in quoted.split_whitespace() {
                let word = word.trim_end_matches([',', '.', ';', ':']);
                let is_ours = ["crates/", "scripts/", "docker/", "nginx/", "prometheus/", "grafana/", ".ci/"]
                    .iter()
                    .any(|start| word.starts_with(start));
                if is_ours && !word.contains(['*', '<', '{']) && !top().join(word).exists() {
                    wrong.push(format!("README.md:{}: {word} does not exist", number + 1));
                }
            }
        }
        for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !target.starts_with("http") && !target.starts_with('#') && !top().join(target).exists() {
                wrong.push(format!("README.md:{}: {target} does not exist", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_top_level_holds_what_the_readme_explains() {
    let known = [
        "Cargo.toml",
        "Cargo.lock",
        "LICENSE",
        "README.md",
        "compose.yml",
        "clippy.toml",
        "deny.toml",
        "rustfmt.toml",
        "rust-toolchain.toml",
        "crates",
        "docker",
        "nginx",
        "prometheus",
        "grafana",
        "scripts",
        "target",
        // Made where the stack runs, and kept out of the repository.
        "backups",
        "config",
    ];
    for entry in fs::read_dir(top()).expect("the top level can be read").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || known.contains(&name.as_str()), "{name} has no place at the top level");
    }
}

#[test]
fn versions_are_named_in_one_place() {
    for path in files(&top().join("crates"), &["Cargo.toml"]) {
        for line in read(&path).lines() {
            let is_version = line.split_once('=').is_some_and(|(key, value)| {
                !key.contains('.')
                    && !["name", "description", "path", "edition", "default-run"].contains(&key.trim())
                    && value.trim().starts_with('"')
                    && value.as_bytes().get(2).is_some_and(u8::is_ascii_digit)
            });
            assert!(!is_version, "{}: {line}: versions belong into the workspace's Cargo.toml", path.display());
        }
    }
}
