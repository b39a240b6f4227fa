//! Who is online at a router, a page at a time: a list of thousands is longer than an answer.

use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::wire::question::{
    AskFailure, LiveSessionV1, OnlineAskV1, OnlinePageV1, Reply, fitting,
};

use super::questions::{Questions, live};
use crate::reconcile::Reach;
use crate::routeros::ApiError;

impl Questions {
    /// Who is online at a router, as its own list says; as accounting tells it where there is no list. Asked without
    /// pages, it is the latest that an answer holds.
    pub(super) async fn live_sessions(
        &self,
        router: Option<RouterId>,
        patience: Duration,
    ) -> Result<Reply, AskFailure> {
        let mut sessions = match router {
            Some(router) => self.outside(router, patience).await?,
            None => Vec::new(),
        };
        sessions.extend(self.ours(router));
        sessions.sort_unstable_by_key(|session| std::cmp::Reverse(session.started));
        sessions.truncate(fitting(&sessions));
        Ok(Reply::LiveSessions(sessions))
    }

    /// A page of that. The router is asked for as long as there are lines that only its list knows: they stand first.
    pub(super) async fn online_page(
        &self,
        ask: OnlineAskV1,
        patience: Duration,
    ) -> Result<Reply, AskFailure> {
        let after = ask.after.as_ref();
        let mut sessions = match after {
            Some(after) if !after.session.is_empty() => Vec::new(),
            Some(_) | None => self.outside(ask.router, patience).await?,
        };
        sessions.extend(self.ours(Some(ask.router)));
        let is_wanted = |one: &LiveSessionV1| {
            ask.hotspot.is_none_or(|hotspot| hotspot == one.hotspot)
                && after.is_none_or(|after| one.place() > *after)
        };
        sessions.retain(is_wanted);
        sessions.sort_by_cached_key(LiveSessionV1::place);
        let fits = fitting(&sessions);
        let more = fits < sessions.len();
        sessions.truncate(fits);
        let next = sessions.last().filter(|_| more).map(LiveSessionV1::place);
        Ok(Reply::OnlinePage(OnlinePageV1 { sessions, next }))
    }

    /// Lines of a router's list that are no session of ours.
    async fn outside(
        &self,
        router: RouterId,
        patience: Duration,
    ) -> Result<Vec<LiveSessionV1>, AskFailure> {
        let router = self.enforcer.site().router(router);
        let router = router.ok_or(AskFailure::NotFound)?;
        let told = self.reconciler.router(&router, Reach::Nobody, patience);
        let outside = match told.await {
            Ok(outcome) => outcome.outside,
            Err(ApiError::NotSetUp) => Vec::new(),
            Err(ApiError::TimedOut) => return Err(AskFailure::TimedOut),
            Err(cause) => return Err(AskFailure::Unreachable(cause.to_string())),
        };
        Ok(outside.into_iter().map(|line| self.listed(line)).collect())
    }

    fn ours(&self, router: Option<RouterId>) -> Vec<LiveSessionV1> {
        let at_router = |held: RouterId| router.is_none_or(|router| router == held);
        let open = self.enforcer.sessions();
        let open = open.open(|session| at_router(session.key.router));
        open.into_iter().map(live).collect()
    }
}
