//! Why a parquet file cannot be read to its end.

use std::io;

use ::parquet::errors::ParquetError;
use bytes::Bytes;

use crate::import::file_error::FileError;
use crate::import::reading::{ReadingError, typed};
use crate::tasks::caught_quietly;
use crate::words::Told;

/// Why a parquet file cannot be read to its end. Names and types of columns are shown: they are the schema,
/// and the converter names those that are read. What the library says may quote values.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// Its bytes could not be read. They may be readable later.
    #[error("{0}")]
    Unread(io::Error),
    /// Its end is not that of a parquet file. These are its first bytes.
    #[error("its end is missing, or it is no parquet file")]
    NotParquet(Bytes),
    /// It is damaged.
    #[error("{}", .0.full())]
    Damaged(Told),
    /// It has something that is needed and that cannot be read.
    #[error("{}", .0.full())]
    Refused(Told),
}

impl ParquetFault {
    /// Damage, in these words.
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(Told::plain(text))
    }

    /// Something that cannot be read, in these words.
    pub(super) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(Told::plain(text))
    }

    /// The same fault of a part of the file.
    pub(super) fn of_part(self, part: &str) -> Self {
        match self {
            Self::Damaged(told) => Self::Damaged(Told::plain(part).and(&told)),
            Self::Refused(told) => Self::Refused(Told::plain(part).and(&told)),
            other => other,
        }
    }

    /// What the library says of a part of the file.
    pub(super) fn of_library(part: &str, error: &ParquetError) -> Self {
        let said = match error {
            ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
            ParquetError::NYI(text) => {
                let part = format!("{part} has what this program does not know");
                return Self::Refused(Told::plain(part).and_private(&format!(": {text}"), ""));
            }
            other => other.to_string(),
        };
        Self::Damaged(Told::plain(format!("{part} is damaged")).and_private(&format!(": {said}"), ""))
    }
}

impl From<ParquetFault> for FileError {
    fn from(fault: ParquetFault) -> Self {
        let told = |why: &Told| Told::plain("the parquet file cannot be read: ").and(why);
        match fault {
            ParquetFault::Unread(error) => match typed::<ReadingError>(&error) {
                Some(error) => Self::unread(error),
                None => Self::of_io(&error),
            },
            not_parquet @ ParquetFault::NotParquet(_) => {
                Self::content("E-PARQUET", told(&Told::plain(not_parquet.to_string())))
            }
            ParquetFault::Damaged(why) => Self::content("E-PARQUET", told(&why)),
            ParquetFault::Refused(why) => Self::content("E-PARQUET-TYPE", told(&why)),
        }
    }
}

/// Works with the library. It may panic on a damaged file, which is an error of that file alone.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, ParquetFault>) -> Result<T, ParquetFault> {
    caught_quietly(work).unwrap_or_else(|_| Err(ParquetFault::damaged("its content makes no sense")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked view showed no reason at all.
    #[test]
    fn what_the_library_says_is_private_and_the_rest_is_not() {
        let check = |fault: ParquetFault, full: &str, masked: &str| {
            let error = FileError::from(fault);
            assert_eq!((error.to_string().as_str(), error.masked().as_str()), (full, masked));
        };
        let text =
            "E-PARQUET-TYPE: the parquet file cannot be read: column a has VARIANT, which cannot be read";
        check(ParquetFault::refused("column a has VARIANT, which cannot be read"), text, text);
        let text = "E-PARQUET: the parquet file cannot be read: column a ends after 1 of 2 rows";
        check(ParquetFault::damaged("ends after 1 of 2 rows").of_part("column a "), text, text);
        let text = "E-PARQUET: the parquet file cannot be read: its end is missing, or it is no parquet file";
        check(ParquetFault::NotParquet(Bytes::new()), text, text);
        check(
            ParquetFault::of_library("its footer", &ParquetError::General("jane.roe".to_owned())),
            "E-PARQUET: the parquet file cannot be read: its footer is damaged: jane.roe",
            "E-PARQUET: the parquet file cannot be read: its footer is damaged",
        );
        check(
            ParquetFault::of_library("column a", &ParquetError::NYI("jane.roe".to_owned())),
            "E-PARQUET-TYPE: the parquet file cannot be read: column a has what this program does not know: jane.roe",
            "E-PARQUET-TYPE: the parquet file cannot be read: column a has what this program does not know",
        );
    }
}
