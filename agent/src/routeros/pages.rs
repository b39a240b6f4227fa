//! The hotspot's pages: a router takes them from the cloud into its hotspot's folder.

use std::time::Duration;

use easyisp_shared::setup::{PAGES, mode};
use easyisp_shared::wire::router::PagesV1;

use super::RouterApis;
use super::connection::ApiError;
use super::sentence::Command;
use crate::site::Router;

impl RouterApis {
    /// Has a router fetch the pages; why the first of those that did not come did not. What came stays, and is fetched
    /// anew when this is asked again.
    pub async fn pages(
        &self,
        router: &Router,
        pages: &PagesV1,
        within: Duration,
    ) -> Result<Option<String>, ApiError> {
        let hands = self.hands(router, within);
        let folder = hands.flash().await?;
        for file in PAGES {
            let path = format!("{folder}hotspot/{file}");
            let fetch = Command::new("/tool/fetch")
                .with("mode", mode(&pages.url))
                .with("url", format!("{}{file}?{}", pages.url, pages.query))
                .with("dst-path", &path);
            let told = match hands.ask(fetch).await {
                Ok(answer) => answer.rows,
                Err(ApiError::Refused(trap)) => {
                    return Ok(Some(format!("{file}: {}", trap.message)));
                }
                Err(cause) => return Err(cause),
            };
            // How it went is told row by row.
            if told.iter().any(|row| row.text("status") == Some("failed")) {
                return Ok(Some(format!("{file} did not come")));
            }
            // Not its word counts but what is there.
            let held = Command::new("/file/print").only("name,size");
            if hands.rows(held.having("name", &path)).await?.is_empty() {
                return Ok(Some(format!("{file} is not among its files")));
            }
        }
        Ok(None)
    }
}
