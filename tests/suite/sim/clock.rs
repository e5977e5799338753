//! Simulated time. One true time runs through all lives. The wall clock shows it with steps, and each life's
//! monotonic clock counts from the beginning of the life.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use forebay::time::{Clock, UnixMillis};
use tokio::time::Instant;

/// The simulated clock. Clones share its state.
#[derive(Clone, Debug)]
pub(super) struct SimClock(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    /// True time at the beginning of the life's runtime, plus the time passed outside of it since.
    before: Duration,
    /// When the life began, on its runtime's clock.
    began: Option<Instant>,
    /// True time when the life began.
    life: Duration,
    wall_at_zero: i64,
}

impl SimClock {
    /// A clock whose wall clock begins at `wall` milliseconds.
    pub(super) fn new(wall: i64) -> Self {
        let state = State { before: Duration::ZERO, began: None, life: Duration::ZERO, wall_at_zero: wall };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a life: time now runs with the runtime's clock.
    pub(super) fn begin_life(&self) {
        let mut state = self.lock();
        state.life = state.before;
        state.began = Some(Instant::now());
    }

    /// Ends the life: time now stands still.
    pub(super) fn end_life(&self) {
        let mut state = self.lock();
        state.before = state.now();
        state.began = None;
    }

    /// True time since the world began.
    pub(super) fn now(&self) -> Duration {
        self.lock().now()
    }

    /// Lets time pass without any events.
    pub(super) fn pass(&self, time: Duration) {
        self.lock().before += time;
    }

    /// Sets the wall clock to `wall`.
    pub(super) fn set(&self, wall: UnixMillis) {
        let mut state = self.lock();
        state.wall_at_zero = wall.0 - i64::try_from(state.now().as_millis()).unwrap();
    }

    /// Steps the wall clock forward or back.
    pub(super) fn step(&self, ms: i64) {
        self.lock().wall_at_zero += ms;
    }
}

impl State {
    fn now(&self) -> Duration {
        self.before + self.began.map_or(Duration::ZERO, |began| began.elapsed())
    }
}

impl Clock for SimClock {
    fn wall(&self) -> UnixMillis {
        let state = self.lock();
        let passed = i64::try_from(state.now().as_millis()).unwrap();
        UnixMillis((state.wall_at_zero + passed).max(0))
    }

    fn monotonic(&self) -> Duration {
        let state = self.lock();
        state.now().saturating_sub(state.life)
    }
}
