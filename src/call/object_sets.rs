//! Reads a request that sets objects of a collection, and writes a line for each.
//!
//! An object is data that is not a call: a room, a product, a campaign. Its form is that of the public
//! Objects API:
//! `{"collection":"rooms","objects":[{"id":"1","properties":{"name":"Beach Room","review_count":47}}]}`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;

use super::check::is_blank;
use super::line::{new_message_id, quote};
use super::rejected::write_rejected;
use super::{BodyError, Limits, LineSink, RejectReason, Stamp, Tally};
use crate::json::{
    Cursor, Member, ObjectSplice, ScanError, Span, Text, Value, ValueKind, tidy_into, unescape, write_text,
};
use crate::object::Collection;
use crate::random::Random;
use crate::words::date::rfc3339_within_years;

/// The largest number of objects of one request. The public pages say 10; the public client sends 100.
pub const OBJECTS_MAX: usize = 100;
/// The longest id of an object, in characters.
pub const OBJECT_ID_MAX: usize = 100;
/// The value of a property must be shorter, in bytes of JSON.
pub const PROPERTY_BYTES_MAX: usize = 32 * 1_024;
/// The longest properties of one object, in bytes, after they are flattened. Each level of nesting repeats
/// the names of those above it, so a small object could become gigabytes.
const FLATTENED_MAX: usize = 512 * 1_024;

/// A parsed request: the places of its objects in the unchanged text.
#[derive(Debug)]
pub struct ObjectSets<'b> {
    text: &'b [u8],
    collection: Collection,
    items: Vec<Item>,
    /// Objects above the limit.
    beyond: Vec<Value>,
    /// Bytes of all objects that are nested too deeply.
    too_deep_len: usize,
    depth_max: usize,
    write_key: Option<Text>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    value: Value,
    /// Whether it contains text that must not reach a line unchanged.
    untidy: bool,
    /// Whether it is nested deeper than the limit.
    too_deep: bool,
}

impl<'b> ObjectSets<'b> {
    /// Parses a decompressed body. Objects after the first `objects_max` are rejected.
    /// Errors: [`BodyError`]: the whole request is answered 400.
    pub fn parse(body: &'b [u8], objects_max: usize, limits: &Limits) -> Result<Self, BodyError> {
        let text = super::body::utf8(body)?;
        let removed = body.len() - text.len();
        let mut cursor = Cursor::new(text, limits.max_depth);
        let top = read_top(&mut cursor, objects_max)
            .map_err(|error| super::body::body_error(error, removed, limits.max_depth))?;
        let objects = top.objects.ok_or(BodyError::NoObjects)?;
        let name = top.collection.ok_or(BodyError::NoCollection)?;
        let name = unescape(name, text);
        let collection = Collection::new(&String::from_utf8_lossy(&name))?;
        let Objects { items, beyond, too_deep_len } = objects;
        let (depth_max, write_key) = (limits.max_depth, top.write_key);
        Ok(Self { text, collection, items, beyond, too_deep_len, depth_max, write_key })
    }

    /// The collection.
    pub fn collection(&self) -> &Collection {
        &self.collection
    }

