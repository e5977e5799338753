//! Writes the log from one thread, so that tasks that log neither wait for standard error nor see its errors.
//!
//! `tracing-appender` does the same, but it bounds no bytes and ignores write errors. Its guard prints to
//! standard output or error if the queue is stuck at exit, so it may wait forever or panic.

use std::convert::Infallible;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, ThreadId};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use super::SystemClock;
use super::log_queue::{Dropped, LogQueue};
use crate::lock::{lock, wait_while, wait_while_at_most};
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::tasks::{Panicked, RESTARTS, caught_now};
use crate::time::Clock;

/// A log whose lines are written by a thread of its own. Cheap to clone; clones share the log.
#[derive(Clone, Debug)]
pub struct LogWriter {
    line: Arc<Line>,
    /// The writing thread: only this thread logs the report of dropped lines.
    thread: ThreadId,
}

#[derive(Debug)]
struct Line {
    waiting: Mutex<Waiting>,
    /// A line was added.
    came: Condvar,
    /// All lines are written or dropped.
    done: Condvar,
    clock: SystemClock,
}

#[derive(Debug, Default)]
struct Waiting {
    queue: LogQueue,
    /// The thread has taken a line and is not done with it.
    writing: bool,
}

impl LogWriter {
    /// Writes to `file`. `report` logs how many lines were dropped, once the log can be written again.
    /// Errors: the thread cannot be started.
    pub fn start(file: File, report: fn(Dropped)) -> io::Result<Self> {
        let line = Arc::new(Line {
            waiting: Mutex::default(),
            came: Condvar::new(),
            done: Condvar::new(),
            clock: SystemClock::new(),
        });
        let lines = Arc::clone(&line);
        let output = Output { to: file, has_room, torn: false };
        let thread =
            thread::Builder::new().name("log".into()).spawn(move || lines.keep_writing(output, report))?;
        Ok(Self { line, thread: thread.thread().id() })
    }

    /// Writes to standard error. It uses a handle of its own, so a holder of the lock of [`io::stderr`]
    /// cannot block it. Errors: no handle or no thread is left.
    pub fn to_stderr(report: fn(Dropped)) -> io::Result<Self> {
        Self::start(File::from(io::stderr().as_fd().try_clone_to_owned()?), report)
    }

    /// Adds a line. It never waits and never fails: if the queue is full, the line is dropped and counted.
    pub fn add(&self, line: &[u8]) {
        let now = self.line.clock.wall();
        let mut waiting = self.line.lock();
        if thread::current().id() == self.thread {
            waiting.queue.push_report(line);
        } else {
            waiting.queue.push(line, now);
        }
        drop(waiting);
        self.line.came.notify_one();
    }

    /// Waits until all lines are written or dropped, but at most `at_most`, because standard error may not be
    /// read.
    pub fn flush(&self, at_most: Duration) {
        let busy = |waiting: &mut Waiting| waiting.writing || !waiting.queue.is_empty();
        drop(wait_while_at_most(&self.line.done, self.line.lock(), at_most, busy));
    }

    /// Lines dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.line.lock().queue.dropped()
    }
}

impl Line {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        lock(&self.waiting)
    }

    /// Writes forever. After a panic it continues with the next line, because nothing else would notice that
    /// the log is dead.
    fn keep_writing(&self, mut output: Output<File>, report: fn(Dropped)) {
        loop {
            let Err(Panicked) = caught_now(|| self.write_to(&mut output, report));
            let mut waiting = self.lock();
            if waiting.writing {
                waiting.queue.count_dropped(self.clock.wall());
            }
            drop(waiting);
            // If every line panics, the loop must not use up a core.
            thread::sleep(RESTARTS.first);
        }
    }

    fn write_to(&self, output: &mut Output<File>, report: fn(Dropped)) -> Infallible {
        loop {
            let line = self.take();
            panic_if_planted(PlantedPanic::Log);
            let written = output.write(&line);
            let mut waiting = self.lock();
            let dropped = match written {
                Ok(()) => waiting.queue.written(),
                Err(_) => {
                    waiting.queue.count_dropped(self.clock.wall());
                    None
                }
            };
            drop(waiting);
            dropped.into_iter().for_each(report);
        }
    }

    /// The next line, once there is one.
    fn take(&self) -> Vec<u8> {
        let mut waiting = self.lock();
        waiting.writing = false;
        loop {
            if let Some(line) = waiting.queue.pop() {
                waiting.writing = true;
                return line;
            }
            self.done.notify_all();
            waiting = wait_while(&self.came, waiting, |waiting| waiting.queue.is_empty());
        }
    }
}

