//! Reads every device of a site, each at its own turn, and tells the cloud: the first reading and every
//! change at once, the rest some minutes at a time.

use std::collections::HashMap;
use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::monitor::{
    DeviceFactsV1, MetricsV1, PackedMetricsV1, ReadingsV1, SampleV1, SnmpAuth, SnmpPrivacy,
};
use easyisp_shared::wire::router::SnmpReadingV1;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::exchange::{Exchange, Walked};
use super::rates::{self, Through};
use super::reading::{self, Reading};
use super::schedule::Schedule;
use super::session::{Access, Session, SnmpError, User};
use super::told;
use super::usm::{Auth, Privacy};
use super::walk::{Part, Values};
use crate::diagnosis::Counters;
use crate::radius::driver::Radius;
use crate::site::{Entry, Monitored, Ranges, Site, SiteClock};

/// What polling works with.
pub struct Parts {
    /// Which devices there are.
    pub site: Arc<Site>,
    /// Writes what they say.
    pub radius: Arc<Radius>,
    /// What time it is.
    pub clock: Arc<SiteClock>,
    /// How many answered, and how many did not.
    pub counters: Arc<Counters>,
    /// Ids and salts.
    pub entropy: Entropy,
    /// Only inside these anybody is asked.
    pub ranges: Ranges,
    /// Where questions leave from.
    pub local: IpAddr,
    /// Whether every octet costs: then only problems travel, and a sample an hour.
    pub metered: bool,
}

/// Reads devices.
pub struct Poller {
    parts: Parts,
    exchange: Exchange,
    devices: Mutex<HashMap<RouterId, Arc<Device>>>,
    schedule: Mutex<Schedule>,
    slots: Arc<Semaphore>,
    cancel: CancellationToken,
    /// Whether the cloud reads packed metrics.
    packs: AtomicBool,
}

/// A device, under one setting.
struct Device {
    router: RouterId,
    address: SocketAddr,
    /// Names the settings.
    settings: [u8; 8],
    state: tokio::sync::Mutex<State>,
}

struct State {
    session: Session,
    known: Option<Known>,
    last: Option<Last>,
    unsent: Unsent,
}

/// What a full reading found.
struct Known {
    values: Values,
    parts: Vec<Part>,
    /// Interfaces that are not watched: there are too many.
    left_out: u32,
    /// When, in time since the start.
    at: Duration,
}

struct Last {
    reading: Reading,
    at: Duration,
}

/// What the cloud was told, and what it was not yet.
#[derive(Default)]
struct Unsent {
    samples: Vec<SampleV1>,
    facts: Option<DeviceFactsV1>,
    /// The last problem told; `None` before the first report.
    problem: Option<Option<String>>,
    /// How the interfaces were when it was read last.
    links: Vec<Option<u32>>,
    left_out: u32,
}

fn packed(told: MetricsV1, ports_left_out: u32) -> Option<PackedMetricsV1> {
    let readings = ReadingsV1::V1 {
        told,
        ports_left_out,
    };
    let mut deflated = DeflateEncoder::new(Vec::new(), Compression::default());
    deflated.write_all(&readings.encode()).ok()?;
    let deflated = deflated.finish().ok()?;
    Some(PackedMetricsV1 { deflated })
}

impl Poller {
    /// Ready to [`run`](Poller::run).
    pub fn new(parts: Parts, cancel: CancellationToken) -> Arc<Poller> {
        Arc::new(Poller {
            exchange: Exchange::new(parts.local, parts.entropy.clone(), cancel.clone()),
            parts,
            devices: Mutex::default(),
            schedule: Mutex::default(),
            slots: Arc::new(Semaphore::new(AT_ONCE)),
            cancel,
            packs: AtomicBool::new(false),
        })
    }

    /// From here on what is told is packed, or not: the cloud said what it reads.
    pub fn pack(&self, packs: bool) {
        self.packs.store(packs, Ordering::Relaxed);
    }

