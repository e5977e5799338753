//! Bytes and calls to the disk, counted under the real spool: each segment is filled, its lines are committed
//! as delivered, and it is reused, as in a collector that has run for a while.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use forebay::log::{AppendError, RequestFrames};
use forebay::spool::{SpoolOptions, Stepped};

use crate::memory::{self, Counted, MemoryDisk, NOON};
use crate::spooled::{self, Requests};

/// Calls of a request, and requests that share a commit.
const CASES: [(usize, usize); 4] = [(1, 1), (1, 64), (100, 1), (2_500, 1)];
/// Segments filled before counting starts: the first ones are new files, filled with zeroes.
const BEFORE: usize = 3;
/// Segments filled while counting, each from its first byte to its last.
const SEGMENTS: usize = 2;

/// What was written in each case, by name.
pub(crate) fn all() -> BTreeMap<String, f64> {
    CASES.into_iter().flat_map(|(calls, requests)| case(calls, requests)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "bytes of some segments")]
fn case(calls: usize, requests: usize) -> [(String, f64); 3] {
    let counted = Arc::new(Counted::default());
    let mut spool = memory::open(Arc::new(MemoryDisk::new(Arc::clone(&counted))), SpoolOptions::default());
    let mut source = Requests::new(NOON);
    for _ in 0..BEFORE {
        fill(&mut spool, &mut source, calls, requests);
    }
    for count in [&counted.bytes, &counted.writes, &counted.syncs] {
        count.store(0, Ordering::Relaxed);
    }
    let (mut lines, mut commits) = (0, 0);
    for _ in 0..SEGMENTS {
        let filled = fill(&mut spool, &mut source, calls, requests);
        lines += filled.line_bytes;
        commits += filled.commits;
    }
    let per =
        |count: &std::sync::atomic::AtomicU64, by: u64| count.load(Ordering::Relaxed) as f64 / by as f64;
    let name = |what: &str| format!("{what}/calls={calls}/requests={requests}");
    [
        (name("bytes_per_line_byte"), per(&counted.bytes, lines)),
        (name("writes_per_commit"), per(&counted.writes, commits)),
        (name("syncs_per_commit"), per(&counted.syncs, commits)),
    ]
}

struct Filled {
    line_bytes: u64,
    commits: u64,
}

/// Commits until the segment is full, then releases everything and commits the remainder into the next
/// segment.
fn fill(spool: &mut Stepped, source: &mut Requests, calls: usize, requests: usize) -> Filled {
    let mut commits = 0;
    loop {
        let group: Vec<RequestFrames> = (0..requests).map(|_| source.next(calls)).collect();
        match spool.append(group) {
            Ok(_) => commits += 1,
            Err(AppendError::Full) => break,
            Err(error) => panic!("{error}: nothing fails on this disk"),
        }
    }
    let line_bytes = spooled::let_go(&*spool.log());
    spool.keep().expect("a working spool");
    Filled { line_bytes, commits }
}
