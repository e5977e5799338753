//! The prefixes to which an import of this journal has ever moved objects: no import reads what is there,
//! also after the configuration names other prefixes. And those to which others moved objects of an import, as their
//! [marks](super::mark) say.
//!
//! They are kept beside the entries of objects, by a text that no id of an import begins with.

use crate::import::import_id::ImportId;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};

/// What the texts begin with.
const MOVED: &str = "moved";
/// What is kept by them: the prefix is in the text.
const NOTE: &[u8] = b"{\"version\":1}";
/// The most prefixes of a bucket or an import. Each is one that a person wrote.
const PREFIXES_MAX: usize = 1_000;

/// Whose prefixes are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum MovedOf {
    /// Those to which imports of this journal moved objects of a bucket of a store, by the endpoint and the bucket. No
    /// import reads what is there.
    Bucket(String, String),
    /// Those to which others moved what the import with this id would have read: their objects have marks.
    Others(ImportId),
}

impl MovedOf {
    fn text(&self) -> String {
        match self {
            Self::Bucket(endpoint, bucket) => format!("{MOVED}\n{endpoint}\n{bucket}\n"),
            // No endpoint is called so.
            Self::Others(import) => format!("{MOVED}\nimport\n{import}\n"),
        }
    }
}

impl std::fmt::Display for MovedOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bucket(_, bucket) => write!(f, "objects of bucket {bucket} were moved to"),
            Self::Others(_) => write!(f, "other instances moved objects of the import to"),
        }
    }
}

/// The prefixes, with `to` among them, which is noted before an object is moved there, or once one that was moved is
/// met. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be used, or has no room for another prefix.
pub(in super::super) fn moved_below(
    journal: &dyn Journal,
    of: &MovedOf,
    to: Option<&str>,
) -> Result<Vec<String>, JournalError> {
    let text = of.text();
    let mut prefixes = Vec::new();
    journal.kept_from(KeptOf::After, &text, &mut |by, _| {
        let prefix = by.strip_prefix(text.as_str());
        prefixes.extend(prefix.map(str::to_owned));
        prefix.is_some()
    })?;
    if let Some(to) = to.filter(|to| !prefixes.iter().any(|prefix| prefix == to)) {
        if prefixes.len() >= PREFIXES_MAX {
            let what = format!(
                "{of} {PREFIXES_MAX} prefixes, and no more are remembered: move them to one of those"
            );
            return Err(JournalError::of(what));
        }
        let note = [KeptValue { kind: KeptOf::After, by: format!("{text}{to}"), value: Some(NOTE.to_vec()) }];
        journal.change(Change { kept: &note, ..Change::default() })?;
        prefixes.push(to.to_owned());
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
        let of = |bucket: &str| MovedOf::Bucket(String::new(), bucket.to_owned());
        let below = |bucket: &str, to: Option<&str>| moved_below(&journal, &of(bucket), to).unwrap();
        assert_eq!(below("lake", None), [""; 0]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("old/")), ["done/", "old/"]);
        assert_eq!(below("lake", None), ["done/", "old/"]);
        assert_eq!(below("lake-2", None), [""; 0]);
        let elsewhere = MovedOf::Bucket("http://other".to_owned(), "lake".to_owned());
        assert_eq!(moved_below(&journal, &elsewhere, None).unwrap(), [""; 0]);
        let [one, other] = [1, 2].map(|bits| MovedOf::Others(ImportId::of_bits(bits)));
        assert_eq!(moved_below(&journal, &one, Some("in/old/")).unwrap(), ["in/old/"]);
        assert_eq!(moved_below(&journal, &one, None).unwrap(), ["in/old/"]);
        assert_eq!(moved_below(&journal, &other, None).unwrap(), [""; 0]);
        for number in 2..PREFIXES_MAX {
            below("lake", Some(&number.to_string()));
        }
        let error = moved_below(&journal, &of("lake"), Some("more/")).unwrap_err().to_string();
        assert!(error.contains("1000 prefixes"), "{error}");
        assert_eq!(below("lake", Some("old/")).len(), PREFIXES_MAX);
    }
}
