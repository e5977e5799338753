//! Why a parquet file cannot be read to its end.

use std::io;

use ::parquet::errors::ParquetError;
use bytes::Bytes;

use crate::import::file_error::FileError;
use crate::import::reading::{ReadingError, typed};
use crate::tasks::caught_quietly;
use crate::words::Told;

/// Why a parquet file cannot be read to its end. The names of its columns are private, as those of other files, and so is
/// what the library says, which may quote values.
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
    /// It has several columns of a name that is needed.
    #[error("{}", .0.full())]
    Repeated(Told),
}

impl ParquetFault {
    /// Damage, in these words.
    pub fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(Told::plain(text))
    }

    /// Something that cannot be read, in these words.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused(Told::plain(text))
    }

    /// The same fault of a part of the file: its name comes before the text.
    #[must_use]
    pub fn of_part(self, part: &Told) -> Self {
        let part = part.clone().and(&Told::plain(" "));
        match self {
            Self::Damaged(told) => Self::Damaged(part.and(&told)),
            Self::Refused(told) => Self::Refused(part.and(&told)),
            other => other,
        }
    }

    /// A column, for people.
    pub fn column(name: &str) -> Told {
        Told::masked_as(format!("column {name}"), "a column")
    }

    /// What the library says of a part of the file.
    pub(super) fn of_library(part: &Told, error: &ParquetError) -> Self {
        let said = match error {
            ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
            ParquetError::NYI(text) => {
                let unknown = Told::plain(" has what this program does not know");
                return Self::Refused(part.clone().and(&unknown).and_private(&format!(": {text}"), ""));
            }
            other => other.to_string(),
        };
        Self::Damaged(part.clone().and(&Told::plain(" is damaged")).and_private(&format!(": {said}"), ""))
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
            ParquetFault::Repeated(why) => Self::content("E-PARQUET-DUPCOL", told(&why)),
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
        let column = ParquetFault::column("a");
        check(
            ParquetFault::refused("has VARIANT, which cannot be read").of_part(&column),
            "E-PARQUET-TYPE: the parquet file cannot be read: column a has VARIANT, which cannot be read",
            "E-PARQUET-TYPE: the parquet file cannot be read: a column has VARIANT, which cannot be read",
        );
        check(
            ParquetFault::damaged("ends after 1 of 2 rows").of_part(&column),
            "E-PARQUET: the parquet file cannot be read: column a ends after 1 of 2 rows",
            "E-PARQUET: the parquet file cannot be read: a column ends after 1 of 2 rows",
        );
        let text = "E-PARQUET: the parquet file cannot be read: its end is missing, or it is no parquet file";
        check(ParquetFault::NotParquet(Bytes::new()), text, text);
        check(
            ParquetFault::of_library(
                &Told::plain("its footer"),
                &ParquetError::General("jane.roe".to_owned()),
            ),
            "E-PARQUET: the parquet file cannot be read: its footer is damaged: jane.roe",
            "E-PARQUET: the parquet file cannot be read: its footer is damaged",
        );
        check(
            ParquetFault::of_library(&column, &ParquetError::NYI("jane.roe".to_owned())),
            "E-PARQUET-TYPE: the parquet file cannot be read: column a has what this program does not know: jane.roe",
            "E-PARQUET-TYPE: the parquet file cannot be read: a column has what this program does not know",
        );
    }
}
