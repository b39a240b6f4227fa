#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::IpAddr;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Live, Reason};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::net::Mac;
use easyisp_shared::wire::down::{MovingV1, RouterApiV1, RouterV1, secret_place};
use easyisp_shared::wire::{Down, DownKind, DownRecord};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::description::{Description, customer_id, package_id, router_id};
use super::*;
use crate::radius::Secret;

#[test]
fn a_described_site_decides() {
    let (site, _) = given_site();
    let verdict = |name: &[u8]| {
        let subscriber = site.subscriber(name).unwrap();
        site.verdict(&subscriber, &Live::default(), at(500))
    };
    assert_eq!(verdict(b"demo001").answer, Answer::Accept);
    assert_eq!(verdict(b"demo021").reason, Reason::Expired);
    assert!(site.subscriber(b"nobody").is_none());
}

#[test]
fn a_row_that_cannot_be_read_changes_nothing() {
    let (site, rows) = given_site();
    for mut row in rows {
        row.body = Some(vec![0xFF; 3]);
        assert_eq!(site.apply(&row), Touched::Nobody);
        row.kind = 999;
        assert_eq!(site.apply(&row), Touched::Nobody);
    }
    assert_eq!(site.subscriber_count(), 2);
}

#[test]
fn a_renamed_subscriber_is_found_under_the_new_name_only() {
    let (site, _) = given_site();
    let mut row = subscriber_row(&site, b"demo001");
    row.username = b"renamed".to_vec();
    put(&site, Down::Subscriber(row), customer_id("demo001").0);

    assert!(site.subscriber(b"demo001").is_none());
    assert_eq!(
        site.subscriber(b"renamed").unwrap().id,
        customer_id("demo001")
    );

    site.apply(&DownRecord {
        kind: DownKind::Subscriber.code(),
        id: customer_id("demo001").0,
        version: 9,
        body: None,
    });
    assert!(site.subscriber(b"renamed").is_none());
}

/// The old holder of a name leaves after the new one came: the name stays with the new one.
#[test]
fn a_name_passed_on_survives_its_old_holder() {
    let (site, _) = given_site();
    let mut row = subscriber_row(&site, b"demo021");
    row.username = b"demo001".to_vec();
    put(&site, Down::Subscriber(row), customer_id("demo021").0);
    site.apply(&DownRecord {
        kind: DownKind::Subscriber.code(),
        id: customer_id("demo001").0,
        version: 9,
        body: None,
    });
    assert_eq!(
        site.subscriber(b"demo001").unwrap().id,
        customer_id("demo021")
    );
}

#[test]
fn only_another_password_says_so() {
    let (site, rows) = given_site();
    let id = customer_id("demo001");
    let row = rows.iter().find(|row| row.id == id.0).unwrap();
    let touched = |password| Touched::Customer {
        customer: id,
        password,
    };
    assert_eq!(site.apply(row), touched(PasswordChange::Same));

    let mut other = subscriber_row(&site, b"demo001");
    other.password = vec![1, 2, 3];
    let body = Some(Down::Subscriber(other).encode());
    let changed = DownRecord {
        body,
        ..row.clone()
    };
    assert_eq!(site.apply(&changed), touched(PasswordChange::Changed));
    assert!(site.subscriber(b"demo001").unwrap().password.is_none());
}

#[test]
fn a_package_edit_reaches_everybody_on_it() {
    let (site, rows) = given_site();
    let id = package_id("basic");
    let row = rows.iter().find(|row| row.id == id.0).unwrap();
    let Ok(Down::Package(mut package)) = Down::decode(row.kind, row.body.as_ref().unwrap()) else {
        panic!("a package row holds a package");
    };
    package.rate = easyisp_shared::net::RateLimit::mbps(50, 50);
    assert_eq!(
        put(&site, Down::Package(package), id.0),
        Touched::Package(id)
    );

    let subscriber = site.subscriber(b"demo001").unwrap();
    let verdict = site.verdict(&subscriber, &Live::default(), at(500));
    assert_eq!(verdict.rate.unwrap().to_mikrotik(), "50M/50M");
}

/// G6: a lease that ran out takes what was not paid, and nothing that was.
#[test]
fn past_the_lease_only_paid_time_counts() {
    let (site, _) = given_site();
    let policy = site.policy().row.clone().unwrap();
    let strict = PolicyV1 {
        lease_until: Some(at(900)),
        grace_secs: 10_000,
        ..policy
    };
    put(&site, Down::Policy(strict), Uuid::nil());
    let verdict = |now| {
        let subscriber = site.subscriber(b"demo001").unwrap();
        site.verdict(&subscriber, &Live::default(), at(now))
    };
    let reason = |now| verdict(now).reason;
    assert_eq!(reason(899), Reason::Entitled);
    assert_eq!(verdict(899).next_change, Some(at(900)), "looked at again");
    assert_eq!(reason(950), Reason::Entitled);
    assert_eq!(reason(1000), Reason::Expired);
}

