//! What must be true: after every step, and of the end.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::mpesa::books::{Books, Transaction};
use uuid::Uuid;

use super::Money;
use super::eyes::{Back, Payment, Period, Seen};
use super::model::{Between, Moved, Plan};
use super::outside::intent_of;
use super::people::{Isp, Person};

/// A prompt that was paid, as M-Pesa has it.
struct PaidPrompt {
    intent: Uuid,
    receipt: String,
    tenant: Uuid,
    customer: Uuid,
    phone: String,
    asked: i64,
    paid: i64,
    asked_at: Timestamp,
}

impl Money {
    /// What must be true in every state that somebody can see.
    pub(super) fn judge(&self, seen: &Seen) -> Result<()> {
        let loaded = |tenant: Uuid| -> i64 {
            let of_him = self
                .known
                .loaded
                .iter()
                .filter(|((of, _), _)| *of == tenant);
            of_him.map(|(_, cents)| cents).sum()
        };
        let tenants = self.isps.iter().map(|isp| (isp.tenant, loaded(isp.tenant)));
        let tenants: Vec<(Uuid, i64)> = tenants.collect();
        seen.balances(&tenants)?;
        self.by_hand(seen)?;
        let books = self.world.outside.mpesa.books();
        self.receipts(seen, &books)?;
        self.vouchers(seen)?;
        self.sent_back(seen)?;
        for isp in &self.isps {
            for person in &isp.people {
                let judged = self.holding(isp, person, seen);
                judged.with_context(|| format!("{} of {}", person.name, isp.name))?;
            }
        }
        Ok(())
    }

    /// Wallet and paid end are what some order of what happened gives.
    fn holding(&self, isp: &Isp, person: &Person, seen: &Seen) -> Result<()> {
        let (before, after) = (&self.seen.holdings[&person.id], &seen.holdings[&person.id]);
        let mut moved = Vec::new();
        for (id, paid) in &seen.payments {
            let was = self.seen.payments.get(id);
            let owned = was.and_then(|was| was.customer);
            let fresh = paid.customer == Some(person.id) && owned != Some(person.id);
            if fresh {
                let told_at = if was.is_none() {
                    paid.created_at
                } else {
                    self.now()
                };
                moved.push(Moved::In {
                    amount: paid.amount,
                    paid_at: paid.paid_at,
                    told_at,
                });
            }
            let lost = owned == Some(person.id) && paid.customer != Some(person.id);
            let back = !paid.stands && was.is_none_or(|was| was.stands);
            if lost || back && paid.customer == Some(person.id) {
                moved.push(Moved::Out {
                    amount: paid.amount,
                });
            }
        }
        for (id, back) in &seen.backs {
            if back.customer != Some(person.id) {
                continue;
            }
            let was = self.seen.backs.get(id);
            let was_aside = was.is_some_and(Back::is_aside);
            let failed = back.state == "FAILED" && was.is_none_or(|was| was.state != "FAILED");
            let amount = back.amount;
            if !was_aside && (back.is_aside() || failed) {
                moved.push(Moved::Out { amount });
            }
            if failed {
                moved.push(Moved::Back { amount });
            }
        }
        let periods = |all: &Seen| -> BTreeMap<Uuid, Period> {
            let mine = all
                .periods
                .iter()
                .filter(|(_, one)| one.customer == person.id);
            mine.map(|(id, one)| (*id, one.clone())).collect()
        };
        let (old, new) = (periods(&self.seen), periods(seen));
        for (id, period) in &old {
            let is = new.get(id);
            ensure!(
                is.is_some_and(|new| period.may_become(new, before.away)),
                "period {id} was changed or is gone: {period:?} is {is:?}"
            );
        }
        moved.extend(self.unsold(person, seen, &old, &new)?);
        let fresh = new.iter().filter(|(id, _)| !old.contains_key(id));
        let (given, bought): (Vec<&Period>, Vec<&Period>) = fresh
            .map(|(_, period)| period)
            .partition(|period| period.by_voucher);
        for period in &given {
            let secs = period.ends.since(period.starts).as_secs();
            moved.push(Moved::Time {
                secs,
                at: self.now(),
            });
        }
        let mut plans: Vec<Plan> = vec![isp.packages[person.package].plan];
        let package = isp.packages[person.package].id;
        for also in [person.id, package] {
            plans.extend(self.known.also.get(&also).into_iter().flatten());
        }
        for period in &bought {
            let secs = period.ends.since(period.starts).as_secs();
            let fits = |plan: &Plan| plan.price == period.price && plan.secs == secs;
            ensure!(
                plans.iter().any(fits),
                "V4: {period:?} is none of {plans:?}"
            );
        }
        let between = Between {
            before: *before,
            plans,
            moved,
            renews: person.renews,
            paused: self.known.paused.contains(&person.id),
            resumed: self.known.resumed.contains(&person.id),
            now: self.now(),
        };
        ensure!(
            between.may_become(*after, bought.len()),
            "V4: {before:?} became {after:?} with {} periods bought at {}, by {between:#?}",
            bought.len(),
            self.now()
        );
        Ok(())
    }

