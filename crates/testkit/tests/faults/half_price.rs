//! Half price under torment, on real processes: orders at pace batch over three providers that do everything wrong
//! that providers were seen to do, while batch-pollers and orchestrators are killed with -9. Every order ends with a
//! true reason, nothing is submitted twice, and what the providers billed is booked to the nano-dollar.
//! `SOAK_ORDERS` and `SOAK_GAP_MS` make it long.

use crate::stack::{Shape, Stack, order};
use domain::money::{Factor, Nanos, Usage};
use emulator::{Entry, Options, Rule};
use futures_util::{StreamExt as _, stream};
use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    time::{Duration, Instant},
};
use testkit::process::{Process, until_ready};
use time::OffsetDateTime;

/// Two stages, five asks, three providers; one answer must satisfy a schema.
pub(crate) const HALF: &str = r#"
name = "half"
description = "Two rounds of batches."

[[step]]
id = "facts"
for_each = "['market-analyst', 'competitor-analyst', 'business-modeller']"
agent = "{{ item }}"
prompt = "{{ order.text }}"
tolerate = "some"

[[step]]
id = "rate"
needs = ["facts"]
agent = "verifier"
prompt = "{% for answer in steps.facts.answers %}{{ answer.text }}{% endfor %} {{ order.text }}"
retry = 2
[step.schema]
type = "object"
required = ["점수"]
additionalProperties = false
[step.schema.properties."점수"]
type = "integer"

[[step]]
id = "last"
needs = ["rate"]
agent = "chief"
prompt = "{{ steps.rate.text }} {{ order.text }}"
"#;

/// What goes wrong, and how often of a hundred. `at` says where: see the emulator's table of faults.
pub(crate) const FAULTS: &[(&str, u64)] = &[
    // Items.
    ("item-missing", 2),
    ("item-duplicate", 3),
    ("item-expired", 2),
    ("item-cancelled", 2),
    ("item-timeout", 2),
    ("500; at=item", 2),
    ("400; at=item", 1),
    ("misfit; at=item", 3),
    ("refusal; at=item", 1),
    ("empty; at=item", 1),
    ("malformed; at=item", 1),
    ("unknown-stop; at=item", 1),
    // Batches.
    ("batch-failed; type=token_limit_exceeded", 3),
    ("batch-failed; type=invalid_json_line; line=1", 2),
    ("batch-expired; done=50", 3),
    ("batch-expired; done=50; silent=true", 2),
    ("batch-cancelled; done=50", 2),
    ("batch-stuck", 2),
    ("batch-unknown-state", 4),
    ("batch-only-errors", 2),
    ("batch-empty-error-id", 10),
    ("batch-hidden; ms=300", 10),
    ("batch-unlisted; ms=300", 10),
    ("batch-inline; provider=gemini", 10),
    ("batch-job-prefix; provider=gemini", 20),
    // Calls.
    ("reset; at=create; committed=true", 5),
    ("reset; at=create", 3),
    ("503; at=create; committed=true", 4),
    ("503; at=create", 3),
    ("429; at=create; retry-after=1", 4),
    ("429; at=create; retry-after-ms=200", 3),
    ("529; at=create", 2),
    ("reset; at=upload; committed=true", 3),
    ("500; at=upload", 3),
    ("reset; at=status", 2),
    ("503; at=status", 2),
    ("404; at=status; times=20", 3),
    ("reset; at=list", 3),
    ("500; at=list", 3),
    ("cut-body; at=results", 5),
    ("cut-stream; at=results; after=3", 4),
    ("crlf; at=results", 10),
    ("split-utf8; at=results", 10),
    ("404; at=results; times=20", 3),
    ("500; at=delete", 5),
    ("500; at=cancel", 5),
];

/// Reasons for which an ask may fail here: its own request was refused, its answers never fitted, its model refused.
const TRUE_CAUSES: [&str; 4] = ["refused", "misfit", "exhausted", "need_failed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_billed_is_booked_once_whatever_happens() {
    let orders = crate::variable("SOAK_ORDERS", 60);
    let shape = Shape {
        emulator: Options {
            brief: true,
            batch_time: Duration::from_millis(400),
            batch_day: Duration::from_secs(8),
            seed: u64::try_from(crate::variable("SOAK_SEED", 7)).unwrap(),
            ..Options::default()
        },
        providers: &["ANTHROPIC", "OPENAI", "GEMINI"],
        orchestrators: 2,
        pollers: 2,
        variables: &[
            ("BATCH_WINDOW_SECONDS", "0.5"),
            ("BATCH_POLL_SECONDS", "0.5"),
            ("BATCH_PATIENCE_SECONDS", "5"),
            ("LOOKUP_GRACE_SECONDS", "1"),
        ],
    };
    let mut stack = Stack::start(shape, &[("half.toml", HALF)]).await;
    for (fault, percent) in FAULTS {
        let rule = Rule { fault: (*fault).to_owned(), percent: Some(*percent), ..Rule::default() };
        stack.emulator.script(&rule).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }

    let mut services = std::mem::take(&mut stack.services);
    let total = i64::try_from(orders).unwrap();
    let patience = Duration::from_secs(150) + Duration::from_millis(300) * u32::try_from(orders).unwrap();
    let began = Instant::now();
    let kills = Cell::new(0);
    tokio::select! {
        () = async { give(&stack, orders).await; until_ended(&stack, total, patience).await } => {}
        () = torment(&mut services, &stack.admins, &kills) => {}
    }
    stack.services = services;
    stack.until_ready().await;
    until_clean(&stack, patience).await;

    check_ends(&stack, total).await;
    let (items, nanos) = check_money(&stack).await;
    check_submissions(&stack).await;
    let played = stack.emulator.ledger().faults;
    eprintln!(
        "{orders} orders, {} kills, {:?}: {items} items billed and booked, {nanos}; faults played: {played:?}",
        kills.get(),
        began.elapsed()
    );
    stack.stop().await;
}

