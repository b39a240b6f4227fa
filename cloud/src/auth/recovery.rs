//! A forgotten password: a link by mail, good for half an hour and once.
//!
//! The token is made when the mail is sent and kept as a digest, so that it stands nowhere but in the mail. The
//! platform's own people get none: their right never hangs on an e-mail address.

use std::time::Duration;

use easyisp_shared::id::{OperatorId, TenantId};
use easyisp_shared::time::Timestamp;

use super::sessions::Token;
use super::store;
use crate::db::Database;
use crate::due;
use crate::mail::Mail;

/// The kind of the due job that sends a link; its subject is the operator.
pub const SEND: &str = "auth.reset";

/// How long a link is good for.
const LASTS: Duration = Duration::from_secs(30 * 60);

/// Makes the sending of a link due.
pub(super) async fn ask(
    db: &Database,
    (tenant, operator): (TenantId, OperatorId),
    now: Timestamp,
) -> sqlx::Result<()> {
    let mut tx = db.begin(tenant).await?;
    due::at(&mut tx, SEND, operator, now).await?;
    tx.commit().await
}

/// Sends a link to an operator who forgot his password. Nothing where he may not have one.
///
/// # Errors
/// The mail server's; a repeat makes another token, and the earlier link is worth nothing.
pub async fn send(
    db: &Database,
    mail: &Mail,
    public_url: Option<&str>,
    (tenant, operator): (TenantId, OperatorId),
    now: Timestamp,
) -> anyhow::Result<()> {
    let (token, text) = Token::new(db.entropy());
    let mut tx = db.begin(tenant).await?;
    store::lock_account(&mut tx, operator).await?;
    let account = store::account(&mut tx, operator).await?;
    let account = account.filter(|account| account.active);
    let Some(account) = account else {
        return Ok(());
    };
    if store::is_platform(&mut tx, operator).await? {
        return Ok(());
    }
    store::insert_reset(&mut tx, operator, token.digest(), now.plus(LASTS)).await?;
    tx.commit().await?;

    let url = public_url.unwrap_or_default().trim_end_matches('/');
    let body = format!(
        "Hello {name},\n\n\
         somebody asked for a new password of your EasyISP account. Was it you? Then choose one here within \
         half an hour:\n\n\
         {url}/console/reset#{text}\n\n\
         If it was not, do nothing: your password stays as it is, and nobody was told it.\n",
        name = account.name,
    );
    let subject = "A new password for your EasyISP account";
    mail.send(&account.email, subject, body).await
}
