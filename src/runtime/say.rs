//! Results on standard output that are read while the process goes on.

use std::io::Write;

/// Prints a result and flushes it: readers wait for the addresses.
pub fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{text}").and_then(|()| out.flush()) {
        tracing::debug!(%error, "standard output cannot be written");
    }
}

/// Prints a result while a node runs, on its own thread: if nothing reads standard output, printing blocks.
pub fn say_beside(text: String) {
    if let Err(error) = std::thread::Builder::new().name("say".into()).spawn(move || say(&text)) {
        tracing::warn!(%error, "cannot print to standard output");
    }
}
