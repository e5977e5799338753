//! All checks of one bucket, in order: role, bucket, region, the test object, the key.

use std::collections::{BTreeMap, BTreeSet};

use aws_credential_types::Credentials as Secrets;

use super::access::{self, Identity};
use super::bucket::{self, HeadBucket};
use super::clock::Reading;
use super::finding::{CheckFinding, Trial};
use super::folders::{self, Answers};
use super::key;
use super::object::{self, PutAnswer};
use super::probe;
use super::probe::aws::Aws;
use super::refusal::Refusal;
use super::report::Group;
use super::specimen;
use super::subject::{LocationUnderCheck, Reach, Subject};
use super::surroundings;
use crate::arn::partition_of;
use crate::object::{ExternalId, ObjectKey, RoleArn, SseKms};
use crate::store::region::DEFAULT_REGION;
use crate::store::{Body, Put, PutMode};
use crate::time::UnixMillis;

/// Everything that the checks of all buckets share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) aws: Aws,
    pub(super) reach: Reach,
    pub(super) node: String,
    pub(super) session: String,
    /// `Err`: there are no credentials, so nothing can be asked.
    pub(super) credentials: Result<(), Refusal>,
    pub(super) identity: Identity,
    /// The external ids for each role.
    pub(super) external_ids: BTreeMap<RoleArn, BTreeSet<ExternalId>>,
}

/// The checks in their order, to report those that cannot be run.
const OF_A_ROLE: [&str; 2] = ["role", "role_without_external_id"];
const OF_A_BUCKET: [&str; 8] =
    ["bucket", "region", "put", "encryption", "create_only", "folders", "look", "cleanup"];
const OF_A_KEY: [&str; 2] = ["kms_key", "kms_use"];

struct Visit<'a> {
    common: &'a Common,
    under_check: &'a LocationUnderCheck,
    findings: Vec<CheckFinding>,
    reading: Option<Reading>,
    /// Whether the endpoint answers like a listener of Forebay that is no store.
    is_forebay: bool,
}

/// Checks a bucket. Also returns the time in its first answer. `probe_role`: whether its role is also tried
/// without an external id, which is done once per role.
pub(super) async fn check(
    common: &Common,
    under_check: &LocationUnderCheck,
    at: UnixMillis,
    probe_role: bool,
) -> (Group, Option<Reading>) {
    let mut visit = Visit { common, under_check, findings: Vec::new(), reading: None, is_forebay: false };
    visit.all(at, probe_role).await;
    (Group::of_bucket(under_check, visit.findings), visit.reading)
}

