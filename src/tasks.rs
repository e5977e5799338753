//! Supervision: a panic of a task is noticed at once, raises one alarm with the task's name, and the work is
//! restarted after a wait that grows; or the process shuts down in order (decision 0203).
//!
//! [`keep`] restarts a task that runs for long. Who restarts in another way calls [`caught`], and reports to
//! [`Supervised`]: delivery rests the work (`delivery/tasks_under_way.rs`).

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinError;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::alarms::{AlarmKind, Alarms};
use crate::retry::Backoff;

/// The waits before restarts. Shutdown may have to wait for one.
pub const RESTARTS: Backoff = Backoff { first: Duration::from_millis(100), cap: Duration::from_secs(5) };
/// Restarts in a row before the process shuts down: then only a new process, with fresh state in memory, may
/// help.
pub const RESTARTS_MAX: u32 = 10;
/// A task that has run for this long after a restart is healthy: its alarm is cleared.
pub const SOUND_AFTER: Duration = Duration::from_secs(60);
/// What the alarm says of a task that is restarted.
const RESTARTED: &str = "the task is restarted after a pause, and no acknowledged call is lost";

/// A task or a piece of work panicked. The panic is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Does work and catches its panic.
#[expect(clippy::disallowed_methods, reason = "the one place that catches panics")]
pub fn caught_now<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    // As with tasks of the runtime, shared state is behind locks that recover from a panic.
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked)
}

/// Runs a future and catches its panic.
pub async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| match caught_now(|| future.as_mut().poll(context)) {
        Ok(polled) => polled.map(Ok),
        Err(panicked) => Poll::Ready(Err(panicked)),
    })
    .await
}

thread_local! {
    static PANIC_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work of a dependency that panics on damaged data, and catches its panic. It is no bug, so the log
/// does not show it: the caller says what is damaged.
pub fn caught_quietly<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = PANIC_EXPECTED.replace(true);
    let result = caught_now(work);
    PANIC_EXPECTED.set(before);
    result
}

/// Whether a panic of this thread is caught by [`caught_quietly`].
pub fn is_panic_expected() -> bool {
    PANIC_EXPECTED.get()
}

/// The outcome of work that another task or thread did. A panic goes on in the task that waits for it, whose
/// owner notices. `None`: the work was cancelled, because the process ends.
pub fn joined<T>(work: Result<T, JoinError>) -> Option<T> {
    match work {
        Ok(outcome) => Some(outcome),
        Err(error) => error.try_into_panic().map_or(None, |panic| resume_unwind(panic)),
    }
}

/// The panics in a row of one task, and its alarm.
#[derive(Debug)]
pub struct Supervised {
    /// `None` for a task that runs before there are alarms: the log shows its panics.
    alarms: Option<Arc<Alarms>>,
    name: String,
    waits: Backoff,
    restarts_max: u32,
    then: &'static str,
    /// Once it is cancelled, the task is not restarted, and its rest ends.
    ended_by: CancellationToken,
    panics: u32,
}

impl Supervised {
    /// A task that the process needs: after [`RESTARTS_MAX`] failed restarts it is asked to end
    /// ([`Alarms::ending`]). `name` is the subject of the alarm.
    pub fn new(alarms: &Arc<Alarms>, name: impl Into<String>) -> Self {
        Self::of(Some(Arc::clone(alarms)), name.into())
    }

    /// A task that runs before there are alarms. It is always restarted; only the log reports it.
    pub fn unalarmed() -> Self {
        Self::of(None, String::new()).with_restarts(u32::MAX, RESTARTS)
    }

    fn of(alarms: Option<Arc<Alarms>>, name: String) -> Self {
        let (waits, restarts_max, ended_by) = (RESTARTS, RESTARTS_MAX, CancellationToken::new());
        Self { alarms, name, waits, restarts_max, then: RESTARTED, ended_by, panics: 0 }
    }

    /// The process ends after so many restarts in a row.
    #[must_use]
    pub fn with_restarts(self, restarts_max: u32, waits: Backoff) -> Self {
        Self { waits, restarts_max, ..self }
    }

    /// Once `token` is cancelled, the task is not restarted, and does not rest.
    #[must_use]
    pub fn ended_by(self, token: CancellationToken) -> Self {
        Self { ended_by: token, ..self }
    }

    /// What the alarm says happens after a panic, in place of the restart.
    #[must_use]
    pub fn with_consequence(self, then: &'static str) -> Self {
        Self { then, ..self }
    }

