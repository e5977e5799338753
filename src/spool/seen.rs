//! The dedupe window: which fingerprints were stored lately.
//!
//! A fixed ring in the order stored, and an open-addressing table that points into it. Its memory is bounded by its
//! capacity and is taken as it fills; nothing is allocated per call. The table is far larger than a processor's caches, so
//! what finding a repeat costs is waiting for memory: a slot holds enough of its fingerprint that others are passed by
//! without a look at the ring, and [`Seen::look_ahead`] waits for the slots of a whole group at once.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::UnixMillis;

/// Fingerprints kept at most: with the table, 56 MiB.
pub const SEEN_MAX: usize = 2 * 1_024 * 1_024;
/// Slots for each entry of the ring, in halves.
const HALF_SLOTS: usize = 3;
/// Room for the number of a ring entry in a slot; the tag stands above it.
const ENTRY_BITS: u32 = 32;

/// The window of stored fingerprints, of all sources together (a fingerprint includes its source).
#[derive(Debug)]
pub struct Seen {
    window: Duration,
    low: Vec<u64>,
    high: Vec<u64>,
    /// When they were stored, oldest first: a second, and how many one behind the other.
    stored: VecDeque<(u32, u32)>,
    /// 0 where it is free; else a tag, by which its home is found, and one more than the number of a ring entry.
    slots: Vec<u64>,
    oldest: usize,
    len: usize,
}

impl Seen {
    /// An empty window of at most `capacity` fingerprints, each kept for `window`. Capacity 0 switches it off.
    pub fn new(capacity: usize, window: Duration) -> Self {
        let capacity = capacity.min(1 << 30);
        Self {
            window,
            low: vec![0; capacity],
            high: vec![0; capacity],
            stored: VecDeque::new(),
            // One more at least, so that every probe ends.
            slots: vec![0; if capacity == 0 { 0 } else { capacity * HALF_SLOTS / 2 + 1 }],
            oldest: 0,
            len: 0,
        }
    }

    /// Fingerprints kept.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Brings what inserting these will look at nearer to the processor. It changes nothing, and finding repeats is right
    /// without it: the reads here wait for memory side by side, those of [`Seen::insert`] one behind the other.
    pub fn look_ahead(&self, fingerprints: impl Iterator<Item = u128>) {
        if self.low.is_empty() {
            return;
        }
        let full = self.len == self.low.len();
        let (mut touched, mut leaving) = (0, self.oldest);
        for fingerprint in fingerprints {
            touched ^= self.slots[self.home(tag(halves(fingerprint).0))];
            if full {
                touched ^= self.slots[self.home(tag(self.low[leaving]))];
                leaving = self.next_entry(leaving);
            }
        }
        std::hint::black_box(touched);
    }

    /// Notes a fingerprint stored at `now`. Returns whether it is new; `false` means a repeat within the window.
    /// 0 is always new.
    pub fn insert(&mut self, fingerprint: u128, now: UnixMillis) -> bool {
        if fingerprint == 0 || self.low.is_empty() {
            return true;
        }
        let (low, high) = halves(fingerprint);
        self.expire(now);
        if self.find(low, high).is_some() {
            return false;
        }
        if self.len == self.low.len() {
            self.evict();
        }
        let at = (self.oldest + self.len) % self.low.len();
        self.low[at] = low;
        self.high[at] = high;
        self.len += 1;
        match self.stored.back_mut() {
            Some((second, count)) if *second == seconds(now) => *count += 1,
            _ => self.stored.push_back((seconds(now), 1)),
        }
        let mut slot = self.home(tag(low));
        while self.slots[slot] != 0 {
            slot = self.after(slot);
        }
        self.slots[slot] = (tag(low) << ENTRY_BITS) | (at as u64 + 1);
        true
    }

    /// Forgets the fingerprint noted last, because its call was not stored after all.
    pub fn forget_last(&mut self, fingerprint: u128) {
        if self.len == 0 {
            return;
        }
        let last = (self.oldest + self.len - 1) % self.low.len();
        if (self.low[last], self.high[last]) == halves(fingerprint) {
            self.unlink(last);
            self.len -= 1;
            one_less(self.stored.back_mut()).then(|| self.stored.pop_back());
        }
    }

