//! A function that hangs while the store is away: the spool is full of what the function has not taken. Once
//! the store is back, calls are given up as dead letters, and intake goes on without the function.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::StatusCode;
use serde_json::Value;

use crate::serve::support::{Caller, PATIENCE, Rig, status};
use crate::support::bucket::Bucket;
use crate::support::forebay::Forebay;
use crate::support::http::is_accepted;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// Enough that none reaches the quarter of the spool at which it is refused alone.
const SOURCES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
/// Requests of 400 KB, more than the spool holds.
const REQUESTS_MAX: usize = 400;
/// Requests after that: another spool, so that what waits must go.
const MORE: usize = 160;

/// Sends requests to the sources in turn, until one is refused.
async fn fill(caller: &mut Caller, forebay: &Forebay) {
    for source in SOURCES.into_iter().cycle().take(REQUESTS_MAX) {
        let answer = caller.try_send(forebay, source, 20, 20_000).await;
        if !is_accepted(&answer) {
            assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
            return;
        }
    }
    panic!("{REQUESTS_MAX} requests, and still space left\n{}", forebay.log());
}

async fn dead_letters(bucket: &Bucket, source: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for object in bucket.objects(&format!("segment-logs/_dlq/crm/{source}/")).await {
        for line in object.text().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_ne!(line["cause"].as_str().unwrap(), "");
            assert!(ids.insert(line["call"]["messageId"].as_str().unwrap().to_owned()), "twice: {line:.300}");
        }
    }
    ids
}

/// It refused calls until the function worked.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_accepts_calls_again_although_the_function_still_hangs() {
    let rig = Rig::start(&["lake"]).await;
    let works = Arc::new(AtomicBool::new(false));
    let is_working = Arc::clone(&works);
    let function = ScriptedHttp::elsewhere(move |_| {
        if is_working.load(Ordering::SeqCst) { Reply::status(200) } else { Reply::Hang }
    })
    .await;
    let mut settings = rig.settings(&SOURCES);
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"64 MiB\"");
    settings.sources.last_mut().unwrap().1.push_str(&format!(
        "\n[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"{}\"\ntimeout = \"1 s\"\nmax_queue = \"8 MiB\"",
        function.url()
    ));
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    fill(&mut caller, &forebay).await;
    rig.link.set(Link::Up);
    for source in SOURCES.into_iter().cycle().take(MORE) {
        wait::until("calls to be accepted although the function hangs", 2 * PATIENCE, async || {
            is_accepted(&caller.try_send(&forebay, source, 20, 20_000).await).then_some(())
        })
        .await;
    }
    let usage = status(&forebay).await;
    assert!(usage["spool"]["used_bytes"].as_u64() <= Some(64 * 1_024 * 1_024), "{usage}");
    works.store(true, Ordering::SeqCst);
    let mut taken: BTreeSet<String> = BTreeSet::new();
    let lake = rig.bucket("lake");
    wait::until("each call to be taken or a dead letter", 2 * PATIENCE, async || {
        for request in function.requests() {
            let call: Value = serde_json::from_slice(&request.body).unwrap();
            taken.insert(call["messageId"].as_str().unwrap().to_owned());
        }
        let mut finished = taken.clone();
        for source in SOURCES {
            finished.append(&mut dead_letters(&lake, source).await);
        }
        SOURCES.iter().all(|source| caller.of(source).is_subset(&finished)).then_some(())
    })
    .await;
    forebay.flush().await;
    for source in SOURCES {
        caller.all_arrive(&lake, "", source).await;
    }
    assert!(forebay.terminate().await.success());
}
