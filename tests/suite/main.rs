//! Everything that is tested from outside the rooms, in one binary: linking the AWS client again for each would cost
//! minutes.

mod contract;
mod support;
