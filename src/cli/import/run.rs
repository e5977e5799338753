//! `forebay import run` and `rename`: one pass over the bucket of an `[[import]]`, and another name for one.

use std::io::Write;

use tokio_util::sync::CancellationToken;

use super::resume;
use super::run_args::{NodeOrSpoolArgs, ReleaseArgs, RenameArgs, RunArgs};
use crate::admin::{AskedPass, Grant, PassStatus, again, pass_lines};
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_either;
use crate::cli::serve;
use crate::node::bucket_imports::ImportsAt;
use crate::node::error::NodeError;
use crate::runtime::Background;
use crate::runtime::say::say;
use crate::words::{outside_text, outside_text_within};

/// Files that are named after a pass.
const NAMED_MAX: usize = 20;
/// The most bytes that are shown of a text with what to do.
const TEXT_BYTES_MAX: usize = 4_096;

/// Makes a pass, and prints what it found.
/// Errors: [`Failure`], also if a file failed or rows were rejected: see the exit codes.
pub(super) async fn run(
    args: &RunArgs,
    stop: CancellationToken,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    if !args.dry_run {
        tell(args, &format!("importing {} {}", args.name, imports.text()));
    }
    let made = made(args, &imports, stop).await;
    let (made, ended) = settled(imports, made, !args.dry_run).await?;
    let Some(pass) = made else {
        let what = "stopped waiting: the node goes on with the pass, and `forebay status` shows it";
        return Err(Failure::with_code(failure::INTERRUPTED, what));
    };
    print_either(out, args.at.json, &pass, || text(&pass)).and_then(|()| out.flush())?;
    ended?;
    failure_of(&pass).map_or(Ok(()), Err)
}

/// Makes a pass, or says what it would do. Before files are imported again, the command says how many.
async fn made(
    args: &RunArgs,
    imports: &ImportsAt,
    stop: CancellationToken,
) -> Result<Option<PassStatus>, NodeError> {
    let (name, from, to) = (args.name.clone(), args.from.clone(), args.to.clone());
    let asked = AskedPass { name, from, to, again: args.again, dry_run: args.dry_run };
    if args.again && !args.dry_run {
        let plan = imports.run(AskedPass { dry_run: true, ..asked.clone() }, stop.clone()).await?;
        let Some(PassStatus { planned: Some(planned), .. }) = &plan else { return Ok(plan) };
        tell(args, &again(planned));
    }
    imports.run(asked, stop).await
}

fn tell(args: &RunArgs, what: &str) {
    if args.at.json { tracing::info!("{what}") } else { say(what) }
}

/// Gives an import another name.
/// Errors: [`Failure`]: nothing has changed, or what waits in the spool is not delivered.
pub(super) async fn rename(
    args: &RenameArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let renamed = imports.rename(args.old.clone(), args.new.clone()).await;
    let (renamed, ended) = settled(imports, renamed, true).await?;
    let new = outside_text(&renamed.name).to_string();
    print_either(out, args.at.json, &renamed, || {
        format!(
            "import {} is now {new}: files that were imported under the old name are known under the new one\n",
            args.old
        )
    })?;
    Ok(ended?)
}

/// Frees the open claims of an instance whose disk is lost.
/// Errors: [`Failure`]: the shared journal cannot be used, or what waits in the spool is not delivered.
pub(super) async fn release(
    args: &ReleaseArgs,
    background: &Background,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let imports = reached(&args.at, background).await?;
    let released = imports.release(&args.name, &args.instance, args.dry_run).await;
    let (released, ended) = settled(imports, released, !args.dry_run).await?;
    print_either(out, args.at.json, &released, || released.text())?;
    Ok(ended?)
}

/// Closes the spool after the work, if the command opened one, and delivers what it holds, also if the work failed; one
/// that only looks does not `deliver`. Errors: [`Failure`]: the work failed; the text also says what is left in the spool.
pub(super) async fn settled<T>(
    imports: ImportsAt,
    work: Result<T, NodeError>,
    deliver: bool,
) -> Result<(T, Result<(), NodeError>), Failure> {
    let ended = imports.end(deliver).await;
    match work {
        Ok(done) => Ok((done, ended)),
        Err(error) => Err(both(error, ended)),
    }
}

