//! Owns what the syntax alone shows: conditions that never hold during an import, and statements
//! that may add tests.

use ruff_python_ast::{self as ast, CmpOp, Expr, Stmt, UnaryOp};

/// Whether a condition holds while the file is imported as a test file. None where only running the
/// file shows it.
pub(crate) fn holds(condition: &Expr) -> Option<bool> {
    match condition {
        Expr::BooleanLiteral(literal) => Some(literal.value),
        Expr::Name(name) if name.id == "TYPE_CHECKING" => Some(false),
        Expr::Attribute(attribute) if attribute.attr.as_str() == "TYPE_CHECKING" => Some(false),
        Expr::UnaryOp(not) if not.op == UnaryOp::Not => holds(&not.operand).map(|holds| !holds),
        Expr::Compare(compare) => {
            let (op, right) = (compare.ops.first()?, compare.comparators.first()?);
            let is_name = |side: &Expr| matches!(side, Expr::Name(name) if name.id == "__name__");
            let is_main = |side: &Expr| match side {
                Expr::StringLiteral(text) => text.value.to_str() == "__main__",
                _ => false,
            };
            let asks = (is_name(&compare.left) && is_main(right))
                || (is_main(&compare.left) && is_name(right));
            (asks && compare.ops.len() == 1 && *op == CmpOp::Eq).then_some(false)
        }
        _ => None,
    }
}

/// Describes a statement that may add tests to a class or a module. None for all other statements.
pub(crate) fn adds_tests(statement: &Stmt) -> Option<&'static str> {
    match statement {
        Stmt::Expr(expression) => match &*expression.value {
            Expr::Call(call) if is_call_of(call, "setattr") => Some("setattr"),
            Expr::Call(call) if is_call_of(call, "exec") => Some("exec"),
            Expr::Call(call) => match &*call.func {
                Expr::Attribute(method) if method.attr.as_str() == "update" => {
                    is_namespace(&method.value).then_some("an update of a namespace")
                }
                _ => None,
            },
            _ => None,
        },
        Stmt::Assign(assign) => {
            let is_in_namespace = |target: &Expr| match target {
                Expr::Subscript(subscript) => is_namespace(&subscript.value),
                _ => false,
            };
            if assign.targets.iter().any(is_in_namespace) {
                return Some("an assignment to a namespace");
            }
            match &*assign.value {
                Expr::Call(call) if is_call_of(call, "type") && call.arguments.len() == 3 => {
                    Some("a class created by type()")
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// Describes the first statement in the body of a function that may add tests, if there is one.
pub(crate) fn adds_tests_within(body: &[Stmt]) -> Option<&'static str> {
    body.iter().find_map(|statement| {
        let inner = |body: &[Stmt]| adds_tests_within(body);
        adds_tests(statement).or_else(|| match statement {
            Stmt::For(each) => inner(&each.body),
            Stmt::While(each) => inner(&each.body),
            Stmt::With(with) => inner(&with.body),
            Stmt::If(branches) => inner(&branches.body).or_else(|| {
                branches
                    .elif_else_clauses
                    .iter()
                    .find_map(|branch| inner(&branch.body))
            }),
            Stmt::Try(attempt) => inner(&attempt.body).or_else(|| inner(&attempt.orelse)),
            Stmt::FunctionDef(function) => inner(&function.body),
            _ => None,
        })
    })
}

fn is_call_of(call: &ast::ExprCall, name: &str) -> bool {
    matches!(&*call.func, Expr::Name(function) if function.id == name)
}

/// Whether an expression is `globals()`, `locals()` or `vars()`.
fn is_namespace(expression: &Expr) -> bool {
    let names = ["globals", "locals", "vars"];
    matches!(expression, Expr::Call(call) if names.iter().any(|name| is_call_of(call, name)))
}
