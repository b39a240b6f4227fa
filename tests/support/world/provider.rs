//! An internet provider in a world: an owner at the API, a package, customers.

use anyhow::{Context, Result};
use easyisp_cloud::audit::Actor;
use easyisp_cloud::tenants;
use easyisp_shared::id::TenantId;
use easyisp_shared::time::Timestamp;
use serde_json::Value;

use super::{World, eventually};
use crate::operator::Operator;

/// The password of every owner.
pub const PASSWORD: &str = "a long story password";

/// An internet provider.
pub struct Provider {
    /// The owner, signed in.
    pub owner: Operator,
    /// 10 Mbit/s for a calendar month, 1000 KES, two devices.
    pub package: String,
    name: String,
}

impl Provider {
    /// Signs a provider up who sells one package.
    pub async fn sign_up(world: &World, name: &str) -> Result<Provider> {
        let email = format!("owner@{name}.example");
        let owner = Operator::register(world.api(), name, &email, PASSWORD).await?;
        let package = owner.add_package("Home 10", 10, 1000, 2).await?;
        Ok(Provider {
            owner,
            package,
            name: name.to_owned(),
        })
    }

    /// Somebody who signed up otherwise and sells this package.
    pub fn of(owner: Operator, package: &str) -> Provider {
        Provider {
            owner,
            package: package.to_owned(),
            name: String::new(),
        }
    }

    /// The same, and he takes M-Pesa.
    pub async fn with_paybill(world: &World, name: &str) -> Result<Provider> {
        let provider = Provider::sign_up(world, name).await?;
        provider.owner.add_paybill().await?;
        Ok(provider)
    }

    /// His id.
    pub async fn tenant(&self) -> Result<TenantId> {
        let me = self.owner.get("/tenant/me").await?;
        Ok(me["id"].as_str().context("a tenant's id")?.parse()?)
    }

    /// Makes him a subscriber of the platform for good: a trial ends after a week.
    pub async fn subscribe(&self, world: &World) -> Result<()> {
        let mut tx = world.db().begin(self.tenant().await?).await?;
        tenants::activate_without_end(&mut tx, &Actor::system(), world.clock.now())
            .await
            .map_err(|error| error.into_cause())?;
        Ok(tx.commit().await?)
    }

    /// The owner's address at the sign-in.
    pub fn email(&self) -> String {
        format!("owner@{}.example", self.name)
    }

    /// Signs up a subscriber whose password is his name.
    pub async fn add_subscriber(
        &self,
        name: &str,
        phone: &str,
        until: Timestamp,
    ) -> Result<String> {
        let package = &self.package;
        let until = until.to_string();
        self.owner.add_customer(name, package, phone, &until).await
    }

    /// A customer as the API shows him.
    pub async fn customer(&self, id: &str) -> Result<Value> {
        self.owner.get(&format!("/customers/{id}")).await
    }

    /// Waits until a customer looks like that at the API.
    pub async fn customer_becomes(
        &self,
        id: &str,
        what: &str,
        like: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(what, async || {
            Ok(Some(self.customer(id).await?).filter(|customer| like(customer)))
        })
        .await
    }

    /// The sessions of a user at the API, the newest first.
    pub async fn sessions_of(&self, user: &str) -> Result<Vec<Value>> {
        let path = format!("/sessions?page=1&pageSize=200&search={user}");
        let mut answer = self.owner.get(&path).await?;
        let sessions = answer["sessions"].take();
        serde_json::from_value(sessions).context("a list of sessions")
    }

    /// Waits until the API shows a session with this Acct-Session-Id that looks like that.
    pub async fn session_becomes(
        &self,
        user: &str,
        session: &str,
        what: &str,
        like: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        eventually(what, async || {
            let sessions = self.sessions_of(user).await?;
            let mut fitting = sessions
                .into_iter()
                .filter(|row| row["sessionId"] == session && like(row));
            Ok(fitting.next())
        })
        .await
    }

    /// Asks a customer's phone for money; returns the checkout request id.
    pub async fn ask_to_pay(&self, customer: &str, amount: u32) -> Result<String> {
        self.owner.ask_to_pay(customer, amount).await
    }
}
