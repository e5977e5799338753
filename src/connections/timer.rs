//! The timer of one connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use super::times::Verdict;

/// Fires when a time limit of a connection passes. It is rearmed only for an earlier time or after it fired,
/// not at every request.
#[derive(Debug)]
pub struct Timer {
    sleep: Pin<Box<Sleep>>,
    armed: Duration,
}

impl Default for Timer {
    fn default() -> Self {
        Self { sleep: Box::pin(sleep(Duration::ZERO)), armed: Duration::MAX }
    }
}

impl Timer {
    /// Ready when `verdict`, given the time, closes the connection. Poll it after everything that may change
    /// the verdict.
    pub fn poll_expired<E>(
        &mut self,
        now: impl Fn() -> Duration,
        verdict: impl Fn(Duration, &Context<'_>) -> Verdict<E>,
        cx: &mut Context<'_>,
    ) -> Poll<E> {
        loop {
            let again_at = match verdict(now(), cx) {
                Verdict::Close(expired) => return Poll::Ready(expired),
                Verdict::Fine { again_at } => again_at,
            };
            if again_at < self.armed {
                self.armed = again_at;
                self.sleep.as_mut().reset(Instant::now() + again_at.saturating_sub(now()));
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.armed = Duration::MAX;
        }
    }
}
