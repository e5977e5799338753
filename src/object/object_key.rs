//! Object keys. Only this module builds and parses them.

use super::{BucketString, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// The parts of an object's name. The name depends on the batch alone, so a retry writes the same object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectName<'a> {
    /// The `receivedAt` of the batch's first call.
    pub first_received_at: UnixMillis,
    /// The node id: `[a-z0-9-]{1,32}`.
    pub node: &'a str,
    /// The spool id, as 32 hexadecimal digits.
    pub spool_id: &'a str,
    /// The position of the batch's first call.
    pub first_position: u64,
}

/// Where the objects of all sources are, below their bucket's prefix.
pub const OBJECTS: &str = "segment-logs/";
/// The most bytes of a key (Amazon S3 User Guide, "Naming Amazon S3 objects").
pub const KEY_BYTES_MAX: usize = 1_024;

/// The key of an object in its bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key of a batch: `{prefix/}segment-logs/{source}/{day}/{first ms}-{node}-{spool id}-{first
    /// position}.gz`, with the stream's folder before the source.
    pub fn of_batch(
        bucket: &BucketString,
        stream: &Stream,
        source: &SourceId,
        day: ReceivedDay,
        name: ObjectName<'_>,
    ) -> Self {
        let ObjectName { first_received_at, node, spool_id, first_position } = name;
        let (folder, at) = (stream.folder(), first_received_at.0);
        let name = format!("{at}-{node}-{spool_id}-{first_position:020}.gz");
        Self(bucket.below(&format!("{OBJECTS}{folder}{source}/{day}/{name}")))
    }

    /// The key of a test object: `{prefix/}segment-logs/_check/{node}-{ms}`, which readers skip and the plain
    /// policy allows.
    pub fn of_check(bucket: &BucketString, node: &str, at: UnixMillis) -> Self {
        Self(bucket.below(&format!("{OBJECTS}_check/{node}-{}", at.0)))
    }

    /// The key of an object whose own key, this one, another object has and keeps:
    /// `{prefix/}segment-logs/_conflicts/{what follows segment-logs/ in its own key}`. Readers skip it, and the
    /// plain policy allows it.
    pub fn of_conflict(&self, bucket: &BucketString) -> Self {
        let inside = below_prefix(bucket, &self.0).and_then(|inside| inside.strip_prefix(OBJECTS));
        Self(bucket.below(&format!("{OBJECTS}_conflicts/{}", inside.unwrap_or(&self.0))))
    }

    /// A key that a store listed, unchecked: it may not be one of Forebay's.
    pub fn listed(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The parts of the key of a batch's object: the inverse of [`ObjectKey::of_batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedObjectKey {
    /// The stream.
    pub stream: Stream,
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// The `receivedAt` of the batch's first call.
    pub first_received_at: UnixMillis,
    /// The node id.
    pub node: String,
    /// The spool id, as 32 hexadecimal digits.
    pub spool_id: String,
    /// The position of the batch's first call.
    pub first_position: u64,
}

impl ParsedObjectKey {
    /// Parses the key of an object in `bucket`. `None` if [`ObjectKey::of_batch`] never builds such a key.
    pub fn of(bucket: &BucketString, key: &str) -> Option<Self> {
        let inside = below_prefix(bucket, key)?.strip_prefix(OBJECTS)?;
        let (stream, inside) = Stream::of_folder(inside)?;
        let (source, inside) = inside.split_once('/')?;
        let (day, name) = inside.split_once('/')?;
        let (name, first_position) = name.strip_suffix(".gz")?.rsplit_once('-')?;
        let (name, spool_id) = name.rsplit_once('-')?;
        // A time before 1970 begins with a minus.
        let at = name.char_indices().skip(1).find(|(_, char)| *char == '-')?.0;
        let (first_received_at, node) = name.split_at_checked(at)?;
        let place = Self {
            stream,
            source: SourceId::new(source).ok()?,
            day: received_day(day)?,
            first_received_at: UnixMillis(first_received_at.parse().ok()?),
            node: node.strip_prefix('-').filter(|node| is_node(node))?.to_owned(),
            spool_id: Some(spool_id).filter(|id| is_spool_id(id))?.to_owned(),
            first_position: first_position.parse().ok()?,
        };
        // Every number has only one valid form, so a key that differs after being rebuilt from its parts is
        // not Forebay's.
        (place.key(bucket).as_str() == key).then_some(place)
    }

