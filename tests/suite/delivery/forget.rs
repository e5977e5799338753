//! Forgetting sources: only those of which nothing waits, and without a change of any sum.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::log::{AccountKey, Log, Row, Rows};
use forebay::sources::SourceId;
use forebay::store::fake::FakeStore;
use forebay::time::DAY_MS;

use super::node::*;

fn sources(names: &[&str]) -> BTreeSet<SourceId> {
    names.iter().map(|name| source(name)).collect()
}

/// The sum of all accounts, those of forgotten sources included.
fn total(log: &dyn Log) -> Row {
    let report = log.ledger(Rows::Totals);
    assert_eq!(report.differences, []);
    let mut total = Row::default();
    report.accounts.iter().for_each(|of| total.add(&of.total));
    report.removed.rows().for_each(|row| total.add(row));
    total
}

fn accounts(log: &dyn Log) -> Vec<String> {
    log.ledger_summary().0.into_iter().map(|(account, _): (AccountKey, Row)| account.to_string()).collect()
}

/// Closes every day up to today.
async fn close_days(node: &Node, clock: &StepClock) {
    clock.set_wall(clock.now() - clock.now() % DAY_MS + DAY_MS);
    eventually("the days to close", || {
        clock.pass(Duration::from_secs(7));
        node.log().unclosed_days().is_empty()
    })
    .await;
}

/// Forgets sources; their last counts may have to be noted first.
async fn forget(node: &Node, names: &[&str]) {
    let mut left = sources(names);
    eventually("the sources to be forgotten", || {
        let forgotten = node.reports().forget(&left).unwrap();
        node.delivery.forget(&forgotten);
        left.retain(|source| !forgotten.contains(source));
        left.is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_is_forgotten_once_its_last_day_is_closed_and_the_sums_stay() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for name in ["web", "ios", "silent"] {
        node.send(name, "bucket");
    }
    node.append("web", &lines(0, 4)).await;
    node.append("ios", &lines(10, 5)).await;
    node.reject("ios", "{\"reason\":\"unknown_type\"}").await;
    // Neither sealed, nor stored, nor closed.
    let all = sources(&["web", "ios", "silent"]);
    assert_eq!(node.reports().known_sources(&|_| true), all);
    assert_eq!(node.reports().forget(&sources(&["web", "ios"])).unwrap(), sources(&[]));
    node.flush().await;
    assert_eq!(node.reports().forget(&sources(&["web", "ios"])).unwrap(), sources(&[]), "its day is open");
    close_days(&node, &clock).await;
    let before = total(&*node.log());
    assert_eq!((before.received, before.delivered, before.rejected_delivered), (10, 9, 1));
    forget(&node, &["ios", "silent"]).await;
    let log = node.log();
    assert_eq!((total(&*log), accounts(&*log)), (before, vec!["web".to_owned()]));
    assert_eq!(
        (node.reports().known_sources(&|_| true), node.delivery.progress().sources()),
        (sources(&["web"]), vec![source("web")])
    );
    assert_eq!(log.current_location(&source("ios")), None);
    let removed = log.ledger(Rows::None).removed;
    assert_eq!((removed.sources, removed.calls.received, removed.calls.rejected), (2, 6, 1));
    drop(log);
    // A crash and an orderly end keep it so.
    let crashed = tempfile::tempdir().unwrap();
    copy(dir.path(), crashed.path());
    node.halt().await;
    for dir in [&crashed, &dir] {
        let node = Node::open(dir.path(), &store, &clock);
        assert_eq!((total(&*node.log()), node.log().ledger(Rows::None).removed), (before, removed.clone()));
        assert_eq!(node.reports().known_sources(&|_| true), sources(&["web"]));
        node.halt().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_source_that_comes_back_begins_anew() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    for round in 0..2_u32 {
        node.send("web", "bucket");
        node.append("web", &lines(round * 10, 3)).await;
        node.flush().await;
        close_days(&node, &clock).await;
        let before = total(&*node.log());
        forget(&node, &["web"]).await;
        assert_eq!((total(&*node.log()), accounts(&*node.log())), (before, vec![]));
    }
    let removed = node.log().ledger(Rows::None).removed;
    assert_eq!((removed.sources, removed.calls.delivered), (2, 6));
    node.halt().await;
    let node = Node::open(dir.path(), &store, &clock);
    node.send("web", "elsewhere");
    node.append("web", &lines(50, 2)).await;
    node.flush().await;
    assert_eq!(objects(&store, "elsewhere", "segment-logs/web/").len(), 1);
    assert_eq!((total(&*node.log()).delivered, accounts(&*node.log())), (8, vec!["web".to_owned()]));
    node.halt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_sources_are_forgotten_at_once() {
    let (dir, store, clock) = (tempfile::tempdir().unwrap(), FakeStore::new(), StepClock::new());
    let node = Node::open(dir.path(), &store, &clock);
    let names: Vec<String> = (0..130).map(|n| format!("s{n}")).collect();
    for name in &names {
        node.send(name, "bucket");
    }
    for name in names.iter().take(60) {
        node.append(name, &lines(0, 1)).await;
    }
    node.flush().await;
    close_days(&node, &clock).await;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    forget(&node, &names).await;
    assert_eq!((node.reports().known_sources(&|_| true), total(&*node.log()).delivered), (sources(&[]), 60));
    node.halt().await;
}
