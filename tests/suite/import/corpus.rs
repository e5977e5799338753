//! Files as they should not be, each made by the test.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use super::support::{Stand, rejects, values};
use crate::support::tools::{on_path, stdout_of};

/// A file, and what becomes of it. The rows that arrive are named by their userId.
#[derive(Clone, Debug)]
struct Case {
    file: &'static str,
    bytes: Vec<u8>,
    options: &'static [&'static str],
    arrive: &'static [&'static str],
    /// Row, line and code of each rejected row.
    rejected: &'static [(u64, u64, &'static str)],
    /// The code of the error that ends the file, and part of its text.
    error: Option<(&'static str, &'static str)>,
}

fn case(file: &'static str, bytes: impl AsRef<[u8]>, arrive: &'static [&'static str]) -> Case {
    Case { file, bytes: bytes.as_ref().to_vec(), options: &[], arrive, rejected: &[], error: None }
}

fn fails(file: &'static str, bytes: impl AsRef<[u8]>, code: &'static str, text: &'static str) -> Case {
    Case { error: Some((code, text)), ..case(file, bytes, &[]) }
}

impl Case {
    fn with(self, options: &'static [&'static str]) -> Self {
        Self { options, ..self }
    }

    fn rejected(self, rejected: &'static [(u64, u64, &'static str)]) -> Self {
        Self { rejected, ..self }
    }
}

/// Imports each into a source of its own, and compares what arrived.
async fn check(stand: &Stand, cases: &[Case]) {
    for (number, case) in cases.iter().enumerate() {
        let name = format!("{number}/{}", case.file);
        stand.file(&name, &case.bytes);
        let source = format!("corpus-{number}");
        let kept = stand.folder.path().join(format!("{number}.ndjson"));
        let fixed = [&name, "--source", &source, "--json", "--rejects", kept.to_str().unwrap()];
        let arguments = [&fixed[..], case.options].concat();
        let ran = stand.run(&arguments).await;
        let code = match (case.error, case.rejected) {
            (Some(_), _) => 1,
            (None, []) => 0,
            (None, _) => 3,
        };
        assert_eq!(ran.code, Some(code), "{}: {ran:#?}", case.file);
        let json = ran.json();
        let file = &json["files"][0];
        match case.error {
            Some((code, text)) => {
                assert_eq!(file["error"]["code"], code, "{}: {json}", case.file);
                assert!(file["error"]["message"].as_str().unwrap().contains(text), "{}: {json}", case.file);
                assert!(ran.err.contains("some files were not imported"), "{ran:?}");
            }
            None => assert_eq!(file["error"], json!(null), "{}: {json}", case.file),
        }
        assert_eq!(file["rejected"], case.rejected.len(), "{}: {json}", case.file);
        let found: Vec<_> = rejects(&kept)
            .iter()
            .map(|reject| json!([reject["row"], reject["line"], reject["code"]]))
            .collect();
        let expected: Vec<_> =
            case.rejected.iter().map(|(row, line, code)| json!([row, line, code])).collect();
        assert_eq!(found, expected, "{}", case.file);
    }
    stand.node.flush().await;
    for (number, case) in cases.iter().enumerate() {
        let lines = stand.node.bucket().lines(&format!("corpus-{number}")).await;
        assert_eq!(values(&lines, "/userId"), case.arrive, "{number}: {}", case.file);
    }
}

