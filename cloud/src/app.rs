//! What handlers may ask for with `State`.

use std::sync::Arc;

use axum::extract::FromRef;
use easyisp_shared::entropy::Entropy;
use easyisp_shared::time::Clock;

use crate::access::Desk;
use crate::api::Limits;
use crate::auth::SignIn;
use crate::config::Config;
use crate::db::Database;
use crate::fiscal;
use crate::health::Description;
use crate::mail::Mail;
use crate::messaging::Sender;
use crate::metrics::Metrics;
use crate::payments::Payments;
use crate::secrets::Secrets;
use crate::sites::Live;
use crate::sites::Questions;
use crate::sites::agents::Standing;
use crate::sync::{Agents, OwnCertificate};
use crate::webhooks::Hooks;

/// Everything one cloud shares between requests. Handlers name the pieces they use, never the whole.
#[derive(Clone)]
pub struct App {
    /// The database, as the application role.
    pub db: Database,
    /// What time it is.
    pub clock: Clock,
    /// Keys.
    pub secrets: Secrets,
    /// Randomness.
    pub entropy: Entropy,
    /// Settings.
    pub config: Arc<Config>,
    /// Request counters.
    pub limits: Limits,
    /// Password hashes and the count of tries.
    pub sign_in: SignIn,
    /// The authority that agents' certificates are signed by.
    pub standing: Standing,
    /// Payments, and the providers behind them.
    pub payments: Payments,
    /// Sends text messages.
    pub sender: Sender,
    /// Sends mail.
    pub mail: Mail,
    /// Sends events to tenants' own programs.
    pub hooks: Hooks,
    /// Reports documents to a state's own system.
    pub fiscal: fiscal::Door,
    /// Ways to devices that are open at this node.
    pub access: Desk,
    /// Agents connected to this node.
    pub agents: Agents,
    /// What agents know this node by.
    pub own: Arc<OwnCertificate>,
    /// How agents are asked.
    pub questions: Questions,
    /// Questions to sites.
    pub live: Live,
    /// The API's description.
    pub description: Description,
    /// What `/metrics` shows.
    pub metrics: Metrics,
}

macro_rules! pieces {
    ($($field:ident: $type:ty,)*) => {$(
        impl FromRef<App> for $type {
            fn from_ref(app: &App) -> $type {
                app.$field.clone()
            }
        }
    )*};
}

pieces! {
    db: Database,
    payments: Payments,
    hooks: Hooks,
    clock: Clock,
    secrets: Secrets,
    entropy: Entropy,
    config: Arc<Config>,
    limits: Limits,
    sign_in: SignIn,
    mail: Mail,
    standing: Standing,
    access: Desk,
    agents: Agents,
    questions: Questions,
    live: Live,
    description: Description,
    metrics: Metrics,
}
