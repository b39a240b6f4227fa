//! Routers that a site's agent brought up by itself, while the cloud could not be asked.

use std::net::Ipv4Addr;
use std::sync::Arc;

use easyisp_shared::id::SiteId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::brought::{BroughtUpV1, ServesV1};
use easyisp_shared::wire::down::secret_place;
use easyisp_shared::wire::{DownKind, Up};

use super::plan::Stage;
use super::rules::{self, Chosen, Services};
use super::{http, store};
use crate::audit::{self, Action, Actor, Audit};
use crate::db::{Kind, Tx};
use crate::due;
use crate::routers::{self, COMPLETE, Change, Clear, Provisioning};
use crate::secrets::{SecretError, Secrets};
use crate::sites;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Takes routers that agents brought up by themselves.
pub fn brought_up(secrets: Secrets) -> Applier {
    Arc::new(move |tx, agent, reports, now| {
        let secrets = secrets.clone();
        Box::pin(async move { take(tx, &secrets, agent, reports, now).await })
    })
}

async fn take(
    tx: &mut Tx,
    secrets: &Secrets,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut unusable = Vec::new();
    for report in reports {
        let Up::BroughtUp(told) = &report.body else {
            continue;
        };
        let adopted = adopt(tx, secrets, agent, told, now).await;
        if let Err(why) = adopted.map_err(SecretError::into_sqlx)? {
            let sequence = report.sequence;
            unusable.push(Unusable { sequence, why });
        }
    }
    Ok(unusable)
}

/// Enters it under the id that its agent made, or what became of it since, where it is there already; why not, in words.
async fn adopt(
    tx: &mut Tx,
    secrets: &Secrets,
    agent: &Agent,
    told: &BroughtUpV1,
    now: Timestamp,
) -> Result<Result<(), String>, SecretError> {
    let (row, router) = (&told.router, told.router.router);
    let is_there = routers::was_entered(tx, router).await?;
    if is_there && routers::site_of(tx, router).await? != Some(agent.site) {
        return Ok(Ok(())); // deleted, or taken elsewhere: an agent has nothing to say of it any more
    }
    let mut site_keys = secrets.site_keys();
    let key = site_keys.of(tx, agent.site).await?;
    let open = |field: &str, sealed: &[u8]| {
        let clear = key.open(&secret_place(DownKind::Router, router.0, field), sealed);
        String::from_utf8(clear.ok()?.to_vec()).ok()
    };
    let api = row.api.as_ref();
    let opened = open("secret", &row.secret);
    let opened = opened.zip(api.and_then(|api| Some((api, open("api", &api.password)?))));
    let Some((secret, (api, password))) = opened else {
        return Ok(Err(
            "its secrets do not open under its site's key".to_owned()
        ));
    };
    if is_there {
        let login = (api.user.as_str(), password.as_str(), api.port);
        let before = told.before.iter().filter_map(|sealed| open("api", sealed));
        let before: Vec<String> = before.collect();
        return again(tx, secrets, agent, told, (login, &before), now)
            .await
            .map(Ok);
    }
    let change = Change {
        name: Some(row.name.clone()),
        ip_address: Some(row.address.to_string()),
        coa_port: Some(i32::from(row.coa_port)),
        api_username: Some(Some(api.user.clone())),
        api_port: Some(i32::from(api.port)),
        ..Change::default()
    };
    let mut draft = match routers::draft(change, None) {
        Ok(draft) => draft,
        Err(faults) => {
            let fault = faults.first().map(|fault| fault.field.clone());
            return Ok(Err(format!(
                "its {} cannot be a router's",
                fault.unwrap_or_default()
            )));
        }
    };
    sites::stand_still(tx).await?; // what is known of logins to a router that gives way only
    let Some(name) = make_room(tx, agent.site, &draft.name, now).await? else {
        return Ok(Err("all names like its own are taken".to_owned()));
    };
    let renamed = match name == draft.name {
        true => String::new(),
        false => format!(
            " It was called {}, as another router is that was heard of: see which is which.",
            draft.name
        ),
    };
    draft.name = name;
    let clear = Clear {
        secret,
        api_password: Some(password),
    };
    routers::adopt(tx, secrets, (router, agent.site), (&draft, &clear), now).await?;
    routers::placed(tx, router, row.address, now).await?;
    routers::provisioning(tx, router, Provisioning::Provisioned).await?;
    let serial = told.serial.as_deref().and_then(rules::serial);
    let known = match &serial {
        Some(serial) if !store::put_serial(tx, serial, router, now).await? => format!(
            " Another router here has its serial number {serial}: it is the same board, or was; delete one of them."
        ),
        Some(_) | None => String::new(),
    };
    let at = told.at.min(now);
    let message = format!(
        "Its agent brought it up at the site at {at}, without the cloud: it serves.{renamed}{known}"
    );
    let choice = value(&chosen(&told.serves, &told.version))?;
    store::begin(tx, router, &message, &choice, now).await?;
    store::keep(tx, router, &choice).await?;
    store::note(tx, router, Stage::Done, &message, now).await?;
    due::at(tx, COMPLETE, router, now).await?;
    let line = Audit {
        details: message,
        ..Audit::new(Action::RouterRegister, "router", router, &draft.name)
    };
    audit::record(tx, &Actor::agent(agent.id), line, now).await?;
    Ok(Ok(()))
}

