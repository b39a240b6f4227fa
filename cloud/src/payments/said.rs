//! What a person says of money whose end the provider never told, and lists of such money of all tenants.

use easyisp_shared::id::TenantId;

use crate::db::{BoxFuture, Database, DirectoryTx};
use crate::error::ApiError;
use crate::tenants::governed;

/// Most rows of a platform's list.
pub(super) const MOST_LISTED: i64 = 1_000;
/// Tenants that are read in one round trip.
const AT_ONCE: usize = 200;

/// The provider's receipt where the money moved, which its statement then shows; `None` = it did not move. `read` reads
/// what was typed, which `form` describes.
pub(super) fn receipt(
    moved: bool,
    typed: Option<&str>,
    read: impl FnOnce(&str) -> Option<String>,
    form: &str,
) -> Result<Option<String>, ApiError> {
    if !moved {
        return Ok(None);
    }
    match typed.and_then(read) {
        Some(receipt) => Ok(Some(receipt)),
        None => Err(ApiError::field("receipt", form)),
    }
}

/// Up to `most` rows of every tenant but the platform's own, sorted by `key`: `read` gives the first ones of some tenants,
/// among which the first of all are.
pub(super) async fn of_every_tenant<T, K: Ord>(
    db: &Database,
    most: i64,
    read: impl for<'a> Fn(&'a mut DirectoryTx, &'a [TenantId]) -> BoxFuture<'a, sqlx::Result<Vec<T>>>,
    key: impl FnMut(&T) -> K,
) -> Result<Vec<T>, ApiError> {
    let tenants = governed::every(db).await?;
    let tenants: Vec<TenantId> = tenants.into_iter().map(|tenant| tenant.id).collect();
    let mut directory = db.directory().await?;
    let mut rows = Vec::new();
    for some in tenants.chunks(AT_ONCE) {
        rows.extend(read(&mut directory, some).await?);
    }
    rows.sort_by_cached_key(key);
    rows.truncate(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moved_has_a_receipt_and_what_did_not_has_none() {
        let read = |text: &str| (text != "x").then(|| text.to_uppercase());
        let said = |moved, typed| receipt(moved, typed, read, "wrong").ok();
        assert_eq!(said(true, Some("abc")), Some(Some("ABC".to_owned())));
        assert_eq!(said(true, Some("x")), None);
        assert_eq!(said(true, None), None);
        assert_eq!(said(false, Some("abc")), Some(None));
    }
}
