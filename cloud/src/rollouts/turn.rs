//! Carries a router's part on, one turn at a time. What the router is told is written down before it is told, so that
//! whoever comes after a crash asks it what became of that before he tells it again.

use std::time::Duration;

use easyisp_shared::id::{RolloutPartId, TenantId};
use easyisp_shared::setup::Release;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::drift;
use easyisp_shared::wire::firmware::{FirmwareAskV1, FirmwareV1};
use easyisp_shared::wire::question::{AskFailure, Question, Reply};
use easyisp_shared::wire::router::{RouterAsk, RouterTold};
use easyisp_shared::wire::setup::{SetupAskV1, SetupToldV1, without_backup};
use jiff::tz::TimeZone;

use super::RUN;
use super::actions::Action;
use super::rules::{self, Verdict, Wish};
use super::store::{self, Part, Turned};
use super::words::{State, Step};
use crate::db::Database;
use crate::due;
use crate::error::ApiError;
use crate::routers::{self, Writer};
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::sites::live::Silence;
use crate::{tenants, wizard};

/// Whom to ask.
struct At<'a> {
    db: &'a Database,
    live: &'a Live,
    secrets: &'a Secrets,
    tenant: TenantId,
    part: &'a Part,
    now: Timestamp,
}

/// What a turn came to.
struct Came {
    step: Step,
    message: String,
    /// When it was told to start anew, while that is not seen to its end.
    ordered_at: Option<Timestamp>,
    orders: i16,
    release_now: Option<String>,
    release_wanted: Option<String>,
    knew_us: bool,
    /// When to go on; `None` = at once where it goes on at all.
    again: Option<Duration>,
}

impl Came {
    fn to(at: &At<'_>, step: Step, message: impl Into<String>) -> Came {
        Came {
            step,
            message: message.into(),
            ordered_at: None,
            orders: 0,
            release_now: None,
            release_wanted: None,
            knew_us: at.part.knew_us,
            again: None,
        }
    }

    /// The same step again after a while.
    fn waits(at: &At<'_>, message: impl Into<String>, again: Duration) -> Came {
        Came {
            ordered_at: at.part.ordered_at,
            orders: at.part.orders,
            again: Some(again),
            ..Came::to(at, at.part.step, message)
        }
    }

    fn runs(self, told: &FirmwareV1) -> Came {
        Came {
            release_now: Some(told.installed.clone()),
            ..self
        }
    }
}

