//! The prefixes to which an import of this journal has ever moved objects: no import reads what is there,
//! also after the configuration names other prefixes.
//!
//! They are kept beside the entries of objects, by a text that no id of an import begins with.

use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};

/// What the texts begin with.
const MOVED: &str = "moved";
/// What is kept by them: the prefix is in the text.
const NOTE: &[u8] = b"{\"version\":1}";
/// The most prefixes of a bucket. Each is one that a person wrote.
const PREFIXES_MAX: usize = 1_000;

/// The prefixes of a bucket of a store, with `to` among them, which is noted before an object is moved there.
/// Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be used, or has no room for another prefix.
pub(in super::super) fn moved_below(
    journal: &dyn Journal,
    (endpoint, bucket): (&str, &str),
    to: Option<&str>,
) -> Result<Vec<String>, JournalError> {
    let of_bucket = format!("{MOVED}\n{endpoint}\n{bucket}\n");
    let mut prefixes = Vec::new();
    journal.kept_from(KeptOf::After, &of_bucket, &mut |by, _| {
        let prefix = by.strip_prefix(of_bucket.as_str());
        prefixes.extend(prefix.map(str::to_owned));
        prefix.is_some()
    })?;
    if let Some(to) = to.filter(|to| !prefixes.iter().any(|prefix| prefix == to)) {
        if prefixes.len() >= PREFIXES_MAX {
            let what = format!(
                "objects of bucket {bucket} were moved to {PREFIXES_MAX} prefixes, and no more are remembered: move \
                 them to one of those"
            );
            return Err(JournalError::of(what));
        }
        let note =
            [KeptValue { kind: KeptOf::After, by: format!("{of_bucket}{to}"), value: Some(NOTE.to_vec()) }];
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
        let below = |bucket: &str, to: Option<&str>| moved_below(&journal, ("", bucket), to).unwrap();
        assert_eq!(below("lake", None), [""; 0]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("done/")), ["done/"]);
        assert_eq!(below("lake", Some("old/")), ["done/", "old/"]);
        assert_eq!(below("lake", None), ["done/", "old/"]);
        assert_eq!(below("lake-2", None), [""; 0]);
        assert_eq!(moved_below(&journal, ("http://other", "lake"), None).unwrap(), [""; 0]);
        for number in 2..PREFIXES_MAX {
            below("lake", Some(&number.to_string()));
        }
        let error = moved_below(&journal, ("", "lake"), Some("more/")).unwrap_err().to_string();
        assert!(error.contains("1000 prefixes"), "{error}");
        assert_eq!(below("lake", Some("old/")).len(), PREFIXES_MAX);
    }
}
