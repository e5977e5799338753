//! Imported objects are tagged, moved or deleted: only with all of their rows stored, only as the version that
//! was imported, and at last in any case.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use forebay::import::bucket_import::{
    After, AfterDone, AfterWaits, Became, BucketImport, OnChange, PassReport, ResetError, accept_all_rejects,
    accept_rejects, pass, retry_rejects,
};
use forebay::object::{Encryption, KmsContext, KmsKey, ObjectKey, SseKms};
use forebay::store::fake::{FakeObject, FakeStore, Gate, Step};
use forebay::store::{ObjectStore as _, Put, PutMode};

use super::bucket::{
    ROWS, archive, check_events, deps, events, files, import, import_as, killed_at, lines, location, passed,
    put, skipped,
};
use super::importer::{Node, node};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);
const TAG: &str = "forebay-imported";

fn with(node: &Node, after: After) -> BucketImport {
    BucketImport { after: Some(after), ..import(node) }
}

/// Below the import's own prefix, which is allowed.
fn moves() -> After {
    After::Move("in/done/".to_owned())
}

fn keys(store: &FakeStore) -> Vec<String> {
    store.keys().into_iter().map(|(_, key)| key).collect()
}

fn object(store: &FakeStore, key: &str) -> FakeObject {
    store.object("lake", key).unwrap_or_else(|| panic!("no {key} among {:?}", keys(store)))
}

fn done(report: &PassReport) -> Vec<(&'static str, u64)> {
    report.after.done.iter().map(|(done, count)| (done.slug(), *count)).collect()
}

fn waiting(report: &PassReport) -> Vec<(&'static str, u64)> {
    report.after.waiting.iter().map(|(why, count)| (why.slug(), *count)).collect()
}

/// Lines without a bad one.
fn good(file: &str) -> String {
    lines(file, 5)
}

fn good_events(names: &[&str]) -> Vec<String> {
    names.iter().flat_map(|name| events(name, 5)).collect()
}

async fn filled() -> FakeStore {
    let store = FakeStore::new();
    for name in ["a", "b", "c"] {
        put(&store, &format!("in/{name}.json"), good(name)).await;
    }
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_imported_object_is_tagged_moved_or_deleted_once() {
    let names = ["in/a.json", "in/b.json", "in/c.json"];
    let moved = ["in/done/a.json", "in/done/b.json", "in/done/c.json"];
    for (after, expected, left) in [
        (After::Tag, "tagged", names.to_vec()),
        (moves(), "moved", moved.to_vec()),
        (After::Delete, "deleted", Vec::new()),
    ] {
        let (node, store) = (node(), filled().await);
        let first = passed(&node, &store, with(&node, after.clone())).await;
        assert_eq!((done(&first), waiting(&first)), (vec![(expected, 3)], vec![]), "{first:?}");
        assert_eq!(keys(&store), left, "{after:?}");
        let is_tagged = |key: &&str| object(&store, key).tags.get(TAG).map(String::as_str) == Some("events");
        assert_eq!(left.iter().filter(|key| is_tagged(key)).count(), if after == After::Tag { 3 } else { 0 });
        check_events(&node, good_events(&["a", "b", "c"]));
        // Nothing is left to do, and what was moved is not imported: also not by another import.
        let requests = store.changes().len();
        for name in ["events", "others"] {
            let settings =
                BucketImport { name: name.to_owned(), after: Some(after.clone()), ..import(&node) };
            if name == "others" && after == After::Tag {
                continue;
            }
            let again = passed(&node, &store, settings).await;
            assert_eq!((files(&again), done(&again), waiting(&again)), (vec![], vec![], vec![]), "{again:?}");
        }
        assert_eq!(store.changes().len(), requests, "{after:?}");
        check_events(&node, good_events(&["a", "b", "c"]));
    }
}

/// Also once the configuration names another prefix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_ever_moved_is_never_imported_again() {
    let (node, store) = (node(), filled().await);
    passed(&node, &store, with(&node, moves())).await;
    for after in [Some(After::Move("in/other/".to_owned())), Some(After::Tag), None] {
        let report = passed(&node, &store, BucketImport { after, ..import(&node) }).await;
        assert_eq!((files(&report), skipped(&report)), (vec![], vec![("own", 3)]), "{report:?}");
    }
    let node = node.killed();
    let report = passed(&node, &store, import_as(&node, "new", "in/", &new_converter())).await;
    assert_eq!(skipped(&report), [("own", 3)]);
    assert_eq!(keys(&store), ["in/done/a.json", "in/done/b.json", "in/done/c.json"]);
}

