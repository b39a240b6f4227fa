//! What agents heard routers write.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use easyisp_shared::id::{RouterId, SessionId};
use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::Up;
use easyisp_shared::wire::logs::{
    LINE_CAP, LINES_CAP, LogsV1, MissingWhy, TOPICS_CAP, WrittenV1, decode_lines,
};
use flate2::read::DeflateDecoder;
use uuid::Uuid;

use super::rules::{self, Block, Line};
use super::store;
use crate::db::Tx;
use crate::routers;
use crate::sites::agents::Agent;
use crate::sites::reports::{Applier, Report, Unusable};

/// Takes lines.
pub fn lines() -> Applier {
    Arc::new(|tx, agent, reports, now| Box::pin(take(tx, agent, reports, now)))
}

/// Routers in the order of their ids, so that two agents of a site never wait for each other. Lines of a router that
/// stands there no more are of nobody.
async fn take(
    tx: &mut Tx,
    agent: &Agent,
    reports: &[Report],
    now: Timestamp,
) -> sqlx::Result<Vec<Unusable>> {
    let mut unusable = Vec::new();
    let mut by_router: BTreeMap<RouterId, Vec<Line>> = BTreeMap::new();
    for report in reports {
        let Up::Logs(told) = &report.body else {
            continue;
        };
        match inflated(told) {
            Some(lines) => {
                for line in lines {
                    by_router
                        .entry(line.router())
                        .or_default()
                        .push(kept(line, now));
                }
            }
            None => unusable.push(Unusable {
                sequence: report.sequence,
                why: "its lines cannot be read".to_owned(),
            }),
        }
    }
    let named: Vec<RouterId> = by_router.keys().copied().collect();
    let here = routers::at_site(tx, agent.site, &named).await?;
    let here: HashSet<RouterId> = here.into_iter().collect();
    by_router.retain(|router, _| here.contains(router));
    for (router, mut lines) in by_router {
        lines.sort_by_key(|line| line.at);
        append(tx, router, &lines).await?;
    }
    Ok(unusable)
}

/// An agent's word: it may be anything, and as large as it likes once it is inflated.
fn inflated(told: &LogsV1) -> Option<Vec<WrittenV1>> {
    let mut octets = Vec::new();
    let limit = LINES_CAP as u64 + 1;
    let mut inflating = DeflateDecoder::new(told.deflated.as_slice()).take(limit);
    inflating.read_to_end(&mut octets).ok()?;
    if octets.len() > LINES_CAP {
        return None;
    }
    decode_lines(&octets).ok()
}

fn kept(line: WrittenV1, now: Timestamp) -> Line {
    // A clock that ran ahead, or a box that was away for years, has no place among the others.
    let at = line.at().min(now).max(now.minus(TOO_OLD));
    match line {
        WrittenV1::Said {
            severity,
            topics,
            message,
            ..
        } => Line {
            at,
            severity: i16::from(severity.min(7)),
            topics: words(&topics, TOPICS_CAP),
            message: words(&message, LINE_CAP),
            missing: None,
        },
        WrittenV1::Missing { why, lines, .. } => Line {
            at,
            severity: 4,
            topics: "easyisp,warning".to_owned(),
            message: missing(why, lines),
            missing: Some(i64::try_from(lines).unwrap_or(i64::MAX)),
        },
    }
}

fn missing(why: MissingWhy, lines: u64) -> String {
    let what = match lines {
        1 => "1 line is not here".to_owned(),
        _ => format!("{lines} lines are not here"),
    };
    let why = match why {
        MissingWhy::TooMany => "the router wrote more than 50 a second",
        MissingWhy::NoRoom => "they waited too long for the cloud",
        MissingWhy::Metered => {
            "only warnings and errors travel over a line that is paid by the octet"
        }
    };
    format!("{what}: {why}")
}

fn words(text: &str, most: usize) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(most).collect()
}

async fn append(tx: &mut Tx, router: RouterId, mut lines: &[Line]) -> sqlx::Result<()> {
    while let Some(first) = lines.first() {
        let open = store::open_block(tx, router, rules::FULL).await?;
        let open = open.map(|block| (block, block.takes(lines)));
        let (mut block, count) = match open {
            Some((block, count)) if count > 0 => (block, count),
            Some(_) | None => {
                let entropy = tx.entropy();
                let block = Block {
                    id: Uuid::from(SessionId::new(first.at, &entropy)),
                    first_at: first.at,
                    last_at: first.at,
                    lines: 0,
                };
                (block, rules::begins_with(lines))
            }
        };
        let (these, rest) = lines.split_at(count);
        let place = block.lines;
        block.lines += i32::try_from(count).unwrap_or(rules::FULL);
        block.first_at = block.first_at.min(first.at);
        block.last_at = these
            .iter()
            .map(|line| line.at)
            .fold(block.last_at, Ord::max);
        let worst = these.iter().map(|line| line.severity).min().unwrap_or(7);
        store::put_block(tx, router, &block, worst).await?;
        store::put_lines(tx, block.id, place, these).await?;
        let said: Vec<(String, String)> = these
            .iter()
            .map(|line| (line.topics.clone(), line.message.clone()))
            .collect();
        store::put_words(tx, block.id, &rules::words_of(&said)).await?;
        lines = rest;
    }
    Ok(())
}

/// What is older is forgotten whatever a provider says.
const TOO_OLD: Duration = Duration::from_secs(90 * 86_400);
