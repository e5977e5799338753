//! The values of the role with which the functions of a destination are invoked.

use crate::arn::Arn;

use super::cloudformation::{list_of_ids, with_defaults};
use super::placeholders::{COLLECTOR, EXTERNAL_ID, FUNCTION_ARN, OTHER_EXTERNAL_ID, Row};
use super::places::{each_once, only};
use super::problem::{missing, no_collector};
use super::tree::Tree;
use super::{PolicyDestination, PolicyError, Template, Values};

/// The rows of a statement: one for each function, principal and external id. No text of these templates has
/// two placeholders, so each value stands alone.
pub(super) fn rows(template: Template, item: &Tree, values: &Values) -> Result<Vec<Row>, PolicyError> {
    let destinations = of_one_role(template, values)?;
    let mut rows = Vec::new();
    let mut add = |placeholder, value: &str| {
        let mut row = Row::default();
        row.set(placeholder, value);
        rows.push(row);
    };
    if item.mentions(FUNCTION_ARN) {
        let functions = functions(&destinations);
        if functions.is_empty() {
            let give = "--function-arn ARN, or --config FILE with a [[destination]] of type \"lambda\"";
            return Err(missing(template, "a function", give));
        }
        functions.into_iter().for_each(|function| add(FUNCTION_ARN, function));
    }
    if item.mentions(COLLECTOR) {
        if values.principals.is_empty() {
            return Err(no_collector(template));
        }
        values.principals.iter().for_each(|arn| add(COLLECTOR, arn.as_str()));
    }
    if item.mentions(EXTERNAL_ID) {
        let ids = external_ids(&destinations);
        if ids.is_empty() {
            let give = "--external-id ID, or --config FILE with a [[destination]] of type \"lambda\"";
            return Err(missing(template, "the external id", give));
        }
        if template == Template::LambdaDestinationTrust {
            let flag = "--external-id ID, or print lambda-destination-trust-many";
            only(template, "external id", flag, &ids)?;
        }
        for (index, id) in ids.into_iter().enumerate() {
            add(if index == 0 { EXTERNAL_ID } else { OTHER_EXTERNAL_ID }, id);
        }
    }
    Ok(rows)
}

/// The stack with a default for each parameter that has a value.
pub(super) fn stack(values: &Values) -> Result<String, PolicyError> {
    let template = Template::LambdaDestinationCloudformation;
    let destinations = of_one_role(template, values)?;
    let mut defaults = Vec::new();
    if let Some(principal) = only(template, "principal", "--principal ARN", &values.principals)? {
        defaults.push(("CollectorArn", principal.to_string()));
    }
    let ids = external_ids(&destinations);
    if !ids.is_empty() {
        defaults.push(("ExternalId", list_of_ids(template, &ids)?));
    }
    let functions = functions(&destinations);
    if !functions.is_empty() {
        defaults.push(("LambdaARN", functions.join(",")));
    }
    Ok(with_defaults(template.text().trim_end(), &defaults))
}

/// The destinations of the one role that the policy belongs to. A trust policy and the stack leave out
/// destinations without a role if others have one.
fn of_one_role(template: Template, values: &Values) -> Result<Vec<&PolicyDestination>, PolicyError> {
    let mut all: Vec<&PolicyDestination> = values.destinations.iter().collect();
    if template != Template::LambdaDestinationInvoke && all.iter().any(|one| one.role.is_some()) {
        all.retain(|one| one.role.is_some());
    }
    let roles = all.iter().map(|one| one.role.as_ref().map_or("none", Arn::as_str));
    only(template, "role", "--destination NAME", roles)?;
    Ok(all)
}

fn functions<'a>(destinations: &[&'a PolicyDestination]) -> Vec<&'a str> {
    each_once(destinations.iter().flat_map(|one| &one.functions).map(String::as_str))
}

fn external_ids<'a>(destinations: &[&'a PolicyDestination]) -> Vec<&'a str> {
    each_once(destinations.iter().flat_map(|one| &one.external_ids).map(String::as_str))
}
