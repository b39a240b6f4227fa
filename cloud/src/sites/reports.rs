//! What agents report, on its way to the feature that it concerns.

use std::collections::BTreeMap;
use std::sync::Arc;

use easyisp_shared::time::Timestamp;
use easyisp_shared::wire::{Up, UpKind};

use super::agents::Agent;
use crate::db::{BoxFuture, Tx};

/// One record, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its place in the lane.
    pub sequence: u64,
    /// What it says.
    pub body: Up,
}

/// A report that is understood but cannot be used; it is set aside with this reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Its place in the lane.
    pub sequence: u64,
    /// Why, for people.
    pub why: String,
}

/// Applies reports of one kind, in the order they came.
///
/// An error undoes the whole batch; where it is the data's fault, the batch is applied again record by
/// record and those at fault are set aside.
pub type Applier = Arc<
    dyn for<'a> Fn(
            &'a mut Tx,
            &'a Agent,
            &'a [Report],
            Timestamp,
        ) -> BoxFuture<'a, sqlx::Result<Vec<Unusable>>>
        + Send
        + Sync,
>;

/// Which function applies which kind; filled once, where the application is put together.
#[derive(Clone, Default)]
pub struct Appliers {
    by_kind: BTreeMap<UpKind, Applier>,
}

impl Appliers {
    /// Adds the applier of `kind`.
    #[must_use]
    pub fn with(mut self, kind: UpKind, applier: Applier) -> Appliers {
        self.by_kind.insert(kind, applier);
        self
    }

    /// Who takes reports of `kind`.
    pub fn of(&self, kind: UpKind) -> Option<&Applier> {
        self.by_kind.get(&kind)
    }
}
