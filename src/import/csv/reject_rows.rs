//! Reads the rows of a file of rejected rows again.

use std::io::Read;

use super::blanks::Blanks;
use super::{CsvOptions, Dialect, FileType, IdFrom, Item, Plan, Record, Records, RowError};
use crate::import::file_error::FileError;
use crate::import::file_id::FileId;
use crate::import::reject::{Reject, Retried};
use crate::import::rejects_file::RejectLines;
use crate::import::row_hash::{RowHash, RowScope};
use crate::import::row_ids::{Met, RowIds};
use crate::import::rows::{Row, RowReader};
use crate::object::Collection;

/// The texts of corrected rows that stay rejected.
const TWO_ROWS: &str =
    "raw has more than one row: keep one in it, and import the others as a file of their own";
const TWICE: &str = "an earlier line corrects the same row otherwise: keep one of them, and import the others as a file \
                     of their own";

/// Reads rejected rows, and makes calls of them as if they were still in their file.
pub struct RejectRows<R> {
    lines: RejectLines<R>,
    /// The position of the next row in the rejects file.
    next: Retried,
    dialect: Dialect,
    plan: Plan,
    blanks: Option<Blanks>,
    /// The scope of the file that the rows come from.
    of: RowScope,
    /// Whether the target remembers stored rows for good.
    remembers: bool,
    /// The messageIds that rows have in a column.
    ids: RowIds,
    /// The rows of the first file that became calls.
    places: RowIds,
}

debug_fields!(RejectRows<R> {});

impl<R: Read> RejectRows<R> {
    /// Reads the rejected rows of a file. `id` is the id of the rejects file. `options` have the delimiter
    /// and columns of the first file. `remembers`: each call comes with a hash that names its row for good.
    /// Errors: [`FileError`]: the options cannot be used.
    pub fn open(
        (id, rejects): (FileId, R),
        (name, file, kind): (&str, FileId, FileType),
        options: &CsvOptions,
        remembers: bool,
    ) -> Result<Self, FileError> {
        // Rows that are known by their content stay known when the file grows, so the scope has the name, not
        // the id.
        let of = match options.id_from {
            IdFrom::RowHash { .. } => RowScope::of(&format!("rejected\0{kind}\0{name}")),
            IdFrom::Position | IdFrom::Column(_) => RowScope::of(&format!("rejected\0{kind}\0\0{file}")),
        };
        let columns = options.columns.as_deref().unwrap_or_default();
        let header = Record::of_fields(columns);
        let ids = options.message_ids(&kind, file, name);
        let (plan, _) = Plan::compile(&header, &kind, options, &ids)
            .map_err(|error| FileError::content("E-CSV-HEADER", error.to_string()))?;
        let dialect = options.dialect(options.delimiter.unwrap_or(b','));
        let has_doubtful_blanks = !options.keeps_blanks && !options.skips_blanks;
        let blanks = has_doubtful_blanks.then(|| Blanks::of(&header, &plan, dialect.clone()));
        let next = Retried { file: id, row: 0 };
        let ids = || RowIds::new(std::env::temp_dir());
        let (ids, places, lines) = (ids(), ids(), RejectLines::new(rejects));
        Ok(Self { lines, next, dialect, plan, blanks, of, remembers, ids, places })
    }

    /// The next row, with its position in this file.
    fn next_reject(&mut self) -> Result<Option<Reject>, FileError> {
        let line = self.lines.next().map_err(|error| FileError::content("E-REJECTS", error.to_string()))?;
        let Some(line) = line else { return Ok(None) };
        let reject: Reject = serde_json::from_slice(line).map_err(|error| {
            FileError::content("E-REJECTS", format!("a line is not a rejected row: {error}"))
        })?;
        let retried = Some(self.next);
        self.next.row += 1;
        Ok(Some(Reject { retried, ..reject }))
    }

    /// Whether a person wrote a second row into `raw`. A broken region counts as one row, whatever it
    /// contains.
    fn has_more_than_one(&self, reject: &Reject) -> bool {
        let mut records = Records::new(reject.raw.as_bytes(), self.dialect.clone());
        let mut record = Record::default();
        let first = records.read(&mut record);
        matches!(first, Ok(Some(Item::Record))) && matches!(records.read(&mut record), Ok(Some(_)))
    }

    /// The row of a corrected line.
    fn read(&self, reject: &Reject, row: &[u8]) -> Result<Record, RowError> {
        let mut record = Record::default();
        let mut records = Records::new(row, self.dialect.clone());
        let read = records.read(&mut record);
        record.number = reject.row;
        match read {
            Ok(Some(Item::Broken(error))) => Err(error),
            // Reading from memory does not fail, and an empty row has no fields.
            Ok(Some(Item::Record) | None) | Err(_) => {
                self.plan.prepare(&mut record);
                Ok(record)
            }
        }
    }

