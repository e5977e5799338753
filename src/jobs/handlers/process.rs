//! One running program: a line in, a line out.

use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::{Errno, ioctl_fionread};
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::lock::lock;
use crate::process_group::ProcessGroup;
use crate::words::outside_text_within;

/// The longest line of standard error that is passed on, in bytes. The rest of a longer line is left out.
const ERROR_LINE_MAX: usize = 2_000;
/// How much of the last line of standard error a failure quotes, in bytes.
const LAST_LINE_MAX: usize = 400;
/// Bytes that a program may write between two requests. One that writes more is replaced.
const UNASKED_MAX: usize = 64 * 1_024;
/// How long the end of a program is waited for once it has closed its output.
const END_WAIT: Duration = Duration::from_millis(500);

/// What gets each line that a program writes to its standard error, safe for one line.
pub type Said = Arc<dyn Fn(&str) + Send + Sync>;

/// Where programs run, and the variables in which their environment differs from that of this process: a
/// value, or `None` for one that they do not have.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// Their folder; `None`: that of this process.
    pub folder: Option<PathBuf>,
    /// The variables.
    pub variables: Vec<(&'static str, Option<String>)>,
}

/// Why a program gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// It ended before it read the whole request, and how: another program may get the request.
    NotTaken(String),
    /// It ended, or closed its output, and how.
    Died(String),
    /// Its line is longer than it may be.
    TooLong,
}

/// A running program. Dropping it kills the program and what it started in its process group.
pub(super) struct Process {
    // It is dropped first: as long as the program is not waited for, the id of its group belongs to nobody
    // else.
    group: ProcessGroup,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// Passes on standard error. It ends when the process is dropped.
    errors: JoinSet<()>,
    /// The last line of standard error.
    last_said: Arc<Mutex<String>>,
}

debug_fields!(Process { child });

impl Process {
    /// Starts a program without a shell. Errors: it cannot be started.
    pub(super) fn start(
        program: &str,
        arguments: &[String],
        around: &Surroundings,
        said: &Said,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        around.folder.iter().for_each(|folder| _ = command.current_dir(folder));
        for (name, value) in &around.variables {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let group = ProcessGroup::of(&child);
        let (Some(input), Some(output), Some(errors)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("its standard streams are missing"));
        };
        let last_said = Arc::<Mutex<String>>::default();
        let keep: Said = {
            let (last, said) = (Arc::clone(&last_said), Arc::clone(said));
            Arc::new(move |line| {
                line.clone_into(&mut lock(&last));
                said(line);
            })
        };
        let mut passing = JoinSet::new();
        passing.spawn(pass_on(errors, keep));
        Ok(Self { group, child, input, output: BufReader::new(output), errors: passing, last_said })
    }

    /// Whether the program has ended. What it left running is killed then.
    pub(super) fn has_ended(&mut self) -> bool {
        let has_ended = !matches!(self.child.try_wait(), Ok(None));
        if has_ended {
            // Its id has just become free, and belongs to nobody else yet.
            self.group.kill();
        }
        has_ended
    }

    /// Drops what the program has written since its last answer, and returns it. Errors: it writes on and on.
    pub(super) fn drop_unasked(&mut self) -> Result<Vec<u8>, NoLine> {
        let mut dropped = self.output.buffer().to_vec();
        self.output.consume(dropped.len());
        let mut piece = [0; 4_096];
        while dropped.len() < UNASKED_MAX {
            // The pipe itself is read: whether it is known to be readable depends on when that was looked at
            // last.
            match rustix::io::read(self.output.get_ref(), &mut piece) {
                Err(Errno::INTR) => {}
                // Its end, and an error, are found by the next request.
                Ok(0) | Err(_) => return Ok(dropped),
                Ok(read) => dropped.extend_from_slice(piece.get(..read).unwrap_or_default()),
            }
        }
        Err(NoLine::NotTaken("it writes on and on without a request".to_owned()))
    }

    /// Writes a line and reads one of at most `most` bytes, without its end. After an error the program
    /// cannot be used again, nor after this was dropped half-way.
    pub(super) async fn exchange(&mut self, line: &[u8], most: usize) -> Result<Bytes, NoLine> {
        let mut whole = Vec::with_capacity(line.len() + 1);
        whole.extend_from_slice(line);
        whole.push(b'\n');
        // A program that has ended closes its input: how it ended says more than the broken pipe.
        let written = self.input.write_all(&whole).await;
        if written.is_err() {
            let died = self.died("it must read lines until the end of its input").await;
            return Err(not_taken(died));
        }
        let line = self.line(most).await;
        // A program that was about to end while it got the line has read nothing of it.
        line.map_err(|error| if self.has_unread(whole.len()) { not_taken(error) } else { error })
    }

