//! What a node shows of an import: how far it is, what was rejected, and what is to be done.

use crate::admin::{ImportErrors, ImportStatus};
use crate::import::{ATTEMPTS_MAX, ImportRecord, ImportState, KnownImport, RejectCounts, TOO_MANY_REJECTED};
use crate::words::{Told, outside_text, shell_word};

/// What stands for the codes of rejected rows that are not known apart.
const OF_KILLED: &str = "of a process that was killed (the rejected rows have their reasons)";
const OF_RETRY: &str = "that a retry which has not ended has not read, or has rejected again";

/// What a list calls the state of an import.
pub(super) fn state_of_import(known: &KnownImport) -> &'static str {
    match known.record.state {
        _ if known.is_open => "running",
        ImportState::Done => "done",
        ImportState::Reading => "stopped",
        ImportState::Failed => "failed",
        ImportState::Poison => "given_up",
        ImportState::Changed => "changed",
        ImportState::Replaced => "replaced",
        ImportState::Gone => "gone",
    }
}

/// What whoever shows an import knows beside its record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeenHere<'a> {
    /// The name of the `[[import]]` whose file it is.
    pub(super) name: Option<&'a str>,
    /// The other instance that has the file now.
    pub(super) owner: Option<&'a str>,
    /// Whether messages are shown, which quote what rows contain.
    pub(super) full: bool,
}

/// The status of an import, for people.
pub(super) fn import_status(known: KnownImport, seen: &SeenHere<'_>) -> ImportStatus {
    let SeenHere { name, owner, full } = *seen;
    let state = state_of_import(&known);
    let KnownImport { record: import, is_open, last_rejects, object, settled_by_retry } = known;
    // The code may come from another process.
    let code = |code: &str| Told::word(code).shown(full).to_owned();
    let rejected = import.unsettled_rejects().saturating_sub(settled_by_retry);
    let (sent_again, left_out) = (import.sent_again(), import.left_out());
    let next = if is_open { None } else { next_of(&import, name, object.as_deref()) };
    // What was to be done here is up to that instance.
    let next = next.map(|next| owner.map_or(next, next_elsewhere));
    let (settled, accepted) = (import.settled_by_passes() + settled_by_retry, import.accepted_rejects());
    // The first import has the rows that a retry rejected again, and the command for them.
    let rejected_again = if import.is_retry() { import.progress.rejected } else { 0 };
    let errors = |rejects: RejectCounts, not_stored| {
        rejects.into_rows().into_iter().map(move |rows| ImportErrors {
            code: code(&rows.code),
            count: rows.count,
            example: Some(format!("line {}: {}", rows.line, rows.message.shown(full))),
            not_stored,
        })
    };
    let (counted, of_killed) = match settled_by_retry {
        0 => {
            let counted = errors(import.rejects, false).collect::<Vec<_>>();
            let of_killed = not_counted(&counted, rejected, OF_KILLED);
            (counted, of_killed.filter(|_| !matches!(state, "running" | "stopped")))
        }
        // Which ones are left is told by the retry.
        _ => (Vec::new(), not_counted(&[], rejected, OF_RETRY)),
    };
    let errors = counted.into_iter().chain(of_killed).chain(errors(last_rejects, true));
    // A pass over a bucket reads its rejected rows again by itself.
    let is_of_command = import.import.is_none();
    let rejects_of_command =
        import.rejects_file.as_ref().filter(|_| is_of_command && (rejected > 0 || state != "done"));
    let retry = rejects_of_command.map(|file| {
        let source = import.source.as_ref().map(|id| format!(" --source {id}"));
        format!("forebay import retry-rejects {}{}", shell_word(file), source.unwrap_or_default())
    });
    ImportStatus {
        id: import.key.to_string(),
        import: name.map(str::to_owned),
        what: import.name,
        source: import.source.map(|source| source.to_string()).unwrap_or_default(),
        state: state.to_owned(),
        begun_ms: import.first_seen.0,
        ended_ms: import.ended_at.map(|at| at.0),
        bytes: import.bytes,
        rows_read: import.progress.next_row,
        stored: import.progress.stored,
        repeated: import.progress.repeats,
        refused: import.progress.refused,
        rejected,
        sent_again,
        left_out,
        settled,
        accepted,
        rejected_again,
        errors: errors.collect(),
        rejects_file: import.rejects_file,
        retry,
        attempts: import.attempts,
        why: import.error.map(|error| format!("{}: {}", code(&error.code), error.message.in_view(full))),
        next,
    }
}

