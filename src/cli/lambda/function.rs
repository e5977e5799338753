//! A function, ready for invocations.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use super::invocation::Invocation;
use super::output_target::Output;
use super::rejects::{RejectsInLog, RejectsInS3};
use super::self_invoke::SelfInvoke;
use super::settings::{Settings, To, Unfinished};
use crate::cli::failure::Failure;
use crate::cli::import::Opening;
use crate::cli::import::shared::{
    CollectorTarget, Progress, SharedPlace, hash, limits_hash, opening, s3_url, short_hash, store_at,
    temporary,
};
use crate::config::Endpoint;
use crate::import::s3_records::S3Records;
use crate::import::{RejectSink, SharedProgress};
use crate::lambda::{Record, deadline_of};
use crate::object::ImportedPlace;
use crate::random::Random as _;
use crate::runtime::{SystemClock, SystemRandom};
use crate::store::s3::S3Store;
use crate::time::{Clock, UnixMillis};

/// The only folder of a function that can be written.
const FOLDER: &str = "/tmp/forebay";

/// A function, ready for invocations.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) settings: Settings,
    pub(super) store: Arc<S3Store>,
    pub(super) opening: Arc<Opening>,
    /// See [`crate::import::Begin::options`].
    pub(super) options: String,
    /// See [`crate::import::Begin::limits`].
    pub(super) limits_hash: String,
    pub(super) way: Way,
    /// The progress of all instances of the function.
    journal: Option<Arc<S3Records>>,
    rejects: Option<RejectsInS3>,
    pub(super) self_invoke: Option<SelfInvoke>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Where rows go.
#[derive(Debug)]
pub(super) enum Way {
    /// To a collector.
    Collector(CollectorTarget),
    /// They become objects, each of so many bytes of calls.
    Objects {
        /// Where these go.
        output: Output,
        /// See [`crate::import::Job::part_bytes`].
        part_bytes: usize,
    },
}

impl Function {
    /// Reads the environment, and opens what it names.
    ///
    /// # Errors
    /// [`Failure`] that says which variable is wrong.
    pub(super) async fn start(environment: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let settings = Settings::of(environment)?;
        for name in &settings.ignored {
            tracing::warn!(name, "this variable is unknown and ignored");
        }
        let endpoint = match (&settings.csv.to.endpoint_url, environment.get("AWS_ENDPOINT_URL")) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(url)) => {
                let url = Endpoint::parse(url);
                Some(url.map_err(|error| Failure::usage(format!("AWS_ENDPOINT_URL: {error}")))?)
            }
            (None, None) => None,
        };
        let store = store_at(endpoint.as_ref(), environment.get("AWS_REGION").map(String::as_str)).await;
        let csv = &settings.csv;
        let opening = Arc::new(opening(&csv.given, &csv.format, temporary(&PathBuf::from(FOLDER)), false)?);
        let rejects = csv.to.rejects.as_deref().map(|name| RejectsInS3::named(name, Arc::clone(&store)));
        let rejects = rejects.transpose()?;
        let mut options = hash(&csv.given, &csv.format);
        let (way, id) = match &settings.to {
            To::Collector { url, write_key } => {
                let way = CollectorTarget::with(url, write_key, Progress::in_memory()?)?;
                (Way::Collector(way), CollectorTarget::id(url, write_key))
            }
            To::Objects { destination, source, part } => {
                // A file that is half imported is continued with parts of the same size.
                options = short_hash(format!("{options} {part}").as_bytes());
                let id = short_hash(format!("{} {source}", destination.bucket).as_bytes());
                let (store, destination, source) = (Arc::clone(&store), destination.clone(), source.clone());
                let part_bytes = usize::try_from(part.0).unwrap_or(usize::MAX);
                (Way::Objects { output: Output { store, destination, source }, part_bytes }, id)
            }
        };
        let journal = match &settings.journal {
            Some(place) => {
                Some(SharedPlace::named("FOREBAY_JOURNAL", place, Arc::clone(&store))?.records(&id).await?)
            }
            None => None,
        };
        let self_invoke = match settings.unfinished {
            Unfinished::SelfInvoke => Some(SelfInvoke::new(environment).await),
            Unfinished::Retry => None,
        };
        let limits_hash = limits_hash(csv.on_row_error, csv.format.allow_expansion);
        let clock = Arc::new(SystemClock::new());
        Ok(Self { settings, store, opening, options, limits_hash, way, journal, rejects, self_invoke, clock })
    }

    /// Does what an event asks for. Returns the answer, or the text of the error.
    ///
    /// # Errors
    /// What failed, and why, after everything was tried.
    pub(super) async fn invoked(
        self: Arc<Self>,
        payload: &Value,
        deadline_ms: u64,
        request: &str,
    ) -> Result<Value, String> {
        let deadline = deadline_of(deadline_ms, self.clock.wall());
        let progress = self.progress(deadline, request).map_err(|error| error.to_string())?;
        Arc::new(Invocation::new(self, progress, deadline)).run(payload).await
    }

    /// The progress of imports, for one invocation: another one, even of this process, is another importer. Without a
    /// journal it ends with the invocation, so that each one does the same.
    fn progress(&self, deadline: UnixMillis, request: &str) -> Result<Progress, Failure> {
        let Some(records) = &self.journal else { return Ok(Progress::in_memory()?) };
        // A retry has the same request, and every instance the same number of process.
        let importer = format!("invocation {request} ({:08x})", SystemRandom.next_u64() >> 32);
        let (records, clock) = (Arc::clone(records), Arc::clone(&self.clock));
        // After its deadline no invocation runs: it is killed.
        Ok(Progress::Shared(SharedProgress::start_until(records, clock, importer, Some(deadline))))
    }

    /// Where the rejected rows of one file go.
    pub(super) fn rejects(&self) -> Arc<dyn RejectSink> {
        match &self.rejects {
            Some(in_s3) => Arc::new(in_s3.clone()),
            None => Arc::new(RejectsInLog::default()),
        }
    }

    /// Whether the function itself put this object: a notification of its own objects is a loop that nobody wants.
    pub(super) fn wrote(&self, record: &Record) -> bool {
        let below = |place: &Option<String>, extension: &str| {
            let prefix = place.as_deref().and_then(s3_url).filter(|(bucket, _)| *bucket == record.bucket);
            prefix.is_some_and(|(_, prefix)| {
                let prefix = prefix.trim_end_matches('/');
                let inside = record.key.strip_prefix(prefix);
                let inside = inside.map(|inside| inside.strip_prefix('/').ok_or(inside));
                // Both are put directly below their places.
                let is_ours = match inside {
                    Some(Ok(inside)) => !inside.contains('/'),
                    Some(Err(inside)) => prefix.is_empty() && !inside.contains('/'),
                    None => false,
                };
                is_ours && record.key.ends_with(extension)
            })
        };
        let is_part = match &self.way {
            Way::Objects { output, .. } => {
                let bucket = &output.destination.bucket;
                record.bucket == bucket.bucket() && ImportedPlace::of(bucket, &record.key).is_some()
            }
            Way::Collector(_) => false,
        };
        is_part || below(&self.settings.journal, ".json") || below(&self.settings.csv.to.rejects, ".ndjson")
    }

    pub(super) fn has_journal(&self) -> bool {
        self.journal.is_some()
    }
}
