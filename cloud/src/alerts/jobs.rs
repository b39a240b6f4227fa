//! Every minute: how does everything stand, and who must know.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::id::{AlertId, MessageId, RouterId, SiteId, TenantId};
use easyisp_shared::phone::PhoneNumber;
use easyisp_shared::time::Timestamp;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::device::{self, Place, Seen};
use super::rules::{News, Reading, Rule, Watch};
use super::store::{self, Alert, States};
use super::told;
use super::words::{Kind, Tell};
use crate::db::{Database, Tx};
use crate::messaging::{self, Letter, Message};
use crate::rollouts;
use crate::webhooks::{self, Event};

/// What messages can be sent by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ways {
    /// Whether there is a gateway for text messages.
    pub sms: bool,
    /// Whether there is a mail server.
    pub email: bool,
}

/// Looks at every site and router of a tenant, and at the money that was sent; returns when to look again.
///
/// What is news is written, told and remembered in one transaction: nobody is told twice of what a look found.
pub async fn look(
    db: &Database,
    tenant: TenantId,
    ways: Ways,
    now: Timestamp,
) -> sqlx::Result<Timestamp> {
    let mut tx = db.begin(tenant).await?;
    let Some(awake_from) = store::look(&mut tx, GAP, now).await? else {
        return Ok(now.plus(GAP));
    };
    let changed = store::changed_rules(&mut tx).await?;
    let rules = |kind: Kind| {
        let rule = changed.get(&kind).copied().unwrap_or(kind.usual());
        rule.enabled.then_some(rule)
    };
    let sites = store::sites(&mut tx).await?;
    let mut devices = Vec::new();
    loop {
        let after: Option<RouterId> = devices.last().map(|(place, _): &(Place, _)| place.id);
        let page = store::devices(&mut tx, after).await?;
        if page.is_empty() {
            break;
        }
        // Of thousands only what is to be seen is kept.
        let seen = |(place, device)| (place, device::of_router(&device, &rules, now));
        devices.extend(page.into_iter().map(seen));
    }
    let devices = device::parents_first(devices);
    let before = store::states(&mut tx).await?;
    let watched: Vec<Uuid> = before.keys().copied().collect();
    let payouts = store::payouts(&mut tx, &watched).await?;
    let stopped = rollouts::stopped(&mut tx, now).await?;
    let starting: BTreeSet<RouterId> = rollouts::expected_away(&mut tx)
        .await?
        .into_iter()
        .collect();
    let mut look = Look {
        before,
        after: Vec::new(),
        steps: Vec::new(),
        rules: &rules,
        entropy: tx.entropy(),
        now,
    };
    let mut away: BTreeSet<SiteId> = BTreeSet::new();
    for site in &sites {
        let seen = device::of_site(site, &rules, awake_from, now);
        let whose = (site.id.0, Some(site.id), None, site.name.as_str());
        if look.take(whose, seen.into_iter().collect(), false) {
            away.insert(site.id);
        }
    }
    let mut unreached: BTreeSet<RouterId> = BTreeSet::new();
    let nobody = devices.is_empty();
    for (place, seen) in devices {
        // Who starts anew because we said so is away for a while, and nobody need be told.
        let hidden = away.contains(&place.site)
            || starting.contains(&place.id)
            || place
                .parent
                .is_some_and(|parent| unreached.contains(&parent));
        let whose = (place.id.0, Some(place.site), Some(place.id), &*place.name);
        if look.take(whose, seen, hidden) || hidden {
            unreached.insert(place.id);
        }
    }
    for payout in &payouts {
        let seen = vec![device::of_payout(payout)];
        look.take((payout.id, None, None, &payout.name), seen, false);
    }
    for rollout in &stopped {
        let seen = vec![device::of_rollout(rollout)];
        look.take((rollout.id.0, None, None, &rollout.name), seen, false);
    }
    look.forget_rest();
    let Look { after, steps, .. } = look;
    store::put_states(&mut tx, &after).await?;
    let news = write(&mut tx, steps, now).await?;
    tell(&mut tx, &news, ways, now).await?;
    store::forget(&mut tx, now.minus(KEPT), AT_ONCE).await?;
    tx.commit().await?;
    let nothing = sites.is_empty() && nobody && payouts.is_empty() && stopped.is_empty();
    Ok(now.plus(match nothing {
        true => IDLE,
        false => EVERY,
    }))
}

/// What a look finds.
struct Look<'a> {
    before: BTreeMap<Uuid, States>,
    after: Vec<(Uuid, States)>,
    steps: Vec<Step>,
    rules: &'a device::Rules<'a>,
    entropy: Entropy,
    now: Timestamp,
}

/// What is to be written.
enum Step {
    Raise(Box<Alert>),
    Count(AlertId, u32),
    Clear(AlertId, u32),
    /// Nobody looks at it any more.
    Drop(AlertId, u32),
}

/// What is looked at: its key, its site, its router, its name.
type Whose<'a> = (Uuid, Option<SiteId>, Option<RouterId>, &'a str);

