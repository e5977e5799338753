//! The list of a running node: a queue, the thread that writes it, and readers.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::database::{About, Bounds, Database, DayKey, DaySum, ListError};
use crate::delivery::{Delivered, DeliveredList};
use crate::lock::lock;
use crate::object::ObjectKey;
use crate::once_a_minute::OnceAMinute;
use crate::sources::SourceId;
use crate::tasks::{caught_now, caught_quietly};
use crate::time::{Clock, UnixMillis};
use crate::words::about_bytes;

/// Objects that may wait to be written. Further ones are counted, and not listed.
pub(super) const QUEUE_MAX: usize = 10_000;
/// Minimum time between two writes, so that their syncs do not compete with those of the spool.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How long to wait after a write failed.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Bytes that the list leaves free on its file system. The spool needs them more.
const LEFT_FREE_BYTES: u64 = 64 * 1_024 * 1_024;

/// The list of deliveries. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Deliveries {
    shared: Arc<Running>,
}

/// Ends the thread with the last clone of the list.
#[derive(Debug)]
struct Running(Arc<Shared>);

impl Drop for Running {
    fn drop(&mut self) {
        self.queue().stop = true;
        self.changed.notify_all();
    }
}

impl Deref for Running {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// Why the list shows nothing: a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unlisted(String);

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    bounds: Bounds,
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    /// Notified when the queue changes, and when the thread has ended.
    changed: Condvar,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Queue {
    entries: VecDeque<Delivered>,
    /// Those that are being written.
    writing: Arc<[Delivered]>,
    /// Objects that found no place.
    missed: u64,
    stop: bool,
    ended: bool,
}

/// The state of the file.
#[derive(Debug, Default)]
enum Opened {
    /// The thread has not got to it yet.
    #[default]
    NotYet,
    /// There is none, because nothing was delivered yet.
    Nothing,
    Open(Arc<Database>),
    Failed(ListError),
}

impl Deliveries {
    /// Keeps the list in a file, which is made with the first object. A thread opens it: nothing here waits
    /// or fails.
    pub fn start(path: &Path, clock: Arc<dyn Clock>) -> Self {
        Self::with_bounds(path, clock, Bounds::default())
    }

    pub(super) fn with_bounds(path: &Path, clock: Arc<dyn Clock>, bounds: Bounds) -> Self {
        let (queue, changed, opened) = (Mutex::default(), Condvar::new(), Mutex::default());
        let shared = Arc::new(Shared { path: path.to_owned(), bounds, clock, queue, changed, opened });
        let of_thread = Arc::clone(&shared);
        let spawned = std::thread::Builder::new().name("deliveries".to_owned()).spawn(move || {
            if caught_now(|| of_thread.run()).is_err() {
                tracing::warn!("the list of deliveries is not kept any more, until the next start");
            }
            of_thread.fail(ListError::of("it is closed"));
            of_thread.queue().ended = true;
            of_thread.changed.notify_all();
        });
        if let Err(error) = spawned {
            tracing::warn!(%error, "no thread can be started for the list of deliveries; it stays empty");
            *lock(&shared.opened) = Opened::Failed(ListError::of(error));
            shared.queue().ended = true;
        }
        Self { shared: Arc::new(Running(shared)) }
    }

    /// Writes what waits, for at most `patience`, and closes the file. Waits for the disk.
    pub fn close(&self, patience: Duration) {
        let mut queue = self.shared.queue();
        queue.stop = true;
        self.shared.changed.notify_all();
        let waited = self.shared.changed.wait_timeout_while(queue, patience, |queue| !queue.ended);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let left = queue.entries.len();
        if left > 0 || !queue.ended {
            tracing::warn!(objects = left, "the last deliveries are not in the list of deliveries");
        }
    }

    /// What the list holds, and what it does not.
    /// Errors: [`Unlisted`]. All reading methods wait for the disk.
    pub fn about(&self) -> Result<About, Unlisted> {
        let on_the_way = self.shared.queue().missed;
        let about = self.shared.read(Database::about)?.unwrap_or_default();
        Ok(About { missed: about.missed.saturating_add(on_the_way), ..about })
    }

