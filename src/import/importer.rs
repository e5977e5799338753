//! The taking side of imports: stores each row once, and records in the journal what became of each file.
//!
//! The log has the progress of a file while it is being imported, in the same block as the calls that the
//! progress covers. When the import ends, the progress goes to the journal, and only then does the log forget
//! it. A start does the same for imports that an earlier process left open. So at every instant at least one
//! of the two knows each row that is stored.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::end::End;
use super::envelope::shape_of;
use super::file_id::key_of;
use super::find_earlier::{earlier, links};
use super::import_sources::ImportSources;
use super::journal::{Change, Journal, JournalError};
use super::keyed_rows::{RowsToStore, rows_to_store};
use super::new_rows::{OwnId, new_rows};
use super::objects_in_use::ObjectsInUse;
use super::prefix::Prefix;
use super::recent::RecentJournal;
use super::record::{ImportRecord, ImportState};
use super::retries::Retries;
use super::settled_retries::with_settled;
use super::target::{
    Begin, Begun, Earlier, LATER, Rows, RowsTaken, Standing, Target, TargetError, blocking, broken, unwritten,
};
use crate::boxed_future::BoxFuture;
use crate::call::BodyError;
use crate::ingest::{Ack, Arrival, Ingest, IngestError};
use crate::lock::lock;
use crate::log::frame::{Origin, RowKey};
use crate::log::{AppendError, ImportKey, ImportProgress, ImportStep, Imports, OpenImport};
use crate::metrics::{KindLabel, Metrics, RowsLabel};
use crate::planted_bugs::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};
use crate::words::Told;

/// The most calls of one step, which are the most of one request.
pub const ROWS_MAX: u64 = 2_000;
/// The most imports that are open at once. Above this limit, the one that was idle longest is closed; its
/// next step opens it again.
const OPEN_MAX: usize = 1_000;
/// How often a step is retried because the day of its `receivedAt` ended meanwhile.
const DAY_OVER_MAX: usize = 3;
/// The wait before an importer sends a step again: the queue was full, the day had ended, or nobody knows
/// whether the step was stored.
const SOON: Duration = Duration::from_secs(1);

/// An open import.
#[derive(Clone, Debug)]
struct Open {
    file: u64,
    source: SourceId,
    /// When the import was last used, as a count of uses.
    used: u64,
    /// The row up to which the counts of rows are recorded, if rows are known by their content.
    counted: Option<Arc<AtomicU64>>,
    /// Whether a row may give several calls. Its rows are known by their position alone.
    several: bool,
    /// See [`Begin::insert_id_window`].
    window: Option<Duration>,
    /// Held while a step is stored. A close of the import waits for this lock: a step that is stored after
    /// the progress was read would be stored again.
    turn: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Default)]
struct OpenImports {
    by_key: HashMap<ImportKey, Open>,
    uses: u64,
}

/// The rooms and external resources that an importer uses.
#[derive(Clone, Debug)]
pub struct ImporterDeps {
    /// Stores the rows.
    pub ingest: Arc<Ingest>,
    /// Keeps the progress of each file.
    pub imports: Arc<dyn Imports>,
    /// Remembers each file.
    pub journal: Arc<dyn Journal>,
    /// Wall time.
    pub clock: Arc<dyn Clock>,
    /// The metrics to count into.
    pub metrics: Metrics,
}

/// The taking side of a node. There is one per log.
#[derive(Debug)]
pub struct Importer {
    ingest: Arc<Ingest>,
    imports: Arc<dyn Imports>,
    journal: Arc<RecentJournal>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    sources: Mutex<Arc<dyn ImportSources>>,
    open: Mutex<OpenImports>,
    /// Held while a step of rows that are known by their content is stored and counted, and while an import
    /// of such rows begins: equal rows of two files must not both be new.
    counting: tokio::sync::Mutex<()>,
    /// Held while rows are compared with those that are stored, and until they are: equal rows of two files
    /// must not both be new. It comes after the turn.
    comparing: tokio::sync::Mutex<()>,
    /// Held while a file begins or ends: both read the journal and then write to it.
    journaling: Mutex<()>,
    /// Held while a name is read and written.
    names: Mutex<()>,
    /// See [`ObjectsInUse`].
    objects: ObjectsInUse,
}

