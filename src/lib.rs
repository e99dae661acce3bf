//! mlpc, the MLP compiler.

pub mod check;
pub mod diag;
pub mod syntax;

/// Checks a model's text: parsing and checking in one call, without a limit
/// of memory.
///
/// ```
/// let model = mlpc::compile("input 2 -> dense 3 sigmoid -> dense 1 sigmoid; loss mse; sgd 0.1")?;
/// assert_eq!(model.layers.len(), 2);
///
/// let errors = mlpc::compile("input 2 -> dense 3 sigmoyd -> dense 1").unwrap_err();
/// assert!(errors.to_string().contains("did you mean `sigmoid`?"));
/// # Ok::<(), mlpc::diag::Diagnostics>(())
/// ```
pub fn compile(text: &str) -> Result<check::model::Model, diag::Diagnostics> {
    check::check(&syntax::parse(text, 0), &check::Limits::default())
}
