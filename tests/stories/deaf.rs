//! The cloud's own line, address or certificate fails for hours while every site serves on: nobody is repaid for that.

use std::time::Duration;

use anyhow::Result;
use easyisp_cloud::outages;
use easyisp_shared::id::{AgentId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;

use crate::money::{Books, given_books, noon};
use crate::words::{HOUR, MINUTE};

struct Country {
    books: Books,
    places: Vec<(TenantId, SiteId)>,
}

impl Country {
    /// Six sites of three tenants.
    async fn given() -> Result<Country> {
        let books = given_books().await?;
        let mut places = Vec::new();
        for slug in ["north", "south", "west"] {
            let tenant = books.given_tenant_called(slug).await?;
            for name in ["Hill", "Valley"] {
                let site = books.given_site_called(tenant, name).await?;
                let mut tx = books.db.begin(tenant).await?;
                sqlx::query(
                    "insert into agents (tenant_id, id, site_id, fingerprint, enrolled_at) values ($1, $2, $3, '', $4)",
                )
                .bind(tenant)
                .bind(AgentId::new(noon(), books.db.entropy()))
                .bind(site)
                .bind(noon())
                .execute(&mut *tx)
                .await?;
                tx.commit().await?;
                places.push((tenant, site));
            }
        }
        Ok(Country { books, places })
    }

    async fn heard(&self, which: &[usize], at: Timestamp) -> Result<()> {
        for (tenant, site) in which.iter().map(|place| self.places[*place]) {
            let mut tx = self.books.db.begin(tenant).await?;
            sqlx::query("update agents set last_seen_at = $2 where site_id = $1")
                .bind(site)
                .bind(at)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
        }
        Ok(())
    }

    /// Looks every five minutes, at each tenant at a time of its own, while these are heard.
    async fn pass(&self, from: Timestamp, time: Duration, heard: &[usize]) -> Result<Timestamp> {
        let (mut now, to) = (from, from.plus(time));
        while now < to {
            self.heard(heard, now).await?;
            outages::watch(&self.books.db, self.places[0].0, now).await?;
            outages::watch(&self.books.db, self.places[2].0, now.plus(2 * MINUTE)).await?;
            outages::watch(&self.books.db, self.places[4].0, now.plus(3 * MINUTE)).await?;
            now = now.plus(5 * MINUTE);
        }
        Ok(now)
    }

    /// How many outages there are at each place.
    async fn outages(&self) -> Result<Vec<i64>> {
        let mut found = Vec::new();
        for (tenant, site) in &self.places {
            let mut tx = self.books.db.begin(*tenant).await?;
            let count =
                sqlx::query_scalar("select count(*) from outages where site_id = $1").bind(site);
            found.push(count.fetch_one(&mut *tx).await?);
        }
        Ok(found)
    }
}

#[tokio::test]
async fn the_clouds_own_outage_is_nobodys() -> Result<()> {
    let country = Country::given().await?;
    let all = [0, 1, 2, 3, 4, 5];
    let now = country.pass(noon(), HOUR, &all).await?;
    let now = country.pass(now, 3 * HOUR, &[]).await?;
    assert_eq!(country.outages().await?, [0; 6], "they served on");

    // One of them does not come back: it is silent from when the cloud hears again.
    let now = country.pass(now, 2 * HOUR, &all[1..]).await?;
    assert_eq!(country.outages().await?, [1, 0, 0, 0, 0, 0]);
    let mut tx = country.books.db.begin(country.places[0].0).await?;
    let began: Timestamp = sqlx::query_scalar("select began_at from outages")
        .fetch_one(&mut *tx)
        .await?;
    assert!(began >= now.minus(2 * HOUR + 5 * MINUTE), "{began}");
    Ok(())
}

/// Half the country is dark: that is no fault of the cloud.
#[tokio::test]
async fn an_outage_of_some_is_found_as_ever() -> Result<()> {
    let country = Country::given().await?;
    let now = country.pass(noon(), HOUR, &[0, 1, 2, 3, 4, 5]).await?;
    country.pass(now, HOUR, &[0, 3, 5]).await?;
    assert_eq!(country.outages().await?, [0, 1, 1, 0, 1, 0]);
    Ok(())
}
