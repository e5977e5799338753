//! Shows, checks and exports a spool that no process uses, with what imports and destinations keep beside it,
//! and records a person's decision. Only a decision changes the spool.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::NodeError;
use super::spool_dir::is_closed_spool;
use crate::delivery::make::encode::LEVEL_AT_LEISURE;
use crate::destinations::closed::{LaneAbout, faults, lanes_about};
use crate::disk::real_disk::RealDisk;
use crate::import::journal::{JOURNAL, LocalJournal};
use crate::spool::offline::{self, Conflict};

pub(crate) use crate::log::{Decision, Range};
pub(crate) use crate::spool::offline::{Answered, BatchAbout, Inspection, SealAbout, SegmentIs};
pub use crate::spool::offline::{
    ExportError, Exported, Finding, Verified, View, Wanted, export, export_to_file,
};

/// The content of a spool, and the files of destinations beside it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct SpoolAbout {
    #[serde(flatten)]
    pub(crate) spool: Inspection,
    pub(crate) functions: Functions,
}

/// The functions of destinations, or why they cannot be read.
#[derive(Debug, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum Functions {
    /// The progress of each function.
    Kept(Vec<LaneAbout>),
    Unreadable {
        error: String,
    },
}

/// Reads what the spool in `dir` contains.
/// Errors: [`NodeError`] if there is no spool, a process uses it, or it cannot be read.
pub(crate) fn inspect(dir: &Path) -> Result<SpoolAbout, NodeError> {
    let view = View::open(dir)?;
    let functions = lanes_about(Arc::clone(&view.disk));
    let functions = functions.map_or_else(|error| Functions::Unreadable { error }, Functions::Kept);
    Ok(SpoolAbout { functions, spool: offline::inspect(&view)? })
}

/// Checks every byte of the spool in `dir`, the files of destinations and the journal of imports. `progress`
/// is called with the bytes of segments read so far and their total.
/// Errors: [`NodeError`] if there is no spool, a process uses it, or it cannot be read.
pub fn verify(dir: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified, NodeError> {
    let view = View::open(dir)?;
    let mut verified = offline::verify(&view, progress)?;
    let unreadable =
        |error: io::Error| NodeError::Other(format!("what is kept of destinations cannot be read: {error}"));
    let of_destinations = faults(&view.disk).map_err(unreadable)?.into_iter();
    let of_destinations = of_destinations.map(|fault| Finding::of_destinations(fault.file, fault.what));
    let journal = LocalJournal::look(&dir.join(JOURNAL));
    let journal = journal.map(|what| Finding::of_imports(JOURNAL.to_owned(), what));
    verified.findings.extend(of_destinations.chain(journal));
    verified.sound = verified.findings.is_empty();
    Ok(verified)
}

/// A decision that is recorded.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Resolved {
    seal: u64,
    /// The key of the sealed object, which another object has too.
    object_key: String,
    action: Decision,
    /// The file with the lines of the sealed object, if the other object stays.
    kept: Option<PathBuf>,
}

impl Resolved {
    /// What happens at the next start, for people.
    pub(crate) fn text(&self) -> String {
        let Self { seal, object_key, kept, .. } = self;
        match kept {
            None => format!("seal {seal}: the next start replaces {object_key} with the sealed object\n"),
            Some(kept) => format!(
                "the lines of the sealed object are kept in {}\n\
                 seal {seal}: {object_key} is kept, and the sealed object counts as delivered\n",
                kept.display()
            ),
        }
    }
}

/// Records in the spool in `dir` which object a person wants to keep. The decision takes effect at the next
/// start.
/// Errors: [`NodeError`] if the seal has no conflict, or the spool cannot be read or written.
pub(crate) fn resolve(dir: &Path, seal: u64, action: Decision) -> Result<Resolved, NodeError> {
    is_closed_spool(dir)?;
    let conflict = Conflict::read(Arc::new(RealDisk::open(dir)?), seal)?;
    let object_key = conflict.pending.seal.object_key.to_string();
    let kept = match action {
        Decision::Overwrite => None,
        Decision::KeepTheirs => Some(dir.join(conflict.keep_ours(LEVEL_AT_LEISURE)?)),
    };
    conflict.record(action)?;
    Ok(Resolved { seal, object_key, action, kept })
}
