//! Rejected rows of buckets: read again with another converter, each stored once, whatever happens in between.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use forebay::boxed_future::BoxFuture;
use forebay::import::bucket_import::{
    After, Became, BucketImport, PassDeps, RejectsInStore, RejectsPlace, RetryOutcome, RetryReport,
    accept_rejects, pass, reset_object, retry_rejects,
};
use forebay::import::journal::Journal as _;
use forebay::import::{
    Begin, Begun, End, FileEnd, ImportRecord, ImportState, Importer, Rows, RowsTaken, Target, TargetError,
    description_of,
};
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::store::PutMode;
use forebay::store::fake::{FakeStore, Step};
use forebay::store::reader::StoreReader as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::bucket::{
    Stalls, archive, calls, check_events, deps, files, import_as, location, passed, put, skipped,
};
use super::importer::{Node, node};
use super::support::rejects;
use crate::support::wait;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
const ROWS: usize = 2_500;

/// Of ten rows, one has no user in `u` but in `v`, and one has none at all.
fn rows(file: &str, rows: std::ops::Range<usize>) -> String {
    rows.map(|row| match row % 10 {
        3 => format!("{{\"e\":\"{file} {row}\",\"v\":\"u\",\"i\":\"{file} {row}\"}}\n"),
        7 => format!("{{\"e\":\"{file} {row}\",\"i\":\"{file} {row}\"}}\n"),
        _ => format!("{{\"e\":\"{file} {row}\",\"u\":\"u\",\"i\":\"{file} {row}\"}}\n"),
    })
    .collect()
}

fn named(file: &str, count: usize, is_wanted: impl Fn(usize) -> bool) -> Vec<String> {
    (0..count).filter(|row| is_wanted(row % 10)).map(|row| format!("{file} {row}")).collect()
}

fn converter(user: &str) -> String {
    format!(
        r#"{{"converterConfig":{{"fileType":"json","convertToAmplitudeFunc":{{
            "event_type":["path","e"],"user_id":{user}}}}}}}"#
    )
}

