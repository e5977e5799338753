//! The operators of objects and lists.

use std::borrow::Cow;
use std::collections::HashMap;

use super::texts::TooLong;
use super::value::{self, Value, members, object_of};

/// The members of all objects among the values; of equal names the last. `None` without an object.
pub(super) fn merged(values: &[Value<'_>]) -> Option<Value<'static>> {
    let objects = values.iter().filter_map(|value| match value {
        Value::Object(object) => Some(members(object)),
        _ => None,
    });
    let mut any = false;
    let mut all = Members::default();
    for object in objects {
        any = true;
        object.into_iter().for_each(|(name, value)| all.put(name, value));
    }
    any.then(|| all.object())?
}

/// An object whose objects, down to so many levels, became members with joined names, in at most `most`
/// bytes. A negative number of levels is no limit. Empty objects and lists stay. `None` if the value is no
/// object.
pub(super) fn flattened(
    separator: &str,
    levels: i128,
    value: &Value<'_>,
    most: usize,
) -> Option<Result<Value<'static>, TooLong>> {
    let Value::Object(object) = value else { return None };
    let levels = usize::try_from(levels).unwrap_or(usize::MAX);
    let mut flat = Flat { separator, all: Members::default(), left: most };
    if flat.add(levels, None, object).is_err() {
        return Some(Err(TooLong));
    }
    flat.all.object().map(Ok)
}

/// An object that is being flattened. Each level repeats the names above it, so the bytes are counted before
/// they are made.
struct Flat<'s, 'm> {
    separator: &'s str,
    all: Members<'m>,
    /// The bytes that names and values may still have.
    left: usize,
}

impl<'m> Flat<'_, 'm> {
    fn spend(&mut self, bytes: usize) -> Result<(), TooLong> {
        self.left = self.left.checked_sub(bytes).ok_or(TooLong)?;
        Ok(())
    }

    /// The depth of the recursion is bounded by that of a value.
    fn add(&mut self, levels: usize, prefix: Option<&str>, object: &'m str) -> Result<(), TooLong> {
        for (name, value) in members(object) {
            let name = match prefix {
                Some(prefix) => {
                    self.spend(prefix.len() + self.separator.len() + name.len())?;
                    Cow::Owned([prefix, &name].join(self.separator))
                }
                None => name,
            };
            match value {
                Value::Object(Cow::Borrowed(inner)) if levels > 0 && !members(inner).is_empty() => {
                    self.add(levels - 1, Some(&name), inner)?;
                }
                other => self.all.put(name, other),
            }
        }
        Ok(())
    }
}

/// An object without some of its members. `None` if the value is no object.
pub(super) fn without(value: &Value<'_>, names: &[Box<str>]) -> Option<Value<'static>> {
    let Value::Object(object) = value else { return None };
    let mut all = Members::default();
    let kept = members(object).into_iter().filter(|(name, _)| !names.iter().any(|other| **other == **name));
    kept.for_each(|(name, value)| all.put(name, value));
    all.object()
}

/// Members of an object that is being made.
#[derive(Debug, Default)]
struct Members<'m> {
    all: Vec<(Cow<'m, str>, Value<'m>)>,
    places: HashMap<Cow<'m, str>, usize>,
}

impl<'m> Members<'m> {
    /// Adds a member, in place of an earlier one with the same name.
    fn put(&mut self, name: Cow<'m, str>, value: Value<'m>) {
        let place = *self.places.entry(name.clone()).or_insert(self.all.len());
        match self.all.get_mut(place) {
            Some(member) => member.1 = value,
            None => self.all.push((name, value)),
        }
    }

    fn object(&self) -> Option<Value<'static>> {
        let mut out = Vec::new();
        object_of(self.all.iter().map(|(name, value)| (&**name, value)), &mut out);
        String::from_utf8(out).ok().map(|text| Value::Object(text.into()))
    }
}

/// The name of a value's type.
pub(super) fn type_of(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Float(float) if !float.is_finite() => "null",
        Value::Int(_) | Value::Float(_) | Value::Number(_) => "number",
        Value::Text(_) | Value::Quoted(_) => "string",
        Value::Object(_) => "dict",
        Value::List(_) => "list",
    }
}

/// Whether two values are equal: numbers by their value, objects whatever the order of their members. Values
/// of different types are not.
pub(super) fn are_equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    if type_of(one) != type_of(other) {
        return false;
    }
    match (one, other) {
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Int(one), Value::Int(other)) => one == other,
        (Value::List(one), Value::List(other)) => {
            let (one, other) = (value::elements(one), value::elements(other));
            one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| are_equal(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let (one, other) = (members(one), members(other));
            let found: HashMap<_, _> = other.iter().map(|(name, value)| (name, value)).collect();
            one.len() == other.len()
                && one.iter().all(|(name, one)| found.get(name).is_some_and(|other| are_equal(one, other)))
        }
        _ if type_of(one) == "null" => true,
        _ => match one.text() {
            Some(text) => other.text() == Some(text),
            None => one.decimal() == other.decimal(),
        },
    }
}
