//! Tells the cloud once by which authority devices and routers know this box, so that who joins the site later, or takes
//! this box's place, is known by the same.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::SiteId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::enroll::SiteAuthorityV1;
use easyisp_shared::wire::question::{AgentQuestion, AskFailure, CloudReply};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::news;
use crate::radius::eap::authority::{AuthorityError, keep_given, told};
use crate::status::Overview;
use crate::sync::Asker;

/// Whose authority it is, and where the site's is kept when it is another one.
pub(crate) struct Known {
    /// The site.
    pub site: SiteId,
    /// The site's key.
    pub key: SealKey,
    /// Where the box's identity is.
    pub identity: PathBuf,
}

/// Asks until the cloud has said whether it is the site's, or was cancelled.
pub(crate) async fn run(
    overview: Arc<Overview>,
    known: Known,
    cloud: Asker,
    cancel: CancellationToken,
) {
    let known = Arc::new(known);
    let (dir, ours) = (overview.data_dir.clone(), known.clone());
    let read = tokio::task::spawn_blocking(move || told(&dir, &ours.key, ours.site)).await;
    let Ok(Ok(told)) = read else {
        return; // a box without one was told of at its start
    };
    let mut link = overview.link.clone();
    let mut rest = AGAIN;
    loop {
        let asking = cloud.ask(AgentQuestion::Authority(told.clone()), PATIENCE);
        match cancel.run_until_cancelled(asking).await {
            None => return,
            Some(Ok(CloudReply::Authority(other))) => return keep(known, other).await,
            // It is the site's; or the cloud is of before.
            Some(Ok(_) | Err(AskFailure::NotUnderstood)) => return,
            // Also where it is refused: a link that does not count yet is answered like that.
            Some(Err(_)) => {}
        }
        tokio::select! {
            () = cancel.cancelled() => return,
            () = overview.clock.sleep(rest) => rest = (rest * 2).min(LONGEST),
            () = news(&mut link) => {}
        }
    }
}

/// What the site has is kept for when somebody moves this box's own away.
async fn keep(known: Arc<Known>, other: SiteAuthorityV1) {
    let kept = tokio::task::spawn_blocking(move || -> Result<(), AuthorityError> {
        keep_given(&known.identity, &other, &known.key, known.site)
    });
    match kept.await {
        Ok(Ok(())) => warn!(
            "This box has another access authority than its site: who trusts one does not know the other. Where nobody \
             trusts this box's yet, move eap-ca.pem and eap-ca.key out of its data folder and start it anew"
        ),
        Ok(Err(cause)) => warn!(%cause, "The site's access authority was not taken"),
        Err(_) => {} // the runtime is going down
    }
}

const PATIENCE: Duration = Duration::from_secs(10);
const AGAIN: Duration = Duration::from_secs(15);
const LONGEST: Duration = Duration::from_secs(3600);
