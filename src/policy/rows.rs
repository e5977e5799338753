//! The values of the placeholders of one statement: one row for each place, principal and external id that it
//! applies to.

use std::collections::BTreeMap;

use super::csv_lambda::{self, with_slash};
use super::location::{account, key_arn, partition, region, set_key};
use super::placeholders::{
    ACCOUNT, ARN_START, BUCKET, COLLECTOR, EXTERNAL_ID, KMS_KEY, OTHER_EXTERNAL_ID, PREFIX, READER, REGION,
    REGION_HOST, REJECTS, ROLE, Row,
};
use super::places::{asked_for, collectors, places};
use super::problem::no_bucket;
use super::tree::Tree;
use super::{PolicyError, Template, Values};
use super::{imports, lambda_destination};

use crate::arn::Arn;

/// The rows of a statement, in groups. Each group becomes a statement.
pub(super) fn of(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>, PolicyError> {
    if template.is_of_destination() {
        return Ok(vec![lambda_destination::rows(template, item, values)?]);
    }
    if template.is_of_import() {
        return imports::rows(template, item, values);
    }
    if template == Template::Collector && item.mentions(REJECTS[0]) {
        return rejects(template, item, values);
    }
    if values.places.is_empty() {
        return Err(no_bucket(template));
    }
    let partition = partition(template, values)?;
    let places = asked_for(template, item, places(template, item, values)?, values);
    let mut rows = Vec::new();
    for (index, place) in places.iter().enumerate() {
        let mut row = Row::default();
        row.set(ARN_START, format!("arn:{partition}:"));
        if let Some(bucket) = &place.bucket {
            row.set(BUCKET, bucket.bucket());
            row.set(PREFIX, with_slash(bucket));
        } else if item.mentions(BUCKET) || item.mentions(PREFIX) {
            return Err(no_bucket(template));
        }
        if let Some(role) = &place.role {
            row.set(ROLE, role.as_str());
        }
        if item.mentions(KMS_KEY) {
            row.set(KMS_KEY, key_arn(template, place, values)?.as_str());
        }
        if item.mentions(REGION) {
            let region = region(template, place, values)?;
            let end = if partition == "aws-cn" { ".cn" } else { "" };
            row.set(REGION_HOST, format!("{region}.amazonaws.com{end}"));
            row.set(REGION, region);
        }
        if template.is_of_function() {
            csv_lambda::set(&mut row, template, item, values)?;
        } else if item.mentions(ACCOUNT) {
            row.set(ACCOUNT, account(template, place, values)?);
        }
        if let Some(id) = &place.external_id {
            let first = places.iter().find_map(|place| place.external_id.as_ref());
            row.set(if first == Some(id) { EXTERNAL_ID } else { OTHER_EXTERNAL_ID }, id.as_str());
        }
        if !item.mentions(COLLECTOR) {
            rows.push((index, None, row));
            continue;
        }
        for arn in collectors(template, place, values)? {
            let mut row = row.clone();
            row.set(COLLECTOR, arn.as_str());
            rows.push((index, Some(arn), row));
        }
    }
    if template == Template::Collector && item.mentions(ROLE) {
        let of_destinations = values.destinations.iter().filter_map(|destination| destination.role.as_ref());
        let of_imports = values.imports.iter().filter_map(|import| import.role.as_ref());
        for role in of_destinations.chain(of_imports) {
            let mut row = Row::default();
            row.set(ROLE, role.as_str());
            rows.push((places.len(), None, row));
        }
    }
    if item.mentions(READER) {
        rows = with_readers(rows, &values.readers);
    }
    Ok(group(template, item, rows))
}

/// The places of rejected rows of imports, in one group if there are some.
fn rejects(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>, PolicyError> {
    let mut places = BTreeMap::new();
    for place in values.imports.iter().filter_map(|import| import.rejects.as_ref()) {
        if let Some(bucket) = &place.bucket {
            places.insert((bucket.bucket(), with_slash(bucket)), place);
        }
    }
    let (partition, keyed) = (partition(template, values)?, item.mentions(KMS_KEY));
    let mut rows = Vec::new();
    // All of them have the key of `[s3]`, so one statement is enough.
    for ((bucket, prefix), place) in places.into_iter().filter(|(_, place)| !keyed || place.kms_key.is_some())
    {
        let mut row = Row::default();
        row.set(ARN_START, format!("arn:{partition}:"));
        row.set(REJECTS[0], bucket);
        row.set(REJECTS[1], prefix);
        if keyed {
            set_key(&mut row, template, place, values)?;
        }
        rows.push(row);
    }
    Ok(if rows.is_empty() { Vec::new() } else { vec![rows] })
}

type PlacedRow<'a> = (usize, Option<&'a Arn>, Row);

fn with_readers<'a>(rows: Vec<PlacedRow<'a>>, readers: &[Arn]) -> Vec<PlacedRow<'a>> {
    let mut all = Vec::new();
    for (index, whom, row) in rows {
        for reader in readers {
            let mut row = row.clone();
            row.set(READER, reader.as_str());
            all.push((index, whom, row));
        }
    }
    all
}

/// Puts the rights of different principals or keys into separate statements, so that none is granted the
/// rights of another.
fn group(template: Template, item: &Tree, rows: Vec<PlacedRow<'_>>) -> Vec<Vec<Row>> {
    let mut groups: Vec<(String, Vec<usize>, Vec<Row>)> = Vec::new();
    let denies = item.member("Effect").and_then(Tree::text) == Some("Deny");
    // A statement that denies other keys must exempt every key used below the same prefix.
    let keys_beside: Vec<String> = rows
        .iter()
        .map(|(_, _, row)| {
            let prefix = row.fill(template, PREFIX);
            let beside = rows.iter().filter(|(_, _, other)| other.fill(template, PREFIX) == prefix);
            beside.filter_map(|(_, _, other)| other.fill(template, KMS_KEY)).collect::<Vec<_>>().join(" ")
        })
        .collect();
    for ((index, whom, row), keys_beside) in rows.into_iter().zip(keys_beside) {
        let apart = match whom {
            // A statement that names no place grants the same for all places.
            _ if !item.mentions(BUCKET) && !item.mentions(PREFIX) => String::new(),
            Some(arn) => arn.to_string(),
            None if item.mentions(KMS_KEY) && denies => keys_beside,
            None if item.mentions(KMS_KEY) => row.fill(template, KMS_KEY).unwrap_or_default(),
            None if template == Template::Lifecycle => row.fill(template, PREFIX).unwrap_or_default(),
            None => String::new(),
        };
        match groups.iter_mut().find(|(known, ..)| *known == apart) {
            Some((_, places, rows)) => {
                places.push(index);
                rows.push(row);
            }
            None => groups.push((apart, vec![index], vec![row])),
        }
    }
    let mut merged: Vec<(Vec<usize>, Vec<Row>)> = Vec::new();
    for (_, places, rows) in groups {
        match merged.iter_mut().find(|(known, _)| *known == places) {
            Some((_, all)) => all.extend(rows),
            None => merged.push((places, rows)),
        }
    }
    merged.into_iter().map(|(_, rows)| rows).collect()
}
