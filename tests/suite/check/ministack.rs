//! Against ministack, which checks signatures, evaluates policies with their conditions, and compares
//! external ids.

use std::process::Command;

use serde_json::{Value, json};

use super::{Ran, Setup, expect, paste};
use crate::support::bucket::Bucket;
use crate::support::tools::{Ministack, in_venv, stdout_of};

const BUCKET: &str = "events-raw";
/// The resource that covers every object put here.
const OBJECTS: &str = "arn:aws:s3:::events-raw/logs/segment-logs/*";

/// Creates users, roles, keys and bucket policies, as described by a JSON argument; prints their ids as JSON.
const MAKE: &str = r"
import boto3, json, sys
ask = json.loads(sys.argv[2])
def client(service):
    return boto3.client(service, endpoint_url=sys.argv[1], region_name='us-east-1',
                        aws_access_key_id='test', aws_secret_access_key='test')
iam, s3, kms = client('iam'), client('s3'), client('kms')
said = {}
for name, policy in ask.get('users', {}).items():
    said[name] = iam.create_user(UserName=name)['User']['Arn']
    key = iam.create_access_key(UserName=name)['AccessKey']
    said[name + '.key'] = [key['AccessKeyId'], key['SecretAccessKey']]
    if policy:
        iam.put_user_policy(UserName=name, PolicyName='p', PolicyDocument=json.dumps(policy))
for name, (trust, policy) in ask.get('roles', {}).items():
    role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    said[name] = role['Role']['Arn']
    iam.put_role_policy(RoleName=name, PolicyName='p', PolicyDocument=json.dumps(policy))
for name, trust in ask.get('trusts', {}).items():
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
for name in ask.get('keys', []):
    said[name] = kms.create_key()['KeyMetadata']['Arn']
for key in ask.get('disable', []):
    kms.disable_key(KeyId=key)
for bucket, policy in ask.get('buckets', {}).items():
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
print(json.dumps(said))
";

/// A running ministack with the bucket and a user without rights.
struct Aws {
    server: Ministack,
    bucket: Bucket,
    user: String,
    key: (String, String),
}

impl Aws {
    /// `policy`: the policy of the user, or null.
    async fn start(policy: Value) -> Option<Self> {
        let server = Ministack::start().await?;
        let bucket = server.make_bucket(BUCKET).await;
        let mut aws = Self { server, bucket, user: String::new(), key: Default::default() };
        let said = aws.make(json!({ "users": { "collector": policy } })).await?;
        aws.user = said["collector"].as_str().unwrap().to_owned();
        let key = |index: usize| said["collector.key"][index].as_str().unwrap().to_owned();
        aws.key = (key(0), key(1));
        Some(aws)
    }

    async fn make(&self, ask: Value) -> Option<Value> {
        let mut command = Command::new(in_venv("python")?);
        command.args(["-c", MAKE, &self.server.url(), &ask.to_string()]);
        Some(serde_json::from_str(&stdout_of(command).await).unwrap())
    }

    async fn bucket_policy(&self, statements: Value) {
        self.make(json!({ "buckets": { BUCKET: policy(statements) } })).await.unwrap();
    }

    fn setup(&self) -> Setup {
        Setup::new(&self.server.recorder.url(), &self.key.0, &self.key.1)
            .s3(&format!("bucket = \"{BUCKET}/logs\""))
    }

    fn puts(&self) -> Value {
        json!({ "Effect": "Allow", "Principal": { "AWS": self.user }, "Action": "s3:PutObject", "Resource": OBJECTS })
    }
}

fn policy(statements: Value) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

/// The rights of a collector, plus the rights to read objects and to remove the objects of `check`.
fn full() -> Value {
    policy(json!([
        { "Effect": "Allow", "Action": ["s3:PutObject", "s3:GetObject"], "Resource": OBJECTS },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::events-raw" },
        {
            "Effect": "Allow",
            "Action": "s3:DeleteObject",
            "Resource": "arn:aws:s3:::events-raw/logs/segment-logs/_check/*"
        },
        { "Effect": "Allow", "Action": ["kms:DescribeKey", "kms:GenerateDataKey", "sts:AssumeRole"], "Resource": "*" },
    ]))
}