/// The rejected rows that no code counts: the reading side counts by codes, and tells of it when it ends.
fn not_counted(counted: &[ImportErrors], rejected: u64, why: &str) -> Option<ImportErrors> {
    let count = rejected.saturating_sub(counted.iter().map(|errors| errors.count).sum());
    (count > 0).then(|| ImportErrors { code: why.to_owned(), count, ..ImportErrors::default() })
}

/// The same about a file that was released and belongs to another instance now.
fn next_elsewhere(owner: &str) -> String {
    let owner = outside_text(owner);
    format!(
        "it was released, and belongs to the instance {owner} now, which reads it from its first row: nothing is left to do here"
    )
}

/// What is to be done about an import, or happens by itself. `object`: the key of the object that it reads.
fn next_of(import: &ImportRecord, name: Option<&str>, object: Option<&str>) -> Option<String> {
    // A command reads the file, or a pass over a bucket.
    let is_of_bucket = import.import.is_some();
    let of_import = name.map_or_else(|| "NAME".to_owned(), shell_word);
    let of_object = object.map_or_else(|| "KEY".to_owned(), shell_word);
    if import.is_round() {
        return next_of_round(import, &of_import);
    }
    match import.state {
        ImportState::Done if is_of_bucket && import.unsettled_rejects() > 0 && !import.keeps_rejects() => {
            Some(format!(
                "the rejected rows are not kept (see rejects_max), so they cannot be read again alone: `forebay import run \
             {of_import} --again --from {of_object} --to {of_object}` reads the whole file again, and `forebay import reset-file \
             {of_import} {of_object} --accept-rejects` does without them"
            ))
        }
        ImportState::Done if is_of_bucket && import.unsettled_rejects() > 0 => Some(format!(
            "correct the converter, and read the rejected rows again: `forebay import retry-rejects --import {of_import}`"
        )),
        ImportState::Done => None,
        ImportState::Reading => {
            Some(match is_of_bucket {
                // One that is gone or replaced stays as it is.
                true => "the next pass continues after the last stored row, if the object is still there as it was",
                false => "the same command continues after the last stored row",
            }
            .to_owned())
        }
        ImportState::Failed if is_of_bucket => {
            Some(format!("the next pass tries it again; after {ATTEMPTS_MAX} failures it is given up"))
        }
        ImportState::Failed => Some(format!(
            "the same command tries it again; after {ATTEMPTS_MAX} failures it is given up until the file or the options change"
        )),
        ImportState::Poison if is_of_bucket => {
            let reset = format!("forebay import reset-file {of_import} {of_object}");
            // A file ends with the converter that it began with.
            let is_of_rows = import.error.as_ref().is_some_and(|error| error.code == TOO_MANY_REJECTED);
            Some(if import.progress.stored > 0 && !is_of_rows {
                format!(
                    "what is stored of it stays. No pass reads the rest: if the file is damaged, put a whole one in its place, and \
                     `{reset}` imports that as a new file; if not, `{reset}` goes on after the last stored row"
                )
            } else if import.progress.stored > 0 {
                format!(
                    "what is stored of it stays. No pass reads the rest until `{reset}`, which takes the converter of now for it, \
                     or until on_row_error changes: \"reject\" keeps bad rows for \
                     `forebay import retry-rejects --import {of_import}`"
                )
            } else {
                format!(
                    "no pass reads it again until the file, the converter or on_row_error change, or `{reset}` lets it begin \
                     again"
                )
            })
        }
        ImportState::Changed => Some(format!(
            "what is stored of it stays. `forebay import reset-file {of_import} {of_object}` imports the object that is there now"
        )),
        // A person knows of it.
        ImportState::Gone if import.error.is_none() => {
            let next = "what is stored of it stays. If the object comes back as it was, the next pass over all keys goes on with it";
            Some(next.to_owned())
        }
        ImportState::Gone => Some(format!(
            "what is stored of it stays. Put the object back as it was, and the next pass over all keys goes on with it; or say \
             that you know of it: `forebay import reset-file {of_import} {of_object}`"
        )),
        ImportState::Replaced if import.unsettled_rejects() > 0 => Some(format!(
            "its rejected rows cannot be read again, because another object has its key: \
             `forebay import reset-file {of_import} {of_object} --accept-rejects` does without them"
        )),
        ImportState::Replaced => None,
        ImportState::Poison => Some(
            "it is not tried again until you change the file or the options, or import it with `--force`"
                .to_owned(),
        ),
    }
}

