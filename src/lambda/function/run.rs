//! Runs one invocation: imports the files that its event names, until its time is over, and answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;

use super::csv_function::CsvFunction;
use super::invocation::Invocation;
use crate::lambda::{
    BatchEvent, Ended, Event, FileResult, Message, Notified, Record, TaskEnd, Unit, answer, batch_answer,
    continuation, deadline_of, task_end,
};
use crate::time::{UnixMillis, whole_millis};
use crate::words::grouped;

/// What became of an object: of its one file, or of each file in an archive.
type Outcomes = Vec<FileResult>;

impl CsvFunction {
    /// Does what an event asks for. Returns the answer, or the text of the error.
    /// Errors: the text says what failed, and why, after everything was tried.
    pub async fn invoked(
        self: Arc<Self>,
        payload: &Value,
        deadline_ms: u64,
        request: &str,
    ) -> Result<Value, String> {
        let deadline = deadline_of(deadline_ms, self.clock.wall());
        let event = Event::parse(&payload.to_string()).map_err(|error| {
            tracing::error!(%error, "the event is not processed");
            error.to_string()
        })?;
        match event {
            Event::Batch(batch) => {
                let ends = self.tasks(&batch, deadline, request).await?;
                Ok(batch_answer(&batch, &ends))
            }
            Event::Together(all) => {
                let records = records(&all);
                let outcomes = self.invocation(deadline, request, false)?.files(records).await;
                let files = all.into_iter().flat_map(|notified| results(notified, &outcomes)).collect();
                answer(&[Unit { message: None, files }])
            }
            Event::Queue(messages) => {
                let notified = messages.iter().filter_map(|message| message.says.as_ref().ok()).flatten();
                let records = records(notified);
                let outcomes = self.invocation(deadline, request, false)?.files(records).await;
                let units: Vec<Unit> = messages.into_iter().map(|message| unit(message, &outcomes)).collect();
                answer(&units)
            }
        }
    }

    /// Imports the objects of a job's tasks. Returns how each task ended, in their order.
    /// Errors: the text says why nothing was tried.
    pub async fn tasks(
        self: &Arc<Self>,
        batch: &BatchEvent,
        deadline: UnixMillis,
        request: &str,
    ) -> Result<Vec<TaskEnd>, String> {
        let mut records: Vec<Record> = Vec::new();
        for record in batch.tasks.iter().filter_map(|task| task.object.as_ref().ok()) {
            if !records.iter().any(|known| known.is_same_object(record)) {
                records.push(record.clone());
            }
        }
        let invocation = self.invocation(deadline, request, true)?;
        let outcomes = Invocation::all(&invocation, records).await;
        let end = |object: &Result<Record, String>| match object {
            Err(why) => TaskEnd::Permanent(format!("E-EVENT: {why}")),
            Ok(record) => task_end(&files_of(record, &outcomes), self.goes_on()),
        };
        Ok(batch.tasks.iter().map(|task| end(&task.object)).collect())
    }

    fn invocation(
        self: &Arc<Self>,
        deadline: UnixMillis,
        request: &str,
        is_exact: bool,
    ) -> Result<Arc<Invocation>, String> {
        let rows_go_to = self.of_invocation(deadline, request).map_err(|error| error.to_string())?;
        Ok(Arc::new(Invocation::new(Arc::clone(self), rows_go_to, (deadline, is_exact))))
    }
}

impl Invocation {
    /// Imports all objects, and lets others continue those that are not finished.
    async fn files(self: Arc<Self>, records: Vec<Record>) -> BTreeMap<Record, Outcomes> {
        let mut outcomes = Self::all(&self, records).await;
        self.go_on(&mut outcomes).await;
        outcomes
    }

    /// Imports all objects, several at once.
    async fn all(invocation: &Arc<Self>, records: Vec<Record>) -> BTreeMap<Record, Outcomes> {
        let turns = Arc::new(Semaphore::new(invocation.function.settings.import.parallel));
        let mut tasks = Vec::with_capacity(records.len());
        for record in records {
            let (invocation, turns, of) = (Arc::clone(invocation), Arc::clone(&turns), record.clone());
            let task = tokio::spawn(async move {
                let _turn = turns.acquire().await;
                invocation.one(&of).await
            });
            tasks.push((record, task));
        }
        let mut outcomes = BTreeMap::new();
        for (record, task) in tasks {
            let ended = task.await.unwrap_or_else(|error| {
                let ended = Ended::Failed(format!("E-BUG: {error}; this is a bug in Forebay"));
                vec![FileResult::unopened(record.name(), ended)]
            });
            outcomes.insert(record, ended);
        }
        outcomes
    }

    async fn one(&self, record: &Record) -> Outcomes {
        let began = self.function.clock.monotonic();
        let outcomes = if self.stop.is_cancelled() {
            let ended = Ended::Unfinished { row: None, why: Some("its turn did not come".to_owned()) };
            vec![FileResult::unopened(record.name(), ended)]
        } else {
            self.import(record).await
        };
        let took = self.function.clock.monotonic().saturating_sub(began);
        if !self.function.is_command() {
            outcomes.iter().for_each(|outcome| log(outcome, took));
        }
        outcomes
    }

