//! One subscriber's data: shown to him whole, taken out on his wish while the books still prove, and gone
//! with their time.

pub mod kept;
mod others;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::ledger::seal_all;
use easyisp_shared::id::TenantId;
use easyisp_tests::operator::http_client;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::Usage;
use easyisp_tests::router::subscriber::{Dial, Method as Login};
use easyisp_tests::scenario::{Payer, Pin};
use easyisp_tests::world::{PASSWORD, Provider, Site, World, eventually, soon};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Connection;

use crate::words::DAY;

const NAME: &str = "Wanjiku Kamau";
const USERNAME: &str = "wanjiku.k";
const PHONE: &str = "254712345691";
const MAC: &str = "AA:BB:CC:0D:0E:0F";
const HOME: &str = "2001:db8:900::/56";
/// By which she is known anywhere.
const WORDS: [&str; 8] = [
    "wanjiku",
    "kamau",
    "712345691",
    "aa:bb:cc:0d:0e:0f",
    "aabbcc0d0e0f",
    "thindigua",
    "-1.2105",
    "her-secret",
];

/// A subscriber with a life: everything of it is in the file that she may ask for.
#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_kept_of_somebody_is_in_one_file() -> Result<()> {
    let world = World::start().await?;
    let life = Life::lead(&world).await?;
    let path = format!("/customers/{}/data", life.customer);
    let data = eventually("all is there", async || {
        let data = life.isp.owner.get(&path).await?;
        let done = rows(&data, "messages") > 0 && rows(&data, "providerCallbacks") > 0;
        Ok(done.then_some(data))
    })
    .await?;

    assert_eq!(data["customer"]["name"], NAME);
    assert_eq!(data["customer"]["phone"], "0712 345 691");
    assert_eq!(data["customer"]["walletBalance"], 0);
    assert_eq!(data["password"], "********");
    assert!(!data.to_string().contains("her-secret"));
    assert_eq!(data["devices"], json!([MAC]));
    assert_eq!(data["rowsAtMost"], 1000);
    for list in [
        "sessions",
        "usage",
        "logins",
        "payments",
        "paymentPrompts",
        "providerCallbacks",
        "wallet",
        "invoices",
        "periods",
        "vouchers",
        "messages",
        "trail",
    ] {
        assert!(rows(&data, list) > 0, "{list}: {data}");
        assert_eq!(data[list]["complete"], true, "{list}");
    }
    assert_eq!(data["sessions"]["rows"][0]["macAddress"], MAC);
    assert_eq!(data["sessions"]["rows"][0]["ipv6Prefixes"], json!([HOME]));
    let accepted = |login: &&Value| login["accepted"] == true;
    let logins = data["logins"]["rows"].as_array().context("logins")?;
    assert!(logins.iter().any(|login| accepted(&login)));
    assert!(!logins.iter().all(|login| accepted(&login)));
    let told = data["providerCallbacks"]["rows"][0]["body"].as_str();
    assert!(told.context("a body")?.contains(PHONE));

    // As a file, and in the trail.
    let file = http_client()
        .get(format!("http://{}/api{path}", world.api()))
        .bearer_auth(life.isp.owner.token())
        .send()
        .await?;
    let name = file.headers()["content-disposition"].to_str()?;
    assert!(
        name.starts_with("attachment; filename=\"subscriber-"),
        "{name}"
    );
    let trail = life
        .isp
        .owner
        .get("/audit-logs?action=CUSTOMER_DATA_EXPORT")
        .await?;
    assert!(trail["total"].as_i64() >= Some(2), "{trail}");
    assert_eq!(trail["logs"][0]["targetId"], life.customer);

    // A correction is in the trail, before and after, without a whole number.
    let trail = life.isp.owner.get("/audit-logs?action=INFO_UPDATE").await?;
    let line = &trail["logs"][0];
    assert_eq!(line["before"]["name"], "Wanjiku");
    assert_eq!(line["after"]["name"], NAME);
    assert!(!line.to_string().contains("712345691"), "{line}");
    life.site.stop().await;
    world.stop().await
}

