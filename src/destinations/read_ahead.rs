//! The calls of one function that are being worked on: which one is sent next, and how far everything is
//! finished. Pure.
//!
//! A call is in the read-ahead from when it is read from the log until it is finished: invoked, or a dead
//! letter. The position below which everything is finished is what the second reader of the log keeps; after
//! a crash, calls above it are sent again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::Duration;

use super::age::Waiting;
use super::circuit::Circuit;
use super::class::Class;
use super::positions::{Ahead, UNFINISHED_MAX};
use crate::planted_bugs::{PlantedBug, planted};
use crate::sources::SourceId;

/// Calls in a read-ahead. A call that is not finished holds up the position: more than these are sent again
/// after a crash.
pub const CALLS_MAX: usize = 10_000;
/// The golden ratio's fraction of 2^64.
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
/// Bytes of lines in a read-ahead.
pub const BYTES_MAX: usize = 4 << 20;

/// The calls of one function between the log and their end.
#[derive(Debug)]
pub struct ReadAhead {
    in_order: bool,
    calls: BTreeMap<u64, Call>,
    bytes: usize,
    /// Calls that can be sent now.
    ready: BTreeSet<u64>,
    /// Calls that can be sent from a time on.
    later: BTreeSet<(Duration, u64)>,
    /// Calls of sources that are refused, which are given only to find out whether they still are.
    held: BTreeMap<SourceId, Held>,
    /// Positions by user, lowest first, if order is kept: only the first of a user can be sent.
    users: HashMap<String, VecDeque<u64>>,
    /// Everything up to here was read.
    read_through: u64,
    /// How many calls were chosen to find out whether the function can be used.
    spread: u64,
}

#[derive(Debug, Default)]
struct Held {
    calls: BTreeSet<u64>,
    /// The last that was given.
    given: u64,
}

/// A call to add.
#[derive(Clone, Debug)]
pub struct New {
    /// The position in the log.
    pub position: u64,
    /// The source.
    pub source: SourceId,
    /// The user, if it has one.
    pub user: Option<String>,
    /// How long it has waited.
    pub waiting: Waiting,
    /// The length of its line.
    pub bytes: usize,
}

#[derive(Debug)]
struct Call {
    waiting: Waiting,
    source: SourceId,
    user: Option<String>,
    bytes: usize,
    attempts: u32,
    /// How often it was not answered in time.
    late: u32,
    /// How often the function failed with it.
    threw: u32,
    /// How often the connection broke after it was sent.
    unanswered: u32,
    /// How often it was refused although others were taken in between.
    refused: u32,
    /// How many calls had been taken when it was last refused.
    taken_before: Option<u64>,
    state: CallState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CallState {
    /// An earlier call of its user is not finished.
    BehindAnother,
    Ready,
    NotBefore(Duration),
    /// The source is refused.
    Held,
    InFlight,
}

/// A call to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The position in the log.
    pub position: u64,
    /// How often it is sent with this time.
    pub attempt: u32,
}

impl ReadAhead {
    /// An empty read-ahead: everything up to `finished` is finished. `in_order`: calls of one user are sent
    /// one after another, in the order of the log.
    pub fn new(finished: u64, in_order: bool) -> Self {
        Self {
            in_order,
            calls: BTreeMap::new(),
            bytes: 0,
            ready: BTreeSet::new(),
            later: BTreeSet::new(),
            held: BTreeMap::new(),
            users: HashMap::new(),
            read_through: finished,
            spread: 0,
        }
    }

    /// Sets whether calls of one user are sent one after another. It applies to calls that are added from now
    /// on, and those in the read-ahead keep what they had.
    pub fn set_in_order(&mut self, in_order: bool) {
        self.in_order = in_order;
    }

    /// Whether another call can be read.
    pub fn has_room(&self) -> bool {
        self.calls.len() < CALLS_MAX && self.bytes < BYTES_MAX
    }

    /// Notes that everything up to `position` was read, whether it is for this function or not.
    pub fn read_through(&mut self, position: u64) {
        self.read_through = self.read_through.max(position);
    }

