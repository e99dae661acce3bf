//! The inputs of a network: how they are numbered, and rows of them.
//!
//! A row of a table is some numbers and some categories. The numbers are
//! inputs as they are; a category with *n* levels is *n* inputs of which one
//! at most is 1, or it selects a row of a trained table, whose numbers are
//! inputs (an *embedding*). Neither is ever written out for a whole table: a
//! row keeps its numbers and a code a category ([`Features`]), and the plan
//! says what becomes of them.

/// How the inputs of a network's first layer are numbered: the numbers first,
/// then those of the embeddings, then those of the other categories, each in
/// the order of the columns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Layout {
    /// Numbers of a row.
    pub dense: usize,
    /// Categories of a row.
    pub categories: Vec<Category>,
}

/// A category among the inputs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Category {
    /// Its levels: codes are below this.
    pub levels: usize,
    /// Its embedding; none: an input a level.
    pub embedding: Option<Embedding>,
}

/// A trained table `[levels, width]` that takes a category's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Embedding {
    /// The column's name, a part of the tensor's.
    pub name: String,
    /// Inputs that it becomes, at least 1.
    pub width: usize,
}

impl Category {
    /// Numbers of its embedding's table.
    pub(crate) fn parameters(&self) -> usize {
        self.embedding.as_ref().map_or(0, |embedding| embedding.width * self.levels)
    }
}

/// The code of a category that has no level: one that training has not seen.
/// Its inputs are all 0.
pub const NONE: u32 = mlpc_kernels::gather::NONE;

impl Layout {
    /// Numbers alone: a matrix.
    pub fn of_dense(dense: usize) -> Layout {
        Layout { dense, categories: Vec::new() }
    }

    /// The inputs of the first layer.
    pub fn inputs(&self) -> usize {
        self.one_hot_start() + self.one_hot().map(|(_, levels)| levels).sum::<usize>()
    }

    /// The embeddings: the number of each one's category, and itself.
    pub(crate) fn embeddings(&self) -> impl Iterator<Item = (usize, &Embedding)> {
        let categories = self.categories.iter().enumerate();
        categories.filter_map(|(number, category)| Some((number, category.embedding.as_ref()?)))
    }

    /// The other categories: the number of each, and its levels.
    pub(crate) fn one_hot(&self) -> impl Iterator<Item = (usize, usize)> {
        let categories = self.categories.iter().enumerate();
        let others = categories.filter(|(_, category)| category.embedding.is_none());
        others.map(|(number, category)| (number, category.levels))
    }

    /// The first input of a category without an embedding: behind all others.
    pub(crate) fn one_hot_start(&self) -> usize {
        self.dense + self.embeddings().map(|(_, embedding)| embedding.width).sum::<usize>()
    }
}

/// Rows of inputs: numbers, and the codes of categories.
///
/// A matrix alone is features without codes: `(&matrix[..]).into()`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Features<'a> {
    /// The numbers, `[rows, dense]` row-major.
    pub dense: &'a [f32],
    /// The code of every category, `[rows, categories]` row-major: below its
    /// levels, or [`NONE`].
    pub codes: &'a [u32],
}

impl<'a> From<&'a [f32]> for Features<'a> {
    fn from(dense: &'a [f32]) -> Self {
        Features { dense, codes: &[] }
    }
}

impl<'a> From<&'a Vec<f32>> for Features<'a> {
    fn from(dense: &'a Vec<f32>) -> Self {
        dense.as_slice().into()
    }
}

impl<'a, const N: usize> From<&'a [f32; N]> for Features<'a> {
    fn from(dense: &'a [f32; N]) -> Self {
        dense.as_slice().into()
    }
}

impl<'a> Features<'a> {
    /// Some of the rows.
    ///
    /// # Panics
    /// Where they are not there.
    pub fn rows(self, layout: &Layout, rows: std::ops::Range<usize>) -> Features<'a> {
        let of = |width: usize| rows.start * width..rows.end * width;
        Features {
            dense: &self.dense[of(layout.dense)],
            codes: &self.codes[of(layout.categories.len())],
        }
    }

    /// The first `rows` rows as a matrix `[rows, inputs]`, as
    /// [`Features::expand`] writes each.
    ///
    /// # Panics
    /// As [`Features::expand`].
    pub fn matrix(self, layout: &Layout, rows: usize) -> Vec<f32> {
        let inputs = layout.inputs();
        let mut matrix = vec![0.0; rows * inputs];
        for row in 0..rows {
            self.expand(layout, row, &mut matrix[row * inputs..(row + 1) * inputs]);
        }
        matrix
    }

    /// A row as the matrix has it: every category without an embedding as
    /// zeros and a one, and 0 in the place of embeddings.
    ///
    /// # Panics
    /// Where there is no such row, a code is beyond its levels, or `to` has
    /// not the layout's inputs.
    pub fn expand(self, layout: &Layout, row: usize, to: &mut [f32]) {
        assert_eq!(to.len(), layout.inputs());
        let Features { dense, codes } = self.rows(layout, row..row + 1);
        let (numbers, others) = to.split_at_mut(layout.dense);
        numbers.copy_from_slice(dense);
        others.fill(0.0);
        let mut start = layout.one_hot_start() - layout.dense;
        for (category, levels) in layout.one_hot() {
            let code = codes[category];
            assert!(code == NONE || (code as usize) < levels, "a code beyond its levels");
            if code != NONE {
                others[start + code as usize] = 1.0;
            }
            start += levels;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_then_embeddings_then_levels() {
        let category = |levels, width: Option<usize>| Category {
            levels,
            embedding: width.map(|width| Embedding { name: "c".into(), width }),
        };
        let layout = Layout {
            dense: 1,
            categories: vec![category(3, None), category(100, Some(2)), category(2, None)],
        };
        assert_eq!((layout.inputs(), layout.one_hot_start()), (8, 3));
        let features = Features { dense: &[0.5, -1.0], codes: &[2, 99, 0, NONE, NONE, 1] };
        let mut row = [9.0; 8];
        features.expand(&layout, 0, &mut row);
        assert_eq!(row, [0.5, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
        features.expand(&layout, 1, &mut row);
        assert_eq!(row, [-1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
