//! Instructions per call, by callgrind: each case runs in a separate process, in which only
//! [`counted_by_the_guard`] is counted.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::process::Command;
use std::str::FromStr;
use std::sync::Arc;

use forebay::call::Fingerprinter;
use forebay::delivery::make::encode::{LEVEL_AT_LEISURE, LEVEL_UNDER_LOAD};
use forebay::log::RequestFrames;
use forebay::object::gzip::GzipLines;
use forebay::sources::SourceId;
use forebay::spool::{SpoolOptions, Stepped};

use crate::corpus::Seeded;
use crate::memory::{self, Counted, MemoryDisk, NOON};
use crate::spooled;

/// The folder for the profiles.
pub(crate) const FOLDER: &str = "target/guard";
const SEED: u64 = 41;
/// Calls that are counted, after as many that are not, because those find memory, caches and tables cold.
const CALLS: usize = 1_600;
/// Larger than all calls of a case.
const SEGMENT: u64 = 16 * 1_024 * 1_024;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// From a body to its frames.
    Lines { calls: usize },
    /// From frames to a committed block: lookup of repeats, positions and checksums, index, ledger.
    Commit { calls: usize, requests: usize },
    /// The same for calls that are all repeats.
    Repeats { calls: usize },
    /// From lines to gzip, including their hash.
    Gzip { level: u32 },
}

/// All cases.
const CASES: [Case; 8] = [
    Case::Lines { calls: 1 },
    Case::Lines { calls: 100 },
    Case::Commit { calls: 1, requests: 1 },
    Case::Commit { calls: 1, requests: 64 },
    Case::Commit { calls: 100, requests: 1 },
    Case::Repeats { calls: 100 },
    Case::Gzip { level: LEVEL_UNDER_LOAD },
    Case::Gzip { level: LEVEL_AT_LEISURE },
];

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lines { calls } => write!(f, "lines/calls={calls}"),
            Self::Commit { calls, requests } => write!(f, "commit/calls={calls}/requests={requests}"),
            Self::Repeats { calls } => write!(f, "repeats/calls={calls}"),
            Self::Gzip { level } => write!(f, "gzip/level={level}"),
        }
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        CASES.into_iter().find(|case| case.to_string() == name).ok_or_else(|| format!("no case {name}"))
    }
}

/// Instructions per call of each case. `None` without valgrind.
pub(crate) fn all() -> Option<BTreeMap<String, f64>> {
    Command::new("valgrind").arg("--version").output().ok()?;
    Some(CASES.into_iter().map(|case| (case.to_string(), instructions(case))).collect())
}

/// Counts the instructions of a case in a separate process.
#[expect(clippy::cast_precision_loss, reason = "some millions of instructions")]
fn instructions(case: Case) -> f64 {
    std::fs::create_dir_all(FOLDER).expect("a folder for profiles");
    let profile = format!("{FOLDER}/{}.callgrind", case.to_string().replace('/', ","));
    let program = std::env::current_exe().expect("the path of this program");
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--toggle-collect=*counted_by_the_guard*"]);
    valgrind.arg(format!("--callgrind-out-file={profile}"));
    // Keep freed memory: returning it after some milliseconds would make the count depend on a clock.
    valgrind.env("MIMALLOC_PURGE_DELAY", "-1");
    let done = valgrind.arg(program).args(["--work", &case.to_string()]).output().expect("valgrind starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{case} under valgrind: {}\n{said}", done.status);
    let text = std::fs::read_to_string(&profile).expect("callgrind's profile");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    let total: u64 = total.trim().parse().expect("a number of instructions");
    assert!(
        total > 0,
        "{case}: nothing was counted; is `counted_by_the_guard` still a separate function?\n{said}"
    );
    total as f64 / CALLS as f64
}

/// What callgrind counts: this function and everything that it calls.
#[inline(never)]
fn counted_by_the_guard(work: &mut dyn FnMut()) {
    work();
}

/// Does the work of a case: twice [`CALLS`], of which the second half is counted.
pub(crate) fn work(case: Case) {
    match case {
        Case::Lines { calls } => {
            let mut bodies = Vec::new();
            let mut random = Seeded(SEED);
            (0..2 * CALLS / calls).for_each(|_| bodies.push(spooled::body(&mut random, calls)));
            let (source, fingerprinter) = (source(), fingerprinter());
            halves(bodies, |(body, shape)| {
                black_box(spooled::frames(body.as_bytes(), shape, &source, &fingerprinter, NOON));
            });
        }
        Case::Commit { calls, requests } => {
            let mut spool = spool();
            let groups = groups(calls, requests);
            halves(groups, |group| drop(black_box(spool.append(group).expect("space in the spool"))));
        }
        Case::Repeats { calls } => {
            let mut spool = spool();
            for group in groups(calls, 1) {
                spool.append(group).expect("space in the spool");
            }
            halves(groups(calls, 1), |group| {
                let appended = spool.append(group).expect("space in the spool");
                assert!(appended.iter().all(|appended| appended.stored == 0), "all of them are repeats");
            });
        }
        Case::Gzip { level } => {
            let mut gzip = GzipLines::new(Vec::with_capacity(1 << 22), level, u64::MAX);
            let lines = spooled::lines(2 * CALLS, NOON);
            halves(lines, |line| {
                black_box(gzip.push(&line).expect("a Vec accepts all bytes"));
            });
            black_box(gzip.finish().expect("a Vec accepts all bytes").out.len());
        }
    }
}

/// Does the first half uncounted and the second half counted.
fn halves<T>(mut all: Vec<T>, mut work: impl FnMut(T)) {
    let second = all.split_off(all.len() / 2);
    all.into_iter().for_each(&mut work);
    let mut second = second.into_iter();
    counted_by_the_guard(&mut || second.by_ref().for_each(&mut work));
}

/// Requests in groups that share a commit. No call is a repeat of another.
fn groups(calls: usize, requests: usize) -> Vec<Vec<RequestFrames>> {
    let (mut random, source, fingerprinter) = (Seeded(SEED), source(), fingerprinter());
    let mut request = || {
        let (body, shape) = spooled::body(&mut random, calls);
        spooled::frames(body.as_bytes(), shape, &source, &fingerprinter, NOON)
    };
    (0..2 * CALLS / (calls * requests)).map(|_| (0..requests).map(|_| request()).collect()).collect()
}

fn source() -> SourceId {
    SourceId::new("bench-0").expect("a legal id")
}

fn fingerprinter() -> Fingerprinter {
    Fingerprinter::new([9; 16])
}

fn spool() -> Stepped {
    let options = SpoolOptions { segment_bytes: SEGMENT, ..SpoolOptions::default() };
    memory::open(Arc::new(MemoryDisk::new(Arc::new(Counted::default()))), options)
}
