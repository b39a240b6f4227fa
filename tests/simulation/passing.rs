//! Time that passes: what is due comes about at its instant, whoever it is due for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use easyisp_shared::time::Timestamp;

use crate::disk::Disk;
use crate::enforcement::Scene;
use crate::oracle::Entitled;
use crate::orders::{SESSION_NOT_FOUND, What};
use crate::turmoil::{PEOPLE, Turmoil};

impl Turmoil {
    /// Moves time from one instant to the next at which something is due, and never further than a router's
    /// interim. The cloud sees it pass at once: what it does by itself it does while it is talked to.
    pub(super) async fn pass(&mut self, time: Duration, trouble: u32) -> Result<()> {
        let until = self.now().plus(time);
        while self.now() < until {
            let now = self.now();
            let wake = self.agent.next_wake().map(|rest| now.plus(rest));
            let next = [
                Some(until),
                Some(now.plus(STEP)),
                wake,
                self.router.orders.next(),
            ];
            let next = next.into_iter().flatten().min().unwrap_or(until);
            self.advance(next.since(now).max(TICK));
            self.come_about(trouble).await?;
        }
        let cloud = &self.world.clock;
        cloud.advance(self.now.since(cloud.now()));
        Ok(())
    }

    fn advance(&mut self, by: Duration) {
        self.now = self.now.plus(by);
        self.router.now = self.now;
        self.agent.clock.advance(by);
    }

    /// What is due now.
    async fn come_about(&mut self, trouble: u32) -> Result<()> {
        let now = self.now();
        self.router.tick(now, &mut self.random)?;
        self.tell_reports(trouble)?;
        if self.powered && now.since(self.swept) >= STEP {
            self.swept = now;
            self.note_time();
            self.agent.core().radius.sweep();
        }
        self.enforce(trouble).await
    }

    /// The box writes down what time it is.
    pub(super) fn note_time(&mut self) {
        self.agent.core().note_time();
        if self.agent.disk() == Disk::Sound {
            self.doubt.mark(self.now);
        }
    }

    /// Lets the box see to who is online until it only waits, and the router answer what it is asked.
    pub(super) async fn enforce(&mut self, trouble: u32) -> Result<()> {
        self.look_at_live()?;
        for _ in 0..ROUNDS {
            if self.powered {
                self.agent.rest().await;
            }
            let now = self.now();
            let late = self.router.orders.send_late(now)?;
            let heard = self.router.orders.hear()?;
            if heard.is_empty() && !late {
                return Ok(());
            }
            for heard in heard {
                let session = self.router.sessions.get(heard.session()).cloned();
                let order = self
                    .router
                    .take_order(&heard, trouble, now, &mut self.random)?;
                self.enforcement.judge_order(&order, session.as_ref())?;
                if order.answered == Some(Err(SESSION_NOT_FOUND)) {
                    self.oracle.denied(&order.session);
                }
                let what = match &order.what {
                    What::Disconnect => "end".to_owned(),
                    What::Change { rate, timeout } => format!("run at {rate:?} for {timeout:?}"),
                };
                self.ordered.push(format!(
                    "{} is to {what}, copy: {}: {:?}",
                    order.session, order.copy, order.answered
                ));
                self.tell_reports(trouble)?;
                if self.powered {
                    self.agent.rest().await;
                }
            }
        }
        bail!("the box asks the router without end")
    }

    /// Nobody is online longer than he may be (V9).
    fn look_at_live(&mut self) -> Result<()> {
        let people = PEOPLE.map(str::to_owned).into_iter();
        let people: Vec<String> = people.chain(self.slips.names()).collect();
        let told = self.told();
        self.furthest = self.furthest.max(self.cursor);
        let given = self.oracle.given(self.cursor, self.furthest);
        self.enforcement.look(Scene {
            now: self.now,
            doubt: self.doubt,
            told: &told,
            given: &given,
            people: &people,
            powered: self.powered,
            mood: self.router.orders.mood,
        });
        for (id, session) in &self.router.sessions {
            let known = self.oracle.known(id);
            self.enforcement.judge_live(id, session, known)?;
        }
        Ok(())
    }

    /// Who may be online by what the box knows, from the cloud and from vouchers that were used there.
    pub(super) fn told(&self) -> BTreeMap<String, Entitled> {
        let mut told = self.oracle.as_of(self.cursor).clone();
        told.extend(self.slips.entitled());
        told
    }

    /// Sends what the router has to tell once more.
    pub(super) fn tell_reports(&mut self, trouble: u32) -> Result<()> {
        let agent = self.powered.then_some(&self.agent);
        let now = self.now();
        let told = self
            .router
            .send_reports(agent, trouble, now, &mut self.random)?;
        let sound = self.agent.disk() == Disk::Sound;
        for told in &told {
            // A router's boot with nobody online changes nothing that had to be written.
            let written = told.report.session.is_some() && told.first && told.acknowledged;
            ensure!(
                sound || !written,
                "V6: answered with nothing written: {told:?}"
            );
            self.oracle.told(told, sound, now, self.doubt);
        }
        Ok(())
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }
}

/// A router's interim, and how often the box looks after itself.
const STEP: Duration = Duration::from_secs(300);
/// What is due already is due a moment later.
const TICK: Duration = Duration::from_millis(1);
/// Far more than the sessions there can be at once have orders.
const ROUNDS: u32 = 1000;
