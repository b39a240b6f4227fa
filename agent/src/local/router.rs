//! Questions about one router: what it says now, by its API or over SNMP.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::firmware::FirmwareAskV1;
use easyisp_shared::wire::monitor::{PortFactV1, PortSampleV1, SensorFactV1, SensorUnit};
use easyisp_shared::wire::question::{AskFailure, Reply, fitting};
use easyisp_shared::wire::router::{
    InterfaceV1, IssuedV1, RouterAsk, RouterTold, RowsOf, SnmpReadingV1, SystemV1,
};
use easyisp_shared::wire::setup::SetupAskV1;
use serde::Serialize;

use super::Questions;
use crate::radius::radsec;
use crate::routeros::ApiError;
use crate::sessions::Service;
use crate::site::Router;

impl Questions {
    /// Asks one router.
    pub(super) async fn router(
        &self,
        router: RouterId,
        ask: RouterAsk,
        within: Duration,
    ) -> Result<Reply, AskFailure> {
        let held = self.enforcer.site().router(router);
        let held = held.ok_or(AskFailure::NotFound)?;
        // A switch has no API, and need not have one to be looked at.
        let only_snmp = held.api.is_none() && self.enforcer.site().monitored(router).is_some();
        let told = match ask {
            RouterAsk::Snmp => RouterTold::Snmp(Box::new(self.snmp(router, within).await?)),
            RouterAsk::System if only_snmp => {
                let read = self.snmp(router, within).await?;
                RouterTold::System(Box::new(system(&read)))
            }
            RouterAsk::Interfaces if only_snmp => {
                let read = self.snmp(router, within).await?;
                RouterTold::Interfaces(interfaces(&read))
            }
            RouterAsk::Certificate => RouterTold::Certificate(Box::new(self.certificate(router)?)),
            RouterAsk::Secret => RouterTold::Secret(held.secret_in_use()),
            RouterAsk::EndOutside { username } => {
                let ended = self.end_outside(&held, &username, within).await?;
                RouterTold::Ended { ended }
            }
            RouterAsk::Configuration => {
                let read = self.keeper.now(&held, within).await.map_err(failure)?;
                RouterTold::Configuration(Box::new(read))
            }
            RouterAsk::Rows { of, from } => {
                let told = match of {
                    RowsOf::Interfaces if only_snmp => {
                        let read = self.snmp(router, within).await?;
                        RouterTold::Interfaces(interfaces(&read))
                    }
                    _ => self.api(&held, whole(of), within).await?, // a list of its API
                };
                let all = u32::try_from(rows(&told)).unwrap_or(u32::MAX);
                let told = Box::new(from_row(told, from as usize));
                RouterTold::Rows { told, all }
            }
            other => self.api(&held, other, within).await?,
        };
        Ok(Reply::Router(from_row(told, 0)))
    }

    /// Takes off the router's list who is online there under a name and is no session of ours; how many.
    async fn end_outside(
        &self,
        router: &Arc<Router>,
        username: &[u8],
        within: Duration,
    ) -> Result<u32, AskFailure> {
        let each = within / 3;
        let told = self.reconciler.name(router, username, each).await;
        let outside = told.map_err(failure)?.outside;
        let listed = self.apis.active(router, Some(username), each).await;
        let mut ended = 0;
        for line in listed.map_err(failure)? {
            let is_meant = outside.iter().any(|one| {
                one.username == line.name
                    && one.framed_ip == line.address
                    && one.mac == line.mac
                    && one.hotspot == (line.service == Service::Hotspot)
            });
            if is_meant {
                let removed = self.apis.remove(router, &line, each).await;
                removed.map_err(failure)?;
                ended += 1;
            }
        }
        Ok(ended)
    }

    fn certificate(&self, router: RouterId) -> Result<IssuedV1, AskFailure> {
        let authority = self.radsec.as_ref().ok_or_else(|| {
            let why = "its box does not answer by RadSec: set [radius] radsec there";
            AskFailure::Refused(why.to_owned())
        })?;
        let failed = |cause: &dyn std::fmt::Display| AskFailure::Refused(cause.to_string());
        let leaf = radsec::certificate_for(authority, router, self.enforcer.now())
            .map_err(|cause| failed(&cause))?;
        let (_, named) = radsec::read(&leaf.certificate)
            .ok_or_else(|| failed(&"the certificate cannot be read"))?;
        Ok(IssuedV1 {
            named,
            certificate: leaf.certificate_pem(),
            key: leaf.key_pem().to_string(),
            authority: authority.certificate_pem(),
        })
    }

