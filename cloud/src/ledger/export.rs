//! The books as text that outlives the database: one line of JSON for every row of the chain.

use easyisp_shared::id::TenantId;

use crate::db::Database;

/// Most rows read in one transaction.
const BATCH: i64 = 500;

/// Hands over the chain line by line, in order: number, digest, and the entry with its transfers or the line of
/// the trail. Only what was sealed; returns how many lines.
pub async fn export<F, Fut>(db: &Database, tenant: TenantId, mut write: F) -> anyhow::Result<u64>
where
    F: FnMut(String) -> Fut,
    Fut: Future<Output = std::io::Result<()>>,
{
    let (mut last, mut lines) = (0_i64, 0);
    loop {
        let mut tx = db.begin(tenant).await?;
        let batch: Vec<(i64, String)> = sqlx::query_as(
            "select c.sequence,
                    jsonb_build_object(
                        'sequence', c.sequence, 'kind', c.kind, 'id', c.subject_id,
                        'digest', encode(c.digest, 'hex'), 'sealedAt', c.sealed_at,
                        'entry', (select to_jsonb(e) - 'tenant_id' from entries e
                                   where e.tenant_id = $1 and e.id = c.subject_id and c.kind = 'ENTRY'),
                        'transfers', (select jsonb_agg(to_jsonb(t) - 'tenant_id' - 'entry_id' order by t.line)
                                        from transfers t
                                       where t.tenant_id = $1 and t.entry_id = c.subject_id
                                         and c.kind = 'ENTRY'),
                        'line', (select to_jsonb(a) - 'tenant_id' from audit a
                                  where a.tenant_id = $1 and a.id = c.subject_id and c.kind = 'AUDIT'))::text
               from chain c
              where c.tenant_id = $1 and c.sequence > $2
              order by c.sequence
              limit $3",
        )
        .bind(tenant)
        .bind(last)
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        drop(tx);
        let Some((newest, _)) = batch.last() else {
            return Ok(lines);
        };
        last = *newest;
        lines += batch.len() as u64;
        let mut text = String::new();
        for (_, line) in batch {
            text.push_str(&line);
            text.push('\n');
        }
        write(text).await?;
    }
}

/// Whether everything of a tenant that was committed has its number.
pub async fn is_sealed(db: &Database, tenant: TenantId) -> sqlx::Result<bool> {
    let mut tx = db.begin(tenant).await?;
    sqlx::query_scalar("select not exists (select from unsealed where tenant_id = $1)")
        .bind(tenant)
        .fetch_one(&mut *tx)
        .await
}
