use super::super::super::reading::Limits;
use super::super::super::reading::opened::{Opened, Options, open_stream};
use super::*;
use crate::call::CallKind;
use crate::import::csv::{ColumnRule, MessageIds, Types, parse_schema};

#[test]
fn a_copy_that_cannot_be_made_is_no_fault_of_the_file() {
    use super::super::super::reading::temporary::Copied;
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = of_io(&Copied::to_folder(&mut io::empty(), &file.path().join("folder")).unwrap_err());
    assert_eq!((error.fault, error.code.as_str()), (FileFault::Local, "E-READ"));
    assert!(error.to_string().contains("cannot make the folder"), "{error}");
}

#[test]
fn a_broken_compressed_file_says_so_where_private_values_are_hidden() {
    use super::super::super::reading::compression::Compression::{Gzip, Zstd};
    let masked = |error: DecompressError| of_io(&error.into()).masked();
    assert_eq!(
        masked(DecompressError::Truncated(Gzip)),
        "E-COMPRESSION: the gzip file is cut off: it was not written or copied to its end"
    );
    let of_zip = |error: ZipError| of_io(&error.into()).masked();
    assert_eq!(
        of_zip(ZipError::Encrypted("jane.csv".to_owned())),
        "E-COMPRESSION: the entry \"[hidden]\" is encrypted; decrypt the zip file first"
    );
    assert_eq!(
        of_zip(ZipError::Nested),
        "E-COMPRESSION: a zip file within a zip file is not read; unpack the outer one"
    );
    let damaged = masked(DecompressError::Corrupt(Zstd, "said elsewhere".to_owned()));
    assert_eq!(damaged, "E-COMPRESSION: the zstd file is damaged: write or copy it again");
}

fn opened(text: impl Into<Vec<u8>>) -> Result<OpenedCsv, FileError> {
    opened_as(text, FileType::Calls(CallKind::Track), &CsvOptions::default())
}

fn opened_as(text: impl Into<Vec<u8>>, kind: FileType, options: &CsvOptions) -> Result<OpenedCsv, FileError> {
    let text: Vec<u8> = text.into();
    let reading = Options { encoding: None, limits: Limits::default(), temporary: std::env::temp_dir() };
    let opened = open_stream(Cursor::new(text), "track_1.csv", None, &reading).unwrap();
    let Opened::Text(text) = opened else { panic!("an archive") };
    let id = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
    CsvRows::open("track_1.csv", (id, kind, "track_1.csv"), text, options)
}

/// What becomes of each row: the code of one that is rejected.
fn codes(mut rows: CsvRows) -> Vec<String> {
    let mut codes = Vec::new();
    while let Some(row) = rows.next(&mut Vec::new()).unwrap() {
        codes.push(match row {
            Row::Rejected(reject) => reject.code,
            _ => String::new(),
        });
    }
    codes
}

#[test]
fn a_line_break_that_may_stand_in_a_cell_rejects_both_parts() {
    let check = |columns: Option<&str>, text: &str, expected: &[&str]| {
        let columns = columns.map(|names| names.split(',').map(str::to_owned).collect());
        let options = CsvOptions { columns, ..CsvOptions::default() };
        let opened = opened_as(text, FileType::Calls(CallKind::Track), &options).unwrap();
        assert_eq!(codes(opened.rows), expected, "{text:?}");
    };
    let names = Some("userId,event,x");
    let cut = "line-break";
    check(names, "u1,e,a\rb\nu2,e,c\n", &[cut, cut, ""]);
    check(names, "u1,e,a\nb\r\nu2,e,c\r\n", &[cut, cut, ""]);
    check(names, "u1,e,a\nb\r\n", &[cut, cut]);
    check(None, "userId,event,x\r\nu1,e,a\nb\r\nu2,e,c\r\n", &[cut, cut, ""]);
    check(None, "userId,event,x\r\nu1,e,a\n\nb\nc\r\nu2,e,c\r\n", &[cut, cut, cut, ""]);
    check(None, "userId,event,x\ru1,e,a\nb\ru2,e,c\r", &[cut, cut, ""]);
    check(None, "userId,x,event\nu1,a\r\nb,e\nu2,c,e\n", &[cut, cut, ""]);
    // A row far behind those that the delimiter and the line break are found from.
    let rows = "u,e,x\r\n".repeat(20_000);
    let text = format!("userId,event,x\r\n{rows}u1,e,a\nb\r\n");
    let found = codes(opened(text).unwrap().rows);
    assert_eq!(found.iter().position(|code| !code.is_empty()), Some(20_000));
    assert_eq!(found.get(20_000..), Some(&[cut.to_owned(), cut.to_owned()][..]));
    let error = opened("userId,event,a\nb\r\nu1,e,c\r\n").map(|_| ()).unwrap_err();
    assert_eq!(error.code, "E-CSV-HEADER", "{error}");
}

