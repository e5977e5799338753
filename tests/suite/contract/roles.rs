//! Assumed roles: one session for all requests, renewed in time, and rare requests for a refused role.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use forebay::object::{ExternalId, Role, RoleArn, S3Location};
use forebay::runtime::SystemClock;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::store::{Fault, ObjectStore, Put};
use forebay::time::Clock;
use forebay::words::rfc3339;

use super::a_put;
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};
use crate::support::wait;

/// Enough time for a session of some seconds to come near its end, on a busy machine.
const RENEWED: Duration = Duration::from_secs(120);
const ROLE: &str = "arn:aws:iam::111122223333:role/forebay";

/// A store that assumes roles at the same endpoint.
async fn store(server: &ScriptedHttp) -> S3Store {
    S3Store::new(S3Settings {
        endpoint_url: Some(server.url()),
        sts_endpoint_url: Some(server.url()),
        path_style: true,
        session_name: "forebay-n1".into(),
        credentials: CredentialsFrom::Static {
            access_key_id: "process".into(),
            secret_access_key: "secret".into(),
        },
        ..S3Settings::default()
    })
    .await
}

fn put_as(external_id: &str, key: &str) -> Put {
    let mut put = a_put("bucket", key, "bytes");
    let role =
        Role { arn: RoleArn::parse(ROLE).unwrap(), external_id: ExternalId::parse(external_id).unwrap() };
    put.location = S3Location { role: Some(role), ..put.location };
    put
}

fn is_assume(request: &Request) -> bool {
    request.method == "POST" && request.body.starts_with(b"Action=AssumeRole&")
}

/// The access key that a request is signed with.
fn signer(request: &Request) -> String {
    let credential = request.header("authorization").unwrap().split("Credential=").nth(1).unwrap();
    credential.split('/').next().unwrap().to_owned()
}

/// The answer with session `number`, which expires after `length`.
fn session(number: u64, length: Duration) -> Reply {
    let ends = rfc3339(SystemClock::new().wall().plus(length));
    let body = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>session{number}</AccessKeyId><SecretAccessKey>s</SecretAccessKey><SessionToken>token{number}\
         </SessionToken><Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
    );
    Reply::Answer { status: 200, headers: vec![("content-type".into(), "text/xml".into())], body }
}

fn sts_error(status: u16, code: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>scripted</Message></Error></ErrorResponse>"
    );
    Reply::Answer { status, headers: vec![("content-type".into(), "text/xml".into())], body }
}

fn assumed(requests: &[Request]) -> usize {
    requests.iter().filter(|request| is_assume(request)).count()
}

#[tokio::test]
async fn one_session_serves_all_requests_of_an_external_id() {
    let server = ScriptedHttp::start(|request| match is_assume(request) {
        true => session(1, Duration::from_secs(3_600)),
        false => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let store = Arc::new(store(&server).await);
    let puts = (0..16).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put(&put_as("web", &format!("k{n}"))).await.map(drop) })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.unwrap().unwrap();
    }
    let requests = server.requests();
    assert_eq!(assumed(&requests), 1);
    let asked = requests.iter().find(|request| is_assume(request)).unwrap();
    let body = String::from_utf8(asked.body.clone()).unwrap();
    for part in [
        "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fforebay",
        "ExternalId=web",
        "RoleSessionName=forebay-n1",
    ] {
        assert!(body.contains(part), "{body}");
    }
    assert_eq!(signer(asked), "process");
    for put in requests.iter().filter(|request| !is_assume(request)) {
        assert_eq!((signer(put).as_str(), put.header("x-amz-security-token")), ("session1", Some("token1")));
    }
    // Another external id needs another session.
    store.put(&put_as("ios", "k")).await.unwrap();
    assert_eq!(assumed(&server.requests()), 2);
}

