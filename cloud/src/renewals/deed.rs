//! What a renewal starts from and what it writes.

use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{
    CustomerId, EntryId, MessageId, PackageId, PaymentId, PeriodId, VoucherId,
};
use easyisp_shared::money::Cents;
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;

use crate::customers::{COLLECT, FOLLOW};
use crate::ledger::{AccountCode, Charged, Entry, Leg, Tax, Transfer, split, total_tax};
use crate::messaging::Message;
use crate::packages::PurchaseLimit;

use super::rules::{Holding, Period, Purchase, Term, counts_from, next_period};
use super::shares::{Offer, Open};
use super::{AUTO_RENEW, BEGIN, Receipt, SETTLE, SHORT, SOLD};

/// A customer as money meets him, locked.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) customer: CustomerId,
    pub(super) name: String,
    pub(super) phone: Option<PhoneNumber>,
    pub(super) holding: Holding,
    pub(super) funded_until: Option<Timestamp>,
    pub(super) bytes_used_since: Option<Timestamp>,
    pub(super) auto_renew: bool,
    /// Stopped by an operator: buying a period ends that, and by himself he buys none.
    pub(super) suspended: bool,
    /// Since when his time stands still: buying a period ends that too.
    pub(super) paused_at: Option<Timestamp>,
    /// Since when his time stood still, as he is once his pause is over.
    pub(super) back_from: Option<Timestamp>,
    /// On another's account: his time is the other's, and money stays in his wallet.
    pub(super) child: bool,
    /// Billed afterwards: he buys no periods, and money in his wallet pays his invoices.
    pub(super) postpaid: bool,
    /// His open invoices and those of his child accounts.
    pub(super) owed: Vec<Open>,
    /// Others are on his account.
    pub(super) parent: bool,
    /// Neither deleted nor switched off.
    pub(super) open: bool,
    pub(super) plan: Option<Plan>,
    pub(super) balance: Cents,
    pub(super) business: String,
    pub(super) currency: String,
    pub(super) zone: TimeZone,
    /// What is in the price of what he buys; none where the provider does not say so.
    pub(super) taxes: Vec<Tax>,
    /// Whether what he buys gets a receipt.
    pub(super) receipts: bool,
    /// Whether who records his payment sells out of a float.
    pub(super) by_seller: bool,
    /// Whether webhooks are told of what happens to him.
    pub(super) watched: bool,
}

/// What a customer buys, as it is sold today.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) package: PackageId,
    pub(super) name: String,
    pub(super) price: Cents,
    pub(super) term: Term,
    /// Whether its data is limited.
    pub(super) metered: bool,
    /// How often it may be bought.
    pub(super) limits: Vec<PurchaseLimit>,
    /// How much of its price may be missing when money arrives.
    pub(super) tolerance: Cents,
    /// How many periods money may buy at once.
    pub(super) at_once: usize,
}

impl Account {
    /// What he can buy. Somebody switched off keeps his money in the wallet, and who is billed buys nothing.
    pub(super) fn plan(&self) -> Option<&Plan> {
        let buys = self.open && !self.child && !self.postpaid;
        self.plan.as_ref().filter(|_| buys)
    }

    /// What of his wallet he can spend: what arrived for invoices is set aside until they are paid.
    pub(super) fn free(&self) -> Cents {
        self.balance.minus(self.awaited()).unwrap_or(self.balance)
    }

    /// What of his wallet is set aside.
    fn awaited(&self) -> Cents {
        let awaited = self.owed.iter().filter(|invoice| invoice.awaited);
        let sum = awaited.map(|invoice| invoice.owed);
        sum.fold(Cents::ZERO, |sum, owed| sum.plus(owed).unwrap_or(sum))
    }

    /// The numbers of the invoices that something of his wallet is set aside for, for people.
    pub(super) fn set_aside_for(&self) -> String {
        let awaited = self.owed.iter().filter(|invoice| invoice.awaited);
        let numbers: Vec<&str> = awaited.map(|invoice| invoice.number.as_str()).collect();
        numbers.join(", ")
    }

