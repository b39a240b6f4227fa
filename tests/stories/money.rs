//! What stories about money begin with: a tenant with books, a site, packages and customers.

use std::sync::Arc;

use anyhow::Result;
use easyisp_cloud::db::{BoxFuture, Database, Kind, Projection, Projectors, Tx};
use easyisp_cloud::ledger::{self, Scope, verify};
use easyisp_shared::account::AccountNumber;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{CustomerId, PackageId, SiteId, TenantId};
use easyisp_shared::money::Cents;
use easyisp_shared::time::Timestamp;
use easyisp_tests::database::{FreshDatabase, fresh_database};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// A database of the story's own and how the server sees it.
pub struct Books {
    pub fresh: FreshDatabase,
    pub db: Database,
}

/// 2026-01-31 12:00 in Nairobi.
pub fn noon() -> Timestamp {
    at("2026-01-31T09:00:00Z")
}

pub fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("an instant")
}

pub async fn given_books() -> Result<Books> {
    let fresh = fresh_database().await?;
    let db = connect(fresh.app(), 20).await?;
    Ok(Books { fresh, db })
}

/// The database as the server sees it, with a projection of customers that is as small as can be.
pub async fn connect(options: PgConnectOptions, connections: u32) -> Result<Database> {
    fn subscribers<'a>(
        tx: &'a mut Tx,
        ids: &'a [Uuid],
    ) -> BoxFuture<'a, sqlx::Result<Vec<Projection>>> {
        Box::pin(async move {
            let rows: Vec<(Uuid, SiteId, Timestamp)> =
                sqlx::query_as("select id, site_id, paid_until from customers where id = any($1)")
                    .bind(ids)
                    .fetch_all(&mut **tx)
                    .await?;
            let project = |(id, site, paid_until): (Uuid, SiteId, Timestamp)| {
                let body = paid_until.to_string().into_bytes();
                Projection { id, site, body }
            };
            Ok(rows.into_iter().map(project).collect())
        })
    }
    let projectors = Projectors::default().with(Kind::Subscriber, Arc::new(subscribers));
    Ok(Database::connect(options, connections, Entropy::system(), projectors).await?)
}

/// A customer of a tenant with a package, paid until a moment ago.
#[derive(Clone, Copy, Debug)]
pub struct Subscriber {
    pub tenant: TenantId,
    pub site: SiteId,
    pub package: PackageId,
    pub customer: CustomerId,
}

impl Books {
    /// A tenant in Nairobi with the chart of accounts.
    pub async fn given_tenant(&self) -> Result<TenantId> {
        self.given_tenant_called("books").await
    }

    /// One more of them.
    pub async fn given_tenant_called(&self, slug: &str) -> Result<TenantId> {
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
             values ($1, $3, 'Books', 'owner@books.isp', 'ACTIVE', 'Africa/Nairobi', 'KES', $2, $2)",
        )
        .bind(tenant)
        .bind(noon())
        .bind(slug)
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

    /// A site of a tenant.
    pub async fn given_site(&self, tenant: TenantId) -> Result<SiteId> {
        self.given_site_called(tenant, "Main site").await
    }

    /// One more of them.
    pub async fn given_site_called(&self, tenant: TenantId, name: &str) -> Result<SiteId> {
        let site = SiteId::new(noon(), self.db.entropy());
        let mut tx = self.db.begin(tenant).await?;
        sqlx::query(
            "insert into sites (tenant_id, id, name, key_sealed, created_at, updated_at)
             values ($1, $2, $4, '', $3, $3)",
        )
        .bind(tenant)
        .bind(site)
        .bind(noon())
        .bind(name)
        .execute(&mut *tx)
        .await?;
        sqlx::query("insert into site_counters (tenant_id, site_id) values ($1, $2)")
            .bind(tenant)
            .bind(site)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(site)
    }

