//! What a row's place in its file gives to its calls.

use std::fmt::Write as _;

/// A row's number, and what its number is joined to.
#[derive(Clone, Copy, Debug)]
pub struct RowPlace<'p> {
    /// What the messageIds of rows without an id of their own begin with: `imp_<key>_`.
    pub id_prefix: &'p str,
    /// What the sequence of mutations begins with: [`sequence_prefix`]. Only strategy mirror uses it.
    pub sequence_prefix: &'p str,
    /// The number of the data record, from 0.
    pub row: u64,
}

impl RowPlace<'_> {
    /// The place of the row among all mutations: it sorts as text.
    pub(super) fn sequence(&self) -> String {
        let mut sequence = self.sequence_prefix.to_owned();
        // Writing to a string cannot fail.
        write!(sequence, "/{:012}", self.row).unwrap_or_default();
        sequence
    }
}

/// What the sequence of a file's mutations begins with: when the file was last modified, in milliseconds
/// since 1970, and its key.
pub fn sequence_prefix(last_modified_ms: i64, key: &str) -> String {
    format!("{last_modified_ms:013}/{key}")
}
