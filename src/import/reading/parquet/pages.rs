//! Reads the pages of a column, and checks what they claim before the library believes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::parquet::basic::Encoding;
use ::parquet::column::page::{Page, PageMetadata, PageReader};
use ::parquet::errors::{ParquetError, Result};
use ::parquet::file::serialized_reader::SerializedPageReader;

use super::chunk::Chunk;
use super::delta;

/// The most values of lists in a batch, and so in one row.
const LIST_VALUES_MAX: u64 = 16 * 1024 * 1024;

/// The pages of a column in a row group. Their values must be as many as the footer says. So a page that is
/// missing is noticed, and no page makes the library reserve memory for values that are not there.
pub(super) struct Pages {
    inner: SerializedPageReader<Chunk>,
    /// The values that pages must still have.
    left: u64,
    levels: MaxLevels,
    /// The values of the pages that were read for the present batch, if it has lists.
    in_batch: Option<Arc<AtomicU64>>,
}

/// The highest levels of a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct MaxLevels {
    pub(super) definition: i16,
    pub(super) repetition: i16,
}

impl Pages {
    pub(super) fn new(
        inner: SerializedPageReader<Chunk>,
        values: u64,
        levels: MaxLevels,
        in_batch: &Arc<AtomicU64>,
    ) -> Self {
        let in_batch = (levels.repetition > 0).then(|| Arc::clone(in_batch));
        Self { inner, left: values, levels, in_batch }
    }

    fn count(&mut self, values: u64) -> Result<()> {
        self.left = self.left.checked_sub(values).ok_or_else(|| {
            ParquetError::General("its pages have more values than the footer says".to_owned())
        })?;
        if let Some(in_batch) = &self.in_batch
            && in_batch.fetch_add(values, Ordering::Relaxed) > LIST_VALUES_MAX
        {
            let text = format!("a row has more than {LIST_VALUES_MAX} values");
            return Err(ParquetError::General(text));
        }
        Ok(())
    }

    fn check_end(&self) -> Result<()> {
        match self.left {
            0 => Ok(()),
            left => Err(ParquetError::General(format!("{left} of its values are missing"))),
        }
    }

    fn check(&mut self, page: &Page) -> Result<()> {
        let values = u64::from(page.num_values());
        match page {
            Page::DictionaryPage { buf, .. } => {
                // Each value takes at least a byte.
                if values > buf.len() as u64 {
                    return Err(ParquetError::General("its dictionary is cut off".to_owned()));
                }
                Ok(())
            }
            Page::DataPage { encoding, .. } | Page::DataPageV2 { encoding, .. } => {
                self.count(values)?;
                let is_delta =
                    matches!(encoding, Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY);
                if is_delta && !self.has_sound_deltas(page, *encoding) {
                    return Err(ParquetError::General("the lengths of its texts make no sense".to_owned()));
                }
                Ok(())
            }
        }
    }

    /// Whether a page claims no more texts than it has values.
    fn has_sound_deltas(&self, page: &Page, encoding: Encoding) -> bool {
        let values = u64::from(page.num_values());
        let encoded = match page {
            Page::DataPageV2 { buf, def_levels_byte_len, rep_levels_byte_len, .. } => {
                let levels = u64::from(*def_levels_byte_len) + u64::from(*rep_levels_byte_len);
                usize::try_from(levels).ok().and_then(|levels| buf.get(levels..))
            }
            Page::DataPage { buf, def_level_encoding, rep_level_encoding, .. } => {
                let levels = [
                    (self.levels.repetition, *rep_level_encoding),
                    (self.levels.definition, *def_level_encoding),
                ];
                levels
                    .into_iter()
                    .try_fold(&**buf, |bytes, (max, encoding)| after_levels(bytes, max, encoding, values))
            }
            Page::DictionaryPage { .. } => return true,
        };
        // A page whose texts are all null may have nothing else.
        encoded.is_some_and(|encoded| {
            let lists = if encoding == Encoding::DELTA_BYTE_ARRAY { 2 } else { 1 };
            encoded.is_empty() || delta::claim_at_most(encoded, lists, values)
        })
    }
}

/// What follows the levels of a page in the first form.
fn after_levels(bytes: &[u8], max: i16, encoding: Encoding, values: u64) -> Option<&[u8]> {
    if max == 0 {
        return Some(bytes);
    }
    if encoding == Encoding::RLE {
        let (len, rest) = bytes.split_first_chunk::<4>()?;
        return rest.get(usize::try_from(u32::from_le_bytes(*len)).ok()?..);
    }
    let bits = u64::from(16 - max.leading_zeros()) * values;
    bytes.get(usize::try_from(bits.div_ceil(8)).ok()?..)
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        match &page {
            Some(page) => self.check(page)?,
            None => self.check_end()?,
        }
        Ok(page)
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        let next = self.inner.peek_next_page()?;
        if next.is_none() {
            self.check_end()?;
        }
        Ok(next)
    }

    fn skip_next_page(&mut self) -> Result<()> {
        match self.inner.peek_next_page()? {
            Some(PageMetadata { is_dict: false, num_levels: Some(values), .. }) => {
                self.count(values as u64)?;
            }
            Some(_) => {}
            None => self.check_end()?,
        }
        self.inner.skip_next_page()
    }

    fn supports_deferred_dictionary(&self) -> bool {
        self.inner.supports_deferred_dictionary()
    }

    fn take_deferred_dictionary(&mut self) -> Result<Option<Page>> {
        let page = self.inner.take_deferred_dictionary()?;
        if let Some(page) = &page {
            self.check(page)?;
        }
        Ok(page)
    }

    fn at_record_boundary(&mut self) -> Result<bool> {
        self.inner.at_record_boundary()
    }
}
