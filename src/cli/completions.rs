//! `forebay completions`: a script that completes commands and options in a shell.

use std::io::{self, Write};

use clap::CommandFactory as _;

use super::args::{Cli, CompletionsArgs};

/// The program's name in the scripts.
const NAME: &str = "forebay";

/// Prints the script. Errors: `out` cannot be written.
pub fn run(args: &CompletionsArgs, out: &mut dyn Write) -> io::Result<()> {
    // The generator panics if it cannot write, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), NAME, &mut script);
    out.write_all(&script)
}
