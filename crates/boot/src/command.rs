//! What a service's command line may ask: run, a verb, or one of the four questions
//! `--check-config`, `--probe`, `--help` and `--version`. Refuses to know any service's config.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use crate::probe::probe;
use crate::{ConfigError, Environment, Variable, Vars};

/// The exit code of a process whose configuration is wrong (`EX_USAGE` of sysexits).
pub const EXIT_BAD_CONFIG: u8 = 64;

/// A binary as its `--help` introduces it.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The binary's name.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Its verbs beside running as a service, each with what it does.
    pub verbs: &'static [(&'static str, &'static str)],
}

/// How a service reads its config from variables.
pub type Read<C> = fn(&dyn Vars) -> Result<C, ConfigError>;

/// How a service's config shows the variables it was read from.
pub type Show<C> = fn(&C) -> &[Variable];

/// Reads the command line and the environment of this process: the config to run with and the verb, if one
/// was given.
///
/// # Errors
/// The code to exit with, after everything was said: 0 for an answered question, 64 for a bad config or argument.
pub fn command_line<C>(program: &Program, read: Read<C>, show: Show<C>) -> Result<(C, Option<&'static str>), ExitCode> {
    let arguments: Vec<String> = std::env::args_os().skip(1).map(|it| it.to_string_lossy().into_owned()).collect();
    interpret(program, &arguments, &Environment, (read, show)).map_err(|answer| answer.say())
}

/// What is said before the process exits.
#[derive(Debug)]
struct Answer {
    code: u8,
    text: String,
}

impl Answer {
    fn say(&self) -> ExitCode {
        let text = self.text.as_bytes();
        // A reader that has gone away is no reason for another exit code.
        let _ = if self.code == 0 { std::io::stdout().write_all(text) } else { std::io::stderr().write_all(text) };
        ExitCode::from(self.code)
    }
}

fn interpret<C>(
    program: &Program,
    arguments: &[String],
    vars: &dyn Vars,
    (read, show): (Read<C>, Show<C>),
) -> Result<(C, Option<&'static str>), Answer> {
    let bad = |error: &ConfigError| Answer { code: EXIT_BAD_CONFIG, text: format!("{error}\n") };
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *words.as_slice() {
        [] => read(vars).map(|config| (config, None)).map_err(|error| bad(&error)),
        ["--check-config"] => match read(vars) {
            Ok(config) => Err(Answer { code: 0, text: checked(show(&config)) }),
            Err(error) => Err(bad(&error)),
        },
        ["--probe"] => {
            let config = read(vars).map_err(|error| bad(&error))?;
            Err(match probe(show(&config)) {
                Ok(()) => Answer { code: 0, text: "ready\n".to_owned() },
                Err(why) => Answer { code: 1, text: format!("{}: {why}\n", program.name) },
            })
        }
        ["--version" | "-V"] => {
            let text = format!("{} {}\n", program.name, env!("CARGO_PKG_VERSION"));
            Err(Answer { code: 0, text })
        }
        ["--help" | "-h"] => {
            let empty: BTreeMap<String, String> = BTreeMap::new();
            let text = match read(&empty) {
                Ok(config) => help(program, show(&config)),
                Err(error) => help(program, &error.variables),
            };
            Err(Answer { code: 0, text })
        }
        [word, ..] => match program.verbs.iter().find(|(verb, _)| [*verb] == *words) {
            Some((verb, _)) => read(vars).map(|config| (config, Some(*verb))).map_err(|error| bad(&error)),
            None => {
                let text = format!("{}: unexpected argument {word:?}; see {0} --help\n", program.name);
                Err(Answer { code: EXIT_BAD_CONFIG, text })
            }
        },
    }
}

fn checked(variables: &[Variable]) -> String {
    variables.iter().fold(String::new(), |mut text, it| {
        let _ = writeln!(text, "{}={}", it.name, it.value);
        text
    })
}

