//! `forebay spool resolve`: records which object a person wants to keep if another object has the key of a
//! sealed one.

use std::io::Write;
use std::path::PathBuf;

use crate::cli::args::{ResolveAction, SpoolResolveArgs};
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::node::closed_spool::{self, Decision};

/// Records the decision in the spool. The decision takes effect at the next start.
/// Errors: [`Failure`] if the seal has no conflict, or the spool cannot be read or written.
pub fn run(args: &SpoolResolveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let decision = match args.action {
        ResolveAction::Overwrite => Decision::Overwrite,
        ResolveAction::KeepTheirs => Decision::KeepTheirs,
    };
    let (object_key, kept) = closed_spool::resolve(&args.dir, args.seal, decision)?;
    let resolved = Resolved { seal: args.seal, object_key, action: args.action, kept };
    Ok(print_either(out, args.json, &resolved, || render(&resolved))?)
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
