//! Compiles a header once, and then writes each row as a call.

use std::collections::HashMap;

use super::header::{Column, Header, check_letters, conflict, shown, unreadable, warning};
use super::layout::{Leaf, Member, Node, OBJECT_PLACES, Tree, value_and_object};
use super::record::Record;
use super::row_error::{Cell, Needed, RowError};
use super::schema::ColumnType;
use super::value::Kind;
use super::{CsvOptions, Empty, FileType, MessageIds, Types};
use crate::call::export_time::Numbers;
use crate::call::object_sets::{OBJECT_ID_MAX, PROPERTY_BYTES_MAX};
use crate::call::{CallKind, Limits};
use crate::import::file_error::FileError;
use crate::import::row_hash::{RowHash, RowScope};
use crate::json::{quoted, write_number};
use crate::object::Collection;
use crate::words::{Told, first_few, grouped, outside_text_within};

/// Columns whose cells are times, at any depth.
const TIME_NAMES: [&str; 2] = ["timestamp", "createdAt"];

/// Paths whose cells stay text whatever they look like.
const TEXT_PLACES: [&[&str]; 9] = [
    &["userId"],
    &["anonymousId"],
    &["groupId"],
    &["previousId"],
    &["messageId"],
    &["event"],
    &["name"],
    &["context", "ip"],
    &["context", "device", "id"],
];

/// The longest object of a row, in bytes of JSON: an object must fit into one request of the tracking API.
const OBJECT_MAX: usize = 256 * 1_024;

/// The most names of a header that an error about a missing column shows.
const NAMES_SHOWN: usize = 10;

/// A header, compiled.
#[derive(Debug)]
pub struct Plan {
    /// All names of the header, trimmed.
    pub(super) names: Vec<String>,
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
}

