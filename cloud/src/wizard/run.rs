//! Carries a configuration on, one turn at a time: each is noted before the next begins, so that whoever comes after a
//! crash goes on from there. What stood on the router before is kept until all of it works or all of it is undone.

use std::time::Duration;

use easyisp_shared::id::{RouterId, SiteId, TenantId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{
    ItemV1, SetupAskV1, SetupToldV1, without_backup, without_heartbeat,
};
use serde_json::json;

use super::plan::{self, Stage, Tested, Turn, Work};
use super::store::{self, Row, Turned};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Database, Tx};
use crate::error::ApiError;
use crate::routers::{self, Provisioning, Writer};
use crate::secrets::{SecretError, Secrets};
use crate::sites::Live;
use crate::sites::live::Silence;

/// The kind of the job that carries a configuration on; its subject is the router.
pub const RUN: &str = "wizard.run";

/// Under which name the work is sealed.
const WORK: &str = "router_setups.work";

/// Seals what is under way.
pub async fn seal(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    work: &Work,
) -> Result<Vec<u8>, ApiError> {
    let key = secrets.tenant(tx).await?;
    let clear = serde_json::to_vec(work).map_err(ApiError::internal)?;
    Ok(key.seal(WORK, router.0, &clear))
}

/// Opens what is under way; `None` where nothing is.
pub async fn open(
    tx: &mut Tx,
    secrets: &Secrets,
    router: RouterId,
    row: &Row,
) -> Result<Option<Work>, ApiError> {
    let Some(sealed) = &row.work_sealed else {
        return Ok(None);
    };
    let key = secrets.tenant(tx).await?;
    let clear = key
        .open(WORK, router.0, sealed)
        .map_err(SecretError::from)?;
    serde_json::from_slice(&clear)
        .map(Some)
        .map_err(ApiError::internal)
}

/// Whom to ask about which router.
#[derive(Clone, Copy)]
pub struct At<'a> {
    /// Carries questions to sites.
    pub live: &'a Live,
    /// Whose.
    pub tenant: TenantId,
    /// Where it stands.
    pub site: SiteId,
    /// Which.
    pub router: RouterId,
    /// The time.
    pub now: Timestamp,
}

impl At<'_> {
    /// Has a router set up, or asks how it is.
    pub async fn set_up(&self, ask: SetupAskV1) -> Result<SetupToldV1, Silence> {
        let within = match &ask {
            SetupAskV1::Look(_)
            | SetupAskV1::Check(_)
            | SetupAskV1::Uplinks
            | SetupAskV1::Guard(_)
            | SetupAskV1::CallOff(_) => READ,
            SetupAskV1::Save { .. } | SetupAskV1::Apply(_) | SetupAskV1::Restore(_) => TURN,
        };
        match self.ask(RouterAsk::Setup(ask), within).await? {
            RouterTold::Setup(told) => Ok(told),
            _ => Err(self.other()), // an answer to something else
        }
    }

    /// Has the router itself take all of it back unless its agent calls that off in time; why it will not, and `None`
    /// where it will. Asked again it waits anew.
    async fn guard(&self, work: &Work) -> Result<Option<String>, Silence> {
        match self.set_up(SetupAskV1::Guard(work.before.clone())).await {
            Ok(SetupToldV1::Guarded(why)) => Ok(why),
            Ok(_) => Err(self.other()), // an answer to something else
            Err(silence) if is_too_old(&silence) => Ok(Some("its agent is too old".to_owned())),
            Err(silence) => Err(silence),
        }
    }

    /// Enters the router anew, and calls its guard off where all is as it is to be; what is otherwise, in words.
    async fn call_off(&self, work: &Work) -> Result<Vec<String>, Silence> {
        match self.set_up(SetupAskV1::CallOff(work.items())).await {
            Ok(SetupToldV1::Checked(amiss)) => Ok(amiss),
            Ok(_) => Err(self.other()), // an answer to something else
            Err(silence) if is_too_old(&silence) => Ok(Vec::new()), // it held none
            Err(silence) => Err(silence),
        }
    }

    /// Asks a router something.
    pub async fn ask(&self, ask: RouterAsk, within: Duration) -> Result<RouterTold, Silence> {
        let router = self.router;
        let told = self
            .question(&Question::Router { router, ask }, within)
            .await?;
        match told {
            Reply::Router(told) => Ok(told),
            _ => Err(self.other()), // an answer to something else
        }
    }

    /// Asks whether router and agent know each other by their secret.
    pub async fn knows_us(&self) -> Result<bool, Silence> {
        let router = self.router;
        let told = self
            .question(&Question::TestConnection { router }, SHORT)
            .await?;
        Ok(matches!(told, Reply::Connection(told) if told.coa == Some(true)))
    }

    async fn question(&self, question: &Question, within: Duration) -> Result<Reply, Silence> {
        let (tenant, site) = (self.tenant, self.site);
        self.live
            .ask(tenant, site, question, within, self.now)
            .await
    }

    /// What nobody understands is as good as silence.
    fn other(&self) -> Silence {
        Silence::Database
    }
}

