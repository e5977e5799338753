//! Reads an object in ranges, some of them ahead of the reader.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use super::ReadingError;
use super::s3_object::S3Object;
use crate::random::Random;
use crate::retry::Backoff;
use crate::store::reader::ByteRange;
use crate::words::Told;

/// The bytes of an object that one request asks for.
pub const RANGE_BYTES: u64 = 8 * 1024 * 1024;

/// The requests that are ahead of the range that is being read. So at most three ranges are in memory.
pub const RANGES_AHEAD: usize = 2;

/// The most tries that may fail one after the other.
pub const TRIES_MAX: u32 = 6;

/// The waits between tries.
pub const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(20) };

/// How a [`RangeReader`] reads.
#[derive(Clone, Debug)]
pub struct RangeSettings {
    /// The bytes that one request asks for; at least 1.
    pub range_bytes: u64,
    /// The number of requests that are ahead of the reader.
    pub ahead: usize,
    /// The most tries that may fail one after the other.
    pub tries_max: u32,
    /// The waits between tries.
    pub backoff: Backoff,
    /// Draws the lengths of the waits.
    pub random: Arc<dyn Random>,
}

impl RangeSettings {
    /// The settings of the importer.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { range_bytes: RANGE_BYTES, ahead: RANGES_AHEAD, tries_max: TRIES_MAX, backoff: BACKOFF, random }
    }
}

/// Reads an object from its beginning to its end. Errors carry a [`ReadingError`], and come again with each
/// read.
///
/// The reader blocks: use it on a blocking thread, never in a task. A drop ends its requests.
pub struct RangeReader {
    object: Arc<S3Object>,
    runtime: Handle,
    settings: RangeSettings,
    /// The first byte that was not requested.
    requested: u64,
    /// The bytes of the current range that were not read yet.
    current: Bytes,
    ahead: VecDeque<Request>,
    failed: Option<ReadingError>,
}

/// The request for a range.
pub(super) type Request = AbortOnDropHandle<Result<Bytes, ReadingError>>;

impl RangeReader {
    /// A reader of an object. Requests run on `runtime`.
    pub fn new(object: Arc<S3Object>, runtime: Handle, settings: RangeSettings) -> Self {
        Self {
            object,
            runtime,
            settings,
            requested: 0,
            current: Bytes::new(),
            ahead: VecDeque::new(),
            failed: None,
        }
    }

    fn request_ahead(&mut self, ahead: usize) {
        while self.ahead.len() < ahead && self.requested < self.object.len {
            let from = self.requested;
            let len = self.settings.range_bytes.max(1).min(self.object.len - from);
            self.requested += len;
            let (object, settings) = (Arc::clone(&self.object), self.settings.clone());
            let range = async move { read_range(&object, from, len, &settings).await };
            self.ahead.push_back(Request::new(self.runtime.spawn(range)));
        }
    }

    /// The next range; empty at the end.
    fn next_range(&mut self) -> Result<Bytes, ReadingError> {
        // The awaited request counts as one of those ahead, so no more than these are in flight.
        self.request_ahead(self.settings.ahead.max(1));
        let Some(request) = self.ahead.pop_front() else { return Ok(Bytes::new()) };
        let stopped = |error: JoinError| Err(ReadingError::Refused(Told::plain(error.to_string())));
        let range = self.runtime.block_on(request).unwrap_or_else(stopped)?;
        self.request_ahead(self.settings.ahead);
        Ok(range)
    }
}

impl Read for RangeReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = &self.failed {
            return Err(error.clone().into());
        }
        if buf.is_empty() {
            return Ok(0);
        }
        if self.current.is_empty() {
            // The last range is freed before the next one is awaited.
            self.current = Bytes::new();
            match self.next_range() {
                Ok(range) => self.current = range,
                Err(error) => {
                    self.ahead.clear();
                    self.failed = Some(error.clone());
                    return Err(error.into());
                }
            }
        }
        let piece = self.current.split_to(self.current.len().min(buf.len()));
        if let Some(to) = buf.get_mut(..piece.len()) {
            to.copy_from_slice(&piece);
        }
        Ok(piece.len())
    }
}

debug_fields!(RangeReader { requested });

