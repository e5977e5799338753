//! What is read and in no tally that counts.

use std::collections::BTreeMap;

use crate::log::{AccountKey, Hour, Row};
use crate::partition::position::before;

/// Rows of the ledger by account and hour.
pub(super) type Rows = BTreeMap<(AccountKey, Hour), Row>;

/// Counts since the last tally. If the answer to a tally was lost, a later term of this process finds out which
/// of them are noted: those of each tally are kept apart until then.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts(Vec<(u64, Rows)>);

impl Counts {
    /// Adds what the record at `offset` counts.
    pub(super) fn add(&mut self, offset: u64, counts: Vec<(AccountKey, Hour, Row)>) {
        if self.0.is_empty() {
            self.begin(0);
        }
        let Some((through, rows)) = self.0.last_mut() else { return };
        *through = offset + 1;
        for (account, hour, row) in counts {
            rows.entry((account, hour)).or_default().add(&row);
        }
    }

    /// What is counted from now on, from the record at `next` on, is of another tally.
    pub(super) fn begin(&mut self, next: u64) {
        self.0.push((next, Rows::new()));
    }

    /// Forgets what a tally has that counts every frame up to a position.
    pub(super) fn forget_tallied(&mut self, through: u64) {
        self.0.retain(|(end, _)| before(*end) > through);
    }

    /// Forgets everything: it is in a tally that counts.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// All of it.
    pub(super) fn rows(&self) -> Vec<(AccountKey, Hour, Row)> {
        let mut sums = Rows::new();
        for ((account, hour), row) in self.0.iter().flat_map(|(_, rows)| rows) {
            sums.entry((account.clone(), *hour)).or_default().add(row);
        }
        sums.into_iter().map(|((account, hour), row)| (account, hour, row)).collect()
    }

    /// Whether nothing is counted.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, rows)| rows.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Stream;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    #[test]
    fn counts_of_a_tally_without_an_answer_are_kept_until_it_is_known_to_count() {
        let one = || {
            let account = AccountKey::of_calls(SourceId::new("web").unwrap());
            vec![(account, Hour::of(UnixMillis(0)), Row::stored_in(&Stream::Calls, 1))]
        };
        let stored = |counts: &Counts| counts.rows().iter().map(|(.., row)| row.stored).sum::<u64>();
        let mut counts = Counts::default();
        assert!(counts.is_empty());
        counts.add(3, one());
        counts.begin(4);
        counts.add(4, one());
        assert_eq!(stored(&counts), 2);
        let mut noted = counts.clone();
        noted.forget_tallied(before(4));
        assert_eq!((stored(&noted), noted.is_empty()), (1, false));
        counts.forget_tallied(before(3));
        assert_eq!(stored(&counts), 2);
        counts.clear();
        assert!(counts.is_empty());
    }
}
