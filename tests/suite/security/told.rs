//! One marked value in all that others say to the program: it is nowhere in what is shown masked, to a token
//! that only reads, in logs or in metrics.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Cursor};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use forebay::call::CallKind;
use forebay::import::csv::{CsvOptions, CsvRows, FileType, RejectRows, of_io};
use forebay::import::identity;
use forebay::import::reading::Limits;
use forebay::import::reading::ReadingError;
use forebay::import::reading::compression::Compression;
use forebay::import::reading::decompress::DecompressError;
use forebay::import::reading::opened::{Opened, Options, open_stream};
use forebay::import::reading::parquet::ParquetFault;
use forebay::import::{Begin, FileError, OptionsHash, RowReader as _, WantedSource};
use forebay::sources::SourceId;
use forebay::words::Told;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use crate::serve::support::{CREDENTIALS, Caller, PATIENCE, Settings};
use crate::support::events::Events;
use crate::support::forebay::{Forebay, command, finished};
use crate::support::http::{Answer, Http};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait;

/// What is looked for, and the form in which it is said: no code and no id has such characters.
const MARK: &str = "jane.roe";
const MARKED: &str = "jane.roe@example.com";

const ADMIN: &str = "an-admin-token-of-this-test";
const READ: &str = "a-read-token-of-this-test";

/// Codes whose texts have nothing but fixed words, numbers, options, settings, converters and names of files.
const WITHOUT_TEXT: [&str; 21] = [
    "E-BOMB", "E-CHANGED", "E-CONV", "E-CSV-DELIMITER", "E-CSV-SCHEMA", "E-CSV-TYPE", "E-EMPTY", "E-EVENT",
    "E-FORMAT", "E-IMPORT-CLAIMS", "E-IMPORT-FIXED", "E-IMPORT-JOURNAL", "E-IMPORT-LOOP", "E-OPTIONS",
    "E-PARQUET-DUPCOL", "E-POISON", "E-ROWS-RANGE", "E-S3", "E-SHORT", "E-STRATEGY", "E-UNFINISHED",
];

/// Codes that the running program gives in [`a_reader_finds_nothing_of_what_others_said`].
const OF_THE_PROGRAM: [&str; 1] = ["E-ROWS"];

