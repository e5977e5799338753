//! Rows that are known by their content: the same row is imported once, in whichever file it comes again.
//!
//! A row's hash is that of its bytes and of a scope. Equal rows of one file are told apart by counting: the second
//! copy of a row is new only if no file of the scope had a second copy before. The counts stand in the journal, 32
//! bytes for each row that differs.

use std::collections::HashMap;
use std::fmt;

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;

use super::envelope::Envelope;
use super::file_id::first_128_bits;
use super::journal::{Journal, JournalError};
use super::target::TargetError;
use crate::words::Told;

/// The hash of a row and its scope. As text: base32, lower case, 26 characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RowHash(pub u128);

impl RowHash {
    /// The hash of a row's bytes.
    pub fn of(scope: &RowScope, raw: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&scope.0).update(raw);
        Self(u128::from_be_bytes(first_128_bits(&hasher)))
    }

    /// The hash of what a rejected row contains in its file, or of an id that it has.
    pub fn of_content(bytes: &[u8]) -> Self {
        Self::of(&RowScope::of("content"), bytes)
    }

    /// Names a row that a person corrected by its place, `in_file` and `row`, and by what the file has there.
    pub fn of_corrected(in_file: &RowScope, row: u64, content: &str) -> Self {
        Self::of(in_file, format!("{row} {content}").as_bytes())
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes()).ok()?;
        Some(Self(u128::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl fmt::Display for RowHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE32_NOPAD.encode(&self.0.to_be_bytes()).to_ascii_lowercase())
    }
}

/// Within which rows are compared: a file's name, or everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowScope([u8; 16]);

impl RowScope {
    /// The scope with this name. The source need not be part of it: each source has its own counts.
    pub fn of(name: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay rows 1\0").update(name.as_bytes());
        Self(first_128_bits(&hasher))
    }
}

/// How often a row is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCount {
    /// Copies stored.
    pub stored: u32,
    /// Copies seen in the file that had one last.
    pub in_file: u32,
    /// That file.
    pub file: u64,
}

impl RowCount {
    /// Sees one more copy in `file`. Returns its number if it is to be stored.
    fn see(&mut self, file: u64) -> Option<u32> {
        if self.file != file {
            (self.file, self.in_file) = (file, 0);
        }
        self.in_file = self.in_file.saturating_add(1);
        let is_new = self.in_file > self.stored;
        self.stored = self.stored.max(self.in_file);
        is_new.then_some(self.in_file)
    }
}

/// A step without the rows that are known.
#[derive(Debug)]
pub(super) struct NewRows {
    /// An envelope of the others.
    pub(super) calls: Bytes,
    /// How many calls were left out.
    pub(super) known: u64,
    /// How many calls are left.
    pub(super) new: u64,
    /// The counts after the step.
    pub(super) counts: Vec<(u128, RowCount)>,
    /// The calls that are left and must have ids of their own: in the order that they are left in.
    pub(super) own_ids: Vec<OwnId>,
}

/// A call that is stored only if no other one has its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnId {
    /// Its number among the calls that are left.
    pub(super) left: u32,
    /// Its number in the step.
    pub(super) sent: u32,
    /// Its row.
    pub(super) hash: RowHash,
}

/// Leaves out the rows of a step that are known. `source` separates the counts of sources, and `file` names the
/// import. Rows of `not_stored` are not counted. Waits for the disk.
pub(super) fn new_rows(
    journal: &dyn Journal,
    (source, file): (&str, u64),
    calls: &Bytes,
    not_stored: &[String],
) -> Result<NewRows, TargetError> {
    let wrong =
        |what: String| TargetError::Refused(Told::plain("the rows cannot be read: ").and(&what.into()));
    let envelope = Envelope::read(calls).map_err(|error| wrong(error.to_string()))?;
    let hashes: Option<Vec<RowHash>> =
        envelope.hashes.iter().flatten().map(|text| RowHash::parse(text)).collect();
    let hashes = hashes.filter(|hashes| hashes.len() == envelope.batch.len());
    let hashes = hashes.ok_or_else(|| wrong("each call needs a hash".to_owned()))?;
    let keys: Vec<u128> = hashes.iter().map(|hash| key(source, *hash)).collect();
    let mut counts: HashMap<u128, RowCount> =
        journal.row_counts(&keys).map_err(unread)?.into_iter().collect();
    let mut kept = String::from_utf8(envelope.head()).map_err(|error| wrong(error.to_string()))?;
    kept.reserve(calls.len());
    let (mut known, mut new, mut own_ids) = (0, 0, Vec::new());
    for (sent, ((key, hash), call)) in (0..).zip(keys.iter().zip(&hashes).zip(&envelope.batch)) {
        if !not_stored.is_empty() && not_stored.contains(&hash.to_string()) {
            continue;
        }
        match counts.entry(*key).or_default().see(file) {
            None => known += 1,
            Some(copy) => {
                if new > 0 {
                    kept.push(',');
                }
                if envelope.own_ids.binary_search(&sent).is_ok() {
                    own_ids.push(OwnId { left: new, sent, hash: *hash });
                }
                new += 1;
                push_call(&mut kept, call.get(), *hash, copy);
            }
        }
    }
    kept.push_str("]}");
    let counts = counts.into_iter().collect();
    Ok(NewRows { calls: Bytes::from(kept), known, new: u64::from(new), counts, own_ids })
}

/// Appends a call. Copies of a row after the first get their number at the end of the messageId, unless a column of
/// the file has the messageId.
fn push_call(out: &mut String, call: &str, hash: RowHash, copy: u32) {
    let id = format!("\"messageId\":\"imp_{hash}");
    match (copy, call.split_once(&id)) {
        (0 | 1, _) | (_, None) => out.push_str(call),
        (_, Some((before, after))) => {
            out.extend([before, id.as_str(), "_", &copy.to_string(), after]);
        }
    }
}

fn key(source: &str, hash: RowHash) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hash.0.to_be_bytes()).update(source.as_bytes());
    u128::from_be_bytes(first_128_bits(&hasher))
}

fn unread(error: JournalError) -> TargetError {
    super::importer::unwritten(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_new_only_if_no_file_had_as_many() {
        let mut count = RowCount::default();
        assert_eq!([count.see(1), count.see(1)], [Some(1), Some(2)]);
        assert_eq!([count.see(2), count.see(2), count.see(2)], [None, None, Some(3)]);
        assert_eq!([count.see(1), count.see(1), count.see(1), count.see(1)], [None, None, None, Some(4)]);
    }

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hash = RowHash::of(&RowScope::of("a.csv"), b"1,2");
        assert_eq!(RowHash::parse(&hash.to_string()), Some(hash));
        assert_ne!(hash, RowHash::of(&RowScope::of("b.csv"), b"1,2"));
        assert_eq!(RowHash::parse("abc"), None);
    }

    #[test]
    fn further_copies_have_ids_of_their_own() {
        let hash = RowHash(7);
        let call = format!("{{\"type\":\"track\",\"messageId\":\"imp_{hash}\",\"userId\":\"1\"}}");
        let mut out = String::new();
        push_call(&mut out, &call, hash, 2);
        assert_eq!(out, call.replace(&format!("imp_{hash}"), &format!("imp_{hash}_2")));
        out.clear();
        push_call(&mut out, &call, hash, 1);
        assert_eq!(out, call);
    }
}
