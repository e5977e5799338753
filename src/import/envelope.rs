//! The body in which a step's rows are handed over: an envelope of calls, or objects of one collection.

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::call::Shape;
use crate::object::Collection;

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
    /// Their hashes, if rows are known by their content.
    #[serde(default, borrow, rename = "rowHashes")]
    pub hashes: Option<Vec<&'a str>>,
}

impl<'a> Envelope<'a> {
    /// Reads what a step wrote.
    ///
    /// # Errors
    /// It is something else.
    pub fn read(body: &'a Bytes) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }

    /// What comes before the items.
    pub fn head(&self) -> Vec<u8> {
        head_of(self.collection)
    }
}

/// What comes before the items of a collection, or before calls.
pub fn head(collection: Option<&Collection>) -> Vec<u8> {
    head_of(collection.map(Collection::as_str))
}

fn head_of(collection: Option<&str>) -> Vec<u8> {
    match collection {
        None => CALLS.to_vec(),
        // The letters of a collection need no escapes.
        Some(collection) => [OBJECTS, collection.as_bytes(), b"\",\"objects\":["].concat(),
    }
}

/// What a body holds.
pub fn shape_of(body: &[u8]) -> Shape {
    if body.starts_with(OBJECTS) { Shape::ObjectSets } else { Shape::Envelope }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_read_as_it_was_written() {
        let rooms = Collection::new("rooms").unwrap();
        for collection in [None, Some(&rooms)] {
            let mut body = head(collection);
            body.extend_from_slice(b"{\"id\":\"1\"},{}]}");
            let body = Bytes::from(body);
            let envelope = Envelope::read(&body).unwrap();
            assert_eq!(envelope.collection, collection.map(Collection::as_str));
            assert_eq!(envelope.head(), head(collection));
            let items: Vec<&str> = envelope.batch.iter().map(|item| item.get()).collect();
            assert_eq!((items, envelope.hashes), (vec!["{\"id\":\"1\"}", "{}"], None));
            let shape = if collection.is_some() { Shape::ObjectSets } else { Shape::Envelope };
            assert_eq!(shape_of(&body), shape);
        }
    }
}
