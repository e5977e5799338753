//! Files that end before their last row, because their object is gone or another one has its key: somebody hears of it,
//! and nothing waits for ever.

use std::fs;
use std::sync::Arc;

use forebay::import::bucket_import::{
    After, Begins, BucketImport, OnChange, OnMissing, PassDeps, PassReport, ResetError, Scan,
    accept_all_rejects, accept_rejects, pass, reset_object, retry_rejects,
};
use forebay::import::{FileEnd, ImportRecord, ImportState};
use forebay::store::Fault;
use forebay::store::fake::{FakeStore, Step};

use super::bucket::{
    ROWS, archive, check_events, converter_text, deps, died_at, events, files, import, import_as, lines,
    passed, put, skipped,
};
use super::importer::{Node, node};

/// A file of which this node has stored a part when it was killed. Returns also how many rows that are.
async fn half_read(is_archive: bool) -> (Node, FakeStore, u64) {
    let (node, store) = (node(), FakeStore::new());
    put_file(&store, is_archive).await;
    put(&store, "in/b.json", lines("b", 30)).await;
    died_at(&node, &store, import(&node), 1, true).await;
    let open = node.spool.imports().open_imports();
    let rows = open.iter().map(|import| import.progress.next_row).max().unwrap();
    let node = node.killed();
    assert!((1..ROWS as u64).contains(&rows), "{rows}");
    (node, store, rows)
}

async fn put_file(store: &FakeStore, is_archive: bool) {
    let text = lines("a", ROWS);
    put(store, "in/a.json", if is_archive { archive(&[("1", &text)]) } else { text.into_bytes() }).await;
}

/// The error of the only file that is not done.
fn error_of(report: &PassReport) -> String {
    let [not_done] = report.not_done.as_slice() else { panic!("{report:?}") };
    let FileEnd::Failed(error) = &not_done.end else { panic!("{report:?}") };
    format!("{} {}", not_done.name, error.masked())
}

/// How much of the file is stored after so many rows.
fn were_read(rows: u64) -> String {
    // One row of a hundred gives two calls.
    let of_two = (0..rows).filter(|row| row % 100 == 9).count();
    let calls = (events("a", usize::try_from(rows).unwrap()).count() + of_two) as u64;
    let [rows, calls] = [rows, calls].map(forebay::words::grouped);
    format!("{rows} rows of it were read ({calls} calls stored)")
}

/// The records of the files of an object.
fn records(node: &Node, key: &str) -> Vec<ImportRecord> {
    let (name, mut records) = (format!("s3://lake/{key}"), Vec::new());
    let mut add = |record: ImportRecord| {
        if record.name.split('!').next() == Some(name.as_str()) {
            records.push(record);
        }
    };
    node.importer.journal().each(&mut add).unwrap();
    records
}

/// Their states, as the list shows them.
fn states(node: &Node, key: &str) -> Vec<ImportState> {
    records(node, key).into_iter().map(|record| record.state).collect()
}

async fn reset(node: &Node, store: &FakeStore) -> Result<Begins, ResetError> {
    let reset = reset_object(Arc::new(import(node)), deps(node, store), "in/a.json").await?;
    Ok(reset.begins)
}

/// The pass ended well, without a word, and the list showed the file as stopped for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_object_that_is_gone_is_reported_until_a_person_knows() {
    for (on_missing, is_archive) in
        [(OnMissing::Skip, false), (OnMissing::Fail, false), (OnMissing::Skip, true)]
    {
        let (node, store, rows) = half_read(is_archive).await;
        store.delete("lake", "in/a.json");
        let import = |node: &Node| BucketImport { on_missing, ..import(node) };
        for others in [vec![("done", 1), ("gone", 1)], vec![("gone", 1)], vec![("gone", 1)]] {
            let report = passed(&node, &store, import(&node)).await;
            assert_eq!((files(&report), skipped(&report)), (others, vec![]), "{report:?}");
            let error = error_of(&report);
            let expected = format!(
                "s3://lake/in/a.json E-MISSING: the object is gone. {}, and the rest is not there",
                were_read(rows)
            );
            assert_eq!(error, expected);
        }
        // The process that was killed had not told where they are.
        let [record] = <[ImportRecord; 1]>::try_from(records(&node, "in/a.json")).unwrap();
        assert_eq!((record.state, record.unsettled_rejects() > 0), (ImportState::Gone, true));
        assert!(fs::exists(record.rejects_file.unwrap()).unwrap());
        assert_eq!(reset(&node, &store).await.unwrap(), Begins::Gone);
        for _ in 0..2 {
            assert_eq!(files(&passed(&node, &store, import(&node)).await), []);
        }
        // It comes back as it was.
        put_file(&store, is_archive).await;
        assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
        assert_eq!(states(&node, "in/a.json"), [ImportState::Done]);
        check_events(&node, events("a", ROWS).chain(events("b", 30)));
    }
}

