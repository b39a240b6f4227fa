//! What else is done: somebody sells out of a float, and customers go away for a while and come back.
//!
//! What is tried is drawn from randomness of its own, so that a seed of before still tries what it tried.

use anyhow::{Context, Result};
use futures_util::future::join_all;
use rand::RngExt;

use super::Money;
use super::acts::Deed;

impl Money {
    /// Something of that; `None` = this time nothing is.
    pub(super) async fn something_more(&mut self) -> Result<Option<String>> {
        if !self.more.random_ratio(2, 5) {
            return Ok(None);
        }
        let mut deeds = vec![self.some_more()];
        match self.more.random_range(0..5) {
            0 => deeds.push(deeds[0].clone()),
            1 => {
                let other = self.some_more();
                deeds.push(other);
            }
            _ => {}
        }
        for deed in &deeds {
            self.expect(deed);
        }
        let words: Vec<String> = deeds.iter().map(Deed::to_string).collect();
        let words = words.join(" and ");
        if self.more.random_ratio(1, 8) {
            let statements = self.more.random_range(0..30);
            let answered = self.more.random();
            self.crash(&deeds, statements, answered).await?;
            return Ok(Some(format!(
                "{words}; the cloud dies {statements} statements later, the last answered: {answered}"
            )));
        }
        let answers = join_all(deeds.iter().map(|deed| self.perform(deed))).await;
        for (deed, answer) in deeds.iter().zip(&answers) {
            let answer = answer
                .as_ref()
                .with_context(|| format!("{deed} is not answered"))?;
            self.heard(deed, answer)?;
        }
        let statuses: Vec<u16> = answers.iter().flatten().map(|answer| answer.0).collect();
        Ok(Some(format!("{words}: {statuses:?}")))
    }

    fn some_more(&mut self) -> Deed {
        let isp = self.more.random_range(0..self.isps.len());
        let person = self.more.random_range(0..self.isps[isp].people.len());
        let key = self.more.random();
        let cents = [2_000, 5_000, 10_000, 12_345, 45_000][self.more.random_range(0..5)];
        match self.more.random_range(0..10) {
            0..2 => Deed::Load { isp, cents, key },
            2..6 => Deed::Sell {
                isp,
                person,
                cents,
                key,
            },
            6..8 => Deed::Pause { isp, person },
            _ => Deed::Resume { isp, person },
        }
    }

    /// What becomes of the time that money had bought which somebody asks to be sent back.
    pub(super) fn some_service(&mut self) -> &'static str {
        ["KEEP", "TAKE_BACK", "TAKE_BACK", "WAIVE"][self.more.random_range(0..4)]
    }
}