    /// What is given back of the periods that money had bought which has gone back now: its price is in his wallet, and the
    /// time is taken unless it is waived. Of no other period anything is given back.
    fn unsold(
        &self,
        person: &Person,
        seen: &Seen,
        old: &BTreeMap<Uuid, Period>,
        new: &BTreeMap<Uuid, Period>,
    ) -> Result<Vec<Moved>> {
        let before = |id: &Uuid| old.get(id).map_or(0, |period| period.taken_back);
        let mut given: BTreeMap<Uuid, i64> = BTreeMap::new();
        let mut moved = Vec::new();
        for (id, back) in &seen.backs {
            let was = self.seen.backs.get(id);
            let went = back.state == "DONE" && was.is_none_or(|was| was.state != "DONE");
            if !went || back.customer != Some(person.id) || back.service == "KEEP" {
                continue;
            }
            let payment = &seen.payments[&back.payment];
            let receipt = payment.receipt.as_deref().unwrap_or_default();
            let sources = [
                format!("M-Pesa {receipt}"),
                format!("resolved {receipt}"),
                format!("payment {}", back.payment),
            ];
            let mut sold: Vec<(&Uuid, &Period)> = new
                .iter()
                .filter(|(_, period)| sources.contains(&period.source))
                .collect();
            let last = sold.iter().map(|(_, period)| period.created_at).max();
            sold.retain(|(_, period)| Some(period.created_at) == last);
            sold.sort_by_key(|(_, period)| std::cmp::Reverse(period.starts));
            let mut left = back.amount;
            for (id, period) in sold {
                let taken = given.entry(*id).or_default();
                let amount = left.min(period.price - before(id) - *taken);
                if amount <= 0 {
                    continue;
                }
                *taken += amount;
                left -= amount;
                let length = i128::from(period.ends.since(period.starts).as_secs());
                let part = length * i128::from(amount) / i128::from(period.price);
                let secs = match back.service.as_str() {
                    "WAIVE" => 0,
                    _ => u64::try_from(part)?,
                };
                moved.push(Moved::Unsold { amount, secs });
            }
        }
        for (id, period) in new {
            let should = before(id) + given.get(id).copied().unwrap_or_default();
            ensure!(
                period.taken_back == should,
                "C14: {should} is to be given back of period {id}: {period:?}"
            );
        }
        Ok(moved)
    }

    /// What operators typed is there once, and what they took back is taken back once.
    fn by_hand(&self, seen: &Seen) -> Result<()> {
        let typed = seen.payments.iter().filter(|(_, paid)| !paid.is_mpesa());
        for (id, paid) in typed {
            let known = self.known.by_hand.get(id);
            let known = known.with_context(|| format!("V2: nobody typed in {id}: {paid:?}"))?;
            ensure!(
                (paid.customer, paid.amount) == (Some(known.customer), known.amount),
                "V2: {id} is {paid:?}"
            );
            ensure!(
                paid.stands != known.taken_back,
                "{id} was taken back, or was not: {paid:?}"
            );
        }
        for id in self.known.by_hand.keys() {
            ensure!(
                seen.payments.contains_key(id),
                "V2: what was answered is gone: {id}"
            );
        }
        Ok(())
    }

