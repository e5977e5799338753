//! Lets system calls of the program fail with strace: a failed write or sync of the spool ends it, and after
//! a restart no acknowledged call is missing or duplicated.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, timeout};

use super::load::{Journal, Load};
use super::setting;
use super::stand::Stand;
use super::tracer::Tracer;
use crate::support::forebay::Forebay;
use crate::support::wait;

/// Positions at which a sync of a segment fails, unless `FOREBAY_SYNC_FAILURES` sets the number of positions
/// from the first.
const SYNCS: [u64; 5] = [1, 2, 7, 23, 61];
/// The time limit for the program to end after a failure that stops its spool.
const EXIT_MAX: Duration = Duration::from_secs(5);
/// The time limit until the call that must fail occurs.
const STRIKE_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of calls acknowledged while system calls are interrupted.
const CALLS: usize = 300;
/// Segments small enough to fill every few seconds; the next ones are also targeted.
const SEGMENT: &str = "segment_bytes = \"8 MiB\"\nunsafe_filesystem = true";
const SEGMENTS_AHEAD: u64 = 3;

/// The calls to fail: system calls on files of the spool whose names have this beginning.
#[derive(Clone, Copy, Debug)]
struct Aim {
    files: &'static str,
    calls: &'static str,
    error: &'static str,
}

impl Aim {
    /// Makes the calls fail that `when` selects, as strace counts them: per thread.
    async fn attach(self, forebay: &Forebay, folder: &Path, when: &str) -> Option<Tracer> {
        let Self { calls, error, .. } = self;
        let mut arguments: Vec<OsString> = vec!["-e".into(), format!("trace={calls}").into()];
        arguments.extend(["-e".into(), format!("inject={calls}:error={error}:when={when}").into()]);
        for file in targets(&folder.join("spool"), self.files) {
            arguments.extend(["-P".into(), file.into()]);
        }
        Tracer::attach(forebay, folder, arguments).await
    }
}

/// The files of a spool whose names have this beginning, and the next segments.
fn targets(spool: &Path, beginning: &str) -> Vec<PathBuf> {
    let names = fs::read_dir(spool).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with(beginning)).collect();
    let number = |name: &String| name.strip_prefix("wal-")?.strip_suffix(".seg")?.parse::<u64>().ok();
    let last = names.iter().filter_map(number).max();
    let ahead = last.into_iter().flat_map(|last| last + 1..=last + SEGMENTS_AHEAD);
    names.extend(ahead.map(|number| format!("wal-{number:020}.seg")));
    names.into_iter().map(|name| spool.join(name)).collect()
}

/// One life in which a call fails, to the program's end. `false` if it could not be made to fail here.
async fn struck(stand: &Stand, config: &Path, aim: Aim, when: u64, world: &mut (Journal, StdRng)) -> bool {
    let (journal, random) = world;
    let forebay = stand.serve(config).await;
    let Some(tracer) = aim.attach(&forebay, stand.folder.path(), &when.to_string()).await else {
        return false;
    };
    let load = Load::start(&forebay.collector, journal, random);
    wait::until(&format!("{aim:?} number {when}"), STRIKE_TIMEOUT, async || {
        (tracer.strikes() > 0).then_some(())
    })
    .await;
    let began = Instant::now();
    let ended = timeout(EXIT_MAX, forebay.exit()).await;
    let status = ended.unwrap_or_else(|_| panic!("{aim:?} number {when}: it continues"));
    assert!(!status.success(), "{aim:?} number {when}: it ended with success");
    let answers = load.stop(journal).await;
    // Requests that waited for the sync. No request waits for a note of the manifest, or for a sync of the
    // next segment, which may come before the first request.
    let told = answers.refused > 0 || aim.files != "wal-" || answers.accepted == 0;
    assert!(told, "{aim:?} number {when}: waiting requests must be refused: {answers:?}");
    eprintln!("{aim:?} number {when}: {status} after {:?}, {answers:?}", began.elapsed());
    true
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_write_or_sync_ends_the_program_without_loss() {
    let stand = Stand::start().await;
    let config = stand.config(&stand.folder.path().join("spool"), SEGMENT, "1 s");
    let mut world = (Journal::default(), StdRng::seed_from_u64(2));
    let segment = |calls, error| Aim { files: "wal-", calls, error };
    let manifest = |calls, error| Aim { files: "MANIFEST-", calls, error };
    let syncs =
        setting("FOREBAY_SYNC_FAILURES").map_or_else(|| SYNCS.to_vec(), |count| (1..=count).collect());
    let mut cases: Vec<(Aim, u64)> = syncs.into_iter().map(|at| (segment("fdatasync", "EIO"), at)).collect();
    cases.extend([
        (segment("fdatasync", "ENOSPC"), 3),
        (segment("pwritev", "EIO"), 4),
        (segment("pwritev", "ENOSPC"), 5),
        (manifest("fdatasync", "EIO"), 1),
        (manifest("fdatasync", "EIO"), 2),
        (manifest("fdatasync", "ENOSPC"), 1),
        (manifest("pwritev", "EIO"), 1),
        (manifest("pwritev", "EIO"), 3),
    ]);
    let count = cases.len();
    for (aim, when) in cases {
        if !struck(&stand, &config, aim, when, &mut world).await {
            return;
        }
    }
    let report = stand.settle(&config, &mut world.0, &mut world.1).await;
    eprintln!("{count} failed system calls: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interrupted_system_calls_are_repeated() {
    let stand = Stand::start().await;
    let config = stand.config(&stand.folder.path().join("spool"), SEGMENT, "1 s");
    let (mut journal, mut random) = (Journal::default(), StdRng::seed_from_u64(3));
    let forebay = stand.serve(&config).await;
    let aim = Aim { files: "", calls: "pwritev,pwrite64,pread64,fdatasync,fsync", error: "EINTR" };
    // Every other call of each kind, in each thread.
    let Some(tracer) = aim.attach(&forebay, stand.folder.path(), "1+2").await else { return };
    let load = Load::start(&forebay.collector, &mut journal, &mut random);
    load.until_acknowledged(CALLS).await;
    let answers = load.stop(&mut journal).await;
    assert_eq!((answers.refused, answers.none), (0, 0), "{answers:?}\n{}", forebay.log());
    forebay.flush().await;
    assert!(tracer.strikes() > CALLS / 20, "{} calls were interrupted", tracer.strikes());
    eprintln!("{} calls were interrupted", tracer.strikes());
    tracer.detach().await;
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    stand.settle(&config, &mut journal, &mut random).await;
}
