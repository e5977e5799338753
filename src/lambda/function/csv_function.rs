//! The CSV function: what its settings name, opened once and used by every invocation.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::output_target::Output;
use super::rejects::{RejectsInLog, RejectsInS3};
use super::self_invoke::SelfInvoke;
use crate::import::collector_target::CollectorTarget;
use crate::import::discovery::files::Opening;
use crate::import::discovery::inputs::s3_url;
use crate::import::journal::JournalError;
use crate::import::rejects_output::RejectsOutput;
use crate::import::s3_records::S3Records;
use crate::import::{
    OptionsHash, ProgressJournal, ProgressKeeper, RejectSink, RowLimits, SharedProgress, Target, Unusable,
    WantedSource, short_hash,
};
use crate::lambda::Record;
use crate::object::{ParsedPartKey, S3Location};
use crate::random::Random;
use crate::sources::SourceId;
use crate::store::reader::Store;
use crate::time::{Clock, UnixMillis};

/// The settings of the import of each file.
#[derive(Debug)]
pub struct FileImport {
    /// How files are opened.
    pub opening: Arc<Opening>,
    /// See [`crate::import::Begin::options`].
    pub options: OptionsHash,
    /// See [`crate::import::Begin::limits`].
    pub limits_hash: String,
    /// Which rows of a file are imported, and how many may be rejected.
    pub limits: RowLimits,
    /// See [`crate::import::Job::rate`].
    pub rate: Option<u32>,
    /// The most files that are imported at once.
    pub parallel: usize,
    /// The URL of the folder for rejected rows: `s3://bucket/prefix/`.
    pub rejects: Option<String>,
}

/// The settings of a function.
#[derive(Debug)]
pub struct FunctionSettings {
    /// How files are imported.
    pub import: FileImport,
    /// Where rows go.
    pub to: To,
    /// The URL of the folder with the progress, so that a long file is continued: `s3://bucket/prefix/`.
    pub journal: Option<String>,
    /// The time before its deadline at which an invocation stops.
    pub stop_before: Duration,
    /// Whether a missing object is an error.
    pub missing_fails: bool,
}

/// Where rows go.
#[derive(Debug)]
pub enum To {
    /// Rows are sent to a collector.
    Collector {
        /// The collector's URL.
        url: String,
        /// The write key of their source.
        write_key: String,
    },
    /// Rows become objects.
    Objects {
        /// The prefix of the objects, and their encryption.
        location: S3Location,
        /// The source of the calls.
        source: SourceId,
        /// Bytes of calls of one object.
        part_bytes: usize,
    },
    /// Rows go where the rows of a command go, which also keeps the progress of each file.
    Target {
        /// Takes the rows.
        target: Arc<dyn Target>,
        /// The source of the calls.
        source: WantedSource,
        /// Where rejected rows go, on the disk of this machine.
        rejects: RejectsOutput,
    },
}

/// A function, ready for invocations.
#[derive(Debug)]
pub struct CsvFunction {
    pub(super) settings: FunctionSettings,
    pub(super) store: Arc<dyn Store>,
    pub(super) rows_go_to: RowsGoTo,
    /// The progress of all instances of the function.
    pub(super) journal: Option<Arc<S3Records>>,
    rejects: Option<RejectsInS3>,
    pub(super) self_invoke: Option<SelfInvoke>,
    /// Stops all invocations at their next step.
    pub(super) stop: CancellationToken,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
}

/// Where rows go.
#[derive(Debug)]
pub(super) enum RowsGoTo {
    /// Rows are sent to a collector.
    Collector(CollectorTarget),
    /// Rows become objects, each of so many bytes of calls.
    Objects {
        /// Where the objects go.
        output: Output,
        /// See [`crate::import::Job::part_bytes`].
        part_bytes: usize,
    },
    /// Rows go where those of a command go.
    Target {
        /// Takes the rows.
        target: Arc<dyn Target>,
        /// The source of the calls.
        source: WantedSource,
        /// Where rejected rows go.
        rejects: RejectsOutput,
    },
}

