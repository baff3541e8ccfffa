//! `cargo xtask install` and `uninstall`: the bundle where hosts look for plug-ins.
//!
//! A bundle arrives whole or not at all, and with a receipt inside that names its files: what has no
//! receipt, or holds files that no receipt names, is somebody else's and is left alone.

mod hosts;
mod place;
mod user_folders;

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::bundle::PLACE;
use crate::bundle::layout::NAME;
use crate::tree::Tree;
use hosts::{CacheFate, User};
use user_folders::Leaving;

/// Where every host on Linux looks.
const FOR_ALL: &str = "/usr/OFX/Plugins";

/// Folders to look for plug-ins in, before the system's.
const SEARCH_PATH: &str = "OFX_PLUGIN_PATH";

/// Where an installation goes.
#[derive(clap::Args)]
struct Where {
    /// Into your own folder, OFX/Plugins below $XDG_DATA_HOME or ~/.local/share. OpenFX knows no
    /// such folder on Linux: OFX_PLUGIN_PATH must name it.
    #[arg(long, conflicts_with = "to")]
    user: bool,
    /// Into this folder, for example one that several machines share.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

#[derive(clap::Args)]
pub(crate) struct InstallOptions {
    #[command(flatten)]
    place: Where,
    /// The bundle to install.
    #[arg(long, value_name = "BUNDLE")]
    from: Option<PathBuf>,
    /// Into a folder of its own named by the version, beside other versions there.
    ///
    /// Hosts show one node for all bundles of one identifier: of equals the first that they come
    /// upon. A show that needs a certain one names that version's folder in OFX_PLUGIN_PATH, which
    /// comes before the system's folder.
    #[arg(long)]
    keep_old: bool,
}

#[derive(clap::Args)]
pub(crate) struct UninstallOptions {
    #[command(flatten)]
    place: Where,
    /// One that was installed with --keep-old.
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// What the program keeps in your folders, too: state (logs, latents), cache, sockets. Your takes and
    /// records of models stay.
    #[arg(long)]
    all: bool,
}

pub(crate) fn run(tree: &Tree, options: &InstallOptions) -> Result<ExitCode> {
    let user = User::find()?;
    let default = || tree.root().join(PLACE).join(format!("{NAME}.bundle"));
    let bundle = options.from.clone().unwrap_or_else(default);
    ensure!(
        bundle.join("Contents").is_dir(),
        "there is no bundle {}: make it with `cargo xtask bundle`, or name one with --from",
        tree.short(&bundle)
    );
    let version = place::version(&bundle)?;
    if let Some(warning) = place::only_here(&bundle)? {
        eprintln!("{warning}");
    }
    let root = options.place.folder(&user)?;
    let folder = if options.keep_old { place::own_folder(&root, &version) } else { root.clone() };
    let replaced = place::install(&bundle, &folder)?;
    let installed = folder.join(format!("{NAME}.bundle"));
    println!("{}", installed.display());
    eprintln!(
        "installed {version}{}",
        replaced.map_or(String::new(), |old| format!(", in the place of {old}"))
    );
    after(&user, &root, env::var_os(SEARCH_PATH).as_deref())
}

pub(crate) fn uninstall(options: &UninstallOptions) -> Result<ExitCode> {
    let user = User::find()?;
    let root = options.place.folder(&user)?;
    let folder = match &options.version {
        Some(version) => place::own_folder(&root, version),
        None => root.clone(),
    };
    let bundle = folder.join(format!("{NAME}.bundle"));
    if options.all && !bundle.exists() {
        eprintln!("there is no {}", bundle.display());
        say_leavings(&user);
        return Ok(ExitCode::SUCCESS);
    }
    if options.all {
        // An engine that works on would write again what is removed; that of the user alone is reached.
        let program = bundle.join("Contents/Linux-x86-64/wan-alpha");
        let _ = Command::new(program).args(["engine", "stop"]).stdout(Stdio::null()).status();
    }
    let left = place::uninstall(&folder).map_err(|error| {
        let others = place::versions_beside(&root);
        if options.version.is_none() && !others.is_empty() {
            error.context(format!(
                "nothing was removed; versions in folders of their own here: {}. Name one with \
                 --version",
                others.join(", ")
            ))
        } else {
            error
        }
    })?;
    eprintln!("removed {}", folder.join(format!("{NAME}.bundle")).display());
    if !left.is_empty() {
        eprintln!("left, since install did not place it:");
        for path in left {
            eprintln!("  {}", path.display());
        }
    }
    say_caches(&user);
    if options.all {
        say_leavings(&user);
    }
    Ok(ExitCode::SUCCESS)
}

/// Takes away what the program keeps in the user's folders, and says what stays.
fn say_leavings(user: &User) {
    for leaving in user_folders::remove(user) {
        match leaving {
            Leaving::Removed(folder) => eprintln!("removed {}", folder.display()),
            Leaving::Kept(folder) => eprintln!(
                "left, since it is yours: {}; `rm -r {}` removes it",
                folder.display(),
                folder.display()
            ),
            Leaving::Stuck(folder, reason) => {
                eprintln!(
                    "{} could not be removed ({reason}); remove it yourself",
                    folder.display()
                );
            }
        }
    }
}

impl Where {
    fn folder(&self, user: &User) -> Result<PathBuf> {
        if let Some(folder) = &self.to {
            return std::path::absolute(folder)
                .with_context(|| format!("--to {} is no path", folder.display()));
        }
        if !self.user {
            return Ok(FOR_ALL.into());
        }
        let Some(data) = user.data() else {
            bail!("--user: you have no home folder here. Name a folder with --to");
        };
        Ok(data.join("OFX/Plugins"))
    }
}

/// What hosts remember of earlier plug-ins, and what is left to do.
fn after(user: &User, root: &Path, search_path: Option<&std::ffi::OsStr>) -> Result<ExitCode> {
    say_caches(user);
    if root != Path::new(FOR_ALL) {
        eprintln!("{}", search_words(root, search_path));
    }
    eprintln!("next, in each host:");
    for host in hosts::HOSTS {
        eprintln!("  {:<16} {}", host.name, host.next);
    }
    Ok(ExitCode::SUCCESS)
}

fn search_words(root: &Path, search_path: Option<&std::ffi::OsStr>) -> String {
    let shown = root.display();
    let named = search_path.is_some_and(|list| env::split_paths(list).any(|one| one == root));
    if named {
        format!("{SEARCH_PATH} names {shown}: hosts started from here find it")
    } else {
        format!(
            "hosts do not look there by themselves: let the environment that they are started in \
             say\n  export {SEARCH_PATH}={shown}${{{SEARCH_PATH}:+:${SEARCH_PATH}}}"
        )
    }
}

fn say_caches(user: &User) {
    for fate in hosts::set_caches_aside(user) {
        match fate {
            CacheFate::Aside { host, from, to } => {
                eprintln!(
                    "{host}: its list of plug-ins {} is now {}",
                    from.display(),
                    to.display()
                );
            }
            CacheFate::InUse { host, file, process } => eprintln!(
                "{host} is running (process {process}): its list of plug-ins stays. Close it, remove \
                 {}, start it again",
                file.display()
            ),
            CacheFate::Stuck { host, file, error } => eprintln!(
                "{host}: its list of plug-ins {} could not be set aside ({error}); remove it \
                 yourself",
                file.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests;
