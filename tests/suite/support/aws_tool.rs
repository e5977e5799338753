//! Administration of an AWS emulator (users, roles, policies) with the AWS library for Python, so that the
//! set-up of tests shares no code with the program under test.

use std::process::Command;

use serde_json::{Value, json};

use super::ministack::Ministack;
use super::tools::{in_venv, stdout_of};

/// One operation: endpoint, service, access key, secret, name of the operation, parameters as JSON. Prints
/// the answer as JSON, or the error under `Error`.
const CALL: &str = r"
import boto3, botocore.exceptions, json, sys
endpoint, service, key, secret, operation, parameters = sys.argv[1:]
client = boto3.client(service, endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id=key,
                      aws_secret_access_key=secret)
try:
    answer = getattr(client, operation)(**json.loads(parameters))
except botocore.exceptions.ClientError as error:
    answer = error.response
answer.pop('ResponseMetadata', None)
print(json.dumps(answer, default=str))
";

/// A user of the emulator, with an access key.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Identity {
    /// The environment variables that give the program these credentials.
    pub(crate) fn credentials(&self) -> [(&str, &str); 2] {
        [("AWS_ACCESS_KEY_ID", &self.id), ("AWS_SECRET_ACCESS_KEY", &self.secret)]
    }
}

/// Calls an operation of an emulator with an access key.
///
/// # Errors
///
/// The error code.
pub(crate) async fn call(
    url: &str,
    (id, secret): (&str, &str),
    service: &str,
    operation: &str,
    parameters: Value,
) -> Result<Value, String> {
    let mut command = Command::new(in_venv("python").expect("ministack's own Python"));
    command.args(["-c", CALL, url, service, id, secret, operation, &parameters.to_string()]);
    let answer: Value = serde_json::from_str(&stdout_of(command).await).expect("JSON");
    match answer["Error"]["Code"].as_str() {
        Some(code) => Err(code.to_owned()),
        None => Ok(answer),
    }
}

impl Ministack {
    /// Calls an operation as a user, or as the administrator.
    ///
    /// # Errors
    ///
    /// The error code.
    pub(crate) async fn call(
        &self,
        user: Option<&Identity>,
        service: &str,
        operation: &str,
        parameters: Value,
    ) -> Result<Value, String> {
        let key = user.map_or((Self::ROOT, Self::ROOT), |user| (&user.id, &user.secret));
        call(&self.url(), key, service, operation, parameters).await
    }

    /// Calls an operation as the administrator; it must succeed.
    pub(crate) async fn admin(&self, service: &str, operation: &str, parameters: Value) -> Value {
        let what = format!("{service} {operation} {parameters}");
        self.call(None, service, operation, parameters).await.unwrap_or_else(|code| panic!("{what}: {code}"))
    }

    /// Makes a user without any policy.
    pub(crate) async fn make_user(&self, name: &str) -> Identity {
        let user = self.admin("iam", "create_user", json!({ "UserName": name })).await;
        let key = self.admin("iam", "create_access_key", json!({ "UserName": name })).await;
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        Identity {
            arn: text(&user["User"]["Arn"]),
            id: text(&key["AccessKey"]["AccessKeyId"]),
            secret: text(&key["AccessKey"]["SecretAccessKey"]),
        }
    }

    /// Gives a user a policy of its own.
    pub(crate) async fn allow(&self, user: &str, policy: &Value) {
        let policy = json!({ "UserName": user, "PolicyName": "may", "PolicyDocument": policy.to_string() });
        self.admin("iam", "put_user_policy", policy).await;
    }

    /// Makes a role with a trust policy and permissions. Returns its ARN.
    pub(crate) async fn make_role(&self, name: &str, trust: &Value, may: &Value) -> String {
        let role = json!({ "RoleName": name, "AssumeRolePolicyDocument": trust.to_string() });
        let made = self.admin("iam", "create_role", role).await;
        let policy = json!({ "RoleName": name, "PolicyName": "may", "PolicyDocument": may.to_string() });
        self.admin("iam", "put_role_policy", policy).await;
        made["Role"]["Arn"].as_str().expect("an ARN").to_owned()
    }

    /// Replaces a role's trust policy.
    pub(crate) async fn trust(&self, role: &str, trust: &Value) {
        let policy = json!({ "RoleName": role, "PolicyDocument": trust.to_string() });
        self.admin("iam", "update_assume_role_policy", policy).await;
    }

    /// Sets a bucket policy.
    pub(crate) async fn bucket_policy(&self, bucket: &str, policy: &Value) {
        self.admin("s3", "put_bucket_policy", json!({ "Bucket": bucket, "Policy": policy.to_string() }))
            .await;
    }
}
