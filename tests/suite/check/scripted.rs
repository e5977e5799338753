//! Against a scripted server that answers as AWS documents: regions, key states, expired sessions, clocks,
//! and stores without some features of S3. No other server here can do this.

use std::collections::BTreeSet;
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock;
use serde_json::{Value, json};

use super::scripted_aws::{ARN, Asked, asked, key, kms_error, sound, sts_error};
use super::{Ran, Setup, expect, paste};
use crate::support::granted;
use crate::support::scripted_http::{Reply, Request, ScriptedHttp};

/// Checks against a store that is sound except for the answers of `odd`.
async fn check_with(
    source: &str,
    arguments: &[&str],
    odd: impl Fn(Asked, &Request) -> Option<Reply> + Send + 'static,
) -> (Ran, Vec<Request>) {
    let server = serve(odd).await;
    let setup = setup(&server).source("web", source);
    let ran = setup.run_with(arguments).await;
    (ran, server.requests())
}

fn setup(server: &ScriptedHttp) -> Setup {
    Setup::new(&server.url(), "AKIAEXAMPLE", "a-secret-that-stays").s3("bucket = \"lake\"")
}

async fn serve(odd: impl Fn(Asked, &Request) -> Option<Reply> + Send + 'static) -> ScriptedHttp {
    let mut stored = 0;
    ScriptedHttp::start(move |request| {
        let asked = asked(request, stored);
        let reply = odd(asked, request).unwrap_or_else(|| sound(asked, request));
        stored += usize::from(asked == Asked::Put && matches!(reply, Reply::Answer { status: 200, .. }));
        reply
    })
    .await
}

async fn check(source: &str, odd: impl Fn(Asked, &Request) -> Option<Reply> + Send + 'static) -> Ran {
    check_with(source, &[], odd).await.0
}

/// Answers one kind of request with `reply`, and all others as a sound AWS does.
async fn when(source: &str, what: Asked, reply: Reply) -> Ran {
    check(source, move |asked, _| (asked == what).then(|| reply.clone())).await
}

fn kms_source() -> String {
    format!("encryption = {{ kms = \"{ARN}\", context = {{ team = \"data\" }} }}")
}

const ROLE: &str = "role_arn = \"arn:aws:iam::111122223333:role/writer\"";

#[tokio::test]
async fn a_sound_store_gets_the_same_puts_as_in_delivery() {
    let (ran, requests) = check_with(&kms_source(), &[], |_, _| None).await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    expect(ran.of("kms_use"), "passed", &[]);
    let puts: Vec<&Request> = requests.iter().filter(|request| request.method == "PUT").collect();
    let folders: Vec<&str> = puts
        .iter()
        .filter_map(|put| Some(put.target.split_once("/segment-logs/")?.1.split_once('/')?.0))
        .collect();
    assert_eq!(folders, ["_check", "_check", "_check", "web", "_rejected", "_closed"]);
    for put in puts {
        assert_eq!(put.header("if-none-match"), Some("*"));
        assert_eq!(put.header("x-amz-server-side-encryption"), Some("aws:kms"));
        assert_eq!(put.header("x-amz-server-side-encryption-aws-kms-key-id"), Some(ARN));
        assert!(put.header("x-amz-server-side-encryption-context").is_some());
        assert!(put.header("x-amz-checksum-crc32").is_some());
        assert_eq!(put.header("content-encoding"), Some("gzip"));
    }
    let generate = requests
        .iter()
        .find(|request| request.header("x-amz-target") == Some("TrentService.GenerateDataKey"));
    let body: Value = serde_json::from_slice(&generate.unwrap().body).unwrap();
    assert_eq!((&body["DryRun"], &body["KeyId"]), (&json!(true), &json!(ARN)));
    let context = &body["EncryptionContext"];
    let object = context["aws:s3:arn"].as_str().unwrap();
    assert!(object.starts_with("arn:aws:s3:::lake/segment-logs/_check/check-"), "{object}");
    assert_eq!(context["team"], "data");
}

