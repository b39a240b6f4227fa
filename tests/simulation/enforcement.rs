//! What enforcement owes, kept apart from the product: whose sessions end, by when, and whose do not (V9, V11).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Result, ensure};
use easyisp_shared::time::Timestamp;

use crate::clock::Doubt;
use crate::oracle::Entitled;
use crate::orders::{Mood, Order, What};
use crate::router::Session;

/// What is remembered of who may be online, and of who has to see to it.
#[derive(Default)]
pub struct Enforcement {
    /// When it was looked at last.
    looked: Timestamp,
    /// The furthest the box's clock ever was behind: a session may have begun before a wish, by it.
    worst: Duration,
    /// Who may not be online, by what the box was told: since when, and whether it was told nothing of him.
    over: BTreeMap<String, Over>,
    /// When that was so last.
    over_last: BTreeMap<String, Timestamp>,
    /// The speeds that the box was told, and since when.
    rates: BTreeMap<String, (Option<String>, Timestamp)>,
    /// Whose sessions an operator wished to end, and when he did last.
    wished: BTreeMap<String, Timestamp>,
    /// Sessions of which the router refused a change: they begin anew.
    refused: BTreeSet<String>,
    /// Since when the box is on.
    on_since: Option<Timestamp>,
    /// Since when the router obeys.
    obeys_since: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug)]
struct Over {
    since: Timestamp,
    unknown: bool,
}

/// The box and its router at an instant.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Now.
    pub now: Timestamp,
    /// How far what the box takes for now may be off.
    pub doubt: Doubt,
    /// What the box was told.
    pub told: &'a BTreeMap<String, Entitled>,
    /// Until when at the latest it may have let somebody in whom an older copy of its cache calls over.
    pub given: &'a BTreeMap<String, Timestamp>,
    /// Everybody there ever was.
    pub people: &'a [String],
    /// Whether the box is on.
    pub powered: bool,
    /// What the router makes of orders.
    pub mood: Mood,
}

impl Enforcement {
    /// Looks at who may be online now. To be called before anything is done about it.
    pub fn look(&mut self, scene: Scene<'_>) {
        let Scene {
            now,
            doubt,
            told,
            given,
            ..
        } = scene;
        for name in scene.people {
            let entitled = told.get(name);
            let rate = entitled.and_then(|entitled| entitled.rate.clone());
            let held = self.rates.entry(name.clone());
            let held = held.or_insert_with(|| (rate.clone(), now));
            if held.0 != rate {
                *held = (rate, now);
            }
            let surely_in = entitled.is_some_and(|entitled| entitled.must_be_in(now, doubt));
            if !surely_in {
                self.over_last.insert(name.clone(), now);
            }
            let lasts = |entitled: &Entitled| {
                let until = given.get(name).map_or(entitled.until, |end| *end);
                let given = Entitled {
                    until: until.max(entitled.until),
                    ..entitled.clone()
                };
                given.may_be_in(now, doubt)
            };
            if entitled.is_some_and(lasts) {
                self.over.remove(name);
                continue;
            }
            let unknown = entitled.is_none();
            let held = self.over.get(name);
            if held.is_none_or(|held| held.unknown != unknown) {
                let ended = entitled.map_or(now, |entitled| entitled.over_by(doubt));
                let since = ended.clamp(self.looked.min(now), now);
                let over = Over { since, unknown };
                self.over.insert(name.clone(), over);
            }
        }
        self.looked = now;
        self.worst = doubt.worst;
        let since = |holds: bool, before: Option<Timestamp>| holds.then(|| before.unwrap_or(now));
        self.on_since = since(scene.powered, self.on_since);
        self.obeys_since = since(scene.mood == Mood::Obeys, self.obeys_since);
    }

    /// The box begins anew: what it had under way is forgotten.
    pub fn booted(&mut self, now: Timestamp) {
        self.on_since = Some(now);
    }

    /// An operator wishes that somebody's sessions end.
    pub fn wished(&mut self, user: &str, now: Timestamp) {
        self.wished.insert(user.to_owned(), now);
    }

