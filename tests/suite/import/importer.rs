//! The taking side by itself: over a spool in a folder, with its journal in a file beside it.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use forebay::disk::real_disk::RealDisk;
use forebay::import::csv::{CsvOptions, CsvRows, FileType, FoundTypes};
use forebay::import::file_id::FileId;
use forebay::import::identity;
use forebay::import::journal::LocalJournal;
use forebay::import::reading::Limits;
use forebay::import::reading::opened::{Opened, Options, open_stream};
use forebay::import::{
    Begin, Begun, Counters, Earlier, End, FileEnd, FileReport, ImportSources, Importer, ImporterDeps, Job,
    NoSource, OptionsHash, Outcome, Prefix, RejectsOf, RejectsOwner, RowHash, RowLimits, Rows, RowsTaken,
    Standing, Target, TargetError, Version, WantedSource, import_file,
};
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::log::{ImportKey, ImportProgress};
use forebay::metrics::Metrics;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::Clock;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::support::{counts, rejects, values};
use crate::support::crash::copy;
use crate::support::doubtful::{Doubt, Doubtful};
use crate::support::stored::stored;
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// Every wish is the source `csv`, or the one that is named.
#[derive(Debug)]
struct Any;

impl ImportSources for Any {
    fn find(&self, wanted: &WantedSource) -> Result<SourceId, NoSource> {
        match wanted {
            WantedSource::Id(id) => Ok(id.clone()),
            _ => Ok(SourceId::new("csv").unwrap()),
        }
    }
}

/// What a node has for imports.
pub(super) struct Node {
    pub(super) importer: Arc<Importer>,
    pub(super) journal: Arc<LocalJournal>,
    doubtful: Arc<Doubtful>,
    pub(super) spool: Spool,
    pub(super) dir: TempDir,
}

/// Opens the spool and the journal in a folder.
fn opened(dir: TempDir) -> Node {
    opened_with(dir, SpoolOptions { segment_bytes: 256 * 1_024, ..SpoolOptions::default() })
}

fn opened_with(dir: TempDir, options: SpoolOptions) -> Node {
    let (clock, metrics): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Metrics::new());
    let random = Arc::new(SystemRandom);
    let disk = Arc::new(RealDisk::open(&dir.path().join("spool")).unwrap());
    let (spool, _) =
        Spool::open(disk, options, Arc::clone(&clock), &*random, Arc::new(metrics.clone())).unwrap();
    let doubtful = Doubtful::new(spool.appender());
    let deps = IngestDeps {
        clock: Arc::clone(&clock),
        random,
        metrics: metrics.clone(),
        appender: Arc::clone(&doubtful) as _,
        fingerprinter: spool.fingerprinter(),
        live: Arc::default(),
    };
    let ingest = Arc::new(Ingest::new(deps, IngestSettings::default()));
    let journal = Arc::new(LocalJournal::open(&journal_of(&dir)).unwrap());
    let deps =
        ImporterDeps { ingest, imports: spool.imports(), journal: Arc::clone(&journal) as _, clock, metrics };
    Node { importer: Arc::new(Importer::new(deps, Arc::new(Any))), journal, doubtful, spool, dir }
}

fn journal_of(dir: &TempDir) -> std::path::PathBuf {
    dir.path().join("imports.redb")
}

pub(super) fn node() -> Node {
    opened(tempfile::tempdir().unwrap())
}

fn file(number: u64) -> FileId {
    identity::of_content(&[3; 32], number)
}

fn begin_of(number: u64) -> Begin {
    Begin {
        file: file(number),
        name: format!("track_{number}.csv"),
        bytes: None,
        source: WantedSource::Default,
        import: None,
        insert_id_window: None,
        options: OptionsHash::of(b"one"),
        types: None,
        limits: String::new(),
        by_content: false,
        retry_of: None,
        force: false,
        place: None,
        version: None,
    }
}

/// An envelope of one call for each row.
fn calls(number: u64, rows: Range<u64>) -> Bytes {
    let file = file(number);
    let calls: Vec<_> = rows
        .map(|row| json!({"type": "track", "userId": "u", "event": "e", "messageId": format!("imp_{file}_{row}")}))
        .collect();
    json!({ "batch": calls }).to_string().into()
}

impl Node {
    async fn begin(&self, number: u64) -> Result<Begun, TargetError> {
        self.importer.begin(begin_of(number)).await
    }

    async fn step(
        &self,
        import: ImportKey,
        number: u64,
        rows: Range<u64>,
    ) -> Result<ImportProgress, TargetError> {
        let step = Rows {
            import,
            first: rows.start,
            rows: rows.end - rows.start,
            rejected: 0,
            repeats: 0,
            prefix: None,
        };
        self.importer.rows(step, calls(number, rows)).await.map(|RowsTaken { progress }| progress)
    }

    async fn end(&self, import: ImportKey, outcome: Outcome) -> Result<(), TargetError> {
        self.importer.end(End::of(import, outcome)).await
    }