async fn give(stack: &Stack, orders: usize) {
    let gap = Duration::from_millis(u64::try_from(crate::variable("SOAK_GAP_MS", 20)).unwrap());
    let all = stream::iter(0..orders).map(|number| async move {
        // Spread out, so that there are many batches in every step when something dies.
        tokio::time::sleep(gap * 4).await;
        let mut body = order(&format!("주문 {number}: 겨울 예약을 늘릴 방법"), "half");
        body["pace"] = "batch".into();
        stack.order(&body, &format!("order-{number}")).await
    });
    assert_eq!(all.buffer_unordered(4).count().await, orders);
}

/// Kills a batch-poller or an orchestrator every second or two, for as long as it is polled. Each has come to work
/// before: what dies with its reader five times without having been begun counts as poison, and on a busy machine a
/// process may need all the time between two deaths to start.
async fn torment(services: &mut [(&'static str, Process)], admins: &[(&'static str, SocketAddr)], kills: &Cell<usize>) {
    loop {
        for ((name, process), (_, admin)) in services.iter_mut().zip(admins) {
            if matches!(*name, "batch-poller" | "orchestrator") {
                until_ready(*admin).await;
                // No multiple of anything: deaths fall into every step.
                tokio::time::sleep(Duration::from_millis(1370)).await;
                process.kill_and_restart();
                kills.set(kills.get() + 1);
            }
        }
    }
}

async fn until_ended(stack: &Stack, total: i64, patience: Duration) {
    let ended = "select count(*) from tasks where parent_id is null and state in ('completed', 'failed', 'cancelled')";
    wait(stack, "every order ended", ended, total, patience).await;
}

pub(crate) async fn until_clean(stack: &Stack, patience: Duration) {
    // Items that nobody waits for any more are booked all the same.
    let open = "select count(*) from batches where cleaned_at is null";
    wait(stack, "every batch is settled and cleaned up", open, 0, patience).await;
}

