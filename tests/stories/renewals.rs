//! Money becomes a period of service.

use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::db::Database;
use easyisp_cloud::ledger::seal_all;
use easyisp_cloud::renewals::{
    Channel, Method, Receipt, Received, RenewError, Unallocated, Why, auto_renew, hold, receive,
    reckon, renew, resolve, void,
};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use easyisp_tests::wiretap::Wiretap;

use crate::money::{Subscriber, at, connect, given_books, noon};

#[tokio::test]
async fn a_payment_of_the_price_buys_a_period_and_tells_the_site() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;

    let received = pay(&books.db, jane, Cents::whole(1_000), noon()).await?;

    assert_eq!(received.balance, Cents::ZERO);
    assert_eq!(received.paid_until, at("2026-02-28T09:00:00Z"));
    assert_eq!(
        books.paid_until(jane.tenant, jane.customer).await?,
        received.paid_until
    );
    let told = "select count(*) from feed where id = $1";
    assert_eq!(books.count(jane, told).await?, 1);
    let messages = "select count(*) from messages where customer_id = $1 and state = 'PENDING'
                       and body like 'Books: KES 1000 received. Internet until 28 Feb 2026 12:00.'";
    assert_eq!(books.count(jane, messages).await?, 1);
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    assert_eq!(seal_all(&books.db, jane.tenant, noon()).await?, 2);
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn monthly_payments_return_to_the_thirty_first() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let mut ends = Vec::new();
    for _ in 0..4 {
        ends.push(
            pay(&books.db, jane, Cents::whole(1_000), noon())
                .await?
                .paid_until,
        );
    }
    let should = ["2026-02-28", "2026-03-31", "2026-04-30", "2026-05-31"];
    assert_eq!(ends, should.map(|day| at(&format!("{day}T09:00:00Z"))));
    Ok(())
}

#[tokio::test]
async fn too_little_waits_in_the_wallet_and_too_much_stays_there() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;

    let little = pay(&books.db, jane, Cents::whole(400), noon()).await?;
    assert_eq!((little.period, little.balance), (None, Cents::whole(400)));
    assert_eq!(little.paid_until, noon());
    let told = "select count(*) from feed where id = $1";
    assert_eq!(books.count(jane, told).await?, 0);

    let enough = pay(&books.db, jane, Cents::new(60_050), noon()).await?;
    assert!(enough.period.is_some());
    assert_eq!(enough.balance, Cents::new(50));

    let much = pay(&books.db, jane, Cents::whole(5_000), noon()).await?;
    assert_eq!(much.balance, Cents::new(400_050));
    assert_eq!(
        books
            .count(jane, "select count(*) from periods where customer_id = $1")
            .await?,
        2
    );
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_late_payer_begins_when_his_money_moved() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let moved = at("2026-02-05T10:00:00Z");
    let mut receipt = receipt(jane, Cents::whole(1_000));
    receipt.paid_at = moved;

    let mut tx = books.db.begin(jane.tenant).await?;
    let received = receive(&mut tx, receipt, moved.plus(Duration::from_secs(3_600))).await?;
    tx.commit().await?;
    assert_eq!(received.paid_until, at("2026-03-05T10:00:00Z"));
    Ok(())
}

#[tokio::test]
async fn a_receipt_is_credited_once_and_keeps_no_other_provider_from_his_own() -> Result<()> {
    let books = given_books().await?;
    let (jane, john) = (
        books.given_subscriber().await?,
        books.given_subscriber().await?,
    );
    for (who, first) in [(jane, true), (jane, false), (john, true), (john, false)] {
        let mut tx = books.db.begin(who.tenant).await?;
        let mut mpesa = receipt(who, Cents::whole(1_000));
        (mpesa.method, mpesa.receipt) = (Method::Mpesa, Some("SJK4H7L2PQ".into()));
        match receive(&mut tx, mpesa, noon()).await {
            Ok(_) => {
                assert!(first);
                tx.commit().await?;
            }
            Err(error) => {
                assert!(!first);
                assert!(matches!(error, RenewError::ReceiptKnown), "{error}");
            }
        }
    }
    assert_eq!(
        books.balance(john.tenant, john.customer).await?,
        Cents::ZERO
    );
    for who in [jane, john] {
        assert_eq!(books.findings(who.tenant).await?, Vec::<String>::new());
    }
    Ok(())
}

