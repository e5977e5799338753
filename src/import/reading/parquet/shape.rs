//! How the values of a column's leaves become one JSON value.

use std::ops::Range;

use ::parquet::basic::{ConvertedType, LogicalType, Repetition};
use ::parquet::schema::types::Type;

use super::kind::Kind;
use crate::convert::VALUE_DEPTH_MAX;
use crate::json::quoted;

/// A part of a column. Its leaves have these numbers in the column.
#[derive(Debug)]
pub(super) struct Node {
    /// The definition level from which on the part is there; below, it is null.
    pub(super) present: i16,
    pub(super) leaves: Range<usize>,
    pub(super) form: Form,
}

/// What a part is made of.
#[derive(Debug)]
pub(super) enum Form {
    Leaf,
    /// Members, each with its name as JSON writes it, and a colon.
    Struct(Vec<(Box<[u8]>, Node)>),
    List(Repeated, Box<Node>),
    /// Keys, and values if the map has them.
    Map(Repeated, Box<Node>, Option<Box<Node>>),
}

/// The levels of elements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Repeated {
    /// The definition level from which on there is an element; below, the list is empty.
    pub(super) some: i16,
    /// The repetition level of each element but the first.
    pub(super) again: i16,
}

/// The levels at a place in the schema.
#[derive(Clone, Copy)]
struct Levels {
    definition: i16,
    repetition: i16,
    /// How many JSON values this one is within.
    depth: usize,
}

/// The shape of a column, and what its leaves mean. Errors: what it has that cannot be read.
pub(super) fn shape_of(column: &Type) -> Result<(Node, Vec<Kind>), String> {
    let mut leaves = Vec::new();
    let levels = Levels { definition: 0, repetition: 0, depth: 0 };
    let node = field(column, levels, &mut leaves)?;
    Ok((node, leaves))
}

fn repetition_of(part: &Type) -> Repetition {
    let about = part.get_basic_info();
    if about.has_repetition() { about.repetition() } else { Repetition::REQUIRED }
}

/// A field with its own repetition.
fn field(part: &Type, levels: Levels, leaves: &mut Vec<Kind>) -> Result<Node, String> {
    match repetition_of(part) {
        Repetition::REQUIRED => value(part, levels, leaves),
        Repetition::OPTIONAL => value(part, Levels { definition: levels.definition + 1, ..levels }, leaves),
        // A repeated field outside of a list or map is a list that is never null.
        Repetition::REPEATED => {
            let (repeated, within) = elements(levels);
            let element = value(part, within, leaves)?;
            Ok(list(levels, repeated, element))
        }
    }
}

/// The levels of elements of a list at these levels, and those within.
fn elements(levels: Levels) -> (Repeated, Levels) {
    let (some, again) = (levels.definition + 1, levels.repetition + 1);
    (Repeated { some, again }, Levels { definition: some, repetition: again, depth: levels.depth + 1 })
}

fn list(levels: Levels, repeated: Repeated, element: Node) -> Node {
    let leaves = element.leaves.clone();
    Node { present: levels.definition, leaves, form: Form::List(repeated, Box::new(element)) }
}

/// A field whose repetition is in the levels.
fn value(part: &Type, levels: Levels, leaves: &mut Vec<Kind>) -> Result<Node, String> {
    let first = leaves.len();
    let present = levels.definition;
    if part.is_primitive() {
        leaves.push(Kind::of(part)?);
        return Ok(Node { present, leaves: first..leaves.len(), form: Form::Leaf });
    }
    if levels.depth >= VALUE_DEPTH_MAX {
        return Err(format!("values nested deeper than {VALUE_DEPTH_MAX} levels"));
    }
    if part.get_fields().is_empty() {
        return Err("a struct without fields".to_owned());
    }
    let about = part.get_basic_info();
    match (about.logical_type_ref(), about.converted_type()) {
        (Some(LogicalType::List), _) | (None, ConvertedType::LIST) => list_of(part, levels, leaves),
        (Some(LogicalType::Map), _) | (None, ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE) => {
            map_of(part, levels, leaves)
        }
        (Some(LogicalType::Variant(_)), _) => Err("VARIANT".to_owned()),
        (None, ConvertedType::NONE) => {
            let within = Levels { depth: levels.depth + 1, ..levels };
            let mut members = Vec::new();
            for member in part.get_fields() {
                let mut name = Vec::new();
                quoted::write(member.name().as_bytes(), false, &mut name);
                name.push(b':');
                members.push((name.into_boxed_slice(), field(member, within, leaves)?));
            }
            Ok(Node { present, leaves: first..leaves.len(), form: Form::Struct(members) })
        }
        (Some(_), _) | (None, _) => Err("a struct that stands for something else".to_owned()),
    }
}

/// The only child of a list or map.
fn only_child(part: &Type) -> Result<&Type, String> {
    match part.get_fields() {
        [child] if repetition_of(child) == Repetition::REPEATED => Ok(child),
        _ => Err("a list or map without one repeated field".to_owned()),
    }
}

/// A list in its form of three levels, or in one of those of two levels that older writers have.
fn list_of(part: &Type, levels: Levels, leaves: &mut Vec<Kind>) -> Result<Node, String> {
    let repeated_field = only_child(part)?;
    let (repeated, within) = elements(levels);
    let inner = match repeated_field {
        Type::PrimitiveType { .. } => None,
        Type::GroupType { fields, .. } => match fields.as_slice() {
            [inner] if repetition_of(inner) != Repetition::REPEATED => Some(inner),
            _ => None,
        },
    };
    let name = repeated_field.name();
    let is_element = name == "array" || name.strip_suffix("_tuple") == Some(part.name());
    let element = match inner {
        Some(inner) if !is_element => field(inner, within, leaves)?,
        _ => value(repeated_field, within, leaves)?,
    };
    Ok(list(levels, repeated, element))
}

fn map_of(part: &Type, levels: Levels, leaves: &mut Vec<Kind>) -> Result<Node, String> {
    let first = leaves.len();
    let pairs = only_child(part)?;
    let (key, value_type) = match pairs {
        Type::GroupType { fields, .. } => match fields.as_slice() {
            [key] => (key, None),
            [key, value_type] => (key, Some(value_type)),
            _ => return Err("a map without keys and values".to_owned()),
        },
        Type::PrimitiveType { .. } => return Err("a map without keys and values".to_owned()),
    };
    if !key.is_primitive() || repetition_of(key) == Repetition::REPEATED {
        return Err("a map whose keys are lists or structs".to_owned());
    }
    let (repeated, within) = elements(levels);
    let key = Box::new(field(key, within, leaves)?);
    let of_key = match value_type {
        Some(value_type) => Some(Box::new(field(value_type, within, leaves)?)),
        None => None,
    };
    let form = Form::Map(repeated, key, of_key);
    Ok(Node { present: levels.definition, leaves: first..leaves.len(), form })
}
