//! One round: the rejected rows of a file are read again, and those that are still rejected are the next set.

use std::path::PathBuf;
use std::sync::Arc;

use super::find::FileWithRejects;
use super::kept_rows::{KeptRows, SetContent};
use super::outcome::{Begun, RetryOutcome};
use super::retry_rows::RetryRows;
use super::set::{Set, remove};
use crate::convert::Strategy;
use crate::import::bucket_import::converted_file::ConvertedFile;
use crate::import::bucket_import::object_import::{ObjectImport, PATIENCE, on_disk};
use crate::import::bucket_import::pass::{PassError, listed};
use crate::import::bucket_import::report::Became;
use crate::import::file_error::{FileError, FileFault};
use crate::import::file_id::key_of;
use crate::import::import_sources::WantedSource;
use crate::import::importer::{Importer, has_calls};
use crate::import::journal::{Journal, JournalError};
use crate::import::options_hash::{OptionsHash, short_hash};
use crate::import::own_thread::on_own_thread;
use crate::import::reading::ReadingError;
use crate::import::record::{ImportRecord, ImportState};
use crate::import::reject::{Reject, Retried};
use crate::import::reject_counts::RejectCounts;
use crate::import::rejects_file::{RejectsOf, RejectsOwner, TakenRejects};
use crate::import::row_errors::OnRowError;
use crate::import::run::{FileEnd, Job, OpenRows, import_file};
use crate::import::step::RowLimits;
use crate::import::target::Begin;
use crate::log::{ImportKey, ImportProgress};
use crate::planted_bugs::{PlantedBug, planted};
use crate::store::reader::{ListFrom, Listed};
use crate::time::UnixMillis;
use crate::words::{Told, counted, shell_word};

/// Rows that are moved to the next set at a time.
const MOVED_AT_ONCE: usize = 1_000;

/// What became of the rejected rows of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoundEnd {
    pub(super) became: Became,
    pub(super) end: FileEnd,
    pub(super) outcome: RetryOutcome,
    /// Rejected rows whose numbers were not kept.
    pub(super) not_kept: u64,
    /// Calls that this run stored.
    pub(super) stored: u64,
    /// What became of the rows that a round has read that did not end.
    pub(super) so_far: RetryOutcome,
}

/// Why a round does not go on.
struct NoRound(Became, FileEnd);

impl From<FileError> for NoRound {
    fn from(error: FileError) -> Self {
        let became = match error.fault {
            FileFault::Changed => Became::Changed,
            FileFault::Missing => Became::Missing,
            FileFault::Denied => Became::Denied,
            FileFault::Content | FileFault::Transient | FileFault::Local => Became::Failed,
        };
        Self(became, FileEnd::Failed(error))
    }
}

impl From<JournalError> for NoRound {
    fn from(error: JournalError) -> Self {
        FileError::new(FileFault::Local, "E-IMPORT-JOURNAL", error.to_string()).into()
    }
}

/// A round over the rejected rows of a file.
struct Round {
    /// The key of the file's import.
    file: ImportKey,
    set: Set,
    /// Its rows, and where those are that are rejected again.
    path: PathBuf,
    next: PathBuf,
    /// The row after the last one of the file.
    end: u64,
    name: String,
}

impl Round {
    fn of(objects: &ObjectImport, record: &ImportRecord) -> Option<Self> {
        let set = Set { file: record.file?, generation: record.generation, rounds: record.retries.rounds };
        let (path, next) = (
            objects.import.rejects.file(objects.id, set),
            objects.import.rejects.file(objects.id, set.next()),
        );
        Some(Self {
            file: record.key,
            set,
            path,
            next,
            end: record.progress.next_row,
            name: record.name.clone(),
        })
    }

    /// The key of the round, as an import of its own.
    fn key(&self, objects: &ObjectImport) -> ImportKey {
        key_of(self.id(), &objects.import.source, Some(objects.id))
    }

    fn id(&self) -> crate::import::file_id::FileId {
        self.set.file.rejects(self.set.generation, self.set.rounds)
    }