/// The codes in the sources, outside of tests.
fn codes() -> BTreeSet<String> {
    fn look(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                for part in code.split("\"E-").skip(1) {
                    // Digits as in E-S3.
                    let of_code = |c: &char| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-';
                    found.insert(format!("E-{}", part.chars().take_while(of_code).collect::<String>()));
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    found.remove("E-");
    found
}

fn of_text(text: &str) -> FileError {
    let bytes = Cursor::new(text.to_owned());
    let options = Options { encoding: None, limits: Limits::default(), temporary: std::env::temp_dir() };
    let opened = open_stream(bytes, "track_1.csv", None, &options).unwrap();
    let Opened::Text(text) = opened else { panic!("an archive") };
    let file = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
    let of = (file, FileType::Calls(CallKind::Track), "track_1.csv");
    let opened = CsvRows::open("track_1.csv", of, text, &CsvOptions::default());
    opened.map(|_| ()).unwrap_err()
}

fn of_rejects(text: &'static str) -> FileError {
    let file = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
    let of = ("track_1.csv", file, FileType::Calls(CallKind::Track));
    let columns = Some(["userId", "event"].map(str::to_owned).to_vec());
    let options = CsvOptions { columns, ..CsvOptions::default() };
    let mut rows = RejectRows::open((file, text.as_bytes()), of, &options, true).unwrap();
    rows.next(&mut Vec::new()).unwrap_err()
}

/// Errors of imports that quote the marked value.
fn errors() -> Vec<FileError> {
    let said = || Told::private(MARKED);
    let io = |kind| of_io(&io::Error::new(kind, MARKED));
    let mut errors = vec![
        of_io(&ReadingError::Denied(said()).into()),
        of_io(&ReadingError::Refused(said()).into()),
        of_io(&ReadingError::Unreachable { at: 0, tries: 6, last: said() }.into()),
        of_io(&io::Error::other(DecompressError::Corrupt(Compression::Gzip, MARKED.to_owned()))),
        io(io::ErrorKind::Other),
        io(io::ErrorKind::NotFound),
        io(io::ErrorKind::PermissionDenied),
        of_text(&format!("{MARKED},{MARK},1\n")),
        of_text(&format!("userId,event,{MARKED},{MARKED}\nu,e,1,2\n")),
        of_text(&format!("userId,event,properties.{MARK},properties.{MARK}.a\nu,e,1,2\n")),
        of_text(&format!("userId,event,{MARK}{}\nu,e,1\n", format!(".{}", "x".repeat(300)).repeat(40))),
        ParquetFault::damaged("is damaged").of_part(&ParquetFault::column(MARKED)).into(),
        ParquetFault::refused("has INTERVAL").of_part(&ParquetFault::column(MARKED)).into(),
        of_rejects("\"jane.roe@example.com\"\n"),
    ];
    // Texts that are put together where they fail.
    errors.extend(
        ["E-BUG", "E-CONVERTER", "E-CSV", "E-IDS"]
            .map(|code| FileError::content(code, format!("why: {MARKED}"))),
    );
    errors
}

#[test]
fn each_error_of_imports_hides_what_it_quotes() {
    let mut met: BTreeSet<String> =
        WITHOUT_TEXT.into_iter().chain(OF_THE_PROGRAM).map(str::to_owned).collect();
    let mut leaks = Vec::new();
    for error in errors() {
        let masked = error.masked();
        if masked.contains(MARK) || format!("{error:?}").contains(MARK) {
            leaks.push(masked);
        }
        // The long name is cut before it is quoted.
        assert!(error.to_string().contains(MARK) || error.code == "E-CSV-HEADER", "{error}");
        met.insert(error.code);
    }
    assert!(leaks.is_empty(), "{leaks:#?}");
    assert_eq!(met, codes(), "each code has a case");
}

/// What a reader may see, by where it was seen.
type SeenBy = BTreeMap<String, String>;

async fn ask(forebay: &Forebay, token: &str, path: &str, body: Option<Value>) -> Answer {
    let request = Request::builder()
        .uri(format!("{}{path}", forebay.console))
        .method(if body.is_some() { "POST" } else { "GET" })
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(Bytes::from(body.map(|body| body.to_string()).unwrap_or_default())))
        .unwrap();
    Http::new().send(request).await.unwrap_or_else(|error| panic!("{path}: {error}\n{}", forebay.log()))
}

/// Everything that a token that only reads shows.
async fn seen(forebay: &Forebay, object: &str) -> SeenBy {
    let mut seen = SeenBy::new();
    for path in [
        "/api/status",
        "/api/history",
        "/api/node",
        "/api/days",
        "/api/ledger",
        "/api/sdks",
        "/api/deliveries",
        "/api/archive",
        "/api/archive/objects?source=web&day=0&from=bucket",
        &format!("/api/archive/peek?source=web&key={object}"),
        "/api/imports",
        "/api/refused",
        "/api/find?event=e",
        "/api/destinations",
        "/api/destinations/url",
        "/api/destinations/url/deliveries",
        "/api/destinations/other/deliveries",
        "/metrics",
    ] {
        let answer = ask(forebay, READ, path, None).await;
        let path = path.split('?').next().unwrap();
        seen.insert(path.to_owned(), String::from_utf8_lossy(&answer.body).into_owned());
    }
    for words in [
        &["status"][..],
        &["status", "--json"],
        &["import", "list"],
        &["import", "list", "--json"],
        &["destinations", "status"],
    ] {
        let mut command = command();
        command.args(words).args(["--admin", &forebay.console]).env("FOREBAY_ADMIN_TOKEN", READ);
        let output = finished(&mut command).await;
        let said = [output.stdout, output.stderr].concat();
        seen.insert(words.join(" "), String::from_utf8_lossy(&said).into_owned());
    }
    let address = forebay.console.strip_prefix("http://").unwrap();
    let mut events =
        Events::open_with(address, "/api/live", &format!("Authorization: Bearer {READ}\r\n")).await;
    seen.insert("/api/live".to_owned(), events.next_of("calls").await.to_string());
    seen
}

/// Records that an import of a file failed with each code, as an importer of any release says it, and that
/// rows were rejected.
async fn imports(forebay: &Forebay) {
    for (number, code) in codes().iter().enumerate() {
        let begin = Begin {
            file: identity::of_content(&[u8::try_from(number).unwrap(); 32], 1),
            name: "track_1.csv".to_owned(),
            bytes: None,
            source: WantedSource::Id(SourceId::new("web").unwrap()),
            import: None,
            insert_id_window: None,
            options: OptionsHash::of(b"o"),
            types: None,
            limits: String::new(),
            by_content: false,
            retry_of: None,
            force: false,
            place: None,
            version: None,
        };
        let begin = serde_json::to_value(begin).unwrap();
        let begun = ask(forebay, ADMIN, "/api/import/begin", Some(begin)).await;
        assert!(begun.status.is_success(), "{begun:?}");
        let begun: Value = serde_json::from_slice(&begun.body).unwrap();
        let rejects = json!([{"code": MARKED, "count": 1, "line": 2, "message": MARKED}]);
        let end = json!({
            "import": begun["import"],
            "outcome": {"state": "failed", "code": code, "message": format!("why: {MARKED}")},
            "rejects": rejects,
            "last_rejects": rejects,
        });
        let ended = ask(forebay, ADMIN, "/api/import/end", Some(end)).await;
        assert!(ended.status.is_success(), "{ended:?}");
    }
}

/// A file whose rows are rejected, and one that is given up.
async fn files(forebay: &Forebay, folder: &Path) {
    let file = folder.join("track_1.csv");
    fs::write(&file, format!("userId,event,timestamp\n{MARKED},e,{MARKED}\n")).unwrap();
    for _ in 0..4 {
        let mut command = command();
        command.args(["import", "csv", "--source", "web", "--on-row-error", "fail"]).arg(&file);
        command.args(["--admin", &forebay.console]).env("FOREBAY_ADMIN_TOKEN", ADMIN);
        command.env("FOREBAY_STATE", folder.join("state")).current_dir(folder);
        let output = finished(&mut command).await;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        // Whoever has the file sees why.
        assert!(out.contains("E-ROWS") && out.contains(MARK), "{output:?}");
    }
}

fn s3_error(status: u16, code: &str) -> Reply {
    let body = format!("<Error><Code>{code}</Code><Message>no {MARKED}</Message></Error>");
    Reply::Answer { status, headers: vec![("content-type".into(), "application/xml".into())], body }
        .because(MARKED)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_finds_nothing_of_what_others_said() {
    let store = ScriptedHttp::elsewhere(|_| s3_error(403, "AccessDenied")).await;
    let function = ScriptedHttp::elsewhere(|_| {
        let headers = [("x-request-id", MARKED), ("x-amz-executed-version", MARKED)];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Reply::Answer { status: 500, headers, body: format!("no {MARKED}") }.because(MARKED)
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(folder.path(), &store.url(), &["web"]);
    settings.sources[0].1 +=
        &format!("\n[[destination]]\nname = \"url\"\ntype = \"http\"\nurl = \"{}\"", function.url());
    let tokens = [("FOREBAY_ADMIN_TOKEN", ADMIN), ("FOREBAY_ADMIN_READ_TOKEN", READ)];
    let environment: Vec<_> = CREDENTIALS.into_iter().chain(tokens).collect();
    let forebay = Forebay::serve(settings.write(), &environment).await;
    let call = json!({"batch": [{
        "type": "track", "event": "e", "userId": MARKED, "properties": {"mail": MARKED},
        "context": {"traits": {"email": MARKED}},
    }]});
    let sent = Caller::new().post(&forebay, "web", call.to_string()).await.unwrap();
    assert!(sent.status.is_success(), "{sent:?}");
    files(&forebay, folder.path()).await;
    imports(&forebay).await;
    let object = wait::until("a refused put, an alarm and a failed call", PATIENCE, async || {
        let status = ask(&forebay, READ, "/api/status", None).await;
        let deliveries = ask(&forebay, READ, "/api/deliveries", None).await;
        let destinations = ask(&forebay, READ, "/api/destinations/url", None).await;
        let has = |answer: &Answer, text: &str| String::from_utf8_lossy(&answer.body).contains(text);
        let all = has(&status, "\"refused\"") && has(&destinations, "500");
        let deliveries: Value = serde_json::from_slice(&deliveries.body).unwrap();
        let pending = &deliveries["pending"][0];
        (all && pending["error"].is_string()).then(|| pending["key"].as_str().unwrap().to_owned())
    })
    .await;
    let mut seen = seen(&forebay, &object).await;
    seen.insert("log".to_owned(), forebay.log());
    // What is no secret is still said.
    for (place, text) in [
        ("/api/deliveries", "403 AccessDenied: [hidden]"),
        ("/api/archive/peek", "403 AccessDenied: [hidden]"),
        ("/api/archive/objects", "403 AccessDenied: [hidden]"),
        ("/api/destinations/url", "500: [hidden]"),
        ("/api/destinations/url/deliveries", "500: [hidden]"),
        ("/api/imports", "E-CSV-MISSING: [hidden]"),
        ("log", "403 AccessDenied: [hidden]"),
    ] {
        if !seen[place].contains(text) {
            seen.insert(format!("{place} without {text}"), format!("{MARK}: {}", seen[place]));
        }
    }
    let leaks: Vec<String> = seen
        .iter()
        .filter(|(_, text)| text.contains(MARK))
        .map(|(place, text)| {
            let before = text.split(MARK).next().unwrap_or_default();
            let near: String = before.chars().skip(before.chars().count().saturating_sub(120)).collect();
            format!("{place}: …{near}{MARK}")
        })
        .collect();
    assert!(leaks.is_empty(), "{leaks:#?}");
    drop(function);
    assert!(tokio::time::timeout(Duration::from_secs(90), forebay.terminate()).await.is_ok());
}
