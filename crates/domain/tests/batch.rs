//! What is decided about batches: that every ask ends, that names read back, that waits are bounded.

use domain::{
    batch::{
        After, BatchState, CUSTOM_ID_BYTES, CustomId, Fault, ItemState, LAST_SUBMISSION, Limits, MOST_ITEMS, Token,
        Told, Trial, Waiting, Whole, after, give_up_at, is_due, poll_delay, retry_delay, whole,
    },
    schema,
    task::Cause,
};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};
use time::{OffsetDateTime, macros::datetime};
use uuid::Uuid;

const TOLD: [Told; 8] = [
    Told::Answer,
    Told::Misfit,
    Told::Refused,
    Told::Unfit,
    Told::Failed,
    Told::Expired,
    Told::Cancelled,
    Told::Nothing,
];
const MINUTE: Duration = Duration::from_secs(60);

/// A simple generator, so that every run tries the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[test]
fn every_ask_ends_within_a_bounded_number_of_batches() {
    let mut dice = Dice(20_261_121);
    for _ in 0..200_000 {
        let (retry, most) = (u32::try_from(dice.roll(5)).unwrap(), u32::try_from(dice.roll(5)).unwrap());
        let mut trial = Trial { tries: 1, misfits: 0, retry, fallback: dice.roll(2) == 0, most };
        let bound = i32::try_from(most.max(1) + retry).unwrap();
        loop {
            assert!(trial.tries <= bound, "{trial:?} goes on and on");
            let told = TOLD[usize::try_from(dice.roll(8)).unwrap()];
            match after(told, &trial) {
                After::Again => trial.tries += 1,
                After::Correct => {
                    trial.tries += 1;
                    trial.misfits += 1;
                }
                After::Now => {
                    assert!(trial.fallback, "it must not be asked at another pace");
                    break;
                }
                After::Complete => {
                    assert_eq!(told, Told::Answer);
                    break;
                }
                After::Fail(_) => break,
            }
        }
    }
}

#[test]
fn each_end_has_its_consequence() {
    let first = Trial { tries: 1, misfits: 0, retry: 1, fallback: true, most: 3 };
    let last = Trial { tries: 3, ..first };
    let strict = Trial { fallback: false, ..last };
    for (told, trial, expected) in [
        (Told::Answer, last, After::Complete),
        (Told::Misfit, first, After::Correct),
        (Told::Misfit, Trial { misfits: 1, ..last }, After::Fail(Cause::Misfit)),
        (Told::Refused, first, After::Fail(Cause::Refused)),
        (Told::Unfit, first, After::Now),
        (Told::Unfit, strict, After::Fail(Cause::Unavailable)),
        (Told::Failed, first, After::Again),
        (Told::Expired, last, After::Now),
        (Told::Nothing, strict, After::Fail(Cause::Exhausted)),
        // Two answers that did not fit are no failures of batches.
        (Told::Cancelled, Trial { tries: 4, misfits: 2, ..first }, After::Again),
    ] {
        assert_eq!(after(told, &trial), expected, "{told:?} after {trial:?}");
    }
    let states: Vec<ItemState> = TOLD.into_iter().map(Told::state).collect();
    assert!(states.iter().all(|state| state.has_ended()));
    assert!(
        BatchState::ALL.iter().filter(|state| state.is_over()).eq([BatchState::Settled, BatchState::Failed].iter())
    );
}

#[test]
fn names_read_back_and_have_one_width() {
    let mut dice = Dice(7);
    for _ in 0..20_000 {
        let batch = Uuid::from_u128((u128::from(dice.roll(u64::MAX)) << 64) | u128::from(dice.roll(u64::MAX)));
        let submission = 1 + i32::try_from(dice.roll(u64::try_from(LAST_SUBMISSION).unwrap())).unwrap();
        let token = Token { batch, submission };
        let item = token.item(i32::try_from(dice.roll(u64::from(MOST_ITEMS))).unwrap());
        let text = item.to_string();
        assert_eq!(text.len(), CUSTOM_ID_BYTES);
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{text}");
        assert_eq!(text.parse(), Ok(item));
        assert_eq!(token.to_string().parse(), Ok(token));
        assert!(text.starts_with(&token.to_string()));
    }
}

#[test]
fn what_is_not_ours_is_not_taken_for_ours() {
    let good = Token { batch: Uuid::from_u128(5), submission: 1 }.item(0).to_string();
    for bad in [
        "",
        "질문-1",
        "request-1",
        &good[1..],
        &good.to_uppercase().replace('0', "A"),
        &format!("{good}0"),
        &format!(" {good}"),
        &good.replace("-000000", "-00000x"),
        &good.replace("-001", "-+01"),
        &good.replace("-000000", "-０００"),
        &Uuid::from_u128(5).to_string(),
    ] {
        assert!(bad.parse::<CustomId>().is_err(), "{bad}");
        assert!(bad.parse::<Token>().is_err(), "{bad}");
    }
}