/// Carries a router's part one turn on; when to go on, `None` when there is nothing more to do.
pub async fn turn(
    db: &Database,
    live: &Live,
    secrets: &Secrets,
    (tenant, part): (TenantId, RolloutPartId),
    now: Timestamp,
) -> anyhow::Result<Option<Timestamp>> {
    let mut tx = db.begin(tenant).await?;
    let part = store::part(&mut tx, part).await?;
    let Some(mut part) = part.filter(|part| !part.step.is_end() && !part.step.is_idle()) else {
        return Ok(None);
    };
    let writer = Writer::Rollout(part.id.to_string());
    if part.step != Step::Soaking && part.site_id.is_some() {
        // It has the router to itself. What was told to start anew is seen to its end in any case.
        routers::lock_named(&mut tx, part.router_id).await?;
        match routers::claim(&mut tx, part.router_id, &writer, now).await {
            Ok(()) => {}
            Err(ApiError::Internal(cause)) => return Err(cause),
            Err(busy) if part.step.is_before_order() || part.step == Step::Acting => {
                drop(tx);
                let at = At {
                    db,
                    live,
                    secrets,
                    tenant,
                    part: &part,
                    now,
                };
                let why = busy.into_cause().to_string();
                let came = Came::waits(&at, why, AGAIN);
                return note(&at, came).await;
            }
            Err(_) => {}
        }
    }
    if part.step.is_before_order() {
        if part.state != State::Running {
            return Ok(None); // it is made due again when the rollout goes on
        }
        let zone = TimeZone::get(&tenants::time_zone(&mut tx).await?)?;
        let window = part.window_from.zip(part.window_to);
        let window = window.map(|(from, to)| rules::Window { from, to });
        if window.is_some_and(|window| !window.is_open(now, &zone)) {
            tx.commit().await?;
            let at = At {
                db,
                live,
                secrets,
                tenant,
                part: &part,
                now,
            };
            let came = Came::to(
                &at,
                Step::Waiting,
                "The window closed before it was begun with",
            );
            return note(&at, came).await;
        }
    }
    let starts = matches!(
        part.step,
        Step::Installing | Step::BoardRestarting | Step::Restarting
    );
    let is_to_order = starts && part.ordered_at.is_none();
    if is_to_order {
        let told = Turned {
            step: part.step,
            since: part.step_since,
            ordered_at: Some(now),
            orders: part.orders + 1,
            message: "It was told to start anew",
            release_now: None,
            release_wanted: None,
            knew_us: part.knew_us,
        };
        if !store::turned(&mut tx, &part, &told).await? {
            return Ok(Some(now)); // as in `note`
        }
        tx.commit().await?;
        part.turn += 1;
        part.orders += 1;
        part.ordered_at = Some(now);
    } else {
        tx.commit().await?;
    }
    let at = At {
        db,
        live,
        secrets,
        tenant,
        part: &part,
        now,
    };
    let came = match (part.step, is_to_order) {
        _ if part.site_id.is_none() => Came::to(&at, Step::Skipped, "The router was deleted"),
        (_, true) => order(&at).await,
        (Step::Checking, _) => check(&at).await,
        (Step::Saving, _) => save(&at).await,
        (Step::Downloading, _) => download(&at).await,
        (Step::Installing | Step::BoardRestarting | Step::Restarting, _) => started(&at).await,
        (Step::Board, _) => board(&at).await,
        (Step::Acting, _) => act(&at).await?,
        (Step::Settling | Step::Soaking, _) => settle(&at).await,
        (
            Step::Waiting
            | Step::Away
            | Step::Done
            | Step::Skipped
            | Step::Failed
            | Step::Missed
            | Step::Untouched,
            _,
        ) => return Ok(None),
    };
    note(&at, came).await
}

/// Writes a turn down. Who came to an end, or is left for later, makes room for the next.
async fn note(at: &At<'_>, came: Came) -> anyhow::Result<Option<Timestamp>> {
    let (part, now) = (at.part, at.now);
    let mut tx = at.db.begin(at.tenant).await?;
    let turned = Turned {
        step: came.step,
        since: match came.step == part.step {
            true => part.step_since,
            false => now,
        },
        ordered_at: came.ordered_at,
        orders: came.orders,
        message: &came.message,
        release_now: came.release_now.as_deref(),
        release_wanted: came.release_wanted.as_deref(),
        knew_us: came.knew_us,
    };
    if !store::turned(&mut tx, part, &turned).await? {
        // Somebody took it over from us, slow as we were, and carried it on: whether it goes on stands in its row. His turn
        // at the job may be over, so that nobody else would come back to it.
        return Ok(Some(now));
    }
    let rests = came.step.is_end() || came.step.is_idle();
    if rests || came.step == Step::Soaking {
        let writer = Writer::Rollout(part.id.to_string());
        routers::release(&mut tx, part.router_id, &writer).await?;
    }
    if rests {
        due::at(&mut tx, RUN, part.rollout_id, now).await?;
    }
    tx.commit().await?;
    Ok((!rests).then(|| now.plus(came.again.unwrap_or_default())))
}

