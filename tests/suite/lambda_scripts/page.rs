//! docs/csv-lambda.md: its commands, in order, as they stand there.

use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::workshop::{Folder, Workshop, last_event, scripts};
use crate::support::forebay::binary;
use crate::support::tools::extra_on_path;

/// The words that a command of the page begins with. Other blocks are pictures and files.
const COMMANDS: [&str; 4] = ["export ", "aws ", "scripts/lambda/", "find "];

fn page() -> String {
    std::fs::read_to_string(scripts().join("../../docs/csv-lambda.md")).unwrap()
}

/// The indented blocks of a page, without the indentation.
fn blocks(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block = String::new();
    for line in page.lines().chain([""]) {
        match line.strip_prefix("    ") {
            Some(line) => {
                block.push_str(line);
                block.push('\n');
            }
            None if !block.is_empty() => blocks.push(std::mem::take(&mut block)),
            None => {}
        }
    }
    blocks
}

fn is_command(block: &str) -> bool {
    COMMANDS.iter().any(|start| block.starts_with(start))
}

/// Runs the blocks of commands as somebody would who has the page beside the shell.
struct Reader {
    shop: Workshop,
    /// What was exported so far.
    exports: String,
}

impl Reader {
    async fn run(&mut self, block: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("set -eu -o pipefail\n{}{block}", self.exports)]);
        self.shop.folder.run(bash).await.well();
        for export in block.lines().filter(|line| line.starts_with("export ")) {
            self.exports.push_str(export);
            self.exports.push('\n');
        }
        // The region is chosen on the page.
        if self.exports.contains("AWS_DEFAULT_REGION=eu-west-1") {
            self.shop.folder.set("AWS_DEFAULT_REGION", "eu-west-1");
        }
    }
}

/// The blocks of commands, without those for the other way that calls can go.
fn commands(page: &str, other_way: &str) -> Vec<String> {
    let other = format!("export {other_way}=");
    blocks(page).into_iter().filter(|block| is_command(block) && !block.contains(&other)).collect()
}

/// What `package` packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    /// The program itself.
    Program,
    /// A function that only logs: without a collector there is nothing else to be done.
    Logs,
}

/// A workshop in which `package` finds a program that is built.
async fn workshop(packed: Packed) -> Option<Workshop> {
    let mut shop = Workshop::open().await?;
    shop.folder.unset("AWS_DEFAULT_REGION");
    shop.folder.program("cargo", "#!/bin/sh\nexit 0\n");
    std::fs::create_dir_all(shop.folder.path("target/release")).unwrap();
    let built = shop.folder.path("target/release/forebay");
    match packed {
        Packed::Program => drop(std::fs::copy(binary(), built).unwrap()),
        Packed::Logs => {
            shop.folder.program("readelf", "#!/bin/sh\necho 'Machine: Advanced Micro Devices X86-64'\n");
            std::fs::copy(shop.folder.path("bootstrap"), built).unwrap();
            // No object is there to be synced and read.
            shop.folder.program("zcat", "#!/bin/sh\n");
        }
    }
    shop.folder.set("CARGO_TARGET_DIR", shop.folder.path("target"));
    Some(shop)
}

