//! The window of repeats: a call is a repeat if one of the frames before it has its fingerprint, whether or
//! not that one was itself left out. So the verdict is a function of the log.

use std::collections::{HashMap, VecDeque};

use crate::planted_bugs::{PlantedBug, planted};

/// Frames of the window of a new partition: 7 MB. The first snapshot fixes it.
pub const WINDOW_FRAMES: u64 = 262_144;

/// The fingerprints of the last frames.
#[derive(Clone, Debug)]
pub struct Window {
    size: u64,
    /// In the order of the log. 0 is a frame without a fingerprint.
    frames: VecDeque<u128>,
    /// The number of the last frame with each fingerprint.
    last: HashMap<u128, u64>,
    /// Frames seen so far.
    seen: u64,
}

impl Window {
    /// An empty window of so many frames.
    pub fn new(size: u64) -> Self {
        Self { size, frames: VecDeque::new(), last: HashMap::new(), seen: 0 }
    }

    /// Takes the next frame of the log. Returns whether it is a repeat. 0 never is.
    pub fn takes(&mut self, fingerprint: u128) -> bool {
        let known = self.last.contains_key(&fingerprint);
        if known && planted(PlantedBug::WindowOfVerdicts) {
            return true;
        }
        self.seen += 1;
        self.frames.push_back(fingerprint);
        if fingerprint != 0 {
            self.last.insert(fingerprint, self.seen);
        }
        if self.frames.len() as u64 > self.size
            && let Some(leaving) = self.frames.pop_front()
            && self.last.get(&leaving) == Some(&(self.seen - self.size))
        {
            self.last.remove(&leaving);
        }
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
