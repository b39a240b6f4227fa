//! Commands of the cloud: wanted states, carried out at least once, harmless to repeat.

use std::time::Duration;

use easyisp_shared::id::CommandId;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::down::{CommandV1, Order, Whom};
use easyisp_shared::wire::up::{CommandOutcome, CommandResultV1};
use futures_util::future::join_all;
use tracing::info;

use super::driver::{Effect, Enforcer};
use super::rules::Act;
use crate::diagnosis::Why;
use crate::sessions::{Online, Service, Session};

impl Enforcer {
    /// Commands that may not have been carried out before the last stop, in the order they were issued.
    pub(super) fn pending(&self) -> Vec<CommandId> {
        let (site, now) = (&self.parts.site, self.now());
        let mut pending = site.commands();
        pending.retain(|id| {
            let held = site.command(*id);
            held.is_some_and(|held| now < held.1.expires)
        });
        pending.sort_unstable();
        pending
    }

    /// Carries out a command and reports what came of it. Sessions that began after it was issued are
    /// not meant, so a repeat after a restart cuts nobody who logged in again (V11).
    pub(super) async fn carry_out(&self, command: CommandId) {
        let Some(held) = self.parts.site.command(command) else {
            return;
        };
        let (version, order) = (held.0, &held.1);
        let outcome = self.outcome_of(order).await;
        info!(command.id = %command, ?outcome, "Carried out a command");
        self.parts
            .radius
            .report_result(&Up::CommandResult(CommandResultV1 {
                command,
                version,
                at: self.now(),
                outcome,
            }));
    }

    /// Tries some times before it says that it does not work.
    async fn outcome_of(&self, order: &CommandV1) -> CommandOutcome {
        let mut pauses = PAUSES.into_iter();
        loop {
            if order.expires <= self.now() {
                return CommandOutcome::TooLate;
            }
            let outcome = self.outcome(order).await;
            match (&outcome, pauses.next()) {
                (CommandOutcome::Failed(_), Some(pause)) => self.parts.clock.sleep(pause).await,
                _ => return outcome, // it worked, or there is no patience left
            }
        }
    }

    async fn outcome(&self, command: &CommandV1) -> CommandOutcome {
        let until = command.issued.plus(CLOCKS);
        // Who logs in nowhere has no session that could be ended.
        let meant = |online: &Online| {
            online.session.started_at <= until && online.session.service != Service::Line
        };
        let effects = match &command.order {
            Order::Disconnect(whom) => {
                let sessions = self.open_to(whom).into_iter().filter(meant);
                let cuts = sessions
                    .map(|online| async move { self.cut(&online.session, Why::Command).await });
                join_all(cuts).await
            }
            Order::Reauthorize(whom) => {
                let looks = self.open_to(whom).into_iter();
                join_all(looks.map(|online| self.reauthorize(online))).await
            }
        };
        summary(&effects)
    }

    /// The open sessions that `whom` means.
    pub fn open_to(&self, whom: &Whom) -> Vec<Online> {
        match whom {
            Whom::Customer(customer) => self.open_of(*customer),
            Whom::Username(username) => self.parts.sessions.open_by_name(username),
            Whom::Session { router, session } => {
                let named = |open: &Session| {
                    open.key.router == *router && *open.key.acct_session_id == **session
                };
                self.parts.sessions.open(named)
            }
        }
    }

    async fn reauthorize(&self, online: Online) -> Effect {
        match self.judge(&online.session) {
            Act::Leave { .. } => Effect::Done,
            Act::Change(wanted) => self.change(&online, wanted).await,
            Act::Cut(why) => self.cut(&online.session, why).await,
        }
    }
}

fn summary(effects: &[Effect]) -> CommandOutcome {
    let failed = effects.iter().find_map(|effect| match effect {
        Effect::Failed(why) => Some(why.clone()),
        Effect::Done => None,
    });
    match (effects.len(), failed) {
        (0, _) => CommandOutcome::NothingThere,
        (_, Some(why)) => CommandOutcome::Failed(why),
        (sessions, None) => CommandOutcome::Done {
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
        },
    }
}

/// A start is known to some seconds only: routers round, and our clock may be beside the cloud's.
const CLOCKS: Duration = Duration::from_secs(5);

/// Between the tries: an operator may still be looking, a router may be starting.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(15),
    Duration::from_secs(30),
    Duration::from_secs(60),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_among_many_is_told() {
        let refused = Effect::Failed("refused".into());
        assert_eq!(summary(&[]), CommandOutcome::NothingThere);
        assert_eq!(
            summary(&[Effect::Done, Effect::Done]),
            CommandOutcome::Done { sessions: 2 }
        );
        let failed = CommandOutcome::Failed("refused".into());
        assert_eq!(summary(&[Effect::Done, refused]), failed);
    }
}
