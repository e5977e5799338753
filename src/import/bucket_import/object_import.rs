//! Imports one object: the version that is there, or nothing if another one is imported already.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::admit::{Admission, Version, admit, is_stored, skip_of};
use super::after::tally::Tally;
use super::conversions::Chosen;
use super::converted_file::{ConvertedFile, FilesOf, Reading, files_of};
use super::cut_short::{cut_short, why};
use super::decide::Skip;
use super::deps::PassDeps;
use super::not_ours::NotOurs;
use super::object_end::{ObjectEnd, any, became_of, error_of, given_up, stage_of, unrecorded};
use super::object_state::{ObjectState, Stage};
use super::pass_claims::PassClaims;
use super::rejected::set::{Set, remove};
use super::report::Became;
use super::rules::Rules;
use super::settings::{BucketImport, OnChange, OnMissing};
use crate::convert::Strategy;
use crate::import::file_error::{FileError, FileFault};
use crate::import::file_id::{FileId, key_of};
use crate::import::import_id::ImportId;
use crate::import::import_sources::WantedSource;
use crate::import::importer::has_stored;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::objects_in_use::ObjectInUse;
pub(super) use crate::import::on_disk::on_disk;
use crate::import::options_hash::short_hash;
use crate::import::own_thread::on_own_thread;
use crate::import::reading::Limits;
use crate::import::reading::opened::Options;
use crate::import::reading::s3_object::S3Object;
use crate::import::record::{ATTEMPTS_MAX, ImportRecord, ImportState};
use crate::import::rejects_file::{RejectsOf, RejectsOwner};
use crate::import::rejects_room::RejectsRoom;
use crate::import::row_errors::OnRowError;
use crate::import::run::{FileEnd, FileReport, Job, OpenRows, Waits, import_file};
use crate::import::step::RowLimits;
use crate::import::target::{Begin, TargetError};
use crate::log::{ImportKey, ImportProgress};
use crate::store::reader::Listed;
use crate::time::UnixMillis;
use crate::words::{Told, counted};

/// How often an object is read again that changed before a row of it was stored.
const CHANGES_MAX: usize = 5;
/// How long an object that cannot be read for now is tried before the pass leaves it to the next one.
pub(super) const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

/// What the imports of all objects of a pass share.
#[derive(Debug)]
pub(super) struct ObjectImport {
    pub(super) deps: PassDeps,
    pub(super) import: Arc<BucketImport>,
    pub(super) id: ImportId,
    pub(super) claims: Option<PassClaims>,
    pub(super) chosen: Chosen,
    pub(super) reading: Reading,
    /// See [`Begin::limits`].
    pub(super) limits: String,
    pub(super) now: UnixMillis,
    /// What was done with imported objects.
    pub(super) tally: Tally,
    /// The room for rejected rows.
    pub(super) room: Arc<RejectsRoom>,
}

/// A hash of the options that decide whether a file fails, and not how its rows become calls.
fn limits_of(import: &BucketImport) -> String {
    let stops = match import.on_row_error {
        OnRowError::Reject => "reject".to_owned(),
        OnRowError::Fail => "fail".to_owned(),
        OnRowError::Max(most) => format!("max:{most}"),
        OnRowError::MaxPercent(percent) => format!("maxpct:{percent}"),
    };
    short_hash(format!("forebay import limits 1 {stops} {}", import.allow_expansion).as_bytes())
}

/// An object that is about to be imported.
struct Begun {
    object: S3Object,
    state: ObjectState,
    how: How,
    /// Whether an earlier pass began it, and what became of its files is not recorded.
    was_open: bool,
    /// Why the version before it ended before its last row, if it did.
    replaced: Option<FileError>,
    in_use: ObjectInUse,
}

/// How the files of an object are imported.
#[derive(Clone, Copy)]
struct How {
    /// When the object was stored.
    stored_at: Option<UnixMillis>,
    /// See [`ObjectState::resets`].
    resets: u32,
    /// Whether files that are done begin again at their first row.
    anew: bool,
}

/// An object as it is now.
#[derive(Debug)]
pub(super) struct Looked {
    pub(super) object: S3Object,
    /// What a listing would show of it.
    pub(super) now: Listed,
    /// Whether the settings of now skip it: rows of its key are stored, so they decide only whether another version begins.
    pub(super) is_unwanted: bool,
}

/// Why nothing of an object is read: it is skipped, or it ended.
pub(super) enum NotBegun {
    Skipped(Skip),
    NotOurs(NotOurs),
    Ended(Became, FileEnd),
}

