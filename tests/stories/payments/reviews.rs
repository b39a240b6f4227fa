//! What M-Pesa says of a payment does not fit together: it stays as it is, a person finds it and says that he has seen to it.

use anyhow::Result;
use easyisp_tests::mpesa::callback;
use easyisp_tests::operator::Operator;
use easyisp_tests::scenario::{Callback, Payer, QueryAnswer};
use reqwest::Method;
use serde_json::{Value, json};

use super::world::{PHONE, STAMP, World, given_world};

/// C11: the callback said paid, and our own query says that it failed. It stays paid, whatever is asked again; among all
/// payments the filter finds it, and it is settled once, with a line in the trail.
#[tokio::test(flavor = "multi_thread")]
async fn paid_and_then_failed_stays_paid_and_opens_a_review_item() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let john = world.customer("john", "0712345679").await?;
    let contradicts = Payer {
        query: QueryAnswer::Code(1032),
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, contradicts);
    let plain = world.owner.ask_to_pay(&john, 1_000).await?;
    world.until(&plain, "completed").await?;
    world.query(&plain).await?;
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let paid = world.until(&checkout, "completed").await?;
    let ends = world.expires(&jane).await?;
    assert_eq!(found(&world.owner, "").await?, [] as [Value; 0]);

    world.query(&checkout).await?;
    assert_eq!(world.until(&checkout, "completed").await?, paid);
    assert_eq!(world.expires(&jane).await?, ends);
    assert_eq!(world.credits().await?, 2);
    let listed = found(&world.owner, "").await?;
    let [item] = listed.as_slice() else {
        anyhow::bail!("{listed:?}");
    };
    assert_eq!(item["transactionId"], paid["receipt"], "{item}");
    assert_eq!(item["status"], "completed", "{item}");
    assert_eq!(item["customer"]["id"], jane.as_str(), "{item}");
    let review = item["review"].as_str().unwrap_or_default();
    assert!(review.contains("both paid and not paid"), "{item}");
    // The same in the list of all, and with the other filters.
    let all = world.owner.get("/payments/mpesa").await?;
    assert_eq!(all["total"], 2, "{all}");
    let receipt = paid["receipt"].as_str().unwrap_or_default();
    for (filters, count) in [
        ("&status=completed".to_owned(), 1),
        ("&status=failed".to_owned(), 0),
        (format!("&search={receipt}"), 1),
        ("&search=jane".to_owned(), 1),
        ("&search=john".to_owned(), 0),
        (
            "&sortBy=amount&sortOrder=asc&page=2&pageSize=1".to_owned(),
            0,
        ),
    ] {
        let listed = found(&world.owner, &filters).await?;
        assert_eq!(listed.len(), count, "{filters}: {listed:?}");
    }

    let path = format!(
        "/payments/intents/{}/reviewed",
        item["intentId"].as_str().unwrap_or_default()
    );
    refused(&world, &path, &json!({}), (400, "INVALID_FIELD")).await?;
    let other = json!({"reason": "It is in the portal", "review": "Something else"});
    refused(&world, &path, &other, (409, "REVIEW_CHANGED")).await?;
    assert_eq!(found(&world.owner, "").await?.len(), 1);
    let seen = json!({"reason": "It is in the portal", "review": review});
    for _ in 0..2 {
        world.owner.post(&path, &seen).await?;
        assert_eq!(found(&world.owner, "").await?, [] as [Value; 0]);
    }
    let all = world.owner.get("/payments/mpesa").await?;
    assert!(!all.to_string().contains("review"), "{all}");
    let trail = world
        .owner
        .get("/audit-logs?action=TRANSACTION_RESOLVE")
        .await?;
    let lines = trail["logs"].as_array().map(Vec::len);
    assert_eq!(lines, Some(1), "{trail}");
    let said = trail.to_string();
    assert!(
        said.contains("It is in the portal") && said.contains(review),
        "{trail}"
    );
    assert_eq!(world.wallet(&jane).await?, 0);
    assert_eq!(world.expires(&jane).await?, ends);

    // What is told later needs a person again.
    let prompt = world.transaction(&checkout).await?;
    let second = callback::paid(&prompt, "SJK4H7L2PQ", "1000.0", STAMP);
    assert_eq!(world.post(&prompt.callback_url, &second).await?, 200);
    world.worked().await?;
    let listed = found(&world.owner, "").await?;
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_ne!(listed[0]["review"], review, "{listed:?}");
    world.end().await
}

/// V2: whose prompt names a receipt that was credited to somebody else is looked at by a person; that he did does not make
/// the same money count a second time, however often M-Pesa is asked whether it was paid.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_seen_to_is_not_credited_by_a_later_query() -> Result<()> {
    let world = given_world().await?;
    let jane = world.customer("jane", PHONE).await?;
    let john = world.customer("john", "0712345679").await?;
    let plain = world.owner.ask_to_pay(&john, 1_000).await?;
    let paid = world.until(&plain, "completed").await?;
    let receipt = paid["receipt"].as_str().unwrap_or_default();
    let unheard = Payer {
        callback: Callback::Never,
        confirmation: Callback::Never,
        ..Payer::prompt()
    };
    world.outside.mpesa.script(PHONE, unheard);
    let checkout = world.owner.ask_to_pay(&jane, 1_000).await?;
    let prompt = world.transaction(&checkout).await?;
    let named = callback::paid(&prompt, receipt, "1000.0", STAMP);
    assert_eq!(world.post(&prompt.callback_url, &named).await?, 200);
    world.worked().await?;
    world.query(&checkout).await?;
    let listed = found(&world.owner, "").await?;
    let [item] = listed.as_slice() else {
        anyhow::bail!("{listed:?}");
    };
    let path = format!(
        "/payments/intents/{}/reviewed",
        item["intentId"].as_str().unwrap_or_default()
    );
    let seen = json!({"reason": "John paid for himself", "review": item["review"]});
    world.owner.post(&path, &seen).await?;

    let ends = world.expires(&jane).await?;
    for _ in 0..2 {
        world.query(&checkout).await?;
        world.worked().await?;
        assert_eq!(world.credits().await?, 1);
    }
    assert_eq!(world.expires(&jane).await?, ends);
    assert_eq!(found(&world.owner, "").await?, [] as [Value; 0]);
    world.end().await
}

/// What a person must look at, narrowed by other filters too.
async fn found(owner: &Operator, filters: &str) -> Result<Vec<Value>> {
    let path = format!("/payments/mpesa?review=true{filters}");
    let page = owner.get(&path).await?;
    let listed = page["transactions"].as_array().cloned().unwrap_or_default();
    if !filters.contains("page=") {
        assert_eq!(page["total"], listed.len(), "{page}");
    }
    Ok(listed)
}

async fn refused(world: &World, path: &str, body: &Value, expected: (u16, &str)) -> Result<()> {
    let (status, answer) = world.owner.call(Method::POST, path, Some(body)).await?;
    assert_eq!(
        (status.as_u16(), answer["code"].as_str()),
        (expected.0, Some(expected.1)),
        "{answer}"
    );
    Ok(())
}