    fn open(&self) -> Result<Option<KeptRows>, FileError> {
        KeptRows::open(&self.path, self.end)
    }

    /// The owner of the next set.
    fn owner(&self, objects: &ObjectImport, options: &OptionsHash) -> RejectsOwner {
        let how = serde_json::json!({
            "name": self.name,
            "file": self.set.file,
            "source": objects.import.source,
            "import_name": objects.import.name,
            "import_id": objects.id,
        });
        RejectsOwner {
            import: short_hash(format!("rejected rows {} {}", objects.id, self.id()).as_bytes()),
            options: options.clone(),
            describe: Arc::new(move || Ok(how.clone())),
        }
    }
}

impl ObjectImport {
    /// Reads the rejected rows of a file again. `dry_run`: nothing is stored or changed.
    pub(super) async fn retry_file(&self, file: &FileWithRejects, dry_run: bool) -> RoundEnd {
        let mut ended = RoundEnd {
            became: Became::Done,
            end: FileEnd::Done,
            outcome: RetryOutcome::default(),
            not_kept: 0,
            stored: 0,
            so_far: RetryOutcome::default(),
        };
        if let Err(NoRound(became, end)) = self.retried(file, dry_run, &mut ended).await {
            (ended.became, ended.end) = (became, end);
        }
        ended
    }

