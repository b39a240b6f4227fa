//! Money that payers send to the platform's own short code by themselves: whose it is, and the way there.
//!
//! The short code stands as a hidden gateway in the platform's own tenant (`mpesa/central.rs`), so that its door, its
//! secrets and its questions are those of any other. What comes there is no money of the platform's: the account that
//! was typed is unique on the platform and names the tenant. Where the platform collects for him, the report goes on
//! into his inbox and is worked on as if it had come there; what names nobody is kept (`strays.rs`).

use std::net::IpAddr;

use easyisp_shared::id::{GatewayId, InboxId, TenantId};
use easyisp_shared::time::Timestamp;

use super::arrival::Arrival;
use super::inbox::{self, RESCUE};
use super::mpesa::c2b;
use super::mpesa::confirmation::read_confirmation;
use super::owner::Keys;
use super::settle::Then;
use super::store::strays::{self, Central, Word};
use super::store::{self, Kind, Report};
use super::{Payments, Source};
use crate::customers;
use crate::renewals::RenewError;

/// Whose money it is.
enum Whose {
    /// This tenant's, through the platform's gateway of his.
    Tenant(TenantId, GatewayId),
    /// A person gave it to this account number.
    Given(i32),
    /// Nobody's that is known.
    Nobodys,
}

impl Payments {
    /// Works on one confirmation of the platform's short code: the report goes on to whose it is, under its own id, and
    /// is emptied here. Whoever does it twice finds it there.
    pub(super) async fn hand_on(
        &self,
        platform: TenantId,
        id: InboxId,
        report: &Report,
        now: Timestamp,
    ) -> Result<Then, RenewError> {
        let Some(gateway) = report.gateway_id else {
            return Ok(Then::Rest);
        };
        let told = match read_confirmation(&report.body) {
            Ok(told) => told,
            Err(why) => return c2b::done(self, platform, id, &why.to_string(), now).await,
        };
        let Some(central) = self.central_at(platform, gateway).await? else {
            return Ok(Then::Rest);
        };
        let listed = report
            .source
            .parse::<IpAddr>()
            .is_ok_and(|address| self.source(address) == Source::Listed);
        let is_believed = listed && told.shortcode == central.shortcode;
        // Whoever knows the secret of this door could name anybody's customer, of any provider: what he says is for a person
        // of the platform.
        let whose = match is_believed {
            true => self.whose(platform, &central, &told.arrival).await?,
            false => Whose::Nobodys,
        };
        if let Whose::Given(number) = whose {
            self.book_given(&central, number, &told.arrival, now)
                .await?;
        }
        let (outcome, then) = match &whose {
            Whose::Tenant(tenant, gateway) => {
                let handed = Report {
                    gateway_id: Some(*gateway),
                    kind: Kind::C2bConfirmation,
                    ..report.clone()
                };
                let mut tx = self.db.begin(*tenant).await?;
                store::keep(&mut tx, id, &handed, now.plus(RESCUE), now).await?;
                tx.commit().await?;
                ("handed on", Some((*tenant, handed)))
            }
            Whose::Given(_) => ("a person of the platform gave it to somebody", None),
            Whose::Nobodys => ("a stray payment", None),
        };
        let mut tx = self.db.begin(platform).await?;
        if store::take(&mut tx, id, now).await?.is_some() {
            if let Whose::Nobodys = whose {
                let word = match is_believed {
                    true => Word::Told,
                    false => Word::Held,
                };
                strays::keep(&mut tx, &central.code, &told.arrival, word, now).await?;
            }
            strays::empty(&mut tx, id, outcome).await?;
            tx.commit().await?;
        }
        if let Some((tenant, handed)) = then {
            let then = c2b::work(self, tenant, id, &handed, now).await;
            inbox::follow(self, tenant, id, then, now).await;
        }
        Ok(Then::Rest)
    }

    /// Books money that M-Pesa says has moved to the platform's short code for whom it is, or keeps it as nobody's.
    pub(super) async fn place(
        &self,
        platform: TenantId,
        gateway: GatewayId,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<(), RenewError> {
        let Some(central) = self.central_at(platform, gateway).await? else {
            return Ok(());
        };
        match self.whose(platform, &central, arrival).await? {
            Whose::Tenant(tenant, gateway) => {
                self.book_one(tenant, gateway, arrival, None, now).await?;
            }
            Whose::Given(number) => self.book_given(&central, number, arrival, now).await?,
            Whose::Nobodys => {
                let mut tx = self.db.begin(platform).await?;
                strays::keep(&mut tx, &central.code, arrival, Word::Asked, now).await?;
                tx.commit().await?;
            }
        }
        Ok(())
    }

    /// Books money for whom a person gave it to, unless it is booked: what he was given on nobody's word is proved by it.
    async fn book_given(
        &self,
        central: &Central,
        number: i32,
        arrival: &Arrival,
        now: Timestamp,
    ) -> Result<(), RenewError> {
        let arrival = given_to(number, arrival.clone());
        if let Some((tenant, gateway)) = self.collected_for(central, number).await? {
            self.book_one(tenant, gateway, &arrival, None, now).await?;
        }
        Ok(())
    }

    async fn central_at(
        &self,
        platform: TenantId,
        gateway: GatewayId,
    ) -> sqlx::Result<Option<Central>> {
        let mut tx = self.db.begin(platform).await?;
        strays::central(&mut tx, gateway).await
    }

    /// By what a person said of it, else by the account number that was typed, of money that the provider says came. What a
    /// person said of what was nobody's word gives way to what was typed.
    async fn whose(
        &self,
        platform: TenantId,
        central: &Central,
        arrival: &Arrival,
    ) -> sqlx::Result<Whose> {
        let mut tx = self.db.begin(platform).await?;
        let given = strays::assigned(&mut tx, &arrival.receipt).await?;
        drop(tx);
        if let Some((number, Word::Asked | Word::Told)) = given {
            return Ok(Whose::Given(number));
        }
        let typed = match Keys::of(arrival).account {
            Some(number) => self.collected_for(central, number).await?,
            None => None,
        };
        Ok(match (typed, given) {
            (Some((tenant, gateway)), _) => Whose::Tenant(tenant, gateway),
            (None, Some((number, _))) => Whose::Given(number),
            (None, None) => Whose::Nobodys,
        })
    }

    /// Whose customer has this account number, where the platform collects for him.
    async fn collected_for(
        &self,
        central: &Central,
        number: i32,
    ) -> sqlx::Result<Option<(TenantId, GatewayId)>> {
        let Some(tenant) = customers::of_account(&self.db, number).await? else {
            return Ok(None);
        };
        let mut tx = self.db.begin(tenant).await?;
        let gateway = strays::collected_at(&mut tx, &central.code).await?;
        Ok(gateway.map(|gateway| (tenant, gateway)))
    }
}

/// The same as if this account number had been typed. What was typed stays where it names that number: two letters after it
/// say of which prompt it is the payment.
pub(super) fn given_to(number: i32, arrival: Arrival) -> Arrival {
    match Keys::of(&arrival).account == Some(number) {
        true => arrival,
        false => Arrival {
            reference: number.to_string(),
            ..arrival
        },
    }
}
