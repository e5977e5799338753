//! `forebay spool …`: commands for a spool that no process uses.

pub mod drain;
pub mod export;
pub mod inspect;
pub mod resolve;
pub mod verify;

use std::io::Write;

use super::args::SpoolCommand;
use super::failure::Failure;

/// Runs one of the spool commands. Errors: [`Failure`]; exit code 1 if damage was found or something is left.
pub async fn run(command: &SpoolCommand, out: &mut dyn Write) -> Result<(), Failure> {
    match command {
        SpoolCommand::Inspect(args) => inspect::run(args, out),
        SpoolCommand::Verify(args) => verify::run(args, out),
        SpoolCommand::Export(args) => export::run(args),
        SpoolCommand::Drain(args) => drain::run(args, out).await,
        SpoolCommand::Resolve(args) => resolve::run(args, out),
    }
}
