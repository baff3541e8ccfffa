//! Reads what surrounds the program, once; nothing else in it looks at the environment.

use std::env;

use wan_alpha_take::environment::{Environment, Surroundings};

/// What the environment says.
pub(crate) fn read() -> Environment {
    Environment::of(Surroundings::of_this_process(env::current_exe().ok()))
}

/// The value of a variable that the user names, such as one that holds a key.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}
