//! A long job whose process is killed again and again, with programs that fail, hang and die at random. The programs
//! note each invocation in files of their own, so that what ran is counted without the word of the job.
//!
//! An invocation that the log does not have is *lost*: its task runs once more. After each kill every lost one must
//! have been in flight, or have ended after the last sync.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::process::Stdio;
use std::time::Duration;

use forebay::jobs::attempts::peek::{Peeked, peek};
use forebay::jobs::attempts::replay::{Visit, read};
use forebay::jobs::job::folder::JobsFolder;
use forebay::jobs::job::folder_disk::FolderDisk;
use forebay::jobs::job::id::JobId;
use forebay::jobs::job::status::Status;
use forebay::runtime::SystemClock;
use forebay::time::Clock as _;
use tokio::process::Child;

use super::support::{Stand, manifest, script};
use crate::support::dice::Dice;
use crate::support::tools::on_path;
use crate::support::wait::until;

/// Tasks, unless `FOREBAY_PROOF_TASKS` is set.
const TASKS: u64 = 10_000;
/// Kills, unless `FOREBAY_PROOF_KILLS` is set.
const KILLS: u64 = 5;
const CONCURRENCY: usize = 8;
/// An answer later than this counts as none. A program may take a second to start on a busy machine.
const TASK_TIMEOUT_MS: i64 = 5_000;
const MAX_ATTEMPTS: u64 = 3;
/// How long before the last sync an invocation may have ended that it does not cover: its answer was still on its way
/// to the job, on a busy machine.
const ON_ITS_WAY_MS: i64 = 500;
/// Two syncs are 200 ms apart, and a sync of a busy disk takes its time. Later than this none is under way.
const SYNCED_WITHIN_MS: i64 = 5_000;
/// Enough for a hundred thousand tasks by programs in Python on a busy machine.
const PATIENCE: Duration = Duration::from_secs(900);

/// One invocation, as the program notes it, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
struct Noted {
    began: i64,
    ended: Option<i64>,
}

/// What is lost by the kills so far.
#[derive(Debug, Default)]
struct Lost {
    /// How many more invocations of a key are noted than the log has.
    by_key: BTreeMap<String, i64>,
    in_flight: usize,
    unsynced: usize,
    /// Tries in the log that no program has noted: its time had passed when it was ready to read.
    unseen: usize,
    longest_unsynced_ms: i64,
}

fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

fn now_ms() -> i64 {
    SystemClock::new().wall().0
}

/// The invocations of each key, in the order in which they began.
fn noted(stand: &Stand) -> BTreeMap<String, Vec<Noted>> {
    let mut by_key = BTreeMap::<String, Vec<Noted>>::new();
    for file in fs::read_dir(stand.path("notes")).unwrap() {
        let mut open: Option<(String, Noted)> = None;
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let mut close = |open: &mut Option<(String, Noted)>| {
            open.take().into_iter().for_each(|(key, noted)| by_key.entry(key).or_default().push(noted));
        };
        for line in text.lines() {
            let [what, key, at] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
            let at = at.parse().unwrap();
            match what {
                "b" => {
                    close(&mut open);
                    open = Some((key.to_owned(), Noted { began: at, ended: None }));
                }
                _ => open.as_mut().unwrap().1.ended = Some(at),
            }
        }
        close(&mut open);
    }
    by_key.values_mut().for_each(|all| all.sort_by_key(|noted| noted.began));
    by_key
}

/// What the log has.
#[derive(Debug, Default)]
struct Logged {
    /// Tries of each key.
    tries: BTreeMap<String, usize>,
    /// Results of each key.
    results: BTreeMap<String, usize>,
    /// Tries that got no answer in time.
    timeouts: usize,
}

impl Logged {
    fn of(disk: &FolderDisk, id: JobId) -> Self {
        let mut logged = Self::default();
        let replayed = read(disk, id, &mut |visit| {
            let (rows, said) = match visit {
                Visit::Attempt(attempt) => (attempt.row..attempt.row + 1, attempt.cause),
                Visit::Results(result, count) => {
                    for result in result.of_rows(count) {
                        *logged.results.entry(format!("k{}", result.row)).or_default() += 1;
                    }
                    (result.row..result.row + count, result.message)
                }
            };
            let timed_out = usize::from(said.to_string().contains("no answer within"));
            for row in rows {
                *logged.tries.entry(format!("k{row}")).or_default() += 1;
                logged.timeouts += timed_out;
            }
            Ok(())
        });
        assert_eq!(replayed.unwrap().damage.ranges, 0);
        logged
    }
}