fn first(node: &Node) -> BucketImport {
    import_as(node, "events", "in/", &converter(r#"["path","u"]"#))
}

/// The converter that a person corrected.
fn corrected(node: &Node) -> BucketImport {
    import_as(node, "events", "in/", &converter(r#"["any",["path","u"],["path","v"]]"#))
}

/// The one that leaves no row out.
fn complete(node: &Node) -> BucketImport {
    let user = r#"["any",["path","u"],["path","v"],["value","nobody"]]"#;
    import_as(node, "events", "in/", &converter(user))
}

async fn retried(node: &Node, store: &FakeStore, import: BucketImport, key: Option<&str>) -> RetryReport {
    retry_rejects(Arc::new(import), deps(node, store), key, false).await.unwrap()
}

fn counts(report: &RetryReport) -> (u64, u64, u64, u64) {
    (report.files, report.outcome.settled, report.outcome.rejected, report.left_count)
}

/// How many rejected rows the records of an object's files have that are not settled.
fn unsettled(node: &Node, key: &str) -> u64 {
    let (name, mut rows) = (format!("s3://lake/{key}"), 0);
    let mut add = |record: ImportRecord| {
        let of_object = record.name.strip_prefix(&name);
        if of_object.is_some_and(|rest| rest.is_empty() || rest.starts_with('!')) {
            rows += record.unsettled_rejects();
        }
    };
    node.importer.journal().each(&mut add).unwrap();
    rows
}

/// The rejected rows that are kept in the folder, by their file and number.
fn kept(node: &Node) -> BTreeSet<(String, u64)> {
    let mut kept = BTreeSet::new();
    for path in sets(node) {
        for reject in rejects(&path) {
            let row = (reject["file"].as_str().unwrap().to_owned(), reject["row"].as_u64().unwrap());
            assert!(kept.insert(row), "twice: {reject}");
        }
    }
    kept
}

fn sets(node: &Node) -> Vec<PathBuf> {
    let Ok(folders) = fs::read_dir(node.dir.path().join("rejects")) else { return Vec::new() };
    let files = folders.flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|extension| extension == "ndjson")).collect()
}

/// Checks that each row of the files is an event or a rejected row, and neither both nor twice. Counted from the log
/// and the folder alone.
fn check_ledger(node: &Node, files: &[(&str, usize)]) {
    let events: Vec<String> =
        calls(node).iter().map(|call| call["event"].as_str().unwrap().to_owned()).collect();
    let stored: BTreeSet<&String> = events.iter().collect();
    assert_eq!(stored.len(), events.len(), "a row is stored twice");
    let kept = kept(node);
    let all: usize = files.iter().map(|(_, rows)| rows).sum();
    assert_eq!(stored.len() + kept.len(), all, "accepted = stored + rejected");
    for (file, row) in kept {
        let name = file.strip_prefix("s3://lake/in/").unwrap().split(['.', '!']).next().unwrap().to_owned();
        assert!(!stored.contains(&format!("{name} {row}")), "{file} {row} is stored and rejected");
    }
}

fn said(end: &FileEnd) -> String {
    match end {
        FileEnd::Failed(error) => error.to_string(),
        other => format!("{other:?}"),
    }
}

fn by_code(counts: &forebay::import::RejectCounts) -> BTreeMap<String, u64> {
    counts.clone().into_rows().into_iter().map(|rows| (rows.code, rows.count)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_become_calls_by_the_converter_of_now_with_the_ids_of_their_places() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..ROWS)).await;
    put(&store, "in/b.zip", archive(&[("x", &rows("b", 0..50)), ("y", &rows("y", 0..3))])).await;
    let report = passed(&node, &store, first(&node)).await;
    assert_eq!((files(&report), report.rejected), (vec![("done", 3)], 510), "{report:?}");
    assert_eq!((unsettled(&node, "in/a.json"), unsettled(&node, "in/b.zip")), (500, 10));
    let all = [("a", ROWS), ("b", 50), ("y", 3)];
    // What would become of them, and nothing else.
    let (before, sets_before) = (calls(&node).len(), kept(&node));
    let tried = retry_rejects(Arc::new(corrected(&node)), deps(&node, &store), None, true).await.unwrap();
    assert_eq!(counts(&tried), (2, 255, 255, 0), "{tried:?}");
    assert_eq!(
        by_code(&tried.outcome.settled_by_code),
        BTreeMap::from([("missing:user_id".to_owned(), 255)])
    );
    assert_eq!((calls(&node).len(), kept(&node)), (before, sets_before));
    // One object, then the others.
    let one = retried(&node, &store, corrected(&node), Some("in/b.zip")).await;
    assert_eq!((counts(&one), one.stored), ((1, 5, 5, 0), 5), "{one:?}");
    check_ledger(&node, &[("a", ROWS), ("b", 50), ("y", 3)].map(|(name, rows)| (name, rows)));
    let rest = retried(&node, &store, corrected(&node), None).await;
    assert_eq!(counts(&rest), (2, 250, 255, 0), "b has rows that are rejected again: {rest:?}");
    check_ledger(&node, &all);
    assert_eq!(unsettled(&node, "in/a.json"), 250);
    // The ids are those that the rows would have had at once.
    let ids = |node: &Node| -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        calls(node).iter().map(|call| (text(&call["event"]), text(&call["messageId"]))).collect()
    };
    let ids = ids(&node);
    let row =
        |name: &str| ids[name].rsplit_once('_').map(|(file, row)| (file.to_owned(), row.to_owned())).unwrap();
    assert_eq!((row("a 13").0, row("a 13").1), (row("a 12").0, "13".to_owned()));
    // A second time nothing is stored, and the last converter settles all.
    let same = retried(&node, &store, corrected(&node), None).await;
    assert_eq!((counts(&same), same.stored), ((2, 0, 255, 0), 0), "{same:?}");
    let last = retried(&node, &store, complete(&node), None).await;
    assert_eq!(counts(&last), (2, 255, 0, 0), "{last:?}");
    check_events(
        &node,
        [named("a", ROWS, |_| true), named("b", 50, |_| true), named("y", 3, |_| true)].concat(),
    );
    assert_eq!((sets(&node), unsettled(&node, "in/a.json")), (vec![], 0));
    assert_eq!(counts(&retried(&node, &store, complete(&node), None).await), (0, 0, 0, 0));
    // No pass does anything about it.
    let again = passed(&node, &store, complete(&node)).await;
    assert_eq!((again.known, again.rows), (2, 0), "{again:?}");
}

