//! Which prefixes sessions had when.

use easyisp_shared::id::SessionId;
use easyisp_shared::ipv6::text;

use crate::db::Tx;
use crate::sessions::prefixes::Changes;

/// Writes what a batch changed: first what sessions have no more, then what they had not before.
pub async fn change_prefixes(tx: &mut Tx, changed: &[(SessionId, &Changes)]) -> sqlx::Result<()> {
    let gone = || {
        let each = changed.iter();
        each.flat_map(|(session, changes)| changes.gone.iter().map(move |gone| (*session, gone)))
    };
    if gone().next().is_some() {
        sqlx::query(
            "update session_prefixes p
                set last_at = n.last_at, until = n.until
               from unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[])
                    as n (session, prefix, last_at, until)
              where p.tenant_id = $1 and p.session_id = n.session and p.prefix = n.prefix::cidr
                and p.until is null",
        )
        .bind(tx.tenant())
        .bind(gone().map(|(session, _)| session).collect::<Vec<_>>())
        .bind(
            gone()
                .map(|(_, (prefix, _))| text(*prefix))
                .collect::<Vec<_>>(),
        )
        .bind(
            gone()
                .map(|(_, (_, gone))| gone.last_at)
                .collect::<Vec<_>>(),
        )
        .bind(gone().map(|(_, (_, gone))| gone.until).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    }
    let new = || {
        let each = changed.iter();
        each.flat_map(|(session, changes)| changes.new.iter().map(move |span| (*session, span)))
    };
    if new().next().is_some() {
        sqlx::query(
            "insert into session_prefixes (tenant_id, session_id, prefix, told_at, since, last_at, until)
             select $1, n.session, n.prefix::cidr, n.told_at, n.since, n.last_at, n.until
               from unnest($2::uuid[], $3::text[], $4::timestamptz[], $5::timestamptz[],
                           $6::timestamptz[], $7::timestamptz[])
                    as n (session, prefix, told_at, since, last_at, until)
                 on conflict do nothing",
        )
        .bind(tx.tenant())
        .bind(new().map(|(session, _)| session).collect::<Vec<_>>())
        .bind(new().map(|(_, span)| text(span.prefix)).collect::<Vec<_>>())
        .bind(new().map(|(_, span)| span.told_at).collect::<Vec<_>>())
        .bind(new().map(|(_, span)| span.since).collect::<Vec<_>>())
        .bind(new().map(|(_, span)| span.gone.map(|gone| gone.last_at)).collect::<Vec<_>>())
        .bind(new().map(|(_, span)| span.gone.map(|gone| gone.until)).collect::<Vec<_>>())
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}
