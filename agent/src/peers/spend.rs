//! A first use that this agent shares: it has its turn, and needs one of two others to have written it down.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{AgentId, RouterId};
use easyisp_shared::wire::down::VoucherV1;
use easyisp_shared::wire::peer::{FirstUseV1, PeerAnswer, PeerQuestion};
use easyisp_shared::wire::question::{AgentQuestion, CloudReply};
use tokio_util::sync::CancellationToken;

use super::Peers;
use super::votes::{Acting, first_use_of, redemption};
use crate::radius::{CLOUD_PATIENCE, Dated, dated};
use crate::site::{Fate, Keeping, Reading, Redemption};
use crate::sync::LinkStatus;

/// What the other agent said.
enum Said {
    /// It wrote this down.
    Yes(Redemption),
    /// Somebody used it, who may be the same.
    Used(FirstUseV1),
    /// It cannot, or is not there: the cloud must.
    No,
}

impl Peers {
    /// Has a first use written down by another too, and settles it. An agent that stops meanwhile says
    /// nothing: the router asks another one.
    pub async fn spend(
        self: Arc<Self>,
        used: Redemption,
        router: RouterId,
        read: Reading,
        stop: &CancellationToken,
    ) {
        let decided = self.decide(&used, router, read);
        match stop.run_until_cancelled(decided).await {
            Some((fate, stored)) => self.settle(&used, stored, fate),
            None => drop(self.parts.site.settle(used.voucher, None)),
        }
    }

    async fn decide(
        self: &Arc<Self>,
        used: &Redemption,
        router: RouterId,
        read: Reading,
    ) -> (Fate, Option<Redemption>) {
        let site = &self.parts.site;
        let with = match site.keeping() {
            Keeping::With(other) => other,
            // Since a moment ago others keep the vouchers: who waits looks again.
            Keeping::Alone | Keeping::Not => return (Fate::Stored, None),
        };
        let me = self.parts.identity.agent;
        match site.voted(used.voucher) {
            None => {}
            // Asked for before, of the cloud alone: it knows what became of that.
            Some(vote) if vote.agent == me => {
                return self.ask_cloud(used, (router, read), None).await;
            }
            Some(vote) if vote.used.mac == used.mac => {
                let used = used.clone().as_voted(&vote);
                let given = Some(vote.agent);
                return self.ask_both(with, &used, (router, read), given).await;
            }
            // Another device has this agent's vote; what became of it the feed will tell.
            Some(_) => return (Fate::Alone, None),
        }
        self.ask_both(with, used, (router, read), None).await
    }

    /// Asks the other agent, then the cloud. `given` is who has this agent's vote already.
    async fn ask_both(
        self: &Arc<Self>,
        with: AgentId,
        used: &Redemption,
        (router, read): (RouterId, Reading),
        given: Option<AgentId>,
    ) -> (Fate, Option<Redemption>) {
        match self.ask_for_vote(with, used, router).await {
            Said::Yes(used) => self.both_wrote(with, used, router, read).await,
            Said::Used(told) => {
                let vote = self.parts.site.voted(used.voucher);
                let (theirs, dated) =
                    Dated::as_told(redemption(&told), vote.as_deref(), &self.parts.clock);
                let written = self.write_down(&theirs, router, Acting::Either, dated);
                match written.await {
                    true => (Fate::Stored, Some(theirs)),
                    false => (Fate::NotStored, None),
                }
            }
            Said::No => self.ask_cloud(used, (router, read), given).await,
        }
    }

