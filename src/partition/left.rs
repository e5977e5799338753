//! Objects that a bucket refuses stay in the log: the note *left* is committed, the cache forgets their
//! frames, and they are built again from the log once the bucket takes them.

use std::collections::BTreeMap;

use super::lines::Lines;
use super::position::offset_of;
use super::reader::ReadFrame;
use super::state::State;
use crate::log::Seal;

/// Lines of an object below this many bytes are gathered in memory. A larger one has an encoder for itself.
pub const GATHERED_OBJECT_BYTES: u64 = 1_000_000;
/// Bytes of all objects that are gathered in one pass.
pub const GATHERED_BYTES: u64 = 64 * 1_024 * 1_024;
/// Encoders of one pass.
pub const ENCODERS: usize = 16;

/// One pass over the log that builds left objects.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The record to begin with: the window of each object is complete from there.
    pub from: u64,
    /// The last record that is needed.
    pub through: u64,
    objects: BTreeMap<u64, (Seal, Lines, Vec<ReadFrame>)>,
}

/// An object that a pass has built.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its seal.
    pub seal: Seal,
    /// Its lines, if they are those of the seal. If not, it must not be put.
    pub frames: Option<Vec<ReadFrame>>,
}

impl Pass {
    /// A pass that builds left objects for which `takes` says that their destination takes again, oldest
    /// first. What does not fit waits for the next one. `None` if there is nothing to build.
    pub fn plan(state: &State, takes: impl Fn(&Seal) -> bool) -> Option<Self> {
        let (mut gathered, mut encoders) = (0, 0);
        let mut pass = Self { from: u64::MAX, through: 0, objects: BTreeMap::new() };
        for (number, from) in &state.left {
            let Some(pending) = state.calls.seals.get(number) else { continue };
            let waits = pending.amended.is_none() && !pending.conflict;
            if !waits || !takes(&pending.seal) {
                continue;
            }
            let bytes = pending.bytes();
            let fits = match bytes < GATHERED_OBJECT_BYTES {
                true => gathered + bytes <= GATHERED_BYTES,
                false => encoders < ENCODERS,
            };
            if !fits {
                continue;
            }
            if bytes < GATHERED_OBJECT_BYTES {
                gathered += bytes
            } else {
                encoders += 1
            }
            pass.from = pass.from.min(*from);
            pass.through = pass.through.max(offset_of(pending.seal.last));
            pass.objects.insert(*number, (pending.seal.clone(), Lines::default(), Vec::new()));
        }
        (!pass.objects.is_empty()).then_some(pass)
    }

    /// The seals that it builds.
    pub fn seals(&self) -> impl Iterator<Item = &Seal> {
        self.objects.values().map(|(seal, ..)| seal)
    }

    /// Takes the frames of the next block.
    pub fn takes(&mut self, frames: &[ReadFrame]) {
        for frame in frames.iter().filter(|frame| !frame.repeat) {
            for (seal, lines, kept) in self.objects.values_mut() {
                if seal.batch == frame.batch && (seal.first..=seal.last).contains(&frame.position) {
                    lines.push(frame);
                    kept.push(frame.clone());
                }
            }
        }
    }

    /// What it has built, once the records through the last one that is needed are read.
    pub fn end(self) -> impl Iterator<Item = Built> {
        self.objects
            .into_values()
            .map(|(seal, lines, frames)| Built { frames: lines.are_those_of(&seal).then_some(frames), seal })
    }
}
