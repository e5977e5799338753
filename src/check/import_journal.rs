//! Whether a shared journal of an import can be used: from answers to findings. Pure.

use super::finding::{CheckFinding, Remedy, Trial};
use super::import_rights::{DeniedRight, ImportRight};
use super::import_run::AccessEnd;
use super::subject::statement;
use crate::policy::{PolicyImport, Template, Values};
use crate::store::StoreError;
use crate::store::reason::Reason;
use crate::words::Told;

/// The shared journal of an import, and what the store answered to requests that need a right each.
#[derive(Clone, Debug)]
pub struct TriedJournal {
    /// The import's name.
    pub name: String,
    /// The folder, as a URL.
    pub url: String,
    /// Its bucket, and its prefix with a slash at the end.
    pub place: (String, String),
    /// The answer to a listing.
    pub list: Result<(), StoreError>,
    /// The answers to puts, and to a read of what was put: whether it is there. `None`: the listing showed
    /// that they are no use.
    pub rest: Option<(Result<(), JournalRefusal>, Result<bool, JournalRefusal>)>,
}

/// Why the store does not do what was asked.
#[derive(Clone, Debug)]
pub struct JournalRefusal {
    /// What happened.
    pub told: Told,
    /// What it is about.
    pub end: AccessEnd,
}

/// Whether a listing that failed leaves the other rights worth a try.
pub fn is_worth_more(list: &Result<(), StoreError>) -> bool {
    list.as_ref().err().is_none_or(|error| matches!(error.reason, Reason::Denied(_)))
}

/// The findings about a shared journal, and how the first one that failed ended.
pub fn test_journal(tried: &TriedJournal) -> (Vec<CheckFinding>, Option<AccessEnd>) {
    let url = &tried.url;
    let trial =
        |check, right: &str| (Trial::new(check, format!("{right}, {url}")), format!("{url} allows {right}"));
    let mut end = None;
    let mut failed = |refusal: JournalRefusal, trial: Trial, sid: &str| {
        end.get_or_insert(refusal.end);
        let remedies =
            if refusal.end == AccessEnd::Denied { tried.grants(&refusal.told, sid) } else { Vec::new() };
        trial.failed(refusal.told.full(), remedies)
    };
    let ((list, lists), (put, puts), (get, gets)) = (
        trial("journal_list", "s3:ListBucket"),
        trial("journal_put", "s3:PutObject on a condition"),
        trial("journal_get", "s3:GetObject"),
    );
    let mut findings = vec![match &tried.list {
        Ok(()) => list.passed(lists),
        Err(error) if error.reason == Reason::NoSuchBucket => {
            let refusal = JournalRefusal { told: error.told(), end: AccessEnd::Wrong };
            let mut finding = failed(refusal, list, "");
            finding.remedies = vec![Remedy::say(format!(
                "create the bucket {}, or correct `journal` of import {}",
                tried.place.0, tried.name
            ))];
            finding
        }
        Err(error) => {
            let end = AccessEnd::of(error.reason);
            let mut finding = failed(JournalRefusal { told: error.told(), end }, list, "ImportJournalLists");
            if finding.remedies.is_empty() {
                finding.remedies.extend(error.remedy().map(Remedy::say));
            }
            finding
        }
    }];
    let sid = "ImportJournalReadsAndWrites";
    let Some((put_answer, get_answer)) = tried.rest.clone() else {
        let because = "not tested: the folder cannot be listed";
        findings.extend([put.not_tested(because.to_owned()), get.not_tested(because.to_owned())]);
        return (findings, end);
    };
    findings.push(match put_answer {
        Ok(()) => put.passed(puts),
        Err(refusal) => failed(refusal, put, sid),
    });
    findings.push(match get_answer {
        Ok(true) => get.passed(gets),
        Ok(false) => get.not_tested("not tested: there is nothing to read".to_owned()),
        Err(refusal) => failed(refusal, get, sid),
    });
    (findings, end)
}