    /// `writeKey` or `write_key` in the body, trimmed; never empty.
    pub fn write_key(&self) -> Option<Cow<'b, str>> {
        super::request::trimmed(unescape(self.write_key?, self.text))
    }

    /// How many lines will be written: objects and rejected items.
    pub fn lines(&self) -> usize {
        self.items.len() + self.beyond.len()
    }

    /// The text of the object that becomes line `index`, as sent.
    pub fn item(&self, index: usize) -> Option<&'b [u8]> {
        let value = match self.items.get(index) {
            Some(item) => item.value,
            None => *self.beyond.get(index.checked_sub(self.items.len())?)?,
        };
        Some(value.span.of(self.text))
    }

    /// An estimate of the lines' length in bytes. Used to reserve memory.
    pub fn lines_len(&self) -> usize {
        self.text.len() + self.too_deep_len + self.lines() * (STAMP_LEN + self.collection.as_str().len())
    }

    /// Writes one line per object into `sink`, in order. Invalid ones become lines of the rejected stream.
    /// Stops, and returns `None`, once the lines are longer than `len_max` bytes.
    pub fn write_lines(
        &self,
        stamp: &Stamp<'_>,
        random: &dyn Random,
        len_max: usize,
        sink: &mut impl LineSink,
    ) -> Option<Tally> {
        let mut tally = Tally::default();
        let mut flat = Flat::default();
        let before = sink.line().len();
        sink.discard();
        for item in &self.items {
            let written = self.write_line(item, stamp, random, &mut flat, sink);
            tally.surrogates_replaced += match written {
                Ok(replaced) => replaced,
                Err(reason) => self.reject(item.value, stamp, reason, sink),
            };
            let len = sink.line().len().saturating_sub(before);
            sink.discard();
            if len > len_max {
                return None;
            }
        }
        for item in &self.beyond {
            tally.surrogates_replaced += self.reject(*item, stamp, RejectReason::TooManyObjects, sink);
        }
        Some(tally)
    }

    fn reject(&self, item: Value, stamp: &Stamp<'_>, reason: RejectReason, sink: &mut impl LineSink) -> u32 {
        let (collection, value) = (Some(&self.collection), item.span.of(self.text));
        let replaced = write_rejected(sink.line(), stamp, reason, collection, value, self.depth_max);
        sink.rejected(reason);
        replaced
    }

    /// Returns how many lone surrogates were replaced.
    fn write_line(
        &self,
        item: &Item,
        stamp: &Stamp<'_>,
        random: &dyn Random,
        flat: &mut Flat,
        sink: &mut impl LineSink,
    ) -> Result<u32, RejectReason> {
        if item.too_deep {
            return Err(RejectReason::TooDeep);
        }
        if item.value.kind != ValueKind::Object {
            return Err(RejectReason::NotAnObject);
        }
        let object = item.value.span.of(self.text);
        let members = Member::all_of(object, usize::MAX).map_err(|_| RejectReason::NotAnObject)?;
        let find = |name: &[u8]| {
            members.iter().rfind(|member| !member.shadowed && *unescape(member.name, object) == *name)
        };
        let id = find(b"id").map(|member| member.value).ok_or(RejectReason::MissingObjectId)?;
        let id = id_of(id, object)?;
        let properties = find(b"properties").map(|member| member.value);
        flat.fill(properties, object)?;
        let message_id = find(b"messageId").and_then(|member| member.value.text());
        let message_id = message_id.map(|id| unescape(id, object)).filter(|id| !is_blank(id));

        let out = sink.line();
        let mut line = ObjectSplice::new(out, object, Span::new(0, object.len()), item.untidy);
        for member in &members {
            let name = unescape(member.name, object);
            let is_owned = OWNED.contains(&&*name) || (*name == *b"messageId" && message_id.is_none());
            if member.shadowed || is_owned {
                line.leave_out(member.span());
            } else {
                line.keep(member.span());
            }
        }
        quote(line.add("collection"), self.collection.as_str().as_bytes());
        write_text(line.add("id").out(), &id);
        let replaced = flat.write(line.add("properties").out(), object);
        if message_id.is_none() {
            quote(line.add("messageId"), &new_message_id(stamp.received_at, random));
        }
        quote(line.add("receivedAt"), &rfc3339_within_years(stamp.received_at));
        quote(line.add("projectId"), stamp.source.as_str().as_bytes());
        let replaced = replaced + line.finish();
        // A new id has never been seen before, so such a set cannot be a repeat.
        let fingerprint = message_id.map_or(0, |id| {
            stamp.fingerprinter.of(stamp.source, &id, "set", self.collection.as_str().as_bytes())
        });
        sink.call(fingerprint);
        Ok(replaced)
    }
}

/// What the collector adds to most lines, in bytes.
const STAMP_LEN: usize = 200;
/// Members that the collector writes itself, or never stores.
const OWNED: [&[u8]; 8] = [
    b"collection", b"id", b"properties", b"receivedAt", b"projectId", b"writeKey", b"write_key",
    b"forebayPosition",
];

/// The members of a request's object that matter.
#[derive(Default)]
struct Top {
    collection: Option<Text>,
    objects: Option<Objects>,
    write_key: Option<Text>,
}

/// The items of an `objects` array.
#[derive(Default)]
struct Objects {
    items: Vec<Item>,
    beyond: Vec<Value>,
    too_deep_len: usize,
}

/// Reads the object at the top. The last of equal names counts.
fn read_top(cursor: &mut Cursor<'_>, objects_max: usize) -> Result<Top, ScanError> {
    super::body::expect_object(cursor)?;
    let mut top = Top::default();
    cursor.enter()?;
    while let Some(name) = cursor.next_name()? {
        match &*unescape(name, cursor.text()) {
            b"collection" => top.collection = cursor.value()?.text(),
            // The public Go client writes it with an underscore.
            b"writeKey" | b"write_key" => top.write_key = cursor.value()?.text(),
            b"objects" if cursor.peek() == Some(b'[') => {
                top.objects = Some(read_objects(cursor, objects_max)?);
            }
            b"objects" => {
                cursor.value()?;
                top.objects = None;
            }
            _ => {
                cursor.value()?;
            }
        }
    }
    cursor.finish()?;
    Ok(top)
}

fn read_objects(cursor: &mut Cursor<'_>, objects_max: usize) -> Result<Objects, ScanError> {
    let mut objects = Objects::default();
    cursor.enter()?;
    while cursor.next_element()? {
        let untidy = cursor.untidy();
        // White space before the value belongs to no line.
        cursor.peek();
        let untidy = if cursor.untidy() == untidy { untidy } else { cursor.untidy() };
        let (value, too_deep) = cursor.at_any_depth(Cursor::value)?;
        objects.too_deep_len += if too_deep { value.span.len() } else { 0 };
        if objects.items.len() < objects_max {
            objects.items.push(Item { value, untidy: cursor.untidy() != untidy, too_deep });
        } else {
            objects.beyond.push(value);
        }
    }
    Ok(objects)
}

