//! Customers are found by their phone, in whatever form it was typed, and in whatever form it is looked for.

use anyhow::Result;
use easyisp_tests::world::{Provider, World};

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
        ("0733", vec![]),
    ] {
        let path =
            format!("/customers?page=1&pageSize=10&search={typed}&sortBy=name&sortOrder=asc");
        let listed = isp.owner.get(&path).await?;
        let names: Vec<&str> = listed["customers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|customer| customer["username"].as_str())
            .collect();
        assert_eq!(names, found, "{typed}: {listed}");
    }
    isp.owner.confirm().await?;
    let file = text(&world, &isp.owner, "/customers/export?search=254712").await?;
    assert_eq!(file.lines().count(), 3, "{file}");
    world.stop().await
}
