//! The checksums that S3 supports.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use serde::{Deserialize, Serialize};

/// A checksum algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    const ALL: [Self; 5] = [Self::Crc32, Self::Crc32c, Self::Crc64Nvme, Self::Sha1, Self::Sha256];

    /// The algorithm with this name in `x-amz-checksum-algorithm`, or this ending of `x-amz-checksum-…`.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// The name in `x-amz-checksum-algorithm`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Crc32 => "CRC32",
            Self::Crc32c => "CRC32C",
            Self::Crc64Nvme => "CRC64NVME",
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
        }
    }
}

/// Checksums in base64, as S3 writes them.
pub(super) type Sums = BTreeMap<Algorithm, String>;

/// The checksums in an input or output of `s3s`.
macro_rules! sums_of {
    ($from:expr) => {{
        use $crate::dev_s3::sums::Algorithm;
        [
            (Algorithm::Crc32, &$from.checksum_crc32),
            (Algorithm::Crc32c, &$from.checksum_crc32c),
            (Algorithm::Crc64Nvme, &$from.checksum_crc64nvme),
            (Algorithm::Sha1, &$from.checksum_sha1),
            (Algorithm::Sha256, &$from.checksum_sha256),
        ]
        .into_iter()
        .filter_map(|(algorithm, sum)| Some((algorithm, sum.clone()?)))
        .collect::<$crate::dev_s3::sums::Sums>()
    }};
}
pub(super) use sums_of;

/// Writes checksums into an output of `s3s`.
macro_rules! set_sums {
    ($to:expr, $sums:expr) => {{
        use $crate::dev_s3::sums::Algorithm;
        let sums: &$crate::dev_s3::sums::Sums = $sums;
        $to.checksum_crc32 = sums.get(&Algorithm::Crc32).cloned();
        $to.checksum_crc32c = sums.get(&Algorithm::Crc32c).cloned();
        $to.checksum_crc64nvme = sums.get(&Algorithm::Crc64Nvme).cloned();
        $to.checksum_sha1 = sums.get(&Algorithm::Sha1).cloned();
        $to.checksum_sha256 = sums.get(&Algorithm::Sha256).cloned();
    }};
}
pub(super) use set_sums;

/// Computes the MD5 and the requested checksums in one pass.
pub(super) struct Hasher {
    md5: Md5,
    sums: ChecksumHasher,
}

impl Hasher {
    pub(super) fn new(algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        let mut sums = ChecksumHasher::default();
        for algorithm in algorithms {
            match algorithm {
                Algorithm::Crc32 => sums.crc32 = Some(Crc32::new()),
                Algorithm::Crc32c => sums.crc32c = Some(Crc32c::new()),
                Algorithm::Crc64Nvme => sums.crc64nvme = Some(Crc64Nvme::new()),
                Algorithm::Sha1 => sums.sha1 = Some(Sha1::new()),
                Algorithm::Sha256 => sums.sha256 = Some(Sha256::new()),
            }
        }
        Self { md5: Md5::new(), sums }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        self.sums.update(bytes);
    }

    /// The MD5 and the checksums.
    pub(super) fn finish(self) -> ([u8; 16], Sums) {
        let sums = self.sums.finalize();
        (self.md5.finalize(), sums_of!(sums))
    }
}

/// The composite checksum of a multipart object: over the parts' raw checksums, followed by their number.
pub(super) fn composite(algorithm: Algorithm, parts: &[&String]) -> Option<String> {
    let mut hasher = Hasher::new([algorithm]);
    for part in parts {
        hasher.update(&STANDARD.decode(part).ok()?);
    }
    let (_, sums) = hasher.finish();
    Some(format!("{}-{}", sums.get(&algorithm)?, parts.len()))
}

/// Parses a `Content-MD5`.
pub(super) fn content_md5(text: &str) -> Option<[u8; 16]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_of_the_standard_check_string_are_correct() {
        let check = |name: &str, expected: &str| {
            let algorithm = Algorithm::named(name).unwrap();
            let mut hasher = Hasher::new([algorithm]);
            hasher.update(b"1234");
            hasher.update(b"56789");
            let (md5, sums) = hasher.finish();
            assert_eq!(hex::encode(md5), "25f9e794323b453885f5181f1b624d0b");
            assert_eq!(sums, Sums::from([(algorithm, expected.to_owned())]), "{name}");
            assert_eq!(algorithm.name(), name);
        };
        check("CRC32", "y/Q5Jg==");
        check("CRC32C", "4waSgw==");
        check("CRC64NVME", "rosUhgp5mIg=");
        check("SHA1", "98O8HYCOBHMq32eZZczDTKeuNEE=");
        check("SHA256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=");
        assert_eq!(Algorithm::named("MD5"), None);
    }
}
