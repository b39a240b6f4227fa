//! Payments by phone: a prompt on the payer's phone, money that payers send by themselves, and what the provider
//! tells about both. Each provider is a folder (`mpesa/`, `airtel/`); `provider.rs` is where they are all alike.
//!
//! Each payment we ask for is one state machine (`rules.rs`) under a row lock, fed by the answer to the
//! push, callbacks, our own queries and time. What a provider tells is durable before it is answered and
//! worked on afterwards; money becomes time in `renewals/`.

mod airtel;
mod arrival;
mod book;
mod breaker;
mod closing;
mod collecting;
mod days;
mod gateways;
mod held;
mod http;
mod inbox;
mod inquiry;
mod jobs;
mod mpesa;
mod owner;
mod pay_to;
mod payout;
mod prompt;
mod provider;
mod questions;
mod refund;
mod refunds;
mod reviews;
mod rules;
mod said;
mod settle;
mod settlements;
mod stated;
mod statement;
mod store;
mod strays;
mod suspense;
mod tokens;
mod top_up_by_hand;
mod topups;
mod unasked;
mod unknown;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use easyisp_shared::time::Clock;
use ipnet::IpNet;
use tokio_util::task::TaskTracker;

use crate::api::{Access, Routes, routes};
use crate::config::Config;
use crate::db::Database;
use crate::outbound::http_client;
use crate::secrets::Secrets;

use self::airtel::{Airtel, door};
use self::mpesa::central::Central;
use self::mpesa::{Daraja, c2b, register, results, stk};

pub use closing::last_closed_day;
pub use held::SETTLE;
pub use inquiry::INQUIRE;
pub use jobs::{INBOX, QUERY};
pub use mpesa::Merchant;
pub use mpesa::pull::PULL;
pub use pay_to::{PayTo, pay_to};
pub use payout::PAY_OUT;
pub use prompt::{Asked, PromptError, Wish};
pub use refund::REFUND;
pub use rules::{
    Claim, Credit, Effect, Event, FOLLOW_UP, NO_ANSWER, Push, Source, State, Terms, judge,
    next_query,
};
pub use store::lists::{ExportRow, Exported, exported};
pub use topups::TOP_UP;
pub use words::{C2bVersion, Env, GatewayType, SubType};

/// The routes of this feature.
pub fn routes() -> Routes {
    use crate::permission::Permission::{
        PaymentsProcess, PaymentsViewElectronic, PppoeResolve, SettingsPaymentGateway,
    };

    const VIEW: Access = Access::Any(&[PaymentsViewElectronic]);
    const ASK: Access = Access::Any(&[PaymentsProcess]);
    const KEYS: Access = Access::Any(&[SettingsPaymentGateway]);

    Routes::new()
        .route(VIEW, routes!(http::list))
        .route(VIEW, routes!(http::electronic))
        .route(VIEW, routes!(http::stats))
        .route(
            Access::Any(&[PaymentsProcess, PppoeResolve]),
            routes!(reviews::reviewed),
        )
        .route(ASK, routes!(http::stk))
        .route(
            Access::Any(&[PaymentsProcess, PaymentsViewElectronic]),
            routes!(http::status),
        )
        .route(Access::Token, routes!(stk::hook))
        .route(Access::Token, routes!(stk::hook_of_intent))
        .route(VIEW, routes!(suspense::list))
        .route(VIEW, routes!(suspense::lookup))
        .route(ASK, routes!(statement::compare))
        .route(VIEW, routes!(days::list))
        .route(ASK, routes!(days::explain))
        .route(ASK, routes!(days::reopen))
        .route(
            Access::Any(&[PaymentsProcess, PppoeResolve]),
            routes!(suspense::allocate),
        )
        .route(
            Access::Any(&[PaymentsProcess, PppoeResolve]),
            routes!(questions::ask),
        )
        .route(VIEW, routes!(questions::list))
        .route(VIEW, routes!(questions::one))
        .route(ASK, routes!(refunds::request))
        .route(VIEW, routes!(refunds::list))
        .route(VIEW, routes!(refunds::one))
        .route(ASK, routes!(refunds::approve))
        .route(ASK, routes!(refunds::decline))
        .route(ASK, routes!(refunds::outcome))
        .route(VIEW, routes!(settlements::list))
        .route(VIEW, routes!(settlements::export))
        .route(Access::SignedInEvenExpired, routes!(topups::top_up))
        .route(Access::Platform, routes!(settlements::all))
        .route(Access::Platform, routes!(settlements::export_all))
        .route(Access::Platform, routes!(settlements::outcome))
        .route(Access::Platform, routes!(unknown::list))
        .route(Access::Platform, routes!(top_up_by_hand::give))
        .route(Access::Platform, routes!(unknown::outcome))
        .route(Access::Platform, routes!(collecting::get, collecting::set))
        .route(Access::Platform, routes!(register::register_central))
        .route(Access::Platform, routes!(strays::list))
        .route(Access::Platform, routes!(strays::assign))
        .route(Access::Token, routes!(door::hook))
        .route(Access::Token, routes!(results::done))
        .route(Access::Token, routes!(results::late))
        .route(Access::Token, routes!(stk::webhook))
        .route(Access::Token, routes!(c2b::validation))
        .route(Access::Token, routes!(c2b::validation_webhook))
        .route(Access::Token, routes!(c2b::confirmation))
        .route(Access::Token, routes!(c2b::confirmation_webhook))
        .route(KEYS, routes!(gateways::list, gateways::create))
        .route(KEYS, routes!(gateways::update, gateways::delete))
        .route(KEYS, routes!(gateways::make_default))
        .route(KEYS, routes!(gateways::test))
        .route(KEYS, routes!(register::register))
}

