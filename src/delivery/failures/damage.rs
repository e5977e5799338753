//! The alarms of calls that the spool lost. They stand until a restart: the ledger keeps the counts.

use crate::alarms::{AlarmKind, Alarms};
use crate::log::{Range, Seal};
use crate::words::counted;

/// Raises the alarms of positions that can no longer be read.
pub fn raise_lost(alarms: &Alarms, lost: &[Range]) {
    for Range { first, last } in lost {
        let what = format!(
            "positions {first} to {last} of the spool can no longer be read; their bytes are kept in quarantine; `forebay \
             spool verify SPOOL` says more, with Forebay stopped"
        );
        alarms.raise(AlarmKind::Damage, &format!("{first}-{last}"), what);
    }
}

/// Raises the alarm of a sealed object that has lost calls. `left` is the number of calls that can still be
/// read.
pub(in crate::delivery) fn raise_amended(alarms: &Alarms, seal: &Seal, left: u64) {
    let what = format!(
        "{} of the {} of object {} can no longer be read in the spool and are counted as lost, unless the store turns out to \
         have the whole object; `forebay spool verify SPOOL` says more, with Forebay stopped",
        seal.frames.saturating_sub(left),
        counted(seal.frames, "call", "calls"),
        seal.object_key
    );
    alarms.raise(AlarmKind::Damage, seal.object_key.as_str(), what);
}

/// Ends the alarm of an object that the store turned out to have.
pub(in crate::delivery) fn clear_amended(alarms: &Alarms, seal: &Seal) {
    alarms.clear(AlarmKind::Damage, seal.object_key.as_str());
}
