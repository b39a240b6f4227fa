//! What operators do.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_tests::mpesa::books::Books;
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::Payer;
use jiff::tz::{Offset, TimeZone};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::people::Isp;
use super::{ByHand, Known, Money, model};

/// A status and a body.
pub type Answer = (u16, Value);

/// What an operator does. Repeating it is the same request once more.
#[derive(Clone, Debug)]
pub enum Deed {
    Push {
        isp: usize,
        person: usize,
        shillings: i64,
        payer: Payer,
        key: u64,
    },
    Recharge {
        isp: usize,
        person: usize,
        cents: i64,
        key: u64,
    },
    Record {
        isp: usize,
        person: usize,
        cents: i64,
        method: &'static str,
        key: u64,
    },
    TakeBack {
        isp: usize,
        payment: Uuid,
    },
    Allocate {
        isp: usize,
        payment: Uuid,
        receipt: String,
        person: usize,
        key: u64,
    },
    MoveOver {
        isp: usize,
        receipt: String,
        person: usize,
        key: u64,
    },
    Package {
        isp: usize,
        person: usize,
        package: usize,
    },
    Price {
        isp: usize,
        package: usize,
        shillings: i64,
    },
    Redeem {
        isp: usize,
        person: usize,
        code: String,
    },
    Statement {
        isp: usize,
    },
    /// The clerk asks for a payment, or so many shillings of it, to be sent back.
    AskBack {
        isp: usize,
        payment: Uuid,
        part: Option<i64>,
        service: &'static str,
        key: u64,
    },
    Approve {
        isp: usize,
        refund: Uuid,
    },
    Decline {
        isp: usize,
        refund: Uuid,
    },
    /// The seller loads his float.
    Load {
        isp: usize,
        cents: i64,
        key: u64,
    },
    /// He says that somebody paid him.
    Sell {
        isp: usize,
        person: usize,
        cents: i64,
        key: u64,
    },
    Pause {
        isp: usize,
        person: usize,
    },
    Resume {
        isp: usize,
        person: usize,
    },
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Deed::Push {
                isp,
                person,
                shillings,
                payer,
                ..
            } => {
                write!(f, "{isp}/{person} is asked for {shillings} ({payer:?})")
            }
            Deed::Recharge {
                isp, person, cents, ..
            } => {
                write!(f, "{isp}/{person} is recharged by {cents}")
            }
            Deed::Record {
                isp,
                person,
                cents,
                method,
                ..
            } => {
                write!(f, "{isp}/{person} paid {cents} as {method}")
            }
            Deed::TakeBack { isp, payment } => write!(f, "{isp} takes back {payment}"),
            Deed::Allocate {
                isp,
                receipt,
                person,
                ..
            } => {
                write!(f, "{receipt} is allocated to {isp}/{person}")
            }
            Deed::MoveOver {
                isp,
                receipt,
                person,
                ..
            } => {
                write!(f, "{receipt} is moved to {isp}/{person}")
            }
            Deed::Package {
                isp,
                person,
                package,
            } => {
                write!(f, "{isp}/{person} gets package {package}")
            }
            Deed::Price {
                isp,
                package,
                shillings,
            } => {
                write!(f, "package {isp}/{package} costs {shillings}")
            }
            Deed::Redeem { isp, person, code } => write!(f, "{isp}/{person} shows {code}"),
            Deed::Statement { isp } => write!(f, "{isp} compares a statement"),
            Deed::AskBack {
                isp,
                payment,
                part,
                service,
                ..
            } => match part {
                Some(part) => write!(
                    f,
                    "{isp} asks for {part} of {payment} to be sent back ({service})"
                ),
                None => write!(f, "{isp} asks for {payment} to be sent back ({service})"),
            },
            Deed::Approve { isp, refund } => write!(f, "{isp} approves {refund}"),
            Deed::Decline { isp, refund } => write!(f, "{isp} declines {refund}"),
            Deed::Load { isp, cents, .. } => write!(f, "the seller of {isp} loads {cents}"),
            Deed::Sell {
                isp, person, cents, ..
            } => {
                write!(f, "the seller of {isp} took {cents} from {isp}/{person}")
            }
            Deed::Pause { isp, person } => write!(f, "{isp}/{person} goes away"),
            Deed::Resume { isp, person } => write!(f, "{isp}/{person} is back"),
        }
    }
}