const TABLE: &str = "userId,event,properties.ü\nu1,e,ä\nu2,e,😀\n";
const BOTH: &[&str] = &["u1", "u2"];

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    std::iter::once(0xFEFF).chain(text.encode_utf16()).flat_map(bytes_of).collect()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn wide(columns: usize) -> String {
    let names: Vec<String> = (2..columns).map(|number| format!("properties.column{number}")).collect();
    format!(
        "userId,event,{}\nu1,e{}\nu2,e,x{}\n",
        names.join(","),
        ",".repeat(columns - 2),
        ",".repeat(columns - 3)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_read_whatever_their_encoding_and_line_breaks() {
    let stand = Stand::start().await;
    let crlf = TABLE.replace('\n', "\r\n");
    check(
        &stand,
        &[
            case("track_bom.csv", format!("\u{feff}{TABLE}"), BOTH),
            case("track_16le.csv", utf16(TABLE, u16::to_le_bytes), BOTH),
            case("track_16be.txt", utf16(&crlf, u16::to_be_bytes), BOTH),
            case("track_cr.csv", TABLE.replace('\n', "\r"), BOTH),
            case("track_crlf.csv", &crlf, BOTH),
            case("track_no_end.csv", TABLE.trim_end(), BOTH),
            case("track_1252.csv", b"userId,event\n\xFC1,e\n", &["ü1"]).with(&["--encoding", "windows-1252"]),
            case("track_latin.csv", b"userId,event\n\xFC1,e\nu2,e\n", &["u2"]).rejected(&[(0, 2, "utf8")]),
            case("track_tab.tsv", TABLE.replace(',', "\t"), BOTH),
            case("track_bar.txt", TABLE.replace(',', "|"), BOTH),
            case("track_semicolon.csv", TABLE.replace(',', ";"), BOTH),
            case(
                "track_lines.csv",
                "userId,event\n\"u\n1\",\"e,\"\"x\"\"\"\r\n\"u\r\n2\",e\n",
                &["u\n1", "u\r\n2"],
            ),
            case("track_escape.csv", "userId,event\nu\\,1,e\nu2,\"\\\"\"\n", &["u,1", "u2"])
                .with(&["--escape", "\\"]),
            case("track_wide.csv", wide(10_000), BOTH),
            fails("track_wider.csv", wide(10_001), "E-CSV-HEADER", "10,001 columns; the limit is 10,000"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compressed_files_are_read_to_their_end_or_fail() {
    let stand = Stand::start().await;
    let members = [gzip("userId,event\nu1,e\n"), gzip("u2,e\nu3"), gzip(",e\n")].concat();
    let cut = members.get(..members.len() - 9).unwrap();
    let long: String = (0..5_000).map(|row| format!("u{row},event {}\n", row * 7)).collect();
    let long = gzip(&format!("userId,event\n{long}"));
    check(
        &stand,
        &[
            case("track_1.csv.gz", &members, &["u1", "u2", "u3"]),
            case("track_no_such_extension.csv", &members, &["u1", "u2", "u3"]),
            // What was read before the end is kept back or stored, but the file is not done.
            fails("track_cut.csv.gz", cut, "E-COMPRESSION", ""),
            fails("track_half.csv.gz", &members[..members.len() / 2], "E-COMPRESSION", ""),
            case("track_1.csv.zst", zstd::encode_all(TABLE.as_bytes(), 0).unwrap(), BOTH),
            fails(
                "track_cut.csv.zst",
                &zstd::encode_all(TABLE.as_bytes(), 0).unwrap()[..30],
                "E-COMPRESSION",
                "",
            ),
        ],
    )
    .await;
    stand.file("track_long.csv.gz", &long[..long.len() - 20]);
    let arguments = ["track_long.csv.gz", "--source", "long", "--json"];
    let first = stand.run(&arguments).await.code(1).json();
    let again = stand.run(&arguments).await.code(1).json();
    assert_eq!((&first["ended"], &again["ended"]), (&json!("failed"), &json!("failed")));
    assert_eq!(first["files"][0]["rows"], 4_000, "the steps before the end are stored: {first}");
    assert_eq!(again["files"][0]["rows_before"], 4_000, "{again}");
    // The whole file begins with what is stored.
    stand.file("track_long.csv.gz", &long);
    let whole = stand.run(&arguments).await.code(0).json();
    assert_eq!(
        (&whole["rows"], &whole["files"][0]["rows_before"]),
        (&json!(1_000), &json!(4_000)),
        "{whole}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_table_in_an_archive_is_a_file() {
    let Some(python) = on_path("python3") else { return };
    let stand = Stand::start().await;
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED)\n\
        z.writestr('a/track_1.csv', 'userId,event\\nu1,e\\nu2\\n')\n\
        z.writestr('readme.md', 'no table')\n\
        z.writestr('readme.txt', 'no table')\n\
        z.writestr('__MACOSX/a/._track_1.csv', 'Mac OS X')\n\
        z.writestr('identify_1.csv', 'userId,traits.a\\nu1,1\\n')\n\
        z.close()\n";
    let path = stand.folder.path().join("export.zip");
    let mut command = Command::new(&python);
    command.args(["-c", script]).arg(&path);
    stdout_of(command).await;
    let arguments = ["export.zip", "--json", "--rejects", "kept/"];
    let json = stand.run(&arguments).await.code(3).json();
    let files: Vec<_> =
        json["files"].as_array().unwrap().iter().map(|file| json!([file["name"], file["stored"]])).collect();
    assert_eq!(files, [json!(["export.zip!a/track_1.csv", 1]), json!(["export.zip!identify_1.csv", 1])]);
    assert_eq!(json["calls"], json!({"identify": 1, "track": 1}));
    let kept = Path::new(json["files"][0]["rejects"].as_str().unwrap());
    let kept = rejects(&stand.folder.path().join(kept));
    assert_eq!(
        (kept.len(), &kept[0]["file"], &kept[0]["code"]),
        (1, &json!("export.zip!a/track_1.csv"), &json!("width"))
    );
    let again = stand.run(&arguments).await.code(0).json();
    assert_eq!(again["rows"], 0);
    assert_eq!(values(&stand.lines("csv").await, "/type"), ["track", "identify"]);
    let bytes = fs::read(&path).unwrap();
    stand.file("cut.zip", &bytes[..bytes.len() / 2]);
    let cut = stand.run(&["cut.zip", "--json"]).await.code(1).json();
    assert_eq!(cut["files"][0]["error"]["code"], "E-COMPRESSION", "{cut}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_without_a_type_fails_alone() {
    let Some(python) = on_path("python3") else { return };
    let stand = Stand::start().await;
    let script = "import sys, zipfile\n\
        z = zipfile.ZipFile(sys.argv[1], 'w')\n\
        z.writestr('other.csv', 'userId,event\\nu1,e\\n')\n\
        z.writestr('track_1.csv', 'userId,event\\nu1,e\\n')\n\
        z.close()\n";
    let mut command = Command::new(&python);
    command.args(["-c", script]).arg(stand.folder.path().join("export.zip"));
    stdout_of(command).await;
    let json = stand.run(&["export.zip", "--json"]).await.code(1).json();
    let files: Vec<_> = json["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| json!([file["name"], file["stored"], file["error"]["code"]]))
        .collect();
    let expected =
        [json!(["export.zip!other.csv", 0, "E-CSV-TYPE"]), json!(["export.zip!track_1.csv", 1, null])];
    assert_eq!(files, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_no_table_of_calls_is_refused_with_its_reason() {
    let stand = Stand::start().await;
    check(
        &stand,
        &[
            fails(
                "track_twice.csv",
                "userId,event,a,a\nu,e,1,2\n",
                "E-CSV-DUPCOL",
                "columns 3 and 4 are both called \"a\"",
            ),
            fails("track_both.csv", "userId,event,a,a.b\nu,e,1,2\n", "E-CSV-CONFLICT", "\"a\" and \"a.b\""),
            fails(
                "track_none.csv",
                "userId,name\nu,n\n",
                "E-CSV-MISSING",
                "a track file needs a column event",
            ),
            fails("alias_none.csv", "userId,x\nu,n\n", "E-CSV-MISSING", "previousId"),
            fails("group_none.csv", "userId,x\nu,n\n", "E-CSV-MISSING", "groupId"),
            fails("track_empty.csv", "", "E-CSV-HEADER", "the file is empty"),
            fails("track_blank.csv", "\n\r\n\n", "E-CSV-HEADER", "the file is empty"),
            fails(
                "track_binary.csv",
                b"\x7fELF\x02\x01\x01\x00\x00\x00\x00,\x00\n\x00;\n",
                "E-CSV-HEADER",
                "the file is binary, not CSV",
            ),
            fails("track_delimiter.csv", "userId,event;x\n1,2;3\n", "E-CSV-DELIMITER", "pass --delimiter"),
            fails(
                "object_Rooms_1.csv",
                "id,name\n1,a\n",
                "E-CSV-TYPE",
                "the collection \"Rooms\" must be 1 to 100 of a-z and _",
            ),
            fails(
                "events.csv",
                TABLE,
                "E-CSV-TYPE",
                "no call type in \"events.csv\": the name must start with identify_",
            ),
            case("events.csv", TABLE, BOTH).with(&["--type", "track"]),
            case("track_header.csv", "userId,event\n", &[]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_is_rejected_and_the_rows_after_it_survive() {
    let stand = Stand::start().await;
    let long = format!("userId,event,properties.x\nu1,e,{}\nu2,e,\n", "x".repeat(40_000));
    check(
        &stand,
        &[
            case("track_quote.csv", "userId,event\nu1,e\nu2,\"e\nu3,e\nu4,e\n", &["u1", "u3", "u4"])
                .rejected(&[(1, 3, "quote")]),
            case("track_width.csv", "userId,event\nu1,e\nu2\nu3,e,x\n\nu4,e\n", &["u1", "u4"])
                .rejected(&[(1, 3, "width"), (2, 4, "width")]),
            case("track_missing.csv", "userId,anonymousId,event\n,,e\n,a,e\nu3,,\nu4,,e\n", &["", "u4"])
                .rejected(&[(0, 2, "missing:userId"), (2, 4, "missing:event")]),
            case("track_strict.csv", "userId,anonymousId,event\n,a,e\nu2,,e\n", &["u2"])
                .with(&["--strict"])
                .rejected(&[(0, 2, "missing:userId")]),
            case(
                "track_time.csv",
                "userId,event,timestamp\nu1,e,tomorrow\nu2,e,\nu3,e,1969-12-31T23:59:59Z\n",
                &["u2"],
            )
            .rejected(&[(0, 2, "bad-time"), (2, 4, "bad-time")]),
            case("track_long.csv", long, &["u2"]).rejected(&[(0, 2, "too-large")]),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_keep_their_digits_and_only_numbers_become_numbers() {
    let stand = Stand::start().await;
    let cells =
        ["007", "12345678901234567890", "+1", "12", "-1.5", "1e5", "true", "1.0", " 3", "9007199254740993"];
    let names: Vec<String> = (0..cells.len()).map(|number| format!("properties.p{number}")).collect();
    stand.file("track_ids.csv", format!("userId,event,{}\n007,e,{}\n", names.join(","), cells.join(",")));
    stand.run(&["track_ids.csv", "--source", "strings"]).await.code(0);
    stand.run(&["track_ids.csv", "--source", "inferred", "--types", "infer"]).await.code(0);
    let call = async |source: &str| -> serde_json::Value {
        serde_json::from_str(&stand.lines(source).await[0]).unwrap()
    };
    let (strings, inferred) = (call("strings").await, call("inferred").await);
    for (number, cell) in cells.iter().enumerate() {
        assert_eq!(strings["properties"][format!("p{number}")], *cell);
    }
    assert_eq!((&strings["userId"], &inferred["userId"]), (&json!("007"), &json!("007")));
    let inferred: Vec<String> =
        (0..cells.len()).map(|number| inferred["properties"][format!("p{number}")].to_string()).collect();
    // A number only if nothing of its text is lost but blanks, also as a double.
    assert_eq!(
        inferred,
        [
            "\"007\"",
            "\"12345678901234567890\"",
            "\"+1\"",
            "12",
            "-1.5",
            "\"1e5\"",
            "true",
            "1.0",
            "3",
            "\"9007199254740993\""
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_is_the_same_in_every_form() {
    let stand = Stand::start().await;
    let forms = [
        "2019-05-11T20:32:27.940Z",
        "2019-05-11T22:32:27.940+02:00",
        "2019-05-11 20:32:27.940",
        "2019-05-11 20:32:27.940 UTC",
        "2019-05-11T20:32:27.940123456Z",
        "2019-05-11 22:32:27.940+02",
        "1557606747.940",
        "1557606747940",
        "1557606747940000",
        "1557606747940000000",
    ];
    let rows: String = forms.iter().map(|form| format!("u,e,{form},{form},{form}\n")).collect();
    stand.file(
        "track_times.csv",
        format!("userId,event,timestamp,properties.deep.createdAt,properties.at\n{rows}"),
    );
    stand.run(&["track_times.csv", "--source", "two"]).await.code(0);
    stand.run(&["track_times.csv", "--source", "three", "--time-columns", "properties.at"]).await.code(0);
    let same = vec!["2019-05-11T20:32:27.940Z"; forms.len()];
    for source in ["two", "three"] {
        let lines = stand.lines(source).await;
        for place in ["/timestamp", "/originalTimestamp", "/properties/deep/createdAt"] {
            assert_eq!(values(&lines, place), same, "{source} {place}");
        }
        let named = if source == "two" { forms.to_vec() } else { same.clone() };
        assert_eq!(values(&lines, "/properties/at"), named, "{source}");
    }
    // Seconds, dates, and no separators.
    stand.file(
        "identify_days.csv",
        "userId,traits.createdAt\nu,2019-05-11\nu,20190511\nu,1557532800\nu,2019-05-11T00:00Z\n",
    );
    stand.run(&["identify_days.csv", "--source", "days"]).await.code(0);
    assert_eq!(values(&stand.lines("days").await, "/traits/createdAt"), ["2019-05-11T00:00:00.000Z"; 4]);
}
