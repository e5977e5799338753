//! What delivery reports about itself: for each source, what was last delivered and why its objects wait, and
//! why each sealed object is not in the store yet, as far as its puts failed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::deps::Delivered;
use crate::batch::Reason;
use crate::lock::lock;
use crate::once_a_minute::{Line, OnceAMinute};
use crate::sources::SourceId;
use crate::store::Fault;
use crate::time::{Clock, UnixMillis};
use crate::words::Told;

/// The progress of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceProgress {
    /// The last object.
    pub last_object: Option<Delivered>,
    /// Why its objects wait, if a try failed and none has succeeded since then.
    pub waiting: Option<String>,
    /// When the first of these tries failed.
    pub waiting_since: Option<UnixMillis>,
    /// Calls delivered by this process.
    pub delivered: u64,
}

impl SourceProgress {
    /// The progress of one source in several logs.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().reduce(Self::and).unwrap_or_default()
    }

    fn and(self, other: Self) -> Self {
        let at = |object: &Option<Delivered>| object.as_ref().map(|object| object.delivered_at);
        let is_later = at(&other.last_object) > at(&self.last_object);
        Self {
            last_object: if is_later { other.last_object } else { self.last_object },
            waiting: self.waiting.or(other.waiting),
            waiting_since: [self.waiting_since, other.waiting_since].into_iter().flatten().min(),
            delivered: self.delivered.saturating_add(other.delivered),
        }
    }
}

/// All sources.
#[derive(Debug, Default)]
pub struct Progress {
    sources: Mutex<BTreeMap<SourceId, SourceProgress>>,
    /// Objects of batches that were due because space was short.
    cut_early: AtomicU64,
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceId, SourceProgress>> {
        lock(&self.sources)
    }

    /// Records that an object was made of a batch, and why.
    pub(super) fn cut(&self, reason: Reason) {
        if reason == Reason::Pressure {
            self.cut_early.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many objects were made before their time, because space was short.
    pub fn cut_early(&self) -> u64 {
        self.cut_early.load(Ordering::Relaxed)
    }

    /// Records an object that the store has confirmed.
    pub fn delivered(&self, object: Delivered) {
        let mut sources = self.lock();
        let source = sources.entry(object.source.clone()).or_default();
        (source.waiting, source.waiting_since) = (None, None);
        source.delivered += object.calls;
        source.last_object = Some(object);
    }

    /// Records at `now` why a source's objects wait.
    pub fn waiting(&self, source: &SourceId, why: String, now: UnixMillis) {
        let mut sources = self.lock();
        let source = sources.entry(source.clone()).or_default();
        source.waiting = Some(why);
        source.waiting_since.get_or_insert(now);
    }

    /// The progress of one source.
    pub fn of(&self, source: &SourceId) -> SourceProgress {
        self.lock().get(source).cloned().unwrap_or_default()
    }

    /// Every source with recorded progress.
    pub fn sources(&self) -> Vec<SourceId> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets these sources.
    pub(super) fn forget(&self, sources: &BTreeSet<SourceId>) {
        self.lock().retain(|source, _| !sources.contains(source));
    }
}

/// The failed puts of a sealed object, since this process began to deliver it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedPuts {
    /// The last failure.
    pub error: Option<Told>,
    /// Its class: a label of `forebay_upload_failures`.
    pub class: Option<&'static str>,
    /// When they began to fail.
    pub since: Option<UnixMillis>,
    /// When the next try begins, by the wall clock; `None` while one is under way, or waits for its turn.
    pub next_try: Option<UnixMillis>,
    /// Puts so far.
    pub tries: u32,
}

/// The sealed objects whose puts failed, by the number of their seal. There are no more of them than pending
/// seals: an object leaves when it is committed.
#[derive(Debug, Default)]
pub struct WaitingPuts(Mutex<BTreeMap<u64, FailedPuts>>);

impl WaitingPuts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, FailedPuts>> {
        lock(&self.0)
    }

    /// Records why an object is not stored. `tries`: its puts so far.
    pub(super) fn failed(&self, seal: u64, why: Told, fault: Fault, tries: u32, now: UnixMillis) {
        let mut waiting = self.lock();
        let puts = waiting.entry(seal).or_default();
        puts.error = Some(why);
        puts.class = Some(fault.slug());
        puts.since.get_or_insert(now);
        puts.tries = tries;
    }

    /// Records why an object is not put: a person must decide first.
    pub(super) fn held(&self, seal: u64, why: &str, now: UnixMillis) {
        let mut waiting = self.lock();
        let puts = waiting.entry(seal).or_default();
        puts.error = Some(Told::plain(why));
        puts.class = None;
        puts.since.get_or_insert(now);
    }

