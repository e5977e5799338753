//! What a function's answer means for its task. Pure: bytes in, an outcome out.

use std::borrow::Cow;
use std::ops::Deref;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::invocation::Schema;
use super::task::MESSAGE_MAX;
use crate::words::{about_bytes, grouped, outside_text, outside_text_within};

/// The largest answer that is read, in bytes: as much as Lambda answers.
pub const ANSWER_MAX: usize = 6 * 1_024 * 1_024;
/// How much of a bad answer its message quotes, in bytes.
const EXCERPT_MAX: usize = 256;
/// The longest answer whose wrong member is looked for, in bytes: as a tree it takes several times as many.
const NAMED_MAX: usize = 256 * 1_024;
/// How a message about an answer that is no object of JSON begins, as that of S3 Batch Operations.
const INVALID: &str = "Invalid JSON returned in Lambda payload";

/// What becomes of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Succeeded(String),
    /// It may succeed later.
    TemporaryFailure(String),
    /// It has failed for good.
    PermanentFailure(String),
}

/// An answer, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// What becomes of the task. Its message has at most [`MESSAGE_MAX`] bytes.
    pub outcome: Outcome,
    /// Results that were ignored: for tasks that were not asked for, or a second one.
    pub ignored: u64,
}

/// What an answer has to name.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The form of the request.
    pub schema: Schema,
    /// The id of the invocation.
    pub invocation_id: &'a str,
    /// The id of the one task of the request.
    pub task_id: &'a str,
    /// What an answer must be besides, as its handler says: for the message of one that is not.
    pub form: Option<&'static str>,
}

/// A text that is copied only if it has escapes. `Option<Cow>` by itself is always copied.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow)]
    invocation_schema_version: Option<Text<'a>>,
    #[serde(borrow)]
    invocation_id: Option<Text<'a>>,
    #[serde(borrow)]
    treat_missing_keys_as: Option<Text<'a>>,
    #[serde(borrow)]
    results: Option<Vec<Result<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Result<'a> {
    #[serde(borrow)]
    task_id: Option<Text<'a>>,
    #[serde(borrow)]
    result_code: Option<Text<'a>>,
    /// Read only if it is the result of the task.
    #[serde(borrow)]
    result_string: Option<&'a RawValue>,
}

/// What an answer means for the task that was asked for.
pub fn read(body: &[u8], expected: Expected<'_>) -> Read {
    let failed = |message: String| Read { outcome: permanent(message), ignored: 0 };
    if body.len() > ANSWER_MAX {
        return failed(too_large(Some(body.len())));
    }
    match body.trim_ascii_start().first() {
        Some(b'{') => {}
        _ => return failed(no_object(body, expected.form)),
    }
    let answer: Answer<'_> = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) if error.is_data() => {
            let which = wrong_member(body).unwrap_or_else(|| error.to_string());
            return failed(format!(
                "{INVALID}: the answer has another shape than it must have: {which}; {}",
                beginning(body)
            ));
        }
        Err(error) => {
            let form = expected.form.map_or_else(String::new, |form| format!("; {form}"));
            return failed(format!("{INVALID}: {error}{form}; {}", beginning(body)));
        }
    };
    let (invocation, version) =
        (answer.invocation_id.as_deref(), answer.invocation_schema_version.as_deref());
    if let Some(problem) = not_echoed("invocationId", expected.invocation_id, invocation)
        .or_else(|| not_echoed("invocationSchemaVersion", expected.schema.as_str(), version))
    {
        return failed(problem);
    }
    let Some(results) = &answer.results else {
        return failed("the answer has no results: answer a list of them, one for each task".to_owned());
    };
    let result = results.iter().find(|result| result.task_id.as_deref() == Some(expected.task_id));
    let others = results.len() - usize::from(result.is_some());
    let outcome = match result {
        Some(result) => outcome_of(result),
        None => missing(answer.treat_missing_keys_as.as_deref()),
    };
    Read { outcome, ignored: u64::try_from(others).unwrap_or(u64::MAX) }
}

