//! Compiles a header once, and then writes each row as a call.

use super::beside_traits::beside_traits;
use super::column_kind::{check_properties, kind_of, stays_text, times};
use super::header::{Header, is_at};
use super::header_error::conflict;
use super::layout::{Leaf, Member, Node, Tree, value_and_object};
use super::nulls::Nulls;
use super::record::Record;
use super::required::{Requirement, required};
use super::row_error::{Cell, Needed, RowError};
use super::said::{Names, Said, said};
use super::schema::ColumnType;
use super::value::Kind;
use super::{CsvOptions, Empty, FileType, MessageIds};
use crate::call::Limits;
use crate::call::object_sets::{OBJECT_ID_MAX, PROPERTY_BYTES_MAX};
use crate::import::file_error::FileError;
use crate::import::row_hash::{RowHash, RowScope};
use crate::json::{quoted, write_number};
use crate::object::Collection;
use crate::words::{Told, grouped};

/// The longest object of a row, in bytes of JSON: an object must fit into one request of the tracking API.
const OBJECT_MAX: usize = 256 * 1_024;

/// A header, compiled.
#[derive(Debug)]
pub struct Plan {
    /// All names of the header, trimmed.
    pub(super) names: Vec<String>,
    /// How many fields a row has: one for each name, and an empty one after a delimiter that ends the row.
    width: usize,
    /// The texts that mean no value, if there are any.
    nulls: Option<Box<Nulls>>,
    required: Vec<Requirement>,
    /// The beginning of each row: `{"type":"track","messageId":"`, or `{"messageId":"` for an object.
    head: Vec<u8>,
    /// The prefix of messageIds that are made of row numbers, escaped. `None`: the column's value is the only
    /// id.
    prefix: Option<Vec<u8>>,
    /// The scope of hashes, if rows are known by their content.
    scope: Option<RowScope>,
    /// The column with the messageId, if any.
    pub(super) id_column: Option<usize>,
    members: Vec<Member>,
    empty: Empty,
    max_event: usize,
    collection: Option<Collection>,
    /// The column with the id of an object.
    object_id: Option<usize>,
    /// The columns of an identify or group file that stand beside the traits.
    beside_traits: Vec<usize>,
}

impl Plan {
    /// Compiles a header. The warnings say what is ignored or treated otherwise than the header may suggest.
    /// Errors: [`FileError`]: no row of the file could become a call, or columns exclude each other.
    pub fn compile(
        header: &Record,
        kind: &FileType,
        options: &CsvOptions,
        ids: &MessageIds,
    ) -> Result<(Self, Vec<Told>), FileError> {
        let mut warnings = Vec::new();
        let is_of_calls = matches!(kind, FileType::Calls(_));
        // Objects have no lists.
        let arrays = options.arrays && is_of_calls;
        let mut names = Header::names(header)?;
        let width = names.len();
        if options.ends_with_delimiter && names.last().is_some_and(String::is_empty) {
            names.pop();
        }
        let mut of_options = Vec::new();
        let said = said(options, &names, &mut of_options)?;
        let said_of = |index: usize| said.get(index).copied().unwrap_or_default();
        let map_of = |index| said_of(index).rule.and_then(|rule| rule.map.as_deref());
        let by_name = match ids {
            MessageIds::Column(name) => Names::of(&names).find(name.trim(), |_| false)?,
            MessageIds::Position(_) | MessageIds::RowHash(_) => None,
        };
        let nulls = Nulls::of(&options.nulls, said.iter().map(nulls_of));
        let columns = Header::columns(&names, (kind, arrays), map_of, &mut warnings)?;
        if !is_of_calls {
            check_properties(&columns, &said)?;
        }
        let required = required((kind, options, ids), &columns, (&names, by_name))?;
        let at = |path: &[&str]| columns.iter().find(|column| is_at(column, path)).map(|column| column.index);
        let (message_id, object_id) = (at(&["messageId"]), at(&["id"]).filter(|_| !is_of_calls));
        let mut head = b"{".to_vec();
        if let FileType::Calls(kind) = kind {
            head.extend_from_slice(b"\"type\":");
            quoted::write(kind.name().as_bytes(), false, &mut head);
            head.push(b',');
        }
        head.extend_from_slice(b"\"messageId\":\"");
        let (prefix, id_column, scope) = match ids {
            MessageIds::Position(prefix) => {
                let mut escaped = Vec::new();
                quoted::write_escaped(prefix.as_bytes(), &mut escaped);
                (Some(escaped), message_id, None)
            }
            MessageIds::RowHash(scope) => (Some(b"imp_".to_vec()), message_id, Some(*scope)),
            MessageIds::Column(_) => {
                if message_id.is_some() && by_name != message_id {
                    warnings.push("column \"messageId\" is ignored: --id-from names another column".into());
                }
                (None, by_name, None)
            }
        };
        warnings.extend(of_options);
        let beside_traits = beside_traits(kind, &columns, |index| map_of(index).is_some(), id_column);
        let times = times(options, &columns, &mut warnings)?;
        let mut tree = Tree::default();
        for (column, is_time) in columns.into_iter().zip(times) {
            if column.path.first().is_some_and(|first| first == "messageId") {
                if column.path.len() > 1 {
                    return Err(conflict("messageId", &column.name, &value_and_object("messageId")));
                }
                if message_id != Some(column.index) {
                    let first = message_id.and_then(|first| names.get(first)).map_or("", String::as_str);
                    return Err(conflict(first, &column.name, "both have the same place in the call"));
                }
                continue;
            }
            let of_cells = kind_of(&column, (&said_of(column.index), is_time), kind, &mut warnings);
            let never_empty =
                matches!(of_cells, Kind::CallTime(_) | Kind::Object | Kind::Dated { of_call: true, .. });
            let stays_text = stays_text(&column, kind);
            let leaf =
                Leaf { index: column.index, name: column.name, kind: of_cells, never_empty, stays_text };
            tree.insert(&column.path, leaf)?;
        }
        let members = tree.members(arrays)?;
        // The longest call, in bytes of JSON. Objects have a limit of their own.
        let max_event = if is_of_calls { Limits::default().max_event } else { OBJECT_MAX };
        let collection = kind.collection().cloned();
        let plan = Self {
            names,
            width,
            nulls,
            required,
            head,
            prefix,
            scope,
            id_column,
            members,
            empty: options.empty,
            max_event,
            collection,
            object_id,
            beside_traits,
        };
        Ok((plan, warnings))
    }

