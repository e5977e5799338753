//! Keeps the progress of imports in a store that several importers share, so that one of them imports each
//! file.
//!
//! Each file has a record in the store. The importer of a file holds a lease on its record, and renews it. A
//! write replaces only the record that was read (a condition of the store), so of two importers that take a
//! lease one fails. The lease of an importer that died ends by itself, and another importer continues after
//! the last row that was recorded.
//!
//! Rows are sent before they are recorded, and not every step is recorded: after a crash, the rows of the
//! last seconds are sent again with the same messageIds.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::end::End;
use super::file_id::key_of;
use super::importer::admitted;
use super::progress_keeper::{ProgressKeeper, Taken};
use super::record::ImportRecord;
use super::target::{AGAIN, Begin, Begun, LATER, Rows, RowsTaken, Standing, TargetError};
use crate::boxed_future::BoxFuture;
use crate::lock::lock;
use crate::log::ImportKey;
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};
use crate::words::Told;

/// The duration of a lease.
const LEASE: Duration = Duration::from_secs(60);
/// The age at which a lease is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(20);
/// The interval at which leases are checked.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// The least interval between records of progress: each record is a request to the store.
const RECORD_EVERY: Duration = Duration::from_secs(2);
/// The largest difference between the clocks of two machines: a lease of another importer counts for so much
/// longer.
const CLOCKS_DIFFER: Duration = Duration::from_secs(10);

/// A version of a record in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag(pub String);

/// A record as the store has it.
pub type Stored = (Bytes, Tag);

/// Why a record was not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Another importer has changed the record.
    #[error("another importer has changed the record")]
    Changed,
    /// Nobody knows whether the record was written.
    #[error("{}", .0.masked())]
    Unknown(Told),
    /// The store refuses the write for good.
    #[error("{}", .0.masked())]
    Refused(Told),
}

/// The answer of a store of records.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, WriteError>>;

/// The store of the records. Reads give the last write, and writes have a condition.
pub trait SharedRecords: Send + Sync + fmt::Debug {
    /// The record of a file, with its version; `None` if there is none.
    /// Errors: [`WriteError::Unknown`] if it may be readable later, [`WriteError::Refused`] if not.
    fn read(&self, key: ImportKey) -> Answer<'_, Option<Stored>>;

    /// Writes a record that replaces a version, or a new record. Returns the version of the written record.
    /// Errors: [`WriteError`]: the record was not written, or nobody knows whether it was.
    fn write(&self, key: ImportKey, record: Bytes, replaces: Option<Tag>) -> Answer<'_, Tag>;
}

/// A record in its stored form.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Shared {
    /// The importer that wrote the record.
    importer: String,
    /// The number of writes of the record. With the importer, it shows whether a write whose answer was lost
    /// was done.
    revision: u64,
    /// The end of the lease, during which nobody else may import the file; `None`: anybody may.
    leased_until: Option<UnixMillis>,
    record: ImportRecord,
}

/// A file that this importer has a lease on.
#[derive(Debug)]
struct Held {
    shared: Shared,
    tag: Option<Tag>,
    written_at: UnixMillis,
}

type HeldFile = Arc<tokio::sync::Mutex<Held>>;

/// The progress of one importer.
#[derive(Debug)]
pub struct SharedProgress {
    records: Arc<dyn SharedRecords>,
    clock: Arc<dyn Clock>,
    importer: String,
    /// When this importer will certainly be gone, if that is known.
    gone_at: Option<UnixMillis>,
    held: Mutex<HashMap<ImportKey, HeldFile>>,
}