    fn expire(&mut self, now: UnixMillis) {
        let horizon = u64::from(seconds(now)).saturating_sub(self.window.as_secs());
        while self.stored.front().is_some_and(|(second, _)| u64::from(*second) < horizon) {
            self.evict();
        }
    }

    fn evict(&mut self) {
        self.unlink(self.oldest);
        self.oldest = self.next_entry(self.oldest);
        self.len -= 1;
        one_less(self.stored.front_mut()).then(|| self.stored.pop_front());
    }

    fn find(&self, low: u64, high: u64) -> Option<usize> {
        let mut slot = self.home(tag(low));
        loop {
            let (known, at) = taken(self.slots[slot])?;
            if known == tag(low) && self.low[at] == low && self.high[at] == high {
                return Some(slot);
            }
            slot = self.after(slot);
        }
    }

    /// Takes a ring entry out of the table, closing the gap so that no probe ends early.
    fn unlink(&mut self, at: usize) {
        let Some(mut gap) = self.find(self.low[at], self.high[at]) else { return };
        let mut slot = self.after(gap);
        while let Some((tag, _)) = taken(self.slots[slot]) {
            if self.steps(self.home(tag), slot) >= self.steps(gap, slot) {
                self.slots[gap] = self.slots[slot];
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.slots[gap] = 0;
    }

    fn home(&self, tag: u64) -> usize {
        ((tag * self.slots.len() as u64) >> ENTRY_BITS) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn next_entry(&self, at: usize) -> usize {
        if at + 1 == self.low.len() { 0 } else { at + 1 }
    }

    /// Steps of a probe from one slot to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

/// Takes one entry off a second. Returns whether none is left.
fn one_less(second: Option<&mut (u32, u32)>) -> bool {
    second.is_some_and(|(_, count)| {
        *count -= 1;
        *count == 0
    })
}

/// The tag and the ring entry of a slot that is not free.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn taken(slot: u64) -> Option<(u64, usize)> {
    Some((slot >> ENTRY_BITS, (slot as u32 as usize).checked_sub(1)?))
}

/// What a slot holds of a fingerprint: 32 bits of it.
fn tag(low: u64) -> u64 {
    low & u64::from(u32::MAX)
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
fn halves(fingerprint: u128) -> (u64, u64) {
    (fingerprint as u64, (fingerprint >> 64) as u64)
}

/// Whole seconds since 1970, up to the year 2106.
pub fn seconds(at: UnixMillis) -> u32 {
    u32::try_from(at.0.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_answers_as_a_plain_queue_would(calls in prop::collection::vec((1_u128..40, 0_i64..4), 0..400)) {
            let window = Duration::from_secs(20);
            let mut seen = Seen::new(8, window);
            let mut model: VecDeque<(u128, i64)> = VecDeque::new();
            let mut now = 1_000_000;
            for (key, step) in calls {
                // Few homes, at the table's two ends, so that probes run into each other and around the end.
                let fingerprint = (key << 64) | [0, 1, 0xFFFF_FFFF][(key % 3) as usize];
                now += step;
                model.retain(|(_, at)| now - at <= 20);
                let new = !model.iter().any(|(known, _)| *known == fingerprint);
                seen.look_ahead([fingerprint, 0].into_iter());
                if new {
                    if model.len() == 8 { model.pop_front(); }
                    model.push_back((fingerprint, now));
                }
                prop_assert_eq!(seen.insert(fingerprint, UnixMillis(now * 1_000)), new);
                prop_assert_eq!(seen.len(), model.len());
            }
        }
    }

    #[test]
    fn what_was_not_stored_is_forgotten_and_zero_is_always_new() {
        let mut seen = Seen::new(4, Duration::from_secs(60));
        assert!(seen.insert(5, UnixMillis(0)));
        assert!(!seen.insert(5, UnixMillis(0)));
        seen.forget_last(5);
        assert!(seen.insert(5, UnixMillis(0)));
        assert!(seen.insert(0, UnixMillis(0)) && seen.insert(0, UnixMillis(0)));
        assert!(Seen::new(0, Duration::ZERO).insert(5, UnixMillis(0)));
    }
}
