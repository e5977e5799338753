//! Imports of buckets, each stage beside what it is measured by, in turns.
//!
//!     cargo bench --bench bucket_import
//!     cargo bench --bench bucket_import -- --part known --rounds 3 --keys 1000000
//!
//! `rows`: a row with ten fields by a converter, beside the plan of `import csv`. `parquet`: our reader, beside
//! the row iterator of the `parquet` crate; both write JSON. With `--duckdb PYTHON`, also beside DuckDB with one
//! thread, if that Python has it. `whole`: a whole import into a spool, beside `import csv` of the same rows.
//! `known`: a pass over keys that are all imported, beside their bare listing. `live`: calls of SDKs beside an
//! import whose rows have an `insert_id`, and beside the same without.

#![allow(clippy::print_stdout, reason = "a bench prints its result")]

#[path = "../corpus/mod.rs"]
mod corpus;
mod duckdb;
mod known;
mod listing;
mod live;
#[path = "../own_process/mod.rs"]
mod own_process;
mod parquet;
mod rows;
#[path = "../spooled/mod.rs"]
mod spooled;
mod turns;
mod whole;

/// That of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What follows a name among the arguments.
pub(crate) fn argument(name: &str) -> Option<String> {
    let mut arguments = std::env::args();
    arguments.find(|argument| argument == name).and_then(|_| arguments.next())
}

/// A number among the arguments.
pub(crate) fn number(name: &str, default: u64) -> u64 {
    argument(name).map_or(default, |value| value.parse().expect("a number"))
}

fn main() {
    if argument(listing::SERVE).is_some() {
        listing::serve();
    }
    let part = argument("--part");
    let wants = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if wants("rows") {
        rows::measure();
    }
    if wants("parquet") {
        parquet::measure();
    }
    if wants("whole") {
        whole::measure();
    }
    if wants("known") {
        known::measure();
    }
    if wants("live") {
        live::measure();
    }
}
