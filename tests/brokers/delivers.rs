//! A writer behind collectors, and the check that what they answered 200 is stored once.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::node::writer::Writer;
use forebay::store::fake::FakeStore;

use crate::delivered::{calls, settings, sorted, wanted};
use crate::load::Seen;
use crate::partition::Partition;
use crate::process::{RELEASE, start_release};
use crate::support::{CALL, until};

/// Bytes of the cache of a writer.
const CACHE: u64 = 500_000_000;

/// Prints a figure, past the test runner.
pub(crate) fn say(what: &str) {
    writeln!(std::io::stderr(), "{what}").unwrap_or(());
}

/// A writer of all partitions, whose objects are due after a second.
pub(crate) struct Delivers {
    pub(crate) writer: Writer,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) store: FakeStore,
    _folder: tempfile::TempDir,
}

impl Delivers {
    pub(crate) fn start(partition: &Partition) -> Self {
        Self::to(partition, FakeStore::new())
    }

    /// One that puts into this store.
    pub(crate) fn to(partition: &Partition, store: FakeStore) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut due_soon = settings(1_000_000);
        due_soon.rule.max_age = Duration::from_secs(1);
        let to = wanted(&[("web", "bucket"), ("ios", "bucket"), ("held", "refuses")]);
        let cache = (folder.path(), CACHE);
        let (writer, alarms) =
            start_release(RELEASE, partition, Arc::new(store.clone()), due_soon, to, cache);
        Self { writer, alarms, store, _folder: folder }
    }

    /// Waits until these calls are stored, and returns all that are.
    pub(crate) fn has(&self, expected: &[String]) -> Vec<String> {
        let expected: BTreeSet<&String> = expected.iter().collect();
        until("all calls to be delivered", CALL * 6, || {
            std::thread::sleep(Duration::from_millis(500));
            let stored = calls(&self.store);
            let has: BTreeSet<&String> = stored.iter().collect();
            expected.is_subset(&has).then_some(stored.clone())
        })
    }

    pub(crate) fn end(self) {
        assert_eq!(self.writer.ledger_differences(), []);
        self.writer.stop().unwrap();
    }
}

/// 0 missing, 0 doubled. What was never answered 200 may be there too, once.
pub(crate) fn check(delivers: &Delivers, seen: &Seen) {
    let stored = sorted(delivers.has(&seen.stored));
    let twice: Vec<&String> = stored.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
    assert!(
        twice.is_empty(),
        "{} are stored more than once: {:?}",
        twice.len(),
        twice.iter().take(5).collect::<Vec<_>>()
    );
    let longest = seen.answered.iter().map(|(_, after)| *after).max().unwrap_or_default();
    say(&format!(
        "{} calls answered 200 in {} requests, 0 missing, 0 doubled, {} in the store; {} refused, {} without an answer, \
         {} given up; longest answer {longest:.1?}",
        seen.stored.len(),
        seen.answered.len(),
        stored.len(),
        seen.refused.len(),
        seen.lost,
        seen.given_up,
    ));
}