impl Importer {
    /// Takes rows for a log. Imports that an earlier process left open are recorded in the journal. Waits for
    /// the disk.
    pub fn new(deps: ImporterDeps, sources: Arc<dyn ImportSources>) -> Self {
        let ImporterDeps { ingest, imports, journal, clock, metrics } = deps;
        let journal = Arc::new(RecentJournal::new(journal, Arc::clone(&clock)));
        let importer = Self {
            ingest,
            imports,
            journal,
            clock,
            metrics,
            sources: Mutex::new(sources),
            open: Mutex::default(),
            counting: tokio::sync::Mutex::default(),
            comparing: tokio::sync::Mutex::default(),
            journaling: Mutex::default(),
            names: Mutex::default(),
            objects: ObjectsInUse::default(),
        };
        // The log keeps open imports until they are recorded, and whoever continues one records it.
        if let Err(error) = importer.record(&importer.imports.open_imports()) {
            tracing::warn!(%error, "imports that were open when the last process ended are not recorded yet");
        }
        importer
    }

    /// The journal that remembers the files.
    pub fn journal(&self) -> Arc<dyn Journal> {
        self.journal.shared()
    }

    /// The objects of buckets that are being imported.
    pub(super) fn objects(&self) -> &ObjectsInUse {
        &self.objects
    }

    /// Reads what the journal keeps of names, and changes it: nobody else does so meanwhile.
    pub fn with_names<T>(&self, work: impl FnOnce() -> T) -> T {
        let _turn = lock(&self.names);
        work()
    }

    /// The journal with its newest records.
    pub(super) fn recent(&self) -> &Arc<RecentJournal> {
        &self.journal
    }

    /// The progress of the imports that are open.
    pub(super) fn open_progress(&self) -> HashMap<ImportKey, ImportProgress> {
        let open: HashSet<ImportKey> = lock(&self.open).by_key.keys().copied().collect();
        self.logged_progress().into_iter().filter(|(key, _)| open.contains(key)).collect()
    }

    /// Uses other sources from now on.
    pub fn set_sources(&self, sources: Arc<dyn ImportSources>) {
        *lock(&self.sources) = sources;
    }

    /// The sources of the imports that are open: they may bring calls although they are no longer configured.
    pub fn open_sources(&self) -> HashSet<SourceId> {
        lock(&self.open).by_key.values().map(|open| open.source.clone()).collect()
    }

    /// The progress of all imports that the log knows. Some of them are no longer open here.
    pub(super) fn logged_progress(&self) -> HashMap<ImportKey, ImportProgress> {
        self.imports.open_imports().into_iter().map(|import| (import.key, import.progress)).collect()
    }

    /// The record of a file, with what the log knows of it: until the import has ended, the journal has less.
    /// Waits for the disk. Errors: [`JournalError`]: the journal cannot be read.
    pub(super) fn recorded(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        // The log comes first: an import that ends meanwhile is in the journal before the log forgets it.
        let open = self.open(key);
        self.recorded_with(key, open)
    }

    /// Changes the record of a file that is not being imported, and returns it; `None`: there is no record.
    /// Waits for the disk. Errors: [`JournalError`]: nothing has changed.
    pub(super) fn change_record(
        &self,
        key: ImportKey,
        change: impl FnOnce(&mut ImportRecord),
    ) -> Result<Option<ImportRecord>, JournalError> {
        let _journaling = lock(&self.journaling);
        let Some(mut record) = self.recorded(key)? else { return Ok(None) };
        change(&mut record);
        self.journal.write(std::slice::from_ref(&record))?;
        Ok(Some(record))
    }

    /// Closes an import, if it is open, and moves its progress to the journal: a step of it may still be stored
    /// although nobody waits for that. Waits for the step and the disk. Must not be called on the runtime's
    /// threads. Errors: [`JournalError`]: the progress is in the log alone.
    pub(super) fn settle(&self, key: ImportKey) -> Result<(), JournalError> {
        let _journaling = lock(&self.journaling);
        self.close(key);
        self.record(self.open(key).as_slice())
    }

