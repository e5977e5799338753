//! The user metadata of an object: what is inside, so that its place in a day can be proved without reading it.

use chrono::{DateTime, SecondsFormat, Utc};

use crate::time::UnixMillis;

/// SHA-256 of the lines; two objects with the same are the same.
pub const SHA256: &str = "forebay-sha256";

/// What an object's metadata says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Lines.
    pub calls: u64,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// The node id.
    pub node: &'a str,
    /// First position.
    pub first_position: u64,
    /// Last position.
    pub last_position: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: &'a str,
    /// The last position of the object before it.
    pub previous_last_position: Option<u64>,
}

impl Metadata<'_> {
    /// Names (without `x-amz-meta-`) and values.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![
            ("forebay-calls", self.calls.to_string()),
            ("forebay-first-received-at", rfc3339(self.first_received_at)),
            ("forebay-last-received-at", rfc3339(self.last_received_at)),
            ("forebay-node", self.node.to_owned()),
            ("forebay-first-position", self.first_position.to_string()),
            ("forebay-last-position", self.last_position.to_string()),
            ("forebay-bytes", self.bytes.to_string()),
            (SHA256, self.sha256.to_owned()),
        ];
        if let Some(previous) = self.previous_last_position {
            pairs.push(("forebay-previous-last-position", previous.to_string()));
        }
        pairs
    }
}

/// An instant as it stands in a line's `receivedAt`; its milliseconds where it is in no year that RFC 3339 can write.
pub fn rfc3339(at: UnixMillis) -> String {
    DateTime::<Utc>::from_timestamp_millis(at.0)
        .map_or_else(|| at.0.to_string(), |at| at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_is_absent_in_the_first_object() {
        let mut metadata = Metadata {
            calls: 2,
            first_received_at: UnixMillis(1_432_684_812_345),
            last_received_at: UnixMillis(1_432_684_812_400),
            node: "n1",
            first_position: 7,
            last_position: 9,
            bytes: 20,
            sha256: "ab",
            previous_last_position: None,
        };
        assert!(metadata.pairs().iter().all(|(name, _)| *name != "forebay-previous-last-position"));
        metadata.previous_last_position = Some(6);
        let pairs = metadata.pairs();
        assert!(pairs.contains(&("forebay-first-received-at", "2015-05-27T00:00:12.345Z".into())));
        assert!(pairs.contains(&("forebay-previous-last-position", "6".into())));
    }
}
