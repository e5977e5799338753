//! `forebay find` against the real program: a call in the spool, sealed, delivered, and one that never came.

use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::serve::support::Rig;
use crate::support::forebay::{Flush, Forebay, command, finished};
use crate::support::http::Http;
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// Longer than the longest pause between two tries of a delivery, 60 s.
const PATIENCE: Duration = Duration::from_secs(150);

/// The exit code and the output.
async fn find(forebay: &Forebay, arguments: &[&str]) -> (i32, String) {
    let output = finished(command().args(["find", "--admin", &forebay.console]).args(arguments)).await;
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

async fn find_json(forebay: &Forebay, arguments: &[&str]) -> Value {
    let (_, text) = find(forebay, &[arguments, &["--json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn call(id: &str, user: &str, event: &str) -> Value {
    json!({ "type": "track", "messageId": id, "userId": user, "anonymousId": "a-1", "event": event })
}

#[tokio::test]
async fn a_call_is_found_in_the_spool_and_then_in_its_object() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let http = Http::new();
    let batch = json!({ "batch": [
        call("m-1", "41", "Order Completed"),
        call("m-2", "42", "Order Completed"),
        call("m-3", "42", "Zo\u{eb}'s \"Event\""),
        { "type": "unknown type", "messageId": "m-4", "userId": "42" },
    ] });
    assert!(http.track(&forebay.collector, "web", &batch).await);
    assert!(http.track(&forebay.collector, "ios", &json!({ "batch": [call("m-5", "42", "Other")] })).await);

    let (code, text) = find(&forebay, &["--message-id", "m-2"]).await;
    assert_eq!(code, 0, "{text}");
    for part in [
        "track, Order Completed, user 42, messageId m-2; of web, received 20",
        "  in the spool at position ",
        ", in a batch of 3 lines which is due in ",
        "Searched: 5 calls in the live view's memory, ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let ids = |found: &Value| -> Vec<String> {
        let calls = found["calls"].as_array().unwrap();
        let mut ids: Vec<String> =
            calls.iter().map(|call| call["message_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    // A rejected item is found, too, and says why.
    let found = find_json(&forebay, &["--user-id", "42"]).await;
    assert_eq!(ids(&found), ["m-2", "m-3", "m-4", "m-5"], "{found:#}");
    let calls = found["calls"].as_array().unwrap();
    assert!(calls.iter().all(|call| call["state"] == "waiting"), "{found:#}");
    assert!(calls.iter().any(|call| call["stream"] == "rejected" && call["reason"].is_string()), "{found:#}");
    let of_web = find_json(&forebay, &["--user-id", "42", "--source", "web"]).await;
    assert_eq!(ids(&of_web), ["m-2", "m-3", "m-4"]);
    let event = find_json(&forebay, &["--event", "Zo\u{eb}'s \"Event\""]).await;
    assert_eq!(ids(&event), ["m-3"]);
    let both = find_json(&forebay, &["--anonymous-id", "a-1", "--event", "Order Completed"]).await;
    assert_eq!(ids(&both), ["m-1", "m-2"]);
    assert_eq!(ids(&find_json(&forebay, &["--user-id", "4"]).await), [""; 0], "no part of a value fits");

    forebay.flush().await;
    // The list of deliveries is written a moment after the commit.
    let delivered = wait::until("the object in the list of deliveries", PATIENCE, async || {
        let found = find_json(&forebay, &["--message-id", "m-3"]).await;
        (found["calls"][0]["state"] == "delivered").then_some(found)
    })
    .await;
    let place = &delivered["calls"][0];
    let object = forebay.bucket().object(place["key"].as_str().unwrap()).await;
    let line = usize::try_from(place["line"].as_u64().unwrap()).unwrap();
    let text = object.text();
    assert!(text.lines().nth(line - 1).unwrap().contains("\"m-3\""), "{place}: {text}");
    assert_eq!(delivered["calls"].as_array().unwrap().len(), 1, "it is found once: {delivered:#}");
    assert_eq!(delivered["searched"]["left_out"], json!([]), "{delivered:#}");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_call_that_never_came_names_the_refused_requests_that_may_have_held_it() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let request = Request::post(format!("{}/v1/track", forebay.collector))
        .header("authorization", "Bearer abcdefghijklmnopqrstuvwxyz")
        .body(Full::new(call("m-1", "42", "e").to_string().into()))
        .unwrap();
    assert_eq!(Http::new().send(request).await.unwrap().status, 401);
    let (code, text) = find(&forebay, &["--message-id", "m-1"]).await;
    assert_eq!(code, 1, "{text}");
    for part in
        ["not found: ", "1 request with 401 bearer_token, POST /v1/track, key abcdef…, ", "To change: send"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, _) = find(&forebay, &["--source", "web"]).await;
    assert_eq!(code, 2, "something to look for must be given");
    let (code, _) = find(&forebay, &["--user-id", ""]).await;
    assert_eq!(code, 2);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_sealed_call_is_found_while_its_bucket_is_away_and_users_stay_hidden() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = rig.settings(&["web"]).serve().await;
    rig.link.set(Link::Cut);
    let batch = json!({ "batch": [call("m-1", "41", "e"), call("m-2", "42", "e")] });
    assert!(Http::new().track(&forebay.collector, "web-key", &batch).await);
    let sealed = wait::until("the sealed call", PATIENCE, async || {
        let found = find_json(&forebay, &["--user-id", "42"]).await;
        (found["calls"][0]["state"] == "sealed").then_some(found)
    })
    .await;
    let call = &sealed["calls"][0];
    assert_eq!((&call["line"], &call["user"], &call["parked"]), (&2.into(), &Value::Null, &false.into()));
    assert!(call["object"].as_str().unwrap().starts_with("lake/segment-logs/web/"), "{call}");
    assert_eq!(sealed["masked"], true);

    rig.link.set(Link::Up);
    let delivered = wait::until("the delivered call", PATIENCE, async || {
        let found = find_json(&forebay, &["--user-id", "42"]).await;
        (found["calls"][0]["state"] == "delivered").then_some(found)
    })
    .await;
    assert_eq!(delivered["calls"][0]["line"], 2);
    // An object that cannot be read is named, and what the live view saw is said.
    rig.link.set(Link::Cut);
    let unread = find_json(&forebay, &["--user-id", "42"]).await;
    assert_eq!(unread["calls"][0]["state"], "stored", "{unread:#}");
    let key = delivered["calls"][0]["key"].as_str().unwrap();
    let left_out = unread["searched"]["left_out"].as_array().unwrap();
    assert!(left_out.iter().any(|what| what.as_str().unwrap().starts_with(key)), "{unread:#}");
    rig.link.set(Link::Up);
    assert!(forebay.terminate().await.success());
}