    /// What is offered to him when money arrives.
    pub(super) fn offer(&self, now: Timestamp) -> Option<Offer> {
        self.plan().map(|plan| Offer {
            price: plan.price,
            tolerance: plan.tolerance,
            at_once: plan.at_once,
            has: self.holding.paid_until.since(now),
        })
    }

    /// What a sale moves out of `from`, and the taxes in it: what is owed to the state, and the rest as earned.
    ///
    /// What was not paid of the price is written off: earned and lost again, so that the owner reads on one account what
    /// his patience cost. No tax is in it, for nobody paid it. It is no debt: a wallet falls below zero only when money
    /// is taken back, and the next payment would be short again by what was forgiven.
    pub(super) fn sold(&self, from: &Leg, purchase: Purchase) -> (Vec<Transfer>, Vec<Charged>) {
        let (net, taxes) = split(purchase.paid, &self.taxes);
        let earned = Leg::account(AccountCode::INTERNET);
        let lost = Leg::account(AccountCode::WRITTEN_OFF);
        let owed = taxes
            .iter()
            .map(|tax| (from.clone(), tax.leg(), tax.amount));
        let transfers = std::iter::once((from.clone(), earned.clone(), net))
            .chain(owed)
            .chain([(lost, earned, purchase.written_off)])
            .filter(|(_, _, amount)| amount.is_positive())
            .map(|(debit, credit, amount)| Transfer {
                debit,
                credit,
                amount,
            });
        (transfers.collect(), taxes)
    }

    /// As he is once his pause is over: what was left of his time is ahead of him again. Who is not paused is
    /// as he is.
    pub(super) fn resumed(&self, now: Timestamp) -> Account {
        let mut resumed = self.clone();
        if let Some(at) = resumed.paused_at.take() {
            let holding = &mut resumed.holding;
            holding.paid_until = holding.paid_until.plus(now.since(at));
            holding.anchor_day = None;
            resumed.back_from = Some(at);
        }
        resumed
    }

    /// From when money counts for him that moved at `paid_at` and was told to us at `now`.
    pub(super) fn counts_from(&self, paid_at: Timestamp, now: Timestamp) -> Timestamp {
        self.plan().map_or(paid_at, |plan| {
            counts_from(plan.term, paid_at, now, &self.zone)
        })
    }

    /// From when a period counts that he buys by himself: without a gap where his wallet carried him on,
    /// else from now: he was cut off.
    pub(super) fn goes_on_from(&self, now: Timestamp) -> Timestamp {
        match self.funded_until {
            Some(_) => now.min(self.holding.paid_until),
            None => now,
        }
    }

    /// A text message to him; `None` when no phone is known.
    pub(super) fn text(&self, body: String, now: Timestamp, entropy: &Entropy) -> Option<Message> {
        Some(Message {
            id: MessageId::new(now, entropy),
            to: self.phone.clone()?,
            body,
            purpose: "receipt",
            customer: Some(self.customer),
            initiator: "system".to_owned(),
        })
    }

    /// Until when `balance` renews by itself: whole periods, two years ahead at most.
    fn funded_until(&self, holding: Holding, balance: Cents) -> Option<Timestamp> {
        let plan = self
            .plan()
            .filter(|plan| self.auto_renew && plan.price.is_positive() && plan.limits.is_empty())?;
        let (mut holding, mut rest, mut funded) = (holding, balance, None);
        for _ in 0..MOST_PERIODS_AHEAD {
            rest = match rest.pay(plan.price) {
                Some(rest) => rest,
                None => break,
            };
            let period = next_period(plan.term, holding, holding.paid_until, &self.zone);
            holding.paid_until = period.ends_at;
            holding.anchor_day = Some(period.anchor_day);
            funded = Some(period.ends_at);
        }
        funded
    }
}

const MOST_PERIODS_AHEAD: usize = 24;

/// A receipt on its way into the tables.
#[derive(Clone, Debug)]
pub(super) struct Paid {
    pub(super) id: PaymentId,
    pub(super) entry: EntryId,
    pub(super) receipt: Receipt,
}

impl Paid {
    /// Whether a provider's receipt comes with it, which is credited once.
    pub(super) fn has_receipt(&self) -> bool {
        self.receipt.receipt.is_some() && self.receipt.method.is_told()
    }
}

