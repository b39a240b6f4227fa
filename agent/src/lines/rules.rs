//! What a line is to be, and what must be written so that a router holds it.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::entitlement::{Answer, Verdict};
use easyisp_shared::id::CustomerId;
use easyisp_shared::net::{Mac, RateLimit};
use easyisp_shared::setup::{ALLOWED, ANTI_SHARING, BLOCKED};
use easyisp_shared::wire::down::{Connection, PolicyV1};
use easyisp_shared::wire::line::{AddressPlanV1, LinePlace, LineShapeV1, LineState, Pools};

use super::given::Given;
use crate::routeros::{Fix, FoundLines, LeaseRow, Menu, QueueShape};
use crate::site::Subscriber;

/// What a router is to hold of a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Whose.
    pub customer: CustomerId,
    /// His queue; none where RADIUS gives him one with his lease.
    pub queue: Option<QueueShape>,
    /// The lists his address is in.
    pub lists: Vec<String>,
    /// His device, where its lease is to be his.
    pub device: Option<Mac>,
    /// What RADIUS gives with his lease.
    pub given: Option<Given>,
    /// The same for people; none where nothing of him is at the router.
    pub shape: Option<LineShapeV1>,
    /// Why it is not there yet.
    pub waits: Option<&'static str>,
}

/// Why there is none: the state and a sentence.
pub type Trouble = (LineState, String);

impl Line {
    /// What a customer is to have by this verdict.
    pub fn of(
        subscriber: &Subscriber,
        verdict: &Verdict,
        policy: &PolicyV1,
        known: Known<'_>,
    ) -> Result<Line, Trouble> {
        let shares_not = known.may_not_share.then(|| ANTI_SHARING.to_owned());
        let allowed = [ALLOWED.to_owned()].into_iter();
        let open: Vec<String> = allowed.chain(shares_not).collect();
        let (address, device) = address(subscriber, known.leases)?;
        let pools = match device {
            Some(_) => Pools::Shared,
            None => Pools::Avoided,
        };
        let objection = known.plan.and_then(|plan| plan.objection(address, pools));
        if let Some(objection) = objection {
            return Err((
                LineState::Refused,
                format!("The address {address} {objection}."),
            ));
        }
        let garden = vec![policy.garden_list.clone(), reason_list(verdict)];
        let (place, rate, lists) = match verdict.answer {
            Answer::Accept => (LinePlace::Open, verdict.rate, open),
            Answer::WalledGarden => (LinePlace::Garden, Some(policy.garden_rate), garden),
            Answer::Reject => {
                let lists = vec![BLOCKED.to_owned(), reason_list(verdict)];
                (LinePlace::Blocked, None, lists)
            }
        };
        let name = [crate::routeros::LINE, &*subscriber.username].concat();
        Ok(Line {
            customer: subscriber.id,
            queue: Some(QueueShape::new(
                String::from_utf8_lossy(&name).into_owned(),
                address,
                &rate.unwrap_or(TRICKLE),
            )),
            lists,
            device,
            given: None,
            shape: Some(LineShapeV1 {
                address,
                place,
                rate,
            }),
            waits: None,
        })
    }
}

/// What is known of the router.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The leases of its DHCP servers that concern him.
    pub leases: &'a [LeaseRow],
    /// Its own addresses and its pools.
    pub plan: Option<&'a AddressPlanV1>,
    /// Whether his package keeps him from sharing his line.
    pub may_not_share: bool,
}

