//! What a person types for a new job becomes its specification, and is tried without a job: `--dry-run`.

use std::path::Path;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

use super::outcome::Outcome;
use super::prepare::ManifestReader;
use super::reporting::never_stored;
use crate::jobs::job::operation::Operation;
use crate::jobs::job::spec::{JobSpec, ManifestPlace, ReportScope, ReportSpec};
use crate::jobs::job::spec_checks::CONCURRENCY_MAX;
use crate::jobs::job::status::FailureClass;
use crate::random::Random;
use crate::sources::WriteKeyHash;
use crate::store::reader::StoreReader;
use crate::words::{counted, outside_key, outside_text, with_causes};

/// Invocations in flight at once of a handler that is no program on this machine.
const CONCURRENCY: u32 = 100;
/// Objects that are imported at once.
const IMPORTS: u32 = 4;
/// The time of an invocation, and that of the import of an object: as much as AWS Lambda gives.
const TASK_TIMEOUT: Duration = Duration::from_secs(60);
const IMPORT_TIMEOUT: Duration = Duration::from_secs(15 * 60);
/// Tasks that are named by a dry run.
const NAMED_MAX: usize = 3;

/// Where a manifest is: `s3://bucket/key`, `-` or a file. Errors: the expected form.
pub fn manifest_place(typed: &str) -> Result<ManifestPlace, String> {
    if typed == "-" {
        return Ok(ManifestPlace::StandardInput);
    }
    if let Some(object) = typed.strip_prefix("s3://") {
        let place = object.split_once('/').filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty());
        let (bucket, key) = place.ok_or_else(|| {
            format!(
                "expected s3://bucket/key, a file, or - for standard input, not \"{}\"",
                outside_text(typed)
            )
        })?;
        return Ok(ManifestPlace::Object { bucket: bucket.to_owned(), key: key.to_owned(), version: None });
    }
    absolute(Path::new(typed)).map(ManifestPlace::File)
}

/// A path as a job keeps it: the job may be gone on with in another folder. Errors: it cannot be kept, and why.
pub fn absolute(path: &Path) -> Result<String, String> {
    let whole = std::path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let text = whole.into_os_string().into_string();
    text.map_err(|_| format!("the path {} is not UTF-8", path.display()))
}

/// What a job keeps of a write key: the beginning of its hash. Errors: it is no write key.
pub fn known_write_key(key: &str) -> Result<String, String> {
    let hash = WriteKeyHash::of(key).ok_or("expected a write key")?;
    Ok(hash.hex16())
}

/// Where a report goes: `s3://bucket/prefix` or `s3://bucket`. Errors: the expected form.
pub fn report_place(typed: &str, scope: ReportScope) -> Result<ReportSpec, String> {
    let wrong = || format!("expected s3://bucket/prefix, not \"{}\"", outside_text(typed));
    let place = typed.strip_prefix("s3://").ok_or_else(wrong)?;
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    if bucket.is_empty() {
        return Err(wrong());
    }
    Ok(ReportSpec { bucket: bucket.to_owned(), prefix: prefix.to_owned(), scope })
}

/// Invocations in flight at once unless somebody says how many: one a core for programs, and few for imports, since
/// each reads a file.
pub fn usual_concurrency(operation: &Operation) -> u32 {
    let cores = || available_parallelism().ok().and_then(|cores| u32::try_from(cores.get()).ok());
    match operation {
        Operation::Command(_) => cores().unwrap_or(1).min(CONCURRENCY_MAX),
        Operation::Import(_) => IMPORTS,
        _ => CONCURRENCY,
    }
}

/// How long an invocation may take unless somebody says how long: an import reads a whole file.
pub fn usual_timeout(operation: &Operation) -> Duration {
    match operation {
        Operation::Import(_) => IMPORT_TIMEOUT,
        _ => TASK_TIMEOUT,
    }
}

