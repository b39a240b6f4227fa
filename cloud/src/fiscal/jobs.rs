//! Documents are taken in and reported when nobody asks.

use std::time::Duration;

use easyisp_shared::id::{CreditNoteId, InvoiceId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::{Clock, Timestamp};

use super::etims::{self, Unit};
use super::rules::{Heard, Sale, outcome, shared_out};
use super::store::{self, Open, Settings};
use super::words::Provider;
use crate::db::{Database, Tx};
use crate::due;
use crate::invoices::{self, Document, FiscalReceipt};
use crate::secrets::Secrets;

/// The kind of the due job that reports a tenant's documents, one a turn; its subject is the tenant.
pub const SUBMIT: &str = "fiscal.submit";

/// Where the key of the control unit is sealed.
pub(super) const KEY: &str = "fiscal_settings.key";

/// What it takes to report.
#[derive(Clone)]
pub struct Door {
    db: Database,
    clock: Clock,
    secrets: Secrets,
    http: reqwest::Client,
    base_url: Option<String>,
}

impl Door {
    /// Reports with these keys; `base_url` takes the place of every state's address.
    pub fn new(db: Database, clock: Clock, secrets: Secrets, base_url: Option<String>) -> Door {
        Door {
            db,
            clock,
            secrets,
            http: crate::outbound::http_client(),
            base_url,
        }
    }
}

/// Takes in what was issued since, in the order of its numbers, and gives each the next number there. A credit note on
/// an invoice that was never reported is none of theirs; one that was taken in before is passed, where they are gone
/// through anew.
pub async fn take_in(db: &Database, tenant: TenantId, now: Timestamp) -> anyhow::Result<bool> {
    let mut tx = db.begin(tenant).await?;
    let Some(mut settings) = store::lock_settings(&mut tx).await? else {
        return Ok(false);
    };
    if !settings.enabled {
        return Ok(false);
    }
    let behind = (settings.invoice_year, settings.invoice_serial);
    let invoices = invoices::report::invoices_after(&mut tx, behind, AT_ONCE).await?;
    let full = i64::try_from(invoices.len())? == AT_ONCE;
    for document in &invoices {
        settings.last_serial += 1;
        (settings.invoice_year, settings.invoice_serial) = document.place;
        store::insert(&mut tx, document, (settings.last_serial, None), now).await?;
    }
    // A note comes after its invoice: not before all invoices are in.
    let behind = (settings.note_year, settings.note_serial);
    let notes = match full {
        true => Vec::new(),
        false => invoices::report::notes_after(&mut tx, behind, AT_ONCE).await?,
    };
    let mut more = full || i64::try_from(notes.len())? == AT_ONCE;
    for document in &notes {
        if let Some(invoice) = document.takes_back
            && store::serial_of(&mut tx, document.id).await?.is_none()
        {
            match store::serial_of(&mut tx, invoice.0).await? {
                Some(original) => {
                    settings.last_serial += 1;
                    let numbers = (settings.last_serial, Some(original));
                    store::insert(&mut tx, document, numbers, now).await?;
                }
                // It was issued after the invoices were read: both come next time.
                None if is_behind(&mut tx, invoice, &settings).await? => {
                    more = true;
                    break;
                }
                None => {}
            }
        }
        (settings.note_year, settings.note_serial) = document.place;
    }
    store::put_settings(&mut tx, &settings, now).await?;
    if !invoices.is_empty() || !notes.is_empty() {
        due::at(&mut tx, SUBMIT, tenant, now).await?;
    }
    tx.commit().await?;
    Ok(more)
}

/// Whether an invoice is behind those that were taken in.
async fn is_behind(tx: &mut Tx, invoice: InvoiceId, settings: &Settings) -> sqlx::Result<bool> {
    let place = invoices::report::place_of(tx, invoice).await?;
    Ok(place.is_some_and(|place| place > (settings.invoice_year, settings.invoice_serial)))
}

/// Reports the first document that is open. `Some` = when to go on.
pub async fn submit(door: &Door, tenant: TenantId) -> anyhow::Result<Option<Timestamp>> {
    let now = door.clock.now();
    let mut tx = door.db.begin(tenant).await?;
    let Some(settings) = store::settings(&mut tx).await?.filter(|one| one.enabled) else {
        return Ok(None);
    };
    let Some(open) = store::first_open(&mut tx).await? else {
        return Ok(None);
    };
    if open.due_at > now {
        return Ok(Some(open.due_at));
    }
    let document = invoices::report::document(&mut tx, open.document_id).await?;
    let document =
        document.ok_or_else(|| anyhow::anyhow!("document {} is gone", open.document_id))?;
    let key = door.secrets.tenant(&mut tx).await?;
    let key = key.open(KEY, tenant.0, &settings.key_sealed)?;
    let key = String::from_utf8_lossy(&key).into_owned();
    store::begin(&mut tx, open.document_id, now.plus(IN_FLIGHT)).await?;
    tx.commit().await?;

    let heard = match settings.provider {
        Provider::KeEtims => {
            let unit = unit(&settings, key);
            let sale = sale(&settings, &open, &document);
            etims::submit(&door.http, door.base_url.as_deref(), &unit, &sale).await
        }
    };
    let now = door.clock.now();
    let outcome = outcome(&heard, open.attempts + 1, open.answered, now);
    let mut tx = door.db.begin(tenant).await?;
    let first = store::conclude(&mut tx, open.document_id, &outcome, now).await?;
    if let Heard::Signed(receipt) = &heard
        && first
    {
        stamp(&mut tx, &document, receipt).await?;
    }
    // Whoever looked meanwhile waits for the end of a try that is over.
    let next = outcome.again.unwrap_or(now);
    due::at(&mut tx, SUBMIT, tenant, next).await?;
    tx.commit().await?;
    if let Some(problem) = &outcome.problem {
        tracing::warn!(tenant.id = %tenant, document = %open.number, "A document is not reported: {problem}");
    }
    Ok(Some(next))
}

async fn stamp(tx: &mut Tx, document: &Document, receipt: &FiscalReceipt) -> sqlx::Result<()> {
    match document.takes_back {
        None => invoices::report::note_fiscal(tx, InvoiceId(document.id), receipt).await,
        Some(_) => {
            let note = CreditNoteId(document.id);
            invoices::report::note_fiscal_of_note(tx, note, receipt).await
        }
    }
}

fn unit(settings: &Settings, key: String) -> Unit {
    Unit {
        taxpayer: settings.taxpayer.clone(),
        branch: settings.branch.clone(),
        name: settings.control_unit.clone(),
        key,
        item_code: settings.item_code.clone(),
        item_class: settings.item_class.clone(),
        production: settings.production,
    }
}

fn sale(settings: &Settings, open: &Open, document: &Document) -> Sale {
    let name = settings.vat_name.to_lowercase();
    let tax = document
        .taxes
        .iter()
        .find(|tax| tax.name.to_lowercase() == name);
    let vat = tax.map_or(Cents::ZERO, |tax| tax.amount);
    let items: Vec<(String, Cents)> = document
        .items
        .iter()
        .map(|item| (item.description.clone(), item.amount))
        .collect();
    Sale {
        serial: open.serial,
        number: open.number.clone(),
        original: open.original_serial,
        customer: document.customer_name.clone(),
        issued_at: document.issued_at,
        total: document.amount,
        vat,
        rate: tax.map(|tax| tax.rate),
        lines: shared_out(&items, document.amount, vat),
    }
}

/// Longer than a try may take: nobody else begins one meanwhile.
const IN_FLIGHT: Duration = Duration::from_secs(60);
/// Documents that one transaction takes in.
const AT_ONCE: i64 = 200;
