//! A dry run says what the pass that follows then does: both look at each object in the same way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use forebay::import::bucket_import::{
    After, BucketImport, OnChange, OnMissing, PassDeps, PassPlan, PassReport, Skip, Would, pass, plan_pass,
};
use forebay::store::fake::FakeStore;
use forebay::time::UnixMillis;

use super::bucket::{
    ROWS, check_events, converter_text, deps, events, files, import, import_as, killed_at, lines, passed,
    put, skipped,
};
use super::importer::{Node, node};
use super::on_listing::OnListing;

const LONG_AGO: i64 = 1_000;

/// Where the other instance moves its files.
fn moves() -> After {
    After::Move("in/done/".to_owned())
}

/// What is done with the objects of a bucket, by name.
type Counts = BTreeMap<&'static str, u64>;

/// What a dry run says that a pass will do.
fn said(plan: &PassPlan) -> Counts {
    let mut counts = counted(&plan.report);
    for (would, count) in &plan.would {
        let what = match would {
            Would::LeaveOut => Skip::Changed.slug(),
            Would::Begin | Would::GoOn | Would::Again | Would::Reprocess => "done",
        };
        *counts.entry(what).or_default() += count;
    }
    counts
}

fn counted(report: &PassReport) -> Counts {
    let mut counts = Counts::from([("listed", report.listed), ("known", report.known)]);
    let files = report.files.iter().map(|(became, count)| (became.slug(), *count));
    let skipped = report.skipped.iter().map(|(why, count)| (why.slug(), *count));
    for (what, count) in files.chain(skipped) {
        *counts.entry(what).or_default() += count;
    }
    counts
}

