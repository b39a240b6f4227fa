//! Invoices and credit notes on their way into the state's own system: each once, whatever happens on the way, and what
//! is missing is listed.

mod order;
mod parts;

use anyhow::{Context, Result, ensure};
use easyisp_tests::etims::{KEY, Mood, PIN};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::eventually;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::finance::Shop;
use crate::invoice_paper::codes;
use crate::words::{DAY, MINUTE};

pub fn settings() -> Value {
    json!({"provider": "KE_ETIMS", "taxpayerPin": PIN, "controlUnit": "KRACU0100000001", "key": KEY,
        "itemCode": "KE3NTU0000001", "itemClass": "8111150000"})
}

impl Shop {
    async fn reports(name: &str) -> Result<(Shop, String)> {
        let shop = Shop::open(name).await?;
        let until = shop.world.clock.now().plus(DAY);
        let asha = shop
            .isp
            .add_subscriber("asha", "254712345641", until)
            .await?;
        let taxes =
            json!({"taxes": [{"name": "Excise duty", "rate": 15}, {"name": "VAT", "rate": 16}]});
        shop.owner().put("/finance/taxes", &taxes).await?;
        Ok((shop, asha))
    }

    async fn bills(&self, customer: &str) -> Result<String> {
        let bill = json!({"customerId": customer, "amount": 1334, "dueDate": "2027-02-20",
            "items": [{"description": "Home 10", "amount": 1000}, {"description": "Cable", "amount": 334}]});
        let invoice = self.owner().post("/finance/invoices", &bill).await?;
        Ok(invoice["id"].as_str().context("a number")?.to_owned())
    }

    async fn takes_back(&self, invoice: &str) -> Result<()> {
        let path = format!("/finance/invoices/{invoice}/status");
        self.owner()
            .put(&path, &json!({"status": "cancelled"}))
            .await?;
        Ok(())
    }

    /// The document of this number, once it is so.
    pub async fn document(&self, number: &str, state: &str) -> Result<Value> {
        eventually(&format!("{number} is {state}"), async || {
            let page = self.owner().get("/fiscal/documents").await?;
            let documents = page["documents"].as_array().context("a list")?;
            let one = documents.iter().find(|one| one["number"] == number);
            Ok(one.filter(|one| one["state"] == state).cloned())
        })
        .await
    }

    /// The document of this number, once that was heard of it.
    async fn problem(&self, number: &str, said: &str) -> Result<Value> {
        eventually(&format!("{number} is said to be: {said}"), async || {
            let page = self.owner().get("/fiscal/documents").await?;
            let documents = page["documents"].as_array().context("a list")?;
            let one = documents.iter().find(|one| one["number"] == number);
            let says = |one: &&Value| {
                one["problem"]
                    .as_str()
                    .is_some_and(|why| why.contains(said))
            };
            Ok(one.filter(says).cloned())
        })
        .await
    }

    pub async fn paper(&self, path: &str) -> Result<String> {
        let answer = http_client()
            .get(format!("http://{}/api{path}", self.world.api()))
            .bearer_auth(self.owner().token())
            .send()
            .await?;
        Ok(answer.text().await?)
    }
}

