//! The test of an import's access: credentials, role, bucket, and the first file that it would read.

use std::sync::Arc;
use std::time::Duration;

use super::access::{self, Identity};
use super::after_rights;
use super::finding::{CheckFinding, Outcome, Trial};
use super::import::{FirstFile, OF_A_BUCKET, OF_A_FILE, Reading, skipped};
use super::import_queue::{ImportQueue, OF_A_QUEUE};
use super::import_rights::ImportReader;
use super::probe::aws::Aws;
use super::refusal::Refusal;
use super::report::{CheckReport, Group};
use crate::object::{ExternalId, ObjectKey, Role};
use crate::policy::PolicyAfter;
use crate::queue::QueueFault;
use crate::store::changer::StoreChanger as _;
use crate::store::reader::{ByteRange, ListFrom, Listed, StoreReader as _};
use crate::store::reason::{Action, Denial, Reason};
use crate::store::s3::S3Store;
use crate::store::{Fault, Head, ObjectVersion, Outlook, StoreError};
use crate::time::Clock;

/// How long one request to the token service may take.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// The most pages of the listing that are searched for a file.
const PAGES_MAX: u32 = 10;
const FIRST_BYTE: ByteRange = ByteRange { from: 0, len: 1 };
const GONE: &str = "the file is gone meanwhile";

/// What to test.
#[derive(Debug)]
pub struct ImportTest {
    /// Who reads what.
    pub reader: ImportReader,
    /// The name of sessions of assumed roles.
    pub session: String,
    /// An external id that the role must not accept.
    pub wrong_external_id: ExternalId,
    /// Its queue, if it reads notifications.
    pub queue: Option<ImportQueue>,
    /// Whether there is a token service to ask for the identity of the process: AWS's own, or a configured
    /// one.
    pub has_token_service: bool,
    /// Whether the store has policies. The S3 of dev mode has none.
    pub has_policies: bool,
}

/// How the test of an import's access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessEnd {
    /// Nothing that it needs is missing.
    Sound,
    /// A right or the credentials are missing.
    Denied,
    /// A service cannot be reached, or is busy.
    Unreachable,
    /// Something else must be corrected: the bucket's name, its region, the key.
    Wrong,
}

/// What a test found.
#[derive(Clone, Debug)]
pub struct ImportTested {
    /// The findings.
    pub report: CheckReport,
    /// How it ended: as the first finding that failed.
    pub end: AccessEnd,
}

impl AccessEnd {
    /// How a request ends a test that failed for this reason.
    pub fn of(reason: Reason) -> Self {
        match reason {
            Reason::NoAnswer(_) | Reason::Busy | Reason::Broken => Self::Unreachable,
            Reason::Denied(_)
            | Reason::NoCredentials(_)
            | Reason::UnknownAccessKey
            | Reason::WrongSignature
            | Reason::SessionEnded
            | Reason::WrongSessionToken
            | Reason::ClockSkew => Self::Denied,
            _ => Self::Wrong,
        }
    }
}

impl AccessEnd {
    fn of_queue(fault: QueueFault) -> Self {
        match fault {
            QueueFault::Denied => Self::Denied,
            QueueFault::Passing => Self::Unreachable,
            QueueFault::NoQueue | QueueFault::ReceiptEnded | QueueFault::Refused => Self::Wrong,
        }
    }
}

struct Visit<'a> {
    test: &'a ImportTest,
    store: &'a S3Store,
    process: Option<String>,
    end: AccessEnd,
}

/// Tests whether an import can read its bucket. Nothing is imported, and nothing is written. `wanted`:
/// whether the import would read an object.
pub async fn test_import(
    test: &ImportTest,
    store: Arc<S3Store>,
    clock: Arc<dyn Clock>,
    wanted: &(dyn Fn(&Listed) -> bool + Sync),
) -> ImportTested {
    let aws = Aws {
        store: Arc::clone(&store),
        clock,
        timeout: TOKEN_TIMEOUT,
        kms_endpoint_url: None,
        request_payer: false,
    };
    let mut visit = Visit { test, store: &store, process: None, end: AccessEnd::Sound };
    let (access, ready) = visit.access(&aws).await;
    let findings = match ready {
        Ok(()) => visit.bucket(wanted).await,
        Err(because) => [skipped(&["region"], because), skipped(&OF_A_BUCKET, because)].concat(),
    };
    let of_bucket = Group {
        title: format!("{} for import {}", test.reader.place(), test.reader.name),
        subject: Some(test.reader.location.bucket.to_string()),
        sources: Vec::new(),
        findings,
    };
    let of_queue = visit.queue(ready).await;
    let groups = [Group::new("access", access), of_bucket].into_iter().chain(of_queue).collect();
    ImportTested { report: CheckReport { groups, estimate: None }, end: visit.end }
}

