//! SQL that looks for the owner of money by what its payer typed, where no key of a customer's own fits.

use easyisp_shared::id::CustomerId;

use super::super::owner::Candidate;
use crate::db::Tx;

/// Customers whose user name or account number ends with what was typed (without case and spaces), or with which it
/// ends: at most two, for two are nobody. Less than four characters fit too many.
pub(in super::super) async fn by_suffix(tx: &mut Tx, typed: &str) -> sqlx::Result<Vec<Candidate>> {
    const LEAST: usize = 4;

    if typed.chars().count() < LEAST {
        return Ok(Vec::new());
    }
    let rows: Vec<(CustomerId, Option<String>)> = sqlx::query_as(
        "select id, phone_number
           from customers
          where tenant_id = $1 and deleted_at is null
            and (right(username_key, length($2)) = $2
                 or length(username_key) >= 4 and right($2, length(username_key)) = username_key
                 or right(account_number::text, length($2)) = $2
                 or right($2, length(account_number::text)) = account_number::text)
          limit 2",
    )
    .bind(tx.tenant())
    .bind(typed)
    .fetch_all(&mut **tx)
    .await?;
    let candidate = |(id, phone)| Candidate {
        id,
        by_account: false,
        by_name: true,
        by_phone: false,
        by_payer: false,
        phone,
    };
    Ok(rows.into_iter().map(candidate).collect())
}

/// Who owes an open invoice with this number.
pub(in super::super) async fn by_invoice(
    tx: &mut Tx,
    number: &str,
) -> sqlx::Result<Option<Candidate>> {
    let billed: Option<CustomerId> = sqlx::query_scalar(
        "select i.customer_id
           from invoices i
           join customers c on c.tenant_id = $1 and c.id = i.customer_id and c.deleted_at is null
          where i.tenant_id = $1 and i.number = $2 and i.status = 'PENDING'",
    )
    .bind(tx.tenant())
    .bind(number)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(billed.map(|id| Candidate {
        id,
        by_account: false,
        by_name: true,
        by_phone: false,
        by_payer: false,
        phone: None,
    }))
}
