//! `mlpc plan`: every form between the text and the kernels, as stable text.

use super::source::{self, ModelText, ReadArgs};
use super::{Failure, Machine};
use mlpc::data::Dataset;
use mlpc::ir::lower;
use mlpc::plan::{Plan, PlanOptions};
use std::io::{self, Write};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The model's text
    model: PathBuf,
    /// A table that says the widths that are `auto`, in files of any format; `-`: standard input
    data: Vec<PathBuf>,
    /// The form to show
    #[arg(long, value_enum, default_value_t = Stage::Plan)]
    stage: Stage,
    /// Change the text, as in `train.batch=64`; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Show the plan without fusion
    #[arg(long)]
    unfused: bool,
    #[command(flatten)]
    read: ReadArgs,
    #[command(flatten)]
    machine: Machine,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Stage {
    /// What the text says
    Ast,
    /// What it means, with every default
    Model,
    /// What is computed
    Ir,
    /// How it is computed
    Plan,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = args.machine.plan_options()?;
    let text = ModelText::read(&args.model, &args.set)?;
    let model = text.check()?;
    let mut out = io::stdout().lock();
    if args.stage == Stage::Ast {
        write!(out, "{}", text.parsed.ast)?;
        return Ok(());
    }
    let dataset = match args.data.as_slice() {
        [] => None,
        paths => {
            let table = source::table(paths, &args.read, &args.machine.pool()?)?;
            Some(Dataset::bind(&table, &model)?)
        }
    };
    if args.stage == Stage::Model && dataset.is_none() {
        // A model may be shown while its widths are still `auto`.
        let network = model.network(None, None, &super::limits()).ok();
        write!(out, "{}", model.describe(network.as_ref()))?;
        return Ok(());
    }
    let network = text.network(&model, dataset.as_ref())?;
    match args.stage {
        Stage::Ast => {}
        Stage::Model => write!(out, "{}", model.describe(Some(&network)))?,
        Stage::Ir => write!(out, "{}", lower(&network))?,
        Stage::Plan => {
            let plan = Plan::new(&network, PlanOptions { fuse: !args.unfused, ..options });
            write!(out, "{plan}")?;
            writeln!(out, "{}", plan.explain_split(model.train.batch))?;
        }
    }
    Ok(())
}
