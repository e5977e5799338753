//! Which calls of a batch a function could not take, by its answer. Pure.
//!
//! The form is that of partial batch responses (AWS Lambda Developer Guide, "Handling errors for an SQS event source"):
//! `{"batchItemFailures":[{"itemIdentifier":"<messageId>"}]}`. An answer without it means that all were taken. As there, an
//! identifier that is empty or of no call of the batch means that the answer cannot be understood: all are sent again.

use serde::Deserialize;

use super::invoke::Outgoing;

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "batchItemFailures", default)]
    failures: Option<Vec<Item>>,
}

#[derive(Deserialize)]
struct Item {
    #[serde(rename = "itemIdentifier", default)]
    id: Option<String>,
}

/// The places of the calls that were not taken.
pub fn not_taken(body: &[u8], outgoing: &Outgoing) -> Vec<usize> {
    let Ok(Answer { failures: Some(failures) }) = serde_json::from_slice(body) else { return Vec::new() };
    let calls = &outgoing.calls;
    let all = || (0..calls.len()).collect();
    let mut places = Vec::new();
    for Item { id } in failures {
        let id = id.unwrap_or_default();
        let before = places.len();
        if !id.is_empty() {
            places.extend(
                (0..calls.len()).filter(|at| calls.get(*at).is_some_and(|call| call.message_id == id)),
            );
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