impl At<'_> {
    async fn question(&self, question: &Question, within: Duration) -> Result<Reply, Silence> {
        let Some(site) = self.part.site_id else {
            return Err(Silence::Database);
        };
        let asked = self.live.ask(self.tenant, site, question, within, self.now);
        asked.await
    }

    async fn ask(&self, ask: RouterAsk, within: Duration) -> Result<RouterTold, Silence> {
        let router = self.part.router_id;
        match self
            .question(&Question::Router { router, ask }, within)
            .await?
        {
            Reply::Router(told) => Ok(told),
            _ => Err(Silence::Database), // what nobody understands is as good as silence
        }
    }

    async fn firmware(&self, ask: FirmwareAskV1, within: Duration) -> Result<FirmwareV1, Silence> {
        match self.ask(RouterAsk::Firmware(ask), within).await? {
            RouterTold::Firmware(told) => Ok(*told),
            _ => Err(Silence::Database), // the same
        }
    }

    /// Whether its API lets the agent in, and whether it answers signed requests at its CoA port.
    async fn answers(&self) -> Result<(bool, bool, String), Silence> {
        let router = self.part.router_id;
        match self
            .question(&Question::TestConnection { router }, SHORT)
            .await?
        {
            Reply::Connection(told) => {
                Ok((told.api == Some(true), told.coa == Some(true), told.detail))
            }
            _ => Err(Silence::Database), // the same
        }
    }

    fn upgrade(&self) -> Option<&super::actions::Upgrade> {
        match &self.part.action.0 {
            Action::Upgrade(upgrade) => Some(upgrade),
            Action::Reboot
            | Action::Repair(_)
            | Action::SetNtp(_)
            | Action::SetDns(_)
            | Action::AddToList(_)
            | Action::RemoveFromList(_)
            | Action::SetIdentity
            | Action::SetContact(_) => None,
        }
    }
}

/// Whether somebody said no, who is there.
fn is_no(silence: &Silence) -> bool {
    matches!(
        silence,
        Silence::Failed {
            failure: AskFailure::Refused(_) | AskFailure::NotUnderstood,
            ..
        }
    )
}

/// Before anything is done to it: who says no fails, who says nothing is left for later.
fn untouched(at: &At<'_>, silence: &Silence) -> Came {
    let step = match is_no(silence) {
        true => Step::Failed,
        false => Step::Away,
    };
    Came::to(at, step, silence.to_string())
}

async fn check(at: &At<'_>) -> Came {
    let ask = match at.upgrade() {
        Some(upgrade) => FirmwareAskV1::Check {
            channel: upgrade.channel.clone(),
        },
        None => FirmwareAskV1::Look,
    };
    let told = match at.firmware(ask, READ).await {
        Ok(told) => told,
        Err(silence) => return untouched(at, &silence),
    };
    let knew_us = match at.answers().await {
        Ok((_, coa, _)) => coa,
        Err(silence) => return untouched(at, &silence),
    };
    let Some(upgrade) = at.upgrade() else {
        let step = match at.part.action.0 {
            Action::Reboot => Step::Restarting,
            _ => Step::Acting, // everything else is written
        };
        let came = Came::to(at, step, "It is there").runs(&told);
        return Came { knew_us, ..came };
    };
    let wish = Wish {
        release: upgrade.version.as_deref(),
        board: upgrade.routerboard,
        downgrade: upgrade.allow_downgrade,
    };
    let tried = match held(at, wish, &told).await {
        Ok(tried) => tried,
        Err(_) => return Came::waits(at, "It could not be written down yet", AGAIN),
    };
    let (step, message, wanted) = match rules::verdict(wish, tried.as_deref(), &told) {
        Verdict::Install { release, .. } => {
            (Step::Saving, format!("It takes {release}"), Some(release))
        }
        Verdict::Board => (
            Step::Board,
            format!("It runs {}; its board takes it too", told.installed),
            Some(told.installed.clone()),
        ),
        Verdict::Nothing => (
            Step::Settling,
            format!("It runs {} already", told.installed),
            Some(told.installed.clone()),
        ),
        Verdict::Newer(runs) => {
            let why = format!("It runs the newer {runs}; an older release was not asked for");
            (Step::Skipped, why, None)
        }
        Verdict::Refuse(why) => (Step::Failed, format!("Nothing was done: {why}"), None),
    };
    Came {
        knew_us,
        release_wanted: wanted,
        ..Came::to(at, step, message).runs(&told)
    }
}

