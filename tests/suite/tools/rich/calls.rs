//! The request bodies of the scenario. Each call has a unique `messageId` and one of four shapes.

use std::ops::Range;

use forebay::time::UnixMillis;
use forebay::words::rfc3339;

/// The `messageId` of a source's call.
pub(super) fn id(source: &str, number: u32) -> String {
    format!("{source}-{number:03}")
}

/// A request with these calls of a source, sent three seconds before `received_at`.
pub(super) fn request(source: &str, numbers: Range<u32>, received_at: UnixMillis) -> String {
    envelope(numbers.map(|number| call(source, number)).collect(), received_at)
}

/// A request whose items are not valid calls: two items for each number.
pub(super) fn invalid(source: &str, numbers: Range<u32>, received_at: UnixMillis) -> String {
    let items = |number: u32| {
        let id = id(source, number);
        [format!(r#"{{"type":"unknown","messageId":"rejected-{id}","price":1.50}}"#), format!(r#""{id}""#)]
    };
    envelope(numbers.flat_map(items).collect(), received_at)
}

fn envelope(items: Vec<String>, received_at: UnixMillis) -> String {
    let sent_at = rfc3339(UnixMillis(received_at.0 - 3_000));
    let library = r#"{"library":{"name":"analytics-node","version":"2.1.0"},"locale":"de-CH"}"#;
    format!(r#"{{"sentAt":"{sent_at}","context":{library},"batch":[{}]}}"#, items.join(","))
}

/// Digits, escapes, spaces and member order must reach the bucket unchanged.
fn call(source: &str, number: u32) -> String {
    let id = id(source, number);
    match number % 4 {
        0 => format!(
            r#"{{"type":"track","event":"Order Completed","userId":"u-{number}","messageId":"{id}","properties":{{"total":1{number}.50e0,"note":"Z\u00fcrich – \"Süd\"","big":12345678901234567890,"list":[1, 2.0,null]}}}}"#
        ),
        1 => format!(
            r#"{{"messageId":"{id}","type":"identify","anonymousId":"a-{number}","traits":{{"email":"p{number}@example.com","emoji":"\ud83d\ude80 🚀"}},"context":{{"ip":"198.51.100.{number}"}}}}"#
        ),
        2 => format!(
            r#"{{"type":"page","name":"/","userId":null,"anonymousId":"a-{number}","messageId":"{id}","timestamp":"2023-11-13T19:00:{:02}.000Z"}}"#,
            number % 60
        ),
        _ => format!(r#"{{"type":"group","groupId":"g","userId":"u-{number}","messageId":"{id}"}}"#),
    }
}
