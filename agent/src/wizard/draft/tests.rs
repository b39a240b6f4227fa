#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::setup::{ItemV1, WhichV1};
use uuid::Uuid;

use super::*;
use crate::site::Ranges;

const BEGUN: Timestamp = Timestamp::from_secs(1_800_000_000);

fn wish(port: &str) -> Wish {
    Wish {
        name: "Tower".to_owned(),
        pppoe: Some(vec![port.to_owned()]),
        hotspot: None,
        wan: None,
        agent: None,
        firewall: true,
        replaced: false,
    }
}

fn draft() -> Draft {
    let at = (Ipv4Addr::new(10, 9, 0, 2), BEGUN);
    let secret = "secret".to_owned();
    Draft::new(
        RouterId(Uuid::nil()),
        wish("ether2"),
        at,
        secret,
        "last-1".to_owned(),
    )
}

fn plan(port: &str) -> Plan {
    Plan {
        serves: ServesV1 {
            pppoe: Some(vec![port.to_owned()]),
            hotspot: None,
            bridges: Vec::new(),
            wan: "ether1".to_owned(),
            agents: Vec::new(),
            firewall: true,
        },
        version: "7.16".to_owned(),
        serial: None,
        before: Vec::new(),
    }
}

fn show(draft: &mut Draft, number: u8, now: Timestamp) {
    let offer = Offer {
        wish: wish("ether3"),
        agent: draft.agent,
        fetch: format!("digest-{number}"),
        first_password: format!("first-{number}"),
        password: format!("last-{number}"),
    };
    draft.show(offer, now);
}

fn fetch(draft: &mut Draft, from: IpAddr) {
    draft.fetched("key".to_owned(), from);
}

/// In which of its ways it let the agent in.
fn enters(draft: &mut Draft, password: &str) {
    let way = draft.logins();
    let way = way.iter().find(|one| one.is.password == password);
    draft.entered(way.unwrap());
}

/// The passwords in the order in which they are tried.
fn tries(draft: &Draft) -> Vec<String> {
    let all = draft.logins().into_iter();
    all.map(|one| one.is.password).collect()
}

/// Brought up, and the cloud's record is written.
fn serving() -> Draft {
    let mut draft = draft();
    show(&mut draft, 1, BEGUN);
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    draft.plan = Some(plan("ether2"));
    enters(&mut draft, "last-1");
    draft.end("");
    assert!(draft.is_untold());
    draft.reported = true;
    draft
}

/// Where it is entered, and by which password, as the site and the cloud hear it.
fn entered(draft: &Draft) -> (IpAddr, String) {
    let site = Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new()));
    let row = draft.row(&site).unwrap();
    let place = secret_place(DownKind::Router, draft.router.0, "api");
    let clear = site.unseal(&place, &row.api.unwrap().password).unwrap();
    (row.address, String::from_utf8(clear.to_vec()).unwrap())
}

fn ports(draft: &Draft) -> Option<Vec<String>> {
    draft.serving()?.serves.pppoe.clone()
}

/// A box's clock may jump either way when it hears the cloud: no command lasts longer by it.
#[test]
fn a_command_ends_by_any_clock() {
    let mut draft = draft();
    assert!(!draft.is_awaited(BEGUN), "no command was shown");
    draft.fetch = Some("digest".to_owned());
    let second = Duration::from_secs(1);
    assert!(draft.is_awaited(BEGUN.plus(TOKEN_LIFE.saturating_sub(second))));
    assert!(!draft.is_awaited(BEGUN.plus(TOKEN_LIFE)));
    assert!(!draft.is_awaited(BEGUN.minus(TOKEN_LIFE)));
    draft.stage = Stage::Called;
    assert!(!draft.is_awaited(BEGUN));
}

/// A command that nobody pastes, or whose script somebody else takes, does not part the box from a router that serves.
#[test]
fn a_router_that_serves_is_entered_as_before_until_it_calls() {
    let mut draft = serving();
    assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
    show(&mut draft, 2, BEGUN);
    assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
    show(&mut draft, 3, BEGUN);
    fetch(&mut draft, THERE);
    assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));
    assert_eq!(tries(&draft), ["last-1", "first-3", "last-3"]);

    draft.called(THERE, 0, BEGUN);
    assert_eq!(entered(&draft), (THERE, "first-3".to_owned()));
    assert_eq!(tries(&draft), ["first-3", "last-3", "last-1"]);
    draft.knows = Knows::Last;
    assert_eq!(entered(&draft), (THERE, "last-3".to_owned()));

    // Where it keeps the one that travelled it is that which counts until the next one calls.
    draft.plan = Some(plan("ether3"));
    enters(&mut draft, "first-3");
    draft.end(" Its login keeps it.");
    draft.reported = true;
    show(&mut draft, 4, BEGUN);
    assert_eq!(entered(&draft), (THERE, "first-3".to_owned()));
}