fn address(
    subscriber: &Subscriber,
    leases: &[LeaseRow],
) -> Result<(Ipv4Addr, Option<Mac>), Trouble> {
    let device = subscriber.entitlement.macs.first().copied();
    match (subscriber.connection, subscriber.static_ip, device) {
        (Connection::Dhcp, _, None) => Err((LineState::Refused, NO_DEVICE.to_owned())),
        (Connection::Dhcp, Some(address), Some(device)) => Ok((address, Some(device))),
        (Connection::Dhcp, None, Some(device)) => {
            let mut his = leases.iter().filter(|lease| lease.mac == Some(device));
            let given = his.find_map(|lease| lease.address);
            given.map(|address| (address, Some(device))).ok_or((
                LineState::Waiting,
                format!("The router gave no address to {device} yet."),
            ))
        }
        (Connection::Static, Some(address), _) => Ok((address, None)),
        (Connection::Static, None, _) => Err((
            LineState::Refused,
            "He has no address; assign one.".to_owned(),
        )),
        (Connection::Pppoe | Connection::Hotspot, _, _) => {
            Err((LineState::Gone, "He logs in.".to_owned()))
        }
    }
}

/// Whether a customer logs in nowhere.
pub fn is_line(subscriber: &Subscriber) -> bool {
    match subscriber.connection {
        Connection::Dhcp | Connection::Static => true,
        Connection::Pppoe | Connection::Hotspot => false,
    }
}

/// Every list that rows of ours may be in.
pub fn lists(policy: &PolicyV1) -> Vec<String> {
    use easyisp_shared::entitlement::Reason;

    let reasons = Reason::REFUSALS.iter().map(|reason| list_of(*reason));
    let fixed = [ALLOWED, BLOCKED, ANTI_SHARING]
        .map(str::to_owned)
        .into_iter();
    let garden = std::iter::once(policy.garden_list.clone());
    fixed.chain(garden).chain(reasons).collect()
}

fn reason_list(verdict: &Verdict) -> String {
    list_of(verdict.reason)
}

fn list_of(reason: easyisp_shared::entitlement::Reason) -> String {
    format!("easyisp-{}", reason.code().to_lowercase().replace('_', "-"))
}

/// What must be written: what goes first, then the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fixes {
    /// Rows of ours that are not wanted: an address may be another customer's by now.
    pub drops: Vec<(CustomerId, Fix)>,
    /// Rows that are missing or different.
    pub puts: Vec<(CustomerId, Fix)>,
    /// Who cannot have what he is to have, because of somebody else's row.
    pub refused: Vec<(CustomerId, String)>,
}

impl Fixes {
    /// Whose they are.
    pub fn customers(&self) -> HashSet<CustomerId> {
        let written = self.drops.iter().chain(&self.puts);
        written.map(|(customer, _)| *customer).collect()
    }
}