    /// Notes a panic: raises the alarm. Returns how long the work rests; `None` if the process ends.
    pub fn panicked(&mut self) -> Option<Duration> {
        self.panics = self.panics.saturating_add(1);
        let (panics, ends) = (self.panics, self.panics > self.restarts_max);
        if let Some(alarms) = &self.alarms {
            let then = if ends { "the process ends, so that a restart can recover" } else { self.then };
            let what = format!(
                "the task panicked (panics in a row: {panics}); this is a bug in Forebay; the log shows the panic; {then}"
            );
            match ends {
                true => alarms.end_process(&self.name, what),
                false => alarms.raise(AlarmKind::Task, &self.name, what),
            }
        }
        (!ends).then(|| self.waits.bound(panics))
    }

    /// The work has ended well, or the task is healthy: clears the alarm.
    pub fn sound(&mut self) {
        if std::mem::take(&mut self.panics) > 0
            && let Some(alarms) = &self.alarms
        {
            alarms.clear(AlarmKind::Task, &self.name);
        }
    }
}

/// Runs a task until it ends by itself, and restarts it when it panics. The alarm stands from the panic until
/// the task is healthy again.
pub async fn keep<F>(mut supervised: Supervised, mut start: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    loop {
        let mut task = pin!(caught(async { start().await }));
        let early = match supervised.panics {
            0 => None,
            _ => timeout(SOUND_AFTER, &mut task).await.ok(),
        };
        let ended = match early {
            Some(ended) => ended,
            None => {
                supervised.sound();
                task.await
            }
        };
        if ended.is_ok() {
            return supervised.sound();
        }
        let Some(wait) = supervised.panicked() else { return };
        tokio::select! {
            biased;
            // Nobody restarts it, so nobody else would clear its alarm.
            () = supervised.ended_by.cancelled() => return supervised.sound(),
            () = sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::metrics::Metrics;
    use crate::time::{Clock, UnixMillis};

    #[derive(Debug)]
    struct Standing;
    impl Clock for Standing {
        fn wall(&self) -> UnixMillis {
            UnixMillis(0)
        }
        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    fn alarms() -> Arc<Alarms> {
        Arc::new(Alarms::new(Arc::new(Standing), Arc::new(Metrics::new())))
    }

    fn stands(alarms: &Alarms) -> bool {
        alarms.standing().iter().any(|alarm| (alarm.kind, alarm.subject.as_str()) == (AlarmKind::Task, "t"))
    }

    /// Panics at its first `times` starts, then runs for `then`.
    fn shaky(
        started: &Arc<AtomicU32>,
        times: u32,
        then: Duration,
    ) -> impl FnMut() -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
        let started = Arc::clone(started);
        move || {
            let number = started.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                tokio::task::yield_now().await;
                assert!(number >= times, "planted");
                sleep(then).await;
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_restarted_and_its_alarm_stands_until_it_is_healthy() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        let start = shaky(&started, 3, SOUND_AFTER * 2);
        let began = Instant::now();
        let kept = keep(Supervised::new(&alarms, "t"), start);
        let looks = async {
            sleep(RESTARTS.first * 7 + SOUND_AFTER / 2).await;
            assert!(stands(&alarms), "not healthy yet");
            sleep(SOUND_AFTER).await;
            assert!(!stands(&alarms), "healthy");
        };
        tokio::join!(kept, looks);
        assert_eq!(started.load(Ordering::Relaxed), 4);
        // The wait grew each time.
        assert_eq!(began.elapsed(), RESTARTS.first * 7 + SOUND_AFTER * 2);
        assert_eq!(*alarms.ending().borrow(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_leaves_no_alarm() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        keep(Supervised::new(&alarms, "t"), shaky(&started, 1, Duration::ZERO)).await;
        assert_eq!((started.load(Ordering::Relaxed), stands(&alarms)), (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_rests_ends_at_once_when_it_is_told_to() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        let (token, began) = (CancellationToken::new(), Instant::now());
        let supervised = Supervised::new(&alarms, "t").ended_by(token.clone());
        let kept = keep(supervised, shaky(&started, u32::MAX, Duration::ZERO));
        let ends = async {
            sleep(RESTARTS.first / 2).await;
            token.cancel();
        };
        tokio::join!(kept, ends);
        assert_eq!((started.load(Ordering::Relaxed), began.elapsed()), (1, RESTARTS.first / 2));
        assert!(!stands(&alarms), "it is gone");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_only_panics_ends_the_process() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        keep(Supervised::new(&alarms, "t"), shaky(&started, u32::MAX, Duration::ZERO)).await;
        assert_eq!((started.load(Ordering::Relaxed), stands(&alarms)), (RESTARTS_MAX + 1, true));
        let ending = alarms.ending().borrow().clone();
        assert!(
            ending.is_some_and(|why| why.contains("t: the task panicked")),
            "the reason names the task and the panic"
        );
    }
}
