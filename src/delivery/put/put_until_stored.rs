//! Puts a sealed object, or the marker of a closed day, until the store has it. It never gives up.
//!
//! Each try is one put. `after_put.rs` decides what its answer means; if the key is taken, a HEAD shows
//! whether the object there is ours. [`Deliverable`] covers the differences between objects and markers.

use std::sync::Arc;
use std::time::Duration;

use super::after_put::{Next, after_head, after_put};
use super::put_locations::Waiter;
use crate::delivery::settings::REFUSALS_BEFORE_ALARM;
use crate::delivery::shared::Shared;
use crate::log::Stopped;
use crate::object::S3Location;
use crate::object::metadata::SHA256;
use crate::planted_bugs::{PlantedBug, planted};
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::{Head, Put, PutMode, StoreError, Stored};

/// What is retried soon waits as after this many tries of the backoff: about a second.
const SOON_AS_AFTER_TRIES: u32 = 4;

/// What is put until the store has it.
pub(in crate::delivery) trait Deliverable {
    const PACE: Pace;

    /// Makes the put of the next try.
    async fn ready(&mut self, tries: &Tries) -> Result<Ready, Stopped>;

    /// Puts once, in one of the bucket's slots.
    async fn put_once(&mut self, put: &Put) -> Result<Result<Stored, StoreError>, Stopped>;

    /// Reports a put that failed. `next` is the step that follows from the answer alone; `tries.refusals`
    /// counts the refusals before this put.
    fn failed(&mut self, error: &StoreError, next: Next, tries: &Tries);

    /// Where it is put now.
    fn location(&self) -> S3Location;

    /// Handles what was found under the key, and the step that follows from it.
    async fn found(
        &mut self,
        _head: &Result<Head, StoreError>,
        _next: Next,
        _tries: &Tries,
    ) -> Result<(), Stopped> {
        Ok(())
    }

    /// Notes that the store has it. `put` is the last try, and `stored` the store's answer to it.
    async fn commit(&mut self, put: &Put, stored: &Stored) -> Result<(), Stopped>;

    /// Called if the store does not have it yet. Does what `next` requires: makes the bytes again, or reports
    /// a conflict.
    async fn not_yet(&mut self, next: Next, tries: &Tries) -> Result<(), Stopped>;

    /// Reports that the next try begins after this time, unless something cuts the wait short.
    fn tries_again(&mut self, _after: Duration) {}

    /// Called when a wait begins.
    async fn wait_begins(&mut self) -> Result<(), Stopped> {
        Ok(())
    }

    /// Called repeatedly during a wait.
    async fn look_while_waiting(&mut self) -> Result<(), Stopped> {
        Ok(())
    }

    /// Whether the wait ends now: what it waited for has happened. Asked as often as
    /// [`look_while_waiting`](Self::look_while_waiting).
    fn waits_no_more(&self) -> bool {
        false
    }

    /// The interval at which [`look_while_waiting`](Self::look_while_waiting) is called.
    fn check_every(&self) -> Duration {
        Duration::MAX
    }
}

/// Whether something can be put now.
pub(in crate::delivery) enum Ready {
    Put {
        put: Box<Put>,
        /// The content hashes that an object of ours under this key may have.
        ours: Vec<String>,
        /// Whether the put may replace an object that has the key. It may not if it holds less than what was
        /// sealed.
        may_replace: bool,
    },
    /// Not now: the put cannot be made, or waits for a person.
    NotNow,
    /// The log has it elsewhere. Another task puts it once it is at hand.
    Elsewhere,
    /// A person must decide first.
    Conflict,
}

/// The tries so far, and the mode of the next.
#[derive(Clone, Copy, Debug)]
pub(in crate::delivery) struct Tries {
    pub(in crate::delivery) mode: PutMode,
    pub(in crate::delivery) number: u32,
    /// Puts refused in a row.
    pub(in crate::delivery) refusals: u32,
}

/// How long to wait between tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Pace {
    /// Thousands of objects may wait for one bucket, so their tries are spread over time.
    Objects,
    /// Markers are few.
    Markers,
}

