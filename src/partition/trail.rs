//! From which record on a reader could begin, so that it decides as this one does: with full windows, and with the
//! numbers of the producers before it. Every record could be one; some are remembered, so that the memory is
//! bounded however long the first of them stays.

use std::collections::{BTreeMap, VecDeque};

use super::block::CollectorId;
use super::numbers::Numbers;

/// Records that are remembered. Beyond that, every second one is forgotten.
const MARKS_MAX: usize = 4_096;
/// The least frames between two of them, as a part of the window: a new reader reads as many more at most, as long as
/// none is forgotten.
const PART_OF_WINDOW: u64 = 64;

/// Some of the records that were read.
#[derive(Clone, Debug)]
pub struct Trail {
    marks: VecDeque<Mark>,
    /// Frames since the reader began.
    frames: u64,
    /// The least frames between two marks.
    every: u64,
    /// The size of the window.
    size: u64,
    /// The last numbers of producers in the records before the first mark.
    numbers: Numbers,
}

/// A record.
#[derive(Clone, Debug)]
struct Mark {
    offset: u64,
    /// Frames before it since the reader began.
    before: u64,
    /// Of each producer, number and offset of its last block from this record on, and before the next mark. No
    /// second copies.
    last: BTreeMap<CollectorId, (u64, u64)>,
}

impl Trail {
    /// The trail of a reader that begins with full windows of `size` frames, and knows these numbers.
    pub fn new(size: u64, numbers: Numbers) -> Self {
        let every = size / PART_OF_WINDOW;
        Self { marks: VecDeque::new(), frames: 0, every, size, numbers }
    }

    /// Takes the next block, with so many frames. `new` is the producer and number of a block that is no second copy.
    pub fn takes(&mut self, offset: u64, frames: u64, new: Option<(CollectorId, u64)>) {
        self.takes_within(offset, frames, new, MARKS_MAX);
    }

    fn takes_within(&mut self, offset: u64, frames: u64, new: Option<(CollectorId, u64)>, most: usize) {
        let is_far = |mark: &Mark| self.frames.saturating_sub(mark.before) >= self.every;
        if self.marks.back().is_none_or(is_far) {
            if self.marks.len() >= most {
                self.forget_every_second();
            }
            self.marks.push_back(Mark { offset, before: self.frames, last: BTreeMap::new() });
        }
        self.frames += frames;
        if let (Some(mark), Some((collector, number))) = (self.marks.back_mut(), new) {
            mark.last.insert(collector, (number, offset));
        }
    }

    fn forget_every_second(&mut self) {
        let mut marks = VecDeque::with_capacity(self.marks.len());
        for (index, mark) in std::mem::take(&mut self.marks).into_iter().enumerate() {
            match marks.back_mut() {
                Some(Mark { last, .. }) if index % 2 == 1 => last.extend(mark.last),
                _ => marks.push_back(mark),
            }
        }
        self.marks = marks;
        self.every = self.every.max(1).saturating_mul(2);
    }

    /// The last known record from which on a reader has the whole window at `offset`. The window of the first
    /// record is complete. `None` before the first record.
    pub fn window_from(&self, offset: u64) -> Option<u64> {
        // There may be more frames before the offset, never fewer.
        let behind = self.marks.partition_point(|mark| mark.offset <= offset);
        let frames = self.marks.get(behind.saturating_sub(1)).map_or(0, |mark| mark.before);
        let starts = self
            .marks
            .partition_point(|mark| mark.offset <= offset && mark.before.saturating_add(self.size) <= frames);
        self.marks.get(starts.saturating_sub(1)).map(|mark| mark.offset)
    }

    /// The last numbers of the producers in the records before `offset`, which [`Trail::window_from`] has named.
    pub fn numbers_before(&self, offset: u64) -> Numbers {
        let mut numbers = self.numbers.clone();
        self.marks.iter().take_while(|mark| mark.offset < offset).for_each(|mark| mark.add_to(&mut numbers));
        numbers
    }

