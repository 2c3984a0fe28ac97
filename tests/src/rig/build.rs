//! The programs that the rig starts, built as the rig itself was.

use std::{env, process::Command};

use anyhow::{Context, bail, ensure};

use crate::site::{programs, root};

/// Builds `millstream`, `device-sim` and `millstream-failpoints` beside the rig.
///
/// # Errors
/// When they cannot be built.
pub fn build() -> anyhow::Result<()> {
    let directory = programs();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(name) => name,
        None => bail!("cannot tell the profile that built {}: run it with cargo", directory.display()),
    };
    cargo(profile, &["--workspace", "--bins"])?;
    cargo(profile, &["-p", "tests", "--features", "failpoints", "--bin", "millstream-failpoints"])
}

fn cargo(profile: &str, what: &[&str]) -> anyhow::Result<()> {
    // The one that runs us, where one does.
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What it says of the rig to the rig is no reason to build anew what asks for it, and all that stands on that.
    let of_the_rig = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(of_the_rig)) {
        command.env_remove(name);
    }
    command.current_dir(root()).args(["build", "--quiet", "--profile", profile]).args(what);
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}
