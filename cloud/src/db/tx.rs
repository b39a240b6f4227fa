//! A transaction of one tenant.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::TenantId;
use sqlx::{PgConnection, Postgres, Transaction};
use uuid::Uuid;

use super::{Database, Kind, feed, numbering};

/// A transaction that sees one tenant's rows and remembers what agents must be told.
///
/// Use as `&mut **tx` where sqlx wants an executor.
pub struct Tx {
    db: Database,
    tenant: TenantId,
    inner: Transaction<'static, Postgres>,
    changed: BTreeSet<(Kind, Uuid)>,
}

impl Tx {
    pub(super) fn new(db: Database, tenant: TenantId, inner: Transaction<'static, Postgres>) -> Tx {
        Tx {
            db,
            tenant,
            inner,
            changed: BTreeSet::new(),
        }
    }

    /// Whose rows are visible.
    pub fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// Where new ids and keys get their randomness.
    pub fn entropy(&self) -> Entropy {
        self.db.entropy().clone()
    }

    /// Notes that agents must learn the new state of this thing (or that it is gone).
    ///
    /// The transaction must hold the lock under which everything that the thing's projection reads is
    /// changed, taken before it read what it decides by: for customers, packages, routers and commands
    /// their own row (`for update`, or an update of it), also for what a child table holds of them; for
    /// what each site knows, [`crate::sites::stand_still`] as well. The state is projected at
    /// [`Tx::commit`]: of two transactions that change one thing without that lock, each projects what the
    /// other has not committed yet, and the feed keeps the half that was written last.
    pub fn changed(&mut self, kind: Kind, id: impl Into<Uuid>) {
        self.changed.insert((kind, id.into()));
    }

    /// Writes the feeds of what changed, commits, and wakes the agents concerned.
    ///
    /// Site counters are the transaction's last locks, taken in site order. Where another commit of the tenant has them,
    /// the feeds are written right behind this one (`numbering.rs`): an error means that nothing was committed, and
    /// success that the sites have the news, or have it within a second.
    pub async fn commit(mut self) -> sqlx::Result<()> {
        let changed = std::mem::take(&mut self.changed);
        if changed.is_empty() {
            return self.inner.commit().await;
        }
        let (db, tenant) = (self.db.clone(), self.tenant);
        let may_wait = numbering::may_wait(&changed);
        let writing = db.numbering().write(tenant, may_wait);
        let written = match &writing {
            Some(_) => feed::write(&mut self, &changed, true).await?,
            None => None,
        };
        match written {
            Some(sites) => {
                self.inner.commit().await?;
                drop(writing);
                db.wakes().committed(&sites);
            }
            None => {
                drop(writing);
                numbering::note(&mut self, &changed).await?;
                self.inner.commit().await?;
                db.numbered(tenant).await;
            }
        }
        Ok(())
    }

    /// Commits what it wrote, as it is.
    pub(super) async fn end(self) -> sqlx::Result<()> {
        self.inner.commit().await
    }

    /// Undoes everything, now rather than at drop.
    pub async fn rollback(self) -> sqlx::Result<()> {
        self.inner.rollback().await
    }

    pub(super) fn database(&self) -> Database {
        self.db.clone()
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}

impl std::fmt::Debug for Tx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tx({})", self.tenant)
    }
}
