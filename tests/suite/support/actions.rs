//! The actions, as named in policies, that a request to S3, STS, KMS, SQS or Lambda needs.

use super::scripted_http::Request;

/// The actions that a request needs at AWS. For an unknown request, an action that nothing grants.
///
/// According to the service authorization reference of each service: `HeadObject` needs `s3:GetObject` (with
/// a version `s3:GetObjectVersion`) and
/// `HeadBucket` `s3:ListBucket`; a put needs separate permissions for tags and for an ACL; under a KMS key,
/// S3 makes a data key on behalf of the caller of the put.
pub(crate) fn actions_of(request: &Request) -> Vec<String> {
    if let Some(target) = request.header("x-amz-target") {
        return match target.split_once('.') {
            Some(("TrentService", action)) => vec![format!("kms:{action}")],
            Some(("AmazonSQS", action)) => vec![format!("sqs:{action}")],
            _ => vec![unknown(request)],
        };
    }
    if request.method == "POST" && path_and_query(request).0 == "/" {
        return match form_value(&request.body, "Action").as_deref() {
            Some(action) => vec![format!("sts:{action}")],
            None => vec![unknown(request)],
        };
    }
    if is_invocation(request) {
        return vec!["lambda:InvokeFunction".to_owned()];
    }
    of_s3(request).unwrap_or_else(|| vec![unknown(request)])
}

/// `Invoke` of any type, also `DryRun` (Lambda API Reference).
fn is_invocation(request: &Request) -> bool {
    let (path, _) = path_and_query(request);
    let function =
        path.strip_prefix("/2015-03-31/functions/").and_then(|rest| rest.strip_suffix("/invocations"));
    request.method == "POST"
        && function.is_some_and(|function| !function.is_empty() && !function.contains('/'))
}

fn of_s3(request: &Request) -> Option<Vec<String>> {
    let (path, query) = path_and_query(request);
    let (_bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path, ""));
    // The client adds this to identify the operation.
    let is_name = |pair: &&str| pair.is_empty() || pair.starts_with("x-id=");
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_name(pair)).collect();
    let plain = rest.is_empty();
    let one = |action: &str| Some(vec![action.to_owned()]);
    match (request.method.as_str(), key.is_empty(), plain) {
        ("HEAD" | "GET", false, false) if matches!(rest[..], [version] if version.starts_with("versionId=")) => {
            one("s3:GetObjectVersion")
        }
        ("GET" | "PUT", false, false) if rest.iter().any(|part| matches!(*part, "tagging" | "tagging=")) => {
            let of_version = if rest.len() > 1 { "Version" } else { "" };
            let does = if request.method == "GET" { "Get" } else { "Put" };
            one(&format!("s3:{does}Object{of_version}Tagging"))
        }
        ("GET" | "PUT", true, false) if matches!(rest[..], ["notification" | "notification="]) => {
            let does = if request.method == "GET" { "Get" } else { "Put" };
            one(&format!("s3:{does}BucketNotification"))
        }
        ("PUT", false, true) => Some(of_put(request)),
        ("HEAD" | "GET", false, true) => one("s3:GetObject"),
        ("DELETE", false, true) => one("s3:DeleteObject"),
        ("HEAD", true, true) => one("s3:ListBucket"),
        ("GET", true, false) if query.contains("list-type=2") => one("s3:ListBucket"),
        _ => None,
    }
}

fn of_put(request: &Request) -> Vec<String> {
    let sent = |name: &str| request.header(name).is_some();
    let mut actions = vec!["s3:PutObject"];
    if sent("x-amz-tagging") {
        actions.push("s3:PutObjectTagging");
    }
    if sent("x-amz-copy-source") {
        // The tags of the object are copied.
        actions.extend(["s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"]);
    }
    if sent("x-amz-acl") || request.headers.keys().any(|name| name.starts_with("x-amz-grant-")) {
        actions.push("s3:PutObjectAcl");
    }
    if request.headers.keys().any(|name| name.starts_with("x-amz-object-lock-")) {
        actions.push("s3:PutObjectRetention");
    }
    if request
        .header("x-amz-server-side-encryption")
        .is_some_and(|algorithm| algorithm.starts_with("aws:kms"))
    {
        actions.push("kms:GenerateDataKey");
    }
    actions.into_iter().map(str::to_owned).collect()
}

fn unknown(request: &Request) -> String {
    format!("unknown: {} {}", request.method, request.target)
}

fn path_and_query(request: &Request) -> (&str, &str) {
    request.target.split_once('?').unwrap_or((&request.target, ""))
}

/// A decoded value of a form, as sent to STS.
pub(crate) fn form_value(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let value = text.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let mut bytes = Vec::new();
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[test]
fn requests_need_the_documented_actions() {
    let check = |method: &str, target: &str, headers: &[(&str, &str)], body: &str, actions: &[&str]| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let (method, target) = (method.to_owned(), target.to_owned());
        let request = Request { method, target, headers, body: body.into() };
        assert_eq!(actions_of(&request), actions, "{request:?}");
    };
    check("PUT", "/lake/a/b.gz?x-id=PutObject", &[], "", &["s3:PutObject"]);
    check("PUT", "/lake/a", &[("x-amz-tagging", "a=b")], "", &["s3:PutObject", "s3:PutObjectTagging"]);
    check("PUT", "/lake/a", &[("x-amz-acl", "x")], "", &["s3:PutObject", "s3:PutObjectAcl"]);
    let kms = [("x-amz-server-side-encryption", "aws:kms")];
    check("PUT", "/lake/a", &kms, "", &["s3:PutObject", "kms:GenerateDataKey"]);
    check("PUT", "/lake/a?tagging", &[], "", &["s3:PutObjectTagging"]);
    check("PUT", "/lake", &[], "", &["unknown: PUT /lake"]);
    check("HEAD", "/lake/a", &[], "", &["s3:GetObject"]);
    check("GET", "/lake/a?versionId=v1&x-id=GetObject", &[], "", &["s3:GetObjectVersion"]);
    check("GET", "/lake/a?tagging&versionId=v1", &[], "", &["s3:GetObjectVersionTagging"]);
    check("GET", "/lake?notification", &[], "", &["s3:GetBucketNotification"]);
    check("PUT", "/lake/?notification", &[], "", &["s3:PutBucketNotification"]);
    check("HEAD", "/lake", &[], "", &["s3:ListBucket"]);
    check("HEAD", "/lake/", &[], "", &["s3:ListBucket"]);
    check("GET", "/lake?list-type=2&prefix=a%2F", &[], "", &["s3:ListBucket"]);
    check("DELETE", "/lake/a?x-id=DeleteObject", &[], "", &["s3:DeleteObject"]);
    let function =
        "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aeu-west-1%3A111122223333%3Afunction%3Af%3Alive";
    check("POST", &format!("{function}/invocations"), &[], "{}", &["lambda:InvokeFunction"]);
    check("POST", &format!("{function}/invocations?Qualifier=7"), &[], "{}", &["lambda:InvokeFunction"]);
    let other = format!("{function}/policy");
    check("POST", &other, &[], "", &[&format!("unknown: POST {other}")]);
    check("POST", "/", &[], "Version=2011-06-15&Action=AssumeRole", &["sts:AssumeRole"]);
    check("POST", "/", &[], "Action=GetCallerIdentity", &["sts:GetCallerIdentity"]);
    check("POST", "/", &[("x-amz-target", "TrentService.DescribeKey")], "{}", &["kms:DescribeKey"]);
    assert_eq!(form_value(b"A=1&RoleArn=arn%3Aaws+x", "RoleArn").as_deref(), Some("arn:aws x"));
}
