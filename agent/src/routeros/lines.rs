//! Where a router keeps a customer who logs in nowhere: a simple queue, address lists, a lease of DHCP.
//!
//! Every row of ours bears a comment of a mark and the customer's id; what bears anything else is read where
//! it must be known and never written.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::id::CustomerId;
use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::wire::down::Network;
use easyisp_shared::wire::line::AddressPlanV1;
use futures_util::StreamExt;
use futures_util::stream;

use super::connection::ApiError;
use super::sentence::{Command, Row};
use super::{RouterApis, menus, values};
use crate::site::Router;

/// What the router has of lines.
#[derive(Clone, Debug, Default)]
pub struct FoundLines {
    /// Since its start; `None` where it did not say.
    pub uptime: Option<Duration>,
    /// Queues of ours.
    pub queues: Vec<QueueRow>,
    /// Entries of ours.
    pub entries: Vec<EntryRow>,
    /// Leases of ours, and those of the devices asked for, whosever they are.
    pub leases: Vec<LeaseRow>,
    /// Its own addresses and pools, where it was asked for everything.
    pub plan: Option<AddressPlanV1>,
}

/// A queue of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRow {
    /// Its id at the router.
    pub id: String,
    /// Whose.
    pub customer: CustomerId,
    /// What it is.
    pub shape: QueueShape,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Bytes from and to him since it began to count.
    pub bytes: (u64, u64),
}

/// What a queue is: what is written, and compared with what is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueShape {
    /// Its name.
    pub name: String,
    /// `10.0.0.9/32`.
    pub target: String,
    /// Bits a second from and to him.
    pub limit: (u64, u64),
    /// While he may burst; 0 is never.
    pub burst: (u64, u64),
    /// From which average on he may not.
    pub threshold: (u64, u64),
    /// Over how many seconds that is taken.
    pub secs: (u64, u64),
}

impl QueueShape {
    /// The queue of an address with this speed.
    pub fn new(name: String, address: Ipv4Addr, rate: &RateLimit) -> QueueShape {
        let bits = |kbps: u32| u64::from(kbps) * 1000;
        let pair = |up, down| (bits(up), bits(down));
        let burst = rate.burst.as_ref();
        QueueShape {
            name,
            target: format!("{address}/32"),
            limit: pair(rate.up_kbps, rate.down_kbps),
            burst: burst.map_or((0, 0), |burst| pair(burst.up_kbps, burst.down_kbps)),
            threshold: burst.map_or((0, 0), |burst| {
                pair(burst.threshold_up_kbps, burst.threshold_down_kbps)
            }),
            secs: burst.map_or((0, 0), |burst| (burst.secs.into(), burst.secs.into())),
        }
    }

    fn on(&self, command: Command) -> Command {
        let pair = |(up, down): (u64, u64)| format!("{up}/{down}");
        command
            .with("name", &self.name)
            .with("target", &self.target)
            .with("max-limit", pair(self.limit))
            .with("burst-limit", pair(self.burst))
            .with("burst-threshold", pair(self.threshold))
            .with("burst-time", format!("{}s/{}s", self.secs.0, self.secs.1))
            .with("disabled", "no")
    }
}

/// An entry of ours in an address list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Its id at the router.
    pub id: String,
    /// Whose.
    pub customer: CustomerId,
    /// Which list.
    pub list: String,
    /// As the router writes it.
    pub address: String,
    /// Whether it is switched off.
    pub disabled: bool,
}

/// A lease of a DHCP server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// Its id at the router.
    pub id: String,
    /// Whose; `None` for one that is not ours.
    pub customer: Option<CustomerId>,
    /// The device.
    pub mac: Option<Mac>,
    /// The address that is written down, or given out.
    pub address: Option<Ipv4Addr>,
    /// Whether it was given out, not written down.
    pub dynamic: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Whether a device has it now.
    pub bound: bool,
    /// Up and down, bits a second, where RADIUS said so.
    pub rate: Option<(u64, u64)>,
    /// The lists its address is in while it lasts.
    pub lists: Vec<String>,
}

