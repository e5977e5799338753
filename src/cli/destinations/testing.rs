//! `forebay destinations test`: whether a destination's functions can be invoked from this machine.

use std::io::Write;

use super::args::TestArgs;
use super::configured::{configured, named};
use crate::check::example_call::Event;
use crate::cli::check::print;
use crate::cli::failure::Failure;
use crate::node::destination_test::{TestError, TestOrder, test};
use crate::runtime::SystemRandom;

/// Tests a destination and prints the findings.
/// Errors: [`Failure`]: exit code 1 if something failed, 2 if the configuration or an argument cannot be
/// used.
pub(super) async fn run(args: &TestArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let (destinations, config) = configured(&args.config)?;
    let settings = named(&args.config, &args.name, destinations)?;
    let event = args.event.as_deref().map(|path| {
        let event = Event::read(path, &SystemRandom);
        event.map_err(|what| Failure::usage(format!("--event {}: {what}", path.display())))
    });
    let order = TestOrder {
        file: args.config.clone(),
        source: args.source.clone(),
        kind: args.kind.clone(),
        event: event.transpose()?,
        run: args.run,
    };
    let report = test(settings, config.as_ref(), &order).await.map_err(|error| match error {
        TestError::Wrong(what) => Failure::usage(what),
        TestError::Io(error) => error.into(),
    })?;
    print(&report, args.json, out)?;
    match report.summary().failed {
        0 => Ok(()),
        1 => Err(Failure::failed(format!("1 test of {} failed", args.name))),
        failed => Err(Failure::failed(format!("{failed} tests of {} failed", args.name))),
    }
}
