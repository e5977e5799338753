//! Attaches strace to the running program: records its system calls, and can make them fail.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::forebay::Forebay;
use crate::support::tools::{on_path, skipped};

/// The time limit for strace to attach.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(20);
/// The time limit for strace to end, after the program or when it is asked to.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// strace, attached to a program. On drop it is killed; the program continues.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    record: PathBuf,
}

impl Tracer {
    /// Attaches to all threads, with arguments that select the calls. `None`, with a message, if that is not
    /// allowed here.
    pub(crate) async fn attach(
        forebay: &Forebay,
        folder: &Path,
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Option<Self> {
        let strace = on_path("strace")?;
        let record = folder.join("strace");
        let mut command = Command::new(strace);
        command.args(["-f", "-p", &forebay.pid().as_raw_nonzero().to_string(), "-o"]).arg(&record);
        command.args(arguments);
        let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().expect("strace starts");
        let mut said = BufReader::new(child.stderr.take().expect("standard error")).lines();
        let attached = async {
            let mut all = String::new();
            while let Ok(Some(line)) = said.next_line().await {
                all.push_str(&line);
                if line.contains("attached") && !line.contains("Could not") {
                    return Ok(());
                }
            }
            Err(all)
        };
        match timeout(ATTACH_TIMEOUT, attached).await.expect("strace attaches or reports why not") {
            Ok(()) => {
                // Later output must not fill the pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
                Some(Self { child, record })
            }
            Err(said) => {
                skipped(&format!("strace cannot be attached here: {said}"));
                None
            }
        }
    }

    /// Detaches; the program continues. A signal sent to a program whose tracer is about to die may be lost:
    /// the kernel has handed it to the tracer.
    pub(crate) async fn detach(mut self) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        kill_process(id.expect("a running strace"), Signal::TERM).expect("strace is told to end");
        let ended = timeout(END_TIMEOUT, self.child.wait()).await;
        ended.expect("strace detaches").expect("its exit status");
    }

    /// The number of calls failed on purpose so far.
    pub(crate) fn strikes(&self) -> usize {
        fs::read_to_string(&self.record).unwrap_or_default().matches("(INJECTED)").count()
    }

    /// The whole trace of a program that has ended.
    pub(crate) async fn record(mut self) -> String {
        let ended = timeout(END_TIMEOUT, self.child.wait()).await;
        ended.expect("strace ends with the program").expect("its exit status");
        fs::read_to_string(&self.record).expect("strace's output")
    }
}
