//! Reads the rejected rows of an import again, from the objects in its bucket, with the converter of now.

use std::sync::Arc;

use super::claim_again::{asked, theirs};
use super::find::{FoundFile, found, with_rejects};
use super::outcome::RetryOutcome;
use crate::import::bucket_import::after::settle::settle_stored;
use crate::import::bucket_import::deps::PassDeps;
use crate::import::bucket_import::object_import::{ObjectImport, on_disk};
use crate::import::bucket_import::object_state::ObjectState;
use crate::import::bucket_import::report::{Became, NAMED_MAX, NotDone};
use crate::import::bucket_import::reset::{ResetError, objects_of};
use crate::import::bucket_import::settings::BucketImport;
use crate::import::file_error::{FileError, FileFault};
use crate::import::run::FileEnd;
use crate::log::ImportKey;
use crate::words::{Told, shell_word};

/// What an object does not have of which no row was read.
const NOTHING: &str = "none of its rows is rejected";

/// What became of the rejected rows of an import, or of one of its objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryReport {
    /// Files whose rejected rows were read again.
    pub files: u64,
    /// What became of their rows, or would.
    pub outcome: RetryOutcome,
    /// What became of rows whose retry was stopped before its end. The next one counts them among its own.
    pub so_far: RetryOutcome,
    /// Calls that were stored.
    pub stored: u64,
    /// Rejected rows whose numbers were not kept, so that they cannot be read again.
    pub not_kept: u64,
    /// The first files whose rows were not all read, and why.
    pub left: Vec<NotDone>,
    /// How many such files there are.
    pub left_count: u64,
}

/// Reads the rejected rows of an import again, or those of the object with this key. What becomes calls has the
/// messageIds that follow from the rows' places. `dry_run`: nothing is stored or changed. Stop it with
/// [`PassDeps::stop`]; it goes on where it was. It may be dropped, which is as safe as a kill.
/// Errors: [`ResetError`]: no row is read.
pub async fn retry_rejects(
    import: Arc<BucketImport>,
    deps: PassDeps,
    key: Option<&str>,
    dry_run: bool,
) -> Result<RetryReport, ResetError> {
    let objects = asked(objects_of(import, deps).await?, !dry_run).await?;
    let id = objects.id;
    if let Some(key) = key {
        if let Some(instance) = objects.elsewhere(key).await? {
            return Err(ResetError::Refused(format!(
                "{} belongs to the instance {instance}, which has its rows: read them again there",
                objects.name_of(key)
            )));
        }
        let by = key.to_owned();
        if on_disk(&objects.deps.journal, move |journal| ObjectState::read(journal, id, &by)).await?.is_none()
        {
            return Err(ResetError::Refused(objects.nothing(key, NOTHING)));
        }
    }
    let importer = Arc::clone(&objects.deps.importer);
    let files = on_disk(&objects.deps.journal, move |journal| with_rejects(journal, &importer, id)).await?;
    let mut report = RetryReport::default();
    for file in files {
        if !objects.retry_one(file, (key, dry_run), &mut report).await? {
            break;
        }
    }
    if !dry_run {
        settle_stored(&objects, false).await?;
    }
    Ok(report)
}

impl ObjectImport {
    /// Reads the rejected rows of one file again. Returns whether other files are wanted, too.
    async fn retry_one(
        &self,
        file: ImportKey,
        (key, dry_run): (Option<&str>, bool),
        report: &mut RetryReport,
    ) -> Result<bool, ResetError> {
        let (importer, id, place) = (Arc::clone(&self.deps.importer), self.id, self.name_of(""));
        let find = move |journal: &dyn crate::import::journal::Journal| {
            found(journal, &importer, id, (&place, file))
        };
        let Some(found) = on_disk(&self.deps.journal, find).await? else { return Ok(true) };
        let of_key = |name: &str| {
            key.is_none_or(|key| {
                let of_object = name.strip_prefix(&self.name_of(key));
                of_object.is_some_and(|rest| rest.is_empty() || rest.starts_with('!'))
            })
        };
        let not_read = |fault, code, what| FileEnd::Failed(FileError::new(fault, code, what));
        if let Some((name, of)) = found.object().filter(|(_, of)| key.is_none_or(|key| key == *of))
            && let Some(instance) = self.elsewhere(of).await?
        {
            let end = not_read(FileFault::Local, "E-REJECTS", Told::plain(theirs(&instance)));
            report.left(name.to_owned(), Became::Refused, end);
            return Ok(true);
        }
        let (name, became, end) = match found {
            FoundFile::Rejects(file) if key.is_none_or(|key| file.key == key) => {
                if self.deps.stop.is_cancelled() {
                    report.left(file.record.name, Became::Stopped, FileEnd::Stopped);
                    return Ok(false);
                }
                let claimed = if dry_run { Ok(None) } else { self.claim_again(&file).await };
                let claimed = match claimed {
                    Ok(claimed) => claimed,
                    Err((became, end)) => {
                        report.left(file.record.name.clone(), became, end);
                        return Ok(true);
                    }
                };
                let ended = self.retry_file(&file, dry_run).await;
                drop(claimed);
                report.files += 1;
                report.outcome.add(&ended.outcome);
                report.so_far.add(&ended.so_far);
                report.stored += ended.stored;
                report.not_kept += ended.not_kept;
                let end = match ended.became {
                    Became::Changed => self.replaced(&file.key),
                    Became::Missing => self.gone_with_rejects(&file.key),
                    _ => ended.end,
                };
                (file.record.name.clone(), ended.became, end)
            }
            FoundFile::NotDone(name, _) if of_key(&name) => {
                let what = "its import has not reached the end: run or reset it first";
                (name, Became::Refused, not_read(FileFault::Local, "E-REJECTS", Told::plain(what)))
            }
            FoundFile::Replaced(name, key) if of_key(&name) => (name, Became::Changed, self.replaced(&key)),
            FoundFile::Gone(name, key) if of_key(&name) => (name, Became::Gone, self.gone_with_rejects(&key)),
            FoundFile::InUse(name) if of_key(&name) => {
                let what = "it is being read now: run this command again when that has ended";
                (name, Became::Refused, not_read(FileFault::Local, "E-REJECTS", Told::plain(what)))
            }
            _ => return Ok(true),
        };
        let is_stopped = became == Became::Stopped;
        if became != Became::Done {
            report.left(name, became, end);
        }
        Ok(!is_stopped)
    }

    /// The end of a retry if another object has the key.
    fn replaced(&self, key: &str) -> FileEnd {
        self.without_object((FileFault::Changed, "E-CHANGED"), "another object has its key now", key)
    }

    /// The end of a retry if the object is gone.
    fn gone_with_rejects(&self, key: &str) -> FileEnd {
        self.without_object((FileFault::Missing, "E-MISSING"), "its object is gone", key)
    }

    fn without_object(&self, (fault, code): (FileFault, &str), why: &str, key: &str) -> FileEnd {
        let (import, key) = (&self.import.name, shell_word(key));
        let what = format!(
            "{why}, so its rejected rows cannot be read again: `forebay import reset-file {import} {key} --accept-rejects` does \
             without them"
        );
        FileEnd::Failed(FileError::new(fault, code, Told::plain(what)))
    }
}

impl RetryReport {
    fn left(&mut self, name: String, became: Became, end: FileEnd) {
        self.left_count += 1;
        if self.left.len() < NAMED_MAX {
            self.left.push(NotDone { name, became, end });
        }
    }

    /// Whether it was stopped before all rows were read.
    pub fn is_stopped(&self) -> bool {
        self.left.iter().any(|left| left.became == Became::Stopped)
    }
}
