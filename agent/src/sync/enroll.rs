//! Becoming an agent: `easyisp-agent enroll`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::enroll::{
    EnrollAnswer, EnrollRefusal, EnrollRequest, EnrollRequestV1, SiteAuthorityV1,
};
use easyisp_shared::wire::{ALPN_ENROLL, JoinToken, Message};

use super::dial::{DialError, reach, tls};
use super::identity::{Draft, Identity, IdentityError};
use super::path::{Paths, Patience};
use super::pipe::{Carrier, Pipe, PipeError};
use super::trust::Trust;

/// Why a box did not become an agent.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// The text is not a token.
    #[error("this is not a join token; it starts with EISP1- and is pasted whole")]
    NotAToken,
    /// The cloud was not reached, or is not the one that made the token.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The conversation broke off. The token may have been used: make a new one if it is refused.
    #[error("the cloud was reached, but: {0}")]
    Pipe(#[from] PipeError),
    /// The cloud said no.
    #[error("the cloud refused: {0}")]
    Refused(#[from] EnrollRefusal),
    /// The cloud did not answer in time.
    #[error("the cloud was reached but did not answer in time")]
    TimedOut,
    /// The identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Enrols this box at the cloud at `cloud` (`host:port`) and writes its identity to `folder`.
///
/// The key is made first and never leaves the folder; the cloud is believed by the authority
/// fingerprint in `token`. Nothing is left behind where it does not work out, except when the cloud
/// answered and the disk then failed: the token is used then.
pub async fn enroll(
    cloud: &str,
    token: &str,
    folder: &Path,
    version: &str,
) -> Result<Identity, EnrollError> {
    enroll_unless(cloud, token, folder, version, |_| {}).await
}

/// The same for who wants to hear (once) under which fingerprint of its key this box waits, where the tenant has
/// an operator confirm it: it asks again until somebody did, or nobody did for a day.
pub async fn enroll_unless(
    cloud: &str,
    token: &str,
    folder: &Path,
    version: &str,
    waits: impl FnOnce(&str),
) -> Result<Identity, EnrollError> {
    let token = JoinToken::parse(token).ok_or(EnrollError::NotAToken)?;
    let draft = Draft::begin(folder)?;
    let mut waits = Some(waits);
    let began = tokio::time::Instant::now();
    loop {
        match attempt(cloud, &token, &draft, version).await {
            Ok((EnrollAnswer::V1(enrolled), given)) => {
                return Ok(draft.finish(cloud, &enrolled, given.as_ref())?);
            }
            Ok((EnrollAnswer::Refused(EnrollRefusal::Waiting), _)) => {
                if let Some(waits) = waits.take() {
                    waits(&draft.fingerprint());
                }
            }
            // Whoever waits already has spent his token: a cloud that is away for a while must not cost it.
            Ok((EnrollAnswer::Refused(EnrollRefusal::Busy), _)) if waits.is_none() => {}
            Err(EnrollError::Dial(_) | EnrollError::Pipe(_) | EnrollError::TimedOut)
                if waits.is_none() => {}
            Ok((EnrollAnswer::Refused(refusal), _)) => return Err(EnrollError::Refused(refusal)),
            Err(error) => return Err(error),
        }
        if began.elapsed() >= WAITS {
            return Err(EnrollError::Refused(EnrollRefusal::Waiting));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn attempt(
    cloud: &str,
    token: &JoinToken,
    draft: &Draft,
    version: &str,
) -> Result<(EnrollAnswer, Option<SiteAuthorityV1>), EnrollError> {
    // The token is an hour old at most, and this box's clock may be anywhere (F3).
    let trust = Trust::fingerprint(token.fingerprint(), Arc::new(Timestamp::default));
    let tls = tls(ALPN_ENROLL, trust, None)?;
    let patience = Patience::default();
    let ways = Paths::new(patience).order();
    let (_, carrier) = reach(cloud, &ways, &tls, patience.silence).await?;
    let request = EnrollRequest::V1(EnrollRequestV1 {
        token: *token.secret(),
        csr: draft.request()?,
        version: version.to_owned(),
        host: host_name(),
    });
    let asked = tokio::time::timeout(ANSWER, ask(carrier.as_ref(), request)).await;
    let (answer, mut pipe) = asked.map_err(|_| EnrollError::TimedOut)??;
    // The token is used: from here on nothing may keep the answer from being taken.
    let behind = tokio::time::timeout(BEHIND, pipe.source.receive()).await;
    let given = match behind {
        Ok(Ok(Some(Message::SiteAuthority(given)))) => Some(given),
        _ => None, // a cloud of before says no more
    };
    carrier.close();
    Ok((answer, given))
}

async fn ask(
    carrier: &dyn Carrier,
    request: EnrollRequest,
) -> Result<(EnrollAnswer, Pipe), PipeError> {
    let mut pipe = carrier.open().await?;
    pipe.sink.send(&Message::EnrollRequest(request)).await?;
    match pipe.source.receive().await? {
        Some(Message::EnrollAnswer(answer)) => Ok((answer, pipe)),
        Some(_) => Err(PipeError::Unexpected),
        None => Err(PipeError::Ended),
    }
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().chars().take(64).collect()
}

const ANSWER: Duration = Duration::from_secs(15);
/// What comes behind the answer comes with it, or never.
const BEHIND: Duration = Duration::from_secs(3);
/// An operator looks at both screens, and presses a button.
const AGAIN: Duration = Duration::from_secs(3);
/// As long as the cloud waits for him.
const WAITS: Duration = Duration::from_secs(86_400);
