//! Commands carried out, line by line: every line of an imported file is a scope of its own.

use std::collections::HashMap;

use super::Machine;
use super::words::{Command, Only, Piece, Term, Word, read};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Nothing,
    Text(String),
    Rows(Vec<u32>),
    Code(Vec<Command>),
}

#[derive(Clone, Debug)]
enum Slot {
    Local(Value),
    Global,
}

#[derive(Default)]
struct Scopes(Vec<HashMap<String, Slot>>);

/// Loops that go on are a mistake of the script.
const MOST_TURNS: u32 = 1000;

impl Machine {
    /// `/import`: line by line until one fails; what came before it stays.
    pub fn import(&mut self, script: &str) -> Result<(), String> {
        for command in read(script)? {
            self.known(&command, None)?;
            let mut scopes = Scopes(vec![HashMap::new()]);
            self.run(&command, None, &mut scopes)?;
        }
        Ok(())
    }

    /// What a scheduler's entry holds: one script of one scope, read as a whole before anything of it is done.
    pub(super) fn run_event(&mut self, script: &str) -> Result<(), String> {
        let commands = read(script)?;
        commands
            .iter()
            .try_for_each(|command| self.known(command, None))?;
        self.block(&commands, &mut Scopes(Vec::new()))
    }

    /// Refuses a line that names what this release does not know, before anything of it is done.
    fn known(&self, command: &Command, outer: Option<&str>) -> Result<(), String> {
        match command {
            Command::Block(commands) => commands
                .iter()
                .try_for_each(|inner| self.known(inner, None)),
            Command::Call(_) => Ok(()),
            Command::Colon { words, .. } => words
                .iter()
                .try_for_each(|word| self.known_term(&word.value, None)),
            Command::Menu {
                menu, words, verb, ..
            } => {
                let menu = menu.as_deref().or(outer).ok_or("no menu")?;
                self.has(menu)?;
                for word in words {
                    if let Some(name) = &word.name
                        && !(verb == "add" && name == "place-before")
                        && !(verb == "move" && name == "destination")
                    {
                        self.knows(menu, name)?;
                    }
                    self.known_term(&word.value, Some(menu))?;
                }
                Ok(())
            }
        }
    }

    fn known_term(&self, term: &Term, menu: Option<&str>) -> Result<(), String> {
        match term {
            Term::Plain(_) | Term::Quoted(_) | Term::Variable(_) => Ok(()),
            Term::Result(command) => self.known(command, menu),
            Term::Code(commands) => commands
                .iter()
                .try_for_each(|inner| self.known(inner, None)),
            Term::Both(left, _, right) => {
                self.known_term(left, menu)?;
                self.known_term(right, menu)
            }
            Term::Not(inner) => self.known_term(inner, menu),
        }
    }

    fn block(&mut self, commands: &[Command], scopes: &mut Scopes) -> Result<(), String> {
        scopes.0.push(HashMap::new());
        let done = commands
            .iter()
            .try_for_each(|command| self.run(command, None, scopes).map(drop));
        scopes.0.pop();
        done
    }

    fn run(
        &mut self,
        command: &Command,
        outer: Option<&str>,
        scopes: &mut Scopes,
    ) -> Result<Value, String> {
        match command {
            Command::Block(commands) => self.block(commands, scopes).map(|()| Value::Nothing),
            Command::Call(name) => match self.variable(name, scopes) {
                Value::Code(commands) => self.block(&commands, scopes).map(|()| Value::Nothing),
                _ => Err(format!("${name} is no code")),
            },
            Command::Colon { verb, words } => self.colon(verb, words, scopes),
            Command::Menu {
                menu,
                verb,
                words,
                only,
            } => {
                let menu = menu.as_deref().or(outer).ok_or("no menu")?.to_owned();
                if verb == "find" {
                    return self.find(&menu, only.as_ref(), scopes).map(Value::Rows);
                }
                let mut plain = Vec::new();
                let mut named = Vec::new();
                for word in words {
                    let value = self.value(&word.value, Some(&menu), scopes)?;
                    match &word.name {
                        Some(name) => named.push((name.clone(), value)),
                        None => plain.push(value),
                    }
                }
                self.act(&menu, verb, &plain, named)
            }
        }
    }

