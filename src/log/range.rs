//! Ranges of positions.

/// A range of positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
}

impl Range {
    /// The positions from `next` to the one before `end`, if there are any.
    pub fn between(next: u64, end: u64) -> Option<Self> {
        (next < end).then(|| Self { first: next, last: end - 1 })
    }

    /// How many they are.
    pub fn positions(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }

    /// The part of it between these ends, both included.
    pub fn within(self, first: u64, last: u64) -> Option<Self> {
        Self::between(self.first.max(first), self.last.min(last).saturating_add(1))
    }

    /// The parts of it outside `known`, whose ranges are sorted and disjoint.
    pub fn outside(self, known: &[Self]) -> Vec<Self> {
        let mut left = Vec::new();
        let mut next = self.first;
        for known in known.iter().filter(|known| known.last >= self.first && known.first <= self.last) {
            left.extend(Self::between(next, known.first));
            next = known.last.saturating_add(1);
        }
        left.extend(Self::between(next, self.last.saturating_add(1)));
        left
    }

    /// Sorts ranges and joins those that touch or overlap.
    pub fn merge(ranges: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut sorted: Vec<Self> = ranges.collect();
        sorted.sort();
        let mut merged: Vec<Self> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last)
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ranges_are_subtracted_from_a_range() {
        let check = |known: &[(u64, u64)], left: &[(u64, u64)]| {
            let range = |(first, last): &(u64, u64)| Range { first: *first, last: *last };
            let found = Range { first: 10, last: 20 }.outside(&Range::merge(known.iter().map(range)));
            assert_eq!(found, left.iter().map(range).collect::<Vec<_>>(), "{known:?}");
        };
        check(&[], &[(10, 20)]);
        check(&[(1, 9), (21, 30)], &[(10, 20)]);
        check(&[(1, 30)], &[]);
        check(&[(12, 13), (15, 15)], &[(10, 11), (14, 14), (16, 20)]);
        check(&[(10, 14), (12, 18)], &[(19, 20)]);
        check(&[(10, 20), (10, 12)], &[]);
        check(&[(10, 14), (15, 20)], &[]);
    }
}
