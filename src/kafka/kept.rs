//! Objects of left seals that are at hand: the oldest of each place that refuses, for the next try, and those
//! that were built again because their place takes objects now.
//!
//! A place is a source at a bucket: either may be what a bucket refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::disk::{Disk, DiskFile, StagingDisk, is_no_handle, read_all};
use crate::lock::{lock, wait_while_at_most};
use crate::log::{KeptBytes, KeptObject, PendingSeal, Seal};
use crate::object::BucketString;
use crate::partition::gone::is_gone;
use crate::sources::SourceId;

/// Objects of places that refuse take at most this part of the cache, and so do those that are built to be put.
/// One object of each kind may be larger.
const PART: u64 = 10;
/// How long after its last build an object of a place that refuses is built again, if none is kept of it.
const BUILD_AGAIN: Duration = Duration::from_secs(60);
/// How long an object rests that could not be built, and at most: each time twice as long, or a few that never can
/// be built would be tried all the time, and no other one.
const REST: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(3_600);

/// How long an object is at hand, if others have no room. It was tried many times by then.
const AT_HAND: Duration = Duration::from_secs(600);

/// A source at a bucket.
pub(super) type Place = (SourceId, BucketString);

fn place(seal: &Seal) -> Place {
    (seal.batch.source.clone(), seal.location.bucket.clone())
}

/// An object in a file of the cache's folder, removed when it is dropped.
#[derive(Debug)]
pub(super) struct KeptFile {
    disk: Arc<dyn Disk>,
    name: String,
    len: u64,
    crc32: u32,
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.name) {
            tracing::warn!(%error, file = self.name, "an object could not be removed; the next start removes it");
        }
    }
}

/// An object that is being written.
#[derive(Debug)]
pub(super) struct KeptWriter {
    kept: KeptFile,
    file: Arc<dyn DiskFile>,
    crc32: crc32fast::Hasher,
}

impl Write for KeptWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write_at(&[IoSlice::new(bytes)], self.kept.len)?;
        self.crc32.update(bytes);
        self.kept.len += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl KeptWriter {
    /// The object, complete.
    pub(super) fn finish(self) -> KeptFile {
        let Self { mut kept, crc32, .. } = self;
        kept.crc32 = crc32.finalize();
        kept
    }
}

/// Objects of left seals that are at hand.
#[derive(Debug)]
pub(super) struct Kept {
    staging: StagingDisk,
    at_hand: Mutex<AtHand>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct AtHand {
    objects: BTreeMap<u64, Object>,
    /// Places that have taken an object since one was last left.
    take: BTreeSet<Place>,
    /// When an object of a place that refuses was last built, by the monotonic clock.
    built: BTreeMap<Place, Duration>,
    /// Objects that could not be built.
    rest: BTreeMap<u64, Rest>,
    /// Objects that were built with other lines than were sealed.
    differ: BTreeSet<u64>,
    /// The most bytes of the cache.
    cache_bytes: u64,
    /// Where the log begins, as was said last.
    begins_at: u64,
    /// Whether there may be something to build.
    woken: bool,
}

/// An object that is at hand.
#[derive(Debug)]
struct Object {
    seal: Seal,
    file: KeptFile,
    /// Since when, by the monotonic clock.
    since: Duration,
}

/// How long an object rests that could not be built.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Duration,
    lasts: Duration,
}

/// Which left objects are wanted now: pass them oldest first.
pub(super) struct Wish<'k> {
    at_hand: &'k AtHand,
    now: Duration,
    /// Places of which an object is kept, or wanted by this.
    probed: BTreeSet<Place>,
    /// Objects and bytes of places that refuse, and of those that take.
    refused: (usize, u64),
    taken: (usize, u64),
}

