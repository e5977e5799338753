//! Passes over a bucket: each good row once, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use forebay::alarms::{AlarmKind, Alarms};
use forebay::convert::{Converter, DataType, Strategy};
use forebay::import::bucket_import::{
    Became, BucketImport, OnChange, OnMissing, PassDeps, PassError, PassReport, RejectsPlace, Scan, Skip,
    pass,
};
use forebay::import::journal::{Change, EachKept, Journal, JournalError};
use forebay::import::watched_rows::WatchedRows;
use forebay::import::{
    Begin, Begun, Counters, End, ImportRecord, KeptOf, NameError, OnRowError, RowCount, Rows, RowsTaken,
    Target, TargetError, rename,
};
use forebay::log::frame::RowKey;
use forebay::log::{ImportKey, ImportProgress, Imports, OpenImport, RowsUnknown, Stopped};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, ObjectKey, S3Location};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::store::{Fault, ObjectStore as _, Put, PutMode};
use forebay::time::UnixMillis;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::importer::{Node, node};
use super::on_listing::OnListing;
use super::support::rejects;
use crate::support::stored::stored;
use crate::support::wait;
pub(super) use crate::support::zip::archive;

const BUCKET: &str = "lake";
const PATIENCE: Duration = Duration::from_secs(60);
/// Rows of the largest file. A step has at most 2,000.
pub(super) const ROWS: usize = 4_500;

/// A converter of these files, whose events begin with this.
pub(super) fn converter_text(file: &str, event: &str) -> String {
    format!(
        r#"{{"converterConfig":{{{file},"ignoreEventFlag":"left_out","convertToAmplitudeFunc":{{
            "event_type":["concat",["value","{event}"],["path","e"]],"user_id":["path","u"],
            "user_properties":["path","props"],"$skip_user_properties_sync":["path","alone"],
            "left_out":["path","no"]}}}}}}"#
    )
}

pub(super) fn location() -> S3Location {
    S3Location::new(BucketString::parse(BUCKET).unwrap(), Encryption::None)
}

pub(super) async fn put(store: &FakeStore, key: &str, bytes: impl Into<Bytes>) {
    let key = ObjectKey::listed(key.to_owned());
    store.put(&Put::plain(location(), key, bytes, PutMode::Overwrite)).await.unwrap();
}

/// Lines of a file. Of a hundred rows one is bad, one is left out, and one gives two calls.
pub(super) fn lines(file: &str, rows: usize) -> String {
    let mut text = String::new();
    for row in 0..rows {
        match row % 100 {
            7 => writeln!(text, "{{\"u\":\"bad\",\"e\":"),
            8 => writeln!(text, "{{\"u\":\"u\",\"e\":\"{file} {row}\",\"no\":true}}\n"),
            9 => writeln!(
                text,
                "{{\"u\":\"u\",\"e\":\"{file} {row}\",\"props\":{{\"a\":{row}}},\"alone\":false}}"
            ),
            _ => writeln!(text, "{{\"u\":\"u\",\"e\":\"{file} {row}\"}}"),
        }
        .unwrap();
    }
    text
}

/// The events that the rows of a file become.
pub(super) fn events(file: &str, rows: usize) -> impl Iterator<Item = String> {
    let good = (0..rows).filter(|row| !matches!(row % 100, 7 | 8));
    good.map(move |row| format!("{file} {row}"))
}

pub(super) fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

pub(super) fn import_as(node: &Node, name: &str, prefix: &str, text: &str) -> BucketImport {
    let max_event = 32 * 1_024;
    let converter = Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, max_event);
    BucketImport {
        name: name.to_owned(),
        location: location(),
        endpoint: String::new(),
        prefix: prefix.to_owned(),
        never: vec!["in/segment-logs/".to_owned()].into(),
        source: SourceId::new("csv").unwrap(),
        converter: Arc::new(converter.unwrap_or_else(|error| panic!("{text}: {error}"))),
        converter_text: text.as_bytes().into(),
        max_event,
        insert_id_window: None,
        min_size: 0,
        max_size: 1_000_000,
        on_row_error: OnRowError::default(),
        allow_expansion: false,
        parallel: 3,
        serial: false,
        modified_after: None,
        on_missing: OnMissing::Skip,
        on_change: OnChange::Ignore,
        after: None,
        claims: None,
        rejects: RejectsPlace::folder(node.dir.path().join("rejects"), 1 << 30),
        temporary: node.dir.path().join("tmp"),
    }
}

