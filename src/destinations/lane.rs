//! The way of calls to one function: what is sent when, and what becomes of it. Pure: callers read, send and
//! write.
//!
//! ```text
//! log ──▶ take ──▶ next ──▶ (the invocation) ──▶ ended ──▶ finished, again later, or a dead letter
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::circuit::{Circuit, Leave, Whose};
use super::class::Class;
use super::concurrency::Concurrency;
use super::outcome::Failure;
use super::reaction::{Bounds, Failed, next_try};
use super::read_ahead::{BYTES_MAX, CALLS_MAX, ReadAhead, Turn};
use crate::random::Random;
use crate::sources::SourceId;
use crate::words::Told;

/// After failures of so many calls without a success, a web address that refuses them is taken for wrong: one
/// may be refused for its own sake.
const REFUSED_STOP: usize = 3;
/// So long after a success, a web address is not wrong, however many calls it refuses.
const RIGHT_AFTER_SUCCESS: Duration = Duration::from_secs(60);
/// Failures that may pass by themselves stop a function after so many calls.
const OUTAGES_STOP: usize = 10;
/// Refused credentials of so many sources, without a success, stop a function.
const SOURCES_STOP: usize = 3;
/// Refused sources are probed together at most so often: there may be thousands.
const SOURCE_PROBES_EVERY: Duration = Duration::from_millis(500);
/// After a probe that says nothing, as one that was throttled, the next waits so long.
const SILENT_PROBE_AFTER: Duration = Duration::from_secs(1);

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
    Send(Turn),
    /// Nothing before this time, unless a call ends or is taken.
    WaitUntil(Duration),
    /// Nothing until a call ends or is taken.
    Wait,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The function took it.
    Done,
    /// The call is sent again.
    Again,
    /// The call becomes a dead letter, with this cause. It stays unfinished until [`Lane::buried`].
    Dead(Failure),
}

/// A source that is refused while others may not be.
#[derive(Debug)]
struct Refused {
    circuit: Circuit,
    /// What was said last.
    why: Failure,
    /// How many calls had been taken before.
    taken: u64,
}

/// Sources that are refused while others may not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedSources {
    /// The source that is refused for longest.
    pub source: SourceId,
    /// Since when (monotonic time).
    pub since: Duration,
    /// What was said last.
    pub why: Failure,
    /// How many others there are.
    pub others: usize,
}

/// The calls of one function.
#[derive(Debug)]
pub struct Lane {
    settings: LaneSettings,
    read_ahead: ReadAhead,
    circuit: Circuit,
    /// Sources whose credentials are refused.
    refused: BTreeMap<SourceId, Refused>,
    /// When each refused source can be probed, unless one of its calls is under way.
    probes: BTreeSet<(Duration, SourceId)>,
    concurrency: Concurrency,
    in_flight: usize,
    /// Nothing is sent before this time (monotonic), because the service asked for a pause.
    paused_until: Duration,
    /// The last failure since a success: it is the cause if calls become too old without being sent.
    failing: Option<Failure>,
    /// The last one that was not about one source alone.
    failing_all: Option<Failure>,
    /// Calls that were taken, in all.
    taken: u64,
    /// When the last was taken (monotonic time).
    taken_at: Option<Duration>,
}

impl Lane {
    /// A lane that has finished everything up to a position.
    pub fn new(finished: u64, settings: LaneSettings) -> Self {
        Self {
            settings,
            read_ahead: ReadAhead::new(finished, settings.in_order),
            circuit: Circuit::default(),
            refused: BTreeMap::new(),
            probes: BTreeSet::new(),
            concurrency: Concurrency::new(settings.concurrency),
            in_flight: 0,
            paused_until: Duration::ZERO,
            failing: None,
            failing_all: None,
            taken: 0,
            taken_at: None,
        }
    }

    /// Changes how the lane works from now on.
    pub fn set(&mut self, settings: LaneSettings) {
        self.read_ahead.set_in_order(settings.in_order);
        self.concurrency.set(settings.concurrency);
        self.settings = settings;
    }

    /// Forgets that a function cannot be used: its settings may have changed, so the next call finds out.
    pub fn try_again(&mut self) {
        self.circuit = Circuit::default();
        self.probes.clear();
        for source in std::mem::take(&mut self.refused).into_keys() {
            self.read_ahead.let_go(&source);
        }
        self.paused_until = Duration::ZERO;
    }

