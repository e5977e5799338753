//! What must be true of the second reader of the log: of destinations, their functions and their positions.
//!
//! Every frame is noted when it is durable ([`SecondReader::observe`]), so what functions must get does not
//! depend on what the second reader was given.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay::destinations::class::Class;
use forebay::destinations::invoke::{Invoked, Outgoing};
use forebay::destinations::positions::{All, FILE, LaneId, Positions, lowest};
use forebay::destinations::select::{Head, Selection};
use forebay::destinations::settings::DestinationSettings;
use forebay::disk::{Disk, read_all};
use forebay::log::frame::{Frame, FrameKind};
use forebay::log::{Follow, Go, Range, Read, ReadThrough, Visit};
use forebay::object::Stream;
use forebay::sources::SourceId;
use forebay::time::UnixMillis;
use serde_json::value::RawValue;

use super::clients::Line;
use super::world::Violation;
use crate::support::sim_disk::SimDisk;
use crate::support::trace::Trace;

/// After refusals of so many sources without a success, a function gets no call of any source.
const STOP_A_FUNCTION: usize = 3;

/// A durable frame.
#[derive(Clone, Debug)]
enum Seen {
    Call(Call),
    Letter(Letter),
    Other,
}

#[derive(Clone, Debug)]
struct Call {
    copy: usize,
    source: SourceId,
    head: Head,
    line: Vec<u8>,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) source: SourceId,
    pub(super) stream: Stream,
    pub(super) received_at: UnixMillis,
    pub(super) line: Vec<u8>,
}

/// The line of a dead letter.
#[derive(serde::Deserialize)]
struct LetterLine<'a> {
    destination: &'a str,
    function: &'a str,
    class: &'a str,
    cause: String,
    #[serde(borrow)]
    call: &'a RawValue,
}

/// Which calls go where after a position.
#[derive(Clone, Debug)]
struct Known {
    after: u64,
    selection: Selection,
    /// Whether the runner has said that it is in force.
    confirmed: bool,
}

#[derive(Debug)]
struct State {
    seen: BTreeMap<u64, Seen>,
    place: ReadThrough,
    /// The position of each copy.
    positions: BTreeMap<usize, u64>,
    /// The positions of each user's calls.
    users: BTreeMap<String, Vec<u64>>,
    /// Copies that a function took, or that are dead letters.
    finished: BTreeSet<(LaneId, usize)>,
    sent: BTreeSet<(LaneId, usize)>,
    /// Failures that a function gave.
    failures: BTreeSet<(LaneId, &'static str)>,
    /// Sources whose credentials a function refused.
    denied: BTreeSet<(LaneId, SourceId)>,
    routes: BTreeMap<SourceId, Vec<Known>>,
    /// What was wanted of each destination since it was last confirmed, and the last durable position then.
    asked: BTreeMap<SourceId, Vec<(Selection, u64)>>,
    /// Everything that was ever wanted.
    ever: BTreeMap<SourceId, Vec<Selection>>,
    /// Up to here, all calls of a function are known to be finished.
    verified: BTreeMap<LaneId, u64>,
    /// Positions that a flipped bit may have hit.
    damaged: BTreeSet<u64>,
    file: Vec<u8>,
    kept: All,
    wrong: Option<Violation>,
}

/// What is known. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct SecondReader {
    state: Arc<Mutex<State>>,
    /// The disk as nobody's process sees it.
    disk: SimDisk,
    trace: Trace,
}

/// The log as the runner follows it. Checks that it is given every frame.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) log: Arc<dyn Follow>,
    pub(super) reader: SecondReader,
}

