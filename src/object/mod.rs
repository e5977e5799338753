//! The object that a batch becomes: its key, headers, metadata and gzip. Pure.

pub mod bucket_string;
pub mod closed_marker;
pub mod encryption;
pub mod gzip;
pub mod metadata;
pub mod object_key;
pub mod replay_note;
pub mod role;
pub mod s3_location;
pub mod stream;

pub use bucket_string::BucketString;
pub use closed_marker::{ClosedMarker, ClosedStream, Closing};
pub use encryption::{AppliedEncryption, Encryption, KmsContext, KmsKey, SseKms};
pub use object_key::{KEY_BYTES_MAX, OBJECTS, ObjectKey, ObjectName, ParsedObjectKey, ParsedPartKey};
pub use role::{AccountId, ExternalId, Role, RoleArn};
pub use s3_location::{ObjectTags, PutLocation, S3Location, StorageClass};
pub use stream::{Collection, Stream};