#[test]
fn polls_are_soon_at_first_and_never_too_seldom() {
    assert_eq!(poll_delay(Duration::ZERO, MINUTE), Duration::from_secs(1));
    assert_eq!(poll_delay(Duration::from_secs(100), MINUTE), Duration::from_secs(10));
    assert_eq!(poll_delay(Duration::from_secs(86_400), MINUTE), MINUTE);
    assert_eq!(poll_delay(Duration::MAX, Duration::ZERO), Duration::ZERO);
    let mut before = Duration::ZERO;
    for age in 0..1_000 {
        let delay = poll_delay(Duration::from_secs(age), MINUTE);
        assert!(delay >= before && delay <= MINUTE);
        before = delay;
    }
    assert_eq!(retry_delay(Some(Duration::from_secs(200)), Duration::ZERO, MINUTE), Duration::from_secs(200));
    assert_eq!(retry_delay(Some(Duration::MAX), Duration::ZERO, MINUTE), Duration::from_secs(3600));
    assert_eq!(retry_delay(None, Duration::from_secs(50), MINUTE), Duration::from_secs(5));
}

#[test]
fn a_group_closes_when_old_full_or_asked_for() {
    let limits = Limits { items: 100, bytes: 1_000 };
    let waiting = Waiting { items: 3, bytes: 30, oldest: Duration::from_secs(5), flush: false };
    let due = |waiting: Waiting| is_due(&waiting, &limits, Duration::from_secs(30));
    assert!(!due(waiting));
    assert!(due(Waiting { oldest: Duration::from_secs(30), ..waiting }));
    assert!(due(Waiting { items: 100, ..waiting }) && due(Waiting { bytes: 1_000, ..waiting }));
    assert!(due(Waiting { flush: true, ..waiting }) && !due(Waiting { items: 0, flush: true, ..waiting }));
}

#[test]
fn an_item_is_given_up_while_asking_still_meets_the_deadline() {
    let now = datetime!(2026-11-21 09:00 UTC);
    let give_up = |deadline: OffsetDateTime| give_up_at(Some(deadline), now, 10 * MINUTE);
    assert_eq!(give_up_at(None, now, MINUTE), None);
    assert_eq!(give_up(datetime!(2026-11-21 18:00 UTC)), Some(datetime!(2026-11-21 17:50 UTC)));
    assert_eq!(give_up(datetime!(2026-11-21 09:06 UTC)), Some(datetime!(2026-11-21 09:03 UTC)), "half is the batch's");
    assert_eq!(give_up(datetime!(2026-11-21 08:00 UTC)), Some(now), "what is late is asked at once");
}

#[test]
fn a_failed_batch_blames_lines_the_queue_or_nobody() {
    let fault = |line, message: &str| Fault { token_limit: false, line, message: message.to_owned() };
    let queue = Fault { token_limit: true, line: None, message: "Enqueued token limit reached".to_owned() };
    assert_eq!(whole(&[fault(Some(1), "잘못된 줄"), queue], 3), Whole::Later);
    let lines = [fault(Some(1), "잘못된 줄"), fault(Some(3), "모델이 다르다"), fault(Some(3), "again")];
    let blamed = BTreeMap::from([(0, "잘못된 줄".to_owned()), (2, "모델이 다르다".to_owned())]);
    assert_eq!(whole(&lines, 3), Whole::Items(blamed));
    assert_eq!(whole(&[], 3), Whole::Again);
    for faults in [vec![fault(None, "?")], vec![fault(Some(0), "?")], vec![fault(Some(4), "?")]] {
        assert_eq!(whole(&faults, 3), Whole::Apart, "{faults:?}");
    }
}

#[test]
fn an_answer_fits_or_says_what_is_wrong() {
    let schema = json!({"type": "object", "required": ["요약"], "properties": {"요약": {"type": "string"}}});
    let fenced = "여기 있습니다:\n```json\n{\"요약\": \"겨울\"}\n```";
    assert_eq!(schema::fits(Some(&schema), None, fenced), Ok(Some(json!({"요약": "겨울"}))));
    let mut checks = schema::Checks::default();
    for answer in [fenced, "겨울", "{}", fenced] {
        assert_eq!(checks.fits(Some(&schema), None, answer), schema::fits(Some(&schema), None, answer));
    }
    let broken = json!({"type": 7});
    assert_eq!(checks.fits(Some(&broken), None, fenced), schema::fits(Some(&broken), None, fenced));
    assert_eq!(schema::fits(None, None, "겨울"), Ok(None));
    assert_eq!(schema::fits(None, None, " \n"), Err("the answer is empty".to_owned()));
    assert_eq!(schema::fits(Some(&schema), None, "겨울"), Err("the answer is not JSON".to_owned()));
    let misfit = schema::fits(Some(&schema), Some(json!({"요약": 1})), "").unwrap_err();
    assert!(misfit.contains("/요약") && schema::correction(&misfit).contains(&misfit), "{misfit}");
}
