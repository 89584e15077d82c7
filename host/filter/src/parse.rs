//! Owns the grammar. First a filter becomes a tree of conditions with their places, then each
//! condition is checked, so that a fault names its place.
//!
//! ```text
//! any       = all  { ("|" | "||" | "or")  all }
//! all       = one  { ("&" | "&&" | "and") one }
//! one       = { "!" | "not" } ( "(" any ")" | NAME "(" [ argument ] ")" )
//! argument  = "/" EXPRESSION "/" | [ "=" | "~" ] ( '"' TEXT '"' | TEXT )
//! ```
//!
//! A text without quotes ends at the parenthesis that closes the condition; parentheses in it come
//! in pairs.

use std::ops::Range;

use persea_model::Status;
use winnow::ascii::multispace0;
use winnow::combinator::{
    alt, cut_err, delimited, fail, not, opt, peek, preceded, repeat, terminated,
};
use winnow::error::{ContextError, ErrMode, ModalResult, StrContext, StrContextValue};
use winnow::prelude::*;
use winnow::stream::LocatingSlice;
use winnow::token::{any, one_of, take_while};

use crate::condition::{Condition, ConditionName};
use crate::error::{FilterError, FilterFault};
use crate::matcher::Matcher;
use crate::tags::TagList;
use crate::{DEEPEST, Expression, LONGEST};

type Input<'a> = LocatingSlice<&'a str>;

/// A part of a filter as it is written.
enum Written<'a> {
    Condition(WrittenCondition<'a>),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

struct WrittenCondition<'a> {
    name: &'a str,
    name_span: Range<usize>,
    argument: Option<Argument<'a>>,
    argument_span: Range<usize>,
}

enum Argument<'a> {
    Equal(String),
    Contains(String),
    Pattern(String),
    Regex(&'a str),
}

/// Parses a filter.
pub(crate) fn filter(text: &str) -> Result<Expression, FilterError> {
    let fault = |span: Range<usize>, fault: FilterFault| FilterError {
        filter: text.to_owned(),
        span,
        fault,
    };
    if text.len() > LONGEST || deepest(text) > DEEPEST {
        let shown: String = text.chars().take(100).collect();
        return Err(FilterError {
            filter: format!("{shown}…"),
            span: 0..0,
            fault: FilterFault::TooLarge,
        });
    }
    let written = preceded(multispace0, any_of)
        .parse(LocatingSlice::new(text))
        .map_err(|error| {
            let at = error.char_span();
            fault(at, FilterFault::Expected(expected(error.inner())))
        })?;
    checked(written, &fault)
}

/// The deepest nesting of parentheses in a text, also of those within quotes and expressions.
fn deepest(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for c in text.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What could follow, in words.
fn expected(error: &ContextError) -> String {
    let words = error.context().filter_map(|context| match context {
        StrContext::Expected(StrContextValue::Description(words)) => Some(*words),
        StrContext::Expected(_) | StrContext::Label(_) | _ => None,
    });
    // The innermost comes first, and says most.
    words
        .into_iter()
        .next()
        .unwrap_or("`&`, `|` or the end")
        .to_owned()
}

fn words(words: &'static str) -> StrContext {
    StrContext::Expected(StrContextValue::Description(words))
}

fn any_of<'a>(input: &mut Input<'a>) -> ModalResult<Written<'a>> {
    let first = all_of.parse_next(input)?;
    let operator = alt(("||", "|", keyword("or")));
    let mut parts: Vec<Written<'a>> =
        repeat(0.., preceded(spaced(operator), cut_err(all_of))).parse_next(input)?;
    if parts.is_empty() {
        return Ok(first);
    }
    parts.insert(0, first);
    Ok(Written::Any(parts))
}

fn all_of<'a>(input: &mut Input<'a>) -> ModalResult<Written<'a>> {
    let first = one.parse_next(input)?;
    let operator = alt(("&&", "&", keyword("and")));
    let mut parts: Vec<Written<'a>> =
        repeat(0.., preceded(spaced(operator), cut_err(one))).parse_next(input)?;
    if parts.is_empty() {
        return Ok(first);
    }
    parts.insert(0, first);
    Ok(Written::All(parts))
}

