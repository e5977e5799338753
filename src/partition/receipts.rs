//! The receipts of a request: one for each record that has lines of it, so several if its source is spread
//! over partitions or the request was split.

use super::position::position;
use super::producing::StoredPart;
use super::state::spool_id;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// The receipts of a request that was answered with 200. A collector that has not read the log id yet gives
/// none. A position may be left out as a repeat, or be stored as of the next day.
pub fn of(log_id: &str, source: &SourceId, day: ReceivedDay, parts: &[StoredPart]) -> Vec<Receipt> {
    let receipt = |part: &StoredPart| {
        let first = position(part.offset, part.index);
        let last = first + u64::from(part.frames).checked_sub(1)?;
        let spool_id = spool_id(log_id, part.partition);
        Some(Receipt { source: source.clone(), day, spool_id, first, last })
    };
    parts.iter().filter_map(receipt).collect()
}

/// The header of an answer: its receipts, separated by commas.
pub fn header(receipts: &[Receipt]) -> String {
    receipts.iter().map(Receipt::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::state::Identity;
    use crate::time::UnixMillis;

    #[test]
    fn receipts_give_the_positions_that_a_writer_gives_the_lines() {
        let identity = Identity::of_tests();
        let source = SourceId::new("web").unwrap();
        let part = |partition, offset, index, frames| StoredPart { partition, offset, index, frames };
        let parts = [part(0, 7, 3, 2), part(1, 0, 1, 1), part(0, 8, 1, 0)];
        let receipts = of(&identity.log_id, &source, UnixMillis(0).day(), &parts);
        let found: Vec<_> = receipts.iter().map(|receipt| (receipt.first, receipt.last)).collect();
        assert_eq!(found, [(7 * 4_096 + 3, 7 * 4_096 + 4), (1, 1)], "a part without frames has none");
        assert_eq!(receipts[0].spool_id, identity.spool_id());
        let read: Vec<Receipt> = header(&receipts).split(',').map(|text| text.parse().unwrap()).collect();
        assert_eq!(read, receipts);
    }
}
