//! Detects how a file is compressed.

/// The bytes at the beginning of a file that [`detect`] looks at.
pub const MAGIC_BYTES: usize = 4;

closed_list! {
    /// How a file is compressed. The text is what a converter's `compressionType` calls it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Compression by as_str {
        /// Not at all.
        None = "none",
        /// gzip, in any number of members.
        Gzip = "gzip",
        /// zstd, in any number of frames.
        Zstd = "zstd",
        /// Zip: an archive, with a file in each entry.
        Zip = "zip",
    }
}

shown_as_text!(Compression);

/// How a file is compressed, by its first [`MAGIC_BYTES`] bytes; if they show nothing, by the
/// `Content-Encoding` of an object; else by its name.
///
/// gzip, zstd and zip files all begin with their magic bytes. So `Content-Encoding` and name decide only
/// about files that are empty, cut or not what they claim to be; reading those then fails instead of ending
/// early.
pub fn detect(magic: &[u8], content_encoding: Option<&str>, name: &str) -> Compression {
    of_magic(magic)
        .or_else(|| content_encoding.and_then(of_content_encoding))
        .or_else(|| of_name(name))
        .unwrap_or(Compression::None)
}

fn of_magic(magic: &[u8]) -> Option<Compression> {
    match magic {
        // The third byte is the method: only deflate exists.
        [0x1F, 0x8B, 8, ..] => Some(Compression::Gzip),
        [0x28, 0xB5, 0x2F, 0xFD, ..] => Some(Compression::Zstd),
        // These bytes begin a skippable frame.
        [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Compression::Zstd),
        // These bytes begin a file, an archive without entries, and a part of a split archive.
        [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] | [b'P', b'K', 7, 8, ..] => Some(Compression::Zip),
        _ => None,
    }
}

fn of_content_encoding(header: &str) -> Option<Compression> {
    // The last word is the compression that was applied last. `aws-chunked` describes the upload, not the
    // object.
    let applied = |word: &&str| !word.is_empty() && *word != "aws-chunked";
    let header = header.to_ascii_lowercase();
    match header.split(',').map(str::trim).rfind(applied)? {
        "gzip" | "x-gzip" => Some(Compression::Gzip),
        "zstd" => Some(Compression::Zstd),
        _ => None,
    }
}

fn of_name(name: &str) -> Option<Compression> {
    let (_, extension) = name.rsplit_once('.')?;
    match extension.to_ascii_lowercase().as_str() {
        "gz" => Some(Compression::Gzip),
        "zst" => Some(Compression::Zstd),
        "zip" => Some(Compression::Zip),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_decides_then_the_header_then_the_name() {
        let check = |magic: &[u8], header, name, is| assert_eq!(detect(magic, header, name), is, "{name}");
        let (gzip, zstd, zip) = (&[0x1F, 0x8B, 8, 0], &[0x28, 0xB5, 0x2F, 0xFD], b"PK\x03\x04");
        check(b"id,a", None, "a.csv", Compression::None);
        check(gzip, None, "a.csv", Compression::Gzip);
        check(gzip, Some("zstd"), "a.csv.zip", Compression::Gzip);
        check(zstd, None, "a.csv.gz", Compression::Zstd);
        check(&[0x5A, 0x2A, 0x4D, 0x18], None, "a", Compression::Zstd);
        check(zip, None, "a.csv", Compression::Zip);
        check(b"PK\x05\x06", None, "a.csv", Compression::Zip);
        check(b"PK,x", None, "a.csv", Compression::None);
        check(b"", None, "a.csv", Compression::None);
        check(b"", None, "a.csv.gz", Compression::Gzip);
        check(b"id,a", Some("gzip"), "a.csv", Compression::Gzip);
        check(b"id,a", Some("GZIP, aws-chunked"), "a.csv", Compression::Gzip);
        check(b"id,a", Some("aws-chunked"), "a.csv.ZST", Compression::Zstd);
        check(b"id,a", Some("identity"), "a.csv", Compression::None);
        check(b"id,a", None, "a.zip", Compression::Zip);
        check(b"id,a", None, "gz", Compression::None);
    }
}
