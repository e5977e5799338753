//! `cmd:PROG ARGS`: programs that read one request a line and write one answer a line.
//!
//! A pool keeps at most `concurrency` programs. One that dies, passes the timeout or writes too long a line
//! is killed, and the next request starts another. All are killed when the pool is dropped.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tokio::sync::Semaphore;
use tokio::time::timeout;

pub use super::process::Said;
use super::process::{NoLine, Process};
use super::{Ended, Failure, FailureKind, Handler};
use crate::boxed_future::BoxFuture;
use crate::disk::is_no_handle;
use crate::jobs::answer::ANSWER_MAX;
use crate::jobs::invocation::Invocation;
use crate::lock::lock;
use crate::words::outside_text;

/// Answers of earlier requests that are left out before a program is replaced. Each was written after another
/// one for the same request.
const REPEATED_MAX: u32 = 16;

/// Why a command cannot be used. All of it is wrong usage.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A shell could not split it either.
    #[error("cmd:{0} has a quote that is not closed: close it, or write \\ before it")]
    Quote(String),
    /// Nothing stands there.
    #[error("cmd: names no program: write the program and its arguments after it")]
    Empty,
    /// The program does not start.
    #[error("cannot start {program}: {cause}; give the path of a program that may be run")]
    Start {
        /// The program.
        program: String,
        /// Why.
        cause: io::Error,
    },
    /// The folder in which it runs is gone.
    #[error(
        "cannot start {program} in the folder {}, in which the job was made: {cause}; make the folder again with what the \
         program needs, or make the job again", .folder.display()
    )]
    Folder {
        /// The program.
        program: String,
        /// The folder.
        folder: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl CommandError {
    fn start(program: &str, folder: Option<&Path>, cause: io::Error) -> Self {
        let program = outside_text(program).to_string();
        // The system says the same of a folder that is missing as of a program.
        match folder.filter(|folder| !folder.is_dir()) {
            Some(folder) => Self::Folder { program, folder: folder.to_owned(), cause },
            None => Self::Start { program, cause },
        }
    }
}

/// A pool of programs.
pub struct CommandHandler {
    program: String,
    arguments: Vec<String>,
    /// Where they run; `None`: in the folder of this process.
    folder: Option<PathBuf>,
    timeout: Duration,
    said: Said,
    /// One permit for each program that may run.
    places: Semaphore,
    /// Programs that wait for a request; the one used last is last.
    idle: Mutex<Vec<Idle>>,
    /// This machine had nothing left for another program: the next one that has answered is ended.
    lacks: AtomicBool,
}

debug_fields!(CommandHandler { program, timeout, places });

/// Whether a program does not start because this machine has no file handle, process or memory left for it.
fn is_lack(error: &io::Error) -> bool {
    is_no_handle(error) || matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::OutOfMemory)
}

/// A program between two requests.
struct Idle {
    process: Process,
    /// The ids of the last request, by which an answer that comes late is known.
    last: Option<String>,
}

impl CommandHandler {
    /// A pool of at most `concurrency` programs for the text after `cmd:` that run in `folder`, each of whose answers is waited
    /// for as long as `timeout`. `said` gets the lines of their standard error. It starts the first program,
    /// within a runtime.
    /// Errors: the text names no program, or it cannot be started.
    pub fn start(
        text: &str,
        folder: Option<PathBuf>,
        concurrency: usize,
        timeout: Duration,
        said: Said,
    ) -> Result<Self, CommandError> {
        let mut words =
            shlex::split(text).ok_or_else(|| CommandError::Quote(outside_text(text).to_string()))?;
        if words.is_empty() {
            return Err(CommandError::Empty);
        }
        let program = words.remove(0);
        let process = Process::start(&program, &words, folder.as_deref(), &said)
            .map_err(|cause| CommandError::start(&program, folder.as_deref(), cause))?;
        Ok(Self {
            program,
            arguments: words,
            folder,
            timeout,
            said,
            places: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::new(vec![Idle { process, last: None }]),
            lacks: AtomicBool::new(false),
        })
    }

    async fn send(&self, invocation: &Invocation) -> Ended {
        // The pool is never closed, so there is always a permit in the end.
        let Ok(_place) = self.places.acquire().await else {
            return failed(FailureKind::Unavailable, "the programs of this job have been ended".to_owned());
        };
        let taken = lock(&self.idle).pop();
        let (mut process, last) = match taken {
            Some(Idle { process, last }) => (process, last),
            None => {
                match Process::start(&self.program, &self.arguments, self.folder.as_deref(), &self.said) {
                    Ok(process) => (process, None),
                    Err(error) if is_lack(&error) => {
                        self.lacks.store(true, Ordering::Relaxed);
                        return Ended::Starved;
                    }
                    Err(error) => {
                        let error = CommandError::start(&self.program, self.folder.as_deref(), error);
                        return failed(FailureKind::Unavailable, error.to_string());
                    }
                }
            }
        };
        // A program whose time has passed is dropped here with its exchange, and so killed.
        let Ok(answered) =
            timeout(self.timeout, self.answer(&mut process, invocation, last.as_deref())).await
        else {
            return Ended::Failed(Failure::timed_out(self.timeout));
        };
        match answered {
            Ok(body) => {
                // The job itself needs file handles, too.
                if !self.lacks.swap(false, Ordering::Relaxed) {
                    lock(&self.idle).push(Idle { process, last: Some(invocation.id.clone()) });
                }
                Ended::Answered { status: 200, body }
            }
            Err(NoLine::TooLong) => Ended::TooLarge { status: 200 },
            Err(NoLine::Died(how)) => {
                failed(FailureKind::Died, format!("the program {}: {how}", outside_text(&self.program)))
            }
        }
    }

