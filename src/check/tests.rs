//! Tables from observations of a bucket to the outcome of the check.

use super::access::{self, Credentials, Identity};
use super::bucket::{self, HeadBucket};
use super::finding::{CheckFinding, Outcome};
use super::key::{self, KeyFacts};
use super::object::{self, PutAnswer};
use super::refusal::Refusal;
use super::subject::{Reach, Subject};
use crate::object::{
    AppliedEncryption, BucketString, Encryption, ExternalId, KmsContext, KmsKey, ObjectKey, ObjectTags, Role,
    RoleArn, S3Location, SseKms,
};
use crate::store::reason::{NoAnswer, NoCredentials, Reason};
use crate::store::{Fault, PutMode, StoreError, Stored};
use crate::time::UnixMillis;

use Outcome::{Failed, NotTested, Passed, Warning};

const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

impl Refusal {
    /// An answer with a status, a code unless it is empty, and a message.
    pub(super) fn answered(status: u16, code: &str, message: &str) -> Self {
        let code = Some(code).filter(|code| !code.is_empty());
        StoreError::answered(Fault::Refused, status, code, message).into()
    }

    /// No answer.
    pub(super) fn unanswered(why: NoAnswer) -> Self {
        Self { reason: Reason::NoAnswer(why), status: None, code: None, message: "refused".to_owned() }
    }
}

impl Reach {
    /// As the configuration's defaults reach AWS, or the store at this endpoint.
    pub(super) fn of_test(endpoint_url: Option<&str>) -> Self {
        Self {
            endpoint_url: endpoint_url.map(str::to_owned),
            sts_endpoint_url: None,
            kms_endpoint_url: None,
            checksums: true,
            put: PutMode::CreateOnly,
            content_encoding: true,
            tags: ObjectTags::default(),
            acl: false,
        }
    }
}

struct Rig {
    reach: Reach,
    to: S3Location,
}

impl Rig {
    fn new() -> Self {
        let reach = Reach::of_test(None);
        Self { reach, to: S3Location::new(BucketString::parse("lake").unwrap(), Encryption::SseS3) }
    }

    fn kms(bucket_key: Option<bool>) -> Self {
        let key = KmsKey::parse(KEY).unwrap();
        let encryption = Encryption::Kms(SseKms { key, bucket_key, context: KmsContext::default() });
        let mut rig = Self::new();
        rig.to.encryption = encryption;
        rig
    }

    fn subject(&self) -> Subject<'_> {
        Subject {
            reach: &self.reach,
            location: &self.to,
            process: Some("arn:aws:iam::111122223333:user/collector"),
            region: Some("eu-west-1"),
            is_forebay: false,
            sources: &[],
            external_ids: None,
        }
    }
}

fn ends(what: &str, finding: &CheckFinding, outcome: Outcome, said: &str) {
    assert_eq!(finding.outcome, outcome, "{what}: {finding:?}");
    assert!(finding.found.contains(said), "{what}: {said:?} is missing in {finding:?}");
    let fixed = matches!(outcome, Failed | Warning);
    assert_eq!(!finding.remedies.is_empty(), fixed, "{what}: {finding:?}");
}

fn refusal(status: u16, code: &str) -> Refusal {
    Refusal::answered(status, code, "")
}

fn unreachable() -> Refusal {
    Refusal::unanswered(NoAnswer::Connect)
}

#[test]
fn credentials_and_identity_are_judged() {
    let found = Credentials { access_key_id: "AKIA1".to_owned(), from: Some("a profile") };
    ends("found", &access::credentials(Ok(&found)), Passed, "AKIA1 from a profile");
    let none = Refusal::without_credentials(Reason::NoCredentials(NoCredentials::NoneFound), "none");
    ends("none", &access::credentials(Err(&none)), Failed, "none found: tried environment");
    let check = |what, identity: Identity, outcome, said| {
        ends(what, &access::identity(&identity, "eu-west-1", false), outcome, said);
    };
    let refused = Identity::Refused;
    check("not AWS", Identity::NotAsked, NotTested, "s3.sts_endpoint_url");
    check("named", Identity::Is("arn:x".to_owned()), Passed, "arn:x");
    check("unknown key", refused(refusal(403, "InvalidClientTokenId")), Failed, "InvalidClientTokenId");
    check("ended", refused(refusal(403, "ExpiredToken")), Failed, "ExpiredToken");
    check("forbidden", refused(refusal(403, "AccessDenied")), NotTested, "not required");
    check("away", refused(unreachable()), NotTested, "not required without a role");
    ends("away, needed", &access::identity(&refused(unreachable()), "eu-west-1", true), Failed, "refused");
    check("odd", refused(refusal(400, "Odd")), Failed, "Odd");
}

