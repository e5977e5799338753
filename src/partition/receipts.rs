//! Where the lines of a request are, from which its receipts are made: one for each record that has lines of
//! it, so several if its source is spread over partitions or the request was split.

use super::position::position;
use super::producing::StoredPart;
use super::state::spool_id;
use crate::log::{InLog, InLogs, LogId};

/// Where the lines of a request are that was answered with 200. A position may be left out as a repeat, or be
/// stored as of the next day.
pub fn stored_in(log_id: &str, parts: &[StoredPart]) -> InLogs {
    let with_frames = parts.iter().filter(|part| part.frames > 0);
    let of = |part: &StoredPart| InLog {
        log: LogId(spool_id(log_id, part.partition)),
        first: position(part.offset, part.index),
        frames: part.frames,
    };
    with_frames.map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::state::Identity;

    #[test]
    fn receipts_give_the_positions_that_a_writer_gives_the_lines() {
        let identity = Identity::of_tests();
        let part = |partition, offset, index, frames| StoredPart { partition, offset, index, frames };
        let parts = [part(0, 7, 3, 2), part(1, 0, 1, 1), part(0, 8, 1, 0)];
        let found: Vec<InLog> = stored_in(&identity.log_id, &parts).iter().collect();
        let positions: Vec<_> = found.iter().map(|one| (one.first, one.last())).collect();
        assert_eq!(positions, [(7 * 4_096 + 3, 7 * 4_096 + 4), (1, 1)], "a part without frames has none");
        assert_eq!(found[0].log.to_string(), identity.spool_id());
        assert_ne!(found[0].log, found[1].log);
    }
}