fn one<'a>(input: &mut Input<'a>) -> ModalResult<Written<'a>> {
    let negations: usize = repeat(0.., spaced(alt(("!", keyword("not"))))).parse_next(input)?;
    let group = delimited(
        spaced("("),
        cut_err(any_of),
        cut_err(spaced(")")).context(words("`&`, `|` or `)`")),
    );
    let one = alt((group, condition.map(Written::Condition))).parse_next(input)?;
    Ok(match negations % 2 {
        0 => one,
        _ => Written::Not(Box::new(one)),
    })
}

fn condition<'a>(input: &mut Input<'a>) -> ModalResult<WrittenCondition<'a>> {
    let name = take_while(1.., is_in_name).with_span();
    let (name, name_span) = spaced(name)
        .context(words("a condition such as `name(…)`, `!` or `(`"))
        .parse_next(input)?;
    cut_err(spaced("("))
        .context(words("`(` and an argument"))
        .parse_next(input)?;
    let (argument, argument_span) = cut_err(opt(argument).with_span()).parse_next(input)?;
    (multispace0, cut_err(spaced(")")))
        .context(words("`)`"))
        .parse_next(input)?;
    Ok(WrittenCondition {
        name,
        name_span,
        argument,
        argument_span,
    })
}

fn argument<'a>(input: &mut Input<'a>) -> ModalResult<Argument<'a>> {
    alt((
        preceded("/", cut_err(expression)).map(Argument::Regex),
        preceded(spaced("="), cut_err(value).context(words("a text"))).map(Argument::Equal),
        preceded(spaced("~"), cut_err(value).context(words("a text"))).map(Argument::Contains),
        value.map(Argument::Pattern),
    ))
    .parse_next(input)
}

/// The rest of a regular expression, up to the slash that ends it.
fn expression<'a>(input: &mut Input<'a>) -> ModalResult<&'a str> {
    let plain = any.verify(|c| !matches!(c, '/' | '\\')).void();
    let escaped = ('\\', any).void();
    let all = repeat::<_, _, (), _, _>(0.., alt((plain, escaped))).take();
    terminated(all, "/")
        .context(words("`/` at the end of the regular expression"))
        .parse_next(input)
}

fn value(input: &mut Input<'_>) -> ModalResult<String> {
    alt((preceded("\"", cut_err(quoted)), bare)).parse_next(input)
}

/// The rest of a text in quotes.
fn quoted(input: &mut Input<'_>) -> ModalResult<String> {
    let plain = any.verify(|c| !matches!(c, '"' | '\\'));
    let escaped = preceded('\\', one_of(['"', '\\']));
    terminated(repeat(0.., alt((plain, escaped))), "\"")
        .context(words(
            "`\"` at the end of the text; `\\\"` and `\\\\` stand for `\"` and `\\`",
        ))
        .parse_next(input)
}

/// A text without quotes, up to the parenthesis that closes the condition.
fn bare(input: &mut Input<'_>) -> ModalResult<String> {
    let mut depth = 0_usize;
    let mut end = None;
    for (at, c) in input.char_indices() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => {
                end = Some(at);
                break;
            }
            ')' => depth -= 1,
            _ => {}
        }
    }
    let Some(end) = end else {
        // The place of the fault is the end.
        let _ = input.finish();
        let error: ModalResult<()> = cut_err(fail)
            .context(words("`)` at the end of the condition"))
            .parse_next(input);
        return error.map(|()| String::new());
    };
    let text = input.next_slice(end);
    match text.trim() {
        "" => Err(ErrMode::Backtrack(ContextError::new())),
        text => Ok(text.to_owned()),
    }
}

/// Parses a keyword: the whole word, so that `or` is not found in `order`.
fn keyword<'a>(word: &'static str) -> impl Parser<Input<'a>, &'a str, ErrMode<ContextError>> {
    terminated(word, peek(not(one_of(is_in_name))))
}

