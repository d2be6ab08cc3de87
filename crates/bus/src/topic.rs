//! Names of streams: topics with a group of readers, feeds without one. Refuses to know what the
//! names stand for: the services declare them.

use std::fmt;

/// A queue: every entry goes to one reader of its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    name: &'static str,
    group: &'static str,
}

impl Topic {
    /// Declares a topic and the service whose replicas read it.
    #[must_use]
    pub const fn new(name: &'static str, group: &'static str) -> Self {
        Self { name, group }
    }

    /// The topic's name, which is also its label in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The service whose replicas read it.
    #[must_use]
    pub const fn group(&self) -> &'static str {
        self.group
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A capped history that everybody may follow: nobody acknowledges, the oldest fall off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Feed {
    name: &'static str,
}

impl Feed {
    /// Declares a feed.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name }
    }

    /// The feed's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }
}

/// The feed of what changed.
pub const EVENTS: Feed = Feed::new("events");

/// The two queues of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Read first.
    Express,
    /// Read after what is in the express lane.
    Normal,
}

impl Lane {
    /// Both, in the order in which they are read.
    pub const BOTH: [Self; 2] = [Self::Express, Self::Normal];

    /// The lane's word in dead entries.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Express => "express",
            Self::Normal => "normal",
        }
    }
}

/// The keys of one topic below a prefix.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    express: String,
    normal: String,
}

impl Streams {
    pub(crate) fn new(prefix: &str, topic: Topic) -> Self {
        Self { express: key(prefix, topic, Lane::Express), normal: key(prefix, topic, Lane::Normal) }
    }

    pub(crate) fn of(&self, lane: Lane) -> &str {
        match lane {
            Lane::Express => &self.express,
            Lane::Normal => &self.normal,
        }
    }

    /// The lane of a key that came back in an answer.
    pub(crate) fn lane(&self, key: &[u8]) -> Option<Lane> {
        Lane::BOTH.into_iter().find(|lane| self.of(*lane).as_bytes() == key)
    }
}

/// The key of one lane of a topic.
pub(crate) fn key(prefix: &str, topic: Topic, lane: Lane) -> String {
    match lane {
        Lane::Express => format!("{prefix}{topic}.express"),
        Lane::Normal => format!("{prefix}{topic}"),
    }
}

/// The key of the entries that nobody could handle.
pub(crate) fn dead_key(prefix: &str) -> String {
    format!("{prefix}dead")
}