impl SharedProgress {
    /// Keeps progress in `records`. `importer` distinguishes this importer from all others, in words that
    /// help a person to find it. Leases are renewed in the background as long as the value lives. An importer
    /// that will certainly be gone at `gone_at` has no lease that lasts longer, so another importer need not
    /// wait for the lease to end.
    pub fn start(
        records: Arc<dyn SharedRecords>,
        clock: Arc<dyn Clock>,
        importer: String,
        gone_at: Option<UnixMillis>,
    ) -> Arc<Self> {
        let progress = Arc::new(Self { records, clock, importer, gone_at, held: Mutex::default() });
        tokio::spawn(renew_leases(Arc::downgrade(&progress)));
        progress
    }

    fn file(&self, key: ImportKey) -> Result<HeldFile, TargetError> {
        lock(&self.held).get(&key).map(Arc::clone).ok_or(TargetError::NotOpen)
    }

    fn lose(&self, key: ImportKey) {
        lock(&self.held).remove(&key);
    }

    async fn read(&self, key: ImportKey) -> Result<(Option<Shared>, Option<Tag>), TargetError> {
        let Some((bytes, tag)) = self.records.read(key).await.map_err(refusal)? else {
            return Ok((None, None));
        };
        let shared = serde_json::from_slice(&bytes).map_err(|error| {
            let what = Told::plain(format!("the journal's record {key} is not one of Forebay's: "));
            TargetError::Refused(what.and(&error.to_string().into()))
        })?;
        Ok((Some(shared), Some(tag)))
    }

    async fn renew(&self, key: ImportKey, held: &mut Held) -> Result<(), TargetError> {
        self.write(key, held, Some(LEASE)).await.map_err(|error| match error {
            WriteError::Changed => {
                self.lose(key);
                TargetError::NotOpen
            }
            other => refusal(other),
        })
    }

    /// Writes the record that is held. It replaces the version that was read or written last.
    async fn write(
        &self,
        key: ImportKey,
        held: &mut Held,
        lease: Option<Duration>,
    ) -> Result<(), WriteError> {
        let now = self.clock.wall();
        let until = |lease| now.plus(lease).min(self.gone_at.unwrap_or(UnixMillis(i64::MAX)));
        let (revision, leased_until) = (held.shared.revision + 1, lease.map(until));
        let shared = Shared { revision, leased_until, ..held.shared.clone() };
        let bytes = serde_json::to_vec(&shared).map(Bytes::from);
        let bytes = bytes.map_err(|error| WriteError::Refused(error.to_string().into()))?;
        let tag = match self.records.write(key, bytes.clone(), held.tag.clone()).await {
            Ok(tag) => tag,
            // An earlier try may have been done although its answer was lost.
            Err(WriteError::Changed) => match self.records.read(key).await? {
                Some((found, tag)) if self.is_own(&found, held) => {
                    held.tag = Some(tag);
                    self.records.write(key, bytes, held.tag.clone()).await?
                }
                _ => return Err(WriteError::Changed),
            },
            Err(other) => return Err(other),
        };
        *held = Held { shared, tag: Some(tag), written_at: now };
        Ok(())
    }

    /// Whether a record is the one that this importer wrote after `held`.
    fn is_own(&self, found: &[u8], held: &Held) -> bool {
        serde_json::from_slice::<Shared>(found)
            .is_ok_and(|found| found.importer == self.importer && found.revision == held.shared.revision + 1)
    }

    /// Renews the leases that need it.
    async fn renew_all(&self) {
        let all: Vec<(ImportKey, HeldFile)> =
            lock(&self.held).iter().map(|(key, held)| (*key, Arc::clone(held))).collect();
        for (key, file) in all {
            let mut held = file.lock().await;
            let is_held = lock(&self.held).get(&key).is_some_and(|now| Arc::ptr_eq(now, &file));
            if is_held
                && self.clock.wall() >= held.written_at.plus(RENEW_AFTER)
                && let Err(error) = self.renew(key, &mut held).await
            {
                tracing::debug!(error = error.masked(), "the lease on an import is not renewed");
            }
        }
    }
}