    /// The key in `bucket`.
    pub fn key(&self, bucket: &BucketString) -> ObjectKey {
        let name = ObjectName {
            first_received_at: self.first_received_at,
            node: &self.node,
            spool_id: &self.spool_id,
            first_position: self.first_position,
        };
        ObjectKey::of_batch(bucket, &self.stream, &self.source, self.day, name)
    }
}

/// The parts of the key of an object that was made of rows of a file without a spool: a part of an import.
///
/// The key is `{prefix/}segment-logs/{source}/{day}/{ms}-imp_{file id}_{first row}.gz`, with the stream's
/// folder before the source. It follows from the file alone, and no batch can have it: nodes have no `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedPartKey {
    /// The stream.
    pub stream: Stream,
    /// The source.
    pub source: SourceId,
    /// The `receivedAt` of all its calls: when the file was stored.
    pub received_at: UnixMillis,
    /// The id of the file: 26 characters of a-z and 2-7.
    pub file: String,
    /// The first row of the file that it covers, from 0.
    pub first_row: u64,
}

impl ParsedPartKey {
    /// Parses the key of an object in `bucket`. `None` if [`ParsedPartKey::key`] never builds such a key.
    pub fn of(bucket: &BucketString, key: &str) -> Option<Self> {
        let inside = below_prefix(bucket, key)?.strip_prefix(OBJECTS)?;
        let (stream, inside) = Stream::of_folder(inside)?;
        let (source, inside) = inside.split_once('/')?;
        let (_, name) = inside.split_once('/')?;
        let (received_at, part) = name.strip_suffix(".gz")?.rsplit_once("-imp_")?;
        let (file, first_row) = part.split_once('_')?;
        let place = Self {
            stream,
            source: SourceId::new(source).ok()?,
            received_at: UnixMillis(received_at.parse().ok()?),
            file: Some(file).filter(|file| is_file_id(file))?.to_owned(),
            first_row: first_row.parse().ok()?,
        };
        // As in `ParsedObjectKey::of`; this also compares the day.
        (place.key(bucket).as_str() == key).then_some(place)
    }

    /// The key in `bucket`.
    pub fn key(&self, bucket: &BucketString) -> ObjectKey {
        let folder = self.stream.folder();
        let Self { source, received_at, file, first_row, .. } = self;
        let (day, at) = (received_at.day(), received_at.0);
        ObjectKey(
            bucket.below(&format!("{OBJECTS}{folder}{source}/{day}/{at}-imp_{file}_{first_row:020}.gz")),
        )
    }
}

/// Whether a text can be the id of a file: 26 digits of base32 in lower case.
fn is_file_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b))
}

/// The part of a key after the prefix of `bucket`. `None` if the key is not below the prefix.
pub fn below_prefix<'k>(bucket: &BucketString, key: &'k str) -> Option<&'k str> {
    match bucket.prefix() {
        "" => Some(key),
        prefix => key.strip_prefix(prefix)?.strip_prefix('/'),
    }
}

/// The received-day of a folder with this name.
pub fn received_day(folder: &str) -> Option<ReceivedDay> {
    let at = UnixMillis(folder.parse().ok()?);
    Some(at.day()).filter(|day| day.start() == at && day.to_string() == folder)
}

/// Whether a text can be a node id: `[a-z0-9-]{1,32}`.
pub fn is_node(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=32).contains(&text.len()) && text.bytes().all(legal)
}