fn help(program: &Program, variables: &[Variable]) -> String {
    let name = program.name;
    let mut text = format!("{name} {}\n{}\n\nUsage:\n", env!("CARGO_PKG_VERSION"), program.about);
    let mut usage = vec![(name.to_owned(), "run until SIGTERM or SIGINT")];
    usage.extend(program.verbs.iter().map(|(verb, about)| (format!("{name} {verb}"), *about)));
    usage.push((format!("{name} --check-config"), "print the configuration, secrets masked; exit 64 if it is wrong"));
    usage.push((format!("{name} --probe"), "ask the one that runs on ADMIN_ADDR whether it is ready; exit 0 or 1"));
    usage.push((format!("{name} --version"), "print the version"));
    let width = usage.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    for (line, about) in usage {
        let _ = writeln!(text, "  {line:width$}  {about}");
    }
    text.push_str("\nVariables:\n");
    for it in variables {
        let default = match &it.default {
            Some(default) => format!("[default: {default}]"),
            None if it.required => "[required]".to_owned(),
            None => "[optional]".to_owned(),
        };
        let _ = writeln!(text, "  {} {default}\n      {}", it.name, it.about);
    }
    text.push_str(
        "\nA secret may also be given as the path of a file that holds it, in a variable that ends in _FILE.\n\
         Any of them may also be a file of the same name in the folder that SECRETS_DIR names.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::{Program, interpret};
    use crate::{Common, ConfigError, Reader, Variable, Vars};
    use std::collections::BTreeMap;

    const PROGRAM: Program =
        Program { name: "견본", about: "An example.", verbs: &[("migrate", "bring the schema up to date")] };

    fn read(vars: &dyn Vars) -> Result<Vec<Variable>, ConfigError> {
        let mut reader = Reader::new(vars);
        Common::read(&mut reader, "127.0.0.1:0");
        reader.secret("TOKEN", "opens the door");
        reader.finish()
    }

    fn ask(words: &[&str], vars: &[(&str, &str)]) -> Result<Option<&'static str>, (u8, String)> {
        let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
        let vars: BTreeMap<String, String> =
            vars.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let show: super::Show<Vec<Variable>> = |variables| variables;
        interpret(&PROGRAM, &words, &vars, (read, show))
            .map(|(_, verb)| verb)
            .map_err(|answer| (answer.code, answer.text))
    }

    #[test]
    fn runs_and_knows_its_verbs() {
        let vars = [("TOKEN", "열려라")];
        assert_eq!(ask(&[], &vars), Ok(None));
        assert_eq!(ask(&["migrate"], &vars), Ok(Some("migrate")));
        let (code, text) = ask(&["migrate", "now"], &vars).unwrap_err();
        assert_eq!(code, 64);
        assert!(text.contains("unexpected argument"), "{text}");
    }

    #[test]
    fn shows_the_config_without_its_secrets() {
        let (code, text) = ask(&["--check-config"], &[("TOKEN", "열려라"), ("REPLICA", "서울-1")]).unwrap_err();
        assert_eq!(code, 0);
        assert!(text.contains("TOKEN=***\n") && text.contains("REPLICA=서울-1\n"), "{text}");
        assert!(text.contains("DRAIN_SECONDS=25\n"), "{text}");
        assert!(!text.contains("열려라"), "{text}");
    }

    #[test]
    fn refuses_with_every_problem() {
        let (code, text) = ask(&["--check-config"], &[("DRAIN_SECONDS", "곧"), ("LOG", "informational")]).unwrap_err();
        assert_eq!(code, 64);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert!(text.contains("DRAIN_SECONDS: is \"곧\"; expected a number of seconds"), "{text}");
    }

    #[test]
    fn helps_without_any_variable_set() {
        let (code, text) = ask(&["--help"], &[]).unwrap_err();
        assert_eq!(code, 0);
        assert!(text.contains("DRAIN_SECONDS [default: 25]"), "{text}");
        assert!(text.contains("TOKEN [required]"), "{text}");
        assert!(text.contains("견본 migrate"), "{text}");
    }
}
