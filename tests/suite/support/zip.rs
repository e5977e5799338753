//! Archives of files, for whoever reads them.

/// An archive with stored entries.
pub(crate) fn archive(entries: &[(&str, impl AsRef<[u8]>)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in entries {
        let text = text.as_ref();
        let at = u32::try_from(out.len()).unwrap();
        let (crc, len) = (crc32fast::hash(text), u32::try_from(text.len()).unwrap());
        let mut about = [20_u16, 0, 0, 0, 33].map(u16::to_le_bytes).concat();
        about.extend([crc, len, len].map(u32::to_le_bytes).concat());
        about.extend([u16::try_from(name.len()).unwrap(), 0].map(u16::to_le_bytes).concat());
        out.extend([b"PK\x03\x04", about.as_slice(), name.as_bytes(), text].concat());
        directory.extend(
            [b"PK\x01\x02\x14\0", about.as_slice(), &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat(),
        );
    }
    let (at, len) = (u32::try_from(out.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(entries.len()).unwrap();
    out.extend(directory);
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].map(u16::to_le_bytes).concat());
    out.extend([len, at].map(u32::to_le_bytes).concat());
    out.extend([0, 0]);
    out
}
