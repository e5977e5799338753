//! Where positions stand that a receipt names: in a batch, in a sealed object, or not in the spool any more.

use std::collections::BTreeMap;
use std::io;

use super::frame::FrameKind;
use super::note::PendingSeal;
use super::outlet::{OpenBatch, Outlet};
use super::reader::{Go, Read};
use super::scan::Range;
use super::segment::BLOCK_BODY_MAX;
use super::shared::lock;
use crate::batch::BatchKey;
use crate::object::Stream;
use crate::receipt::Receipt;

/// How often reading is begun again: a segment may be released meanwhile, and then its positions are not here any more.
const TRIES_MAX: u32 = 3;

/// What is said of a range that no answer has named: reading it could take for ever.
const NOT_ONE_REQUEST: &str = "these positions hold more than one request can, so no answer had this receipt";

/// Positions, one behind the other, that stand alike.
#[derive(Clone, Debug)]
pub struct Located {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Why they were rejected; `None` of calls.
    pub reason: Option<String>,
    /// Where they stand.
    pub standing: Standing,
}

/// Where a position stands.
#[derive(Clone, Debug)]
pub enum Standing {
    /// In a batch, and in no object yet.
    Open(OpenBatch),
    /// In the object of one of these seals, which is not known to be in the store. There is one seal, unless a parked object
    /// of calls and one of what was rejected both span the position.
    Sealed(Vec<PendingSeal>),
    /// It can no longer be read.
    Lost,
    /// The spool has not come so far.
    NotGiven,
    /// It is not in the spool: it was delivered, or stands in no batch of this source and day.
    NotHere,
}

/// What tells two positions' standing apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Mark {
    Open(Stream),
    Sealed(Vec<u64>),
    Lost,
    NotGiven,
    NotHere,
}

/// What reading the spool says of a position.
#[derive(Clone, Debug)]
enum Seen {
    /// Its stream, and why it was rejected.
    Frame(Stream, Option<String>),
    Lost,
}

/// What a spool says of a receipt's batches.
struct View {
    next: u64,
    seen: BTreeMap<u64, Seen>,
    /// The batches that have something that is not sealed.
    open: Vec<OpenBatch>,
    /// Of both batches, where they span one of the positions.
    seals: Vec<PendingSeal>,
    lost: Vec<Range>,
}

impl View {
    fn open(&self, stream: Stream) -> Option<&OpenBatch> {
        self.open.iter().find(|batch| batch.key.stream == stream)
    }

    /// The numbers of the seals that span a position and that `wanted` takes.
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
            Some(Seen::Frame(stream, _)) => *stream,
            Some(Seen::Lost) => return Mark::Lost,
            None if position >= self.next => return Mark::NotGiven,
            None => {
                // The frames of a parked object are gone from the spool.
                let parked = self.sealed(position, |pending| pending.parked.is_some());
                return if parked.is_empty() { Mark::NotHere } else { Mark::Sealed(parked) };
            }
        };
        let sealed = self.sealed(position, |pending| pending.seal.batch.stream == stream);
        match self.open(stream) {
            _ if !sealed.is_empty() => Mark::Sealed(sealed),
            Some(batch) if position > batch.sealed_through => Mark::Open(stream),
            // It was delivered meanwhile.
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
            Mark::Open(stream) => self.open(*stream).cloned().map_or(Standing::NotHere, Standing::Open),
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

impl Outlet {
    /// Where the positions of a receipt of this spool stand. Waits for the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        let view = self.view_of(receipt)?;
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

    fn view_of(&self, receipt: &Receipt) -> io::Result<View> {
        let next = self.shared.next_position();
        let mut seen = self.see(receipt)?;
        let keys = [Stream::Calls, Stream::Rejected].map(|stream| batch_key(receipt, stream));
        // What was released while it was read is not lost.
        seen.retain(|position, seen| {
            !matches!(seen, Seen::Lost) || keys.iter().any(|key| self.is_held(key, *position))
        });
        let open = keys.iter().filter_map(|key| self.open_batch(key)).collect();
        // After the batches: what is sealed or delivered in between is found here, or not here any more.
        let state = self.shared.state();
        let spans = |pending: &&PendingSeal| {
            let seal = &pending.seal;
            keys.contains(&seal.batch) && seal.first <= receipt.last && receipt.first <= seal.last
        };
        let seals = state.seals.values().filter(spans).cloned().collect();
        Ok(View { next, seen, open, seals, lost: state.lost.clone() })
    }

    /// Reads what the spool still has of a receipt's positions.
    fn see(&self, receipt: &Receipt) -> io::Result<BTreeMap<u64, Seen>> {
        let mut tries = 0;
        loop {
            let (mut seen, mut bytes) = (BTreeMap::new(), 0);
            let read = [Stream::Calls, Stream::Rejected].into_iter().try_for_each(|stream| {
                let key = batch_key(receipt, stream);
                self.read(&key, receipt.first - 1, receipt.last, &mut |read| {
                    match read {
                        Read::Frame(frame) => {
                            bytes += frame.len();
                            if bytes > BLOCK_BODY_MAX {
                                return Err(io::Error::other(NOT_ONE_REQUEST));
                            }
                            let rejected = frame.kind == FrameKind::Rejected;
                            let reason = rejected.then(|| reason_of(frame.payload)).flatten();
                            seen.insert(frame.position, Seen::Frame(stream, reason));
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
                Err(error) => tracing::debug!(%error, "a segment went while a receipt was looked for"),
            }
        }
    }

    /// Whether a batch still needs this position's frame.
    fn is_held(&self, key: &BatchKey, position: u64) -> bool {
        let index = lock(&self.shared.index);
        let spans = |part: &super::index::Part| (part.first..=part.last).contains(&position);
        index.batches.get(key).is_some_and(|batch| batch.parts.iter().any(spans))
    }
}

fn batch_key(receipt: &Receipt, stream: Stream) -> BatchKey {
    BatchKey { source: receipt.source.clone(), day: receipt.day, stream }
}

/// The reason in a line of the rejected stream.
fn reason_of(line: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Rejected {
        reason: String,
    }
    serde_json::from_slice::<Rejected>(line).ok().map(|line| line.reason)
}
