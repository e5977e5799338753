//! What becomes of a row.

/// Why a row is not converted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RowReject {
    /// For programs: `missing:user_id`, `bad-time`, …
    pub code: &'static str,
    /// For people.
    pub message: String,
}

impl RowReject {
    /// A reason with its code and its text.
    pub fn new(code: &'static str, message: String) -> Self {
        Self { code, message }
    }
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The converter's flag says that the row is to be skipped.
    Skipped,
    /// The row gave no calls.
    Rejected(RowReject),
    /// Calls were appended.
    Calls {
        /// How many.
        count: usize,
        /// The hash of the row's `insert_id` and `device_id`, if rows that have the same are dropped within
        /// 7 days: data type event, append only, with an `insert_id`.
        key: Option<u128>,
    },
}

/// Calls as JSON objects, each on one line and without a line break. The caller owns and empties it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    bytes: Vec<u8>,
    /// Where each call ends.
    ends: Vec<usize>,
}

impl Calls {
    /// The calls, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }

    /// How many calls there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of all calls.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all calls and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    /// The bytes after the last call, for the next one.
    pub(super) fn out(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the present call. Returns its length in bytes.
    pub(super) fn end(&mut self) -> usize {
        let start = self.ends.last().copied().unwrap_or(0);
        self.ends.push(self.bytes.len());
        self.bytes.len() - start
    }

    /// Removes all calls after the first `count`, and what was begun.
    pub(super) fn truncate(&mut self, count: usize) {
        self.ends.truncate(count);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_kept_apart() {
        let mut calls = Calls::default();
        for text in ["{}", "{\"a\":1}"] {
            calls.out().extend_from_slice(text.as_bytes());
            assert_eq!(calls.end(), text.len());
        }
        calls.out().extend_from_slice(b"{\"half");
        calls.truncate(2);
        assert_eq!(calls.iter().collect::<Vec<_>>(), [&b"{}"[..], b"{\"a\":1}"]);
        calls.truncate(1);
        assert_eq!((calls.len(), calls.bytes()), (1, 2));
        calls.clear();
        assert!(calls.is_empty());
    }
}