    /// The read-ahead, to read from the log into.
    pub fn read_ahead(&mut self) -> &mut ReadAhead {
        &mut self.read_ahead
    }

    /// Everything up to here is finished.
    pub fn finished_through(&self) -> u64 {
        self.read_ahead.finished_through()
    }

    /// The last failure, unless a call has succeeded since.
    pub fn failing(&self) -> Option<&Failure> {
        self.failing.as_ref()
    }

    /// Why nothing is sent until a person does something, and since when (monotonic time).
    pub fn circuit(&self) -> Option<(Class, Duration)> {
        self.circuit.stopped().filter(|(class, _)| Circuit::is_refusal(*class))
    }

    /// Sources that are refused while others may not be.
    pub fn refused_sources(&self) -> Option<RefusedSources> {
        let waiting = self.refused.iter().filter(|(source, _)| self.read_ahead.held_of(source) > 0);
        let since = |refused: &Refused| refused.circuit.stopped().map_or(Duration::ZERO, |(_, since)| since);
        let count = waiting.clone().count();
        let (source, refused) = waiting.min_by_key(|(_, refused)| since(refused))?;
        Some(RefusedSources {
            source: source.clone(),
            since: since(refused),
            why: refused.why.clone(),
            others: count - 1,
        })
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
        let probe_at = self.probes.first().map(|(at, _)| *at);
        let may_send = match (self.read_ahead.next_at(), probe_at) {
            (None, None) => return Now::Wait,
            (Some(at), None) | (None, Some(at)) => at,
            (Some(ready), Some(probe)) => ready.min(probe),
        };
        if may_send.max(self.paused_until) > now {
            return Now::WaitUntil(may_send.max(self.paused_until));
        }
        match self.circuit.ask(now) {
            Leave::Wait => Now::Wait,
            Leave::NotBefore(at) => Now::WaitUntil(at),
            Leave::Send => match self.next_turn(now) {
                Some(turn) => {
                    self.in_flight += 1;
                    Now::Send(turn)
                }
                None => {
                    self.circuit.learned_nothing();
                    self.probes.first().map_or(Now::Wait, |(at, _)| Now::WaitUntil((*at).max(now)))
                }
            },
        }
    }

    /// A probe of a refused source that is due, or the next call of the others.
    fn next_turn(&mut self, now: Duration) -> Option<Turn> {
        while let Some((_, source)) = self.probes.first().filter(|(at, _)| *at <= now).cloned() {
            self.probes.pop_first();
            let turn = self.read_ahead.next_of(&source);
            match turn {
                Some(turn) => {
                    if let Some(refused) = self.refused.get_mut(&source) {
                        refused.circuit.ask(now);
                    }
                    return Some(turn);
                }
                // The next call of the source finds out.
                None => {
                    self.refused.remove(&source);
                    self.read_ahead.let_go(&source);
                }
            }
        }
        // One call that is refused for its own sake must not decide for all.
        if self.circuit.is_closed() {
            self.read_ahead.next(now)
        } else {
            self.read_ahead.next_least_tried(now)
        }
    }

