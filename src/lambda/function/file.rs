//! One file of an invocation: finds the object that its notification means, and imports it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::csv_function::OfInvocation;
use super::invocation::Invocation;
use super::output_target::{Output, OutputTarget};
use super::timed_target::TimedTarget;
use crate::import::discovery::inputs::{Input, location_of};
use crate::import::file_result::FileResult as Imported;
use crate::import::files_import::{FilesImport, one};
use crate::import::{Counters, FileEnd, FileError, FileFault, Target, TargetError, Waits};
use crate::lambda::{Ended, FileResult, Record};
use crate::object::{ObjectKey, S3Location};
use crate::store::{Head, Outlook, StoreError};
use crate::words::{Told, outside_text_within};

/// How much of a version is shown, in bytes.
const SHOWN_MAX: usize = 200;

impl Invocation {
    /// Imports the object of a notification. An archive is several files.
    pub(super) async fn import(&self, record: &Record) -> Vec<FileResult> {
        let unopened = |ended| vec![FileResult::unopened(record.name(), ended)];
        if self.function.wrote(record) || record.key.ends_with('/') {
            return unopened(Ended::Done("ignored"));
        }
        let head = match self.find(record).await {
            Ok(head) => head,
            Err(ended) => return unopened(ended),
        };
        let (target, part_bytes): (Arc<dyn Target>, _) = match &self.rows_go_to {
            OfInvocation::Target(target) => (Arc::clone(target), None),
            OfInvocation::Objects { output, part_bytes, progress } => {
                let Some(received_at) = head.last_modified else {
                    let why = "E-S3: the store does not say when the object was stored";
                    return unopened(Ended::Failed(why.to_owned()));
                };
                let target = OutputTarget {
                    output: Output::clone(output),
                    progress: Arc::clone(progress),
                    received_at,
                    files: Mutex::default(),
                    random: Arc::clone(&self.function.random),
                };
                (Arc::new(target), Some(*part_bytes))
            }
        };
        let timed = Arc::new(TimedTarget::new(target, self.limits.clone()));
        let function = &self.function;
        let settings = &function.settings;
        let (rejects, reject_sink) = function.rejects();
        let import = FilesImport {
            target: Arc::clone(&timed) as _,
            opening: Arc::clone(&settings.import.opening),
            options: settings.import.options.clone(),
            limits_hash: settings.import.limits_hash.clone(),
            source: function.source(),
            force: false,
            limits: settings.import.limits.clone(),
            rate: settings.import.rate,
            rejects,
            reject_sink,
            part_bytes,
            counters: Counters::default(),
            stop: self.stop.clone(),
        };
        let input = Input::Object {
            bucket: record.bucket.clone(),
            key: record.key.clone(),
            store: Arc::clone(&function.store) as _,
            bytes: head.len,
            head: Some(Box::new(head)),
        };
        let results = one(&import, &input).await;
        let is_command = function.is_command();
        results.into_iter().map(|result| outcome(&result, &timed, is_command)).collect()
    }

    /// The version of an object that a notification means: the one that it names, or else the one that is
    /// there.
    async fn find(&self, record: &Record) -> Result<Head, Ended> {
        let failed = |error: &FileError| Ended::Failed(error.masked());
        let location = location_of(&record.bucket)
            .map_err(|error| failed(&FileError::new(FileFault::Local, "E-S3", error.to_string())))?;
        let key = ObjectKey::listed(record.key.clone());
        let mut waits = Waits::default();
        loop {
            let found = match record.version.as_deref().filter(|_| self.is_exact) {
                Some(version) => self.find_version(version, &location, &key).await,
                None => self.find_once(record, &location, &key).await.map(Some),
            };
            let error = match found {
                Ok(Some(head)) => return Ok(head),
                Ok(None) => {
                    let version = record.version.as_deref().unwrap_or_default();
                    let what =
                        format!("the object has no version {}", outside_text_within(version, SHOWN_MAX));
                    return Err(failed(&FileError::new(FileFault::Missing, "E-MISSING", Told::plain(what))));
                }
                // A notification names an object, so nothing is said of prefixes.
                Err(error) => FileError::unread(&error.into()),
            };
            match error.fault {
                FileFault::Transient => {
                    let why = format!("{}: {}", record.name(), error.message.masked());
                    if waits.wait(Duration::ZERO, &why, &self.stop).await.is_none() {
                        return Err(Ended::Unfinished { row: None, why: Some(error.masked()) });
                    }
                }
                FileFault::Missing if !self.function.settings.missing_fails => {
                    return Err(Ended::Done("missing"));
                }
                _ => return Err(failed(&error)),
            }
        }
    }