/// What is issued is signed, and the signature stands on the paper; a credit note names the invoice by its number
/// there. What was issued before is nobody's business.
#[tokio::test(flavor = "multi_thread")]
async fn each_document_is_signed_and_says_so_on_paper() -> Result<()> {
    let (shop, asha) = Shop::reports("signed").await?;
    let before = shop.bills(&asha).await?;
    let set = shop.owner().put("/fiscal/settings", &settings()).await?;
    assert_eq!(
        (&set["key"], &set["enabled"]),
        (&json!("********"), &json!(true))
    );
    // The form sends back what it got.
    shop.owner().put("/fiscal/settings", &set).await?;
    shop.takes_back(&before).await?;
    let invoice = shop.bills(&asha).await?;
    shop.document(&invoice, "SIGNED").await?;
    shop.takes_back(&invoice).await?;
    shop.document("CN-20270002", "SIGNED").await?;

    let sales = shop.world.outside.etims.sales();
    assert_eq!(sales.len(), 2, "{sales:?}");
    let sale = &sales[0];
    assert_eq!(
        (&sale["invcNo"], &sale["trdInvcNo"]),
        (&json!(1), &json!(invoice))
    );
    assert_eq!(
        (&sale["taxblAmtB"], &sale["taxAmtB"], &sale["totAmt"]),
        (&json!(1334), &json!(184), &json!(1334))
    );
    let note = &sales[1];
    assert_eq!(
        (&note["invcNo"], &note["orgInvcNo"], &note["rcptTyCd"]),
        (&json!(2), &json!(1), &json!("R"))
    );
    let shown = shop
        .owner()
        .get(&format!("/finance/invoices/{invoice}"))
        .await?;
    assert_eq!(shown["fiscal"]["controlNumber"], "KRACU0100000001/1");
    let text = shop
        .paper(&format!("/finance/invoices/{invoice}/pdf"))
        .await?;
    for said in ["KRACU0100000001/1", "SIGN000000000001", "INTERNAL00000001"] {
        ensure!(text.contains(said), "{said} is not in {text}");
    }
    let check = shown["fiscal"]["checkUrl"].as_str().context("an address")?;
    assert_eq!(codes(&text)?, [check], "as who checks it reads it");
    let text = shop.paper("/finance/credit-notes/CN-20270002/pdf").await?;
    ensure!(text.contains("SIGN000000000002"), "{text}");
    let text = shop
        .paper(&format!("/finance/invoices/{before}/pdf"))
        .await?;
    ensure!(!text.contains("Receipt signature"), "{text}");
    shop.closes().await
}

/// Down, babbling, an answer that got lost, a field that is refused: what can be tried again is, later each time and
/// under the same number, so that nothing is there twice; what cannot waits for a person, and is on the list.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_a_document_is_there_once() -> Result<()> {
    let (shop, asha) = Shop::reports("faults").await?;
    shop.owner().put("/fiscal/settings", &settings()).await?;
    let etims = shop.world.outside.etims.clone();

    etims.script([Mood::Down, Mood::Babbles]);
    let first = shop.bills(&asha).await?;
    let waits = eventually("it was down", async || {
        let page = shop.owner().get("/fiscal/documents").await?;
        let one = page["documents"][0].clone();
        Ok((one["attempts"] == 1 && one["state"] == "WAITING").then_some(one))
    })
    .await?;
    assert!(
        waits["problem"]
            .as_str()
            .is_some_and(|why| why.contains("503")),
        "{waits}"
    );
    // Not before its time, however often somebody looks.
    shop.owner().put("/fiscal/settings", &settings()).await?;
    shop.world.clock.advance(MINUTE);
    shop.problem(&first, "899").await?;
    assert_eq!(etims.calls(), 2);
    shop.world.clock.advance(MINUTE);
    shop.document(&first, "SIGNED").await?;
    assert_eq!((etims.calls(), etims.sales().len()), (3, 1));

    // Its answer got lost: it is there, and says so when it is sent again.
    etims.script([Mood::LosesTheAnswer]);
    let lost = shop.bills(&asha).await?;
    shop.problem(&lost, "did not answer").await?;
    assert_eq!(etims.sales().len(), 2);
    shop.world.clock.advance(MINUTE);
    let accepted = shop.document(&lost, "ACCEPTED").await?;
    assert_eq!(etims.sales().len(), 2);
    assert_eq!(accepted["number"], lost.as_str());
    let retry = format!(
        "/fiscal/documents/{}/retry",
        accepted["id"].as_str().context("an id")?
    );
    let settled = shop.refusal(Method::POST, &retry, json!({})).await?;
    assert_eq!(settled, (StatusCode::CONFLICT, "FISCAL_SETTLED".to_owned()));

    // Refused: the next one passes it, its own credit note waits for it.
    etims.script([Mood::Refuses("itemClsCd")]);
    let refused = shop.bills(&asha).await?;
    let document = shop.document(&refused, "REFUSED").await?;
    let next = shop.bills(&asha).await?;
    shop.document(&next, "SIGNED").await?;
    shop.takes_back(&refused).await?;
    shop.document("CN-20270001", "WAITING").await?;
    let why = format!("takes back {refused}, which was refused");
    shop.problem("CN-20270001", &why).await?;
    let gaps = shop.owner().get("/fiscal/gaps?days=2").await?;
    let missing: Vec<&Value> = gaps["days"]
        .as_array()
        .context("days")?
        .iter()
        .flat_map(|day| day["missing"].as_array().into_iter().flatten())
        .map(|one| &one["number"])
        .collect();
    for number in [&lost, &refused] {
        ensure!(
            missing.contains(&&json!(number)),
            "{number} is not in {gaps}"
        );
    }
    ensure!(gaps.to_string().contains("itemClsCd"), "{gaps}");
    ensure!(gaps.to_string().contains(&why), "{gaps}");
    let retry = format!(
        "/fiscal/documents/{}/retry",
        document["id"].as_str().context("an id")?
    );
    shop.owner().post(&retry, &json!({})).await?;
    shop.document(&refused, "SIGNED").await?;
    shop.document("CN-20270001", "SIGNED").await?;
    let mut numbers: Vec<i64> = etims
        .sales()
        .iter()
        .filter_map(|sale| sale["invcNo"].as_i64())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
    shop.closes().await
}

