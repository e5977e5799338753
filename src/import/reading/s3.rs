//! Reads an object in ranges, some of them ahead of the reader.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::ReadingError;
use crate::boxed_future::BoxFuture;
use crate::random::Random;
use crate::retry::Backoff;
use crate::words::Told;

/// How much of an object one request asks for.
pub const RANGE_BYTES: u64 = 8 * 1024 * 1024;

/// How many requests are ahead of the range that is being read. So at most three ranges are in memory.
pub const RANGES_AHEAD: usize = 2;

/// How many tries may fail one after the other.
pub const TRIES_MAX: u32 = 6;

/// The waits between tries.
pub const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(20) };

/// One version of one object, readable in ranges.
pub trait Ranges: Send + Sync {
    /// Requests `len` bytes from byte `from` on, once. `Ok` may have fewer bytes, if the connection broke
    /// half-way, but never more. Every request has the condition that the object is still the same version.
    fn get(&self, from: u64, len: u64) -> BoxFuture<'_, Result<Bytes, RangeError>>;
}

/// Why a range was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RangeError {
    /// 412: the object is another one now.
    Changed,
    /// 404: the object is gone.
    Missing,
    /// 403, or there are no credentials.
    Denied(Told),
    /// Any other refusal that a retry does not change.
    Refused(Told),
    /// Timeout, reset, throttling, 5xx: the same request may succeed later.
    Transient(Told),
}

/// How a [`RangeReader`] reads.
#[derive(Clone, Debug)]
pub struct RangeSettings {
    /// How much one request asks for, in bytes; at least 1.
    pub range_bytes: u64,
    /// How many requests are ahead.
    pub ahead: usize,
    /// How many tries may fail one after the other.
    pub tries_max: u32,
    /// The waits between tries.
    pub backoff: Backoff,
    /// Draws the waits.
    pub random: Arc<dyn Random>,
}

impl RangeSettings {
    /// The settings of the importer.
    pub fn new(random: Arc<dyn Random>) -> Self {
        Self { range_bytes: RANGE_BYTES, ahead: RANGES_AHEAD, tries_max: TRIES_MAX, backoff: BACKOFF, random }
    }
}

/// Reads an object from its beginning to its end. Errors carry a [`ReadingError`], and stay.
///
/// It blocks: read it on a blocking thread, never in a task. Dropping it ends its requests.
pub struct RangeReader {
    ranges: Arc<dyn Ranges>,
    runtime: Handle,
    settings: RangeSettings,
    size: u64,
    /// The first byte that was not requested.
    requested: u64,
    /// What is left of the range that is being read.
    current: Bytes,
    ahead: VecDeque<Request>,
    failed: Option<ReadingError>,
}

/// A range under way. It ends when it is dropped.
struct Request(JoinHandle<Result<Bytes, ReadingError>>);

impl Drop for Request {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RangeReader {
    /// A reader of the `size` bytes of an object. Requests run on `runtime`.
    pub fn new(ranges: Arc<dyn Ranges>, size: u64, runtime: Handle, settings: RangeSettings) -> Self {
        Self {
            ranges,
            runtime,
            settings,
            size,
            requested: 0,
            current: Bytes::new(),
            ahead: VecDeque::new(),
            failed: None,
        }
    }

    fn request_ahead(&mut self, ahead: usize) {
        while self.ahead.len() < ahead && self.requested < self.size {
            let from = self.requested;
            let len = self.settings.range_bytes.max(1).min(self.size - from);
            self.requested += len;
            let (ranges, settings) = (Arc::clone(&self.ranges), self.settings.clone());
            let range = async move { read_range(ranges.as_ref(), from, len, &settings).await };
            self.ahead.push_back(Request(self.runtime.spawn(range)));
        }
    }

