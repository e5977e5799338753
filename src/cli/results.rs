//! Standard output of commands that print a result and end.

use std::io::{self, ErrorKind, Stdout, Write};

/// Standard output, to which a result is printed. Output that nobody reads any more
/// (`forebay verify … | head -1`) is discarded, so the command ends quietly, and with the exit code of its
/// work.
///
/// Commands that print for long do not use this type: they should end when their reader leaves.
#[derive(Debug)]
pub struct Results<W = Stdout> {
    out: W,
    unread: bool,
}

impl Results {
    /// Results on the standard output of this process.
    pub fn of_process() -> Self {
        Self::to(io::stdout())
    }
}

impl<W: Write> Results<W> {
    fn to(out: W) -> Self {
        Self { out, unread: false }
    }

    /// `done`, unless it failed because the reader has left: then `discarded`.
    fn unless_unread<T>(&mut self, done: io::Result<T>, discarded: T) -> io::Result<T> {
        match done {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.unread = true;
                Ok(discarded)
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Results<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unread {
            return Ok(bytes.len());
        }
        let done = self.out.write(bytes);
        self.unless_unread(done, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unread {
            return Ok(());
        }
        let done = self.out.flush();
        self.unless_unread(done, ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_who_leaves_is_no_error_and_gets_nothing_more() {
        let (reader, writer) = io::pipe().unwrap();
        let mut results = Results::to(writer);
        results.write_all(b"read").unwrap();
        assert!(!results.unread);
        drop(reader);
        results.write_all(b"not read").unwrap();
        assert!(results.unread);
        results.write_all(b"nor this").unwrap();
        results.flush().unwrap();
    }

    #[test]
    fn another_error_stays_one() {
        let mut full = Results::to(io::Cursor::new([0; 2]));
        assert_eq!(full.write_all(b"abc").unwrap_err().kind(), ErrorKind::WriteZero);
    }
}
