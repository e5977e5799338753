use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::Bounds;
use super::list::{Deliveries, QUEUE_MAX, Unlisted};
use super::{DayKey, KEPT_DAYS};
use crate::batch::Reason;
use crate::delivery::{Delivered, DeliveredList as _};
use crate::object::{AppliedEncryption, BucketString, ObjectKey, ObjectName, Stream};
use crate::sources::SourceId;
use crate::time::{Clock, DAY_MS, UnixMillis};

/// 2026-11-21 12:00.
const NOON: i64 = 1_795_262_400_000;

/// A wall clock that a test sets. The monotonic one is the machine's.
#[derive(Debug)]
struct TestClock {
    wall: AtomicI64,
    began: Instant,
}

impl Clock for TestClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
}

struct Stand {
    folder: TempDir,
    clock: Arc<TestClock>,
    bounds: Bounds,
}

impl Stand {
    #[expect(clippy::disallowed_methods, reason = "the list's thread really waits")]
    fn new() -> Self {
        let clock = Arc::new(TestClock { wall: AtomicI64::new(NOON), began: Instant::now() });
        Self { folder: tempfile::tempdir().unwrap(), clock, bounds: Bounds::default() }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deliveries.redb")
    }

    fn start(&self) -> Deliveries {
        Deliveries::with_bounds(&self.path(), Arc::clone(&self.clock) as _, self.bounds)
    }

    /// Reads with a list of its own.
    fn read<T>(&self, read: impl FnOnce(&Deliveries) -> T) -> T {
        let list = self.start();
        let read = read(&list);
        list.close(PATIENCE);
        read
    }

    /// Adds objects, and writes all of them.
    fn write(&self, objects: impl IntoIterator<Item = Delivered>) {
        let list = self.start();
        objects.into_iter().for_each(|object| list.add(object));
        list.close(PATIENCE);
    }
}

/// Longer than the list ever waits.
const PATIENCE: Duration = Duration::from_secs(60);

fn source(id: &str) -> SourceId {
    SourceId::new(id).unwrap()
}

/// An object of `id`, received and delivered at `at`; `n` tells it from others.
fn object(id: &str, at: i64, n: u64) -> Delivered {
    let bucket = BucketString::parse("lake/raw").unwrap();
    let first_received_at = UnixMillis(at - 3_000);
    let (source, day, stream) = (source(id), UnixMillis(at).day(), Stream::Calls);
    let spool_id = "0123456789abcdef0123456789abcdef";
    let name = ObjectName { first_received_at, node: "n1", spool_id, first_position: n };
    let key = ObjectKey::of_batch(&bucket, &stream, &source, day, name);
    Delivered {
        delivered_at: UnixMillis(at),
        source,
        stream,
        day,
        bucket,
        key,
        calls: 10,
        bytes: 1_000,
        encryption: Some(AppliedEncryption {
            algorithm: Some("AES256".into()),
            ..AppliedEncryption::default()
        }),
        first_received_at,
        put_ms: Some(42),
        reason: Some(Reason::DayOver.slug().to_owned()),
    }
}

/// Reads until the list's thread has opened the file.
fn opened<T>(read: impl Fn() -> Result<T, Unlisted>) -> Result<T, Unlisted> {
    loop {
        match read() {
            Err(error) if error.to_string().contains("being opened") => {
                std::thread::sleep(Duration::from_millis(1));
            }
            read => return read,
        }
    }
}

fn newest(list: &Deliveries, source: Option<&SourceId>, before: i64, limit: usize) -> Vec<i64> {
    let page = opened(|| list.newest(source, UnixMillis(before), limit)).unwrap();
    page.iter().map(|entry| entry.delivered_at.0 - NOON).collect()
}

