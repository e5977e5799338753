use super::*;
use crate::convert::{DataType, Strategy};
use crate::import::reading::Limits;
use crate::import::reading::opened::{Opened, Options, open_stream};

const FIELDS: &str = r#""event_type":["path","e"],"user_id":["path","u"],"groups":["path","g"],
    "group_properties":["path","gp"],"skip":["path","no"]"#;

fn converter(config: &str) -> Arc<Converter> {
    let text = format!(
        r#"{{"converterConfig":{{{config},"ignoreEventFlag":"skip","convertToAmplitudeFunc":{{{FIELDS}}}}}}}"#
    );
    let converter = Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024);
    Arc::new(converter.unwrap())
}

fn opened(text: impl Into<Vec<u8>>, config: &str) -> Result<ConvertedRows, FileError> {
    let converter = converter(config);
    let encoding = converter.file().csv.encoding;
    let reading = Options { encoding, limits: Limits::default(), temporary: std::env::temp_dir() };
    let opened = open_stream(Cursor::new(text.into()), "a", None, &reading).unwrap();
    let Opened::Text(text) = opened else { panic!("an archive") };
    let how = Conversion {
        converter,
        id_prefix: "imp_k_".to_owned(),
        sequence_prefix: String::new(),
        now: UnixMillis(0),
    };
    ConvertedRows::open("a", OpenFile::Text(text), how)
}

/// What becomes of each row: messageIds, `-` for one that is skipped, or line and code of a rejected one.
fn rows(mut rows: ConvertedRows) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        let Some(row) = rows.next(&mut out).unwrap() else { return all };
        let shown = match row {
            Row::Calls(count) | Row::Keyed(count, _) => {
                let calls: Vec<serde_json::Value> =
                    serde_json::from_str(&format!("[{}]", String::from_utf8(out).unwrap())).unwrap();
                assert_eq!(calls.len(), usize::try_from(count).unwrap());
                let ids = calls.iter().map(|call| call["messageId"].as_str().unwrap().to_owned());
                ids.collect::<Vec<_>>().join(" ")
            }
            Row::Skipped => "-".to_owned(),
            Row::Rejected(reject) => {
                assert!(out.is_empty());
                format!("{}:{} {}", reject.line, reject.row, reject.code)
            }
            other => panic!("{other:?}"),
        };
        all.push(shown);
    }
}

const JSON: &str = r#""fileType":"json""#;

#[test]
fn lines_become_calls_by_their_position() {
    let text = concat!(
        "{\"e\":\"a\",\"u\":\"1\"}\n\n",
        "{\"e\":\"a\",\"u\":\"1\",\"no\":true}\r\n",
        "{\"e\":\"a\"\n",
        "[1]\n",
        "{\"u\":\"1\"}\n",
        "{\"e\":\"$groupidentify\",\"u\":\"1\",\"g\":{\"team\":[\"x\",\"y\"]},\"gp\":{\"a\":1}}",
    );
    let expected =
        ["imp_k_0", "-", "4:2 bad-json", "5:3 bad-json", "6:4 missing:event_type", "imp_k_5 imp_k_5_1"];
    assert_eq!(rows(opened(text, JSON).unwrap()), expected);
    let mut later = opened(text, JSON).unwrap();
    assert_eq!(later.skip(3).unwrap(), 3);
    assert_eq!(rows(later), expected[3..]);
    let mut short = opened(text, JSON).unwrap();
    assert_eq!(short.skip(9).unwrap(), 6);
    assert_eq!(rows(opened("", JSON).unwrap()), [""; 0]);
}

#[test]
fn a_line_that_cannot_be_text_spoils_no_other() {
    let mut text = b"{\"e\":\"a\",\"u\":\"\xFF\"}\n{\"x\":\"".to_vec();
    text.resize(LINE_BYTES_MAX + 100, b'x');
    text.extend_from_slice(b"\"}\n{\"e\":\"a\",\"u\":\"1\"}\n");
    assert_eq!(rows(opened(text, JSON).unwrap()), ["1:0 utf8", "2:1 too-large", "imp_k_2"]);
}

#[test]
fn a_row_with_too_many_calls_is_rejected() {
    let ids = |count: u64| (0..count).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
    let row = |count| {
        let ids = ids(count);
        format!("{{\"e\":\"$groupidentify\",\"g\":{{\"t\":[{ids}]}},\"gp\":{{}},\"u\":\"1\"}}\n")
    };
    let found = rows(opened(row(100) + &row(ROWS_MAX + 1), JSON).unwrap());
    assert_eq!(found[0].split(' ').count(), 100, "{}", found[0]);
    assert_eq!(found[1], "2:1 too-large");
}

