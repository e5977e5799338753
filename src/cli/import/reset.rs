//! `forebay import reset-file`: lets files of a bucket begin again.

use std::fmt::Write as _;
use std::io::Write;

use super::run::{reached, settled};
use super::run_args::ResetFileArgs;
use crate::admin::{AskedReset, FileReset, FilesReset};
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::runtime::Background;
use crate::words::{counted, grouped, outside_text};

/// Lets files begin again, and prints which.
/// Errors: [`Failure`]: nothing has changed, or what waits in the spool is not delivered.
pub(super) async fn run(
    args: &ResetFileArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let asked = AskedReset { key: args.key.clone(), accept_rejects: args.accept_rejects };
    let reset = imports.reset(&args.name, &asked).await;
    let (reset, ended) = settled(imports, reset, true).await?;
    print_either(out, args.at.json, &reset, || text(&reset))?;
    Ok(ended?)
}

fn text(reset: &FilesReset) -> String {
    if let Some(rows) = reset.accepted_rows {
        return accepted(reset, rows);
    }
    if reset.count == 0 {
        return "no file is given up\n".to_owned();
    }
    let lines = reset.files.iter().map(|file| format!("{}\n", outside_text(&line(file))));
    let mut text: String = lines.collect();
    let more = reset.count.saturating_sub(reset.files.len() as u64);
    if more > 0 {
        // Writing to a string cannot fail.
        _ = writeln!(text, "and {}", counted(more, "more file", "more files"));
    }
    let import = outside_text(&reset.import);
    text + &format!("The next pass reads what is listed here; to make one now: forebay import run {import}\n")
}

fn accepted(reset: &FilesReset, rows: u64) -> String {
    let files = counted(reset.count, "file", "files");
    let names = reset.files.iter().map(|file| format!("{}\n", outside_text(&file.name)));
    let rows = counted(rows, "rejected row", "rejected rows");
    names.collect::<String>()
        + &format!("{files} with {rows} no longer kept; the next pass goes on with them\n")
}

fn line(file: &FileReset) -> String {
    let FileReset { name, begins, rows, calls } = file;
    let is_new = begins == "new_object";
    let (Some(rows), Some(calls)) = (rows, calls) else {
        return format!("{name} goes on at its next row, unless it was replaced");
    };
    let stored = format!("{} stored", counted(*calls, "call", "calls"));
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
            text(&FilesReset { import: "orders".to_owned(), count: 5, files, accepted_rows: None }),
            "s3://lake/a begins at its first row, because another object is there now; of the old one 2,000 rows were \
             read (1 call stored)\ns3://lake/a begins at its first row\ns3://lake/a goes on after row 2,000 (1,990 calls \
             stored)\ns3://lake/a goes on at its next row, unless it was replaced\nand 1 more file\nThe next pass reads what is listed here; to \
             make one now: forebay import run orders\n"
        );
        assert_eq!(text(&FilesReset::default()), "no file is given up\n");
        let files = vec![file("done", None, None)];
        assert_eq!(
            text(&FilesReset { import: "orders".to_owned(), count: 1, files, accepted_rows: Some(3) }),
            "s3://lake/a\n1 file with 3 rejected rows no longer kept; the next pass goes on with them\n"
        );
    }
}