impl Money {
    /// What a deed may change before it is known whether it does.
    pub(super) fn expect(&mut self, deed: &Deed) {
        match deed {
            Deed::Package {
                isp,
                person,
                package,
            } => {
                let isp = &self.isps[*isp];
                let person = &isp.people[*person];
                let plans = [person.package, *package].map(|nth| isp.packages[nth].plan);
                self.known.also.entry(person.id).or_default().extend(plans);
            }
            Deed::Price {
                isp,
                package,
                shillings,
            } => {
                let package = &self.isps[*isp].packages[*package];
                let dearer = model::Plan {
                    price: shillings * 100,
                    ..package.plan
                };
                let plans = [package.plan, dearer];
                self.known.also.entry(package.id).or_default().extend(plans);
            }
            Deed::Redeem { code, .. } => {
                self.known.codes_shown.insert(code.clone());
            }
            Deed::Pause { isp, person } => {
                self.known.paused.insert(self.isps[*isp].people[*person].id);
            }
            Deed::Resume { isp, person } => {
                self.known
                    .resumed
                    .insert(self.isps[*isp].people[*person].id);
            }
            Deed::Push { .. }
            | Deed::Recharge { .. }
            | Deed::Record { .. }
            | Deed::Load { .. }
            | Deed::Sell { .. }
            | Deed::TakeBack { .. }
            | Deed::Allocate { .. }
            | Deed::MoveOver { .. }
            | Deed::Statement { .. }
            | Deed::AskBack { .. }
            | Deed::Approve { .. }
            | Deed::Decline { .. } => {}
        }
    }

    /// Does it; `None` when nobody answers.
    pub(super) async fn perform(&self, deed: &Deed) -> Option<Answer> {
        let amount = |cents: i64| {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            serde_json::from_str::<Value>(&text).expect("a number")
        };
        let who = |isp: &usize, person: &usize| self.isps[*isp].people[*person].id;
        match deed {
            Deed::Push {
                isp,
                person,
                shillings,
                payer,
                key,
            } => {
                let phone = self.isps[*isp].people[*person].phone;
                self.world.outside.mpesa.script(phone, payer.clone());
                let body = json!({"customerId": who(isp, person), "amount": shillings});
                self.ask(*isp, Method::POST, "/payments/mpesa/stk", body, Some(*key))
                    .await
            }
            Deed::Recharge {
                isp,
                person,
                cents,
                key,
            } => {
                let path = format!("/customers/{}/recharge", who(isp, person));
                let body = json!({"amount": amount(*cents)});
                self.ask(*isp, Method::POST, &path, body, Some(*key)).await
            }
            Deed::Record {
                isp,
                person,
                cents,
                method,
                key,
            } => {
                let body = json!({"customerId": who(isp, person), "amount": amount(*cents), "method": method});
                self.ask(*isp, Method::POST, "/payments/manual", body, Some(*key))
                    .await
            }
            Deed::TakeBack { isp, payment } => {
                let path = format!("/payments/manual/{payment}");
                self.ask(*isp, Method::DELETE, &path, Value::Null, None)
                    .await
            }
            Deed::Allocate {
                isp,
                payment,
                person,
                key,
                ..
            } => {
                let path = format!("/payments/{payment}/allocate");
                let body = json!({"customerId": who(isp, person)});
                self.ask(*isp, Method::POST, &path, body, Some(*key)).await
            }
            Deed::MoveOver {
                isp,
                receipt,
                person,
                key,
            } => {
                let path = format!("/customers/{}/recharge", who(isp, person));
                let words = format!("Resolved transaction: {receipt}");
                let body = json!({"amount": 0, "description": words});
                self.ask(*isp, Method::POST, &path, body, Some(*key)).await
            }
            Deed::Package {
                isp,
                person,
                package,
            } => {
                let path = format!("/customers/{}/package", who(isp, person));
                let body = json!({"packageId": self.isps[*isp].packages[*package].id});
                self.ask(*isp, Method::PUT, &path, body, None).await
            }
            Deed::Price {
                isp,
                package,
                shillings,
            } => {
                let path = format!("/packages/{}", self.isps[*isp].packages[*package].id);
                self.ask(*isp, Method::PUT, &path, json!({"price": shillings}), None)
                    .await
            }
            Deed::Redeem { isp, person, code } => {
                let body = json!({"code": code, "customerId": who(isp, person)});
                self.ask(*isp, Method::POST, "/vouchers/redeem", body, None)
                    .await
            }
            Deed::Statement { isp } => {
                let isp = &self.isps[*isp];
                let text = statement(isp, &self.world.outside.mpesa.books());
                let path = format!(
                    "http://{}/api/payments/statement?gatewayId={}&dryRun=false",
                    self.world.api(),
                    isp.gateway
                );
                let request = self.http.post(path).bearer_auth(isp.provider.owner.token());
                answer(request.header("content-type", "text/csv").body(text)).await
            }
            Deed::AskBack {
                isp,
                payment,
                part,
                service,
                key,
            } => {
                let path = format!("/payments/{payment}/refunds");
                let mut body = json!({"service": service, "reason": "Paid twice"});
                if let Some(part) = part {
                    body["amount"] = (*part).into();
                }
                let clerk = &self.isps[*isp].clerk;
                self.ask_as(clerk, Method::POST, &path, body, Some(*key))
                    .await
            }
            Deed::Approve { isp, refund } => {
                let path = format!("/payments/refunds/{refund}/approve");
                self.ask(*isp, Method::POST, &path, json!({}), None).await
            }
            Deed::Decline { isp, refund } => {
                let path = format!("/payments/refunds/{refund}/decline");
                self.ask(*isp, Method::POST, &path, json!({}), None).await
            }
            Deed::Load { isp, cents, key } => {
                let path = format!("/finance/sellers/{}/moves", self.isps[*isp].seller_id);
                let body = json!({"kind": "LOAD", "amount": amount(*cents), "method": "Cash"});
                self.ask(*isp, Method::POST, &path, body, Some(*key)).await
            }
            Deed::Sell {
                isp,
                person,
                cents,
                key,
            } => {
                let body = json!({"customerId": who(isp, person), "amount": amount(*cents)});
                let seller = &self.isps[*isp].seller;
                self.ask_as(seller, Method::POST, "/payments/manual", body, Some(*key))
                    .await
            }
            Deed::Pause { isp, person } => {
                let path = format!("/customers/{}/pause", who(isp, person));
                self.ask(*isp, Method::POST, &path, json!({}), None).await
            }
            Deed::Resume { isp, person } => {
                let path = format!("/customers/{}/resume", who(isp, person));
                self.ask(*isp, Method::POST, &path, json!({}), None).await
            }
        }
    }

