//! The table of the trail.

use easyisp_shared::id::{AuditId, OperatorId};
use easyisp_shared::time::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::{Action, Actor, Audit};
use crate::db::Tx;
use crate::ledger::new_salt;

/// Adds lines of one actor, in one statement, and notes them for the sealer.
pub async fn insert(
    tx: &mut Tx,
    actor: &Actor,
    lines: &[(AuditId, Audit<'_>)],
    now: Timestamp,
) -> sqlx::Result<()> {
    let each = || lines.iter().map(|(_, line)| line);
    sqlx::query(
        "with line as (
             insert into audit (tenant_id, id, at, actor_kind, actor_id, actor_name, action, target_type,
                                target_id, target_name, details, before, after, ip_address, request_id,
                                salt)
             select $1, l.id, $3, $4, $5, $6, l.action, l.target_type, l.target_id, l.target_name, l.details, l.before,
                    l.after, $14, $15, l.salt
               from unnest($2::uuid[], $7::text[], $8::text[], $9::uuid[], $10::text[], $11::text[], $12::jsonb[],
                           $13::jsonb[], $16::bytea[])
                    as l (id, action, target_type, target_id, target_name, details, before, after, salt)
             returning tenant_id, id)
         insert into unsealed (tenant_id, kind, subject_id)
         select tenant_id, 'AUDIT', id from line",
    )
    .bind(tx.tenant())
    .bind(lines.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(now)
    .bind(actor.kind)
    .bind(actor.id)
    .bind(&actor.name)
    .bind(each().map(|line| line.action).collect::<Vec<_>>())
    .bind(each().map(|line| line.target_type).collect::<Vec<_>>())
    .bind(each().map(|line| line.target_id).collect::<Vec<_>>())
    .bind(each().map(|line| line.target_name).collect::<Vec<_>>())
    .bind(each().map(|line| line.details.clone()).collect::<Vec<_>>())
    .bind(each().map(|line| line.before.clone()).collect::<Vec<_>>())
    .bind(each().map(|line| line.after.clone()).collect::<Vec<_>>())
    .bind(actor.address.map(|address| address.to_string()))
    .bind(actor.request_id.as_deref())
    .bind(lines.iter().map(|_| new_salt(tx)).collect::<Vec<_>>())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Which lines are wanted; `None` = whichever.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Who did it.
    pub operator: Option<OperatorId>,
    /// What was done.
    pub action: Option<Action>,
    /// To what kind of thing.
    pub target_type: Option<String>,
    /// To which.
    pub target: Option<Uuid>,
    /// Not before then.
    pub from: Option<Timestamp>,
    /// Before then.
    pub to: Option<Timestamp>,
    /// Only lines that are older than this one.
    pub before: Option<AuditId>,
}

/// One line as it is read.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct Line {
    /// The line.
    pub id: AuditId,
    /// When.
    pub at: Timestamp,
    /// Who did it, as he was called.
    pub actor_name: String,
    /// How he signs in; empty for who is none of the tenant's people.
    pub actor_email: String,
    /// What was done.
    pub action: String,
    /// To what kind of thing.
    pub target_type: String,
    /// To which.
    pub target_id: Option<Uuid>,
    /// What people call it.
    pub target_name: String,
    /// For people.
    pub details: String,
    /// The state before.
    pub before: Option<Value>,
    /// The state after.
    pub after: Option<Value>,
    /// Where the request came from.
    pub ip_address: Option<String>,
    /// In which request.
    pub request_id: Option<String>,
}

/// How many lines are wanted, at most `most`: a trail is long, and nobody counts all of it.
pub async fn count(tx: &mut Tx, wanted: &Wanted, most: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "select count(*)
           from (select from audit a
                  where a.tenant_id = $1
                    and ($2::uuid is null or a.actor_id = $2)
                    and ($3::text is null or a.action = $3)
                    and ($4::text is null or a.target_type = $4)
                    and ($5::uuid is null or a.target_id = $5)
                    and ($6::timestamptz is null or a.at >= $6)
                    and ($7::timestamptz is null or a.at < $7)
                    and ($8::uuid is null
                         or (a.at, a.id) < (select b.at, b.id from audit b
                                             where b.tenant_id = $1 and b.id = $8))
                  limit $9) lines",
    )
    .bind(tx.tenant())
    .bind(wanted.operator)
    .bind(wanted.action)
    .bind(&wanted.target_type)
    .bind(wanted.target)
    .bind(wanted.from)
    .bind(wanted.to)
    .bind(wanted.before)
    .bind(most)
    .fetch_one(&mut **tx)
    .await
}

/// Which end of the trail comes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum First {
    /// What was done last.
    Newest,
    /// What was done first.
    Oldest,
}

macro_rules! lines {
    ($order:literal) => {
        concat!(
            "select a.id, a.at, a.actor_name, coalesce(o.email, '') as actor_email, a.action,
                a.target_type, a.target_id, a.target_name, a.details, a.before, a.after,
                a.ip_address, a.request_id
           from audit a
           left join operators o on o.tenant_id = a.tenant_id and o.id = a.actor_id
          where a.tenant_id = $1
            and ($2::uuid is null or a.actor_id = $2)
            and ($3::text is null or a.action = $3)
            and ($4::text is null or a.target_type = $4)
            and ($5::uuid is null or a.target_id = $5)
            and ($6::timestamptz is null or a.at >= $6)
            and ($7::timestamptz is null or a.at < $7)
            and ($8::uuid is null
                 or (a.at, a.id) < (select b.at, b.id from audit b
                                     where b.tenant_id = $1 and b.id = $8))
          order by ",
            $order,
            "
          limit $9 offset $10"
        )
    };
}

/// Those lines, in this order.
pub async fn lines(
    tx: &mut Tx,
    wanted: &Wanted,
    first: First,
    limit: i64,
    offset: i64,
) -> sqlx::Result<Vec<Line>> {
    let text = match first {
        First::Newest => lines!("a.at desc, a.id desc"),
        First::Oldest => lines!("a.at, a.id"),
    };
    sqlx::query_as(text)
        .bind(tx.tenant())
        .bind(wanted.operator)
        .bind(wanted.action)
        .bind(&wanted.target_type)
        .bind(wanted.target)
        .bind(wanted.from)
        .bind(wanted.to)
        .bind(wanted.before)
        .bind(limit)
        .bind(offset)
        .fetch_all(&mut **tx)
        .await
}
