//! Finds what was changed without a word to the sites: projects everything anew and compares it with the
//! feeds.

use std::collections::{BTreeMap, BTreeSet};

use easyisp_shared::id::{SiteId, TenantId};
use uuid::Uuid;

use super::{Database, Kind, Projector, Tx, feed, numbering};

impl Database {
    /// Projects all of a tenant's things anew and writes those that its sites' feeds tell otherwise; returns
    /// them. Every one is a change that somebody forgot to tell.
    pub async fn reproject(&self, tenant: TenantId) -> sqlx::Result<Vec<(Kind, Uuid)>> {
        let mut forgotten = Vec::new();
        for (kind, projector) in self.projectors().all() {
            let mut after = Uuid::nil();
            loop {
                let mut tx = self.begin(tenant).await?;
                let ids = self.page(&mut tx, *kind, after).await?;
                let Some(last) = ids.last() else { break };
                after = *last;
                let doubtful = differing(&mut tx, *kind, projector, &ids).await?;
                tx.rollback().await?;
                if !doubtful.is_empty() {
                    let found = self.mend(tenant, *kind, projector, &doubtful).await?;
                    forgotten.extend(found.into_iter().map(|id| (*kind, id)));
                }
            }
        }
        Ok(forgotten)
    }

    /// What differed may have been changing: looks again while nobody can write a feed of this tenant, and
    /// writes what still differs. Takes no lock after the counters.
    async fn mend(
        &self,
        tenant: TenantId,
        kind: Kind,
        projector: &Projector,
        doubtful: &[Uuid],
    ) -> sqlx::Result<Vec<Uuid>> {
        let mut tx = self.begin(tenant).await?;
        feed::lock_all(&mut tx).await?;
        let mut found = differing(&mut tx, kind, projector, doubtful).await?;
        // What waits for its number was not forgotten. Asked after what differs: a change is committed with its note.
        let noted = numbering::noted(&mut tx, kind, &found).await?;
        found.retain(|id| !noted.contains(id));
        for id in &found {
            tx.changed(kind, *id);
        }
        tx.commit().await?;
        Ok(found)
    }

    /// The next ids of a kind: those that are, and those that some site still holds.
    async fn page(&self, tx: &mut Tx, kind: Kind, after: Uuid) -> sqlx::Result<Vec<Uuid>> {
        let mut ids: BTreeSet<Uuid> = BTreeSet::new();
        if let Some(lister) = self.projectors().lister(kind) {
            ids.extend(lister(tx, after, PAGE).await?);
        }
        let held: Vec<Uuid> = sqlx::query_scalar(
            "select distinct id from feed
              where tenant_id = $1 and kind = $2 and id > $3 and body is not null
              order by id
              limit $4",
        )
        .bind(tx.tenant())
        .bind(super::feed::code(kind))
        .bind(after)
        .bind(PAGE)
        .fetch_all(&mut **tx)
        .await?;
        ids.extend(held);
        let page = usize::try_from(PAGE).unwrap_or(usize::MAX);
        Ok(ids.into_iter().take(page).collect())
    }
}

/// Which of `ids` the feeds tell otherwise than they are.
async fn differing(
    tx: &mut Tx,
    kind: Kind,
    projector: &Projector,
    ids: &[Uuid],
) -> sqlx::Result<Vec<Uuid>> {
    let projected = projector(tx, ids).await?;
    let is: BTreeMap<(Uuid, SiteId), Vec<u8>> = projected
        .into_iter()
        .map(|projection| ((projection.id, projection.site), projection.body))
        .collect();
    let told: Vec<(Uuid, SiteId, Vec<u8>)> = sqlx::query_as(
        "select id, site_id, body from feed
          where tenant_id = $1 and kind = $2 and id = any($3) and body is not null",
    )
    .bind(tx.tenant())
    .bind(super::feed::code(kind))
    .bind(ids)
    .fetch_all(&mut **tx)
    .await?;
    let told: BTreeMap<(Uuid, SiteId), Vec<u8>> = told
        .into_iter()
        .map(|(id, site, body)| ((id, site), body))
        .collect();
    let missing = is
        .iter()
        .filter(|(place, body)| told.get(place) != Some(body));
    let left_over = told.iter().filter(|(place, _)| !is.contains_key(place));
    let differ: BTreeSet<Uuid> = missing.chain(left_over).map(|((id, _), _)| *id).collect();
    Ok(differ.into_iter().collect())
}

const PAGE: i64 = 500;
