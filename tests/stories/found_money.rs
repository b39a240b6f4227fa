//! What a search finds of payments, income and invoices, and that it looks at no more rows than it needs.

use anyhow::{Context, Result};
use easyisp_cloud::db::Tx;
use easyisp_tests::grown;
use easyisp_tests::scenario::{Payer, Pin};
use easyisp_tests::world::{Provider, World, eventually};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::c2b::{pay, register, worked};
use crate::money::given_books;
use crate::words::DAY;

/// Somebody in the lists by whatever one knows of him or of his money; a word that fits nothing finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn money_is_found_by_receipt_account_phone_and_the_words_of_customers() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "finder").await?;
    register(&isp).await?;
    let owner = &isp.owner;
    let until = world.clock.now().plus(DAY);
    let mut ids = Vec::new();
    for (user, name, phone) in [
        ("asha.n", "Asha Njeri", "254712345601"),
        ("baraka", "Baraka Otieno", "254712345602"),
    ] {
        let customer = json!({"username": user, "password": user, "name": name, "phone": phone,
            "connectionType": "PPPOE", "packageId": isp.package, "expiresAt": until.to_string()});
        let made = owner.post("/customers", &customer).await?;
        ids.push(made["id"].as_str().context("an id")?.to_owned());
    }
    let receipt = pay(&world, "0799000111", "1000", "asha.n").await?;
    let strange = pay(&world, "0799000111", "500", "Mama House 7B").await?;
    worked(&world, &isp).await?;
    let by_hand = json!({"customerId": ids[1], "amount": 300, "method": "BANK_TRANSFER",
        "reference": "CHQ 0012", "description": "Deposit for a mast"});
    owner.post("/payments/manual", &by_hand).await?;
    // A prompt that nobody answers.
    let never = Payer {
        pin: Pin::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script("254712345602", never);
    let checkout = isp.ask_to_pay(&ids[1], 700).await?;
    let invoice = json!({"customerId": ids[0], "amount": 900, "dueDate": "2027-02-20",
        "items": [{"description": "Cable", "amount": 900}]});
    let invoice = owner.post("/finance/invoices", &invoice).await?;
    let number = invoice["id"].as_str().context("a number")?.to_owned();
    let cheque = json!({"status": "paid", "method": "Bank Transfer", "reference": "CHQ 77"});
    let path = format!("/finance/invoices/{number}/status");
    owner.put(&path, &cheque).await?;

    let [mpesa, income, invoices] = ["/payments/mpesa", "/finance/income", "/finance/invoices"];
    let nobodys = "/payments/unallocated";
    let lower = receipt.to_lowercase();
    for (list, typed, count) in [
        (mpesa, &*receipt, 1),
        (mpesa, &lower[..6], 1),
        (mpesa, &strange[..7], 1),
        (mpesa, "Mama House 7B", 1),
        (mpesa, "House 7", 1),
        (mpesa, "house 7", 1),
        (mpesa, "SE 7", 1), // any part of an account
        (mpesa, &lower[3..8], 1),
        (mpesa, &lower[3..6], 0), // what is so short stands in too many receipts
        (mpesa, "345602", 1),     // a prompt's phone
        (mpesa, &checkout[3..12], 1),
        (mpesa, "asha", 1),
        (mpesa, "NJERI", 1),
        (mpesa, "njeri asha", 1),
        (mpesa, "0712345601", 1),
        (mpesa, "baraka", 1),
        (mpesa, &checkout, 1),
        (mpesa, "nobody at all", 0),
        (mpesa, "%", 0),
        (mpesa, "", 3),
        (nobodys, &strange[..7], 1),
        (nobodys, &strange.to_lowercase()[2..], 1),
        (nobodys, "house", 1),
        (nobodys, "0799000", 0), // of a payment at the till only a digest of the phone is told
        (nobodys, "asha", 0),
        (nobodys, "%", 0),
        (nobodys, "", 1),
        (income, &*receipt, 1),
        (income, "njeri", 2), // and her invoice, paid by a cheque
        (income, "MAST", 1),
        (income, "chq 00", 1),
        (income, "CHQ 77", 1),
        (income, "otieno", 1),
        (income, "nobody at all", 0),
        (invoices, "INV-2027", 1),
        (invoices, "2027", 1),
        (invoices, &number, 1),
        (invoices, "njeri", 1),
        (invoices, "chq77", 1),
        (invoices, "q 7", 1),
        (invoices, "v-2027", 1),
        (invoices, "0001", 1),
        (invoices, "otieno", 0),
        (invoices, "INV-2026", 0),
    ] {
        let typed_as = typed.replace('%', "%25").replace(' ', "%20");
        let found = owner
            .get(&format!("{list}?page=1&pageSize=20&search={typed_as}"))
            .await?;
        assert_eq!(rows(&found), count, "{list} {typed:?}: {found}");
        assert_eq!(found["total"], count, "{list} {typed:?}: {found}");
    }
    // What is counted beside the list is of the same rows.
    let found = owner.get(&format!("{income}?page=1&search=njeri")).await?;
    assert_eq!(found["stats"]["totalIncome"], 1900, "{found}");
    let found = owner
        .get(&format!("{invoices}?page=1&search=njeri"))
        .await?;
    assert_eq!(rows(&found), 1, "{found}");
    // And of somebody by his new name.
    owner
        .put(
            &format!("/customers/{}", ids[0]),
            &json!({"name": "Asha Wambui"}),
        )
        .await?;
    eventually("she is found by her new name", async || {
        let found = owner.get(&format!("{mpesa}?page=1&search=wambui")).await?;
        Ok((found["total"] == 1).then_some(()))
    })
    .await?;
    world.stop().await
}

