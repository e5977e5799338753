//! The rights that an import needs to tag, move or delete what it has imported, and the statements that grant
//! them. Pure.

use super::finding::{CheckFinding, Remedy, Trial};
use super::import_rights::{DeniedRight, ImportReader, ImportRight, word};
use super::subject::statement;
use crate::policy::{PolicyAfter, Template, Values};
use crate::store::{Outlook, StoreError};

/// The statements of the policy for what an import does with its files, and the first of their rights.
fn statements(after: &PolicyAfter) -> &'static [(&'static str, &'static str)] {
    match after {
        PolicyAfter::Tag => &[("ImportTags", "s3:PutObjectTagging")],
        PolicyAfter::Move(_) => &[
            ("ImportPutsCopies", "s3:PutObject"),
            ("ImportReadsTags", "s3:GetObjectTagging"),
            ("ImportDeletes", "s3:DeleteObject"),
        ],
        PolicyAfter::Delete => &[("ImportDeletes", "s3:DeleteObject")],
    }
}

/// Whether the tags of a file can be read, where that is needed, and what else is not tested: it would change
/// files. `tags`: what the store said, if it was asked.
pub(super) fn findings(
    reader: &ImportReader,
    tags: Option<(&str, Result<(), StoreError>)>,
) -> Vec<CheckFinding> {
    let Some(after) = &reader.after else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some((key, answer)) = tags {
        let what = format!("s3://{}/{key}", reader.location.bucket.bucket());
        let trial = Trial::new("get_tags", format!("s3:GetObjectTagging, {what}"));
        findings.push(match answer {
            Ok(()) => trial.passed(format!("the tags of {what} can be read")),
            Err(error) if error.outlook() == Outlook::Denied => {
                trial.failed(error.told().full(), reader.after_grants(error.message.full()))
            }
            Err(error) => trial.not_tested(format!("the answer does not show it ({})", error.told().full())),
        });
    } else if *after != PolicyAfter::Delete {
        findings
            .push(Trial::new("get_tags", "s3:GetObjectTagging").not_tested("not tested: there is no file"));
    }
    let rights: Vec<&str> = statements(after).iter().map(|(_, right)| *right).collect();
    findings.push(Trial::new("after", rights.join(", ")).not_tested(format!(
        "not tested: that would change files. `forebay policy import-after --import {}` prints what is needed, and \
         `forebay import status {}` shows what is denied",
        reader.name, reader.name
    )));
    findings
}

/// The right that a store says is missing, in AWS's wording.
fn said(text: &str) -> Option<&str> {
    text.split_once("not authorized to perform: ").and_then(|(_, rest)| word(rest))
}

impl ImportReader {
    /// What grants the right that a text shows to be missing with which a store refused to tag, move or
    /// delete a file: a sentence without its end.
    pub fn after_sentence(&self, text: &str) -> String {
        if said(text) == Some("kms:Decrypt") {
            return self.sentence(&DeniedRight::of_file(text));
        }
        let (name, who) = (&self.name, self.who(None));
        let bucket = self.location.bucket.bucket();
        let what = match said(text) {
            Some(right) => right.to_owned(),
            None => {
                let all = self.after.iter().flat_map(statements).map(|(_, right)| *right);
                all.collect::<Vec<_>>().join(", ")
            }
        };
        if text.contains("explicit deny") {
            return format!("a policy denies {what} on {bucket} explicitly to {who}: find it and change it");
        }
        let key = if what.starts_with("kms:") { " --kms-key ARN" } else { "" };
        format!(
            "the policy of {who} must allow {what} on {bucket}: `forebay policy import-after --import {name}{key}` prints it"
        )
    }

