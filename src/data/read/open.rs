//! Opening what the user names: files, globs, standard input.

use crate::diag::{Code, Diagnostic, Diagnostics};
use std::fs::File;
use std::io::{self, Cursor, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a table's bytes come from.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
    /// A text in memory.
    Memory {
        /// What messages call it.
        name: Arc<str>,
        /// The text, or a file's content of any format.
        bytes: Arc<[u8]>,
    },
    /// A file without a name: what came from a stream, to be read again.
    Spooled {
        /// What messages call it.
        name: Arc<str>,
        /// The file.
        file: Arc<File>,
    },
}

impl Input {
    /// What messages call it.
    pub fn name(&self) -> Arc<str> {
        match self {
            Input::File(path) => path.display().to_string().into(),
            Input::Stdin => "standard input".into(),
            Input::Memory { name, .. } | Input::Spooled { name, .. } => name.clone(),
        }
    }

    /// Opens it, and looks at its first bytes.
    pub(crate) fn open(&self) -> Result<Opened, Diagnostics> {
        let name = self.name();
        let mut again = None;
        let (mut reader, live): (Box<dyn Read + Send>, bool) = match self {
            Input::File(path) => {
                let file = open_file(path)?;
                let regular = file.metadata().is_ok_and(|data| data.is_file());
                again = if regular { file.try_clone().ok() } else { None };
                (Box::new(file), !regular)
            }
            Input::Stdin => (Box::new(io::stdin()), true),
            Input::Spooled { file, .. } => {
                again = file.try_clone().ok();
                (self.bytes_as_they_are()?, false)
            }
            Input::Memory { .. } => (self.bytes_as_they_are()?, false),
        };
        let mut magic = [0; 8];
        let n = fill(&mut reader, &mut magic).map_err(|error| failed(&name, &error))?;
        let start = &magic[..n];
        let reader: Box<dyn Read + Send> = Box::new(Cursor::new(start.to_vec()).chain(reader));
        let (content, plain) = match signature(start) {
            Signature::Text => (Content::Text(reader), true),
            Signature::Gzip => (Content::Text(gzip(reader, &name)?), false),
            Signature::Zstd => (Content::Text(zstd(reader, &name)?), false),
            Signature::Parquet => (Content::Parquet(reader), true),
            Signature::Arrow => (Content::Arrow(reader), true),
            Signature::Other(what, help) => {
                return Err(Diagnostic::error(Code::DataFormat, format!("`{name}` is {what}"))
                    .in_file(&*name, None)
                    .help(help)
                    .into());
            }
        };
        let file = if plain { again } else { None };
        Ok(Opened { name, content, live, plain, file })
    }

    /// An input that can be read more than once: a stream and a compressed
    /// file are copied, to memory where they are small and else to a
    /// temporary file.
    pub(crate) fn replayable(self) -> Result<Input, Diagnostics> {
        let again = match &self {
            // Not by opening it: a pipe that is opened and closed again breaks
            // whoever writes into it.
            Input::File(path) => path.metadata().is_ok_and(|data| !data.is_file()),
            Input::Stdin => true,
            Input::Memory { .. } | Input::Spooled { .. } => false,
        };
        let Opened { name, content, plain, .. } = match again {
            true => self.open()?,
            false => match self.open()? {
                opened if opened.plain => return Ok(self),
                opened => opened,
            },
        };
        debug_assert!(again || !plain);
        let (Content::Text(mut reader) | Content::Parquet(mut reader) | Content::Arrow(mut reader)) =
            content;
        let mut spool = tempfile::spooled_tempfile(64 << 20);
        let copied = copy(&mut reader, &mut spool);
        match copied {
            Ok(()) => {}
            Err(Copy::Read(error)) => return Err(failed(&name, &error)),
            Err(Copy::Write(error)) => return Err(no_room(&error)),
        }
        Ok(match spool.into_inner() {
            tempfile::SpooledData::InMemory(cursor) => {
                Input::Memory { name, bytes: cursor.into_inner().into() }
            }
            tempfile::SpooledData::OnDisk(file) => Input::Spooled { name, file: Arc::new(file) },
        })
    }

    /// Its path, where it is a file that can be opened again.
    pub(crate) fn regular_file(&self) -> Option<&Path> {
        match self {
            Input::File(path) if path.metadata().is_ok_and(|data| data.is_file()) => Some(path),
            _ => None,
        }
    }

