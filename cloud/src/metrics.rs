//! What `/metrics` shows. No global registry: every cloud of a process has its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use easyisp_shared::time::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The metrics of one cloud. Cloning shares them.
#[derive(Clone)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Request, Counter>,
    latency: Family<Route, Histogram>,
    connections: Family<Connections, Gauge>,
    link: Family<Direction, Gauge>,
    certificates: Family<Certificate, Gauge>,
    unproved: Gauge,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Certificate {
    certificate: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Direction {
    direction: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Connections {
    state: &'static str,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Request {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct Route {
    route: String,
}

impl Metrics {
    /// With the HTTP metrics registered.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("easyisp");
        let requests = Family::<Request, Counter>::default();
        let latency = Family::<Route, Histogram>::new_with_constructor(|| {
            // 1 ms to 16 s
            Histogram::new(exponential_buckets(0.001, 2.0, 15))
        });
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        registry.register(
            "http_request_seconds",
            "Time to answer an HTTP request",
            latency.clone(),
        );
        let connections = Family::<Connections, Gauge>::default();
        registry.register(
            "database_connections",
            "Connections of this node's pool",
            connections.clone(),
        );
        let link = Family::<Direction, Gauge>::default();
        registry.register(
            "link_octets",
            "Octets to and from this node's agents since it started",
            link.clone(),
        );
        let certificates = Family::<Certificate, Gauge>::default();
        registry.register(
            "certificate_ends_timestamp_seconds",
            "When what agents know this node by ends; warn at 30, 14 and 7 days",
            certificates.clone(),
        );
        let unproved = Gauge::default();
        registry.register(
            "books_unproved",
            "Tenants whose books do not prove",
            unproved.clone(),
        );
        Metrics {
            certificates,
            unproved,
            link,
            connections,
            registry: Arc::new(Mutex::new(registry)),
            requests,
            latency,
        }
    }

    /// Lets a feature register metrics of its own (names get the prefix `easyisp_`).
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.registry.lock().expect("registering does not panic"));
    }

    /// Counts an answered request.
    pub fn request(&self, method: &str, route: &str, status: StatusCode, took: Duration) {
        self.requests
            .get_or_create(&Request {
                method: known(method).to_owned(),
                route: route.to_owned(),
                status: status.as_u16(),
            })
            .inc();
        self.latency
            .get_or_create(&Route {
                route: route.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    /// Notes the state of the database pool.
    pub fn database(&self, open: u32, idle: usize) {
        let idle = i64::try_from(idle).unwrap_or(i64::MAX);
        let set = |state, n| {
            self.connections
                .get_or_create(&Connections { state })
                .set(n);
        };
        set("idle", idle);
        set("busy", (i64::from(open) - idle).max(0));
    }

    /// Notes what the links to agents moved.
    pub fn link(&self, sent: u64, received: u64) {
        let set = |direction, octets| {
            let octets = i64::try_from(octets).unwrap_or(i64::MAX);
            self.link
                .get_or_create(&Direction { direction })
                .set(octets);
        };
        set("sent", sent);
        set("received", received);
    }

    /// Notes when the authority ends, and the certificate of the agents' door.
    pub fn certificates(&self, authority: Option<Timestamp>, link: Option<Timestamp>) {
        for (certificate, ends) in [("authority", authority), ("link", link)] {
            if let Some(ends) = ends {
                self.certificates
                    .get_or_create(&Certificate { certificate })
                    .set(ends.secs());
            }
        }
    }

    /// Notes how many tenants' books do not prove.
    pub fn unproved(&self, tenants: i64) {
        self.unproved.set(tenants);
    }

    /// Everything in the text format that Prometheus reads.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock().expect("registering does not panic");
        match prometheus_client::encoding::text::encode(&mut text, &registry) {
            Ok(()) => text,
            Err(_) => unreachable!("writing to a String does not fail"),
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

/// Methods come from outside: an invented one must not become a label of its own.
fn known(method: &str) -> &'static str {
    match method {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "HEAD" => "HEAD",
        _ => "other",
    }
}
