//! SQL on messages.

use easyisp_shared::id::MessageId;
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use sqlx::FromRow;

use crate::db::Tx;
use crate::due::due_cte;

use super::rules::Fate;
use super::{Letter, Message, SEND};

/// The common table expression that writes messages beside a statement of a feature:
/// `message_cte!("$1", "$2", …)` with tenant, now, and the columns id `uuid[]`, recipient, body, purpose
/// `text[]`, customer `uuid[]` and initiator `text[]`. Their sending is due work of kind `SEND`.
macro_rules! message_cte {
    ($tenant:literal, $now:literal, $ids:literal, $recipients:literal, $bodies:literal,
     $purposes:literal, $customers:literal, $initiators:literal) => {
        concat!(
            "message as (
                 insert into messages (tenant_id, id, channel, recipient, body, purpose, customer_id,
                                       initiator, state, created_at)
                 select ", $tenant, ", m.id, 'SMS', m.recipient, m.body, m.purpose, m.customer_id,
                        m.initiator, 'PENDING', ", $now, "
                   from unnest(", $ids, "::uuid[], ", $recipients, "::text[], ", $bodies, "::text[], ",
                               $purposes, "::text[], ", $customers, "::uuid[], ", $initiators, "::text[])
                     as m (id, recipient, body, purpose, customer_id, initiator))"
        )
    };
}
pub(crate) use message_cte;

/// Writes a message and makes its sending due, in one statement.
pub(super) async fn enqueue(tx: &mut Tx, message: &Message, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(concat!(
        "with ",
        message_cte!("$1", "$2", "$3", "$4", "$5", "$6", "$7", "$8"),
        ", ",
        due_cte!("$1", "$9", "$3", "$10"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(now)
    .bind(vec![message.id])
    .bind(vec![message.to.as_str()])
    .bind(vec![message.body.as_str()])
    .bind(vec![message.purpose])
    .bind(vec![message.customer])
    .bind(vec![message.initiator.as_str()])
    .bind(vec![SEND])
    .bind(vec![now])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The same for a letter. Its first line is what it is about.
pub(super) async fn enqueue_letter(
    tx: &mut Tx,
    letter: &Letter,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(concat!(
        "with letter as (
             insert into messages (tenant_id, id, channel, recipient, body, purpose, initiator, state,
                                   created_at)
             values ($1, $2, 'EMAIL', $3, $4, $5, $6, 'PENDING', $7)), ",
        due_cte!("$1", "$8", "$9", "$10"),
        " select 1"
    ))
    .bind(tx.tenant())
    .bind(letter.id)
    .bind(&letter.to)
    .bind(format!("{}\n{}", letter.subject, letter.body))
    .bind(letter.purpose)
    .bind(&letter.initiator)
    .bind(now)
    .bind(vec![SEND])
    .bind(vec![letter.id])
    .bind(vec![now])
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// How a message goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "UPPERCASE")]
pub(super) enum Channel {
    Sms,
    Email,
}

/// A message that may be sent, and what its tenant has sent today.
#[derive(FromRow, Debug)]
pub(super) struct Waiting {
    pub(super) channel: Channel,
    pub(super) purpose: String,
    pub(super) since: Timestamp,
    pub(super) doubtful: i32,
    pub(super) is_trial: bool,
    pub(super) time_zone: String,
    /// What is left of what was paid for texts in advance.
    pub(super) sms_balance: Cents,
    /// Texts of today about money.
    pub(super) money: i64,
    /// And all others.
    pub(super) others: i64,
}

/// Looks at a message before it is taken; `None` when it is not to be tried.
pub(super) async fn waiting(
    tx: &mut Tx,
    id: MessageId,
    now: Timestamp,
) -> sqlx::Result<Option<Waiting>> {
    sqlx::query_as(
        "select m.channel, m.purpose, m.created_at as since, m.doubtful, t.status = 'TRIAL' as is_trial,
                t.time_zone, t.sms_balance, coalesce(d.money, 0)::bigint as money, coalesce(d.others, 0)::bigint as others
           from messages m
           join tenants t on t.tenant_id = $1
           left join lateral (select sum(texts) filter (where about_money) as money,
                                     sum(texts) filter (where not about_money) as others
                                from sms_days
                               where tenant_id = $1 and day = ($3::timestamptz at time zone t.time_zone)::date) d
             on true
          where m.tenant_id = $1 and m.id = $2 and m.state in ('PENDING', 'SENDING')",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(now)
    .fetch_optional(&mut **tx)
    .await
}

/// A message as the sender takes it.
#[derive(FromRow, Debug)]
pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) recipient: String,
    pub(super) body: String,
    pub(super) attempts: i32,
}

/// Takes a message for one try and counts it. `None` when it is not to be tried: sent, given up, or a try
/// began whose end nobody saw, which makes its fate unknown.
pub(super) async fn take(tx: &mut Tx, id: MessageId) -> sqlx::Result<Option<Outgoing>> {
    sqlx::query_as(
        "with taken as (
             update messages
                set state = case state when 'PENDING' then 'SENDING' else 'UNKNOWN' end,
                    attempts = attempts + case state when 'PENDING' then 1 else 0 end,
                    error = case state when 'PENDING' then null else 'the sender stopped during the try' end
              where tenant_id = $1 and id = $2 and state in ('PENDING', 'SENDING')
             returning id, recipient, body, attempts, state)
         select id, recipient, body, attempts from taken where state = 'SENDING'",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes down what became of a try, and whether it may have arrived although it is made again. `counted`: where a
/// text is counted on the tenant's day, whether it is about money, and what of the money that was paid for texts in advance
/// it takes.
pub(super) async fn settle(
    tx: &mut Tx,
    id: MessageId,
    provider: &str,
    fate: &Fate,
    (is_doubtful, counted): (bool, Option<(bool, Cents)>),
    now: Timestamp,
) -> sqlx::Result<()> {
    let (state, provider_id, error, sent_at) = match fate {
        Fate::Sent { id } => ("SENT", id.as_deref(), None, Some(now)),
        Fate::Again { why, .. } => ("PENDING", None, Some(why.as_str()), None),
        Fate::Failed(why) => ("FAILED", None, Some(why.as_str()), None),
        Fate::Unknown(why) => ("UNKNOWN", None, Some(why.as_str()), None),
    };
    sqlx::query(
        "with settled as (
             update messages
                set state = $3, provider = $4, provider_id = $5, error = $6, sent_at = $7,
                    doubtful = doubtful + $8
              where tenant_id = $1 and id = $2 and state = 'SENDING'),
         today as (
             select ($10::timestamptz at time zone time_zone)::date as day
               from tenants
              where tenant_id = $1 and $9::boolean is not null),
         old as (
             delete from sms_days d using today where d.tenant_id = $1 and d.day < today.day - 60),
         paid as (
             update tenants set sms_balance = sms_balance - $11
              where tenant_id = $1 and $9::boolean is not null and $11::bigint > 0)
         insert into sms_days (tenant_id, day, about_money, texts)
         select $1, day, $9, 1 from today
             on conflict (tenant_id, day, about_money) do update set texts = sms_days.texts + 1",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(state)
    .bind(provider)
    .bind(provider_id)
    .bind(error)
    .bind(sent_at)
    .bind(i32::from(is_doubtful))
    .bind(counted.map(|(about_money, _)| about_money))
    .bind(now)
    .bind(counted.map_or(Cents::ZERO, |(_, cost)| cost))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