/// A pass over a part of a large bucket asks for each file that it left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_over_a_part_finds_that_what_it_left_is_gone() {
    let (node, store, _) = half_read(false).await;
    store.delete("lake", "in/a.json");
    let part = || Scan::After { key: "in/a.json".to_owned(), also: vec!["in/a.json".to_owned()] };
    for expected in [vec![("done", 1), ("gone", 1)], vec![("gone", 1)]] {
        let deps = PassDeps { scan: part(), ..deps(&node, &store) };
        assert_eq!(files(&pass(Arc::new(import(&node)), deps).await.unwrap()), expected);
    }
}

/// Nobody has to know of a file of which nothing is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_gone_before_a_row_is_stored_is_forgotten() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", "[]").await;
    for expected in ["failed", "failed", "poison"] {
        assert_eq!(files(&passed(&node, &store, import(&node)).await), [(expected, 1)]);
    }
    store.delete("lake", "in/a.json");
    assert_eq!(files(&passed(&node, &store, import(&node)).await), []);
    let Err(ResetError::Refused(what)) = reset(&node, &store).await else { panic!("it begins again") };
    assert!(what.contains("is gone, so nothing can begin"), "{what}");
    put(&store, "in/a.json", lines("a", 5)).await;
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
    check_events(&node, events("a", 5));
}

/// It was skipped, as if nothing of it were stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_gone_while_it_is_read_is_reported() {
    let (node, store, _) = half_read(false).await;
    store.delete("lake", "in/b.json");
    let gone = Step::Answer { fault: Fault::NotFound, status: Some(404), code: Some("NoSuchKey") };
    store.script_reads([Step::Proper, Step::Proper, gone]);
    let report = passed(&node, &store, import(&node)).await;
    assert_eq!((files(&report), skipped(&report)), (vec![("gone", 1)], vec![]), "{report:?}");
    assert_eq!(states(&node, "in/a.json"), [ImportState::Gone]);
    // The answer was wrong: the object is there.
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
    check_events(&node, events("a", ROWS));
}

