//! Matrix products (being written).