    /// At least `limit` objects delivered before `before`, the last one first, if there are as many. The page
    /// is longer if more were delivered in the same millisecond, at most twice as long.
    pub fn newest(
        &self,
        source: Option<&SourceId>,
        before: UnixMillis,
        limit: usize,
    ) -> Result<Vec<Delivered>, Unlisted> {
        Ok(self.shared.read(|database| database.newest(source, before, limit))?.unwrap_or_default())
    }

    /// The same of now, with the objects that are not written yet, of which there may be more.
    pub fn recent(&self, source: Option<&SourceId>, limit: usize) -> Result<Vec<Delivered>, Unlisted> {
        // The queue is read first: an object that is written meanwhile is found in the file.
        let mut recent: Vec<Delivered> = {
            let queue = self.shared.queue();
            let waiting = queue.writing.iter().chain(&queue.entries);
            waiting.filter(|entry| source.is_none_or(|id| *id == entry.source)).cloned().collect()
        };
        let mut known: HashSet<ObjectKey> = recent.iter().map(|entry| entry.key.clone()).collect();
        let written = self.newest(source, UnixMillis(i64::MAX), limit)?;
        recent.extend(written.into_iter().filter(|entry| known.insert(entry.key.clone())));
        recent.sort_by_key(|entry| Reverse(entry.delivered_at));
        Ok(recent)
    }

    /// At most `limit` objects of a day in the order of their delivery, after the one with the key `after`.
    /// `None` if that one is not listed.
    pub fn of_day(
        &self,
        of: &DayKey,
        after: Option<&ObjectKey>,
        limit: usize,
    ) -> Result<Option<Vec<Delivered>>, Unlisted> {
        let read = self.shared.read(|database| database.of_day(of, after, limit))?;
        Ok(read.unwrap_or_else(|| after.is_none().then(Vec::new)))
    }

    /// The objects with these keys, those that are listed.
    pub fn with_keys(&self, keys: &[ObjectKey]) -> Result<Vec<Delivered>, Unlisted> {
        Ok(self.shared.read(|database| database.with_keys(keys))?.unwrap_or_default())
    }

    /// At most `limit` sums of `source` or of all, of the last day first, and how many there are.
    pub fn sums(
        &self,
        source: Option<&SourceId>,
        limit: usize,
    ) -> Result<(Vec<(DayKey, DaySum)>, u64), Unlisted> {
        Ok(self.shared.read(|database| database.sums(source, limit))?.unwrap_or_default())
    }
}

impl DeliveredList for Deliveries {
    fn add(&self, object: Delivered) {
        let mut queue = self.shared.queue();
        if queue.entries.len() >= QUEUE_MAX || queue.ended {
            queue.missed = queue.missed.saturating_add(1);
        } else {
            queue.entries.push_back(object);
            self.shared.changed.notify_all();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        lock(&self.queue)
    }

    /// Opens what is there, and writes what comes, until the list is closed.
    fn run(&self) {
        let mut failures = OnceAMinute::default();
        let mut report = |result: Result<(), ListError>| -> Duration {
            let Err(error) = result else { return WRITE_EVERY };
            if let Some(line) = failures.happened((), self.clock.monotonic()) {
                tracing::warn!(times = line.times, "{}", self.in_words(&error));
            }
            self.fail(error);
            AGAIN_AFTER
        };
        let mut next = Duration::ZERO;
        if !self.path.exists() {
            *lock(&self.opened) = Opened::Nothing;
        } else if let failed @ Err(_) = guarded(|| self.database().map(drop)) {
            next = self.clock.monotonic().saturating_add(report(failed));
        }
        while let Some((entries, missed)) = self.next_batch(next) {
            let written = guarded(|| self.write(&entries, missed));
            match written {
                Ok(()) => self.queue().writing = Arc::default(),
                Err(_) => self.put_back(&entries, missed),
            }
            next = report(written).saturating_add(self.clock.monotonic());
        }
    }

    /// Waits for objects, and until `next`. `None` if the list is closed and nothing more can be written.
    fn next_batch(&self, next: Duration) -> Option<(Arc<[Delivered]>, u64)> {
        let mut queue = self.queue();
        loop {
            let wait = next.saturating_sub(self.clock.monotonic());
            let something = !queue.entries.is_empty();
            if queue.stop && (!something || self.has_failed()) {
                return None;
            }
            if something && (wait.is_zero() || queue.stop) {
                queue.writing = queue.entries.drain(..).collect();
                return Some((Arc::clone(&queue.writing), std::mem::take(&mut queue.missed)));
            }
            // A file that could not be opened is tried again, so that its list is shown once it is repaired
            // or removed.
            if wait.is_zero() && self.has_failed() {
                return Some((Arc::default(), 0));
            }
            queue = if something || self.has_failed() {
                self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0
            } else {
                self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner)
            };
        }
    }

