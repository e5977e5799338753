//! What must hold in the end. The lines of the bucket are compared with what follows from the log and the
//! notes by the rules, written down here a second time and as plainly as possible.

use std::collections::{BTreeMap, BTreeSet};

use forebay::log::notes::CallNote;
use forebay::log::{DayInBucket, Range, Row};
use forebay::object::closed_marker::Closing;
use forebay::object::metadata::Metadata;
use forebay::object::{ClosedMarker, Stream};
use forebay::partition::block;
use forebay::partition::note::Note;
use forebay::partition::state::{State, Sum};
use forebay::time::ReceivedDay;
use forebay::words::rfc3339;
use sha2::{Digest, Sha256};

use super::clients::id_of;
use super::env::Env;
use super::store::Object;
use super::world::{Violation, World};

/// A line that should be in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Line {
    text: Vec<u8>,
    day: ReceivedDay,
    is_line: bool,
}

/// The state that all committed notes add up to.
pub(super) fn truth(env: &Env, partition: u32) -> State {
    let mut sum = Sum::default();
    for (offset, _, value) in env.notes.0[&partition].history() {
        sum.takes(offset, value).unwrap();
    }
    sum.into_state().unwrap()
}

pub(super) fn all(world: &World) -> Result<(), Violation> {
    let stopped = world.stopped();
    let env = &world.env;
    if let Some((partition, why)) =
        stopped.iter().find(|(partition, why)| !why.contains("log_cut") || !world.cut().contains(partition))
    {
        return Err(format!("partition {partition} stopped: {why}"));
    }
    let mut found_calls = BTreeSet::new();
    let mut excused = BTreeSet::new();
    for partition in 0..env.partitions() {
        terms(env, partition)?;
        buckets(env, partition)?;
        let objects = objects_of(env, partition);
        hashes(&objects)?;
        for line in objects.iter().flat_map(|object| &object.lines) {
            found_calls.insert(id_of(&line.1));
        }
        excused.extend(excused_calls(env, partition, stopped.contains_key(&partition)));
        if !stopped.contains_key(&partition) {
            lines(env, partition, &objects)?;
            chain(&objects)?;
            markers(env, partition, &objects)?;
            ledger(env, partition)?;
        }
    }
    let missing: Vec<&u64> = world
        .clients
        .acknowledged
        .keys()
        .filter(|id| !found_calls.contains(*id) && !excused.contains(*id))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("acknowledged and not in the bucket: {missing:?}")) }
}

fn objects_of(env: &Env, partition: u32) -> Vec<&Object> {
    let spool_id = env.identity(partition).spool_id();
    let objects = env.store.objects.values();
    objects.filter(|object| object.seal.object_key.as_str().contains(&spool_id)).collect()
}

/// Notes stand within the term of their writer, and each term begins with its own note.
fn terms(env: &Env, partition: u32) -> Result<(), Violation> {
    let mut current = 0;
    for (offset, epoch, value) in env.notes.0[&partition].history() {
        let is_term = matches!(Note::decode(value), Ok(Note::Term(_)));
        let is_first = offset == 0;
        let fits = if epoch == current { !is_term } else { epoch > current && (is_term || is_first) };
        if !fits {
            return Err(format!("a note outside its term: partition {partition}, offset {offset}"));
        }
        current = epoch;
    }
    Ok(())
}

/// Each object goes to the bucket that the notes named for its lines when it was sealed.
fn buckets(env: &Env, partition: u32) -> Result<(), Violation> {
    let mut sum = Sum::default();
    for (offset, _, value) in env.notes.0[&partition].history() {
        if let (Ok(Note::Call(CallNote::Sealed(seal))), Some(state)) = (Note::decode(value), sum.state()) {
            let known = state.calls.location(&seal.batch.source, seal.first);
            let is_there = |until: Option<u64>| until.is_none_or(|until| seal.last < until);
            if known.is_none_or(|(to, until)| *to != seal.location || !is_there(until)) {
                return Err(format!("{} goes to another bucket", seal.object_key.as_str()));
            }
        }
        sum.takes(offset, value).unwrap();
    }
    Ok(())
}

