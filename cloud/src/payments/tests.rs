//! Every order of events: money moves exactly once.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const TERMS: Terms = Terms {
    asked: Cents::whole(1_000),
    confirm_above: Cents::whole(1_000),
};

fn claim(receipt: &str, amount: Option<Cents>) -> Claim {
    Claim {
        receipt: receipt.into(),
        amount,
        paid_at: None,
    }
}

fn exact() -> Claim {
    claim("SJK4H7L2PQ", Some(TERMS.asked))
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Accepted),
        Just(Event::Rejected),
        Just(Event::Silent),
        Just(Event::Paid(exact())),
        Just(Event::Claimed(exact())),
        Just(Event::Claimed(claim("SJK4H7L2PQ", Some(Cents::whole(999))))),
        Just(Event::Hinted),
        Just(Event::Failed { code: 1032 }),
        Just(Event::QueryPaid),
        Just(Event::QueryFailed { code: 1037 }),
        any::<bool>().prop_map(|over| Event::Tick { over }),
    ]
}

proptest! {
    /// Reports repeat, overtake each other and arrive late; money moves exactly once, and only on the word
    /// of a callback we believe or of our own query.
    #[test]
    fn a_paid_push_credits_exactly_once(events in prop::collection::vec(any_event(), 0..20)) {
        let paid = events
            .iter()
            .any(|event| matches!(event, Event::Paid(_) | Event::QueryPaid));

        let mut push = Push::new();
        let (mut credits, mut joins) = (0, 0);
        for event in events {
            let (next, effect) = push.apply(event, TERMS);
            push = next;
            credits += u32::from(matches!(effect, Effect::Credit(_)));
            joins += u32::from(matches!(effect, Effect::Join { .. }));
            prop_assert!(!matches!(effect, Effect::HoldAndReview(_)));
        }

        prop_assert_eq!(credits, u32::from(paid));
        prop_assert!(joins <= 1);
        let is_paid = matches!(push.state, State::Provisional | State::Posted { .. });
        prop_assert_eq!(is_paid, paid);
    }
}

/// C11: paid is final for automation; what contradicts it is for a person.
#[test]
fn a_query_that_denies_a_paid_callback_opens_a_review() {
    let (posted, _) = Push::new().apply(Event::Paid(exact()), TERMS);
    let (after, effect) = posted
        .clone()
        .apply(Event::QueryFailed { code: 1032 }, TERMS);
    assert_eq!(after, posted);
    assert!(matches!(effect, Effect::Review(_)));
}

#[test]
fn a_receipt_joins_the_credit_that_a_query_gave() {
    let (provisional, effect) = Push::new().apply(Event::QueryPaid, TERMS);
    assert!(matches!(
        effect,
        Effect::Credit(Credit { receipt: None, .. })
    ));
    let (posted, effect) = provisional.apply(Event::Claimed(exact()), TERMS);
    assert_eq!(
        effect,
        Effect::Join {
            receipt: "SJK4H7L2PQ".into()
        }
    );
    let (_, effect) = posted.apply(Event::Paid(exact()), TERMS);
    assert_eq!(effect, Effect::None);
}

#[test]
fn a_second_receipt_is_booked_only_when_believed_and_as_nobodys() {
    let other = claim("SJK4H7L2PR", Some(TERMS.asked));
    let (posted, _) = Push::new().apply(Event::Paid(exact()), TERMS);
    let (_, effect) = posted.clone().apply(Event::Paid(other.clone()), TERMS);
    assert_eq!(effect, Effect::HoldAndReview(other.clone()));
    let (_, effect) = posted.apply(Event::Claimed(other), TERMS);
    assert!(matches!(effect, Effect::Review(_)));
}

#[test]
fn what_a_callback_names_is_booked_within_reason() {
    let after_query = |amount| {
        let (push, effect) = Push::new().apply(Event::Claimed(claim("R", amount)), TERMS);
        assert_eq!(effect, Effect::Ask);
        match push.apply(Event::QueryPaid, TERMS) {
            (_, Effect::Credit(credit)) => (credit.amount, credit.review.is_some()),
            (_, other) => panic!("{other:?}"),
        }
    };
    assert_eq!(
        after_query(Some(Cents::whole(999))),
        (Cents::whole(999), false)
    );
    assert_eq!(
        after_query(Some(Cents::whole(1_001))),
        (Cents::whole(1_001), false)
    );
    assert_eq!(
        after_query(Some(Cents::new(100_050))),
        (Cents::new(100_050), false)
    );
    assert_eq!(after_query(Some(Cents::ZERO)), (TERMS.asked, true));
    assert_eq!(after_query(Some(Cents::whole(-5))), (TERMS.asked, true));
    assert_eq!(
        after_query(Some(Cents::whole(9_999_999))),
        (TERMS.asked, true)
    );
    assert_eq!(after_query(None), (TERMS.asked, true));
}

#[test]
fn only_an_exact_small_listed_callback_is_believed_at_once() {
    let judged = |amount, confirm_above, source| {
        let terms = Terms {
            asked: Cents::whole(500),
            confirm_above,
        };
        matches!(
            judge(claim("R", Some(amount)), terms, source),
            Event::Paid(_)
        )
    };
    let (asked, limit) = (Cents::whole(500), Cents::whole(1_000));
    assert!(judged(asked, limit, Source::Listed));
    assert!(!judged(asked, limit, Source::Unlisted));
    assert!(!judged(asked, limit, Source::Unknown));
    assert!(!judged(asked, Cents::whole(499), Source::Listed));
    assert!(!judged(Cents::whole(499), limit, Source::Listed));
}

#[test]
fn a_stranger_only_makes_us_ask_and_nobody_known_says_nothing_about_the_amount() {
    let terms = TERMS;
    let more = claim("R", Some(Cents::whole(1_900)));
    let told = judge(more.clone(), terms, Source::Unknown);
    assert_eq!(told, Event::Claimed(claim("R", None)));
    for claim in [more.clone(), exact()] {
        assert_eq!(judge(claim, terms, Source::Unlisted), Event::Hinted);
    }
    assert_eq!(
        judge(more.clone(), terms, Source::Listed),
        Event::Claimed(more)
    );
    assert_eq!(
        judge(exact(), terms, Source::Unknown),
        Event::Claimed(exact())
    );
}

#[test]
fn a_phone_that_never_answered_is_no_question_for_a_person() {
    let refused = |code| {
        let (push, _) = Push::new().apply(Event::QueryFailed { code }, TERMS);
        push
    };
    let away = refused(1037);
    assert!(away.is_worth_asking() && !away.is_undecided());
    let (claimed, _) = refused(1).apply(Event::Claimed(exact()), TERMS);
    assert!(claimed.is_undecided());
    assert!(Push::new().is_undecided());
}

#[test]
fn the_provider_is_asked_less_and_less_for_a_day() {
    let mut age = Duration::ZERO;
    let mut asked = Vec::new();
    while let Some(next) = next_query(age) {
        asked.push(next.as_secs());
        age = next;
    }
    assert_eq!(asked[..7], [10, 20, 40, 80, 160, 300, 600]);
    assert_eq!(asked.iter().filter(|at| **at <= 7_200).count(), 5 + 24);
    assert_eq!(*asked.last().unwrap(), 86_400);
    assert_eq!(asked.len(), 5 + 24 + 22);
}
