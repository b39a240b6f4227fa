//! The one place where money becomes a period of service.
//!
//! A receipt goes into the wallet, the wallet buys a period, the period moves the paid end, the site and
//! the webhooks are told and the customer gets a message: all of it or none, in the caller's transaction.
//! With begin, feed and commit that is six statements, seven with the audit line of an operator.

mod correct;
mod deed;
mod error;
mod http;
mod jobs;
mod limits;
mod message;
mod refund;
mod rules;
mod shares;
mod store;
mod told;
mod voucher;
mod wallet;

use easyisp_shared::id::{
    CustomerId, EntryId, GatewayId, IntentId, OperatorId, PaymentId, PeriodId,
};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;

use crate::api::{Access, Routes, routes};
use crate::db::{Kind, Tx};
use crate::ledger::{self, AccountCode, Entry, EntryKind, Leg, Transfer};

use deed::{Account, Bought, Deed, Paid, Plan};
use rules::Purchase;
use shares::{Arrived, Open, share};

pub use correct::{hold, is_credited, join_receipt, refute, resolve, retract, void};
pub use error::RenewError;
pub use jobs::{AUTO_RENEW, BEGIN, SETTLE, SHORT, SOLD, auto_renew, begin};
pub use limits::{Barred, Buyer, may_buy, may_renew};
pub use refund::{Refund, Service, complete, release, reserve};
pub use rules::{Holding, Period, Term, Unit, next_period, resolved_code};
pub use shares::invoice_number;
pub use store::{Gone, Typed, payer, taken_back, typed_by_hand};
pub use voucher::{Redeemed, Worth, redeem};
pub use wallet::{give_back, let_go, locked_balance, spend};

/// The routes of this feature.
pub fn routes() -> Routes {
    use crate::permission::Permission::{PaymentsProcess, PaymentsViewManual, PppoeResolve};

    Routes::new()
        .route(
            Access::Any(&[PaymentsProcess, PppoeResolve]),
            routes!(http::recharge),
        )
        .route(Access::Any(&[PaymentsProcess]), routes!(http::record))
        .route(Access::Any(&[PaymentsViewManual]), routes!(http::list))
        .route(Access::Any(&[PaymentsProcess]), routes!(http::void_all))
        .route(Access::Any(&[PaymentsProcess]), routes!(http::void_one))
}

/// Money that arrived for a customer.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// Whose wallet it goes into.
    pub customer: CustomerId,
    /// How much; more than nothing.
    pub amount: Cents,
    /// How it came.
    pub method: Method,
    /// Through whose short code.
    pub till: Till,
    /// Whether an operator says so or a payer paid.
    pub channel: Channel,
    /// The provider's receipt, credited once.
    pub receipt: Option<String>,
    /// The provider itself says that the receipt is of the gateway's short code.
    pub proven: bool,
    /// When the provider says the money moved.
    pub paid_at: Timestamp,
    /// The payment we asked for, when we did.
    pub intent: Option<IntentId>,
    /// The short code it came to.
    pub gateway: Option<GatewayId>,
    /// Who typed it in.
    pub operator: Option<OperatorId>,
    /// The payer's phone.
    pub phone: Option<String>,
    /// What the payer gave as account, or the operator as reference.
    pub account: Option<String>,
    /// For people.
    pub description: String,
}

/// Money that a provider told of, for nobody known.
#[derive(Clone, Debug)]
pub struct Unallocated {
    /// How much.
    pub amount: Cents,
    /// How it came.
    pub method: Method,
    /// Through whose short code it came.
    pub till: Till,
    /// The provider's receipt.
    pub receipt: String,
    /// The provider itself says that it is of the gateway's short code.
    pub proven: bool,
    /// When the provider says the money moved.
    pub paid_at: Timestamp,
    /// The short code it came to.
    pub gateway: Option<GatewayId>,
    /// The payer's phone.
    pub phone: Option<String>,
    /// What the payer gave as account.
    pub account: Option<String>,
    /// The SHA-256 of the payer's number, where the provider tells that in place of the number.
    pub payer_hash: Option<String>,
    /// The payer's name.
    pub payer_name: Option<String>,
    /// For people.
    pub description: String,
}

