//! The spool of the killed program.

use std::collections::BTreeSet;
use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::json;

use super::{files, spool};
use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;

/// Nothing becomes due by itself.
const NEVER: Flush = Flush { age: "1h", bytes: "100MB" };
const REQUESTS: u32 = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_of_a_killed_program_can_be_inspected_exported_and_drained() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), NEVER).await;
    let http = Http::new();
    let dir = folder.path().join("spool");
    for number in 0..REQUESTS {
        let body = json!({"batch": [
            {"type": "track", "event": "A", "userId": "u", "messageId": format!("a-{number}")},
            {"type": "identify", "userId": "u", "messageId": format!("i-{number}")},
        ]});
        assert!(http.track(&forebay.collector, "my-app", &body).await);
    }
    let running = spool("inspect", &dir, &[]);
    assert_eq!(running.code, Some(1), "{running:?}");
    assert!(running.err.contains("in use by a running process"), "{running:?}");
    forebay.kill().await;

    let calls = u64::from(2 * REQUESTS);
    let about = spool("inspect", &dir, &["--json"]).json();
    assert_eq!(
        (&about["batches"][0]["source"], about["batches"][0]["calls"].as_u64()),
        (&"my-app".into(), Some(calls))
    );
    assert_eq!(spool("verify", &dir, &[]).code, Some(0));
    let exported = spool("export", &dir, &["--source", "my-app"]);
    assert_eq!(exported.code, Some(0), "{exported:?}");
    let ids = |text: &str| -> BTreeSet<String> {
        text.lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["messageId"]
                    .as_str()
                    .unwrap()
                    .to_owned()
            })
            .collect()
    };
    assert_eq!(ids(&exported.out).len() as u64, calls);

    let to = folder.path().join("objects");
    let drained = spool("drain", &dir, &["--to", to.to_str().unwrap()]);
    assert_eq!(drained.code, Some(0), "{drained:?}");
    let objects: Vec<_> = files(&to).into_iter().filter(|(name, _)| name.ends_with(".gz")).collect();
    assert_eq!(objects.len(), 1);
    let mut text = String::new();
    GzDecoder::new(objects[0].1.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, exported.out, "the object contains the exported lines in the same order");

    // Nothing is delivered twice: the next start has nothing to deliver.
    let forebay = Forebay::dev(folder.path(), Flush::SOON).await;
    forebay.flush().await;
    assert_eq!(forebay.bucket().keys("").await, [""; 0]);
    assert!(forebay.terminate().await.success());
}
