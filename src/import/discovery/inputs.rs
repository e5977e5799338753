//! Finds the inputs that the arguments of a command mean: local files, standard input, objects in S3.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::import::Unusable;
use crate::import::reading::local::{LocalInput, expand};
use crate::import::reading::names::{has_csv_extension, is_hidden};
use crate::object::{BucketString, Encryption, S3Location};
use crate::store::Head;
use crate::store::reader::{ListFrom, StoreReader};

/// The most objects of one command.
const OBJECTS_MAX: usize = 1_000_000;

/// One input.
#[derive(Clone, Debug)]
pub enum Input {
    /// A file, a pipe or standard input of this machine.
    Local(LocalInput),
    /// An object.
    Object {
        /// The object's bucket.
        bucket: String,
        /// The object's key.
        key: String,
        /// Reads the object.
        store: Arc<dyn StoreReader>,
        /// The object's length in bytes, if a listing has it.
        bytes: Option<u64>,
        /// The version to read; `None`: what is there when it is opened.
        head: Option<Box<Head>>,
    },
}

impl Input {
    /// The input's name, for people and for its type.
    pub fn name(&self) -> String {
        match self {
            Self::Local(LocalInput::File(path) | LocalInput::Found { path, .. } | LocalInput::Pipe(path)) => {
                path.display().to_string()
            }
            Self::Local(LocalInput::Stdin) => "standard input".to_owned(),
            Self::Object { bucket, key, .. } => format!("s3://{bucket}/{key}"),
        }
    }

    /// The input's length in bytes, as far as it is known without reading.
    pub fn bytes(&self) -> Option<u64> {
        match self {
            Self::Local(LocalInput::File(path) | LocalInput::Found { path, .. }) => {
                std::fs::metadata(path).ok().map(|of| of.len())
            }
            Self::Local(LocalInput::Pipe(_) | LocalInput::Stdin) => None,
            Self::Object { bytes, .. } => *bytes,
        }
    }
}

/// The bucket and the key, or prefix, of `s3://bucket/key`. `None`: the text is not such a URL.
pub fn s3_url(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix("s3://")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// The bucket, and what keys below the folder `s3://bucket/prefix/` begin with. `None`: the text is not such
/// a URL.
pub fn s3_folder(text: &str) -> Option<(&str, String)> {
    let (bucket, prefix) = s3_url(text)?;
    let prefix = prefix.trim_end_matches('/');
    Some((bucket, if prefix.is_empty() { String::new() } else { format!("{prefix}/") }))
}

fn in_s3(arg: &OsStr) -> Option<(&str, &str)> {
    s3_url(arg.to_str()?)
}

/// Whether an argument names something in S3.
pub fn any_in_s3(args: &[OsString]) -> bool {
    args.iter().any(|arg| in_s3(arg).is_some())
}

/// The inputs that the arguments mean, in their order. `store` reads from S3.
/// Errors: [`Unusable`]: something is missing or cannot be listed.
pub async fn inputs(args: &[OsString], store: Option<&Arc<dyn StoreReader>>) -> Result<Vec<Input>, Unusable> {
    let mut inputs = Vec::new();
    // Local arguments that follow each other are expanded together, so that a file named twice is one.
    for args in args.chunk_by(|one, next| in_s3(one).is_none() && in_s3(next).is_none()) {
        match (args.first().and_then(|arg| in_s3(arg)), store) {
            (Some((bucket, key)), Some(store)) => inputs.extend(objects(bucket, key, store).await?),
            _ => {
                let args = args.to_vec();
                let found = tokio::task::spawn_blocking(move || expand(&args)).await;
                let (found, skipped) = found.map_err(|error| Unusable::failed(&error))??;
                skipped.iter().for_each(|skipped| tracing::warn!("{skipped}"));
                inputs.extend(found.into_iter().map(Input::Local));
            }
        }
    }
    Ok(inputs)
}

/// The location of a bucket that is only read, so it asks for no encryption.
/// Errors: [`Unusable`]: this is not the name of a bucket.
pub fn location_of(bucket: &str) -> Result<S3Location, Unusable> {
    let bucket =
        BucketString::parse(bucket).map_err(|error| Unusable::Wrong(format!("s3://{bucket}: {error}")))?;
    Ok(S3Location::new(bucket, Encryption::None))
}

async fn objects(bucket: &str, key: &str, store: &Arc<dyn StoreReader>) -> Result<Vec<Input>, Unusable> {
    let to = location_of(bucket)?;
    let object = |key: String, bytes| Input::Object {
        bucket: bucket.to_owned(),
        key,
        store: Arc::clone(store),
        bytes,
        head: None,
    };
    if !key.is_empty() && !key.ends_with('/') {
        return Ok(vec![object(key.to_owned(), None)]);
    }
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let from = ListFrom { prefix: key, next: next.as_deref(), ..ListFrom::default() };
        let failed = |cause| Unusable::Store { what: format!("list s3://{bucket}/{key}"), cause };
        let page = store.list(&to, from).await.map_err(failed)?;
        for listed in page.objects {
            let below = listed.key.as_str().strip_prefix(key).unwrap_or_default();
            if has_csv_extension(below) && !is_hidden(below) {
                found.push(object(listed.key.as_str().to_owned(), Some(listed.len)));
            }
        }
        if found.len() > OBJECTS_MAX {
            return Err(Unusable::Wrong(format!(
                "s3://{bucket}/{key} has over {OBJECTS_MAX} files: use a longer prefix"
            )));
        }
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if found.is_empty() {
        return Err(Unusable::Wrong(format!("no .csv, .tsv or .txt object in s3://{bucket}/{key}")));
    }
    Ok(found)
}