#[tokio::test]
async fn two_halves_at_the_same_moment_buy_the_period() -> Result<()> {
    let books = given_books().await?;
    for _ in 0..10 {
        let jane = books.given_subscriber().await?;
        let halves = [500, 500].map(|half| {
            let db = books.db.clone();
            tokio::spawn(async move { pay(&db, jane, Cents::whole(half), noon()).await })
        });
        for half in halves {
            half.await??;
        }
        assert_eq!(
            books.balance(jane.tenant, jane.customer).await?,
            Cents::ZERO
        );
        assert_eq!(
            books
                .count(jane, "select count(*) from periods where customer_id = $1")
                .await?,
            1
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_renewal_takes_the_price_from_the_wallet_or_nothing() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let why = || Why::Operator("audit line 1".into());

    let mut tx = books.db.begin(jane.tenant).await?;
    let refused = renew(&mut tx, jane.customer, why(), noon()).await;
    assert!(matches!(refused, Err(RenewError::BalanceTooLow)));
    drop(tx);

    pay(&books.db, jane, Cents::whole(2_500), noon()).await?;
    let mut tx = books.db.begin(jane.tenant).await?;
    let renewed = renew(&mut tx, jane.customer, why(), noon()).await?;
    tx.commit().await?;
    assert_eq!(renewed.balance, Cents::whole(500));
    assert_eq!(renewed.paid_until, at("2026-03-31T09:00:00Z"));
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn of_fifty_purchases_at_once_a_wallet_that_covers_one_pays_one() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    pay(&books.db, jane, Cents::whole(2_000), noon()).await?;
    let purchases = (0..50).map(|nth| {
        let db = books.db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin(jane.tenant).await?;
            let why = Why::Operator(format!("audit line {nth}"));
            let renewed = renew(&mut tx, jane.customer, why, noon()).await?;
            tx.commit().await?;
            Ok::<_, RenewError>(renewed.balance)
        })
    });
    let mut bought = Vec::new();
    for purchase in futures_util::future::join_all(purchases).await {
        match purchase? {
            Ok(balance) => bought.push(balance),
            Err(refused) => assert!(matches!(refused, RenewError::BalanceTooLow), "{refused}"),
        }
    }
    assert_eq!(bought, [Cents::ZERO]);
    let periods = "select count(*) from periods where customer_id = $1";
    assert_eq!(books.count(jane, periods).await?, 2);
    assert_eq!(
        books.paid_until(jane.tenant, jane.customer).await?,
        at("2026-03-31T09:00:00Z")
    );
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn who_renews_by_himself_goes_on_without_a_gap() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    books
        .tamper(jane.tenant, "update customers set auto_renew = true")
        .await?;
    pay(&books.db, jane, Cents::whole(2_000), noon()).await?;
    let funded =
        "select count(*) from customers where id = $1 and funded_until = '2026-03-31T09:00:00Z'";
    assert_eq!(books.count(jane, funded).await?, 1);

    let late = at("2026-02-28T09:30:00Z");
    let again = auto_renew(&books.db, jane.tenant, jane.customer, late).await?;
    assert_eq!(again, Some(at("2026-03-31T09:00:00Z")));
    let over = at("2026-03-31T09:00:01Z");
    assert_eq!(
        auto_renew(&books.db, jane.tenant, jane.customer, over).await?,
        None
    );
    assert_eq!(
        books.balance(jane.tenant, jane.customer).await?,
        Cents::ZERO
    );
    Ok(())
}

#[tokio::test]
async fn a_receipt_that_buys_a_period_takes_six_statements() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let wiretap = Wiretap::before(&books.fresh.app()).await?;
    let db = connect(wiretap.options(books.fresh.app()), 1).await?;
    // The first one opens the wallet and prepares the statements.
    pay(&db, jane, Cents::whole(1_000), noon()).await?;

    let before = wiretap.statements();
    pay(&db, jane, Cents::whole(1_000), noon()).await?;
    assert_eq!(wiretap.statements() - before, 6);
    Ok(())
}

