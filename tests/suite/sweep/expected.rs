//! The required effect of each failure, by `durability.md` section 1.5: an error of a write or sync of a
//! segment or the manifest stops the spool permanently; missing space for the next segment, missing file
//! handles, and failures of caches do not.

use super::faulty::{Case, Error, Op, Phase, Record, Role};

/// The effect of a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The spool stops.
    Stops,
    /// It continues.
    Stands,
    /// Either: only the absence of loss is promised.
    Open,
}

/// Whether the spool must stop in the life in which the fault occurred.
pub(super) fn must_stop(case: &Case, record: &Record) -> bool {
    record.struck == Some(Phase::Running) && verdict(case) == Verdict::Stops
}

/// The required effect of a fault that occurred while the spool was running.
pub(super) fn verdict(case: &Case) -> Verdict {
    let (op, role, error) = (case.site.op, case.site.role, case.fault.error);
    // Without a handle nothing is written, however long that lasts.
    if error == Error::Emfile && op.needs_handle() {
        return Verdict::Stands;
    }
    let once = match (op, role) {
        (Op::Write | Op::Sync, Role::Segment) | (Op::Sync, Role::Manifest) => Verdict::Stops,
        // None of it is synced yet, so it is written again into the reserved space.
        (Op::Write, Role::Manifest) if error.may_pass() => Verdict::Stands,
        (Op::Write, Role::Manifest) => Verdict::Stops,
        (Op::Write | Op::Sync | Op::Create | Op::Open, Role::NextSegment | Role::NewManifest) => {
            if error.may_pass() { Verdict::Stands } else { Verdict::Stops }
        }
        (Op::Remove, Role::Index | Role::Fingerprints) => Verdict::Open,
        // It will be renamed to become the next manifest.
        (Op::Rename, Role::Reserve) => Verdict::Open,
        (_, Role::Index | Role::Fingerprints | Role::Reserve | Role::Staged | Role::Parked) => {
            Verdict::Stands
        }
        // They are read for delivery, which retries.
        (Op::Read | Op::Open | Op::Len, Role::Segment) => Verdict::Stands,
        _ => Verdict::Open,
    };
    match once {
        // The next call of this kind may be one that stops it.
        Verdict::Stands if case.lasting => Verdict::Open,
        verdict => verdict,
    }
}

/// Whether frames may be recorded as lost: only unreadable ones.
pub(super) fn may_lose(case: &Case) -> bool {
    case.site.op == Op::Read && case.lasting && case.fault.error == Error::Eio
}
