//! What a failure must lead to, by `durability.md` section 1.5: an error of a write or sync of a segment or the manifest
//! stops the spool for good; no space for the next segment, no file handle, and whatever befalls a cache, do not.

use super::faulty::{Case, Error, Op, Phase, Record, Role};

/// What a failed call leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The spool stops.
    Stops,
    /// It goes on.
    Stands,
    /// Either: nothing is promised but that nothing is lost.
    Open,
}

/// Whether the spool must stop in the life in which the fault struck.
pub(super) fn must_stop(case: &Case, record: &Record) -> bool {
    record.struck == Some(Phase::Running) && verdict(case) == Verdict::Stops
}

/// What a fault that struck while the spool was running leads to.
pub(super) fn verdict(case: &Case) -> Verdict {
    let (op, role, error) = (case.site.op, case.site.role, case.fault.error);
    // Nothing is written where a handle is missing, however long it is.
    if error == Error::Emfile && op.needs_handle() {
        return Verdict::Stands;
    }
    let once = match (op, role) {
        (Op::Write | Op::Sync, Role::Segment) | (Op::Sync, Role::Manifest) => Verdict::Stops,
        // Nothing of it is synced yet, so it is written again in the space that was set aside for it.
        (Op::Write, Role::Manifest) if error.may_pass() => Verdict::Stands,
        (Op::Write, Role::Manifest) => Verdict::Stops,
        (Op::Write | Op::Sync | Op::Create | Op::Open, Role::NextSegment | Role::NewManifest) => {
            if error.may_pass() { Verdict::Stands } else { Verdict::Stops }
        }
        (Op::Remove, Role::Index | Role::Fingerprints) => Verdict::Open,
        // It is renamed to be the next manifest.
        (Op::Rename, Role::Reserve) => Verdict::Open,
        (_, Role::Index | Role::Fingerprints | Role::Reserve | Role::Staged | Role::Parked) => {
            Verdict::Stands
        }
        // They are read for delivery, which tries again.
        (Op::Read | Op::Open | Op::Len, Role::Segment) => Verdict::Stands,
        _ => Verdict::Open,
    };
    match once {
        // The next call of this kind may be one that stops it.
        Verdict::Stands if case.lasting => Verdict::Open,
        verdict => verdict,
    }
}

/// Whether frames may be noted as lost: only what could not be read.
pub(super) fn may_lose(case: &Case) -> bool {
    case.site.op == Op::Read && case.lasting && case.fault.error == Error::Eio
}
