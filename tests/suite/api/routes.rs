//! Every route, with and without a trailing slash, and paths without a route.

use forebay::object::Stream;

use super::support::{BASIC, BATCH, CALL, KEY, policy, start, start_with};
use super::wire::{Wire, bare, once, post};

const SINGLES: [&str; 12] =
    ["t", "i", "p", "s", "g", "a", "track", "identify", "page", "screen", "group", "alias"];

#[tokio::test]
async fn calls_are_accepted_on_every_route() {
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
async fn an_unknown_path_gets_404_and_keeps_the_connection() {
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
async fn the_settings_document_needs_a_known_key() {
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
    assert_eq!(answer.header("cache-control"), Some("private, max-age=300"), "it depends on the request");
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let tracking = &document["integrations"]["Segment.io"];
    assert_eq!(
        (&tracking["apiHost"], &tracking["protocol"]),
        (&"c/v1".into(), &"http".into()),
        "after a reload"
    );
}

#[tokio::test]
async fn a_trusted_proxy_names_the_address_for_sdks() {
    let rig = start_with(|_, policy| {
        policy.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        policy.route_prefix = Some("/proxy".into());
    })
    .await;
    let forwarded = [("x-forwarded-host", "c.example"), ("x-forwarded-proto", "https")];
    for (path, host) in [("/v1/projects", "c.example/v1"), ("/proxy/v1/projects", "c.example/proxy/v1")] {
        let answer = once(rig.address, bare("GET", &format!("{path}/{KEY}/settings"), &forwarded)).await;
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let tracking = &document["integrations"]["Segment.io"];
        assert_eq!((&tracking["apiHost"], &tracking["protocol"]), (&host.into(), &"https".into()));
    }
}

#[tokio::test]
async fn the_source_configuration_needs_a_known_key() {
    let rig = start().await;
    let check = async |path: &str, headers: &[(&str, &str)], status: u16| {
        let answer = once(rig.address, bare("GET", path, headers)).await;
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        if status == 200 {
            let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(document["source"]["writeKey"], KEY);
        }
    };
    check(&format!("/sourceConfig/?p=cdn&v=3&writeKey={KEY}"), &[], 200).await;
    check("/sourceConfig", &[BASIC], 200).await;
    check("/sourceConfig", &[], 404).await;
    check("/sourceConfig?writeKey=nobody", &[], 404).await;
    assert!(rig.is_empty());
}

#[tokio::test]
async fn routes_of_other_vendors_accept_what_their_sdks_send() {
    let rig = start().await;
    let check = async |path: &str, headers: &[(&str, &str)], body: &str, channel: &str| {
        let answer = once(rig.address, post(path, headers, body)).await;
        assert_eq!(answer.status, 200, "{path}");
        let line: serde_json::Value =
            serde_json::from_str(rig.lines("web", Stream::Calls).last().unwrap()).unwrap();
        assert_eq!(line["channel"], channel, "{path}");
        assert_eq!(line["context"]["ip"].is_string(), channel == "client", "{path}");
    };
    let batch = r#"{"batch":[{"type":"track","event":"e","userId":"u"}]}"#;
    let call = r#"{"event":"e","userId":"u"}"#;
    let site = ("origin", "https://shop.example");
    check(&format!("/beacon/v1/batch?writeKey={KEY}"), &[("content-type", "text/plain")], batch, "client")
        .await;
    check("/sdk/batch", &[BASIC], batch, "server").await;
    check("/sdk/track", &[BASIC, site], call, "client").await;
    check("/api/s/track", &[("x-write-key", KEY)], call, "client").await;
    check("/api/s/s2s/track", &[("x-write-key", KEY)], call, "server").await;
    check("/v1/track", &[BASIC], call, "server").await;
    check("/v1/track", &[BASIC, site], call, "client").await;
    check("/v1/batch", &[BASIC, site], batch, "client").await;
}

#[tokio::test]
async fn the_pixel_is_always_an_image_and_its_status_says_whether_the_call_is_stored() {
    let rig = start().await;
    // {"event":"e","userId":"u","writeKey":"web-key"}
    let data = "eyJldmVudCI6ImUiLCJ1c2VySWQiOiJ1Iiwid3JpdGVLZXkiOiJ3ZWIta2V5In0=";
    let check = async |method: &str, path: String, status: u16| {
        let before = rig.metrics.pixels_not_stored.get();
        let answer = once(rig.address, bare(method, &path, &[])).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("content-type"), Some("image/gif"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("content-length"), Some("42"));
        assert_eq!(answer.body.len(), if method == "HEAD" { 0 } else { 42 });
        assert_eq!(answer.header("retry-after").is_some(), status == 503);
        let not_stored = rig.metrics.pixels_not_stored.get() - before;
        assert_eq!(not_stored, u64::from(status != 200), "{method} {path}");
    };
    for name in SINGLES {
        check("GET", format!("/v1/pixel/{name}?data={data}"), 200).await;
        check("GET", format!("/v1/pixel/{name}/?data={data}"), 200).await;
    }
    check("GET", "/pixel/v1/track?writeKey=web-key&anonymousId=a&event=e".into(), 200).await;
    check("HEAD", format!("/v1/pixel/track?data={data}"), 200).await;
    check("HEAD", "/v1/pixel/track".into(), 200).await;
    check("GET", "/v1/pixel/track".into(), 400).await;
    check("GET", "/v1/pixel/track?event=e&userId=u".into(), 401).await;
    check("GET", "/v1/pixel/track?data=%%%".into(), 400).await;
    check("GET", "/v1/pixel/track?data=%%%&writeKey=nobody".into(), 401).await;
    check("GET", "/v1/pixel/track?data=%%%&writeKey=web-key".into(), 200).await;
    assert_eq!(rig.lines("web", Stream::Rejected).len(), 1);
    assert_eq!(rig.metric(r#"forebay_calls_rejected_total{source="web",reason="bad_pixel_data"}"#), Some(1));
}
