//! A process on cores of its own, and what the kernel says of it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How long the kernel counts a process's time in.
const TICKS_PER_SECOND: u64 = 100;
/// What makes the kernel count a process's peak of memory from now on.
const RESET_PEAK: &str = "5";

/// Runs `body` on these cores; what it starts (threads, processes) stays there, what runs afterwards does not.
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

/// A process that ends with this value.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Process {
    /// Starts `command` on cores.
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
        panic!("it ended before it said where its {name} is");
    }

    /// CPU time that it has used, user and system, all threads.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = self.told("stat");
        // The name may hold spaces; the fields behind it do not. User and system time are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND)
    }

    /// The most memory that it has had, in bytes, since its start or [`Self::reset_peak_rss`].
    pub(crate) fn peak_rss(&self) -> u64 {
        number_after(&self.told("status"), "VmHWM:") * 1_024
    }

    /// Lets [`Self::peak_rss`] begin anew.
    pub(crate) fn reset_peak_rss(&self) {
        std::fs::write(self.about("clear_refs"), RESET_PEAK).expect("a kernel that counts peaks anew");
    }

    fn about(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.child.id())
    }

    fn told(&self, file: &str) -> String {
        std::fs::read_to_string(self.about(file)).expect("what the kernel says of it")
    }
}

fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && let Err(error) = kill_process(pid, Signal::KILL)
        {
            eprintln!("it has ended already: {error}");
        }
        if let Err(error) = self.child.wait() {
            eprintln!("it could not be waited for: {error}");
        }
    }
}