    /// The record of a file that the log knows as `open`, if it does.
    fn recorded_with(
        &self,
        key: ImportKey,
        open: Option<OpenImport>,
    ) -> Result<Option<ImportRecord>, JournalError> {
        let mut known = self.journal.stored().read(key)?;
        if let Some(OpenImport { progress, .. }) = open {
            // The journal lacks this import if it could not be used when the process began.
            let new = || ImportRecord::of_progress(key, progress, self.clock.wall());
            known.get_or_insert_with(new).advance(progress);
        }
        Ok(known)
    }

    /// Moves the progress of these imports from the log to the journal.
    fn record(&self, imports: &[OpenImport]) -> Result<(), JournalError> {
        if imports.is_empty() {
            return Ok(());
        }
        let mut records = Vec::with_capacity(imports.len());
        for import in imports {
            records.extend(self.recorded_with(import.key, Some(*import))?);
        }
        let files: Vec<u64> = imports.iter().map(|import| import.file).collect();
        self.move_to_journal(&records, &files)
    }

    /// Writes records to the journal, and only then lets the log forget these files.
    fn move_to_journal(&self, records: &[ImportRecord], files: &[u64]) -> Result<(), JournalError> {
        if planted(PlantedBug::EndedBeforeJournal) {
            self.forget(files);
        }
        let records = with_settled(records, |key| self.recorded(key))?;
        self.journal.write(&records)?;
        self.forget(files);
        Ok(())
    }

    fn forget(&self, files: &[u64]) {
        if self.imports.end_imports(files).is_err() {
            // The log keeps these imports. That does no harm: the next start records them again.
            tracing::debug!("the log keeps imports that are recorded in the journal");
        }
    }

    /// [`Target::begin`] for a caller that may wait for the disk. If rows are known by their content, no step
    /// of any import may be in progress. Errors: [`TargetError`]: the import cannot begin, now or for good.
    pub fn begin_now(&self, begin: &Begin) -> Result<Begun, TargetError> {
        let sources = Arc::clone(&lock(&self.sources));
        let source = sources.find(&begin.source).map_err(TargetError::NoSource)?;
        let key = key_of(begin.file, &source, begin.import);
        let _journaling = lock(&self.journaling);
        let open = self.open(key);
        let mut known = self.recorded_with(key, open).map_err(unwritten)?;
        let before = known.as_ref().map_or(0, |record| record.progress.next_row);
        let links = links(self.journal.stored(), known.as_mut(), begin, (key, &source))?;
        let admitted = admitted(known, begin, (key, &source), self.clock.wall())?;
        let (record, keeps_prefix) = (&admitted.record, begin.place.is_some());
        let progress = record.progress;
        if admitted.standing == Standing::Done {
            return Ok(admitted.begun(source, keeps_prefix, progress, progress.next_row));
        }
        // The log must forget an import that begins at its first row again, or the old progress would count.
        if let Some(open) = open.filter(|_| progress.next_row < before) {
            self.close(key);
            self.imports.end_imports(&[open.file]).map_err(|_| full())?;
        }
        let change = Change { records: std::slice::from_ref(record), links: &links, ..Change::default() };
        self.journal.change(change).map_err(unwritten)?;
        self.make_room(key).map_err(unwritten)?;
        let import = self.imports.begin_import(key, progress).map_err(|_| full())?;
        let mut open = lock(&self.open);
        open.uses += 1;
        let used = open.uses;
        let known = open.by_key.get(&key).filter(|open| open.file == import.file);
        let turn = known.map_or_else(Arc::default, |open| Arc::clone(&open.turn));
        let counted = begin.by_content.then(|| Arc::new(AtomicU64::new(record.counted)));
        let (file, several, window) = (import.file, begin.import.is_some(), begin.insert_id_window);
        open.by_key.insert(key, Open { file, source: source.clone(), used, counted, several, window, turn });
        self.count_open(&open);
        let next_row = import.progress.next_row;
        let read_from = if begin.by_content { record.counted.min(next_row) } else { next_row };
        Ok(admitted.begun(source, keeps_prefix, import.progress, read_from))
    }

    /// Closes the import that was idle longest, if too many are open.
    fn make_room(&self, for_key: ImportKey) -> Result<(), JournalError> {
        let oldest = {
            let open = lock(&self.open);
            if open.by_key.len() < OPEN_MAX || open.by_key.contains_key(&for_key) {
                return Ok(());
            }
            open.by_key.iter().min_by_key(|(_, open)| open.used).map(|(key, _)| *key)
        };
        let Some(oldest) = oldest else { return Ok(()) };
        self.close(oldest);
        self.record(self.open(oldest).as_slice())
    }