impl Wish<'_> {
    /// Whether to build this object.
    pub(super) fn wants(&mut self, pending: &PendingSeal) -> bool {
        let (number, place) = (pending.seal.number, place(&pending.seal));
        let rests = self.at_hand.rest.get(&number).is_some_and(|rest| self.now < rest.until);
        if rests || self.at_hand.objects.contains_key(&number) {
            return false;
        }
        let takes = self.at_hand.take.contains(&place);
        let lately = |at: &Duration| self.now.saturating_sub(*at) < BUILD_AGAIN;
        if !takes && (self.probed.contains(&place) || self.at_hand.built.get(&place).is_some_and(lately)) {
            return false;
        }
        let len = pending.parked.map_or(pending.bytes(), |parked| parked.len);
        let (objects, bytes) = if takes { &mut self.taken } else { &mut self.refused };
        let fits = *objects == 0 || *bytes + len <= self.at_hand.cache_bytes / PART;
        if fits {
            (*objects, *bytes) = (*objects + 1, *bytes + len);
            self.probed.insert(place);
        }
        fits
    }
}

impl AtHand {
    fn wish(&self, now: Duration) -> Wish<'_> {
        let mut wish = Wish { at_hand: self, now, probed: BTreeSet::new(), refused: (0, 0), taken: (0, 0) };
        for Object { seal, file, .. } in self.objects.values() {
            let place = place(seal);
            let (objects, bytes) =
                if self.take.contains(&place) { &mut wish.taken } else { &mut wish.refused };
            (*objects, *bytes) = (*objects + 1, *bytes + file.len);
            wish.probed.insert(place);
        }
        wish
    }
}

impl Kept {
    /// Nothing is at hand.
    pub(super) fn new(staging: StagingDisk, cache_bytes: u64) -> Self {
        let at_hand = AtHand { cache_bytes, ..AtHand::default() };
        Self { staging, at_hand: Mutex::new(at_hand), changed: Condvar::new() }
    }

    /// The log begins at this offset now.
    pub(super) fn log_begins_at(&self, offset: u64) {
        lock(&self.at_hand).begins_at = offset;
    }

    /// Changes the bytes of the cache.
    pub(super) fn set_cache_bytes(&self, max: u64) {
        lock(&self.at_hand).cache_bytes = max;
    }

    /// A new file for an object.
    pub(super) fn begin(&self) -> io::Result<KeptWriter> {
        // Terms that follow each other in a process may have one folder.
        static LAST: AtomicU64 = AtomicU64::new(0);
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let (disk, name) = (Arc::clone(&self.staging.disk), format!("parked/left-{number}.gz"));
        let file = disk.create(&name)?;
        let kept = KeptFile { disk, name, len: 0, crc32: 0 };
        Ok(KeptWriter { kept, file, crc32: crc32fast::Hasher::new() })
    }

    /// Copies an object that is about to be left, if it is the one that its place is tried with next. `None` if
    /// it is not, or there is no space for it: then it is built for its next try.
    pub(super) fn copy(&self, seal: &Seal, object: &mut dyn io::Read, len: u64) -> Option<KeptFile> {
        let pending = PendingSeal::of(seal.clone());
        {
            let mut at_hand = lock(&self.at_hand);
            at_hand.take.remove(&place(seal));
            at_hand.built.remove(&place(seal));
            let mut wish = at_hand.wish(Duration::ZERO);
            if len > at_hand.cache_bytes / PART || !wish.wants(&pending) {
                return None;
            }
        }
        let copied = self.begin().and_then(|mut to| {
            io::copy(object, &mut to)?;
            Ok(to.finish())
        });
        copied
            .inspect_err(
                |error| tracing::debug!(%error, seal = seal.number, "an object is built again later"),
            )
            .ok()
    }

    /// An object is at hand.
    pub(super) fn insert(&self, seal: &Seal, file: KeptFile, now: Duration) {
        let mut at_hand = lock(&self.at_hand);
        at_hand.built.insert(place(seal), now);
        at_hand.differ.remove(&seal.number);
        at_hand.rest.remove(&seal.number);
        at_hand.objects.insert(seal.number, Object { seal: seal.clone(), file, since: now });
    }

