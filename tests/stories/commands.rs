//! What an administrator types: the program itself proves the books and writes them down.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::id::TenantId;
use easyisp_tests::database::FreshDatabase;
use easyisp_tests::world::{Provider, World};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use uuid::Uuid;

use crate::big_books::psql;
use crate::exported_books::{checked, sealed};
use crate::words::DAY;

/// Books that prove end with 0; one changed cent ends with 1 and names its row and whose it is, and another provider's books
/// prove on. What is exported is checked by the README's script, before and after; nobody's file is written over, and a
/// tenant that there is not is no tenant without faults.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_proves_the_books_and_writes_them_down() -> Result<()> {
    let world = World::start().await?;
    let isp = Provider::sign_up(&world, "savanna").await?;
    let other = Provider::sign_up(&world, "other").await?;
    for provider in [&isp, &other] {
        let yesterday = world.clock.now().minus(DAY);
        let jane = provider
            .add_subscriber("jane", "254712345601", yesterday)
            .await?;
        let recharge = json!({"amount": 400});
        let path = format!("/customers/{jane}/recharge");
        provider.owner.post(&path, &recharge).await?;
        sealed(&world, provider).await?;
    }
    let (mine, theirs) = (isp.tenant().await?, other.tenant().await?);
    let folder = world.folder().join("administrator");
    let script = folder.join("script");
    std::fs::create_dir_all(&script)?;
    let key = world.folder().join("cloud/keys/master.key");
    let program = Program::over(&world.database, &folder, &key)?;

    let proved = program.says(0, &["verify-ledger"]).await?;
    assert!(
        proved.starts_with("2 tenants,") && proved.contains(" 0 findings"),
        "{proved}"
    );
    let file = folder.join("books.jsonl");
    let name = file.to_str().context("a path")?;
    let tenant = mine.to_string();
    let export = ["export-ledger", "--tenant", &tenant, "--output", name];
    program.says(0, &export).await?;
    let books = std::fs::read_to_string(&file)?;
    let rows = books.lines().count();
    let checks = checked(&script, &books).await?;
    let said = String::from_utf8_lossy(&checks.stdout);
    ensure!(
        checks.status.success() && said.starts_with(&format!("{rows} rows prove")),
        "{checks:?}"
    );
    let printed = program
        .says(0, &["export-ledger", "--tenant", &tenant])
        .await?;
    assert_eq!(printed, books);

    let entry = change_a_cent(&world, mine).await?;
    let wrong = program.says(1, &["verify-ledger"]).await?;
    let named = format!("tenant {mine}: ");
    let line = wrong
        .lines()
        .find(|line| line.contains(&format!("entry {entry}")));
    assert!(
        line.is_some_and(|line| line.starts_with(&named) && line.contains("was changed")),
        "{wrong}"
    );
    assert!(!wrong.contains(&format!("tenant {theirs}: ")), "{wrong}");
    let wrong = program
        .says(1, &["verify-ledger", "--tenant", &tenant])
        .await?;
    assert!(
        wrong.contains(&entry.to_string()) && wrong.contains("\n1 tenants,"),
        "{wrong}"
    );
    let proved = program
        .says(0, &["verify-ledger", "--tenant", &theirs.to_string()])
        .await?;
    assert!(proved.starts_with("1 tenants,"), "{proved}");

    // What is written down then proves no more, and what was written before stays.
    let refused = program.run(&export).await?;
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&file)?, books);
    let changed = program
        .says(0, &["export-ledger", "--tenant", &tenant])
        .await?;
    let place = changed
        .lines()
        .position(|line| line.contains(&format!("\"id\": \"{entry}\"")));
    let row = place.context("the entry's row")? + 1;
    let checks = checked(&script, &changed).await?;
    let said = String::from_utf8_lossy(&checks.stderr);
    ensure!(
        !checks.status.success() && said.contains(&format!("row {row},")),
        "{checks:?}"
    );

    let nobody = Uuid::nil().to_string();
    for command in ["verify-ledger", "export-ledger"] {
        let said = program.run(&[command, "--tenant", &nobody]).await?;
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        let why = String::from_utf8_lossy(&said.stderr);
        assert!(why.contains("there is no tenant"), "{why}");
        assert!(said.stdout.is_empty(), "{said:?}");
    }
    let wrong = program.run(&["verify-ledger", "--tenant", "acme"]).await?;
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    world.stop().await
}