#[test]
fn a_file_that_is_no_lines_is_refused() {
    let array = |text: &str| {
        let error = opened(text, JSON).unwrap().next(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "E-FORMAT: the file is one JSON array: write one object a line");
        assert!(opened(text, JSON).unwrap().skip(1).is_err());
    };
    array("[{\"e\":1}]");
    array("\n  [\n{\"e\":1}]");
    array(&format!("[{}]", "1".repeat(LINE_BYTES_MAX)));
    let error = opened(b"PAR1\0\0\x15\x04".to_vec(), JSON).unwrap_err();
    assert!(error.to_string().starts_with("E-FORMAT: the file is Parquet"), "{error}");
}

#[test]
fn cells_of_the_needed_columns_become_calls() {
    let csv = r#""fileType":"csv""#;
    let text = "x;e;u\n1;a;\"u;\"\"1\"\n2;b\n3;c;\n4;d;u\n";
    assert_eq!(rows(opened(text, csv).unwrap()), ["imp_k_0", "3:1 width", "4:2 missing:user_id", "imp_k_3"]);
    let mut rest = opened(text, csv).unwrap();
    assert_eq!(rest.skip(3).unwrap(), 3);
    assert_eq!(rows(rest), ["imp_k_3"]);
    let named = r#""fileType":"csv","csv":{"header":["e","u"],"delimiter":"|","encoding":"windows-1252"}"#;
    let mut out = Vec::new();
    opened(b"a|Zo\xEB\n".to_vec(), named).unwrap().next(&mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("\"userId\":\"Zoë\""));
    assert_eq!(rows(opened(b"e,u\na,Zo\xEB\nb,c\n".to_vec(), csv).unwrap()), ["2:0 utf8", "imp_k_1"]);
}

#[test]
fn a_header_that_does_not_fit_is_refused_in_the_words_of_converters() {
    let csv = r#""fileType":"csv""#;
    let check = |text: &str, expected: &str| {
        let error = opened(text, csv).unwrap_err().to_string();
        assert!(error.contains(expected) && !error.contains("--"), "{error}");
    };
    check("", "E-CSV-HEADER: the file is empty");
    check("e,u,e\n", "the header has 2 columns \"e\", and");
    check("a,b\n1,2\n", "has none of the columns that the converter reads: it has \"a\", \"b\", and");
    check("Report of May\na;b\n1;2\n", "E-CSV-DELIMITER: cannot tell the delimiter");
    check("e, u\na, b\n", "E-CSV-DELIMITER: a blank follows each delimiter");
}

/// In place of the reason a masked view had `[hidden]`, and only names of the header are values of the file.
#[test]
fn a_masked_error_of_a_header_keeps_its_reason() {
    let csv = r#""fileType":"csv""#;
    let check = |text: &str, expected: &str| {
        let masked = opened(text, csv).unwrap_err().masked();
        assert!(masked.contains(expected) && !masked.contains("[hidden]"), "{masked}");
    };
    check("", "E-CSV-HEADER: the file is empty: it has no header");
    check("e,u,e\n", "the header has 2 columns \"e\", and the converter reads it: give each of them a name");
    check("jane,roe\n1,2\n", "it has 2 columns, and the converter reads e, u");
    check("Report of May\na;b\n1;2\n", "E-CSV-DELIMITER: cannot tell the delimiter: ");
    assert!(!opened("jane,roe\n1,2\n", csv).unwrap_err().masked().contains("jane"));
}

#[test]
fn each_text_that_names_an_option_is_told_in_the_words_of_converters() {
    let csv = r#""fileType":"csv""#;
    let escaped = r#""fileType":"csv","csv":{"escape":"\\"}"#;
    let cases = [
        ("e,u\n\"a\\\"b\",u\n", csv),
        ("e,u\n\"a\"b,u\n", csv),
        ("e,u\na\\qb,u\n", escaped),
        ("e, u\na, b\n", csv),
        ("Report of May\na;b\n1;2\n", csv),
    ];
    assert_eq!(cases.len(), words::SAID.len());
    for ((text, config), (said, here)) in cases.into_iter().zip(words::SAID) {
        let told = match opened(text, config).map(|mut rows| rows.next(&mut Vec::new()).unwrap()) {
            Err(error) => error.to_string(),
            Ok(Some(Row::Rejected(reject))) => reject.message,
            Ok(other) => panic!("{text:?}: {other:?}"),
        };
        assert!(told.contains(here) && !told.contains("--"), "{said}: {told}");
    }
}