#[test]
fn a_router_is_known_by_source_and_adopted_by_proof() {
    let (site, _) = given_site();
    let (home, moved): (IpAddr, IpAddr) = ([10, 1, 0, 7].into(), [192, 168, 9, 9].into());
    let abroad: IpAddr = [8, 8, 8, 8].into();
    assert!(site.knows_source(home) && !site.knows_source(moved));

    assert!(site.adopt(moved, at(1), |_| None::<()>).is_none());
    assert!(
        site.adopt(abroad, at(1), |_| Some(())).is_none(),
        "outside the site's ranges"
    );
    let (router, ()) = site.adopt(moved, at(1), |_| Some(())).unwrap();
    assert_eq!(router.id, router_id("tower"));
    assert!(site.knows_source(moved) && !site.is_home(moved));
    assert_eq!(router.coa_address().ip(), moved, "orders follow it at once");
    assert_ne!(router.proved_place(), moved, "passwords do not");

    let again: IpAddr = [192, 168, 9, 10].into();
    assert!(site.adopt(again, at(2), |_| Some(())).is_none(), "copies");
    assert!(site.adopt(again, at(11), |_| Some(())).is_some());
    assert!(!site.knows_source(moved), "one place at a time");
    assert!(site.adopt(moved, at(21), |_| Some(())).is_some());

    assert!(!site.come_home(&router, moved));
    assert!(site.come_home(&router, home));
    assert!(!site.knows_source(moved));
    assert_eq!(router.coa_address().ip(), router.address);
}

/// A router died and another one got its address, with the cloud gone: what proves nothing is taken for the one that this
/// box brought up, as long as the other one proves nothing.
#[test]
fn of_two_routers_at_one_address_the_one_that_lives_is_asked_first() {
    let (site, rows) = given_site();
    let home: IpAddr = [10, 1, 0, 7].into();
    let first = |site: &Site| site.router_from(home, |_| Some(())).unwrap().0.id;
    let dead = router_id("tower");
    assert_eq!(first(&site), dead);
    let row = rows.iter().find(|row| row.id == dead.0).unwrap();
    let told = Down::decode(row.kind, row.body.as_deref().unwrap());
    let Ok(Down::Router(mut told)) = told else {
        panic!("a router");
    };
    let secret = Secret::new(b"x");
    site.router(dead).unwrap().note_proved(&secret);
    told.router = RouterId(Uuid::from_u128(77));
    assert!(site.bring(told.clone(), Vec::new()));
    assert_eq!(first(&site), told.router);

    site.router(dead).unwrap().note_proved(&secret);
    assert_eq!(first(&site), dead, "it was not dead");
    site.router(told.router).unwrap().note_proved(&secret);
    assert_eq!(first(&site), dead, "both live, and nothing flips");
}

/// The cloud speaks of a router as it was before this box gave it another login: all of that holds but the login. What it
/// says of one that it gave since holds whole, and who was deleted there is not brought again.
#[test]
fn what_the_cloud_says_late_does_not_shut_the_box_out() {
    let (site, rows) = given_site();
    let tower = router_id("tower");
    let row = rows.iter().find(|row| row.id == tower.0).unwrap();
    let told = Down::decode(row.kind, row.body.as_deref().unwrap());
    let Ok(Down::Router(told)) = told else {
        panic!("a router");
    };
    let by = |password: &str, leases: bool| RouterV1 {
        api: Some(RouterApiV1 {
            port: 8729,
            tls: true,
            user: "easyisp-agent".to_owned(),
            password: site.sealed_login(tower, password),
        }),
        leases,
        ..told.clone()
    };
    let entered = || {
        let router = site.router(tower).unwrap();
        let login = router.api.clone().unwrap().access.password;
        (login.expose_secret().to_owned(), router.leases)
    };
    let before = || vec![site.sealed_login(tower, "old")];
    put(&site, Down::Router(by("old", true)), tower.0);
    let secret = site.router(tower).unwrap().secrets[0].clone();
    let own = RouterV1 {
        address: [10, 1, 0, 8].into(),
        secret: Vec::new(),
        ..by("new", false)
    };
    assert!(site.bring(own, before()));
    assert_eq!(
        entered(),
        ("new".to_owned(), true),
        "all else is the cloud's"
    );
    assert!(site.router(tower).unwrap().secrets[0].is(&secret));
    assert_eq!(
        site.router(tower).unwrap().address,
        IpAddr::from([10, 1, 0, 8])
    );

    put(&site, Down::Router(by("old", false)), tower.0);
    assert!(site.is_brought(tower));
    assert_eq!(entered(), ("new".to_owned(), false));
    put(&site, Down::Router(by("new", true)), tower.0);
    assert!(!site.is_brought(tower));
    assert_eq!(entered(), ("new".to_owned(), true));

    assert!(site.bring(by("newer", true), before()));
    put(&site, Down::Router(by("by-hand", true)), tower.0);
    assert!(!site.is_brought(tower));
    assert_eq!(entered(), ("by-hand".to_owned(), true));

    assert!(site.bring(by("newest", true), before()));
    site.let_go(tower);
    assert_eq!(
        entered(),
        ("by-hand".to_owned(), true),
        "as the cloud has it"
    );

    site.apply(&DownRecord {
        body: None,
        ..row.clone()
    });
    assert!(site.is_gone(tower));
    assert!(!site.bring(by("newest", true), before()));
    assert!(site.router(tower).is_none());
}

