//! What must hold after every schedule: the invariants I1 to I8.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use forebay::batch::AFTER_DAY;
use forebay::object::closed_marker::{ClosedMarker, ClosedStream, Closing, MarkerPlace};
use forebay::object::metadata::{Metadata, SHA256, rfc3339};
use forebay::object::{BucketString, ObjectKey, Stream};
use forebay::spool::closing::DayStage;
use forebay::spool::ident::Ident;
use forebay::spool::ledger::{Hour, Row};
use forebay::spool::manifest::{self, Manifest};
use forebay::spool::note::{Note, PendingSeal};
use forebay::spool::{Disk, Outlet, SPARES_MAX};
use forebay::store::fake::FakeObject;
use sha2::{Digest as _, Sha256};

use super::clients::{Copy, Line};
use super::process::Process;
use super::world::{Violation, World};

/// What an object's key says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Folder {
    /// Bucket and prefix.
    bucket: String,
    stream: Stream,
    source: String,
    day: i64,
}

/// An object, read.
struct Stored {
    key: String,
    metadata: BTreeMap<String, String>,
    first: u64,
    last: u64,
    previous: Option<u64>,
    copies: Vec<usize>,
}

/// The ledger's two sides meet, at every instant.
pub(super) fn ledger(outlet: &Outlet) -> Result<(), Violation> {
    match outlet.ledger_differences().first() {
        Some(difference) => Err(format!("the ledger does not balance: {difference}")),
        None => Ok(()),
    }
}

/// I8 and the end of I1: everything is delivered, and the space is free again.
pub(super) fn at_rest(world: &mut World, process: &mut Process) -> Result<(), Violation> {
    for _ in 0..3 {
        world.keep(process)?;
    }
    let outlet = process.spool.outlet();
    let left = (outlet.open_batches().len(), outlet.pending_seals().len(), outlet.batches_in_use());
    if left != (0, 0, 0) {
        return Err(format!("I8: open batches, pending seals, batches in use: {left:?}"));
    }
    ledger(outlet)?;
    let pending = |row: &Row| [Stream::Calls, Stream::Rejected].map(|stream| row.pending(stream));
    if let Some((source, row)) =
        outlet.ledger_summary().0.iter().find(|(_, row)| pending(row) != [Some(0); 2])
    {
        return Err(format!("the ledger has something pending of {source}, and nothing is: {row:?}"));
    }
    let usage = outlet.usage();
    if usage.parked > 0 || usage.segments > 2 || outlet.is_full() {
        return Err(format!("I8: the space is not free again: {usage:?}"));
    }
    let files = |dir: &str| world.disk.list(dir).unwrap().into_iter().map(|(name, _)| name);
    let left: Vec<String> = files("parked").chain(files("staging")).collect();
    if !left.is_empty() {
        return Err(format!("I8: files that nothing needs: {left:?}"));
    }
    let count = |before: &str| files("").filter(|name| name.starts_with(before)).count();
    let counts = (count("wal-"), count("spare-"), count("MANIFEST-"));
    if counts.0 > 4 || counts.1 > SPARES_MAX || counts.2 != 1 || files("").any(|name| name.ends_with(".tmp"))
    {
        return Err(format!("I8: files that nothing needs: {:?}", files("").collect::<Vec<_>>()));
    }
    Ok(())
}