    fn colon(&mut self, verb: &str, words: &[Word], scopes: &mut Scopes) -> Result<Value, String> {
        let named = |name: &str| words.iter().find(|word| word.name.as_deref() == Some(name));
        let code = |word: Option<&Word>| match word.map(|word| &word.value) {
            Some(Term::Code(commands)) => Ok(Some(commands.clone())),
            None => Ok(None),
            Some(_) => Err("expected a block".to_owned()),
        };
        let first = words.iter().find(|word| word.name.is_none());
        match verb {
            "if" | "while" => {
                let condition = &first.ok_or("expected a condition")?.value;
                let (then, other) = (code(named("do"))?, code(named("else"))?);
                for _ in 0..MOST_TURNS {
                    let holds = truth(&self.value(condition, None, scopes)?)?;
                    let block = if holds { &then } else { &other };
                    if let Some(block) = block {
                        self.block(block, scopes)?;
                    }
                    if verb == "if" || !holds {
                        return Ok(Value::Nothing);
                    }
                }
                Err("a loop without an end".to_owned())
            }
            "foreach" => {
                let Some(Term::Plain(name)) = first.map(|word| &word.value) else {
                    return Err("expected a variable's name".to_owned());
                };
                let all = &named("in").ok_or("expected what to walk")?.value;
                let body = code(named("do"))?.ok_or("expected a block")?;
                let Value::Rows(rows) = self.value(all, None, scopes)? else {
                    return Err("expected rows to walk".to_owned());
                };
                for row in rows {
                    let one = Slot::Local(Value::Rows(vec![row]));
                    scopes.0.push(HashMap::from([(name.clone(), one)]));
                    let done = self.block(&body, scopes);
                    scopes.0.pop();
                    done?;
                }
                Ok(Value::Nothing)
            }
            "do" => {
                let body = code(first)?.ok_or("expected a block")?;
                let failed = self.block(&body, scopes);
                match (failed, code(named("on-error"))?) {
                    (Err(why), Some(handler)) => {
                        self.caught.push(why);
                        self.block(&handler, scopes)?;
                    }
                    (done, _) => done?,
                }
                Ok(Value::Nothing)
            }
            "local" | "global" | "set" => {
                let Some(Term::Plain(name)) = first.map(|word| &word.value) else {
                    return Err("expected a variable's name".to_owned());
                };
                let given = words.get(1);
                let value = match given {
                    Some(word) => self.value(&word.value, None, scopes)?,
                    None => Value::Nothing,
                };
                self.assign(verb, name, given.is_some(), value, scopes)?;
                Ok(Value::Nothing)
            }
            "put" | "error" | "log" | "delay" | "len" | "pick" | "parse" => {
                let mut values = Vec::new();
                for word in words {
                    values.push(self.value(&word.value, None, scopes)?);
                }
                self.function(verb, &values)
            }
            _ => Err(format!("bad command name {verb}")),
        }
    }

    fn function(&mut self, verb: &str, values: &[Value]) -> Result<Value, String> {
        let first = values.first().cloned().unwrap_or(Value::Nothing);
        match verb {
            "put" => self.printed.push(text(&first)),
            "log" => self
                .logged
                .push(text(values.get(1).unwrap_or(&Value::Nothing))),
            "error" => return Err(text(&first)),
            "delay" => self.second(),
            "len" => {
                let length = match &first {
                    Value::Nothing => 0,
                    Value::Rows(rows) => rows.len(),
                    Value::Text(text) => text.len(),
                    Value::Code(_) => return Err("no length".to_owned()),
                };
                return Ok(Value::Text(length.to_string()));
            }
            "pick" => {
                let place = |at: usize| values.get(at).and_then(|it| text(it).parse().ok());
                let from: usize = place(1).ok_or("expected where to pick")?;
                return match &first {
                    Value::Rows(rows) => {
                        Ok(Value::Rows(rows.get(from).copied().into_iter().collect()))
                    }
                    other => {
                        let to = place(2).unwrap_or(from + 1);
                        let picked = text(other).get(from..to).unwrap_or_default().to_owned();
                        Ok(Value::Text(picked))
                    }
                };
            }
            _ => {
                let commands = read(&text(&first))?;
                commands
                    .iter()
                    .try_for_each(|command| self.known(command, None))?;
                return Ok(Value::Code(commands));
            }
        }
        Ok(Value::Nothing)
    }