/// A bucket with files that another instance has moved there, and those of this one: imported, tagged, moved
/// or deleted, half read, given up, replaced, gone and new.
async fn bucket(after: Option<&After>, others: usize) -> (Node, FakeStore) {
    let (other, store) = (node(), FakeStore::new());
    for number in 0..others {
        put(&store, &format!("in/other-{number}.json"), lines(&format!("other-{number}"), 5)).await;
    }
    let mover = BucketImport { after: Some(moves()), ..import(&other) };
    assert_eq!(passed(&other, &store, mover).await.files.values().sum::<u64>(), others as u64);
    let node = node();
    let settings = |node: &Node| BucketImport { after: after.cloned(), ..import(node) };
    for name in ["a", "b", "c"] {
        put(&store, &format!("in/{name}.json"), lines(name, 5)).await;
    }
    passed(&node, &store, settings(&node)).await;
    put(&store, "in/half.json", lines("half", ROWS)).await;
    let half_read = settings(&node);
    let node = killed_at(node, &store, half_read, 1, true).await;
    put(&store, "in/b.json", lines("replaced", 5)).await;
    store.delete("lake", "in/c.json");
    put(&store, "in/empty.json", "").await;
    put(&store, "in/new.json", lines("new", 5)).await;
    // It is moved there by nobody.
    put(&store, "in/done/new.json", lines("there", 5)).await;
    (node, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_counts_what_the_pass_after_it_does() {
    for after in [None, Some(After::Tag), Some(After::Delete), Some(After::Move("in/away/".to_owned()))] {
        for (on_change, again) in
            [(OnChange::Ignore, false), (OnChange::Reprocess, false), (OnChange::Ignore, true)]
        {
            let what = format!("{after:?} {on_change:?} {again}");
            let (node, store) = bucket(after.as_ref(), 3).await;
            let settings = Arc::new(BucketImport { after: after.clone(), on_change, ..import(&node) });
            let deps = || PassDeps { again, ..deps(&node, &store) };
            let before = (store.keys(), store.puts(), store.changes().len());
            let plan = plan_pass(Arc::clone(&settings), deps()).await.unwrap();
            assert_eq!((store.keys(), store.puts(), store.changes().len()), before, "{what}");
            let report = pass(Arc::clone(&settings), deps()).await.unwrap();
            assert_eq!(said(&plan), counted(&report), "{what}: {plan:?} {report:?}");
            assert_eq!(plan.would.get(&Would::GoOn), Some(&1), "{what}: {plan:?}");
            let own = plan.report.skipped_for(Skip::Own);
            let moved_here = if matches!(after, Some(After::Move(_))) { 3 } else { 0 };
            assert_eq!(own, 3 + moved_here, "{what}: {plan:?}");
            assert!(plan.first.iter().all(|(name, _)| !name.contains("other-")), "{what}: {plan:?}");
        }
    }
}

/// What a listing shows is not always what a pass then finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_sees_what_a_listing_does_not_show() {
    for on_missing in [OnMissing::Skip, OnMissing::Fail] {
        let (node, store) = bucket(None, 0).await;
        let settings = Arc::new(BucketImport { on_missing, ..import(&node) });
        // Without tags, and with an object that is gone by now.
        let blind = |page: &mut forebay::store::reader::ListPage| {
            page.objects.iter_mut().for_each(|listed| listed.etag = None);
            let mut gone = page.objects[0].clone();
            gone.key = forebay::object::ObjectKey::listed("in/gone.json".to_owned());
            page.objects.push(gone);
        };
        let deps = || PassDeps { store: Arc::new(OnListing::new(&store, blind)), ..deps(&node, &store) };
        let plan = plan_pass(Arc::clone(&settings), deps()).await.unwrap();
        let report = pass(Arc::clone(&settings), deps()).await.unwrap();
        assert_eq!(said(&plan), counted(&report), "{plan:?} {report:?}");
        let gone = |report: &PassReport| counted(report).get("missing").copied();
        assert_eq!((gone(&plan.report), gone(&report)), (Some(1), Some(1)), "{plan:?}");
    }
}

/// A store whose listings say of each object that it was stored at this time.
fn dated(store: &FakeStore, at: &Arc<AtomicI64>) -> Arc<OnListing> {
    let at = Arc::clone(at);
    Arc::new(OnListing::new(store, move |page| {
        let at = UnixMillis(at.load(Ordering::SeqCst));
        page.objects.iter_mut().for_each(|listed| listed.last_modified = Some(at));
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moved_file_is_looked_at_once_as_long_as_the_listing_shows_the_same() {
    let (other, store) = (node(), FakeStore::new());
    for name in ["a", "b", "c"] {
        put(&store, &format!("in/{name}.json"), lines(name, 5)).await;
    }
    passed(&other, &store, BucketImport { after: Some(moves()), ..import(&other) }).await;
    let (node, at) = (node(), Arc::new(AtomicI64::new(LONG_AGO)));
    // The requests of a pass, or of a dry run.
    let looks = async |node: &Node, settings: BucketImport, is_dry: bool| {
        let before = store.heads();
        let deps = PassDeps { store: dated(&store, &at), ..deps(node, &store) };
        let report = match is_dry {
            true => plan_pass(Arc::new(settings), deps).await.unwrap().report,
            false => pass(Arc::new(settings), deps).await.unwrap(),
        };
        (store.heads() - before, skipped(&report), files(&report))
    };
    let own = |heads, count| (heads, vec![("own", count)], vec![]);
    assert_eq!(looks(&node, import(&node), false).await, own(3, 3));
    assert_eq!(looks(&node, import(&node), false).await, own(0, 3));
    assert_eq!(looks(&node, import(&node), true).await, own(0, 3));
    // Other settings may decide otherwise: here the files would not have been read where they were.
    let text = converter_text(r#""fileType":"json""#, "");
    let text = text.strip_suffix('}').unwrap();
    let text = format!(r#"{text},"keyValidatorConfig":{{"filterPattern":"(done/)?[ab].*"}}}}"#);
    let narrow = || import_as(&node, "events", "in/", &text);
    let of_narrow = (2, vec![("own", 2), ("foreign", 1)], vec![]);
    assert_eq!(looks(&node, narrow(), true).await, of_narrow);
    // The same bytes come to the same key at another time: nobody has moved them there.
    let bytes = store.object("lake", "in/done/a.json").unwrap().bytes;
    store.delete("lake", "in/done/a.json");
    put(&store, "in/done/a.json", bytes).await;
    at.store(LONG_AGO + 1_000, Ordering::SeqCst);
    assert_eq!(looks(&node, import(&node), false).await, (3, vec![("own", 2)], vec![("done", 1)]));
    check_events(&node, events("a", 5));
    assert_eq!(looks(&node, import(&node), false).await, own(0, 2));
    // Another process looks once.
    let node = node.killed();
    assert_eq!(looks(&node, import(&node), false).await, own(2, 2));
    assert_eq!(looks(&node, import(&node), false).await, own(0, 2));
    // Two versions of this minute may look the same to a listing.
    at.store(i64::MAX / 2, Ordering::SeqCst);
    assert_eq!(looks(&node, import(&node), false).await, own(2, 2));
    assert_eq!(looks(&node, import(&node), false).await, own(2, 2));
}
