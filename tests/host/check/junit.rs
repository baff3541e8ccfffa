//! What came out, as continuous integration reads it: a suite for each plug-in, a case for each
//! check. Advice passes, with its words in the output.

use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use crate::results::{Checked, Outcome, Results};

pub(crate) fn document(results: &Results) -> Result<String> {
    let mut document = Report::new("check-ofx");
    for plugin in &results.plugins {
        let mut suite = TestSuite::new(&plugin.identifier);
        suite.add_test_cases(plugin.checks.iter().map(case));
        document.add_test_suite(suite);
    }
    document.to_string().context("the results cannot be written as JUnit")
}

fn case(checked: &Checked) -> TestCase {
    let words: Vec<_> = checked.findings.iter().map(|finding| finding.words.as_str()).collect();
    let told = format!("{}\nwhy: {}\nfix: {}", words.join("\n"), checked.why, checked.fix);
    let unsuccessful = |kind, message: &str| {
        let mut status = TestCaseStatus::non_success(kind);
        status.set_message(message).set_description(&told);
        status
    };
    let status = match checked.outcome {
        Outcome::Passed | Outcome::Advice => TestCaseStatus::success(),
        Outcome::Failed => {
            let first = words.first().copied().unwrap_or_default();
            unsuccessful(NonSuccessKind::Failure, first)
        }
        Outcome::Broken => {
            unsuccessful(NonSuccessKind::Error, checked.broken.as_deref().unwrap_or_default())
        }
        Outcome::Skipped => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(checked.skipped.as_deref().unwrap_or_default());
            status
        }
    };
    let mut case = TestCase::new(checked.id, status);
    case.set_classname(format!("level {}", checked.level));
    case.set_time(Duration::from_secs_f64(checked.seconds.max(0.0)));
    if checked.outcome == Outcome::Advice {
        case.set_system_out(told);
    }
    case
}