/// A period on its way into the tables.
#[derive(Clone, Debug)]
pub(super) struct Bought {
    pub(super) id: PeriodId,
    pub(super) package: PackageId,
    /// What is paid for it.
    pub(super) price: Cents,
    /// What is not, and was not asked for.
    pub(super) written_off: Cents,
    pub(super) period: Period,
    /// What pays for it; `None` when it is free.
    pub(super) entry: Option<Entry>,
    /// What is in its price.
    pub(super) taxes: Vec<Charged>,
    /// Whether it gets a receipt.
    pub(super) receipted: bool,
}

impl Bought {
    /// What of its price is taxes.
    pub(super) fn tax(&self) -> Cents {
        total_tax(&self.taxes)
    }
}

/// Work that falls due because of a deed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) kind: &'static str,
    pub(super) subject: uuid::Uuid,
    pub(super) when: Timestamp,
}

/// Everything one renewal writes, in one statement.
#[derive(Clone, Debug)]
pub(super) struct Deed {
    pub(super) customer: CustomerId,
    pub(super) paid: Option<Paid>,
    pub(super) entries: Vec<Entry>,
    /// One after the other.
    pub(super) bought: Vec<Bought>,
    /// What is paid out of what is left, behind it.
    pub(super) invoices: Vec<Open>,
    /// What pays for it, when it is one.
    pub(super) voucher: Option<VoucherId>,
    pub(super) paid_until: Timestamp,
    pub(super) anchor_day: Option<i8>,
    pub(super) funded_until: Option<Timestamp>,
    pub(super) bytes_used_since: Option<Timestamp>,
    pub(super) message: Option<Message>,
    pub(super) dues: Vec<Due>,
    /// Since when his time stood still that it gives back with the period.
    pub(super) back_from: Option<Timestamp>,
    /// Whether webhooks are told of it.
    pub(super) watched: bool,
    funded_before: Option<Timestamp>,
}

impl Deed {
    /// One that changes nothing yet.
    pub(super) fn of(account: &Account) -> Deed {
        Deed {
            customer: account.customer,
            paid: None,
            entries: Vec::new(),
            bought: Vec::new(),
            invoices: Vec::new(),
            voucher: None,
            paid_until: account.holding.paid_until,
            anchor_day: account.holding.anchor_day,
            funded_until: account.funded_until,
            bytes_used_since: account.bytes_used_since,
            message: None,
            dues: Vec::new(),
            back_from: account.back_from,
            watched: account.watched,
            funded_before: account.funded_until,
        }
    }

    /// Adds the periods that were bought out of `balance`, if any; returns what is left when the invoices are paid too, and
    /// those that money was set aside for before.
    pub(super) fn take(
        &mut self,
        account: &Account,
        balance: Cents,
        bought: Vec<Bought>,
        now: Timestamp,
    ) -> Cents {
        let mut rest = balance;
        for bought in bought {
            if self.voucher.is_none() {
                rest = rest.pay(bought.price).unwrap_or(rest);
            }
            self.entries.extend(bought.entry.clone());
            let Period {
                starts_at,
                ends_at,
                anchor_day,
            } = bought.period;
            self.paid_until = ends_at;
            self.anchor_day = Some(anchor_day);
            if starts_at <= now {
                self.bytes_used_since = Some(starts_at);
            }
            if bought.receipted {
                self.dues.push(Due {
                    kind: SOLD,
                    subject: bought.id.0,
                    when: now,
                });
            }
            self.bought.push(bought);
        }
        let mut begin = self.bought.iter().map(|bought| bought.period.starts_at);
        let ahead = begin.find(|starts_at| *starts_at > now);
        if !self.bought.is_empty() && account.back_from.is_some() {
            self.due(BEGIN, now); // what he bought ahead begins later now
        } else if let Some(starts_at) = ahead
            && account.plan().is_some_and(|plan| plan.metered)
        {
            self.due(BEGIN, starts_at);
        }
        if rest < Cents::ZERO && rest < account.balance {
            self.due(SHORT, now);
        }
        let holding = Holding {
            paid_until: self.paid_until,
            anchor_day: self.anchor_day,
            grace: Duration::ZERO,
            promised: None,
            ..account.holding
        };
        if account.parent {
            self.due(FOLLOW, now);
        }
        if account.postpaid && rest > account.balance {
            self.due(COLLECT, now);
        }
        for invoice in self.invoices.clone() {
            rest = rest.pay(invoice.owed).unwrap_or(rest);
            self.dues.push(Due {
                kind: SETTLE,
                subject: invoice.id.0,
                when: now,
            });
        }
        rest = rest.minus(account.awaited()).unwrap_or(rest);
        if account.child {
            return rest; // it is the parent's wallet that carries him on
        }
        let runs = !account.suspended || !self.bought.is_empty();
        let funded = account.funded_until(holding, rest).filter(|_| runs);
        let was_cut_off = self.funded_before.max(Some(self.paid_until)) < Some(now);
        // Somebody who was cut off buys his next period before he is let in, and from then on; what the
        // site gave him on the word of his wallet is bought without a gap.
        self.funded_until = funded.filter(|end| !was_cut_off || Some(*end) <= self.funded_before);
        if funded.is_some() {
            self.due(AUTO_RENEW, self.paid_until);
        }
        rest
    }

