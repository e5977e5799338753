use super::*;

fn problems(text: &str) -> Vec<String> {
    match Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024) {
        Ok(_) => Vec::new(),
        Err(ConvertError(problems)) => problems.iter().map(Problem::to_string).collect(),
    }
}

/// The problems of one source.
fn of_source(source: &str) -> Vec<String> {
    let fields =
        format!(r#"{{"event_type":["value","e"],"user_id":"u","event_properties":{{"x":{source}}}}}"#);
    let at = "E-CONV /converterConfig/convertToAmplitudeFunc/event_properties/x";
    let short = |problem: String| problem.strip_prefix(at).unwrap().to_owned();
    problems(&file(&fields)).into_iter().map(short).collect()
}

#[test]
fn sources_with_a_problem_name_their_place() {
    let check = |source: &str, expected: &[&str]| assert_eq!(of_source(source), expected, "{source}");
    check(r#"["lowr","a"]"#, &[r#": unknown operator "lowr" (did you mean "lower"?)"#]);
    check(r#"["frobnicate","a"]"#, &[r#": unknown operator "frobnicate""#]);
    check(r#"["lower"]"#, &[r#": "lower" takes one source, and has 0"#]);
    check(r#"["lower","a","b"]"#, &[r#": "lower" takes one source, and has 2"#]);
    check(r#"["-","a","b","c"]"#, &[r#": "-" takes two sources, and has 3"#]);
    check(r#"["any"]"#, &[r#": "any" takes one or more sources, and has 0"#]);
    check(r#"["dict","a"]"#, &[r#": "dict" takes pairs of a name and a source, and has 1"#]);
    check(r#"["cond","a"]"#, &[r#": "cond" takes pairs of a condition and a source, and has 1"#]);
    check(
        r#"["condition","a","b","c"]"#,
        &[r#": "condition" takes pairs of a condition and a source, and has 3"#],
    );
    check(r#"["iso_time_now","a"]"#, &[r#": "iso_time_now" takes no arguments, and has 1"#]);
    check("5", &[r#": 5 is no source: write ["value", 5]"#]);
    check("null", &[r#": null is no source: write ["value", null]"#]);
    check("[]", &[": the list is empty: an operator's name comes first"]);
    check(r#"[["lower","a"]]"#, &[r#": the list begins with ["lower","a"]: an operator's name comes first"#]);
    check(r#"["bool","true"]"#, &[r#": "bool" takes true or false itself, not "true""#]);
    check(r#"["int",1.5]"#, &[r#": "int" takes a whole number itself, not 1.5"#]);
    check(r#"["int","1"]"#, &[r#": "int" takes a whole number itself, not "1""#]);
    check(
        r#"["concat","a",5,["lower",true]]"#,
        &[r#"/2: 5 is no source: write ["value", 5]"#, r#"/3/1: true is no source: write ["value", true]"#],
    );
    check(r#"["condition","cond","a",5]"#, &[r#"/3: 5 is no source: write ["value", 5]"#]);
    check(r#"{"a~b/c":["lowr","a"]}"#, &[r#"/a~0b~1c: unknown operator "lowr" (did you mean "lower"?)"#]);
    check(r#"["split","","a"]"#, &["/1: the separator is empty"]);
    check(r#"["split",["value",","],"a"]"#, &[r#"/1: ["value",","] must be a text in quotes"#]);
    check(r#"["contains","a",5]"#, &[r#"/2: 5 is no source: write ["value", 5]"#]);
    check(r#"["exclude_keys","a",1]"#, &["/2: 1 must be a text in quotes"]);
    check(
        r#"["parse_time_to_ms","yyyy-MM-ddTHH","a"]"#,
        &["/1: the letter T of the time pattern is not known (yMdHhmsSazZXE are; quote text: 'T')"],
    );
    check(r#"["replace_with","(a","b","c"]"#, &["/1: not a regular expression: unclosed group"]);
    check(r#"["replace_with","a","$1","c"]"#, &["/2: the regular expression has no group 1"]);
    let look = of_source(r#"["replace_with","a(?=b)","c","d"]"#);
    assert!(look[0].starts_with("/1: not a regular expression: look-around"), "{look:?}");
}

#[test]
fn all_problems_of_a_file_are_reported_at_once() {
    let text = r#"{"config_nam":["x"],"converterConfig":{"fileTyp":"json","compressionType":"rar",
        "convertToAmplitudeFunc":{"user_id":["lowr","u"],"extra":["int","x"]},"csv":{"delimiter":";;","quote":1}},
        "keyValidatorConfig":{"filterPattern":"(","filterPatern":"x"}}"#;
    assert_eq!(
        problems(text),
        [
            r#"E-CONV /config_nam: unknown key "config_nam" (did you mean "config_name"?)"#,
            r#"E-CONV /converterConfig/fileTyp: unknown key "fileTyp" (did you mean "fileType"?)"#,
            r#"E-CONV /converterConfig/compressionType: "rar" is none of auto, none, gzip, zip, zstd"#,
            r#"E-CONV /converterConfig/csv/delimiter: ";;" must be one ASCII character, or "auto""#,
            "E-CONV /converterConfig/csv/quote: 1 is not a text in quotes",
            "E-CONV /converterConfig: fileType is missing",
            "E-CONV /keyValidatorConfig/filterPattern: not a regular expression: unclosed group",
            r#"E-CONV /keyValidatorConfig/filterPatern: unknown key "filterPatern" (did you mean "filterPattern"?)"#,
            r#"E-CONV /converterConfig/convertToAmplitudeFunc/user_id: unknown operator "lowr" (did you mean "lower"?)"#,
            r#"E-CONV /converterConfig/convertToAmplitudeFunc/extra: "int" takes a whole number itself, not "x""#,
            "E-CONV /converterConfig/convertToAmplitudeFunc: no row can become a call without event_type: add that field",
        ]
    );
}

#[test]
fn the_fields_may_be_written_as_an_operator() {
    let text = file(r#"["dict","event_type","e","user_id","u","user_id","v"]"#);
    assert_eq!(problems(&text), [""; 0]);
    let converter = Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 1_024).unwrap();
    let (_, calls) = converted(&converter, r#"{"e":"e","u":"u","v":"v"}"#);
    assert_eq!(calls, [r#"{"type":"track","messageId":"imp_k_7","userId":"v","event":"e"}"#]);
    assert_eq!(
        problems(&file(r#"["dict","event_type"]"#)),
        [r#"E-CONV /converterConfig/convertToAmplitudeFunc: "dict" takes pairs of a name and a source"#]
    );
}

#[test]
fn files_that_cannot_be_read_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(problems(text), [expected], "{text}");
    check("", "E-CONV: the file is not JSON: the text ends where a value is expected (line 1, column 1)");
    check("[]", "E-CONV: the file is not a JSON object");
    check("{}", "E-CONV: converterConfig is missing");
    check(
        r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":[]}}"#,
        "E-CONV /converterConfig/convertToAmplitudeFunc: [] is not an object of fields",
    );
    let long = format!("{}{}", " ".repeat(1_024 * 1_024), "{}");
    check(&long, "E-CONV: the file is longer than 1,048,576 bytes");
    let deep = file(&format!(r#"{{"user_id":{}"a"{}}}"#, r#"["any","#.repeat(80), "]".repeat(80)));
    assert!(problems(&deep)[0].starts_with("E-CONV: nested deeper than 64 levels (line 1, column "));
    let not_utf8 = Converter::load(b"{\"\xFF\":1}", DataType::Event, Strategy::AppendOnly, 1).unwrap_err();
    assert_eq!(not_utf8.to_string(), "E-CONV: the file is not UTF-8");
}

#[test]
fn a_strategy_that_the_type_does_not_have_is_a_problem_among_others() {
    let text = file(r#"{"user_id":["lowr","u"]}"#);
    let error = Converter::load(text.as_bytes(), DataType::UserProperties, Strategy::Mirror, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "E-STRATEGY: user_properties supports append_only only\n\
         E-CONV /converterConfig/convertToAmplitudeFunc/user_id: unknown operator \"lowr\" (did you mean \"lower\"?)"
    );
}

#[test]
fn very_many_problems_are_counted() {
    let list: Vec<String> = (0..150).map(|index| format!("\"p{index}\":1")).collect();
    let fields = format!(r#"{{"event_type":"e","user_id":"u","event_properties":{{{}}}}}"#, list.join(","));
    let found = problems(&file(&fields));
    assert_eq!((found.len(), found[100].as_str()), (101, "E-CONV: and 50 more problems"));
}

#[test]
fn the_file_says_what_it_is_for() {
    let text = r#"{"config_name":["One","Two"],"converterConfig":{"fileType":"csv","compressionType":"zip",
        "convertToAmplitudeFunc":{"event_type":"e","user_id":"u"},
        "csv":{"header":["e","u"],"delimiter":"\t","quote":"none","escape":"\\","encoding":"latin1"}},
        "keyValidatorConfig":{"filterPattern":".*\\.csv"}}"#;
    let load =
        |text: &str| Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 1_024).unwrap();
    let converter = load(text);
    let file = converter.file();
    assert_eq!(file.names, ["One", "Two"]);
    assert_eq!((file.format, file.compression), (FileFormat::Csv, Compression::Zip));
    assert!(file.pattern.as_ref().unwrap().matches("a.csv", ""));
    assert_eq!(
        file.csv,
        CsvSettings {
            header: Some(vec!["e".to_owned(), "u".to_owned()]),
            delimiter: Some(b'\t'),
            quote: None,
            escape: Some(b'\\'),
            encoding: encoding_rs::Encoding::for_label(b"windows-1252"),
        }
    );
    // The identity is stable, and that of the text.
    assert_eq!(file.id, ConverterId::of(text.as_bytes()));
    assert_eq!(ConverterId::of(b"{}").to_string().len(), 26);
    assert_ne!(load(&format!("{text} ")).file().id, file.id);
}