    /// What grants it: the statements.
    pub fn after_grants(&self, text: &str) -> Vec<Remedy> {
        let Some(after) = self.after.as_ref().filter(|_| !text.contains("explicit deny")) else {
            return vec![Remedy::say(self.after_sentence(text))];
        };
        let DeniedRight { right, key, .. } = DeniedRight::of_file(text);
        if said(text) == Some("kms:Decrypt") {
            return self.grants(&DeniedRight::of_file(text), None);
        }
        let values = Values { imports: vec![self.policy_import(key.as_deref())], ..Values::default() };
        let who = self.who(None);
        // What is copied is encrypted again.
        let of_key: &[_] = &[("ImportEncryptsCopies", "kms:GenerateDataKey")];
        let all = if right == ImportRight::Decrypt { of_key } else { statements(after) };
        let mut remedies: Vec<Remedy> = all
            .iter()
            .filter(|(_, right)| said(text).is_none_or(|said| said == *right || !is_first(after, said)))
            .map(|(sid, _)| {
                let text = format!(
                    "the policy of {who} needs this statement (`forebay policy import-after --import {}` prints the whole \
                     policy)",
                    self.name
                );
                statement(Template::ImportAfter, sid, &values, text)
            })
            .collect();
        remedies.push(Remedy::say(format!(
            "if the bucket is in another account than {who}, its own policy must allow this, too"
        )));
        remedies
    }
}

/// Whether a right is the one by which a statement is known.
fn is_first(after: &PolicyAfter, right: &str) -> bool {
    statements(after).iter().any(|(_, first)| *first == right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Encryption, S3Location};

    #[test]
    fn what_is_denied_has_its_statements() {
        let location = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::None);
        let reader = |after| ImportReader {
            name: "orders".to_owned(),
            location: location.clone(),
            prefix: "in/".to_owned(),
            after: Some(after),
        };
        let aws = |right: &str| {
            format!(
                "User: arn:aws:iam::111122223333:user/x is not authorized to perform: {right} on resource: \"x\""
            )
        };
        let check = |after: PolicyAfter, text: &str, expected: &[&str]| {
            let (reader, mut sids) = (reader(after), Vec::new());
            let grants = reader.after_grants(text);
            for paste in grants.iter().filter_map(|grant| grant.paste.as_ref()) {
                let statement: serde_json::Value = serde_json::from_str(paste).unwrap();
                sids.push(statement["Sid"].as_str().unwrap().to_owned());
            }
            assert_eq!(sids, expected, "{text}");
            let sentence = reader.after_sentence(text);
            assert!(
                sentence.contains("`forebay policy import-after --import orders` prints it"),
                "{sentence}"
            );
        };
        let to = || PolicyAfter::Move("in/done/".to_owned());
        check(PolicyAfter::Tag, "403: ", &["ImportTags"]);
        check(PolicyAfter::Tag, &aws("s3:GetObjectTagging"), &["ImportTags"]);
        check(PolicyAfter::Delete, &aws("s3:DeleteObject"), &["ImportDeletes"]);
        check(to(), "403: ", &["ImportPutsCopies", "ImportReadsTags", "ImportDeletes"]);
        check(to(), &aws("s3:DeleteObject"), &["ImportDeletes"]);
        check(to(), &aws("s3:PutObject"), &["ImportPutsCopies"]);
        check(to(), &aws("s3:GetObject"), &["ImportPutsCopies", "ImportReadsTags", "ImportDeletes"]);
        let key = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
        let of_key = |right: &str| {
            let text = aws(right).replace("\"x\"", key);
            (reader(to()).after_sentence(&text), reader(to()).after_grants(&text)[0].paste.clone().unwrap())
        };
        let (sentence, statement) = of_key("kms:GenerateDataKey");
        assert!(
            sentence.contains("`forebay policy import-after --import orders --kms-key ARN`"),
            "{sentence}"
        );
        assert!(statement.contains("ImportEncryptsCopies") && statement.contains(key), "{statement}");
        let (sentence, statement) = of_key("kms:Decrypt");
        assert!(sentence.contains("import-read-prefix --import orders --kms-key ARN`"), "{sentence}");
        assert!(statement.contains("ImportDecrypts") && statement.contains(key), "{statement}");
        let explicit = format!("{} with an explicit deny in a policy", aws("s3:DeleteObject"));
        let grants = reader(PolicyAfter::Delete).after_grants(&explicit);
        assert!(grants.len() == 1 && grants[0].paste.is_none(), "{grants:?}");
    }
}