/// What an operator types as his old server's address is asked only where the site's routers are.
#[test]
fn an_old_server_outside_the_site_cannot_be_asked() {
    let (site, _) = given_site();
    let (key, router) = (SealKey::new([7; 32]), router_id("tower"));
    let place = secret_place(DownKind::Moving, router.0, "old_secret");
    let told = |address: &str, secret: &[u8]| {
        Down::Moving(MovingV1 {
            router,
            mode: MovingMode::Shadow,
            address: address.parse().unwrap(),
            auth_port: 1812,
            acct_port: 1813,
            secret: secret.to_vec(),
            copy_accounting: false,
        })
    };
    let sealed = key.seal(&place, b"testing123", &Entropy::seeded(2));
    for (address, secret, can_be_asked) in [
        ("192.168.7.7", sealed.as_slice(), true),
        ("198.51.100.7", &sealed, false),
        ("192.168.7.7", b"sealed for somebody else", false),
    ] {
        let touched = put(&site, told(address, secret), router.0);
        assert_eq!(touched, Touched::Router(router));
        let moving = site.moving(router).unwrap();
        assert_eq!(moving.server.is_ok(), can_be_asked, "{address}");
    }
    site.apply(&DownRecord {
        kind: DownKind::Moving.code(),
        id: router.0,
        version: 9,
        body: None,
    });
    assert!(site.moving(router).is_none());
}

/// Nothing but the site's own state is asked, however long the cloud is away.
#[test]
fn a_site_decides_for_as_long_as_it_stands_alone() {
    let (site, _) = given_site();
    let subscriber = site.subscriber(b"demo001").unwrap();
    let decide = |now| site.verdict(&subscriber, &Live::default(), now).answer;
    assert_eq!(decide(at(999)), Answer::Accept);
    assert_eq!(
        decide(at(1000).plus(Duration::from_secs(72 * 3600))),
        Answer::Reject
    );
}

fn at(secs: i64) -> Timestamp {
    Timestamp::from_secs(secs)
}

/// Of two devices that passed the first look at once, the second finds the last place taken.
#[test]
fn a_place_that_is_taken_is_given_to_nobody_else() {
    let (site, mut rows) = given_site();
    let policy = rows
        .iter_mut()
        .find(|row| row.kind == DownKind::Policy.code())
        .unwrap();
    let Ok(Down::Policy(mut told)) = Down::decode(policy.kind, policy.body.as_ref().unwrap())
    else {
        panic!("the policy is ours");
    };
    (told.bind_macs, told.bind_oldest_out) = (1, false);
    put(&site, Down::Policy(told), policy.id);
    let subscriber = site.subscriber(b"demo001").unwrap();
    let [first, second] = [1, 2].map(|number| Mac::new([0xAA, 0xBB, 0xCC, 0, 0, number]));

    assert!(site.take_place(&subscriber, first, at(1)).is_some());
    assert_eq!(site.take_place(&subscriber, second, at(1)), None);
    assert_eq!(
        site.take_place(&subscriber, first, at(2)),
        None,
        "it has one"
    );
    assert_eq!(site.bound(subscriber.id), [first]);
}

fn given_site() -> (Site, Vec<DownRecord>) {
    let description: Description = serde_json::from_str(
        r#"{
            "packages": [{"name": "basic", "up_kbps": 10000, "down_kbps": 10000, "devices": 5}],
            "routers": [{"name": "tower", "address": "10.1.0.1", "source": "10.1.0.0/24",
                         "secret": "demo-secret", "coa_port": 3799}],
            "subscribers": [
                {"username": "demo001", "password": "demo001", "package": "basic",
                 "paid_until": "1970-01-01T00:16:40Z"},
                {"username": "demo021", "password": "demo021", "package": "basic",
                 "paid_until": "1970-01-01T00:00:00Z"}
            ]
        }"#,
    )
    .unwrap();
    let key = SealKey::new([7; 32]);
    let ranges = Ranges::new(vec!["192.168.0.0/16".parse().unwrap()]);
    let site = Site::new(key.clone(), ranges);
    let rows = description.rows(&key, &Entropy::seeded(1), 1);
    for row in &rows {
        site.apply(row);
    }
    (site, rows)
}

fn put(site: &Site, down: Down, id: Uuid) -> Touched {
    site.apply(&DownRecord {
        kind: down.kind().code(),
        id,
        version: 2,
        body: Some(down.encode()),
    })
}

/// The row of a subscriber of [`given_site`], to be changed.
fn subscriber_row(site: &Site, username: &[u8]) -> easyisp_shared::wire::down::SubscriberV1 {
    let (_, rows) = given_site();
    let id = site.subscriber(username).unwrap().id;
    let row = rows.iter().find(|row| row.id == id.0).unwrap();
    match Down::decode(row.kind, row.body.as_ref().unwrap()) {
        Ok(Down::Subscriber(row)) => row,
        other => panic!("not a subscriber: {other:?}"),
    }
}