/// Whether a text can be a spool id: 32 hexadecimal digits.
pub fn is_spool_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

shown_as_text!(ObjectKey);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::object::Collection;

    #[test]
    fn keys_are_built_from_the_batch_alone() {
        let name = ObjectName {
            first_received_at: UnixMillis(1_432_684_812_345),
            node: "n1",
            spool_id: "0123456789abcdef0123456789abcdef",
            first_position: 42,
        };
        let source = SourceId::new("checkout-web").unwrap();
        let day = name.first_received_at.day();
        let key = |bucket: &str, stream: Stream| {
            ObjectKey::of_batch(&BucketString::parse(bucket).unwrap(), &stream, &source, day, name)
                .to_string()
        };
        let tail = "checkout-web/1432684800000/1432684812345-n1-0123456789abcdef0123456789abcdef-00000000000000000042.gz";
        assert_eq!(key("bucket", Stream::Calls), format!("segment-logs/{tail}"));
        assert_eq!(key("bucket/a/b", Stream::Calls), format!("a/b/segment-logs/{tail}"));
        assert_eq!(key("bucket", Stream::Rejected), format!("segment-logs/_rejected/{tail}"));
        let rooms = Stream::Objects(Collection::new("rooms").unwrap());
        assert_eq!(key("bucket/a", rooms), format!("a/segment-logs/_objects/rooms/{tail}"));
        let dead = Stream::Dead(SourceId::new("to-lambda").unwrap());
        assert_eq!(key("bucket", dead), format!("segment-logs/_dlq/to-lambda/{tail}"));
    }

    #[test]
    fn a_test_object_is_beside_the_sources() {
        let key = |bucket: &str| {
            ObjectKey::of_check(&BucketString::parse(bucket).unwrap(), "n1", UnixMillis(7)).to_string()
        };
        assert_eq!(key("bucket"), "segment-logs/_check/n1-7");
        assert_eq!(key("bucket/a/b"), "a/b/segment-logs/_check/n1-7");
    }

    #[test]
    fn an_object_whose_key_is_taken_is_beside_the_sources_and_no_object_of_a_chain() {
        let bucket = BucketString::parse("bucket/a").unwrap();
        let key = "a/segment-logs/_rejected/web/1432684800000/1432684812345-n1-0123456789abcdef0123456789abcdef-00000000000000000042.gz";
        assert!(ParsedObjectKey::of(&bucket, key).is_some());
        let beside = ObjectKey::listed(key).of_conflict(&bucket);
        assert_eq!(beside.as_str(), key.replace("segment-logs/", "segment-logs/_conflicts/"));
        assert_eq!(ParsedObjectKey::of(&bucket, beside.as_str()), None);
    }

    proptest! {
        #[test]
        fn a_key_parses_into_the_parts_it_was_built_from(
            bucket in "[a-z]{3}(/[a-zA-Z ü+%._-]{1,8}){0,2}",
            stream in prop_oneof![
                Just("calls".to_owned()),
                Just("rejected".to_owned()),
                "objects/[a-z]{1,9}",
                "dead/[a-z][a-z0-9_-]{0,9}",
            ],
            source in "[A-Za-z0-9-][A-Za-z0-9_-]{0,63}",
            at in any::<i32>().prop_map(|at| i64::from(at) * 4_321),
            node in "[a-z0-9-]{1,32}",
            spool_id in "[0-9a-f]{32}",
            first_position in any::<u64>(),
        ) {
            prop_assume!(BucketString::parse(&bucket).is_ok());
            let bucket = BucketString::parse(&bucket).unwrap();
            let first_received_at = UnixMillis(at);
            let place = ParsedObjectKey {
                stream: stream.parse().unwrap(),
                source: SourceId::new(&source).unwrap(),
                day: first_received_at.day(),
                first_received_at,
                node,
                spool_id,
                first_position,
            };
            prop_assert_eq!(ParsedObjectKey::of(&bucket, place.key(&bucket).as_str()), Some(place));
        }
    }

    #[test]
    fn parts_of_imports_have_keys_of_their_own() {
        let bucket = BucketString::parse("bucket/a").unwrap();
        let place = |stream| ParsedPartKey {
            stream,
            source: SourceId::new("shop").unwrap(),
            received_at: UnixMillis(1_432_684_812_345),
            file: "unw446h7bvkguk7rnc2jjbggs4".to_owned(),
            first_row: 7,
        };
        let name = "1432684812345-imp_unw446h7bvkguk7rnc2jjbggs4_00000000000000000007.gz";
        let key = format!("a/segment-logs/shop/1432684800000/{name}");
        assert_eq!(place(Stream::Calls).key(&bucket).as_str(), key);
        assert_eq!(ParsedPartKey::of(&bucket, &key), Some(place(Stream::Calls)));
        assert_eq!(ParsedObjectKey::of(&bucket, &key), None, "it is in no chain");
        let rejected = place(Stream::Rejected).key(&bucket);
        assert_eq!(ParsedPartKey::of(&bucket, rejected.as_str()), Some(place(Stream::Rejected)));
        for (from, to) in [
            ("1432684800000/", "1432771200000/"),
            ("_00000000000000000007", "_7"),
            ("unw446h7", "UNW446H7"),
            ("unw446h7", "nw446h7"),
            (".gz", ".json"),
            ("a/segment", "b/segment"),
            ("-imp_", "-n1-"),
        ] {
            assert_eq!(ParsedPartKey::of(&bucket, &key.replace(from, to)), None, "{from} {to}");
        }
    }

    #[test]
    fn foreign_keys_are_not_taken_for_our_own() {
        let spool = "0123456789abcdef0123456789abcdef";
        let check = |key: &str, ours: bool| {
            let bucket = BucketString::parse("bucket/a").unwrap();
            assert_eq!(ParsedObjectKey::of(&bucket, key).is_some(), ours, "{key}");
        };
        let name = |name: &str| format!("a/segment-logs/web/1432684800000/{name}");
        let ours = format!("1432684812345-n1-{spool}-00000000000000000042.gz");
        check(&name(&ours), true);
        check(&format!("a/segment-logs/_rejected/web/1432684800000/{ours}"), true);
        check(&format!("a/segment-logs/_other/web/1432684800000/{ours}"), false);
        check(&format!("a/segment-logs/_objects/rooms/web/1432684800000/{ours}"), true);
        check(&format!("a/segment-logs/_objects/Rooms/web/1432684800000/{ours}"), false);
        check(&format!("a/segment-logs/_objects/web/1432684800000/{ours}"), false);
        check(&format!("a/segment-logs/_dlq/to/web/1432684800000/{ours}"), true);
        check(&format!("segment-logs/web/1432684800000/{ours}"), false);
        check(&format!("ab/segment-logs/web/1432684800000/{ours}"), false);
        check(&format!("a/segment-logs/web/1432684800001/{ours}"), false);
        check(&format!("a/segment-logs/web/+1432684800000/{ours}"), false);
        check(&format!("a/segment-logs/web/x/1432684800000/{ours}"), false);
        check(&name(&format!("1432684812345-n1-{spool}-42.gz")), false);
        check(&name(&format!("1432684812345-n1-{spool}-00000000000000000042.json")), false);
        check(&name(&format!("01432684812345-n1-{spool}-00000000000000000042.gz")), false);
        check(&name(&format!("1432684812345---{spool}-00000000000000000042.gz")), true);
        check(&name(&format!("1432684812345--{spool}-00000000000000000042.gz")), false);
        check(&name(&format!("1432684812345-{spool}-00000000000000000042.gz")), false);
        check(&name(&format!("1432684812345-N1-{spool}-00000000000000000042.gz")), false);
        check(&name("1432684812345-n1-0123-00000000000000000042.gz"), false);
        check(&name("1469566200000.aGk.1.abc.gz"), false);
    }
}