pub(crate) async fn wait(stack: &Stack, what: &str, sql: &str, wanted: i64, patience: Duration) {
    let start = Instant::now();
    loop {
        let seen = stack.count(sql).await;
        if seen == wanted {
            return;
        }
        if start.elapsed() > patience {
            let live = "select kind, state, pace, held_for, count(*), min(attempt), max(attempt), min(reason) from tasks where state not in ('completed', 'failed', 'cancelled') group by 1, 2, 3, 4";
            let batches = "select provider, state, remote_state, count(*), min(note), min(due_at - now()) from batches where cleaned_at is null group by 1, 2, 3";
            panic!(
                "waited {patience:?} in vain until {what}: {seen} is not {wanted}; tasks: {:?}; batches: {:?}",
                stack.sql(live).await,
                stack.sql(batches).await
            );
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn check_ends(stack: &Stack, total: i64) {
    let failed = "select kind, cause, coalesce(reason, ''), count(*) from tasks where state = 'failed' group by 1, 2, 3 order by 4 desc";
    let failed = stack.sql(failed).await;
    for row in &failed {
        assert!(TRUE_CAUSES.contains(&row[1].as_str()), "no true cause: {row:?}");
        assert!(row[2].len() > 10, "no reason: {row:?}");
    }
    let lost: usize = failed.iter().filter(|row| row[0] == "plan").map(|row| row[3].parse::<usize>().unwrap()).sum();
    assert!(i64::try_from(lost).unwrap() < total / 4, "{lost} orders of {total} failed: {failed:?}");
    let odd = "select state, count(*) from tasks where state not in ('completed', 'failed', 'cancelled') group by 1";
    assert_eq!(stack.sql(odd).await, Vec::<Vec<String>>::new(), "no task is left");
    let items = "select count(*) from batch_items where state in ('queued', 'submitted')";
    assert_eq!(stack.count(items).await, 0, "no item is left");
    assert_eq!(stack.count("select count(*) from reservations").await, 0, "no money is set aside any more");
    assert_eq!(stack.redis("XLEN chavion:dead").await, ":0", "no entry is dead");
}

/// Holds the providers' ledger against ours, item by item.
pub(crate) async fn check_money(stack: &Stack) -> (usize, Nanos) {
    let rows = "select replace(i.batch_id::text, '-', ''), i.seq, c.input, c.cache_read, c.cache_write + c.cache_write_hour, c.output, c.nanos, c.model, i.task_id, i.state from batch_items i left join charges c on c.task_id = i.task_id and c.attempt = i.attempt where i.batch_id is not null";
    let ours: HashMap<(String, i64), Vec<String>> =
        stack.sql(rows).await.into_iter().map(|row| ((row[0].clone(), row[1].parse().unwrap()), row)).collect();
    let ledger = stack.emulator.ledger();
    assert_eq!(ledger.unlisted, 0, "the emulator's ledger is whole");
    let billed: Vec<&Entry> = ledger.requests.iter().filter(|entry| entry.pace == "batch").collect();
    let mut seen = HashSet::new();
    let mut sum = Nanos(0);
    let mut damaged = 0;
    for entry in &billed {
        let key = place(entry);
        let row = ours.get(&key).unwrap_or_else(|| panic!("billed, but no item of ours: {entry:?}"));
        assert!(seen.insert(key), "billed twice: {entry:?}");
        if entry.damaged {
            // Its line was no JSON: what nobody can read, nobody can book. It is asked again.
            let unread = ["missing", "cancelled", "expired"].contains(&row[9].as_str());
            assert!(row[6].is_empty() && unread, "a damaged line: {entry:?} {row:?}");
            damaged += 1;
            continue;
        }
        let tokens = [entry.input, entry.cache_read, entry.cache_write, entry.output];
        let booked: Vec<u64> = row[2..6].iter().map(|text| text.parse().unwrap_or(u64::MAX)).collect();
        assert_eq!(booked, tokens, "billed otherwise than booked: {entry:?} {row:?}");
        let nanos = price(entry);
        assert_eq!(row[6], nanos.0.to_string(), "another price: {entry:?} {row:?}");
        sum += nanos;
    }
    let charges = "select count(*), coalesce(sum(nanos), 0) from charges where pace = 'batch'";
    let charges = stack.sql(charges).await;
    let booked = billed.len() - damaged;
    assert_eq!(charges[0][0], booked.to_string(), "every charge at pace batch was billed");
    assert_eq!(charges[0][1], sum.0.to_string(), "to the nano-dollar");
    let saved = "select count(*) from charges where pace = 'batch' and abs(list_nanos - 2 * nanos) > 1";
    assert_eq!(stack.count(saved).await, 0, "half of the price at pace now");
    (booked, sum)
}

/// Takes the batch and the number of an item out of its name; the submission between them does not count.
fn place(entry: &Entry) -> (String, i64) {
    let name = entry.custom_id.as_deref().unwrap_or_default();
    let parts: Vec<&str> = name.split('-').collect();
    assert_eq!(parts.len(), 3, "{name} names batch, submission and number");
    (parts[0].to_owned(), parts[2].parse().unwrap())
}

fn price(entry: &Entry) -> Nanos {
    let prices = providers::Catalogue::built_in().unwrap().prices;
    let tokens = |count: u64| i64::try_from(count).unwrap();
    let usage = Usage {
        input: tokens(entry.input),
        cache_read: tokens(entry.cache_read),
        cache_write: tokens(entry.cache_write),
        cache_write_hour: 0,
        output: tokens(entry.output),
    };
    let model = format!("{}/{}", entry.provider, entry.model);
    prices.cost(&usage, &model, OffsetDateTime::now_utc().date(), Factor::HALF).unwrap()
}

/// No item was in two batches that may both have answered: an item has one row for each attempt, an attempt one
/// batch, and of the submissions of a batch at most one came to anything.
pub(crate) async fn check_submissions(stack: &Stack) {
    let twice = "select task_id from batch_items where state = 'succeeded' group by task_id having count(*) > 3";
    assert_eq!(stack.sql(twice).await, Vec::<Vec<String>>::new(), "answers are asked again for a misfit alone");
    let ledger = stack.emulator.ledger();
    let mut remotes: BTreeMap<String, HashSet<&str>> = BTreeMap::new();
    for entry in ledger.requests.iter().filter(|entry| entry.pace == "batch") {
        remotes.entry(place(entry).0).or_default().insert(entry.batch_id.as_deref().unwrap_or_default());
    }
    for (batch, remotes) in remotes {
        assert_eq!(remotes.len(), 1, "batch {batch} was answered by {remotes:?}");
    }
}
