//! Finds the positions that a receipt names: in a batch, in a sealed object, or no longer in the log.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::CallState;
use super::keeper::{NoteKeeper, OpenFrames as _};
use crate::batch::BatchKey;
use crate::log::frame::FrameKind;
use crate::log::{
    Batches, Go, Located, Lost, OpenBatch, PendingSeal, REQUEST_BYTES_MAX, Range, Read, Standing,
};
use crate::object::Stream;
use crate::receipt::Receipt;

/// Maximum number of attempts to read. Frames may be let go while they are read; their positions are then no
/// longer in the log.
const TRIES_MAX: u32 = 3;

/// What the search for a receipt asks a log.
pub(crate) trait Places {
    /// Reads the state of all durable notes.
    fn read_state<T>(&self, read: impl FnOnce(&CallState) -> T) -> T;

    /// The batches with frames.
    fn batches(&self) -> Vec<BatchKey>;

    /// Whether a batch still needs the frame at a position.
    fn holds(&self, batch: &BatchKey, position: u64) -> bool;

    /// Whether frames that came after the end of their day are stored in the next one.
    fn stores_late(&self) -> bool;
}

impl<K: NoteKeeper> Places for K {
    fn read_state<T>(&self, read: impl FnOnce(&CallState) -> T) -> T {
        NoteKeeper::read(self, read)
    }

    fn batches(&self) -> Vec<BatchKey> {
        NoteKeeper::open(self).batches().map(|(key, ..)| key.clone()).collect()
    }

    fn holds(&self, batch: &BatchKey, position: u64) -> bool {
        NoteKeeper::open(self).holds(batch, position)
    }

    fn stores_late(&self) -> bool {
        false
    }
}

/// The error for a range too long for one request. Reading it could take very long.
const NOT_ONE_REQUEST: &str =
    "these positions hold more than a single request can, so no answer contained this receipt";

/// The state of a position. Consecutive positions with equal marks are reported as one range.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Open(Stream),
    Sealed(Vec<u64>),
    Lost,
    NotGiven,
    NotHere,
}

/// What the log holds at a position.
#[derive(Clone, Debug)]
enum Seen {
    /// The frame's stream, and why it was rejected.
    Frame(Stream, Option<String>),
    Lost,
}

/// What the log knows about a receipt's batches.
struct View {
    next: u64,
    seen: BTreeMap<u64, Seen>,
    /// The batches with unsealed frames.
    open: Vec<OpenBatch>,
    /// Seals of these batches that span one of the positions.
    seals: Vec<PendingSeal>,
    lost: Vec<Range>,
}

impl View {
    fn open(&self, stream: &Stream) -> Option<&OpenBatch> {
        self.open.iter().find(|batch| batch.key.stream == *stream)
    }

    /// The numbers of the seals that span a position and match `wanted`.
    fn sealed(&self, position: u64, wanted: impl Fn(&PendingSeal) -> bool) -> Vec<u64> {
        let spans = |pending: &&PendingSeal| {
            (pending.seal.first..=pending.seal.last).contains(&position) && wanted(pending)
        };
        self.seals.iter().filter(spans).map(|pending| pending.seal.number).collect()
    }

    fn mark(&self, position: u64) -> Mark {
        if self.lost.iter().any(|range| (range.first..=range.last).contains(&position)) {
            return Mark::Lost;
        }
        let stream = match self.seen.get(&position) {
            Some(Seen::Frame(stream, _)) => stream,
            Some(Seen::Lost) => return Mark::Lost,
            None => {
                // The log need not hold the frames of an object that is kept apart, and a log that is read again
                // does not have all frames of its seals yet.
                let is_unread = position >= self.next;
                let apart = self.sealed(position, |pending| is_unread || pending.parked.is_some());
                return match (apart.is_empty(), is_unread) {
                    (false, _) => Mark::Sealed(apart),
                    (true, true) => Mark::NotGiven,
                    (true, false) => Mark::NotHere,
                };
            }
        };
        let sealed = self.sealed(position, |pending| pending.seal.batch.stream == *stream);
        match self.open(stream) {
            _ if !sealed.is_empty() => Mark::Sealed(sealed),
            Some(batch) if position > batch.sealed_through => Mark::Open(stream.clone()),
            // It was delivered in the meantime.
            _ => Mark::NotHere,
        }
    }

    fn reason(&self, position: u64, mark: &Mark) -> Option<String> {
        match (self.seen.get(&position)?, mark) {
            (Seen::Frame(_, reason), Mark::Open(_) | Mark::Sealed(_)) => reason.clone(),
            _ => None,
        }
    }