/// Whatever the HEAD reports, the answer to the put counts.
#[tokio::test]
async fn a_redirect_of_the_put_names_the_region() {
    let elsewhere = || Reply::s3_error(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-west-1");
    let ran = when("", Asked::Put, elsewhere()).await;
    let put = ran.of("put");
    expect(put, "failed", &["301"]);
    assert!(paste(put, "the bucket is in another region").contains("region = \"eu-west-1\""), "{put}");
}

/// Without the condition if the store does not support it.
#[tokio::test]
async fn folders_are_tested_with_the_kind_of_put_that_succeeded() {
    let ran = check("", |asked, request| {
        let conditional = request.header("if-none-match").is_some();
        (matches!(asked, Asked::Put | Asked::PutWrong) && conditional)
            .then(|| Reply::s3_error(501, "NotImplemented"))
    })
    .await;
    expect(ran.of("folders"), "passed", &["the folders of the source are writable"]);
}

/// An answer to a put with a wrong checksum shows whether the folder is writable, or `check` reports that it
/// does not.
#[tokio::test]
async fn answers_to_a_wrong_checksum_are_distinguished() {
    let answered = async |beside: Reply, folder: Reply| {
        let ran = check("", move |asked, request| {
            let in_check = request.target.contains("/_check/");
            (asked == Asked::PutWrong).then(|| if in_check { beside.clone() } else { folder.clone() })
        })
        .await;
        ran.of("folders").clone()
    };
    let (digest, taken) = (Reply::s3_error(400, "BadDigest"), Reply::status(200));
    let denied = Reply::s3_error(403, "AccessDenied");
    let busy = Reply::s3_error(503, "SlowDown");
    let unknown = "not tested whether a policy denies puts";
    for (beside, folder, outcome, said) in [
        (&digest, &digest, "passed", "the folders of the source are writable"),
        (&digest, &denied, "failed", "segment-logs/web/"),
        (&digest, &busy, "not_tested", unknown),
        (&digest, &taken, "not_tested", "an object of this check in segment-logs/web/"),
        (&taken, &digest, "not_tested", unknown),
        (&denied, &digest, "not_tested", unknown),
        (&busy, &digest, "not_tested", unknown),
    ] {
        expect(&answered(beside.clone(), folder.clone()).await, outcome, &[said]);
    }
}

#[tokio::test]
async fn the_put_has_every_configured_header() {
    let server = serve(|_, _| None).await;
    let lines = "object_tags = [\"source\"]\nacl = \"bucket-owner-full-control\"\nrequest_payer = true\n\
                 content_encoding = \"none\"\nchecksums = \"when-required\"";
    let of_source =
        "storage_class = \"STANDARD_IA\"\nexpected_bucket_owner = \"111122223333\"\nencryption = \"none\"";
    let ran = setup(&server).s3(lines).source("web", of_source).run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    let requests = server.requests();
    let put = requests.iter().find(|request| request.method == "PUT").unwrap();
    for (name, value) in [
        ("x-amz-tagging", Some("source=web")),
        ("x-amz-acl", Some("bucket-owner-full-control")),
        ("x-amz-request-payer", Some("requester")),
        ("x-amz-storage-class", Some("STANDARD_IA")),
        ("x-amz-expected-bucket-owner", Some("111122223333")),
        ("content-encoding", None),
        ("x-amz-checksum-crc32", None),
        ("x-amz-server-side-encryption", None),
    ] {
        assert_eq!(put.header(name), value, "{name}");
    }
    let head = requests.iter().find(|request| request.method == "HEAD").unwrap();
    assert_eq!(head.header("x-amz-expected-bucket-owner"), Some("111122223333"));
}

/// The actions that must be granted for a request.
fn actions(request: &Request) -> Vec<&'static str> {
    let mut actions = vec![match asked(request, 0) {
        Asked::WhoAmI => "sts:GetCallerIdentity",
        Asked::AssumeRole { .. } => "sts:AssumeRole",
        Asked::HeadBucket => "s3:ListBucket",
        Asked::Put | Asked::PutAgain | Asked::PutWrong => "s3:PutObject",
        Asked::Head => "s3:GetObject",
        Asked::Delete => "s3:DeleteObject",
        Asked::DescribeKey => "kms:DescribeKey",
        Asked::GenerateDataKey => "kms:GenerateDataKey",
    }];
    actions.extend(request.header("x-amz-tagging").map(|_| "s3:PutObjectTagging"));
    actions.extend(request.header("x-amz-acl").map(|_| "s3:PutObjectAcl"));
    actions
}

