//! Work with many things at once, at most so many of them at a time.

use std::collections::BTreeMap;
use std::future::Future;

use tokio::task::JoinSet;

use super::journal::JournalError;

/// Does the same work with each item, with at most `most` of them at once, and returns what became of them in the
/// order of the items. After a failure no further one begins, and those under way end. Dropped, it ends all of them.
/// Errors: the first failure, and [`JournalError`] if the work panicked.
pub(super) async fn at_once<I, T, E, F>(
    items: impl IntoIterator<Item = I>,
    most: usize,
    mut work: impl FnMut(I) -> F,
) -> Result<Vec<T>, E>
where
    T: Send + 'static,
    E: From<JournalError> + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let (mut items, mut tasks) = (items.into_iter().enumerate(), JoinSet::new());
    let (mut ended, mut failed) = (BTreeMap::new(), None);
    loop {
        while failed.is_none()
            && tasks.len() < most.max(1)
            && let Some((at, item)) = items.next()
        {
            let work = work(item);
            tasks.spawn(async move { (at, work.await) });
        }
        match tasks.join_next().await {
            None => break,
            Some(Ok((at, Ok(done)))) => drop(ended.insert(at, done)),
            Some(Ok((_, Err(error)))) => drop(failed.get_or_insert(error)),
            Some(Err(error)) => drop(failed.get_or_insert(JournalError::of(error).into())),
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Ok(ended.into_values().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn results_have_the_order_of_the_items_and_a_failure_ends_the_work() {
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |fails_at: usize| {
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            move |item: usize| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                async move {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    // The later it began, the earlier it ends.
                    for _ in 0..20 - item.min(20) {
                        tokio::task::yield_now().await;
                    }
                    now.fetch_sub(1, Ordering::SeqCst);
                    if item == fails_at { Err(JournalError::of("no")) } else { Ok(item) }
                }
            }
        };
        let done = at_once(0..20, 4, work(usize::MAX)).await.unwrap();
        assert_eq!((done, most.load(Ordering::SeqCst)), ((0..20).collect(), 4));
        let begun = AtomicUsize::new(0);
        let fails = work(2);
        let failed = at_once(0..20, 4, |item| {
            begun.fetch_add(1, Ordering::SeqCst);
            fails(item)
        });
        assert!(failed.await.unwrap_err().to_string().contains("no"));
        assert!(begun.load(Ordering::SeqCst) < 20 && now.load(Ordering::SeqCst) == 0, "{begun:?}");
    }
}
