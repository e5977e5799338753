//! The real importer over the real journal, both on the simulated disk: every life is cut short at every change
//! of the disk, and so is the start after it.

use std::fmt::Display;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use forebay::disk::{self, Disk as _, DiskFile};
use forebay::import::journal::LocalJournal;
use forebay::import::{
    Begin, End, Importer, Outcome, Rows, RowsTaken, Standing, Target as _, TargetError, WantedSource,
};
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::metrics::Metrics;
use forebay::sources::SourceId;
use forebay::spool::Stepped;
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
const ROWS: u64 = 8;
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

/// A running process.
struct Node {
    spool: Stepped,
    importer: Arc<Importer>,
}

impl Node {
    fn start(disk: &SimDisk) -> Result<Self, String> {
        let (spool, _) = try_open(disk, options()).map_err(text)?;
        let journal = Arc::new(journal(disk)?);
        let clock = Arc::new(SimClock::new(NOON.0));
        let deps = IngestDeps {
            clock: Arc::<SimClock>::clone(&clock),
            random: Arc::new(Seeded(Mutex::new(Dice(1)))),
            metrics: Metrics::new(),
            appender: spool.appender(),
            fingerprinter: spool.fingerprinter(),
        };
        let ingest = Arc::new(Ingest::new(deps, IngestSettings::default()));
        let importer = Importer::new(ingest, spool.log(), journal, clock, Arc::new(ById)).map_err(text)?;
        Ok(Self { spool, importer: Arc::new(importer) })
    }

    fn store(&mut self, rows: Rows, runtime: &Runtime) -> Result<RowsTaken, TargetError> {
        let calls: Vec<String> = (rows.first..rows.first + rows.rows)
            .map(|row| format!("{{\"type\":\"track\",\"event\":\"e\",\"userId\":\"u\",\"row\":{row}}}"))
            .collect();
        let body = format!("{{\"batch\":[{}]}}", calls.join(","));
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

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    rows: u64,
    end: bool,
}

/// Imports so many steps, and ends the import or leaves it open.
fn life(
    disk: &SimDisk,
    runtime: &Runtime,
    known: &mut Acknowledged,
    (steps, end): (usize, Option<Outcome>),
) -> Result<(), String> {
    let mut node = Node::start(disk)?;
    let begin = Begin {
        file: "a".repeat(26).parse().unwrap(),
        name: "rows.csv".to_owned(),
        bytes: None,
        source: WantedSource::Id(SourceId::new(SOURCE).unwrap()),
        options: "o".to_owned(),
        force: false,
    };
    let begun = node.importer.begin_now(&begin).map_err(text)?;
    let mut next = begun.progress.next_row;
    assert!(next >= known.rows, "{:?}, but {} rows were acknowledged", begun.progress, known.rows);
    assert_eq!(begun.progress.stored, next);
    assert!(!known.end || begun.standing == Standing::Done, "{begun:?}");
    if begun.standing == Standing::Done {
        return Ok(());
    }
    for _ in 0..steps {
        let rows = Rows { import: begun.import, first: next, rows: STEP.min(ROWS - next), rejected: 0 };
        if rows.rows > 0 {
            next = node.store(rows, runtime).map_err(text)?.progress.next_row;
            known.rows = next;
        }
    }
    if let Some(outcome) = end {
        let is_done = outcome == Outcome::Done;
        node.importer.end_now(End { import: begun.import, outcome }).map_err(text)?;
        known.end = is_done;
    }
    Ok(())
}

/// Several lives on one disk, until it fails.
fn lives(disk: &SimDisk, runtime: &Runtime, known: &mut Acknowledged) -> Result<(), String> {
    for plan in [(2, None), (1, Some(Outcome::Stopped)), (0, None), (4, Some(Outcome::Done)), (0, None)] {
        life(disk, runtime, known, plan)?;
    }
    Ok(())
}

#[test]
fn each_row_is_stored_once_wherever_the_importer_and_its_journal_are_cut_short() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for at in 0.. {
        let disk = SimDisk::default();
        let mut known = Acknowledged::default();
        disk.trouble(at, Trouble::Crash);
        let whole = lives(&disk, &runtime, &mut known).is_ok();
        let mut dice = Dice(at);
        // A process that was killed, while the machine runs on: the next one reads what is not synced.
        let killed = disk.copy();
        killed.trouble(dice.below(START_CHANGES), Trouble::Crash);
        let mut known_by_killed = Acknowledged { ..known };
        let _: Result<(), String> = lives(&killed, &runtime, &mut known_by_killed);
        for (disk, mut known) in [(disk, known), (killed, known_by_killed)] {
            disk.crash(&mut dice);
            lives(&disk, &runtime, &mut known).unwrap();
            let mut rows: Vec<u64> = Vec::new();
            let (spool, _) = try_open(&disk, options()).unwrap();
            for line in stored(&*spool.log(), SOURCE) {
                let line: serde_json::Value = serde_json::from_str(&line.line).unwrap();
                rows.push(line["row"].as_u64().unwrap());
            }
            assert_eq!(rows, (0..ROWS).collect::<Vec<_>>(), "cut short at change {at}");
        }
        if whole {
            assert!(at > 150, "{at}");
            return;
        }
    }
}
