//! Anybody can check the books with nothing of ours but a file and the script in the README.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use easyisp_tests::operator::Operator;
use easyisp_tests::world::{PASSWORD, Provider, World, eventually};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::exports::text;
use crate::words::DAY;

/// What the owner exports proves, rows of somebody who was erased too; one changed cent, one changed word, a row that
/// is missing and a blanked row that somebody wrote into are found, each by its row.
#[tokio::test(flavor = "multi_thread")]
async fn the_script_in_the_readme_checks_an_export() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::with_paybill(&world, "savanna").await?;
    let yesterday = world.clock.now().minus(DAY);
    let jane = isp
        .add_subscriber("jane", "254712345601", yesterday)
        .await?;
    let gone = isp
        .add_subscriber("wanjiku", "254712345602", yesterday)
        .await?;
    for amount in [400, 600] {
        let recharge = json!({"amount": amount, "description": "Zahlung „bar“ \u{1F4B5}"});
        for customer in [&jane, &gone] {
            let path = format!("/customers/{customer}/recharge");
            isp.owner.post(&path, &recharge).await?;
        }
    }
    isp.owner.confirm().await?;
    let erase = format!("/customers/{gone}/erase");
    let wish = json!({"reason": "Asked by letter of 2 May", "confirm": "wanjiku"});
    isp.owner.post(&erase, &wish).await?;
    sealed(&world, &isp).await?;

    let books = text(&world, &isp.owner, "/finance/books/export").await?;
    let folder = TempDir::new()?;
    let said = checked(folder.path(), &books).await?;
    let rows = books.lines().count();
    let stdout = String::from_utf8_lossy(&said.stdout);
    ensure!(said.status.success(), "{said:?}");
    assert!(
        stdout.starts_with(&format!("{rows} rows prove")),
        "{stdout}"
    );
    let blanked = |line: &&str| !line.contains("\"redactions\": null");
    assert!(books.lines().filter(blanked).count() > 1, "{books}");

    let number = |wanted: &dyn Fn(&str) -> bool| {
        let line = books.lines().position(wanted);
        line.map(|line| line + 1).context("such a row")
    };
    let paid = number(&|line| line.contains("\"amount\": 40000"))?;
    let cent = books.replacen("\"amount\": 40000", "\"amount\": 40001", 1);
    let said_in_words = number(&|line| line.contains("\u{1F4B5}"))?;
    let word = books.replacen('\u{1F4B5}', "\u{1F4B0}", 1);
    let missing = books.split_once('\n').context("two rows")?.1.to_owned();
    let empty = number(&|line| {
        line.contains("\"description\": \"\"") && !line.contains("\"redactions\": null")
    })?;
    let mut written: Vec<String> = books.lines().map(str::to_owned).collect();
    written[empty - 1] =
        written[empty - 1].replacen("\"description\": \"\"", "\"description\": \"x\"", 1);
    for (what, changed, row) in [
        ("a cent", cent, paid),
        ("a word", word, said_in_words),
        ("a row", missing, 1),
        ("what was blanked", written.join("\n"), empty),
    ] {
        let said = checked(folder.path(), &changed).await?;
        let stderr = String::from_utf8_lossy(&said.stderr);
        assert!(!said.status.success(), "{what} is not noticed");
        assert!(stderr.contains(&format!("row {row},")), "{what}: {stderr}");
    }

    // Nobody but the owner, and in the trail.
    let email = "clerk@savanna.example";
    let clerk = json!({"name": "Clerk", "email": email, "password": PASSWORD, "role": "ADMIN"});
    isp.owner.post("/tenant/operators", &clerk).await?;
    let clerk = Operator::login(world.api(), email, PASSWORD).await?;
    let (status, told) = clerk
        .call(reqwest::Method::GET, "/finance/books/export", None)
        .await?;
    assert_eq!(
        (status.as_u16(), &told["code"]),
        (403, &json!("OWNER_ONLY"))
    );
    let trail = isp.owner.get("/audit-logs?action=BOOKS_EXPORT").await?;
    assert_eq!(trail["logs"].as_array().map(Vec::len), Some(1), "{trail}");
    world.stop().await
}

/// Runs the script exactly as it stands in the README.
pub(crate) async fn checked(folder: &Path, books: &str) -> Result<Output> {
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme)?;
    let script = readme.split_once("```python\n").context("a script")?.1;
    let script = script.split_once("```").context("its end")?.0;
    ensure!(script.lines().count() <= 30, "it is to be short");
    let (program, file) = (folder.join("check.py"), folder.join("books.jsonl"));
    std::fs::write(&program, script)?;
    std::fs::write(&file, books)?;
    let python = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/python/bin/python");
    let run = Command::new(python).arg(&program).arg(&file).output().await;
    run.context("Python: tests/prepare installs it")
}

pub(crate) async fn sealed(world: &World, isp: &Provider) -> Result<()> {
    let tenant = isp.tenant().await?;
    eventually("everything is sealed", async || {
        world.clock.advance(std::time::Duration::from_secs(1));
        let sealed = easyisp_cloud::ledger::is_sealed(world.db(), tenant).await?;
        Ok(sealed.then_some(()))
    })
    .await
}