/// The next process, after one that was killed while the rejected rows waited for their step number `steps`.
async fn killed_at(
    node: Node,
    store: &FakeStore,
    import: BucketImport,
    steps: i64,
    stores_last: bool,
) -> Node {
    let plain = deps(&node, store);
    let stalls =
        Arc::new(Stalls { target: Arc::clone(&plain.target), steps: AtomicI64::new(steps), stores_last });
    let deps = PassDeps { target: Arc::clone(&stalls) as _, ..plain };
    let running =
        tokio::spawn(async move { retry_rejects(Arc::new(import), deps, None, false).await.map(drop) });
    wait::until("the step that is not answered", PATIENCE, async || {
        (stalls.steps.load(Ordering::SeqCst) < -1 || running.is_finished()).then_some(())
    })
    .await;
    running.abort();
    assert!(running.await.is_err(), "it ended before step {steps}");
    node.killed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_step_no_rejected_row_is_stored_twice_or_forgotten() {
    let store = FakeStore::new();
    // Two steps of the rejected rows of the first file, and one of the other.
    let (a, b) = (rows("a", 0..15_000), rows("b", 0..50));
    put(&store, "in/a.json", a).await;
    put(&store, "in/b.json", b).await;
    let all = [("a", 15_000), ("b", 50)];
    for steps in 0..3 {
        for stores_last in [false, true] {
            for changes_converter in [false, true] {
                let node = node();
                passed(&node, &store, first(&node)).await;
                check_ledger(&node, &all);
                let import = corrected(&node);
                let node = killed_at(node, &store, import, steps, stores_last).await;
                let import = || if changes_converter { complete(&node) } else { corrected(&node) };
                // After a kill, a dry run said something else than the run.
                let dry = retry_rejects(Arc::new(import()), deps(&node, &store), None, true).await.unwrap();
                let ended = retried(&node, &store, import(), None).await;
                let what = format!("{steps} {stores_last} {changes_converter}: {ended:?}");
                assert_eq!((dry.outcome.settled, dry.stored), (ended.outcome.settled, 0), "{what}");
                assert_eq!(dry.outcome.rejected_by_code, ended.outcome.rejected_by_code, "{what}");
                assert_eq!((ended.left_count, ended.is_stopped()), (0, false), "{what}");
                check_ledger(&node, &all);
                let left = unsettled(&node, "in/a.json") + unsettled(&node, "in/b.json");
                assert_eq!(left, if changes_converter { 0 } else { 1_505 }, "{what}");
                assert_eq!(kept(&node).len() as u64, left, "{what}");
                retried(&node, &store, complete(&node), None).await;
                check_events(&node, [named("a", 15_000, |_| true), named("b", 50, |_| true)].concat());
            }
        }
    }
}

/// A retry that is killed has stored all rejected rows of a file. The file was kept because of them, and a person who accepted
/// them was told that they are given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_whose_rejected_rows_a_killed_retry_has_stored_is_not_kept() {
    for accepts in [false, true] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", rows("a", 0..50)).await;
        put(&store, "in/b.json", rows("b", 0..50)).await;
        passed(&node, &store, BucketImport { after: Some(After::Tag), ..first(&node) }).await;
        let import = BucketImport { after: Some(After::Tag), ..complete(&node) };
        let node = killed_at(node, &store, import, 1, false).await;
        let import = || BucketImport { after: Some(After::Tag), ..complete(&node) };
        let retried_first =
            ["in/a.json", "in/b.json"].into_iter().find(|key| unsettled(&node, key) == 0).unwrap();
        if accepts {
            let accepted = accept_rejects(Arc::new(import()), deps(&node, &store), retried_first).await;
            assert_eq!(accepted.unwrap().rows, 0);
        }
        let after = passed(&node, &store, import()).await.after;
        assert_eq!((after.rejected_rows, after.done.values().sum::<u64>()), (10, 1), "{after:?}");
        assert_eq!(retried(&node, &store, import(), None).await.left_count, 0);
        let after = passed(&node, &store, import()).await.after;
        assert_eq!((after.rejected_rows, after.done.values().sum::<u64>()), (0, 1), "{after:?}");
        check_events(&node, [named("a", 50, |_| true), named("b", 50, |_| true)].concat());
    }
}

