//! Runs stages in turns, and compares each with the first one of its round.

use std::fs;
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;

/// One stage: its name, and what it does.
pub(crate) type Stage<'s> = (&'s str, Box<dyn FnMut() + 's>);

/// The time that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counts {
    /// How fast a stage is: more is better.
    Speed,
    /// CPU of the process: less is better.
    Cpu,
}

/// CPU of all threads of this process so far, those that ended included.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // 100 ticks a second, on all of Linux's usual platforms.
    Duration::from_millis(10 * ticks)
}

fn median(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1)))
}

/// Runs the stages in turns, and prints for each what a unit costs and the ratio to the first stage, within a round.
pub(crate) fn compare(title: &str, units: u64, rounds: u64, counts: Counts, mut stages: Vec<Stage<'_>>) {
    let clock = SystemClock::new();
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); stages.len()];
    for _ in 0..rounds {
        for ((_, stage), seconds) in stages.iter_mut().zip(&mut seconds) {
            let began = (clock.monotonic(), cpu());
            stage();
            let took = match counts {
                Counts::Speed => clock.monotonic() - began.0,
                Counts::Cpu => cpu() - began.1,
            };
            seconds.push(took.as_secs_f64());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let units = units as f64;
    let what = if counts == Counts::Speed { "speed" } else { "CPU" };
    println!("{title}: {units} in each of {rounds} rounds; {what} / the first, median (least to most)");
    let first = seconds.first().cloned().unwrap_or_default();
    for ((name, _), seconds) in stages.iter().zip(&seconds) {
        let ratio = |(one, this): (&f64, &f64)| if counts == Counts::Speed { one / this } else { this / one };
        let (middle, least, most) = median(first.iter().zip(seconds).map(ratio).collect());
        let (time, ..) = median(seconds.clone());
        println!("{name:44} {:>9.0} ns   {middle:.3} ({least:.3} to {most:.3})", time / units * 1e9);
    }
    println!();
}