#[test]
fn a_role_is_judged_with_and_without_its_external_id() {
    let rig = Rig::new();
    let role = Role {
        arn: RoleArn::parse("arn:aws:iam::111122223333:role/writer").unwrap(),
        external_id: ExternalId::parse("web").unwrap(),
    };
    let subject = rig.subject();
    let used = subject.role_use(&role);
    let with = |answer: Result<(), Refusal>| access::role(&used, "eu-west-1", "forebay-n1", &answer);
    ends("given", &with(Ok(())), Passed, "session forebay-n1, asked in eu-west-1");
    ends("denied", &with(Err(refusal(403, "AccessDenied"))), Failed, "AccessDenied");
    ends("region off", &with(Err(refusal(403, "RegionDisabledException"))), Failed, "RegionDisabled");
    ends("away", &with(Err(unreachable())), Failed, "refused");
    let without = |with: Result<(), Refusal>, without: Result<(), Refusal>| {
        access::role_without_external_id(&used, &with, &without)
    };
    ends("kept", &without(Ok(()), Err(refusal(403, "AccessDenied"))), Passed, "as it should be");
    ends("open", &without(Ok(()), Ok(())), Failed, "without an external id");
    ends("odd", &without(Ok(()), Err(refusal(400, "ValidationError"))), NotTested, "does not show");
    ends("no way", &without(Err(refusal(403, "AccessDenied")), Err(refusal(403, ""))), NotTested, "either");
}

#[test]
fn a_bucket_and_its_region_are_judged() {
    let head = |answer: Result<(), Refusal>, region: Option<&str>| HeadBucket {
        asked_in: "eu-west-1".to_owned(),
        answer,
        region: region.map(str::to_owned),
    };
    let check = |what: &str, configured: Option<&str>, head: HeadBucket, exists: Outcome, region: Outcome| {
        let mut rig = Rig::new();
        rig.to.region = configured.map(str::to_owned);
        let (there, at) =
            (bucket::exists(&rig.subject(), &head), bucket::region(&rig.subject(), &head, &head));
        ends(what, &there, exists, "");
        ends(what, &at, region, "");
    };
    let (here, there) = (Some("eu-west-1"), Some("eu-central-1"));
    check("there", None, head(Ok(()), here), Passed, Passed);
    check("as configured", here, head(Ok(()), here), Passed, Passed);
    check("nameless", here, head(Ok(()), None), Passed, Passed);
    check("nameless, not configured", None, head(Ok(()), None), Passed, Failed);
    check("not readable", None, head(Err(refusal(403, "")), here), NotTested, Passed);
    check("elsewhere", here, head(Err(refusal(301, "")), there), NotTested, Warning);
    check("elsewhere, nameless", None, head(Err(refusal(301, "")), None), NotTested, Failed);
    check("no reason", None, head(Err(refusal(400, "")), None), NotTested, NotTested);
    check("missing", here, head(Err(refusal(404, "")), None), Failed, NotTested);
    check("away", None, head(Err(unreachable()), None), Failed, NotTested);
    check("busy", here, head(Err(refusal(503, "")), None), Failed, Passed);
    assert_eq!(head(Err(refusal(400, "")), there).elsewhere(), there);
    assert_eq!(head(Err(refusal(403, "")), there).elsewhere(), None, "a refusal is an answer");
    assert_eq!(
        head(Err(refusal(301, "")), here).elsewhere(),
        None,
        "a redirect to the same region is not an answer"
    );
}

fn stored(algorithm: Option<&str>, key: Option<&str>, bucket_key: bool) -> Stored {
    let applied = AppliedEncryption {
        algorithm: algorithm.map(str::to_owned),
        kms_key: key.map(str::to_owned),
        bucket_key,
    };
    Stored { applied: Some(applied), ..Stored::default() }
}

#[test]
fn the_applied_encryption_is_judged() {
    let check = |what: &str, rig: &Rig, stored: &Stored, outcome, said: &str| {
        ends(what, &object::encryption(&rig.subject(), stored.applied.as_ref()), outcome, said);
    };
    let mut none = Rig::new();
    none.to.encryption = Encryption::None;
    check("as asked", &Rig::new(), &stored(Some("AES256"), None, false), Passed, "AES256");
    check("another", &Rig::new(), &stored(Some("aws:kms"), Some(KEY), false), Failed, "applied aws:kms");
    check("not said", &Rig::new(), &stored(None, None, false), Failed, "does not report");
    check("default", &none, &stored(Some("aws:kms"), Some(KEY), false), Passed, "default");
    check("nothing known", &none, &Stored::default(), NotTested, "does not report");
    check("key", &Rig::kms(None), &stored(Some("aws:kms"), Some(KEY), false), Passed, KEY);
    check("other key", &Rig::kms(None), &stored(Some("aws:kms"), Some("x"), false), Failed, "used x");
    check(
        "bucket key",
        &Rig::kms(Some(true)),
        &stored(Some("aws:kms"), Some(KEY), true),
        Passed,
        "bucket key on",
    );
    check(
        "no bucket key",
        &Rig::kms(Some(true)),
        &stored(Some("aws:kms"), Some(KEY), false),
        Warning,
        "bucket key",
    );
}

