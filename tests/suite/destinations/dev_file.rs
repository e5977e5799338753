//! `dev --config FILE` follows its file.

use std::path::Path;

use serde_json::{Value, json};

use crate::serve::support::{Caller, PATIENCE, ask};
use crate::support::forebay::{Flush, Forebay, Starting};
use crate::support::http::is_accepted;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

fn write(file: &Path, to: &ScriptedHttp) {
    let text = format!("[[destination]]\nname = \"laptop\"\ntype = \"http\"\nurl = \"{}\"\n", to.url());
    std::fs::write(file, text).unwrap();
}

async fn calls(forebay: &Forebay) {
    let body = json!({ "batch": [{ "type": "track", "event": "e", "userId": "u" }] }).to_string();
    let answer = Caller::new().post(forebay, "my-app", body).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
}

/// It read the file at its start only.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_followed_and_a_wrong_one_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("laptop.toml");
    let (first, second) = (
        ScriptedHttp::elsewhere(|_| Reply::status(200)).await,
        ScriptedHttp::elsewhere(|_| Reply::status(200)).await,
    );
    write(&file, &first);
    let config = file.to_str().unwrap();
    let starting = Starting::dev_with(&dir.path().join("data"), Flush::SOON, &["--config", config]);
    let forebay = starting.dev_ready().await;
    let gets = async |server: &ScriptedHttp, what: &str| {
        wait::until(what, PATIENCE, async || {
            calls(&forebay).await;
            (!server.requests().is_empty()).then_some(())
        })
        .await;
    };
    gets(&first, "the first handler to get a call").await;
    std::fs::write(&file, "[[destination]]\nname = \"laptop\"\ntype = \"htp\"\n").unwrap();
    wait::until("the mistake to be logged", PATIENCE, async || {
        forebay.log().contains("the changed destinations are not in force").then_some(())
    })
    .await;
    write(&file, &second);
    gets(&second, "the second handler to get a call").await;
    std::fs::write(&file, "").unwrap();
    wait::until("the removed destination to have sent all and be gone", PATIENCE, async || {
        let all: Value = serde_json::from_slice(&ask(&forebay, "/api/destinations").await.body).unwrap();
        all["destinations"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
}
