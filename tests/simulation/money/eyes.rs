//! What the rows say, read past the product by somebody who sees everything.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use easyisp_shared::time::Timestamp;
use sqlx::{Connection, PgConnection, Row};
use uuid::Uuid;

use super::model::Holding;

/// Everything about money, at one instant.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    pub holdings: BTreeMap<Uuid, Holding>,
    pub payments: BTreeMap<Uuid, Payment>,
    pub periods: BTreeMap<Uuid, Period>,
    pub backs: BTreeMap<Uuid, Back>,
    /// What each provider's seller may sell yet.
    pub floats: BTreeMap<Uuid, i64>,
    /// Per tenant, account and party: what was credited less what was debited.
    folds: BTreeMap<(Uuid, String, Option<Uuid>), i64>,
}

/// A payment that is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
    pub tenant: Uuid,
    /// `None`: it waits for a person.
    pub customer: Option<Uuid>,
    pub method: String,
    pub amount: i64,
    pub receipt: Option<String>,
    pub stands: bool,
    pub paid_at: Timestamp,
    pub created_at: Timestamp,
    pub intent: Option<Uuid>,
    pub description: String,
    /// It came out of a float.
    pub sold: bool,
}

/// Money that is to go back, goes or went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Back {
    pub tenant: Uuid,
    pub payment: Uuid,
    pub customer: Option<Uuid>,
    pub amount: i64,
    pub service: String,
    pub state: String,
    /// M-Pesa was asked after it as often as it is.
    pub is_for_a_person: bool,
}

/// A period of service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    pub tenant: Uuid,
    pub customer: Uuid,
    pub price: i64,
    pub starts: Timestamp,
    pub ends: Timestamp,
    /// It was paid by a voucher, not from the wallet.
    pub by_voucher: bool,
    /// What of its price was given back.
    pub taken_back: i64,
    /// What paid for it, in the books' words.
    pub source: String,
    pub created_at: Timestamp,
}

impl Period {
    /// Whether it is the same still: what is given back of it grows, and where his time stood still since `away` what
    /// he bought ahead begins later.
    pub fn may_become(&self, new: &Period, away: Option<Timestamp>) -> bool {
        let length = |period: &Period| period.ends.since(period.starts);
        let ahead = away.is_some_and(|away| self.starts >= away) && new.starts > self.starts;
        let there = (new.starts == self.starts || ahead) && length(self) == length(new);
        let old = Period {
            starts: new.starts,
            ends: new.ends,
            taken_back: new.taken_back,
            ..self.clone()
        };
        there && old == *new && (self.taken_back..=self.price).contains(&new.taken_back)
    }
}

impl Payment {
    pub fn is_mpesa(&self) -> bool {
        self.method == "MPESA"
    }
}

/// Reads everything in one snapshot.
pub async fn look(eyes: &mut PgConnection) -> Result<Seen> {
    let mut tx = eyes.begin().await?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *tx)
        .await?;
    let mut seen = Seen::default();
    let rows = sqlx::query(
        "select c.id, c.paid_until, c.paused_at, w.balance
           from customers c join wallets w on w.tenant_id = c.tenant_id and w.customer_id = c.id",
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let holding = Holding {
            balance: row.try_get("balance")?,
            until: row.try_get("paid_until")?,
            away: row.try_get("paused_at")?,
        };
        seen.holdings.insert(row.try_get("id")?, holding);
    }
    let rows = sqlx::query(
        "select tenant_id, id, customer_id, method, amount, receipt, status, paid_at, created_at, intent_id,
                description, seller_id is not null as sold
           from payments",
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let payment = Payment {
            tenant: row.try_get("tenant_id")?,
            customer: row.try_get("customer_id")?,
            method: row.try_get("method")?,
            amount: row.try_get("amount")?,
            receipt: row.try_get("receipt")?,
            stands: row.try_get::<String, _>("status")? != "voided",
            paid_at: row.try_get("paid_at")?,
            created_at: row.try_get("created_at")?,
            intent: row.try_get("intent_id")?,
            description: row.try_get("description")?,
            sold: row.try_get("sold")?,
        };
        seen.payments.insert(row.try_get("id")?, payment);
    }
    let rows = sqlx::query(
        "select p.tenant_id, p.id, p.customer_id, p.price, p.starts_at, p.ends_at,
                coalesce(t.debit_account = '2200', false) as by_voucher, p.taken_back, p.created_at,
                coalesce(e.source, '') as source
           from periods p
           left join entries e on e.tenant_id = p.tenant_id and e.id = p.entry_id
           left join transfers t on t.tenant_id = p.tenant_id and t.entry_id = p.entry_id",
    )
    .fetch_all(&mut *tx)
    .await?;
    let periods = rows.len();
    for row in rows {
        let period = Period {
            tenant: row.try_get("tenant_id")?,
            customer: row.try_get("customer_id")?,
            price: row.try_get("price")?,
            starts: row.try_get("starts_at")?,
            ends: row.try_get("ends_at")?,
            by_voucher: row.try_get("by_voucher")?,
            taken_back: row.try_get("taken_back")?,
            source: row.try_get("source")?,
            created_at: row.try_get("created_at")?,
        };
        seen.periods.insert(row.try_get("id")?, period);
    }
    // V4: a period exists if and only if its debit is posted.
    let debits: i64 = sqlx::query_scalar("select count(*) from entries where kind = 'PERIOD'")
        .fetch_one(&mut *tx)
        .await?;
    ensure!(
        usize::try_from(debits)? == periods,
        "V4: {periods} periods and {debits} entries that pay for one"
    );
    let rows = sqlx::query(
        "select tenant_id, id, payment_id, customer_id, amount, service, state, asked from refunds",
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let back = Back {
            tenant: row.try_get("tenant_id")?,
            payment: row.try_get("payment_id")?,
            customer: row.try_get("customer_id")?,
            amount: row.try_get("amount")?,
            service: row.try_get("service")?,
            state: row.try_get("state")?,
            is_for_a_person: row.try_get::<i32, _>("asked")? >= 5,
        };
        seen.backs.insert(row.try_get("id")?, back);
    }
    let rows = sqlx::query("select tenant_id, balance from floats")
        .fetch_all(&mut *tx)
        .await?;
    for row in rows {
        seen.floats
            .insert(row.try_get("tenant_id")?, row.try_get("balance")?);
    }
    let rows = sqlx::query(
        "select tenant_id, account, party, sum(amount)::bigint as fold
           from (select tenant_id, credit_account as account, credit_party as party, amount from transfers
                 union all
                 select tenant_id, debit_account, debit_party, -amount from transfers) legs
          group by tenant_id, account, party",
    )
    .fetch_all(&mut *tx)
    .await?;
    for row in rows {
        let place = (
            row.try_get("tenant_id")?,
            row.try_get("account")?,
            row.try_get("party")?,
        );
        seen.folds.insert(place, row.try_get("fold")?);
    }
    tx.rollback().await?;
    Ok(seen)
}

