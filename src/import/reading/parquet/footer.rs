//! The end of a parquet file, which says what is where.

use std::collections::BTreeSet;

use ::parquet::file::metadata::{
    ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
};

use super::chunk::Source;
use super::fault::ParquetFault;
use super::thrift;
use crate::words::Told;

/// The first bytes of a parquet file, and its last.
pub const MAGIC: &[u8; 4] = b"PAR1";

/// The last bytes if the footer is encrypted.
pub const MAGIC_ENCRYPTED: &[u8; 4] = b"PARE";

const IS_ENCRYPTED: &str = "it is encrypted; write it without encryption";

/// The bytes at the end that are read first: most footers are in them.
const TAIL_BYTES: usize = 128 * 1024;

/// The bytes at the beginning that show what another file is.
pub const HEAD_BYTES: usize = 8_000;

/// The longest footer, in bytes. In memory it takes several times as much.
const FOOTER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads the footer, and checks that its counts agree. Also returns the numbers of the columns that are
/// encrypted. Errors: [`ParquetFault`].
pub(super) fn read(source: &Source) -> Result<(ParquetMetaData, BTreeSet<usize>), ParquetFault> {
    let size = source.ranges.size();
    let unread = ParquetFault::Unread;
    let cut_off = || {
        let len = HEAD_BYTES.min(usize::try_from(size).unwrap_or(HEAD_BYTES));
        source.ranges.read(0, len).map_or_else(unread, ParquetFault::NotParquet)
    };
    if size < 12 {
        return Err(cut_off());
    }
    let tail_len = TAIL_BYTES.min(usize::try_from(size).unwrap_or(TAIL_BYTES));
    let mut tail = source.ranges.read(size - tail_len as u64, tail_len).map_err(unread)?;
    let (rest, magic) = tail.split_last_chunk::<4>().ok_or_else(cut_off)?;
    match magic {
        MAGIC => {}
        MAGIC_ENCRYPTED => {
            return Err(ParquetFault::refused(IS_ENCRYPTED));
        }
        _ => return Err(cut_off()),
    }
    let (_, len) = rest.split_last_chunk::<4>().ok_or_else(cut_off)?;
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let footer_from = size.checked_sub(len as u64 + 8).filter(|from| *from >= 4);
    let Some(footer_from) = footer_from else {
        return Err(ParquetFault::damaged("its footer is longer than the file"));
    };
    if len > FOOTER_BYTES_MAX {
        return Err(ParquetFault::refused(format!(
            "its footer has {len} bytes, and at most {FOOTER_BYTES_MAX} are read; write fewer row groups"
        )));
    }
    if len + 8 > tail.len() {
        tail = source.ranges.read(footer_from, len).map_err(unread)?;
    } else {
        let from = tail.len() - 8 - len;
        tail = tail.slice(from..from + len);
    }
    let encrypted = thrift::check(&tail)?;
    let options = ParquetMetaDataOptions::new()
        .with_encoding_stats_as_mask(true)
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
    let metadata =
        ParquetMetaDataReader::decode_metadata_with_options(&tail, Some(&options)).map_err(|error| {
            match encrypted.is_empty() {
                true => ParquetFault::of_library(&Told::plain("its footer"), &error),
                // Where columns are encrypted, the library misses what is kept elsewhere.
                false => ParquetFault::refused(IS_ENCRYPTED),
            }
        })?;
    check_rows(&metadata)?;
    Ok((metadata, encrypted))
}

/// Checks that the row groups have the rows of the file.
fn check_rows(metadata: &ParquetMetaData) -> Result<(), ParquetFault> {
    let columns = metadata.file_metadata().schema_descr().num_columns();
    let mut rows = 0_i64;
    for group in metadata.row_groups() {
        if group.num_rows() < 0 || group.num_columns() != columns {
            return Err(ParquetFault::damaged("its footer describes a row group that cannot be"));
        }
        rows = rows.saturating_add(group.num_rows());
    }
    let said = metadata.file_metadata().num_rows();
    if rows == said {
        Ok(())
    } else {
        Err(ParquetFault::damaged(format!("its footer counts {said} rows, and its row groups {rows}")))
    }
}
