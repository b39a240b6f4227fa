//! How a process of many sites is.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::get;
use axum::{Form, Json, Router as Routes};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{Overview, Report, Typed, page, run};
use crate::VERSION;
use crate::hosted::Strangers;

/// The sites of a process.
pub(crate) struct Shared {
    /// Those that are served, by name.
    pub sites: Vec<(String, Arc<Overview>)>,
    /// Those that could not be opened, and why.
    pub left_out: Vec<(String, String)>,
    /// What came from nobody's router.
    pub strangers: Arc<Strangers>,
}

/// The state of many sites, as `/status.json` tells it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedReport {
    /// Build.
    pub version: String,
    /// Each site that is served.
    pub sites: Vec<SiteReport>,
    /// Each site that could not be opened, and why.
    pub left_out: Vec<(String, String)>,
    /// Datagrams from no router of any site.
    pub unknown_datagrams: u64,
    /// Who sent them, the loudest first.
    pub unknown_sources: Vec<(IpAddr, u64)>,
}

/// One of many sites.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SiteReport {
    /// The name of its folder.
    pub name: String,
    /// Datagrams dropped because too many of its own waited.
    pub shed_datagrams: u64,
    /// The rest.
    #[serde(flatten)]
    pub report: Report,
}

impl Shared {
    /// The state at this moment. Reads outboxes: not for an async thread.
    pub(crate) fn report(&self) -> SharedReport {
        let sites = self.sites.iter().enumerate();
        let sites = sites.map(|(place, (name, overview))| SiteReport {
            name: name.clone(),
            shed_datagrams: self.strangers.shed[place].load(Ordering::Relaxed),
            report: overview.report(),
        });
        SharedReport {
            version: VERSION.to_owned(),
            sites: sites.collect(),
            left_out: self.left_out.clone(),
            unknown_datagrams: self.strangers.datagrams.load(Ordering::Relaxed),
            unknown_sources: self.strangers.sources.loudest(16),
        }
    }

    fn find(&self, name: &str) -> Result<Arc<Overview>, StatusCode> {
        let found = self.sites.iter().find(|(held, _)| held == name);
        found
            .map(|(_, site)| site.clone())
            .ok_or(StatusCode::NOT_FOUND)
    }
}

impl std::fmt::Display for SharedReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            f,
            "EasyISP agent {}, {} sites",
            self.version,
            self.sites.len()
        )?;
        for site in &self.sites {
            writeln!(f, "\nSITE         {}", site.name)?;
            write!(f, "{}", site.report)?;
            if site.shed_datagrams > 0 {
                writeln!(f, "count        shed_datagrams {}", site.shed_datagrams)?;
            }
        }
        for (name, why) in &self.left_out {
            writeln!(f, "WARNING      site {name} is not served: {why}")?;
        }
        for (source, count) in &self.unknown_sources {
            writeln!(
                f,
                "unknown      {source} spoke {count} times and is no router of any site"
            )?;
        }
        Ok(())
    }
}

/// Serves the pages until cancelled.
pub(crate) async fn serve_shared(
    listener: TcpListener,
    shared: Arc<Shared>,
    cancel: CancellationToken,
) {
    let routes = Routes::new()
        .route("/", get(all))
        .route("/status.json", get(json))
        .route("/sites/{site}", get(one))
        .route("/sites/{site}/why/{username}", get(why))
        .route(
            "/sites/{site}/unlock",
            get(super::for_codes).post(take_code),
        )
        .with_state(shared);
    run(listener, routes, cancel).await;
}

async fn all(State(shared): State<Arc<Shared>>) -> Result<Html<String>, StatusCode> {
    Ok(Html(page::of_all(&report(shared).await?)))
}

async fn json(State(shared): State<Arc<Shared>>) -> Result<Json<SharedReport>, StatusCode> {
    report(shared).await.map(Json)
}

async fn one(
    State(shared): State<Arc<Shared>>,
    Path(site): Path<String>,
) -> Result<Html<String>, StatusCode> {
    let report = super::report(shared.find(&site)?).await?;
    let codes = format!("/sites/{site}/unlock");
    Ok(Html(page::of_site(&report, &site, &codes)))
}

async fn take_code(
    State(shared): State<Arc<Shared>>,
    Path(site): Path<String>,
    Form(typed): Form<Typed>,
) -> Result<(StatusCode, String), StatusCode> {
    Ok(super::use_code(&*shared.find(&site)?, &typed).await)
}

async fn why(
    State(shared): State<Arc<Shared>>,
    Path((site, username)): Path<(String, String)>,
) -> Result<String, StatusCode> {
    super::lines_on(&*shared.find(&site)?, &username).ok_or(StatusCode::NOT_FOUND)
}

async fn report(shared: Arc<Shared>) -> Result<SharedReport, StatusCode> {
    let report = tokio::task::spawn_blocking(move || shared.report()).await;
    report.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}
