//! The syntax of `wan-alpha job`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Computing;

/// Jobs for farms, from the table of a batch.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// A job template of Open Job Description (AWS Deadline Cloud and others), a step for each shot
    Openjd(FarmJob),
    /// An outline of OpenCue, a layer for each shot
    Opencue(FarmJob),
    /// What became of the shots of a job, from the reports that its tasks left
    Report(JoinReports),
}

/// A job to write.
#[derive(Debug, Args)]
#[command(after_help = JOB_EXAMPLES)]
pub(crate) struct FarmJob {
    /// The table of `wan-alpha batch`
    #[arg(value_name = "TABLE")]
    pub(crate) table: PathBuf,

    /// The folder of the job, which the farm has to see: its frames and its takes go there too
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,

    /// What the job is called [default: the table's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// The program as the machines of the farm find it
    #[arg(long, value_name = "PROGRAM", default_value = "wan-alpha")]
    pub(crate) program: String,

    /// Memory of the graphics card that a task asks for in GB, or 0 for none [default: of models above 2
    /// billion parameters the smallest of usual cards that the plan of the take fits; else none]
    #[arg(long, value_name = "GB", allow_negative_numbers = true)]
    pub(crate) gpu_memory: Option<u32>,

    #[command(flatten)]
    pub(crate) computing: Computing,

    /// A batch render of a host that follows when all takes are there, such as `nuke -x comp.nk`
    #[arg(value_name = "COMMAND", last = true)]
    pub(crate) then: Vec<String>,
}

/// Reports to join.
#[derive(Debug, Args)]
pub(crate) struct JoinReports {
    /// Reports of `batch --report`, or folders with them: with --table those are looked at that bear the
    /// names of its shots, as the tasks of a job leave them
    #[arg(value_name = "FILE|FOLDER", required = true)]
    pub(crate) reports: Vec<PathBuf>,

    /// Only the shots of this table count, and one without a report fails [default: every report does]
    #[arg(long, value_name = "TABLE")]
    pub(crate) table: Option<PathBuf>,

    /// Print JSON, for programs
    #[arg(long)]
    pub(crate) json: bool,

    /// Write JUnit XML, for what shows the results of tests
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,

    /// Tell progress in the form of a farm
    #[arg(long, value_name = "FARM")]
    pub(crate) farm: Option<super::Farm>,
}

const JOB_EXAMPLES: &str = "\
Examples:
  wan-alpha job openjd shots.csv --out job && openjd run job/template.json -p Inputs=$PWD
  wan-alpha job opencue shots.csv --out /mnt/show/job -- nuke -x /mnt/show/comp.nk && python3 /mnt/show/job/opencue_job.py";
