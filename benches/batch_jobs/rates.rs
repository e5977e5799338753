//! Tasks a second, in turns.

use std::sync::Arc;
use std::time::Duration;

use forebay::jobs::handlers::Handler;
use forebay::jobs::handlers::web::WebHandler;
use forebay::runtime::SystemClock;
use forebay::time::Clock as _;

use crate::client::{bare, bare_client, same_client};
use crate::job::{AtOnce, make, manifest, run};
use crate::own_process::OwnProcess;
use crate::server::SERVE;
use crate::{dir, number, runtime};

/// The median, the least and the most.
fn median(mut figures: Vec<f64>) -> String {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    format!("{:.2} ({:.2} to {:.2})", at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1)))
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(tasks: u64, took: Duration) -> f64 {
    tasks as f64 / took.as_secs_f64()
}

fn ratios(of: &[f64], to: &[f64]) -> String {
    median(of.iter().zip(to).map(|(of, to)| of / to).collect())
}

pub(crate) fn measure() {
    let (tasks, rounds) = (number("--tasks", 100_000), number("--rounds", 7));
    let concurrency = number("--concurrency", 100);
    let at_once_tasks = number("--at-once-tasks", 10 * tasks);
    let folder = tempfile::tempdir_in(dir()).expect("a folder");
    let (manifest, at_once_manifest) =
        (manifest(folder.path(), tasks), manifest(folder.path(), at_once_tasks));
    let runtime = runtime();
    let server = OwnProcess::start([SERVE, "yes"]);
    let timeout = Duration::from_secs(60);
    let web = {
        let _entered = runtime.enter();
        Arc::new(WebHandler::new(server.url.clone(), timeout).expect("certificates"))
    };
    let (bare, clock) = (bare(), SystemClock::new());
    let timed = |work: &mut dyn FnMut()| {
        let began = clock.monotonic();
        work();
        rate(tasks, clock.monotonic() - began)
    };
    let job = |manifest: &std::path::Path, tasks: u64, handler: Arc<dyn Handler>| {
        let state = tempfile::tempdir_in(folder.path()).expect("a folder");
        let held = make(state.path(), manifest, concurrency);
        rate(tasks, runtime.block_on(run(held, true, handler)).tasks)
    };
    let (mut by_bare, mut by_loop, mut by_job, mut at_once) = (vec![], vec![], vec![], vec![]);
    for round in 0..=rounds {
        let figures = [
            timed(&mut || runtime.block_on(bare_client(&bare, &server.url, tasks, concurrency))),
            timed(&mut || runtime.block_on(same_client(&web, tasks, concurrency))),
            job(&manifest, tasks, Arc::<WebHandler>::clone(&web)),
            job(&at_once_manifest, at_once_tasks, Arc::new(AtOnce)),
        ];
        // The first round opens connections.
        if round > 0 {
            for (all, figure) in
                [&mut by_bare, &mut by_loop, &mut by_job, &mut at_once].into_iter().zip(figures)
            {
                all.push(figure);
            }
        }
    }
    println!(
        "{tasks} tasks ({at_once_tasks} in the process), {concurrency} at once, {rounds} rounds; median (least to most)\n"
    );
    println!("| | tasks a second | ratio | target |\n| --- | --- | --- | --- |");
    let row = |name: &str, figures: &[f64], ratio: String, target: &str| {
        let all = figures.iter().map(|figure| figure / 1_000.0).collect();
        println!("| {name} | {} thousand | {ratio} | {target} |", median(all));
    };
    row("loop of a bare client", &by_bare, String::new(), "");
    row("loop of the handler's client", &by_loop, ratios(&by_loop, &by_bare) + " of the bare loop", "");
    row("job with that handler", &by_job, ratios(&by_job, &by_loop) + " of the loop", "0.8");
    row("", &by_job, ratios(&by_job, &by_bare) + " of the bare loop", "");
    row("job with a handler in the process", &at_once, ratios(&at_once, &by_job) + " of the job before", "5");
    println!();
}
