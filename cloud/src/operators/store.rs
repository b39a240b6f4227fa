//! SQL on operators, as others change them.

use easyisp_shared::id::OperatorId;
use easyisp_shared::time::Timestamp;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::rules::{Draft, Rights};
use super::words::Status;
use crate::api::{Order, Sort, Sortable};
use crate::auth::Role;
use crate::db::Tx;

/// An operator as he is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Himself.
    pub id: OperatorId,
    /// For people.
    pub name: String,
    /// How he signs in.
    pub email: String,
    /// Free text.
    pub phone: Option<String>,
    /// What he may do.
    pub rights: Rights,
    /// Grows with every change by somebody else.
    pub version: i64,
    /// When he was entered.
    pub created_at: Timestamp,
}

impl sqlx::FromRow<'_, PgRow> for Stored {
    fn from_row(row: &PgRow) -> sqlx::Result<Stored> {
        Ok(Stored {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            phone: row.try_get("phone")?,
            rights: Rights {
                role: row.try_get("role")?,
                status: row.try_get("status")?,
                added: row.try_get("added_permissions")?,
                removed: row.try_get("removed_permissions")?,
            },
            version: row.try_get("version")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// Waits for whoever changes the list: how many there are and who owns the tenant is read from all of it.
pub async fn lock_list(tx: &mut Tx) -> sqlx::Result<()> {
    sqlx::query("select from tenants where tenant_id = $1 for no key update")
        .bind(tx.tenant())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How many operators there are whose name or address is `like` this pattern.
pub async fn count(tx: &mut Tx, like: &str) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from operators
          where tenant_id = $1 and deleted_at is null and (name ilike $2 or email ilike $2)",
    )
    .bind(tx.tenant())
    .bind(like)
    .fetch_one(&mut **tx)
    .await
}

/// What operators are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct By;

impl Sortable for By {
    const ALL: &'static [(&'static str, &'static [&'static str])] = &[
        ("createdAt", &["created_at", "id"]),
        ("name", &["name", "id"]),
        ("email", &["email", "id"]),
        ("role", &["role", "name", "id"]),
        ("status", &["status", "name", "id"]),
    ];
    const USUAL: Order = Order::Asc;
}

/// Those operators, as they were entered unless asked otherwise.
pub async fn list(
    tx: &mut Tx,
    like: &str,
    sort: Sort<By>,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Stored>> {
    sqlx::query_as(sort.text(
        "select id, name, email, phone, role, status, added_permissions, removed_permissions,
                version, created_at
           from operators
          where tenant_id = $1 and deleted_at is null and (name ilike $2 or email ilike $2)
          order by {order}
          limit $3 offset $4",
    ))
    .bind(tx.tenant())
    .bind(like)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// One operator. `None` when there is none, or he was deleted.
pub async fn find(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<Option<Stored>> {
    sqlx::query_as(
        "select id, name, email, phone, role, status, added_permissions, removed_permissions,
                version, created_at
           from operators
          where tenant_id = $1 and id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(operator)
    .fetch_optional(&mut **tx)
    .await
}

/// Whether there is or was such an operator.
pub async fn is_known(tx: &mut Tx, operator: OperatorId) -> sqlx::Result<bool> {
    sqlx::query_scalar("select exists (select from operators where tenant_id = $1 and id = $2)")
        .bind(tx.tenant())
        .bind(operator)
        .fetch_one(&mut **tx)
        .await
}

/// How many owners can sign in, `but` not counted.
pub async fn other_owners(tx: &mut Tx, but: OperatorId) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from operators
          where tenant_id = $1 and id <> $2 and deleted_at is null
            and role = $3 and status = $4",
    )
    .bind(tx.tenant())
    .bind(but)
    .bind(Role::SuperAdmin)
    .bind(Status::Active)
    .fetch_one(&mut **tx)
    .await
}

/// Writes an operator over the one before.
pub async fn update(
    tx: &mut Tx,
    operator: OperatorId,
    draft: &Draft,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update operators
            set name = $3, email = $4, phone = $5, role = $6, status = $7, added_permissions = $8,
                removed_permissions = $9, version = version + 1, updated_at = $10
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(&draft.name)
    .bind(draft.email.as_str())
    .bind(&draft.phone)
    .bind(draft.rights.role)
    .bind(draft.rights.status)
    .bind(&draft.rights.added)
    .bind(&draft.rights.removed)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Marks an operator as gone; his row stays for the trail.
pub async fn delete(tx: &mut Tx, operator: OperatorId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "update operators
            set status = $3, deleted_at = $4, version = version + 1, updated_at = $4
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(operator)
    .bind(Status::Disabled)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
