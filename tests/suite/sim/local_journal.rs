//! The real importer over the real journal, both on the simulated disk: every life is cut short at every
//! change of the disk, and so is the start after it.

use std::fmt::Display;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use forebay::disk::{self, Disk as _, DiskFile};
use forebay::import::journal::LocalJournal;
use forebay::import::{
    Begin, End, Importer, ImporterDeps, OptionsHash, Outcome, RowHash, RowScope, Rows, RowsTaken, Standing,
    Target as _, TargetError, WantedSource,
};
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::metrics::Metrics;
use forebay::sources::SourceId;
use forebay::spool::{SpoolOptions, Stepped};
use forebay::time::Clock;
use redb::StorageBackend;
use tokio::runtime::Runtime;

use super::clock::SimClock;
use super::found::{NOON, options, try_open};
use super::imports::ById;
use super::process::Seeded;
use crate::support::sim_disk::{Dice, SimDisk, Trouble};
use crate::support::stored::stored;

const FILE: &str = "imports.redb";
const SOURCE: &str = "web";
const STEP: u64 = 2;
/// More changes of the disk than a start makes.
const START_CHANGES: u64 = 60;

#[derive(Debug)]
struct OnDisk(Arc<dyn DiskFile>);

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.0.read_at(out, offset)?;
        if read < out.len() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// The simulated disk has no shorter files. A longer one is zero where nothing was written.
    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > self.0.len()? { self.0.write_at(&[IoSlice::new(&[0])], len - 1) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(&[IoSlice::new(data)], offset)
    }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Opens the journal. As in a directory, a new one gets its name when it is complete.
fn journal(disk: &SimDisk) -> Result<LocalJournal, String> {
    let in_file = |file| LocalJournal::over(OnDisk(file)).map_err(text);
    if disk.open(FILE).is_err() {
        let temporary = disk::temporary_name(FILE);
        let file = disk.create(&temporary).map_err(text)?;
        drop(in_file(Arc::clone(&file))?);
        file.sync().map_err(text)?;
        disk::publish(disk, FILE).map_err(text)?;
    }
    in_file(disk.open(FILE).map_err(text)?)
}

/// Repeats are not found by the spool here: nothing but the importer keeps a row from being stored twice.
fn no_dedupe() -> SpoolOptions {
    SpoolOptions { dedupe_max: 0, ..options() }
}

/// A file to import.
#[derive(Debug)]
struct File {
    id: String,
    /// The content of each row.
    rows: Vec<u64>,
    by_content: bool,
    /// The row after the last one that was acknowledged.
    acknowledged: u64,
    /// Whether its end was acknowledged.
    ended: bool,
}

impl File {
    fn new(letter: &str, rows: Vec<u64>, by_content: bool) -> Self {
        Self { id: letter.repeat(26), rows, by_content, acknowledged: 0, ended: false }
    }

    fn begin(&self) -> Begin {
        Begin {
            file: self.id.parse().unwrap(),
            name: "rows.csv".to_owned(),
            bytes: None,
            source: WantedSource::Id(SourceId::new(SOURCE).unwrap()),
            import: None,
            insert_id_window: None,
            options: OptionsHash::of(b"o"),
            types: None,
            limits: String::new(),
            by_content: self.by_content,
            retry_of: None,
            force: false,
            place: None,
            version: None,
        }
    }

    fn body(&self, rows: Rows) -> String {
        let (mut calls, mut hashes) = (Vec::new(), Vec::new());
        let (first, count) = (usize::try_from(rows.first).unwrap(), usize::try_from(rows.rows).unwrap());
        for row in &self.rows[first..first + count] {
            let hash = RowHash::of(&RowScope::of(""), &row.to_le_bytes());
            let id = if self.by_content { format!(",\"messageId\":\"imp_{hash}\"") } else { String::new() };
            calls.push(format!("{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"row\":{row}{id}}}"));
            hashes.push(format!("\"{hash}\""));
        }
        let hashes =
            if self.by_content { format!(",\"rowHashes\":[{}]", hashes.join(",")) } else { String::new() };
        format!("{{\"batch\":[{}]{hashes}}}", calls.join(","))
    }
}

/// A running process.
struct Node {
    spool: Stepped,
    importer: Arc<Importer>,
}

impl Node {
    fn start(disk: &SimDisk) -> Result<Self, String> {
        let (spool, _) = try_open(disk, no_dedupe()).map_err(text)?;
        let journal = Arc::new(journal(disk)?);
        let clock: Arc<dyn Clock> = Arc::new(SimClock::new(NOON.0));
        let metrics = Metrics::new();
        let deps = IngestDeps {
            clock: Arc::clone(&clock),
            random: Arc::new(Seeded(Mutex::new(Dice(1)))),
            metrics: metrics.clone(),
            appender: spool.appender(),
            fingerprinter: spool.fingerprinter(),
            live: Arc::default(),
        };
        let ingest = Arc::new(Ingest::new(deps, IngestSettings::default()));
        let deps = ImporterDeps { ingest, imports: spool.imports(), journal, clock, metrics };
        let importer = Importer::new(deps, Arc::new(ById));
        Ok(Self { spool, importer: Arc::new(importer) })
    }

