//! Fills a template with values.

use super::placeholders::Row;
use super::places::each_once;
use super::problem::{PolicyError, no_statement, nothing, nothing_for, unusable};
use super::rows;
use super::tree::Tree;
use super::{Template, Values, cloudformation, lambda_destination};

/// The lists whose items are filled one by one: statements of a policy, rules of a lifecycle configuration.
const LISTS: [&str; 2] = ["Statement", "Rules"];
/// The members that name such an item.
const NAMES: [&str; 2] = ["Sid", "ID"];

/// A whole policy, filled in: JSON in the form that AWS accepts (YAML for a stack of CloudFormation),
/// without a newline at the end.
///
/// Statements that no value needs are left out: object tags, ACLs, KMS keys, roles, the places of a function.
/// Errors: [`PolicyError`] names the missing value, and the flag or setting that gives it.
pub fn document(template: Template, values: &Values) -> Result<String, PolicyError> {
    match template {
        Template::Cloudformation => return cloudformation::document(values),
        Template::LambdaDestinationCloudformation => return lambda_destination::stack(values),
        _ => {}
    }
    let Tree::Object(members) = parse(template)? else {
        return Err(unreadable(template, "it is not a JSON object"));
    };
    let mut filled = Vec::new();
    for (name, value) in members {
        let value = match value {
            Tree::List(items) if LISTS.contains(&name.as_str()) => {
                let mut all = Vec::new();
                for item in &items {
                    all.extend(statements(template, item, values)?);
                }
                if all.is_empty() {
                    return Err(nothing(template));
                }
                Tree::List(all)
            }
            other => other,
        };
        filled.push((name, value));
    }
    let text = serde_json::to_string_pretty(&Tree::Object(filled));
    text.map_err(|error| unreadable(template, &error.to_string()))
}

/// One statement of a policy, filled in, ready to be pasted into the `Statement` list of an existing policy.
/// Errors: [`PolicyError`] as for [`document`], or if the template has no statement with this Sid.
pub fn statement(template: Template, sid: &str, values: &Values) -> Result<String, PolicyError> {
    let tree = if template.is_stack() { Tree::List(Vec::new()) } else { parse(template)? };
    let Some(Tree::List(items)) = LISTS.iter().find_map(|name| tree.member(name)) else {
        return Err(no_statement(template, sid));
    };
    let item = items.iter().find(|item| name_of(item) == sid);
    let item = item.ok_or_else(|| no_statement(template, sid))?;
    let filled = statements(template, item, values)?;
    if filled.is_empty() {
        return Err(nothing_for(template, item));
    }
    let texts: Result<Vec<String>, _> = filled.iter().map(serde_json::to_string_pretty).collect();
    Ok(texts.map_err(|error| unreadable(template, &error.to_string()))?.join(",\n"))
}

fn parse(template: Template) -> Result<Tree, PolicyError> {
    serde_json::from_str(template.text()).map_err(|error| unreadable(template, &error.to_string()))
}

fn unreadable(template: Template, what: &str) -> PolicyError {
    unusable(template, &format!("the built-in template cannot be read: {what}"))
}

fn name_of(item: &Tree) -> &str {
    NAMES.iter().find_map(|name| item.member(name)).and_then(Tree::text).unwrap_or_default()
}

/// The statements that one statement of the template becomes. None if no value needs it; several if a single
/// one would grant more than needed, such as one role's rights below another role's prefix. The first keeps
/// the name, the others get a number appended.
fn statements(template: Template, item: &Tree, values: &Values) -> Result<Vec<Tree>, PolicyError> {
    let groups = rows::of(template, item, values)?;
    let filled = groups.iter().enumerate().map(|(index, rows)| {
        let mut filled = fill(template, item, rows);
        if let (Tree::Object(members), 1..) = (&mut filled, index) {
            for (_, name) in members.iter_mut().filter(|(member, _)| NAMES.contains(&member.as_str())) {
                if let Tree::Text(name) = name {
                    name.push_str(&(index + 1).to_string());
                }
            }
        }
        filled
    });
    Ok(filled.collect())
}

fn fill(template: Template, tree: &Tree, rows: &[Row]) -> Tree {
    match tree {
        Tree::Object(members) => Tree::Object(
            members.iter().map(|(name, value)| (name.clone(), fill(template, value, rows))).collect(),
        ),
        Tree::List(items) => Tree::List(
            items
                .iter()
                .flat_map(|item| match item {
                    Tree::Text(text) => texts(template, text, rows),
                    other => vec![fill(template, other, rows)],
                })
                .collect(),
        ),
        Tree::Text(text) => {
            let only: Result<[Tree; 1], _> = texts(template, text, rows).try_into();
            only.map_or_else(Tree::List, |[only]| only)
        }
        Tree::Number(number) => Tree::Number(*number),
    }
}

/// The text filled in for each row, without duplicates, in the order of the rows.
fn texts(template: Template, text: &str, rows: &[Row]) -> Vec<Tree> {
    each_once(rows.iter().filter_map(|row| row.fill(template, text)).map(Tree::Text))
}
