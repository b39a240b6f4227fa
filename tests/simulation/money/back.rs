//! Money that operators send back: one asks, another approves, M-Pesa sends it, refuses it or says nothing.
//!
//! What is tried is drawn from randomness of its own, so that a seed of before still tries what it tried.

use anyhow::{Context, Result, ensure};
use easyisp_tests::scenario::{Callback, Errand, PushAnswer};
use futures_util::future::join_all;
use rand::RngExt;
use std::time::Duration;
use uuid::Uuid;

use super::Money;
use super::acts::Deed;
use super::eyes::{Back, Seen};

impl Money {
    /// Something that is done about money that is to go back; `None` = this time nothing is.
    pub(super) async fn some_money_goes_back(&mut self) -> Result<Option<String>> {
        if !self.back.random_ratio(1, 3) {
            return Ok(None);
        }
        let errand = self.some_errand();
        self.world.outside.mpesa.script_errands(errand.clone());
        let Some(deed) = self.some_way_back() else {
            return Ok(None);
        };
        let mut deeds = vec![deed];
        if self.back.random_ratio(1, 5) {
            deeds.push(deeds[0].clone());
        }
        let words = format!("{}, M-Pesa does {errand:?}", deeds[0]);
        if self.back.random_ratio(1, 6) {
            let statements = self.back.random_range(0..40);
            let answered = self.back.random();
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

    fn some_way_back(&mut self) -> Option<Deed> {
        let isp = self.back.random_range(0..self.isps.len());
        let tenant = self.isps[isp].tenant;
        let open: Vec<Uuid> = self
            .seen
            .backs
            .iter()
            .filter(|(_, back)| back.tenant == tenant && back.state == "REQUESTED")
            .map(|(id, _)| *id)
            .collect();
        if !open.is_empty() && self.back.random_ratio(2, 3) {
            let refund = open[self.back.random_range(0..open.len())];
            return Some(match self.back.random_ratio(1, 6) {
                true => Deed::Decline { isp, refund },
                false => Deed::Approve { isp, refund },
            });
        }
        let sendable = self.seen.payments.iter().filter(|(_, paid)| {
            paid.tenant == tenant
                && paid.is_mpesa()
                && paid.stands
                && paid.customer.is_some()
                && paid.receipt.is_some()
        });
        let sendable: Vec<(Uuid, i64)> = sendable.map(|(id, paid)| (*id, paid.amount)).collect();
        if sendable.is_empty() {
            return None;
        }
        let (payment, amount) = sendable[self.back.random_range(0..sendable.len())];
        let shillings = (amount / 100).max(1);
        let part = match self.back.random_ratio(1, 2) {
            true => Some(self.back.random_range(1..=shillings)),
            false => None,
        };
        Some(Deed::AskBack {
            isp,
            payment,
            part,
            service: self.some_service(),
            key: self.back.random(),
        })
    }

    fn some_errand(&mut self) -> Errand {
        let result = match self.back.random_range(0..10) {
            0..5 => Callback::Now,
            5 => Callback::Late(Duration::from_secs(self.back.random_range(5..4_000))),
            6 => Callback::Held,
            7 => Callback::Repeated {
                times: 2,
                apart: Duration::from_secs(40),
            },
            _ => Callback::Never,
        };
        let answer = match self.back.random_ratio(1, 8) {
            true => PushAnswer::Error("500.003.02".to_owned()),
            false => PushAnswer::Accepted,
        };
        let refused = self.back.random_ratio(1, 6);
        Errand {
            answer,
            result,
            late: self.back.random_ratio(1, 12),
            code: refused.then(|| ("2001".to_owned(), "The initiator is not allowed".to_owned())),
        }
    }

    /// What was sent back went once, and not where it is said that it did not; and it is nobody's meanwhile.
    pub(super) fn sent_back(&self, seen: &Seen) -> Result<()> {
        let books = self.world.outside.mpesa.books();
        for (id, back) in &seen.backs {
            let went = self.went(&books, *id);
            ensure!(went <= 1, "C14: {id} was sent back {went} times");
            ensure!(
                back.state != "DONE" || went == 1,
                "C14: {id} is said to be sent back and was not: {back:?}"
            );
            ensure!(
                back.state != "FAILED" || went == 0,
                "C14: {id} was sent back and is said not to be: {back:?}"
            );
            ensure!(
                !matches!(back.state.as_str(), "REQUESTED" | "DECLINED") || went == 0,
                "C14: {id} was sent back and nobody approved it: {back:?}"
            );
        }
        Ok(())
    }

    fn went(&self, books: &easyisp_tests::mpesa::books::Books, refund: Uuid) -> usize {
        let name = refund.to_string();
        let ours = books
            .errands()
            .iter()
            .filter(|errand| errand.receipt.is_some() && errand.result_url.ends_with(&name));
        ours.count()
    }

    /// Of the end: everything is decided, but what only a person can find out.
    pub(super) fn decided(&self) -> Result<()> {
        for (id, back) in &self.seen.backs {
            ensure!(
                !back.is_under_way() || back.state == "UNKNOWN" && back.is_for_a_person,
                "C14: nothing becomes of {id}: {back:?}"
            );
        }
        Ok(())
    }
}

impl Back {
    /// It is set aside, or gone.
    pub(super) fn is_aside(&self) -> bool {
        self.is_under_way() || self.state == "DONE"
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.state.as_str(), "APPROVED" | "SENT" | "UNKNOWN")
    }
}
