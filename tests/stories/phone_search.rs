//! Customers are found by their phone, in whatever form it was typed, and in whatever form it is looked for; and by parts
//! of their words.

use anyhow::Result;
use easyisp_tests::world::{Provider, World};
use reqwest::Method;
use serde_json::json;

use crate::exports::text;

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_found_in_every_form_of_it() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "phones").await?;
    let until = world.clock.now();
    isp.add_subscriber("amina", "0712345601", until).await?;
    isp.add_subscriber("baraka", "254712345602", until).await?;
    isp.add_subscriber("chege", "0799000111", until).await?;
    for (typed, found) in [
        ("0712345601", vec!["amina"]),
        ("254712345601", vec!["amina"]),
        ("%2B254712345601", vec!["amina"]),
        ("0712%20345%20602", vec!["baraka"]),
        ("0712", vec!["amina", "baraka"]),
        ("254799", vec!["chege"]),
        ("12345602", vec!["baraka"]),
        ("5602", vec!["baraka"]),
        ("345%20601", vec!["amina"]),
        ("0733", vec![]),
    ] {
        let path =
            format!("/customers?page=1&pageSize=10&search={typed}&sortBy=name&sortOrder=asc");
        let listed = isp.owner.get(&path).await?;
        assert_eq!(usernames(&listed), found, "{typed}: {listed}");
    }
    isp.owner.confirm().await?;
    let file = text(&world, &isp.owner, "/customers/export?search=254712").await?;
    assert_eq!(file.lines().count(), 3, "{file}");
    world.stop().await
}

/// Each word that is looked for stands in one of his, and they follow what becomes of him: another name, another phone,
/// gone and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_customer_is_found_by_parts_of_his_words() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "words").await?;
    let owner = &isp.owner;
    let until = world.clock.now();
    isp.add_subscriber("amina", "0712345601", until).await?;
    let made = json!({"username": "grace.w_7", "password": "secret-word", "connectionType": "PPPOE",
        "name": "Grace  Wanjiru-Kamau", "email": "Gk@Home.example", "phone": "shop 9"});
    let grace = owner.post("/customers", &made).await?;
    let path = format!("/customers/{}", grace["id"].as_str().unwrap_or_default());
    let account = grace["accountNumber"].to_string().replace('"', "");
    finds(
        &isp,
        &[
            "GRA",
            "wanj",
            "kamau",
            "wanjiru-k",
            "gra%20kam",
            "kam%20gr",
            "w_7",
            "race",
            "JIRU-ka",
            "rac%20njiru",
            "e.w",
        ],
        true,
    )
    .await?;
    finds(&isp, &["gk@home", "shop", &account], true).await?;
    finds(
        &isp,
        &[
            "grace%20amina",
            "racee",
            "grace%20x",
            "gr_ce",
            "gr%25",
            "home",
            "%5C",
        ],
        false,
    )
    .await?;

    let other = json!({"name": "Neema", "phone": "0799000111"});
    owner.put(&path, &other).await?;
    finds(
        &isp,
        &["neema", "eem", "0799", "0111", "990", "grace.w"],
        true,
    )
    .await?;
    finds(&isp, &["wanj", "njiru", "kamau", "shop"], false).await?;
    owner.confirm().await?;
    let (gone, answer) = owner.call(Method::DELETE, &path, None).await?;
    assert!(gone.is_success(), "{answer}");
    finds(&isp, &["neema", "0799", "grace.w"], false).await?;
    owner.post(&format!("{path}/restore"), &json!({})).await?;
    finds(&isp, &["neema", "0799", "grace.w"], true).await?;
    world.stop().await
}

/// Whether each of these finds Grace and nobody else, or nobody at all.
async fn finds(isp: &Provider, typed: &[&str], found: bool) -> Result<()> {
    let expected: &[&str] = if found { &["grace.w_7"] } else { &[] };
    for typed in typed {
        let listed = isp.owner.get(&format!("/customers?search={typed}")).await?;
        assert_eq!(usernames(&listed), expected, "{typed}: {listed}");
        assert_eq!(listed["total"], json!(expected.len()), "{typed}");
    }
    Ok(())
}

fn usernames(listed: &serde_json::Value) -> Vec<&str> {
    let customers = listed["customers"].as_array().into_iter().flatten();
    customers
        .filter_map(|customer| customer["username"].as_str())
        .collect()
}
