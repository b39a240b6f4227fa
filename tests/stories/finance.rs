//! What an owner books by hand, what comes every month, what the reports say, and days that are closed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_cloud::finance::post_due;
use easyisp_cloud::ledger::{Scope, verify};
use easyisp_cloud::renewals::{Channel, Method as Came, Receipt, receive};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, World, eventually};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::money::at;
use crate::words::{DAY, HOUR};

const ACCOUNTS: &str = "/finance/accounts";
const INCOME: &str = "/finance/income";
const EXPENSES: &str = "/finance/expenses";

/// A provider for good, and his owner signed in.
pub struct Shop {
    pub world: World,
    pub isp: Provider,
}

impl Shop {
    pub async fn open(name: &str) -> Result<Shop> {
        let world = World::start().await?;
        let isp = Provider::sign_up(&world, name).await?;
        isp.subscribe(&world).await?;
        Ok(Shop { world, isp })
    }

    pub fn owner(&self) -> &Operator {
        &self.isp.owner
    }

    /// What is on an account.
    pub async fn balance(&self, code: &str) -> Result<Value> {
        let accounts = self.owner().get(ACCOUNTS).await?;
        let accounts = accounts.as_array().context("a bare list")?;
        let account = accounts.iter().find(|account| account["code"] == code);
        Ok(account.context("an account of that code")?["balance"].clone())
    }

