//! The rights that an import needs to read its bucket, and the statements that grant them. Pure.
//!
//! The test of an import's access, the end of a pass that was denied, its alarm and its status say the same,
//! because all of it is from here.

use super::finding::{Outcome, Remedy, RoleUse};
use super::subject::{principal_of, statement};
use crate::arn::ArnParts;
use crate::object::{Role, S3Location};
use crate::policy::{PolicyAfter, PolicyBucket, PolicyImport, Template, Values};
use crate::store::reason::{Denial, Reason};
use crate::store::{Fault, StoreError};

/// The identity of a process that was not asked for it.
const PROCESS: &str = "the user or role that Forebay runs as";

/// Who reads the bucket of an import, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportReader {
    /// The import's name.
    pub name: String,
    /// The bucket, and the role that reads it; without one, the process's own credentials do.
    pub location: S3Location,
    /// What the keys begin with; empty: every key.
    pub prefix: String,
    /// What it does with files that are imported.
    pub after: Option<PolicyAfter>,
}

/// A right that an import needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImportRight {
    /// To assume its role.
    Assume,
    /// To list the bucket below the prefix.
    List,
    /// To read files, also by their version.
    Read,
    /// To decrypt files.
    Decrypt,
}

/// A right that an import turned out not to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedRight {
    /// The right.
    pub right: ImportRight,
    /// Whether a policy denies it explicitly, so that no statement can grant it.
    pub explicitly: bool,
    /// Whether the store says which right it is. If not, reading a file may also fail for its key.
    pub is_said: bool,
    /// The ARN of the KMS key, if known.
    pub key: Option<String>,
}

impl DeniedRight {
    /// The right that a refused listing shows to be missing. `None`: the listing failed for another reason.
    pub fn of_listing(error: &StoreError) -> Option<Self> {
        matches!(error.reason, Reason::Denied(_)).then(|| Self::of(ImportRight::List, error))
    }

    /// The right that a denied request shows to be missing, if it is not that to assume the role. `asked`:
    /// the one that the request needs, unless the store says which.
    pub(super) fn of(asked: ImportRight, error: &StoreError) -> Self {
        let said = Self::said(asked, error.message.full());
        let explicitly = error.reason == Reason::Denied(Denial::Explicit);
        let right = if error.fault == Fault::NoAccess { ImportRight::Assume } else { said.right };
        Self { right, explicitly: explicitly || said.explicitly, ..said }
    }

    /// The right that a text shows to be missing with which a store denied to read a file. AWS's wording
    /// ("Troubleshoot access denied error messages") has it nowhere else.
    pub fn of_file(text: &str) -> Self {
        Self::said(ImportRight::Read, text)
    }

    fn said(asked: ImportRight, text: &str) -> Self {
        let action = text.split_once("not authorized to perform: ").and_then(|(_, rest)| word(rest));
        let right = match action {
            Some("sts:AssumeRole") => ImportRight::Assume,
            Some("s3:ListBucket") => ImportRight::List,
            Some(kms) if kms.starts_with("kms:") => ImportRight::Decrypt,
            Some(_) => asked,
            // Stores other than AWS say less, but the request for a session says so itself.
            None if text.contains("assume the role arn:") => ImportRight::Assume,
            None => asked,
        };
        let key = text.split_once("on resource: ").and_then(|(_, rest)| word(rest));
        let is_key = |arn: &&str| {
            ArnParts::of(arn).is_some_and(|arn| arn.service == "kms" && arn.resource.starts_with("key/"))
        };
        Self {
            right,
            explicitly: text.contains("explicit deny"),
            is_said: action.is_some(),
            key: key.filter(is_key).filter(|_| right == ImportRight::Decrypt).map(str::to_owned),
        }
    }
}

/// The word with which a text begins.
pub(super) fn word(text: &str) -> Option<&str> {
    text.split([' ', ',', '"']).find(|word| !word.is_empty())
}

impl ImportReader {
    /// What is listed, for people.
    pub fn place(&self) -> String {
        format!("s3://{}/{}", self.location.bucket.bucket(), self.prefix)
    }