#[tokio::test]
async fn the_templates_grant_exactly_the_requests_that_are_sent() {
    let server = serve(|_, _| None).await;
    let lines = "object_tags = [\"source\", \"day\"]\nacl = \"bucket-owner-full-control\"";
    let ran = setup(&server).s3(lines).source("web", &format!("{ROLE}\n{}", kms_source())).run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    let mut sent: BTreeSet<String> = server.requests().iter().flat_map(actions).map(str::to_owned).collect();
    for free in granted::NEED_NO_GRANT {
        sent.remove(free);
    }
    let mut granted = granted::actions();
    // S3 decrypts only when rejected rows of an import are read back, which `check` does not do.
    assert!(granted.remove("kms:Decrypt"));
    assert_eq!(sent, granted);
}

#[tokio::test]
async fn a_bucket_in_another_region_is_found() {
    const ELSEWHERE: &str = "eu-central-1";
    let in_region =
        |request: &Request| request.header("authorization").unwrap().contains(&format!("/{ELSEWHERE}/s3/"));
    for (status, then) in [(301, 200), (301, 403), (400, 200)] {
        let (ran, requests) = check_with("region = \"eu-west-1\"", &[], move |asked, request| {
            match (asked, in_region(request)) {
                (Asked::HeadBucket, true) => Some(Reply::status(then).with("x-amz-bucket-region", ELSEWHERE)),
                (Asked::HeadBucket | Asked::Put, false) => {
                    Some(Reply::s3_error(status, "PermanentRedirect").with("x-amz-bucket-region", ELSEWHERE))
                }
                _ => None,
            }
        })
        .await;
        expect(
            ran.of("region"),
            "warning",
            &[
                ELSEWHERE,
                "eu-west-1",
                &format!("source web if it overrides that or has its own bucket\nregion = \"{ELSEWHERE}\""),
            ],
        );
        expect(ran.of("bucket"), if then == 200 { "passed" } else { "not_tested" }, &[]);
        let heads =
            requests.iter().filter(|request| request.method == "HEAD" && !request.target.contains("_check"));
        assert!(heads.count() >= 2, "the bucket is requested again in its region");
        expect(ran.of("put"), "passed", &[]);
    }
}

#[tokio::test]
async fn the_region_is_read_even_if_the_bucket_is_not_readable() {
    let refused = Reply::status(403).with("x-amz-bucket-region", "us-east-1");
    let ran = when("", Asked::HeadBucket, refused).await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    expect(ran.of("bucket"), "not_tested", &["not required"]);
    expect(ran.of("region"), "passed", &["us-east-1"]);
    let ran = when("", Asked::HeadBucket, Reply::status(301)).await;
    expect(ran.of("region"), "failed", &["names no region", "or has its own bucket\nregion = "]);
}

