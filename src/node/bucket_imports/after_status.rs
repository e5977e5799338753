//! What was done with imported files, for people: in the status, in an alarm and in metrics.

use std::collections::BTreeMap;

use super::plan::ImportPlan;
use crate::admin::{AfterStatus, FileWaits};
use crate::import::bucket_import::{AfterDone, AfterReport, AfterWaits, Waiting};
use crate::metrics::{Metrics, PassLabel};
use crate::words::{Told, counted, shell_word};

/// What a pass did with imported files. With `full`, error texts also have what stores said. `None`: the
/// import does nothing with them.
pub(super) fn after_status(plan: &ImportPlan, report: &AfterReport, full: bool) -> Option<AfterStatus> {
    let action = plan.after()?.name().to_owned();
    let counts = |(name, count): (&'static str, &u64)| (name.to_owned(), *count);
    let first = report.first.iter().map(|waits| FileWaits {
        name: waits.name.clone(),
        why: waits.why.slug().to_owned(),
        error: waits.error.as_ref().map(|error| error.shown(full).to_owned()),
    });
    Some(AfterStatus {
        action,
        done: report.done.iter().map(|(done, count)| counts((done.slug(), count))).collect(),
        waiting: report.waiting.iter().map(|(why, count)| counts((why.slug(), count))).collect(),
        rejected_rows: report.rejected_rows,
        first: first.collect(),
        remedies: AfterWaits::ALL.into_iter().filter_map(|why| remedy(plan, report, why)).collect(),
    })
}

/// What a person can do about files that wait for this reason.
fn remedy(plan: &ImportPlan, report: &AfterReport, why: AfterWaits) -> Option<String> {
    let count = report.waiting_for(why);
    if count == 0 {
        return None;
    }
    let name = &plan.settings.name;
    Some(match why {
        // The store and later passes do the rest.
        AfterWaits::Due | AfterWaits::Unreachable => return None,
        AfterWaits::Denied => denied(plan, report)?,
        AfterWaits::Refused => {
            "what the store refuses is tried again by each pass: see the error of the file".to_owned()
        }
        AfterWaits::Rejected => {
            let place = format!("s3://{}/", plan.settings.bucket.bucket());
            let first = report.first.iter().find(|waits| waits.why == AfterWaits::Rejected);
            let key = first.and_then(|first| first.name.strip_prefix(&place));
            let key = key.map_or_else(|| "KEY".to_owned(), shell_word);
            format!(
                "files with rejected rows stay until those are settled: correct the converter and run `forebay import \
                 retry-rejects --import {name}`, or do without them: `forebay import reset-file {name} {key} \
                 --accept-rejects` (--failed in place of the key: without those of all files)"
            )
        }
        AfterWaits::Changed => "another object has the key of an imported file: it stays as it is".to_owned(),
        AfterWaits::TooLarge => {
            "S3 copies at most 5 GB in one request: larger files stay where they are".to_owned()
        }
        AfterWaits::LongKey => "the key of a moved file may have 1,024 bytes: choose a shorter prefix".to_owned(),
        AfterWaits::ManyTags => {
            "an object has at most 10 tags: remove one of each file, and the next pass adds the tag".to_owned()
        }
        AfterWaits::Unreadable => {
            "E-IMPORT-JOURNAL: the import journal cannot be read for these files: use the release that wrote it; they stay \
             as they are meanwhile"
                .to_owned()
        }
    })
}

/// What grants the right that the first denied file shows to be missing.
fn denied(plan: &ImportPlan, report: &AfterReport) -> Option<String> {
    let reader = plan.reader().ok()?;
    Some(reader.after_sentence(denied_after(report).map_or("", Told::full)))
}

/// What the store said to the first file that it denied.
pub(super) fn denied_after(report: &AfterReport) -> Option<&Told> {
    let first = report.first.iter().find(|waits| waits.why == AfterWaits::Denied);
    first.and_then(|waits| waits.error.as_ref())
}

/// What a person must do before a pass can do what is to be done with imported files.
pub(super) fn refused_after(plan: &ImportPlan, report: &AfterReport) -> Option<String> {
    use AfterWaits::{Denied, ManyTags, Refused, Unreadable};
    let action = plan.after()?.name();
    let stuck = [Denied, Refused, ManyTags, Unreadable];
    let remedies: Vec<String> = stuck.into_iter().filter_map(|why| remedy(plan, report, why)).collect();
    if remedies.is_empty() {
        return None;
    }
    let count = stuck.into_iter().map(|why| report.waiting_for(why)).sum();
    let name = |waits: &&Waiting| stuck.contains(&waits.why);
    let first = report.first.iter().find(name).map_or_else(String::new, |first| {
        let error = first.error.as_ref().map_or_else(String::new, |error| format!(": {}", error.masked()));
        format!(", the first {}{error}", first.name)
    });
    Some(format!(
        "import {} cannot {action} {} that it has imported{first}; {}; each pass retries it, and the import goes on",
        plan.settings.name,
        counted(count, "file", "files"),
        remedies.join("; ")
    ))
}

/// Counts what was done with files.
pub(super) fn count(metrics: &Metrics, import: &str, done: &BTreeMap<AfterDone, u64>) {
    for (done, count) in done {
        let label = PassLabel { import: import.to_owned(), became: done.slug() };
        metrics.import_after.get_or_create(&label).inc_by(*count);
    }
}

/// Sets the gauges of what waits.
pub(super) fn show(metrics: &Metrics, import: &str, report: &AfterReport) {
    let label = |became| PassLabel { import: import.to_owned(), became };
    for why in AfterWaits::ALL {
        let waiting = report.waiting_for(why);
        if waiting > 0 {
            let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
            metrics.import_after_waiting.get_or_create(&label(why.slug())).set(waiting);
        } else {
            metrics.import_after_waiting.remove(&label(why.slug()));
        }
    }
}

/// Removes the gauges of an import.
pub(super) fn forget(metrics: &Metrics, import: &str) {
    for why in AfterWaits::ALL {
        metrics.import_after_waiting.remove(&PassLabel { import: import.to_owned(), became: why.slug() });
    }
}
