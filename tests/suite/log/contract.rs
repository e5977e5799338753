//! The contract of a log, case by case. Each case gets an empty log.

use std::collections::BTreeMap;
use std::{fs, io};

use forebay::batch::BatchKey;
use forebay::call::{LineSink as _, RejectReason};
use forebay::crc32c;
use forebay::log::refusals::Division;
use forebay::log::{
    AccountKey, Amend, AppendError, Appended, DayStage, Encoded, FirstOpen, Follow, Go, InLog, KeptBytes,
    Log, Parked, Range, Read, ReadThrough, Reports, RequestFrames, Rows, Seal, Standing,
};
use forebay::object::closed_marker::ParsedMarkerKey;
use forebay::object::stream::NAMED_STREAMS_MAX;
use forebay::object::{
    AppliedEncryption, BucketString, ClosedMarker, Encryption, ObjectKey, ObjectName, S3Location, Stream,
};
use forebay::receipt::Receipt;
use forebay::sources::SourceId;
use forebay::time::{DAY_MS, UnixMillis};

use super::{Held, NOW, imports};

/// The whole contract.
pub(super) async fn log<H: Held>(empty: impl Fn() -> H) {
    what_was_acknowledged_is_read_in_order_after_a_crash_and_after_a_restart(empty()).await;
    repeats_are_counted_and_not_stored_again_also_after_a_crash(empty()).await;
    positions_are_never_given_twice(empty()).await;
    readers_do_not_disturb_each_other(empty()).await;
    a_second_reader_gets_every_line_in_order_and_keeps_what_it_has_not_read(empty()).await;
    streams_are_batches_of_their_own(empty()).await;
    collections_and_dead_letters_are_streams_with_all_promises(empty()).await;
    collections_are_limited_and_known_ones_stay(empty()).await;
    a_seal_and_its_frames_survive_a_crash(empty()).await;
    a_commit_releases_frames_for_good(empty()).await;
    a_parked_object_outlives_its_frames(empty()).await;
    seals_of_a_batch_form_a_chain(empty()).await;
    a_conflict_and_an_amendment_are_remembered(empty()).await;
    frames_keep_the_bucket_that_was_recorded_for_their_positions(empty()).await;
    nothing_is_stored_in_a_day_that_has_ended(empty()).await;
    a_day_is_closable_once_all_of_it_is_stored_and_closed_once(empty()).await;
    a_refused_source_is_refused_alone(empty()).await;
    a_request_that_never_fits_is_refused_whole(empty()).await;
    the_ledger_balances_at_each_step(empty()).await;
    a_position_can_be_located_until_it_is_delivered(empty()).await;
    bytes_of_a_batch_lead_to_positions(empty()).await;
    a_recount_holds_until_frames_are_added(empty()).await;
    lost_positions_are_recorded_once(empty()).await;
    a_batch_that_is_given_up_holds_nothing(empty()).await;
    what_waits_takes_space_until_it_is_stored(empty()).await;
    the_oldest_frames_are_held_by_open_batches(empty()).await;
    a_file_without_space_stops_nothing(empty()).await;
    a_step_of_the_clock_is_recorded_while_the_log_runs(empty()).await;
    imports::all(&empty).await;
}

pub(super) fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

fn key_of(name: &str, stream: Stream) -> BatchKey {
    BatchKey { source: source(name), day: NOW.day(), stream }
}

pub(super) fn key(name: &str) -> BatchKey {
    key_of(name, Stream::Calls)
}

pub(super) fn to(bucket: &str) -> S3Location {
    S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3)
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|n| format!("{{\"n\":{n}}}")).collect()
}

/// The calls of one request. Equal lines of a source are repeats of each other.
fn calls_at(at: UnixMillis, name: &str, lines: &[String]) -> RequestFrames {
    let mut frames = RequestFrames::new(source(name), at, 0);
    for line in lines {
        frames.line().extend_from_slice(line.as_bytes());
        let hash = |text: &str| u128::from(crc32c::crc32c(text.as_bytes()));
        frames.call(hash(line) << 32 | hash(name));
    }
    frames
}

async fn append(held: &impl Held, name: &str, lines: &[String]) -> Appended {
    held.appender().append(calls_at(NOW, name, lines)).await.unwrap()
}

/// The position of the first frame of a request that is in one log.
fn first_of(appended: &Appended) -> u64 {
    appended.stored_in.iter().next().unwrap().first
}