    async fn retried(
        &self,
        file: &FileWithRejects,
        dry_run: bool,
        ended: &mut RoundEnd,
    ) -> Result<(), NoRound> {
        let (converted, stored_at) = self.file_now(file).await?;
        let (mut record, mut settled) = (file.record.clone(), RetryOutcome::default());
        loop {
            let Some(round) = Round::of(self, &record) else { return Ok(()) };
            let content = self.content(&round, &record).await?;
            ended.not_kept = record.unsettled_rejects().saturating_sub(content.rows);
            if content.rows == 0 {
                return not_kept(self, file, ended);
            }
            let round = Arc::new(round);
            let begun = self.round_so_far(&round).await?;
            let progress = begun.as_ref().map_or_else(ImportProgress::default, |begun| begun.progress);
            let is_begun = progress.next_row > 0;
            if is_begun && record.retries.under_way != content.hash {
                let what = format!(
                    "{} was changed after rows of it had been read again: put back what was written there",
                    round.path.display()
                );
                return Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)).into());
            }
            let rows = self.opens(&round, &converted, stored_at);
            let is_other = |begun: &ImportRecord| {
                let is_cut = begun.state != ImportState::Done && has_calls(begun.progress);
                is_cut && !self.chosen.options.is(&begun.options)
            };
            if dry_run {
                let (stop, of) = (self.deps.stop.clone(), Arc::clone(&round));
                let is_other = begun.as_ref().is_some_and(is_other);
                // Rows that a stopped run has read are counted as it left them, so that this says what a run would.
                let tried = on_own_thread(move || {
                    let again = KeptRows::open(&of.next, of.end)?;
                    let begun = Begun { rows: progress.next_row, again, is_other };
                    RetryOutcome::tried(&mut rows()?, begun, || stop.is_cancelled())
                });
                ended.outcome = tried.await.and_then(|tried| tried)?;
                if !record.retries.in_store.is_empty() {
                    remove(&round.path);
                }
                return not_kept(self, file, ended);
            }
            if let Some(begun) = begun.filter(is_other) {
                // The rows that are left belong to the converter of now, and go into a round of their own.
                let (cut, outcome) = self.cut(&round, begun).await?;
                settled.add(&outcome.lasting());
                record = cut;
                continue;
            }
            if !is_begun {
                let hash = content.hash;
                self.change(round.file, move |record| record.retries.under_way = hash).await?;
            }
            let job = self.job(&round, rows, content.rows);
            let report = import_file(&job, &*self.deps.target, &self.deps.counters, &self.deps.stop).await;
            ended.stored += report.progress.since(report.before).stored;
            if !matches!(report.end, FileEnd::Done | FileEnd::DoneBefore) {
                let became = self.became(round.key(self), &report).await;
                let (of, rows) = (Arc::clone(&round), report.progress.next_row);
                let read = on_own_thread(move || match of.open()? {
                    Some(set) => RetryOutcome::so_far(set, KeptRows::open(&of.next, of.end)?, rows),
                    None => Ok(RetryOutcome::default()),
                });
                ended.so_far = read.await.and_then(|read| read)?;
                return Err(NoRound(became, report.end));
            }
            let (ended_record, outcome) = self.finish(&round).await?;
            ended.outcome = settled.clone();
            ended.outcome.add(&outcome);
            if let (true, Some(ended_record)) = (report.other_options, ended_record) {
                // An earlier run ended the round with another converter, and what is left has not met that of now.
                settled.add(&outcome.lasting());
                record = ended_record;
                continue;
            }
            return not_kept(self, file, ended);
        }
    }

    /// The file in the version that was imported, and when that was stored.
    async fn file_now(&self, file: &FileWithRejects) -> Result<(ConvertedFile, UnixMillis), NoRound> {
        let from = ListFrom { prefix: &file.key, restored: true, ..ListFrom::default() };
        // The time in the listing is the one that the pass used.
        let page = match listed(self, from).await {
            Ok(Some(page)) => page,
            Ok(None) => return Err(NoRound(Became::Stopped, FileEnd::Stopped)),
            Err(PassError::List { cause, .. }) => {
                return Err(crate::import::discovery::files::unread(cause).into());
            }
            Err(error) => {
                return Err(FileError::new(FileFault::Local, "E-S3", error.to_string()).into());
            }
        };
        let named = page.named(&file.key);
        let listed = named.listed.unwrap_or_else(|| Listed::of_key(file.key.clone()));
        let (object, stored_at) =
            self.object_now(&listed).await.map_err(|(became, end)| NoRound(became, end))?;
        if !file.state.is_of(&object.version.etag, object.len) {
            let what = "another object is there now, so its rejected rows cannot be read again";
            return Err(FileError::new(FileFault::Changed, "E-CHANGED", what).into());
        }
        if stored_at.is_none() && self.import.converter.strategy() == Strategy::Mirror {
            let what =
                "the store does not say when the object was stored, and the order of mutations depends on it";
            return Err(FileError::new(FileFault::Local, "E-S3", what).into());
        }
        let name = self.name_of(&file.key);
        let files = self.opened(&name, object, &mut file.state.clone()).await;
        let files = files.map_err(|(became, end)| NoRound(became, end))?;
        let found = files.into_iter().find(|found| Some(found.id) == file.record.file);
        let found = found.ok_or_else(|| FileError::unread(&ReadingError::Missing))?;
        Ok((found, stored_at.unwrap_or(UnixMillis(0))))
    }

    /// What the set of a round has. If its rows are in a store, they are written into a file first.
    async fn content(&self, round: &Round, record: &ImportRecord) -> Result<SetContent, NoRound> {
        let (path, end) = (round.path.clone(), round.end);
        let opened = KeptRows::open(&path, end)?;
        let firsts = &record.retries.in_store;
        let opened = match (opened, &self.import.rejects.in_store) {
            (None, Some(store)) if !firsts.is_empty() => {
                store.get(self.id, round.set, firsts, &path).await?;
                KeptRows::open(&path, end)?
            }
            (None, None) if !firsts.is_empty() => {
                let what =
                    "the rejected rows are in a bucket, and `rejects` of the import no longer names it";
                return Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)).into());
            }
            (opened, _) => opened,
        };
        let Some(rows) = opened else { return Ok(SetContent::default()) };
        Ok(on_own_thread(move || rows.content()).await.and_then(|content| content)?)
    }

    /// What is known of a round. Steps of an earlier run that was abandoned are waited for.
    async fn round_so_far(&self, round: &Round) -> Result<Option<ImportRecord>, JournalError> {
        let (importer, key) = (Arc::clone(&self.deps.importer), round.key(self));
        on_disk(&self.deps.journal, move |_| {
            importer.settle(key)?;
            importer.recorded(key)
        })
        .await
    }

    fn opens(
        &self,
        round: &Arc<Round>,
        converted: &ConvertedFile,
        stored_at: UnixMillis,
    ) -> impl Fn() -> Result<RetryRows, FileError> + Send + Sync + 'static {
        let (round, file, reading) = (Arc::clone(round), converted.clone(), self.reading.clone());
        // The converter is that of now, and the messageIds are those that the rows have in their file.
        let conversion = file.conversion(&self.chosen, round.file, stored_at, self.now);
        move || {
            let gone = || FileError::unread(&ReadingError::Missing);
            let set = round.open()?.ok_or_else(gone)?;
            Ok(RetryRows::new(set, file.open(conversion.clone(), &reading)?, round.id()))
        }
    }

    fn job(
        &self,
        round: &Round,
        rows: impl Fn() -> Result<RetryRows, FileError> + Send + Sync + 'static,
        count: u64,
    ) -> Job {
        let open: OpenRows = Arc::new(move || Ok(Box::new(rows()?)));
        let begin = Begin {
            file: round.id(),
            name: format!("{} of {}", counted(count, "rejected row", "rejected rows"), round.name),
            bytes: None,
            source: WantedSource::Id(self.import.source.clone()),
            import: Some(self.id),
            insert_id_window: self.import.insert_id_window,
            options: self.chosen.options.clone(),
            types: None,
            limits: self.limits.clone(),
            by_content: false,
            retry_of: Some(round.set.file),
            force: false,
            place: None,
            version: None,
        };
        Job {
            begin,
            open,
            // Each range is read on the condition that the object is still this version.
            unchanged: None,
            limits: RowLimits { on_row_error: OnRowError::Reject, ..RowLimits::default() },
            rejects: round.next.clone(),
            rejects_of: RejectsOf::Retry(round.id()),
            rejects_owner: round.owner(self, &self.chosen.options),
            rate: None,
            // The next set takes the place of this one, which is not larger.
            rejects_room: None,
            reject_sink: None,
            part_bytes: self.deps.step_bytes,
            patience: PATIENCE,
        }
    }

    /// Ends a round whose rows are all read.
    async fn finish(&self, round: &Arc<Round>) -> Result<(Option<ImportRecord>, RetryOutcome), NoRound> {
        let (importer, round, key) = (Arc::clone(&self.deps.importer), Arc::clone(round), round.key(self));
        let ended = on_disk(&self.deps.journal, move |_: &dyn Journal| {
            let rejected = importer.recorded(key)?.map_or(0, |of_round| of_round.progress.rejected);
            importer.change_record(key, settled)?;
            let ended = end_round(&importer, &round, rejected)?;
            // A run that was killed reported no rows that it had rejected.
            importer.change_record(key, |record| record.rejects = ended.1.rejected_by_code.clone())?;
            Ok(ended)
        });
        ended.await
    }

    /// Ends a round that was begun with another converter, after its last row that was read. Returns the record of the
    /// file.
    async fn cut(
        &self,
        round: &Arc<Round>,
        begun: ImportRecord,
    ) -> Result<(ImportRecord, RetryOutcome), NoRound> {
        let options = OptionsHash::recorded_as(&begun.options);
        let owner = round.owner(self, &options);
        let (importer, round, key) = (Arc::clone(&self.deps.importer), Arc::clone(round), round.key(self));
        let cut = on_disk(&self.deps.journal, move |_: &dyn Journal| {
            let from = begun.progress.next_row;
            let moved = move_rest(&round, &owner, from)?;
            importer.change_record(key, |record| {
                record.state = ImportState::Done;
                settled(record);
            })?;
            let (record, outcome) = end_round(&importer, &round, begun.progress.rejected + moved)?;
            let record = record.ok_or_else(|| JournalError::of("the record of the file is gone"))?;
            Ok((record, outcome))
        });
        cut.await
    }

    async fn change(
        &self,
        key: ImportKey,
        change: impl FnOnce(&mut ImportRecord) + Send + 'static,
    ) -> Result<(), JournalError> {
        let importer = Arc::clone(&self.deps.importer);
        on_disk(&self.deps.journal, move |_| importer.change_record(key, change).map(drop)).await
    }
}