fn both(error: NodeError, ended: Result<(), NodeError>) -> Failure {
    let failure = Failure::from(error);
    let Err(left) = ended else { return failure };
    Failure::with_code(failure.code(), format!("{failure}; {}", Failure::from(left)))
}

pub(super) async fn reached(at: &NodeOrSpoolArgs, background: &Background) -> Result<ImportsAt, Failure> {
    let config = at.config.as_deref().map(serve::load_for_imports).transpose()?;
    Ok(ImportsAt::of(at.admin.as_ref(), at.token_file.as_deref(), config, background).await?)
}

fn text(pass: &PassStatus) -> String {
    let lines = pass_lines(pass, NAMED_MAX).into_iter().map(|(name, text)| format!("  {name:<11}{text}\n"));
    lines.chain(pass.grants.iter().map(grant)).collect()
}

/// What grants a right, with its statement below it.
pub(super) fn grant(grant: &Grant) -> String {
    let clean = |text: &str| outside_text_within(text, TEXT_BYTES_MAX).to_string();
    let colon = if grant.statement.is_some() { ":" } else { "" };
    let statement = grant.statement.iter().flat_map(|statement| statement.lines());
    let statement: String = statement.map(|line| format!("      {}\n", clean(line))).collect();
    format!("  → {}{colon}\n{statement}", clean(&grant.text))
}

