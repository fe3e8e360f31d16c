//! Tokens to tree. Precedence, loosest first: `?:` · `||` · `&&` · comparison (one, not a chain) · `+ -` · `* /` ·
//! unary `! -` · call, name, number, parentheses.

use crate::ast::{Arithmetic, Kind, Node, Relation, Span};
use crate::error::{ErrorCause, ExprError};
use crate::lexer::{Spanned, Token, error, lex};
use rt_config::limits::EXPRESSION_DEPTH_MAX;

/// Parses a whole expression.
///
/// # Errors
/// Every lexical error, or the first syntax error (what follows it would be guesswork).
pub(crate) fn parse(source: &str) -> Result<Node, Vec<ExprError>> {
    let tokens = lex(source)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        depth: 0,
    };
    parser.whole().map_err(|found| vec![found])
}

struct Parser<'a> {
    tokens: &'a [Spanned],
    at: usize,
    depth: usize,
}

const END: &Token = &Token::End;

impl Parser<'_> {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(END, |t| &t.token)
    }

    fn span(&self) -> Span {
        let last = self.tokens.last();
        self.tokens
            .get(self.at)
            .or(last)
            .map_or(0..0, |t| t.span.clone())
    }

    fn advance(&mut self) {
        self.at += 1;
    }

    fn accept(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.advance();
        }
        found
    }

    fn whole(&mut self) -> Result<Node, ExprError> {
        if self.peek() == END {
            return Err(self.syntax(
                "the expression is empty",
                "write a condition, such as `press.vibration > 7.1 mm/s`",
            ));
        }
        let node = self.expression()?;
        match self.peek() {
            Token::End => Ok(node),
            Token::Close => Err(self.syntax(
                "a `)` that nothing opened",
                "remove it, or add the missing `(`",
            )),
            Token::Comma if matches!(node.kind, Kind::Number { .. } | Kind::Compare { .. }) => {
                Err(self.syntax(
                    "a `,` outside a function's arguments",
                    "decimals are written with a point: `7.1`",
                ))
            }
            Token::Name(word) => {
                let help = match word.as_str() {
                    "and" | "AND" => "write `&&`",
                    "or" | "OR" => "write `||`",
                    "in" | "between" => "write `x > low && x < high`",
                    _ => "put an operator between them: `&&`, `||`, `+`, `>` ...",
                };
                Err(self.syntax(format!("`{word}` follows without an operator"), help))
            }
            _ => Err(self.syntax(
                "the expression should end here",
                "put an operator such as `&&` or `||` before it, or remove it",
            )),
        }
    }

    fn syntax(&self, message: impl Into<String>, help: impl Into<String>) -> ExprError {
        error(self.span(), ErrorCause::Syntax, message, help)
    }

    /// Counts one level of nesting while `inner` runs, so that no input can exhaust the stack.
    fn nested<T>(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<T, ExprError>,
    ) -> Result<T, ExprError> {
        if self.depth == EXPRESSION_DEPTH_MAX {
            return Err(error(
                self.span(),
                ErrorCause::TooDeep,
                format!("nested deeper than {EXPRESSION_DEPTH_MAX} levels"),
                "split the expression with a macro or into several rules",
            ));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Result<Node, ExprError> {
        self.nested(|parser| {
            let condition = parser.binary(Level::Or)?;
            if !parser.accept(&Token::Question) {
                return Ok(condition);
            }
            let yes = parser.expression()?;
            if !parser.accept(&Token::Colon) {
                return Err(parser.syntax(
                    "a `?` without its `:`",
                    "write `condition ? value_if_true : value_if_false`",
                ));
            }
            let no = parser.expression()?;
            let span = condition.span.start..no.span.end;
            Ok(Node {
                kind: Kind::Choose {
                    condition: Box::new(condition),
                    yes: Box::new(yes),
                    no: Box::new(no),
                },
                span,
            })
        })
    }

    fn binary(&mut self, level: Level) -> Result<Node, ExprError> {
        match level {
            Level::Or => self.chain(&Token::Or, Level::And, Kind::Any),
            Level::And => self.chain(&Token::And, Level::Compare, Kind::All),
            Level::Compare => self.comparison(),
            Level::Sum => self.arithmetic(Level::Product, |token| match token {
                Token::Plus => Some(Arithmetic::Add),
                Token::Minus => Some(Arithmetic::Sub),
                _ => None,
            }),
            Level::Product => self.arithmetic(Level::Unary, |token| match token {
                Token::Star => Some(Arithmetic::Mul),
                Token::Slash => Some(Arithmetic::Div),
                _ => None,
            }),
            Level::Unary => self.unary(),
        }
    }

    fn chain(
        &mut self,
        sign: &Token,
        tighter: Level,
        kind: fn(Vec<Node>) -> Kind,
    ) -> Result<Node, ExprError> {
        let first = self.binary(tighter)?;
        if self.peek() != sign {
            return Ok(first);
        }
        let start = first.span.start;
        let mut end = first.span.end;
        let mut nodes = vec![first];
        while self.accept(sign) {
            let next = self.binary(tighter)?;
            end = next.span.end;
            nodes.push(next);
        }
        Ok(Node {
            kind: kind(nodes),
            span: start..end,
        })
    }

    fn arithmetic(
        &mut self,
        tighter: Level,
        sign: fn(&Token) -> Option<Arithmetic>,
    ) -> Result<Node, ExprError> {
        let first = self.binary(tighter)?;
        let start = first.span.start;
        let mut end = first.span.end;
        let mut rest = Vec::new();
        while let Some(operation) = sign(self.peek()) {
            self.advance();
            let next = self.binary(tighter)?;
            end = next.span.end;
            rest.push((operation, next));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Node {
            kind: Kind::Arithmetic {
                first: Box::new(first),
                rest,
            },
            span: start..end,
        })
    }

    fn relation(&self) -> Option<Relation> {
        Some(match self.peek() {
            Token::Less => Relation::Less,
            Token::LessEqual => Relation::LessEqual,
            Token::Greater => Relation::Greater,
            Token::GreaterEqual => Relation::GreaterEqual,
            Token::Equal => Relation::Equal,
            Token::NotEqual => Relation::NotEqual,
            _ => return None,
        })
    }

    fn comparison(&mut self) -> Result<Node, ExprError> {
        let left = self.binary(Level::Sum)?;
        let Some(relation) = self.relation() else {
            return Ok(left);
        };
        self.advance();
        let right = self.binary(Level::Sum)?;
        if self.relation().is_some() {
            return Err(error(
                self.span(),
                ErrorCause::ChainedComparison,
                "two comparisons in a row",
                "write `low < x && x < high`; parentheses if truth values are meant",
            ));
        }
        let span = left.span.start..right.span.end;
        Ok(Node {
            kind: Kind::Compare {
                relation,
                left: Box::new(left),
                right: Box::new(right),
            },
            span,
        })
    }

    fn unary(&mut self) -> Result<Node, ExprError> {
        let start = self.span().start;
        let negate = match self.peek() {
            Token::Minus => true,
            Token::Not => false,
            _ => return self.primary(),
        };
        self.advance();
        let inner = self.nested(Self::unary)?;
        let span = start..inner.span.end;
        let kind = match (negate, inner.kind) {
            // A minus sign before a number belongs to it: `-40 degC` is a temperature, not the negative of one.
            (true, Kind::Number { value, unit }) => Kind::Number {
                value: -value,
                unit,
            },
            (true, kind) => Kind::Negate(Box::new(Node {
                kind,
                span: inner.span,
            })),
            (false, kind) => Kind::Not(Box::new(Node {
                kind,
                span: inner.span,
            })),
        };
        Ok(Node { kind, span })
    }

    fn primary(&mut self) -> Result<Node, ExprError> {
        let span = self.span();
        let kind = match self.peek().clone() {
            Token::Number { value, unit } => Kind::Number { value, unit },
            Token::True => Kind::Bool(true),
            Token::False => Kind::Bool(false),
            Token::Name(name) => {
                self.advance();
                if self.accept(&Token::Open) {
                    return self.call(name, span);
                }
                return Ok(Node {
                    kind: Kind::Name(name),
                    span,
                });
            }
            Token::Open => {
                self.advance();
                let inner = self.expression()?;
                let end = self.span().end;
                if !self.accept(&Token::Close) {
                    return Err(self.syntax("a `)` is missing here", "every `(` needs its `)`"));
                }
                return Ok(Node {
                    kind: inner.kind,
                    span: span.start..end,
                });
            }
            Token::End => {
                return Err(self.syntax(
                    "the expression ends too early",
                    "a value is missing: a tag, a number or `( ... )`",
                ));
            }
            Token::Equal => {
                return Err(self.syntax("`==` has no left side", "write `tag == value`"));
            }
            _ => {
                return Err(self.syntax(
                    "a value is missing here",
                    "write a tag, a number with its unit, or `( ... )`",
                ));
            }
        };
        self.advance();
        Ok(Node { kind, span })
    }

    fn call(&mut self, function: String, name_span: Span) -> Result<Node, ExprError> {
        let mut arguments = Vec::new();
        if self.peek() != &Token::Close {
            loop {
                arguments.push(self.expression()?);
                if !self.accept(&Token::Comma) {
                    break;
                }
            }
        }
        let end = self.span().end;
        if !self.accept(&Token::Close) {
            return Err(self.syntax(
                format!("the arguments of `{function}` are not closed here"),
                "separate arguments with `,` and close them with `)`",
            ));
        }
        let span = name_span.start..end;
        Ok(Node {
            kind: Kind::Call {
                function,
                name_span,
                arguments,
            },
            span,
        })
    }
}

#[derive(Clone, Copy)]
enum Level {
    Or,
    And,
    Compare,
    Sum,
    Product,
    Unary,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNS: [&str; 4] = ["+", "-", "*", "/"];

    /// The tree as fully parenthesised prefix text.
    fn show(node: &Node) -> String {
        let list = |nodes: &[Node]| nodes.iter().map(show).collect::<Vec<_>>().join(" ");
        match &node.kind {
            Kind::Number { value, unit: None } => format!("{value}"),
            Kind::Number {
                value,
                unit: Some(unit),
            } => format!("{value}[{unit}]"),
            Kind::Bool(value) => value.to_string(),
            Kind::Name(name) => name.clone(),
            Kind::Call {
                function,
                arguments,
                ..
            } => format!("{function}({})", list(arguments)),
            Kind::Negate(inner) => format!("(neg {})", show(inner)),
            Kind::Not(inner) => format!("(! {})", show(inner)),
            Kind::Arithmetic { first, rest } => {
                let rest: Vec<String> = rest
                    .iter()
                    .map(|(operation, node)| {
                        format!("{}{}", SIGNS[*operation as usize], show(node))
                    })
                    .collect();
                format!("({} {})", show(first), rest.join(" "))
            }
            Kind::Compare {
                relation,
                left,
                right,
            } => {
                format!("({} {} {})", relation.sign(), show(left), show(right))
            }
            Kind::All(nodes) => format!("(&& {})", list(nodes)),
            Kind::Any(nodes) => format!("(|| {})", list(nodes)),
            Kind::Choose { condition, yes, no } => {
                format!("(? {} {} {})", show(condition), show(yes), show(no))
            }
        }
    }

    #[test]
    fn precedence_is_as_documented() {
        for (source, expected) in [
            (
                "a || b && c > 1 + 2 * -x",
                "(|| a (&& b (> c (1 +(2 *(neg x))))))",
            ),
            ("a - b - c", "(a -b -c)"),
            ("a / b * c", "(a /b *c)"),
            ("(a - b) - c", "((a -b) -c)"),
            ("!a && b", "(&& (! a) b)"),
            ("!(a > b)", "(! (> a b))"),
            ("a ? b : c ? d : e", "(? a b (? c d e))"),
            ("a > 1 ? b : c", "(? (> a 1) b c)"),
            ("-40 degC < t", "(< -40[degC] t)"),
            ("- -x", "(neg (neg x))"),
            ("clamp(x, 1, 2 + y)", "clamp(x 1 (2 +y))"),
            ("f()", "f()"),
            ("(a > b) == true", "(== (> a b) true)"),
        ] {
            assert_eq!(show(&parse(source).unwrap()), expected, "{source}");
        }
    }

    #[test]
    fn syntax_errors_say_where_and_how() {
        for (source, cause, span, help) in [
            ("", ErrorCause::Syntax, 0..0, "vibration > 7.1 mm/s"),
            ("a >", ErrorCause::Syntax, 3..3, "value is missing"),
            ("(a > b", ErrorCause::Syntax, 6..6, "needs its `)`"),
            ("a > b)", ErrorCause::Syntax, 5..6, "missing `(`"),
            ("a b", ErrorCause::Syntax, 2..3, "operator"),
            ("a and b", ErrorCause::Syntax, 2..5, "`&&`"),
            ("x > 7,1", ErrorCause::Syntax, 5..6, "point"),
            ("1 < x < 3", ErrorCause::ChainedComparison, 6..7, "&&"),
            ("a ? b", ErrorCause::Syntax, 5..5, "value_if_true"),
            ("f(a", ErrorCause::Syntax, 3..3, "close"),
            ("a > * b", ErrorCause::Syntax, 4..5, "tag"),
        ] {
            let errors = parse(source).unwrap_err();
            assert_eq!(errors.len(), 1, "{source}");
            assert_eq!(errors[0].cause, cause, "{source}");
            assert_eq!(errors[0].span, span, "{source}");
            assert!(
                errors[0].help.contains(help),
                "{source}: {}",
                errors[0].help
            );
        }
    }

    #[test]
    fn no_nesting_exhausts_the_stack() {
        for open in ["(", "-", "!", "f(", "a ? ", "a ? b : "] {
            let source = open.repeat(100_000);
            let errors = parse(&source).unwrap_err();
            assert_eq!(errors[0].cause, ErrorCause::TooDeep, "H-46: {open}");
        }
        let inside = format!("{}a{}", "(".repeat(60), ")".repeat(60));
        assert_eq!(show(&parse(&inside).unwrap()), "a");
    }

    #[test]
    fn long_chains_are_flat() {
        let source = vec!["a"; 20_000].join(" && ");
        let node = parse(&source).unwrap();
        assert!(matches!(node.kind, Kind::All(nodes) if nodes.len() == 20_000));
    }
}
