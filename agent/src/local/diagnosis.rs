//! Why a customer is offline: what this box knows of him, and what his routers say when they are asked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::diagnosis::{DiagnosisV1, OpenV1, ReachV1};
use easyisp_shared::wire::down::{Connection, Whom};
use easyisp_shared::wire::up::OutsideV1;
use futures_util::future::join_all;

use super::questions::{Questions, UNLISTED};
use crate::diagnosis::{self, Knowledge};
use crate::reconcile::Reach;
use crate::routeros::ApiError;
use crate::sessions::Service;
use crate::site::Router;

impl Questions {
    /// Everything known here that tells why a customer is offline.
    pub(super) async fn diagnose(
        &self,
        customer: CustomerId,
        username: &[u8],
        patience: Duration,
    ) -> DiagnosisV1 {
        // Lists, one user, one probe: a router that is silent is waited for three times.
        let patience = patience / 3;
        let (outside, doubt) = self.compare(&Whom::Customer(customer), patience).await;
        if doubt.as_deref() == Some(UNLISTED) {
            self.look_twice(customer, patience).await;
        }
        let knowledge = Knowledge {
            site: self.enforcer.site(),
            sessions: self.enforcer.sessions(),
            timeline: &self.timeline,
        };
        let now = self.enforcer.now();
        let mut facts = diagnosis::facts(knowledge, customer, username, now);
        let listed = outside.into_iter().map(|line| self.listed_as_open(line));
        facts.sessions.extend(listed);
        self.ask_routers(&mut facts, customer, patience).await;
        facts
    }

    /// His routers do not list him: whether he is online is told by two whole lists in a row.
    async fn look_twice(&self, customer: CustomerId, patience: Duration) {
        let open = self.enforcer.open_to(&Whom::Customer(customer));
        let his: HashSet<RouterId> = open.iter().map(|one| one.session.key.router).collect();
        let routers = his
            .into_iter()
            .filter_map(|id| self.enforcer.site().router(id));
        let look = |router: Arc<Router>| async move {
            // Without the lists he counts as online, as he was told.
            let _lists = self
                .reconciler
                .router(&router, Reach::Every, patience)
                .await;
        };
        join_all(routers.map(look)).await;
    }

    /// Asks those routers that he has to do with; all where he never had to do with one.
    async fn ask_routers(&self, facts: &mut DiagnosisV1, customer: CustomerId, patience: Duration) {
        let site = self.enforcer.site();
        let subscriber = site.customer(customer);
        let user = subscriber.as_ref().map(|known| {
            let service = match known.connection {
                Connection::Hotspot => Service::Hotspot,
                Connection::Pppoe => Service::Ppp,
                Connection::Dhcp | Connection::Static => Service::Line,
            };
            (service, known.username.clone())
        });
        let his = |router: &Arc<Router>| diagnosis::is_his(facts, router.id);
        let all: Vec<Arc<Router>> = facts
            .routers
            .iter()
            .filter_map(|fact| site.router(fact.router))
            .collect();
        let mut asked: Vec<Arc<Router>> =
            all.iter().filter(|router| his(router)).cloned().collect();
        if asked.is_empty() {
            asked = all;
        }
        asked.truncate(MOST_ASKED);
        let user = user.as_ref();
        let ask = |router: Arc<Router>| async move {
            let told = self.ask_router(&router, user, patience).await;
            (router.id, told)
        };
        for (router, said) in join_all(asked.into_iter().map(ask)).await {
            let fact = facts.routers.iter_mut().find(|fact| fact.router == router);
            if let Some(fact) = fact {
                fact.reach = said.reach;
                fact.hides = said.hides;
                fact.booted = said.booted;
            }
        }
    }

    /// Whether a router answers, since when it runs, and whether a user of its own hides the customer.
    async fn ask_router(
        &self,
        router: &Router,
        user: Option<&(Service, Box<[u8]>)>,
        patience: Duration,
    ) -> Said {
        let asked = match user {
            Some((service, name)) => self.apis.hides(router, *service, name, patience).await,
            None => Err(ApiError::NotSetUp),
        };
        let otherwise = match asked {
            Ok(hides) => {
                let resource = self.apis.resource(router, patience).await.ok();
                let now = self.enforcer.now();
                return Said {
                    reach: ReachV1::Answers,
                    hides,
                    booted: resource.map(|resource| now.minus(resource.uptime)),
                };
            }
            Err(
                ApiError::Shut
                | ApiError::OtherCertificate
                | ApiError::Tls(_)
                | ApiError::Protocol(_)
                | ApiError::LoginRefused(_)
                | ApiError::Refused(_)
                | ApiError::TooMuch
                | ApiError::Busy,
            ) => return Said::only(ReachV1::Answers),
            Err(ApiError::Unreachable(_) | ApiError::TimedOut | ApiError::Closed(_)) => {
                ReachV1::Silent
            }
            Err(ApiError::NotSetUp | ApiError::OutOfRange) => ReachV1::Unclear,
        };
        let probed = tokio::time::timeout(patience, self.enforcer.probe(router)).await;
        match probed {
            Ok(true) => Said::only(ReachV1::Answers),
            Ok(false) | Err(_) => Said::only(otherwise),
        }
    }

    /// A line of a router's list that is no session of ours.
    fn listed_as_open(&self, line: OutsideV1) -> OpenV1 {
        let now = self.enforcer.now();
        OpenV1 {
            router: line.router,
            mac: line.mac,
            started: now.minus(Duration::from_secs(line.uptime_secs)),
            seen: now,
            garden: false,
            outside: Some(line.why),
        }
    }
}

/// What a router said.
struct Said {
    reach: ReachV1,
    hides: bool,
    booted: Option<Timestamp>,
}

impl Said {
    fn only(reach: ReachV1) -> Said {
        Said {
            reach,
            hides: false,
            booted: None,
        }
    }
}

/// Routers asked for one customer.
const MOST_ASKED: usize = 8;
