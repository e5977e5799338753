//! What a pass found, for people.

use std::collections::BTreeMap;

use super::after_status::{after_status, denied_after};
use super::claims_status::{claims_status, is_denied, problem};
use super::plan::ImportPlan;
use crate::admin::{FileNotDone, Grant, PassFailure, PassStatus};
use crate::check::{DeniedRight, ImportReader};
use crate::import::bucket_import::{Became, NotDone, OtherCompression, PassError, PassReport};
use crate::import::claims::ClaimsError;
use crate::import::{FileEnd, FileFault};
use crate::store::Outlook;
use crate::time::UnixMillis;
use crate::words::{about_bytes, counted, in_view};

/// A pass that has ended.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) began: UnixMillis,
    pub(super) ended: UnixMillis,
    /// Whether it was stopped before its end.
    pub(super) stopped: bool,
    pub(super) report: Result<PassReport, CannotPass>,
}

/// Why a pass could not go on.
#[derive(Debug)]
pub(super) enum CannotPass {
    /// The settings cannot be used; the text says what to do.
    Settings(String),
    /// It met this.
    Met(PassError),
}

/// What a pass of an import found. With `full`, error texts also have what files contain and stores said.
pub(super) fn pass_status(plan: &ImportPlan, made: &Made, full: bool) -> PassStatus {
    let status = PassStatus {
        import: plan.settings.name.to_string(),
        began_ms: made.began.0,
        ended_ms: made.ended.0,
        stopped: made.stopped,
        ..PassStatus::default()
    };
    let report = match &made.report {
        Ok(report) => report,
        Err(error) => return PassStatus { failed: Some(failure(plan, error, full)), ..status },
    };
    PassStatus {
        listed: report.listed,
        list_requests: report.list_requests,
        known: report.known,
        given_up: report.given_up,
        skipped: report.skipped.iter().map(|(why, count)| (why.slug().to_owned(), *count)).collect(),
        files: report.files.iter().map(|(became, count)| (became.slug().to_owned(), *count)).collect(),
        not_begun: report.not_begun,
        rows: report.rows,
        stored: report.stored,
        repeats: report.repeats,
        rejected: report.rejected,
        skipped_rows: report.skipped_rows,
        warnings: report.other_compression.iter().map(compression_words).collect(),
        not_done: report.not_done.iter().map(|file| not_done(file, full)).collect(),
        after: after_status(plan, &report.after, full),
        rejects: rejects_wait(plan, report, full),
        claims: claims_status(plan, report, full),
        remedy: plan.granted_by(denied_file(report)),
        ..status
    }
}

pub(super) fn compression_words(other: &OtherCompression) -> String {
    let OtherCompression { objects, or_more, first, compression, named } = other;
    format!(
        "{}{} not compressed as the converter says (compressionType is {}), the first {first} with {compression}: the content \
         decides",
        if *or_more { "at least " } else { "" },
        counted(*objects, "file is", "files are"),
        named.name()
    )
}

pub(super) fn not_done(file: &NotDone, full: bool) -> FileNotDone {
    let NotDone { name, became, end } = file;
    FileNotDone { name: name.clone(), became: became.slug().to_owned(), error: error_of(end, full) }
}

pub(super) fn error_of(end: &FileEnd, full: bool) -> Option<String> {
    match end {
        FileEnd::Failed(error) => Some(in_view(&error.to_string(), &error.masked(), full)),
        FileEnd::Refused(error) => Some(in_view(&error.to_string(), &error.masked(), full)),
        _ => None,
    }
}

/// The same without private values, for alarms and logs: these are stored, whatever a view shows.
pub(super) fn masked_error_of(end: &FileEnd) -> Option<String> {
    match end {
        FileEnd::Failed(error) => Some(error.masked()),
        FileEnd::Refused(error) => Some(error.masked()),
        _ => None,
    }
}

/// The right that a file shows to be missing.
pub(super) fn denied_of(file: &NotDone) -> Option<DeniedRight> {
    denied_of_end(&file.end)
}

/// The same by how a file ended.
pub(super) fn denied_of_end(end: &FileEnd) -> Option<DeniedRight> {
    match end {
        // A refusal for another reason has another code.
        FileEnd::Failed(error) if error.fault == FileFault::Denied && error.code == "E-DENIED" => {
            Some(DeniedRight::of_file(error.message.full()))
        }
        _ => None,
    }
}

/// The right that the first denied file of a pass shows to be missing.
fn denied_file(report: &PassReport) -> Option<DeniedRight> {
    report.not_done.iter().find_map(denied_of)
}