impl TriedJournal {
    fn grants(&self, told: &Told, sid: &str) -> Vec<Remedy> {
        let denied = DeniedRight::of_file(told.full());
        if denied.explicitly {
            return vec![Remedy::say(
                "a policy denies this explicitly to the collector's own role or user: find it, and change it",
            )];
        }
        if denied.right == ImportRight::Decrypt {
            return vec![self.grant("ImportJournalEncrypts", denied.key)];
        }
        let mut grants = vec![self.grant(sid, None)];
        if !denied.is_said && sid != "ImportJournalLists" {
            grants.push(Remedy::say(format!(
                "if the bucket encrypts with a KMS key by default, a right to use it may be missing instead: `forebay policy \
                 import-journal --import {} --kms-key ARN` prints it",
                self.name
            )));
        }
        grants
    }

    fn grant(&self, sid: &str, kms_key: Option<String>) -> Remedy {
        let (name, journal) = (self.name.clone(), Some(self.place.clone()));
        let import = PolicyImport { name, journal, kms_key, ..PolicyImport::default() };
        let values = Values { imports: vec![import], ..Values::default() };
        let text = format!(
            "the policy of the collector's own role or user needs this statement (`forebay policy import-journal --import \
             {}` prints the whole policy)",
            self.name
        );
        statement(Template::ImportJournal, sid, &values, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Fault;

    const KEY: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

    fn tried(
        list: Result<(), StoreError>,
        rest: Option<(Result<(), JournalRefusal>, Result<bool, JournalRefusal>)>,
    ) -> TriedJournal {
        TriedJournal {
            name: "orders".to_owned(),
            url: "s3://state/forebay/".to_owned(),
            place: ("state".to_owned(), "forebay/".to_owned()),
            list,
            rest,
        }
    }

    fn refusal(text: &str, end: AccessEnd) -> JournalRefusal {
        JournalRefusal { told: Told::plain(text), end }
    }

    #[test]
    fn each_right_that_is_missing_has_its_statement() {
        let put = refusal("access denied: 403", AccessEnd::Denied);
        let rest = (Err(put), Err(refusal("503", AccessEnd::Unreachable)));
        let (findings, end) = test_journal(&tried(Ok(()), Some(rest)));
        assert_eq!(end, Some(AccessEnd::Denied));
        let paste = findings[1].remedies[0].paste.as_ref().unwrap();
        assert!(paste.contains("arn:aws:s3:::state/forebay/*") && paste.contains("s3:PutObject"), "{paste}");
        assert!(findings[1].remedies[1].text.contains("--kms-key ARN"), "{findings:?}");
        assert!(findings[0].remedies.is_empty() && findings[2].remedies.is_empty());
        assert_eq!(test_journal(&tried(Ok(()), Some((Ok(()), Ok(true))))).1, None);
        let text = format!(
            "access denied: x is not authorized to perform: kms:GenerateDataKey on resource: {KEY} because"
        );
        let of_key = refusal(&text, AccessEnd::Denied);
        let (findings, _) = test_journal(&tried(Ok(()), Some((Err(of_key), Ok(false)))));
        let paste = findings[1].remedies[0].paste.as_ref().unwrap();
        assert!(paste.contains("ImportJournalEncrypts") && paste.contains(KEY), "{paste}");
        assert!(findings[2].found.contains("nothing to read"), "{findings:?}");
    }

    /// It ended as if the store could not be reached, with no word about the bucket.
    #[test]
    fn a_missing_bucket_is_named() {
        let missing = StoreError::answered(Fault::Refused, 404, Some("NoSuchBucket"), "no");
        assert!(!is_worth_more(&Err(missing.clone())));
        let (findings, end) = test_journal(&tried(Err(missing), None));
        assert_eq!(end, Some(AccessEnd::Wrong));
        let text = &findings[0].remedies[0].text;
        assert_eq!(text, "create the bucket state, or correct `journal` of import orders");
        let denied = StoreError::answered(Fault::Refused, 403, Some("AccessDenied"), "no");
        assert!(is_worth_more(&Err(denied.clone())) && is_worth_more(&Ok(())));
        let (findings, end) = test_journal(&tried(Err(denied), Some((Ok(()), Ok(true)))));
        assert_eq!(end, Some(AccessEnd::Denied));
        assert!(findings[0].remedies[0].paste.as_ref().unwrap().contains("ImportJournalLists"));
    }
}
