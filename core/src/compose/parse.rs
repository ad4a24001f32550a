//! Expression text to a tree with places; names are not yet understood here.
//!
//! The text comes from a person or from a stranger, so its length and its nesting are bounded: the
//! parser recurses at most [`MAX_DEPTH`] deep.

use std::ops::Range;

use super::mistake::Mistake;
use crate::diagnostic::nearest;

/// How deep an expression may nest, also after named expressions are put in their place.
pub const MAX_DEPTH: u32 = 64;
/// How long the text of one expression may be, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// The words that have a meaning in expressions; no check may be called so.
pub const WORDS: [&str; 10] = [
    "all", "and", "any", "at_least", "degrade", "majority", "not", "or", "weighted", "when",
];
const FUNCTIONS: [&str; 7] = [
    "all", "any", "at_least", "degrade", "majority", "weighted", "when",
];

/// A part of an expression and the bytes of the text that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) range: Range<usize>,
    pub(super) kind: NodeKind,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Name(String),
    Not(Box<Node>),
    All(Vec<Node>),
    Any(Vec<Node>),
    AtLeast(Number, Vec<Node>),
    Majority(Vec<Node>),
    Weighted(Number, Vec<(Number, Node)>),
    Degrade(Box<Node>),
    When(Box<Node>, Box<Node>),
}

#[derive(Clone, Debug)]
pub(super) struct Number {
    pub(super) value: u32,
    pub(super) range: Range<usize>,
}

/// Reads one expression. The first mistake of form ends it: what follows would be guesses.
pub(super) fn parse(text: &str) -> Result<Node, Mistake> {
    if text.len() > MAX_TEXT {
        return Err(
            Mistake::new(TOO_LARGE, 0..text.len(), "this expression is too long")
                .words("too long")
                .note(format!(
                    "it has {} bytes; {MAX_TEXT} are allowed",
                    text.len()
                )),
        );
    }
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
        next: Token::End,
        range: 0..0,
        end: 0,
    };
    parser.advance()?;
    if parser.next == Token::End {
        return Err(
            Mistake::new(SYNTAX, 0..text.len(), "an expression is empty")
                .words("expected a check")
                .note("leave the key out to get its default"),
        );
    }
    let node = parser.either()?;
    let end = "`and`, `or` or the end";
    if parser.next == Token::End {
        return Ok(node);
    }
    let mistake = parser.unexpected(end);
    Err(if parser.next == Token::Close {
        mistake.note("no `(` is open here")
    } else {
        mistake
    })
}

pub(super) const SYNTAX: &str = "C0131";
pub(super) const TOO_LARGE: &str = "C0135";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Comma,
    Equals,
    Number,
    Name,
    And,
    Or,
    Not,
    End,
}

struct Parser<'a> {
    text: &'a str,
    /// First byte after `next`.
    at: usize,
    depth: u32,
    next: Token,
    /// Of `next`.
    range: Range<usize>,
    /// Of the token before `next`: where the part just read ends.
    end: usize,
}

impl<'a> Parser<'a> {
    /// Reads the token after `next`.
    fn advance(&mut self) -> Result<(), Mistake> {
        self.end = self.range.end;
        let rest = self.text.get(self.at..).unwrap_or("");
        let trimmed = rest.trim_start();
        let start = self.at + (rest.len() - trimmed.len());
        let Some(first) = trimmed.chars().next() else {
            self.at = self.text.len();
            self.range = self.text.len()..self.text.len();
            self.next = Token::End;
            return Ok(());
        };
        let length = match first {
            '(' | ')' | ',' | '=' => 1,
            c if is_word(c) => trimmed.find(|c| !is_word(c)).unwrap_or(trimmed.len()),
            _ => return Err(strange(trimmed, first, start)),
        };
        self.range = start..start + length;
        self.at = start + length;
        self.next = match first {
            '(' => Token::Open,
            ')' => Token::Close,
            ',' => Token::Comma,
            '=' if trimmed.starts_with("==") => return Err(strange(trimmed, first, start)),
            '=' => Token::Equals,
            c if c.is_ascii_digit() => Token::Number,
            _ => match self.word() {
                "and" => Token::And,
                "or" => Token::Or,
                "not" => Token::Not,
                _ => Token::Name,
            },
        };
        Ok(())
    }

