//! A RouterOS API client: who is online at a router, end a session, how the router is.
//!
//! One connection for each router, kept open and made anew when it ended. Only addresses inside
//! `[site] ranges` are dialled. The codec, the bookkeeping of commands and the reading of rows are pure;
//! `connection` owns the socket.

mod calls;
pub mod codec;
mod configuration;
mod connection;
mod drift;
mod firmware;
mod guard;
mod guards;
mod hands;
mod lines;
mod lists;
pub mod live;
mod login;
pub mod menus;
mod pages;
mod refusals;
mod rows;
#[cfg(test)]
mod samples;
pub mod sentence;
mod setup;
mod subscribers;
mod tls;
pub mod values;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use easyisp_shared::id::RouterId;
use tracing::{debug, info};

pub use configuration::Configured;
pub use connection::{Access, ApiError};
pub use lines::{EntryRow, Fix, FoundLines, LeaseRow, Menu, QueueRow, QueueShape, Scope};
pub use menus::{Active, LINE, LocalSecret, Rates, Resource, Roll};
pub use subscribers::Told as Subscribers;
pub use tls::Pins;

use calls::Answer;
use connection::Connection;
use refusals::Refusals;
use sentence::Command;

use crate::sessions::Service;
use crate::site::{Ranges, Router, Site};

/// The APIs of a site's routers.
pub struct RouterApis {
    ranges: Ranges,
    pins: Pins,
    lines: Mutex<HashMap<RouterId, Arc<Line>>>,
    /// Which guards on a router are this agent's to call off.
    guards: guards::Guards,
    /// The routers at which it was looked for what was left to guard before this agent was started.
    swept: Mutex<HashSet<RouterId>>,
    /// Users of routers that somebody reads page by page.
    lists: lists::Lists,
}

/// One router's line. The lock is held while a connection is made, not while commands run.
struct Line {
    /// What names the settings this line was made with.
    settings: String,
    state: tokio::sync::Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<Arc<Connection>>,
    /// What the last dial met: for a moment, who asks hears the same again.
    failed: Option<(Instant, ApiError)>,
    /// How often it refused the login, and when it is asked again.
    refusals: Refusals,
}

impl RouterApis {
    /// Dials only inside `ranges`; believes certificates by `pins`.
    pub fn new(ranges: Ranges, pins: Pins) -> RouterApis {
        RouterApis {
            ranges,
            pins,
            lines: Mutex::default(),
            guards: guards::Guards::of(None),
            swept: Mutex::default(),
            lists: lists::Lists::default(),
        }
    }

    /// The same for an agent of this site: another one of it has guards of its own.
    #[must_use]
    pub fn of_site(self, site: Arc<Site>) -> RouterApis {
        RouterApis {
            guards: guards::Guards::of(Some(site)),
            ..self
        }
    }

    /// Everybody on both of the router's lists, or only those of one name.
    pub async fn active(
        &self,
        router: &Router,
        name: Option<&[u8]>,
        within: Duration,
    ) -> Result<Vec<Active>, ApiError> {
        Ok(self.roll(router, name, within).await?.lines)
    }

    /// The same, and whether the lists are whole.
    pub async fn roll(
        &self,
        router: &Router,
        name: Option<&[u8]>,
        within: Duration,
    ) -> Result<Roll, ApiError> {
        let list = async |service| {
            let asked = self.ask(router, menus::active(service, name), within).await;
            match asked {
                Ok(answer) => Ok(Some(answer.rows)),
                // A package that is not installed has no list, and so none on which somebody is missing.
                Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(None),
                Err(cause) => Err(cause),
            }
        };
        let (ppp, hotspot) = tokio::join!(list(Service::Ppp), list(Service::Hotspot));
        let mut roll = Roll::default();
        for (service, rows) in [(Service::Ppp, ppp?), (Service::Hotspot, hotspot?)] {
            if let Some(rows) = rows {
                roll.take(service, &rows);
            }
        }
        Ok(roll)
    }

