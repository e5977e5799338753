//! Shows the progress of a long run, and logs its result.

use std::io::{self, Write};
use std::time::Duration;

use super::runner::{Sweep, Swept};

/// The interval between two lines.
const TOLD_EVERY: Duration = Duration::from_secs(5);

/// The state of the progress display.
pub(super) struct Progress {
    schedules: u64,
    at_most: Option<Duration>,
    next: Duration,
}

impl Progress {
    pub(super) fn new(sweep: &Sweep) -> Self {
        let schedules = sweep.seeds.end - sweep.seeds.start;
        Self { schedules, at_most: sweep.at_most, next: TOLD_EVERY }
    }

    /// Prints the progress to standard error every few seconds.
    pub(super) fn tell(&mut self, swept: &Swept) {
        if swept.took < self.next {
            return;
        }
        self.next = swept.took + TOLD_EVERY;
        let Swept { done, took, .. } = *swept;
        let left = self.left(done, took).as_secs();
        let (schedules, violations) = (self.schedules, swept.violations.len());
        let rate = u128::from(done) * 1_000 / took.as_millis().max(1);
        eprintln!(
            "{done} of {schedules} schedules, {violations} violations, {rate} per second, {} min {} s left",
            left / 60,
            left % 60
        );
    }

    /// The time until all schedules are done, or the time limit.
    fn left(&self, done: u64, took: Duration) -> Duration {
        let each = took / u32::try_from(done.max(1)).unwrap_or(u32::MAX);
        let all = each.saturating_mul(u32::try_from(self.schedules - done).unwrap_or(u32::MAX));
        self.at_most.map_or(all, |most| all.min(most.saturating_sub(took)))
    }
}

/// Writes one line: time, commit, seeds and result.
///
/// # Errors
/// The disk's error.
pub(super) fn log(
    to: &mut dyn Write,
    now: &str,
    commit: &str,
    sweep: &Sweep,
    swept: &Swept,
) -> io::Result<()> {
    let (first, end) = (sweep.seeds.start, sweep.seeds.start + swept.done);
    let Swept { done, took, replayed, .. } = swept;
    let (violations, seconds) = (swept.violations.len(), took.as_secs());
    let mut line = format!(
        "{now} commit {commit} seeds {first}..{end} schedules {done} twice {replayed} violations {violations} \
         seconds {seconds}"
    );
    if violations > 0 {
        let seeds: Vec<String> = swept.violations.keys().take(20).map(u64::to_string).collect();
        line += &format!(" violated by {}", seeds.join(","));
    }
    // A single write, so that the lines of several runs do not mix.
    to.write_all(format!("{line}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(at_most: Option<Duration>) -> Sweep {
        Sweep { seeds: 100..1_100, replay_every: 100, at_most }
    }

    #[test]
    fn a_log_line_is_written_with_and_without_violations() {
        let mut file = Vec::new();
        let took = Duration::from_millis(90_500);
        let mut swept = Swept { done: 10, took, replayed: 1, ..Swept::default() };
        log(&mut file, "2026-01-02T03:04:05Z", "abc", &sweep(None), &swept).unwrap();
        swept.violations.insert(105, "I1".to_owned());
        log(&mut file, "2026-01-02T03:04:06Z", "abc", &sweep(None), &swept).unwrap();
        assert_eq!(
            String::from_utf8(file).unwrap(),
            "2026-01-02T03:04:05Z commit abc seeds 100..110 schedules 10 twice 1 violations 0 seconds 90\n\
             2026-01-02T03:04:06Z commit abc seeds 100..110 schedules 10 twice 1 violations 1 seconds 90 \
             violated by 105\n"
        );
    }

    #[test]
    fn the_time_left_is_limited_by_schedules_and_by_time() {
        let seconds = Duration::from_secs;
        assert_eq!(Progress::new(&sweep(None)).left(500, seconds(50)), seconds(50));
        assert_eq!(Progress::new(&sweep(Some(seconds(60)))).left(500, seconds(50)), seconds(10));
        assert_eq!(Progress::new(&sweep(Some(seconds(40)))).left(500, seconds(50)), seconds(0));
    }
}
