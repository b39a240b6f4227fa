//! What M-Pesa has on its books: every prompt and every payment. The oracle of all money stories.

use std::collections::HashSet;

use serde::Serialize;

use easyisp_shared::time::Timestamp;

/// Most prompts one provider remembers; it refuses more rather than forget a payment.
pub const MOST_TRANSACTIONS: usize = 200_000;

/// Everything that was ever asked and paid, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Books {
    transactions: Vec<Transaction>,
    direct: Vec<Direct>,
    receipts: HashSet<String>,
    errands: Vec<Errand>,
}

/// What an initiator asked for.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Errand {
    /// What.
    pub kind: ErrandKind,
    /// The name that it has on both sides.
    pub name: String,
    /// M-Pesa's own name of it.
    pub conversation: String,
    /// The receipt that it is about: asked about, or sent back.
    pub about: Option<String>,
    /// To whom money went.
    pub phone: Option<String>,
    /// To which organisation's paybill or till money went, and the account there.
    pub organisation: Option<(String, String)>,
    /// How much, whole shillings.
    pub amount: i64,
    /// The receipt of the money that went; `None` when none did.
    pub receipt: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Where its result is told.
    pub result_url: String,
    /// Each delivery of the result.
    pub results: Vec<Delivered>,
}

/// What initiators ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ErrandKind {
    /// What became of a payment.
    Status,
    /// To send the whole of a payment back.
    Reversal,
    /// To send money to a phone.
    Payout,
    /// To send money to another organisation.
    Settlement,
}

/// One accepted push and what became of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// M-Pesa's id of the prompt.
    pub checkout_request_id: String,
    /// M-Pesa's id of the request.
    pub merchant_request_id: String,
    /// The paybill, or a till's store number.
    pub shortcode: String,
    /// The payer, `2547…` or `2541…`.
    pub phone: String,
    /// What was asked for, whole shillings.
    pub asked: i64,
    /// What the payer saw as account.
    pub account_reference: String,
    /// Where the callback goes.
    pub callback_url: String,
    /// When the prompt was asked for.
    pub asked_at: Timestamp,
    /// `None` while the payer may still type.
    pub outcome: Option<Outcome>,
    /// Each delivery of the callback, in order.
    pub callbacks: Vec<Delivered>,
    /// Each delivery of the confirmation, where the short code has registered for them.
    pub confirmations: Vec<Delivered>,
}

/// Money that a payer sent by himself, typing short code and account.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Direct {
    /// The receipt.
    pub receipt: String,
    /// The paybill.
    pub shortcode: String,
    /// The payer, `2547…`.
    pub phone: String,
    /// Decimal text: `10` or `10.50`.
    pub amount: String,
    /// What he typed as account.
    pub reference: String,
    /// When it was paid.
    pub at: Timestamp,
    /// Each delivery of the confirmation, in order.
    pub confirmations: Vec<Delivered>,
}

/// How a prompt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// M-Pesa's `ResultCode`; 0 is paid.
    pub code: i32,
    /// The receipt of a payment.
    pub receipt: Option<String>,
    /// The `Amount` of the callback as JSON text; `None` when nothing was paid.
    pub amount: Option<String>,
    /// When it ended.
    pub at: Timestamp,
}

/// One callback that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Delivered {
    /// When it was sent.
    pub at: Timestamp,
    /// The HTTP status it got; `None` when nobody answered.
    pub status: Option<u16>,
}

impl Transaction {
    /// The receipt, when money moved.
    pub fn receipt(&self) -> Option<&str> {
        self.outcome.as_ref()?.receipt.as_deref()
    }
}

impl Books {
    /// Every prompt, oldest first.
    pub fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    /// Money that came without a prompt, oldest first.
    pub fn direct(&self) -> &[Direct] {
        &self.direct
    }

    /// Every receipt: each of these must be credited once, and nothing else.
    pub fn receipts(&self) -> impl Iterator<Item = &str> {
        let direct = self.direct.iter().map(|payment| payment.receipt.as_str());
        self.paid().filter_map(Transaction::receipt).chain(direct)
    }

    /// The prompts that were paid.
    pub fn paid(&self) -> impl Iterator<Item = &Transaction> {
        self.transactions
            .iter()
            .filter(|transaction| transaction.receipt().is_some())
    }

    /// What initiators asked for, oldest first.
    pub fn errands(&self) -> &[Errand] {
        &self.errands
    }

    /// What went back to payers in all.
    pub fn given_back(&self) -> i64 {
        let went = self
            .errands
            .iter()
            .filter(|errand| errand.receipt.is_some());
        went.filter(|errand| matches!(errand.kind, ErrandKind::Reversal | ErrandKind::Payout))
            .map(|errand| errand.amount)
            .sum()
    }

    /// What went to an organisation's paybill or till in all.
    pub fn settled(&self, number: &str) -> i64 {
        let went = self.errands.iter().filter(|errand| {
            let to = errand.organisation.as_ref();
            errand.receipt.is_some() && to.is_some_and(|(to, _)| to == number)
        });
        went.map(|errand| errand.amount).sum()
    }

    /// Books what an initiator asked for; money that goes takes the first of `receipts` that is not on the books.
    pub fn run(
        &mut self,
        mut errand: Errand,
        mut receipts: impl Iterator<Item = String>,
    ) -> Errand {
        if errand.kind != ErrandKind::Status && errand.receipt.is_some() {
            errand.receipt = receipts.find(|receipt| self.receipts.insert(receipt.clone()));
        }
        self.errands.push(errand.clone());
        errand
    }