/// What grants the rights that a pass turned out not to have, each once. It is made of the settings, and of the ARN of a
/// key: nothing in it is private to whoever may ask for a pass.
pub(super) fn grants(plan: &ImportPlan, made: &Made) -> Vec<Grant> {
    let reader = plan.reader().ok();
    let reader = reader.as_ref();
    let mut missing: BTreeMap<_, DeniedRight> = BTreeMap::new();
    match &made.report {
        Ok(report) => {
            for denied in report.not_done.iter().filter_map(denied_of) {
                missing.entry(denied.right).or_insert(denied);
            }
        }
        Err(CannotPass::Met(PassError::List { cause, .. })) => {
            missing.extend(DeniedRight::of_listing(cause).map(|denied| (denied.right, denied)));
        }
        Err(_) => {}
    }
    let after = match &made.report {
        Ok(report) => denied_after(&report.after),
        Err(_) => None,
    };
    let after = reader.zip(after).map(|(reader, said)| reader.after_grants(said.full()));
    let remedies = missing.values().zip(std::iter::repeat(reader));
    let remedies = remedies.filter_map(|(denied, reader)| Some(reader?.grants(denied, None)));
    let remedies = remedies.chain(after).flatten();
    remedies.map(|remedy| Grant { text: remedy.text, statement: remedy.paste }).collect()
}

/// Why a pass could not go on.
pub(super) fn failure(plan: &ImportPlan, error: &CannotPass, full: bool) -> PassFailure {
    let (kind, what) = match error {
        CannotPass::Settings(what) => ("settings", what.clone()),
        CannotPass::Met(PassError::List { bucket, prefix, cause }) => {
            let grant = plan.granted_by(DeniedRight::of_listing(cause));
            let remedy = grant.or_else(|| cause.reader_remedy().map(|remedy| remedy.to_string()));
            let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            let told = cause.told();
            let what = format!("s3://{bucket}/{prefix} cannot be listed: {}{remedy}", told.shown(full));
            let kind = match cause.outlook() {
                Outlook::Denied => "denied",
                Outlook::Passing => "unreachable",
                _ => "refused",
            };
            (kind, what)
        }
        CannotPass::Met(PassError::Name(error)) => ("settings", error.to_string()),
        CannotPass::Met(PassError::Journal(error)) => ("journal", error.to_string()),
        CannotPass::Met(PassError::Claims(ClaimsError::Unusable(outage))) => {
            let kind = if is_denied(outage.told.masked()) { "denied" } else { "refused" };
            (kind, problem(plan, outage.told.shown(full)))
        }
        CannotPass::Met(PassError::Claims(error)) => ("settings", error.to_string()),
    };
    PassFailure { kind: kind.to_owned(), what }
}

/// What is wrong with the place of rejected rows of an import, and what to do.
pub(super) fn rejects_wait(plan: &ImportPlan, report: &PassReport, full: bool) -> Option<String> {
    let name = &plan.settings.name;
    let not_moved = report.rejects_not_moved.as_ref().map(|error| {
        let what_to_do = match error.fault {
            FileFault::Denied => format!("`forebay import test-credentials {name}` shows the statement that is missing; "),
            _ => String::new(),
        };
        let error = if full { error.to_string() } else { error.masked() };
        format!(
            "rejected rows of import {name} wait in {}, because they cannot be moved to their bucket: {error}; {what_to_do}each \
             pass tries it again",
            plan.rejects.display()
        )
    });
    let is_full = report.rejects_full.then(|| {
        let (dir, max) = (plan.rejects.display(), about_bytes(plan.settings.rejects_max));
        let what = match report.rejects_not_kept {
            0 => format!(
                "the room for rejected rows of import {name} in {dir} is nearly used up (rejects_max is {max}): rows that find \
                 none are counted and not kept, and the import goes on"
            ),
            rows => format!(
                "there is no room for rejected rows of import {name} in {dir} (rejects_max is {max}): {} of the last pass \
                 were counted and not kept, and the import goes on",
                counted(rows, "row", "rows")
            ),
        };
        format!(
            "{what}. Read them again (`forebay import retry-rejects --import {name}`), or set a larger rejects_max; files with \
             rows that were not kept can be read again with `forebay import run {name} --again`"
        )
    });
    match (not_moved, is_full) {
        (Some(one), Some(other)) => Some(format!("{one}; and {other}")),
        (one, other) => one.or(other),
    }
}