pub(super) fn read(log: &dyn Log, key: &BatchKey, after: u64, through: u64) -> Vec<(u64, String)> {
    let mut frames = Vec::new();
    log.read(key, after, through, &mut |read| {
        match read {
            Read::Frame(frame) => {
                frames.push((frame.position, String::from_utf8(frame.payload.to_vec()).unwrap()));
            }
            Read::Lost(range) => panic!("{range:?} is lost"),
        }
        Ok(Go::On)
    })
    .unwrap();
    frames
}

/// The lines that a second reader gets, and their positions.
fn followed(log: &dyn Follow, place: &mut ReadThrough) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    log.follow(place, &mut |read| {
        match read {
            Read::Frame(frame) if frame.kind.is_line() => {
                lines.push((frame.position, String::from_utf8(frame.payload.to_vec()).unwrap()));
            }
            Read::Frame(_) => {}
            Read::Lost(range) => panic!("{range:?} is lost"),
        }
        Ok(Go::On)
    })
    .unwrap();
    lines
}

async fn a_second_reader_gets_every_line_in_order_and_keeps_what_it_has_not_read(held: impl Held) {
    let (mut place, mut all) = (ReadThrough::after(0), Vec::new());
    for round in 0..30 {
        let (name, new) = (["web", "ios"][round as usize % 2], numbered(round * 10..round * 10 + 10));
        append(&held, name, &new).await;
        let read = followed(&*held.follow(), &mut place);
        assert_eq!(read.iter().map(|(_, line)| line).collect::<Vec<_>>(), new.iter().collect::<Vec<_>>());
        all.extend(read);
    }
    assert!(all.is_sorted_by_key(|(position, _)| *position));
    assert_eq!(place.through, held.follow().durable_through());
    let held = held.crashed();
    let log = held.log();
    assert_eq!(followed(&*held.follow(), &mut ReadThrough::after(0)), all, "after a crash");
    let (read, rest) = all.split_at(123);
    assert_eq!(followed(&*held.follow(), &mut ReadThrough::after(read.last().unwrap().0)), rest);
    held.follow().hold_after(Some(read.last().unwrap().0));
    held.locations().set_locations(vec![(source("web"), to("lake")), (source("ios"), to("lake"))]).unwrap();
    for name in ["web", "ios"] {
        let count = texts(&*log, &key(name)).len();
        let sealed = seal(&*log, &key(name), count);
        log.commit(&sealed, None).unwrap();
    }
    assert!(log.open_batches().is_empty());
    assert_eq!(
        followed(&*held.follow(), &mut ReadThrough::after(read.last().unwrap().0)),
        rest,
        "delivered, and held"
    );
}

fn texts(log: &dyn Log, key: &BatchKey) -> Vec<String> {
    read(log, key, 0, u64::MAX).into_iter().map(|(_, text)| text).collect()
}

/// Seals the first `count` unsealed frames of a batch.
pub(crate) fn seal(log: &dyn Log, key: &BatchKey, count: usize) -> Seal {
    let open = log.open_batch(key).unwrap();
    let unsealed = read(log, key, open.sealed_through, u64::MAX);
    let (taken, left) = unsealed.split_at(count);
    let (first, last) = (taken[0].0, taken[count - 1].0);
    let encoded = Encoded {
        first,
        last,
        frames: count as u64,
        bytes: taken.iter().map(|(_, text)| text.len() as u64 + 1).sum(),
        sha256: "ab".repeat(32),
        named_at: NOW,
        first_received_at: NOW,
        last_received_at: NOW,
        encoder: "test/6".to_owned(),
        next_received_at: (!left.is_empty()).then_some(NOW),
        hours: Vec::new(),
    };
    let location = log.current_location(&key.source).unwrap();
    let name = ObjectName {
        first_received_at: NOW,
        node: &log.node(),
        spool_id: &log.spool_id(),
        first_position: first,
    };
    let object_key = ObjectKey::of_batch(&location.bucket, &key.stream, &key.source, key.day, name);
    log.seal(key, &encoded, location, object_key).unwrap()
}

fn balanced(log: &dyn Log) {
    assert_eq!(log.ledger_differences(), []);
}

async fn what_was_acknowledged_is_read_in_order_after_a_crash_and_after_a_restart(mut held: impl Held) {
    let all = numbered(0..60);
    for (piece, n) in all.chunks(6).zip(0..) {
        append(&held, "web", piece).await;
        append(&held, "ios", &piece[..1]).await;
        held = match n % 4 {
            1 => held.crashed(),
            3 => held.restarted(),
            _ => held,
        };
        assert_eq!(texts(&*held.log(), &key("web")), all[..6 * (n + 1)]);
    }
    let log = held.log();
    let frames = read(&*log, &key("web"), 0, u64::MAX);
    assert!(frames.is_sorted_by(|(one, _), (next, _)| one < next), "{frames:?}");
    let (first, last) = (frames[10].0, frames[20].0);
    assert_eq!(read(&*log, &key("web"), first - 1, last), frames[10..=20], "both ends are included");
    let open = log.open_batch(&key("web")).unwrap();
    assert_eq!((open.frames, open.last), (60, frames[59].0));
    assert_eq!(log.first_open(&open).unwrap(), FirstOpen::At(frames[0].0));
    assert!(read(&*log, &key("nobody"), 0, u64::MAX).is_empty());
}

