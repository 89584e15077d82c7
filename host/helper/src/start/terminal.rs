//! Owns the pseudo terminals of processes: opens them, types input, and copies output to a file.
//! Does not know about the channel.

use std::os::fd::OwnedFd;
use std::rc::Rc;

use nix::pty::{Winsize, openpty};
use persea_helper::protocol::{Input, StartFailure, TerminalSize};
use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd, read};

use crate::ABOVE_WELL_KNOWN;
use crate::copy::FileCopy;
use crate::start::resources;
use crate::start::streams::{Streams, invalid, not_blocking};

/// The character that a new terminal takes for the end of the input (Ctrl-D).
const END: u8 = 4;

/// How many pieces are copied after the end of the process: more than a terminal buffers, and few
/// enough that a process which it left behind cannot hold up the helper.
const LAST_PIECES: usize = 64;

/// The helper's part of a process's terminal.
pub(crate) struct Terminal {
    /// The input to type; none if the host writes it.
    pub(crate) to_type: Option<Vec<u8>>,
    /// Whether the last typed byte ended a line.
    pub(crate) is_at_line_start: bool,
    /// The output that the helper itself reads; none if the host does.
    pub(crate) copied: Option<(OwnedFd, Option<FileCopy>)>,
}

impl Terminal {
    /// Returns what ends the input: the first character completes an unfinished line.
    pub(crate) fn end(&self) -> Vec<u8> {
        vec![END; if self.is_at_line_start { 1 } else { 2 }]
    }

    /// Copies one piece of the output. Returns whether there was one.
    pub(crate) fn copy(&mut self, buffer: &mut [u8]) -> bool {
        let Some((from, to)) = &mut self.copied else {
            return false;
        };
        match read(from, &mut *buffer) {
            Ok(count) if count > 0 => {
                if let Some(to) = to {
                    to.write(buffer.get(..count).unwrap_or_default());
                }
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => false,
            // EIO: no process has the terminal open any more.
            Ok(_) | Err(_) => {
                self.copied = None;
                false
            }
        }
    }

    /// Copies what is left after the end of the process.
    pub(crate) fn copy_rest(&mut self, buffer: &mut [u8]) {
        for _ in 0..LAST_PIECES {
            if !self.copy(buffer) {
                break;
            }
        }
        self.copied = None;
    }
}

/// Opens the terminal of a process. Its output goes to the host, to a file, or nowhere.
pub(crate) fn open_terminal(
    size: TerminalSize,
    input: &Input,
    to_host: bool,
    file: Option<OwnedFd>,
) -> Result<Streams, StartFailure> {
    let to_type = match input {
        Input::Empty => Some(vec![END]),
        Input::Pipe => None,
        Input::Bytes(bytes) => {
            let is_complete = bytes.0.last().is_none_or(|last| *last == b'\n');
            let end: &[u8] = if is_complete { &[END] } else { &[END, END] };
            Some([&bytes.0, end].concat())
        }
        Input::File(_) => {
            return Err(invalid(
                "the standard input of a process with a terminal can't be a file",
            ));
        }
    };
    let size = Winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let pair = openpty(&size, None).map_err(|e| resources(Errno::from_raw_os_error(e as i32)))?;
    for end in [&pair.master, &pair.slave] {
        fcntl_setfd(end, FdFlags::CLOEXEC).map_err(resources)?;
    }
    let master = not_blocking(pair.master)?;
    let copy = fcntl_dupfd_cloexec(&master, ABOVE_WELL_KNOWN).map_err(resources)?;
    let theirs = Rc::new(pair.slave);
    let (stdout, copied) = match to_host {
        true => (Some(copy), None),
        false => (None, Some((copy, file.map(FileCopy::new)))),
    };
    Ok(Streams {
        theirs: [0; 3].map(|_| Some(Rc::clone(&theirs))),
        stdin: Some(master),
        outputs: [stdout, None],
        terminal: Some(Terminal {
            to_type,
            is_at_line_start: true,
            copied,
        }),
    })
}
