//! A process pinned to cores, and its usage according to the kernel.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The unit in which the kernel counts a process's time.
const TICKS_PER_SECOND: u64 = 100;
/// Written to `clear_refs`, it makes the kernel restart its count of peak memory.
const RESET_PEAK: &str = "5";

/// Runs `body` on these cores. Threads and processes that it starts stay there; later ones do not.
pub(crate) fn on_cores<T>(cores: &[usize], body: impl FnOnce() -> T) -> T {
    let before = sched_getaffinity(None).expect("this thread's cores");
    let mut only = CpuSet::new();
    for core in cores {
        only.set(*core);
    }
    sched_setaffinity(None, &only).expect("to be pinned to cores: the bench needs two");
    let done = body();
    sched_setaffinity(None, &before).expect("this thread's cores again");
    done
}

/// A process that is killed when this value is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `command` on these cores.
    pub(crate) fn start(cores: &[usize], command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = on_cores(cores, || command.spawn()).expect("the program starts");
        let out = BufReader::new(child.stdout.take().expect("its standard output"));
        Self { child, out }
    }

    /// The address that it prints under `name`.
    pub(crate) fn address(&mut self, name: &str) -> SocketAddr {
        let mut line = String::new();
        while self.out.read_line(&mut line).expect("its standard output") > 0 {
            if let Some((said, address)) = line.trim_end().split_once(" http://")
                && said == name
            {
                return address.parse().expect("an address");
            }
            line.clear();
        }
        panic!("the process ended before it printed the address of {name}");
    }

    /// The CPU time that it has used: user and system, all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.told("stat");
        // The name may contain spaces; the fields after it do not. User and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// The peak of its resident memory, in bytes, since its start or [`Self::reset_peak_rss`].
    pub(crate) fn peak_rss(&self) -> u64 {
        number_after(&self.told("status"), "VmHWM:") * 1_024
    }

    /// Restarts the count of [`Self::peak_rss`].
    pub(crate) fn reset_peak_rss(&self) {
        std::fs::write(self.about("clear_refs"), RESET_PEAK).expect("a kernel that can reset peaks");
    }

    fn about(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    /// What the kernel says of it in one of its files.
    pub(crate) fn told(&self, file: &str) -> String {
        std::fs::read_to_string(self.about(file)).expect("a readable file in /proc")
    }
}

/// The number after a name at the beginning of a line.
pub(crate) fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; it is awaited in either case.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            eprintln!("the process has already ended: {error}");
        }
        if let Err(error) = self.child.wait() {
            eprintln!("cannot wait for the process: {error}");
        }
    }
}
