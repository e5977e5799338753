//! The values of the role of a job of S3 Batch Operations.

use crate::arn::{Arn, ArnParts};

use super::csv_lambda::with_slash;
use super::location::{partition, set_key};
use super::placeholders::{
    ACCOUNT, ANY_VERSION, ARN_START, COLLECTOR, FUNCTION_ARN, KMS_KEY, MANIFEST, REGION, REPORT, Row,
};
use super::problem::{Result, missing};
use super::tree::Tree;
use super::{PolicyBucket, PolicyManifest, Template, Values};

/// The rows of a statement in one group; no group if nothing needs the statement.
pub(super) fn rows(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>> {
    let batch = &values.batch;
    let functions: Vec<Arn> = batch.functions.iter().filter_map(|function| function.parse().ok()).collect();
    let place = PolicyBucket {
        region: values.region.clone(),
        kms_key: batch.kms_key.clone(),
        ..PolicyBucket::default()
    };
    let of_job = Values {
        places: vec![place.clone()],
        principals: values.principals.iter().chain(&functions).cloned().collect(),
        account: values.account.clone(),
        region: values.region.clone(),
        ..Values::default()
    };
    let mut row = Row::default();
    row.set(ARN_START, format!("arn:{}:", partition(template, &of_job)?));
    if item.mentions(COLLECTOR) {
        return Ok(one_group(values.principals.iter().map(|arn| with(&row, COLLECTOR, arn.as_str()))));
    }
    if item.mentions(ACCOUNT) {
        return trusted(template, row, values);
    }
    if item.mentions(FUNCTION_ARN) {
        if functions.is_empty() {
            return Err(missing(template, "the function", "--function-arn ARN"));
        }
        return Ok(one_group(functions.iter().map(|function| of_function(&row, function))));
    }
    if item.mentions(REPORT[0]) {
        let Some(report) = &batch.report else { return Ok(Vec::new()) };
        row.set(REPORT[0], report.bucket());
        row.set(REPORT[1], with_slash(report));
        return Ok(vec![vec![row]]);
    }
    if item.mentions(KMS_KEY) {
        if batch.kms_key.is_none() {
            return Ok(Vec::new());
        }
        set_key(&mut row, template, &place, &of_job)?;
    }
    let give = "--manifest s3://BUCKET/KEY, or s3://BUCKET/FOLDER/";
    let (bucket, placeholder, key) = match &batch.manifest {
        None => return Err(missing(template, "the manifest", give)),
        Some(PolicyManifest::Object { bucket, key }) => (bucket, MANIFEST[1], key),
        Some(PolicyManifest::Folder { bucket, prefix }) => (bucket, MANIFEST[2], prefix),
    };
    row.set(MANIFEST[0], bucket);
    row.set(placeholder, key);
    Ok(vec![vec![row]])
}

/// The statement that trusts the service, for the jobs of one account in one region. A role of `batch run`
/// alone is not for the service: then the process's own identity is given, and no account.
fn trusted(template: Template, mut row: Row, values: &Values) -> Result<Vec<Vec<Row>>> {
    match (&values.account, &values.region) {
        (None, None) if !values.principals.is_empty() => Ok(Vec::new()),
        (None, _) => Err(missing(template, "the account of the jobs", "--account, twelve digits")),
        (_, None) => Err(missing(template, "the region of the jobs", "--region REGION")),
        (Some(account), Some(region)) => {
            row.set(ACCOUNT, account);
            row.set(REGION, region);
            Ok(vec![vec![row]])
        }
    }
}

/// The values of one function. A version or an alias is invoked as itself alone.
fn of_function(row: &Row, function: &Arn) -> Row {
    let mut row = with(row, FUNCTION_ARN, function.as_str());
    let ArnParts { resource, .. } = function.parts();
    if resource.split(':').count() == 2 {
        row.set(ANY_VERSION, format!("{function}:*"));
    }
    row
}

fn with(row: &Row, placeholder: &'static str, value: &str) -> Row {
    let mut row = row.clone();
    row.set(placeholder, value);
    row
}

fn one_group(rows: impl Iterator<Item = Row>) -> Vec<Vec<Row>> {
    let rows: Vec<Row> = rows.collect();
    if rows.is_empty() { Vec::new() } else { vec![rows] }
}