#[tokio::test]
async fn each_state_of_a_key_is_distinguished() {
    let with = |change: Value| {
        let mut metadata = key("Enabled");
        metadata.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        Reply::Answer {
            status: 200,
            headers: Vec::new(),
            body: json!({ "KeyMetadata": metadata }).to_string(),
        }
    };
    let describe = async |reply| when(&kms_source(), Asked::DescribeKey, reply).await;
    let cases: [(Value, &str, &[&str]); 9] = [
        (json!({}), "passed", &[ARN]),
        (json!({ "KeyState": "Disabled" }), "failed", &["is disabled", "aws kms enable-key"]),
        (
            json!({ "KeyState": "PendingDeletion", "DeletionDate": 1_796_083_200.0 }),
            "failed",
            &["pending deletion on 2026-12-01T00:00:00.000Z", "cancel-key-deletion"],
        ),
        (json!({ "KeyState": "PendingImport" }), "failed", &["no key material"]),
        (json!({ "KeyState": "Unavailable" }), "failed", &["custom key store"]),
        (json!({ "KeyState": "Creating" }), "failed", &["not ready yet"]),
        (
            json!({ "KeyUsage": "SIGN_VERIFY", "KeySpec": "RSA_2048" }),
            "failed",
            &["SIGN_VERIFY", "symmetric"],
        ),
        (json!({ "KeySpec": "RSA_2048" }), "failed", &["RSA_2048"]),
        (
            json!({ "Arn": ARN.replace("us-east-1", "eu-west-1") }),
            "failed",
            &["is in eu-west-1 and the bucket in us-east-1"],
        ),
    ];
    for (change, outcome, words) in cases {
        expect(describe(with(change)).await.of("kms_key"), outcome, words);
    }
    let ran = describe(kms_error("NotFoundException")).await;
    expect(ran.of("kms_key"), "failed", &["NotFoundException", "list-aliases"]);
    let ran = describe(kms_error("AccessDeniedException")).await;
    expect(ran.of("kms_key"), "not_tested", &["the put with this key succeeded"]);
    assert_eq!(ran.code, 0, "the right to use the key service is not required");
}

#[tokio::test]
async fn each_refusal_of_a_data_key_is_distinguished() {
    let cases: [(&str, &str, &[&str]); 6] = [
        ("DryRunOperationException", "passed", &[]),
        ("AccessDeniedException", "not_tested", &["the put with this key succeeded"]),
        ("DisabledException", "failed", &["enable-key"]),
        ("NotFoundException", "failed", &["list-aliases"]),
        ("KMSInvalidStateException", "failed", &["describe-key"]),
        ("InvalidKeyUsageException", "failed", &["ENCRYPT_DECRYPT"]),
    ];
    for (code, outcome, words) in cases {
        let ran = when(&kms_source(), Asked::GenerateDataKey, kms_error(code)).await;
        expect(ran.of("kms_use"), outcome, words);
    }
}

#[tokio::test]
async fn the_remedy_of_a_refused_put_depends_on_its_code() {
    let kms = kms_source();
    let no_right = |action: &str| {
        let message = format!(
            "User: arn:aws:iam::111122223333:user/collector is not authorized to perform: {action} on it"
        );
        let body = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
        Reply::Answer { status: 403, headers: Vec::new(), body }
    };
    let plain = |status, code| Reply::s3_error(status, code);
    let cases: [(&str, Reply, &[&str]); 9] = [
        (&kms, plain(400, "KMS.DisabledException"), &["aws kms enable-key"]),
        (&kms, plain(400, "KMS.NotFoundException"), &["list-aliases"]),
        (
            &kms,
            no_right("kms:GenerateDataKey"),
            &["kms:GenerateDataKey", "policy of the key", "s3.us-east-1.amazonaws.com"],
        ),
        (
            "",
            no_right("s3:PutObject"),
            &["arn:aws:s3:::lake/segment-logs/*", "arn:aws:iam::111122223333:user/collector"],
        ),
        ("", plain(400, "ExpiredToken"), &["has expired"]),
        ("", plain(403, "SignatureDoesNotMatch"), &["secret key"]),
        ("", plain(400, "AccessControlListNotSupported"), &["remove the ACL"]),
        ("", plain(403, "RequestTimeTooSkewed"), &["timedatectl set-ntp true"]),
        ("", plain(503, "SlowDown"), &["busy"]),
    ];
    for (source, reply, words) in cases {
        let ran = when(source, Asked::Put, reply).await;
        assert_eq!(ran.code, 1);
        expect(ran.of("put"), "failed", words);
        expect(ran.of("create_only"), "not_tested", &[]);
    }
}

