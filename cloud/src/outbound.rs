//! Calls to the outside: one HTTP client for all providers.

use std::time::Duration;

/// A client with our own root store, so that a box without one still works. Addresses in the server's own
/// configuration are used as written.
pub fn http_client() -> reqwest::Client {
    // Whoever came first has installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .no_proxy()
        .build()
        .expect("a client with these settings can always be built")
}
