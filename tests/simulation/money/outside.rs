//! What payers do by themselves, M-Pesa a second time, and strangers.

use anyhow::{Context, Result, ensure};
use easyisp_tests::mpesa::books::{Books, Direct, Transaction};
use easyisp_tests::mpesa::c2b::Validation;
use easyisp_tests::mpesa::callback;
use easyisp_tests::scenario::{Outage, Payer};
use rand::RngExt;
use serde_json::{Value, json};
use uuid::Uuid;

use super::acts::answer;
use super::people::PHONES;
use super::{Meant, Money};

impl Money {
    /// Something that happens outside.
    pub(super) async fn outside_acts(&mut self) -> Result<String> {
        let books = self.world.outside.mpesa.books();
        match self.random.random_range(0..100) {
            0..40 => self.somebody_pays().await,
            40..55 => {
                let checkouts: Vec<&Transaction> = books
                    .transactions()
                    .iter()
                    .filter(|known| known.outcome.is_some())
                    .collect();
                let direct = books.direct();
                match self.random.random() {
                    true if !checkouts.is_empty() => {
                        let again = &checkouts[self.below(checkouts.len())].checkout_request_id;
                        self.world.outside.mpesa.call_back_again(again).await;
                        Ok(format!("M-Pesa calls back again: {again}"))
                    }
                    false if !direct.is_empty() => {
                        let again = &direct[self.below(direct.len())].receipt;
                        self.world.outside.mpesa.confirm_again(again).await;
                        Ok(format!("M-Pesa confirms again: {again}"))
                    }
                    _ => Ok("M-Pesa has nothing to repeat".to_owned()),
                }
            }
            55..80 => self.somebody_forges(&books).await,
            80..92 => {
                let mpesa = &self.world.outside.mpesa;
                let waiting: Vec<String> = books
                    .transactions()
                    .iter()
                    .map(|known| known.checkout_request_id.clone())
                    .chain(books.direct().iter().map(|known| known.receipt.clone()))
                    .collect();
                let Some(last) = waiting.len().checked_sub(1) else {
                    return Ok("nothing is held back".to_owned());
                };
                let released = &waiting[self.random.random_range(0..=last)];
                mpesa.release(released);
                Ok(format!("{released} is released"))
            }
            _ => {
                let outage = match self.random.random_range(0..3) {
                    0 => Outage::Error("503.001.01".to_owned()),
                    _ => Outage::None,
                };
                self.world.outside.mpesa.outage(outage.clone());
                Ok(format!("M-Pesa: {outage:?}"))
            }
        }
    }

    async fn somebody_pays(&mut self) -> Result<String> {
        let at = self.random.random_range(0..self.isps.len());
        let person = self.random.random_range(0..self.isps[at].people.len());
        let cents = self.some_cents(at, person);
        let isp = &self.isps[at];
        let (own, id) = (isp.people[person].phone, isp.people[person].id);
        let (account, name) = (
            isp.people[person].account.clone(),
            isp.people[person].name.clone(),
        );
        let (tenant, code) = (isp.tenant, isp.code.clone());
        let stranger = PHONES[PHONES.len() - 1];
        let (payer, reference, owner) = match self.random.random_range(0..9) {
            0..3 => (stranger, account, Some(id)),
            3 => (
                own,
                format!(" {} {}", &account[..3], &account[3..]),
                Some(id),
            ),
            4 => (stranger, name.to_uppercase(), Some(id)),
            // The shared phone is one customer's at each provider.
            5 => (stranger, format!("0{}", &own[3..]), Some(id)),
            6 => (stranger, "who knows".to_owned(), None),
            7 => (stranger, String::new(), None),
            _ => (stranger, slip(&account), None),
        };
        let word = self.some_word();
        let checked = self.random.random_ratio(1, 4);
        let mpesa = &self.world.outside.mpesa;
        mpesa.script(
            payer,
            Payer {
                confirmation: word.clone(),
                ..Payer::prompt()
            },
        );
        mpesa.validate(
            &code,
            if checked {
                Validation::On
            } else {
                Validation::Off
            },
        );
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        let receipt = mpesa.pay_bill(&code, payer, &amount, &reference).await;
        let receipt = receipt.context("a validation refuses good money")?;
        self.known
            .meant
            .insert(receipt.clone(), Meant { tenant, owner });
        Ok(format!(
            "{payer} sends {amount} to {at} for {reference:?}: {receipt}, told {word:?}"
        ))
    }

