//! `--handler import:NAME`: the object of each task is imported by the rules of an `[[import]]` and with its history, in
//! a running node or in its spool.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::NodeOf;
use super::answering::{answered, closed, event_of};
use crate::admin::{AskedObject, ObjectImported};
use crate::boxed_future::BoxFuture;
use crate::import::{UnusableKind, Waits};
use crate::jobs::handlers::{Ended, Failure, Handler};
use crate::jobs::invocation::Invocation;
use crate::jobs::job::import_way::ImportWay;
use crate::jobs::job::spec::JobSpec;
use crate::lambda::{BatchTask, TaskEnd};
use crate::lock::lock;
use crate::node::bucket_imports::{ImportsAt, ObjectsAt};
use crate::node::error::NodeError;
use crate::node::jobs::for_imports::ForImports;
use crate::node::jobs::tools_error::ToolsError;
use crate::sources::SourceId;
use crate::time::whole_millis;
use crate::words::with_causes;

/// The time that an import has to end its step, before the time of its invocation is over. Of a short time it is half.
const STOP_BEFORE: Duration = Duration::from_secs(10);

/// Imports the object of each task by an `[[import]]`.
#[derive(Debug)]
pub(in crate::node::jobs) struct NamedImports {
    name: SourceId,
    objects: Mutex<Option<Arc<ObjectsAt>>>,
    timeout: Duration,
    stop: CancellationToken,
}

impl NamedImports {
    /// The import with this name, in a running node or in the spool of the configuration.
    /// Errors: [`ToolsError`]: there is no such import, it is paused, or neither can be used.
    pub(in crate::node::jobs) async fn open(
        name: &str,
        spec: &JobSpec,
        way: &ImportWay,
        process: &ForImports<'_>,
    ) -> Result<Self, ToolsError> {
        let name = SourceId::new(name);
        let name = name.map_err(|error| ToolsError::Wrong("--handler import", error.to_string()))?;
        let NodeOf { admin, token_file, config } = NodeOf::of(way)?;
        let at = ImportsAt::of(admin.as_ref(), token_file.as_deref(), config, process.background).await?;
        tracing::info!("importing {name} {}", at.text());
        let objects = ObjectsAt::of(at, &name, process.stop.clone()).await?;
        Ok(Self {
            name,
            objects: Mutex::new(Some(Arc::new(objects))),
            timeout: Duration::from_millis(spec.task_timeout_ms),
            stop: process.stop.clone(),
        })
    }

    async fn task(&self, objects: &ObjectsAt, task: &BatchTask) -> Result<TaskEnd, Paused> {
        let record = match &task.object {
            Ok(record) => record.clone(),
            Err(why) => return Ok(TaskEnd::Permanent(format!("E-EVENT: {why}"))),
        };
        let until = Instant::now() + self.timeout.saturating_sub(STOP_BEFORE.min(self.timeout / 2));
        let mut waits = Waits::default();
        loop {
            let asked = AskedObject {
                name: self.name.clone(),
                bucket: record.bucket.clone(),
                key: record.key.clone(),
                version: record.version.clone(),
                within_ms: whole_millis(until.saturating_duration_since(Instant::now())).max(1),
            };
            let imported = tokio::select! {
                imported = objects.import(&asked) => imported,
                // A node goes on with the object; the spool of this process stops by itself.
                () = self.stop.cancelled(), if matches!(objects, ObjectsAt::Node(_)) => {
                    return Ok(TaskEnd::Temporary("the command was stopped".to_owned()));
                }
            };
            return match imported {
                Ok(ObjectImported::Succeeded(text)) => Ok(TaskEnd::Succeeded(text)),
                Ok(ObjectImported::TemporaryFailure(text)) => Ok(TaskEnd::Temporary(text)),
                Ok(ObjectImported::PermanentFailure(text)) => Ok(TaskEnd::Permanent(text)),
                Ok(ObjectImported::Paused(_)) => Err(Paused),
                Err(error) => {
                    let why = with_causes(&error);
                    match outlook(&error) {
                        Outlook::Never => Ok(TaskEnd::Permanent(why)),
                        Outlook::Later => Ok(TaskEnd::Temporary(why)),
                        // It may be started again just now.
                        Outlook::Soon => {
                            match timeout_at(until, waits.wait(Duration::ZERO, &why, &self.stop)).await {
                                Ok(Some(())) => continue,
                                Ok(None) | Err(_) => Ok(TaskEnd::Temporary(why)),
                            }
                        }
                    }
                }
            };
        }
    }
}

/// The import is paused: no task can be run now.
struct Paused;

/// Whether the same request may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    /// As soon as the node answers again.
    Soon,
    /// In another try.
    Later,
    /// Not before a person has changed something.
    Never,
}

fn outlook(error: &NodeError) -> Outlook {
    match error {
        NodeError::Import(error) => match error.kind() {
            UnusableKind::Unreachable => Outlook::Soon,
            UnusableKind::Failed => Outlook::Later,
            UnusableKind::Wrong | UnusableKind::Denied => Outlook::Never,
        },
        _ => Outlook::Later,
    }
}

impl Handler for NamedImports {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            let objects = lock(&self.objects).as_ref().map(Arc::clone);
            let Some(objects) = objects else { return closed() };
            let event = match event_of(invocation) {
                Ok(event) => event,
                Err(ended) => return ended,
            };
            let mut ends = Vec::with_capacity(event.tasks.len());
            for task in &event.tasks {
                match timeout(self.timeout, self.task(&objects, task)).await {
                    Ok(Ok(end)) => ends.push(end),
                    Ok(Err(Paused)) => return Ended::Throttled { pause: None },
                    Err(_) => return Ended::Failed(Failure::timed_out(self.timeout)),
                }
            }
            answered(&event, &ends, &self.stop)
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let Some(objects) = lock(&self.objects).take() else { return Ok(()) };
            match Arc::into_inner(objects) {
                Some(objects) => objects.end().await.map_err(|error| with_causes(&error)),
                None => Err("an import is still under way; what it stored is safe in the spool".to_owned()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::Unusable;

    #[test]
    fn a_node_that_does_not_answer_is_asked_again() {
        let check = |error: Unusable, expected: Outlook| {
            let error = NodeError::from(error);
            assert_eq!(outlook(&error), expected, "{error}");
        };
        let text = String::new;
        check(Unusable::Unreachable(text()), Outlook::Soon);
        check(Unusable::Failed(text()), Outlook::Later);
        check(Unusable::Wrong(text()), Outlook::Never);
        check(Unusable::Denied(text()), Outlook::Never);
    }
}
