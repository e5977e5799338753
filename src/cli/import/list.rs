//! `forebay import list`: what each import did, what waits, and what was rejected and why.

use std::io::Write;
use std::time::Duration;

use serde::Deserialize as _;

use super::args::ListArgs;
use super::run::{reached, settled};
use crate::admin::{AskedImports, ImportStateName, ImportStatus, Imports};
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::runtime::Background;
use crate::time::UnixMillis;
use crate::words::table::wrapped;
use crate::words::{about_duration, counted, grouped, if_any, outside_message, outside_text, rfc3339};

/// Queries the imports and prints them.
/// Errors: [`Failure`]: the node refuses, or has no import with the name, or nothing can be asked.
pub(super) async fn run(
    args: &ListArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let at = reached(&args.at, background).await?;
    let asked = AskedImports { limit: args.limit.into(), import: args.import.clone(), only: args.only };
    let listed = at.list(asked).await;
    let (value, ended) = settled(at, listed, false).await?;
    let imports = Imports::deserialize(&value).map_err(|error| Failure::failed(error.to_string()))?;
    print_either(out, args.at.json, &value, || render(&imports, args.only))?;
    Ok(ended?)
}

/// The imports as text: all, or those in one state.
fn render(imports: &Imports, only: Option<ImportStateName>) -> String {
    let Imports { imports: shown, total, loading, problem } = imports;
    let mut lines = Vec::new();
    if let Some(problem) = problem {
        let problem = outside_message(problem);
        lines.extend(wrapped("", &format!("the journal of imports cannot be read: {problem}")));
    }
    if *loading {
        lines.push("the journal is still being read; some imports may be missing".to_owned());
    }
    let all = counted(*total, "import", "imports");
    match shown.len() as u64 {
        // The number of imports is unknown until the journal is read.
        0 if *total == 0 && (problem.is_some() || *loading) => {}
        0 if *total == 0 => lines.push(match only {
            Some(state) => format!("no file is {}", state.slug().replace('_', " ")),
            None => "nothing was imported yet".to_owned(),
        }),
        many if many < *total => lines.push(format!("the newest {} of {all}", grouped(many))),
        _ => lines.push(all),
    }
    for import in shown {
        lines.push(String::new());
        lines.extend(of_one(import));
    }
    lines.join("\n") + "\n"
}

