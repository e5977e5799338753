//! The line of a call that a destination could not take.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::Digest as _;

use super::outcome::Failure;
use super::positions::LaneId;
use crate::boxed_future::BoxFuture;
use crate::call::LineSink as _;
use crate::log::{Append, AppendError, RequestFrames};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};

/// A letter that is being stored. Errors: the stored line is not JSON.
pub type Storing = Result<BoxFuture<'static, Result<(), AppendError>>, serde_json::Error>;

/// Where dead letters go.
pub trait Letters: Send + Sync + fmt::Debug {
    /// Stores a letter. The call is finished once the future has ended well.
    /// Errors: the stored line is not JSON.
    fn store(&self, letter: &Letter<'_>) -> Storing;
}

/// Stores dead letters in the log, which delivers them to the bucket.
#[derive(Clone, Debug)]
pub struct LogLetters {
    /// The log.
    pub append: Arc<dyn Append>,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Letters for LogLetters {
    fn store(&self, letter: &Letter<'_>) -> Storing {
        // A clock that was set back may be on a day that is over.
        let frames = letter.frames(self.clock.wall().max(self.append.not_before()))?;
        let append = Arc::clone(&self.append);
        Ok(Box::pin(async move { append.append(frames).await.map(drop) }))
    }
}

/// A call that was not taken, and why.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The function.
    pub lane: &'a LaneId,
    /// Why it was not taken.
    pub failure: &'a Failure,
    /// How often it was sent.
    pub attempts: u32,
    /// The call's position in the log.
    pub position: u64,
    /// The call's source.
    pub source: &'a SourceId,
    /// The stored line.
    pub call: &'a [u8],
}

/// A dead letter, as a line of the stream `dead/<destination>`: the call as it was stored, and why it was not
/// taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    destination: &'a str,
    function: &'a str,
    class: &'static str,
    cause: &'a str,
    attempts: u32,
    call: &'a RawValue,
}

impl Letter<'_> {
    /// The letter as a request to the log. Errors: the stored line is not JSON.
    pub fn frames(&self, now: UnixMillis) -> Result<RequestFrames, serde_json::Error> {
        let line = self.line()?;
        let mut frames = RequestFrames::new(self.source.clone(), now, line.len());
        frames.set_stream(Stream::Dead(self.lane.destination.clone()));
        frames.line().extend_from_slice(&line);
        frames.call(self.fingerprint());
        Ok(frames)
    }

    /// The letter as a line of the stream, without a line break. Errors: the stored line is not JSON.
    pub fn line(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Line {
            destination: self.lane.destination.as_str(),
            function: &self.lane.function,
            class: self.failure.class.slug(),
            cause: self.failure.what.full(),
            attempts: self.attempts,
            call: serde_json::from_slice(self.call)?,
        })
    }

    /// Tells dead letters apart, so that the log recognises one that it has: after a crash a call may die
    /// again.
    fn fingerprint(&self) -> u128 {
        let digest = self.lane.digest().chain_update(self.position.to_le_bytes()).finalize();
        digest.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::class::Class;

    #[test]
    fn a_dead_letter_has_the_call_unchanged_and_the_cause() {
        let lane = LaneId { destination: SourceId::new("crm").unwrap(), function: "arn:x".to_owned() };
        let other = LaneId { function: "arn:y".to_owned(), ..lane.clone() };
        let failure = Failure { class: Class::Timeout, what: "late".into(), retry_after: None };
        let source = SourceId::new("web").unwrap();
        let letter = Letter {
            lane: &lane,
            failure: &failure,
            attempts: 3,
            position: 1,
            source: &source,
            call: br#"{"n":1.50,"a":"\u00e9"}"#,
        };
        assert_eq!(
            String::from_utf8(letter.line().unwrap()).unwrap(),
            r#"{"destination":"crm","function":"arn:x","class":"timeout","cause":"late","attempts":3,"call":{"n":1.50,"a":"\u00e9"}}"#
        );
        assert_ne!(letter.fingerprint(), Letter { position: 2, ..letter }.fingerprint());
        assert_ne!(letter.fingerprint(), Letter { lane: &other, ..letter }.fingerprint());
        assert!(Letter { call: b"no", ..letter }.frames(UnixMillis(0)).is_err());
    }
}