impl ProgressKeeper for SharedProgress {
    // Begins or continues an import, once no other importer has the file.
    fn begin(&self, begin: Begin, source: SourceId) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move {
            if begin.by_content {
                let why = "--id-from row-hash keeps the rows that it knows on this machine: use it without --journal";
                return Err(TargetError::Refused(why.into()));
            }
            let key = key_of(begin.file, &source, begin.import);
            let before = lock(&self.held).get(&key).map(Arc::clone);
            // The lease that this importer already holds stays locked until its successor replaces it, so
            // that nothing old is written over the new one.
            let before = match &before {
                Some(before) => Some(before.lock().await),
                None => None,
            };
            let (known, tag) = match &before {
                Some(before) => (Some(before.shared.clone()), before.tag.clone()),
                None => self.read(key).await?,
            };
            let now = self.clock.wall();
            if let Some(other) = known.as_ref().filter(|shared| shared.importer != self.importer)
                && let Some(until) = other.leased_until
                && now < until.plus(CLOCKS_DIFFER)
            {
                let why = format!("{} imports this file, or has died a short time ago", other.importer);
                return Err(TargetError::Later { after: LATER, why: Told::plain(why) });
            }
            let revision = known.as_ref().map_or(0, |shared| shared.revision);
            let known = known.map(|shared| shared.record);
            let admitted = admitted(known, &begin, (key, &source), now)?;
            let progress = admitted.record.progress;
            if admitted.standing != Standing::Done {
                let (importer, record) = (self.importer.clone(), admitted.record.clone());
                let shared = Shared { importer, revision, leased_until: None, record };
                let mut held = Held { shared, tag, written_at: now };
                self.write(key, &mut held, Some(LEASE)).await.map_err(|error| match error {
                    WriteError::Changed => {
                        let why = "another importer has just begun this file".into();
                        TargetError::Later { after: AGAIN, why }
                    }
                    other => refusal(other),
                })?;
                lock(&self.held).insert(key, Arc::new(tokio::sync::Mutex::new(held)));
            }
            Ok(admitted.begun(source, false, progress, progress.next_row))
        })
    }

    // Checks that these are the next rows, and that nobody else imports them now. Renews the lease if
    // needed.
    fn may_take(&self, rows: Rows) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move {
            let file = self.file(rows.import)?;
            let mut held = file.lock().await;
            if held.shared.record.progress.next_row != rows.first {
                return Err(TargetError::OtherRow);
            }
            let now = self.clock.wall();
            // A lease that ends with this importer is not renewed.
            let is_last =
                held.shared.leased_until.is_some_and(|until| Some(until) == self.gone_at && now < until);
            if !is_last && held.shared.leased_until.is_none_or(|until| now.plus(RENEW_AFTER) >= until) {
                self.renew(rows.import, &mut held).await?;
            }
            Ok(())
        })
    }

    // Notes rows that were sent. They are recorded within seconds.
    fn taken(&self, rows: Rows, taken: Taken) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            let file = self.file(rows.import)?;
            let mut held = file.lock().await;
            let progress = &mut held.shared.record.progress;
            if progress.next_row != rows.first {
                return Err(TargetError::OtherRow);
            }
            // The first rows fix the options, so they are recorded at once.
            let is_first = progress.next_row == 0;
            progress.next_row = rows.first.saturating_add(rows.rows);
            progress.stored = progress.stored.saturating_add(taken.new);
            progress.rejected = progress.rejected.saturating_add(rows.rejected);
            progress.repeats = progress.repeats.saturating_add(rows.repeats);
            let so_far = RowsTaken { progress: *progress };
            let is_due = is_first || self.clock.wall() >= held.written_at.plus(RECORD_EVERY);
            // The import continues without the store as long as the lease lasts.
            if is_due && let Err(error) = self.write(rows.import, &mut held, Some(LEASE)).await {
                tracing::debug!(%error, "the progress of an import is not recorded yet");
                if error == WriteError::Changed {
                    self.lose(rows.import);
                }
            }
            Ok(so_far)
        })
    }

    // Records how an import ended, and gives up the lease.
    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move {
            let file = self.file(end.import)?;
            let mut held = file.lock().await;
            let before = held.shared.record.clone();
            // Errors go into the bucket without the text of rows.
            held.shared.record.ended(End::of(end.import, end.outcome.without_private()), self.clock.wall());
            match self.write(end.import, &mut held, None).await {
                // The importer that has the file now reads it to its end.
                Ok(()) | Err(WriteError::Changed) => {
                    self.lose(end.import);
                    Ok(())
                }
                Err(error) => {
                    held.shared.record = before;
                    Err(refusal(error))
                }
            }
        })
    }
}

