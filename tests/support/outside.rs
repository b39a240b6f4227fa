//! The outside world on one listener: the pretend M-Pesa, Airtel Money, SMS gateways and eTIMS.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;

use crate::airtel::Airtel;
use crate::etims::Etims;
use crate::mpesa::Mpesa;
use crate::sms::Sms;

/// A running outside world. Dropping it cuts every line; [`Outside::stop`] waits for the end.
pub struct Outside {
    /// The payment provider.
    pub mpesa: Mpesa,
    /// Airtel Money.
    pub airtel: Airtel,
    /// The SMS gateways.
    pub sms: Sms,
    /// The state's own system for invoices.
    pub etims: Etims,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl Outside {
    /// Listens on `address` (port 0 takes a free one), on the system's clock.
    pub async fn start(address: SocketAddr) -> std::io::Result<Outside> {
        Outside::start_on(address, Clock::system(), Entropy::system()).await
    }

    /// The same on a clock and a source of receipts that a test holds.
    pub async fn start_on(
        address: SocketAddr,
        clock: Clock,
        entropy: Entropy,
    ) -> std::io::Result<Outside> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let mpesa = Mpesa::new(clock.clone(), entropy, callback_client(), stop.clone());
        let airtel = Airtel::new(clock.clone());
        let sms = Sms::new(clock, stop.clone());
        let etims = Etims::new(stop.clone());

        let routes = mpesa
            .routes()
            .merge(airtel.routes())
            .merge(sms.routes())
            .merge(etims.routes());
        let stopping = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            let serving = axum::serve(listener, routes).with_graceful_shutdown(stopping);
            serving
                .await
                .expect("serving on a bound listener goes on until it is stopped");
        });
        Ok(Outside {
            mpesa,
            airtel,
            sms,
            etims,
            address,
            stop,
            server,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address of both providers, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops taking calls, ends all payers and waits for what is under way.
    pub async fn stop(mut self) {
        self.stop.cancel();
        self.mpesa.stopped().await;
        if (&mut self.server).await.is_err() {
            tracing::warn!("The outside world's server ended by itself");
        }
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

/// M-Pesa's own HTTP client. It asks nobody whether a merchant's certificate is good.
fn callback_client() -> reqwest::Client {
    // Whoever came first has installed the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .tls_danger_accept_invalid_certs(true)
        .no_proxy()
        .build()
        .expect("a client without a root store can always be built")
}

#[cfg(test)]
mod tests;