/// Who wants to hear of it is told by the same statements.
#[tokio::test]
async fn a_receipt_that_is_told_to_webhooks_takes_six_statements_too() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let mut tx = books.db.begin(jane.tenant).await?;
    sqlx::query(
        "insert into webhooks (tenant_id, id, url, events, enabled, created_at, updated_at)
         select $1, w.id, 'https://example.com/', w.events, w.enabled, $2, $2
           from (values ('00000000-0000-0000-0000-000000000001'::uuid,
                         array['payment.received', 'customer.renewed'], true),
                        ('00000000-0000-0000-0000-000000000002', array['payment.received'], true),
                        ('00000000-0000-0000-0000-000000000003', array['payment.received'], false))
             as w (id, events, enabled)",
    )
    .bind(jane.tenant)
    .bind(noon())
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    let wiretap = Wiretap::before(&books.fresh.app()).await?;
    let db = connect(wiretap.options(books.fresh.app()), 1).await?;
    pay(&db, jane, Cents::whole(1_000), noon()).await?;

    let before = wiretap.statements();
    pay(&db, jane, Cents::whole(1_000), noon()).await?;
    assert_eq!(wiretap.statements() - before, 6);
    for (told, times) in [
        (
            "select count(*) from webhook_deliveries where payload like '%' || $1::text || '%'",
            6,
        ),
        (
            "select count(*) from webhook_deliveries d
               join directory.jobs j on j.tenant_id = d.tenant_id and j.subject = d.id
              where j.kind = 'webhooks.send' and d.payload like '%' || $1::text || '%'",
            6,
        ),
        (
            "select count(distinct event_id) from webhook_deliveries
              where payload like '%' || $1::text || '%'",
            4,
        ),
    ] {
        assert_eq!(books.count(jane, told).await?, times, "{told}");
    }
    Ok(())
}

/// C12: the transaction is cut at every one of its statements; ledger, period, payment, feed and message
/// are all there or none is.
#[tokio::test]
async fn a_purchase_happens_whole_or_not_at_all() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    pay(&books.db, jane, Cents::whole(1_000), noon()).await?;
    for cut in 1..=14 {
        let wiretap = Wiretap::before(&books.fresh.app()).await?;
        let db = connect(wiretap.options(books.fresh.app()), 1).await?;
        wiretap.cut_after(wiretap.statements() + cut);
        let cut_off = pay(&db, jane, Cents::whole(1_000), noon()).await;

        let periods = books
            .count(jane, "select count(*) from periods where customer_id = $1")
            .await?;
        for same in [
            "select count(*) from payments where customer_id = $1",
            "select count(*) from messages where customer_id = $1",
            "select version from feed where id = $1",
            "select count(*) from entries where customer_id = $1 and kind = 'PERIOD'",
        ] {
            assert_eq!(
                books.count(jane, same).await?,
                periods,
                "cut after {cut}: {same}"
            );
        }
        assert_eq!(
            books.balance(jane.tenant, jane.customer).await?,
            Cents::ZERO
        );
        assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
        assert!(cut_off.is_err() || periods > 1, "cut after {cut}");
    }
    Ok(())
}

#[tokio::test]
async fn a_resolved_payment_moves_with_its_wallet_effect() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let john = Subscriber {
        customer: books
            .given_customer(jane.tenant, jane.site, jane.package)
            .await?,
        ..jane
    };
    let mut tx = books.db.begin(jane.tenant).await?;
    let mut mpesa = receipt(jane, Cents::whole(1_000));
    (mpesa.method, mpesa.receipt) = (Method::Mpesa, Some("SJK4H7L2PQ".into()));
    receive(&mut tx, mpesa, noon()).await?;
    tx.commit().await?;

    for _ in 0..2 {
        let mut tx = books.db.begin(jane.tenant).await?;
        let moved = resolve(&mut tx, "SJK4H7L2PQ", john.customer, noon()).await?;
        tx.commit().await?;
        assert_eq!(moved.unwrap().paid_until, at("2026-02-28T09:00:00Z"));
    }
    assert_eq!(
        books.balance(jane.tenant, jane.customer).await?,
        Cents::whole(-1_000)
    );
    assert_eq!(
        books.balance(jane.tenant, john.customer).await?,
        Cents::ZERO
    );
    assert_eq!(
        books.paid_until(jane.tenant, john.customer).await?,
        at("2026-02-28T09:00:00Z")
    );
    let mut tx = books.db.begin(jane.tenant).await?;
    assert!(
        resolve(&mut tx, "UNKNOWN000", john.customer, noon())
            .await?
            .is_none()
    );
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn money_of_nobody_waits_until_somebody_resolves_it() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let unallocated = Unallocated {
        method: Method::Mpesa,
        amount: Cents::whole(1_000),
        till: Default::default(),
        receipt: "SJK4H7L2PQ".into(),
        proven: false,
        paid_at: noon(),
        gateway: None,
        phone: None,
        account: Some("typo".into()),
        payer_hash: None,
        payer_name: None,
        description: String::new(),
    };
    let mut tx = books.db.begin(jane.tenant).await?;
    hold(&mut tx, unallocated, noon()).await?;
    tx.commit().await?;
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());

    let mut tx = books.db.begin(jane.tenant).await?;
    let moved = resolve(&mut tx, "SJK4H7L2PQ", jane.customer, noon()).await?;
    tx.commit().await?;
    assert!(moved.unwrap().period.is_some());
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_voided_payment_is_paid_back_once_even_when_it_was_spent() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let received = pay(&books.db, jane, Cents::whole(1_000), noon()).await?;
    for again in [true, false] {
        let mut tx = books.db.begin(jane.tenant).await?;
        assert_eq!(void(&mut tx, received.payment, noon()).await?, Some(again));
        tx.commit().await?;
    }
    assert_eq!(
        books.balance(jane.tenant, jane.customer).await?,
        Cents::whole(-1_000)
    );
    assert_eq!(
        books.paid_until(jane.tenant, jane.customer).await?,
        received.paid_until
    );
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());
    Ok(())
}