    /// The next range; empty at the end.
    fn next_range(&mut self) -> Result<Bytes, ReadingError> {
        // The one that is awaited counts: so much is in flight, and no more.
        self.request_ahead(self.settings.ahead.max(1));
        let Some(mut request) = self.ahead.pop_front() else { return Ok(Bytes::new()) };
        let range = self.runtime.block_on(&mut request.0);
        let range =
            range.unwrap_or_else(|stopped| Err(ReadingError::Refused(Told::plain(stopped.to_string()))))?;
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
            // Freed before the next one is awaited.
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

impl fmt::Debug for RangeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RangeReader")
            .field("size", &self.size)
            .field("requested", &self.requested)
            .finish_non_exhaustive()
    }
}

/// Reads a whole range. After a failure it goes on at the first byte that is missing.
async fn read_range(
    ranges: &dyn Ranges,
    from: u64,
    len: u64,
    settings: &RangeSettings,
) -> Result<Bytes, ReadingError> {
    let mut parts = Parts::default();
    let mut tries = 0;
    loop {
        let at = from + parts.len();
        let left = len - parts.len();
        let last = match ranges.get(at, left).await {
            Ok(part) if part.len() as u64 > left => {
                let sent = part.len();
                let what = format!("asked for {left} bytes, it sent {sent}");
                return Err(ReadingError::Refused(Told::plain(what)));
            }
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
            Err(RangeError::Transient(last)) => last,
            Err(RangeError::Changed) => return Err(ReadingError::Changed),
            Err(RangeError::Missing) => return Err(ReadingError::Missing),
            Err(RangeError::Denied(why)) => return Err(ReadingError::Denied(why)),
            Err(RangeError::Refused(why)) => return Err(ReadingError::Refused(why)),
        };
        tries += 1;
        if tries >= settings.tries_max {
            return Err(ReadingError::Unreachable { at: from + parts.len(), tries, last });
        }
        tokio::time::sleep(settings.backoff.wait(tries, settings.random.as_ref())).await;
    }
}

/// The parts of a range. Nearly always there is only one, which is not copied.
#[derive(Default)]
struct Parts {
    first: Bytes,
    joined: BytesMut,
}

impl Parts {
    fn len(&self) -> u64 {
        (self.first.len() + self.joined.len()) as u64
    }