/// The release that the whole rollout holds to: what its first router found.
async fn held(at: &At<'_>, wish: Wish<'_>, told: &FirmwareV1) -> sqlx::Result<Option<String>> {
    if at.part.release.is_some() {
        return Ok(at.part.release.clone());
    }
    // Who would not take it does not say what the others take.
    if !matches!(
        rules::verdict(wish, None, told),
        Verdict::Install { .. } | Verdict::Board | Verdict::Nothing
    ) {
        return Ok(None);
    }
    let mut tx = at.db.begin(at.tenant).await?;
    let held = store::hold_release(&mut tx, at.part.rollout_id, &told.latest).await?;
    tx.commit().await?;
    Ok(held)
}

async fn save(at: &At<'_>) -> Came {
    let name = format!("easyisp-{}", at.part.rollout_id.0.simple());
    let ask = RouterAsk::Setup(SetupAskV1::Save { name });
    match at.ask(ask, WRITE).await {
        Ok(RouterTold::Setup(SetupToldV1::Saved { files, problem })) => {
            match files.iter().find(|file| file.ends_with(".backup")) {
                Some(file) => Came::to(at, Step::Downloading, format!("It saved {file}")),
                None => {
                    let why = problem.unwrap_or_else(|| "the file is not there".to_owned());
                    let why = match without_backup(&why) {
                        Some(words) => format!("Nothing was done. {words}"),
                        None => format!("Nothing was done: it saved no backup: {why}"),
                    };
                    Came::to(at, Step::Failed, why)
                }
            }
        }
        Ok(_) => untouched(at, &Silence::Database), // an answer to something else
        Err(silence) => untouched(at, &silence),
    }
}

async fn download(at: &At<'_>) -> Came {
    let wanted = at.part.release_wanted.clone().unwrap_or_default();
    let told = match at.firmware(FirmwareAskV1::Look, SHORT).await {
        // What lies there from before may be another release.
        Ok(told) if told.is_downloaded() && told.latest == wanted => Ok(told),
        Ok(_) => at.firmware(FirmwareAskV1::Download, LONG).await,
        Err(silence) => Err(silence),
    };
    match told {
        Ok(told) if told.is_downloaded() => {
            Came::to(at, Step::Installing, format!("It fetched {wanted}")).runs(&told)
        }
        Ok(told) if at.now.since(at.part.step_since) < PATIENCE => {
            Came::waits(at, format!("It fetches {wanted}: {}", told.status), AGAIN)
        }
        Ok(told) => {
            let why = format!(
                "Nothing was done: it does not fetch {wanted}: {}",
                told.status
            );
            Came::to(at, Step::Failed, why)
        }
        Err(silence) if is_no(&silence) => untouched(at, &silence),
        Err(silence) if at.now.since(at.part.step_since) < PATIENCE => {
            Came::waits(at, silence.to_string(), AGAIN)
        }
        Err(silence) => untouched(at, &silence),
    }
}

/// Tells it to start anew; that is written down already.
async fn order(at: &At<'_>) -> Came {
    let downgrade = at
        .part
        .release_before
        .as_deref()
        .zip(at.part.release_wanted.as_deref())
        .is_some_and(|(runs, takes)| rules::compare(takes, runs).is_lt());
    let ask = match at.part.step {
        Step::Installing => RouterAsk::Firmware(FirmwareAskV1::Install { downgrade }),
        _ => RouterAsk::Reboot, // of the others
    };
    match at.ask(ask, WRITE).await {
        Err(silence) if is_no(&silence) => Came::to(at, Step::Failed, silence.to_string()),
        // Nobody knows whether it heard that: it is asked.
        Ok(_) | Err(_) => Came::waits(at, "It starts anew", AGAIN),
    }
}

