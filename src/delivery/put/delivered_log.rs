//! Which delivered objects get a line in the log. Pure: the time is passed in.
//!
//! A node with a thousand sources delivers a hundred objects a second. A line for each would hide everything
//! else, so a second has a few lines, and the next line says how many objects had none.

use std::time::Duration;

/// Lines a second about delivered objects. Further objects of the second are counted.
const LINES_A_SECOND_MAX: u32 = 10;
const SECOND: Duration = Duration::from_secs(1);

/// The lines of the present second, and the objects without one.
#[derive(Debug, Default)]
pub(in crate::delivery) struct DeliveredLog {
    /// When the second began whose lines are counted.
    second: Duration,
    lines: u32,
    without: u64,
}

impl DeliveredLog {
    /// Counts an object delivered at `now` on a clock that never goes back. If it gets a line, returns how many
    /// objects had none since the last line.
    pub(in crate::delivery) fn delivered(&mut self, now: Duration) -> Option<u64> {
        if now.saturating_sub(self.second) >= SECOND {
            (self.second, self.lines) = (now, 0);
        }
        if self.lines >= LINES_A_SECOND_MAX {
            self.without += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.without))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_objects_get_a_line_each() {
        let mut log = DeliveredLog::default();
        for second in 0..100 {
            for _ in 0..LINES_A_SECOND_MAX {
                assert_eq!(log.delivered(Duration::from_secs(second)), Some(0));
            }
        }
    }

    #[test]
    fn a_flood_gets_a_few_lines_a_second_and_every_object_is_counted() {
        let (mut log, mut lines, mut without) = (DeliveredLog::default(), 0, 0);
        // Ten seconds of a thousand objects each.
        for ms in 0..10_000 {
            if let Some(others) = log.delivered(Duration::from_millis(ms)) {
                (lines, without) = (lines + 1, without + others);
            }
        }
        assert_eq!(lines, 10 * u64::from(LINES_A_SECOND_MAX));
        assert_eq!(log.delivered(Duration::from_secs(60)), Some(10_000 - lines - without));
    }
}
