use super::*;
use uuid::Uuid;

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000).plus(Duration::from_secs(secs))
}

fn course(state: State) -> Course {
    Course {
        state,
        ring: 1,
        rings: 3,
        max_failed: 0,
        until: at(100_000),
        opens: None,
    }
}

fn part(number: u128, ring: i32, step: Step) -> Part {
    Part {
        id: RolloutPartId(Uuid::from_u128(number)),
        ring,
        step,
        since: at(0),
    }
}

fn ids(parts: &[RolloutPartId]) -> Vec<u128> {
    parts.iter().map(|id| id.0.as_u128()).collect()
}

#[test]
fn rings_are_as_large_as_was_said_and_the_rest_is_one_more() {
    let count = |sizes: &[Size], all| {
        let rings = rings(sizes, all);
        let last = rings.last().copied().unwrap_or(0);
        (1..=last)
            .map(|ring| rings.iter().filter(|one| **one == ring).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(count(&USUAL, 200), [1, 20, 179]);
    assert_eq!(count(&USUAL, 1), [1]);
    assert_eq!(count(&USUAL, 3), [1, 1, 1]);
    let three = [1, 3, 8].map(Size::Count);
    assert_eq!(count(&three, 12), [1, 3, 8]);
    assert_eq!(count(&three, 14), [1, 3, 8, 2]);
    assert_eq!(count(&three, 2), [1, 1]);
    assert_eq!(Size::parse("10%"), Some(Size::Percent(10)));
    assert_eq!(Size::parse("3"), Some(Size::Count(3)));
    for text in ["0", "0%", "101%", "many", "-1", ""] {
        assert_eq!(Size::parse(text), None, "{text}");
    }
}

#[test]
fn a_ring_begins_when_everybody_in_the_one_before_is_well() {
    use Step::{Away, Done, Installing, Soaking, Waiting};
    let of = |steps: [Step; 4]| {
        let parts: Vec<Part> = (1..)
            .zip(steps)
            .zip([1, 2, 2, 3])
            .map(|((number, step), ring)| part(number, ring, step))
            .collect();
        let next = next(course(State::Running), &parts, at(60));
        (next.ring, ids(&next.begin))
    };
    assert_eq!(of([Waiting, Waiting, Waiting, Waiting]), (1, vec![1]));
    assert_eq!(of([Installing, Waiting, Waiting, Waiting]), (1, vec![]));
    assert_eq!(of([Soaking, Waiting, Waiting, Waiting]), (1, vec![]));
    assert_eq!(of([Done, Waiting, Waiting, Waiting]), (2, vec![2, 3]));
    assert_eq!(of([Done, Done, Installing, Waiting]), (2, vec![]));
    assert_eq!(of([Done, Done, Done, Waiting]), (3, vec![4]));
    // Who is away is left for later, unless nobody showed yet how it goes.
    assert_eq!(of([Away, Waiting, Waiting, Waiting]), (1, vec![]));
    assert_eq!(of([Done, Done, Away, Waiting]), (3, vec![4]));
}

#[test]
fn too_many_failures_stop_it_and_what_was_ordered_goes_on() {
    use Step::{Downloading, Failed, Installing, Untouched, Waiting};
    let steps = [Failed, Installing, Downloading, Waiting];
    let parts: Vec<Part> = (1..)
        .zip(steps)
        .map(|(number, step)| part(number, 1, step))
        .collect();
    let stopped = next(course(State::Running), &parts, at(60));
    assert_eq!(stopped.state, State::Stopped);
    assert_eq!(stopped.because.as_deref(), Some("a router failed"));
    let over: Vec<(u128, Step)> = stopped
        .over
        .iter()
        .map(|(id, step)| (id.0.as_u128(), *step))
        .collect();
    assert_eq!(over, [(3, Untouched), (4, Untouched)]);
    let lenient = Course {
        max_failed: 1,
        ..course(State::Running)
    };
    let goes_on = next(lenient, &parts, at(60));
    assert_eq!(
        (goes_on.state, ids(&goes_on.begin)),
        (State::Running, vec![4])
    );
}

#[test]
fn who_was_away_is_tried_again_and_missed_at_the_end() {
    let parts = [part(1, 1, Step::Done), part(2, 1, Step::Away)];
    let soon = next(course(State::Running), &parts, at(60));
    assert_eq!((ids(&soon.begin), soon.again), (vec![], Some(at(600))));
    let again = next(course(State::Running), &parts, at(600));
    assert_eq!(ids(&again.begin), [2]);
    let late = next(course(State::Running), &parts, at(100_000));
    assert_eq!(late.state, State::Done);
    assert_eq!(late.over, [(parts[1].id, Step::Missed)]);
    // Nobody is begun with while it is paused, and it ends all the same.
    let paused = next(course(State::Paused), &parts, at(600));
    assert_eq!(
        (ids(&paused.begin), paused.again),
        (vec![], Some(at(100_000)))
    );
    assert_eq!(
        next(course(State::Paused), &parts, at(100_000)).state,
        State::Done
    );
}

#[test]
fn nobody_is_begun_with_while_the_window_is_shut() {
    let parts = [part(1, 1, Step::Waiting)];
    let shut = Course {
        opens: Some(at(7_200)),
        ..course(State::Running)
    };
    let next = next(shut, &parts, at(60));
    assert_eq!((ids(&next.begin), next.again), (vec![], Some(at(7_200))));
}

#[test]
fn a_window_is_of_the_tenants_clock_and_may_go_over_midnight() {
    let nairobi = TimeZone::fixed(jiff::tz::offset(3));
    // 2027-01-15 08:00 UTC is 11:00 there.
    let eleven = at(0);
    let window = |from: i16, to: i16| Window {
        from: from * 60,
        to: to * 60,
    };
    for (from, to, open) in [
        (10, 12, true),
        (11, 12, true),
        (8, 11, false),
        (22, 12, true),
        (22, 4, false),
    ] {
        assert_eq!(
            window(from, to).is_open(eleven, &nairobi),
            open,
            "{from} to {to}"
        );
    }
    assert_eq!(window(22, 4).opens(eleven, &nairobi), at(11 * 3600));
    assert_eq!(window(2, 4).opens(eleven, &nairobi), at(15 * 3600));
}

#[test]
fn only_what_was_asked_for_is_installed() {
    let told = |installed: &str, latest: &str| FirmwareV1 {
        installed: installed.to_owned(),
        latest: latest.to_owned(),
        channel: "stable".to_owned(),
        board: Some(("7.18".to_owned(), installed.to_owned())),
        ..FirmwareV1::default()
    };
    let wish = Wish {
        release: None,
        board: false,
        downgrade: false,
    };
    let takes = |release: &str, downgrade| Verdict::Install {
        release: release.to_owned(),
        downgrade,
    };
    assert_eq!(
        verdict(wish, None, &told("7.18.2", "7.19")),
        takes("7.19", false)
    );
    assert_eq!(verdict(wish, None, &told("7.19", "7.19")), Verdict::Nothing);
    let board = Wish {
        board: true,
        ..wish
    };
    assert_eq!(verdict(board, None, &told("7.19", "7.19")), Verdict::Board);
    assert_eq!(
        verdict(wish, None, &told("7.20", "7.19")),
        Verdict::Newer("7.20".to_owned())
    );
    let older = Wish {
        downgrade: true,
        ..wish
    };
    assert_eq!(
        verdict(older, None, &told("7.20", "7.19")),
        takes("7.19", true)
    );
    let named = Wish {
        release: Some("7.19"),
        ..wish
    };
    assert!(matches!(
        verdict(named, None, &told("7.18", "7.20")),
        Verdict::Refuse(_)
    ));
    assert!(matches!(
        verdict(wish, Some("7.19"), &told("7.18", "7.20")),
        Verdict::Refuse(_)
    ));
    assert!(matches!(
        verdict(wish, None, &told("7.18", "")),
        Verdict::Refuse(_)
    ));
}

#[test]
fn releases_are_compared_as_numbers() {
    let ordered = [
        "6.49.10",
        "7.9",
        "7.18beta2",
        "7.18rc1",
        "7.18rc11",
        "7.18",
        "7.18.2",
        "7.19",
    ];
    for pair in ordered.windows(2) {
        assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
    }
    assert_eq!(compare("7.18.2", "7.18.2"), Ordering::Equal);
}