fn rows(found: &Value) -> usize {
    let lists = found.as_object().into_iter().flatten();
    lists
        .filter_map(|(_, list)| list.as_array())
        .map(Vec::len)
        .max()
        .unwrap_or_default()
}

/// Among many payments a search reads those that it finds, and the newest for what stands in the middle of them, or for a
/// word that fits everybody; never the table from end to end.
#[tokio::test]
async fn a_search_among_many_payments_walks_indexes() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let (customers, payments) = (2_000, 20_000);
    grown::write(&books.fresh, tenant, customers, payments).await?;
    let mut admin = PgConnection::connect_with(&books.fresh.anybody()).await?;
    let words = "insert into customer_words (tenant_id, word, customer_id)
                 select $1, word, md5('customer' || n)::uuid
                   from generate_series(0, 1999) n
                  cross join lateral (values ('john'), (case when n = 7 then 'njeri' end)) w (word)
                  where word is not null";
    sqlx::query(words).bind(tenant).execute(&mut admin).await?;
    sqlx::raw_sql("analyze payments; analyze customer_words")
        .execute(&mut admin)
        .await?;
    // The newest half is looked through for parts of what is known of a payment.
    for (typed, count, most) in [
        ("R000000123", 1, 10_050),
        ("r00000012", 10, 10_100),
        ("00000012", 0, 10_050), // too old for its middle to be found
        ("00019", 1_000, 11_050),
        ("njeri", 10, 10_100),
        ("nobody", 0, 10_050),
        ("jo", 10_000, 45_000),
    ] {
        let mut tx = books.db.begin(tenant).await?;
        let walk = Walk::begin(&mut tx, "payments").await?;
        let found: Vec<Uuid> = sqlx::query_scalar(
            "select id from payments
              where tenant_id = $1 and id = any((select found_payments($1, $2, null))::uuid[])",
        )
        .bind(tenant)
        .bind(typed)
        .fetch_all(&mut *tx)
        .await?;
        assert_eq!(found.len(), count, "{typed}");
        let (whole, read) = walk.end(&mut tx).await?;
        assert_eq!(whole, 0, "{typed}: the whole table was read");
        assert!(read <= most, "{typed}: {read} rows were read");
    }
    // What is nobody's, among all that is somebody's.
    let mut tx = books.db.begin(tenant).await?;
    let walk = Walk::begin(&mut tx, "payments").await?;
    let none: Vec<Uuid> =
        sqlx::query_scalar("select unnest(found_unallocated($1, 'R00000', null))")
            .bind(tenant)
            .fetch_all(&mut *tx)
            .await?;
    let (whole, read) = walk.end(&mut tx).await?;
    assert!(none.is_empty() && whole == 0, "{none:?}, {whole} scans");
    assert!(read <= 20_000, "{read} rows were read");
    drop(tx);
    // The day of a short code, as it is compared with a statement.
    let mut tx = books.db.begin(tenant).await?;
    let plan: Vec<String> = sqlx::query_scalar(
        "explain select coalesce(sum(amount), 0)::bigint
           from payments
          where tenant_id = $1 and paid_at >= $2 and paid_at < $2::timestamptz + interval '1 day' and method = 'MPESA'
            and status <> 'voided'
            and gateway_id in (select same.id
                                 from gateways here
                                 join gateways same on same.tenant_id = $1 and same.shortcode = here.shortcode
                                                   and same.type = here.type
                                where here.tenant_id = $1 and here.id = $3)",
    )
    .bind(tenant)
    .bind(crate::money::noon())
    .bind(Uuid::nil())
    .fetch_all(&mut *tx)
    .await?;
    let plan = plan.join("\n");
    assert!(!plan.contains("Seq Scan on payments"), "{plan}");
    drop(tx);
    // What was typed by hand is looked through for words, and not where only providers' payments are shown.
    sqlx::query(
        "update payments set method = 'CASH' where tenant_id = $1 and receipt < 'R000010000'",
    )
    .bind(tenant)
    .execute(&mut admin)
    .await?;
    for (function, least, most) in [
        ("found_payments", 20_000, i64::MAX),
        ("found_electronic", 10_000, 10_050),
    ] {
        let mut tx = books.db.begin(tenant).await?;
        let walk = Walk::begin(&mut tx, "payments").await?;
        // As the lists ask: a plan that unnests it would ask it once more to know how many they are.
        let ids: Vec<Uuid> = sqlx::query_scalar(match function {
            "found_payments" => "select found_payments($1, 'nobody', null)",
            _ => "select found_electronic($1, 'nobody', null)",
        })
        .bind(tenant)
        .fetch_one(&mut *tx)
        .await?;
        assert_eq!(ids, Vec::<Uuid>::new(), "{function}");
        let (_, read) = walk.end(&mut tx).await?;
        assert!(
            (least..=most).contains(&read),
            "{function}: {read} rows were read"
        );
    }
    Ok(())
}

