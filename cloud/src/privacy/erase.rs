//! Erasing one subscriber: a pseudonym takes his place, and what counts money stays under his id.
//!
//! All in one transaction: he is there, or he is not. What his site's agents still have to report of him
//! comes under the pseudonym; what they wrote themselves goes with their own retention. What a provider
//! tells later is booked, and what it says of him is taken out again the next day.

use easyisp_shared::id::AuditId;
use easyisp_shared::money::Cents;
use easyisp_shared::net::Mac;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use serde_json::json;

use crate::audit::{self, Action, Actor, Audit};
use crate::customers;
use crate::db::Tx;
use crate::error::ApiError;
use crate::imports;
use crate::ledger::{self, Blank};
use crate::logs;
use crate::payments::FOLLOW_UP;
use crate::sessions;

use super::rules::{self, Known, Marks, days};
use super::store::{self, Subject, Traces};

/// Who erases somebody, and why.
#[derive(Clone, Copy, Debug)]
pub struct Erasure<'a> {
    /// Who.
    pub actor: &'a Actor,
    /// Why, in words that do not name him: they stay.
    pub reason: &'a str,
    /// What becomes of money in his wallet.
    pub rest: Rest,
}

/// What becomes of money in the wallet of who is erased.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rest {
    /// There must be none.
    MustBeNothing,
    /// He gives it up: it stays in the books, under his id.
    GivenUp,
}

/// Why somebody is not erased.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// A payment of this much was asked of him and may still come in.
    #[error(
        "a payment of {0} was asked of him and may still come in; try again when M-Pesa has said what \
         became of it, or a day after it was asked"
    )]
    PaymentOpen(Cents),
    /// Money came from his number, or for his account, and is nobody's yet.
    #[error("payment {0} came from his number and is nobody's yet; say first whose it is")]
    PaymentUnallocated(String),
    /// He has money here.
    #[error(
        "{0} of his are in the wallet; let him use them up, or send leaveBalance when he gives them up"
    )]
    MoneyLeft(Cents),
    /// He owes money.
    #[error("he owes {0}; record what he pays first, or take back what he was billed")]
    MoneyOwed(Cents),
    /// Their time is his.
    #[error("others are on his account; delete them or give them an account of their own first")]
    HasChildren,
    /// What he used this month is not billed yet.
    #[error(
        "what he used this month is not billed yet; end his monthly billing first (PUT /api/customers/{{id}}/billing \
         with postpaid: false), which bills it"
    )]
    BilledMonthly,
    /// The database.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<EraseError> for ApiError {
    fn from(error: EraseError) -> ApiError {
        let code = match error {
            EraseError::PaymentOpen(_) => "PAYMENT_OPEN",
            EraseError::PaymentUnallocated(_) => "PAYMENT_UNALLOCATED",
            EraseError::MoneyLeft(_) => "MONEY_LEFT",
            EraseError::MoneyOwed(_) => "MONEY_OWED",
            EraseError::HasChildren => "HAS_CHILDREN",
            EraseError::BilledMonthly => "BILLED_MONTHLY",
            EraseError::Database(busy) => return busy.into(),
        };
        ApiError::conflict(code, format!("He cannot be erased: {error}"))
    }
}

/// By what words `subject` is found in texts.
pub fn marks(subject: &Subject, devices: &[String]) -> Marks {
    Marks::of(&Known {
        name: subject.name.clone(),
        username: subject.username.clone(),
        email: subject.email.clone(),
        phones: phones(subject),
        devices: devices.to_vec(),
    })
}

/// Erases a locked subscriber who was not erased before.
pub async fn erase(
    tx: &mut Tx,
    subject: &Subject,
    erasure: Erasure<'_>,
    now: Timestamp,
) -> Result<(), EraseError> {
    store::take_time(tx).await?;
    refuse_while_open(tx, subject, erasure.rest, now).await?;
    let customer = subject.id;
    let devices = store::devices(tx, customer).await?;
    let marks = marks(subject, &devices);
    let pseudonym = rules::pseudonym(customer);
    let traces = Traces {
        username: &subject.username,
        until: subject.deleted_at.unwrap_or(now),
        devices: &devices,
    };

    // The long part first: from then on no report of his site applies.
    blank_trail(tx, subject, &marks, erasure.actor, now).await?;
    sessions::hold_reports(tx, subject.site_id).await?;
    store::blank_callbacks(tx, customer).await?;
    store::blank_intents(tx, customer).await?;
    store::blank_payments(tx, customer, &marks).await?;
    store::blank_typed(tx, &marks).await?;
    store::blank_invoices(tx, customer).await?;
    store::blank_sessions(tx, customer, traces, &pseudonym).await?;
    store::blank_logins(tx, customer, traces, &pseudonym).await?;
    let mut names = vec![subject.username.as_str()];
    names.extend(devices.iter().map(String::as_str));
    logs::forget_person(tx, &names).await?;
    store::blank_access(tx, customer, &pseudonym).await?;
    store::blank_usage(tx, customer).await?;
    store::forget_notes(tx, customer).await?;
    store::forget_told(tx, customer).await?;
    store::blank_messages(tx, customer, &phones(subject)).await?;
    store::blank_moving(tx, traces).await?;
    store::blank_router_lists(tx, traces).await?;
    // First, for it waits for the part of a file that is just taken in: what that wrote is seen then.
    imports::forget_person(tx, &subject.username).await?;
    store::blank_import_rows(tx, customer, &subject.username, &pseudonym).await?;
    store::forget_quarantined(tx, &octets(subject, &devices)).await?;
    store::blank_customer(tx, customer, &pseudonym, now).await?;

    let line = Audit {
        details: erasure.reason.to_owned(),
        ..Audit::new(Action::CustomerErase, "customer", customer, &pseudonym)
    };
    audit::record(tx, erasure.actor, line, now).await?;
    if subject.deleted_at.is_none() {
        let (site, kind) = (subject.site_id, subject.connection_type);
        customers::hide(tx, customer, site, kind, now).await?;
    }
    Ok(())
}