    /// Reads every device at its turn, until cancelled.
    pub async fn run(self: Arc<Self>) {
        let tasks = TaskTracker::new();
        let turns = async {
            let mut settled = None;
            loop {
                let now = self.parts.clock.monotonic();
                if settled.is_none_or(|settled| now.saturating_sub(settled) >= LOOK) {
                    self.settle();
                    settled = Some(now);
                }
                let room = self.slots.available_permits();
                for router in self.schedule().take(now, room) {
                    let Ok(slot) = self.slots.clone().try_acquire_owned() else {
                        break;
                    };
                    let (poller, cancel) = (self.clone(), self.cancel.clone());
                    tasks.spawn(async move {
                        cancel.run_until_cancelled(poller.turn(router)).await;
                        drop(slot);
                    });
                }
                let due = self.schedule().next();
                let rest = due
                    .map_or(LOOK, |due| due.saturating_sub(now))
                    .clamp(SOON, LOOK);
                self.parts.clock.sleep(rest).await;
            }
        };
        let _cancelled = self.cancel.run_until_cancelled(turns).await;
        tasks.close();
        tasks.wait().await;
    }

    /// Takes over the site's present settings.
    fn settle(&self) {
        let wanted = self.parts.site.all_monitored();
        let now = self.parts.clock.monotonic();
        let mut schedule = self.schedule();
        for device in &wanted {
            let interval = Duration::from_secs(u64::from(device.interval_secs));
            schedule.set(device.router, interval, now);
        }
        if schedule.len() > wanted.len() {
            schedule.keep(|router| wanted.iter().any(|device| device.router == router));
            let mut devices = self.devices();
            devices.retain(|router, _| wanted.iter().any(|device| device.router == *router));
        }
    }

    async fn turn(&self, router: RouterId) {
        let answered = match self.device(router).await {
            Some(device) => {
                let answered = self.poll(&device).await;
                let name = if answered { "snmp_read" } else { "snmp_silent" };
                self.parts.counters.count(name);
                answered
            }
            None => true, // taken away meanwhile
        };
        let now = self.parts.clock.monotonic();
        self.schedule().done(router, answered, now);
    }

    /// Reads a device and notes what it said, or why it said nothing.
    async fn poll(&self, device: &Device) -> bool {
        let mut state = device.state.lock().await;
        let read = tokio::time::timeout(LONGEST_POLL, self.read(device, &mut state)).await;
        let read = read.unwrap_or(Err(SnmpError::Silent));
        let at = self.parts.clock.now();
        match read {
            Ok((reading, through, first)) => {
                let sample = told::sample(&reading, &through, at, first);
                self.note(
                    device.router,
                    &mut state,
                    Ok((told::facts(&reading), sample)),
                    at,
                );
                true
            }
            Err(cause) => {
                debug!(router.id = %device.router, %cause, "Cannot read a device");
                state.known = None;
                self.note(device.router, &mut state, Err(cause.to_string()), at);
                false
            }
        }
    }

    /// Reads a device now, for somebody who waits for it.
    pub async fn now(&self, router: RouterId) -> Result<Option<SnmpReadingV1>, SnmpError> {
        let Some(device) = self.device(router).await else {
            return Ok(None);
        };
        let mut state = device.state.lock().await;
        let read = self.read(&device, &mut state).await;
        let at = self.parts.clock.now();
        let (reading, through, first) = match read {
            Ok(read) => {
                if let Some(router) = self.parts.site.router(router) {
                    router.note_alive();
                }
                read
            }
            Err(cause) => {
                self.note(router, &mut state, Err(cause.to_string()), at);
                return Err(cause);
            }
        };
        let (facts, sample) = (
            told::facts(&reading),
            told::sample(&reading, &through, at, first),
        );
        self.note(router, &mut state, Ok((facts.clone(), sample.clone())), at);
        let octets = reading.interfaces.iter().map(|port| {
            (
                port.input.map(|input| input.octets),
                port.output.map(|output| output.octets),
            )
        });
        Ok(Some(SnmpReadingV1 {
            facts,
            started: sample
                .uptime_secs
                .map(|secs| at.minus(Duration::from_secs(secs))),
            sample,
            octets: octets.collect(),
        }))
    }

