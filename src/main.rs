//! The `forebay` program.

use std::process::ExitCode;

/// Lines and bodies are allocated and freed by the hundred thousand a second, on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    forebay::cli::main(forebay::cli::args::Cli::of_process())
}