/// One cent of a tenant's first payment, at a prompt of the database; the entry it is of.
async fn change_a_cent(world: &World, tenant: TenantId) -> Result<Uuid> {
    let mut tx = world.db().begin(tenant).await?;
    let entry: Uuid = sqlx::query_scalar(
        "select entry_id from transfers where tenant_id = $1 and amount = 40000 and line = 1",
    )
    .bind(tenant)
    .fetch_one(&mut *tx)
    .await?;
    drop(tx);
    let cent =
        format!("update transfers set amount = amount + 1 where entry_id = '{entry}' and line = 1");
    psql(&world.database, &cent)?;
    Ok(entry)
}

/// Names a release build of the program; `tests/run --full` makes one.
const SHIPPED: &str = "EASYISP_TEST_PROGRAM";

/// The program, over a database of a test's.
pub(crate) struct Program {
    configuration: PathBuf,
}

impl Program {
    /// With its folder here, and this master key.
    pub(crate) fn over(database: &FreshDatabase, folder: &Path, key: &Path) -> Result<Program> {
        let (url, migrate_url) = database.urls();
        let text = format!(
            "data_dir = {folder:?}\n\
             [keys]\nmaster_key_file = {key:?}\n\
             [database]\nurl = \"{url}\"\nmigrate_url = \"{migrate_url}\"\n"
        );
        let configuration = folder.join("cloud.toml");
        std::fs::write(&configuration, text)?;
        Ok(Program { configuration })
    }

    /// Whether it is a release build: what takes so long in another says nothing.
    pub(crate) fn is_shipped(&self) -> bool {
        std::env::var_os(SHIPPED).is_some()
    }

    fn command(&self) -> Command {
        let built = OsString::from(env!("CARGO_BIN_EXE_cloud"));
        let mut command = Command::new(std::env::var_os(SHIPPED).unwrap_or(built));
        // It refuses variables that it does not know, and the tests have some.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EASYISP_") {
                command.env_remove(name);
            }
        }
        command
            .arg("--config")
            .arg(&self.configuration)
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command().args(arguments).output().await;
        output.context("starting the program")
    }

    /// What it prints, when it ends with this code.
    async fn says(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = self.run(arguments).await?;
        ensure!(output.status.code() == Some(code), "{output:?}");
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs it to its end; the most memory that it had, in KiB, looked at ten times a second.
    pub(crate) async fn measured(&self, arguments: &[String]) -> Result<(Output, u64)> {
        let mut child = self
            .command()
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let status = format!("/proc/{}/status", child.id().context("it runs")?);
        let (mut stdout, mut stderr) = (
            child.stdout.take().context("piped")?,
            child.stderr.take().context("piped")?,
        );
        let reading = tokio::spawn(async move {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            tokio::try_join!(stdout.read_to_end(&mut out), stderr.read_to_end(&mut err))?;
            std::io::Result::Ok((out, err))
        });
        let mut most = 0;
        let mut looks = tokio::time::interval(Duration::from_millis(100));
        let ended = loop {
            tokio::select! {
                ended = child.wait() => break ended?,
                _ = looks.tick() => most = most.max(peak_kib(&status).unwrap_or(0)),
            }
        };
        let (stdout, stderr) = reading.await??;
        ensure!(most > 0, "its memory was never seen");
        let output = Output {
            status: ended,
            stdout,
            stderr,
        };
        Ok((output, most))
    }
}

/// The most that a process ever had; `None` once it has ended.
fn peak_kib(status: &str) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