    async fn ask(
        &self,
        isp: usize,
        method: Method,
        path: &str,
        body: Value,
        key: Option<u64>,
    ) -> Option<Answer> {
        let owner = &self.isps[isp].provider.owner;
        self.ask_as(owner, method, path, body, key).await
    }

    async fn ask_as(
        &self,
        who: &Operator,
        method: Method,
        path: &str,
        body: Value,
        key: Option<u64>,
    ) -> Option<Answer> {
        let url = format!("http://{}/api{path}", self.world.api());
        let mut request = self.http.request(method, url);
        request = request.bearer_auth(who.token());
        if let Some(key) = key {
            request = request.header("idempotency-key", format!("deed-{key}"));
        }
        if !body.is_null() {
            request = request.json(&body);
        }
        answer(request).await
    }

    /// What an answer says about what was done.
    pub(super) fn heard(&mut self, deed: &Deed, (status, body): &Answer) -> Result<()> {
        let known = &mut self.known;
        // A prompt may be refused or busy; everything else works or is refused for a reason.
        let may_fail = matches!(deed, Deed::Push { .. });
        ensure!(
            *status < 500 || may_fail,
            "{deed} is answered {status}: {body}"
        );
        let done = (200..300).contains(status);
        let id = |field: &str| -> Result<Uuid> {
            Ok(body[field]
                .as_str()
                .with_context(|| format!("{field} of {body}"))?
                .parse()?)
        };
        match deed {
            Deed::Recharge {
                isp, person, cents, ..
            } if done => {
                let customer = self.isps[*isp].people[*person].id;
                note(known, id("paymentId")?, customer, *cents);
            }
            Deed::Record {
                isp, person, cents, ..
            }
            | Deed::Sell {
                isp, person, cents, ..
            } if done => {
                let customer = self.isps[*isp].people[*person].id;
                note(known, id("id")?, customer, *cents);
            }
            Deed::Recharge { .. } | Deed::Record { .. } => {
                ensure!(*status == 409, "{deed} is answered {status}: {body}");
            }
            Deed::Sell { .. } => {
                // The same request twice at once is one.
                let fits = body["code"] == "FLOAT_USED_UP" || body["code"] == "REQUEST_IN_FLIGHT";
                ensure!(
                    *status == 409 && fits,
                    "{deed} is answered {status}: {body}"
                );
            }
            Deed::Load { .. } if !done => {
                ensure!(
                    body["code"] == "REQUEST_IN_FLIGHT",
                    "{deed} is answered {status}: {body}"
                );
            }
            Deed::Load { isp, cents, key } => {
                known.loaded.insert((self.isps[*isp].tenant, *key), *cents);
            }
            Deed::Pause { .. } => {
                ensure!(
                    done || *status == 409,
                    "{deed} is answered {status}: {body}"
                );
            }
            Deed::Resume { .. } => ensure!(done, "{deed} is answered {status}: {body}"),
            Deed::TakeBack { payment, .. } => {
                ensure!(done, "{deed} is answered {status}: {body}");
                if let Some(by_hand) = known.by_hand.get_mut(payment) {
                    by_hand.taken_back = true;
                }
            }
            Deed::Allocate {
                isp,
                receipt,
                person,
                ..
            }
            | Deed::MoveOver {
                isp,
                receipt,
                person,
                ..
            } => {
                ensure!(
                    done || *status == 409,
                    "{deed} is answered {status}: {body}"
                );
                if done {
                    let customer = self.isps[*isp].people[*person].id;
                    known
                        .given
                        .entry(receipt.clone())
                        .or_default()
                        .insert(customer);
                }
            }
            Deed::Package {
                isp,
                person,
                package,
            } => {
                ensure!(done, "{deed} is answered {status}: {body}");
                self.isps[*isp].people[*person].package = *package;
            }
            Deed::Price {
                isp,
                package,
                shillings,
            } => {
                ensure!(done, "{deed} is answered {status}: {body}");
                self.isps[*isp].packages[*package].plan.price = shillings * 100;
            }
            Deed::Redeem { code, .. } if done => {
                known.redeemed.insert(code.clone());
            }
            Deed::Statement { .. } => ensure!(done, "{deed} is answered {status}: {body}"),
            // Whether it can be sent back, or was decided before, the rows say.
            Deed::AskBack { .. } | Deed::Approve { .. } | Deed::Decline { .. } => {
                ensure!(
                    done || matches!(status, 400 | 409 | 422),
                    "{deed} is answered {status}: {body}"
                );
            }
            Deed::Push { .. } | Deed::Redeem { .. } => {}
        }
        Ok(())
    }
}