impl Visit<'_> {
    /// Notes why something needed failed.
    fn failed(&mut self, reason: Reason) {
        if self.end == AccessEnd::Sound {
            self.end = AccessEnd::of(reason);
        }
    }

    /// The findings about credentials and role, and why the bucket cannot be read, if it cannot.
    async fn access(&mut self, aws: &Aws) -> (Vec<CheckFinding>, Result<(), &'static str>) {
        let found = aws.credentials().await;
        let mut findings = vec![access::credentials(found.as_ref())];
        let role = self.test.reader.location.role.as_ref();
        if let Err(refusal) = &found {
            self.failed(refusal.reason);
            let of_role = ["role", "role_without_external_id", "wrong_external_id"];
            let because = "there are no credentials";
            findings.extend(role.iter().flat_map(|_| skipped(&of_role, because)));
            return (findings, Err(because));
        }
        if self.test.has_token_service || role.is_some() {
            let identity = aws.identity().await;
            let finding = access::identity(&identity, &aws.token_region(), role.is_some());
            findings.push(match &identity {
                // What follows needs no name, and fails by itself if the credentials are wrong.
                Identity::Refused(refusal) if finding.outcome == Outcome::Failed => {
                    Trial::new("identity", "sts:GetCallerIdentity")
                        .not_tested(format!("not known, and not needed ({refusal})"))
                }
                _ => finding,
            });
            if let Identity::Is(arn) = identity {
                self.process = Some(arn);
            }
        }
        let Some(role) = role else { return (findings, Ok(())) };
        let session = &self.test.session;
        let another = Role { external_id: self.test.wrong_external_id.clone(), ..role.clone() };
        let with = aws.assume(role, session, true).await;
        let without = aws.assume(role, session, false).await;
        let another = aws.assume(&another, session, true).await;
        let assumed = self.test.reader.role_use(role, self.process.as_deref());
        findings.push(access::role(&assumed, &aws.token_region(), session, &with));
        findings.push(access::role_without_external_id(&assumed, &with, &without));
        findings.push(access::role_with_another_external_id(&assumed, &with, &another));
        let refused = with.map(drop).map_err(|refusal: Refusal| {
            self.failed(refusal.reason);
            "the role cannot be assumed"
        });
        (findings, refused)
    }

    /// The findings about the queue, if there is one.
    async fn queue(&mut self, ready: Result<(), &'static str>) -> Option<Group> {
        let (queue, import) = (self.test.queue.as_ref()?, &self.test.reader.name);
        let findings = match ready {
            Ok(()) => {
                let (findings, fault) = queue.findings(import).await;
                let end = fault.map_or(AccessEnd::Sound, AccessEnd::of_queue);
                self.end = if self.end == AccessEnd::Sound { end } else { self.end };
                findings
            }
            Err(because) => skipped(&OF_A_QUEUE, because),
        };
        Some(Group::new(&format!("{} for import {import}", queue.address.url()), findings))
    }

    async fn bucket(&mut self, wanted: &(dyn Fn(&Listed) -> bool + Sync)) -> Vec<CheckFinding> {
        let process = self.process.clone();
        let reading = Reading { reader: &self.test.reader, process: process.as_deref() };
        let location = &self.test.reader.location;
        let region = self.store.region_of(location).await;
        if let Err(error) = &region {
            self.failed(error.reason);
            let mut findings = vec![reading.region(&region)];
            findings.extend(skipped(&OF_A_BUCKET, "the region must be found first"));
            return findings;
        }
        let first = self.first_file(wanted).await;
        // A listing that was sent to another region has corrected it.
        let region = self.store.region_of(location).await;
        let mut findings = vec![reading.region(&region), reading.list(&first)];
        let first = match first {
            Ok(first) => first,
            Err(error) => {
                self.failed(error.reason);
                let [_, rest @ ..] = &OF_A_BUCKET;
                findings.extend(skipped(rest, "the bucket cannot be listed"));
                return findings;
            }
        };
        findings.extend(match self.test.reader.prefix.is_empty() {
            _ if !self.test.has_policies => skipped(&["list_outside"], "the S3 of dev has no policies"),
            true => skipped(&["list_outside"], "the import reads the whole bucket"),
            false => vec![reading.list_outside(&self.list("", None).await.map(drop))],
        });
        let of_file = first.object.as_ref().map(|object| object.key.clone());
        findings.extend(match first.object {
            Some(object) => self.file(&reading, &object.key).await,
            None if first.has_more => {
                skipped(&OF_A_FILE, "none of the first objects is one that the import would read")
            }
            None => skipped(&OF_A_FILE, "there is no file yet that the import would read"),
        });
        findings.extend(self.after(of_file.as_ref()).await);
        findings
    }

    /// The findings about what is done with files that are imported.
    async fn after(&mut self, key: Option<&ObjectKey>) -> Vec<CheckFinding> {
        let ImportReader { location, after, .. } = &self.test.reader;
        let reads_tags = !matches!(after, None | Some(PolicyAfter::Delete));
        let tags = match key.filter(|_| reads_tags) {
            Some(key) => {
                let version = ObjectVersion { etag: String::new(), id: None };
                Some((key.as_str(), self.store.tags(location, key, &version).await.map(drop)))
            }
            None => None,
        };
        if let Some((_, Err(error))) = &tags
            && error.outlook() == Outlook::Denied
        {
            self.failed(error.reason);
        }
        after_rights::findings(&self.test.reader, tags)
    }

    /// One page of a listing. The first request may find out that the bucket is in another region.
    async fn list(
        &self,
        prefix: &str,
        next: Option<&str>,
    ) -> Result<crate::store::reader::ListPage, StoreError> {
        let from = ListFrom { prefix, next, restored: true, ..ListFrom::default() };
        match self.store.list(&self.test.reader.location, from).await {
            Err(error) if error.fault == Fault::Region => {
                self.store.list(&self.test.reader.location, from).await
            }
            answer => answer,
        }
    }

    /// The first object that the import would read.
    async fn first_file(&self, wanted: &(dyn Fn(&Listed) -> bool + Sync)) -> Result<FirstFile, StoreError> {
        let (mut first, mut next) = (FirstFile::default(), None);
        for _ in 0..PAGES_MAX {
            let page = self.list(&self.test.reader.prefix, next.as_deref()).await?;
            first.looked_at += page.objects.len() as u64;
            first.object = page.objects.into_iter().find(|object| wanted(object));
            next = page.next;
            first.has_more = next.is_some();
            if first.object.is_some() || next.is_none() {
                break;
            }
        }
        Ok(first)
    }

    /// The findings about a file.
    async fn file(&mut self, reading: &Reading<'_>, key: &ObjectKey) -> Vec<CheckFinding> {
        let location = &self.test.reader.location;
        let head = match self.store.head_of(location, key, None).await {
            Ok(head) => head,
            Err(error) if self.is_gone(&error, key).await => return skipped(&OF_A_FILE, GONE),
            Err(error) => {
                self.failed(error.reason);
                let [_, rest @ ..] = &OF_A_FILE;
                let mut findings = vec![reading.get(key.as_str(), &Err(error))];
                findings.extend(skipped(rest, "the file cannot be read"));
                return findings;
            }
        };
        let (is_encrypted, kms_key) = encryption(&head);
        let get = self.first_byte(key, None).await;
        if matches!(&get, Err(error) if error.outlook() == Outlook::Missing) {
            return skipped(&OF_A_FILE, GONE);
        }
        let version = head.version.as_ref().filter(|version| version.id.is_some());
        let by_version = match version {
            Some(version) => Some(self.first_byte(key, Some(version)).await),
            None => None,
        };
        for error in
            [Some(&get), by_version.as_ref()].into_iter().flatten().filter_map(|it| it.as_ref().err())
        {
            self.failed(error.reason);
        }
        // HEAD needs the same right as GET, but not the key.
        if is_encrypted
            && let Err(error) = get.as_ref().map_err(Clone::clone)
            && is_of_key(&error)
        {
            let mut findings = skipped(&["get", "get_version"], "the file cannot be decrypted");
            findings.push(reading.decrypt(kms_key.as_deref(), &Err(error)));
            return findings;
        }
        let decrypt = match (is_encrypted, &get) {
            (true, Ok(())) => vec![reading.decrypt(kms_key.as_deref(), &Ok(()))],
            (true, Err(_)) => skipped(&["decrypt"], "the file cannot be read"),
            (false, _) => skipped(&["decrypt"], "the file is not encrypted with a KMS key"),
        };
        let mut findings = vec![reading.get(key.as_str(), &get)];
        findings.extend(match (version.and_then(|version| version.id.as_deref()), &by_version) {
            (Some(id), Some(answer)) => vec![reading.get_version(key.as_str(), id, answer)],
            _ => skipped(&["get_version"], "the file has no version"),
        });
        findings.extend(decrypt);
        findings
    }

    async fn first_byte(&self, key: &ObjectKey, version: Option<&ObjectVersion>) -> Result<(), StoreError> {
        self.store.range(&self.test.reader.location, key, version, FIRST_BYTE).await.map(drop)
    }

    /// Whether an object that was listed is no longer there. S3 answers 403 for one that is gone if not the
    /// whole bucket may be listed.
    async fn is_gone(&self, error: &StoreError, key: &ObjectKey) -> bool {
        match error.outlook() {
            Outlook::Missing => true,
            Outlook::Denied => {
                let page = self.list(key.as_str(), None).await;
                page.is_ok_and(|page| page.objects.first().is_none_or(|first| first.key != *key))
            }
            Outlook::Changed | Outlook::Refused | Outlook::Passing => false,
        }
    }
}

/// Whether an object is encrypted with a KMS key, and its ARN if the store says it.
fn encryption(head: &Head) -> (bool, Option<String>) {
    let Some(applied) = &head.applied else { return (false, None) };
    let is_kms = applied.algorithm.as_ref().is_some_and(|algorithm| algorithm.starts_with("aws:kms"));
    (is_kms, applied.kms_key.clone())
}

/// Whether a request for an object failed for its key.
fn is_of_key(error: &StoreError) -> bool {
    matches!(
        error.reason,
        Reason::Key(_) | Reason::Denied(Denial::Missing(Action::Kms) | Denial::Unsaid | Denial::Explicit)
    )
}
