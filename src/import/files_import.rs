//! An import of several files: each input is opened, and each of its files goes through [`import_file`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::csv::IdFrom;
use super::discovery::files::{CsvFile, Opening, files};
use super::discovery::inputs::Input;
use super::file_result::{FileResult, Results};
use super::own_thread::bug;
use super::rejects_output::RejectsOutput;
use super::retry::{RetryOptions, owner_of, retry_of};
use super::{
    Begin, CheckUnchanged, Counters, FileEnd, FileError, FileFault, Job, OpenRows, OptionsHash, RejectSink,
    RejectsOf, RowLimits, Target, Waits, WantedSource, import_file, imported_as,
};

/// Imports the rows of each of these files of rejected rows, one file after the other, until `stop`.
pub async fn retry_all(
    files: &[PathBuf],
    how: &RetryOptions<'_>,
    target: &dyn Target,
    counters: &Counters,
    stop: &CancellationToken,
) -> Results {
    let mut results = Results::default();
    for (done, rejects) in files.iter().enumerate() {
        if stop.is_cancelled() {
            results.not_begun = (files.len() - done) as u64;
            break;
        }
        let (job, kind) = match retry_of(rejects, how.clone()) {
            Ok(retry) => retry,
            Err(error) => {
                let name = rejects.display().to_string();
                results.results.push(FileResult::not_opened(name, FileEnd::Failed(error)));
                continue;
            }
        };
        let report = import_file(&job, target, counters, stop).await;
        counters.change(|now| now.files += 1);
        results.results.push(FileResult { report, kind: Some(kind.to_string()), uploaded: None, note: None });
    }
    results
}

/// How every file of an import is imported.
#[derive(Clone, Debug)]
pub struct FilesImport {
    /// Takes the rows.
    pub target: Arc<dyn Target>,
    /// How the inputs are opened.
    pub opening: Arc<Opening>,
    /// See [`Begin::options`].
    pub options: OptionsHash,
    /// See [`Begin::limits`].
    pub limits_hash: String,
    /// The source of the calls.
    pub source: WantedSource,
    /// See [`Begin::force`].
    pub force: bool,
    /// Which rows are imported, and how many may be rejected.
    pub limits: RowLimits,
    /// See [`Job::rate`].
    pub rate: Option<u32>,
    /// Where rejected rows go. Unused if there is a `reject_sink`.
    pub rejects: RejectsOutput,
    /// See [`Job::reject_sink`].
    pub reject_sink: Option<Arc<dyn RejectSink>>,
    /// See [`Job::part_bytes`].
    pub part_bytes: Option<usize>,
    /// The counts.
    pub counters: Counters,
    /// Stops the import after a step.
    pub stop: CancellationToken,
}

/// Imports every input, several at once. Results are in the order of the inputs.
pub async fn all(import: &FilesImport, inputs: Vec<Input>, parallel: usize) -> Results {
    let turns = Arc::new(Semaphore::new(parallel));
    let mut tasks = JoinSet::new();
    let mut not_begun = inputs.len() as u64;
    for (number, input) in inputs.into_iter().enumerate() {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { break };
        if import.stop.is_cancelled() {
            break;
        }
        not_begun -= 1;
        let import = import.clone();
        tasks.spawn(async move {
            let results = one(&import, &input).await;
            import.counters.change(|now| now.files += 1);
            drop(turn);
            (number, results)
        });
    }
    let mut results = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(ended) => results.push(ended),
            Err(error) => {
                let error = bug(&error);
                let result = FileResult::not_opened("a file".to_owned(), FileEnd::Failed(error));
                results.push((usize::MAX, vec![result]));
            }
        }
    }
    results.sort_by_key(|(number, _)| *number);
    Results { results: results.into_iter().flat_map(|(_, results)| results).collect(), not_begun }
}

