//! The manifest: notes built from choices or parsed from JSON, with correct checksums, and then damaged.
//!
//! - Notes in any order never cause a panic, and neither does using the state that they make.
//! - A note is read back as it was written, and so is the state that all of them make.
//! - A manifest cut anywhere gives the state of its whole notes. Damage is reported if notes follow it.

use forebay::batch::BatchKey;
use forebay::log::notes::{CallNote, MarkerOf, Tally};
use forebay::log::{
    AccountKey, Amend, DayInBucket, Hour, Hours, ImportKey, ImportProgress, Lost, LostFrames, OpenImport,
    Parked, Range, Row, Seal, TextBefore,
};
use forebay::object::{
    AppliedEncryption, BucketString, Encryption, KmsContext, KmsKey, ObjectKey, S3Location, SseKms, Stream,
};
use forebay::sources::SourceId;
use forebay::spool::manifest::{
    FileNote, ManifestError, Note, State, decode, encode, replay, replay_past_damage, salt,
};
use forebay::time::UnixMillis;

use super::choices::Choices;

const SPOOL: [u8; 16] = [7; 16];
const NUMBER: u64 = 3;
const NOTES_MAX: usize = 12;
const SOURCES: [&str; 3] = ["web", "ios", "a"];
const BUCKETS: [&str; 3] = ["bucket", "bucket/a/b", "other-bucket"];

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    if choices.yes() {
        return as_json(choices.rest());
    }
    let mut notes = Vec::new();
    for _ in 0..1 + choices.below(NOTES_MAX) {
        notes.push(note(&mut choices));
        if choices.is_empty() {
            break;
        }
    }
    check(notes, &mut choices);
}

/// Lines of JSON, each as one note if it is one.
fn as_json(text: &[u8]) {
    let notes: Vec<Note> = text
        .split(|byte| *byte == b'\n')
        .take(NOTES_MAX)
        .filter_map(|line| {
            let len = u32::try_from(line.len()).unwrap().to_le_bytes();
            let salt = salt(&SPOOL, NUMBER);
            let bytes = [&len[..], &salt.checksum(&len, line).to_le_bytes(), line].concat();
            decode(&bytes, salt).map(|(note, _)| note)
        })
        .collect();
    check(notes, &mut Choices::of(text));
}

fn check(notes: Vec<Note>, choices: &mut Choices<'_>) {
    let salt = salt(&SPOOL, NUMBER);
    let (mut bytes, mut state) = (Vec::new(), State::new());
    // A manifest begins with the whole state, twice.
    let first = encode(&Note::State(Box::new(state.clone())), salt).expect("a state can be written");
    bytes.extend([first.as_slice(), first.as_slice()].concat());
    let mut ends = vec![(bytes.len(), state.clone())];
    for note in notes {
        let written = encode(&note, salt).expect("a note can be written");
        assert_eq!(decode(&written, salt), Some((note.clone(), written.len())));
        bytes.extend_from_slice(&written);
        state.apply(note);
        ends.push((bytes.len(), state.clone()));
    }
    let replayed = replay("M", &bytes, &SPOOL, NUMBER).expect("an undamaged manifest is read");
    assert_eq!(replayed, (state.clone(), ends.len()));
    use_state(&state, choices);

    let cut = choices.short() % (bytes.len() + 1);
    let torn = replay("M", bytes.get(..cut).unwrap_or_default(), &SPOOL, NUMBER);
    let whole = ends.iter().rposition(|(end, _)| *end <= cut);
    match (torn, whole.or((first.len() <= cut).then_some(0))) {
        (Ok((torn, count)), Some(last)) => assert_eq!((&torn, count), (&ends[last].1, last + 1)),
        (Err(ManifestError::Damaged(_)), None) => {}
        (torn, last) => panic!("cut at {cut}, with {last:?} whole: {torn:?}"),
    }

    let at = choices.short() % bytes.len();
    bytes[at] ^= 1 << choices.below(8);
    let hit = ends.iter().position(|(end, _)| at < *end).unwrap_or(0);
    match replay_past_damage("M", &bytes, &SPOOL, NUMBER) {
        Ok(replayed) => {
            let damaged = usize::from(hit > 0);
            assert_eq!((replayed.notes, replayed.one_of_two.is_some()), (ends.len() - damaged, hit == 0));
            let told = (hit > 0 && hit + 1 < ends.len()).then(|| ends[hit - 1].0);
            assert_eq!(replayed.damaged.first().map(|range| range.from), told.map(|at| at as u64));
        }
        Err(error) => panic!("one of the two first notes is whole, so the manifest is usable: {error}"),
    }
}

