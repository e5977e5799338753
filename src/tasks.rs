//! Long-running tasks: a panic is noticed at once; the task is restarted, or the process shuts down in order.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::alarms::{AlarmKind, Alarms};

/// The wait before the first restart of a task. It doubles with each panic in a row.
pub const RESTART_FIRST: Duration = Duration::from_millis(100);
/// The longest wait before a restart. Shutdown may have to wait for it.
pub const RESTART_CAP: Duration = Duration::from_secs(5);
/// Restarts in a row before the process shuts down: then only a new process, with fresh state in memory, may
/// help.
pub const RESTARTS_MAX: u32 = 10;
/// A task that has run for this long after a restart is healthy: its alarm is cleared.
pub const SOUND_AFTER: Duration = Duration::from_secs(60);

/// A future panicked. The panic is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panicked;

/// Runs a future and catches its panic.
///
/// # Errors
/// [`Panicked`].
pub async fn caught<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    // As with tasks of the runtime, shared state is behind locks that recover from a panic.
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Ok),
        Err(_) => Poll::Ready(Err(Panicked)),
    })
    .await
}

thread_local! {
    static PANIC_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Runs work of a dependency that panics on damaged data, and catches its panic. It is no bug, so the log
/// does not show it: the caller says what is damaged.
///
/// # Errors
/// [`Panicked`].
pub fn caught_quietly<T>(work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let before = PANIC_EXPECTED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    PANIC_EXPECTED.set(before);
    result.map_err(|_| Panicked)
}

/// Whether a panic of this thread is caught by [`caught_quietly`].
pub fn is_panic_expected() -> bool {
    PANIC_EXPECTED.get()
}

/// Runs a task until it ends by itself, and restarts it when it panics. An alarm stands from the panic until
/// the task is healthy again. After [`RESTARTS_MAX`] failed restarts the process is asked to end
/// ([`Alarms::ending`]).
pub async fn keep<F>(alarms: Arc<Alarms>, name: &'static str, mut start: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let mut panics = 0;
    loop {
        let mut task = pin!(caught(start()));
        let early = if panics == 0 { None } else { timeout(SOUND_AFTER, &mut task).await.ok() };
        let ended = match early {
            Some(ended) => ended,
            None => {
                panics = 0;
                alarms.clear(AlarmKind::Task, name);
                task.await
            }
        };
        if ended.is_ok() {
            return alarms.clear(AlarmKind::Task, name);
        }
        panics += 1;
        let what = format!(
            "the task panicked (panics in a row: {panics}); this is a bug in Forebay; the log shows the panic"
        );
        if panics > RESTARTS_MAX {
            return alarms
                .end_process(name, format!("{what}; the process ends, so that a restart can recover"));
        }
        alarms.raise(AlarmKind::Task, name, format!("{what}; the task is being restarted"));
        sleep(RESTART_FIRST.saturating_mul(1 << (panics - 1)).min(RESTART_CAP)).await;
    }
}

/// Runs a task until it ends by itself, and restarts it after [`RESTART_FIRST`] when it panics: for tasks
/// that run before there are alarms. The log shows their panics.
pub async fn restart<F>(mut start: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    while caught(start()).await.is_err() {
        sleep(RESTART_FIRST).await;
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
        let kept = keep(Arc::clone(&alarms), "t", start);
        let looks = async {
            sleep(RESTART_FIRST * 7 + SOUND_AFTER / 2).await;
            assert!(stands(&alarms), "not healthy yet");
            sleep(SOUND_AFTER).await;
            assert!(!stands(&alarms), "healthy");
        };
        tokio::join!(kept, looks);
        assert_eq!(started.load(Ordering::Relaxed), 4);
        // The wait grew each time.
        assert_eq!(began.elapsed(), RESTART_FIRST * 7 + SOUND_AFTER * 2);
        assert_eq!(*alarms.ending().borrow(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_ends_by_itself_leaves_no_alarm() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        keep(Arc::clone(&alarms), "t", shaky(&started, 1, Duration::ZERO)).await;
        assert_eq!((started.load(Ordering::Relaxed), stands(&alarms)), (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_only_panics_ends_the_process() {
        let (alarms, started) = (alarms(), Arc::new(AtomicU32::new(0)));
        keep(Arc::clone(&alarms), "t", shaky(&started, u32::MAX, Duration::ZERO)).await;
        assert_eq!((started.load(Ordering::Relaxed), stands(&alarms)), (RESTARTS_MAX + 1, true));
        let ending = alarms.ending().borrow().clone();
        assert!(
            ending.is_some_and(|why| why.contains("t: the task panicked")),
            "the reason names the task and the panic"
        );
    }
}