    /// Lets another invocation continue the objects that are not finished, or says what will happen to them.
    async fn go_on(&self, outcomes: &mut BTreeMap<Record, Outcomes>) {
        let is_unfinished = |file: &FileResult| matches!(file.ended, Ended::Unfinished { .. });
        let unfinished = outcomes.iter().filter(|(_, files)| files.iter().any(is_unfinished));
        let unfinished: Vec<Record> = unfinished.map(|(record, _)| record.clone()).collect();
        if unfinished.is_empty() {
            return;
        }
        // Without progress the function would invoke itself forever, and nobody would notice.
        let progressed = outcomes.values().flatten().any(|file| file.rows > 0);
        let went_on = match &self.function.self_invoke {
            Some(function) if progressed => {
                let event = continuation(&unfinished);
                let invoked = function.invoke(&event);
                let invoked = self.limits.answer.run_until_cancelled(invoked).await;
                Some(invoked.unwrap_or_else(|| Err("the function was not invoked again in time".to_owned())))
            }
            _ => None,
        };
        for file in outcomes.values_mut().flatten() {
            let Ended::Unfinished { row, why } = &file.ended else { continue };
            let (row, why) = (*row, why.as_deref());
            file.ended = match &went_on {
                Some(Ok(())) => {
                    tracing::info!(key = file.name, row, "another invocation continues this file");
                    Ended::Done("continued")
                }
                Some(Err(error)) => {
                    Ended::Failed(format!("{}; {error}", self.unfinished(row, why, file.rows > 0)))
                }
                None => Ended::Failed(self.unfinished(row, why, file.rows > 0)),
            };
        }
    }

    /// The error of a file that is not finished.
    fn unfinished(&self, row: Option<u64>, why: Option<&str>, progressed: bool) -> String {
        let row = row.map_or_else(|| "not begun".to_owned(), |row| format!("row {}", grouped(row)));
        let why = why.map_or_else(String::new, |why| format!(" ({why})"));
        match (self.function.goes_on(), progressed) {
            (true, true) => {
                format!("E-UNFINISHED: not finished: {row}{why}; will continue there when it is retried")
            }
            (true, false) => format!(
                "E-UNFINISHED: not finished: {row}{why}; no row was taken in this invocation; will continue when it is \
                 retried"
            ),
            (false, _) => format!(
                "E-UNFINISHED: not finished: {row}{why}; a retry begins at the first row; a file that is longer than one \
                 invocation can read needs FOREBAY_JOURNAL, or a longer timeout"
            ),
        }
    }
}

fn unit(message: Message, outcomes: &BTreeMap<Record, Outcomes>) -> Unit {
    let Message { id, says } = message;
    let files = match says {
        Ok(notified) => notified.into_iter().flat_map(|notified| results(notified, outcomes)).collect(),
        Err(error) => {
            tracing::error!(message = id, %error, "the message is not processed");
            vec![FileResult::unopened("the message".to_owned(), Ended::Failed(error.to_string()))]
        }
    };
    Unit { message: Some(id), files }
}

/// The objects of notifications, each once: a notification may come twice.
fn records<'n>(notified: impl IntoIterator<Item = &'n Notified>) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for notified in notified {
        if let Notified::Created(record) = notified
            && !records.iter().any(|known| known.is_same_object(record))
        {
            records.push(record.clone());
        }
    }
    records
}

fn results(notified: Notified, outcomes: &BTreeMap<Record, Outcomes>) -> Vec<FileResult> {
    let single = |name: String, ended| vec![FileResult::unopened(name, ended)];
    match notified {
        Notified::Other(what) => {
            tracing::info!(what, "a notification that needs no work");
            single(what, Ended::Done("ignored"))
        }
        Notified::Bad { name, why } => {
            tracing::error!(key = name, error = %why, "a file is not imported");
            single(name, Ended::Failed(format!("E-EVENT: {why}")))
        }
        Notified::Created(record) => files_of(&record, outcomes),
    }
}

/// What became of the files of an object.
fn files_of(record: &Record, outcomes: &BTreeMap<Record, Outcomes>) -> Outcomes {
    match outcomes.iter().find(|(of, _)| of.is_same_object(record)) {
        Some((_, files)) => files.clone(),
        None => {
            let why = "E-BUG: it was not tried; this is a bug in Forebay";
            vec![FileResult::unopened(record.name(), Ended::Failed(why.to_owned()))]
        }
    }
}

/// Logs one line for a file.
fn log(file: &FileResult, took: Duration) {
    let duration_ms = whole_millis(took);
    let FileResult { name, rows, rejected, ended, .. } = file;
    match ended {
        Ended::Done(how) => {
            tracing::info!(key = name, rows, rejected, duration_ms, ended = how, "a file is imported");
        }
        Ended::Failed(error) => {
            tracing::error!(key = name, rows, rejected, duration_ms, error, "a file is not imported");
        }
        Ended::Unfinished { row, why } => {
            let waited_for = why.as_deref().unwrap_or("nothing");
            tracing::warn!(
                key = name,
                rows,
                rejected,
                duration_ms,
                next_row = row,
                waited_for,
                "a file is not finished"
            );
        }
    }
}
