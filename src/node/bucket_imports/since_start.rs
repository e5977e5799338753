//! What is counted of an import since the process began, whatever its settings were meanwhile.

use std::collections::BTreeMap;
use std::sync::Mutex;

use crate::admin::ImportTotals;
use crate::import::bucket_import::{Became, PassReport};
use crate::import::notifications::MessageBecame;
use crate::lock::lock;
use crate::time::UnixMillis;

/// The counts of an import. Other settings make another import of it, which goes on with these.
#[derive(Debug, Default)]
pub(super) struct SinceStart {
    totals: Mutex<ImportTotals>,
    messages: Mutex<Messages>,
}

/// What its queue brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    pub(super) received: u64,
    pub(super) last: Option<UnixMillis>,
    pub(super) ended: BTreeMap<MessageBecame, u64>,
}

impl SinceStart {
    /// Counts a pass.
    pub(super) fn passed(&self, report: &PassReport) {
        let sum = &mut *lock(&self.totals);
        sum.done += report.files_that(Became::Done);
        sum.rows += report.rows;
        sum.stored += report.stored;
        sum.repeats += report.repeats;
        sum.rejected += report.rejected;
        sum.skipped_rows += report.skipped_rows;
    }

    /// What all passes did; `None`: nothing.
    pub(super) fn totals(&self) -> Option<ImportTotals> {
        Some(*lock(&self.totals)).filter(|sum| *sum != ImportTotals::default())
    }

    /// Counts a message that was received.
    pub(super) fn received(&self, now: UnixMillis) {
        let messages = &mut *lock(&self.messages);
        messages.received += 1;
        messages.last = Some(now);
    }

    /// Counts what became of a message.
    pub(super) fn ended(&self, became: MessageBecame) {
        *lock(&self.messages).ended.entry(became).or_default() += 1;
    }

    /// What the queue brought.
    pub(super) fn messages(&self) -> Messages {
        lock(&self.messages).clone()
    }
}
