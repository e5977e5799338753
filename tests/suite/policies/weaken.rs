//! Makes every weakened variant of a policy, with one change each.

use serde_json::{Value, json};

/// A policy with one change.
#[derive(Debug)]
pub(super) struct Weakened {
    /// The change: the Sid and the changed part.
    pub(super) what: String,
    /// Whether a whole statement is left out.
    pub(super) whole: bool,
    pub(super) policy: Value,
}

/// Leaves out each statement, drops each condition and each of several values, and widens action, resource
/// and principal as far as possible.
pub(super) fn all(policy: &Value) -> Vec<Weakened> {
    let count = policy["Statement"].as_array().unwrap().len();
    (0..count).flat_map(|index| of_statement(policy, index)).collect()
}

fn of_statement(policy: &Value, index: usize) -> Vec<Weakened> {
    let statement = &policy["Statement"][index];
    let sid = statement["Sid"].as_str().unwrap();
    let mut without = policy.clone();
    without["Statement"].as_array_mut().unwrap().remove(index);
    let mut all = vec![Weakened { what: sid.to_owned(), whole: true, policy: without }];
    let mut with = |what: String, changed: Value| {
        if changed != *statement {
            let mut policy = policy.clone();
            policy["Statement"][index] = changed;
            all.push(Weakened { what: format!("{sid} {what}"), whole: false, policy });
        }
    };
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        for key in keys.as_object().unwrap().keys() {
            with(format!("{operator} {key}"), without_condition(statement, operator, key));
        }
    }
    let mut lists = vec!["/Action".to_owned(), "/Resource".to_owned()];
    for (operator, keys) in statement["Condition"].as_object().into_iter().flatten() {
        lists.extend(keys.as_object().unwrap().keys().map(|key| format!("/Condition/{operator}/{key}")));
    }
    for list in lists {
        let values = statement.pointer(&list).and_then(Value::as_array).map_or(0, Vec::len);
        for value in (0..values).filter(|_| values > 1) {
            let mut changed = statement.clone();
            let dropped = changed.pointer_mut(&list).unwrap().as_array_mut().unwrap().remove(value);
            with(format!("{list} {dropped}"), changed);
        }
    }
    let action = statement["Action"].as_str().or_else(|| statement["Action"][0].as_str()).unwrap();
    let widest = format!("{}:*", action.split(':').next().unwrap());
    with(format!("action {widest}"), replaced(statement, "Action", &json!(widest)));
    if statement.get("Resource").is_some() {
        with("resource *".to_owned(), replaced(statement, "Resource", &json!("*")));
    }
    if statement.get("Principal").is_some() {
        with("principal *".to_owned(), replaced(statement, "Principal", &json!("*")));
    }
    all
}

fn replaced(statement: &Value, member: &str, value: &Value) -> Value {
    let mut changed = statement.clone();
    changed[member] = value.clone();
    changed
}

fn without_condition(statement: &Value, operator: &str, key: &str) -> Value {
    let mut changed = statement.clone();
    let conditions = changed["Condition"].as_object_mut().unwrap();
    let keys = conditions[operator].as_object_mut().unwrap();
    keys.remove(key);
    if keys.is_empty() {
        conditions.remove(operator);
    }
    if conditions.is_empty() {
        changed.as_object_mut().unwrap().remove("Condition");
    }
    changed
}
