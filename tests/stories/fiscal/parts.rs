//! Credit notes on parts of an invoice.

use anyhow::{Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::settings;
use crate::finance::Shop;
use crate::words::MINUTE;

impl Shop {
    async fn refuses(&self, path: &str, body: Value) -> Result<(StatusCode, Value)> {
        self.owner().call(Method::POST, path, Some(&body)).await
    }
}

/// A part goes back with its share of the taxes, signed like the whole; what is left is owed, and with the last part the
/// invoice is cancelled and nothing is left on any account.
#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_an_invoice_is_taken_back_with_its_taxes() -> Result<()> {
    let (shop, asha) = Shop::reports("parts").await?;
    shop.owner().put("/fiscal/settings", &settings()).await?;
    let invoice = shop.bills(&asha).await?;
    let (path, status) = (
        format!("/finance/invoices/{invoice}/credit-notes"),
        format!("/finance/invoices/{invoice}/status"),
    );
    for (wrong, field) in [
        (json!({}), "amount"),
        (json!({"amount": 1334.01}), "amount"),
        (
            json!({"amount": 2, "lines": [{"description": "Cable", "amount": 1}]}),
            "amount",
        ),
        (
            json!({"lines": [{"description": "", "amount": 1}]}),
            "lines[0].description",
        ),
    ] {
        let (status, answer) = shop.refuses(&path, wrong).await?;
        let said = &answer["details"][0]["field"];
        assert_eq!(
            (status, said),
            (StatusCode::BAD_REQUEST, &json!(field)),
            "{answer}"
        );
    }
    let note = shop.owner().post(&path, &json!({"amount": 334})).await?;
    assert_eq!(
        (&note["id"], &note["amount"], &note["invoice"]),
        (&json!("CN-20270001"), &json!(334), &json!(invoice))
    );
    // 1000 are left, as if they had been billed alone: 749.63 net, 112.44 excise duty, 137.93 VAT.
    assert_eq!(shop.balance("4020").await?, 749.63);
    assert_eq!(shop.balance("2300").await?, 250.37);
    assert_eq!(shop.balance("1100").await?, 1000);
    let shown = shop
        .owner()
        .get(&format!("/finance/invoices/{invoice}"))
        .await?;
    assert_eq!(
        (&shown["credited"], &shown["status"]),
        (&json!(334), &json!("pending")),
        "{shown}"
    );
    shop.document("CN-20270001", "SIGNED").await?;
    let sales = shop.world.outside.etims.sales();
    assert_eq!(
        (
            &sales[1]["totAmt"],
            &sales[1]["taxAmtB"],
            &sales[1]["rcptTyCd"]
        ),
        (&json!(334), &json!(46.07), &json!("R")),
        "{sales:?}"
    );
    let paper = shop.paper("/finance/credit-notes/CN-20270001/pdf").await?;
    ensure!(
        paper.contains("(334.00)") && paper.contains(&invoice),
        "{paper}"
    );

    // What is left is paid; a paid one gives nothing back before its payment is taken back.
    let paid = json!({"status": "paid", "method": "Cash"});
    shop.owner().put(&status, &paid).await?;
    assert_eq!(shop.balance("1100").await?, 0);
    let (refused, answer) = shop.refuses(&path, json!({"amount": 1})).await?;
    assert_eq!(
        (refused, &answer["code"]),
        (StatusCode::CONFLICT, &json!("INVOICE_PAID"))
    );
    shop.world.clock.advance(MINUTE);
    shop.owner()
        .put(&status, &json!({"status": "pending"}))
        .await?;
    assert_eq!(shop.balance("1100").await?, 1000);
    shop.world.clock.advance(MINUTE);
    let rest = json!({"amount": 1000, "lines": [{"description": "Home 10", "amount": 600},
        {"description": "Cable", "amount": 400}]});
    shop.owner().post(&path, &rest).await?;
    let shown = shop
        .owner()
        .get(&format!("/finance/invoices/{invoice}"))
        .await?;
    assert_eq!(
        (&shown["credited"], &shown["status"]),
        (&json!(1334), &json!("cancelled")),
        "{shown}"
    );
    for account in ["1100", "2300", "4020"] {
        assert_eq!(shop.balance(account).await?, 0, "{account}");
    }
    let (refused, answer) = shop.refuses(&path, json!({"amount": 1})).await?;
    assert_eq!(
        (refused, &answer["code"]),
        (StatusCode::CONFLICT, &json!("INVOICE_CANCELLED"))
    );

    // The whole of one of which a part went back before: the rest.
    let second = shop.bills(&asha).await?;
    shop.owner()
        .post(
            &format!("/finance/invoices/{second}/credit-notes"),
            &json!({"amount": 34}),
        )
        .await?;
    shop.takes_back(&second).await?;
    let notes = shop.owner().get("/finance/credit-notes").await?;
    assert_eq!(notes["creditNotes"][0]["amount"], 1300, "{notes}");
    assert_eq!(shop.balance("1100").await?, 0);
    shop.closes().await
}