/// The failure that the command ends with, if any.
fn failure_of(pass: &PassStatus) -> Option<Failure> {
    let count = |became: &str| pass.files.get(became).copied().unwrap_or(0);
    if pass.stopped || count("stopped") > 0 {
        return Some(resume::stopped());
    }
    if let Some(failed) = &pass.failed {
        let code = match failed.kind.as_str() {
            "denied" => failure::DENIED,
            "settings" => failure::WRONG_USAGE,
            "unreachable" => failure::UNREACHABLE,
            _ => failure::FAILED,
        };
        return Some(Failure::with_code(code, outside_text_within(&failed.what, TEXT_BYTES_MAX).to_string()));
    }
    if pass.planned.is_some() {
        let denied = || Failure::with_code(failure::DENIED, "access to some files is denied");
        return (count("denied") > 0).then(denied);
    }
    let not_done = ["failed", "poison", "changed", "gone", "missing", "refused"];
    let failed = not_done.into_iter().any(|became| count(became) > 0);
    let import = outside_text(&pass.import);
    let rejected = format!(
        "some rows were rejected: `forebay import list --import {import}` names the files and the reasons, and \
         `forebay import retry-rejects --import {import}` reads the rows again once the converter is corrected"
    );
    let (code, what) = if count("denied") > 0 {
        (failure::DENIED, "access to some files is denied")
    } else if pass.after.as_ref().is_some_and(|after| after.waiting_for("denied") > 0) {
        (failure::DENIED, "what is to be done with imported files is denied")
    } else if failed || pass.not_begun > 0 || pass.claims.as_ref().is_some_and(|claims| claims.unknown > 0) {
        (failure::FAILED, "some files are not imported")
    } else if pass.rejected > 0 {
        (failure::SOME_REJECTED, rejected.as_str())
    } else {
        return None;
    };
    Some(Failure::with_code(code, what.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::admin::{ClaimsStatus, FileNotDone, FilePlanned, PassFailure, PassPlanned};
    use crate::import::Unusable;

    fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
        pairs.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn a_pass_is_shown_with_what_is_not_done() {
        let pass = PassStatus {
            listed: 1_204,
            known: 1_200,
            skipped: counts(&[("folder", 1), ("too_small", 1)]),
            files: counts(&[("done", 1), ("poison", 1)]),
            rows: 14,
            stored: 10,
            repeats: 2,
            rejected: 2,
            not_done: vec![FileNotDone {
                name: "s3://lake/in/\u{1b}[2J".to_owned(),
                became: "poison".to_owned(),
                error: Some("E-FORMAT: an array".to_owned()),
            }],
            ..PassStatus::default()
        };
        assert_eq!(
            text(&pass),
            "  listed:    1,204 objects: 1,200 known, 2 skipped, 2 to import\n  skipped:   1 folder, 1 too small\n  \
             files:     1 done, 1 given up\n  read:      14 rows: 10 calls stored, 2 dropped as repeats, 2 rejected, 0 left out by the converter\n  \
             not done:  s3://lake/in/\\u{1b}[2J given up: E-FORMAT: an array\n"
        );
        assert_eq!(failure_of(&pass).unwrap().code(), failure::FAILED);
    }

    #[test]
    fn a_pass_that_is_not_made_is_shown_with_what_it_would_do() {
        let first = vec![FilePlanned { name: "s3://lake/in/a".to_owned(), would: "go_on".to_owned() }];
        let would = counts(&[("again", 2), ("go_on", 1)]);
        let mut planned = PassPlanned { would, rows_again: 4_000, first, ..PassPlanned::default() };
        let files = counts(&[("poison", 1)]);
        let pass = PassStatus {
            listed: 4,
            given_up: 1,
            files,
            planned: Some(planned.clone()),
            ..PassStatus::default()
        };
        let shown = text(&pass);
        let expected = "4 objects: 0 known, 0 skipped, 1 given up, 3 to import\n  files:     1 given up\n  would:     2 again, 1 go on\n  again:     2 imported files with 4,000 rows \
                        will be stored again, with the same messageIds\n  first:     go on s3://lake/in/a\n";
        assert!(shown.ends_with(expected), "{shown}");
        assert!(failure_of(&pass).is_none());
        planned.insert_id_window_ms = 3_600_000;
        assert!(
            again(&planned)
                .contains("messageIds, but for rows with an insert_id that were stored within 1 h")
        );
    }

    #[test]
    fn what_is_left_in_the_spool_is_told_also_if_the_work_failed() {
        let wrong = || NodeError::from(Unusable::Wrong("there is no such import".to_owned()));
        let alone = both(wrong(), Ok(()));
        assert_eq!(
            (alone.code(), alone.to_string().as_str()),
            (failure::WRONG_USAGE, "there is no such import")
        );
        let failed = both(wrong(), Err(NodeError::Other("1 batch is safe in the spool".to_owned())));
        assert_eq!(
            (failed.code(), failed.to_string().as_str()),
            (failure::WRONG_USAGE, "there is no such import; 1 batch is safe in the spool")
        );
    }

    #[test]
    fn each_end_has_its_exit_code() {
        let code = |pass: &PassStatus| failure_of(pass).map_or(0, |failure| failure.code());
        let files = |became: &str| PassStatus { files: counts(&[(became, 1)]), ..PassStatus::default() };
        for became in ["done", "done_before"] {
            assert_eq!(code(&files(became)), 0, "{became}");
        }
        for became in ["failed", "poison", "changed", "missing", "refused"] {
            assert_eq!(code(&files(became)), failure::FAILED, "{became}");
        }
        assert_eq!(code(&files("denied")), failure::DENIED);
        let planned = |became| PassStatus { planned: Some(PassPlanned::default()), ..files(became) };
        assert_eq!([code(&planned("denied")), code(&planned("poison"))], [failure::DENIED, 0]);
        assert_eq!(code(&files("stopped")), failure::INTERRUPTED);
        let rejected = PassStatus { import: "orders".to_owned(), rejected: 1, ..files("done") };
        assert_eq!(code(&rejected), failure::SOME_REJECTED);
        let said = failure_of(&rejected).unwrap().to_string();
        assert!(said.contains("`forebay import list --import orders` names the files"), "{said}");
        assert!(said.contains("`forebay import retry-rejects --import orders` reads"), "{said}");
        let claims =
            ClaimsStatus { claimed: 3, instances: counts(&[("0123", 3)]), ..ClaimsStatus::default() };
        let elsewhere = PassStatus { listed: 3, claims: Some(claims), ..PassStatus::default() };
        let shown = text(&elsewhere);
        assert!(
            shown.contains(" 0 to import\n") && shown.contains("to other instances: 3 to 0123"),
            "{shown}"
        );
        let failed = |kind: &str| PassStatus {
            failed: Some(PassFailure { kind: kind.to_owned(), what: "why".to_owned() }),
            ..PassStatus::default()
        };
        assert_eq!(code(&failed("denied")), failure::DENIED);
        let codes = ["settings", "unreachable"].map(|kind| code(&failed(kind)));
        assert_eq!(codes, [failure::WRONG_USAGE, failure::UNREACHABLE]);
        assert_eq!(code(&failed("journal")), failure::FAILED);
    }
}