/// What the spool does with a state.
fn use_state(state: &State, choices: &mut Choices<'_>) {
    let mut state = state.clone();
    let source = SourceId::new(choices.one(&SOURCES)).unwrap();
    let position = choices.number();
    if let Some((_, Some(next))) = state.calls.location(&source, position) {
        assert!(next > position, "the next location begins after the position");
    }
    state.calls.clamp_locations(choices.number());
    for known in state.calls.locations.values() {
        assert!(known.is_sorted_by_key(|(from, _)| *from));
    }
    let (keep_from, oldest) = (UnixMillis(choices.number().cast_signed()), choices.number());
    let pending = state.calls.seals.clone();
    state.prune(keep_from, oldest, None);
    assert_eq!(state.calls.seals, pending, "undelivered seals are never forgotten");
    let whole = Note::State(Box::new(state.clone()));
    let salt = salt(&SPOOL, NUMBER);
    let written = encode(&whole, salt).expect("a state can be written");
    assert_eq!(decode(&written, salt).map(|(note, _)| note), Some(whole));
    for (place, day) in &state.calls.days {
        for stream in ["calls", "rejected", "objects/rooms", "dead/function"] {
            let stream = stream.parse().unwrap();
            let batch = BatchKey { source: place.source.clone(), day: place.day, stream };
            assert_eq!(state.calls.previous_last(&batch, &place.bucket), day.sealed_through(&batch.stream));
        }
        let log = MarkerOf { id: "0123456789abcdef0123456789abcdef", repeats_within: None };
        if let Some(marker) = day.marker(place, log, state.calls.previous_day(place)) {
            assert!(marker.streams.values().all(|stream| stream.objects > 0));
        }
    }
}

fn note(choices: &mut Choices<'_>) -> Note {
    let source = |choices: &mut Choices<'_>| SourceId::new(choices.one(&SOURCES)).unwrap();
    let about_calls = match choices.below(16) {
        0 => CallNote::Location {
            source: source(choices),
            from: choices.number(),
            location: location(choices),
        },
        1 => return FileNote::Segment { number: choices.number() }.into(),
        2 | 3 => CallNote::Sealed(seal(choices)),
        4 => CallNote::Committed {
            number: choices.number(),
            applied: applied(choices),
            seal: again(choices),
            amended: None,
        },
        5 => {
            let parked = Parked { len: choices.number(), crc32: u32::from(choices.byte()) };
            let (number, seal) = (choices.number(), again(choices));
            return FileNote::Parked { number, parked, seal, amended: None }.into();
        }
        6 => CallNote::Conflict { number: choices.number() },
        7 => CallNote::Retry { number: choices.number(), overwrite: choices.yes(), aside: choices.yes() },
        8 => CallNote::Amended { number: choices.number(), amend: amend(choices) },
        9 => CallNote::Restored { number: choices.number() },
        10 => CallNote::Lost(lost(choices)),
        11 => {
            let positions = choices.yes().then(|| range(choices));
            return FileNote::Released { number: choices.number(), positions }.into();
        }
        12 => {
            CallNote::DaysOver { through: time(choices).day(), from: choices.yes().then(|| choices.number()) }
        }
        13 => {
            let (source, day) = (source(choices), time(choices).day());
            let bucket = BucketString::parse(choices.one(&BUCKETS)).unwrap();
            CallNote::Closed(DayInBucket { source, day, bucket })
        }
        14 => CallNote::Tallied(tally(choices)),
        _ => match choices.below(4) {
            0 => return FileNote::Replaced { old: choices.number(), new: choices.number() }.into(),
            1 => CallNote::Clock { from: time(choices), to: time(choices) },
            2 => {
                let (file, key) = (few(choices), ImportKey(u128::from(choices.byte())));
                return FileNote::ImportBegun(OpenImport { file, key, progress: progress(choices) }).into();
            }
            _ => {
                let files = (0..choices.below(3)).map(|_| few(choices)).collect();
                return FileNote::ImportsEnded { files }.into();
            }
        },
    };
    about_calls.into()
}