async fn renew_leases(progress: Weak<SharedProgress>) {
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let Some(progress) = progress.upgrade() else { return };
        progress.renew_all().await;
    }
}

fn refusal(error: WriteError) -> TargetError {
    let why = |said: &Told| Told::plain("the journal: ").and(said);
    match error {
        WriteError::Changed => TargetError::NotOpen,
        WriteError::Unknown(said) => TargetError::Later { after: AGAIN, why: why(&said) },
        WriteError::Refused(said) => TargetError::Refused(why(&said)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    use super::*;
    use crate::import::file_id::FileId;
    use crate::import::{OptionsHash, Outcome, WantedSource};

    #[derive(Debug, Default)]
    struct ManualClock(AtomicI64);

    impl ManualClock {
        fn pass(&self, seconds: i64) {
            self.0.fetch_add(seconds * 1_000, Ordering::Relaxed);
        }
    }

    impl Clock for ManualClock {
        fn wall(&self) -> UnixMillis {
            UnixMillis(1_800_000_000_000 + self.0.load(Ordering::Relaxed))
        }

        fn monotonic(&self) -> Duration {
            Duration::ZERO
        }
    }

    /// A store in memory.
    #[derive(Debug, Default)]
    struct Memory {
        records: Mutex<HashMap<ImportKey, (Bytes, u64)>>,
        writes: AtomicI64,
        /// Answers nothing.
        down: AtomicBool,
        /// Does the next write, and loses its answer.
        loses: AtomicBool,
    }

    impl SharedRecords for Memory {
        fn read(&self, key: ImportKey) -> BoxFuture<'_, Result<Option<Stored>, WriteError>> {
            Box::pin(async move {
                if self.down.load(Ordering::Relaxed) {
                    return Err(WriteError::Unknown("down".into()));
                }
                let found = lock(&self.records).get(&key).cloned();
                Ok(found.map(|(bytes, version)| (bytes, Tag(version.to_string()))))
            })
        }

        fn write(
            &self,
            key: ImportKey,
            record: Bytes,
            replaces: Option<Tag>,
        ) -> BoxFuture<'_, Result<Tag, WriteError>> {
            Box::pin(async move {
                if self.down.load(Ordering::Relaxed) {
                    return Err(WriteError::Unknown("down".into()));
                }
                let mut records = lock(&self.records);
                let now = records.get(&key).map(|(_, version)| Tag(version.to_string()));
                if now != replaces {
                    return Err(WriteError::Changed);
                }
                let version = self.writes.fetch_add(1, Ordering::Relaxed).unsigned_abs();
                records.insert(key, (record, version));
                match self.loses.swap(false, Ordering::Relaxed) {
                    true => Err(WriteError::Unknown("the answer was lost".into())),
                    false => Ok(Tag(version.to_string())),
                }
            })
        }
    }

    struct Stand {
        memory: Arc<Memory>,
        clock: Arc<ManualClock>,
    }

    impl Stand {
        fn new() -> Self {
            Self { memory: Arc::default(), clock: Arc::default() }
        }

        fn importer(&self, name: &str) -> SharedProgress {
            self.importer_until(name, None)
        }

        fn importer_until(&self, name: &str, gone_at: Option<UnixMillis>) -> SharedProgress {
            let (records, clock) = (Arc::clone(&self.memory) as _, Arc::clone(&self.clock) as _);
            SharedProgress { records, clock, importer: name.to_owned(), gone_at, held: Mutex::default() }
        }
    }

    fn file() -> Begin {
        Begin {
            file: "unw446h7bvkguk7rnc2jjbggs4".parse::<FileId>().unwrap(),
            name: "s3://b/track_1.csv".to_owned(),
            bytes: None,
            source: WantedSource::Default,
            import: None,
            insert_id_window: None,
            options: OptionsHash::of(b"options"),
            types: None,
            limits: String::new(),
            by_content: false,
            retry_of: None,
            force: false,
            place: None,
            version: None,
        }
    }

    fn source() -> SourceId {
        SourceId::new("collector").unwrap()
    }

    fn rows(begun: &Begun, first: u64) -> Rows {
        Rows { import: begun.import, first, rows: 10, rejected: 1, repeats: 0, prefix: None }
    }

    async fn step(importer: &SharedProgress, begun: &Begun, first: u64) -> Result<RowsTaken, TargetError> {
        importer.may_take(rows(begun, first)).await?;
        importer.taken(rows(begun, first), Taken { new: 9, ..Taken::default() }).await
    }

    fn is_later<T: fmt::Debug>(answer: Result<T, TargetError>, why: &str) {
        assert!(
            matches!(&answer, Err(TargetError::Later { why: said, .. }) if said.full().contains(why)),
            "{answer:?}"
        );
    }

    #[tokio::test]
    async fn a_file_is_imported_by_one_and_known_to_all() {
        let stand = Stand::new();
        let (one, other) = (stand.importer("one"), stand.importer("other"));
        let begun = one.begin(file(), source()).await.unwrap();
        assert_eq!((begun.standing, begun.read_from), (Standing::New, 0));
        is_later(other.begin(file(), source()).await, "one imports this file");
        step(&one, &begun, 0).await.unwrap();
        assert_eq!(step(&one, &begun, 0).await, Err(TargetError::OtherRow));
        let taken = step(&one, &begun, 10).await.unwrap();
        assert_eq!((taken.progress.next_row, taken.progress.stored, taken.progress.rejected), (20, 18, 2));
        one.end(End::of(begun.import, Outcome::Done)).await.unwrap();
        let known = other.begin(file(), source()).await.unwrap();
        assert_eq!((known.standing, known.progress), (Standing::Done, taken.progress));
        assert_eq!(one.end(End::of(begun.import, Outcome::Done)).await, Err(TargetError::NotOpen));
    }

    #[tokio::test]
    async fn the_lease_of_an_importer_that_died_ends() {
        let stand = Stand::new();
        let begun = {
            let dead = stand.importer("dead");
            let begun = dead.begin(file(), source()).await.unwrap();
            stand.clock.pass(2);
            step(&dead, &begun, 0).await.unwrap();
            // Recorded within seconds, not at once.
            step(&dead, &begun, 10).await.unwrap();
            begun
        };
        let other = stand.importer("other");
        stand.clock.pass(69);
        is_later(other.begin(file(), source()).await, "dead imports this file");
        stand.clock.pass(1);
        let continued = other.begin(file(), source()).await.unwrap();
        assert_eq!((continued.standing, continued.read_from), (Standing::Continued, 10));
        assert_eq!(continued.import, begun.import);
    }

    #[tokio::test]
    async fn no_lease_lasts_longer_than_its_importer() {
        let stand = Stand::new();
        let gone_at = stand.clock.wall().plus(Duration::from_secs(5));
        let (one, other) = (stand.importer_until("one", Some(gone_at)), stand.importer("other"));
        let begun = one.begin(file(), source()).await.unwrap();
        stand.clock.pass(3);
        step(&one, &begun, 0).await.unwrap();
        stand.clock.pass(1);
        let writes = stand.memory.writes.load(Ordering::Relaxed);
        step(&one, &begun, 10).await.unwrap();
        assert_eq!(
            stand.memory.writes.load(Ordering::Relaxed),
            writes,
            "the lease is not renewed at each step"
        );
        stand.clock.pass(10);
        is_later(other.begin(file(), source()).await, "one imports this file");
        stand.clock.pass(1);
        assert_eq!(other.begin(file(), source()).await.unwrap().read_from, 10);
        assert_eq!(step(&one, &begun, 20).await, Err(TargetError::NotOpen));
    }

    #[tokio::test]
    async fn an_importer_that_slept_too_long_stops() {
        let stand = Stand::new();
        let (slow, other) = (stand.importer("slow"), stand.importer("other"));
        let begun = slow.begin(file(), source()).await.unwrap();
        stand.clock.pass(71);
        let taken_over = other.begin(file(), source()).await.unwrap();
        assert_eq!(step(&slow, &begun, 0).await, Err(TargetError::NotOpen));
        is_later(slow.begin(file(), source()).await, "other imports this file");
        step(&other, &taken_over, 0).await.unwrap();
    }

    #[tokio::test]
    async fn leases_are_renewed_and_a_lost_answer_is_found_again() {
        let stand = Stand::new();
        let (one, other) = (stand.importer("one"), stand.importer("other"));
        // The very first write is done, and its answer lost.
        stand.memory.loses.store(true, Ordering::Relaxed);
        is_later(one.begin(file(), source()).await, "the answer was lost");
        let begun = one.begin(file(), source()).await.unwrap();
        for _ in 0..10 {
            stand.clock.pass(25);
            stand.memory.loses.store(true, Ordering::Relaxed);
            one.renew_all().await;
            one.renew_all().await;
            is_later(other.begin(file(), source()).await, "one imports this file");
        }
        step(&one, &begun, 0).await.unwrap();
        stand.memory.loses.store(true, Ordering::Relaxed);
        let end = End::of(begun.import, Outcome::Done);
        is_later(one.end(end.clone()).await, "the answer was lost");
        one.end(end).await.unwrap();
        assert_eq!(other.begin(file(), source()).await.unwrap().standing, Standing::Done);
    }

    #[tokio::test]
    async fn a_store_that_is_away_stops_nothing_until_the_lease_ends() {
        let stand = Stand::new();
        let one = stand.importer("one");
        let begun = one.begin(file(), source()).await.unwrap();
        stand.memory.down.store(true, Ordering::Relaxed);
        stand.clock.pass(30);
        step(&one, &begun, 0).await.unwrap();
        stand.clock.pass(15);
        is_later(step(&one, &begun, 10).await, "down");
        stand.memory.down.store(false, Ordering::Relaxed);
        step(&one, &begun, 10).await.unwrap();
        assert_eq!(step(&one, &begun, 20).await.unwrap().progress.next_row, 30);
    }

    #[tokio::test]
    async fn two_that_begin_at_once_are_told_apart() {
        let stand = Stand::new();
        let importers: Vec<_> =
            (0..8).map(|number| Arc::new(stand.importer(&format!("importer {number}")))).collect();
        let tasks: Vec<_> = importers
            .iter()
            .map(|importer| {
                let importer = Arc::clone(importer);
                tokio::spawn(async move { importer.begin(file(), source()).await.is_ok() })
            })
            .collect();
        let mut begun = 0;
        for task in tasks {
            begun += u32::from(task.await.unwrap());
        }
        assert_eq!(begun, 1);
    }

    #[tokio::test]
    async fn rows_known_by_content_need_a_journal_of_their_own() {
        let stand = Stand::new();
        let refused = stand.importer("one").begin(Begin { by_content: true, ..file() }, source()).await;
        assert!(
            matches!(refused, Err(TargetError::Refused(why)) if why.full().contains("without --journal"))
        );
    }
}
