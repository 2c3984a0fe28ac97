//! `millstream passwd`: who may log in.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead, ErrorKind, IsTerminal, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tempfile::NamedTempFile;

use crate::ingest::{UserList, check_name, hash_password};

/// The permissions of a new file: hashes are nobody else's business.
const MODE: u32 = 0o600;
/// The longest password that MQTT can carry, in bytes (MQTT 5.0, 1.5.6).
const PASSWORD_BYTES_MAX: usize = 65_535;

/// What Ctrl-C is while it is no signal.
const INTERRUPT: char = '\u{3}';

/// Adds a user to a users_file, or changes the password.
#[derive(Debug, clap::Args)]
pub(super) struct PasswdArgs {
    /// The file, as `ingest.listener.users_file` names it; it is made if it is not there.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The name that the user logs in with.
    #[arg(value_name = "USER")]
    user: String,
    /// Take the password from the first line of standard input, without asking.
    #[arg(long)]
    stdin: bool,
    /// Remove the user.
    #[arg(long, conflicts_with = "stdin")]
    delete: bool,
}

/// Changes the file. Running listeners read it again by themselves.
///
/// # Errors
/// When the file, the name or the password is no good.
pub(super) fn passwd(args: &PasswdArgs, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    check_name(&args.user).map_err(anyhow::Error::msg)?;
    // The target of a link is changed, not the link.
    let file = match args.file.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound && !args.delete => args.file.clone(),
        file => file.with_context(|| format!("cannot find {}", args.file.display()))?,
    };
    let name = args.file.display();
    // Before asking for a password that could not be kept.
    if file.exists() {
        UserList::read(&file)?;
    }
    let line = if args.delete {
        None
    } else {
        let password = if !args.stdin && io::stdin().is_terminal() { ask_twice()? } else { read_line()? };
        ensure!(!password.is_empty(), "the password is empty");
        ensure!(
            password.len() <= PASSWORD_BYTES_MAX,
            "the password is longer than {PASSWORD_BYTES_MAX} bytes"
        );
        let hash =
            hash_password(password.as_bytes()).map_err(|error| anyhow::anyhow!("cannot hash: {error}"))?;
        Some(format!("{}:{hash}", args.user))
    };
    let replaced =
        change(&file, &args.user, line.as_deref()).with_context(|| format!("cannot change {name}"))?;
    match (args.delete, replaced) {
        (true, false) => bail!("there is no user {:?} in {name}", args.user),
        (true, true) => writeln!(out, "removed {:?} from {name}", args.user)?,
        (false, true) => writeln!(out, "changed the password of {:?} in {name}", args.user)?,
        (false, false) => writeln!(out, "added {:?} to {name}", args.user)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts `line` in the place of the user's, or removes that; tells whether there was one. Whoever reads the file
/// meanwhile sees all of the old one or all of the new.
fn change(file: &Path, user: &str, line: Option<&str>) -> io::Result<bool> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // One at a time: who comes later sees what the first has done.
    let lock = File::open(folder)?;
    lock.lock()?;
    let (old, owner) = match fs::read_to_string(file) {
        Ok(old) => (old, Some(file.metadata()?)),
        Err(error) if error.kind() == ErrorKind::NotFound => (String::new(), None),
        Err(error) => return Err(error),
    };
    let is_users = |line: &&str| line.rsplit_once(':').is_some_and(|(name, _)| name == user);
    let mut lines: Vec<&str> = old.lines().collect();
    let place = lines.iter().position(is_users);
    match (place, line) {
        (Some(place), Some(line)) => lines[place] = line,
        (Some(place), None) => drop(lines.remove(place)),
        (None, Some(line)) => lines.push(line),
        (None, None) => return Ok(false),
    }
    let mut new = NamedTempFile::new_in(folder)?;
    for line in lines {
        writeln!(new, "{line}")?;
    }
    if let Some(owner) = &owner {
        // The listener may run as somebody else.
        if (owner.uid(), owner.gid()) != (new.as_file().metadata()?.uid(), new.as_file().metadata()?.gid()) {
            fchown(new.as_file(), Some(owner.uid()), Some(owner.gid()))?;
        }
    }
    let mode = owner.map_or(MODE, |owner| owner.mode());
    new.as_file().set_permissions(Permissions::from_mode(mode))?;
    new.as_file().sync_all()?;
    new.persist(file)?;
    lock.sync_all()?;
    Ok(place.is_some())
}

fn ask_twice() -> anyhow::Result<String> {
    let silence = Silence::begin().context("cannot turn off the terminal's echo; use --stdin")?;
    let password = ask("Password: ")?;
    let again = ask("Again: ")?;
    drop(silence);
    ensure!(!(password.clone() + &again).contains(INTERRUPT), "interrupted; nothing is changed");
    ensure!(password == again, "these are two different passwords; nothing is changed");
    Ok(password)
}

fn ask(prompt: &str) -> anyhow::Result<String> {
    let mut terminal = io::stderr();
    write!(terminal, "{prompt}")?;
    terminal.flush()?;
    let line = read_line();
    writeln!(terminal)?;
    line
}

/// The next line of standard input, without its end.
fn read_line() -> anyhow::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).context("cannot read a password from standard input")?;
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // Nor would a signal turn the echo on again.
        silent.local_modes.remove(LocalModes::ECHO | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Then there is no terminal any more.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