/// What became of a start.
async fn started(at: &At<'_>) -> Came {
    let part = at.part;
    let ordered = part.ordered_at.unwrap_or(at.now);
    let gone = at.now.since(ordered);
    let told = match at.firmware(FirmwareAskV1::Look, SHORT).await {
        Ok(told) => told,
        Err(silence) if gone < PATIENCE => {
            return Came::waits(at, format!("It starts anew. {silence}"), AGAIN);
        }
        Err(silence) => {
            let why = format!(
                "It did not come back in {} minutes. {silence}",
                PATIENCE.as_secs() / 60
            );
            return Came::to(at, Step::Failed, why);
        }
    };
    let wanted = part.release_wanted.as_deref();
    let runs_it = wanted.is_none_or(|wanted| wanted == told.installed);
    let has_started = told.uptime_secs < gone.as_secs();
    let came = match (part.step, has_started) {
        (Step::Installing, _) if runs_it => match (&told.board, at.upgrade()) {
            (Some((runs, takes)), Some(upgrade)) if upgrade.routerboard && runs != takes => {
                Came::to(at, Step::Board, format!("It runs {}", told.installed))
            }
            _ => Came::to(at, Step::Settling, format!("It runs {}", told.installed)), // no board
        },
        (Step::Installing, true) => {
            let why = format!(
                "It came back with {}, not with {}",
                told.installed,
                wanted.unwrap_or("what was wanted")
            );
            Came::to(at, Step::Failed, why)
        }
        (Step::BoardRestarting, true) => match &told.board {
            Some((runs, takes)) if runs != takes => {
                let why = format!("Its board came back with the firmware {runs}, not with {takes}");
                Came::to(at, Step::Failed, why)
            }
            Some(_) | None => Came::to(at, Step::Settling, "Its board runs the same"),
        },
        (_, true) => Came::to(at, Step::Settling, "It started anew"),
        (_, false) if gone < UNHEARD => Came::waits(at, "It has not started anew yet", AGAIN),
        (_, false) if part.orders < MOST_ORDERS => Came {
            ordered_at: None,
            ..Came::waits(at, "It did not hear that; it is told again", Duration::ZERO)
        },
        (_, false) => Came::to(
            at,
            Step::Failed,
            "It was told three times and did not start anew",
        ),
    };
    came.runs(&told)
}

async fn board(at: &At<'_>) -> Came {
    match at
        .ask(RouterAsk::Firmware(FirmwareAskV1::Board), WRITE)
        .await
    {
        Ok(_) => Came::to(at, Step::BoardRestarting, "Its board's firmware is written"),
        Err(silence) => missing(at, &silence),
    }
}

/// After something was done to it: who says no fails, who says nothing has some patience.
fn missing(at: &At<'_>, silence: &Silence) -> Came {
    match !is_no(silence) && at.now.since(at.part.step_since) < PATIENCE {
        true => Came::waits(at, silence.to_string(), AGAIN),
        false => Came::to(at, Step::Failed, silence.to_string()),
    }
}