impl Lost {
    /// Counts what a kill at this time has lost.
    fn count(&mut self, stand: &Stand, disk: &FolderDisk, id: JobId, killed: i64) {
        let (noted, logged) = (noted(stand), Logged::of(disk, id));
        let last_sync = peek(disk, id).unwrap().last_seen.0;
        let (mut in_flight, mut unsynced) = (0, 0);
        let keys: BTreeSet<&String> = noted.keys().chain(logged.tries.keys()).collect();
        for key in keys {
            let invocations = noted.get(key).map_or(&[][..], Vec::as_slice);
            let more = signed(invocations.len()) - signed(logged.tries.get(key).copied().unwrap_or(0));
            let lost = more - self.by_key.insert(key.clone(), more).unwrap_or(0);
            self.unseen += usize::try_from(-lost).unwrap_or(0);
            for lost in invocations.iter().rev().take(usize::try_from(lost).unwrap_or(0)) {
                // The job waits for one that hangs until its time has passed.
                let ended = lost.ended.unwrap_or(lost.began + TASK_TIMEOUT_MS);
                if ended > killed {
                    in_flight += 1;
                    continue;
                }
                unsynced += 1;
                self.longest_unsynced_ms = self.longest_unsynced_ms.max(killed - ended);
                let before_sync = last_sync - ended;
                assert!(before_sync <= ON_ITS_WAY_MS, "{key} is not in the log, {before_sync} ms later");
            }
        }
        assert!(in_flight <= CONCURRENCY, "{in_flight} were in flight");
        self.in_flight += in_flight;
        self.unsynced += unsynced;
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

/// Waits until no program of the test runs: one that lost its parent ends its task first.
async fn programs_ended(stand: &Stand) {
    let notes = stand.path("notes").into_os_string().into_string().unwrap();
    let runs = |id: &str| {
        let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&notes)
    };
    until("the programs to end", PATIENCE, async || {
        let all =
            fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let running = all.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).any(|id| runs(&id));
        (!running).then_some(())
    })
    .await;
}

fn start(stand: &Stand, words: &[&str]) -> Child {
    let said = File::options().create(true).append(true).open(stand.path("said")).unwrap();
    let mut command = stand.batch(&[&["run"], words].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).kill_on_drop(true).spawn().unwrap()
}

