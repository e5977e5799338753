//! `--handler import`: the object of each task is imported as `import csv` does without options, through a running node,
//! its spool, or to a collector elsewhere.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::NodeOf;
use super::answering::{answered, closed, event_of};
use crate::boxed_future::BoxFuture;
use crate::config::Endpoint;
use crate::import::csv::{CsvOptions, TypeSaid};
use crate::import::discovery::files::{Opening, temporary};
use crate::import::discovery::row_type::NamedType;
use crate::import::reading::Limits;
use crate::import::reading::opened::Options;
use crate::import::rejects_output::RejectsOutput;
use crate::import::s3_records::S3Records;
use crate::import::{OnRowError, OptionsHash, RowLimits, WantedSource};
use crate::jobs::handlers::{Ended, Failure, FailureKind, Handler};
use crate::jobs::invocation::Invocation;
use crate::jobs::job::import_way::ImportWay;
use crate::jobs::job::spec::JobSpec;
use crate::lambda::function::{CsvFunction, FileImport, FunctionSettings, To};
use crate::lock::lock;
use crate::node::chosen_target::ChosenTarget;
use crate::node::error::NodeError;
use crate::node::import_store::{ImportStore, import_store};
use crate::node::jobs::for_imports::ForImports;
use crate::node::jobs::tools_error::ToolsError;
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::{SourceId, WriteKeyHash};
use crate::time::Clock;
use crate::words::with_causes;

/// How long before the end of its time an import takes no further row.
const STOP_BEFORE: Duration = Duration::from_secs(10);

/// Imports the object of each task.
#[derive(Debug)]
pub(in crate::node::jobs) struct FileImports {
    open: Mutex<Option<Open>>,
    timeout: Duration,
    stop: CancellationToken,
    clock: Arc<dyn Clock>,
}

/// What is open until the job has ended.
#[derive(Debug)]
struct Open {
    function: Arc<CsvFunction>,
    chosen: ChosenTarget,
}

impl FileImports {
    /// Opens the way of the rows, and says which one it is.
    /// Errors: [`ToolsError`]: it cannot be used.
    pub(in crate::node::jobs) async fn open(
        spec: &JobSpec,
        way: &ImportWay,
        process: &ForImports<'_>,
    ) -> Result<Self, ToolsError> {
        let write_key = write_key(way, process.write_key)?;
        let node = NodeOf::of(way)?;
        let endpoint = spec.endpoints.store.as_deref().map(Endpoint::parse).transpose();
        let endpoint = endpoint.map_err(|what| ToolsError::Wrong("--endpoint-url", what))?;
        let store = import_store(node.config.as_ref(), endpoint.as_ref()).await;
        let source = match (&way.source, write_key) {
            (Some(id), _) => {
                let id = SourceId::new(id.as_str());
                WantedSource::Id(id.map_err(|error| ToolsError::Wrong("--source", error.to_string()))?)
            }
            (None, Some(key)) => WantedSource::WriteKey(key.to_owned()),
            (None, None) => WantedSource::Default,
        };
        let chosen = chosen(way, &node, write_key, &store, process).await?;
        tracing::info!("importing {}", chosen.text);
        let to = To::Target {
            target: Arc::clone(&chosen.target),
            source,
            rejects: RejectsOutput::Folder(Path::new(&way.state).join("rejects")),
        };
        let settings = FunctionSettings {
            import: as_import_csv(Path::new(&way.state)),
            to,
            journal: None,
            stop_before: STOP_BEFORE,
            missing_fails: true,
        };
        let outside = (Arc::new(SystemClock::new()) as _, Arc::new(SystemRandom) as _);
        let function = CsvFunction::open(settings, store, None, outside).await.map_err(NodeError::from)?;
        let function = Arc::new(function.stopped_by(process.stop.clone()));
        Ok(Self {
            open: Mutex::new(Some(Open { function, chosen })),
            timeout: Duration::from_millis(spec.task_timeout_ms),
            stop: process.stop.clone(),
            clock: Arc::new(SystemClock::new()),
        })
    }
}

