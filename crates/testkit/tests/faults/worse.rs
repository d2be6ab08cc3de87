//! Half price under more torment than `half_price`: budgets in force, blackouts, deadlines, a master who flushes,
//! cancels and tries again, streams emptied, Postgres cut and crashed, and services killed all the while. Money must
//! agree with the providers' ledger to the nano-dollar, budgets with the charges, and no task may hang.
//! `WORSE_ORDERS` and `WORSE_SEED` make it another one.

use crate::{
    half_price::{FAULTS, HALF, check_money, check_submissions, until_clean, wait},
    stack::{Shape, Stack, order},
};
use emulator::{Options, Rule};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use std::{cell::Cell, net::SocketAddr, time::Duration};
use testkit::process::{Process, until_ready};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Faults that `half_price` does not play.
const MORE: &[(&str, u64)] = &[
    ("insufficient-quota; at=create", 2),
    ("insufficient-quota; at=upload", 1),
    ("insufficient-quota; at=item", 1),
    ("insufficient-quota; at=ask", 2),
    ("insufficient-quota; at=status", 1),
    ("529; at=ask", 5),
    ("max-tokens; at=item", 1),
    ("batch-slow; ms=3000", 3),
];

/// Draws numbers, the same ones for the same seed.
struct Dice(Cell<u64>);

