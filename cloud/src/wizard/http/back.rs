//! Taking a router back to a version of its configuration, as the wizard configures it.

use std::time::Instant;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;

use super::super::back::{Back, VersionRow, back};
use super::super::plan::Work;
use super::super::rules::{self, Chosen, Services};
use super::configure::Configured;
use super::hands::{Hands, Left};
use super::through::Until;
use super::{Choice, chosen, known, refused};
use crate::auth::Operator;
use crate::db::Database;
use crate::error::ApiError;
use crate::routers::Writer;
use crate::secrets::Secrets;
use crate::sites::Live;

/// A router that goes back.
pub struct Going {
    chosen: Chosen,
    /// How.
    pub back: Back,
}

/// What takes a router of this choice back to these rows. The agents' login stays as it is: without it nothing would
/// follow.
pub async fn plan(
    db: &Database,
    secrets: &Secrets,
    operator: &Operator,
    router: RouterId,
    choice: Choice,
    rows: &[VersionRow<'_>],
) -> Result<Going, ApiError> {
    let mut tx = db.begin(operator.tenant).await?;
    let known = known(&mut tx, secrets, router).await?;
    let chosen = chosen(&mut tx, router, choice).await?;
    let steps = rules::planned(known, chosen.clone()).map_err(refused)?;
    Ok(Going {
        chosen,
        back: back(&steps, rows),
    })
}

/// Has it go back: a backup first, step by step, read back and tried; undone where anything fails.
pub async fn go(
    (db, secrets, live): (&Database, &Secrets, &Live),
    operator: &Operator,
    router: RouterId,
    going: Going,
    details: &str,
    (begun, now): (Instant, Timestamp),
) -> Result<Configured, ApiError> {
    let hands = Hands {
        writer: Writer::beginning(db.entropy()),
        db: db.clone(),
        secrets: secrets.clone(),
        live: live.clone(),
        operator: operator.clone(),
        router,
        now,
    };
    let site = hands.free().await?;
    // What it serves then is what that version served, and that is what is tried and kept.
    let services = going.back.services();
    let chosen = Chosen {
        services,
        ..going.chosen
    };
    let choice = serde_json::to_value(&chosen).map_err(ApiError::internal)?;
    let mut work = Work::new(services.unwrap_or(Services::Both), None, &[], Vec::new());
    work.steps = going.back.parts;
    work.is_part = services.is_none();
    let details = details.to_owned();
    let start = move |hands: Hands| async move {
        hands
            .start(site, work, choice, (true, Left::Undo), &details)
            .await
    };
    hands.through(Until::the_limit(begun), start).await
}
