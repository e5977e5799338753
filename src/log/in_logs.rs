//! Which logs have the frames of a request, and at which positions.

use std::fmt;

/// A log's id. Receipts and object names contain it as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId(pub [u8; 16]);

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

/// Frames of a request that have consecutive positions in one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InLog {
    /// The log.
    pub log: LogId,
    /// The position of the first frame.
    pub first: u64,
    /// The number of frames; at least 1.
    pub frames: u32,
}

impl InLog {
    /// The position of the last frame.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(u64::from(self.frames.saturating_sub(1)))
    }
}

/// All frames that a request stored, by log. Nearly every request is in one log, which needs no allocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InLogs(Kept);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Kept {
    #[default]
    None,
    One(InLog),
    Several(Box<[InLog]>),
}

impl InLogs {
    /// The frames in each log, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = InLog> + '_ {
        let all = match &self.0 {
            Kept::None => &[],
            Kept::One(one) => std::slice::from_ref(one),
            Kept::Several(all) => all,
        };
        all.iter().copied()
    }

    /// Whether no frame was stored.
    pub fn is_empty(&self) -> bool {
        matches!(self.0, Kept::None)
    }
}

impl From<Option<InLog>> for InLogs {
    fn from(one: Option<InLog>) -> Self {
        Self(one.map_or(Kept::None, Kept::One))
    }
}

impl FromIterator<InLog> for InLogs {
    fn from_iter<T: IntoIterator<Item = InLog>>(all: T) -> Self {
        let all: Box<[InLog]> = all.into_iter().collect();
        match *all {
            [] => Self::default(),
            [one] => Some(one).into(),
            _ => Self(Kept::Several(all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_several_logs_is_listed_in_order() {
        let stretch = |log: u8, first, frames| InLog { log: LogId([log; 16]), first, frames };
        for count in 0..4 {
            let all = &[stretch(1, 5, 2), stretch(2, 1, 1), stretch(1, 90, 3)][..count];
            let listed: InLogs = all.iter().copied().collect();
            assert_eq!((listed.iter().collect::<Vec<_>>(), listed.is_empty()), (all.to_vec(), count == 0));
        }
        assert_eq!((stretch(1, 5, 2).last(), stretch(1, 5, 1).last()), (6, 5));
        assert_eq!(stretch(10, 1, 1).log.to_string(), "0a".repeat(16));
    }
}
