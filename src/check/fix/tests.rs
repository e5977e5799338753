//! Tables from error codes to remedies.

use super::super::subject::Reach;
use super::*;
use crate::object::{BucketString, KmsContext, KmsKey, ObjectTags, S3Location, SseKms};
use crate::sources::SourceId;
use crate::store::reason::NoCredentials;

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

fn reach() -> Reach {
    Reach::of_test(None)
}

fn to(encryption: Encryption) -> S3Location {
    S3Location::new(BucketString::parse("lake/raw").unwrap(), encryption)
}

/// The text of all remedies for a put with this answer.
fn fixed(reach: &Reach, to: &S3Location, status: u16, code: &str, message: &str) -> String {
    fixed_where(reach, to, false, &Refusal::answered(status, code, message))
}

/// Like [`fixed`], for any refusal. `unconditional`: the put without the condition got the same answer.
fn fixed_where(reach: &Reach, to: &S3Location, unconditional: bool, refusal: &Refusal) -> String {
    let subject = Subject {
        reach,
        location: to,
        process: Some("arn:aws:sts::111122223333:assumed-role/forebay/i-1"),
        region: Some("eu-west-1"),
        is_forebay: false,
        sources: &[],
        external_ids: None,
    };
    let remedies = put(&subject, refusal, unconditional);
    assert!(!remedies.is_empty(), "{refusal}: there is no remedy");
    remedies.iter().map(|r| format!("{}\n{}\n", r.text, r.paste.as_deref().unwrap_or(""))).collect()
}