impl Dice {
    fn roll(&self, sides: u64) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        (x >> 11) % sides
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_agrees_and_nothing_hangs_whoever_meddles() {
    let orders = crate::variable("WORSE_ORDERS", 40);
    let seed = u64::try_from(crate::variable("WORSE_SEED", 11)).unwrap();
    let shape = Shape {
        emulator: Options {
            brief: true,
            batch_time: Duration::from_millis(400),
            batch_day: Duration::from_secs(8),
            seed,
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
    for (fault, percent) in FAULTS.iter().chain(MORE) {
        let rule = Rule { fault: (*fault).to_owned(), percent: Some(*percent), ..Rule::default() };
        stack.emulator.script(&rule).unwrap_or_else(|error| panic!("{fault}: {error}"));
    }
    for body in [
        json!({"scope": "all", "limit": "0.02"}),
        json!({"scope": "provider", "name": "openai", "limit": "0.004"}),
        json!({"scope": "provider", "name": "gemini", "period": "day", "limit": "0.002"}),
        json!({"scope": "agent", "name": "verifier", "limit": "0.004"}),
    ] {
        insist(&stack, "/api/budgets", &body).await;
    }

    let mut services = std::mem::take(&mut stack.services);
    let total = i64::try_from(orders).unwrap();
    let patience = Duration::from_secs(240) + Duration::from_millis(600) * u32::try_from(orders).unwrap();
    let dice = Dice(Cell::new(seed | 1 << 40));
    let (kills, cancels) = (Cell::new(0), Cell::new(0));
    tokio::select! {
        () = async {
            give(&stack, orders, &dice).await;
            // The torment goes on for a while, then peace must end all of it.
            tokio::time::sleep(Duration::from_secs(20)).await;
        } => {}
        () = torment(&mut services, &stack.admins, &kills) => {}
        () = meddle(&stack, &dice, &cancels) => {}
        () = weather(&stack, &dice) => {}
    }
    stack.services = services;
    stack.postgres.heal();
    stack.until_ready().await;
    make_peace(&stack).await;
    until_nothing_is_left(&stack, total, patience).await;
    let (items, nanos) = check_money(&stack).await;
    check_submissions(&stack).await;
    check_budgets(&stack).await;
    let ends = "select state, coalesce(cause, ''), coalesce(reason, ''), count(*) from tasks where parent_id is null group by 1, 2, 3 order by 4 desc limit 12";
    let asks = "select state, pace, coalesce(cause, ''), count(*), max(attempt), max(holds) from tasks where kind = 'ask' group by 1, 2, 3 order by 4 desc";
    eprintln!(
        "{orders} orders, {} kills, {} meddlings: {items} items, {nanos}; {:?}; {:?}",
        kills.get(),
        cancels.get(),
        stack.sql(ends).await,
        stack.sql(asks).await
    );
    assert_eq!(stack.redis("XLEN chavion:dead").await, ":0", "no entry is dead");
    stack.stop().await;
}

/// What is scripted ends, there is money, and every provider serves.
async fn make_peace(stack: &Stack) {
    stack.emulator.clear_faults();
    for body in [
        json!({"scope": "all", "limit": "1000"}),
        json!({"scope": "provider", "name": "openai", "limit": "1000"}),
        json!({"scope": "provider", "name": "gemini", "period": "day", "limit": "1000"}),
        json!({"scope": "agent", "name": "verifier", "limit": "1000"}),
    ] {
        insist(stack, "/api/budgets", &body).await;
    }
    for provider in ["anthropic", "openai", "gemini"] {
        insist(stack, &format!("/api/blackouts/{provider}/end"), &json!({})).await;
    }
    for row in stack.sql("select name from budgets where scope = 'order'").await {
        insist(stack, "/api/budgets", &json!({"scope": "order", "name": row[0], "limit": "100"})).await;
    }
}

/// Every order, task, item and batch ends, and no money stays aside.
async fn until_nothing_is_left(stack: &Stack, total: i64, patience: Duration) {
    let ended = "select count(*) from tasks where parent_id is null and state in ('completed', 'failed', 'cancelled')";
    wait(stack, "every order ended", ended, total, patience).await;
    until_clean(stack, patience).await;

    let lost = "select count(*) from tasks t where state = 'in_progress' and lease_until is null and kind = 'ask' and not exists (select from batch_items i where i.task_id = t.id and i.attempt = t.attempt and i.state in ('queued', 'submitted'))";
    assert_eq!(stack.count(lost).await, 0, "an ask that nobody will ever move");
    let open = "select count(*) from tasks where state not in ('completed', 'failed', 'cancelled')";
    wait(stack, "every task ended", open, 0, patience).await;
    let items = "select count(*) from batch_items where state in ('queued', 'submitted')";
    wait(stack, "every item ended", items, 0, patience).await;
    let aside = "select count(*) from reservations";
    wait(stack, "no money is set aside", aside, 0, patience).await;
}

async fn give(stack: &Stack, orders: usize, dice: &Dice) {
    let bodies: Vec<Value> = (0..orders)
        .map(|number| {
            let mut body = order(&format!("주문 {number}: 겨울 예약을 늘릴 방법"), "half");
            body["pace"] = "batch".into();
            if dice.roll(3) == 0 {
                body["budget"] = ["0.00001", "0.001", "0.01", "0.5"][usize::try_from(dice.roll(4)).unwrap()].into();
            }
            if dice.roll(3) == 0 {
                // The later rounds need six minutes at pace now, so the first has a few seconds.
                let seconds = 364 + i64::try_from(dice.roll(60)).unwrap();
                let deadline = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
                body["deadline"] = deadline.format(&Rfc3339).unwrap().into();
            }
            body
        })
        .collect();
    let all = stream::iter(bodies.into_iter().enumerate()).map(|(number, body)| async move {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        stack.order(&body, &format!("order-{number}")).await
    });
    assert_eq!(all.buffer_unordered(4).count().await, orders);
}

/// Kills or freezes a batch-poller or an orchestrator that has come to work, as `half_price` does.
async fn torment(services: &mut [(&'static str, Process)], admins: &[(&'static str, SocketAddr)], kills: &Cell<usize>) {
    loop {
        for ((name, process), (_, admin)) in services.iter_mut().zip(admins) {
            if matches!(*name, "batch-poller" | "orchestrator") {
                until_ready(*admin).await;
                tokio::time::sleep(Duration::from_millis(1870)).await;
                kills.set(kills.get() + 1);
                if kills.get().is_multiple_of(3) && *name == "batch-poller" {
                    // For longer than a lease it knows nothing of the world, and then goes on where it stood.
                    freeze(process, Duration::from_millis(4500)).await;
                } else {
                    process.kill_and_restart();
                }
            }
        }
    }
}

async fn freeze(process: &Process, time: Duration) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(process.id()).unwrap()).unwrap();
    let thaw = Thaw(pid);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP).unwrap();
    tokio::time::sleep(time).await;
    drop(thaw);
}

/// Lets a process go on, also when the torment ends in the middle.
pub(crate) struct Thaw(pub(crate) rustix::process::Pid);

impl Drop for Thaw {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(self.0, rustix::process::Signal::CONT);
    }
}