impl From<JournalError> for NotBegun {
    fn from(error: JournalError) -> Self {
        Self::Ended(Became::Failed, FileEnd::Failed(unrecorded(&error)))
    }
}

impl ObjectImport {
    /// The imports of objects of an import with this id.
    pub(super) fn new(import: Arc<BucketImport>, deps: PassDeps, id: ImportId) -> Self {
        let chosen = Chosen::now(&import);
        let reading = Reading {
            columns: Arc::clone(&deps.columns),
            options: Options {
                encoding: import.converter.file().csv.encoding,
                limits: Limits { allow_expansion: import.allow_expansion, ..Limits::default() },
                temporary: import.temporary.clone(),
            },
            format: import.converter.file().format,
            random: Arc::clone(&deps.random),
        };
        let (limits, now) = (limits_of(&import), deps.clock.wall());
        let room = deps.importer.objects().rooms.of(id, import.rejects.of(id), import.rejects.max_bytes);
        let claims = import.claims.as_ref().map(PassClaims::new);
        let tally = Tally::default();
        Self { deps, import, id, claims, chosen, reading, limits, now, tally, room }
    }

    /// A hash of all options: an object that was given up is tried again with others.
    pub(super) fn options(&self) -> String {
        format!("{}-{}", self.chosen.options.recorded(), self.limits)
    }

    /// A hash of the options that decide whether a file fails, for an object that a person let begin again so
    /// often: the failures of its files are forgotten with each.
    fn limits_after(&self, resets: u32) -> String {
        if resets == 0 { self.limits.clone() } else { format!("{}-{resets}", self.limits) }
    }

    /// Imports an object as the listing shows it, or as it is now.
    pub(super) async fn run(&self, listed: Listed) -> ObjectEnd {
        let name = self.name_of(listed.key.as_str());
        // The files of versions that were replaced while they were read.
        let mut before = Vec::new();
        for _ in 0..CHANGES_MAX {
            let begun = match self.begin(&name, listed.clone()).await {
                Ok(begun) => begun,
                Err(NotBegun::Skipped(why)) if before.is_empty() => return ObjectEnd::Skipped(why),
                Err(NotBegun::NotOurs(why)) if before.is_empty() => return ObjectEnd::NotOurs(why),
                Err(NotBegun::Skipped(_) | NotBegun::NotOurs(_)) => return ObjectEnd::Files(before),
                Err(NotBegun::Ended(became, end)) => {
                    before.push((became, FileReport::new(name, end)));
                    return ObjectEnd::Files(before);
                }
            };
            let Begun { object, mut state, how, was_open, replaced, in_use } = begun;
            if let Some(why) = replaced {
                before.push((Became::Changed, FileReport::new(name.clone(), FileEnd::Failed(why))));
            }
            let version = (object.version.etag.clone(), object.len);
            let (is_opened, mut ends) = self.files((&name, object), how, &mut state).await;
            state.has_calls |= ends.iter().any(|(_, report)| has_stored(report.progress));
            if !state.has_calls && any(&ends, Became::Missing) {
                state.has_calls = self.has_calls(&state).await;
            }
            let is_changed = any(&ends, Became::Changed);
            let may_begin_again = !state.has_calls && is_changed;
            state.error = ends.iter().find_map(|(_, report)| error_of(&report.end)).or(state.error);
            state.stage = stage_of(&ends, &state, was_open && !is_opened);
            match state.stage {
                Stage::Done => state.error = None,
                Stage::Poison => {
                    state.given_up_with = self.options();
                    super::given_up::log(&self.import.name, &ends);
                }
                Stage::Open | Stage::Waiting | Stage::Changed | Stage::Gone => {}
            }
            let is_done = state.stage == Stage::Done;
            if !is_done {
                self.note_not_done();
            }
            self.cut_short(&mut state, &name, &mut ends).await;
            match self.write_end(state, listed.key.as_str(), &ends).await {
                Ok(()) if is_done => self.stored_all(listed.key.as_str(), version, &ends),
                Ok(()) => {}
                // The object is open in the journal, so the next pass looks at its files again.
                Err(error) => tracing::warn!(%error, "the end of an object's import is not recorded"),
            }
            drop(in_use);
            if may_begin_again {
                continue;
            }
            before.extend(ends);
            if !is_changed || self.import.on_change == OnChange::Ignore {
                return self.ended(name, before);
            }
        }
        if !before.is_empty() {
            return ObjectEnd::Files(before);
        }
        let what = "the object keeps changing while it is read";
        let error = FileError::new(FileFault::Changed, "E-CHANGED", what);
        ObjectEnd::Files(vec![(Became::Changed, FileReport::new(name, FileEnd::Failed(error)))])
    }

