//! What a retry of rejected rows settles in the record of the import that rejected them.

use super::journal::JournalError;
use super::record::ImportRecord;
use crate::log::ImportKey;

/// These records, and those of the imports whose rejected rows they read again: what became calls is settled there.
/// All are to be written together. A row becomes a call once, however often it is read: the next time it is a
/// repeat. Errors: a record cannot be read.
pub(super) fn with_settled(
    records: &[ImportRecord],
    read: impl Fn(ImportKey) -> Result<Option<ImportRecord>, JournalError>,
) -> Result<Vec<ImportRecord>, JournalError> {
    let mut all = records.to_vec();
    for at in 0..records.len() {
        let Some(record) = all.get(at) else { continue };
        let (Some(of), sent) =
            (record.retries.of, record.progress.stored.saturating_add(record.progress.refused))
        else {
            continue;
        };
        let new = sent.saturating_sub(record.retries.noted);
        let place = match all.iter().position(|other| other.key == of) {
            Some(place) => place,
            None => match read(of)? {
                Some(first) => {
                    all.push(first);
                    all.len() - 1
                }
                // Without the first import, nothing else has the rows that are rejected again.
                None => continue,
            },
        };
        if let Some(first) = all.get_mut(place) {
            let settled = first.retries.settled.saturating_add(new);
            first.retries.settled = settled.min(first.progress.rejected);
        }
        if let Some(record) = all.get_mut(at) {
            record.retries.noted = record.retries.noted.max(sent);
            record.retries.settled = record.progress.rejected;
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::ImportProgress;
    use crate::time::UnixMillis;

    fn record(key: u128, progress: ImportProgress, of: Option<u128>) -> ImportRecord {
        let mut record = ImportRecord::of_progress(ImportKey(key), progress, UnixMillis(0));
        record.retries.of = of.map(ImportKey);
        record
    }

    /// The list went on asking for rows that had been sent.
    #[test]
    fn what_a_retry_stored_is_settled_once_in_the_first_import() {
        let first = record(1, ImportProgress { stored: 1, rejected: 5, ..ImportProgress::default() }, None);
        let progress = |stored, rejected| ImportProgress { stored, rejected, ..ImportProgress::default() };
        let retry = record(2, progress(2, 3), Some(1));
        let all = with_settled(std::slice::from_ref(&retry), |_| Ok(Some(first.clone()))).unwrap();
        let left = |all: &[ImportRecord]| {
            all.iter().map(|record| (record.key.0, record.unsettled_rejects())).collect::<Vec<_>>()
        };
        assert_eq!(
            left(&all),
            [(2, 0), (1, 3)],
            "the first import asks for what is left, and nothing else does"
        );
        // The end of the same retry is written again.
        let again = with_settled(&all, |_| unreachable!("it is one of them")).unwrap();
        assert_eq!(left(&again), [(2, 0), (1, 3)]);
        // It went on in between.
        let mut further = again[0].clone();
        further.progress = progress(4, 3);
        let further = with_settled(&[further], |_| Ok(Some(again[1].clone()))).unwrap();
        assert_eq!(left(&further), [(2, 0), (1, 1)]);
        // More than were rejected are never settled.
        let more = record(3, progress(9, 0), Some(1));
        let more = with_settled(&[more], |_| Ok(Some(further[1].clone()))).unwrap();
        assert_eq!(left(&more), [(3, 0), (1, 0)]);
        // The journal has lost the first import: what is rejected again stays to be done.
        let alone = with_settled(&[retry], |_| Ok(None)).unwrap();
        assert_eq!(left(&alone), [(2, 3)]);
    }
}
