//! Memory of a large job, and its restart: each run in a process of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use forebay::jobs::attempts::peek::peek;
use forebay::jobs::job::folder::JobsFolder;

use crate::job::{AtOnce, Took, make, manifest, run};
use crate::{argument, dir, number, runtime};

/// The argument with which this program runs a job: `new` or `restart`.
pub(crate) const AS_JOB: &str = "--as-job";
const CONCURRENCY: u64 = 100;
/// Rows of the job that every large one is compared with.
const FEW: u64 = 1_000;

/// The most memory that this process had, in KB.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Runs a job, and prints how long its stages took in milliseconds, and the peak of its memory in KB.
pub(crate) fn be_job(what: &str) {
    let state = PathBuf::from(argument("--state").expect("a folder"));
    let is_new = what == "new";
    let held = if is_new {
        make(&state, Path::new(&argument("--manifest").expect("a manifest")), CONCURRENCY)
    } else {
        let jobs = JobsFolder::open(&state).expect("a folder");
        let id = jobs.list().expect("jobs").jobs.first().expect("a job").id;
        jobs.hold(id).expect("a job")
    };
    let Took { until_first, preparing, tasks, report } =
        runtime().block_on(run(held, is_new, Arc::new(AtOnce)));
    let times = [until_first, preparing, tasks, report].map(|time| time.as_micros().to_string());
    println!("{} {}", times.join(" "), peak_kb());
}

struct Ran {
    until_first: Duration,
    preparing: Duration,
    tasks: Duration,
    report: Duration,
    peak_kb: u64,
}

fn start(what: &str, state: &Path, manifest: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new(program);
    command.args([AS_JOB, what, "--state"]).arg(state).arg("--manifest").arg(manifest);
    command.stdout(Stdio::piped()).spawn().expect("this program once more")
}

fn ended(child: Child) -> Ran {
    let output = child.wait_with_output().expect("a child");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let figures: Vec<u64> = text.split_whitespace().map(|figure| figure.parse().expect("a number")).collect();
    let [until_first, preparing, tasks, report, peak_kb] = figures[..] else { panic!("{text}") };
    let [until_first, preparing, tasks, report] =
        [until_first, preparing, tasks, report].map(Duration::from_micros);
    Ran { until_first, preparing, tasks, report, peak_kb }
}

/// The tasks of the job in this folder that have ended.
fn done(state: &Path) -> u64 {
    let jobs = JobsFolder::open(state).expect("a folder");
    let listed = jobs.list().expect("jobs");
    let job = listed.jobs.first().map(|job| peek(&jobs.disk(job.id), job.id).expect("a log"));
    job.map_or(0, |job| job.succeeded)
}

/// Kills a new job once so many of its tasks have ended, and measures how long its next process takes until its first
/// invocation.
fn restarted(folder: &Path, manifest: &Path, at: u64) -> (u64, Ran) {
    let state = tempfile::tempdir_in(folder).expect("a folder");
    let mut child = start("new", state.path(), manifest);
    while done(state.path()) < at.max(1) {
        std::thread::sleep(Duration::from_millis(10));
        assert!(child.try_wait().expect("a child").is_none(), "the job has ended: use more rows");
    }
    child.kill().expect("a child");
    child.wait().expect("a child");
    let done = done(state.path());
    (done, ended(start("restart", state.path(), manifest)))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) fn measure() {
    let rows = number("--rows", 10_000_000);
    let folder = tempfile::tempdir_in(dir()).expect("a folder");
    let (few, many) = (manifest(folder.path(), FEW), manifest(folder.path(), rows));
    let whole = |manifest: &Path| {
        let state = tempfile::tempdir_in(folder.path()).expect("a folder");
        ended(start("new", state.path(), manifest))
    };
    let (few, large) = (whole(&few), whole(&many));
    let seconds = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    println!("a job of {rows} rows in a process of its own, handler in the process, {CONCURRENCY} at once\n");
    println!("| | measured | target |\n| --- | --- | --- |");
    let per_row = large.peak_kb.saturating_sub(few.peak_kb) as f64 * 1_024.0 / rows as f64;
    println!(
        "| peak memory: {FEW} rows, {rows} rows, the difference a row | {:.1} MB, {:.1} MB, {per_row:.2} bytes | 1 byte |",
        few.peak_kb as f64 / 1_000.0,
        large.peak_kb as f64 / 1_000.0
    );
    let Ran { preparing, tasks, report, .. } = large;
    println!(
        "| Preparing, tasks, report | {}, {}, {} | |",
        seconds(preparing),
        seconds(tasks),
        seconds(report)
    );
    for (name, at) in [("its first", 0), ("half of its", rows / 2), ("nearly all", rows / 20 * 19)] {
        let (done, ran) = restarted(folder.path(), &many, at);
        println!(
            "| restart to the first invocation after {name} tasks ({done}) | {:.0} ms, 1/{:.0} of Preparing | 1/20 |",
            ran.until_first.as_secs_f64() * 1_000.0,
            preparing.as_secs_f64() / ran.until_first.as_secs_f64()
        );
    }
    println!();
}
