//! What stories about money begin with: a tenant with books, a site, packages and customers.

use anyhow::Result;
use easyisp_cloud::db::{Database, Projectors};
use easyisp_cloud::ledger;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_tests::database::{FreshDatabase, fresh_database};
use sqlx::{Connection, PgConnection};

/// A database of the story's own and how the server sees it.
pub struct Books {
    pub fresh: FreshDatabase,
    pub db: Database,
}

/// 2026-01-31 12:00 in Nairobi.
pub fn noon() -> Timestamp {
    Timestamp::parse("2026-01-31T09:00:00Z").expect("an instant")
}

pub async fn given_books() -> Result<Books> {
    let fresh = fresh_database().await?;
    let db = Database::connect(fresh.app(), 20, Entropy::system(), Projectors::default()).await?;
    Ok(Books { fresh, db })
}

impl Books {
    /// A tenant in Nairobi with the chart of accounts.
    pub async fn given_tenant(&self) -> Result<TenantId> {
        let tenant = TenantId::new(noon(), self.db.entropy());
        let mut tx = self.db.begin(tenant).await?;
        sqlx::query("insert into directory.tenants (tenant_id, created_at) values ($1, $2)")
            .bind(tenant)
            .bind(noon())
            .execute(&mut *tx)
            .await?;
        sqlx::query(
            "insert into tenants (tenant_id, slug, business_name, email, status, time_zone, currency,
                                  created_at, updated_at)
             values ($1, 'books', 'Books', 'owner@books.isp', 'ACTIVE', 'Africa/Nairobi', 'KES', $2, $2)",
        )
        .bind(tenant)
        .bind(noon())
        .execute(&mut *tx)
        .await?;
        ledger::seed_accounts(&mut tx, noon()).await?;
        tx.commit().await?;
        Ok(tenant)
    }

    /// Somebody with a wallet; the books need no more of him.
    pub fn given_party(&self) -> CustomerId {
        CustomerId::new(noon(), self.db.entropy())
    }

    /// Does what nobody may: as the owner of the tables, with row security and triggers out of the way.
    pub async fn tamper(&self, tenant: TenantId, sql: &'static str) -> Result<u64> {
        let mut owner = PgConnection::connect_with(&self.fresh.owner()).await?;
        sqlx::query("select set_config('app.tenant', $1::text, false)")
            .bind(tenant.to_string())
            .execute(&mut owner)
            .await?;
        let touched = sqlx::query(sql).execute(&mut owner).await?.rows_affected();
        owner.close().await?;
        Ok(touched)
    }
}