    /// Everybody on both of the router's own lists of users who is switched on, or only who has one name.
    /// RouterOS answers them by itself: RADIUS is not asked.
    pub async fn local_secrets(
        &self,
        router: &Router,
        name: Option<&[u8]>,
        within: Duration,
    ) -> Result<Vec<LocalSecret>, ApiError> {
        let list = async |service| {
            let command = menus::local_secrets(service, name);
            match self.ask(router, command, within).await {
                Ok(answer) => {
                    let rows = answer.rows.into_iter();
                    let rows = rows.filter_map(|row| menus::read_local_secret(service, &row));
                    Ok(rows.collect::<Vec<LocalSecret>>())
                }
                // A package that is not installed has no users.
                Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(Vec::new()),
                Err(cause) => Err(cause),
            }
        };
        let (ppp, hotspot) = tokio::join!(list(Service::Ppp), list(Service::Hotspot));
        let (mut all, hotspot) = (ppp?, hotspot?);
        all.extend(hotspot);
        Ok(all)
    }

    /// Takes a session off the router's list. One that is not there any more is no error.
    pub async fn remove(
        &self,
        router: &Router,
        active: &Active,
        within: Duration,
    ) -> Result<(), ApiError> {
        let command = menus::remove(active.service, &active.id);
        match self.ask(router, command, within).await {
            Ok(_) => Ok(()),
            Err(ApiError::Refused(trap)) if trap.is_missing_item() => Ok(()),
            Err(cause) => Err(cause),
        }
    }

    /// Whether a user on the router itself has this name, so that RADIUS is not asked for it.
    pub async fn hides(
        &self,
        router: &Router,
        service: Service,
        name: &[u8],
        within: Duration,
    ) -> Result<bool, ApiError> {
        let command = menus::local_secrets(service, Some(name));
        match self.ask(router, command, within).await {
            Ok(answer) => {
                let mut rows = answer.rows.iter();
                Ok(rows.any(|row| menus::read_local_secret(service, row).is_some()))
            }
            // A package that is not installed has no users.
            Err(ApiError::Refused(trap)) if trap.is_missing_command() => Ok(false),
            Err(cause) => Err(cause),
        }
    }

    /// How the router is.
    pub async fn resource(&self, router: &Router, within: Duration) -> Result<Resource, ApiError> {
        let answer = self.ask(router, menus::resource(), within).await?;
        let read = answer.rows.first().and_then(menus::read_resource);
        read.ok_or(ApiError::Protocol(codec::CodecError::NoReply))
    }

    /// The limit of a subscriber's queue; `None` where the router has no queue for him.
    pub async fn limit(
        &self,
        router: &Router,
        service: Service,
        name: &[u8],
        within: Duration,
    ) -> Result<Option<Rates>, ApiError> {
        let answer = self
            .ask(router, menus::queue(service, name), within)
            .await?;
        Ok(answer.rows.first().and_then(menus::read_limit))
    }

    /// What goes through a subscriber's session now.
    pub async fn rate(
        &self,
        router: &Router,
        service: Service,
        name: &[u8],
        within: Duration,
    ) -> Result<Rates, ApiError> {
        if service == Service::Ppp {
            let told = self.ask(router, menus::traffic(name), within).await;
            match told.map(|answer| answer.rows.first().and_then(menus::read_traffic)) {
                Ok(Some(rates)) => return Ok(rates),
                // The interface bears another name; the queue may not.
                Ok(None) | Err(ApiError::Refused(_)) => {}
                Err(cause) => return Err(cause),
            }
        }
        let answer = self
            .ask(router, menus::queue(service, name), within)
            .await?;
        let read = answer.rows.first().and_then(menus::read_rate);
        Ok(read.unwrap_or_default())
    }

    /// Asks a command that must not be carried out twice: over a connection that just answered, and once.
    async fn ask_once(
        &self,
        router: &Router,
        command: Command,
        within: Duration,
    ) -> Result<Answer, ApiError> {
        let asking = async {
            self.ask(router, live::identity(), within).await?;
            let (_, connection) = self.connection(router).await?;
            connection.ask(command).await
        };
        let late = |_| ApiError::TimedOut;
        tokio::time::timeout(within, asking).await.map_err(late)?
    }

