//! Shows the progress of long operations on standard error, on a terminal only.

use std::io;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::runtime::{SystemClock, colour};
use crate::time::Clock;
use crate::words::about_bytes;
use crate::words::count::percent;

/// The delay before anything is shown, and the interval between updates.
const EVERY: Duration = Duration::from_millis(500);

/// Shows lines and rewrites them. Each is cut to the width of the terminal.
#[derive(Debug)]
pub struct Meter {
    what: &'static str,
    drawn: ProgressBar,
    clock: SystemClock,
    next: Duration,
}

impl Meter {
    /// A meter of one line for the operation `what`.
    pub fn new(what: &'static str) -> Self {
        Self::with_style(what, "{wide_msg}")
    }

    /// A meter with a bar, a text beside it, and one below: so that nothing is cut off at 80 columns.
    pub fn with_bar() -> Self {
        Self::with_style("", "{bar:16} {percent:>3} %  {prefix}\n{wide_msg}")
    }

    fn with_style(what: &'static str, template: &str) -> Self {
        let target = match colour::is_drawable(&io::stderr()) {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let style = ProgressStyle::with_template(template);
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─");
        let clock = SystemClock::new();
        let next = clock.monotonic() + EVERY;
        Self { what, drawn: ProgressBar::with_draw_target(None, target).with_style(style), clock, next }
    }

    /// Shows that `done` of `total` bytes are done.
    pub fn bytes(&mut self, done: u64, total: u64) {
        let percent = percent(done, total);
        self.show(&format!("{} {} of {} ({percent} %)", self.what, about_bytes(done), about_bytes(total)));
    }

    /// Shows a line, if the interval has passed.
    pub fn show(&mut self, text: &str) {
        if self.is_due() {
            self.drawn.set_message(text.to_owned());
        }
    }

    /// Shows `done` of `total` as a bar, if the interval has passed. A total of 0 is not known yet.
    pub fn bar(&mut self, done: u64, total: u64, beside: String, below: String) {
        if self.is_due() {
            if total > 0 {
                self.drawn.set_length(total.max(done));
            }
            self.drawn.set_position(done);
            self.drawn.set_prefix(beside);
            self.drawn.set_message(below);
        }
    }

    /// Removes what is shown, until something is shown again.
    pub fn clear(&mut self) {
        self.drawn.finish_and_clear();
    }

    fn is_due(&mut self) -> bool {
        let now = self.clock.monotonic();
        let is_due = now >= self.next;
        if is_due {
            self.next = now + EVERY;
            if self.drawn.is_finished() {
                self.drawn.reset();
            }
        }
        is_due
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.clear();
    }
}