    /// An invocation ended: what that says about the function, and about the source whose calls it carried.
    pub fn answered(
        &mut self,
        (position, result): (u64, Result<(), &Failure>),
        now: Duration,
        random: &dyn Random,
    ) {
        let source = self.read_ahead.source_of(position).cloned();
        match result {
            Err(Failure { class: Class::Throttled, .. }) => {
                // This failure says nothing about whether calls are allowed.
                self.concurrency.throttled(now);
                self.circuit.learned_nothing();
                self.circuit.not_before(now.saturating_add(SILENT_PROBE_AFTER));
            }
            Err(why) if why.class == Class::InvalidCredentials => {
                let Some(source) = source else { return self.circuit.learned_nothing() };
                let whose = Whose::Source(source.clone());
                self.circuit.failed((why.class, whose), SOURCES_STOP, now, random);
                return self.refuse(source, (position, why), now, random);
            }
            Err(Failure { class, .. }) if Circuit::is_refusal(*class) && self.is_right(now) => {
                self.circuit.learned_nothing();
            }
            Err(Failure { class, .. }) if Circuit::is_refusal(*class) => {
                let stops = if self.settings.bounds.refuses_calls { REFUSED_STOP } else { 1 };
                self.circuit.failed((*class, Whose::Call(position)), stops, now, random);
            }
            Err(Failure { class, .. }) if Circuit::is_outage(*class) => {
                self.circuit.failed((*class, Whose::Call(position)), OUTAGES_STOP, now, random);
            }
            Ok(()) | Err(_) => {
                self.taken = self.taken.saturating_add(1);
                self.taken_at = Some(now);
                self.circuit.passed();
                if let Some(source) = source.filter(|source| self.refused.remove(source).is_some()) {
                    self.probes.retain(|(_, other)| *other != source);
                    self.read_ahead.let_go(&source);
                }
                return;
            }
        }
        // This result says nothing about whether the source is still refused.
        if let Some(source) = source {
            if let Some(refused) = self.refused.get_mut(&source) {
                refused.circuit.not_before(now.saturating_add(SILENT_PROBE_AFTER));
            }
            self.probe_again(&source, now);
        }
    }

    /// Whether a refusal can only be about the call: the web address took another just now.
    fn is_right(&self, now: Duration) -> bool {
        let just_now = |at: Duration| now.saturating_sub(at) < RIGHT_AFTER_SUCCESS;
        self.settings.bounds.refuses_calls && self.taken_at.is_some_and(just_now)
    }

    /// A source is refused: its calls are held back, and one at a time finds out whether it still is.
    fn refuse(
        &mut self,
        source: SourceId,
        (position, why): (u64, &Failure),
        now: Duration,
        random: &dyn Random,
    ) {
        let others = u32::try_from(self.refused.len()).unwrap_or(u32::MAX);
        let taken = self.taken;
        let refused = self.refused.entry(source.clone()).or_insert_with(|| Refused {
            circuit: Circuit::default(),
            why: why.clone(),
            taken,
        });
        self.read_ahead.hold(&source);
        refused.why = why.clone();
        refused.circuit.failed((why.class, Whose::Call(position)), 1, now, random);
        refused.circuit.not_before(now.saturating_add(SOURCE_PROBES_EVERY.saturating_mul(others)));
        self.probe_again(&source, now);
    }

    /// Another call may find out whether a source is still refused.
    fn probe_again(&mut self, source: &SourceId, now: Duration) {
        let Some(refused) = self.refused.get_mut(source) else { return };
        refused.circuit.learned_nothing();
        self.probes.retain(|(_, other)| other != source);
        self.probes.insert((refused.circuit.probe_at().unwrap_or(now), source.clone()));
    }

    /// What becomes of a call of an invocation that ended. [`answered`](Self::answered) comes first, once for
    /// each invocation.
    pub fn ended(
        &mut self,
        (position, attempt): (u64, u32),
        result: Result<(), Failure>,
        now: Duration,
        random: &dyn Random,
    ) -> Fate {
        self.in_flight = self.in_flight.saturating_sub(1);
        let failure = match result {
            Ok(()) => {
                (self.failing, self.failing_all) = (None, None);
                self.read_ahead.finished(position);
                return Fate::Done;
            }
            Err(failure) => failure,
        };
        // An answer about one call holds back no other.
        let of_all = Circuit::is_outage(failure.class) || failure.class == Class::Throttled;
        if let Some(after) = failure.pause().filter(|_| of_all) {
            self.paused_until = self.paused_until.max(now.saturating_add(after));
        }
        self.failing = Some(failure.clone());
        if failure.class != Class::InvalidCredentials || self.refused.len() >= SOURCES_STOP {
            self.failing_all = Some(failure.clone());
        }
        let age = self.read_ahead.age(position, now);
        let so_often = self.read_ahead.failed(position, failure.class, self.taken);
        let failed = Failed { failure: &failure, attempts: attempt, so_often, age };
        match next_try(&failed, &self.settings.bounds, random) {
            None => Fate::Dead(failure),
            Some(after) => {
                self.read_ahead.again(position, now.saturating_add(after), true);
                Fate::Again
            }
        }
    }

