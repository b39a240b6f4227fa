//! What RADIUS servers answer in a second, and how 10,000 subscribers come back after a power cut.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use easyisp_agent::radius::Secret;

use crate::load::packets::{Proof, Requests};
use crate::load::storm::{self, Outcome};
use crate::load::{self, Pace, Tally};
use crate::table::{Row, mebibytes, millis};

/// How long and how often to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    pub window: Duration,
    pub rounds: u32,
    pub users: u32,
}

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Pap,
    Chap,
    MsChapV2,
    Accounting,
}

impl Work {
    pub const ALL: [Work; 4] = [Work::Pap, Work::Chap, Work::MsChapV2, Work::Accounting];

    pub fn name(self) -> &'static str {
        match self {
            Work::Pap => "pap",
            Work::Chap => "chap",
            Work::MsChapV2 => "mschap",
            Work::Accounting => "accounting",
        }
    }

    fn title(self) -> &'static str {
        match self {
            Work::Pap => "PAP logins/s",
            Work::Chap => "CHAP logins/s",
            Work::MsChapV2 => "MS-CHAPv2 logins/s",
            Work::Accounting => "durable accounting/s",
        }
    }

    /// How many requests are outstanding: enough to keep every server busy (FreeRADIUS works on 32 at
    /// a time, a commit of ours takes up to 256), few enough that default receive buffers hold them.
    fn outstanding(self) -> usize {
        match self {
            Work::Pap | Work::Chap | Work::MsChapV2 => 128,
            Work::Accounting => 256,
        }
    }

    /// How many times FreeRADIUS's figure ours should be: with PostgreSQL, and from memory.
    fn goals(self) -> (f64, Option<f64>) {
        match self {
            Work::Pap | Work::Chap => (100.0, Some(3.5)),
            Work::MsChapV2 => (60.0, Some(4.0)),
            Work::Accounting => (10.0, None),
        }
    }
}

/// A server under test.
pub struct Target<'a> {
    pub name: &'static str,
    pub auth: SocketAddr,
    pub acct: SocketAddr,
    pub secret: &'a Secret,
    /// The next session's number, so that none is reported twice.
    pub sessions: u64,
}

/// What was measured of one server.
#[derive(Default)]
pub struct Figures {
    pub tallies: Vec<(Work, Tally)>,
    pub storm: Option<Outcome>,
    /// At their most, with all users known, in KiB.
    pub memory: u64,
}

impl Target<'_> {
    /// Everything that is wanted of this server.
    pub fn measure_all(&mut self, wants: impl Fn(&str) -> bool, effort: Effort) -> Result<Figures> {
        let mut figures = Figures::default();
        if wants("storm") {
            figures.storm = Some(self.storm()?);
        }
        for work in Work::ALL.into_iter().filter(|work| wants(work.name())) {
            figures.tallies.push((work, self.measure(work, effort)?));
        }
        Ok(figures)
    }

    /// The median of several windows, after one that warms the server and shows how much to prepare.
    fn measure(&mut self, work: Work, effort: Effort) -> Result<Tally> {
        let server = match work {
            Work::Pap | Work::Chap | Work::MsChapV2 => self.auth,
            Work::Accounting => self.acct,
        };
        let pace = Pace::Full(work.outstanding());
        let warm = self.requests(work, WARM, effort.users)?;
        let mut fastest =
            load::run(server, &warm, self.secret, pace, Duration::from_secs(1))?.rate();
        drop(warm);

        let mut tallies = Vec::new();
        for round in 1..=effort.rounds {
            let count = (fastest * effort.window.as_secs_f64() * 1.3) as usize + 1000;
            let requests = self.requests(work, count, effort.users)?;
            let tally = load::run(server, &requests, self.secret, pace, effort.window)?;
            fastest = fastest.max(tally.rate());
            println!(
                "  {} {} {round}: {}",
                self.name,
                work.name(),
                describe(&tally)
            );
            tallies.push(tally);
        }
        tallies.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
        Ok(tallies.swap_remove(tallies.len() / 2))
    }

    fn requests(&mut self, work: Work, count: usize, users: u32) -> Result<Requests> {
        let logins = |proof| Requests::logins(count, proof, users, self.secret);
        match work {
            Work::Pap => logins(Proof::Pap),
            Work::Chap => logins(Proof::Chap),
            Work::MsChapV2 => logins(Proof::MsChapV2),
            Work::Accounting => {
                let first = self.sessions;
                self.sessions += count as u64;
                Requests::sessions(count, first, users, self.secret)
            }
        }
    }

    fn storm(&mut self) -> Result<Outcome> {
        let first = self.sessions;
        self.sessions += 1_000_000;
        let outcome = storm::run(self.auth, self.acct, DIALLERS, first, self.secret, PATIENCE)?;
        println!(
            "  {} storm: {} of {DIALLERS} online after {:.2} s, {} requests resent, {} dialled again, \
             {} Starts lost",
            self.name,
            outcome.online,
            outcome.took.as_secs_f64(),
            outcome.resent,
            outcome.dialled_again,
            outcome.starts_lost,
        );
        Ok(outcome)
    }
}

