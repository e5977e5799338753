//! What one batch becomes: its key, its headers and metadata, its gzip. Pure.

pub mod bucket_string;
pub mod destination;
pub mod gzip;
pub mod metadata;
pub mod object_key;

pub use bucket_string::BucketString;
pub use destination::{Destination, Encryption};
pub use object_key::{ObjectKey, ObjectName, Stream};
