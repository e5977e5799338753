//! The rows of a step that are stored, of those that are compared with earlier rows.

use std::ops::Range;

use bytes::Bytes;

use super::envelope::{Envelope, KeyedRow, head, write_tail};
use super::target::{LATER, TargetError};
use crate::log::RowsUnknown;
use crate::log::frame::RowKey;
use crate::words::Told;

/// A step without the rows that repeat others.
#[derive(Debug)]
pub(super) struct RowsToStore {
    /// The body of the step.
    pub(super) calls: Bytes,
    /// The keys of rows, each with the indexes of its calls in the body.
    pub(super) keys: Vec<(Range<u32>, RowKey)>,
    /// How many rows are left out.
    pub(super) repeats: u64,
}

/// Leaves out the rows of a step for which `find` has no key. It gets the hashes of what names the rows.
/// Errors: [`TargetError`]: the body is not that of a step, or nobody knows now which rows repeat others.
pub(super) fn rows_to_store(
    calls: &Bytes,
    find: impl FnOnce(&[u128]) -> Result<Vec<Option<RowKey>>, RowsUnknown>,
) -> Result<RowsToStore, TargetError> {
    let envelope = Envelope::read(calls).map_err(|error| TargetError::Refused(error.to_string().into()))?;
    let wrong = || TargetError::Refused("the rows of a step do not match its calls".into());
    let mut rows = Vec::with_capacity(envelope.row_keys.len());
    let mut hashes = Vec::with_capacity(envelope.row_keys.len());
    let mut end = 0;
    for KeyedRow(hash, first, count) in &envelope.row_keys {
        let after = first.checked_add(*count).filter(|after| *first >= end && after > first);
        end = after.ok_or_else(wrong)?;
        rows.push(*first..end);
        hashes.push(u128::from_str_radix(hash, 16).map_err(|_| wrong())?);
    }
    if usize::try_from(end).is_ok_and(|end| end > envelope.batch.len()) {
        return Err(wrong());
    }
    let unknown =
        |error: RowsUnknown| TargetError::Later { after: LATER, why: Told::plain(error.to_string()) };
    let found = if hashes.is_empty() { Vec::new() } else { find(&hashes).map_err(unknown)? };
    if found.len() != rows.len() {
        return Err(wrong());
    }
    let (mut keys, mut left_out) = (Vec::with_capacity(rows.len()), Vec::new());
    // How many calls before a row are left out.
    let mut fewer = 0;
    for (row, key) in rows.into_iter().zip(found) {
        match key {
            Some(key) => keys.push((row.start - fewer..row.end - fewer, key)),
            None => {
                fewer += row.end - row.start;
                left_out.push(row);
            }
        }
    }
    let repeats = left_out.len() as u64;
    let calls = if repeats == 0 { calls.clone() } else { without(&envelope, &left_out).into() };
    Ok(RowsToStore { calls, keys, repeats })
}

/// The body of a step without these calls, which are in order.
fn without(envelope: &Envelope<'_>, left_out: &[Range<u32>]) -> Vec<u8> {
    let mut out = head(envelope.collection);
    let mut left_out = left_out.iter().peekable();
    let mut is_first = true;
    for (index, call) in (0_u32..).zip(&envelope.batch) {
        while left_out.next_if(|row| row.end <= index).is_some() {}
        if left_out.peek().is_some_and(|row| row.contains(&index)) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        out.extend_from_slice(call.get().as_bytes());
    }
    write_tail(&mut out, std::iter::empty::<&str>(), &[]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::envelope::write_row_keys;

    fn body(calls: &str, keys: &[(u128, u32, u32)]) -> Bytes {
        let mut body = [head(None), calls.as_bytes().to_vec()].concat();
        write_row_keys(&mut body, keys);
        body.into()
    }

    #[test]
    fn the_calls_of_a_row_are_left_out_together() {
        let calls = r#"{"a":0},{"a":1},{"a":2},{"a":3},{"a":4}"#;
        // The call 2 is of a row that is not compared.
        let body = body(calls, &[(7, 0, 2), (8, 3, 1), (9, 4, 1)]);
        let of = |known: [bool; 3]| {
            let stored = rows_to_store(&body, |hashes| {
                assert_eq!(hashes, [7, 8, 9]);
                Ok(hashes.iter().zip(known).map(|(hash, known)| (!known).then_some(RowKey(*hash))).collect())
            });
            let RowsToStore { calls, keys, repeats } = stored.unwrap();
            let envelope = Envelope::read(&calls).unwrap();
            let calls: String = envelope.batch.iter().map(|call| call.get().get(5..6).unwrap()).collect();
            let keys: Vec<_> = keys.iter().map(|(row, key)| (key.0, row.start, row.end)).collect();
            (calls, keys, repeats)
        };
        assert_eq!(of([false; 3]), ("01234".to_owned(), vec![(7, 0, 2), (8, 3, 4), (9, 4, 5)], 0));
        assert_eq!(of([true, false, false]), ("234".to_owned(), vec![(8, 1, 2), (9, 2, 3)], 1));
        assert_eq!(of([false, true, false]), ("0124".to_owned(), vec![(7, 0, 2), (9, 3, 4)], 1));
        assert_eq!(of([true; 3]), ("2".to_owned(), vec![], 3));
    }

    #[test]
    fn a_body_that_no_step_writes_is_refused() {
        for keys in [&[(1, 0, 0)][..], &[(1, 0, 3)], &[(1, 1, 1), (2, 0, 1)], &[(1, u32::MAX, 1)]] {
            let refused = rows_to_store(&body("{},{}", keys), |_| panic!("asked: {keys:?}"));
            assert!(matches!(refused, Err(TargetError::Refused(_))), "{keys:?}");
        }
        let plain = rows_to_store(&body("{}", &[]), |_| panic!("nothing to ask")).unwrap();
        assert_eq!((plain.calls, plain.repeats), (body("{}", &[]), 0));
    }
}