/// How money came.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Debug,
    sqlx::Type,
    serde::Serialize,
    serde::Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[sqlx(type_name = "text", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Method {
    /// By M-Pesa.
    Mpesa,
    /// By Airtel Money.
    Airtel,
    /// In notes and coins.
    Cash,
    /// To the bank account.
    BankTransfer,
    /// By card.
    Card,
    /// Another way.
    Other,
}

impl Method {
    /// As the database writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Mpesa => "MPESA",
            Method::Airtel => "AIRTEL",
            Method::Cash => "CASH",
            Method::BankTransfer => "BANK_TRANSFER",
            Method::Card => "CARD",
            Method::Other => "OTHER",
        }
    }

    /// Whether a provider's word brings it, not a person's.
    pub fn is_told(self) -> bool {
        match self {
            Method::Mpesa | Method::Airtel => true,
            Method::Cash | Method::BankTransfer | Method::Card | Method::Other => false,
        }
    }

    /// Which account it comes into.
    pub fn account(self) -> AccountCode {
        match self {
            Method::Mpesa => AccountCode::MPESA,
            Method::Airtel => AccountCode::AIRTEL,
            Method::Cash => AccountCode::CASH,
            Method::BankTransfer => AccountCode::BANK,
            Method::Card => AccountCode::CARD,
            Method::Other => AccountCode::OTHER_MONEY,
        }
    }
}

/// Whose the place is to which money by M-Pesa came.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Till {
    /// The tenant's own short code, or no short code at all.
    #[default]
    Own,
    /// The platform's, which holds the money for him.
    Platform,
    /// A seller's own pocket: it is taken out of his float.
    Seller(OperatorId),
}

impl Till {
    /// From what stands beside a gateway.
    pub fn of(platform: bool) -> Till {
        match platform {
            true => Till::Platform,
            false => Till::Own,
        }
    }

    /// Where money comes from, in the books, that came this way.
    pub fn leg(self, method: Method) -> Leg {
        match self {
            Till::Platform => Leg::account(AccountCode::HELD),
            Till::Own => Leg::account(method.account()),
            Till::Seller(seller) => Leg::float(seller),
        }
    }

    /// Out of whose float it is taken.
    fn seller(self) -> Option<OperatorId> {
        match self {
            Till::Seller(seller) => Some(seller),
            Till::Own | Till::Platform => None,
        }
    }
}

/// Whose word a receipt is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Channel {
    /// A payer paid and a provider or a person recorded it.
    Payment,
    /// An operator put money into the wallet.
    Recharge,
}

/// What a receipt gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// Into whose wallet it went: for a child account the parent's.
    pub customer: CustomerId,
    /// The payment.
    pub payment: PaymentId,
    /// What is in the wallet afterwards.
    pub balance: Cents,
    /// The paid end afterwards.
    pub paid_until: Timestamp,
    /// The period that was bought, when the wallet covered one.
    pub period: Option<PeriodId>,
    /// The customer, for people.
    pub customer_name: String,
}

/// Why a period is bought without a receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// An operator's audited action, by its words.
    Operator(String),
    /// The customer renews by himself: the period follows the last one without a gap, or begins now when
    /// he was cut off.
    AutoRenew,
}

/// What a renewal gave.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Renewed {
    /// The period.
    pub period: PeriodId,
    /// What is in the wallet afterwards.
    pub balance: Cents,
    /// The paid end afterwards.
    pub paid_until: Timestamp,
}

