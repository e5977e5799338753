//! The requests that [`S3Store`] sends, and its handling of answers that no emulator gives.

use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use forebay::object::Encryption;
use forebay::store::reader::StoreReader;
use forebay::store::region::RegionRule;
use forebay::store::s3::{Checksums, CredentialsFrom, S3Settings, S3Store, Timeouts};
use forebay::store::{Body, Fault, ObjectStore, PutMode, StoreError};

use super::{a_put, location, object_key};
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};

fn settings(server: &ScriptedHttp) -> S3Settings {
    S3Settings {
        endpoint_url: Some(server.url()),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: "forebay".into(),
            secret_access_key: "forebay-secret".into(),
        },
        ..S3Settings::default()
    }
}

/// A store that asks buckets for their region, as with AWS.
async fn finding_store(server: &ScriptedHttp) -> S3Store {
    S3Store::with_region_rule(settings(server), RegionRule::Find).await
}

/// The region that a request is signed for.
fn signed_for(request: &Request) -> String {
    let credential = request.header("authorization").unwrap().split("Credential=").nth(1).unwrap().to_owned();
    credential.split('/').nth(2).unwrap().to_owned()
}

#[tokio::test]
async fn a_body_is_sent_plain_with_its_checksum_as_a_header() {
    let server = ScriptedHttp::start(|_| Reply::status(200).with("etag", "\"1\"")).await;
    let store = S3Store::new(settings(&server)).await;
    let text = "gzip bytes ".repeat(30_000);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staged");
    std::fs::write(&path, &text).unwrap();
    let mut put = a_put("bucket/pre fix", "pre fix/segment-logs/s/0/1+ü.gz", text.clone());
    store.put(&put).await.unwrap();
    put.body = Body::File { path, len: text.len() as u64 };
    store.put(&put).await.unwrap();

    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let checksum = "x-amz-checksum-crc32";
        let expected = base64_of(crc32fast::hash(text.as_bytes()));
        assert_eq!(request.method, "PUT");
        assert_eq!(
            request.target.split('?').next(),
            Some("/bucket/pre%20fix/segment-logs/s/0/1%2B%C3%BC.gz")
        );
        assert_eq!(request.header("content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(request.header("content-encoding"), Some("gzip"), "without aws-chunked");
        assert_eq!(request.header("content-type"), Some("text/plain"));
        assert_eq!(request.header("transfer-encoding"), None);
        assert_eq!(request.header("x-amz-trailer"), None);
        assert_eq!(request.header("x-amz-decoded-content-length"), None);
        assert_eq!(request.header(checksum), Some(expected.as_str()));
        assert_eq!(request.header("if-none-match"), Some("*"));
        assert_eq!(request.header("x-amz-server-side-encryption"), Some("AES256"));
        assert_eq!(request.header("x-amz-meta-forebay-calls"), Some("3"));
        assert_eq!(request.body, text.as_bytes());
        assert_eq!(signed_for(request), "us-east-1");
    }
    store.head(&put.location, &put.key).await.unwrap();
    let head = server.requests().pop().unwrap();
    assert_eq!((head.method.as_str(), head.header("x-amz-checksum-mode")), ("HEAD", None));
}

#[tokio::test]
async fn optional_headers_are_sent_only_on_request() {
    let server = ScriptedHttp::start(|_| Reply::status(200)).await;
    let settings = S3Settings { checksums: Checksums::WhenRequired, ..settings(&server) };
    let store = S3Store::new(settings).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("staged");
    std::fs::write(&path, "body").unwrap();
    let mut put = a_put("bucket", "k", "body");
    put.location.encryption = Encryption::None;
    put.content_encoding = None;
    put.mode = PutMode::Overwrite;
    store.put(&put).await.unwrap();
    put.body = Body::File { path, len: 4 };
    store.put(&put).await.unwrap();
    store.head(&put.location, &put.key).await.unwrap();
    for request in server.requests() {
        let unwanted = |name: &&String| {
            name.contains("checksum")
                || name.contains("trailer")
                || name.contains("encryption")
                || [
                    "content-md5",
                    "content-encoding",
                    "if-none-match",
                    "transfer-encoding",
                    "x-amz-sdk-checksum-algorithm",
                ]
                .contains(&name.as_str())
        };
        assert_eq!(request.headers.keys().find(unwanted), None, "{request:?}");
    }
}

fn base64_of(crc32: u32) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(crc32.to_be_bytes())
}

