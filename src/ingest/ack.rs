//! The acknowledgement that a caller gets once its lines are on stable storage.

use crate::log::{Appended, RequestFrames};
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// A durable acknowledgement: everything that it counts is on stable storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The source.
    pub source: SourceId,
    /// The received-day of all lines.
    pub day: ReceivedDay,
    /// Calls in the request, repeats included.
    pub calls: u32,
    /// Items that are not valid calls, stored in the rejected stream.
    pub rejected: u32,
    /// Calls that were stored before and are not stored again.
    pub repeats: u32,
    /// The positions of the stored lines, if receipts are on and any were stored.
    pub receipt: Option<Receipt>,
    /// `Some` if receipts are on.
    log_id: Option<String>,
}

impl Ack {
    /// For lines that are not stored yet.
    pub(super) fn of(frames: &RequestFrames, log_id: &str, receipts: bool) -> Self {
        Self {
            source: frames.source().clone(),
            day: frames.received_at().day(),
            calls: frames.calls(),
            rejected: frames.rejected_by_reason().map(|(_, count)| count).sum(),
            repeats: 0,
            receipt: None,
            log_id: receipts.then(|| log_id.to_owned()),
        }
    }

    /// Adds the log's answer.
    pub(super) fn stored(&mut self, appended: Appended) {
        self.repeats = appended.repeats;
        self.receipt = self.log_id.take().zip(appended.first).map(|(spool_id, first)| Receipt {
            source: self.source.clone(),
            day: self.day,
            spool_id,
            first,
            last: first + u64::from(appended.stored.saturating_sub(1)),
        });
    }
}