/// Books a receipt into the wallet and, when the wallet then covers the price, or lacks no more of it than the package
/// tolerates, buys one period, or as many as the package says; open invoices get their share (`shares.rs`), which is set
/// aside and paid behind it; the rest stays in the wallet. Locks customer and wallet until the transaction ends. Money for
/// a child account is its parent's, whose time it has: left in the child's own wallet it would buy nobody anything.
///
/// # Errors
/// [`RenewError::ReceiptKnown`] when the receipt was credited before, here or to whoever else proved that it came
/// to the same short code, [`RenewError::FloatUsedUp`] when a seller recorded it whose float does not cover it; the
/// transaction is then spent and must be rolled back.
pub async fn receive(
    tx: &mut Tx,
    receipt: Receipt,
    now: Timestamp,
) -> Result<Received, RenewError> {
    if !receipt.amount.is_positive() {
        return Err(RenewError::NothingPaid);
    }
    let account = store::lock_payer(tx, receipt.customer, receipt.operator, now).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    // What a provider of payments tells is in the till, whoever handed its word in.
    let sells = account.by_seller && !receipt.method.is_told();
    let seller = receipt.operator.filter(|_| sells);
    let receipt = Receipt {
        customer: account.customer,
        till: seller.map_or(receipt.till, Till::Seller),
        ..receipt
    };
    if let Some(seller) = receipt.till.seller() {
        let less = Cents::ZERO
            .minus(receipt.amount)
            .ok_or(RenewError::TooMuch)?;
        ledger::move_float(tx, seller, (less, Cents::ZERO), now).await?;
    }
    let entropy = tx.entropy();
    let payment = PaymentId::new(now, &entropy);
    let source = match &receipt.receipt {
        Some(code) => format!("{} {code}", AccountName(receipt.method)),
        None => format!("payment {payment}"),
    };
    let credit = credit_entry(EntryId::new(now, &entropy), &receipt, &source);
    let balance = account
        .balance
        .plus(receipt.amount)
        .ok_or(RenewError::TooMuch)?;

    let arrived = Arrived {
        amount: receipt.amount,
        reference: receipt.account.as_deref(),
        paid_at: receipt.paid_at,
        balance: account.free().plus(receipt.amount).unwrap_or(balance),
    };
    let Spent {
        account,
        bought,
        invoices,
        barred,
    } = spend_on(tx, account, arrived, &source, now).await?;
    let mut deed = Deed::of(&account);
    deed.invoices = invoices;
    deed.paid = Some(Paid {
        id: payment,
        entry: credit.id,
        receipt: receipt.clone(),
    });
    deed.entries.push(credit);
    let rest = deed.take(&account, balance, bought, now);
    deed.message = message::of_receipt(
        &account,
        (receipt.amount, receipt.receipt.as_deref()),
        &deed,
        rest,
        barred.as_ref(),
    )
    .and_then(|body| account.text(body, now, &entropy));
    let customer_name = account.name.clone();
    let (period, paid_until) = (deed.period_id(), deed.paid_until);
    let balance = perform(tx, deed, now).await?;
    if let Some(seller) = receipt.till.seller() {
        ledger::pay_commission(tx, seller, (&source, receipt.amount), now).await?;
    }
    Ok(Received {
        customer: account.customer,
        payment,
        balance,
        paid_until,
        period,
        customer_name,
    })
}

/// Buys one period from what is in the wallet; for a child account from the parent's, for the parent and all who
/// follow him.
///
/// # Errors
/// [`RenewError::BalanceTooLow`], [`RenewError::NoPackage`] and [`RenewError::Barred`], with nothing written.
pub async fn renew(
    tx: &mut Tx,
    customer: CustomerId,
    why: Why,
    now: Timestamp,
) -> Result<Renewed, RenewError> {
    let account = store::lock_payer(tx, customer, None, now).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    let account = account.resumed(now);
    let (source, from) = match &why {
        Why::Operator(action) => (action.as_str(), now),
        Why::AutoRenew => ("auto-renew", account.goes_on_from(now)),
    };
    let plan = account.plan().ok_or(RenewError::NoPackage)?;
    if rules::buy(account.free(), plan.price).is_none() {
        return Err(RenewError::BalanceTooLow);
    }
    if let Some(barred) = limits::barred(tx, &account, now).await? {
        return Err(RenewError::Barred(barred));
    }
    let one = [Purchase::of(plan.price)];
    let bought = buy(tx, &account, &one, from, source, now);
    let mut deed = Deed::of(&account);
    deed.take(&account, account.balance, bought, now);
    let period = deed.period_id().ok_or(RenewError::NoPackage)?;
    let paid_until = deed.paid_until;
    let balance = perform(tx, deed, now).await?;
    Ok(Renewed {
        period,
        balance,
        paid_until,
    })
}

/// Reckons anew how far a customer's wallet carries him, after his package, his paid end or his wish to
/// renew changed. Tells the site when it is another moment. Moves no money, but that of who became a child account: what he
/// has is his parent's, as all that is paid for him from then on, and what he owes too.
pub async fn reckon(tx: &mut Tx, customer: CustomerId, now: Timestamp) -> Result<(), RenewError> {
    let payer = store::payer(tx, customer).await?;
    let payer = payer.ok_or(RenewError::UnknownCustomer)?;
    if payer != customer {
        correct::hand_over(tx, customer, payer, now).await?;
    }
    let account = store::lock(tx, customer, now).await?;
    let account = account.ok_or(RenewError::UnknownCustomer)?;
    let mut deed = Deed::of(&account);
    deed.take(&account, account.balance, Vec::new(), now);
    // Who is as he was is nobody who was changed.
    if !deed.is_nothing() {
        perform(tx, deed, now).await?;
    }
    Ok(())
}