async fn put_answered(reply: Reply) -> (Result<(), StoreError>, usize) {
    let server = ScriptedHttp::start(move |_| reply.clone()).await;
    let timeouts = Timeouts { attempt: Duration::from_millis(400), ..Timeouts::default() };
    let store = S3Store::new(S3Settings { timeouts, ..settings(&server) }).await;
    let answer = store.put(&a_put("bucket", "k", "body")).await.map(|_| ());
    (answer, server.requests().len())
}

#[tokio::test]
async fn every_answer_is_classified_and_none_is_retried() {
    let check = async |reply: Reply, fault: Fault, status: Option<u16>, code: Option<&str>| {
        let (answer, requests) = put_answered(reply.clone()).await;
        let err = answer.unwrap_err();
        assert_eq!((err.fault, err.status, err.code.as_deref()), (fault, status, code), "{reply:?}: {err}");
        assert!(!err.message.full().is_empty() && !err.message.full().contains('\n'), "{reply:?}: {err}");
        assert_eq!(requests, 1, "{reply:?}: one attempt is one request");
    };
    let error = Reply::s3_error;
    check(error(412, "PreconditionFailed"), Fault::Exists, Some(412), Some("PreconditionFailed")).await;
    let busy = "ConditionalRequestConflict";
    check(error(409, busy), Fault::Busy, Some(409), Some(busy)).await;
    check(error(403, "AccessDenied"), Fault::Refused, Some(403), Some("AccessDenied")).await;
    check(error(404, "NoSuchBucket"), Fault::Refused, Some(404), Some("NoSuchBucket")).await;
    check(error(400, "ExpiredToken"), Fault::Expired, Some(400), Some("ExpiredToken")).await;
    check(error(400, "KMS.DisabledException"), Fault::Refused, Some(400), Some("KMS.DisabledException"))
        .await;
    check(error(400, "BadDigest"), Fault::Digest, Some(400), Some("BadDigest")).await;
    check(error(400, "RequestTimeout"), Fault::Transient, Some(400), Some("RequestTimeout")).await;
    check(error(503, "SlowDown"), Fault::Transient, Some(503), Some("SlowDown")).await;
    check(error(500, "InternalError"), Fault::Transient, Some(500), Some("InternalError")).await;
    check(Reply::status(502), Fault::Transient, Some(502), None).await;
    check(Reply::Close, Fault::Transient, None, None).await;
    check(Reply::Half, Fault::Transient, None, None).await;
    check(Reply::Hang, Fault::Transient, None, None).await;
}

#[tokio::test]
async fn a_different_checksum_in_the_answer_is_a_digest_fault() {
    let answer = |checksum| Reply::status(200).with("x-amz-checksum-crc32", checksum);
    let (stored, _) = put_answered(answer("AAAAAA==")).await;
    assert_eq!(stored.unwrap_err().fault, Fault::Digest);
    let (stored, _) = put_answered(answer(&base64_of(crc32fast::hash(b"body")))).await;
    stored.unwrap();
}

#[tokio::test]
async fn a_refused_head_is_refused_and_a_refused_connection_is_transient() {
    let server = ScriptedHttp::start(|_| Reply::status(403)).await;
    let store = S3Store::new(settings(&server)).await;
    let head = store.head(&location("bucket", Encryption::None), &object_key("k")).await;
    assert_eq!(head.unwrap_err().fault, Fault::Refused);

    let gone = S3Settings { endpoint_url: Some("http://127.0.0.1:1".into()), ..settings(&server) };
    let err = S3Store::new(gone).await.put(&a_put("bucket", "k", "x")).await.unwrap_err();
    assert_eq!((err.fault, err.status), (Fault::Transient, None), "{err}");
}