/// Asks for a stop when it takes its first step.
#[derive(Debug)]
struct Stops {
    target: Arc<dyn Target>,
    stop: CancellationToken,
}

impl Target for Stops {
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        self.target.begin(file)
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        self.stop.cancel();
        self.target.rows(rows, calls)
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        self.target.end(end)
    }
}

/// It said that no row was read, and how many calls were stored; the list counted these as rejected, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_is_stopped_says_what_it_has_read() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..15_000)).await;
    passed(&node, &store, first(&node)).await;
    let plain = deps(&node, &store);
    let stop = CancellationToken::new();
    let target = Arc::new(Stops { target: Arc::clone(&plain.target), stop: stop.clone() });
    let stopping = PassDeps { target, stop, ..plain };
    let report = retry_rejects(Arc::new(corrected(&node)), stopping, None, false).await.unwrap();
    let RetryOutcome { settled, rejected, .. } = report.so_far;
    assert!(report.is_stopped() && report.outcome == RetryOutcome::default(), "{report:?}");
    assert!(settled > 0 && settled == report.stored && settled.abs_diff(rejected) <= 1, "{report:?}");
    let listed = Importer::newest_of(&node.importer, None, 9, Box::new(|_| true)).await;
    let of_file = listed.imports.iter().find(|known| known.record.name == "s3://lake/in/a.json").unwrap();
    assert_eq!((of_file.record.unsettled_rejects(), of_file.settled_by_retry), (3_000, settled));
    let ended = retried(&node, &store, corrected(&node), None).await;
    assert_eq!((counts(&ended), ended.so_far), ((1, 1_500, 1_500, 0), RetryOutcome::default()));
    let listed = Importer::newest_of(&node.importer, None, 9, Box::new(|_| true)).await;
    assert!(listed.imports.iter().all(|known| known.settled_by_retry == 0), "{listed:?}");
}

/// What the stopped retry had stored was counted as accepted, and the retry was in the list for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_killed_retry_whose_object_is_gone_are_stored_or_accepted() {
    for (stores_last, after) in [(false, None), (true, None), (true, Some(After::Delete))] {
        let (first_node, store) = (node(), FakeStore::new());
        let corrected = |node: &Node| BucketImport { after: after.clone(), ..corrected(node) };
        put(&store, "in/a.json", rows("a", 0..15_000)).await;
        passed(&first_node, &store, BucketImport { after: after.clone(), ..first(&first_node) }).await;
        let import = corrected(&first_node);
        let node = killed_at(first_node, &store, import, 1, stores_last).await;
        let before = calls(&node).len() as u64;
        store.delete("lake", "in/a.json");
        assert_eq!(retried(&node, &store, corrected(&node), None).await.left_count, 1);
        let accepted = accept_rejects(Arc::new(corrected(&node)), deps(&node, &store), "in/a.json").await;
        let rows = accepted.unwrap().rows;
        assert_eq!(calls(&node).len() as u64, before);
        let record = record_of(&node, "in/a.json");
        assert_eq!((record.unsettled_rejects(), record.accepted_rejects()), (0, rows));
        assert_eq!(
            12_000 + record.settled_by_passes(),
            before,
            "of each row there is a call, or it is accepted"
        );
        assert!(before > 12_000 && rows > 0, "{before} {rows}");
        let again = accept_rejects(Arc::new(corrected(&node)), deps(&node, &store), "in/a.json").await;
        assert!(again.is_err(), "{again:?}");
        let mut open = Vec::new();
        node.journal.each(&mut |record| open.push((record.name, record.state))).unwrap();
        assert!(open.iter().all(|(_, state)| *state == ImportState::Done), "{open:?}");
    }
}

/// The record of a file that was imported.
fn record_of(node: &Node, key: &str) -> ImportRecord {
    let (mut found, name) = (None, format!("s3://lake/{key}"));
    let mut each = |record: ImportRecord| {
        if record.name == name {
            found = Some(record);
        }
    };
    node.journal.each(&mut each).unwrap();
    found.unwrap()
}