    /// V2: a receipt is written once, with its provider, its amount and its owner or nobody; and nothing is
    /// credited that M-Pesa does not have on its books.
    fn receipts(&self, seen: &Seen, books: &Books) -> Result<()> {
        let prompts = self.paid_prompts(books)?;
        let by_intent: BTreeMap<Uuid, &PaidPrompt> = prompts
            .iter()
            .map(|prompt| (prompt.intent, prompt))
            .collect();
        let by_receipt: BTreeMap<&str, &PaidPrompt> = prompts
            .iter()
            .map(|prompt| (prompt.receipt.as_str(), prompt))
            .collect();
        let mut once = BTreeMap::new();
        for (id, paid) in seen.payments.iter().filter(|(_, paid)| paid.is_mpesa()) {
            if !paid.stands {
                // It gave way to what M-Pesa said: only what nobody had may.
                ensure!(
                    paid.customer.is_none() && paid.receipt.is_none(),
                    "V2: {id} was credited, and is taken back: {paid:?}"
                );
                continue;
            }
            let Some(receipt) = &paid.receipt else {
                let prompt = paid.intent.and_then(|intent| by_intent.get(&intent));
                let prompt = prompt.with_context(|| format!("V2: nobody paid {id}: {paid:?}"))?;
                ensure!(
                    (paid.customer, paid.amount, paid.tenant)
                        == (Some(prompt.customer), prompt.asked, prompt.tenant),
                    "V2: {id} is not what its prompt asked for: {paid:?}"
                );
                continue;
            };
            let other = once.insert((receipt.clone(), paid.tenant), id);
            ensure!(
                other.is_none(),
                "V2: {receipt} is written twice: {other:?} and {id}"
            );
            let given = self.known.given.get(receipt);
            let is_given = paid
                .customer
                .is_some_and(|to| given.is_some_and(|given| given.contains(&to)));
            if let Some(prompt) = by_receipt.get(receipt.as_str()) {
                ensure!(
                    paid.tenant == prompt.tenant,
                    "V10: {receipt} is another provider's"
                );
                let right = paid.customer.is_none_or(|owner| owner == prompt.customer) || is_given;
                ensure!(
                    right,
                    "V2: {receipt} was paid by {}, not {:?}",
                    prompt.customer,
                    paid.customer
                );
                ensure!(
                    paid.amount == prompt.paid || paid.amount == prompt.asked,
                    "V2: {receipt} brought {}, written is {}",
                    prompt.paid,
                    paid.amount
                );
            } else if let Some(meant) = self.known.meant.get(receipt) {
                let hearsay = paid.customer.is_none();
                ensure!(
                    paid.tenant == meant.tenant || hearsay,
                    "V10: {receipt} is another provider's"
                );
                let right =
                    paid.customer.is_none_or(|owner| Some(owner) == meant.owner) || is_given;
                ensure!(
                    right,
                    "V2: {receipt} was meant for {:?}, not {:?}",
                    meant.owner,
                    paid.customer
                );
                let amount = cents(direct_amount(books, receipt)?)?;
                let blurred = self.known.blurred.contains(receipt) && hearsay;
                ensure!(
                    paid.amount == amount || blurred,
                    "V2: {receipt} brought {amount}: {paid:?}"
                );
            } else {
                ensure!(
                    paid.customer.is_none(),
                    "V2: {receipt} is made up, and credited: {paid:?}"
                );
            }
        }
        for prompt in &prompts {
            let credits: Vec<&Payment> = seen
                .payments
                .values()
                .filter(|paid| paid.customer.is_some() && self.is_of(prompt, paid))
                .collect();
            ensure!(
                credits.len() <= 1,
                "V2: one prompt is credited twice: {credits:#?}"
            );
        }
        Ok(())
    }

    /// Whether this is the prompt's money: its receipt, or none yet. Other money that came by itself may stand with a
    /// prompt too.
    fn is_of(&self, prompt: &PaidPrompt, paid: &Payment) -> bool {
        match &paid.receipt {
            None => paid.intent == Some(prompt.intent),
            Some(receipt) => *receipt == prompt.receipt,
        }
    }

    /// V5: a code gives its time once.
    fn vouchers(&self, seen: &Seen) -> Result<()> {
        let given: Vec<&Period> = seen.periods.values().filter(|one| one.by_voucher).collect();
        for period in &given {
            let secs = period.ends.since(period.starts).as_secs();
            ensure!(secs == 3_600, "V5: a voucher for an hour gave {secs} s");
        }
        let (used, shown) = (self.known.redeemed.len(), self.known.codes_shown.len());
        ensure!(
            (used..=shown).contains(&given.len()),
            "V5: {used} of {shown} codes were taken, {} periods given",
            given.len()
        );
        Ok(())
    }

    /// V3: what was paid by prompts of at most this age, when the healing began, is credited.
    pub(super) fn asked_after(&self, healed: Timestamp, age: Duration) -> Result<()> {
        let books = self.world.outside.mpesa.books();
        for prompt in self.paid_prompts(&books)? {
            // A push that nobody heard the answer of can only be found in a list.
            if healed.since(prompt.asked_at) > age || !self.knows_its_prompt(&prompt, &books) {
                continue;
            }
            let mut all = self.seen.payments.values();
            let found = all.any(|paid| self.is_of(&prompt, paid));
            ensure!(
                found || self.may_be_taken_for_another(&prompt, &books),
                "V3: {} shillings paid for prompt {} ({}) are not posted",
                prompt.paid / 100,
                prompt.intent,
                prompt.receipt
            );
        }
        Ok(())
    }

    /// Whether M-Pesa could be asked after it: a callback told of it, or its push was answered.
    fn knows_its_prompt(&self, prompt: &PaidPrompt, books: &Books) -> bool {
        let known = books.transactions().iter();
        let mut known = known.filter(|known| known.receipt() == Some(&prompt.receipt));
        known.any(|known| known.callbacks.iter().any(|told| told.status == Some(200)))
    }