    /// Adds a part; `left` bytes were missing before it.
    fn push(&mut self, part: Bytes, left: u64) {
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

    fn whole(self) -> Bytes {
        if self.joined.is_empty() { self.first } else { self.joined.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use super::super::test_bytes::{Dribble, rows};
    use super::super::typed;
    use super::*;

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

    /// An object whose answers are chosen by a function of the request's number and the bytes it would get.
    struct Fake<F> {
        object: Vec<u8>,
        answer: F,
        requests: AtomicU64,
        under_way: AtomicUsize,
        most_under_way: AtomicUsize,
        asked: Mutex<Vec<(u64, u64)>>,
    }

    impl<F: Fn(u64, Bytes) -> Result<Bytes, RangeError> + Send + Sync> Fake<F> {
        fn new(object: &[u8], answer: F) -> Arc<Self> {
            Arc::new(Self {
                object: object.to_vec(),
                answer,
                requests: AtomicU64::new(0),
                under_way: AtomicUsize::new(0),
                most_under_way: AtomicUsize::new(0),
                asked: Mutex::default(),
            })
        }
    }

    impl<F: Fn(u64, Bytes) -> Result<Bytes, RangeError> + Send + Sync> Ranges for Fake<F> {
        fn get(&self, from: u64, len: u64) -> BoxFuture<'_, Result<Bytes, RangeError>> {
            Box::pin(async move {
                let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
                self.asked.lock().unwrap().push((from, len));
                let number = self.requests.fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                let from = usize::try_from(from).unwrap();
                let bytes = &self.object[from..from + usize::try_from(len).unwrap()];
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                (self.answer)(number, Bytes::copy_from_slice(bytes))
            })
        }
    }

    fn settings(range_bytes: u64) -> RangeSettings {
        let backoff = Backoff { first: Duration::from_micros(1), cap: Duration::from_micros(9) };
        RangeSettings { range_bytes, backoff, ..RangeSettings::new(seeded(7)) }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    fn read<F>(fake: &Arc<Fake<F>>, settings: RangeSettings) -> io::Result<Vec<u8>>
    where
        F: Fn(u64, Bytes) -> Result<Bytes, RangeError> + Send + Sync + 'static,
    {
        let runtime = runtime();
        let ranges: Arc<dyn Ranges> = Arc::<Fake<F>>::clone(fake);
        let size = fake.object.len() as u64;
        let mut read = Vec::new();
        let mut reader = RangeReader::new(ranges, size, runtime.handle().clone(), settings);
        Dribble(&mut reader, 700).read_to_end(&mut read)?;
        assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
        Ok(read)
    }

    #[test]
    fn an_object_is_read_whole_with_two_requests_at_most() {
        let text = rows(600);
        for size in [0, 1, 999, 1_000, 1_001, 3_000, 8_000, text.len()] {
            let fake = Fake::new(&text[..size], |_, bytes| Ok(bytes));
            assert!(read(&fake, settings(1_000)).unwrap() == text[..size], "{size}");
            assert_eq!(fake.requests.load(Ordering::SeqCst), size.div_ceil(1_000) as u64, "{size}");
            assert!(fake.most_under_way.load(Ordering::SeqCst) <= RANGES_AHEAD);
        }
    }

    #[test]
    fn ranges_ahead_are_bounded_while_nobody_reads() {
        let fake = Fake::new(&rows(600), |_, bytes| Ok(bytes));
        let runtime = runtime();
        let ranges: Arc<dyn Ranges> = Arc::<Fake<_>>::clone(&fake);
        let mut reader = RangeReader::new(ranges, 10_000, runtime.handle().clone(), settings(1_000));
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
            let fake = Fake::new(&text, move |_, mut bytes| match random.next_u64() % 4 {
                0 => Err(RangeError::Transient("reset".into())),
                1 => {
                    let len = usize::try_from(random.next_u64()).unwrap_or(0) % (bytes.len() + 1);
                    Ok(bytes.split_to(len))
                }
                _ => Ok(bytes),
            });
            let patient = RangeSettings { tries_max: 60, ..settings(1_000) };
            assert!(read(&fake, patient).unwrap() == text, "seed {seed}");
        }
        let fake = Fake::new(&text[..1_000], |number, mut bytes| match number {
            0 => Ok(bytes.split_to(400)),
            1 => Err(RangeError::Transient("reset".into())),
            _ => Ok(bytes),
        });
        assert!(read(&fake, settings(1_000)).unwrap() == text[..1_000]);
        assert_eq!(*fake.asked.lock().unwrap(), [(0, 1_000), (400, 600), (400, 600)]);
    }

    fn failed<F>(object: &[u8], answer: F) -> (ReadingError, u64)
    where
        F: Fn(u64, Bytes) -> Result<Bytes, RangeError> + Send + Sync + 'static,
    {
        let fake = Fake::new(object, answer);
        let error = read(&fake, RangeSettings { ahead: 1, ..settings(1_000) }).unwrap_err();
        (typed::<ReadingError>(&error).unwrap().clone(), fake.requests.load(Ordering::SeqCst))
    }

    #[test]
    fn six_failures_in_a_row_are_the_end() {
        let text = rows(30);
        let reset = || Err(RangeError::Transient("reset".into()));
        let unreachable =
            |at, last: &str| ReadingError::Unreachable { at, tries: 6, last: Told::plain(last) };
        assert_eq!(failed(&text[..500], move |_, _| reset()), (unreachable(0, "reset"), 6));
        // Bytes are progress, so the count starts again: one failure with bytes, and five without.
        let (error, requests) = failed(&text[..500], move |number, mut bytes| match number {
            5 => Ok(bytes.split_to(400)),
            _ => reset(),
        });
        assert_eq!((error, requests), (unreachable(400, "reset"), 11));
        // An answer without a byte is none.
        let (error, requests) = failed(&text[..500], |_, _| Ok(Bytes::new()));
        assert_eq!((error, requests), (unreachable(0, "the connection broke"), 6));
    }

    #[test]
    fn what_a_retry_does_not_change_is_not_retried() {
        let text = rows(30);
        let check = |answer: RangeError, expected: ReadingError| {
            let (error, requests) = failed(&text[..500], move |_, _| Err(answer.clone()));
            assert_eq!((error, requests), (expected, 1));
        };
        let why = || Told::private("no");
        check(RangeError::Changed, ReadingError::Changed);
        check(RangeError::Missing, ReadingError::Missing);
        check(RangeError::Denied(why()), ReadingError::Denied(why()));
        check(RangeError::Refused(why()), ReadingError::Refused(why()));
        let (error, _) =
            failed(&text[..500], |_, bytes| Ok([bytes, Bytes::from_static(b"x")].concat().into()));
        assert!(matches!(error, ReadingError::Refused(_)));
    }

    #[test]
    fn an_object_that_changes_half_way_is_an_error_that_stays() {
        let text = rows(600);
        let fake =
            Fake::new(&text, |number, bytes| if number < 3 { Ok(bytes) } else { Err(RangeError::Changed) });
        let runtime = runtime();
        let ranges: Arc<dyn Ranges> = Arc::<Fake<_>>::clone(&fake);
        let size = text.len() as u64;
        let one = RangeSettings { ahead: 1, ..settings(1_000) };
        let mut reader = RangeReader::new(ranges, size, runtime.handle().clone(), one);
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).unwrap_err();
        assert!(read == text[..3_000]);
        for error in [error, reader.read(&mut [0; 9]).unwrap_err()] {
            assert_eq!(typed::<ReadingError>(&error), Some(&ReadingError::Changed));
        }
        assert!(fake.requests.load(Ordering::SeqCst) <= 5);
    }

    #[test]
    fn a_runtime_that_stops_is_an_error() {
        let fake = Fake::new(&rows(30), |_, bytes| Ok(bytes));
        let runtime = runtime();
        let ranges: Arc<dyn Ranges> = fake;
        let mut reader = RangeReader::new(ranges, 500, runtime.handle().clone(), settings(100));
        runtime.shutdown_background();
        assert!(reader.read(&mut [0; 9]).is_err());
    }
}
