//! SQL on messages.

use easyisp_shared::id::MessageId;
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

/// A message as the sender takes it.
#[derive(FromRow, Debug)]
pub(super) struct Outgoing {
    pub(super) id: MessageId,
    pub(super) channel: Channel,
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
             returning id, channel, recipient, body, attempts, state)
         select id, channel, recipient, body, attempts from taken where state = 'SENDING'",
    )
    .bind(tx.tenant())
    .bind(id)
    .fetch_optional(&mut **tx)
    .await
}

/// Writes down what became of a try.
pub(super) async fn settle(
    tx: &mut Tx,
    id: MessageId,
    provider: &str,
    fate: &Fate,
    now: Timestamp,
) -> sqlx::Result<()> {
    let (state, provider_id, error, sent_at) = match fate {
        Fate::Sent { id } => ("SENT", id.as_deref(), None, Some(now)),
        Fate::Again(why) => ("PENDING", None, Some(why.as_str()), None),
        Fate::Failed(why) => ("FAILED", None, Some(why.as_str()), None),
        Fate::Unknown(why) => ("UNKNOWN", None, Some(why.as_str()), None),
    };
    sqlx::query(
        "update messages
            set state = $3, provider = $4, provider_id = $5, error = $6, sent_at = $7
          where tenant_id = $1 and id = $2 and state = 'SENDING'",
    )
    .bind(tx.tenant())
    .bind(id)
    .bind(state)
    .bind(provider)
    .bind(provider_id)
    .bind(error)
    .bind(sent_at)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