/// Which member of an answer has another kind of value than it must have, and which. The parser knows only where it is.
fn wrong_member(body: &[u8]) -> Option<String> {
    if body.len() > NAMED_MAX {
        return None;
    }
    let answer: Value = serde_json::from_slice(body).ok()?;
    let no_text = |of: &str, value: &Value, member: &str| {
        let wrong = value.get(member).filter(|value| !value.is_string() && !value.is_null())?;
        Some(format!("{of}{member} is {}, and must be a text", kind_of(wrong)))
    };
    let of_answer = ["invocationSchemaVersion", "invocationId", "treatMissingKeysAs"];
    if let Some(wrong) = of_answer.iter().find_map(|member| no_text("", &answer, member)) {
        return Some(wrong);
    }
    let results = match answer.get("results")? {
        Value::Array(results) => results,
        other => return Some(format!("results is {}, and must be a list", kind_of(other))),
    };
    results.iter().enumerate().find_map(|(at, result)| match result {
        Value::Object(_) => {
            let of = format!("results[{at}].");
            ["taskId", "resultCode"].iter().find_map(|member| no_text(&of, result, member))
        }
        other => Some(format!("results[{at}] is {}, and must be an object", kind_of(other))),
    })
}

/// The kind of a value, in words.
pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// What is said about an answer that is too large, of so many bytes if they are known.
pub fn too_large(bytes: Option<usize>) -> String {
    let size = bytes.and_then(|bytes| u64::try_from(bytes).ok());
    let size = size.map_or_else(|| "more than 6 MiB".to_owned(), about_bytes);
    format!(
        "the answer has {size}, and at most 6 MiB are read: answer less, and store large results elsewhere"
    )
}

/// A message as it is kept: at most [`MESSAGE_MAX`] bytes, whole characters. The end of a longer one says that it is
/// cut, and how long it was.
pub fn kept(mut message: String) -> String {
    let len = message.len();
    if len > MESSAGE_MAX {
        let cut = format!("… (cut: {} bytes in all)", grouped(len as u64));
        message.truncate(message.floor_char_boundary(MESSAGE_MAX.saturating_sub(cut.len())));
        message.push_str(&cut);
    }
    message
}

fn permanent(message: String) -> Outcome {
    Outcome::PermanentFailure(kept(message))
}

/// Why a member that an answer repeats is not the one of its request.
fn not_echoed(member: &str, sent: &str, answered: Option<&str>) -> Option<String> {
    match answered {
        Some(answered) if answered == sent => None,
        Some(answered) => Some(format!(
            "the answer has {member} \"{}\", and the request has \"{sent}\": answer with that of the request",
            outside_text_within(answered, EXCERPT_MAX)
        )),
        None => Some(format!("the answer has no {member}: answer with that of the request, \"{sent}\"")),
    }
}

fn outcome_of(result: &Result<'_>) -> Outcome {
    let message = match result.result_string.map(|raw| serde_json::from_str::<Option<String>>(raw.get())) {
        None | Some(Ok(None)) => String::new(),
        Some(Ok(Some(text))) => text,
        Some(Err(_)) => {
            let said = result.result_string.map_or("", RawValue::get);
            return permanent(format!(
                "{INVALID}: resultString is no text: answer a string, such as the result as JSON within it; it begins: {}",
                outside_text_within(said, EXCERPT_MAX)
            ));
        }
    };
    let message = kept(message);
    match result.result_code.as_deref() {
        Some("Succeeded") => Outcome::Succeeded(message),
        Some("TemporaryFailure") => Outcome::TemporaryFailure(message),
        Some("PermanentFailure") => Outcome::PermanentFailure(message),
        Some(other) => permanent(format!(
            "unknown result code \"{}\": answer Succeeded, TemporaryFailure or PermanentFailure",
            outside_text(other)
        )),
        None => permanent(
            "the result has no resultCode: answer Succeeded, TemporaryFailure or PermanentFailure".to_owned(),
        ),
    }
}