#[test]
fn lines_may_end_in_several_ways() {
    let check = |text: &str, expected: &[&str]| {
        assert_eq!(codes(opened(text).unwrap().rows), expected, "{text:?}");
    };
    check("userId,event\nu1,e\nu2,e\nu1,e\r\nu2,e\r\n", &[""; 4]);
    check("userId,event\r\nu1,e\nu2,e\nu3,e", &[""; 3]);
    check("userId,event\ru1,e\ru2,e\nu3,e\n", &[""; 3]);
    check("userId,event\r\nu1,e\r\n\nu2,e\r\n\n", &[""; 2]);
    // Rows of a wrong width whose ends are those of the lines, or that nothing follows.
    check("userId,event\r\nu1,e\nu2,e\r\nu3\r\nu4,e\r\n", &["", "", "width", ""]);
    check("userId,event\r\nu1,e\r\nu2", &["", "width"]);
    check("userId,event\r\nu1,e\r\nu2\n\n", &["", "width"]);
    check("userId,event\ru1,e\ru2\r", &["", "width"]);
}

#[test]
fn the_delimiter_of_a_long_header_is_found() {
    for delimiter in [',', ';', '\t', '|'] {
        for (columns, name) in [(10_000, 40), (2_000, 30)] {
            let wide = |cell: &dyn Fn(usize) -> String| {
                let cells: Vec<String> = (2..columns).map(cell).collect();
                cells.join(&delimiter.to_string())
            };
            let header = wide(&|column| format!("properties.{}{column}", "x".repeat(name)));
            let row = wide(&|column| column.to_string());
            let text = format!("userId{delimiter}event{delimiter}{header}\nu{delimiter}e{delimiter}{row}\n");
            let mut opened = opened(text).unwrap();
            assert_eq!((char::from(opened.delimiter), opened.columns.len()), (delimiter, columns));
            let row = opened.rows.next(&mut Vec::new()).unwrap();
            // The call may be too long, but the row has all of its cells.
            assert!(!matches!(row, Some(Row::Rejected(reject)) if reject.code == "width"));
        }
    }
}

#[test]
fn a_sample_is_bounded() {
    let len = |line: &str, lines| sample_of(&mut line.repeat(8 << 20).as_bytes(), lines).unwrap().0.len();
    assert_eq!(len("x", SAMPLE_LINES), SAMPLE_BYTES_MAX);
    assert_eq!(len("x", 0), SAMPLE_BYTES);
    assert_eq!(len("\r", SAMPLE_LINES), SAMPLE_BYTES);
    let (sample, at_end) = sample_of(&mut &b"a\n"[..], SAMPLE_LINES).unwrap();
    assert_eq!((sample.as_slice(), at_end), (&b"a\n"[..], true));
}