    /// The collection, if rows become objects.
    pub fn collection(&self) -> Option<&Collection> {
        self.collection.as_ref()
    }

    /// Empties the cells of a record that mean no value. A record is prepared before it is written.
    #[inline]
    pub fn prepare(&self, record: &mut Record) {
        if let Some(nulls) = &self.nulls {
            nulls.empty(record);
        }
    }

    /// Appends the call of a row to `out` as one JSON object on one line, without a line break.
    /// Errors: [`RowError`]; `out` then is as it was.
    pub fn write(&self, record: &Record, out: &mut Vec<u8>) -> Result<(), RowError> {
        self.write_as(record, None, out)
    }

    /// Appends the call of a row, as [`Plan::write`] does. If rows are known by their content, `known_as`
    /// replaces the row's own hash. Errors: [`RowError`], as for [`Plan::write`].
    pub fn write_as(
        &self,
        record: &Record,
        known_as: Option<RowHash>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        let start = out.len();
        let result = self.write_call(record, known_as, out);
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// The columns whose types are to be found, in order.
    pub(super) fn inferred(&self) -> Vec<usize> {
        let is_one = |leaf: &Leaf| matches!(leaf.kind, Kind::Inferred | Kind::Integration { inferred: true });
        let mut inferred = self.columns_of(is_one);
        inferred.sort_unstable();
        inferred
    }

    /// The columns whose cells are times in the forms that every time may have.
    pub(super) fn times(&self) -> Vec<usize> {
        self.columns_of(|leaf| leaf.kind.is_time())
    }

    /// The columns whose cells are kept as texts, though an option could say otherwise.
    pub(super) fn plain_texts(&self) -> Vec<usize> {
        let is_text = |kind: &Kind| matches!(kind, Kind::Typed(ColumnType::String) | Kind::Inferred);
        self.columns_of(|leaf| is_text(&leaf.kind) && !leaf.stays_text)
    }

    /// The names of the columns that stand beside the traits, if people may expect them there.
    pub(super) fn beside_traits(&self) -> Vec<&str> {
        let names = self.beside_traits.iter().filter_map(|index| self.names.get(*index));
        names.map(String::as_str).collect()
    }

    /// The columns whose cells keep the blanks that they begin with, in order.
    pub(super) fn texts(&self) -> Vec<usize> {
        let mut texts = self.columns_of(|leaf| leaf.kind.keeps_blanks());
        texts.extend(self.id_column);
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    fn columns_of(&self, is_one: impl Fn(&Leaf) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        let mut nodes: Vec<&Node> = self.members.iter().map(|member| &member.node).collect();
        while let Some(node) = nodes.pop() {
            match node {
                Node::Leaf(leaf) if is_one(leaf) => found.push(leaf.index),
                Node::Leaf(_) => {}
                Node::Object(members) => nodes.extend(members.iter().map(|member| &member.node)),
                Node::Array(elements) => nodes.extend(elements),
            }
        }
        found
    }

    /// Whether a record is a row whose cells are known, whatever is in them.
    pub(super) fn is_row(&self, record: &Record) -> bool {
        record.doubt.is_none() && record.len() == self.width && record.utf8
    }

    /// The messageId in a row's column. `None` unless the row has as many fields as the header.
    pub fn given_id<'r>(&self, record: &'r Record) -> Option<&'r [u8]> {
        let column = self.id_column.filter(|_| record.len() == self.width)?;
        record.get(column).filter(|cell| !is_blank(cell))
    }

