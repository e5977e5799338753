//! Shows the progress of long operations, on a terminal only.

use std::io::{self, Write};
use std::time::Duration;

use crate::runtime::{SystemClock, colour};
use crate::time::Clock;
use crate::words::about_bytes;
use crate::words::count::percent;

/// The delay before the first line, and the interval between updates.
const EVERY: Duration = Duration::from_millis(500);

/// Shows one line on standard error and rewrites it.
#[derive(Debug)]
pub struct Meter {
    what: &'static str,
    terminal: bool,
    clock: SystemClock,
    next: Duration,
    shown: bool,
}

impl Meter {
    /// A meter for the operation `what`.
    pub fn new(what: &'static str) -> Self {
        let clock = SystemClock::new();
        let next = clock.monotonic() + EVERY;
        Self { what, terminal: colour::is_drawable(&io::stderr()), clock, next, shown: false }
    }

    /// Shows that `done` of `total` bytes are done.
    pub fn bytes(&mut self, done: u64, total: u64) {
        let percent = percent(done, total);
        self.show(&format!("{} {} of {} ({percent} %)", self.what, about_bytes(done), about_bytes(total)));
    }

    /// Shows a line, if the interval has passed.
    pub fn show(&mut self, text: &str) {
        let now = self.clock.monotonic();
        if !self.terminal || now < self.next {
            return;
        }
        self.next = now + EVERY;
        self.shown = true;
        self.write(&format!("\r{text}\u{1b}[K"));
    }

    /// Removes the line.
    pub fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            self.write("\r\u{1b}[K");
        }
    }

    fn write(&self, text: &str) {
        let mut err = io::stderr().lock();
        if let Err(error) = err.write_all(text.as_bytes()).and_then(|()| err.flush()) {
            tracing::debug!(%error, "standard error cannot be written");
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}