    /// Everything once an hour and after every change, else what changes.
    async fn read(
        &self,
        device: &Device,
        state: &mut State,
    ) -> Result<(Reading, Vec<Through>, Duration), SnmpError> {
        if !self.parts.ranges.contain(device.address.ip()) {
            return Err(SnmpError::OutOfRange);
        }
        let now = self.parts.clock.monotonic();
        let State {
            session,
            known,
            last,
            ..
        } = state;
        let fresh = known
            .as_ref()
            .filter(|known| now.saturating_sub(known.at) < FULL_EVERY);
        let mut renewed = None;
        if let Some(known) = fresh {
            let parts = known.parts.clone();
            let walked = self.exchange.walk(session, device.address, parts).await?;
            let values = reading::renewed(&known.values, &known.parts, walked.values);
            renewed = values.map(|values| (values, walked.first));
        }
        let (values, first) = match renewed {
            Some((values, first)) => {
                if let Some(known) = known {
                    known.values = values.clone();
                }
                (values, first)
            }
            None => {
                let walked = self.everything(session, device.address).await?;
                let (values, beyond) = reading::watched(walked.values, MOST_PORTS);
                *known = Some(Known {
                    parts: reading::what_changes(&values),
                    values: values.clone(),
                    left_out: u32::try_from(beyond).unwrap_or(u32::MAX),
                    at: now,
                });
                (values, walked.first)
            }
        };
        let now = self.parts.clock.monotonic();
        let reading = reading::read(&values);
        let through = match last.as_ref() {
            Some(last) => rates::through(&last.reading, &reading, now.saturating_sub(last.at)),
            None => Vec::new(),
        };
        *last = Some(Last {
            reading: reading.clone(),
            at: now,
        });
        Ok((reading, through, first))
    }

    async fn everything(
        &self,
        session: &mut Session,
        address: SocketAddr,
    ) -> Result<Walked, SnmpError> {
        let mut walked = self
            .exchange
            .walk(session, address, reading::everything())
            .await?;
        if reading::lacks_counters(&walked.values) {
            let narrow = reading::narrow_counters();
            let more = self.exchange.walk(session, address, narrow).await?;
            walked.values.extend(more.values);
        }
        Ok(walked)
    }

    /// Tells the cloud at once what is news, and the rest when there is enough of it.
    fn note(
        &self,
        router: RouterId,
        state: &mut State,
        read: Result<(DeviceFactsV1, SampleV1), String>,
        at: Timestamp,
    ) {
        let left_out = state.known.as_ref().map_or(0, |known| known.left_out);
        let unsent = &mut state.unsent;
        let problem = read.as_ref().err().cloned();
        let turned = unsent.problem.as_ref() != Some(&problem);
        if turned && let Some(problem) = &problem {
            info!(router.id = %router, "A device does not answer SNMP: {problem}");
        }
        let mut news = turned;
        let mut facts = None;
        if let Ok((seen, sample)) = read {
            if unsent.facts.as_ref() != Some(&seen) || unsent.left_out != left_out {
                if left_out > 0 {
                    warn!(router.id = %router, "A device has more interfaces than are watched: {left_out} are left out");
                }
                // Samples tell sensors and interfaces in the order of the facts before them.
                let before = std::mem::take(&mut unsent.samples);
                if !before.is_empty() {
                    self.tell(router, (at, None), None, before, unsent.left_out);
                }
                unsent.left_out = left_out;
                unsent.facts = Some(seen.clone());
                facts = Some(Box::new(seen));
                news = true;
            }
            // A line that goes down or comes up is told at once.
            let links: Vec<Option<u32>> = sample.ports.iter().map(|port| port.status).collect();
            news |= unsent.links.len() == links.len() && unsent.links != links;
            unsent.links = links;
            unsent.samples.push(sample);
        }
        let pause = if self.parts.metered {
            METERED_REPORT
        } else {
            REPORT
        };
        let oldest = unsent.samples.first().map(|sample| sample.at);
        if !news && oldest.is_some_and(|oldest| at.since(oldest) < pause) {
            if self.parts.metered && unsent.samples.len() > 1 {
                unsent.samples.pop();
            }
            return;
        }
        if !news && oldest.is_none() {
            return;
        }
        let samples = std::mem::take(&mut unsent.samples);
        unsent.problem = Some(problem.clone());
        let left_out = unsent.left_out;
        self.tell(router, (at, problem), facts, samples, left_out);
    }

    fn tell(
        &self,
        router: RouterId,
        (at, problem): (Timestamp, Option<String>),
        facts: Option<Box<DeviceFactsV1>>,
        samples: Vec<SampleV1>,
        ports_left_out: u32,
    ) {
        let told = MetricsV1 {
            router,
            at,
            problem,
            facts,
            samples,
        };
        let up = match self.packs.load(Ordering::Relaxed) {
            true => match packed(told, ports_left_out) {
                Some(packed) => Up::PackedMetrics(packed),
                None => return, // a growing buffer takes everything
            },
            false => Up::Metrics(Box::new(told)),
        };
        self.parts.radius.report_reading(&up);
    }

