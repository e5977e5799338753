//! Whether a shared journal of an import can be used: from answers to findings. Pure.

use super::finding::{CheckFinding, Remedy, Trial};
use super::import_run::AccessEnd;
use super::subject::statement;
use crate::policy::{PolicyImport, Template, Values};
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
    /// The answer to a listing, to two puts that must fail, and to a read.
    pub answers: [Result<(), JournalRefusal>; 3],
}

/// Why the store does not do what was asked.
#[derive(Clone, Debug)]
pub struct JournalRefusal {
    /// What happened.
    pub told: Told,
    /// Whether access is denied.
    pub is_denied: bool,
    /// Whether it cannot be reached, or is busy.
    pub is_passing: bool,
}

/// The findings about a shared journal, and how the first one that failed ended.
pub fn test_journal(tried: &TriedJournal) -> (Vec<CheckFinding>, Option<AccessEnd>) {
    let (mut findings, mut end) = (Vec::new(), None);
    let checks = [
        ("journal_list", "s3:ListBucket", "ImportJournalLists"),
        ("journal_put", "s3:PutObject on a condition", "ImportJournalReadsAndWrites"),
        ("journal_get", "s3:GetObject", "ImportJournalReadsAndWrites"),
    ];
    for ((check, right, sid), answer) in checks.into_iter().zip(&tried.answers) {
        let trial = Trial::new(check, format!("{right}, {}", tried.url));
        findings.push(match answer {
            Ok(()) => trial.passed(format!("{} allows {right}", tried.url)),
            Err(refusal) => {
                end.get_or_insert(match refusal {
                    JournalRefusal { is_denied: true, .. } => AccessEnd::Denied,
                    JournalRefusal { is_passing: true, .. } => AccessEnd::Unreachable,
                    _ => AccessEnd::Wrong,
                });
                let remedies = if refusal.is_denied { vec![tried.grant(sid)] } else { Vec::new() };
                trial.failed(refusal.told.full(), remedies)
            }
        });
    }
    (findings, end)
}

impl TriedJournal {
    fn grant(&self, sid: &str) -> Remedy {
        let (name, journal) = (self.name.clone(), Some(self.place.clone()));
        let import = PolicyImport { name, journal, ..PolicyImport::default() };
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

    #[test]
    fn each_right_that_is_missing_has_its_statement() {
        let refused =
            |is_denied, is_passing| Err(JournalRefusal { told: "403".into(), is_denied, is_passing });
        let tried = |answers| TriedJournal {
            name: "orders".to_owned(),
            url: "s3://state/forebay/".to_owned(),
            place: ("state".to_owned(), "forebay/".to_owned()),
            answers,
        };
        let (findings, end) = test_journal(&tried([Ok(()), refused(true, false), refused(false, true)]));
        assert_eq!(end, Some(AccessEnd::Denied));
        let paste = findings[1].remedies[0].paste.as_ref().unwrap();
        assert!(paste.contains("arn:aws:s3:::state/forebay/*") && paste.contains("s3:PutObject"), "{paste}");
        assert!(findings[0].remedies.is_empty() && findings[2].remedies.is_empty());
        assert_eq!(test_journal(&tried([Ok(()), Ok(()), Ok(())])).1, None);
    }
}