#[test]
fn the_test_object_is_judged() {
    let (rig, mut over) = (Rig::new(), Rig::new());
    over.reach.put = PutMode::Overwrite;
    let good = || PutAnswer { answer: Ok(Stored::default()), unconditional: None };
    let unknown =
        PutAnswer { answer: Err(refusal(501, "NotImplemented")), unconditional: Some(Ok(Stored::default())) };
    let refused = PutAnswer { answer: Err(refusal(403, "AccessDenied")), unconditional: None };
    let key = ObjectKey::of_check(&rig.to.bucket, "n1", UnixMillis(1));
    ends("put", &object::put(&rig.subject(), &key, &good()), Passed, "segment-logs/_check/n1-1 is stored");
    ends("put otherwise", &object::put(&rig.subject(), &key, &unknown), Passed, "without the condition");
    ends("refused", &object::put(&rig.subject(), &key, &refused), Failed, "AccessDenied");
    let again = |rig: &Rig, put: &PutAnswer, again: Option<Result<Stored, Refusal>>| {
        object::create_only(&rig.subject(), put, again.as_ref())
    };
    ends("412", &again(&rig, &good(), Some(Err(refusal(412, "")))), Passed, "412");
    ends("200", &again(&rig, &good(), Some(Ok(Stored::default()))), Failed, "ignores the condition");
    ends("409", &again(&rig, &good(), Some(Err(refusal(409, "")))), NotTested, "does not show");
    ends("501", &again(&rig, &unknown, None), Failed, "does not support");
    ends("nothing put", &again(&rig, &refused, None), NotTested, "the put failed");
    ends("overwrite", &again(&over, &good(), None), NotTested, "overwrite");
    ends("read", &object::look(&Ok(7), 7), Passed, "7 bytes");
    ends("shorter", &object::look(&Ok(6), 7), Failed, "6 bytes");
    ends("hidden", &object::look(&Err(refusal(403, "")), 7), NotTested, "not required");
    ends("broken", &object::look(&Err(refusal(500, "")), 7), NotTested, "without");
    let removed = |removal| object::removal(&rig.subject(), &key, &removal);
    ends("removed", &removed(Ok(false)), Passed, "removed");
    ends("versions", &removed(Ok(true)), Passed, "delete marker");
    ends("stays", &removed(Err(refusal(403, "AccessDenied"))), NotTested, "stays");
    let about = |status, code: &str| PutAnswer::may_be_about_the_condition(&refusal(status, code));
    assert!(about(501, "") && about(400, "InvalidArgument") && about(400, "NotImplemented"));
    assert!(!about(403, "AccessDenied") && !about(400, "ExpiredToken") && !about(503, "SlowDown"));
}

#[test]
fn a_kms_key_is_judged() {
    let rig = Rig::kms(None);
    let good = KeyFacts {
        arn: KEY.to_owned(),
        state: "Enabled".to_owned(),
        usage: "ENCRYPT_DECRYPT".to_owned(),
        spec: "SYMMETRIC_DEFAULT".to_owned(),
        deletion: None,
    };
    let state = |answer: Result<KeyFacts, Refusal>, put| key::state(&rig.subject(), &answer, put);
    ends("enabled", &state(Ok(good.clone()), true), Passed, KEY);
    for (name, said) in [
        ("Disabled", "is disabled"),
        ("PendingDeletion", "pending deletion"),
        ("PendingReplicaDeletion", "pending deletion"),
        ("PendingImport", "no key material"),
        ("Unavailable", "custom key store"),
        ("Creating", "not ready"),
        ("Updating", "not ready"),
        ("Novel", "in the state Novel"),
    ] {
        ends(name, &state(Ok(KeyFacts { state: name.to_owned(), ..good.clone() }), true), Failed, said);
    }
    let elsewhere = KeyFacts { arn: KEY.replace("eu-west-1", "us-east-1"), ..good.clone() };
    ends("elsewhere", &state(Ok(elsewhere), false), Failed, "is in us-east-1 and the bucket in eu-west-1");
    ends(
        "asymmetric",
        &state(Ok(KeyFacts { spec: "RSA_2048".to_owned(), ..good }), false),
        Failed,
        "RSA_2048",
    );
    let denied = || refusal(400, "AccessDeniedException");
    ends("denied, put", &state(Err(denied()), true), NotTested, "the put with this key succeeded");
    ends("denied, not put", &state(Err(denied()), false), NotTested, "the put with the key failed");
    ends("away", &state(Err(unreachable()), true), NotTested, "only S3 needs to reach it");
    let expired = || Err(refusal(400, "ExpiredTokenException"));
    ends("ended, put", &state(expired(), true), Warning, "the put with this key succeeded");
    ends("ended, not put", &state(expired(), false), Failed, "ExpiredToken");
    ends("unknown", &state(Err(refusal(400, "NotFoundException")), false), Failed, "NotFound");
    let usable = |answer: Result<(), Refusal>| key::usable(&rig.subject(), &answer, true);
    ends("dry run", &usable(Err(refusal(400, "DryRunOperationException"))), Passed, "can be generated");
    ends("done", &usable(Ok(())), Passed, "can be generated");
    ends("off", &usable(Err(refusal(400, "DisabledException"))), Failed, "Disabled");
    ends("denied", &usable(Err(denied())), NotTested, "the put with this key succeeded");
}