/// It did not count the calls that retries had stored, and named a command that is refused for a key of another prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_says_how_much_of_the_old_object_is_stored() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..50)).await;
    passed(&node, &store, first(&node)).await;
    retried(&node, &store, corrected(&node), None).await;
    retried(&node, &store, complete(&node), None).await;
    put(&store, "in/a.json", rows("b", 0..5)).await;
    passed(&node, &store, complete(&node)).await;
    let reset = |key: &'static str| {
        let (import, deps) = (Arc::new(complete(&node)), deps(&node, &store));
        async move { reset_object(import, deps, key).await }
    };
    let of_old = reset("in/a.json").await.unwrap();
    assert_eq!((of_old.rows, of_old.calls), (50, 50));
    let none = reset("out/a.json").await.unwrap_err().to_string();
    assert!(none.ends_with("is no object of import events: its keys begin with \"in/\""), "{none}");
}

/// It stayed in the folder for good: rows beside the right set that had become calls long ago.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_a_kill_left_behind_is_removed() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..50)).await;
    passed(&node, &store, first(&node)).await;
    let [old] = <[PathBuf; 1]>::try_from(sets(&node)).unwrap();
    let text = fs::read(&old).unwrap();
    retried(&node, &store, corrected(&node), None).await;
    let [now] = <[PathBuf; 1]>::try_from(sets(&node)).unwrap();
    // As if the process had died between the record and the removal.
    fs::write(&old, text).unwrap();
    let node = node.killed();
    passed(&node, &store, corrected(&node)).await;
    let left = <[PathBuf; 1]>::try_from(sets(&node)).unwrap();
    assert_eq!(left[0].file_name(), now.file_name());
    check_ledger(&node, &[("a", 50)]);
}