    /// Forgets the records before `offset`: `numbers` are those before it.
    pub fn forget_before(&mut self, offset: u64, numbers: Numbers) {
        self.numbers = numbers;
        while let Some(mark) = self.marks.pop_front_if(|mark| mark.offset < offset) {
            // The next mark may be behind the offset: then there are more. What is in the numbers stays as it is.
            mark.add_to(&mut self.numbers);
        }
        // Marks became rare while an early record had to be kept.
        if self.marks.len() < MARKS_MAX / 4 {
            self.every = (self.every / 2).max(self.size / PART_OF_WINDOW);
        }
    }
}

impl Mark {
    fn add_to(&self, numbers: &mut Numbers) {
        let mut last: Vec<_> =
            self.last.iter().map(|(id, (number, offset))| (*offset, *id, *number)).collect();
        last.sort_unstable();
        for (offset, collector, number) in last {
            numbers.takes(collector, number, offset);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::window::Window;
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_while_the_first_record_stays() {
        let mut trail = Trail::new(262_144, Numbers::default());
        for offset in 0..5_000_000_u64 {
            trail.takes(offset, 10, Some((CollectorId(u128::from(offset % 3)), offset)));
        }
        assert!(trail.marks.len() <= MARKS_MAX, "{}", trail.marks.len());
        let from = trail.window_from(4_999_999).unwrap();
        let frames = 10 * (4_999_999 - from);
        assert!((262_144..300_000).contains(&frames), "{frames} frames are read again");
        let mut numbers = Numbers::default();
        for offset in from - 3..from {
            assert!(!numbers.takes(CollectorId(u128::from(offset % 3)), offset, offset));
        }
        assert_eq!(trail.numbers_before(from), numbers);

        // Each base forgets records, and the marks become as frequent as they were.
        let dense = trail.size / PART_OF_WINDOW;
        assert!(trail.every > dense);
        for offset in (5_000_000..5_200_000_u64).step_by(20_000) {
            (offset..offset + 20_000).for_each(|offset| trail.takes(offset, 10, None));
            let from = trail.window_from(offset + 20_000).unwrap();
            let numbers = trail.numbers_before(from);
            trail.forget_before(from, numbers);
        }
        assert_eq!(trail.every, dense, "another owner reads no more than before");
    }

    proptest! {
        #[test]
        fn a_reader_that_begins_where_the_trail_says_decides_the_same(
            blocks in prop::collection::vec((prop::collection::vec(1_u128..9, 0..5), 0_u128..4), 1..30),
            (size, every, most) in (0_u64..12, 0_u64..6, 2_usize..9),
            cut in 0_usize..30,
            based in 0_usize..30,
        ) {
            let (cut, based) = (cut % blocks.len(), based % blocks.len());
            let mut trail = Trail { every, ..Trail::new(size, Numbers::default()) };
            let mut numbers = vec![Numbers::default()];
            for (offset, (block, collector)) in (100..).zip(&blocks) {
                let mut known = numbers.last().unwrap().clone();
                assert!(!known.takes(CollectorId(*collector), offset, offset));
                numbers.push(known);
                trail.takes_within(offset, block.len() as u64, Some((CollectorId(*collector), offset)), most);
                prop_assert!(trail.marks.len() <= most);
                if offset == 100 + based as u64 {
                    let from = trail.window_from(offset).unwrap();
                    let numbers = trail.numbers_before(from);
                    trail.forget_before(from, numbers);
                }
            }
            // Nobody begins before the base.
            let cut = cut.max(based);
            let from = trail.window_from(100 + cut as u64).unwrap();
            let index = usize::try_from(from - 100).unwrap();
            prop_assert!(index <= cut);
            prop_assert_eq!(trail.numbers_before(from), numbers[index].clone());
            let verdicts = |from: usize| {
                let mut window = Window::new(size);
                let all: Vec<Vec<bool>> = blocks[from..]
                    .iter()
                    .map(|(block, _)| block.iter().map(|call| window.takes(*call)).collect())
                    .collect();
                all[cut - from..].to_vec()
            };
            prop_assert_eq!(verdicts(0), verdicts(index));
        }
    }
}
