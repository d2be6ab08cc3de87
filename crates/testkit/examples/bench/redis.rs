//! A few words of Redis's protocol over its unix socket. Refuses everything but plain questions and answers.

use anyhow::{Context as _, bail};
use std::{collections::BTreeMap, path::Path};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
};

/// A connection.
#[derive(Debug)]
pub(crate) struct Redis(BufReader<UnixStream>);

impl Redis {
    /// Connects.
    pub(crate) async fn open(socket: &Path) -> anyhow::Result<Self> {
        let stream = UnixStream::connect(socket).await.with_context(|| format!("{} is closed", socket.display()))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Sends a command of plain words.
    pub(crate) async fn say(&mut self, command: &str) -> anyhow::Result<()> {
        self.0.get_mut().write_all(format!("{command}\r\n").as_bytes()).await?;
        Ok(())
    }

    /// Reads one answer; returns its texts, one after the other.
    pub(crate) async fn hear(&mut self) -> anyhow::Result<Vec<String>> {
        let (mut texts, mut left) = (Vec::new(), 1);
        while left > 0 {
            left -= 1;
            let mut line = String::new();
            self.0.read_line(&mut line).await?;
            let line = line.trim_end();
            let (kind, rest) = line.split_at_checked(1).context("Redis closed the connection")?;
            match kind {
                "*" => left += rest.parse().unwrap_or(0),
                "$" => {
                    let Ok(length) = rest.parse::<usize>() else { continue };
                    let mut bytes = vec![0; length + 2];
                    self.0.read_exact(&mut bytes).await?;
                    bytes.truncate(length);
                    texts.push(String::from_utf8_lossy(&bytes).into_owned());
                }
                "-" => bail!("Redis refused: {rest}"),
                _ => texts.push(rest.to_owned()),
            }
        }
        Ok(texts)
    }

    /// Sends a command and reads its answer.
    pub(crate) async fn ask(&mut self, command: &str) -> anyhow::Result<Vec<String>> {
        self.say(command).await?;
        self.hear().await
    }

    /// Reads how often each command was called until now, this one left out.
    pub(crate) async fn calls(&mut self) -> anyhow::Result<BTreeMap<String, f64>> {
        let text = self.ask("INFO commandstats").await?.concat();
        let lines = text.lines().filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="));
        let calls = lines.filter_map(|(name, rest)| Some((name.to_owned(), rest.split(',').next()?.parse().ok()?)));
        Ok(calls.filter(|(name, _)| name != "info").collect())
    }

    /// Reads a field of what the server says of itself.
    pub(crate) async fn fact(&mut self, field: &str) -> anyhow::Result<String> {
        let text = self.ask("INFO server").await?.concat();
        let found = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        Ok(found.with_context(|| format!("Redis does not tell {field}"))?.trim().to_owned())
    }
}