/// The lines that follow from the log and the notes, by position. Frames that are no line are there too.
fn expected(env: &Env, partition: u32) -> BTreeMap<u64, Line> {
    let (mut ends, mut unread) = (Vec::new(), Vec::new());
    for (_, _, value) in env.notes.0[&partition].history() {
        match Note::decode(value).unwrap() {
            Note::Call(CallNote::DaysOver { through, from: Some(from) }) => ends.push((through, from)),
            Note::Unread(range) => unread.push(range),
            _ => {}
        }
    }
    let window = usize::try_from(env.plan.window).unwrap();
    let (mut before, mut highest, mut lines) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for (value, offset) in env.log[partition as usize].records.iter().zip(0_u64..) {
        let Some(block) = value.as_ref().and_then(|value| block::read(value).ok()) else { continue };
        // What retention deleted is named too, although an owner may have read it before.
        let may_be_read = env.log[partition as usize].lost;
        if !may_be_read && is_in(&unread, offset * 4_096 + 1) && is_in(&unread, offset * 4_096 + 4_095) {
            continue;
        }
        let known = highest.entry(block.collector).or_insert(0);
        let is_copy = block.number <= *known;
        *known = block.number.max(*known);
        let frames = block.requests.iter().flat_map(|request| &request.frames);
        for (found, position) in frames.zip(offset * 4_096 + 1..) {
            let Ok(frame) = &found.frame else { continue };
            let from: usize = before.len().saturating_sub(window);
            let is_repeat = frame.fingerprint != 0 && before[from..].contains(&frame.fingerprint);
            before.push(frame.fingerprint);
            let over = ends.iter().filter(|(_, from)| *from <= position).map(|(through, _)| *through).max();
            let mut text = String::from_utf8(frame.payload.to_vec()).unwrap();
            let mut day = frame.received_at.day();
            if let Some(over) = over.filter(|over| day <= *over) {
                text = text.replace(&rfc3339(frame.received_at), &rfc3339(over.end()));
                day = over.end().day();
            }
            let line = Line { text: text.into_bytes(), day, is_line: !is_copy && !is_repeat };
            lines.insert(position, line);
        }
    }
    lines
}

fn is_in(ranges: &[Range], position: u64) -> bool {
    ranges.iter().any(|range| (range.first..=range.last).contains(&position))
}

/// Every position that a note names as lost.
fn lost(env: &Env, partition: u32) -> Vec<Range> {
    let mut lost = Vec::new();
    for (_, _, value) in env.notes.0[&partition].history() {
        match Note::decode(value).unwrap() {
            Note::Unread(range) => lost.push(range),
            Note::Call(CallNote::Lost(of)) => lost.push(of.range()),
            _ => {}
        }
    }
    lost
}

/// Calls of which a note says that a copy is lost, or which a cut took away.
fn excused_calls(env: &Env, partition: u32, stopped: bool) -> BTreeSet<u64> {
    let log = &env.log[partition as usize];
    let lost = lost(env, partition);
    let mut excused = BTreeSet::new();
    for (value, offset) in log.records.iter().zip(0_u64..) {
        let Some(block) = value.as_ref().and_then(|value| block::read(value).ok()) else { continue };
        let frames = block.requests.iter().flat_map(|request| &request.frames);
        for (found, position) in frames.zip(offset * 4_096 + 1..) {
            if stopped || log.lost && is_in(&lost, position) {
                excused.extend(found.frame.ok().map(|frame| id_of(frame.payload)));
            }
        }
    }
    for value in &log.cut_away {
        let Ok(block) = block::read(value) else { continue };
        let frames = block.requests.iter().flat_map(|request| &request.frames);
        excused.extend(frames.filter_map(|found| found.frame.ok()).map(|frame| id_of(frame.payload)));
    }
    excused
}

/// The bucket has each line once, and no other.
fn lines(env: &Env, partition: u32, objects: &[&Object]) -> Result<(), Violation> {
    let expected = expected(env, partition);
    let is_lossy = env.log[partition as usize].lost;
    let mut found = BTreeSet::new();
    for object in objects {
        for (position, text) in &object.lines {
            let Some(line) = expected.get(position) else {
                return Err(format!("position {position} of partition {partition} is not in the log"));
            };
            if !found.insert(*position) {
                return Err(format!("position {position} of partition {partition} is stored twice"));
            }
            if line.text != *text || line.day != object.seal.batch.day {
                let [expected, text] = [&line.text, text].map(|text| String::from_utf8_lossy(text));
                return Err(format!("{position} of partition {partition}: {text} instead of {expected}"));
            }
            // What stood before the log's start cannot be known any more.
            if !line.is_line && !is_lossy && !env.log[partition as usize].is_short {
                return Err(format!("position {position} of partition {partition} should be left out"));
            }
        }
    }
    let lost = lost(env, partition);
    let missing: Vec<&u64> = expected
        .iter()
        .filter(|(position, line)| {
            line.is_line && !found.contains(*position) && !(is_lossy && is_in(&lost, **position))
        })
        .map(|(position, _)| position)
        .collect();
    // A lossy log may have left out what repeats a lost call.
    if !missing.is_empty() && !is_lossy {
        return Err(format!("lines of partition {partition} are missing: {missing:?}"));
    }
    if !is_lossy && !lost.iter().all(|range| is_garbage(env, partition, *range)) {
        return Err(format!("partition {partition} names as lost what was there: {lost:?}"));
    }
    Ok(())
}

