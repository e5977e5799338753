//! The single pass over a body: checks that it is JSON, and notes the places of its calls and their members.

use std::ops::Range;

use super::name::{Field, Name, find};
use crate::json::{Cursor, ScanError, Span, Text, Value, ValueKind, mark_shadowed, unescape};
use crate::object::stream::CollectionError;

/// Why a whole body is refused with 400; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// The body is not JSON, or not an object at the top.
    #[error("{what} at byte {at}")]
    InvalidJson {
        /// What was wrong.
        what: &'static str,
        /// The byte of the error, from the beginning of the body.
        at: usize,
    },
    /// The body is not UTF-8.
    #[error("the body is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// The first byte that is not UTF-8.
        at: usize,
    },
    /// Arrays and objects are nested deeper than the limit, outside the items of a batch.
    #[error("arrays and objects are nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// The most levels.
        limit: usize,
        /// The byte at which the limit is passed.
        at: usize,
    },
    /// The body on a batch route has no `batch` array, and is not a call of a known type either.
    #[error("`batch` is missing or is not an array")]
    NoBatch,
    /// A request that sets objects has no `objects` array.
    #[error("`objects` is missing or is not an array")]
    NoObjects,
    /// A request that sets objects has no `collection`.
    #[error("`collection` is missing or is not a string")]
    NoCollection,
    /// The name of the collection is not valid.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// The call on a single route is longer than `max_event`.
    #[error("the call is {len} bytes long; the limit is {limit} bytes")]
    EventTooLarge {
        /// The length of the call, in bytes.
        len: usize,
        /// The limit, in bytes.
        limit: usize,
    },
}

/// The places of a body's calls.
#[derive(Debug)]
pub(super) struct Body<'b> {
    /// The body without its byte order mark. All spans point into it.
    pub text: &'b [u8],
    /// The object at the top: an envelope, or a single call.
    pub top: Item,
    /// The members of the object at the top.
    top_members: Vec<Field>,
    /// The `batch` array, if there is one.
    pub batch: Option<BatchItems>,
}

/// The items of a `batch` array.
#[derive(Debug, Default)]
pub(super) struct BatchItems {
    /// The first items, up to the limit of calls per request.
    pub items: Vec<Item>,
    /// The members of all of them.
    members: Vec<Field>,
    /// The items beyond the limit.
    pub beyond: Vec<Value>,
    /// Bytes of all items that are nested too deeply.
    pub too_deep_len: usize,
}

/// One item of a `batch` array, or the object at the top.
#[derive(Clone, Debug, Default)]
pub(super) struct Item {
    /// Its place and kind.
    pub value: Value,
    members: Range<usize>,
    /// The relevant parts of its `context`.
    pub context: ContextSpots,
    /// Whether it contains text that must not reach a line unchanged: a line break or tab between tokens, or
    /// a lone surrogate.
    pub untidy: bool,
    /// Whether its arrays and objects are nested deeper than the limit: it is rejected, and its neighbours
    /// are not.
    pub too_deep: bool,
}

/// The parts of a `context` object that the collector uses.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ContextSpots {
    /// `ip`
    pub ip: Option<Value>,
    /// `userAgent`
    pub user_agent: Option<Value>,
    /// Whether `direct` is `true`.
    pub direct: bool,
    /// `library.name`, if it is a string.
    pub library_name: Option<Text>,
    /// Whether it has any members.
    pub any: bool,
}

impl<'b> Body<'b> {
    /// Reads a body whose top is an object. Only the first `calls_max` items are read in detail.
    pub(super) fn read(body: &'b [u8], calls_max: usize, depth_max: usize) -> Result<Self, BodyError> {
        let text = utf8(body)?;
        let mut cursor = Cursor::new(text, depth_max);
        let removed = body.len() - text.len();
        read_top(&mut cursor, calls_max).map_err(|error| body_error(error, removed, depth_max))
    }

    /// The members of the object at the top.
    pub(super) fn top_members(&self) -> &[Field] {
        &self.top_members
    }

    /// The value of the top object's last member called `name`.
    pub(super) fn top_value(&self, name: Name) -> Option<Value> {
        find(&self.top_members, name)
    }
}

impl BatchItems {
    /// The members of one of the items.
    pub(super) fn members_of(&self, item: &Item) -> &[Field] {
        self.members.get(item.members.clone()).unwrap_or_default()
    }
}

impl ContextSpots {
    /// Reads the object at the cursor.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ScanError> {
        let mut spots = Self::default();
        cursor.enter()?;
        while let Some(name) = cursor.next_name()? {
            spots.any = true;
            match &*unescape(name, cursor.text()) {
                b"ip" => spots.ip = Some(cursor.value()?),
                b"userAgent" => spots.user_agent = Some(cursor.value()?),
                b"direct" => spots.direct = cursor.value()?.kind == ValueKind::True,
                b"library" => spots.library_name = read_library_name(cursor)?,
                _ => {
                    cursor.value()?;
                }
            }
        }
        Ok(spots)
    }
}

/// A body without its byte order mark, if it is UTF-8.
pub(super) fn utf8(body: &[u8]) -> Result<&[u8], BodyError> {
    let text = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    match std::str::from_utf8(text) {
        Ok(text) => Ok(text.as_bytes()),
        Err(cause) => Err(BodyError::InvalidUtf8 { at: body.len() - text.len() + cause.valid_up_to() }),
    }
}

