//! The shape of a call: which column stands where, as literal pieces of JSON.

use std::collections::HashMap;

use super::header_error::{conflict, no_array};
use super::path;
use super::value::Kind;
use crate::import::file_error::FileError;
use crate::json::quoted;
use crate::words::grouped;

/// Paths with an object in every call. Text there would replace all that belongs in the object.
pub(super) const OBJECT_PLACES: [&[&str]; 5] =
    [&["properties"], &["traits"], &["context"], &["context", "traits"], &["integrations"]];

/// A value of the call.
#[derive(Debug)]
pub(super) enum Node {
    /// The cell of a column.
    Leaf(Leaf),
    /// An object.
    Object(Vec<Member>),
    /// An array.
    Array(Vec<Node>),
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member {
    /// `,"name":`
    pub fragment: Vec<u8>,
    /// The member's value.
    pub node: Node,
}

/// The cell of a column.
#[derive(Debug)]
pub(super) struct Leaf {
    /// The column's index in each record, from 0.
    pub index: usize,
    /// The column's name.
    pub name: String,
    /// What the cell becomes.
    pub kind: Kind,
    /// Whether an empty cell is left out regardless of the options.
    pub never_empty: bool,
    /// Whether the cell is an id or a name, which stays text whatever options say.
    pub stays_text: bool,
}

/// Columns by their paths. Members are in the order in which the header first names them.
#[derive(Debug, Default)]
pub(super) struct Tree {
    members: Vec<(String, Branch)>,
    by_name: HashMap<String, usize>,
    /// A column in this tree, for errors.
    example: String,
}

#[derive(Debug)]
enum Branch {
    Leaf(Leaf),
    Tree(Tree),
}

impl Tree {
    /// Puts a column at its path.
    /// Errors: [`FileError`]: another column has the same path, or one above or below.
    pub(super) fn insert(&mut self, path: &[String], leaf: Leaf) -> Result<(), FileError> {
        let Some((name, rest)) = path.split_first() else { return Ok(()) };
        if self.example.is_empty() {
            self.example.clone_from(&leaf.name);
        }
        let Some((_, found)) = self.by_name.get(name).and_then(|index| self.members.get_mut(*index)) else {
            self.by_name.insert(name.clone(), self.members.len());
            let branch = if rest.is_empty() {
                Branch::Leaf(leaf)
            } else {
                let mut tree = Self::default();
                tree.insert(rest, leaf)?;
                Branch::Tree(tree)
            };
            self.members.push((name.clone(), branch));
            return Ok(());
        };
        let both = value_and_object(name);
        match found {
            Branch::Leaf(other) if rest.is_empty() => {
                Err(conflict(&other.name, &leaf.name, "both have the same place in the call"))
            }
            Branch::Leaf(other) => Err(conflict(&other.name, &leaf.name, &both)),
            Branch::Tree(other) if rest.is_empty() => Err(conflict(&other.example, &leaf.name, &both)),
            Branch::Tree(tree) => tree.insert(rest, leaf),
        }
    }

    /// The members of the call. With `arrays`, objects whose names are all numbers become arrays; the call
    /// itself never does. Errors: [`FileError`]: the elements of an array are not numbered 0, 1, 2, …
    pub(super) fn members(self, arrays: bool) -> Result<Vec<Member>, FileError> {
        self.into_members(arrays, &mut Vec::new())
    }

    fn into_members(self, arrays: bool, above: &mut Vec<String>) -> Result<Vec<Member>, FileError> {
        let mut members = Vec::with_capacity(self.members.len());
        for (name, branch) in self.members {
            let mut fragment = b",".to_vec();
            quoted::write(name.as_bytes(), false, &mut fragment);
            fragment.push(b':');
            above.push(name);
            members.push(Member { fragment, node: branch.into_node(arrays, above)? });
            above.pop();
        }
        Ok(members)
    }

    fn into_array(mut self, above: &mut Vec<String>) -> Result<Node, FileError> {
        self.members.sort_by_key(|(name, _)| (name.len(), name.clone()));
        let mut elements = Vec::with_capacity(self.members.len());
        for (name, branch) in self.members {
            let expected = elements.len();
            if name != expected.to_string() {
                let why = format!("element {} is missing; the next one is {name}", grouped(expected as u64));
                return Err(no_array(&path::shown(above), &why));
            }
            above.push(name);
            elements.push(branch.into_node(true, above)?);
            above.pop();
        }
        Ok(Node::Array(elements))
    }
}

impl Branch {
    fn into_node(self, arrays: bool, above: &mut Vec<String>) -> Result<Node, FileError> {
        let tree = match self {
            Self::Leaf(leaf) => return Ok(Node::Leaf(leaf)),
            Self::Tree(tree) => tree,
        };
        let numbers = tree.members.iter().filter(|(name, _)| is_number(name)).count();
        if !arrays || numbers == 0 || OBJECT_PLACES.iter().any(|place| above.iter().eq(place.iter())) {
            return Ok(Node::Object(tree.into_members(arrays, above)?));
        }
        if numbers < tree.members.len() {
            return Err(no_array(&path::shown(above), "some have numbers and some have names"));
        }
        tree.into_array(above)
    }
}

/// Whether a name is the number of an element.
fn is_number(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Why two columns with this name in their paths exclude each other.
pub(super) fn value_and_object(name: &str) -> String {
    format!("\"{name}\" would be a value and an object")
}
