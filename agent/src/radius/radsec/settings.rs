//! Who may connect, and who he is.

use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::RouterId;
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::condition::CertificateV1;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};
use uuid::Uuid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::radius::eap::authority::{Authority, AuthorityError, Purpose};
use crate::site::SiteClock;

/// TLS with certificates on both sides, ours good from `now` on.
pub fn config(
    authority: &Authority,
    clock: Arc<SiteClock>,
    now: Timestamp,
) -> Result<Arc<ServerConfig>, AuthorityError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(AuthorityError::Tls)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|cause| AuthorityError::Tls(rustls::Error::General(cause.to_string())))?;
    let leaf = authority.issue(Purpose::Server, now, LIFE)?;
    let chain = vec![leaf.certificate.clone(), authority.certificate().clone()];
    let mut config = ServerConfig::builder_with_details(provider, Arc::new(Time(clock)))
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .and_then(|builder| {
            builder
                .with_client_cert_verifier(verifier)
                .with_single_cert(chain, leaf.private_key())
        })
        .map_err(AuthorityError::Tls)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// How a router's certificate names it.
pub fn client_name(router: RouterId) -> String {
    format!("{PREFIX}{router}")
}

/// The router that a certificate names, and what names the certificate.
pub fn read(certificate: &CertificateDer<'_>) -> Option<(RouterId, CertificateV1)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let named = CertificateV1 {
        serial: parsed.raw_serial().to_vec(),
        from: Timestamp::from_secs(parsed.validity().not_before.timestamp()),
        until: Timestamp::from_secs(parsed.validity().not_after.timestamp()),
    };
    let names = parsed.subject_alternative_name().ok()??;
    let router = names
        .value
        .general_names
        .iter()
        .find_map(|name| match name {
            GeneralName::URI(uri) => {
                let id = uri.strip_prefix(PREFIX)?;
                Some(RouterId(Uuid::parse_str(id).ok()?))
            }
            _ => None,
        })?;
    Some((router, named))
}

/// The site's own time, which a box's clock that woke in the past does not turn back.
struct Time(Arc<SiteClock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let secs = u64::try_from(self.0.now().secs()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(secs)))
    }
}

impl std::fmt::Debug for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Time")
    }
}

const PREFIX: &str = "easyisp:router/";
/// Ours is made at every start and at half of this.
pub const LIFE: Duration = Duration::from_secs(390 * 86_400);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use easyisp_shared::entropy::Entropy;

    use super::*;

    #[test]
    fn a_router_is_known_by_what_its_certificate_says() {
        let folder = tempfile::tempdir().unwrap();
        let now = Timestamp::from_secs(1_800_000_000);
        let authority = Authority::open(folder.path(), now, &Entropy::seeded(1)).unwrap();
        let router = RouterId(Uuid::from_u128(7));
        let name = client_name(router);
        let issue = |purpose| authority.issue(purpose, now, LIFE).unwrap().certificate;
        let (named, certificate) = read(&issue(Purpose::Client(&name))).unwrap();
        assert_eq!((named, certificate.until), (router, now.plus(LIFE)));
        assert_eq!(read(&issue(Purpose::Client("easyisp:router/x"))), None);
        assert_eq!(read(&issue(Purpose::Server)), None);
    }
}
