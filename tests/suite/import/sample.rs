//! `infer-converter` and `preview`: files of every form, here and in S3, what they say of bad ones, and the page
//! about them.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::support::{Ran, Stand, environment, ran, ran_with};
use crate::support::forebay::command;

const PAGE: &str = include_str!("../../../docs/first-converter.md");
const PATIENCE: Duration = Duration::from_secs(60);

/// `forebay import …` in a folder, with its state below it.
fn import(folder: &Path, words: &[&str]) -> Command {
    let mut command = command();
    command.arg("import").args(words).current_dir(folder).envs(environment());
    command.env("FOREBAY_STATE", folder.join("state"));
    command
}

async fn run(folder: &Path, words: &[&str]) -> Ran {
    ran(import(folder, words)).await
}

fn rows(count: u32) -> String {
    let row = |row: u32| {
        let at = 1_709_294_400 + row;
        format!(
            "{{\"event\":\"buy\",\"userId\":\"u{}\",\"ts\":{at},\"order_id\":\"o{row}\",\"total\":{row}.50}}\n",
            row % 7
        )
    };
    (0..count).map(row).collect()
}

fn preview(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
}

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// Each format and compression: the converter that is printed converts every row, with no warning.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_converter_is_inferred_and_converts_its_sample() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let csv: String =
        (0..12).map(|row| format!("u{row};look;2024-03-01T12:00:{row:02}Z;{row};é\n")).collect();
    let csv = format!("user_id;event;time;n;note\n{csv}");
    let cases: [(&str, Vec<u8>, &str); 5] = [
        ("orders_2024-03-01.json", rows(1_200).into_bytes(), "none"),
        ("orders_2024-03-01.json.gz", gzip(&rows(20)), "gzip"),
        ("orders.json.zst", zstd::encode_all(rows(20).as_bytes(), 3).unwrap(), "zstd"),
        ("looks.csv", csv.clone().into_bytes(), "none"),
        ("looks.csv.gz", gzip(&csv), "gzip"),
    ];
    for (name, bytes, compression) in cases {
        fs::write(folder.join(name), bytes).unwrap();
        let inferred = run(folder, &["infer-converter", name]).await.code(0);
        assert!(inferred.err.contains("of the sample become"), "{inferred:?}");
        let converter: Value = serde_json::from_str(&inferred.out).unwrap();
        assert_eq!(converter["converterConfig"]["compressionType"], compression, "{name}");
        fs::write(folder.join("c.json"), &inferred.out).unwrap();
        let shown =
            preview(&run(folder, &["preview", "--converter", "c.json", name, "--json"]).await.code(0));
        assert_eq!((&shown["rejected"], &shown["warnings"]), (&json!(0), &json!([])), "{name}: {shown:#}");
        assert_eq!(shown["calls"], shown["rows"], "{name}");
        assert_eq!((&shown["unused_columns"], &shown["missing_columns"]), (&json!([]), &json!([])), "{name}");
        assert_eq!(shown["samples"].as_array().unwrap().len(), 10, "{name}");
        let times = &shown["files"][0]["times"];
        assert!(times[0].as_str().unwrap().starts_with("2024-03-01T12:00:00.000Z"), "{name}: {times}");
    }
    let shown =
        preview(&run(folder, &["preview", "--converter", "c.json", "looks.csv", "--json"]).await.code(0));
    assert_eq!(shown["samples"][3]["source"]["note"], "é", "{shown:#}");
    let orders = run(folder, &["infer-converter", "orders_2024-03-01.json"]).await.code(0);
    assert!(
        orders.err.contains("insert_id is the column order_id: its values differ in 1,000 rows;"),
        "{orders:?}"
    );
    assert!(orders.err.contains("1,000 rows of the sample become 1,000 calls"), "{orders:?}");
    // Digits that only pass through stay as they are.
    fs::write(folder.join("c.json"), &orders.out).unwrap();
    let shown =
        run(folder, &["preview", "--converter", "c.json", "orders_2024-03-01.json", "--json"]).await.code(0);
    assert!(shown.out.contains("\"total\":3.50"), "{}", shown.out);
    let shown = preview(&shown);
    assert_eq!(shown["files"][0]["has_more"], true);
    assert_eq!(shown["insert_ids"], json!({"rows": 1000, "repeated": 0, "without": 0}));
}