/// What was typed by hand is looked through by its words as far back as anybody reads, and found by its reference for ever.
#[tokio::test]
async fn a_search_among_many_incomes_ends_somewhere() -> Result<()> {
    let books = given_books().await?;
    let tenant = books.given_tenant().await?;
    let mut admin = PgConnection::connect_with(&books.fresh.anybody()).await?;
    // What refers to entries needs none here.
    sqlx::query("set session_replication_role = replica")
        .execute(&mut admin)
        .await?;
    sqlx::query(
        "insert into incomes (tenant_id, id, customer_name, description, amount, method, reference, account,
                              occurred_at, entry_id, operator_id, created_at)
         select $1, md5('income' || n)::uuid, 'Mast ' || n, case when n in (1, 50001) then 'Old oak' else 'Rent' end,
                100, 'CASH', 'CHQ ' || n, '4090', timestamptz '2025-01-01 12:00:00Z' + n * interval '1 minute',
                md5('entry' || n)::uuid, $2, timestamptz '2027-01-01 12:00:00Z'
           from generate_series(1, 50001) n",
    )
    .bind(tenant)
    .bind(Uuid::nil())
    .execute(&mut admin)
    .await?;
    sqlx::raw_sql("analyze incomes").execute(&mut admin).await?;
    for (typed, count) in [
        ("old OAK", 1),
        ("chq1", 1),
        ("CHQ 50001", 1),
        ("rent", 10_000),
    ] {
        let mut tx = books.db.begin(tenant).await?;
        let found: i64 = sqlx::query_scalar("select cardinality(found_incomes($1, $2))::bigint")
            .bind(tenant)
            .bind(typed)
            .fetch_one(&mut *tx)
            .await?;
        assert_eq!(found, count, "{typed}");
    }
    Ok(())
}

/// How much of a table a transaction read, from a moment in it on.
///
/// A connection keeps what it counted for up to a second before it reports it, also over the ends of transactions: what
/// stands there at first is of those before.
pub(crate) struct Walk {
    table: &'static str,
    before: (i64, i64),
}

impl Walk {
    pub(crate) async fn begin(tx: &mut Tx, table: &'static str) -> Result<Walk> {
        let before = counted(tx, table).await?;
        Ok(Walk { table, before })
    }

    /// How often it was read from end to end since, and how many of its rows by an index.
    pub(crate) async fn end(self, tx: &mut Tx) -> Result<(i64, i64)> {
        let (whole, read) = counted(tx, self.table).await?;
        Ok((whole - self.before.0, read - self.before.1))
    }
}

async fn counted(tx: &mut Tx, table: &str) -> Result<(i64, i64)> {
    Ok(sqlx::query_as(
        "select coalesce(sum(seq_scan), 0)::bigint, coalesce(sum(idx_tup_fetch), 0)::bigint
           from pg_stat_xact_user_tables where relname = $1",
    )
    .bind(table)
    .fetch_one(&mut **tx)
    .await?)
}
