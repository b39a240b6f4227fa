//! The bodies M-Pesa sends to a `CallBackURL`. Stories forge their own with the same functions.

use serde_json::{Value, json};

use super::books::Transaction;

/// The callback of a prompt as the books have it; `None` while it is open. `at` is EAT, 14 digits.
pub fn body(transaction: &Transaction, at: &str) -> Option<Value> {
    let outcome = transaction.outcome.as_ref()?;
    Some(match (&outcome.receipt, &outcome.amount) {
        (Some(receipt), Some(amount)) => paid(transaction, receipt, amount, at),
        _ => refused(transaction, outcome.code),
    })
}

/// A callback that says `amount` (JSON text) was paid with `receipt`.
pub fn paid(transaction: &Transaction, receipt: &str, amount: &str, at: &str) -> Value {
    let amount: Value = serde_json::from_str(amount).unwrap_or_else(|_| json!(amount));
    let number = |text: &str| {
        text.parse::<u64>()
            .map_or_else(|_| json!(text), |number| json!(number))
    };
    let mut body = refused(transaction, 0);
    body["Body"]["stkCallback"]["CallbackMetadata"] = json!({"Item": [
        {"Name": "Amount", "Value": amount},
        {"Name": "MpesaReceiptNumber", "Value": receipt},
        {"Name": "Balance"},
        {"Name": "TransactionDate", "Value": number(at)},
        {"Name": "PhoneNumber", "Value": number(&transaction.phone)},
    ]});
    body
}

/// A callback without money.
pub fn refused(transaction: &Transaction, code: i32) -> Value {
    json!({"Body": {"stkCallback": {
        "MerchantRequestID": transaction.merchant_request_id,
        "CheckoutRequestID": transaction.checkout_request_id,
        "ResultCode": code,
        "ResultDesc": describe(code),
    }}})
}

/// M-Pesa's words for a `ResultCode`.
pub fn describe(code: i32) -> &'static str {
    match code {
        0 => "The service request is processed successfully.",
        1 => "The balance is insufficient for the transaction.",
        17 => "Rule limited.",
        26 => "System busy.",
        1001 => {
            "Unable to lock subscriber, a transaction is already in process for the current subscriber."
        }
        1019 => "Transaction has expired.",
        1032 => "Request cancelled by user.",
        1037 => "DS timeout user cannot be reached.",
        2001 => "The initiator information is invalid.",
        4999 => "The transaction is still under processing.",
        1025 | 9999 => "An error occurred while sending a push request.",
        _ => "The request failed.",
    }
}
