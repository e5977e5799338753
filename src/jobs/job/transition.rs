//! From the state of a job and an event to the next state, or a refusal that names both.

use std::time::Duration;

use super::state::{FAILURES_MAX, JobState, Priority};
use super::status::{Failure, FailureClass, PausedBy, Status, UPDATE_REASON_MAX, first_chars};
use crate::time::{UnixMillis, whole_millis};

/// A suspended job that nobody confirms fails after this time.
pub const CONFIRM_WITHIN: Duration = Duration::from_secs(30 * 86_400);
/// A finished job is kept for this time.
pub const KEPT_FOR: Duration = Duration::from_secs(90 * 86_400);

/// What happens to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A process begins to read the manifest.
    PreparingStarted,
    /// The manifest is copied.
    Prepared {
        /// The number of tasks.
        total: u64,
        /// Whether a person must confirm the job.
        needs_confirmation: bool,
    },
    /// The manifest cannot be used, or cannot be read.
    ManifestFailed(Failure),
    /// A person confirms the job, perhaps with a reason.
    Confirmed(Option<String>),
    /// Nobody confirmed the job within [`CONFIRM_WITHIN`].
    Unconfirmed,
    /// The job gets a slot.
    SlotGiven,
    /// A job of higher priority takes the slot.
    Preempted,
    /// A person pauses the job.
    PauseAsked,
    /// A person lets it go on.
    ResumeAsked,
    /// A person cancels it, perhaps with a reason.
    CancelAsked(Option<String>),
    /// A person changes its priority.
    PriorityAsked(Priority),
    /// The last task in flight of a pausing job ended.
    TasksAtRest,
    /// Every task has its final result.
    AllTasksEnded,
    /// Too many tasks failed.
    ThresholdPassed(Failure),
    /// Every task has its final result, but those whose rows cannot be read.
    RowsLost(Failure),
    /// The function may not be invoked, or does not exist.
    AccessFailed(Failure),
    /// The report is stored, or none is due.
    ReportWritten,
    /// The report cannot be stored.
    ReportFailed(Failure),
    /// A process takes the job after another one ended or crashed.
    Restarted {
        /// The last time that the log knows.
        last_seen: UnixMillis,
    },
}

impl Event {
    /// What happens, after "cannot".
    pub const fn what(&self) -> &'static str {
        match self {
            Self::PreparingStarted => "be prepared",
            Self::Prepared { .. } => "end its preparation",
            Self::ManifestFailed(_) => "fail by its manifest",
            Self::Confirmed(_) => "be confirmed",
            Self::Unconfirmed => "fail for want of a confirmation",
            Self::SlotGiven => "start",
            Self::Preempted => "be preempted",
            Self::PauseAsked => "be paused",
            Self::ResumeAsked => "be resumed",
            Self::CancelAsked(_) => "be cancelled",
            Self::PriorityAsked(_) => "get another priority",
            Self::TasksAtRest => "come to rest",
            Self::AllTasksEnded => "complete",
            Self::ThresholdPassed(_) => "fail by its tasks",
            Self::RowsLost(_) => "fail by its rows",
            Self::AccessFailed(_) => "fail by its function",
            Self::ReportWritten | Self::ReportFailed(_) => "end its report",
            Self::Restarted { .. } => "start again",
        }
    }

    /// The jobs that it may happen to, after "jobs that".
    pub const fn only(&self) -> &'static str {
        match self {
            Self::PreparingStarted => "are New",
            Self::Prepared { .. } => "are Preparing",
            Self::ManifestFailed(_) => "are New or Preparing",
            Self::Confirmed(_) | Self::Unconfirmed => "are Suspended",
            Self::SlotGiven => "are Ready, or Paused by a job of higher priority",
            Self::Preempted => "are Active",
            Self::PauseAsked => "are Ready or Active, or preempted by another job",
            Self::ResumeAsked => "are paused by a person; a preempted job goes on as soon as a slot is free",
            Self::CancelAsked(_) => "have not ended and are not ending",
            Self::PriorityAsked(_) | Self::Restarted { .. } => "have not ended",
            Self::TasksAtRest => "are Pausing",
            Self::AllTasksEnded | Self::ThresholdPassed(_) | Self::RowsLost(_) | Self::AccessFailed(_) => {
                "are Active or Pausing"
            }
            Self::ReportWritten | Self::ReportFailed(_) => "are Completing, Cancelling or Failing",
        }
    }
}

