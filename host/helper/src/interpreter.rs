//! Owns the explanation of a confusing error: the kernel reports that a program does not exist
//! although its file does, because the interpreter or loader that the file names is missing. Does
//! not know how programs are started.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags, open, stat};

/// How many bytes of a program are read. The kernel reads fewer of a script's first line, and an
/// ELF file names its loader near the beginning.
const HEAD: u64 = 4096;

/// The type of the program header that names the loader of an ELF file.
const PT_INTERP: u32 = 3;

/// Explains why an existing program cannot run: which other file is missing. For people.
pub(crate) fn explain_missing_file(program: &Path) -> String {
    let head = head(program).unwrap_or_default();
    if let Some(line) = head.strip_prefix(b"#!") {
        return explain_script(line, program);
    }
    match loader(&head) {
        Some(loader) => format!(
            "the loader that it needs, {}, does not exist",
            loader.display()
        ),
        None => "its interpreter or loader does not exist".to_owned(),
    }
}

fn head(program: &Path) -> std::io::Result<Vec<u8>> {
    // Must not block if the file has become a pipe.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::File::from(open(program, flags, Mode::empty())?);
    let mut head = Vec::new();
    file.take(HEAD).read_to_end(&mut head)?;
    Ok(head)
}

fn explain_script(after_mark: &[u8], program: &Path) -> String {
    let line = after_mark.split(|byte| *byte == b'\n').next();
    let line = line.unwrap_or_default().trim_ascii_start();
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let interpreter = line.split(is_blank).next().unwrap_or_default();
    let path = Path::new(OsStr::from_bytes(interpreter));
    if let Some(intended) = interpreter.strip_suffix(b"\r") {
        return format!(
            "its first line ends in a carriage return, which the kernel takes for a part of the \
             interpreter's name: it looks for {path:?} and not for {:?}; \
             `sed -i 's/\\r$//' {}` removes the carriage returns",
            Path::new(OsStr::from_bytes(intended)),
            program.display()
        );
    }
    if stat(path).is_ok() {
        return format!(
            "its interpreter {} exists, but not what that needs to run",
            path.display()
        );
    }
    format!(
        "the interpreter that its first line names, {}, does not exist",
        path.display()
    )
}

/// Returns the loader that a 64-bit ELF file names.
fn loader(head: &[u8]) -> Option<&Path> {
    // Class 64-bit, little endian: Persea runs on no other machines.
    if !head.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let u16_at = |at: usize| Some(u16::from_le_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let u32_at = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
    let u64_at = |at: usize| -> Option<usize> {
        let bytes = head.get(at..at.checked_add(8)?)?;
        u64::from_le_bytes(bytes.try_into().ok()?).try_into().ok()
    };
    let (table, size, count) = (u64_at(32)?, usize::from(u16_at(54)?), u16_at(56)?);
    for index in 0..usize::from(count) {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        if entry > head.len() || u32_at(entry)? != PT_INTERP {
            continue;
        }
        let (start, length) = (u64_at(entry + 8)?, u64_at(entry + 32)?);
        let name = head.get(start..start.checked_add(length)?)?;
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        return Some(Path::new(OsStr::from_bytes(name)));
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn explained(text: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.sh");
        std::fs::write(&path, text).unwrap();
        explain_missing_file(&path)
    }

    #[test]
    fn carriage_return_is_named_with_the_interpreter() {
        let text = explained(b"#!/bin/sh\r\necho\r\n");
        assert!(
            text.contains(r#"looks for "/bin/sh\r" and not for "/bin/sh""#),
            "{text}"
        );
        assert!(text.contains("sed -i"), "{text}");
    }

    #[test]
    fn missing_interpreter_is_named() {
        for script in ["#!/no/such -x\n", "#! \t/no/such", "#!/no/such"] {
            let text = explained(script.as_bytes());
            assert_eq!(
                text,
                "the interpreter that its first line names, /no/such, does not exist"
            );
        }
    }

    #[test]
    fn missing_loader_is_named() {
        let mut program = std::fs::read("/bin/true").unwrap();
        let named = loader(&program).unwrap().to_str().unwrap().to_owned();
        let at = program
            .windows(named.len())
            .position(|part| part == named.as_bytes())
            .unwrap();
        let other = "/".repeat(named.len() - 1) + "x";
        program.splice(at..at + named.len(), other.bytes());
        let text = explained(&program);
        assert!(
            text.contains(&format!("needs, {other}, does not exist")),
            "{text}"
        );
    }

    #[test]
    fn truncated_elf_file_names_no_loader() {
        let program = std::fs::read("/bin/true").unwrap();
        for length in 0..1024 {
            let _ = loader(program.get(..length).unwrap());
        }
        assert!(explained(b"\x7fELF\x02\x01").contains("interpreter or loader"));
    }
}
