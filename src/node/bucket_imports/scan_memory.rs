//! Decides whether a pass lists all keys of a bucket. Pure.

use std::time::Duration;

use crate::import::bucket_import::{FULL_REQUESTS_MAX, PassReport, Scan};

/// What is remembered of the passes before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ScanMemory {
    /// When the last full pass over many keys ended, and what a pass over a part needs; `None`: the next pass
    /// is full.
    known: Option<(Duration, Scan)>,
    /// Whether the next pass lists all keys, whatever the one under way finds.
    wants_full: bool,
}

impl ScanMemory {
    /// Which keys the next pass lists.
    pub(super) fn next(&mut self, now: Duration, full_every: Duration) -> Scan {
        if self.wants_full {
            self.begin_full();
        }
        match &self.known {
            Some((full_at, scan)) if now.saturating_sub(*full_at) < full_every => scan.clone(),
            _ => Scan::Full,
        }
    }

    /// Notes that a pass over all keys begins.
    pub(super) fn begin_full(&mut self) {
        *self = Self::default();
    }

    /// Whether the next pass lists all keys.
    pub(super) fn wants_full(&self) -> bool {
        self.wants_full
    }

    /// Makes the pass that begins next list all keys, also if such a pass is under way: it may have listed
    /// already what is to be looked at.
    pub(super) fn want_full(&mut self) {
        self.wants_full = true;
    }

    /// Notes a pass that reached its end, over these keys.
    pub(super) fn note(&mut self, scan: &Scan, report: &PassReport, now: Duration) {
        let before = match scan {
            Scan::Full => None,
            Scan::After { key, .. } => Some(key.clone()),
            // Nothing was listed, so nothing new is known.
            Scan::Nothing => return,
        };
        let scanned = &report.scanned;
        let full_at = match (scan, &self.known) {
            (Scan::Full, _) if report.list_requests > FULL_REQUESTS_MAX => Some(now),
            (Scan::After { .. }, Some((full_at, _))) => Some(*full_at),
            _ => None,
        };
        // Nothing new may have come after the key.
        let key = scanned.greatest.clone().max(before);
        let is_complete = report.not_begun == 0 && !scanned.more_left;
        self.known = full_at
            .zip(key)
            .filter(|_| is_complete)
            .map(|(full_at, key)| (full_at, Scan::After { key, also: scanned.left.clone() }));
    }

    /// Notes a pass over a range. A pass over a part does not know the files that it left.
    pub(super) fn note_range(&mut self, report: &PassReport) {
        self.wants_full |= report.scanned.more_left || !report.scanned.left.is_empty();
    }

    /// Notes a pass that did not reach its end: the next one lists all keys.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::bucket_import::Scanned;

    const EVERY: Duration = Duration::from_secs(3_600);

    fn report(list_requests: u64, greatest: Option<&str>, left: &[&str]) -> PassReport {
        let left = left.iter().map(|key| (*key).to_owned()).collect();
        let scanned = Scanned { greatest: greatest.map(str::to_owned), left, more_left: false };
        PassReport { list_requests, scanned, ..PassReport::default() }
    }

    fn after(key: &str, also: &[&str]) -> Scan {
        Scan::After { key: key.to_owned(), also: also.iter().map(|key| (*key).to_owned()).collect() }
    }

    #[test]
    fn passes_over_a_large_bucket_list_what_is_new_until_a_full_one_is_due() {
        let at = Duration::from_secs;
        let mut memory = ScanMemory::default();
        assert_eq!(memory.next(at(0), EVERY), Scan::Full);
        memory.note(&Scan::Full, &report(100, Some("k"), &[]), at(10));
        assert_eq!(memory.next(at(20), EVERY), Scan::Full, "a small bucket");
        memory.note(&Scan::Full, &report(101, Some("k"), &["b"]), at(10));
        let part = after("k", &["b"]);
        assert_eq!(memory.next(at(20), EVERY), part);
        memory.note(&part, &report(2, None, &[]), at(30));
        assert_eq!(memory.next(at(40), EVERY), after("k", &[]), "nothing new came");
        memory.note(&after("k", &[]), &report(1, Some("m"), &["l"]), at(50));
        assert_eq!(memory.next(at(3_609), EVERY), after("m", &["l"]));
        assert_eq!(memory.next(at(3_610), EVERY), Scan::Full, "an hour after the full one");
    }

    #[test]
    fn a_full_pass_that_is_wanted_follows_the_one_under_way() {
        let (now, full) = (Duration::ZERO, report(101, Some("k"), &[]));
        let mut memory = ScanMemory::default();
        memory.note(&Scan::Full, &full, now);
        memory.want_full();
        assert_eq!(memory.next(now, EVERY), Scan::Full);
        memory.want_full();
        memory.note(&Scan::Full, &full, now);
        assert_eq!(memory.next(now, EVERY), Scan::Full, "it was wanted during the pass");
        memory.note(&Scan::Full, &full, now);
        assert_eq!(memory.next(now, EVERY), after("k", &[]));
        memory.want_full();
        memory.begin_full();
        memory.note(&Scan::Full, &full, now);
        assert_eq!(memory.next(now, EVERY), after("k", &[]), "a command made it");
        memory.note_range(&report(1, Some("b"), &[]));
        assert_eq!(memory.next(now, EVERY), after("k", &[]));
        memory.note_range(&report(1, Some("b"), &["b"]));
        assert_eq!(memory.next(now, EVERY), Scan::Full, "a file of the range goes on");
    }

    #[test]
    fn what_is_not_complete_is_followed_by_a_full_pass() {
        let (now, full) = (Duration::ZERO, report(101, Some("k"), &[]));
        let mut memory = ScanMemory::default();
        memory.note(&Scan::Full, &full, now);
        memory.forget();
        assert_eq!(memory.next(now, EVERY), Scan::Full);
        memory.note(&Scan::Full, &PassReport { not_begun: 1, ..full.clone() }, now);
        assert_eq!(memory.next(now, EVERY), Scan::Full);
        let mut many = full;
        many.scanned.more_left = true;
        memory.note(&Scan::Full, &many, now);
        assert_eq!(memory.next(now, EVERY), Scan::Full);
    }
}
