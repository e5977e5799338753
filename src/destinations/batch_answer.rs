//! Which calls of a batch a function could not take, by its answer. Pure.
//!
//! The form is that of partial batch responses (AWS Lambda Developer Guide, "Handling errors for an SQS event source"):
//! `{"batchItemFailures":[{"itemIdentifier":"<messageId>"}]}`. An answer without it means that all were taken. As there, an
//! identifier that is empty or of no call of the batch means that the answer cannot be understood: all are sent again.

use serde_json::Value;

use super::invoke::Outgoing;

/// The member that names what was not taken.
const FAILURES: &str = "batchItemFailures";
/// The member of each entry with a messageId.
const ID: &str = "itemIdentifier";

/// The places of the calls that were not taken.
pub fn not_taken(body: &[u8], outgoing: &Outgoing) -> Vec<usize> {
    let calls = &outgoing.calls;
    let all = || (0..calls.len()).collect();
    let failures = match serde_json::from_slice::<Value>(body) {
        Ok(mut answer) => answer.get_mut(FAILURES).map(Value::take).unwrap_or_default(),
        // A handler may answer with a word of its own, but an object that cannot be read may have named calls.
        Err(_) if body.trim_ascii_start().first() == Some(&b'{') => return all(),
        Err(_) => Value::Null,
    };
    let failures = match failures {
        Value::Null => return Vec::new(),
        Value::Array(failures) => failures,
        _ => return all(),
    };
    let mut places = Vec::new();
    for failure in failures {
        let before = places.len();
        if let Some(id) = failure.get(ID).and_then(Value::as_str).filter(|id| !id.is_empty()) {
            let named = calls.iter().enumerate().filter(|(_, call)| call.message_id == id);
            places.extend(named.map(|(place, _)| place));
        }
        if places.len() == before {
            return all();
        }
    }
    places.sort_unstable();
    places.dedup();
    places
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::destinations::invoke::Carried;
    use crate::sources::SourceId;

    #[test]
    fn only_the_named_calls_were_not_taken() {
        let calls = ["a", "b", "c", "b"].map(|id| Carried {
            attempt: 1,
            message_id: id.to_owned(),
            line: format!("{{\"messageId\":\"{id}\"}}").into(),
        });
        let outgoing = Outgoing {
            destination: "crm".into(),
            function: "f".into(),
            source: SourceId::new("web").unwrap(),
            calls: calls.to_vec(),
            batch: true,
        };
        let payload: serde_json::Value = serde_json::from_slice(&outgoing.payload()).unwrap();
        assert_eq!((payload.as_array().unwrap().len(), &payload[1]["messageId"]), (4, &"b".into()));
        let check = |body: &str, expected: &[usize]| {
            assert_eq!(not_taken(body.as_bytes(), &outgoing), expected, "{body}")
        };
        check("null", &[]);
        check("{}", &[]);
        check("done", &[]);
        check(r#"{"batchItemFailures":[]}"#, &[]);
        check(r#"{"batchItemFailures":null}"#, &[]);
        check(r#"{"batchItemFailures":[{"itemIdentifier":"c"},{"itemIdentifier":"b"}]}"#, &[1, 2, 3]);
        for odd in
            [r#"{"itemIdentifier":""}"#, r#"{"itemIdentifier":null}"#, "{}", r#"{"itemIdentifier":"z"}"#]
        {
            check(&format!(r#"{{"batchItemFailures":[{{"itemIdentifier":"a"}},{odd}]}}"#), &[0, 1, 2, 3]);
        }
    }
}
