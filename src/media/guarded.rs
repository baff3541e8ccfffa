//! Other people's parsers, run so that what they do with damaged files stays an error.
//!
//! Some of them panic (the `exr` crate does, on damaged B44). Here that ends as a sentence like any other
//! fault of a file, and nothing but that sentence reaches the terminal. Whatever reads files of others in
//! this process goes through [`guarded`].

use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use anyhow::{Result, anyhow};

thread_local! {
    /// How many [`guarded`] calls this thread is in.
    static GUARDS: Cell<usize> = const { Cell::new(0) };
}

/// Ends a guard also when what it guards panics.
struct Guard;

impl Guard {
    fn begin() -> Self {
        GUARDS.with(|guards| guards.set(guards.get() + 1));
        Self
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        GUARDS.with(|guards| guards.set(guards.get().saturating_sub(1)));
    }
}

/// Runs a parser. Its panic is an error, of which only the log tells more; those of other threads, and of
/// this one afterwards, are shown as ever.
pub(super) fn guarded<T>(parse: impl FnOnce() -> Result<T>) -> Result<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |about| {
            if GUARDS.try_with(Cell::get).unwrap_or(0) == 0 {
                usual(about);
            }
        }));
    });
    let done = {
        let _guard = Guard::begin();
        panic::catch_unwind(AssertUnwindSafe(parse))
    };
    done.unwrap_or_else(|panic| {
        log::debug!("a parser panicked: {}", words_of(panic.as_ref()));
        Err(anyhow!("it is damaged: its reader gave up; copy or write it again"))
    })
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What the test below looks at from outside.
    #[test]
    #[ignore = "panics on purpose"]
    fn a_guarded_panic_and_another() {
        let text = guarded::<()>(|| panic!("a secret of the parser")).unwrap_err().to_string();
        assert!(text.contains("it is damaged"), "{text}");
        let text = guarded(|| Ok(guarded(|| Ok(3))? + 1)).unwrap();
        assert_eq!(text, 4);
        let other = std::thread::spawn(|| panic!("of a thread without a guard"));
        assert!(guarded(|| Ok(other.join().is_err())).unwrap());
        assert!(panic::catch_unwind(|| panic!("after the guard")).is_err());
    }

    #[test]
    fn a_parser_s_panic_says_nothing_on_the_terminal_and_others_do() {
        let name = "media::guarded::tests::a_guarded_panic_and_another";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("a secret of the parser"), "{said}");
        for shown in ["of a thread without a guard", "after the guard"] {
            assert!(said.contains(shown), "{said}");
        }
    }
}