#[tokio::test]
async fn a_session_near_its_end_is_renewed_and_stays_in_use_if_that_fails() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = ScriptedHttp::start(move |request| match is_assume(request) {
        true => match count.fetch_add(1, Ordering::SeqCst) {
            // A short session is renewed when a third of it is left.
            0 => session(1, Duration::from_secs(21)),
            1 => sts_error(403, "AccessDenied"),
            _ => session(3, Duration::from_secs(3_600)),
        },
        false => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let store = store(&server).await;
    wait::until("the next session", RENEWED, async || {
        store.put(&put_as("web", "k")).await.unwrap();
        (signer(server.requests().last().unwrap()) == "session3").then_some(())
    })
    .await;
    let signers: std::collections::BTreeSet<String> =
        server.requests().iter().filter(|request| !is_assume(request)).map(signer).collect();
    assert_eq!(signers.into_iter().collect::<Vec<_>>(), ["session1", "session3"]);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_refused_role_fails_all_requests_and_is_requested_rarely() {
    let server = ScriptedHttp::start(|_| sts_error(403, "AccessDenied")).await;
    let store = store(&server).await;
    for n in 0..100 {
        let error = store.put(&put_as("web", &format!("k{n}"))).await.unwrap_err();
        assert_eq!(
            (error.fault, error.status, error.code.as_deref()),
            (Fault::NoAccess, Some(403), Some("AccessDenied"))
        );
        assert!(
            error
                .message
                .full()
                .starts_with(&format!("assume the role {ROLE} with the external id web: scripted")),
            "{error}"
        );
    }
    let requests = server.requests();
    assert_eq!(requests.len(), assumed(&requests), "no put is sent without credentials");
    // For a hundred attempts within a second or two.
    assert!(requests.len() <= 4, "{} requests", requests.len());
}

#[tokio::test]
async fn an_outage_of_sts_is_not_a_refusal() {
    let server = ScriptedHttp::start(|request| match is_assume(request) {
        true => sts_error(503, "ServiceUnavailable"),
        false => Reply::status(200),
    })
    .await;
    let error = store(&server).await.put(&put_as("web", "k")).await.unwrap_err();
    assert_eq!((error.fault, error.status), (Fault::Transient, Some(503)), "{error}");
}

#[tokio::test]
async fn a_session_that_expires_early_is_replaced_once() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = ScriptedHttp::start(move |request| match is_assume(request) {
        true => session(count.fetch_add(1, Ordering::SeqCst) + 1, Duration::from_secs(3_600)),
        false if signer(request) == "session1" => Reply::s3_error(400, "ExpiredToken"),
        false => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let store = Arc::new(store(&server).await);
    let tries = (0..8).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.put(&put_as("web", &format!("k{n}"))).await })
    });
    for answer in tries.collect::<Vec<_>>() {
        // Requests after the first failure succeed at once.
        if let Err(error) = answer.await.unwrap() {
            assert_eq!(error.fault, Fault::Expired);
        }
    }
    store.put(&put_as("web", "again")).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn expired_credentials_of_the_process_are_fetched_again() {
    use aws_credential_types::Credentials;
    use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

    #[derive(Debug)]
    struct Numbered(AtomicU64);
    impl ProvideCredentials for Numbered {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            let ends = std::time::UNIX_EPOCH + Duration::from_secs(4_000_000_000);
            let new = Credentials::new(format!("process{number}"), "s", Some("t".into()), Some(ends), "test");
            future::ProvideCredentials::ready(Ok(new))
        }
    }

    let server = ScriptedHttp::start(|request| match signer(request).as_str() {
        "process1" => Reply::s3_error(400, "ExpiredToken"),
        _ => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let provider = SharedCredentialsProvider::new(Numbered(AtomicU64::new(0)));
    let settings = S3Settings {
        endpoint_url: Some(server.url()),
        path_style: true,
        credentials: CredentialsFrom::Provider(provider),
        ..S3Settings::default()
    };
    let store = S3Store::new(settings).await;
    let error = store.put(&a_put("bucket", "k", "x")).await.unwrap_err();
    assert_eq!(error.fault, Fault::Expired, "{error}");
    store.put(&a_put("bucket", "k", "x")).await.unwrap();
    store.put(&a_put("bucket", "k2", "x")).await.unwrap();
    let signers: Vec<String> = server.requests().iter().map(signer).collect();
    assert_eq!(signers, ["process1", "process2", "process2"]);
}

#[tokio::test]
async fn a_session_that_arrives_expired_is_not_used() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = ScriptedHttp::start(move |request| match is_assume(request) {
        true => session(count.fetch_add(1, Ordering::SeqCst), Duration::ZERO),
        false => Reply::status(200),
    })
    .await;
    let store = store(&server).await;
    for n in 0..50 {
        let error = store.put(&put_as("web", &format!("k{n}"))).await.unwrap_err();
        assert!(error.message.full().contains("already expired"), "{error}");
    }
    assert!(asked.load(Ordering::SeqCst) <= 4);
}

#[tokio::test]
async fn a_hanging_renewal_does_not_delay_other_requests() {
    let asked = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&asked);
    let server = ScriptedHttp::start(move |request| match is_assume(request) {
        true if count.fetch_add(1, Ordering::SeqCst) == 0 => session(1, Duration::from_secs(24)),
        true => Reply::Hang,
        false => Reply::status(200).with("etag", "\"1\""),
    })
    .await;
    let store = Arc::new(store(&server).await);
    let mut renewing = None;
    wait::until("a renewal in progress", RENEWED, async || {
        let store = Arc::clone(&store);
        renewing = Some(tokio::spawn(async move { store.put(&put_as("web", "k")).await.map(drop) }));
        (asked.load(Ordering::SeqCst) >= 2).then_some(())
    })
    .await;
    // One request renews; the current session is still valid for the others.
    store.put(&put_as("web", "other")).await.unwrap();
    renewing.unwrap().abort();
}