    async fn snmp(&self, router: RouterId, within: Duration) -> Result<SnmpReadingV1, AskFailure> {
        match tokio::time::timeout(within, self.poller.now(router)).await {
            Ok(Ok(Some(reading))) => Ok(reading),
            Ok(Ok(None)) => Err(AskFailure::Refused(
                "SNMP is not set up for this router".to_owned(),
            )),
            Ok(Err(cause)) => Err(AskFailure::Unreachable(cause.to_string())),
            Err(_) => Err(AskFailure::TimedOut),
        }
    }

    async fn api(
        &self,
        router: &Arc<Router>,
        ask: RouterAsk,
        within: Duration,
    ) -> Result<RouterTold, AskFailure> {
        let apis = &self.apis;
        if changes(&ask) {
            self.keeper.changes(router.id);
        }
        let told = match ask {
            RouterAsk::System => {
                let told = apis.system(router, within).await;
                told.map(|told| RouterTold::System(Box::new(told)))
            }
            RouterAsk::Interfaces => apis
                .interfaces(router, within)
                .await
                .map(RouterTold::Interfaces),
            RouterAsk::Queues => apis.queues(router, within).await.map(RouterTold::Queues),
            RouterAsk::AddQueue(wish) => apis
                .add_queue(router, &wish, within)
                .await
                .map(RouterTold::Queue),
            RouterAsk::ChangeQueue { id, wish } => {
                self.may_change(router, &id, within).await?;
                match apis.change_queue(router, &id, &wish, within).await {
                    Ok(queue) => Ok(RouterTold::Queue(queue.ok_or_else(|| no_queue(&id))?)),
                    Err(cause) => Err(cause),
                }
            }
            RouterAsk::RemoveQueue { id } => {
                self.may_change(router, &id, within).await?;
                match apis.remove_queue(router, &id, within).await {
                    Ok(true) => Ok(RouterTold::Done),
                    Ok(false) => return Err(no_queue(&id)),
                    Err(cause) => Err(cause),
                }
            }
            RouterAsk::Log { most } => apis
                .log(router, usize::from(most), within)
                .await
                .map(RouterTold::Log),
            RouterAsk::Leases => apis.leases(router, within).await.map(RouterTold::Leases),
            RouterAsk::Neighbours => apis
                .neighbours(router, within)
                .await
                .map(RouterTold::Neighbours),
            RouterAsk::Netwatch => apis
                .netwatch(router, within)
                .await
                .map(RouterTold::Netwatch),
            RouterAsk::Ping { address, count } => {
                let count = count.clamp(1, MOST_PINGS);
                let pinged = apis.ping(router, address, count, within).await;
                pinged.map(RouterTold::Pinged)
            }
            RouterAsk::Reboot => apis.reboot(router, within).await.map(|()| RouterTold::Done),
            RouterAsk::Setup(ask) => apis
                .set_up(router, ask, within)
                .await
                .map(RouterTold::Setup),
            RouterAsk::AddressPlan => apis
                .address_plan(router, within)
                .await
                .map(RouterTold::AddressPlan),
            RouterAsk::Compare(wanted) => {
                let found = apis.drift(router, &wanted, within).await;
                found.map(|found| RouterTold::Drift(Box::new(found)))
            }
            RouterAsk::Repair(wanted) => {
                let left = apis.repair(router, &wanted, within).await;
                left.map(|left| RouterTold::Drift(Box::new(left)))
            }
            RouterAsk::Firmware(ask) => apis.firmware(router, ask, within).await,
            RouterAsk::Pages(pages) => apis
                .pages(router, &pages, within)
                .await
                .map(RouterTold::Pages),
            // Not by the API.
            RouterAsk::Snmp
            | RouterAsk::Certificate
            | RouterAsk::Configuration
            | RouterAsk::Rows { .. }
            | RouterAsk::EndOutside { .. }
            | RouterAsk::Secret => {
                return Err(AskFailure::NotUnderstood);
            }
        };
        told.map_err(failure)
    }

