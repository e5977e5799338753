//! How a job ended, or that it did not.

use crate::jobs::job::state::JobState;
use crate::jobs::job::status::{FailureClass, Status};

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every task succeeded.
    Complete,
    /// Every task ended, and some failed.
    SomeFailed,
    /// The job failed.
    Failed(FailureClass),
    /// A person cancelled it.
    Cancelled,
    /// It has not ended: its id lets it go on.
    Interrupted,
}

impl Outcome {
    /// The outcome of a job in this state, so many of whose tasks failed.
    pub fn of(state: &JobState, failed: u64) -> Self {
        match state.status {
            Status::Complete if failed == 0 => Self::Complete,
            Status::Complete => Self::SomeFailed,
            Status::Cancelled => Self::Cancelled,
            // The first failure is why the job failed. The second one may be that of its report.
            Status::Failed => Self::Failed(state.failures.first().map_or(FailureClass::Other, |f| f.class)),
            _ => Self::Interrupted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::state::Priority;
    use crate::jobs::job::status::Failure;
    use crate::time::UnixMillis;

    #[test]
    fn the_first_failure_decides() {
        let state = |status, classes: &[FailureClass]| JobState {
            status,
            failures: classes.iter().map(|class| Failure::new(*class, "code", "reason")).collect(),
            ..JobState::new(Priority::default(), UnixMillis(0))
        };
        use FailureClass::{Access, Other};
        assert_eq!(Outcome::of(&state(Status::Complete, &[]), 0), Outcome::Complete);
        assert_eq!(Outcome::of(&state(Status::Complete, &[]), 1), Outcome::SomeFailed);
        assert_eq!(Outcome::of(&state(Status::Failed, &[Other, Access]), 1), Outcome::Failed(Other));
        assert_eq!(Outcome::of(&state(Status::Cancelled, &[]), 1), Outcome::Cancelled);
        assert_eq!(Outcome::of(&state(Status::Active, &[]), 0), Outcome::Interrupted);
    }
}
