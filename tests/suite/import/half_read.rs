//! Files of which rows are stored when a reason to skip them begins to hold: the rest is imported, too.

use std::sync::Arc;

use forebay::import::bucket_import::{
    After, BucketImport, OnChange, PassDeps, PassReport, Would, pass, plan_pass,
};
use forebay::store::fake::FakeStore;
use forebay::time::UnixMillis;

use super::bucket::{
    ROWS, archive, check_events, converter_text, deps, events, files, import, import_as, killed_at, lines,
    passed, put, skipped,
};
use super::importer::{Node, node};
use super::on_listing::OnListing;

/// A store that says of each object that it was stored at the first second.
fn dated(store: &FakeStore) -> Arc<OnListing> {
    Arc::new(OnListing::new(store, |page| {
        page.objects.iter_mut().for_each(|listed| listed.last_modified = Some(UnixMillis(1_000)));
    }))
}

/// The import with a pattern that no file matches, and with other events.
pub(super) fn with_no_key(node: &Node) -> BucketImport {
    let text = converter_text(r#""fileType":"json""#, "new ");
    let text = text.strip_suffix('}').unwrap();
    let text = format!(r#"{text},"keyValidatorConfig":{{"filterPattern":"none-.*"}}}}"#);
    import_as(node, "events", "in/", &text)
}

async fn passed_dated(node: &Node, store: &FakeStore, import: BucketImport) -> PassReport {
    let deps = PassDeps { store: dated(store), ..deps(node, store) };
    pass(Arc::new(import), deps).await.unwrap()
}

/// A file of [`ROWS`] rows, or an archive with it, of which this node has stored a part, and one that has not begun.
async fn half_read(is_archive: bool) -> (Node, FakeStore) {
    let (node, store) = (node(), FakeStore::new());
    let text = lines("a", ROWS);
    let bytes = if is_archive { archive(&[("1", text.as_str())]) } else { text.into_bytes() };
    put(&store, "in/done/a.json", bytes).await;
    put(&store, "in/done/b.json", lines("b", 30)).await;
    let first = import(&node);
    (killed_at(node, &store, first, 1, true).await, store)
}

type Changed = fn(&Node) -> BucketImport;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_file_goes_on_although_the_settings_of_now_skip_it() {
    let cases: [(&str, Changed); 5] = [
        ("foreign", with_no_key),
        ("old", |node| BucketImport { modified_after: Some(UnixMillis(2_000)), ..import(node) }),
        ("too_small", |node| BucketImport { min_size: 900_000, ..import(node) }),
        ("too_large", |node| BucketImport { max_size: 10, ..import(node) }),
        ("own", |node| BucketImport { after: Some(After::Move("in/done/".to_owned())), ..import(node) }),
    ];
    for (reason, changed) in cases {
        for is_archive in [false, true] {
            let (node, store) = half_read(is_archive).await;
            let what = format!("{reason} {is_archive}");
            let dated = PassDeps { store: dated(&store), ..deps(&node, &store) };
            let plan = plan_pass(Arc::new(changed(&node)), dated).await.unwrap();
            assert_eq!(plan.would.get(&Would::GoOn), Some(&1), "{what}: {plan:?}");
            let report = passed_dated(&node, &store, changed(&node)).await;
            let found = (files(&report), skipped(&report));
            assert_eq!(found, (vec![("done", 1)], vec![(reason, 1)]), "{what}: {report:?}");
            // Each row once, and each with the converter that the file began with.
            check_events(&node, events("a", ROWS));
            let again = passed_dated(&node, &store, changed(&node)).await;
            assert_eq!((files(&again), again.rows), (vec![], 0), "{what}: {again:?}");
        }
    }
}

/// Of the new version nothing is stored, so the settings count: it is never imported, and that the old one ends is told. With
/// `reprocess` nothing was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_file_that_was_replaced_is_skipped_as_any_other() {
    let (node, store) = half_read(false).await;
    put(&store, "in/done/a.json", lines("c", 50)).await;
    let reprocess = BucketImport { on_change: OnChange::Reprocess, ..with_no_key(&node) };
    for import in [reprocess.clone(), reprocess, with_no_key(&node)] {
        let report = passed(&node, &store, import).await;
        let found = (files(&report), skipped(&report));
        assert_eq!(found, (vec![("changed", 1)], vec![("foreign", 1)]), "{report:?}");
    }
}

/// Another instance has moved its file beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_read_file_goes_on_beside_one_that_others_moved() {
    let (node, store) = half_read(false).await;
    store.delete("lake", "in/done/b.json");
    put(&store, "in/c.json", lines("c", 3)).await;
    let other = super::importer::node();
    let only_c = BucketImport {
        never: vec!["in/done/".to_owned()].into(),
        after: Some(After::Move("in/done/".to_owned())),
        ..import(&other)
    };
    assert_eq!(files(&passed(&other, &store, only_c).await), [("done", 1)]);
    for expected in [vec![("done", 1)], vec![]] {
        let report = passed(&node, &store, import(&node)).await;
        assert_eq!((files(&report), skipped(&report)), (expected, vec![("own", 1)]), "{report:?}");
    }
    check_events(&node, events("a", ROWS));
}
