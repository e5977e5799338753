//! Every command in a text of the program, and how it is tried.

use super::stage::Stage;

/// How a command is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// It is run, and ends with this code.
    Ends(i32),
    /// It is parsed alone, because of this.
    Parsed(&'static str),
    /// The text speaks of the command, and says nothing to run.
    Named,
}

use Tried::{Ends, Named, Parsed};

/// Why a command that serves is not run here.
const SERVES: &str = "it serves until it is stopped, and other tests start it";
/// Why a command of AWS is not run here.
const OF_AWS: &str = "it needs AWS, and the tests of imports have its double";

/// Why a command of Kafka is not run here.
const OF_KAFKA: &str = "it needs brokers, and the tests on brokers run it";

/// The rows that this build knows.
pub(super) fn rows() -> impl Iterator<Item = &'static (&'static str, &'static str, Tried)> {
    TABLE.iter().chain(KAFKA.iter().filter(|_| cfg!(feature = "kafka")))
}

/// What only builds with the feature `kafka` print.
const KAFKA: &[(&str, &str, Tried)] = &[
    ("forebay kafka create", "forebay kafka create", Named),
    (
        "forebay kafka create --partitions COUNT --print",
        "forebay kafka create --partitions 12 --print",
        Parsed(OF_KAFKA),
    ),
    ("forebay kafka check", "forebay kafka check", Parsed(OF_KAFKA)),
    ("forebay kafka create --partitions 12", "forebay kafka create --partitions 12", Parsed(OF_KAFKA)),
    (
        "forebay kafka create --partitions {partitions}",
        "forebay kafka create --partitions 12",
        Parsed(OF_KAFKA),
    ),
    ("forebay kafka create --partitions {most}", "forebay kafka create --partitions 12", Parsed(OF_KAFKA)),
    (
        "forebay kafka create --config writer.toml --partitions {partitions} --replication {replication}",
        "forebay kafka create --config writer.toml --partitions 12 --replication 3",
        Parsed(OF_KAFKA),
    ),
    (
        "forebay kafka resolve --partition {partition} --seal {seal} --action ACTION",
        "forebay kafka resolve --partition 3 --seal 7 --action overwrite",
        Parsed(OF_KAFKA),
    ),
];