impl Seen {
    /// V1, V4: what the entries sum to is what wallets, payments, periods and floats say. `tenants` = with what each one's
    /// seller loaded.
    pub fn balances(&self, tenants: &[(Uuid, i64)]) -> Result<()> {
        for (customer, holding) in &self.holdings {
            let of_him = |(_, account, party): &(Uuid, String, Option<Uuid>)| {
                account == "2000" && *party == Some(*customer)
            };
            let fold = self.sum(of_him);
            ensure!(
                fold == holding.balance,
                "V1: the wallet of {customer} holds {}, its entries give {fold}",
                holding.balance
            );
        }
        for (tenant, loaded) in tenants {
            let account = |code: &str| self.sum(|(of, account, _)| of == tenant && account == code);
            ensure!(
                self.sum(|(of, _, _)| of == tenant) == 0,
                "V1: the books of {tenant} do not balance"
            );
            let payments = |like: &dyn Fn(&Payment) -> bool| -> i64 {
                let mine = self.payments.values().filter(|paid| paid.tenant == *tenant);
                mine.filter(|paid| like(paid)).map(|paid| paid.amount).sum()
            };
            let backs = |like: &dyn Fn(&Back) -> bool| -> i64 {
                let mine = self.backs.values().filter(|back| back.tenant == *tenant);
                mine.filter(|back| like(back)).map(|back| back.amount).sum()
            };
            let came = payments(&|paid| paid.is_mpesa() && paid.stands);
            let received = came - backs(&|back| back.state == "DONE");
            let aside = backs(&Back::is_under_way);
            ensure!(
                account("2400") == aside,
                "V1: {aside} are on their way back, what is set aside says {}",
                account("2400")
            );
            ensure!(
                -account("1010") == received,
                "V1: M-Pesa brought {received}, its account says {}",
                -account("1010")
            );
            let by_hand = payments(&|paid| !paid.is_mpesa() && !paid.sold && paid.stands) + loaded;
            let float = loaded - payments(&|paid| paid.sold && paid.stands);
            let may_sell = self.floats.get(tenant).copied().unwrap_or_default();
            ensure!(
                float >= 0 && (account("2500"), may_sell) == (float, float),
                "V1: {float} is left to sell, its account says {}, the seller may sell {may_sell}",
                account("2500")
            );
            let tills: i64 = ["1000", "1020", "1030", "1090"].map(account).iter().sum();
            ensure!(
                -tills == by_hand,
                "V1: {by_hand} came by hand and stand, their accounts say {}",
                -tills
            );
            let held = payments(&|paid| paid.customer.is_none() && paid.stands);
            ensure!(
                account("2100") == held,
                "V1: {held} belong to nobody, suspense says {}",
                account("2100")
            );
            let mine = self
                .periods
                .values()
                .filter(|period| period.tenant == *tenant);
            let sold: i64 = mine.map(|period| period.price - period.taken_back).sum();
            ensure!(
                account("4000") == sold,
                "V4: periods of {sold} were sold, their account says {}",
                account("4000")
            );
        }
        Ok(())
    }

    fn sum(&self, like: impl Fn(&(Uuid, String, Option<Uuid>)) -> bool) -> i64 {
        let like = self.folds.iter().filter(|(place, _)| like(place));
        like.map(|(_, fold)| fold).sum()
    }
}
