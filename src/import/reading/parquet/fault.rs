//! Why a parquet file cannot be read to its end.

use std::io;

use ::parquet::errors::ParquetError;

use crate::import::file_error::FileError;
use crate::import::reading::{ReadingError, typed};
use crate::words::Told;

/// Why a parquet file cannot be read to its end. Texts may quote names of the file.
#[derive(Debug, thiserror::Error)]
pub enum ParquetFault {
    /// Its bytes could not be read. They may be readable later.
    #[error("{0}")]
    Unread(io::Error),
    /// It is damaged, or not a parquet file.
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
            ParquetFault::Damaged(text) => Self::content("E-PARQUET", told(&text)),
            ParquetFault::Refused(text) => Self::content("E-PARQUET-TYPE", told(&text)),
        }
    }
}

impl ParquetFault {
    /// What a panic of the library means.
    pub fn of_panic() -> Self {
        Self::damaged("its content makes no sense")
    }
}
