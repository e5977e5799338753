//! The prefixes to which imports of this journal have ever moved objects, or put rejected rows: no import reads what
//! is there, also after the configuration names other prefixes, or none.
//!
//! They are kept beside the entries of objects, by a text that no id of an import begins with.

use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};

/// What is kept by them: the prefix is in the text.
const NOTE: &[u8] = b"{\"version\":1}";
/// The most prefixes of a bucket, of each kind.
const PREFIXES_MAX: usize = 1_000;

/// What imports put beside the files that they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum PutThere {
    /// Files that were moved.
    Moved,
    /// Rejected rows.
    Rejects,
}

impl PutThere {
    /// What the texts begin with.
    fn text(self) -> &'static str {
        match self {
            Self::Moved => "moved",
            Self::Rejects => "rejects",
        }
    }

    /// That there is no room for another prefix.
    fn no_room(self, bucket: &str) -> String {
        match self {
            Self::Moved => format!(
                "objects of bucket {bucket} were moved to {PREFIXES_MAX} prefixes, and no more are remembered: move \
                 them to one of those"
            ),
            Self::Rejects => format!(
                "rejected rows were put below {PREFIXES_MAX} prefixes of bucket {bucket}, and no more are remembered: \
                 set rejects to a place in another bucket"
            ),
        }
    }
}

/// The prefixes of a bucket of a store, with `to` among them, which are noted before an object is put there.
/// Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be used, or has no room for another prefix.
pub(in super::super) fn put_below(
    journal: &dyn Journal,
    what: PutThere,
    (endpoint, bucket): (&str, &str),
    to: &[String],
) -> Result<Vec<String>, JournalError> {
    let of_bucket = format!("{}\n{endpoint}\n{bucket}\n", what.text());
    let mut prefixes = Vec::new();
    journal.kept_from(KeptOf::After, &of_bucket, &mut |by, _| {
        let prefix = by.strip_prefix(of_bucket.as_str());
        prefixes.extend(prefix.map(str::to_owned));
        prefix.is_some()
    })?;
    for to in to {
        if prefixes.iter().any(|prefix| prefix == to) {
            continue;
        }
        if prefixes.len() >= PREFIXES_MAX {
            return Err(JournalError::of(what.no_room(bucket)));
        }
        let note =
            [KeptValue { kind: KeptOf::After, by: format!("{of_bucket}{to}"), value: Some(NOTE.to_vec()) }];
        journal.change(Change { kept: &note, ..Change::default() })?;
        prefixes.push(to.clone());
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::LocalJournal;

    #[test]
    fn a_prefix_is_remembered_for_its_bucket() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let moved = |place: (&str, &str), to: Option<&str>| {
            let to: Vec<String> = to.into_iter().map(str::to_owned).collect();
            put_below(&journal, PutThere::Moved, place, &to)
        };
        let below = |bucket: &str, to: Option<&str>| moved(("", bucket), to).unwrap();
        assert_eq!(below("lake", None), [""; 0]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("old/")), ["done/", "old/"]);
        assert_eq!(below("lake", None), ["done/", "old/"]);
        assert_eq!(below("lake-2", None), [""; 0]);
        assert_eq!(moved(("http://other", "lake"), None).unwrap(), [""; 0]);
        let rejects = |to: &[String]| put_below(&journal, PutThere::Rejects, ("", "lake"), to).unwrap();
        assert_eq!(rejects(&[]), [""; 0], "the two kinds are apart");
        assert_eq!(rejects(&["bad/".to_owned(), "x".to_owned()]), ["bad/", "x"]);
        assert_eq!(rejects(&[]), ["bad/", "x"]);
        for number in 2..PREFIXES_MAX {
            below("lake", Some(&number.to_string()));
        }
        let error = moved(("", "lake"), Some("more/")).unwrap_err().to_string();
        assert!(error.contains("1000 prefixes"), "{error}");
        assert_eq!(below("lake", Some("old/")).len(), PREFIXES_MAX);
    }
}