/// An event that the state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the job is {status} and cannot {what}: this is for jobs that {only}")]
pub struct Refusal {
    /// Where the job stands.
    pub status: Status,
    /// What it cannot do.
    pub what: &'static str,
    /// The jobs that can, after "jobs that".
    pub only: &'static str,
}

/// The state after an event that happens at `at`.
/// Errors: [`Refusal`] if the state does not allow it.
pub fn next(state: &JobState, event: &Event, at: UnixMillis) -> Result<JobState, Refusal> {
    let refusal = || Refusal { status: state.status, what: event.what(), only: event.only() };
    let status = next_status(state.status, event).ok_or_else(refusal)?;
    Ok(noted(entered(state, status, at), event, at))
}

fn next_status(status: Status, event: &Event) -> Option<Status> {
    use PausedBy::{Person, Preemption};
    use Status::{
        Active, Cancelled, Cancelling, Complete, Completing, Failed, Failing, New, Paused, Pausing,
        Preparing, Ready, Suspended,
    };
    let next = match (event, status) {
        (Event::PreparingStarted, New) => Preparing,
        (Event::Prepared { needs_confirmation: true, .. }, Preparing) => Suspended,
        (Event::Prepared { .. }, Preparing) | (Event::Confirmed(_), Suspended) => Ready,
        (Event::ManifestFailed(_), New | Preparing) | (Event::Unconfirmed, Suspended) => Failed,
        (Event::SlotGiven, Ready | Paused(Preemption)) => Active,
        (Event::Preempted, Active) => Pausing(Preemption),
        (Event::PauseAsked, Ready | Paused(Preemption)) => Paused(Person),
        (Event::PauseAsked, Active | Pausing(Preemption)) => Pausing(Person),
        (Event::ResumeAsked, Paused(Person)) => Ready,
        // Its tasks in flight end first. Then it waits for a slot like a preempted job.
        (Event::ResumeAsked, Pausing(Person)) => Pausing(Preemption),
        (Event::CancelAsked(_), New | Preparing | Suspended | Ready | Active | Pausing(_) | Paused(_)) => {
            Cancelling
        }
        (Event::TasksAtRest, Pausing(by)) => Paused(by),
        (Event::AllTasksEnded, Active | Pausing(_)) => Completing,
        (Event::ThresholdPassed(_) | Event::RowsLost(_) | Event::AccessFailed(_), Active | Pausing(_)) => {
            Failing
        }
        (Event::ReportWritten, Completing) => Complete,
        (Event::ReportWritten, Cancelling) => Cancelled,
        (Event::ReportWritten, Failing) => Failed,
        (Event::ReportFailed(_), Completing | Cancelling | Failing) => Failed,
        (Event::Restarted { .. }, Pausing(by)) => Paused(by),
        (Event::Restarted { .. } | Event::PriorityAsked(_), status) if !status.is_final() => status,
        _ => return None,
    };
    Some(next)
}

/// The state in its next status, with the times that follow from it.
fn entered(state: &JobState, status: Status, at: UnixMillis) -> JobState {
    if status == state.status {
        return state.clone();
    }
    let mut next = state.clone();
    next.active_ms = state.active_ms_until(at);
    next.status = status;
    next.since = at;
    if status == Status::Suspended {
        next.suspended_at = Some(at);
    }
    if status.is_ending() {
        next.report_date = Some(at);
    }
    if status.is_final() {
        next.ended_at = Some(at);
    }
    next
}

