//! `forebay receipt`: finds the object and line of an acknowledged call, or its state in the collector.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::args::ReceiptArgs;
use super::failure::Failure;
use super::print_json::print_either;
use super::verify::reader;
use crate::admin_client::{AdminToken, AskError};
use crate::node::bucket_reader::BucketReader;
use crate::node::receipt_report::ReceiptReport;
use crate::object::BucketString;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::words::counted;

/// The time limit for the collector's answer: it may have to read the disk.
const PATIENCE: Duration = Duration::from_secs(15);
/// The reader's name in the role's session.
const SESSION: &str = "receipt";

/// Looks up the calls of receipts, and prints where they are. One that cannot be looked up stops no other.
/// Errors: [`Failure`] if a call was not found or could not be looked up, or an object is damaged.
pub async fn run(args: &ReceiptArgs, out: &mut dyn Write) -> Result<(), Failure> {
    let (mut not_found, mut damage, mut failed) = (0, None, None);
    for receipt in &args.receipts {
        match look_up(args, receipt).await {
            Ok(report) => {
                print_either(out, args.json, &report, || report.render())?;
                not_found += report.not_found();
                damage = damage.or_else(|| report.damage());
            }
            Err(failure) => {
                if let Some(earlier) = failed.replace(failure) {
                    tracing::warn!("{earlier}");
                }
            }
        }
    }
    match (failed, not_found, damage) {
        (Some(failure), ..) => Err(failure),
        (None, 0, None) => Ok(()),
        (None, 0, Some(damage)) => Err(Failure::failed(damage)),
        (None, count, _) => {
            Err(Failure::failed(format!("{} not found", counted(count, "position was", "positions were"))))
        }
    }
}

async fn look_up(args: &ReceiptArgs, receipt: &Receipt) -> Result<ReceiptReport, Failure> {
    // Query the collector first: calls that it delivers in the meantime are then found in the bucket.
    let client = args.admin.client()?;
    // A receipt has no character that must be escaped in a query.
    let answer = client.ask(Method::GET, &format!("/api/receipt?receipt={receipt}"), PATIENCE).await;
    if let Err(error) = &answer
        && error.wants_other_token()
    {
        // Logged at once: the bucket may not be readable either, and then there is no report.
        tracing::warn!("{error}");
    }
    let answer = answer.map_err(|error: AskError| Failure::from(error).to_string());
    let (mut report, reported) =
        ReceiptReport::of_answer(receipt.clone(), &args.admin.url.to_string(), answer);
    if report.unanswered().is_some() {
        let token = AdminToken::of_command(args.admin.token_file.as_deref())?;
        let reader = reader(&args.reach, SESSION)?.or_dev(args.admin.url.clone(), token).await;
        let unknown = report.collector_unknown.as_deref();
        let bucket = bucket(args, &receipt.source, &reader, reported.as_deref(), unknown)?;
        let archive = Arc::new(reader.open(&bucket, Some(&receipt.source)).await);
        report.look_up(&bucket, &archive).await?;
    }
    Ok(report)
}

/// The bucket to search.
fn bucket(
    args: &ReceiptArgs,
    source: &SourceId,
    reader: &BucketReader,
    reported: Option<&str>,
    unknown: Option<&str>,
) -> Result<BucketString, Failure> {
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