/// The mark of a moved object says from where it was moved, to whoever comes new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_knows_nothing_imports_no_object_that_was_moved() {
    let (first, store) = (node(), filled().await);
    passed(&first, &store, with(&first, moves())).await;
    passed(&first, &store, with(&first, After::Move("in/old/".to_owned()))).await;
    put(&store, "in/d.json", good("d")).await;
    passed(&first, &store, with(&first, After::Move("in/old/".to_owned()))).await;
    check_events(&first, good_events(&["a", "b", "c", "d"]));
    let moved = ["in/done/a.json", "in/done/b.json", "in/done/c.json", "in/old/d.json"];
    assert_eq!(keys(&store), moved);
    // Under its own settings and under others, and a prefix in which this one lies.
    for (prefix, after) in [("in/", None), ("in/", Some(After::Move("in/new/".to_owned()))), ("", None)] {
        let fresh = node();
        let settings = BucketImport { prefix: prefix.to_owned(), after: after.clone(), ..import(&fresh) };
        let report = passed(&fresh, &store, settings).await;
        assert_eq!((files(&report), skipped(&report)), (vec![], vec![("own", 4)]), "{report:?}");
        let fresh = fresh.killed();
        let settings = BucketImport { prefix: prefix.to_owned(), after, ..import(&fresh) };
        let again = passed(&fresh, &store, settings).await;
        assert_eq!((files(&again), skipped(&again)), (vec![], vec![("own", 4)]), "{again:?}");
    }
    assert_eq!(keys(&store), moved);
}

/// An import of the place to which they were moved, and a copy that a person made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_holds_back_no_object_that_is_another_one_to_an_import() {
    let (first, store) = (node(), filled().await);
    passed(&first, &store, with(&first, moves())).await;
    let other = node();
    let report =
        passed(&other, &store, BucketImport { prefix: "in/done/".to_owned(), ..import(&other) }).await;
    assert_eq!(files(&report), [("done", 3)], "{report:?}");
    let moved = object(&store, "in/done/a.json");
    let mark = moved.metadata.get("forebay-moved").unwrap().clone();
    let key = ObjectKey::listed("in/again.json".to_owned());
    let metadata = vec![("forebay-moved", mark)];
    let again = Put { metadata, ..Put::plain(location(), key, moved.bytes, PutMode::Overwrite) };
    store.put(&again).await.unwrap();
    let report = passed(&first, &store, import(&first)).await;
    assert_eq!((files(&report), skipped(&report)), (vec![("done", 1)], vec![("own", 3)]), "{report:?}");
}

