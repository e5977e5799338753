//! Looks at the first rows of files: a first converter is made of them, or it is shown what a converter makes
//! of them. Nothing is stored.

mod field_counts;
mod found;
mod inference;
mod json_text;
mod limits;
mod preview;
mod preview_text;
mod previewer;
mod saved;
mod source_rows;

pub use crate::convert::infer::Inferred;
pub use field_counts::FieldCounts;
pub use found::{IsOfImport, Opening, SampleFile, SampleFiles, sample_below, sample_files};
pub use inference::{AskedConverter, InferError, Wanted, infer_first};
pub use limits::{FILES_MAX, ROWS_MAX};
pub use preview::{InsertIds, LargestCall, Preview, PreviewedFile, RejectsByCode, SampleReject, SampleRow};
pub use preview_text::text_of;
pub use previewer::{Previewer, preview_files};
pub use saved::{read_converter, saved};
