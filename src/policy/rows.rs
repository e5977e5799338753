//! The values of the placeholders of one statement: one row for each place, principal and external id that it
//! applies to.

use super::csv_lambda::{self, with_slash};
use super::lambda_destination::{self, FUNCTION_ARN};
use super::location::{account, key_arn, partition, region};
use super::places::{asked_for, collectors, places};
use super::problem::no_bucket;
use super::tree::Tree;
use super::{PolicyError, Template, Values};

use crate::arn::Arn;

/// Values for the placeholders of one text.
#[derive(Clone, Debug, Default)]
pub(super) struct Row(Vec<(&'static str, String)>);

impl Row {
    pub(super) fn set(&mut self, placeholder: &'static str, value: impl Into<String>) {
        self.0.push((placeholder, value.into()));
    }

    /// The text with every placeholder replaced, in one pass: values that contain a placeholder's word stay
    /// as they are. `None` if this row has no value for one of them.
    pub(super) fn fill(&self, template: Template, text: &str) -> Option<String> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if let Some((placeholder, behind)) = begins_with_placeholder(rest) {
                let (_, value) = self.0.iter().find(|(known, _)| *known == placeholder)?;
                let prefix = placeholder == PREFIX || csv_lambda::PREFIXES.contains(&placeholder);
                let literal = prefix && template != Template::Lifecycle;
                filled.push_str(&if literal { as_literal(value) } else { value.clone() });
                rest = behind;
            } else {
                filled.push(first);
                rest = rest.strip_prefix(first).unwrap_or_default();
            }
        }
        Some(filled)
    }
}

pub(super) const COLLECTOR: &str = "COLLECTOR_ARN";
pub(super) const READER: &str = "READER_ARN";
pub(super) const ROLE: &str = "ROLE_ARN";
const BUCKET: &str = "BUCKET";
const PREFIX: &str = "PREFIX/";
pub(super) const KMS_KEY: &str = "KMS_KEY_ARN";
const REGION: &str = "REGION";
const ACCOUNT: &str = "ACCOUNT_ID";
pub(super) const EXTERNAL_ID: &str = "EXTERNAL_ID";
pub(super) const OTHER_EXTERNAL_ID: &str = "ANOTHER_EXTERNAL_ID";
/// These are not placeholders that people fill in. They are replaced because they differ between AWS
/// partitions. A service that is a principal has the same name in all of them.
const ARN_START: &str = "arn:aws:";
const REGION_HOST: &str = "REGION.amazonaws.com";

/// A word that begins another comes after it.
const PLACEHOLDERS: [&str; 13] = [
    COLLECTOR,
    READER,
    ROLE,
    BUCKET,
    PREFIX,
    KMS_KEY,
    REGION_HOST,
    REGION,
    ACCOUNT,
    OTHER_EXTERNAL_ID,
    EXTERNAL_ID,
    FUNCTION_ARN,
    ARN_START,
];

fn begins_with_placeholder(text: &str) -> Option<(&'static str, &str)> {
    let mut all = PLACEHOLDERS.iter().chain(&csv_lambda::PLACEHOLDERS);
    all.find_map(|known| text.strip_prefix(known).map(|behind| (*known, behind)))
}

/// In a policy, `*`, `?` and `$` are literal only in this form ("IAM policy elements: Variables and tags").
fn as_literal(prefix: &str) -> String {
    let mut literal = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '$') {
            literal.extend(["${", c.encode_utf8(&mut [0; 4]), "}"]);
        } else {
            literal.push(c);
        }
    }
    literal
}

/// The rows of a statement, in groups. Each group becomes a statement.
pub(super) fn of(template: Template, item: &Tree, values: &Values) -> Result<Vec<Vec<Row>>, PolicyError> {
    if template.is_of_destination() {
        return Ok(vec![lambda_destination::rows(template, item, values)?]);
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
        let whom = if item.mentions(COLLECTOR) { collectors(template, place, values)? } else { Vec::new() };
        if whom.is_empty() {
            rows.push((index, None, row.clone()));
        }
        for arn in whom {
            let mut row = row.clone();
            row.set(COLLECTOR, arn.as_str());
            rows.push((index, Some(arn), row));
        }
    }
    if template == Template::Collector && item.mentions(ROLE) {
        for role in values.destinations.iter().filter_map(|destination| destination.role.as_ref()) {
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

type PlacedRow<'a> = (usize, Option<&'a Arn>, Row);

fn with_readers<'a>(rows: Vec<PlacedRow<'a>>, readers: &[Arn]) -> Vec<PlacedRow<'a>> {
    let each = |(index, whom, row): PlacedRow<'a>| {
        readers
            .iter()
            .map(move |reader| {
                let mut row = row.clone();
                row.set(READER, reader.as_str());
                (index, whom, row)
            })
            .collect::<Vec<_>>()
    };
    rows.into_iter().flat_map(each).collect()
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
            let beside = rows
                .iter()
                .filter(|(_, _, other)| other.fill(template, PREFIX) == row.fill(template, PREFIX));
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