    /// Records when the next try of an object begins.
    pub(super) fn waits(&self, seal: u64, next_try: UnixMillis) {
        self.lock().entry(seal).or_default().next_try = Some(next_try);
    }

    /// Records that a try begins.
    pub(super) fn begins(&self, seal: u64) {
        if let Some(puts) = self.lock().get_mut(&seal) {
            puts.next_try = None;
        }
    }

    /// Forgets an object, which is stored.
    pub(super) fn stored(&self, seal: u64) {
        self.lock().remove(&seal);
    }

    /// What is known of an object: nothing if none of its puts failed.
    pub fn of(&self, seal: u64) -> FailedPuts {
        self.lock().get(&seal).cloned().unwrap_or_default()
    }
}

/// Recent events: what happened, and to which source or bucket. Each is logged once a minute.
#[derive(Debug)]
pub(super) struct Repeated {
    things: Mutex<OnceAMinute<(&'static str, String)>>,
    clock: Arc<dyn Clock>,
}

impl Repeated {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { things: Mutex::default(), clock }
    }

    /// Counts something that happened. Returns the line that is due, if one is.
    pub(super) fn happened(&self, what: &'static str, to_whom: &str) -> Option<Line> {
        let now = self.clock.monotonic();
        lock(&self.things).happened((what, to_whom.to_owned()), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, ObjectKey, ObjectName, Stream};

    #[test]
    fn progress_of_several_logs_adds_up() {
        let (bucket, source) = (BucketString::parse("bucket").unwrap(), SourceId::new("web").unwrap());
        let name = ObjectName {
            first_received_at: UnixMillis(0),
            node: "n1",
            spool_id: "0123456789abcdef0123456789abcdef",
            first_position: 1,
        };
        let day = UnixMillis(0).day();
        let key = ObjectKey::of_batch(&bucket, &Stream::Calls, &source, day, name);
        let object = |at| Delivered {
            delivered_at: UnixMillis(at),
            source: source.clone(),
            stream: Stream::Calls,
            day,
            bucket: bucket.clone(),
            key: key.clone(),
            calls: 1,
            bytes: 1,
            encryption: None,
            first_received_at: UnixMillis(0),
            put_ms: None,
            reason: None,
        };
        let of = |at: Option<i64>, waiting: Option<&str>, since: Option<i64>, delivered| SourceProgress {
            last_object: at.map(object),
            waiting: waiting.map(str::to_owned),
            waiting_since: since.map(UnixMillis),
            delivered,
        };
        let sum = |all: &[SourceProgress]| SourceProgress::sum(all.iter().cloned());
        let (one, other) = (of(Some(5), None, None, 3), of(Some(9), Some("403"), Some(7), 4));
        assert_eq!(sum(&[one.clone(), other.clone()]), of(Some(9), Some("403"), Some(7), 7));
        assert_eq!(sum(&[other, one.clone()]), of(Some(9), Some("403"), Some(7), 7));
        let both = [of(None, Some("a"), Some(8), 0), of(None, Some("b"), Some(7), 0)];
        assert_eq!(sum(&both), of(None, Some("a"), Some(7), 0));
        assert_eq!((SourceProgress::sum([one.clone()]), sum(&[])), (one, SourceProgress::default()));
    }

    #[test]
    fn the_first_failure_says_since_when_and_the_last_one_why() {
        let puts = WaitingPuts::default();
        puts.begins(7);
        assert_eq!(puts.of(7), FailedPuts::default());
        puts.failed(7, "503".into(), Fault::Transient, 1, UnixMillis(10));
        puts.waits(7, UnixMillis(15));
        puts.begins(7);
        puts.failed(7, "403".into(), Fault::Refused, 2, UnixMillis(20));
        let expected = FailedPuts {
            error: Some("403".into()),
            class: Some("refused"),
            since: Some(UnixMillis(10)),
            next_try: None,
            tries: 2,
        };
        assert_eq!(puts.of(7), expected);
        puts.waits(7, UnixMillis(80));
        assert_eq!(puts.of(7).next_try, Some(UnixMillis(80)));
        puts.held(7, "a conflict", UnixMillis(90));
        let held = puts.of(7);
        assert_eq!(
            (held.error.as_ref().map(Told::full), held.class, held.since),
            (Some("a conflict"), None, expected.since)
        );
        puts.stored(7);
        assert!(puts.lock().is_empty());
    }
}
