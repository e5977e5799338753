//! The way of calls to one function: what is sent when, and what becomes of it. Pure: callers read, send and write.
//!
//! ```text
//! log ──▶ take ──▶ next ──▶ (the invocation) ──▶ ended ──▶ finished, again later, or a dead letter
//! ```

use std::time::Duration;

use super::circuit::{Circuit, Leave};
use super::class::Class;
use super::concurrency::Concurrency;
use super::outcome::Failure;
use super::reaction::{Bounds, Failed, Reaction, reaction};
use super::window::Window;
use crate::random::Random;
use crate::time::UnixMillis;

/// How a lane works.
#[derive(Clone, Copy, Debug)]
pub struct LaneSettings {
    /// Invocations at once.
    pub concurrency: usize,
    /// Calls in one invocation, at most.
    pub batch: usize,
    /// Whether calls of one user are sent one after another.
    pub in_order: bool,
    /// When a call becomes a dead letter.
    pub bounds: Bounds,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// Send this call.
    Send {
        /// Its position in the log.
        position: u64,
        /// How often it is sent with this time.
        attempt: u32,
    },
    /// Nothing before this time, unless a call ends or is taken.
    WaitUntil(Duration),
    /// Nothing until a call ends or is taken.
    Wait,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was invoked.
    Done,
    /// It is sent again.
    Again,
    /// It becomes a dead letter, with this cause. It stays unfinished until [`Lane::buried`].
    Dead(Failure),
}

/// The calls of one function.
#[derive(Debug)]
pub struct Lane {
    settings: LaneSettings,
    window: Window,
    circuit: Circuit,
    concurrency: Concurrency,
    in_flight: usize,
    /// Nothing is sent before this time (monotonic), because the service asked for a pause.
    paused_until: Duration,
    /// The last failure since a success: it is the cause if calls become too old without being sent.
    failing: Option<Failure>,
}

impl Lane {
    /// A lane that has finished everything up to a position.
    pub fn new(finished: u64, settings: LaneSettings) -> Self {
        Self {
            settings,
            window: Window::new(finished, settings.in_order),
            circuit: Circuit::default(),
            concurrency: Concurrency::new(settings.concurrency),
            in_flight: 0,
            paused_until: Duration::ZERO,
            failing: None,
        }
    }

    /// Sets how it works from now on.
    pub fn set(&mut self, settings: LaneSettings) {
        self.window.set_in_order(settings.in_order);
        self.concurrency.set(settings.concurrency);
        self.settings = settings;
    }

    /// Takes back that a function cannot be used: it may be set otherwise now, so the next call finds out at once.
    pub fn try_again(&mut self) {
        self.circuit = Circuit::default();
        self.paused_until = Duration::ZERO;
    }

    /// The window, to read from the log into.
    pub fn window(&mut self) -> &mut Window {
        &mut self.window
    }

    /// Everything up to here is finished.
    pub fn finished_through(&self) -> u64 {
        self.window.finished_through()
    }

    /// The last failure, unless a call has succeeded since.
    pub fn failing(&self) -> Option<&Failure> {
        self.failing.as_ref()
    }

    /// Why nothing is sent, and since when (monotonic time).
    pub fn circuit(&self) -> Option<(Class, Duration)> {
        self.circuit.open()
    }

    /// Invocations under way.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Invocations at once now: fewer than configured after the service throttled.
    pub fn invocations_max(&mut self, now: Duration) -> usize {
        self.concurrency.limit(now)
    }

    /// What to do now. A call that is sent must end with [`Lane::ended`].
    pub fn next(&mut self, now: Duration) -> Now {
        if self.in_flight >= self.invocations_max(now).saturating_mul(self.settings.batch) {
            return Now::Wait;
        }
        match self.window.next_at() {
            None => return Now::Wait,
            Some(at) if at.max(self.paused_until) > now => return Now::WaitUntil(at.max(self.paused_until)),
            Some(_) => {}
        }
        match self.circuit.ask(now) {
            Leave::Wait => Now::Wait,
            Leave::NotBefore(at) => Now::WaitUntil(at),
            Leave::Send => match self.window.next(now) {
                Some(turn) => {
                    self.in_flight += 1;
                    Now::Send { position: turn.position, attempt: turn.attempt }
                }
                None => {
                    self.circuit.learned_nothing(now);
                    Now::Wait
                }
            },
        }
    }

