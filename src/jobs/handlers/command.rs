//! `cmd:PROG ARGS`: programs that read one request a line and write one answer a line.
//!
//! A pool keeps at most `concurrency` programs. One that dies, passes the timeout or writes too long a line
//! is killed, and the next request starts another. One that ended while it waited for a request is replaced
//! within the same try. All are killed when the pool is dropped.
//!
//! A program may also write lines that are no answers. What it has written before a request is dropped. A
//! line that does not have the id of the invocation is the answer only if no other one with it follows at
//! once. Such a program gets no other request: what it still writes would be taken for the next answer.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use memchr::memmem;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::process::{NoLine, Process};
pub use super::process::{Said, Surroundings};
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
/// How long an answer is waited for after a line that is none: a program that does not flush each line writes
/// such lines together with its next answer.
const STRAY_WAIT: Duration = Duration::from_millis(200);
/// What an answer must be, in the message of one that is not.
const FORM: &str = "answer with one JSON object on one line; print anything else to standard error";

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
    around: Surroundings,
    timeout: Duration,
    said: Said,
    /// One permit for each program that may run.
    places: Semaphore,
    /// Programs that wait for a request; the one used last is last.
    idle: Mutex<Vec<Idle>>,
    /// This machine had nothing left for another program: the next one that has answered is ended.
    lacks: AtomicBool,
    /// A line that is no answer was reported: once is enough.
    has_told: AtomicBool,
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
    /// A pool of at most `concurrency` programs for the text after `cmd:`, each of whose answers is waited
    /// for as long as `timeout`. `said` gets the lines of their standard error. It starts the first program,
    /// within a runtime.
    /// Errors: the text names no program, or it cannot be started.
    pub fn start(
        text: &str,
        around: Surroundings,
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
        let process = Process::start(&program, &words, &around, &said)
            .map_err(|cause| CommandError::start(&program, around.folder.as_deref(), cause))?;
        Ok(Self {
            program,
            arguments: words,
            around,
            timeout,
            said,
            places: Semaphore::new(concurrency.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::new(vec![Idle { process, last: None }]),
            lacks: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        })
    }

    async fn send(&self, invocation: &Invocation) -> Ended {
        // The pool is never closed, so there is always a permit in the end.
        let Ok(_place) = self.places.acquire().await else {
            return failed(FailureKind::Unavailable, "the programs of this job have been ended".to_owned());
        };
        // A program whose time has passed is dropped here with its exchange, and so killed.
        let tried = timeout(self.timeout, self.one_try(invocation)).await;
        tried.unwrap_or_else(|_| Ended::Failed(Failure::timed_out(self.timeout)))
    }

    /// Asks a program that waits, or a new one. One that waited may have been about to end: if it has not
    /// read the request, a new one gets it, and the task has lost no try.
    async fn one_try(&self, invocation: &Invocation) -> Ended {
        let mut waiting = self.waiting();
        loop {
            let is_new = waiting.is_none();
            let Idle { mut process, last } = match waiting.take().map_or_else(|| self.started(), Ok) {
                Ok(program) => program,
                Err(ended) => return ended,
            };
            match self.answer(&mut process, invocation, last.as_deref()).await {
                Ok(body) => {
                    // The job itself needs file handles, too.
                    let has_room = !self.lacks.swap(false, Ordering::Relaxed);
                    if has_room && names(&body, &invocation.id) {
                        lock(&self.idle).push(Idle { process, last: Some(invocation.id.clone()) });
                    }
                    return Ended::Answered { status: 200, body };
                }
                Err(NoLine::NotTaken(_)) if !is_new => {}
                Err(NoLine::TooLong) => return Ended::TooLarge { status: 200 },
                Err(NoLine::Died(how) | NoLine::NotTaken(how)) => {
                    let program = outside_text(&self.program);
                    return failed(FailureKind::Died, format!("the program {program}: {how}"));
                }
            }
        }
    }

    /// A program that waits for a request and still runs.
    fn waiting(&self) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        loop {
            let mut last = idle.pop()?;
            if !last.process.has_ended() {
                return Some(last);
            }
        }
    }

    /// Another program.
    fn started(&self) -> Result<Idle, Ended> {
        match Process::start(&self.program, &self.arguments, &self.around, &self.said) {
            Ok(process) => Ok(Idle { process, last: None }),
            Err(error) if is_lack(&error) => {
                self.lacks.store(true, Ordering::Relaxed);
                Err(Ended::Starved)
            }
            Err(error) => {
                let error = CommandError::start(&self.program, self.around.folder.as_deref(), error);
                Err(failed(FailureKind::Unavailable, error.to_string()))
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
        let unasked = process.drop_unasked()?;
        if last.is_some_and(|last| names(&unasked, last)) {
            self.tell_of_repeated();
        } else if !unasked.is_empty() {
            self.tell_of_stray();
        }
        let mut line = process.exchange(&invocation.body, ANSWER_MAX).await?;
        let mut repeated = 0;
        while last.is_some_and(|last| names(&line, last) && !names(&line, &invocation.id)) {
            repeated += 1;
            self.tell_of_repeated();
            if repeated > REPEATED_MAX {
                return Err(NoLine::Died("it answers one request again and again".to_owned()));
            }
            line = process.line(ANSWER_MAX).await?;
        }
        if !names(&line, &invocation.id)
            && let Ok(Some(answer)) = timeout(STRAY_WAIT, next_answer(process, &invocation.id)).await
        {
            self.tell_of_stray();
            line = answer;
        }
        Ok(line)
    }

    fn tell_of_repeated(&self) {
        (self.said)("the program answered its last request more than once; the first answer counts");
    }

    fn tell_of_stray(&self) {
        if !self.has_told.swap(true, Ordering::Relaxed) {
            (self.said)(
                "the program wrote a line that is no answer to a request: it is left out, as others will be; print what \
                 is no answer to standard error",
            );
        }
    }
}

/// The next line that begins as an answer with this id, if one follows.
async fn next_answer(process: &mut Process, id: &str) -> Option<Bytes> {
    for _ in 0..REPEATED_MAX {
        let line = process.line(ANSWER_MAX).await.ok()?;
        if names(&line, id) && line.trim_ascii_start().starts_with(b"{") {
            return Some(line);
        }
    }
    None
}

impl Handler for CommandHandler {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(self.send(invocation))
    }

    fn answer_form(&self) -> Option<&'static str> {
        Some(FORM)
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
        let around = Surroundings::default();
        (CommandHandler::start(text, around, concurrency, timeout, said).unwrap(), lines)
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
            let around = Surroundings::default();
            let error =
                CommandHandler::start(text, around, 1, LONG, Arc::clone(&said)).unwrap_err().to_string();
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
        let (handler, _) = pool(&sh(r#"while read l; do sleep 0.02; echo "$$ $l"; done"#), 3, LONG);
        let handler = Arc::new(handler);
        let mut asked = tokio::task::JoinSet::new();
        for n in 0..30 {
            let handler = Arc::clone(&handler);
            asked.spawn(async move {
                let body = body(&handler, &format!("invocation-{n}")).await;
                body.split(' ').next().unwrap().to_owned()
            });
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
        assert!(
            !what.contains("must read lines") && what.contains("nothing to its standard error"),
            "{what}"
        );
        assert!(body(&handler, "2").await.contains('2'));
        let (handler, _) = pool(&sh("read l"), 1, LONG);
        let (kind, what) = failure(&handler, "3").await;
        assert_eq!((kind, what.contains("exit status: 0")), (FailureKind::Died, true), "{what}");
        assert!(what.contains("the program sh: it has ended") && what.contains("must read lines"), "{what}");
    }

    #[tokio::test]
    async fn a_program_that_ends_after_its_answer_costs_no_try() {
        let (handler, _) = pool(&sh(r#"read l; echo "$l""#), 1, LONG);
        for n in 0..12 {
            let id = format!("id{n}");
            assert_eq!(body(&handler, &id).await, format!(r#"{{"invocationId":"{id}"}}"#));
        }
        // This one still runs when it gets the second request, and ends without having read it.
        let (handler, _) = pool(&sh(r#"read l; echo "$l"; sleep 0.2"#), 1, LONG);
        assert!(body(&handler, "one").await.contains("one"));
        assert!(body(&handler, "two").await.contains("two"));
    }

    #[tokio::test]
    async fn a_program_that_fails_is_reported_with_the_last_line_of_its_standard_error() {
        let (handler, _) = pool(&sh("read l; echo first >&2; echo no such bucket >&2; exit 7"), 1, LONG);
        let (kind, what) = failure(&handler, "1").await;
        assert_eq!(kind, FailureKind::Died);
        assert!(
            what.contains("exit status: 7") && what.ends_with("standard error: no such bucket"),
            "{what}"
        );
    }

    #[tokio::test]
    async fn a_line_beside_the_answer_is_not_the_answer_of_the_next_task() {
        let after = r#"while read l; do echo "{\"answer\":$l}"; echo done; done"#;
        let before = r#"while read l; do printf 'done\n%s\n' "{\"answer\":$l}"; done"#;
        for script in [after, before] {
            let (handler, lines) = pool(&sh(script), 1, LONG);
            for n in 0..12 {
                let id = format!("id{n}");
                let expected = format!(r#"{{"answer":{{"invocationId":"{id}"}}}}"#);
                assert_eq!(body(&handler, &id).await, expected, "{script}");
            }
            let told = lock(&lines).iter().filter(|line| line.contains("no answer to a request")).count();
            assert_eq!(told, 1, "{script}");
        }
    }

    #[tokio::test]
    async fn an_answer_of_several_lines_fails_its_task_alone() {
        let script = r#"read l; printf '{\n "invocationId": "%s"\n}\n' "$l"; read l; echo "$l""#;
        let (handler, _) = pool(&sh(script), 1, LONG);
        for id in ["one", "two"] {
            assert_eq!(body(&handler, id).await, "{");
        }
        assert!(handler.answer_form().is_some_and(|form| form.contains("one JSON object on one line")));
    }

    #[tokio::test]
    async fn programs_have_the_variables_that_they_are_given() {
        let script = r#"while read l; do echo "$l $GIVEN ${HOME-none}"; done"#;
        let variables = vec![("GIVEN", Some("a b".to_owned())), ("HOME", None)];
        let around = Surroundings { variables, ..Surroundings::default() };
        let handler = CommandHandler::start(&sh(script), around, 1, LONG, Arc::new(|_| {})).unwrap();
        assert!(body(&handler, "1").await.ends_with("a b none"));
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
