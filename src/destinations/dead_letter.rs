//! The line of a call that a destination could not take.

use serde::Serialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::outcome::Failure;
use super::positions::LaneId;

/// A dead letter, as a line of the stream `dead/<destination>`: the call as it was stored, and why it was not taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DeadLetter<'a> {
    destination: &'a str,
    function: &'a str,
    class: &'static str,
    cause: &'a str,
    attempts: u32,
    call: &'a RawValue,
}

/// The line of a dead letter.
///
/// # Errors
/// The stored line is not JSON.
pub fn line(
    lane: &LaneId,
    failure: &Failure,
    attempts: u32,
    call: &[u8],
) -> Result<Vec<u8>, serde_json::Error> {
    serde_json::to_vec(&DeadLetter {
        destination: &lane.destination,
        function: &lane.function,
        class: failure.class.slug(),
        cause: &failure.what,
        attempts,
        call: serde_json::from_slice(call)?,
    })
}

/// By what the log recognises a dead letter that it has: after a crash the same call may die again.
pub fn fingerprint(lane: &LaneId, position: u64) -> u128 {
    let mut hash = Sha256::new();
    for part in [lane.destination.as_bytes(), lane.function.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(position.to_le_bytes());
    let digest = hash.finalize();
    digest.first_chunk::<16>().map_or(0, |bytes| u128::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::class::Class;

    #[test]
    fn a_dead_letter_has_the_call_unchanged_and_the_cause() {
        let lane = LaneId { destination: "crm".to_owned(), function: "arn:x".to_owned() };
        let failure = Failure { class: Class::Timeout, what: "late".to_owned(), retry_after: None };
        let line = line(&lane, &failure, 3, br#"{"n":1.50,"a":"\u00e9"}"#).unwrap();
        assert_eq!(
            String::from_utf8(line).unwrap(),
            r#"{"destination":"crm","function":"arn:x","class":"timeout","cause":"late","attempts":3,"call":{"n":1.50,"a":"\u00e9"}}"#
        );
        let other = LaneId { function: "arn:y".to_owned(), ..lane.clone() };
        assert_ne!(fingerprint(&lane, 1), fingerprint(&lane, 2));
        assert_ne!(fingerprint(&lane, 1), fingerprint(&other, 1));
    }
}
