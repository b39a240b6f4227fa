//! Configures a router that called: what stood there before is kept until all of it works or all of it is undone.
//! Whatever is asked can be asked again, so that a box that died half-way goes on from the beginning.

use std::net::Ipv4Addr;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{Around, Release, Step, wanted};
use easyisp_shared::wire::Up;
use easyisp_shared::wire::brought::BroughtUpV1;
use easyisp_shared::wire::router::SystemV1;
use easyisp_shared::wire::setup::{BeforeV1, ItemV1, SetupAskV1, SetupToldV1, without_backup};
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::draft::{Draft, Plan, Stage};
use super::plan::{self, Found};
use super::rests::{Rests, Went};
use super::stop::Stop;
use super::{Refusal, Wizard};
use crate::radius::login_log::record;
use crate::site::Router;
use crate::store::{Change, Committed, Job, Urgency, Write};

/// Carries on whatever is under way, one router after the other.
pub(super) async fn run(wizard: &Wizard) {
    let mut changes = wizard.changes.subscribe();
    let mut rests = Rests::default();
    loop {
        changes.mark_unchanged();
        let waits: Vec<Draft> = {
            let drafts = wizard.drafts();
            let waits = drafts
                .values()
                .filter(|one| one.is_at_work() || one.is_untold());
            waits.cloned().collect()
        };
        let monotonic = || wizard.parts.clock.monotonic();
        let mut again = None;
        for draft in waits {
            let mut rest = rests.rest(&draft, monotonic());
            if rest.is_zero() {
                let went = wizard.go_on(&draft).await;
                rests.note(&draft, went, monotonic());
                rest = match went {
                    Went::Over => continue,
                    Went::Again => AGAIN,
                    Went::Rests => rests.rest(&draft, monotonic()),
                };
            }
            again = Some(again.map_or(rest, |held: Duration| held.min(rest)));
        }
        match again {
            // Another command may be shown meanwhile.
            Some(rest) => tokio::time::sleep(rest.min(AGAIN)).await,
            None => {
                if changes.changed().await.is_err() {
                    return; // the process ends
                }
            }
        }
    }
}

impl Wizard {
    async fn go_on(&self, draft: &Draft) -> Went {
        let router = draft.router;
        let went = |done: Result<(), Stop>| match done {
            Ok(()) => Went::Over,
            Err(Stop::No(_) | Stop::Silent(_)) => Went::Again,
            Err(Stop::Shut(_)) => Went::Rests,
        };
        let done = match draft.stage {
            Stage::Done | Stage::Failed => return went(self.tell(draft).await),
            Stage::Undoing => return went(self.undo(draft).await),
            Stage::Waiting | Stage::Fetched | Stage::Called | Stage::Configuring => {
                self.forward(draft).await
            }
        };
        let stop = match done {
            Ok(()) => {
                info!(router.id = %router, "Brought the router {} up", draft.wish.name);
                return Went::Over;
            }
            Err(stop) if self.is_patient(router, &stop) => {
                let message = format!("It waits: {}. It goes on by itself", stop.why());
                let _waits_all_the_same = self.say(router, message).await;
                return went(Err(stop));
            }
            Err(stop) => stop,
        };
        // What works is not undone for its login.
        if let Some(draft) = self.find(router).filter(|draft| draft.proved) {
            let of_login = format!(" {}", stop.of_its_login(draft.knows));
            return went(self.end(router, &of_login).await);
        }
        let why = stop.why().to_owned();
        warn!(router.id = %router, "The router {} is not brought up: {why}", draft.wish.name);
        let now = self.parts.clock.now();
        let undoing = self.change(router, |draft| {
            draft.give_up(why, now);
            Ok(())
        });
        went(undoing.await.map_err(Stop::from))
    }

