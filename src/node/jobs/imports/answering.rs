//! The events that imports of jobs get, and their answers.

use tokio_util::sync::CancellationToken;

use crate::jobs::handlers::{Ended, Failure, FailureKind};
use crate::jobs::invocation::Invocation;
use crate::lambda::{BatchEvent, Event, TaskEnd, batch_answer};

/// The status of an answer that comes from this process, as of a program.
const ANSWERED: u16 = 200;

/// The tasks of an invocation. Errors: how it ends, if it is none of a job.
pub(super) fn event_of(invocation: &Invocation) -> Result<BatchEvent, Ended> {
    let failed = |what: String| Ended::NotTaken(Failure::new(FailureKind::Refused, what));
    let text = std::str::from_utf8(&invocation.body).map_err(|error| failed(error.to_string()))?;
    match Event::parse(text) {
        Ok(Event::Batch(event)) => Ok(event),
        Ok(Event::Together(_) | Event::Queue(_)) => Err(failed("the event has no tasks of a job".to_owned())),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// How an invocation ends whose tasks ended like this. If the process is being stopped, what is not finished spends no
/// try: it goes on when the job does.
pub(super) fn answered(event: &BatchEvent, ends: &[TaskEnd], stop: &CancellationToken) -> Ended {
    if stop.is_cancelled() && ends.iter().any(|end| matches!(end, TaskEnd::Temporary(_))) {
        return Ended::Throttled { pause: None };
    }
    Ended::Answered { status: ANSWERED, body: batch_answer(event, ends).to_string().into() }
}

/// How an invocation ends that comes after the end of the handler.
pub(super) fn closed() -> Ended {
    Ended::Failed(Failure::new(FailureKind::Died, "the import of the job has ended"))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn invocation(body: &'static str) -> Invocation {
        Invocation { id: "i".into(), task_id: "t".into(), body: Bytes::from_static(body.as_bytes()) }
    }

    #[test]
    fn only_events_of_jobs_are_taken() {
        for body in ["", "{}", r#"{"Records":[]}"#, r#"{"Event":"s3:TestEvent"}"#, "\u{fffd}"] {
            assert!(matches!(event_of(&invocation(body)), Err(Ended::NotTaken(_))), "{body}");
        }
    }

    #[test]
    fn what_is_stopped_spends_no_try() {
        let task = r#"{"invocationSchemaVersion":"2.0","invocationId":"i","tasks":[{"taskId":"t","s3Bucket":"b","s3Key":"k"}]}"#;
        let event = event_of(&invocation(task)).unwrap();
        let stop = CancellationToken::new();
        let later = [TaskEnd::Temporary("why".to_owned())];
        assert!(matches!(answered(&event, &later, &stop), Ended::Answered { status: 200, .. }));
        stop.cancel();
        assert_eq!(answered(&event, &later, &stop), Ended::Throttled { pause: None });
        let done = [TaskEnd::Succeeded("rows=1 rejected=0".to_owned())];
        assert!(matches!(answered(&event, &done, &stop), Ended::Answered { .. }));
    }
}