/// The schema names the columns, also one that cannot be read; times have the form that the file has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parquet_is_a_sample_as_it_is_and_compressed_as_a_whole() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/import/samples/parquet");
    let orders = fs::read(samples.join("orders.parquet")).unwrap();
    fs::write(folder.join("orders_1.parquet"), &orders).unwrap();
    fs::write(folder.join("orders_1.parquet.zst"), zstd::encode_all(orders.as_slice(), 3).unwrap()).unwrap();
    for (name, compression) in [("orders_1.parquet", "none"), ("orders_1.parquet.zst", "zstd")] {
        let inferred = run(folder, &["infer-converter", name]).await.code(0);
        for said in [
            "column wait has INTERVAL, which cannot be read\n",
            "1 number is infinite or no number (NaN)",
            "insert_id is the column order_id: its values differ in 20 rows",
            "20 rows of the sample become 20 calls\n",
        ] {
            assert!(inferred.err.contains(said), "{said}: {inferred:?}");
        }
        let converter: Value = serde_json::from_str(&inferred.out).unwrap();
        let config = &converter["converterConfig"];
        assert_eq!(
            (&config["fileType"], &config["compressionType"]),
            (&json!("parquet"), &json!(compression))
        );
        assert_eq!(config["convertToAmplitudeFunc"]["time"], json!(["iso_time_to_ms", "timestamp"]));
        fs::write(folder.join("c.json"), &inferred.out).unwrap();
        let shown = run(folder, &["preview", "--converter", "c.json", name, "--json"]).await.code(0);
        assert!(shown.out.contains("\"total\":1.50"), "{}", shown.out);
        let shown = preview(&shown);
        assert_eq!((&shown["calls"], &shown["rejected"]), (&json!(20), &json!(0)), "{shown:#}");
        assert_eq!(shown["unused_columns"], json!(["wait"]), "{shown:#}");
        let warnings = shown["warnings"].to_string();
        assert!(
            warnings.contains("column wait has INTERVAL") && warnings.contains("1 number is"),
            "{warnings}"
        );
        let sample = &shown["samples"][1];
        assert_eq!(sample["source"]["item"], json!({"sku": "s1", "n": 1}), "{sample:#}");
        assert_eq!(sample["calls"][0]["timestamp"], "2024-03-01T12:00:01.000Z", "{sample:#}");
    }
    // A converter that needs what cannot be read, and one that is for another format.
    let inferred = fs::read_to_string(folder.join("c.json")).unwrap();
    fs::write(folder.join("wait.json"), inferred.replace("\"rate\":\"rate\"", "\"rate\":\"wait\"")).unwrap();
    let refused = run(folder, &["preview", "--converter", "wait.json", "orders_1.parquet"]).await.code(1);
    assert!(refused.out.contains("E-PARQUET-TYPE"), "{refused:?}");
    fs::write(folder.join("csv.json"), inferred.replace("\"parquet\"", "\"csv\"")).unwrap();
    let refused = run(folder, &["preview", "--converter", "csv.json", "orders_1.parquet"]).await.code(1);
    assert!(
        refused.out.contains("E-FORMAT: the file is Parquet, and the converter reads CSV"),
        "{refused:?}"
    );
    fs::copy(samples.join("pyarrow_int96.parquet"), folder.join("times.parquet")).unwrap();
    let times = run(folder, &["infer-converter", "times.parquet"]).await;
    assert!(times.err.contains("no column is a user or a device"), "{times:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_input_and_archives_are_samples_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let piped = ran_with(import(folder, &["infer-converter", "-"]), rows(3).as_bytes()).await.code(0);
    assert!(!piped.out.contains("filterPattern"), "{piped:?}");
    fs::write(folder.join("c.json"), &piped.out).unwrap();
    let shown = ran_with(import(folder, &["preview", "--converter", "c.json", "-"]), rows(3).as_bytes())
        .await
        .code(0);
    assert!(shown.out.contains("3 rows would become 3 calls; 0 rejected\n"), "{}", shown.out);
    let watched =
        ran_with(import(folder, &["preview", "--converter", "c.json", "-", "--watch"]), b"").await.code(2);
    assert!(watched.err.contains("can be read only once"), "{watched:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_or_inferred_has_its_exit_code_and_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let check = async |words: &[&str], code: i32, said: &str| {
        let ran = run(folder, words).await.code(code);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{said}: {ran:?}");
    };
    let files: [(&str, &[u8]); 7] = [
        ("array.json", b"[{\"a\":1}]"),
        ("words.json", b"hello\n"),
        ("x.parquet", b"PAR1\x15\x04\x15\0"),
        ("no_user.json", b"{\"event\":\"e\",\"x\":1}\n"),
        ("empty.json", b""),
        ("cut.json.gz", &gzip(&rows(50))[..40]),
        ("good.json", b"{\"event\":\"e\",\"user_id\":\"u\",\"order\":1}\n"),
    ];
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    check(
        &["infer-converter", "array.json"],
        1,
        "E-FORMAT: the file is one JSON array: write one object a line",
    )
    .await;
    check(&["infer-converter", "words.json"], 1, "E-FORMAT: the name says JSON").await;
    check(&["infer-converter", "x.parquet"], 1, "E-PARQUET: the parquet file cannot be read").await;
    check(
        &["infer-converter", "no_user.json"],
        1,
        "no column is a user or a device (user_id, device_id): the columns are event, x",
    )
    .await;
    check(&["infer-converter", "empty.json"], 1, "E-EMPTY: the file is empty").await;
    check(&["infer-converter", "cut.json.gz"], 1, "E-COMPRESSION").await;
    check(&["infer-converter", "none.json"], 2, "no such file or folder: none.json").await;
    check(&["infer-converter", "."], 2, "is a folder: name its files").await;
    check(&["infer-converter", "good.json", "--insert-id", "ordr"], 2, "did you mean \"order\"?").await;
    check(&["infer-converter", "good.json", "--data-type", "events"], 2, "expected event, user_properties")
        .await;

    let inferred = run(folder, &["infer-converter", "good.json"]).await.code(0);
    fs::write(folder.join("c.json"), &inferred.out).unwrap();
    check(&["preview", "--converter", "none.json", "good.json"], 2, "cannot read the converter none.json")
        .await;
    check(&["preview", "--converter", "c.json", "array.json"], 1, "E-FORMAT: the file is one JSON array")
        .await;
    check(&["preview", "--converter", "c.json", "cut.json.gz"], 1, "cut.json.gz: E-COMPRESSION").await;
    fs::write(
        folder.join("bad.json"),
        inferred.out.replace("\"user_id\": \"user_id\"", "\"user_id\": [\"lowr\", \"u\"]"),
    )
    .unwrap();
    check(
        &["preview", "--converter", "bad.json", "good.json"],
        2,
        "E-CONV /converterConfig/convertToAmplitudeFunc/user_id: unknown operator",
    )
    .await;
    check(
        &[
            "preview", "--converter", "c.json", "good.json", "--data-type", "profiles", "--strategy",
            "append_only",
        ],
        2,
        "E-STRATEGY: profiles supports mirror only",
    )
    .await;
}