/// Enough for a second of the fastest.
const WARM: usize = 150_000;
/// Who is back after the power cut.
const DIALLERS: u32 = 10_000;
/// How long a storm is watched.
const PATIENCE: Duration = Duration::from_secs(20);

fn describe(tally: &Tally) -> String {
    format!(
        "{:.0}/s, p50 {}, p99 {}, {} rejected, {} lost, {} wrong",
        tally.rate(),
        millis(tally.percentile(0.5)),
        millis(tally.percentile(0.99)),
        tally.rejected,
        tally.lost,
        tally.wrong,
    )
}

/// The peers' names as the table says them.
pub const SQL: &str = "FreeRADIUS + PostgreSQL";
pub const FILES: &str = "FreeRADIUS files";

/// Ours beside theirs.
pub fn rows(ours: &Figures, sql: &Figures, files: &Figures) -> Vec<Row> {
    let mut rows = Vec::new();
    for (work, tally) in &ours.tallies {
        let (of_sql, of_files) = work.goals();
        let files_name = match work {
            Work::Pap | Work::Chap | Work::MsChapV2 => FILES.to_owned(),
            Work::Accounting => format!("{FILES}, not durable"),
        };
        for (name, peer, goal) in [
            (SQL.to_owned(), sql, Some(of_sql)),
            (files_name, files, of_files),
        ] {
            let theirs = peer.tallies.iter().find(|(theirs, _)| theirs == work);
            let theirs = theirs.map(|(_, tally)| tally.rate());
            rows.push(Row::ratio(work.title(), tally.rate(), &name, theirs, goal));
        }
        if *work == Work::Accounting {
            let (p99, most) = (tally.percentile(0.99), Duration::from_millis(25));
            let theirs = sql.tallies.iter().find(|(theirs, _)| theirs == work);
            let theirs = theirs.map(|(_, tally)| tally.percentile(0.99));
            rows.push(Row {
                beside: theirs.map_or("-".into(), |p99| format!("{} {SQL}", millis(p99))),
                ..Row::bound(
                    "durable accounting, p99",
                    &millis(p99),
                    "<= 25 ms",
                    p99 <= most,
                )
            });
        }
    }
    if let Some(outcome) = &ours.storm {
        rows.extend(storm_rows(outcome, sql.storm.as_ref()));
    }
    rows
}

fn storm_rows(ours: &Outcome, sql: Option<&Outcome>) -> [Row; 2] {
    let whole = ours.online == DIALLERS as usize && ours.starts_lost == 0;
    let took = format!("{:.2} s", ours.took.as_secs_f64());
    let in_time = whole && ours.took <= Duration::from_secs(1);
    let theirs = sql.map_or("-".into(), |sql| {
        let (online, took) = (sql.online, sql.took.as_secs_f64());
        format!("{online} online after {took:.1} s {SQL}")
    });
    let again = sql.map_or("-".into(), |sql| format!("{} {SQL}", sql.dialled_again));
    [
        Row {
            beside: theirs,
            ..Row::bound("10,000 subscribers back online", &took, "<= 1 s", in_time)
        },
        Row {
            beside: again,
            ..Row::bound(
                "of them, dialled again",
                &ours.dialled_again.to_string(),
                "0",
                ours.dialled_again == 0,
            )
        },
    ]
}

/// What a server with all users takes, after everything above was asked of it.
pub fn memory(ours: &Figures, sql: &Figures, users: u32) -> Row {
    let kib = ours.memory;
    let what = format!("memory at its most, {users} users");
    let theirs = format!("{} {SQL}", mebibytes(sql.memory));
    Row {
        beside: if sql.memory == 0 { "-".into() } else { theirs },
        ..Row::bound(
            &what,
            &mebibytes(kib),
            "<= 250 MB",
            kib * 1024 <= 250_000_000,
        )
    }
}
