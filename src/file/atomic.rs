//! Files that are whole or not there.

use crate::diag::{Code, Diagnostic, Diagnostics};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes a file so that a kill at any moment leaves the old file or the new
/// one: into a temporary file beside it, synced, then renamed onto it. A new
/// file gets the permissions of any other new file, an old one keeps its own.
/// What is not a regular file (`/dev/null`, a pipe) is written in place.
pub fn write_atomically(
    path: &Path,
    content: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<(), Diagnostics> {
    write(path, content).map_err(|error| explain(path, &error).into())
}

fn write(
    path: &Path,
    content: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    if old.as_ref().is_some_and(|old| !old.is_file() && !old.is_dir()) {
        let mut file = File::options().write(true).open(path)?;
        content(&mut file)?;
        return file.flush();
    }
    if old.as_ref().is_some_and(fs::Metadata::is_dir) {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // A link is followed: renaming onto it would put the file in its place.
    let place = if old.is_some() { fs::canonicalize(path)? } else { path.to_owned() };
    let directory = match place.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(place.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    prefix.push(".");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(".tmp");
    // The umask takes its bits away, as from any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    // On the way out of an error the temporary file is removed.
    let temporary = builder.tempfile_in(&directory)?;
    if let Some(old) = old {
        temporary.as_file().set_permissions(old.permissions())?;
    }
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary.as_file());
    content(&mut buffered)?;
    buffered.flush()?;
    drop(buffered);
    temporary.as_file().sync_all()?;
    temporary.persist(&place).map_err(|error| error.error)?;
    // The rename is durable once the directory is; not every system can.
    #[cfg(unix)]
    let _ = File::open(&directory).and_then(|directory| directory.sync_all());
    Ok(())
}

fn explain(path: &Path, error: &io::Error) -> Diagnostic {
    let shown = path.display();
    let (what, help) = match error.kind() {
        io::ErrorKind::NotFound => {
            (format!("`{shown}`: its directory does not exist"), "create the directory first")
        }
        io::ErrorKind::NotADirectory => {
            (format!("`{shown}`: a part of the path is not a directory"), "check the path")
        }
        io::ErrorKind::IsADirectory => (format!("`{shown}` is a directory"), "name a file in it"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            (format!("no permission to write `{shown}`"), "write to another place with `-o`")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (
            format!("no space is left to write `{shown}`"),
            "free some space, or write to another disk with `-o`",
        ),
        _ => (format!("cannot write `{shown}`: {error}"), "check the path and the disk"),
    };
    Diagnostic::error(Code::Output, what).help(help)
}
