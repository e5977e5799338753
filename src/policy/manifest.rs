//! The places in S3 that a job of S3 Batch Operations reads and writes.

use crate::object::BucketString;

/// The longest key of an object, in bytes ("Naming Amazon S3 objects", S3 User Guide).
const KEY_BYTES_MAX: usize = 1_024;

/// The manifest that the jobs of a role read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyManifest {
    /// One object.
    Object {
        /// The bucket's name.
        bucket: String,
        /// The object's key.
        key: String,
    },
    /// What is below a folder: an inventory, or the manifests of several jobs.
    Folder {
        /// The bucket's name.
        bucket: String,
        /// What the keys begin with, with a slash at its end.
        prefix: String,
    },
}

impl PolicyManifest {
    /// Parses `s3://bucket/key`, or `s3://bucket/folder/` for everything below a folder.
    /// Errors: what the text lacks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = "expected s3://BUCKET/KEY, or s3://BUCKET/FOLDER/ for everything below a folder";
        let rest = text.strip_prefix("s3://").ok_or(form)?;
        let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
        let bucket = BucketString::parse(bucket).map_err(|error| error.what().to_owned())?;
        if key.is_empty() {
            return Err(format!("{form}: the role is not given the whole bucket"));
        }
        if key.len() > KEY_BYTES_MAX {
            return Err(format!("the key is longer than {KEY_BYTES_MAX} bytes"));
        }
        can_be_in_policy(key)?;
        if key == "manifest.json" || key.ends_with("/manifest.json") {
            let what = "a manifest.json names files that stand beside it, such as those in data/ of an inventory: give the \
                        folder that has both, s3://BUCKET/FOLDER/";
            return Err(what.to_owned());
        }
        let bucket = bucket.bucket().to_owned();
        Ok(match key.ends_with('/') {
            true => Self::Folder { bucket, prefix: key.to_owned() },
            false => Self::Object { bucket, key: key.to_owned() },
        })
    }
}

/// Parses `s3://bucket/prefix`, where the reports of jobs are put.
/// Errors: what the text lacks.
pub fn place_of_reports(text: &str) -> Result<BucketString, String> {
    let rest = text.strip_prefix("s3://").ok_or("expected s3://BUCKET/PREFIX, or s3://BUCKET alone")?;
    can_be_in_policy(rest)?;
    BucketString::parse(rest).map_err(|error| error.what().to_owned())
}

/// Refuses what IAM does not take in a policy (`PutRolePolicy`, IAM API Reference).
fn can_be_in_policy(text: &str) -> Result<(), String> {
    match text.chars().find(|c| c.is_control() || u32::from(*c) > 0xff) {
        Some(c) => Err(format!(
            "IAM accepts no {} in a policy: control characters and those above U+00FF",
            c.escape_unicode()
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_an_object_or_a_folder() {
        let object =
            |bucket: &str, key: &str| PolicyManifest::Object { bucket: bucket.into(), key: key.into() };
        let folder = |bucket: &str, prefix: &str| PolicyManifest::Folder {
            bucket: bucket.into(),
            prefix: prefix.into(),
        };
        let check = |text: &str, expected| assert_eq!(PolicyManifest::parse(text), Ok(expected), "{text}");
        check("s3://lake/m.csv", object("lake", "m.csv"));
        check("s3://lake/jobs/ü +%.csv.gz", object("lake", "jobs/ü +%.csv.gz"));
        check("s3://lake//m.csv", object("lake", "/m.csv"));
        check("s3://lake/jobs/", folder("lake", "jobs/"));
        check("s3://lake/inventory/web/daily/", folder("lake", "inventory/web/daily/"));
        check("s3://lake/my-manifest.json", object("lake", "my-manifest.json"));
    }

    #[test]
    fn a_manifest_that_cannot_be_granted_alone_is_refused() {
        let check = |text: &str, said: &str| {
            let error = PolicyManifest::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        };
        check("lake/m.csv", "expected s3://BUCKET/KEY");
        check("arn:aws:s3:::lake/m.csv", "expected s3://BUCKET/KEY");
        check("s3://lake", "the role is not given the whole bucket");
        check("s3://lake/", "the role is not given the whole bucket");
        check("s3://", "a bucket name is needed");
        check("s3://Lake/m.csv", "a bucket name is 3 to 63");
        check("s3://*/m.csv", "a bucket name is 3 to 63");
        check("s3://lake/a\nb", "IAM accepts no \\u{a} in a policy");
        check("s3://lake/日.csv", "IAM accepts no \\u{65e5} in a policy");
        check("s3://lake/manifest.json", "give the folder that has both");
        check("s3://lake/web/daily/2026-11-27T01-00Z/manifest.json", "give the folder that has both");
        check(&format!("s3://lake/{}", "k".repeat(KEY_BYTES_MAX + 1)), "longer than 1024 bytes");
        assert!(PolicyManifest::parse(&format!("s3://lake/{}", "k".repeat(KEY_BYTES_MAX))).is_ok());
    }

    #[test]
    fn reports_are_put_below_a_prefix_or_none() {
        let parsed = |text: &str| place_of_reports(text).map(|place| place.to_string());
        assert_eq!(parsed("s3://lake/reports").unwrap(), "lake/reports");
        assert_eq!(parsed("s3://lake").unwrap(), "lake");
        for text in ["lake/reports", "s3://", "s3://lake/a//b", "s3://lake/../b", "s3://lake/日"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