/// Settings are checked field by field, and a key that is wrong is a refusal that says so.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_cannot_be_are_named() -> Result<()> {
    let (shop, asha) = Shop::reports("wrong").await?;
    let nothing = shop.owner().get("/fiscal/settings").await?;
    assert_eq!(
        (&nothing["provider"], &nothing["key"]),
        (&json!(null), &json!(null))
    );
    let wrong = json!({"provider": "KE_ETIMS", "taxpayerPin": "51234567", "branch": "1", "itemCode": "a b",
        "controlUnit": "", "itemClass": "x"});
    let (status, answer) = shop
        .owner()
        .call(Method::PUT, "/fiscal/settings", Some(&wrong))
        .await?;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let fields: Vec<&str> = answer["details"]
        .as_array()
        .context("details")?
        .iter()
        .filter_map(|one| one["field"].as_str())
        .collect();
    assert_eq!(
        fields,
        ["key", "taxpayerPin", "branch", "controlUnit", "itemCode"]
    );

    let mut other = settings();
    other["key"] = json!("another");
    shop.owner().put("/fiscal/settings", &other).await?;
    let invoice = shop.bills(&asha).await?;
    let document = shop.document(&invoice, "REFUSED").await?;
    assert!(
        document["problem"]
            .as_str()
            .is_some_and(|why| why.contains("900")),
        "{document}"
    );
    let gaps = shop
        .refusal(Method::GET, "/fiscal/gaps?days=32", json!({}))
        .await?;
    assert_eq!(gaps.0, StatusCode::BAD_REQUEST);
    shop.closes().await
}

/// Tries are over: what went to the system for tries is nothing to the one that counts, until somebody says what
/// becomes of it.
#[tokio::test(flavor = "multi_thread")]
async fn another_system_has_numbers_of_its_own() -> Result<()> {
    let (shop, asha) = Shop::reports("counts").await?;
    shop.owner().put("/fiscal/settings", &settings()).await?;
    let first = shop.bills(&asha).await?;
    let second = shop.bills(&asha).await?;
    shop.document(&first, "SIGNED").await?;
    shop.document(&second, "SIGNED").await?;
    let mut production = settings();
    production["production"] = json!(true);
    let refused = shop
        .refusal(Method::PUT, "/fiscal/settings", production.clone())
        .await?;
    assert_eq!(
        refused,
        (StatusCode::CONFLICT, "DOCUMENTS_REPORTED".to_owned())
    );
    assert_eq!(shop.world.outside.etims.calls(), 2);
    production["reported"] = json!("AGAIN");
    shop.owner().put("/fiscal/settings", &production).await?;
    // The pretend system is one for both, and says that it has these numbers.
    let again = [
        shop.document(&first, "ACCEPTED").await?,
        shop.document(&second, "ACCEPTED").await?,
    ];
    let numbers = again.map(|document| document["fiscalNumber"].clone());
    assert_eq!(numbers, [1, 2]);
    assert_eq!(shop.world.outside.etims.calls(), 4);

    // From a system that counts nothing is taken away.
    production["controlUnit"] = json!("KRACU0100000003");
    let refused = shop
        .refusal(Method::PUT, "/fiscal/settings", production.clone())
        .await?;
    assert_eq!(refused.0, StatusCode::BAD_REQUEST);
    production["reported"] = json!("KEEP");
    shop.owner().put("/fiscal/settings", &production).await?;
    shop.closes().await
}