    /// Lets objects go that were at hand for long, if half of the room is in use: they are built again, and others
    /// have their turn meanwhile. A place that refuses for days would keep all others from being tried. What the log cannot
    /// build again stays.
    pub(super) fn let_go(&self, now: Duration) {
        let mut gone = Vec::new();
        {
            let mut at_hand = lock(&self.at_hand);
            let wish = at_hand.wish(now);
            let is_half = |(_, bytes): (usize, u64)| bytes >= at_hand.cache_bytes / PART / 2;
            let is_full = (is_half(wish.refused), is_half(wish.taken));
            let long: Vec<u64> = at_hand
                .objects
                .iter()
                .filter(|(_, Object { seal, since, .. })| {
                    let is_full = if at_hand.take.contains(&place(seal)) { is_full.1 } else { is_full.0 };
                    is_full && now.saturating_sub(*since) >= AT_HAND && !is_gone(seal, at_hand.begins_at)
                })
                .map(|(number, _)| *number)
                .collect();
            for number in long {
                gone.extend(at_hand.objects.remove(&number));
                at_hand.rest.insert(number, Rest { until: now.saturating_add(REST), lasts: REST });
            }
            for Object { seal, .. } in &gone {
                at_hand.built.insert(place(seal), now);
            }
        }
        // The files are removed without the lock.
        drop(gone);
    }

    /// An object could not be built: it rests.
    pub(super) fn rests(&self, number: u64, now: Duration) {
        let rest = &mut lock(&self.at_hand).rest;
        let lasts = rest.get(&number).map_or(REST, |rest| (2 * rest.lasts).min(REST_MAX));
        rest.insert(number, Rest { until: now.saturating_add(lasts), lasts });
    }

    /// An object was built with other lines than were sealed: it is not put, and rests.
    pub(super) fn differs(&self, number: u64, now: Duration) {
        lock(&self.at_hand).differ.insert(number);
        self.rests(number, now);
    }

    /// How many of these objects were built with other lines than were sealed.
    pub(super) fn differing<V>(&self, left: &BTreeMap<u64, V>) -> usize {
        let mut at_hand = lock(&self.at_hand);
        at_hand.differ.retain(|number| left.contains_key(number));
        at_hand.rest.retain(|number, _| left.contains_key(number));
        at_hand.differ.len()
    }

    /// An object is in the store: its place takes objects.
    pub(super) fn stored(&self, seal: &Seal) {
        let mut at_hand = lock(&self.at_hand);
        at_hand.rest.remove(&seal.number);
        at_hand.take.insert(place(seal));
        at_hand.woken = true;
        let removed = at_hand.objects.remove(&seal.number);
        drop(at_hand);
        // The file is removed without the lock.
        drop(removed);
        self.changed.notify_all();
    }

    /// Whether the object of a left seal is at hand.
    pub(super) fn has(&self, number: u64) -> bool {
        lock(&self.at_hand).objects.contains_key(&number)
    }

    /// The numbers of all that are at hand.
    pub(super) fn numbers(&self) -> BTreeSet<u64> {
        lock(&self.at_hand).objects.keys().copied().collect()
    }