    /// What grants a right, in a sentence without its end.
    pub fn sentence(&self, denied: &DeniedRight) -> String {
        let Self { name, .. } = self;
        let (who, what) = (self.who(None), self.right_in_words(denied.right));
        if denied.explicitly {
            return format!("a policy denies {what} explicitly to {who}: find it and change it");
        }
        let policy = self.read_template().name();
        match (denied.right, &self.location.role) {
            (ImportRight::Assume, Some(role)) => format!(
                "the trust policy of {} must let {PROCESS} assume it with the external id {}: `forebay policy \
                 import-trust --import {name} --external-id {} --principal ARN` prints it",
                role.arn, role.external_id, role.external_id
            ),
            (ImportRight::Decrypt, _) => format!(
                "the policy of {who} must allow {what}: `forebay policy {policy} --import {name} --kms-key ARN` prints it"
            ),
            (ImportRight::Read, _) if !denied.is_said => format!(
                "the policy of {who} must allow {what} (and kms:Decrypt if they are encrypted with a key): `forebay policy \
                 {policy} --import {name}` prints it, and `forebay import test-credentials {name}` shows which is missing"
            ),
            _ => format!(
                "the policy of {who} must allow {what}: `forebay policy {policy} --import {name}` prints it"
            ),
        }
    }

    /// What grants a right: the statement, and where else it may be needed. `process`: the identity of the
    /// process according to STS, if known.
    pub fn grants(&self, denied: &DeniedRight, process: Option<&str>) -> Vec<Remedy> {
        let who = self.who(process);
        if denied.explicitly {
            return vec![Remedy::say(format!(
                "a policy denies {} explicitly to {who}: find it (of the bucket or the key, a permissions boundary, or one \
                 of the organisation), and change it",
                self.right_in_words(denied.right)
            ))];
        }
        match (denied.right, &self.location.role) {
            (ImportRight::Assume, Some(role)) => {
                let RoleUse { trust, others, .. } = self.role_use(role, process);
                std::iter::once(trust).chain(others).collect()
            }
            (ImportRight::Decrypt, _) => vec![
                self.read_statement("ImportDecrypts", &who, denied.key.as_deref()),
                Remedy::say(format!(
                    "if the key is in another account, or its own policy does not leave this to the policies of its \
                     account, that policy must allow kms:Decrypt to {who}, too"
                )),
            ],
            (ImportRight::List, _) => {
                vec![self.read_statement("ImportLists", &who, None), self.other_account(&who)]
            }
            (ImportRight::Read | ImportRight::Assume, _) => {
                let mut grants =
                    vec![self.read_statement("ImportReads", &who, None), self.other_account(&who)];
                if !denied.is_said {
                    grants.push(Remedy::say(format!(
                        "if the files are encrypted with a KMS key, kms:Decrypt may be missing instead: `forebay import \
                         test-credentials {}` shows which",
                        self.name
                    )));
                }
                grants
            }
        }
    }