/// Writes a deed and tells the site when the customer's service changed.
async fn perform(tx: &mut Tx, deed: Deed, now: Timestamp) -> Result<Cents, RenewError> {
    let (customer, changed) = (deed.customer, deed.changes_service());
    let balance = store::write(tx, deed, now).await?;
    if changed {
        tx.changed(Kind::Subscriber, customer);
    }
    Ok(balance)
}

/// What money that arrived goes to.
struct Spent {
    /// Whose it is: a pause ends when a period is bought, and goes on when none is.
    account: Account,
    bought: Vec<Bought>,
    /// Paid behind it, out of what is left.
    invoices: Vec<Open>,
    /// What kept him from buying.
    barred: Option<Barred>,
}

impl Spent {
    /// He had it already.
    fn nothing(account: Account) -> Spent {
        Spent {
            account,
            bought: Vec::new(),
            invoices: Vec::new(),
            barred: None,
        }
    }
}

/// Shares money that arrived between periods and open invoices.
async fn spend_on(
    tx: &mut Tx,
    account: Account,
    money: Arrived<'_>,
    source: &str,
    now: Timestamp,
) -> sqlx::Result<Spent> {
    let barred = limits::barred(tx, &account, now).await?;
    let resumed = account.resumed(now);
    let offer = resumed.offer(now).filter(|_| barred.is_none());
    let shares = share(&account.owed, money, offer);
    let from = resumed.counts_from(money.paid_at, now);
    let bought = buy(tx, &resumed, &shares.purchases, from, source, now);
    Ok(Spent {
        account: match bought.is_empty() {
            true => account,
            false => resumed,
        },
        bought,
        invoices: shares.invoices,
        barred,
    })
}

/// What `purchases` buy, each with its entry: the first period counted from `from`, the next ones behind it; none when
/// there is nothing to buy.
fn buy(
    tx: &Tx,
    account: &Account,
    purchases: &[Purchase],
    from: Timestamp,
    source: &str,
    now: Timestamp,
) -> Vec<Bought> {
    let mut holding = account.holding;
    let one = |purchase: &Purchase| {
        let plan = account.plan()?;
        let period = next_period(plan.term, holding, from, &account.zone);
        holding.paid_until = period.ends_at;
        holding.anchor_day = Some(period.anchor_day);
        Some(bought(tx, account, plan, (*purchase, period), source, now))
    };
    purchases.iter().map_while(one).collect()
}

fn bought(
    tx: &Tx,
    account: &Account,
    plan: &Plan,
    (purchase, period): (Purchase, Period),
    source: &str,
    now: Timestamp,
) -> Bought {
    let entropy = tx.entropy();
    let (transfers, taxes) = account.sold(&Leg::wallet(account.customer), purchase);
    let entry = plan.price.is_positive().then(|| Entry {
        id: EntryId::new(now, &entropy),
        kind: EntryKind::Period,
        occurred_at: now,
        customer: Some(account.customer),
        source: source.to_owned(),
        description: format!("{} until {}", plan.name, period.ends_at),
        transfers,
    });
    Bought {
        id: PeriodId::new(now, &entropy),
        package: plan.package,
        price: purchase.paid,
        written_off: purchase.written_off,
        period,
        receipted: account.receipts && entry.is_some(),
        entry,
        taxes,
    }
}

fn credit_entry(id: EntryId, receipt: &Receipt, source: &str) -> Entry {
    Entry {
        id,
        kind: match receipt.channel {
            Channel::Payment => EntryKind::Payment,
            Channel::Recharge => EntryKind::Recharge,
        },
        occurred_at: receipt.paid_at,
        customer: Some(receipt.customer),
        source: source.to_owned(),
        description: receipt.description.clone(),
        transfers: vec![Transfer {
            debit: receipt.till.leg(receipt.method),
            credit: Leg::wallet(receipt.customer),
            amount: receipt.amount,
        }],
    }
}

/// The provider's name before a receipt, so that two providers' receipts never look alike.
struct AccountName(Method);

impl std::fmt::Display for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Method::Mpesa => "M-Pesa",
            Method::Airtel => "Airtel Money",
            Method::Cash => "cash",
            Method::BankTransfer => "bank",
            Method::Card => "card",
            Method::Other => "other",
        })
    }
}
