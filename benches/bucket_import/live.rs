//! Calls of SDKs beside an import whose rows are compared with those of the last 7 days, and beside the same import
//! without `insert_id`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use forebay::convert::{Converter, DataType, Strategy};
use forebay::import::bucket_import::{Became, BucketImport, pass};
use forebay::object::ObjectKey;
use forebay::runtime::SystemClock;
use forebay::store::fake::FakeStore;
use forebay::store::{ObjectStore as _, Put, PutMode};
use forebay::time::Clock as _;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::number;
use crate::rows::{converter_table_of, converter_text};
use crate::spooled::{self, Requests};
use crate::turns::median;
use crate::whole::{Node, import, location};

const CALLS: usize = 100;
const IN_FLIGHT: usize = 16;
const WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// An import of the table, with the column `device_id` as `insert_id` or without one.
fn import_of(node: &Node, keyed: bool) -> BucketImport {
    let text = converter_text("csv");
    let text = match keyed {
        true => text.replace("\"user_id\":", "\"insert_id\":[\"path\",\"device_id\"],\"user_id\":"),
        false => text,
    };
    let loaded = Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024);
    BucketImport {
        converter: Arc::new(loaded.expect("a converter")),
        converter_text: text.into_bytes().into(),
        insert_id_window: keyed.then_some(WINDOW),
        ..import(node.dir.path(), "csv")
    }
}

async fn put(store: &FakeStore, key: &str, table: &Bytes) {
    let key = ObjectKey::listed(key.to_owned());
    store.put(&Put::plain(location(), key, table.clone(), PutMode::Overwrite)).await.expect("memory");
}

async fn imported(node: &Node, store: &Arc<FakeStore>, keyed: bool) {
    let deps = node.deps(Arc::clone(store) as _);
    let report = pass(Arc::new(import_of(node, keyed)), deps).await.expect("a pass");
    assert_eq!((report.files_that(Became::Done), report.repeats), (1, 0), "{report:?}");
}

/// Calls a second that are acknowledged, from the beginning of an import until so many are; the import goes on longer.
async fn calls_beside(
    node: &Node,
    store: &Arc<FakeStore>,
    keyed: bool,
    requests: &mut Requests,
    count: u64,
) -> f64 {
    let clock = SystemClock::new();
    let mut importing = std::pin::pin!(imported(node, store, keyed));
    let began = clock.monotonic();
    let calling = async {
        let mut appends = JoinSet::new();
        for _ in 0..count {
            if appends.len() == IN_FLIGHT {
                let appended = appends.join_next().await;
                appended.expect("one in flight").expect("no panic");
            }
            let (appender, frames) = (node.spool.appender(), requests.next(CALLS));
            appends.spawn(async move { appender.append(frames).await.expect("space in the spool") });
        }
        while let Some(appended) = appends.join_next().await {
            appended.expect("no panic");
        }
        clock.monotonic() - began
    };
    let took = tokio::select! {
        took = calling => took,
        () = &mut importing => panic!("the import ended before the calls: fewer --calls, or more --keys"),
    };
    importing.await;
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let calls = (count * CALLS as u64) as f64;
    calls / took.as_secs_f64()
}

/// A node that has imported `first`, and delivered it.
fn ready(runtime: &Runtime, first: &Bytes, keyed: bool) -> (Node, Arc<FakeStore>) {
    let (node, store) = (Node::new(), Arc::new(FakeStore::new()));
    runtime.block_on(async {
        put(&store, "in/1.csv", first).await;
        imported(&node, &store, keyed).await;
    });
    spooled::let_go(&*node.spool.log());
    (node, store)
}

pub(crate) fn measure() {
    let (keys, rounds) = (number("--keys", 1_000_000), number("--rounds", 9).min(5));
    let requests = number("--calls", 200_000) / CALLS as u64;
    let (first, second) =
        (Bytes::from(converter_table_of(0..keys)), Bytes::from(converter_table_of(keys..2 * keys)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut made = Requests::new(SystemClock::new().wall());
    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (keyed, rates) in [false, true].into_iter().zip(&mut rates) {
            let (node, store) = ready(&runtime, &first, keyed);
            rates.push(runtime.block_on(async {
                put(&store, "in/2.csv", &second).await;
                calls_beside(&node, &store, keyed, &mut made, requests).await
            }));
        }
    }
    let [without, with] = &rates;
    let ratios = with.iter().zip(without).map(|(with, without)| with / without);
    let ((ratio, least, most), (with, ..), (without, ..)) =
        (median(ratios.collect()), median(with.clone()), median(without.clone()));
    println!(
        "calls/s beside an import of {keys} rows, {keys} more known: {without:.0} without insert_id, {with:.0} with; \
         ratio {ratio:.3} ({least:.3} to {most:.3})\n"
    );
}