/// What a job would do.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    /// The form of the manifest.
    pub manifest: &'static str,
    /// What the columns of a CSV manifest are taken for.
    pub fields: Option<Vec<&'static str>>,
    /// Its ETag, without quotes, if it is in a store.
    pub etag: Option<String>,
    /// The number of tasks.
    pub tasks: u64,
    /// What invokes the function.
    pub handler: String,
    /// The first tasks, as the manifest has them.
    pub first: Vec<String>,
}

impl DryRun {
    /// The text for people.
    pub fn text(&self) -> String {
        let tasks = counted(self.tasks, "task", "tasks");
        let first: String = self.first.iter().map(|task| format!("  first:    {task}\n")).collect();
        let columns = self.fields.as_ref().map(|fields| format!("  columns:  {}\n", fields.join(",")));
        format!(
            "{tasks} would be run, each by {}; nothing was run\n  manifest: {}\n{}{first}",
            self.handler,
            self.manifest,
            columns.unwrap_or_default()
        )
    }
}

/// Reads the manifest of a job through, and runs nothing.
/// Errors: how the job would fail, and why.
pub async fn dry_run(
    spec: &JobSpec,
    store: Arc<dyn StoreReader>,
    random: Arc<dyn Random>,
) -> Result<DryRun, (Outcome, String)> {
    let failed = |class, text| (Outcome::Failed(class), text);
    if let Some(to) = &spec.report
        && let Some(why) = never_stored(to, spec.role.as_ref(), &*store).await
    {
        return Err(failed(FailureClass::Access, why));
    }
    let reader = ManifestReader::of(spec, spec.role.as_ref(), store, Handle::current(), random)
        .map_err(|error| failed(FailureClass::Manifest, with_causes(&error)))?;
    let read = spawn_blocking(move || {
        let mut first = Vec::new();
        let read = reader.read(&mut |task| {
            if first.len() < NAMED_MAX {
                first.push(format!("s3://{}/{}", task.bucket, outside_key(&task.key)));
            }
            Ok(())
        });
        read.map(|read| (read, first)).map_err(|error| {
            let class = reader.failure(&error).map_or(FailureClass::Other, |failure| failure.class);
            failed(class, with_causes(&error))
        })
    });
    let (read, first) = read.await.map_err(|error| failed(FailureClass::Other, with_causes(&error)))??;
    let handler = super::shown::handler_text(&spec.operation);
    let etag = read.etag.map(|etag| etag.trim_matches('"').to_owned());
    let (manifest, fields) = (read.form.as_str(), read.fields.map(|fields| fields.names()));
    Ok(DryRun { manifest, fields, etag, tasks: read.tasks, handler, first })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_typed() {
        let object = |bucket: &str, key: &str| {
            Ok(ManifestPlace::Object { bucket: bucket.to_owned(), key: key.to_owned(), version: None })
        };
        assert_eq!(manifest_place("-"), Ok(ManifestPlace::StandardInput));
        assert_eq!(manifest_place("s3://b-1/a/m.csv"), object("b-1", "a/m.csv"));
        assert_eq!(manifest_place("/x/m.csv"), Ok(ManifestPlace::File("/x/m.csv".to_owned())));
        let here = std::env::current_dir().unwrap().join("m.csv").into_os_string().into_string().unwrap();
        assert_eq!(manifest_place("m.csv"), Ok(ManifestPlace::File(here)));
        for wrong in ["s3://", "s3://b", "s3://b/", "s3:///k"] {
            assert!(manifest_place(wrong).unwrap_err().contains("expected s3://bucket/key"), "{wrong}");
        }
        let report = report_place("s3://b/p/q", ReportScope::AllTasks).unwrap();
        assert_eq!((report.bucket.as_str(), report.prefix.as_str()), ("b", "p/q"));
        assert_eq!(report_place("s3://b", ReportScope::AllTasks).unwrap().prefix, "");
        assert!(report_place("b/p", ReportScope::AllTasks).is_err());
        assert!(report_place("s3:///p", ReportScope::AllTasks).is_err());
    }
}
