//! A whole import into a spool: a pass over a bucket, beside `import csv` of the same rows.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use forebay::disk::real_disk::RealDisk;
use forebay::import::bucket_import::{
    Became, BucketImport, Never, OnChange, OnMissing, PassDeps, RejectsPlace, Scan, pass,
};
use forebay::import::file_id::FileId;
use forebay::import::journal::LocalJournal;
use forebay::import::{
    Begin, Counters, FileEnd, ImportSources, Importer, ImporterDeps, Job, NoSource, OnRowError, OptionsHash,
    RejectsOf, RejectsOwner, RowLimits, WantedSource, identity, import_file,
};
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, ObjectKey, S3Location};
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::spool::{Spool, SpoolOptions};
use forebay::store::fake::FakeStore;
use forebay::store::reader::StoreReader;
use forebay::store::{ObjectStore as _, Put, PutMode};
use forebay::time::Clock;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use crate::rows::{converter, converter_table, converter_text, csv_rows, table};
use crate::turns::compare;
use crate::{argument, number};

/// Every wish is one source.
#[derive(Debug)]
struct One;

impl ImportSources for One {
    fn find(&self, _: &WantedSource) -> Result<SourceId, NoSource> {
        Ok(source())
    }
}

fn source() -> SourceId {
    SourceId::new("csv").expect("a legal id")
}

/// What a node has for imports.
pub(crate) struct Node {
    pub(crate) importer: Arc<Importer>,
    pub(crate) journal: Arc<LocalJournal>,
    pub(crate) dir: tempfile::TempDir,
    // Dropped last: its threads end.
    pub(crate) spool: Spool,
}

impl Node {
    pub(crate) fn new() -> Self {
        let at = argument("--dir").unwrap_or_else(|| "/dev/shm".to_owned());
        let dir = tempfile::Builder::new().prefix("forebay-bench-").tempdir_in(at).expect("a directory");
        let (clock, metrics): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::new()), Metrics::new());
        let random = Arc::new(SystemRandom);
        let disk = Arc::new(RealDisk::open(&dir.path().join("spool")).expect("a directory"));
        let opened = Spool::open(
            disk,
            SpoolOptions::default(),
            Arc::clone(&clock),
            &*random,
            Arc::new(metrics.clone()),
        );
        let (spool, _) = opened.expect("a spool");
        let deps = IngestDeps {
            clock: Arc::clone(&clock),
            random,
            metrics: metrics.clone(),
            appender: spool.appender(),
            fingerprinter: spool.fingerprinter(),
            live: Arc::default(),
        };
        let ingest = Arc::new(Ingest::new(deps, IngestSettings::default()));
        let journal = Arc::new(LocalJournal::open(&dir.path().join("imports.redb")).expect("a journal"));
        let deps = ImporterDeps {
            ingest,
            imports: spool.imports(),
            journal: Arc::clone(&journal) as _,
            clock,
            metrics,
        };
        Self { importer: Arc::new(Importer::new(deps, Arc::new(One))), journal, dir, spool }
    }

    pub(crate) fn deps(&self, store: Arc<dyn StoreReader>) -> PassDeps {
        PassDeps {
            store,
            changer: None,
            target: Arc::new(Arc::clone(&self.importer)),
            journal: self.importer.journal(),
            importer: Arc::clone(&self.importer),
            clock: Arc::new(SystemClock::new()),
            random: Arc::new(SystemRandom),
            counters: Counters::default(),
            other_compressions: Arc::default(),
            columns: Arc::default(),
            again: false,
            scan: Scan::Full,
            stop: CancellationToken::new(),
            whole: true,
            list_again: None,
            patience: None,
            step_bytes: None,
        }
    }
}

pub(crate) fn location() -> S3Location {
    S3Location::new(BucketString::parse("lake").expect("a bucket"), Encryption::None)
}

pub(crate) fn import(folder: &Path, file_type: &str) -> BucketImport {
    BucketImport {
        name: "events".to_owned(),
        location: location(),
        endpoint: String::new(),
        prefix: "in/".to_owned(),
        never: Never::default(),
        source: source(),
        converter: converter(file_type),
        converter_text: converter_text(file_type).as_bytes().into(),
        max_event: 32 * 1_024,
        min_size: 0,
        max_size: u64::MAX,
        on_row_error: OnRowError::default(),
        allow_expansion: false,
        parallel: 4,
        serial: false,
        modified_after: None,
        on_missing: OnMissing::Skip,
        on_change: OnChange::Ignore,
        claims: None,
        insert_id_window: None,
        after: None,
        rejects: RejectsPlace::folder(folder.join("rejects"), 1 << 30),
        temporary: folder.join("temporary"),
    }
}

fn file_id() -> FileId {
    identity::of_content(&[3; 32], 1)
}

fn job(bytes: Bytes, folder: &Path) -> Job {
    Job {
        begin: Begin {
            file: file_id(),
            name: "rows.csv".to_owned(),
            bytes: None,
            source: WantedSource::Default,
            import: None,
            options: OptionsHash::of(b"one"),
            types: None,
            limits: String::new(),
            retry_of: None,
            by_content: false,
            force: false,
            place: None,
            version: None,
            insert_id_window: None,
        },
        open: Arc::new(move || Ok(Box::new(csv_rows(&bytes)))),
        unchanged: None,
        limits: RowLimits::default(),
        rejects: folder.join("rejects.ndjson"),
        rejects_of: RejectsOf::File,
        rejects_owner: RejectsOwner {
            import: "1".to_owned(),
            options: OptionsHash::of(b""),
            describe: Arc::new(|| Ok(serde_json::json!({}))),
        },
        rate: None,
        rejects_room: None,
        reject_sink: None,
        part_bytes: None,
        patience: None,
    }
}

fn by_import_csv(runtime: &Runtime, table: &Bytes) {
    let node = Node::new();
    let job = job(table.clone(), node.dir.path());
    let (counters, stop) = (Counters::default(), CancellationToken::new());
    let imported = runtime.block_on(import_file(&job, &node.importer, &counters, &stop));
    assert_eq!(imported.end, FileEnd::Done);
}

fn by_pass(runtime: &Runtime, table: &Bytes) {
    let node = Node::new();
    let store = FakeStore::new();
    let key = ObjectKey::listed("in/rows.csv".to_owned());
    let put = Put::plain(location(), key, table.clone(), PutMode::Overwrite);
    runtime.block_on(store.put(&put)).expect("memory");
    let import = import(node.dir.path(), "csv");
    let report = runtime.block_on(pass(Arc::new(import), node.deps(Arc::new(store)))).expect("a pass");
    assert_eq!(report.files_that(Became::Done), 1, "{report:?}");
}

pub(crate) fn measure() {
    let (rows, rounds) = (number("--rows", 200_000), number("--rounds", 9));
    let (table, converter_table) = (Bytes::from(table(rows)), Bytes::from(converter_table(rows)));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    compare(
        "a table of ten columns into a spool in memory",
        rows,
        rounds,
        vec![
            ("import csv", Box::new(|| by_import_csv(&runtime, &table))),
            ("pass over a bucket", Box::new(|| by_pass(&runtime, &converter_table))),
        ],
    );
}