#[tokio::test]
async fn the_applied_encryption_is_compared_with_the_requested_one() {
    let applied = |sse: &str| Reply::status(200).with("x-amz-server-side-encryption", sse);
    let ran = when("", Asked::Put, applied("aws:kms")).await;
    expect(ran.of("encryption"), "failed", &["AES256 was requested, but the store applied aws:kms"]);
    let ran = when("", Asked::Put, Reply::status(200)).await;
    expect(ran.of("encryption"), "failed", &["does not report that it encrypted", "encryption = \"none\""]);
    let ran = when("encryption = \"none\"", Asked::Put, applied("aws:kms")).await;
    expect(ran.of("encryption"), "passed", &["the bucket's default"]);
    let other = applied("aws:kms")
        .with("x-amz-server-side-encryption-aws-kms-key-id", &ARN.replace("1234abcd", "4321dcba"));
    let ran = when(&kms_source(), Asked::Put, other).await;
    expect(ran.of("encryption"), "failed", &["the store used"]);
    let with_bucket_key = format!("encryption = {{ kms = \"{ARN}\", bucket_key = true }}");
    let ran = check(&with_bucket_key, |_, _| None).await;
    expect(ran.of("encryption"), "warning", &["bucket key"]);
}

#[tokio::test]
async fn a_store_without_conditional_writes_is_found() {
    let overwrite = "[s3]\nput = \"overwrite\"";
    let ran =
        when("", Asked::PutAgain, Reply::status(200).with("x-amz-server-side-encryption", "AES256")).await;
    expect(ran.of("put"), "passed", &[]);
    expect(ran.of("create_only"), "failed", &["ignores the condition", overwrite]);
    for (status, code) in [(501, "NotImplemented"), (400, "InvalidArgument")] {
        let ran = check("", move |asked, request| {
            let conditional = request.header("if-none-match").is_some();
            (asked == Asked::Put && conditional).then(|| Reply::s3_error(status, code))
        })
        .await;
        expect(ran.of("put"), "passed", &["without the condition"]);
        expect(ran.of("create_only"), "failed", &["does not support", overwrite]);
    }
    let ran = check("", |asked, _| {
        matches!(asked, Asked::Put | Asked::PutAgain).then(|| Reply::s3_error(501, "NotImplemented"))
    })
    .await;
    expect(ran.of("put"), "failed", &["checksums = \"when-required\"", "encryption = \"none\""]);
    expect(ran.of("create_only"), "not_tested", &[]);
}

#[tokio::test]
async fn the_clock_is_compared_with_the_dates_of_answers() {
    let dated = |off: i64| {
        let now = SystemClock::new().wall().0 / 1_000;
        let date = chrono::DateTime::from_timestamp(now + off, 0).unwrap();
        let date = date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        Reply::status(403).with("x-amz-bucket-region", "us-east-1").with("date", &date)
    };
    let at = async |off| when("", Asked::HeadBucket, dated(off)).await;
    expect(at(0).await.of("clock"), "passed", &[]);
    expect(at(60).await.of("clock"), "warning", &["behind the store", "set-ntp"]);
    expect(at(-60).await.of("clock"), "warning", &["ahead of the store"]);
    expect(at(3_600).await.of("clock"), "failed", &["S3 refuses requests"]);
}

#[tokio::test]
async fn expired_sessions_and_refused_roles_are_distinguished() {
    let ran = when("", Asked::WhoAmI, sts_error(403, "ExpiredToken")).await;
    expect(ran.of("identity"), "failed", &["ExpiredToken", "has expired"]);
    let ran =
        when(ROLE, Asked::AssumeRole { with_id: true }, sts_error(403, "RegionDisabledException")).await;
    expect(ran.of("role"), "failed", &["disabled for the account"]);
    let ran = check(ROLE, |_, _| None).await;
    expect(ran.of("role"), "passed", &["forebay-check"]);
    expect(ran.of("role_without_external_id"), "passed", &[]);
    expect(ran.of("put"), "passed", &[]);
    let ran = when(ROLE, Asked::AssumeRole { with_id: false }, sts_error(400, "ValidationError")).await;
    expect(ran.of("role_without_external_id"), "not_tested", &["ValidationError"]);
}

