//! The same of IPv6: who had a prefix, when it changed, and how it is found.

use anyhow::Result;
use easyisp_shared::wire::up::{AccountingStatus, AccountingV1};
use easyisp_tests::database::plan;
use easyisp_tests::router::subscriber::Method;
use easyisp_tests::world::{Provider, Site, World, eventually};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection};

use super::place::Place;
use super::{ASHA, BRIAN, CHIPO, at, names};
use crate::words::{DAY, HOUR, MINUTE};

/// Three lines with prefixes of one block, and another provider's of the same: each address has its own holder, and a
/// block all of them.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_whoever_has_the_prefix_around_it() -> Result<()> {
    let world = World::start().await?;
    let place = Place::settle(&world, "dual").await?;
    let other = Place::settle(&world, "alike").await?;
    let lines = [
        (
            "811",
            "asha",
            ASHA,
            vec!["2001:db8:7:100::/56", "2001:db8:7:1::/64"],
        ),
        (
            "812",
            "brian",
            BRIAN,
            vec!["2001:db8:7:200::/56", "2001:db8:7:2::5/128"],
        ),
        (
            "813",
            "chipo",
            CHIPO,
            vec!["2001:db8:7:300::/60", "2001:db8:7:310::/60"],
        ),
    ];
    let (from, to) = (at("2025-03-02T13:00:00Z"), at("2025-03-02T18:00:00Z"));
    for place in [&place, &other] {
        let records: Vec<AccountingV1> = lines
            .iter()
            .map(|(id, name, mac, prefixes)| {
                let told = (*id, *name, *mac, AccountingStatus::Stop, from, to);
                with(place.record(&told), prefixes)
            })
            .collect();
        place.take(&world, &records).await?;
    }
    let then = "at=2025-03-02T14:05:00Z";
    for (address, holders) in [
        ("2001:db8:7:100::", vec!["asha"]),
        ("2001:DB8:7:1FF:ffff:ffff:ffff:ffff", vec!["asha"]),
        ("2001:db8:7:1::9", vec!["asha"]),
        ("2001:db8:7:200::9", vec!["brian"]),
        ("2001:db8:7:2::5", vec!["brian"]),
        ("2001:db8:7:2::6", vec![]),
        ("2001:db8:7:30f::", vec!["chipo"]),
        ("2001:db8:7:31f::1", vec!["chipo"]),
        ("2001:db8:7:320::", vec![]),
        ("2001:db8:7:2ff::/64", vec!["brian"]),
        ("2001:db8:7:2::/64", vec!["brian"]),
        ("2001:db8:7:300::/56", vec!["chipo"]),
        ("2001:db8:7::/48", vec!["asha", "brian", "chipo"]),
        ("2001:db8:8::/48", vec![]),
    ] {
        let found = place.search(&format!("ip={address}&{then}")).await?;
        let mut found_names = names(&found);
        found_names.sort_unstable();
        assert_eq!(found_names, holders, "{address}");
        assert_eq!(found["total"], holders.len(), "{address}");
    }
    let trail = place.trail(&world).await?;
    let (_, _, details, after) = &trail[1];
    assert!(
        details.contains("who had 2001:db8:7:1ff:ffff:ffff:ffff:ffff at"),
        "{details}"
    );
    assert_eq!(after["ip"], "2001:db8:7:1ff:ffff:ffff:ffff:ffff");
    world.stop().await
}

