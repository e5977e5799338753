//! Closing a day: once it is over and all of it is in the store, its marker is put, and whoever wants to know is told.
//!
//! The marker is made from the manifest alone, so a try after a crash puts the same bytes under the same key.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::after_put::{Next, after_head, after_put};
use super::scheduler::{noted, on_disk};
use super::settings::{REFUSALS_BEFORE_ALARM, UNREACHABLE_BEFORE_ALARM};
use super::supervise::{self, UnderWay, Work};
use super::{Inner, Way, lock, way_to};
use crate::alarms::AlarmKind;
use crate::batch::AFTER_DAY;
use crate::object::metadata::SHA256;
use crate::object::{BucketString, ClosedMarker, Destination, ObjectKey};
use crate::spool::Stopped;
use crate::spool::closing::Closable;
use crate::spool::delivered_day::DayPlace;
use crate::store::{Body, BoxFuture, Put, PutMode};
use crate::time::{ReceivedDay, UnixMillis};

/// How often it is looked for days to close.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long both clocks must have said that a day is over before it is ended for good: a clock that runs ahead for a moment,
/// as after a machine was resumed, ends no day.
pub const SETTLED: Duration = Duration::from_secs(60);
/// Days of one destination whose markers are put, or wait to be, at once: what one bucket refuses holds up no other.
const CLOSING_PER_DESTINATION: usize = 256;

/// A day that is closed: its marker is in the store.
#[derive(Clone, Debug)]
pub struct ClosedDay {
    /// The bucket and prefix.
    pub bucket: BucketString,
    /// The marker's key.
    pub key: ObjectKey,
    /// What it says.
    pub marker: ClosedMarker,
}

/// Is told of each day that is closed, at least once, after its marker is in the store.
pub trait DayHook: Send + Sync + fmt::Debug {
    /// Tells it.
    ///
    /// # Errors
    /// Why it was not told; it is told again after a wait.
    fn tell<'a>(&'a self, day: &'a ClosedDay) -> BoxFuture<'a, Result<(), String>>;
}

/// A day that a task is closing.
#[derive(Debug)]
pub(super) struct ClosingDay {
    way: Way,
    /// Its marker is in the store, and the hook is told.
    telling: bool,
    /// Why it waits, where it does.
    pub(super) why: Option<String>,
    /// Its marker is not taken, and an alarm says so.
    pub(super) alarmed: bool,
}

/// Looks for days to end and to close.
#[derive(Debug, Default)]
pub(super) struct Closing {
    looked: Option<Duration>,
    over: Option<(ReceivedDay, Duration)>,
}

