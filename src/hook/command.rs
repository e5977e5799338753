//! Runs a command for each closed day.

use std::fmt;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStderr;
use tokio::time::timeout;

use crate::delivery::ClosedDay;
use crate::process_group::ProcessGroup;
use crate::words::{date, outside_text};

/// Bytes of the command's standard error to keep.
const COMPLAINT_MAX: usize = 4_096;
/// How long standard error is read after the command's end: processes that it left running may keep it open
/// for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A command and its arguments, started without a shell.
#[derive(Clone, Debug)]
pub struct Command {
    program: String,
    arguments: Vec<String>,
}

impl Command {
    /// A program and its arguments; `None` without a program.
    pub fn new(words: &[String]) -> Option<Self> {
        let (program, arguments) = words.split_first()?;
        Some(Self { program: program.clone(), arguments: arguments.to_vec() })
    }

    /// Runs the command, with the message on its standard input and the day in its environment. Only exit
    /// code 0 means success. When dropped, this kills the command and everything that it started in its
    /// process group.
    pub(super) async fn call(&self, day: &ClosedDay, message: &[u8]) -> Result<(), String> {
        let mut child = tokio::process::Command::new(&self.program)
            .args(&self.arguments)
            .env("FOREBAY_SOURCE", day.marker.source.as_str())
            .env("FOREBAY_DAY", day.marker.day.to_string())
            .env("FOREBAY_DATE", date(day.marker.day))
            .env("FOREBAY_BUCKET", day.bucket.to_string())
            .env("FOREBAY_KEY", day.key.as_str())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("cannot start: {error}"))?;
        let mut group = ProcessGroup::of(&child);
        let (input, complaint) = (child.stdin.take(), child.stderr.take());
        let write = async {
            // A command that does not want the message may close its standard input.
            if let Some(mut input) = input
                && let Err(error) = input.write_all(message).await
            {
                tracing::debug!(%error, "the command does not read its standard input");
            }
        };
        let mut said = Vec::new();
        let status = {
            let read = keep(complaint, &mut said);
            let wait = async {
                let status = child.wait().await;
                if status.is_ok() {
                    group.leave_alone();
                }
                status
            };
            let end = async { tokio::join!(write, wait).1 };
            tokio::pin!(read, end);
            let mut reads = true;
            let status = loop {
                tokio::select! {
                    status = &mut end => break status,
                    () = &mut read, if reads => reads = false,
                }
            };
            if reads && timeout(LAST_WORDS, read).await.is_err() {
                tracing::debug!(
                    command = %self.program,
                    "the command has ended, but something keeps its standard error open"
                );
            }
            status.map_err(|error| error.to_string())?
        };
        let said = String::from_utf8_lossy(&said);
        match (status.success(), said.trim()) {
            (true, _) => Ok(()),
            (false, "") => Err(format!("failed with {status}")),
            (false, said) => Err(format!("failed with {status}: {}", outside_text(said))),
        }
    }
}

/// Reads to the end, so that the writer never blocks or fails, and keeps the beginning.
async fn keep(complaint: Option<ChildStderr>, said: &mut Vec<u8>) {
    let Some(mut complaint) = complaint else { return };
    let mut piece = [0; 1_024];
    loop {
        match complaint.read(&mut piece).await {
            Ok(0) => return,
            Ok(length) => {
                let room = COMPLAINT_MAX.saturating_sub(said.len()).min(length);
                said.extend_from_slice(piece.get(..room).unwrap_or_default());
            }
            Err(error) => {
                tracing::debug!(%error, "cannot read the standard error of the command");
                return;
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command {}", self.program)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tokio::task::JoinSet;

    use super::*;
    use crate::delivery::DayHook as _;
    use crate::hook::{COMMANDS_MAX, Hooks};
    use crate::object::closed_marker::VERSION;
    use crate::object::{BucketString, ClosedMarker};
    use crate::runtime::SystemClock;
    use crate::sources::SourceId;
    use crate::time::{Clock as _, UnixMillis};

    fn day() -> ClosedDay {
        let bucket = BucketString::parse("lake/raw").unwrap();
        let marker = ClosedMarker {
            version: VERSION,
            source: SourceId::new("web").unwrap(),
            day: UnixMillis(1_432_684_812_345).day(),
            node: "n1".into(),
            spool: "0123456789abcdef0123456789abcdef".into(),
            streams: BTreeMap::new(),
            previous_day: None,
            repeats_within: None,
        };
        ClosedDay { key: marker.key(&bucket), bucket, marker }
    }

    async fn sh(script: &str) -> Result<(), String> {
        let words = ["sh", "-c", script].map(str::to_owned);
        Command::new(&words).unwrap().call(&day(), b"{}").await
    }

    #[tokio::test]
    async fn only_exit_code_0_means_success() {
        assert_eq!(sh("test \"$FOREBAY_SOURCE $FOREBAY_DATE $(cat)\" = 'web 2015-05-27 {}'").await, Ok(()));
        assert_eq!(sh("exit 3").await, Err("failed with exit status: 3".into()));
        assert_eq!(
            sh("echo no such table >&2; exit 1").await.unwrap_err(),
            "failed with exit status: 1: no such table"
        );
        let missing = Command::new(&["/no/such/program".to_owned()]).unwrap();
        assert!(missing.call(&day(), b"{}").await.unwrap_err().starts_with("cannot start: "));
    }

    #[tokio::test]
    async fn a_command_may_write_much_to_its_outputs() {
        assert_eq!(sh("head -c 300000 /dev/zero >&2 && head -c 300000 /dev/zero").await, Ok(()));
        let why = sh("head -c 100000 /dev/zero >&2; exit 1").await.unwrap_err();
        assert!(why.len() < 400, "{why}");
    }

    #[tokio::test]
    async fn processes_that_a_command_leaves_running_are_not_waited_for() {
        let soon = async |script| timeout(Duration::from_secs(10), sh(script)).await.expect("must not wait");
        assert_eq!(soon("sleep 20 & exit 0").await, Ok(()));
        let why = soon("sleep 20 & echo no >&2; exit 1").await.unwrap_err();
        assert_eq!(why, "failed with exit status: 1: no");
    }

    /// Whether a process runs. A zombie does not.
    fn runs(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    #[tokio::test]
    async fn hanging_commands_are_killed_with_their_children_and_few_run_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        let script = format!("sh -c 'echo $$ >> {}; exec sleep 3111'; true", ids.display());
        let command = Command::new(&["sh", "-c", &script].map(str::to_owned));
        let timeout = Duration::from_secs(1);
        let hooks = Arc::new(Hooks::new(None, command, timeout));
        let clock = SystemClock::new();
        let began = clock.monotonic();
        let mut telling = JoinSet::new();
        for _ in 0..=COMMANDS_MAX {
            let hooks = Arc::clone(&hooks);
            telling.spawn(async move { hooks.call(&day()).await });
        }
        for told in telling.join_all().await {
            assert_eq!(told, Err("command sh: timed out after 1 s".to_owned()));
        }
        let took = clock.monotonic().saturating_sub(began);
        assert!(
            took >= timeout * 2,
            "{took:?}: the last one must wait for a place, and then have its full time"
        );
        let ids = std::fs::read_to_string(ids).unwrap();
        assert_eq!(ids.lines().count(), COMMANDS_MAX + 1);
        let gone = async {
            while ids.lines().any(runs) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone)
            .await
            .expect("what the commands started must be gone");
    }
}
