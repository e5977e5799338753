//! `forebay receipt`: finds the object and line of an acknowledged call, or its state in the collector.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::args::ReceiptArgs;
use super::failure::Failure;
use super::print_json::print_either;
use super::verify::reader;
use crate::admin::ReceiptStatus;
use crate::admin_client::{AdminToken, AskError};
use crate::node::bucket_reader::BucketReader;
use crate::node::receipt_report::ReceiptReport;
use crate::object::BucketString;
use crate::words::counted;

/// The time limit for the collector's answer: it may have to read the disk.
const PATIENCE: Duration = Duration::from_secs(15);
/// The reader's name in the role's session.
const SESSION: &str = "receipt";

/// Looks up the calls of a receipt, and prints where they are.
/// Errors: [`Failure`] if a call was not found or could not be looked up, or an object is damaged.
pub async fn run(args: &ReceiptArgs, out: &mut dyn Write) -> Result<(), Failure> {
    // Query the collector first: calls that it delivers in the meantime are then found in the bucket.
    let client = args.admin.client()?;
    // A receipt has no character that must be escaped in a query.
    let path = format!("/api/receipt?receipt={}", args.receipt);
    let (answer, reported) = judged(args, client.ask(Method::GET, &path, PATIENCE).await);
    let mut report = ReceiptReport::new(args.receipt.clone(), answer);
    if report.unanswered().is_some() {
        let token = AdminToken::of_command(args.admin.token_file.as_deref())?;
        let reader = reader(&args.reach, SESSION)?.or_dev(args.admin.url.clone(), token).await;
        let bucket = bucket(args, &reader, reported.as_deref(), report.collector_unknown.as_deref())?;
        let archive = Arc::new(reader.open(&bucket, Some(&args.receipt.source)).await);
        report.look_up(&bucket, &archive).await?;
    }
    print_either(out, args.json, &report, || report.render())?;
    match report.not_found() {
        0 if report.damaged.is_empty() => Ok(()),
        0 => Err(Failure::failed(format!(
            "an object is damaged: run `forebay verify {} --deep` for details",
            report.bucket.as_deref().unwrap_or("BUCKET")
        ))),
        count => {
            let count = counted(count, "position was", "positions were");
            Err(Failure::failed(format!("{count} not found")))
        }
    }
}

/// What the collector has of the receipt, or why that is unknown, and the bucket that it reports.
fn judged(
    args: &ReceiptArgs,
    answer: Result<ReceiptStatus, AskError>,
) -> (Result<ReceiptStatus, String>, Option<String>) {
    match answer {
        Ok(status) if status.spool_id == args.receipt.spool_id => (Ok(status.clone()), status.bucket),
        Ok(status) => {
            let url = &args.admin.url;
            let why = format!(
                "the collector at {url} has another spool: query the one that issued the receipt (--admin)"
            );
            (Err(why), status.bucket)
        }
        Err(error) => {
            if error.wants_other_token() {
                // The error is logged at once: the bucket may not be readable either, and then there is no
                // report.
                tracing::warn!("{error}");
            }
            (Err(Failure::from(error).to_string()), None)
        }
    }
}

/// The bucket to search.
fn bucket(
    args: &ReceiptArgs,
    reader: &BucketReader,
    reported: Option<&str>,
    unknown: Option<&str>,
) -> Result<BucketString, Failure> {
    let source = &args.receipt.source;
    let in_config = || reader.bucket_of(source);
    let reported = || BucketString::parse(reported?).ok();
    args.bucket.clone().or_else(in_config).or_else(reported).ok_or_else(|| {
        Failure::usage(format!(
            "the bucket of {source} is in no configuration, and no collector reported it: give --bucket, or \
             --config; {}",
            unknown.unwrap_or("the collector answered, but does not know this source")
        ))
    })
}