    /// Whether calls of an object are stored, which its state does not know after a kill.
    async fn has_calls(&self, state: &ObjectState) -> bool {
        let (state, rules, importer) = (state.clone(), self.rules(), Arc::clone(&self.deps.importer));
        let stored = self
            .on_disk(move |_| is_stored(&importer, &state, state.of_another(), (rules.id, &rules.source)));
        stored.await.unwrap_or_else(|error| {
            // The next pass looks again.
            tracing::warn!(%error, "it is not known whether rows of an object are stored");
            false
        })
    }

    /// The end of an object. An object that is gone, or archived, is skipped if nothing of it was read.
    fn ended(&self, name: String, ends: Vec<(Became, FileReport)>) -> ObjectEnd {
        if let [(became, FileReport { end: FileEnd::Failed(error), .. })] = ends.as_slice() {
            let is_half_read = *became == Became::Gone;
            let is_archived = error.message.masked().contains("InvalidObjectState");
            match error.fault {
                FileFault::Denied if is_archived => return ObjectEnd::Skipped(Skip::Archived),
                FileFault::Missing if self.import.on_missing == OnMissing::Skip && !is_half_read => {
                    tracing::warn!("{name} is gone");
                    return ObjectEnd::Skipped(Skip::Missing);
                }
                _ => {}
            }
        }
        ObjectEnd::Files(ends)
    }

    /// Finds the version to import, and notes that its import begins.
    async fn begin(&self, name: &str, listed: Listed) -> Result<Begun, NotBegun> {
        let key = listed.key.as_str().to_owned();
        let Looked { object, now, is_unwanted } = match self.look(name, listed).await {
            Err(gone @ (NotBegun::Skipped(Skip::Missing) | NotBegun::Ended(Became::Missing, _))) => {
                if let Some(error) = self.note_gone(key).await? {
                    return Err(NotBegun::Ended(Became::Gone, FileEnd::Failed(error)));
                }
                tracing::warn!("{name} is gone");
                return Err(gone);
            }
            looked => looked?,
        };
        let version = Version { is_unwanted, ..Version::of(&object) };
        if let Some(why) = self.not_ours(version.clone()).await? {
            return Err(NotBegun::NotOurs(why));
        }
        match self.admitted(version).await? {
            Admission::LeftOut { is_new } => {
                if is_new {
                    tracing::warn!(
                        "{name} was replaced after its import began; the new content is not imported"
                    );
                }
                Err(NotBegun::Skipped(Skip::Changed))
            }
            Admission::Done => Err(NotBegun::Ended(Became::DoneBefore, FileEnd::DoneBefore)),
            Admission::GivenUp(stage, why) => {
                let (became, error) = given_up(stage, why);
                Err(NotBegun::Ended(became, FileEnd::Failed(error)))
            }
            Admission::InUse => Err(NotBegun::Ended(Became::Stopped, FileEnd::Stopped)),
            Admission::Begins { state, anew, was_open, replaced, in_use } => {
                let how = How { stored_at: now.last_modified, resets: state.resets, anew };
                Ok(Begun { object, state: *state, how, was_open, replaced, in_use })
            }
        }
    }

    /// [`skip_of`] the object with this key.
    pub(super) async fn skip_of(&self, why: Option<Skip>, key: &str) -> Result<Option<Skip>, JournalError> {
        if why.is_none() {
            return Ok(None);
        }
        let (rules, importer, key) = (self.rules(), Arc::clone(&self.deps.importer), key.to_owned());
        let skip = move |journal: &dyn Journal| {
            let known = ObjectState::read(journal, rules.id, &key)?;
            let stored =
                |state: &_, standing| is_stored(&importer, state, standing, (rules.id, &rules.source));
            skip_of(why, known.as_ref(), None, &stored)
        };
        self.on_disk(skip).await
    }

    /// Decides about a version of an object. Waits for who reads it already: a pass or a notification, or an
    /// earlier pass that was abandoned.
    async fn admitted(&self, version: Version) -> Result<Admission, NotBegun> {
        let (rules, freed) = (self.rules(), self.deps.importer.objects().freed());
        loop {
            let (importer, rules, version) =
                (Arc::clone(&self.deps.importer), rules.clone(), version.clone());
            let mut next_freed = std::pin::pin!(freed.notified());
            next_freed.as_mut().enable();
            let admission = self.on_disk(move |journal| admit(journal, &importer, &version, &rules)).await?;
            if !matches!(admission, Admission::InUse)
                || self.deps.stop.run_until_cancelled(next_freed).await.is_none()
            {
                return Ok(admission);
            }
        }
    }