/// The master and the owner of the money, who cannot leave it alone.
async fn meddle(stack: &Stack, dice: &Dice, cancels: &Cell<usize>) {
    let mut limit = 20;
    loop {
        tokio::time::sleep(Duration::from_millis(300 + dice.roll(400))).await;
        cancels.set(cancels.get() + 1);
        match dice.roll(12) {
            0 => {
                post(stack, "/api/batches/flush", &json!({})).await;
            }
            1 | 2 => {
                let then = ["now", "batch", "cancel"][usize::try_from(dice.roll(3)).unwrap()];
                let live =
                    "select id::text from batches where state in ('submitting', 'running') order by random() limit 1";
                if let Some(row) = stack.sql(live).await.first() {
                    post(stack, &format!("/api/batches/{}/cancel", row[0]), &json!({"then": then})).await;
                }
            }
            3 => one(stack, "parent_id is null and live", "cancel").await,
            4 => one(stack, "kind = 'ask' and state in ('in_progress', 'queued', 'held')", "cancel").await,
            5 | 6 => one(stack, "parent_id is null and state in ('cancelled', 'failed')", "retry").await,
            7 | 8 => {
                limit += 15;
                let dollars = format!("0.{limit:03}");
                post(stack, "/api/budgets", &json!({"scope": "all", "limit": dollars})).await;
                post(stack, "/api/budgets", &json!({"scope": "provider", "name": "openai", "limit": dollars})).await;
            }
            9 => {
                let dollars = format!("0.{limit:03}");
                post(
                    stack,
                    "/api/budgets",
                    &json!({"scope": "provider", "name": "gemini", "period": "day", "limit": dollars}),
                )
                .await;
                post(stack, "/api/budgets", &json!({"scope": "agent", "name": "verifier", "limit": dollars})).await;
            }
            10 => {
                let held =
                    "select distinct root_id::text from tasks where state = 'held' and held_for = 'budget' limit 3";
                for row in stack.sql(held).await {
                    let body = json!({"scope": "order", "name": row[0], "limit": "0.5"});
                    post(stack, "/api/budgets", &body).await;
                }
            }
            _ => {
                for provider in ["anthropic", "openai", "gemini"] {
                    post(stack, &format!("/api/blackouts/{provider}/end"), &json!({})).await;
                }
            }
        }
    }
}

/// Empties Redis, cuts Postgres, crashes it.
async fn weather(stack: &Stack, dice: &Dice) {
    loop {
        tokio::time::sleep(Duration::from_millis(3000 + dice.roll(3000))).await;
        match dice.roll(4) {
            0 | 1 => {
                stack.redis("FLUSHALL").await;
            }
            2 => {
                stack.postgres.cut();
                tokio::time::sleep(Duration::from_millis(500 + dice.roll(4000))).await;
                stack.postgres.heal();
            }
            _ => stack.crash_postgres().await,
        }
    }
}

async fn one(stack: &Stack, which: &str, verb: &str) {
    let found = format!("select id::text from tasks where {which} order by random() limit 1");
    if let Some(row) = stack.sql(&found).await.first() {
        post(stack, &format!("/api/tasks/{}/{verb}", row[0]), &json!({})).await;
    }
}

/// Posts and returns the status; 0 when nobody answered. A refusal is an answer like any other here.
pub(crate) async fn post(stack: &Stack, path: &str, body: &Value) -> u16 {
    let request = stack.http.post(format!("http://{}{path}", stack.gateway)).bearer_auth(&stack.key).json(body);
    match request.send().await {
        Ok(answer) => {
            let status = answer.status().as_u16();
            if status == 400 || status == 422 {
                eprintln!("{path} {body}: {}", answer.text().await.unwrap_or_default());
            }
            status
        }
        Err(_) => 0,
    }
}

/// Posts until somebody answers who is well.
async fn insist(stack: &Stack, path: &str, body: &Value) {
    let start = std::time::Instant::now();
    while !matches!(post(stack, path, body).await, 200..300 | 404) {
        assert!(start.elapsed() < testkit::PATIENCE, "{path} {body}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What budgets say is spent is what was booked, and nothing is set aside.
async fn check_budgets(stack: &Stack) {
    let odd = "
        with sums as (
            select b.scope, b.name, b.period, b.spent_nanos, b.reserved_nanos, coalesce((
                select sum(c.nanos)::bigint from charges c join tasks t on t.id = c.task_id
                where (b.scope = 'all' or (b.scope = 'agent' and c.agent = b.name)
                    or (b.scope = 'provider' and c.provider = b.name)
                    or (b.scope = 'order' and t.root_id::text = b.name))
            ), 0) as booked
            from budgets b
        )
        select * from sums where reserved_nanos <> 0 or spent_nanos <> booked";
    assert_eq!(stack.sql(odd).await, Vec::<Vec<String>>::new(), "budgets agree with the charges");
}