/// Who was not brought up yet has no password of before.
#[test]
fn a_first_attempt_is_entered_by_the_passwords_of_its_command() {
    let mut draft = draft();
    show(&mut draft, 1, BEGUN);
    assert!(
        draft
            .row(&Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new())))
            .is_none()
    );
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    assert_eq!(entered(&draft).1, "first-1");
    assert_eq!(tries(&draft), ["first-1", "last-1"]);
    draft.give_up("no".to_owned(), BEGUN);
    draft.undone("It is as before", Vec::new());
    assert!(!draft.serves() && !draft.is_untold());
}

#[test]
fn the_cloud_hears_of_each_end_and_of_what_serves_after_one_that_failed() {
    let mut draft = serving();
    assert_eq!(ports(&draft), plan("ether2").serves.pppoe);
    show(&mut draft, 2, BEGUN);
    assert!(!draft.is_untold() && draft.serves());
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    draft.plan = Some(plan("ether3"));
    draft.give_up("no".to_owned(), BEGUN);
    assert!(!draft.is_untold() && draft.serves());
    enters(&mut draft, "first-2");
    draft.undone("The router is as it was before", Vec::new());
    assert!(draft.is_untold() && draft.serves());
    assert_eq!(ports(&draft), plan("ether2").serves.pppoe);
    draft.reported = true;

    show(&mut draft, 3, BEGUN);
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    draft.plan = Some(plan("ether3"));
    draft.end("");
    assert!(draft.is_untold());
    assert_eq!(ports(&draft), plan("ether3").serves.pppoe);
}

/// Which password it has is found out where its script failed half-way, and where it never called.
#[test]
fn one_that_serves_and_did_not_import_its_script_is_looked_after() {
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    fetch(&mut draft, HERE);
    assert!(!draft.never_called(BEGUN));
    assert!(draft.never_called(BEGUN.plus(TOKEN_LIFE)));
    draft.called(HERE, 2, BEGUN);
    assert_eq!(draft.stage, Stage::Undoing);
    assert!(
        draft.why.contains("2 steps of its script failed"),
        "{}",
        draft.why
    );
    assert_eq!(entered(&draft).1, "first-2", "it imported some of it");

    let mut draft = self::draft();
    show(&mut draft, 1, BEGUN);
    fetch(&mut draft, HERE);
    assert!(
        !draft.never_called(BEGUN.plus(TOKEN_LIFE)),
        "it serves nobody"
    );
    draft.called(HERE, 2, BEGUN);
    assert_eq!(draft.stage, Stage::Failed);
}

/// When the cloud spoke of it: not while a command of it may be pasted, or more is to be told.
#[test]
fn it_is_over_when_the_cloud_knows_all_of_it() {
    let mut draft = serving();
    assert!(draft.is_over(BEGUN));
    draft.reported = false;
    assert!(!draft.is_over(BEGUN), "more is to be told");
    draft.reported = true;
    show(&mut draft, 2, BEGUN);
    assert!(!draft.is_over(BEGUN));
    assert!(draft.is_over(BEGUN.plus(TOKEN_LIFE)), "nobody pasted it");
    fetch(&mut draft, HERE);
    assert!(
        !draft.is_over(BEGUN.plus(TOKEN_LIFE)),
        "it may have imported it"
    );
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 7));

/// A board that was exchanged calls from elsewhere: all its ways are tried, and what it refused is neither told nor used.
#[test]
fn what_was_only_tried_is_neither_told_nor_forgotten() {
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    fetch(&mut draft, THERE);
    draft.called(THERE, 1, BEGUN);
    assert_eq!(tries(&draft), ["first-2", "last-2", "last-1"]);
    let first = draft.login().unwrap();
    assert_eq!((first.address, first.password.as_str()), (THERE, "first-2"));

    draft.undone("It refuses", Vec::new());
    assert!(!draft.is_untold(), "nobody knows by what it is entered");
    assert_eq!(entered(&draft), (HERE, "last-1".to_owned()));

    show(&mut draft, 3, BEGUN);
    fetch(&mut draft, HERE);
    assert_eq!(
        tries(&draft),
        ["last-1", "first-2", "last-2", "first-3", "last-3"]
    );
    draft.called(HERE, 1, BEGUN);
    enters(&mut draft, "first-2");
    draft.undone("It is as before", Vec::new());
    assert!(draft.is_untold(), "it was entered");
    assert_eq!(entered(&draft), (THERE, "first-2".to_owned()));
    draft.reported = true;
    show(&mut draft, 4, BEGUN);
    assert_eq!(tries(&draft)[0], "first-2");
    assert_eq!(draft.was.len(), 1, "the others were forgotten");
}