/// Where the rows of one invocation go.
#[derive(Debug)]
pub(super) enum OfInvocation {
    /// To a target that knows how far each file is.
    Target(Arc<dyn Target>),
    /// Into objects; how far each file is stands elsewhere.
    Objects {
        /// Where the objects go.
        output: Box<Output>,
        /// See [`crate::import::Job::part_bytes`].
        part_bytes: usize,
        /// How far each file is.
        progress: Arc<dyn ProgressKeeper>,
    },
}

impl CsvFunction {
    /// Opens what the settings name. `store` has the files. `self_invoke` continues an invocation that is not
    /// finished; `None`: the sender of the event retries.
    /// Errors: [`Unusable`]: the text says which setting is wrong.
    pub async fn open(
        settings: FunctionSettings,
        store: Arc<dyn Store>,
        self_invoke: Option<SelfInvoke>,
        (clock, random): (Arc<dyn Clock>, Arc<dyn Random>),
    ) -> Result<Self, Unusable> {
        let rejects =
            settings.import.rejects.as_deref().map(|name| RejectsInS3::named(name, Arc::clone(&store) as _));
        let rejects = rejects.transpose()?;
        let (rows_go_to, id) = match &settings.to {
            To::Collector { url, write_key } => {
                // Each invocation replaces this progress with its own.
                let none = ProgressJournal::in_memory(Arc::clone(&clock));
                let none = none.map_err(|error| Unusable::failed(&error))?;
                let collector = CollectorTarget::with(url, write_key, Arc::new(none))?;
                (RowsGoTo::Collector(collector), CollectorTarget::id(url, write_key))
            }
            To::Objects { location, source, part_bytes } => {
                let id = short_hash(format!("{} {source}", location.bucket).as_bytes());
                let (location, source) = (location.clone(), source.clone());
                let output = Output { store: Arc::clone(&store) as _, location, source };
                (RowsGoTo::Objects { output, part_bytes: *part_bytes }, id)
            }
            To::Target { target, source, rejects } => {
                let (target, source, rejects) = (Arc::clone(target), source.clone(), rejects.clone());
                (RowsGoTo::Target { target, source, rejects }, String::new())
            }
        };
        let journal = match &settings.journal {
            Some(place) => {
                Some(S3Records::named("FOREBAY_JOURNAL", place, Arc::clone(&store))?.open(&id).await?)
            }
            None => None,
        };
        let stop = CancellationToken::new();
        Ok(Self { settings, store, rows_go_to, journal, rejects, self_invoke, stop, clock, random })
    }

    /// The same function; `stop` stops its invocations at their next step.
    pub fn stopped_by(self, stop: CancellationToken) -> Self {
        Self { stop, ..self }
    }

    /// Whether rows go where those of a command go. A job's report then says what became of each file, and no log
    /// need do so.
    pub(super) fn is_command(&self) -> bool {
        matches!(self.rows_go_to, RowsGoTo::Target { .. })
    }

    /// Whether a file that is not finished goes on where it stopped.
    pub(super) fn goes_on(&self) -> bool {
        self.journal.is_some() || self.is_command()
    }

    /// Where the rows of one invocation go.
    pub(super) fn of_invocation(
        &self,
        deadline: UnixMillis,
        request: &str,
    ) -> Result<OfInvocation, JournalError> {
        Ok(match &self.rows_go_to {
            RowsGoTo::Target { target, .. } => OfInvocation::Target(Arc::clone(target)),
            RowsGoTo::Collector(collector) => {
                OfInvocation::Target(Arc::new(collector.with_progress(self.progress(deadline, request)?)))
            }
            RowsGoTo::Objects { output, part_bytes } => {
                let progress = self.progress(deadline, request)?;
                OfInvocation::Objects { output: Box::new(output.clone()), part_bytes: *part_bytes, progress }
            }
        })
    }

