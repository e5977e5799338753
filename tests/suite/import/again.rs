//! Objects that begin again: because a person says so, or because another one took their place.

use std::sync::Arc;

use forebay::import::bucket_import::{Begins, ResetError, reset_failed, reset_object};
use forebay::store::fake::FakeStore;

use super::bucket::{
    ROWS, calls, check_events, deps, events, files, gzip, import, killed_at, lines, passed, put, skipped,
};
use super::importer::{Node, node};

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
    let whole = gzip(&lines("a", ROWS));
    put(&store, "in/a.json.gz", whole[..whole.len() - 4].to_vec()).await;
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
    assert!(stored > 1_000, "rows before the cut are stored: {stored}");
    let (begins, rows, of_file) = reset(&node, &store, "in/a.json.gz").await.unwrap();
    assert_eq!((begins, of_file), (Begins::NextRow, (stored - 3) as u64));
    assert!(rows > of_file, "{rows} {of_file}");
    // It may fail three times again, and then a person may let it begin again.
    for expected in ["failed", "failed", "poison", "poison"] {
        let report = passed(&node, &store, import(&node)).await;
        assert!(files(&report).contains(&(expected, if expected == "poison" { 2 } else { 1 })), "{report:?}");
    }
    let all = reset_failed(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!(
        (all.count, all.names),
        (2, vec!["s3://lake/in/a.json.gz".into(), "s3://lake/in/b.json".into()])
    );
    assert_eq!(files(&passed(&node, &store, import(&node)).await), [("failed", 2)]);
    assert_eq!(calls(&node).len(), stored);
    let none = reset_failed(Arc::new(import(&node)), deps(&node, &store)).await.unwrap();
    assert_eq!(none.count, 0);

    let what = refused(&node, &store, "in/c.json").await;
    let command = "forebay import run events --again --from in/c.json --to in/c.json";
    assert!(what.contains("is imported") && what.contains(command), "{what}");
    let what = refused(&node, &store, "in/d.json").await;
    assert!(what.contains("has not begun") && what.contains("--dry-run --from in/d.json"), "{what}");
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