    /// The device under its present settings; `None` when it is not to be read.
    async fn device(&self, router: RouterId) -> Option<Arc<Device>> {
        let site = &self.parts.site;
        let (wanted, held) = (site.monitored(router)?, site.router(router)?);
        let address = SocketAddr::new(held.proved_place(), wanted.port);
        let known = self.devices().get(&router).cloned();
        let same =
            |device: &Arc<Device>| device.settings == wanted.name && device.address == address;
        if let Some(device) = known.filter(same) {
            return Some(device);
        }
        let name = wanted.name;
        let made = tokio::task::spawn_blocking(move || access(&wanted)).await;
        let access = made.ok()?; // else the process ends
        let device = Arc::new(Device {
            router,
            address,
            settings: name,
            state: tokio::sync::Mutex::new(State {
                session: Session::new(
                    Arc::new(access),
                    u64::from_be_bytes(self.parts.entropy.bytes()),
                ),
                known: None,
                last: None,
                unsent: Unsent::default(),
            }),
        });
        self.devices().insert(router, device.clone());
        Some(device)
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<RouterId, Arc<Device>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the keys of the passwords.
fn access(wanted: &Monitored) -> Access {
    match &wanted.access {
        Entry::Community(community) => Access::Community(community.clone()),
        Entry::User {
            name,
            auth,
            privacy,
        } => {
            let auth = auth.as_ref().map(|(auth, password)| {
                let auth = match auth {
                    SnmpAuth::Md5 => Auth::Md5,
                    SnmpAuth::Sha1 => Auth::Sha1,
                    SnmpAuth::Sha224 => Auth::Sha224,
                    SnmpAuth::Sha256 => Auth::Sha256,
                    SnmpAuth::Sha384 => Auth::Sha384,
                    SnmpAuth::Sha512 => Auth::Sha512,
                };
                (auth, password.as_slice())
            });
            let privacy = privacy.as_ref().map(|(privacy, password)| {
                let privacy = match privacy {
                    SnmpPrivacy::Des => Privacy::Des,
                    SnmpPrivacy::Aes128 => Privacy::Aes128,
                };
                (privacy, password.as_slice())
            });
            Access::User(User::new(name.as_bytes(), auth, privacy))
        }
    }
}

/// Devices being read at the same time.
const AT_ONCE: usize = 128;
/// Names, types and comments of interfaces seldom change.
const FULL_EVERY: Duration = Duration::from_secs(3600);
/// The most interfaces of a device that are watched.
const MOST_PORTS: usize = 128;
/// A device that answers this slowly is as good as silent.
const LONGEST_POLL: Duration = Duration::from_secs(45);
/// How long samples wait for company.
const REPORT: Duration = Duration::from_secs(300);
const METERED_REPORT: Duration = Duration::from_secs(3600);
/// How often new settings are looked for.
const LOOK: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;

    use easyisp_shared::wire::monitor::PortSampleV1;
    use flate2::read::DeflateDecoder;

    use super::*;

    /// Five minutes of a switch of thirty ports take less than half of their octets.
    #[test]
    fn readings_are_packed_and_read_again() {
        let sample = |minute: u64| SampleV1 {
            at: Timestamp::from_secs(1_800_000_000 + 60 * minute as i64),
            millis: 2,
            uptime_secs: Some(1_000_000 + 60 * minute),
            cpu: Some(7),
            memory_used: Some(300 << 20),
            disk_used: None,
            ppp: None,
            hotspot: None,
            leases: None,
            sensors: vec![Some(47_000)],
            ports: (0..30)
                .map(|port| PortSampleV1 {
                    status: Some(1),
                    in_bps: Some(port * 1_000_003 + minute * 77),
                    out_bps: Some(port * 3_000_017),
                    errors: 0,
                    drops: 0,
                })
                .collect(),
        };
        let told = MetricsV1 {
            router: RouterId(uuid::Uuid::from_u128(6)),
            at: Timestamp::from_secs(1_800_000_300),
            problem: None,
            facts: None,
            samples: (0..5).map(sample).collect(),
        };
        let plain = Up::Metrics(Box::new(told.clone())).encode();
        let small = packed(told.clone(), 3).unwrap();
        let mut octets = Vec::new();
        let mut inflating = DeflateDecoder::new(small.deflated.as_slice());
        inflating.read_to_end(&mut octets).unwrap();
        let readings = ReadingsV1::V1 {
            told,
            ports_left_out: 3,
        };
        assert_eq!(ReadingsV1::decode(&octets), Ok(readings));
        let packed = Up::PackedMetrics(small).encode();
        assert!(
            packed.len() * 2 < plain.len(),
            "{} of {}",
            packed.len(),
            plain.len()
        );
    }
}
