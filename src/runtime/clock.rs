//! The production clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::time::{Clock, UnixMillis};

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that others take")]
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one clock that others take")]
    fn wall(&self) -> UnixMillis {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(after) => UnixMillis(millis(after)),
            // A machine without a clock battery may start before 1970.
            Err(before) => UnixMillis(-millis(before.duration())),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_in_this_century_and_never_goes_back() {
        let clock = SystemClock::new();
        assert!(clock.wall() > UnixMillis(1_700_000_000_000));
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
    }
}
