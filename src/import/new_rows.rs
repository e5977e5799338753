//! Leaves out of a step the rows that are known by their hashes.

use std::collections::HashMap;

use bytes::Bytes;

use super::envelope::{Envelope, head};
use super::file_id::first_128_bits;
use super::journal::Journal;
use super::row_hash::{RowCount, RowHash};
use super::target::{TargetError, unwritten};
use crate::words::Told;

/// A step without the rows that are known.
#[derive(Debug)]
pub(super) struct NewRows {
    /// The envelope of the calls that are left.
    pub(super) calls: Bytes,
    /// How many calls were left out.
    pub(super) known: u64,
    /// How many calls are left.
    pub(super) new: u64,
    /// The counts after the step.
    pub(super) counts: Vec<(u128, RowCount)>,
    /// The calls that are left and must have ids of their own, in their order.
    pub(super) own_ids: Vec<OwnId>,
}

/// A call that is stored only if no other call has its id.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnId {
    /// The call's number among those that are left.
    pub(super) left: u32,
    /// The call's number in the step.
    pub(super) sent: u32,
    /// The hash of the call's row.
    pub(super) hash: RowHash,
}

/// Leaves out the rows of a step that are known. `source` separates the counts of sources, and `file` names
/// the import. Rows of `not_stored` are not counted. Waits for the disk.
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
        journal.row_counts(&keys).map_err(unwritten)?.into_iter().collect();
    let mut kept = String::from_utf8(head(envelope.collection)).map_err(|error| wrong(error.to_string()))?;
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

/// Appends a call. Copies of a row after the first get their number at the end of the messageId, unless a
/// column of the file has the messageId.
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

#[cfg(test)]
mod tests {
    use super::*;

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
