//! What an operator looks at and changes by hand at a router.

use std::net::IpAddr;
use std::time::Duration;

use easyisp_shared::wire::router::{
    InterfaceV1, LeaseV1, LogLineV1, NeighbourV1, PingV1, QueueV1, QueueWishV1, SystemV1, WatchV1,
};
use easyisp_shared::wire::up::PoolV1;

use super::calls::Answer;
use super::connection::ApiError;
use super::sentence::{Command, Row};
use super::{RouterApis, codec, live};
use crate::site::Router;

impl RouterApis {
    /// How a router is, with all it tells of itself.
    pub async fn system(&self, router: &Router, within: Duration) -> Result<SystemV1, ApiError> {
        let (resource, identity, board, health) = tokio::join!(
            self.ask(router, live::resource(), within),
            self.ask(router, live::identity(), within),
            self.rows(router, live::board(), within),
            self.rows(router, live::health(), within),
        );
        let resource = resource?;
        let resource = resource.rows.first();
        let resource = resource.ok_or(ApiError::Protocol(codec::CodecError::NoReply))?;
        Ok(live::read_system(
            resource,
            &identity?.rows,
            &board?,
            &health?,
        ))
    }

    /// Gives the login by which the agent comes in another password.
    pub async fn change_password(
        &self,
        router: &Router,
        old: &str,
        new: &str,
        within: Duration,
    ) -> Result<(), ApiError> {
        let command = Command::new("/password")
            .with("old-password", old)
            .with("new-password", new)
            .with("confirm-new-password", new);
        self.ask_once(router, command, within).await.map(|_| ())
    }

    /// Its interfaces; of those that last, also what goes through them now.
    pub async fn interfaces(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<Vec<InterfaceV1>, ApiError> {
        let answer = self.ask(router, live::interfaces(), within).await?;
        let rows = answer.rows.iter();
        let mut interfaces: Vec<InterfaceV1> = rows.filter_map(live::read_interface).collect();
        interfaces.sort_by_key(|interface| interface.dynamic);
        let lasting = interfaces
            .iter()
            .filter(|one| !one.dynamic && !one.disabled);
        if let Some(rates) = live::rates(lasting.map(|one| one.name.as_str())) {
            // What goes through is good to know; without it the list still is.
            for row in self.rows(router, rates, within).await? {
                let Some((name, rates)) = live::read_rates(&row) else {
                    continue;
                };
                if let Some(one) = interfaces.iter_mut().find(|one| one.name == name) {
                    (one.rx_bps, one.tx_bps) = (Some(rates.up_bps), Some(rates.down_bps));
                }
            }
        }
        Ok(interfaces)
    }

    /// Its simple queues: those that somebody made before those of sessions.
    pub async fn queues(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<Vec<QueueV1>, ApiError> {
        let answer = self.ask(router, live::queues(None), within).await?;
        let mut queues: Vec<QueueV1> = answer.rows.iter().filter_map(live::read_queue).collect();
        queues.sort_by_key(|queue| queue.dynamic);
        Ok(queues)
    }

    /// Adds a simple queue; gives what the router made of it.
    pub async fn add_queue(
        &self,
        router: &Router,
        wish: &QueueWishV1,
        within: Duration,
    ) -> Result<QueueV1, ApiError> {
        let added = self.ask_once(router, live::add_queue(wish), within).await?;
        let id = added.done.text("ret").unwrap_or_default().to_owned();
        let queue = self.queue(router, &id, within).await?;
        queue.ok_or(ApiError::Protocol(codec::CodecError::NoReply))
    }

    /// Changes a simple queue; `None` when there is none of this id.
    pub async fn change_queue(
        &self,
        router: &Router,
        id: &str,
        wish: &QueueWishV1,
        within: Duration,
    ) -> Result<Option<QueueV1>, ApiError> {
        match self.ask(router, live::change_queue(id, wish), within).await {
            Ok(_) => self.queue(router, id, within).await,
            Err(ApiError::Refused(trap)) if trap.is_missing_item() => Ok(None),
            Err(cause) => Err(cause),
        }
    }

    /// Removes a simple queue; `false` when there is none of this id.
    pub async fn remove_queue(
        &self,
        router: &Router,
        id: &str,
        within: Duration,
    ) -> Result<bool, ApiError> {
        match self.ask(router, live::remove_queue(id), within).await {
            Ok(_) => Ok(true),
            Err(ApiError::Refused(trap)) if trap.is_missing_item() => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// One simple queue as it is.
    pub async fn queue(
        &self,
        router: &Router,
        id: &str,
        within: Duration,
    ) -> Result<Option<QueueV1>, ApiError> {
        let answer = self.ask(router, live::queues(Some(id)), within).await?;
        Ok(answer.rows.first().and_then(live::read_queue))
    }

    /// The last lines of its log, the newest last.
    pub async fn log(
        &self,
        router: &Router,
        most: usize,
        within: Duration,
    ) -> Result<Vec<LogLineV1>, ApiError> {
        let rows = self.rows(router, live::log(), within).await?;
        let skipped = rows.len().saturating_sub(most.min(MOST_LINES));
        Ok(rows.iter().skip(skipped).map(live::read_log).collect())
    }

    /// Its pools of addresses, and how many of each are given out.
    pub async fn pools(&self, router: &Router, within: Duration) -> Result<Vec<PoolV1>, ApiError> {
        let (pools, used) = tokio::try_join!(
            self.rows(router, live::pools(), within),
            self.rows(router, live::pools_used(), within),
        )?;
        Ok(live::read_pools(&pools, &used))
    }

    /// Its DHCP leases.
    pub async fn leases(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<Vec<LeaseV1>, ApiError> {
        let rows = self.rows(router, live::leases(), within).await?;
        Ok(rows.iter().map(live::read_lease).collect())
    }

    /// The devices around it.
    pub async fn neighbours(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<Vec<NeighbourV1>, ApiError> {
        let rows = self.rows(router, live::neighbours(), within).await?;
        Ok(rows.iter().map(live::read_neighbour).collect())
    }

    /// What it watches itself.
    pub async fn netwatch(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<Vec<WatchV1>, ApiError> {
        let rows = self.rows(router, live::netwatch(), within).await?;
        Ok(rows.iter().map(live::read_watch).collect())
    }

    /// Pings somebody from there.
    pub async fn ping(
        &self,
        router: &Router,
        address: IpAddr,
        count: u8,
        within: Duration,
    ) -> Result<PingV1, ApiError> {
        let answer = self.ask(router, live::ping(address, count), within).await?;
        Ok(live::read_ping(&answer.rows))
    }

    /// Starts it anew. It may say so, or just be gone.
    pub async fn reboot(&self, router: &Router, within: Duration) -> Result<(), ApiError> {
        match self.ask_once(router, live::reboot(), within).await {
            Ok(Answer { .. }) | Err(ApiError::Closed(_)) => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// The rows of a menu; none where the router has no such menu.
    pub(super) async fn rows(
        &self,
        router: &Router,
        command: Command,
        within: Duration,
    ) -> Result<Vec<Row>, ApiError> {
        match self.ask(router, command, within).await {
            Ok(answer) => Ok(answer.rows),
            Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(Vec::new()),
            Err(cause) => Err(cause),
        }
    }
}

/// Of a log; a list is cut where it is answered, and that is said.
const MOST_LINES: usize = 500;
