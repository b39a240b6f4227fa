//! What supplicants see when a tunnel opens: our certificate, renewed long before it ends.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use easyisp_shared::time::Timestamp;
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use tracing::error;

use super::authority::{Authority, AuthorityError, Purpose};

/// The settings of tunnels, made anew when the certificate in them is half way through its life.
pub struct TunnelCertificate {
    authority: Arc<Authority>,
    present: Mutex<Option<(Arc<ServerConfig>, Timestamp)>>,
}

impl TunnelCertificate {
    /// Certificates of `authority`.
    pub fn new(authority: Arc<Authority>) -> TunnelCertificate {
        TunnelCertificate {
            authority,
            present: Mutex::new(None),
        }
    }

    /// The settings for a tunnel that opens at `now`; `None` when no certificate can be made.
    pub fn config(&self, now: Timestamp) -> Option<Arc<ServerConfig>> {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((config, renew_at)) = &*present
            && now < *renew_at
        {
            return Some(config.clone());
        }
        match config(&self.authority, now) {
            Ok(config) => {
                *present = Some((config.clone(), now.plus(LIFE / 2)));
                Some(config)
            }
            Err(cause) => {
                error!(%cause, "Cannot make a certificate for EAP tunnels");
                None
            }
        }
    }
}

/// TLS 1.2 for most devices and 1.3 for new ones. Nothing is resumed: a password is asked every time,
/// so that who was barred is barred at the next login.
fn config(authority: &Authority, now: Timestamp) -> Result<Arc<ServerConfig>, AuthorityError> {
    let leaf = authority.issue(Purpose::Server, now, LIFE)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = vec![leaf.certificate.clone(), authority.certificate().clone()];
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_no_client_auth()
                .with_single_cert(chain, leaf.private_key())
        })
        .map_err(AuthorityError::Tls)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Apple's devices refuse a server certificate of more than 825 days.
const LIFE: Duration = Duration::from_secs(390 * 86_400);
