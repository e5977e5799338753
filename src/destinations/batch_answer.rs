//! Which calls of a batch a function could not take, by its answer. Pure.
//!
//! The form is that of partial batch responses (AWS Lambda Developer Guide, "Handling errors for an SQS event
//! source"): `{"batchItemFailures":[{"itemIdentifier":"<messageId>"}]}`. An answer without it means that all
//! were taken. As there, an identifier that is empty or of no call of the batch means that the answer cannot
//! be understood: all are sent again.

use std::collections::HashMap;

use serde_json::value::RawValue;

use super::invoke::Outgoing;
use crate::json::Members;

/// The member that names what was not taken.
const FAILURES: &str = "batchItemFailures";
/// The member of each entry with a messageId.
const ID: &str = "itemIdentifier";

/// The places of the calls that were not taken.
pub fn not_taken(body: &[u8], outgoing: &Outgoing) -> Vec<usize> {
    let calls = &outgoing.calls;
    let all = || (0..calls.len()).collect();
    // Values are only split here: a tree of a long answer would take a hundred times its bytes.
    let Some(answer) = std::str::from_utf8(body).ok().and_then(Members::of) else {
        // A handler may answer with any word, but an object that cannot be read may have named calls.
        return if body.trim_ascii_start().first() == Some(&b'{') { all() } else { Vec::new() };
    };
    let failures = match answer.get(FAILURES).map(RawValue::get) {
        None | Some("null") => return Vec::new(),
        Some(failures) => serde_json::from_str::<Vec<&RawValue>>(failures),
    };
    let Ok(failures) = failures else { return all() };
    let mut named: HashMap<&str, Vec<usize>> = HashMap::new();
    for (place, call) in calls.iter().enumerate() {
        named.entry(&call.message_id).or_default().push(place);
    }
    let mut places = Vec::new();
    for failure in failures {
        let entry = Members::of(failure.get());
        let id = entry.as_ref().and_then(|entry| entry.get(ID));
        let id = id.and_then(|id| serde_json::from_str::<String>(id.get()).ok()).filter(|id| !id.is_empty());
        let Some(of_id) = id.and_then(|id| named.get_mut(id.as_str())) else { return all() };
        // An answer may name a call twice.
        places.append(of_id);
    }
    places.sort_unstable();
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