async fn repeats_are_counted_and_not_stored_again_also_after_a_crash(held: impl Held) {
    let some = numbered(0..5);
    let appended = append(&held, "web", &some).await;
    assert_eq!((appended.stored, appended.repeats), (5, 0));
    let only: Vec<InLog> = appended.stored_in.iter().collect();
    assert_eq!((only.len(), only[0].frames), (1, 5));
    assert_eq!(only[0].log.to_string(), held.log().spool_id());
    let again = append(&held, "web", &some[1..]).await;
    assert_eq!(again, Appended { repeats: 4, ..Appended::default() });
    let held = held.crashed();
    let mixed = append(&held, "web", &numbered(4..7)).await;
    assert_eq!((mixed.stored, mixed.repeats), (2, 1));
    assert_eq!(append(&held, "ios", &some).await.repeats, 0, "another source's calls are no repeats");
    assert_eq!(texts(&*held.log(), &key("web")), numbered(0..7));
}

async fn positions_are_never_given_twice(held: impl Held) {
    let first = first_of(&append(&held, "web", &numbered(0..3)).await);
    let held = held.crashed();
    let second = first_of(&append(&held, "web", &numbered(3..5)).await);
    assert!(second >= first + 3);
    let held = held.restarted();
    assert!(first_of(&append(&held, "web", &numbered(5..6)).await) >= second + 2);
}

/// A destination beside the archive reads at a position of its own.
async fn readers_do_not_disturb_each_other(held: impl Held) {
    append(&held, "web", &numbered(0..20)).await;
    let log = held.log();
    let all = read(&*log, &key("web"), 0, u64::MAX);
    let mut seen = Vec::new();
    log.read(&key("web"), all[4].0, u64::MAX, &mut |read_here| {
        let Read::Frame(frame) = read_here else { panic!("{read_here:?}") };
        seen.push(frame.position);
        let position = frame.position;
        assert_eq!(read(&*log, &key("web"), position, position + 1).len(), usize::from(position < all[19].0));
        Ok(if seen.len() == 9 { Go::Stop } else { Go::On })
    })
    .unwrap();
    assert_eq!(seen, all[5..14].iter().map(|(position, _)| *position).collect::<Vec<_>>());
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let seal = seal(&*log, &key("web"), 10);
    assert_eq!(read(&*log, &key("web"), 0, u64::MAX), all, "a seal moves no other reader");
    assert_eq!(seal.last, all[9].0);
}

async fn streams_are_batches_of_their_own(held: impl Held) {
    let mut frames = calls_at(NOW, "web", &numbered(0..2));
    frames.line().extend_from_slice(b"{\"reason\":\"unknown_type\"}");
    frames.rejected(RejectReason::UnknownType);
    assert_eq!(held.appender().append(frames).await.unwrap().stored, 3);
    let held = held.crashed();
    let log = held.log();
    assert_eq!(texts(&*log, &key("web")), numbered(0..2));
    let rejected = key_of("web", Stream::Rejected);
    assert_eq!(texts(&*log, &rejected), ["{\"reason\":\"unknown_type\"}"]);
    let open: Vec<BatchKey> = log.open_batches().into_iter().map(|batch| batch.key).collect();
    assert!(open.is_sorted());
    assert_eq!(open.len(), 2);
}

fn stream(text: &str) -> Stream {
    text.parse().unwrap()
}

/// Lines of an object or dead-letter stream.
fn lines_of(name: &str, of: &Stream, lines: &[String]) -> RequestFrames {
    let mut frames = calls_at(NOW, name, &[]);
    frames.set_stream(of.clone());
    for line in lines {
        frames.line().extend_from_slice(line.as_bytes());
        frames.call(u128::from(crc32c::crc32c(format!("{of} {line}").as_bytes())) | 1 << 64);
    }
    frames
}