/// Where lines go.
struct Output<W> {
    to: W,
    /// Waits until a write would not block. `false` if waiting is impossible.
    has_room: fn(&W) -> bool,
    /// The last line was written in part.
    torn: bool,
}

impl<W: Write> Output<W> {
    /// Writes a line; after a torn one, on a new line.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        if self.torn {
            self.write_all(b"\n")?;
        }
        self.write_all(line)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.to.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Another process that shares the pipe may have made it non-blocking; a full pipe is not a
                // broken one.
                Err(error) if error.kind() == ErrorKind::WouldBlock && (self.has_room)(&self.to) => {}
                Err(error) => return Err(error),
            }
            self.torn = !rest.is_empty();
        }
        Ok(())
    }
}

/// Waits until `file` can take more. `false` if waiting is impossible.
fn has_room(file: &File) -> bool {
    loop {
        match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Read};

    use super::super::log_queue::LINES_MAX;
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn pipe() -> (io::PipeReader, File) {
        let (reader, writer) = io::pipe().unwrap();
        (reader, File::from(std::os::fd::OwnedFd::from(writer)))
    }

    #[test]
    fn lines_come_in_order_and_a_flush_waits_for_them() {
        let (reader, file) = pipe();
        let log = LogWriter::start(file, |_| ()).unwrap();
        let numbers = 0..1_000_u32;
        numbers.clone().for_each(|number| log.add(format!("{number}\n").as_bytes()));
        log.flush(SOON);
        assert_eq!(log.dropped(), 0);
        let lines = BufReader::new(reader).lines().take(1_000);
        assert!(lines.map(|line| line.unwrap()).eq(numbers.map(|number| number.to_string())));
    }

    #[test]
    fn an_unread_pipe_delays_no_one() {
        let (mut reader, file) = pipe();
        let log = LogWriter::start(file, |_| ()).unwrap();
        let line = [b'x'; 200];
        // As many as the pipe can hold, plus as many as the queue can hold, plus more.
        let lines = 1_048_576 / line.len() + LINES_MAX + 1_000;
        (0..lines).for_each(|_| log.add(&line));
        let dropped = log.dropped();
        assert!((1_000..lines as u64).contains(&dropped), "{dropped}");
        log.flush(Duration::from_millis(10));
        // All others arrive once the pipe is read.
        let mut rest = vec![0; (lines - usize::try_from(dropped).unwrap()) * line.len()];
        reader.read_exact(&mut rest).unwrap();
        log.flush(SOON);
        assert_eq!(log.dropped(), dropped);
    }

    #[test]
    fn a_pipe_that_does_not_block_loses_no_line() {
        let (mut reader, file) = pipe();
        rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::NONBLOCK).unwrap();
        let log = LogWriter::start(file, |_| ()).unwrap();
        let mut sent = Vec::new();
        for number in 0..2_000 {
            let line = format!("{number:0200}\n");
            sent.extend_from_slice(line.as_bytes());
            log.add(line.as_bytes());
        }
        let mut came = vec![0; sent.len()];
        reader.read_exact(&mut came).unwrap();
        assert_eq!((came == sent, log.dropped()), (true, 0));
    }

    #[test]
    fn an_unwritable_line_is_counted_and_the_next_one_is_tried() {
        let (reader, file) = pipe();
        drop(reader);
        let log = LogWriter::start(file, |_| ()).unwrap();
        for lines in 1..=3 {
            log.add(b"x\n");
            log.flush(SOON);
            assert_eq!(log.dropped(), lines);
        }
    }

    /// Accepts the given number of bytes, then is full.
    struct Room(usize, Vec<u8>);

    impl Write for Room {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            if taken == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.0 -= taken;
            self.1.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_after_a_torn_one_begins_a_new_line() {
        let mut output = Output { to: Room(6, Vec::new()), has_room: |_| false, torn: false };
        assert!(output.write(b"one\n").is_ok());
        assert!(output.write(b"two\n").is_err(), "half of it");
        assert!(output.write(b"three\n").is_err(), "nothing of it");
        output.to.0 = 100;
        assert!(output.write(b"four\n").is_ok());
        assert!(output.write(b"five\n").is_ok());
        assert_eq!(String::from_utf8(output.to.1).unwrap(), "one\ntw\nfour\nfive\n");
    }
}
