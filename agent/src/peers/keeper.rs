//! Looks after the voucher post: says to the cloud who may take it, and takes it from who is silent.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use easyisp_shared::id::AgentId;
use easyisp_shared::wire::question::{AgentQuestion, AskFailure, CloudReply};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::{DEPUTY, Peers};
use crate::enforce::Enforcer;
use crate::sessions::Online;
use crate::sync::Asker;

/// How often a post was asked for in vain.
#[derive(Default)]
struct Tries {
    term: u64,
    refused: u32,
    next: Duration,
}

impl Peers {
    /// Runs until cancelled.
    pub async fn keep(self: Arc<Self>, asker: Asker, cancel: CancellationToken) {
        let mut changes = self.changes.subscribe();
        let mut link = self.parts.link.clone();
        let mut tries = Tries::default();
        let mut had_cloud = self.has_cloud();
        loop {
            if self.has_cloud() != had_cloud {
                had_cloud = !had_cloud;
                self.echo_all().await;
            }
            if had_cloud {
                self.say_deputies(&asker).await;
                self.take_over(&asker, &mut tries).await;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = changes.changed() => {}
                Ok(()) = link.changed() => {}
                () = self.parts.clock.sleep(TICK) => {}
            }
        }
    }

    /// Ends what two agents let in at once, until cancelled.
    pub async fn end_surplus(self: Arc<Self>, enforcer: Arc<Enforcer>, cancel: CancellationToken) {
        let (suspects, mut waiting) = mpsc::channel::<Box<[u8]>>(SUSPECTS);
        let _set_already = self.suspects.set(suspects);
        let cutting = Arc::new(Semaphore::new(CUT_AT_ONCE));
        // Whether more was heard of a name meanwhile.
        let under_way: Arc<Mutex<HashMap<Box<[u8]>, bool>>> = Arc::default();
        loop {
            let username = tokio::select! {
                () = cancel.cancelled() => return,
                Some(username) = waiting.recv() => username,
            };
            if self.surplus_of(&username).is_empty() {
                continue;
            }
            // What is not looked at now is with its next report.
            let Ok(turn) = cutting.clone().try_acquire_owned() else {
                continue;
            };
            let known = {
                let mut names = under_way.lock().unwrap_or_else(PoisonError::into_inner);
                match names.entry(username.clone()) {
                    Entry::Occupied(mut more) => {
                        more.insert(true);
                        true
                    }
                    Entry::Vacant(new) => {
                        new.insert(false);
                        false
                    }
                }
            };
            if known {
                continue;
            }
            let (peers, enforcer, stop) = (self.clone(), enforcer.clone(), cancel.clone());
            let under_way = under_way.clone();
            self.runtime.spawn(async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = peers.end_surplus_of(&username, &enforcer) => {}
                }
                let more = {
                    let mut names = under_way.lock().unwrap_or_else(PoisonError::into_inner);
                    names.remove(&username)
                };
                drop(turn);
                if more == Some(true) {
                    peers.suspect(&username);
                }
            });
        }
    }

    /// Looks twice: what one agent hears of before the other does is no reason to end anybody.
    async fn end_surplus_of(&self, username: &[u8], enforcer: &Enforcer) {
        tokio::time::sleep(SETTLES).await;
        let surplus = self.surplus_of(username);
        if surplus.is_empty() {
            return;
        }
        info!(
            sessions = surplus.len(),
            "Two agents let one subscriber in at once; ending what is too much"
        );
        enforcer.cut_surplus(surplus, CUT).await;
    }

    fn surplus_of(&self, username: &[u8]) -> Vec<Online> {
        let site = &self.parts.site;
        let Some(subscriber) = site.subscriber(username) else {
            return Vec::new();
        };
        let package = subscriber.package.and_then(|package| site.package(package));
        let devices = subscriber.entitlement.devices;
        match devices.or(package.map(|package| package.devices)) {
            Some(most) => {
                let now = self.parts.clock.now();
                self.parts.sessions.surplus(username, most, now)
            }
            None => Vec::new(),
        }
    }

    /// Makes the deputies those that are in touch. Who becomes one is told first from before the cloud hears
    /// it, and knows everything that was told before.
    async fn say_deputies(&self, asker: &Asker) {
        let (term, held, others) = {
            let post = self.post();
            if !post.is_mine() {
                return;
            }
            (post.term(), post.deputies(), post.others().to_vec())
        };
        let mut wanted = self.in_touch();
        wanted.retain(|agent| others.contains(agent));
        wanted.sort_unstable();
        if wanted == held {
            return;
        }
        for agent in wanted.iter().filter(|agent| !held.contains(agent)) {
            self.post().bind(*agent);
            let connection = self.connections().get(agent).cloned();
            let Some(connection) = connection else { return };
            let settled = tokio::time::timeout(PATIENCE, connection.settled(self)).await;
            if settled.is_err() || !self.note(mark(term, *agent), 1).await {
                return;
            }
        }
        let question = AgentQuestion::Deputies {
            term,
            deputies: wanted.clone(),
        };
        match asker.ask(question, PATIENCE).await {
            Ok(CloudReply::Noted) => {
                info!(
                    deputies = wanted.len(),
                    "Said to the cloud who may take this agent's place"
                );
                for agent in held.into_iter().filter(|held| !wanted.contains(held)) {
                    self.post().release(term, agent);
                    let _told_longer_than_needed = self.note(mark(term, agent), 0).await;
                }
                self.changed();
            }
            // Nothing was changed, or nobody knows: it is said again, and all are told meanwhile.
            Ok(_) | Err(_) => debug!("Could not say to the cloud who may take this agent's place"),
        }
    }

    /// Asks for the post of an agent that is silent, later each time it is refused.
    async fn take_over(&self, asker: &Asker, tries: &mut Tries) {
        let now = self.now();
        let (term, holder, at) = {
            let post = self.post();
            match (post.holder(), post.may_ask_at()) {
                (Some(holder), Some(at)) => (post.term(), holder, at),
                (_, _) => return,
            }
        };
        if tries.term != term {
            *tries = Tries {
                term,
                ..Tries::default()
            };
        }
        if now < at.max(tries.next) || self.connections().contains_key(&holder) {
            return;
        }
        let refused = match asker.ask(AgentQuestion::TakeOver { term }, PATIENCE).await {
            Ok(CloudReply::Named { term }) => {
                warn!(%holder, term, "Agent {holder} is silent; this agent has its voucher post");
                false
            }
            Ok(_) | Err(AskFailure::Refused(_)) => true,
            Err(_) => false,
        };
        tries.refused = if refused { tries.refused + 1 } else { 0 };
        tries.next = now + (AGAIN * 2u32.pow(tries.refused.min(7)));
    }
}

fn mark(term: u64, agent: AgentId) -> String {
    format!("{DEPUTY}{term}/{agent}")
}

/// How often to look whether somebody is silent.
const TICK: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);
/// Before asking again; 128 times as long where the answer stays no.
const AGAIN: Duration = Duration::from_secs(3);
const SUSPECTS: usize = 4096;
/// Names whose surplus is ended at once.
const CUT_AT_ONCE: usize = 64;
/// Agents in touch tell each other within milliseconds, and a router sends again after a second.
const SETTLES: Duration = Duration::from_secs(2);
/// A router that obeys answers in milliseconds.
const CUT: Duration = Duration::from_secs(30);
