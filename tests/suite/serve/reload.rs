//! Configuration changes while the program runs.

use std::fs;

use http::StatusCode;
use rustix::process::Signal;

use super::support::{Caller, PATIENCE, Rig, Settings, change_alarm, exactly, logged};
use crate::support::forebay::Forebay;
use crate::support::http::is_accepted;
use crate::support::wait;

/// Writes the file and makes the program reload it at once.
async fn reload(settings: &Settings, forebay: &Forebay) {
    let said = |forebay: &Forebay| forebay.log().matches("configuration reloaded").count();
    let before = said(forebay);
    settings.write();
    forebay.signal(Signal::HUP);
    wait::until("the reload", PATIENCE, async || (said(forebay) > before).then_some(())).await;
}

#[tokio::test]
async fn buffered_calls_of_changed_sources_go_to_the_old_bucket() {
    let rig = Rig::start(&["lake", "pond"]).await;
    let (lake, pond) = (rig.bucket("lake"), rig.bucket("pond"));
    let mut settings = rig.settings(&["stays", "goes", "moves"]);
    // Only the reload makes anything due.
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    for source in ["stays", "goes", "moves"] {
        caller.send(&forebay, source, 7, 0).await;
    }
    let answer = caller.try_send(&forebay, "comes", 1, 0).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);

    settings.sources.retain(|(id, _)| id != "goes");
    settings.sources[1].1.push_str("\nbucket = \"pond/new\"");
    settings.sources.push(("comes".to_owned(), "write_keys = [\"comes-key\"]".to_owned()));
    reload(&settings, &forebay).await;
    let answer = caller.try_send(&forebay, "goes", 1, 0).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    caller.all_arrive(&lake, "", "goes").await;
    let before = caller.of("moves");
    exactly(&lake, "", "moves", &before).await;

    caller.send(&forebay, "comes", 7, 0).await;
    caller.send(&forebay, "moves", 7, 0).await;
    assert_eq!(lake.keys("segment-logs/stays/").await, [""; 0], "unchanged sources are not due");
    forebay.flush().await;
    let after = caller.of("moves").difference(&before).cloned().collect();
    exactly(&pond, "new/", "moves", &after).await;
    exactly(&lake, "", "moves", &before).await;
    for source in ["stays", "comes"] {
        caller.all_arrive(&lake, "", source).await;
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn calls_of_sources_removed_while_stopped_are_delivered() {
    let rig = Rig::start(&["lake", "pond"]).await;
    let mut settings = rig.settings(&["goes", "moves"]);
    settings.flush = "max_age = \"1 h\"\non_shutdown = false".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    for source in ["goes", "moves"] {
        caller.send(&forebay, source, 4, 0).await;
    }
    assert!(forebay.terminate().await.success());
    assert_eq!(rig.bucket("lake").keys("").await, [""; 0], "on_shutdown = false delivers nothing");

    settings.sources.remove(0);
    settings.sources[0].1.push_str("\nbucket = \"pond\"");
    let forebay = settings.serve().await;
    for source in ["goes", "moves"] {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    assert_eq!(rig.bucket("pond").keys("").await, [""; 0]);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_changed_file_is_loaded_and_an_invalid_one_ignored() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web"]);
    let forebay = settings.serve().await;
    let mut caller = Caller::new();

    // Without a signal, also when only a key file changes.
    let key_file = rig.folder.path().join("ios.key");
    fs::write(&key_file, "ios-key").unwrap();
    settings.sources.push(("ios".to_owned(), format!("write_keys = [\"file:{}\"]", key_file.display())));
    settings.write();
    wait::until("the new source", PATIENCE, async || {
        is_accepted(&caller.try_send(&forebay, "ios", 1, 0).await).then_some(())
    })
    .await;
    fs::write(&key_file, "another-key").unwrap();
    wait::until("the old key to be refused", PATIENCE, async || {
        (caller.try_send(&forebay, "ios", 1, 0).await.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;

    let right = settings.clone();
    settings.flush.push_str("\nmax_agee = \"2 s\"");
    settings.sources.clear();
    settings.write();
    forebay.signal(Signal::HUP);
    logged(&forebay, "the running one stays in force").await;
    assert!(forebay.log().contains("max_agee"), "{}", forebay.log());
    // Who did not see the log sees the alarm, until the file is right.
    let alarm = change_alarm(&forebay).await.unwrap();
    assert!(alarm.starts_with("file: the change is not in force") && alarm.contains("max_agee"), "{alarm}");
    caller.send(&forebay, "web", 3, 0).await;
    right.write();
    wait::until("no alarm", PATIENCE, async || change_alarm(&forebay).await.is_none().then_some(())).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}