/// In a file without a header, the cells of its first row stand where the names of columns are.
#[test]
fn masked_errors_of_files_have_nothing_of_the_file() {
    const SECRET: &str = "jane.roe";
    let check = |text: String, code: &str| {
        let mut opened = match opened(text.as_str()) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(error.code.starts_with(code), "{text:?}: {error}");
                assert!(!error.masked().contains(SECRET), "{text:?}: {}", error.masked());
                return error.to_string().contains(SECRET);
            }
        };
        let read = opened.rows.next(&mut Vec::new());
        panic!("{text:?} is read: {read:?}");
    };
    let cell = "x".repeat(300);
    assert!(check(format!("{SECRET}@example.com,{SECRET},1\n"), "E-CSV-MISSING"));
    assert!(check(format!("userId,event,{SECRET},{SECRET}\nu,e,1,2\n"), "E-CSV-DUPCOL"));
    assert!(check(
        format!("userId,event,properties.{SECRET},properties.{SECRET}.a\nu,e,1,2\n"),
        "E-CSV-CONFLICT"
    ));
    check(format!("userId,event,{SECRET}{}\nu,e,1\n", format!(".{cell}").repeat(40)), "E-CSV-HEADER");
    check(format!("userId,\"{SECRET}\n"), "E-CSV");
    check(format!("{SECRET}\0{SECRET}\n"), "E-CSV-HEADER");
}

#[test]
fn blanks_after_delimiters_are_not_kept_unasked() {
    assert!(opened("userId,event, x\nu,e,1\n").is_ok());
    let names = Some(["userId", " event"].map(str::to_owned).to_vec());
    let columns = CsvOptions { columns: names, ..CsvOptions::default() };
    let error = opened_as("u, e\n", FileType::Calls(CallKind::Track), &columns).map(|_| ()).unwrap_err();
    assert_eq!(error.code, "E-CSV-DELIMITER");
}

#[test]
fn a_row_whose_blanks_may_be_those_of_delimiters_is_rejected() {
    let of = |kind, text: &str| codes(opened_as(text, kind, &CsvOptions::default()).unwrap().rows);
    let track = |text: &str| of(FileType::Calls(CallKind::Track), text);
    let identify = |text: &str| of(FileType::Calls(CallKind::Identify), text);
    let blank = "blank";
    assert_eq!(track("userId,event,x\nu1,e,y\nu2, e, y\nu3, e,y\n u4,e,y\n"), ["", blank, blank, blank]);
    assert_eq!(track("userId, event,x\nu1, e,y\nu1,e,y\n"), [blank, ""]);
    assert_eq!(track("userId,event, x\nu1,e, y\nu1,e,y\n"), [blank, ""]);
    assert_eq!(identify("userId,x,y\nu1, a, b\nu2, a,b\nu3, a,\nu4,, b\nu5,a, b\n"), [blank, "", "", "", ""]);
    assert_eq!(identify("userId,messageId,x\nu1, ,y\nu2, m,y\n"), ["", blank]);
    // Quotes say that the blank belongs to the cell; of times and numbers it is no part.
    assert_eq!(track("userId,event,x\nu1,\" e\",y\nu2,\" e\",\" y\"\n"), ["", ""]);
    assert_eq!(track("userId,event, timestamp\nu1,e, 2019-05-11\n"), [""]);
    let text = "userId,event,x\nu2, e, y\n";
    let keeps = CsvOptions { delimiter: Some(b','), keeps_blanks: true, ..CsvOptions::default() };
    let mut rows = opened_as(text, FileType::Calls(CallKind::Track), &keeps).unwrap().rows;
    rows.watch();
    assert!(matches!(rows.next(&mut Vec::new()), Ok(Some(Row::Call(_)))));
    assert_eq!(rows.doubts(), ["a blank follows each delimiter and would stay in the cells"]);
    let error = match opened(text).unwrap().rows.next(&mut Vec::new()) {
        Ok(Some(Row::Rejected(reject))) => reject.message,
        other => panic!("{other:?}"),
    };
    assert!(error.contains("column event begins with a blank: \" e\" ("), "{error}");
}

