//! Gathers the rows of a file into steps.

use bytes::Bytes;

use super::csv::of_io;
use super::envelope;
use super::file_error::{FileError, FileFault};
use super::importer::ROWS_MAX;
use super::prefix::Prefix;
use super::reading::ReadingError;
use super::reject::Reject;
use super::row_errors::OnRowError;
use super::row_hash::RowHash;
use super::rows::{Row, RowReader};
use super::target::Begun;
use crate::object::Collection;
use crate::words::Told;

/// The code of a file with too many rejected rows.
pub const TOO_MANY_REJECTED: &str = "E-ROWS";
/// Bytes of calls after which a step is handed over. A call has at most 32 KiB, and the lines of a step must
/// fit into one request of the log.
const STEP_BYTES: usize = 512 * 1_024;
/// Skipped rows after which a step ends, so that a file of nothing else is recorded from time to time.
const SKIPPED_MAX: u64 = 10_000;

/// The next rows of a file, ready to be handed over.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The first row that the step covers.
    pub(super) first: u64,
    /// The number of rows that the step covers.
    pub(super) rows: u64,
    /// The rows of the step that are not calls.
    pub(super) rejects: Vec<Reject>,
    /// Rows of the step that equal an earlier one with the same id.
    pub(super) repeats: u64,
    /// Rows of the step that are to be left out.
    pub(super) skipped: u64,
    /// What the file begins with, up to the end of the step.
    pub(super) prefix: Option<Prefix>,
    /// Whether the last row ends a file in the middle of a line: if the file grows, that will be another row.
    pub(super) cut_off: bool,
    /// An envelope of the calls, with their hashes if rows are known by their content.
    pub(super) calls: Vec<u8>,
    /// The rejection of each call, by its number in the envelope, that applies if another call has its id.
    pub(super) if_taken: Vec<(u32, Reject)>,
}

impl Step {
    /// The row after the last one that the step covers.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.rows)
    }

    /// Rejects the row of a call whose id another call has. `None`: that call did not need an id of its own.
    pub(super) fn reject(&mut self, call: u32) -> Option<Reject> {
        let at = self.if_taken.iter().position(|(of, _)| *of == call)?;
        let calls = Bytes::from(std::mem::take(&mut self.calls));
        self.calls = envelope::without(&calls, call).ok()?;
        let (_, reject) = self.if_taken.remove(at);
        self.if_taken.iter_mut().skip(at).for_each(|(of, _)| *of -= 1);
        self.rejects.push(reject.clone());
        Some(reject)
    }
}

/// The rows of a file to import, and when to give the file up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// The rows to import, from 0; rows outside are passed over.
    pub rows: std::ops::Range<u64>,
    /// What happens to a file with rejected rows.
    pub on_row_error: OnRowError,
    /// What people call that: the flag of a command, or the setting of an import of a bucket.
    pub called: &'static str,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self { rows: 0..u64::MAX, on_row_error: OnRowError::default(), called: "--on-row-error" }
    }
}

impl RowLimits {
    /// The failure of a file that ends, after so many rows, before the wanted rows begin.
    pub fn nothing_in_range(&self, rows: u64) -> FileError {
        let start = self.rows.start;
        let what = format!("--rows begins at row {start}, counted from 0, and the file has {rows} rows");
        FileError::new(FileFault::Local, "E-ROWS-RANGE", Told::plain(what))
    }

    /// The failure of a file with so many rejected ones among its first rows.
    pub(super) fn too_many(&self, rejected: u64, rows: u64, rejects: &[Reject]) -> FileError {
        let what = format!("{rejected} of {rows} rows are rejected, more than {} allows", self.called);
        let told = match rejects.last() {
            Some(reject) => Told::plain(format!("{what}; the last: line {}: ", reject.line))
                .and_private(&reject.message, &reject.code),
            None => Told::plain(what),
        };
        FileError::content(TOO_MANY_REJECTED, told)
    }
}