    /// Adds a call. Positions grow.
    pub fn add(&mut self, New { position, source, user, waiting, bytes }: New) {
        self.read_through(position);
        let user = user.filter(|_| self.in_order);
        let is_first = match &user {
            None => true,
            Some(user) => {
                let queue = self.users.entry(user.clone()).or_default();
                queue.push_back(position);
                queue.len() == 1 || planted(PlantedBug::UserOutOfOrder)
            }
        };
        self.bytes = self.bytes.saturating_add(bytes);
        let call = Call {
            waiting,
            source,
            user,
            bytes,
            attempts: 0,
            late: 0,
            threw: 0,
            unanswered: 0,
            refused: 0,
            taken_before: None,
            state: CallState::BehindAnother,
        };
        self.calls.insert(position, call);
        if is_first {
            self.make_ready(position);
        }
    }

    /// A call can be sent, unless its source is refused.
    fn make_ready(&mut self, position: u64) {
        let Some(call) = self.calls.get_mut(&position) else { return };
        match self.held.get_mut(&call.source) {
            Some(held) => {
                held.calls.insert(position);
                call.state = CallState::Held;
            }
            None => {
                self.ready.insert(position);
                call.state = CallState::Ready;
            }
        }
    }

    /// Takes a call out of those that can be sent.
    fn take_out(&mut self, position: u64) {
        let Some(call) = self.calls.get(&position) else { return };
        match call.state {
            CallState::Ready => drop(self.ready.remove(&position)),
            CallState::NotBefore(at) => {
                self.later.remove(&(at, position));
                // The time of a call may have come.
                self.ready.remove(&position);
            }
            CallState::Held => {
                if let Some(held) = self.held.get_mut(&call.source) {
                    held.calls.remove(&position);
                }
            }
            CallState::BehindAnother | CallState::InFlight => {}
        }
    }

    /// Holds the calls of a source back: it is refused.
    pub fn hold(&mut self, source: &SourceId) {
        if self.held.contains_key(source) {
            return;
        }
        let of_source = |(position, call): (&u64, &Call)| {
            let waits = matches!(call.state, CallState::Ready | CallState::NotBefore(_));
            (call.source == *source && waits).then_some(*position)
        };
        let positions: Vec<u64> = self.calls.iter().filter_map(of_source).collect();
        positions.iter().for_each(|position| self.take_out(*position));
        self.held.insert(source.clone(), Held::default());
        positions.into_iter().for_each(|position| self.make_ready(position));
    }

    /// The calls of a source can be sent again.
    pub fn let_go(&mut self, source: &SourceId) {
        let held = self.held.remove(source).unwrap_or_default();
        held.calls.into_iter().for_each(|position| self.make_ready(position));
    }

    /// A call of a source that is held back, to find out whether it is still refused: each time another.
    pub fn next_of(&mut self, source: &SourceId) -> Option<Turn> {
        let held = self.held.get_mut(source)?;
        let after = held.calls.range(held.given.saturating_add(1)..).next();
        let position = after.or_else(|| held.calls.first()).copied()?;
        held.calls.remove(&position);
        held.given = position;
        self.give(position)
    }

    /// Calls of a source that are held back.
    pub fn held_of(&self, source: &SourceId) -> usize {
        self.held.get(source).map_or(0, |held| held.calls.len())
    }

    /// Whose a call is.
    pub fn source_of(&self, position: u64) -> Option<&SourceId> {
        self.calls.get(&position).map(|call| &call.source)
    }

    fn give(&mut self, position: u64) -> Option<Turn> {
        let call = self.calls.get_mut(&position)?;
        call.state = CallState::InFlight;
        call.attempts = call.attempts.saturating_add(1);
        Some(Turn { position, attempt: call.attempts })
    }

    /// The call to send next: the lowest that can be sent now. It is in flight until it is finished or to be
    /// sent again.
    pub fn next(&mut self, now: Duration) -> Option<Turn> {
        self.come_due(now);
        let position = self.ready.pop_first()?;
        self.give(position)
    }

    /// The same, but one of those that were sent least often: each time from elsewhere in the read-ahead,
    /// because neighbours are often refused together.
    pub fn next_least_tried(&mut self, now: Duration) -> Option<Turn> {
        self.come_due(now);
        let least = self.ready.iter().map(|position| self.attempts(*position)).min()?;
        let rarely: Vec<u64> =
            self.ready.iter().copied().filter(|position| self.attempts(*position) == least).collect();
        // Multiples of the golden ratio leave no large gap, however many there are.
        let place = (u128::from(self.spread.wrapping_mul(GOLDEN)) * rarely.len() as u128) >> 64;
        self.spread = self.spread.wrapping_add(1);
        let position = usize::try_from(place).ok().and_then(|place| rarely.get(place)).copied()?;
        self.ready.remove(&position);
        self.give(position)
    }