    async fn somebody_forges(&mut self, books: &Books) -> Result<String> {
        self.keys += 1;
        let made_up = format!("FORGED{:04}", self.keys);
        let what = self.random.random_range(0..8);
        let prompts = books.transactions();
        if what < 5 && !prompts.is_empty() {
            let prompt = &prompts[self.below(prompts.len())];
            let intent = intent_of(prompt)?;
            let url = prompt.callback_url.clone();
            if what == 4 {
                let guessed = format!(
                    "http://{}/api/hooks/stk/{:064x}/{intent}",
                    self.world.api(),
                    self.keys
                );
                let body = callback::paid(prompt, &made_up, &prompt.asked.to_string(), STAMP);
                let status = answer(self.http.post(guessed).json(&body))
                    .await
                    .map(|answer| answer.0);
                ensure!(
                    status == Some(404),
                    "a guessed address is answered {status:?}"
                );
                return Ok("a guessed address gives nothing".to_owned());
            }
            let body = match what {
                0 => callback::paid(prompt, &made_up, &prompt.asked.to_string(), STAMP),
                1 => callback::paid(
                    prompt,
                    &made_up,
                    ["1", "-5", "999999", "\"\""][self.below(4)],
                    STAMP,
                ),
                2 => callback::refused(prompt, 1032),
                _ => {
                    // Another prompt's true callback, at this one's address.
                    let other = &prompts[self.below(prompts.len())];
                    let told = callback::body(other, STAMP);
                    let same = other.checkout_request_id == prompt.checkout_request_id;
                    match told.filter(|_| !same) {
                        Some(body) => body,
                        None => return Ok("there is nothing to mistake".to_owned()),
                    }
                }
            };
            let status = answer(self.stranger.post(url).json(&body))
                .await
                .map(|answer| answer.0);
            ensure!(status == Some(200), "a stranger is answered {status:?}");
            return Ok(format!(
                "a stranger tells of {}: {body}",
                prompt.checkout_request_id
            ));
        }
        let at = self.random.random_range(0..self.isps.len());
        let person = self.random.random_range(0..self.isps[at].people.len());
        let isp = &self.isps[at];
        let booked = |direct: &&Direct| {
            let mut all = self.seen.payments.values();
            all.any(|paid| paid.receipt.as_ref() == Some(&direct.receipt))
        };
        let fresh = books
            .direct()
            .iter()
            .filter(|direct| direct.shortcode == isp.code && !booked(direct));
        let fresh: Vec<&Direct> = fresh.collect();
        let old = books.direct().iter();
        let old = old.filter(|direct| direct.shortcode == isp.code && booked(direct));
        let old: Vec<&Direct> = old.collect();
        let (url, body) = match what {
            5 | 6 if !fresh.is_empty() => {
                let copied = fresh[self.random.random_range(0..fresh.len())];
                let mut amount = copied.amount.clone();
                if what == 6 {
                    amount = "3".to_owned();
                    self.known.blurred.insert(copied.receipt.clone());
                }
                let body = told(
                    &copied.receipt,
                    &amount,
                    &copied.reference,
                    &copied.shortcode,
                );
                (&isp.code, body)
            }
            7 if !old.is_empty() => {
                // What one provider has booked, told to the other.
                let copied = old[self.random.random_range(0..old.len())];
                let other = &self.isps[1 - at];
                let body = told(
                    &copied.receipt,
                    &copied.amount,
                    &copied.reference,
                    &other.code,
                );
                (&other.code, body)
            }
            _ => (
                &isp.code,
                told(&made_up, "100", &isp.people[person].account, &isp.code),
            ),
        };
        let urls = self
            .world
            .outside
            .mpesa
            .c2b_urls(url)
            .context("registered")?;
        let words = format!("a stranger confirms to {url}: {body}");
        let status = answer(self.stranger.post(urls.1).json(&body))
            .await
            .map(|answer| answer.0);
        ensure!(status == Some(200), "a stranger is answered {status:?}");
        Ok(words)
    }
}

/// The payment of ours that a prompt is, by the address where its callback goes.
pub(super) fn intent_of(prompt: &Transaction) -> Result<Uuid> {
    let id = prompt
        .callback_url
        .rsplit('/')
        .next()
        .context("an address")?;
    Ok(id.parse()?)
}

/// The same account number with one digit wrong: the check digit finds it out.
fn slip(number: &str) -> String {
    let mut digits = number.as_bytes().to_vec();
    digits[3] = b'0' + (digits[3] - b'0' + 1) % 10;
    String::from_utf8(digits).expect("digits")
}

/// As M-Pesa writes an instant, long before the worlds begin: nobody believes when a stranger says it was.
const STAMP: &str = "20270115110000";

/// A confirmation as anybody could write it who knows the address.
fn told(receipt: &str, amount: &str, reference: &str, shortcode: &str) -> Value {
    json!({"TransactionType": "Pay Bill", "TransID": receipt, "TransTime": STAMP, "TransAmount": amount,
        "BusinessShortCode": shortcode, "BillRefNumber": reference, "InvoiceNumber": "",
        "OrgAccountBalance": "", "ThirdPartyTransID": "", "MSISDN": "2547*****111",
        "FirstName": "Somebody", "MiddleName": "", "LastName": ""})
}
