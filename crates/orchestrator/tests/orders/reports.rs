//! The built-in playbooks, as their master sees them.

use crate::fixture::{Fixture, order, states, step};
use domain::{
    order::Order,
    task::{Cause, State},
};

const HOTEL: &str = "우리 애견호텔의 겨울 예약을 늘릴 방법을 보고서로 써줘";

#[tokio::test]
async fn a_report_goes_through_a_department_to_one_text() {
    let fixture = Fixture::start(&[], &[]).await;
    let root = fixture.give(order(HOTEL, "report")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(tree.len(), 8, "classify, four specialists, one head, one verifier and the order itself");
    assert!(tree.iter().all(|task| task.state == State::Completed));
    assert_eq!(step(&tree, "synthesise")[0].agent.as_deref(), Some("marketing-head"));
    let specialists: Vec<_> = step(&tree, "analyse").iter().map(|task| task.agent.clone().unwrap()).collect();
    assert_eq!(specialists, ["customer-researcher", "campaign-planner", "content-writer", "sales-analyst"]);
    let cost: i64 = tree[1..].iter().map(|task| task.nanos.0).sum();
    assert!(cost > 0 && tree[0].nanos.0 == cost, "the order costs what its parts cost");
    assert!(tree[0].emulated, "an emulated answer is never passed off as a model's");
    let report = fixture.report(root).await;
    assert!(report.starts_with(&format!("# {HOTEL}")), "{report}");
    for part in ["마케팅", "chosen by the dispatcher", "Verification · 검증: **"] {
        assert!(report.contains(part), "{part} is missing in {report}");
    }
    fixture.stop().await;
}

#[tokio::test]
async fn a_specialist_that_fails_is_named_and_does_not_fail_the_order() {
    let fixture = Fixture::start(&[], &[]).await;
    fixture.fault("You plan campaigns", "400", None);
    let root = fixture.give(order(HOTEL, "report")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    let analyses = step(&tree, "analyse");
    assert_eq!(analyses.iter().filter(|task| task.state == State::Failed).count(), 1);
    assert!(fixture.report(root).await.contains("Missing · 빠진 의견: Campaign planner · 캠페인 기획자"));
    fixture.stop().await;
}

#[tokio::test]
async fn a_classifier_that_cannot_decide_is_replaced_by_keywords_and_the_report_says_so() {
    let fixture = Fixture::start(&[], &[]).await;
    fixture.fault("Name the one department", "misfit", None);
    let root = fixture.give(order(HOTEL, "report")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    let classify = step(&tree, "classify")[0];
    assert_eq!(classify.failure.as_ref().unwrap().cause, Cause::Misfit);
    assert_eq!(classify.calls, 1, "both tries are booked as one attempt");
    assert!(classify.nanos.0 > 0, "a misfit costs too");
    assert_eq!(step(&tree, "synthesise")[0].agent.as_deref(), Some("marketing-head"), "예약 is a keyword of marketing");
    let report = fixture.report(root).await;
    assert!(report.contains("chosen by keywords · 분류기가 결정하지 못해 핵심어로 정했습니다"), "{report}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_broadcast_asks_every_specialist_and_every_head() {
    let fixture = Fixture::start(&[], &[]).await;
    let root = fixture.give(order(HOTEL, "broadcast")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(step(&tree, "analyse").len(), 24);
    assert_eq!(step(&tree, "summarise").len(), 6);
    assert_eq!(states(&step(&tree, "synthesise")), [State::Completed]);
    fixture.stop().await;
}

#[tokio::test]
async fn an_answer_comes_from_the_named_agents_or_the_assistant() {
    let fixture = Fixture::start(&[], &[]).await;
    let alone = fixture.give(order("환불 규정이 뭐야?", "answer")).await;
    let named = Order { agents: vec!["chief".to_owned(), "nobody".to_owned()], ..order("둘 다 답해줘", "answer") };
    let named = fixture.give(named).await;
    let tree = fixture.ended(alone).await;
    assert_eq!(step(&tree, "answer")[0].agent.as_deref(), Some("assistant"));
    let tree = fixture.ended(named).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(states(&step(&tree, "answer")), [State::Completed, State::Failed]);
    let report = fixture.report(named).await;
    assert!(report.contains("답하지 못했습니다: there is no agent \"nobody\" in the roster"), "{report}");
    fixture.stop().await;
}

#[tokio::test]
async fn a_retry_pays_only_for_what_had_failed() {
    let fixture = Fixture::start(&[], &[]).await;
    fixture.fault("Your specialists have answered", "400", None);
    let root = fixture.give(order(HOTEL, "report")).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Failed);
    let failure = tree[0].failure.as_ref().unwrap();
    assert!(failure.reason.contains("synthesise") && failure.reason.contains("marketing-head"), "{}", failure.reason);
    assert_eq!(states(&step(&tree, "verify")), [State::Cancelled]);
    let before = fixture.emulator.ledger().answered;

    fixture.emulator.clear_faults();
    assert!(matches!(fixture.store.retry(root).await.unwrap(), store::Retry::Retried(_)));
    fixture.announce(root).await;
    let tree = fixture.ended(root).await;
    assert_eq!(tree[0].state, State::Completed, "{:?}", tree[0].failure);
    assert_eq!(fixture.emulator.ledger().answered - before, 2, "the head and the verifier alone were asked again");
    assert!(step(&tree, "analyse").iter().all(|task| task.attempt == 1));
    fixture.stop().await;
}

#[tokio::test]
async fn a_postgres_that_goes_away_during_the_start_is_waited_for() {
    // As a server does that is shut down: the first statement of each kind is its last.
    const AWAY: &str = "
        create sequence agents_tries;
        create sequence playbooks_tries;
        create function go_away() returns trigger language plpgsql as $$
        begin
            if nextval(tg_table_name || '_tries') = 1 then
                raise exception 'terminating connection due to administrator command' using errcode = '57P01';
            end if;
            return null;
        end $$;
        create trigger go_away before insert on agents for each statement execute function go_away();
        create trigger go_away before insert on playbooks for each statement execute function go_away();";
    let fixture = Fixture::start_after(AWAY, &[], &[]).await;
    let tried = "do $$ begin
        assert (select last_value from agents_tries) > 2 and (select last_value from playbooks_tries) = 2; end $$";
    fixture.database.sql(tried).await;
    let root = fixture.give(order("환불 규정이 뭐야?", "answer")).await;
    assert_eq!(fixture.ended(root).await[0].state, State::Completed);
    fixture.stop().await;
}
