//! `forebay spool resolve`: records which object stays if another object has the key of a sealed one.

use std::io::Write;

use crate::cli::args::SpoolResolveArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::node::closed_spool;

/// Records the decision in the spool. The decision takes effect at the next start.
/// Errors: [`Failure`] if the seal has no conflict, or the spool cannot be read or written.
pub fn run(args: &SpoolResolveArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let resolved = closed_spool::resolve(&args.dir, args.seal, args.action.decision())?;
    Ok(print_either(out, args.json, &resolved, || resolved.text())?)
}
