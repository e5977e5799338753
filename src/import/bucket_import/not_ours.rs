//! Objects of a bucket that do not begin here, because several instances share it.

use super::report::PassReport;

/// Why an object does not begin here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// It belongs to the instance with this id. `had_begun`: it was this instance's, and was released. `version`: the
    /// tag and length of the object that is there now; `None`: it is gone.
    Theirs { instance: String, had_begun: bool, version: Option<(String, u64)> },
    /// Its claim cannot be read, or is gone: it waits for a person.
    Unknown(String),
    /// The shared journal cannot be used, so it is not claimed.
    Unclaimed,
}

impl PassReport {
    /// Counts an object that does not begin here. Returns whether it holds back those after it, where the
    /// order counts.
    pub(super) fn not_ours(&mut self, key: &str, why: NotOurs) -> bool {
        match why {
            NotOurs::Theirs { instance, had_begun, .. } => {
                self.claims.released += u64::from(had_begun);
                self.claims.theirs(key, (instance, true), None);
                false
            }
            NotOurs::Unknown(why) => {
                self.claims.unknown(key, why);
                false
            }
            NotOurs::Unclaimed => {
                self.not_begun += 1;
                // The next pass lists all keys.
                self.scanned.more_left = true;
                true
            }
        }
    }
}