/// A provider without credentials, as on a machine that has none.
#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("there are none on this machine")))
    }
}

#[tokio::test]
async fn missing_credentials_fail_before_anything_is_sent() {
    let server = ScriptedHttp::start(|_| Reply::status(200)).await;
    let credentials = CredentialsFrom::Provider(SharedCredentialsProvider::new(NoCredentials));
    let store = S3Store::new(S3Settings { credentials, ..settings(&server) }).await;
    let err = store.put(&a_put("bucket", "k", "x")).await.unwrap_err();
    assert_eq!((err.fault, err.status), (Fault::NoAccess, None), "{err}");
    assert!(err.message.full().contains("no credentials found"), "{err}");
    assert_eq!(server.requests().len(), 0);
}

#[tokio::test]
async fn the_stores_message_is_shown_in_one_bounded_line() {
    let long = "line one\nline two \u{1b}[31m ".repeat(100);
    let body =
        format!("<Error><Code>AccessDenied</Code><Message>{}</Message></Error>", long.replace('\u{1b}', ""));
    let reply = Reply::Answer { status: 403, headers: Vec::new(), body };
    let (answer, _) = put_answered(reply).await;
    let err = answer.unwrap_err();
    assert!(err.message.full().starts_with(r"line one\nline two"), "{err}");
    assert!(err.message.full().len() <= 256 + '…'.len_utf8(), "{} bytes", err.message.full().len());
}

/// Credentials that cannot be fetched, as their service said.
#[derive(Debug)]
struct Unfetched;

impl ProvideCredentials for Unfetched {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(Err(CredentialsError::provider_error(MARKED)))
    }
}

/// What a store may quote of what was sent.
const MARKED: &str = "jane.roe@example.com";

/// The errors of a put, of questions and of the search for the region, if each request is answered so.
async fn answers_of(reply: Reply) -> Vec<StoreError> {
    let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
    let store = S3Store::new(settings(&server)).await;
    let (to, key) = (location("bucket", Encryption::SseS3), object_key("k"));
    let read = store.head_of(&to, &key, None).await.err();
    let of_region = finding_store(&server).await.put(&a_put("bucket", "k", "x")).await;
    let others = [store.put(&a_put("bucket", "k", "x")).await.map(drop), of_region.map(drop)];
    let asked = store.head(&to, &key).await.map(drop);
    others.into_iter().chain([asked]).filter_map(Result::err).chain(read).collect()
}

