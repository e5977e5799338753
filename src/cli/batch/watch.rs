//! `forebay batch watch`: the progress of a job, whoever runs it.

use std::io::Write;
use std::time::Duration;

use tokio::time::sleep;

use super::args::OfJobArgs;
use super::folder::folder;
use super::run::ended;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_either;
use crate::node::jobs::outcome::Outcome;
use crate::node::jobs::shown::{look_closely, look_on, waits_for};
use crate::runtime::SystemClock;
use crate::runtime::progress::{ProgressArg, View};

/// How often the job is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Shows the progress of a job until it has ended.
/// Errors: [`Failure`]: as `batch run` ends.
pub(super) async fn run(args: &OfJobArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (folder, clock) = (folder(&args.at), SystemClock::new());
    let mut view = View::new(ProgressArg::Auto);
    let (mut told, mut done) = (None, None);
    loop {
        let (seen, shown) = look_on(&folder, args.job, &clock, &mut done)?;
        let state = &seen.now.state;
        if state.status.is_final() {
            drop(view);
            let shown = look_closely(&folder, args.job, &clock)?;
            print_either(out, args.at.json, &shown, || shown.text()).and_then(|()| out.flush())?;
            let outcome = Outcome::of(state, shown.failed);
            return ended(outcome, &shown, state, None).map_or(Ok(()), Err);
        }
        let waits = waits_for(&seen);
        if told != waits {
            told = waits;
            told.iter().for_each(|text| view.say(text));
        }
        view.show(&shown.progress());
        sleep(view.every().max(LOOK_EVERY)).await;
    }
}