    /// What a line with a corrected row becomes.
    fn row(&mut self, reject: Reject, row: &[u8], out: &mut Vec<u8>) -> Result<Row, FileError> {
        let again = |reject: Reject, error: &RowError| {
            let (raw, raw_base64) = Reject::raw_of(row);
            let code = error.code().to_owned();
            Reject { code, message: error.to_string(), raw, raw_base64, ..reject }
        };
        let record = match self.read(&reject, row) {
            Ok(record) => record,
            Err(error) => return Ok(Row::Rejected(again(reject, &error))),
        };
        let content = reject.content.clone().unwrap_or_else(|| RowHash::of_content(row).to_string());
        let hash = RowHash::of_corrected(&self.of, reject.row, &content);
        let mut met = Met::New;
        let mut if_taken = None;
        if let Some(id) = self.plan.given_id(&record) {
            met = self.ids.meet_row(id, &record)?;
            let id = RowHash::of_content(id).to_string();
            let is_taken = met == Met::Other || reject.id_taken.as_ref() == Some(&id);
            let reject = Reject { id_taken: Some(id), ..reject.clone() };
            if is_taken {
                return Ok(Row::Rejected(again(reject, &self.plan.id_taken(&record))));
            }
            if_taken = Some(again(reject, &self.plan.id_stored(&record)));
        }
        // Copies of a row have ids of their own, because each is a row of its file.
        let written = self.plan.write_as(&record, Some(hash), out);
        let checked = written.and_then(|()| self.blanks.as_ref().map_or(Ok(()), |of| of.check(&record)));
        if let Err(error) = checked {
            return Ok(Row::Rejected(again(reject, &error)));
        }
        Ok(match self.places.meet_row(&hash.0.to_be_bytes(), &record)? {
            Met::New if met == Met::New => match if_taken {
                Some(taken) if self.remembers => Row::Corrected(hash, Box::new(taken)),
                _ => Row::Call(self.remembers.then_some(hash)),
            },
            Met::New | Met::Same => Row::Repeat,
            Met::Other => rejected(reject, "raw", TWICE),
        })
    }
}

/// A row that stays rejected, for this reason.
fn rejected(reject: Reject, code: &str, message: &str) -> Row {
    Row::Rejected(Reject { code: code.to_owned(), message: message.to_owned(), ..reject })
}