    /// A PPPoE package for a calendar month.
    pub async fn given_package(&self, tenant: TenantId, price: Cents) -> Result<PackageId> {
        let package = PackageId::new(noon(), self.db.entropy());
        let mut tx = self.db.begin(tenant).await?;
        sqlx::query(
            "insert into packages (tenant_id, id, name, type, price, download_mbps, upload_mbps,
                                   period_count, period_unit, created_at, updated_at)
             values ($1, $2, $3, 'PPPOE', $4, 10, 10, 1, 'MONTHS', $5, $5)",
        )
        .bind(tenant)
        .bind(package)
        .bind(format!("Home {package}"))
        .bind(price)
        .bind(noon())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(package)
    }

    /// A customer with phone 0712345678, paid until noon of 2026-01-31.
    pub async fn given_customer(
        &self,
        tenant: TenantId,
        site: SiteId,
        package: PackageId,
    ) -> Result<CustomerId> {
        let entropy = self.db.entropy();
        let customer = CustomerId::new(noon(), entropy);
        let number = AccountNumber::nth(entropy.below(AccountNumber::COUNT));
        let number: i32 = number.to_string().parse()?;
        let mut tx = self.db.begin(tenant).await?;
        sqlx::query(
            "insert into customers (tenant_id, id, account_number, site_id, username, password_sealed,
                                    name, phone, phone_number, connection_type, standing, package_id,
                                    paid_until, created_at, updated_at)
             values ($1, $2, $3, $4, $5, '', 'Jane', '0712345678', '254712345678', 'PPPOE', 'ACTIVE', $6,
                     $7, $8, $8)",
        )
        .bind(tenant)
        .bind(customer)
        .bind(number)
        .bind(site)
        .bind(format!("jane-{customer}"))
        .bind(package)
        .bind(noon())
        .bind(at("2025-12-31T09:00:00Z"))
        .execute(&mut *tx)
        .await?;
        ledger::open_wallet(&mut tx, customer, noon()).await?;
        tx.commit().await?;
        Ok(customer)
    }

    /// A customer with everything around him, whose package costs 1000.
    pub async fn given_subscriber(&self) -> Result<Subscriber> {
        let tenant = self.given_tenant().await?;
        let site = self.given_site(tenant).await?;
        let package = self.given_package(tenant, Cents::whole(1_000)).await?;
        let customer = self.given_customer(tenant, site, package).await?;
        Ok(Subscriber {
            tenant,
            site,
            package,
            customer,
        })
    }

    /// What the verifier finds wrong with a tenant's books.
    pub async fn findings(&self, tenant: TenantId) -> Result<Vec<String>> {
        let report = verify(&self.db, Scope::Tenant(tenant), &mut |_| {}).await?;
        Ok(report
            .findings
            .into_iter()
            .map(|finding| finding.what)
            .collect())
    }

    /// What is in a wallet.
    pub async fn balance(&self, tenant: TenantId, customer: CustomerId) -> Result<Cents> {
        let balance: Option<Cents> = self
            .one(
                tenant,
                "select balance from wallets where customer_id = $1",
                customer,
            )
            .await?;
        Ok(balance.unwrap_or_default())
    }

    /// The paid end.
    pub async fn paid_until(&self, tenant: TenantId, customer: CustomerId) -> Result<Timestamp> {
        let paid_until = self
            .one(
                tenant,
                "select paid_until from customers where id = $1",
                customer,
            )
            .await?;
        Ok(paid_until.expect("a customer"))
    }

    /// How many rows a table has for a customer.
    pub async fn count(&self, subscriber: Subscriber, sql: &'static str) -> Result<i64> {
        let count = self
            .one(subscriber.tenant, sql, subscriber.customer)
            .await?;
        Ok(count.expect("a count"))
    }

    async fn one<T>(
        &self,
        tenant: TenantId,
        sql: &'static str,
        customer: CustomerId,
    ) -> Result<Option<T>>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut tx = self.db.begin(tenant).await?;
        let found = sqlx::query_scalar(sql)
            .bind(customer)
            .fetch_optional(&mut *tx)
            .await?;
        Ok(found)
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