    fn count_open(&self, open: &OpenImports) {
        self.metrics.imports_open.set(i64::try_from(open.by_key.len()).unwrap_or(i64::MAX));
    }

    /// Counts the rows of a step, or the calls where a row may give several. Rows that are neither calls nor
    /// rejected were passed over.
    fn count_rows(&self, source: &SourceId, ack: &Ack, step: ImportStep) {
        let stored = ack.calls.saturating_sub(ack.repeats);
        let became = [
            ("stored", u64::from(stored)),
            ("repeated", u64::from(ack.repeats) + step.known),
            ("refused", u64::from(ack.rejected)),
            ("rejected", step.rejected),
        ];
        for (became, rows) in became {
            self.count_became(source, became, rows);
        }
    }

    fn count_became(&self, source: &SourceId, became: &'static str, rows: u64) {
        if rows > 0 {
            let label = RowsLabel { source: source.to_string(), became };
            self.metrics.import_rows.get_or_create(&label).inc_by(rows);
        }
    }

    /// Takes no more steps of an import, and waits for the step that is being stored. Must not be called on
    /// the runtime's threads.
    fn close(&self, key: ImportKey) {
        let removed = {
            let mut open = lock(&self.open);
            let removed = open.by_key.remove(&key);
            self.count_open(&open);
            removed
        };
        if let Some(open) = removed {
            drop(open.turn.blocking_lock());
        }
    }

    /// [`Target::earlier`] for a caller that may wait for the disk.
    /// Errors: [`TargetError`]: the journal cannot be read, or the source is unknown.
    pub fn earlier_now(&self, begin: &Begin) -> Result<Option<Earlier>, TargetError> {
        let sources = Arc::clone(&lock(&self.sources));
        let source = sources.find(&begin.source).map_err(TargetError::NoSource)?;
        let _journaling = lock(&self.journaling);
        earlier(self.journal.stored(), begin, &source, &|key| self.recorded(key)).map_err(unwritten)
    }

    /// [`Target::end`] for a caller that may wait for the disk, and for a step that is being stored. Must not
    /// be called on the runtime's threads.
    /// Errors: [`TargetError`]: the import is not open, or its end cannot be recorded.
    pub fn end_now(&self, end: End) -> Result<(), TargetError> {
        let _journaling = lock(&self.journaling);
        self.close(end.import);
        let Some(open) = self.open(end.import) else { return Err(TargetError::NotOpen) };
        let known = self.recorded_with(end.import, Some(open)).map_err(unwritten)?;
        let mut record = known.ok_or(TargetError::NotOpen)?;
        let now = self.clock.wall();
        let how = KindLabel { kind: end.outcome.slug() };
        record.ended(end, now);
        self.move_to_journal(&[record], &[open.file]).map_err(unwritten)?;
        self.metrics.import_files.get_or_create(&how).inc();
        Ok(())
    }

    /// Counts a file that ends without its importer: its object is not there any more.
    pub(super) fn count_cut_short(&self, ended: ImportState) {
        self.metrics.import_files.get_or_create(&KindLabel { kind: ended.slug() }).inc();
    }

