//! Which columns become which fields, and where all others go.

use std::collections::{BTreeMap, HashMap};

use super::column::Column;
use super::known_names::{GROUPS, KNOWN, Shape, folded};
use super::observed::Observed;
use crate::convert::field::{DataType, Field};
use crate::convert::node::Node;
use crate::words::outside_text_within;

/// Beginnings of names that say where a column belongs: `properties.total`.
const PREFIXES: [(&str, Field); 5] = [
    ("event_properties.", Field::EventProperties),
    ("properties.", Field::EventProperties),
    ("user_properties.", Field::UserProperties),
    ("traits.", Field::UserProperties),
    ("group_properties.", Field::GroupProperties),
];

/// The columns of a sample by the fields that they become.
#[derive(Clone, Debug)]
pub(super) struct ColumnsByField {
    data_type: DataType,
    /// The names of the columns.
    columns: BTreeMap<usize, String>,
    /// The column that names the group, and what kind of group it is.
    group: Option<(String, String)>,
}

impl ColumnsByField {
    /// The columns that are fields by their names, if their values are what the fields need.
    pub(super) fn of(observed: &Observed, data_type: DataType) -> Self {
        let mut named: HashMap<String, &Column> = HashMap::new();
        for column in observed.columns().iter().filter(|column| !column.is_twice) {
            named.entry(folded(&column.name)).or_insert(column);
        }
        let strategy = data_type.default_strategy();
        let mut columns = BTreeMap::new();
        for (field, shape, names) in KNOWN {
            // Only events have a name and an insert_id; elsewhere such columns are properties.
            let of_events = matches!(field, Field::EventType | Field::InsertId);
            if !field.is_used(data_type, strategy) || (of_events && data_type != DataType::Event) {
                continue;
            }
            let fits = |column: &&&Column| has_shape(column, shape) && has_value(field, column);
            if let Some(column) = names.iter().filter_map(|name| named.get(*name)).find(fits) {
                columns.insert(field as usize, column.name.clone());
            }
        }
        let mut by_field = Self { data_type, columns, group: None };
        if data_type == DataType::GroupProperties && !by_field.has(Field::Groups) {
            let of_group = |(kind, name): (&str, String)| {
                let column = named.get(name.as_str()).filter(|column| column.is_plain())?;
                Some((column.name.clone(), kind.to_owned()))
            };
            let names =
                GROUPS.iter().flat_map(|kind| [(*kind, format!("{kind}id")), (*kind, (*kind).to_owned())]);
            by_field.group = names.filter_map(of_group).next();
        }
        by_field
    }

    /// Whether a column becomes this field.
    pub(super) fn has(&self, field: Field) -> bool {
        self.columns.contains_key(&(field as usize))
    }

    /// The column that becomes this field.
    pub(super) fn column(&self, field: Field) -> Option<&str> {
        self.columns.get(&(field as usize)).map(String::as_str)
    }

    /// Sets the column that becomes a field.
    pub(super) fn set(&mut self, field: Field, column: &str) {
        self.columns.insert(field as usize, column.to_owned());
    }

    /// Whether the column becomes any field.
    pub(super) fn is_taken(&self, column: &str) -> bool {
        self.columns.values().any(|taken| taken == column)
            || self.group.as_ref().is_some_and(|(taken, _)| taken == column)
    }

    /// The fields with their sources, in the order of [`Field`], every other column among the properties.
    pub(super) fn fields(&self, observed: &Observed, notes: &mut Vec<String>) -> Vec<(String, Node)> {
        let rest = match self.data_type {
            DataType::Event => Field::EventProperties,
            DataType::UserProperties | DataType::Profiles => Field::UserProperties,
            DataType::GroupProperties => Field::GroupProperties,
        };
        let mut properties: BTreeMap<usize, Vec<(String, Node)>> = BTreeMap::new();
        for column in observed.columns().iter().filter(|column| self.is_property(column)) {
            let (field, name) = place_of(&column.name, rest, self.data_type);
            let members = properties.entry(field as usize).or_default();
            if members.iter().any(|(other, _)| other == name) {
                let shown = outside_text_within(&column.name, 64);
                notes.push(format!("the column {shown} is left out: another one has its place"));
            } else {
                members.push((name.to_owned(), Node::text(&column.name)));
            }
        }
        for column in observed.columns().iter().filter(|column| column.is_twice) {
            let shown = outside_text_within(&column.name, 64);
            notes.push(format!("two columns are named \"{shown}\": both are left out"));
        }
        if observed.column("").is_some_and(|column| !column.is_twice) {
            notes.push("the column without a name is left out".to_owned());
        }
        let mut fields = Vec::new();
        for field in Field::ALL {
            let column = self.column(field).and_then(|name| observed.column(name));
            let source = column.map(|column| source_of(field, column));
            let members = properties.remove(&(field as usize)).map(Node::Object);
            let source = match (source, members) {
                (Some(source), Some(members)) => {
                    Some(Node::List(vec![Node::text("merge_dicts"), source, members]))
                }
                (source, members) => source.or(members),
            };
            let groups = self.group.as_ref().filter(|_| field == Field::Groups);
            let groups = groups.map(|(column, kind)| Node::Object(vec![(kind.clone(), Node::text(column))]));
            fields.extend(source.or(groups).map(|source| (field.name().to_owned(), source)));
        }
        if !self.has(Field::Time) {
            notes.push(
                "no column is the time of the rows: each call gets the time at which it is imported"
                    .to_owned(),
            );
        }
        fields
    }

    /// Whether a column is a property. The id of a row stays one, too, if it has a meaning of its own.
    fn is_property(&self, column: &Column) -> bool {
        let is_id_alone = self.column(Field::InsertId) == Some(&column.name)
            && !KNOWN.iter().any(|(field, _, names)| {
                *field == Field::InsertId && names.contains(&folded(&column.name).as_str())
            });
        !column.is_twice && !column.name.is_empty() && (is_id_alone || !self.is_taken(&column.name))
    }
}

/// The field whose member a column becomes, and under which name.
fn place_of(column: &str, rest: Field, data_type: DataType) -> (Field, &str) {
    for (prefix, field) in PREFIXES {
        let is_used = match data_type {
            DataType::Event => field != Field::GroupProperties,
            _ => field == rest,
        };
        if let Some(name) = column.strip_prefix(prefix).filter(|name| is_used && !name.is_empty()) {
            return (field, name);
        }
    }
    (rest, column)
}

fn has_shape(column: &Column, shape: Shape) -> bool {
    match shape {
        Shape::Plain => column.is_plain(),
        Shape::Number => column.is_plain() && column.is_number(),
        Shape::Time => column.is_plain() && column.time_form().is_some(),
        Shape::Object => column.is_object() || column.is_object_text(),
    }
}

/// An `insert_id` whose values are not all different is none: rows would be dropped.
fn has_value(field: Field, column: &Column) -> bool {
    field != Field::InsertId || column.differing() == column.filled
}

fn source_of(field: Field, column: &Column) -> Node {
    match column.time_form() {
        Some(form) if field == Field::Time => form.source(&column.name, column.nulls > 0),
        _ if column.is_object_text() => {
            Node::List(vec![Node::text("parse_json_element"), Node::text(&column.name)])
        }
        _ => Node::text(&column.name),
    }
}