    /// Notes a result that was sent.
    pub fn told(&mut self, conversation: &str, delivery: Delivered) {
        let mut errands = self.errands.iter_mut().rev();
        if let Some(errand) = errands.find(|errand| errand.conversation == conversation) {
            errand.results.push(delivery);
        }
    }

    /// How many prompts have reached this phone.
    pub fn prompts(&self, phone: &str) -> usize {
        self.transactions
            .iter()
            .filter(|transaction| transaction.phone == phone)
            .count()
    }

    /// The prompt with this id.
    pub fn find(&self, checkout: &str) -> Option<&Transaction> {
        self.transactions
            .iter()
            .rev()
            .find(|known| known.checkout_request_id == checkout)
    }

    /// Whether a prompt is open on this phone. A second one cannot be shown beside it.
    pub fn is_busy(&self, phone: &str) -> bool {
        let mut of_phone = self
            .transactions
            .iter()
            .filter(|known| known.phone == phone);
        of_phone.any(|known| known.outcome.is_none())
    }

    /// Books a prompt. `false` when the books are full.
    pub fn open(&mut self, transaction: Transaction) -> bool {
        let room = self.transactions.len() < MOST_TRANSACTIONS;
        if room {
            self.transactions.push(transaction);
        }
        room
    }

    /// Ends a prompt with M-Pesa's `code`. A payment takes `amount` (JSON text) and the first of
    /// `receipts` that is not on the books. A prompt ends once; later calls change nothing.
    pub fn settle(
        &mut self,
        checkout: &str,
        code: i32,
        amount: &str,
        mut receipts: impl Iterator<Item = String>,
        now: Timestamp,
    ) {
        let known = self.transactions.iter_mut().rev();
        let Some(open) = known
            .filter(|transaction| transaction.outcome.is_none())
            .find(|transaction| transaction.checkout_request_id == checkout)
        else {
            return;
        };
        let receipt = match code {
            0 => receipts.find(|receipt| self.receipts.insert(receipt.clone())),
            _ => None,
        };
        let amount = receipt.as_ref().map(|_| amount.to_owned());
        open.outcome = Some(Outcome {
            code,
            receipt,
            amount,
            at: now,
        });
    }

    /// Books money that came without a prompt, under the first of `receipts` not on the books.
    pub fn pay(&mut self, payment: Direct, mut receipts: impl Iterator<Item = String>) -> String {
        let fresh = receipts.find(|receipt| self.receipts.insert(receipt.clone()));
        let receipt = fresh.expect("receipts do not run out");
        self.direct.push(Direct {
            receipt: receipt.clone(),
            ..payment
        });
        receipt
    }

    /// Notes a confirmation that was sent.
    pub fn confirmed(&mut self, receipt: &str, delivery: Delivered) {
        let mut direct = self.direct.iter_mut().rev();
        if let Some(payment) = direct.find(|payment| payment.receipt == receipt) {
            return payment.confirmations.push(delivery);
        }
        let mut prompts = self.transactions.iter_mut().rev();
        if let Some(paid) = prompts.find(|known| known.receipt() == Some(receipt)) {
            paid.confirmations.push(delivery);
        }
    }

    /// Notes a callback that was sent.
    pub fn delivered(&mut self, checkout: &str, delivery: Delivered) {
        let mut known = self.transactions.iter_mut().rev();
        if let Some(transaction) = known.find(|known| known.checkout_request_id == checkout) {
            transaction.callbacks.push(delivery);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_receipt_is_never_given_twice() {
        let mut books = Books::default();
        for checkout in ["one", "two"] {
            assert!(books.open(prompt(checkout)));
            let candidates = ["SJK4H7L2PQ", "SJK4H7L2PR"].map(str::to_owned).into_iter();
            books.settle(checkout, 0, "10.0", candidates, Timestamp::from_secs(2));
        }

        assert_eq!(books.find("one").unwrap().receipt(), Some("SJK4H7L2PQ"));
        assert_eq!(books.find("two").unwrap().receipt(), Some("SJK4H7L2PR"));
    }

    #[test]
    fn a_prompt_ends_once() {
        let mut books = Books::default();
        assert!(books.open(prompt("one")));
        assert!(books.is_busy("254712345678"));

        books.settle(
            "one",
            1032,
            "10.0",
            std::iter::empty(),
            Timestamp::from_secs(2),
        );
        let late = std::iter::once("SJK4H7L2PQ".to_owned());
        books.settle("one", 0, "10.0", late, Timestamp::from_secs(3));

        assert_eq!(
            books.find("one").unwrap().outcome.as_ref().unwrap().code,
            1032
        );
        assert!(!books.is_busy("254712345678"));
        assert_eq!(books.paid().count(), 0);
        assert_eq!(books.prompts("254712345678"), 1);
    }

    fn prompt(checkout: &str) -> Transaction {
        Transaction {
            checkout_request_id: checkout.to_owned(),
            merchant_request_id: format!("m-{checkout}"),
            shortcode: "174379".to_owned(),
            phone: "254712345678".to_owned(),
            asked: 10,
            account_reference: "10000008".to_owned(),
            callback_url: "http://127.0.0.1/x".to_owned(),
            asked_at: Timestamp::from_secs(1),
            outcome: None,
            callbacks: Vec::new(),
            confirmations: Vec::new(),
        }
    }
}
