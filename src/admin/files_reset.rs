//! What became of files that were reset, for people.

use std::fmt::Write as _;

use super::bucket_imports::{FileReset, FilesReset};
use crate::words::{counted, grouped, outside_key, outside_message, outside_text};

/// Where a file begins again whose object is gone.
const GONE: &str = "gone";

impl FilesReset {
    /// For people: the files, and what comes next.
    pub fn text(&self) -> String {
        if let Some(rows) = self.accepted_rows {
            return self.accepted(rows);
        }
        if self.count == 0 {
            return format!("no file of import {} is given up\n", outside_text(&self.import));
        }
        let lines = self.files.iter().map(|file| format!("{}\n", outside_message(&line(file))));
        let mut text: String = lines.collect();
        let more = self.count.saturating_sub(self.files.len() as u64);
        if more > 0 {
            // Writing to a string cannot fail.
            _ = writeln!(text, "and {}", counted(more, "more file", "more files"));
        }
        if self.files.iter().all(|file| file.begins == GONE) {
            return text;
        }
        let import = outside_text(&self.import);
        text + &format!(
            "The next pass reads what is listed here; to make one now: forebay import run {import}\n"
        )
    }

    fn accepted(&self, rows: u64) -> String {
        if self.count == 0 {
            let import = outside_text(&self.import);
            return format!("no file of import {import} is kept because of rejected rows\n");
        }
        let files = counted(self.count, "file", "files");
        let names = self.files.iter().map(|file| format!("{}\n", outside_key(&file.name)));
        let rows = counted(rows, "rejected row", "rejected rows");
        names.collect::<String>()
            + &format!(
                "{rows} of {files} accepted: nothing reads them again, and no `after` waits for them\n"
            )
    }
}

fn line(file: &FileReset) -> String {
    let FileReset { name, begins, rows, calls } = file;
    let is_new = begins == "new_object";
    let (Some(rows), Some(calls)) = (rows, calls) else {
        return format!("{name} goes on at its next row, unless it was replaced");
    };
    let stored = format!("{} stored", counted(*calls, "call", "calls"));
    if begins == GONE {
        return format!(
            "{name} is gone: {} of it were read ({stored}), and no pass reports it again",
            counted(*rows, "row", "rows")
        );
    }
    match (is_new, rows) {
        (true, _) => format!(
            "{name} begins at its first row, because another object is there now; of the old one {} were read ({stored})",
            counted(*rows, "row", "rows")
        ),
        (false, 0) => format!("{name} begins at its first row"),
        (false, rows) => format!("{name} goes on after row {} ({stored})", grouped(*rows)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_shown_with_what_is_stored() {
        let file = |begins: &str, rows: Option<u64>, calls: Option<u64>| FileReset {
            name: "s3://lake/a".to_owned(),
            begins: begins.to_owned(),
            rows,
            calls,
        };
        let files = vec![
            file("new_object", Some(2_000), Some(1)),
            file("next_row", Some(0), Some(0)),
            file("next_row", Some(2_000), Some(1_990)),
            file("next_row", None, None),
        ];
        assert_eq!(
            FilesReset { import: "orders".to_owned(), count: 5, files, accepted_rows: None }.text(),
            "s3://lake/a begins at its first row, because another object is there now; of the old one 2,000 rows were \
             read (1 call stored)\ns3://lake/a begins at its first row\ns3://lake/a goes on after row 2,000 (1,990 calls \
             stored)\ns3://lake/a goes on at its next row, unless it was replaced\nand 1 more file\nThe next pass reads what is listed here; to \
             make one now: forebay import run orders\n"
        );
        let none = |accepted_rows| {
            FilesReset { import: "orders".to_owned(), accepted_rows, ..FilesReset::default() }.text()
        };
        assert_eq!(none(None), "no file of import orders is given up\n");
        assert_eq!(none(Some(0)), "no file of import orders is kept because of rejected rows\n");
        let files = vec![file("done", None, None)];
        assert_eq!(
            FilesReset { import: "orders".to_owned(), count: 1, files, accepted_rows: Some(3) }.text(),
            "s3://lake/a\n3 rejected rows of 1 file accepted: nothing reads them again, and no `after` waits for them\n"
        );
        let files = vec![file("gone", Some(2_000), Some(1_990))];
        assert_eq!(
            FilesReset { import: "orders".to_owned(), count: 1, files, accepted_rows: None }.text(),
            "s3://lake/a is gone: 2,000 rows of it were read (1,990 calls stored), and no pass reports it again\n"
        );
    }
}