/// The mark is in the object that whoever may write it wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mark_keeps_no_object_beside_its_own_from_being_imported() {
    let (mover, store) = (node(), FakeStore::new());
    put(&store, "orders-1/a.json", good("a")).await;
    let moves = BucketImport {
        prefix: "orders-1/".to_owned(),
        after: Some(After::Move("orders/".to_owned())),
        ..import(&mover)
    };
    assert_eq!(done(&passed(&mover, &store, moves).await), [("moved", 1)]);
    put(&store, "orders/b.json", good("b")).await;
    let reads = |node: &Node| BucketImport { prefix: "orders".to_owned(), ..import(node) };
    let reader = node();
    let report = passed(&reader, &store, reads(&reader)).await;
    assert_eq!((files(&report), skipped(&report)), (vec![("done", 1)], vec![("own", 1)]), "{report:?}");
    // Also in later passes of other processes.
    let reader = reader.killed();
    put(&store, "orders/c.json", good("c")).await;
    let report = passed(&reader, &store, reads(&reader)).await;
    assert_eq!((files(&report), skipped(&report)), (vec![("done", 1)], vec![("own", 1)]), "{report:?}");
    check_events(&reader, good_events(&["b", "c"]));
    // An import that would not have read it where it was: by its prefix, or by the pattern of its converter.
    let text = super::bucket::converter_text(r#""fileType":"json""#, "");
    let text = text.strip_suffix('}').unwrap();
    let text = format!(r#"{text},"keyValidatorConfig":{{"filterPattern":"orders/a.*"}}}}"#);
    for (prefix, text) in [("orders/", new_converter()), ("", text)] {
        let fresh = node();
        let report = passed(&fresh, &store, import_as(&fresh, "events", prefix, &text)).await;
        assert_eq!(skipped(&report).iter().find(|(why, _)| *why == "own"), None, "{prefix}: {report:?}");
        assert!(report.files_that(Became::Done) > 0, "{prefix}: {report:?}");
    }
}

/// The second mark would take the place of the first one, and the file would go round.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_is_not_moved_back_to_where_the_import_reads_that_moved_it_away() {
    let (node, store) = (node(), filled().await);
    let between = |name: &str, prefix: &str, to: &str| BucketImport {
        name: name.to_owned(),
        prefix: prefix.to_owned(),
        after: Some(After::Move(to.to_owned())),
        ..import(&node)
    };
    assert_eq!(done(&passed(&node, &store, between("one", "in/", "mid/")).await), [("moved", 3)]);
    let there = ["mid/a.json", "mid/b.json", "mid/c.json"];
    // What this journal knows is no help to another instance, which reads what is there.
    let other = super::importer::node();
    let back = BucketImport { name: "two".to_owned(), ..between("two", "mid/", "in/fin/") };
    for rows in [15, 0] {
        let report = passed(&other, &store, back.clone()).await;
        assert_eq!((report.rows, waiting(&report)), (rows, vec![("refused", 3)]), "{report:?}");
        let why = report.after.first[0].error.as_ref().unwrap().masked().to_owned();
        assert!(why.contains("an import that reads in/ has moved it away"), "{why}");
        assert!(why.contains("again at in/fin/"), "{why}");
        assert_eq!(keys(&store), there);
        assert_eq!(passed(&node, &store, between("one", "in/", "mid/")).await.rows, 0);
    }
    // Elsewhere it may go.
    let report =
        passed(&other, &store, BucketImport { after: Some(After::Move("fin/".to_owned())), ..back }).await;
    assert_eq!(done(&report), [("moved", 3)], "{report:?}");
    assert_eq!(keys(&store), ["fin/a.json", "fin/b.json", "fin/c.json"]);
}

/// Each of them knows nothing of the others but what the objects say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_several_imports_move_on_never_comes_back_to_one_of_them() {
    let (store, nodes) = (filled().await, [node(), node(), node()]);
    let reads = |at: usize, prefix: &str, to: &str| BucketImport {
        prefix: prefix.to_owned(),
        after: Some(After::Move(to.to_owned())),
        ..import(&nodes[at])
    };
    let moved = async |at: usize, prefix: &str, to: &str| {
        let report = passed(&nodes[at], &store, reads(at, prefix, to)).await;
        (done(&report), waiting(&report))
    };
    assert_eq!(moved(0, "in/", "mid/").await, (vec![("moved", 3)], vec![]));
    assert_eq!(moved(1, "mid/", "fin/").await, (vec![("moved", 3)], vec![]));
    // Where the first one reads, and where the second one does.
    for to in ["in/again/", "mid/again/"] {
        assert_eq!(moved(2, "fin/", to).await, (vec![], vec![("refused", 3)]), "{to}");
        assert_eq!(keys(&store), ["fin/a.json", "fin/b.json", "fin/c.json"], "{to}");
        assert_eq!(moved(0, "in/", "mid/").await, (vec![], vec![]), "{to}");
    }
    assert_eq!(moved(2, "fin/", "end/").await, (vec![("moved", 3)], vec![]));
    assert_eq!(keys(&store), ["end/a.json", "end/b.json", "end/c.json"]);
    nodes.iter().for_each(|node| check_events(node, good_events(&["a", "b", "c"])));
}