/// Who pays for an hour gets an hour, however late M-Pesa tells.
#[tokio::test]
async fn money_that_was_told_late_buys_time_that_is_still_to_come() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let hourly = "update packages set period_count = 1, period_unit = 'HOURS'";
    books.tamper(jane.tenant, hourly).await?;
    let (moved, told) = (at("2026-02-05T10:00:00Z"), at("2026-02-06T10:00:00Z"));
    let mut late = receipt(jane, Cents::whole(1_000));
    late.paid_at = moved;

    let mut tx = books.db.begin(jane.tenant).await?;
    let received = receive(&mut tx, late, told).await?;
    tx.commit().await?;
    assert_eq!(received.paid_until, at("2026-02-06T11:00:00Z"));
    Ok(())
}

/// Money that lay in the wallet while he was cut off buys time from now on, not the weeks he had nothing.
#[tokio::test]
async fn who_was_cut_off_renews_from_now_on() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    books
        .tamper(jane.tenant, "update customers set auto_renew = true")
        .await?;
    pay(&books.db, jane, Cents::whole(900), noon()).await?;
    books
        .tamper(jane.tenant, "update packages set price = 80000")
        .await?;

    let later = at("2026-04-10T09:00:00Z");
    let mut tx = books.db.begin(jane.tenant).await?;
    reckon(&mut tx, jane.customer, later).await?;
    tx.commit().await?;
    let due = "select count(*) from directory.jobs where subject = $1 and kind = 'renewals.auto'";
    assert_eq!(books.count(jane, due).await?, 1);
    let again = auto_renew(&books.db, jane.tenant, jane.customer, later).await?;
    assert_eq!(again, Some(at("2026-05-10T09:00:00Z")));
    assert_eq!(
        books.balance(jane.tenant, jane.customer).await?,
        Cents::whole(100)
    );
    Ok(())
}

/// A wallet that was emptied, or whose package costs more than before, carries nobody on.
#[tokio::test]
async fn nobody_is_carried_on_by_money_that_is_gone() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let john = Subscriber {
        customer: books
            .given_customer(jane.tenant, jane.site, jane.package)
            .await?,
        ..jane
    };
    books
        .tamper(jane.tenant, "update customers set auto_renew = true")
        .await?;
    let funded = "select count(*) from customers where id = $1 and funded_until is not null";
    let mut tx = books.db.begin(jane.tenant).await?;
    let mut mpesa = receipt(jane, Cents::whole(3_000));
    (mpesa.method, mpesa.receipt) = (Method::Mpesa, Some("SJK4H7L2PQ".into()));
    receive(&mut tx, mpesa, noon()).await?;
    tx.commit().await?;
    assert_eq!(books.count(jane, funded).await?, 1);

    let mut tx = books.db.begin(jane.tenant).await?;
    resolve(&mut tx, "SJK4H7L2PQ", john.customer, noon()).await?;
    tx.commit().await?;
    assert_eq!(books.count(jane, funded).await?, 0);

    assert_eq!(books.count(john, funded).await?, 1);
    books
        .tamper(jane.tenant, "update packages set price = 900000")
        .await?;
    let over = at("2026-02-28T09:00:01Z");
    let again = auto_renew(&books.db, john.tenant, john.customer, over).await?;
    assert_eq!(again, None);
    assert_eq!(books.count(john, funded).await?, 0);
    Ok(())
}

