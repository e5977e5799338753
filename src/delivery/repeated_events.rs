//! Limits how often repeated events are logged: once a minute.

use std::sync::{Arc, Mutex};

use crate::lock::lock;
use crate::once_a_minute::{Line, OnceAMinute};
use crate::time::Clock;

/// Recent events: what happened, and to which source or bucket.
#[derive(Debug)]
pub(super) struct Repeated {
    things: Mutex<OnceAMinute<(&'static str, String)>>,
    clock: Arc<dyn Clock>,
}

impl Repeated {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { things: Mutex::default(), clock }
    }

    /// Counts something that happened. Returns the line that is due, if one is.
    pub(super) fn happened(&self, what: &'static str, to_whom: &str) -> Option<Line> {
        let now = self.clock.monotonic();
        lock(&self.things).happened((what, to_whom.to_owned()), now)
    }
}