    fn standing(&self, mark: &Mark) -> Standing {
        match mark {
            Mark::Open(stream) => self.open(stream).cloned().map_or(Standing::NotHere, Standing::Open),
            Mark::Sealed(numbers) => {
                let named = |pending: &&PendingSeal| numbers.contains(&pending.seal.number);
                Standing::Sealed(self.seals.iter().filter(named).cloned().collect())
            }
            Mark::Lost => Standing::Lost,
            Mark::NotGiven => Standing::NotGiven,
            Mark::NotHere => Standing::NotHere,
        }
    }
}

/// See [`crate::log::Accounts::locate`]. `next` is the position of the next frame.
pub(crate) fn locate(
    log: &impl Batches,
    keeper: &impl Places,
    next: u64,
    receipt: &Receipt,
) -> io::Result<Vec<Located>> {
    let view = Search { log, keeper, receipt }.view(next)?;
    let mut located: Vec<(Located, Mark)> = Vec::new();
    for position in receipt.first..=receipt.last {
        let mark = view.mark(position);
        let reason = view.reason(position, &mark);
        match located.last_mut() {
            Some((before, of)) if *of == mark && before.reason == reason => before.last = position,
            _ => {
                let standing = view.standing(&mark);
                located.push((Located { first: position, last: position, reason, standing }, mark));
            }
        }
    }
    Ok(located.into_iter().map(|(located, _)| located).collect())
}

/// The search for one receipt.
struct Search<'s, L, K> {
    log: &'s L,
    keeper: &'s K,
    receipt: &'s Receipt,
}

impl<L: Batches, K: Places> Search<'_, L, K> {
    fn view(&self, next: u64) -> io::Result<View> {
        let (receipt, keys) = (self.receipt, self.batches());
        let mut seen = self.read_positions(&keys)?;
        // Frames released during the read are not lost.
        let is_held = |position| keys.iter().any(|key| self.keeper.holds(key, position));
        seen.retain(|position, seen| !matches!(seen, Seen::Lost) || is_held(*position));
        let open = keys.iter().filter_map(|key| self.log.open_batch(key)).collect();
        // The seals are read after the batches: a frame sealed in between is then found among the seals, and
        // a frame delivered in between is no longer in the log.
        let spans = |pending: &&PendingSeal| {
            let seal = &pending.seal;
            keys.contains(&seal.batch) && seal.first <= receipt.last && receipt.first <= seal.last
        };
        Ok(self.keeper.read_state(|state| {
            let seals = state.seals.values().filter(spans).cloned().collect();
            View { next, seen, open, seals, lost: state.lost.iter().map(Lost::range).collect() }
        }))
    }

    /// The batches of a receipt's source and day, whether they have frames here or an object that waits.
    fn batches(&self) -> BTreeSet<BatchKey> {
        let (day, stores_late) = (self.receipt.day, self.keeper.stores_late());
        let of_days = |key: &BatchKey| key.day == day || (stores_late && key.day.start() == day.end());
        let of_receipt = |key: &&BatchKey| key.source == self.receipt.source && of_days(key);
        let mut keys: BTreeSet<BatchKey> = self.keeper.batches().iter().filter(of_receipt).cloned().collect();
        self.keeper.read_state(|state| {
            let sealed = state.seals.values().map(|pending| &pending.seal.batch);
            keys.extend(sealed.filter(of_receipt).cloned());
        });
        keys
    }

    /// Reads what the log still holds of a receipt's positions.
    fn read_positions(&self, keys: &BTreeSet<BatchKey>) -> io::Result<BTreeMap<u64, Seen>> {
        let (receipt, mut tries) = (self.receipt, 0);
        loop {
            let (mut seen, mut bytes) = (BTreeMap::new(), 0);
            let read = keys.iter().try_for_each(|key| {
                self.log.read(key, receipt.first - 1, receipt.last, &mut |read| {
                    match read {
                        Read::Frame(frame) => {
                            bytes += frame.stored_len();
                            if bytes > REQUEST_BYTES_MAX {
                                return Err(io::Error::other(NOT_ONE_REQUEST));
                            }
                            let rejected = frame.kind == FrameKind::Rejected;
                            let reason = rejected.then(|| reason_of(frame.payload)).flatten();
                            seen.insert(frame.position, Seen::Frame(key.stream.clone(), reason));
                        }
                        Read::Lost(range) => {
                            let named = range.first.max(receipt.first)..=range.last.min(receipt.last);
                            seen.extend(named.map(|position| (position, Seen::Lost)));
                        }
                    }
                    Ok(Go::On)
                })
            });
            tries += 1;
            match read {
                Ok(()) => return Ok(seen),
                Err(error) if tries >= TRIES_MAX => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "frames were released during the search for a receipt")
                }
            }
        }
    }
}

/// The reason in a line of the rejected stream.
fn reason_of(line: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Rejected {
        reason: String,
    }
    serde_json::from_slice::<Rejected>(line).ok().map(|line| line.reason)
}