/// A payment that covers the price lets a suspended customer online again; what merely lies in his wallet
/// does not, and is not spent while he is stopped.
#[tokio::test]
async fn a_suspended_customer_returns_when_he_pays_and_not_before() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    let stop = "update customers set standing = 'SUSPENDED', auto_renew = true";
    let active = "select count(*) from customers where id = $1 and standing = 'ACTIVE'";
    pay(&books.db, jane, Cents::whole(400), noon()).await?;
    books.tamper(jane.tenant, stop).await?;
    pay(&books.db, jane, Cents::whole(100), noon()).await?;
    assert_eq!(books.count(jane, active).await?, 0);
    let paid = pay(&books.db, jane, Cents::whole(2_500), noon()).await?;
    assert!(paid.period.is_some());
    assert_eq!(books.count(jane, active).await?, 1);

    books.tamper(jane.tenant, stop).await?;
    let over = at("2026-02-28T09:00:01Z");
    let again = auto_renew(&books.db, jane.tenant, jane.customer, over).await?;
    assert_eq!(again, None);
    assert_eq!(
        books.balance(jane.tenant, jane.customer).await?,
        Cents::whole(2_000)
    );
    Ok(())
}

/// What the server's own role may change, and what therefore no digest guards, is proved against the books.
#[tokio::test]
async fn a_payment_that_was_touched_is_found() -> Result<()> {
    let books = given_books().await?;
    let jane = books.given_subscriber().await?;
    books
        .given_customer(jane.tenant, jane.site, jane.package)
        .await?;
    pay(&books.db, jane, Cents::whole(1_400), noon()).await?;
    let back = pay(&books.db, jane, Cents::whole(7), noon()).await?;
    let mut tx = books.db.begin(jane.tenant).await?;
    void(&mut tx, back.payment, noon()).await?;
    tx.commit().await?;
    assert_eq!(books.findings(jane.tenant).await?, Vec::<String>::new());

    for (tampering, undo, found) in [
        (
            "update payments p set customer_id = (select c.id from customers c
                                                   where c.id <> p.customer_id) where amount = 140000",
            "update payments set customer_id = (select customer_id from wallets where balance > 0)",
            "is not its owner's",
        ),
        (
            "update payments set method = 'BANK_TRANSFER' where amount = 140000",
            "update payments set method = 'CASH'",
            "does not agree with its entry",
        ),
        (
            "update payments set status = 'voided' where amount = 140000",
            "update payments set status = 'completed' where amount = 140000",
            "taken back without being paid back",
        ),
        (
            "update payments set status = 'completed' where amount = 700",
            "update payments set status = 'voided' where amount = 700",
            "taken back without being paid back",
        ),
        (
            "update wallets set floor = -100000",
            "update wallets set floor = 0",
            "may fall to -100000",
        ),
    ] {
        assert!(books.tamper(jane.tenant, tampering).await? > 0, "{tampering}");
        let all = books.findings(jane.tenant).await?;
        assert!(
            all.iter().any(|what| what.contains(found)),
            "{tampering}: {all:?}"
        );
        books.tamper(jane.tenant, undo).await?;
        assert_eq!(
            books.findings(jane.tenant).await?,
            Vec::<String>::new(),
            "{undo}"
        );
    }
    Ok(())
}

async fn pay(db: &Database, who: Subscriber, amount: Cents, now: Timestamp) -> Result<Received> {
    let mut tx = db.begin(who.tenant).await?;
    let received = receive(&mut tx, receipt(who, amount), now).await?;
    tx.commit().await?;
    Ok(received)
}

fn receipt(who: Subscriber, amount: Cents) -> Receipt {
    Receipt {
        customer: who.customer,
        amount,
        method: Method::Cash,
        till: Default::default(),
        channel: Channel::Payment,
        receipt: None,
        proven: false,
        paid_at: noon(),
        intent: None,
        gateway: None,
        operator: None,
        phone: None,
        account: None,
        description: "at the counter".into(),
    }
}
