//! Somebody with a line, a device or a slip of paper.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use easyisp_shared::time::Timestamp;
use easyisp_tests::router::online::Online;
use easyisp_tests::router::session::Cause;
use easyisp_tests::router::subscriber::{Dial, Subscriber};
use easyisp_tests::world::soon;

/// Somebody with a line, a device or a slip of paper.
pub(super) struct Person {
    /// What his equipment shows the first time.
    pub(super) line: Subscriber,
    /// What it shows from then on, where that is something else.
    pub(super) later: Option<Subscriber>,
    pub(super) arrives: Timestamp,
    pub(super) until: Until,
    /// When he has had enough, before that.
    pub(super) leaves: Option<Timestamp>,
    /// Bytes left of a quota.
    pub(super) left: Option<u64>,
    pub(super) state: State,
}

/// When service ends, with all grace.
#[derive(Clone, Copy)]
pub(super) enum Until {
    At(Timestamp),
    AfterFirstUse(Duration),
}

pub(super) enum State {
    NotYet,
    /// Interim updates that had been answered when it was last looked at.
    Online(Online, u32),
    /// Hung up with time left.
    Gone,
    /// Ended, and is refused.
    Over,
}

impl Person {
    /// What logs in from now on.
    pub(super) fn equipment(&self) -> &Subscriber {
        match (&self.state, &self.later) {
            (State::NotYet, _) | (_, None) => &self.line,
            (State::Online(..) | State::Gone | State::Over, Some(later)) => later,
        }
    }

    /// Dials and gets exactly what is left.
    pub(super) async fn dial(&mut self, now: Timestamp) -> Result<()> {
        let dial = self.equipment().dial().await;
        let Dial::Online(online) = dial else {
            anyhow::bail!("{dial:?} for who has time left");
        };
        soon("the Start is answered", online.started()).await?;
        let grants = online.session().context("online")?.grants;
        if let Until::At(end) = self.until {
            let left = u32::try_from(end.since(now).as_secs())?;
            ensure!(
                grants.session_timeout == Some(left),
                "{:?} where {left} s are left",
                grants.session_timeout
            );
        }
        ensure!(
            grants.total_limit == self.left,
            "{:?} where {:?} bytes are left",
            grants.total_limit,
            self.left
        );
        self.state = State::Online(online, 0);
        Ok(())
    }

    pub(super) async fn redial(&mut self, now: Timestamp) -> Result<()> {
        if let State::Online(online, _) = &self.state {
            ensure!(
                soon("a Stop", online.hang_up()).await?,
                "his Stop is answered"
            );
        }
        self.dial(now).await
    }
}

/// Waits until a session is off the router and its Stop was answered.
pub(super) async fn is_over(online: &Online, causes: &[Cause]) -> Result<()> {
    let user = online.account().user;
    let ended = soon(&format!("{user} is cut off"), online.ended()).await;
    let (cause, _) = ended?;
    ensure!(causes.contains(&cause), "{user} ended by {cause:?}");
    let settled = online.when(|account| account.settled.then_some(account.stop_acknowledged));
    ensure!(
        soon("a Stop", settled).await?,
        "the Stop of {user} is answered"
    );
    Ok(())
}

pub(super) async fn is_refused(equipment: &Subscriber) -> Result<()> {
    let dial = equipment.dial().await;
    ensure!(
        matches!(dial, Dial::Rejected(_)),
        "{dial:?} for who is past his end"
    );
    Ok(())
}