/// Imports the files of one input, one after the other.
pub async fn one(import: &FilesImport, input: &Input) -> Vec<FileResult> {
    let mut waits = Waits::default();
    let ended = |end| vec![FileResult::not_opened(input.name(), end)];
    let files = loop {
        // Standard input may be silent for hours, so its reader is abandoned when the import stops.
        let found = files(input, &import.opening, &import.counters.watched);
        let found = import.stop.run_until_cancelled(found).await;
        match found {
            None => return ended(FileEnd::Stopped),
            Some(Ok(files)) => break files,
            Some(Err(error)) if error.fault == FileFault::Transient => {
                let why = format!("{}: {}", input.name(), error.message.masked());
                if waits.wait(Duration::ZERO, &why, &import.stop).await.is_none() {
                    let mut stopped = ended(FileEnd::Stopped);
                    stopped.iter_mut().for_each(|result| result.report.waited_for = Some(why.clone()));
                    return stopped;
                }
            }
            Some(Err(error)) => return ended(FileEnd::Failed(error)),
        }
    };
    if files.len() > 1 && matches!(import.rejects, RejectsOutput::File(_)) {
        let what = "it is an archive of several files: name a folder with --rejects";
        return ended(FileEnd::Failed(FileError::new(FileFault::Local, "E-REJECTS", what)));
    }
    if input.bytes().is_none() {
        let bytes: u64 = files.iter().flatten().map(|file| file.bytes).sum();
        import.counters.change(|now| now.bytes_total += bytes);
    }
    let mut results = Vec::new();
    for file in files {
        results.push(match file {
            Ok(file) if import.stop.is_cancelled() => FileResult::not_opened(file.name, FileEnd::Stopped),
            Ok(file) => imported(import, file).await,
            Err((name, error)) => FileResult::not_opened(name, FileEnd::Failed(error)),
        });
    }
    results
}

async fn imported(import: &FilesImport, mut file: CsvFile) -> FileResult {
    let begin = Begin {
        file: file.id,
        name: file.name.clone(),
        bytes: Some(file.bytes),
        source: import.source.clone(),
        import: None,
        insert_id_window: None,
        options: import.options.clone(),
        types: file.types(),
        limits: import.limits_hash.clone(),
        by_content: matches!(import.opening.csv.id_from, IdFrom::RowHash { .. }),
        retry_of: None,
        force: import.force,
        // The place is useless if no disk outlives the process: nothing then remembers earlier versions.
        place: file.place_id.filter(|_| import.reject_sink.is_none()),
        version: None,
    };
    let look: OpenRows = {
        let file = file.clone();
        Arc::new(move || Ok(Box::new(file.open_unwatched()?)))
    };
    let imported_as = match imported_as(&begin, &look, &*import.target, &import.stop).await {
        Ok(imported_as) => imported_as,
        Err(end) => return FileResult::not_opened(file.name, end),
    };
    file.id = imported_as.file.unwrap_or(file.id);
    let job = Job {
        begin: Begin { file: file.id, version: imported_as.version, ..begin },
        open: {
            let file = file.clone();
            Arc::new(move || Ok(Box::new(file.open()?)))
        },
        unchanged: begin.place.map(|_| {
            let file = file.clone();
            Arc::new(move || file.check_unchanged()) as CheckUnchanged
        }),
        limits: import.limits.clone(),
        rejects: import.rejects.of(file.id, &import.source),
        rejects_of: RejectsOf::File,
        rejects_owner: owner_of(&file, &import.source, &import.options),
        rate: import.rate,
        rejects_room: None,
        reject_sink: import.reject_sink.clone(),
        part_bytes: import.part_bytes,
        patience: None,
    };
    let mut report = import_file(&job, &*import.target, &import.counters, &import.stop).await;
    if report.rejects.is_none() && report.progress.rejected > 0 && job.rejects.exists() {
        // An earlier run wrote the rejected rows.
        report.rejects = Some(job.rejects);
    }
    FileResult { report, kind: Some(file.kind.to_string()), uploaded: None, note: imported_as.note }
}
