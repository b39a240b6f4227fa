//! What he was told when he asked, and what he would be told.

use super::case::{Case, DAY, Named};
use super::cause::Cause;
use super::{Evidence, VoucherState};
use crate::entitlement::Reason;
use crate::wire::up::LoginOutcome;

impl Case<'_> {
    /// An operator stopped him: whatever else is wrong does not matter.
    pub(super) fn stopped(&self) -> Option<Named> {
        match self.told.would?.reason {
            Reason::Suspended => Some(self.refused(Cause::Suspended)),
            Reason::Disabled => Some(self.refused(Cause::Disabled)),
            Reason::Entitled
            | Reason::Expired
            | Reason::NoPackage
            | Reason::WrongRouter
            | Reason::WrongMac
            | Reason::QuotaUsedUp
            | Reason::TooManyDevices
            | Reason::TimeUsedUp => None,
        }
    }

    /// A voucher that nobody used is no customer: it is good or not, and shown or not.
    pub(super) fn voucher(&self) -> Option<Named> {
        let voucher = self.facts.voucher.as_ref()?;
        let holder = voucher.holder.as_deref().unwrap_or("the cloud");
        match voucher.state {
            VoucherState::Expired { at } => Some(Named {
                cause: Cause::VoucherExpired,
                sentence: format!("The voucher was not used before {at}."),
                action: "Give him another voucher.".to_owned(),
                proof: vec![Evidence::at(at, "The voucher went out of date.".to_owned())],
            }),
            VoucherState::Revoked => Some(Named {
                cause: Cause::VoucherRevoked,
                sentence: "The voucher was taken back.".to_owned(),
                action: "Give him another voucher.".to_owned(),
                proof: Vec::new(),
            }),
            VoucherState::Available => self.last_answer().or_else(|| {
                Some(Named {
                    cause: Cause::VoucherUnused,
                    sentence: format!("Nobody used this voucher yet; {holder} holds it."),
                    action: "Have him type the code at the login page again.".to_owned(),
                    proof: Vec::new(),
                })
            }),
        }
    }

    pub(super) fn unknown(&self) -> Option<Named> {
        if self.told.known {
            return None;
        }
        let site = &self.facts.site;
        Some(Named {
            cause: Cause::UnknownAtSite,
            sentence: format!("The agent of {site} does not know him yet."),
            action: format!(
                "Wait a minute and look again; if it stays so, restart the agent of {site}."
            ),
            proof: Vec::new(),
        })
    }

    /// What he was told the last time he asked, as far as it still stands.
    pub(super) fn last_answer(&self) -> Option<Named> {
        let (last, outcome) = self.last?;
        if !self.is_within(last.last, DAY) {
            return None;
        }
        let router = self.name(last.router);
        let site = &self.facts.site;
        let (cause, sentence, action) = match outcome {
            LoginOutcome::Accepted
            | LoginOutcome::RouterLogin
            | LoginOutcome::UnknownRouterLogin
            | LoginOutcome::WrongRouterPassword
            | LoginOutcome::TooManyRouterTries => return None,
            LoginOutcome::Garden(_) | LoginOutcome::Refused(_) => return self.next_answer(),
            LoginOutcome::LeaseOver => {
                self.next_answer()?; // it may serve again
                (
                    Cause::LeaseOver,
                    format!("{site} had not heard from the cloud for too long when he asked."),
                    format!(
                        "See that the agent of {site} keeps its line to the cloud, then let him dial again."
                    ),
                )
            }
            LoginOutcome::UnknownUser => {
                let (_, name) = self
                    .facts
                    .elsewhere
                    .iter()
                    .find(|(id, _)| *id == last.router)?;
                (
                    Cause::WrongRouter,
                    format!("He asks at router {name}, which is not at his site ({site})."),
                    format!("Move him to the site of router {name}, or have him use {site}."),
                )
            }
            LoginOutcome::WrongPassword => (
                Cause::WrongPassword,
                format!("His equipment shows a wrong password at {router}."),
                "Enter his user name and password in his equipment again.".to_owned(),
            ),
            LoginOutcome::VoucherExpired => (
                Cause::VoucherExpired,
                "His voucher was not used in time.".to_owned(),
                "Give him another voucher.".to_owned(),
            ),
            LoginOutcome::VoucherElsewhere => {
                let holder = self
                    .facts
                    .voucher
                    .as_ref()
                    .and_then(|held| held.holder.as_deref());
                let holder = holder.unwrap_or("another place");
                (
                    Cause::VoucherElsewhere,
                    format!(
                        "The voucher is held by {holder}, which could not be asked when he showed it."
                    ),
                    "Have him try again while his site is connected.".to_owned(),
                )
            }
            LoginOutcome::NotStored => (
                Cause::CannotStore,
                format!("The box at {site} could not write his first use to its disk."),
                format!(
                    "Make room on the disk of the box at {site}, or replace its card; `easyisp-agent \
                     doctor` on it says which."
                ),
            ),
            LoginOutcome::TooManyTries => (
                Cause::TooManyTries,
                "Too many wrong passwords or codes came from his device or under his name."
                    .to_owned(),
                "Have him wait a minute and enter the password or code that his account shows."
                    .to_owned(),
            ),
        };
        Some(Named {
            cause,
            sentence,
            action,
            proof: vec![self.seen(last)],
        })
    }

    /// What he would be told if he asked.
    pub(super) fn next_answer(&self) -> Option<Named> {
        Cause::of(self.told.would?.reason).map(|cause| self.refused(cause))
    }

    /// A refusal that the decision itself gives.
    pub(super) fn refused(&self, cause: Cause) -> Named {
        let until = self.told.until;
        let (sentence, action) = match cause {
            Cause::Expired => (
                until.map_or_else(
                    || "The paid period is over.".to_owned(),
                    |until| format!("What he paid ended on {until}."),
                ),
                "Take a payment, or change his expiry.",
            ),
            Cause::Suspended => (
                "He is suspended by an operator.".to_owned(),
                "Activate him.",
            ),
            Cause::Disabled => (
                "His account is switched off.".to_owned(),
                "Set his status to active if he is a customer again.",
            ),
            Cause::NoPackage => ("He has no package.".to_owned(), "Assign him a package."),
            Cause::Quota => (
                "The data of his period is used up.".to_owned(),
                "Sell him another period or a larger package, or reset his usage.",
            ),
            Cause::Time => (
                "The hours online of his period are used up.".to_owned(),
                "Sell him another period or a larger package.",
            ),
            Cause::WrongRouter => {
                let bound = self.told.bound.map(|bound| self.name(bound));
                let bound = bound.unwrap_or_else(|| "another router".to_owned());
                let at = self
                    .last
                    .map(|(last, _)| format!(" at {}", self.name(last.router)));
                (
                    format!(
                        "He asks{}, but is bound to {bound}.",
                        at.unwrap_or_default()
                    ),
                    "Change the router in his record, or have him use his own.",
                )
            }
            Cause::WrongMac => {
                let with = self.last.and_then(|(last, _)| last.mac);
                let with =
                    with.map_or_else(|| "an unknown device".to_owned(), |mac| mac.to_string());
                (
                    format!("He asks with {with}, but is locked to another device."),
                    "Reset his device lock if the device is his.",
                )
            }
            Cause::TooManyDevices => (
                "As many of his devices are online as his package allows.".to_owned(),
                "End one of his sessions, or allow him more devices.",
            ),
            other => (other.code().to_owned(), ""), // none of them is a refusal
        };
        let asked = self
            .last
            .filter(|(_, outcome)| *outcome != LoginOutcome::Accepted);
        let asked = asked.map(|(last, _)| self.seen(last));
        let ended = until.filter(|_| cause == Cause::Expired);
        let ended = ended.map(|at| Evidence::at(at, "What he paid ended.".to_owned()));
        Named {
            cause,
            sentence,
            action: action.to_owned(),
            proof: ended.into_iter().chain(asked).collect(),
        }
    }
}