    fn come_due(&mut self, now: Duration) {
        while let Some((at, position)) = self.later.first().copied().filter(|(at, _)| *at <= now) {
            self.later.remove(&(at, position));
            self.ready.insert(position);
        }
    }

    /// How often a call was sent.
    pub fn attempts(&self, position: u64) -> u32 {
        self.calls.get(&position).map_or(0, |call| call.attempts)
    }

    /// A call failed while `taken` calls had been taken in all. Returns how often it has failed so, where
    /// that is bounded; otherwise 0. A refusal counts if others were taken since the last.
    pub fn failed(&mut self, position: u64, class: Class, taken: u64) -> u32 {
        let Some(call) = self.calls.get_mut(&position) else { return 0 };
        let count = match class {
            Class::Timeout => &mut call.late,
            Class::ExecutionError => &mut call.threw,
            Class::Unanswered => &mut call.unanswered,
            refusal if Circuit::is_refusal(refusal) => {
                if call.taken_before.replace(taken) == Some(taken) {
                    return call.refused;
                }
                &mut call.refused
            }
            _ => return 0,
        };
        *count = count.saturating_add(1);
        *count
    }

    /// How long a call has waited.
    pub fn age(&self, position: u64, now: Duration) -> Duration {
        self.calls.get(&position).map_or(Duration::ZERO, |call| call.waiting.age(now))
    }

    /// Takes up to `most` calls that are not in flight and have waited longer than `age`. They count as in
    /// flight, until they are finished or to be sent again.
    pub fn take_older(&mut self, age: Duration, now: Duration, most: usize) -> Vec<u64> {
        self.take(most, |_, call| call.waiting.age(now) > age)
    }

    /// Takes, in the same way, calls of sources that are held back.
    pub fn take_held(&mut self, most: usize) -> Vec<u64> {
        self.take(most, |_, call| call.state == CallState::Held)
    }

    /// Calls that are held back, and their bytes.
    pub fn held(&self) -> (usize, usize) {
        let held = self.calls.values().filter(|call| call.state == CallState::Held);
        held.fold((0, 0), |(calls, bytes), call| (calls + 1, bytes + call.bytes))
    }

    /// Takes, in the same way, calls up to a position.
    pub fn take_through(&mut self, through: u64, most: usize) -> Vec<u64> {
        self.take(most, |position, _| position <= through)
    }

    fn take(&mut self, most: usize, wanted: impl Fn(u64, &Call) -> bool) -> Vec<u64> {
        let free =
            |(position, call): &(&u64, &Call)| call.state != CallState::InFlight && wanted(**position, call);
        let old: Vec<u64> =
            self.calls.iter().filter(free).map(|(position, _)| *position).take(most).collect();
        for position in &old {
            self.take_out(*position);
            if let Some(call) = self.calls.get_mut(position) {
                call.state = CallState::InFlight;
            }
        }
        old
    }

    /// When a call can be sent, if none can now.
    pub fn next_at(&self) -> Option<Duration> {
        if self.ready.is_empty() { self.later.first().map(|(at, _)| *at) } else { Some(Duration::ZERO) }
    }

    /// A call in flight is sent again, not before a time. `sent`: whether this try counts as an attempt.
    pub fn again(&mut self, position: u64, not_before: Duration, sent: bool) {
        let Some(call) = self.calls.get_mut(&position) else { return };
        if call.state != CallState::InFlight {
            return;
        }
        if !sent {
            call.attempts = call.attempts.saturating_sub(1);
        }
        // It may have been taken while an earlier call of its user was not finished.
        let queue = call.user.as_ref().and_then(|user| self.users.get(user));
        if queue.and_then(VecDeque::front).is_some_and(|first| *first != position) {
            call.state = CallState::BehindAnother;
            return;
        }
        if self.held.contains_key(&call.source) {
            return self.make_ready(position);
        }
        call.state = CallState::NotBefore(not_before);
        self.later.insert((not_before, position));
    }