fn is_in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Something with the white space after it.
fn spaced<'a, O>(
    parser: impl Parser<Input<'a>, O, ErrMode<ContextError>>,
) -> impl Parser<Input<'a>, O, ErrMode<ContextError>> {
    terminated(parser, multispace0)
}

/// Makes a fault at a place.
type Fault<'a> = &'a dyn Fn(Range<usize>, FilterFault) -> FilterError;

fn checked(written: Written<'_>, fault: Fault<'_>) -> Result<Expression, FilterError> {
    let each = |parts: Vec<Written<'_>>| -> Result<Vec<Expression>, FilterError> {
        parts.into_iter().map(|part| checked(part, fault)).collect()
    };
    Ok(match written {
        Written::Condition(written) => Expression::Is(checked_condition(written, fault)?),
        Written::Not(inner) => Expression::Not(Box::new(checked(*inner, fault)?)),
        Written::All(parts) => Expression::All(each(parts)?),
        Written::Any(parts) => Expression::Any(each(parts)?),
    })
}

fn checked_condition(
    written: WrittenCondition<'_>,
    fault: Fault<'_>,
) -> Result<Condition, FilterError> {
    let WrittenCondition {
        name,
        name_span,
        argument,
        argument_span,
    } = written;
    let found = ConditionName::ALL.into_iter().find(|it| it.name() == name);
    let Some(name) = found else {
        return Err(fault(
            name_span,
            FilterFault::UnknownCondition(name.to_owned()),
        ));
    };
    let argument = match (name, argument) {
        (ConditionName::All, None) => return Ok(Condition::All),
        (ConditionName::None, None) => return Ok(Condition::None),
        (ConditionName::All | ConditionName::None, Some(_)) => {
            return Err(fault(argument_span, FilterFault::Argument(name)));
        }
        (_, None) => return Err(fault(name_span, FilterFault::NoArgument(name))),
        (_, Some(argument)) => argument,
    };
    let only_names = |argument: Argument<'_>| match argument {
        Argument::Pattern(text) => Ok(text),
        Argument::Equal(_) | Argument::Contains(_) | Argument::Regex(_) => {
            Err(fault(argument_span.clone(), FilterFault::OnlyNames(name)))
        }
    };
    let matcher = |argument: Argument<'_>| {
        let made = match argument {
            Argument::Equal(text) => Ok(Matcher::Equal(text)),
            Argument::Contains(text) => Ok(Matcher::Contains(text)),
            Argument::Pattern(pattern) => Matcher::pattern(&pattern),
            Argument::Regex(expression) => Matcher::regex(expression),
        };
        made.map_err(|error| fault(argument_span.clone(), FilterFault::Regex(error.to_string())))
    };
    Ok(match name {
        ConditionName::All => Condition::All,
        ConditionName::None => Condition::None,
        ConditionName::Name => Condition::Name(matcher(argument)?),
        ConditionName::Kind => Condition::Kind(matcher(argument)?),
        ConditionName::Suite => Condition::Suite(matcher(argument)?),
        ConditionName::Tag => Condition::Tag(matcher(argument)?),
        ConditionName::Requirement => Condition::Requirement(matcher(argument)?),
        ConditionName::Case => Condition::Case(matcher(argument)?),
        ConditionName::Tags => {
            let list = TagList::parse(&only_names(argument)?);
            let list = list.ok_or_else(|| fault(argument_span.clone(), FilterFault::EmptyTag));
            Condition::Tags(list?)
        }
        ConditionName::Status => {
            let text = only_names(argument)?;
            let status = status(&text);
            let status = status
                .ok_or_else(|| fault(argument_span.clone(), FilterFault::UnknownStatus(text)));
            Condition::Status(status?)
        }
    })
}

/// Parses a status. The outer `None` is no such name, the inner one the word `none`.
fn status(text: &str) -> Option<Option<Status>> {
    if text.eq_ignore_ascii_case("none") {
        return Some(None);
    }
    let mut all = Status::ALL.into_iter();
    all.find(|status| status.name().eq_ignore_ascii_case(text))
        .map(Some)
}