    fn store(&mut self, rows: Rows, body: String, runtime: &Runtime) -> Result<RowsTaken, TargetError> {
        let importer = Arc::clone(&self.importer);
        runtime.block_on(async {
            let taken = tokio::spawn(async move { importer.rows(rows, body.into()).await });
            while !taken.is_finished() {
                tokio::task::yield_now().await;
                self.spool.turn();
            }
            taken.await.unwrap()
        })
    }
}

/// Imports so many steps of a file, and ends the import or leaves it open.
fn life(
    disk: &SimDisk,
    runtime: &Runtime,
    file: &mut File,
    (steps, end): (usize, Option<Outcome>),
) -> Result<(), String> {
    let mut node = Node::start(disk)?;
    let begun = node.importer.begin_now(&file.begin()).map_err(text)?;
    let next = begun.progress.next_row;
    assert!(
        next >= file.acknowledged,
        "{:?}, but {} rows were acknowledged",
        begun.progress,
        file.acknowledged
    );
    assert!(begun.read_from >= file.acknowledged && begun.read_from <= next, "{begun:?}");
    assert!(!file.ended || begun.standing == Standing::Done, "{begun:?}");
    if begun.standing == Standing::Done {
        return Ok(());
    }
    let (mut at, all) = (begun.read_from, file.rows.len() as u64);
    for _ in 0..steps {
        // Rows that are stored and not counted come in steps that end at the next row.
        let end = (at + STEP).min(if at < next { next } else { all });
        if end > at {
            let rows = Rows {
                import: begun.import,
                first: at,
                rows: end - at,
                rejected: 0,
                repeats: 0,
                prefix: None,
            };
            let taken = node.store(rows, file.body(rows), runtime).map_err(text)?;
            assert!(taken.progress.next_row >= end, "{taken:?}");
            (at, file.acknowledged) = (end, end);
        }
    }
    if let Some(outcome) = end {
        let is_done = outcome == Outcome::Done;
        assert!(!is_done || at == all, "{at}");
        node.importer.end_now(End::of(begun.import, outcome)).map_err(text)?;
        file.ended = is_done;
    }
    Ok(())
}

/// Several lives on one disk, until it fails.
fn lives(disk: &SimDisk, runtime: &Runtime, file: &mut File) -> Result<(), String> {
    for plan in [(2, None), (1, Some(Outcome::Stopped)), (0, None), (9, Some(Outcome::Done)), (0, None)] {
        life(disk, runtime, file, plan)?;
    }
    Ok(())
}

/// The contents of all stored rows, in order.
fn stored_rows(disk: &SimDisk) -> Vec<u64> {
    let (spool, _) = try_open(disk, no_dedupe()).unwrap();
    let row = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["row"].as_u64().unwrap();
    stored(&*spool.log(), SOURCE).iter().map(|line| row(&line.line)).collect()
}

/// Cuts the import of a file short at each change of the disk, and passes the disk of each to `look` when the
/// file is imported.
fn cut_short_everywhere(file: impl Fn() -> File, look: impl Fn(u64, &SimDisk, &Runtime)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for at in 0.. {
        let (disk, mut dice) = (SimDisk::default(), Dice(at));
        disk.trouble(at, Trouble::Crash);
        let mut cut = file();
        let whole = lives(&disk, &runtime, &mut cut).is_ok();
        // A process that was killed, while the machine runs on: the next one reads what is not synced.
        let killed = disk.copy();
        killed.trouble(dice.below(START_CHANGES), Trouble::Crash);
        let mut cut_again = File { id: cut.id.clone(), rows: cut.rows.clone(), ..cut };
        let ended = lives(&killed, &runtime, &mut cut_again);
        assert!(ended.is_err() || whole, "cut short at change {at}");
        for (disk, mut file) in [(disk, cut), (killed, cut_again)] {
            disk.crash(&mut dice);
            lives(&disk, &runtime, &mut file).unwrap();
            look(at, &disk, &runtime);
        }
        if whole {
            assert!(at > 150, "{at}");
            return;
        }
    }
}

#[test]
fn each_row_is_stored_once_wherever_the_importer_and_its_journal_are_cut_short() {
    let rows: Vec<u64> = (0..8).collect();
    cut_short_everywhere(
        || File::new("a", rows.clone(), false),
        |at, disk, _| assert_eq!(stored_rows(disk), rows, "cut short at change {at}"),
    );
}

/// Another file with the same rows and one more is imported at the end: only that one is new.
#[test]
#[ignore = "long: tests/long"]
fn rows_known_by_their_content_are_counted_once_wherever_the_importer_is_cut_short() {
    let rows = vec![0, 1, 2, 0, 3, 4, 5];
    let more = vec![0, 1, 2, 0, 3, 4, 5, 0];
    cut_short_everywhere(
        || File::new("a", rows.clone(), true),
        |at, disk, runtime| {
            lives(disk, runtime, &mut File::new("e", more.clone(), true)).unwrap();
            assert_eq!(stored_rows(disk), [&rows[..], &[0]].concat(), "cut short at change {at}");
        },
    );
}