impl<R: Read + Send> RowReader for RejectRows<R> {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        let Some(reject) = self.next_reject()? else { return Ok(None) };
        if self.has_more_than_one(&reject) {
            return Ok(Some(rejected(reject, "raw", TWO_ROWS)));
        }
        let row = match reject.corrected() {
            Ok(row) => row.into_owned(),
            Err(why) => {
                let code = why.code().unwrap_or(&reject.code).to_owned();
                return Ok(Some(rejected(reject, &code, &why.to_string())));
            }
        };
        let start = out.len();
        // An unchanged row stays rejected: the error may have been beside the row in its file, and does not
        // show in the row alone.
        if reject.content.as_ref().is_some_and(|content| *content == RowHash::of_content(&row).to_string()) {
            return Ok(Some(Row::Rejected(reject)));
        }
        let read = self.row(reject, &row, out)?;
        if !matches!(read, Row::Call(_) | Row::Corrected(..)) {
            out.truncate(start);
        }
        Ok(Some(read))
    }

    fn collection(&self) -> Option<&Collection> {
        self.plan.collection()
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        let mut call = Vec::new();
        for skipped in 0..rows {
            if self.next(&mut call)?.is_none() {
                return Ok(skipped);
            }
            call.clear();
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::super::row_error::LINE_BREAK;
    use super::*;

    use crate::call::CallKind;

    const ID: &str = "unw446h7bvkguk7rnc2jjbggs4";

    fn line(row: u64, bytes: &[u8], edited: Option<&str>) -> String {
        let (raw, raw_base64) = Reject::raw_of(bytes);
        let reject = Reject {
            file: "track_1.csv".to_owned(),
            row,
            line: row + 2,
            byte: 0,
            code: "width".to_owned(),
            message: "why".to_owned(),
            raw: edited.map_or(raw, str::to_owned),
            raw_base64,
            content: None,
            id_taken: None,
            retried: None,
        };
        serde_json::to_string(&reject).unwrap() + "\n"
    }

    fn rows(lines: &str) -> (Vec<String>, Vec<Reject>) {
        let (id, columns) = (ID.parse().unwrap(), ["userId", "event"].map(str::to_owned).to_vec());
        let options = CsvOptions { delimiter: Some(b','), columns: Some(columns), ..CsvOptions::default() };
        let of = ("track_1.csv", id, FileType::Calls(CallKind::Track));
        let mut rows = RejectRows::open((id, lines.as_bytes()), of, &options, true).unwrap();
        let (mut calls, mut rejects) = (Vec::new(), Vec::new());
        loop {
            let mut call = Vec::new();
            match rows.next(&mut call).unwrap() {
                None => return (calls, rejects),
                Some(Row::Call(_) | Row::Corrected(..)) => calls.push(String::from_utf8(call).unwrap()),
                Some(Row::Rejected(reject)) => rejects.push(reject),
                Some(Row::Repeat | Row::Calls(_) | Row::Keyed(..) | Row::Skipped) => {}
            }
        }
    }

    #[test]
    fn a_part_of_a_row_stays_rejected_until_it_is_corrected() {
        let cut = |row, edited| {
            let mut reject: Reject = serde_json::from_str(&line(row, b"u,e", edited)).unwrap();
            reject.code = LINE_BREAK.to_owned();
            reject.content = Some(RowHash::of_content(b"u,e").to_string());
            serde_json::to_string(&reject).unwrap() + "\n"
        };
        let (calls, rejects) = rows(&(cut(1, None) + &cut(2, Some("u,\"e\nf\""))));
        assert!(calls.len() == 1 && calls[0].contains("\"event\":\"e\\nf\""), "{calls:?}");
        assert_eq!((rejects.len(), rejects[0].row, &*rejects[0].code), (1, 1, LINE_BREAK));
    }

    /// They were sent with replacement characters.
    #[test]
    fn a_row_that_is_not_utf_8_stays_rejected_until_it_is_corrected() {
        let (calls, rejects) = rows(&(line(7, b"u,Zo\xEB", None) + &line(8, b"u,Zo\xEB", Some("u,Zoë"))));
        assert!(
            calls.len() == 1 && calls[0].contains("_8\",\"userId\":\"u\",\"event\":\"Zoë\""),
            "{calls:?}"
        );
        assert_eq!((rejects.len(), rejects[0].row, &*rejects[0].code), (1, 7, "utf8"), "{rejects:?}");
        assert_eq!(rejects[0].raw_base64.as_deref(), Some("dSxab+s="), "{rejects:?}");
    }

    /// What was wrong stands beside it in its file: a carriage return alone.
    #[test]
    fn a_row_that_nobody_corrected_stays_rejected() {
        let rejected = |edited: Option<&str>| {
            let mut reject: Reject = serde_json::from_str(&line(7, b"u,a", edited)).unwrap();
            reject.code = "line-break".to_owned();
            reject.content = Some(RowHash::of_content(b"u,a").to_string());
            serde_json::to_string(&reject).unwrap() + "\n"
        };
        let (calls, rejects) = rows(&(rejected(None) + &rejected(Some("u,\"a\rb\""))));
        assert!(calls.len() == 1 && calls[0].contains(r#""event":"a\rb""#), "{calls:?}");
        let kept: Vec<_> = rejects.iter().map(|of| (&*of.code, &*of.message, &*of.raw)).collect();
        assert_eq!(kept, [("line-break", "why", "u,a")]);
    }

    #[test]
    fn two_rows_in_the_place_of_one_are_not_lost() {
        let (calls, rejects) =
            rows(&(line(7, b"u", Some("u,e\nv,e")) + &line(8, b"u", Some("u,\"e\ne\"\n"))));
        assert_eq!(calls.len(), 1, "{calls:?}");
        assert_eq!((rejects.len(), &*rejects[0].raw), (1, "u,e\nv,e"));
        assert!(rejects[0].message.starts_with("raw has more than one row"), "{rejects:?}");
    }

    #[test]
    fn a_correction_that_is_rejected_again_takes_the_place_of_the_first_bytes() {
        let lines = line(3, b"u,e", Some("u"))
            + &line(7, b"u,\xFF", Some("u,e,ë"))
            + &line(9, b"u,\xFF\xFE", Some("x,\u{FFFD}"));
        let (calls, rejects) = rows(&lines);
        assert_eq!(calls, [""; 0]);
        let kept: Vec<_> = rejects
            .iter()
            .map(|of| (&*of.code, &*of.raw, of.raw_base64.as_deref(), of.retried.map(|at| at.row)))
            .collect();
        let expected = [
            ("width", "u", None, Some(0)),
            ("width", "u,e,ë", None, Some(1)),
            ("utf8", "x,\u{FFFD}", Some("dSz//g=="), Some(2)),
        ];
        assert_eq!(kept, expected);
    }
}
