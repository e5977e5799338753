//! What a request that was answered 200 leaves in the spool, and what is counted.

use forebay::object::Stream;
use serde_json::Value;

use super::bodies::gzip;
use super::http2;
use super::support::{BASIC, BATCH, CALL, Rig, eventually, start, start_with};
use super::wire::{Wire, bare, once, post};
use crate::support::doubtful::Doubt;

fn calls(rig: &Rig) -> Vec<Value> {
    let lines = rig.lines("web", Stream::Calls);
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn accepted(rig: &Rig, request: Vec<u8>) {
    let answer = once(rig.address, &request).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"success":true}"#));
}

#[tokio::test]
async fn every_way_of_sending_stores_one_line_per_call() {
    let rig = start().await;
    let body = |id: &str| {
        format!(
            r#"{{"batch":[{{"type":"track","userId":"u","event":"é☃","messageId":"{id}","n":12345678901234567890}}]}}"#
        )
    };
    let single = r#"{"event":"e","userId":"u","messageId":"m3","type":"page"}"#;
    accepted(&rig, post("/v1/batch", &[BASIC], body("m1"))).await;
    accepted(&rig, post("/v1/b", &[BASIC, ("content-encoding", "gzip")], gzip(body("m2").as_bytes()))).await;
    accepted(&rig, post("/v1/t", &[BASIC], single)).await;
    let (mut sender, _connection) = http2::connect(rig.address).await;
    assert_eq!(sender.send_request(http2::batch()).await.unwrap().status(), 200);

    let lines = rig.lines("web", Stream::Calls);
    assert!(lines.iter().take(2).all(|line| line.contains("12345678901234567890") && line.contains("é☃")));
    let calls = calls(&rig);
    let ids: Vec<_> = calls.iter().map(|call| call["messageId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["m1", "m2", "m3", "m"]);
    assert!(calls.iter().all(|call| call["type"] == "track" && call["projectId"] == "web"), "{calls:?}");
    assert!(lines.iter().all(|line| !line.contains("writeKey")));
    assert_eq!(rig.metric(r#"forebay_calls_received_total{source="web"}"#), Some(4));
    assert_eq!(rig.metric(r#"forebay_calls_stored_total{source="web"}"#), Some(4));
    assert_eq!(rig.metric(r#"forebay_answers_total{status="200"}"#), Some(4));
    let bytes = body("m1").len() + gzip(body("m2").as_bytes()).len() + single.len() + BATCH.len();
    assert_eq!(rig.metric("forebay_body_bytes_total"), u64::try_from(bytes).ok());
}

#[tokio::test]
async fn the_source_is_that_of_the_first_key_found() {
    let rig = start().await;
    accepted(&rig, post("/v1/t", &[BASIC], r#"{"event":"a","writeKey":"other-key"}"#)).await;
    accepted(&rig, post("/v1/t?writeKey=web-key", &[], r#"{"event":"b","writeKey":"other-key"}"#)).await;
    accepted(&rig, post("/v1/t?writeKey=other-key", &[("x-write-key", "web-key")], r#"{"event":"c"}"#)).await;
    let events = |source: &str| -> Vec<String> {
        let lines = rig.lines(source, Stream::Calls);
        let event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["event"].to_string();
        lines.iter().map(event).collect()
    };
    assert_eq!(events("web"), [r#""a""#]);
    assert_eq!(events("other"), [r#""b""#, r#""c""#]);
}

#[tokio::test]
async fn invalid_items_go_to_the_rejected_stream_and_are_counted() {
    let rig = start().await;
    let body = r#"{"batch":[null,{"type":"track","event":"e"},{"type":"merge"},7]}"#;
    accepted(&rig, post("/v1/batch", &[BASIC], body)).await;
    assert_eq!(calls(&rig).len(), 1);
    assert_eq!(rig.lines("web", Stream::Rejected).len(), 3);
    assert_eq!(rig.metric(r#"forebay_calls_received_total{source="web"}"#), Some(4));
    assert_eq!(rig.metric(r#"forebay_calls_stored_total{source="web"}"#), Some(1));
    assert_eq!(rig.metric(r#"forebay_calls_rejected_total{source="web",reason="not_an_object"}"#), Some(2));
    assert_eq!(rig.metric(r#"forebay_calls_rejected_total{source="web",reason="unknown_type"}"#), Some(1));
    assert_eq!(rig.metric("forebay_calls_incomplete_total"), Some(1));
}

#[tokio::test]
async fn a_repeat_is_answered_but_not_stored() {
    let rig = start().await;
    for _ in 0..3 {
        accepted(&rig, post("/v1/batch", &[BASIC], BATCH)).await;
    }
    assert_eq!(calls(&rig).len(), 1);
    assert_eq!(rig.metric(r#"forebay_calls_received_total{source="web"}"#), Some(3));
    assert_eq!(rig.metric(r#"forebay_calls_stored_total{source="web"}"#), Some(1));
    assert_eq!(rig.metric(r#"forebay_calls_repeated_total{source="web"}"#), Some(2));
}

#[tokio::test]
async fn client_side_calls_get_the_address_of_their_client() {
    let rig = start_with(|_, policy| policy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]).await;
    let hops = ("x-forwarded-for", "192.0.2.66, 198.51.100.7");
    accepted(&rig, post("/v1/t", &[BASIC, hops], CALL)).await;
    accepted(&rig, post("/v1/track", &[BASIC, hops], CALL)).await;
    rig.running.reload(super::support::policy());
    accepted(&rig, post("/v1/t", &[BASIC, hops], CALL)).await;
    let ips: Vec<Value> = calls(&rig).iter().map(|call| call["context"]["ip"].clone()).collect();
    assert_eq!(ips, ["198.51.100.7".into(), Value::Null, Value::from("127.0.0.1")]);
}

#[tokio::test]
async fn a_pixel_is_stored_with_its_user_agent_but_a_head_request_is_not() {
    let rig = start().await;
    let path = "/v1/pixel/track?writeKey=web-key&event=opened&userId=u&properties.subject=hi";
    let agent = ("user-agent", "mail/1.0");
    assert_eq!(once(rig.address, bare("HEAD", path, &[agent])).await.status, 200);
    assert_eq!(once(rig.address, bare("GET", path, &[agent])).await.status, 200);
    let calls = calls(&rig);
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["type"], "track");
    assert_eq!(calls[0]["event"], "opened");
    assert_eq!(calls[0]["properties"]["subject"], "hi");
    assert_eq!(calls[0]["context"]["userAgent"], "mail/1.0");
    assert_eq!(calls[0]["context"]["ip"], "127.0.0.1");
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_cancel_its_calls() {
    let rig = start().await;
    let many = 50;
    for n in 0..many {
        let mut wire = Wire::connect(rig.address).await;
        wire.send(post("/v1/t", &[BASIC], format!(r#"{{"event":"e","messageId":"m{n}"}}"#))).await;
        drop(wire);
    }
    eventually("every connection to end", async || rig.metrics.connections.get() == 0).await;
    // Some connections ended before their request was read; every stored call is also counted.
    let stored = rig.metric(r#"forebay_calls_stored_total{source="web"}"#).unwrap_or(0);
    assert_eq!(u64::try_from(calls(&rig).len()).unwrap(), stored);
}

#[tokio::test]
async fn calls_of_an_unknown_outcome_get_503_with_a_code_of_their_own_and_may_be_sent_again() {
    for doubt in [Doubt::Stored, Doubt::NotStored] {
        let rig = start().await;
        rig.doubtful.next(doubt);
        let send = || once(rig.address, post("/v1/t", &[BASIC], r#"{"event":"e","messageId":"m"}"#));
        let answer = send().await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "outcome_unknown"));
        let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after));
        assert_eq!(send().await.status, 200, "{doubt:?}");
        assert_eq!(calls(&rig).len(), 1, "{doubt:?}");
    }
}

#[tokio::test]
async fn a_stopped_spool_gives_503_with_retry_after_and_never_200() {
    let rig = start().await;
    let Rig { spool, address, .. } = rig;
    spool.close();
    let answer = once(address, post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "spool_stopped"));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after));
    // A request with nothing to store needs no spool.
    assert_eq!(once(address, post("/v1/batch", &[BASIC], r#"{"batch":[]}"#)).await.status, 200);
}
