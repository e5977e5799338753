//! The headers that browsers need, on every answer.

use super::support::{BASIC, BATCH, start, start_with};
use super::wire::{Wire, bare, once, post};

const SITE: (&str, &str) = ("origin", "https://shop.example");

#[tokio::test]
async fn every_answer_carries_the_origin() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let unknown = ("authorization", "Basic bm9ib2R5Og==");
    for (request, status) in [
        (post("/v1/batch", &[BASIC, SITE], BATCH), 200),
        (post("/v1/batch", &[BASIC, SITE], "{"), 400),
        (post("/v1/batch", &[unknown, SITE], BATCH), 401),
        (post("/v1/none", &[SITE], BATCH), 404),
        (bare("GET", "/v1/batch", &[SITE]), 405),
        (bare("GET", "/v1/pixel/t?writeKey=web-key&event=e", &[SITE]), 200),
        (bare("GET", "/v1/pixel/t", &[SITE]), 400),
    ] {
        wire.send(&request).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("access-control-allow-origin"), Some(SITE.1), "{status}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"), "{status}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("retry-after"), "{status}");
        assert_eq!(answer.header("vary"), Some("origin"), "{status}");
    }
}

#[tokio::test]
async fn preflights_are_answered_without_a_key() {
    let rig = start().await;
    let asked = ("access-control-request-headers", "authorization,content-type,x-retry-count");
    for path in ["/v1/t", "/v1/batch/", "/v1/projects/k/settings", "/v1/m", "/v1/pixel/t", "/health"] {
        let answer = once(rig.address, bare("OPTIONS", path, &[SITE, asked])).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some(SITE.1));
        assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
        assert_eq!(answer.header("access-control-allow-headers"), Some(asked.1));
        assert_eq!(answer.header("access-control-max-age"), Some("86400"));
        assert_eq!(answer.header("vary"), Some("origin, access-control-request-headers"));
    }
    let answer = once(rig.address, bare("OPTIONS", "/v1/t", &[])).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some("*")));
    assert_eq!(answer.header("access-control-allow-credentials"), None);
    assert_eq!(once(rig.address, bare("OPTIONS", "/v1/none", &[SITE])).await.status, 404);
}

#[tokio::test]
async fn unlisted_origins_get_no_headers_and_the_list_can_be_changed() {
    let rig =
        start_with(|_, policy| policy.allowed_origins = Some(vec!["https://other.example".into()])).await;
    let answer = once(rig.address, bare("OPTIONS", "/v1/t", &[SITE])).await;
    assert_eq!(answer.status, 204);
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{answer:?}");
    let answer = once(rig.address, post("/v1/batch", &[BASIC, SITE], BATCH)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.headers.iter().all(|(name, _)| !name.starts_with("access-control")), "{answer:?}");

    let mut listed = super::support::policy();
    listed.allowed_origins = Some(vec![SITE.1.into()]);
    listed.private_network = true;
    rig.running.reload(listed);
    let private = ("access-control-request-private-network", "true");
    let answer = once(rig.address, bare("OPTIONS", "/v1/t", &[SITE, private])).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some(SITE.1));
    assert_eq!(answer.header("access-control-allow-private-network"), Some("true"));
}