/// A line gets another prefix while it goes on, and the next line gets the one it had: each moment has who may have had
/// it, and where nobody told it for sure, the answer says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_that_changes_hands_has_a_holder_at_each_moment() -> Result<()> {
    let world = World::start().await?;
    let place = Place::settle(&world, "anew").await?;
    let minute = |minute: u32| at("2025-03-02T13:00:00Z").plus(minute * MINUTE);
    let (one, two) = ("2001:db8:7:100::/56", "2001:db8:7:200::/56");
    let asha = |status, at: u32, prefix: &[&str]| {
        let told = ("811", "asha", ASHA, status, minute(0), minute(at));
        with(place.record(&told), prefix)
    };
    let (start, interim, stop) = (
        AccountingStatus::Start,
        AccountingStatus::Interim,
        AccountingStatus::Stop,
    );
    let brian = |at: u32| {
        let told = ("812", "brian", BRIAN, interim, minute(17), minute(at));
        with(place.record(&told), &[one])
    };
    // In batches as they come, the last of them twice.
    for batch in [
        vec![asha(start, 0, &[])],
        vec![asha(interim, 5, &[one]), asha(interim, 15, &[one])],
        vec![asha(interim, 20, &[two]), brian(22)],
        vec![asha(interim, 25, &[]), asha(stop, 30, &[two])],
        vec![asha(stop, 30, &[two])],
    ] {
        place.take(&world, &batch).await?;
    }
    for (prefix, at, holders) in [
        (one, 1, vec![("asha", true)]),
        (one, 14, vec![("asha", true)]),
        // Told last at 15, and something else at 20; brian has it from 17 on.
        (one, 16, vec![("asha", false)]),
        (one, 18, vec![("brian", true), ("asha", false)]),
        (one, 20, vec![("brian", true)]),
        (one, 23, vec![("brian", false)]),
        (two, 14, vec![]),
        (two, 18, vec![("asha", false)]),
        (two, 21, vec![("asha", true)]),
        (two, 29, vec![("asha", true)]),
        (two, 30, vec![]),
    ] {
        let found = place
            .search(&format!("ip={prefix}&at={}", minute(at)))
            .await?;
        let sessions = found["sessions"].as_array().unwrap();
        let found: Vec<(&str, bool)> = names(&found)
            .into_iter()
            .zip(sessions.iter().map(|one| one["certain"] == true))
            .collect();
        assert_eq!(found, holders, "{prefix} at {at}");
    }
    let window = format!("from={}&to={}", minute(0), minute(60));
    let found = place.search(&format!("ip={one}&{window}")).await?;
    assert_eq!(names(&found), ["brian", "asha"]);
    assert_eq!(found["sessions"][1]["ipv6Prefixes"], json!([two]));
    world.stop().await
}

/// Through a router: it tells the prefixes of a line with an interim, and the search finds who had them from the line's start on.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_router_delegated_is_found() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "delegates").await?;
    let site = Site::open(&world, &isp).await?;
    let until = world.clock.now().plus(3 * DAY);
    let customer = isp.add_subscriber("asha", "254712345601", until).await?;
    let networks =
        json!({"ipv6Prefix": "2001:db8:1::/64", "delegatedIpv6Prefix": "2001:db8:900::/56"});
    isp.owner
        .put(&format!("/customers/{customer}/networks"), &networks)
        .await?;
    site.knows("asha", "with her networks", |asha| asha.networks.is_some())
        .await?;
    let line = site.router.subscriber("asha", "asha", Method::Chap);
    let online = line.dial().await.online();
    online.started().await;
    world.clock.advance(5 * MINUTE);
    assert!(online.interim().await);
    site.reported().await?;
    let now = world.clock.now();
    isp.session_becomes("asha", online.id(), "known with her prefixes", |row| {
        row["ipv6Prefixes"] == json!(["2001:db8:1::/64", "2001:db8:900::/56"])
    })
    .await?;
    let listed = isp.owner.get("/sessions?search=2001:db8:9").await?;
    assert_eq!(names(&listed), ["asha"]);
    world.clock.advance(MINUTE);
    assert!(online.hang_up().await);
    site.reported().await?;

    for (address, then, holder) in [
        ("2001:db8:900:ff::1", now, Some("asha")),
        ("2001:db8:900:ff::1", now.minus(4 * MINUTE), Some("asha")),
        ("2001:db8:1::20", now, Some("asha")),
        ("2001:db8:900:ff::1", now.plus(HOUR), None),
        ("2001:db8:900:100::1", now, None),
    ] {
        let path = format!("/sessions/search?ip={address}&at={then}&reason=OB+12/2027");
        let found = eventually("the answer is there", async || {
            let found = isp.owner.get(&path).await?;
            Ok(Some(found).filter(|found| found["total"] == i32::from(holder.is_some())))
        })
        .await?;
        assert_eq!(names(&found), Vec::from_iter(holder), "{address} {then}");
    }
    site.stop().await;
    world.stop().await
}