async fn refuse_while_open(
    tx: &mut Tx,
    subject: &Subject,
    rest: Rest,
    now: Timestamp,
) -> Result<(), EraseError> {
    if customers::has_children(tx, subject.id).await? {
        return Err(EraseError::HasChildren);
    }
    if customers::is_billed(tx, subject.id).await? {
        return Err(EraseError::BilledMonthly);
    }
    let (asked_after, patience) = (now.minus(FOLLOW_UP), now.minus(days(PATIENCE)));
    if let Some(amount) = store::open_payment(tx, subject.id, asked_after, patience).await? {
        return Err(EraseError::PaymentOpen(amount));
    }
    let account = subject.account_number.to_string();
    let phones = phones(subject);
    let numbers = phones.iter().filter_map(|phone| PhoneNumber::parse(phone));
    let hashes: Vec<String> = numbers.map(|number| number.hash()).collect();
    if let Some(receipt) = store::unallocated_payment(tx, &phones, &hashes, &account).await? {
        return Err(EraseError::PaymentUnallocated(receipt));
    }
    if let Some(debt) = store::open_debt(tx, subject.id).await? {
        return Err(EraseError::MoneyOwed(debt));
    }
    match (subject.balance, rest) {
        (Cents::ZERO, _) => Ok(()),
        (balance, Rest::GivenUp) if balance.is_positive() => Ok(()),
        (balance, _) if balance.is_positive() => Err(EraseError::MoneyLeft(balance)),
        (balance, _) => Err(EraseError::MoneyOwed(
            Cents::ZERO.minus(balance).unwrap_or(balance),
        )),
    }
}

/// Blanks what the trail and the journal say of him.
async fn blank_trail(
    tx: &mut Tx,
    subject: &Subject,
    marks: &Marks,
    actor: &Actor,
    now: Timestamp,
) -> sqlx::Result<()> {
    let what = Blank {
        lines: store::lines_on(tx, subject.id, &subject.username, marks).await?,
        entries: store::worded_entries(tx, subject.id).await?,
        pseudonym: rules::pseudonym(subject.id),
        is_old: false,
    };
    blank(tx, &what, actor, "One subscriber was erased", now).await?;
    Ok(())
}

/// Blanks lines and entries, with the line of the trail that vouches for it; nothing when there are none.
pub async fn blank(
    tx: &mut Tx,
    what: &Blank,
    actor: &Actor,
    why: &str,
    now: Timestamp,
) -> sqlx::Result<Option<AuditId>> {
    if what.lines.is_empty() && what.entries.is_empty() {
        return Ok(None);
    }
    let blanked = ledger::blank(tx, what).await?;
    let line = Audit {
        details: why.to_owned(),
        after: Some(json!({ "rows": blanked.rows(), "digest": blanked.digest() })),
        ..Audit::new(Action::AuditRedact, "audit", tx.tenant(), "Audit trail")
    };
    let line = audit::record(tx, actor, line, now).await?;
    ledger::vouch(tx, line, blanked).await?;
    Ok(Some(line))
}

/// His phone in every form in which rows have it.
fn phones(subject: &Subject) -> Vec<String> {
    subject
        .phone
        .iter()
        .chain(&subject.phone_number)
        .filter(|phone| !phone.trim().is_empty())
        .cloned()
        .collect()
}

/// His name and devices as reports of agents hold them: a name has its length before it.
fn octets(subject: &Subject, devices: &[String]) -> Vec<Vec<u8>> {
    let macs = devices.iter().filter_map(|device| Mac::parse(device));
    let mut words: Vec<Vec<u8>> = macs.map(|mac| mac.octets().to_vec()).collect();
    let name = subject.username.as_bytes();
    // Names have at most 64 octets, so the length is one.
    words.extend(
        u8::try_from(name.len())
            .ok()
            .map(|length| [&[length], name].concat()),
    );
    words
}

/// Days after which the receipt of a credited payment is not waited for any more.
const PATIENCE: u16 = 3;