    /// A call came back. `wall`: the time of the wall clock, by which its age counts.
    pub fn ended(
        &mut self,
        (position, attempt): (u64, u32),
        result: Result<(), Failure>,
        (now, wall): (Duration, UnixMillis),
        random: &dyn Random,
    ) -> Fate {
        self.in_flight = self.in_flight.saturating_sub(1);
        let failure = match result {
            Ok(()) => {
                self.circuit.passed();
                self.failing = None;
                self.window.finished(position);
                return Fate::Done;
            }
            Err(failure) => failure,
        };
        self.learn(failure.class, now);
        if let Some(after) = failure.pause() {
            self.paused_until = self.paused_until.max(now.saturating_add(after));
        }
        self.failing = Some(failure.clone());
        let age = self.window.received_at(position).map_or(Duration::ZERO, |at| wall.since(at));
        let so_often = self.window.failed(position, failure.class);
        let failed = Failed { failure: &failure, attempts: attempt, so_often, age };
        match reaction(&failed, &self.settings.bounds, random) {
            Reaction::Dead => Fate::Dead(failure),
            Reaction::Retry(after) => {
                self.window.again(position, now.saturating_add(after), true);
                Fate::Again
            }
            // It waits for the circuit alone: many calls must not wait for times of their own.
            Reaction::WaitForCircuit => {
                self.window.again(position, now, true);
                Fate::Again
            }
        }
    }

    /// Calls that have become too old while they waited, and the cause: they become dead letters. At most `most`.
    pub fn expired(&mut self, wall: UnixMillis, most: usize) -> (Vec<u64>, Failure) {
        let old = self.window.take_older(wall.minus(self.settings.bounds.max_age), most);
        (old, self.cause("it was not sent within max_age"))
    }

    /// Calls up to a position that are not in flight, and the cause: they become dead letters, because they take more of the
    /// disk than they may. At most `most`.
    pub fn overflowing(&mut self, through: u64, most: usize) -> (Vec<u64>, Failure) {
        let oldest = self.window.take_through(through, most);
        (oldest, self.cause("it waited beyond max_queue"))
    }

    /// Why calls became dead letters without being sent: what they waited for is the last failure, unless that was about
    /// another call alone.
    fn cause(&self, why: &str) -> Failure {
        let of_one = [Class::ExecutionError, Class::TooLarge, Class::BadRequest, Class::Recursive];
        match self.failing.as_ref().filter(|last| !of_one.contains(&last.class)) {
            Some(last) => Failure { what: format!("{why}: {}", last.what), ..last.clone() },
            None => Failure { class: Class::Unavailable, what: why.to_owned(), retry_after: None },
        }
    }

    /// A call that was to be sent is not sent now: it is as if it had not been given.
    pub fn put_back(&mut self, position: u64, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.circuit.learned_nothing(now);
        self.window.again(position, now, false);
    }

    /// A dead letter is durable: the call is finished.
    pub fn buried(&mut self, position: u64) {
        self.window.finished(position);
    }

    /// A dead letter could not be written: the call is tried again.
    pub fn not_buried(&mut self, position: u64, not_before: Duration) {
        self.window.again(position, not_before, false);
    }

