//! What the columns of a CSV manifest are.

use crate::words::outside_text_within;

/// The most columns that may be named.
pub const FIELDS_MAX: usize = 32;

closed_list! {
    /// What a column of a CSV manifest has, by its name in the API of S3 Batch Operations.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Field by as_str and named {
        /// The bucket's name.
        Bucket = "Bucket",
        /// The object key, URL-encoded.
        Key = "Key",
        /// The object's version.
        VersionId = "VersionId",
        /// Something that is not read.
        Ignore = "Ignore",
    }
}

/// The columns of a CSV manifest, in their order. Bucket and Key are there once, VersionId at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fields {
    width: usize,
    bucket: usize,
    key: usize,
    version: Option<usize>,
}

/// Why these are not the columns of a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldsError {
    /// A column is missing that a manifest must have.
    #[error(
        "the fields lack {0}; name the columns in their order, such as Bucket,Key or Bucket,Key,VersionId"
    )]
    Lacks(&'static str),
    /// A column is named twice.
    #[error("the field {0} is named twice; a column that is not to be read is named Ignore")]
    Twice(&'static str),
    /// A name is none of a field.
    #[error("\"{name}\" is no field; a field is {known}")]
    Unknown {
        /// The name, safe to show.
        name: String,
        /// The names that there are.
        known: String,
    },
    /// There are too many.
    #[error("{0} fields are named; at most {FIELDS_MAX} can be")]
    TooMany(usize),
}

impl Fields {
    /// The columns with these names. Errors: [`FieldsError`].
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, FieldsError> {
        let unknown = |name: &str| FieldsError::Unknown {
            name: outside_text_within(name, 40).to_string(),
            known: Field::ALL.map(Field::as_str).join(", "),
        };
        let (mut width, mut bucket, mut key, mut version) = (0, None, None, None);
        for name in names {
            let field = Field::named(name).ok_or_else(|| unknown(name))?;
            let place = match field {
                Field::Bucket => Some(&mut bucket),
                Field::Key => Some(&mut key),
                Field::VersionId => Some(&mut version),
                Field::Ignore => None,
            };
            if place.and_then(|place| place.replace(width)).is_some() {
                return Err(FieldsError::Twice(field.as_str()));
            }
            width += 1;
        }
        if width > FIELDS_MAX {
            return Err(FieldsError::TooMany(width));
        }
        let bucket = bucket.ok_or(FieldsError::Lacks("Bucket"))?;
        let key = key.ok_or(FieldsError::Lacks("Key"))?;
        Ok(Self { width, bucket, key, version })
    }

    /// The columns that a text names with commas between: `Bucket,Key,VersionId`. Errors: [`FieldsError`].
    pub fn parse(text: &str) -> Result<Self, FieldsError> {
        Self::new(text.split(',').map(str::trim))
    }

    /// The columns of rows of this width that nobody named: Bucket, Key and then perhaps VersionId.
    pub fn by_width(width: usize) -> Option<Self> {
        match width {
            2 => Some(Self { width, bucket: 0, key: 1, version: None }),
            3 => Some(Self { width, bucket: 0, key: 1, version: Some(2) }),
            _ => None,
        }
    }

    /// The number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The column of the bucket, from 0.
    pub fn bucket(&self) -> usize {
        self.bucket
    }

    /// The column of the key, from 0.
    pub fn key(&self) -> usize {
        self.key
    }

    /// The column of the version, from 0.
    pub fn version(&self) -> Option<usize> {
        self.version
    }

    /// The names, in order, as the API lists them.
    pub fn names(&self) -> Vec<&'static str> {
        let of = |at: usize| match at {
            at if at == self.bucket => Field::Bucket,
            at if at == self.key => Field::Key,
            at if Some(at) == self.version => Field::VersionId,
            _ => Field::Ignore,
        };
        (0..self.width).map(|at| of(at).as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_have_their_places() {
        let check = |text: &str, bucket, key, version| {
            let fields = Fields::parse(text).unwrap();
            assert_eq!((fields.bucket(), fields.key(), fields.version()), (bucket, key, version), "{text}");
            assert_eq!(fields.names().join(","), text.replace(' ', ""));
            assert_eq!(fields.width(), text.split(',').count());
        };
        check("Bucket,Key", 0, 1, None);
        check("Key, Bucket", 1, 0, None);
        check("Bucket,Key,VersionId", 0, 1, Some(2));
        check("Ignore,VersionId,Ignore,Key,Bucket,Ignore", 4, 3, Some(1));
        let widest = format!("Bucket,Key{}", ",Ignore".repeat(30));
        check(&widest, 0, 1, None);
        for width in [2, 3] {
            let names = Fields::by_width(width).unwrap().names();
            assert_eq!(Fields::new(names).unwrap(), Fields::by_width(width).unwrap());
        }
        assert_eq!((Fields::by_width(1), Fields::by_width(4)), (None, None));
    }

    #[test]
    fn other_columns_are_refused_by_name() {
        let check = |text: &str, says: &str| {
            let error = Fields::parse(text).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        };
        check("Key", "lack Bucket");
        check("Bucket,Ignore", "lack Key");
        check("Bucket,Key,Bucket", "Bucket is named twice");
        check("Bucket,Key,Key", "Key is named twice");
        check("VersionId,Bucket,Key,VersionId", "VersionId is named twice");
        check("Bucket,Key,Size", "\"Size\" is no field; a field is Bucket, Key, VersionId, Ignore");
        check("bucket,Key", "\"bucket\" is no field");
        check("Bucket,Key,", "\"\" is no field");
        check("", "\"\" is no field");
        check(&format!("Bucket,Key{}", ",Ignore".repeat(31)), "33 fields are named; at most 32");
        assert_eq!(Fields::new([]), Err(FieldsError::Lacks("Bucket")));
    }
}