    /// A queue that a session made goes with it, and RouterOS lets nobody change it.
    async fn may_change(
        &self,
        router: &Arc<Router>,
        id: &str,
        within: Duration,
    ) -> Result<(), AskFailure> {
        let queue = self.apis.queue(router, id, within).await.map_err(failure)?;
        match queue {
            None => Err(no_queue(id)),
            Some(queue) if queue.dynamic => Err(AskFailure::Refused(format!(
                "the queue {} belongs to a session: change the customer's package, or end the session",
                queue.name
            ))),
            Some(_) => Ok(()),
        }
    }
}

/// The question for all of a list.
fn whole(of: RowsOf) -> RouterAsk {
    match of {
        RowsOf::Interfaces => RouterAsk::Interfaces,
        RowsOf::Queues => RouterAsk::Queues,
        RowsOf::Leases => RouterAsk::Leases,
        RowsOf::Neighbours => RouterAsk::Neighbours,
        RowsOf::Netwatch => RouterAsk::Netwatch,
    }
}

/// How many rows a list has.
fn rows(told: &RouterTold) -> usize {
    match told {
        RouterTold::Interfaces(rows) => rows.len(),
        RouterTold::Queues(rows) => rows.len(),
        RouterTold::Leases(rows) => rows.len(),
        RouterTold::Neighbours(rows) => rows.len(),
        RouterTold::Netwatch(rows) => rows.len(),
        _ => 0, // no list
    }
}

/// What an answer holds of a list, from a row on.
fn from_row(told: RouterTold, from: usize) -> RouterTold {
    match told {
        RouterTold::Interfaces(rows) => RouterTold::Interfaces(part(rows, from)),
        RouterTold::Queues(rows) => RouterTold::Queues(part(rows, from)),
        RouterTold::Leases(rows) => RouterTold::Leases(part(rows, from)),
        RouterTold::Neighbours(rows) => RouterTold::Neighbours(part(rows, from)),
        RouterTold::Netwatch(rows) => RouterTold::Netwatch(part(rows, from)),
        other => other, // no list
    }
}

fn part<T: Serialize>(mut rows: Vec<T>, from: usize) -> Vec<T> {
    let mut rows = rows.split_off(from.min(rows.len()));
    rows.truncate(fitting(&rows).min(MOST_ROWS));
    rows
}

/// Whether it makes the router's configuration another one.
fn changes(ask: &RouterAsk) -> bool {
    match ask {
        RouterAsk::AddQueue(_)
        | RouterAsk::ChangeQueue { .. }
        | RouterAsk::RemoveQueue { .. }
        | RouterAsk::Repair(_)
        // Another release writes down other things of the same.
        | RouterAsk::Firmware(FirmwareAskV1::Install { .. } | FirmwareAskV1::Board)
        | RouterAsk::Setup(
            SetupAskV1::Apply(_)
            | SetupAskV1::Restore(_)
            | SetupAskV1::Guard(_)
            | SetupAskV1::CallOff(_),
        ) => true,
        RouterAsk::Setup(
            SetupAskV1::Look(_)
            | SetupAskV1::Save { .. }
            | SetupAskV1::Check(_)
            | SetupAskV1::Uplinks,
        )
        | RouterAsk::System
        | RouterAsk::Interfaces
        | RouterAsk::Queues
        | RouterAsk::Log { .. }
        | RouterAsk::Leases
        | RouterAsk::Neighbours
        | RouterAsk::Netwatch
        | RouterAsk::Ping { .. }
        | RouterAsk::Reboot
        | RouterAsk::Snmp
        | RouterAsk::AddressPlan
        | RouterAsk::Compare(_)
        | RouterAsk::Firmware(
            FirmwareAskV1::Look | FirmwareAskV1::Check { .. } | FirmwareAskV1::Download,
        )
        | RouterAsk::Certificate
        | RouterAsk::Rows { .. }
        | RouterAsk::EndOutside { .. }
        | RouterAsk::Secret
        | RouterAsk::Pages(_)
        | RouterAsk::Configuration => false,
    }
}

