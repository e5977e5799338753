//! docs/csv-lambda.md: its commands, in order, as they stand there.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::process::Command;

use serde_json::{Value, json};

use super::workshop::{Workshop, last_event};
use crate::deploy::repository;
use crate::support::forebay::binary;
use crate::support::wait;

/// The words that a command of the page begins with. Other blocks are pictures.
const COMMANDS: [&str; 6] = ["export ", "aws ", "scripts/release/lambda", "find ", "printf ", "echo "];
/// For ministack to delete the stack.
const DELETED_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

fn read(path: &str) -> String {
    std::fs::read_to_string(repository(path)).unwrap()
}

fn page() -> String {
    read("docs/csv-lambda.md")
}

/// The indented blocks of a page, without the indentation.
pub(super) fn blocks(page: &str) -> Vec<String> {
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

/// The blocks of commands, without those for the other way that calls can go.
fn commands(page: &str, other_way: &str) -> Vec<String> {
    let is_command = |block: &String| COMMANDS.iter().any(|start| block.starts_with(start));
    blocks(page).into_iter().filter(|block| is_command(block) && !block.contains(other_way)).collect()
}

/// The names of the template's parameters.
fn parameters() -> BTreeSet<String> {
    let template = read("deploy/lambda/csv.yaml");
    let (_, after) = template.split_once("\nParameters:\n").unwrap();
    let (section, _) = after.split_once("\nRules:\n").unwrap();
    let headings = section.lines().filter_map(|line| line.strip_prefix("  ")?.split_once(':'));
    let names = headings.map(|(name, _)| name).filter(|name| !name.starts_with([' ', '#']));
    names.map(str::to_owned).collect()
}

/// The words of a text that stand in backquotes.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The variables of a function.
fn variables() -> BTreeSet<String> {
    let page = read("docs/lambda-environment.md");
    let is_name = |word: &&str| {
        let rest = word.strip_prefix("FOREBAY_").filter(|rest| !rest.ends_with('_'));
        rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    quoted(&page).into_iter().filter(is_name).map(str::to_owned).collect()
}

/// `FOREBAY_CSV_TIME_COLUMNS` as `CsvTimeColumns`.
fn parameter_of(variable: &str) -> String {
    let words = variable.trim_start_matches("FOREBAY_").split('_');
    let capital = |word: &str| {
        let (first, rest) = word.split_at(1);
        first.to_owned() + &rest.to_ascii_lowercase()
    };
    words.map(capital).collect()
}

/// Each parameter that a command of the page gives exists, and each that exists is explained.
#[test]
fn the_page_gives_and_explains_the_parameters_of_the_template() {
    let (page, known) = (page(), parameters());
    assert!(known.len() > 40 && known.contains("CsvTimeColumns"), "{known:?}");
    let mut given = 0;
    for block in blocks(&page).iter().filter(|block| block.contains("cloudformation deploy")) {
        let (_, after) = block.split_once("--parameter-overrides").unwrap();
        for (name, _) in after.split_whitespace().filter_map(|word| word.split_once('=')) {
            assert!(known.contains(name), "there is no parameter {name}: {block}");
            given += 1;
        }
    }
    assert!(given > 15, "{given}");
    let on_page = quoted(&page);
    let by_variable: BTreeSet<String> = variables().iter().map(|name| parameter_of(name)).collect();
    for name in &known {
        let is_explained = on_page.contains(name.as_str()) || by_variable.contains(name);
        assert!(is_explained, "{name} is not explained");
    }
}

/// Each variable of a function is set by the template, from the parameter that is named like it.
#[test]
fn the_template_sets_every_variable_of_a_function() {
    let template = read("deploy/lambda/csv.yaml");
    let (_, after) = template.split_once("        Variables:\n").unwrap();
    let (section, _) = after.split_once("\n\n").unwrap();
    let headings =
        section.lines().filter_map(|line| line.trim_start().strip_prefix("FOREBAY_")?.split_once(':'));
    let set: BTreeSet<String> = headings.map(|(name, _)| format!("FOREBAY_{name}")).collect();
    let mut named = variables();
    assert!(named.remove("FOREBAY_CSV_ENDPOINT_URL"), "another store than S3 sends no events to EventBridge");
    assert_eq!(set, named);
    for variable in set.iter().filter(|name| *name != "FOREBAY_WRITE_KEY") {
        let (_, value) = section.split_once(&format!("{variable}: ")).unwrap();
        let value = value.lines().next().unwrap();
        let parameter = parameter_of(variable);
        let is_its_own =
            value == format!("!Ref {parameter}") || value.contains(&format!("s3://${{{parameter}}}"));
        assert!(is_its_own && parameters().contains(&parameter), "{variable}: {value}");
    }
}

/// Runs the blocks of commands as somebody would who has the page beside the shell.
struct Reader {
    shop: Workshop,
}

impl Reader {
    async fn run(&mut self, block: &str) {
        let mut bash = Command::new("bash");
        bash.args(["-c", &format!("set -eu -o pipefail\n{block}")]);
        self.shop.folder.run(bash).await.well();
        for export in block.lines().filter_map(|line| line.strip_prefix("export ")) {
            let (name, value) = export.split_once('=').unwrap();
            self.shop.folder.set(name, value);
        }
    }

    async fn notifications(&self) -> Value {
        let get = ["s3api", "get-bucket-notification-configuration", "--bucket", "my-csv-files"];
        self.shop.aws(&get).await
    }

    async fn notify(&self, configuration: &Value) {
        let put = ["s3api", "put-bucket-notification-configuration", "--bucket", "my-csv-files"];
        let given = ["--notification-configuration", &configuration.to_string()];
        self.shop.aws(&[put.as_slice(), &given].concat()).await;
    }

    /// Follows these blocks as far as the first file. The bucket has a notification of somebody else, which
    /// stays.
    async fn follow_to_the_first_file(&mut self, rest: &mut Vec<String>) {
        let first = rest.iter().position(|block| block.contains("samples/identify_1.csv")).unwrap();
        for block in rest.drain(..=first) {
            if block.contains("EventBridgeConfiguration") {
                let open = json!({ "Policy": json!({ "Version": "2012-10-17", "Statement": [{
                    "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage",
                    "Resource": "*",
                }] }).to_string() });
                let create = ["sqs", "create-queue", "--queue-name", "q", "--attributes", &open.to_string()];
                self.shop.aws(&create).await;
                let mut others = others();
                self.notify(&others).await;
                self.run(&block).await;
                others["EventBridgeConfiguration"] = json!({});
                assert_eq!(self.notifications().await, others);
            } else {
                self.run(&block).await;
            }
        }
    }
}

/// A notification of somebody else.
fn others() -> Value {
    let queue = format!("arn:aws:sqs:eu-west-1:{}:q", Workshop::ACCOUNT);
    json!({ "QueueConfigurations": [{ "Id": "q", "QueueArn": queue, "Events": ["s3:ObjectRemoved:*"] }] })
}

/// What `scripts/release/lambda` packs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packed {
    /// The program itself.
    Program,
    /// A function that only logs: without a collector there is nothing else to be done.
    Logs,
}

/// A reader in a workshop in which the program is built already.
async fn reader(packed: Packed) -> Option<Reader> {
    let mut shop = Workshop::open().await?;
    shop.folder.unset("AWS_DEFAULT_REGION");
    shop.folder.program("cargo", "#!/bin/sh\nexit 0\n");
    std::fs::create_dir_all(shop.folder.path("target/lambda/release")).unwrap();
    let built = shop.folder.path("target/lambda/release/forebay");
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
    // The page is followed in the folder of the project.
    for folder in ["scripts", "deploy"] {
        symlink(repository(folder), shop.folder.path(folder)).unwrap();
    }
    Some(Reader { shop })
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_page_leads_from_an_empty_account_to_the_first_file_and_back() {
    let Some(mut reader) = reader(Packed::Logs).await else { return };
    let mut rest = commands(&page(), "Output=");
    reader.follow_to_the_first_file(&mut rest).await;
    let event = last_event(&reader.shop.logged("\"identify_1.csv\"").await);
    assert_eq!(event["detail-type"], "Object Created", "invoked by the rule");
    let mut expected = json!({
        "FOREBAY_COLLECTOR_URL": "https://collector.example.com",
        "FOREBAY_CONTINUE": "retry",
        "FOREBAY_JOURNAL": "s3://my-events/csv-journal",
        "FOREBAY_LOG": "info",
        "FOREBAY_WRITE_KEY": "choose-a-key",
    });
    assert_eq!(reader.shop.environment().await, expected);
    assert!(!reader.shop.calls().contains("choose-a-key"), "the write key is an argument");
    let removal = rest.iter().position(|block| block.contains("delete-stack")).unwrap();
    let after: Vec<String> = rest.drain(removal..).collect();
    assert_eq!(rest.len(), 7, "{rest:?}");
    for block in &rest {
        reader.run(block).await;
        if block.contains("Queue=true") {
            through_the_queue(&reader.shop).await;
        }
    }
    let answer = std::fs::read_to_string(reader.shop.folder.path("answer.json")).unwrap();
    assert_eq!(answer.trim(), "null", "what this function answers");
    let function = reader.shop.function().await;
    assert_eq!((&function["Timeout"], &function["MemorySize"]), (&json!(900), &json!(2048)));
    expected["FOREBAY_CONTINUE"] = json!("self-invoke");
    assert_eq!(reader.shop.environment().await, expected);
    back(&mut reader, &after).await;
}

/// With a queue in between, its messages invoke the function.
async fn through_the_queue(shop: &Workshop) {
    let mappings = shop.aws(&["lambda", "list-event-source-mappings"]).await;
    let mapping = &mappings["EventSourceMappings"][0];
    assert_eq!(mapping["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]), "{mappings}");
    // ministack keeps a number from a parameter as a text, at which its poller stops.
    let update = ["lambda", "update-event-source-mapping", "--uuid", mapping["UUID"].as_str().unwrap()];
    shop.aws(&[update.as_slice(), &["--scaling-config", "MaximumConcurrency=10"]].concat()).await;
    shop.aws(&["s3api", "put-object", "--bucket", "my-csv-files", "--key", "track_2.csv"]).await;
    let event = last_event(&shop.logged("track_2.csv").await);
    assert_eq!(event["Records"][0]["eventSource"], "aws:sqs", "through the queue");
}

/// Removes the stack, and what the scripts of earlier versions made, as the page says.
async fn back(reader: &mut Reader, blocks: &[String]) {
    for block in blocks {
        if block.contains("lambda-s3-role") {
            made_by_the_scripts(reader).await;
        }
        reader.run(block).await;
        if block.contains("delete-stack") {
            let functions = ["lambda", "list-functions"];
            wait::until("the stack to be gone", DELETED_TIMEOUT, async || {
                let left = reader.shop.aws(&functions).await;
                (left["Functions"] == json!([])).then_some(())
            })
            .await;
        }
    }
    assert_eq!(reader.shop.aws(&["lambda", "list-functions"]).await["Functions"], json!([]));
    let roles = reader.shop.aws(&["iam", "list-roles"]).await.to_string();
    assert!(!roles.contains("lambda-s3-role") && !roles.contains("forebay-csv"), "{roles}");
    let queues = reader.shop.aws(&["sqs", "list-queues"]).await.to_string();
    assert!(!queues.contains("Failures"), "{queues}");
    let left = reader.notifications().await;
    assert_eq!(left["QueueConfigurations"], others()["QueueConfigurations"], "that of somebody else");
    assert!(!left.to_string().contains("lambda-trigger"), "{left}");
}

/// The function, role and notification of the scripts that were here before the stack.
async fn made_by_the_scripts(reader: &Reader) {
    let shop = &reader.shop;
    let trust = std::fs::read_to_string(repository("policies/csv-lambda-trust.json")).unwrap();
    let role =
        ["iam", "create-role", "--role-name", "lambda-s3-role", "--assume-role-policy-document", &trust];
    let arn = shop.aws(&role).await["Role"]["Arn"].as_str().unwrap().to_owned();
    let policy = ["iam", "put-role-policy", "--role-name", "lambda-s3-role", "--policy-name", "forebay-csv"];
    let rights =
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}"#;
    shop.aws(&[policy.as_slice(), &["--policy-document", rights]].concat()).await;
    let function =
        ["lambda", "create-function", "--function-name", "forebay-csv", "--runtime", "provided.al2023"];
    let more = ["--handler", "bootstrap", "--role", &arn, "--zip-file", "fileb://forebay-lambda.zip"];
    let arn = shop.aws(&[function.as_slice(), &more].concat()).await["FunctionArn"].clone();
    let permit = ["lambda", "add-permission", "--function-name", "forebay-csv", "--statement-id", "s"];
    let s3 = ["--action", "lambda:InvokeFunction", "--principal", "s3.amazonaws.com"];
    shop.aws(&[permit.as_slice(), &s3].concat()).await;
    let mut all = reader.notifications().await;
    all["LambdaFunctionConfigurations"] =
        json!([{ "Id": "lambda-trigger", "LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"] }]);
    reader.notify(&all).await;
    assert!(reader.notifications().await.to_string().contains("lambda-trigger"));
}

#[tokio::test]
#[ignore = "long: tests/long"]
async fn the_page_leads_to_the_first_file_without_a_collector_too() {
    let Some(mut reader) = reader(Packed::Program).await else { return };
    let mut rest = commands(&page(), "CollectorUrl=");
    reader.follow_to_the_first_file(&mut rest).await;
    for file in ["track_1.csv", "identify_1.csv"] {
        let log = reader.shop.logged(&format!("\"key\":\"s3://my-csv-files/{file}\"")).await;
        assert!(log.contains("a file is imported") && !log.contains("\"ERROR\""), "{log}");
    }
    let invoke = rest.iter().position(|block| block.contains("aws lambda invoke")).unwrap();
    for block in rest.drain(..=invoke) {
        reader.run(&block).await;
    }
    let answer = std::fs::read_to_string(reader.shop.folder.path("answer.json")).unwrap();
    assert!(answer.contains("s3://my-csv-files/track_1.csv") && answer.contains("done before"), "{answer}");
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