/// Of whom a router is asked.
#[derive(Clone, Debug)]
pub enum Scope {
    /// Everybody; lists are read by these names.
    All(Vec<String>),
    /// These, with their devices where they have a lease.
    Of(Vec<(CustomerId, Option<Mac>)>),
}

/// Something to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// A queue, new or changed.
    Queue(Option<String>, QueueShape),
    /// An entry of a list.
    Entry(String, Ipv4Addr),
    /// A lease, new, or one that is there: whether it was given out.
    Lease(Option<(String, bool)>, Mac, Ipv4Addr),
    /// A row of ours less.
    Drop(Menu, String),
}

/// A menu that holds rows of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Menu {
    /// `/queue/simple`.
    Queues,
    /// `/ip/firewall/address-list`.
    Lists,
    /// `/ip/dhcp-server/lease`.
    Leases,
}

impl Menu {
    const fn path(self) -> &'static str {
        match self {
            Menu::Queues => "/queue/simple",
            Menu::Lists => "/ip/firewall/address-list",
            Menu::Leases => "/ip/dhcp-server/lease",
        }
    }

    fn print(self) -> Command {
        let properties = match self {
            Menu::Queues => {
                ".id,name,target,max-limit,burst-limit,burst-threshold,burst-time,disabled,dynamic,comment,bytes"
            }
            Menu::Lists => ".id,list,address,disabled,dynamic,comment",
            Menu::Leases => {
                ".id,address,active-address,mac-address,active-mac-address,dynamic,disabled,comment,status,rate-limit,\
                 address-lists"
            }
        };
        Command::new(&format!("{}/print", self.path())).only(properties)
    }
}

impl RouterApis {
    /// What a router has of lines. Everybody is six questions at once, whoever they are.
    pub async fn kept_lines(
        &self,
        router: &Router,
        scope: &Scope,
        within: Duration,
    ) -> Result<FoundLines, ApiError> {
        let uptime = async {
            let asked = self.rows(router, menus::resource(), within).await?;
            let read = asked.first().and_then(menus::read_resource);
            Ok::<_, ApiError>(read.map(|resource| resource.uptime))
        };
        match scope {
            Scope::All(lists) => {
                let ours = |menu: Menu| menu.print().having("dynamic", "false");
                let entries = lists.iter().fold(Menu::Lists.print(), |command, list| {
                    command.having("list", list)
                });
                let pools = Command::new("/ip/pool/print").only("name,ranges");
                let own = Command::new("/ip/address/print").only("address,disabled");
                let (uptime, queues, entries, leases, pools, own) = tokio::try_join!(
                    uptime,
                    self.rows(router, ours(Menu::Queues), within),
                    self.rows(router, entries.any_of(lists.len()), within),
                    // A device's lease may be one that was given out.
                    self.rows(router, Menu::Leases.print(), within),
                    self.rows(router, pools, within),
                    self.rows(router, own, within),
                )?;
                Ok(FoundLines {
                    uptime,
                    queues: queues.iter().filter_map(read_queue).collect(),
                    entries: entries.iter().filter_map(read_entry).collect(),
                    leases: leases.iter().filter_map(read_lease).collect(),
                    plan: Some(read_plan(&pools, &own)),
                })
            }
            Scope::Of(customers) => {
                let mut found = FoundLines {
                    uptime: uptime.await?,
                    ..FoundLines::default()
                };
                let questions = customers.iter().flat_map(|(customer, mac)| {
                    let mark = mark(*customer);
                    let his = |menu: Menu| (menu, menu.print().having("comment", &mark));
                    let device = mac.map(|mac| {
                        let asked = Menu::Leases.print().having("mac-address", mac.to_string());
                        (Menu::Leases, asked)
                    });
                    [his(Menu::Queues), his(Menu::Lists), his(Menu::Leases)]
                        .into_iter()
                        .chain(device)
                });
                let questions: Vec<(Menu, Command)> = questions.collect();
                let asked = stream::iter(questions).map(|(menu, command)| async move {
                    let rows = self.rows(router, command, within).await;
                    rows.map(|rows| (menu, rows))
                });
                let mut asked = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
                while let Some(answer) = asked.next().await {
                    let (menu, rows) = answer?;
                    match menu {
                        Menu::Queues => found.queues.extend(rows.iter().filter_map(read_queue)),
                        Menu::Lists => found.entries.extend(rows.iter().filter_map(read_entry)),
                        Menu::Leases => {
                            for lease in rows.iter().filter_map(read_lease) {
                                if !found.leases.contains(&lease) {
                                    found.leases.push(lease);
                                }
                            }
                        }
                    }
                }
                Ok(found)
            }
        }
    }