/// Everything that a preview says of rows, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_counts_what_becomes_of_rows() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let converter = r#"{"converterConfig": {"fileType": "json", "compressionType": "gzip", "ignoreEventFlag": "skip",
        "convertToAmplitudeFunc": {"event_type": "e", "user_id": "u", "time": "t", "insert_id": "i",
            "event_properties": "p", "price": ["divide", "cents", ["int", 100]], "skip": "no", "shoe": "s"}},
        "keyValidatorConfig": {"filterPattern": "b_\\d+\\.json"}}"#;
    fs::write(folder.join("c.json"), converter).unwrap();
    fs::write(
        folder.join("a.json"),
        concat!(
            r#"{"e":"x","u":"1","t":"2024-03-01T00:00:00Z","i":"1","p":{"price":1},"cents":150.5,"more":1}"#,
            "\n",
            r#"{"e":"x","u":2,"t":"2024-03-02T00:00:00Z","i":"1"}"#,
            "\n\n",
            r#"{"e":"x"}"#,
            "\n",
            "{\n",
            r#"{"e":"x","u":"3","no":true}"#,
            "\n",
            r#"{"e":"x","u":"4","t":"soon","cents":"free"}"#,
            "\n",
        ),
    )
    .unwrap();
    fs::write(folder.join("b_1.json"), "{\"e\":\"x\",\"u\":\"5\",\"t\":\"2024-03-01T12:00:00Z\"}\n").unwrap();
    let words = ["preview", "--converter", "c.json", "a.json", "b_1.json", "--json", "--samples", "8"];
    let shown = preview(&run(folder, &words).await.code(3));
    assert_eq!(
        [&shown["rows"], &shown["calls"], &shown["skipped"], &shown["rejected"]],
        [&json!(7), &json!(3), &json!(1), &json!(3)],
        "{shown:#}"
    );
    let codes: Vec<(&str, &Value)> = shown["rejected_by_code"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["code"].as_str().unwrap(), &one["line"]))
        .collect();
    assert_eq!(codes, [("bad-json", &json!(5)), ("bad-time", &json!(7)), ("missing:user_id", &json!(4))]);
    assert_eq!(shown["unused_columns"], json!(["more"]));
    assert_eq!(shown["unused_fields"], json!(["shoe"]));
    assert_eq!(shown["missing_columns"], json!([]));
    assert_eq!(shown["insert_ids"], json!({"rows": 2, "repeated": 1, "without": 1}));
    let user = shown["fields"].as_array().unwrap().iter().find(|field| field["name"] == "user_id").unwrap();
    assert_eq!(
        (&user["string"], &user["number"], &user["no_value"]),
        (&json!(3), &json!(1), &json!(1)),
        "{user}"
    );
    let warned = |said: &str| {
        shown["warnings"].as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains(said))
    };
    assert!(warned("a.json has compression none, and compressionType is gzip"), "{shown:#}");
    assert!(warned("a.json does not match filterPattern") && !warned("b_1.json does not match"), "{shown:#}");
    assert!(warned("price is a field, and a member of event_properties in 1 row"), "{shown:#}");
    assert!(warned("in 1 row an operator of whole numbers drops a fraction"), "{shown:#}");
    assert!(
        warned("1 value could not be read by divide, so there is no value, for example \"free\""),
        "{shown:#}"
    );
    assert!(warned("the times of these files overlap") && warned("a.json, b_1.json"), "{shown:#}");
    // Samples of both files, and a row that is no JSON as text.
    let samples = shown["samples"].as_array().unwrap();
    let of = |file: &str| samples.iter().filter(|sample| sample["file"] == file).count();
    assert_eq!((of("a.json"), of("b_1.json")), (4, 1));
    assert_eq!(samples[2]["rejected"]["code"], "missing:user_id");
    assert_eq!((&samples[3]["source"], &samples[3]["text"]), (&Value::Null, &json!("{")));
    assert_eq!(samples[0]["calls"][0]["messageId"].as_str().unwrap().split('_').next(), Some("amp"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn objects_and_prefixes_are_previewed() {
    let stand = Stand::start().await;
    let client = stand.node.bucket().client;
    let put = async |key: &str, body: &[u8]| {
        client.put_object().bucket("forebay").key(key).body(body.to_vec().into()).send().await.unwrap();
    };
    for day in 1..6 {
        put(&format!("in/orders_2024-03-0{day}.json.gz"), &gzip(&rows(day * 12))).await;
    }
    put("in/", b"").await;
    put("in/summary.md", b"no rows").await;
    let folder = stand.folder.path();
    let s3 = ["--endpoint-url", stand.node.s3.as_str()];
    let words = ["infer-converter", "s3://forebay/in/orders_2024-03-01.json.gz", s3[0], s3[1]];
    let inferred = run(folder, &words).await.code(0);
    assert!(inferred.out.contains(r#""(.*/)?orders_\\d{4}-\\d{2}-\\d{2}\\.json\\.gz""#), "{inferred:?}");
    stand.file("c.json", &inferred.out);
    let words = ["preview", "--converter", "c.json", "s3://forebay/in/", s3[0], s3[1], "--json"];
    let shown = preview(&run(folder, &words).await.code(0));
    let files: Vec<&str> =
        shown["files"].as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap()).collect();
    let named = |day: u32| format!("s3://forebay/in/orders_2024-03-0{day}.json.gz");
    assert_eq!(files, [named(1), named(2), named(3)]);
    assert_eq!((&shown["files_left"], &shown["rows"]), (&json!(2), &json!(72)), "{shown:#}");
    // What the pattern shuts out was seen only once an import had left it out.
    let left_out =
        "matches 5 of 6 keys that were listed: an import leaves out the others, the first is in/summary.md";
    assert!(shown["warnings"].to_string().contains(left_out), "{shown:#}");
    let all = run(folder, &["infer-converter", "s3://forebay/in/", s3[0], s3[1]]).await.code(0);
    let other = "matches 5 of 6 keys that were listed, and an import leaves out the others; if they are of this kind, too, take .*";
    assert!(all.err.contains(other), "{all:?}");
    let other = inferred.out.replace("orders_", "others_");
    stand.file("other.json", other);
    let words = ["preview", "--converter", "other.json", "s3://forebay/in/", s3[0], s3[1]];
    let none = run(folder, &words).await.code(2);
    assert!(none.err.contains("no object in s3://forebay/in/ that matches filterPattern"), "{none:?}");
    let words = ["preview", "--converter", "c.json", "s3://forebay/in/none.json", s3[0], s3[1]];
    let missing = run(folder, &words).await.code(1);
    assert!(missing.out.contains("E-MISSING"), "{missing:?}");
    let mut denied = import(folder, &["infer-converter", "s3://forebay/in/", s3[0], s3[1]]);
    denied.env("AWS_SECRET_ACCESS_KEY", "wrong");
    ran(denied).await.code(5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_is_renewed_when_the_converter_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("orders.json"), rows(3)).unwrap();
    let inferred = run(folder, &["infer-converter", "orders.json"]).await.code(0).out;
    fs::write(folder.join("c.json"), &inferred).unwrap();
    let mut watch = import(folder, &["preview", "--converter", "c.json", "orders.json", "--watch", "--json"]);
    watch.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut problems = BufReader::new(watch.stderr.take().unwrap()).lines();
    let mut next = async || -> Value {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(next().await["unused_columns"], json!([]));
    // A converter with a problem is said, and does not end the command.
    fs::write(folder.join("c.json"), "{").unwrap();
    let problem = timeout(PATIENCE, problems.next_line()).await.unwrap().unwrap().unwrap();
    assert!(problem.contains("the converter c.json cannot be used"), "{problem}");
    fs::write(folder.join("c.json"), inferred.replace(",\"total\":\"total\"", "")).unwrap();
    assert_eq!(next().await["unused_columns"], json!(["total"]));
    let pid = rustix::process::Pid::from_raw(i32::try_from(watch.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(timeout(PATIENCE, watch.wait()).await.unwrap().unwrap().code(), Some(0));
}

/// The page's files, and each of its commands with what it prints.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_page_prints_what_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let program = Path::new(env!("CARGO_BIN_EXE_forebay")).parent().unwrap().to_owned();
    let path = format!("{}:{}", program.display(), std::env::var_os("PATH").unwrap().display());
    let mut commands = 0;
    for block in PAGE.split("\n```").collect::<Vec<_>>().chunks(2) {
        let [_, block] = block else { continue };
        let (label, text) = block.split_once('\n').unwrap();
        if let Some(name) = label.strip_prefix("json file ") {
            fs::write(folder.join(name), format!("{text}\n")).unwrap();
            continue;
        }
        assert_eq!(label, "console", "{label}");
        for step in format!("\n{text}\n").split("\n$ ").skip(1) {
            let (line, expected) = step.split_once('\n').unwrap();
            let mut shell = Command::new("bash");
            shell.args(["-c", line]).current_dir(folder).env("PATH", &path);
            shell.envs(environment()).env("FOREBAY_STATE", folder.join("state"));
            // Notes come before what is printed, a failure after it.
            let Ran { out, err, .. } = ran(shell).await;
            let expected = expected.trim_end();
            let is_failure = err.starts_with("forebay: ");
            let printed = if is_failure { format!("{out}{err}") } else { format!("{err}{out}") };
            assert_eq!(printed.trim_end(), expected, "{line}");
            commands += 1;
        }
    }
    assert!(commands >= 3, "{commands}");
}
