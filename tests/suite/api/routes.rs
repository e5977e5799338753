//! Every route, with and without a slash, and what is no route.

use forebay::object::Stream;

use super::support::{BASIC, BATCH, CALL, KEY, policy, start, start_with};
use super::wire::{Wire, bare, once, post};

const SINGLES: [&str; 12] =
    ["t", "i", "p", "s", "g", "a", "track", "identify", "page", "screen", "group", "alias"];

#[tokio::test]
async fn calls_are_taken_on_every_route() {
    let rig = start_with(|_, policy| policy.route_prefix = Some("/proxy".into())).await;
    let mut wire = Wire::connect(rig.address).await;
    let envelopes = ["batch", "import", "b"].map(|name| (name, BATCH));
    for (name, body) in envelopes.into_iter().chain(SINGLES.map(|name| (name, CALL))) {
        for prefix in ["", "/proxy"] {
            for end in ["", "/", "?x=y", "/?x=y"] {
                let path = format!("{prefix}/v1/{name}{end}");
                wire.send(post(&path, &[BASIC], body)).await;
                let answer = wire.answer().await;
                assert_eq!((answer.status, answer.text()), (200, r#"{"success":true}"#), "{path}");
                assert_eq!(answer.header("content-type"), Some("application/json"));
                wire.send(bare("GET", &path, &[BASIC])).await;
                let answer = wire.answer().await;
                assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{path}");
                assert_eq!(answer.header("allow"), Some("POST, OPTIONS"));
                wire.send(bare("HEAD", &path, &[BASIC])).await;
                assert_eq!(wire.answer_to("HEAD").await.status, 405, "{path}");
                wire.send(bare("OPTIONS", &path, &[])).await;
                let answer = wire.answer().await;
                assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_route_is_404_and_keeps_the_connection() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    for path in
        ["/", "/v1/batch//", "/V1/batch", "/v1/Track", "/v1/x", "/ready", "/metrics", "/proxy/v1/batch"]
    {
        wire.send(post(path, &[BASIC], BATCH)).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
}

#[tokio::test]
async fn health_and_the_counters_of_sdks_need_no_key() {
    let rig = start().await;
    let answer = once(rig.address, bare("GET", "/health", &[])).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"status":"ok"}"#));
    for path in ["/v1/m", "/v1/m/"] {
        let answer =
            once(rig.address, post(path, &[("content-type", "text/plain")], r#"{"series":[]}"#)).await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"success":true}"#));
    }
    assert!(rig.is_empty());
}

#[tokio::test]
async fn the_settings_document_is_for_known_keys() {
    let rig = start_with(|_, policy| policy.public_host = Some("c.example".into())).await;
    let path = format!("/v1/projects/{KEY}/settings");
    let answer = once(rig.address, bare("GET", &path, &[])).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("public, max-age=300"));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["integrations"]["Segment.io"]["apiKey"], KEY);
    assert_eq!(document["integrations"]["Segment.io"]["apiHost"], "c.example/v1");
    let answer = once(rig.address, bare("GET", "/v1/projects/web%2Dkey/settings/", &[])).await;
    assert_eq!(answer.status, 200);
    for unknown in ["nobody", "one-too-many", "%ff"] {
        let answer = once(rig.address, bare("GET", &format!("/v1/projects/{unknown}/settings"), &[])).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "invalid_write_key"), "{unknown}");
    }
    rig.running.reload(policy());
    let answer = once(rig.address, bare("GET", &path, &[])).await;
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(document["integrations"]["Segment.io"]["apiHost"], serde_json::Value::Null, "after a reload");
}

#[tokio::test]
async fn the_pixel_is_always_an_image() {
    let rig = start().await;
    // {"event":"e","userId":"u","writeKey":"web-key"}
    let data = "eyJldmVudCI6ImUiLCJ1c2VySWQiOiJ1Iiwid3JpdGVLZXkiOiJ3ZWIta2V5In0=";
    let check = async |method: &str, path: String, not_stored: u64| {
        let before = rig.metrics.pixels_not_stored.get();
        let answer = once(rig.address, bare(method, &path, &[])).await;
        assert_eq!(answer.status, 200, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("image/gif"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-length"), Some("42"));
        assert_eq!(answer.body.len(), if method == "HEAD" { 0 } else { 42 });
        assert_eq!(rig.metrics.pixels_not_stored.get() - before, not_stored, "{method} {path}");
    };
    for name in SINGLES {
        check("GET", format!("/v1/pixel/{name}?data={data}"), 0).await;
        check("GET", format!("/v1/pixel/{name}/?data={data}"), 0).await;
    }
    check("HEAD", format!("/v1/pixel/track?data={data}"), 0).await;
    check("HEAD", "/v1/pixel/track".into(), 0).await;
    check("GET", "/v1/pixel/track".into(), 1).await;
    check("GET", "/v1/pixel/track?data=%%%".into(), 1).await;
    check("GET", "/v1/pixel/track?data=%%%&writeKey=nobody".into(), 1).await;
    check("GET", "/v1/pixel/track?data=%%%&writeKey=web-key".into(), 0).await;
    assert_eq!(rig.lines("web", Stream::Rejected).len(), 1);
    assert_eq!(rig.metric(r#"forebay_calls_rejected_total{source="web",reason="bad_pixel_data"}"#), Some(1));
}
