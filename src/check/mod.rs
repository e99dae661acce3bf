//! Ast to [`Model`].
pub mod model;