/// What payments need between requests. Cloning shares it.
#[derive(Clone)]
pub struct Payments {
    db: Database,
    clock: Clock,
    secrets: Secrets,
    daraja: Daraja,
    airtel: Airtel,
    public_url: Option<String>,
    sources: Arc<[IpNet]>,
    certificates: Arc<Certificates>,
    central: Option<Arc<Central>>,
    tasks: TaskTracker,
}

/// Files with the certificates of M-Pesa's two worlds.
struct Certificates {
    production: Option<PathBuf>,
    sandbox: Option<PathBuf>,
}

impl Payments {
    /// As configured.
    pub fn new(config: &Config, db: Database, clock: Clock, secrets: Secrets) -> Payments {
        let base_url = config.mpesa.base_url.clone();
        if config.mpesa.sources.is_empty() {
            tracing::warn!(
                "[mpesa] sources is empty: every callback waits for a status query of our own, and every direct \
                 payment that is told of for a person; list the addresses that M-Pesa publishes for its callbacks"
            );
        }
        Payments {
            daraja: Daraja::new(http_client(), base_url, clock.clone()),
            airtel: Airtel::new(http_client(), config.airtel.base_url.clone(), clock.clone()),
            db,
            clock,
            secrets,
            public_url: public_url(config),
            sources: config.mpesa.sources.clone().into(),
            certificates: Arc::new(Certificates {
                production: config.mpesa.certificate_file.clone(),
                sandbox: config.mpesa.sandbox_certificate_file.clone(),
            }),
            central: Central::of(&config.mpesa).map(Arc::new),
            tasks: TaskTracker::new(),
        }
    }

    /// Waits for pushes and reports that are being worked on.
    pub async fn stopped(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn source(&self, address: std::net::IpAddr) -> Source {
        match self.sources.iter().any(|net| net.contains(&address)) {
            true => Source::Listed,
            false if self.sources.is_empty() => Source::Unknown,
            false => Source::Unlisted,
        }
    }
}

/// Where a provider calls back. On loopback, where only a pretend one can, the address we listen on does.
fn public_url(config: &Config) -> Option<String> {
    let listen = config.http.listen;
    let own = listen
        .ip()
        .is_loopback()
        .then(|| format!("http://{listen}"));
    config.http.public_url.clone().or(own)
}

impl std::fmt::Debug for Payments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Payments")
    }
}