    /// The status and the error code of a refusal.
    pub async fn refusal(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<(StatusCode, String)> {
        let (status, answer) = self.owner().call(method, path, Some(&body)).await?;
        let code = answer["code"].as_str().unwrap_or_default();
        Ok((status, code.to_owned()))
    }

    /// Goes to a moment; who was away for a week signs in again.
    pub async fn go_to(&mut self, moment: Timestamp) -> Result<()> {
        let now = self.world.clock.now();
        self.world.clock.advance(moment.since(now));
        self.isp.owner = Operator::login(self.world.api(), &self.isp.email(), PASSWORD).await?;
        Ok(())
    }

    /// Lets the sealer seal what was posted.
    pub async fn sealed(&self) -> Result<()> {
        self.world.clock.advance(Duration::from_secs(30));
        eventually("the books are sealed", async || {
            let report = verify(self.world.db(), Scope::All, &mut |_| {}).await?;
            Ok((report.tail == 0).then_some(()))
        })
        .await
    }

    /// The books are proved, before and after they are sealed.
    pub async fn closes(self) -> Result<()> {
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.sealed().await?;
        assert_eq!(self.world.book_findings().await?, Vec::<String>::new());
        self.world.stop().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_by_hand_is_in_the_lists_the_balances_and_the_reports() -> Result<()> {
    let shop = Shop::open("shop").await?;
    let owner = shop.owner();
    let fuel = json!({"code": "5100", "name": "Fuel", "type": "Expense"});
    owner.post(ACCOUNTS, &fuel).await?;
    let rent = json!({"customerName": "Mast tenant", "amount": 1500.10, "method": "Cash",
        "description": "Rent of a mast", "reference": "R-7"});
    let made = owner.post(INCOME, &rent).await?;
    assert_eq!(made["status"], "completed");
    let litres = json!({"description": "Diesel", "category": "fuel", "vendor": "Station",
        "amount": 300.2, "date": "2027-01-10", "paymentMethod": "M-Pesa", "notes": "20 l"});
    owner.post(EXPENSES, &litres).await?;
    let desk = json!({"description": "Desk", "category": "Furniture", "amount": 50,
        "date": "2027-01-15T07:00:00.000Z"});
    owner.post(EXPENSES, &desk).await?;
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let paid = json!({"customerId": asha, "amount": 400, "reference": "till 9"});
    owner.post("/payments/manual", &paid).await?;

    let income = owner.get(&format!("{INCOME}?page=1&pageSize=20")).await?;
    assert_eq!(
        income["stats"],
        json!({"totalIncome": 1900.1, "mpesaTotal": 0, "cashTotal": 1900.1, "totalTransactions": 2})
    );
    assert_eq!(
        (&income["total"], &income["pageSize"]),
        (&json!(2), &json!(20))
    );
    let lines = income["transactions"].as_array().context("lines")?;
    let of = |customer: &str| lines.iter().find(|line| line["customer"] == customer);
    let typed = of("Mast tenant").context("what was typed")?;
    assert_eq!(
        (&typed["amount"], &typed["method"], &typed["reference"]),
        (&json!(1500.1), &json!("Cash"), &json!("R-7"))
    );
    assert!(of("Customer asha").is_some(), "{income}");
    let some =
        format!("{INCOME}?page=1&search=mast&method=Cash&startDate=2027-01-15&endDate=2027-01-15");
    let some = owner.get(&some).await?;
    assert_eq!(
        (&some["total"], &some["stats"]["totalIncome"]),
        (&json!(1), &json!(1500.1))
    );
    let none = owner.get(&format!("{INCOME}?endDate=2027-01-14")).await?;
    assert_eq!(none["total"], 0);

    let expenses = owner.get(EXPENSES).await?;
    assert_eq!(
        expenses["stats"],
        json!({"totalExpenses": 350.2, "byCategory": {"fuel": 300.2, "Furniture": 50}})
    );
    let diesel = &expenses["expenses"][1];
    assert_eq!(diesel["date"], "2027-01-09T21:00:00.000Z", "{diesel}");
    assert_eq!(
        (
            &diesel["account"],
            &diesel["paymentMethod"],
            &diesel["isRecurring"]
        ),
        (&json!("5100"), &json!("M-Pesa"), &json!(false))
    );
    let one = owner
        .get(&format!("{EXPENSES}?category=FUEL&search=dies"))
        .await?;
    assert_eq!(
        (&one["total"], &one["stats"]["totalExpenses"]),
        (&json!(1), &json!(300.2))
    );

    // What is not sealed yet counts, and what is counts once.
    for _ in 0..2 {
        assert_eq!(shop.balance("4090").await?, 1500.1);
        assert_eq!(shop.balance("5100").await?, 300.2);
        assert_eq!(shop.balance("5000").await?, 50);
        assert_eq!(shop.balance("1000").await?, 1850.1);
        assert_eq!(shop.balance("1010").await?, -300.2);
        assert_eq!(shop.balance("2000").await?, 400);
        let trial = owner.get("/finance/trial-balance").await?;
        assert_eq!(trial["totalDebits"], 2200.3, "{trial}");
        assert_eq!(trial["totalCredits"], 2200.3);
        let earlier = owner.get("/finance/trial-balance?at=2027-01-10").await?;
        assert_eq!(earlier["totalDebits"], 300.2, "{earlier}");
        let profit = owner
            .get("/finance/profit-and-loss?from=2027-01-01&to=2027-01-31")
            .await?;
        assert_eq!(
            (
                &profit["totalRevenue"],
                &profit["totalExpenses"],
                &profit["profit"]
            ),
            (&json!(1500.1), &json!(350.2), &json!(1149.9))
        );
        shop.sealed().await?;
    }
    let revenue = owner.get(&format!("{ACCOUNTS}?type=Revenue")).await?;
    let revenue = revenue.as_array().context("a bare list")?;
    assert!(revenue.iter().all(|account| account["type"] == "Revenue"));
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_that_are_used_stay_and_codes_are_unique() -> Result<()> {
    let shop = Shop::open("chart").await?;
    let owner = shop.owner();
    let solar =
        json!({"code": "5200", "name": "Solar", "type": "Expense", "description": "Panels"});
    let made = owner.post(ACCOUNTS, &solar).await?;
    assert_eq!(
        (&made["isSystem"], &made["balance"]),
        (&json!(false), &json!(0))
    );
    let made = format!("{ACCOUNTS}/{}", made["id"].as_str().context("an id")?);

    let taken = shop.refusal(Method::POST, ACCOUNTS, solar).await?;
    assert_eq!(taken, (StatusCode::CONFLICT, "CODE_TAKEN".to_owned()));
    let (status, answer) = owner
        .call(
            Method::POST,
            ACCOUNTS,
            Some(&json!({"code": "12", "type": "Debt"})),
        )
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    ensure!(
        answer["message"]
            .as_str()
            .is_some_and(|text| text.contains("type")),
        "{answer}"
    );

    let spent =
        json!({"description": "Panel", "category": "Solar", "amount": 9, "date": "2027-01-15"});
    let spent = owner.post(EXPENSES, &spent).await?;
    let used = shop.refusal(Method::DELETE, &made, json!({})).await?;
    assert_eq!(used, (StatusCode::CONFLICT, "ACCOUNT_USED".to_owned()));
    let accounts = owner.get(ACCOUNTS).await?;
    let wallets = accounts.as_array().context("a list")?;
    let wallets = wallets.iter().find(|account| account["code"] == "2000");
    let wallets = wallets
        .and_then(|account| account["id"].as_str())
        .context("wallets")?;
    let system = shop
        .refusal(Method::DELETE, &format!("{ACCOUNTS}/{wallets}"), json!({}))
        .await?;
    assert_eq!(
        system,
        (StatusCode::BAD_REQUEST, "SYSTEM_ACCOUNT".to_owned())
    );

    // Also after it was taken back: it stays in the books.
    let spent = format!("{EXPENSES}/{}", spent["id"].as_str().context("an id")?);
    owner.call(Method::DELETE, &spent, None).await?;
    let used = shop.refusal(Method::DELETE, &made, json!({})).await?;
    assert_eq!(used.0, StatusCode::CONFLICT);
    let spare = json!({"code": "5300", "name": "Spare", "type": "Expense"});
    let spare = owner.post(ACCOUNTS, &spare).await?;
    let spare = format!("{ACCOUNTS}/{}", spare["id"].as_str().context("an id")?);
    assert_eq!(
        owner.call(Method::DELETE, &spare, None).await?.0,
        StatusCode::OK
    );
    assert_eq!(
        owner.call(Method::DELETE, &spare, None).await?.0,
        StatusCode::NOT_FOUND
    );
    shop.closes().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_typed_by_mistake_is_booked_the_other_way_once() -> Result<()> {
    let shop = Shop::open("undo").await?;
    let owner = shop.owner();
    let income = json!({"customerName": "Nobody", "amount": 70, "method": "Bank Transfer"});
    let income = owner.post(INCOME, &income).await?;
    let expense = json!({"description": "Chair", "category": "Furniture", "amount": 30, "date": "2027-01-15"});
    let expense = owner.post(EXPENSES, &expense).await?;
    assert_eq!(
        (shop.balance("1020").await?, shop.balance("1000").await?),
        (json!(70), json!(-30))
    );

    let income = format!("{INCOME}/{}", income["id"].as_str().context("an id")?);
    let expense = format!("{EXPENSES}/{}", expense["id"].as_str().context("an id")?);
    for _ in 0..2 {
        for path in [&income, &expense] {
            let (status, answer) = owner.call(Method::DELETE, path, None).await?;
            assert_eq!((status, &answer["success"]), (StatusCode::OK, &json!(true)));
        }
        for code in ["1000", "1020", "4090", "5000"] {
            assert_eq!(shop.balance(code).await?, 0, "{code}");
        }
    }
    let listed = owner.get(INCOME).await?;
    assert_eq!(listed["transactions"][0]["status"], "voided");
    assert_eq!(listed["stats"]["totalIncome"], 0);
    assert_eq!(owner.get(EXPENSES).await?["total"], 0);

    // A customer's payment is taken back from his wallet, not here.
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let paid = json!({"customerId": asha, "amount": 5});
    let paid = owner.post("/payments/manual", &paid).await?;
    let paid = format!("{INCOME}/{}", paid["id"].as_str().context("an id")?);
    assert_eq!(
        owner.call(Method::DELETE, &paid, None).await?.0,
        StatusCode::NOT_FOUND
    );

    let wrong = json!({"customerName": " ", "amount": 0, "method": "Barter", "date": "2027-01-16"});
    let (status, _) = shop.refusal(Method::POST, INCOME, wrong).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let wrong = json!({"customerName": "", "amount": 0, "date": "2027-01-16"});
    let (_, answer) = owner.call(Method::POST, INCOME, Some(&wrong)).await?;
    let mut fields: Vec<&str> = answer["details"]
        .as_array()
        .context("details")?
        .iter()
        .filter_map(|detail| detail["field"].as_str())
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["amount", "customerName", "date", "method"]);
    shop.closes().await
}

/// Booked on the 31st of December: it comes on the 31st of January, the 28th of February and the 31st of March,
/// once each, also when the cloud was off and when two nodes do it at once; and no more once it is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn an_expense_comes_every_month_exactly_once() -> Result<()> {
    let mut shop = Shop::open("monthly").await?;
    let rent = json!({"description": "Office", "category": "Rent", "amount": 20000, "date": "2026-12-31",
        "isRecurring": true});
    let mut ancient = rent.clone();
    ancient["date"] = json!("2016-12-31");
    let (status, _) = shop.refusal(Method::POST, EXPENSES, ancient).await?;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "a slip would book ten years of rent"
    );
    let rent = shop.owner().post(EXPENSES, &rent).await?;
    assert_eq!(rent["nextOn"], "2027-01-31", "{rent}");
    let series: Uuid = rent["id"].as_str().context("an id")?.parse()?;

    let midnight = at("2027-01-30T21:00:00Z");
    shop.go_to(midnight.minus(Duration::from_secs(1))).await?;
    assert_eq!(dates(&shop).await?, ["2026-12-30T21:00:00.000Z"]);
    shop.go_to(midnight).await?;
    shop.comes(2).await?;

    shop.world.stop_cloud().await?;
    shop.world
        .clock
        .advance(at("2027-04-01T05:00:00Z").since(midnight));
    shop.world.start_cloud().await?;
    shop.go_to(at("2027-04-01T06:00:00Z")).await?;
    shop.comes(4).await?;
    let should = [
        "2027-03-30T21:00:00.000Z",
        "2027-02-27T21:00:00.000Z",
        "2027-01-30T21:00:00.000Z",
        "2026-12-30T21:00:00.000Z",
    ];
    assert_eq!(dates(&shop).await?, should);

    // Twenty at once on the day, beside the cloud's own job.
    let due = at("2027-04-29T21:00:00Z");
    let tenant = shop.isp.tenant().await?;
    let racers = (0..20).map(|_| {
        let db = shop.world.db().clone();
        tokio::spawn(async move {
            let mut tx = db.begin(tenant).await?;
            let next = post_due(&mut tx, series, due).await?;
            tx.commit().await?;
            anyhow::Ok(next)
        })
    });
    for next in futures_util::future::join_all(racers).await {
        assert_eq!(next??, Some(at("2027-05-30T21:00:00Z")));
    }
    shop.go_to(due).await?;
    shop.comes(5).await?;
    assert_eq!(shop.balance("5000").await?, 100_000);

    let stop = format!("{EXPENSES}/{series}/stop");
    for _ in 0..2 {
        shop.owner().post(&stop, &json!({})).await?;
    }
    shop.go_to(at("2027-07-10T09:00:00Z")).await?;
    let tenant = shop.isp.tenant().await?;
    let mut tx = shop.world.db().begin(tenant).await?;
    let after = post_due(&mut tx, series, shop.world.clock.now()).await?;
    tx.commit().await?;
    assert_eq!((after, dates(&shop).await?.len()), (None, 5));
    shop.closes().await
}

impl Shop {
    /// Waits until there are so many expenses.
    async fn comes(&self, many: usize) -> Result<()> {
        eventually("the month is booked", async || {
            Ok((dates(self).await?.len() == many).then_some(()))
        })
        .await
    }
}

async fn dates(shop: &Shop) -> Result<Vec<String>> {
    let listed = shop.owner().get(EXPENSES).await?;
    let listed = listed["expenses"].as_array().context("expenses")?;
    let date = |line: &Value| line["date"].as_str().map(str::to_owned);
    Ok(listed.iter().filter_map(date).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_day_stays_as_it_is_and_what_is_late_goes_to_the_first_open_one() -> Result<()> {
    let shop = Shop::open("closed").await?;
    let owner = shop.owner();
    let spent =
        |day: &str| json!({"description": "Late", "category": "Any", "amount": 10, "date": day});
    owner.post(EXPENSES, &spent("2027-01-05")).await?;
    let future = json!({"until": "2027-01-16"});
    let (status, _) = shop.refusal(Method::PUT, "/finance/lock", future).await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    // While others book on the tenth, it closes; from its answer on the tenth does not change.
    let writers = (0..10).map(|_| {
        let (owner, late) = (owner.clone(), spent("2027-01-10"));
        tokio::spawn(async move {
            for _ in 0..10 {
                owner.post(EXPENSES, &late).await?;
            }
            anyhow::Ok(())
        })
    });
    let writers: Vec<_> = writers.collect();
    let until = json!({"until": "2027-01-12"});
    let locked = eventually("a moment without postings", async || {
        let (status, answer) = owner
            .call(Method::PUT, "/finance/lock", Some(&until))
            .await?;
        Ok((status == StatusCode::OK).then_some(answer))
    })
    .await?;
    let tenth = async || {
        let path = "/finance/profit-and-loss?from=2027-01-01&to=2027-01-11";
        anyhow::Ok(owner.get(path).await?["totalExpenses"].clone())
    };
    let then = tenth().await?;
    for written in futures_util::future::join_all(writers).await {
        written??;
    }
    assert_eq!(locked["openFrom"], "2027-01-11T21:00:00.000Z");
    assert_eq!(tenth().await?, then);
    assert_eq!(shop.balance("5000").await?, 1010);

    let late = owner.post(EXPENSES, &spent("2027-01-10")).await?;
    assert_eq!(late["date"], "2027-01-09T21:00:00.000Z");
    assert_eq!(
        late["bookedAt"], "2027-01-11T21:00:00.000Z",
        "and it says so"
    );

    // Money of customers too, and their payment keeps its day.
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let tenant = shop.isp.tenant().await?;
    let mut tx = shop.world.db().begin(tenant).await?;
    let receipt = Receipt {
        customer: asha.parse()?,
        amount: Cents::whole(7),
        method: Came::Cash,
        till: Default::default(),
        channel: Channel::Payment,
        receipt: None,
        proven: false,
        paid_at: at("2027-01-10T09:00:00Z"),
        intent: None,
        gateway: None,
        operator: None,
        phone: None,
        account: None,
        description: "Paid".to_owned(),
    };
    let now = shop.world.clock.now().plus(HOUR);
    let received = receive(&mut tx, receipt, now).await?;
    let (paid_at, booked_at, says): (Timestamp, Timestamp, String) = sqlx::query_as(
        "select p.paid_at, e.occurred_at, e.description
           from payments p join entries e on e.id = p.entry_id where p.id = $1",
    )
    .bind(received.payment)
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    assert_eq!(paid_at, at("2027-01-10T09:00:00Z"));
    assert_eq!(booked_at, at("2027-01-11T21:00:00Z"));
    assert_eq!(says, "Paid (of 2027-01-10, a closed day)");
    assert_eq!(tenth().await?, then);

    let open = owner.put("/finance/lock", &json!({"until": null})).await?;
    assert_eq!(open["until"], Value::Null);
    let again = owner.post(EXPENSES, &spent("2027-01-10")).await?;
    assert_eq!(again["bookedAt"], again["date"]);
    shop.closes().await
}

/// An entry on a day that was closed when it was posted is found, whoever put it there.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_on_a_closed_day_is_found() -> Result<()> {
    let mut shop = Shop::open("found").await?;
    shop.owner()
        .put("/finance/lock", &json!({"until": "2027-01-15"}))
        .await?;
    shop.go_to(shop.world.clock.now().plus(HOUR)).await?;
    let spent = json!({"description": "x", "category": "y", "amount": 1, "date": "2027-01-15"});
    shop.owner().post(EXPENSES, &spent).await?;
    assert_eq!(shop.world.book_findings().await?, Vec::<String>::new());

    let mut owner =
        <sqlx::PgConnection as sqlx::Connection>::connect_with(&shop.world.database.owner())
            .await?;
    sqlx::query("select set_config('app.tenant', $1::text, false)")
        .bind(shop.isp.tenant().await?.to_string())
        .execute(&mut owner)
        .await?;
    let shifted =
        "update entries set occurred_at = occurred_at - interval '1 day' where kind = 'EXPENSE'";
    sqlx::query(shifted).execute(&mut owner).await?;
    let found = shop.world.book_findings().await?;
    ensure!(
        found
            .iter()
            .any(|what| what.contains("a day that was closed")),
        "{found:?}"
    );
    shop.world.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_begins_where_the_one_before_ended() -> Result<()> {
    let mut shop = Shop::open("statement").await?;
    let until = shop.world.clock.now().plus(DAY);
    let asha = shop
        .isp
        .add_subscriber("asha", "254712345601", until)
        .await?;
    let pay = async |shop: &Shop, amount: u32| {
        let paid = json!({"customerId": asha, "amount": amount});
        shop.owner().post("/payments/manual", &paid).await
    };
    pay(&shop, 400).await?;
    shop.go_to(at("2027-02-03T09:00:00Z")).await?;
    pay(&shop, 700).await?; // and buys a month for 1000

    let path = format!("/customers/{asha}/statement");
    let first = shop
        .owner()
        .get(&format!("{path}?from=2027-01-01&to=2027-01-31"))
        .await?;
    assert_eq!(
        (
            &first["openingBalance"],
            &first["closingBalance"],
            &first["total"]
        ),
        (&json!(0), &json!(400), &json!(1))
    );
    let second = shop.owner().get(&path).await?;
    assert_eq!(second["openingBalance"], 400, "{second}");
    let lines = second["lines"].as_array().context("lines")?;
    let mut moved: Vec<(&str, &Value)> = lines
        .iter()
        .filter_map(|line| Some((line["kind"].as_str()?, &line["amount"])))
        .collect();
    moved.sort_by_key(|(kind, _)| *kind);
    assert_eq!(moved, [("PAYMENT", &json!(700)), ("PERIOD", &json!(-1000))]);
    assert_eq!(lines.last().context("a line")?["balance"], 100);
    assert_eq!(second["closingBalance"], 100);
    let paged = shop
        .owner()
        .get(&format!("{path}?page=2&pageSize=1"))
        .await?;
    assert_eq!(paged["lines"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&paged["lines"][0]["balance"], &paged["total"]),
        (&json!(100), &json!(2))
    );
    shop.closes().await
}