    /// A router's own addresses and its pools.
    pub async fn address_plan(
        &self,
        router: &Router,
        within: Duration,
    ) -> Result<AddressPlanV1, ApiError> {
        let pools = Command::new("/ip/pool/print").only("name,ranges");
        let own = Command::new("/ip/address/print").only("address,disabled");
        let (pools, own) = tokio::try_join!(
            self.rows(router, pools, within),
            self.rows(router, own, within),
        )?;
        Ok(read_plan(&pools, &own))
    }

    /// Writes, some at a time over one connection; what the router refused, in its own words. Ends at the
    /// first answer that does not come.
    pub async fn write_lines(
        &self,
        router: &Router,
        fixes: Vec<(CustomerId, Fix)>,
        within: Duration,
    ) -> Result<Vec<(CustomerId, String)>, ApiError> {
        let written = stream::iter(fixes).map(|(customer, fix)| async move {
            for command in commands(customer, &fix) {
                match self.ask(router, command, within).await {
                    Ok(_) => {}
                    Err(ApiError::Refused(trap)) if is_there_already(&fix, &trap.message) => {}
                    Err(ApiError::Refused(trap)) => return Ok(Some((customer, trap.message))),
                    Err(cause) => return Err(cause),
                }
            }
            Ok(None)
        });
        let mut written = std::pin::pin!(written.buffer_unordered(AT_ONCE));
        let mut refused = Vec::new();
        while let Some(answer) = written.next().await {
            refused.extend(answer?);
        }
        Ok(refused)
    }
}

/// Whether what is wanted is so by somebody else's hand, or was done when its answer was lost.
fn is_there_already(fix: &Fix, message: &str) -> bool {
    match fix {
        Fix::Entry(..) => message.contains("already have such entry"),
        Fix::Drop(..) => message.contains("no such item"),
        Fix::Queue(..) | Fix::Lease(..) => false,
    }
}

fn commands(customer: CustomerId, fix: &Fix) -> Vec<Command> {
    let at = |menu: Menu, verb: &str| Command::new(&format!("{}/{verb}", menu.path()));
    let mark = mark(customer);
    match fix {
        Fix::Queue(None, shape) => {
            vec![shape.on(at(Menu::Queues, "add")).with("comment", mark)]
        }
        Fix::Queue(Some(id), shape) => vec![shape.on(at(Menu::Queues, "set").with(".id", id))],
        Fix::Entry(list, address) => vec![
            at(Menu::Lists, "add")
                .with("list", list)
                .with("address", address.to_string())
                .with("comment", mark),
        ],
        Fix::Lease(held, mac, address) => {
            let shape = |command: Command| {
                command
                    .with("mac-address", mac.to_string())
                    .with("address", address.to_string())
                    .with("disabled", "no")
                    .with("comment", &mark)
            };
            match held {
                None => vec![shape(at(Menu::Leases, "add"))],
                Some((id, given_out)) => {
                    let first = given_out.then(|| at(Menu::Leases, "make-static").with(".id", id));
                    let set = shape(at(Menu::Leases, "set").with(".id", id));
                    first.into_iter().chain([set]).collect()
                }
            }
        }
        Fix::Drop(menu, id) => vec![at(*menu, "remove").with(".id", id)],
    }
}

fn mark(customer: CustomerId) -> String {
    format!("{MARK}{customer}")
}

fn whose(row: &Row) -> Option<CustomerId> {
    row.text("comment")?.strip_prefix(MARK)?.parse().ok()
}