/// What a person must fix before more files of a pass are read: those that the store refuses.
pub(super) fn refused_files(
    import: &str,
    reader: Option<&ImportReader>,
    report: &PassReport,
) -> Option<String> {
    let count = report.files_that(Became::Denied) + report.files_that(Became::Refused);
    if count == 0 {
        return None;
    }
    // The report names only the first files that are not done, and those may all be others.
    let refused = |file: &&NotDone| matches!(file.became, Became::Denied | Became::Refused);
    let first = report.not_done.iter().find(refused).map_or_else(String::new, |first| {
        format!(", the first {}: {}", first.name, masked_error_of(&first.end).unwrap_or_default())
    });
    let allow = reader.zip(denied_file(report)).map_or_else(
        || {
            "allow its role or credentials to read them (s3:GetObject, and kms:Decrypt if they are encrypted)"
                .to_owned()
        },
        |(reader, denied)| reader.sentence(&denied),
    );
    let count = counted(count, "file", "files");
    Some(format!("import {import} cannot read {count}{first}; {allow}; each pass retries them"))
}

/// What a person must do about files that are given up: nothing reads them until then.
pub(super) fn given_up_files(import: &str, report: &PassReport) -> Option<String> {
    let count = report.files_that(Became::Poison);
    if count == 0 {
        return None;
    }
    // The report names only the first files that are not done, and those may all be others.
    let first = report.not_done.iter().find(|file| file.became == Became::Poison);
    let first = first.map_or_else(String::new, |first| {
        format!(", the first {}: {}", first.name, masked_error_of(&first.end).unwrap_or_default())
    });
    Some(are_given_up(import, count, &first))
}

/// What a person must know of files that end before their last row. `is_ignored`: objects that replace others are not
/// imported.
pub(super) fn cut_short_files(import: &str, is_ignored: bool, report: &PassReport) -> Option<String> {
    let of = |became: Became, (one, many): (&str, &str), says: &str| {
        let count = report.files_that(became);
        let first = report.not_done.iter().find(|file| file.became == became);
        let first = first.map_or_else(String::new, |first| format!(", the first {}", first.name));
        let (files, slug) = (counted(count, one, many), became.slug());
        (count > 0).then(|| {
            format!(
                "import {import}: {files} before the last row was stored{first}: `forebay import list --import {import} --only {slug}` \
                 shows how much is, and `forebay import reset-file {import} KEY` {says}"
            )
        })
    };
    let changed = ("file was replaced", "files were replaced");
    let changed = of(Became::Changed, changed, "imports the object that is there now").filter(|_| is_ignored);
    let gone = ("file is gone", "files are gone");
    let gone = of(Became::Gone, gone, "says that you know of it, unless the object comes back");
    match (changed, gone) {
        (Some(one), Some(other)) => Some(format!("{one}; {other}")),
        (one, other) => one.or(other),
    }
}

/// That an import has given up so many files. `example`: one of them, after a comma.
pub(super) fn are_given_up(import: &str, count: u64, example: &str) -> String {
    format!(
        "import {import} has given up {}{example}; it does not read such files again by itself: `forebay import list --import {import} \
         --only given_up` shows why, and once that is fixed `forebay import reset-file {import} --failed` lets them begin again",
        counted(count, "file", "files")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{FileError, FileFault};

    #[test]
    fn files_that_end_before_their_last_row_are_told_of_unless_the_new_object_is_imported() {
        let mut report = PassReport::default();
        assert_eq!(cut_short_files("orders", true, &report), None);
        report.files.extend([(Became::Changed, 2), (Became::Done, 5)]);
        assert_eq!(cut_short_files("orders", false, &report), None);
        let what = cut_short_files("orders", true, &report).unwrap();
        assert!(what.starts_with("import orders: 2 files were replaced before the last row"), "{what}");
        report.files.insert(Became::Gone, 1);
        let what = cut_short_files("orders", false, &report).unwrap();
        assert!(what.starts_with("import orders: 1 file is gone before the last row"), "{what}");
        assert!(
            cut_short_files("orders", true, &report).unwrap().contains("; import orders: 1 file is gone")
        );
    }

    #[test]
    fn files_that_are_refused_are_told_of_although_the_report_does_not_name_them() {
        let mut report = PassReport::default();
        assert_eq!(refused_files("orders", None, &report), None);
        report.files.extend([(Became::Failed, 1_000), (Became::Denied, 2)]);
        let what = refused_files("orders", None, &report).unwrap();
        assert!(what.starts_with("import orders cannot read 2 files; allow its role"), "{what}");
        let error = FileError::new(FileFault::Local, "E-DENIED", "no");
        let (name, end) = ("s3://lake/a".to_owned(), FileEnd::Failed(error));
        report.not_done.push(NotDone { name, became: Became::Denied, end });
        let what = refused_files("orders", None, &report).unwrap();
        assert!(
            what.starts_with("import orders cannot read 2 files, the first s3://lake/a: E-DENIED"),
            "{what}"
        );
    }
}