fn time(choices: &mut Choices<'_>) -> UnixMillis {
    UnixMillis(choices.number().cast_signed())
}

fn range(choices: &mut Choices<'_>) -> Range {
    Range { first: choices.number(), last: choices.number() }
}

fn lost(choices: &mut Choices<'_>) -> Lost {
    let frames = match choices.below(3) {
        0 => LostFrames::EachPosition,
        1 => LostFrames::Exactly(choices.number()),
        _ => LostFrames::Unknown,
    };
    Lost { frames, ..range(choices).into() }
}

fn text(choices: &mut Choices<'_>) -> String {
    let len = choices.below(24);
    String::from_utf8_lossy(choices.take(len)).into_owned()
}

fn location(choices: &mut Choices<'_>) -> S3Location {
    let bucket = BucketString::parse(choices.one(&BUCKETS)).unwrap();
    let encryption = match choices.below(3) {
        0 => Encryption::None,
        1 => Encryption::SseS3,
        _ => Encryption::Kms(SseKms {
            key: KmsKey::parse("alias/events").unwrap(),
            bucket_key: choices.yes().then(|| choices.yes()),
            context: KmsContext::default(),
        }),
    };
    S3Location { region: choices.yes().then(|| text(choices)), ..S3Location::new(bucket, encryption) }
}

fn applied(choices: &mut Choices<'_>) -> Option<AppliedEncryption> {
    choices.yes().then(|| AppliedEncryption {
        algorithm: choices.yes().then(|| text(choices)),
        kms_key: choices.yes().then(|| text(choices)),
        bucket_key: choices.yes(),
    })
}

/// A seal that repeats an earlier one.
fn again(choices: &mut Choices<'_>) -> Option<Box<Seal>> {
    choices.yes().then(|| Box::new(seal(choices)))
}

fn amend(choices: &mut Choices<'_>) -> Amend {
    let lost = (0..choices.below(3)).map(|_| range(choices)).collect();
    Amend {
        frames: choices.number(),
        bytes: choices.number(),
        sha256: text(choices),
        lost,
        hours: hours(choices),
    }
}

fn hours(choices: &mut Choices<'_>) -> Hours {
    (0..choices.below(3)).map(|_| (Hour::of(time(choices)), choices.number())).collect()
}

/// The number of one of a few imports.
fn few(choices: &mut Choices<'_>) -> u64 {
    choices.below(3) as u64
}

fn progress(choices: &mut Choices<'_>) -> ImportProgress {
    ImportProgress {
        next_row: choices.number(),
        stored: choices.number(),
        repeats: choices.number(),
        refused: choices.number(),
        rejected: choices.number(),
        text: choices.yes().then(|| TextBefore { bytes: choices.number(), id: [choices.byte(); 16] }),
    }
}

fn tally(choices: &mut Choices<'_>) -> Tally {
    let row = |choices: &mut Choices<'_>| {
        let counts: Vec<u64> = (0..choices.below(10)).map(|_| choices.number()).collect();
        let source = SourceId::new(choices.one(&SOURCES)).unwrap();
        (AccountKey::new(source, &stream(choices)), Hour::of(time(choices)), Row::from(counts))
    };
    Tally {
        through: choices.number(),
        rows: (0..choices.below(3)).map(|_| row(choices)).collect(),
        imports: (0..choices.below(3)).map(|_| (few(choices), progress(choices))).collect(),
    }
}

fn stream(choices: &mut Choices<'_>) -> Stream {
    ["calls", "rejected", "objects/rooms", "dead/function"][choices.below(4)].parse().unwrap()
}

fn seal(choices: &mut Choices<'_>) -> Seal {
    let source = SourceId::new(choices.one(&SOURCES)).unwrap();
    let stream = stream(choices);
    Seal {
        number: choices.number(),
        batch: BatchKey { source, day: time(choices).day(), stream },
        first: choices.number(),
        last: choices.number(),
        frames: choices.number(),
        bytes: choices.number(),
        sha256: text(choices),
        first_received_at: time(choices),
        last_received_at: time(choices),
        encoder: text(choices),
        location: location(choices),
        object_key: ObjectKey::listed(text(choices)),
        previous_last: choices.yes().then(|| choices.number()),
        hours: hours(choices),
    }
}