impl State {
    /// The function of a destination that gets a call.
    fn function<'a>(&'a self, destination: &SourceId, position: u64, call: &Call) -> Option<&'a str> {
        let known = self.routes.get(destination)?.iter().rev().find(|known| known.after < position)?;
        known.selection.function_for(&call.source, &call.head)
    }

    fn is_finished(&self, lane: &LaneId, position: u64, call: &Call) -> bool {
        self.damaged.contains(&position) || self.finished.contains(&(lane.clone(), call.copy))
    }

    /// The first call of a function within these positions that is not finished.
    fn unfinished(&self, lane: &LaneId, after: u64, through: u64) -> Option<(u64, &Call)> {
        if through <= after {
            return None;
        }
        self.seen.range(after + 1..=through).find_map(|(position, seen)| match seen {
            Seen::Call(call) => {
                let is_own = self.function(&lane.destination, *position, call) == Some(&*lane.function);
                (is_own && !self.is_finished(lane, *position, call)).then_some((*position, call))
            }
            _ => None,
        })
    }

    fn violated(&mut self, checked: Result<(), Violation>) {
        self.wrong = self.wrong.take().or(checked.err());
    }

    fn end(&self) -> u64 {
        self.seen.last_key_value().map_or(0, |(position, _)| *position).max(self.place.through)
    }

    fn see(&mut self, frame: &Frame<'_>, trace: &Trace) -> Result<(), Violation> {
        let seen = match frame.kind {
            FrameKind::Dead => self.letter(frame)?,
            FrameKind::Call | FrameKind::ObjectSet => self.call(frame).map_or(Seen::Other, Seen::Call),
            _ => Seen::Other,
        };
        let copy = if let Seen::Call(call) = &seen { call.copy as u64 } else { u64::MAX };
        trace.note("durable", &format!("{:?}", frame.kind), &[frame.position, copy]);
        self.seen.insert(frame.position, seen);
        Ok(())
    }

    fn call(&mut self, frame: &Frame<'_>) -> Option<Call> {
        let head = Head::of(&frame.stream()?, std::str::from_utf8(frame.payload).ok()?)?;
        let Line { copy, .. } = Line::read(frame.payload).ok()?;
        if let Some(user) = &head.user {
            self.users.entry(user.clone()).or_default().push(frame.position);
        }
        self.positions.insert(copy, frame.position);
        let source = SourceId::new(frame.source).ok()?;
        Some(Call { copy, source, head, line: frame.payload.to_vec() })
    }

    /// A dead letter must have the call unchanged, and a cause that its function gave.
    fn letter(&mut self, frame: &Frame<'_>) -> Result<Seen, Violation> {
        let text = || String::from_utf8_lossy(frame.payload).into_owned();
        let line: LetterLine<'_> = serde_json::from_slice(frame.payload)
            .map_err(|error| format!("D1: no dead letter: {error}: {}", text()))?;
        let copy = Line::read(line.call.get().as_bytes()).map_err(|error| format!("D1: {error}"))?.copy;
        let destination = SourceId::new(line.destination).map_err(|error| error.to_string())?;
        let lane = LaneId { destination, function: line.function.to_owned() };
        let call = match self.positions.get(&copy).and_then(|position| self.seen.get(position)) {
            Some(Seen::Call(call)) => call,
            _ => return Err(format!("D1: a dead letter of a call that is not in the log: {}", text())),
        };
        let is_same = call.line == line.call.get().as_bytes();
        if !is_same || frame.name != line.destination || frame.source != call.source.as_str() {
            return Err(format!("D1: a dead letter changes its call {call:?}: {}", text()));
        }
        let given = |class: Class| match class {
            Class::Unavailable => true,
            // One or two sources that are refused stop no other.
            Class::InvalidCredentials => {
                let denied = self.denied.iter().filter(|(of, _)| *of == lane);
                denied.clone().any(|(_, source)| *source == call.source) || denied.count() >= STOP_A_FUNCTION
            }
            class => self.failures.contains(&(lane.clone(), class.slug())),
        };
        if line.cause.is_empty() || !Class::of_slug(line.class).is_some_and(given) {
            return Err(format!("D1: the cause of a dead letter is none: {}", text()));
        }
        self.finished.insert((lane, copy));
        Ok(Seen::Letter(Letter {
            source: call.source.clone(),
            stream: frame.stream().ok_or("D1: the name of a dead-letter stream is not valid")?,
            received_at: frame.received_at,
            line: frame.payload.to_vec(),
        }))
    }

    /// A call of a user is not sent before the earlier ones of this user are finished.
    fn in_order(&self, lane: &LaneId, position: u64, call: &Call) -> Result<(), Violation> {
        let Some(user) = &call.head.user else { return Ok(()) };
        if self.sent.contains(&(lane.clone(), call.copy)) {
            return Ok(());
        }
        let verified = self.verified.get(lane).copied().unwrap_or(0);
        let positions = self.users.get(user).map_or(&[][..], Vec::as_slice);
        for earlier in positions.iter().filter(|at| **at > verified && **at < position) {
            let Some(Seen::Call(other)) = self.seen.get(earlier) else { continue };
            let is_own = self.function(&lane.destination, *earlier, other) == Some(&*lane.function);
            if is_own && !self.is_finished(lane, *earlier, other) {
                return Err(format!(
                    "D5: {lane:?} gets position {position} of {user} before {earlier} has succeeded or died"
                ));
            }
        }
        Ok(())
    }

    /// Learns from the file which calls go where.
    fn learn_routes(&mut self, name: &SourceId) -> Result<(), Violation> {
        let in_file = self.kept.get(name).map_or(&[][..], |kept| &kept.routes[..]);
        let end = self.end();
        let known = self.routes.entry(name.clone()).or_default();
        let asked = self.asked.get(name).map_or(&[][..], Vec::as_slice);
        let mut changed = u64::MAX;
        let last = in_file.last().map(|route| route.after);
        // What the file no longer has: a crash came before it was durable, or it was refused.
        while let Some(newest) = known.last().filter(|known| last.is_some_and(|last| known.after > last)) {
            if newest.confirmed {
                return Err(format!("D2: the configuration of {name} after {} is gone", newest.after));
            }
            changed = changed.min(newest.after);
            known.pop();
        }
        for route in in_file {
            let is_known = |known: &Known| known.after == route.after && known.selection == route.selection;
            if known.iter().any(is_known) {
                continue;
            }
            let is_asked =
                asked.iter().any(|(wanted, since)| *wanted == route.selection && *since <= route.after);
            if !is_asked || route.after > end {
                return Err(format!("D2: nobody asked for {route:?} of {name}: {asked:?}, end {end}"));
            }
            known.retain(|known| known.after < route.after);
            changed = changed.min(route.after);
            known.push(Known { after: route.after, selection: route.selection.clone(), confirmed: false });
        }
        // A removed destination without calls is forgotten at once.
        let is_active = known.last().is_some_and(|known| !known.selection.all_functions().is_empty());
        if in_file.is_empty() && is_active {
            let removed = asked.iter().find(|(wanted, _)| wanted.all_functions().is_empty());
            let Some((selection, since)) = removed.cloned() else {
                return Err(format!("D2: {name} is forgotten, but nobody removed it"));
            };
            changed = changed.min(since);
            known.retain(|known| known.after < since);
            known.push(Known { after: since, selection, confirmed: false });
        }
        for (lane, verified) in &mut self.verified {
            if lane.destination == *name {
                *verified = changed.min(*verified);
            }
        }
        Ok(())
    }

    /// D2: no kept position is beyond a call that is neither taken nor a dead letter.
    fn check_kept(&mut self) -> Result<(), Violation> {
        let mut lanes = BTreeSet::new();
        for (name, known) in &self.routes {
            for function in known.iter().flat_map(|known| known.selection.all_functions()) {
                lanes.insert(LaneId { destination: name.clone(), function: function.to_owned() });
            }
        }
        let end = self.end();
        for lane in lanes {
            let kept =
                self.kept.get(&lane.destination).and_then(|kept| kept.lanes.get(&lane.function)).copied();
            let verified = self.verified.get(&lane).copied().unwrap_or(0);
            let through = kept.unwrap_or(end).min(end);
            if let Some((position, call)) = self.unfinished(&lane, verified, through) {
                return Err(format!(
                    "D2: {lane:?} is kept as finished through {kept:?}, but position {position} (copy {}) is neither \
                     taken nor a dead letter",
                    call.copy
                ));
            }
            self.verified.insert(lane, verified.max(through));
        }
        Ok(())
    }
}