/// The record of the file has the rows that a round rejected again.
fn settled(record: &mut ImportRecord) {
    record.retries.is_round = true;
    record.retries.settled = record.progress.rejected;
}

/// Notes in the record of the file that a round is over, and only then removes its set: a crash in between repeats
/// both. `rejected`: how many rows of it were rejected again, or not read.
fn end_round(
    importer: &Importer,
    round: &Round,
    rejected: u64,
) -> Result<(Option<ImportRecord>, RetryOutcome), NoRound> {
    let gone = || FileError::unread(&ReadingError::Missing);
    let set = round.open()?.ok_or_else(gone)?;
    let outcome = RetryOutcome::of(set, KeptRows::open(&round.next, round.end)?)?;
    if outcome.rejected != rejected {
        let (rows, kept) = (counted(rejected, "row was", "rows were"), outcome.rejected);
        let what = format!(
            "{rows} rejected again, but {} has {kept} of them: put back what was written there, or import the file again",
            round.next.display()
        );
        return Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)).into());
    }
    let next = std::path::absolute(&round.next).unwrap_or_else(|_| round.next.clone());
    let (rounds, next) = (round.set.next().rounds, next.to_string_lossy().into_owned());
    if planted(PlantedBug::RowsRemovedBeforeRecord) {
        remove(&round.path);
    }
    let record = importer.change_record(round.file, |record| {
        let not_kept = record.unsettled_rejects().saturating_sub(outcome.settled + outcome.rejected);
        record.retries.rounds = rounds;
        record.retries.settled += outcome.settled;
        record.retries.under_way = String::new();
        record.retries.in_store = Vec::new();
        // Of rows that were not kept, the codes are not known apart.
        if not_kept == 0 {
            record.rejects = RejectCounts::default();
            record.rejects.add(&outcome.rejected_by_code);
        }
        record.rejects_file = (outcome.rejected > 0).then_some(next);
    })?;
    remove(&round.path);
    Ok((record, outcome))
}

