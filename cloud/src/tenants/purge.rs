//! A tenant that was deleted thirty days ago goes for good: its books to a file, then its rows.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::ensure;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use sha2::{Digest, Sha256};
use tokio::fs;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use super::store::platform;
use crate::audit::{self, Action, Actor, Audit};
use crate::db::Database;
use crate::ledger;

/// The kind of the job that purges a deleted tenant; its subject is the tenant.
pub const PURGE: &str = "tenants.purge";

/// How long a deleted tenant's rows stay.
pub const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// Where purged tenants' books are, in the data folder.
pub const FOLDER: &str = "purged";

/// Rows that one transaction removes at most.
const AT_ONCE: i64 = 500;
/// Transactions in a row before other work has its turn: a job's lease is a minute.
const TURNS: u32 = 20;
const BREATH: Duration = Duration::from_secs(1);
/// By when what was written last is chained.
const SEALED: Duration = Duration::from_secs(30);

/// Writes the books to `folder` and removes some rows; returns when to go on, `None` when nothing is left.
///
/// The file is there, whole and on disk, before the first row goes; cut off half-way it goes on where it was.
pub async fn purge(
    db: &Database,
    folder: &Path,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let cutoff = now.minus(KEPT);
    if !platform::is_deleted(db, tenant, cutoff).await? {
        return Ok(None);
    }
    if !ledger::is_sealed(db, tenant).await? {
        return Ok(Some(now.plus(SEALED)));
    }
    export(db, folder, tenant).await?;
    platform::begin_purge(db, tenant, now).await?;
    for _ in 0..TURNS {
        if platform::purge(db, tenant, cutoff, AT_ONCE).await? == 0 {
            finish(db, folder, tenant, now).await?;
            tracing::info!(tenant.id = %tenant, "Tenant {tenant} was purged");
            return Ok(None);
        }
    }
    Ok(Some(now.plus(BREATH)))
}

/// Notes that nothing of a tenant is left and tells the platform's trail, with where its books are: its own trail is in
/// these. Both or neither, and once, however often the job comes here.
async fn finish(
    db: &Database,
    folder: &Path,
    tenant: TenantId,
    now: Timestamp,
) -> anyhow::Result<()> {
    let mut directory = db.directory().await?;
    let platform = super::store::platform(&mut directory).await?;
    drop(directory);
    let digest = digest(&books(folder, tenant)).await?;
    let mut tx = db.begin(platform.unwrap_or(tenant)).await?;
    let first = platform::note_purged(&mut tx, tenant, now).await?;
    if first && platform.is_some() {
        let (name, file) = (tenant.to_string(), books(Path::new(FOLDER), tenant));
        let line = Audit {
            details: format!(
                "Nothing of it is left but its books: {}, SHA-256 {digest}",
                file.display()
            ),
            ..Audit::new(Action::TenantPurge, "tenant", tenant, &name)
        };
        audit::record(&mut tx, &Actor::system(), line, now).await?;
    }
    Ok(tx.commit().await?)
}

/// The SHA-256 of a file, read piece by piece.
async fn digest(path: &Path) -> anyhow::Result<String> {
    let mut file = fs::File::open(path).await?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&piece[..read]),
        }
    }
}

/// Where a purged tenant's books are: one line of JSON for every row of the chain.
pub fn books(folder: &Path, tenant: TenantId) -> PathBuf {
    folder.join(format!("{tenant}.jsonl"))
}

async fn export(db: &Database, folder: &Path, tenant: TenantId) -> anyhow::Result<()> {
    let whole = books(folder, tenant);
    if fs::try_exists(&whole).await? {
        return Ok(());
    }
    ensure!(!platform::is_begun(db, tenant).await?, "{}", gone(tenant));
    fs::create_dir_all(folder).await?;
    // What is left of tries that were cut off holds his books too.
    let mut there = fs::read_dir(folder).await?;
    while let Some(file) = there.next_entry().await? {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&tenant.to_string()) && name.ends_with(".part") {
            fs::remove_file(file.path()).await?;
        }
    }
    // Another one that does the same work, after a long silence of this one, writes to a file of its own.
    let part = whole.with_extension(format!("{}.part", Uuid::from_bytes(db.entropy().bytes())));
    let written = write(db, &part, tenant).await;
    let kept = match written {
        // Once the first row went there is no whole file any more: who is slower never replaces one.
        Ok(()) => match fs::hard_link(&part, &whole).await {
            Err(cause) if cause.kind() == ErrorKind::AlreadyExists => Ok(()),
            linked => Ok(linked?),
        },
        Err(cause) => Err(cause),
    };
    // Where it stays the next try takes it away; why this one failed counts.
    let _stays = fs::remove_file(&part).await;
    kept?;
    // The name as well must be on disk before what it stands for goes.
    fs::File::open(folder).await?.sync_all().await?;
    Ok(())
}

/// Writes the books to a new file and has it on disk; an error where they are not whole.
async fn write(db: &Database, part: &Path, tenant: TenantId) -> anyhow::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(part)
        .await?;
    let mut books = ledger::Export::begin(db, tenant).await?;
    let mut lines = 0;
    while let Some(text) = books.next(db).await? {
        lines += text.lines().count();
        file.write_all(text.as_bytes()).await?;
    }
    // Numbers have no gaps. Nothing at all is whole as well: a tenant that never did anything.
    let wanted = usize::try_from(books.lines()).unwrap_or(usize::MAX);
    ensure!(
        lines == wanted && !platform::is_begun(db, tenant).await?,
        "{}: {lines} of {wanted} lines are left",
        gone(tenant)
    );
    file.flush().await?;
    file.sync_all().await?;
    Ok(())
}

fn gone(tenant: TenantId) -> String {
    format!(
        "the books of {tenant} went already, in part. They are in the data folder of the node that began to purge it \
         ({FOLDER}/{tenant}.jsonl): copy that file into this node's"
    )
}
