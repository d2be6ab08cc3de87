//! Reads variables into typed values and gathers every problem, so that one start shows them all.
//! Refuses to know which variables a service has, and to print a secret.

mod several;

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::Vars;
use crate::mask::{MASK, masked_url};

/// One variable as it was read: what `--help` and `--check-config` print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// The variable's name.
    pub name: String,
    /// What it is for, in one line, with its unit.
    pub about: String,
    /// The text that counts when it is not set; `None` when there is none.
    pub default: Option<String>,
    /// True when the service does not start without it.
    pub required: bool,
    /// The text in force, secrets masked; empty when there is none.
    pub value: String,
}

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The variable's name.
    pub variable: String,
    /// What is wrong with it.
    pub problem: String,
    /// What would be right.
    pub expected: String,
}

/// Everything that is wrong with the configuration, one line each.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", lines(.problems))]
pub struct ConfigError {
    /// The problems, in the order in which the variables are read.
    pub problems: Vec<Problem>,
    /// All variables that were asked for, for `--help`.
    pub variables: Vec<Variable>,
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<_> =
        problems.iter().map(|it| format!("{}: {}; expected {}", it.variable, it.problem, it.expected)).collect();
    lines.join("\n")
}

/// Reads variables one by one; a getter whose variable is wrong notes the problem and returns a
/// stand-in that nobody sees, because [`Reader::finish`] then refuses the whole.
/// An empty or blank variable counts as not set.
pub struct Reader<'vars> {
    vars: &'vars dyn Vars,
    variables: Vec<Variable>,
    problems: Vec<Problem>,
}

impl std::fmt::Debug for Reader<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Reader").field("variables", &self.variables).finish_non_exhaustive()
    }
}

impl<'vars> Reader<'vars> {
    /// Starts reading from `vars`.
    #[must_use]
    pub fn new(vars: &'vars dyn Vars) -> Self {
        Self { vars, variables: Vec::new(), problems: Vec::new() }
    }

    /// Reads any text.
    pub fn text(&mut self, name: &str, about: &str, default: &str) -> String {
        self.given(name, about, Some(default.to_owned())).unwrap_or_else(|| default.to_owned())
    }

    /// Reads any text that may be left out.
    pub fn text_optional(&mut self, name: &str, about: &str) -> Option<String> {
        self.given(name, about, None)
    }

    /// Reads one of the words in `options`.
    pub fn choice(&mut self, name: &str, about: &str, default: &str, options: &[&str]) -> String {
        let expected = format!("one of {}", options.join(", "));
        let known = |text: &str| options.contains(&text).then(|| text.to_owned());
        self.parsed(name, about, (default.to_owned(), &expected), known)
    }

