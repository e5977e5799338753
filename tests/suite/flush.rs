//! A flush while calls keep coming.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::forebay::{Flush, Forebay};
use crate::support::http::Http;

/// After its delivery, a batch starts again with the next call. A flush once mistook that batch for an
/// unsealed old one and waited its full time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_under_load_ends_when_the_calls_before_it_are_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush { age: "1h", bytes: "100MB" }).await;
    let stop = Arc::new(AtomicBool::new(false));
    let senders: Vec<_> = (0..4)
        .map(|nth| {
            let (stop, collector) = (Arc::clone(&stop), forebay.collector.clone());
            tokio::spawn(async move {
                let http = Http::new();
                // Slow enough that a batch ends before the next call starts it again.
                let mut pace = tokio::time::interval(Duration::from_millis(30));
                while !stop.load(Ordering::Relaxed) {
                    pace.tick().await;
                    let call = json!({ "type": "page", "userId": "u" });
                    assert!(
                        http.track(&collector, &format!("source-{nth}"), &json!({ "batch": [call] })).await
                    );
                }
            })
        })
        .collect();
    let http = Http::new();
    for _ in 0..10 {
        let answer = http.post(&format!("{}/api/flush", forebay.console), "").await.unwrap();
        let outcome: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(outcome["pending"], 0, "{outcome}");
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(forebay.terminate().await.success());
}
