//! Guards against gradual growth: figures that do not depend on time are compared with stored ones.
//!
//! Instructions per call of the computing path, counted by callgrind; and bytes and calls to the disk,
//! counted under the real spool. `benches/README.md` explains how to run it and how to store new figures on
//! purpose.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod counted;
mod limits;
mod memory;
#[path = "../spooled/mod.rs"]
mod spooled;
mod written;

use std::process::{Command, ExitCode};

use clap::Parser;

use counted::Case;
use limits::Figures;

/// As in the program: its cost of memory allocation counts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    about = "Compares instructions per call, and bytes written per byte of line, with the stored figures"
)]
struct Args {
    /// Store today's figures for later runs
    #[arg(long)]
    set: bool,
    /// Do the work of one case, to be counted from outside
    #[arg(long, hide = true)]
    work: Option<Case>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(case) = args.work {
        counted::work(case);
        return ExitCode::SUCCESS;
    }
    let instructions = counted::all();
    if instructions.is_none() {
        eprintln!("=== SKIPPED: valgrind is missing, so instructions were not counted. Install valgrind.");
        if args.set || ["CI", "FOREBAY_NO_SKIP"].iter().any(|name| std::env::var_os(name).is_some()) {
            return ExitCode::FAILURE;
        }
    }
    let today = Figures {
        set_with: tools(),
        instructions_per_call: instructions.unwrap_or_default(),
        written: written::all(),
    };
    println!("{today}");
    if args.set {
        limits::set(&today);
        return ExitCode::SUCCESS;
    }
    let last = limits::last();
    let grown = limits::grown(&last, &today);
    if grown.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("guard: FAILED\n");
    grown.iter().for_each(|grown| eprintln!("  {grown}"));
    eprintln!(
        "\nStored with {}; this run: {}. To see the instructions of a case: \
         callgrind_annotate {}/CASE.callgrind\n\
         If the growth is intended, store new figures and explain it in the commit:  tests/guard --set",
        last.set_with,
        today.set_with,
        counted::FOLDER,
    );
    ExitCode::FAILURE
}

/// What the figures depend on besides the code.
fn tools() -> String {
    let said = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.map_or_else(
            |_| format!("no {program}"),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        )
    };
    format!("{}, {}, {}", said("rustc"), said("valgrind"), std::env::consts::ARCH)
}
