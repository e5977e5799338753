//! Shows on standard error how far a command is.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use clap::ValueEnum;
use tokio::time::{MissedTickBehavior, interval};

use super::meter::Meter;

/// How often a bar is drawn, a JSON object is written, and a line is written.
const BAR_EVERY: Duration = Duration::from_millis(100);
const JSON_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProgressArg {
    /// A bar on a terminal, else lines.
    Auto,
    /// A bar.
    Bar,
    /// A line each 10 s.
    Plain,
    /// A JSON object each second.
    Json,
    /// Nothing.
    None,
}

/// How far something is.
pub trait Progress {
    /// What is done, and of how much. A total of 0 is not known yet.
    fn done_of(&self) -> (u64, u64);
    /// The beginning of a line, which stands beside the bar.
    fn place(&self) -> String;
    /// The rest of the line, which stands below the bar.
    fn below(&self) -> String;
    /// All of it as a JSON object.
    fn json(&self) -> String;
}

/// Where progress is shown.
#[derive(Debug)]
pub struct View {
    every: Duration,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Bar(Meter),
    Lines,
    Json,
    Nothing,
}

impl View {
    /// A view of this kind.
    pub fn new(how: ProgressArg) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let (every, kind) = match how {
            ProgressArg::None => (LINE_EVERY, Kind::Nothing),
            ProgressArg::Auto | ProgressArg::Bar if is_terminal => (BAR_EVERY, Kind::Bar(Meter::with_bar())),
            ProgressArg::Auto | ProgressArg::Bar | ProgressArg::Plain => (LINE_EVERY, Kind::Lines),
            ProgressArg::Json => (JSON_EVERY, Kind::Json),
        };
        Self { every, kind }
    }

    /// How often it is to be shown.
    pub fn every(&self) -> Duration {
        self.every
    }

    /// Shows how far something is.
    pub fn show(&mut self, now: &impl Progress) {
        match &mut self.kind {
            Kind::Nothing => {}
            Kind::Bar(meter) => {
                let (done, total) = now.done_of();
                meter.bar(done, total, now.place(), now.below());
            }
            Kind::Lines => match (now.place(), now.below()) {
                (place, below) if below.is_empty() => eprint_line(&place),
                (place, below) => eprint_line(&format!("{place}, {below}")),
            },
            Kind::Json => eprint_line(&now.json()),
        }
    }

    /// Says something once. Programs that read JSON find it there.
    pub fn say(&mut self, text: &str) {
        if let Kind::Bar(meter) = &mut self.kind {
            meter.clear();
        }
        if !matches!(self.kind, Kind::Json) {
            eprint_line(text);
        }
    }
}

/// Does some work, and shows meanwhile how far it is.
pub async fn while_shown<T, P: Progress>(
    work: impl Future<Output = T>,
    mut now: impl FnMut() -> P,
    how: ProgressArg,
) -> T {
    tokio::pin!(work);
    let mut view = View::new(how);
    let mut draw = interval(view.every);
    draw.set_missed_tick_behavior(MissedTickBehavior::Delay);
    draw.reset();
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = draw.tick() => view.show(&now()),
        }
    }
}

/// Prints a line on standard error.
pub fn eprint_line(text: &str) {
    if let Err(error) = writeln!(io::stderr().lock(), "{text}") {
        tracing::debug!(%error, "standard error cannot be written");
    }
}
