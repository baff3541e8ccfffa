//! The syntax of `wan-alpha batch`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Computing;

/// Many takes, and where they go.
#[derive(Debug, Args)]
#[command(after_help = BATCH_EXAMPLES)]
pub(crate) struct Batch {
    /// A table with a row for each shot: CSV, JSON lines (.jsonl) or a list in YAML. Its columns are the
    /// flags of `render` without their dashes, and `name` and `priority`; files in it are named from its
    /// folder
    #[arg(value_name = "TABLE")]
    pub(crate) table: PathBuf,

    /// Where shots without a column `out` get a folder of their name
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,

    /// Only the shots of these names
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) only: Vec<String>,

    /// Look at every row and make nothing
    #[arg(long)]
    pub(crate) check: bool,

    /// Write what became of each shot as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write it as JUnit XML, for what shows the results of tests
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Tell progress in the form of a farm
    #[arg(long, value_name = "FARM")]
    pub(crate) farm: Option<Farm>,

    /// With `record`, end well although shots fail, for a farm that gives up a job at the first failure; the
    /// report says which
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    pub(crate) on_failure: OnFailure,

    #[command(flatten)]
    pub(crate) computing: Computing,
}

/// Whose lines of progress are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Farm {
    /// Open Job Description: AWS Deadline Cloud and others
    Openjd,
    /// OpenCue
    Opencue,
}

/// How a batch ends of which a shot fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnFailure {
    /// With the exit code of the worst failure
    #[default]
    Fail,
    /// Well, once the failure is in the report
    Record,
}

const BATCH_EXAMPLES: &str = "\
Example, shots.csv:
  name,prompt,seed,ellipse,priority
  flame,@prompts/flame.txt,7,\"0: 0.3,0.5,0.6,1,0; 80: 0.7,0.5,0.6,1,0\",10
  smoke,\"Transparent background. Smoke rises\",3,,

  wan-alpha batch shots.csv --out shots --report shots/report.json

Run again, it goes on where it was stopped; run twice at the same time, the two share the work.

Exit codes: the greatest of those that its shots would have alone: 0 done, 1 other, 2 bad input, 3 out of
memory, 4 model incomplete or damaged, 130 cancelled.";