    /// Reads true, yes, on or 1, or false, no, off or 0.
    pub fn flag(&mut self, name: &str, about: &str, default: bool) -> bool {
        self.parsed(name, about, (default, "true or false"), |text| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Some(true),
            "false" | "no" | "off" | "0" => Some(false),
            _ => None,
        })
    }

    /// Reads a whole number within `range`.
    pub fn count(&mut self, name: &str, about: &str, default: usize, range: RangeInclusive<usize>) -> usize {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.parsed(name, about, (default, &expected), |text| text.parse().ok().filter(|it| range.contains(it)))
    }

    /// Reads a time in seconds within `range`; a fraction such as 0.5 is fine.
    pub fn duration_seconds(&mut self, name: &str, about: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        let expected = format!("a number of seconds from {} to {}", range.start(), range.end());
        let within = Duration::from_secs(*range.start())..=Duration::from_secs(*range.end());
        let read = |text: &str| {
            let time = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
            within.contains(&time).then_some(Seconds(time))
        };
        self.parsed(name, about, (Seconds(Duration::from_secs(default)), &expected), read).0
    }

    /// Reads a time in whole milliseconds within `range`.
    pub fn millis(&mut self, name: &str, about: &str, default: u64, range: RangeInclusive<u64>) -> Duration {
        let expected = format!("a whole number of milliseconds from {} to {}", range.start(), range.end());
        let read = |text: &str| text.parse().ok().filter(|it| range.contains(it));
        Duration::from_millis(self.parsed(name, about, (default, &expected), read))
    }

    /// Reads an address to listen on; port 0 takes any free port.
    pub fn address(&mut self, name: &str, about: &str, default: &str) -> SocketAddr {
        let expected = "an IP address and a port such as 127.0.0.1:5002 or [::]:5002";
        let stand_in = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let default = default.parse().unwrap_or(stand_in);
        self.parsed(name, about, (default, expected), |text| text.parse().ok())
    }

    /// Reads an http:// or https:// URL that may be left out when it has no default.
    pub fn url(&mut self, name: &str, about: &str, default: Option<&str>) -> Option<Url> {
        let text = self.given(name, about, default.map(str::to_owned)).or_else(|| default.map(str::to_owned))?;
        self.show(&masked_url(&text));
        let web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
        let url = Url::parse(&text).ok().filter(web);
        if url.is_none() {
            self.refuse(name, "is not a web address", "a URL such as http://127.0.0.1:4318");
        }
        url
    }

    /// Reads a secret that must be set, from `name` or from the file that `name_FILE` names.
    pub fn secret(&mut self, name: &str, about: &str) -> SecretString {
        SecretString::from(self.hidden(name, about, true).unwrap_or_default())
    }

    /// Reads a secret that may be left out, from `name` or from the file that `name_FILE` names.
    pub fn secret_optional(&mut self, name: &str, about: &str) -> Option<SecretString> {
        self.hidden(name, about, false).map(SecretString::from)
    }

    /// Reads the URL of a server, whose password is a secret, from `name` or from the file that `name_FILE` names.
    pub fn secret_url(&mut self, name: &str, about: &str, schemes: &[&str]) -> SecretString {
        let text = self.hidden(name, about, true).unwrap_or_default();
        if text.is_empty() {
            return SecretString::from(text);
        }
        match Url::parse(&text) {
            Ok(url) if schemes.contains(&url.scheme()) => self.show(&masked_url(&text)),
            Ok(url) => {
                let problem = format!("has the scheme {}", quoted(url.scheme()));
                self.refuse(name, &problem, &format!("a URL that begins with {}", starts(schemes)));
            }
            Err(_) => self.refuse(name, "is not a URL", &format!("a URL that begins with {}", starts(schemes))),
        }
        SecretString::from(text)
    }

    /// Notes a problem that only the service can see, such as two variables that contradict each other.
    pub fn refuse(&mut self, variable: &str, problem: &str, expected: &str) {
        self.problems.push(Problem {
            variable: variable.to_owned(),
            problem: problem.to_owned(),
            expected: expected.to_owned(),
        });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All problems at once, when there is one.
    pub fn finish(self) -> Result<Vec<Variable>, ConfigError> {
        if self.problems.is_empty() {
            return Ok(self.variables);
        }
        Err(ConfigError { problems: self.problems, variables: self.variables })
    }

    fn parsed<T: Display>(
        &mut self,
        name: &str,
        about: &str,
        (default, expected): (T, &str),
        read: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.given(name, about, Some(default.to_string())) else {
            return default;
        };
        read(&text).unwrap_or_else(|| {
            self.refuse(name, &format!("is {}", quoted(&text)), &format!("{expected} (default {default})"));
            default
        })
    }

    fn given(&mut self, name: &str, about: &str, default: Option<String>) -> Option<String> {
        let text = self.look_up(name);
        let value = text.clone().or_else(|| default.clone()).unwrap_or_default();
        self.variables.push(Variable {
            name: name.to_owned(),
            about: about.to_owned(),
            default,
            required: false,
            value,
        });
        text
    }

    fn hidden(&mut self, name: &str, about: &str, required: bool) -> Option<String> {
        let text = self.secret_text(name);
        if required && matches!(text, Ok(None)) {
            self.refuse(
                name,
                "is not set",
                &format!("a value here, or the path of a file that holds it in {name}_FILE"),
            );
        }
        let text = text.ok().flatten();
        self.variables.push(Variable {
            name: name.to_owned(),
            about: about.to_owned(),
            default: None,
            required,
            value: text.as_ref().map(|_| MASK.to_owned()).unwrap_or_default(),
        });
        text
    }

    /// Looks the secret up; `Err` when a problem was noted.
    fn secret_text(&mut self, name: &str) -> Result<Option<String>, ()> {
        let file = format!("{name}_FILE");
        let text = self.look_up(name);
        let Some(path) = self.look_up(&file) else {
            return Ok(text);
        };
        if text.is_some() {
            self.refuse(name, &format!("is set, and so is {file}"), "only one of the two");
            return Err(());
        }
        let problem = match std::fs::read_to_string(&path) {
            Ok(text) if !text.trim().is_empty() => return Ok(Some(text.trim().to_owned())),
            Ok(_) => format!("names {}, which is empty", quoted(&path)),
            Err(error) => format!("names {}, which cannot be read: {error}", quoted(&path)),
        };
        self.refuse(&file, &problem, "the path of a readable file that holds the secret and nothing else");
        Err(())
    }

    fn look_up(&self, name: &str) -> Option<String> {
        let text = self.vars.get(name)?;
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// Replaces the last variable's shown text by one that hides its secret parts.
    fn show(&mut self, text: &str) {
        if let Some(variable) = self.variables.last_mut() {
            text.clone_into(&mut variable.value);
        }
    }
}

/// A time that prints as its number of seconds.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}", self.0.as_secs_f64())
    }
}

/// Quotes a text, cut to what fits on a line.
fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    let cut: String = text.chars().take(LONGEST).collect();
    let rest = if cut.len() < text.len() { "…" } else { "" };
    format!("{:?}", format!("{cut}{rest}"))
}

fn starts(schemes: &[&str]) -> String {
    let starts: Vec<_> = schemes.iter().map(|scheme| format!("{scheme}://")).collect();
    starts.join(" or ")
}