    /// Whether it is tried again, so long after what was done at it last.
    fn is_patient(&self, router: RouterId, stop: &Stop) -> bool {
        let now = self.parts.clock.now();
        let since = self.find(router).map(|draft| now.since(draft.since));
        since.is_some_and(|since| match stop {
            Stop::No(_) => false,
            Stop::Silent(_) => since < PATIENCE,
            Stop::Shut(_) => since < SHUT_PATIENCE,
        })
    }

    async fn forward(&self, draft: &Draft) -> Result<(), Stop> {
        let system = self.enter(draft).await?;
        let id = draft.router;
        if draft.proved {
            return self.finish(id).await;
        }
        let mut draft = self.find(id).ok_or(Refusal::Over)?;
        if draft.plan.is_none() {
            // Once, and not over what an earlier attempt left half-way.
            if draft.left.is_empty() {
                self.save(id).await?;
            }
            draft = self.plan(&draft, &system).await?;
        }
        let plan = draft.plan.as_ref().ok_or(Refusal::Over)?;
        let steps = self.steps(&draft, plan);
        let router = self.router(id)?;
        if let Some(why) = self.guard(&router, plan).await? {
            self.note(
                id,
                format!(
                    "The router cannot take it back by itself ({why}): where this shuts the box out, do that beside it"
                ),
            )
            .await?;
        }
        for step in &steps {
            // From here on it waits anew; a router that holds none was told of.
            self.guard(&router, plan).await?;
            let items = step.items.iter().map(ItemV1::from).collect();
            match self.ask(&router, SetupAskV1::Apply(items)).await? {
                SetupToldV1::Applied { refused: None, .. } => {
                    self.note(id, format!("{}: done", step.name)).await?;
                }
                SetupToldV1::Applied {
                    refused: Some(words),
                    ..
                } => {
                    return Err(Stop::No(format!(
                        "{}: the router refused {words}",
                        step.name
                    )));
                }
                _ => return Err(other()), // an answer to something else
            }
        }
        self.agrees(&router, SetupAskV1::Check(items(&steps)))
            .await?;
        if !self.parts.enforcer.probe(&router).await {
            return Err(Stop::No(
                "it was configured, and did not answer the agent's signed request at its CoA port"
                    .to_owned(),
            ));
        }
        // Entered anew, and all as it is to be: the guard goes.
        self.agrees(&router, SetupAskV1::CallOff(items(&steps)))
            .await?;
        self.note(
            id,
            "Tried it: the router serves, and knows the agent".to_owned(),
        )
        .await?;
        self.change(id, |draft| {
            draft.proved = true;
            Ok(())
        })
        .await?;
        self.finish(id).await
    }

    /// It serves: what is left is its login.
    async fn finish(&self, id: RouterId) -> Result<(), Stop> {
        let draft = self.find(id).ok_or(Refusal::Over)?;
        let router = self.router(id)?;
        let kept = self.shut_behind(&draft, &router).await?;
        self.end(id, &kept).await
    }

    async fn end(&self, id: RouterId, kept: &str) -> Result<(), Stop> {
        self.change(id, |draft| {
            draft.end(kept);
            Ok(())
        })
        .await?;
        Ok(())
    }

    async fn save(&self, id: RouterId) -> Result<(), Stop> {
        let router = self.router(id)?;
        let name = format!("easyisp-before-{id}");
        match self.ask(&router, SetupAskV1::Save { name }).await? {
            SetupToldV1::Saved { files, .. }
                if files.iter().any(|file| file.ends_with(".backup")) =>
            {
                let line = format!("Saved a backup on the router: {}", files.join(", "));
                Ok(self.note(id, line).await?)
            }
            SetupToldV1::Saved { problem, .. } => {
                let problem = problem.unwrap_or_else(|| "the file is not there".to_owned());
                if let Some(why) = without_backup(&problem) {
                    return Ok(self.note(id, why.to_owned()).await?);
                }
                Err(Stop::No(format!("the router saved no backup: {problem}")))
            }
            _ => Err(other()), // an answer to something else
        }
    }