    /// The same payer sent the same amount by himself too: then one of both waits for a person until M-Pesa's list
    /// has told them apart.
    fn may_be_taken_for_another(&self, prompt: &PaidPrompt, books: &Books) -> bool {
        books.direct().iter().any(|direct| {
            let same = cents(&direct.amount).is_ok_and(|amount| amount == prompt.asked);
            let meant = self.known.meant.get(&direct.receipt);
            let his = direct.phone == prompt.phone
                || meant.is_some_and(|meant| meant.owner == Some(prompt.customer));
            same && his
        })
    }

    /// V3: every receipt that M-Pesa has is written once, with its owner where nothing speaks against it, else in the
    /// list of those that a person must decide.
    pub(super) fn all_listed(&self, isp: usize) -> Result<()> {
        let isp = &self.isps[isp];
        let books = self.world.outside.mpesa.books();
        let written = |receipt: &str| -> Vec<&Payment> {
            let all = self.seen.payments.values();
            all.filter(|paid| paid.tenant == isp.tenant && paid.receipt.as_deref() == Some(receipt))
                .collect()
        };
        for prompt in self.paid_prompts(&books)? {
            if prompt.tenant != isp.tenant {
                continue;
            }
            let found = written(&prompt.receipt);
            let another = prompt.paid != prompt.asked;
            let twin = self.may_be_taken_for_another(&prompt, &books);
            let mut all = self.seen.payments.values();
            let credited = all.any(|paid| paid.customer.is_some() && self.is_of(&prompt, paid));
            ensure!(
                found.len() == 1 || another && credited,
                "V3: {} of {} shillings is written {} times",
                prompt.receipt,
                prompt.paid / 100,
                found.len()
            );
            ensure!(
                credited || another || twin,
                "V3: {} is nobody's though nothing speaks against it: {found:?}",
                prompt.receipt
            );
        }
        for direct in books
            .direct()
            .iter()
            .filter(|direct| direct.shortcode == isp.code)
        {
            let receipt = direct.receipt.as_str();
            let found = written(receipt);
            ensure!(
                found.len() == 1,
                "V3: {receipt} of {} shillings is written {} times",
                direct.amount,
                found.len()
            );
            let meant = self.known.meant.get(receipt).context("what was meant")?;
            let blurred = self.known.blurred.contains(receipt);
            let given = self.known.given.contains_key(receipt);
            ensure!(
                blurred || given || found[0].customer == meant.owner,
                "V3: {receipt} was meant for {:?}: {found:?}",
                meant.owner
            );
        }
        Ok(())
    }

    /// Nobody who has the money for it and renews by himself is without service, and nothing waits.
    pub(super) async fn at_rest(&mut self) -> Result<()> {
        for isp in &self.isps {
            for person in isp.people.iter().filter(|person| person.renews) {
                let holding = self.seen.holdings[&person.id];
                if holding.away.is_some() {
                    continue; // he wants none
                }
                let plan = isp.packages[person.package].plan;
                ensure!(
                    holding.balance < plan.price || holding.until > self.now(),
                    "{} of {} has {holding:?} and no service at {}",
                    person.name,
                    isp.name,
                    self.now()
                );
            }
        }
        let waiting: i64 =
            sqlx::query_scalar("select count(*) from payment_inbox where processed_at is null")
                .fetch_one(&mut *self.eyes)
                .await?;
        ensure!(waiting == 0, "C8: {waiting} reports were never worked on");
        Ok(())
    }

    fn paid_prompts(&self, books: &Books) -> Result<Vec<PaidPrompt>> {
        let paid = books.paid().map(|known| self.paid_prompt(known));
        paid.collect()
    }

    fn paid_prompt(&self, known: &Transaction) -> Result<PaidPrompt> {
        let mut isps = self.isps.iter();
        let isp = isps
            .find(|isp| isp.code == known.shortcode)
            .context("a short code of ours")?;
        let mut people = isp.people.iter();
        let person = people.find(|person| known.account_reference.starts_with(&person.account));
        let outcome = known.outcome.as_ref().context("it was paid")?;
        Ok(PaidPrompt {
            intent: intent_of(known)?,
            receipt: known.receipt().context("a receipt")?.to_owned(),
            tenant: isp.tenant,
            customer: person.context("a customer of ours")?.id,
            phone: known.phone.clone(),
            asked: known.asked * 100,
            paid: cents(outcome.amount.as_deref().context("an amount")?)?,
            asked_at: known.asked_at,
        })
    }
}

fn direct_amount<'b>(books: &'b Books, receipt: &str) -> Result<&'b str> {
    let mut direct = books.direct().iter();
    let direct = direct
        .find(|direct| direct.receipt == receipt)
        .context("on the books")?;
    Ok(&direct.amount)
}

/// `10`, `10.5` or `10.50` in minor units.
fn cents(text: &str) -> Result<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let part = format!("{part:0<2}");
    Ok(whole.parse::<i64>()? * 100 + part.parse::<i64>()?)
}