/// The end of the old one was a warning in the log, and the list showed it as stopped for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_object_that_was_replaced_is_changed_until_a_person_lets_the_new_one_begin() {
    for is_archive in [false, true] {
        let (node, store, rows) = half_read(is_archive).await;
        put(&store, "in/a.json", lines("new", 50)).await;
        let says = format!(
            "s3://lake/in/a.json E-CHANGED: it was replaced before its end. {}; the new content is not imported",
            were_read(rows)
        );
        for expected in [vec![("done", 1), ("changed", 1)], vec![("changed", 1)], vec![("changed", 1)]] {
            let report = passed(&node, &store, import(&node)).await;
            assert_eq!((files(&report), skipped(&report)), (expected, vec![]), "{report:?}");
            assert_eq!(error_of(&report), says);
        }
        assert_eq!(states(&node, "in/a.json"), [ImportState::Changed]);
        assert_eq!(reset(&node, &store).await.unwrap(), Begins::NewObject);
        assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
        let mut states = states(&node, "in/a.json");
        states.sort_by_key(|state| *state != ImportState::Done);
        assert_eq!(states, [ImportState::Done, ImportState::Replaced]);
        check_events(
            &node,
            events("a", usize::try_from(rows).unwrap()).chain(events("b", 30)).chain(events("new", 50)),
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_reprocess_the_end_of_the_old_object_is_reported_once() {
    let (node, store, rows) = half_read(false).await;
    put(&store, "in/a.json", lines("new", 50)).await;
    let reprocess = |node: &Node| BucketImport { on_change: OnChange::Reprocess, ..import(node) };
    let report = passed(&node, &store, reprocess(&node)).await;
    assert_eq!(files(&report), [("done", 2), ("changed", 1)]);
    assert!(error_of(&report).ends_with("the new content is imported as another file"), "{report:?}");
    let report = passed(&node, &store, reprocess(&node)).await;
    assert_eq!((files(&report), report.known), (vec![], 2));
    assert!(states(&node, "in/a.json").contains(&ImportState::Replaced));
    check_events(
        &node,
        events("a", usize::try_from(rows).unwrap()).chain(events("b", 30)).chain(events("new", 50)),
    );
}

/// The list showed it as given up, with a command that was refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_given_up_and_replaced_is_no_longer_given_up() {
    for on_change in [OnChange::Reprocess, OnChange::Ignore] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", lines("a", 1_500) + &"{\n".repeat(9_000)).await;
        for expected in ["failed", "failed", "poison"] {
            assert_eq!(files(&passed(&node, &store, import(&node)).await), [(expected, 1)]);
        }
        put(&store, "in/a.json", lines("new", 50)).await;
        let import = BucketImport { on_change, ..import(&node) };
        let (expected, state) = match on_change {
            OnChange::Reprocess => (vec![("done", 1), ("changed", 1)], ImportState::Replaced),
            OnChange::Ignore => (vec![("changed", 1)], ImportState::Changed),
        };
        assert_eq!(files(&passed(&node, &store, import).await), expected);
        let states = states(&node, "in/a.json");
        assert!(states.contains(&state) && !states.contains(&ImportState::Poison), "{states:?}");
    }
}

/// Its rows were stored once more, with other messageIds: nobody could have found that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_object_that_is_back_before_the_new_one_has_a_row_goes_on() {
    let bad = "[1]";
    for (is_archive, new) in [(false, lines("new", 50)), (true, lines("new", 50)), (false, bad.to_owned())] {
        let (node, store, _) = half_read(is_archive).await;
        put(&store, "in/a.json", new.clone()).await;
        passed(&node, &store, import(&node)).await;
        assert_eq!(reset(&node, &store).await.unwrap(), Begins::NewObject);
        if new == bad {
            assert_eq!(files(&passed(&node, &store, import(&node)).await), [("failed", 1)]);
        }
        put_file(&store, is_archive).await;
        assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
        check_events(&node, events("a", ROWS).chain(events("b", 30)));
        let states = states(&node, "in/a.json");
        assert!(states.contains(&ImportState::Done), "{states:?}");
        // The new one had begun in one case, and was replaced then.
        assert_eq!(states.contains(&ImportState::Replaced), new == bad, "{states:?}");
    }
}

/// The same of one that was imported to its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_object_that_is_back_before_the_new_one_has_a_row_is_known() {
    let (node, store) = (node(), FakeStore::new());
    let import = |node: &Node| BucketImport { on_change: OnChange::Reprocess, ..import(node) };
    put(&store, "in/a.json", lines("a", 100)).await;
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
    put(&store, "in/a.json", "[1]").await;
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("failed", 1)]);
    put(&store, "in/a.json", lines("a", 100)).await;
    for _ in 0..2 {
        assert_eq!(passed(&node, &store, import(&node)).await.rows, 0);
    }
    check_events(&node, events("a", 100));
    // One of which rows are stored is another file, as before.
    put(&store, "in/a.json", lines("b", 10)).await;
    passed(&node, &store, import(&node)).await;
    check_events(&node, events("a", 100).chain(events("b", 10)));
}

/// A file that somebody had emptied was skipped, and the half of it that was stored was in no report.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_object_is_changed_also_if_the_new_one_would_be_skipped() {
    for on_change in [OnChange::Ignore, OnChange::Reprocess] {
        let (node, store, rows) = half_read(false).await;
        let import = |node: &Node| BucketImport { on_change, ..import(node) };
        put(&store, "in/a.json", "").await;
        for expected in [vec![("done", 1), ("changed", 1)], vec![("changed", 1)], vec![("changed", 1)]] {
            let report = passed(&node, &store, import(&node)).await;
            assert_eq!((files(&report), skipped(&report)), (expected, vec![]), "{report:?}");
        }
        assert_eq!(states(&node, "in/a.json"), [ImportState::Changed]);
        if on_change == OnChange::Reprocess {
            // One that the settings want takes its place, as ever.
            put(&store, "in/a.json", lines("new", 50)).await;
            assert_eq!(files(&passed(&node, &store, import(&node)).await), [("done", 1)]);
            let old = events("a", usize::try_from(rows).unwrap());
            check_events(&node, old.chain(events("b", 30)).chain(events("new", 50)));
            continue;
        }
        assert_eq!(reset(&node, &store).await.unwrap(), Begins::NewObject);
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!((files(&report), skipped(&report)), (vec![], vec![("empty", 1)]), "{report:?}");
    }
}