    /// The name of an object, for people.
    pub(super) fn name_of(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.import.location.bucket.bucket())
    }

    /// What the imports of objects depend on.
    pub(super) fn rules(&self) -> Rules {
        Rules {
            id: self.id,
            source: self.import.source.clone(),
            on_change: self.import.on_change,
            options: self.options(),
            again: self.deps.again,
            place: self.name_of(""),
            rejects: self.import.rejects.clone(),
            now: self.now,
        }
    }

    /// The files of an object. Errors: how its import ends.
    pub(super) async fn opened(
        &self,
        name: &str,
        object: S3Object,
        state: &mut ObjectState,
    ) -> Result<Vec<ConvertedFile>, (Became, FileEnd)> {
        let key = object.key.as_str().to_owned();
        let mut waits = Waits::default();
        let FilesOf { files, is_archive, compression } = loop {
            let (object, reading, of) = (object.clone(), self.reading.clone(), name.to_owned());
            let runtime = Handle::current();
            let id = state.file;
            let opened = on_own_thread(move || files_of((object, id), &of, runtime, &reading));
            let Some(opened) = self.deps.stop.run_until_cancelled(opened).await else {
                return Err((Became::Stopped, FileEnd::Stopped));
            };
            match opened.and_then(|opened| opened) {
                Ok(files) => break files,
                Err(error) if error.fault == FileFault::Transient && !waits.is_longer_than(PATIENCE) => {
                    let why = format!("{name}: {}", error.message.masked());
                    if waits.wait(Duration::ZERO, &why, &self.deps.stop).await.is_none() {
                        return Err((Became::Stopped, FileEnd::Stopped));
                    }
                }
                Err(error) => {
                    let is_content = error.fault == FileFault::Content;
                    state.attempts += u32::from(is_content);
                    let given_up = is_content && state.attempts >= ATTEMPTS_MAX;
                    let became = if given_up { Became::Poison } else { became_of(&error) };
                    return Err((became, FileEnd::Failed(error)));
                }
            }
        };
        let found = (compression, self.import.converter.file().compression);
        self.deps.other_compressions.note(name, found, self.deps.clock.wall());
        if is_archive && !state.is_archive {
            state.is_archive = true;
            let written = self.write(state.clone(), &key).await;
            written.map_err(|error| (Became::Failed, FileEnd::Failed(unrecorded(&error))))?;
        }
        Ok(files)
    }

    /// Imports the files of an object, one after the other, once there is a place for it. Returns also
    /// whether the object could be opened.
    async fn files(
        &self,
        (name, object): (&str, S3Object),
        how: How,
        state: &mut ObjectState,
    ) -> (bool, Vec<(Became, FileReport)>) {
        let places = self.deps.importer.objects().places.of(self.id, self.import.parallel_now());
        let Some(Ok(_place)) = self.deps.stop.run_until_cancelled(places.acquire_owned()).await else {
            return (false, vec![(Became::Stopped, FileReport::new(name.to_owned(), FileEnd::Stopped))]);
        };
        let files = match self.opened(name, object, state).await {
            Ok(files) => files,
            Err((became, end)) => return (false, vec![(became, FileReport::new(name.to_owned(), end))]),
        };
        let mut ends = Vec::with_capacity(files.len());
        for file in files {
            let ended = if self.deps.stop.is_cancelled() {
                (Became::Stopped, FileReport::new(file.name, FileEnd::Stopped))
            } else {
                self.file(file, how).await
            };
            ends.push(ended);
        }
        (true, ends)
    }

    /// Imports one file.
    async fn file(&self, file: ConvertedFile, how: How) -> (Became, FileReport) {
        let key = key_of(file.id, &self.import.source, Some(self.id));
        let (became, mut report) = self.rows_of(file, key, how).await;
        if report.progress == ImportProgress::default() {
            match self.recorded(key).await {
                Ok(Some(record)) => {
                    // The import did not begin this time. It may have, before.
                    (report.before, report.progress) = (record.progress, record.progress);
                }
                // A file with rejected rows must not be taken for one without.
                Err(error) if self.import.after.is_some() => {
                    return (
                        Became::Failed,
                        FileReport::new(report.name, FileEnd::Failed(unrecorded(&error))),
                    );
                }
                Ok(None) | Err(_) => {}
            }
        }
        if self.import.after.is_some() && report.before.rejected > 0 && report.end == FileEnd::Done {
            match self.recorded(key).await {
                Ok(record) => report.settled = record.map_or(0, |record| record.retries.settled),
                // The file is kept for these rows, until a person settles them again.
                Err(error) => tracing::warn!(%error, "it is not known which rejected rows are settled"),
            }
        }
        if let FileEnd::Failed(error) = &mut report.end
            && error.fault == FileFault::Changed
        {
            let ImportProgress { next_row, stored, .. } = report.progress;
            let (rows, calls) = (counted(next_row, "row", "rows"), counted(stored, "call", "calls"));
            let next = match self.import.on_change {
                OnChange::Ignore => "the new content is not imported",
                OnChange::Reprocess => "the new content is imported as another file",
            };
            let what = format!("it changed during the read. {rows} of it were read ({calls} stored); {next}");
            error.message = Told::plain(what);
        }
        match &mut report.end {
            FileEnd::Failed(error) if became == Became::Missing && has_stored(report.progress) => {
                *error = why(ImportState::Gone, report.progress, false);
                (Became::Gone, report)
            }
            _ => (became, report),
        }
    }

    /// Says in the records of an object's files that the rest of them is never read, and in these ends how much of an object
    /// is stored that is gone, if the object is gone or was replaced.
    async fn cut_short(&self, state: &mut ObjectState, name: &str, ends: &mut [(Became, FileReport)]) {
        let ended = match state.stage {
            Stage::Changed if self.import.on_change == OnChange::Reprocess => ImportState::Replaced,
            Stage::Changed => ImportState::Changed,
            Stage::Gone => ImportState::Gone,
            Stage::Open | Stage::Waiting | Stage::Done | Stage::Poison => return,
        };
        let (of, rules, name) = (state.clone(), self.rules(), name.to_owned());
        let importer = Arc::clone(&self.deps.importer);
        let cut = self.on_disk(move |journal| cut_short(journal, &importer, &rules, (&name, &of), ended));
        match cut.await {
            Ok(why) if ended == ImportState::Gone => {
                state.gone(&why, true);
                for (became, report) in ends.iter_mut().filter(|(became, _)| *became == Became::Missing) {
                    (*became, report.end) = (Became::Gone, FileEnd::Failed(why.clone()));
                }
            }
            Ok(_) => {}
            // The list shows it as one that was stopped, and the state says more.
            Err(error) => tracing::warn!(%error, "the end of an object's files is not recorded"),
        }
    }

    async fn rows_of(
        &self,
        file: ConvertedFile,
        key: ImportKey,
        How { stored_at, resets, anew }: How,
    ) -> (Became, FileReport) {
        let failed = |error: FileError| {
            (became_of(&error), FileReport::new(file.name.clone(), FileEnd::Failed(error)))
        };
        if stored_at.is_none() && self.import.converter.strategy() == Strategy::Mirror {
            let what =
                "the store does not say when the object was stored, and the order of mutations depends on it";
            return failed(FileError::new(FileFault::Local, "E-S3", what));
        }
        let (chosen, id, importer) = (self.chosen.clone(), self.id, Arc::clone(&self.deps.importer));
        let for_file =
            move |journal: &dyn Journal| chosen.for_file(journal, id, importer.recorded(key)?.as_ref());
        let chosen = match self.on_disk(for_file).await {
            Ok(Ok(chosen)) => chosen,
            Ok(Err(error)) => return failed(error),
            Err(error) => return failed(unrecorded(&error)),
        };
        let set = Set { file: file.id, generation: 0, rounds: 0 };
        let rejects = self.import.rejects.file(self.id, set);
        let conversion = file.conversion(&chosen, key, stored_at.unwrap_or(UnixMillis(0)), self.now);
        let open: OpenRows = {
            let (file, reading) = (file.clone(), self.reading.clone());
            Arc::new(move || Ok(Box::new(file.open(conversion.clone(), &reading)?)))
        };
        let job = Job {
            begin: Begin {
                file: file.id,
                name: file.name.clone(),
                bytes: Some(file.bytes),
                source: WantedSource::Id(self.import.source.clone()),
                import: Some(self.id),
                insert_id_window: self.import.insert_id_window,
                options: chosen.options.clone(),
                types: None,
                limits: self.limits_after(resets),
                by_content: false,
                retry_of: None,
                force: anew,
                place: None,
                version: None,
            },
            open,
            // Each range is read on the condition that the object is still this version.
            unchanged: None,
            limits: RowLimits {
                on_row_error: self.import.on_row_error,
                called: "on_row_error",
                ..RowLimits::default()
            },
            rejects,
            rejects_of: RejectsOf::File,
            rejects_owner: self.rejects_owner(&file, &chosen),
            rate: None,
            rejects_room: Some(Arc::clone(&self.room)),
            reject_sink: None,
            part_bytes: self.deps.step_bytes,
            patience: PATIENCE,
        };
        let before = if anew { self.recorded(key).await.ok().flatten() } else { None };
        let report = import_file(&job, &*self.deps.target, &self.deps.counters, &self.deps.stop).await;
        if let Some(before) = before.filter(|before| before.retries.rounds > 0) {
            self.forget_set(file.id, &before).await;
        }
        (self.became(key, &report).await, report)
    }

    /// Removes the rejected rows that a file had before it began at its first row again.
    async fn forget_set(&self, file: FileId, before: &ImportRecord) {
        let set = Set { file, generation: before.generation, rounds: before.retries.rounds };
        let (path, key, generation) = (self.import.rejects.file(self.id, set), before.key, before.generation);
        let importer = Arc::clone(&self.deps.importer);
        let forgotten = self.on_disk(move |_| {
            if importer.recorded(key)?.is_some_and(|now| now.generation != generation) {
                remove(&path);
            }
            Ok(())
        });
        if let Err(error) = forgotten.await {
            tracing::warn!(%error, "rejected rows that nothing needs any more are still kept");
        }
    }

    /// What became of a file, or of its rejected rows, with this key.
    pub(super) async fn became(&self, key: ImportKey, report: &FileReport) -> Became {
        match &report.end {
            FileEnd::Done | FileEnd::RangeDone => Became::Done,
            FileEnd::DoneBefore => Became::DoneBefore,
            FileEnd::Stopped => Became::Stopped,
            FileEnd::Refused(TargetError::GivenUp { .. }) => Became::Poison,
            FileEnd::Refused(TargetError::Denied(_)) => Became::Denied,
            FileEnd::Refused(_) => Became::Refused,
            FileEnd::Failed(error) if error.fault == FileFault::Content => {
                let record = self.recorded(key).await;
                let is_poison = record
                    .is_ok_and(|record| record.is_some_and(|record| record.state == ImportState::Poison));
                if is_poison { Became::Poison } else { Became::Failed }
            }
            FileEnd::Failed(error) => became_of(error),
        }
    }

    fn rejects_owner(&self, file: &ConvertedFile, chosen: &Chosen) -> RejectsOwner {
        let how = serde_json::json!({
            "name": file.name,
            "file": file.id,
            "source": self.import.source,
            "import_name": self.import.name,
            "import_id": self.id,
            "converter": chosen.converter.file().id.to_string(),
        });
        RejectsOwner {
            import: short_hash(format!("import {} {} {}", self.id, file.id, self.import.source).as_bytes()),
            options: chosen.options.clone(),
            describe: Arc::new(move || Ok(how.clone())),
        }
    }

    /// Writes how the import of an object ended, and what is to be done with the object then.
    async fn write_end(
        &self,
        state: ObjectState,
        key: &str,
        ends: &[(Became, FileReport)],
    ) -> Result<(), JournalError> {
        if state.stage != Stage::Done || self.import.after.is_none() {
            return self.write(state, key).await;
        }
        let waits = |report: &FileReport| {
            report.progress.rejected.saturating_sub(report.settled) + report.progress.refused
        };
        let rejected = ends.iter().map(|(_, report)| waits(report)).sum();
        let entry = state.imported(rejected);
        let kept = [state.kept(self.id, key)?, entry.kept(self.id, key)?];
        self.on_disk(move |journal| journal.change(Change { kept: &kept, ..Change::default() })).await
    }

    async fn write(&self, state: ObjectState, key: &str) -> Result<(), JournalError> {
        let (id, key) = (self.id, key.to_owned());
        self.on_disk(move |journal| state.write(journal, id, &key)).await
    }

    /// The record of a file, with what the log knows of it.
    async fn recorded(&self, key: ImportKey) -> Result<Option<ImportRecord>, JournalError> {
        let importer = Arc::clone(&self.deps.importer);
        self.on_disk(move |_| importer.recorded(key)).await
    }

    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Journal) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        on_disk(&self.deps.journal, work).await
    }
}
