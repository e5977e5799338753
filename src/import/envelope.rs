//! The body in which a step's rows are handed over: an envelope of calls, or objects of one collection.

use std::fmt;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::call::Shape;

const CALLS: &[u8] = b"{\"batch\":[";
const OBJECTS: &[u8] = b"{\"collection\":\"";

/// The items of a step, in order.
#[derive(Debug, serde::Deserialize)]
pub struct Envelope<'a> {
    /// The collection, if the items are objects.
    #[serde(default, borrow)]
    pub collection: Option<&'a str>,
    /// The calls or objects.
    #[serde(borrow, alias = "objects")]
    pub batch: Vec<&'a RawValue>,
    /// The hashes of the items, if rows are known by their content.
    #[serde(default, borrow, rename = "rowHashes")]
    pub hashes: Option<Vec<&'a str>>,
    /// The indexes of items that are stored only if no other call has their id, in order.
    #[serde(default, rename = "ownIds")]
    pub own_ids: Vec<u32>,
    /// The rows that are compared with others, in order.
    #[serde(default, borrow, rename = "rowKeys")]
    pub row_keys: Vec<KeyedRow<'a>>,
}

/// A row that is compared with others: a hash of what names it, as 32 hexadecimal digits, the index of its
/// first item, and the number of its items.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub struct KeyedRow<'a>(pub &'a str, pub u32, pub u32);

impl<'a> Envelope<'a> {
    /// Reads what a step wrote. Errors: [`serde_json::Error`]: the body is not what a step writes.
    pub fn read(body: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}

/// The text of a body before its items: of a collection, or calls.
pub fn head(collection: Option<&str>) -> Vec<u8> {
    match collection {
        None => CALLS.to_vec(),
        // The letters of a collection need no escapes.
        Some(collection) => [OBJECTS, collection.as_bytes(), b"\",\"objects\":["].concat(),
    }
}

/// Closes a body after its items: with their hashes, if they have any, and with the indexes of those that
/// must have ids of their own.
pub fn write_tail(out: &mut Vec<u8>, hashes: impl IntoIterator<Item: fmt::Display>, own_ids: &[u32]) {
    out.push(b']');
    let mut has_hashes = false;
    for hash in hashes {
        out.extend_from_slice(if has_hashes { b"\",\"" } else { b",\"rowHashes\":[\"" });
        out.extend_from_slice(hash.to_string().as_bytes());
        has_hashes = true;
    }
    if has_hashes {
        out.extend_from_slice(b"\"]");
    }
    for (index, item) in own_ids.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"ownIds\":[" } else { b"," });
        out.extend_from_slice(item.to_string().as_bytes());
    }
    if !own_ids.is_empty() {
        out.push(b']');
    }
    out.push(b'}');
}

/// Closes a body after its items: with the hash of each row that is compared with others, the index of its
/// first item, and the number of its items. Such items have neither hashes nor ids of their own.
pub fn write_row_keys(out: &mut Vec<u8>, rows: &[(u128, u32, u32)]) {
    out.push(b']');
    for (index, (key, first, count)) in rows.iter().enumerate() {
        let before = if index == 0 { ",\"rowKeys\":[" } else { "," };
        out.extend_from_slice(format!("{before}[\"{key:032x}\",{first},{count}]").as_bytes());
    }
    out.extend_from_slice(if rows.is_empty() { b"}" } else { b"]}" });
}

/// The body without one of its items. Errors: [`serde_json::Error`]: the body is not that of a step.
pub fn without(body: &Bytes, item: u32) -> Result<Vec<u8>, serde_json::Error> {
    let envelope = Envelope::read(body)?;
    let is_other = |index: usize| u32::try_from(index) != Ok(item);
    let mut out = Vec::with_capacity(body.len());
    out.extend_from_slice(&head(envelope.collection));
    let calls = envelope.batch.iter().enumerate().filter(|(index, _)| is_other(*index));
    for (count, (_, call)) in calls.enumerate() {
        if count > 0 {
            out.push(b',');
        }
        out.extend_from_slice(call.get().as_bytes());
    }
    let hashes = envelope.hashes.iter().flatten().enumerate();
    let hashes = hashes.filter(|(index, _)| is_other(*index)).map(|(_, hash)| hash);
    let own_ids = envelope.own_ids.iter().filter(|own| **own != item);
    let own_ids: Vec<u32> = own_ids.map(|own| own - u32::from(*own > item)).collect();
    write_tail(&mut out, hashes, &own_ids);
    Ok(out)
}

/// What a body holds.
pub fn shape_of(body: &[u8]) -> Shape {
    if body.starts_with(OBJECTS) { Shape::ObjectSets } else { Shape::Envelope }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_left_out_with_what_belongs_to_it() {
        let mut body = head(None);
        body.extend_from_slice(b"{\"a\":1},{\"a\":2},{\"a\":3}");
        write_tail(&mut body, ["x", "y", "z"], &[0, 1, 2]);
        let without = |body: &[u8], item| without(&Bytes::copy_from_slice(body), item).unwrap();
        let text = |body: Vec<u8>| String::from_utf8(body).unwrap();
        let first = without(&body, 0);
        assert_eq!(
            text(first.clone()),
            r#"{"batch":[{"a":2},{"a":3}],"rowHashes":["y","z"],"ownIds":[0,1]}"#
        );
        assert_eq!(text(without(&without(&first, 1), 0)), r#"{"batch":[]}"#);
    }

    #[test]
    fn keys_of_rows_are_read_as_they_were_written() {
        for keys in [&[][..], &[(7, 0, 1)], &[(u128::MAX, 0, 2), (1, 5, 1)]] {
            let mut body = head(None);
            body.extend_from_slice(b"{}");
            write_row_keys(&mut body, keys);
            let read = Envelope::read(&body).unwrap();
            let read = read
                .row_keys
                .iter()
                .map(|KeyedRow(key, first, count)| (u128::from_str_radix(key, 16).unwrap(), *first, *count));
            assert_eq!(read.collect::<Vec<_>>(), keys);
        }
    }

    #[test]
    fn a_body_is_read_as_it_was_written() {
        for collection in [None, Some("rooms")] {
            let mut body = head(collection);
            body.extend_from_slice(b"{\"id\":\"1\"},{}]}");
            let body = Bytes::from(body);
            let envelope = Envelope::read(&body).unwrap();
            assert_eq!(envelope.collection, collection);
            let items: Vec<&str> = envelope.batch.iter().map(|item| item.get()).collect();
            assert_eq!((items, envelope.hashes), (vec!["{\"id\":\"1\"}", "{}"], None));
            let shape = if collection.is_some() { Shape::ObjectSets } else { Shape::Envelope };
            assert_eq!(shape_of(&body), shape);
        }
    }
}
