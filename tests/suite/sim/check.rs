//! The invariants I1 to I8, which must hold after every schedule.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use forebay::batch::AFTER_DAY;
use forebay::disk::Disk;
use forebay::log::notes::CallNote;
use forebay::log::{DayStage, Hour, Log, PendingSeal, Removed, Row};
use forebay::object::closed_marker::{ClosedMarker, ClosedStream, Closing, ParsedMarkerKey};
use forebay::object::metadata::{Metadata, SHA256};
use forebay::object::{BucketString, ObjectKey, Stream};
use forebay::spool::SPARES_MAX;
use forebay::spool::format::Ident;
use forebay::spool::manifest::{self, Manifest};
use forebay::store::fake::FakeObject;
use forebay::words::rfc3339;
use sha2::{Digest as _, Sha256};

use super::clients::{COLLECTIONS, Copy, Line, objects_of};
use super::functions::NAMES;
use super::letters::Letters;
use super::process::Process;
use super::world::{Violation, World};

/// The parts of an object's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    /// Bucket and prefix.
    bucket: String,
    stream: Stream,
    source: String,
    day: i64,
}

/// An object's contents and metadata.
struct Stored {
    key: String,
    metadata: BTreeMap<String, String>,
    first: u64,
    last: u64,
    previous: Option<u64>,
    copies: Vec<usize>,
}

/// The two sides of the ledger must agree at every instant.
pub(super) fn ledger(log: &dyn Log) -> Result<(), Violation> {
    match log.ledger_differences().first() {
        Some(difference) => Err(format!("the ledger does not balance: {difference}")),
        None => Ok(()),
    }
}

/// I8 and the end of I1: everything is delivered, and its space is free again.
pub(super) fn at_rest(world: &mut World, process: &mut Process) -> Result<(), Violation> {
    for _ in 0..3 {
        world.keep(process)?;
    }
    let log = process.spool.log();
    let left = (log.open_batches().len(), log.pending_seals().len(), log.usage().batches);
    if left != (0, 0, 0) {
        return Err(format!("I8: open batches, pending seals, batches in use: {left:?}"));
    }
    ledger(&*log)?;
    let pending = |row: &Row| [Stream::Calls, Stream::Rejected].map(|stream| row.pending(&stream));
    if let Some((source, row)) = log.ledger_summary().0.iter().find(|(_, row)| pending(row) != [Some(0); 2]) {
        return Err(format!("the ledger has frames of {source} pending, but none are: {row:?}"));
    }
    let usage = log.usage();
    if usage.parked > 0 || usage.segments > 2 || usage.is_full {
        return Err(format!("I8: the space is not free again: {usage:?}"));
    }
    let files = |dir: &str| world.disk.list(dir).unwrap().into_iter().map(|(name, _)| name);
    let left: Vec<String> = files("parked").chain(files("staging")).collect();
    if !left.is_empty() {
        return Err(format!("I8: files that are not needed: {left:?}"));
    }
    let count = |before: &str| files("").filter(|name| name.starts_with(before)).count();
    let counts = (count("wal-"), count("spare-"), count("MANIFEST-"));
    if counts.0 > 4 || counts.1 > SPARES_MAX || counts.2 != 1 || files("").any(|name| name.ends_with(".tmp"))
    {
        return Err(format!("I8: files that are not needed: {:?}", files("").collect::<Vec<_>>()));
    }
    Ok(())
}