/// Crashes between the last step of a round and its record, and between the record and the removal of its rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_round_that_was_not_recorded_is_recorded_later_and_stores_nothing_again() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..50)).await;
    passed(&node, &store, first(&node)).await;
    let [set] = <[PathBuf; 1]>::try_from(sets(&node)).unwrap();
    let rows_of_set = fs::read(&set).unwrap();
    let import = corrected(&node);
    let node = killed_at(node, &store, import, 0, true).await;
    let set = sets(&node).into_iter().find(|path| path.file_name() == set.file_name()).unwrap();
    let under_way = record_of(&node, "in/a.json");
    assert_eq!(counts(&retried(&node, &store, corrected(&node), None).await), (1, 5, 5, 0));
    check_ledger(&node, &[("a", 50)]);
    let stored = calls(&node).len();
    let [first_next] = <[PathBuf; 1]>::try_from(sets(&node)).unwrap();
    let next_set =
        [first_next.clone(), description_of(&first_next)].map(|path| (path.clone(), fs::read(path).unwrap()));
    // The rows were not removed: those of the next round count.
    fs::write(&set, &rows_of_set).unwrap();
    assert_eq!(counts(&retried(&node, &store, corrected(&node), None).await), (1, 0, 5, 0));
    // The round was not recorded, and its next set is there.
    for (path, bytes) in &next_set {
        fs::write(path, bytes).unwrap();
    }
    sets(&node)
        .iter()
        .filter(|path| **path != set && **path != first_next)
        .for_each(|path| fs::remove_file(path).unwrap());
    node.journal.write(std::slice::from_ref(&under_way)).unwrap();
    assert_eq!(unsettled(&node, "in/a.json"), 10);
    let ended = retried(&node, &store, corrected(&node), None).await;
    assert_eq!((counts(&ended), ended.stored, calls(&node).len()), ((1, 5, 5, 0), 0, stored), "{ended:?}");
    check_ledger(&node, &[("a", 50)]);
    // A set that is missing is not taken for one without rows.
    fs::write(&set, &rows_of_set).unwrap();
    fs::remove_file(&first_next).unwrap();
    node.journal.write(&[under_way]).unwrap();
    let damaged = retried(&node, &store, corrected(&node), None).await;
    assert!(
        damaged.left_count == 1 && said(&damaged.left[0].end).contains("5 rows were rejected again"),
        "{damaged:?}"
    );
    assert_eq!((unsettled(&node, "in/a.json"), calls(&node).len()), (10, stored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_again_is_named_and_stops_no_other() {
    let (node, store) = (node(), FakeStore::new());
    for name in ["a", "b", "c", "d", "e"] {
        put(&store, &format!("in/{name}.json"), rows(name, 0..50)).await;
    }
    put(&store, "in/poison.json", rows("poison", 0..2_000) + &"{\n".repeat(9_000)).await;
    passed(&node, &store, first(&node)).await;
    // Another object, none, an unreadable set, a missing set, and a file that is not done.
    put(&store, "in/a.json", rows("a", 0..60)).await;
    store.delete("lake", "in/b.json");
    let set_of = |name: &str| {
        let is_of = |path: &PathBuf| rejects(path)[0]["file"] == format!("s3://lake/in/{name}.json");
        sets(&node).into_iter().find(is_of).unwrap()
    };
    let (of_c, of_d) = (set_of("c"), set_of("d"));
    fs::write(&of_c, fs::read_to_string(&of_c).unwrap().replace("\"row\"", "\"raw\"")).unwrap();
    fs::remove_file(&of_d).unwrap();
    let report = retried(&node, &store, corrected(&node), None).await;
    let left: BTreeMap<&str, (Became, String)> = report
        .left
        .iter()
        .map(|left| {
            let name = left.name.strip_prefix("s3://lake/in/").unwrap().strip_suffix(".json").unwrap();
            (name, (left.became, said(&left.end)))
        })
        .collect();
    let check = |name: &str, became: Became, says: &str| {
        let (found, end) = &left[name];
        assert!(*found == became && end.contains(says), "{name}: {found:?} {end}");
    };
    check("a", Became::Changed, "E-CHANGED");
    check("b", Became::Missing, "E-MISSING");
    check("c", Became::Failed, "cannot be read");
    check("d", Became::Failed, "--again --from in/d.json --to in/d.json");
    check("poison", Became::Refused, "has not reached the end");
    assert_eq!((left.len(), report.not_kept, report.outcome.settled), (5, 10, 5), "{report:?}");
    // Reading all of the file again settles what was not kept.
    let again = PassDeps { again: true, ..deps(&node, &store) };
    pass(Arc::new(corrected(&node)), again).await.unwrap();
    assert_eq!(unsettled(&node, "in/d.json"), 5);
    assert_eq!(retried(&node, &store, complete(&node), Some("in/d.json")).await.outcome.settled, 5);
}

/// Rows with an insert_id that another row has by now are repeats.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_repeat_others_are_settled_and_not_stored() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..100)).await;
    let window = Some(std::time::Duration::from_secs(86_400));
    let keyed = |user: &str, node: &Node| {
        let text = converter(user).replace("\"user_id\"", "\"insert_id\":[\"path\",\"i\"],\"user_id\"");
        BucketImport { insert_id_window: window, ..import_as(node, "events", "in/", &text) }
    };
    let (plain, both) = (r#"["path","u"]"#, r#"["any",["path","u"],["path","v"]]"#);
    passed(&node, &store, keyed(plain, &node)).await;
    // Another file has half of the rejected rows, which are calls there.
    put(&store, "in/b.json", rows("a", 0..50).replace("\"v\":", "\"u\":")).await;
    passed(&node, &store, keyed(plain, &node)).await;
    let report = retried(&node, &store, keyed(both, &node), Some("in/a.json")).await;
    assert_eq!((report.outcome.settled, report.stored, report.outcome.rejected), (10, 5, 10), "{report:?}");
    check_events(&node, named("a", 100, |row| row != 7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_without_room_counts_rows_and_keeps_no_more() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..100)).await;
    put(&store, "in/b.json", rows("b", 0..100)).await;
    let place = || RejectsPlace::folder(node.dir.path().join("rejects"), 4_000);
    let bounded = |import: BucketImport| BucketImport { rejects: place(), serial: true, ..import };
    let report = passed(&node, &store, bounded(first(&node))).await;
    assert_eq!((files(&report), report.rejected), (vec![("done", 2)], 40), "{report:?}");
    let kept_rows = kept(&node).len() as u64;
    assert!(report.rejects_full && kept_rows > 0 && kept_rows + report.rejects_not_kept == 40, "{report:?}");
    assert_eq!((unsettled(&node, "in/a.json"), unsettled(&node, "in/b.json")), (20, 20));
    let full: u64 = sets(&node).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
    assert!(full <= 4_000, "{full}");
    // What was kept is settled; the rest is named until all rows are read again.
    let retried_now = retried(&node, &store, bounded(complete(&node)), None).await;
    assert_eq!(
        (retried_now.outcome.settled, retried_now.not_kept),
        (kept_rows, report.rejects_not_kept),
        "{retried_now:?}"
    );
    let still = BucketImport { rejects: RejectsPlace { was_full: Some(true), ..place() }, ..complete(&node) };
    assert!(!passed(&node, &store, still).await.rejects_full, "there is room again");
}

/// A folder that was never full takes rows up to the last byte, and one that was needs a tenth of its room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_is_nearly_full_lacks_room_only_if_it_was_full() {
    const MAX: u64 = 2_000_000;
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..10)).await;
    let folder = node.dir.path().join("rejects");
    let place = |was_full| RejectsPlace { was_full, ..RejectsPlace::folder(folder.clone(), MAX) };
    passed(&node, &store, BucketImport { rejects: place(None), ..complete(&node) }).await;
    let id = forebay::import::named(&*node.journal, "events").unwrap().unwrap().id;
    let own = folder.join(id.to_string());
    fs::create_dir_all(&own).unwrap();
    for (used, expected) in [
        (0, [false, false, false]),
        (1_790_000, [false, false, false]),
        (1_900_000, [false, false, true]),
        (1_950_000, [true, false, true]),
        (MAX, [true, false, true]),
    ] {
        fs::File::create(own.join("others")).unwrap().set_len(used).unwrap();
        for (was_full, expected) in [None, Some(false), Some(true)].into_iter().zip(expected) {
            let import = BucketImport { rejects: place(was_full), ..complete(&node) };
            let report = passed(&node, &store, import).await;
            assert_eq!(report.rejects_full, expected, "{used} {was_full:?}");
        }
    }
}

