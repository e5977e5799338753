//! `forebay spool resolve`: records which object a person wants to keep if another object has the key of a
//! sealed one.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::cli::args::{ResolveAction, SpoolResolveArgs};
use crate::cli::failure::Failure;
use crate::cli::print_json::print_json;
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
    let object_key = conflict.pending.seal.object_key.to_string();
    let kept = match args.action {
        ResolveAction::Overwrite => {
            conflict.record(Decision::Overwrite)?;
            None
        }
        ResolveAction::KeepTheirs => {
            let kept = conflict.keep_ours(LEVEL_AT_LEISURE)?;
            conflict.record(Decision::KeepTheirs)?;
            Some(args.dir.join(kept))
        }
    };
    let resolved = Resolved { seal: args.seal, object_key, action: args.action, kept };
    if args.json {
        print_json(out, &resolved)?;
    } else {
        out.write_all(render(&resolved).as_bytes())?;
    }
    Ok(())
}

/// A decision that is recorded.
#[derive(Debug, serde::Serialize)]
struct Resolved {
    seal: u64,
    object_key: String,
    action: ResolveAction,
    /// The file with the lines of the sealed object, if the other object stays.
    kept: Option<PathBuf>,
}

fn render(resolved: &Resolved) -> String {
    let Resolved { seal, object_key, kept, .. } = resolved;
    match kept {
        None => format!("seal {seal}: the next start replaces {object_key} with the sealed object\n"),
        Some(kept) => format!(
            "the lines of the sealed object are kept in {}\n\
             seal {seal}: {object_key} is kept, and the sealed object counts as delivered\n",
            kept.display()
        ),
    }
}