    /// Judges a session that is online: it is over by now if its time is (V9).
    pub fn judge_live(&self, id: &str, session: &Session, known: Option<Timestamp>) -> Result<()> {
        let user = &session.user;
        let (Some(over), Some(known)) = (self.over.get(user), known) else {
            return Ok(());
        };
        let (Some(on), Some(obeys)) = (self.on_since, self.obeys_since) else {
            return Ok(());
        };
        // Who is deleted is cut when that is told; later nobody can tell his sessions from a local user's.
        if over.unknown && (over.since <= on || over.since <= known) {
            return Ok(());
        }
        let due = over.since.max(known).max(on);
        // What was asked of a router in another mood is under way for a while, and repeated with patience.
        let calm = obeys.plus(UNDER_WAY) <= due || obeys <= on;
        let by = match calm {
            true => due.plus(BOUND),
            false => due.max(obeys).plus(UNDER_WAY + LONGEST_PAUSE + BOUND),
        };
        ensure!(
            self.looked <= by,
            "V9: {user} is online at {} in session {id}; he may not be since {over:?}, the box knows of the \
             session since {known}, is on since {on}, and the router obeys since {obeys}: {session:?}",
            self.looked
        );
        Ok(())
    }

    /// Judges an order that arrived at the router.
    pub fn judge_order(&mut self, order: &Order, session: Option<&Session>) -> Result<()> {
        let now = self.looked;
        if matches!(
            (&order.what, order.answered),
            (What::Change { .. }, Some(Err(_)))
        ) {
            self.refused.insert(order.session.clone());
        }
        let Some(session) = session.filter(|_| !order.copy) else {
            return Ok(());
        };
        let user = &session.user;
        ensure!(
            order.user.as_ref().is_none_or(|named| named == user),
            "V11: an order for {:?} in the session of {user}",
            order.user
        );
        match &order.what {
            What::Disconnect => {
                let over = self.over_last.get(user);
                let over = over.is_some_and(|last| now <= last.plus(UNDER_WAY));
                let wished = self.wished.get(user);
                let wished =
                    wished.is_some_and(|at| session.started <= at.plus(CLOCKS + self.worst));
                ensure!(
                    over || wished || self.refused.contains(&order.session),
                    "V9: {user} is disconnected at {now} and may be online: {session:?}"
                );
            }
            What::Change { rate, .. } => {
                let told = self.rates.get(user);
                ensure!(
                    rate.is_none()
                        || told.is_some_and(|(told, since)| {
                            told == rate || now <= since.plus(UNDER_WAY)
                        }),
                    "V11: {user} gets {rate:?} at {now}, the box was told {told:?}"
                );
            }
        }
        Ok(())
    }

    /// After the healing: who is online may be, and has what his package says (V9, V11).
    pub fn judge_healed(
        &self,
        id: &str,
        session: &Session,
        told: &BTreeMap<String, Entitled>,
        doubt: Doubt,
    ) -> Result<()> {
        let entitled = told.get(&session.user);
        let now = self.looked;
        ensure!(
            entitled.is_some_and(|entitled| entitled.may_be_in(now, doubt)),
            "V9: {} is online in session {id} after the healing: {entitled:?}, {session:?}",
            session.user
        );
        let rate = entitled.and_then(|entitled| entitled.rate.as_ref());
        ensure!(
            session.deceived || session.rate.as_ref() == rate,
            "V11: session {id} runs at {:?} after the healing, sold is {rate:?}: {session:?}",
            session.rate
        );
        Ok(())
    }
}

/// So long after its end nobody is online whose router obeys (V9).
const BOUND: Duration = Duration::from_secs(60);
/// So long an order is under way at most: asked twice, each time half a minute and the wait for a Stop.
const UNDER_WAY: Duration = Duration::from_secs(75);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// A session's beginning is known to some seconds.
const CLOCKS: Duration = Duration::from_secs(10);
