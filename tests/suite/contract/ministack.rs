//! The contract against an independent AWS emulator, and the policies of `policies/` as it evaluates them.

use std::process::Command;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ServerSideEncryption, VersioningConfiguration};
use forebay::object::Encryption;
use forebay::store::s3::S3Store;
use forebay::store::{Fault, ObjectStore, PutMode};
use serde_json::Value;

use super::dev_s3::store;
use super::{a_put, changing, location, object_key, object_store, put_fault, reading};
use crate::support::tools::{Ministack, in_venv, stdout_of};

const REGION: &str = "us-east-1";
const BUCKET: &str = "events-raw";

async fn root(ministack: &Ministack) -> S3Store {
    let store = store(ministack.url(), Ministack::ROOT, Ministack::ROOT).await;
    super::client(&store, REGION).create_bucket().bucket(BUCKET).send().await.unwrap();
    store
}

#[tokio::test]
async fn ministack_keeps_the_contract() {
    let Some(ministack) = Ministack::start().await else { return };
    let root = root(&ministack).await;
    object_store(&root, BUCKET, "no-such-bucket").await;
    reading::store(&root, BUCKET, "no-such-bucket").await;
    changing::store(&root, BUCKET).await;
    let client = super::client(&root, REGION);
    client.create_bucket().bucket("versions").send().await.unwrap();
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    let put = client.put_bucket_versioning().bucket("versions").versioning_configuration(enabled);
    put.send().await.unwrap();
    changing::versions(&root, "versions").await;
}

/// Creates a user without policies; prints its ARN, access key id and secret.
const MAKE_USER: &str = r"
import boto3, sys
iam = boto3.client('iam', endpoint_url=sys.argv[1], region_name='us-east-1',
                   aws_access_key_id='test', aws_secret_access_key='test')
print(iam.create_user(UserName='collector')['User']['Arn'])
key = iam.create_access_key(UserName='collector')['AccessKey']
print(key['AccessKeyId'])
print(key['SecretAccessKey'])
";

/// The policies under test, with a separate bucket and user.
struct Policies {
    root: S3Store,
    collector: S3Store,
    arn: String,
    _ministack: Ministack,
}

impl Policies {
    async fn start() -> Option<Self> {
        let python = in_venv("python")?;
        let ministack = Ministack::start().await?;
        let mut command = Command::new(python);
        command.args(["-c", MAKE_USER, &ministack.url()]);
        let printed = stdout_of(command).await;
        let [arn, id, secret] = printed.lines().collect::<Vec<_>>().try_into().unwrap();
        let collector = store(ministack.url(), id, secret).await;
        Some(Self { root: root(&ministack).await, collector, arn: arn.to_owned(), _ministack: ministack })
    }

    /// Enforces the statements of these names from `file`, for the prefix `logs`.
    async fn enforce(&self, file: &str, statements: &[&str]) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(file);
        let text = std::fs::read_to_string(path).unwrap();
        let text =
            text.replace("COLLECTOR_ARN", &self.arn).replace("BUCKET", BUCKET).replace("PREFIX/", "logs/");
        let mut policy: Value = serde_json::from_str(&text).unwrap();
        let all = policy["Statement"].as_array_mut().unwrap();
        all.retain(|statement| statements.contains(&statement["Sid"].as_str().unwrap()));
        assert_eq!(all.len(), statements.len(), "{file} has each statement once");
        let request = super::client(&self.root, REGION).put_bucket_policy().bucket(BUCKET);
        request.policy(policy.to_string()).send().await.unwrap();
    }

    /// The fault of a put by the collector with its own store.
    async fn put(&self, key: &str, encryption: Encryption) -> Option<Fault> {
        let mut put = a_put(BUCKET, key, "x");
        put.location.encryption = encryption;
        put.mode = PutMode::Overwrite;
        put_fault(&self.collector, &put).await
    }

    /// The error code of a put with an encryption that the collector's store never requests.
    async fn put_with_kms(&self) -> Option<String> {
        let request = super::client(&self.collector, REGION)
            .put_object()
            .bucket(BUCKET)
            .key("logs/segment-logs/s/0/kms.gz");
        let request =
            request.server_side_encryption(ServerSideEncryption::AwsKms).ssekms_key_id("alias/events");
        let err = request.body(ByteStream::from_static(b"x")).send().await.err()?;
        Some(err.as_service_error().and_then(|err| err.meta().code()).unwrap().to_owned())
    }
}

const KEY: &str = "logs/segment-logs/s/0/1.gz";

#[tokio::test]
async fn each_policy_statement_allows_and_refuses_as_documented() {
    let Some(policies) = Policies::start().await else { return };
    let refused = Some(Fault::Refused);
    let denied = Some("AccessDenied".to_owned());
    assert_eq!(policies.put(KEY, Encryption::SseS3).await, refused, "nothing is granted without a policy");

    policies.enforce("bucket.json", &["ForebayPuts"]).await;
    assert_eq!(policies.put(KEY, Encryption::SseS3).await, None);
    assert_eq!(policies.put(KEY, Encryption::None).await, None);
    assert_eq!(policies.put("logs/segment-logs/_rejected/s/0/1.gz", Encryption::SseS3).await, None);
    assert_eq!(policies.put("logs/other/1.gz", Encryption::SseS3).await, refused, "outside segment-logs");
    assert_eq!(policies.put("segment-logs/s/0/1.gz", Encryption::SseS3).await, refused, "outside the prefix");
    let head = policies.collector.head(&location(BUCKET, Encryption::None), &object_key(KEY)).await;
    assert_eq!(head.unwrap_err().fault, Fault::Refused, "reading is not granted");

    let file = "bucket-enforce-sse-s3.json";
    policies.enforce(file, &["ForebayPuts", "DenyOtherEncryption"]).await;
    assert_eq!(policies.put(KEY, Encryption::SseS3).await, None);
    assert_eq!(policies.put_with_kms().await, denied, "another encryption");
    assert_eq!(
        policies.put(KEY, Encryption::None).await,
        None,
        "a missing header is left to the other statement"
    );

    policies.enforce(file, &["ForebayPuts", "DenyMissingEncryption"]).await;
    assert_eq!(policies.put(KEY, Encryption::SseS3).await, None);
    assert_eq!(policies.put(KEY, Encryption::None).await, refused, "no header");
    assert_eq!(policies.put_with_kms().await, None, "a wrong header is left to the other statement");

    policies.enforce(file, &["ForebayPuts", "DenyOtherEncryption", "DenyMissingEncryption"]).await;
    assert_eq!(policies.put(KEY, Encryption::SseS3).await, None);
    assert_eq!(policies.put(KEY, Encryption::None).await, refused);
    assert_eq!(policies.put_with_kms().await, denied);
    assert_eq!(policies.put("logs/other/1.gz", Encryption::SseS3).await, refused);
}
