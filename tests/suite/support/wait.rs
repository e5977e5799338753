//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is checked. Short compared with the wait, long compared with one check.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Checks `condition` until it returns a value.
///
/// # Panics
///
/// If it returns none within `limit`; the message names `what`.
pub(crate) async fn until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "timed out after {limit:?} waiting for {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
