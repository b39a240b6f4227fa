//! One visit at a router: read, counted, compared, written, read back, told.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::entitlement::{Standing, Verdict};
use easyisp_shared::id::{CustomerId, RouterId};
use easyisp_shared::net::Mac;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::{Connection, PolicyV1};
use easyisp_shared::wire::line::{LinePlace, LineShapeV1, LineState, LineV1, LinesV1};
use tracing::info;

use super::desk::{Due, News};
use super::driver::{INTERVAL, Lines};
use super::given;
use super::rules::{self, Known, Line, Trouble};
use crate::enforce::{self, ABREAST};
use crate::radius::lease::LEASE;
use crate::routeros::{ApiError, FoundLines, LeaseRow, Scope};
use crate::site::{Router, Subscriber};

/// Customers; `None` where one is not known any more.
type People = HashMap<CustomerId, Option<Arc<Subscriber>>>;

/// What a customer is to have at a router.
struct Judged {
    customer: CustomerId,
    verdict: Option<Verdict>,
    outcome: Result<Line, Trouble>,
}

fn with_devices(
    customers: &HashSet<CustomerId>,
    people: &People,
) -> Vec<(CustomerId, Option<Mac>)> {
    let device = |customer: &CustomerId| {
        let known = people.get(customer)?.as_ref()?;
        let first = known.entitlement.macs.first().copied();
        first.filter(|_| known.connection == Connection::Dhcp)
    };
    let customers = customers.iter();
    customers
        .map(|customer| (*customer, device(customer)))
        .collect()
}

impl Lines {
    /// Brings a router to what its lines are to be; how long until its counters are to be read again.
    pub(super) async fn pass(&self, router: &Router, due: &Due) -> Result<Duration, ApiError> {
        let policy = self.parts.site.policy();
        let Some(policy) = policy.row.as_ref() else {
            return Ok(INTERVAL);
        };
        let concerned = self.concerned(router.id, due);
        if concerned.is_empty() && due.news != News::All {
            return Ok(INTERVAL);
        }
        let people = self.people(&concerned);
        let scope = match due.whole {
            true => Scope::All(rules::lists(policy)),
            false => Scope::Of(with_devices(&concerned, &people)),
        };
        let began = self.parts.clock.now();
        let found = self.parts.apis.kept_lines(router, &scope, WITHIN).await?;
        self.count(router.id, &found, self.parts.clock.now());

        let (judged, mut keep) =
            self.judge(router, (concerned, due.whole), &people, &found, policy);
        let mut wanted = Vec::new();
        for one in &judged {
            match &one.outcome {
                Ok(line) => wanted.push(line.clone()),
                Err((LineState::Gone, _)) => {}
                Err((LineState::InForce | LineState::Waiting | LineState::Refused, _)) => {
                    keep.insert(one.customer);
                }
            }
        }
        let refused = self.write(router, &scope, found, &wanted, &keep).await?;
        let now = self.parts.clock.now();
        let again = judged.iter().filter_map(|one| one.verdict.clone());
        let again = rules::read_again(again, INTERVAL);
        self.conclude(router.id, judged, &refused, (began, now));
        Ok(again)
    }

    /// Whom a visit is about: where everything is read, everybody who has or had something there.
    fn concerned(&self, router: RouterId, due: &Due) -> HashSet<CustomerId> {
        let mut concerned = match &due.news {
            News::Of(some) => some.clone(),
            News::Nobody | News::All => HashSet::new(),
        };
        if due.whole {
            concerned.extend(self.at(router));
            let state = self.lock();
            let placed = state.placed.iter().filter(|(_, held)| **held == router);
            concerned.extend(placed.map(|(customer, _)| *customer));
        }
        concerned
    }

    /// As they are before the router is read: by what they become meanwhile, other rows would have been read. The
    /// change brings the next visit.
    fn people(&self, customers: &HashSet<CustomerId>) -> People {
        let customers = customers.iter();
        customers
            .map(|customer| (*customer, self.parts.site.customer(*customer)))
            .collect()
    }