/// What is in the store of rejected rows: each object's rows, by its key.
async fn stored_rejects(store: &FakeStore) -> BTreeMap<String, Vec<u64>> {
    let (location, mut found) = (rejects_location(), BTreeMap::new());
    let from = forebay::store::reader::ListFrom { prefix: "", ..Default::default() };
    for listed in store.list(&location, from).await.unwrap().objects {
        let mut body = store.get(&location, &listed.key).await.unwrap();
        let mut bytes = Vec::new();
        while let Some(more) = body.next().await.unwrap() {
            bytes.extend_from_slice(&more);
        }
        let text = std::io::read_to_string(MultiGzDecoder::new(bytes.as_slice())).unwrap();
        let rows =
            text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].as_u64().unwrap());
        found.insert(listed.key.as_str().to_owned(), rows.collect());
    }
    found
}

fn rejects_location() -> S3Location {
    S3Location::new(BucketString::parse("rejects").unwrap(), Encryption::SseS3)
}

fn in_store(node: &Node, to: &FakeStore, import: BucketImport) -> BucketImport {
    let in_store = RejectsInStore {
        store: Arc::new(to.clone()),
        reader: Arc::new(to.clone()),
        endpoint: String::new(),
        location: rejects_location(),
        prefix: "bad/".to_owned(),
        mode: PutMode::CreateOnly,
    };
    let place = RejectsPlace::folder(node.dir.path().join("rejects"), 1 << 30);
    BucketImport { rejects: RejectsPlace { in_store: Some(in_store), ..place }, ..import }
}