pub(super) fn import(node: &Node) -> BucketImport {
    import_as(node, "events", "in/", &converter_text(r#""fileType":"json""#, ""))
}

pub(super) fn deps(node: &Node, store: &FakeStore) -> PassDeps {
    PassDeps {
        store: Arc::new(store.clone()),
        changer: Some(Arc::new(store.clone())),
        target: Arc::new(Arc::clone(&node.importer)),
        journal: Arc::clone(&node.journal) as _,
        importer: Arc::clone(&node.importer),
        clock: Arc::new(SystemClock::new()),
        random: Arc::new(SystemRandom),
        counters: Counters::default(),
        other_compressions: Arc::default(),
        columns: Arc::default(),
        again: false,
        scan: Scan::Full,
        stop: CancellationToken::new(),
        whole: true,
        list_again: None,
        patience: None,
        step_bytes: None,
    }
}

pub(super) async fn passed(node: &Node, store: &FakeStore, import: BucketImport) -> PassReport {
    pass(Arc::new(import), deps(node, store)).await.unwrap()
}

/// The calls that are stored.
pub(super) fn calls(node: &Node) -> Vec<Value> {
    let stored = stored(&*node.spool.log(), "csv");
    stored.iter().map(|stored| serde_json::from_str(&stored.line).unwrap()).collect()
}

/// Checks that each of these events is stored once, each messageId once, and no other event.
pub(super) fn check_events(node: &Node, expected: impl IntoIterator<Item = String>) {
    let calls = calls(node);
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    for call in calls.iter().filter(|call| call["type"] == "track") {
        *seen.entry(call["event"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let expected: BTreeSet<String> = expected.into_iter().collect();
    let missing: Vec<_> = expected.iter().filter(|event| !seen.contains_key(*event)).take(5).collect();
    let other: Vec<_> =
        seen.iter().filter(|(event, count)| **count != 1 || !expected.contains(*event)).take(5).collect();
    assert!(missing.is_empty() && other.is_empty(), "missing {missing:?}, repeated or other {other:?}");
    let ids: BTreeSet<&str> = calls.iter().map(|call| call["messageId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), calls.len(), "each messageId once");
    // The identify call of a row stands just before its event.
    for pair in calls.windows(2).filter(|pair| pair[0]["type"] == "identify") {
        assert_eq!(pair[0]["messageId"], format!("{}_identify", pair[1]["messageId"].as_str().unwrap()));
    }
}

pub(super) fn files(report: &PassReport) -> Vec<(&'static str, u64)> {
    report.files.iter().map(|(became, count)| (became.slug(), *count)).collect()
}

pub(super) fn skipped(report: &PassReport) -> Vec<(&'static str, u64)> {
    report.skipped.iter().map(|(why, count)| (why.slug(), *count)).collect()
}

async fn filled() -> FakeStore {
    let store = FakeStore::new();
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json.gz", [gzip(&lines("b", 150)), gzip(&lines("c", 150))].concat()).await;
    put(&store, "in/d.zst", zstd::encode_all(lines("d", 10).as_bytes(), 1).unwrap()).await;
    put(&store, "in/empty.json", "").await;
    put(&store, "in/folder/", "").await;
    put(&store, "in/huge.json", vec![b'\n'; 1_000_001]).await;
    put(&store, "in/list.json", "[{\"u\":\"u\"}]").await;
    put(&store, "in/segment-logs/csv/1.gz", lines("own", 10)).await;
    put(&store, "other/x.json", lines("x", 10)).await;
    store
}

fn all_events() -> impl Iterator<Item = String> {
    events("a", ROWS).chain(events("b", 150)).chain(events("c", 150)).chain(events("d", 10))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_good_row_is_imported_once_and_a_file_that_cannot_be_is_given_up() {
    let (node, store) = (node(), filled().await);
    let first = passed(&node, &store, import(&node)).await;
    assert_eq!(files(&first), [("done", 3), ("failed", 1)], "{first:?}");
    assert_eq!(skipped(&first), [("own", 1), ("folder", 1), ("empty", 1), ("too_large", 1)]);
    assert_eq!((first.listed, first.list_requests, first.known, first.not_begun), (8, 1, 0, 0));
    // 50 rows of each kind: 45 in the first file, two and two in the second, one in the third.
    let rows = (ROWS + 300 + 10) as u64;
    assert_eq!((first.rows, first.rejected, first.skipped_rows), (rows, 50, 50), "{first:?}");
    let two_calls = 50;
    assert_eq!(first.stored, rows - 50 - 50 + two_calls, "{first:?}");
    check_events(&node, all_events());
    let [list] = first.not_done.as_slice() else { panic!("{first:?}") };
    assert!(
        list.name == "s3://lake/in/list.json" && format!("{:?}", list.end).contains("E-FORMAT"),
        "{list:?}"
    );
    let again: Vec<_> =
        [passed(&node, &store, import(&node)).await, passed(&node, &store, import(&node)).await]
            .iter()
            .map(|report| (report.known, files(report)))
            .collect();
    assert_eq!(again, [(3, vec![("failed", 1)]), (3, vec![("poison", 1)])]);
    let given_up = passed(&node, &store, import(&node)).await;
    assert_eq!((files(&given_up), given_up.rows), (vec![("poison", 1)], 0));
    check_events(&node, all_events());
    // Each rejected row is kept, with its number and line.
    let folders: Vec<_> = std::fs::read_dir(node.dir.path().join("rejects")).unwrap().collect();
    let [folder] = folders.as_slice() else { panic!("{folders:?}") };
    let mut kept = Vec::new();
    for entry in std::fs::read_dir(folder.as_ref().unwrap().path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            kept.extend(rejects(&path));
        }
    }
    assert_eq!(kept.len(), 50);
    assert!(
        kept.iter().all(|reject| reject["code"] == "bad-json" && reject["raw"] == "{\"u\":\"bad\",\"e\":")
    );
    assert!(kept.iter().any(|reject| reject["row"] == 107 && reject["line"] == 109), "{kept:?}");
    // A file that is replaced is another one: here because nothing of the first one is stored.
    put(&store, "in/list.json", lines("list", 20)).await;
    let replaced = passed(&node, &store, import(&node)).await;
    assert_eq!(files(&replaced), [("done", 1)]);
    check_events(&node, all_events().chain(events("list", 20)));
    // Of the others the version that was met first counts.
    put(&store, "in/a.json", lines("other", 20)).await;
    let changed = passed(&node, &store, import(&node)).await;
    assert_eq!((files(&changed), skipped(&changed).last()), (vec![], Some(&("changed", 1))));
    check_events(&node, all_events().chain(events("list", 20)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_and_archives_are_imported_by_their_columns() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.csv", "e;u;x\na 0;u;1\na 1;;1\na 2;\"u;v\";1\n").await;
    put(&store, "in/b.csv", "x\te\tu\n1\tb 0\tu\n").await;
    put(&store, "in/c.csv", "x,y\n1,2\n").await;
    put(
        &store,
        "in/d.zip",
        archive(&[("d/1.csv", "e,u\nd 0,u\n"), ("__MACOSX/x", "x"), ("2", "u,e\nu,d 1\n")]),
    )
    .await;
    let text = converter_text(r#""fileType":"csv""#, "");
    let report = passed(&node, &store, import_as(&node, "tables", "in/", &text)).await;
    assert_eq!(files(&report), [("done", 4), ("failed", 1)], "{report:?}");
    assert_eq!((report.rows, report.stored, report.rejected), (6, 5, 1));
    check_events(&node, ["a 0", "a 2", "b 0", "d 0", "d 1"].map(str::to_owned));
    let again = passed(&node, &store, import_as(&node, "tables", "in/", &text)).await;
    assert_eq!((again.known, files(&again)), (3, vec![("failed", 1)]));
}

/// Takes so many steps, and never answers the next one.
#[derive(Debug)]
pub(super) struct Stalls {
    pub(super) target: Arc<dyn Target>,
    pub(super) steps: AtomicI64,
    /// Whether the step that is not answered is stored.
    pub(super) stores_last: bool,
}

impl Target for Stalls {
    fn begin(&self, file: Begin) -> forebay::boxed_future::BoxFuture<'_, Result<Begun, TargetError>> {
        self.target.begin(file)
    }

    fn rows(
        &self,
        rows: Rows,
        calls: Bytes,
    ) -> forebay::boxed_future::BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            let left = self.steps.fetch_sub(1, Ordering::SeqCst);
            let taken =
                if left > 0 || self.stores_last { Some(self.target.rows(rows, calls).await) } else { None };
            match taken {
                Some(taken) if left > 0 => taken,
                _ => {
                    self.steps.store(i64::MIN, Ordering::SeqCst);
                    std::future::pending().await
                }
            }
        })
    }

    fn end(&self, end: End) -> forebay::boxed_future::BoxFuture<'_, Result<(), TargetError>> {
        self.target.end(end)
    }
}

/// A target that never answers its step number `steps`, from 0, and whether that step has come.
pub(super) fn stalls(
    node: &Node,
    store: &FakeStore,
    steps: i64,
    stores_last: bool,
) -> (Arc<dyn Target>, impl Fn() -> bool + use<>) {
    let target = deps(node, store).target;
    let stalls = Arc::new(Stalls { target, steps: AtomicI64::new(steps), stores_last });
    let has_come = {
        let stalls = Arc::clone(&stalls);
        move || stalls.steps.load(Ordering::SeqCst) < -1
    };
    (stalls, has_come)
}

/// The next process, after one that was killed while a pass waited for its step number `steps`, from 0.
pub(super) async fn killed_at(
    node: Node,
    store: &FakeStore,
    import: BucketImport,
    steps: i64,
    stores_last: bool,
) -> Node {
    died_at(&node, store, import, steps, stores_last).await;
    node.killed()
}

/// A pass that dies while it waits for its step number `steps`, from 0. The process goes on.
pub(super) async fn died_at(
    node: &Node,
    store: &FakeStore,
    import: BucketImport,
    steps: i64,
    stores_last: bool,
) {
    let plain = deps(node, store);
    let stalls =
        Arc::new(Stalls { target: Arc::clone(&plain.target), steps: AtomicI64::new(steps), stores_last });
    let deps = PassDeps { target: Arc::clone(&stalls) as _, ..plain };
    let import = BucketImport { serial: true, ..import };
    let running = tokio::spawn(async move { pass(Arc::new(import), deps).await });
    wait::until("the step that is not answered", PATIENCE, async || {
        (stalls.steps.load(Ordering::SeqCst) < -1 || running.is_finished()).then_some(())
    })
    .await;
    running.abort();
    assert!(running.await.is_err(), "the pass ended before step {steps}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_step_each_row_is_stored_once() {
    let store = filled().await;
    // Three steps of the first file, and one of each other.
    for steps in 0..5 {
        for stores_last in [false, true] {
            let node = node();
            let first = import(&node);
            let node = killed_at(node, &store, first, steps, stores_last).await;
            let report = passed(&node, &store, import(&node)).await;
            assert_eq!(report.files_that(Became::Failed), 1, "{steps} {stores_last}: {report:?}");
            check_events(&node, all_events());
            let again = passed(&node, &store, import(&node)).await;
            assert_eq!((again.known, again.rows), (3, 0), "{steps} {stores_last}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_ends_with_the_converter_it_began_with() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    let first = import(&node);
    let node = killed_at(node, &store, first, 1, true).await;
    let other = converter_text(r#""fileType":"json""#, "new ");
    let report = passed(&node, &store, import_as(&node, "events", "in/", &other)).await;
    assert_eq!(files(&report), [("done", 2)], "{report:?}");
    check_events(&node, events("a", ROWS).chain(events("b", 30).map(|event| format!("new {event}"))));
    // Nothing needs the first converter any more: the next pass that imports something forgets it.
    put(&store, "in/c.json", lines("c", 3)).await;
    passed(&node, &store, import_as(&node, "events", "in/", &other)).await;
    assert_eq!(node.journal.kept_by(KeptOf::Converter).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_changed_after_a_kill_is_not_read_if_calls_of_it_are_stored() {
    for (steps, stores_last, expected) in [(0, false, "done"), (0, true, "changed"), (2, false, "changed")] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", lines("a", ROWS)).await;
        let first = import(&node);
        let node = killed_at(node, &store, first, steps, stores_last).await;
        put(&store, "in/a.json", lines("b", 50)).await;
        let report = passed(&node, &store, import(&node)).await;
        let found = (report.files_that(Became::Done), report.files_that(Became::Changed));
        assert_eq!(
            found,
            if expected == "done" { (1, 0) } else { (0, 1) },
            "{steps} {stores_last}: {report:?}"
        );
    }
}

/// What is stored of it is in the records of its files alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_cannot_be_opened_after_a_kill_is_still_the_version_that_counts() {
    for is_archive in [false, true] {
        let (node, store) = (node(), FakeStore::new());
        let text = lines("a", ROWS);
        let bytes = if is_archive { archive(&[("1", text.as_str())]) } else { text.into_bytes() };
        put(&store, "in/a.json", bytes).await;
        let first = import(&node);
        let node = killed_at(node, &store, first, 1, false).await;
        let denied = Step::Answer { fault: Fault::Refused, status: Some(403), code: Some("AccessDenied") };
        store.script_reads([Step::Proper, Step::Proper, denied]);
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!(files(&report), [("denied", 1)], "{report:?}");
        put(&store, "in/a.json", lines("b", 50)).await;
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!(files(&report), [("changed", 1)], "{report:?}");
    }
}

/// The same bytes have another version id then, and the file keeps the id that it began with.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_object_that_is_uploaded_again_goes_on_at_its_next_row() {
    let (node, store) = (node(), FakeStore::new());
    store.name_versions(true);
    let zip = || archive(&[("1", lines("b", 150).as_str()), ("2", lines("c", 150).as_str())]);
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.zip", zip()).await;
    // Three steps of the first file, and one of each entry: killed in the file, then in the first entry.
    let mut node = node;
    for _ in 0..2 {
        let unfinished = import(&node);
        node = killed_at(node, &store, unfinished, 1, true).await;
        put(&store, "in/a.json", lines("a", ROWS)).await;
        put(&store, "in/b.zip", zip()).await;
    }
    let report = passed(&node, &store, import(&node)).await;
    assert_eq!((report.known, files(&report), report.rows), (1, vec![("done", 2)], 150), "{report:?}");
    check_events(&node, events("a", ROWS).chain(events("b", 150)).chain(events("c", 150)));
}

/// The log knows more than the journal, as long as the import is open in this process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pass_that_died_the_next_one_knows_what_is_stored() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    died_at(&node, &store, import(&node), 1, true).await;
    let other = || import_as(&node, "events", "in/", &converter_text(r#""fileType":"json""#, "new "));
    put(&store, "in/a.json", lines("b", 50)).await;
    let report = passed(&node, &store, other()).await;
    assert_eq!(files(&report), [("changed", 1)], "{report:?}");
    // Another file needs its converter no more than this one does, and ends.
    put(&store, "in/c.json", lines("c", 3)).await;
    passed(&node, &store, other()).await;
    put(&store, "in/a.json", lines("a", ROWS)).await;
    let report = passed(&node, &store, other()).await;
    assert_eq!(files(&report), [("done", 1)], "{report:?}");
    check_events(&node, events("a", ROWS).chain(events("c", 3).map(|event| format!("new {event}"))));
}

/// A journal that counts how often all of its records are read.
#[derive(Debug)]
struct Scanned {
    journal: Arc<dyn Journal>,
    scans: AtomicI64,
}

impl Journal for Scanned {
    fn read(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        self.journal.read(key)
    }
    fn change(&self, change: Change<'_>) -> Result<(), JournalError> {
        self.journal.change(change)
    }
    fn linked(&self, key: u128) -> Result<Option<ImportKey>, JournalError> {
        self.journal.linked(key)
    }
    fn row_counts(&self, keys: &[u128]) -> Result<Vec<(u128, RowCount)>, JournalError> {
        self.journal.row_counts(keys)
    }
    fn kept(&self, kind: KeptOf, by: &str) -> Result<Option<Vec<u8>>, JournalError> {
        self.journal.kept(kind, by)
    }
    fn kept_by(&self, kind: KeptOf) -> Result<Vec<String>, JournalError> {
        self.journal.kept_by(kind)
    }
    fn kept_from(&self, kind: KeptOf, from: &str, each: EachKept<'_>) -> Result<(), JournalError> {
        self.journal.kept_from(kind, from, each)
    }
    fn each(&self, each: &mut dyn FnMut(ImportRecord)) -> Result<(), JournalError> {
        self.scans.fetch_add(1, Ordering::SeqCst);
        self.journal.each(each)
    }
    fn count(&self) -> Result<u64, JournalError> {
        self.journal.count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_pass_that_ends_a_file_reads_the_whole_journal() {
    let (node, store) = (node(), FakeStore::new());
    let scanned = Arc::new(Scanned { journal: Arc::clone(&node.journal) as _, scans: AtomicI64::new(0) });
    let other = converter_text(r#""fileType":"json""#, "new ");
    let mut scans = Vec::new();
    for (key, text) in [("a", "[]".to_owned()), ("b", "[]".to_owned()), ("c", lines("c", 3))] {
        put(&store, &format!("in/{key}.json"), text).await;
        let import = if key == "a" { import(&node) } else { import_as(&node, "events", "in/", &other) };
        let deps = PassDeps { journal: Arc::clone(&scanned) as _, ..deps(&node, &store) };
        pass(Arc::new(import), deps).await.unwrap();
        scans.push(scanned.scans.swap(0, Ordering::SeqCst));
    }
    assert_eq!(scans, [0, 0, 1]);
    assert_eq!(scanned.kept_by(KeptOf::Converter).unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_read_one_file_and_a_name_keeps_its_history() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 50)).await;
    let json = r#""fileType":"json""#;
    let twice = |name: &str, event: &str| import_as(&node, name, "in/", &converter_text(json, event));
    assert_eq!(files(&passed(&node, &store, twice("one", "")).await), [("done", 1)]);
    assert_eq!(files(&passed(&node, &store, twice("two", "two ")).await), [("done", 1)]);
    let both = || events("a", 50).chain(events("a", 50).map(|event| format!("two {event}")));
    check_events(&node, both());
    rename(&*node.journal, "one", "three").unwrap();
    assert_eq!(passed(&node, &store, twice("three", "")).await.known, 1);
    check_events(&node, both());
    let moved = BucketImport { prefix: "other/".to_owned(), ..twice("three", "") };
    let refused = pass(Arc::new(moved), deps(&node, &store)).await.unwrap_err();
    assert!(matches!(refused, PassError::Name(NameError::Fixed { .. })), "{refused}");
    assert!(refused.to_string().contains("prefix was \"in/\" and is \"other/\""), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_whose_name_gets_another_history_imports_nothing() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 50)).await;
    let text = converter_text(r#""fileType":"json""#, "");
    let named = |name: &str| import_as(&node, name, "in/", &text);
    passed(&node, &store, named("old")).await;
    let journal = Arc::clone(&node.journal);
    let renames = Arc::new(OnListing::new(&store, move |_| _ = rename(&*journal, "old", "events").unwrap()));
    let report = pass(Arc::new(named("events")), PassDeps { store: renames, ..deps(&node, &store) }).await;
    let report = report.unwrap();
    assert_eq!((report.not_begun, report.files.len(), report.stored), (1, 0, 0), "{report:?}");
    assert_eq!(passed(&node, &store, named("events")).await.known, 1);
    check_events(&node, events("a", 50));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_fails_delays_and_loses_nothing() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 300)).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    let one = BucketImport { parallel: 1, ..import(&node) };
    store.script_reads([
        Step::SLOW_DOWN,
        Step::Proper,
        Step::RESET,
        Step::Proper,
        Step::Cut(500),
        Step::SLOW_DOWN,
    ]);
    let report = passed(&node, &store, one).await;
    assert_eq!(files(&report), [("done", 2)], "{report:?}");
    check_events(&node, events("a", 300).chain(events("b", 30)));
    // What is denied is no end of the others.
    put(&store, "in/c.json", lines("c", 3)).await;
    put(&store, "in/d.json", lines("d", 3)).await;
    let one = BucketImport { parallel: 1, ..import(&node) };
    store.script_reads([Step::Proper, Step::REFUSED]);
    let report = passed(&node, &store, one).await;
    assert_eq!(files(&report), [("done", 1), ("denied", 1)], "{report:?}");
    // Whoever may list only below a prefix gets 403 for what is gone.
    store.script_reads([Step::Proper, Step::MISSING]);
    let report = passed(&node, &store, import(&node)).await;
    assert_eq!((files(&report), report.skipped_for(Skip::Missing)), (vec![], 1), "{report:?}");
    store.script_reads([Step::REFUSED]);
    let refused = pass(Arc::new(import(&node)), deps(&node, &store)).await.unwrap_err();
    assert!(matches!(refused, PassError::List { .. }), "{refused}");
}

/// A person who asked for a pass over a store that was away waited until somebody interrupted the command.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_with_patience_ends_if_the_store_does_not_answer() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 3)).await;
    let patient = || PassDeps { patience: Some(Duration::from_millis(500)), ..deps(&node, &store) };
    store.script_reads(std::iter::repeat_n(Step::RESET, 3));
    let ended = tokio::time::timeout(Duration::from_secs(60), pass(Arc::new(import(&node)), patient()));
    let error = ended.await.expect("it ends").unwrap_err();
    assert!(matches!(error, PassError::List { .. }), "{error}");
    store.script_reads([Step::Proper]);
    let report = pass(Arc::new(import(&node)), patient()).await.unwrap();
    assert_eq!(files(&report), [("done", 1)], "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_order_a_file_that_is_tried_again_holds_back_those_after_it() {
    let (node, store) = (node(), FakeStore::new());
    for (key, text) in
        [("in/a.json", lines("a", 3)), ("in/b.json", "[]".to_owned()), ("in/c.json", lines("c", 3))]
    {
        put(&store, key, text).await;
    }
    let serial = || BucketImport { serial: true, ..import(&node) };
    let reports = [
        passed(&node, &store, serial()).await,
        passed(&node, &store, serial()).await,
        passed(&node, &store, serial()).await,
    ];
    let found: Vec<_> = reports.iter().map(|report| (files(report), report.not_begun)).collect();
    assert_eq!(
        found,
        [
            (vec![("done", 1), ("failed", 1)], 1),
            (vec![("failed", 1)], 1),
            (vec![("done", 1), ("poison", 1)], 0)
        ]
    );
    check_events(&node, events("a", 3).chain(events("c", 3)));
}

const WEEK: Option<Duration> = Some(Duration::from_secs(7 * 86_400));

/// A converter of rows with an insert_id. One row in three gives two calls.
const KEYED: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"],"device_id":["path","d"],"insert_id":["path","i"],
    "user_properties":["path","props"],"$skip_user_properties_sync":["path","alone"]}}}"#;

/// Rows with these insert_ids.
fn keyed(file: &str, ids: std::ops::Range<usize>) -> String {
    ids.map(|id| {
        let more = if id % 3 == 0 { ",\"props\":{\"a\":1},\"alone\":false" } else { "" };
        format!("{{\"e\":\"{file} {id}\",\"u\":\"u\",\"d\":\"d\",\"i\":\"{id}\"{more}}}\n")
    })
    .collect()
}

fn comparing(node: &Node, name: &str, prefix: &str) -> BucketImport {
    BucketImport { insert_id_window: WEEK, serial: true, ..import_as(node, name, prefix, KEYED) }
}

/// The events that are stored, in order of their names, each once.
fn stored_events(node: &Node) -> Vec<String> {
    let calls = calls(node);
    let events = calls.iter().filter(|call| call["type"] == "track");
    let mut events: Vec<String> = events.map(|call| call["event"].as_str().unwrap().to_owned()).collect();
    events.sort();
    let (all, identifies) = (events.len(), calls.iter().filter(|call| call["type"] == "identify").count());
    events.dedup();
    assert_eq!(events.len(), all, "an event is stored twice");
    let two =
        events.iter().filter(|event| event.split(' ').nth(1).unwrap().parse::<usize>().unwrap() % 3 == 0);
    assert_eq!(identifies, two.count(), "the calls of a row are stored together or not at all");
    events
}

fn named(file: &str, ids: std::ops::Range<usize>) -> Vec<String> {
    let mut names: Vec<String> = ids.map(|id| format!("{file} {id}")).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_rows_with_one_insert_id_and_device_the_one_read_later_is_dropped() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", keyed("a", 0..2_500)).await;
    // Half of its rows repeat those of the first file, and one the row before it.
    put(&store, "in/b.json", keyed("b", 1_250..3_000) + &keyed("b", 2_999..3_000)).await;
    let report = passed(&node, &store, comparing(&node, "events", "in/")).await;
    assert_eq!(report.rows, 2_500 + 1_751, "{report:?}");
    let expected = [named("a", 0..2_500), named("b", 2_500..3_000)].concat();
    assert_eq!(stored_events(&node), expected);
    // After a kill, another import of the same source meets the same insert_ids.
    let node = node.killed();
    put(&store, "more/c.json", keyed("c", 2_900..3_100)).await;
    passed(&node, &store, comparing(&node, "more", "more/")).await;
    let expected = [expected, named("c", 3_000..3_100)].concat();
    assert_eq!(stored_events(&node), expected);
    // Other devices, no insert_id, and an import that compares nothing.
    let row = |event: &str, more: &str| format!("{{\"e\":\"{event} 1\",\"u\":\"u\"{more}}}\n");
    let other = [row("x", ",\"d\":\"e\",\"i\":\"5\""), row("y", ",\"i\":\"5\""), row("z", ",\"d\":\"d\"")];
    put(&store, "other/d.json", other.concat()).await;
    passed(&node, &store, comparing(&node, "others", "other/")).await;
    put(&store, "all/e.json", keyed("zz", 0..10)).await;
    let all = BucketImport { insert_id_window: None, ..comparing(&node, "all", "all/") };
    passed(&node, &store, all).await;
    let last = ["x 1", "y 1", "z 1"].map(str::to_owned).to_vec();
    assert_eq!(stored_events(&node), [expected, last, named("zz", 0..10)].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_which_only_repeats_were_met_can_be_replaced() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", keyed("a", 0..2_500)).await;
    let first = passed(&node, &store, comparing(&node, "events", "in/")).await;
    assert_eq!((first.rows, first.repeats), (2_500, 0));
    // Its first step has nothing but repeats, and the second one is lost.
    put(&store, "in/b.json", keyed("b", 0..4_500)).await;
    let import = comparing(&node, "events", "in/");
    let node = killed_at(node, &store, import, 1, false).await;
    put(&store, "in/b.json", keyed("b", 2_400..2_600)).await;
    let second = passed(&node, &store, comparing(&node, "events", "in/")).await;
    assert_eq!((second.rows, second.repeats), (200, 100), "{second:?}");
    assert_eq!(stored_events(&node), [named("a", 0..2_500), named("b", 2_500..2_600)].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_imports_at_once_store_a_row_once() {
    let (node, store) = (node(), FakeStore::new());
    for file in 0..4 {
        put(&store, &format!("in/{file}.json"), keyed("a", 0..3_000)).await;
    }
    let at_once = |name| BucketImport { serial: false, parallel: 4, ..comparing(&node, name, "in/") };
    let (one, two) =
        tokio::join!(passed(&node, &store, at_once("one")), passed(&node, &store, at_once("two")),);
    assert_eq!((one.rows, two.rows), (12_000, 12_000));
    assert_eq!(one.stored + two.stored, 4_000, "3,000 events, and 1,000 calls beside them");
    assert_eq!(stored_events(&node), named("a", 0..3_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_step_rows_are_compared_with_all_that_are_stored() {
    let store = FakeStore::new();
    put(&store, "in/a.json", keyed("a", 0..4_500)).await;
    put(&store, "in/b.json", keyed("b", 2_000..5_000)).await;
    for steps in 0..5 {
        for stores_last in [false, true] {
            let node = node();
            let first = comparing(&node, "events", "in/");
            let node = killed_at(node, &store, first, steps, stores_last).await;
            passed(&node, &store, comparing(&node, "events", "in/")).await;
            let expected = [named("a", 0..4_500), named("b", 4_500..5_000)].concat();
            assert_eq!(stored_events(&node), expected, "{steps} {stores_last}");
        }
    }
}

/// A log that knows its rows or not.
#[derive(Debug, Default)]
struct Knows(std::sync::Mutex<Option<RowsUnknown>>);

impl Imports for Knows {
    fn begin_import(&self, _: ImportKey, _: ImportProgress) -> Result<OpenImport, Stopped> {
        Err(Stopped)
    }

    fn open_imports(&self) -> Vec<OpenImport> {
        Vec::new()
    }

    fn end_imports(&self, _: &[u64]) -> Result<(), Stopped> {
        Err(Stopped)
    }

    fn has_room_for_rows(&self) -> bool {
        true
    }

    fn rows_to_store(
        &self,
        _: &SourceId,
        rows: &[u128],
        _: UnixMillis,
        _: Duration,
    ) -> Result<Vec<Option<RowKey>>, RowsUnknown> {
        let unknown = self.0.lock().unwrap().clone();
        unknown.map_or_else(|| Ok(rows.iter().map(|row| Some(RowKey(*row))).collect()), Err)
    }
}

#[test]
fn rows_that_wait_are_an_alarm_until_they_are_compared() {
    let (log, alarms) = (
        Arc::new(Knows::default()),
        Arc::new(Alarms::new(Arc::new(SystemClock::new()), Arc::new(Metrics::new()))),
    );
    let watched = WatchedRows::new(Arc::clone(&log) as _, Arc::clone(&alarms));
    let source = SourceId::new("csv").unwrap();
    let ask_for = |rows: &[u128], window| {
        watched.rows_to_store(&source, rows, UnixMillis(0), Duration::from_secs(window)).is_ok()
    };
    let ask = || ask_for(&[1], 5);
    assert!(ask() && alarms.standing().is_empty());
    *log.0.lock().unwrap() = Some(RowsUnknown::Full { max: 5 });
    assert!(!ask() && !ask());
    let standing = alarms.standing();
    assert_eq!((standing.len(), standing[0].kind), (1, AlarmKind::BucketImport));
    assert!(standing[0].what.contains("spool.max_bytes") && standing[0].what.contains("insert_id_window"));
    *log.0.lock().unwrap() = None;
    assert!(ask_for(&[], 5) && alarms.standing().len() == 1, "no new row shows that there is room");
    assert!(ask() && alarms.standing().is_empty());
    let [file, what, newest] = ["a", "b", "c"].map(str::to_owned);
    *log.0.lock().unwrap() = Some(RowsUnknown::Damaged { file, what, keys: 1, newest });
    assert!(!ask());
    *log.0.lock().unwrap() = None;
    assert!(ask_for(&[1], 4) && alarms.standing().len() == 1, "it did not look so far back");
    assert!(ask() && alarms.standing().is_empty());
}

/// The log's window of repeats would drop one of them, and the rest of its row would stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_with_equal_insert_ids_are_all_stored_if_they_are_not_compared() {
    let (node, store) = (node(), FakeStore::new());
    let text = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
        "event_type":["path","e"],"user_id":["path","u"],"insert_id":["path","i"]}}}"#;
    put(&store, "in/a.json", "{\"e\":\"one\",\"u\":\"u\",\"i\":\"1\"}\n".repeat(3)).await;
    let report = passed(&node, &store, import_as(&node, "events", "in/", text)).await;
    assert_eq!((report.rows, report.stored), (3, 3), "{report:?}");
    assert_eq!(calls(&node).len(), 3);
}

/// The program has few threads for blocking work, and a step needs one: files must not keep them all.
#[test]
fn files_of_an_import_need_no_more_threads_than_the_program_has() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let made = runtime.block_on(async {
        let (node, store) = (node(), FakeStore::new());
        for file in 0..4 {
            // More steps than are read ahead.
            let rows = keyed(&format!("f{file}"), file * 20_000..file * 20_000 + 15_000);
            put(&store, &format!("in/{file}.json"), rows).await;
        }
        let import = BucketImport { serial: false, parallel: 4, ..comparing(&node, "events", "in/") };
        tokio::time::timeout(PATIENCE, passed(&node, &store, import)).await
    });
    // Threads that hang would hold up the end of the runtime.
    runtime.shutdown_background();
    let report = made.expect("the pass hangs");
    assert_eq!((files(&report), report.rows), (vec![("done", 4)], 60_000), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_for_now_is_left_to_the_next_pass() {
    let (node, store) = (node(), FakeStore::new());
    for (key, event) in [("in/a.json", "a"), ("in/b.json", "b")] {
        put(&store, key, format!("{{\"u\":\"u\",\"e\":\"{event}\"}}\n")).await;
    }
    let away =
        PassDeps { store: Arc::new(OnListing::unreadable(&store, &["in/a.json"])), ..deps(&node, &store) };
    let report = pass(Arc::new(import(&node)), away).await.unwrap();
    let files = (report.files_that(Became::Done), report.files_that(Became::Failed));
    assert_eq!(
        (files, report.not_begun, &report.scanned.left[..]),
        ((1, 1), 0, &["in/a.json".to_owned()][..])
    );
    assert_eq!(report.not_done[0].name, "s3://lake/in/a.json");
    // It is not given up, however often this happens.
    for _ in 0..4 {
        let away = PassDeps {
            store: Arc::new(OnListing::unreadable(&store, &["in/a.json"])),
            ..deps(&node, &store)
        };
        assert_eq!(pass(Arc::new(import(&node)), away).await.unwrap().files_that(Became::Failed), 1);
    }
    assert_eq!(passed(&node, &store, import(&node)).await.files_that(Became::Done), 1);
    assert_eq!(calls(&node).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_gives_no_object_ends_the_pass_soon() {
    let (node, store) = (node(), FakeStore::new());
    let keys: Vec<&'static str> = (0..40).map(|number| &*format!("in/{number:02}.json").leak()).collect();
    for key in &keys {
        put(&store, key, "{\"u\":\"u\",\"e\":\"e\"}\n".to_owned()).await;
    }
    let away = PassDeps { store: Arc::new(OnListing::unreadable(&store, &keys)), ..deps(&node, &store) };
    let report = pass(Arc::new(import(&node)), away).await.unwrap();
    let failed = report.files_that(Became::Failed);
    assert!((8..=12).contains(&failed) && failed + report.not_begun == 40, "{report:?}");
    assert_eq!(passed(&node, &store, import(&node)).await.files_that(Became::Done), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_an_object_takes_long_is_imported_meanwhile() {
    let (node, store, gate) = (node(), FakeStore::new(), Gate::new());
    put(&store, "in/long.json", "{\"u\":\"u\",\"e\":\"long\"}\n".to_owned()).await;
    let stalls = PassDeps {
        store: Arc::new(OnListing::slow(&store, "in/long.json", &gate)),
        list_again: Some(Duration::from_millis(20)),
        ..deps(&node, &store)
    };
    let passing = tokio::spawn(pass(Arc::new(import(&node)), stalls));
    wait::until("the long object is read", PATIENCE, async || gate.is_awaited().then_some(())).await;
    for name in ["b", "c"] {
        put(&store, &format!("in/{name}.json"), format!("{{\"u\":\"u\",\"e\":\"{name}\"}}\n")).await;
        let is_there = async || calls(&node).iter().any(|call| call["event"] == *name).then_some(());
        wait::until("its call", PATIENCE, is_there).await;
    }
    assert!(!passing.is_finished());
    gate.open();
    let report = passing.await.unwrap().unwrap();
    assert_eq!((report.files_that(Became::Done), report.listed), (3, 1), "{report:?}");
    assert_eq!(calls(&node).len(), 3);
}
