//! The answers of a sound AWS, as documented, to each request of a check: the store, the token service and
//! the key service at one address.

use serde_json::{Value, json};

use crate::support::scripted_http::{Reply, Request};

pub(super) const ARN: &str = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const WHO: &str = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
    <GetCallerIdentityResult>\
    <Arn>arn:aws:iam::111122223333:user/collector</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>";

/// The kind of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    WhoAmI,
    AssumeRole {
        with_id: bool,
    },
    HeadBucket,
    Put,
    PutAgain,
    /// With a wrong checksum.
    PutWrong,
    Head,
    Delete,
    DescribeKey,
    GenerateDataKey,
}

pub(super) fn asked(request: &Request, stored: usize) -> Asked {
    let body = String::from_utf8_lossy(&request.body).into_owned();
    let is_object = request.target.contains("/segment-logs/_check/");
    match (request.method.as_str(), request.header("x-amz-target")) {
        (_, Some("TrentService.DescribeKey")) => Asked::DescribeKey,
        (_, Some("TrentService.GenerateDataKey")) => Asked::GenerateDataKey,
        ("POST", _) if body.contains("Action=GetCallerIdentity") => Asked::WhoAmI,
        ("POST", _) if body.contains("Action=AssumeRole") => {
            Asked::AssumeRole { with_id: body.contains("ExternalId=") }
        }
        ("HEAD", _) if is_object => Asked::Head,
        ("HEAD", _) => Asked::HeadBucket,
        ("PUT", _) if !is_object || request.target.contains("-checksum") => Asked::PutWrong,
        ("PUT", _) if is_object && stored > 0 => Asked::PutAgain,
        ("PUT", _) if is_object => Asked::Put,
        ("DELETE", _) if is_object => Asked::Delete,
        other => panic!("{other:?} {}", request.target),
    }
}

/// The answer of a sound AWS.
pub(super) fn sound(asked: Asked, request: &Request) -> Reply {
    let json_answer = |status, value: Value| Reply::Answer {
        status,
        headers: vec![("content-type".to_owned(), "application/x-amz-json-1.1".to_owned())],
        body: value.to_string(),
    };
    match asked {
        Asked::WhoAmI => Reply::Answer { status: 200, headers: Vec::new(), body: WHO.to_owned() },
        Asked::AssumeRole { with_id: true } => Reply::Answer {
            status: 200,
            headers: Vec::new(),
            body: "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
                   <Credentials>\
                   <AccessKeyId>ASIASESSION</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
                   <SessionToken>t</SessionToken>\
                   <Expiration>2999-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"
                .to_owned(),
        },
        Asked::AssumeRole { with_id: false } => sts_error(403, "AccessDenied"),
        Asked::HeadBucket => Reply::status(200).with("x-amz-bucket-region", "us-east-1"),
        Asked::Put => {
            let applied = request.header("x-amz-server-side-encryption").unwrap_or("AES256").to_owned();
            let reply = Reply::status(200).with("etag", "\"x\"").with("x-amz-server-side-encryption", &applied);
            match request.header("x-amz-server-side-encryption-aws-kms-key-id") {
                Some(key) => reply.with("x-amz-server-side-encryption-aws-kms-key-id", key),
                None => reply,
            }
        }
        Asked::PutWrong => Reply::s3_error(400, "BadDigest"),
        Asked::PutAgain => Reply::s3_error(412, "PreconditionFailed"),
        Asked::Head | Asked::Delete => Reply::status(403),
        Asked::DescribeKey => json_answer(200, json!({ "KeyMetadata": key("Enabled") })),
        Asked::GenerateDataKey => kms_error("DryRunOperationException"),
    }
}

pub(super) fn key(state: &str) -> Value {
    json!({
        "Arn": ARN, "KeyId": "1234abcd-12ab-34cd-56ef-1234567890ab", "KeyState": state, "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT", "Enabled": state == "Enabled"
    })
}

pub(super) fn kms_error(code: &str) -> Reply {
    Reply::Answer {
        status: 400,
        headers: vec![("content-type".to_owned(), "application/x-amz-json-1.1".to_owned())],
        body: json!({ "__type": code, "message": "scripted" }).to_string(),
    }
}

pub(super) fn sts_error(status: u16, code: &str) -> Reply {
    let body = format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender</Type>\
         <Code>{code}</Code>\
         <Message>scripted</Message></Error></ErrorResponse>"
    );
    Reply::Answer { status, headers: vec![("content-type".to_owned(), "text/xml".to_owned())], body }
}
