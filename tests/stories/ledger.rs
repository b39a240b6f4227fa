//! The books: balanced, append-only, numbered, and found out when somebody touches them.

use anyhow::Result;
use easyisp_cloud::ledger::{
    self, AccountCode, Entry, EntryKind, Leg, Scope, Transfer, is_overdrawn, seal_all, verify,
};
use easyisp_shared::id::{CustomerId, EntryId, TenantId};
use easyisp_shared::money::Cents;

use crate::money::{Books, given_books, noon};

#[tokio::test]
async fn what_was_posted_is_sealed_and_proved() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let customer = books.given_party();
    for shillings in 1..=3 {
        pay_in(&books, tenant, customer, Cents::whole(shillings)).await?;
    }

    assert_eq!(books.findings(tenant).await?, Vec::<String>::new());
    assert_eq!(seal_all(&books.db, tenant, noon()).await?, 3);
    assert_eq!(seal_all(&books.db, tenant, noon()).await?, 0);

    let report = verify(&books.db, Scope::All, &mut |_| {}).await?;
    assert_eq!((report.rows, report.tail, report.tenants), (3, 0, 1));
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(books.balance(tenant, customer).await?, Cents::whole(6));
    Ok(())
}

#[tokio::test]
async fn more_than_one_batch_is_one_chain() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let customer = books.given_party();
    let mut tx = books.db.begin(tenant).await?;
    let entries: Vec<Entry> = (0..1_234)
        .map(|_| payment(&books, customer, Cents::whole(1)))
        .collect();
    ledger::post_all(&mut tx, &entries, noon()).await?;
    tx.commit().await?;

    assert_eq!(seal_all(&books.db, tenant, noon()).await?, 1_234);
    assert_eq!(books.findings(tenant).await?, Vec::<String>::new());
    Ok(())
}

