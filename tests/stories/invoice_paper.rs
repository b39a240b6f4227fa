//! An invoice on paper says where its money goes, in words and in a code that a phone reads.

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::http_client;
use easyisp_tests::world::{Provider, World};
use reqwest::Method;
use serde_json::{Value, json};

use crate::words::DAY;

/// Where a customer would be asked to pay, he pays by himself: to a till without an account, to a paybill under his own
/// number, and to a bank's under the bank's. What is meant for homes is not told to guests, whichever is the default.
#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_names_where_its_customer_would_be_asked() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "stationer").await?;
    isp.subscribe(&world).await?;
    let owner = &isp.owner;
    let until = world.clock.now().plus(DAY);
    let home = isp.add_subscriber("asha", "254712345601", until).await?;
    let hour = json!({"name": "Evening", "type": "HOTSPOT", "price": 50, "downloadSpeed": 4, "uploadSpeed": 2,
        "sessionTime": 300});
    let hour = owner.post("/packages", &hour).await?;
    let guest = json!({"username": "baraka", "password": "baraka", "name": "Baraka", "phone": "254712345602",
        "connectionType": "HOTSPOT", "packageId": hour["id"], "expiresAt": until.to_string()});
    let guest = owner.post("/customers", &guest).await?;
    let guest = id_of(&guest)?;
    let [of_home, of_guest] = [bill(&isp, &home).await?, bill(&isp, &guest).await?];
    let account = isp.customer(&home).await?["accountNumber"].clone();
    let account = account.as_str().context("a number")?;
    let [homes, guests] = [&of_home, &of_guest];

    // Nothing is set up; then one from which only prompts come.
    says_nothing(&world, &isp, homes).await?;
    let airtel = json!({"type": "AIRTEL_MONEY", "name": "Airtel", "consumerKey": "k", "consumerSecret": "s",
        "env": "sandbox"});
    owner.post("/payment-gateways", &airtel).await?;
    says_nothing(&world, &isp, homes).await?;

    let paybill = owner.add_paybill().await?;
    let said = format!("pay bill 174379, account {account}");
    let coded = format!("M-PESA pay bill 174379 account {account} amount 1234.5 {homes}");
    says(&world, &isp, homes, &said, &coded).await?;

    // A till for homes, which is not the default.
    let mut other = json!({"subType": "BUYGOODS", "shortcode": "600555", "storeNumber": "600556",
        "forHotspot": false, "forPppoe": true});
    let till = add(&isp, &mut other).await?;
    let path = format!("/payment-gateways/{paybill}");
    owner.put(&path, &json!({"forPppoe": false})).await?;
    let coded = format!("M-PESA buy goods till 600555 amount 1234.5 {homes}");
    says(&world, &isp, homes, "Buy goods till 600555", &coded).await?;
    let text = paper(&world, &isp, guests).await?;
    ensure!(text.contains("pay bill 174379, account"), "{text}");

    // A bank's paybill in its place, whose account is longer than M-Pesa shows.
    owner
        .call(Method::DELETE, &format!("/payment-gateways/{till}"), None)
        .await?;
    let mut other = json!({"subType": "BANK", "shortcode": "522522", "accountNumber": "0112345678901234567890",
        "forHotspot": false, "forPppoe": true});
    add(&isp, &mut other).await?;
    let said = "pay bill 522522, account 01123456789012345678";
    let coded =
        format!("M-PESA pay bill 522522 account 01123456789012345678 amount 1234.5 {homes}");
    says(&world, &isp, homes, said, &coded).await?;
    world.stop().await
}

async fn bill(isp: &Provider, customer: &str) -> Result<String> {
    let bill = json!({"customerId": customer, "amount": 1234.5, "dueDate": "2027-01-20",
        "items": [{"description": "Cable", "amount": 1234.5}]});
    id_of(&isp.owner.post("/finance/invoices", &bill).await?)
}

async fn add(isp: &Provider, gateway: &mut Value) -> Result<String> {
    for (key, value) in [
        ("type", "MPESA_API"),
        ("consumerKey", "key"),
        ("consumerSecret", "secret"),
        ("passkey", "passkey"),
        ("env", "sandbox"),
    ] {
        gateway[key] = json!(value);
    }
    id_of(&isp.owner.post("/payment-gateways", gateway).await?)
}

fn id_of(made: &Value) -> Result<String> {
    Ok(made["id"].as_str().context("an id")?.to_owned())
}

pub(crate) async fn paper(world: &World, isp: &Provider, invoice: &str) -> Result<String> {
    let path = format!("http://{}/api/finance/invoices/{invoice}/pdf", world.api());
    let answer = http_client().get(path).bearer_auth(isp.owner.token());
    Ok(answer.send().await?.error_for_status()?.text().await?)
}

async fn says(world: &World, isp: &Provider, invoice: &str, said: &str, coded: &str) -> Result<()> {
    let text = paper(world, isp, invoice).await?;
    let said = format!("(Pay by M-Pesa: {said})");
    ensure!(text.contains(&said), "{said} is not in {text}");
    assert_eq!(codes(&text)?, [coded]);
    Ok(())
}

/// Neither a word nor a code of it.
pub(crate) async fn says_nothing(world: &World, isp: &Provider, invoice: &str) -> Result<()> {
    let text = paper(world, isp, invoice).await?;
    ensure!(!text.contains("M-Pesa"), "{text}");
    assert_eq!(codes(&text)?, Vec::<String>::new());
    Ok(())
}

/// What another program than ours reads in the codes on the pages of a document, page by page: each page is looked at as a
/// camera would, a point of paper for a point of the picture.
pub(crate) fn codes(pdf: &str) -> Result<Vec<String>> {
    const WIDTH: usize = 595;
    const HEIGHT: usize = 842;

    let mut read = Vec::new();
    for page in pdf.split("\nstream\n").skip(1) {
        let (page, _) = page.split_once("endstream").context("its end")?;
        let mut dark = vec![false; WIDTH * HEIGHT];
        for boxed in page.lines().filter_map(|line| line.strip_suffix(" re f")) {
            let numbers: Vec<usize> = boxed.split(' ').map(str::parse).collect::<Result<_, _>>()?;
            let [x, y, width, height] = numbers[..] else {
                anyhow::bail!("{boxed} is no box");
            };
            for row in y..y + height {
                dark[row * WIDTH + x..][..width].fill(true);
            }
        }
        // The first row of a picture is the highest.
        let light = |x: usize, y: usize| match dark[(HEIGHT - 1 - y) * WIDTH + x] {
            true => 0,
            false => 255,
        };
        let mut seen = rqrr::PreparedImage::prepare_from_greyscale(WIDTH, HEIGHT, light);
        for code in seen.detect_grids() {
            read.push(code.decode()?.1);
        }
    }
    Ok(read)
}
