//! `forebay check`: tests whether the configuration is valid and works.

use std::io::{self, Write};

use super::args::CheckArgs;
use super::failure::Failure;
use super::serve::{self, load_for_ci};
use crate::check::{CheckReport, Load};
use crate::node::check::{CheckError, check, check_offline, test_alarms};
use crate::runtime::colour;
use crate::runtime::paint::{BAD, FAINT, GOOD, Mark, WARNING, painted};

/// Buckets from which on progress is shown: with fewer, the check is too short.
const PROGRESS_FROM: usize = 10;

/// The marks at the beginnings of findings.
const MARKS: [Mark; 4] = [("  ✓", GOOD), ("  ✗", BAD), ("  !", WARNING), ("  –", FAINT)];

/// Runs every check and prints the findings.
/// Errors: [`Failure`]: exit code 1 if a check failed, 2 if the configuration cannot be used.
pub async fn run(args: &CheckArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let load = Load {
        calls_per_second: args.rate,
        call_bytes: args.call_bytes.0,
        outage_seconds: args.outage.get().as_secs(),
    };
    let source = args.source.as_ref();
    let checked = if args.alarm_test {
        test_alarms(&serve::load(&args.config)?.config).await
    } else if args.offline {
        check_offline(&load_for_ci(&args.config)?, source, load)
    } else {
        check(&serve::load(&args.config)?.config, source, args.timeout.get(), load, progress).await
    };
    let report = checked.map_err(|error| match error {
        CheckError::NoSource(source) => {
            Failure::usage(format!("{} has no source {source}", args.config.display()))
        }
        CheckError::Task(error) => error.into(),
        CheckError::Webhook(error) => (*error).into(),
    })?;
    print_report(&report, args.json, out)
}

/// Prints findings. Errors: [`Failure`]: a check failed, or `out` cannot be written.
pub(super) fn print_report(report: &CheckReport, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    print(report, json, out)?;
    match report.summary().failed {
        0 => Ok(()),
        1 => Err(Failure::failed("1 check failed")),
        failed => Err(Failure::failed(format!("{failed} checks failed"))),
    }
}

/// Prints findings. Errors: [`Failure`]: `out` cannot be written.
pub(super) fn print(report: &CheckReport, json: bool, out: &mut dyn Write) -> Result<(), Failure> {
    let text = match json {
        true => format!("{}\n", report.json()?),
        false => painted(&report.text(), &MARKS, colour::wanted(&io::stdout())),
    };
    out.write_all(text.as_bytes())?;
    Ok(())
}

fn progress(done: usize, all: usize) {
    let mut err = io::stderr().lock();
    if all < PROGRESS_FROM || !colour::is_drawable(&err) {
        return;
    }
    let end = if done == all { "\n" } else { "" };
    if let Err(error) = write!(err, "\r{done} of {all} buckets{end}").and_then(|()| err.flush()) {
        tracing::debug!(%error, "standard error cannot be written");
    }
}