    fn word(&self) -> &'a str {
        self.text.get(self.range.clone()).unwrap_or("")
    }

    fn unexpected(&self, wanted: &str) -> Mistake {
        let message = if self.next == Token::End {
            format!("expected {wanted}, found the end of the expression")
        } else {
            format!("expected {wanted}, found `{}`", self.word())
        };
        Mistake::new(SYNTAX, self.range.clone(), message).words(format!("expected {wanted}"))
    }

    fn take(&mut self, token: Token, wanted: &str) -> Result<(), Mistake> {
        if self.next == token {
            self.advance()
        } else {
            Err(self.unexpected(wanted))
        }
    }

    fn deeper<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Mistake>,
    ) -> Result<T, Mistake> {
        if self.depth == MAX_DEPTH {
            return Err(too_deep(self.range.clone()));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// `both or both …`
    fn either(&mut self) -> Result<Node, Mistake> {
        let start = self.range.start;
        let first = self.both()?;
        if self.next != Token::Or {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.next == Token::Or {
            self.advance()?;
            parts.push(self.both()?);
        }
        Ok(Node {
            range: start..self.end,
            kind: NodeKind::Any(parts),
        })
    }

    /// `negated and negated …`
    fn both(&mut self) -> Result<Node, Mistake> {
        let start = self.range.start;
        let first = self.negated()?;
        if self.next != Token::And {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.next == Token::And {
            self.advance()?;
            parts.push(self.negated()?);
        }
        Ok(Node {
            range: start..self.end,
            kind: NodeKind::All(parts),
        })
    }

    /// `not negated`, or one part.
    fn negated(&mut self) -> Result<Node, Mistake> {
        if self.next != Token::Not {
            return self.part();
        }
        let start = self.range.start;
        self.advance()?;
        let child = self.deeper(Self::negated)?;
        Ok(Node {
            range: start..self.end,
            kind: NodeKind::Not(Box::new(child)),
        })
    }

    /// A name, a function, or parentheses.
    fn part(&mut self) -> Result<Node, Mistake> {
        match self.next {
            Token::Open => {
                let open = self.range.clone();
                self.advance()?;
                let inner = self.deeper(Self::either)?;
                self.close(open)?;
                Ok(inner)
            }
            Token::Name => {
                let (word, range) = (self.word(), self.range.clone());
                self.advance()?;
                if self.next == Token::Open {
                    return self.deeper(|parser| parser.function(word, range));
                }
                if FUNCTIONS.contains(&word) {
                    return Err(self
                        .unexpected("`(`")
                        .note(format!("`{word}` is a function: {}", usage(word))));
                }
                Ok(Node {
                    range,
                    kind: NodeKind::Name(word.to_owned()),
                })
            }
            Token::Close => Err(self.unexpected("a check")),
            Token::Number => Err(self.unexpected("a check").note("names begin with a letter")),
            Token::Comma | Token::Equals | Token::And | Token::Or | Token::Not | Token::End => {
                Err(self.unexpected("a check"))
            }
        }
    }

    fn close(&mut self, open: Range<usize>) -> Result<(), Mistake> {
        if self.next == Token::End {
            return Err(Mistake::new(SYNTAX, open, "a `(` is never closed").words("opened here"));
        }
        self.take(Token::Close, "`)`")
    }

    fn function(&mut self, word: &str, name: Range<usize>) -> Result<Node, Mistake> {
        let open = self.range.clone();
        self.advance()?;
        let kind = match word {
            "all" => NodeKind::All(self.list()?),
            "any" => NodeKind::Any(self.list()?),
            "majority" => NodeKind::Majority(self.list()?),
            "at_least" => {
                let need = self.number("how many must pass")?;
                self.take(Token::Comma, "`,`")?;
                NodeKind::AtLeast(need, self.list()?)
            }
            "weighted" => {
                let need = self.number("the weight that must be reached")?;
                let mut parts = Vec::new();
                while self.next == Token::Comma {
                    self.advance()?;
                    let part = self.either()?;
                    self.take(Token::Equals, "`=` and a weight")?;
                    parts.push((self.number("a weight")?, part));
                }
                if parts.is_empty() {
                    return Err(self.unexpected("`,` and a check with its weight"));
                }
                NodeKind::Weighted(need, parts)
            }
            "degrade" => NodeKind::Degrade(Box::new(self.either()?)),
            "when" => {
                let guard = self.either()?;
                self.take(Token::Comma, "`,`")?;
                NodeKind::When(Box::new(guard), Box::new(self.either()?))
            }
            _ => {
                let mistake = Mistake::new(SYNTAX, name, format!("there is no function `{word}`"))
                    .words("not a function")
                    .note(format!("functions: {}", FUNCTIONS.join(", ")));
                return Err(match nearest(word, FUNCTIONS) {
                    Some(near) => mistake.help(format!("did you mean `{near}`?")),
                    None => mistake,
                });
            }
        };
        if self.next == Token::Comma {
            return Err(self
                .unexpected("`)`")
                .note(format!("usage: {}", usage(word))));
        }
        self.close(open)?;
        Ok(Node {
            range: name.start..self.end,
            kind,
        })
    }

    /// One or more expressions with commas.
    fn list(&mut self) -> Result<Vec<Node>, Mistake> {
        let mut parts = vec![self.either()?];
        while self.next == Token::Comma {
            self.advance()?;
            parts.push(self.either()?);
        }
        Ok(parts)
    }

    fn number(&mut self, wanted: &str) -> Result<Number, Mistake> {
        let wanted = format!("{wanted}, a whole number");
        if self.next != Token::Number {
            return Err(self.unexpected(&wanted));
        }
        let Ok(value) = self.word().parse() else {
            return Err(self.unexpected(&wanted));
        };
        let range = self.range.clone();
        self.advance()?;
        Ok(Number { value, range })
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

pub(super) fn too_deep(range: Range<usize>) -> Mistake {
    Mistake::new(TOO_LARGE, range, "this expression is nested too deep")
        .words("too deep from here")
        .note(format!("{MAX_DEPTH} levels are allowed"))
}

/// A character that means nothing here, often another language's operator.
fn strange(rest: &str, first: char, start: usize) -> Mistake {
    let (length, instead) = match first {
        '&' => (1 + usize::from(rest.starts_with("&&")), Some("and")),
        '|' => (1 + usize::from(rest.starts_with("||")), Some("or")),
        '!' => (1, Some("not")),
        '=' => (1 + usize::from(rest.starts_with("==")), None),
        other => (other.len_utf8(), None),
    };
    let shown = if first.is_control() {
        first.escape_default().to_string()
    } else {
        rest.get(..length).unwrap_or("").to_owned()
    };
    let mistake = Mistake::new(
        SYNTAX,
        start..start + length,
        format!("`{shown}` means nothing here"),
    )
    .words("not part of an expression");
    match instead {
        Some(word) => mistake.help(format!("write `{word}`")),
        None => {
            mistake.note("expressions are made of check names, `and`, `or`, `not` and functions")
        }
    }
}

fn usage(function: &str) -> &'static str {
    match function {
        "all" => "`all(a, b)`",
        "any" => "`any(a, b)`",
        "at_least" => "`at_least(2, a, b, c)`",
        "majority" => "`majority(a, b, c)`",
        "weighted" => "`weighted(3, a=2, b=1, c=1)`",
        "degrade" => "`degrade(a)`",
        _ => "`when(guard, a)`",
    }
}