/// Afterwards no row of any table names her, the books prove and say the same, and nobody else is touched.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_erased_is_nowhere_and_the_books_still_prove() -> Result<()> {
    let world = World::start().await?;
    let life = Life::lead(&world).await?;
    let tenant = life.isp.tenant().await?;
    eventually("she was told", async || {
        let data = format!("/customers/{}/data", life.customer);
        let data = life.isp.owner.get(&data).await?;
        Ok((rows(&data, "messages") > 0 && rows(&data, "providerCallbacks") > 0).then_some(()))
    })
    .await?;
    seal_all(world.db(), tenant, world.clock.now()).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    let of_hers = format!("/customers/{}", life.customer);
    let note = json!({"text": format!("{NAME} has a dog")});
    life.isp
        .owner
        .post(&format!("{of_hers}/notes"), &note)
        .await?;
    let tags = json!({"tags": [format!("aunt of {USERNAME}")]});
    life.isp.owner.put(&of_hers, &tags).await?;
    let data = life.isp.owner.get(&format!("{of_hers}/data")).await?;
    assert_eq!(rows(&data, "notes"), 1);
    assert_eq!(data["customer"]["tags"], tags["tags"]);
    let money = money(&world, tenant).await?;
    let theirs = rows_that_say(&world, life.elsewhere.tenant().await?, &WORDS).await?;
    let neighbour = life.isp.customer(&life.neighbour).await?;
    let named: BTreeSet<String> = rows_that_say(&world, tenant, &WORDS)
        .await?
        .into_iter()
        .map(|(table, _)| table)
        .collect();
    for table in [
        "audit",
        "auth_log",
        "customer_notes",
        "customer_tags",
        "customer_usage",
        "customer_words",
        "customers",
        "entries",
        "expenses",
        "feed",
        "incomes",
        "intents",
        "invoices",
        "messages",
        "payment_inbox",
        "payments",
        "sessions",
    ] {
        assert!(named.contains(table), "{table} named her: {named:?}");
    }

    assert_eq!(addresses(&world, tenant, &life.customer).await?, 3);

    kept::the_provider_confirms(&world, tenant).await?;
    let path = format!("/customers/{}/erase", life.customer);
    life.refuses_what_is_not_meant(&world, &path).await?;
    let wish = json!({"reason": "Asked by letter of 2 May", "confirm": USERNAME});
    let erased = life.isp.owner.post(&path, &wish).await?;
    let pseudonym = erased["pseudonym"].as_str().context("a pseudonym")?;
    assert!(pseudonym.starts_with("erased-"), "{erased}");

    // Her session ends, and what her site still tells of it names nobody.
    soon("her session ends", life.online.ended()).await?;
    kept::no_session_is_open(&world, tenant, &life.customer).await?;
    life.site.reported().await?;
    let (site, name) = (&life.site.agent().overview().site, USERNAME.as_bytes());
    eventually("her site forgets her", async || {
        Ok(site.subscriber(name).is_none().then_some(()))
    })
    .await?;
    let left = rows_that_say(&world, tenant, &WORDS).await?;
    assert_eq!(left, Vec::new(), "they still name her");
    assert_eq!(addresses(&world, tenant, &life.customer).await?, 0);

    assert_eq!(self::money(&world, tenant).await?, money);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    seal_all(world.db(), tenant, world.clock.now()).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    assert_eq!(
        rows_that_say(&world, life.elsewhere.tenant().await?, &WORDS).await?,
        theirs
    );
    assert_eq!(life.isp.customer(&life.neighbour).await?, neighbour);
    let trail = life
        .isp
        .owner
        .get("/audit-logs?action=CUSTOMER_ERASE")
        .await?;
    assert_eq!(trail["logs"][0]["details"], "Asked by letter of 2 May");
    assert_eq!(trail["logs"][0]["targetName"], pseudonym);
    let data = format!("/customers/{}/data", life.customer);
    let data = life.isp.owner.get(&data).await?;
    assert_eq!(data["customer"]["name"], pseudonym);
    assert!(rows(&data, "payments") > 0 && rows(&data, "wallet") > 0);

    // The same again, whatever it confirms; and she may sign up as somebody new.
    assert_eq!(life.isp.owner.post(&path, &json!({})).await?, erased);
    let again = life
        .isp
        .owner
        .post("/customers", &record(&life.isp.package))
        .await?;
    assert_ne!(again["id"], life.customer);

    tampering_is_found(&world, tenant).await?;
    life.site.stop().await;
    world.stop().await
}