    fn assign(
        &mut self,
        verb: &str,
        name: &str,
        given: bool,
        value: Value,
        scopes: &mut Scopes,
    ) -> Result<(), String> {
        let inner = scopes.0.last_mut().ok_or("no scope")?;
        match verb {
            "local" => {
                inner.insert(name.to_owned(), Slot::Local(value));
            }
            "global" => {
                inner.insert(name.to_owned(), Slot::Global);
                if given {
                    self.globals.insert(name.to_owned(), value);
                }
            }
            _ => match scopes
                .0
                .iter_mut()
                .rev()
                .find_map(|scope| scope.get_mut(name))
            {
                Some(Slot::Local(held)) => *held = value,
                Some(Slot::Global) if given => {
                    self.globals.insert(name.to_owned(), value);
                }
                Some(Slot::Global) => {
                    self.globals.remove(name);
                }
                None => return Err(format!("no variable {name}")),
            },
        }
        Ok(())
    }

    fn variable(&self, name: &str, scopes: &Scopes) -> Value {
        let slot = scopes.0.iter().rev().find_map(|scope| scope.get(name));
        match slot {
            Some(Slot::Local(value)) => value.clone(),
            Some(Slot::Global) => self.globals.get(name).cloned().unwrap_or(Value::Nothing),
            None => Value::Nothing,
        }
    }

    fn value(
        &mut self,
        term: &Term,
        menu: Option<&str>,
        scopes: &mut Scopes,
    ) -> Result<Value, String> {
        Ok(match term {
            Term::Plain(word) => Value::Text(word.clone()),
            Term::Variable(name) => self.variable(name, scopes),
            Term::Code(commands) => Value::Code(commands.clone()),
            Term::Result(command) => self.run(command, menu, scopes)?,
            Term::Not(inner) => {
                let holds = truth(&self.value(inner, menu, scopes)?)?;
                Value::Text((!holds).to_string())
            }
            Term::Quoted(pieces) => {
                let mut bytes = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Bytes(some) => bytes.extend(some),
                        Piece::Variable(name) => {
                            bytes.extend(text(&self.variable(name, scopes)).into_bytes());
                        }
                    }
                }
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            Term::Both(left, sign, right) => {
                let left = self.value(left, menu, scopes)?;
                let right = self.value(right, menu, scopes)?;
                Value::Text(both(&left, sign, &right)?)
            }
        })
    }

    fn find(
        &mut self,
        menu: &str,
        only: Option<&Only>,
        scopes: &mut Scopes,
    ) -> Result<Vec<u32>, String> {
        let mut found = Vec::new();
        for row in self.ids(menu)? {
            let fits = match only {
                Some(only) => self.fits(menu, row, only, scopes)?,
                None => true,
            };
            if fits {
                found.push(row);
            }
        }
        Ok(found)
    }

    fn fits(
        &mut self,
        menu: &str,
        row: u32,
        only: &Only,
        scopes: &mut Scopes,
    ) -> Result<bool, String> {
        match only {
            Only::All(all) => {
                for one in all {
                    if !self.fits(menu, row, one, scopes)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Only::Not(inner) => Ok(!self.fits(menu, row, inner, scopes)?),
            Only::Is(name, sign, term) => {
                let wanted = text(&self.value(term, Some(menu), scopes)?);
                let held = self.property(menu, row, name);
                Ok(match sign.as_str() {
                    "=" => held == wanted,
                    "!=" => held != wanted,
                    _ => match wanted.strip_prefix('^') {
                        Some(begins) => held.starts_with(begins),
                        None => held.contains(&wanted),
                    },
                })
            }
        }
    }
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Nothing | Value::Code(_) => String::new(),
        Value::Text(text) => text.clone(),
        Value::Rows(rows) => {
            let ids: Vec<String> = rows.iter().map(|id| format!("*{id:X}")).collect();
            ids.join(";")
        }
    }
}

fn truth(value: &Value) -> Result<bool, String> {
    match text(value).as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(format!("{other:?} is neither true nor false")),
    }
}

fn both(left: &Value, sign: &str, right: &Value) -> Result<String, String> {
    let number = |value: &Value| {
        let text = text(value);
        let plain = text.strip_suffix('s').unwrap_or(&text);
        plain
            .parse::<i64>()
            .map_err(|_| format!("{text:?} is no number"))
    };
    Ok(match sign {
        "=" => (text(left) == text(right)).to_string(),
        "!=" => (text(left) != text(right)).to_string(),
        "." => text(left) + &text(right),
        "and" => (truth(left)? && truth(right)?).to_string(),
        "or" => (truth(left)? || truth(right)?).to_string(),
        "+" => (number(left)? + number(right)?).to_string(),
        "<" => (number(left)? < number(right)?).to_string(),
        ">" => (number(left)? > number(right)?).to_string(),
        ">=" => (number(left)? >= number(right)?).to_string(),
        _ => return Err(format!("no operator {sign}")),
    })
}