/// The clock goes on past midnight, and each day is closed of which everything is known.
pub(super) async fn days_close(world: &mut World, process: &mut Process) -> Result<(), Violation> {
    if let Some(((last, _), _)) = process.spool.outlet().unclosed_days().last_key_value() {
        world.clock.set(last.end().plus(AFTER_DAY));
    }
    for _ in 0..200 {
        world.keep(process)?;
        let outlet = process.spool.outlet();
        let unclosed = outlet.unclosed_days();
        if unclosed.values().all(|stage| *stage == DayStage::Unsure) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let unclosed = process.spool.outlet().unclosed_days();
    Err(format!("I8: days are not closed though the store takes everything: {unclosed:?}"))
}

/// A person decides about every object whose key is taken: whoever has put another there takes it away or gives it up; in
/// place of one of ours comes what is left.
pub(super) fn resolve(world: &mut World) -> Result<(), Violation> {
    let disk: Arc<dyn Disk> = Arc::new(world.disk.clone());
    let ident = Ident::read(&*disk).ok().flatten().ok_or("the spool has no identity")?;
    let read = manifest::read_newest(&*disk, &ident.spool_id).map_err(|error| error.to_string())?;
    let (number, mut state) = read.ok_or("the spool has no manifest")?;
    let conflicts: Vec<PendingSeal> =
        state.seals.values().filter(|pending| pending.conflict).cloned().collect();
    for pending in conflicts {
        state.apply(decide(world, &pending)?);
    }
    let bytes = world.plan.options.manifest_bytes;
    Manifest::begin_of(disk, ident.spool_id, number + 1, state, bytes)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn decide(world: &mut World, pending: &PendingSeal) -> Result<Note, Violation> {
    let seal = &pending.seal;
    let (number, bucket, key) = (seal.number, seal.destination.bucket.bucket(), seal.object_key.as_str());
    if world.store.foreign().contains(&(bucket.to_owned(), key.to_owned())) {
        let overwrite = world.dice.chance(500);
        if overwrite {
            world.trace.count("a person gives up what is not ours");
            world.store.allow_replacing(bucket, key);
        } else {
            world.trace.count("a person takes away what is not ours");
            world.store.take_foreign_away(bucket, key);
        }
        return Ok(Note::Retry { number, overwrite });
    }
    if !world.plan.flips {
        return Err("I2: another object has the key of ours, and nobody else writes there".to_owned());
    }
    // Where notes rotted, more may stand there than is left.
    let left = pending.amended.as_ref().map_or(seal.frames, |amended| amended.frames);
    let keeps = |there: FakeObject| {
        let whole = there.metadata.get(SHA256) == Some(&seal.sha256);
        let calls = there.metadata.get("forebay-calls").and_then(|calls| calls.parse::<u64>().ok());
        whole || calls.is_some_and(|calls| calls > left)
    };
    if world.store.fake.object(bucket, key).is_some_and(keeps) {
        world.trace.count("a person keeps the whole that is there");
        return Ok(Note::Committed { number, applied: None, seal: None, amended: None });
    }
    world.store.allow_replacing(bucket, key);
    world.trace.count("a person decides for what is left");
    Ok(Note::Retry { number, overwrite: true })
}

/// I1 to I5 and I7, from what was sent and answered, and from what the bucket holds.
pub(super) fn bucket(world: &World) -> Result<(), Violation> {
    let mut folders: BTreeMap<Folder, Vec<Stored>> = BTreeMap::new();
    let mut delivered: BTreeMap<usize, String> = BTreeMap::new();
    let foreign = world.store.foreign();
    let ours = world.store.fake.keys().into_iter().filter(|place| !foreign.contains(place));
    let (markers, keys): (Vec<_>, Vec<_>) = ours.partition(|(_, key)| key.contains("segment-logs/_closed/"));
    for (bucket, key) in keys {
        let object = world.store.fake.object(&bucket, &key).ok_or("it was listed")?;
        let (folder, stored) = read(world, &bucket, &key, &object)?;
        for copy in &stored.copies {
            if let Some(other) = delivered.insert(*copy, key.clone()) {
                if world.damage.manifest_rotted {
                    // The one case: the note that a range was sealed is gone, and so is its first frame.
                    world.trace.count("a call doubled behind a note that rotted");
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
    counted(world, delivered.keys())?;
    if world.plan.remembers_all() {
        let twice = copies_of.values().find(|copies| {
            let of_calls =
                |copy: &usize| world.clients.copy(*copy).is_some_and(|copy| copy.stream == Stream::Calls);
            copies.len() > 1 && copies.iter().all(of_calls)
        });
        if let Some(copies) = twice {
            return Err(format!("a call that was sent again is stored again: copies {copies:?}"));
        }
    }
    Ok(())
}

/// What the manifest's ledger counts as delivered is what the bucket holds.
fn counted<'a>(world: &World, delivered: impl Iterator<Item = &'a usize>) -> Result<(), Violation> {
    let mut there: BTreeMap<(&str, Stream, Hour), u64> = BTreeMap::new();
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
    for source in state.ledger.report(None).sources {
        let name = source.source.as_str();
        for stream in [Stream::Calls, Stream::Rejected] {
            let (_, delivered, gone) = source.total.of(stream);
            said.insert((name.to_owned(), stream), delivered);
            lost.insert((name.to_owned(), stream), gone);
            for (hour, row) in &source.hours {
                let lines = there.get(&(name, stream, *hour)).copied().unwrap_or(0);
                // Where damage took frames whose hours are not known the others take their place; of an hour that was
                // folded the row holds what came later.
                let exact = !world.plan.flips && source.earlier.is_zero();
                let delivered = row.of(stream).1;
                if (exact && delivered != lines) || (!world.plan.flips && delivered > lines) {
                    return Err(format!(
                        "the ledger counts {delivered} delivered of {name} in {hour:?}, and {lines} are there"
                    ));
                }
            }
        }
    }
    let mut totals: BTreeMap<(String, Stream), u64> = BTreeMap::new();
    there.iter().for_each(|((source, stream, _), lines)| {
        *totals.entry(((*source).to_owned(), *stream)).or_default() += lines;
    });
    // What was taken for lost may be there all the same: a slow put of the whole arrives after the one of what was left.
    // And what no note tells of any more, because it rotted, may be there without a count.
    let agrees = |(key, delivered): (&(String, Stream), &u64)| {
        let lines = totals.get(key).copied().unwrap_or(0);
        let uncounted = if world.damage.manifest_rotted { u64::MAX } else { lost[key] };
        (*delivered..=delivered.saturating_add(uncounted)).contains(&lines)
    };
    let agree = totals.keys().all(|key| said.contains_key(key)) && said.iter().all(agrees);
    if !agree && !world.is_replaced_unknown() {
        return Err(format!("the ledger counts {said:?} delivered, and the bucket holds {totals:?}"));
    }
    Ok(())
}

/// I1 and I7: what was answered is there, or what is missing was damaged, and that was named.
fn missing(world: &World, copies_of: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
    for message in world.clients.answered_messages() {
        if copies_of.contains_key(&message) {
            continue;
        }
        if world.is_replaced_unknown() {
            world.trace.count("a call replaced behind a note that rotted");
            continue;
        }
        if !world.clients.copies_of(message).into_iter().any(|copy| world.damage.excuses(copy)) {
            let copies = world.clients.copies_of(message);
            return Err(format!(
                "I1: message {message} was answered and is in no object: copies {copies:?}, {:?}",
                world.damage
            ));
        }
        world.trace.count("a call lost, and named");
    }
    Ok(())
}

/// Reads an object and holds it against its key and its metadata.
fn read(world: &World, bucket: &str, key: &str, object: &FakeObject) -> Result<(Folder, Stored), Violation> {
    let folder = folder(bucket, key).ok_or_else(|| format!("I4: no key of ours: {key}"))?;
    let mut text = String::new();
    let unpacked = flate2::read::GzDecoder::new(&object.bytes[..]).read_to_string(&mut text);
    unpacked.map_err(|error| format!("I5: {key}: {error}"))?;
    let (mut copies, mut times) = (Vec::new(), BTreeSet::new());
    for line in text.lines() {
        let line: Line = serde_json::from_str(line).map_err(|error| format!("I5: {key}: {error}: {line}"))?;
        let copy = world.clients.copy(line.copy).filter(|copy| copy.message == line.message);
        let copy = copy.ok_or_else(|| format!("I5: {key} holds what nobody sent: {line:?}"))?;
        let source = world.clients.sources[copy.source].as_str();
        if (source, copy.stream) != (folder.source.as_str(), folder.stream) {
            return Err(format!("I4: {key} holds a line of {source}, {:?}", copy.stream));
        }
        if copy.received_at.day().start().0 != folder.day {
            return Err(format!("I4: {key} holds a line received at {}", copy.received_at.0));
        }
        let places = &world.destinations[copy.source];
        if !places.iter().any(|place| place.bucket.to_string() == folder.bucket) {
            return Err(format!("I4: {source} never went to {}", folder.bucket));
        }
        if copies.last().is_some_and(|before| *before >= line.copy) {
            return Err(format!("I3: {key}: copy {} stands behind {:?}", line.copy, copies.last()));
        }
        copies.push(line.copy);
        times.insert(copy.received_at);
    }
    let said = |name: &str| object.metadata.get(name).map(String::as_str);
    let sha256: String = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = [
        ("forebay-calls", copies.len().to_string()),
        ("forebay-bytes", text.len().to_string()),
        (SHA256, sha256),
    ];
    for (name, expected) in expected {
        if said(name) != Some(&expected) {
            return Err(format!("I5: {key}: {name} is {:?}, and it should be {expected}", said(name)));
        }
    }
    // What is left of a sealed range that was damaged keeps the times of the whole.
    let spans = [("forebay-first-received-at", times.first()), ("forebay-last-received-at", times.last())];
    for (name, time) in spans.into_iter().filter(|_| !world.plan.flips) {
        if said(name) != time.map(|time| rfc3339(*time)).as_deref() {
            return Err(format!("I5: {key}: {name} is {:?}, and the lines say {time:?}", said(name)));
        }
    }
    let number = |name: &str| said(name).and_then(|text| text.parse::<u64>().ok());
    let stored = Stored {
        key: key.to_owned(),
        metadata: object.metadata.clone(),
        first: number("forebay-first-position").ok_or_else(|| format!("I5: {key} has no first position"))?,
        last: number("forebay-last-position").ok_or_else(|| format!("I5: {key} has no last position"))?,
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
    let (stream, rest) = match rest.strip_prefix("_rejected/") {
        Some(rest) => (Stream::Rejected, rest),
        None => (Stream::Calls, rest),
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

/// A marker names just what is there in the end: it came after the last object of its day, and no object came after it.
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
    let place = MarkerPlace::of(&of, key).ok_or_else(|| format!("I4: no key of ours: {key}"))?;
    let marker = ClosedMarker::read(&place, &object.bytes).map_err(|error| format!("I5: {key}: {error}"))?;
    for stream in [Stream::Calls, Stream::Rejected] {
        let folder = Folder {
            bucket: of.to_string(),
            stream,
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
            // The note of a seal that nobody can tell from a torn one, and its first frame: a late put of it is one too many.
            let objects = |closed: Option<&ClosedStream>| closed.map_or(0, |closed| closed.objects);
            let more = objects(closing.sum()) > objects(marker.streams.get(&stream));
            if world.is_replaced_unknown() || (world.damage.manifest_rotted && more) {
                world.trace.count("a closed day that has more behind a note that rotted");
                continue;
            }
            return Err(format!(
                "a day was closed and is another: {key} says {:?} of {stream:?}, and there is {:?}",
                marker.streams.get(&stream),
                closing.sum()
            ));
        }
    }
    Ok(())
}

/// The objects of a folder hold ranges that do not overlap, and each names the end of the one before it.
fn chain(world: &World, folder: &Folder, objects: &[Stored]) -> Result<(), Violation> {
    let mut before: Option<&Stored> = None;
    for object in objects {
        if object.first > object.last || before.is_some_and(|before| object.first <= before.last) {
            return Err(format!("I2: {} overlaps {:?}", object.key, before.map(|before| &before.key)));
        }
        let previous = before.map(|before| before.last);
        // A day with a hole is forgotten when it is long past, and a clock may go back behind that.
        let forgotten = object.previous.is_none() && world.plan.clock_steps && world.plan.flips;
        if object.previous != previous && !forgotten {
            return Err(format!(
                "I7: {} in {folder:?} names {:?} before it, and there is {previous:?}",
                object.key, object.previous
            ));
        }
        before = Some(object);
    }
    Ok(())
}