    /// The object of a left seal, for a put.
    /// Errors: the disk's; `NotFound` if it is not at hand, `UnexpectedEof` if its file was cut.
    pub(super) fn open(&self, number: u64) -> io::Result<KeptObject> {
        let at_hand = lock(&self.at_hand);
        let Some(Object { file: KeptFile { disk, name, len, crc32 }, .. }) = at_hand.objects.get(&number)
        else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the object is not built yet"));
        };
        let file = disk.open(name)?;
        if file.len()? != *len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = match disk.path(name) {
            Some(path) => KeptBytes::File { path, len: *len },
            None => KeptBytes::Memory(read_all(&*file)?),
        };
        Ok(KeptObject { bytes, crc32: *crc32 })
    }

    /// Reads the file of an object that could not be put. If it is damaged or gone, and the log still has the lines, it is let
    /// go, and built again after a rest. Returns whether it is. Waits for the disk.
    pub(super) fn lets_damaged_go(&self, number: u64, now: Duration) -> bool {
        let (disk, name, len, crc32) = {
            let at_hand = lock(&self.at_hand);
            // It was let go meanwhile.
            let Some(Object { seal, file, .. }) = at_hand.objects.get(&number) else { return true };
            if is_gone(seal, at_hand.begins_at) {
                return false;
            }
            (Arc::clone(&file.disk), file.name.clone(), file.len, file.crc32)
        };
        let is_sound = match disk.open(&name).and_then(|file| read_all(&*file)) {
            Ok(bytes) => bytes.len() as u64 == len && crc32fast::hash(&bytes) == crc32,
            Err(error) => is_no_handle(&error),
        };
        if is_sound {
            return false;
        }
        self.rests(number, now);
        let removed = {
            let mut at_hand = lock(&self.at_hand);
            let is_same = at_hand.objects.get(&number).is_some_and(|object| object.file.name == name);
            if is_same { at_hand.objects.remove(&number) } else { None }
        };
        // The file is removed without the lock.
        drop(removed);
        true
    }

    /// Asks which left objects are to be built.
    pub(super) fn wish<T>(&self, now: Duration, ask: impl FnOnce(&mut Wish<'_>) -> T) -> T {
        ask(&mut lock(&self.at_hand).wish(now))
    }

    /// Waits until there may be something to build, for `at_most` at most.
    pub(super) fn wait(&self, at_most: Duration) {
        wait_while_at_most(&self.changed, lock(&self.at_hand), at_most, |at_hand| !at_hand.woken).woken =
            false;
    }

    /// Ends a wait: the term is over.
    pub(super) fn wake(&self) {
        lock(&self.at_hand).woken = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchKey;
    use crate::disk::real_disk::RealDisk;
    use crate::log::notes::CallState;
    use crate::log::{Encoded, Parked};
    use crate::object::{Encryption, ObjectKey, S3Location, Stream};
    use crate::time::UnixMillis;

    /// A left object of a source, of so many bytes.
    fn left(number: u64, source: &str, len: u64) -> PendingSeal {
        let batch = BatchKey {
            source: SourceId::new(source).unwrap(),
            day: UnixMillis(0).day(),
            stream: Stream::Calls,
        };
        let to = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
        let encoded = Encoded { first: number, last: number, frames: 1, ..Encoded::default() };
        let seal = CallState::new().seal_of(&batch, &encoded, to, ObjectKey::listed("object")).unwrap();
        let parked = Some(Parked { len, crc32: 0 });
        PendingSeal { parked, ..PendingSeal::of(Seal { number, ..seal }) }
    }

    fn kept(cache_bytes: u64) -> (Kept, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::open(dir.path()).unwrap());
        let staging = StagingDisk { disk, in_memory: Arc::default() };
        (Kept::new(staging, cache_bytes), dir)
    }

    fn wants(kept: &Kept, now: u64, left: &[PendingSeal]) -> Vec<u64> {
        kept.wish(Duration::from_secs(now), |wish| {
            left.iter().filter(|pending| wish.wants(pending)).map(|pending| pending.seal.number).collect()
        })
    }

    #[test]
    fn of_a_place_that_refuses_the_oldest_is_tried_and_of_one_that_takes_all_that_fit() {
        let (kept, _dir) = kept(1_000);
        let all: Vec<PendingSeal> =
            (1..=6).map(|n| left(n, if n % 2 == 0 { "ios" } else { "web" }, 40)).collect();
        assert_eq!(wants(&kept, 0, &all), [1, 2]);
        let file = kept.copy(&all[0].seal, &mut [7; 40].as_slice(), 40).unwrap();
        kept.insert(&all[0].seal, file, Duration::ZERO);
        assert!(kept.has(1) && kept.copy(&all[2].seal, &mut [7; 40].as_slice(), 40).is_none());
        assert_eq!(wants(&kept, 0, &all), [2]);
        assert!(matches!(kept.open(1).unwrap().bytes, KeptBytes::File { len: 40, .. }));
        // The place takes objects: two of them are a tenth of the cache.
        kept.stored(&all[0].seal);
        assert_eq!((kept.has(1), wants(&kept, 0, &all[1..])), (false, vec![2, 3, 5]));
        // It refuses again.
        kept.copy(&all[2].seal, &mut [7; 40].as_slice(), 40).unwrap();
        assert_eq!(wants(&kept, 0, &all[2..]), [3, 4]);
    }

    /// A bucket that refuses for days had the room for itself, and objects of another one were never tried.
    #[test]
    fn what_is_at_hand_for_long_makes_room_for_others() {
        let (kept, _dir) = kept(1_000);
        let all = [left(1, "web", 80), left(2, "ios", 80)];
        let file = kept.copy(&all[0].seal, &mut [7; 80].as_slice(), 80).unwrap();
        kept.insert(&all[0].seal, file, Duration::ZERO);
        for (now, wanted, has) in [(599, &[][..], true), (600, &[2][..], false), (659, &[2][..], false)] {
            // The log has lost its lines.
            kept.log_begins_at(u64::MAX >> 12);
            kept.let_go(Duration::from_secs(now));
            assert!(kept.has(1) || !has);
            kept.log_begins_at(0);
            kept.let_go(Duration::from_secs(now));
            assert_eq!((wants(&kept, now, &all), kept.has(1)), (wanted.to_vec(), has), "{now}");
        }
        let mut file = kept.begin().unwrap();
        file.write_all(&[7; 80]).unwrap();
        kept.insert(&all[1].seal, file.finish(), Duration::from_secs(659));
        kept.let_go(Duration::from_secs(1_259));
        assert_eq!(wants(&kept, 1_259, &all), [1]);
    }

    /// It was tried from its file for ever, or until it had been at hand for ten minutes.
    #[test]
    fn an_object_whose_file_is_damaged_is_built_again() {
        let (kept, dir) = kept(1_000);
        let all = [left(1, "web", 80)];
        let file = kept.copy(&all[0].seal, &mut [7; 80].as_slice(), 80).unwrap();
        let name = file.name.clone();
        kept.insert(&all[0].seal, file, Duration::ZERO);
        let now = Duration::from_secs(60);
        assert!(!kept.lets_damaged_go(1, now) && kept.has(1), "it is sound: the store says something else");
        std::fs::write(dir.path().join(&name), [8; 80]).unwrap();
        kept.log_begins_at(u64::MAX >> 12);
        assert!(!kept.lets_damaged_go(1, now) && kept.has(1), "the log has lost its lines");
        kept.log_begins_at(0);
        assert!(kept.open(1).is_ok() && kept.lets_damaged_go(1, now) && !kept.has(1));
        assert_eq!((wants(&kept, 119, &all), wants(&kept, 120, &all)), (vec![], vec![1]));

        let file = kept.copy(&all[0].seal, &mut [7; 80].as_slice(), 80);
        assert!(file.is_none(), "it rests");
        let mut file = kept.begin().unwrap();
        file.write_all(&[7; 80]).unwrap();
        let name = file.kept.name.clone();
        kept.insert(&all[0].seal, file.finish(), now);
        std::fs::write(dir.path().join(&name), b"short").unwrap();
        assert_eq!(kept.open(1).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        std::fs::remove_file(dir.path().join(&name)).unwrap();
        assert_eq!(kept.open(1).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(kept.lets_damaged_go(1, now) && !kept.has(1));
    }

    #[test]
    fn one_object_may_be_larger_than_the_room_and_what_was_built_lately_rests() {
        let (kept, _dir) = kept(100);
        let all = [left(1, "web", 5_000), left(2, "ios", 5_000)];
        assert_eq!(wants(&kept, 0, &all), [1]);
        assert!(kept.copy(&all[0].seal, &mut [7; 50].as_slice(), 50).is_none(), "it is not kept for that");
        let in_log = |numbers: &[u64]| numbers.iter().map(|number| (*number, 0_u64)).collect();
        kept.differs(1, Duration::ZERO);
        assert_eq!(wants(&kept, 59, &all), [2]);
        assert_eq!((kept.differing(&in_log(&[1, 2])), kept.differing(&in_log(&[2]))), (1, 0));
        let mut file = kept.begin().unwrap();
        file.write_all(b"object").unwrap();
        kept.insert(&all[0].seal, file.finish(), Duration::ZERO);
        assert_eq!(wants(&kept, 60, &all), [] as [u64; 0], "the room is used");
        kept.rests(2, Duration::from_secs(60));
        kept.rests(2, Duration::from_secs(120));
        assert!(!kept.wish(Duration::from_secs(239), |wish| wish.wants(&all[1])));
        lock(&kept.at_hand).objects.clear();
        assert!(kept.wish(Duration::from_secs(240), |wish| wish.wants(&all[1])));
        assert_eq!((wants(&kept, 59, &all[..1]), wants(&kept, 60, &all[..1])), (vec![], vec![1]));
    }
}