    /// Writes its own vote and asks the cloud for the second one. No vote where there is no cloud to ask: it
    /// would bind the code to a device that was refused.
    async fn ask_cloud(
        &self,
        used: &Redemption,
        (router, read): (RouterId, Reading),
        given: Option<AgentId>,
    ) -> (Fate, Option<Redemption>) {
        if !matches!(*self.parts.link.borrow(), LinkStatus::Up { .. }) {
            return (Fate::Alone, None);
        }
        // It may have told the time since the code was shown.
        let (used, _) = dated(used.clone(), read, &self.parts.clock);
        let used = &used;
        // Who had it first still knows alone what became of it.
        let agent = given.unwrap_or(self.parts.identity.agent);
        if !self.write_vote(used, agent).await {
            return (Fate::NotStored, None);
        }
        let question = AgentQuestion::Voucher {
            digest: used.digest,
            mac: used.mac,
            voted: Some(used.from),
        };
        match self.parts.cloud.ask(question, CLOUD_PATIENCE).await {
            Ok(CloudReply::Voucher(row)) => self.cloud_wrote(row, used, router).await,
            Ok(
                CloudReply::Pong { .. }
                | CloudReply::Certificate { .. }
                | CloudReply::Noted
                | CloudReply::Authority(_),
            )
            | Err(_) => (Fate::Alone, None),
        }
    }

    /// The cloud let it in: told of again, as any first use is, it outlives a backup that is put back there.
    async fn cloud_wrote(
        &self,
        row: VoucherV1,
        used: &Redemption,
        router: RouterId,
    ) -> (Fate, Option<Redemption>) {
        let stands = row.used.map(|stands| Redemption {
            from: stands.from,
            until: stands.until,
            ..used.clone()
        });
        self.parts.site.moved_here(row, used.mac);
        let Some(stands) = stands else {
            return (Fate::Stored, None);
        };
        let written = self.write_down(&stands, router, Acting::Either, Dated::ByTheCloud);
        match written.await {
            true => (Fate::Stored, Some(stands)),
            false => (Fate::Stored, None),
        }
    }

    async fn ask_for_vote(&self, with: AgentId, used: &Redemption, router: RouterId) -> Said {
        let question = PeerQuestion::Vote(first_use_of(used, router));
        for _ in 0..ATTEMPTS {
            match self.ask(with, &question).await {
                Some(PeerAnswer::Yes { from }) => {
                    let lasts = used.until.since(used.from);
                    return Said::Yes(Redemption {
                        from,
                        until: from.plus(lasts),
                        ..used.clone()
                    });
                }
                Some(PeerAnswer::Used(told)) if told.voucher == used.voucher => {
                    return Said::Used(told);
                }
                // The same code is shown there just now.
                Some(PeerAnswer::Busy) => tokio::time::sleep(PAUSE).await,
                Some(
                    PeerAnswer::Taken
                    | PeerAnswer::Here
                    | PeerAnswer::Used(_)
                    | PeerAnswer::Counted(_)
                    | PeerAnswer::Knows(_),
                )
                | None => break,
            }
        }
        Said::No
    }

    async fn both_wrote(
        self: &Arc<Self>,
        with: AgentId,
        used: Redemption,
        router: RouterId,
        read: Reading,
    ) -> (Fate, Option<Redemption>) {
        // What it wrote it knows by its own clock.
        let voted = first_use_of(&used, router);
        let (used, dated) = dated(used, read, &self.parts.clock);
        let told = match voted.from == read.at {
            true => first_use_of(&used, router),
            false => voted.clone(),
        };
        let stored = self.write_down(&used, router, Acting::Either, dated).await;
        let question = match stored {
            true => PeerQuestion::Happened(told),
            false => PeerQuestion::Withdraw(voted),
        };
        let peers = self.clone();
        // Where it does not hear that, it asks when the code is shown there.
        tokio::spawn(async move {
            for _ in 0..ATTEMPTS {
                match peers.ask(with, &question).await {
                    Some(PeerAnswer::Busy) => tokio::time::sleep(PAUSE).await,
                    Some(_) | None => return,
                }
            }
        });
        match stored {
            true => (Fate::Stored, Some(used)),
            false => (Fate::NotStored, None),
        }
    }
}

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(150);