fn of_one(import: &ImportStatus) -> Vec<String> {
    let mut lines = vec![import.title()];
    let mut fact = |name: &str, text: &str| lines.extend(wrapped(&format!("  {name:<10}"), text));
    let took = import.ended_ms.map_or_else(String::new, |ended| {
        let took = Duration::from_millis(u64::try_from(ended - import.begun_ms).unwrap_or(0));
        format!(", took {}", about_duration(took))
    });
    // A file that could not be opened never began.
    if import.begun_ms > 0 {
        fact("began:", &format!("{}{took}", rfc3339(UnixMillis(import.begun_ms))));
    }
    let mut rows = format!(
        "{}: {} stored, {} repeated, {} refused, {} rejected",
        counted(import.rows_read, "row", "rows"),
        grouped(import.stored),
        grouped(import.repeated),
        grouped(import.refused),
        grouped(import.rejected)
    );
    rows += &if_any(import.left_out, |rows| format!(", {} left out by the converter", grouped(rows)));
    rows += &if_any(import.sent_again, |rows| format!(", {} rejected first and sent again", grouped(rows)));
    rows += &if_any(import.settled, |rows| format!(", {} rejected at first only", grouped(rows)));
    rows += &if_any(import.accepted, |rows| format!(", {} rejected and accepted", grouped(rows)));
    rows += &if_any(import.rejected_again, |rows| {
        format!(", {} rejected again, which count in the first import", grouped(rows))
    });
    fact("read:", &rows);
    // Once all are settled, nothing is left to do about them.
    let is_settled = import.state == "done" && import.rejected + import.rejected_again == 0;
    for errors in import.errors.iter().filter(|_| !is_settled) {
        fact("rejected:", &outside_text(&errors.text()).to_string());
    }
    if let Some(file) = import.rejects_file.as_ref().filter(|_| !is_settled) {
        fact("rejects:", &outside_text(file).to_string());
    }
    if import.attempts > 0 {
        fact("failures:", &format!("{} in a row", grouped(import.attempts.into())));
    }
    for (name, text) in [("last:", &import.why), ("next:", &import.next)] {
        text.iter().for_each(|text| fact(name, &outside_message(text).to_string()));
    }
    if let Some(command) = &import.retry {
        // The command stays on one line, however long: people copy it from here.
        lines.push(format!("  retry:    {}", outside_message(command)));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::ImportErrors;

    fn failed() -> ImportStatus {
        ImportStatus {
            what: "/exports/track_1.csv".to_owned(),
            source: "shop".to_owned(),
            state: "given_up".to_owned(),
            begun_ms: 1_795_392_000_000,
            ended_ms: Some(1_795_392_002_000),
            rows_read: 1,
            rejected: 1,
            errors: vec![ImportErrors {
                code: "width".to_owned(),
                count: 1,
                example: Some("line 2: \u{1b}[2J".to_owned()),
                not_stored: true,
            }],
            rejects_file: Some("/state/a.ndjson".to_owned()),
            retry: Some("forebay import retry-rejects /state/a.ndjson --source shop".to_owned()),
            attempts: 3,
            why: Some("E-ROWS: 1 of 1 rows are rejected".to_owned()),
            next: Some("change the file".to_owned()),
            ..ImportStatus::default()
        }
    }

    #[test]
    fn an_import_is_shown_with_what_was_rejected_and_what_to_do() {
        let imports = Imports { imports: vec![failed()], total: 2, ..Imports::default() };
        assert_eq!(
            render(&imports, None),
            "the newest 1 of 2 imports\n\n/exports/track_1.csv into shop: given up\n  began:    2026-11-23T00:00:00.000Z, \
             took 2 s\n  read:     1 row: 0 stored, 0 repeated, 0 refused, 1 rejected\n  rejected: 1 row width of the step that was not stored, first line \
             2: \\u{1b}[2J\n  rejects:  /state/a.ndjson\n  failures: 3 in a row\n  last:     E-ROWS: 1 of 1 rows are \
             rejected\n  next:     change the file\n  retry:    forebay import retry-rejects /state/a.ndjson --source shop\n"
        );
    }

    /// A finished retry was still asked for, and an import with five of six rows rejected was just "done".
    #[test]
    fn rejected_rows_are_asked_for_until_they_were_sent_again() {
        let done = ImportStatus {
            state: "done".to_owned(),
            rows_read: 6,
            stored: 1,
            rejected: 5,
            attempts: 0,
            why: None,
            next: None,
            ..failed()
        };
        let text = |import: &ImportStatus| of_one(import).join("\n");
        let first = text(&done);
        assert!(
            first.starts_with("/exports/track_1.csv into shop: done, but 5 rows are rejected\n"),
            "{first}"
        );
        assert!(first.contains("6 rows: 1 stored, 0 repeated, 0 refused, 5 rejected\n"), "{first}");
        let some = text(&ImportStatus { rejected: 1, sent_again: 4, ..done.clone() });
        assert!(some.contains("done, but 1 row is rejected\n") && some.contains("retry:"), "{some}");
        assert!(some.contains("1 rejected, 4 rejected first and sent again\n"), "{some}");
        let none = text(&ImportStatus { rejected: 0, sent_again: 5, retry: None, ..done.clone() });
        assert!(none.starts_with("/exports/track_1.csv into shop: done\n"), "{none}");
        assert!(!none.contains("retry") && !none.contains("a.ndjson") && !none.contains("width"), "{none}");
        let left_out = text(&ImportStatus { left_out: 2, ..done.clone() });
        assert!(left_out.contains("5 rejected, 2 left out by the converter\n"), "{left_out}");
        let import = Some("orders".to_owned());
        let of_bucket = text(&ImportStatus { rejected: 1, settled: 2, retry: None, import, ..done.clone() });
        let again = "1 rejected, 2 rejected at first only\n";
        assert!(of_bucket.contains(again), "{of_bucket}");
        assert!(
            of_bucket.starts_with("/exports/track_1.csv into shop (import orders): done, "),
            "{of_bucket}"
        );
        let retry = text(&ImportStatus { rejected: 0, rejected_again: 1, retry: None, ..done });
        assert!(retry.contains("0 rejected, 1 rejected again, which count in the first import"), "{retry}");
        assert!(retry.contains("a.ndjson"), "where the rows are now: {retry}");
    }

    #[test]
    fn without_imports_it_says_so() {
        assert_eq!(render(&Imports::default(), None), "nothing was imported yet\n");
        let given_up = Some(ImportStateName::GivenUp);
        assert_eq!(render(&Imports::default(), given_up), "no file is given up\n");
        let loading = Imports { loading: true, total: 7, ..Imports::default() };
        assert!(render(&loading, None).ends_with("the newest 0 of 7 imports\n"));
        let broken = Imports { problem: Some("it is a directory".to_owned()), ..Imports::default() };
        assert_eq!(render(&broken, None), "the journal of imports cannot be read: it is a directory\n");
    }
}
