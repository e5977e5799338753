//! Why a parquet file cannot be read to its end.

use std::io;

use ::parquet::errors::ParquetError;
use bytes::Bytes;

use crate::import::file_error::FileError;
use crate::import::reading::{ReadingError, typed};
use crate::tasks::caught_quietly;
use crate::words::Told;

/// Why a parquet file cannot be read to its end. Texts may quote names of the file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// Its bytes could not be read. They may be readable later.
    #[error("{0}")]
    Unread(io::Error),
    /// Its end is not that of a parquet file. These are its first bytes.
    #[error("its end is missing, or it is no parquet file")]
    NotParquet(Bytes),
    /// It is damaged.
    #[error("{0}")]
    Damaged(String),
    /// It has something that is needed and that cannot be read.
    #[error("{0}")]
    Refused(String),
}

impl ParquetFault {
    /// Damage, in these words.
    pub(super) fn damaged(text: impl Into<String>) -> Self {
        Self::Damaged(text.into())
    }

    /// What the library says of a part of the file.
    pub(super) fn of_library(part: &str, error: &ParquetError) -> Self {
        let said = match error {
            ParquetError::General(text) | ParquetError::EOF(text) => text.clone(),
            ParquetError::NYI(text) => return Self::Refused(format!("{part} cannot be read: {text}")),
            other => other.to_string(),
        };
        Self::Damaged(format!("{part} is damaged: {said}"))
    }
}

impl From<ParquetFault> for FileError {
    fn from(fault: ParquetFault) -> Self {
        let told = |text: &str| Told::private(format!("the parquet file cannot be read: {text}"));
        match fault {
            ParquetFault::Unread(error) => match typed::<ReadingError>(&error) {
                Some(error) => Self::unread(error),
                None => Self::of_io(&error),
            },
            not_parquet @ ParquetFault::NotParquet(_) => {
                Self::content("E-PARQUET", told(&not_parquet.to_string()))
            }
            ParquetFault::Damaged(text) => Self::content("E-PARQUET", told(&text)),
            ParquetFault::Refused(text) => Self::content("E-PARQUET-TYPE", told(&text)),
        }
    }
}

/// Works with the library. It may panic on a damaged file, which is an error of that file alone.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, ParquetFault>) -> Result<T, ParquetFault> {
    caught_quietly(work).unwrap_or_else(|_| Err(ParquetFault::damaged("its content makes no sense")))
}