impl SecondReader {
    pub(super) fn new(disk: SimDisk, trace: Trace) -> Self {
        let state = State {
            seen: BTreeMap::new(),
            place: ReadThrough::after(0),
            positions: BTreeMap::new(),
            users: BTreeMap::new(),
            finished: BTreeSet::new(),
            sent: BTreeSet::new(),
            failures: BTreeSet::new(),
            denied: BTreeSet::new(),
            routes: BTreeMap::new(),
            asked: BTreeMap::new(),
            ever: BTreeMap::new(),
            verified: BTreeMap::new(),
            damaged: BTreeSet::new(),
            file: Vec::new(),
            kept: All::new(),
            wrong: None,
        };
        Self { state: Arc::new(Mutex::new(state)), disk, trace }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first violation, if any.
    pub(super) fn wrong(&self) -> Option<Violation> {
        self.lock().wrong.clone()
    }

    /// These positions may be unreadable.
    pub(super) fn damaged(&self, positions: impl Iterator<Item = u64>) {
        self.lock().damaged.extend(positions);
    }

    /// A life begins: the log numbers its places anew.
    pub(super) fn begin_life(&self) {
        let mut state = self.lock();
        state.place = ReadThrough::after(state.place.through);
    }

    /// Notes the frames that have become durable. `disk` is that of the process.
    pub(super) fn observe(&self, log: &dyn Follow, disk: &SimDisk) {
        let mut place = self.lock().place;
        let read = disk.without_starving(|| {
            log.follow(&mut place, &mut |read| {
                if let Read::Frame(frame) = read {
                    let mut state = self.lock();
                    let checked = state.see(&frame, &self.trace);
                    state.violated(checked);
                }
                Ok(Go::On)
            })
        });
        let mut state = self.lock();
        state.place = place;
        state.violated(read.map_err(|error| format!("the log cannot be followed: {error}")));
    }

    /// Looks at what is kept of destinations.
    pub(super) fn look(&self) {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let bytes = match disk.open(FILE).and_then(|file| read_all(&*file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => read,
        };
        let mut state = self.lock();
        let read = bytes.and_then(|bytes| {
            if state.file != bytes {
                state.kept = Positions::read(disk)?.kept().clone();
                self.trace.note("kept", &String::from_utf8_lossy(&bytes), &[]);
                state.file = bytes;
            }
            Ok(())
        });
        let mut checked =
            read.map_err(|error| format!("D2: what is kept of destinations is damaged: {error}"));
        let names: Vec<SourceId> = state.ever.keys().cloned().collect();
        for name in &names {
            checked = checked.and_then(|()| state.learn_routes(name));
        }
        checked = checked.and_then(|()| state.check_kept());
        state.violated(checked);
    }

    /// D3: every call and object set after the lowest kept position is still in the log.
    pub(super) fn check_held(&self, log: &dyn Follow, disk: &SimDisk) {
        let (lowest, next) = {
            let state = self.lock();
            let Some(lowest) = lowest(&state.kept) else { return };
            let mut later = state.seen.range(lowest.saturating_add(1)..);
            let is_kept = |position: &u64, seen: &Seen| {
                matches!(seen, Seen::Call(_)) && !state.damaged.contains(position)
            };
            let Some((next, _)) = later.find(|(position, seen)| is_kept(position, seen)) else { return };
            (lowest, *next)
        };
        let mut first = None;
        let read = disk.without_starving(|| {
            log.follow(&mut ReadThrough::after(lowest), &mut |read| {
                let Read::Frame(frame) = read else { return Ok(Go::On) };
                first = Some(frame.position);
                Ok(Go::Stop)
            })
        });
        let checked = match read {
            Ok(()) if first.is_some_and(|first| first <= next) => Ok(()),
            Ok(()) => Err(format!(
                "D3: position {next} is released although only {lowest} is kept as finished; the next is {first:?}"
            )),
            Err(error) => Err(format!("the log cannot be followed: {error}")),
        };
        self.lock().violated(checked);
    }

    /// The configuration is to be as `wanted`; of the other destinations nothing more is.
    pub(super) fn ask(&self, wanted: &[DestinationSettings], all: &[SourceId]) {
        let mut state = self.lock();
        let end = state.end();
        for name in all {
            let selection = wanted.iter().find(|one| one.name == *name).map_or_else(
                || Selection { name: name.as_str().to_owned(), ..Selection::default() },
                |one| one.selection.clone(),
            );
            state.ever.entry(name.clone()).or_default().push(selection.clone());
            state.asked.entry(name.clone()).or_default().push((selection, end));
        }
    }

    /// The runner says that the configuration is as `wanted`.
    pub(super) fn confirm(&self, wanted: &[DestinationSettings], all: &[SourceId]) {
        self.look();
        let mut state = self.lock();
        for name in all {
            let in_file = state.kept.get(name).and_then(|kept| kept.routes.last());
            let in_file = in_file.map(|route| route.selection.clone()).unwrap_or_default();
            let selection = wanted.iter().find(|one| one.name == *name).map(|one| &one.selection);
            let is_kept = match selection {
                Some(selection) => in_file == *selection,
                None => in_file.all_functions().is_empty(),
            };
            let checked = if is_kept {
                Ok(())
            } else {
                Err(format!("D2: the configuration of {name} is said to be in force, but is not kept"))
            };
            state.violated(checked);
            state.routes.get_mut(name).into_iter().flatten().for_each(|known| known.confirmed = true);
            state.asked.remove(name);
        }
    }

    /// A function is given calls. Returns their copies.
    pub(super) fn sent(&self, lane: &LaneId, outgoing: &Outgoing, in_order: bool) -> Vec<usize> {
        let mut state = self.lock();
        let mut copies = Vec::new();
        for carried in &outgoing.calls {
            let copy = Line::read(&carried.line).map_or(usize::MAX, |line| line.copy);
            copies.push(copy);
            let position = state.positions.get(&copy).copied();
            let call = match position.and_then(|position| state.seen.get(&position)) {
                Some(Seen::Call(call)) if call.line == carried.line => call.clone(),
                _ => {
                    let wrong =
                        format!("D1: {lane:?} gets copy {copy}, which is not in the log as it is sent");
                    state.violated(Err(wrong));
                    continue;
                }
            };
            let ever = state.ever.get(&lane.destination).map_or(&[][..], Vec::as_slice);
            let takes = |selection: &Selection| {
                selection.function_for(&call.source, &call.head) == Some(&*lane.function)
            };
            let mut checked = if ever.iter().any(takes) {
                Ok(())
            } else {
                Err(format!("D1: {lane:?} gets copy {copy}, which was never configured"))
            };
            if in_order {
                checked = checked.and_then(|()| state.in_order(lane, position.unwrap_or(0), &call));
            }
            state.violated(checked);
            if !state.sent.insert((lane.clone(), copy)) {
                self.trace.count("a call sent again");
            }
        }
        copies
    }

    /// A function has answered.
    pub(super) fn answered(&self, (lane, source): (&LaneId, &SourceId), copies: &[usize], invoked: &Invoked) {
        let mut state = self.lock();
        if let Err(failure) = &invoked.result {
            if failure.class == Class::InvalidCredentials {
                state.denied.insert((lane.clone(), source.clone()));
            }
            state.failures.insert((lane.clone(), failure.class.slug()));
            return;
        }
        for (index, copy) in copies.iter().enumerate() {
            if invoked.not_taken.contains(&index) {
                state.failures.insert((lane.clone(), Class::ExecutionError.slug()));
            } else {
                state.finished.insert((lane.clone(), *copy));
            }
        }
    }

    /// D1: every call was taken by its function, or is a dead letter.
    pub(super) fn check_all(&self) -> Result<(), Violation> {
        self.look();
        let state = self.lock();
        let mut taken = false;
        for (position, seen) in &state.seen {
            let Seen::Call(call) = seen else { continue };
            for name in state.routes.keys() {
                let Some(function) = state.function(name, *position, call) else { continue };
                let lane = LaneId { destination: name.clone(), function: function.to_owned() };
                if !state.is_finished(&lane, *position, call) {
                    return Err(format!(
                        "D1: position {position} (copy {}) is neither taken by {lane:?} nor a dead letter",
                        call.copy
                    ));
                }
                taken = true;
            }
        }
        if taken {
            self.trace.count("a world whose calls functions took");
        }
        state.wrong.clone().map_or(Ok(()), Err)
    }

    /// All dead letters, by position.
    pub(super) fn letters(&self) -> BTreeMap<u64, Letter> {
        let state = self.lock();
        let letter = |(position, seen): (&u64, &Seen)| match seen {
            Seen::Letter(letter) => Some((*position, letter.clone())),
            _ => None,
        };
        state.seen.iter().filter_map(letter).collect()
    }

    /// The runner was given these frames and losses between two positions.
    fn given(&self, after: u64, through: u64, frames: &BTreeSet<u64>, lost: &[Range]) {
        let missed = |state: &State, after: u64| {
            let is_lost =
                |position: u64| lost.iter().any(|range| (range.first..=range.last).contains(&position));
            let is_missed = |position: &u64| {
                !frames.contains(position) && !is_lost(*position) && !state.damaged.contains(position)
            };
            let given = (through > after).then(|| state.seen.range(after + 1..=through));
            let calls = given.into_iter().flatten().filter(|(_, seen)| matches!(seen, Seen::Call(_)));
            calls.map(|(position, _)| *position).find(is_missed)
        };
        let is_missed = missed(&self.lock(), after).is_some();
        if is_missed {
            self.look();
        }
        let mut state = self.lock();
        let lost_wrongly = lost.iter().flat_map(|range| range.first..=range.last);
        let mut lost_wrongly = lost_wrongly.filter(|position| !state.damaged.contains(position));
        let mut checked = match lost_wrongly.next() {
            Some(position) => {
                Err(format!("D3: position {position} is said to be lost, and nothing was damaged"))
            }
            None => Ok(()),
        };
        // A function that is no longer kept may still be reading; the log need not keep anything for it.
        let kept_after = lowest(&state.kept).unwrap_or(u64::MAX);
        if let Some(position) = missed(&state, after.max(kept_after)) {
            checked = Err(format!("D3: a function was not given position {position}: it is released"));
        }
        state.violated(checked);
    }
}

impl Follow for Watched {
    fn durable_through(&self) -> u64 {
        self.log.durable_through()
    }

    fn hold_after(&self, position: Option<u64>) {
        self.reader.trace.note("hold after", "", &[position.unwrap_or(u64::MAX)]);
        self.log.hold_after(position);
    }

    fn held_bytes(&self) -> u64 {
        self.log.held_bytes()
    }

    fn held_end(&self, bytes: u64) -> u64 {
        self.log.held_end(bytes)
    }

    fn follow(&self, place: &mut ReadThrough, visit: &mut Visit<'_>) -> io::Result<()> {
        let (after, mut frames, mut lost) = (place.through, BTreeSet::new(), Vec::new());
        let read = self.log.follow(place, &mut |read| {
            match &read {
                Read::Frame(frame) => drop(frames.insert(frame.position)),
                Read::Lost(range) => lost.push(*range),
            }
            visit(read)
        });
        self.reader.given(after, place.through, &frames, &lost);
        read
    }
}