/// While money is on its way or in his wallet nobody is erased, and the refusal says why.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_erased_while_money_is_open() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "open").await?;
    let until = world.clock.now().plus(DAY);
    let customer = isp.add_subscriber("imani", PHONE, until).await?;
    let path = format!("/customers/{customer}/erase");
    let wish = json!({"reason": "Moved away", "confirm": "imani"});
    let refused = async |wish: &Value| -> Result<String> {
        let (status, answer) = isp.owner.call(Method::POST, &path, Some(wish)).await?;
        ensure!(status == StatusCode::CONFLICT, "{status} {answer}");
        Ok(answer["code"].as_str().context("a code")?.to_owned())
    };

    let held = Payer {
        pin: Pin::Held,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, held);
    let checkout = isp.ask_to_pay(&customer, 40).await?;
    assert_eq!(refused(&wish).await?, "PAYMENT_OPEN");
    world.outside.mpesa.type_pin(&checkout);
    isp.customer_becomes(&customer, "paid", |row| row["walletBalance"] == 40)
        .await?;
    kept::the_provider_confirms(&world, isp.tenant().await?).await?;
    let code = eventually("the payment has ended", async || {
        let code = refused(&wish).await?;
        Ok((code != "PAYMENT_OPEN").then_some(code))
    })
    .await?;
    assert_eq!(code, "MONEY_LEFT");

    let tenant = isp.tenant().await?;
    let mut wish = wish;
    wish["leaveBalance"] = json!(true);
    let bill = json!({"customerId": customer, "amount": 5, "dueDate": "2027-02-15",
        "items": [{"description": "Cable", "amount": 5}]});
    let bill = isp.owner.post("/finance/invoices", &bill).await?;
    assert_eq!(refused(&wish).await?, "MONEY_OWED", "an open invoice");
    let status = format!(
        "/finance/invoices/{}/status",
        bill["id"].as_str().context("a number")?
    );
    isp.owner
        .put(&status, &json!({"status": "cancelled"}))
        .await?;
    kept::owes(&world, tenant, &customer).await?;
    assert_eq!(refused(&wish).await?, "MONEY_OWED");
    kept::has(&world, tenant, &customer).await?;
    isp.owner.post(&path, &wish).await?;
    world.stop().await
}

/// A payment that nobody waited for any more is booked all the same, and the next day says nothing of him.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_booked_and_names_nobody() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "late").await?;
    let tenant = isp.tenant().await?;
    let until = world.clock.now().plus(DAY);
    let customer = isp.add_subscriber("imani", PHONE, until).await?;
    let path = format!("/customers/{customer}/erase");
    let wish = json!({"reason": "Moved away", "confirm": "imani"});
    let held = Payer {
        pin: Pin::Held,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, held);
    let checkout = isp.ask_to_pay(&customer, 40).await?;

    // For the payer it is over after five minutes; the provider is asked for a day.
    world.clock.advance(Duration::from_secs(6 * 60));
    kept::intent_becomes(&world, tenant, "EXPIRED").await?;
    isp.owner.confirm().await?;
    let (status, answer) = isp.owner.call(Method::POST, &path, Some(&wish)).await?;
    ensure!(status == StatusCode::CONFLICT && answer["code"] == "PAYMENT_OPEN");

    world.clock.advance(DAY);
    isp.owner.confirm().await?;
    isp.owner.post(&path, &wish).await?;
    assert_eq!(
        rows_that_say(&world, tenant, &["712345691"]).await?,
        Vec::new()
    );

    world.outside.mpesa.type_pin(&checkout);
    eventually("the money is in the books", async || {
        let said = rows_that_say(&world, tenant, &["712345691"]).await?;
        let booked = money(&world, tenant).await?;
        let received = booked
            .iter()
            .any(|(what, _, sum)| what == "payments" && *sum == 4000);
        Ok((received && !said.is_empty()).then_some(()))
    })
    .await?;
    let booked = money(&world, tenant).await?;
    world.clock.advance(DAY);
    eventually("nothing names him again", async || {
        let said = rows_that_say(&world, tenant, &["712345691"]).await?;
        Ok(said.is_empty().then_some(()))
    })
    .await?;
    assert_eq!(money(&world, tenant).await?, booked);
    assert_eq!(world.book_findings().await?, Vec::<String>::new());
    world.stop().await
}

/// A subscriber who did a bit of everything, a neighbour, and somebody of the same name elsewhere.
struct Life {
    isp: Provider,
    elsewhere: Provider,
    site: Site,
    customer: String,
    neighbour: String,
    online: Online,
}