impl Closing {
    /// Ends the days that are over, and starts a task for each that can be closed.
    pub(super) fn look(&mut self, inner: &Arc<Inner>) {
        let (wall, monotonic) = (inner.parts.clock.wall(), inner.parts.clock.monotonic());
        if self.looked.is_some_and(|looked| monotonic.saturating_sub(looked) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(monotonic);
        let outlet = &inner.parts.outlet;
        if let Some(through) = self.settled(wall, monotonic).and_then(|over| outlet.last_to_end(over)) {
            let outlet = outlet.clone();
            // Nothing waits for it: the next look finds them ended, or the spool has stopped.
            drop(on_disk(inner, move || outlet.end_days(through)));
        }
        let resting = supervise::resting(inner);
        let mut closing = lock(&inner.closing);
        let mut putting: BTreeMap<Way, usize> = BTreeMap::new();
        for under_way in closing.values().filter(|under_way| !under_way.telling) {
            *putting.entry(under_way.way.clone()).or_default() += 1;
        }
        let closable = outlet.closable(|place, destination| {
            if closing.contains_key(place) || resting.contains(&Work::Day(place.clone())) {
                return false;
            }
            let putting = putting.entry(way_to(destination)).or_default();
            *putting += 1;
            *putting <= CLOSING_PER_DESTINATION
        });
        for closable in closable {
            let day =
                ClosingDay { way: way_to(&closable.destination), telling: false, why: None, alarmed: false };
            closing.insert(closable.place.clone(), day);
            let Some(under_way) = UnderWay::begin(inner, Work::Day(closable.place.clone())) else { continue };
            let inner_of_task = Arc::clone(inner);
            inner.tasks.spawn(async move {
                let (inner, _under_way) = (inner_of_task, under_way);
                let place = closable.place.clone();
                let outcome = tokio::select! {
                    biased;
                    () = inner.stop.cancelled() => Ok(()),
                    outcome = close(&inner, closable) => outcome,
                };
                if outcome.is_err() {
                    tracing::debug!(source = %place.source, day = %place.day, "closing ends: the spool has stopped");
                }
            });
        }
    }

    /// The last day that both clocks have long said is over.
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
    let due = UnixMillis(wall.0.saturating_sub(i64::try_from(AFTER_DAY.as_millis()).unwrap_or(i64::MAX)));
    UnixMillis(due.day().start().0.saturating_sub(1)).day()
}

/// Puts the marker until the store has it, tells the hook until it has heard, and notes that the day is closed.
async fn close(inner: &Arc<Inner>, closable: Closable) -> Result<(), Stopped> {
    let made = closable.marker.body().and_then(|body| Ok((Bytes::from(body), closable.marker.metadata()?)));
    let marker = match made {
        Ok(marker) => marker,
        Err(error) => {
            tracing::error!(%error, "a marker could not be written; this is a bug in Forebay");
            return Err(Stopped);
        }
    };
    let key = closable.marker.key(&closable.place.bucket);
    put(inner, &closable, &key, marker).await;
    if let Some(under_way) = lock(&inner.closing).get_mut(&closable.place) {
        under_way.telling = true;
    }
    let day = ClosedDay { bucket: closable.place.bucket.clone(), key, marker: closable.marker };
    tell(inner, &day).await;
    let (outlet, place) = (inner.parts.outlet.clone(), closable.place.clone());
    noted(inner, Some(&closable.place.source), move || outlet.closed(&place)).await?;
    inner.parts.metrics.days_closed.inc();
    let calls: u64 = day.marker.streams.values().map(|stream| stream.calls).sum();
    tracing::info!(source = %closable.place.source, day = %closable.place.day, lines = calls, key = %day.key, "a day is closed");
    Ok(())
}

/// The body of a marker, and its metadata.
type Made = (Bytes, Vec<(&'static str, String)>);

/// Puts the marker, for ever.
async fn put(inner: &Arc<Inner>, closable: &Closable, key: &ObjectKey, (body, metadata): Made) {
    let DayPlace { source, day, .. } = &closable.place;
    let ours = metadata.first().map(|(_, hash)| hash.clone()).unwrap_or_default();
    let crc32 = crc32fast::hash(&body);
    let mut reached = inner.slots(&closable.destination).reached.hearer();
    let since = inner.parts.clock.monotonic();
    let subject = closable.place.bucket.to_string();
    let (mut mode, mut tries, mut refusals) = (inner.settings.put_mode, 0_u32, 0_u32);
    loop {
        let destination = inner.reach(source, &closable.destination);
        let put = Put {
            destination: destination.clone(),
            key: key.clone(),
            body: Body::Bytes(body.clone()),
            crc32,
            content_encoding: None,
            metadata: metadata.clone(),
            tags: inner.settings.tags.pairs(source, *day),
            mode,
        };
        reached.forget();
        tries = tries.saturating_add(1);
        let slots = inner.slots(&destination);
        // A semaphore that is never closed.
        let Ok(slot) = slots.puts.acquire().await else { return };
        let answer = inner.parts.store.put(&put).await;
        drop(slot);
        let next = match answer {
            Ok(_) => Next::Commit,
            Err(error) => {
                let next = after_put(error.fault, mode);
                if next == Next::AskWhose {
                    let head = inner.parts.store.head(&destination, key).await;
                    let found = head.as_ref().map(|head| head.metadata.get(SHA256).map(String::as_str));
                    let next = after_head(found.map_err(|error| error.fault), &[&ours], true);
                    if next == Next::Retry(PutMode::Overwrite) {
                        inner.parts.metrics.puts_unasked.inc();
                    }
                    next
                } else {
                    let why = format!("put {key} to {destination}: {error}");
                    let long =
                        inner.parts.clock.monotonic().saturating_sub(since) >= UNREACHABLE_BEFORE_ALARM;
                    if long || refusals + 1 >= REFUSALS_BEFORE_ALARM {
                        // Objects may get through beside it, so it is no alarm of theirs.
                        let what = format!(
                            "days are not closed: {why}; their markers are put again until they are taken"
                        );
                        raise(inner, &closable.place, &subject, what);
                    }
                    waiting(inner, &closable.place, why, tries);
                    next
                }
            }
        };
        refusals = if next == Next::RetryAtCap { refusals.saturating_add(1) } else { 0 };
        match next {
            Next::Commit => break,
            Next::Retry(next) => mode = next,
            Next::Conflict => {
                let what = format!(
                    "another marker with other content stands at {key} in {}: this node does not close the day while it is \
                     there; look at what `forebay verify` says of the day, and at who put it",
                    destination.bucket.bucket()
                );
                waiting(inner, &closable.place, what.clone(), tries);
                inner.parts.alarms.raise(AlarmKind::Conflict, key.as_str(), what);
            }
            Next::RetryAtCap | Next::Rebuild | Next::ReadAgain | Next::AskWhose => {
                mode = inner.settings.put_mode
            }
        }
        let early = (1..REFUSALS_BEFORE_ALARM).contains(&refusals);
        let at_cap = matches!(next, Next::RetryAtCap | Next::Conflict) && !early;
        let wait = inner.settings.backoff.wait(if at_cap { u32::MAX } else { tries }, &*inner.parts.random);
        tokio::select! {
            biased;
            () = tokio::time::sleep(wait) => {}
            () = reached.told() => {}
        }
    }
    inner.parts.alarms.clear(AlarmKind::Conflict, key.as_str());
    clear(inner, &closable.place, &subject);
    inner.slots(&closable.destination).reached.tell();
}

/// Raises the alarm of a bucket that does not take a marker.
fn raise(inner: &Inner, place: &DayPlace, subject: &str, what: String) {
    let mut closing = lock(&inner.closing);
    if let Some(under_way) = closing.get_mut(place) {
        under_way.alarmed = true;
    }
    inner.parts.alarms.raise(AlarmKind::Closing, subject, what);
}

/// Ends the alarm of a bucket, unless it still refuses the marker of another source or day.
fn clear(inner: &Inner, place: &DayPlace, subject: &str) {
    let mut closing = lock(&inner.closing);
    if let Some(under_way) = closing.get_mut(place) {
        under_way.alarmed = false;
    }
    let others = closing.iter().any(|(other, way)| way.alarmed && other.bucket.to_string() == subject);
    if !others {
        inner.parts.alarms.clear(AlarmKind::Closing, subject);
    }
}

/// Tells the hook, for ever.
async fn tell(inner: &Arc<Inner>, day: &ClosedDay) {
    let Some(hook) = &inner.parts.hook else { return };
    let mut tries = 0_u32;
    while let Err(why) = hook.tell(day).await {
        tries = tries.saturating_add(1);
        let place =
            DayPlace { source: day.marker.source.clone(), day: day.marker.day, bucket: day.bucket.clone() };
        let what = format!("the hook was not told that the day is closed: {why}");
        if tries >= REFUSALS_BEFORE_ALARM {
            let what = format!(
                "{what}; its marker is in the store, and the hook is told again until it answers well"
            );
            inner.parts.alarms.raise(AlarmKind::Hook, day.key.as_str(), what);
        }
        waiting(inner, &place, what, tries);
        tokio::time::sleep(inner.settings.backoff.wait(tries, &*inner.parts.random)).await;
    }
    inner.parts.alarms.clear(AlarmKind::Hook, day.key.as_str());
}

fn waiting(inner: &Inner, place: &DayPlace, why: String, tries: u32) {
    if let Some(line) = inner.happened("close", place.bucket.bucket()) {
        tracing::warn!(
            times = line.times,
            others = line.others,
            tries,
            source = %place.source,
            day = %place.day,
            "waiting to close a day: {why}"
        );
    }
    if let Some(known) = lock(&inner.closing).get_mut(place) {
        known.why = Some(why);
    }
}

impl Inner {
    /// Where the markers of days that are not closed go.
    pub(super) fn marker_destinations(&self) -> Vec<Destination> {
        let noted = self.parts.outlet.day_destinations();
        noted.into_iter().map(|(source, destination)| self.reach(&source, &destination)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::DAY_MS;

    #[test]
    fn a_day_ends_once_both_clocks_have_said_so_for_a_minute() {
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
        // A clock two days ahead for a moment.
        check(midnight + 2 * DAY_MS + 120_000, 122, None);
        check(midnight + 2 * DAY_MS + 120_000, 181, None);
        check(midnight + 180_000, 182, None);
        check(midnight + 240_000, 242, Some(99));
    }
}
