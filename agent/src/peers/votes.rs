//! What this agent answers to another one of its site: above all, about first uses of vouchers.

use easyisp_shared::id::{AgentId, RouterId};
use easyisp_shared::wire::peer::{FirstUseV1, PeerAnswer, PeerQuestion};

use super::Peers;
use crate::radius::{Dated, dated, first_use};
use crate::site::{Fate, Keeping, Redemption, Turn, Vote};
use crate::store::{Change, Job, Urgency, Write};

impl Peers {
    pub(super) async fn answer_to(&self, asker: AgentId, question: PeerQuestion) -> PeerAnswer {
        match question {
            PeerQuestion::Ping => PeerAnswer::Here,
            PeerQuestion::Vote(told) => self.vote(asker, told).await,
            PeerQuestion::Withdraw(told) => self.withdraw(&told).await,
            PeerQuestion::Happened(told) => self.happened(told).await,
            PeerQuestion::Share => match self.reaches(asker) && self.is_beside(asker) {
                true => PeerAnswer::Here,
                false => PeerAnswer::Taken,
            },
            PeerQuestion::Ended(names) => {
                self.ended(names);
                PeerAnswer::Here
            }
            PeerQuestion::Open(told) => {
                self.open(told);
                PeerAnswer::Here
            }
            PeerQuestion::Counted(told) => {
                self.parts.lines.take(told);
                PeerAnswer::Here
            }
            PeerQuestion::HowFar(after) => {
                PeerAnswer::Counted(self.parts.lines.counted_after(after))
            }
            PeerQuestion::Knows => PeerAnswer::Knows(self.knows()),
        }
    }

    /// Gives its vote, once for each voucher. Who lets vouchers in alone takes it as a first use of its own,
    /// and tells the cloud so. Each dates it by its own clock: the other one's may be hours behind.
    async fn vote(&self, asker: AgentId, told: FirstUseV1) -> PeerAnswer {
        let site = &self.parts.site;
        let Some(alone) = votes_alone(site.keeping(), asker, self.is_beside(asker)) else {
            return PeerAnswer::Taken;
        };
        let read = self.parts.clock.reading();
        let (voucher, router) = (told.voucher, told.router);
        let used = redemption(&told).by_clock(read.at);
        match site.take_turn(voucher, Box::new(|_| {})) {
            Turn::First => {}
            Turn::Used => {
                return match site.redemption_of(voucher) {
                    Some(used) => PeerAnswer::Used(first_use_of(&used, router)),
                    None => PeerAnswer::Busy,
                };
            }
            Turn::Waits | Turn::TooMany => return PeerAnswer::Busy,
            Turn::Released => return PeerAnswer::Taken,
        }
        let me = self.parts.identity.agent;
        // Alone, what it asked the cloud for came to nothing, or the feed had said so before.
        let before = site.voted(voucher);
        let before = before.filter(|vote| !(alone && vote.agent == me));
        let used = match &before {
            None => used,
            Some(vote) if vote.used.mac == used.mac => used.as_voted(vote),
            Some(_) => {
                self.settle(&used, None, Fate::Alone);
                return PeerAnswer::Taken;
            }
        };
        let known_elsewhere = site
            .voucher(&used.digest)
            .is_some_and(|row| row.used.is_some());
        if known_elsewhere {
            self.settle(&used, None, Fate::Stored);
            return PeerAnswer::Taken;
        }
        let (used, dated) = dated(used, read, &self.parts.clock);
        let from = used.from;
        let stored = match alone {
            true => self.write_down(&used, router, Acting::Alone, dated).await,
            // Which agent had it first still knows alone what became of it; what the cloud was asked it knows.
            false => {
                let first = before.filter(|vote| vote.agent != me);
                let agent = first.map_or(asker, |vote| vote.agent);
                self.write_vote(&used, agent).await
            }
        };
        match (stored, alone) {
            (true, true) => self.settle(&used, Some(used.clone()), Fate::Stored),
            // Who waited looks again, and finds the vote.
            (true, false) => self.settle(&used, None, Fate::Stored),
            (false, _) => {
                self.settle(&used, None, Fate::NotStored);
                return PeerAnswer::Busy;
            }
        }
        PeerAnswer::Yes { from }
    }

    /// Whether another agent alone keeps the vouchers as this one knows: it may take this one beside it, and
    /// need its vote before the cloud has said so.
    fn is_beside(&self, asker: AgentId) -> bool {
        let policy = self.parts.site.policy();
        let named = policy.row.as_ref().map(|row| row.keepers.agents.as_slice());
        named == Some(&[asker])
    }

