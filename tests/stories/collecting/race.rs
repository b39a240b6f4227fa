//! Word of a settlement comes while the next one is reckoned.

use anyhow::Result;
use easyisp_cloud::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::EntryId;
use easyisp_shared::money::Cents;
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use easyisp_tests::world::eventually;
use sqlx::{Connection, PgConnection};

use super::{given, given_world, sendings};
use crate::c2b::worked;
use crate::words::DAY;

/// Nobody knows yet whether a settlement went, and the next day's is being reckoned: what was read as held has left in
/// the meantime, and does not go a second time.
#[tokio::test(flavor = "multi_thread")]
async fn what_leaves_while_a_day_is_reckoned_does_not_go_twice() -> Result<()> {
    let world = given_world().await?;
    let kiosk = given(&world).await?;
    kiosk.switch(true).await?;
    world.outside.mpesa.script_errands(Errand {
        answer: PushAnswer::Accepted,
        result: Callback::Never,
        ..Errand::default()
    });
    kiosk.pays(&world, 1000).await?;
    world.clock.advance(DAY);
    kiosk.until(1, "SENT").await?;
    worked(&world, &kiosk.isp).await?;

    // What is under way is asked of this table too: whoever reckons stops here.
    let mut psql = PgConnection::connect_with(&world.database.anybody()).await?;
    let mut held = psql.begin().await?;
    sqlx::query("lock table refunds in access exclusive mode")
        .execute(&mut *held)
        .await?;
    world.clock.advance(DAY);
    let mut eyes = PgConnection::connect_with(&world.database.anybody()).await?;
    eventually("the day is being reckoned", async || {
        let waits: i64 = sqlx::query_scalar(
            "select count(*) from pg_locks where relation = 'refunds'::regclass and not granted",
        )
        .fetch_one(&mut eyes)
        .await?;
        Ok((waits > 0).then_some(()))
    })
    .await?;
    let now = world.clock.now();
    let mut tx = world.db().begin(kiosk.isp.tenant().await?).await?;
    let gone = Entry {
        id: EntryId::new(now, &Entropy::system()),
        kind: EntryKind::Payout,
        occurred_at: now,
        customer: None,
        source: "settlement".to_owned(),
        description: "It went".to_owned(),
        transfers: vec![Transfer {
            debit: Leg::account(AccountCode::MPESA),
            credit: Leg::account(AccountCode::HELD),
            amount: Cents::whole(1000),
        }],
    };
    ledger::post(&mut tx, gone, now).await?;
    sqlx::query("update settlements set state = 'DONE', ended_at = $1")
        .bind(now)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    held.rollback().await?;

    worked(&world, &kiosk.isp).await?;
    let shown = kiosk.shown().await?;
    assert_eq!(
        shown["settlements"].as_array().map(Vec::len),
        Some(1),
        "{shown}"
    );
    assert_eq!(sendings(&world).len(), 1);
    world.stop().await
}