async fn act(at: &At<'_>) -> anyhow::Result<Came> {
    let part = at.part;
    let wanted = match &part.action.0 {
        Action::Repair(choice) => {
            let mut tx = at.db.begin(at.tenant).await?;
            let setup = wizard::setup(&mut tx, at.secrets, part.router_id, choice.clone()).await;
            match setup {
                Ok((setup, release)) => {
                    drift::wanted(&easyisp_shared::setup::wanted(&setup, release))
                }
                Err(ApiError::Internal(cause)) => return Err(cause),
                Err(cause) => {
                    // It says itself in a sentence.
                    let why = cause.into_cause().to_string();
                    return Ok(Came::to(at, Step::Failed, why));
                }
            }
        }
        action => {
            let runs = part.release_before.as_deref().unwrap_or_default();
            let release = match runs.starts_with("6.") {
                true => Release::V6,
                false => Release::V7,
            };
            action.wanted(&part.router_name, release)
        }
    };
    Ok(match at.ask(RouterAsk::Repair(wanted), LONG).await {
        Ok(RouterTold::Drift(left)) if left.fields.is_empty() && left.problems.is_empty() => {
            Came::to(at, Step::Settling, "It was written and read back")
        }
        Ok(RouterTold::Drift(left))
            if drift::not_now(&left).is_some() && at.now.since(part.step_since) < PATIENCE =>
        {
            let words = drift::not_now(&left).unwrap_or_default();
            Came::waits(at, format!("It waits: {words}"), AGAIN)
        }
        Ok(RouterTold::Drift(left)) => {
            let fields = left.fields.iter().map(|field| {
                let name = [field.menu.as_str(), &field.row, &field.field].join(" ");
                format!("{} is not as it should be", name.trim_end())
            });
            let problems = left
                .problems
                .iter()
                .map(|(menu, words)| format!("{menu}: {words}"));
            let why: Vec<String> = problems.chain(fields).take(3).collect();
            Came::to(at, Step::Failed, why.join("; "))
        }
        Ok(_) => missing(at, &Silence::Database), // an answer to something else
        Err(silence) => missing(at, &silence),
    })
}

/// Whether all is well, and still is after a while.
async fn settle(at: &At<'_>) -> Came {
    let part = at.part;
    let soak = Duration::from_secs(u64::from(part.soak_secs.unsigned_abs()));
    let soaked = part.step_since.plus(soak);
    if part.step == Step::Soaking && at.now < soaked {
        return Came::waits(at, "All is well", soaked.since(at.now));
    }
    let since = match part.step {
        Step::Soaking => soaked,
        _ => part.step_since, // it just came back
    };
    let found = async {
        let told = at.firmware(FirmwareAskV1::Look, SHORT).await?;
        let (api, coa, detail) = at.answers().await?;
        Ok::<_, Silence>((told, api, coa, detail))
    };
    let (why, told) = match found.await {
        Ok((told, api, coa, detail)) => {
            let wanted = part.release_wanted.as_deref();
            let runs_it = wanted.is_none_or(|wanted| wanted == told.installed);
            let why = match (runs_it, api, coa || !part.knew_us) {
                (true, true, true) => None,
                (false, ..) => Some(format!("It runs {}", told.installed)),
                (true, ..) => Some(detail),
            };
            (why, Some(told))
        }
        Err(silence) => (Some(silence.to_string()), None),
    };
    let came = match why {
        None if part.step == Step::Soaking => Came::to(at, Step::Done, "All is well"),
        None => Came {
            again: Some(soak),
            ..Came::to(at, Step::Soaking, "All is well")
        },
        Some(why) if at.now.since(since) < PATIENCE => Came::waits(at, why, AGAIN),
        Some(why) => Came::to(at, Step::Failed, format!("It is not well: {why}")),
    };
    match told {
        Some(told) => came.runs(&told),
        None => came,
    }
}

/// How soon what is under way is looked at again.
const AGAIN: Duration = Duration::from_secs(10);
/// How long a router may take to come back, or to fetch a release: a board that writes its flash takes some minutes.
const PATIENCE: Duration = Duration::from_secs(900);
/// When a router that neither starts anew nor says no is told again.
const UNHEARD: Duration = Duration::from_secs(240);
const MOST_ORDERS: i16 = 3;
/// How long questions may take. All of a turn is below a job's lease.
const SHORT: Duration = Duration::from_secs(8);
const READ: Duration = Duration::from_secs(20);
const WRITE: Duration = Duration::from_secs(25);
const LONG: Duration = Duration::from_secs(45);
