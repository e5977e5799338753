//! `forebay spool …`: commands for a spool that no process uses.

pub mod drain;
pub mod export;
pub mod inspect;
pub mod meter;
pub mod resolve;
pub mod verify;

use std::io;

use super::args::SpoolCommand;
use super::failure::Failure;

/// Runs one of the spool commands.
///
/// # Errors
/// [`Failure`]; exit code 1 if damage was found or something is left.
pub async fn run(command: &SpoolCommand) -> Result<(), Failure> {
    match command {
        SpoolCommand::Inspect(args) => inspect::run(args, &mut io::stdout().lock()),
        SpoolCommand::Verify(args) => verify::run(args, &mut io::stdout().lock()),
        SpoolCommand::Export(args) => export::run(args),
        SpoolCommand::Drain(args) => drain::run(args).await,
        SpoolCommand::Resolve(args) => resolve::run(args, &mut io::stdout().lock()),
    }
}
