//! The guard against slow growth: figures that do not depend on time, held against those of the last setting.
//!
//! Instructions a call of the path that computes, counted by callgrind, and bytes and calls to the disk for what is stored,
//! counted under the real spool. `benches/README.md` says how to run it and how to set new figures on purpose.

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

/// As in the program: what it spends on memory counts.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(about = "Instructions a call, and bytes written for a byte of line, held against the last setting")]
struct Args {
    /// Write today's figures as those that later runs are held against
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
        eprintln!("=== SKIPPED: valgrind is missing, and no instruction was counted. Install valgrind.");
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
        "\nSet with {}; this run: {}. Where the instructions of a case are: callgrind_annotate {}/CASE.callgrind\n\
         If it is meant, set new figures and say why in the commit:  tests/guard --set",
        last.set_with,
        today.set_with,
        counted::FOLDER,
    );
    ExitCode::FAILURE
}

/// What the figures hang on besides the code.
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
