//! A customer's life beside paying: away for a while, labelled, written about, deleted and back.

use easyisp_shared::id::{CustomerId, NoteId, OperatorId, SiteId};
use easyisp_shared::time::Timestamp;

use crate::customers::words::{ConnectionType, Standing};
use crate::db::Tx;

/// Stops a customer's time. What he promised to pay for ends with it.
pub async fn pause(
    tx: &mut Tx,
    customer: CustomerId,
    until: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set standing = 'SUSPENDED', paused_at = coalesce(paused_at, $3), paused_until = $4,
                funded_until = null, promised_from = null, promised_until = null,
                updated_at = $3, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(now)
    .bind(until)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Has a customer billed afterwards, or not any more. What his wallet carried him on to, and his word, end with it.
pub async fn set_postpaid(
    tx: &mut Tx,
    customer: CustomerId,
    postpaid: bool,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set postpaid = $3, funded_until = null, promised_from = null, promised_until = null,
                updated_at = $4, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(postpaid)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Moves the end of service of a customer who is billed. Whether it was another, or his data counts anew.
pub async fn serve_billed(
    tx: &mut Tx,
    customer: CustomerId,
    until: Timestamp,
    month_began: Option<Timestamp>,
    now: Timestamp,
) -> sqlx::Result<bool> {
    let moved = sqlx::query(
        "update customers
            set paid_until = $3, anchor_day = null, bytes_used_since = coalesce($4, bytes_used_since),
                updated_at = $5, version = version + 1
          where tenant_id = $1 and id = $2 and (paid_until <> $3 or bytes_used_since is distinct from
                                                coalesce($4, bytes_used_since))",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(until)
    .bind(month_began)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(moved.rows_affected() > 0)
}

/// Serves a customer on his word.
pub async fn promise(
    tx: &mut Tx,
    customer: CustomerId,
    from: Timestamp,
    until: Timestamp,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers
            set promised_from = $3, promised_until = $4, updated_at = $5, version = version + 1
          where tenant_id = $1 and id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(from)
    .bind(until)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Lets a paused customer's time go on, as he stands from then on: what was left, and what he bought ahead, is
/// ahead of him again; the time of a child account is its parent's. Gives back once: `None` when he is not paused,
/// else his new end, and whether something that he bought ahead begins later now.
pub async fn give_back(
    tx: &mut Tx,
    customer: CustomerId,
    standing: Standing,
    now: Timestamp,
) -> sqlx::Result<Option<(Timestamp, bool)>> {
    sqlx::query_as(
        "with away as (
             select id, least(paused_at, $4) as since,
                    case when parent_id is null then $4 - least(paused_at, $4) else interval '0' end as lasted
               from customers
              where tenant_id = $1 and id = $2 and paused_at is not null
                for update),
         later as (
             update periods p
                set starts_at = p.starts_at + a.lasted, ends_at = p.ends_at + a.lasted
               from away a
              where p.tenant_id = $1 and p.customer_id = a.id and p.starts_at >= a.since
             returning p.id),
         back as (
             update customers c
                set standing = $3, paid_until = c.paid_until + a.lasted, anchor_day = null,
                    paused_at = null, paused_until = null, updated_at = $4, version = c.version + 1
               from away a
              where c.tenant_id = $1 and c.id = a.id
             returning c.paid_until)
         select paid_until, exists (select from later) from back",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(standing)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// Until when a customer is paused, locked: outer `None` = he is not.
pub async fn paused_until(
    tx: &mut Tx,
    customer: CustomerId,
) -> sqlx::Result<Option<Option<Timestamp>>> {
    sqlx::query_scalar(
        "select paused_until from customers
          where tenant_id = $1 and id = $2 and paused_at is not null and deleted_at is null
            for update",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Somebody who was deleted.
#[derive(sqlx::FromRow, Clone, Debug)]
pub struct Gone {
    /// How he is connected.
    pub connection_type: ConnectionType,
    /// Whether only his pseudonym is left.
    pub erased: bool,
    /// Until when he is paused.
    pub paused_until: Option<Timestamp>,
    /// Whose account he was on.
    pub parent_id: Option<CustomerId>,
    /// Whether his package was deleted after him.
    pub lost_package: bool,
}

/// Reads and locks somebody who was deleted.
pub async fn lock_gone(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<Option<Gone>> {
    sqlx::query_as(
        "select connection_type, erased_at is not null as erased, paused_until, parent_id,
                exists (select from packages p
                         where p.tenant_id = $1 and p.id = c.package_id and p.deleted_at is not null) as lost_package
           from customers c
          where tenant_id = $1 and id = $2 and deleted_at is not null
            for update of c",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_optional(&mut **tx)
    .await
}

/// Brings a deleted customer back as he was; a router, a site or a package that is gone meanwhile is not his any more.
pub async fn restore(
    tx: &mut Tx,
    customer: CustomerId,
    first_site: SiteId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "update customers c
            set deleted_at = null,
                router_id = (select id from routers
                              where tenant_id = $1 and id = c.router_id and deleted_at is null),
                package_id = (select id from packages
                               where tenant_id = $1 and id = c.package_id and deleted_at is null),
                site_id = coalesce((select id from sites
                                     where tenant_id = $1 and id = c.site_id and deleted_at is null), $3),
                updated_at = $4, version = version + 1
          where c.tenant_id = $1 and c.id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(first_site)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Gives a customer these labels and no others.
pub async fn set_tags(tx: &mut Tx, customer: CustomerId, tags: &[String]) -> sqlx::Result<()> {
    sqlx::query(
        "with gone as (
             delete from customer_tags where tenant_id = $1 and customer_id = $2 and tag <> all($3))
         insert into customer_tags (tenant_id, tag, customer_id)
         select $1, tag, $2 from unnest($3::text[]) as t (tag)
             on conflict do nothing",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(tags)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A note on a customer.
#[derive(sqlx::FromRow, Clone, Debug)]
pub struct Note {
    /// Its id.
    pub id: NoteId,
    /// What it says.
    pub body: String,
    /// Who wrote it.
    pub operator_id: OperatorId,
    /// His name.
    pub operator_name: String,
    /// When.
    pub created_at: Timestamp,
}

/// Writes a note.
pub async fn insert_note(
    tx: &mut Tx,
    note: NoteId,
    customer: CustomerId,
    body: &str,
    operator: OperatorId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into customer_notes (tenant_id, id, customer_id, body, operator_id, created_at)
         values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(tx.tenant())
    .bind(note)
    .bind(customer)
    .bind(body)
    .bind(operator)
    .bind(now)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A page of the notes on a customer, the newest first.
pub async fn notes(
    tx: &mut Tx,
    customer: CustomerId,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Note>> {
    sqlx::query_as(
        "select n.id, n.body, n.operator_id, o.name as operator_name, n.created_at
           from customer_notes n
           join operators o on o.tenant_id = $1 and o.id = n.operator_id
          where n.tenant_id = $1 and n.customer_id = $2
          order by n.created_at desc, n.id desc
          limit $3 offset $4",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(limit)
    .bind(offset)
    .fetch_all(&mut **tx)
    .await
}

/// How many notes there are on a customer.
pub async fn count_notes(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from customer_notes where tenant_id = $1 and customer_id = $2",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}

/// Removes a note on a customer; whether it was there.
pub async fn delete_note(tx: &mut Tx, customer: CustomerId, note: NoteId) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "delete from customer_notes where tenant_id = $1 and customer_id = $2 and id = $3",
    )
    .bind(tx.tenant())
    .bind(customer)
    .bind(note)
    .execute(&mut **tx)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// What decides whether a customer may be somebody's parent, locked against being deleted: whether he has one
/// himself. `None` when there is no such customer.
pub async fn has_parent(tx: &mut Tx, parent: CustomerId) -> sqlx::Result<Option<bool>> {
    sqlx::query_scalar(
        "select parent_id is not null from customers
          where tenant_id = $1 and id = $2 and deleted_at is null
            for share",
    )
    .bind(tx.tenant())
    .bind(parent)
    .fetch_optional(&mut **tx)
    .await
}

/// How many children a customer has.
pub async fn children(tx: &mut Tx, parent: CustomerId) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*) from customers where tenant_id = $1 and parent_id = $2 and deleted_at is null",
    )
    .bind(tx.tenant())
    .bind(parent)
    .fetch_one(&mut **tx)
    .await
}

/// Whether a customer's time stands still.
pub async fn is_paused(tx: &mut Tx, customer: CustomerId) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "select exists (select from customers
                         where tenant_id = $1 and id = $2 and paused_at is not null)",
    )
    .bind(tx.tenant())
    .bind(customer)
    .fetch_one(&mut **tx)
    .await
}

/// Gives the children of a customer his time, and stops theirs with his; returns those whom that changed. Who was
/// stopped for himself stays so.
pub async fn follow(
    tx: &mut Tx,
    parent: CustomerId,
    now: Timestamp,
) -> sqlx::Result<Vec<CustomerId>> {
    sqlx::query_scalar(
        "with parent as (
             select paid_until, greatest(funded_until, promised_until) as funded_until, paused_at, paused_until
               from customers
              where tenant_id = $1 and id = $2
                for share),
         child as (
             select k.id, k.standing = 'ACTIVE' or k.paused_at is not null as goes_along
               from customers k
              where k.tenant_id = $1 and k.parent_id = $2 and k.deleted_at is null
              order by k.id
                for update)
         update customers c
            set paid_until = p.paid_until, funded_until = p.funded_until, anchor_day = null,
                standing = case when c.standing = 'ACTIVE' and p.paused_at is not null then 'SUSPENDED'
                                when c.standing = 'SUSPENDED' and c.paused_at is not null
                                     and p.paused_at is null then 'ACTIVE'
                                else c.standing end,
                paused_at = case when k.goes_along then p.paused_at end,
                paused_until = case when k.goes_along then p.paused_until end,
                updated_at = $3, version = c.version + 1
           from parent p, child k
          where c.tenant_id = $1 and c.id = k.id
            and ((c.paid_until, c.funded_until) is distinct from (p.paid_until, p.funded_until)
                 or k.goes_along
                    and (c.paused_at, c.paused_until) is distinct from (p.paused_at, p.paused_until))
         returning c.id",
    )
    .bind(tx.tenant())
    .bind(parent)
    .bind(now)
    .fetch_all(&mut **tx)
    .await
}
