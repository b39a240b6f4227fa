//! Live questions of the cloud, answered from memory and by asking the router.

use std::time::{Duration, Instant};

use easyisp_shared::id::{RouterId, VoucherId};
use easyisp_shared::wire::down::Whom;
use easyisp_shared::wire::question::{AskFailure, ConnectionV1, LiveSessionV1, Question, Reply};

use super::LocalSite;
use crate::core::RELEASED;
use crate::enforce::Enforcer;
use crate::sessions::{Online, Service};
use crate::store::Job;
use crate::sync::Unavailable;

pub(super) async fn answer(
    local: &LocalSite,
    question: Question,
    within: Duration,
) -> Result<Reply, AskFailure> {
    let enforcer = &*local.enforcer;
    match question {
        Question::Ping => Ok(Reply::Pong {
            now: enforcer.now(),
        }),
        Question::LiveSessions { router } => live_sessions(enforcer, router),
        Question::Disconnect(whom) => Ok(disconnect(enforcer, &whom, within).await),
        Question::TestConnection { router } => test(enforcer, router, within).await,
        Question::ReleaseVoucher { voucher } => release(local, voucher).await,
    }
}

/// Gives a voucher back: on stable storage before the cloud hears it, so that no restart forgets it.
async fn release(local: &LocalSite, voucher: VoucherId) -> Result<Reply, AskFailure> {
    match local.enforcer.site().release(voucher) {
        Err(Some(at)) => Ok(Reply::VoucherUsed { at }),
        Err(None) => Err(AskFailure::Busy), // it is being written; asked again it is used
        Ok(()) => {
            let mark = |done| Job::Mark {
                name: format!("{RELEASED}{voucher}"),
                value: 1,
                done,
            };
            match local.durably(mark).await {
                Ok(()) => Ok(Reply::VoucherReleased),
                Err(Unavailable) => Err(AskFailure::Busy),
            }
        }
    }
}

/// Who is online as this agent knows it from accounting.
fn live_sessions(enforcer: &Enforcer, router: Option<RouterId>) -> Result<Reply, AskFailure> {
    if router.is_some_and(|router| enforcer.site().router(router).is_none()) {
        return Err(AskFailure::NotFound);
    }
    let at_router = |held: RouterId| router.is_none_or(|router| router == held);
    let mut open = enforcer
        .sessions()
        .open(|session| at_router(session.key.router));
    open.sort_unstable_by_key(|online| std::cmp::Reverse(online.session.started_at));
    open.truncate(MOST_SESSIONS);
    Ok(Reply::LiveSessions(open.into_iter().map(live).collect()))
}

fn live(online: Online) -> LiveSessionV1 {
    let session = online.session;
    LiveSessionV1 {
        router: session.key.router,
        session: session.key.acct_session_id.into(),
        username: session.username.into(),
        customer: session.customer,
        framed_ip: session.framed_ip,
        mac: session.mac,
        started: session.started_at,
        seen: session.seen_at,
        bytes_up: session.bytes_in,
        bytes_down: session.bytes_out,
        hotspot: session.service == Service::Hotspot,
    }
}

/// Ends sessions; what was not confirmed in time is counted, and goes on being tried.
async fn disconnect(enforcer: &Enforcer, whom: &Whom, within: Duration) -> Reply {
    let meant = enforcer.open_to(whom);
    let all = u32::try_from(meant.len()).unwrap_or(u32::MAX);
    let patience = within.mul_f32(0.9);
    let ended = enforcer.cut_now(meant, patience).await;
    Reply::Disconnected {
        ended,
        unconfirmed: all.saturating_sub(ended),
    }
}

/// Asks the router to end a session nobody has: any authentic answer proves address, port and secret.
async fn test(
    enforcer: &Enforcer,
    router: RouterId,
    within: Duration,
) -> Result<Reply, AskFailure> {
    let router = enforcer.site().router(router).ok_or(AskFailure::NotFound)?;
    let started = Instant::now();
    let asked = tokio::time::timeout(within.mul_f32(0.9), enforcer.probe(&router)).await;
    let coa = matches!(asked, Ok(true));
    let radius_seen = router.last_seen();
    let detail = match (radius_seen, coa) {
        (Some(_), true) => "It asks this agent and takes its commands.",
        (Some(_), false) => "It asks this agent, but does not answer on its CoA port.",
        (None, true) => "It takes commands, but has not asked this agent since the start.",
        (None, false) => "Nothing was heard of it since the start.",
    };
    let millis = u32::try_from(started.elapsed().as_millis()).ok();
    Ok(Reply::Connection(ConnectionV1 {
        radius_seen,
        coa: Some(coa),
        api: None,
        millis: millis.filter(|_| coa),
        detail: detail.into(),
    }))
}

/// As many as an answer of 256 KiB holds at 160 octets each.
const MOST_SESSIONS: usize = 1600;