/// Each command as a text has it, as it is typed here, and how it is tried. What begins with `@` is of the
/// [`Stage`]. Several ways to type one command stand in a row.
const TABLE: &[(&str, &str, Tried)] = &[
    ("forebay batch run --help", "forebay batch run --help", Ends(0)),
    ("forebay batch manifest --bucket BUCKET", "forebay batch manifest --bucket forebay", Ends(0)),
    ("forebay batch confirm {job}{folder}", "forebay batch confirm @job", Ends(0)),
    ("forebay batch confirm {}{}", "forebay batch confirm @job", Ends(0)),
    ("forebay batch {wish} {job}{folder}", "forebay batch confirm @job", Ends(0)),
    ("forebay batch pause {0}{2}", "forebay batch pause @job --state @state", Ends(0)),
    ("forebay batch {wish} {job}{folder}", "forebay batch resume @job", Ends(0)),
    ("forebay batch resume {job}{folder}", "forebay batch resume @job", Ends(0)),
    ("forebay batch resume {}{}", "forebay batch resume @job", Ends(0)),
    ("forebay batch run --job {job}{folder}", "forebay batch run --job @job", Ends(0)),
    ("forebay batch run --job ID", "forebay batch run --job @job", Ends(0)),
    ("forebay batch run --job {id}{}", "forebay batch run --job @job --state @state", Ends(0)),
    // It has ended.
    ("forebay batch cancel {0}{2}", "forebay batch cancel @job --state @state", Ends(1)),
    ("forebay batch report {id} --rows failed", "forebay batch report @job --rows failed", Ends(0)),
    ("forebay batch report {id}{} --rows failed", "forebay batch report @job --rows failed", Ends(0)),
    ("forebay batch run", "", Named),
    ("forebay batch list", "forebay batch list", Ends(0)),
    ("forebay batch list{2}", "forebay batch list --state @state", Ends(0)),
    (
        "forebay batch run --manifest PLACE --handler import",
        "forebay batch run --manifest m.csv --handler import",
        Parsed("tests/suite/jobs/imports.rs runs it"),
    ),
    ("forebay batch serve --listen ADDR", "forebay batch serve --listen 127.0.0.1:0", Parsed(SERVES)),
    ("forebay check", "forebay check", Ends(0)),
    ("forebay check --alarm-test", "forebay check --alarm-test", Ends(0)),
    ("forebay destinations status", "forebay destinations status", Ends(0)),
    ("forebay destinations test {name}", "forebay destinations test crm", Ends(0)),
    (
        "forebay destinations replay {} --from DLQ{config}",
        "forebay destinations replay crm --from DLQ --config forebay.toml",
        Ends(0),
    ),
    (
        "forebay destinations replay ${shellWord(one.name)} --from DLQ${config}",
        "forebay destinations replay crm --from DLQ --config forebay.toml",
        Ends(0),
    ),
    (
        "forebay destinations replay {destination} --from TIME",
        "forebay destinations replay crm --from 2026-01-01",
        Ends(0),
    ),
    (
        "forebay destinations replay NAME --from TIME",
        "forebay destinations replay crm --from 2026-01-01",
        Ends(0),
    ),
    ("forebay destinations remove {name} --discard", "forebay destinations remove crm --discard", Ends(1)),
    ("forebay dev", "forebay dev", Parsed(SERVES)),
    ("forebay dev --config FILE", "forebay dev --config dev.toml", Parsed(SERVES)),
    ("forebay dev --reset", "forebay dev --reset", Parsed(SERVES)),
    ("forebay serve", "forebay serve", Parsed(SERVES)),
    ("forebay lambda", "forebay lambda", Parsed("the runtime of AWS Lambda starts it")),
    ("forebay flush", "forebay flush", Ends(0)),
    ("forebay flush --admin http://{console}", "forebay flush --admin http://@console", Ends(0)),
    ("forebay status", "forebay status", Ends(0)),
    ("forebay status --all", "forebay status --all", Ends(0)),
    ("forebay status --json", "forebay status --json", Ends(0)),
    ("forebay tail", "forebay tail", Parsed("it runs until it is interrupted, as in tests/suite/terminal")),
    ("forebay tail --type refused", "forebay tail --type refused", Parsed("the same")),
    ("forebay receipt", "", Named),
    ("forebay receipt RECEIPT", "forebay receipt @receipt", Ends(0)),
    ("forebay verify BUCKET", "forebay verify forebay", Ends(0)),
    ("forebay verify {}", "forebay verify forebay", Ends(0)),
    ("forebay verify {} --deep", "forebay verify forebay --deep", Ends(0)),
    ("forebay import csv", "", Named),
    ("forebay import csv FILE", "forebay import csv track_1.csv", Ends(0)),
    ("forebay import csv FILE --force", "forebay import csv track_1.csv --force", Ends(3)),
    (
        "forebay import csv --source my-app track_orders.csv",
        "forebay import csv --source my-app track_orders.csv",
        Ends(0),
    ),
    ("forebay import retry-rejects FILE", "forebay import retry-rejects @rejects", Ends(3)),
    ("forebay import retry-rejects {}{}", "forebay import retry-rejects @rejects --source csv", Ends(0)),
    ("forebay import list --import {import}", "forebay import list --import orders", Ends(0)),
    ("forebay import list --import {0}", "forebay import list --import orders", Ends(0)),
    ("forebay import list --import {}", "forebay import list --import orders", Ends(0)),
    (
        "forebay policy import-sqs --import {import} --queue ARN",
        "forebay policy import-sqs --import orders --queue arn:aws:sqs:eu-west-1:111122223333:files",
        Ends(0),
    ),
    (
        "forebay import run {of_import} --again --from {of_object} --to {of_object}",
        "forebay import run orders --again --from in/orders-1.json --to in/orders-1.json",
        Ends(3),
    ),
    (
        "forebay import list --import {import} --only {slug}",
        "forebay import list --import orders --only changed",
        Ends(0),
    ),
    (
        "forebay import list --import orders --only given_up --config forebay.toml",
        "forebay import list --import orders --only given_up --config forebay.toml",
        Ends(0),
    ),
    (
        "forebay import list --import {import} --only given_up",
        "forebay import list --import orders --only given_up",
        Ends(0),
    ),
    ("forebay import reset-file {import} KEY", "forebay import reset-file orders in/orders-1.json", Ends(2)),
    ("forebay import reset-file {import} --failed", "forebay import reset-file orders --failed", Ends(0)),
    (
        "forebay import retry-rejects --import {import}",
        "forebay import retry-rejects --import orders --config forebay.toml",
        Parsed("tests/suite/import/rejects_of_node.rs runs it over a spool that no node uses"),
    ),
    (
        "forebay import retry-rejects --import ${shellWord(name)}",
        "forebay import retry-rejects --import orders",
        Ends(3),
    ),
    ("forebay import retry-rejects --import {name}", "forebay import retry-rejects --import orders", Ends(3)),
    ("forebay import resume {0}", "forebay import resume orders", Ends(0)),
    ("forebay import resume {name}", "forebay import resume orders", Ends(0)),
    ("forebay import resume {}", "forebay import resume orders", Ends(0)),
    ("forebay import resume ${name}", "forebay import resume orders", Ends(0)),
    ("forebay import run", "", Named),
    ("forebay import run {import}", "forebay import run orders", Ends(0)),
    ("forebay import run {name}", "forebay import run orders", Ends(0)),
    ("forebay import run ${one.name}", "forebay import run orders", Ends(0)),
    ("forebay import run {name} --again", "forebay import run orders --again", Ends(3)),
    (
        "forebay import run {import} --again --from {key} --to {key}",
        "forebay import run orders --again --from in/orders-1.json --to in/orders-1.json",
        Ends(3),
    ),
    (
        "forebay import run {} --again --from {key} --to {key}",
        "forebay import run orders --again --from in/orders-1.json --to in/orders-1.json",
        Ends(3),
    ),
    (
        "forebay import run {import} --dry-run --from {key} --to {key}",
        "forebay import run orders --dry-run --from in/orders-1.json --to in/orders-1.json",
        Ends(0),
    ),
    ("forebay import status", "forebay import status", Ends(0)),
    ("forebay import status {}", "forebay import status orders", Ends(0)),
    (
        "forebay import reset-file {of_import} {of_object}",
        "forebay import reset-file orders in/orders-1.json",
        Ends(2),
    ),
    (
        "forebay import retry-rejects --import {of_import}",
        "forebay import retry-rejects --import orders",
        Ends(3),
    ),
    ("forebay import reset-file {} {}", "forebay import reset-file orders in/orders-1.json", Ends(2)),
    (
        "forebay import reset-file {name} {key} --accept-rejects",
        "forebay import reset-file orders in/orders-1.json --accept-rejects",
        Ends(0),
    ),
    (
        "forebay import reset-file {import} {key} --accept-rejects",
        "forebay import reset-file orders in/orders-1.json --accept-rejects",
        Ends(2),
    ),
    (
        "forebay import reset-file {of_import} {of_object} --accept-rejects",
        "forebay import reset-file orders in/orders-1.json --accept-rejects",
        Ends(2),
    ),
    (
        "forebay import release NAME --instance ID",
        "forebay import release shared --instance 0123456789abcdef0123456789abcdef",
        Ends(0),
    ),
    (
        "forebay import release {import} --instance {instance}",
        "forebay import release shared --instance 0123456789abcdef0123456789abcdef",
        Ends(0),
    ),
    (
        "forebay import release ${shellWord(name)} --instance ID",
        "forebay import release shared --instance 0123456789abcdef0123456789abcdef",
        Ends(0),
    ),
    (
        "forebay import release ${shellWord(name)} --instance ${shellWord(instance)} --dry-run",
        "forebay import release shared --instance 0123456789abcdef0123456789abcdef --dry-run",
        Ends(0),
    ),
    ("forebay import test-credentials NAME", "forebay import test-credentials orders", Ends(0)),
    ("forebay import test-credentials {name}", "forebay import test-credentials orders", Ends(0)),
    ("forebay import test-credentials {}", "forebay import test-credentials orders", Ends(0)),
    (
        "forebay import setup-notifications {import}",
        "forebay import setup-notifications queued",
        Parsed(OF_AWS),
    ),
    (
        "forebay import setup-notifications NAME --undo",
        "forebay import setup-notifications queued --undo",
        Parsed(OF_AWS),
    ),
    (
        "forebay policy batch-trust --account ID --region REGION",
        "forebay policy batch-trust --account 111122223333 --region eu-west-1",
        Ends(0),
    ),
    ("forebay policy bucket-cross-account", "forebay policy bucket-cross-account", Ends(0)),
    ("forebay policy collector", "forebay policy collector", Ends(0)),
    ("forebay policy collector --kms-key ARN", "forebay policy collector --kms-key @key", Ends(0)),
    ("forebay policy reader", "forebay policy reader", Ends(0)),
    ("forebay policy {}", "forebay policy role", Ends(0)),
    ("forebay policy {}", "forebay policy lambda-destination-trust --principal @principal", Ends(0)),
    ("forebay policy lambda-destination-invoke", "forebay policy lambda-destination-invoke", Ends(0)),
    ("forebay policy {} --import {}", "forebay policy import-read --import orders", Ends(0)),
    ("forebay policy {policy} --import {name}", "forebay policy import-read-prefix --import orders", Ends(0)),
    (
        "forebay policy {policy} --import {name} --kms-key ARN",
        "forebay policy import-read --import orders --kms-key @key",
        Ends(0),
    ),
    ("forebay policy import-after --import {}", "forebay policy import-after --import orders", Ends(0)),
    (
        "forebay policy import-after --import {name}{key}",
        "forebay policy import-after --import orders --kms-key @key",
        Ends(0),
    ),
    ("forebay policy import-bucket --import {}", "forebay policy import-bucket --import orders", Ends(2)),
    (
        "forebay policy import-journal --import {name}",
        "forebay policy import-journal --import shared",
        Ends(0),
    ),
    ("forebay policy import-journal --import {}", "forebay policy import-journal --import shared", Ends(0)),
    (
        "forebay policy import-journal --import {} --kms-key ARN",
        "forebay policy import-journal --import shared --kms-key @key",
        Ends(0),
    ),
    ("forebay policy import-notify --import {}", "forebay policy import-notify --import queued", Ends(0)),
    (
        "forebay policy import-notify --import {} --queue ARN",
        "forebay policy import-notify --import queued --queue arn:aws:sqs:us-east-1:111122223333:q",
        Ends(0),
    ),
    (
        "forebay policy import-queue --import {} --account ID",
        "forebay policy import-queue --import queued --account 111122223333",
        Ends(0),
    ),
    ("forebay policy import-sqs --import {import}", "forebay policy import-sqs --import queued", Ends(0)),
    ("forebay policy import-sqs --import {}", "forebay policy import-sqs --import queued", Ends(0)),
    (
        "forebay policy import-trust --import {name} --external-id {} --principal ARN",
        "forebay policy import-trust --import orders --external-id x1 --principal @principal",
        Ends(0),
    ),
    ("forebay spool inspect", "", Named),
    ("forebay spool inspect SPOOL", "forebay spool inspect @spool", Ends(0)),
    ("forebay spool verify SPOOL", "forebay spool verify @spool", Ends(0)),
    ("forebay spool export SPOOL", "forebay spool export @spool", Ends(0)),
    (
        "forebay spool resolve SPOOL --seal {} --action ACTION",
        "forebay spool resolve @spool --seal 3 --action overwrite",
        Ends(1),
    ),
    (
        "forebay spool resolve SPOOL --seal {number} --action ACTION",
        "forebay spool resolve @spool --seal 3 --action overwrite",
        Ends(1),
    ),
    ("forebay spool resolve", "", Named),
    ("forebay spool drain SPOOL --to FOLDER", "forebay spool drain @spool --to drained", Ends(0)),
    ("forebay spool drain SPOOL --config FILE", "forebay spool drain @spool --config forebay.toml", Ends(0)),
    ("forebay spool drain {} --config FILE", "forebay spool drain @spool --config forebay.toml", Ends(0)),
];

/// A typed line with what stands for each word, or end of a word, that begins with `@`.
pub(super) fn filled(stage: &Stage, typed: &str) -> Vec<String> {
    let value = |name: &str| stage.values.get(name).unwrap_or_else(|| panic!("@{name} is not on the stage"));
    let filled = |word: String| match word.split_once('@') {
        Some((before, name)) => format!("{before}{}", value(name)),
        None => word,
    };
    shlex::split(typed).unwrap().into_iter().map(filled).collect()
}