async fn collections_and_dead_letters_are_streams_with_all_promises(held: impl Held) {
    let named = [stream("objects/hotels"), stream("objects/rooms"), stream("dead/function")];
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    append(&held, "web", &numbered(0..3)).await;
    let mut firsts = Vec::new();
    for (at, of) in (0..).zip(&named) {
        let mut frames = lines_of("web", of, &numbered(at..at + 4));
        frames.line().extend_from_slice(b"{\"reason\":\"missing_id\"}");
        frames.rejected(RejectReason::MissingId);
        let appended = held.appender().append(frames).await.unwrap();
        assert_eq!(appended.stored, 5);
        firsts.push(first_of(&appended));
        let again = held.appender().append(lines_of("web", of, &numbered(at + 2..at + 6))).await.unwrap();
        assert_eq!((again.stored, again.repeats), (2, 2));
    }
    balanced(&*held.log());
    let mut held = held.crashed();
    for restart in 0..2 {
        let log = held.log();
        balanced(&*log);
        assert_eq!(texts(&*log, &key("web")), numbered(0..3));
        assert_eq!(texts(&*log, &key_of("web", Stream::Rejected)).len(), 3);
        for (at, of) in (0..).zip(&named) {
            assert_eq!(texts(&*log, &key_of("web", of.clone())), numbered(at..at + 6), "{of}");
            let key = AccountKey::new(source("web"), of);
            let report = log.ledger(Rows::Of(&source("web")));
            let total = report.accounts.iter().find(|account| account.account == key).unwrap().total;
            // Its rejected items are counted with the calls of the source.
            assert_eq!((total.received, total.stored, total.repeated, total.rejected), (8, 6, 2, 0), "{of}");
        }
        let (calls, row) = log.ledger_summary().0.swap_remove(0);
        assert_eq!(calls, AccountKey::of_calls(source("web")));
        assert_eq!((row.received, row.stored, row.rejected), (6, 3, 3));
        drop(log);
        if restart == 0 {
            held = held.restarted();
        }
    }
    let log = held.log();
    for (of, first) in named.iter().zip(firsts) {
        let receipt =
            Receipt { source: source("web"), day: NOW.day(), spool_id: log.spool_id(), first, last: first };
        let standing = held.reports().locate(&receipt).unwrap().swap_remove(0).standing;
        assert!(matches!(standing, Standing::Open(batch) if batch.key.stream == *of), "{of}");
    }
    // Each stream has a chain of its own.
    let key = |of: &Stream| key_of("web", of.clone());
    let mut seals = Vec::new();
    for of in &named {
        seals.push(seal(&*log, &key(of), 2));
        seals.push(seal(&*log, &key(of), 4));
    }
    for pair in seals.chunks(2) {
        assert_eq!((pair[0].previous_last, pair[1].previous_last), (None, Some(pair[0].last)));
        assert!(pair[0].object_key.as_str().contains(&pair[0].batch.stream.folder()));
    }
    seals.push(seal(&*log, &key(&Stream::Calls), 3));
    seals.push(seal(&*log, &key(&Stream::Rejected), 3));
    balanced(&*log);
    drop(log);
    let held = held.crashed();
    balanced(&*held.log());
    held.log().end_days(NOW.day()).unwrap();
    for seal in &seals {
        held.log().commit(seal, None).unwrap();
        balanced(&*held.log());
    }
    let held = held.crashed();
    balanced(&*held.log());
    let closable = held.log().closable(&mut |_, _| true);
    let marker = &closable[0].marker;
    assert_eq!(marker.version, 2, "older releases cannot read it");
    for of in &named {
        assert_eq!((marker.streams[of].objects, marker.streams[of].calls), (2, 6), "{of}");
    }
    assert_eq!(marker.streams.len(), 5);
    let place = ParsedMarkerKey::of(
        &BucketString::parse("bucket").unwrap(),
        marker.key(&BucketString::parse("bucket").unwrap()).as_str(),
    );
    assert_eq!(&ClosedMarker::read(&place.unwrap(), &marker.body().unwrap()).unwrap(), marker);
}

async fn collections_are_limited_and_known_ones_stay(held: impl Held) {
    let name = |n: usize| {
        let letter = |of: usize| char::from(b'a' + u8::try_from(of).unwrap());
        stream(&format!("objects/{}{}{}", letter(n / 676), letter(n / 26 % 26), letter(n % 26)))
    };
    let send = |n: usize| {
        let (appender, frames) = (held.appender(), lines_of("web", &name(n), &numbered(0..1)));
        tokio::spawn(async move { appender.append(frames).await })
    };
    // At once, so that many are stored by one sync.
    let sent: Vec<_> = (0..NAMED_STREAMS_MAX + 5).map(send).collect();
    let mut answers = Vec::new();
    for sent in sent {
        answers.push(sent.await.unwrap());
    }
    let refused = answers.iter().filter(|answer| matches!(answer, Err(AppendError::TooManyStreams))).count();
    let stored =
        answers.iter().filter(|answer| matches!(answer, Ok(appended) if appended.stored == 1)).count();
    assert_eq!((stored, refused), (NAMED_STREAMS_MAX, 5));
    append(&held, "web", &numbered(0..1)).await;
    let held = held.crashed().restarted();
    balanced(&*held.log());
    let known = (0..NAMED_STREAMS_MAX + 5).rfind(|n| answers[*n].is_ok()).unwrap();
    let appended = held.appender().append(lines_of("web", &name(known), &numbered(1..2))).await.unwrap();
    assert_eq!(appended.stored, 1, "a collection that is there already is still accepted");
    let new = held.appender().append(lines_of("ios", &name(0), &numbered(1..2))).await;
    assert_eq!(new, Err(AppendError::TooManyStreams), "each source counts");
    append(&held, "ios", &numbered(0..1)).await;
}