    /// Its bytes, without unpacking; not to be asked of a stream.
    pub(crate) fn bytes_as_they_are(&self) -> Result<Box<dyn Read + Send>, Diagnostics> {
        Ok(match self {
            Input::File(path) => Box::new(open_file(path)?),
            Input::Stdin => Box::new(io::stdin()),
            Input::Memory { bytes, .. } => Box::new(Cursor::new(bytes.clone())),
            Input::Spooled { name, file } => {
                let mut file = file.try_clone().map_err(|error| failed(name, &error))?;
                file.rewind().map_err(|error| failed(name, &error))?;
                Box::new(file)
            }
        })
    }

    /// The bytes of its text, where that is known before it is read.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Input::File(path) => path.metadata().ok().map(|data| data.len()),
            Input::Stdin => None,
            Input::Memory { bytes, .. } => Some(bytes.len() as u64),
            Input::Spooled { file, .. } => file.metadata().ok().map(|data| data.len()),
        }
    }
}

/// An input that has been opened.
pub(crate) struct Opened {
    pub(crate) name: Arc<str>,
    pub(crate) content: Content,
    /// Whether bytes come when they come: a pipe, a terminal.
    pub(crate) live: bool,
    /// Whether the content is the input's own bytes.
    plain: bool,
    /// The file whose own bytes the content is, to be read at any place.
    pub(crate) file: Option<File>,
}

/// What a file turned out to hold.
pub(crate) enum Content {
    /// A text, decompressed.
    Text(Box<dyn Read + Send>),
    /// A Parquet file.
    Parquet(Box<dyn Read + Send>),
    /// An Arrow IPC file (Feather).
    Arrow(Box<dyn Read + Send>),
}

enum Copy {
    Read(io::Error),
    Write(io::Error),
}

fn copy(from: &mut dyn Read, to: &mut dyn Write) -> Result<(), Copy> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n]).map_err(Copy::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Copy::Read(error)),
        }
    }
}

/// The error for a temporary file that cannot be written.
pub(crate) fn no_room(error: &io::Error) -> Diagnostics {
    let folder = std::env::temp_dir();
    Diagnostic::error(
        Code::Output,
        format!("cannot write a temporary file in `{}`: {error}", folder.display()),
    )
    .help("set the environment variable TMPDIR to a folder with room, or name one with `--cache`")
    .into()
}

/// Reads until the buffer is full or the input ends.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buffer.len() {
        match reader.read(&mut buffer[n..]) {
            Ok(0) => break,
            Ok(more) => n += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(n)
}

/// Opens a data file; the error says in plain words why it cannot be read.
fn open_file(path: &Path) -> Result<File, Diagnostics> {
    let refuse = |message: String, help: &str| {
        Diagnostics::from(Diagnostic::error(Code::DataFile, message).in_file(path, None).help(help))
    };
    if path.is_dir() {
        return Err(refuse(
            format!("`{}` is a directory, not a data file", path.display()),
            "name a file, or several as in `folder/*.csv`",
        ));
    }
    File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse(
            format!("the data file `{}` does not exist", path.display()),
            "check the path; a relative path starts at the working directory",
        ),
        io::ErrorKind::PermissionDenied => refuse(
            format!("no permission to read `{}`", path.display()),
            "ask the file's owner for permission to read it",
        ),
        _ => refuse(
            format!("cannot read `{}`: {error}", path.display()),
            "check the path and the disk",
        ),
    })
}

/// The error for a read that failed.
pub(crate) fn failed(name: &str, error: &io::Error) -> Diagnostics {
    let cut = error.kind() == io::ErrorKind::UnexpectedEof;
    let message = match cut {
        true => format!("`{name}` ends in the middle of its compressed data"),
        false => format!("reading `{name}` failed: {error}"),
    };
    Diagnostic::error(Code::DataFile, message)
        .in_file(name, None)
        .help(match cut {
            true => "the file is damaged or its download was cut short: get it again",
            false => "check the file and the disk it is on",
        })
        .into()
}

enum Signature {
    Text,
    Gzip,
    Zstd,
    Parquet,
    Arrow,
    Other(&'static str, &'static str),
}

