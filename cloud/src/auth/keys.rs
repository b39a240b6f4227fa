//! API keys: how programs call in an operator's name, with a part of what he may do.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Timestamp;

use super::sessions::{Caller, Token};
use super::{Permission, store};
use crate::db::Database;

/// What a key begins with, so that people and scanners of leaked secrets know it.
pub const BEGINNING: &str = "eisp_";
/// How often it is noted that a key was used.
const NOTED: Duration = Duration::from_secs(60);

/// What a program never may: make people, or more of them than there are.
pub const NEVER: [Permission; 4] = [
    Permission::OperatorsAdd,
    Permission::OperatorsEdit,
    Permission::OperatorsDelete,
    Permission::OperatorsManagePermissions,
];

/// Makes a key: what is stored, what is shown once, and what it is known by.
pub fn new(entropy: &Entropy) -> (Token, String, String) {
    let (token, text) = Token::new(entropy);
    let text = format!("{BEGINNING}{text}");
    let prefix = text.chars().take(BEGINNING.len() + 6).collect();
    (token, text, prefix)
}

/// Reads what a client sent; `None` when it is no key of ours.
pub fn parse(text: &str) -> Option<Token> {
    Token::parse(text.strip_prefix(BEGINNING)?)
}

/// In whose name a key calls. `None` when it is unknown, has ended or was revoked, or its operator may not
/// sign in.
pub async fn caller(db: &Database, key: &Token, now: Timestamp) -> sqlx::Result<Option<Caller>> {
    let mut directory = db.glance().await?;
    let known = store::key_of(&mut directory, key.digest()).await?;
    drop(directory);
    let Some((tenant, id)) = known else {
        return Ok(None);
    };
    let mut tx = db.begin(tenant).await?;
    let Some(row) = store::good_key(&mut tx, id, now).await? else {
        return Ok(None);
    };
    let operator = store::active_operator(&mut tx, row.operator_id).await?;
    if row.used_at.is_none_or(|used| used.plus(NOTED) <= now) {
        store::touch_key(&mut tx, id, now).await?;
        tx.commit().await?;
    }
    Ok(operator.map(|operator| Caller::of_key(tenant, operator, row, now)))
}