    /// The version of an object, whatever is there now; `None`: there is no such version.
    async fn find_version(
        &self,
        version: &str,
        location: &S3Location,
        key: &ObjectKey,
    ) -> Result<Option<Head>, StoreError> {
        let store = &self.function.store;
        match store.head_of(location, key, Some(version)).await {
            Ok(head) => {
                let found = head.version.as_ref().and_then(|found| found.id.as_deref());
                // An object without versions has the version `null`.
                let is_it = found.unwrap_or("null") == version;
                Ok(is_it.then_some(head))
            }
            // A version that is made up is answered with 400, which is also the answer to expired credentials: then
            // this request fails too.
            Err(error) if error.status == Some(400) => store.head_of(location, key, None).await.map(|_| None),
            Err(error) if error.outlook() == Outlook::Missing => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn find_once(
        &self,
        record: &Record,
        location: &S3Location,
        key: &ObjectKey,
    ) -> Result<Head, StoreError> {
        let store = &self.function.store;
        let now = store.head_of(location, key, None).await;
        let is_version =
            |head: &Head, id: &String| head.version.as_ref().is_some_and(|of| of.id.as_ref() == Some(id));
        let is_named = |head: &Head| record.version.as_ref().is_none_or(|id| is_version(head, id));
        if let Some(version) = &record.version
            && !now.as_ref().is_ok_and(is_named)
        {
            // The object was overwritten or deleted meanwhile, and the bucket has kept the version.
            match store.head_of(location, key, Some(version)).await {
                Ok(head) if is_version(&head, version) => return Ok(head),
                // A version that is made up is answered with 400, which is also the answer to expired
                // credentials: then the first request failed too.
                Err(error) if error.outlook() == Outlook::Passing && error.status != Some(400) => {
                    return Err(error);
                }
                Ok(_) | Err(_) => {}
            }
        }
        let head = now?;
        let (version, _) = head.pinned()?;
        let etag = version.etag.trim_matches('"');
        let is_other_etag = record.etag.as_deref().is_some_and(|named| named != etag);
        if !is_named(&head) || (record.version.is_none() && is_other_etag) {
            tracing::warn!(
                key = record.name(),
                version = version.id.as_deref().unwrap_or("none"),
                version_in_event = record.version.as_deref().unwrap_or("none"),
                etag,
                etag_in_event = record.etag.as_deref().unwrap_or("none"),
                "the object is not the one in the event; it is read as it stands"
            );
        }
        Ok(head)
    }
}

fn outcome(result: &Imported, target: &TimedTarget, is_command: bool) -> FileResult {
    let report = &result.report;
    let ended = match &report.end {
        FileEnd::Done | FileEnd::DoneBefore | FileEnd::RangeDone => Ended::Done(result.ended()),
        FileEnd::Failed(error) => Ended::Failed(error.masked()),
        FileEnd::Refused(error) => Ended::Failed(refused(error, is_command)),
        FileEnd::Stopped => {
            let why = target.why().or_else(|| report.waited_for.clone());
            Ended::Unfinished { row: Some(report.progress.next_row), why }
        }
    };
    let (rows, all_rows, rejected) = (result.rows(), result.all_rows(), result.rejected());
    FileResult { name: report.name.clone(), ended, rows, all_rows, rejected }
}

/// The texts of errors name options that a function does not have. They are logged, so they are masked.
fn refused(error: &TargetError, is_command: bool) -> String {
    match error {
        TargetError::OtherOptions if is_command => {
            "E-OPTIONS: rows of this file were imported with other options; `forebay import csv FILE` with the same \
             options imports the rest of it"
                .to_owned()
        }
        TargetError::GivenUp { attempts, code, message } if is_command => format!(
            "{code}: {} (it failed {attempts} times; change the file, or import it by `forebay import csv FILE --force`)",
            message.masked()
        ),
        TargetError::OtherOptions => {
            "E-OPTIONS: rows of this file were imported with other options; set the same \
             FOREBAY_CSV_ variables again, or import it anew with another FOREBAY_JOURNAL"
                .to_owned()
        }
        TargetError::GivenUp { attempts, code, message } => format!(
            "{code}: {} (it failed {attempts} times; change the file, FOREBAY_CSV_ON_ROW_ERROR or \
             FOREBAY_CSV_ALLOW_EXPANSION)",
            message.masked()
        ),
        other => format!("E-REFUSED: {}", other.masked()),
    }
}