impl<'a> Visit<'a> {
    fn subject<'s>(&self, region: Option<&'s str>) -> Subject<'s>
    where
        'a: 's,
    {
        let process = match &self.common.identity {
            Identity::Is(arn) => Some(arn.as_str()),
            Identity::NotAsked | Identity::Refused(_) => None,
        };
        let role = self.under_check.location.role.as_ref();
        Subject {
            reach: &self.common.reach,
            location: &self.under_check.location,
            process,
            region,
            is_forebay: self.is_forebay,
            sources: &self.under_check.sources,
            external_ids: role.and_then(|role| self.common.external_ids.get(&role.arn)),
        }
    }

    fn skip(&mut self, checks: &[&'static str], because: &str) {
        let because = format!("not tested, because {because}");
        self.findings
            .extend(checks.iter().map(|check| Trial::new(check, "nothing").not_tested(because.as_str())));
    }

    fn skip_all(&mut self, checks: &[&'static str], because: &str) {
        self.skip(checks, because);
        if self.under_check.location.encryption.kms().is_some() {
            self.skip(&OF_A_KEY, because);
        }
    }

    async fn all(&mut self, at: UnixMillis, probe_role: bool) {
        let subject = self.subject(None);
        self.findings.extend(surroundings::endpoint(&subject));
        self.findings.extend(surroundings::storage_class(&subject));
        if self.common.credentials.is_err() {
            if self.under_check.location.role.is_some() {
                self.skip(&OF_A_ROLE, "there are no credentials");
            }
            return self.skip_all(&OF_A_BUCKET, "there are no credentials");
        }
        let session = match self.role(probe_role).await {
            Ok(session) => session,
            Err(()) => return self.skip_all(&OF_A_BUCKET, "the role cannot be assumed"),
        };
        let head = self.bucket().await;
        let [_, _, rest @ ..] = &OF_A_BUCKET;
        if !head.is_answered() {
            return self.skip_all(rest, "the store did not answer");
        }
        let missing = head.answer.as_ref().err().is_some_and(|refusal| refusal.status == Some(404));
        let stored = if missing {
            self.skip(rest, "the bucket does not exist");
            None
        } else {
            self.object(head.region.as_deref(), at).await
        };
        if let Some(kms) = self.under_check.location.encryption.kms() {
            self.key(kms, &head, stored.as_ref(), session.as_ref()).await;
        }
    }

    /// The session of the role, if there is one; `Err` if it is refused.
    async fn role(&mut self, probe: bool) -> Result<Option<Secrets>, ()> {
        let under_check = self.under_check;
        let Some(role) = &under_check.location.role else { return Ok(None) };
        let Common { aws, session, .. } = self.common;
        let assumed = self.subject(None).role_use(role);
        let with = aws.assume(role, session, true).await;
        self.findings.push(access::role(&assumed, &aws.token_region(), session, &with));
        if probe {
            let without = aws.assume(role, session, false).await;
            self.findings.push(access::role_without_external_id(&assumed, &with, &without));
        }
        with.map(Some).map_err(drop)
    }

    /// Sends `HeadBucket`, and again to another region if the first answer names one.
    async fn bucket(&mut self) -> HeadBucket {
        let to = &self.under_check.location;
        let aws = &self.common.aws;
        let home = aws.store.sdk().region().map_or(DEFAULT_REGION, AsRef::as_ref);
        let region = to.region.clone().unwrap_or_else(|| home.to_owned());
        let (first, reading) = aws.head_bucket(to, &region).await;
        let (last, last_reading) = match first.elsewhere() {
            Some(elsewhere) => aws.head_bucket(to, elsewhere).await,
            None => (first.clone(), None),
        };
        self.reading = reading.or(last_reading);
        let is_missing = last.answer.as_ref().err().is_some_and(|refusal| refusal.status == Some(404));
        if let (true, Some(url)) = (is_missing, &self.common.reach.endpoint_url) {
            self.is_forebay = probe::ports::is_forebay_at(url).await;
        }
        let found = last.region.clone().or_else(|| first.region.clone());
        let subject = self.subject(found.as_deref());
        self.findings.extend([bucket::exists(&subject, &last), bucket::region(&subject, &first, &last)]);
        HeadBucket { region: found, ..last }
    }

    /// Puts the test object, and runs the checks that depend on it. Returns its key if it is stored.
    async fn object(&mut self, region: Option<&str>, at: UnixMillis) -> Option<ObjectKey> {
        let common = self.common;
        let (aws, reach, to) = (&common.aws, &common.reach, &self.under_check.location);
        let [_, _, rest @ ..] = &OF_A_BUCKET;
        let source = self.under_check.sources.first();
        let made = source.and_then(|source| specimen::put(reach, to, source, &common.node, at).ok());
        let Some(put) = made else {
            self.skip(rest, "the test object could not be created");
            return None;
        };
        let (answer, elsewhere) = self.put(&put).await;
        let region = elsewhere.as_deref().or(region);
        let subject = self.subject(region);
        let Some(stored) = answer.stored() else {
            let without = object::without_object;
            self.findings.extend([
                object::put(&subject, &put.key, &answer),
                without("encryption", "the encryption that the store reports"),
                object::create_only(&subject, &answer, None),
                without("folders", "PutObject with a wrong checksum"),
                without("look", "HeadObject of the test object"),
                without("cleanup", "DeleteObject of the test object"),
            ]);
            return None;
        };
        // If the store refused the condition, it would only refuse it again.
        let again = match (&answer.answer, put.mode) {
            (Ok(_), PutMode::CreateOnly) => Some(aws.put(&put).await.0),
            _ => None,
        };
        let len = match &put.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::File { len, .. } => *len,
        };
        // Use the mode that the store accepted: without conditional writes it would refuse the condition.
        let mode = if answer.answer.is_ok() { put.mode } else { PutMode::Overwrite };
        let folders = self.folders(&Put { mode, ..put.clone() }, at).await;
        let looked = aws.look(to, &put.key).await;
        let removed = aws.remove(to, &put.key).await;
        self.findings.extend([
            object::put(&subject, &put.key, &answer),
            object::encryption(&subject, stored.applied.as_ref()),
            object::create_only(&subject, &answer, again.as_ref()),
            folders::judge(&subject, &folders),
            object::look(&looked, len),
            object::removal(&subject, &put.key, &removed),
        ]);
        Some(put.key)
    }

    /// Tries the folders of the sources without storing anything.
    async fn folders(&self, put: &Put, at: UnixMillis) -> Answers {
        let (aws, to) = (&self.common.aws, &self.under_check.location);
        let with_wrong_checksum = |key| Put { key, crc32: !put.crc32, ..put.clone() };
        let try_at = async |key: ObjectKey| aws.put(&with_wrong_checksum(key)).await.0.map(drop);
        let beside = ObjectKey::listed(format!("{}-checksum", put.key));
        let answer = try_at(beside.clone()).await;
        if !folders::is_about_the_checksum(&answer) {
            // A store that ignores checksums may have stored it. If removal is refused, it stays like the
            // test object.
            drop(aws.remove(to, &beside).await);
            return Answers::Unfit(answer);
        }
        let name = format!("check-{}-{}", self.common.node, at.0);
        let mut answers = Vec::new();
        for key in folders::keys(to, &self.under_check.sources, at.day(), &name) {
            let folder = key.as_str().trim_end_matches(&name).to_owned();
            let answer = try_at(key).await;
            let taken = answer.is_ok();
            answers.push((folder, answer));
            if taken {
                break;
            }
        }
        Answers::Of(answers)
    }

    async fn put(&self, put: &Put) -> (PutAnswer, Option<String>) {
        let aws = &self.common.aws;
        let (answer, elsewhere) = aws.put(put).await;
        let about_the_condition = answer.as_ref().err().is_some_and(PutAnswer::may_be_about_the_condition);
        let unconditional = if about_the_condition && put.mode == PutMode::CreateOnly {
            Some(aws.put(&Put { mode: PutMode::Overwrite, ..put.clone() }).await.0)
        } else {
            None
        };
        (PutAnswer { answer, unconditional }, elsewhere)
    }

    async fn key(
        &mut self,
        kms: &SseKms,
        head: &HeadBucket,
        stored: Option<&ObjectKey>,
        session: Option<&Secrets>,
    ) {
        let common = self.common;
        if !common.reach.has_key_service() {
            let findings = OF_A_KEY.map(|check| key::nobody_to_ask(check, &format!("the key {}", kms.key)));
            return self.findings.extend(findings);
        }
        let region = head.region.as_deref().unwrap_or(&head.asked_in);
        let arn = object_arn(region, self.under_check.location.bucket.bucket(), kms, stored);
        let described = common.aws.describe_key(kms, region, session).await;
        let usable = common.aws.generate_data_key(kms, region, &arn, session).await;
        let subject = self.subject(Some(region));
        let put = stored.is_some();
        self.findings.extend([key::state(&subject, &described, put), key::usable(&subject, &usable, put)]);
    }
}

/// The ARN in the encryption context: that of the object or, with a bucket key, of the bucket.
fn object_arn(region: &str, bucket: &str, kms: &SseKms, key: Option<&ObjectKey>) -> String {
    let partition = partition_of(region);
    match key {
        Some(key) if kms.bucket_key != Some(true) => format!("arn:{partition}:s3:::{bucket}/{key}"),
        _ => format!("arn:{partition}:s3:::{bucket}"),
    }
}