/// The state with what the event says beside the status.
fn noted(mut state: JobState, event: &Event, at: UnixMillis) -> JobState {
    match event {
        Event::Prepared { total, .. } => state.total = Some(*total),
        Event::PriorityAsked(priority) => state.priority = *priority,
        Event::Confirmed(reason) | Event::CancelAsked(reason) => {
            state.update_reason = reason.as_deref().map(|reason| first_chars(reason, UPDATE_REASON_MAX));
        }
        Event::Unconfirmed => {
            let reason = "nobody confirmed the job within 30 days; make it again, and confirm it";
            state.failures.push(Failure::new(FailureClass::Other, "JobNotConfirmed", reason));
        }
        Event::ManifestFailed(failure)
        | Event::ThresholdPassed(failure)
        | Event::RowsLost(failure)
        | Event::AccessFailed(failure)
        | Event::ReportFailed(failure) => state.failures.push(failure.clone()),
        // The time while no process held the job is not time in which it was Active.
        Event::Restarted { last_seen } if state.status == Status::Active => {
            let ran = whole_millis(last_seen.since(state.since));
            state.active_ms = state.active_ms.saturating_add(ran);
            state.since = at;
        }
        _ => {}
    }
    state.failures.truncate(FAILURES_MAX);
    state
}

/// Whether a suspended job has waited for a confirmation too long.
pub fn is_unconfirmed(state: &JobState, now: UnixMillis) -> bool {
    state.status == Status::Suspended && now.since(state.since) >= CONFIRM_WITHIN
}