/// Its call was lost, and another command is taken before the half hour is over, and not pasted.
#[test]
fn a_script_that_may_have_been_imported_is_not_forgotten_for_another_one() {
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    fetch(&mut draft, HERE);
    show(&mut draft, 3, BEGUN);
    assert_eq!(entered(&draft).1, "last-1");
    assert!(tries(&draft).contains(&"first-2".to_owned()));
    let late = BEGUN.plus(TOKEN_LIFE);
    assert!(!draft.never_called(BEGUN) && draft.never_called(late));

    // Of command after command only so many are kept.
    for number in 4..40 {
        fetch(&mut draft, HERE);
        show(&mut draft, number, BEGUN);
    }
    assert_eq!(draft.was.len(), MOST_WAYS);
    assert!(draft.older.len() <= MOST_WAYS);

    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    show(&mut draft, 3, BEGUN);
    assert!(!draft.never_called(late), "nobody took a script");
    assert_eq!(draft.was.len(), 1);
}

/// The cloud speaks of it by a password of before, by the present one, or by one that this box never had.
#[test]
fn what_the_cloud_says_is_late_the_same_or_newer() {
    let known = |password: &str| Known {
        login: Some(Was {
            password: password.to_owned(),
            address: HERE,
        }),
        secret: Some("rotated".to_owned()),
    };
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    assert!(!draft.is_late(&known("last-1")), "it is so still");
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    enters(&mut draft, "last-2");
    draft.plan = Some(plan("ether3"));
    draft.end("");
    assert!(draft.is_late(&known("last-1")));
    assert!(!draft.is_late(&known("last-2")));
    assert!(!draft.is_late(&known("by-hand")));
    let site = Site::new(SealKey::new([1; 32]), Ranges::new(Vec::new()));
    let sealed = |password| site.sealed_login(draft.router, password);
    assert_eq!(draft.before(&site), [sealed("last-1")]);

    assert!(draft.is_news(&known("by-hand")));
    draft.learn(known("by-hand"));
    assert!(!draft.is_news(&known("by-hand")));
    assert_eq!(draft.secret, "rotated");
    assert_eq!(tries(&draft)[0], "by-hand");
    draft.reported = true;
    show(&mut draft, 3, BEGUN);
    assert_eq!(entered(&draft).1, "by-hand");
    fetch(&mut draft, HERE);
    draft.called(HERE, 0, BEGUN);
    enters(&mut draft, "last-3");
    let sealed = |password| site.sealed_login(draft.router, password);
    let before = ["by-hand", "last-2", "last-1"].map(sealed);
    assert_eq!(draft.before(&site), before);
}

/// Until it goes back what an earlier attempt left is not lost, nor is it taken for what stood there.
#[test]
fn what_is_left_half_way_is_what_was_touched_last() {
    let row = |menu: &str| BeforeV1 {
        item: ItemV1 {
            menu: menu.to_owned(),
            which: WhichV1::Menu { lenient: false },
            fields: Vec::new(),
        },
        rows: Vec::new(),
    };
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    draft.left = vec![row("/radius")];
    assert_eq!(draft.half_way(), [row("/radius")]);
    draft.plan = Some(plan("ether3"));
    assert_eq!(draft.half_way(), [row("/radius")], "it touched nothing");
    draft.plan.as_mut().unwrap().before = vec![row("/snmp")];
    assert_eq!(draft.half_way(), [row("/snmp")]);
}

/// A line that ran out is not worth pasting; who took a script need not be the router.
#[test]
fn a_command_that_ran_out_is_not_offered_any_more() {
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    assert!(draft.told(BEGUN).message.contains("paste it"));
    let late = draft.told(BEGUN.plus(TOKEN_LIFE)).message;
    assert!(late.contains("serves as before"), "{late}");
    assert!(late.contains("worth nothing"), "{late}");
    fetch(&mut draft, THERE);
    assert_eq!(draft.told(BEGUN).address, Some(HERE));
}

/// What a box kept before there could be more than one way.
#[test]
fn one_way_that_was_kept_is_one_of_several() {
    let mut draft = serving();
    show(&mut draft, 2, BEGUN);
    let mut kept = serde_json::to_value(&draft).unwrap();
    for (was, count) in [
        (kept["was"][0].clone(), 1),
        (serde_json::Value::Null, 0),
        (kept["was"].clone(), 1),
    ] {
        kept["was"] = was;
        let read: Draft = serde_json::from_value(kept.clone()).unwrap();
        assert_eq!(read.was.len(), count);
    }
}