#[tokio::test]
async fn the_key_is_checked_as_the_role() {
    let (ran, requests) = check_with(&format!("{ROLE}\n{}", kms_source()), &[], |_, _| None).await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    let of = |target: &str| {
        requests.iter().find(|request| request.header("x-amz-target") == Some(target)).unwrap()
    };
    for target in ["TrentService.DescribeKey", "TrentService.GenerateDataKey"] {
        assert_eq!(of(target).header("x-amz-security-token"), Some("t"), "{target}");
    }
}

#[tokio::test]
async fn a_store_that_never_answers_times_out() {
    let begun = tokio::time::Instant::now();
    let hang = |asked: Asked, _: &Request| (asked == Asked::HeadBucket).then_some(Reply::Hang);
    let (ran, _) = check_with("", &["--timeout", "300 ms"], hang).await;
    expect(ran.of("bucket"), "failed", &["--timeout"]);
    expect(ran.of("put"), "not_tested", &["did not answer"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let ran = when("", Asked::HeadBucket, Reply::Close).await;
    expect(ran.of("bucket"), "failed", &["broke"]);
}

#[tokio::test]
async fn an_archive_storage_class_is_a_warning() {
    let ran = check("storage_class = \"DEEP_ARCHIVE\"", |_, _| None).await;
    assert_eq!(ran.code, 0);
    expect(ran.of("storage_class"), "warning", &["before they are restored"]);
    let ran = check("storage_class = \"STANDARD_IA\"", |_, _| None).await;
    expect(ran.of("storage_class"), "passed", &[]);
}

/// The advice was to set what was set, and what caused the refusal.
#[tokio::test]
async fn a_bucket_with_object_lock_needs_checksums() {
    for (code, message) in [
        (
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        ),
        ("MissingContentMD5", "Missing required header for this request: Content-Md5."),
    ] {
        let server = serve(move |asked, request| {
            let locked = asked == Asked::Put && request.header("x-amz-checksum-crc32").is_none();
            let body = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            locked.then(|| Reply::Answer { status: 400, headers: Vec::new(), body })
        })
        .await;
        let setup = setup(&server).source("web", "");
        let ran = setup.s3("checksums = \"when-required\"").run_with(&[]).await;
        let put = ran.of("put");
        expect(put, "failed", &["Object Lock"]);
        assert_eq!(paste(put, "checksum"), "[s3]\nchecksums = \"auto\"");
        assert!(!put["remedies"].to_string().contains("when-required"), "{put}");
    }
}

#[tokio::test]
async fn advice_never_is_what_is_set_already() {
    let refused = Reply::s3_error(501, "NotImplemented");
    let server = serve(move |asked, _| (asked == Asked::Put).then(|| refused.clone())).await;
    let setup = setup(&server).source("web", "encryption = \"none\"");
    let ran = setup.s3("checksums = \"when-required\"").run_with(&[]).await;
    let put = ran.of("put");
    expect(put, "failed", &[]);
    assert!(!put["remedies"].to_string().contains("when-required"), "{put}");
}

/// A bucket may be called as its store is, so this is no error.
#[tokio::test]
async fn a_host_that_begins_with_the_bucket_is_a_warning() {
    let server = serve(|_, _| None).await;
    let port = server.url().rsplit_once(':').unwrap().1.to_owned();
    let setup = Setup::new(&format!("http://lake.localhost:{port}"), "AKIAEXAMPLE", "a-secret-that-stays");
    let ran = setup.s3("bucket = \"lake\"").source("web", "").run().await;
    expect(ran.of("endpoint"), "warning", &["http://lake.localhost", "s3://lake/lake/"]);
}
