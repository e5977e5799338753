//! Whether an import can read its bucket: from observations to findings. Pure.

use super::finding::{CheckFinding, Remedy, Trial};
use super::fix::{self, Service};
use super::import_rights::{DeniedRight, ImportReader, ImportRight};
use super::refusal::Refusal;
use crate::store::reader::Listed;
use crate::store::{Outlook, StoreError};
use crate::words::counted;

/// The checks of a bucket in their order, to report those that cannot be run.
pub(super) const OF_A_BUCKET: [&str; 5] = ["list", "list_outside", "get", "get_version", "decrypt"];
/// Those of a file.
pub(super) const OF_A_FILE: [&str; 3] = ["get", "get_version", "decrypt"];

/// An import under test, and the identity of the process according to STS, if known.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Who reads what.
    pub reader: &'a ImportReader,
    /// The identity of the process.
    pub process: Option<&'a str>,
}

/// What the listing showed of the files.
#[derive(Clone, Debug, Default)]
pub struct FirstFile {
    /// The first object that the import would read.
    pub object: Option<Listed>,
    /// How many objects were looked at.
    pub looked_at: u64,
    /// Whether there are more objects, which were not looked at.
    pub has_more: bool,
}

impl Reading<'_> {
    fn bucket(&self) -> &str {
        self.reader.location.bucket.bucket()
    }

    /// The region of the bucket.
    pub fn region(&self, found: &Result<String, StoreError>) -> CheckFinding {
        let trial = Trial::new("region", format!("the region of {}", self.bucket()));
        let region = match found {
            Ok(region) => region,
            Err(error) => return trial.failed(error.told().full(), self.remedies(ImportRight::List, error)),
        };
        match self.reader.location.region.as_deref() {
            Some(configured) if configured != region.as_str() => trial.warning(
                format!("{} is in {region}, but {configured} is configured", self.bucket()),
                vec![self.setting("set the bucket's region", &format!("region = \"{region}\""))],
            ),
            _ => trial.passed(format!("{} is in {region}", self.bucket())),
        }
    }

    /// Whether what is below the prefix can be listed.
    pub fn list(&self, answer: &Result<FirstFile, StoreError>) -> CheckFinding {
        let place = self.reader.place();
        let trial = Trial::new("list", format!("s3:ListBucket, {place}"));
        match answer {
            Ok(first) => {
                let more = if first.has_more { "more than " } else { "" };
                let objects = counted(first.looked_at, "object", "objects");
                trial.passed(format!("{place} can be listed ({more}{objects})"))
            }
            Err(error) => trial.failed(error.told().full(), self.remedies(ImportRight::List, error)),
        }
    }

    /// Whether the rest of the bucket is out of reach.
    pub fn list_outside(&self, answer: &Result<(), StoreError>) -> CheckFinding {
        let bucket = self.bucket();
        let trial = Trial::new("list_outside", format!("s3:ListBucket, s3://{bucket}/ as a whole"));
        match answer {
            Ok(()) => {
                let denied =
                    DeniedRight { right: ImportRight::List, explicitly: false, is_said: true, key: None };
                let grant = self.reader.grants(&denied, self.process).into_iter().next();
                let enough = "this statement is enough, in place of the one that is there".to_owned();
                trial.warning(
                    format!(
                        "s3://{bucket}/ can be listed as a whole, which is more than the import needs below {}",
                        self.reader.prefix
                    ),
                    grant.into_iter().map(|grant| Remedy { text: enough.clone(), ..grant }).collect(),
                )
            }
            Err(error) if error.outlook() == Outlook::Denied => {
                trial.passed(format!("s3://{bucket}/ cannot be listed outside {}", self.reader.prefix))
            }
            Err(error) => trial.not_tested(format!(
                "the answer does not show whether it is refused ({})",
                error.told().full()
            )),
        }
    }

    /// Whether a file can be read as it is now.
    pub fn get(&self, key: &str, answer: &Result<(), StoreError>) -> CheckFinding {
        let what = format!("s3://{}/{key}", self.bucket());
        let trial = Trial::new("get", format!("s3:GetObject, the first byte of {what}"));
        match answer {
            Ok(()) => trial.passed(format!("{what} can be read")),
            Err(error) => trial.failed(error.told().full(), self.remedies(ImportRight::Read, error)),
        }
    }

    /// Whether a file can be read by its version.
    pub fn get_version(&self, key: &str, version: &str, answer: &Result<(), StoreError>) -> CheckFinding {
        let what = format!("version {version} of s3://{}/{key}", self.bucket());
        let trial = Trial::new("get_version", format!("s3:GetObjectVersion, the first byte of {what}"));
        match answer {
            Ok(()) => trial.passed(format!("{what} can be read")),
            Err(error) => trial.failed(error.told().full(), self.remedies(ImportRight::Read, error)),
        }
    }

    /// Whether a file can be decrypted that is encrypted with a key.
    pub fn decrypt(&self, key: Option<&str>, answer: &Result<(), StoreError>) -> CheckFinding {
        let with = key.map_or_else(|| "a KMS key".to_owned(), |key| format!("the KMS key {key}"));
        let trial = Trial::new("decrypt", format!("kms:Decrypt with {with}"));
        let error = match answer {
            Ok(()) => {
                return trial.passed(format!("the file is encrypted with {with}, and can be decrypted"));
            }
            Err(error) => error,
        };
        let mut remedies = self.remedies(ImportRight::Decrypt, error);
        if let (Some(denied), Some(key)) = (self.denied(ImportRight::Decrypt, error), key) {
            let denied = DeniedRight { key: denied.key.or_else(|| Some(key.to_owned())), ..denied };
            remedies = self.reader.grants(&denied, self.process);
        }
        trial.failed(error.told().full(), remedies)
    }

    fn denied(&self, asked: ImportRight, error: &StoreError) -> Option<DeniedRight> {
        let refusal = Refusal::from(error.clone());
        // What was asked for is known here.
        refusal.is_denied().then(|| DeniedRight { is_said: true, ..DeniedRight::of(asked, error) })
    }

    /// What fixes a request that failed.
    fn remedies(&self, asked: ImportRight, error: &StoreError) -> Vec<Remedy> {
        if let Some(denied) = self.denied(asked, error) {
            return self.reader.grants(&denied, self.process);
        }
        if let Some(remedies) = fix::common(Service::Store, &Refusal::from(error.clone())) {
            return remedies;
        }
        let what = error.reader_remedy().or_else(|| error.remedy());
        vec![Remedy::say(what.unwrap_or("see the store's error message"))]
    }

    fn setting(&self, text: &str, line: &str) -> Remedy {
        Remedy::paste(text, format!("[[import]]\nname = \"{}\"\n{line}", self.reader.name))
    }
}

/// The findings of checks that cannot be run, for this reason.
pub(super) fn skipped(checks: &[&'static str], because: &str) -> Vec<CheckFinding> {
    let skip =
        |check: &&'static str| Trial::new(check, "nothing").not_tested(format!("not tested: {because}"));
    checks.iter().map(skip).collect()
}
