//! Positions that can no longer be read, and how many frames stood there.

use super::range::Range;

/// A range of positions that can no longer be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Lost {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// The frames of all batches that stood there.
    #[serde(default, skip_serializing_if = "LostFrames::is_each_position")]
    pub frames: LostFrames,
}

/// How many frames stood at positions that can no longer be read. A log whose positions come from the offsets
/// of something else has more positions than frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LostFrames {
    /// One at each position, as in a log that counts its frames. At a few of them stood a frame that is no
    /// line.
    #[default]
    EachPosition,
    /// So many.
    Exactly(u64),
    /// Nobody knows: at most one at each position.
    Unknown,
}

impl LostFrames {
    fn is_each_position(&self) -> bool {
        *self == Self::EachPosition
    }
}

impl From<Range> for Lost {
    /// A frame was lost at each position.
    fn from(Range { first, last }: Range) -> Self {
        Self { first, last, frames: LostFrames::EachPosition }
    }
}

impl Lost {
    /// Its positions.
    pub fn range(&self) -> Range {
        Range { first: self.first, last: self.last }
    }

    /// The most frames that can have stood at so many of its positions.
    fn most_at(&self, positions: u64) -> u64 {
        match self.frames {
            LostFrames::EachPosition | LostFrames::Unknown => positions,
            LostFrames::Exactly(frames) => frames.min(positions),
        }
    }

    /// What this range adds to the `known` ones. Positions that are known add nothing.
    pub(crate) fn beside(&self, known: impl Iterator<Item = Range>) -> Added {
        let known = known.filter_map(|known| known.within(self.first, self.last));
        let new = self.range().outside(&Range::merge(known));
        let frames = self.most_at(new.iter().map(|new| new.positions()).fold(0, u64::saturating_add));
        match self.frames {
            LostFrames::Unknown => Added { counted: 0, uncounted: frames },
            LostFrames::EachPosition | LostFrames::Exactly(_) => Added { counted: frames, uncounted: 0 },
        }
    }

    /// The most frames that can have stood at the positions of `lost` that are also in `range`.
    pub(crate) fn most_within(lost: impl Iterator<Item = Self>, range: Range) -> u64 {
        let mut known: Vec<Range> = Vec::new();
        let mut most = 0_u64;
        for lost in lost {
            let Some(Range { first, last }) = lost.range().within(range.first, range.last) else { continue };
            let added = Self { first, last, ..lost }.beside(known.iter().copied());
            most = most.saturating_add(added.counted).saturating_add(added.uncounted);
            known.push(Range { first, last });
        }
        most
    }
}

/// What a lost range adds to those known before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Added {
    /// Frames that are lost.
    pub counted: u64,
    /// Positions that may have held a frame or not.
    pub uncounted: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lost(first: u64, last: u64, frames: LostFrames) -> Lost {
        Lost { first, last, frames }
    }

    #[test]
    fn positions_that_are_known_add_nothing() {
        let check = |lost: Lost, known: &[(u64, u64)], counted: u64, uncounted: u64| {
            let known = known.iter().map(|(first, last)| Range { first: *first, last: *last });
            assert_eq!(lost.beside(known), Added { counted, uncounted }, "{lost:?}");
        };
        let at = |frames| lost(4_097, 8_191, frames);
        check(at(LostFrames::EachPosition), &[], 4_095, 0);
        check(at(LostFrames::Exactly(12)), &[], 12, 0);
        check(at(LostFrames::Unknown), &[], 0, 4_095);
        // The lost frames may have stood at any of the positions that are left.
        check(at(LostFrames::Exactly(12)), &[(1, 5_000)], 12, 0);
        check(at(LostFrames::Exactly(12)), &[(1, 8_000), (8_010, 9_000)], 9, 0);
        check(at(LostFrames::Exactly(12)), &[(4_097, 8_191)], 0, 0);
        check(at(LostFrames::Unknown), &[(1, 8_189)], 0, 2);
    }

    #[test]
    fn a_part_of_a_range_can_have_held_no_more_than_the_range() {
        let check = |known: &[Lost], most: u64| {
            let within = Range { first: 10, last: 29 };
            assert_eq!(Lost::most_within(known.iter().copied(), within), most, "{known:?}");
        };
        check(&[], 0);
        check(&[lost(1, 9, LostFrames::EachPosition), lost(30, 40, LostFrames::Unknown)], 0);
        check(&[lost(1, 14, LostFrames::EachPosition)], 5);
        check(&[lost(1, 14, LostFrames::Exactly(2)), lost(12, 16, LostFrames::Unknown)], 4);
        check(&[lost(1, 100, LostFrames::Exactly(3))], 3);
        check(&[lost(1, 100, LostFrames::Exactly(3)), lost(12, 20, LostFrames::EachPosition)], 3);
    }

    #[test]
    fn a_range_without_a_count_is_written_as_ever() {
        let check = |lost: Lost, json: &str| {
            assert_eq!(serde_json::to_string(&lost).unwrap(), json);
            assert_eq!(serde_json::from_str::<Lost>(json).unwrap(), lost);
        };
        check(Range { first: 1, last: 2 }.into(), r#"{"first":1,"last":2}"#);
        check(lost(1, 9, LostFrames::Exactly(3)), r#"{"first":1,"last":9,"frames":{"exactly":3}}"#);
        check(lost(1, 9, LostFrames::Unknown), r#"{"first":1,"last":9,"frames":"unknown"}"#);
    }
}
