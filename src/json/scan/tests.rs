use super::*;

fn scan(text: &str, depth_max: usize) -> Result<Value, ScanError> {
    let mut cursor = Cursor::new(text.as_bytes(), depth_max);
    let value = cursor.value()?;
    cursor.finish()?;
    Ok(value)
}

#[test]
fn values_have_the_right_kind_and_place() {
    let check = |text: &str, kind: ValueKind, start: usize, end: usize| {
        assert_eq!(scan(text, 9), Ok(Value { span: Span::new(start, end), kind }), "{text}");
    };
    check("{}", ValueKind::Object, 0, 2);
    check(" [ ] ", ValueKind::Array, 1, 4);
    check(r#""a""#, ValueKind::Plain, 0, 3);
    check(r#""\n""#, ValueKind::Escaped, 0, 4);
    check("\n-0.5E+10\t", ValueKind::Number, 1, 9);
    check("true", ValueKind::True, 0, 4);
    check("false", ValueKind::False, 0, 5);
    check("null", ValueKind::Null, 0, 4);
}

#[test]
fn texts_are_accepted_exactly_if_serde_json_accepts_them() {
    let check = |text: &str| {
        let ours = scan(text, 100).is_ok();
        let theirs = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        assert_eq!(ours, theirs, "{text:?}");
    };
    // Structure.
    [
        "", " ", "{", "}", "[", "]", "[}", "{]", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{,}", "{}{}", "{} x",
        "[1]]",
    ]
    .into_iter()
    .for_each(check);
    [
        r#"{"a"}"#, r#"{"a":}"#, r#"{"a":1,}"#, r#"{a:1}"#, "{1:1}", r#"{"a" 1}"#, r#"{"a":1 "b":2}"#,
        r#"{"a":1:2}"#,
    ]
    .into_iter()
    .for_each(check);
    [
        r#"{"a":[{"b":[]},[[]],{}]}"#,
        r#" { "a" : 1 , "b" : [ ] } "#,
        "\u{c}1",
        "\u{a0}1",
        "// c\n1",
        "/**/1",
        "[1/**/]",
    ]
    .into_iter()
    .for_each(check);
    // Numbers.
    [
        "0", "-0", "-", "+1", "01", "-01", "1.", ".5", "1.5", "1e5", "1e", "1e+", "1E-05", "1.5e+10", "0x10",
        "1_0", "--1",
    ]
    .into_iter()
    .for_each(check);
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "1f",
        "12345678901234567890123456789012345678901",
        "0.0",
        "-0.0",
        "1e-999",
    ]
    .into_iter()
    .for_each(check);
    // Literals.
    ["tru", "truex", "True", "nul", "nulll", "false", "f", "undefined"].into_iter().for_each(check);
    // Strings.
    [
        "\"", "\"a", "'a'", r#""\""#, r#""\x""#, r#""\u12""#, r#""\u12g4""#, r#""\u+123""#, r#""\u00e9""#,
        r#""\U0041""#,
    ]
    .into_iter()
    .for_each(check);
    ["\"a\nb\"", "\"a\u{1f}b\"", "\"\u{0}\"", "\"\u{7f}\"", "\"\u{2028}\"", "\"é☃😀\"", r#""\ud83d\ude00""#]
        .into_iter()
        .for_each(check);
}

#[test]
fn numbers_of_any_size_are_text() {
    for text in ["1e999", "-1e400", "123456789012345678901234567890"] {
        assert_eq!(scan(text, 1).map(|value| value.kind), Ok(ValueKind::Number), "{text}");
    }
}

#[test]
fn a_control_character_is_found_at_every_place_of_a_string() {
    for len in 0..40 {
        for at in 0..=len {
            for byte in ["\u{1f}", "\u{0}", "\n"] {
                let text = format!("\"{}{byte}{}\"", "x".repeat(at), "é".repeat(len - at));
                let expected =
                    ScanError::Syntax { what: "unescaped control character in a string", at: at + 1 };
                assert_eq!(scan(&text, 1), Err(expected), "{text:?}");
            }
            let text = format!("\"{}\\u0020{}\"", "x".repeat(at), "\u{80}".repeat(len - at));
            assert_eq!(scan(&text, 1).map(|value| value.kind), Ok(ValueKind::Escaped), "{text:?}");
        }
    }
}

#[test]
fn depth_is_bounded_by_the_limit_not_by_the_stack() {
    let nested = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert!(scan(&nested(128), 128).is_ok());
    assert_eq!(scan(&nested(129), 128), Err(ScanError::TooDeep { at: 128 }));
    assert_eq!(scan(&"[".repeat(100_000), 128), Err(ScanError::TooDeep { at: 128 }));
    assert_eq!(scan(&r#"{"a":"#.repeat(100_000), 2), Err(ScanError::TooDeep { at: 10 }));
    assert!(scan(&nested(1_000_000), usize::MAX).is_ok());
}

#[test]
fn untidy_text_is_counted() {
    let check = |text: &str, expected: u32| {
        let mut cursor = Cursor::new(text.as_bytes(), 8);
        cursor.value().unwrap();
        assert_eq!(cursor.untidy(), expected, "{text:?}");
    };
    check(r#"{"a": [1, 2]}"#, 0);
    check("{\n\"a\":\t1\r}", 3);
    check(r#""\ud800""#, 1);
    check(r#""\ud800\udc00""#, 0);
    check(r#""\udc00\ud800""#, 2);
    check(r#"{"\ud800x":"\n"}"#, 1);
}

#[test]
fn members_and_elements_are_read_one_by_one() {
    let text = br#" { "a" : [1, {"x": 2}, "s"] , "b":null } "#;
    let mut cursor = Cursor::new(text, 3);
    cursor.enter().unwrap();
    let name = cursor.next_name().unwrap().unwrap();
    assert_eq!(name.span.of(text), b"a");
    assert_eq!(cursor.peek(), Some(b'['));
    cursor.enter().unwrap();
    let mut elements = Vec::new();
    while cursor.next_element().unwrap() {
        elements.push(cursor.value().unwrap().span.of(text));
    }
    assert_eq!(elements, [&b"1"[..], br#"{"x": 2}"#, br#""s""#]);
    assert_eq!(cursor.next_name().unwrap().unwrap().span.of(text), b"b");
    assert_eq!(cursor.value().unwrap().kind, ValueKind::Null);
    assert_eq!(cursor.next_name().unwrap(), None);
    cursor.finish().unwrap();
}
