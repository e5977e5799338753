//! A view of a bucket that lists only the keys of a range.

use std::sync::Arc;

use crate::object::{ObjectKey, S3Location};
use crate::store::reader::{ByteRange, ListFrom, ListPage, Listed, ObjectBody, RangeBytes, StoreReader};
use crate::store::{Attempted, Head, ObjectVersion};

/// A store that lists only the keys from one to another, both included.
#[derive(Debug)]
pub(super) struct KeyRange {
    pub(super) store: Arc<dyn StoreReader>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
}

/// Why no key below a prefix can be in a range, both of whose ends belong to it: a pass would find nothing,
/// and look as if all were done. `None`: one can.
pub(super) fn misses(prefix: &str, from: Option<&str>, to: Option<&str>) -> Option<String> {
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Some(format!("--from {from:?} comes after --to {to:?}, so no key is between them"));
    }
    let outside = |flag: &str, key: &str| {
        format!(
            "{flag} {key:?} leaves no key of the import, whose keys begin with {prefix:?}: name whole keys"
        )
    };
    if let Some(from) = from.filter(|from| *from > prefix && !from.starts_with(prefix)) {
        return Some(outside("--from", from));
    }
    to.filter(|to| *to < prefix).map(|to| outside("--to", to))
}

impl KeyRange {
    /// A key before the first one, with which the listing begins.
    fn before_first(&self) -> Option<&str> {
        let first = self.from.as_deref()?;
        let (last, _) = first.char_indices().next_back()?;
        first.get(..last).filter(|key| !key.is_empty())
    }

    /// Leaves only the keys of the range.
    fn cut(&self, page: &mut ListPage) {
        let is_behind = |last: &Listed| self.to.as_deref().is_some_and(|to| last.key.as_str() > to);
        // If keys are listed in order, no later page has a key of the range.
        if page.objects.last().is_some_and(is_behind) && page.is_sorted() {
            page.next = None;
        }
        page.objects.retain(|listed| self.has(listed.key.as_str()));
    }

    fn has(&self, key: &str) -> bool {
        self.from.as_deref().is_none_or(|first| first <= key)
            && self.to.as_deref().is_none_or(|last| key <= last)
    }
}

impl StoreReader for KeyRange {
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage> {
        Box::pin(async move {
            let after = if from.next.is_none() { from.after.or(self.before_first()) } else { from.after };
            let mut page = self.store.list(location, ListFrom { after, ..from }).await?;
            self.cut(&mut page);
            Ok(page)
        })
    }

    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head> {
        self.store.head_of(location, key, version)
    }

    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody> {
        self.store.get(location, key)
    }

    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes> {
        self.store.range(location, key, version, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Encryption};
    use crate::store::fake::FakeStore;
    use crate::store::{ObjectStore as _, Put, PutMode};

    #[tokio::test]
    async fn both_ends_of_a_range_are_included() {
        let (store, to) = (FakeStore::new(), BucketString::parse("lake").unwrap());
        let to = S3Location::new(to, Encryption::None);
        for key in ["in/a", "in/b", "in/b/1", "in/c", "in/d", "in/é"] {
            let key = ObjectKey::listed(key.to_owned());
            store.put(&Put::plain(to.clone(), key, "x", PutMode::Overwrite)).await.unwrap();
        }
        let listed = async |first: Option<&str>, last: Option<&str>| {
            let (from, last) = (first.map(str::to_owned), last.map(str::to_owned));
            let range = KeyRange { store: Arc::new(store.clone()), from, to: last };
            let page = range.list(&to, ListFrom { prefix: "in/", ..ListFrom::default() }).await.unwrap();
            page.objects.iter().map(|listed| listed.key.as_str().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(listed(None, None).await.len(), 6);
        assert_eq!(listed(Some("in/b"), Some("in/c")).await, ["in/b", "in/b/1", "in/c"]);
        assert_eq!(listed(None, Some("in/a")).await, ["in/a"]);
        assert_eq!(listed(Some("in/é"), None).await, ["in/é"]);
        assert_eq!(listed(Some("in/b"), Some("in/a")).await, [""; 0]);
    }

    /// A pass over nothing was a success.
    #[test]
    fn a_range_that_no_key_can_be_in_is_refused() {
        let check = |from: Option<&str>, to: Option<&str>, expected: Option<&str>| {
            let found = misses("in/", from, to);
            assert_eq!(found.is_some(), expected.is_some(), "{from:?} {to:?} {found:?}");
            assert!(
                expected.is_none_or(|part| found.as_ref().is_some_and(|found| found.contains(part))),
                "{found:?}"
            );
        };
        check(None, None, None);
        check(Some("in/a"), Some("in/a"), None);
        check(Some("a"), Some("z"), None);
        check(Some("in/"), None, None);
        check(None, Some("in/"), None);
        check(Some("in/z"), Some("in/a"), Some("--from \"in/z\" comes after --to \"in/a\""));
        check(Some("out/a"), None, Some("--from \"out/a\" leaves no key of the import"));
        check(
            Some("a"),
            Some("b"),
            Some("--to \"b\" leaves no key of the import, whose keys begin with \"in/\""),
        );
    }

    #[test]
    fn a_page_in_another_order_may_have_others_of_the_range_behind_it() {
        let listed = |key: &str| Listed {
            key: ObjectKey::listed(key.to_owned()),
            len: 5,
            last_modified: None,
            etag: None,
            storage_class: None,
            is_restored: false,
        };
        let range = KeyRange { store: Arc::new(FakeStore::new()), from: None, to: Some("b".to_owned()) };
        let page = |keys: [&str; 3]| {
            let objects = keys.map(listed).to_vec();
            ListPage { objects, next: Some("more".to_owned()), ..ListPage::default() }
        };
        for (keys, left, goes_on) in
            [(["a", "b", "c"], 2, false), (["b", "a", "c"], 2, true), (["c", "d", "a"], 1, true)]
        {
            let mut cut = page(keys);
            range.cut(&mut cut);
            assert_eq!((cut.objects.len(), cut.next.is_some()), (left, goes_on), "{keys:?}");
        }
        let named = |keys, key| {
            let named = page(keys).named(key);
            (named.listed.is_some(), named.is_sure)
        };
        assert_eq!(named(["b", "a", "c"], "a"), (true, false));
        assert_eq!(named(["b", "a", "c"], "d"), (false, false), "it may be on another page");
        assert_eq!(named(["a", "b", "c"], "d"), (false, true));
    }
}