/// Compares what a router has with what it is to have. Rows of customers in `keep` who are to have nothing stay:
/// nobody knows yet what they are to have.
pub fn fixes(found: &FoundLines, wanted: &[Line], keep: &HashSet<CustomerId>) -> Fixes {
    let by_customer: HashMap<CustomerId, &Line> =
        wanted.iter().map(|line| (line.customer, line)).collect();
    let mut fixes = Fixes::default();
    let mut queued = HashSet::new();
    for row in &found.queues {
        let drop = Fix::Drop(Menu::Queues, row.id.clone());
        match by_customer.get(&row.customer) {
            Some(Line {
                queue: Some(queue), ..
            }) if queued.insert(row.customer) => {
                if row.shape != *queue || row.disabled {
                    let put = Fix::Queue(Some(row.id.clone()), queue.clone());
                    fixes.puts.push((row.customer, put));
                }
            }
            Some(_) => fixes.drops.push((row.customer, drop)),
            None if keep.contains(&row.customer) => {}
            None => fixes.drops.push((row.customer, drop)),
        }
    }
    let mut listed: HashSet<(CustomerId, &str)> = HashSet::new();
    for row in &found.entries {
        let line = by_customer.get(&row.customer);
        let fits = line.is_some_and(|line| {
            let address = line.shape.map(|shape| shape.address.to_string());
            let same = address.as_deref() == Some(row.address.trim_end_matches("/32"));
            same && !row.disabled && line.lists.contains(&row.list)
        });
        let first = fits && listed.insert((row.customer, &row.list));
        if !first && (line.is_some() || !keep.contains(&row.customer)) {
            let drop = Fix::Drop(Menu::Lists, row.id.clone());
            fixes.drops.push((row.customer, drop));
        }
    }
    let mut leased: HashMap<Mac, Vec<&LeaseRow>> = HashMap::new();
    for row in &found.leases {
        if let Some(mac) = row.mac {
            leased.entry(mac).or_default().push(row);
        }
        let Some(customer) = row.customer else {
            continue;
        };
        let his = by_customer.get(&customer).and_then(|line| line.device);
        if (his.is_none() || his != row.mac)
            && (by_customer.contains_key(&customer) || !keep.contains(&customer))
        {
            let drop = Fix::Drop(Menu::Leases, row.id.clone());
            fixes.drops.push((customer, drop));
        }
    }
    for line in wanted {
        if let Some(queue) = &line.queue
            && !queued.contains(&line.customer)
        {
            let put = Fix::Queue(None, queue.clone());
            fixes.puts.push((line.customer, put));
        }
        for list in &line.lists {
            if let Some(shape) = line.shape
                && !listed.contains(&(line.customer, list))
            {
                let put = Fix::Entry(list.clone(), shape.address);
                fixes.puts.push((line.customer, put));
            }
        }
        if let Some(given) = &line.given {
            let rows = leased
                .get(&given.device)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for row in rows {
                match (row.customer, row.dynamic) {
                    (_, true) if given.is_wrong(row) => {
                        let drop = Fix::Drop(Menu::Leases, row.id.clone());
                        fixes.drops.push((line.customer, drop));
                    }
                    (None, false) => fixes
                        .refused
                        .push((line.customer, written(row, given.device))),
                    // Ours from before goes with the others of ours.
                    (Some(_) | None, _) => {}
                }
            }
        }
        if let Some(device) = line.device {
            let rows = leased.get(&device).map(Vec::as_slice).unwrap_or_default();
            match lease(line, device, rows) {
                Ok(put) => fixes.puts.extend(put.map(|put| (line.customer, put))),
                Err(why) => fixes.refused.push((line.customer, why)),
            }
        }
    }
    fixes
}

/// What is to be done about the lease of a device, of which these rows stand.
fn lease(line: &Line, device: Mac, rows: &[&LeaseRow]) -> Result<Option<Fix>, String> {
    let Some(address) = line.shape.map(|shape| shape.address) else {
        return Ok(None);
    };
    let fits = |row: &&&LeaseRow| row.address == Some(address) && !row.dynamic && !row.disabled;
    let ours = rows.iter().find(|row| row.customer == Some(line.customer));
    let others = || {
        rows.iter()
            .find(|row| row.customer.is_none() && !row.dynamic)
    };
    match ours.or_else(others) {
        // Somebody wrote the same by hand: it stays his.
        Some(row) if fits(&row) => Ok(None),
        Some(row) if row.customer.is_some() => {
            let held = Some((row.id.clone(), row.dynamic));
            Ok(Some(Fix::Lease(held, device, address)))
        }
        Some(row) => Err(written(row, device)),
        None => {
            let given = rows.iter().find(|row| row.dynamic);
            let held = given.map(|row| (row.id.clone(), true));
            Ok(Some(Fix::Lease(held, device, address)))
        }
    }
}

fn written(row: &LeaseRow, device: Mac) -> String {
    format!(
        "The router has a lease of {} for {device} that somebody else wrote; remove it, or assign that address.",
        row.address
            .map(|address| address.to_string())
            .unwrap_or_default()
    )
}