impl Life {
    async fn lead(world: &World) -> Result<Life> {
        let isp = Provider::with_paybill(world, "ours").await?;
        let elsewhere = Provider::sign_up(world, "elsewhere").await?;
        let owner = &elsewhere.owner;
        owner
            .post("/customers", &record(&elsewhere.package))
            .await?;
        let site = Site::open(world, &isp).await?;
        let until = world.clock.now().plus(DAY);
        let neighbour = isp.add_subscriber("otieno", "254712345692", until).await?;

        let owner = &isp.owner;
        let mut body = record(&isp.package);
        body["name"] = json!("Wanjiku");
        body["phone"] = json!("0700000001");
        let made = owner.post("/customers", &body).await?;
        let customer = made["id"].as_str().context("an id")?.to_owned();
        let path = format!("/customers/{customer}");
        let networks = json!({"delegatedIpv6Prefix": HOME});
        owner.put(&format!("{path}/networks"), &networks).await?;
        let right = json!({"name": NAME, "phone": "0712 345 691"});
        owner.put(&path, &right).await?;
        site.knows(USERNAME, "with her networks", |her| her.networks.is_some())
            .await?;

        let wrong = site
            .router
            .subscriber(USERNAME, "a guess", Login::Pap)
            .mac(MAC);
        ensure!(matches!(wrong.dial().await, Dial::Rejected(_)));
        let right = site
            .router
            .subscriber(USERNAME, "her-secret", Login::Pap)
            .mac(MAC);
        let online = right.dial().await.online();
        online.started().await;
        online.transfer(Usage { up: 500, down: 600 });
        online.interim().await;
        site.reported().await?;
        isp.session_becomes(USERNAME, online.id(), "metered", |row| {
            row["bytesOut"] == 600
        })
        .await?;

        world.outside.mpesa.script(PHONE, Payer::prompt());
        isp.ask_to_pay(&customer, 1000).await?;
        isp.customer_becomes(&customer, "paid", |row| row["totalSpent"] == 1000)
            .await?;
        let cash = json!({"amount": 1000, "description": "from the hand of Wanjiku Kamau"});
        owner.post(&format!("{path}/recharge"), &cash).await?;
        owner.post(&format!("{path}/mac-lock"), &json!({})).await?;
        kept::have_books(owner, &customer).await?;
        let search = format!(
            "/sessions/search?mac={MAC}&at={}&reason=police",
            world.clock.now()
        );
        owner.get(&search).await?;
        kept::use_a_voucher(world, &isp, &customer).await?;
        Ok(Life {
            isp,
            elsewhere,
            site,
            customer,
            neighbour,
            online,
        })
    }

    /// Not without a reason, not by mistake, not with her name in the reason, not by a program.
    async fn refuses_what_is_not_meant(&self, world: &World, path: &str) -> Result<()> {
        for (body, field) in [
            (json!({"confirm": USERNAME}), "reason"),
            (json!({"reason": "Asked"}), "confirm"),
            (json!({"reason": "Asked", "confirm": "otieno"}), "confirm"),
            (
                json!({"reason": "Mrs Kamau, wanjiku.k, asked", "confirm": USERNAME}),
                "reason",
            ),
        ] {
            let (status, answer) = self.isp.owner.call(Method::POST, path, Some(&body)).await?;
            ensure!(
                status == StatusCode::BAD_REQUEST,
                "{body}: {status} {answer}"
            );
            ensure!(answer["details"][0]["field"] == field, "{body}: {answer}");
        }
        let key =
            json!({"name": "Books", "permissions": ["customers:delete"], "password": PASSWORD});
        let key = self.isp.owner.post("/api-keys", &key).await?;
        let answer = http_client()
            .post(format!("http://{}/api{path}", world.api()))
            .bearer_auth(key["key"].as_str().context("a key")?)
            .json(&json!({"reason": "Asked", "confirm": USERNAME}))
            .send()
            .await?;
        ensure!(
            answer.status() == StatusCode::FORBIDDEN,
            "{}",
            answer.status()
        );
        Ok(())
    }
}

fn record(package: &str) -> Value {
    json!({
        "username": USERNAME, "password": "her-secret", "name": NAME, "phone": "0712345691",
        "email": "wanjiku@kamau.example", "connectionType": "PPPOE", "packageId": package,
        "location": "Thindigua, second gate", "latitude": -1.2105, "longitude": 36.8302,
        "houseNumber": "Kamau 7", "expiresAt": "2027-03-01T00:00:00Z",
    })
}

fn rows(data: &Value, list: &str) -> usize {
    data[list]["rows"].as_array().map_or(0, Vec::len)
}