    /// The rows that are stored of a file, in order.
    fn rows_of(&self, number: u64) -> Vec<u64> {
        let prefix = format!("imp_{}_", file(number));
        let lines: Vec<String> =
            stored(&*self.spool.log(), "csv").into_iter().map(|stored| stored.line).collect();
        let ids = values(&lines, "/messageId");
        ids.iter().filter_map(|id| id.strip_prefix(&prefix)).map(|row| row.parse().unwrap()).collect()
    }

    /// What a process that was killed at this instant leaves, opened by the next one.
    pub(super) fn killed(self) -> Self {
        let left = tempfile::tempdir().unwrap();
        copy(self.dir.path(), left.path());
        opened(left)
    }
}

fn stored_rows(next_row: u64) -> ImportProgress {
    ImportProgress { next_row, stored: next_row, ..ImportProgress::default() }
}

fn failed() -> Outcome {
    Outcome::Failed { code: "E-X".to_owned(), message: "why".into() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_begins_gets_its_rows_and_ends() {
    let node = node();
    assert!(!journal_of(&node.dir).exists(), "no import, no journal");
    let begun = node.begin(1).await.unwrap();
    assert_eq!(
        (begun.standing, begun.progress, begun.source.as_str()),
        (Standing::New, stored_rows(0), "csv")
    );
    assert_eq!(node.step(begun.import, 1, 0..3).await, Ok(stored_rows(3)));
    assert_eq!(node.step(begun.import, 1, 3..5).await, Ok(stored_rows(5)));
    let again = node.begin(1).await.unwrap();
    assert_eq!(
        (again.standing, again.progress, again.import),
        (Standing::Continued, stored_rows(5), begun.import)
    );
    assert_eq!(node.end(begun.import, Outcome::Done).await, Ok(()));
    assert_eq!(node.end(begun.import, Outcome::Done).await, Err(TargetError::NotOpen));
    assert_eq!(node.step(begun.import, 1, 5..6).await, Err(TargetError::NotOpen));
    let done = node.begin(1).await.unwrap();
    assert_eq!((done.standing, done.progress), (Standing::Done, stored_rows(5)));
    assert_eq!(node.rows_of(1), [0, 1, 2, 3, 4]);
    assert_eq!(node.spool.imports().open_imports(), []);
    // The same file for another source is another import.
    let other = WantedSource::Id(SourceId::new("other").unwrap());
    let other = node.importer.begin(Begin { source: other, ..begin_of(1) }).await.unwrap();
    assert_eq!(other.standing, Standing::New);
    assert_ne!(other.import, begun.import);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_leave_the_last_space_of_a_spool_to_calls() {
    let (segment_bytes, manifest_bytes) = (256 * 1_024, 64 * 1_024);
    let small = SpoolOptions {
        segment_bytes,
        manifest_bytes,
        max_bytes: 40 * segment_bytes,
        ..SpoolOptions::default()
    };
    let node = opened_with(tempfile::tempdir().unwrap(), small);
    let import = node.begin(1).await.unwrap().import;
    let mut next = 0;
    let why = loop {
        match node.step(import, 1, next..next + 1_000).await {
            Ok(progress) => next = progress.next_row,
            Err(TargetError::Later { why, .. }) => break why.full().to_string(),
            Err(error) => panic!("{error}"),
        }
    };
    assert!(why.contains("kept for calls"), "{why}");
    let usage = node.spool.reports().usage();
    assert!(usage.reaches(85) && !usage.reaches(95) && !usage.is_full, "{usage:?}");
    assert_eq!(node.rows_of(1).len() as u64, next);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_next_rows_of_a_known_import_are_taken() {
    let node = node();
    let import = node.begin(1).await.unwrap().import;
    assert_eq!(node.step(import, 1, 0..10).await, Ok(stored_rows(10)));
    for rows in [0..10, 5..15, 9..10, 11..12, 1_000..1_001] {
        assert_eq!(node.step(import, 1, rows.clone()).await, Err(TargetError::OtherRow), "{rows:?}");
    }
    assert_eq!(node.step(ImportKey(7), 1, 0..1).await, Err(TargetError::NotOpen));
    let none = Rows { import, first: 10, rows: 0, rejected: 0, repeats: 0, prefix: None };
    assert!(matches!(node.importer.rows(none, calls(1, 0..0)).await, Err(TargetError::Refused(_))));
    let too_few = Rows { import, first: 10, rows: 2, rejected: 1, repeats: 0, prefix: None };
    assert!(matches!(node.importer.rows(too_few, calls(1, 10..12)).await, Err(TargetError::Refused(_))));
    let too_many = node.step(import, 1, 10..2_011).await;
    assert!(matches!(too_many, Err(TargetError::Refused(_))), "{too_many:?}");
    let broken = Rows { import, first: 10, rows: 1, rejected: 0, repeats: 0, prefix: None };
    let refused = node.importer.rows(broken, Bytes::from_static(b"{\"batch\":[")).await;
    assert!(matches!(refused, Err(TargetError::Refused(_))), "{refused:?}");
    // Rows that are no calls, and rows that were passed over, are progress.
    let without = Rows { import, first: 10, rows: 5, rejected: 2, repeats: 0, prefix: None };
    let taken = node.importer.rows(without, Bytes::from_static(b"{\"batch\":[]}")).await.unwrap();
    assert_eq!(
        taken.progress,
        ImportProgress { next_row: 15, stored: 10, rejected: 2, ..ImportProgress::default() }
    );
    assert_eq!(node.rows_of(1), (0..10).collect::<Vec<_>>());
}

/// Calls with these ids, of corrected rows with these hashes. Each must have an id of its own.
fn corrected(rows: &[(&str, u128)]) -> Bytes {
    let call = |(id, _): &(&str, _)| json!({"type": "track", "userId": "u", "event": "e", "messageId": id});
    let calls: Vec<_> = rows.iter().map(call).collect();
    let hashes: Vec<String> = rows.iter().map(|(_, hash)| RowHash(*hash).to_string()).collect();
    let own: Vec<usize> = (0..rows.len()).collect();
    json!({"batch": calls, "rowHashes": hashes, "ownIds": own}).to_string().into()
}

/// A crash between a step and its count makes rows come again that are stored, and such that are not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_row_is_remembered_if_it_is_stored_and_only_then() {
    let node = node();
    let begin = async |node: &Node, number| {
        node.importer.begin(Begin { by_content: true, ..begin_of(number) }).await.unwrap()
    };
    let step = async |node: &Node, import, rows: Range<u64>, rejected, calls| {
        let (first, rows) = (rows.start, rows.end - rows.start);
        let step = Rows { import, first, rows, rejected, repeats: 0, prefix: None };
        node.importer.rows(step, calls).await.map(|RowsTaken { progress }| progress)
    };
    let begun = begin(&node, 1).await;
    step(&node, begun.import, 0..1, 0, corrected(&[("taken", 1)])).await.unwrap();
    let begun = begin(&node, 2).await;
    let both = corrected(&[("a", 2), ("taken", 3)]);
    let refused = step(&node, begun.import, 0..2, 0, both.clone()).await;
    assert_eq!(refused, Err(TargetError::IdTaken(1)));
    let before = fs::read(journal_of(&node.dir)).unwrap();
    let expected = ImportProgress { next_row: 2, stored: 1, rejected: 1, ..ImportProgress::default() };
    assert_eq!(step(&node, begun.import, 0..2, 1, corrected(&[("a", 2)])).await, Ok(expected));
    let left = tempfile::tempdir().unwrap();
    copy(node.dir.path(), left.path());
    fs::write(journal_of(&left), before).unwrap();
    let node = opened(left);
    let begun = begin(&node, 2).await;
    assert_eq!((begun.read_from, begun.progress), (0, expected));
    assert_eq!(step(&node, begun.import, 0..2, 0, both).await, Ok(expected));
    let begun = begin(&node, 3).await;
    let refused = step(&node, begun.import, 0..2, 0, corrected(&[("a", 2), ("taken", 3)])).await;
    assert_eq!(refused, Err(TargetError::IdTaken(1)));
    let repeated = ImportProgress { next_row: 2, repeats: 1, rejected: 1, ..ImportProgress::default() };
    assert_eq!(step(&node, begun.import, 0..2, 1, corrected(&[("a", 2)])).await, Ok(repeated));
    let stored = ImportProgress { next_row: 3, stored: 1, ..repeated };
    assert_eq!(step(&node, begun.import, 2..3, 0, corrected(&[("b", 3)])).await, Ok(stored));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_killed_continues_at_the_very_row() {
    let mut node = node();
    let mut next = 0;
    for life in 0..4 {
        let begun = node.begin(1).await.unwrap();
        assert_eq!(begun.progress, stored_rows(next), "life {life}");
        for _ in 0..3 {
            assert_eq!(node.step(begun.import, 1, next..next + 7).await, Ok(stored_rows(next + 7)));
            next += 7;
        }
        node = node.killed();
        assert_eq!(node.spool.imports().open_imports(), [], "the journal has taken it over");
        assert_eq!(node.step(begun.import, 1, next..next + 1).await, Err(TargetError::NotOpen));
    }
    let begun = node.begin(1).await.unwrap();
    node.end(begun.import, Outcome::Done).await.unwrap();
    let node = node.killed();
    assert_eq!(node.begin(1).await.unwrap().standing, Standing::Done);
    assert_eq!(node.rows_of(1), (0..next).collect::<Vec<_>>());
}

/// The journal knows every file, the log only the open ones: a file that is done is forgotten with the
/// journal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_journal_the_log_still_knows_the_open_imports() {
    let node = node();
    let open = node.begin(1).await.unwrap().import;
    node.step(open, 1, 0..5).await.unwrap();
    let done = node.begin(2).await.unwrap().import;
    node.step(done, 2, 0..5).await.unwrap();
    node.end(done, Outcome::Done).await.unwrap();
    let left = tempfile::tempdir().unwrap();
    copy(node.dir.path(), left.path());
    fs::remove_file(journal_of(&left)).unwrap();
    let node = opened(left);
    let refused = node.begin(1).await;
    assert!(
        matches!(&refused, Err(TargetError::Refused(why)) if why.full().contains("E-IMPORT-JOURNAL")),
        "{refused:?}"
    );
    // A person decides to do without it; no restart is needed.
    fs::remove_file(journal_of(&node.dir).with_extension("made")).unwrap();
    let begun = node.begin(1).await.unwrap();
    assert_eq!((begun.standing, begun.progress), (Standing::Continued, stored_rows(5)));
    assert_eq!(node.step(begun.import, 1, 5..6).await, Ok(stored_rows(6)));
    let again = node.begin(2).await.unwrap();
    assert_eq!(again.standing, Standing::New);
    // Within the dedupe window its calls are recognised by their messageIds.
    let repeated = ImportProgress { next_row: 5, repeats: 5, ..ImportProgress::default() };
    assert_eq!(node.step(again.import, 2, 0..5).await, Ok(repeated));
    assert_eq!((node.rows_of(1).len(), node.rows_of(2).len()), (6, 5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_imports_than_may_be_open_continue_all_the_same() {
    const FILES: u64 = 1_100;
    let node = node();
    let mut imports = Vec::new();
    for number in 0..FILES {
        let begun = node.begin(number).await.unwrap();
        node.step(begun.import, number, 0..2).await.unwrap();
        imports.push(begun.import);
    }
    let open = node.spool.imports().open_imports().len() as u64;
    assert!(open <= 1_000, "{open} imports are open");
    // The first ones were idle longest: they are closed, and begin again where they were.
    assert_eq!(node.step(imports[0], 0, 2..3).await, Err(TargetError::NotOpen));
    assert_eq!(node.step(imports[1_099], 1_099, 2..3).await, Ok(stored_rows(3)));
    for number in [0, 1, 50, 99, 100, 500] {
        let begun = node.begin(number).await.unwrap();
        assert_eq!((begun.standing, begun.progress), (Standing::Continued, stored_rows(2)), "{number}");
        assert_eq!(node.step(begun.import, number, 2..3).await, Ok(stored_rows(3)), "{number}");
        assert_eq!(node.rows_of(number), [0, 1, 2]);
    }
    let node = node.killed();
    assert_eq!(node.begin(700).await.unwrap().progress, stored_rows(2));
    assert_eq!(node.begin(1_099).await.unwrap().progress, stored_rows(3));
}

/// Other limits may let it succeed, and do not change how its rows are read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_was_given_up_is_tried_again_with_other_limits() {
    let node = node();
    let import = node.begin(1).await.unwrap().import;
    node.step(import, 1, 0..4).await.unwrap();
    for _ in 0..3 {
        let begun = node.begin(1).await.unwrap();
        node.end(begun.import, failed()).await.unwrap();
    }
    assert!(matches!(node.begin(1).await, Err(TargetError::GivenUp { attempts: 3, .. })));
    // Rows are stored, so other options are what to say first.
    let other = Begin { options: OptionsHash::of(b"two"), ..begin_of(1) };
    assert_eq!(node.importer.begin(other).await, Err(TargetError::OtherOptions));
    let limits = Begin { limits: "more".to_owned(), ..begin_of(1) };
    let begun = node.importer.begin(limits.clone()).await.unwrap();
    assert_eq!((begun.standing, begun.progress), (Standing::Continued, stored_rows(4)));
    for _ in 0..2 {
        let begun = node.importer.begin(limits.clone()).await.unwrap();
        node.end(begun.import, failed()).await.unwrap();
    }
    let begun = node.importer.begin(limits).await.expect("the third attempt with these limits");
    node.end(begun.import, Outcome::Done).await.unwrap();
    let other = Begin { options: OptionsHash::of(b"two"), ..begin_of(1) };
    let done = node.importer.begin(other).await.unwrap();
    assert_eq!((done.standing, done.other_options), (Standing::Done, true));
    assert!(!node.begin(1).await.unwrap().other_options);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_an_earlier_program_is_continued_by_the_hash_of_that_program() {
    let node = node();
    let earlier = Begin { options: OptionsHash::of(b"earlier form"), ..begin_of(1) };
    let begun = node.importer.begin(earlier.clone()).await.unwrap();
    assert_eq!(node.step(begun.import, 1, 0..4).await, Ok(stored_rows(4)));
    let now = Begin {
        options: OptionsHash::of(b"form").and_before(Some(earlier.options.recorded().to_owned())),
        ..begin_of(1)
    };
    assert_eq!(node.importer.begin(now.clone()).await.unwrap().progress, stored_rows(4));
    // From here on the new form is recorded.
    assert_eq!(node.importer.begin(earlier).await, Err(TargetError::OtherOptions));
    assert_eq!(node.importer.begin(now).await.unwrap().progress, stored_rows(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_options_are_refused_once_a_row_is_stored() {
    let node = node();
    let other = Begin { options: OptionsHash::of(b"two"), ..begin_of(1) };
    let import = node.begin(1).await.unwrap().import;
    let rejected = Rows { import, first: 0, rows: 9, rejected: 9, repeats: 0, prefix: None };
    node.importer.rows(rejected, Bytes::from_static(b"{\"batch\":[]}")).await.unwrap();
    // Every row was rejected: it begins again, with the other options.
    let begun = node.importer.begin(other.clone()).await.unwrap();
    assert_eq!((begun.standing, begun.progress), (Standing::New, stored_rows(0)));
    assert_eq!(node.step(begun.import, 1, 0..4).await, Ok(stored_rows(4)));
    assert_eq!(node.begin(1).await, Err(TargetError::OtherOptions));
    node.end(begun.import, failed()).await.unwrap();
    assert_eq!(node.begin(1).await, Err(TargetError::OtherOptions));
    assert_eq!(node.importer.begin(other.clone()).await.unwrap().progress, stored_rows(4));
    // Once it is done, the options do not matter.
    node.end(begun.import, Outcome::Done).await.unwrap();
    assert_eq!(node.begin(1).await.unwrap().standing, Standing::Done);

    let forced = node.importer.begin(Begin { force: true, ..begin_of(1) }).await.unwrap();
    assert_eq!((forced.standing, forced.progress), (Standing::New, stored_rows(0)));
    let repeated = ImportProgress { next_row: 4, repeats: 4, ..ImportProgress::default() };
    assert_eq!(node.step(forced.import, 1, 0..4).await, Ok(repeated));
    let with_more = ImportProgress { next_row: 6, stored: 2, repeats: 4, ..ImportProgress::default() };
    assert_eq!(node.step(forced.import, 1, 4..6).await, Ok(with_more));
    // Also in the middle, and a kill does not bring the old progress back.
    let forced = node.importer.begin(Begin { force: true, ..begin_of(1) }).await.unwrap();
    assert_eq!(forced.progress, stored_rows(0));
    let node = node.killed();
    assert_eq!(node.begin(1).await.unwrap().progress, stored_rows(0));
    assert_eq!(node.rows_of(1), (0..6).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_failed_three_times_is_given_up_until_it_is_forced() {
    let mut node = node();
    for attempt in 0..3 {
        let begun = node.begin(1).await.unwrap();
        assert_eq!(begun.progress, stored_rows(attempt), "a failure keeps what is stored");
        node.step(begun.import, 1, attempt..attempt + 1).await.unwrap();
        node.end(begun.import, failed()).await.unwrap();
        node = node.killed();
    }
    let given_up = TargetError::GivenUp { attempts: 3, code: "E-X".to_owned(), message: "why".into() };
    assert_eq!(node.begin(1).await, Err(given_up.clone()));
    assert_eq!(node.begin(1).await, Err(given_up));
    let forced = node.importer.begin(Begin { force: true, ..begin_of(1) }).await.unwrap();
    assert_eq!(forced.standing, Standing::New);
    node.end(forced.import, Outcome::Stopped).await.unwrap();
    // An interruption is no failure.
    for _ in 0..4 {
        let begun = node.begin(1).await.unwrap();
        node.end(begun.import, Outcome::Stopped).await.unwrap();
    }
    let begun = node.begin(1).await.unwrap();
    node.end(begun.import, Outcome::Done).await.unwrap();
    assert_eq!(node.begin(1).await.unwrap().standing, Standing::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_caller_hangs_up_is_stored_whole_or_not_at_all() {
    let node = node();
    let import = node.begin(1).await.unwrap().import;
    for number in 0..50 {
        let first = number * 10;
        let rows = Rows { import, first, rows: 10, rejected: 0, repeats: 0, prefix: None };
        let mut step = node.importer.rows(rows, calls(1, first..first + 10));
        // Polled once, so that the importer has it, and dropped.
        let polled =
            std::future::poll_fn(|context| std::task::Poll::Ready(step.as_mut().poll(context))).await;
        drop((polled, step));
        // The next caller begins again, and learns where the file is.
        wait::until("the step to be stored", PATIENCE, async || {
            let progress = node.begin(1).await.unwrap().progress;
            assert!([first, first + 10].contains(&progress.next_row), "{progress:?}");
            (progress.next_row == first + 10).then_some(())
        })
        .await;
    }
    assert_eq!(node.rows_of(1), (0..500).collect::<Vec<_>>());
}

/// While a step is stored, its import may be closed by many others: it is stored once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_ends_during_a_step_waits_for_it() {
    let node = node();
    let mut next = 0;
    for _ in 0..50 {
        let begun = node.begin(1).await.unwrap();
        assert_eq!(begun.progress.next_row, next);
        let step = node.step(begun.import, 1, next..next + 5);
        let end = node.end(begun.import, Outcome::Stopped);
        let (stepped, ended) = tokio::join!(step, end);
        assert_eq!(ended, Ok(()));
        match stepped {
            Ok(progress) => next = progress.next_row,
            Err(error) => assert_eq!(error, TargetError::NotOpen),
        }
    }
    assert_eq!(node.rows_of(1), (0..next).collect::<Vec<_>>());
}

/// The place of all files of these tests.
fn placed(number: u64) -> Begin {
    Begin { place: Some(file(1_000)), ..begin_of(number) }
}

impl Node {
    /// A step that says what the file begins with.
    async fn step_of_text(&self, import: ImportKey, number: u64, rows: Range<u64>, text: u64) -> Prefix {
        let prefix = Prefix { rows: rows.end, bytes: 10 * rows.end, text: file(text) };
        let step = Rows {
            import,
            first: rows.start,
            rows: rows.end - rows.start,
            rejected: 0,
            repeats: 0,
            prefix: Some(prefix),
        };
        self.importer.rows(step, calls(number, rows)).await.unwrap();
        prefix
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_later_version_continues_an_import_that_did_not_reach_the_end() {
    let node = node();
    let begun = node.importer.begin(placed(1)).await.unwrap();
    assert!(begun.keeps_prefix);
    assert!(!node.begin(7).await.unwrap().keeps_prefix, "it has no place");
    assert_eq!(node.importer.earlier(placed(2)).await, Ok(None), "nothing is stored");
    let first = node.step_of_text(begun.import, 1, 0..10, 50).await;
    let unfinished = |rows, prefix, other_options| {
        Ok(Some(Earlier::Unfinished { file: file(1), rows, prefix, other_options }))
    };
    // Open or ended, and only with the same options.
    assert_eq!(node.importer.earlier(placed(2)).await, unfinished(10, Some(first), false));
    node.end(begun.import, Outcome::Stopped).await.unwrap();
    assert_eq!(node.importer.earlier(placed(2)).await, unfinished(10, Some(first), false));
    assert_eq!(node.importer.earlier(placed(1)).await, Ok(None), "the file itself");
    let other = Begin { options: OptionsHash::of(b"two"), ..placed(2) };
    assert_eq!(node.importer.earlier(other).await, unfinished(10, None, true));
    for nothing in [Begin { force: true, ..placed(2) }, Begin { place: None, ..placed(2) }] {
        assert_eq!(node.importer.earlier(nothing).await, Ok(None));
    }

    // What is stored meanwhile was not compared.
    let begun = node.importer.begin(placed(1)).await.unwrap();
    let second = node.step_of_text(begun.import, 1, 10..20, 51).await;
    let version = |number, prefix| Begin {
        version: Some(Version { file: file(number), prefix: Some(prefix) }),
        ..placed(1)
    };
    let refused = node.importer.begin(version(2, first)).await.unwrap_err();
    assert!(matches!(refused, TargetError::Refused(_)), "{refused}");
    assert_eq!(node.importer.earlier(placed(2)).await, unfinished(20, Some(second), false));

    // Once it was, the version is known for good, and the next one has to be compared again.
    let begun = node.importer.begin(version(2, second)).await.unwrap();
    assert_eq!((begun.standing, begun.read_from), (Standing::Continued, 20));
    let third = node.step_of_text(begun.import, 1, 20..30, 52).await;
    node.importer.begin(version(2, second)).await.unwrap();
    assert_eq!(node.importer.earlier(placed(2)).await, Ok(Some(Earlier::Known { file: file(1) })));
    assert_eq!(node.importer.earlier(placed(3)).await, unfinished(30, Some(third), false));
    // Rows of which nobody says what they are.
    node.step(begun.import, 1, 30..40).await.unwrap();
    assert_eq!(node.importer.earlier(placed(3)).await, unfinished(40, None, false));
    // The end of the first version is not that of the second one.
    node.end(begun.import, Outcome::Done).await.unwrap();
    assert_eq!(node.importer.earlier(placed(3)).await, unfinished(40, None, false));
    let begun = node.importer.begin(version(2, second)).await.unwrap();
    assert_eq!(begun.standing, Standing::Continued);
    let end = End { version: Some(file(2)), ..End::of(begun.import, Outcome::Done) };
    node.importer.end(end).await.unwrap();
    assert_eq!(node.importer.earlier(placed(2)).await, Ok(Some(Earlier::Known { file: file(1) })));
    assert_eq!(node.importer.earlier(placed(3)).await, Ok(None), "it was imported to its end");
}

/// The first row that is imported fixes the types of a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_types_of_a_file_are_those_that_were_found_before_its_first_row() {
    let node = node();
    let types = |text: &str| Some(FoundTypes::try_from(text.to_owned()).unwrap());
    let of = |number, text: &str| Begin { types: types(text), ..begin_of(number) };
    assert_eq!(node.importer.begin(of(1, "-i")).await.unwrap().types, types("-i"));
    // No row is imported, so others may be found now.
    let begun = node.importer.begin(of(1, "-f")).await.unwrap();
    assert!(begun.keeps_types && begun.types == types("-f"), "{begun:?}");
    node.step(begun.import, 1, 0..2).await.unwrap();
    assert_eq!(node.importer.begin(of(1, "-s")).await.unwrap().types, types("-f"));
    node.end(begun.import, Outcome::Stopped).await.unwrap();
    assert_eq!(node.importer.begin(of(1, "-s")).await.unwrap().types, types("-f"));
    let forced = node.importer.begin(Begin { force: true, ..of(1, "-s") }).await.unwrap();
    assert_eq!(forced.types, types("-s"));
    // An import of an earlier program has none, and gets none.
    let begun = node.begin(2).await.unwrap();
    node.step(begun.import, 2, 0..2).await.unwrap();
    let again = node.importer.begin(of(2, "-i")).await.unwrap();
    assert_eq!((again.standing, again.types), (Standing::Continued, None));
}

/// Between the comparison and the import a row that is stored may change: rows before it would never be
/// stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_changed_after_it_was_compared_is_not_continued() {
    let node = node();
    let begun = node.importer.begin(placed(1)).await.unwrap();
    let prefix = node.step_of_text(begun.import, 1, 0..2, 50).await;
    node.end(begun.import, Outcome::Stopped).await.unwrap();
    let rejects = tempfile::tempdir().unwrap();
    let begin = Begin { version: Some(Version { file: file(2), prefix: Some(prefix) }), ..placed(1) };
    let job = Job { begin, ..job("userId,event\nu0,e\nu1,e\nu2,e\n", &rejects.path().join("r")) };
    let stop = CancellationToken::new();
    let report = import_file(&job, &node.importer, &Counters::default(), &stop).await;
    let FileEnd::Failed(error) = &report.end else { panic!("{report:?}") };
    assert!(
        error.code == "E-CHANGED" && error.to_string().contains("Its first 2 rows are imported"),
        "{error}"
    );
    assert_eq!(node.rows_of(1), [0, 1]);
}

/// A file of the reading side, in memory.
fn job(text: &str, rejects: &Path) -> Job {
    let text = text.to_owned();
    Job {
        begin: begin_of(1),
        open: Arc::new(move || {
            let bytes = std::io::Cursor::new(text.clone());
            let temporary = std::env::temp_dir();
            let options = Options { encoding: None, limits: Limits::default(), temporary };
            let opened = open_stream(bytes, "track_1.csv", None, &options).unwrap();
            let Opened::Text(text) = opened else { panic!("an archive") };
            let kind = forebay::call::CallKind::Track;
            let opened = CsvRows::open(
                "track_1.csv",
                (file(1), FileType::Calls(kind), "track_1.csv"),
                text,
                &CsvOptions::default(),
            )?;
            Ok(Box::new(opened.rows))
        }),
        unchanged: None,
        limits: RowLimits::default(),
        rejects: rejects.to_owned(),
        rejects_of: RejectsOf::File,
        rejects_owner: RejectsOwner {
            import: "1".to_owned(),
            options: OptionsHash::of(b""),
            describe: Arc::new(|| Ok(json!({}))),
        },
        rate: None,
        rejects_room: None,
        reject_sink: None,
        part_bytes: None,
        patience: None,
    }
}

async fn imported(job: &Job, target: &dyn Target) -> FileReport {
    import_file(job, target, &Counters::default(), &CancellationToken::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_of_an_unknown_outcome_comes_again_and_each_row_is_stored_once() {
    for doubt in [Doubt::Stored, Doubt::NotStored] {
        let node = node();
        let begun = node.begin(1).await.unwrap();
        node.doubtful.next(doubt);
        let unknown = node.step(begun.import, 1, 0..3).await;
        assert!(matches!(unknown, Err(TargetError::Later { .. })), "{unknown:?}");
        let again = node.step(begun.import, 1, 0..3).await;
        let wanted = if doubt == Doubt::Stored { Err(TargetError::OtherRow) } else { Ok(stored_rows(3)) };
        assert_eq!(again, wanted, "{doubt:?}");
        assert_eq!(node.begin(1).await.unwrap().progress, stored_rows(3), "the log says where to go on");
        // A whole run does the same.
        node.doubtful.next(doubt);
        let rows: String = (0..5_000).map(|row| format!("u{row},e\n")).collect();
        let job = job(&format!("userId,event\n{rows}"), &node.dir.path().join("rejects.ndjson"));
        let report = imported(&job, &node.importer).await;
        assert!(matches!(report.end, FileEnd::Done), "{report:?}");
        assert_eq!(node.rows_of(1), (0..5_000).collect::<Vec<_>>(), "{doubt:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_importers_of_one_file_store_each_row_once() {
    const ROWS: u64 = 20_000;
    let node = node();
    let rows: String = (0..ROWS).map(|row| format!("u{row},e\n")).collect();
    let text = format!("userId,event\n{rows}");
    let (one, other) = (node.dir.path().join("one.ndjson"), node.dir.path().join("other.ndjson"));
    let (one, other) = (job(&text, &one), job(&text, &other));
    let (first, second) = tokio::join!(imported(&one, &node.importer), imported(&other, &node.importer));
    for report in [&first, &second] {
        assert!(matches!(report.end, FileEnd::Done | FileEnd::DoneBefore), "{report:?}");
        assert_eq!(report.progress, stored_rows(ROWS), "{report:?}");
    }
    assert_eq!(node.rows_of(1), (0..ROWS).collect::<Vec<_>>());
}

/// Answers one step in three with an error, after it was stored or in its place, and loses the first answer
/// about the end.
#[derive(Debug)]
struct Unreliable {
    inner: Arc<Importer>,
    steps: Mutex<u64>,
    ends: AtomicU64,
}

impl Target for Unreliable {
    fn begin(&self, file: Begin) -> forebay::boxed_future::BoxFuture<'_, Result<Begun, TargetError>> {
        self.inner.begin(file)
    }

    fn rows(
        &self,
        rows: Rows,
        calls: Bytes,
    ) -> forebay::boxed_future::BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            let step = {
                let mut steps = self.steps.lock().unwrap();
                *steps += 1;
                *steps
            };
            let later = || TargetError::Later { after: Duration::ZERO, why: "lost".into() };
            match step % 6 {
                1 => Err(later()),
                3 => self.inner.rows(rows, calls).await.and(Err(later())),
                5 => Err(TargetError::NotOpen),
                _ => self.inner.rows(rows, calls).await,
            }
        })
    }

    fn end(&self, end: End) -> forebay::boxed_future::BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move {
            let ended = self.inner.end(end).await;
            match self.ends.fetch_add(1, Ordering::Relaxed) {
                0 => ended.and(Err(TargetError::Later { after: Duration::ZERO, why: "lost".into() })),
                _ => ended,
            }
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_reaches_an_unreliable_target_row_by_row() {
    const ROWS: u64 = 9_000;
    let node = node();
    let rows: String = (0..ROWS)
        .map(|row| if row % 50 == 3 { format!("u{row}\n") } else { format!("u{row},e\n") })
        .collect();
    let kept = node.dir.path().join("kept.ndjson");
    let target =
        Unreliable { inner: Arc::clone(&node.importer), steps: Mutex::default(), ends: AtomicU64::default() };
    let report = imported(&job(&format!("userId,event\n{rows}"), &kept), &target).await;
    assert_eq!(report.end, FileEnd::Done);
    let expected =
        ImportProgress { next_row: ROWS, stored: 8_820, rejected: 180, ..ImportProgress::default() };
    assert_eq!(report.progress, expected);
    assert_eq!(node.rows_of(1), (0..ROWS).filter(|row| row % 50 != 3).collect::<Vec<_>>());
    let rows = counts(rejects(&kept).iter().map(|reject| reject["row"].to_string()));
    assert_eq!((rows.len(), rows.values().max()), (180, Some(&1)));
}

/// Lets the file be read from its first row whenever it begins, as after rows that were stored and not
/// counted.
#[derive(Debug)]
struct Recounting {
    inner: Arc<Importer>,
    begun: Mutex<ImportProgress>,
}

impl Target for Recounting {
    fn begin(&self, file: Begin) -> forebay::boxed_future::BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move {
            let begun = self.inner.begin(file).await?;
            *self.begun.lock().unwrap() = begun.progress;
            Ok(Begun { read_from: 0, ..begun })
        })
    }

    fn rows(
        &self,
        rows: Rows,
        calls: Bytes,
    ) -> forebay::boxed_future::BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            let progress = *self.begun.lock().unwrap();
            match rows.first < progress.next_row {
                true => Ok(RowsTaken { progress }),
                false => self.inner.rows(rows, calls).await,
            }
        })
    }

    fn end(&self, end: End) -> forebay::boxed_future::BoxFuture<'_, Result<(), TargetError>> {
        self.inner.end(end)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_read_again_to_be_counted_stay_rejected() {
    let node = node();
    let rows: String = (0..5_000)
        .map(|row| if row % 50 == 3 { format!("u{row}\n") } else { format!("u{row},e\n") })
        .collect();
    let kept = node.dir.path().join("kept.ndjson");
    let target = Recounting { inner: Arc::clone(&node.importer), begun: Mutex::default() };
    let whole = job(&format!("userId,event\n{rows}"), &kept);
    let mut first = whole.clone();
    first.limits.rows = 0..3_000;
    assert_eq!(imported(&first, &target).await.end, FileEnd::RangeDone);
    assert_eq!(rejects(&kept).len(), 60);
    assert_eq!(imported(&whole, &target).await.end, FileEnd::Done);
    let rows = counts(rejects(&kept).iter().map(|reject| reject["row"].to_string()));
    assert_eq!((rows.len(), rows.values().max()), (100, Some(&1)));
}
