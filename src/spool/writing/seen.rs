//! The dedupe window: the fingerprints stored recently.
//!
//! It is a fixed ring in the order stored, and an open-addressing table that points into it. Its memory is
//! bounded by its capacity and is used as it fills; nothing is allocated per call. The table is far larger
//! than a processor's caches, so finding a repeat mostly waits for memory. Therefore each slot holds enough
//! of its fingerprint to skip others without reading the ring, and [`Seen::prefetch`] waits for the slots of
//! a whole group at once.

use std::collections::VecDeque;
use std::time::Duration;

use crate::spool::format::seen_file::seconds;
use crate::time::UnixMillis;

/// Table slots per ring entry, in halves of a slot: three halves are 1.5 slots.
const HALF_SLOTS: usize = 3;
/// Bits of a slot for the number of its ring entry; the tag is above them.
const ENTRY_BITS: u32 = 32;

/// The windows of a spool: one of calls that clients sent, and one of imported rows. An import may have more
/// rows than a window holds, and must not make the spool forget the calls that clients may send again. Both
/// are asked about every call.
#[derive(Debug)]
pub(crate) struct Windows {
    sent: Seen,
    imported: Seen,
}

impl Windows {
    /// Two empty windows of at most `capacity` fingerprints each.
    pub(crate) fn new(capacity: usize, window: Duration) -> Self {
        Self { sent: Seen::new(capacity, window), imported: Seen::new(capacity, window) }
    }

    /// Adds a fingerprint stored at `now` to the window of imported rows or to that of other calls. Returns
    /// whether it is new to both.
    pub(crate) fn insert(&mut self, fingerprint: u128, now: UnixMillis, is_imported: bool) -> bool {
        let (own, other) = match is_imported {
            true => (&mut self.imported, &mut self.sent),
            false => (&mut self.sent, &mut self.imported),
        };
        !other.knows(fingerprint, now) && own.insert(fingerprint, now)
    }

    /// Whether either window knows a fingerprint at `now`.
    pub(crate) fn knows(&mut self, fingerprint: u128, now: UnixMillis) -> bool {
        self.sent.knows(fingerprint, now) || self.imported.knows(fingerprint, now)
    }

    /// See [`Seen::prefetch`].
    pub(crate) fn prefetch(&self, fingerprints: impl Iterator<Item = u128>) {
        self.sent.prefetch(fingerprints);
    }
}

/// A window of stored fingerprints of all sources (a fingerprint includes its source).
#[derive(Debug)]
struct Seen {
    window: Duration,
    ring: Vec<u128>,
    /// When they were stored, oldest first: a second, and the number of consecutive entries of that second.
    stored: VecDeque<(u32, u32)>,
    /// 0 if the slot is free; otherwise a tag, which gives its home slot, and the number of a ring entry plus
    /// one.
    slots: Vec<u64>,
    oldest: usize,
    len: usize,
}

impl Seen {
    /// An empty window of at most `capacity` fingerprints, each kept for `window`. Capacity 0 disables it.
    fn new(capacity: usize, window: Duration) -> Self {
        let capacity = capacity.min(1 << 30);
        Self {
            window,
            ring: vec![0; capacity],
            stored: VecDeque::new(),
            // At least one free slot, so that every probe ends.
            slots: vec![0; if capacity == 0 { 0 } else { capacity * HALF_SLOTS / 2 + 1 }],
            oldest: 0,
            len: 0,
        }
    }

