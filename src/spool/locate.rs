//! Where positions stand that a receipt names: in a batch, in a sealed object, or not in the spool any more.

use std::collections::BTreeMap;
use std::io;

use super::frame::FrameKind;
use super::note::PendingSeal;
use super::outlet::{OpenBatch, Outlet};
use super::reader::{Go, Read};
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
    Frame(Stream, Option<String>),
    Lost(Stream),
}

impl Outlet {
    /// Where the positions of a receipt of this spool stand. Waits for the disk.
    ///
    /// # Errors
    /// What the disk says.
    pub fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        let next = self.shared.next_position();
        let seen = self.see(receipt)?;
        let batches = [Stream::Calls, Stream::Rejected].map(|stream| {
            let batch = self.open_batch(&batch_key(receipt, stream));
            (stream, batch)
        });
        // After the batches: what was sealed since then is still told as open, and nothing falls between.
        let manifest = lock(&self.shared.manifest);
        let state = manifest.state();
        let seals: Vec<PendingSeal> = state
            .seals
            .values()
            .filter(|pending| {
                let seal = &pending.seal;
                let of = (&seal.batch.source, seal.batch.day) == (&receipt.source, receipt.day);
                of && seal.first <= receipt.last && receipt.first <= seal.last
            })
            .cloned()
            .collect();
        let lost = state.lost.clone();
        drop(manifest);
        let open = |stream| batches.iter().find(|(of, _)| *of == stream).and_then(|(_, batch)| batch.clone());
        let sealed = |position: u64, stream: Option<Stream>, parked: bool| -> Vec<u64> {
            let holds = |pending: &&PendingSeal| {
                let seal = &pending.seal;
                let of = stream.is_none_or(|stream| stream == seal.batch.stream);
                let spans = (seal.first..=seal.last).contains(&position);
                of && spans && (!parked || pending.parked.is_some())
            };
            seals.iter().filter(holds).map(|pending| pending.seal.number).collect()
        };
        let mark = |position: u64| -> Mark {
            if lost.iter().any(|range| (range.first..=range.last).contains(&position)) {
                return Mark::Lost;
            }
            let (stream, unread) = match seen.get(&position) {
                Some(Seen::Frame(stream, _)) => (*stream, false),
                Some(Seen::Lost(stream)) => (*stream, true),
                None if position >= next => return Mark::NotGiven,
                None => {
                    // The frames of a parked object are gone from the spool.
                    let parked = sealed(position, None, true);
                    return if parked.is_empty() { Mark::NotHere } else { Mark::Sealed(parked) };
                }
            };
            let in_object = sealed(position, Some(stream), false);
            match open(stream) {
                _ if unread && self.is_held(&batch_key(receipt, stream), position) => Mark::Lost,
                _ if !in_object.is_empty() => Mark::Sealed(in_object),
                Some(batch) if position > batch.sealed_through => Mark::Open(stream),
                _ => Mark::NotHere,
            }
        };
        let standing = |mark: &Mark| match mark {
            Mark::Open(stream) => open(*stream).map_or(Standing::NotHere, Standing::Open),
            Mark::Sealed(numbers) => {
                let named = |pending: &&PendingSeal| numbers.contains(&pending.seal.number);
                Standing::Sealed(seals.iter().filter(named).cloned().collect())
            }
            Mark::Lost => Standing::Lost,
            Mark::NotGiven => Standing::NotGiven,
            Mark::NotHere => Standing::NotHere,
        };
        let mut located: Vec<(Located, Mark)> = Vec::new();
        for position in receipt.first..=receipt.last {
            let mark = mark(position);
            let reason = match seen.get(&position) {
                Some(Seen::Frame(_, reason)) if matches!(mark, Mark::Open(_) | Mark::Sealed(_)) => {
                    reason.clone()
                }
                _ => None,
            };
            match located.last_mut() {
                Some((before, of)) if *of == mark && before.reason == reason => before.last = position,
                _ => {
                    let standing = standing(&mark);
                    located.push((Located { first: position, last: position, reason, standing }, mark));
                }
            }
        }
        Ok(located.into_iter().map(|(located, _)| located).collect())
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
                            seen.extend(named.map(|position| (position, Seen::Lost(stream))));
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
