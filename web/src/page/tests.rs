//! Views rendered strictly, with samples.