/// The same about rejected rows that are read again: only the same command goes on with them, and no pass.
fn next_of_round(round: &ImportRecord, of_import: &str) -> Option<String> {
    let retry = format!("`forebay import retry-rejects --import {of_import}`");
    match round.state {
        ImportState::Done => None,
        ImportState::Reading => Some(format!("{retry} goes on with the next of these rows; no pass does")),
        ImportState::Failed => Some(format!(
            "{retry} tries it again, and no pass does; after {ATTEMPTS_MAX} failures it is given up"
        )),
        ImportState::Poison => Some(format!(
            "these rows are not read again until the converter or on_row_error change, and then by {retry}"
        )),
        // Their object is gone, or another one has its key: what to do about them stands at the file.
        ImportState::Changed | ImportState::Replaced | ImportState::Gone => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::import::ImportId;
    use crate::log::{ImportKey, ImportProgress};

    const ALL: SeenHere<'_> = SeenHere { name: None, owner: None, full: true };
    const ORDERS: SeenHere<'_> = SeenHere { name: Some("orders"), ..ALL };
    const SECRET: &str = "jane.roe@example.com";

    fn failed(message: Told) -> KnownImport {
        let mut error = serde_json::to_value(message).unwrap();
        error["code"] = "E-CSV-MISSING".into();
        let why = format!("column {SECRET} is not a time: \"{SECRET}\"");
        let record = json!({
            "key": ImportKey(1),
            "name": "/exports/track_1.csv",
            "options": "",
            "state": "failed",
            "attempts": 1,
            "error": error,
            "progress": ImportProgress::default(),
            "rejects": [{ "code": "bad-time", "count": 1, "line": 2, "message": why }],
            "first_seen": 0,
        });
        KnownImport {
            record: serde_json::from_value(record).unwrap(),
            is_open: false,
            last_rejects: RejectCounts::default(),
            object: None,
            settled_by_retry: 0,
        }
    }

    /// The list had fewer reasons than rows, without a word.
    #[test]
    fn rows_of_a_process_that_was_killed_are_counted_without_their_codes() {
        let shown = |state, rejected| {
            let mut known = failed("why".into());
            (known.record.state, known.record.progress.rejected) = (state, rejected);
            let errors = import_status(known, &ALL).errors;
            errors
                .into_iter()
                .map(|errors| (errors.count, errors.code.contains("killed")))
                .collect::<Vec<_>>()
        };
        assert_eq!(shown(ImportState::Done, 5), [(1, false), (4, true)]);
        assert_eq!(shown(ImportState::Done, 1), [(1, false)]);
        assert_eq!(shown(ImportState::Reading, 5), [(1, false)], "the others are reported at the end");
    }

    /// The list named a command that cannot read these rows.
    #[test]
    fn what_a_pass_reads_is_not_retried_by_a_command() {
        let status = |import: Option<ImportId>| {
            let mut known = failed("why".into());
            known.record.rejects_file = Some("/r/a.ndjson".to_owned());
            known.record.import = import;
            let status = import_status(known, &ORDERS);
            (status.retry.is_some(), status.next.unwrap().starts_with("the next pass"))
        };
        assert_eq!(status(None), (true, false));
        assert_eq!(status(Some(ImportId::of_bits(7))), (false, true));
    }

    /// It said that the next pass goes on, or gave a command that is refused.
    #[test]
    fn of_a_file_that_another_instance_has_nothing_is_left_to_do() {
        let next = |state| {
            let mut known = failed("why".into());
            (known.record.state, known.record.import) = (state, Some(ImportId::of_bits(7)));
            import_status(known, &SeenHere { owner: Some("0123"), ..ORDERS }).next
        };
        let says = next(ImportState::Reading).unwrap();
        assert!(says.starts_with("it was released, and belongs to the instance 0123 now"), "{says}");
        assert_eq!(next(ImportState::Poison).unwrap(), says);
        assert_eq!(next(ImportState::Done), None);
    }

    /// It printed NAME and KEY, although it knew both, and nothing for rows that were rejected.
    #[test]
    fn what_is_to_be_done_is_a_command_that_can_be_copied() {
        let next = |state, name: Option<&str>, object: Option<&str>, rejected| {
            let mut record = failed("why".into()).record;
            (record.state, record.import) = (state, Some(ImportId::of_bits(7)));
            record.progress.rejected = rejected;
            next_of(&record, name, object)
        };
        let given_up = |name, object| next(ImportState::Poison, name, object, 0).unwrap();
        let says = given_up(Some("orders"), Some("in/a b.zip"));
        assert!(says.contains("`forebay import reset-file orders 'in/a b.zip'` lets it"), "{says}");
        let stored = |code: &str| {
            let mut record = serde_json::to_value(failed("why".into()).record).unwrap();
            record["error"]["code"] = code.into();
            let mut record: ImportRecord = serde_json::from_value(record).unwrap();
            (record.state, record.import) = (ImportState::Poison, Some(ImportId::of_bits(7)));
            record.progress.stored = 5;
            next_of(&record, Some("orders"), Some("in/a")).unwrap()
        };
        assert!(stored(TOO_MANY_REJECTED).contains("on_row_error changes"));
        let says = stored("E-CUT");
        assert!(says.contains("goes on after") && !says.contains("on_row_error"), "{says}");
        let says = given_up(None, None);
        assert!(says.contains("`forebay import reset-file NAME KEY` lets it"), "{says}");
        let done = |rejected| next(ImportState::Done, Some("orders"), None, rejected);
        assert_eq!(done(0), None);
        let says = done(1).unwrap();
        assert!(
            says.contains("not kept") && says.contains("`forebay import run orders --again --from KEY"),
            "{says}"
        );
        let mut record = failed("why".into()).record;
        (record.state, record.import) = (ImportState::Done, Some(ImportId::of_bits(7)));
        (record.progress.rejected, record.rejects_file) = (1, Some("/r/a.ndjson".to_owned()));
        let says = next_of(&record, Some("orders"), None).unwrap();
        assert!(says.ends_with("`forebay import retry-rejects --import orders`"), "{says}");
    }

    /// Those of a process that was killed were in no count.
    #[test]
    fn rows_that_are_in_no_other_count_are_left_out() {
        let left_out = |import: Option<ImportId>, told| {
            let mut known = failed("why".into());
            let record = &mut known.record;
            (record.state, record.import, record.skipped) = (ImportState::Done, import, told);
            record.progress = ImportProgress { next_row: 10, stored: 5, rejected: 2, ..record.progress };
            import_status(known, &ALL).left_out
        };
        let id = Some(ImportId::of_bits(7));
        assert_eq!([left_out(id, 1), left_out(id, 4), left_out(None, 1)], [3, 4, 1]);
    }

    /// What a retry that was stopped had stored counted as rejected, too.
    #[test]
    fn rows_that_a_stopped_retry_has_settled_are_not_rejected() {
        let mut known = failed("why".into());
        (known.record.state, known.record.import) = (ImportState::Done, Some(ImportId::of_bits(7)));
        (known.record.progress.rejected, known.settled_by_retry) = (5, 3);
        let status = import_status(known, &ALL);
        assert_eq!((status.rejected, status.settled), (2, 3));
        let errors: Vec<_> =
            status.errors.iter().map(|errors| (errors.count, errors.code.as_str())).collect();
        assert_eq!(errors, [(2, OF_RETRY)]);
    }

    /// It said that the next pass goes on with the rows of a retry that was killed, and counted them a second time.
    #[test]
    fn a_retry_that_was_killed_goes_on_by_the_same_command() {
        let shown = |state| {
            let mut known = failed("why".into());
            (known.record.state, known.record.import) = (state, Some(ImportId::of_bits(7)));
            known.record.progress.rejected = 5;
            let mut record = serde_json::to_value(&known.record).unwrap();
            record["retries"] = json!({ "rounds": 0, "settled": 0, "is_round": true });
            known.record = serde_json::from_value(record).unwrap();
            import_status(known, &ORDERS)
        };
        let status = shown(ImportState::Reading);
        assert_eq!(
            (status.rejected, status.rejected_again, status.import.as_deref()),
            (0, 5, Some("orders"))
        );
        let command = "`forebay import retry-rejects --import orders`";
        assert_eq!(
            status.next.unwrap(),
            format!("{command} goes on with the next of these rows; no pass does")
        );
        assert!(shown(ImportState::Failed).next.unwrap().starts_with(command));
        assert!(shown(ImportState::Poison).next.unwrap().ends_with(command));
        assert_eq!(shown(ImportState::Done).next, None);
    }

    /// The rows of a round were counted nowhere.
    #[test]
    fn rows_that_a_pass_read_again_are_counted() {
        let shown = |retries: serde_json::Value| {
            let mut known = failed("why".into());
            (known.record.state, known.record.import) = (ImportState::Done, Some(ImportId::of_bits(7)));
            known.record.progress.rejected = 2;
            let mut record = serde_json::to_value(&known.record).unwrap();
            record["retries"] = retries;
            known.record = serde_json::from_value(record).unwrap();
            let status = import_status(known, &ALL);
            [status.rejected, status.settled, status.rejected_again]
        };
        let of_file = json!({ "rounds": 1, "settled": 1 });
        let of_round = json!({ "rounds": 0, "settled": 2, "is_round": true });
        assert_eq!((shown(of_file), shown(of_round)), ([1, 1, 0], [0, 0, 2]));
    }

    #[test]
    fn a_masked_import_has_nothing_of_its_file() {
        let older = format!("{{\"message\":\"a track file needs a column event; the file has {SECRET}\"}}");
        for (message, shown) in [
            (Told::private(SECRET), "E-CSV-MISSING: [hidden]"),
            (Told::plain("line 2: ").and_private(SECRET, "bad-time"), "E-CSV-MISSING: line 2: bad-time"),
            // As a journal of an older program has it.
            (serde_json::from_str(&older).unwrap(), "E-CSV-MISSING: [hidden]"),
        ] {
            let json = |full| {
                serde_json::to_string(&import_status(failed(message.clone()), &SeenHere { full, ..ALL }))
                    .unwrap()
            };
            assert_eq!(json(true).matches(SECRET).count(), 3, "{}", json(true));
            assert!(!json(false).contains(SECRET), "{}", json(false));
            let how = "(some of it is hidden; admin.live_view = \"full\" shows it)";
            assert_eq!(
                import_status(failed(message), &SeenHere::default()).why,
                Some(format!("{shown} {how}"))
            );
        }
    }
}