    /// The program's answer. An answer to its last request, which it had answered before, is left out: it
    /// would be taken for that of this request.
    async fn answer(
        &self,
        process: &mut Process,
        invocation: &Invocation,
        last: Option<&str>,
    ) -> Result<Bytes, NoLine> {
        let mut line = process.exchange(&invocation.body, ANSWER_MAX).await?;
        let mut repeated = 0;
        while last.is_some_and(|last| names(&line, last) && !names(&line, &invocation.id)) {
            repeated += 1;
            (self.said)("the program answered its last request more than once; the first answer counts");
            if repeated > REPEATED_MAX {
                return Err(NoLine::Died("it answers one request again and again".to_owned()));
            }
            line = process.line(ANSWER_MAX).await?;
        }
        Ok(line)
    }
}

impl Handler for CommandHandler {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(self.send(invocation))
    }

    fn rest(&self) {
        lock(&self.idle).clear();
    }
}

fn names(line: &[u8], id: &str) -> bool {
    memmem::find(line, id.as_bytes()).is_some()
}

fn failed(kind: FailureKind, what: String) -> Ended {
    Ended::Failed(Failure::new(kind, what))
}

/// What gets the lines of the programs of a job: the log, with the job's name.
pub fn to_log(job: &str) -> Said {
    let job = job.to_owned();
    Arc::new(move |line| tracing::info!(%job, "{line}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    fn pool(text: &str, concurrency: usize, timeout: Duration) -> (CommandHandler, Arc<Mutex<Vec<String>>>) {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&lines);
        let said: Said = Arc::new(move |line| lock(&kept).push(line.to_owned()));
        (CommandHandler::start(text, None, concurrency, timeout, said).unwrap(), lines)
    }

    fn sh(script: &str) -> String {
        format!("sh -c {}", shlex::try_quote(script).unwrap())
    }

    fn request(id: &str) -> Invocation {
        Invocation {
            id: id.into(),
            task_id: "t".into(),
            body: format!(r#"{{"invocationId":"{id}"}}"#).into(),
        }
    }

    async fn body(handler: &CommandHandler, id: &str) -> String {
        match handler.invoke(&request(id)).await {
            Ended::Answered { status: 200, body } => String::from_utf8(body.to_vec()).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    async fn failure(handler: &CommandHandler, id: &str) -> (FailureKind, String) {
        match handler.invoke(&request(id)).await {
            Ended::Failed(failure) => (failure.kind, failure.what),
            other => panic!("{other:?}"),
        }
    }

    /// Whether a process runs. A zombie does not.
    fn runs(id: &str) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
    }

    async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let so = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, so).await.unwrap_or_else(|_| panic!("not so: {what}"));
    }

    #[tokio::test]
    async fn words_are_split_as_by_a_shell_and_nothing_is_expanded() {
        let script = "import sys\nfor line in sys.stdin: print(sys.argv[1:], flush=True)";
        let text = format!("python3 -c {} 'a b' \"$HOME\" c\\ d *", shlex::try_quote(script).unwrap());
        let (handler, _) = pool(&text, 1, LONG);
        assert_eq!(body(&handler, "1").await, "['a b', '$HOME', 'c d', '*']");
    }

    #[tokio::test]
    async fn what_is_no_program_is_an_error_at_the_start() {
        let said: Said = Arc::new(|_| {});
        let check = |text: &str, words: &str| {
            let error =
                CommandHandler::start(text, None, 1, LONG, Arc::clone(&said)).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        };
        check("", "names no program");
        check("  ", "names no program");
        check("sh -c 'x", "a quote that is not closed");
        check("/no/such/program -x", "cannot start /no/such/program: No such file");
        check("/etc/passwd", "cannot start /etc/passwd: Permission denied");
    }

    #[tokio::test]
    async fn a_program_takes_one_request_after_the_other() {
        let (handler, _) = pool(&sh(r#"n=0; while read l; do n=$((n+1)); echo "$n $l"; done"#), 4, LONG);
        for n in 1..4 {
            let id = format!("id{n}");
            assert_eq!(body(&handler, &id).await, format!(r#"{n} {{"invocationId":"{id}"}}"#));
        }
    }

    #[tokio::test]
    async fn no_more_programs_run_than_may() {
        let (handler, _) = pool(&sh("while read l; do sleep 0.02; echo $$; done"), 3, LONG);
        let handler = Arc::new(handler);
        let mut asked = tokio::task::JoinSet::new();
        for n in 0..30 {
            let handler = Arc::clone(&handler);
            asked.spawn(async move { body(&handler, &format!("invocation-{n}")).await });
        }
        let ids: BTreeSet<String> = asked.join_all().await.into_iter().collect();
        assert_eq!(ids.len(), 3);
        drop(handler);
        until("the programs are killed at the end", || !ids.iter().any(|id| runs(id))).await;
    }

    #[tokio::test]
    async fn a_program_that_dies_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let mark = dir.path().join("mark");
        let script = format!("read l; test -e {0} || {{ touch {0}; exit 3; }}; echo $l", mark.display());
        let (handler, _) = pool(&sh(&script), 1, LONG);
        let (kind, what) = failure(&handler, "1").await;
        assert_eq!((kind, what.contains("exit status: 3")), (FailureKind::Died, true), "{what}");
        assert!(body(&handler, "2").await.contains('2'));
        let (kind, what) = failure(&handler, "3").await;
        assert_eq!((kind, what.contains("exit status: 0")), (FailureKind::Died, true), "{what}");
        assert!(what.contains("the program sh: it has ended") && what.contains("must read lines"), "{what}");
    }

    #[tokio::test]
    async fn a_program_has_ended_even_if_what_it_started_keeps_its_output() {
        let dir = tempfile::tempdir().unwrap();
        let id = dir.path().join("id");
        let script = format!("read l; sleep 3111 & echo $! > {}; exit 3", id.display());
        let (handler, _) = pool(&sh(&script), 1, LONG);
        let (kind, what) = failure(&handler, "1").await;
        assert_eq!((kind, what.contains("exit status: 3")), (FailureKind::Died, true), "{what}");
        let id = std::fs::read_to_string(id).unwrap();
        until("what it started is killed", || !runs(id.trim())).await;
    }

    #[tokio::test]
    async fn an_answer_that_is_not_ended_is_none() {
        let (handler, _) = pool(&sh("read l; printf half"), 1, LONG);
        let (kind, what) = failure(&handler, "1").await;
        assert_eq!(
            (kind, what.contains("end each answer with a newline")),
            (FailureKind::Died, true),
            "{what}"
        );
    }

    #[tokio::test]
    async fn a_program_that_hangs_is_killed_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let ids = dir.path().join("ids");
        let script = format!("echo $$ >> {0}; sh -c 'echo $$ >> {0}; exec sleep 3111'", ids.display());
        let (handler, _) = pool(&sh(&script), 1, Duration::from_secs(1));
        let (kind, what) = failure(&handler, "1").await;
        assert_eq!((kind, what.contains("--task-timeout")), (FailureKind::Timeout, true), "{what}");
        let ids = std::fs::read_to_string(ids).unwrap();
        assert_eq!(ids.lines().count(), 2);
        until("both are killed", || !ids.lines().any(runs)).await;
    }

    #[tokio::test]
    async fn a_second_answer_is_left_out() {
        let (handler, lines) = pool(&sh(r#"while read l; do echo "$l a"; echo "$l b"; done"#), 1, LONG);
        for id in ["one", "two", "three"] {
            assert_eq!(body(&handler, id).await, format!(r#"{{"invocationId":"{id}"}} a"#));
        }
        assert!(lock(&lines).iter().any(|line| line.contains("more than once")));
    }

    #[tokio::test]
    async fn rubbish_is_handed_on_as_it_is() {
        let (handler, _) = pool(&sh("while read l; do echo 'no JSON'; done"), 1, LONG);
        assert_eq!(body(&handler, "1").await, "no JSON");
        assert_eq!(body(&handler, "2").await, "no JSON");
    }

    #[tokio::test]
    async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let id = dir.path().join("id");
        let script = format!("echo $$ > {}; read l; exec cat /dev/zero", id.display());
        let (handler, _) = pool(&sh(&script), 1, LONG);
        assert_eq!(handler.invoke(&request("1")).await, Ended::TooLarge { status: 200 });
        let id = std::fs::read_to_string(id).unwrap();
        until("the program is killed", || !runs(id.trim())).await;
        let (handler, _) = pool(&sh("read l; head -c 6291456 /dev/zero; echo; exec sleep 3111"), 1, LONG);
        assert_eq!(body(&handler, "1").await.len(), ANSWER_MAX, "the longest answer must be taken");
    }

    #[tokio::test]
    async fn standard_error_is_passed_on_by_line() {
        let script = r"printf 'a\033[1m\nb' >&2; head -c 100000 /dev/zero | tr '\0' x >&2; echo >&2; cat";
        let (handler, lines) = pool(&sh(script), 1, LONG);
        assert!(body(&handler, "1").await.contains('1'));
        until("both lines have come", || lock(&lines).len() == 2).await;
        let lines = lock(&lines).clone();
        assert_eq!(lines[0], "a\\u{1b}[1m");
        assert!(lines[1].starts_with("bxxx") && lines[1].ends_with("x…") && lines[1].len() < 2_010);
    }
}