/// Moves the clock past midnight. Every day must then be closed, unless it is unsure.
pub(super) async fn days_close(world: &mut World, process: &mut Process) -> Result<(), Violation> {
    if let Some(((last, _), _)) = process.spool.log().unclosed_days().last_key_value() {
        world.clock.set(last.end().plus(AFTER_DAY));
    }
    for _ in 0..200 {
        world.keep(process)?;
        let log = process.spool.log();
        let unclosed = log.unclosed_days();
        if unclosed.values().all(|stage| *stage == DayStage::Unsure) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let unclosed = process.spool.log().unclosed_days();
    Err(format!("I8: days are not closed although the store accepts everything: {unclosed:?}"))
}

/// Plays the person who decides about every object whose key is taken. A foreign object is removed or
/// overwritten. One of ours is overwritten by what is left, unless it is more complete.
pub(super) fn resolve(world: &mut World) -> Result<(), Violation> {
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let ident = Ident::read(&*disk).ok().flatten().ok_or("the spool has no identity")?;
    let read = manifest::read_newest(&*disk, &ident.spool_id).map_err(|error| error.to_string())?;
    let (number, mut state) = read.ok_or("the spool has no manifest")?;
    let conflicts: Vec<PendingSeal> =
        state.calls.seals.values().filter(|pending| pending.conflict).cloned().collect();
    for pending in conflicts {
        state.apply(decide(world, &pending)?);
    }
    let bytes = world.plan.options.manifest_bytes;
    Manifest::begin(disk, ident.spool_id, number + 1, state, bytes)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn decide(world: &mut World, pending: &PendingSeal) -> Result<CallNote, Violation> {
    let seal = &pending.seal;
    let (number, bucket, key) = (seal.number, seal.location.bucket.bucket(), seal.object_key.as_str());
    if world.store.foreign().contains(&(bucket.to_owned(), key.to_owned())) {
        let overwrite = world.dice.chance(500);
        if overwrite {
            world.trace.count("a foreign object overwritten on request");
            world.store.allow_replacing(bucket, key);
        } else {
            world.trace.count("a foreign object removed");
            world.store.take_foreign_away(bucket, key);
        }
        return Ok(CallNote::Retry { number, overwrite, aside: false });
    }
    if !world.plan.flips {
        return Err("I2: another object has our key, but no one else writes there".to_owned());
    }
    // If notes rotted, the store's object may hold more than is left.
    let left = pending.amended.as_ref().map_or(seal.frames, |amended| amended.frames);
    let keeps = |there: FakeObject| {
        let whole = there.metadata.get(SHA256) == Some(&seal.sha256);
        let number = |name: &str| there.metadata.get(name).and_then(|text| text.parse::<u64>().ok());
        // If it ends before ours, keeping it would lose calls that are left; what it has more is named as
        // lost.
        let spans = number("forebay-last-position").is_some_and(|last| last >= seal.last);
        whole || (spans && number("forebay-calls").is_some_and(|calls| calls > left))
    };
    if world.store.fake.object(bucket, key).is_some_and(keeps) {
        world.trace.count("a more complete object kept on request");
        return Ok(CallNote::Committed { number, applied: None, seal: None, amended: None });
    }
    world.store.allow_replacing(bucket, key);
    world.trace.count("a damaged object replaced on request");
    Ok(CallNote::Retry { number, overwrite: true, aside: false })
}

/// Checks I1 to I5 and I7 by comparing the calls sent and answered with the contents of the bucket.
pub(super) fn bucket(world: &World) -> Result<(), Violation> {
    let mut folders: BTreeMap<Folder, Vec<Stored>> = BTreeMap::new();
    let mut delivered: BTreeMap<usize, String> = BTreeMap::new();
    let mut letters = Letters::of(world);
    let foreign = world.store.foreign();
    let ours = world.store.fake.keys().into_iter().filter(|place| !foreign.contains(place));
    let (markers, keys): (Vec<_>, Vec<_>) = ours.partition(|(_, key)| key.contains("segment-logs/_closed/"));
    for (bucket, key) in keys {
        let object = world.store.fake.object(&bucket, &key).ok_or("it was listed")?;
        let (folder, stored) = read(world, (&bucket, &key), &object, &mut letters)?;
        for copy in &stored.copies {
            if let Some(other) = delivered.insert(*copy, key.clone()) {
                if world.damage.manifest_rotted {
                    // This is possible only if the note of the seal is lost, and its first frame too.
                    world.trace.count("a call doubled after a note rotted");
                    continue;
                }
                return Err(format!("I2: copy {copy} is in {other} and in {key}"));
            }
        }
        folders.entry(folder).or_default().push(stored);
    }
    for (folder, objects) in &mut folders {
        objects.sort_by_key(|object| object.first);
        chain(world, folder, objects)
            .or_else(|error| if world.damage.manifest_rotted { Ok(()) } else { Err(error) })?;
    }
    for (bucket, key) in markers {
        let object = world.store.fake.object(&bucket, &key).ok_or("it was listed")?;
        marker(world, &bucket, &key, &object, &folders)?;
    }
    let mut copies_of: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for copy in delivered.keys() {
        let Copy { message, .. } = world.clients.copy(*copy).ok_or("it was read")?;
        copies_of.entry(message).or_default().push(*copy);
    }
    missing(world, &copies_of)?;
    world.check_imports(&copies_of)?;
    world.check_bucket_import(&copies_of)?;
    letters.missing(world)?;
    counted(world, delivered.keys(), &letters)?;
    if world.plan.remembers_all() {
        let twice = copies_of.values().find(|copies| {
            let of_calls =
                |copy: &usize| world.clients.copy(*copy).is_some_and(|copy| copy.stream == Stream::Calls);
            copies.len() > 1 && copies.iter().all(of_calls)
        });
        if let Some(copies) = twice {
            return Err(format!("a repeated call is stored twice: copies {copies:?}"));
        }
    }
    Ok(())
}

/// The manifest's ledger must count exactly the delivered lines of the bucket.
fn counted<'a>(
    world: &World,
    delivered: impl Iterator<Item = &'a usize>,
    letters: &Letters,
) -> Result<(), Violation> {
    let mut there = letters.counts();
    for copy in delivered {
        let copy = world.clients.copy(*copy).ok_or("it was read")?;
        let source = world.clients.sources[copy.source].as_str();
        *there.entry((source, copy.stream, Hour::of(copy.received_at))).or_default() += 1;
    }
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let ident = Ident::read(&*disk).ok().flatten().ok_or("the spool has no identity")?;
    let read = manifest::read_newest(&*disk, &ident.spool_id).map_err(|error| error.to_string())?;
    let (_, state) = read.ok_or("the spool has no manifest")?;
    let mut said: BTreeMap<(String, Stream), u64> = BTreeMap::new();
    let mut lost: BTreeMap<(String, Stream), u64> = BTreeMap::new();
    let report = state.calls.ledger_report();
    for source in report.accounts {
        let name = source.account.source.as_str();
        for stream in source.account.streams() {
            let (_, delivered, gone) = source.total.of(&stream);
            said.insert((name.to_owned(), stream.clone()), delivered);
            lost.insert((name.to_owned(), stream.clone()), gone);
            for (hour, row) in &source.hours {
                let lines = there.get(&(name, stream.clone(), *hour)).copied().unwrap_or(0);
                // If damage hid the hours of some frames, other hours are charged for them. If an hour was
                // folded, its row holds only later counts.
                let exact = !world.plan.flips && source.earlier.is_zero() && report.removed.is_none();
                let delivered = row.of(&stream).1;
                if (exact && delivered != lines) || (!world.plan.flips && delivered > lines) {
                    return Err(format!(
                        "the ledger counts {delivered} lines of {name} as delivered in {hour:?}, but there \
                         are {lines}"
                    ));
                }
            }
        }
    }
    let mut totals: BTreeMap<(String, Stream), u64> = BTreeMap::new();
    there.iter().for_each(|((source, stream, _), lines)| {
        *totals.entry(((*source).to_owned(), stream.clone())).or_default() += lines;
    });
    // What forgotten sources had is counted for all of them together.
    if !report.removed.is_none() {
        sum_up(&mut said);
        sum_up(&mut lost);
        sum_up(&mut totals);
        for (stream, delivered, gone) in of_removed(&report.removed) {
            *said.entry((String::new(), stream.clone())).or_default() += delivered;
            *lost.entry((String::new(), stream)).or_default() += gone;
        }
    }
    // Lines counted as lost may still be there: a late put of the whole object may arrive after the put of
    // what was left. Lines whose notes all rotted may be there without a count.
    let agrees = |(key, delivered): (&(String, Stream), &u64)| {
        let lines = totals.get(key).copied().unwrap_or(0);
        let uncounted = if world.damage.manifest_rotted { u64::MAX } else { lost[key] };
        (*delivered..=delivered.saturating_add(uncounted)).contains(&lines)
    };
    let agree = totals.keys().all(|key| said.contains_key(key)) && said.iter().all(agrees);
    if !agree && !world.is_replaced_unknown() {
        return Err(format!("the ledger counts {said:?} as delivered, but the bucket holds {totals:?}"));
    }
    Ok(())
}

/// What forgotten sources had, by stream; object sets of all collections together.
fn of_removed(removed: &Removed) -> Vec<(Stream, u64, u64)> {
    let mut all = Vec::new();
    let mut add = |stream: Stream, row: &Row| {
        let (_, delivered, lost) = row.of(&stream);
        all.push((stream, delivered, lost));
    };
    add(Stream::Calls, &removed.calls);
    add(Stream::Rejected, &removed.calls);
    add(any_collection(), &removed.objects);
    removed.dead.iter().for_each(|(destination, row)| add(Stream::Dead(destination.clone()), row));
    all
}

fn any_collection() -> Stream {
    "objects/any".parse().unwrap()
}

/// Adds up the lines of all sources and of all collections.
fn sum_up(lines: &mut BTreeMap<(String, Stream), u64>) {
    for ((_, stream), count) in std::mem::take(lines) {
        let stream = if matches!(stream, Stream::Objects(_)) { any_collection() } else { stream };
        *lines.entry((String::new(), stream)).or_default() += count;
    }
}

/// I1 and I7: every answered call is in the bucket, or it was damaged and named as lost.
fn missing(world: &World, copies_of: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
    for message in world.clients.answered_messages() {
        if copies_of.contains_key(&message) {
            continue;
        }
        if world.is_replaced_unknown() {
            world.trace.count("a call replaced after a note rotted");
            continue;
        }
        if !world.clients.copies_of(message).into_iter().any(|copy| world.damage.excuses(copy)) {
            let copies = world.clients.copies_of(message);
            return Err(format!(
                "I1: message {message} was answered but is in no object: copies {copies:?}, {:?}",
                world.damage
            ));
        }
        world.trace.count("a lost call named");
    }
    Ok(())
}

/// Reads an object and checks it against its key and metadata.
fn read(
    world: &World,
    (bucket, key): (&str, &str),
    object: &FakeObject,
    letters: &mut Letters,
) -> Result<(Folder, Stored), Violation> {
    let folder = folder(bucket, key).ok_or_else(|| format!("I4: not one of our keys: {key}"))?;
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(&object.bytes[..]).read_to_string(&mut text);
    unpacked.map_err(|error| format!("I5: {key}: {error}"))?;
    let said = |name: &str| object.metadata.get(name).map(String::as_str);
    let number = |name: &str| said(name).and_then(|text| text.parse::<u64>().ok());
    let first = number("forebay-first-position").ok_or_else(|| format!("I5: {key} has no first position"))?;
    let last = number("forebay-last-position").ok_or_else(|| format!("I5: {key} has no last position"))?;
    let (mut copies, mut times, mut before) = (Vec::new(), BTreeSet::new(), 0);
    let of_letters = matches!(folder.stream, Stream::Dead(_));
    if of_letters {
        let of = (&*folder.source, &folder.stream);
        times = letters.find(world, (key, &text), of, (first, last))?;
    }
    for line in text.lines().filter(|_| !of_letters) {
        let line = Line::read(line.as_bytes()).map_err(|error| format!("I5: {key}: {error}: {line}"))?;
        let copy = world.clients.copy(line.copy).filter(|copy| copy.message == line.message);
        let copy = copy.ok_or_else(|| format!("I5: {key} holds a line that was never sent: {line:?}"))?;
        let source = world.clients.sources[copy.source].as_str();
        if (source, &copy.stream) != (folder.source.as_str(), &folder.stream) {
            return Err(format!("I4: {key} holds a line of {source}, {:?}", copy.stream));
        }
        if copy.received_at.day().start().0 != folder.day {
            return Err(format!("I4: {key} holds a line received at {}", copy.received_at.0));
        }
        let places = &world.locations[copy.source];
        if !places.iter().any(|place| place.bucket.to_string() == folder.bucket) {
            return Err(format!("I4: {source} never went to {}", folder.bucket));
        }
        if before >= copy.order {
            return Err(format!("I3: {key}: copy {} comes after {:?}", line.copy, copies.last()));
        }
        before = copy.order;
        copies.push(line.copy);
        times.insert(copy.received_at);
    }
    let sha256: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        ("forebay-calls", text.lines().count().to_string()),
        ("forebay-bytes", text.len().to_string()),
        (SHA256, sha256),
    ];
    for (name, expected) in expected {
        if said(name) != Some(&expected) {
            return Err(format!("I5: {key}: {name} is {:?} instead of {expected}", said(name)));
        }
    }
    // The rest of a damaged sealed range keeps the times of the whole range.
    let spans = [("forebay-first-received-at", times.first()), ("forebay-last-received-at", times.last())];
    for (name, time) in spans.into_iter().filter(|_| !world.plan.flips) {
        if said(name) != time.map(|time| rfc3339(*time)).as_deref() {
            return Err(format!("I5: {key}: {name} is {:?}, but by the lines it is {time:?}", said(name)));
        }
    }
    let stored = Stored {
        key: key.to_owned(),
        metadata: object.metadata.clone(),
        first,
        last,
        previous: number("forebay-previous-last-position"),
        copies,
    };
    Ok((folder, stored))
}

