//! Tests the durability promise from outside: the program is killed, its store fails, and the clients'
//! records are compared with the bucket.

#![expect(clippy::indexing_slicing, reason = "tests fail by a panic that names the line")]

mod answer_order;
mod attack;
mod bulk;
pub(crate) mod checker;
mod clock;
mod disk_full;
mod full_spool;
mod kill;
pub(crate) mod load;
mod no_space;
mod outage;
mod power_cut;
mod slow_clients;
mod small_disks;
mod stand;
mod syscalls;
mod system_calls;
mod tracer;
mod usage;

/// A table for each source, whose write key is its id.
pub(crate) fn source_tables(sources: &[&str]) -> String {
    sources
        .iter()
        .map(|source| format!("[[source]]\nid = \"{source}\"\nwrite_keys = [\"{source}\"]\n"))
        .collect()
}

/// A number from the environment.
pub(crate) fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}