    /// The number of fingerprints kept.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len
    }

    /// Loads the slots that inserting these fingerprints will read into the processor's caches. It changes
    /// nothing and is only for speed: these reads wait for memory in parallel, those of [`Seen::insert`] one
    /// after the other.
    fn prefetch(&self, fingerprints: impl Iterator<Item = u128>) {
        if self.ring.is_empty() {
            return;
        }
        let full = self.len == self.ring.len();
        let (mut touched, mut leaving) = (0, self.oldest);
        for fingerprint in fingerprints {
            touched ^= self.slot(self.home(tag(fingerprint)));
            if full {
                touched ^= self.slot(self.home(tag(self.entry(leaving))));
                leaving = self.next_entry(leaving);
            }
        }
        std::hint::black_box(touched);
    }

    /// Adds a fingerprint stored at `now`. Returns whether it is new; `false` means a repeat within the
    /// window. 0 is always new.
    fn insert(&mut self, fingerprint: u128, now: UnixMillis) -> bool {
        if fingerprint == 0 || self.ring.is_empty() {
            return true;
        }
        self.expire(now);
        let Err(mut slot) = self.probe(fingerprint) else { return false };
        if self.len == self.ring.len() {
            self.evict();
            slot = self.home(tag(fingerprint));
        }
        let behind = self.oldest + self.len;
        let at = if behind < self.ring.len() { behind } else { behind - self.ring.len() };
        if let Some(entry) = self.ring.get_mut(at) {
            *entry = fingerprint;
        }
        self.len += 1;
        match self.stored.back_mut() {
            Some((second, count)) if *second == seconds(now) => *count += 1,
            _ => self.stored.push_back((seconds(now), 1)),
        }
        while self.slot(slot) != 0 {
            slot = self.after(slot);
        }
        self.set_slot(slot, (tag(fingerprint) << ENTRY_BITS) | (at as u64 + 1));
        true
    }

    /// Whether a fingerprint was stored within the window before `now`.
    fn knows(&mut self, fingerprint: u128, now: UnixMillis) -> bool {
        if self.len == 0 || fingerprint == 0 {
            return false;
        }
        self.expire(now);
        self.find(fingerprint).is_some()
    }

    fn expire(&mut self, now: UnixMillis) {
        let horizon = u64::from(seconds(now)).saturating_sub(self.window.as_secs());
        while self.stored.front().is_some_and(|(second, _)| u64::from(*second) < horizon) {
            self.evict();
        }
    }

    fn evict(&mut self) {
        self.unlink(self.entry(self.oldest));
        self.oldest = self.next_entry(self.oldest);
        self.len -= 1;
        one_less(self.stored.front_mut()).then(|| self.stored.pop_front());
    }

    fn find(&self, fingerprint: u128) -> Option<usize> {
        self.probe(fingerprint).ok()
    }

    /// The slot of a fingerprint, or else the free slot that it would get.
    fn probe(&self, fingerprint: u128) -> Result<usize, usize> {
        let mut slot = self.home(tag(fingerprint));
        loop {
            let Some((known, at)) = taken(self.slot(slot)) else { return Err(slot) };
            if known == tag(fingerprint) && self.entry(at) == fingerprint {
                return Ok(slot);
            }
            slot = self.after(slot);
        }
    }

    /// Removes a fingerprint from the table, and closes the gap so that no probe ends early.
    fn unlink(&mut self, fingerprint: u128) {
        let Some(mut gap) = self.find(fingerprint) else { return };
        let mut slot = self.after(gap);
        while let Some((tag, _)) = taken(self.slot(slot)) {
            if self.steps(self.home(tag), slot) >= self.steps(gap, slot) {
                self.set_slot(gap, self.slot(slot));
                gap = slot;
            }
            slot = self.after(slot);
        }
        self.set_slot(gap, 0);
    }

    /// A slot of the table. Beyond the table there are only free ones, so that every probe ends.
    fn slot(&self, at: usize) -> u64 {
        self.slots.get(at).copied().unwrap_or(0)
    }

    fn set_slot(&mut self, at: usize, to: u64) {
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = to;
        }
    }

    /// An entry of the ring; 0, which is no fingerprint, beyond it.
    fn entry(&self, at: usize) -> u128 {
        self.ring.get(at).copied().unwrap_or(0)
    }

    fn home(&self, tag: u64) -> usize {
        ((tag * self.slots.len() as u64) >> ENTRY_BITS) as usize
    }

    fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    fn next_entry(&self, at: usize) -> usize {
        if at + 1 == self.ring.len() { 0 } else { at + 1 }
    }

    /// The number of probe steps from one slot to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

/// Removes one entry from a second. Returns whether none is left.
fn one_less(second: Option<&mut (u32, u32)>) -> bool {
    second.is_some_and(|(_, count)| {
        *count -= 1;
        *count == 0
    })
}

/// The tag and the ring entry of a slot; `None` if it is free.
#[expect(clippy::cast_possible_truncation, reason = "the lower half")]
fn taken(slot: u64) -> Option<(u64, usize)> {
    Some((slot >> ENTRY_BITS, (slot as u32 as usize).checked_sub(1)?))
}

/// The tag of a fingerprint: 32 bits of it.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits")]
fn tag(fingerprint: u128) -> u64 {
    fingerprint as u64 & u64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_window_answers_like_a_plain_queue(calls in prop::collection::vec((1_u128..40, 0_i64..4), 0..400)) {
            let window = Duration::from_secs(20);
            let mut seen = Seen::new(8, window);
            let mut model: VecDeque<(u128, i64)> = VecDeque::new();
            let mut now = 1_000_000;
            for (key, step) in calls {
                // Only three home slots, at both ends of the table, so that probes overlap and wrap around.
                let fingerprint = (key << 64) | [0, 1, 0xFFFF_FFFF][(key % 3) as usize];
                now += step;
                model.retain(|(_, at)| now - at <= 20);
                let new = !model.iter().any(|(known, _)| *known == fingerprint);
                seen.prefetch([fingerprint, 0].into_iter());
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
    fn imported_rows_push_no_call_out_and_each_window_knows_the_other() {
        let mut windows = Windows::new(4, Duration::from_secs(60));
        assert!(windows.insert(1, UnixMillis(0), false));
        for row in 10..30 {
            assert!(windows.insert(row, UnixMillis(0), true));
        }
        assert!(!windows.insert(1, UnixMillis(0), false) && !windows.insert(1, UnixMillis(0), true));
        assert!(!windows.insert(29, UnixMillis(0), true) && !windows.insert(29, UnixMillis(0), false));
        assert!(windows.insert(10, UnixMillis(0), true), "only four rows are remembered");
        assert!(windows.insert(1, UnixMillis(61_000), false));
    }

    #[test]
    fn zero_is_always_new_and_capacity_zero_finds_no_repeats() {
        let mut seen = Seen::new(4, Duration::from_secs(60));
        assert!(seen.insert(5, UnixMillis(0)));
        assert!(!seen.insert(5, UnixMillis(0)));
        assert!(seen.insert(0, UnixMillis(0)) && seen.insert(0, UnixMillis(0)));
        assert!(Seen::new(0, Duration::ZERO).insert(5, UnixMillis(0)));
    }
}
