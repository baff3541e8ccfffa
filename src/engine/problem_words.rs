//! What an engine says to nodes, as a command says it.

#![forbid(unsafe_code)]

use wan_alpha_take::engine::message::Problem;

/// A problem in the words of a command line: the engine speaks to nodes, which have buttons.
pub(super) fn at_a_terminal(problem: Problem) -> Problem {
    let remedy = problem.remedy.replace("press Generate again", "run the command again");
    Problem { remedy, ..problem }
}

#[cfg(test)]
mod tests {
    use wan_alpha_take::engine::message::ProblemCode;

    use super::*;

    #[test]
    fn what_is_said_to_nodes_is_said_at_a_terminal_without_their_buttons() {
        let stopped =
            Problem::new(ProblemCode::Stopped, "the engine was stopped", "press Generate again");
        let said = at_a_terminal(stopped).to_string();
        assert_eq!(said, "the engine was stopped; run the command again");
        let other = Problem::new(ProblemCode::Failed, "a fault", "try again");
        assert_eq!(at_a_terminal(other.clone()), other);
    }
}