/// The calls of a text without their type and messageId, or the codes and messages of rejected rows; and
/// the doubts.
fn calls(text: &str, kind: CallKind, options: &CsvOptions) -> (Vec<String>, Vec<String>) {
    let mut rows = opened_as(text, FileType::Calls(kind), options).unwrap().rows;
    rows.watch();
    let (mut calls, mut call) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next(&mut call).unwrap() {
        calls.push(match row {
            Row::Rejected(reject) => format!("{}: {}", reject.code, reject.message),
            _ => {
                let text = String::from_utf8(std::mem::take(&mut call)).unwrap();
                text.split_once("\",\"userId\":").map_or(text.clone(), |(_, rest)| rest.to_owned())
            }
        });
    }
    (calls, rows.doubts())
}

#[test]
fn blanks_that_belong_to_the_delimiter_are_no_part_of_cells() {
    let text = "userId, traits.a, traits.b\nu1, x, \"y, z\"\nu2,  \" q\",\n u3,v,w\n";
    let (found, _) = calls(text, CallKind::Identify, &CsvOptions::default());
    assert_eq!(
        found,
        [
            r#""u1","traits":{"a":"x","b":"y, z"}}"#,
            r#""u2","traits":{"a":" q"}}"#,
            r#"" u3","traits":{"a":"v","b":"w"}}"#,
        ]
    );
    // A person may say so, too, and a quote is no text there.
    let columns = Some(["userId", "traits.a"].map(str::to_owned).to_vec());
    let named = CsvOptions { delimiter: Some(b';'), skips_blanks: true, columns, ..CsvOptions::default() };
    let (found, _) = calls("u1; \"x; y\"\n", CallKind::Identify, &named);
    assert_eq!(found, [r#""u1","traits":{"a":"x; y"}}"#]);
}

#[test]
fn the_line_of_excel_and_a_last_delimiter_are_no_columns() {
    let text = "sep=;\r\nuserId;traits.a;\r\nu1;x;\r\nu2;y\r\nu3;z;!\r\n";
    let mut opened = opened_as(text, FileType::Calls(CallKind::Identify), &CsvOptions::default()).unwrap();
    assert_eq!(
        opened.warnings.iter().map(Told::full).collect::<Vec<_>>(),
        ["column 3 has no name and is ignored"]
    );
    let text = text.replace("u3;z;!", "u3;z;");
    opened = opened_as(text.clone(), FileType::Calls(CallKind::Identify), &CsvOptions::default()).unwrap();
    assert!(opened.warnings.is_empty(), "{:?}", opened.warnings);
    let mut places = Vec::new();
    while let Some(row) = opened.rows.next(&mut Vec::new()).unwrap() {
        if let Row::Rejected(reject) = row {
            places.push((reject.row, reject.line, reject.byte, reject.code));
        }
    }
    assert_eq!(places, [(1, 4, 32, "width".to_owned())]);
    // The sample has no cell there, and a later row has one.
    let far = format!("userId;traits.a;\n{}u;z;!\n", "u;z;\n".repeat(20_000));
    let (found, _) = calls(&far, CallKind::Identify, &CsvOptions::default());
    assert_eq!(
        found.last().map(String::as_str),
        Some("width: a cell follows the delimiter that ends the rows of this file: \"!\"")
    );
    assert!(found.iter().rev().skip(1).all(|call| call.starts_with('"')));
}

#[test]
fn a_found_type_holds_for_the_whole_file() {
    let infer = CsvOptions { types: Types::Infer, ..CsvOptions::default() };
    let rows = "u,1.0,True,NO,94103\nu,2,false,SE,02134\n";
    let late = "u,x,true,NO,1\nu,3,perhaps,NO,1\nu,4.50,FALSE,NO,1\n";
    let head = "userId,traits.price,traits.active,traits.country,traits.zip\n";
    let text = format!("{head}{}{late}", rows.repeat(150_000));
    let (found, doubts) = calls(&text, CallKind::Identify, &infer);
    assert_eq!(found[0], r#""u","traits":{"price":1.0,"active":true,"country":"NO","zip":"94103"}}"#);
    assert_eq!(found[1], r#""u","traits":{"price":2,"active":false,"country":"SE","zip":"02134"}}"#);
    let why = "in the first rows of the file, and here it is not";
    assert_eq!(
        found[300_000..],
        [
            format!(
                "bad-type: column traits.price is float {why}: \"x\" (if both are right, declare its type with --types FILE)"
            ),
            format!(
                "bad-type: column traits.active is bool {why}: \"perhaps\" (if both are right, declare its type with --types FILE)"
            ),
            r#""u","traits":{"price":4.50,"active":false,"country":"NO","zip":"1"}}"#.to_owned(),
        ]
    );
    assert_eq!(doubts, [""; 0]);
    // The rows of such a file that are corrected later are read by the types that were found.
    let opened = opened_as(text, FileType::Calls(CallKind::Identify), &infer).unwrap();
    let json = serde_json::to_value(&opened.options).unwrap();
    assert_eq!(json["found"], "-fbss");
    assert!(opened.note.unwrap().full().contains("float: traits.price; bool: traits.active"));
    let again: CsvOptions = serde_json::from_value(json).unwrap();
    assert_eq!(again.found, opened.options.found);
}

/// They were stored beside the traits, and nobody said so.
#[test]
fn columns_beside_the_traits_are_a_doubt() {
    let map = |column: &str, name: &str| {
        (column.to_owned(), ColumnRule { map: Some(name.to_owned()), ..ColumnRule::default() })
    };
    let columns = [map("Kundennummer", "userId"), map("E-Mail", "traits.email"), map("Rang", "rank")];
    let options = CsvOptions { rules: columns.into(), ..CsvOptions::default() };
    let head = "Kundennummer;E-Mail;Rang;Vorname;Umsatz;timestamp;context.ip;traits.plan";
    let text = format!("{head}\n1;a@b;9;Eva;3;2026-11-20;192.0.2.1;pro\n");
    let (_, doubts) = calls(&text, CallKind::Identify, &options);
    assert_eq!(
        doubts,
        ["columns \"Vorname\", \"Umsatz\" stand beside the traits of the call, not in them: \
          --map Vorname=traits.Vorname puts one of them there"]
    );
    let track = text.replace("Rang", "event");
    let options = CsvOptions { rules: [map("Kundennummer", "userId")].into(), ..CsvOptions::default() };
    assert_eq!(calls(&track, CallKind::Track, &options).1, [""; 0], "a track call has fields of its own");
}

/// An import goes on with the types that were found when it began, or cell by cell as one of an earlier program.
#[test]
fn the_types_of_an_import_replace_those_of_the_text() {
    let infer = CsvOptions { types: Types::Infer, ..CsvOptions::default() };
    let text = "userId,traits.x,traits.y\nu,94103,1\nv,02134,2\n";
    let opened = || opened_as(text, FileType::Calls(CallKind::Identify), &infer).unwrap();
    let read = |types: Option<&str>| {
        let shared = Arc::default();
        let mut rows = opened().rows.with_types(&shared);
        let types = types.map(|types| FoundTypes::try_from(types.to_owned()).unwrap());
        if let Some(types) = &types {
            rows.use_types(types).unwrap();
            assert_eq!(*lock(&shared), *types, "all readers of the file use them");
        }
        let (mut out, mut found) = (Vec::new(), Vec::new());
        while let Some(row) = rows.next(&mut out).unwrap() {
            let call = String::from_utf8(std::mem::take(&mut out)).unwrap();
            found.push(match row {
                Row::Rejected(reject) => reject.code,
                _ => call.split_once("\"traits\":").unwrap().1.to_owned(),
            });
        }
        found
    };
    assert_eq!(read(None), [r#"{"x":"94103","y":1}}"#, r#"{"x":"02134","y":2}}"#]);
    assert_eq!(read(Some("-is")), [r#"{"x":94103,"y":"1"}}"#, "bad-type"]);
    assert_eq!(read(Some("")), [r#"{"x":94103,"y":1}}"#, r#"{"x":"02134","y":2}}"#]);
}

#[test]
fn columns_have_names_dates_and_nulls_of_their_own() {
    let schema = parse_schema(
        r#"{"Datum": {"type": "DD.MM.YYYY HH:mm Europe/Berlin", "map": "timestamp"}, "menge": {"type": "int", "null": "-"}}"#,
    )
    .unwrap();
    let mut rules = schema.rules;
    let map = |text| super::super::TypedMap::parse(text).unwrap();
    super::super::add_typed(&mut rules, |_| false, &[map("E-Mail=traits.email"), map("Nr=userId")], &[])
        .unwrap();
    let types = Types::Schema(schema.types);
    let options = CsvOptions { types, rules, nulls: vec!["NA".to_owned()], ..CsvOptions::default() };
    let text = "Nr;E-Mail;Datum;Menge\n7;a@example.com;25.11.2026 15:04;-\n8;NA;25.07.2026 15:04;3\nNA;x;;NA\n9;-;soon;x\n";
    let (found, _) = calls(text, CallKind::Identify, &options);
    assert_eq!(
        found,
        [
            r#""7","traits":{"email":"a@example.com"},"timestamp":"2026-11-25T14:04:00.000Z"}"#,
            r#""8","timestamp":"2026-07-25T13:04:00.000Z","Menge":3}"#,
            "missing:userId: the row has neither userId nor anonymousId",
            "bad-time: column Datum is not of the date format DD.MM.YYYY HH:mm Europe/Berlin: \"soon\"",
        ]
    );
    // The file beside rejected rows keeps all of it.
    let again: CsvOptions = serde_json::from_value(serde_json::to_value(&options).unwrap()).unwrap();
    assert_eq!((again.rules, again.nulls), (options.rules, options.nulls));
}

#[test]
fn a_text_of_an_earlier_program_is_read_as_that_program_read_it() {
    let earlier = r#"{"delimiter":44,"quote":34,"escape":null,"max_field":1048576,"columns":["userId","x"],"types":"infer",
        "time_columns":[],"empty":"omit","arrays":false,"strict":false,"id_from":"position"}"#;
    let options: CsvOptions = serde_json::from_str(earlier).unwrap();
    let ids = MessageIds::Position("i_".to_owned());
    let header = Record::of_fields(["userId", "x"]);
    let (plan, _) = Plan::compile(&header, &FileType::Calls(CallKind::Identify), &options, &ids).unwrap();
    for (cell, expected) in [("94103", "94103"), ("02134", "\"02134\""), ("True", "\"True\"")] {
        let mut out = Vec::new();
        plan.write(&Record::of_fields(["u", cell]), &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with(&format!("\"x\":{expected}}}")));
    }
}

#[test]
fn a_binary_file_is_called_so() {
    let check = |bytes: &[u8], why: &str| {
        let error = opened(bytes).map(|_| ()).unwrap_err();
        assert_eq!((&*error.code, error.message.full()), ("E-CSV-HEADER", why), "{bytes:?}");
    };
    let binary = "the file is binary, not CSV";
    check(b"BZh91AY&SY\x01\0", "the file is bzip2 (.bz2), which is not read: unpack or convert it to CSV");
    check(b"\xFD7zXZ\0\0\x04", "the file is xz (.xz), which is not read: unpack or convert it to CSV");
    check(b"\x7FELF\x02\x01\x01\0\0\0,\0;\0\0\xEB\x90\0\0", binary);
    check(b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0\x0F\xA0;;,\n;|\n", binary);
    let utf16: Vec<u8> = "userId;event\nu;e\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    check(&utf16, "the file looks like utf-16le (pass --encoding utf-16le)");
    // A byte of zero in a cell does not make a file binary.
    assert!(opened("userId,event\nu,\0\n").is_ok());
}
