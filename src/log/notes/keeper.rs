//! What commits notes about calls.

use std::ops::DerefMut;

use super::ledger::Ledger;
use super::note::CallNote;
use super::state::CallState;
use crate::batch::BatchKey;
use crate::log::{Lost, Range, Seal, Stopped};
use crate::time::UnixMillis;

/// Commits notes about calls, and has the state that they add up to. Every log has one.
///
/// Notes have one order. Locks are taken in this order: that of the notes, the state, what is open.
pub(crate) trait NoteKeeper {
    /// What the log knows in memory besides.
    type Open: OpenFrames;

    /// Reads the state of all durable notes. Does not wait for notes that are being written.
    fn read<T>(&self, read: impl FnOnce(&CallState) -> T) -> T;

    /// Locks what is open.
    fn open(&self) -> impl DerefMut<Target = Self::Open> + '_;

    /// Appends the notes that `decide` makes from the state, while no other note can be appended. They are
    /// durable before the state changes. `then` gets what `decide` found, the new state and what is open,
    /// before any other thread sees either. It is called even if there is nothing to note.
    fn append_from<D, T>(
        &self,
        decide: impl FnOnce(&CallState) -> (Vec<CallNote>, D),
        then: impl FnOnce(D, &CallState, &mut Self::Open) -> T,
    ) -> Result<T, Stopped>;

    /// Appends notes durably.
    fn append(&self, notes: Vec<CallNote>) -> Result<(), Stopped> {
        self.append_from(|_| (notes, ()), |(), _, _| ())
    }

    /// What the log knows of the frames that stood at positions that can no longer be read.
    fn lost_at(&self, range: Range) -> Lost;

    /// Stops the log for good, because of a bug.
    fn stop_for_bug(&self, what: &str) -> Stopped;
}

/// Frames that are not let go, by batch, and the running ledger.
pub(crate) trait OpenFrames {
    /// The running ledger.
    fn ledger(&mut self) -> &mut Ledger;

    /// Each batch with frames, sorted, with the number of those that are in no seal, and when the first of
    /// these was received.
    fn batches(&self) -> impl Iterator<Item = (&BatchKey, u64, UnixMillis)>;

    /// The first position of the log that is not read: every frame before it is among these, or was let go.
    /// The highest number in a log whose frames are open as soon as they are stored.
    fn read_before(&self) -> u64;

    /// Whether a batch still needs the frame at a position.
    fn holds(&self, batch: &BatchKey, position: u64) -> bool;

    /// Records that frames of a batch are sealed.
    fn sealed(&mut self, seal: &Seal);

    /// Lets go the frames of a batch up to `through`.
    fn release(&mut self, batch: &BatchKey, through: u64);

    /// If no frame of a batch is without a seal, counts those as lost that the ledger still shows as open.
    /// Returns their number.
    fn settle(&mut self, batch: &BatchKey) -> u64;

    /// Gathers what is counted and not noted, for the next tally.
    fn gather(&mut self);
}
