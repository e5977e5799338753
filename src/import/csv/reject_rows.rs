//! The rows of a file of rejected rows, read again.

use std::io::{BufRead as _, BufReader, Read};

use super::rows::CsvOptions;
use super::{Dialect, Item, Plan, Record, Records, RowError};
use crate::call::CallKind;
use crate::import::file_id::FileId;
use crate::import::reject::{RAW_MAX, Reject};
use crate::import::rows::{FileError, Row, RowReader};

/// Reads rejected rows, and makes calls of them as if they were still in their file.
pub struct RejectRows<R> {
    lines: std::io::Lines<BufReader<R>>,
    dialect: Dialect,
    plan: Plan,
}

impl<R> std::fmt::Debug for RejectRows<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RejectRows").finish_non_exhaustive()
    }
}

impl<R: Read> RejectRows<R> {
    /// Reads the rejected rows of a file. `options` name its delimiter and columns.
    ///
    /// # Errors
    /// [`FileError`]: the options cannot be used.
    pub fn open(
        rejects: R,
        (name, file, kind): (&str, FileId, CallKind),
        options: &CsvOptions,
    ) -> Result<Self, FileError> {
        let columns = options.columns.as_deref().unwrap_or_default();
        let header = Record::of_fields(columns);
        let (plan, _) = Plan::compile(&header, options.plan(kind, file, name))
            .map_err(|error| FileError::content("E-CSV-HEADER", error.to_string()))?;
        let dialect = options.dialect(options.delimiter.unwrap_or(b','));
        Ok(Self { lines: BufReader::new(rejects).lines(), dialect, plan })
    }

    fn next_reject(&mut self) -> Result<Option<Reject>, FileError> {
        let Some(line) = self.lines.next() else { return Ok(None) };
        let line = line.map_err(|error| FileError::of_io(&error))?;
        serde_json::from_str(&line)
            .map(Some)
            .map_err(|error| FileError::content("E-REJECTS", format!("a line is no rejected row: {error}")))
    }

    fn write(&self, reject: &Reject, out: &mut Vec<u8>) -> Result<(), RowError> {
        let mut record = Record::new();
        let mut records = Records::new(reject.raw.as_bytes(), self.dialect.clone());
        match records.read(&mut record) {
            Ok(Some(Item::Record)) => {
                record.number = reject.row;
                self.plan.write(&record, out)
            }
            Ok(Some(Item::Broken(error))) => Err(error),
            // Reading from memory does not fail, and an empty row has no fields.
            Ok(None) | Err(_) => self.plan.write(&record, out),
        }
    }
}

impl<R: Read + Send> RowReader for RejectRows<R> {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        let Some(reject) = self.next_reject()? else { return Ok(None) };
        if reject.raw.len() >= RAW_MAX {
            let message = "only the beginning of this row was kept; import it from its file".to_owned();
            return Ok(Some(Row::Rejected(Reject { message, ..reject })));
        }
        Ok(Some(match self.write(&reject, out) {
            Ok(()) => Row::Call(None),
            Err(error) => {
                let code = error.code().to_owned();
                Row::Rejected(Reject { code, message: error.to_string(), ..reject })
            }
        }))
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            if self.next_reject()?.is_none() {
                return Ok(skipped);
            }
        }
        Ok(rows)
    }
}