/// Reads a file in steps. Their size depends only on the rows from a step's first one on, so an import that
/// continues at the beginning of a step makes the same steps as one that was never interrupted.
pub(super) struct Steps<'r> {
    reader: &'r mut dyn RowReader,
    limits: &'r RowLimits,
    /// Bytes of calls after which a step ends.
    bytes: usize,
    /// Rows after which a step ends. The number of rejected ones has a limit of its own, because all of
    /// them are kept in memory.
    rows: u64,
    next: u64,
    /// The first row that is not stored yet. Rows before it are only counted: see [`Begun::read_from`].
    stored: u64,
    rejected: u64,
    /// The calls of the next row, their number, and what names the row, if they did not fit into the step
    /// before.
    kept_back: Option<(Vec<u8>, u32, Option<u128>)>,
    /// Whether the reader has reached the end of the file, not only that of the wanted rows.
    pub(super) at_end: bool,
}

impl<'r> Steps<'r> {
    /// The steps after the rows that are imported. The reader must be at the file's first row. `None` if
    /// nobody waits for the steps any more, as `is_left` says. Steps become objects of `part_bytes` of
    /// calls, or else requests. Errors: [`FileError`]; also if the file now has fewer rows than were
    /// imported, or does not begin as [`Begun::prefix`] says.
    pub(super) fn after(
        reader: &'r mut dyn RowReader,
        limits: &'r RowLimits,
        begun: &Begun,
        part_bytes: Option<usize>,
        is_left: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, FileError> {
        let (done, read_from) = (begun.progress, begun.read_from);
        let mut skipped = 0;
        while skipped < read_from {
            let unwanted = limits.rows.start.saturating_sub(skipped);
            let until = if unwanted > 0 { limits.rows.start.min(read_from) } else { read_from };
            let prefix = begun.prefix.filter(|prefix| prefix.rows > skipped);
            let until = prefix.map_or(until, |prefix| until.min(prefix.rows));
            let more = reader.skips_at_once().min(until - skipped);
            let read = if unwanted > 0 { reader.pass_over(more) } else { reader.skip(more) }?;
            skipped += read;
            if read < more {
                break;
            }
            // The file is another version now. The rows that it has before this one would never be stored.
            if prefix.is_some_and(|prefix| prefix.rows == skipped && reader.prefix() != Some(prefix)) {
                return Err(of_io(&ReadingError::Changed.into()));
            }
            if is_left() {
                return Ok(None);
            }
        }
        if skipped < read_from {
            let what = format!("it has {skipped} rows, and {} were imported before", done.next_row);
            return Err(FileError::content("E-SHORT", Told::plain(what)));
        }
        let (next, stored, rejected) = (read_from, done.next_row, done.rejected);
        let bytes = part_bytes.unwrap_or(STEP_BYTES);
        let rows = if part_bytes.is_some() { u64::MAX } else { ROWS_MAX };
        Ok(Some(Self { reader, limits, bytes, rows, next, stored, rejected, kept_back: None, at_end: false }))
    }

    /// The next step; `None` at the end. The calls are written into `spare`, whose content is lost. Rejected
    /// rows that stop the file are returned beside the error.
    pub(super) fn next(&mut self, spare: Vec<u8>) -> Result<Option<Step>, (FileError, Vec<Reject>)> {
        let mut step = Step { first: self.next, calls: spare, ..Step::default() };
        step.calls.clear();
        step.calls.reserve(self.bytes.saturating_add(64 * 1_024));
        step.calls.extend_from_slice(&envelope::head(self.reader.collection().map(Collection::as_str)));
        let mut calls: u32 = 0;
        let mut hashes: Vec<RowHash> = Vec::new();
        let mut keys: Vec<(u128, u32, u32)> = Vec::new();
        let is_stored = self.next < self.stored;
        let end = if is_stored { self.stored } else { self.limits.rows.end };
        let before = self.limits.rows.start.saturating_sub(self.next).min(end.saturating_sub(self.next));
        if before > 0 {
            let skipped = self.reader.pass_over(before).map_err(|error| (error, Vec::new()))?;
            self.next += skipped;
            self.at_end = skipped < before;
        }
        while !self.at_end
            && self.next < end
            && u64::from(calls) + step.repeats + (step.rejects.len() as u64) < self.rows
            && (step.rejects.len() as u64) < ROWS_MAX
            && step.skipped < SKIPPED_MAX
            && step.calls.len() < self.bytes
        {
            let start = step.calls.len();
            if calls > 0 {
                step.calls.push(b',');
            }
            let row_at = step.calls.len();
            let read = match self.kept_back.take() {
                Some((kept, count, key)) => {
                    step.calls.extend_from_slice(&kept);
                    Ok(Some(key.map_or(Row::Calls(count), |key| Row::Keyed(count, key))))
                }
                None => self.reader.next(&mut step.calls),
            };
            match read {
                Ok(Some(Row::Call(hash))) => {
                    calls += 1;
                    hashes.extend(hash);
                }
                Ok(Some(row @ (Row::Calls(more) | Row::Keyed(more, _)))) => {
                    let key = if let Row::Keyed(_, key) = row { Some(key) } else { None };
                    let too_many = u64::from(calls.saturating_add(more)) > self.rows;
                    // The calls of a row are stored together, so they begin the next step if they do not fit.
                    if calls > 0 && (too_many || step.calls.len() > self.bytes) {
                        self.kept_back = Some((step.calls.split_off(row_at), more, key));
                        step.calls.truncate(start);
                        break;
                    }
                    keys.extend(key.map(|key| (key, calls, more)));
                    calls = calls.saturating_add(more);
                }
                Ok(Some(Row::Skipped)) => {
                    step.calls.truncate(start);
                    step.skipped += 1;
                }
                Ok(Some(Row::Corrected(hash, if_taken))) => {
                    step.if_taken.push((calls, *if_taken));
                    calls += 1;
                    hashes.push(hash);
                }
                Ok(Some(Row::Rejected(reject))) => {
                    step.calls.truncate(start);
                    step.rejects.push(reject);
                    self.rejected += u64::from(!is_stored);
                }
                Ok(Some(Row::Repeat)) => {
                    step.calls.truncate(start);
                    step.repeats += 1;
                }
                Ok(None) => {
                    step.calls.truncate(start);
                    self.at_end = true;
                    break;
                }
                Err(error) => return Err((error, step.rejects)),
            }
            // The check follows good rows, too, because a share is first judged at a certain row, of whatever
            // kind. Rows that are only counted again are skipped: the sum has all their rejected ones
            // already.
            let is_judged = self.rejected > 0 && !is_stored;
            if is_judged && self.limits.on_row_error.stops(self.rejected, self.next + 1) {
                let error = self.limits.too_many(self.rejected, self.next + 1, &step.rejects);
                return Err((error, step.rejects));
            }
            self.next += 1;
        }
        if self.at_end && before > 0 && self.next <= self.limits.rows.start && !is_stored {
            return Err((self.limits.nothing_in_range(self.next), step.rejects));
        }
        step.rows = self.next - step.first;
        step.prefix = self.reader.prefix();
        step.cut_off = self.reader.is_cut_off();
        let own_ids: Vec<u32> = step.if_taken.iter().map(|(call, _)| *call).collect();
        match keys.is_empty() {
            true => envelope::write_tail(&mut step.calls, &hashes, &own_ids),
            // Rows of a converter are known by their position, so they have no hashes.
            false => envelope::write_row_keys(&mut step.calls, &keys),
        }
        Ok((step.rows > 0).then_some(step))
    }
}

#[cfg(test)]
mod tests {
    use super::super::target::Standing;
    use super::*;
    use crate::log::{ImportKey, ImportProgress};
    use crate::sources::SourceId;

