//! Tells other nodes which sites have news, and hears it from them: one coalesced NOTIFY on a connection of its
//! own, after the commit. Inside a working transaction it would take a lock that the whole server shares.
//!
//! A hint only: nodes ask for their own sites' news once a second besides, so one that is lost costs a second.

use std::collections::BTreeSet;
use std::time::Duration;

use easyisp_shared::id::SiteId;
use sqlx::postgres::PgListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Database;

impl Database {
    /// Tells and hears until `stop`; holds one connection of the pool.
    pub async fn share_wakes(self, stop: CancellationToken) {
        let (tell, mut told) = mpsc::channel(MOST_WAITING);
        self.wakes().tell_others(tell);
        let own = hex::encode(self.entropy().bytes::<4>());
        let sharing = async {
            loop {
                if let Err(cause) = self.share(&own, &mut told).await {
                    tracing::warn!(%cause, "Cannot hear other nodes' news at once: {cause}");
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        stop.run_until_cancelled(sharing).await;
    }

    async fn share(&self, own: &str, told: &mut mpsc::Receiver<SiteId>) -> sqlx::Result<()> {
        let mut listener = PgListener::connect_with(&self.inner.pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            tokio::select! {
                heard = listener.recv() => {
                    self.wakes().wake(&sites(own, heard?.payload()));
                }
                Some(first) = told.recv() => {
                    tokio::time::sleep(GATHERED).await;
                    let mut sites = BTreeSet::from([first]);
                    while let Ok(site) = told.try_recv() {
                        sites.insert(site);
                    }
                    for payload in payloads(own, &sites) {
                        sqlx::query("select pg_notify($1, $2)")
                            .bind(CHANNEL)
                            .bind(payload)
                            .execute(&self.inner.pool)
                            .await?;
                    }
                }
            }
        }
    }
}

/// The node that tells, and sites, in texts that a notification has room for.
fn payloads(own: &str, sites: &BTreeSet<SiteId>) -> Vec<String> {
    let sites: Vec<SiteId> = sites.iter().copied().collect();
    let text = |chunk: &[SiteId]| {
        let mut text = own.to_owned();
        for site in chunk {
            text.push(' ');
            text.push_str(&site.0.simple().to_string());
        }
        text
    };
    sites.chunks(AT_ONCE).map(text).collect()
}

/// The sites that another node tells of; none for what this one told itself.
fn sites(own: &str, payload: &str) -> Vec<SiteId> {
    let mut words = payload.split(' ');
    if words.next() == Some(own) {
        return Vec::new();
    }
    words
        .filter_map(|word| Uuid::try_parse(word).ok().map(SiteId))
        .collect()
}

const CHANNEL: &str = "easyisp_sites";
/// PostgreSQL takes 8,000 octets; a site is 33.
const AT_ONCE: usize = 200;
const MOST_WAITING: usize = 4_096;
/// Notifications take turns at one lock, so there are few.
const GATHERED: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sites_travel_in_texts_that_fit_and_nobody_hears_himself() {
        let all: BTreeSet<SiteId> = (0..450).map(|n| SiteId(Uuid::from_u128(n))).collect();
        let texts = payloads("0a0b0c0d", &all);
        assert_eq!(texts.len(), 3);
        assert!(texts.iter().all(|text| text.len() < 8_000));
        let heard: BTreeSet<SiteId> = texts
            .iter()
            .flat_map(|text| sites("11111111", text))
            .collect();
        assert_eq!(heard, all);
        assert!(texts.iter().all(|text| sites("0a0b0c0d", text).is_empty()));
        assert_eq!(sites("x", "somebody else's words"), Vec::new());
    }
}