fn note(known: &mut Known, payment: Uuid, customer: Uuid, amount: i64) {
    let by_hand = ByHand {
        customer,
        amount,
        taken_back: false,
    };
    known.by_hand.entry(payment).or_insert(by_hand);
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
    let answer = request.timeout(Duration::from_secs(20)).send().await.ok()?;
    let status = answer.status().as_u16();
    let text = answer.text().await.ok()?;
    Some((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

/// Everything that moved to a short code, as M-Pesa's portal writes it.
fn statement(isp: &Isp, books: &Books) -> String {
    let mut text = format!(
        "Organization Statement\r\nShort Code:,{}\r\n\r\nReceipt No.,Completion Time,Details,\
         Transaction Status,Paid In,Withdrawn,Balance,Reason Type,Other Party Info,A/C No.\r\n",
        isp.code
    );
    let nairobi = TimeZone::fixed(Offset::constant(3));
    let direct = books
        .direct()
        .iter()
        .filter(|paid| paid.shortcode == isp.code);
    let direct = direct.map(|paid| {
        (
            paid.receipt.as_str(),
            paid.at,
            paid.amount.as_str(),
            paid.phone.as_str(),
            paid.reference.as_str(),
        )
    });
    let prompts = books.paid().filter(|paid| paid.shortcode == isp.code);
    let prompts = prompts.filter_map(|paid| {
        let outcome = paid.outcome.as_ref()?;
        let (receipt, amount) = (outcome.receipt.as_deref()?, outcome.amount.as_deref()?);
        Some((
            receipt,
            outcome.at,
            amount,
            paid.phone.as_str(),
            paid.account_reference.as_str(),
        ))
    });
    for (receipt, at, amount, phone, reference) in direct.chain(prompts) {
        let at = at
            .in_zone(&nairobi)
            .strftime("%d-%m-%Y %H:%M:%S")
            .to_string();
        text += &format!(
            "{receipt},{at},Pay Bill Online,Completed,{amount},,9000.00,Pay Bill Online,{phone} - JOHN DOE,{reference}\r\n"
        );
    }
    text
}