/// Reads a whole range. After a failure, reading continues at the first byte that is missing.
pub(super) async fn read_range(
    object: &S3Object,
    from: u64,
    len: u64,
    settings: &RangeSettings,
) -> Result<Bytes, ReadingError> {
    let mut parts = Parts::default();
    let mut tries = 0;
    loop {
        let at = from + parts.len();
        let left = len - parts.len();
        let wanted = ByteRange { from: at, len: left };
        let range = object.store.range(&object.location, &object.key, Some(&object.version), wanted).await;
        let last = match range.map(|range| range.bytes).map_err(ReadingError::from) {
            Ok(part) => {
                let nothing = part.is_empty();
                parts.push(part, left);
                if parts.len() == len {
                    return Ok(parts.whole());
                }
                if !nothing {
                    tries = 0;
                }
                "the connection broke".into()
            }
            Err(ReadingError::Unanswered(last)) => last,
            Err(error) => return Err(error),
        };
        tries += 1;
        if tries >= settings.tries_max {
            return Err(ReadingError::Unreachable { at: from + parts.len(), tries, last });
        }
        tokio::time::sleep(settings.backoff.wait(tries, settings.random.as_ref())).await;
    }
}

/// The parts of a range. Nearly always there is one part, which is not copied.
#[derive(Clone, Default)]
pub(super) struct Parts {
    first: Bytes,
    joined: BytesMut,
}

impl Parts {
    pub(super) fn len(&self) -> u64 {
        (self.first.len() + self.joined.len()) as u64
    }

