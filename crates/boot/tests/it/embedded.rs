//! Several services in one process: each has its own registry, readiness and tasks.

use boot::{Common, Life, Reader};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn services_share_a_process_but_nothing_else() {
    let stop = CancellationToken::new();
    let (one, two) = (Life::embedded("one", stop.child_token()), Life::embedded("two", stop.child_token()));
    for life in [&one, &two] {
        let numbers = prometheus::IntCounter::new("chavion_same_name_total", "The same in both.").unwrap();
        life.registry.register(Box::new(numbers)).unwrap();
    }
    one.ready.part("only one").up();
    assert!(one.ready.report().ready && !two.ready.report().ready);
    let ended = one.stop.clone();
    one.tasks.spawn("worker", async move { ended.cancelled().await });
    stop.cancel();
    let waits = |life: &Life| life.stop.clone();
    let (first, second) = (waits(&one), waits(&two));
    let ended = one
        .run(async move {
            first.cancelled().await;
            Ok(())
        })
        .await;
    one.finish(ended).await.unwrap();
    let ended = two
        .run(async move {
            second.cancelled().await;
            anyhow::bail!("망가졌다")
        })
        .await;
    assert_eq!(two.finish(ended).await.unwrap_err().to_string(), "망가졌다");
}

#[tokio::test]
async fn a_panicking_service_is_an_error() {
    let life = Life::embedded("fragile", CancellationToken::new());
    let ended = life.run(async { panic!("깨졌다") }).await;
    assert_eq!(life.finish(ended).await.unwrap_err().to_string(), "the service panicked: 깨졌다");
}

#[tokio::test]
async fn a_service_within_a_process_has_its_stop_and_its_time_to_drain() {
    let vars: BTreeMap<String, String> = [("DRAIN_SECONDS", "1"), ("ADMIN_ADDR", "127.0.0.1:0")]
        .map(|(name, text)| (name.to_owned(), text.to_owned()))
        .into();
    let mut reader = Reader::new(&vars);
    let common = Common::read(&mut reader, "127.0.0.1:0");
    reader.finish().unwrap();
    let whole = Life::start("whole", &common).await.unwrap();
    let part = whole.within("part");
    whole.stop.cancel();
    let ended = part.run(std::future::pending()).await;
    let told = part.finish(ended).await.unwrap_err().to_string();
    assert!(told.contains("did not drain within 1s"), "{told}");
    whole.end(Ok(())).await;
}