    /// The error of a row whose messageId another row has.
    pub fn id_taken(&self, record: &Record) -> RowError {
        RowError::IdTaken { cell: self.id_cell(record), chosen: self.prefix.is_none() }
    }

    /// The error of a corrected row whose messageId a stored call has.
    pub fn id_stored(&self, record: &Record) -> RowError {
        RowError::IdStored(self.id_cell(record))
    }

    /// The cell with the row's messageId.
    fn id_cell(&self, record: &Record) -> Cell {
        let column = self.id_column.and_then(|column| self.names.get(column)).map_or("", String::as_str);
        Cell::of(column, self.given_id(record).unwrap_or_default())
    }

    /// The hash of a row, if rows are known by their content.
    pub fn row_hash(&self, record: &Record) -> Option<RowHash> {
        self.scope.as_ref().map(|scope| RowHash::of(scope, &record.raw))
    }

    fn write_call(
        &self,
        record: &Record,
        known_as: Option<RowHash>,
        out: &mut Vec<u8>,
    ) -> Result<(), RowError> {
        self.check(record)?;
        let start = out.len();
        let plain = quoted::is_plain(record.all_fields());
        let row = Row { record, plain, empty: self.empty, is_object: self.collection.is_some() };
        out.extend_from_slice(&self.head);
        let given = self.id_column.and_then(|column| record.get(column)).filter(|cell| !is_blank(cell));
        match (given, &self.prefix) {
            (Some(id), _) => quoted::write_escaped(id, out),
            (None, Some(prefix)) => {
                out.extend_from_slice(prefix);
                match self.row_hash(record).map(|own| known_as.unwrap_or(own)) {
                    Some(hash) => out.extend_from_slice(hash.to_string().as_bytes()),
                    None => write_number(out, record.number),
                }
            }
            (None, None) => return Err(RowError::Missing(Needed::MessageId)),
        }
        out.push(b'"');
        row.write_members(&self.members, out)?;
        out.push(b'}');
        let bytes = out.len() - start;
        if bytes > self.max_event {
            return Err(RowError::CallTooLarge { bytes: bytes as u64, max: self.max_event as u64 });
        }
        Ok(())
    }

    /// Checks what does not depend on the types of columns.
    fn check(&self, record: &Record) -> Result<(), RowError> {
        if let Some(doubt) = &record.doubt {
            return Err(doubt.clone());
        }
        if record.len() != self.width {
            let (expected, got) = (self.width as u64, record.len() as u64);
            return Err(RowError::Width { expected, got, hint: width_hint(record, self.width) });
        }
        if self.width > self.names.len()
            && let Some(cell) = record.get(self.names.len()).filter(|cell| !cell.is_empty())
        {
            return Err(RowError::AfterEnd(Cell::of("", cell)));
        }
        if !record.utf8 {
            let mut cells = self.names.iter().map(String::as_str).zip(record.iter());
            let bad = cells.find(|(_, cell)| std::str::from_utf8(cell).is_err());
            let (column, cell) = bad.unwrap_or(("", &record.raw));
            return Err(RowError::Utf8(Cell::of(column, cell)));
        }
        // The collector would reject a longer id; a row that is rejected here can be corrected in its file.
        let object_id = self.object_id.and_then(|id| std::str::from_utf8(record.get(id)?).ok());
        if object_id.is_some_and(|id| id.chars().count() > OBJECT_ID_MAX) {
            let max = format!("{OBJECT_ID_MAX} characters");
            return Err(RowError::CellTooLarge { column: "id".to_owned(), max });
        }
        for Requirement { needed, columns } in &self.required {
            if columns.iter().all(|column| record.get(*column).is_none_or(is_blank)) {
                return Err(RowError::Missing(*needed));
            }
        }
        Ok(())
    }
}

