//! What the journal keeps of an object that is imported and still to be tagged, moved or deleted.
//!
//! An entry is kept by the id of the import and the key in the bucket, as a JSON object; without one, nothing
//! is to do. It does not say what is to be done: that is what the configuration says then.

use crate::import::import_id::ImportId;
use crate::import::journal::{Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};

/// The version of the written form.
const VERSION: u32 = 1;

/// Why nothing is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in super::super) enum Kept {
    /// So many rows of it were rejected, and nobody has settled that.
    Rejected(u64),
    /// Another object has its key.
    Changed,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct AfterEntry {
    version: u32,
    /// The entity tag of the object that was imported, without quotes.
    pub(super) etag: String,
    /// Its length in bytes.
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kept: Option<Kept>,
}

/// An entry as it was read. Damage to one stops no other.
pub(super) type Read = Result<AfterEntry, String>;

/// Takes the key of an object and its entry. Returns whether the next one is wanted, too.
pub(super) type EachEntry<'e> = &'e mut dyn FnMut(&str, Read) -> bool;

impl AfterEntry {
    /// The entry of an object with which nothing was done yet.
    pub(in super::super) fn due(etag: &str, size: u64) -> Self {
        Self { version: VERSION, etag: etag.trim_matches('"').to_owned(), size, kept: None }
    }

    /// The entry of an object that was just imported, with so many rejected rows.
    pub(in super::super) fn imported(etag: &str, size: u64, rejected: u64) -> Self {
        let kept = (rejected > 0).then_some(Kept::Rejected(rejected));
        Self { kept, ..Self::due(etag, size) }
    }

    /// The entry as it is for another reason.
    pub(super) fn with(self, kept: Option<Kept>) -> Self {
        Self { kept, ..self }
    }

    fn of_json(json: &[u8]) -> Read {
        let entry: Self = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        match entry.version {
            VERSION => Ok(entry),
            other => Err(format!("it has version {other}, and this release knows {VERSION}")),
        }
    }

    /// The entry of the object with this key. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn read(
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<Option<Read>, JournalError> {
        let json = journal.kept(KeptOf::After, &by(import, key))?;
        Ok(json.map(|json| Self::of_json(&json)))
    }

    /// Passes each entry of an import to `each`, in the order of the keys, from the key `from` on, until it
    /// returns false. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn each_from(
        journal: &dyn Journal,
        import: ImportId,
        from: &str,
        each: EachEntry<'_>,
    ) -> Result<(), JournalError> {
        let of_import = by(import, "");
        journal.kept_from(KeptOf::After, &by(import, from), &mut |by, json| {
            by.strip_prefix(of_import.as_str()).is_some_and(|key| each(key, Self::of_json(json)))
        })
    }

    /// What the journal keeps of it. Errors: [`JournalError`]: it has no written form.
    pub(in super::super) fn kept(&self, import: ImportId, key: &str) -> Result<KeptValue, JournalError> {
        KeptValue::json(KeptOf::After, by(import, key), self).map_err(JournalError::of)
    }

    /// What removes the entry of an object.
    pub(super) fn removed(import: ImportId, key: &str) -> KeptValue {
        KeptValue { kind: KeptOf::After, by: by(import, key), value: None }
    }
}

/// The text by which an entry is found. Of one import, the order is that of a listing.
fn by(import: ImportId, key: &str) -> String {
    format!("{import}/{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::{Change, LocalJournal};

    #[test]
    fn an_entry_is_kept_for_its_import_and_key_and_damage_is_that_of_one() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (one, two) = (ImportId::of_bits(1), ImportId::of_bits(2));
        let entries = [
            ("a", AfterEntry::imported("\"x\"", 5, 0)),
            ("b", AfterEntry::imported("x", 5, 3)),
            ("d", AfterEntry { kept: Some(Kept::Changed), ..AfterEntry::due("x", 5) }),
        ];
        let mut kept: Vec<KeptValue> =
            entries.iter().map(|(key, entry)| entry.kept(one, key).unwrap()).collect();
        for json in ["", "{\"version\":2,\"etag\":\"x\",\"size\":5}"] {
            let by = by(one, if json.is_empty() { "c" } else { "e" });
            kept.push(KeptValue { kind: KeptOf::After, by, value: Some(json.as_bytes().to_vec()) });
        }
        journal.change(Change { kept: &kept, ..Change::default() }).unwrap();
        let read = |import, from: &str| {
            let mut found = Vec::new();
            AfterEntry::each_from(&journal, import, from, &mut |key, entry| {
                found.push((key.to_owned(), entry.ok()));
                true
            })
            .unwrap();
            found
        };
        let some = |at: usize| Some(entries[at].1.clone());
        let all = [("a", some(0)), ("b", some(1)), ("c", None), ("d", some(2)), ("e", None)];
        let expected: Vec<_> = all.map(|(key, entry)| (key.to_owned(), entry)).to_vec();
        assert_eq!(read(one, ""), expected);
        assert_eq!(read(one, "b"), expected[1..]);
        assert_eq!(read(two, ""), []);
        assert_eq!(entries[0].1.etag, "x");
        assert_eq!(AfterEntry::read(&journal, one, "b").unwrap(), Some(Ok(entries[1].1.clone())));
        assert!(AfterEntry::read(&journal, one, "c").unwrap().unwrap().is_err());
        let removed = [AfterEntry::removed(one, "b")];
        journal.change(Change { kept: &removed, ..Change::default() }).unwrap();
        assert_eq!(AfterEntry::read(&journal, one, "b").unwrap(), None);
    }
}