    /// Calls of refused sources, each with its cause: they become dead letters, because they fill half of the
    /// read-ahead while calls of other sources are taken. At most `most`.
    pub fn crowding(&mut self, most: usize) -> Vec<(u64, Failure)> {
        // Giving up calls gains nothing while no other source is taken.
        let others_pass = self.refused.values().any(|refused| refused.taken < self.taken);
        let (calls, bytes) = if others_pass { self.read_ahead.held() } else { (0, 0) };
        if calls <= CALLS_MAX / 2 && bytes <= BYTES_MAX / 2 {
            return Vec::new();
        }
        let oldest = self.read_ahead.take_held(most);
        self.with_causes(oldest, "so many calls of its source wait that those of other sources would stop")
    }

    /// Calls that have become too old while they waited, each with its cause: they become dead letters. At
    /// most `most`.
    pub fn expired(&mut self, now: Duration, most: usize) -> Vec<(u64, Failure)> {
        let old = self.read_ahead.take_older(self.settings.bounds.max_age, now, most);
        self.with_causes(old, "it was not sent within max_age")
    }

    /// Calls up to a position that are not in flight, each with its cause: they become dead letters, because
    /// they take more of the disk than they may. At most `most`.
    pub fn overflowing(&mut self, through: u64, most: usize) -> Vec<(u64, Failure)> {
        let oldest = self.read_ahead.take_through(through, most);
        self.with_causes(oldest, "it waited beyond max_queue")
    }

    /// Why calls became dead letters without being sent: what they waited for is the refusal of their source,
    /// or the last failure, unless that was about another call or source alone.
    fn with_causes(&self, positions: Vec<u64>, why: &str) -> Vec<(u64, Failure)> {
        let general = self.failing_all.as_ref().filter(|last| {
            Circuit::is_outage(last.class)
                || last.class == Class::Throttled
                || last.class == Class::Timeout
                || self.circuit.stopped().is_some()
        });
        let cause = |position: u64| {
            let refused = self.read_ahead.source_of(position).and_then(|source| self.refused.get(source));
            match refused.map(|refused| &refused.why).or(general) {
                Some(last) => {
                    Failure { what: Told::plain(format!("{why}: ")).and(&last.what), ..last.clone() }
                }
                None => Failure { class: Class::Unavailable, what: Told::plain(why), retry_after: None },
            }
        };
        positions.into_iter().map(|position| (position, cause(position))).collect()
    }

