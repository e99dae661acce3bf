//! The cells of a column: in memory, or in a file that is mapped.

use std::ops::Deref;
use std::sync::Arc;

/// A sequence of numbers that does not change. It reads as a slice; where the
/// numbers live (in memory, or in a mapped file for a table larger than
/// memory) does not show. A clone shares them.
#[derive(Debug, Clone)]
pub struct Buffer<T>(Arc<Vec<T>>);

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T> From<Vec<T>> for Buffer<T> {
    fn from(cells: Vec<T>) -> Self {
        Buffer(Arc::new(cells))
    }
}

impl<T> Deref for Buffer<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: PartialEq> PartialEq for Buffer<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[T; N]> for Buffer<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        **self == *other
    }
}

impl<T: PartialEq> PartialEq<Vec<T>> for Buffer<T> {
    fn eq(&self, other: &Vec<T>) -> bool {
        **self == **other
    }
}

impl<T: PartialEq> PartialEq<Buffer<T>> for Vec<T> {
    fn eq(&self, other: &Buffer<T>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Buffer<T> {}
