//! How claims and names are written: a JSON object with a version and a checksum, which is the beginning of
//! the BLAKE3 hash of the same object with an empty checksum.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::import::file_id::first_128_bits;
use crate::import::import_id::ImportId;
use crate::import::import_names::FixedSettings;

/// The version of both forms.
const VERSION: u32 = 1;

/// Whether a claimed file is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimState {
    /// Its rows may be on the disk of the instance alone.
    Open,
    /// All of its rows are in the bucket.
    Delivered,
    /// A person freed it: any instance may take it.
    Released,
}

/// A file that belongs to an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    pub(super) version: u32,
    /// The import.
    pub import: ImportId,
    /// The file's key in its bucket.
    pub key: String,
    /// Whose it is: the id of a spool.
    pub instance: String,
    /// The tag of the version that the instance met, without quotes.
    pub etag: String,
    /// The length of that version, in bytes.
    pub size: u64,
    /// Whether it is delivered.
    pub state: ClaimState,
    /// How often the claim was written: no two versions of it are equal.
    pub revision: u64,
    /// The rows of the file, once it is delivered, if they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// The calls that they became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    pub(super) checksum: String,
}

/// A name that instances share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedName {
    pub(super) version: u32,
    /// The import's name.
    pub(super) name: String,
    /// The import's id.
    pub(super) id: ImportId,
    /// The settings that cannot change.
    pub(super) fixed: FixedSettings,
    /// The instance that wrote it.
    pub(super) instance: String,
    /// The name that the import has now, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) renamed_to: Option<String>,
    pub(super) checksum: String,
}

/// What is written with a version and a checksum.
pub(super) trait Checked: Clone + Serialize + DeserializeOwned {
    /// Its checksum.
    fn checksum(&mut self) -> &mut String;

    /// As it is written. Errors: it has no JSON form.
    fn written(&self) -> serde_json::Result<Bytes> {
        let mut value = self.clone();
        *value.checksum() = value.sum()?;
        Ok(serde_json::to_vec(&value)?.into())
    }

    /// What was written. Errors: why it is damaged, or cannot be read by this release.
    fn read(bytes: &[u8]) -> Result<Self, String> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: u32,
        }
        // What else is there may be private, and the error of a parser quotes it.
        let other = |error: serde_json::Error| {
            format!("it is none of Forebay's (line {}, column {})", error.line(), error.column())
        };
        let Version { version } = serde_json::from_slice(bytes).map_err(other)?;
        if version != VERSION {
            return Err(format!("it has version {version}, and this release knows {VERSION}"));
        }
        let mut value: Self = serde_json::from_slice(bytes).map_err(other)?;
        let sum = value.sum().map_err(|error| error.to_string())?;
        if *value.checksum() == sum { Ok(value) } else { Err("its checksum does not match".to_owned()) }
    }

    /// The checksum that it should have. Errors: it has no JSON form.
    fn sum(&self) -> serde_json::Result<String> {
        let mut plain = self.clone();
        plain.checksum().clear();
        Ok(hash(b"forebay shared journal 1", &serde_json::to_vec(&plain)?))
    }
}

impl Checked for Claim {
    fn checksum(&mut self) -> &mut String {
        &mut self.checksum
    }
}

impl Checked for SharedName {
    fn checksum(&mut self) -> &mut String {
        &mut self.checksum
    }
}

impl Claim {
    /// The first claim of a file.
    pub fn open(import: ImportId, key: &str, instance: &str, (etag, size): (&str, u64)) -> Self {
        Self {
            version: VERSION,
            import,
            key: key.to_owned(),
            instance: instance.to_owned(),
            etag: etag.to_owned(),
            size,
            state: ClaimState::Open,
            revision: 1,
            rows: None,
            calls: None,
            checksum: String::new(),
        }
    }
}

impl SharedName {
    /// A name that an import has.
    pub(super) fn new(name: &str, id: ImportId, fixed: FixedSettings, instance: &str) -> Self {
        Self {
            version: VERSION,
            name: name.to_owned(),
            id,
            fixed,
            instance: instance.to_owned(),
            renamed_to: None,
            checksum: String::new(),
        }
    }
}

/// The name of the claim of a file, without its folder and its ending: 32 hexadecimal digits of a hash.
pub fn claim_name(key: &str) -> String {
    hash(b"forebay claim 1", key.as_bytes())
}

fn hash(what: &[u8], bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what).update(&(bytes.len() as u64).to_be_bytes()).update(bytes);
    format!("{:032x}", u128::from_be_bytes(first_128_bits(&hasher)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_with_a_flipped_byte_is_damaged() {
        let claim = Claim::open(ImportId::of_bits(7), "in/ä b.json", "0123", ("tag", 5));
        let written = claim.written().unwrap();
        let read = Claim::read(&written).unwrap();
        assert_eq!((&read.key, read.state, read.size), (&claim.key, ClaimState::Open, 5));
        for at in 0..written.len() {
            let mut bytes = written.to_vec();
            bytes[at] ^= 1;
            assert!(Claim::read(&bytes).is_err(), "{}", String::from_utf8_lossy(&bytes));
        }
        assert!(Claim::read(&written[..written.len() - 1]).is_err() && Claim::read(b"").is_err());
        let newer = String::from_utf8(written.to_vec()).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(Claim::read(newer.as_bytes()).unwrap_err().contains("this release knows 1"));
    }

    /// Instances of all releases must find the same object.
    #[test]
    fn the_name_of_a_claim_follows_from_the_key() {
        assert_eq!(claim_name("in/a.json"), claim_name("in/a.json"));
        assert_ne!(claim_name("in/a.json"), claim_name("in/a.jso"));
        assert_eq!(claim_name("").len(), 32);
    }
}