    fn learn(&mut self, class: Class, now: Duration) {
        if Circuit::opens_for(class) {
            self.circuit.refused(class, now);
        } else if matches!(class, Class::Network | Class::Unavailable | Class::Throttled) {
            // It says nothing about whether calls are allowed.
            self.circuit.learned_nothing(now);
        } else {
            self.circuit.passed();
        }
        if class == Class::Throttled {
            self.concurrency.throttled(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const NOON: i64 = 1_700_000_000_000;

    fn settings(concurrency: usize, in_order: bool) -> LaneSettings {
        let bounds = Bounds { max_age: HOUR, retry_execution_errors: 1 };
        LaneSettings { concurrency, batch: 1, in_order, bounds }
    }

    fn failure(class: Class) -> Failure {
        Failure { class, what: class.slug().to_owned(), retry_after: None }
    }

    /// The wall clock at a monotonic time.
    fn wall(now: Duration) -> UnixMillis {
        UnixMillis(NOON).plus(now)
    }

    /// xorshift64.
    #[derive(Debug)]
    struct Seeded(AtomicU64);
    impl Random for Seeded {
        fn next_u64(&self) -> u64 {
            let mut x = self.0.load(Ordering::Relaxed);
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            self.0.store(x, Ordering::Relaxed);
            x
        }
    }
    impl Seeded {
        fn new(seed: u64) -> Self {
            Self(AtomicU64::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1))
        }

        fn below(&self, bound: u64) -> u64 {
            (self.next_u64() >> 11) % bound
        }
    }

    fn send(lane: &mut Lane, now: Duration) -> Option<(u64, u32)> {
        match lane.next(now) {
            Now::Send { position, attempt } => Some((position, attempt)),
            Now::Wait | Now::WaitUntil(_) => None,
        }
    }

    #[test]
    fn a_forbidden_function_gets_one_call_every_half_minute_and_all_when_it_is_allowed() {
        let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
        for position in 1..=6 {
            lane.window().add(position, UnixMillis(NOON), None, 1);
        }
        let mut at = Duration::ZERO;
        let sent: Vec<_> = std::iter::from_fn(|| send(&mut lane, at)).collect();
        assert_eq!(sent.len(), 4, "the limit");
        for call in sent {
            let fate = lane.ended(call, Err(failure(Class::AccessDenied)), (at, wall(at)), &random);
            assert_eq!(fate, Fate::Again);
        }
        for _ in 0..3 {
            let Now::WaitUntil(probe) = lane.next(at) else { panic!("the circuit is open") };
            at = probe;
            let call = send(&mut lane, at).unwrap();
            assert_eq!((call.0, lane.next(at)), (1, Now::Wait));
            lane.ended(call, Err(failure(Class::AccessDenied)), (at, wall(at)), &random);
        }
        assert_eq!(lane.circuit(), Some((Class::AccessDenied, Duration::ZERO)));
        at += HOUR;
        let call = send(&mut lane, at).unwrap();
        assert_eq!(lane.ended(call, Ok(()), (at, wall(at)), &random), Fate::Done);
        assert_eq!(std::iter::from_fn(|| send(&mut lane, at)).count(), 4);
        assert_eq!((lane.finished_through(), lane.circuit()), (1, None));
    }

    /// A call that had waited for a service became a dead letter at its first timeout or error.
    #[test]
    fn retries_are_counted_by_class() {
        use Class::{ExecutionError, Network, Throttled, Timeout, Unavailable};
        for (classes, last) in [
            (&[Unavailable, Throttled, Network, Timeout, Unavailable, Timeout][..], Timeout),
            (&[Unavailable, Unavailable, Timeout, Timeout, ExecutionError][..], ExecutionError),
        ] {
            let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
            lane.window().add(1, UnixMillis(NOON), None, 1);
            let mut now = Duration::ZERO;
            let mut fails = |class| {
                now += Duration::from_secs(301);
                let call = send(&mut lane, now).unwrap();
                lane.ended(call, Err(failure(class)), (now, UnixMillis(NOON)), &random)
            };
            for class in classes {
                assert_eq!(fails(*class), Fate::Again, "{class} of {classes:?}");
            }
            assert_eq!(fails(last), Fate::Dead(failure(last)), "{classes:?}");
        }
    }

    #[test]
    fn a_throttled_function_gets_one_invocation_more_each_second_whatever_the_batch() {
        let of_batches = LaneSettings { batch: 50, ..settings(4, false) };
        let (mut lane, random) = (Lane::new(0, of_batches), Seeded::new(1));
        for position in 1..=1_000 {
            lane.window().add(position, UnixMillis(NOON), None, 1);
        }
        let sent = |lane: &mut Lane, at: Duration| std::iter::from_fn(|| send(lane, at)).collect::<Vec<_>>();
        let first = sent(&mut lane, Duration::ZERO);
        assert_eq!(first.len(), 4 * 50);
        for call in first {
            let now = (Duration::ZERO, wall(Duration::ZERO));
            lane.ended(call, Err(failure(Class::Throttled)), now, &random);
        }
        assert_eq!(sent(&mut lane, Duration::ZERO).len(), 2 * 50);
        assert_eq!(sent(&mut lane, Duration::from_secs(1)).len(), 50);
    }

    #[test]
    fn a_service_that_asks_for_a_pause_gets_no_other_call_before() {
        let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
        for position in 1..=6 {
            lane.window().add(position, UnixMillis(NOON), None, 1);
        }
        let (start, minute) = (Duration::ZERO, Duration::from_secs(60));
        let call = send(&mut lane, start).unwrap();
        let asked = Failure { retry_after: Some(minute), ..failure(Class::Throttled) };
        assert_eq!(lane.ended(call, Err(asked), (start, wall(start)), &random), Fate::Again);
        let early = minute - Duration::from_millis(1);
        assert_eq!((lane.next(early), send(&mut lane, minute)), (Now::WaitUntil(minute), Some((1, 2))));
        // However long it asks for, it is asked again after five minutes.
        let asked = Failure { retry_after: Some(HOUR), ..failure(Class::Unavailable) };
        lane.ended((1, 2), Err(asked), (minute, wall(minute)), &random);
        assert_eq!(lane.next(minute), Now::WaitUntil(minute + Duration::from_secs(300)));
        lane.try_again();
        assert_eq!(send(&mut lane, minute), Some((2, 1)), "it may be another function now");
    }

    #[test]
    fn what_waits_too_long_becomes_a_dead_letter_with_the_cause() {
        let (mut lane, random) = (Lane::new(0, settings(1, false)), Seeded::new(1));
        for position in 1..=100 {
            lane.window().add(position, UnixMillis(NOON), None, 1);
        }
        let call = send(&mut lane, Duration::ZERO).unwrap();
        lane.ended(
            call,
            Err(failure(Class::InvalidCredentials)),
            (Duration::ZERO, wall(Duration::ZERO)),
            &random,
        );
        assert_eq!(lane.expired(wall(HOUR), 1_000).0.len(), 0, "not yet");
        let late = HOUR + Duration::from_millis(1);
        let (old, cause) = lane.expired(wall(late), 60);
        assert_eq!((old.len(), cause.class), (60, Class::InvalidCredentials));
        assert_eq!(cause.what, "it was not sent within max_age: invalid-credentials");
        let rest = lane.expired(wall(late), 60).0;
        assert_eq!((rest.len(), send(&mut lane, late)), (40, None));
        old.into_iter().chain(rest).for_each(|position| lane.buried(position));
        assert_eq!(lane.finished_through(), 100);
    }

    /// A function that fails in every way, and a process that is killed: each call is invoked at least once or becomes a
    /// dead letter, calls of a user stay in order, and the position that is kept passes nothing unfinished.
    fn chaos(seed: u64) {
        const CALLS: u64 = 300;
        let random = Seeded::new(seed);
        let in_order = random.below(2) == 0;
        let settings = settings(1 + usize::try_from(random.below(16)).unwrap(), in_order);
        let user = |position: u64| format!("u{}", position * 7 % 11);
        let (mut invoked, mut dead) = (BTreeSet::new(), BTreeMap::new());
        let (mut kept, mut now, mut kills, mut finished) = (0, Duration::ZERO, 0, BTreeSet::new());
        while kept < CALLS {
            let mut lane = Lane::new(kept, settings);
            let mut taken = kept;
            let mut flying: Vec<(u64, u32)> = Vec::new();
            let mut done_here = BTreeSet::new();
            let first = kept + 1;
            loop {
                assert!(now < Duration::from_secs(400 * 86_400), "seed {seed}: it ends");
                while taken < CALLS && lane.window().has_room() && random.below(3) > 0 {
                    taken += 1;
                    if taken.is_multiple_of(13) {
                        // For another function.
                        lane.window().read_through(taken);
                        finished.insert(taken);
                        invoked.insert(taken);
                    } else {
                        lane.window().add(taken, wall(now), Some(user(taken)), 100);
                    }
                }
                while let Some((position, attempt)) = send(&mut lane, now) {
                    let earlier = (first..position)
                        .filter(|other| user(*other) == user(position) && !other.is_multiple_of(13));
                    let behind: Vec<u64> = earlier.filter(|other| !done_here.contains(other)).collect();
                    assert!(
                        !in_order || behind.is_empty(),
                        "seed {seed}: {position} is sent before {behind:?}"
                    );
                    flying.push((position, attempt));
                    assert!(flying.len() <= settings.concurrency, "seed {seed}: the limit");
                }
                if !flying.is_empty() && random.below(4) > 0 {
                    let (position, attempt) =
                        flying.swap_remove(usize::try_from(random.below(flying.len() as u64)).unwrap());
                    let result = match random.below(3) {
                        0 => Err(failure(Class::ALL[usize::try_from(random.below(11)).unwrap()])),
                        _ => Ok(()),
                    };
                    // The function has run, also if the process dies before it notes that.
                    if result.is_ok() {
                        invoked.insert(position);
                    }
                    match lane.ended((position, attempt), result, (now, wall(now)), &random) {
                        Fate::Done => drop((done_here.insert(position), finished.insert(position))),
                        Fate::Again => {}
                        Fate::Dead(_) if random.below(5) == 0 => {
                            lane.not_buried(position, now + Duration::from_secs(1))
                        }
                        Fate::Dead(cause) => {
                            dead.insert(position, cause.class);
                            lane.buried(position);
                            done_here.insert(position);
                            finished.insert(position);
                        }
                    }
                }
                now += Duration::from_millis(random.below(40_000));
                if random.below(10) == 0 {
                    kept = lane.finished_through();
                    let passed: Vec<u64> =
                        (1..=kept).filter(|position| !finished.contains(position)).collect();
                    assert!(passed.is_empty(), "seed {seed}: {kept} passes {passed:?}");
                    if kept == CALLS {
                        break;
                    }
                }
                if kills < 20 && random.below(60) == 0 {
                    kills += 1;
                    break;
                }
            }
        }
        let missing: Vec<u64> = (1..=CALLS)
            .filter(|position| !invoked.contains(position) && !dead.contains_key(position))
            .collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} are missing");
    }

    #[test]
    fn no_call_is_missing_whatever_the_function_does_and_whenever_the_process_dies() {
        (0..200).for_each(chaos);
    }
}