    /// A call is finished. The next call of its user can be sent.
    pub fn finished(&mut self, position: u64) {
        self.take_out(position);
        let Some(call) = self.calls.remove(&position) else { return };
        self.bytes = self.bytes.saturating_sub(call.bytes);
        let Some(user) = call.user else { return };
        let Some(queue) = self.users.get_mut(&user) else { return };
        queue.retain(|other| *other != position);
        match queue.front().copied() {
            None => drop(self.users.remove(&user)),
            Some(next) => {
                if self.calls.get(&next).is_some_and(|call| call.state == CallState::BehindAnother) {
                    self.make_ready(next);
                }
            }
        }
    }

    /// Everything up to here is finished.
    pub fn finished_through(&self) -> u64 {
        match self.calls.first_key_value() {
            Some((first, _)) => first.saturating_sub(1),
            None => self.read_through,
        }
    }

    /// What is finished beyond [`finished_through`](Self::finished_through), if a call that was tried or is
    /// held back keeps that where it is. `before` is what was known of calls that are not read yet.
    pub fn ahead(&self, before: Option<&Ahead>) -> Option<Ahead> {
        let first = self.calls.first_key_value();
        // What an earlier run noted of calls behind the first one holds until that one is finished.
        let is_known = before.zip(first).is_some_and(|(before, (first, _))| *first <= before.through);
        let is_young = !is_known
            && first.is_none_or(|(_, first)| {
                first.attempts <= 1 && matches!(first.state, CallState::Ready | CallState::InFlight)
            });
        let before = before.filter(|before| before.through > self.read_through);
        if is_young && before.is_none() {
            return None;
        }
        let unread = before.iter().flat_map(|before| before.unfinished.iter().copied());
        let unread = unread.filter(|position| *position > self.read_through);
        let mut unfinished: Vec<u64> =
            self.calls.keys().copied().chain(unread).take(UNFINISHED_MAX + 1).collect();
        let through = match unfinished.get(UNFINISHED_MAX) {
            Some(next) => next - 1,
            None => before.map_or(self.read_through, |before| before.through),
        };
        unfinished.truncate(UNFINISHED_MAX);
        Some(Ahead { through, unfinished })
    }

    /// Calls that are not finished, and their bytes.
    pub fn unfinished(&self) -> (usize, usize) {
        (self.calls.len(), self.bytes)
    }