fn no_queue(id: &str) -> AskFailure {
    AskFailure::Refused(format!("there is no queue {id} at this router (any more)"))
}

/// A reading over SNMP as the API would tell it.
fn system(read: &SnmpReadingV1) -> SystemV1 {
    let (facts, sample) = (&read.facts, &read.sample);
    let free = |total: Option<u64>, used: Option<u64>| {
        total
            .zip(used)
            .map(|(total, used)| total.saturating_sub(used))
    };
    let told = |text: &Option<String>| text.clone().unwrap_or_default();
    let sensor = |(fact, milli): (&SensorFactV1, &Option<i64>)| {
        let milli = (*milli)?;
        let (unit, scale) = match fact.unit {
            SensorUnit::Celsius => ("C", 1000.0),
            SensorUnit::Rpm => ("RPM", 1000.0),
            SensorUnit::Volt => ("V", 1000.0),
            SensorUnit::Ampere => ("A", 1000.0),
            SensorUnit::Watt => ("W", 1000.0),
            SensorUnit::Status => ("", 1.0),
        };
        let value = (milli as f64 / scale).to_string();
        Some((fact.name.clone(), value, unit.to_owned()))
    };
    SystemV1 {
        identity: facts.name.clone(),
        uptime_secs: sample.uptime_secs.unwrap_or(0),
        version: told(&facts.version),
        board: told(&facts.board),
        serial: told(&facts.serial),
        firmware: (told(&facts.firmware), String::new()),
        platform: facts.description.clone(),
        cpu_count: Some(facts.cores).filter(|cores| *cores > 0),
        cpu_load: sample.cpu,
        free_memory: free(facts.memory_total, sample.memory_used),
        total_memory: facts.memory_total,
        free_disk: free(facts.disk_total, sample.disk_used),
        total_disk: facts.disk_total,
        health: facts
            .sensors
            .iter()
            .zip(&sample.sensors)
            .filter_map(sensor)
            .collect(),
        ..SystemV1::default()
    }
}

fn interfaces(read: &SnmpReadingV1) -> Vec<InterfaceV1> {
    let ports = read
        .facts
        .ports
        .iter()
        .zip(&read.sample.ports)
        .zip(&read.octets);
    type Counted = (Option<u64>, Option<u64>);
    let one = |((fact, now), octets): ((&PortFactV1, &PortSampleV1), &Counted)| InterfaceV1 {
        id: fact.index.to_string(),
        name: fact.name.clone(),
        kind: match fact.kind {
            6 => "ether".to_owned(),
            24 => "loopback".to_owned(),
            71 => "wlan".to_owned(),
            135 => "vlan".to_owned(),
            209 => "bridge".to_owned(),
            other => format!("ifType {other}"), // IANAifType-MIB has hundreds
        },
        running: now.status == Some(1),
        disabled: fact.enabled == Some(false),
        comment: fact.alias.clone(),
        rx_bytes: octets.0,
        tx_bytes: octets.1,
        rx_bps: now.in_bps,
        tx_bps: now.out_bps,
        ..InterfaceV1::default()
    };
    ports.map(one).collect()
}

/// A router that says no is there; one that says nothing is not.
pub(super) fn failure(cause: ApiError) -> AskFailure {
    match cause {
        ApiError::TimedOut => AskFailure::TimedOut,
        ApiError::Busy => AskFailure::Busy,
        ApiError::Refused(_) | ApiError::NotSetUp => AskFailure::Refused(cause.to_string()),
        ApiError::OutOfRange
        | ApiError::Unreachable(_)
        | ApiError::Shut
        | ApiError::OtherCertificate
        | ApiError::Tls(_)
        | ApiError::Protocol(_)
        | ApiError::LoginRefused(_)
        | ApiError::TooMuch
        | ApiError::Closed(_) => AskFailure::Unreachable(cause.to_string()),
    }
}

/// Five a second, within the patience of who waits.
const MOST_PINGS: u8 = 20;
/// Of a list at once.
const MOST_ROWS: usize = 1000;