    /// Who is to have what; and of whom nobody knows that yet, because the news that says so has not come whole.
    fn judge(
        &self,
        at: &Router,
        (mut customers, whole): (HashSet<CustomerId>, bool),
        people: &People,
        found: &FoundLines,
        policy: &PolicyV1,
    ) -> (Vec<Judged>, HashSet<CustomerId>) {
        let (now, router) = (self.parts.clock.now(), at.id);
        let plan = {
            let mut state = self.lock();
            let desk = state.desks.0.get_mut(&router);
            desk.and_then(|desk| {
                if let Some(plan) = &found.plan {
                    desk.plan = Some(plan.clone());
                }
                desk.plan.clone()
            })
        };
        // Rows that nobody remembers to have written, as after a start of ours.
        let mut stand: HashSet<CustomerId> = found.queues.iter().map(|row| row.customer).collect();
        stand.extend(found.entries.iter().map(|row| row.customer));
        stand.extend(found.leases.iter().filter_map(|row| row.customer));
        customers.extend(stand.iter().copied());
        let known = Known {
            leases: &found.leases,
            plan: plan.as_ref(),
            may_not_share: false,
        };
        let here = |customer| {
            let line = match people.get(&customer) {
                Some(known) => known.clone(),
                None => self.parts.site.customer(customer),
            };
            let line = line.filter(|line| rules::is_line(line));
            let stands = stand.contains(&customer).then_some(router);
            let placed = self.lock().placed.get(&customer).copied().or(stands);
            line.filter(|line| self.router_of(line, placed) == Some(router))
        };
        let one = |customer| {
            let Some(line) = here(customer) else {
                return Judged {
                    customer,
                    verdict: None,
                    outcome: Err((LineState::Gone, String::new())),
                };
            };
            let known = Known {
                may_not_share: self.parts.site.may_not_share(&line),
                ..known
            };
            let (site, sessions) = (&self.parts.site, &self.parts.sessions);
            let verdict = enforce::of_line(site, sessions, &line, router, now);
            let outcome = match line.connection == Connection::Dhcp && at.leases {
                true => {
                    let held = self.shape(customer);
                    let wanted = Line::by_radius(&line, &verdict, policy, known, held);
                    wanted.map(|wanted| self.lent(router, &line, wanted, &found.leases, now))
                }
                false => Line::of(&line, &verdict, policy, known),
            };
            Judged {
                customer,
                verdict: Some(verdict),
                outcome,
            }
        };
        let stranger =
            |customer: &CustomerId| stand.contains(customer) && here(*customer).is_none();
        let strangers = customers.iter().copied().filter(stranger).collect();
        let since = self.strangers_since(router, strangers, whole, now);
        let (known, unknown): (HashSet<CustomerId>, HashSet<CustomerId>) =
            customers.into_iter().partition(|customer| {
                let line = match people.get(customer) {
                    Some(known) => known.clone(),
                    None => self.parts.site.customer(*customer),
                };
                let is_gone = |since: &Timestamp| self.is_gone(*since, now);
                self.is_certain(line.as_deref(), now) && since.get(customer).is_none_or(is_gone)
            });
        (known.into_iter().map(one).collect(), unknown)
    }

    /// Since when this run has seen rows at a router of those of whom it knows nothing there, and that it did not write.
    /// Who has none any more is forgotten where all rows were read.
    fn strangers_since(
        &self,
        router: RouterId,
        strangers: Vec<CustomerId>,
        whole: bool,
        now: Timestamp,
    ) -> HashMap<CustomerId, Timestamp> {
        let mut state = self.lock();
        let mut before = state.strangers.remove(&router).unwrap_or_default();
        let strangers = strangers.into_iter();
        let strangers = strangers.filter(|customer| !state.placed.contains_key(customer));
        let since: HashMap<CustomerId, Timestamp> = strangers
            .map(|customer| (customer, before.get(&customer).copied().unwrap_or(now)))
            .collect();
        let seen = since.iter().map(|(customer, since)| (*customer, *since));
        match whole {
            true => before = seen.collect(),
            false => before.extend(seen),
        }
        state.strangers.insert(router, before);
        since
    }

    /// Whether somebody whose rows this run has seen since then, and of whom nothing is known there, has nothing there: it
    /// has heard all that the cloud has to say since, also what a link that was dying kept back. Else he may be newer than
    /// what the disk held, or moved since, and the site's other agent may have written his rows.
    fn is_gone(&self, since: Timestamp, now: Timestamp) -> bool {
        self.parts.site.was_abreast_after(since.plus(ABREAST), now)
    }

    /// Whether what somebody is to have is known, though more may be told of him that has not come.
    fn is_certain(&self, line: Option<&Subscriber>, now: Timestamp) -> bool {
        let site = &self.parts.site;
        let is_over = |line: &Subscriber| {
            let is_active = line.entitlement.standing == Standing::Active;
            is_active && site.stated_end(line, Timestamp::default()) <= now
        };
        if site.is_behind_itself() && line.is_some_and(is_over) {
            return false; // he may have paid by then
        }
        if site.is_complete() {
            return true;
        }
        let Some(line) = line.filter(|line| rules::is_line(line)) else {
            return false;
        };
        let is_known = line
            .package
            .is_none_or(|package| site.package(package).is_some());
        let is_stopped = line.entitlement.standing != Standing::Active;
        is_known || is_stopped || site.stated_end(line, Timestamp::default()) <= now
    }

    /// Takes what the router has lent to his device: whether he is online, and how long it has been too slow.
    fn lent(
        &self,
        router: RouterId,
        line: &Subscriber,
        mut wanted: Line,
        leases: &[LeaseRow],
        now: Timestamp,
    ) -> Line {
        let row = wanted
            .given
            .as_ref()
            .and_then(|given| given::lent(leases, given.device));
        let open = wanted
            .shape
            .is_some_and(|shape| shape.place == LinePlace::Open);
        self.see_lease(router, line, row.filter(|_| open), now);
        let is_slow = wanted.is_slow(leases);
        let mut state = self.lock();
        let since = match is_slow {
            true => Some(*state.slow.entry(line.id).or_insert(now)),
            false => {
                state.slow.remove(&line.id);
                None
            }
        };
        drop(state);
        if let Some(given) = &mut wanted.given {
            given.impatient = since.is_some_and(|since| now.since(since) >= LEASE);
        }
        wanted
    }