    /// Keeps objects that could not be written for the next try.
    fn put_back(&self, entries: &[Delivered], missed: u64) {
        let mut queue = self.queue();
        queue.writing = Arc::default();
        queue.missed = queue.missed.saturating_add(missed);
        for entry in entries.iter().rev() {
            if queue.entries.len() < QUEUE_MAX {
                queue.entries.push_front(entry.clone());
            } else {
                queue.missed = queue.missed.saturating_add(1);
            }
        }
    }

    fn write(&self, entries: &[Delivered], missed: u64) -> Result<(), ListError> {
        if !self.path.exists() {
            // What is written to a removed file would be lost at the next start.
            if matches!(*lock(&self.opened), Opened::Open(_)) {
                let file = self.path.display();
                tracing::warn!("the list of deliveries {file} was removed; a new list begins");
            }
            self.close_for(Opened::Nothing);
            if entries.is_empty() {
                return Ok(());
            }
        }
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let about = rustix::fs::statvfs(dir)?;
        let free = about.f_bavail.saturating_mul(about.f_frsize);
        if !entries.is_empty() && free < LEFT_FREE_BYTES {
            let least = about_bytes(LEFT_FREE_BYTES);
            return Err(ListError::of(format!(
                "less than {least} are free on the disk, and the spool needs them"
            )));
        }
        let database = self.database()?;
        if entries.is_empty() {
            return Ok(());
        }
        database.add(entries, missed, self.clock.wall())
    }

    /// The open file. It is made if it does not exist.
    fn database(&self) -> Result<Arc<Database>, ListError> {
        // After a failure the file is opened anew: an embedded database refuses everything after one.
        if let Opened::Open(database) = &*lock(&self.opened) {
            return Ok(Arc::clone(database));
        }
        // Not locked meanwhile: after a crash this reads the whole file, and readers must not wait for it.
        let database = Arc::new(Database::open(&self.path, self.bounds, self.clock.wall())?);
        *lock(&self.opened) = Opened::Open(Arc::clone(&database));
        Ok(database)
    }

    fn fail(&self, error: ListError) {
        self.close_for(Opened::Failed(error));
    }

    /// Closes the file, if it is open.
    fn close_for(&self, next: Opened) {
        let before = std::mem::replace(&mut *lock(&self.opened), next);
        let closed = guarded(|| {
            drop(before);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::debug!(%error, "the list of deliveries could not be closed");
        }
    }

    fn has_failed(&self) -> bool {
        matches!(*lock(&self.opened), Opened::Failed(_))
    }

    /// Reads from the file; `None` if there is none.
    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, ListError>) -> Result<Option<T>, Unlisted> {
        let database = match &*lock(&self.opened) {
            Opened::Nothing => return Ok(None),
            Opened::NotYet => return Err(Unlisted("the list of deliveries is being opened".to_owned())),
            Opened::Failed(error) => return Err(Unlisted(self.in_words(error))),
            Opened::Open(database) => Arc::clone(database),
        };
        guarded(|| read(&database)).map(Some).map_err(|error| Unlisted(self.in_words(&error)))
    }

    fn in_words(&self, error: &ListError) -> String {
        format!(
            "the list of deliveries cannot be kept in {}: {error}; deliveries go on; if the file is damaged, remove it, and \
             a new list begins",
            self.path.display()
        )
    }
}

/// The database panics on some damage.
fn guarded<T>(work: impl FnOnce() -> Result<T, ListError>) -> Result<T, ListError> {
    caught_quietly(work).unwrap_or_else(|_| Err(ListError::of("its content makes no sense")))
}