/// The outcome of a task for which there is no result.
fn missing(treat_as: Option<&str>) -> Outcome {
    const MISSING: &str = "the answer has no result for this task";
    match treat_as {
        Some("Succeeded") => Outcome::Succeeded(format!("{MISSING}, and treatMissingKeysAs is Succeeded")),
        Some("TemporaryFailure") => {
            Outcome::TemporaryFailure(format!("{MISSING}, and treatMissingKeysAs is TemporaryFailure"))
        }
        None | Some("PermanentFailure") => {
            Outcome::PermanentFailure(format!("{MISSING}: answer one with its taskId"))
        }
        Some(other) => permanent(format!(
            "{MISSING}, and treatMissingKeysAs is \"{}\": answer one with its taskId, or use Succeeded, \
             TemporaryFailure or PermanentFailure",
            outside_text(other)
        )),
    }
}

/// What an answer is that is no object.
fn no_object(body: &[u8], form: Option<&str>) -> String {
    const BATCH: &str = "write a function for S3 Batch Operations, which answers one object with results";
    let batch = form.unwrap_or(BATCH);
    if body.trim_ascii().is_empty() {
        return format!("{INVALID}: the answer is empty; {batch}");
    }
    let text = || {
        let what = match form {
            Some(_) => "the answer is text",
            None => "the function returned text, as one for S3 events does",
        };
        format!("{INVALID}: {what}; {batch}; {}", beginning(body))
    };
    // Nothing of JSON begins with it, so where the parser stopped says nothing.
    let of_json = |first: &u8| first.is_ascii_digit() || b"[\"-".contains(first);
    let is_bare_text = !body.trim_ascii_start().first().is_some_and(of_json);
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Null) => {
            format!("{INVALID}: the function returned null, as one for S3 events does; {batch}")
        }
        Ok(Value::String(text)) if text.trim_start().starts_with('{') => format!(
            "{INVALID}: the answer is an object within a JSON string; in Java, use RequestStreamHandler and not \
             RequestHandler; elsewhere, return the object itself; {}",
            beginning(body)
        ),
        Ok(Value::String(_)) => text(),
        Err(_) if is_bare_text => text(),
        Ok(other) => {
            let kind = kind_of(&other);
            format!("{INVALID}: the answer is {kind}, not an object; {batch}; {}", beginning(body))
        }
        Err(error) => {
            let what = form.unwrap_or("answer one object of JSON and nothing else");
            format!("{INVALID}: {error}; {what}; {}", beginning(body))
        }
    }
}