fn is_too_old(silence: &Silence) -> bool {
    matches!(
        silence,
        Silence::Failed {
            failure: AskFailure::NotUnderstood,
            ..
        }
    )
}

/// What came of a turn.
enum Outcome {
    /// It went well; a line for people.
    Went(String),
    /// No backup was saved, and that is no reason to stop: why not, and a line for people.
    Unsaved(&'static str, String),
    /// The router refused this step, and that is no reason to stop; a line for people.
    LeftOut(&'static str),
    /// It was tried, and this is how it is.
    Tried(Tested, Vec<String>),
    /// The router said no.
    Refused(String),
    /// Nobody knows.
    Silent(String),
}

/// Carries a router's configuration one turn on; when to go on, `None` when there is nothing more to do.
pub async fn work(
    db: &Database,
    live: &Live,
    secrets: &Secrets,
    (tenant, router): (TenantId, RouterId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    let row = store::find(&mut tx, router).await?;
    let Some(row) = row.filter(|row| row.stage.is_under_way()) else {
        return Ok(None);
    };
    let work = open(&mut tx, secrets, router, &row).await;
    let work = work.map_err(ApiError::into_cause)?;
    let site = routers::site_of(&mut tx, router).await?;
    let (Some(work), Some(site)) = (work, site) else {
        return Ok(None);
    };
    // Nobody else writes to it meanwhile; who took it in a long silence of ours is waited for.
    routers::lock_named(&mut tx, router).await?;
    if routers::claim(&mut tx, router, &Writer::Wizard, now)
        .await
        .is_err()
    {
        return Ok(Some(now.plus(AGAIN)));
    }
    tx.commit().await?;
    let at = At {
        live,
        tenant,
        site,
        router,
        now,
    };
    match row.stage {
        Stage::Undoing => undo(db, secrets, at, &row, work).await,
        _ => forward(db, secrets, at, &row, work).await, // configuring: no other stage is under way
    }
}

async fn forward(
    db: &Database,
    secrets: &Secrets,
    at: At<'_>,
    row: &Row,
    mut work: Work,
) -> anyhow::Result<Option<Timestamp>> {
    let outcome = turn(at, &work, row.place).await;
    let outcome = outcome.unwrap_or_else(|silence| Outcome::Silent(silence.to_string()));
    let now = at.now;
    let on = Turned {
        stage: Stage::Configuring,
        place: row.place,
        since: row.place_since,
        message: "",
        line: None,
        tested: None,
        work_sealed: row.work_sealed.as_deref(),
    };
    let because = match outcome {
        Outcome::Went(line) => {
            let message = format!("Step {} of {}: {line}", row.place + 1, row.places);
            let turned = Turned {
                place: row.place + 1,
                since: now,
                message: &message,
                line: Some(&line),
                ..on
            };
            return note(db, at, row, &turned, None, Some(now)).await;
        }
        Outcome::Unsaved(why, line) => {
            work.backup = None;
            work.unsaved = Some(why.to_owned());
            return note_without(db, secrets, at, row, &work, &line).await;
        }
        Outcome::LeftOut(why) => {
            work.leave_out(row.place);
            work.silent = Some(why.to_owned());
            return note_without(db, secrets, at, row, &work, why).await;
        }
        Outcome::Tried(_, amiss) if work.is_part && amiss.is_empty() => {
            let message = work.told("Configured and read back.");
            let turned = Turned {
                stage: Stage::Done,
                place: row.places,
                since: now,
                message: &message,
                line: Some("Read it back: it is so"),
                work_sealed: None,
                ..on
            };
            return note(db, at, row, &turned, Some((None, "Configured")), None).await;
        }
        Outcome::Tried(tested, amiss) => {
            let shown = Some(json!(tested));
            if tested.is_good(work.services) && amiss.is_empty() {
                let message = work.told("Configured and tried: customers can come.");
                let turned = Turned {
                    stage: Stage::Done,
                    place: row.places,
                    since: now,
                    message: &message,
                    line: Some("Tried it: the router serves, and knows the agent"),
                    tested: shown,
                    work_sealed: None,
                };
                let how = Some((Some(Provisioning::Provisioned), "Configured"));
                return note(db, at, row, &turned, how, None).await;
            }
            let mut why = "It was configured and does not work".to_owned();
            if !tested.radius && !work.is_part {
                why.push_str(
                    ": the router did not answer the agent's signed request at its CoA port",
                );
            }
            for one in amiss.iter().take(3) {
                why.push_str("; ");
                why.push_str(one);
            }
            why
        }
        Outcome::Refused(why) => why,
        Outcome::Silent(why) if now.since(row.place_since) < plan::PATIENCE => {
            let message = format!(
                "Step {} of {} waits: {why}. It goes on by itself; after five minutes everything is undone",
                row.place + 1,
                row.places
            );
            let turned = Turned {
                message: &message,
                ..on
            };
            return note(db, at, row, &turned, None, Some(now.plus(AGAIN))).await;
        }
        Outcome::Silent(why) => why,
    };
    let message = format!("{because}. It is being undone");
    work.why = Some(because.clone());
    let mut tx = db.begin(at.tenant).await?;
    let sealed = seal(&mut tx, secrets, at.router, &work).await;
    let sealed = sealed.map_err(ApiError::into_cause)?;
    drop(tx);
    let turned = Turned {
        stage: Stage::Undoing,
        since: now,
        message: &message,
        line: Some(&because),
        work_sealed: Some(&sealed),
        ..on
    };
    note(db, at, row, &turned, None, Some(now)).await
}

/// Writes a turn down that went well but for something that is left out from here on.
async fn note_without(
    db: &Database,
    secrets: &Secrets,
    at: At<'_>,
    row: &Row,
    work: &Work,
    line: &str,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(at.tenant).await?;
    let sealed = seal(&mut tx, secrets, at.router, work).await;
    let sealed = sealed.map_err(ApiError::into_cause)?;
    drop(tx);
    let message = format!("Step {} of {}: {line}", row.place + 1, row.places);
    let turned = Turned {
        stage: Stage::Configuring,
        place: row.place + 1,
        since: at.now,
        message: &message,
        line: Some(line),
        tested: None,
        work_sealed: Some(&sealed),
    };
    note(db, at, row, &turned, None, Some(at.now)).await
}

async fn turn(at: At<'_>, work: &Work, place: i32) -> Result<Outcome, Silence> {
    Ok(match work.turn(place) {
        Turn::Skip => Outcome::Went(guarded(at, work, "No backup was wished").await?),
        Turn::Save(name) => {
            let told = at
                .set_up(SetupAskV1::Save {
                    name: name.to_owned(),
                })
                .await?;
            match told {
                SetupToldV1::Saved { files, .. }
                    if files.iter().any(|file| file.ends_with(".backup")) =>
                {
                    let saved = format!("Saved a backup on the router: {}", files.join(", "));
                    Outcome::Went(guarded(at, work, &saved).await?)
                }
                SetupToldV1::Saved { problem, .. } => {
                    let problem = problem.unwrap_or_else(|| "the file is not there".to_owned());
                    match without_backup(&problem) {
                        Some(why) => Outcome::Unsaved(why, guarded(at, work, why).await?),
                        None => Outcome::Refused(format!("The router saved no backup: {problem}")),
                    }
                }
                _ => return Err(at.other()), // an answer to something else
            }
        }
        Turn::Apply(name, items) => {
            // From here on it waits anew; a router that held none was told of.
            at.guard(work).await?;
            let told = at.set_up(SetupAskV1::Apply(items.to_vec())).await?;
            match told {
                SetupToldV1::Applied { refused: None, .. } => {
                    Outcome::Went(format!("{name}: done"))
                }
                SetupToldV1::Applied {
                    refused: Some(words),
                    ..
                } => match without_heartbeat(name, &words) {
                    Some(why) => Outcome::LeftOut(why),
                    None => Outcome::Refused(format!("{name}: the router refused {words}")),
                },
                _ => return Err(at.other()), // an answer to something else
            }
        }
        Turn::Test => {
            let (tested, mut amiss) = tried(at, work).await?;
            if (work.is_part || tested.is_good(work.services)) && amiss.is_empty() {
                amiss = at.call_off(work).await?;
            }
            Outcome::Tried(tested, amiss)
        }
    })
}

/// Has the router guard itself before anything is changed; a line for people.
async fn guarded(at: At<'_>, work: &Work, line: &str) -> Result<String, Silence> {
    Ok(match at.guard(work).await? {
        None => line.to_owned(),
        Some(why) => format!(
            "{line}. The router cannot take it back by itself ({why}): where this shuts its agent out, somebody has to \
             do that beside it"
        ),
    })
}

/// Reads back all that was written, and has the agent speak to the router under their secret.
pub async fn tried(at: At<'_>, work: &Work) -> Result<(Tested, Vec<String>), Silence> {
    let check = async |items: Vec<ItemV1>| -> Result<Vec<String>, Silence> {
        match at.set_up(SetupAskV1::Check(items)).await? {
            SetupToldV1::Checked(found) => Ok(found),
            _ => Err(at.other()), // an answer to something else
        }
    };
    let amiss = check(work.items()).await?;
    if work.is_part {
        return Ok((Tested::default(), amiss));
    }
    let of = async |name: &str| -> Result<bool, Silence> {
        let part = work.steps.iter().find(|part| part.name == name);
        match part {
            None => Ok(false),
            Some(_) if amiss.is_empty() => Ok(true),
            Some(part) => Ok(check(part.items.clone()).await?.is_empty()),
        }
    };
    let (radius, pppoe, hotspot) = (
        of("RADIUS").await?,
        of("PPPoE").await?,
        of("hotspot").await?,
    );
    use super::rules::Services::{Hotspot, Pppoe};
    let tested = Tested {
        hotspot: hotspot && work.services != Pppoe,
        pppoe: pppoe && work.services != Hotspot,
        radius: radius && at.knows_us().await?,
    };
    Ok((tested, amiss))
}

async fn undo(
    db: &Database,
    secrets: &Secrets,
    at: At<'_>,
    row: &Row,
    mut work: Work,
) -> anyhow::Result<Option<Timestamp>> {
    let now = at.now;
    let why = work.why.clone().unwrap_or_default();
    let told = at.set_up(SetupAskV1::Restore(work.before.clone())).await;
    let on = Turned {
        stage: Stage::Failed,
        place: row.place,
        since: now,
        message: "",
        line: None,
        tested: None,
        work_sealed: None,
    };
    let backup = work.backup.as_deref().unwrap_or("none was made");
    // What is something by itself was undone, and the router serves as before.
    let how = (!work.is_part).then_some(Provisioning::Failed);
    let failed = Some((how, why.as_str()));
    match told {
        Ok(SetupToldV1::Restored(left)) if left.is_empty() => {
            let message = format!(
                "{why}. The router is as it was before. {}.",
                plan::advice(&why)
            );
            let turned = Turned {
                message: &message,
                line: Some("Everything was put back as it was"),
                ..on
            };
            note(db, at, row, &turned, failed, None).await
        }
        Ok(SetupToldV1::Restored(left)) => {
            let message = format!(
                "{why}. Not all of it would go back: {}. The backup on the router ({backup}) does: \
                 /system backup load, with the RADIUS secret that the router had then as its password. Configured again, \
                 it is tried first.",
                left.join("; ")
            );
            // Only where something would not: what is well by now is anybody's to change.
            work.before.retain(|stood| {
                let menu = format!("{}: ", stood.item.menu);
                left.iter().any(|words| words.starts_with(&menu))
            });
            let mut tx = db.begin(at.tenant).await?;
            let sealed = seal(&mut tx, secrets, at.router, &work).await;
            let sealed = sealed.map_err(ApiError::into_cause)?;
            drop(tx);
            let turned = Turned {
                message: &message,
                line: Some("Not everything would go back"),
                work_sealed: Some(&sealed),
                ..on
            };
            note(db, at, row, &turned, failed, None).await
        }
        Ok(_) | Err(_) if now.since(row.place_since) < plan::UNDO_PATIENCE => {
            let silence = told.err().map(|silence| silence.to_string());
            let message = format!(
                "{why}. What was done waits to be undone: {}. It is tried again by itself",
                silence
                    .as_deref()
                    .unwrap_or("the site answered something else")
            );
            let turned = Turned {
                stage: Stage::Undoing,
                since: row.place_since,
                message: &message,
                work_sealed: row.work_sealed.as_deref(),
                ..on
            };
            note(db, at, row, &turned, None, Some(now.plus(AGAIN))).await
        }
        Ok(_) | Err(_) => {
            let message = format!(
                "{why}. The router could not be reached for a day, so that it is half configured: once it answers, \
                 configure again, or load the backup on it ({backup}; its password is the RADIUS secret that the router had then)"
            );
            let turned = Turned {
                message: &message,
                work_sealed: row.work_sealed.as_deref(),
                ..on
            };
            note(db, at, row, &turned, failed, None).await
        }
    }
}

/// Writes a turn down; an end also stands at the router and in the trail.
async fn note(
    db: &Database,
    at: At<'_>,
    row: &Row,
    turned: &Turned<'_>,
    end: Option<(Option<Provisioning>, &str)>,
    again: Option<Timestamp>,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(at.tenant).await?;
    let Some(name) = routers::lock_named(&mut tx, at.router).await? else {
        return Ok(None);
    };
    if !store::turn(&mut tx, at.router, row, turned, at.now).await? {
        // Somebody took it over from us, slow as we were, and carried it on: whether it goes on stands in his row. His
        // turn at the job may be over, so that nobody else would come back to it.
        return Ok(Some(at.now));
    }
    if let Some((how, details)) = end {
        routers::release(&mut tx, at.router, &Writer::Wizard).await?;
        if let Some(how) = how {
            routers::provisioning(&mut tx, at.router, how).await?;
        }
        let audit = Audit {
            details: details.to_owned(),
            ..Audit::new(Action::RouterSetup, "router", at.router, &name)
        };
        audit::record(&mut tx, &Actor::system(), audit, at.now).await?;
    }
    tx.commit().await?;
    Ok(again)
}

/// How long a turn may take: a router with a small processor writes a dozen rows a second. Well below a job's lease.
const TURN: Duration = Duration::from_secs(25);
/// How long reading takes at most: four times that and a signed request are below a job's lease.
const READ: Duration = Duration::from_secs(12);
/// How long a signed request may take.
const SHORT: Duration = Duration::from_secs(8);
/// When to ask again after silence.
const AGAIN: Duration = Duration::from_secs(5);
