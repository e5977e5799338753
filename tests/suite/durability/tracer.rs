//! strace at the running program: what it calls is written down, and may be made to fail.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::forebay::Forebay;
use crate::support::tools::{on_path, skipped};

/// Time for strace to attach itself.
const ATTACH_TIMEOUT: Duration = Duration::from_secs(20);
/// Time for strace to end once the program has.
const END_TIMEOUT: Duration = Duration::from_secs(20);

/// strace, attached to a program. Dropped, it is killed; the program goes on.
#[derive(Debug)]
pub(crate) struct Tracer {
    child: Child,
    record: PathBuf,
}

impl Tracer {
    /// Attaches to all threads, with arguments that say what is looked at. `None`, loudly, where that is not allowed here.
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
        match timeout(ATTACH_TIMEOUT, attached).await.expect("strace attaches itself or says why not") {
            Ok(()) => {
                // What it says later must not fill the pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
                Some(Self { child, record })
            }
            Err(said) => {
                skipped(&format!("strace cannot be attached here: {said}"));
                None
            }
        }
    }

    /// Calls that failed so far because they were to.
    pub(crate) fn strikes(&self) -> usize {
        fs::read_to_string(&self.record).unwrap_or_default().matches("(INJECTED)").count()
    }

    /// All that was written down about a program that has ended.
    pub(crate) async fn record(mut self) -> String {
        let ended = timeout(END_TIMEOUT, self.child.wait()).await;
        ended.expect("strace ends with the program").expect("its exit status");
        fs::read_to_string(&self.record).expect("what strace wrote down")
    }
}
