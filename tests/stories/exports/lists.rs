//! Every list as a file, by its own route.

use anyhow::{Context, Result};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, World};
use reqwest::StatusCode;
use serde_json::json;

use super::{answer, text};

fn table(text: &str) -> Result<(Vec<String>, Vec<Vec<String>>)> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let columns = reader.headers()?.iter().map(str::to_owned).collect();
    let rows = reader
        .records()
        .map(|row| Ok(row?.iter().map(str::to_owned).collect()));
    Ok((columns, rows.collect::<Result<_>>()?))
}

/// All pages of a list are in its file, once, in its order, as it is filtered; amounts as they are, formulas as text. It
/// stands in the trail, and whoever may not see the list gets no file of it.
#[tokio::test(flavor = "multi_thread")]
async fn any_list_is_a_file() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "lists").await?;
    let owner = &isp.owner;
    for n in 0..450 {
        let income = json!({"customerName": format!("=Payer {n:03}"), "amount": 10.1, "method": "Cash",
            "description": if n % 9 == 0 { "Cable" } else { "Router" }});
        owner.post("/finance/income", &income).await?;
    }
    let (columns, rows) = table(&text(&world, owner, "/finance/income?format=csv").await?)?;
    let column = |name: &str| {
        let place = columns.iter().position(|column| column == name);
        place.with_context(|| format!("{name} in {columns:?}"))
    };
    assert_eq!(rows.len(), 450);
    let (name, amount) = (column("customer")?, column("amount")?);
    let mut names: Vec<&String> = rows.iter().map(|row| &row[name]).collect();
    assert!(
        names.iter().all(|name| name.starts_with("'=Payer ")),
        "{names:?}"
    );
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 450);
    assert!(
        rows.iter().all(|row| row[amount] == "10.1"),
        "{:?}",
        rows[0]
    );
    let cables = text(
        &world,
        owner,
        "/finance/income?format=csv&search=cable&page=1&pageSize=2",
    )
    .await?;
    assert_eq!(table(&cables)?.1.len(), 50);

    // A list without pages; several lists in one answer; a workbook; nothing.
    let (_, accounts) = table(&text(&world, owner, "/finance/accounts?format=csv").await?)?;
    assert!(accounts.len() >= 19, "{accounts:?}");
    let (columns, _) = table(&text(&world, owner, "/finance/profit-and-loss?format=csv").await?)?;
    assert_eq!(columns[0], "list", "{columns:?}");
    let book = answer(&world, owner, "/finance/trial-balance?format=xlsx").await?;
    let named = book.headers()["content-disposition"].to_str()?.to_owned();
    assert!(
        named.contains("finance-trial-balance-lists-") && named.ends_with(".xlsx\""),
        "{named}"
    );
    let bytes = book.bytes().await?;
    assert!(bytes.starts_with(b"PK"), "{:?}", &bytes[..8]);
    let none = text(&world, owner, "/vouchers?format=csv").await?;
    assert_eq!(table(&none)?.1.len(), 0);

    let one = answer(&world, owner, "/tenant/me?format=csv").await?;
    assert_eq!(one.status(), StatusCode::BAD_REQUEST);
    let trail = owner.get("/audit-logs?action=LIST_EXPORT").await?;
    assert!(
        trail.to_string().contains("finance-income, 450 rows"),
        "{trail}"
    );

    let person = json!({"name": "Viewer", "email": "viewer@lists.example", "password": PASSWORD, "role": "FIELD_TECH"});
    owner.post("/tenant/operators", &person).await?;
    let tech = Operator::login(world.api(), "viewer@lists.example", PASSWORD).await?;
    let barred = answer(&world, &tech, "/finance/income?format=csv").await?;
    assert_eq!(barred.status(), StatusCode::FORBIDDEN);
    // An hour later the password is to be shown again.
    world.clock.advance(std::time::Duration::from_secs(3600));
    let stale = answer(&world, owner, "/finance/income?format=csv").await?;
    assert_eq!(stale.status(), StatusCode::FORBIDDEN);
    world.stop().await
}
