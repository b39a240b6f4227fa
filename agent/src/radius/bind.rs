//! The first login from a device where first logins bind: it takes one of the customer's places, on stable
//! storage, before it is let in. Who finds no place is refused by the verdict, as one with a wrong device.

use easyisp_shared::entitlement::{Answer, Live};
use easyisp_shared::net::Mac;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::up::{BindV1, LoginOutcome};

use super::AccessRequest;
use super::driver::{Known, Radius};
use super::hotspot::NOT_STORED;
use super::later::{Later, Learnt};
use super::login_log::record;
use super::verify::VerifiedAccess;
use crate::site::{Bind, Fate, Subscriber};
use crate::store::{Change, Committed, Job, Urgency, Write};

impl Radius {
    /// Binds who would be let in to a device that is not his yet; `None` where there is nothing to bind. The
    /// answer waits for the disk, and is decided again then.
    pub(super) fn bind(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        request: &AccessRequest<'_>,
        (subscriber, device): (&Subscriber, Mac),
        later: &Later<'_>,
    ) -> Option<Option<Vec<u8>>> {
        if !self.parts.site.binds(subscriber) {
            return None;
        }
        if later.learnt == Learnt::Fate(Fate::NotStored) {
            let (who, outcome) = (Some(subscriber), LoginOutcome::NotStored);
            let now = self.parts.clock.now();
            self.log_login(known, request, who, Some(device), outcome, now);
            return Some(self.reject_with(known, NOT_STORED));
        }
        let bind = self.take_place(known, subscriber, device)?;
        let (radius, resume) = (later.radius.clone(), later.resume());
        let write = written(bind, move |committed| match committed {
            Committed::Yes => resume(Fate::Stored),
            Committed::No => {
                radius.parts.site.give_place_back(&bind);
                resume(Fate::NotStored);
            }
        });
        // A refused write has answered already.
        let _told = self.parts.outbox.submit(Job::Write(write));
        Some(None)
    }

    /// The same without a wait, at the end of a conversation that cannot be had again.
    pub(super) fn bind_beside(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        subscriber: &Subscriber,
        device: Mac,
    ) {
        if let Some(bind) = self.take_place(known, subscriber, device) {
            let site = self.parts.site.clone();
            let write = written(bind, move |committed| {
                if committed == Committed::No {
                    site.give_place_back(&bind);
                }
            });
            let _told = self.parts.outbox.submit(Job::Write(write));
        }
    }

    fn take_place(
        &self,
        known: &Known<VerifiedAccess<'_>>,
        subscriber: &Subscriber,
        device: Mac,
    ) -> Option<Bind> {
        let (site, now) = (&self.parts.site, self.parts.clock.now());
        let live = Live {
            mac: Some(device),
            router: Some(known.router.id),
            ..Live::default()
        };
        let comes_in =
            site.binds(subscriber) && site.verdict(subscriber, &live, now).answer == Answer::Accept;
        comes_in
            .then(|| site.take_place(subscriber, device, now))
            .flatten()
    }
}

/// A bind and what the cloud is told of it, written together.
fn written(bind: Bind, done: impl FnOnce(Committed) + Send + 'static) -> Write {
    let told = Up::Bind(BindV1 {
        customer: bind.customer,
        mac: bind.mac,
        instead_of: bind.instead_of,
        at: bind.at,
    });
    Write {
        changes: vec![Change::Bind(bind), Change::Record(record(&told, bind.at))],
        urgency: Urgency::Kept,
        done: Box::new(done),
    }
}
