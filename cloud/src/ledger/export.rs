//! The books as text that outlives the database: one line of JSON for every row of the chain, with all that its digest
//! covers, and what is known of rows that were blanked. The README has a script that checks it.

use easyisp_shared::id::TenantId;

use crate::db::Database;

/// Most rows read in one transaction.
const BATCH: i64 = 500;

/// A tenant's chain as it stood when this was made, read piece by piece. Only what was sealed.
#[derive(Clone, Copy, Debug)]
pub struct Export {
    tenant: TenantId,
    last: i64,
    until: i64,
}

impl Export {
    /// Of everything that is sealed by now.
    pub async fn begin(db: &Database, tenant: TenantId) -> sqlx::Result<Export> {
        let mut tx = db.begin(tenant).await?;
        let newest = "select coalesce(max(sequence), 0) from chain where tenant_id = $1";
        let until = sqlx::query_scalar(newest)
            .bind(tenant)
            .fetch_one(&mut *tx)
            .await?;
        Ok(Export {
            tenant,
            last: 0,
            until,
        })
    }

    /// How many lines there are in all.
    pub fn lines(&self) -> i64 {
        self.until
    }

    /// The next lines, in order: number, digest, and the entry with its transfers or the line of the trail, and which
    /// lines of the trail say that it was blanked. `None` = that was all.
    pub async fn next(&mut self, db: &Database) -> sqlx::Result<Option<String>> {
        let mut tx = db.begin(self.tenant).await?;
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
                        -- before and after as the text that the digest covers
                        'line', (select to_jsonb(a) - 'tenant_id'
                                        || jsonb_build_object('before', a.before::text, 'after', a.after::text)
                                   from audit a
                                  where a.tenant_id = $1 and a.id = c.subject_id and c.kind = 'AUDIT'),
                        -- a line that is not in this file vouches for what it is not asked for here
                        'redactions', (select jsonb_agg(jsonb_build_object(
                                                  'line', v.subject_id, 'digest', encode(r.digest, 'hex'),
                                                  'words', encode(r.words, 'hex')) order by r.line_id)
                                         from redactions r
                                         left join chain v on v.tenant_id = $1 and v.kind = 'AUDIT'
                                                          and v.subject_id = r.line_id and v.sequence <= $4
                                        where r.tenant_id = $1 and r.kind = c.kind
                                          and r.subject_id = c.subject_id))::text
               from chain c
              where c.tenant_id = $1 and c.sequence > $2 and c.sequence <= $4
              order by c.sequence
              limit $3",
        )
        .bind(self.tenant)
        .bind(self.last)
        .bind(BATCH)
        .bind(self.until)
        .fetch_all(&mut *tx)
        .await?;
        drop(tx);
        let Some((newest, _)) = batch.last() else {
            return Ok(None);
        };
        self.last = *newest;
        let mut text = String::new();
        for (_, line) in batch {
            text.push_str(&line);
            text.push('\n');
        }
        Ok(Some(text))
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
