//! Tests against MinIO, which really encrypts, knows its keys and evaluates the conditions of policies.

use aws_sdk_s3::types::{
    ServerSideEncryption, ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration,
    ServerSideEncryptionRule,
};
use forebay::object::{Encryption, KmsContext, KmsKey, SseKms};
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::store::{Fault, ObjectStore, PutMode};
use forebay::words::outside::OUTSIDE_TEXT_MAX;
use serde_json::{Value, json};

use super::{Site, TRIO, alarmed, alarms, all_clear, source_status, statements};
use crate::contract::a_put;
use crate::serve::support::{Caller, PATIENCE};
use crate::support::bucket::Bucket;
use crate::support::minio::{Minio, User};
use crate::support::wait;

/// A metadata name of an object, as MinIO stores it in a file next to the object's bytes.
const METADATA: &[u8] = b"X-Amz-Meta-Forebay-Calls";

/// The statements of templates for the bucket `lake`, without the principal: MinIO allows none in a user's
/// policy.
fn of_user(file: &str, names: &[&str]) -> Vec<Value> {
    let places = [("BUCKET", "lake"), ("PREFIX/", ""), ("KMS_KEY_ARN", Minio::KEY)];
    let mut statements = statements(file, names, &places);
    for statement in &mut statements {
        statement.as_object_mut().unwrap().remove("Principal");
    }
    statements
}

/// Sets the bucket's default encryption.
async fn set_default_encryption(minio: &Minio, bucket: &str) {
    let default = ServerSideEncryptionByDefault::builder()
        .sse_algorithm(ServerSideEncryption::AwsKms)
        .kms_master_key_id(Minio::KEY)
        .build()
        .unwrap();
    let rule = ServerSideEncryptionRule::builder().apply_server_side_encryption_by_default(default).build();
    let rules = ServerSideEncryptionConfiguration::builder().rules(rule).build().unwrap();
    let request = minio.root().put_bucket_encryption().bucket(bucket);
    request.server_side_encryption_configuration(rules).send().await.unwrap();
}

