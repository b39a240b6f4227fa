//! Where routers fetch their script and call back. It is shut while none is awaited.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::routing::get;
use axum::{Router as Routes, serve};
use easyisp_shared::id::RouterId;
use easyisp_shared::setup::{self, ApiLogin};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Refusal, Wizard, digest, plan};

/// Opens the door whenever a router is awaited, and shuts it again.
pub(super) async fn keep(wizard: &Arc<Wizard>, cancel: &CancellationToken) {
    let mut changes = wizard.changes.subscribe();
    while !cancel.is_cancelled() {
        if !is_needed(wizard) {
            let changed = cancel.run_until_cancelled(changes.changed()).await;
            if !matches!(changed, Some(Ok(()))) {
                return;
            }
            continue;
        }
        let listen = wizard.parts.listen;
        match TcpListener::bind(listen).await {
            Ok(listener) => {
                wizard.door.send_replace(true);
                open(wizard, listener, cancel).await;
                wizard.door.send_replace(false);
            }
            Err(cause) => {
                warn!(%cause, "Routers cannot fetch their script: {listen} ([wizard] listen) is not free");
                cancel.run_until_cancelled(tokio::time::sleep(LOOK)).await;
            }
        }
    }
}

async fn open(wizard: &Arc<Wizard>, listener: TcpListener, cancel: &CancellationToken) {
    info!(
        "A router is awaited: its script is at {}",
        wizard.parts.listen
    );
    let routes = Routes::new()
        .route("/provision/{token}", get(script).head(nothing))
        .route("/provision-complete/{router}", get(complete).head(nothing))
        .with_state(wizard.clone());
    let (over, stop) = (wizard.clone(), cancel.clone());
    let shut = async move {
        let mut changes = over.changes.subscribe();
        // An end by time is no change.
        while is_needed(&over) {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changes.changed() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    };
    let routes = routes.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(cause) = serve(listener, routes).with_graceful_shutdown(shut).await {
        warn!(%cause, "The wizard's door ended");
    }
}

fn is_needed(wizard: &Wizard) -> bool {
    let now = wizard.parts.clock.now();
    wizard.drafts().values().any(|draft| draft.is_awaited(now))
}

/// Who only looks uses nothing up.
async fn nothing() -> StatusCode {
    StatusCode::NOT_FOUND
}

async fn script(
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    State(wizard): State<Arc<Wizard>>,
    Path(token): Path<String>,
) -> Result<([(HeaderName, &'static str); 2], String), (StatusCode, String)> {
    let script = wizard
        .fetched(&token, from.ip().to_canonical())
        .await
        .map_err(refused)?;
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, script))
}

#[derive(Deserialize)]
struct Complete {
    #[serde(default)]
    key: String,
    #[serde(default)]
    failed: Option<u16>,
}

async fn complete(
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    State(wizard): State<Arc<Wizard>>,
    Path(router): Path<RouterId>,
    Query(complete): Query<Complete>,
) -> Result<&'static str, (StatusCode, String)> {
    let failed = complete.failed.unwrap_or(0);
    let called = wizard.called(router, &complete.key, from.ip().to_canonical(), failed);
    called.await.map_err(refused)?;
    Ok("Thank you; the agent does the rest\n")
}

fn refused(refusal: Refusal) -> (StatusCode, String) {
    let status = match refusal {
        Refusal::NotKept => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Cannot(_)
        | Refusal::Running
        | Refusal::Serves
        | Refusal::Untold
        | Refusal::Unknown
        | Refusal::Over => StatusCode::NOT_FOUND,
    };
    (status, format!("{refusal}\n"))
}

impl Wizard {
    /// A router fetches its script, once.
    async fn fetched(&self, token: &str, from: IpAddr) -> Result<String, Refusal> {
        let shown = digest(token);
        let now = self.parts.clock.now();
        let router = {
            let drafts = self.drafts();
            let of_token = drafts
                .values()
                .find(|one| one.fetch.as_deref() == Some(shown.as_str()));
            of_token.map(|one| one.router)
        };
        let (key, text) = self.token();
        let policy = self.parts.site.policy();
        let port = self.parts.listen.port();
        self.change(router.ok_or(Refusal::Over)?, |draft| {
            if draft.fetch.as_deref() != Some(shown.as_str()) || !draft.is_awaited(now) {
                return Err(Refusal::Over);
            }
            draft.fetched(key, from);
            let login = ApiLogin {
                user: setup::API_USER.to_owned(),
                password: draft.first_password.clone().into(),
            };
            let setup = plan::setup(&draft.wish, draft.agent, &policy, Some(login));
            let (agent, id) = (draft.agent, draft.router);
            let callback = format!("http://{agent}:{port}/provision-complete/{id}?key={text}");
            Ok(setup::first_script(&setup, &plan::LATER, &callback))
        })
        .await
    }

    /// It says, once, that it imported it, from where it fetched it.
    async fn called(
        &self,
        router: RouterId,
        key: &str,
        from: IpAddr,
        failed: u16,
    ) -> Result<(), Refusal> {
        let shown = digest(key);
        let now = self.parts.clock.now();
        self.change(router, |draft| {
            let is_his =
                draft.callback.as_deref() == Some(shown.as_str()) && draft.address == Some(from);
            if !is_his || !draft.is_awaited(now) {
                return Err(Refusal::Over);
            }
            draft.called(from, failed, now);
            Ok(())
        })
        .await
    }
}

/// How often it is looked whether a command is over.
pub(super) const LOOK: Duration = Duration::from_secs(20);
