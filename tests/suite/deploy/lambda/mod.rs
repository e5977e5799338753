//! The function that imports CSV files from a bucket: `scripts/release/lambda` packs it, the stack of
//! `deploy/lambda/csv.yaml` runs on ministack, which runs the function too, and the commands of
//! docs/csv-lambda.md run as they stand there.

mod package;
mod page;
mod stack;
mod workshop;
