//! Runs stages in turns, and compares each with the first one of its round.

#![expect(clippy::indexing_slicing, reason = "both times are always there")]

use std::fs;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use forebay::runtime::SystemClock;
use forebay::time::Clock as _;

/// One stage: its name, and what it does.
pub(crate) type Stage<'s> = (&'s str, Box<dyn FnMut() + 's>);

/// The process whose CPU counts, too; 0: none.
static OTHER: AtomicU32 = AtomicU32::new(0);

/// Counts the CPU of another process, too, as long as it runs.
pub(crate) fn count_too(process: u32) {
    OTHER.store(process, Ordering::Relaxed);
}

/// CPU of all threads of this process so far, those that ended included, and of the other one.
fn cpu() -> Duration {
    let other = OTHER.load(Ordering::Relaxed);
    let others = if other == 0 { Duration::ZERO } else { cpu_of(&other.to_string()) };
    cpu_of("self") + others
}

fn cpu_of(process: &str) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // 100 ticks a second, on all of Linux's usual platforms.
    Duration::from_millis(10 * ticks)
}

/// The median, the least and the most.
pub(crate) fn median(mut figures: Vec<f64>) -> (f64, f64, f64) {
    figures.sort_by(f64::total_cmp);
    let at = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (at(figures.len() / 2), at(0), at(figures.len().saturating_sub(1)))
}

/// Runs the stages in turns, and prints for each the CPU that a unit costs, and how many times the time of the first
/// stage it takes, within a round: in CPU, and by the clock. On a busy machine only CPU means something.
pub(crate) fn compare(title: &str, units: u64, rounds: u64, mut stages: Vec<Stage<'_>>) {
    let clock = SystemClock::new();
    let mut took: Vec<[Vec<f64>; 2]> = vec![Default::default(); stages.len()];
    for _ in 0..rounds {
        for ((_, stage), [by_cpu, by_clock]) in stages.iter_mut().zip(&mut took) {
            let began = (cpu(), clock.monotonic());
            stage();
            by_cpu.push((cpu() - began.0).as_secs_f64());
            by_clock.push((clock.monotonic() - began.1).as_secs_f64());
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let per_unit = units as f64;
    println!("{title}: {units} in each of {rounds} rounds; time / that of the first, median (least to most)");
    let first = took.first().cloned().unwrap_or_default();
    for ((name, _), took) in stages.iter().zip(&took) {
        let (time, ..) = median(took[0].clone());
        let ratios = [0, 1].map(|of| {
            let ratios = first[of].iter().zip(&took[of]).map(|(one, this)| this / one);
            let (middle, least, most) = median(ratios.collect());
            format!("{middle:.3} ({least:.3} to {most:.3})")
        });
        println!(
            "{name:32} {:>7.0} ns of CPU   CPU {}   clock {}",
            time / per_unit * 1e9,
            ratios[0],
            ratios[1]
        );
    }
    println!();
}