/// Columns that may not all be empty.
#[derive(Debug)]
struct Requirement {
    needed: Needed,
    columns: Vec<usize>,
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
        let Header { names, columns } = Header::read(header, kind, arrays, &mut warnings)?;
        if !is_of_calls {
            distinct_properties(&columns)?;
            no_json(&columns, &options.types)?;
        }
        let required = required((kind, options, ids), &columns, &names)?;
        check_letters(&columns, kind)?;
        let message_id =
            columns.iter().find(|column| is_at(column, &["messageId"])).map(|column| column.index);
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
            MessageIds::Column(name) => {
                let found = names.iter().position(|other| other == name.trim());
                if message_id.is_some() && found != message_id {
                    warnings.push("column \"messageId\" is ignored: --id-from names another column".into());
                }
                (None, found, None)
            }
        };
        unmatched(options, &names, &columns, &mut warnings);
        let mut tree = Tree::default();
        for column in columns {
            if column.path.first().is_some_and(|first| first == "messageId") {
                if column.path.len() > 1 {
                    return Err(conflict("messageId", &column.name, &value_and_object("messageId")));
                }
                continue;
            }
            let of_cells = kind_of(&column, kind, options, &mut warnings);
            let never_empty = matches!(of_cells, Kind::CallTime(_) | Kind::Object);
            let leaf = Leaf { index: column.index, name: column.name, kind: of_cells, never_empty };
            tree.insert(&column.path, leaf)?;
        }
        let members = tree.members(arrays)?;
        let object_id = names.iter().position(|name| name == "id").filter(|_| !is_of_calls);
        // The longest call, in bytes of JSON. Objects have a limit of their own.
        let max_event = if is_of_calls { Limits::default().max_event } else { OBJECT_MAX };
        let collection = kind.collection().cloned();
        let plan = Self {
            names,
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
        };
        Ok((plan, warnings))
    }

    /// The collection, if rows become objects.
    pub fn collection(&self) -> Option<&Collection> {
        self.collection.as_ref()
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

    /// The columns whose cells become numbers where they can.
    pub(super) fn inferred(&self) -> Vec<usize> {
        self.columns_of(|kind| kind == Kind::Inferred)
    }

    /// The columns whose cells keep the blanks that they begin with, in order.
    pub(super) fn texts(&self) -> Vec<usize> {
        let mut texts = self.columns_of(Kind::keeps_blanks);
        texts.extend(self.id_column);
        texts.sort_unstable();
        texts.dedup();
        texts
    }

    fn columns_of(&self, is_one: impl Fn(Kind) -> bool) -> Vec<usize> {
        let mut found = Vec::new();
        let mut nodes: Vec<&Node> = self.members.iter().map(|member| &member.node).collect();
        while let Some(node) = nodes.pop() {
            match node {
                Node::Leaf(leaf) if is_one(leaf.kind) => found.push(leaf.index),
                Node::Leaf(_) => {}
                Node::Object(members) => nodes.extend(members.iter().map(|member| &member.node)),
                Node::Array(elements) => nodes.extend(elements),
            }
        }
        found
    }

    /// The messageId in a row's column. `None` unless the row has as many fields as the header.
    pub fn given_id<'r>(&self, record: &'r Record) -> Option<&'r [u8]> {
        let column = self.id_column.filter(|_| record.len() == self.names.len())?;
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
        if record.len() != self.names.len() {
            let (expected, got) = (self.names.len() as u64, record.len() as u64);
            return Err(RowError::Width { expected, got, hint: width_hint(record, self.names.len()) });
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

fn too_large_cell(column: &str) -> RowError {
    let max = format!("{} bytes of JSON", grouped(PROPERTY_BYTES_MAX as u64 - 1));
    RowError::CellTooLarge { column: column.to_owned(), max }
}

/// Checks that no property is declared as JSON: the properties of an object hold neither lists nor objects.
fn no_json(columns: &[Column], types: &Types) -> Result<(), FileError> {
    let Types::Schema(types) = types else { return Ok(()) };
    match columns.iter().find(|column| types.get(&column.name) == Some(&ColumnType::Json)) {
        Some(column) => Err(unreadable(format!(
            "--types says that column \"{}\" is json, and properties of objects are not: declare another type, or none",
            shown(&column.name)
        ))),
        None => Ok(()),
    }
}

/// Checks that no two columns become one property: the parts of a name are joined by `_`.
fn distinct_properties(columns: &[Column]) -> Result<(), FileError> {
    let mut seen: HashMap<String, &str> = HashMap::with_capacity(columns.len());
    for column in columns.iter().filter(|column| column.path.len() > 1) {
        let property = column.path.last().cloned().unwrap_or_default();
        if let Some(one) = seen.insert(property.clone(), &column.name) {
            let why = format!("both would be the property \"{}\"", shown(&property));
            return Err(conflict(one, &column.name, &why));
        }
    }
    Ok(())
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

/// The fields that every call of a kind needs. `user` names the call's user.
fn needed_by(kind: CallKind, user: Needed, strict: bool) -> Vec<Needed> {
    match kind {
        CallKind::Track => vec![Needed::Event, user],
        CallKind::Identify => vec![user],
        CallKind::Page | CallKind::Screen if strict => vec![user, Needed::Name],
        CallKind::Page | CallKind::Screen => vec![user],
        CallKind::Group => vec![Needed::GroupId, Needed::AnyId],
        CallKind::Alias => vec![Needed::PreviousId, Needed::UserId],
    }
}

/// The fields that each row needs, with the columns that can have them.
fn required(
    (kind, options, ids): (&FileType, &CsvOptions, &MessageIds),
    columns: &[Column],
    names: &[String],
) -> Result<Vec<Requirement>, FileError> {
    let user = if options.strict { Needed::UserId } else { Needed::AnyId };
    let all = match kind {
        FileType::Objects(_) => vec![Needed::ObjectId],
        FileType::Calls(kind) => needed_by(*kind, user, options.strict),
    };
    let missing = |what: String, needed: String, wanted: &[&str]| {
        let like = names.iter().find_map(|name| {
            let meant = wanted.iter().find(|wanted| loosely(wanted) == loosely(name))?;
            let name = outside_text_within(name, 64);
            Some(format!("; did you mean {} by \"{name}\"?", outside_text_within(meant, 64)))
        });
        let shown = names.iter().map(|name| outside_text_within(name, 64).to_string());
        let columns = first_few(shown, NAMES_SHOWN) + &like.unwrap_or_default();
        let full = format!(
            "{what} needs a column {needed}; the file has {columns} \
             (check the header and --delimiter, or give all names with --columns; if there is a header, then also --rows 1..)"
        );
        FileError::content("E-CSV-MISSING", Told::masked_as(full, "a column that every row needs is missing"))
    };
    if let MessageIds::Column(name) = ids
        && !names.iter().any(|other| other == name.trim() && !other.is_empty())
    {
        let needed = format!("\"{}\"", shown(name));
        return Err(missing("--id-from".to_owned(), needed, &[name.trim()]));
    }
    let mut required = Vec::with_capacity(all.len());
    for needed in all {
        let is_one = |column: &&Column| needed.columns().iter().any(|name| is_at(column, &[name]));
        let found: Vec<usize> = columns.iter().filter(is_one).map(|column| column.index).collect();
        if found.is_empty() {
            let (article, kind) = match kind {
                FileType::Objects(_) => ("an", "object"),
                FileType::Calls(kind @ (CallKind::Identify | CallKind::Alias)) => ("an", kind.name()),
                FileType::Calls(kind) => ("a", kind.name()),
            };
            let strictly = if options.strict { " under --strict" } else { "" };
            let what = format!("{article} {kind} file{strictly}");
            return Err(missing(what, needed.columns().join(" or "), needed.columns()));
        }
        required.push(Requirement { needed, columns: found });
    }
    Ok(required)
}

/// A name without what distinguishes its spellings: `USER_ID` and `User Id` become `userid`.
fn loosely(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn is_at(column: &Column, path: &[&str]) -> bool {
    column.path.iter().map(String::as_str).eq(path.iter().copied())
}

/// What the cells of a column become.
fn kind_of(column: &Column, kind: &FileType, options: &CsvOptions, warnings: &mut Vec<Told>) -> Kind {
    let inferred = options.types == Types::Infer;
    let declared = match &options.types {
        Types::Schema(types) => types.get(&column.name).copied(),
        Types::String | Types::Infer => None,
    };
    if is_at(column, &["timestamp"]) {
        let numbers = declared.map_or(Some(Numbers::ByMagnitude), ColumnType::numbers);
        if numbers.is_none() {
            warnings.push(warning(&column.name, "stays a time whatever the schema says"));
        }
        return Kind::CallTime(numbers.unwrap_or_default());
    }
    if matches!(kind, FileType::Calls(_)) && OBJECT_PLACES.iter().any(|place| is_at(column, place)) {
        if declared.is_some_and(|declared| declared != ColumnType::Json) {
            warnings.push(warning(&column.name, "stays a JSON object whatever the schema says"));
        }
        return Kind::Object;
    }
    let is_object_id = matches!(kind, FileType::Objects(_)) && is_at(column, &["id"]);
    if is_object_id || TEXT_PLACES.iter().any(|place| is_at(column, place)) {
        if declared.is_some_and(|declared| declared != ColumnType::String) {
            let what = "stays text whatever the schema says: it is an id or a name";
            warnings.push(warning(&column.name, what));
        }
        return Kind::Typed(ColumnType::String);
    }
    let last = column.path.last().map_or("", String::as_str);
    let is_named = |name: &String| *name == column.name || name == last;
    if options.time_columns.iter().any(is_named) {
        let time = declared.filter(|declared| declared.numbers().is_some());
        return Kind::Typed(time.unwrap_or(ColumnType::Time));
    }
    match declared {
        Some(declared) => Kind::Typed(declared),
        None if TIME_NAMES.contains(&last) => Kind::Typed(ColumnType::Time),
        None if column.json => Kind::JsonOrText,
        None if column.path.len() > 1 && column.path.first().is_some_and(|first| first == "integrations") => {
            Kind::Integration { inferred }
        }
        None if inferred => Kind::Inferred,
        None => Kind::Typed(ColumnType::String),
    }
}

/// Warns of names in options that the file does not have. They are settings, and not private.
fn unmatched(options: &CsvOptions, names: &[String], columns: &[Column], warnings: &mut Vec<Told>) {
    let mut warn = |name: &str, option: &str| {
        let what = format!("the file has no column \"{}\", which {option} names", shown(name));
        warnings.push(Told::plain(what));
    };
    if let Types::Schema(types) = &options.types {
        for name in types.keys().filter(|name| !names.contains(name)) {
            warn(name, "--types");
        }
    }
    for name in &options.time_columns {
        let known = columns.iter().any(|column| column.name == *name || column.path.last() == Some(name));
        // The usual names may be named in options without being in every file.
        if !known && !TIME_NAMES.contains(&name.as_str()) {
            warn(name, "--time-columns");
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
