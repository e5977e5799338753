//! Finds files that are of another format than their converter says.

use crate::convert::FileFormat;
use crate::import::csv::format_of;
use crate::import::file_error::FileError;
use crate::import::reading::parquet::{MAGIC, MAGIC_ENCRYPTED, ParquetFault};
use crate::import::reading::text::suggest_encoding;
use crate::words::Told;

/// Bytes at the beginning of a text that show whether it is binary.
const BINARY_SAMPLE_BYTES: usize = 8_000;

/// The code of a file of another format.
const CODE: &str = "E-FORMAT";

/// Checks the beginning of a text.
/// Errors: [`FileError`]: the text is not of this format, so none of its rows could become a call.
pub(in crate::import) fn check(sample: &[u8], format: FileFormat) -> Result<(), FileError> {
    let sample = sample.get(..BINARY_SAMPLE_BYTES).unwrap_or(sample);
    let wanted = match format {
        FileFormat::Json => "one JSON object a line",
        FileFormat::Csv => "CSV",
        FileFormat::Parquet => return Err(not_parquet(sample)),
    };
    // A text may begin with the letters by which these formats are known. It has no control characters.
    let is_binary = sample.iter().any(|byte| *byte < b' ' && !byte.is_ascii_whitespace());
    if !is_binary {
        return Ok(());
    }
    if let Some(found) = known(sample) {
        let what = format!("the file is {found}, and the converter reads {wanted}: write such files");
        return Err(FileError::content(CODE, Told::plain(what)));
    }
    if format == FileFormat::Json
        && sample.contains(&0)
        && let Some(encoding) = suggest_encoding(sample)
    {
        let what = format!("the file looks like {encoding}: write it as UTF-8");
        return Err(FileError::content(CODE, Told::plain(what)));
    }
    Ok(())
}

fn known(sample: &[u8]) -> Option<&'static str> {
    format_of(sample).or_else(|| sample.starts_with(b"ORC").then_some("ORC"))
}

/// The failure of a file of parquet.
pub(in crate::import) fn of_parquet(fault: ParquetFault) -> FileError {
    match fault {
        ParquetFault::NotParquet(head) if !head.starts_with(MAGIC) => not_parquet(&head),
        fault => fault.into(),
    }
}

/// The failure of a file that begins like this and is to be parquet.
fn not_parquet(head: &[u8]) -> FileError {
    if head.starts_with(MAGIC_ENCRYPTED) {
        let what = "the parquet file is encrypted: write it without encryption";
        return FileError::content("E-PARQUET-TYPE", what);
    }
    let text = head.trim_ascii_start();
    let found = match known(head) {
        Some(found) => format!("the file is {found}"),
        None if head.is_empty() => "the file is empty".to_owned(),
        None if text.starts_with(b"[") || text.starts_with(b"{") => "the file looks like JSON".to_owned(),
        None => "the file is no parquet".to_owned(),
    };
    let what = "and the converter reads parquet: write such files, or change fileType of the converter";
    FileError::content(CODE, Told::plain(format!("{found}, {what}")))
}

/// The failure of a file whose first line begins a list.
pub(in crate::import) fn is_array() -> FileError {
    FileError::content(CODE, "the file is one JSON array: write one object a line")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_another_format_is_named() {
        let check = |sample: &[u8], format: FileFormat, expected: &str| {
            // All of it is said by this program, so that a masked view has it, too.
            let found = check(sample, format).map_or_else(|error| error.masked(), |()| String::new());
            assert!(found.contains(expected) && found.is_empty() == expected.is_empty(), "{found}");
        };
        for format in [FileFormat::Json, FileFormat::Csv] {
            check(b"PAR1\x15\x04\x15\0", format, "E-FORMAT: the file is Parquet, and the converter reads");
            check(b"Obj\x01\x04\x14avro.codec", format, "the file is Avro");
            check(b"ORC\x0a\x03\0\0\0", format, "the file is ORC");
            check(b"BZh91AY&SY\x01", format, "the file is bzip2 (.bz2)");
            check(b"\xFD7zXZ\0\0\x04", format, "the file is xz (.xz)");
            check(b"{\"a\":1}\n\n\t", format, "");
            check(b"", format, "");
        }
        check(b"ORCID,name\n1,a\n", FileFormat::Csv, "");
        check(b"{\0\"\0a\0\"\0:\0\x31\0}\0\n\0", FileFormat::Json, "looks like utf-16le");
        check(
            b"Obj\x01\x04",
            FileFormat::Parquet,
            "E-FORMAT: the file is Avro, and the converter reads parquet",
        );
        check(b"ORC\x0a", FileFormat::Parquet, "E-FORMAT: the file is ORC");
        check(b" [{\"a\":1}]", FileFormat::Parquet, "E-FORMAT: the file looks like JSON");
        check(b"a,b\n1,2", FileFormat::Parquet, "E-FORMAT: the file is no parquet");
        check(b"", FileFormat::Parquet, "E-FORMAT: the file is empty");
        check(b"PARE", FileFormat::Parquet, "E-PARQUET-TYPE: the parquet file is encrypted");
    }
}
