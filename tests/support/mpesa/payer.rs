//! One prompt's life: the payer types or does not, the money moves or does not, callbacks go out.

use std::time::Duration;

use futures_util::future::{join, join_all};
use jiff::tz::{Offset, TimeZone};

use easyisp_shared::time::Timestamp;

use super::books::{Delivered, Direct, Transaction};
use super::{Mpesa, c2b, callback};
use crate::scenario::{Callback, Paid, Payer, Pin, PinResult};

/// How long a phone shows a prompt.
const PROMPT_LIFE: Duration = Duration::from_secs(60);
/// How long M-Pesa waits for the answer to a callback.
pub(super) const CALLBACK_PATIENCE: Duration = Duration::from_secs(10);

/// Plays a booked prompt in a task of its own, until M-Pesa stops.
pub(super) fn start(mpesa: Mpesa, transaction: Transaction, payer: Payer) {
    let tasks = mpesa.shared.tasks.clone();
    tasks.spawn(async move {
        let stop = mpesa.shared.stop.clone();
        stop.run_until_cancelled(play(&mpesa, &transaction, &payer))
            .await
    });
}

/// Plays a booked prompt to its end: PIN, books, callbacks.
pub(super) async fn play(mpesa: &Mpesa, transaction: &Transaction, payer: &Payer) {
    let checkout = &transaction.checkout_request_id;

    let code = match (&payer.pin, &payer.result) {
        (Pin::Never, PinResult::Paid | PinResult::Code(_)) => 1037,
        (Pin::After(_) | Pin::Held, PinResult::Paid) => 0,
        (Pin::After(_) | Pin::Held, PinResult::Code(code)) => *code,
    };
    if payer.callback != Callback::BeforeAnswer {
        match payer.pin {
            Pin::After(pause) => mpesa.sleep(pause).await,
            Pin::Never => mpesa.sleep(PROMPT_LIFE).await,
            Pin::Held => {
                mpesa
                    .when(|state| state.typed.contains(checkout).then_some(()))
                    .await
            }
        }
    }
    let amount = match &payer.paid {
        Paid::Asked => format!("{}.0", transaction.asked),
        Paid::Exactly(text) => text.clone(),
    };
    let receipts = std::iter::repeat_with(|| receipt(mpesa));
    let now = mpesa.now();
    mpesa.change(|state| state.books.settle(checkout, code, &amount, receipts, now));

    let telling = told(mpesa, checkout, &payer.callback, || {
        deliver(mpesa, checkout)
    });
    let confirming = told(mpesa, checkout, &payer.confirmation, || {
        confirm(mpesa, checkout)
    });
    join(telling, confirming).await;
}

/// Sends word as often and at such times as scripted.
pub(super) async fn told<F: Future<Output = ()>>(
    mpesa: &Mpesa,
    name: &str,
    when: &Callback,
    send: impl Fn() -> F,
) {
    let (times, apart) = match *when {
        Callback::Never => return,
        Callback::Now | Callback::BeforeAnswer => (1, Duration::ZERO),
        Callback::Repeated { times, apart } => (times, apart),
        Callback::Late(pause) => {
            mpesa.sleep(pause).await;
            (1, Duration::ZERO)
        }
        Callback::Held => {
            mpesa
                .when(|state| state.released.contains(name).then_some(()))
                .await;
            (1, Duration::ZERO)
        }
    };
    if apart.is_zero() {
        join_all((0..times).map(|_| send())).await;
    } else {
        for copy in 0..times {
            if copy > 0 {
                mpesa.sleep(apart).await;
            }
            send().await;
        }
    }
}

/// Confirms money that came by itself in a task of its own, until M-Pesa stops.
pub(super) fn start_confirming(mpesa: Mpesa, payment: Direct) {
    let tasks = mpesa.shared.tasks.clone();
    let when = mpesa.state().payer(&payment.phone).confirmation.clone();
    tasks.spawn(async move {
        let stop = mpesa.shared.stop.clone();
        let confirming = told(&mpesa, &payment.receipt, &when, || {
            c2b::confirm(&mpesa, &payment)
        });
        stop.run_until_cancelled(confirming).await
    });
}

/// A paid prompt is confirmed like money that came by itself, with the same receipt.
async fn confirm(mpesa: &Mpesa, checkout: &str) {
    let known = mpesa.state().books.find(checkout).cloned();
    let Some(transaction) = known else { return };
    let amount = transaction
        .outcome
        .as_ref()
        .and_then(|outcome| outcome.amount.as_deref());
    if let (Some(receipt), Some(amount)) = (transaction.receipt(), amount) {
        let payment = Direct {
            receipt: receipt.to_owned(),
            shortcode: transaction.shortcode.clone(),
            phone: transaction.phone.clone(),
            amount: amount.trim_matches('"').to_owned(),
            reference: transaction.account_reference.clone(),
            at: transaction
                .outcome
                .as_ref()
                .map_or(transaction.asked_at, |outcome| outcome.at),
            confirmations: Vec::new(),
        };
        c2b::confirm(mpesa, &payment).await;
    }
}

/// Sends the callback of a prompt that has ended, once, and notes how it was taken.
pub(super) async fn deliver(mpesa: &Mpesa, checkout: &str) {
    let Some(transaction) = mpesa.state().books.find(checkout).cloned() else {
        return;
    };
    let ended = transaction
        .outcome
        .as_ref()
        .map_or(transaction.asked_at, |outcome| outcome.at);
    let Some(body) = callback::body(&transaction, &stamp(ended)) else {
        return;
    };

    let sending = mpesa
        .shared
        .client
        .post(&transaction.callback_url)
        .json(&body)
        .timeout(CALLBACK_PATIENCE);
    let status = mpesa.send(sending).await;

    let at = mpesa.now();
    mpesa.change(|state| state.books.delivered(checkout, Delivered { at, status }));
}

/// Ten characters A–Z0–9; the first stands for the year.
pub(super) fn receipt(mpesa: &Mpesa) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let year = mpesa.now().in_zone(&eat()).year();
    let letter = char::from(b'A' + u8::try_from((year - 2007).rem_euclid(26)).unwrap_or(0));
    let any = |_| char::from(ALPHABET[mpesa.shared.entropy.below(36) as usize]);
    std::iter::once(letter).chain((1..10).map(any)).collect()
}

/// An instant as M-Pesa writes it: 14 digits of East Africa Time.
pub(super) fn stamp(at: Timestamp) -> String {
    at.in_zone(&eat()).strftime("%Y%m%d%H%M%S").to_string()
}

/// East Africa Time has no summer time.
pub(super) fn eat() -> TimeZone {
    TimeZone::fixed(Offset::constant(3))
}
