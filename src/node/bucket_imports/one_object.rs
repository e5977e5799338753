//! Imports one object of an import because somebody names it, such as a task of a job: beside the passes and the
//! notifications of the import, with the same journal.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::one_import::OneImport;
use super::pass_status::{denied_of, error_of};
use crate::admin::{AskedObject, BucketImportError, ObjectImported};
use crate::check::ImportReader;
use crate::import::bucket_import::{Became, NotDone, NotifiedEnd, NotifiedObjects, Skip};
use crate::import::notifications::{IMPORTED_BEFORE, nothing_text, rows_text};
use crate::import::{FileEnd, FileFault, FileReport, TargetError};
use crate::store::{Outlook, StoreError};
use crate::words::shell_word;

impl OneImport {
    /// Imports the object that is asked for.
    /// Errors: [`BucketImportError`]: the import cannot be used.
    pub(super) async fn object(&self, asked: &AskedObject) -> Result<ObjectImported, BucketImportError> {
        let paused = |error: BucketImportError| Ok(ObjectImported::Paused(error.to_string()));
        if !self.plan().settings.enabled {
            return paused(BucketImportError::Paused(self.name().to_owned()));
        }
        if self.is_paused().await.map_err(|error| BucketImportError::Failed(error.to_string()))? {
            return paused(BucketImportError::OnHold(self.name().to_owned()));
        }
        let objects = self.asked_objects.get_or_try_init(|| self.objects(&self.stop)).await;
        let objects = objects.map_err(|(what, may_pass)| match may_pass {
            true => BucketImportError::StoreFailed(what),
            false => BucketImportError::Failed(what),
        })?;
        let stop = self.stop.child_token();
        let mut importing = std::pin::pin!(self.imported(objects, asked, &stop));
        let stopped = async {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(asked.within_ms)) => {}
                () = self.pausing.paused() => {}
            }
        };
        tokio::select! {
            imported = &mut importing => return Ok(imported),
            () = stopped => stop.cancel(),
        }
        // It ends with the step that is being stored.
        Ok(importing.await)
    }

    async fn imported(
        &self,
        objects: &NotifiedObjects,
        asked: &AskedObject,
        stop: &CancellationToken,
    ) -> ObjectImported {
        match objects.skips(&asked.bucket, &asked.key).await {
            Ok(None) => {}
            Ok(Some(why)) => return self.skipped(why, &asked.key),
            Err(error) => return later(error.to_string()),
        }
        if let Some(version) = &asked.version
            && let Some(end) = not_current(objects.version_now(&asked.key).await, version)
        {
            return end;
        }
        match objects.import_until(&asked.key, stop.clone()).await {
            Ok(NotifiedEnd::Skipped(why)) => self.skipped(why, &asked.key),
            Ok(NotifiedEnd::Files(files, _)) => of_files(&files, self.plan().reader().ok().as_ref()),
            Ok(NotifiedEnd::DeliveredElsewhere) => {
                ObjectImported::Succeeded(nothing_text("imported by another instance"))
            }
            Ok(NotifiedEnd::Elsewhere) => {
                later("another instance has claimed it, and has not delivered all of it")
            }
            Ok(NotifiedEnd::Unknown(why)) => never(why),
            Ok(NotifiedEnd::Unclaimed(why)) => later(why.masked()),
            Err(error) => later(error.to_string()),
        }
    }

    /// An object that the import does not read. Only where it has no rows is that a success.
    fn skipped(&self, why: Skip, key: &str) -> ObjectImported {
        let place = self.plan().place();
        let never_read = |what: &str| never(format!("the import does not read it: {what}"));
        match why {
            Skip::Folder => ObjectImported::Succeeded(nothing_text("it stands for a folder")),
            Skip::Empty => ObjectImported::Succeeded(nothing_text("it is empty")),
            Skip::Foreign => {
                never_read(&format!("it is not in {place}, or filterPattern does not match its key"))
            }
            Skip::Own => never_read("Forebay itself put it there"),
            Skip::TooSmall => never_read("it is smaller than min_size"),
            Skip::TooLarge => never_read("it is larger than max_size"),
            Skip::Archived => never_read("it is archived: restore it first"),
            Skip::Old => never_read("it was stored before modified_after"),
            Skip::Missing => never("E-MISSING: there is no such object"),
            Skip::Changed => never_read(&format!(
                "it was replaced after its import began: on_change = \"reprocess\" or `forebay import reset-file {} {}` imports \
                 the new content",
                self.name(),
                shell_word(key)
            )),
        }
    }
}