fn new_converter() -> String {
    super::bucket::converter_text(r#""fileType":"json""#, "new ")
}

/// Objects that were imported while nothing was to be done stay as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_setting_is_for_objects_whose_import_ends_under_it() {
    let (node, store) = (node(), filled().await);
    passed(&node, &store, import(&node)).await;
    let report = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!((keys(&store).len(), done(&report), waiting(&report)), (3, vec![], vec![]));
    put(&store, "in/d.json", good("d")).await;
    store.script_changes([Step::SLOW_DOWN, Step::SLOW_DOWN]);
    let report = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!(waiting(&report), [("unreachable", 1)], "{report:?}");
    // What is to be done is what the setting says when it is done.
    let report = passed(&node, &store, import(&node)).await;
    assert_eq!((waiting(&report), keys(&store).len()), (vec![], 4));
    let report = passed(&node, &store, with(&node, After::Tag)).await;
    assert_eq!(done(&report), [("tagged", 1)]);
    assert!(object(&store, "in/d.json").tags.contains_key(TAG));
}

/// A pass that waits for its change number `change` for ever, before or after it is applied, and the process
/// that comes after it.
async fn killed_at_change(node: Node, store: &FakeStore, after: After, change: usize, applied: bool) -> Node {
    let gate = Gate::new();
    let held = if applied { Step::HoldAnswer(gate.clone()) } else { Step::HoldRequest(gate.clone()) };
    store.script_changes(std::iter::repeat_n(Step::Proper, change).chain([held]));
    let settings = BucketImport { parallel: 1, ..with(&node, after) };
    let deps = deps(&node, store);
    let running = tokio::spawn(async move { pass(Arc::new(settings), deps).await });
    wait::until("the change that is not answered", PATIENCE, async || {
        (gate.is_awaited() || running.is_finished()).then_some(())
    })
    .await;
    running.abort();
    assert!(running.await.is_err(), "the pass ended before change {change}");
    node.killed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_change_it_is_done_and_no_row_is_lost_or_repeated() {
    // For three objects: their tags are read and put, they are copied and deleted, or deleted.
    for (after, changes) in [(After::Tag, 6), (moves(), 6), (After::Delete, 3)] {
        for change in 0..changes {
            for applied in [false, true] {
                let (node, store) = (node(), filled().await);
                let node = killed_at_change(node, &store, after.clone(), change, applied).await;
                // No object is gone whose rows are not stored.
                let all = keys(&store).join(" ");
                let stored: Vec<_> = super::bucket::calls(&node);
                for name in ["a", "b", "c"] {
                    let rows = stored.iter().filter(|call| {
                        call["event"].as_str().is_some_and(|event| event.starts_with(&format!("{name} ")))
                    });
                    assert!(
                        all.contains(&format!("/{name}.json")) || rows.count() == 5,
                        "{after:?} {change}"
                    );
                }
                let report = passed(&node, &store, with(&node, after.clone())).await;
                let what = format!("{after:?} {change} {applied}: {report:?}");
                assert_eq!(waiting(&report), [], "{what}");
                match &after {
                    After::Tag => {
                        assert_eq!(keys(&store), ["in/a.json", "in/b.json", "in/c.json"], "{what}");
                        let tagged = keys(&store);
                        assert!(
                            tagged.iter().all(|key| object(&store, key).tags.contains_key(TAG)),
                            "{what}"
                        );
                    }
                    After::Move(_) => {
                        let moved = ["in/done/a.json", "in/done/b.json", "in/done/c.json"];
                        assert_eq!(keys(&store), moved, "{what}");
                    }
                    After::Delete => assert_eq!(keys(&store), [""; 0], "{what}"),
                }
                check_events(&node, good_events(&["a", "b", "c"]));
                let again = passed(&node, &store, with(&node, after.clone())).await;
                assert_eq!((again.rows, done(&again)), (0, vec![]), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_done_with_an_object_before_its_last_row_is_stored() {
    // A file of three steps whose bad rows are accepted.
    for steps in 0..3 {
        for stores_last in [false, true] {
            let (node, store) = (node(), FakeStore::new());
            put(&store, "in/a.json", lines("a", ROWS)).await;
            let first = with(&node, After::Delete);
            let node = killed_at(node, &store, first, steps, stores_last).await;
            assert_eq!((keys(&store), store.changes()), (vec!["in/a.json".to_owned()], vec![]));
            let report = passed(&node, &store, with(&node, After::Delete)).await;
            assert_eq!(waiting(&report), [("rejected_rows", 1)], "{report:?}");
            assert_eq!(report.after.rejected_rows, 45);
            check_events(&node, events("a", ROWS));
            let settings = Arc::new(with(&node, After::Delete));
            accept_rejects(settings, deps(&node, &store), "in/a.json").await.unwrap();
            let node = node.killed();
            let report = passed(&node, &store, with(&node, After::Delete)).await;
            assert_eq!((done(&report), keys(&store)), (vec![("deleted", 1)], vec![]));
            check_events(&node, events("a", ROWS));
        }
    }
}

/// The steps of an object in a pass that are held: an object that is replaced meanwhile stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_meanwhile_stays() {
    for (after, change) in [(After::Delete, 0), (moves(), 0), (moves(), 1)] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", good("a")).await;
        let gate = Gate::new();
        let held = Step::HoldRequest(gate.clone());
        store.script_changes(std::iter::repeat_n(Step::Proper, change).chain([held]));
        let (settings, deps) = (Arc::new(with(&node, after.clone())), deps(&node, &store));
        let running = tokio::spawn(async move { pass(settings, deps).await.unwrap() });
        wait::until("the change that is held", PATIENCE, async || gate.is_awaited().then_some(())).await;
        put(&store, "in/a.json", good("new")).await;
        gate.open();
        let report = running.await.unwrap();
        assert_eq!((done(&report), waiting(&report)), (vec![], vec![("changed", 1)]), "{after:?} {report:?}");
        let [first] = report.after.first.as_slice() else { panic!("{report:?}") };
        assert_eq!((first.name.as_str(), first.why), ("s3://lake/in/a.json", AfterWaits::Changed));
        assert_eq!(object(&store, "in/a.json").bytes, good("new"));
        // With "ignore" it stays for good, and the store is not asked again.
        let requests = store.changes().len();
        let report = passed(&node, &store, with(&node, after.clone())).await;
        assert_eq!(
            (waiting(&report), skipped(&report).last()),
            (vec![("changed", 1)], Some(&("changed", 1)))
        );
        assert_eq!(store.changes().len(), requests);
        // With "reprocess" it is a file of its own.
        let again = BucketImport { on_change: OnChange::Reprocess, ..with(&node, after.clone()) };
        let report = passed(&node, &store, again).await;
        assert_eq!(waiting(&report), [], "{report:?}");
        assert!(store.object("lake", "in/a.json").is_none());
        check_events(&node, good_events(&["a", "new"]));
    }
}

/// Between the end of the import and the pass that does it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_before_its_turn_stays_and_one_that_is_gone_is_done() {
    for after in [After::Tag, moves(), After::Delete] {
        let (node, store) = (node(), filled().await);
        store.refuse_change("delete", true);
        store.refuse_change("copy", true);
        store.refuse_change("tags", true);
        let report = passed(&node, &store, with(&node, after.clone())).await;
        assert_eq!(waiting(&report), [("denied", 3)], "{report:?}");
        put(&store, "in/a.json", good("new")).await;
        store.delete("lake", "in/b.json");
        for kind in ["delete", "copy", "tags"] {
            store.refuse_change(kind, false);
        }
        let report = passed(&node, &store, with(&node, after.clone())).await;
        let expected = match &after {
            After::Tag => "tagged",
            After::Move(_) => "moved",
            After::Delete => "deleted",
        };
        assert_eq!(
            (done(&report), waiting(&report)),
            (vec![(expected, 1), ("gone", 1)], vec![("changed", 1)])
        );
        assert_eq!(object(&store, "in/a.json").tags, BTreeMap::new());
        assert_eq!(object(&store, "in/a.json").bytes, good("new"));
        check_events(&node, good_events(&["a", "b", "c"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_denied_is_said_stops_no_import_and_is_done_once_it_is_allowed() {
    let (node, store) = (node(), FakeStore::new());
    let names: Vec<String> = (0..60).map(|number| format!("f{number:02}")).collect();
    for name in &names {
        put(&store, &format!("in/{name}.json"), good(name)).await;
    }
    store.refuse_change("delete", true);
    let first = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!(files(&first), [("done", 60)], "{first:?}");
    let tried = store.changes().len();
    assert!((20..60).contains(&tried), "not all are tried: {tried}");
    assert_eq!(first.after.waiting_for(AfterWaits::Denied) + first.after.waiting_for(AfterWaits::Due), 60);
    assert!(first.after.waiting_for(AfterWaits::Denied) >= 20, "{first:?}");
    let denied = first.after.first.iter().find(|first| first.why == AfterWaits::Denied).unwrap();
    assert!(denied.error.as_ref().unwrap().full().contains("403"), "{denied:?}");
    // One that always fails does not keep the others from their turn.
    store.refuse_change("delete", false);
    let next = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!((done(&next), waiting(&next)), (vec![("deleted", 60)], vec![]));
    assert_eq!(keys(&store), [""; 0]);
    check_events(&node, names.iter().flat_map(|name| events(name, 5)));
}

/// The bucket may be one whose missing objects are answered with 403.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_is_no_end() {
    for after in [After::Tag, moves(), After::Delete] {
        let (node, store) = (node(), filled().await);
        // Every second answer is lost.
        store.script_changes((0..12).map(|at| if at % 2 == 0 { Step::LoseAnswer } else { Step::Proper }));
        let mut passes = 0;
        loop {
            let report = passed(&node, &store, with(&node, after.clone())).await;
            assert_eq!(report.files_that(Became::Failed), 0);
            passes += 1;
            if waiting(&report).is_empty() {
                break;
            }
            assert!(passes < 20, "{report:?}");
        }
        let left = if after == After::Delete { 0 } else { 3 };
        assert_eq!(keys(&store).len(), left, "{after:?}");
        check_events(&node, good_events(&["a", "b", "c"]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_with_rejected_rows_is_kept_until_they_are_settled() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", good("a")).await;
    // One bad row each; that of the archive is in its second entry.
    put(&store, "in/b.json", lines("b", 10)).await;
    put(&store, "in/c.zip", archive(&[("1", good("c").as_str()), ("2", lines("d", 10).as_str())])).await;
    put(&store, "in/e.zip", archive(&[("1", good("e").as_str()), ("2", good("f").as_str())])).await;
    put(&store, "in/g.zip", archive(&[("1", good("g").as_str()), ("2", "[]")])).await;
    let settings = || BucketImport { parallel: 1, ..with(&node, After::Delete) };
    let refused = async |key: &str| match accept_rejects(Arc::new(settings()), deps(&node, &store), key).await
    {
        Err(ResetError::Refused(what)) => what,
        other => panic!("{key}: {other:?}"),
    };
    assert!(refused("in/b.json").await.contains("no file of import events has begun here"));
    let first = passed(&node, &store, settings()).await;
    assert_eq!(done(&first), [("deleted", 2)], "{first:?}");
    assert_eq!(waiting(&first), [("rejected_rows", 2)]);
    assert_eq!(first.after.rejected_rows, 2);
    assert_eq!(keys(&store), ["in/b.json", "in/c.zip", "in/g.zip"], "an entry of the last one failed");
    for key in ["in/a.json", "in/e.zip", "in/g.zip", "in/none"] {
        let what = refused(key).await;
        assert!(what.contains("has no rejected rows that wait"), "{key}: {what}");
    }
    let accepted = accept_rejects(Arc::new(settings()), deps(&node, &store), "in/b.json").await.unwrap();
    assert_eq!(
        (accepted.count, accepted.rows, accepted.names),
        (1, 1, vec!["s3://lake/in/b.json".to_owned()])
    );
    assert!(refused("in/b.json").await.contains("has no rejected rows"));
    let next = passed(&node, &store, settings()).await;
    assert_eq!((done(&next), waiting(&next)), (vec![("deleted", 1)], vec![("rejected_rows", 1)]));
    let all = accept_all_rejects(Arc::new(settings()), deps(&node, &store)).await.unwrap();
    assert_eq!((all.count, all.rows), (1, 1));
    let none = accept_all_rejects(Arc::new(settings()), deps(&node, &store)).await.unwrap();
    assert_eq!((none.count, none.rows), (0, 0));
    let last = passed(&node, &store, settings()).await;
    assert_eq!((done(&last), keys(&store)), (vec![("deleted", 1)], vec!["in/g.zip".to_owned()]));
    check_events(
        &node,
        good_events(&["a", "c", "e", "f", "g"]).into_iter().chain(events("b", 10)).chain(events("d", 10)),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_is_tagged_as_it_was_imported_and_never_with_an_eleventh_tag() {
    let (node, store) = (node(), FakeStore::new());
    store.name_versions(true);
    let tagged = |count: usize| Put {
        tags: (0..count)
            .map(|at| (["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][at], "x".to_owned()))
            .collect(),
        ..Put::plain(
            location(),
            ObjectKey::listed(format!("in/{count}.json")),
            good(&count.to_string()),
            PutMode::Overwrite,
        )
    };
    for count in [0, 9, 10] {
        store.put(&tagged(count)).await.unwrap();
    }
    let first = passed(&node, &store, with(&node, After::Tag)).await;
    assert_eq!(
        (done(&first), waiting(&first)),
        (vec![("tagged", 2)], vec![("too_many_tags", 1)]),
        "{first:?}"
    );
    assert_eq!(object(&store, "in/9.json").tags.len(), 10);
    assert!(!object(&store, "in/10.json").tags.contains_key(TAG));
    // A person removes one.
    store.put(&Put { tags: Vec::new(), ..tagged(10) }).await.unwrap();
    let again = passed(&node, &store, with(&node, After::Tag)).await;
    assert_eq!(done(&again), [("tagged", 1)], "the same content in another version: {again:?}");
    // Between the look and the tag another version comes: the tag is for the id of the first one.
    put(&store, "in/new.json", good("n")).await;
    let gate = Gate::new();
    store.script_changes([Step::Proper, Step::HoldRequest(gate.clone())]);
    let (settings, deps) = (Arc::new(with(&node, After::Tag)), deps(&node, &store));
    let running = tokio::spawn(async move { pass(settings, deps).await.unwrap() });
    wait::until("the tag that is held", PATIENCE, async || gate.is_awaited().then_some(())).await;
    put(&store, "in/new.json", good("other")).await;
    gate.open();
    let report = running.await.unwrap();
    assert_eq!(waiting(&report), [("changed", 1)], "{report:?}");
    assert_eq!(object(&store, "in/new.json").tags, BTreeMap::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_moved_keeps_what_it_has() {
    let (node, store) = (node(), FakeStore::new());
    let key =
        KmsKey::parse("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab").unwrap();
    let kms = Encryption::Kms(SseKms { key, bucket_key: Some(true), context: KmsContext::default() });
    for (name, encryption) in [("a", kms), ("b", Encryption::SseS3), ("c", Encryption::None)] {
        let mut to = location();
        to.encryption = encryption;
        let put = Put {
            metadata: vec![("made-by", "hand".to_owned())],
            tags: vec![("kind", "x".to_owned())],
            ..Put::plain(to, ObjectKey::listed(format!("in/{name}.json")), good(name), PutMode::CreateOnly)
        };
        store.put(&put).await.unwrap();
    }
    let before: Vec<FakeObject> =
        ["a", "b", "c"].map(|name| object(&store, &format!("in/{name}.json"))).to_vec();
    let report = passed(&node, &store, with(&node, moves())).await;
    assert_eq!(done(&report), [("moved", 3)], "{report:?}");
    let moved = ["a", "b", "c"].map(|name| {
        let mut moved = object(&store, &format!("in/done/{name}.json"));
        // What it has more than before says where it was.
        assert!(moved.metadata.remove("forebay-moved").is_some(), "{moved:?}");
        moved
    });
    assert_eq!(moved.to_vec(), before);
    // A key that would be too long stays, and is said; others go on.
    let long = format!("in/{}", "d".repeat(1_018));
    put(&store, &long, good("d")).await;
    let report = passed(&node, &store, with(&node, moves())).await;
    assert_eq!((done(&report), waiting(&report)), (vec![], vec![("long_key", 1)]));
    let report = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!(done(&report), [("deleted", 1)]);
    assert_eq!(AfterDone::ALL.len(), 4);
}

/// An import that reads a done object again is not disturbed by what is to be done with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_imported_again_is_kept_until_that_has_ended() {
    let (node, store) = (node(), FakeStore::new());
    put(&store, "in/a.json", lines("a", 2_500)).await;
    passed(&node, &store, with(&node, After::Delete)).await;
    let accepted =
        accept_rejects(Arc::new(with(&node, After::Delete)), deps(&node, &store), "in/a.json").await;
    assert_eq!(accepted.unwrap().rows, 25);
    // The second reading waits in the middle.
    let gate = Gate::new();
    store.script_reads([Step::Proper, Step::Proper, Step::HoldRequest(gate.clone())]);
    let again = forebay::import::bucket_import::PassDeps { again: true, ..deps(&node, &store) };
    let settings = Arc::new(with(&node, After::Delete));
    let running = tokio::spawn(async move { pass(settings, again).await });
    wait::until("the read that is held", PATIENCE, async || gate.is_awaited().then_some(())).await;
    running.abort();
    assert!(running.await.is_err());
    let node = node.killed();
    // The accepted rows were those of the first reading.
    gate.open();
    let report = passed(&node, &store, with(&node, After::Delete)).await;
    assert_eq!((done(&report), waiting(&report)), (vec![], vec![("rejected_rows", 1)]), "{report:?}");
    assert_eq!(keys(&store), ["in/a.json"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_accepted_are_neither_kept_nor_read_again() {
    for all in [false, true] {
        let (node, store) = (node(), FakeStore::new());
        put(&store, "in/a.json", lines("a", 10)).await;
        put(&store, "in/b.zip", archive(&[("1", lines("b", 10).as_str()), ("2", good("c").as_str())])).await;
        let settings = || Arc::new(with(&node, After::Delete));
        let report = passed(&node, &store, with(&node, After::Delete)).await;
        assert_eq!(waiting(&report), [("rejected_rows", 2)]);
        let retried = retry_rejects(settings(), deps(&node, &store), None, false).await.unwrap();
        assert_eq!((retried.files, retried.outcome.rejected), (2, 2), "{retried:?}");
        if all {
            accept_all_rejects(settings(), deps(&node, &store)).await.unwrap();
        } else {
            for key in ["in/a.json", "in/b.zip"] {
                accept_rejects(settings(), deps(&node, &store), key).await.unwrap();
            }
        }
        let folder = std::fs::read_dir(node.dir.path().join("rejects")).unwrap().next().unwrap().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let report = passed(&node, &store, with(&node, After::Delete)).await;
        assert_eq!((done(&report), keys(&store).len()), (vec![("deleted", 2)], 0));
        let retried = retry_rejects(settings(), deps(&node, &store), None, false).await.unwrap();
        assert_eq!((retried.files, retried.left_count), (0, 0), "{retried:?}");
    }
}