/// Whether nothing that can be read stands at these positions.
fn is_garbage(env: &Env, partition: u32, range: Range) -> bool {
    let is_readable = |position: u64| {
        let (offset, index) = (position / 4_096, position % 4_096);
        let record = env.log[partition as usize].records.get(usize::try_from(offset).unwrap())?;
        let block = block::read(record.as_ref()?).ok()?;
        let mut frames = block.requests.iter().flat_map(|request| &request.frames);
        frames
            .nth(usize::try_from(index.checked_sub(1)?).unwrap())
            .filter(|found| found.frame.is_ok())
            .map(drop)
    };
    env.log[partition as usize].was_cut() || is_readable(range.first).is_none()
}

/// The lines of each object are those that its metadata names.
fn hashes(objects: &[&Object]) -> Result<(), Violation> {
    for object in objects {
        let mut hash = Sha256::new();
        for (_, line) in &object.lines {
            hash.update(line);
            hash.update(b"\n");
        }
        if hex::encode(hash.finalize()) != object.sha256 {
            return Err(format!("object {} has other lines", object.seal.object_key.as_str()));
        }
    }
    Ok(())
}

/// Each object names the one before it.
fn chain(objects: &[&Object]) -> Result<(), Violation> {
    let mut last: BTreeMap<(DayInBucket, Stream), u64> = BTreeMap::new();
    let mut in_order = objects.to_vec();
    in_order.sort_by_key(|object| object.seal.first);
    for object in in_order {
        let seal = &object.seal;
        let place = (DayInBucket::of(seal), seal.batch.stream.clone());
        let before = last.insert(place, seal.last);
        if object.previous_last != before || before.is_some_and(|before| before >= seal.first) {
            return Err(format!("the chain is broken at {}", seal.object_key.as_str()));
        }
    }
    Ok(())
}

/// A marker counts all objects of its day, and every day has one.
fn markers(env: &Env, partition: u32, objects: &[&Object]) -> Result<(), Violation> {
    let spool_id = env.identity(partition).spool_id();
    let mut days: BTreeMap<DayInBucket, BTreeMap<Stream, Vec<&Object>>> = BTreeMap::new();
    for object in objects {
        let streams = days.entry(DayInBucket::of(&object.seal)).or_default();
        streams.entry(object.seal.batch.stream.clone()).or_default().push(object);
    }
    let of_spool = |(_, marker): &(_, &ClosedMarker)| marker.spool == spool_id;
    let markers: Vec<_> = env.store.markers.iter().filter(of_spool).collect();
    for (place, streams) in &mut days {
        let marker = markers.iter().find(|((bucket, _), marker)| {
            (bucket, &marker.source, marker.day) == (&place.bucket, &place.source, place.day)
        });
        let Some((_, marker)) = marker else {
            if env.log[partition as usize].lost {
                continue;
            }
            return Err(format!("day {} of {} has no marker", place.day, place.source));
        };
        let mut sums = BTreeMap::new();
        for (stream, objects) in streams {
            objects.sort_by_key(|object| object.seal.first);
            let mut closing = Closing::default();
            for object in objects {
                closing.push(&place.bucket, &object.seal.object_key, &metadata(object));
            }
            sums.insert(stream.clone(), closing.sum().unwrap().clone());
        }
        if sums != marker.streams {
            return Err(format!(
                "the marker of {} on {} does not count its objects",
                place.source, place.day
            ));
        }
    }
    if markers.len() > days.len() { Err("a marker of a day without objects".to_owned()) } else { Ok(()) }
}

fn metadata(object: &Object) -> Metadata<'_> {
    Metadata {
        calls: object.seal.frames,
        first_received_at: object.seal.first_received_at,
        last_received_at: object.seal.last_received_at,
        node: "",
        first_position: object.seal.first,
        last_position: object.seal.last,
        bytes: object.seal.bytes,
        sha256: &object.sha256,
        previous_last_position: None,
        lost_calls: 0,
    }
}

/// The counts of the notes are even: what was received is stored or a repeat, and what was stored is delivered.
fn ledger(env: &Env, partition: u32) -> Result<(), Violation> {
    let report = truth(env, partition).calls.ledger_report();
    let expected = expected(env, partition);
    let lines = expected.values().filter(|line| line.is_line).count() as u64;
    let mut all = Row::default();
    report.accounts.iter().for_each(|account| all.add(&account.total));
    // A frame that cannot be read was received, and is nothing else.
    let is_even = (all.received == all.accounted() || env.plan.garbage)
        && [Stream::Calls, Stream::Rejected].iter().all(|stream| all.pending(stream) == Some(0));
    let stored = all.stored + all.rejected;
    let log = &env.log[partition as usize];
    // Repeats of what stood before the log's start may be lines.
    let is_whole = stored == lines || log.is_short && stored > lines;
    if is_even && is_whole || log.lost || log.was_cut() {
        return Ok(());
    }
    Err(format!("the ledger of partition {partition} has {all:?}, and there are {lines} lines"))
}