    /// The role, and what fixes it.
    pub(super) fn role_use<'r>(&self, role: &'r Role, process: Option<&str>) -> RoleUse<'r> {
        let import = PolicyImport {
            external_id: Some(role.external_id.to_string()),
            role: Some(role.arn.arn().clone()),
            ..self.policy_import(None)
        };
        let text = format!("the trust policy of {} needs this statement", role.arn);
        let trust = match process.and_then(principal_of) {
            Some(principal) => {
                let principals = vec![principal];
                let values = Values { principals, imports: vec![import.clone()], ..Values::default() };
                statement(Template::ImportTrust, "CollectorAssumes", &values, text)
            }
            None => Remedy::say(format!(
                "{text}: it allows sts:AssumeRole to {PROCESS}, with the external id {}",
                role.external_id
            )),
        };
        let values =
            Values { places: vec![PolicyBucket::default()], imports: vec![import], ..Values::default() };
        RoleUse {
            role,
            purpose: "read its files",
            without_external_id: Outcome::Warning,
            trust,
            others: vec![
                statement(
                    Template::Collector,
                    "ForebayAssumesRole",
                    &values,
                    format!("also allow {} to assume it, in its own policy", process.unwrap_or(PROCESS)),
                ),
                Remedy::paste(
                    "or set the external id that the trust policy already requires",
                    format!("[[import]]\nname = \"{}\"\nexternal_id = \"…\"", self.name),
                ),
            ],
        }
    }

    /// A statement for whoever reads the bucket.
    fn read_statement(&self, sid: &str, who: &str, key: Option<&str>) -> Remedy {
        let template = self.read_template();
        let values = Values { imports: vec![self.policy_import(key)], ..Values::default() };
        let text = format!(
            "the policy of {who} needs this statement (`forebay policy {} --import {}` prints the whole policy)",
            template.name(),
            self.name
        );
        statement(template, sid, &values, text)
    }

    fn other_account(&self, who: &str) -> Remedy {
        Remedy::say(format!(
            "if the bucket is in another account than {who}, its own policy must allow this, too: `forebay policy \
             import-bucket --import {}` prints it",
            self.name
        ))
    }

    pub(super) fn policy_import(&self, key: Option<&str>) -> PolicyImport {
        PolicyImport {
            name: self.name.clone(),
            bucket: Some(self.location.bucket.bucket().to_owned()),
            prefix: self.prefix.clone(),
            region: self.location.region.clone(),
            kms_key: key.map(str::to_owned),
            after: self.after.clone(),
            ..PolicyImport::default()
        }
    }

    fn read_template(&self) -> Template {
        if self.prefix.is_empty() { Template::ImportRead } else { Template::ImportReadPrefix }
    }

    fn right_in_words(&self, right: ImportRight) -> String {
        let bucket = self.location.bucket.bucket();
        match right {
            ImportRight::Assume => "sts:AssumeRole".to_owned(),
            ImportRight::List if self.prefix.is_empty() => format!("s3:ListBucket on {bucket}"),
            ImportRight::List => format!("s3:ListBucket on {bucket} below {}", self.prefix),
            ImportRight::Read => format!("s3:GetObject and s3:GetObjectVersion on {bucket}/{}*", self.prefix),
            ImportRight::Decrypt => "kms:Decrypt with the key of the files".to_owned(),
        }
    }

    pub(super) fn who(&self, process: Option<&str>) -> String {
        match (&self.location.role, process) {
            (Some(role), _) => role.arn.to_string(),
            (None, Some(process)) => {
                principal_of(process).map_or_else(|| process.to_owned(), |arn| arn.to_string())
            }
            (None, None) => PROCESS.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::object::{BucketString, Encryption, ExternalId, RoleArn};

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const ROLE: &str = "arn:aws:iam::111122223333:role/reader";
    const PROCESS_ARN: &str = "arn:aws:sts::444455556666:assumed-role/forebay/i-1";

    fn reader(prefix: &str, role: bool) -> ImportReader {
        let location = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::None);
        let role = role.then(|| Role {
            arn: RoleArn::parse(ROLE).unwrap(),
            external_id: ExternalId::parse("id-1").unwrap(),
        });
        ImportReader {
            name: "orders".to_owned(),
            location: S3Location { role, ..location },
            prefix: prefix.to_owned(),
            after: None,
        }
    }

    fn refused(right: &str, resource: &str, because: &str) -> String {
        format!(
            "User: {PROCESS_ARN} is not authorized to perform: {right} on resource: \"{resource}\" {because}"
        )
    }

    #[test]
    fn a_denial_says_which_right_is_missing() {
        let check = |text: &str, right, explicitly, key: Option<&str>| {
            let denied = DeniedRight::of_file(text);
            let found = (denied.right, denied.explicitly, denied.key.as_deref());
            assert_eq!(found, (right, explicitly, key), "{text}");
        };
        use ImportRight::{Assume, Decrypt, Read};
        check("access denied: 403: ", Read, false, None);
        check(&refused("s3:GetObject", "arn:aws:s3:::lake/kms:x", "because no"), Read, false, None);
        check(&refused("s3:GetObjectVersion", "arn:aws:s3:::lake/x", "because no"), Read, false, None);
        check(&refused("kms:Decrypt", KEY, "because no"), Decrypt, false, Some(KEY));
        check(&refused("kms:Decrypt", "*", "because no"), Decrypt, false, None);
        check(&refused("s3:GetObject", "x", "with an explicit deny in a policy"), Read, true, None);
        check(&refused("sts:AssumeRole", ROLE, ""), Assume, false, None);
        check(&format!("403: assume the role {ROLE} with the external id x: no"), Assume, false, None);
        let listing = |fault, code| StoreError::answered(fault, 403, Some(code), "Access Denied");
        let of = |fault, code| DeniedRight::of_listing(&listing(fault, code)).map(|denied| denied.right);
        assert_eq!(of(Fault::Refused, "AccessDenied"), Some(ImportRight::List));
        assert_eq!(of(Fault::NoAccess, "AccessDenied"), Some(Assume));
        assert_eq!(of(Fault::Refused, "InvalidAccessKeyId"), None);
    }

    /// The statement that is first in what grants a right.
    fn granted(reader: &ImportReader, right: ImportRight, process: Option<&str>) -> Value {
        let denied = DeniedRight { right, explicitly: false, is_said: true, key: Some(KEY.to_owned()) };
        let grants = reader.grants(&denied, process);
        let paste = grants[0].paste.as_ref().unwrap_or_else(|| panic!("{grants:?}"));
        serde_json::from_str(paste).unwrap()
    }

    #[test]
    fn each_right_has_the_statement_that_grants_it() {
        use ImportRight::{Assume, Decrypt, List, Read};
        let part = reader("orders/", true);
        let lists = granted(&part, List, None);
        assert_eq!(lists["Condition"], json!({ "StringLike": { "s3:prefix": "orders/*" } }));
        assert_eq!(lists["Resource"], "arn:aws:s3:::lake");
        assert_eq!(granted(&part, Read, None)["Resource"], "arn:aws:s3:::lake/orders/*");
        assert_eq!(granted(&part, Decrypt, None)["Resource"], KEY);
        let trust = granted(&part, Assume, Some(PROCESS_ARN));
        assert_eq!(trust["Principal"]["AWS"], "arn:aws:iam::444455556666:role/forebay");
        assert_eq!(trust["Condition"]["StringEquals"]["sts:ExternalId"], "id-1");
        let whole = reader("", false);
        assert_eq!(granted(&whole, List, None).get("Condition"), None);
        assert_eq!(granted(&whole, Read, None)["Resource"], "arn:aws:s3:::lake/*");
    }

    #[test]
    fn the_sentence_names_who_what_and_the_command() {
        let check = |reader: &ImportReader, denied: DeniedRight, said: &[&str]| {
            let sentence = reader.sentence(&denied);
            for part in said {
                assert!(sentence.contains(part), "{part:?} is missing in {sentence:?}");
            }
        };
        let denied = |right| DeniedRight { right, explicitly: false, is_said: true, key: None };
        let (part, whole) = (reader("orders/", true), reader("", false));
        let command = "`forebay policy import-read-prefix --import orders` prints it";
        check(&part, denied(ImportRight::List), &[ROLE, "s3:ListBucket on lake below orders/", command]);
        let command = "`forebay policy import-read --import orders` prints it";
        check(
            &whole,
            denied(ImportRight::Read),
            &[PROCESS, "s3:GetObject and s3:GetObjectVersion on lake/*", command],
        );
        check(&part, denied(ImportRight::Assume), &["--external-id id-1 --principal ARN` prints it"]);
        check(&part, denied(ImportRight::Decrypt), &["--kms-key ARN` prints it"]);
        let explicit = DeniedRight { explicitly: true, ..denied(ImportRight::Read) };
        check(&part, explicit.clone(), &["a policy denies s3:GetObject", "explicitly to"]);
        assert!(part.grants(&explicit, None).iter().all(|remedy| remedy.paste.is_none()));
        let unsaid = DeniedRight { is_said: false, ..denied(ImportRight::Read) };
        check(&whole, unsaid, &["and kms:Decrypt if they are encrypted", "import test-credentials orders"]);
    }
}
