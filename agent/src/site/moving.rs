//! A router that still has an old RADIUS server behind it: who answers there, and where that server is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use easyisp_shared::id::RouterId;
use easyisp_shared::seal::SealKey;
use easyisp_shared::wire::DownKind;
use easyisp_shared::wire::down::{MovingMode, MovingV1, secret_place};
use tracing::warn;

use super::Ranges;
use crate::radius::Secret;

/// How a router's old server is used.
#[derive(Debug)]
pub struct Moving {
    /// The router.
    pub router: RouterId,
    /// Who answers.
    pub mode: MovingMode,
    /// Whether the old server hears of known users' sessions too.
    pub copy_accounting: bool,
    /// The old server; `Err` says why it cannot be asked, in a sentence for a person. It is then as good as
    /// silent.
    pub server: Result<Arc<OldServer>, String>,
}

/// An old RADIUS server.
#[derive(Debug)]
pub struct OldServer {
    /// Where it answers logins.
    pub authentication: SocketAddr,
    /// Where it answers accounting.
    pub accounting: SocketAddr,
    /// What it shares with this site.
    pub secret: Arc<Secret>,
}

impl Moving {
    /// Opens a row. Only an address inside the site's ranges is ever asked (H5).
    pub(super) fn open(row: &MovingV1, key: &SealKey, ranges: &Ranges) -> Moving {
        let server = server(row, key, ranges)
            .inspect_err(|why| warn!(router.id = %row.router, "No old RADIUS server: {why}"));
        Moving {
            router: row.router,
            mode: row.mode,
            copy_accounting: row.copy_accounting,
            server: server.map(Arc::new),
        }
    }
}

fn server(row: &MovingV1, key: &SealKey, ranges: &Ranges) -> Result<OldServer, String> {
    let address: IpAddr = row.address;
    if !ranges.contain(address) {
        return Err(format!(
            "The old server {address} is outside this site's networks; see [site] ranges of the agent."
        ));
    }
    let place = secret_place(DownKind::Moving, row.router.0, "old_secret");
    let secret = key.open(&place, &row.secret);
    let secret = secret.map_err(|_| "The old server's secret does not open.".to_owned())?;
    Ok(OldServer {
        authentication: SocketAddr::new(address, row.auth_port),
        accounting: SocketAddr::new(address, row.acct_port),
        secret: Arc::new(Secret::new(&secret)),
    })
}
