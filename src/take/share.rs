//! `wan-alpha take where --share`: a folder of the store, prepared for others.

use std::collections::BTreeMap;

use anyhow::Result;
use wan_alpha_take::counted::{counted, verb};
use wan_alpha_take::store::{DefaultAcl, Share, SharedFolder, Store};

use super::places;
use crate::accounts::{group_id, user_name};
use crate::exit::{Exit, OrExit};

/// The word that means everybody, and no group.
const EVERYONE: &str = "everyone";

/// Prepares the first folder of the store, and says what is so now and what is left to others.
pub(super) fn run(store: &Store, whom: &str) -> Result<Vec<String>> {
    let share = match whom {
        EVERYONE => Share::Everyone,
        group => Share::Group(group_id(group)?),
    };
    let shared = store.share(share).or_exit(Exit::BadInput)?;
    Ok(told(&shared, whom))
}

fn told(shared: &SharedFolder, whom: &str) -> Vec<String> {
    let SharedFolder { folder, access, acl, mended, closed, barred } = shared;
    let mut lines = vec![format!(
        "{} is {}: what is put there is theirs to read",
        folder.display(),
        places::whom(access)
    )];
    lines.push(match acl {
        DefaultAcl::Set => "a default ACL opens what other programs put there".to_owned(),
        DefaultAcl::Unsupported => "the file system keeps no default ACL: what other programs than \
             wan-alpha put there is as open as they make it (`umask 002` before `cp`)"
            .to_owned(),
        DefaultAcl::Refused(reason) => format!(
            "no default ACL could be set ({reason}): what other programs than wan-alpha put there is as \
             open as they make it (`umask 002` before `cp`)"
        ),
    });
    if *mended > 0 {
        lines.push(format!(
            "{} in it {} been opened",
            counted(*mended, "file"),
            verb(*mended, "has", "have")
        ));
    }
    let mut by_owner = BTreeMap::<u32, usize>::new();
    for (_, owner) in closed {
        *by_owner.entry(*owner).or_default() += 1;
    }
    for (owner, files) in by_owner {
        lines.push(format!(
            "{} of {} {} closed: have them run `wan-alpha take where --share {whom}`",
            counted(files, "file"),
            user_name(owner),
            verb(files, "stays", "stay")
        ));
    }
    if let Some((folder, mode)) = barred {
        lines.push(format!(
            "but others do not get through {} (mode {mode:04o}), nor perhaps through what is above it: \
             open them (`chmod o+x`), or better put the store where all may go and name it in \
             WAN_ALPHA_STORE",
            folder.display()
        ));
    }
    lines
}