/// Among two hundred thousand sessions a search for an address or a block goes by the index of prefixes, whether the
/// planner knows the values or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_by_prefix_reads_no_more_than_its_own_sessions() -> Result<()> {
    let mut world = World::start().await?;
    let place = Place::settle(&world, "wide").await?;
    place.fill(&world).await?;
    let mut tx = world.db().begin(place.agent.tenant).await?;
    // Two hundred thousand rows are more than a busy machine writes in the time that a request has.
    sqlx::query("set local statement_timeout = '2min'")
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "insert into session_prefixes (tenant_id, session_id, prefix, told_at)
         select tenant_id, id, ('2001:db8:' || to_hex(acct_session_id::int % 5000) || ':100::/56')::cidr, started_at
           from sessions",
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let mut owner = PgConnection::connect_with(&world.database.owner()).await?;
    owner.execute("analyze sessions").await?;
    owner.execute("analyze session_prefixes").await?;
    owner.close().await?;
    world.listen_in().await?;
    for (searched, around, last) in [
        (
            "2001:db8:3e8:1ff::1",
            "array['2001:db8:3e8:1ff::1/128', '2001:db8:3e8:100::/56']",
            "2001:db8:3e8:1ff::1/128",
        ),
        (
            "2001:db8:3e8::/48",
            "array['2001:db8:3e8::/48']",
            "2001:db8:3e8:ffff:ffff:ffff:ffff:ffff/128",
        ),
    ] {
        let before = world.spoken().len();
        let found = place
            .search(&format!("ip={searched}&at=2025-03-15T00:00:00Z"))
            .await?;
        assert_eq!(found["total"], 1, "{found}");
        let spoken = world.spoken();
        let asked: Vec<&String> = spoken[before..]
            .iter()
            .flatten()
            .filter(|said| said.contains("from session_prefixes"))
            .collect();
        assert_eq!(asked.len(), 2, "a count and a page: {asked:?}");
        for text in asked {
            let first = match searched.contains('/') {
                true => searched.to_owned(),
                false => format!("{searched}/128"),
            };
            let values = [
                format!("'{}'", place.agent.tenant.0),
                around.to_owned(),
                "null".to_owned(),
                "'2025-03-15T00:00:00Z'".to_owned(),
                "'2025-03-15T00:00:00Z'".to_owned(),
                "'2025-03-14T23:43:30Z'".to_owned(),
                "'Lost'".to_owned(),
                format!("'{first}'"),
                format!("'{last}'"),
                "50".to_owned(),
                "0".to_owned(),
            ];
            let values = match text.contains("$11") {
                true => &values[..],
                false => &values[..9],
            };
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let mut tx = world.db().begin(place.agent.tenant).await?;
                let plan = plan(&mut tx, text, values, mode).await?;
                assert!(plan.contains("session_prefixes_held"), "{mode}: {plan}");
                assert!(!plan.contains("Seq Scan on session"), "{mode}: {plan}");
            }
        }
    }
    world.stop().await
}

/// A record of a session that has these prefixes.
fn with(record: AccountingV1, prefixes: &[&str]) -> AccountingV1 {
    AccountingV1 {
        prefixes: prefixes.iter().map(|net| net.parse().unwrap()).collect(),
        ..record
    }
}