    /// Adds a part; `left` bytes were missing before it.
    pub(super) fn push(&mut self, part: Bytes, left: u64) {
        if self.first.is_empty() && self.joined.is_empty() {
            self.first = part;
            return;
        }
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            let left = usize::try_from(left).unwrap_or(0);
            self.joined = BytesMut::with_capacity(first.len().saturating_add(left));
            self.joined.extend_from_slice(&first);
        }
        self.joined.extend_from_slice(&part);
    }

    pub(super) fn whole(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::super::test_bytes::{Dribble, rows};
    use super::super::typed;
    use super::*;
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location};
    use crate::store::fake::{FakeStore, Step};
    use crate::store::{Fault, ObjectStore as _, Put, PutMode, Stored};

    /// The same numbers for the same seed.
    #[derive(Debug)]
    struct Seeded(AtomicU64);

    impl Random for Seeded {
        fn next_u64(&self) -> u64 {
            // SplitMix64.
            let state = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            mixed ^ (mixed >> 31)
        }
    }

    fn seeded(seed: u64) -> Arc<dyn Random> {
        Arc::new(Seeded(AtomicU64::new(seed)))
    }

    /// An object in a store whose reads go as `steps` say, and that store.
    fn object(runtime: &tokio::runtime::Runtime, bytes: &[u8], steps: &[Step]) -> (Arc<S3Object>, FakeStore) {
        let (store, key) = (FakeStore::new(), ObjectKey::listed("track_1.csv".to_owned()));
        let location = S3Location::new(BucketString::parse("lake").unwrap(), Encryption::None);
        let put = Put::plain(location.clone(), key.clone(), bytes.to_vec(), PutMode::CreateOnly);
        let object = runtime.block_on(async {
            let Stored { etag, .. } = store.put(&put).await.unwrap();
            assert!(etag.is_some());
            S3Object::find(Arc::new(store.clone()), location, key, None).await.unwrap()
        });
        store.script_reads(steps.iter().cloned());
        (Arc::new(object), store)
    }

    fn settings(range_bytes: u64) -> RangeSettings {
        let backoff = Backoff { first: Duration::from_micros(1), cap: Duration::from_micros(9) };
        RangeSettings { range_bytes, backoff, ..RangeSettings::new(seeded(7)) }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    fn read(bytes: &[u8], steps: &[Step], settings: RangeSettings) -> (io::Result<Vec<u8>>, FakeStore) {
        let runtime = runtime();
        let (object, store) = object(&runtime, bytes, steps);
        let mut read = Vec::new();
        let mut reader = RangeReader::new(object, runtime.handle().clone(), settings);
        let end = Dribble(&mut reader, 700).read_to_end(&mut read);
        if end.is_ok() {
            assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
        }
        (end.map(|_| read), store)
    }

    #[test]
    fn an_object_is_read_whole_with_two_requests_at_most() {
        let text = rows(600);
        for size in [0, 1, 999, 1_000, 1_001, 3_000, 8_000, text.len()] {
            let (read, store) = read(&text[..size], &[], settings(1_000));
            assert!(read.unwrap() == text[..size], "{size}");
            assert_eq!(store.ranges().len(), size.div_ceil(1_000), "{size}");
            assert!(store.most_reading() <= RANGES_AHEAD);
        }
    }

    #[test]
    fn ranges_are_read_in_any_order() {
        use super::super::ranged::Ranged;
        let (text, runtime) = (rows(600), runtime());
        let wanted = [(5_000, 3_001), (0, 1), (7, 0), (2_000, 1_000)];
        let (object, store) = object(&runtime, &text, &[Step::Cut(100)]);
        let ranged = Ranged::new(object, runtime.handle().clone(), settings(1_000));
        let found = ranged.ranges(&wanted).unwrap();
        for ((from, len), found) in wanted.iter().zip(&found) {
            let from = usize::try_from(*from).unwrap();
            assert!(found == &text[from..from + usize::try_from(*len).unwrap()], "{from}");
        }
        assert!(store.most_reading() <= RANGES_AHEAD);
        assert_eq!(store.ranges().len(), 4 + 1 + 1 + 1, "each part once, and one again");
    }

    #[test]
    fn ranges_ahead_are_bounded_while_nobody_reads() {
        let runtime = runtime();
        let (object, _) = object(&runtime, &rows(600)[..10_000], &[]);
        let mut reader = RangeReader::new(object, runtime.handle().clone(), settings(1_000));
        reader.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(reader.ahead.len(), RANGES_AHEAD);
        assert_eq!(reader.requested, 3_000);
        reader.read_exact(&mut [0; 999]).unwrap();
        assert_eq!(reader.requested, 3_000);
        reader.read_exact(&mut [0; 1]).unwrap();
        assert_eq!(reader.requested, 4_000);
    }

    #[test]
    fn reading_resumes_at_the_byte_where_it_broke() {
        let text = rows(300);
        for seed in 0..60 {
            let random = seeded(seed);
            let steps: Vec<Step> = std::iter::repeat_with(|| match random.next_u64() % 4 {
                0 => Step::RESET,
                1 => Step::Cut(usize::try_from(random.next_u64() % 1_001).unwrap()),
                _ => Step::Proper,
            })
            .take(200)
            .collect();
            let patient = RangeSettings { tries_max: 60, ..settings(1_000) };
            assert!(read(&text, &steps, patient).0.unwrap() == text, "seed {seed}");
        }
        let (read, store) = read(&text[..1_000], &[Step::Cut(400), Step::RESET], settings(1_000));
        assert!(read.unwrap() == text[..1_000]);
        let ranges: Vec<_> = store.ranges().iter().map(|range| (range.from, range.len)).collect();
        assert_eq!(ranges, [(0, 1_000), (400, 600), (400, 600)]);
    }

    /// The error of reading 500 bytes, and how many ranges were asked for.
    fn failed(steps: &[Step]) -> (ReadingError, usize) {
        let (read, store) = read(&rows(30)[..500], steps, RangeSettings { ahead: 1, ..settings(1_000) });
        (typed::<ReadingError>(&read.unwrap_err()).unwrap().clone(), store.ranges().len())
    }

    #[test]
    fn six_failures_in_a_row_are_the_end() {
        let check = |steps: &[Step], expected_at: u64, expected_requests: usize| {
            let (error, requests) = failed(steps);
            let ReadingError::Unreachable { at, tries: 6, .. } = error else { panic!("{error}") };
            assert_eq!((at, requests), (expected_at, expected_requests));
        };
        let mut steps = vec![Step::RESET; 20];
        check(&steps, 0, 6);
        // Bytes are progress, so the count starts again: one failure with bytes, and five without.
        steps[5] = Step::Cut(400);
        check(&steps, 400, 11);
        check(&vec![Step::Cut(0); 20], 0, 6);
    }

    #[test]
    fn what_a_retry_does_not_change_is_not_retried() {
        let check = |step: Step, code: &str| {
            let (error, requests) = failed(&[step]);
            assert_eq!((crate::import::FileError::unread(&error).code.as_str(), requests), (code, 1));
        };
        check(Step::CHANGED, "E-CHANGED");
        check(Step::MISSING, "E-MISSING");
        check(Step::REFUSED, "E-DENIED");
        check(Step::Answer { fault: Fault::Refused, status: Some(400), code: None }, "E-REFUSED");
    }

    #[test]
    fn an_object_that_changes_half_way_is_an_error_that_stays() {
        let (text, runtime) = (rows(600), runtime());
        let mut steps = vec![Step::Proper; 3];
        steps.extend(vec![Step::CHANGED; 20]);
        let (object, store) = object(&runtime, &text, &steps);
        let one = RangeSettings { ahead: 1, ..settings(1_000) };
        let mut reader = RangeReader::new(object, runtime.handle().clone(), one);
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).unwrap_err();
        assert!(read == text[..3_000]);
        for error in [error, reader.read(&mut [0; 9]).unwrap_err()] {
            assert_eq!(typed::<ReadingError>(&error), Some(&ReadingError::Changed));
        }
        assert!(store.ranges().len() <= 5);
    }

    #[test]
    fn a_runtime_that_stops_is_an_error() {
        let runtime = runtime();
        let (object, _) = object(&runtime, &rows(30)[..500], &[]);
        let mut reader = RangeReader::new(object, runtime.handle().clone(), settings(100));
        runtime.shutdown_background();
        assert!(reader.read(&mut [0; 9]).is_err());
    }
}
