//! Dead letters in the bucket: each that was stored must be there, in one object, as it was stored.

use std::collections::{BTreeMap, BTreeSet};

use forebay::log::Hour;
use forebay::object::Stream;
use forebay::time::UnixMillis;

use super::second_reader::Letter;
use super::world::{Violation, World};

/// All dead letters that were stored, and those that are in the bucket.
pub(super) struct Letters {
    stored: BTreeMap<u64, Letter>,
    delivered: BTreeSet<u64>,
}

impl Letters {
    pub(super) fn of(world: &World) -> Self {
        let stored = world.second.as_ref().map(|second| second.reader.letters()).unwrap_or_default();
        Self { stored, delivered: BTreeSet::new() }
    }

    /// Finds the lines of an object among the letters of these positions. Returns when they were received.
    pub(super) fn find(
        &mut self,
        world: &World,
        (key, text): (&str, &str),
        (source, stream): (&str, &Stream),
        (first, last): (u64, u64),
    ) -> Result<BTreeSet<UnixMillis>, Violation> {
        let is_own = |letter: &Letter| letter.source.as_str() == source && letter.stream == *stream;
        let mut there = self.stored.range(first..=last).filter(|(_, letter)| is_own(letter));
        let mut times = BTreeSet::new();
        for line in text.lines() {
            let found = there.find(|(_, letter)| letter.line == line.as_bytes());
            let Some((position, letter)) = found else {
                return Err(format!("I5: {key} holds a dead letter that was never stored: {line}"));
            };
            if !self.delivered.insert(*position) && !world.damage.manifest_rotted {
                return Err(format!("I2: the dead letter at {position} is in {key} and in another object"));
            }
            times.insert(letter.received_at);
        }
        Ok(times)
    }

    /// How many of a source, a stream and an hour are in the bucket.
    pub(super) fn counts(&self) -> BTreeMap<(&str, Stream, Hour), u64> {
        let mut counts = BTreeMap::new();
        for letter in self.delivered.iter().filter_map(|position| self.stored.get(position)) {
            let key = (letter.source.as_str(), letter.stream.clone(), Hour::of(letter.received_at));
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    /// Every dead letter is in the bucket, or it was damaged and named as lost.
    pub(super) fn missing(&self, world: &World) -> Result<(), Violation> {
        for position in self.stored.keys().filter(|position| !self.delivered.contains(position)) {
            if !world.is_replaced_unknown() && !world.damage.excuses_position(*position) {
                return Err(format!("D1: the dead letter at {position} is in no object"));
            }
            world.trace.count("a lost dead letter named");
        }
        for _ in &self.delivered {
            world.trace.count("a dead letter in the bucket");
        }
        Ok(())
    }
}
