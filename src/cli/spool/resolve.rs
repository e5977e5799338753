//! `forebay spool resolve`: records which object a person wants to keep if another object has the key of a
//! sealed one.

use std::io::Write;
use std::sync::Arc;

use crate::cli::args::{ResolveAction, SpoolResolveArgs};
use crate::cli::failure::Failure;
use crate::delivery::make::encode::LEVEL_AT_LEISURE;
use crate::disk::read_only::ReadOnlyDisk;
use crate::disk::real_disk::RealDisk;
use crate::spool::offline::{Conflict, Decision};

/// Records the decision in the spool. It takes effect at the next start.
///
/// # Errors
/// [`Failure`] if the seal has no conflict, or the spool cannot be read or written.
pub fn run(args: &SpoolResolveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Open it read-only first: opening a directory for writing turns it into a spool.
    drop(ReadOnlyDisk::open(&args.dir)?);
    let conflict = Conflict::read(Arc::new(RealDisk::open(&args.dir)?), args.seal)?;
    let key = conflict.pending.seal.object_key.clone();
    match args.action {
        ResolveAction::Overwrite => {
            conflict.record(Decision::Overwrite)?;
            writeln!(out, "seal {}: the next start replaces {key} with the sealed object", args.seal)?;
        }
        ResolveAction::KeepTheirs => {
            let kept = conflict.keep_ours(LEVEL_AT_LEISURE)?;
            writeln!(out, "the lines of the sealed object are kept in {}/{kept}", args.dir.display())?;
            conflict.record(Decision::KeepTheirs)?;
            writeln!(out, "seal {}: {key} is kept, and the sealed object counts as delivered", args.seal)?;
        }
    }
    Ok(())
}