/// The text of an error is for logs and masked views. Whoever has the bucket gets all of it.
#[tokio::test]
async fn no_error_shows_what_the_store_said() {
    let mut met = Vec::new();
    let mut leaks = Vec::new();
    let mut check = |error: StoreError| {
        let shown =
            [error.to_string(), error.with_remedy().masked().to_owned(), format!("{:?}", error.message)];
        leaks.extend(shown.into_iter().filter(|text| text.contains("jane")));
        assert!(error.told().full().contains(MARKED), "{error}");
        assert!(error.status.is_none_or(|status| error.to_string().contains(&status.to_string())), "{error}");
        met.push(error.fault);
    };
    for (status, code) in [
        (412, "PreconditionFailed"),
        (409, "ConditionalRequestConflict"),
        (403, "AccessDenied"),
        (403, MARKED),
        (400, "ExpiredToken"),
        (400, "BadDigest"),
        (301, "PermanentRedirect"),
        (503, "SlowDown"),
    ] {
        let body = format!("<Error><Code>{code}</Code><Message>no {MARKED}</Message></Error>");
        let (answer, _) =
            put_answered(Reply::Answer { status, headers: Vec::new(), body }.because(MARKED)).await;
        check(answer.unwrap_err());
    }
    let (answer, _) = put_answered(Reply::status(200).with("x-amz-checksum-crc32", MARKED)).await;
    check(answer.unwrap_err());
    let server = ScriptedHttp::start(|_| Reply::status(200)).await;
    let credentials = CredentialsFrom::Provider(SharedCredentialsProvider::new(Unfetched));
    let store = S3Store::new(S3Settings { credentials, ..settings(&server) }).await;
    check(store.put(&a_put("bucket", "k", "x")).await.unwrap_err());
    // The first line of an answer alone, in each way of asking. No HTTP client has to read it, so it may be
    // missed.
    for status in [204, 301, 302, 400, 403, 404, 409, 412, 429, 500, 502, 503, 999] {
        for error in answers_of(Reply::status(status).because(MARKED)).await {
            let shown = [error.to_string(), error.with_remedy().masked().to_owned(), format!("{error:?}")];
            leaks.extend(shown.into_iter().filter(|text| text.contains("jane")));
        }
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    // The answer to a HEAD has no text, and a local file is nobody else's.
    let silent = |fault: &Fault| matches!(fault, Fault::NotFound | Fault::Local);
    let missing: Vec<_> = Fault::ALL.iter().filter(|fault| !silent(fault) && !met.contains(fault)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

/// Answers like AWS for a bucket in eu-west-3.
fn in_eu_west_3(head_bucket: Reply, misdirected: Reply) -> impl FnMut(&Request) -> Reply {
    move |request| match (request.method.as_str(), signed_for(request).as_str()) {
        ("HEAD", _) if request.target.matches('/').count() < 2 || request.target.ends_with("bucket/") => {
            head_bucket.clone()
        }
        (_, "eu-west-3") => Reply::status(200).with("etag", "\"1\""),
        _ => misdirected.clone(),
    }
}

#[tokio::test]
async fn a_region_is_read_from_any_answer_and_asked_for_only_once() {
    for status in [200, 301, 403, 400] {
        let named = Reply::status(status).with("x-amz-bucket-region", "eu-west-3");
        let server =
            ScriptedHttp::start(in_eu_west_3(named, Reply::s3_error(301, "PermanentRedirect"))).await;
        let store = finding_store(&server).await;
        store.put(&a_put("bucket", "k", "x")).await.unwrap();
        store.put(&a_put("bucket", "k2", "x")).await.unwrap();
        let methods: Vec<String> = server.requests().iter().map(|r| r.method.clone()).collect();
        assert_eq!(methods, ["HEAD", "PUT", "PUT"], "{status}");
        assert_eq!(store.region_of(&a_put("bucket", "k", "x").location).await.unwrap(), "eu-west-3");
    }
}

#[tokio::test]
async fn a_region_that_cannot_be_found_is_reported() {
    let check = async |reply: Reply, fault: Fault| {
        let server = ScriptedHttp::start(move |_| reply.clone()).await;
        let err = finding_store(&server).await.put(&a_put("bucket", "k", "x")).await.unwrap_err();
        assert_eq!(err.fault, fault, "{err}");
        assert!(err.message.full().contains("region of bucket bucket"), "{err}");
    };
    check(Reply::status(404), Fault::Refused).await;
    check(Reply::status(403), Fault::Refused).await;
    check(Reply::status(200), Fault::Refused).await;
    check(Reply::status(200).with("x-amz-bucket-region", "evil.example/"), Fault::Refused).await;
    check(Reply::status(503), Fault::Transient).await;
    check(Reply::Close, Fault::Transient).await;
}

#[tokio::test]
async fn a_wrong_region_is_corrected_from_the_refusal() {
    let malformed = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>m</Message><Region>eu-west-3</Region></Error>";
    let malformed = Reply::Answer { status: 400, headers: Vec::new(), body: malformed.into() };
    let located = |reply: Reply| reply.with("x-amz-bucket-region", "eu-west-3");
    // The answers to misdirected requests, and whether a HeadBucket must follow.
    for (misdirected, asked) in [
        (located(Reply::s3_error(301, "PermanentRedirect")), false),
        (malformed, false),
        (located(Reply::status(400)), false),
        (Reply::s3_error(400, "IllegalLocationConstraintException"), true),
    ] {
        let server =
            ScriptedHttp::start(in_eu_west_3(located(Reply::status(200)), misdirected.clone())).await;
        let store = finding_store(&server).await;
        let mut put = a_put("bucket", "k", "x");
        put.location.region = Some("us-west-2".into());
        let err = store.put(&put).await.unwrap_err();
        assert_eq!(err.fault, Fault::Region, "{misdirected:?}: {err}");
        store.put(&put).await.unwrap();
        let heads = server.requests().iter().filter(|request| request.method == "HEAD").count();
        assert_eq!(heads, usize::from(asked), "{misdirected:?}");
    }
}

#[tokio::test]
async fn a_redirected_head_names_the_region() {
    let redirect = Reply::status(301).with("x-amz-bucket-region", "eu-west-3");
    let server = ScriptedHttp::start(move |request| match signed_for(request).as_str() {
        "eu-west-3" => Reply::status(200).with("x-amz-meta-forebay-sha256", "ab"),
        _ => redirect.clone(),
    })
    .await;
    let store = S3Store::new(settings(&server)).await;
    let (to, key) = (location("bucket", Encryption::None), object_key("k"));
    assert_eq!(store.head(&to, &key).await.unwrap_err().fault, Fault::Region);
    assert_eq!(
        store.head(&to, &key).await.unwrap().metadata.get("forebay-sha256").map(String::as_str),
        Some("ab")
    );
}

#[tokio::test]
async fn a_redirect_without_a_region_keeps_the_configured_region() {
    // As a proxy in front of a store other than AWS may answer for a moment.
    let mut first = true;
    let server = ScriptedHttp::start(move |request| match request.method.as_str() {
        "PUT" if std::mem::take(&mut first) => Reply::status(301),
        _ => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let store = S3Store::new(S3Settings { region: Some("eu-west-1".into()), ..settings(&server) }).await;
    let put = a_put("bucket", "k", "x");
    assert_eq!(store.put(&put).await.unwrap_err().fault, Fault::Region);
    store.put(&put).await.unwrap();
    store.put(&put).await.unwrap();
    let requests = server.requests();
    let asked = requests.iter().filter(|request| request.method == "HEAD").count();
    assert_eq!((asked, signed_for(requests.last().unwrap()).as_str()), (1, "eu-west-1"));
}

/// Requests went to `/storage/v1/s3bucket`.
#[tokio::test]
async fn the_path_of_an_endpoint_is_kept_apart_from_the_bucket() {
    for (path, path_style, expected) in [
        ("", true, "/bucket/key"),
        ("/storage/v1/s3", true, "/storage/v1/s3/bucket/key"),
        ("/a", true, "/a/bucket/key"),
    ] {
        let server = ScriptedHttp::start(|_| Reply::status(200).with("etag", "\"1\"")).await;
        let endpoint_url = Some(format!("{}{path}", server.url()));
        let store = S3Store::new(S3Settings { endpoint_url, path_style, ..settings(&server) }).await;
        store.put(&a_put("bucket", "key", "bytes")).await.unwrap();
        let target = server.requests()[0].target.split('?').next().unwrap().to_owned();
        assert_eq!(target, expected, "{path}");
    }
}

/// A HEAD of such a key is answered with 400 and no body, as expired credentials are: it was retried without
/// end.
#[tokio::test]
async fn a_key_that_no_store_takes_is_refused_before_anything_is_sent() {
    let server = ScriptedHttp::start(|_| Reply::status(400)).await;
    let store = S3Store::new(settings(&server)).await;
    let says = |error: &StoreError| {
        assert_eq!(error.fault, Fault::Refused, "{error}");
        assert!(
            error.message.full().contains("the key has 1025 bytes, and S3 takes at most 1024"),
            "{error}"
        );
    };
    let long = "ü".repeat(512) + "x";
    says(&store.put(&a_put("bucket", &long, "bytes")).await.unwrap_err());
    says(&store.head(&location("bucket", Encryption::SseS3), &object_key(&long)).await.unwrap_err());
    let head = store.head_of(&location("bucket", Encryption::SseS3), &object_key(&long), None).await;
    says(&head.unwrap_err());
    assert_eq!(server.requests().len(), 0);
    drop(store.put(&a_put("bucket", &"x".repeat(1_024), "bytes")).await);
    assert_eq!(server.requests().len(), 1);
}