async fn a_seal_and_its_frames_survive_a_crash(held: impl Held) {
    append(&held, "web", &numbered(0..8)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let sealed = seal(&*held.log(), &key("web"), 5);
    let held = held.crashed();
    let log = held.log();
    let pending = log.pending_seal(sealed.number).unwrap();
    assert_eq!(pending.seal, sealed, "number, range, location and key stay what they were");
    assert_eq!((log.pending_numbers(), log.pending_seals()), (vec![sealed.number], vec![pending]));
    assert!(log.has_unparked_seal(&key("web")));
    let range = read(&*log, &key("web"), sealed.first - 1, sealed.last);
    assert_eq!(range.len(), 5, "the object can be made again");
    let open = log.open_batch(&key("web")).unwrap();
    assert_eq!((open.frames, open.sealed_through), (3, sealed.last));
}

async fn a_commit_releases_frames_for_good(held: impl Held) {
    append(&held, "web", &numbered(0..8)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let sealed = seal(&*held.log(), &key("web"), 8);
    assert_eq!(held.reports().undelivered()[&source("web")].0, 8, "what is sealed is not delivered");
    held.log().commit(&sealed, Some(AppliedEncryption::default())).unwrap();
    {
        let held = held.crashed().restarted();
        let log = held.log();
        assert!(log.pending_seals().is_empty() && log.open_batches().is_empty());
        assert!(held.reports().undelivered().is_empty() && log.oldest_undelivered().is_none());
        assert_eq!(append(&held, "web", &numbered(0..8)).await.repeats, 8, "it is still known");
    }
}

async fn a_parked_object_outlives_its_frames(held: impl Held) {
    append(&held, "web", &numbered(0..4)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let sealed = seal(&*held.log(), &key("web"), 4);
    let object = b"an object".repeat(100);
    let parked = Parked { len: object.len() as u64, crc32: crc32fast::hash(&object) };
    assert!(held.log().make_room(&sealed, &mut object.as_slice(), parked).unwrap());
    let held = held.crashed();
    let log = held.log();
    assert_eq!(log.pending_seal(sealed.number).unwrap().parked, Some(parked));
    assert!(!log.has_unparked_seal(&key("web")), "its batch may go on");
    let kept = log.open_for_put(&sealed).unwrap();
    let bytes = match kept.bytes {
        KeptBytes::File { path, len } => {
            let bytes = fs::read(path).unwrap();
            assert_eq!(bytes.len() as u64, len);
            bytes
        }
        KeptBytes::Memory(bytes) => bytes,
    };
    assert_eq!((bytes, kept.crc32), (object, parked.crc32));
    assert_eq!(held.reports().undelivered()[&source("web")].0, 4);
    log.commit(&sealed, None).unwrap();
    assert_eq!(log.open_for_put(&sealed).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(log.usage().parked, 0);
    drop(log);
    assert!(held.restarted().log().pending_seals().is_empty());
}

async fn seals_of_a_batch_form_a_chain(held: impl Held) {
    append(&held, "web", &numbered(0..9)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let first = seal(&*held.log(), &key("web"), 3);
    let held = held.crashed();
    let second = seal(&*held.log(), &key("web"), 3);
    held.log().commit(&second, None).unwrap();
    held.log().commit(&first, None).unwrap();
    let held = held.restarted();
    let third = seal(&*held.log(), &key("web"), 3);
    let chain = [&first, &second, &third].map(|seal| (seal.previous_last, seal.last));
    assert_eq!(chain, [(None, first.last), (Some(first.last), second.last), (Some(second.last), third.last)]);
    assert!(first.number < second.number && second.number < third.number);
}

async fn a_conflict_and_an_amendment_are_remembered(held: impl Held) {
    append(&held, "web", &numbered(0..6)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let one = seal(&*held.log(), &key("web"), 3);
    let two = seal(&*held.log(), &key("web"), 3);
    held.log().conflict(&one).unwrap();
    let lost = Range { first: two.first, last: two.first };
    let amend = Amend { frames: 2, bytes: 20, sha256: "cd".repeat(32), lost: vec![lost], hours: Vec::new() };
    held.log().amend(&two, amend.clone()).unwrap();
    let held = held.crashed();
    let log = held.log();
    assert!(log.pending_seal(one.number).unwrap().conflict);
    assert_eq!(log.pending_seal(two.number).unwrap().amended, Some(amend));
    log.restored(&two).unwrap();
    assert_eq!(held.crashed().log().pending_seal(two.number).unwrap().amended, None);
}

async fn frames_keep_the_bucket_that_was_recorded_for_their_positions(held: impl Held) {
    let web = source("web");
    assert!(held.locations().set_locations(vec![(web.clone(), to("old"))]).unwrap().is_empty());
    let before = first_of(&append(&held, "web", &numbered(0..3)).await);
    assert_eq!(
        held.locations().set_locations(vec![(web.clone(), to("new"))]).unwrap(),
        std::slice::from_ref(&web)
    );
    let after = first_of(&append(&held, "web", &numbered(3..5)).await);
    let held = held.crashed();
    let log = held.log();
    let (place, until) = log.location(&web, before + 2).unwrap();
    assert_eq!((place, until), (to("old"), Some(after)));
    assert_eq!(log.location(&web, after), Some((to("new"), None)));
    assert_eq!(log.current_location(&web), Some(to("new")));
    assert_eq!(log.current_location(&source("ios")), None);
    assert_eq!(log.current_locations(), [(web.clone(), to("new"))]);
    assert_eq!(log.moved_sources().into_iter().collect::<Vec<_>>(), [web]);
}

async fn nothing_is_stored_in_a_day_that_has_ended(held: impl Held) {
    append(&held, "web", &numbered(0..1)).await;
    assert_eq!(held.log().last_to_end(NOW.day()), Some(NOW.day()));
    held.log().end_days(NOW.day()).unwrap();
    {
        let held = held.crashed().restarted();
        assert_eq!(held.log().days_over(), Some(NOW.day()));
        assert_eq!(held.log().last_to_end(NOW.day()), None);
        assert_eq!(held.appender().not_before(), NOW.day().end());
        let late = held.appender().append(calls_at(NOW, "web", &numbered(1..2))).await;
        assert_eq!(late, Err(AppendError::DayOver));
        let next_day = UnixMillis(NOW.0 + DAY_MS);
        held.appender().append(calls_at(next_day, "web", &numbered(1..2))).await.unwrap();
    }
}

async fn a_day_is_closable_once_all_of_it_is_stored_and_closed_once(held: impl Held) {
    append(&held, "web", &numbered(0..4)).await;
    let log = held.log();
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let sealed = seal(&*log, &key("web"), 4);
    let stage = |log: &dyn Log| log.unclosed_days().get(&(NOW.day(), source("web"))).copied();
    assert_eq!(stage(&*log), Some(DayStage::Open));
    log.end_days(NOW.day()).unwrap();
    assert_eq!(stage(&*log), Some(DayStage::Delivering));
    assert!(log.closable(&mut |_, _| true).is_empty());
    log.commit(&sealed, None).unwrap();
    let held = held.crashed();
    let log = held.log();
    assert_eq!(stage(&*log), Some(DayStage::Closing));
    assert!(log.closable(&mut |_, _| false).is_empty(), "only what is wanted");
    let closable = log.closable(&mut |_, _| true);
    assert_eq!(closable.len(), 1);
    assert_eq!(log.day_locations(), [(source("web"), to("bucket"))]);
    let calls = &closable[0].marker.streams[&Stream::Calls];
    assert_eq!((calls.objects, calls.calls, calls.last_position), (1, 4, sealed.last));
    log.closed(&closable[0].place).unwrap();
    let log = held.crashed().log();
    assert_eq!(stage(&*log), None);
    assert!(log.closable(&mut |_, _| true).is_empty() && log.day_locations().is_empty());
}

async fn a_refused_source_is_refused_alone(held: impl Held) {
    held.log().refuse([source("web")].into());
    let refused = held.appender().append(calls_at(NOW, "web", &numbered(0..1))).await;
    assert_eq!(refused, Err(AppendError::LocationFull));
    append(&held, "ios", &numbered(0..1)).await;
    assert_eq!(held.log().refused_sources().into_iter().collect::<Vec<_>>(), [source("web")]);
    held.log().refuse([].into());
    assert_eq!(append(&held, "web", &numbered(0..1)).await.stored, 1);
}

async fn a_request_that_never_fits_is_refused_whole(held: impl Held) {
    let line = "x".repeat(1_024 * 1_024);
    let lines: Vec<String> = (0..5).map(|n| format!("{n}{line}")).collect();
    let refused = held.appender().append(calls_at(NOW, "web", &lines)).await;
    assert_eq!(refused, Err(AppendError::TooLarge));
    assert!(held.log().open_batches().is_empty());
    let nothing = held.appender().append(calls_at(NOW, "web", &[])).await.unwrap();
    assert_eq!(nothing, Appended::default());
}

async fn the_ledger_balances_at_each_step(held: impl Held) {
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    append(&held, "web", &numbered(0..6)).await;
    append(&held, "web", &numbered(4..8)).await;
    balanced(&*held.log());
    let sealed = seal(&*held.log(), &key("web"), 5);
    balanced(&*held.log());
    let held = held.crashed();
    balanced(&*held.log());
    held.log().commit(&sealed, None).unwrap();
    let held = held.crashed();
    balanced(&*held.log());
    let report = held.log().ledger(Rows::Of(&source("web")));
    let total = report.accounts[0].total;
    assert_eq!((total.received, total.stored, total.repeated, total.delivered), (10, 8, 2, 5));
    assert_eq!(total.pending(&Stream::Calls), Some(3));
    assert_eq!(held.log().ledger_summary().0, [(AccountKey::of_calls(source("web")), total)]);
}

async fn a_position_can_be_located_until_it_is_delivered(held: impl Held) {
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let first = first_of(&append(&held, "web", &numbered(0..2)).await);
    let standing = |log: &dyn Reports| {
        let (day, spool_id) = (NOW.day(), log.spool_id());
        let receipt = Receipt { source: source("web"), day, spool_id, first, last: first + 1 };
        let located = log.locate(&receipt).unwrap();
        assert_eq!((located.len(), located[0].first, located[0].last), (1, first, first + 1));
        located[0].standing.clone()
    };
    assert!(matches!(standing(&*held.reports()), Standing::Open(batch) if batch.frames == 2));
    let held = held.crashed();
    let sealed = seal(&*held.log(), &key("web"), 2);
    let pending = standing(&*held.reports());
    assert!(matches!(pending, Standing::Sealed(seals) if seals[0].seal.number == sealed.number));
    held.log().commit(&sealed, None).unwrap();
    assert!(matches!(standing(&*held.reports()), Standing::NotHere));
}

async fn bytes_of_a_batch_lead_to_positions(held: impl Held) {
    append(&held, "web", &numbered(0..60)).await;
    let log = held.log();
    let open = log.open_batch(&key("web")).unwrap();
    let found = log.positions_at(&open, &[0, open.bytes / 2, open.bytes - 1, open.bytes]).unwrap();
    assert_eq!((found.len(), found[0], found[2]), (3, open.first, open.last), "no line begins after the end");
    assert!(found.is_sorted() && open.first < found[1] && found[1] < open.last, "{found:?}");
    let end = log.end_of_oldest(&key("web"), 0).unwrap();
    assert!((open.first..=open.last).contains(&end));
    assert_eq!(log.end_of_oldest(&key("web"), open.last), None);
    assert_eq!(log.end_of_oldest(&key("nobody"), 0), None);
}

async fn a_recount_holds_until_frames_are_added(held: impl Held) {
    append(&held, "web", &numbered(0..3)).await;
    let log = held.log();
    let open = log.open_batch(&key("web")).unwrap();
    let bytes = || log.open_batch(&key("web")).unwrap().bytes;
    assert_eq!(open.bytes, texts(&*log, &key("web")).iter().map(|text| text.len() as u64 + 1).sum::<u64>());
    log.recount(&open, 1_000);
    assert_eq!(bytes(), 1_000);
    append(&held, "web", &["{}".to_owned()]).await;
    assert_eq!(bytes(), 1_003);
    log.recount(&open, 5);
    assert_eq!(bytes(), 1_003, "it knows nothing of the new frame");
}

async fn lost_positions_are_recorded_once(held: impl Held) {
    append(&held, "web", &numbered(0..3)).await;
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let sealed = seal(&*held.log(), &key("web"), 3);
    let all = Range { first: sealed.first, last: sealed.last };
    let one = Range { first: sealed.first, last: sealed.first };
    assert_eq!(held.log().lost_of(&sealed), [all], "nothing else accounts for them");
    held.log().note_lost(&[one]).unwrap();
    held.log().note_lost(&[one]).unwrap();
    assert_eq!(held.log().lost_of(&sealed), [all], "one of three is not all of them");
    let held = held.crashed();
    let positions = |log: &dyn Log| log.ledger(Rows::None).lost_positions;
    assert_eq!(positions(&*held.log()), 1);
    held.log().note_lost(&[Range { first: sealed.first + 1, last: sealed.last }]).unwrap();
    assert_eq!(positions(&*held.log()), sealed.last - sealed.first + 1);
    let lost = held.log().lost_of(&sealed);
    let count = lost.iter().map(|range| range.last - range.first + 1).sum::<u64>();
    assert_eq!((lost[0].first, count), (sealed.first, sealed.frames), "{lost:?}");
}

async fn a_batch_that_is_given_up_holds_nothing(held: impl Held) {
    append(&held, "web", &numbered(0..3)).await;
    append(&held, "ios", &numbered(0..2)).await;
    let log = held.log();
    let open = log.open_batch(&key("web")).unwrap();
    log.give_up(&open, &[Range { first: open.first, last: open.last }]).unwrap();
    assert!(log.open_batch(&key("web")).is_none());
    assert_eq!((held.reports().sources(), log.usage().batches), (vec![source("ios")], 1));
    let total = log.ledger(Rows::Of(&source("web"))).accounts[0].total;
    assert_eq!((total.stored, total.lost, total.pending(&Stream::Calls)), (3, 3, Some(0)));
    balanced(&*log);
}

async fn what_waits_takes_space_until_it_is_stored(held: impl Held) {
    let log = held.log();
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    append(&held, "web", &numbered(0..50)).await;
    let (usage, left) = (log.usage(), log.bytes_left());
    assert!(!usage.is_full && usage.refused == 0 && usage.batches == 1, "{usage:?}");
    assert!(usage.used > 0 && usage.used < usage.full_at && usage.full_at <= usage.max, "{usage:?}");
    assert!(left > 0 && left < usage.max, "{left} {usage:?}");
    assert!(log.held().is_empty(), "nothing is sealed");
    let sealed = seal(&*log, &key("web"), 50);
    let only = |log: &dyn Log| {
        let held = log.held();
        assert_eq!(held.len(), 1);
        assert_eq!((&held[0].0, &held[0].1), (&source("web"), &to("bucket")));
        held[0].2
    };
    assert!(only(&*log).frames >= sealed.bytes);
    let object = b"an object".repeat(100);
    let parked = Parked { len: object.len() as u64, crc32: crc32fast::hash(&object) };
    assert!(log.make_room(&sealed, &mut object.as_slice(), parked).unwrap());
    assert!(only(&*log).frames == 0 && only(&*log).parked >= parked.len);
    assert_eq!(log.usage().parked, parked.len);
    assert_eq!(log.divide(&[], &BTreeMap::new()), Division::default(), "nothing fails: nobody is refused");
    log.commit(&sealed, None).unwrap();
    assert!(log.held().is_empty() && held.reports().sources().is_empty());
    assert_eq!((log.usage().parked, log.usage().batches), (0, 0));
}

async fn the_oldest_frames_are_held_by_open_batches(held: impl Held) {
    let log = held.log();
    held.locations().set_locations(vec![(source("web"), to("bucket"))]).unwrap();
    let line = "x".repeat(1_024);
    for n in 0..10 {
        let lines: Vec<String> = (0..50).map(|line_number| format!("{n} {line_number} {line}")).collect();
        append(&held, "web", &lines).await;
    }
    append(&held, "ios", &numbered(0..1)).await;
    assert_eq!(log.pinning(1, true), [key("web")], "no request of the other source is among the oldest");
    assert_eq!(log.pinning(1, false), [key("web")]);
    assert!(!log.is_under_pressure() && log.under_pressure().is_empty());
    let _sealed = seal(&*log, &key("web"), 500);
    assert!(!log.pinning(u64::MAX, true).contains(&key("web")), "all of it is sealed");
}

async fn a_file_without_space_stops_nothing(held: impl Held) {
    let log = held.log();
    log.disk_is_full();
    assert_eq!(append(&held, "web", &numbered(0..1)).await.stored, 1);
    assert!(!log.is_stopped());
}

async fn a_step_of_the_clock_is_recorded_while_the_log_runs(held: impl Held) {
    let stopped = held.log().stopped();
    held.log().note_clock(NOW, UnixMillis(NOW.0 - DAY_MS)).unwrap();
    append(&held, "web", &numbered(0..1)).await;
    assert!(stopped.borrow().is_none() && !held.log().is_stopped());
    let held = held.crashed();
    assert_eq!(texts(&*held.log(), &key("web")), numbered(0..1));
    assert_eq!(held.reports().sources(), [source("web")]);
}
