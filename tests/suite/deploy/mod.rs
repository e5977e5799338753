//! What brings the program to a machine and watches it there: versions, archives, the service, the container,
//! the chart, alerts and dashboards. Each file is checked by the tool that will read it, where that tool can
//! be had.

mod alerts;
mod archive;
mod athena;
mod chart;
mod container;
mod dashboard;
mod exposition;
mod lambda;
mod service;
mod version;

use std::path::{Path, PathBuf};

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
