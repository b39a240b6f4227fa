//! Who shares the site's vouchers: an agent that lets them in alone takes another one beside it as soon as it
//! reaches it, and either one goes on alone when it has not reached the other for a minute. The cloud names
//! them; nothing changes while it is gone.

use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::peer::{PeerAnswer, PeerQuestion};
use easyisp_shared::wire::up::KeepWithV1;
use tracing::{info, warn};

use super::{Peers, Touch};
use crate::radius::login_log::record;
use crate::site::{Keeping, Site};
use crate::store::{Change, Job, OutboxReader, StoreError, Urgency, Write};
use crate::sync::LinkStatus;

/// What an agent asks of the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    term: u64,
    with: Option<AgentId>,
}

impl Peers {
    /// Decides again whenever something changed.
    pub(super) async fn share(&self) {
        let mut changes = self.changes.subscribe();
        let mut policies = self.parts.site.policies();
        let mut link = self.parts.link.clone();
        let mut said = None;
        loop {
            changes.borrow_and_update();
            policies.borrow_and_update();
            link.borrow_and_update();
            let wish = self.wish();
            if let Some(wish) = wish.filter(|wish| said != Some(*wish))
                && self.is_granted(wish).await
                && self.say(wish).await
            {
                said = Some(wish);
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() { return },
                changed = policies.changed() => if changed.is_err() { return },
                changed = link.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn wish(&self) -> Option<Wish> {
        let site = &self.parts.site;
        if !matches!(*self.parts.link.borrow(), LinkStatus::Up { .. }) {
            return None;
        }
        let policy = site.policy();
        let named = &policy.row.as_ref()?.keepers;
        let alone = named.agents == [self.parts.identity.agent];
        let with = match site.keeping() {
            Keeping::Alone => Some(self.to_share_with()?),
            Keeping::With(other) if self.is_lost(other) => None,
            // Said before a restart; nobody knows whether the cloud heard it.
            Keeping::With(other) if alone => Some(other),
            Keeping::With(_) | Keeping::Not => return None,
        };
        Some(Wish {
            term: named.term,
            with,
        })
    }

    /// The first of those that are reached, unless somebody else still has this agent's vote: he may have let
    /// a device in with it, and neither the one beside it nor the cloud would know.
    fn to_share_with(&self) -> Option<AgentId> {
        let site = &self.parts.site;
        let mut reached = self.in_touch();
        reached.sort_unstable();
        let me = self.parts.identity.agent;
        let safe = |other: &AgentId| !site.has_votes_beyond(&[me, *other]);
        reached.into_iter().find(safe)
    }

    /// Whether the one beside which this agent wants to stand reaches it too, and will give it its votes.
    async fn is_granted(&self, wish: Wish) -> bool {
        match wish.with {
            None => true,
            Some(_) if matches!(self.parts.site.keeping(), Keeping::With(_)) => true,
            Some(with) => {
                let granted = self.ask(with, &PeerQuestion::Share).await;
                granted == Some(PeerAnswer::Here)
            }
        }
    }

    /// Stops acting alone first, where that is the wish: on disk, and before the cloud can hear of it.
    async fn say(&self, wish: Wish) -> bool {
        let now = self.parts.clock.now();
        let mut changes = Vec::new();
        if let Some(with) = wish.with {
            self.parts.site.join(with, wish.term);
            let name = format!("{JOINED}{with}");
            let value = i64::try_from(wish.term).unwrap_or(i64::MAX);
            changes.push(Change::Mark(name, value));
        }
        let told = Up::Keepers(KeepWithV1 {
            term: wish.term,
            with: wish.with,
            at: now,
        });
        changes.push(Change::Record(record(&told, now)));
        let said = self
            .durably(|done| {
                Job::Write(Write {
                    changes,
                    urgency: Urgency::Kept,
                    done,
                })
            })
            .await;
        match (said, wish.with) {
            (false, _) => warn!("Cannot write down who keeps the site's vouchers; tried again"),
            (true, Some(with)) => {
                info!(agent.id = %with, "Vouchers are to be kept with agent {with}")
            }
            (true, None) => info!("Vouchers are to be kept by this agent alone"),
        }
        said
    }

    /// Whether the one with whom this agent keeps vouchers was not reached for long, or is no agent of the
    /// site any more.
    fn is_lost(&self, other: AgentId) -> bool {
        let now = self.parts.clock.monotonic();
        match self.others().get(&other).map(|other| other.touch()) {
            Some(Touch::Reached) => false,
            Some(Touch::Lost(since)) => now.saturating_sub(since) >= LONG,
            None => now >= LONG,
        }
    }
}

/// With whom an agent had decided to keep vouchers before it was started again.
pub fn recall(site: &Site, reader: &OutboxReader) -> Result<(), StoreError> {
    let mut latest = None;
    for name in reader.marks(JOINED)? {
        let term = reader.mark(&format!("{JOINED}{name}"))?;
        let term = term.and_then(|term| u64::try_from(term).ok());
        if let (Some(term), Ok(with)) = (term, name.parse()) {
            latest = latest.max(Some((term, AgentId(with))));
        }
    }
    if let Some((term, with)) = latest {
        site.join(with, term);
    }
    Ok(())
}

/// What the names begin with under which the outbox remembers that.
const JOINED: &str = "joined/";
/// A box that restarts is back before this.
const LONG: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(3);