    /// Has the router itself take all of it back unless that is called off in time; why it will not, else `None`.
    async fn guard(&self, router: &Router, plan: &Plan) -> Result<Option<String>, Stop> {
        let guard = SetupAskV1::Guard(plan.before.clone());
        match self.ask(router, guard).await? {
            SetupToldV1::Guarded(why) => Ok(why),
            _ => Err(other()), // an answer to something else
        }
    }

    /// Stops where something was configured and is otherwise.
    async fn agrees(&self, router: &Router, ask: SetupAskV1) -> Result<(), Stop> {
        match self.ask(router, ask).await? {
            SetupToldV1::Checked(amiss) if amiss.is_empty() => Ok(()),
            SetupToldV1::Checked(amiss) => {
                let amiss: Vec<String> = amiss.into_iter().take(3).collect();
                Err(Stop::No(format!(
                    "it was configured and is otherwise: {}",
                    amiss.join("; ")
                )))
            }
            _ => Err(other()), // an answer to something else
        }
    }

    /// Looks what is there, chooses, and keeps what stands where anything will be changed.
    async fn plan(&self, draft: &Draft, system: &SystemV1) -> Result<Draft, Stop> {
        let router = self.router(draft.router)?;
        if !draft.left.is_empty() {
            let told = self
                .ask(&router, SetupAskV1::Restore(draft.left.clone()))
                .await?;
            if let SetupToldV1::Restored(left) = told
                && let Some(words) = left.first()
            {
                return Err(Stop::No(format!(
                    "what an earlier attempt left does not go back: {words}"
                )));
            }
        }
        let found = self.found(&router, draft.agent).await?;
        let serves = plan::serves(&draft.wish, draft.agent, &found).map_err(Stop::No)?;
        let mut plan = Plan {
            serves,
            version: system.version.clone(),
            serial: Some(system.serial.clone()).filter(|serial| !serial.is_empty()),
            before: Vec::new(),
        };
        let policy = self.parts.site.policy();
        let setup = plan::whole(&draft.wish, &plan.serves, &policy, &draft.secret);
        if let Some(fault) = setup.faults().first() {
            return Err(Stop::No(format!("{} {}", fault.field, fault.message)));
        }
        let steps = self.steps(draft, &plan);
        let (before, hotspot_allowed) = self.look(&router, items(&steps)).await?;
        if draft.wish.hotspot.is_some() && hotspot_allowed == Some(false) {
            return Err(Stop::No(
                "this device's mode keeps the hotspot off: type /system device-mode update hotspot=yes on the router, \
                 press its button or cut its power within five minutes, and paste a new command"
                    .to_owned(),
            ));
        }
        plan.before = before;
        let now = self.parts.clock.now();
        self.change(draft.router, |draft| {
            draft.plan = Some(plan);
            draft.left = Vec::new();
            draft.stage = Stage::Configuring;
            draft.message = format!("Configures {} {}", system.board, system.version);
            draft.since = now;
            Ok(draft.clone())
        })
        .await
        .map_err(Stop::from)
    }

    fn steps(&self, draft: &Draft, plan: &Plan) -> Vec<Step> {
        let policy = self.parts.site.policy();
        let setup = plan::whole(&draft.wish, &plan.serves, &policy, &draft.secret);
        let release = Release::of(&plan.version).unwrap_or(Release::V7);
        let mut steps = wanted(&setup, release);
        steps.retain(|step| !step.items.is_empty());
        steps
    }

    async fn found(&self, router: &Router, agent: Ipv4Addr) -> Result<Found, Stop> {
        let user = router.api.as_ref().map(|api| api.access.user.as_str());
        let mut around = Around::default();
        around.take(self.look(router, Around::asked(&[agent], user)).await?.0);
        around.take(self.look(router, around.hosts_asked()).await?.0);
        let SetupToldV1::Uplinks(uplinks) = self.ask(router, SetupAskV1::Uplinks).await? else {
            return Err(other());
        };
        let towards = around.towards(agent).into_iter().collect();
        Ok(Found {
            interfaces: self.parts.apis.interfaces(router, READ).await?,
            uplinks,
            agent_at: around.beneath(towards),
            entered: around.entered_from(),
        })
    }