/// When to read the counters again: before a quota can be used up at full speed, at the latest after `most`.
pub fn read_again(verdicts: impl Iterator<Item = Verdict>, most: Duration) -> Duration {
    let soonest = verdicts.filter_map(|verdict| {
        let rate = verdict.rate?;
        let octets = (u64::from(rate.up_kbps) + u64::from(rate.down_kbps)) * 1000 / 8;
        verdict.bytes_left?.checked_div(octets)
    });
    let secs = soonest.min().unwrap_or(most.as_secs());
    Duration::from_secs(secs).clamp(SOONEST, most)
}

pub(super) const NO_DEVICE: &str = "Nobody said which device is his; enter its hardware address.";
/// RouterOS reads 0 as without limit: this is as good as nothing.
const TRICKLE: RateLimit = RateLimit {
    up_kbps: 1,
    down_kbps: 1,
    burst: None,
};
/// A list of hundreds of queues costs a small router a moment.
const SOONEST: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entitlement::Reason;

    use super::*;
    use crate::routeros::{EntryRow, QueueRow};

    fn jane() -> CustomerId {
        CustomerId(uuid::Uuid::from_u128(1))
    }

    fn line(last: u8, mbps: u32) -> Line {
        let address = Ipv4Addr::new(10, 0, 0, last);
        let rate = RateLimit::mbps(mbps, mbps);
        Line {
            customer: jane(),
            queue: Some(QueueShape::new("easyisp-jane".to_owned(), address, &rate)),
            lists: vec![ALLOWED.to_owned()],
            device: None,
            given: None,
            shape: Some(LineShapeV1 {
                address,
                place: LinePlace::Open,
                rate: Some(rate),
            }),
            waits: None,
        }
    }

    fn address(line: &Line) -> Ipv4Addr {
        line.shape.unwrap().address
    }

    /// What a router has that holds exactly this.
    fn held(line: &Line) -> FoundLines {
        FoundLines {
            queues: vec![QueueRow {
                id: "*1".to_owned(),
                customer: line.customer,
                shape: line.queue.clone().unwrap(),
                disabled: false,
                bytes: (0, 0),
            }],
            entries: line
                .lists
                .iter()
                .zip(2..)
                .map(|(list, number)| EntryRow {
                    id: format!("*{number}"),
                    customer: line.customer,
                    list: list.clone(),
                    address: address(line).to_string(),
                    disabled: false,
                })
                .collect(),
            ..FoundLines::default()
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_left_alone() {
        let line = line(9, 10);
        let fixes = fixes(&held(&line), std::slice::from_ref(&line), &HashSet::new());
        assert_eq!(fixes, Fixes::default());
    }

    #[test]
    fn what_is_missing_is_made_and_what_differs_is_changed() {
        let wanted = line(9, 20);
        let all = fixes(
            &FoundLines::default(),
            std::slice::from_ref(&wanted),
            &HashSet::new(),
        );
        assert_eq!((all.drops.len(), all.puts.len()), (0, 2));
        let found = held(&line(9, 10));
        let faster = fixes(&found, std::slice::from_ref(&wanted), &HashSet::new());
        let put = Fix::Queue(Some("*1".to_owned()), wanted.queue.clone().unwrap());
        assert_eq!(faster.puts, [(jane(), put)]);
        assert_eq!(faster.drops, []);
    }

    #[test]
    fn another_address_drops_the_old_entry_before_the_new_one_is_made() {
        let wanted = line(8, 10);
        let moved = fixes(
            &held(&line(9, 10)),
            std::slice::from_ref(&wanted),
            &HashSet::new(),
        );
        assert_eq!(
            moved.drops,
            [(jane(), Fix::Drop(Menu::Lists, "*2".to_owned()))]
        );
        assert_eq!(moved.puts.len(), 2);
    }

    #[test]
    fn who_is_gone_leaves_nothing_and_who_is_not_understood_keeps_all() {
        let found = held(&line(9, 10));
        assert_eq!(fixes(&found, &[], &HashSet::new()).drops.len(), 2);
        let keep = HashSet::from([jane()]);
        assert_eq!(fixes(&found, &[], &keep), Fixes::default());
    }

    #[test]
    fn a_lease_that_somebody_else_wrote_is_not_touched() {
        let device = Mac::new([2; 6]);
        let mut wanted = line(9, 10);
        wanted.device = Some(device);
        let mut found = held(&wanted);
        let mut lease = LeaseRow {
            id: "*A".to_owned(),
            customer: None,
            mac: Some(device),
            address: Some(Ipv4Addr::new(10, 0, 0, 77)),
            dynamic: true,
            ..LeaseRow::default()
        };
        found.leases = vec![lease.clone()];
        let given = fixes(&found, std::slice::from_ref(&wanted), &HashSet::new());
        let put = Fix::Lease(Some(("*A".to_owned(), true)), device, address(&wanted));
        assert_eq!(
            given.puts,
            [(jane(), put)],
            "one that was given out becomes his"
        );

        lease.dynamic = false;
        found.leases = vec![lease.clone()];
        let written = fixes(&found, std::slice::from_ref(&wanted), &HashSet::new());
        assert_eq!((written.puts, written.refused.len()), (Vec::new(), 1));

        lease.address = Some(address(&wanted));
        found.leases = vec![lease];
        let same = fixes(&found, std::slice::from_ref(&wanted), &HashSet::new());
        assert_eq!(same, Fixes::default());
    }

    #[test]
    fn a_lease_by_radius_goes_with_the_right_to_it_and_takes_the_old_queue_along() {
        let device = Mac::new([2; 6]);
        let before = line(9, 10);
        let mut found = held(&before);
        found.leases = vec![LeaseRow {
            id: "*A".to_owned(),
            mac: Some(device),
            address: Some(address(&before)),
            dynamic: true,
            bound: true,
            rate: Some((10_000_000, 10_000_000)),
            lists: vec![ALLOWED.to_owned()],
            ..LeaseRow::default()
        }];
        let wanted = |mbps: u64, impatient| Line {
            queue: None,
            lists: Vec::new(),
            given: Some(Given {
                device,
                grant: Some(((mbps * 1_000_000, mbps * 1_000_000), ALLOWED.to_owned())),
                impatient,
            }),
            ..before.clone()
        };
        let lease = (jane(), Fix::Drop(Menu::Leases, "*A".to_owned()));
        let drops = |line: &Line| {
            let fixes = fixes(&found, std::slice::from_ref(line), &HashSet::new());
            assert_eq!((fixes.puts.len(), fixes.refused.len()), (0, 0));
            fixes.drops
        };
        // The queue and the entry that were ours.
        assert_eq!(drops(&wanted(10, false)).len(), 2);
        assert!(
            !drops(&wanted(20, false)).contains(&lease),
            "a moment's patience"
        );
        assert!(wanted(20, false).is_slow(&found.leases));
        assert!(drops(&wanted(20, true)).contains(&lease));
        let mut garden = wanted(10, false);
        garden.given.as_mut().unwrap().grant.as_mut().unwrap().1 = "walled".to_owned();
        assert!(drops(&garden).contains(&lease));
        let mut nobody = wanted(10, false);
        nobody.given.as_mut().unwrap().grant = None;
        assert!(drops(&nobody).contains(&lease));
    }

    #[test]
    fn a_quota_is_looked_at_before_it_can_be_used_up() {
        let verdict = |bytes_left| Verdict {
            answer: Answer::Accept,
            reason: Reason::Entitled,
            rate: Some(RateLimit::mbps(4, 4)),
            bytes_left,
            secs_left: None,
            total_limit: None,
            next_change: None,
            end: None,
        };
        let again =
            |left| read_again([verdict(left)].into_iter(), Duration::from_secs(300)).as_secs();
        assert_eq!(again(None), 300);
        assert_eq!(again(Some(60_000_000)), 60);
        assert_eq!(again(Some(1)), 15);
    }
}