    async fn take(&self, rows: Rows, calls: Bytes) -> Result<RowsTaken, TargetError> {
        let Open { file, source, turn, counted, several, window, .. } = {
            let mut open = lock(&self.open);
            open.uses += 1;
            let used = open.uses;
            let import = open.by_key.get_mut(&rows.import).ok_or(TargetError::NotOpen)?;
            import.used = used;
            import.clone()
        };
        let last_row = rows.rows.checked_sub(1).and_then(|more| rows.first.checked_add(more));
        let no_row = || TargetError::Refused("a step covers at least one row".into());
        let last_row = last_row.ok_or_else(no_row)?;
        // This lock comes before the turn: whoever begins an import holds it while it waits for the turn of
        // another.
        let _counting = match &counted {
            Some(_) => Some(self.counting.lock().await),
            None => None,
        };
        let _turn = turn.lock().await;
        let is_open = lock(&self.open).by_key.get(&rows.import).is_some_and(|open| open.file == file);
        if !is_open {
            return Err(TargetError::NotOpen);
        }
        let origin = Origin { file, first_row: rows.first, last_row };
        let Some(counted) = counted else {
            let text = rows.prefix.as_ref().map(Prefix::text_before);
            let step = ImportStep { origin, rejected: rows.rejected, known: rows.repeats, text };
            return match window.filter(|_| several) {
                Some(window) => self.append_new(&source, step, calls, window).await,
                None => self.append(&source, (step, several), &calls, (&[], &[])).await,
            };
        };
        // The step has rows that are known by their content. Rows that are stored already are left out first;
        // all are counted at the end. A crash in between leaves rows that are stored and not counted: they
        // are handed over again.
        if rows.first != counted.load(Ordering::Acquire) {
            return Err(TargetError::OtherRow);
        }
        // The progress stays as it is until the step is appended, because the turn is held.
        let open = self.imports.open_imports().into_iter().find(|import| import.file == file);
        let progress = open.ok_or(TargetError::NotOpen)?.progress;
        let journal = Arc::clone(&self.journal);
        let (import, name) = (rows.import, source.clone());
        let is_stored = last_row < progress.next_row;
        let (record, new) = blocking(move || {
            let record = journal.stored().read(import).map_err(unwritten)?.ok_or(TargetError::NotOpen)?;
            let not_stored = if is_stored { &*record.not_stored } else { &[] };
            let new = new_rows(journal.stored(), (name.as_str(), record.rows_name()), &calls, not_stored)?;
            Ok((record, new))
        })
        .await?;
        let taken = if is_stored {
            RowsTaken { progress }
        } else {
            let known = new.known.saturating_add(rows.repeats);
            // The prefix of the file covers only rows that are counted, so it is recorded with their counts.
            let step = ImportStep { origin, rejected: rows.rejected, known, text: None };
            match self.append(&source, (step, false), &new.calls, (&new.own_ids, &[])).await {
                Err(TargetError::IdTaken(call)) => return self.id_taken(record, &new.own_ids, call).await,
                taken => taken?,
            }
        };
        let (counted_now, not_stored) = (last_row.saturating_add(1), Vec::new());
        let record = ImportRecord { counted: counted_now, not_stored, prefix: rows.prefix, ..record };
        let through = record.counted;
        let journal = Arc::clone(&self.journal);
        let write =
            move || journal.change(Change { records: &[record], counts: &new.counts, ..Change::default() });
        blocking(move || write().map_err(unwritten)).await?;
        counted.store(through, Ordering::Release);
        Ok(taken)
    }

    /// Refuses a step with a call whose id another call has. `call` is its number among the new ones. The row
    /// is noted: if the step is stored without it, and a crash prevents its count, the step may come again
    /// with the row.
    async fn id_taken(
        &self,
        mut record: ImportRecord,
        own_ids: &[OwnId],
        call: u32,
    ) -> Result<RowsTaken, TargetError> {
        let own = own_ids.iter().find(|own| own.left == call);
        let own = own.ok_or_else(|| TargetError::Refused("the log found a repeat in no call".into()))?;
        let row = own.hash.to_string();
        if !record.not_stored.contains(&row) {
            record.not_stored.push(row);
            let journal = Arc::clone(&self.journal);
            blocking(move || journal.write(&[record]).map_err(unwritten)).await?;
        }
        Err(TargetError::IdTaken(own.sent))
    }

    /// The import as the log knows it, if it is open.
    fn open(&self, key: ImportKey) -> Option<OpenImport> {
        self.imports.open_imports().into_iter().find(|import| import.key == key)
    }

    /// Appends the rows of a step that repeat none which was received within `window`. A row may give several
    /// calls.
    async fn append_new(
        &self,
        source: &SourceId,
        step: ImportStep,
        calls: Bytes,
        window: Duration,
    ) -> Result<RowsTaken, TargetError> {
        let _comparing = self.comparing.lock().await;
        let (imports, of, now) = (Arc::clone(&self.imports), source.clone(), self.ingest.received_now());
        let find = move |rows: &[u128]| imports.rows_to_store(&of, rows, now, window);
        let RowsToStore { calls, keys, repeats } = blocking(move || rows_to_store(&calls, find)).await?;
        // A step that was stored before has only repeats now. The log refuses it, because its rows are not
        // the next.
        let step = ImportStep { known: step.known.saturating_add(repeats), ..step };
        self.append(source, (step, true), &calls, (&[], &keys)).await
    }