/// Follows the page from an empty account as far as the first file, and checks what is there then.
async fn to_the_first_file(
    other_way: &str,
    packed: Packed,
    expected: &Value,
) -> Option<(Reader, Vec<String>)> {
    let shop = workshop(packed).await?;
    let page = page().replace("ACCOUNT_ID", Workshop::ACCOUNT);
    let json = blocks(&page).into_iter().find(|block| block.starts_with('{')).unwrap();
    std::fs::write(shop.folder.path("queue.json"), json).unwrap();
    // The page is followed in the folder of the project.
    symlink(scripts().parent().unwrap(), shop.folder.path("scripts")).unwrap();
    let mut reader = Reader { shop, exports: String::new() };
    let mut rest = commands(&page, other_way);
    let first = rest.iter().position(|block| block.contains("aws s3 cp ")).unwrap();
    for block in rest.drain(..=first) {
        reader.run(&block).await;
    }
    let shop = &reader.shop;
    match packed {
        Packed::Program => {
            shop.logged(&[], "my-csv-files/track_1.csv").await;
            let log = shop.logged(&["--match", "identify_1.csv"], "a file is imported").await;
            assert!(log.contains("identify_1.csv"), "{log}");
        }
        Packed::Logs => {
            shop.logged(&[], "\"key\": \"track_1.csv\"").await;
            let event = last_event(&shop.logged(&["--match", "identify_1.csv"], "identify_1.csv").await);
            let by = &event["Records"][0]["s3"]["configurationId"];
            assert_eq!(by, "lambda-trigger", "invoked by the bucket");
        }
    }
    let get = ["s3api", "get-bucket-notification-configuration", "--bucket", "my-csv-files"];
    assert_eq!(shop.aws(&get).await["LambdaFunctionConfigurations"][0]["Id"], "lambda-trigger");
    assert_eq!(shop.environment().await, *expected);
    Some((reader, rest))
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_page_leads_from_an_empty_account_to_the_first_file_and_back() {
    let mut expected = json!({
        "FOREBAY_COLLECTOR_URL": "https://collector.example.com",
        "FOREBAY_JOURNAL": "s3://my-events/csv-journal",
        "FOREBAY_WRITE_KEY": "choose-a-key",
    });
    let Some((mut reader, rest)) = to_the_first_file("FOREBAY_OUTPUT", Packed::Logs, &expected).await else {
        return;
    };
    let removal = rest.iter().position(|block| block.contains("delete-function")).unwrap();
    assert!(removal >= 5, "{rest:?}");
    for (at, block) in rest.iter().enumerate() {
        if at == removal {
            let function = reader.shop.function().await;
            assert_eq!((&function["Timeout"], &function["MemorySize"]), (&json!(900), &json!(2048)));
            expected["FOREBAY_CONTINUE"] = json!("self-invoke");
            assert_eq!(function["Environment"]["Variables"], expected);
            let mappings = reader.shop.aws(&["lambda", "list-event-source-mappings"]).await;
            let mapping = &mappings["EventSourceMappings"][0];
            assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{mappings}");
            let sample = scripts().join("samples/track_1.csv");
            let put = ["s3api", "put-object", "--bucket", "my-csv-files", "--key", "track_2.csv", "--body"];
            reader.shop.aws(&[put.as_slice(), &[sample.to_str().unwrap()]].concat()).await;
            let event = last_event(&reader.shop.logged(&["--match", "track_2.csv"], "track_2.csv").await);
            assert_eq!(event["Records"][0]["eventSource"], "aws:sqs", "through the queue");
        }
        reader.run(block).await;
    }
    let left = reader.shop.aws(&["lambda", "list-functions"]).await;
    assert_eq!(left["Functions"], json!([]));
    let roles = reader.shop.aws(&["iam", "list-roles"]).await.to_string();
    assert!(!roles.contains("lambda-s3-role"), "{roles}");
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_page_leads_to_the_first_file_without_a_collector_too() {
    let expected =
        json!({ "FOREBAY_JOURNAL": "s3://my-events/csv-journal", "FOREBAY_OUTPUT": "s3://my-events" });
    let found = to_the_first_file("FOREBAY_COLLECTOR_URL", Packed::Program, &expected).await;
    let Some((mut reader, rest)) = found else { return };
    let read = rest.iter().find(|block| block.contains("zcat")).unwrap();
    reader.run(read).await;
    let mut zcat = Command::new("bash");
    zcat.args(["-c", "find segment-logs -name '*.gz' | xargs zcat"]);
    let lines = reader.shop.folder.run(zcat).await.well().stdout;
    let mut types: Vec<String> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["type"].as_str().unwrap().to_owned())
        .collect();
    types.sort();
    let expected = [["identify"; 4], ["track"; 4]].concat();
    assert_eq!(types, expected, "as the page says");
}

/// Each script is on the page, and each option that the page names is one of its script.
#[tokio::test]
async fn the_page_names_every_script_and_only_options_that_exist() {
    let (page, folder) = (page(), Folder::new());
    let mut options = 0;
    for script in ["package", "role", "create", "update", "test", "permit", "notify", "logs"] {
        assert!(page.contains(&format!("scripts/lambda/{script}")), "{script} is not on the page");
        let help = folder.script(script, &["--help"]).await.well().stdout;
        assert!(help.starts_with(&format!("{script}: ")) && help.contains("--region REGION"), "{help}");
        for command in page.split(&format!("scripts/lambda/{script} ")).skip(1) {
            let command = command.split(['`', '\n', '|']).next().unwrap();
            for option in command.split(' ').filter(|word| word.starts_with("--")) {
                let is_known = help.split([' ', ',', '\n']).any(|word| word == option);
                assert!(is_known, "{script} has no {option}: {help}");
                options += 1;
            }
        }
    }
    assert!(options > 10, "{options}");
    shellcheck().await;
}

/// Where shellcheck is installed, it finds nothing.
async fn shellcheck() {
    let Some(shellcheck) = extra_on_path("shellcheck") else { return };
    let mut command = Command::new(shellcheck);
    command.args([
        "--shell=bash",
        "--external-sources",
        "--source-path=SCRIPTDIR",
        "--exclude=SC1091,SC2153,SC2154,SC2034",
    ]);
    for entry in std::fs::read_dir(scripts()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            command.arg(path);
        }
    }
    let ran = Folder::new().run(command).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
}