    /// The progress of imports for one invocation: another invocation, even of this process, is another
    /// importer. Without a journal, the progress ends with the invocation, so each retry of a file begins at
    /// its first row.
    fn progress(&self, deadline: UnixMillis, request: &str) -> Result<Arc<dyn ProgressKeeper>, JournalError> {
        let Some(records) = &self.journal else {
            return Ok(Arc::new(ProgressJournal::in_memory(Arc::clone(&self.clock))?));
        };
        // Only a random number is unique: a retry has the same request, and every instance the same process
        // id.
        let importer = format!("invocation {request} ({:08x})", self.random.next_u64() >> 32);
        let (records, clock) = (Arc::clone(records), Arc::clone(&self.clock));
        // AWS kills an invocation at its deadline, so nothing of it runs after that.
        Ok(SharedProgress::start(records, clock, importer, Some(deadline)))
    }

    /// Where the rejected rows of one file go: to files, or to what takes them in their place.
    pub(super) fn rejects(&self) -> (RejectsOutput, Option<Arc<dyn RejectSink>>) {
        let unused = || RejectsOutput::Folder(std::path::PathBuf::new());
        match (&self.rows_go_to, &self.rejects) {
            (RowsGoTo::Target { rejects, .. }, _) => (rejects.clone(), None),
            (_, Some(in_s3)) => (unused(), Some(Arc::new(in_s3.clone()))),
            (_, None) => (unused(), Some(Arc::new(RejectsInLog::default()))),
        }
    }

    /// The source of the calls.
    pub(super) fn source(&self) -> WantedSource {
        match &self.rows_go_to {
            RowsGoTo::Target { source, .. } => source.clone(),
            RowsGoTo::Collector(_) | RowsGoTo::Objects { .. } => WantedSource::Default,
        }
    }

    /// Whether the function itself put this object. Importing its own objects would be a loop.
    pub(super) fn wrote(&self, record: &Record) -> bool {
        // Rejected rows are directly below their prefix, and a journal in a folder below its own.
        let below = |place: &Option<String>, folders: usize, extension: &str| {
            let prefix = place.as_deref().and_then(s3_url).filter(|(bucket, _)| *bucket == record.bucket);
            prefix.is_some_and(|(_, prefix)| {
                let is_inside = is_inside(&record.key, prefix.trim_end_matches('/'), folders);
                is_inside && record.key.ends_with(extension)
            })
        };
        let is_part = match &self.rows_go_to {
            RowsGoTo::Objects { output, .. } => {
                let bucket = &output.location.bucket;
                record.bucket == bucket.bucket() && ParsedPartKey::of(bucket, &record.key).is_some()
            }
            RowsGoTo::Collector(_) | RowsGoTo::Target { .. } => false,
        };
        is_part
            || below(&self.settings.journal, 1, ".json")
            || below(&self.settings.import.rejects, 0, ".ndjson")
    }
}

/// Whether a key is below a prefix without its last `/`, in at most so many folders.
fn is_inside(key: &str, prefix: &str, folders: usize) -> bool {
    let inside = match key.strip_prefix(prefix) {
        Some(inside) if prefix.is_empty() => inside.strip_prefix('/').unwrap_or(inside),
        Some(inside) => match inside.strip_prefix('/') {
            Some(inside) => inside,
            None => return false,
        },
        None => return false,
    };
    inside.matches('/').count() <= folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A journal's records were taken for files to import: they stand in a folder of the function.
    #[test]
    fn what_a_function_writes_is_below_its_prefixes() {
        let check = |key: &str, prefix: &str, folders: usize, inside: bool| {
            assert_eq!(is_inside(key, prefix, folders), inside, "{key} below {prefix}");
        };
        check("journal/abc/1f.json", "journal", 1, true);
        check("journal/1f.json", "journal", 1, true);
        check("journal/abc/def/1f.json", "journal", 1, false);
        check("journal-2/1f.json", "journal", 1, false);
        check("rejects/f.ndjson", "rejects", 0, true);
        check("rejects/csv/f.ndjson", "rejects", 0, false);
        check("f.ndjson", "", 0, true);
        check("abc/1f.json", "", 1, true);
        check("abc/def/1f.json", "", 1, false);
    }
}