fn beginning(body: &[u8]) -> String {
    // One character has at most four bytes, so no more of them can be shown.
    let shown = body.get(..EXCERPT_MAX * 4).unwrap_or(body);
    format!("the answer begins: {}", outside_text_within(&String::from_utf8_lossy(shown), EXCERPT_MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Outcome::{PermanentFailure, Succeeded, TemporaryFailure};
    use super::*;

    const EXPECTED: Expected<'static> = Expected {
        schema: Schema::V1,
        invocation_id: "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo",
        task_id: "dGFza2lkZ29lc2hlcmUK",
        form: None,
    };

    /// The sample answer of the described product. The quotes within its text break its JSON.
    const SAMPLE: &str = r#"{ "invocationSchemaVersion": "1.0", "treatMissingKeysAs" : "PermanentFailure", "invocationId" : "YXNkbGZqYWRmaiBhc2RmdW9hZHNmZGpmaGFzbGtkaGZza2RmaAo", "results": [ { "taskId": "dGFza2lkZ29lc2hlcmUK", "resultCode": "Succeeded", "resultString": "[\"Mary Major", \"John Stiles\"]" } ] }"#;

    fn answer(members: &str) -> String {
        format!(r#"{{"invocationSchemaVersion":"1.0","invocationId":"{}"{members}}}"#, EXPECTED.invocation_id)
    }

    fn result(rest: &str) -> String {
        answer(&format!(r#","results":[{{"taskId":"{}"{rest}}}]"#, EXPECTED.task_id))
    }

    fn outcome(body: &str) -> Outcome {
        read(body.as_bytes(), EXPECTED).outcome
    }

    #[test]
    fn the_three_codes_have_their_effects() {
        let check = |rest: &str, expected| assert_eq!(outcome(&result(rest)), expected, "{rest}");
        check(r#","resultCode":"Succeeded","resultString":"a → b""#, Succeeded("a → b".into()));
        check(r#","resultCode":"Succeeded""#, Succeeded(String::new()));
        check(r#","resultCode":"Succeeded","resultString":null"#, Succeeded(String::new()));
        check(r#","resultCode":"Succeeded","more":[1]"#, Succeeded(String::new()));
        check(r#","resultCode":"TemporaryFailure","resultString":"later""#, TemporaryFailure("later".into()));
        check(r#","resultCode":"PermanentFailure","resultString":"no\n""#, PermanentFailure("no\n".into()));
    }

    #[test]
    fn each_bad_answer_says_what_to_change() {
        let check = |body: &str, words: &[&str]| match outcome(body) {
            PermanentFailure(message) => {
                for word in words {
                    assert!(message.contains(word), "{body}: {message} lacks {word}");
                }
                assert!(message.len() <= MESSAGE_MAX);
            }
            other => panic!("{body}: {other:?}"),
        };
        check(SAMPLE, &[INVALID, "line 1 column 261", "the answer begins: { \"invocationSchemaVersion\""]);
        check("null", &[INVALID, "null, as one for S3 events", "S3 Batch Operations"]);
        check(r#""ok""#, &[INVALID, "text, as one for S3 events", "begins: \"ok\""]);
        check(r#""{\"results\":[]}""#, &[INVALID, "RequestStreamHandler"]);
        check("Hello\u{1b}", &[INVALID, "text, as one for S3 events", "begins: Hello\\u{1b}"]);
        check("[1", &[INVALID, "EOF", "begins: [1"]);
        check("", &[INVALID, "empty"]);
        check(" \n", &[INVALID, "empty"]);
        check("[]", &[INVALID, "a list"]);
        check("12", &[INVALID, "a number"]);
        check("true", &[INVALID, "true or false"]);
        check("{", &[INVALID, "EOF"]);
        check(&format!("{}{{}}", result(r#","resultCode":"Succeeded""#)), &[INVALID, "trailing characters"]);
        check(
            &answer(r#","results":{}"#),
            &[INVALID, "another shape", "results is an object, and must be a list"],
        );
        check(&answer(r#","results":[{},1]"#), &[INVALID, "results[1] is a number, and must be an object"]);
        check(
            &answer(r#","results":[{"taskId":7}]"#),
            &["results[0].taskId is a number, and must be a text"],
        );
        check(
            &result(r#","resultCode":true"#),
            &["results[0].resultCode is true or false, and must be a text"],
        );
        check(r#"{"invocationId":["i"]}"#, &["have: invocationId is a list, and must be a text"]);
        let long = format!(r#"{{"invocationId":1,"x":"{}"}}"#, "x".repeat(NAMED_MAX));
        check(&long, &[INVALID, "invalid type: integer `1`"]);
        check(&answer(""), &["no results"]);
        check(&answer(r#","results":null"#), &["no results"]);
        check("{}", &["no invocationId", EXPECTED.invocation_id]);
        check(r#"{"invocationId":"other"}"#, &["invocationId \"other\"", EXPECTED.invocation_id]);
        let other_version = answer("").replace("1.0", "2.0");
        check(&other_version, &["invocationSchemaVersion \"2.0\"", "\"1.0\""]);
        check(&result(""), &["no resultCode"]);
        check(
            &result(r#","resultCode":"succeeded""#),
            &["unknown result code \"succeeded\": answer Succeeded"],
        );
        check(
            &result(r#","resultCode":"Succeeded","resultString":{"a":1}"#),
            &["resultString", r#"{"a":1}"#],
        );
        check(&" ".repeat(ANSWER_MAX + 1), &["6 MiB", "answer less"]);
        check(&format!("[{}", "[".repeat(100_000)), &[INVALID]);
    }

    #[test]
    fn a_bad_answer_is_told_the_form_of_its_handler() {
        let expected = Expected { form: Some("one line"), ..EXPECTED };
        for body in ["{", "done", "", "[1", "3", "\"a\"", "null"] {
            match read(body.as_bytes(), expected).outcome {
                PermanentFailure(message) => assert!(message.contains("; one line"), "{body}: {message}"),
                other => panic!("{body}: {other:?}"),
            }
        }
    }

    #[test]
    fn the_sample_is_read_once_its_quote_is_fixed() {
        let fixed = SAMPLE.replace("Major\", ", "Major\\\", ");
        assert_eq!(outcome(&fixed), Succeeded(r#"["Mary Major", "John Stiles"]"#.into()));
    }

    #[test]
    fn a_task_without_a_result_is_treated_as_the_answer_says() {
        let treat = |value: &str| outcome(&answer(&format!(r#","results":[]{value}"#)));
        let code = |value: &str| treat(&format!(r#","treatMissingKeysAs":{value}"#));
        assert!(matches!(code(r#""Succeeded""#), Succeeded(_)));
        assert!(matches!(code(r#""TemporaryFailure""#), TemporaryFailure(_)));
        assert!(matches!(code(r#""PermanentFailure""#), PermanentFailure(_)));
        assert!(matches!(code("null"), PermanentFailure(_)));
        assert!(matches!(treat(""), PermanentFailure(_)));
        assert!(matches!(code(r#""Skip""#), PermanentFailure(why) if why.contains("\"Skip\"")));
    }

    #[test]
    fn the_first_result_of_the_task_counts_and_others_are_counted() {
        let of = |id: &str, code: &str, text: &str| {
            format!(r#"{{"taskId":"{id}","resultCode":"{code}","resultString":{text}}}"#)
        };
        let results = [
            of("another", "Nonsense", "{}"),
            of(EXPECTED.task_id, "Succeeded", "\"first\""),
            of(EXPECTED.task_id, "PermanentFailure", "\"second\""),
            "{}".to_owned(),
        ];
        let body = answer(&format!(r#","results":[{}]"#, results.join(",")));
        let expected = Read { outcome: Succeeded("first".into()), ignored: 3 };
        assert_eq!(read(body.as_bytes(), EXPECTED), expected);
    }

    #[test]
    fn a_long_result_is_cut_between_characters_and_says_so() {
        let check = |text: &str, expected: &str| {
            let body = result(&format!(r#","resultCode":"Succeeded","resultString":"{text}""#));
            assert_eq!(outcome(&body), Succeeded(expected.to_owned()));
            assert!(expected.len() <= MESSAGE_MAX);
        };
        let whole = format!("xy{}", "ü".repeat(511));
        check(&whole, &whole);
        let cut = format!("x{}… (cut: 1,201 bytes in all)", "ü".repeat(497));
        check(&format!("x{}", "ü".repeat(600)), &cut);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            let outcome = read(&body, EXPECTED).outcome;
            prop_assert!(matches!(outcome, PermanentFailure(_)));
        }

        #[test]
        fn no_change_of_a_good_answer_makes_it_panic(at in 0_usize..300, byte: u8, cut in 0_usize..300) {
            let mut body = SAMPLE.replace("Major\", ", "Major\\\", ").into_bytes();
            if let Some(place) = body.get_mut(at) {
                *place = byte;
            }
            read(&body, EXPECTED);
            body.truncate(cut);
            read(&body, EXPECTED);
        }

        #[test]
        fn any_text_of_a_result_comes_back(text in any::<String>()) {
            let json = serde_json::to_string(&text).unwrap();
            let body = result(&format!(r#","resultCode":"Succeeded","resultString":{json}"#));
            prop_assert_eq!(outcome(&body), Succeeded(kept(text)));
        }
    }
}