/// They were imported as files once the setting was changed or removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_are_no_files_of_any_import_after_their_place_is_left() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..50)).await;
    let mut here = in_store(&node, &store, first(&node));
    let place = here.rejects.in_store.as_mut().unwrap();
    (place.location, place.prefix) = (location(), "in/bad/".to_owned());
    passed(&node, &store, here).await;
    // What a person puts there is a file all the same.
    put(&store, "in/bad/b.json", rows("b", 0..20)).await;
    let report = passed(&node, &store, first(&node)).await;
    assert_eq!((skipped(&report), files(&report)), (vec![("own", 1)], vec![("done", 1)]), "{report:?}");
    let other = BucketImport { name: "other".to_owned(), ..first(&node) };
    let report = passed(&node, &store, other).await;
    assert_eq!((skipped(&report), files(&report)), (vec![("own", 1)], vec![("done", 2)]), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_go_to_a_store_once_and_are_read_again_from_there() {
    let (node, store, to) = (node(), FakeStore::new(), FakeStore::new());
    put(&store, "in/a.json", rows("a", 0..ROWS)).await;
    put(&store, "in/b.json", rows("b", 0..50)).await;
    // The store refuses: the rows wait in the folder, and the files are done.
    to.script([Step::REFUSED]);
    let report = passed(&node, &store, in_store(&node, &to, first(&node))).await;
    assert_eq!(files(&report), [("done", 2)], "{report:?}");
    let why = report.rejects_not_moved.unwrap().to_string();
    assert!(why.starts_with("E-REJECTS: put bad/"), "{why}");
    assert_eq!((kept(&node).len(), stored_rejects(&to).await.len()), (510, 0));
    // An answer that is lost leaves an object that is there already.
    to.script([Step::LoseAnswer]);
    let report = passed(&node, &store, in_store(&node, &to, first(&node))).await;
    assert!(report.rejects_not_moved.is_some(), "{report:?}");
    let node = node.killed();
    let report = passed(&node, &store, in_store(&node, &to, first(&node))).await;
    assert_eq!((report.rejects_not_moved, sets(&node)), (None, vec![]));
    let stored = stored_rejects(&to).await;
    assert_eq!((stored.len(), stored.values().map(Vec::len).sum::<usize>()), (2, 510), "{stored:?}");
    assert!(stored.keys().all(|key| key.starts_with("bad/") && key.ends_with("-3.ndjson.gz")), "{stored:?}");
    // Nothing is left behind by a dry run; a round leaves its rows in the folder until the next pass.
    let dry =
        retry_rejects(Arc::new(in_store(&node, &to, corrected(&node))), deps(&node, &store), None, true);
    assert_eq!(counts(&dry.await.unwrap()), (2, 255, 255, 0));
    assert!(sets(&node).is_empty());
    let import = in_store(&node, &to, corrected(&node));
    let node = killed_at(node, &store, import, 0, true).await;
    let report = retried(&node, &store, in_store(&node, &to, corrected(&node)), None).await;
    assert_eq!(counts(&report), (2, 255, 255, 0), "{report:?}");
    check_ledger(&node, &[("a", ROWS), ("b", 50)]);
    passed(&node, &store, in_store(&node, &to, first(&node))).await;
    assert_eq!((sets(&node).len(), stored_rejects(&to).await.len()), (0, 4));
    retried(&node, &store, in_store(&node, &to, complete(&node)), None).await;
    check_events(&node, [named("a", ROWS, |_| true), named("b", 50, |_| true)].concat());
    // A folder in place of the store cannot give what the store has.
    put(&store, "in/c.json", rows("c", 0..50)).await;
    passed(&node, &store, in_store(&node, &to, first(&node))).await;
    let report = retried(&node, &store, corrected(&node), None).await;
    assert!(said(&report.left[0].end).contains("no longer names it"), "{report:?}");
    assert_eq!(unsettled(&node, "in/c.json"), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_that_is_damaged_keeps_no_other_back_from_the_store() {
    let (node, store, to) = (node(), FakeStore::new(), FakeStore::new());
    for name in ["a", "b", "c", "d", "e", "f"] {
        put(&store, &format!("in/{name}.json"), rows(name, 0..10)).await;
    }
    passed(&node, &store, first(&node)).await;
    let damaged: Vec<PathBuf> = sets(&node).into_iter().take(1).collect();
    fs::write(&damaged[0], "{}\n").unwrap();
    let report = passed(&node, &store, in_store(&node, &to, first(&node))).await;
    let why = report.rejects_not_moved.unwrap().to_string();
    assert!(why.contains(damaged[0].to_str().unwrap()), "{why}");
    assert_eq!((sets(&node), stored_rejects(&to).await.len()), (damaged, 5));
}