/// The options that `import csv` has without any flag, so that both know each other's files.
fn as_import_csv(state: &Path) -> FileImport {
    let reading = Options { encoding: None, limits: Limits::default(), temporary: temporary(state) };
    let (named_type, csv) = (NamedType { kind: None, collection: None }, CsvOptions::default());
    let on_row_error = OnRowError::default();
    FileImport {
        options: OptionsHash::of_csv(&named_type, &csv, reading.encoding),
        opening: Arc::new(Opening {
            named_type,
            said: TypeSaid::ByNameAlone,
            csv,
            reading,
            quotes: true,
            random: Arc::new(SystemRandom),
        }),
        limits_hash: on_row_error.limits_hash(false),
        limits: RowLimits { on_row_error, ..RowLimits::default() },
        rate: None,
        parallel: 1,
        rejects: None,
    }
}

async fn chosen(
    way: &ImportWay,
    node: &NodeOf,
    write_key: Option<&str>,
    store: &ImportStore,
    process: &ForImports<'_>,
) -> Result<ChosenTarget, ToolsError> {
    let chosen = match (&way.collector, write_key) {
        (Some(collector), Some(write_key)) => {
            let collector =
                Endpoint::parse(collector).map_err(|what| ToolsError::Wrong("--collector", what))?;
            let shared =
                way.journal.as_deref().map(|place| S3Records::named("--journal", place, Arc::clone(store)));
            let shared = shared.transpose().map_err(NodeError::from)?;
            ChosenTarget::to_collector(&collector, write_key, shared, Path::new(&way.state)).await
        }
        (Some(_), None) => return Err(ToolsError::WriteKey),
        (None, _) => {
            let NodeOf { admin, token_file, config } = node;
            let (admin, token_file) = (admin.as_ref(), token_file.as_deref());
            ChosenTarget::to_node(admin, token_file, config.as_ref(), process.background).await
        }
    };
    Ok(chosen?)
}

/// The write key with which the job was made. Errors: it is another one, or none is given.
fn write_key<'k>(way: &ImportWay, given: Option<&'k str>) -> Result<Option<&'k str>, ToolsError> {
    let Some(known) = &way.write_key else { return Ok(None) };
    let is_known = |key: &&str| WriteKeyHash::of(key).is_some_and(|hash| hash.hex16() == *known);
    given.filter(is_known).map(Some).ok_or(ToolsError::WriteKey)
}

impl Handler for FileImports {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let function = lock(&self.open).as_ref().map(|open| Arc::clone(&open.function));
            let Some(function) = function else { return closed() };
            let event = match event_of(invocation) {
                Ok(event) => event,
                Err(ended) => return ended,
            };
            let deadline = self.clock.wall().plus(self.timeout);
            // It ends by itself before that, unless a part of it hangs.
            match timeout(self.timeout, function.tasks(&event, deadline, &invocation.id)).await {
                Ok(Ok(ends)) => answered(&event, &ends, &self.stop),
                Ok(Err(what)) => Ended::Failed(Failure::new(FailureKind::Unavailable, what)),
                Err(_) => Ended::Failed(Failure::timed_out(self.timeout)),
            }
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let Some(Open { function, chosen }) = lock(&self.open).take() else { return Ok(()) };
            drop(function);
            chosen.end().await.map_err(|error| with_causes(&error))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_goes_on_only_with_the_write_key_with_which_it_was_made() {
        let hash = WriteKeyHash::of("secret-key").unwrap().hex16();
        let with_key = ImportWay { write_key: Some(hash), ..ImportWay::default() };
        assert_eq!(write_key(&with_key, Some("secret-key")).unwrap(), Some("secret-key"));
        for wrong in [None, Some("other-key"), Some("")] {
            assert!(matches!(write_key(&with_key, wrong), Err(ToolsError::WriteKey)), "{wrong:?}");
        }
        // A key of the environment has no meaning for a job that was made without one.
        assert_eq!(write_key(&ImportWay::default(), Some("secret-key")).unwrap(), None);
    }
}