    /// Appends the calls of a step to the log. [`TargetError::IdTaken`] has the number of a call among
    /// `calls`. The flag says whether a row may give several; then rows may have keys.
    async fn append(
        &self,
        source: &SourceId,
        (step, several): (ImportStep, bool),
        calls: &[u8],
        (own_ids, keys): (&[OwnId], &[(Range<u32>, RowKey)]),
    ) -> Result<RowsTaken, TargetError> {
        if !self.imports.has_room_for_rows() {
            return Err(TargetError::Later { after: LATER, why: NO_ROOM.into() });
        }
        let request = self.ingest.parse_rows(calls, shape_of(calls)).map_err(|error| malformed(&error))?;
        let rows = step.origin.last_row.saturating_sub(step.origin.first_row).saturating_add(1);
        let (items, others) = (request.lines() as u64, step.rejected.saturating_add(step.known));
        let covered = if several { Some(others) } else { items.checked_add(others) };
        if items > ROWS_MAX || covered.is_none_or(|covered| covered > rows) {
            let what = format!("a step of {rows} rows cannot have {items} calls and {others} others");
            return Err(TargetError::Refused(Told::plain(what)));
        }
        let mut again = 0;
        loop {
            let arrival = Arrival {
                source,
                received_at: self.ingest.received_now(),
                ip: None,
                client_side: false,
                user_agent: None,
                import: Some(step),
            };
            let mut lines = self.ingest.lines(&request, &arrival).map_err(|error| refusal(error.into()))?;
            lines.only_if_new(own_ids.iter().map(|own| own.left).collect());
            if several {
                // The calls of a row are stored together, and each row once, because its position is known. A
                // repeat among them would leave part of a row.
                lines.forget_fingerprints();
                lines.set_row_keys(keys);
            }
            match self.ingest.append(lines).await {
                Ok(ack @ Ack { import: Some(progress), .. }) => {
                    self.count_rows(source, &ack, step);
                    return Ok(RowsTaken { progress });
                }
                Ok(_) => return Err(TargetError::Refused("the log recorded no progress".into())),
                Err(IngestError::Append(AppendError::DayOver)) if again < DAY_OVER_MAX => again += 1,
                Err(error) => return Err(refusal(error)),
            }
        }
    }
}

impl Target for Arc<Importer> {
    fn earlier(&self, file: Begin) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        let importer = Arc::clone(self);
        Box::pin(blocking(move || importer.earlier_now(&file)))
    }

    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        let importer = Arc::clone(self);
        Box::pin(async move {
            // The lock is taken here, not on a thread that may block: such threads are few, and the step that
            // holds the lock needs one.
            let _counting = match file.by_content {
                true => Some(self.counting.lock().await),
                false => None,
            };
            blocking(move || importer.begin_now(&file)).await
        })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        // The step has a task of its own, which holds the turn until the step is stored even if the caller
        // goes away.
        let importer = Arc::clone(self);
        let taken = tokio::spawn(async move { importer.take(rows, calls).await });
        Box::pin(async move { taken.await.unwrap_or_else(|error| Err(broken(&error))) })
    }

    fn left_out(&self, source: &SourceId, rows: u64) {
        self.count_became(source, "left_out", rows);
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        let importer = Arc::clone(self);
        Box::pin(blocking(move || importer.end_now(end)))
    }
}

/// The decision about a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    pub(super) record: ImportRecord,
    pub(super) standing: Standing,
    /// See [`Begun::other_options`].
    pub(super) other_options: bool,
}

impl Admitted {
    /// The answer to the reading side: how far the import is, and the row from which the file is read.
    pub(super) fn begun(
        self,
        source: SourceId,
        keeps_prefix: bool,
        progress: ImportProgress,
        read_from: u64,
    ) -> Begun {
        let Self { record, standing, other_options } = self;
        let prefix = record.prefix.filter(|_| keeps_prefix && standing != Standing::Done);
        Begun {
            import: record.key,
            source,
            standing,
            progress,
            read_from,
            other_options,
            keeps_prefix,
            keeps_types: true,
            types: record.types,
            prefix,
        }
    }
}

