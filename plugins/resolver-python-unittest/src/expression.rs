//! Owns the forms of expressions that name something: dotted names, and lists of strings.

use crate::scope::Dotted;
use ruff_python_ast::Expr;

/// Splits a dotted name at its dots.
pub(crate) fn split(name: &str) -> Dotted {
    name.split('.').map(str::to_owned).collect()
}

/// The dotted name of an expression such as `a.b` or `a.b[int]`. None for other expressions.
pub(crate) fn dotted(mut expression: &Expr) -> Option<Dotted> {
    let mut parts = Vec::new();
    loop {
        match expression {
            Expr::Name(name) => {
                parts.push(name.id.to_string());
                parts.reverse();
                return Some(parts);
            }
            Expr::Attribute(attribute) => {
                parts.push(attribute.attr.to_string());
                expression = &attribute.value;
            }
            Expr::Subscript(subscript) if parts.is_empty() => expression = &subscript.value,
            _ => return None,
        }
    }
}

/// The elements of a list or tuple of string literals. None for any other expression.
pub(crate) fn texts(list: &Expr) -> Option<Vec<String>> {
    let elements = match list {
        Expr::List(list) => &list.elts,
        Expr::Tuple(tuple) => &tuple.elts,
        _ => return None,
    };
    let text = |element: &Expr| match element {
        Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
        _ => None,
    };
    elements.iter().map(text).collect()
}
