//! A parquet file.
//!
//! - It is read, or refused for a reason. A panic of the library is caught, and no other one happens.
//! - A file that is read to its end has as many rows as it says, and each is one line of JSON.
//! - Rows that follow others which were passed over are the same, and so is a column that is read alone.

use std::io;
use std::panic;
use std::sync::Once;

use bytes::Bytes;
use forebay::convert::{Columns, Row};
use forebay::import::reading::parquet::{ParquetFault, ParquetRows, Ranges, RowRead};
use forebay::tasks::is_panic_expected;
use serde::de::IgnoredAny;

/// A file in memory.
#[derive(Debug)]
struct InMemory(Bytes);

impl Ranges for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        let from = usize::try_from(from).map_err(io::Error::other)?;
        let to =
            from.checked_add(len).filter(|to| *to <= self.0.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(self.0.slice(from..to))
    }

    /// Small, so that columns are read in several pieces.
    fn piece_bytes(&self) -> usize {
        64
    }
}

/// Runs one input.
pub fn run(input: &[u8]) {
    expect_panics_of_the_library();
    let bytes = Bytes::copy_from_slice(input);
    let open = || Box::new(InMemory(bytes.clone()));
    let Ok(whole) = ParquetRows::open_whole(open(), &Columns::default()) else { return };
    let (said, columns) = (whole.rows.len(), whole.columns);
    let Ok(lines) = lines(whole.rows, &columns) else { return };
    assert_eq!(lines.len() as u64, said);
    for line in lines.iter().flatten() {
        assert!(serde_json::from_slice::<IgnoredAny>(line).is_ok(), "{}", line.escape_ascii());
    }
    let first: Columns = columns.names().take(1).collect();
    if let Some(alone) =
        ParquetRows::open(open(), &first).ok().and_then(|rows| self::lines(rows, &first).ok())
    {
        assert_eq!(alone.len(), lines.len());
    }
    let passed_over = said / 2;
    let Ok(mut rows) = ParquetRows::open(open(), &columns) else { return };
    if rows.skip(passed_over).is_ok_and(|passed| passed == passed_over)
        && let Ok(rest) = self::lines(rows, &columns)
    {
        assert_eq!(rest, lines[usize::try_from(passed_over).unwrap()..]);
    }
}

/// The rows that are left as JSON, without those that have a value that cannot be used.
fn lines(mut rows: ParquetRows, columns: &Columns) -> Result<Vec<Option<Vec<u8>>>, ParquetFault> {
    let mut lines = Vec::new();
    loop {
        let mut row = Row::new(columns);
        match rows.read(&mut row)? {
            RowRead::End => return Ok(lines),
            RowRead::Rejected(reject) => {
                assert!(!reject.message.chars().any(char::is_control), "{reject}");
                lines.push(None);
            }
            RowRead::Row => {
                let mut line = Vec::new();
                row.write(columns, &mut line);
                lines.push(Some(line));
            }
        }
    }
}

/// libFuzzer ends the process at each panic, also at one that is caught.
fn expect_panics_of_the_library() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if !is_panic_expected() {
                before(about);
            }
        }));
    });
}