#[test]
fn each_error_code_has_its_remedy() {
    let (plain, sse) = (reach(), to(Encryption::SseS3));
    let check = |status, code: &str, said: &str| {
        let text = fixed(&plain, &sse, status, code, "");
        assert!(text.contains(said), "{status} {code}: {text}");
    };
    check(403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID");
    check(403, "SignatureDoesNotMatch", "secret key");
    check(403, "RequestTimeTooSkewed", "set-ntp");
    check(400, "ExpiredToken", "has expired");
    check(400, "InvalidToken", "AWS_SESSION_TOKEN");
    check(
        404,
        "NoSuchBucket",
        "create-bucket --bucket lake --region eu-west-1 --create-bucket-configuration",
    );
    // MinIO's code for an unknown key.
    check(404, "kms:KeyNotFound", "the key does not exist");
    check(301, "PermanentRedirect", "region = \"eu-west-1\"");
    check(400, "AuthorizationHeaderMalformed", "region = \"eu-west-1\"");
    check(400, "AccessControlListNotSupported", "# acl");
    check(501, "NotImplemented", "put = \"overwrite\"");
    check(400, "KMS.DisabledException", "enable-key");
    check(400, "KMS.NotFoundException", "list-aliases --region eu-west-1");
    check(400, "KMS.KMSInvalidStateException", "describe-key");
    check(503, "SlowDown", "busy");
    check(500, "InternalError", "busy");
    check(412, "PreconditionFailed", "already exists");
    check(400, "BadDigest", "when-required");
}

#[test]
fn useless_remedies_are_not_suggested() {
    let refusal = Refusal::answered(501, "NotImplemented", "");
    let (plain, sse) = (reach(), to(Encryption::SseS3));
    let text = fixed_where(&plain, &sse, true, &refusal);
    assert!(text.contains("when-required") && !text.contains("put ="), "{text}");
    // For an unknown KMS key, Ceph answers that the access key is unknown.
    let key = SseKms { key: KmsKey::parse(KEY).unwrap(), bucket_key: None, context: KmsContext::default() };
    let text = fixed(&plain, &to(Encryption::Kms(key)), 403, "InvalidAccessKeyId", "");
    assert!(
        text.contains(KEY) && text.contains("encryption = ") && !text.contains("AWS_ACCESS_KEY_ID"),
        "{text}"
    );
}

#[test]
fn a_denied_put_names_the_missing_right() {
    let kms = Encryption::Kms(SseKms {
        key: KmsKey::parse(KEY).unwrap(),
        bucket_key: None,
        context: KmsContext::default(),
    });
    let all = Reach { tags: ObjectTags { source: true, day: false }, acl: true, ..reach() };
    let denied = |message: &str| fixed(&all, &to(kms.clone()), 403, "AccessDenied", message);
    let of = |action: &str| {
        denied(&format!("User: x is not authorized to perform: {action} on resource: y because no"))
    };
    let has = |text: &str, all: &[&str], none: &[&str]| {
        all.iter().for_each(|word| assert!(text.contains(word), "{word} is missing in {text}"));
        none.iter().for_each(|word| assert!(!text.contains(word), "{word} in {text}"));
    };
    let puts = [
        "\"s3:PutObject\"",
        "arn:aws:s3:::lake/raw/segment-logs/*",
        "\"AWS\": \"arn:aws:iam::111122223333:role/forebay\"",
    ];
    has(&of("s3:PutObject"), &puts, &["PutObjectTagging\"", "kms:GenerateDataKey"]);
    has(&of("s3:PutObjectTagging"), &["\"s3:PutObjectTagging\""], &["\"s3:PutObject\""]);
    has(&of("s3:PutObjectAcl"), &["\"s3:PutObjectAcl\""], &["\"s3:PutObject\""]);
    has(&of("kms:GenerateDataKey"), &["kms:GenerateDataKey", "kms:ViaService", KEY], &["\"s3:PutObject\""]);
    has(
        &denied("Access Denied"),
        &["\"s3:PutObject\"", "PutObjectTagging", "PutObjectAcl", "kms:GenerateDataKey"],
        &[],
    );
    let explicit =
        denied("not authorized to perform: s3:PutObject with an explicit deny in a resource-based policy");
    has(&explicit, &["denies this put explicitly", "encryption = \"sse-s3\""], &["\"Effect\": \"Allow\""]);
}

#[test]
fn missing_answers_have_remedies() {
    let check = |reason: Reason, said: &str| {
        let text = common(Service::Store, &Refusal::without_credentials(reason, "")).unwrap_or_default();
        assert!(text.iter().any(|remedy| remedy.text.contains(said)), "{reason:?}: {text:?}");
    };
    check(Reason::NoAnswer(NoAnswer::Connect), "nothing listens");
    check(Reason::NoAnswer(NoAnswer::Name), "s3.endpoint_url");
    check(Reason::NoAnswer(NoAnswer::Tls), "SSL_CERT_FILE");
    check(Reason::NoAnswer(NoAnswer::Tls), "http://");
    check(Reason::NoAnswer(NoAnswer::Broke), "https://");
    check(Reason::NoAnswer(NoAnswer::Timeout), "--timeout");
    check(Reason::NoCredentials(NoCredentials::NoneFound), "credentials");
    check(Reason::NoAnswer(NoAnswer::Broke), "broke");
}

#[test]
fn a_setting_is_printed_in_the_table_where_it_takes_effect() {
    let (web, ios) = (SourceId::new("web").unwrap(), SourceId::new("ios").unwrap());
    let (reach, location) = (reach(), to(Encryption::SseS3));
    let pasted = |sources: &[SourceId]| {
        let subject = Subject {
            reach: &reach,
            location: &location,
            process: None,
            region: None,
            is_forebay: false,
            sources,
            external_ids: None,
        };
        subject.setting("encryption = \"none\"")
    };
    let of_one = pasted(std::slice::from_ref(&web));
    // A second table of the source would not load.
    assert!(
        of_one.starts_with("[s3]  # or in the table of source web ") && !of_one.contains("[["),
        "{of_one}"
    );
    assert!(of_one.ends_with("\nencryption = \"none\""), "{of_one}");
    assert!(pasted(&[web, ios]).starts_with("[s3]  # or in the table of each source"));
}

#[test]
fn a_put_over_plain_http_may_be_refused_for_missing_tls() {
    let clear = Reach { endpoint_url: Some("http://lake.internal".to_owned()), ..reach() };
    let text = fixed(&clear, &to(Encryption::SseS3), 403, "AccessDenied", "with an explicit deny");
    assert!(text.contains("over plain HTTP") && text.contains("endpoint_url = \"https://…\""), "{text}");
    let text = fixed(&reach(), &to(Encryption::SseS3), 403, "AccessDenied", "with an explicit deny");
    assert!(!text.contains("HTTP"), "{text}");
}
