//! What other threads ask of the thread that owns a term.

use std::collections::BTreeSet;
use std::sync::mpsc::{self, Receiver, SyncSender};

use crate::batch::BatchKey;
use crate::log::notes::CallNote;
use crate::log::{DayInBucket, Decision, Encoded, Parked, PendingSeal, Seal, Stopped};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::time::ReceivedDay;

/// Asks that wait for the owner. Beyond that, who asks waits too.
const ASKS_MAX: usize = 1_024;

/// Where an answer goes. Without one the term is over.
pub(super) type Answer<T> = SyncSender<T>;

/// One ask.
#[derive(Debug)]
pub(super) enum Ask {
    /// Seal these frames of a batch.
    Seal {
        batch: BatchKey,
        encoded: Box<Encoded>,
        location: Box<S3Location>,
        key: ObjectKey,
        answer: Answer<Seal>,
    },
    /// The store has an object, verified.
    Commit { number: u64, applied: Option<AppliedEncryption>, answer: Answer<()> },
    /// An object stays in the log. The answer says whether it does.
    Leave { number: u64, parked: Parked, answer: Answer<bool> },
    /// Note this.
    Note { note: Box<CallNote>, answer: Answer<()> },
    /// Note what a person decided about a conflict. The answer is the seal, as it is put from then on, or the
    /// seals that have a conflict if this one has none.
    Decide { number: u64, decision: Decision, answer: Answer<Result<Box<PendingSeal>, Vec<u64>>> },
    /// End the days through this one, if they are over by all clocks.
    EndDays { through: ReceivedDay, answer: Answer<()> },
    /// The marker of a day is in the store.
    Closed { place: DayInBucket, answer: Answer<()> },
    /// The log begins at this offset now. These left objects are at hand, whatever the log has lost.
    BeginsAt(u64, BTreeSet<u64>),
    /// The cache cannot be used any more, for this reason.
    Broken(String),
}

/// The way to the owner. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Asks(SyncSender<Ask>);

impl Asks {
    /// A way to an owner, and what the owner gets.
    pub(super) fn new() -> (Self, Receiver<Ask>) {
        let (sender, receiver) = mpsc::sync_channel(ASKS_MAX);
        (Self(sender), receiver)
    }

    /// Asks, and waits for the answer.
    /// Errors: [`Stopped`]: the term is over.
    pub(super) fn ask<T>(&self, ask: impl FnOnce(Answer<T>) -> Ask) -> Result<T, Stopped> {
        let (answer, answered) = mpsc::sync_channel(1);
        self.0.send(ask(answer)).map_err(|_| Stopped)?;
        answered.recv().map_err(|_| Stopped)
    }

    /// Tells the owner something, without waiting. Nothing is lost if there are too many asks, or the term is
    /// over: it is found out again.
    pub(super) fn tell(&self, ask: Ask) {
        if let Err(error) = self.0.try_send(ask) {
            tracing::debug!(%error, "the owner of a partition is busy, or its term is over");
        }
    }
}
