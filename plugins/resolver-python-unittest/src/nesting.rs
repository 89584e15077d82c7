//! Owns the check for too deep nesting before a file is parsed: the parser would overflow the
//! stack.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer};

/// Limit for nested brackets and blocks together. CPython stops at 200 brackets or 100 blocks. The
/// parser has no limit, and takes 2 KiB of a stack of 512 KiB for each level.
pub(crate) const MAX_NESTING: usize = 100;

/// The byte offset at which brackets or blocks may be nested too deeply to parse the file. None
/// where the whole file can be parsed.
pub(crate) fn nested_too_deeply(text: &str) -> Option<usize> {
    // A fast first pass also counts brackets in strings and comments. Only files that exceed the
    // limit here go through the lexer.
    let mut depth = 0_usize;
    let mut blank = Some(0_usize);
    let suspect = text.bytes().position(|byte| {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        blank = match (byte, blank) {
            (b'\n', _) => Some(0),
            (b' ' | b'\t', Some(columns)) => Some(columns + 1),
            _ => None,
        };
        depth > MAX_NESTING || blank.is_some_and(|columns| columns > MAX_NESTING)
    })?;
    let mut lexer = lexer::lex(text, Mode::Module);
    let (mut brackets, mut blocks) = (0_usize, 0_usize);
    loop {
        match lexer.next_token() {
            TokenKind::EndOfFile => return None,
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => brackets += 1,
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => {
                brackets = brackets.saturating_sub(1)
            }
            TokenKind::Indent => blocks += 1,
            TokenKind::Dedent => blocks = blocks.saturating_sub(1),
            _ => {}
        }
        if brackets + blocks > MAX_NESTING {
            return Some(suspect);
        }
    }
}