/// Decides whether a file is imported, and from which row on. `known` is the file's record.
pub(super) fn admitted(
    known: Option<ImportRecord>,
    begin: &Begin,
    (key, source): (ImportKey, &SourceId),
    now: UnixMillis,
) -> Result<Admitted, TargetError> {
    let new = || ImportRecord::of_progress(key, ImportProgress::default(), now);
    let mut record = known.unwrap_or_else(new);
    let is_other = !record.options.is_empty() && !begin.options.is(&record.options);
    // Options may change while all rows were rejected: nothing depends on how these were read, and a wrong
    // delimiter can be corrected.
    let is_anew = begin.force || (is_other && !has_calls(record.progress));
    if is_anew {
        let generation = record.generation + 1;
        record = ImportRecord { first_seen: record.first_seen, generation, ..new() };
    }
    if record.limits != begin.limits {
        record.forget_failures();
    }
    if record.state.is_cut_short() {
        // The object is back.
        record.error = None;
    }
    let other_options = is_other && !is_anew;
    match (record.state, &record.error) {
        (ImportState::Done, _) => return Ok(Admitted { record, standing: Standing::Done, other_options }),
        _ if other_options => return Err(TargetError::OtherOptions),
        (ImportState::Poison, Some(error)) => {
            return Err(TargetError::GivenUp {
                attempts: record.attempts,
                code: error.code.clone(),
                message: error.message.clone(),
            });
        }
        _ => {}
    }
    let standing = if record.progress.next_row > 0 { Standing::Continued } else { Standing::New };
    // Rows of one file have the same types, also if it has grown and now shows others.
    let is_known = standing != Standing::New && !record.options.is_empty();
    let types = if is_known { record.types } else { begin.types.clone() };
    // Rows of a bucket are read again in rounds, and the record of their file has what became of them.
    let is_of_command = begin.import.is_none();
    let of = begin.retry_of.filter(|_| is_of_command).map(|first| key_of(first, source, None));
    let is_round = record.retries.is_round || (begin.retry_of.is_some() && !is_of_command);
    record = ImportRecord {
        types,
        retries: Retries { of: of.or(record.retries.of), is_round, ..record.retries },
        file: Some(begin.file),
        source: Some(source.clone()),
        import: begin.import,
        name: begin.name.clone(),
        bytes: begin.bytes,
        options: begin.options.recorded().to_owned(),
        limits: begin.limits.clone(),
        state: ImportState::Reading,
        ..record
    };
    Ok(Admitted { record, standing, other_options })
}

const NO_ROOM: &str = "the spool has little space left, and what there is is kept for calls: rows wait until objects are \
                       delivered";

/// Whether any row became a call.
pub(super) fn has_calls(progress: ImportProgress) -> bool {
    progress.stored > 0 || progress.repeats > 0 || progress.refused > 0
}

/// Whether calls of a file are stored, or refused by the log. Repeats alone leave nothing of it.
pub(super) fn has_stored(progress: ImportProgress) -> bool {
    progress.stored > 0 || progress.refused > 0
}

fn malformed(error: &BodyError) -> TargetError {
    TargetError::Refused(Told::plain("the rows cannot be read: ").and(&error.to_string().into()))
}

fn full() -> TargetError {
    TargetError::Later { after: LATER, why: "the spool has no space, or has stopped".into() }
}

fn refusal(error: IngestError) -> TargetError {
    let why = Told::plain(error.to_string());
    match error {
        IngestError::TooFast(wait) => TargetError::Later { after: wait, why },
        IngestError::Append(error) => match error {
            AppendError::OtherRow { next: Some(_) } => TargetError::OtherRow,
            AppendError::OtherRow { next: None } => TargetError::NotOpen,
            AppendError::Known { item } => TargetError::IdTaken(item),
            AppendError::TooLarge | AppendError::TooManyStreams => TargetError::Refused(why),
            // The same step comes again. If it was stored, its rows are not the next ones, and the reading
            // side begins at the row of the log, as after a lost answer.
            AppendError::Unknown => TargetError::Later { after: SOON, why },
            AppendError::Busy | AppendError::NoBroker | AppendError::DayOver => {
                TargetError::Later { after: SOON, why }
            }
            AppendError::Full | AppendError::LocationFull | AppendError::Stopped => {
                TargetError::Later { after: LATER, why }
            }
        },
    }
}