fn read_queue(row: &Row) -> Option<QueueRow> {
    let pair = |name| row.text(name).and_then(values::pair).unwrap_or_default();
    let secs = |text: &str| {
        let (up, down) = text.split_once('/')?;
        let secs = |text| values::duration(text).map(|span: Duration| span.as_secs());
        Some((secs(up)?, secs(down)?))
    };
    let burst = pair("burst-limit");
    // What a burst would be is of no account where there is none.
    let only = |value: (u64, u64)| if burst == (0, 0) { (0, 0) } else { value };
    Some(QueueRow {
        id: row.text(".id")?.to_owned(),
        customer: whose(row)?,
        shape: QueueShape {
            name: row.text("name")?.to_owned(),
            target: row.text("target").unwrap_or_default().to_owned(),
            limit: pair("max-limit"),
            burst,
            threshold: only(pair("burst-threshold")),
            secs: only(row.text("burst-time").and_then(secs).unwrap_or_default()),
        },
        disabled: row.flag("disabled") == Some(true),
        bytes: pair("bytes"),
    })
}

pub(super) fn read_entry(row: &Row) -> Option<EntryRow> {
    Some(EntryRow {
        id: row.text(".id")?.to_owned(),
        customer: whose(row)?,
        list: row.text("list")?.to_owned(),
        address: row.text("address")?.to_owned(),
        disabled: row.flag("disabled") == Some(true),
    })
}

fn read_lease(row: &Row) -> Option<LeaseRow> {
    let said = |name| row.text(name).filter(|text| !text.is_empty());
    Some(LeaseRow {
        id: row.text(".id")?.to_owned(),
        customer: whose(row),
        mac: said("mac-address")
            .or(said("active-mac-address"))
            .and_then(Mac::parse),
        address: said("address")
            .or(said("active-address"))
            .and_then(|text| text.parse().ok()),
        dynamic: row.flag("dynamic") == Some(true),
        disabled: row.flag("disabled") == Some(true),
        bound: row.text("status") == Some("bound"), // the router's word
        rate: said("rate-limit")
            .and_then(|text| text.split_whitespace().next())
            .and_then(values::pair),
        lists: said("address-lists").map_or_else(Vec::new, |lists| {
            lists
                .split(',')
                .map(|list| list.trim().to_owned())
                .collect()
        }),
    })
}

pub(super) fn read_plan(pools: &[Row], own: &[Row]) -> AddressPlanV1 {
    let mut plan = AddressPlanV1::default();
    for row in pools {
        let (Some(name), Some(ranges)) = (row.text("name"), row.text("ranges")) else {
            continue;
        };
        for range in ranges.split(',').map(str::trim) {
            // One address alone is written without a dash.
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            if let (Ok(first), Ok(last)) = (first.trim().parse(), last.trim().parse()) {
                plan.pools.push((name.to_owned(), first, last));
            }
        }
    }
    let used = own.iter().filter(|row| row.flag("disabled") != Some(true));
    let nets = used.filter_map(|row| row.text("address")?.parse::<ipnet::IpNet>().ok());
    plan.own.extend(nets.map(|net| Network {
        address: net.addr(),
        prefix: net.prefix_len(),
    }));
    plan.pools.truncate(MOST_OF_A_PLAN);
    plan.own.truncate(MOST_OF_A_PLAN);
    plan
}

pub(super) const MARK: &str = "easyisp:line:";
/// Commands under way at once: half of what a connection takes, so that others have their turn.
const AT_ONCE: usize = 8;
const MOST_OF_A_PLAN: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_speed_becomes_a_queue_and_is_read_as_it_was_written() {
        let shape = QueueShape::new(
            "easyisp-jane".to_owned(),
            Ipv4Addr::new(10, 0, 0, 9),
            &RateLimit::mbps(5, 10),
        );
        assert_eq!(shape.limit, (5_000_000, 10_000_000));
        assert_eq!((shape.burst, shape.secs), ((0, 0), (0, 0)));
        assert_eq!(shape.target, "10.0.0.9/32");
    }

    #[test]
    fn only_what_bears_the_mark_and_an_id_is_ours() {
        let customer = CustomerId(uuid::Uuid::from_u128(7));
        let text = mark(customer);
        let id = |text: &str| text.strip_prefix(MARK).and_then(|id| id.parse().ok());
        assert_eq!(id(&text), Some(customer));
        assert_eq!(id("easyisp:line:jane"), None::<CustomerId>);
        assert_eq!(id("easyisp:radius:1"), None::<CustomerId>);
    }
}
