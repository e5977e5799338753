//! Unmodified SDKs against the real program: what they send arrives once and intact, and they obey the
//! answers.

mod browser;
mod captures;
mod chromium;
mod conformance;
mod jvm;
mod node;
mod python;
mod rust_crate;
mod table;
