//! What a router runs, and the steps to another release: each asked by itself, so that who orders them can ask in
//! between how far it came.

use std::time::{Duration, Instant};

use easyisp_shared::wire::firmware::{FirmwareAskV1, FirmwareV1};
use easyisp_shared::wire::router::RouterTold;

use super::connection::ApiError;
use super::sentence::{Command, Row};
use super::{RouterApis, codec, live, values};
use crate::site::Router;

impl RouterApis {
    /// Looks at a router's software, or takes one step towards another release.
    pub async fn firmware(
        &self,
        router: &Router,
        ask: FirmwareAskV1,
        within: Duration,
    ) -> Result<RouterTold, ApiError> {
        let until = Instant::now() + within;
        let left = || until.saturating_duration_since(Instant::now());
        match ask {
            FirmwareAskV1::Look => {}
            FirmwareAskV1::Check { channel } => {
                if let Some(channel) = channel {
                    let set = Command::new("/system/package/update/set").with("channel", channel);
                    self.ask(router, set, left()).await?;
                }
                let check = Command::new("/system/package/update/check-for-updates");
                self.ask(router, check.with("once", ""), left()).await?;
                // It answers before it knows.
                while self.update(router, left()).await?.is_busy() {
                    if left() <= AGAIN {
                        return Err(ApiError::TimedOut);
                    }
                    tokio::time::sleep(AGAIN).await;
                }
            }
            FirmwareAskV1::Download => {
                let download = Command::new("/system/package/update/download");
                self.ask_once(router, download, left()).await?;
            }
            FirmwareAskV1::Install { downgrade } => {
                let install = Command::new(match downgrade {
                    true => "/system/package/downgrade",
                    false => "/system/package/update/install",
                });
                // It may say so, or just be gone.
                return match self.ask_once(router, install, left()).await {
                    Ok(_) | Err(ApiError::Closed(_)) => Ok(RouterTold::Done),
                    Err(cause) => Err(cause),
                };
            }
            FirmwareAskV1::Board => {
                let upgrade = Command::new("/system/routerboard/upgrade");
                self.ask(router, upgrade, left()).await?;
                return Ok(RouterTold::Done);
            }
        }
        let (update, board, resource) = tokio::join!(
            self.update(router, left()),
            self.rows(router, live::board(), left()),
            self.ask(router, live::resource(), left()),
        );
        let resource = resource?;
        let resource = resource.rows.first();
        let resource = resource.ok_or(ApiError::Protocol(codec::CodecError::NoReply))?;
        let told = read(&update?, &board?, resource);
        Ok(RouterTold::Firmware(Box::new(told)))
    }

    async fn update(&self, router: &Router, within: Duration) -> Result<Update, ApiError> {
        let rows = self.rows(router, Command::new("/system/package/update/print"), within);
        Ok(Update(rows.await?.into_iter().next().unwrap_or_default()))
    }
}

/// `/system/package/update`.
struct Update(Row);

impl Update {
    fn text(&self, name: &str) -> String {
        cut(self.0.text(name).unwrap_or_default())
    }

    /// Whether the router still asks MikroTik.
    fn is_busy(&self) -> bool {
        self.text("status").to_lowercase().starts_with("finding")
    }
}

fn read(update: &Update, board: &[Row], resource: &Row) -> FirmwareV1 {
    // `7.18.2 (stable)`.
    let runs = resource.text("version").unwrap_or_default();
    let runs = runs.split_whitespace().next().unwrap_or_default();
    let firmware = board.first().and_then(|row| {
        let both = row
            .text("current-firmware")
            .zip(row.text("upgrade-firmware"));
        both.map(|(current, upgrade)| (cut(current), cut(upgrade)))
    });
    let uptime = resource.text("uptime").and_then(values::duration);
    FirmwareV1 {
        installed: cut(runs),
        latest: update.text("latest-version"),
        channel: update.text("channel"),
        status: update.text("status"),
        board: firmware.filter(|(current, _)| !current.is_empty()),
        uptime_secs: uptime.unwrap_or_default().as_secs(),
    }
}

/// A router may say anything, at any length.
fn cut(text: &str) -> String {
    text.chars().take(200).collect()
}

/// How soon it is asked again whether it knows.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routeros::sentence;

    fn row(held: &[(&str, &str)]) -> Row {
        let pairs = held
            .iter()
            .map(|(name, value)| format!("={name}={value}").into_bytes());
        let words: Vec<Vec<u8>> = [b"!re".to_vec()].into_iter().chain(pairs).collect();
        match sentence::read(&words) {
            Ok((_, sentence::Reply::Row(row))) => row,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_a_router_says_of_its_software_is_read() {
        let update = Update(row(&[
            ("channel", "stable"),
            ("installed-version", "7.18.2"),
            ("latest-version", "7.19.1"),
            ("status", "New version is available"),
        ]));
        let board = row(&[
            ("current-firmware", "7.18.2"),
            ("upgrade-firmware", "7.19.1"),
        ]);
        let resource = row(&[("version", "7.18.2 (stable)"), ("uptime", "1d2h")]);
        let told = read(&update, &[board], &resource);
        assert_eq!(
            (told.installed.as_str(), told.latest.as_str()),
            ("7.18.2", "7.19.1")
        );
        assert_eq!(told.board, Some(("7.18.2".to_owned(), "7.19.1".to_owned())));
        assert_eq!((told.uptime_secs, told.is_downloaded()), (93_600, false));
        // A virtual one, with the package menu locked away.
        let bare = read(&Update(Row::default()), &[Row::default()], &resource);
        assert_eq!(
            (bare.installed.as_str(), bare.latest.as_str(), bare.board),
            ("7.18.2", "", None)
        );
        let finding = Update(row(&[("status", "finding out latest version...")]));
        assert!(finding.is_busy() && !update.is_busy());
    }
}