/// The error of a body that cannot be scanned. `removed` is the number of bytes taken off its beginning
/// before the scan: positions in the error count from the beginning of the whole body.
pub(super) fn body_error(error: ScanError, removed: usize, depth_max: usize) -> BodyError {
    match error {
        ScanError::Syntax { what, at } => BodyError::InvalidJson { what, at: removed + at },
        ScanError::TooDeep { at } => BodyError::TooDeep { limit: depth_max, at: removed + at },
    }
}

/// Checks that an object begins at the cursor, and that spans can point into the text.
pub(super) fn expect_object(cursor: &mut Cursor<'_>) -> Result<(), ScanError> {
    match cursor.peek() {
        Some(b'{') => {}
        Some(_) => return Err(ScanError::Syntax { what: "the body is not a JSON object", at: cursor.at() }),
        None => return Err(ScanError::Syntax { what: "the body is empty", at: cursor.at() }),
    }
    if cursor.text().len() > Cursor::TEXT_MAX {
        return Err(ScanError::Syntax { what: "the body is too long", at: Cursor::TEXT_MAX });
    }
    Ok(())
}

fn read_top<'b>(cursor: &mut Cursor<'b>, calls_max: usize) -> Result<Body<'b>, ScanError> {
    expect_object(cursor)?;
    let start = cursor.at();
    let mut context = ContextSpots::default();
    let mut members = Vec::with_capacity(16);
    let mut batch = None;
    cursor.enter()?;
    while let Some(name) = cursor.next_name()? {
        let label = Name::of(name, cursor.text());
        let value = if label == Name::Batch {
            let (value, items) = read_batch(cursor, calls_max)?;
            batch = items;
            value
        } else {
            read_value(cursor, label, &mut context)?
        };
        members.push(Field::new(name, value, label));
    }
    let value = Value { span: Span::new(start, cursor.at()), kind: ValueKind::Object };
    cursor.finish()?;
    mark_shadowed(&mut members, cursor.text());
    let top =
        Item { value, members: 0..members.len(), context, untidy: cursor.untidy() > 0, too_deep: false };
    Ok(Body { text: cursor.text(), top, top_members: members, batch })
}

/// Reads the value of a `batch` member. If it is an array, its items are read in detail.
fn read_batch(cursor: &mut Cursor<'_>, calls_max: usize) -> Result<(Value, Option<BatchItems>), ScanError> {
    if cursor.peek() != Some(b'[') {
        return Ok((cursor.value()?, None));
    }
    let start = cursor.at();
    let mut batch = BatchItems::default();
    cursor.enter()?;
    while cursor.next_element()? {
        if batch.items.len() < calls_max {
            let (item, too_deep) = cursor.at_any_depth(|cursor| read_item(cursor, &mut batch.members))?;
            batch.too_deep_len += if too_deep { item.value.span.len() } else { 0 };
            batch.items.push(Item { too_deep, ..item });
        } else {
            let (value, too_deep) = cursor.at_any_depth(Cursor::value)?;
            batch.beyond.push(value);
            batch.too_deep_len += if too_deep { value.span.len() } else { 0 };
        }
    }
    let value = Value { span: Span::new(start, cursor.at()), kind: ValueKind::Array };
    Ok((value, Some(batch)))
}

fn read_item(cursor: &mut Cursor<'_>, members: &mut Vec<Field>) -> Result<Item, ScanError> {
    let is_object = cursor.peek() == Some(b'{');
    let (untidy, start, first) = (cursor.untidy(), cursor.at(), members.len());
    let mut context = ContextSpots::default();
    let value = if is_object {
        cursor.enter()?;
        while let Some(name) = cursor.next_name()? {
            let label = Name::of(name, cursor.text());
            let value = read_value(cursor, label, &mut context)?;
            members.push(Field::new(name, value, label));
        }
        Value { span: Span::new(start, cursor.at()), kind: ValueKind::Object }
    } else {
        cursor.value()?
    };
    mark_shadowed(members.get_mut(first..).unwrap_or_default(), cursor.text());
    let untidy = cursor.untidy() != untidy;
    Ok(Item { value, members: first..members.len(), context, untidy, too_deep: false })
}

/// Reads the value of a call's member. A `context` is read in detail in the same pass, so that no text is
/// read twice.
fn read_value(cursor: &mut Cursor<'_>, name: Name, context: &mut ContextSpots) -> Result<Value, ScanError> {
    if name != Name::Context {
        return cursor.value();
    }
    *context = ContextSpots::default();
    if cursor.peek() != Some(b'{') {
        return cursor.value();
    }
    let start = cursor.at();
    *context = ContextSpots::read(cursor)?;
    Ok(Value { span: Span::new(start, cursor.at()), kind: ValueKind::Object })
}

/// Reads the `name` in the value of a `library`.
fn read_library_name(cursor: &mut Cursor<'_>) -> Result<Option<Text>, ScanError> {
    let mut found = None;
    if cursor.peek() != Some(b'{') {
        cursor.value()?;
        return Ok(None);
    }
    cursor.enter()?;
    while let Some(name) = cursor.next_name()? {
        let is_name = *unescape(name, cursor.text()) == *b"name";
        let value = cursor.value()?;
        if is_name {
            found = value.text();
        }
    }
    Ok(found)
}