    /// Puts everything back; what would not go is kept for the next attempt.
    async fn undo(&self, draft: &Draft) -> Result<(), Stop> {
        let before = draft
            .plan
            .as_ref()
            .map(|plan| plan.before.clone())
            .unwrap_or_default();
        // What an attempt before this one left is left still where this one did not come so far.
        let mut left = draft.left.clone();
        let mut end = "The router is as it was before".to_owned();
        let is_touched = !before.is_empty();
        if is_touched || draft.serves() {
            let restored = async {
                self.enter(draft).await?;
                let router = self.router(draft.router)?;
                let told = match is_touched {
                    true => {
                        let restore = SetupAskV1::Restore(before.clone());
                        self.ask(&router, restore).await?
                    }
                    false => SetupToldV1::Restored(Vec::new()),
                };
                if is_touched
                    && let SetupToldV1::Restored(refusals) = &told
                    && refusals.is_empty()
                {
                    self.restored(draft.router).await?;
                }
                // It goes on serving: by the password that travelled it is not entered for good.
                if draft.serves() {
                    let draft = self.find(draft.router).ok_or(Refusal::Over)?;
                    let kept = self.shut_behind(&draft, &router).await?;
                    if !kept.is_empty() {
                        end.push_str(". ");
                        end.push_str(kept.trim().trim_end_matches('.'));
                    }
                }
                Ok(told)
            };
            let patience = match is_touched {
                true => UNDO_PATIENCE,
                false => PATIENCE,
            };
            match restored.await {
                Ok(SetupToldV1::Restored(refusals)) if refusals.is_empty() => {}
                Ok(SetupToldV1::Restored(refusals)) => {
                    left = before;
                    end = format!(
                        "Not all of it would go back: {}. The backup on the router does: /system backup load, with the \
                         RADIUS secret that the router had then as its password",
                        refusals.join("; ")
                    );
                }
                Ok(_) => return Err(other()), // an answer to something else
                Err(stop @ Stop::Shut(_)) if !self.is_patient(draft.router, &stop) => {
                    end = match is_touched {
                        true => format!("It is half configured: {}", stop.why()),
                        false => stop.why().to_owned(),
                    };
                    left = draft.half_way();
                }
                Err(stop)
                    if !is_touched && self.parts.clock.now().since(draft.since) >= patience =>
                {
                    end = format!("Nor does it answer now: {}", stop.why());
                }
                Err(_) if self.parts.clock.now().since(draft.since) >= patience => {
                    left = draft.half_way();
                    end =
                        "The router could not be reached for a day, so that it is half configured"
                            .to_owned();
                }
                Err(stop) => {
                    let (before, why) = (&draft.why, stop.why());
                    let message = match is_touched {
                        true => format!("{before}. What was done waits to be undone: {why}"),
                        false => format!("{before}. Its login waits to be put right: {why}"),
                    };
                    self.say(draft.router, message).await?;
                    return Err(stop);
                }
            }
        }
        let serves = draft.serves();
        let draft = self.change(draft.router, |draft| {
            draft.undone(&end, left);
            Ok(draft.clone())
        });
        let draft = draft.await?;
        // One that serves already is the site's, whatever came of another attempt.
        match serves {
            true => self.bring(&draft),
            false => {
                self.parts.site.let_go(draft.router);
                Ok(())
            }
        }
    }

    /// All went back: what is left is the login of one that serves, for which nobody waits a day.
    async fn restored(&self, id: RouterId) -> Result<(), Refusal> {
        let now = self.parts.clock.now();
        self.change(id, |draft| {
            draft.since = now;
            if let Some(plan) = &mut draft.plan {
                plan.before = Vec::new();
            }
            Ok(())
        })
        .await
    }