    /// Forgets a vote that came to nothing.
    async fn withdraw(&self, told: &FirstUseV1) -> PeerAnswer {
        let site = &self.parts.site;
        let used = redemption(told);
        if !matches!(site.take_turn(used.voucher, Box::new(|_| {})), Turn::First) {
            return PeerAnswer::Here;
        }
        let given = site.voted(used.voucher);
        if given.is_some_and(|vote| vote.used == used)
            && self
                .durably(|done| Job::Write(kept(vec![Change::Withdraw(used.voucher)], done)))
                .await
        {
            site.withdraw(used.voucher);
        }
        self.settle(&used, None, Fate::Stored);
        PeerAnswer::Here
    }

    /// Takes a first use that another agent made: its device is let in here too, and the cloud hears of it
    /// also where that agent dies before it can say so.
    async fn happened(&self, told: FirstUseV1) -> PeerAnswer {
        let read = self.parts.clock.reading();
        let used = redemption(&told);
        let first = self.parts.site.take_turn(used.voucher, Box::new(|_| {}));
        match first {
            Turn::First => {}
            Turn::Used | Turn::Released => return PeerAnswer::Here,
            Turn::Waits | Turn::TooMany => return PeerAnswer::Busy,
        }
        let (used, dated) = dated(used, read, &self.parts.clock);
        let written = self.write_down(&used, told.router, Acting::Either, dated);
        match written.await {
            true => self.settle(&used, Some(used.clone()), Fate::Stored),
            false => {
                self.settle(&used, None, Fate::NotStored);
                return PeerAnswer::Busy;
            }
        }
        PeerAnswer::Here
    }

    /// Writes a first use with what the cloud is told of it.
    pub(super) async fn write_down(
        &self,
        used: &Redemption,
        router: RouterId,
        acting: Acting,
        dated: Dated,
    ) -> bool {
        let (told, committed) = tokio::sync::oneshot::channel();
        let done = Box::new(move |outcome| {
            let _nobody_waits = told.send(outcome);
        });
        let job = Job::Write(first_use(used.clone(), router, dated, done));
        let outbox = &self.parts.outbox;
        let submitted = match acting {
            Acting::Alone => self.parts.site.while_alone(|| outbox.submit(job)),
            Acting::Either => Some(outbox.submit(job)),
        };
        let written = matches!(submitted, Some(Ok(())));
        written && matches!(committed.await, Ok(crate::store::Committed::Yes))
    }

    /// Writes a vote for a first use that `agent` makes.
    pub(super) async fn write_vote(&self, used: &Redemption, agent: AgentId) -> bool {
        let vote = Vote {
            used: used.clone(),
            agent,
        };
        let change = Change::Vote(Box::new(vote.clone()));
        let written = self.durably(|done| Job::Write(kept(vec![change], done)));
        let written = written.await;
        if written {
            self.parts.site.vote(vote);
        }
        written
    }

    /// Ends a turn and tells who waited.
    pub(super) fn settle(&self, of: &Redemption, used: Option<Redemption>, fate: Fate) {
        for resume in self.parts.site.settle(of.voucher, used) {
            resume(fate);
        }
    }
}

/// Whether who keeps vouchers so decides alone about what `asker` asks; `None` where `asker` gets no vote: two must
/// have written a first use down, and which two is agreed before.
fn votes_alone(keeping: Keeping, asker: AgentId, beside: bool) -> Option<bool> {
    match keeping {
        Keeping::Alone => Some(true),
        Keeping::With(other) if other == asker => Some(false),
        Keeping::Not if beside => Some(false),
        Keeping::With(_) | Keeping::Not => None,
    }
}

/// On what terms a first use is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acting {
    /// This agent lets vouchers in alone.
    Alone,
    /// Another one wrote it down too.
    Either,
}

fn kept(changes: Vec<Change>, done: crate::store::Done) -> Write {
    Write {
        changes,
        urgency: Urgency::Kept,
        done,
    }
}

pub(super) fn redemption(told: &FirstUseV1) -> Redemption {
    Redemption {
        voucher: told.voucher,
        digest: told.digest,
        package: told.package,
        bytes: told.bytes,
        from: told.from,
        until: told.until,
        mac: told.mac,
    }
}

pub(super) fn first_use_of(used: &Redemption, router: RouterId) -> FirstUseV1 {
    FirstUseV1 {
        voucher: used.voucher,
        digest: used.digest,
        package: used.package,
        bytes: used.bytes,
        from: used.from,
        until: used.until,
        mac: used.mac,
        router,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    /// With a vote for anybody, two pairs of a site could each let a device in with the same code.
    #[test]
    fn only_who_keeps_vouchers_with_this_agent_gets_its_vote() {
        let [first, second] = [1, 2].map(|number| AgentId(Uuid::from_u128(number)));
        assert_eq!(votes_alone(Keeping::Alone, second, false), Some(true));
        assert_eq!(votes_alone(Keeping::With(first), first, false), Some(false));
        assert_eq!(votes_alone(Keeping::With(first), second, true), None);
        assert_eq!(votes_alone(Keeping::Not, first, true), Some(false));
        assert_eq!(votes_alone(Keeping::Not, second, false), None);
    }
}