/// Adds the rows of a set from this place on to the next set, and returns their number. Waits for the disk.
fn move_rest(round: &Round, owner: &RejectsOwner, from: u64) -> Result<u64, FileError> {
    let failed = |error: &dyn std::fmt::Display| {
        let what = format!("{} cannot be used for rejected rows: {error}", round.next.display());
        FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what))
    };
    let (id, reread) = (round.id(), from..u64::MAX);
    let mut next = loop {
        let taken = TakenRejects::take(&round.next, owner).map_err(|error| failed(&error))?;
        let opened = taken.open(&RejectsOf::Retry(id), &reread).map_err(|error| failed(&error))?;
        if let Some(next) = opened {
            break next;
        }
    };
    let mut set = round.open()?.ok_or_else(|| FileError::unread(&ReadingError::Missing))?;
    let (mut place, mut rest): (u64, Vec<Reject>) = (0, Vec::new());
    loop {
        let row = set.next()?;
        let is_last = row.is_none();
        if let Some(reject) = row.filter(|_| place >= from) {
            rest.push(Reject { retried: Some(Retried { file: id, row: place }), ..reject });
        }
        place += 1;
        if is_last || rest.len() >= MOVED_AT_ONCE {
            next.add(&rest).map_err(|error| failed(&error))?;
            rest.clear();
        }
        if is_last {
            return Ok(place.saturating_sub(from + 1));
        }
    }
}

/// Rows whose numbers are not known cannot be read again.
fn not_kept(objects: &ObjectImport, file: &FileWithRejects, ended: &RoundEnd) -> Result<(), NoRound> {
    if ended.not_kept == 0 {
        return Ok(());
    }
    let (rows, key) = (counted(ended.not_kept, "rejected row", "rejected rows"), shell_word(&file.key));
    let what = format!(
        "the numbers of {rows} were not kept (see rejects_max) or their file was removed: to read all of its rows again, \
         `forebay import run {} --again --from {key} --to {key}`",
        objects.import.name
    );
    Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)).into())
}
