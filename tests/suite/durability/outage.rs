//! `serve` against ministack, whose S3 is independent of ours, with an outage in the middle.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::checker;
use super::load::{Journal, Load, SOURCES};
use super::source_tables;
use crate::support::forebay::Forebay;
use crate::support::tcp_proxy::{Link, TcpProxy};
use crate::support::tools::Ministack;
use crate::support::wait;

/// Enough time for an attempt or a delivery: longer than the longest pause between attempts, 60 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(120);
/// The minimum number of calls acknowledged in each phase.
const CALLS_PER_PHASE: usize = 200;

fn write_config(folder: &Path, endpoint: &str) -> std::path::PathBuf {
    let sources = source_tables(&SOURCES);
    // A test's folder may be on any file system, because the machine does not fail here.
    let text = format!(
        r#"
        [collector]
        listen = "127.0.0.1:0"

        [admin]
        listen = "127.0.0.1:0"

        [spool]
        dir = "{spool}"
        unsafe_filesystem = true

        [s3]
        bucket = "lake/raw/events"
        region = "us-east-1"
        endpoint_url = "{endpoint}"
        path_style = true

        [flush]
        max_age = "1s"

        {sources}"#,
        spool = folder.join("spool").display(),
    );
    let file = folder.join("forebay.toml");
    fs::write(&file, text).expect("a configuration");
    file
}

/// Sends calls until enough are acknowledged.
async fn call(forebay: &Forebay, journal: &mut Journal, random: &mut StdRng) {
    let load = Load::start(&forebay.collector, journal, random);
    load.until_acknowledged(CALLS_PER_PHASE).await;
    load.stop(journal).await;
    let refused = journal.0.len() - journal.acknowledged();
    assert_eq!(refused, 0, "each call is answered 200 in any state of the store:\n{}", forebay.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_store_loses_answers_and_fails() {
    let Some(ministack) = Ministack::start().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let bucket = ministack.make_bucket("lake").await;
    let proxy = TcpProxy::start(ministack.recorder.address).await;
    let config = write_config(folder.path(), &proxy.url);
    let credentials = [("AWS_ACCESS_KEY_ID", Ministack::ROOT), ("AWS_SECRET_ACCESS_KEY", Ministack::ROOT)];
    let forebay = Forebay::serve(&config, &credentials).await;
    let (mut journal, mut random) = (Journal::default(), StdRng::seed_from_u64(1));
    let prefix = "raw/events/segment-logs/";

    call(&forebay, &mut journal, &mut random).await;
    wait::until("the first object", ATTEMPT_TIMEOUT, async || {
        (!bucket.keys(prefix).await.is_empty()).then_some(())
    })
    .await;

    // The store accepts the object, but its answer is lost: the next attempt finds its own object.
    proxy.set(Link::LosesAnswers);
    call(&forebay, &mut journal, &mut random).await;
    wait::until("a lost answer", ATTEMPT_TIMEOUT, async || (proxy.broken() > 0).then_some(())).await;

    proxy.set(Link::Cut);
    let before = proxy.broken();
    call(&forebay, &mut journal, &mut random).await;
    wait::until("attempts in the outage", ATTEMPT_TIMEOUT, async || {
        (proxy.broken() > before + 1).then_some(())
    })
    .await;
    call(&forebay, &mut journal, &mut random).await;

    proxy.set(Link::Up);
    forebay.flush().await;
    for object in bucket.objects(prefix).await {
        assert_eq!(object.encryption.as_deref(), Some("AES256"), "{}", object.key);
        assert_eq!(object.content_type.as_deref(), Some("text/plain"), "{}", object.key);
        assert_eq!(object.content_encoding.as_deref(), Some("gzip"), "{}", object.key);
    }
    let report = checker::check(&journal, &bucket, prefix).await;
    eprintln!("{}", report.unwrap_or_default());
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}