impl Look<'_> {
    /// Steps everything of one site or router; whether what stands behind it is hidden. `hidden` = it is itself.
    fn take(&mut self, whose: Whose<'_>, seen: Vec<Seen>, hidden: bool) -> bool {
        let before = self.before.remove(&whose.0).unwrap_or_default();
        let mut old = before.clone();
        let mut new = States::new();
        let mut hides = false;
        for one in seen {
            let Some(rule) = (self.rules)(one.kind) else {
                continue;
            };
            let key = format!("{} {}", one.kind.name(), one.subject);
            let watch = old.remove(&key).unwrap_or_default();
            // A site or router hides what follows it; itself it is hidden by what it stands behind.
            let parent = matches!(one.kind, Kind::SiteDown | Kind::RouterDown);
            let covered = hidden || hides && !parent;
            let (mut watch, news) = watch.step(one.kind, &rule, one.reading, covered, self.now);
            if let Some(news) = news {
                self.note(whose, &one, &rule, &mut watch, news);
            }
            hides |= parent && watch.hides();
            if watch != Watch::default() {
                new.insert(key, watch);
            }
        }
        // A port that is gone, a rule that was switched off.
        self.steps.extend(old.values().filter_map(dropped));
        if new != before {
            self.after.push((whose.0, new));
        }
        hides
    }

    fn note(&mut self, whose: Whose<'_>, seen: &Seen, rule: &Rule, watch: &mut Watch, news: News) {
        let (_, site, router, name) = whose;
        match (news, watch.alert) {
            (News::Raised, _) => {
                let id = AlertId::new(self.now, &self.entropy);
                watch.alert = Some(id);
                self.steps.push(Step::Raise(Box::new(Alert {
                    id,
                    rule: seen.kind,
                    severity: rule.severity,
                    site_id: site,
                    router_id: router,
                    device: name.to_owned(),
                    subject: seen.subject.clone(),
                    value: seen.value,
                    message: told::message(name, seen, rule),
                    raised_at: match seen.reading {
                        Reading::Bad { since } => since,
                        Reading::Well | Reading::Between | Reading::Unknown => self.now,
                    },
                    cleared_at: None,
                    flaps: i32::try_from(watch.flaps).unwrap_or(i32::MAX),
                    acknowledged_at: None,
                    acknowledged_by: None,
                    note: None,
                })));
            }
            (News::Counted, Some(alert)) => self.steps.push(Step::Count(alert, watch.flaps)),
            (News::Cleared, Some(alert)) => {
                self.steps.push(Step::Clear(alert, watch.flaps));
                watch.alert = None;
            }
            (News::Counted | News::Cleared, None) => {}
        }
    }

    /// Sites and routers that are there no more.
    fn forget_rest(&mut self) {
        for (target, states) in std::mem::take(&mut self.before) {
            self.steps.extend(states.values().filter_map(dropped));
            self.after.push((target, States::new()));
        }
    }
}

fn dropped(watch: &Watch) -> Option<Step> {
    watch.alert.map(|alert| Step::Drop(alert, watch.flaps))
}

/// Writes what a look found; returns what people are told.
async fn write(tx: &mut Tx, steps: Vec<Step>, now: Timestamp) -> sqlx::Result<Vec<Alert>> {
    let mut news = Vec::new();
    for step in steps {
        match step {
            Step::Raise(alert) => {
                store::insert(tx, &alert).await?;
                news.push(*alert);
            }
            Step::Count(alert, flaps) => {
                store::note(tx, alert, flaps, None).await?;
            }
            Step::Clear(alert, flaps) => {
                news.extend(store::note(tx, alert, flaps, Some(now)).await?);
            }
            Step::Drop(alert, flaps) => {
                store::note(tx, alert, flaps, Some(now)).await?;
            }
        }
    }
    Ok(news)
}

/// One message to each who is to know, however much there is.
async fn tell(tx: &mut Tx, news: &[Alert], ways: Ways, now: Timestamp) -> sqlx::Result<()> {
    if news.is_empty() {
        return Ok(());
    }
    let (tenant, entropy) = (tx.tenant(), tx.entropy());
    let events: Vec<Event> = news
        .iter()
        .map(|alert| told::event(tenant, alert, now, &entropy))
        .collect();
    webhooks::tell(tx, &events, now).await?;
    let settings = store::settings(tx).await?;
    let (business, zone) = store::house(tx).await?;
    let zone = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
    let lines = |tell: Tell| -> Vec<String> {
        let wanted = news.iter().filter(|alert| tell.takes(alert.severity));
        wanted.map(|alert| told::line(alert, &zone)).collect()
    };
    let (texts, letters) = (lines(settings.sms), lines(settings.email));
    for contact in store::contacts(tx, settings.operators.as_deref()).await? {
        let phone = contact.phone.as_deref().and_then(PhoneNumber::parse);
        if let Some(to) = phone
            && ways.sms
            && !texts.is_empty()
        {
            let message = Message {
                id: MessageId::new(now, &entropy),
                to,
                body: told::text(&business, &texts),
                purpose: PURPOSE,
                customer: None,
                initiator: "system".to_owned(),
            };
            messaging::enqueue(tx, &message, now).await?;
        }
        if ways.email && !letters.is_empty() {
            let (subject, body) = told::letter(&business, &letters);
            let letter = Letter {
                id: MessageId::new(now, &entropy),
                to: contact.email,
                subject,
                body,
                purpose: PURPOSE,
                initiator: "system".to_owned(),
            };
            messaging::enqueue_letter(tx, &letter, now).await?;
        }
    }
    Ok(())
}

const PURPOSE: &str = "alert";
/// How often is looked.
const EVERY: Duration = Duration::from_secs(60);
/// And where there is nothing to look at.
const IDLE: Duration = Duration::from_secs(900);
/// Longer than two looks: nobody listened meanwhile.
const GAP: Duration = Duration::from_secs(200);
/// How long what is over is shown.
const KEPT: Duration = Duration::from_secs(90 * 86_400);
const AT_ONCE: i64 = 500;