    /// A call that was to be sent is not sent now: it is as if it had not been given.
    pub fn put_back(&mut self, position: u64, now: Duration) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.circuit.learned_nothing();
        self.read_ahead.again(position, now, false);
        if let Some(source) = self.read_ahead.source_of(position).cloned() {
            self.probe_again(&source, now);
        }
    }

    /// A dead letter is durable: the call is finished.
    pub fn buried(&mut self, position: u64) {
        self.read_ahead.finished(position);
    }

    /// A dead letter could not be written: the call is tried again.
    pub fn not_buried(&mut self, position: u64, not_before: Duration) {
        self.read_ahead.again(position, not_before, false);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::age::Waiting;
    use super::super::circuit::PROBES_OF_OUTAGE;
    use super::super::read_ahead::New;
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn settings(concurrency: usize, in_order: bool) -> LaneSettings {
        let bounds =
            Bounds { max_age: HOUR, retry_execution_errors: 1, refuses_calls: false, knows_repeats: false };
        LaneSettings { concurrency, batch: 1, in_order, bounds }
    }

    fn failure(class: Class) -> Failure {
        Failure { class, what: class.slug().into(), retry_after: None }
    }

    fn source(name: &str) -> SourceId {
        SourceId::new(name).unwrap()
    }

    /// A call of `s` that comes at a time.
    fn add(lane: &mut Lane, position: u64, user: Option<String>, now: Duration) {
        add_of(lane, "s", position, user, now);
    }

    fn add_of(lane: &mut Lane, from: &str, position: u64, user: Option<String>, now: Duration) {
        let waiting = Waiting::new(Duration::ZERO, now);
        lane.read_ahead().add(New { position, source: source(from), user, waiting, bytes: 1 });
    }

    /// An invocation with one call ended.
    fn ends(
        lane: &mut Lane,
        call: (u64, u32),
        result: Result<(), Failure>,
        now: Duration,
        random: &Seeded,
    ) -> Fate {
        lane.answered((call.0, result.as_ref().copied()), now, random);
        lane.ended(call, result, now, random)
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
            Now::Send(Turn { position, attempt }) => Some((position, attempt)),
            Now::Wait | Now::WaitUntil(_) => None,
        }
    }

    /// Sends what may be sent now, and has each call end.
    fn all_end(
        lane: &mut Lane,
        now: Duration,
        random: &Seeded,
        result: impl Fn(u64) -> Result<(), Failure>,
    ) -> Vec<(u64, Fate)> {
        let mut ended = Vec::new();
        while let Some(call) = send(lane, now) {
            ended.push((call.0, ends(lane, call, result(call.0), now, random)));
        }
        ended
    }

    #[test]
    fn a_forbidden_function_gets_a_call_now_and_then_each_time_another_and_all_when_it_is_allowed() {
        let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
        for position in 1..=60 {
            add(&mut lane, position, None, Duration::ZERO);
        }
        let mut at = Duration::ZERO;
        let sent: Vec<_> = std::iter::from_fn(|| send(&mut lane, at)).collect();
        assert_eq!(sent.len(), 4, "the limit");
        for call in sent {
            assert_eq!(ends(&mut lane, call, Err(failure(Class::AccessDenied)), at, &random), Fate::Again);
        }
        assert_eq!(lane.circuit(), Some((Class::AccessDenied, Duration::ZERO)));
        let (mut probed, mut last) = (BTreeSet::new(), Duration::ZERO);
        while at < Duration::from_secs(600) {
            let Now::WaitUntil(probe) = lane.next(at) else { panic!("it is stopped") };
            (last, at) = (probe - at, probe);
            let call = send(&mut lane, at).unwrap();
            assert_eq!((probed.insert(call.0), lane.next(at)), (true, Now::Wait));
            ends(&mut lane, call, Err(failure(Class::AccessDenied)), at, &random);
        }
        assert!((20..45).contains(&probed.len()) && last >= Duration::from_secs(15), "{probed:?}, {last:?}");
        at += HOUR / 2;
        let call = send(&mut lane, at).unwrap();
        assert_eq!(ends(&mut lane, call, Ok(()), at, &random), Fate::Done);
        assert_eq!(std::iter::from_fn(|| send(&mut lane, at)).count(), 4);
        assert_eq!(lane.circuit(), None);
    }

    /// 200 sound calls were never sent and became dead letters.
    #[test]
    fn a_call_that_is_refused_for_its_own_sake_stops_no_other_and_becomes_a_dead_letter() {
        for class in [Class::NotFound, Class::AccessDenied, Class::Redirected] {
            for concurrency in [1, 64] {
                let mut of_web = settings(concurrency, false);
                of_web.bounds.refuses_calls = true;
                let (mut lane, random) = (Lane::new(0, of_web), Seeded::new(1));
                for position in 1..=201 {
                    add(&mut lane, position, None, Duration::ZERO);
                }
                let answer = |position| if position == 7 { Err(failure(class)) } else { Ok(()) };
                let ended = all_end(&mut lane, Duration::ZERO, &random, answer);
                assert_eq!(ended.len(), 201);
                assert!(ended.iter().all(|(position, fate)| (*position == 7) != (*fate == Fate::Done)));
                let (mut at, mut next) = (Duration::ZERO, 202);
                let dead = loop {
                    at += Duration::from_secs(20);
                    add(&mut lane, next, None, at);
                    next += 1;
                    let ended = all_end(&mut lane, at, &random, answer);
                    assert!(ended.contains(&(next - 1, Fate::Done)), "{ended:?}");
                    if ended.contains(&(7, Fate::Dead(failure(class)))) {
                        break at;
                    }
                };
                assert!(dead <= Duration::from_secs(120), "{dead:?}");
                assert_eq!(lane.circuit(), None);
            }
        }
    }

    /// 300 calls that are refused stood before 200 sound ones, which all became dead letters.
    #[test]
    fn sound_calls_are_sent_however_many_are_refused_before_and_among_them() {
        type IsSound = fn(u64) -> bool;
        let mixes: [(IsSound, u64); 3] =
            [(|call| call > 300, 30), (|call| call % 10 == 0, 240), (|call| call % 50 == 0, 900)];
        for (is_sound, within) in mixes {
            for concurrency in [1, 64] {
                let mut of_web = settings(concurrency, false);
                of_web.bounds.refuses_calls = true;
                let (mut lane, random) = (Lane::new(0, of_web), Seeded::new(1));
                (1..=500).for_each(|position| add(&mut lane, position, None, Duration::ZERO));
                let mut left: BTreeSet<u64> = (1..=500).filter(|call| is_sound(*call)).collect();
                let answer = |call| if is_sound(call) { Ok(()) } else { Err(failure(Class::NotFound)) };
                let mut second = 0;
                while !left.is_empty() {
                    for (call, fate) in all_end(&mut lane, Duration::from_secs(second), &random, answer) {
                        match fate {
                            Fate::Done => assert!(left.remove(&call)),
                            Fate::Dead(_) => lane.buried(call),
                            Fate::Again => {}
                        }
                    }
                    second += 1;
                    assert!(second < within, "{concurrency}: {left:?}");
                }
            }
        }
    }

    #[test]
    fn what_a_refusal_of_one_call_says_of_later_pauses_no_other() {
        let mut of_web = settings(1, false);
        of_web.bounds.refuses_calls = true;
        for class in [Class::NotFound, Class::BadRequest, Class::Throttled] {
            let (mut lane, random) = (Lane::new(0, of_web), Seeded::new(1));
            (1..=2).for_each(|position| add(&mut lane, position, None, Duration::ZERO));
            let call = send(&mut lane, Duration::ZERO).unwrap();
            let later = Failure { retry_after: Some(Duration::from_secs(120)), ..failure(class) };
            ends(&mut lane, call, Err(later), Duration::ZERO, &random);
            let next = send(&mut lane, Duration::from_secs(2)).map(|call| call.0);
            assert_eq!(next, (class != Class::Throttled).then_some(2), "{class}");
        }
    }

    #[test]
    fn calls_wait_for_a_web_address_that_refuses_every_call() {
        let mut of_web = settings(4, false);
        of_web.bounds.refuses_calls = true;
        let (mut lane, random) = (Lane::new(0, of_web), Seeded::new(1));
        for position in 1..=200 {
            add(&mut lane, position, None, Duration::ZERO);
        }
        let mut sent = 0;
        for second in 0..1_800 {
            let at = Duration::from_secs(second);
            for (_, fate) in all_end(&mut lane, at, &random, |_| Err(failure(Class::NotFound))) {
                assert_eq!(fate, Fate::Again);
                sent += 1;
            }
        }
        assert!((60..150).contains(&sent), "{sent}");
        assert_eq!(lane.circuit(), Some((Class::NotFound, Duration::ZERO)));
        let done = all_end(&mut lane, HOUR / 2 + Duration::from_secs(60), &random, |_| Ok(()));
        assert_eq!(done.len(), 200);
    }

    /// All sources of the destination stopped.
    #[test]
    fn a_source_that_is_refused_stops_no_other() {
        let (mut lane, random) = (Lane::new(0, settings(8, false)), Seeded::new(1));
        let (mut position, mut taken, mut probes, mut dead) = (0, 0, BTreeSet::new(), 0);
        let mut refused = BTreeSet::new();
        for second in 0..1_200 {
            let at = Duration::from_secs(second);
            for from in ["bad", "good", "bad"].into_iter().chain((second % 7 == 0).then_some("worse")) {
                // The log is not read on while the read-ahead is full.
                for _ in 0..10 {
                    if lane.read_ahead().has_room() {
                        position += 1;
                        add_of(&mut lane, from, position, None, at);
                        if from != "good" {
                            refused.insert(position);
                        }
                    }
                }
            }
            let answer = |position| match refused.contains(&position) {
                true => Err(failure(Class::InvalidCredentials)),
                false => Ok(()),
            };
            for (position, fate) in all_end(&mut lane, at, &random, answer) {
                match refused.contains(&position) {
                    false => taken += 1,
                    true => drop(probes.insert(position)),
                }
                assert!(!matches!(fate, Fate::Dead(_)));
            }
            for (position, cause) in lane.crowding(100) {
                assert_eq!(cause.class, Class::InvalidCredentials);
                lane.buried(position);
                dead += 1;
            }
        }
        assert_eq!(taken, 12_000, "each at once");
        assert!((60..200).contains(&probes.len()), "{}", probes.len());
        assert!(dead > 10_000, "{dead}");
        let sources = lane.refused_sources().unwrap();
        assert_eq!((sources.source.as_str(), sources.others, lane.circuit()), ("bad", 1, None));
        let ended = all_end(&mut lane, HOUR, &random, |_| Ok(()));
        let waited = usize::try_from(position - taken - dead).unwrap();
        assert_eq!((ended.len(), lane.refused_sources()), (waited, None));
    }

    /// A token service that limits requests was asked again at once.
    #[test]
    fn a_probe_that_says_nothing_about_a_refused_source_is_not_followed_at_once() {
        for class in [Class::Throttled, Class::Network] {
            let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
            for position in 1..=100 {
                add_of(&mut lane, "bad", position, None, Duration::ZERO);
            }
            let call = send(&mut lane, Duration::ZERO).unwrap();
            ends(&mut lane, call, Err(failure(Class::InvalidCredentials)), Duration::ZERO, &random);
            // Calls of another source are taken meanwhile.
            add_of(&mut lane, "good", 101, None, Duration::ZERO);
            let good = send(&mut lane, Duration::ZERO).unwrap();
            assert_eq!((good.0, ends(&mut lane, good, Ok(()), Duration::ZERO, &random)), (101, Fate::Done));
            let mut at = Duration::from_secs(30);
            for _ in 0..5 {
                let probe = send(&mut lane, at).unwrap();
                ends(&mut lane, probe, Err(failure(class)), at, &random);
                let Now::WaitUntil(next) = lane.next(at) else { panic!("{class}: it is asked at once") };
                assert!(next >= at + SILENT_PROBE_AFTER, "{class}");
                at = next;
            }
        }
    }

    /// A service that was away got 709 requests each second.
    #[test]
    fn an_outage_has_one_backoff_for_all_calls() {
        for class in [Class::Unavailable, Class::Network, Class::Unanswered] {
            let (mut lane, random) = (Lane::new(0, settings(64, false)), Seeded::new(1));
            for position in 1..=10_000 {
                add(&mut lane, position, None, Duration::ZERO);
            }
            let mut sent = Vec::new();
            for tick in 0..30_000 {
                let at = Duration::from_millis(100 * tick);
                for (_, fate) in all_end(&mut lane, at, &random, |_| Err(failure(class))) {
                    assert_eq!(fate, Fate::Again, "{class}");
                    sent.push(at);
                }
            }
            assert!(sent.len() < 64 + 40, "{class}: {} in 50 minutes", sent.len());
            let at = Duration::from_secs(3_000) + PROBES_OF_OUTAGE.cap;
            assert_eq!(all_end(&mut lane, at, &random, |_| Ok(())).len(), 10_000);
        }
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
            add(&mut lane, 1, None, Duration::ZERO);
            let mut now = Duration::ZERO;
            let mut fails = |class| {
                now += Duration::from_secs(301);
                let call = send(&mut lane, now).unwrap();
                ends(&mut lane, call, Err(failure(class)), now, &random)
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
            add(&mut lane, position, None, Duration::ZERO);
        }
        let sent = |lane: &mut Lane, at: Duration| std::iter::from_fn(|| send(lane, at)).collect::<Vec<_>>();
        let first = sent(&mut lane, Duration::ZERO);
        assert_eq!(first.len(), 4 * 50);
        for call in first {
            ends(&mut lane, call, Err(failure(Class::Throttled)), Duration::ZERO, &random);
        }
        assert_eq!(sent(&mut lane, Duration::ZERO).len(), 2 * 50);
        assert_eq!(sent(&mut lane, Duration::from_secs(1)).len(), 50);
    }

    #[test]
    fn a_service_that_asks_for_a_pause_gets_no_other_call_before() {
        let (mut lane, random) = (Lane::new(0, settings(4, false)), Seeded::new(1));
        for position in 1..=6 {
            add(&mut lane, position, None, Duration::ZERO);
        }
        let (start, minute) = (Duration::ZERO, Duration::from_secs(60));
        let call = send(&mut lane, start).unwrap();
        let asked = Failure { retry_after: Some(minute), ..failure(Class::Throttled) };
        assert_eq!(ends(&mut lane, call, Err(asked), start, &random), Fate::Again);
        let early = minute - Duration::from_millis(1);
        assert_eq!((lane.next(early), send(&mut lane, minute)), (Now::WaitUntil(minute), Some((1, 2))));
        // However long it asks for, it is asked again after five minutes.
        let asked = Failure { retry_after: Some(HOUR), ..failure(Class::Unavailable) };
        ends(&mut lane, (1, 2), Err(asked), minute, &random);
        assert_eq!(lane.next(minute), Now::WaitUntil(minute + Duration::from_secs(300)));
        lane.try_again();
        assert_eq!(send(&mut lane, minute), Some((2, 1)), "it may be another function now");
    }

    #[test]
    fn a_refused_source_is_no_cause_for_the_calls_of_another() {
        let (mut lane, random) = (Lane::new(0, settings(1, false)), Seeded::new(1));
        for (position, from) in [(1, "refused"), (2, "other")] {
            add_of(&mut lane, from, position, None, Duration::ZERO);
        }
        let of = |position| if position == 1 { Class::InvalidCredentials } else { Class::NotFound };
        for second in 0..100 {
            all_end(&mut lane, Duration::from_secs(second), &random, |position| Err(failure(of(position))));
        }
        lane.answered((1, Err(&failure(of(1)))), Duration::from_secs(100), &random);
        lane.ended((1, 9), Err(failure(of(1))), Duration::from_secs(100), &random);
        let old = lane.expired(2 * HOUR, 10);
        let classes: Vec<_> = old.iter().map(|(position, why)| (*position, why.class)).collect();
        assert_eq!(classes, [(1, Class::InvalidCredentials), (2, Class::NotFound)]);
    }

    #[test]
    fn what_waits_too_long_becomes_a_dead_letter_with_the_cause() {
        let (mut lane, random) = (Lane::new(0, settings(1, false)), Seeded::new(1));
        for position in 1..=100 {
            add(&mut lane, position, None, Duration::ZERO);
        }
        let call = send(&mut lane, Duration::ZERO).unwrap();
        ends(&mut lane, call, Err(failure(Class::InvalidCredentials)), Duration::ZERO, &random);
        assert_eq!(lane.expired(HOUR, 1_000).len(), 0, "not yet");
        let late = HOUR + Duration::from_millis(1);
        let old = lane.expired(late, 60);
        assert_eq!((old.len(), old[0].1.class), (60, Class::InvalidCredentials));
        assert_eq!(old[0].1.what.full(), "it was not sent within max_age: invalid-credentials");
        let rest = lane.expired(late, 60);
        assert_eq!((rest.len(), send(&mut lane, late)), (40, None));
        old.into_iter().chain(rest).for_each(|(position, _)| lane.buried(position));
        assert_eq!(lane.finished_through(), 100);
    }

    /// A function that fails in every way, and a process that is killed: each call is invoked at least once
    /// or becomes a dead letter, calls of a user stay in order, and the position that is kept passes nothing
    /// unfinished.
    fn chaos(seed: u64) {
        const CALLS: u64 = 300;
        let random = Seeded::new(seed);
        let in_order = random.below(2) == 0;
        let mut settings = settings(1 + usize::try_from(random.below(16)).unwrap(), in_order);
        settings.bounds.refuses_calls = random.below(2) == 0;
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
                while taken < CALLS && lane.read_ahead().has_room() && random.below(3) > 0 {
                    taken += 1;
                    if taken.is_multiple_of(13) {
                        // The call is for another function.
                        lane.read_ahead().read_through(taken);
                        finished.insert(taken);
                        invoked.insert(taken);
                    } else {
                        let from = ["s", "t", "u"][usize::try_from(taken % 3).unwrap()];
                        add_of(&mut lane, from, taken, Some(user(taken)), now);
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
                        0 => Err(failure(Class::ALL[usize::try_from(random.below(13)).unwrap()])),
                        _ => Ok(()),
                    };
                    // The function has run, also if the process dies before it notes that.
                    if result.is_ok() {
                        invoked.insert(position);
                    }
                    match ends(&mut lane, (position, attempt), result, now, &random) {
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
