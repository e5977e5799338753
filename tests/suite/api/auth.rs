//! Where the write key may be, and which requests are refused.

use forebay::collector::Policy;

use super::support::{BASIC, BATCH, start, start_with};
use super::wire::{Wire, once, post};

const KEYED: &str = r#"{"batch":[{"type":"track","userId":"u"}],"writeKey":"web-key"}"#;
const KEYED_UNKNOWN: &str = r#"{"batch":[{"type":"track","userId":"u"}],"writeKey":"nobody"}"#;
const BROKEN: &str = r#"{"batch":["#;

/// A path, headers, a body, and the expected status.
type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, u16);

async fn table(change: impl FnOnce(&mut Policy), rows: &[Row<'_>]) {
    let rig = start_with(|_, policy| change(policy)).await;
    let mut wire = Wire::connect(rig.address).await;
    for (path, headers, body, status) in rows {
        wire.send(post(path, headers, body)).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, *status, "{path} {headers:?} {body}: {}", answer.text());
        if *status == 401 {
            assert_eq!(answer.code(), "invalid_write_key");
        }
        assert_eq!(answer.header("connection"), None, "the connection stays open");
    }
}

#[tokio::test]
async fn the_authorization_header_comes_first() {
    let unknown = ("authorization", "Basic bm9ib2R5Og==");
    table(
        |_| {},
        &[
            ("/v1/batch", &[BASIC], BATCH, 200),
            ("/v1/batch", &[("Authorization", "bAsIc d2ViLWtleQ")], BATCH, 200),
            ("/v1/batch", &[BASIC], KEYED_UNKNOWN, 200),
            ("/v1/batch?writeKey=nobody", &[BASIC, ("x-write-key", "nobody")], BATCH, 200),
            ("/v1/batch", &[unknown], KEYED, 401),
            ("/v1/batch?writeKey=web-key", &[unknown, ("x-write-key", "web-key")], BATCH, 401),
            // The header is already known to be bad, so the body is not examined.
            ("/v1/batch", &[unknown], BROKEN, 401),
            ("/v1/batch", &[("authorization", "Basic %%%")], BROKEN, 401),
            ("/v1/batch", &[("authorization", "Digest x")], BROKEN, 401),
            ("/v1/batch", &[("authorization", "Bearer abc")], BROKEN, 401),
            // Impossible keys: line breaks, NUL.
            ("/v1/batch", &[("authorization", "Basic d2ViLWtleQ0KOg==")], BATCH, 401),
            ("/v1/batch", &[("authorization", "Basic d2ViAGtleTo=")], BATCH, 401),
        ],
    )
    .await;
}

#[tokio::test]
async fn without_it_the_body_then_the_query_then_x_write_key_counts() {
    let plain = ("x-write-key", "web-key");
    table(
        |_| {},
        &[
            ("/v1/batch", &[], KEYED, 200),
            ("/v1/batch", &[("authorization", "Basic Og==")], KEYED, 200),
            ("/v1/batch", &[], r#"{"batch":[{"type":"track","writeKey":"web-key"}]}"#, 200),
            ("/v1/t", &[], r#"{"event":"e","writeKey":" web-key "}"#, 200),
            ("/v1/batch?writeKey=web-key", &[], BATCH, 200),
            ("/v1/batch", &[plain], BATCH, 200),
            ("/v1/batch?writeKey=nobody", &[plain], BATCH, 401),
            ("/v1/batch?writeKey=web-key", &[plain], KEYED_UNKNOWN, 401),
            ("/v1/batch", &[], BATCH, 401),
            ("/v1/batch", &[], r#"{"batch":[]}"#, 401),
            ("/v1/batch?writeKey=%20", &[("x-write-key", " ")], BATCH, 401),
            // An unreadable body is reported before a missing or unknown key.
            ("/v1/batch", &[], BROKEN, 400),
            ("/v1/batch?writeKey=nobody", &[("x-write-key", "nobody")], BROKEN, 400),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_bearer_is_accepted_only_if_configured() {
    let bearer = ("authorization", "Bearer abc.def");
    table(
        |policy| policy.accept_bearer = true,
        &[
            ("/v1/batch", &[bearer], KEYED, 200),
            ("/v1/batch", &[bearer], BATCH, 401),
            ("/v1/batch", &[bearer], KEYED_UNKNOWN, 401),
            ("/v1/batch", &[bearer], BROKEN, 400),
        ],
    )
    .await;
}

#[tokio::test]
async fn keys_of_ten_kilobytes_are_unknown() {
    let rig = start().await;
    let long = "a".repeat(10_240);
    let answer = once(rig.address, post("/v1/batch", &[("x-write-key", &long)], BATCH)).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_write_key"));
    assert!(!answer.text().contains("aaaa"), "an answer never shows a key");
}

#[tokio::test]
async fn too_many_sources_and_keys_to_discard_have_their_answers() {
    let rig = start().await;
    let answer = once(rig.address, post("/v1/batch", &[("x-write-key", "one-too-many")], BATCH)).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "too_many_sources"));
    let answer = once(rig.address, post("/v1/batch", &[("x-write-key", "discard")], BATCH)).await;
    assert_eq!(answer.status, 200);
    assert!(rig.is_empty());
}
