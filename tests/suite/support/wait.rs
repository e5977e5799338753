//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::Instant;

/// How often a condition is looked at. Short beside what is waited for, long beside one look.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// Looks at `condition` until it gives a value.
///
/// # Panics
///
/// When it has given none for as long as `limit`; the text names `what` was waited for.
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
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
