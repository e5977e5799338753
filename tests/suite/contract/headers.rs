//! The settings of a destination appear in the headers of every put, and of every HEAD where applicable.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use forebay::object::{AccountId, Encryption, KmsContext, KmsKey, SseKms, StorageClass};
use forebay::store::ObjectStore;
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};

use super::a_put;
use crate::support::scripted_http::{Reply, ScriptedHttp};

#[tokio::test]
async fn all_settings_of_a_bucket_are_sent() {
    let server = ScriptedHttp::start(|_| {
        Reply::status(200)
            .with("etag", "\"1\"")
            .with("x-amz-server-side-encryption", "aws:kms")
            .with("x-amz-server-side-encryption-aws-kms-key-id", "arn:aws:kms:us-east-1:111122223333:key/k")
            .with("x-amz-server-side-encryption-bucket-key-enabled", "true")
    })
    .await;
    let store = S3Store::new(S3Settings {
        endpoint_url: Some(server.url()),
        path_style: true,
        bucket_owner_full_control: true,
        request_payer: true,
        credentials: CredentialsFrom::Static { access_key_id: "a".into(), secret_access_key: "s".into() },
        ..S3Settings::default()
    })
    .await;
    let mut put = a_put("bucket", "k", "bytes");
    let context = [("team".to_owned(), "dåta".to_owned())].into();
    put.location.encryption = Encryption::Kms(SseKms {
        key: KmsKey::parse("alias/events").unwrap(),
        bucket_key: Some(true),
        context: KmsContext::new(context).unwrap(),
    });
    put.location.storage_class = Some(StorageClass::GlacierIr);
    put.location.expected_bucket_owner = Some(AccountId::parse("111122223333").unwrap());
    put.tags = vec![("source", "web".to_owned()), ("day", "2026-11-20".to_owned())];
    let stored = store.put(&put).await.unwrap();
    let applied = stored.applied.unwrap();
    assert_eq!(applied.algorithm.as_deref(), Some("aws:kms"));
    assert_eq!(applied.kms_key.as_deref(), Some("arn:aws:kms:us-east-1:111122223333:key/k"));
    assert!(applied.bucket_key);
    assert_eq!(store.head(&put.location, &put.key).await.unwrap().applied, Some(applied));

    let requests = server.requests();
    let [sent, head] = requests.as_slice() else { panic!("{requests:?}") };
    for (name, value) in [
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-aws-kms-key-id", "alias/events"),
        ("x-amz-server-side-encryption-bucket-key-enabled", "true"),
        // {"team":"dåta"}
        ("x-amz-server-side-encryption-context", "eyJ0ZWFtIjoiZMOldGEifQ=="),
        ("x-amz-storage-class", "GLACIER_IR"),
        ("x-amz-expected-bucket-owner", "111122223333"),
        ("x-amz-tagging", "source=web&day=2026-11-20"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-request-payer", "requester"),
    ] {
        assert_eq!(sent.header(name), Some(value), "{name}");
    }
    for (name, value) in
        [("x-amz-expected-bucket-owner", "111122223333"), ("x-amz-request-payer", "requester")]
    {
        assert_eq!(head.header(name), Some(value), "{name}");
    }
    // Without bucket_key the bucket's own setting applies.
    put.location.encryption = Encryption::Kms(SseKms {
        key: KmsKey::parse("k").unwrap(),
        bucket_key: None,
        context: KmsContext::default(),
    });
    store.put(&put).await.unwrap();
    let requests = server.requests();
    let last = requests.last().unwrap();
    for name in ["x-amz-server-side-encryption-bucket-key-enabled", "x-amz-server-side-encryption-context"] {
        assert_eq!(last.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn headers_of_unset_settings_are_not_sent() {
    let server = ScriptedHttp::start(|_| Reply::status(200).with("etag", "\"1\"")).await;
    let credentials = CredentialsFrom::Static { access_key_id: "a".into(), secret_access_key: "s".into() };
    let settings = S3Settings {
        endpoint_url: Some(server.url()),
        path_style: true,
        credentials,
        ..S3Settings::default()
    };
    let mut put = a_put("bucket", "k", "bytes");
    put.location.encryption = Encryption::None;
    S3Store::new(settings).await.put(&put).await.unwrap();
    let requests = server.requests();
    let wanted = ["x-amz-checksum-crc32", "x-amz-content-sha256", "x-amz-date", "x-amz-user-agent"];
    let sent = requests[0]
        .headers
        .keys()
        .filter(|name| name.starts_with("x-amz-") && !name.starts_with("x-amz-meta-"));
    for name in sent {
        assert!(wanted.contains(&name.as_str()), "{name}");
    }
}

#[tokio::test]
async fn fips_and_dual_stack_select_the_aws_endpoint() {
    for (fips, dual_stack, host) in [
        (false, false, "bucket.s3.us-east-2.amazonaws.com"),
        (true, false, "bucket.s3-fips.us-east-2.amazonaws.com"),
        (false, true, "bucket.s3.dualstack.us-east-2.amazonaws.com"),
        (true, true, "bucket.s3-fips.dualstack.us-east-2.amazonaws.com"),
    ] {
        let credentials =
            CredentialsFrom::Static { access_key_id: "a".into(), secret_access_key: "s".into() };
        let region = Some("us-east-2".to_owned());
        let settings = S3Settings { region, fips, dual_stack, credentials, ..S3Settings::default() };
        let client = super::client(&S3Store::new(settings).await, "us-east-2");
        let request = client.get_object().bucket("bucket").key("k");
        // Signed but not sent: the URL shows the endpoint.
        let signed =
            request.presigned(PresigningConfig::expires_in(Duration::from_secs(60)).unwrap()).await.unwrap();
        assert!(signed.uri().starts_with(&format!("https://{host}/k?")), "{}", signed.uri());
    }
}
