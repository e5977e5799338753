//! Counts the rejected rows of a file by their code.

use super::reject::Reject;
use crate::words::{Told, outside_text_within};

/// The most codes that are counted apart. Rows with further codes are counted together.
const CODES_MAX: usize = 20;
/// The code of rows that are counted together.
const OTHERS: &str = "others";
/// The longest code and message that are kept, in bytes.
const CODE_BYTES_MAX: usize = 100;
const MESSAGE_BYTES_MAX: usize = 300;

/// Rejected rows with the same code.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RejectedRows {
    /// The code.
    pub code: String,
    /// The number of rows.
    pub count: u64,
    /// The line of the file on which the first of them begins, from 1.
    pub line: u64,
    /// Why the first row was rejected. The text quotes what the row contains.
    #[serde(flatten)]
    pub message: Told,
}

/// Rejected rows by their code.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct RejectCounts(Vec<RejectedRows>);

impl RejectCounts {
    /// Whether no row was rejected.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows by code, the most frequent first.
    pub fn into_rows(mut self) -> Vec<RejectedRows> {
        self.0.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.code.cmp(&b.code)));
        self.0
    }

    /// Counts rows.
    pub(super) fn count(&mut self, rejects: &[Reject]) {
        for reject in rejects {
            self.put(&reject.code, 1, reject.line, &Told::private(&*reject.message));
        }
    }

    /// Adds the counts of other rows of the file.
    pub(super) fn add(&mut self, more: &Self) {
        for rows in &more.0 {
            self.put(&rows.code, rows.count, rows.line, &rows.message);
        }
    }

    /// The counts within the limits, which counts of another process may not keep.
    pub(super) fn bounded(&self) -> Self {
        let mut bounded = Self::default();
        bounded.add(self);
        bounded
    }

    fn put(&mut self, code: &str, count: u64, line: u64, message: &Told) {
        let code = outside_text_within(code, CODE_BYTES_MAX).to_string();
        let known = |rows: &&mut RejectedRows, code: &str| rows.code == code;
        if let Some(rows) = self.0.iter_mut().find(|rows| known(rows, &code)) {
            rows.count = rows.count.saturating_add(count);
            return;
        }
        let message = message.map(|text| outside_text_within(text, MESSAGE_BYTES_MAX).to_string());
        if self.0.len() < CODES_MAX {
            self.0.push(RejectedRows { code, count, line, message });
        } else if let Some(rows) = self.0.iter_mut().find(|rows| known(rows, OTHERS)) {
            rows.count = rows.count.saturating_add(count);
        } else {
            self.0.push(RejectedRows { code: OTHERS.to_owned(), count, line, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reject(code: &str, line: u64) -> Reject {
        Reject {
            file: "a.csv".to_owned(),
            row: line - 2,
            line,
            byte: 0,
            code: code.to_owned(),
            message: format!("why {code}"),
            raw: "secret".to_owned(),
            raw_base64: None,
            content: None,
            id_taken: None,
            retried: None,
        }
    }

    #[test]
    fn rows_are_counted_by_code_with_the_first_as_an_example() {
        let mut counts = RejectCounts::default();
        counts.count(&[reject("width", 2), reject("bad-time", 3), reject("bad-time", 9)]);
        let mut more = RejectCounts::default();
        more.count(&[reject("bad-time", 20)]);
        counts.add(&more);
        let rows = |code: &str, count, line| RejectedRows {
            code: code.to_owned(),
            count,
            line,
            message: format!("why {code}").into(),
        };
        assert_eq!(counts.into_rows(), [rows("bad-time", 3, 3), rows("width", 1, 2)]);
    }

    #[test]
    fn what_another_process_sends_is_bounded() {
        let many = (0..1_000).map(|n| RejectedRows {
            code: format!("{n}{}", "x".repeat(1_000)),
            count: u64::MAX / 2,
            line: 1,
            message: "y".repeat(10_000).into(),
        });
        let bounded = RejectCounts(many.collect()).bounded();
        assert_eq!(bounded.0.len(), CODES_MAX + 1);
        assert!(bounded.0.iter().all(|rows| rows.code.len() < 110 && rows.message.full().len() < 310));
        assert_eq!(bounded.into_rows()[0].count, u64::MAX, "the others");
    }
}