/// Its agent brought it up anew, or tried to. By what it is entered is taken from the agent at every stage, as long as the
/// cloud has what the agent knew it by before: what was given since stays, and so nothing that is told late, or once more,
/// puts an older one back. What it serves is known to the agent alone unless somebody chose that here since.
async fn again(
    tx: &mut Tx,
    secrets: &Secrets,
    agent: &Agent,
    told: &BroughtUpV1,
    (login, before): ((&str, &str, u16), &[String]),
    now: Timestamp,
) -> Result<(), SecretError> {
    let router = told.router.router;
    let Some(name) = routers::lock_named(tx, router).await? else {
        return Ok(());
    };
    // Whatever comes of it, the agent is told what holds: it keeps its own word no longer.
    tx.changed(Kind::Router, router);
    let Some(row) = store::find(tx, router).await? else {
        return Ok(());
    };
    let held = routers::opened(tx, secrets, router).await?;
    let held = held.and_then(|held| held.clear.api_password);
    let is_held = held.as_deref() == Some(login.1);
    let is_before = held.is_none_or(|held| before.contains(&held));
    let at = told.at.min(now);
    if !is_held && !is_before {
        let line = Audit {
            details: format!(
                "Its agent told late of a login, and of what it serves, as of {at}: another login was given since and \
                 stays, and nothing is changed."
            ),
            ..Audit::new(Action::RouterRegister, "router", router, &name)
        };
        audit::record(tx, &Actor::agent(agent.id), line, now).await?;
        return Ok(());
    }
    let is_login = !is_held && routers::login_is(tx, secrets, router, login, now).await?;
    let (is_done, is_offered) = match row.stage {
        Stage::Done => (true, false),
        Stage::Waiting | Stage::Fetched => (false, true),
        Stage::Called | Stage::Configuring | Stage::Undoing | Stage::Failed => (false, false),
    };
    let choice = chosen(&told.serves, &told.version);
    let was = http::kept(&row);
    let is_of_its_agent = row.run == 0 && (is_done || is_offered);
    let is_other = is_of_its_agent && was.as_ref().is_none_or(|was| is_other(&choice, was));
    if !is_other && !is_login {
        return Ok(());
    }
    routers::placed(tx, router, told.router.address, now).await?;
    if let Some(serial) = told.serial.as_deref().and_then(rules::serial) {
        // Another board in its place, maybe; of two that have one number was told when the second came.
        store::put_serial(tx, &serial, router, now).await?;
    }
    let mut details = Vec::new();
    if is_other {
        let choice = Chosen {
            cloud: was.and_then(|was| was.cloud),
            ..choice
        };
        let choice = value(&choice)?;
        let mut message = format!(
            "Its agent brought it up anew at the site at {at}, without the cloud: it serves."
        );
        // Its script would be written by what was chosen before.
        let is_unused = matches!(row.stage, Stage::Waiting);
        if is_unused {
            store::delete_tokens(tx, router).await?;
            message.push_str(" The command that was shown here is worth nothing any more.");
        }
        if is_done || is_unused {
            store::begin(tx, router, &message, &choice, now).await?;
            store::note(tx, router, Stage::Done, &message, now).await?;
        }
        store::keep(tx, router, &choice).await?;
        details.push(message);
    }
    if is_login {
        details.push(format!(
            "Its agent gave the login that it enters it by another password at {at}."
        ));
    }
    if is_of_its_agent {
        // Also what an attempt that failed could not put back.
        due::at(tx, COMPLETE, router, now).await?;
    } else {
        details.push(
            "What it serves was chosen here since, and stays: see whether it differs.".to_owned(),
        );
    }
    let line = Audit {
        details: details.join(" "),
        ..Audit::new(Action::RouterRegister, "router", router, &name)
    };
    audit::record(tx, &Actor::agent(agent.id), line, now).await?;
    Ok(())
}