/// Whether a finished job need not be kept any longer.
pub fn is_expired(state: &JobState, now: UnixMillis) -> bool {
    state.ended_at.is_some_and(|ended| now.since(ended) >= KEPT_FOR)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// All statuses.
    pub(crate) const STATUSES: [Status; 15] = [
        Status::New,
        Status::Preparing,
        Status::Suspended,
        Status::Ready,
        Status::Active,
        Status::Pausing(PausedBy::Person),
        Status::Pausing(PausedBy::Preemption),
        Status::Paused(PausedBy::Person),
        Status::Paused(PausedBy::Preemption),
        Status::Completing,
        Status::Complete,
        Status::Cancelling,
        Status::Cancelled,
        Status::Failing,
        Status::Failed,
    ];

    fn failure() -> Failure {
        Failure::new(FailureClass::Access, "X", "x")
    }

    /// One event of each kind; two for a manifest that is prepared.
    pub(crate) fn events() -> Vec<Event> {
        let priority = Priority::new(7).unwrap();
        vec![
            Event::PreparingStarted,
            Event::Prepared { total: 3, needs_confirmation: false },
            Event::Prepared { total: 3, needs_confirmation: true },
            Event::ManifestFailed(failure()),
            Event::Confirmed(Some("yes".to_owned())),
            Event::Unconfirmed,
            Event::SlotGiven,
            Event::Preempted,
            Event::PauseAsked,
            Event::ResumeAsked,
            Event::CancelAsked(None),
            Event::PriorityAsked(priority),
            Event::TasksAtRest,
            Event::AllTasksEnded,
            Event::ThresholdPassed(failure()),
            Event::RowsLost(failure()),
            Event::AccessFailed(failure()),
            Event::ReportWritten,
            Event::ReportFailed(failure()),
            Event::Restarted { last_seen: UnixMillis(0) },
        ]
    }

    fn in_status(status: Status) -> JobState {
        JobState { status, ..JobState::new(Priority::default(), UnixMillis(1_000)) }
    }

    /// One letter for each status, in the order of [`STATUSES`]; `.` is a refusal.
    const LETTERS: &str = "NPSRAqwQWCcXxFf";

    #[test]
    fn every_event_in_every_status_goes_where_the_table_says() {
        // N New, P Preparing, S Suspended, R Ready, A Active, q w Pausing by a person and preempted, Q W
        // Paused, C c Completing and Complete, X x Cancelling and Cancelled, F f Failing and Failed.
        let table = [
            "P..............", // preparing started
            ".R.............", // prepared
            ".S.............", // prepared, needs confirmation
            "ff.............", // manifest failed
            "..R............", // confirmed
            "..f............", // unconfirmed
            "...A....A......", // slot given
            "....w..........", // preempted
            "...Qq.q.Q......", // pause
            ".....w.R.......", // resume
            "XXXXXXXXX......", // cancel
            "NPSRAqwQWC.X.F.", // priority
            ".....QW........", // tasks at rest
            "....CCC........", // all tasks ended
            "....FFF........", // threshold passed
            "....FFF........", // rows lost
            "....FFF........", // access failed
            ".........c.x.f.", // report written
            ".........f.f.f.", // report failed
            "NPSRAQWQWC.X.F.", // restarted
        ];
        let events = events();
        assert_eq!(table.len(), events.len());
        for (event, row) in events.iter().zip(table) {
            for (status, expected) in STATUSES.iter().zip(row.chars()) {
                let letter = match next(&in_status(*status), event, UnixMillis(2_000)) {
                    Ok(state) => {
                        let at = STATUSES.iter().position(|known| *known == state.status).unwrap();
                        LETTERS.chars().nth(at).unwrap()
                    }
                    Err(refusal) => {
                        assert_eq!((refusal.status, refusal.what), (*status, event.what()));
                        '.'
                    }
                };
                assert_eq!(letter, expected, "{event:?} in {status:?}");
            }
        }
    }

    #[test]
    fn the_names_are_those_of_the_api() {
        let names: std::collections::BTreeSet<&str> = STATUSES.map(Status::as_str).into_iter().collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), crate::jobs::job::status::STATUS_NAMES);
    }

    #[test]
    fn a_refusal_names_the_state_and_the_request() {
        let refusal = next(&in_status(Status::Complete), &Event::PauseAsked, UnixMillis(0)).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the job is Complete and cannot be paused: this is for jobs that are Ready or Active, or preempted by \
             another job"
        );
    }

    #[test]
    fn times_are_noted_as_the_job_goes() {
        let at = |seconds: i64| UnixMillis(seconds * 1_000);
        let mut state = JobState::new(Priority::default(), at(0));
        let mut step = |event: Event, seconds| {
            state = next(&state, &event, at(seconds)).unwrap();
            state.clone()
        };
        step(Event::PreparingStarted, 1);
        let suspended = step(Event::Prepared { total: 5, needs_confirmation: true }, 2);
        assert_eq!((suspended.suspended_at, suspended.total), (Some(at(2)), Some(5)));
        assert_eq!(step(Event::Confirmed(Some("go".to_owned())), 3).update_reason.as_deref(), Some("go"));
        step(Event::SlotGiven, 10);
        step(Event::Preempted, 15);
        assert_eq!(step(Event::TasksAtRest, 16).active_ms, 5_000);
        step(Event::SlotGiven, 20);
        // The process crashed at second 23, and the next one came an hour later.
        let again = step(Event::Restarted { last_seen: at(23) }, 3_600);
        assert_eq!((again.active_ms, again.active_ms_until(at(3_601))), (8_000, 9_000));
        let ending = step(Event::AllTasksEnded, 3_602);
        assert_eq!((ending.report_date, ending.active_ms), (Some(at(3_602)), 10_000));
        // A report that is begun again keeps its date.
        assert_eq!(step(Event::Restarted { last_seen: at(3_602) }, 4_000).report_date, Some(at(3_602)));
        let ended = step(Event::ReportWritten, 4_001);
        assert_eq!((ended.ended_at, ended.active_ms_until(at(9_000))), (Some(at(4_001)), 10_000));
    }

    #[test]
    fn confirmation_and_history_end_at_their_days() {
        let day = 86_400_000;
        let suspended = in_status(Status::Suspended);
        let now = |days: i64, ms: i64| UnixMillis(1_000 + days * day + ms);
        assert!(!is_unconfirmed(&suspended, now(30, -1)) && is_unconfirmed(&suspended, now(30, 0)));
        assert!(!is_unconfirmed(&in_status(Status::Ready), now(40, 0)));
        let ended = JobState { ended_at: Some(UnixMillis(1_000)), ..in_status(Status::Complete) };
        assert!(!is_expired(&ended, now(90, -1)) && is_expired(&ended, now(90, 0)));
        assert!(!is_expired(&suspended, now(1_000, 0)));
        let failed = next(&suspended, &Event::Unconfirmed, now(30, 0)).unwrap();
        assert_eq!(failed.failures.len(), 1);
    }
}
