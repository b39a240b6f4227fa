//! What a process holds, sampled, and whether that stays flat.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process held at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Resident memory in bytes.
    memory: u64,
    /// Open files and sockets.
    files: u64,
    /// Bytes in its folder.
    disk: u64,
}

/// What came of it.
pub struct Verdict {
    lines: Vec<(String, bool)>,
}

impl Sample {
    /// Looks at a process and its folder.
    pub fn take(process: u32, folder: &Path) -> Result<Sample> {
        let home = format!("/proc/{process}");
        let statm = std::fs::read_to_string(format!("{home}/statm"))?;
        let pages: u64 = statm
            .split_whitespace()
            .nth(1)
            .context("statm has a second figure")?
            .parse()?;
        Ok(Sample {
            memory: pages * PAGE,
            files: std::fs::read_dir(format!("{home}/fd"))?.count() as u64,
            disk: size(folder)?,
        })
    }
}

/// A file that goes meanwhile holds nothing.
fn size(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        sum += match entry.metadata() {
            Ok(about) if about.is_dir() => size(&entry.path())?,
            Ok(about) => about.len(),
            Err(_) => 0,
        };
    }
    Ok(sum)
}

impl Verdict {
    /// Compares the first third of the samples with the last; `passed` is how long all of it was, in the
    /// agent's own time. Memory grows while one customer after the other comes online for the first time, and
    /// something is kept of each: of it the second third is compared with the last.
    pub fn on(samples: &[Sample], passed: Duration) -> Verdict {
        let third = (samples.len() / 3).max(1);
        let (first, last) = (&samples[..third], &samples[samples.len() - third..]);
        let mean = |of: &[Sample], what: fn(&Sample) -> u64| {
            of.iter().map(what).sum::<u64>() / of.len() as u64
        };
        let most = |of: &[Sample], what: fn(&Sample) -> u64| of.iter().map(what).max().unwrap_or(0);

        let memory = |sample: &Sample| sample.memory;
        let middle = samples.get(third..2 * third).unwrap_or(first);
        let (before, after) = (mean(middle, memory), mean(last, memory));
        let flat = after <= before + before * 3 / 100;
        let peak = most(samples, memory);
        let files = |sample: &Sample| sample.files;
        let (few, many) = (most(first, files), most(last, files));
        let disk = |sample: &Sample| sample.disk;
        let (small, large) = (mean(first, disk), mean(last, disk));
        // The means lie two thirds of the time apart.
        let days = passed.as_secs_f64() * 2.0 / 3.0 / 86_400.0;
        let month = large as f64 + (large.saturating_sub(small)) as f64 / days * 30.0;
        let megabytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        Verdict {
            lines: vec![
                (
                    format!(
                        "memory {:.1} MiB in the second third, {:.1} MiB in the last (at most 3 % more)",
                        megabytes(before),
                        megabytes(after)
                    ),
                    flat,
                ),
                (
                    format!(
                        "memory {:.1} MiB at its most (at most 64); tenth by tenth {}",
                        megabytes(peak),
                        samples
                            .chunks(samples.len().div_ceil(10).max(1))
                            .map(|tenth| format!("{:.1}", megabytes(mean(tenth, memory))))
                            .collect::<Vec<_>>()
                            .join(" ")
                    ),
                    peak <= 64 << 20,
                ),
                (
                    format!("{few} files open at the most in the first third, {many} in the last"),
                    many <= few + 8,
                ),
                (
                    format!(
                        "disk {:.1} MiB, then {:.1} MiB; {:.0} MiB when a month is kept (at most 512)",
                        megabytes(small),
                        megabytes(large),
                        month / f64::from(1 << 20)
                    ),
                    month <= f64::from(512 << 20),
                ),
            ],
        }
    }

    /// Whether all of it holds.
    pub fn passed(&self) -> bool {
        self.lines.iter().all(|(_, holds)| *holds)
    }
}

impl std::fmt::Display for Verdict {
    /// A line each, and last `N passed, N failed`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let passed = self.lines.iter().filter(|(_, holds)| *holds).count();
        for (line, holds) in &self.lines {
            let word = if *holds { "ok" } else { "FAILED" };
            writeln!(f, "{word:7}{line}")?;
        }
        writeln!(f, "{passed} passed, {} failed", self.lines.len() - passed)
    }
}

/// Of every machine that this runs on.
const PAGE: u64 = 4096;
