//! What the parts can do by themselves, in the same run: bare calls of the emulator, and names through a stream of
//! Redis. Refuses to know how Chavion uses them.

use crate::{
    figures::{Times, real},
    http::{Connection, request},
    redis::Redis,
};
use anyhow::ensure;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

/// Calls that are under way at once.
const CONCURRENT: usize = 64;

/// The request that Chavion sends for an ask of the benchmark.
fn ask() -> Vec<u8> {
    let body = json!({
        "model": "claude-sonnet-5-5",
        "max_tokens": 4096,
        "system": "You answer the owner's question directly, the answer first and then the reasons. Be concrete and \
            brief; give figures with their assumptions. Answer in the language of the order.",
        "messages": [{ "role": "user", "content": "주문 1: 애견호텔의 겨울 예약을 늘릴 방법" }],
    });
    let headers = [("x-api-key", "emulated"), ("anthropic-version", "2023-06-01")];
    request("/v1/messages", &headers, Some(&body.to_string()))
}

/// Measures bare calls of the emulator: one after the other, and many at once.
pub(crate) async fn calls(emulator: SocketAddr, count: usize, window: Duration) -> anyhow::Result<Value> {
    let asked = ask();
    let call = async |connection: &mut Connection| {
        let answer = connection.send(&asked).await?;
        let text = String::from_utf8_lossy(answer.body);
        ensure!(answer.status == 200, "the emulator answered {}: {text}", answer.status);
        Ok(())
    };
    let mut connection = Connection::open(emulator).await?;
    let mut alone = Times::default();
    for _ in 0..count {
        let start = Instant::now();
        call(&mut connection).await?;
        alone.push(start.elapsed());
    }
    let start = Instant::now();
    let callers: FuturesUnordered<_> = (0..CONCURRENT)
        .map(|_| async {
            let mut connection = Connection::open(emulator).await?;
            let mut done = 0_usize;
            while start.elapsed() < window {
                call(&mut connection).await?;
                done += 1;
            }
            anyhow::Ok(done)
        })
        .collect();
    let done = callers.collect::<Vec<_>>().await.into_iter().sum::<anyhow::Result<usize>>()?;
    Ok(json!({
        "alone": alone.shown(),
        "concurrent": CONCURRENT,
        "per_second": (real(done) / start.elapsed().as_secs_f64()).round(),
    }))
}

/// Measures a name's way through a stream: from its XADD to the reader that blocks for it.
pub(crate) async fn hops(socket: &Path, count: usize) -> anyhow::Result<Value> {
    let (mut writer, mut reader) = (Redis::open(socket).await?, Redis::open(socket).await?);
    writer.ask("XGROUP CREATE bench:hops readers $ MKSTREAM").await?;
    let mut took = Times::default();
    for _ in 0..count {
        reader.say("XREADGROUP GROUP readers one COUNT 1 BLOCK 5000 STREAMS bench:hops >").await?;
        // Redis has seen the reader's question when it answers this one.
        writer.ask("PING").await?;
        let start = Instant::now();
        writer.say("XADD bench:hops * id 01890a5d-ac96-774b-bcce-b302099a8057 kind ask sent_at 1764000000000").await?;
        ensure!(!reader.hear().await?.is_empty(), "a name was lost");
        took.push(start.elapsed());
        writer.hear().await?;
    }
    writer.ask("DEL bench:hops").await?;
    Ok(took.shown())
}