/// They could not be settled in any way, and each retry failed because of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_without_their_object_are_settled_by_a_person() {
    let user = |user: &str| converter_text(r#""fileType":"json""#, "").replace(r#"["path","u"]"#, user);
    let import = |node: &Node| import_as(node, "events", "in/", &user(r#"["path","u"]"#));
    for (replaced, all) in [(true, false), (true, true), (false, false), (false, true)] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", lines("a", 100)).await;
        let zip = archive(&[("1", lines("c", 100).as_str()), ("2", lines("d", 50).as_str())]);
        put(&store, "in/z!.zip", zip).await;
        let rejected = passed(&node, &store, import(&node)).await.rejected;
        assert!(rejected > 0);
        for key in ["in/a.json", "in/z!.zip"] {
            match replaced {
                true => put(&store, key, lines("new", 5)).await,
                false => store.delete("lake", key),
            }
        }
        passed(&node, &store, import(&node)).await;
        let retry =
            async || retry_rejects(Arc::new(import(&node)), deps(&node, &store), None, false).await.unwrap();
        assert_eq!(retry().await.left_count, 3);
        let accept = || (Arc::new(import(&node)), deps(&node, &store));
        if all {
            let (import, deps) = accept();
            let accepted = accept_all_rejects(import, deps).await.unwrap();
            assert_eq!((accepted.count, accepted.rows), (2, rejected), "{accepted:?}");
        } else {
            let mut rows = 0;
            for key in ["in/a.json", "in/z!.zip"] {
                let (import, deps) = accept();
                rows += accept_rejects(import, deps, key).await.unwrap().rows;
            }
            assert_eq!(rows, rejected);
        }
        assert_eq!(retry().await.left_count, 0);
        let (import, deps) = accept();
        let Err(ResetError::Refused(what)) = accept_rejects(import, deps, "in/a.json").await else {
            panic!("there are more");
        };
        assert!(what.contains("has no rejected rows that wait"), "{what}");
    }
}

/// They were given up together with those that nothing can read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_that_can_be_read_stay_until_they_are_accepted_too() {
    let (node, store) = (node(), FakeStore::new());
    let import = |node: &Node| BucketImport { on_change: OnChange::Reprocess, ..import(node) };
    let accept = async || {
        let accepted = accept_rejects(Arc::new(import(&node)), deps(&node, &store), "in/a.json").await;
        accepted.unwrap().rows
    };
    put(&store, "in/a.json", lines("a", 100)).await;
    let first = passed(&node, &store, import(&node)).await.rejected;
    put(&store, "in/a.json", lines("b", 300)).await;
    let second = passed(&node, &store, import(&node)).await.rejected;
    assert!(first > 0 && second > first, "{first} {second}");
    assert_eq!(accept().await, first);
    let retried = retry_rejects(Arc::new(import(&node)), deps(&node, &store), None, true).await.unwrap();
    assert_eq!((retried.left_count, retried.outcome.rejected), (0, second));
    assert_eq!(accept().await, second);
}

/// The file waited for rows that nothing showed any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_rows_of_a_half_read_file_keep_it_from_nothing_once_it_is_done() {
    let (node, store, _) = half_read(false).await;
    let import = |node: &Node| BucketImport { after: Some(After::Delete), ..import(node) };
    let accepted = accept_rejects(Arc::new(import(&node)), deps(&node, &store), "in/a.json").await.unwrap();
    assert!(accepted.rows > 0);
    let report = passed(&node, &store, import(&node)).await;
    assert!(report.rejected > 0, "{report:?}");
    let waiting = report.after.rejected_rows;
    let left = report.rejected;
    assert_eq!(waiting, left, "those of before are settled: {report:?}");
}
