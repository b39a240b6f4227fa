//! Writes that this node is there, and whom it holds: at every arrival and departure, and at each heart-beat.

use std::collections::BTreeMap;

use easyisp_shared::id::AgentId;
use easyisp_shared::time::Timestamp;
use tokio_util::sync::CancellationToken;

use super::rules::{BEAT, DEAD};
use super::{Nodes, store};
use crate::sites::agents::Agent;

/// Who was told to be here, and since when.
type Here = BTreeMap<AgentId, (Agent, Timestamp)>;

impl Nodes {
    /// Tells the others until `stop`, and then takes its leave. A node that dies is forgotten by its lease.
    pub async fn run(self, address: String, stop: CancellationToken) {
        let inner = &self.inner;
        let started = inner.clock.now();
        let mut told = Here::new();
        loop {
            let here = self.here();
            match self.tell((&address, started), &told, &here).await {
                Ok(()) => told = here,
                // Tried again at the next beat, from what was told last.
                Err(cause) => {
                    tracing::warn!(%cause, "Cannot tell other nodes who is here: {cause}");
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = inner.clock.sleep(BEAT) => {}
                () = inner.agents.changed().notified() => {}
            }
        }
        inner.stop.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        if let Err(cause) = store::leave(&inner.db, inner.id).await {
            tracing::warn!(%cause, "Cannot take leave of the other nodes: {cause}");
        }
    }

    fn here(&self) -> Here {
        let all = self.inner.agents.all().into_iter();
        all.map(|presence| (presence.agent.id, (presence.agent, presence.since)))
            .collect()
    }

    async fn tell(
        &self,
        (address, started): (&str, Timestamp),
        told: &Here,
        here: &Here,
    ) -> sqlx::Result<()> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let mut tx = inner.db.directory().await?;
        let began = store::beat(&mut tx, inner.id, address, started, now).await?;
        // An arrival is news and takes the agent's row over. After the others had given this node up, it says
        // again whom it holds, and takes over nobody who came to another one since.
        let news = here
            .iter()
            .filter(|(agent, was)| told.get(agent) != Some(was));
        let news: Vec<_> = news.map(|(_, was)| *was).collect();
        store::arrived(&mut tx, inner.id, &news, store::Row::TakenOver).await?;
        if began {
            let all: Vec<_> = here.values().copied().collect();
            store::arrived(&mut tx, inner.id, &all, store::Row::KeptByLater).await?;
        }
        let gone = told.keys().filter(|agent| !here.contains_key(agent));
        let gone: Vec<_> = gone.copied().collect();
        store::left(&mut tx, inner.id, &gone).await?;
        store::forget_dead(&mut tx, inner.id, now.minus(DEAD)).await?;
        tx.commit().await
    }
}
