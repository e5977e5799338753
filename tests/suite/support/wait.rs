//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is checked. Short compared with the wait, long compared with one check.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A limit of at least this is patience; what must happen sooner is what a test is about.
const PATIENCE_MIN: Duration = Duration::from_secs(20);
/// A machine on which other things run may be this many times slower than those on which limits were chosen.
const SLOWER: u32 = 4;

/// Checks `condition` until it returns a value.
///
/// # Panics
///
/// If it returns none within `limit`, or [`SLOWER`] times that if it is patience; the message names `what`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let limit = if limit >= PATIENCE_MIN { limit * SLOWER } else { limit };
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out after {limit:?} waiting for {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