/// Algorithm and key of a source's only object according to HeadObject, and its bytes.
async fn read_back(bucket: &Bucket, name: &str, source: &str) -> (Option<String>, Option<String>, Vec<u8>) {
    let prefix = format!("segment-logs/{source}/");
    let [key] = bucket.keys(&prefix).await.try_into().unwrap_or_else(|keys| panic!("{prefix}: {keys:?}"));
    let head = bucket.client.head_object().bucket(name).key(&key).send().await.unwrap();
    let algorithm = head.server_side_encryption().map(|algorithm| algorithm.as_str().to_owned());
    (algorithm, head.ssekms_key_id().map(str::to_owned), bucket.object(&key).await.body.to_vec())
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

#[tokio::test]
async fn every_encryption_mode_reads_back_and_encrypted_bytes_are_not_on_the_disk() {
    let Some(minio) = Minio::start().await else { return };
    let sources = ["none", "default", "sse-s3", "kms", "kms-full"];
    let mut site = Site::new(&minio.url(), &sources, &User::COLLECTOR.credentials());
    site.all("checksums = \"when-required\"");
    let key = Minio::KEY;
    let full =
        format!("encryption = {{ kms = \"{key}\", bucket_key = true, context = {{ team = \"data\" }} }}");
    for (source, encryption) in [
        ("none", "encryption = \"none\""),
        ("default", "encryption = \"none\""),
        ("sse-s3", "encryption = \"sse-s3\""),
        ("kms", &format!("encryption = \"kms:{key}\"")),
        ("kms-full", &full),
    ] {
        site.source(source, &format!("bucket = \"of-{source}\"\n{encryption}"));
    }
    let mut buckets = Vec::new();
    for source in sources {
        buckets.push(minio.make_bucket(&format!("of-{source}")).await);
    }
    set_default_encryption(&minio, "of-default").await;
    minio.add_user(User::COLLECTOR).await;
    minio
        .bind(
            User::COLLECTOR,
            &[json!({ "Effect": "Allow", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::of-*/segment-logs/*" })],
        )
        .await;

    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for (source, bucket) in sources.iter().zip(&buckets) {
        caller.send(&forebay, source, 20, 50).await;
        caller.all_arrive(bucket, "", source).await;
        let expected = match *source {
            "none" => (None, None),
            "sse-s3" => (Some("AES256"), None),
            _ => (Some("aws:kms"), Some(format!("arn:aws:kms:{key}"))),
        };
        let name = format!("of-{source}");
        let (algorithm, used, bytes) = read_back(bucket, &name, source).await;
        assert_eq!((algorithm.as_deref(), used.clone()), expected, "{source}");
        let told = wait::until("the object in the status", PATIENCE, async || {
            let object = source_status(&forebay, source).await["last_object"].clone();
            (object != Value::Null).then_some(object)
        })
        .await;
        assert_eq!(told["encryption"]["algorithm"], json!(algorithm), "{source}: {told}");
        assert_eq!(told["encryption"]["kms_key"], json!(used), "{source}: {told}");

        let disk = minio.bytes_on_disk(&name);
        assert!(contains(&disk, METADATA), "{source}: the object is in these files");
        let in_the_clear = contains(&disk, &bytes);
        assert_eq!(
            in_the_clear,
            *source == "none",
            "{source}: whether the disk contains the object's plain bytes"
        );
    }
    assert_eq!(alarms(&forebay, "encryption").await, [""; 0], "the requested encryption was applied");
    assert_eq!(alarms(&forebay, "refused").await, [""; 0]);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn an_unknown_key_raises_an_alarm_and_fixing_it_drains_the_backlog() {
    let Some(minio) = Minio::start().await else { return };
    let mut site = Site::new(&minio.url(), &[&["sound"], &TRIO[..]].concat(), &User::COLLECTOR.credentials());
    site.all(&format!("encryption = \"kms:{}\"", Minio::KEY));
    for source in TRIO {
        site.source(source, "encryption = \"kms:no-such-key\"");
    }
    let lake = minio.make_bucket("lake").await;
    minio.add_user(User::COLLECTOR).await;
    minio.bind(User::COLLECTOR, &of_user("bucket.json", &["ForebayPuts"])).await;

    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in TRIO {
        caller.send(&forebay, source, 10, 0).await;
    }
    let alarm = alarmed(&forebay, "refused", "no-such-key").await;
    assert!(alarm.contains("404 kms:KeyNotFound"), "{alarm}");
    caller.send(&forebay, "sound", 10, 0).await;
    caller.all_arrive(&lake, "", "sound").await;
    for source in TRIO {
        assert_eq!(lake.keys(&format!("segment-logs/{source}/")).await, [""; 0]);
    }

    for source in TRIO {
        site.source(source, "");
    }
    site.reload(&forebay).await;
    for source in TRIO {
        caller.send(&forebay, source, 10, 0).await;
        caller.all_arrive(&lake, "", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn nothing_is_lost_or_duplicated_when_puts_are_denied_for_a_while() {
    let Some(minio) = Minio::start().await else { return };
    let mut site = Site::new(&minio.url(), &[&["late"], &TRIO[..]].concat(), &User::COLLECTOR.credentials());
    site.all("checksums = \"when-required\"");
    let lake = minio.make_bucket("lake").await;
    minio.add_user(User::COLLECTOR).await;
    let allowed = of_user("bucket.json", &["ForebayPuts"]);
    minio.bind(User::COLLECTOR, &allowed).await;

    let forebay = site.serve().await;
    let mut caller = Caller::new();
    for source in TRIO {
        caller.send(&forebay, source, 10, 0).await;
        caller.all_arrive(&lake, "", source).await;
    }

    // The puts request SSE-S3, and from now on only KMS is allowed.
    let denied = of_user("bucket-enforce-sse-kms.json", &["ForebayPuts", "DenyOtherEncryption"]);
    minio.bind(User::COLLECTOR, &denied).await;
    let before = lake.keys("").await;
    for source in TRIO {
        caller.send(&forebay, source, 10, 0).await;
    }
    let alarm = alarmed(&forebay, "refused", "AccessDenied").await;
    assert!(alarm.starts_with("lake: "), "{alarm}");
    assert_eq!(lake.keys("").await, before);

    minio.bind(User::COLLECTOR, &allowed).await;
    // The first successful put wakes the others.
    for source in [&["late"], &TRIO[..]].concat() {
        caller.send(&forebay, source, 10, 0).await;
    }
    for source in [&["late"], &TRIO[..]].concat() {
        caller.all_arrive(&lake, "", source).await;
    }
    all_clear(&forebay, "refused").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn deny_statements_refuse_only_what_they_should() {
    let Some(minio) = Minio::start().await else { return };
    minio.make_bucket("lake").await;
    minio.add_user(User::COLLECTOR).await;
    let store = S3Store::new(S3Settings {
        endpoint_url: Some(minio.url()),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: User::COLLECTOR.id.to_owned(),
            secret_access_key: User::COLLECTOR.secret.to_owned(),
        },
        ..S3Settings::default()
    })
    .await;
    let kms = |key: &str| {
        let key = KmsKey::parse(key).unwrap();
        Encryption::Kms(SseKms { key, bucket_key: Some(true), context: KmsContext::default() })
    };
    let put = async |encryption: &Encryption| {
        let mut put = a_put("lake", "segment-logs/s/0/1.gz", "x");
        put.location.encryption = encryption.clone();
        put.mode = PutMode::Overwrite;
        store.put(&put).await
    };
    let check = async |file: &str, names: &[&str], encryption: &Encryption, passes: bool| {
        minio.bind(User::COLLECTOR, &of_user(file, names)).await;
        let what = format!("{file} {names:?} {encryption}");
        match put(encryption).await {
            Ok(_) => assert!(passes, "{what}: the put was allowed"),
            Err(error) => {
                assert!(!passes, "{what}: {error}");
                assert_eq!((error.fault, error.status), (Fault::Refused, Some(403)), "{what}: {error}");
                assert!(error.message.full().len() <= OUTSIDE_TEXT_MAX + '…'.len_utf8());
            }
        }
    };
    let (none, sse_s3, right, other) =
        (Encryption::None, Encryption::SseS3, kms(Minio::KEY), kms("other-key"));

    check("bucket.json", &["ForebayPuts"], &sse_s3, true).await;
    let file = "bucket-enforce-sse-s3.json";
    let whole = ["ForebayPuts", "DenyOtherEncryption", "DenyMissingEncryption"];
    check(file, &whole, &sse_s3, true).await;
    check(file, &whole, &right, false).await;
    check(file, &whole, &none, false).await;
    check(file, &["ForebayPuts", "DenyOtherEncryption"], &right, false).await;
    check(file, &["ForebayPuts", "DenyOtherEncryption"], &none, true).await;
    check(file, &["ForebayPuts", "DenyMissingEncryption"], &none, false).await;
    check(file, &["ForebayPuts", "DenyMissingEncryption"], &right, true).await;

    let file = "bucket-enforce-sse-kms.json";
    let whole =
        ["ForebayPuts", "DenyOtherEncryption", "DenyMissingEncryption", "DenyOtherKey", "DenyMissingKey"];
    check(file, &whole, &right, true).await;
    check(file, &whole, &other, false).await;
    check(file, &whole, &sse_s3, false).await;
    check(file, &whole, &none, false).await;
    check(file, &["ForebayPuts", "DenyOtherEncryption"], &sse_s3, false).await;
    check(file, &["ForebayPuts", "DenyOtherEncryption"], &none, true).await;
    check(file, &["ForebayPuts", "DenyMissingEncryption"], &none, false).await;
    check(file, &["ForebayPuts", "DenyMissingEncryption"], &sse_s3, true).await;
    check(file, &["ForebayPuts", "DenyOtherKey"], &other, false).await;
    check(file, &["ForebayPuts", "DenyOtherKey"], &sse_s3, true).await;

    let file = "bucket-tls-only.json";
    check(file, &["ForebayPuts", "DenyPlainHttp"], &sse_s3, false).await;

    // Not a refusal by policy: KMS does not know the key.
    minio.bind(User::COLLECTOR, &of_user("bucket.json", &["ForebayPuts"])).await;
    let error = put(&other).await.unwrap_err();
    assert_eq!((error.fault, error.status), (Fault::Refused, Some(404)), "{error}");
    assert_eq!(error.code.as_deref(), Some("kms:KeyNotFound"), "{error}");
}

#[tokio::test]
async fn puts_over_tls_pass_where_plain_http_is_denied() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let Some(minio) = Minio::start_with_tls(&made.cert.pem(), &made.signing_key.serialize_pem()).await else {
        return;
    };
    let mut site = Site::new(&minio.url(), &["web"], &User::COLLECTOR.credentials());
    let trusted = site.path().join("trusted.pem");
    std::fs::write(&trusted, made.cert.pem()).unwrap();
    site.environment("SSL_CERT_FILE", trusted.to_str().unwrap());
    drop(minio.make_bucket("lake").await);
    minio.add_user(User::COLLECTOR).await;
    minio.bind(User::COLLECTOR, &of_user("bucket-tls-only.json", &["ForebayPuts", "DenyPlainHttp"])).await;

    let forebay = site.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 10, 0).await;
    let object = wait::until("the object in the status", PATIENCE, async || {
        let object = source_status(&forebay, "web").await["last_object"].clone();
        (object != Value::Null).then_some(object)
    })
    .await;
    assert_eq!(object["calls"], 10);
    assert!(contains(&minio.bytes_on_disk("lake"), METADATA), "{object}");
    assert!(forebay.terminate().await.success());
}
