//! Objects that begin again: because a person says so, or because another one took their place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use forebay::import::KeptOf;
use forebay::import::bucket_import::{
    Begins, BucketImport, OnChange, PassDeps, ResetError, Scan, Would, pass, plan_pass, reset_failed,
    reset_object,
};
use forebay::import::journal::Journal as _;
use forebay::store::fake::{FakeStore, Gate, Step};
use serde_json::Value;

use super::bucket::{
    ROWS, archive, calls, check_events, converter_text, deps, events, files, import, import_as, killed_at,
    lines, passed, put, skipped,
};
use super::importer::{Node, node};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

async fn reset(node: &Node, store: &FakeStore, key: &str) -> Result<(Begins, u64, u64), ResetError> {
    let reset = reset_object(Arc::new(import(node)), deps(node, store), key).await?;
    assert_eq!(reset.name, format!("s3://lake/{key}"));
    Ok((reset.begins, reset.rows, reset.calls))
}

async fn refused(node: &Node, store: &FakeStore, key: &str) -> String {
    match reset(node, store, key).await {
        Err(ResetError::Refused(what)) => what,
        other => panic!("{key}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_given_up_begins_again_at_its_next_row() {
    let (node, store) = (node(), FakeStore::new());
    assert!(refused(&node, &store, "in/a").await.contains("no file of import events has begun here"));
    // More than half of its rows are bad, which shows after its first steps.
    put(&store, "in/a.json", lines("a", 2_500) + &"{\n".repeat(9_000)).await;
    put(&store, "in/b.json", "[]").await;
    put(&store, "in/c.json", lines("c", 3)).await;
    passed(&node, &store, import(&node)).await;
    let what = refused(&node, &store, "in/b.json").await;
    assert!(what.contains("s3://lake/in/b.json is not given up: the next pass goes on"), "{what}");
    for expected in ["failed", "poison", "poison"] {
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!(files(&report), [(expected, 2)], "{report:?}");
    }
    let stored = calls(&node).len();
    assert!(stored > 1_000, "{stored}");
    let (begins, rows, of_file) = reset(&node, &store, "in/a.json").await.unwrap();
    assert_eq!((begins, of_file), (Begins::NextRow, (stored - 3) as u64));
    assert!(rows > of_file, "{rows} {of_file}");
    // It may fail three times again, and then a person may let it begin again.
    for expected in ["failed", "failed", "poison", "poison"] {
        let report = passed(&node, &store, import(&node)).await;
        assert!(files(&report).contains(&(expected, if expected == "poison" { 2 } else { 1 })), "{report:?}");
    }
    let all = reset_failed(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!((all.count, all.names), (2, vec!["s3://lake/in/a.json".into(), "s3://lake/in/b.json".into()]));
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("failed", 2)]);
    assert_eq!(calls(&node).len(), stored);
    let none = reset_failed(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!(none.count, 2, "they were reset, and are not done");
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("failed", 2)]);
    // One that is done since is not among them.
    put(&store, "in/b.json", lines("b", 3)).await;
    passed(&node, &store, import(&node)).await;
    let left = reset_failed(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!(left.names, ["s3://lake/in/a.json"]);

    let what = refused(&node, &store, "in/c.json").await;
    let command = "forebay import run events --again --from in/c.json --to in/c.json";
    assert!(what.contains("is imported") && what.contains(command), "{what}");
    let what = refused(&node, &store, "in/d.json").await;
    assert!(
        what.contains("there is nothing to reset") && what.contains("--dry-run --from in/d.json"),
        "{what}"
    );
}

/// It went on with the converter that could not read it, and failed three times again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_a_file_is_read_with_the_converter_of_now_once_a_person_says_so() {
    for all in [false, true] {
        let (node, store) = (node(), FakeStore::new());
        let old = |row| format!("{{\"u\":\"u\",\"e\":\"a {row}\"}}\n");
        let new = |row| format!("{{\"user\":\"u\",\"e\":\"a {row}\"}}\n");
        let rows: String = (0..1_500).map(old).chain((1_500..9_000).map(new)).collect();
        put(&store, "in/a.json", rows).await;
        for expected in ["failed", "failed", "poison"] {
            assert_eq!(files(&passed(&node, &store, import(&node)).await), [(expected, 1)]);
        }
        let stored = calls(&node).len();
        assert!((1_000..=1_500).contains(&stored), "{stored}");
        // A converter that counts the rows otherwise would read others in place of those that are left.
        let csv = converter_text(r#""fileType":"csv""#, "");
        let other = Arc::new(import_as(&node, "events", "in/", &csv));
        let refused = reset_object(other, deps(&node, &store), "in/a.json").await;
        let Err(ResetError::Refused(what)) = refused else { panic!("{refused:?}") };
        assert!(what.contains("would count its rows otherwise: set back fileType and csv"), "{what}");

        let text = converter_text(r#""fileType":"json""#, "");
        let text = text.replace(r#"["path","u"]"#, r#"["any",["path","user"],["path","u"]]"#);
        let corrected = || import_as(&node, "events", "in/", &text);
        assert_eq!(files(&passed(&node, &store, corrected()).await), [("poison", 1)], "it keeps its own one");
        let mut next_row = None;
        if all {
            assert_eq!(reset_failed(Arc::new(corrected()), deps(&node, &store)).await.unwrap().count, 1);
        } else {
            let reset = reset_object(Arc::new(corrected()), deps(&node, &store), "in/a.json").await.unwrap();
            assert_eq!((reset.begins, reset.calls), (Begins::NextRow, stored as u64));
            next_row = Some(reset.rows);
        }
        // The converter of then is that of the file from now on.
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!((files(&report), report.rejected), (vec![("done", 1)], 0), "{report:?}");
        let next_row = next_row.unwrap_or(9_000 - report.rows);
        // What was rejected before waits for `retry-rejects`.
        let is_there = |row: &u64| *row < 1_500 || *row >= next_row;
        check_events(&node, (0..9_000).filter(is_there).map(|row| format!("a {row}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_object_is_left_out_until_a_person_lets_it_begin() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    let first = import(&node);
    let node = killed_at(node, &store, first, 1, true).await;
    passed(&node, &store, import(&node)).await;
    check_events(&node, events("a", ROWS).chain(events("b", 30)));
    put(&store, "in/a.json", lines("new", 200)).await;
    // It is looked at once, and noted.
    let heads = || store.heads();
    let first = passed(&node, &store, import(&node)).await;
    let after_first = heads();
    let second = passed(&node, &store, import(&node)).await;
    assert_eq!((skipped(&first), skipped(&second)), (vec![("changed", 1)], vec![("changed", 1)]));
    assert_eq!(heads(), after_first, "no request but the listing");
    let (begins, rows, of_file) = reset(&node, &store, "in/a.json").await.unwrap();
    assert_eq!((begins, rows), (Begins::NewObject, ROWS as u64));
    assert!(of_file < rows, "{of_file}");
    assert!(refused(&node, &store, "in/a.json").await.contains("is not given up"));
    let report = passed(&node, &store, import(&node)).await;
    assert_eq!((files(&report), report.known), (vec![("done", 1)], 1), "{report:?}");
    check_events(&node, events("a", ROWS).chain(events("b", 30)).chain(events("new", 200)));
    // What was there before is another object again.
    put(&store, "in/a.json", lines("a", ROWS)).await;
    assert_eq!(skipped(&passed(&node, &store, import(&node)).await), [("changed", 1)]);
    store.delete("lake", "in/a.json");
    assert!(refused(&node, &store, "in/a.json").await.contains("is gone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_done_are_imported_again_with_the_same_ids() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    let zip = archive(&[("1", lines("c", 50).as_str()), ("2", lines("d", 50).as_str())]);
    put(&store, "in/z.zip", zip).await;
    let plan = async |node: &Node, again: bool| {
        plan_pass(Arc::new(import(node)), PassDeps { again, ..deps(node, &store) }).await.unwrap()
    };
    let before = plan(&node, false).await;
    assert_eq!(before.would.into_iter().collect::<Vec<_>>(), [(Would::Begin, 3)]);
    assert_eq!(before.first[0], ("s3://lake/in/a.json".to_owned(), Would::Begin));
    assert_eq!((calls(&node).len(), node.journal.kept_by(KeptOf::Name).unwrap().len()), (0, 0));
    passed(&node, &store, import(&node)).await;
    let ids = |node: &Node| -> BTreeMap<String, u64> {
        calls(node).iter().fold(BTreeMap::new(), |mut ids, call| {
            *ids.entry(call["messageId"].as_str().unwrap().to_owned()).or_default() += 1;
            ids
        })
    };
    let first = ids(&node);
    let planned = plan(&node, false).await;
    assert_eq!((planned.report.known, planned.would.len(), planned.rows_again), (3, 0, 0));
    let planned = plan(&node, true).await;
    assert_eq!(planned.would.into_iter().collect::<Vec<_>>(), [(Would::Again, 3)]);
    assert_eq!(planned.rows_again, (ROWS + 130) as u64);
    // With the converter of now.
    let other = || import_as(&node, "events", "in/", &converter_text(r#""fileType":"json""#, "new "));
    let report = pass(Arc::new(other()), PassDeps { again: true, ..deps(&node, &store) }).await.unwrap();
    assert_eq!((files(&report), report.known, report.rows), (vec![("done", 4)], 0, (ROWS + 130) as u64));
    let second = ids(&node);
    assert!(first.keys().eq(second.keys()) && second.values().all(|count| *count == 2));
    let tracks: Vec<Value> = calls(&node).into_iter().filter(|call| call["type"] == "track").collect();
    let new = tracks.iter().filter(|call| call["event"].as_str().unwrap().starts_with("new ")).count();
    assert_eq!(new, tracks.len() / 2);
    let report = passed(&node, &store, other()).await;
    assert_eq!((report.known, report.rows), (3, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_a_new_file_if_the_import_says_so() {
    let (node, store) = (node(), FakeStore::new());
    let reprocess = |node: &Node| BucketImport { on_change: OnChange::Reprocess, ..import(node) };
    put(&store, "in/a.json", lines("a", ROWS)).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    passed(&node, &store, reprocess(&node)).await;
    put(&store, "in/a.json", lines("new", 200)).await;
    let planned = plan_pass(Arc::new(reprocess(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!(planned.would.into_iter().collect::<Vec<_>>(), [(Would::Reprocess, 1)]);
    let report = passed(&node, &store, reprocess(&node)).await;
    assert_eq!((files(&report), report.known), (vec![("done", 1)], 1), "{report:?}");
    check_events(&node, events("a", ROWS).chain(events("b", 30)).chain(events("new", 200)));
    // The bytes of the first version are a third one, with messageIds of their own.
    put(&store, "in/a.json", lines("a", ROWS)).await;
    let report = passed(&node, &store, reprocess(&node)).await;
    assert_eq!((files(&report), report.rows), (vec![("done", 1)], ROWS as u64), "{report:?}");
    let ids: BTreeSet<String> = calls(&node).iter().map(|call| call["messageId"].to_string()).collect();
    assert_eq!(ids.len(), calls(&node).len());
    assert_eq!(passed(&node, &store, reprocess(&node)).await.known, 2);
    // One that was begun and replaced is no longer read, and the new one begins at once.
    put(&store, "in/c.json", lines("c", ROWS)).await;
    let begun = reprocess(&node);
    let node = killed_at(node, &store, begun, 0, true).await;
    put(&store, "in/c.json", lines("other", 40)).await;
    let report = passed(&node, &store, reprocess(&node)).await;
    assert_eq!((files(&report), report.rows), (vec![("done", 1), ("changed", 1)], 40), "{report:?}");
    assert_eq!(passed(&node, &store, reprocess(&node)).await.known, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_replaced_while_it_is_read_ends_and_the_new_one_follows() {
    for on_change in [OnChange::Ignore, OnChange::Reprocess] {
        let (node, store) = (node(), FakeStore::new());
        // Three ranges of 8 MiB: rows of the first two are stored before the third one is read.
        let wide = |file: &str| {
            let more = "x".repeat(4_000);
            (0..6_000).fold(String::new(), |text, row| {
                text + &format!("{{\"u\":\"u\",\"e\":\"{file} {row}\",\"more\":\"{more}\"}}\n")
            })
        };
        put(&store, "in/a.json", wide("a")).await;
        // The listing, the head and two ranges, and then the third one.
        let third = Gate::new();
        let proper = std::iter::repeat_n(Step::Proper, 4);
        store.script_reads(proper.chain([Step::HoldRequest(third.clone())]));
        let import = BucketImport { on_change, max_size: 100_000_000, ..import(&node) };
        let replaced = async {
            wait::until("rows of the first ranges", PATIENCE, async || {
                (third.is_awaited() && !calls(&node).is_empty()).then_some(())
            })
            .await;
            put(&store, "in/a.json", lines("b", 40)).await;
            third.open();
        };
        let (report, ()) = tokio::join!(passed(&node, &store, import), replaced);
        let expected = match on_change {
            OnChange::Ignore => vec![("changed", 1)],
            OnChange::Reprocess => vec![("done", 1), ("changed", 1)],
        };
        assert_eq!(files(&report), expected, "{report:?}");
        let is_new = |call: &&Value| call["event"].as_str().is_some_and(|event| event.starts_with("b "));
        let new = calls(&node).iter().filter(is_new).count();
        assert_eq!(new, if on_change == OnChange::Reprocess { events("b", 40).count() } else { 0 });
        assert!(report.not_done[0].name.ends_with("in/a.json"), "{report:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_a_part_finds_what_is_new_and_what_was_not_done() {
    let (node, store) = (node(), FakeStore::new());
    for (key, text) in [("in/a", "[]".to_owned()), ("in/b", lines("b", 3)), ("in/c", lines("c", 3))] {
        put(&store, key, text).await;
    }
    let first = passed(&node, &store, import(&node)).await;
    assert_eq!(
        (first.scanned.greatest.as_deref(), &first.scanned.left),
        (Some("in/c"), &vec!["in/a".to_owned()])
    );
    put(&store, "in/a", lines("a", 3)).await;
    put(&store, "in/bb", lines("bb", 3)).await;
    put(&store, "in/d", lines("d", 3)).await;
    let scan = Scan::After { key: "in/c".to_owned(), also: first.scanned.left };
    let part = pass(Arc::new(import(&node)), PassDeps { scan, ..deps(&node, &store) }).await.unwrap();
    assert_eq!((part.listed, part.list_requests, files(&part)), (2, 2, vec![("done", 2)]), "{part:?}");
    assert_eq!((part.scanned.greatest.as_deref(), part.scanned.left.len()), (Some("in/d"), 0));
    // What came before the greatest key is found by the next full pass.
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
    check_events(&node, ["a", "b", "bb", "c", "d"].into_iter().flat_map(|file| events(file, 3)));
}
