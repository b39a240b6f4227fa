//! Everything that is kept of one subscriber, as one document.

use easyisp_shared::time::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Masked;
use crate::db::Tx;

use super::store::{self, Subject};

/// What the platform keeps of one subscriber.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SubjectData)]
pub struct Document {
    /// Whose subscriber he is.
    provider: String,
    /// When this was read.
    made_at: Timestamp,
    /// No list holds more; `complete` is false where there was more.
    rows_at_most: usize,
    customer: store::Person,
    /// There is one, and it is a secret.
    password: Masked,
    /// Every device he is known with.
    devices: Vec<String>,
    sessions: Part<store::SessionRow>,
    usage: Part<store::UsageDay>,
    logins: Part<store::LoginRow>,
    payments: Part<store::PaymentRow>,
    payment_prompts: Part<store::PromptRow>,
    provider_callbacks: Part<store::CallbackRow>,
    wallet: Part<store::JournalRow>,
    invoices: Part<store::InvoiceRow>,
    periods: Part<store::PeriodRow>,
    vouchers: Part<store::VoucherRow>,
    messages: Part<store::MessageRow>,
    commands: Part<store::CommandRow>,
    notes: Part<store::NoteRow>,
    trail: Part<store::DeedRow>,
    moving_in: Part<store::DifferenceRow>,
    /// What the provider's own programs were told of him.
    webhooks: Part<store::ToldRow>,
    files: Part<store::FileRow>,
}

/// The newest rows of a list.
#[derive(Serialize, ToSchema)]
pub struct Part<T> {
    /// Whether these are all there are.
    complete: bool,
    rows: Vec<T>,
}

impl<T> From<Vec<T>> for Part<T> {
    /// Of rows that were read with one more than a list may hold.
    fn from(mut rows: Vec<T>) -> Part<T> {
        let complete = rows.len() <= MOST;
        rows.truncate(MOST);
        Part { complete, rows }
    }
}

/// Rows of one list: a document is a few megabytes at most.
const MOST: usize = 1000;
/// So many are read, to see whether there are more.
const READ: i64 = MOST as i64 + 1;

impl Document {
    /// Reads everything of `subject`.
    pub async fn of(tx: &mut Tx, subject: &Subject, now: Timestamp) -> sqlx::Result<Document> {
        let (id, username) = (subject.id, subject.username.as_str());
        let phone = subject.phone_number.as_deref();
        Ok(Document {
            provider: store::provider(tx).await?,
            made_at: now,
            rows_at_most: MOST,
            customer: store::person(tx, id).await?,
            password: Masked,
            devices: store::devices(tx, id).await?,
            sessions: store::sessions(tx, id, READ).await?.into(),
            usage: store::usage(tx, id, READ).await?.into(),
            logins: store::logins(tx, id, username, READ).await?.into(),
            payments: store::payments(tx, id, READ).await?.into(),
            payment_prompts: store::prompts(tx, id, READ).await?.into(),
            provider_callbacks: store::callbacks(tx, id, READ).await?.into(),
            wallet: store::journal(tx, id, READ).await?.into(),
            invoices: store::invoices(tx, id, READ).await?.into(),
            periods: store::periods(tx, id, READ).await?.into(),
            vouchers: store::vouchers(tx, id, READ).await?.into(),
            messages: store::messages(tx, id, phone, READ).await?.into(),
            commands: store::commands(tx, id, READ).await?.into(),
            notes: store::notes(tx, id, READ).await?.into(),
            trail: store::deeds(tx, id, READ).await?.into(),
            moving_in: store::differences(tx, username, READ).await?.into(),
            webhooks: store::told(tx, id, READ).await?.into(),
            files: store::file_rows(tx, id, READ).await?.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_cut_says_so() {
        let whole = Part::from(vec![0; MOST]);
        assert!(whole.complete && whole.rows.len() == MOST);
        let cut = Part::from(vec![0; MOST + 1]);
        assert!(!cut.complete && cut.rows.len() == MOST);
    }
}