/// What becomes of an object whose named version is not the one that is there now; `None`: it is.
fn not_current(now: Result<String, StoreError>, version: &str) -> Option<ObjectImported> {
    match now {
        Ok(now) if now == version => None,
        Ok(_) => {
            Some(never("an [[import]] reads current versions alone, and this version is not the current one"))
        }
        Err(error) if error.outlook() == Outlook::Passing => Some(later(error.told().masked())),
        // The import meets the same, and says what to do.
        Err(_) => None,
    }
}

fn later(why: impl Into<String>) -> ObjectImported {
    ObjectImported::TemporaryFailure(why.into())
}

fn never(why: impl Into<String>) -> ObjectImported {
    ObjectImported::PermanentFailure(why.into())
}

/// What becomes of an object with these files. What may pass by itself is tried again.
fn of_files(files: &[(Became, FileReport)], reader: Option<&ImportReader>) -> ObjectImported {
    let mut stopped = None;
    for (became, report) in files {
        let named = |why: String| match files {
            [_] => why,
            _ => format!("{}: {why}", report.name),
        };
        let what = || named(error_of(&report.end, false).unwrap_or_default());
        match became {
            Became::Done | Became::DoneBefore => {}
            Became::Failed if may_pass(&report.end) => return later(what()),
            Became::Stopped => {
                let why = report.waited_for.clone();
                let why = why.unwrap_or_else(|| "its time was over, or the import was stopped".to_owned());
                stopped = Some(later(named(format!("E-UNFINISHED: {why}; it goes on where it stopped"))));
            }
            Became::Denied => {
                let (name, end) = (report.name.clone(), report.end.clone());
                let denied = denied_of(&NotDone { name, became: *became, end });
                let remedy =
                    denied.zip(reader).map(|(denied, reader)| format!("; {}", reader.sentence(&denied)));
                return never(what() + &remedy.unwrap_or_default());
            }
            Became::Failed
            | Became::Poison
            | Became::Changed
            | Became::Gone
            | Became::Missing
            | Became::Refused => {
                return never(what());
            }
        }
    }
    if let Some(stopped) = stopped {
        return stopped;
    }
    let rejected = |report: &FileReport| report.progress.rejected + report.progress.refused;
    ObjectImported::Succeeded(match files.iter().all(|(became, _)| *became == Became::DoneBefore) {
        true => nothing_text(IMPORTED_BEFORE),
        false => rows_text(
            files.iter().map(|(_, report)| report.progress.next_row).sum(),
            files.iter().map(|(_, report)| rejected(report)).sum(),
        ),
    })
}

fn may_pass(end: &FileEnd) -> bool {
    match end {
        FileEnd::Failed(error) => matches!(error.fault, FileFault::Transient | FileFault::Local),
        FileEnd::Refused(error) => matches!(error, TargetError::Later { .. }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::FileError;
    use crate::log::ImportProgress;

    #[test]
    fn an_object_ends_as_its_files_do() {
        let file = |became, end, next_row: u64, rejected: u64| {
            let progress = ImportProgress { next_row, rejected, ..ImportProgress::default() };
            (became, FileReport { progress, ..FileReport::new("s3://b/f.zip!1".to_owned(), end) })
        };
        let done = || file(Became::Done, FileEnd::Done, 5, 1);
        let before = || file(Became::DoneBefore, FileEnd::DoneBefore, 5, 1);
        let failed = |became, fault| file(became, FileEnd::Failed(FileError::new(fault, "E-X", "why")), 0, 0);
        let check = |files: &[(Became, FileReport)], expected: ObjectImported| {
            assert_eq!(of_files(files, None), expected, "{files:?}");
        };
        check(&[done()], ObjectImported::Succeeded("rows=5 rejected=1".to_owned()));
        check(&[before()], ObjectImported::Succeeded("rows=0 (imported before)".to_owned()));
        check(&[before(), done()], ObjectImported::Succeeded("rows=10 rejected=2".to_owned()));
        for became in [Became::Failed, Became::Poison, Became::Refused, Became::Denied] {
            check(&[failed(became, FileFault::Content)], never("E-X: why"));
        }
        check(&[failed(Became::Changed, FileFault::Changed)], never("E-X: why"));
        check(&[failed(Became::Missing, FileFault::Missing)], never("E-X: why"));
        check(&[failed(Became::Failed, FileFault::Local)], later("E-X: why"));
        check(&[done(), failed(Became::Failed, FileFault::Content)], never("s3://b/f.zip!1: E-X: why"));
        let stopped = file(Became::Stopped, FileEnd::Stopped, 2, 0);
        let waited = FileReport { waited_for: Some("503 SlowDown".to_owned()), ..stopped.1.clone() };
        let says = "E-UNFINISHED: 503 SlowDown; it goes on where it stopped";
        check(&[(Became::Stopped, waited)], later(says));
        // What cannot be imported is said before what is not finished.
        check(&[stopped, failed(Became::Poison, FileFault::Content)], never("s3://b/f.zip!1: E-X: why"));
    }
}