fn folder(bucket: &str, key: &str) -> Option<Folder> {
    let (prefix, rest) = match key.split_once("/segment-logs/") {
        Some((prefix, rest)) => (format!("/{prefix}"), rest),
        None => (String::new(), key.strip_prefix("segment-logs/")?),
    };
    let named = |folder: &str, kind: &str| -> Option<(Stream, &str)> {
        let (name, rest) = rest.strip_prefix(folder)?.split_once('/')?;
        Some((format!("{kind}/{name}").parse().ok()?, rest))
    };
    let (stream, rest) = match rest.strip_prefix("_rejected/") {
        Some(rest) => (Stream::Rejected, rest),
        None => {
            named("_objects/", "objects").or_else(|| named("_dlq/", "dead")).unwrap_or((Stream::Calls, rest))
        }
    };
    let mut parts = rest.split('/');
    let (source, day, name) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.next().is_none() && name.ends_with(".gz")).then_some(())?;
    Some(Folder {
        bucket: format!("{bucket}{prefix}"),
        stream,
        source: source.to_owned(),
        day: day.parse().ok()?,
    })
}

/// A marker must name exactly the objects of its day that exist in the end: it was put after the last of
/// them, and none followed.
fn marker(
    world: &World,
    bucket: &str,
    key: &str,
    object: &FakeObject,
    folders: &BTreeMap<Folder, Vec<Stored>>,
) -> Result<(), Violation> {
    world.trace.count("a day closed");
    let prefix = key.split_once("/segment-logs/").map_or(String::new(), |(prefix, _)| format!("/{prefix}"));
    let of = BucketString::parse(&format!("{bucket}{prefix}")).map_err(|error| error.to_string())?;
    let place = ParsedMarkerKey::of(&of, key).ok_or_else(|| format!("I4: not one of our keys: {key}"))?;
    let marker = ClosedMarker::read(&place, &object.bytes).map_err(|error| format!("I5: {key}: {error}"))?;
    let dead = NAMES.map(|name| format!("dead/{name}").parse().unwrap());
    for stream in [Stream::Calls, Stream::Rejected].into_iter().chain(COLLECTIONS.map(objects_of)).chain(dead)
    {
        let folder = Folder {
            bucket: of.to_string(),
            stream: stream.clone(),
            source: place.source.to_string(),
            day: place.day.start().0,
        };
        let mut closing = Closing::default();
        for object in folders.get(&folder).into_iter().flatten() {
            let metadata =
                Metadata::read(&object.metadata).map_err(|error| format!("I5: {}: {error}", object.key))?;
            closing.push(&of, &ObjectKey::listed(&object.key), &metadata);
        }
        if marker.streams.get(&stream) != closing.sum() {
            // A late put may add an object if the note of its seal rotted and looks torn, and its first frame
            // is lost.
            let objects = |closed: Option<&ClosedStream>| closed.map_or(0, |closed| closed.objects);
            let more = objects(closing.sum()) > objects(marker.streams.get(&stream));
            if world.is_replaced_unknown() || (world.damage.manifest_rotted && more) {
                world.trace.count("a closed day with more objects after a note rotted");
                continue;
            }
            return Err(format!(
                "a closed day changed: {key} states {:?} for {stream:?}, but there is {:?}",
                marker.streams.get(&stream),
                closing.sum()
            ));
        }
    }
    Ok(())
}

/// The objects of a folder must hold ranges that do not overlap, and each must name the end of the previous
/// one.
fn chain(world: &World, folder: &Folder, objects: &[Stored]) -> Result<(), Violation> {
    let mut before: Option<&Stored> = None;
    for object in objects {
        if object.first > object.last || before.is_some_and(|before| object.first <= before.last) {
            return Err(format!("I2: {} overlaps {:?}", object.key, before.map(|before| &before.key)));
        }
        let previous = before.map(|before| before.last);
        // A day with losses is forgotten when it is long past, and the clock may go back to that time.
        let forgotten = object.previous.is_none() && world.plan.clock_steps && world.plan.flips;
        if object.previous != previous && !forgotten {
            return Err(format!(
                "I7: {} in {folder:?} names {:?} as its predecessor, but that is {previous:?}",
                object.key, object.previous
            ));
        }
        before = Some(object);
    }
    Ok(())
}