    /// Whether the site must learn of it.
    pub(super) fn changes_service(&self) -> bool {
        !self.bought.is_empty() || self.funded_until != self.funded_before
    }

    /// Whether it leaves everything as it is.
    pub(super) fn is_nothing(&self) -> bool {
        let moves = self.paid.is_some() || !self.entries.is_empty() || !self.invoices.is_empty();
        !moves && !self.changes_service() && self.dues.is_empty() && self.message.is_none()
    }

    /// The first one that was bought.
    pub(super) fn period_id(&self) -> Option<PeriodId> {
        self.bought.first().map(|bought| bought.id)
    }

    fn due(&mut self, kind: &'static str, when: Timestamp) {
        let subject = self.customer.0;
        self.dues.push(Due {
            kind,
            subject,
            when,
        });
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::super::rules::Unit;
    use super::*;

    /// What a voucher is worth is in no wallet: one that is below zero is so behind it, and carries nobody on.
    #[test]
    fn a_voucher_leaves_the_wallet_as_it_is() {
        let entropy = Entropy::seeded(1);
        let now = Timestamp::from_secs(1_800_000_000);
        let package = PackageId::new(now, &entropy);
        let account = Account {
            customer: CustomerId::new(now, &entropy),
            name: "Amina".to_owned(),
            phone: None,
            holding: Holding {
                paid_until: now,
                anchor_day: None,
                since: now,
                grace: Duration::ZERO,
                promised: None,
            },
            funded_until: None,
            bytes_used_since: None,
            auto_renew: true,
            suspended: false,
            paused_at: None,
            back_from: None,
            child: false,
            postpaid: false,
            owed: Vec::new(),
            parent: false,
            open: true,
            plan: Some(Plan {
                package,
                name: "Hour".to_owned(),
                price: Cents::whole(40),
                term: Term {
                    count: 1,
                    unit: Unit::Hours,
                },
                metered: false,
                limits: Vec::new(),
                tolerance: Cents::ZERO,
                at_once: 1,
            }),
            balance: Cents::ZERO.minus(Cents::whole(50)).unwrap(),
            business: "Kiosk".to_owned(),
            currency: "KES".to_owned(),
            zone: TimeZone::UTC,
            taxes: Vec::new(),
            receipts: false,
            by_seller: false,
            watched: false,
        };
        let bought = Bought {
            id: PeriodId::new(now, &entropy),
            package,
            price: Cents::whole(100),
            written_off: Cents::ZERO,
            period: Period {
                starts_at: now,
                ends_at: now.plus(Duration::from_secs(3_600)),
                anchor_day: 1,
            },
            entry: None,
            taxes: Vec::new(),
            receipted: false,
        };
        let mut deed = Deed::of(&account);
        deed.voucher = Some(VoucherId::new(now, &entropy));
        let rest = deed.take(&account, account.balance, vec![bought], now);
        assert_eq!((rest, deed.funded_until), (account.balance, None));
    }
}