#[test]
fn a_list_survives_its_process() {
    let stand = Stand::new();
    let none = stand.read(|list| newest(list, None, i64::MAX, 10));
    assert_eq!(none, [0; 0], "no file is made before the first object");
    assert!(!stand.path().exists());
    stand.write([object("web", NOON, 1), object("ios", NOON + 1, 2)]);
    stand.write([object("web", NOON + 2, 3)]);
    let list = stand.start();
    assert_eq!(newest(&list, None, i64::MAX, 10), [2, 1, 0]);
    let first = opened(|| list.newest(None, UnixMillis(NOON + 1), 10)).unwrap().remove(0);
    assert_eq!(first, object("web", NOON, 1));
    assert_eq!((first.reason.as_deref(), first.put_ms), (Some("day_end"), Some(42)));
    let about = list.about().unwrap();
    assert_eq!((about.since, about.objects, about.missed), (Some(UnixMillis(NOON)), 3, 0));
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(stand.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

/// The file is written a second after the last write. A search right after a flush did not know the object.
#[test]
fn recent_objects_are_those_that_are_not_written_yet_too() {
    let stand = Stand::new();
    let list = stand.start();
    let recent = |source: Option<&SourceId>| -> Vec<i64> {
        let found = opened(|| list.recent(source, 10)).unwrap();
        found.iter().map(|entry| entry.delivered_at.0 - NOON).collect()
    };
    assert_eq!(recent(None), [0; 0]);
    for n in 0..3 {
        list.add(object("web", NOON + n, n.unsigned_abs()));
        list.add(object("ios", NOON + 10 + n, 10 + n.unsigned_abs()));
        let web: Vec<i64> = (0..=n).rev().collect();
        assert_eq!(recent(Some(&source("web"))), web);
    }
    assert_eq!(recent(None), [12, 11, 10, 2, 1, 0]);
    list.close(PATIENCE);
}

#[test]
fn an_object_that_is_delivered_again_counts_once() {
    let stand = Stand::new();
    stand.write([object("web", NOON, 1), object("web", NOON + 5, 1)]);
    stand.write([object("web", NOON + 3_000, 1)].map(|mut again| {
        again.key = object("web", NOON, 1).key;
        again
    }));
    let list = stand.start();
    // The second has another first call, so another key.
    assert_eq!(newest(&list, None, i64::MAX, 10), [5, 0]);
    let (sums, total) = list.sums(None, 10).unwrap();
    assert_eq!(
        (sums.len(), total, sums[0].1.objects, sums[0].1.calls, sums[0].1.bytes),
        (1, 1, 2, 20, 2_000)
    );
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let stand = Stand::new();
    // Three in each millisecond.
    stand.write(
        (0..30).map(|n| object(if n % 2 == 0 { "web" } else { "ios" }, NOON + n / 3, n.unsigned_abs())),
    );
    let list = stand.start();
    let check = |source: Option<&SourceId>, limit: usize, all: usize| {
        let (mut before, mut seen) = (i64::MAX, Vec::new());
        loop {
            let page = newest(&list, source, before, limit);
            let Some(last) = page.last() else { break };
            assert!(page.len() <= limit * 2, "{page:?}");
            before = NOON + last;
            seen.extend(page);
        }
        assert_eq!(seen.len(), all, "{source:?} {limit}");
        assert!(seen.is_sorted_by(|a, b| a >= b), "{seen:?}");
    };
    check(None, 4, 30);
    check(None, 100, 30);
    check(Some(&source("web")), 4, 15);
    check(Some(&source("other")), 4, 0);

    let day = |id: &str| DayKey { day: UnixMillis(NOON).day(), source: source(id), stream: Stream::Calls };
    let (mut after, mut pages) = (None, Vec::new());
    loop {
        let page = list.of_day(&day("ios"), after.as_ref(), 7).unwrap().unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        pages.push(page.len());
    }
    assert_eq!(pages, [7, 7, 1]);
    assert_eq!(list.of_day(&day("ios"), Some(&ObjectKey::listed("x")), 7).unwrap(), None);
    let known = list.with_keys(&[object("web", NOON, 0).key, ObjectKey::listed("x")]).unwrap();
    assert_eq!(known, [object("web", NOON, 0)]);
}

#[test]
fn old_days_and_too_many_objects_go() {
    let mut stand = Stand::new();
    stand.bounds = Bounds { objects: 50, sums: 30 };
    let day = |n: i64| NOON - n * DAY_MS;
    stand.write((0..KEPT_DAYS + 5).map(|n| object("web", day(n), n.unsigned_abs())));
    let list = stand.start();
    let days: Vec<i64> = newest(&list, None, i64::MAX, 100).iter().map(|at| -at / DAY_MS).collect();
    assert_eq!(days, (0..KEPT_DAYS).collect::<Vec<_>>());
    assert_eq!(list.sums(None, 100).unwrap().1, 30, "sums are bounded, too");
    list.close(PATIENCE);
    // A day later one more day is too old, although no more objects come of other days.
    stand.clock.wall.fetch_add(DAY_MS, Ordering::SeqCst);
    stand.write((0..40).map(|n| object("ios", NOON, 1_000 + n)));
    let list = stand.start();
    let about = opened(|| list.about()).unwrap();
    assert_eq!((about.objects, about.dropped, about.sums_dropped), (50, 24, 6));
    // The oldest went first, and their sums stay.
    let (sums, total) = list.sums(Some(&source("ios")), 100).unwrap();
    assert_eq!((sums[0].1.objects, total), (40, 1));
    let (sums, total) = list.sums(Some(&source("web")), 2).unwrap();
    assert_eq!((sums.len(), total), (2, 29));
    assert_eq!(newest(&list, Some(&source("web")), i64::MAX, 100).len(), 10);
}

#[test]
fn a_damaged_file_is_an_empty_list_with_a_reason_until_it_is_removed() {
    let stand = Stand::new();
    stand.write((0..100).map(|n| object("web", NOON, n)));
    let whole = fs::read(stand.path()).unwrap();
    let reason = |bytes: &[u8]| {
        fs::write(stand.path(), bytes).unwrap();
        let list = stand.start();
        list.add(object("web", NOON, 1_000));
        let why = opened(|| list.newest(None, UnixMillis(i64::MAX), 10).and_then(|_| list.about()));
        list.close(PATIENCE);
        why.map_err(|error| error.to_string())
    };
    for damaged in [&b"no database"[..], &[], &whole[..whole.len() / 2], &[0xA5].repeat(whole.len())] {
        let why = reason(damaged).unwrap_err();
        assert!(why.contains("deliveries.redb") && why.contains("deliveries go on"), "{why}");
    }
    // Bytes anywhere: it may be noticed or not, and nothing panics.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[at..].iter_mut().take(64).for_each(|byte| *byte ^= 0x5A);
        match reason(&damaged) {
            Ok(about) => assert!(about.objects <= 101, "{about:?}"),
            Err(why) => assert!(why.contains("deliveries go on"), "{why}"),
        }
    }
    fs::remove_file(stand.path()).unwrap();
    stand.write([object("web", NOON + 7, 1)]);
    assert_eq!(stand.read(|list| newest(list, None, i64::MAX, 10)), [7]);
}

#[test]
fn a_file_that_cannot_be_made_loses_the_list_and_nothing_else() {
    let stand = Stand::new();
    let path = stand.folder.path().join("no folder").join("deliveries.redb");
    let list = Deliveries::with_bounds(&path, Arc::clone(&stand.clock) as _, stand.bounds);
    // More than there is room for: the rest is counted.
    for n in 0..QUEUE_MAX as u64 + 5_000 {
        list.add(object("web", NOON, n));
    }
    while list.about().is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let why = list.newest(None, UnixMillis(i64::MAX), 1).unwrap_err().to_string();
    assert!(why.contains("No such file"), "{why}");
    fs::create_dir(path.parent().unwrap()).unwrap();
    // It tries again by itself, and what waited is written.
    let about = loop {
        match list.about() {
            Ok(about) if about.objects > 0 => break about,
            _ => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    list.close(PATIENCE);
    assert_eq!((about.objects + about.missed, about.dropped), (QUEUE_MAX as u64 + 5_000, 0), "{about:?}");
    assert!(about.objects >= QUEUE_MAX as u64, "{about:?}");
}

#[test]
fn a_file_whose_making_was_cut_short_is_made_again() {
    let stand = Stand::new();
    fs::write(stand.path().with_extension("tmp"), vec![0; 1_024 * 1_024]).unwrap();
    stand.write([object("web", NOON, 1)]);
    assert_eq!(stand.read(|list| newest(list, None, i64::MAX, 10)), [0]);
    assert_eq!(fs::read_dir(stand.folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_that_is_removed_while_it_is_open_begins_anew() {
    let stand = Stand::new();
    let list = stand.start();
    list.add(object("web", NOON, 1));
    while !list.about().is_ok_and(|about| about.objects == 1) {
        std::thread::sleep(Duration::from_millis(1));
    }
    fs::remove_file(stand.path()).unwrap();
    list.add(object("web", NOON + 1, 2));
    list.close(PATIENCE);
    assert_eq!(stand.read(|list| newest(list, None, i64::MAX, 10)), [1]);
}
