//! `/ip firewall mangle`, as far as it changes how far packets go.

use std::net::Ipv4Addr;

use super::Router;

/// The TTL of a packet that came a long way.
const CAME_WITH: u8 = 57;

impl Router {
    /// The TTL with which a packet from the internet leaves the router towards an address of its network.
    pub fn ttl_towards(&self, address: Ipv4Addr) -> u8 {
        let lists = self.lists_of(address);
        let machine = self.machine();
        let mut ttl = CAME_WITH - 1;
        for rule in machine.rows("/ip firewall mangle", "chain", "postrouting") {
            let is = |name: &str, value: &str| rule.get(name).is_some_and(|held| held == value);
            let meant = rule
                .get("dst-address-list")
                .is_none_or(|list| lists.contains(list));
            if is("action", "change-ttl") && meant && !is("disabled", "yes") {
                let set = rule.get("new-ttl").and_then(|how| how.strip_prefix("set:"));
                ttl = set.and_then(|to| to.parse().ok()).unwrap_or(ttl);
            }
        }
        ttl
    }

    /// The address lists that an address is in: of its session, and those written down.
    pub fn lists_of(&self, address: Ipv4Addr) -> Vec<String> {
        let sessions = self.sessions().into_iter();
        let of_session = sessions
            .filter(|session| session.address == address)
            .filter_map(|session| session.grants.address_list);
        let kept = self.kept("/ip/firewall/address-list").into_iter();
        let kept = kept.filter_map(|row| {
            let host = row.value("address")?.trim_end_matches("/32").to_owned();
            let on = row.value("disabled") != Some("true") && host == address.to_string();
            on.then(|| row.value("list").map(str::to_owned)).flatten()
        });
        of_session.chain(kept).collect()
    }
}