/// Whether an agent chose otherwise than before; the site's other agents, and the cloud's place, were added here.
fn is_other(choice: &Chosen, was: &Chosen) -> bool {
    let of = |one: &Chosen| {
        (
            one.services,
            one.release,
            one.wan.clone(),
            one.pppoe.clone(),
            one.hotspot.clone(),
            one.bridges.clone(),
            one.firewall,
        )
    };
    of(choice) != of(was) || !choice.agents.iter().all(|agent| was.agents.contains(agent))
}

fn value(choice: &Chosen) -> Result<serde_json::Value, SecretError> {
    serde_json::to_value(choice)
        .map_err(|cause| SecretError::from(sqlx::Error::Encode(cause.into())))
}

/// A name for it: its own, where nobody has it or only a router that was entered for it here and never came, which
/// gives way; else with a number.
async fn make_room(
    tx: &mut Tx,
    site: SiteId,
    name: &str,
    now: Timestamp,
) -> sqlx::Result<Option<String>> {
    for number in 1..=MOST_OF_A_NAME {
        let tried = match number {
            1 => name.to_owned(),
            _ => format!("{name} ({number})"),
        };
        let Some(held) = routers::lock_by_name(tx, &tried).await? else {
            return Ok(Some(tried));
        };
        let never_came = held.last_seen.is_none() && held.address == Ipv4Addr::UNSPECIFIED;
        if number == 1
            && never_came
            && held.site == site
            && routers::withdraw(tx, held.id, now).await?
        {
            store::delete_tokens(tx, held.id).await?;
            store::delete(tx, held.id).await?;
            let line = Audit {
                details: "Never came; its agent brought the router of this name up by itself"
                    .to_owned(),
                ..Audit::new(Action::RouterDelete, "router", held.id, &tried)
            };
            audit::record(tx, &Actor::system(), line, now).await?;
            return Ok(Some(tried));
        }
    }
    Ok(None)
}

/// The same as somebody would have chosen it here.
fn chosen(serves: &ServesV1, version: &str) -> Chosen {
    let services = match (&serves.pppoe, &serves.hotspot) {
        (Some(_), None) => Services::Pppoe,
        (None, Some(_)) => Services::Hotspot,
        (Some(_), Some(_)) | (None, None) => Services::Both,
    };
    let release = version.split('.').next().and_then(|text| text.parse().ok());
    Chosen {
        services: Some(services),
        release: release.filter(|release| [6, 7].contains(release)),
        wan: Some(serves.wan.clone()),
        pppoe: serves.pppoe.clone().unwrap_or_default(),
        hotspot: serves.hotspot.clone().unwrap_or_default(),
        bridges: serves.bridges.clone(),
        agents: serves.agents.iter().map(Ipv4Addr::to_string).collect(),
        firewall: serves.firewall,
        // It is a new one: as of those that take their script here.
        pages: serves.hotspot.is_some(),
        ..Chosen::default()
    }
}

/// Nobody calls more routers the same.
const MOST_OF_A_NAME: u32 = 20;