    /// The lowest call that is not finished.
    pub fn oldest(&self) -> Option<u64> {
        self.calls.first_key_value().map(|(position, _)| *position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(position: u64, user: Option<&str>, bytes: usize) -> New {
        let (user, source) = (user.map(str::to_owned), SourceId::new("s").unwrap());
        New { position, source, user, waiting: Waiting::new(Duration::ZERO, Duration::ZERO), bytes }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sent(read_ahead: &mut ReadAhead, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| read_ahead.next(at(now))).map(|turn| turn.position).collect()
    }

    #[test]
    fn the_position_passes_no_call_that_is_not_finished() {
        let mut read_ahead = ReadAhead::new(4, false);
        assert_eq!(read_ahead.finished_through(), 4);
        for position in [6, 7, 9] {
            read_ahead.add(new(position, None, 10));
        }
        read_ahead.read_through(12);
        assert_eq!(read_ahead.finished_through(), 5, "5 is for another function");
        assert_eq!(sent(&mut read_ahead, 0), [6, 7, 9]);
        read_ahead.finished(7);
        read_ahead.finished(9);
        assert_eq!((read_ahead.finished_through(), read_ahead.unfinished()), (5, (1, 10)));
        read_ahead.finished(6);
        assert_eq!((read_ahead.finished_through(), read_ahead.unfinished()), (12, (0, 0)));
    }

    #[test]
    fn what_is_finished_behind_a_call_that_waits_is_known() {
        let mut read_ahead = ReadAhead::new(4, false);
        for position in 5..=3_000 {
            read_ahead.add(new(position, None, 1));
        }
        assert_eq!(read_ahead.ahead(None), None, "none was tried");
        assert_eq!(sent(&mut read_ahead, 0).len(), 2_996);
        assert_eq!(read_ahead.ahead(None), None, "it is under way");
        read_ahead.again(5, at(9), true);
        (7..=2_990).for_each(|position| read_ahead.finished(position));
        let unfinished: Vec<u64> = [5, 6].into_iter().chain(2_991..=3_000).collect();
        let ahead = Ahead { through: 3_000, unfinished };
        assert_eq!((read_ahead.finished_through(), read_ahead.ahead(None)), (4, Some(ahead.clone())));
        assert_eq!(
            [5, 7, 2_991, 3_001].map(|position| ahead.is_finished(position)),
            [false, true, false, false]
        );
        // After a restart, before they are read again.
        let mut read_ahead = ReadAhead::new(4, false);
        assert_eq!(read_ahead.ahead(Some(&ahead)), Some(ahead.clone()));
        read_ahead.add(new(5, None, 1));
        read_ahead.read_through(2_995);
        let left = Ahead { through: 3_000, unfinished: [5].into_iter().chain(2_996..=3_000).collect() };
        assert_eq!(read_ahead.ahead(Some(&ahead)), Some(left));
        // Another restart, before the first one was tried again, must not send all of them again.
        read_ahead.read_through(3_000);
        let first_waits = Ahead { through: 3_000, unfinished: vec![5] };
        assert_eq!(read_ahead.ahead(Some(&ahead)), Some(first_waits.clone()));
        assert_eq!(sent(&mut read_ahead, 0).len(), 1);
        assert_eq!(read_ahead.ahead(Some(&ahead)), Some(first_waits));
        read_ahead.finished(5);
        assert_eq!(read_ahead.ahead(Some(&ahead)), None);
        // With many calls, the note reaches less far.
        let mut read_ahead = ReadAhead::new(0, false);
        (1..=5_000).for_each(|position| read_ahead.add(new(2 * position, None, 1)));
        read_ahead.next(at(0));
        read_ahead.again(2, at(9), true);
        read_ahead.finished(4);
        let ahead = read_ahead.ahead(None).unwrap();
        assert_eq!((ahead.through, ahead.unfinished.len()), (2_003, UNFINISHED_MAX));
        assert!(ahead.is_finished(4) && ahead.is_finished(2_003) && !ahead.is_finished(2_004));
    }

    #[test]
    fn a_call_waits_for_its_next_try_and_its_attempts_are_counted() {
        let mut read_ahead = ReadAhead::new(0, false);
        read_ahead.add(new(1, None, 1));
        assert_eq!(read_ahead.next(at(0)), Some(Turn { position: 1, attempt: 1 }));
        assert_eq!(read_ahead.next_at(), None);
        read_ahead.again(1, at(5), true);
        assert_eq!((read_ahead.next(at(4)), read_ahead.next_at()), (None, Some(at(5))));
        assert_eq!(read_ahead.next(at(5)), Some(Turn { position: 1, attempt: 2 }));
        read_ahead.again(1, at(6), false);
        assert_eq!(read_ahead.next(at(6)), Some(Turn { position: 1, attempt: 2 }));
    }

    #[test]
    fn calls_of_one_user_are_sent_one_after_another() {
        let mut read_ahead = ReadAhead::new(0, true);
        for (position, user) in [(1, "a"), (2, "b"), (3, "a"), (5, "a")] {
            read_ahead.add(new(position, Some(user), 1));
        }
        read_ahead.add(new(4, None, 1));
        assert_eq!(sent(&mut read_ahead, 0), [1, 2, 4], "calls without a user have no order");
        read_ahead.again(1, at(9), true);
        read_ahead.finished(2);
        assert_eq!(sent(&mut read_ahead, 8), [] as [u64; 0], "a retry holds up its user's calls");
        assert_eq!(sent(&mut read_ahead, 9), [1]);
        read_ahead.finished(1);
        assert_eq!(sent(&mut read_ahead, 9), [3]);
        read_ahead.finished(3);
        assert_eq!(sent(&mut read_ahead, 9), [5]);
        read_ahead.finished(5);
        read_ahead.finished(4);
        assert_eq!((read_ahead.finished_through(), read_ahead.users.len()), (5, 0));
    }

    #[test]
    fn a_call_that_ends_while_it_waits_is_not_sent() {
        // The call became too old.
        let mut read_ahead = ReadAhead::new(0, true);
        read_ahead.add(new(1, Some("a"), 1));
        read_ahead.add(new(2, Some("a"), 1));
        read_ahead.next(at(0));
        read_ahead.again(1, at(5), true);
        read_ahead.finished(2);
        read_ahead.finished(1);
        assert_eq!(
            (sent(&mut read_ahead, 9).len(), read_ahead.finished_through(), read_ahead.next_at()),
            (0, 2, None)
        );
    }

    #[test]
    fn a_call_that_was_taken_out_and_comes_back_waits_for_its_user() {
        let mut read_ahead = ReadAhead::new(0, true);
        for position in 1..=3 {
            read_ahead.add(new(position, Some("a"), 1));
        }
        assert_eq!(read_ahead.take_through(2, 9), [1, 2]);
        read_ahead.again(2, at(1), false);
        read_ahead.again(1, at(2), false);
        assert_eq!((sent(&mut read_ahead, 1).len(), sent(&mut read_ahead, 2)), (0, vec![1]));
        read_ahead.finished(1);
        assert_eq!(sent(&mut read_ahead, 2), [2]);
        read_ahead.finished(2);
        assert_eq!(sent(&mut read_ahead, 2), [3]);
    }

    #[test]
    fn it_is_bounded_by_calls_and_by_bytes() {
        let mut read_ahead = ReadAhead::new(0, false);
        read_ahead.add(new(1, None, BYTES_MAX));
        assert!(!read_ahead.has_room());
        read_ahead.finished(1);
        for position in 2..(2 + CALLS_MAX as u64) {
            assert!(read_ahead.has_room());
            read_ahead.add(new(position, None, 1));
        }
        assert!(!read_ahead.has_room());
    }

    #[test]
    fn old_calls_are_taken_out_whatever_they_wait_for() {
        let mut read_ahead = ReadAhead::new(0, true);
        for position in 1..=5 {
            let user = Some(if position == 4 { "b" } else { "a" });
            read_ahead
                .add(New { waiting: Waiting::new(Duration::ZERO, at(position)), ..new(position, user, 1) });
        }
        assert_eq!(read_ahead.next(at(0)).map(|turn| turn.position), Some(1));
        assert_eq!(read_ahead.take_older(at(5), at(10), 2), [2, 3], "1 is in flight");
        assert_eq!(read_ahead.take_older(at(5), at(10), 9), [4]);
        for position in 1..=4 {
            read_ahead.finished(position);
        }
        assert_eq!(sent(&mut read_ahead, 0), [5], "the next of its user");
    }

    /// A call that had become too old was sent while it was taken for a dead letter.
    #[test]
    fn a_call_whose_time_has_come_is_taken_out() {
        let mut read_ahead = ReadAhead::new(0, false);
        for position in [1, 2] {
            read_ahead.add(new(position, None, 1));
            read_ahead.next(at(0));
            read_ahead.again(position, at(5), true);
        }
        assert_eq!(read_ahead.next(at(6)).map(|turn| turn.position), Some(1));
        assert_eq!((read_ahead.take_through(9, 9), read_ahead.next(at(9))), (vec![2], None));
    }

    #[test]
    fn calls_of_a_refused_source_are_held_back_and_given_in_turn() {
        let mut read_ahead = ReadAhead::new(0, true);
        let other = SourceId::new("other").unwrap();
        for position in 1..=3 {
            read_ahead.add(new(position, None, 1));
            read_ahead.add(New { source: other.clone(), ..new(position + 3, Some("a"), 1) });
        }
        let first = read_ahead.next(at(0)).unwrap().position;
        read_ahead.again(first, at(9), true);
        let source = SourceId::new("s").unwrap();
        read_ahead.hold(&source);
        read_ahead.add(new(7, Some("b"), 1));
        read_ahead.add(new(8, Some("b"), 1));
        assert_eq!(
            (sent(&mut read_ahead, 99), read_ahead.held(), read_ahead.held_of(&source)),
            (vec![4], (4, 4), 4)
        );
        let turns: Vec<u64> = (0..5)
            .map(|_| {
                let position = read_ahead.next_of(&source).unwrap().position;
                read_ahead.again(position, at(0), true);
                position
            })
            .collect();
        assert_eq!(turns, [1, 2, 3, 7, 1]);
        assert_eq!(read_ahead.take_held(2), [1, 2]);
        read_ahead.again(2, at(0), false);
        read_ahead.let_go(&source);
        assert_eq!((sent(&mut read_ahead, 99), read_ahead.held()), (vec![2, 3, 7], (0, 0)));
        read_ahead.finished(7);
        assert_eq!(sent(&mut read_ahead, 99), [8]);
    }
}