/// What the first bytes say. Names of files can lie; their content cannot.
fn signature(start: &[u8]) -> Signature {
    const EXPORT: &str = "export the table as CSV or Parquet";
    const UTF_8: &str = "save it as UTF-8";
    const UNPACK: &str = "unpack it first; gzip and zstd are read as they are";
    match start {
        [0x1f, 0x8b, ..] => Signature::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Signature::Zstd,
        [b'P', b'A', b'R', b'1', ..] => Signature::Parquet,
        [b'A', b'R', b'R', b'O', b'W', b'1', 0, 0] => Signature::Arrow,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Signature::Other("a text in UTF-16", UTF_8),
        [b'P', b'K', 3, 4, ..] => {
            Signature::Other("a zip archive or a spreadsheet, not a table", EXPORT)
        }
        [0xd0, 0xcf, 0x11, 0xe0, ..] => Signature::Other("an old spreadsheet, not a table", EXPORT),
        [b'F', b'E', b'A', b'1', ..] => {
            Signature::Other("a Feather file of version 1", "write it again with a newer pyarrow")
        }
        [0xff, 0xff, 0xff, 0xff, ..] => {
            Signature::Other("an Arrow stream", "write the Arrow file format, or Parquet")
        }
        [0x89, b'H', b'D', b'F', ..] => Signature::Other("an HDF5 file, not a table", EXPORT),
        [b'S', b'Q', b'L', b'i', b't', b'e', ..] => Signature::Other("an SQLite database", EXPORT),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', b'&'] => {
            Signature::Other("compressed with bzip2", UNPACK)
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Signature::Other("compressed with xz", UNPACK),
        _ => Signature::Text,
    }
}

#[cfg(feature = "compressed")]
fn gzip(reader: Box<dyn Read + Send>, _: &str) -> Result<Box<dyn Read + Send>, Diagnostics> {
    Ok(Box::new(flate2::read::MultiGzDecoder::new(reader)))
}

#[cfg(feature = "compressed")]
fn zstd(reader: Box<dyn Read + Send>, name: &str) -> Result<Box<dyn Read + Send>, Diagnostics> {
    let decoder = zstd::Decoder::new(reader).map_err(|error| failed(name, &error))?;
    Ok(Box::new(decoder))
}

#[cfg(not(feature = "compressed"))]
use self::{without_compression as gzip, without_compression as zstd};

#[cfg(not(feature = "compressed"))]
fn without_compression(
    _: Box<dyn Read + Send>,
    name: &str,
) -> Result<Box<dyn Read + Send>, Diagnostics> {
    Err(Diagnostic::error(Code::DataFormat, format!("`{name}` is compressed"))
        .in_file(name, None)
        .help("unpack it first: this build cannot (the feature `compressed` is off)")
        .into())
}

/// The inputs that a path of the command line names: `-` is standard input,
/// and a path that does not exist but holds `*`, `?` or `[` is a pattern of
/// file names, whose files come in the order of their names.
///
/// # Errors
/// Where a pattern matches no file, or is none.
pub fn expand(paths: &[PathBuf]) -> Result<Vec<Input>, Diagnostics> {
    let mut inputs = Vec::with_capacity(paths.len());
    for path in paths {
        if path.as_os_str() == "-" {
            inputs.push(Input::Stdin);
            continue;
        }
        let Some(pattern) = path.to_str().filter(|text| text.contains(['*', '?', '['])) else {
            inputs.push(Input::File(path.clone()));
            continue;
        };
        if path.exists() {
            inputs.push(Input::File(path.clone()));
            continue;
        }
        let refuse = |message: String| {
            Diagnostics::from(
                Diagnostic::error(Code::DataFile, message)
                    .in_file(path, None)
                    .help("`*` stands for any part of a name, `**` for any folders"),
            )
        };
        let found = glob::glob(pattern)
            .map_err(|error| refuse(format!("`{pattern}` is no pattern: {}", error.msg)))?;
        let before = inputs.len();
        for path in found {
            let path = path.map_err(|error| refuse(format!("cannot look for files: {error}")))?;
            if !path.is_dir() {
                inputs.push(Input::File(path));
            }
        }
        if inputs.len() == before {
            return Err(refuse(format!("no file matches `{pattern}`")));
        }
    }
    if inputs.iter().filter(|input| matches!(input, Input::Stdin)).count() > 1 {
        return Err(Diagnostic::error(Code::Usage, "standard input is named twice")
            .help("`-` can be read once")
            .into());
    }
    Ok(inputs)
}
