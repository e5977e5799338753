//! Closes days: when a day is over and all of it is in the store, its marker is put, and then the hook is
//! called.
//!
//! The marker is made from the manifest alone, so a retry after a crash puts the same bytes under the same
//! key. Only the day before, which it names, can be another one by then. The hash by which a marker is
//! recognised leaves it out (decision 0133).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use super::closing_days::ClosingDay;
use super::marker;
use crate::alarms::AlarmKind;
use crate::batch::AFTER_DAY;
use crate::delivery::blocking::{noted, on_disk};
use crate::delivery::deps::ClosedDay;
use crate::delivery::settings::REFUSALS_BEFORE_ALARM;
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Work;
use crate::log::{Closable, DayInBucket, Stopped};
use crate::time::{ReceivedDay, UnixMillis};

/// How often delivery checks for days to close.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long both clocks must have shown that a day is over before it ends for good. A clock that runs ahead
/// for a moment, as after a machine was resumed, ends no day.
pub const SETTLED: Duration = Duration::from_secs(60);

/// Finds days to end and to close.
#[derive(Debug, Default)]
pub(in crate::delivery) struct Closing {
    looked: Option<Duration>,
    over: Option<(ReceivedDay, Duration)>,
    /// Days are being ended. A log over Kafka may wait for a broker, and each wait holds one of few threads.
    ends: Option<JoinHandle<Result<(), Stopped>>>,
}

impl Closing {
    /// Ends the days that are over, and starts a task for each that can be closed.
    pub(in crate::delivery) fn look(&mut self, shared: &Arc<Shared>) {
        let (wall, monotonic) = (shared.deps.clock.wall(), shared.deps.clock.monotonic());
        if self.looked.is_some_and(|looked| monotonic.saturating_sub(looked) < CHECK_EVERY) {
            return;
        }
        self.looked = Some(monotonic);
        let log = &shared.deps.log;
        self.ends.take_if(|ends| ends.is_finished());
        let settled = self.settled(wall, monotonic).filter(|_| self.ends.is_none());
        if let Some(through) = settled.and_then(|over| log.last_to_end(over)) {
            let log = Arc::clone(log);
            // Its result is not awaited: a later check finds the days ended, or the log has stopped.
            self.ends = Some(on_disk(shared, move || log.end_days(through)));
        }
        let resting = shared.under_way.resting();
        let rests = |place: &DayInBucket| resting.contains(&Work::Day(place.clone()));
        let days = shared.closing_days.take_on(rests, |wanted| log.closable(wanted));
        for (closable, day) in days {
            let shared_of_task = Arc::clone(shared);
            shared.tasks.spawn(async move {
                let shared = shared_of_task;
                shared.run(Work::Day(closable.place.clone()), close(&shared, closable, &day)).await;
            });
        }
    }

    /// The last day that is over, if both clocks have shown that for long enough.
    fn settled(&mut self, wall: UnixMillis, monotonic: Duration) -> Option<ReceivedDay> {
        let through = last_over(wall);
        let (known, since) = *self.over.get_or_insert((through, monotonic));
        if known != through {
            self.over = Some((through, monotonic));
            return None;
        }
        (monotonic.saturating_sub(since) >= SETTLED).then_some(through)
    }
}

/// The last day whose batches are due because it is over.
pub fn last_over(wall: UnixMillis) -> ReceivedDay {
    let due = wall.minus(AFTER_DAY);
    UnixMillis(due.day().start().0.saturating_sub(1)).day()
}

/// Puts the marker until the store has it, calls the hook until that succeeds, and notes that the day is
/// closed.
async fn close(shared: &Arc<Shared>, closable: Closable, closing: &ClosingDay) -> Result<(), Stopped> {
    let made = closable.marker.body().and_then(|body| Ok((Bytes::from(body), closable.marker.metadata()?)));
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::error!(%error, "a marker could not be made; this is a bug in Forebay");
            return Err(Stopped);
        }
    };
    let key = closable.marker.key(&closable.place.bucket);
    marker::deliver(shared, &closable, closing, &key, made).await?;
    closing.is_put();
    let day = ClosedDay { bucket: closable.place.bucket.clone(), key, marker: closable.marker };
    call_hook(shared, closing, &day).await;
    let (log, place) = (Arc::clone(&shared.deps.log), closable.place.clone());
    noted(shared, Some(&closable.place.source), move || log.closed(&place)).await?;
    shared.deps.metrics.days_closed.inc();
    let calls: u64 = day.marker.streams.values().map(|stream| stream.calls).sum();
    tracing::info!(source = %closable.place.source, day = %closable.place.day, lines = calls, key = %day.key, "a day is closed");
    Ok(())
}

/// Calls the hook until that succeeds.
async fn call_hook(shared: &Shared, closing: &ClosingDay, day: &ClosedDay) {
    let Some(hook) = &shared.deps.hook else { return };
    let mut tries = 0_u32;
    while let Err(why) = hook.call(day).await {
        tries = tries.saturating_add(1);
        let what = format!("the hook was not notified that the day is closed: {why}");
        if tries >= REFUSALS_BEFORE_ALARM {
            let what =
                format!("{what}; the marker is in the store, and the hook is called again until it succeeds");
            shared.deps.alarms.raise(AlarmKind::Hook, day.key.as_str(), what);
        }
        closing.waits(&shared.repeated, what, tries);
        tokio::time::sleep(shared.settings.backoff.wait(tries, &*shared.deps.random)).await;
    }
    shared.deps.alarms.clear(AlarmKind::Hook, day.key.as_str());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY_MS;

    #[test]
    fn a_day_ends_after_both_clocks_have_shown_that_for_a_minute() {
        let mut closing = Closing::default();
        let day = |n: i64| UnixMillis(n * DAY_MS).day();
        let mut check = |wall: i64, monotonic: u64, expected: Option<i64>| {
            let settled = closing.settled(UnixMillis(wall), Duration::from_secs(monotonic));
            assert_eq!(settled, expected.map(day), "{wall} {monotonic}");
        };
        let midnight = 100 * DAY_MS;
        check(midnight - 1, 0, None);
        check(midnight + 59_999, 60, Some(98));
        check(midnight + 60_000, 61, None);
        check(midnight + 119_999, 120, None);
        check(midnight + 120_000, 121, Some(99));
        // The clock is two days ahead for a moment.
        check(midnight + 2 * DAY_MS + 120_000, 122, None);
        check(midnight + 2 * DAY_MS + 120_000, 181, None);
        check(midnight + 180_000, 182, None);
        check(midnight + 240_000, 242, Some(99));
    }
}