/// An object's id, as text: a number is taken for its digits.
fn id_of(id: Value, object: &[u8]) -> Result<Cow<'_, str>, RejectReason> {
    let said = match (id.kind, id.text()) {
        (ValueKind::Number, _) => Cow::Borrowed(id.span.of(object)),
        (_, Some(text)) => unescape(text, object),
        _ => return Err(RejectReason::MissingObjectId),
    };
    let said = match said {
        Cow::Borrowed(said) => String::from_utf8_lossy(said),
        Cow::Owned(said) => Cow::Owned(String::from_utf8_lossy(&said).into_owned()),
    };
    if said.trim().is_empty() {
        return Err(RejectReason::MissingObjectId);
    }
    if said.chars().count() > OBJECT_ID_MAX {
        return Err(RejectReason::ObjectIdTooLong);
    }
    Ok(said)
}

/// The properties of one object, flattened: `{"a":{"b":1}}` has `a_b`. Kept for its capacity.
#[derive(Debug, Default)]
struct Flat {
    /// All names, one after the other.
    names: String,
    /// The place of each name, and its value.
    properties: Vec<(Range<usize>, Value)>,
    /// The name of each object that is open, as a length of `prefix`.
    open: Vec<usize>,
    prefix: String,
}

impl Flat {
    /// Flattens the value of `properties`. No properties, or `null`, are none.
    fn fill(&mut self, properties: Option<Value>, object: &[u8]) -> Result<(), RejectReason> {
        self.names.clear();
        self.properties.clear();
        self.open.clear();
        self.prefix.clear();
        let Some(value) = properties.filter(|value| value.kind != ValueKind::Null) else { return Ok(()) };
        if value.kind != ValueKind::Object {
            return Err(RejectReason::BadProperties);
        }
        // The request was scanned before, so only a property can be wrong here.
        self.read(value.span.of(object), value.span.start())
            .map_err(|reason| reason.unwrap_or(RejectReason::BadProperties))?;
        let names = self.properties.iter().map(|(name, _)| self.names.get(name.clone()));
        let mut seen = HashSet::with_capacity(self.properties.len());
        let are_distinct = names.into_iter().all(|name| seen.insert(name));
        // Dropping one of them would lose it silently.
        if are_distinct { Ok(()) } else { Err(RejectReason::BadProperties) }
    }

    /// `Err(None)`: the text is not JSON.
    fn read(&mut self, text: &[u8], at: usize) -> Result<(), Option<RejectReason>> {
        let no_json = |_: ScanError| None;
        let mut cursor = Cursor::new(text, usize::MAX);
        cursor.enter().map_err(no_json)?;
        self.open.push(0);
        while let Some(outer) = self.open.last().copied() {
            self.prefix.truncate(outer);
            let Some(name) = cursor.next_name().map_err(no_json)? else {
                self.open.pop();
                continue;
            };
            if self.open.len() > 1 {
                self.prefix.push('_');
            }
            self.prefix.push_str(&String::from_utf8_lossy(&unescape(name, text)));
            match cursor.peek() {
                Some(b'{') => {
                    cursor.enter().map_err(no_json)?;
                    self.open.push(self.prefix.len());
                }
                Some(b'[') => return Err(Some(RejectReason::BadProperties)),
                _ => {
                    let value = cursor.value().map_err(no_json)?;
                    self.push(value, at)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a property. `at` is where the scanned text begins in the object.
    fn push(&mut self, value: Value, at: usize) -> Result<(), RejectReason> {
        if value.span.len() >= PROPERTY_BYTES_MAX {
            return Err(RejectReason::PropertyTooLarge);
        }
        let start = self.names.len();
        self.names.push_str(&self.prefix);
        let span = Span::new(at + value.span.start(), at + value.span.end());
        self.properties.push((start..self.names.len(), Value { span, ..value }));
        if self.names.len() > FLATTENED_MAX {
            return Err(RejectReason::LineTooLarge);
        }
        Ok(())
    }

    /// Writes the properties as an object. Returns how many lone surrogates were replaced.
    fn write(&self, out: &mut Vec<u8>, object: &[u8]) -> u32 {
        let mut replaced = 0;
        out.push(b'{');
        for (index, (name, value)) in self.properties.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write_text(out, self.names.get(name.clone()).unwrap_or_default());
            out.push(b':');
            match value.kind {
                ValueKind::Escaped => replaced += tidy_into(out, value.span.of(object)),
                _ => out.extend_from_slice(value.span.of(object)),
            }
        }
        out.push(b'}');
        replaced
    }
}

#[cfg(test)]
mod tests;