impl Pace {
    /// The wait after a try that led to `next`.
    fn wait(self, next: Next, tries: &Tries, backoff: Backoff, random: &dyn Random) -> Duration {
        let early = (1..REFUSALS_BEFORE_ALARM).contains(&tries.refusals);
        match (next, self) {
            // The first tries after a refusal come soon, so that the alarm is not delayed by minutes.
            (Next::RetryAtCap, Self::Objects) if early => backoff.wait(SOON_AS_AFTER_TRIES, random),
            (Next::RetryAtCap, Self::Markers) if early => backoff.wait(tries.number, random),
            (Next::RetryAtCap | Next::Conflict, Self::Objects) => {
                backoff.cap.mul_f64(0.5) + backoff.wait(u32::MAX, random).mul_f64(0.5)
            }
            (Next::RetryAtCap | Next::Conflict, Self::Markers) => backoff.wait(u32::MAX, random),
            _ => backoff.wait(tries.number.max(1), random),
        }
    }

    /// Whether the wait after `next` is cut short when the bucket accepts another object.
    fn retries_early(self, next: Next) -> bool {
        self == Self::Markers || matches!(next, Next::Retry(_) | Next::RetryAtCap)
    }

    /// The wait after the bucket has accepted another object.
    fn after_recovery(self, backoff: Backoff, random: &dyn Random) -> Duration {
        match self {
            Self::Objects => backoff.wait(SOON_AS_AFTER_TRIES, random),
            Self::Markers => Duration::ZERO,
        }
    }
}

/// Puts `what` until the store has it, and commits it; ends earlier if the log has it elsewhere. `accepted` reports when the bucket accepts another
/// object meanwhile.
///
/// The first put has the mode `first_mode`, and so has each put after a refusal: if the HEAD of an existing
/// object was refused, the plain put that would replace it may be refused too, and the next try then asks
/// again.
pub(in crate::delivery) async fn put_until_stored<D: Deliverable>(
    shared: &Arc<Shared>,
    what: &mut D,
    first_mode: PutMode,
    mut accepted: Waiter,
) -> Result<(), Stopped> {
    let mut tries = Tries { mode: first_mode, number: 0, refusals: 0 };
    loop {
        let Some(next) = attempt(shared, what, &mut tries, &mut accepted).await? else { return Ok(()) };
        match next {
            Next::Commit => return Ok(()),
            Next::Retry(mode) => tries.mode = mode,
            Next::RetryAtCap => tries.mode = first_mode,
            Next::AskWhose | Next::Rebuild | Next::ReadAgain | Next::Conflict => {}
        }
        what.not_yet(next, &tries).await?;
        wait(shared, what, next, &tries, &mut accepted).await?;
    }
}

/// Puts once. If the key is taken, asks whose object has it. `None` if the log has it elsewhere.
async fn attempt<D: Deliverable>(
    shared: &Arc<Shared>,
    what: &mut D,
    tries: &mut Tries,
    accepted: &mut Waiter,
) -> Result<Option<Next>, Stopped> {
    let (put, ours, may_replace) = match what.ready(tries).await? {
        Ready::Put { put, ours, may_replace } => (*put, ours, may_replace),
        Ready::NotNow => {
            tries.refusals = 0;
            return Ok(Some(Next::RetryAtCap));
        }
        Ready::Elsewhere => return Ok(None),
        Ready::Conflict => return Ok(Some(Next::Conflict)),
    };
    tries.number = tries.number.saturating_add(1);
    accepted.forget();
    let (next, stored) = match what.put_once(&put).await? {
        Ok(stored) => (Next::Commit, stored),
        Err(error) => {
            let next = after_put(error.fault, put.mode);
            what.failed(&error, next, tries);
            tries.refusals = if next == Next::RetryAtCap { tries.refusals.saturating_add(1) } else { 0 };
            match next {
                Next::AskWhose if planted(PlantedBug::ExistsUnchecked) => (Next::Commit, Stored::default()),
                Next::AskWhose => ask_whose(shared, what, &put, &ours, may_replace, tries).await?,
                next => (next, Stored::default()),
            }
        }
    };
    if next == Next::Commit {
        what.commit(&put, &stored).await?;
    }
    Ok(Some(next))
}

