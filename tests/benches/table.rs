//! Goal and figure side by side.

use std::fmt::Write;
use std::time::Duration;

/// One line: what was measured, beside whom, and what it should be.
pub struct Row {
    pub what: String,
    pub ours: String,
    pub beside: String,
    pub ratio: String,
    pub goal: String,
    pub reached: Option<bool>,
}

impl Row {
    /// A figure that should be `goal` times the peer's, where there is a goal and a peer.
    pub fn ratio(what: &str, ours: f64, peer: &str, theirs: Option<f64>, goal: Option<f64>) -> Row {
        let ratio = theirs.map(|theirs| ours / theirs);
        Row {
            what: what.to_owned(),
            ours: format!("{ours:.0}"),
            beside: theirs.map_or("not measured".into(), |theirs| {
                format!("{theirs:.0} {peer}")
            }),
            ratio: ratio.map_or("-".into(), |ratio| format!("{ratio:.1} x")),
            goal: goal.map_or("-".into(), |goal| format!(">= {goal} x")),
            reached: ratio.zip(goal).map(|(ratio, goal)| ratio >= goal),
        }
    }

    /// A figure with a bound of its own, beside nobody.
    pub fn bound(what: &str, ours: &str, goal: &str, reached: bool) -> Row {
        Row {
            what: what.to_owned(),
            ours: ours.to_owned(),
            beside: "-".into(),
            ratio: "-".into(),
            goal: goal.to_owned(),
            reached: Some(reached),
        }
    }

    fn cells(&self) -> [&str; 6] {
        let reached = match self.reached {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "-",
        };
        [
            &self.what,
            &self.ours,
            &self.beside,
            &self.ratio,
            &self.goal,
            reached,
        ]
    }
}

/// Milliseconds with two decimals.
pub fn millis(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// MiB out of KiB.
pub fn mebibytes(kib: u64) -> String {
    format!("{} MiB", kib.div_ceil(1024))
}

/// Lays the rows out in columns.
pub fn lay_out(rows: &[Row]) -> String {
    let head = ["what", "ours", "beside", "ratio", "goal", "reached"];
    let lines: Vec<[&str; 6]> = [head]
        .into_iter()
        .chain(rows.iter().map(Row::cells))
        .collect();
    let widest = |column: usize| lines.iter().map(|line| line[column].len()).max();
    let widths: Vec<usize> = (0..head.len())
        .map(|column| widest(column).unwrap_or(0))
        .collect();

    let mut table = String::new();
    for (index, line) in lines.iter().enumerate() {
        let cells = line.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        let line = cells.join("  ");
        // Writing to a String cannot fail.
        let _ = writeln!(table, "{}", line.trim_end());
        if index == 0 {
            let _ = writeln!(table, "{}", "-".repeat(line.len()));
        }
    }
    table
}
