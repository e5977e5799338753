//! The bucket of a source's objects, and their storage class and tags.

use std::fmt;

use super::{AccountId, BucketString, Encryption, KmsKey, Role, RoleArn};
use crate::sources::SourceId;
use crate::time::ReceivedDay;
use crate::words::date;

/// What can fail for one bucket and not for another: its bucket string, role and key. Sources that differ
/// only in their external id share it, so that many sources do not mean many puts at once.
pub type PutLocation = (BucketString, Option<RoleArn>, Option<KmsKey>);

/// The bucket for a source's objects, how it is reached, and how they are kept there.
///
/// Endpoint and credentials are not part of it: they always come from the running process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct S3Location {
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// The configured region of the bucket; `None`: it is discovered.
    pub region: Option<String>,
    /// Server-side encryption.
    pub encryption: Encryption,
    /// The role to assume; `None`: the process's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The account that must own the bucket. The store checks it at every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bucket_owner: Option<AccountId>,
    /// The storage class; `None`: the store's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,
}

impl S3Location {
    /// A bucket and an encryption; everything else is unset.
    pub fn new(bucket: BucketString, encryption: Encryption) -> Self {
        Self {
            bucket,
            region: None,
            encryption,
            role: None,
            expected_bucket_owner: None,
            storage_class: None,
        }
    }
}

/// The bucket string, and the role and key if set: these distinguish buckets.
impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bucket)?;
        if let Some(role) = &self.role {
            write!(f, " as {} ({})", role.arn, role.external_id)?;
        }
        if let Some(kms) = self.encryption.kms() {
            write!(f, " under {}", kms.key)?;
        }
        Ok(())
    }
}

closed_list! {
    /// A storage class of S3 (`x-amz-storage-class`), by its S3 name.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
    #[serde(try_from = "String", into = "String")]
    pub enum StorageClass by as_str and named {
        /// The default of S3.
        Standard = "STANDARD",
        /// Infrequent access.
        StandardIa = "STANDARD_IA",
        /// Infrequent access, kept in one zone.
        OneZoneIa = "ONEZONE_IA",
        /// Moved between tiers according to access.
        IntelligentTiering = "INTELLIGENT_TIERING",
        /// Archived, but readable at once.
        GlacierIr = "GLACIER_IR",
        /// Archived: must be restored before reading.
        Glacier = "GLACIER",
        /// Archived deeper: must be restored before reading.
        DeepArchive = "DEEP_ARCHIVE",
    }
}

impl StorageClass {
    /// Parses the S3 name. Errors: the allowed names.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("expected a storage class: {}", Self::ALL.map(Self::as_str).join(", "));
        Self::named(text).ok_or_else(expected)
    }

    /// Whether objects must be restored before they can be read.
    pub fn is_archive(self) -> bool {
        matches!(self, Self::Glacier | Self::DeepArchive)
    }
}

shown_as_text!(StorageClass);

text_form!(StorageClass, String, StorageClass::parse);

/// The tags that objects carry, by which lifecycle rules, bills and policies can distinguish them. None by
/// default, because each put with tags also needs `s3:PutObjectTagging`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectTags {
    /// `source`: the source id.
    pub source: bool,
    /// `day`: the received-day as a date, `2026-11-20`.
    pub day: bool,
}

impl ObjectTags {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self.source || self.day
    }

    /// Names and values for an object of `source` and `day`.
    pub fn pairs(self, source: &SourceId, day: ReceivedDay) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if self.source {
            pairs.push(("source", source.to_string()));
        }
        if self.day {
            pairs.push(("day", date(day)));
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::UnixMillis;

    #[test]
    fn every_class_has_its_name() {
        for class in StorageClass::ALL {
            assert_eq!(StorageClass::parse(class.as_str()), Ok(class));
        }
        assert_eq!(StorageClass::GlacierIr.as_str(), "GLACIER_IR");
        assert!(StorageClass::parse("standard").is_err());
    }

    #[test]
    fn a_day_is_a_date_in_a_tag() {
        let source = SourceId::new("web").unwrap();
        let day = UnixMillis(1_432_684_812_345).day();
        assert!(ObjectTags::default().pairs(&source, day).is_empty());
        let both = ObjectTags { source: true, day: true };
        assert_eq!(
            both.pairs(&source, day),
            [("source", "web".to_owned()), ("day", "2015-05-27".to_owned())]
        );
    }
}