    /// Writes what is missing, and reads it back; who is refused, and why.
    async fn write(
        &self,
        router: &Router,
        scope: &Scope,
        found: FoundLines,
        wanted: &[Line],
        keep: &HashSet<CustomerId>,
    ) -> Result<HashMap<CustomerId, String>, ApiError> {
        let fixes = rules::fixes(&found, wanted, keep);
        let written = fixes.customers();
        let mut refused: HashMap<CustomerId, String> = fixes.refused.into_iter().collect();
        if written.is_empty() {
            return Ok(refused);
        }
        let apis = &self.parts.apis;
        let mut said = apis.write_lines(router, fixes.drops, WITHIN).await?;
        said.extend(apis.write_lines(router, fixes.puts, WITHIN).await?);
        let said: HashMap<CustomerId, String> = said.into_iter().collect();
        let found = apis.kept_lines(router, scope, WITHIN).await?;
        self.count(router.id, &found, self.parts.clock.now());
        let left = rules::fixes(&found, wanted, keep);
        for customer in left.customers() {
            let why = said.get(&customer).map_or_else(
                || "The router shows something else than was written.".to_owned(),
                |said| format!("The router refused: {said}."),
            );
            refused.entry(customer).or_insert(why);
        }
        info!(
            router.id = %router.id,
            "Brought {} lines of router {} to what they are to be, {} refused",
            written.len(), router.name, refused.len()
        );
        Ok(refused)
    }

    /// Notes what stands where, sets the timers, ends who may not be online, and tells what is new.
    fn conclude(
        &self,
        router: RouterId,
        judged: Vec<Judged>,
        refused: &HashMap<CustomerId, String>,
        (began, now): (Timestamp, Timestamp),
    ) {
        let mut told = Vec::with_capacity(judged.len());
        for one in judged {
            let customer = one.customer;
            let next = one.verdict.as_ref().and_then(|verdict| verdict.next_change);
            let held = self.shape(customer);
            // Who waits for his device is online, or not, by his lease and his router's reports.
            let waits = one.outcome.as_ref().is_ok_and(|line| line.waits.is_some());
            let (state, why, shape) = match (one.outcome, refused.get(&customer)) {
                (Ok(line), None) => match line.waits {
                    None => (LineState::InForce, String::new(), line.shape),
                    Some(why) => (LineState::Waiting, why.to_owned(), held),
                },
                (Ok(_), Some(why)) => (LineState::Refused, why.clone(), held),
                (Err((LineState::Gone, why)), _) => (LineState::Gone, why, None),
                (Err((state, why)), _) => (state, why, held),
            };
            let here = state != LineState::Gone;
            {
                let mut state = self.lock();
                match state.placed.get(&customer) {
                    Some(placed) if *placed != router => {}
                    Some(_) | None if here => {
                        state.placed.insert(customer, router);
                    }
                    Some(_) | None => {
                        state.placed.remove(&customer);
                    }
                }
            }
            if here {
                self.timers.arm(&customer, next);
            }
            let open = shape.is_some_and(|shape| shape.place == LinePlace::Open);
            if !open && !waits {
                let reason = one.verdict.map(|verdict| verdict.reason);
                self.end(customer, router, reason, began);
            }
            told.push(LineV1 {
                customer,
                state,
                why,
                shape,
            });
        }
        self.tell(router, told, now);
    }

    /// What the router has of him, as it was read back last.
    pub(super) fn shape(&self, customer: CustomerId) -> Option<LineShapeV1> {
        self.lock().told.get(&customer).and_then(|told| told.shape)
    }

    /// Says that these wait for their router.
    pub(super) fn waiting(&self, router: RouterId, customers: Vec<CustomerId>, why: &str) {
        let one = |customer| LineV1 {
            customer,
            state: LineState::Waiting,
            why: why.to_owned(),
            shape: self.shape(customer),
        };
        let told = customers.into_iter().map(one).collect();
        self.tell(router, told, self.parts.clock.now());
    }

    fn tell(&self, router: RouterId, lines: Vec<LineV1>, at: Timestamp) {
        let news: Vec<LineV1> = {
            let mut state = self.lock();
            let told = &mut state.told;
            let is_news = |line: &LineV1| match line.state {
                LineState::Gone => told.remove(&line.customer).is_some(),
                LineState::InForce | LineState::Waiting | LineState::Refused => {
                    let before = told.insert(line.customer, line.clone());
                    before.as_ref() != Some(line)
                }
            };
            lines.into_iter().filter(is_news).collect()
        };
        for some in news.chunks(AT_ONCE) {
            self.parts.radius.report_result(&Up::Lines(LinesV1 {
                router,
                at,
                lines: some.to_vec(),
            }));
        }
    }
}

const WITHIN: Duration = Duration::from_secs(10);
/// In one report.
const AT_ONCE: usize = 200;
