//! A pass over keys that are all imported, beside their bare listing.

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use forebay::import::bucket_import::pass;
use forebay::import::journal::{Change, Journal as _};
use forebay::import::{KeptOf, KeptValue, begin_named};
use forebay::runtime::SystemRandom;
use forebay::store::reader::{ListFrom, StoreReader as _};
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use tokio::runtime::Runtime;

use crate::listing::{SERVE, SIZE, etag, key};
use crate::number;
use crate::own_process::OwnProcess;
use crate::turns::compare;
use crate::whole::{Node, import, location};

/// Objects that one change of the journal notes.
const AT_ONCE: u64 = 10_000;

/// The memory of this process that is resident, in MB: the most since the last call of `forget_peak`.
fn peak_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
    let kb: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    kb / 1_024
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("Linux");
}

async fn list(store: &S3Store) -> u64 {
    let (mut next, mut listed) = (None::<String>, 0);
    loop {
        let from = ListFrom { prefix: "in/", next: next.as_deref(), restored: true, ..ListFrom::default() };
        let page = store.list(&location(), from).await.expect("a page");
        listed += page.objects.len() as u64;
        next = black_box(page).next;
        if next.is_none() {
            return listed;
        }
    }
}

/// Notes in the journal that all objects are imported.
fn note_all(node: &Node, keys: u64) {
    let fixed = import(node.dir.path(), "json").fixed();
    let id = begin_named(&*node.journal, "events", &fixed, &SystemRandom, true).expect("a journal");
    for first in (0..keys).step_by(usize::try_from(AT_ONCE).expect("a number")) {
        let values: Vec<KeptValue> = (first..keys.min(first + AT_ONCE))
            .map(|number| {
                let state = format!(
                    "{{\"version\":1,\"etag\":\"{}\",\"size\":{SIZE},\"file\":\"unw446h7bvkguk7rnc2jjbggs4\",\
                     \"stage\":\"done\",\"is_archive\":false,\"has_calls\":true}}",
                    etag(number)
                );
                let by = format!("{id}/{}", key(number));
                KeptValue { kind: KeptOf::Object, by, value: Some(state.into_bytes()) }
            })
            .collect();
        node.journal.change(Change { kept: &values, ..Change::default() }).expect("a journal");
    }
}

fn pass_over(runtime: &Runtime, node: &Node, store: &Arc<S3Store>, keys: u64) {
    let import = import(node.dir.path(), "json");
    let deps = node.deps(Arc::clone(store) as _);
    let report = runtime.block_on(pass(Arc::new(import), deps)).expect("a pass");
    assert_eq!((report.listed, report.known), (keys, keys), "{report:?}");
}

pub(crate) fn measure() {
    let (keys, rounds) = (number("--keys", 1_000_000), number("--rounds", 9).min(5));
    let served = OwnProcess::start([SERVE, &keys.to_string()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let settings = S3Settings {
        endpoint_url: Some(served.url.clone()),
        region: Some("us-east-1".to_owned()),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: "bench".to_owned(),
            secret_access_key: "bench".to_owned(),
        },
        ..S3Settings::default()
    };
    let store = Arc::new(runtime.block_on(S3Store::new(settings)));
    let node = Node::new();
    note_all(&node, keys);
    pass_over(&runtime, &node, &store, keys);
    compare(
        "a key that is listed",
        keys,
        rounds,
        vec![
            ("bare listing", Box::new(|| assert_eq!(runtime.block_on(list(&store)), keys))),
            ("pass over keys that are known", Box::new(|| pass_over(&runtime, &node, &store, keys))),
        ],
    );
    forget_peak();
    runtime.block_on(list(&store));
    let listing = peak_mb();
    forget_peak();
    pass_over(&runtime, &node, &store, keys);
    println!("peak memory: {listing} MB with a listing, {} MB with a pass", peak_mb());
}