fn trust(user: &str, external_id: Option<&str>) -> Value {
    let mut statement =
        json!({ "Effect": "Allow", "Principal": { "AWS": user }, "Action": "sts:AssumeRole" });
    if let Some(id) = external_id {
        statement["Condition"] = json!({ "StringEquals": { "sts:ExternalId": id } });
    }
    policy(json!([statement]))
}

fn outcomes(ran: &Ran, outcome: &str) -> Vec<String> {
    let of = |finding: &&Value| finding["outcome"] == outcome;
    ran.findings().iter().filter(of).map(|finding| finding["check"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_sound_setup_passes_every_check_and_leaves_nothing() {
    let Some(aws) = Aws::start(full()).await else { return };
    let user = aws.user.clone();
    let roles = json!({ "writer": [trust(&user, Some("web")), full()] });
    let said = aws.make(json!({ "roles": roles, "keys": ["key"] })).await.unwrap();
    let (role, key) = (said["writer"].as_str().unwrap(), said["key"].as_str().unwrap());
    let setup = aws
        .setup()
        .source("web", &format!("role_arn = \"{role}\"\nencryption = {{ kms = \"{key}\" }}"))
        .source("ios", "")
        .source("android", "");
    let ran = setup.run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    // The folder of the test may be on any file system.
    let of_the_machine = |check: &String| check.starts_with("spool_");
    assert_eq!(outcomes(&ran, "not_tested"), [""; 0]);
    assert!(outcomes(&ran, "warning").iter().all(of_the_machine), "{}", ran.text);

    expect(ran.of("identity"), "passed", &[&user]);
    expect(ran.of("role"), "passed", &[role, "external id web", "forebay-check"]);
    expect(ran.of("role_without_external_id"), "passed", &["is refused"]);
    for source in ["web", "ios", "android"] {
        for check in ["bucket", "region", "put", "encryption", "create_only", "folders", "look", "cleanup"] {
            expect(ran.for_source(source, check), "passed", &[]);
        }
    }
    expect(ran.for_source("web", "encryption"), "passed", &["aws:kms", key]);
    expect(ran.for_source("ios", "encryption"), "passed", &["AES256"]);
    expect(ran.of("kms_key"), "passed", &[key]);
    expect(ran.of("kms_use"), "passed", &[]);
    let puts = ran.findings().iter().filter(|finding| finding["check"] == "put").count();
    assert_eq!(puts, 2, "two sources of one destination are checked once");
    expect(ran.of("clock"), "passed", &[]);
    assert_eq!(aws.bucket.keys("").await, [""; 0], "the test objects are removed");
}

#[tokio::test]
async fn the_right_to_put_objects_suffices() {
    let Some(aws) = Aws::start(Value::Null).await else { return };
    aws.bucket_policy(json!([aws.puts()])).await;
    let setup = aws.setup().source("web", "");
    let ran = setup.run().await;
    assert_eq!(ran.code, 0, "{}", ran.text);
    expect(ran.of("bucket"), "not_tested", &["not required"]);
    expect(ran.of("put"), "passed", &[]);
    expect(ran.of("encryption"), "passed", &["AES256"]);
    expect(ran.of("create_only"), "passed", &["412"]);
    expect(ran.of("folders"), "passed", &["the folders of the source are writable"]);
    expect(ran.of("look"), "not_tested", &["not required"]);
    expect(ran.of("cleanup"), "not_tested", &["the test object stays"]);
    let keys = aws.bucket.keys("").await;
    assert_eq!(keys.len(), 1);
    let millis = keys[0].strip_prefix("logs/segment-logs/_check/check-").unwrap();
    assert!(millis.parse::<u64>().unwrap() > 1_700_000_000_000);
    let object = aws.bucket.object(&keys[0]).await;
    assert_eq!(object.content_type.as_deref(), Some("text/plain"));
    assert_eq!(object.content_encoding.as_deref(), Some("gzip"));
    assert_eq!(object.metadata["forebay-calls"], "1");
    let line: Value = serde_json::from_str(&object.text()).unwrap();
    assert_eq!((&line["type"], &line["node"]), (&json!("check"), &json!("check")));
}

#[tokio::test]
async fn a_policy_that_denies_one_folder_of_a_source_is_found() {
    let Some(aws) = Aws::start(Value::Null).await else { return };
    let denied = |folder: &str| {
        json!({
            "Sid": "Deny", "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject",
            "Resource": format!("arn:aws:s3:::events-raw/logs/segment-logs/{folder}/*"),
        })
    };
    let setup = aws.setup().source("web", "").source("ios", "");
    for folder in ["ios", "_closed/ios", "_rejected/web"] {
        aws.bucket_policy(json!([aws.puts(), denied(folder)])).await;
        let ran = setup.run().await;
        assert_eq!(ran.code, 1, "{}", ran.text);
        expect(ran.of("put"), "passed", &[]);
        expect(
            ran.of("folders"),
            "failed",
            &[&format!("logs/segment-logs/{folder}/"), "cannot be written to: 403 AccessDenied"],
        );
    }
    let keys = aws.bucket.keys("").await;
    assert!(
        keys.iter().all(|key| key.starts_with("logs/segment-logs/_check/")),
        "nothing is stored: {keys:?}"
    );

    aws.bucket_policy(json!([aws.puts()])).await;
    let ran = setup.run().await;
    expect(ran.of("folders"), "passed", &["all 2 sources are writable"]);
}

#[tokio::test]
async fn the_printed_remedy_fixes_a_refused_put() {
    let Some(aws) = Aws::start(Value::Null).await else { return };
    let setup = aws.setup().source("web", "");
    let ran = setup.run().await;
    let put = ran.of("put");
    expect(
        put,
        "failed",
        &["403 AccessDenied", "PutObject events-raw/logs/segment-logs/_check/", OBJECTS, &aws.user],
    );
    for check in ["encryption", "create_only", "folders", "look", "cleanup"] {
        expect(ran.of(check), "not_tested", &["the put failed"]);
    }
    let statement: Value = serde_json::from_str(paste(put, "grant s3:PutObject")).unwrap();
    aws.bucket_policy(json!([statement])).await;
    let fixed = setup.run().await;
    assert_eq!(fixed.code, 0, "{}", fixed.text);
}

#[tokio::test]
async fn a_bucket_that_requires_another_encryption_is_distinguished_from_a_missing_right() {
    let Some(aws) = Aws::start(Value::Null).await else { return };
    let deny = json!({
        "Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": OBJECTS,
        "Condition": { "StringNotEquals": { "s3:x-amz-server-side-encryption": "aws:kms" } }
    });
    aws.bucket_policy(json!([aws.puts(), deny])).await;
    let ran = aws.setup().source("web", "").run().await;
    let put = ran.of("put");
    expect(put, "failed", &["explicit deny", "denies this put explicitly", "encryption sse-s3"]);
    assert!(!put.to_string().contains("\\\"Effect\\\": \\\"Allow\\\""), "no right is missing: {put}");
    assert!(paste(put, "explicitly").contains("encryption = { kms ="), "{put}");
    let ran = aws.setup().source("web", "encryption = \"kms:alias/events\"").run().await;
    expect(ran.of("put"), "passed", &[]);
}

#[tokio::test]
async fn a_missing_bucket_and_wrong_credentials_are_found() {
    let Some(aws) = Aws::start(full()).await else { return };
    let ran = aws.setup().source("web", "bucket = \"no-such-bucket\"").source("ios", "").run().await;
    expect(
        ran.for_source("web", "bucket"),
        "failed",
        &["404", "aws s3api create-bucket --bucket no-such-bucket"],
    );
    expect(ran.for_source("web", "put"), "not_tested", &["the bucket does not exist"]);
    expect(ran.for_source("ios", "put"), "passed", &[]);
    let only = aws.setup().source("web", "bucket = \"no-such-bucket\"").source("ios", "");
    assert_eq!(only.run_with(&["--source", "ios"]).await.code, 0, "the other source is not checked");

    let mut unknown = aws.setup().source("web", "");
    unknown.credentials = Some(("AKIANOSUCHKEY0000000".to_owned(), "no-such-secret".to_owned()));
    let ran = unknown.run().await;
    expect(ran.of("credentials"), "passed", &["AKIANOSUCHKEY0000000", "the environment"]);
    assert_eq!(ran.code, 1, "{}", ran.text);
    expect(ran.of("put"), "failed", &["InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"]);
}

#[tokio::test]
async fn a_role_is_assumed_only_with_its_external_id() {
    let Some(aws) = Aws::start(full()).await else { return };
    let user = aws.user.clone();
    let roles =
        json!({ "strict": [trust(&user, Some("web")), full()], "loose": [trust(&user, None), full()] });
    let said = aws.make(json!({ "roles": roles })).await.unwrap();
    let of = |name: &str| format!("role_arn = \"{}\"", said[name].as_str().unwrap());

    let ran = aws.setup().source("ios", &of("strict")).run().await;
    expect(ran.of("role"), "failed", &["AccessDenied", "external id ios"]);
    expect(ran.of("role_without_external_id"), "not_tested", &["cannot be assumed"]);
    expect(ran.of("put"), "not_tested", &["the role cannot be assumed"]);

    let ran = aws.setup().source("web", &of("loose")).run().await;
    expect(ran.of("role"), "passed", &[]);
    expect(ran.of("put"), "passed", &[]);
    let loose = ran.of("role_without_external_id");
    expect(loose, "failed", &["without an external id"]);
    let statement: Value = serde_json::from_str(paste(loose, "trust policy")).unwrap();
    aws.make(json!({ "trusts": { "loose": policy(json!([statement])) } })).await.unwrap();
    assert_eq!(aws.setup().source("web", &of("loose")).run().await.code, 0, "the printed remedy fixes it");

    // Two sources share the role: the printed remedy has both ids, so that fixing one does not break the
    // other.
    let shared = aws.setup().source("web", &of("strict")).source("ios", &of("strict"));
    let ran = shared.run().await;
    expect(ran.for_source("web", "role"), "passed", &[]);
    let refused = ran.for_source("ios", "role");
    expect(refused, "failed", &[]);
    let statement: Value = serde_json::from_str(paste(refused, "trust policy")).unwrap();
    aws.make(json!({ "trusts": { "strict": policy(json!([statement])) } })).await.unwrap();
    let fixed = shared.run().await;
    assert_eq!(fixed.code, 0, "{}", fixed.text);
}

#[tokio::test]
async fn a_disabled_key_is_found() {
    let Some(aws) = Aws::start(full()).await else { return };
    let said = aws.make(json!({ "keys": ["key"] })).await.unwrap();
    let key = said["key"].as_str().unwrap();
    aws.make(json!({ "disable": [key] })).await.unwrap();
    let ran = aws.setup().source("web", &format!("encryption = \"kms:{key}\"")).run().await;
    expect(ran.of("kms_key"), "failed", &["is disabled", &format!("aws kms enable-key --key-id {key}")]);
    expect(ran.of("kms_use"), "failed", &["DisabledException", "enable-key"]);
    let nobody = "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000";
    let ran = aws.setup().source("web", &format!("encryption = \"kms:{nobody}\"")).run().await;
    expect(ran.of("kms_key"), "failed", &["NotFoundException", "list-aliases"]);
}
