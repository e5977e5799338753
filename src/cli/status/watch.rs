//! `forebay status --watch`: the status again and again.

use std::io::{self, Write};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::collector::{Collector, view};
use super::render::{MARKS, View, lines};
use super::steering::{KEYS, Steering};
use crate::admin::Status;
use crate::cli::args::StatusArgs;
use crate::cli::failure::Failure;
use crate::cli::print_json::print_json_line;
use crate::runtime::colour;
use crate::runtime::paint::{BAD, FAINT, Mark, painted, styled};
use crate::runtime::terminal::{self, Interrupts, Screen};
use crate::time::Clock as _;
use crate::words::{about_duration, about_seconds, counted, if_any, outside_text_within, within_columns};

/// The columns from which on there is room for sparklines.
const SPARKLINES_FROM: usize = 100;
/// The most bytes of an error that are shown.
const ERROR_MAX: usize = 1_024;
/// The beginning of the line that says that the collector does not answer.
const NO_ANSWER: &str = "NO ANSWER";

/// What the queries so far have shown.
#[derive(Default)]
struct Seen {
    status: Option<Status>,
    /// Why the collector does not answer, and since when.
    failed: Option<(String, Duration)>,
}

/// Shows the status until a signal, or until `q` is pressed.
/// Errors: [`Failure`] if the collector does not answer at the beginning, or refuses to.
pub(super) async fn run(
    args: &StatusArgs,
    collector: &mut Collector,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut interrupts = Interrupts::listen()?;
    if args.json {
        return tokio::select! {
            () = interrupts.next() => Ok(()),
            done = json_lines(args, collector, out) => done,
        };
    }
    let mut seen = Seen { status: Some(collector.status(args.source.as_ref()).await?), failed: None };
    let Some(mut screen) = Screen::open()? else {
        return tokio::select! {
            () = interrupts.next() => Ok(()),
            done = snapshots(args, collector, seen, out) => done,
        };
    };
    let mut keys = screen.keys()?;
    let mut resized = signal(SignalKind::window_change())?;
    let mut suspended = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut steering = Steering::default();
    let mut again_at = collector.clock.monotonic() + args.interval.get();
    loop {
        screen.draw(&picture(args, collector, &seen, &mut steering))?;
        tokio::select! {
            () = interrupts.next() => return Ok(()),
            byte = pressed(&mut keys) => if steering.press(byte) {
                return Ok(());
            },
            _ = resized.recv() => {}
            _ = suspended.recv() => {
                // The shell needs its terminal back. `kill_process` returns when the process is continued.
                drop(screen);
                kill_process(getpid(), Signal::STOP).map_err(io::Error::from)?;
                let Some(again) = Screen::open()? else { return Ok(()) };
                screen = again;
            }
            // A key does not put the next query off.
            () = tokio::time::sleep(again_at.saturating_sub(collector.clock.monotonic())) => {
                {
                    let mut asking = std::pin::pin!(ask(args, collector, &mut seen));
                    loop {
                        tokio::select! {
                            () = &mut asking => break,
                            () = interrupts.next() => return Ok(()),
                            byte = pressed(&mut keys) => if steering.press(byte) {
                                return Ok(());
                            },
                        }
                    }
                }
                again_at = collector.clock.monotonic() + args.interval.get();
            }
        }
    }
}

/// Waits for a byte of a key.
async fn pressed(keys: &mut mpsc::Receiver<u8>) -> u8 {
    match keys.recv().await {
        Some(byte) => byte,
        // Standard input is no terminal, or has ended: only a signal ends the command.
        None => std::future::pending().await,
    }
}

/// Queries again. A collector that does not answer is kept: it may be restarting.
async fn ask(args: &StatusArgs, collector: &mut Collector, seen: &mut Seen) {
    match collector.status(args.source.as_ref()).await {
        Ok(status) => *seen = Seen { status: Some(status), failed: None },
        Err(error) => {
            let now = collector.clock.monotonic();
            let since = seen.failed.as_ref().map_or(now, |(_, since)| *since);
            seen.failed = Some((error.to_string(), since));
        }
    }
}

/// The lines of the whole screen.
fn picture(args: &StatusArgs, collector: &Collector, seen: &Seen, steering: &mut Steering) -> Vec<String> {
    let (columns, rows) = terminal::size(&io::stdout()).unwrap_or((80, 24));
    let colours = colour::wanted(&io::stdout());
    let mut above = Vec::new();
    if let Some((why, since)) = &seen.failed {
        above.push(no_answer(why, collector.clock.monotonic().saturating_sub(*since)));
    }
    let every = about_duration(args.interval.get());
    let space = rows.saturating_sub(above.len() + 1);
    if let Some(status) = &seen.status {
        steering.stay_within(status);
    }
    let view = View {
        order: steering.order,
        filter: &steering.filter,
        skip: steering.skip,
        columns: Some(columns),
        rows: Some(space).filter(|_| !args.all),
        // On a narrow screen the age of what waits matters more.
        sparklines: columns >= SPARKLINES_FROM,
        ..view(args, collector.activity.as_ref())
    };
    let below = seen.status.as_ref().map(|status| lines(status, &view)).unwrap_or_default();
    let space = rows.saturating_sub(1);
    let hidden = (above.len() + below.len()).saturating_sub(space) as u64;
    let more = if_any(hidden, |hidden| format!("; {} below", counted(hidden, "more line", "more lines")));
    let footer = within_columns(&format!("{}every {every}; {KEYS}{more}", steering.told()), columns);
    let shown = above.into_iter().chain(below).take(space);
    let marks: Vec<Mark> = [(NO_ANSWER, BAD)].into_iter().chain(MARKS).collect();
    let mut shown: Vec<String> =
        shown.map(|line| painted(&within_columns(&line, columns), &marks, colours)).collect();
    shown.push(styled(&footer, FAINT, colours));
    shown
}

fn no_answer(why: &str, since: Duration) -> String {
    let why = outside_text_within(why, ERROR_MAX);
    format!("{NO_ANSWER} for {}, what follows is old: {why}", about_seconds(since.as_secs()))
}

/// Prints whole snapshots, with an empty line between them.
async fn snapshots(
    args: &StatusArgs,
    collector: &mut Collector,
    mut seen: Seen,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    loop {
        let view = view(args, collector.activity.as_ref());
        let text = match (&seen.failed, &seen.status) {
            (Some((why, since)), _) => {
                no_answer(why, collector.clock.monotonic().saturating_sub(*since)) + "\n"
            }
            (None, Some(status)) => super::render(status, &view),
            (None, None) => String::new(),
        };
        if !written(writeln!(out, "{text}").and_then(|()| out.flush()))? {
            return Ok(());
        }
        tokio::time::sleep(args.interval.get()).await;
        ask(args, collector, &mut seen).await;
    }
}

/// Prints one JSON object a line for each snapshot.
async fn json_lines(
    args: &StatusArgs,
    collector: &mut Collector,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut asked = collector.value(args.source.as_ref()).await;
    loop {
        match asked {
            Ok(value) => {
                if !written(print_json_line(out, &value).and_then(|()| out.flush()))? {
                    return Ok(());
                }
            }
            Err(error) => tracing::warn!("{error}"),
        }
        tokio::time::sleep(args.interval.get()).await;
        asked = collector.value(args.source.as_ref()).await;
    }
}

/// Whether the output is still read.
fn written(done: io::Result<()>) -> io::Result<bool> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(error),
    }
}