    /// Whether so many bytes still wait in the program's input. False where the system does not know.
    fn has_unread(&self, bytes: usize) -> bool {
        ioctl_fionread(&self.input).is_ok_and(|unread| unread >= bytes as u64)
    }

    /// Reads the next line. The end of the program is the end of its output, even if what it has started keeps that
    /// open.
    pub(super) async fn line(&mut self, most: usize) -> Result<Bytes, NoLine> {
        let read = {
            let Self { group, child, output, .. } = self;
            let mut reading = pin!(read_line(output, most));
            tokio::select! {
                biased;
                read = &mut reading => read,
                _ = child.wait() => {
                    // Its id has just become free, and belongs to nobody else yet.
                    group.kill();
                    // What it wrote before its end is read.
                    timeout(END_WAIT, reading).await.unwrap_or(Ok(Line::End { is_begun: false }))
                }
            }
        };
        match read {
            Ok(Line::Whole(line)) => Ok(line.into()),
            Ok(Line::TooLong) => Err(NoLine::TooLong),
            Ok(Line::End { is_begun: true }) => {
                Err(self.died("it ended its output within a line: end each answer with a newline").await)
            }
            Ok(Line::End { is_begun: false }) => {
                let what =
                    "it gave no answer: it must read lines until the end of its input, and answer each";
                Err(self.died(what).await)
            }
            Err(error) => Err(self.died(&format!("its output cannot be read: {error}")).await),
        }
    }

    /// What became of a program that does not answer.
    async fn died(&mut self, how: &str) -> NoLine {
        // Its children may keep its output open, but the program itself has nothing more to say.
        let status = timeout(END_WAIT, self.child.wait()).await;
        NoLine::Died(match status {
            Ok(Ok(status)) => {
                self.group.leave_alone();
                match status.success() {
                    true => format!("it has ended ({status}); {how}"),
                    // It has failed: what it must do is not what is wrong.
                    false => format!("it has ended ({status}); {}", self.last_words().await),
                }
            }
            Ok(Err(error)) => format!("it cannot be waited for ({error}); {how}"),
            Err(_) => format!("it still runs, but takes or gives no more lines; {how}"),
        })
    }

    /// The end of what a program that has ended wrote to its standard error.
    async fn last_words(&mut self) -> String {
        // What it has started may keep it open.
        _ = timeout(END_WAIT, self.errors.join_next()).await;
        let last = lock(&self.last_said);
        match last.as_str() {
            "" => "it wrote nothing to its standard error".to_owned(),
            last => {
                format!("the last line of its standard error: {}", outside_text_within(last, LAST_LINE_MAX))
            }
        }
    }
}

/// The request was not read.
fn not_taken(error: NoLine) -> NoLine {
    match error {
        NoLine::Died(how) => NoLine::NotTaken(how),
        other => other,
    }
}

enum Line {
    Whole(Vec<u8>),
    TooLong,
    End { is_begun: bool },
}

/// Reads one line of at most `most` bytes, and no more of a longer one.
async fn read_line(input: &mut (impl AsyncBufRead + Unpin), most: usize) -> io::Result<Line> {
    let mut line = Vec::new();
    loop {
        let there = input.fill_buf().await?;
        if there.is_empty() {
            return Ok(Line::End { is_begun: !line.is_empty() });
        }
        let (piece, used, is_end) = match memchr::memchr(b'\n', there) {
            Some(end) => (there.get(..end).unwrap_or_default(), end + 1, true),
            None => (there, there.len(), false),
        };
        if line.len() + piece.len() > most {
            return Ok(Line::TooLong);
        }
        line.extend_from_slice(piece);
        input.consume(used);
        if is_end {
            return Ok(Line::Whole(line));
        }
    }
}

/// Passes on a program's standard error by line until it ends. A program that says much never waits for a
/// reader.
async fn pass_on(errors: ChildStderr, said: Said) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        let (used, is_end) = match errors.fill_buf().await {
            Ok([]) => break,
            Ok(there) => {
                let end = memchr::memchr(b'\n', there);
                let piece = there.get(..end.unwrap_or(there.len())).unwrap_or_default();
                let room = ERROR_LINE_MAX.saturating_add(4).saturating_sub(line.len()).min(piece.len());
                line.extend_from_slice(piece.get(..room).unwrap_or_default());
                (piece.len() + usize::from(end.is_some()), end.is_some())
            }
            Err(error) => {
                said(&format!("its standard error cannot be read: {error}"));
                break;
            }
        };
        errors.consume(used);
        if is_end {
            say(&said, &mut line);
        }
    }
    if !line.is_empty() {
        say(&said, &mut line);
    }
}

fn say(said: &Said, line: &mut Vec<u8>) {
    let text = String::from_utf8_lossy(line);
    said(&outside_text_within(text.trim_end_matches('\r'), ERROR_LINE_MAX).to_string());
    line.clear();
}