/// After a 412: checks whether the key was taken by us, in an earlier try whose answer was lost.
async fn ask_whose<D: Deliverable>(
    shared: &Arc<Shared>,
    what: &mut D,
    put: &Put,
    ours: &[String],
    may_replace: bool,
    tries: &Tries,
) -> Result<(Next, Stored), Stopped> {
    let head = shared.deps.store.head(&what.location(), &put.key).await;
    let found = head.as_ref().map(|head| head.metadata.get(SHA256).map(String::as_str));
    let ours: Vec<&str> = ours.iter().map(String::as_str).collect();
    let next = after_head(found.map_err(|error| error.fault), &ours, may_replace);
    if next == Next::Retry(PutMode::Overwrite) {
        shared.deps.metrics.puts_unasked.inc();
    }
    what.found(&head, next, tries).await?;
    let applied = head.ok().and_then(|head| head.applied);
    Ok((next, Stored { applied, ..Stored::default() }))
}

/// Waits before the next try.
///
/// An outage ends for all objects of a bucket at once: the first one that the store accepts notifies the
/// others. Each wait is cut short once, so that one refused key among good ones is not tried without pause.
async fn wait<D: Deliverable>(
    shared: &Arc<Shared>,
    what: &mut D,
    next: Next,
    tries: &Tries,
    accepted: &mut Waiter,
) -> Result<(), Stopped> {
    let (backoff, random, clock) = (shared.settings.backoff, &*shared.deps.random, &*shared.deps.clock);
    let wait = D::PACE.wait(next, tries, backoff, random);
    let mut end = clock.monotonic().saturating_add(wait);
    let mut may_retry_early = D::PACE.retries_early(next);
    what.tries_again(wait);
    what.wait_begins().await?;
    loop {
        what.look_while_waiting().await?;
        let left = end.saturating_sub(clock.monotonic());
        if left.is_zero() || what.waits_no_more() {
            return Ok(());
        }
        tokio::select! {
            biased;
            () = tokio::time::sleep(left.min(what.check_every())) => {}
            () = accepted.notified(), if may_retry_early => {
                may_retry_early = false;
                let soon = D::PACE.after_recovery(backoff, random);
                end = end.min(clock.monotonic().saturating_add(soon));
                what.tries_again(end.saturating_sub(clock.monotonic()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Draws the longest wait.
    #[derive(Debug)]
    struct Longest;
    impl Random for Longest {
        fn next_u64(&self) -> u64 {
            // One less than a multiple of every bound below, in microseconds.
            409_600_000_000_000 - 1
        }
    }

    #[test]
    fn refusals_are_retried_soon_until_they_are_an_alarm_and_then_at_the_longest_wait() {
        let backoff = Backoff { first: Duration::from_millis(200), cap: Duration::from_secs(64) };
        let check = |pace: Pace, next, number, refusals, expected_ms| {
            let tries = Tries { mode: PutMode::CreateOnly, number, refusals };
            let wait = pace.wait(next, &tries, backoff, &Longest);
            assert_eq!(wait, Duration::from_millis(expected_ms), "{pace:?} {next:?} {tries:?}");
        };
        let retry = Next::Retry(PutMode::CreateOnly);
        for pace in [Pace::Objects, Pace::Markers] {
            check(pace, retry, 1, 0, 200);
            check(pace, retry, 3, 0, 800);
            check(pace, Next::RetryAtCap, 3, REFUSALS_BEFORE_ALARM, 64_000);
            check(pace, Next::RetryAtCap, 3, 0, 64_000);
            check(pace, Next::Conflict, 1, 0, 64_000);
        }
        check(Pace::Objects, Next::RetryAtCap, 1, 1, 1_600);
        check(Pace::Markers, Next::RetryAtCap, 1, 1, 200);
        check(Pace::Objects, Next::Rebuild, 0, 0, 200);
    }

    #[test]
    fn what_can_succeed_is_retried_early_when_another_object_is_accepted() {
        let check = |next, objects| {
            assert_eq!(
                (Pace::Objects.retries_early(next), Pace::Markers.retries_early(next)),
                (objects, true),
                "{next:?}"
            );
        };
        check(Next::Retry(PutMode::CreateOnly), true);
        check(Next::RetryAtCap, true);
        check(Next::Conflict, false);
        check(Next::Rebuild, false);
        check(Next::ReadAgain, false);
    }
}
