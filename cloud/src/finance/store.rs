//! SQL on the chart of accounts; that on income and expenses in files of their own.

pub mod expenses;
pub mod income;
pub mod sellers;

use easyisp_shared::id::{AccountId, CustomerId};
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use super::rules::Known;
use crate::db::Tx;
use crate::ledger::{AccountCode, AccountType};

/// An account.
#[derive(FromRow, Clone, Debug)]
pub struct AccountRow {
    pub id: AccountId,
    pub code: String,
    pub name: String,
    #[sqlx(rename = "type")]
    pub kind: String,
    pub is_system: bool,
    pub description: String,
}

/// The chart, by code; only one kind where it is named.
pub async fn accounts(tx: &mut Tx, kind: Option<AccountType>) -> sqlx::Result<Vec<AccountRow>> {
    sqlx::query_as(
        "select id, code, name, type, is_system, description
           from accounts
          where tenant_id = $1 and ($2::text is null or type = $2)
          order by code",
    )
    .bind(tx.tenant())
    .bind(kind.map(AccountType::as_str))
    .fetch_all(&mut **tx)
    .await
}

/// The chart as decisions see it.
pub async fn chart(tx: &mut Tx) -> sqlx::Result<Vec<Known>> {
    let rows = accounts(tx, None).await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| {
            Some(Known {
                code: AccountCode::parse(&row.code)?,
                kind: AccountType::parse(&row.kind)?,
                name: row.name,
            })
        })
        .collect())
}

/// Adds an account unless there are `most`; `false` when there are.
pub async fn insert_account(
    tx: &mut Tx,
    row: &AccountRow,
    most: i64,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let made = sqlx::query(
        "insert into accounts (tenant_id, code, id, name, type, is_system, description, created_at)
         select $1, $2, $3, $4, $5, false, $6, $7
          where (select count(*) from accounts where tenant_id = $1) < $8",
    )
    .bind(tx.tenant())
    .bind(&row.code)
    .bind(row.id)
    .bind(&row.name)
    .bind(&row.kind)
    .bind(&row.description)
    .bind(now)
    .bind(most)
    .execute(&mut **tx)
    .await?;
    Ok(made.rows_affected() > 0)
}

/// An account by its id.
pub async fn find_account(tx: &mut Tx, id: AccountId) -> sqlx::Result<Option<AccountRow>> {
    sqlx::query_as(
        "select id, code, name, type, is_system, description
           from accounts
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Deletes an account. One that something was booked on violates a foreign key.
pub async fn delete_account(tx: &mut Tx, id: AccountId) -> sqlx::Result<()> {
    sqlx::query("delete from accounts where tenant_id = $1 and id = $2 and not is_system")
        .bind(tx.tenant())
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A customer's name. `None` when there is none of this id; one who was deleted has his books.
pub async fn customer_name(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select name from customers where tenant_id = $1 and id = $2")
        .bind(tx.tenant())
        .bind(customer)
        .fetch_optional(&mut **tx)
        .await
}
