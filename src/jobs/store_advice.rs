//! What a person can do about a store that a job cannot use: in the words of a job. Pure.

use serde_json::json;

use crate::object::Role;
use crate::store::reason::{Action, Denial};
use crate::store::{Fault, Reason, StoreError};
use crate::words::Told;

/// What a job does with an object of its store.
#[derive(Clone, Copy, Debug)]
pub enum Use<'a> {
    /// It reads its manifest, or a file that the manifest names.
    Manifest {
        /// The bucket's name.
        bucket: &'a str,
        /// The object key.
        key: &'a str,
        /// Whether it reads a version by its id.
        is_version: bool,
    },
    /// It puts an object of its report.
    Report {
        /// The bucket's name.
        bucket: &'a str,
        /// The object key: `PREFIX/job-ID/…`.
        key: &'a str,
    },
    /// A command lists a bucket for a manifest.
    Listing {
        /// The bucket's name.
        bucket: &'a str,
    },
    /// A command puts a manifest.
    NewManifest {
        /// The bucket's name.
        bucket: &'a str,
        /// The object key.
        key: &'a str,
    },
}

/// What happened, and what fixes it if that is known. `role`: that of the job.
pub fn advised(error: &StoreError, used: Use<'_>, role: Option<&Role>) -> Told {
    match advice(error, used, role) {
        Some(advice) => error.told().and(&Told::plain(format!("; to fix it: {advice}"))),
        None => error.told(),
    }
}

fn advice(error: &StoreError, used: Use<'_>, role: Option<&Role>) -> Option<String> {
    let text = match error.reason {
        Reason::Denied(_) if error.fault == Fault::NoAccess => {
            "let the trust policy of the role name who runs the job, with the external id forebay-batch (`forebay policy \
             batch-trust --account ID --region REGION` prints one), and allow sts:AssumeRole in the policy of that one"
        }
        Reason::Denied(Denial::Explicit) => {
            "a policy denies this explicitly: change that one, since no statement that allows it helps"
        }
        Reason::Denied(Denial::Missing(Action::Kms)) => {
            "allow kms:Decrypt for what is read, or kms:GenerateDataKey for what is put, in the policy of the key"
        }
        Reason::Denied(_) => return Some(missing_statement(used, role)),
        Reason::NoSuchBucket | Reason::NotFound => match used {
            Use::Manifest { .. } => {
                "name a bucket that exists in --manifest (create-job: Manifest.Location.ObjectArn)"
            }
            Use::Report { .. } => {
                "create the bucket, or name another one in --report (create-job: Report.Bucket)"
            }
            Use::Listing { .. } => "name a bucket that exists in --bucket",
            Use::NewManifest { .. } => "create the bucket, or name another one in --to",
        },
        Reason::NoAnswer(_) => {
            "check --endpoint-url and AWS_ENDPOINT_URL_S3, and the network between this machine and the store"
        }
        Reason::RegionNotFound | Reason::OtherRegion => "set AWS_REGION to the region of the bucket",
        Reason::NoCredentials(_)
        | Reason::UnknownAccessKey
        | Reason::WrongSignature
        | Reason::SessionEnded
        | Reason::WrongSessionToken
        | Reason::ClockSkew
        | Reason::RegionDisabled
        | Reason::Digest
        | Reason::Busy
        | Reason::Broken => error.remedy()?,
        // The others are about settings that a job does not have.
        _ => return None,
    };
    Some(text.to_owned())
}

/// The statement of a policy without which the store refuses.
fn missing_statement(used: Use<'_>, role: Option<&Role>) -> String {
    let partition = role.map_or("aws", |role| role.arn.arn().parts().partition);
    let (action, place, hint) = match used {
        Use::Manifest { bucket, key, is_version } => (
            if is_version { "s3:GetObjectVersion" } else { "s3:GetObject" },
            format!("{bucket}/{key}"),
            "; without s3:ListBucket, S3 says the same of an object that does not exist",
        ),
        Use::Report { bucket, key } => {
            let prefix = key.rsplit_once("job-").map_or("", |(prefix, _)| prefix);
            ("s3:PutObject", format!("{bucket}/{prefix}job-*"), "")
        }
        Use::Listing { bucket } => ("s3:ListBucket", bucket.to_owned(), ""),
        Use::NewManifest { bucket, key } => ("s3:PutObject", format!("{bucket}/{key}"), ""),
    };
    let resource = format!("arn:{partition}:s3:::{place}");
    let statement = json!({ "Effect": "Allow", "Action": action, "Resource": resource });
    let whose = if role.is_some() { "of the job's role" } else { "of these credentials" };
    format!("add this statement to the policy {whose}: {statement}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{ExternalId, RoleArn};

    const MANIFEST: Use<'static> = Use::Manifest { bucket: "lake", key: "m.csv", is_version: false };
    const REPORT: Use<'static> = Use::Report { bucket: "lake", key: "job-1/r/job-f3cc/results/a.csv" };

    fn said(status: u16, code: &str, used: Use<'_>, role: Option<&Role>) -> String {
        let error = StoreError::answered(Fault::Refused, status, Some(code), "no");
        advised(&error, used, role).full().to_owned()
    }

    #[test]
    fn a_missing_right_gives_its_statement() {
        let manifest = said(403, "AccessDenied", MANIFEST, None);
        for part in [
            "403 AccessDenied: no; to fix it: add this statement to the policy of these credentials: {",
            "\"Action\":\"s3:GetObject\"",
            "\"Resource\":\"arn:aws:s3:::lake/m.csv\"",
            "without s3:ListBucket",
        ] {
            assert!(manifest.contains(part), "{part}: {manifest}");
        }
        let arn = RoleArn::parse("arn:aws-cn:iam::111122223333:role/batch").unwrap();
        let role = Role { arn, external_id: ExternalId::parse("forebay-batch").unwrap() };
        let report = said(403, "AccessDenied", REPORT, Some(&role));
        for part in [
            "of the job's role",
            "\"Action\":\"s3:PutObject\"",
            "\"Resource\":\"arn:aws-cn:s3:::lake/job-1/r/job-*\"",
        ] {
            assert!(report.contains(part), "{part}: {report}");
        }
        let version = Use::Manifest { bucket: "lake", key: "m.csv", is_version: true };
        assert!(said(403, "AccessDenied", version, None).contains("s3:GetObjectVersion"));
        let not_assumed = StoreError {
            reason: Reason::Denied(Denial::Unsaid),
            ..StoreError::local(Fault::NoAccess, "assume the role")
        };
        let said = advised(&not_assumed, MANIFEST, Some(&role));
        assert!(said.full().contains("forebay policy batch-trust"), "{}", said.full());
    }

    #[test]
    fn what_is_to_be_changed_is_an_option_of_the_job() {
        for (code, used, part) in [
            ("NoSuchBucket", REPORT, "create the bucket, or name another one in --report"),
            ("NoSuchBucket", MANIFEST, "--manifest"),
        ] {
            let said = said(404, code, used, None);
            assert!(said.contains(part) && !said.contains("configuration"), "{said}");
        }
        let listing = Use::Listing { bucket: "lake" };
        for (code, part) in [
            ("NoSuchBucket", "name a bucket that exists in --bucket"),
            ("AccessDenied", "\"Resource\":\"arn:aws:s3:::lake\""),
        ] {
            let said = said(if code == "NoSuchBucket" { 404 } else { 403 }, code, listing, None);
            assert!(said.contains(part), "{said}");
        }
        // Nothing of a job can change it.
        assert_eq!(said(501, "NotImplemented", REPORT, None), "501 NotImplemented: no");
    }
}