/// Waits until so many tasks have ended, or for the end of the process. True: the process has ended.
async fn progressed(
    child: &mut Child,
    disk: &FolderDisk,
    id: JobId,
    is_so: impl Fn(&Peeked) -> bool,
) -> bool {
    until("the job to go on", PATIENCE, async || {
        let ended = child.try_wait().unwrap().is_some();
        (ended || is_so(&peek(disk, id).unwrap())).then_some(ended)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_of_a_job_that_is_killed_ends_once() {
    if on_path("python3").is_none() {
        return;
    }
    let tasks = setting("FOREBAY_PROOF_TASKS").unwrap_or(TASKS);
    let kills = setting("FOREBAY_PROOF_KILLS").unwrap_or(KILLS);
    let seed = setting("FOREBAY_PROOF_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    eprintln!("{tasks} tasks, {kills} kills, FOREBAY_PROOF_SEED={seed}");
    let mut dice = Dice(seed);
    let stand = Stand::start().await;
    fs::create_dir(stand.path("notes")).unwrap();
    stand.put("m.csv", manifest((0..tasks).map(|n| format!("k{n}")))).await;
    let handler =
        format!("cmd:python3 {} random {}", script("handlers.py"), stand.path("notes").to_str().unwrap());
    let (concurrency, attempts) = (CONCURRENCY.to_string(), MAX_ATTEMPTS.to_string());
    let timeout = format!("{TASK_TIMEOUT_MS} ms");
    let mut child = start(
        &stand,
        &[
            "--manifest", "s3://forebay/m.csv", "--report", "s3://forebay/r", "--handler", &handler,
            "--concurrency", &concurrency, "--max-attempts", &attempts, "--task-timeout", &timeout,
        ],
    );
    let jobs = JobsFolder::open(&stand.state).unwrap();
    let id =
        until("the job to be made", PATIENCE, async || jobs.list().unwrap().jobs.first().map(|job| job.id));
    let id = id.await;
    let disk = jobs.disk(id);

    let (mut lost, mut killed, mut killed_at_end) = (Lost::default(), 0, 0);
    while killed < kills {
        let has_ended = match dice.below(10) {
            // Soon after its start: as it reads its log or its manifest, or with the first tasks.
            0 | 1 => {
                tokio::time::sleep(Duration::from_millis(dice.below(400))).await;
                child.try_wait().unwrap().is_some()
            }
            // At the end, as the report is written and stored.
            2 if 4 * killed >= 3 * kills => {
                let ended =
                    progressed(&mut child, &disk, id, |now| now.state.status == Status::Completing).await;
                tokio::time::sleep(Duration::from_millis(dice.below(30))).await;
                killed_at_end += u64::from(!ended);
                ended
            }
            _ => {
                let now = peek(&disk, id).unwrap();
                let left = tasks.saturating_sub(now.succeeded + now.failed);
                let wanted = tasks - left + left / (kills - killed + 1);
                let is_far =
                    |now: &Peeked| now.succeeded + now.failed >= wanted && now.state.status >= Status::Active;
                let ended = progressed(&mut child, &disk, id, is_far).await;
                tokio::time::sleep(Duration::from_millis(dice.below(250))).await;
                ended
            }
        };
        if has_ended {
            break;
        }
        let at = now_ms();
        child.kill().await.unwrap();
        killed += 1;
        programs_ended(&stand).await;
        lost.count(&stand, &disk, id, at);
        child = start(&stand, &["--job", &id.to_string()]);
    }
    let code = until("the job to end", PATIENCE, async || child.try_wait().unwrap()).await.code();
    let said = fs::read_to_string(stand.path("said")).unwrap();
    assert_eq!(code, Some(3), "{said}");
    assert!(killed * 4 >= kills * 3, "only {killed} kills hit a job that ran");

    let seen = peek(&disk, id).unwrap();
    assert_eq!((seen.state.status, seen.succeeded + seen.failed), (Status::Complete, tasks), "{seen:?}");
    let (noted, logged) = (noted(&stand), Logged::of(&disk, id));
    assert_eq!(logged.results.len() as u64, tasks);
    assert!(logged.results.values().all(|times| *times == 1));
    let invocations: usize = noted.values().map(Vec::len).sum();
    eprintln!(
        "{invocations} invocations, {killed} kills ({killed_at_end} at the end): {} lost in flight, {} after the last \
         sync, the earliest of these {} ms before its kill",
        lost.in_flight, lost.unsynced, lost.longest_unsynced_ms
    );
    // The last process was not killed, and lost nothing.
    let before = (lost.in_flight, lost.unsynced);
    lost.count(&stand, &disk, id, now_ms());
    assert_eq!((lost.in_flight, lost.unsynced), before);
    assert!(lost.unseen <= logged.timeouts, "{} of {} timeouts", lost.unseen, logged.timeouts);
    assert!(lost.longest_unsynced_ms <= SYNCED_WITHIN_MS, "{lost:?}");

    let rows = stand.report(&id.to_string()).await;
    assert_eq!(rows.len() as u64, tasks);
    for number in 0..tasks {
        let key = format!("k{number}");
        let row = &rows[&key];
        let (status, code, message) = (row[3].as_str(), row[5].as_str(), row[6].as_str());
        match (number % 100 == 3, number % 50 == 7) {
            (true, _) => assert_eq!(status, "failed", "{row:?}"),
            // Three failures in a row at random are rare, and right.
            (false, true) => assert_eq!((status, code.is_empty()), ("failed", false), "{row:?}"),
            (false, false) if status == "failed" => {
                assert!(message != "it is bad" && logged.tries[&key] as u64 == MAX_ATTEMPTS, "{row:?}");
            }
            (false, false) => assert_eq!((status, message), ("succeeded", key.as_str()), "{row:?}"),
        }
    }
}
