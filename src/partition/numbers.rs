//! The number of the last block of each producer, by which second copies are found.
//!
//! The idempotent producer can write an acknowledged record twice. A collector has one block in flight in a
//! partition, so all copies of a block stand before its successor: a block whose number is not higher than
//! the last one is a copy, at any distance.

use std::collections::BTreeMap;

use super::block::CollectorId;

/// Producers that are remembered. Beyond that the one that was silent for longest is forgotten.
pub const PRODUCERS_MAX: usize = 16_384;

/// The last number of each producer.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Numbers {
    /// Last number, and the offset of its first copy.
    last: BTreeMap<CollectorId, (u64, u64)>,
    /// Producers that were forgotten.
    forgotten: u64,
}

impl Numbers {
    /// Takes the next block of the log. Returns whether it is a second copy.
    pub fn takes(&mut self, collector: CollectorId, number: u64, offset: u64) -> bool {
        self.takes_within(collector, number, offset, PRODUCERS_MAX)
    }

    /// Producers that were forgotten because there were too many.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    fn takes_within(&mut self, collector: CollectorId, number: u64, offset: u64, most: usize) -> bool {
        if self.last.get(&collector).is_some_and(|(last, _)| number <= *last) {
            return true;
        }
        self.last.insert(collector, (number, offset));
        if self.last.len() > most
            && let Some(silent) = self.last.iter().min_by_key(|(_, (_, offset))| *offset).map(|(id, _)| *id)
        {
            self.last.remove(&silent);
            self.forgotten += 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_higher_is_a_copy_of_its_producer_alone() {
        let mut numbers = Numbers::default();
        let (a, b) = (CollectorId(1), CollectorId(2));
        let taken = [(a, 1), (b, 1), (a, 2), (a, 2), (b, 1), (a, 1), (b, 5), (b, 4)];
        let copies: Vec<bool> =
            taken.iter().zip(0..).map(|((id, number), offset)| numbers.takes(*id, *number, offset)).collect();
        assert_eq!(copies, [false, false, false, true, true, true, false, true]);
        let text = serde_json::to_string(&numbers).unwrap();
        assert_eq!(serde_json::from_str::<Numbers>(&text).unwrap(), numbers);
    }

    #[test]
    fn the_producer_that_was_silent_for_longest_is_forgotten() {
        let mut numbers = Numbers::default();
        for (id, offset) in [(1, 0), (2, 1), (1, 2), (3, 3)] {
            assert!(!numbers.takes_within(CollectorId(id), offset + 1, offset, 2));
        }
        assert_eq!(numbers.forgotten(), 1);
        assert!(numbers.takes(CollectorId(1), 3, 4) && !numbers.takes(CollectorId(2), 2, 5));
    }
}