/// What may be the reason for a wrong number of fields.
fn width_hint(record: &Record, columns: usize) -> &'static str {
    let has = |bytes: &[u8]| memchr::memmem::find(&record.raw, bytes).is_some();
    if record.len() == columns + 1 && record.get(columns) == Some(b"") {
        " (the row ends with a delimiter: if all rows do, give the names and an empty one with --columns 'a,b,', and \
         leave the header out with --rows 1..)"
    } else if record.len() > columns
        && [b"\\\"", b"\\,", b"\\;", b"\\\t", b"\\|"].into_iter().any(|bytes| has(bytes))
    {
        " (if a backslash protects quotes and delimiters, pass --escape '\\')"
    } else {
        ""
    }
}

/// The texts of a column that mean no value.
fn nulls_of<'o>(said: &Said<'o>) -> &'o [String] {
    said.rule.map(|rule| rule.nulls.as_slice()).unwrap_or_default()
}

fn too_large_cell(column: &str) -> RowError {
    let max = format!("{} bytes of JSON", grouped(PROPERTY_BYTES_MAX as u64 - 1));
    RowError::CellTooLarge { column: column.to_owned(), max }
}

/// A row that is being written.
struct Row<'r> {
    record: &'r Record,
    /// Whether no field of the row needs an escape.
    plain: bool,
    empty: Empty,
    /// Whether the row becomes an object, whose properties have a limit.
    is_object: bool,
}

impl Row<'_> {
    /// Appends the members that have a value.
    fn write_members(&self, members: &[Member], out: &mut Vec<u8>) -> Result<(), RowError> {
        for Member { fragment, node } in members {
            if let Node::Leaf(leaf) = node
                && self.leaves_out(leaf)
            {
                continue;
            }
            let before = out.len();
            // No comma belongs after a bracket that was just opened. No value ends with this bracket.
            let comma = usize::from(out.last() == Some(&b'{'));
            out.extend_from_slice(fragment.get(comma..).unwrap_or_default());
            if !self.write_node(node, out)? {
                out.truncate(before);
            }
        }
        Ok(())
    }

    /// Appends a value. Returns false if the value has nothing to show: the caller then drops what was
    /// appended.
    fn write_node(&self, node: &Node, out: &mut Vec<u8>) -> Result<bool, RowError> {
        match node {
            Node::Leaf(leaf) => {
                let cell = self.cell(leaf);
                if !leaf.kind.is_empty(cell) {
                    let before = out.len();
                    leaf.kind.write(cell, self.plain, &leaf.name, out)?;
                    if self.is_object && out.len() - before >= PROPERTY_BYTES_MAX {
                        return Err(too_large_cell(&leaf.name));
                    }
                    return Ok(true);
                }
                match self.empty {
                    Empty::Omit => return Ok(false),
                    Empty::String => out.extend_from_slice(b"\"\""),
                    Empty::Null => out.extend_from_slice(b"null"),
                }
                Ok(true)
            }
            Node::Object(members) => {
                out.push(b'{');
                let opened = out.len();
                self.write_members(members, out)?;
                let any = out.len() > opened;
                out.push(b'}');
                Ok(any)
            }
            Node::Array(elements) => {
                out.push(b'[');
                // Empty elements at the end are dropped; those before others become null, so that numbers
                // stay right.
                let shown =
                    elements.iter().rposition(|element| self.has_value(element)).map_or(0, |last| last + 1);
                for (index, element) in elements.iter().take(shown).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    let before = out.len();
                    if !self.write_node(element, out)? {
                        out.truncate(before);
                        out.extend_from_slice(b"null");
                    }
                }
                out.push(b']');
                Ok(shown > 0)
            }
        }
    }

    fn cell(&self, leaf: &Leaf) -> &[u8] {
        self.record.get(leaf.index).unwrap_or_default()
    }

    fn leaves_out(&self, leaf: &Leaf) -> bool {
        (self.empty == Empty::Omit || leaf.never_empty) && leaf.kind.is_empty(self.cell(leaf))
    }

    fn has_value(&self, node: &Node) -> bool {
        match node {
            Node::Leaf(leaf) => !self.leaves_out(leaf),
            Node::Object(members) => members.iter().any(|member| self.has_value(&member.node)),
            Node::Array(elements) => elements.iter().any(|element| self.has_value(element)),
        }
    }
}

/// Whether a cell is white space only.
#[inline]
pub(super) fn is_blank(cell: &[u8]) -> bool {
    // Most cells begin with a visible character of ASCII.
    !cell.first().is_some_and(u8::is_ascii_graphic)
        && std::str::from_utf8(cell).is_ok_and(|text| text.trim().is_empty())
}

#[cfg(test)]
mod tests;