    /// Has the cloud hear of it: on stable storage, so that it is told whenever the link comes.
    async fn tell(&self, draft: &Draft) -> Result<(), Stop> {
        let row = draft.row(&self.parts.site).zip(draft.serving());
        let (router, plan) = row.ok_or(Refusal::Over)?;
        let now = self.parts.clock.now();
        let told = Up::BroughtUp(Box::new(BroughtUpV1 {
            at: now,
            router,
            serial: plan.serial.clone(),
            version: plan.version.clone(),
            serves: plan.serves.clone(),
            before: draft.before(&self.parts.site),
        }));
        let (done, stored) = oneshot::channel();
        let write = Write {
            changes: vec![Change::Record(record(&told, now))],
            urgency: Urgency::Kept,
            done: Box::new(move |committed| {
                let _nobody_waits = done.send(committed);
            }),
        };
        let _refused_is_told = self.parts.outbox.submit(Job::Write(write));
        if stored.await != Ok(Committed::Yes) {
            return Err(Refusal::NotKept.into());
        }
        self.change(draft.router, |draft| {
            draft.reported = true;
            Ok(())
        })
        .await?;
        Ok(())
    }

    pub(super) fn router(&self, router: RouterId) -> Result<std::sync::Arc<Router>, Stop> {
        Ok(self.parts.site.router(router).ok_or(Refusal::Over)?)
    }

    async fn look(
        &self,
        router: &Router,
        items: Vec<ItemV1>,
    ) -> Result<(Vec<BeforeV1>, Option<bool>), Stop> {
        match self.ask(router, SetupAskV1::Look(items)).await? {
            SetupToldV1::Found {
                before,
                hotspot_allowed,
            } => Ok((before, hotspot_allowed)),
            _ => Err(other()), // an answer to something else
        }
    }

    async fn ask(&self, router: &Router, ask: SetupAskV1) -> Result<SetupToldV1, Stop> {
        let within = match &ask {
            SetupAskV1::Look(_)
            | SetupAskV1::Check(_)
            | SetupAskV1::Uplinks
            | SetupAskV1::Guard(_)
            | SetupAskV1::CallOff(_) => READ,
            SetupAskV1::Save { .. } | SetupAskV1::Apply(_) | SetupAskV1::Restore(_) => TURN,
        };
        Ok(self.parts.apis.set_up(router, ask, within).await?)
    }

    /// Something is done: from here on patience begins anew.
    pub(super) async fn note(&self, router: RouterId, line: String) -> Result<(), Refusal> {
        let now = self.parts.clock.now();
        self.change(router, |draft| {
            draft.since = now;
            draft.message.clone_from(&line);
            if !draft.lines.contains(&line) {
                draft.lines.push(line);
            }
            Ok(())
        })
        .await
    }

    async fn say(&self, router: RouterId, message: String) -> Result<(), Refusal> {
        let held = self.find(router);
        if held.is_some_and(|held| held.message == message) {
            return Ok(());
        }
        self.change(router, |draft| {
            draft.message = message;
            Ok(())
        })
        .await
    }
}

fn items(steps: &[Step]) -> Vec<ItemV1> {
    let items = steps.iter().flat_map(|step| &step.items);
    items.map(ItemV1::from).collect()
}

/// An answer to another question.
fn other() -> Stop {
    Stop::Silent("the router answered something else".to_owned())
}

/// How long reading takes at most.
pub(super) const READ: Duration = Duration::from_secs(12);
/// How long a router with a small processor may take for one step.
const TURN: Duration = Duration::from_secs(25);
/// When to ask again after silence.
pub(super) const AGAIN: Duration = Duration::from_secs(2);
/// How long one that refuses the login is asked again.
const SHUT_PATIENCE: Duration = Duration::from_secs(60);
/// How long a router that does not answer is waited for in the midst of it: a restart takes one or two minutes.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long what was begun is tried to be undone by itself.
const UNDO_PATIENCE: Duration = Duration::from_secs(86_400);
