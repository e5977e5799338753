//! Variables of a writer's allocators, which read them when a process begins.

use std::io;
use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::Environment;
use crate::runtime::begin_anew::begin_anew;
use crate::runtime::telemetry;

/// What a writer sets. Kafka's client takes its memory of the C library: one heap for its hundreds of threads, from
/// which blocks of up to 32 MB are taken, and which keeps 4 MB that are free. The program's own allocator gives back at
/// once what is freed. Measured in `PERFORMANCE.md`.
const OF_WRITER: [(&str, &str); 4] = [
    ("MALLOC_ARENA_MAX", "1"),
    ("MALLOC_MMAP_THRESHOLD_", "33554432"),
    ("MALLOC_TRIM_THRESHOLD_", "4194304"),
    ("MIMALLOC_PURGE_DELAY", "0"),
];

/// Begins this process anew with what its environment does not set of them, unless it sets the last one: that is how a
/// process knows that it has begun anew, for the C library may have removed its own (of a program with capabilities). The
/// configuration is read again, so it must be a file. It returns if there is nothing to set, or if that fails.
/// Errors: as [`signal`].
pub(in crate::node) fn begin_anew_with_them(config: &Path, environment: &Environment) -> io::Result<()> {
    let missing = missing(environment);
    if missing.is_empty() || !config.is_file() {
        return Ok(());
    }
    telemetry::flush();
    let error = begin_anew(&missing);
    // The attempt has made it deadly, and a closed connection raises it. The handler outlives this.
    drop(signal(SignalKind::pipe())?);
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let names = names.join(", ");
    tracing::warn!(%error, names, "cannot begin anew with these variables: more memory and CPU time will be used");
    Ok(())
}

fn missing(environment: &Environment) -> Vec<(&'static str, &'static str)> {
    let is_missing = |(name, _): &(&str, &str)| environment.text(name).is_ok_and(|value| value.is_none());
    let [.., last] = OF_WRITER;
    if !is_missing(&last) {
        return Vec::new();
    }
    OF_WRITER.into_iter().filter(is_missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_sets_is_left_as_it_is_and_a_process_that_began_anew_does_not_do_so_again() {
        let of = |variables: &[(&str, &str)]| missing(&Environment::of(variables.iter().copied()));
        assert_eq!(of(&[]), OF_WRITER);
        assert_eq!(of(&[("MALLOC_ARENA_MAX", "2")]), OF_WRITER[1..]);
        assert_eq!(of(&OF_WRITER[3..]), [], "the C library has removed its own");
        assert_eq!(of(&[("MIMALLOC_PURGE_DELAY", "10")]), []);
    }
}