    /// Rows by what they give: the number of calls and the bytes of each; none for a row that is left out.
    struct Rows {
        rows: Vec<(u32, usize)>,
        at: usize,
    }

    impl RowReader for Rows {
        fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
            let Some((calls, bytes)) = self.rows.get(self.at).copied() else { return Ok(None) };
            self.at += 1;
            if calls == 0 {
                out.extend_from_slice(b"half");
                return Ok(Some(Row::Skipped));
            }
            let call = format!("{{\"{}\":{}}}", "x".repeat(bytes), self.at);
            out.extend_from_slice(vec![call; usize::try_from(calls).unwrap()].join(",").as_bytes());
            Ok(Some(Row::Calls(calls)))
        }

        fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
            let to = (self.at + usize::try_from(rows).unwrap()).min(self.rows.len());
            let skipped = to - std::mem::replace(&mut self.at, to);
            Ok(skipped as u64)
        }
    }

    /// A step: first row, rows, calls, rows that are left out.
    type Shape = (u64, u64, u64, u64);

    /// The steps from this row on, and the texts of their calls.
    fn steps(rows: &[(u32, usize)], from: u64) -> (Vec<Shape>, Vec<String>) {
        let mut reader = Rows { rows: rows.to_vec(), at: 0 };
        let progress = ImportProgress { next_row: from, ..ImportProgress::default() };
        let begun = Begun {
            import: ImportKey(1),
            source: SourceId::new("csv").unwrap(),
            standing: Standing::New,
            progress,
            read_from: from,
            other_options: false,
            keeps_prefix: false,
            keeps_types: false,
            types: None,
            prefix: None,
        };
        let limits = RowLimits::default();
        let mut steps = Steps::after(&mut reader, &limits, &begun, None, &|| false).unwrap().unwrap();
        let (mut all, mut texts) = (Vec::new(), Vec::new());
        while let Some(step) = steps.next(Vec::new()).unwrap() {
            let calls = Bytes::from(step.calls);
            let envelope = envelope::Envelope::read(&calls).unwrap();
            all.push((step.first, step.rows, envelope.batch.len() as u64, step.skipped));
            texts.extend(envelope.batch.iter().map(|call| call.get().to_owned()));
        }
        assert!(steps.at_end);
        (all, texts)
    }

    #[test]
    fn the_calls_of_a_row_are_in_one_step() {
        let threes = vec![(3, 1); 1_000];
        let (found, texts) = steps(&threes, 0);
        assert_eq!(found, [(0, 666, 1_998, 0), (666, 334, 1_002, 0)]);
        let expected: Vec<String> = (0..3_000).map(|call| format!("{{\"x\":{}}}", call / 3 + 1)).collect();
        assert_eq!(texts, expected);
        // An import that continues makes the same steps.
        assert_eq!(steps(&threes, 666), (vec![(666, 334, 1_002, 0)], expected[1_998..].to_vec()));
        let most = u32::try_from(ROWS_MAX).unwrap();
        let (found, _) = steps(&[(1, 1), (most, 1), (1, 1)], 0);
        assert_eq!(found, [(0, 1, 1, 0), (1, 1, ROWS_MAX, 0), (2, 1, 1, 0)]);
        let (found, _) = steps(&[(2, 150_000), (2, 150_000), (2, 400_000), (1, 1)], 0);
        assert_eq!(found, [(0, 1, 2, 0), (1, 1, 2, 0), (2, 1, 2, 0), (3, 1, 1, 0)]);
    }

    #[test]
    fn rows_that_are_left_out_end_a_step_too() {
        let mut rows = vec![(0, 0); 25_000];
        rows[3] = (1, 1);
        let (found, _) = steps(&rows, 0);
        assert_eq!(found, [(0, 10_001, 1, 10_000), (10_001, 10_000, 0, 10_000), (20_001, 4_999, 0, 4_999)]);
    }
}
