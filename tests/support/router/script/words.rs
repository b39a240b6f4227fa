//! Script text to commands, as RouterOS reads it: a line, its blocks, and what stands in brackets.

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Command {
    /// `:if`, `:put` and the like.
    Colon {
        verb: String,
        words: Vec<Word>,
    },
    /// `/ip pool add …`; without a menu it is the one outside the brackets.
    Menu {
        menu: Option<String>,
        verb: String,
        words: Vec<Word>,
        only: Option<Only>,
    },
    Block(Vec<Command>),
    /// `$function`.
    Call(String),
}

/// `name=value`, or a value alone.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word {
    pub name: Option<String>,
    pub value: Term,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    Plain(String),
    Quoted(Vec<Piece>),
    Variable(String),
    Result(Box<Command>),
    Code(Vec<Command>),
    Both(Box<Term>, String, Box<Term>),
    Not(Box<Term>),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Piece {
    Bytes(Vec<u8>),
    Variable(String),
}

/// What stands behind `where`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Only {
    Is(String, String, Term),
    All(Vec<Only>),
    Not(Box<Only>),
}

const VERBS: &[&str] = &[
    "add", "set", "find", "remove", "move", "get", "sign", "enable", "disable", "fetch", "import",
];

pub(super) fn read(text: &str) -> Result<Vec<Command>, String> {
    let mut reader = Reader {
        text: text.as_bytes(),
        at: 0,
    };
    let commands = reader.commands(None)?;
    Ok(commands)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn refuse<T>(&self, what: &str) -> Result<T, String> {
        let before = &self.text[..self.at.min(self.text.len())];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Err(format!("expected {what} (line {line})"))
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    /// Commands until this closing bracket, or until the end.
    fn commands(&mut self, close: Option<u8>) -> Result<Vec<Command>, String> {
        let mut commands = Vec::new();
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r' | b';') => self.at += 1,
                Some(b'#') => {
                    while !matches!(self.peek(), None | Some(b'\n')) {
                        self.at += 1
                    }
                }
                byte if byte == close => {
                    self.at += usize::from(byte.is_some());
                    return Ok(commands);
                }
                None => return self.refuse("closing brace"),
                Some(_) => commands.push(self.command()?),
            }
        }
    }

    fn command(&mut self) -> Result<Command, String> {
        match self.peek() {
            Some(b'{') => {
                self.at += 1;
                Ok(Command::Block(self.commands(Some(b'}'))?))
            }
            Some(b':') => {
                self.at += 1;
                let verb = self.name()?;
                Ok(Command::Colon {
                    verb,
                    words: self.words()?,
                })
            }
            Some(b'$') => {
                self.at += 1;
                Ok(Command::Call(self.name()?))
            }
            Some(_) => self.menu(),
            None => self.refuse("command name"),
        }
    }

    fn menu(&mut self) -> Result<Command, String> {
        let absolute = self.peek() == Some(b'/');
        self.at += usize::from(absolute);
        let mut path = Vec::new();
        loop {
            let word = self.name()?;
            self.spaces();
            if !VERBS.contains(&word.as_str()) {
                path.push(word);
                continue;
            }
            let menu = absolute.then(|| format!("/{}", path.join(" ")));
            if !absolute && !path.is_empty() {
                return self.refuse("command name");
            }
            let mut words = Vec::new();
            let mut only = None;
            if word == "find" {
                only = self.only()?;
            } else {
                words = self.words()?;
            }
            return Ok(Command::Menu {
                menu,
                verb: word,
                words,
                only,
            });
        }
    }

    fn name(&mut self) -> Result<String, String> {
        let start = self.at;
        while self
            .peek()
            .is_some_and(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        {
            self.at += 1;
        }
        if start == self.at {
            return self.refuse("command name");
        }
        Ok(String::from_utf8_lossy(&self.text[start..self.at]).into_owned())
    }

    fn words(&mut self) -> Result<Vec<Word>, String> {
        let mut words = Vec::new();
        loop {
            self.spaces();
            match self.peek() {
                None | Some(b'\n' | b'\r' | b';' | b']' | b'}') => return Ok(words),
                Some(_) => {}
            }
            let start = self.at;
            let name = self.name().ok().filter(|_| self.peek() == Some(b'='));
            if name.is_some() {
                self.at += 1;
            } else {
                self.at = start;
            }
            words.push(Word {
                name,
                value: self.term()?,
            });
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'$') => {
                self.at += 1;
                Ok(Term::Variable(self.name()?))
            }
            Some(b'{') => {
                self.at += 1;
                Ok(Term::Code(self.commands(Some(b'}'))?))
            }
            Some(b'[') => {
                self.at += 1;
                self.spaces();
                let command = self.command()?;
                self.spaces();
                match self.take() {
                    Some(b']') => Ok(Term::Result(Box::new(command))),
                    _ => self.refuse("closing bracket"),
                }
            }
            Some(b'(') => {
                self.at += 1;
                let term = self.sum()?;
                match self.take() {
                    Some(b')') => Ok(term),
                    _ => self.refuse("closing parenthesis"),
                }
            }
            _ => {
                let start = self.at;
                while !matches!(
                    self.peek(),
                    None | Some(
                        b' ' | b'\t' | b'\n' | b'\r' | b';' | b']' | b'}' | b')' | b'"' | b'$'
                    )
                ) {
                    self.at += 1;
                }
                if start == self.at {
                    return self.refuse("a value");
                }
                let word = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
                Ok(Term::Plain(word))
            }
        }
    }

    /// `a op b op c`, from left to right, within parentheses.
    fn sum(&mut self) -> Result<Term, String> {
        self.spaces();
        let mut left = if self.peek() == Some(b'!') {
            self.at += 1;
            Term::Not(Box::new(self.term()?))
        } else {
            self.term()?
        };
        loop {
            self.spaces();
            if matches!(self.peek(), Some(b')') | None) {
                return Ok(left);
            }
            let start = self.at;
            while !matches!(self.peek(), None | Some(b' ' | b')')) {
                self.at += 1;
            }
            let sign = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
            self.spaces();
            left = Term::Both(Box::new(left), sign, Box::new(self.term()?));
        }
    }

    fn quoted(&mut self) -> Result<Term, String> {
        self.at += 1;
        let mut pieces = Vec::new();
        let mut bytes = Vec::new();
        loop {
            match self.take() {
                None | Some(b'\n') => return self.refuse("closing quotes"),
                Some(b'"') => break,
                Some(b'$') => {
                    pieces.push(Piece::Bytes(std::mem::take(&mut bytes)));
                    pieces.push(Piece::Variable(self.name()?));
                }
                Some(b'\\') => bytes.push(self.escape()?),
                Some(byte) => bytes.push(byte),
            }
        }
        pieces.push(Piece::Bytes(bytes));
        Ok(Term::Quoted(pieces))
    }

    fn escape(&mut self) -> Result<u8, String> {
        let upper = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
        match self.take() {
            Some(byte @ (b'"' | b'\\' | b'$' | b'?')) => Ok(byte),
            Some(b'n') => Ok(b'\n'),
            Some(b'r') => Ok(b'\r'),
            Some(b't') => Ok(b'\t'),
            Some(b'_') => Ok(b' '),
            Some(high) if upper(high) => match self.take() {
                Some(low) if upper(low) => {
                    let digits = [high, low];
                    let text = std::str::from_utf8(&digits).unwrap_or_default();
                    u8::from_str_radix(text, 16).or_else(|_| self.refuse("hexadecimal digits"))
                }
                _ => self.refuse("hexadecimal digits"),
            },
            _ => self.refuse("an escape"),
        }
    }

    fn only(&mut self) -> Result<Option<Only>, String> {
        self.spaces();
        if self.peek() == Some(b']') {
            return Ok(None);
        }
        if self.name()? != "where" {
            return self.refuse("where");
        }
        self.conditions(b']').map(Some)
    }

    fn conditions(&mut self, close: u8) -> Result<Only, String> {
        let mut all = Vec::new();
        loop {
            self.spaces();
            all.push(match self.peek() {
                Some(b'!') => {
                    self.at += 1;
                    match self.take() {
                        Some(b'(') => {}
                        _ => return self.refuse("a parenthesis"),
                    }
                    let inner = self.conditions(b')')?;
                    self.at += 1;
                    Only::Not(Box::new(inner))
                }
                _ => {
                    let name = self.name()?;
                    let sign = match (self.take(), self.peek()) {
                        (Some(b'!'), Some(b'=')) => {
                            self.at += 1;
                            "!="
                        }
                        (Some(b'='), _) => "=",
                        (Some(b'~'), _) => "~",
                        _ => return self.refuse("a comparison"),
                    };
                    Only::Is(name, sign.to_owned(), self.term()?)
                }
            });
            self.spaces();
            match self.peek() {
                Some(byte) if byte == close => return Ok(Only::All(all)),
                Some(_) if self.name()? == "and" => {}
                _ => return self.refuse("and"),
            }
        }
    }
}
