//! Jobs: a handler behind HTTP beside a loop of the same client, a handler in the process, and the memory and the
//! restart of a large job.
//!
//!     cargo bench --bench batch_jobs
//!     cargo bench --bench batch_jobs -- --part rates --rounds 3 --tasks 50000 --concurrency 100
//!     cargo bench --bench batch_jobs -- --part large --rows 10000000
//!
//! `rates`: stages in turns, in one process with two threads; the server is a process of its own with one. A job runs
//! from its first invocation to the end of its last task, with its log on the disk of `--dir`. `large`: each job in a
//! process of its own, with a report.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

mod client;
mod job;
mod large;
#[path = "../own_process/mod.rs"]
mod own_process;
mod rates;
mod server;

use std::path::PathBuf;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What follows a name among the arguments.
fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).and_then(|_| arguments.next())
}

/// A number among the arguments.
fn number(name: &str, default: u64) -> u64 {
    argument(name).map_or(default, |value| value.parse().expect("a number"))
}

/// Where jobs and manifests are.
fn dir() -> PathBuf {
    argument("--dir").map_or_else(std::env::temp_dir, PathBuf::from)
}

/// A runtime with as many threads as the measured machine has cores.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    // As `batch run` has: each thread that waits for the disk keeps some memory.
    builder.worker_threads(2).max_blocking_threads(4).enable_all().build().expect("a runtime")
}

fn main() {
    if argument(server::SERVE).is_some() {
        server::serve();
    }
    if let Some(what) = argument(large::AS_JOB) {
        // As the program does: in pages of 2 MiB, what each thread keeps free is most of what is measured.
        forebay::runtime::memory::without_huge_pages();
        return large::be_job(&what);
    }
    let part = argument("--part");
    let wants = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if wants("rates") {
        rates::measure();
    }
    if wants("large") {
        large::measure();
    }
}