/// Table and text of every row there is for a tenant that says one of these words, also in bytes.
async fn rows_that_say(
    world: &World,
    tenant: TenantId,
    words: &[&str],
) -> Result<Vec<(String, String)>> {
    let mut owner = kept::owner(world, tenant).await?;
    sqlx::raw_sql(
        "create function pg_temp.every_row() returns table (place text, said text)
         language plpgsql as $$
         declare
             one record;
         begin
             for one in select n.nspname, c.relname
                          from pg_class c
                          join pg_namespace n on n.oid = c.relnamespace
                         where n.nspname in ('public', 'directory') and c.relkind in ('r', 'p')
                           and not c.relispartition
                         order by 1, 2 loop
                 return query execute format(
                     'select %L::text, t::text from %I.%I t', one.relname, one.nspname, one.relname);
             end loop;
         end $$",
    )
    .execute(&mut owner)
    .await?;
    let mut wanted: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    wanted.extend(words.iter().map(hex::encode));
    wanted.push(hex::encode(NAME));
    let found = sqlx::query_as(
        "select place, said from pg_temp.every_row()
          where exists (select from unnest($1::text[]) as w (word) where position(w.word in lower(said)) > 0)
          order by 1, 2",
    )
    .bind(wanted)
    .fetch_all(&mut owner)
    .await?;
    owner.close().await?;
    Ok(found)
}

/// What counts money, which stays what it was.
async fn money(world: &World, tenant: TenantId) -> Result<Vec<(String, i64, i64)>> {
    let mut tx = world.db().begin(tenant).await?;
    Ok(sqlx::query_as(
        "select 'transfers', count(*), coalesce(sum(amount), 0)::bigint from transfers
         union all select 'payments', count(receipt), coalesce(sum(amount), 0)::bigint from payments
         union all select 'periods', count(*), coalesce(sum(price), 0)::bigint from periods
         union all select 'wallets', count(*), coalesce(sum(balance), 0)::bigint from wallets
         union all select 'spent', count(*), coalesce(sum(total_spent), 0)::bigint from customers
         order by 1",
    )
    .fetch_all(&mut *tx)
    .await?)
}

/// How many addresses are kept of her.
async fn addresses(world: &World, tenant: TenantId, customer: &str) -> Result<i64> {
    let mut tx = world.db().begin(tenant).await?;
    Ok(sqlx::query_scalar(
        "select (select count(*) from sessions where customer_id = $1::uuid and (framed_ip is not null or prefixes <> '{}'))
              + (select count(*) from session_prefixes p join sessions s on s.id = p.session_id
                  where s.customer_id = $1::uuid)
              + (select count(*) from customer_usage where customer_id = $1::uuid and last_ip is not null)",
    )
    .bind(customer)
    .fetch_one(&mut *tx)
    .await?)
}

/// What was blanked cannot be written anew, and nothing else can be called blanked.
async fn tampering_is_found(world: &World, tenant: TenantId) -> Result<()> {
    let mut owner = kept::owner(world, tenant).await?;
    sqlx::query(
        "update audit set details = 'Nothing happened'
          where id = (select subject_id from redactions where kind = 'AUDIT' order by 1 limit 1)",
    )
    .execute(&mut owner)
    .await?;
    let found = world.book_findings().await?;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].contains("changed after it was blanked"),
        "{found:?}"
    );
    sqlx::query("update audit set details = '' where details = 'Nothing happened'")
        .execute(&mut owner)
        .await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    // The chain itself proves what was not blanked, whatever is written beside it.
    let amount = "update transfers set amount = amount + $1
                   where entry_id = (select subject_id from redactions where kind = 'ENTRY' limit 1)";
    sqlx::query(amount).bind(1_i64).execute(&mut owner).await?;
    let found = world.book_findings().await?;
    let blames = |what: &str| found.iter().any(|finding| finding.contains(what));
    assert!(blames("its digest is not the chain's"), "{found:?}");
    sqlx::query(amount).bind(-1_i64).execute(&mut owner).await?;
    assert_eq!(world.book_findings().await?, Vec::<String>::new());

    sqlx::query(
        "insert into redactions (tenant_id, line_id, kind, subject_id, digest)
         select a.tenant_id, r.line_id, 'AUDIT', a.id, r.digest
           from (select * from audit where action = 'TENANT_CREATE') a
          cross join (select * from redactions limit 1) r",
    )
    .execute(&mut owner)
    .await?;
    let found = world.book_findings().await?;
    let blames = |what: &str| found.iter().any(|finding| finding.contains(what));
    assert!(blames("does not vouch for them"), "{found:?}");
    assert!(blames("changed after it was blanked"), "{found:?}");
    owner.close().await?;
    Ok(())
}
