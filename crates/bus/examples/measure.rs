//! Measures the bus on a Redis of one's own: `measure URL` prints entries per second, the latency of
//! one entry when idle, and what six idle consumers cost. Uses the prefix `measure:` and takes a minute.

#![expect(
    clippy::print_stdout,
    clippy::as_conversions,
    clippy::unwrap_used,
    reason = "a tool for developers, not a service"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bus::{Bus, ConsumerOptions, Delivery, Entry, Lane, Options, Topic};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TOPIC: Topic = Topic::new("measured", "measure");
const ENTRIES: usize = 200_000;
const IDLE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let options = Options { url: url.as_str().into(), prefix: "measure:".to_owned(), replica: "m".to_owned() };
    let bus = Bus::connect(&options, &prometheus::Registry::new()).unwrap();
    for producers in [1, 4] {
        println!("entries/s, slices of 128, {producers} producers: {:.0}", throughput(&bus, producers, 128).await);
    }
    println!("entries/s announced one by one by 64 producers: {:.0}", throughput(&bus, 64, 1).await);
    latency(&bus).await;
    idle(&bus, &url).await;
}

fn start<F>(
    bus: &Bus,
    topic: Topic,
    handler: impl Fn(Vec<Delivery>) -> F + Send + Sync + 'static,
) -> (CancellationToken, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (stop, mut running) = (CancellationToken::new(), JoinSet::new());
    running.spawn(bus.consumer(topic, ConsumerOptions::default()).run(stop.clone(), handler));
    (stop, running)
}

async fn throughput(bus: &Bus, producers: usize, slice: usize) -> f64 {
    let total = ENTRIES / if slice == 1 { 4 } else { 1 };
    let handled = Arc::new(AtomicUsize::new(0));
    let count = handled.clone();
    let (stop, mut running) = start(bus, TOPIC, move |deliveries| {
        count.fetch_add(deliveries.len(), Ordering::Relaxed);
        deliveries.into_iter().for_each(Delivery::ack);
        std::future::ready(())
    });
    let (begun, mut announcing) = (Instant::now(), JoinSet::new());
    for _ in 0..producers {
        let bus = bus.clone();
        announcing.spawn(async move {
            for _ in 0..total / producers / slice {
                let entry = || (TOPIC, Lane::Normal, Entry::new(Uuid::now_v7(), "ask", None));
                bus.announce(&(0..slice).map(|_| entry()).collect::<Vec<_>>()).await.unwrap();
            }
        });
    }
    announcing.join_all().await;
    while bus.depths().await.unwrap().iter().any(|depth| depth.waiting + depth.pending > 0) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let rate = handled.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.cancel();
    running.join_next().await;
    rate
}

async fn latency(bus: &Bus) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let (stop, mut running) = start(bus, TOPIC, move |deliveries| {
        for delivery in deliveries {
            sender.send(Instant::now()).unwrap();
            delivery.ack();
        }
        std::future::ready(())
    });
    let mut micros = Vec::new();
    for _ in 0..2000 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        let begun = Instant::now();
        bus.announce(&[(TOPIC, Lane::Normal, Entry::new(Uuid::now_v7(), "ask", None))]).await.unwrap();
        micros.push(receiver.recv().await.unwrap().duration_since(begun).as_micros());
    }
    micros.sort_unstable();
    println!("announce to handler, idle: p50 {:?} us, p99 {:?} us", micros.get(1000), micros.get(1980));
    stop.cancel();
    running.join_next().await;
}

async fn idle(bus: &Bus, url: &str) {
    let topics = ["one", "two", "three", "four", "five", "six"].map(|name| Topic::new(name, "measure"));
    let running: Vec<_> = topics.map(|topic| start(bus, topic, |_| std::future::ready(()))).into();
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    redis::cmd("CONFIG").arg("RESETSTAT").exec_async(&mut connection).await.unwrap();
    tokio::time::sleep(IDLE).await;
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
    for line in stats.lines().filter(|line| line.starts_with("cmdstat_")) {
        println!("idle, six consumers, {IDLE:?}: {}", line.split(',').next().unwrap_or_default());
    }
    for (stop, mut running) in running {
        stop.cancel();
        running.join_next().await;
    }
}