/// C17: what was posted stays; the server's role has no right to change it, and a change by the owner of
/// the tables is found.
#[tokio::test]
async fn entries_cannot_be_changed_and_a_change_is_found() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let customer = books.given_party();
    pay_in(&books, tenant, customer, Cents::whole(5)).await?;
    pay_in(&books, tenant, customer, Cents::whole(7)).await?;
    seal_all(&books.db, tenant, noon()).await?;
    pay_in(&books, tenant, customer, Cents::whole(9)).await?;

    for forbidden in [
        "update entries set description = 'x'",
        "delete from entries",
        "update transfers set amount = 1",
        "delete from transfers",
        "update chain set sequence = sequence + 1",
        "delete from chain",
        "update audit set details = 'x'",
        "delete from audit",
        "update redactions set kind = kind",
        "delete from redactions",
        "truncate transfers",
    ] {
        let mut tx = books.db.begin(tenant).await?;
        let refused = sqlx::query(forbidden).execute(&mut *tx).await;
        let code = refused.unwrap_err().into_database_error();
        let code = code.and_then(|error| error.code().map(|code| code.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{forbidden}");
    }

    assert_eq!(books.findings(tenant).await?, Vec::<String>::new());
    for (tampering, undo, found) in [
        (
            "update transfers set amount = amount + 1 where amount = 500",
            "update transfers set amount = amount - 1 where amount = 501",
            "its digest is not the chain's",
        ),
        (
            "update entries set description = 'nothing'",
            "update entries set description = 'paid'",
            "its digest is not the chain's",
        ),
        (
            "update wallets set balance = balance + 100",
            "update wallets set balance = balance - 100",
            "where its transfers give 2100",
        ),
        (
            "update day_totals set debits = debits + 1 where account = '1000'",
            "update day_totals set debits = debits - 1 where account = '1000'",
            "the totals of account 1000 on 2026-01-31",
        ),
        (
            "update chain set sequence = 3 where sequence = 2",
            "update chain set sequence = 2 where sequence = 3",
            "the chain jumps from number 1 to 3",
        ),
        (
            "update chain set digest = sha256('x') where sequence = 1",
            "",
            "number 1",
        ),
    ] {
        assert!(books.tamper(tenant, tampering).await? > 0, "{tampering}");
        let all = books.findings(tenant).await?;
        assert!(
            all.iter().any(|what| what.contains(found)),
            "{tampering}: {all:?}"
        );
        if !undo.is_empty() {
            books.tamper(tenant, undo).await?;
            assert_eq!(
                books.findings(tenant).await?,
                Vec::<String>::new(),
                "{undo}"
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_entry_that_skips_the_queue_or_vanishes_is_found() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    pay_in(&books, tenant, books.given_party(), Cents::whole(5)).await?;

    books.tamper(tenant, "delete from unsealed").await?;
    let all = books.findings(tenant).await?;
    assert!(all[0].contains("not exactly once in the chain"), "{all:?}");
    Ok(())
}

/// C16: fifty spends race for a balance that covers one; one wins and the wallet never falls below zero.
#[tokio::test]
async fn concurrent_spends_never_overdraw_a_wallet() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let customer = books.given_party();
    pay_in(&books, tenant, customer, Cents::whole(1_000)).await?;

    let spends = (0..50).map(|_| {
        let (db, entry) = (
            books.db.clone(),
            spend(&books, customer, Cents::whole(1_000)),
        );
        tokio::spawn(async move {
            let mut tx = db.begin(tenant).await?;
            ledger::post(&mut tx, entry, noon()).await?;
            tx.commit().await
        })
    });
    let mut won = 0;
    for spent in futures_util::future::join_all(spends).await {
        match spent? {
            Ok(()) => won += 1,
            Err(error) => assert!(is_overdrawn(&error), "{error}"),
        }
    }

    assert_eq!(won, 1);
    assert_eq!(books.balance(tenant, customer).await?, Cents::ZERO);
    assert_eq!(books.findings(tenant).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_wallet_that_nobody_filled_buys_nothing() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let entry = spend(&books, books.given_party(), Cents::whole(1));
    let mut tx = books.db.begin(tenant).await?;
    let refused = ledger::post(&mut tx, entry, noon()).await.unwrap_err();
    assert!(is_overdrawn(&refused), "{refused}");
    Ok(())
}

/// Taking back what was spent leaves a debt; the debt is paid first and cannot be deepened by spending.
#[tokio::test]
async fn money_taken_back_after_it_was_spent_becomes_a_debt() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let customer = books.given_party();
    pay_in(&books, tenant, customer, Cents::whole(10)).await?;
    put(&books, tenant, spend(&books, customer, Cents::whole(10))).await?;
    put(
        &books,
        tenant,
        take_back(&books, customer, Cents::whole(10)),
    )
    .await?;
    assert_eq!(books.balance(tenant, customer).await?, Cents::whole(-10));

    pay_in(&books, tenant, customer, Cents::whole(4)).await?;
    let spending = put(&books, tenant, spend(&books, customer, Cents::whole(1))).await;
    assert!(spending.is_err(), "a debt is not a credit line");
    pay_in(&books, tenant, customer, Cents::whole(16)).await?;
    let spending = put(&books, tenant, spend(&books, customer, Cents::whole(11))).await;
    assert!(spending.is_err(), "the old debt is no limit");
    put(&books, tenant, spend(&books, customer, Cents::whole(10))).await?;
    assert_eq!(books.balance(tenant, customer).await?, Cents::ZERO);
    Ok(())
}

#[tokio::test]
async fn tenants_keep_books_of_their_own() -> Result<()> {
    let books = given_books().await?;
    let (mine, yours) = (books.given_tenant().await?, books.given_tenant().await?);
    let customer = books.given_party();
    pay_in(&books, mine, customer, Cents::whole(5)).await?;

    assert_eq!(books.balance(yours, customer).await?, Cents::ZERO);
    assert_eq!(seal_all(&books.db, yours, noon()).await?, 0);
    Ok(())
}

async fn pay_in(
    books: &Books,
    tenant: TenantId,
    customer: CustomerId,
    amount: Cents,
) -> Result<()> {
    put(books, tenant, payment(books, customer, amount)).await
}

async fn put(books: &Books, tenant: TenantId, entry: Entry) -> Result<()> {
    let mut tx = books.db.begin(tenant).await?;
    ledger::post(&mut tx, entry, noon()).await?;
    Ok(tx.commit().await?)
}

/// A fee needs no row beside its entry, so the books alone can be proved.
fn payment(books: &Books, customer: CustomerId, amount: Cents) -> Entry {
    let cash = Leg::account(AccountCode::CASH);
    entry(
        books,
        EntryKind::Fee,
        customer,
        cash,
        Leg::wallet(customer),
        amount,
    )
}

fn spend(books: &Books, customer: CustomerId, amount: Cents) -> Entry {
    let sold = Leg::account(AccountCode::OTHER_INCOME);
    entry(
        books,
        EntryKind::Fee,
        customer,
        Leg::wallet(customer),
        sold,
        amount,
    )
}

fn take_back(books: &Books, customer: CustomerId, amount: Cents) -> Entry {
    let cash = Leg::account(AccountCode::CASH);
    entry(
        books,
        EntryKind::Void,
        customer,
        Leg::wallet(customer),
        cash,
        amount,
    )
}

fn entry(
    books: &Books,
    kind: EntryKind,
    customer: CustomerId,
    debit: Leg,
    credit: Leg,
    amount: Cents,
) -> Entry {
    Entry {
        id: EntryId::new(noon(), books.db.entropy()),
        kind,
        occurred_at: noon(),
        customer: Some(customer),
        source: "story".into(),
        description: "paid".into(),
        transfers: vec![Transfer {
            debit,
            credit,
            amount,
        }],
    }
}
