//! When a job fails because too many of its tasks fail.

/// The least number of executed tasks, and the share of failed ones above which a job fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threshold {
    /// Nothing is decided before so many tasks are executed.
    pub min_tasks: u64,
    /// The largest share of failed tasks that a job survives, in per cent. 100: any.
    pub percent: u8,
}

/// As S3 Batch Operations: more than half of at least 1,000 tasks.
impl Default for Threshold {
    fn default() -> Self {
        Self { min_tasks: 1_000, percent: 50 }
    }
}

impl Threshold {
    /// Whether a job fails now. Executed tasks are those with a final result, failed ones those of them that
    /// failed: a task that waits for a redrive is neither.
    pub fn is_crossed(self, executed: u64, failed: u64) -> bool {
        executed >= self.min_tasks
            && u128::from(failed) * 100 > u128::from(executed) * u128::from(self.percent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_fails_above_half_of_at_least_a_thousand_tasks() {
        let check = |executed, failed, is_crossed| {
            assert_eq!(Threshold::default().is_crossed(executed, failed), is_crossed, "{failed}/{executed}");
        };
        check(0, 0, false);
        check(999, 999, false);
        check(1_000, 500, false);
        check(1_000, 501, true);
        check(1_000, 1_000, true);
        check(1_001, 500, false);
        check(1_001, 501, true);
        check(u64::MAX, u64::MAX / 2, false);
        check(u64::MAX, u64::MAX / 2 + 1, true);
    }

    #[test]
    fn the_share_and_the_least_number_can_be_set() {
        let any = Threshold { min_tasks: 0, percent: 100 };
        assert!(!any.is_crossed(10, 10));
        let none = Threshold { min_tasks: 1, percent: 0 };
        assert!(!none.is_crossed(0, 0));
        assert!(none.is_crossed(1, 1));
        assert!(!none.is_crossed(1, 0));
    }
}
