//! Compares JSON by its text: digits are compared as numbers only on request.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// How numbers are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Numbers {
    /// By their digits.
    AsWritten,
    /// As a language sees them whose only numbers are doubles.
    AsDoubles,
}

/// The members of an object; of equal names, the last.
pub(crate) type Members = BTreeMap<String, Box<RawValue>>;

/// The members of an object in JSON text.
///
/// # Panics
///
/// If the text is not a JSON object.
pub(crate) fn members(json: &str) -> Members {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

/// Whether `actual` contains all of `expected`: objects may have more members, arrays must be equal.
///
/// # Errors
///
/// The path of the first difference, and the value there.
pub(crate) fn contains(expected: &RawValue, actual: &RawValue, numbers: Numbers) -> Result<(), String> {
    let (expected, actual) = (expected.get(), actual.get());
    let same = match expected.as_bytes().first() {
        Some(b'{') => return contains_members(expected, actual, numbers),
        Some(b'[') => return same_items(expected, actual, numbers),
        Some(b'"') => {
            serde_json::from_str::<String>(expected).ok() == serde_json::from_str::<String>(actual).ok()
        }
        Some(b'-' | b'0'..=b'9') => match numbers {
            Numbers::AsWritten => expected == actual,
            Numbers::AsDoubles => {
                let bits = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
                bits(expected) == bits(actual)
            }
        },
        _ => expected == actual,
    };
    if same { Ok(()) } else { Err(format!(": {expected} expected, {actual} found")) }
}

fn contains_members(expected: &str, actual: &str, numbers: Numbers) -> Result<(), String> {
    let mut found: Members =
        serde_json::from_str(actual).map_err(|_| format!(": {expected} expected, {actual} found"))?;
    for (name, value) in members(expected) {
        let other = found.remove(&name).ok_or_else(|| format!(".{name}: missing"))?;
        contains(&value, &other, numbers).map_err(|path| format!(".{name}{path}"))?;
    }
    Ok(())
}

fn same_items(expected: &str, actual: &str, numbers: Numbers) -> Result<(), String> {
    let items = |text: &str| serde_json::from_str::<Vec<Box<RawValue>>>(text);
    let differ = || format!(": {expected} expected, {actual} found");
    let (wanted, found) = (items(expected).map_err(|_| differ())?, items(actual).map_err(|_| differ())?);
    if wanted.len() != found.len() {
        return Err(differ());
    }
    for (index, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
        contains(wanted, found, numbers).map_err(|path| format!("[{index}]{path}"))?;
    }
    Ok(())
}

#[test]
fn containment_compares_values_and_digits() {
    let check = |expected: &str, actual: &str, numbers: Numbers, answer: Result<(), &str>| {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        assert_eq!(
            contains(&raw(expected), &raw(actual), numbers),
            answer.map_err(str::to_owned),
            "{expected} {actual}"
        );
    };
    use Numbers::{AsDoubles, AsWritten};
    check(r#"{"a":"é"}"#, r#"{ "b": 1, "a": "\u00e9" }"#, AsWritten, Ok(()));
    check(r#"{"a":{"b":1}}"#, r#"{"a":{"b":1.0}}"#, AsWritten, Err(".a.b: 1 expected, 1.0 found"));
    check(r#"{"a":{"b":1}}"#, r#"{"a":{"b":1.0}}"#, AsDoubles, Ok(()));
    check("12345678901234567890", "12345678901234567000", AsDoubles, Ok(()));
    check(
        "12345678901234567890",
        "12345678901234567000",
        AsWritten,
        Err(": 12345678901234567890 expected, 12345678901234567000 found"),
    );
    check("[1,null]", "[1]", AsWritten, Err(": [1,null] expected, [1] found"));
    check("[1,null]", "[1,false]", AsWritten, Err("[1]: null expected, false found"));
    check(r#"{"a":null}"#, "{}", AsWritten, Err(".a: missing"));
    check(r#""1""#, "1", AsWritten, Err(r#": "1" expected, 1 found"#));
    check("{}", "[]", AsWritten, Err(": {} expected, [] found"));
}
