//! The window of repeats: a call is a repeat if one of the frames before it has its fingerprint, whether or
//! not that one was itself left out. So the verdict is a function of the log.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use crate::planted_bugs::{PlantedBug, planted};

/// Frames of the window of a new partition: 7 MB. The first snapshot fixes it.
pub const WINDOW_FRAMES: u64 = 262_144;

/// The fingerprints of the last frames. A frame takes 26 bytes.
#[derive(Clone, Debug)]
pub struct Window {
    size: u32,
    /// The fingerprint at each place; 0 is a frame without one. The next frame comes to `next`.
    frames: Vec<u128>,
    next: u32,
    /// The place of the last frame with each fingerprint.
    places: HashTable<u32>,
    /// Clients know what fingerprints are made of, and must not choose what meets in the table.
    hasher: RandomState,
}

impl Window {
    /// An empty window of `size` frames. It holds at most 2^32 - 1.
    pub fn new(size: u64) -> Self {
        Self {
            size: u32::try_from(size).unwrap_or(u32::MAX),
            frames: Vec::new(),
            next: 0,
            places: HashTable::new(),
            hasher: RandomState::new(),
        }
    }

    /// Takes the next frame of the log. Returns whether it is a repeat. 0 never is.
    pub fn takes(&mut self, fingerprint: u128) -> bool {
        let Self { frames, places, hasher, .. } = self;
        let at = |place: &u32| frames.get(*place as usize).copied().unwrap_or_default();
        let hash = hasher.hash_one(fingerprint);
        let known = fingerprint != 0 && places.find(hash, |place| at(place) == fingerprint).is_some();
        if known && planted(PlantedBug::WindowOfVerdicts) {
            return true;
        }
        if self.size == 0 {
            return false;
        }
        let place = self.next;
        let leaving = at(&place);
        if leaving != 0
            && let Ok(last) = places.find_entry(hasher.hash_one(leaving), |known| *known == place)
        {
            last.remove();
        }
        if fingerprint != 0 {
            if let Ok(before) = places.find_entry(hash, |known| at(known) == fingerprint) {
                before.remove();
            }
            // It is at its place from now on.
            let of = |known: &u32| hasher.hash_one(if *known == place { fingerprint } else { at(known) });
            places.insert_unique(hash, place, of);
        }
        match self.frames.get_mut(place as usize) {
            Some(known) => *known = fingerprint,
            None => self.frames.push(fingerprint),
        }
        self.next = if place + 1 == self.size { 0 } else { place + 1 };
        known
    }
}

/// From which record on a window is complete at each record that is read.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Offset of each block, and the frames before it since the reader began.
    blocks: VecDeque<(u64, u64)>,
    frames: u64,
}

impl Trail {
    /// Takes the next block.
    pub fn takes(&mut self, offset: u64, frames: u64) {
        self.blocks.push_back((offset, self.frames));
        self.frames += frames;
    }

    /// The last record from which on a reader has the whole window of `size` frames at `offset`. The window
    /// of the first record is complete. `None` before the first record.
    pub fn window_from(&self, offset: u64, size: u64) -> Option<u64> {
        let reached = self.blocks.partition_point(|(block, _)| *block < offset);
        let frames = self.blocks.get(reached).map_or(self.frames, |(_, before)| *before);
        let starts = self
            .blocks
            .partition_point(|(block, before)| *block <= offset && before.saturating_add(size) <= frames);
        self.blocks.get(starts.saturating_sub(1)).map(|(block, _)| *block)
    }

    /// Forgets the records before `offset`.
    pub fn forget_before(&mut self, offset: u64) {
        while self.blocks.front().is_some_and(|(block, _)| *block < offset) {
            self.blocks.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_window_takes_as_much_memory_as_the_page_says() {
        let mut window = Window::new(WINDOW_FRAMES);
        for frame in 1..=3 * u128::from(WINDOW_FRAMES) {
            assert!(!window.takes(frame * 0x9e37_79b9_7f4a_7c15), "frame {frame}");
        }
        let bytes = window.frames.capacity() * 16 + window.places.allocation_size();
        assert!(bytes <= 7_000_000, "{bytes} bytes");
    }

    proptest! {
        #[test]
        fn a_window_answers_like_a_list(calls in prop::collection::vec(0_u128..12, 0..200), size in 0_u64..9) {
            let mut window = Window::new(size);
            for (at, call) in calls.iter().enumerate() {
                let from = at.saturating_sub(usize::try_from(size).unwrap());
                let repeat = *call != 0 && calls[from..at].contains(call);
                prop_assert_eq!(window.takes(*call), repeat);
            }
        }

        #[test]
        fn a_window_that_begins_where_the_trail_says_gives_the_same_verdicts(
            blocks in prop::collection::vec(prop::collection::vec(1_u128..9, 0..5), 1..30),
            size in 0_u64..12,
            cut in 0_usize..30,
        ) {
            let cut = cut % blocks.len();
            let mut trail = Trail::default();
            for (offset, block) in (100..).zip(&blocks) {
                trail.takes(offset, block.len() as u64);
            }
            let from = usize::try_from(trail.window_from(100 + cut as u64, size).unwrap() - 100).unwrap();
            prop_assert!(from <= cut);
            let verdicts = |from: usize| {
                let mut window = Window::new(size);
                let all: Vec<Vec<bool>> = blocks[from..]
                    .iter()
                    .map(|block| block.iter().map(|call| window.takes(*call)).collect())
                    .collect();
                all[cut - from..].to_vec()
            };
            prop_assert_eq!(verdicts(0), verdicts(from));
        }
    }
}