    /// Asks a command, over the connection there is or a new one.
    async fn ask(
        &self,
        router: &Router,
        command: Command,
        within: Duration,
    ) -> Result<Answer, ApiError> {
        let asking = async {
            let (line, connection) = self.connection(router).await?;
            let answer = connection.ask(command.clone()).await;
            if !matches!(answer, Err(ApiError::Closed(_))) {
                return answer;
            }
            // It had ended while it lay idle: what we ask can be asked twice.
            line.forget(&connection).await;
            let (_, connection) = self.connection(router).await?;
            connection.ask(command).await
        };
        let late = |_| ApiError::TimedOut;
        tokio::time::timeout(within, asking).await.map_err(late)?
    }

    async fn connection(&self, router: &Router) -> Result<(Arc<Line>, Arc<Connection>), ApiError> {
        let access = router.api_access().ok_or(ApiError::NotSetUp)?;
        if !self.ranges.contain(access.access.address.ip()) {
            return Err(ApiError::OutOfRange);
        }
        // A certificate stays a router's own wherever it is; a connection leads to one address.
        let settings = format!("{} {}", access.name, access.access.address.ip());
        let line = self.line(router.id, &settings);
        let mut state = line.state.lock().await;
        if let Some(open) = state.connection.as_ref().filter(|held| held.is_open()) {
            let open = open.clone();
            drop(state);
            return Ok((line, open));
        }
        let now = Instant::now();
        match &state.failed {
            Some((_, ApiError::LoginRefused(words))) => {
                if let Some(rest) = state.refusals.rest(now) {
                    return Err(later(words, rest));
                }
            }
            Some((at, cause)) if now.saturating_duration_since(*at) < DIAL_AGAIN => {
                return Err(cause.clone());
            }
            Some(_) | None => {}
        }
        match Connection::open(&access.access, self.pins.of(&access.name)).await {
            Ok((connection, met)) => {
                info!(router.id = %router.id, "Entered the API of router {}", router.name);
                router.note_alive();
                if let Some(met) = met {
                    self.pins.learn(&access.name, met);
                }
                let connection = Arc::new(connection);
                state.connection = Some(connection.clone());
                state.failed = None;
                state.refusals.entered();
                let is_first = {
                    let swept = self.swept.lock();
                    swept
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(router.id)
                };
                if is_first {
                    guard::sweep(&self.guards, &connection, router).await;
                }
                drop(state);
                Ok((line, connection))
            }
            Err(cause) => {
                debug!(router.id = %router.id, %cause, "Cannot enter the API of router {}", router.name);
                let now = Instant::now();
                state.failed = Some((now, cause.clone()));
                if matches!(cause, ApiError::LoginRefused(_)) {
                    state.refusals.refused(router.id, now);
                }
                Err(cause)
            }
        }
    }

    /// Has the router be dialled at the next question: it gave a sign of life. One that refused the login is left
    /// alone still.
    pub async fn dial_again(&self, router: RouterId) {
        let line = self.lines().get(&router).cloned();
        if let Some(line) = line {
            let mut state = line.state.lock().await;
            if !matches!(state.failed, Some((_, ApiError::LoginRefused(_)))) {
                state.failed = None;
            }
        }
    }

    /// The line of these settings; one made with others is hung up.
    fn line(&self, router: RouterId, settings: &str) -> Arc<Line> {
        let mut lines = self.lines();
        let held = lines.get(&router);
        if let Some(held) = held.filter(|held| held.settings == settings) {
            return held.clone();
        }
        let line = Arc::new(Line {
            settings: settings.to_owned(),
            state: tokio::sync::Mutex::default(),
        });
        lines.insert(router, line.clone());
        line
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<RouterId, Arc<Line>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    async fn forget(&self, ended: &Arc<Connection>) {
        let mut state = self.state.lock().await;
        let same = |held: &Arc<Connection>| Arc::ptr_eq(held, ended);
        if state.connection.as_ref().is_some_and(same) {
            state.connection = None;
        }
    }
}

/// What whoever asks hears while a router that refused the login is left alone.
fn later(words: &str, rest: Duration) -> ApiError {
    ApiError::LoginRefused(format!(
        "{words}; it is not tried again for {} s, unless another user or password is entered",
        rest.as_secs() + 1
    ))
}

/// A router that just could not be entered is not dialled again for every question.
const DIAL_AGAIN: Duration = Duration::from_secs(2);
