//! Networks of one line: routes behind it and IPv6 prefixes.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::{FieldError, Wrong};

/// Networks of one line; the object is replaced as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Networks {
    /// IPv4 networks behind the line, `10.9.0.0/24`; at most 8.
    pub routes: Vec<String>,
    /// The IPv6 prefix of the line, `2001:db8:0:9::/64`.
    pub ipv6_prefix: Option<String>,
    /// The IPv6 prefix delegated to the customer's own router, `2001:db8:900::/56`.
    pub delegated_ipv6_prefix: Option<String>,
}

impl Networks {
    /// The same, each network written as its first address.
    pub fn checked(&self) -> Result<Networks, Vec<FieldError>> {
        let mut wrong = Wrong::default();
        if self.routes.len() > 8 {
            wrong.add("routes", "may have at most 8 networks");
        }
        let mut ipv6 = |field, text: &Option<String>| {
            let text = text
                .as_deref()
                .map(str::trim)
                .filter(|text| !text.is_empty())?;
            let net: Option<Ipv6Net> = text.parse().ok();
            if net.is_none() {
                wrong.add(field, "must be a network like 2001:db8::/56, or empty");
            }
            net.map(|net| net.trunc().to_string())
        };
        let ipv6_prefix = ipv6("ipv6Prefix", &self.ipv6_prefix);
        let delegated_ipv6_prefix = ipv6("delegatedIpv6Prefix", &self.delegated_ipv6_prefix);
        let mut routes = Vec::new();
        for route in &self.routes {
            match route.trim().parse::<Ipv4Net>() {
                Ok(net) => routes.push(net.trunc().to_string()),
                Err(_) => wrong.add("routes", "must be networks like 10.9.0.0/24"),
            }
        }
        wrong.none_or(Networks {
            routes,
            ipv6_prefix,
            delegated_ipv6_prefix,
        })
    }

    /// The routes as a site must know them.
    pub fn route_nets(&self) -> impl Iterator<Item = IpNet> {
        self.routes.iter().filter_map(|route| route.parse().ok())
    }
}

/// A stored network as a site must know it.
pub fn net(text: &Option<String>) -> Option<IpNet> {
    text.as_deref()?.parse().ok()
}
