//! What a collector knows of the log without reading it: how many partitions it has, its id, and whom the owners
//! of its partitions refuse.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use crate::lock::{lock, read, write};
use crate::partition::group::{Metadata, Owners, Refusals};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Why nothing is known of owners, although the group answers.
const NOBODY_TOLD: &str =
    "neither a writer nor `forebay kafka create` has told the group anything of this topic";

/// What a collector knows of the log.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// 0 until the brokers have said it.
    partitions: AtomicU32,
    told: RwLock<Told>,
    unsaid: Mutex<Unsaid>,
}

/// What could not be found out when it was last asked for, since when by the monotonic clock, and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaid {
    pub(super) partitions: Option<(Duration, String)>,
    pub(super) owners: Option<(Duration, String)>,
}

#[derive(Debug, Default)]
struct Told {
    log_id: Option<String>,
    refusals: Refusals,
    owners: Option<Owners>,
}

impl Hints {
    /// Partitions of the log; 0 if that is not known.
    pub(super) fn partitions(&self) -> u32 {
        self.partitions.load(Ordering::Acquire)
    }

    /// The brokers say how many partitions the log has. It never has fewer: a broker that is behind does not know
    /// new ones yet, and calls must not go back and forth.
    fn has_partitions(&self, count: u32) {
        let before = self.partitions.fetch_max(count, Ordering::AcqRel);
        if before != 0 && before < count {
            tracing::info!(before, now = count, "the log has more partitions");
        }
    }

    /// What owners say of their partitions, as it is heard at `at`. If nobody says anything, what was said before stays.
    fn are_told(&self, all: &BTreeMap<u32, (u64, Metadata)>, at: UnixMillis) {
        let Some((_, first)) = all.values().next() else { return };
        let mut told = write(&self.told);
        if told.log_id.as_ref() != Some(&first.log_id) {
            tracing::info!("the log id is known: answers have receipts, if they are configured");
            told.log_id = Some(first.log_id.clone());
        }
        let said = || all.iter().map(|(partition, (_, metadata))| (*partition, metadata));
        told.owners = Some(Owners::heard(at, said()));
        let before = std::mem::take(&mut told.refusals);
        told.refusals = Refusals::of(said());
        if before.partitions() != told.refusals.partitions() {
            let partitions = told.refusals.partitions();
            match partitions.is_empty() {
                true => tracing::info!("no partition is refused whole any more"),
                false => tracing::warn!(
                    ?partitions,
                    "what would go to these partitions is refused: calls in them were not read for half of the log's retention"
                ),
            }
        }
    }

    /// Takes what came of the question how many partitions the log has, which was asked at `asked`.
    pub(super) fn hears_partitions(&self, answer: Result<u32, String>, asked: Duration) {
        let why = answer.map(|count| self.has_partitions(count)).err();
        note(&mut lock(&self.unsaid).partitions, why, asked);
    }

    /// Takes what came of the question what owners say, which was asked at `asked` and is heard at `at`.
    pub(super) fn hears_owners(
        &self,
        answer: Result<&BTreeMap<u32, (u64, Metadata)>, String>,
        at: UnixMillis,
        asked: Duration,
    ) {
        let why = match answer {
            Ok(all) => {
                self.are_told(all, at);
                self.log_id().is_none().then(|| NOBODY_TOLD.to_owned())
            }
            Err(why) => Some(why),
        };
        note(&mut lock(&self.unsaid).owners, why, asked);
    }

    /// What could not be found out.
    pub(super) fn unsaid(&self) -> Unsaid {
        lock(&self.unsaid).clone()
    }

    /// The log id, once it is known.
    pub(super) fn log_id(&self) -> Option<String> {
        read(&self.told).log_id.clone()
    }

    /// What owners say; `None` until the group has answered.
    pub(super) fn owners(&self) -> Option<Owners> {
        read(&self.told).owners.clone()
    }

    /// Whether owners refuse a source, or one of the partitions that its calls go to.
    pub(super) fn refuses(&self, source: &SourceId, partitions: impl IntoIterator<Item = u32>) -> bool {
        let refusals = &read(&self.told).refusals;
        refusals.refuses(source) || partitions.into_iter().any(|partition| refusals.refuses_all_of(partition))
    }
}

fn note(unsaid: &mut Option<(Duration, String)>, why: Option<String>, now: Duration) {
    let since = unsaid.as_ref().map_or(now, |(since, _)| *since);
    *unsaid = why.map(|why| (since, why));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_brokers_do_not_say_counts_from_the_first_time_until_they_say_it() {
        let (hints, at) = (Hints::default(), Duration::from_secs);
        let (nothing, something) = (BTreeMap::new(), [(0, (0, Metadata::default()))].into());
        let hears = |answer, secs| hints.hears_owners(answer, UnixMillis(0), at(secs));
        hears(Err("timed out".into()), 5);
        hears(Err("no right".into()), 65);
        assert_eq!(hints.unsaid().owners, Some((at(5), "no right".into())));
        assert!(hints.unsaid().partitions.is_none());
        // A group that answers, and has been told nothing, says no more.
        hears(Ok(&nothing), 68);
        hears(Ok(&nothing), 69);
        assert_eq!(hints.unsaid().owners, Some((at(5), NOBODY_TOLD.into())));
        hears(Ok(&something), 70);
        assert!(hints.unsaid().owners.is_none());
    }

    #[test]
    fn a_broker_that_is_behind_and_a_silent_group_change_nothing() {
        let hints = Hints::default();
        hints.has_partitions(4);
        hints.has_partitions(3);
        assert_eq!((hints.partitions(), hints.log_id()), (4, None));
        let metadata = Metadata { log_id: "ab".repeat(16), refuses_all: true, ..Metadata::default() };
        hints.are_told(&[(2, (7, metadata))].into(), UnixMillis(5));
        hints.are_told(&BTreeMap::new(), UnixMillis(9));
        assert_eq!(hints.owners().map(|owners| owners.heard_at), Some(UnixMillis(5)));
        assert_eq!(hints.log_id(), Some("ab".repeat(16)));
        let web = SourceId::new("web").unwrap();
        assert!(hints.refuses(&web, [1, 2]) && !hints.refuses(&web, [1]));
    }
}
