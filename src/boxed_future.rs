//! The future that methods of trait objects return.

use std::future::Future;
use std::pin::Pin;

/// A boxed future, so that its trait can be used as an object.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
