//! A first use that this agent shares: it has its turn, and needs one of two others to have written it down.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{AgentId, RouterId};
use easyisp_shared::wire::peer::{FirstUseV1, PeerAnswer, PeerQuestion};
use easyisp_shared::wire::question::{AgentQuestion, CloudReply};

use tokio_util::sync::CancellationToken;

use super::Peers;
use super::votes::{Acting, first_use_of, redemption};
use crate::radius::CLOUD_PATIENCE;
use crate::site::{Fate, Keeping, Redemption};

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
        stop: &CancellationToken,
    ) {
        match stop.run_until_cancelled(self.decide(&used, router)).await {
            Some((fate, stored)) => self.settle(&used, stored, fate),
            None => drop(self.parts.site.settle(used.voucher, None)),
        }
    }

    async fn decide(
        self: &Arc<Self>,
        used: &Redemption,
        router: RouterId,
    ) -> (Fate, Option<Redemption>) {
        let site = &self.parts.site;
        let with = match site.keeping() {
            Keeping::With(other) => other,
            // Others keep the vouchers since; whoever waits looks again.
            Keeping::Alone | Keeping::Not => return (Fate::Alone, None),
        };
        let voted = site.voted(used.voucher);
        let used = match &voted {
            None => used.clone(),
            Some(vote) if vote.used.mac == used.mac => used.clone().as_voted(vote),
            // Another device has this agent's vote; what became of it the feed will tell.
            Some(_) => return (Fate::Alone, None),
        };
        match self.ask_for_vote(with, &used, router).await {
            Said::Yes(used) => return self.both_wrote(with, used, router).await,
            Said::Used(told) => {
                let theirs = redemption(&told);
                return match self.write_down(&theirs, router, Acting::Either).await {
                    true => (Fate::Stored, Some(theirs)),
                    false => (Fate::NotStored, None),
                };
            }
            Said::No => {}
        }
        let has_vote = voted.as_ref().is_some_and(|vote| vote.used == used);
        // Who had it first still knows alone what became of it.
        let agent = voted.map_or(self.parts.identity.agent, |vote| vote.agent);
        if !has_vote && !self.write_vote(&used, agent).await {
            return (Fate::NotStored, None);
        }
        let question = AgentQuestion::Voucher {
            digest: used.digest,
            mac: used.mac,
            voted: Some(used.from),
        };
        match self.parts.cloud.ask(question, CLOUD_PATIENCE).await {
            Ok(CloudReply::Voucher(row)) => {
                site.moved_here(row, used.mac);
                (Fate::Stored, None)
            }
            Ok(CloudReply::Pong { .. } | CloudReply::Certificate { .. }) | Err(_) => {
                (Fate::Alone, None)
            }
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
                Some(PeerAnswer::Taken | PeerAnswer::Here | PeerAnswer::Used(_)) | None => break,
            }
        }
        Said::No
    }

    async fn both_wrote(
        self: &Arc<Self>,
        with: AgentId,
        used: Redemption,
        router: RouterId,
    ) -> (Fate, Option<Redemption>) {
        let told = first_use_of(&used, router);
        let stored = self.write_down(&used, router, Acting::Either).await;
        let question = match stored {
            true => PeerQuestion::Happened(told),
            false => PeerQuestion::Withdraw(told),
        };
        let peers = self.clone();
        // Where it does not hear that, it asks when the code is shown there.
        tokio::spawn(async move { peers.ask(with, &question).await });
        match stored {
            true => (Fate::Stored, Some(used)),
            false => (Fate::NotStored, None),
        }
    }
}

const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(150);
